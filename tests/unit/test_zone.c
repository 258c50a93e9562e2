/* Unit tests of src/page/zone: frame runs over a break and mappings that the test makes up, so that the system can refuse,
   others can move the break at any moment, and memory that is not ours kills when it is touched.  Every case is a process
   of its own; vm_zone_check() after every step.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include <sys/resource.h>

#include "os/os.h"
#include "page/zone.h"
#include "reclaim/thp.h"
#include "vm/mmu.h"

#define BREAK_ROOM (2 * VM_GIB)
#define FOREIGN 0x5a /* what others write into their part of the break */

/* ---- The system, made up ---- */

static struct vm_os real;
static struct {
    uintptr_t base, end, limit; /* of the break: where it starts, where it stands, how far it may go */
    bool refuse_shrinking, refuse_purging, refuse_protecting;
    size_t map_limit;      /* largest mapping that is granted */
    size_t others_between; /* bytes others take between our question for the break and our move */
    char *pool;            /* memory that the next mapping comes from, if set */
    size_t address_limit;  /* RLIMIT_AS at the start, if set */
    unsigned moves, purges;
} fake;

static void open_break(uintptr_t from, uintptr_t to)
{
    from = vm_align_down(from, vm_os.page_size);
    to = vm_align_up(to, vm_os.page_size);
    if (from < to)
        CHECK(mprotect((void *)from, to - from, PROT_READ | PROT_WRITE) == 0);
}

/* What is given back is gone: reading it again gives zero, touching it before that is a fault. */
static void close_break(uintptr_t from, uintptr_t to)
{
    from = vm_align_up(from, vm_os.page_size);
    to = vm_align_up(to, vm_os.page_size);
    if (from < to)
        CHECK(mmap((void *)from, to - from, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0)
              == (void *)from);
}

static void move_break(intptr_t by)
{
    if (by > 0)
        open_break(fake.end, fake.end + (uintptr_t)by);
    else
        close_break(fake.end - (uintptr_t)-by, fake.end);
    fake.end += (uintptr_t)by;
}

/* Another user of the break takes bytes and fills them; where they start. */
static unsigned char *others_take(size_t bytes)
{
    unsigned char *p = (unsigned char *)fake.end;

    move_break((intptr_t)bytes);
    memset(p, FOREIGN, bytes);
    return p;
}

static void check_foreign(const unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        CHECKF(p[i] == FOREIGN, "byte %zu of %zu", i, bytes);
}

static void *fake_sbrk(intptr_t by)
{
    if (by != 0 && fake.others_between) {
        others_take(fake.others_between);
        fake.others_between = 0;
    }
    uintptr_t old = fake.end;
    if (by == 0)
        return (void *)old;
    if ((by < 0 && fake.refuse_shrinking) || old + (uintptr_t)by > fake.limit || old + (uintptr_t)by < fake.base)
        return NULL;
    fake.moves++;
    move_break(by);
    return (void *)old;
}

static void *fake_map(size_t bytes, int prot)
{
    if (prot != PROT_NONE && bytes > fake.map_limit)
        return NULL;
    if (fake.pool) {
        void *p = fake.pool;
        fake.pool = NULL;
        return p;
    }
    /* A page behind it that kills. */
    char *p = real.map(bytes + vm_os.page_size, PROT_NONE);
    CHECK(p && mprotect(p, bytes, prot) == 0);
    return p;
}

static int fake_purge(void *base, size_t bytes)
{
    fake.purges++;
    return fake.refuse_purging ? -EINVAL : real.purge(base, bytes);
}

static int fake_protect(void *base, size_t bytes, int prot)
{
    return fake.refuse_protecting ? -ENOMEM : real.protect(base, bytes, prot);
}

static uint64_t clock_ns = 1000000000;
static uint64_t fake_now(void) { return clock_ns; }

/* offset: where the break stands in its first 2 MiB. */
static void start(bool use_brk, size_t offset)
{
    char *room = mmap(NULL, BREAK_ROOM + VM_CHUNK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(room != MAP_FAILED);
    fake.base = fake.end = vm_align_up((uintptr_t)room, VM_CHUNK_BYTES) + offset;
    fake.limit = fake.base - offset + BREAK_ROOM;
    fake.map_limit = SIZE_MAX;
    real = vm_os;
    vm_os.sbrk = fake_sbrk;
    vm_os.map = fake_map;
    vm_os.purge = fake_purge;
    vm_os.protect = fake_protect;
    vm_os.now = fake_now;
    open_break(vm_align_down(fake.base, vm_os.page_size), fake.base); /* the rest of the program's data */
    struct rlimit limit, before;
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    limit = before;
    if (fake.address_limit)
        limit.rlim_cur = fake.address_limit;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    vm_zones_start(use_brk);
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    CHECK(vm_zone_check());
}

static bool in_break(const struct vm_page *p) { return p->start >= fake.base && p->start < fake.base + BREAK_ROOM; }

static struct vm_frames_stats stats(void)
{
    struct vm_frames_stats s;
    vm_frames_stats(&s);
    return s;
}

/* ---- Runs and their contents ---- */

struct run {
    struct vm_page *page;
    unsigned n;
    uint64_t id;
};
static uint64_t next_id = 1;

static uint64_t *word_of(const struct run *r, unsigned frame, unsigned which)
{
    uintptr_t at = r->page->start + frame * VM_FRAME_BYTES;
    return (uint64_t *)(which == 0 ? at : which == 1 ? at + VM_FRAME_BYTES / 2 : at + VM_FRAME_BYTES - 8);
}

static void check_run(const struct run *r)
{
    for (unsigned f = 0; f < r->n; f++)
        for (unsigned w = 0; w < 3; w++)
            CHECKF(*word_of(r, f, w) == r->id + f, "frame %u of %u", f, r->n);
}

/* False when memory is refused. */
static bool take(struct run *r, unsigned n)
{
    struct vm_frames_news news;
    struct vm_page *p = vm_frames_alloc(n, n * VM_FRAME_BYTES, &news);

    CHECK(vm_zone_check());
    if (!p)
        return false;
    *r = (struct run){p, n, next_id};
    next_id += 100;
    CHECK(p->start % VM_FRAME_BYTES == 0);
    CHECK(p->start / VM_CHUNK_BYTES == (p->start + n * VM_FRAME_BYTES - 1) / VM_CHUNK_BYTES);
    for (unsigned f = 0; f < n; f++) {
        CHECK(p[f].start == p->start + f * VM_FRAME_BYTES && p[f].zone == p->zone);
        CHECK(p[f].role == VM_PAGE_FREE && p[f].carved == 0 && !p[f].owner && !p[f].free);
        CHECK(vm_page_of(p[f].start) == &p[f] && vm_page_of(p[f].start + VM_FRAME_BYTES - 1) == &p[f]);
        for (unsigned w = 0; w < 3; w++)
            CHECK(!news.zeroed || *word_of(r, f, w) == 0);
        p[f].role = f ? VM_PAGE_TAIL : VM_PAGE_SLAB;
        p[f].tail = (uint8_t)f;
    }
    CHECK(!news.zeroed || not_zero_at((void *)p->start, VM_FRAME_BYTES) == SIZE_MAX);
    for (unsigned f = 0; f < n; f++)
        for (unsigned w = 0; w < 3; w++)
            *word_of(r, f, w) = r->id + f;
    return true;
}

static void give(struct run *r)
{
    check_run(r);
    for (unsigned f = 0; f < r->n; f++)
        vm_page_reset(&r->page[f]);
    vm_frames_free(r->page, r->n, r->n * VM_FRAME_BYTES);
    r->page = NULL;
    CHECK(vm_zone_check());
}

/* ---- The cases ---- */

CHILD_CASE(runs_of_every_length)
{
    struct run r[32];

    start(true, 12345);
    for (unsigned n = 1; n <= 32; n++)
        CHECK(take(&r[n - 1], n) && in_break(r[n - 1].page));
    CHECK(stats().in_use == 32 * 33 / 2 * VM_FRAME_BYTES);
    CHECK(stats().zone_bytes == 0 && stats().brk_bytes >= stats().in_use);
    for (unsigned n = 1; n <= 32; n++)
        give(&r[n - 1]);
    CHECK(stats().in_use == 0);
    size_t had = stats().brk_bytes;
    for (unsigned n = 32; n >= 1; n--) /* all of it is there to be used again */
        CHECK(take(&r[n - 1], n));
    CHECK(stats().brk_bytes <= had + VM_CHUNK_BYTES);
}

CHILD_CASE(zero_is_said_only_where_it_is_true)
{
    struct run r;
    struct vm_frames_news news;

    start(true, 0);
    struct vm_page *p = vm_frames_alloc(3, 3 * VM_FRAME_BYTES, &news);
    CHECK(p && news.zeroed);
    memset((void *)p->start, 1, 3 * VM_FRAME_BYTES);
    vm_frames_free(p, 3, 3 * VM_FRAME_BYTES);
    p = vm_frames_alloc(3, 3 * VM_FRAME_BYTES, &news);
    CHECK(p && (!news.zeroed || not_zero_at((void *)p->start, 3 * VM_FRAME_BYTES) == SIZE_MAX));
    memset((void *)p->start, 1, 3 * VM_FRAME_BYTES);
    vm_frames_free(p, 3, 3 * VM_FRAME_BYTES);
    /* One page further up stays in use, so that the break cannot take these back: they are purged. */
    CHECK(take(&r, 32));
    CHECK(vm_frames_trim(0));
    CHECK(stats().free_dirty == 0);
    p = vm_frames_alloc(3, 3 * VM_FRAME_BYTES, &news);
    CHECK(p && news.zeroed && not_zero_at((void *)p->start, 3 * VM_FRAME_BYTES) == SIZE_MAX);
    CHECK(vm_zone_check());
}

CHILD_CASE(purge_refused)
{
    struct run a, b;
    struct vm_frames_news news;

    start(true, 0);
    CHECK(take(&a, 2) && take(&b, 32));
    uintptr_t at = a.page->start;
    give(&a);
    fake.refuse_purging = true;
    vm_frames_trim(0);
    CHECK(fake.purges > 0 && stats().free_dirty >= 2 * VM_FRAME_BYTES);
    CHECK(vm_zone_check());
    struct vm_page *p = vm_frames_alloc(2, 2 * VM_FRAME_BYTES, &news);
    CHECK(p && p->start == at && !news.zeroed);
    check_run(&b);
}

CHILD_CASE(resident_frames_serve_first)
{
    struct run low, middle, high, above, next;

    start(true, 0);
    CHECK(take(&low, 2) && take(&middle, 8) && take(&high, 4) && take(&above, 32));
    give(&low);
    CHECK(vm_frames_trim(0)); /* a hole that fits well, lies low and is not resident */
    uintptr_t resident = high.page->start;
    give(&high);
    CHECK(take(&next, 2) && next.page->start == resident);
    CHECK(take(&next, 2) && next.page->start == resident + 2 * VM_FRAME_BYTES);
    CHECK(take(&next, 2) && next.page->start < middle.page->start);
}

CHILD_CASE(trim_lowers_the_break)
{
    struct run r[20];

    start(true, 70000);
    for (unsigned i = 0; i < 20; i++)
        CHECK(take(&r[i], 32));
    uintptr_t first = vm_align_up(fake.base, VM_FRAME_BYTES);
    for (unsigned i = 0; i < 20; i++)
        give(&r[i]);
    size_t size = fake.end - first;
    CHECK(vm_frames_trim(10 * VM_MIB));
    CHECK(fake.end - first >= 10 * VM_MIB && fake.end - first < size && vm_zone_check());
    CHECK(vm_frames_trim(0));
    CHECK(fake.end == first && stats().brk_bytes == 0 && stats().free_clean + stats().free_dirty == 0);
    CHECK(!vm_frames_trim(0));
    CHECK(vm_zone_check());
    for (unsigned i = 0; i < 20; i++) /* what comes again reads as zero: take() looks */
        CHECK(take(&r[i], 32));
    CHECK(vm_page_of(fake.base - 70000 + BREAK_ROOM - 1) == NULL || vm_page_of(fake.base - 70000 + BREAK_ROOM - 1)->start == 0);
}

CHILD_CASE(trim_stops_at_what_is_in_use)
{
    struct run r[12];

    start(true, 0);
    for (unsigned i = 0; i < 12; i++)
        CHECK(take(&r[i], 16));
    uintptr_t top = fake.end, highest = 0;
    for (unsigned i = 0; i < 12; i++)
        if (r[i].page->start > highest)
            highest = r[i].page->start;
    for (unsigned i = 0; i < 12; i++)
        if (r[i].page->start != highest)
            give(&r[i]);
    vm_frames_trim(0);
    CHECK(fake.end <= top && fake.end >= highest + 16 * VM_FRAME_BYTES && vm_zone_check());
    for (unsigned i = 0; i < 12; i++)
        if (r[i].page)
            check_run(&r[i]);
}

CHILD_CASE(trim_refused)
{
    struct run r;

    start(true, 0);
    CHECK(take(&r, 32));
    give(&r);
    uintptr_t top = fake.end;
    fake.refuse_shrinking = true;
    vm_frames_trim(0);
    CHECK(fake.end == top && vm_zone_check());
    CHECK(take(&r, 32) && in_break(r.page) && fake.end == top);
}

CHILD_CASE(others_sit_on_top)
{
    struct run r[4];

    start(true, 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK(take(&r[i], 32));
    unsigned char *foreign = others_take(100);
    uintptr_t top = fake.end;
    for (unsigned i = 0; i < 4; i++)
        give(&r[i]);
    vm_frames_trim(0);
    CHECK(fake.end == top); /* the break is not ours to lower */
    check_foreign(foreign, 100);
    CHECK(stats().free_dirty == 0 && vm_zone_check());
}

CHILD_CASE(break_refused)
{
    struct run r[40];

    start(true, 0);
    CHECK(take(&r[0], 1));
    fake.limit = fake.end;
    for (unsigned i = 1; i < 40; i++)
        CHECK(take(&r[i], 1 + i % 32));
    CHECK(stats().zone_bytes > 0 && vm_mmu_check());
    fake.limit = fake.base + BREAK_ROOM; /* and allowed again */
    for (unsigned i = 0; i < 40; i++)
        give(&r[i]);
    for (unsigned i = 0; i < 40; i++)
        CHECK(take(&r[i], 32));
    CHECK(vm_mmu_check());
}

CHILD_CASE(no_break_at_all)
{
    struct run r[40];

    start(false, 0);
    for (unsigned i = 0; i < 40; i++)
        CHECK(take(&r[i], 1 + i % 32) && !in_break(r[i].page));
    CHECK(fake.moves == 0 && stats().brk_bytes == 0);
    for (unsigned i = 0; i < 40; i += 2)
        give(&r[i]);
    CHECK(vm_frames_trim(0) && stats().free_dirty == 0);
    for (unsigned i = 1; i < 40; i += 2)
        check_run(&r[i]);
    CHECK(vm_page_of(16) == NULL && vm_page_of(UINTPTR_MAX) == NULL && vm_page_of((uintptr_t)r) == NULL);
}

/* Zones whose chunks have the same number for the hints: all are found, whichever was seen last, and nothing beside them. */
CHILD_CASE(zones_of_one_hint)
{
    const size_t apart = VM_ZONE_HINTS * VM_CHUNK_BYTES;
    char *room = mmap(NULL, 4 * apart, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct run r[3];

    CHECK(room != MAP_FAILED);
    start(false, 0);
    for (unsigned i = 0; i < 3; i++) {
        fake.pool = (char *)vm_align_up((uintptr_t)room, VM_CHUNK_BYTES) + i * apart;
        fake.map_limit = 2 * VM_CHUNK_BYTES; /* one chunk, and as much to align it */
        CHECK(mprotect(fake.pool, 2 * VM_CHUNK_BYTES, PROT_READ | PROT_WRITE) == 0);
        CHECK(take(&r[i], 32));
        CHECK(vm_zone_hint(r[i].page->start) == vm_zone_hint(r[0].page->start));
        CHECK(vm_zone_page(r[i].page->start) == r[i].page);
    }
    for (unsigned i = 0; i < 12; i++) {
        const struct vm_page *p = r[i * 7 % 3].page;
        CHECK(vm_page_of(p->start + i) == p && vm_page_of(p->start + VM_CHUNK_BYTES - 1) == p + 31);
        CHECK(vm_zone_page(p->start) == p);
        CHECK(!vm_zone_page(r[(i * 7 + 1) % 3].page->start)); /* the hint is another's */
        CHECK(!vm_page_of(p->start - 1) && !vm_page_of(p->start + VM_CHUNK_BYTES));
    }
}

/* Only so much at a time can be mapped: what is entered must be mapped, to the last byte. */
CHILD_CASE(mappings_above_a_size_refused)
{
    static struct run r[3000];

    start(false, 0);
    for (size_t limit = 80 * VM_MIB, i = 0; limit >= 64 * VM_KIB; limit -= limit / 5)
        /* Enough runs for zones of several sizes at each limit. */
        for (unsigned k = 0; k < 40 && i < 3000; k++, i++) {
            fake.map_limit = limit + VM_CHUNK_BYTES * (limit >= VM_CHUNK_BYTES);
            if (!take(&r[i], 1 + (unsigned)(k * 7 % 8)))
                break;
        }
    fake.map_limit = 0;
    for (unsigned i = 0; i < 3000; i++)
        if (r[i].page)
            give(&r[i]);
    struct run last[64];
    for (unsigned i = 0; i < 64; i++) /* nothing is mapped any more: from what is there */
        CHECK(take(&last[i], 1));
}

/* The case of a program near its limit on address space: zones have grown, and then only little is granted. */
CHILD_CASE(little_is_granted_late)
{
    static struct run r[2000];
    unsigned count = 0;

    start(false, 0);
    for (size_t grown = 4; grown <= 60; grown += 4) { /* MiB in zones before it gets tight */
        while (stats().zone_bytes < grown * VM_MIB && count < 2000)
            CHECK(take(&r[count++], 8));
        for (size_t limit = 128; limit <= 640; limit += 16) { /* KiB granted at a time, border included */
            fake.map_limit = limit * VM_KIB + VM_FRAME_BYTES;
            for (unsigned k = 0; k < 6 && count < 2000; k++)
                if (take(&r[count], 1))
                    count++;
        }
        fake.map_limit = SIZE_MAX;
    }
    for (unsigned i = 0; i < count; i++)
        give(&r[i]);
}

CHILD_CASE(everything_refused)
{
    struct run r;

    start(true, 0);
    fake.limit = fake.end;
    fake.map_limit = 0;
    for (unsigned n = 1; n <= 32; n++)
        CHECK(!take(&r, n));
    fake.limit = fake.base + BREAK_ROOM;
    CHECK(take(&r, 32));
}

CHILD_CASE(descriptors_refused)
{
    struct run r;

    start(true, 0);
    fake.refuse_protecting = true;
    CHECK(take(&r, 4) && !in_break(r.page)); /* the break cannot be described: a zone serves */
    CHECK(fake.moves == 0);
    give(&r);
    fake.refuse_protecting = false;
    struct run more[100];
    for (unsigned i = 0; i < 100; i++)
        CHECK(take(&more[i], 32));
    CHECK(stats().brk_bytes > 0);
}

CHILD_CASE(others_move_the_break_up)
{
    static struct run r[200];
    static struct {
        unsigned char *p;
        size_t n;
    } foreign[200];

    start(true, 4096);
    for (unsigned i = 0; i < 200; i++) {
        CHECK(take(&r[i], 1 + i % 32));
        foreign[i].n = 1 + i * 977 % 200000;
        foreign[i].p = others_take(foreign[i].n);
    }
    CHECK(stats().zone_bytes == 0);
    for (unsigned i = 0; i < 200; i++) {
        check_foreign(foreign[i].p, foreign[i].n);
        give(&r[i]);
    }
    vm_frames_trim(0);
    for (unsigned i = 0; i < 200; i++)
        check_foreign(foreign[i].p, foreign[i].n);
    CHECK(vm_zone_check());
}

CHILD_CASE(others_move_the_break_between)
{
    static struct run r[200];

    start(true, 0);
    for (unsigned i = 0; i < 200; i++) {
        unsigned char *at = (unsigned char *)fake.end;
        size_t n = i % 3 == 0 ? 1 + i * 977 % 100000 : 0;
        fake.others_between = n;
        CHECK(take(&r[i], 1 + i % 32));
        if (n && fake.others_between == 0)
            check_foreign(at, n);
        fake.others_between = 0;
    }
    for (unsigned i = 0; i < 200; i++)
        give(&r[i]);
}

CHILD_CASE(others_move_the_break_down)
{
    struct run r[10];

    start(true, 0);
    for (unsigned i = 0; i < 10; i++)
        CHECK(take(&r[i], 16));
    give(&r[9]); /* this one is lost with the break */
    uintptr_t end = fake.end;
    unsigned moves = fake.moves;
    move_break(-(intptr_t)(4 * VM_FRAME_BYTES));
    vm_frames_trim(0);
    CHECK(fake.end == end - 4 * VM_FRAME_BYTES && fake.moves == moves);
    /* What lies above it now must not be handed out by growing over it. */
    for (unsigned i = 0; i < 8; i++) {
        struct vm_frames_news news;
        struct vm_page *p = vm_frames_alloc(32, 32 * VM_FRAME_BYTES, &news);
        CHECK(p && !in_break(p));
    }
    CHECK(fake.moves == moves && vm_zone_check());
}

/* With a limit on address space the descriptors' reservation is small; where it ends the break ends for us, and growth
   goes on in zones.  The limit is set while it is read only: the test itself has more. */
CHILD_CASE(limited_address_space)
{
    static struct run r[300];

    if (UNIT_SANITIZED) {
        puts("SKIP: limited_address_space: what a sanitizer reserves is above any limit");
        fflush(stdout);
        return;
    }
    fake.pool = mmap(NULL, 16 * VM_MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fake.pool != MAP_FAILED);
    fake.address_limit = 200 * VM_MIB;
    start(true, 0);
    for (unsigned i = 0; i < 160; i++) /* 320 MiB */
        CHECK(take(&r[i], 32));
    CHECK(stats().brk_bytes >= 200 * VM_MIB && stats().brk_bytes <= 256 * VM_MIB);
    CHECK(stats().zone_bytes >= 64 * VM_MIB);
    for (unsigned i = 0; i < 160; i++)
        give(&r[i]);
}

/* Counts what goes back to the system, in place of giving it back. */
static struct {
    size_t bytes;
    unsigned calls;
    bool refuse;
} unmapped;

static int count_unmapped(void *base, size_t bytes)
{
    (void)base;
    unmapped.calls++;
    unmapped.bytes += bytes;
    return unmapped.refuse ? -ENOMEM : 0;
}

static void set_address_limit(size_t bytes)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* A limit set since the start: descriptors for what the heap cannot become go back, each once, and only then. */
CHILD_CASE(limit_set_later)
{
    struct run r;

    if (UNIT_SANITIZED) {
        puts("SKIP: limit_set_later: what a sanitizer reserves is above any limit");
        fflush(stdout);
        return;
    }
    start(true, 0);
    CHECK(take(&r, 4));
    vm_os.unmap = count_unmapped;
    CHECK(!vm_frames_shed_reserve() && unmapped.calls == 0); /* no limit */
    set_address_limit(8 * VM_GIB);
    CHECK(vm_frames_shed_reserve());
    size_t per_gib = VM_GIB / VM_FRAME_BYTES * sizeof(struct vm_page);
    size_t first = unmapped.bytes;
    CHECKF(first >= 120 * per_gib && first <= 125 * per_gib, "%zu bytes", first); /* of 128 GiB */
    CHECK(!vm_frames_shed_reserve() && unmapped.bytes == first);
    set_address_limit(2 * VM_GIB);
    unmapped.refuse = true;
    CHECK(!vm_frames_shed_reserve());
    unmapped.refuse = false;
    size_t second = unmapped.bytes - first;
    CHECKF(second >= 6 * per_gib && second <= 7 * per_gib, "%zu bytes", second);
    CHECK(!vm_frames_shed_reserve() && unmapped.bytes == first + second);
    CHECK(vm_zone_check());
    set_address_limit(RLIM_INFINITY); /* the test itself needs some */
    struct run more[40];
    for (unsigned i = 0; i < 40; i++) /* the heap grows on */
        CHECK(take(&more[i], 32));
    CHECK(stats().brk_bytes >= 40 * VM_CHUNK_BYTES && stats().zone_bytes == 0);
    for (unsigned i = 0; i < 40; i++)
        give(&more[i]);
    give(&r);
}

/* ---- Waves ---- */

#define WAVE 1600 /* frames: 50 chunks */

static struct {
    unsigned advised; /* chunks for huge pages */
    bool refuse;
    uint64_t clock, cost; /* ns */
} huge;

static int fake_huge(void *base, size_t bytes, bool wanted)
{
    CHECK((uintptr_t)base % VM_CHUNK_BYTES == 0 && bytes == VM_CHUNK_BYTES);
    huge.advised += wanted;
    return huge.refuse ? -ENOMEM : 0;
}

static bool fake_setting(char *text, size_t room) { return snprintf(text, room, "always [madvise] never\n") > 0; }
static uint64_t fake_cpu_time(void) { return huge.clock += huge.cost; }

/* The first wave, after which next to nothing is kept. */
static void make_wave(struct run *r)
{
    start(true, 0);
    vm_os.huge = fake_huge;
    vm_os.thp_setting = fake_setting;
    vm_os.cpu_time = fake_cpu_time;
    for (unsigned i = 0; i < WAVE; i++)
        CHECK(take(&r[i], 1));
    for (unsigned i = 0; i < WAVE; i++)
        give(&r[i * 7 % WAVE]);
    CHECK(stats().free_dirty <= 10 * VM_MIB && huge.advised == 0);
}

static struct run waves[WAVE];

CHILD_CASE(the_second_wave_gets_whole_chunks_with_huge_pages)
{
    make_wave(waves);
    for (unsigned i = 0; i < WAVE; i++) {
        CHECK(take(&waves[i], 1));
        CHECK(i / VM_CHUNK_FRAMES >= 10
              || (huge.advised == i / VM_CHUNK_FRAMES + 1
                  && waves[i].page->start == vm_align_down(waves[i].page->start, VM_CHUNK_BYTES)
                                                 + i % VM_CHUNK_FRAMES * VM_FRAME_BYTES));
    }
    CHECKF(huge.advised >= WAVE / VM_CHUNK_FRAMES / 10 * 9, "%u chunks", huge.advised);
    for (unsigned i = 0; i < WAVE; i++)
        give(&waves[i * 7 % WAVE]);
    CHECK(stats().free_dirty >= WAVE * VM_FRAME_BYTES); /* paid for once */
}

CHILD_CASE(the_second_wave_where_huge_pages_are_dear)
{
    make_wave(waves);
    huge.cost = 2 * VM_THP_COST_MAX_NS;
    for (unsigned i = 0; i < WAVE; i++)
        CHECK(take(&waves[i], 1));
    CHECK(huge.advised == VM_THP_COST_LOOKS);
    for (unsigned i = 0; i < WAVE; i++)
        give(&waves[i * 7 % WAVE]);
}

CHILD_CASE(the_second_wave_where_the_system_refuses)
{
    make_wave(waves);
    huge.refuse = true;
    for (unsigned i = 0; i < WAVE / 2; i++)
        CHECK(take(&waves[i], 1));
    CHECK(huge.advised > 0);
    huge.refuse = false;
    fake.refuse_purging = true;
    for (unsigned i = WAVE / 2; i < WAVE; i++)
        CHECK(take(&waves[i], 1));
    fake.refuse_purging = false;
    for (unsigned i = 0; i < WAVE; i++)
        give(&waves[i * 7 % WAVE]);
}

CHILD_CASE(random_model)
{
    static struct run r[400];
    static struct {
        unsigned char *p;
        size_t n;
    } foreign[100];
    unsigned foreigners = 0;
    uint64_t random = unit_seed();

    start(true, below(&random, VM_CHUNK_BYTES));
    for (unsigned step = 0; step < (UNIT_SANITIZED ? 3000 : 20000); step++) {
        struct run *x = &r[below(&random, 400)];
        unsigned live_of_16 = step / 1000 % 2 ? 4 : 12;
        fake.map_limit = one_in(&random, 4) ? 0 : one_in(&random, 2) ? VM_MIB + below(&random, 8 * VM_MIB) : SIZE_MAX;
        fake.refuse_purging = one_in(&random, 8);
        fake.refuse_shrinking = one_in(&random, 8);
        fake.limit = one_in(&random, 4) ? fake.end : fake.base + BREAK_ROOM / 2;
        clock_ns += below(&random, 50000000);
        if (x->page && below(&random, 16) >= live_of_16)
            give(x);
        else if (!x->page && below(&random, 16) < live_of_16)
            take(x, one_in(&random, 3) ? 1 + (unsigned)below(&random, 32) : 1 + (unsigned)below(&random, 4));
        if (one_in(&random, 300) && foreigners < 100) {
            size_t n = 1 + below(&random, 100000);
            foreign[foreigners].n = n;
            foreign[foreigners++].p = others_take(n);
        }
        if (one_in(&random, 100))
            vm_frames_trim(below(&random, 8 * VM_MIB));
        CHECK(vm_zone_check());
        CHECK(vm_mmu_check());
    }
    size_t in_use = 0;
    for (unsigned i = 0; i < 400; i++)
        if (r[i].page) {
            in_use += r[i].n * VM_FRAME_BYTES;
            check_run(&r[i]);
        }
    CHECK(stats().in_use == in_use);
    for (unsigned i = 0; i < foreigners; i++)
        check_foreign(foreign[i].p, foreign[i].n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(runs_of_every_length),
        CHILD_TEST(zero_is_said_only_where_it_is_true),
        CHILD_TEST(purge_refused),
        CHILD_TEST(resident_frames_serve_first),
        CHILD_TEST(trim_lowers_the_break),
        CHILD_TEST(trim_stops_at_what_is_in_use),
        CHILD_TEST(trim_refused),
        CHILD_TEST(others_sit_on_top),
        CHILD_TEST(break_refused),
        CHILD_TEST(no_break_at_all),
        CHILD_TEST(zones_of_one_hint),
        CHILD_TEST(mappings_above_a_size_refused),
        CHILD_TEST(little_is_granted_late),
        CHILD_TEST(everything_refused),
        CHILD_TEST(descriptors_refused),
        CHILD_TEST(others_move_the_break_up),
        CHILD_TEST(others_move_the_break_between),
        CHILD_TEST(others_move_the_break_down),
        CHILD_TEST(limited_address_space),
        CHILD_TEST(limit_set_later),
        CHILD_TEST(the_second_wave_gets_whole_chunks_with_huge_pages),
        CHILD_TEST(the_second_wave_where_huge_pages_are_dear),
        CHILD_TEST(the_second_wave_where_the_system_refuses),
        CHILD_TEST(random_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

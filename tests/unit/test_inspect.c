/* Unit tests of src/api/inspect.c, heap/walk and report/dump: statistics, classes, what addresses are, all blocks, dumps,
   purging; with blocks handed out and freed by other threads meanwhile.  Run by `make check`. */
#define vmalloc_stats_read vmt_vmalloc_stats_read
#define vmalloc_class_read vmt_vmalloc_class_read
#define vmalloc_dump vmt_vmalloc_dump
#define vmalloc_translate vmt_vmalloc_translate
#define vmalloc_walk vmt_vmalloc_walk
#define vmalloc_purge vmt_vmalloc_purge
#include "unit.h"

#include <stdio.h>
#include <sys/mman.h>

#include "heap/class.h"
#include "vmalloc/vmalloc.h"

#define BLOCKS 3000

CHILD_CASE(statistics)
{
    struct vmalloc_stats s, whole;
    void *small[100], *large[3];
    unsigned char part[24];

    for (unsigned i = 0; i < 100; i++)
        small[i] = vmt_malloc(1000);
    for (unsigned i = 0; i < 3; i++)
        large[i] = vmt_malloc(1 << 20);
    CHECK(vmalloc_stats_read(&s, sizeof s) == 0);
    CHECK(s.small_live_bytes == 100 * 1024 && s.small_live_blocks == 100);
    CHECK(s.large_live_bytes == 3u << 20 && s.large_live_blocks == 3);
    CHECK(s.slab_bytes == s.small_live_bytes + s.slab_free_bytes + s.slab_untouched_bytes + s.slab_tail_bytes);
    CHECK(s.heaps == 1 && s.heaps_idle == 0 && s.metadata_bytes > 0 && s.mem_map_bytes > 0);
    CHECK(s.counted == 0 && s.calls == 0 && s.peak_live_bytes == 0);
    /* An older caller, with less room, and a newer one. */
    struct { struct vmalloc_stats s; uint64_t more[2]; } newer;
    memset(&newer, 0xff, sizeof newer);
    CHECK(vmalloc_stats_read(&newer.s, sizeof newer) == 0 && newer.more[0] == 0 && newer.more[1] == 0);
    memset(part, 0xff, sizeof part);
    CHECK(vmalloc_stats_read((void *)part, 16) == 0 && memcmp(part, &s, 16) == 0 && part[16] == 0xff);
    errno = 0;
    CHECK(vmalloc_stats_read(&whole, 0) == -1 && errno == EINVAL);
    for (unsigned i = 0; i < 100; i++)
        vmt_free(small[i]);
    for (unsigned i = 0; i < 3; i++)
        vmt_free(large[i]);
    CHECK(vmalloc_stats_read(&s, sizeof s) == 0 && s.small_live_blocks == 0 && s.large_live_blocks == 0);
}

CHILD_CASE(classes)
{
    struct vmalloc_class c;
    void *p = vmt_malloc(100), *q = vmt_malloc(500000);

    CHECK(vmalloc_class_read(vm_class_of(100), &c, sizeof c) == 0);
    CHECK(c.block_bytes == 112 && c.live_blocks == 1 && c.slabs == 1 && c.slab_bytes >= 112 && c.free_blocks > 0);
    CHECK(vmalloc_class_read(vm_class_of(5000), &c, sizeof c) == 0 && c.live_blocks == 0 && c.slabs == 0
          && c.block_bytes == 5120);
    CHECK(vmalloc_class_read(0, &c, sizeof c) == 0 && c.block_bytes == 0 && c.live_blocks == 1);
    errno = 0;
    CHECK(vmalloc_class_read(VM_CLASSES, &c, sizeof c) == -1 && errno == EINVAL);
    vmt_free(p);
    vmt_free(q);
}

static enum vmalloc_owner owner(const void *p, struct vmalloc_address *a)
{
    memset(a, 0xff, sizeof *a);
    errno = 77;
    CHECK(vmalloc_translate(p, a, sizeof *a) == 0 && errno == 77);
    return a->owner;
}

CHILD_CASE(addresses)
{
    struct vmalloc_address a;
    char *small = vmt_malloc(600), *other = vmt_malloc(600), *large = vmt_malloc(300000), *kept = vmt_malloc(300000);
    static int variable;
    int local = 0;

    memset(small, 1, 600);
    for (unsigned i = 0; i < 600; i += 37) {
        CHECK(owner(small + i, &a) == VMALLOC_SMALL_BLOCK && a.start == small && a.bytes == 640);
        CHECK(a.class_id == vm_class_of(600) && a.resident == 1);
    }
    CHECK(owner(small + 640, &a) != VMALLOC_NOT_OURS && a.start != small);
    vmt_free(small);
    CHECK(owner(small + 5, &a) == VMALLOC_SMALL_FREE && a.start == small && a.bytes == 640);
    CHECK(owner(other + 640 * 80, &a) == VMALLOC_SMALL_UNUSED && a.bytes == 640);
    char *slab_end = (char *)(((uintptr_t)other | 65535) + 1);
    CHECK(owner(slab_end - 1, &a) == VMALLOC_SLAB_TAIL && (char *)a.start + a.bytes == slab_end && a.bytes == 65536 % 640);

    large[4096 * 3] = 1;
    CHECK(owner(large, &a) == VMALLOC_LARGE_BLOCK && a.start == large && a.bytes == 303104 && a.class_id == 0);
    CHECK(owner(large + 4096 * 3, &a) == VMALLOC_LARGE_BLOCK && a.start == large && a.resident == 1);
    CHECK(owner(large + 4096 * 20, &a) == VMALLOC_LARGE_BLOCK && a.resident == 0);
    vmt_free(large);
    CHECK(owner(large, &a) == VMALLOC_LARGE_FREE || a.owner == VMALLOC_NOT_OURS);
    CHECK(owner(kept, &a) == VMALLOC_LARGE_BLOCK && a.start == kept);
    const void *foreign[] = {NULL, &variable, &local, (void *)(uintptr_t)addresses, (void *)1, (void *)UINTPTR_MAX,
                             (void *)((uintptr_t)1 << 47), (void *)((uintptr_t)1 << 63)};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        CHECK(owner(foreign[i], &a) == VMALLOC_NOT_OURS && !a.start && a.bytes == 0 && a.resident == -1);
    errno = 0;
    CHECK(vmalloc_translate(kept, &a, 0) == -1 && errno == EINVAL);
    vmt_free(other);
    vmt_free(kept);
}

/* ---- The walk ---- */

struct met {
    void *block[BLOCKS];
    bool seen[BLOCKS];
    size_t count, strangers, bytes;
    const void *last_small, *last_large;
    unsigned stop_after;
};

static int by_address(const void *a, const void *b)
{
    const char *const *p = a, *const *q = b;
    return *p < *q ? -1 : *p > *q;
}

static int meet(void *start, size_t bytes, unsigned class_id, void *arg)
{
    struct met *m = arg;
    void **found = bsearch(&start, m->block, BLOCKS, sizeof *m->block, by_address);
    const void **last = class_id ? &m->last_small : &m->last_large;

    CHECK(*last < start && (class_id == 0 || !m->last_large)); /* small ones first, each kind by address */
    *last = start;
    CHECK(bytes == vmt_malloc_usable_size(start));
    m->count++;
    m->bytes += bytes;
    if (found && *found)
        m->seen[found - m->block] = true;
    else
        m->strangers++;
    vmt_free(vmt_malloc(bytes / 2 + 1)); /* as may be done */
    return m->stop_after && m->count == m->stop_after ? 42 : 0;
}

static void fill_table(struct met *m, uint64_t *r)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        m->block[i] = vmt_malloc(i % 50 == 0 ? 131072 + below(r, 1000000) : 1 + below(r, i % 7 ? 2000 : 70000));
        CHECK(m->block[i]);
    }
}

CHILD_CASE(every_block_is_met_once)
{
    static struct met m;
    uint64_t r = unit_seed();

    fill_table(&m, &r);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < BLOCKS; i++)
            if (m.block[i] && below(&r, 3) == 0)
                vmt_free(m.block[i]), m.block[i] = NULL;
        if (round == 2)
            vmalloc_purge(); /* free pages inside slabs go back */
        qsort(m.block, BLOCKS, sizeof *m.block, by_address);
        memset(m.seen, 0, sizeof m.seen);
        m.count = m.strangers = 0;
        m.last_small = m.last_large = NULL;
        CHECK(vmalloc_walk(meet, &m) == 0);
        size_t live = 0;
        for (unsigned i = 0; i < BLOCKS; i++) {
            live += m.block[i] != NULL;
            CHECKF(!m.block[i] || m.seen[i], "%p was not met", m.block[i]);
        }
        CHECKF(m.count == live && m.strangers == 0, "%zu met, %zu live, %zu strangers", m.count, live, m.strangers);
    }
    m.count = 0, m.stop_after = 10, m.last_small = m.last_large = NULL;
    CHECK(vmalloc_walk(meet, &m) == 42 && m.count == 10);
}

#ifndef __SANITIZE_THREAD__ /* which reports, rightly, that blocks are looked at while their threads write to them */
static bool stop;

static void *churn(void *arg)
{
    void *p[64] = {NULL};

    for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i = i * 1103515245 + 12345) {
        vmt_free(p[i >> 8 & 63]);
        p[i >> 8 & 63] = vmt_malloc(i >> 16 & 8191);
    }
    for (unsigned i = 0; i < 64; i++)
        vmt_free(p[i]);
    return arg;
}

static int touch(void *start, size_t bytes, unsigned class_id, void *arg)
{
    struct met *m = arg;
    void **found = bsearch(&start, m->block, BLOCKS, sizeof *m->block, by_address);

    CHECK(start && bytes >= 16 && class_id < VM_CLASSES);
    m->count++;
    if (found)
        m->seen[found - m->block] = true;
    return 0;
}

CHILD_CASE(others_at_work)
{
    static struct met m;
    struct vmalloc_stats s;
    struct vmalloc_address a;
    uint64_t r = unit_seed();
    pthread_t t[3];

    fill_table(&m, &r);
    qsort(m.block, BLOCKS, sizeof *m.block, by_address);
    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, churn, NULL) == 0);
    for (unsigned round = 0; round < 20; round++) {
        memset(m.seen, 0, sizeof m.seen);
        CHECK(vmalloc_walk(touch, &m) == 0);
        for (unsigned i = 0; i < BLOCKS; i++) {
            CHECK(m.seen[i]); /* ours are there all the time */
            CHECK(owner(m.block[i], &a) == VMALLOC_SMALL_BLOCK || a.owner == VMALLOC_LARGE_BLOCK);
        }
        CHECK(vmalloc_stats_read(&s, sizeof s) == 0 && s.small_live_blocks + s.large_live_blocks >= BLOCKS);
        vmalloc_purge();
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
}
#endif

/* ---- Dumps ---- */

static size_t dumped(enum vmalloc_format format, char *text, size_t cap)
{
    FILE *file = tmpfile();

    CHECK(file && vmalloc_dump(fileno(file), format) == 0);
    rewind(file);
    size_t n = fread(text, 1, cap - 1, file);
    text[n] = '\0';
    fclose(file);
    return n;
}

CHILD_CASE(dumps)
{
    static char text[1 << 16];
    void *p = vmt_malloc(100), *q = vmt_malloc(1 << 20);

    CHECK(dumped(VMALLOC_TEXT, text, sizeof text) > 100 && strncmp(text, "libvmalloc\n", 11) == 0);
    CHECK(strstr(text, "\n  class 112: 1 live, "));
    dumped(VMALLOC_XML, text, sizeof text);
    CHECK(strncmp(text, "<malloc version=\"1\">\n", 21) == 0 && strcmp(text + strlen(text) - 10, "</malloc>\n") == 0);
    CHECK(strstr(text, "<class bytes=\"112\" slabs=\"1\" ") && strstr(text, "<figure name=\"large_live_blocks\" value=\"1\"/>"));
    CHECK(strstr(text, "<heap nr=\"0\" state=\"live\" slabs=\"1\" "));
    dumped(VMALLOC_JSON, text, sizeof text);
    CHECK(text[0] == '{' && strcmp(text + strlen(text) - 3, "\n}\n") == 0);
    CHECK(strstr(text, "\"large_live_bytes\": 1048576,") && strstr(text, "{\"class_bytes\": 112, \"slabs\": 1,"));
    errno = 0;
    CHECK(vmalloc_dump(1, (enum vmalloc_format)7) == -1 && errno == EINVAL);
    CHECK(vmalloc_dump(-1, VMALLOC_JSON) == -1 && errno == EBADF);
    vmt_free(p);
    vmt_free(q);
}

CHILD_CASE(purge)
{
    enum { BYTES = 60000, COUNT = 100 };
    struct vmalloc_stats s;
    void *p[COUNT];

    for (unsigned i = 0; i < COUNT; i++)
        p[i] = memset(vmt_malloc(BYTES), 1, BYTES);
    for (unsigned i = 0; i < COUNT; i++)
        vmt_free(p[i]);
    CHECK(vmalloc_stats_read(&s, sizeof s) == 0 && s.frames_dirty_bytes > 0);
    errno = 5;
    CHECK(vmalloc_purge() >= (size_t)(COUNT - 1) * 60000 && errno == 5);
    CHECK(vmalloc_stats_read(&s, sizeof s) == 0 && s.frames_dirty_bytes == 0 && s.extents_dirty_bytes == 0);
    CHECK(vmalloc_purge() == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(statistics), CHILD_TEST(classes), CHILD_TEST(addresses), CHILD_TEST(every_block_is_met_once),
#ifndef __SANITIZE_THREAD__
        CHILD_TEST(others_at_work),
#endif
        CHILD_TEST(dumps), CHILD_TEST(purge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

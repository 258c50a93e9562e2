/* Comparing the shadow page table with the kernel's; see fidelity.h.  A check runs under vm_mmu_lock, so that no change
   can be noted meanwhile; what other threads do to pages that they have is no matter to it.  One check at a time: its
   buffers are static. */
#include "report/fidelity.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"
#include "reclaim/thp.h"
#include "vm/mmu.h"
#include "vm/pgtab.h"

#define SHADOW_PAGE ((uintptr_t)1 << VM_PAGE_SHIFT)
#define HUGE_PAGE ((uintptr_t)2 * VM_MIB)
#define WINDOW 512      /* entries of pagemap read at a time */
#define TEXT 8192       /* of smaps */
#define ROUNDS 32       /* of counting, when more pages are counted than the kernel counts */
#define CHECK_SPARSER 4 /* slow paths until a check, times those until the one before */

/* Documentation/admin-guide/mm/pagemap.rst */
#define MAP_PRESENT ((uint64_t)1 << 63)
#define MAP_SWAPPED ((uint64_t)1 << 62)
#define MAP_FILE ((uint64_t)1 << 61)
#define MAP_EXCLUSIVE ((uint64_t)1 << 56)

bool vm_fidelity_on;

static bool busy;          /* a check is under way */
static bool always_huge;   /* const: after start-up; the system gives huge pages unasked */
static const char *report; /* const: after start-up; vm_check=FILE */
static uint64_t ticks, next_check = 1;

/* Under `busy`. */
static VM_COLD_DATA uint64_t window[WINDOW];
static VM_COLD_DATA char text[TEXT];
static VM_COLD_DATA uint64_t content[SHADOW_PAGE / sizeof(uint64_t)];

struct check {
    struct vm_fidelity *f;
    int pagemap, memory; /* memory: -1, not to be had */
    int error;
    uintptr_t from; /* first address of the window; 0: none read yet */
    uintptr_t huge; /* the 2 MiB block asked about last, + 1 */
    bool huge_filled;
    uint64_t in_memory; /* present and no page of zeros */
};

uint64_t vm_fidelity_violations(const struct vm_fidelity *f)
{
    return f->never_out + f->returned + f->foreign + f->shared + f->disowned + f->twice + f->lazy + f->lost;
}

/* ---- Page by page ---- */

/* What pagemap says of the system's page that holds the address. */
static uint64_t entry_of(struct check *c, uintptr_t at)
{
    size_t page = vm_os.page_size;

    if (c->from == 0 || at < c->from || at >= c->from + WINDOW * page) {
        c->from = vm_align_down(at, WINDOW * page);
        memset(window, 0, sizeof window);
        long got = vm_os_read_at(c->pagemap, window, sizeof window, c->from / page * sizeof *window);
        if (got < 0)
            c->error = (int)got;
    }
    return window[(at - c->from) / page];
}

/* Was any page of the huge page (or of the system's page, where that is larger than the shadow's) handed out? */
static bool is_filled(struct check *c, uintptr_t at)
{
    uintptr_t page = at & ~(vm_os.page_size - 1), block = at & ~(HUGE_PAGE - 1);

    if (vm_os.page_size > SHADOW_PAGE && vm_mmu_pages_with(page, page + vm_os.page_size, VM_PTE_PRESENT) > 0)
        return true;
    if (c->huge == block + 1)
        return c->huge_filled;
    int kind = vm_os_page_kind(c->pagemap, page);
    bool huge = kind >= 0 && (kind & VM_OS_PAGE_HUGE);
    if (kind < 0) { /* an older kernel: huge pages are wholly there */
        huge = true;
        for (uintptr_t p = block; p < block + HUGE_PAGE && huge; p += vm_os.page_size)
            huge = entry_of(c, p) & MAP_PRESENT;
    }
    if (!huge)
        return false;
    c->huge = block + 1;
    c->huge_filled = vm_mmu_pages_with(block, block + HUGE_PAGE, VM_PTE_PRESENT) > 0;
    return c->huge_filled;
}

/* Can it have come with a huge page that is split now?  Its content is read by the file, as another thread may have unmapped
   it and wait for our lock with the note of that. */
static bool is_split(const struct check *c, uintptr_t at)
{
    if (!always_huge && !vm_os_huge_asked())
        return false;
    if (vm_os_read_at(c->memory, content, sizeof content, at) != (long)sizeof content)
        return false;
    for (size_t i = 0; i < sizeof content / sizeof *content; i++)
        if (content[i] != 0)
            return false;
    return true;
}

/* One page that is resident. */
static void compare(struct check *c, uintptr_t at, vm_pte e, uint64_t entry)
{
    struct vm_fidelity *f = c->f;

    f->resident++;
    f->foreign += !!(entry & MAP_FILE);
    bool split = false;
    if (!(e & VM_PTE_PRESENT)) {
        bool filled = is_filled(c, at);
        split = !filled && is_split(c, at);
        f->filled += filled;
        f->split += split;
        f->returned += !filled && !split && (e & VM_PTE_RETURNED);
        f->never_out += !filled && !split && !(e & VM_PTE_RETURNED);
    }
    if (!(entry & MAP_PRESENT))
        return;
    if (!(entry & MAP_EXCLUSIVE)) {
        int kind = vm_os_page_kind(c->pagemap, at & ~(vm_os.page_size - 1));
        bool zero = kind > 0 && (kind & VM_OS_PAGE_ZERO);
        f->zero += zero;
        /* What a huge page brought in may be handed out after the fork, and is shared until it is written to. */
        f->shared += kind >= 0 && !zero && !(e & VM_PTE_COW) && !split && !is_filled(c, at) && !is_split(c, at);
        if (zero || kind < 0)
            return;
    }
    c->in_memory++;
}

static bool is_covered(uintptr_t base, size_t bytes, vm_pte e)
{
    const void *descriptor = vm_pte_descriptor(e);
    const struct vm_zone *z = descriptor;
    const struct vm_extent *x = descriptor;

    switch (vm_pte_owner_kind(e)) {
    case VM_KIND_ZONE: return z && base >= z->base && base + bytes <= z->base + z->span;
    case VM_KIND_EXTENT: return x && base >= VM_LOAD(&x->base) && base + bytes <= VM_LOAD(&x->base) + x->size;
    default: return false;
    }
}

static bool check_leaf(void *ctx, uintptr_t base, size_t bytes, vm_pte *leaf)
{
    struct check *c = ctx;
    uint64_t n = bytes >> VM_PAGE_SHIFT;

    c->f->pages += n;
    c->f->present += *leaf & VM_PTE_PRESENT ? n : 0;
    c->f->cow += *leaf & VM_PTE_COW ? n : 0;
    c->f->disowned += is_covered(base, bytes, *leaf) ? 0 : n;
    for (uintptr_t at = base; at < base + bytes && !c->error; at += SHADOW_PAGE) {
        uint64_t entry = entry_of(c, at);
        if (entry & (MAP_PRESENT | MAP_SWAPPED))
            compare(c, at, *leaf, entry);
    }
    return !c->error;
}

/* ---- Mapping by mapping ---- */

struct mapping {
    uintptr_t from, to;
    uint64_t rss, lazy; /* 4 KiB pages */
};

static uint64_t number_at(const char **p, unsigned base)
{
    uint64_t n = 0;

    for (;; ++*p) {
        char c = **p;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 99;
        if (digit >= base)
            return n;
        n = n * base + digit;
    }
}

/* "Rss:      1234 kB" in 4 KiB pages. */
static bool field(const char *line, const char *name, uint64_t *pages)
{
    size_t length = strlen(name);

    if (strncmp(line, name, length) != 0)
        return false;
    line += length;
    while (*line == ' ')
        line++;
    *pages = number_at(&line, 10) / 4;
    return true;
}

/* All of a mapping is read. */
static void judge(const struct mapping *m, struct check *c, uint64_t *rss)
{
    uint64_t ours = vm_mmu_pages_with(m->from, m->to, VM_PTE_LEAF);

    if (ours == 0)
        return;
    *rss += m->rss;
    if (ours == (m->to - m->from) >> VM_PAGE_SHIFT && m->lazy > vm_mmu_pages_with(m->from, m->to, VM_PTE_LAZY))
        c->f->lazy += m->lazy;
}

/* A line is the head of a mapping, "FROM-TO rw-p ...", or one of its fields. */
static void take_line(const char *line, struct mapping *m, struct check *c, uint64_t *rss)
{
    const char *p = line;
    uintptr_t from = number_at(&p, 16);

    if (p > line && *p == '-') {
        judge(m, c, rss);
        p++;
        *m = (struct mapping){.from = from, .to = number_at(&p, 16)};
    } else if (!field(line, "Rss:", &m->rss)) {
        field(line, "LazyFree:", &m->lazy);
    }
}

/* Reads what the kernel counts of the mappings that hold pages of ours, in pages. */
static uint64_t check_mappings(struct check *c)
{
    int fd = vm_os_open_read("/proc/self/smaps");
    struct mapping m = {0, 0, 0, 0};
    uint64_t rss = 0, offset = 0;
    long got;

    if (fd < 0) {
        c->error = -errno;
        return 0;
    }
    while ((got = vm_os_read_at(fd, text, sizeof text - 1, offset)) > 0) {
        char *line = text, *end;
        text[got] = '\0';
        for (; (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            take_line(line, &m, c, &rss);
        }
        if (line == text)
            break; /* longer than the buffer: no such line there */
        offset += (uint64_t)(line - text);
    }
    judge(&m, c, &rss);
    vm_os_close(fd);
    return rss;
}

/* ---- All of it ---- */

/* One round: how many pages were counted beyond the kernel's count of the mappings. */
static uint64_t count_all(struct check *c)
{
    vm_mmu_pages_each(check_leaf, c);
    uint64_t rss = c->error ? 0 : check_mappings(c);
    return !c->error && c->in_memory > rss ? c->in_memory - rss : 0;
}

/* What the kernel counts is at least what was counted page by page, of which it is read a moment later: another thread may
   have purged pages in between, and now waits for our lock with its note of that (vm/mmu.h).  It cannot purge more before
   it has noted that, so counting again tells such pages from those that have two owners: these stay. */
static uint64_t counted_twice(struct check *c)
{
    uint64_t beyond = count_all(c);

    for (unsigned round = 1; round < ROUNDS && beyond > 0 && !c->error; round++) {
        struct vm_fidelity again = {0};
        struct check next = {.f = &again, .pagemap = c->pagemap, .memory = c->memory};
        uint64_t now = count_all(&next);
        beyond = vm_min(beyond, now);
        c->error = next.error;
    }
    return beyond;
}

int vm_fidelity_check(struct vm_fidelity *f)
{
    struct check c = {.f = f};
    bool expected = false;

    memset(f, 0, sizeof *f);
    if (!vm_mmu_full)
        return -EINVAL;
    if (vm_lock_is_mine(&vm_mmu_lock)
        || !__atomic_compare_exchange_n(&busy, &expected, true, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return -EAGAIN;
    vm_lock_outer(&vm_mmu_lock);
    c.pagemap = vm_os_open_read("/proc/self/pagemap");
    c.error = c.pagemap < 0 ? -errno : 0;
    c.memory = vm_os_open_read("/proc/self/mem");
    if (!c.error) {
        f->twice = counted_twice(&c);
        vm_os_close(c.pagemap);
    }
    if (c.memory >= 0)
        vm_os_close(c.memory);
    f->twice += vm_mmu_faults().mapped_twice;
    f->lost = vm_mmu_faults().lost;
    vm_unlock(&vm_mmu_lock);
    __atomic_store_n(&busy, false, __ATOMIC_RELEASE);
    return c.error;
}

/* ---- The option ---- */

void vm_fidelity_start(const char *path)
{
    int fd = vm_os_open_append(path);
    char setting[64];

    if (fd < 0) {
        vm_warn("VMALLOC_OPTIONS: vm_check: cannot append to %s; ignored", path);
        return;
    }
    vm_os_close(fd);
    report = path;
    /* Not by vm_huge_system(): once that was asked, small heaps mind huge pages too (page/huge.c), and a check is to see
       the heap as it is without it. */
    always_huge = vm_os.thp_setting(setting, sizeof setting) && vm_thp_system_of(setting) == VM_THP_SYSTEM_ALWAYS;
    vm_fidelity_on = true;
}

static void check_and_report(void)
{
    struct vm_fidelity f;
    char line[512];
    int error = vm_fidelity_check(&f), fd;

    if (error == -EAGAIN)
        return;
    if ((fd = vm_os_open_append(report)) < 0)
        return;
    size_t n =
        error
            ? vm_fmt(line, sizeof line, "pid %d: cannot be checked: error %d\n", vm_os_pid(), -error)
            : vm_fmt(
                line, sizeof line,
                "pid %d: pages %zu present %zu resident %zu filled %zu split %zu zero %zu cow %zu violations %zu: never-out %zu "
                "returned %zu foreign %zu shared %zu disowned %zu twice %zu lazy %zu lost %zu\n",
                vm_os_pid(), f.pages, f.present, f.resident, f.filled, f.split, f.zero, f.cow,
                vm_fidelity_violations(&f), f.never_out, f.returned, f.foreign, f.shared, f.disowned, f.twice, f.lazy,
                f.lost);
    vm_os_append(fd, line, n);
    vm_os_close(fd);
}

void vm_fidelity_count(void)
{
    uint64_t now = __atomic_add_fetch(&ticks, 1, __ATOMIC_RELAXED), next = VM_LOAD(&next_check);

    if (now < next
        || !__atomic_compare_exchange_n(&next_check, &next, CHECK_SPARSER * now, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        return;
    check_and_report();
}

void vm_fidelity_now(void)
{
    if (vm_fidelity_on)
        check_and_report();
}

void vm_fidelity_forked(void)
{
    busy = false;
    VM_STORE(&next_check, VM_LOAD(&ticks) + 1);
}

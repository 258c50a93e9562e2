/* Unit tests of the complete shadow page table (vm=1): changes of ranges against a plain array of pages, large leaves made,
   split and folded, what each event does to a page, and the heap's shadow compared with the kernel's, which must find every
   kind of fault that is put in on purpose.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/lock.h"
#include "os/os.h"
#include "page/extent.h"
#include "report/fidelity.h"
#include "vm/mmu.h"
#include "vm/pgtab.h"

#define PAGE ((uint64_t)1 << VM_PAGE_SHIFT)
#define MB2 ((uint64_t)1 << 21)
#define GB1 ((uint64_t)1 << 30)
#define INNER (VM_PTE_LEAF | VM_PTE_HUGE)

static void give(struct vm_pgtab *t, unsigned n)
{
    for (; n > 0; n--)
        vm_pgtab_give(t, own_memory(sizeof(struct vm_table)));
}

/* One change, with no more spare tables than are promised to be enough. */
static uint64_t change(struct vm_pgtab *t, uint64_t base, uint64_t bytes, struct vm_pgtab_change c)
{
    unsigned need = VM_PGTAB_CHANGE_NEED(bytes), all;

    if (t->spares < need)
        give(t, need - t->spares);
    all = t->tables + t->spares;
    vm_pgtab_change(t, base, bytes, &c);
    CHECK(t->tables + t->spares == all);
    CHECK(vm_pgtab_check(t));
    return c.found;
}

/* ---- Against an array ---- */

#define PAGES 4096

static vm_pte random_bits(uint64_t *r)
{
    static const vm_pte bits[] = {VM_PTE_PRESENT, VM_PTE_OUT, VM_PTE_ACCESSED, VM_PTE_ZERO, VM_PTE_COW};
    vm_pte e = 0;

    for (unsigned i = 0; i < 5; i++)
        e |= one_in(r, 2) ? bits[i] : 0;
    return e;
}

static struct vm_pgtab_change random_change(uint64_t *r)
{
    vm_pte owner = vm_pte_number((void *)(uintptr_t)(64 * (1 + below(r, 3)))) | (vm_pte)VM_KIND_ZONE << VM_PTE_KIND_SHIFT;

    switch (below(r, 5)) {
    case 0: return (struct vm_pgtab_change){0}; /* removed */
    case 1: return (struct vm_pgtab_change){.set = owner | random_bits(r), .fill = true};
    case 2: return (struct vm_pgtab_change){.keep = ~VM_PTE_OWNER_MASK, .set = owner};
    case 3: return (struct vm_pgtab_change){.keep = ~(vm_pte)0, .set = owner | VM_PTE_DIRTY, .fill = true};
    default: return (struct vm_pgtab_change){.keep = ~random_bits(r), .set = random_bits(r)};
    }
}

static bool sum_leaf(void *ctx, uintptr_t base, size_t bytes, vm_pte *leaf)
{
    uint64_t *sum = ctx;

    CHECK(base >= sum[1] && (*leaf & VM_PTE_LEAF)); /* in order */
    CHECK(!(*leaf & VM_PTE_HUGE) == (bytes == PAGE));
    sum[0] += bytes / PAGE;
    sum[1] = base + bytes;
    return true;
}

static void random_changes(void **state)
{
    (void)state;
    static const uint64_t bases[] = {GB1 - PAGES / 2 * PAGE, 512 * GB1 - PAGES / 2 * PAGE, 0x7f0000000000, (uint64_t)1 << 48};
    static vm_pte reference[PAGES];
    uint64_t r = unit_seed();

    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++) {
        struct vm_pgtab t = VM_PGTAB_INIT;
        memset(reference, 0, sizeof reference);
        for (unsigned step = 0; step < 3000; step++) {
            unsigned from = (unsigned)below(&r, PAGES), n = 1 + (unsigned)below(&r, one_in(&r, 3) ? PAGES : 600);
            from = one_in(&r, 3) ? from & ~511u : from;
            n = n > PAGES - from ? PAGES - from : n;
            struct vm_pgtab_change c = random_change(&r);
            uint64_t found = change(&t, bases[b] + from * PAGE, n * PAGE, c), had = 0, all[2] = {0}, expected = 0;
            for (unsigned i = from; i < from + n; i++) {
                had += reference[i] != 0;
                if (reference[i] || c.fill) {
                    vm_pte bits = (reference[i] & c.keep & ~INNER) | c.set;
                    reference[i] = bits ? bits | VM_PTE_LEAF : 0;
                }
            }
            CHECKF(found == had, "%llu pages found, not %llu", (unsigned long long)found, (unsigned long long)had);
            for (unsigned i = 0; i < PAGES; i++) {
                size_t run;
                vm_pte e = vm_pgtab_run(&t, bases[b] + i * PAGE, &run);
                CHECKF((e & ~VM_PTE_HUGE) == reference[i], "page %u: %#llx, not %#llx", i, (unsigned long long)e,
                       (unsigned long long)reference[i]);
                expected += reference[i] != 0;
                for (; i % 512 != 511 && i + 1 < PAGES && run > PAGE && reference[i + 1] == reference[i]; run -= PAGE)
                    expected += reference[++i] != 0;
            }
            vm_pgtab_each(&t, sum_leaf, all);
            CHECK(all[0] == expected);
        }
        change(&t, bases[b], PAGES * PAGE, (struct vm_pgtab_change){0});
        assert_int_equal(t.tables, 1);
    }
}

/* ---- Leaves of 2 MiB and 1 GiB ---- */

static void large_leaves(void **state)
{
    (void)state;
    struct vm_pgtab t = VM_PGTAB_INIT;
    vm_pte owner = vm_pte_number((void *)64);
    size_t run;

    change(&t, GB1, 2 * GB1, (struct vm_pgtab_change){.set = owner, .fill = true});
    assert_int_equal(t.tables, 2);
    assert_true(vm_pgtab_run(&t, GB1, &run) & VM_PTE_HUGE);
    assert_int_equal(run, GB1);
    /* One page differs: the 1 GiB leaf is split twice, and whole again when it does not differ any more. */
    change(&t, GB1 + 5 * MB2 + 7 * PAGE, PAGE, (struct vm_pgtab_change){.keep = ~(vm_pte)0, .set = VM_PTE_DIRTY});
    assert_int_equal(t.tables, 4);
    vm_pgtab_run(&t, GB1 + 5 * MB2, &run);
    assert_int_equal(run, PAGE);
    vm_pgtab_run(&t, GB1 + 6 * MB2 + PAGE, &run);
    assert_int_equal(run, MB2 - PAGE);
    change(&t, GB1 + 5 * MB2 + 7 * PAGE, PAGE, (struct vm_pgtab_change){.keep = ~VM_PTE_DIRTY, .set = 0});
    assert_int_equal(t.tables, 2);
    assert_true(vm_pgtab_run(&t, GB1 + 5 * MB2, &run) & VM_PTE_HUGE);
    assert_int_equal(run, GB1 - 5 * MB2);
    /* Page by page to a whole. */
    for (unsigned i = 0; i < 512; i++)
        change(&t, 4 * GB1 + i * PAGE, PAGE, (struct vm_pgtab_change){.set = owner, .fill = true});
    assert_true(vm_pgtab_run(&t, 4 * GB1, &run) & VM_PTE_HUGE);
    assert_int_equal(run, MB2);
    change(&t, GB1, 4 * GB1, (struct vm_pgtab_change){0});
    assert_int_equal(t.tables, 1);
}

/* ---- Events ---- */

#define BASE ((uintptr_t)0x7f0000000000)
static uint64_t descriptor[2] VM_ALIGNED(64);

static void page_is(uintptr_t at, vm_pte bits)
{
    vm_pte e = vm_mmu_page(at), state = e & ~(VM_PTE_OWNER_MASK | INNER);

    CHECKF(state == bits && (e & VM_PTE_LEAF), "page at %#lx: state %#llx, not %#llx", (unsigned long)at,
           (unsigned long long)state, (unsigned long long)bits);
    CHECK(vm_mmu_check());
}

CHILD_CASE(events)
{
    const vm_pte present = VM_PTE_PRESENT, out = VM_PTE_OUT, wrote = VM_PTE_ACCESSED | VM_PTE_DIRTY, zero = VM_PTE_ZERO;

    vm_mmu_full = false;
    vm_mmu_note_mapped(BASE, PAGE, VM_KIND_EXTENT, descriptor);
    CHECK(vm_mmu_page(BASE) == 0); /* off: nothing is kept */
    vm_mmu_full_start();
    vm_mmu_note_mapped(BASE, 16 * PAGE, VM_KIND_EXTENT, descriptor);
    page_is(BASE + 5 * PAGE, zero);
    vm_mmu_note(VM_MMU_OUT, BASE, 8 * PAGE);
    page_is(BASE, present | out | zero);
    page_is(BASE + 8 * PAGE, zero);
    vm_mmu_note(VM_MMU_TOUCHED, BASE + PAGE + 100, 1);
    page_is(BASE, present | out | zero);
    page_is(BASE + PAGE, present | out | wrote);
    vm_mmu_forked();
    page_is(BASE + PAGE, present | out | wrote | VM_PTE_COW);
    page_is(BASE + 9 * PAGE, zero);
    vm_mmu_note(VM_MMU_TOUCHED, BASE + PAGE, PAGE);
    page_is(BASE + PAGE, present | out | wrote);
    vm_mmu_note(VM_MMU_KEPT, BASE, 2 * PAGE);
    page_is(BASE + PAGE, present | wrote);
    vm_mmu_note(VM_MMU_LAZY, BASE, 2 * PAGE);
    page_is(BASE + PAGE, present | VM_PTE_ACCESSED | VM_PTE_LAZY);
    vm_mmu_note(VM_MMU_OUT, BASE, PAGE);
    page_is(BASE, present | out | zero | VM_PTE_COW);
    vm_mmu_note(VM_MMU_PURGED, BASE, 2 * PAGE);
    page_is(BASE + PAGE, zero | VM_PTE_RETURNED);
    vm_mmu_note(VM_MMU_OUT, BASE, PAGE);
    page_is(BASE, present | out | zero);
    vm_mmu_note_owner(BASE, 2 * PAGE, VM_KIND_ZONE, NULL);
    CHECK(vm_pte_owner_kind(vm_mmu_page(BASE + PAGE)) == VM_KIND_ZONE && vm_pte_descriptor(vm_mmu_page(BASE)) == NULL);
    page_is(BASE, present | out | zero);

    /* Blocks of 3 pages: only where each starts is written.  Small ones: everywhere. */
    vm_mmu_note_mapped(BASE + GB1, 32 * PAGE, VM_KIND_ZONE, descriptor);
    vm_mmu_note_carved(BASE + GB1 + PAGE, 2, 3 * PAGE);
    page_is(BASE + GB1, zero);
    page_is(BASE + GB1 + PAGE, present | out | wrote);
    page_is(BASE + GB1 + 3 * PAGE, present | out | zero);
    page_is(BASE + GB1 + 4 * PAGE, present | out | wrote);
    page_is(BASE + GB1 + 7 * PAGE, zero);
    vm_mmu_note_carved(BASE + GB1 + 8 * PAGE - 64, 128, 64);
    page_is(BASE + GB1 + 9 * PAGE, present | out | wrote);
    page_is(BASE + GB1 + 10 * PAGE, zero);
    vm_mmu_note_carved(BASE + GB1 + 12 * PAGE, 3, PAGE - 1024); /* the third ends on a page where none starts */
    page_is(BASE + GB1 + 13 * PAGE, present | out | wrote);
    page_is(BASE + GB1 + 14 * PAGE, present | out | zero);

    vm_mmu_note(VM_MMU_UNMAPPED, BASE, 16 * PAGE);
    CHECK(vm_mmu_page(BASE) == 0);
    CHECK(vm_mmu_faults().mapped_twice == 0 && vm_mmu_faults().lost == 0);
    vm_mmu_note_mapped(BASE + GB1 + 31 * PAGE, 2 * PAGE, VM_KIND_EXTENT, descriptor);
    CHECK(vm_mmu_faults().mapped_twice == 1);
}

/* A remapped extent takes the states of its pages along, between begin and end, as the heap does it. */
CHILD_CASE(moves)
{
    const uintptr_t to = BASE + 3 * GB1 + 5 * PAGE;

    vm_mmu_full_start();
    vm_mmu_note_mapped(BASE, 2 * MB2, VM_KIND_EXTENT, descriptor);
    vm_mmu_note(VM_MMU_OUT, BASE, 2 * MB2);
    vm_mmu_note(VM_MMU_TOUCHED, BASE + MB2, 3 * PAGE);
    vm_mmu_begin();
    vm_mmu_note_moved(BASE, 2 * MB2, to, 3 * MB2);
    vm_mmu_end();
    CHECK(vm_mmu_page(BASE) == 0 && vm_mmu_page(BASE + 2 * MB2 - 1) == 0);
    page_is(to, VM_PTE_PRESENT | VM_PTE_OUT | VM_PTE_ZERO);
    page_is(to + MB2, VM_PTE_PRESENT | VM_PTE_OUT | VM_PTE_ACCESSED | VM_PTE_DIRTY);
    page_is(to + MB2 + 3 * PAGE, VM_PTE_PRESENT | VM_PTE_OUT | VM_PTE_ZERO);
    page_is(to + 3 * MB2 - 1, VM_PTE_PRESENT | VM_PTE_OUT | VM_PTE_ZERO);
    CHECK(vm_pte_descriptor(vm_mmu_page(to + 3 * MB2 - 1)) == descriptor && vm_mmu_page(to + 3 * MB2) == 0);
    /* In place. */
    vm_mmu_note_moved(to, 3 * MB2, to, 4 * MB2);
    page_is(to + MB2, VM_PTE_PRESENT | VM_PTE_OUT | VM_PTE_ACCESSED | VM_PTE_DIRTY);
    page_is(to + 4 * MB2 - 1, VM_PTE_PRESENT | VM_PTE_OUT | VM_PTE_ZERO);
    CHECK(vm_mmu_faults().mapped_twice == 0);
}

static struct vm_os real;
static void *no_map(size_t bytes, int prot)
{
    (void)bytes;
    (void)prot;
    return NULL;
}

/* Without memory for tables a change is lost, which is counted, and nothing else happens. */
CHILD_CASE(shortage)
{
    real = vm_os;
    vm_mmu_full_start();
    vm_os.map = no_map;
    vm_mmu_note_mapped(BASE, PAGE, VM_KIND_EXTENT, descriptor);
    CHECK(vm_mmu_faults().lost == 1 && vm_mmu_page(BASE) == 0 && vm_mmu_check());
    vm_os = real;
    vm_mmu_note_mapped(BASE, PAGE, VM_KIND_EXTENT, descriptor);
    CHECK(vm_mmu_faults().lost == 1);
    page_is(BASE, VM_PTE_ZERO);
}

/* ---- Against the kernel ---- */

/* The heap's own functions, under the names of the unit-test build. */
extern void *vmt_malloc(size_t n), *vmt_calloc(size_t count, size_t n), *vmt_realloc(void *p, size_t n);
extern void vmt_free(void *p);
extern int vmt_malloc_trim(size_t pad);

static struct vm_fidelity check_now(void)
{
    struct vm_fidelity f;

    CHECK(vm_fidelity_check(&f) == 0);
    return f;
}

static void all_is_true(void)
{
    struct vm_fidelity f = check_now();

    CHECKF(vm_fidelity_violations(&f) == 0,
           "never-out %d returned %d foreign %d shared %d disowned %d twice %d lazy %d lost %d", (int)f.never_out,
           (int)f.returned, (int)f.foreign, (int)f.shared, (int)f.disowned, (int)f.twice, (int)f.lazy, (int)f.lost);
    CHECK(vm_mmu_check());
}

#define BLOCKS 300
#define STEPS (UNIT_SANITIZED ? 1500u : 6000u)
static unsigned char *block[BLOCKS];

static void random_step(uint64_t *r)
{
    size_t i = below(r, BLOCKS), n = log_uniform(r, 20);

    if (block[i] && one_in(r, 2)) {
        vmt_free(block[i]);
        block[i] = NULL;
    } else {
        unsigned char *p = block[i] ? vmt_realloc(block[i], n) : one_in(r, 3) ? vmt_calloc(1, n) : vmt_malloc(n);
        CHECK(p);
        block[i] = p;
        if (one_in(r, 2))
            memset(p, 1, n);
        else
            p[below(r, n)] = 1;
    }
    if (one_in(r, 400))
        vmt_malloc_trim(0);
}

CHILD_CASE(a_heap_at_work)
{
    uint64_t r = unit_seed();
    uint64_t pages = 0;

    for (unsigned step = 0; step < STEPS; step++) {
        random_step(&r);
        if (step % (STEPS / 20) == 0) {
            all_is_true();
            pages += check_now().resident;
        }
    }
    CHECKF(pages > 5000, "only %d pages were compared", (int)pages);
    pid_t child = fork();
    CHECK(child >= 0);
    for (unsigned step = 0; step < 600; step++) { /* both sides, while pages are shared and while they are not any more */
        random_step(&r);
        if (step % 100 == 0)
            all_is_true();
    }
    if (child == 0)
        _exit(0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    all_is_true();
    CHECK(check_now().cow > 0);
}

static bool stop;

static void *work(void *arg)
{
    uint64_t r = (uintptr_t)arg;
    void *mine[64] = {NULL};

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        size_t i = below(&r, 64), n = log_uniform(&r, 20);
        vmt_free(mine[i]);
        if ((mine[i] = vmt_malloc(n)))
            memset(mine[i], 1, n);
    }
    for (size_t i = 0; i < 64; i++)
        vmt_free(mine[i]);
    return NULL;
}

CHILD_CASE(beside_threads)
{
    uint64_t r = unit_seed();
    pthread_t t[4];

    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&t[i], NULL, work, (void *)(uintptr_t)next_random(&r)) == 0);
    for (unsigned i = 0; i < (UNIT_SANITIZED ? 10 : 60); i++)
        all_is_true();
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    all_is_true();
}

/* Every kind of fault, each put in alone and taken out again. */
CHILD_CASE(faults_are_found)
{
    const size_t bytes = 64 * VM_KIB * 16;
    uintptr_t p = (uintptr_t)vmt_malloc(bytes);
    struct vm_fidelity f;

    memset((void *)p, 1, bytes);
    vmt_free(vmt_malloc(100));
    all_is_true();
    vm_pte owner = vm_mmu_page(p);

    vm_mmu_note(VM_MMU_PURGED, p + PAGE, 3 * PAGE);
    f = check_now();
    CHECK(f.returned == 3 && vm_fidelity_violations(&f) == 3);
    vm_mmu_note(VM_MMU_OUT, p + PAGE, 3 * PAGE);
    all_is_true();

    vm_mmu_note(VM_MMU_UNMAPPED, p + 5 * PAGE, PAGE);
    vm_mmu_note_mapped(p + 5 * PAGE, PAGE, vm_pte_owner_kind(owner), vm_pte_descriptor(owner));
    f = check_now();
    CHECK(f.never_out == 1 && vm_fidelity_violations(&f) == 1);
    vm_mmu_note(VM_MMU_OUT, p + 5 * PAGE, PAGE);
    all_is_true();

    vm_mmu_note_owner(p + 7 * PAGE, 2 * PAGE, VM_KIND_ZONE, NULL);
    f = check_now();
    CHECK(f.disowned == 2 && vm_fidelity_violations(&f) == 2);
    vm_mmu_note_owner(p + 7 * PAGE, 2 * PAGE, vm_pte_owner_kind(owner), vm_pte_descriptor(owner));
    all_is_true();

    int file = open("/proc/self/exe", O_RDONLY);
    CHECK(mmap((void *)(p + 9 * PAGE), PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) != MAP_FAILED);
    CHECK(*(volatile unsigned char *)(p + 9 * PAGE) == 0x7f);
    f = check_now();
    CHECK(f.foreign == 1);
    CHECK(mmap((void *)(p + 9 * PAGE), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0)
          != MAP_FAILED);
    all_is_true();

    vm_mmu_note_mapped(p, PAGE, vm_pte_owner_kind(owner), vm_pte_descriptor(owner));
    f = check_now();
    CHECK(f.twice == 1 && f.never_out == 1);
}

static void say(int fd) { CHECK(write(fd, "x", 1) == 1); }

/* A child that fork's handlers know nothing of. */
CHILD_CASE(a_fork_behind_our_back)
{
    char *p = vmt_malloc(VM_MIB);
    int from[2], to[2];
    char c;

    memset(p, 1, VM_MIB);
    int pagemap = vm_os_open_read("/proc/self/pagemap");
    if (vm_os_page_kind(pagemap, (uintptr_t)p) < 0)
        return; /* an older kernel does not tell shared pages from those of zeros */
    CHECK(pipe(from) == 0 && pipe(to) == 0);
    all_is_true();
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        say(from[1]);
        CHECK(read(to[0], &c, 1) == 1);
        _exit(0);
    }
    CHECK(child > 0 && read(from[0], &c, 1) == 1);
    struct vm_fidelity f = check_now();
    CHECK(f.shared >= VM_MIB / PAGE && vm_fidelity_violations(&f) == f.shared);
    say(to[1]);
    CHECK(waitpid((pid_t)child, NULL, 0) == child);
    all_is_true();
}

/* Pages that a huge page brought in, shared by a fork, and handed out after the kernel split it: nobody wrote to them. */
CHILD_CASE(a_huge_page_shared_by_a_fork)
{
    static struct vm_extent extent = {.size = MB2};
    char *room = mmap(NULL, 2 * MB2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *p = (char *)vm_align_up((uintptr_t)room, MB2);
    int pagemap = vm_os_open_read("/proc/self/pagemap"), to[2], status;
    char c;

    CHECK(room != MAP_FAILED && vm_os.huge(p, MB2, true) == 0);
    extent.base = (uintptr_t)p;
    vm_mmu_note_mapped(extent.base, MB2, VM_KIND_EXTENT, &extent);
    vm_mmu_note(VM_MMU_OUT, extent.base, PAGE);
    p[0] = 1;
    if (vm_os_page_kind(pagemap, extent.base + PAGE) <= 0)
        return; /* an older kernel, or one that gave no huge page */
    CHECK(check_now().filled > 0);
    all_is_true();
    CHECK(pipe(to) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(to[1]);
        _exit(read(to[0], &c, 1) != 1);
    }
    p[0] = 2;
    vm_mmu_note(VM_MMU_OUT, extent.base, MB2 / 2);
    struct vm_fidelity f = check_now();
    CHECKF(vm_fidelity_violations(&f) == 0 && f.split > 0, "shared %d, split %d", (int)f.shared, (int)f.split);
    p[PAGE] = 1;
    all_is_true();
    say(to[1]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    all_is_true();
}

/* The heap reads its options before main: so they must be there before the program is. */
int main(int argc, char **argv)
{
    if (!getenv("VMALLOC_OPTIONS") && argc > 0) {
        setenv("VMALLOC_OPTIONS", "vm=1", 1);
        execv("/proc/self/exe", argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes), cmocka_unit_test(large_leaves), CHILD_TEST(events), CHILD_TEST(moves),
        CHILD_TEST(shortage), CHILD_TEST(a_heap_at_work), CHILD_TEST(beside_threads), CHILD_TEST(faults_are_found),
        CHILD_TEST(a_fork_behind_our_back), CHILD_TEST(a_huge_page_shared_by_a_fork),
    };
    if (!VM_INSTRUMENT)
        return 77; /* automake: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

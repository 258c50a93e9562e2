/* Unit tests of src/sim/rmap (row 34): from a frame to every entry that maps it, after forks, splits, moves of areas and
   by files; referenced and unmap; random use of everything by several processes, with all invariants.  Run by
   `make check`.  SEED sets the seed. */
#include "sim.h"

struct seen {
    unsigned n;
    uint64_t at[16];
    const struct vm_sim_mm *mm[16];
};

static int see(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry)
{
    struct seen *s = ctx;

    CHECK(*entry & VM_SIM_PTE_P);
    s->at[s->n] = at.at;
    s->mm[s->n++] = vma->mm;
    return 0;
}

static int stop(void *ctx, struct vm_sim_vma *vma, struct vm_sim_linear at, vm_sim_pte *entry)
{
    see(ctx, vma, at, entry);
    return 7;
}

static void anonymous(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 10);

    touch_pages(m, p, at, 10, VM_SIM_WRITE);
    struct vm_sim_process *child = vm_sim_fork(m, p, NULL), *grandchild = vm_sim_fork(m, child, NULL);
    vm_sim_pfn frame = vm_sim_pte_frame(entry_at(p, at + 4 * PAGE));
    struct seen s = {0};
    vm_sim_rmap_each(m, frame, see, &s);
    assert_int_equal(s.n, 3);
    assert_true(s.mm[0] == p->mm && s.mm[1] == child->mm && s.mm[2] == grandchild->mm);
    assert_true(s.at[0] == at + 4 * PAGE && s.at[2] == at + 4 * PAGE);
    vm_sim_munmap(m, child->mm, at + 3 * PAGE, PAGE); /* splits the child's area: still found in the upper part */
    touch_pages(m, grandchild, at + 4 * PAGE, 1, VM_SIM_WRITE);
    s = (struct seen){0};
    vm_sim_rmap_each(m, frame, see, &s);
    assert_int_equal(s.n, 2);
    s = (struct seen){0};
    assert_int_equal(vm_sim_rmap_each(m, frame, stop, &s), 7);
    assert_int_equal(s.n, 1);
    vm_sim_exit(m, p, 0);
    CHECK_MACHINE(m);
    s = (struct seen){0};
    vm_sim_rmap_each(m, frame, see, &s);
    assert_int_equal(s.n, 1);
    assert_ptr_equal(s.mm[0], child->mm);
    vm_sim_machine_free(m);
}

static void files(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p"), *q = vm_sim_process_new(m, "q");
    struct vm_sim_file *f = vm_sim_file_open(m, "f", 20 * PAGE);
    uint64_t a, b, c;

    vm_sim_mmap(m, p->mm, 0, 20 * PAGE, VM_SIM_R, 0, VM_SIM_FILE, f, 0, &a);
    vm_sim_mmap(m, p->mm, 0, 5 * PAGE, VM_SIM_R, 0, VM_SIM_FILE, f, 10, &b); /* twice in one process */
    vm_sim_mmap(m, q->mm, 0, 5 * PAGE, RW, 0, VM_SIM_FILE, f, 12, &c);
    touch(m, p, a + 12 * PAGE, VM_SIM_READ);
    touch(m, p, b + 2 * PAGE, VM_SIM_READ);
    touch(m, q, c, VM_SIM_READ);
    struct seen s = {0};
    vm_sim_rmap_each(m, f->cached[12], see, &s);
    assert_int_equal(s.n, 3);
    assert_true(s.at[0] == a + 12 * PAGE && s.at[1] == b + 2 * PAGE && s.at[2] == c);
    touch(m, q, c, VM_SIM_WRITE); /* its own copy now */
    CHECK_MACHINE(m);
    s = (struct seen){0};
    vm_sim_rmap_each(m, f->cached[12], see, &s);
    assert_int_equal(s.n, 2);
    vm_sim_machine_free(m);
}

static void referenced_and_unmap(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 1);

    touch(m, p, at, VM_SIM_WRITE);
    struct vm_sim_process *child = vm_sim_fork(m, p, NULL);
    touch(m, child, at, VM_SIM_READ);
    vm_sim_pfn frame = vm_sim_pte_frame(entry_at(p, at));
    assert_int_equal(vm_sim_rmap_referenced(m, frame), 2);
    assert_int_equal(vm_sim_rmap_referenced(m, frame), 0);
    touch(m, child, at, VM_SIM_READ); /* the TLB was flushed: A is set again */
    assert_int_equal(vm_sim_rmap_referenced(m, frame), 1);
    CHECK_MACHINE(m);
    vm_sim_pte slot = vm_sim_swap_take(&m->swaps);
    vm_sim_get_frame(&m->memory, frame);
    assert_int_equal(vm_sim_rmap_unmap(m, frame, slot), 2);
    assert_int_equal(vm_sim_swap_count(&m->swaps, slot), 3);
    assert_int_equal(entry_at(p, at), slot);
    assert_int_equal(entry_at(child, at), slot);
    assert_int_equal(p->mm->rss, 0);
    assert_int_equal(p->mm->swapped, 1);
    vm_sim_swap_put(&m->swaps, slot);
    vm_sim_lru_remove(m, frame);
    vm_sim_anon_drop(m, frame);
    vm_sim_put_frame(&m->memory, frame);
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

static void check_finds(void **state)
{
    (void)state;
    struct vm_sim_machine *m = MACHINE("x86_64", "memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = map_area(m, p, 1);

    touch(m, p, at, VM_SIM_WRITE);
    struct vm_sim_frame *f = &m->memory.map.frame[vm_sim_pte_frame(entry_at(p, at))];
    f->index++;
    assert_false(vm_sim_rmap_check(m));
    assert_false(vm_sim_processes_check(m));
    f->index--;
    f->mapcount++;
    assert_false(vm_sim_rmap_check(m));
    f->mapcount--;
    p->mm->rss_anon++;
    assert_false(vm_sim_processes_check(m));
    p->mm->rss_anon--;
    f->flags &= (uint16_t)~VM_SIM_FRAME_ON_LRU;
    assert_false(vm_sim_reclaim_check(m));
    f->flags |= VM_SIM_FRAME_ON_LRU;
    CHECK_MACHINE(m);
    vm_sim_machine_free(m);
}

/* ---- Everything at once ---- */

#define PROCESSES 6

struct model {
    struct vm_sim_process *p[PROCESSES];
    uint64_t scale; /* pages in a piece: 1, or 64, so that large pages fit */
    uint64_t seed;
};

static void random_map(struct vm_sim_machine *m, struct model *w, struct vm_sim_process *p)
{
    static const char *const name[] = {"one", "two"};
    uint64_t base = p->mm->base + (1 << 24), at = base + below(&w->seed, 64 * w->scale) * PAGE,
             pages = 1 + below(&w->seed, 30 * w->scale);
    bool file = one_in(&w->seed, 3);
    unsigned flags = one_in(&w->seed, 3) ? VM_SIM_VMA_SHARED : 0, perms = one_in(&w->seed, 4) ? VM_SIM_R : RW;

    switch (below(&w->seed, 4)) {
    case 0:
        vm_sim_munmap(m, p->mm, at, pages * PAGE);
        break;
    case 1:
        vm_sim_mprotect(m, p->mm, at, pages * PAGE, perms);
        break;
    case 2:
        vm_sim_brk(m, p->mm, p->mm->start_brk + below(&w->seed, 40 * w->scale * PAGE));
        break;
    default:
        vm_sim_mmap(m, p->mm, at, pages * PAGE, perms, file ? flags : 0, file ? VM_SIM_FILE : VM_SIM_MMAP,
                    file ? vm_sim_file_open(m, name[below(&w->seed, 2)], 64 * w->scale * PAGE) : NULL,
                    below(&w->seed, 34 * w->scale), NULL);
    }
}

static void random_touches(struct vm_sim_machine *m, struct model *w, struct vm_sim_process *p)
{
    for (unsigned i = 0; i < 40 && !p->exited; i++) {
        uint64_t at = p->mm->base + (1 << 24) + below(&w->seed, 96 * w->scale) * PAGE;
        enum vm_sim_access access = one_in(&w->seed, 2) ? VM_SIM_WRITE : VM_SIM_READ;
        if (one_in(&w->seed, 4))
            at = p->mm->start_brk + below(&w->seed, 40 * w->scale * PAGE);
        const struct vm_sim_vma *v = vm_sim_find_vma(p->mm, at);
        bool good = v && v->start <= at && v->perms && (access != VM_SIM_WRITE || (v->perms & VM_SIM_W));
        if (!good && !one_in(&w->seed, 200))
            continue;
        int error = touch(m, p, at - p->mm->base, access);
        CHECK(good ? error == 0 || error == -ENOMEM : error == -EFAULT || error == -ENOMEM);
    }
}

/* Writes to all pages of an area. */
static void sweep(struct vm_sim_machine *m, struct model *w, struct vm_sim_process *p)
{
    const struct vm_sim_vma *v = vm_sim_find_vma(p->mm, p->mm->base + (1 << 24) + below(&w->seed, 96 * w->scale) * PAGE);
    uint64_t at = v ? v->start : 0, end = v && v->region != VM_SIM_STACK && (v->perms & VM_SIM_W) ? v->end : 0;

    for (; at < end && !p->exited; at += PAGE)
        touch(m, p, at - p->mm->base, VM_SIM_WRITE);
}

static void random_step(struct vm_sim_machine *m, struct model *w)
{
    unsigned i = (unsigned)below(&w->seed, PROCESSES);
    struct vm_sim_process **p = &w->p[i];

    if (*p && (*p)->exited) /* killed */
        *p = NULL;
    if (!*p) {
        struct vm_sim_process *parent = w->p[below(&w->seed, PROCESSES)];
        bool forks = parent && !parent->exited;
        *p = forks ? vm_sim_fork(m, parent, NULL) : vm_sim_process_new(m, "p");
        if (*p && !forks)
            vm_sim_mmap(m, (*p)->mm, (*p)->mm->base + (1 << 24), 96 * w->scale * PAGE, RW, 0, VM_SIM_MMAP, NULL, 0, NULL);
        return;
    }
    switch (below(&w->seed, 20)) {
    case 0:
        vm_sim_exit(m, *p, 0);
        *p = NULL;
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        random_map(m, w, *p);
        break;
    case 5:
    case 6:
    case 7:
        sweep(m, w, *p);
        break;
    case 8:
        vm_sim_reclaim_frames(m, VM_SIM_ZONE_HIGHMEM, 1 + below(&w->seed, 20));
        break;
    default:
        random_touches(m, w, *p);
    }
}

/* Much reclaimed, little memory: 1 MiB beside the low frames, so that reclaim and OOM are at work all the time. */
static void everything(const char *preset, const char *policy, bool large)
{
    struct vm_sim_machine *m =
        large ? MACHINE(preset, "memory=16M", "page=2M", "reserved=none", "swap=none", "swap=2M", policy)
              : MACHINE(preset, "memory=768K", "reserved=none", "swap=none", "swap=64K", "swap=32K", policy);
    struct model w = {.seed = unit_seed(), .scale = large ? 64 : 1};

    for (unsigned step = 0; step < (large ? 120 : 500); step++) {
        random_step(m, &w);
        CHECK_MACHINE(m);
    }
    printf("%s %s: %llu reclaimed, %llu swapped out, %llu killed, %llu faults\n", preset, policy,
           (unsigned long long)m->reclaim.counts.reclaimed, (unsigned long long)m->reclaim.counts.swapped_out,
           (unsigned long long)m->events.count[VM_SIM_EV_OOM], (unsigned long long)m->cpu.page_faults);
    assert_true(m->reclaim.counts.reclaimed > 50);
    for (unsigned i = 0; i < PROCESSES; i++)
        if (w.p[i] && !w.p[i]->exited)
            vm_sim_exit(m, w.p[i], 0);
    CHECK_MACHINE(m);
    for (unsigned i = 0; i < m->swaps.areas; i++)
        assert_int_equal(m->swaps.area[i].used, 0);
    vm_sim_machine_free(m);
}

static void everything_two_list(void **state) { (void)state; everything("x86_64", "policy=two-list", false); }
static void everything_fifo(void **state) { (void)state; everything("i386-2level", "policy=fifo", false); }
static void everything_clock(void **state) { (void)state; everything("i386-pae", "policy=clock", false); }
static void everything_lru(void **state) { (void)state; everything("x86_64-la57", "policy=lru", false); }
static void everything_012(void **state) { (void)state; everything("linux-0.12", "policy=fifo", false); }
static void everything_large(void **state) { (void)state; everything("x86_64", "policy=two-list", true); }
static void everything_large_pae(void **state) { (void)state; everything("i386-pae", "policy=clock", true); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anonymous),           cmocka_unit_test(files),           cmocka_unit_test(referenced_and_unmap),
        cmocka_unit_test(check_finds),         cmocka_unit_test(everything_two_list), cmocka_unit_test(everything_fifo),
        cmocka_unit_test(everything_clock),    cmocka_unit_test(everything_lru),  cmocka_unit_test(everything_012),
        cmocka_unit_test(everything_large),    cmocka_unit_test(everything_large_pae),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

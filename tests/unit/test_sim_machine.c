/* Unit tests of src/sim/machine: every preset as a whole, with vm_sim_machine_check(); random lives of processes under
   memory pressure; the same input gives the same events; batches and single references do the same.  Run by `make check`.
   SEED sets the seed. */
#include "unit.h"

#include "sim/machine.h"

#define PAGE VM_SIM_PAGE_SIZE

static struct vm_sim_message message;

/* settings: NULL-ended. */
static struct vm_sim_machine *machine(const char *preset, const char *const *settings)
{
    struct vm_sim_config c;

    CHECK(vm_sim_config_preset(&c, preset) == 0);
    for (; settings && *settings; settings++)
        CHECKF(vm_sim_config_set(&c, *settings, &message) == 0, "%s", message.text);
    struct vm_sim_machine *m = vm_sim_machine_new(&c, &message);
    CHECKF(m != NULL, "%s", message.text);
    return m;
}

static void every_preset(void **state)
{
    (void)state;

    for (unsigned i = 0; vm_sim_config_preset_name(i); i++) {
        struct vm_sim_machine *m = machine(vm_sim_config_preset_name(i), NULL);
        CHECKF(vm_sim_machine_check(m), "%s", vm_sim_config_preset_name(i));
        struct vm_sim_process *p = vm_sim_process_new(m, "first");
        CHECK(p && p->context.pid == 1 && vm_sim_process_by_pid(m, 1) == p && vm_sim_process_by_name(m, "first") == p);
        if (m->config.addressing == VM_SIM_FLAT) {
            struct vm_sim_ref r = {
                .offset = p->mm->start_stack - 16, .process = p->context.slot, .access = VM_SIM_WRITE, .bytes = 8};
            struct vm_sim_translation out;
            CHECK(vm_sim_ref(m, r, &out) == 0 && out.faults == 1 && out.linear.at == r.offset);
            CHECK(vm_sim_ref(m, r, &out) == 0 && out.faults == 0 && out.memory_reads == 1);
        }
        CHECKF(vm_sim_machine_check(m), "%s", vm_sim_config_preset_name(i));
        vm_sim_exit(m, p, 0);
        CHECKF(vm_sim_machine_check(m), "%s", vm_sim_config_preset_name(i));
        vm_sim_machine_free(m);
    }
    struct vm_sim_config c;
    vm_sim_config_preset(&c, "x86_64");
    c.memory = 100;
    assert_null(vm_sim_machine_new(&c, &message));
    assert_true(strstr(message.text, "impossible machine") != NULL);
}

static void bare_and_segmented(void **state)
{
    (void)state;
    struct vm_sim_machine *m = machine("base-limit", NULL);
    struct vm_sim_process *a = vm_sim_process_new(m, "a"), *b = vm_sim_process_new(m, "b");
    struct vm_sim_translation out;

    a->program = vm_sim_load(&m->core, "a", 1, VM_SIM_BASE_LIMIT, 0, 5000, 0);
    b->program = vm_sim_load(&m->core, "b", 2, VM_SIM_BASE_LIMIT, 0, 3000, 0);
    struct vm_sim_ref r = {.offset = 100, .process = b->context.slot, .bytes = 1};
    assert_int_equal(vm_sim_ref(m, r, &out), 0);
    assert_int_equal(out.physical.at, 5100);
    r.offset = 3000;
    assert_int_equal(vm_sim_ref(m, r, &out), -EFAULT);
    assert_int_equal(vm_sim_refs(m, &r, 1), 0);
    assert_float_equal(vm_sim_machine_eat(m), 100, 1e-9);
    assert_true(vm_sim_machine_check(m));
    vm_sim_exit(m, a, 0);
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);

    m = machine("segmented", NULL);
    a = vm_sim_process_new(m, "a");
    struct vm_sim_segment *s;
    assert_int_equal(vm_sim_segment_add(m, a, 1, "filler", 7000, VM_SIM_SEG_WRITABLE, 3, NULL), 0);
    assert_int_equal(vm_sim_segment_add(m, a, 3, "data", 1000, VM_SIM_SEG_WRITABLE, 3, &s), 0);
    r = (struct vm_sim_ref){.offset = 500, .selector = vm_sim_segment_selector(a, s), .process = a->context.slot, .bytes = 4};
    assert_int_equal(vm_sim_ref(m, r, &out), 0);
    assert_int_equal(out.physical.at, 7500); /* segment 3 at base 7000, offset 500 */
    assert_true(vm_sim_machine_check(m));
    vm_sim_exit(m, a, 0);
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
}

/* Row 9 as a whole machine. */
static void segmented_paging(void **state)
{
    (void)state;
    static const char *const settings[] = {"addressing=seg-paged", "mode=single", "tlb=none", "descriptor-cache=no", "pcid=no",
                                           "zones=32", "memory=64M", NULL};
    struct vm_sim_machine *m = machine("x86_64", settings);
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    struct vm_sim_segment *s;
    struct vm_sim_translation out;

    assert_int_equal(vm_sim_segment_add(m, p, 2, "data", 100000, VM_SIM_SEG_WRITABLE, 3, &s), 0);
    struct vm_sim_ref r = {.offset = 0x2240, .selector = vm_sim_segment_selector(p, s), .process = p->context.slot,
                           .access = VM_SIM_WRITE, .bytes = 4};
    assert_int_equal(vm_sim_ref(m, r, &out), 0);
    assert_int_equal(vm_sim_ref(m, r, &out), 0);
    assert_int_equal(out.memory_reads, 3);
    assert_int_equal(out.linear.at, s->base + 0x2240);
    assert_int_equal(out.physical.at % PAGE, 0x240);
    r.offset = 200000;
    assert_int_equal(vm_sim_ref(m, r, &out), -EFAULT);
    assert_true(vm_sim_machine_check(m));
    vm_sim_exit(m, p, 0);
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
}

/* ---- Random lives ---- */

static uint64_t digest;

static void fold(void *ctx, const struct vm_sim_event *e)
{
    uint64_t words[] = {e->time, e->kind, e->process, e->access, e->vector, e->order, e->level, e->error, e->reads, e->frame,
                        e->linear.at, e->physical.at, e->entry, e->bytes, e->number, e->count};

    (void)ctx;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        digest = (digest ^ words[i]) * 0x100000001b3;
}

#define AREAS 6

struct life {
    struct vm_sim_process *p;
    uint64_t at[AREAS], pages[AREAS];
};

static struct life life[4];

static void live(struct vm_sim_machine *m, uint64_t *seed, unsigned steps, bool batches, unsigned check_every)
{
    memset(life, 0, sizeof life);
    digest = 0xcbf29ce484222325;
    vm_sim_machine_listen(m, fold, NULL, UINT32_MAX);
    for (unsigned step = 0; step < steps; step++) {
        struct life *l = &life[below(seed, 4)];
        unsigned a = (unsigned)below(seed, AREAS), what = (unsigned)below(seed, 40);
        uint64_t n = 1 + below(seed, 60), from = below(seed, 300), access = below(seed, 3) != 0;
        if (l->p && l->p->exited)
            memset(l, 0, sizeof *l);
        if (!l->p) {
            l->p = vm_sim_process_new(m, "life");
            if (!l->p)
                continue;
        }
        if (what == 0) {
            vm_sim_exit(m, l->p, 0);
        } else if (what == 1) {
            struct life *child = &life[below(seed, 4)];
            if (!child->p || child->p->exited) {
                *child = *l;
                child->p = vm_sim_fork(m, l->p, NULL);
            }
        } else if (what < 6 && l->at[a]) {
            CHECK(vm_sim_munmap(m, l->p->mm, l->at[a], l->pages[a] * PAGE) == 0);
            l->at[a] = 0;
        } else if (what < 16 && !l->at[a]) {
            l->pages[a] = n * 5;
            if (vm_sim_mmap(m, l->p->mm, 0, n * 5 * PAGE, VM_SIM_R | VM_SIM_W, one_in(seed, 6) ? VM_SIM_VMA_SHARED : 0,
                            VM_SIM_MMAP, one_in(seed, 4) ? vm_sim_file_open(m, "file", n * 5 * PAGE) : NULL, 0, &l->at[a]) != 0)
                l->at[a] = 0;
        } else if (l->at[a]) {
            struct vm_sim_ref ref[60];
            for (uint64_t i = 0; i < n; i++)
                ref[i] = (struct vm_sim_ref){.offset = l->at[a] + (from + i) % l->pages[a] * PAGE + below(seed, 4000), .bytes = 8,
                                             .process = l->p->context.slot, .access = (uint8_t)access};
            size_t good = 0;
            if (batches)
                good = vm_sim_refs(m, ref, n);
            for (uint64_t i = 0; !batches && i < n; i++)
                good += vm_sim_ref(m, ref[i], NULL) == 0;
            CHECK(good == n || l->p->exited);
        }
        if (step % check_every == 0)
            CHECKF(vm_sim_machine_check(m), "step %u", step);
    }
    CHECK(vm_sim_machine_check(m));
}

static const char *const small[][8] = {
    {"x86_64", "memory=8M", "swap=none", "swap=16M", NULL},
    {"x86_64", "memory=6M", "swap=none", "swap=4M 2 1", "swap=file 8M 1 5", "policy=lru", NULL},
    {"x86_64", "memory=6M", "policy=clock", "tlb=zen4", "pcid=no", NULL},
    {"x86_64-la57", "memory=6M", "policy=fifo", NULL},
    {"i386-2level", "memory=6M", NULL},
    {"i386-pae", "memory=7M", "tlb=none", NULL},
    {"i386-2level", "memory=12M", "mode=single", NULL},
    {"i386-2level", "memory=8M", "mode=sorted", "swap=none", NULL},
    {"x86_64", "memory=32M", "page=2M", NULL},
};

static void random_lives(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();

    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        struct vm_sim_machine *m = machine(small[i][0], small[i] + 1);
        live(m, &seed, UNIT_SANITIZED ? 600 : 1500, true, 20);
        vm_sim_machine_free(m);
    }
}

static void the_same_again(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();

    for (size_t i = 0; i < 4; i++) {
        uint64_t first = 0;
        for (unsigned round = 0; round < 3; round++) { /* twice in batches, once one by one */
            uint64_t s = seed + i;
            struct vm_sim_machine *m = machine(small[i][0], small[i] + 1);
            live(m, &s, 1000, round < 2, 1000);
            if (round == 0)
                first = digest;
            CHECKF(digest == first, "machine %zu, round %u", i, round);
            vm_sim_machine_free(m);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_preset),  cmocka_unit_test(bare_and_segmented), cmocka_unit_test(segmented_paging),
        cmocka_unit_test(random_lives),  cmocka_unit_test(the_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

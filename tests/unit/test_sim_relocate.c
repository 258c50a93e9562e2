/* Unit tests of src/sim/relocate: three ways to give a program its place, and what moving it does to each.  Run by
   `make check`. */
#include "unit.h"

#include "sim/relocate.h"

static struct vm_sim_event last;
static unsigned collisions;

static void receive(void *ctx, const struct vm_sim_event *event)
{
    (void)ctx;
    last = *event;
    collisions += event->kind == VM_SIM_EV_COLLISION;
}

static struct vm_sim_events events = {.receive = receive, .mask = UINT32_MAX};

static uint64_t physical(struct vm_sim_core *core, struct vm_sim_program *p, uint64_t address)
{
    struct vm_sim_physical out = {UINT64_MAX};

    return vm_sim_relocate(core, p, address, &out) == 0 ? out.at : UINT64_MAX;
}

static void absolute_programs_collide(void **state)
{
    (void)state;
    struct vm_sim_core core;

    vm_sim_core_init(&core, 10000, VM_SIM_FIRST_FIT, &events);
    collisions = 0;
    struct vm_sim_program *a = vm_sim_load(&core, "a", 1, VM_SIM_ABSOLUTE, 1000, 500, 9);
    assert_int_equal(collisions, 0);
    struct vm_sim_program *b = vm_sim_load(&core, "b", 2, VM_SIM_ABSOLUTE, 1400, 500, 9);
    assert_int_equal(collisions, 1);
    assert_int_equal(last.process, 2);
    assert_int_equal(last.number, 1);
    assert_int_equal(last.physical.at, 1400);
    assert_int_equal(last.bytes, 100);
    assert_int_equal(physical(&core, a, 1450), 1450); /* the same byte: nobody checks */
    assert_int_equal(physical(&core, b, 1450), 1450);
    assert_int_equal(a->relocated + b->relocated, 0);
    assert_true(vm_sim_core_check(&core));
    assert_null(vm_sim_load(&core, "c", 3, VM_SIM_ABSOLUTE, 9900, 101, 0));
    vm_sim_core_free(&core);
}

static void static_relocation(void **state)
{
    (void)state;
    struct vm_sim_core core;

    vm_sim_core_init(&core, 10000, VM_SIM_FIRST_FIT, &events);
    vm_sim_load(&core, "first", 1, VM_SIM_STATIC, 0, 3000, 10);
    struct vm_sim_program *p = vm_sim_load(&core, "p", 2, VM_SIM_STATIC, 0, 2000, 25);
    assert_int_equal(p->base, 3000);
    assert_int_equal(p->linked_at, 3000);
    assert_int_equal(p->relocated, 25); /* each address once, by the loader */
    assert_int_equal(physical(&core, p, 3500), 3500);

    /* Its addresses are in it now: it can come back only to where it was. */
    vm_sim_program_out(&core, p);
    assert_int_equal(physical(&core, p, 3500), UINT64_MAX);
    struct vm_sim_program *q = vm_sim_load(&core, "q", 3, VM_SIM_BASE_LIMIT, 0, 100, 0);
    assert_int_equal(q->base, 3000);
    assert_int_equal(vm_sim_program_in(&core, p), -EBUSY);
    vm_sim_program_out(&core, q);
    assert_int_equal(vm_sim_program_in(&core, p), 0);
    assert_int_equal(p->base, 3000);
    assert_true(vm_sim_core_check(&core));
    vm_sim_core_free(&core);
}

static void base_and_limit(void **state)
{
    (void)state;
    struct vm_sim_core core;

    vm_sim_core_init(&core, 10000, VM_SIM_FIRST_FIT, &events);
    vm_sim_load(&core, "first", 1, VM_SIM_BASE_LIMIT, 0, 3000, 10);
    struct vm_sim_program *p = vm_sim_load(&core, "p", 2, VM_SIM_BASE_LIMIT, 0, 2000, 25);
    assert_int_equal(physical(&core, p, 0), 3000);
    assert_int_equal(physical(&core, p, 1999), 4999);
    assert_int_equal(p->faults, 0);
    assert_int_equal(physical(&core, p, 2000), UINT64_MAX);
    assert_int_equal(p->faults, 1);
    assert_int_equal(last.kind, VM_SIM_EV_EXCEPTION);
    assert_string_equal(last.cause, "limit");

    /* Out, and in again elsewhere: the same addresses go on working. */
    vm_sim_program_out(&core, p);
    vm_sim_load(&core, "r", 3, VM_SIM_BASE_LIMIT, 0, 500, 0);
    assert_int_equal(vm_sim_program_in(&core, p), 0);
    assert_int_equal(p->base, 3500);
    assert_string_equal(last.cause, "swapped in elsewhere");
    assert_int_equal(physical(&core, p, 1999), 5499);
    assert_int_equal(p->relocated, 0);
    assert_true(vm_sim_core_check(&core));

    /* Compaction moves it too. */
    vm_sim_program_out(&core, core.first);
    assert_int_equal(vm_sim_space_compact(&core.space), 2500);
    assert_int_equal(physical(&core, p, 0), 500);
    assert_true(vm_sim_core_check(&core));
    assert_null(vm_sim_load(&core, "huge", 9, VM_SIM_BASE_LIMIT, 0, 9000, 0));
    vm_sim_core_free(&core);
}

static void compaction_leaves_what_it_must(void **state)
{
    (void)state;
    struct vm_sim_core core;

    vm_sim_core_init(&core, 1000, VM_SIM_FIRST_FIT, NULL);
    struct vm_sim_program *gone = vm_sim_load(&core, "gone", 1, VM_SIM_BASE_LIMIT, 0, 100, 0);
    struct vm_sim_program *fixed = vm_sim_load(&core, "fixed", 2, VM_SIM_STATIC, 0, 100, 0);
    struct vm_sim_program *moves = vm_sim_load(&core, "moves", 3, VM_SIM_BASE_LIMIT, 0, 100, 0);
    struct vm_sim_program *absolute = vm_sim_load(&core, "absolute", 4, VM_SIM_ABSOLUTE, 500, 100, 0);
    vm_sim_program_out(&core, gone);
    assert_int_equal(vm_sim_space_compact(&core.space), 0);
    assert_int_equal(fixed->base, 100);
    assert_int_equal(moves->base, 200);
    assert_int_equal(absolute->base, 500);
    assert_true(vm_sim_core_check(&core));
    vm_sim_core_free(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absolute_programs_collide),
        cmocka_unit_test(static_relocation),
        cmocka_unit_test(base_and_limit),
        cmocka_unit_test(compaction_leaves_what_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Unit tests of src/sim/oom: scores, and a machine that runs out.  Run by `make check`. */
#include "unit.h"

#include "sim/machine.h"
#include "sim/oom.h"

static struct vm_sim_message message;
static struct vm_sim_event last;
static unsigned events;

static void receive(void *ctx, const struct vm_sim_event *event)
{
    (void)ctx;
    last = *event;
    events++;
}

static struct vm_sim_machine *machine(const char *memory)
{
    struct vm_sim_config c;

    assert_int_equal(vm_sim_config_preset(&c, "x86_64"), 0);
    assert_int_equal(vm_sim_config_set(&c, memory, &message), 0);
    assert_int_equal(vm_sim_config_set(&c, "swap=none", &message), 0);
    struct vm_sim_machine *m = vm_sim_machine_new(&c, &message);
    CHECKF(m != NULL, "%s", message.text);
    vm_sim_machine_listen(m, receive, NULL, 1u << VM_SIM_EV_OOM);
    events = 0;
    return m;
}

static uint64_t area(struct vm_sim_machine *m, struct vm_sim_process *p, uint64_t bytes)
{
    uint64_t at;

    assert_int_equal(vm_sim_mmap(m, p->mm, 0, bytes, VM_SIM_R | VM_SIM_W, 0, VM_SIM_MMAP, NULL, 0, &at), 0);
    return at;
}

/* Writes to pages in order; how many succeeded. */
static uint64_t touch(struct vm_sim_machine *m, struct vm_sim_process *p, uint64_t at, uint64_t pages)
{
    uint64_t good = 0;

    for (uint64_t i = 0; i < pages; i++) {
        struct vm_sim_ref r = {
            .offset = at + i * VM_SIM_PAGE_SIZE, .process = p->context.slot, .access = VM_SIM_WRITE, .bytes = 1};
        good += vm_sim_ref(m, r, NULL) == 0;
    }
    if (pages > 1)
        CHECK(vm_sim_machine_check(m));
    return good;
}

static void scores(void **state)
{
    (void)state;
    struct vm_sim_machine *m = machine("memory=64M");
    struct vm_sim_process *p = vm_sim_process_new(m, "p");
    uint64_t at = area(m, p, 8 << 20);

    assert_int_equal(touch(m, p, at, 1000), 1000);
    uint64_t score = vm_sim_oom_score(m, p);
    assert_int_equal(score, 1000 + vm_sim_pt_stats(p->mm->pt).frames);
    p->nice = 5;
    assert_int_equal(vm_sim_oom_score(m, p), score * 2);
    p->nice = -5;
    assert_int_equal(vm_sim_oom_score(m, p), score / 4);
    p->nice = 0;
    m->cpu.refs += 15 << 20; /* age 15.x of 2^20: root 3 */
    assert_int_equal(vm_sim_oom_score(m, p), score / 3);
    m->cpu.refs += 1 << 20;
    assert_int_equal(vm_sim_oom_score(m, p), score / 4);
    vm_sim_machine_free(m);
}

static void the_greatest_dies(void **state)
{
    (void)state;
    struct vm_sim_machine *m = machine("memory=16M");
    struct vm_sim_process *small = vm_sim_process_new(m, "small");
    struct vm_sim_process *large = vm_sim_process_new(m, "large");
    struct vm_sim_process *grows = vm_sim_process_new(m, "grows");
    uint64_t freed, pages = 700;

    assert_int_equal(touch(m, small, area(m, small, 8 << 20), 100), 100);
    assert_int_equal(touch(m, large, area(m, large, 16 << 20), 2000), 2000);
    uint64_t at = area(m, grows, 64 << 20);
    assert_int_equal(touch(m, grows, at, pages), pages);
    while (events == 0 && pages < 10000)
        assert_int_equal(touch(m, grows, at + pages++ * VM_SIM_PAGE_SIZE, 1), 1); /* it goes on over the victim's body */
    assert_int_equal(events, 1);
    assert_int_equal(last.number, large->context.pid);
    assert_string_equal(last.name, "large");
    assert_true(large->exited && !small->exited && !grows->exited);
    assert_int_equal(large->signal, 9);
    assert_true(last.count >= 2000);
    /* Then the one that asks is the greatest itself. */
    uint64_t good = touch(m, grows, at + pages * VM_SIM_PAGE_SIZE, 8000);
    assert_true(good < 8000);
    assert_int_equal(events, 2);
    assert_int_equal(last.number, grows->context.pid);
    assert_true(grows->exited && !small->exited);
    assert_int_equal(touch(m, small, area(m, small, 1 << 20), 100), 100); /* the rest go on */
    assert_ptr_equal(vm_sim_oom_kill(m, &freed), small);
    assert_true(freed >= 200);
    assert_null(vm_sim_oom_kill(m, &freed));
    assert_int_equal(freed, 0);
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores), cmocka_unit_test(the_greatest_dies)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

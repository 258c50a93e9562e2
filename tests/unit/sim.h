/* What the tests of the simulated machine's memory manager share: a machine from a preset, touching pages with all
   invariants checked after every step, and the events that came.  Included by tests/unit/test_sim_*.c. */
#ifndef SIM_TEST_H
#define SIM_TEST_H

#include "unit.h"

#include "sim/fault.h"
#include "sim/machine.h"
#include "sim/rmap.h"

#define PAGE VM_SIM_PAGE_SIZE
#define RW (VM_SIM_R | VM_SIM_W)

/* assignments: as on the command line, NULL after the last. */
static UNUSED struct vm_sim_machine *machine(const char *preset, const char *const *assignment)
{
    struct vm_sim_config c;
    struct vm_sim_message message = {""};

    CHECK(vm_sim_config_preset(&c, preset) == 0);
    for (; assignment && *assignment; assignment++)
        CHECKF(vm_sim_config_set(&c, *assignment, &message) == 0, "%s", message.text);
    struct vm_sim_machine *m = vm_sim_machine_new(&c, &message);
    CHECKF(m != NULL, "%s", message.text);
    CHECK(vm_sim_machine_check(m));
    return m;
}
#define MACHINE(preset, ...) machine(preset, (const char *const[]){__VA_ARGS__ __VA_OPT__(,) NULL})

/* The parts of vm_sim_machine_check(), so that a failure names the one that it is in. */
#define CHECK_MACHINE(m) \
    do { \
        CHECK(vm_sim_memory_check(&(m)->memory)); \
        CHECK(vm_sim_swaps_check(&(m)->swaps)); \
        CHECK(vm_sim_files_check(m)); \
        CHECK(vm_sim_processes_check(m)); \
        CHECK(vm_sim_reclaim_check(m)); \
        CHECK(vm_sim_rmap_check(m)); \
        CHECK(vm_sim_cpu_check(&(m)->cpu)); \
        CHECK(vm_sim_machine_check(m)); \
    } while (0)

/* One reference.  0 or the negative errno. */
static UNUSED int touch(struct vm_sim_machine *m, struct vm_sim_process *p, uint64_t at, enum vm_sim_access access)
{
    struct vm_sim_ref r = {.offset = at, .process = p->context.slot, .access = (uint8_t)access, .bytes = 1};

    return vm_sim_ref(m, r, NULL);
}

/* A reference to the first byte of each page; how many succeeded. */
static UNUSED uint64_t touch_pages(struct vm_sim_machine *m, struct vm_sim_process *p, uint64_t at, uint64_t pages,
                                   enum vm_sim_access access)
{
    uint64_t good = 0;

    for (uint64_t i = 0; i < pages; i++)
        good += touch(m, p, at + i * PAGE, access) == 0;
    CHECK_MACHINE(m);
    return good;
}

static UNUSED uint64_t map_area(struct vm_sim_machine *m, struct vm_sim_process *p, uint64_t pages)
{
    uint64_t at = 0;

    CHECK(vm_sim_mmap(m, p->mm, 0, pages * PAGE, RW, 0, VM_SIM_MMAP, NULL, 0, &at) == 0);
    return at;
}

static UNUSED vm_sim_pte entry_at(const struct vm_sim_process *p, uint64_t at)
{
    const vm_sim_pte *e = vm_sim_pt_find(p->mm->pt, VM_SIM_LINEAR(at), NULL);

    return e ? *e : 0;
}

/* The causes of what happened, in order, with a space after each. */
static struct {
    char text[4096];
    size_t length;
} heard;

static UNUSED void hear(void *ctx, const struct vm_sim_event *event)
{
    (void)ctx;
    if (event->cause && heard.length + strlen(event->cause) + 2 < sizeof heard.text)
        heard.length += (size_t)sprintf(heard.text + heard.length, "%s ", event->cause);
}

static UNUSED void listen_to(struct vm_sim_machine *m, uint32_t mask)
{
    heard.length = 0;
    heard.text[0] = '\0';
    vm_sim_machine_listen(m, hear, NULL, mask);
}

#endif

/* Putting the machine together, taking it apart, and driving it; see machine.h. */
#include "sim/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/fault.h"
#include "sim/mem.h"
#include "sim/rmap.h"

#define MIB ((uint64_t)1 << 20)

static bool is_paged(const struct vm_sim_config *c)
{
    return c->addressing == VM_SIM_FLAT || c->addressing == VM_SIM_SEG_PAGED;
}

static void set_up_cpu(struct vm_sim_machine *m)
{
    const struct vm_sim_config *c = &m->config;

    vm_sim_cpu_init(&m->cpu, c->mode, c->has_tlb ? &c->tlb : NULL, &m->events);
    m->cpu.flat = c->addressing == VM_SIM_FLAT;
    m->cpu.descriptor_cache = c->descriptor_cache;
    m->cpu.pcid = c->pcid;
    m->cpu.ctx = m;
    /* Flat: the GDT of Linux.  Else room for an LDT of each process beside it. */
    vm_sim_dtable_init(&m->gdt, VM_SIM_GDT_USER_DATA + 1 + (m->cpu.flat ? 0 : c->max_processes));
    vm_sim_gdt_flat(&m->gdt);
    vm_sim_segmentation_flat(&m->cpu.seg, &m->gdt, 3);
    m->cpu.seg.flat = m->cpu.flat;
}

/* The vmalloc area: 128 MiB below the fixed maps in 32 bits, 32 TiB in 48, 12.5 PiB in 57 (Documentation/x86 of Linux). */
static void set_up_kernel_areas(struct vm_sim_machine *m)
{
    uint64_t direct = vm_min(m->config.memory, m->config.zones.normal_end);

    if (m->config.mode == VM_SIM_PAGING_5LEVEL) {
        vm_sim_vmareas_init(&m->vmareas, 0xffa0000000000000, 0xffd1ffffffffffff & ~(MIB - 1), &m->memory, m->kernel);
    } else if (m->config.mode == VM_SIM_PAGING_4LEVEL) {
        vm_sim_vmareas_init(&m->vmareas, 0xffffc90000000000, 0xffffe8fffff00000, &m->memory, m->kernel);
    } else {
        vm_sim_vmareas_init(&m->vmareas, 0xf8000000, 0xfe000000, &m->memory, m->kernel);
        vm_sim_kmaps_init(&m->kmaps, vm_sim_paging_geometry[m->config.mode].kernel_start, direct, 1, &m->memory,
                          m->kernel, &m->events);
    }
}

static bool has_kmaps(const struct vm_sim_machine *m)
{
    return vm_sim_paging_geometry[m->config.mode].linear_bits == 32;
}

static bool set_up_memory(struct vm_sim_machine *m, struct vm_sim_message *message)
{
    const struct vm_sim_config *c = &m->config;

    vm_sim_memory_init(&m->memory, c->memory, &c->zones, c->reserved, c->reserved_count, &m->events);
    m->cpu.map = &m->memory.map;
    if (c->shared_directory)
        vm_sim_012_init(m);
    vm_sim_slabs_init(&m->slabs, &m->memory, &m->events);
    m->kernel = vm_sim_pt_new(c->mode, vm_sim_table_source(&m->memory), NULL);
    if (!m->kernel) {
        snprintf(message->text, sizeof message->text,
                 "impossible machine: no memory for the kernel's first page table");
        return false;
    }
    set_up_kernel_areas(m);
    for (size_t i = 0; i < c->swap_count; i++)
        if (vm_sim_swap_add(&m->swaps, c->swap[i].name, c->swap[i].bytes, c->swap[i].priority, c->swap[i].extents)
            != 0) {
            snprintf(message->text, sizeof message->text, "impossible machine: swap area %s", c->swap[i].name);
            return false;
        }
    vm_sim_reclaim_init(m, c->policy);
    if (c->policy == VM_SIM_LRU)
        m->cpu.exact_lru = &m->reclaim.inactive;
    m->cpu.fault = vm_sim_handle_fault;
    return true;
}

struct vm_sim_text {
    struct vm_sim_text *next;
    char text[];
};

const char *vm_sim_machine_text(struct vm_sim_machine *m, const char *text)
{
    struct vm_sim_text *t = vm_sim_zalloc(sizeof *t + strlen(text) + 1);

    strcpy(t->text, text);
    t->next = m->texts;
    m->texts = t;
    return t->text;
}

struct vm_sim_machine *vm_sim_machine_new(const struct vm_sim_config *config, struct vm_sim_message *message)
{
    if (vm_sim_config_check(config, message) != 0)
        return NULL;
    struct vm_sim_machine *m = vm_sim_zalloc(sizeof *m);
    m->config = *config;
    m->events.clock = &m->cpu.refs;
    m->next_pid = 1;
    m->random = 0x9e3779b97f4a7c15;
    vm_list_init(&m->mms);
    vm_list_init(&m->processes);
    set_up_cpu(m);
    if (!is_paged(config)) {
        vm_sim_core_init(&m->core, config->memory, config->fit, &m->events);
    } else if (!set_up_memory(m, message)) {
        vm_sim_machine_free(m);
        return NULL;
    }
    return m;
}

void vm_sim_machine_free(struct vm_sim_machine *m)
{
    if (!m)
        return;
    m->events.receive = NULL;
    vm_sim_processes_free(m);
    if (is_paged(&m->config)) {
        vm_sim_files_free(m);
        vm_sim_swaps_free(&m->swaps);
        if (m->kernel) {
            if (has_kmaps(m))
                vm_sim_kmaps_free(&m->kmaps);
            vm_sim_vmareas_free(&m->vmareas);
            vm_sim_pt_free(m->kernel);
        }
        vm_sim_slabs_free(&m->slabs);
        vm_sim_012_free(m);
        vm_sim_memory_free(&m->memory);
    } else {
        vm_sim_core_free(&m->core);
    }
    vm_sim_cpu_free(&m->cpu);
    vm_sim_dtable_free(&m->gdt);
    for (struct vm_sim_text *t = m->texts, *next; t; t = next) {
        next = t->next;
        free(t);
    }
    free(m);
}

void vm_sim_machine_listen(struct vm_sim_machine *m, void (*receive)(void *ctx, const struct vm_sim_event *event),
                           void *ctx, uint32_t mask)
{
    m->events.receive = receive;
    m->events.ctx = ctx;
    m->events.mask = mask;
}

/* A bare machine: base and limit, or the address as it is. */
static int bare_ref(struct vm_sim_machine *m, struct vm_sim_ref ref, struct vm_sim_translation *out)
{
    struct vm_sim_context *c = ref.process < VM_SIM_MAX_PROCESSES ? m->cpu.context[ref.process] : NULL;
    struct vm_sim_process *p = c ? VM_CONTAINER_OF(c, struct vm_sim_process, context) : NULL;
    struct vm_sim_physical physical = {0};

    if (!p || c->dead || !p->program) {
        m->cpu.dropped++;
        return -ESRCH;
    }
    m->cpu.current = c;
    m->cpu.refs++;
    c->refs[ref.access]++;
    m->cpu.memory_reads++;
    int error = vm_sim_relocate(&m->core, p->program, ref.offset, &physical);
    if (!error && out) {
        memset(out, 0, sizeof *out);
        out->logical.offset = out->linear.at = ref.offset;
        out->physical = physical;
        out->memory_reads = 1;
    }
    m->cpu.exceptions += !!error;
    return error;
}

int vm_sim_ref(struct vm_sim_machine *m, struct vm_sim_ref ref, struct vm_sim_translation *out)
{
    if (m->config.addressing == VM_SIM_BARE)
        return bare_ref(m, ref, out);
    if (m->reclaim.kswapd_awake) /* woken by a fork, say */
        vm_sim_kswapd(m);
    int error = vm_sim_cpu_ref(&m->cpu, ref, out);
    if (m->reclaim.kswapd_awake)
        vm_sim_kswapd(m);
    return error;
}

size_t vm_sim_refs(struct vm_sim_machine *m, const struct vm_sim_ref *ref, size_t n)
{
    size_t good = 0;

    if (m->config.addressing == VM_SIM_BARE) {
        for (size_t i = 0; i < n; i++)
            good += bare_ref(m, ref[i], NULL) == 0;
        return good;
    }
    for (size_t i = 0; i < n;) {
        i += vm_sim_cpu_refs(&m->cpu, ref + i, n - i, &good, &m->reclaim.kswapd_awake);
        if (m->reclaim.kswapd_awake)
            vm_sim_kswapd(m);
    }
    return good;
}

double vm_sim_machine_eat(const struct vm_sim_machine *m)
{
    const struct vm_tlb_latency *l = &m->config.latency;

    if (!m->cpu.tlb) /* every access goes to memory */
        return m->cpu.refs ? (double)m->cpu.memory_reads / (double)m->cpu.refs * l->memory : 0;
    struct vm_tlb_counts c = vm_tlb_counts(m->cpu.tlb);
    return vm_tlb_eat(&c, l);
}

bool vm_sim_machine_check(const struct vm_sim_machine *m)
{
    /* rmap walks with a callback that may write */
    struct vm_sim_machine *writable = (struct vm_sim_machine *)(uintptr_t)m;

    if (!is_paged(&m->config))
        return vm_sim_core_check(&m->core) && vm_sim_segments_check(m) && vm_sim_cpu_check(&m->cpu);
    return vm_sim_memory_check(&m->memory) && vm_sim_slabs_check(&m->slabs) && vm_sim_pt_check(m->kernel)
           && vm_sim_vmareas_check(&m->vmareas) && (!has_kmaps(m) || vm_sim_kmaps_check(&m->kmaps))
           && vm_sim_swaps_check(&m->swaps) && vm_sim_files_check(m) && vm_sim_processes_check(m)
           && vm_sim_segments_check(m) && vm_sim_reclaim_check(m) && vm_sim_rmap_check(writable)
           && vm_sim_cpu_check(&m->cpu);
}

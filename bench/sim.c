/* Speed of the simulated processor: references a second through segmentation, TLB and page tables, for one process, with
   and without exact LRU, best of 3 rounds.  Run by hand:
     cc -O2 -Isrc -o /tmp/sim bench/sim.c src/sim/{cpu,paging,segment,workset,mem,event}.c src/vm/tlb{,_presets}.c \
        src/base/{fail,fmt}.c -lm && /tmp/sim */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/cpu.h"
#include "sim/mem.h"

#define REFS 4000000u
#define FRAMES 2000000u

static struct vm_sim_cpu cpu;
static struct vm_list lru;
static struct vm_sim_frame *frame;
static vm_sim_pfn next;

static int handle(void *ctx, struct vm_sim_context *c, struct vm_sim_linear at, unsigned error)
{
    (void)ctx;
    (void)error;
    next++;
    frame[next].flags |= VM_SIM_FRAME_ON_LRU;
    vm_list_push_front(&lru, &frame[next].lru);
    return vm_sim_pt_set(c->pt, at, 1, vm_sim_pte_make(next, VM_SIM_PTE_P | VM_SIM_PTE_W | VM_SIM_PTE_U, VM_SIM_HEAP));
}

static uint64_t seed = 88172645463325252u;

static uint64_t zipf(uint64_t n)
{
    double u = (double)(vm_sim_random(&seed) >> 11) / 9007199254740992.0, x = 1;

    for (double l = u * __builtin_log2((double)n); l >= 1; l--)
        x *= 2;
    return (uint64_t)(x * (1 + (double)(vm_sim_random(&seed) & 1023) / 1024)) % n;
}

static uint64_t address(unsigned stream, uint64_t i)
{
    static uint64_t at[4];
    unsigned who = (unsigned)i & 3; /* code, stack, two data streams */

    switch (stream) {
    case 0: return 0x10000000 + i * 8;
    case 1: /* a program: four places at a time, each stays in a page for a while */
        if (vm_sim_random(&seed) % 16 == 0)
            at[who] = zipf(who < 2 ? 50 : 30000) * 4096;
        return 0x10000000 * (who + 1) + at[who] + vm_sim_random(&seed) % 4096;
    case 2: return 0x10000000 + zipf(100000) * 4096;
    default: return 0x10000000 + vm_sim_random(&seed) % 400000 * 4096;
    }
}

int main(void)
{
    static const char *const streams[] = {"array", "program", "zipf pages", "random"};
    static const char *const presets[] = {"skylake", "zen4"};
    struct vm_sim_ref *ref = vm_sim_zalloc(REFS * sizeof *ref);

    frame = vm_sim_zalloc(FRAMES * sizeof *frame);
    printf("%-12s %-10s %-6s %10s %8s\n", "stream", "TLB", "lru", "M refs/s", "walks %");
    for (unsigned s = 0; s < 4; s++) {
        for (uint64_t i = 0; i < REFS; i++)
            ref[i] = (struct vm_sim_ref){.offset = address(s, i) & ~(uint64_t)7, .access = i % 5 == 0, .bytes = 8};
        for (unsigned k = 0; k < 4; k++) {
            struct vm_sim_mem_map map = {frame, FRAMES, 0};
            struct vm_sim_context c = {.pid = 1, .cpl = 3};
            double best = 1e9;
            vm_list_init(&lru);
            next = 0;
            vm_sim_cpu_init(&cpu, VM_SIM_PAGING_4LEVEL, vm_tlb_preset(presets[k / 2]), NULL);
            cpu.fault = handle;
            cpu.map = &map;
            cpu.exact_lru = k % 2 ? &lru : NULL;
            c.pt = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, (struct vm_sim_frame_source){0}, NULL);
            cpu.context[0] = &c;
            for (unsigned round = 0; round < 3; round++) {
                struct timespec from, to;
                size_t good = 0;
                clock_gettime(CLOCK_MONOTONIC, &from);
                vm_sim_cpu_refs(&cpu, ref, REFS, &good, NULL);
                clock_gettime(CLOCK_MONOTONIC, &to);
                double took = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
                best = took < best ? took : best;
            }
            printf("%-12s %-10s %-6s %10.0f %8.2f\n", streams[s], presets[k / 2], k % 2 ? "exact" : "no", REFS / best / 1e6,
                   100.0 * (double)c.usage[VM_SIM_HEAP].walks / (double)cpu.refs);
            vm_sim_pt_free(c.pt);
            vm_sim_cpu_free(&cpu);
        }
    }
    free(ref);
    free(frame);
    return 0;
}

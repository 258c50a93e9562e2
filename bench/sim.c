/* Speed of the simulated machine: references a second of one process through TLB, page table and the lists of pages, under
   the two-list policy and exact LRU, with memory enough and (last column) half of what the process touches.  Best of 3
   rounds.  Run by hand, in a build folder after `make libvmsim.la`:
     cc -O2 -I$SRC/src -o /tmp/sim $SRC/bench/sim.c .libs/libvmsim.a -lm && /tmp/sim */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/machine.h"
#include "sim/mem.h"

#define REFS 4000000u

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

/* Best time of some rounds in millions of references a second; *pages: what it touched. */
static double speed(const struct vm_sim_ref *ref, const char *tlb, const char *policy, uint64_t frames, unsigned rounds,
                    uint64_t *pages)
{
    struct vm_sim_config c;
    struct vm_sim_message message;
    char set[3][40];
    double best = 1e9;
    uint64_t at;

    snprintf(set[0], sizeof set[0], "tlb=%s", tlb);
    snprintf(set[1], sizeof set[1], "policy=%s", policy);
    snprintf(set[2], sizeof set[2], "memory=%lluK", (unsigned long long)frames * 4);
    vm_sim_config_preset(&c, "x86_64");
    for (unsigned i = 0; i < 3; i++)
        if (vm_sim_config_set(&c, set[i], &message) != 0)
            return 0;
    vm_sim_config_set(&c, "swap=none", &message);
    vm_sim_config_set(&c, "swap=8G", &message);
    struct vm_sim_machine *m = vm_sim_machine_new(&c, &message);
    struct vm_sim_process *p = m ? vm_sim_process_new(m, "p") : NULL;
    if (!p || vm_sim_mmap(m, p->mm, 0x10000000, (uint64_t)8 << 30, VM_SIM_R | VM_SIM_W, 0, VM_SIM_MMAP, NULL, 0, &at) != 0)
        return 0;
    for (unsigned round = 0; round < rounds; round++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        size_t good = vm_sim_refs(m, ref, REFS);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double took = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
        best = good == REFS && took < best ? took : best;
    }
    *pages = p->mm->highest_rss;
    vm_sim_machine_free(m);
    return REFS / best / 1e6;
}

int main(void)
{
    static const char *const streams[] = {"array", "program", "zipf pages", "random"};
    static const char *const presets[] = {"skylake", "zen4"};
    static const char *const policies[] = {"two-list", "lru"};
    struct vm_sim_ref *ref = vm_sim_zalloc(REFS * sizeof *ref);

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%-12s %-10s %-10s %10s %10s %12s\n", "stream", "TLB", "policy", "pages", "M refs/s", "half memory");
    for (unsigned s = 0; s < 4; s++) {
        for (uint64_t i = 0; i < REFS; i++)
            ref[i] = (struct vm_sim_ref){.offset = address(s, i) & ~(uint64_t)7, .access = i % 5 == 0, .bytes = 8};
        for (unsigned k = 0; k < 4; k++) {
            uint64_t pages, less;
            double all = speed(ref, presets[k / 2], policies[k % 2], 2 << 20, 3, &pages);
            double half = s == 0 ? 0 : speed(ref, presets[k / 2], policies[k % 2], pages / 2 + 1500, 1, &less);
            printf("%-12s %-10s %-10s %10llu %10.1f %12.2f\n", streams[s], presets[k / 2], policies[k % 2],
                   (unsigned long long)pages, all, half);
        }
    }
    free(ref);
    return 0;
}

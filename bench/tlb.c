/* Speed of the TLB model: references a second through vm_tlb_refs() for some streams and presets, least CPU time of 5
   rounds.  Run by hand:
     cc -O2 -Isrc -o /tmp/tlb bench/tlb.c src/vm/tlb.c src/vm/tlb_presets.c -lm && /tmp/tlb */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "vm/tlb.h"

#define REFS 4000000u

static uint64_t seed = 88172645463325252u;
static uint64_t random_word(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Rank r of n with probability about 1 / r. */
static uint64_t zipf(uint64_t n)
{
    double u = (double)(random_word() >> 11) / 9007199254740992.0;
    double x = 1;

    for (double l = u * __builtin_log2((double)n); l >= 1; l--)
        x *= 2;
    return (uint64_t)(x * (1 + (double)(random_word() & 1023) / 1024)) % n;
}

static uint64_t address(unsigned stream, uint64_t i)
{
    static uint64_t at;

    switch (stream) {
    case 0: return i * 8;                                   /* an array, word after word */
    case 1: return i % 3 * 0x10000000 + i * 4;              /* three arrays side by side */
    case 2: return zipf(100000) * 4096 + i % 512 * 8;       /* few pages most of the time */
    case 3: /* a program: runs in a page, then another by zipf */
        if (random_word() % 8 == 0)
            at = zipf(30000) * 4096;
        return at + random_word() % 4096;
    case 4: return random_word() % 1000 * 4096;             /* in reach of the second level */
    default: return random_word() % 1000000 * 4096;         /* out of reach of all */
    }
}

int main(void)
{
    static const char *const streams[] = {"array", "three arrays", "zipf pages", "program", "random in L2", "random"};
    static const char *const presets[] = {"skylake", "zen4", "neoverse-n1"};
    uint64_t *a = malloc(REFS * sizeof *a);

    printf("%-14s %-12s %10s %10s\n", "stream", "preset", "M refs/s", "miss %");
    for (unsigned s = 0; a && s < 6; s++) {
        for (uint64_t i = 0; i < REFS; i++)
            a[i] = address(s, i);
        for (unsigned p = 0; p < 3; p++) {
            const struct vm_tlb_config *c = vm_tlb_preset(presets[p]);
            struct vm_tlb *t = vm_tlb_init(aligned_alloc(64, vm_align_up(vm_tlb_bytes(c), 64)), c);
            double best = 1e9;
            for (unsigned round = 0; round < 5; round++) {
                struct timespec from, to;
                clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
                vm_tlb_refs(t, a, REFS, VM_TLB_SMALL);
                clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
                double took = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
                best = took < best ? took : best;
            }
            struct vm_tlb_counts n = vm_tlb_counts(t);
            printf("%-14s %-12s %10.0f %10.3f\n", streams[s], c->name, REFS / best / 1e6,
                   100.0 * (double)vm_tlb_total_walks(&n) / (double)vm_tlb_total_refs(&n));
            free(t);
        }
    }
    free(a);
    return 0;
}

/* Speed of the simulated machine: references a second of one process through TLB, page table and the lists of pages, under
   the two-list policy and exact LRU, with memory enough and (last column) half of what the process touches.  CPU time of
   the one thread, best of 3 rounds.  First the miss-ratio curves of the same streams: references a second of an exact one
   and of two sampled ones (8192 and 1024 pages followed), each from nothing, and how far a sample's miss ratio is off at
   most, at all powers of two from 64 pages on; of less memory, a few pages of a loop, a sample says nothing sure.  Then
   reading the same streams as lackey text and in the binary form, from a file.  Run by hand, in a build folder after
   `make libvmsim.la`; `/tmp/sim curves` stops there:
     cc -O2 -I$SRC/src -o /tmp/sim $SRC/bench/sim.c .libs/libvmsim.a -lm && /tmp/sim */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/machine.h"
#include "sim/mem.h"
#include "sim/mrc.h"
#include "sim/trace.h"

#define REFS 4000000u
#define LEAST 64u /* pages: the smallest memory at which a sample is compared */

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

static double seconds(const struct timespec *from, const struct timespec *to)
{
    return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
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
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        size_t good = vm_sim_refs(m, ref, REFS);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        double took = seconds(&from, &to);
        best = good == REFS && took < best ? took : best;
    }
    *pages = p->mm->highest_rss;
    vm_sim_machine_free(m);
    return REFS / best / 1e6;
}

/* The curve, and in *best millions of references a second. */
static struct vm_sim_curve curve(const uint64_t *a, size_t most, double *best)
{
    struct vm_sim_curve found = {0};

    *best = 0;
    for (unsigned round = 0; round < 3; round++) {
        struct vm_sim_mrc *c = vm_sim_mrc_new(12, most);
        struct timespec from, to;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        vm_sim_mrc_refs(c, a, REFS);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        double rate = REFS / seconds(&from, &to) / 1e6;
        *best = rate > *best ? rate : *best;
        vm_sim_curve_free(&found);
        found = vm_sim_mrc_curve(c);
        vm_sim_mrc_free(c);
    }
    return found;
}

static void curves(const char *stream, const struct vm_sim_ref *ref, uint64_t *a)
{
    double speed;

    for (size_t i = 0; i < REFS; i++)
        a[i] = ref[i].offset;
    struct vm_sim_curve exact = curve(a, 0, &speed);
    printf("%-12s %10llu %10.1f", stream, (unsigned long long)exact.distinct, speed);
    for (size_t most = 8192; most >= 1024; most /= 8) {
        struct vm_sim_curve sampled = curve(a, most, &speed);
        double greatest = 0;
        for (uint64_t pages = LEAST; pages < exact.distinct; pages *= 2) {
            double e = (double)vm_sim_curve_misses(&exact, pages) - (double)vm_sim_curve_misses(&sampled, pages);
            e = (e < 0 ? -e : e) / REFS;
            greatest = e > greatest ? e : greatest;
        }
        printf(" %10.1f %10.4f", speed, greatest);
        vm_sim_curve_free(&sampled);
    }
    printf("\n");
    vm_sim_curve_free(&exact);
}

/* Millions of references a second of reading a trace file; bytes a reference in *bytes; 0: not read. */
static double reading(const char *path, double *bytes)
{
    struct vm_sim_message message;
    struct vm_sim_item item;
    struct vm_sim_trace *t = vm_sim_trace_open(path, VM_SIM_TRACE_AUTO, &message);
    struct timespec from, to;
    size_t refs = 0;

    if (!t)
        return 0;
    *bytes = (double)vm_sim_trace_size(t) / REFS;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    while (vm_sim_trace_next(t, &item, &message) > 0)
        refs += item.n;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    vm_sim_trace_close(t);
    return refs == REFS ? REFS / seconds(&from, &to) / 1e6 : 0;
}

static void readers(const char *stream, struct vm_sim_ref *ref)
{
    char path[] = "/tmp/bench-sim.XXXXXX";
    int fd = mkstemp(path);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    double bytes = 0, text, binary, text_bytes;

    if (!out)
        return;
    for (size_t i = 0; i < REFS; i++)
        fprintf(out, " %c %08llx,8\n", ref[i].access ? 'S' : 'L', (unsigned long long)ref[i].offset);
    fclose(out);
    text = reading(path, &bytes);
    text_bytes = bytes;
    out = fopen(path, "w");
    struct vm_sim_trace_writer *w = out ? vm_sim_trace_writer_new(out) : NULL;
    for (size_t i = 0; w && i < REFS; i += VM_SIM_TRACE_BATCH) {
        struct vm_sim_item item = {.kind = VM_SIM_ITEM_REFS, .pid = 1, .ref = ref + i};
        item.n = REFS - i < VM_SIM_TRACE_BATCH ? REFS - i : VM_SIM_TRACE_BATCH;
        vm_sim_trace_write(w, &item);
    }
    if (w)
        vm_sim_trace_writer_end(w);
    if (out)
        fclose(out);
    binary = reading(path, &bytes);
    remove(path);
    printf("%-12s %10.1f %10.1f %10.1f %10.1f\n", stream, text, text_bytes, binary, bytes);
}

static void fill(struct vm_sim_ref *ref, unsigned stream)
{
    for (uint64_t i = 0; i < REFS; i++)
        ref[i] = (struct vm_sim_ref){.offset = address(stream, i) & ~(uint64_t)7, .access = i % 5 == 0, .bytes = 8};
}

int main(int argc, char **argv)
{
    static const char *const streams[] = {"array", "program", "zipf pages", "random"};
    static const char *const presets[] = {"skylake", "zen4"};
    static const char *const policies[] = {"two-list", "lru"};
    struct vm_sim_ref *ref = vm_sim_zalloc(REFS * sizeof *ref);

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%-12s %10s %10s %10s %10s %10s %10s\n", "curve of", "pages", "exact M/s", "of 8192", "off", "of 1024",
           "off");
    uint64_t *a = vm_sim_zalloc(REFS * sizeof *a);
    for (unsigned s = 0; s < 4; s++) {
        fill(ref, s);
        curves(streams[s], ref, a);
    }
    free(a);
    printf("\n%-12s %10s %10s %10s %10s\n", "reading", "lackey M/s", "bytes each", "binary M/s", "bytes each");
    for (unsigned s = 0; s < 4; s++) {
        fill(ref, s);
        readers(streams[s], ref);
    }
    if (argc > 1 && strcmp(argv[1], "curves") == 0) {
        free(ref);
        return 0;
    }
    printf("\n%-12s %-10s %-10s %10s %10s %12s\n", "stream", "TLB", "policy", "pages", "M refs/s", "half memory");
    for (unsigned s = 0; s < 4; s++) {
        fill(ref, s);
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

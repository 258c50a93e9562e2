/* CPUID's words about TLBs, turned into a config; see tlb_host.h. */
#include "vm/tlb_host.h"

#include <errno.h>

#define EXTENDED 0x80000000u

/* Puts an array where a level has none of these page sizes yet. */
static void add(struct vm_tlb_config *c, unsigned level, uint32_t sets, uint32_t ways, uint32_t sizes)
{
    if (sets == 0 || ways == 0 || (uint64_t)sets * ways > VM_TLB_ENTRIES_MAX)
        return;
    for (unsigned i = 0; i < VM_TLB_ARRAYS; i++) {
        struct vm_tlb_geometry *g = &c->array[level][i];
        if (g->ways && g->sets == sets && g->ways == ways && (sizes & g->sizes) == sizes)
            return;
        sizes &= ~(g->ways ? g->sizes : 0);
    }
    for (unsigned i = 0; i < VM_TLB_ARRAYS && sizes; i++)
        if (c->array[level][i].ways == 0) {
            c->array[level][i] = (struct vm_tlb_geometry){sets, ways, sizes};
            return;
        }
}

/* Leaf 0x18: deterministic address translation parameters, one array a subleaf. */
static void decode_18(struct vm_tlb_config *c, struct vm_cpuid (*cpuid)(uint32_t, uint32_t))
{
    uint32_t last = cpuid(0x18, 0).eax;

    for (uint32_t i = 0; i <= last && i < 64; i++) {
        struct vm_cpuid r = cpuid(0x18, i);
        uint32_t type = r.edx & 31, level = r.edx >> 5 & 7, sizes = 0;
        if (r.ebx & 1)
            sizes |= 1u << VM_TLB_SMALL;
        if (r.ebx & 2 || r.ebx & 4)
            sizes |= 1u << VM_TLB_LARGE;
        if (r.ebx & 8)
            sizes |= 1u << VM_TLB_GIANT;
        bool of_data = type == 1 || type == 3 || type == 4; /* data, unified, loads only; 5 is stores only */
        if (of_data && level >= 1 && level <= VM_TLB_LEVELS && sizes)
            add(c, level - 1, r.ecx, r.ebx >> 16, sizes);
    }
}

/* Leaf 2: a byte each; those of data TLBs.  Intel SDM vol. 2A, CPUID, "Encoding of CPUID leaf 2 descriptors". */
static void decode_2(struct vm_tlb_config *c, struct vm_cpuid (*cpuid)(uint32_t, uint32_t))
{
    static const struct {
        uint8_t byte, level, sizes;
        uint16_t entries, ways;
    } known[] = {
        {0x03, 0, 1, 64, 4},    {0x04, 0, 2, 8, 4},     {0x05, 0, 2, 32, 4},  {0x56, 0, 2, 16, 4},
        {0x57, 0, 1, 16, 4},    {0x59, 0, 1, 16, 16},   {0x5a, 0, 2, 32, 4},  {0x5b, 0, 3, 64, 64},
        {0x5c, 0, 3, 128, 128}, {0x5d, 0, 3, 256, 256}, {0xa0, 0, 1, 32, 32}, {0xb3, 0, 1, 128, 4},
        {0xb4, 0, 1, 256, 4},   {0xba, 0, 1, 64, 4},    {0xc0, 0, 3, 8, 4},   {0xc1, 1, 3, 1024, 8},
        {0xc2, 0, 3, 16, 4},    {0xc3, 1, 3, 1536, 6},  {0xc4, 0, 2, 32, 4},  {0xca, 1, 1, 512, 4},
        {0x63, 0, 4, 4, 4},     {0x64, 0, 1, 512, 4},   {0x6b, 0, 1, 256, 8}, {0x6c, 0, 2, 128, 8},
        {0x6d, 0, 4, 16, 16},
    };
    struct vm_cpuid r = cpuid(2, 0);
    uint32_t word[4] = {r.eax & ~0xffu, r.ebx, r.ecx, r.edx};

    for (unsigned w = 0; w < 4; w++) {
        if (word[w] >> 31)
            continue; /* says nothing */
        for (unsigned b = 0; b < 4; b++) {
            uint8_t byte = (uint8_t)(word[w] >> 8 * b);
            /* 0x63 stands for two arrays: 4 of 1 GiB, and 32 of 2 MiB. */
            if (byte == 0x63)
                add(c, 0, 8, 4, 1u << VM_TLB_LARGE);
            for (size_t i = 0; i < sizeof known / sizeof *known; i++)
                if (known[i].byte == byte)
                    add(c, known[i].level, known[i].entries / known[i].ways, known[i].ways, known[i].sizes);
        }
    }
}

/* AMD's codes for associativity of second-level TLBs; 0: none.  (9 refers to another leaf, which has no TLBs in it.)  What they
   say of Zen 4, 3072 entries of 8 ways, differs from its guide, 24 ways: host is what the processor says. */
static uint32_t amd_ways(uint32_t code, uint32_t entries)
{
    static const uint8_t ways[16] = {0, 1, 2, 3, 4, 6, 8, 0, 16, 16, 32, 48, 64, 96, 128, 0};

    return code == 15 ? entries : ways[code];
}

static void add_amd(struct vm_tlb_config *c, unsigned level, uint32_t entries, uint32_t ways, uint32_t sizes)
{
    if (ways)
        add(c, level, vm_max(entries / ways, 1), ways, sizes);
}

static void decode_amd(struct vm_tlb_config *c, struct vm_cpuid (*cpuid)(uint32_t, uint32_t))
{
    uint32_t last = cpuid(EXTENDED, 0).eax;

    if (last < EXTENDED + 5)
        return;
    struct vm_cpuid first = cpuid(EXTENDED + 5, 0);
    struct vm_cpuid second = last >= EXTENDED + 6 ? cpuid(EXTENDED + 6, 0) : (struct vm_cpuid){0, 0, 0, 0};
    struct vm_cpuid giant = last >= EXTENDED + 0x19 ? cpuid(EXTENDED + 0x19, 0) : (struct vm_cpuid){0, 0, 0, 0};
    uint32_t n4k = first.ebx >> 16 & 0xff, w4k = first.ebx >> 24, n2m = first.eax >> 16 & 0xff, w2m = first.eax >> 24;
    uint32_t n1g = giant.eax >> 16 & 0xfff, sizes = 1u << VM_TLB_SMALL;

    w4k = w4k == 0xff ? n4k : w4k;
    w2m = w2m == 0xff ? n2m : w2m;
    /* Equal, fully associative: one array for all sizes, as the makers' guides say of Zen. */
    bool one = w4k == n4k && n2m == n4k && w2m == n2m;
    if (one)
        sizes |= 1u << VM_TLB_LARGE | (n1g == n4k ? 1u << VM_TLB_GIANT : 0);
    add_amd(c, 0, n4k, w4k, sizes);
    if (!one)
        add_amd(c, 0, n2m, w2m, 1u << VM_TLB_LARGE);
    add_amd(c, 0, n1g, amd_ways(giant.eax >> 28, n1g), 1u << VM_TLB_GIANT);

    uint32_t s4k = second.ebx >> 16 & 0xfff, s2m = second.eax >> 16 & 0xfff, s1g = giant.ebx >> 16 & 0xfff;
    uint32_t a4k = amd_ways(second.ebx >> 28, s4k), a2m = amd_ways(second.eax >> 28, s2m);
    one = s4k == s2m;
    add_amd(c, 1, s4k, a4k, one ? 3u : 1u);
    if (!one)
        add_amd(c, 1, s2m, a2m, 1u << VM_TLB_LARGE);
    add_amd(c, 1, s1g, amd_ways(giant.ebx >> 28, s1g), 1u << VM_TLB_GIANT);
}

static bool has_small_pages(const struct vm_tlb_config *c)
{
    for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
        if (c->array[0][i].ways && (c->array[0][i].sizes & 1u << VM_TLB_SMALL))
            return true;
    return false;
}

int vm_tlb_host_decode(struct vm_tlb_config *config, struct vm_cpuid (*cpuid)(uint32_t leaf, uint32_t subleaf))
{
    uint32_t last = cpuid(0, 0).eax;
    struct vm_tlb_config c = *vm_tlb_preset("zen4"); /* page sizes, levels, page-walk caches */

    c.name = "host";
    c.title = "this processor, by CPUID";
    for (unsigned level = 0; level < VM_TLB_LEVELS; level++)
        for (unsigned i = 0; i < VM_TLB_ARRAYS; i++)
            c.array[level][i] = (struct vm_tlb_geometry){0, 0, 0};
    if (last >= 0x18)
        decode_18(&c, cpuid);
    if (!has_small_pages(&c) && last >= 2)
        decode_2(&c, cpuid);
    if (!has_small_pages(&c))
        decode_amd(&c, cpuid);
    if (!has_small_pages(&c))
        return -ENOTSUP;
    *config = c;
    return 0;
}

#ifdef __x86_64__
#include <cpuid.h>

static struct vm_cpuid ask(uint32_t leaf, uint32_t subleaf)
{
    struct vm_cpuid r;

    __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
    return r;
}

int vm_tlb_host(struct vm_tlb_config *config) { return vm_tlb_host_decode(config, ask); }
#else
int vm_tlb_host(struct vm_tlb_config *config)
{
    (void)config;
    return -ENOTSUP;
}
#endif

/* Data TLBs of real processors, and the textbook's.  Entries and ways are the makers', from the document named with each;
   where that is silent a note says what is assumed.  Makers publish little about page-walk caches: those of Intel are as
   measured by Van Schaik et al., "Reverse Engineering Hardware Page Table Caches Using Side-Channel Attacks on the MMU"
   (2017), those of the others are assumptions of the same size.  The model is LRU everywhere; real ones are not quite. */
#include "vm/tlb.h"

#include <string.h>

#define K4 (1u << VM_TLB_SMALL)
#define M2 (1u << VM_TLB_LARGE)
#define G1 (1u << VM_TLB_GIANT)

/* Entries and ways as in the manuals; FULL: fully associative. */
#define A(entries, w, takes) {.sets = (entries) / (w), .ways = (w), .sizes = (takes)}
#define FULL(entries, takes) {.sets = 1, .ways = (entries), .sizes = (takes)}
#define CACHE(entries, w) {.sets = (entries) / (w), .ways = (w)}

#define X86_64 .shift = {12, 21, 30}, .walk_levels = 4, .walk_shift = {12, 21, 30, 39, 48}
#define INTEL_WALK_CACHES .walk_cache = {{0}, CACHE(32, 4), CACHE(4, 4), CACHE(2, 2), CACHE(2, 2)}
#define OTHER_WALK_CACHES .walk_cache = {{0}, CACHE(64, 64), CACHE(16, 16), CACHE(4, 4), CACHE(4, 4)}

const struct vm_tlb_config vm_tlb_presets[] = {
    {
        /* Intel 64 and IA-32 Architectures Optimization Reference Manual (248966), Skylake client, table "TLB
           parameters of the Skylake microarchitecture". */
        .name = "skylake",
        .title = "Intel Skylake",
        X86_64,
        .array = {{A(64, 4, K4), A(32, 4, M2), FULL(4, G1)}, {A(1536, 12, K4 | M2), A(16, 4, G1)}},
        INTEL_WALK_CACHES,
    },
    {
        /* The same manual, Ice Lake client (Sunny Cove), "TLB parameters"; CPUID leaf 0x18 of the processor.  The second
           level is two halves of 1024 entries, 8 ways: 4 KiB pages use both (2048, 16 ways), 2 MiB pages one and 1 GiB
           pages the other.  Modelled: 4 KiB and 2 MiB share the whole, 1 GiB has a half of its own. */
        .name = "icelake",
        .title = "Intel Ice Lake",
        X86_64,
        .array = {{A(64, 4, K4), A(32, 4, M2), FULL(8, G1)}, {A(2048, 16, K4 | M2), A(1024, 8, G1)}},
        INTEL_WALK_CACHES,
    },
    {
        /* The same manual, Golden Cove (Alder Lake, Sapphire Rapids): loads 96 entries of 6 ways, 32 of 4, 8; second level
           as in Ice Lake, and modelled as there. */
        .name = "sapphirerapids",
        .title = "Intel Sapphire Rapids",
        X86_64,
        .array = {{A(96, 6, K4), A(32, 4, M2), FULL(8, G1)}, {A(2048, 16, K4 | M2), A(1024, 8, G1)}},
        INTEL_WALK_CACHES,
    },
    {
        /* AMD Software Optimization Guide for Family 19h (56665), section "L1 and L2 translation lookaside buffers": all page
           sizes share the first level; the second has no entries of 1 GiB (such pages are split in 2 MiB ones).
           CPUID leaves 0x80000005, 0x80000006, 0x80000019. */
        .name = "zen3",
        .title = "AMD Zen 3",
        X86_64,
        .array = {{FULL(64, K4 | M2 | G1)}, {A(2048, 16, K4 | M2)}},
        OTHER_WALK_CACHES,
    },
    {
        /* AMD Software Optimization Guide for the Zen 4 microarchitecture (57647), the same section. */
        .name = "zen4",
        .title = "AMD Zen 4",
        X86_64,
        .array = {{FULL(72, K4 | M2 | G1)}, {A(3072, 24, K4 | M2)}},
        OTHER_WALK_CACHES,
    },
    {
        /* Arm Cortex-A72 MPCore Processor Technical Reference Manual (100095), 5.2: data TLB of 32 entries, fully
           associative, 4 KiB, 64 KiB, 1 MiB (larger pages are split); second level of 1024, 4 ways, all sizes.
           Modelled with 2 MiB pages in the first level. */
        .name = "cortex-a72",
        .title = "Arm Cortex-A72",
        X86_64,
        .array = {{FULL(32, K4 | M2)}, {A(1024, 4, K4 | M2 | G1)}},
        OTHER_WALK_CACHES,
    },
    {
        /* Arm Neoverse N1 Core Technical Reference Manual (100616), A5.2: 48 entries, fully associative, 4 KiB to 512 MiB;
           second level of 1280, 5 ways, all sizes. */
        .name = "neoverse-n1",
        .title = "Arm Neoverse N1",
        X86_64,
        .array = {{FULL(48, K4 | M2)}, {A(1280, 5, K4 | M2 | G1)}},
        OTHER_WALK_CACHES,
    },
    {
        /* One level in front of one table, as in the arithmetic of textbooks (20 ns and 100 ns: h = 0.98 gives 122). */
        .name = "textbook",
        .title = "textbook: one level, one table",
        .shift = {12},
        .walk_levels = 1,
        .walk_shift = {12},
        .array = {{FULL(64, K4)}},
    },
    {.name = NULL},
};

const struct vm_tlb_config *vm_tlb_preset(const char *name)
{
    for (const struct vm_tlb_config *c = vm_tlb_presets; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

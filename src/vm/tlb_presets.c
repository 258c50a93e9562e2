/* Data TLBs of real processors, and the textbook's.  With each stands what states its figures; "assumed" is what no
   source says.  "Dump": the CPUID dump of a processor in the collection github.com/InstLatx64/InstLatx64, by its
   file's name without the maker's.  Page-walk caches: makers publish little.  Intel: 4 PDPTEs are stated of Ivy
   Bridge and older by the README of github.com/vusec/revanc; the other sizes, all ways, and that later processors
   have the same are assumed.  AMD since Zen: 64 entries for PDPTEs and PML4Es together, PDEs in the second-level TLB
   (Chips and Cheese, "Zen 5's Leaked Slides", "Larger PWC", chipsandcheese.com/p/zen-5s-leaked-slides); modelled as
   64 PDPTEs, and caches of assumed sizes for the other levels.  Arm's are assumed.  The model is LRU everywhere; real
   ones are not quite. */
#include "vm/tlb.h"

#include <string.h>

#define K4 (1u << VM_TLB_SMALL)
#define M2 (1u << VM_TLB_LARGE)
#define G1 (1u << VM_TLB_GIANT)

/* Entries and ways as the sources give them; FULL: fully associative. */
/* clang-format off */
#define A(entries, w, takes) {.sets = (entries) / (w), .ways = (w), .sizes = (takes)}
#define FULL(entries, takes) {.sets = 1, .ways = (entries), .sizes = (takes)}
#define CACHE(entries, w) {.sets = (entries) / (w), .ways = (w)}
/* clang-format on */

#define X86_64 .shift = {12, 21, 30}, .walk_levels = 4, .walk_shift = {12, 21, 30, 39, 48}
#define INTEL_WALK_CACHES .walk_cache = {{0}, CACHE(32, 4), CACHE(4, 4), CACHE(2, 2), CACHE(2, 2)}
#define AMD_WALK_CACHES .walk_cache = {{0}, CACHE(64, 64), CACHE(64, 64), CACHE(4, 4), CACHE(4, 4)}
#define ARM_WALK_CACHES .walk_cache = {{0}, CACHE(64, 64), CACHE(16, 16), CACHE(4, 4), CACHE(4, 4)}

const struct vm_tlb_config vm_tlb_presets[] = {
    {
        /* WikiChip, "Skylake (server)", memory hierarchy, TLBs
           (en.wikichip.org/wiki/intel/microarchitectures/skylake_(server)): all figures; it notes that the 6 ways
           CPUID reports of the second level are erratum SKL148, and 12 right.  Dump 00506E3_Skylake_CPUID4, leaf 2:
           descriptors 03, 63 and C3, the same entries. */
        .name = "skylake",
        .title = "Intel Skylake",
        X86_64,
        .array = {{A(64, 4, K4), A(32, 4, M2), A(4, 4, G1)}, {A(1536, 12, K4 | M2), A(16, 4, G1)}},
        INTEL_WALK_CACHES,
    },
    {
        /* Dumps 00706E5_IceLakeY_CPUID3 (client) and 00606A6_ICX_04_CPUID (server), leaf 0x18: all figures, the first
           level's of loads (stores have 16 entries for all sizes, not modelled).  The second level is two arrays of
           1024 entries, 8 ways: one for 4 KiB and 2 MiB, one for 4 KiB and 1 GiB.  Modelled: 4 KiB pages have both as
           2048 of 16 ways, and the larger ones 1024 each of their own; that sizes do not displace each other is
           assumed. */
        .name = "icelake",
        .title = "Intel Ice Lake",
        X86_64,
        .array = {{A(64, 4, K4), A(32, 4, M2), FULL(8, G1)}, {A(2048, 16, K4), A(1024, 8, M2), A(1024, 8, G1)}},
        INTEL_WALK_CACHES,
    },
    {
        /* Golden Cove.  Bakhvalov, "Performance Analysis and Tuning on Modern CPUs", "TLB Hierarchy": 96 entries of 4
           KiB, 32 of 2 MiB; second level 2048, of which 2 MiB pages can use 1024.  Ways, and 8 of 1 GiB: notes on
           Hennessy and Patterson's "Computer Architecture" on the Core i9-12900 (my-knowledge-base-bmo.pages.dev,
           Reading-Notes, CAQA).  Dump 00806F8_SapphireRapids_05_CPUID, leaf 0x18: the second level is that of Ice
           Lake, and modelled like it; of loads it says 64 entries of 4 KiB, 4 ways, against both books. */
        .name = "sapphirerapids",
        .title = "Intel Sapphire Rapids",
        X86_64,
        .array = {{A(96, 6, K4), A(32, 4, M2), FULL(8, G1)}, {A(2048, 16, K4), A(1024, 8, M2), A(1024, 8, G1)}},
        INTEL_WALK_CACHES,
    },
    {
        /* Dumps 0A00F11_K19_Milan_CPUID1 and 0A20F10_K19_Vermeer_CPUID1, leaves 0x80000005, 0x80000006 and
           0x80000019: first level 64 entries, fully associative, of each size; second level 2048 of 4 KiB, 2048 of 2
           MiB, and 64, fully associative, of 1 GiB (the dump 0830F10_K17_Rome_CPUID of Zen 2 has none of those).
           That 4 KiB and 2 MiB share, and all sizes the first level, is assumed from Zen 2, of which WikiChip says it
           (en.wikichip.org, "Zen 2", memory subsystem).  16 ways: assumed from Zen 2 as well, of which Chips and
           Cheese says it in its article on the Cortex A53 (WikiChip: 12); leaf 0x80000006 says 8 of 4 KiB and 4 of 2
           MiB. */
        .name = "zen3",
        .title = "AMD Zen 3",
        X86_64,
        .array = {{FULL(64, K4 | M2 | G1)}, {A(2048, 16, K4 | M2), FULL(64, G1)}},
        AMD_WALK_CACHES,
    },
    {
        /* AMD Software Optimization Guide for the Zen 4 Microarchitecture (57647, 1.01), 2.7.1 and 2.7.2, as
           cited by a model built on it (Metatron Dynamics, substrate_model.rs; the guide itself was not seen): 72
           entries, fully associative; second level 3072, 24 ways.  The same entries: dumps
           0A10F11_K19_Genoa_01_CPUID and 0A60F12_K19_Raphael_01_CPUID, and Chips and Cheese, "Zen 5's Leaked Slides".
           64 of 1 GiB, fully associative: the dumps, leaf 0x80000019.  Which sizes share is assumed as in Zen 3. */
        .name = "zen4",
        .title = "AMD Zen 4",
        X86_64,
        .array = {{FULL(72, K4 | M2 | G1)}, {A(3072, 24, K4 | M2), FULL(64, G1)}},
        AMD_WALK_CACHES,
    },
    {
        /* Arm Cortex-A72 MPCore Processor Technical Reference Manual (100095), 5.2.3: second level of 1024, 4 ways,
           all sizes.  Wikipedia, "ARM Cortex-A72": data TLB of 32 entries, fully associative, 4 KiB, 64 KiB, 1 MiB.
           Modelled with 2 MiB pages in the first level (assumed). */
        .name = "cortex-a72",
        .title = "Arm Cortex-A72",
        X86_64,
        .array = {{FULL(32, K4 | M2)}, {A(1024, 4, K4 | M2 | G1)}},
        ARM_WALK_CACHES,
    },
    {
        /* Arm Cortex-A76 Core Technical Reference Manual (100798), A5.2.2 and table A5-3: 48 entries, fully
           associative, 4 KiB to 512 MiB; second level of 1280, 5 ways, all sizes.  Chips and Cheese, on Neoverse N1
           and Zen 2, has the same entries of the N1, which WikiChip ("Neoverse N1") calls almost identical to the A76;
           that the ways are the same too is assumed. */
        .name = "neoverse-n1",
        .title = "Arm Neoverse N1",
        X86_64,
        .array = {{FULL(48, K4 | M2)}, {A(1280, 5, K4 | M2 | G1)}},
        ARM_WALK_CACHES,
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

/* Rows 17 to 19: zones, their watermarks, the fallback order, the reserved pool, and the zoned page-frame allocator.
   Reclaim hangs on two hooks, so that this module knows nothing of processes. */
#ifndef VM_SIM_ZONE_H
#define VM_SIM_ZONE_H

#include "sim/buddy.h"
#include "sim/paging.h"

enum vm_sim_zone_type { VM_SIM_ZONE_DMA, VM_SIM_ZONE_DMA32, VM_SIM_ZONE_NORMAL, VM_SIM_ZONE_HIGHMEM, VM_SIM_ZONES };

/* What a request says; or-ed.  Without a zone flag: NORMAL, falling back to DMA32 and DMA. */
enum vm_sim_gfp {
    VM_SIM_GFP_DMA = 1,
    VM_SIM_GFP_DMA32 = 2,
    VM_SIM_GFP_HIGHMEM = 4, /* HIGHMEM first, then NORMAL, DMA */
    VM_SIM_GFP_WAIT = 8,    /* may reclaim directly */
    VM_SIM_GFP_HIGH = 16,   /* atomic: may use the reserved pool (below min, down to a half of it less a quarter) */
    VM_SIM_GFP_ZERO = 32,   /* zeroed; frames have no contents here, so it is only counted */
};
#define VM_SIM_GFP_KERNEL VM_SIM_GFP_WAIT
#define VM_SIM_GFP_ATOMIC VM_SIM_GFP_HIGH
#define VM_SIM_GFP_USER (VM_SIM_GFP_WAIT | VM_SIM_GFP_HIGHMEM)

struct vm_sim_zone {
    const char *name; /* "DMA", "DMA32", "Normal", "HighMem" */
    enum vm_sim_zone_type type;
    struct vm_sim_buddy buddy;
    vm_sim_pfn start, end;      /* start = end: empty */
    uint64_t managed;           /* frames that are not reserved */
    uint64_t min, low, high;    /* watermarks: a request of n frames is served when this many are left after it */
    uint64_t allocated, failed; /* requests; those that failed count at the first zone that they asked */
    uint64_t reserve_used;      /* requests served below min */
    uint64_t fallbacks;         /* requests served here that asked for a higher zone */
};

struct vm_sim_zone_limits {       /* from the machine description; 0: the default */
    bool wide;                    /* DMA, DMA32, NORMAL, as in 64 bits; else DMA, NORMAL, HIGHMEM */
    uint64_t dma_end, normal_end; /* bytes; 16 MiB and 896 MiB */
    uint64_t dma32_end;           /* bytes; 4 GiB; wide only */
    uint64_t min_free_kbytes;     /* default: 4 sqrt(managed KiB of lowmem), as the kernel, 64 MiB at most */
    uint64_t watermark[3];        /* min, low, high of every zone, in frames, instead; 0 < min < low < high */
};

/* Watermarks of a zone: min = its share of min_free_kbytes by size (HIGHMEM: 1/1024 of it, within 32 and 128, a quarter
   of it at most); low = min + min / 4; high = min + min / 2, each at least one more than the one before.
   The struct does not move after init: its zones point at its map. */
struct vm_sim_memory {
    struct vm_sim_mem_map map;
    struct vm_sim_zone zone[VM_SIM_ZONES];
    uint64_t zeroed;                    /* frames of requests with ZERO */
    struct vm_sim_frame_source instead; /* another allocator's; take NULL: the zones */
    uint64_t instead_used;              /* frames that it has handed out */
    struct vm_sim_events *events;
    /* Reclaim's hooks; NULL: none.  reclaim returns the frames it freed in the zones that the request may use; wake is
       called for each zone of the fallback list whenever a request would leave all of them below low. */
    uint64_t (*reclaim)(void *ctx, enum vm_sim_zone_type highest, unsigned order);
    void (*wake)(void *ctx, enum vm_sim_zone_type zone);
    void *reclaim_ctx;
};

/* `reserved` lists [from, bytes] pairs. */
struct vm_sim_range {
    uint64_t from, bytes;
};
void vm_sim_memory_init(struct vm_sim_memory *m, uint64_t bytes, const struct vm_sim_zone_limits *limits,
                        const struct vm_sim_range *reserved, size_t reserved_count, struct vm_sim_events *events);
void vm_sim_memory_free(struct vm_sim_memory *m);

/* Before the first request: from now on frames come from `source`, without watermarks or reclaim.  The zones only name
   ranges; descriptors, counts, events and checks stay as they are. */
void vm_sim_memory_instead(struct vm_sim_memory *m, struct vm_sim_frame_source source);

/* First frame of a block of 1 << order, its descriptors of `kind`, count 1 at the head; or VM_SIM_NO_FRAME.  The order
   of trials: every zone of the fallback list above low; wake kswapd; every zone above min (HIGH: the reserved pool); then,
   with WAIT, direct reclaim and again, until reclaim finds nothing. */
vm_sim_pfn vm_sim_alloc_pages(struct vm_sim_memory *m, unsigned gfp, unsigned order, enum vm_sim_frame_kind kind);

/* The linear address in the direct map (page_offset + physical) instead; 0 when there is none, and always for
   HIGHMEM, which has no such address. */
uint64_t vm_sim_get_free_pages(struct vm_sim_memory *m, uint64_t page_offset, unsigned gfp, unsigned order,
                               enum vm_sim_frame_kind kind);

/* Reference counts of the head frame: put frees the block when the count falls to 0. */
void vm_sim_get_frame(struct vm_sim_memory *m, vm_sim_pfn frame);
void vm_sim_put_frame(struct vm_sim_memory *m, vm_sim_pfn frame);
/* put, of one that must be the last. */
void vm_sim_free_pages(struct vm_sim_memory *m, vm_sim_pfn frame, unsigned order);

struct vm_sim_zone *vm_sim_zone_of(struct vm_sim_memory *m, vm_sim_pfn frame);
uint64_t vm_sim_free_frames(const struct vm_sim_memory *m);

/* For paging.h: tables from zone NORMAL, kind TABLE, by atomic requests: reclaim in the middle of vm_sim_pt_set() would
   change the tables under its feet.  Who gets -ENOMEM reclaims and tries again. */
struct vm_sim_frame_source vm_sim_table_source(struct vm_sim_memory *m);

bool vm_sim_memory_check(const struct vm_sim_memory *m);

#endif

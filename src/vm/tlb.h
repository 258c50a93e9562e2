/* A model of a processor's TLBs: pure arithmetic on memory that the caller gives, without globals, system calls or
   locks.  It has up to VM_TLB_ARRAYS arrays on each of two levels, page-walk caches, address-space numbers (ASID, PCID)
   and every kind of flush, and counts exactly what a straightforward set-associative LRU would.

   One reference: the level-1 array that takes its page size is looked up; on a miss the level-2 one; on a miss there the
   page tables are walked, from the deepest level that a page-walk cache knows.  What was found is put in all levels
   that missed, in place of the least recently used entry of its set.  Levels are neither inclusive nor exclusive: what
   level 1 drops stays in level 2 as it is, and the other way round.

   The user says what page size an address has, either with each reference (vm_tlb_ref: statistics alone) or when it
   fills an entry (vm_tlb_lookup, vm_tlb_fill: a machine that keeps its translations here). */
#ifndef VM_TLB_H
#define VM_TLB_H

#include "base/fact.h"

#define VM_TLB_SIZES 3  /* page sizes: small, large, giant; usually 4 KiB, 2 MiB, 1 GiB */
#define VM_TLB_ARRAYS 3 /* on each level */
#define VM_TLB_LEVELS 2
#define VM_TLB_WALK_LEVELS 5 /* of page tables; level 1 is the last one */
#define VM_TLB_ASID_BITS 16
#define VM_TLB_ENTRIES_MAX 65534 /* of one array */

enum vm_tlb_size { VM_TLB_SMALL, VM_TLB_LARGE, VM_TLB_GIANT };

/* sets x ways entries; an array without ways is not there. */
struct vm_tlb_geometry {
    uint32_t sets; /* any number, not only powers of two */
    uint32_t ways;
    uint32_t sizes; /* mask of 1 << enum vm_tlb_size: the page sizes it takes */
};

struct vm_tlb_config {
    const char *name;
    const char *title;
    uint8_t shift[VM_TLB_SIZES]; /* log2 of the page sizes in bytes; 0: the processor has no such pages */
    /* At most one array of a level takes a page size; a size that no array takes misses there always. */
    struct vm_tlb_geometry array[VM_TLB_LEVELS][VM_TLB_ARRAYS];
    /* What one entry of a page table at level i + 1 covers, as log2: {12, 21, 30, 39} for four levels. */
    uint8_t walk_shift[VM_TLB_WALK_LEVELS];
    uint8_t walk_levels;
    /* Cache of entries of tables at level i + 1 that name a table: [1] holds PDEs, [2] PDPTEs, [3] PML4Es.  Only
       walk_cache[1] to walk_cache[walk_levels - 1] count. */
    struct vm_tlb_geometry walk_cache[VM_TLB_WALK_LEVELS];
};

enum vm_tlb_flush {
    VM_TLB_FLUSH_PAGE,       /* invlpg: one address, global or not */
    VM_TLB_FLUSH_RANGE,      /* the pages that a range touches */
    VM_TLB_FLUSH_ASID,       /* one address space, global entries survive */
    VM_TLB_FLUSH_NON_GLOBAL, /* CR3 loaded without PCIDs: all but the global ones */
    VM_TLB_FLUSH_ALL,
    VM_TLB_FLUSH_KINDS
};

/* refs = sum of hits + sum of walks, for each page size. */
struct vm_tlb_counts {
    uint64_t hits[VM_TLB_LEVELS][VM_TLB_SIZES];
    uint64_t walks[VM_TLB_SIZES];
    uint64_t walk_reads;                          /* page-table entries read by all walks */
    uint64_t walk_cache_hits[VM_TLB_WALK_LEVELS]; /* walks that began below the entry of this level */
    uint64_t evictions[VM_TLB_LEVELS];
    uint64_t flushes[VM_TLB_FLUSH_KINDS];
    uint64_t flushed[VM_TLB_FLUSH_KINDS]; /* entries of both levels that they dropped */
};

struct vm_tlb;                                  /* in the caller's memory */
extern VM_HIDDEN struct vm_fact vm_tlb_facts[]; /* for other processes */

/* Can it be built?  0, or -EINVAL and in *why a few words (constant text). */
int vm_tlb_config_check(const struct vm_tlb_config *config, const char **why);

/* Bytes of memory, aligned to a cache line, that vm_tlb_init() needs; the config must be good. */
size_t vm_tlb_bytes(const struct vm_tlb_config *config);

/* An empty TLB in the memory; address space 0.  The config is copied. */
struct vm_tlb *vm_tlb_init(void *memory, const struct vm_tlb_config *config);

const struct vm_tlb_config *vm_tlb_config_of(const struct vm_tlb *t);

/* ---- Statistics alone: a reference is looked up and filled in one step ---- */

/* Returns the number of page-table entries read: 0 for a hit.  A global page belongs to every address space. */
unsigned vm_tlb_ref(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size);
unsigned vm_tlb_ref_global(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size);
void vm_tlb_refs(struct vm_tlb *t, const uint64_t *address, size_t n, enum vm_tlb_size size);

/* ---- A machine's TLB: lookup before the walk, fill after it ---- */

struct vm_tlb_hit {
    uint8_t size;  /* enum vm_tlb_size */
    uint8_t level; /* that it was found at: 1, 2 */
};

/* The value that the entry was filled with, to be read or changed until the next call (what is changed stays behind in
   level 2 as it was); NULL for a miss, which is not yet counted.  hit may be NULL. */
uint64_t *vm_tlb_lookup(struct vm_tlb *t, uint64_t address, struct vm_tlb_hit *hit);

/* Counts a miss whose walk found a page of this size, and puts it in.  Returns the entries that the walk read. */
unsigned vm_tlb_fill(struct vm_tlb *t, uint64_t address, enum vm_tlb_size size, bool global, uint64_t value);

/* A walk that found nothing below `level` (1: the last): the entries read, counted, and page-walk caches filled. */
unsigned vm_tlb_failed_walk(struct vm_tlb *t, uint64_t address, unsigned level);

/* ---- Address spaces and flushes; these return the number of entries dropped ---- */

void vm_tlb_switch(struct vm_tlb *t, unsigned asid); /* which address space the references from now on are of */
size_t vm_tlb_flush_page(struct vm_tlb *t, unsigned asid, uint64_t address);
size_t vm_tlb_flush_range(struct vm_tlb *t, unsigned asid, uint64_t address, uint64_t bytes);
size_t vm_tlb_flush_asid(struct vm_tlb *t, unsigned asid);
size_t vm_tlb_flush_non_global(struct vm_tlb *t);
size_t vm_tlb_flush_all(struct vm_tlb *t);

/* ---- What it saw ---- */

struct vm_tlb_counts vm_tlb_counts(const struct vm_tlb *t);
void vm_tlb_counts_clear(struct vm_tlb *t);
uint64_t vm_tlb_total_refs(const struct vm_tlb_counts *c);
uint64_t vm_tlb_total_walks(const struct vm_tlb_counts *c);

/* Entries in use of one level and page size, and the bytes that a whole level could map with pages of this size. */
size_t vm_tlb_live(const struct vm_tlb *t, unsigned level, enum vm_tlb_size size);
uint64_t vm_tlb_reach(const struct vm_tlb_config *config, unsigned level, enum vm_tlb_size size);

struct vm_tlb_entry {
    uint64_t address; /* of the page; bits above 56 are 0 */
    uint64_t value;
    uint16_t asid;
    uint8_t size, level;
    bool global;
};
/* Calls f for every valid entry, until it returns false, which is returned. */
bool vm_tlb_each(const struct vm_tlb *t, bool (*f)(void *ctx, const struct vm_tlb_entry *entry), void *ctx);

/* Every set's list of use is a permutation of its ways, every entry lies in its set, under its fingerprint and only once,
   and all counts agree. */
bool vm_tlb_check(const struct vm_tlb *t);

/* ---- Effective access time, in the unit of the latencies ---- */

struct vm_tlb_latency {
    double lookup[VM_TLB_LEVELS]; /* level 1: paid by every reference; level 2: by every miss of level 1 */
    double memory;                /* one access: the datum, or an entry of a page table */
};

/* h (t + m) + (1 - h)(t + (1 + levels) m); one level, h = 0.98, t = 20, m = 100: 122. */
double vm_tlb_eat_textbook(double hit_ratio, double lookup, double memory, unsigned levels);

/* From what was counted: lookup[0] + miss1 * lookup[1] + (entries read / references) * memory + memory. */
double vm_tlb_eat(const struct vm_tlb_counts *c, const struct vm_tlb_latency *latency);

/* ---- Presets ---- */

/* NULL when there is none of this name; the list ends with one without a name. */
const struct vm_tlb_config *vm_tlb_preset(const char *name);
extern const struct vm_tlb_config vm_tlb_presets[];

#endif

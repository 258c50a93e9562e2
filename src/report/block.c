/* The exported block and the facts about structures that every file can see; see block.h.  What is private to a module
   stands in a table of its own there. */
#include "report/block.h"

#include "base/options.h"
#include "heap/count.h"
#include "heap/heap.h"
#include "os/meta.h"
#include "page/extent.h"
#include "page/zone.h"
#include "report/tlb_feed.h"
#include "vm/mmu.h"
#include "vm/pgtab.h"
#include "vm/tlb.h"

#define PAGE(member) VM_FACT_FIELD(page, struct vm_page, member)
#define ZONE(member) VM_FACT_FIELD(zone, struct vm_zone, member)
#define EXTENT(member) VM_FACT_FIELD(extent, struct vm_extent, member)
#define HEAP(member) VM_FACT_FIELD(heap, struct vm_heap, member)
#define OUTBOX(member) VM_FACT_FIELD(outbox, struct vm_outbox, member)

/* clang-format off */
static VM_FACTS page_facts[] = {
    VM_FACT_STRUCT(page, struct vm_page),
    PAGE(free), PAGE(held), PAGE(state), PAGE(bias), PAGE(aside_bytes), PAGE(absent), PAGE(resident), PAGE(carved),
    PAGE(owner), PAGE(role), PAGE(class_id), PAGE(tail), PAGE(frames), PAGE(size), PAGE(capacity), PAGE(start), PAGE(zone),
    VM_FACT_STRUCT(zone, struct vm_zone),
    ZONE(base), ZONE(span), ZONE(map), ZONE(chunks), ZONE(next), ZONE(top), ZONE(ready),
    VM_FACT_STRUCT(extent, struct vm_extent),
    EXTENT(base), EXTENT(size), EXTENT(state), EXTENT(zeroed),
    VM_FACT_STRUCT(heap, struct vm_heap),
    HEAP(real), HEAP(quiet_bytes), HEAP(sparse_bytes), HEAP(out), HEAP(next), HEAP(state), HEAP(inbox), HEAP(feed),
    VM_FACT_STRUCT(outbox, struct vm_outbox),
    OUTBOX(owner), OUTBOX(head),
    VM_FACT_FIELD(block, struct vm_block, next),
    VM_FACT_FIELD(block, struct vm_block, seal),
    VM_FACT_NUMBER(FRAME_SHIFT, VM_FRAME_SHIFT),
    VM_FACT_NUMBER(CHUNK_SHIFT, VM_CHUNK_SHIFT),
    VM_FACT_NUMBER(CLASSES, VM_CLASSES),
    VM_FACT_NUMBER(PAGE_FREE, VM_PAGE_FREE),
    VM_FACT_NUMBER(PAGE_SLAB, VM_PAGE_SLAB),
    VM_FACT_NUMBER(PAGE_TAIL, VM_PAGE_TAIL),
    VM_FACT_NUMBER(SLAB_CURRENT, VM_SLAB_CURRENT),
    VM_FACT_NUMBER(SLAB_PARTIAL, VM_SLAB_PARTIAL),
    VM_FACT_NUMBER(SLAB_FULL, VM_SLAB_FULL),
    VM_FACT_NUMBER(EXTENT_LIVE, VM_EXTENT_LIVE),
    VM_FACT_NUMBER(EXTENT_WARM, VM_EXTENT_WARM),
    VM_FACT_NUMBER(EXTENT_DIRTY, VM_EXTENT_DIRTY),
    VM_FACT_NUMBER(EXTENT_CLEAN, VM_EXTENT_CLEAN),
    VM_FACT_NUMBER(EXTENT_FLIGHT, VM_EXTENT_IN_FLIGHT),
    VM_FACT_NUMBER(HEAP_LIVE, VM_HEAP_LIVE),
    VM_FACT_NUMBER(HEAP_IDLE, VM_HEAP_IDLE),
    VM_FACT_NUMBER(HEAP_SHARED, VM_HEAP_SHARED),
    VM_FACT_ROOT(brk, vm_brk),
    VM_FACT_ROOT(secret, vm_secret),
    VM_FACT_ROOT(classes, vm_classes),
    VM_FACT_STRUCT(class, struct vm_class),
    VM_FACT_FIELD(class, struct vm_class, size),
    VM_FACT_END,
};
/* clang-format on */

static VM_FACTS pte_facts[] = {
    VM_FACT_STRUCT(pgtab, struct vm_pgtab),
    VM_FACT_FIELD(pgtab, struct vm_pgtab, low),
    VM_FACT_FIELD(pgtab, struct vm_pgtab, high),
    VM_FACT_FIELD(pgtab, struct vm_pgtab, tables),
    VM_FACT_NUMBER(PAGE_SHIFT, VM_PAGE_SHIFT),
    VM_FACT_NUMBER(PGTAB_BITS, VM_PGTAB_BITS),
    VM_FACT_NUMBER(LEVELS_LOW, VM_PGTAB_LEVELS_LOW),
    VM_FACT_NUMBER(LEVELS_HIGH, VM_PGTAB_LEVELS_HIGH),
    VM_FACT_NUMBER(PTE_PRESENT, VM_PTE_PRESENT),
    VM_FACT_NUMBER(PTE_LEAF, VM_PTE_LEAF),
    VM_FACT_NUMBER(PTE_HUGE, VM_PTE_HUGE),
    VM_FACT_NUMBER(PTE_OUT, VM_PTE_OUT),
    VM_FACT_NUMBER(PTE_ACCESSED, VM_PTE_ACCESSED),
    VM_FACT_NUMBER(PTE_DIRTY, VM_PTE_DIRTY),
    VM_FACT_NUMBER(PTE_ZERO, VM_PTE_ZERO),
    VM_FACT_NUMBER(PTE_LAZY, VM_PTE_LAZY),
    VM_FACT_NUMBER(PTE_COW, VM_PTE_COW),
    VM_FACT_NUMBER(PTE_RETURNED, VM_PTE_RETURNED),
    VM_FACT_NUMBER(PTE_KIND_SHIFT, VM_PTE_KIND_SHIFT),
    VM_FACT_NUMBER(PTE_KIND_MASK, VM_PTE_KIND_MASK),
    VM_FACT_NUMBER(PTE_USED_SHIFT, VM_PTE_USED_SHIFT),
    VM_FACT_NUMBER(PTE_USED_MASK, VM_PTE_USED_MASK),
    VM_FACT_NUMBER(PTE_NUMBER_SHIFT, VM_PTE_NUMBER_SHIFT),
    VM_FACT_NUMBER(PTE_ALIGN_SHIFT, VM_PTE_ALIGN_SHIFT),
    VM_FACT_NUMBER(KIND_ZONE, VM_KIND_ZONE),
    VM_FACT_NUMBER(KIND_EXTENT, VM_KIND_EXTENT),
    VM_FACT_END,
};

static VM_FACTS option_facts[] = {
    VM_FACT_ROOT(options, vm_options),
#define OPTION(name, init, low, high, help) VM_FACT_FIELD(option, struct vm_options, name),
#define OPTION_STRING(name, help) VM_FACT_FIELD(option, struct vm_options, name),
#include "base/options.def"
#undef OPTION
#undef OPTION_STRING
    VM_FACT_END,
};

VM_HIDDEN __attribute__((used)) struct vm_report_block vm_report_block = {
    .magic = VM_BLOCK_MAGIC,
    .format = VM_BLOCK_FORMAT,
    .bytes = sizeof vm_report_block,
    .self = &vm_report_block,
    .fact_bytes = sizeof(struct vm_fact),
    .tables = VM_BLOCK_TABLES,
    .version = VM_VERSION,
    .table = {page_facts, pte_facts, option_facts, vm_meta_facts, vm_mmu_facts, vm_zone_facts, vm_extent_facts,
              vm_heap_facts, vm_count_facts, vm_tlb_facts, vm_feed_facts},
};

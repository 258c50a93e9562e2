/* Row 25: the areas of an address space: a list sorted by address and a balanced tree, merging and splitting. */
#ifndef VM_SIM_VMA_H
#define VM_SIM_VMA_H

#include "base/list.h"
#include "base/tree.h"
#include "sim/file.h"

struct vm_sim_anon;
struct vm_sim_mm;

enum vm_sim_vma_flag {
    VM_SIM_VMA_SHARED = 1,
    VM_SIM_VMA_GROWS_DOWN = 2, /* a stack */
    VM_SIM_VMA_LOCKED = 4,     /* its pages are unreclaimable */
    VM_SIM_VMA_HUGE = 8,       /* large pages on first touch where a whole one fits */
};

/* Sorted, not overlapping; no two neighbours that could be one. */
struct vm_sim_vma {
    struct vm_list link;      /* on mm->vmas, by address */
    struct vm_tree_node node; /* in mm->tree: key = end, so that "first with key > address" is find_vma */
    struct vm_sim_mm *mm;
    uint64_t start, end; /* small-page multiples, linear */
    uint8_t perms;       /* enum vm_sim_perm, or-ed */
    uint8_t flags;
    uint8_t region;           /* enum vm_sim_region */
    struct vm_sim_file *file; /* NULL: anonymous */
    uint64_t offset;          /* in pages: of the file at start; of anonymous memory: (start - mm->base) / 4 KiB */
    struct vm_list file_link; /* on file->vmas */
    struct vm_sim_anon *anon; /* NULL until its first anonymous page; see rmap.h */
    struct vm_list anon_link; /* on anon->vmas */
};

/* The first area that ends above the address (it may begin above it too); NULL: none. */
struct vm_sim_vma *vm_sim_find_vma(const struct vm_sim_mm *mm, uint64_t address);
struct vm_sim_vma *vm_sim_vma_first(const struct vm_sim_mm *mm); /* by address; NULL: none */
struct vm_sim_vma *vm_sim_vma_next(const struct vm_sim_vma *vma);
/* Enters an area like `like` (start to offset, and anon count); joins it with neighbours of the same kind.  -EEXIST when
   something is there. */
int vm_sim_vma_insert(struct vm_sim_mm *mm, const struct vm_sim_vma *like, struct vm_sim_vma **out);
/* Cuts the area at the address; the new one is the upper part. */
struct vm_sim_vma *vm_sim_vma_split(struct vm_sim_vma *vma, uint64_t at);
/* Moves its ends, where nothing is in the way; the page at start keeps its place in file or memory. */
void vm_sim_vma_resize(struct vm_sim_vma *vma, uint64_t start, uint64_t end);
/* Joins an area that was changed with its neighbours, if they fit now; the one that it is in afterwards. */
struct vm_sim_vma *vm_sim_vma_merge(struct vm_sim_vma *vma);
/* Takes [start, end) out of all areas (splitting); pages are the caller's affair, before. */
void vm_sim_vma_remove(struct vm_sim_mm *mm, uint64_t start, uint64_t end);
/* Lowest (or, top_down, highest) hole of `bytes` in [low, high); 0: none. */
uint64_t vm_sim_vma_hole(const struct vm_sim_mm *mm, uint64_t bytes, uint64_t low, uint64_t high, bool top_down);
bool vm_sim_vma_check(const struct vm_sim_mm *mm);

#endif

/* Copying the area that a process counts in; see peek_counts.h.  Only the cells taken so far are copied, and put into the
   shape of a whole area, so that counts.c sums them up as it does a file. */
#include "tool/peek_counts.h"

#include <stdlib.h>

#define AREA_MAX (64 * VM_MIB)

/* A copy of the description and the cells in use; NULL when there is none that makes sense. */
static struct vm_counts_file *copy_area(const struct peek *p, uint64_t address, size_t *bytes)
{
    struct vm_counts_file head;

    if (!peek_read(p, address, &head, sizeof head) || head.first_cell != VM_COUNTS_FIRST
        || head.cell_bytes != VM_COUNTS_CELL || head.next == 0 || head.cells > AREA_MAX / VM_COUNTS_CELL)
        return NULL;
    uint64_t taken = vm_min(head.next - 1, head.cells);
    *bytes = vm_max(VM_COUNTS_FIRST + taken * VM_COUNTS_CELL, VM_COUNTS_BYTES_MIN);
    struct vm_counts_file *copy = calloc(1, *bytes);
    if (!copy || !peek_read(p, address, copy, VM_COUNTS_FIRST + taken * VM_COUNTS_CELL)) {
        free(copy);
        return NULL;
    }
    copy->cells = taken;
    copy->next = taken + 1;
    return copy;
}

static void put_live(const struct vm_counts_file *file, struct vm_counts_process *cell, struct vm_figures *now)
{
    for (unsigned id = 1; id < VM_COUNTS_CLASSES && id < VM_FIGURES_CLASSES; id++) {
        cell->live_blocks[id] = (uint32_t)now->of_class[id].live_blocks;
        now->of_class[id].block_bytes = file->class_size[id];
    }
    cell->large_count = now->large_live_blocks;
}

bool peek_counts(const struct peek *p, struct vm_figures *now, struct counts_sum *sum)
{
    uint64_t area, process;
    size_t bytes;

    if (!peek_root(p, "&counts", &area) || !peek_root(p, "&counts_process", &process) || area == 0 || process < area)
        return false;
    struct vm_counts_file *copy = copy_area(p, area, &bytes);
    if (!copy)
        return false;
    uint64_t offset = process - area, number = (offset - VM_COUNTS_FIRST) / VM_COUNTS_CELL + 1;
    bool good = counts_good(copy, bytes) && offset >= VM_COUNTS_FIRST
                && (offset - VM_COUNTS_FIRST) % VM_COUNTS_CELL == 0 && number <= copy->cells;
    if (good) {
        put_live(copy, (void *)((char *)copy + offset), now);
        counts_sum(copy, number, sum);
    }
    free(copy);
    return good && sum->processes > 0;
}

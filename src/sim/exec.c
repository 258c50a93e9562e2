/* exec; see exec.h. */
#include "sim/exec.h"

#include <errno.h>

#include "base/fail.h"
#include "sim/machine.h"
#include "sim/mem.h"

#define PAGE VM_SIM_PAGE_SIZE

/* In pages: where a segment begins, where its part of the file ends, and its end. */
struct extent {
    uint64_t start, file_end, end;
};

static struct extent extent_of(const struct vm_sim_exec_segment *s, uint64_t bias)
{
    return (struct extent){vm_align_down(s->at, PAGE) + bias, vm_align_up(s->at + s->file_bytes, PAGE) + bias,
                           vm_align_up(s->at + s->memory_bytes, PAGE) + bias};
}

/* What is added to all addresses. */
static uint64_t bias_of(const struct vm_sim_mm *mm, const struct vm_sim_exec_segment *segment)
{
    if (segment[0].at < PAGE)
        return vm_align_down(mm->layout.text, PAGE);
    return mm->base;
}

static bool fits(const struct vm_sim_mm *mm, const struct vm_sim_exec_segment *segment, size_t segments)
{
    uint64_t bias = bias_of(mm, segment), room = mm->layout.stack_top - vm_align_up(mm->layout.stack_limit, PAGE);
    uint64_t end = mm->base;

    for (size_t i = 0; i < segments; i++) {
        const struct vm_sim_exec_segment *s = &segment[i];
        if (s->memory_bytes == 0 || s->file_bytes > s->memory_bytes || s->at % PAGE != s->file_offset % PAGE
            || s->at > room || s->memory_bytes > room || s->file_offset + s->file_bytes < s->file_offset)
            return false;
        struct extent e = extent_of(s, bias);
        if (e.start < end || e.end > room)
            return false;
        end = e.end;
    }
    return true;
}

static void map(struct vm_sim_machine *m, struct vm_sim_mm *mm, uint64_t start, uint64_t end, unsigned perms,
                enum vm_sim_region region, struct vm_sim_file *file, uint64_t page)
{
    if (start == end)
        return;
    int error = vm_sim_mmap(m, mm, start, end - start, perms, 0, region, file, page, NULL);
    VM_ASSERT(error == 0); /* nothing is there */
}

static void map_segment(struct vm_sim_machine *m, struct vm_sim_mm *mm, struct vm_sim_file *file,
                        const struct vm_sim_exec_segment *s, uint64_t bias)
{
    struct extent e = extent_of(s, bias);
    bool is_text = s->perms & VM_SIM_X;

    if (s->file_bytes == 0)
        e.file_end = e.start;
    map(m, mm, e.start, e.file_end, s->perms, is_text ? VM_SIM_TEXT : VM_SIM_DATA, file,
        s->file_offset >> VM_SIM_PAGE_SHIFT);
    map(m, mm, e.file_end, e.end, s->perms, VM_SIM_BSS, NULL, 0);
    if (is_text) {
        mm->start_code = s->at + bias;
        mm->end_code = s->at + bias + s->file_bytes;
    } else if (s->perms & VM_SIM_W) {
        mm->start_data = s->at + bias;
        mm->end_data = s->at + bias + s->file_bytes;
    }
    mm->start_brk = mm->brk = e.end;
}

int vm_sim_exec(struct vm_sim_machine *m, struct vm_sim_process *p, const char *name,
                const struct vm_sim_exec_segment *segment, size_t segments)
{
    uint64_t bytes = 0;

    if (!p->mm || segments == 0 || !fits(p->mm, segment, segments))
        return -EINVAL;
    for (size_t i = 0; i < segments; i++)
        bytes = vm_max(bytes, segment[i].file_offset + segment[i].file_bytes);
    vm_sim_mm_clear(m, p->mm);
    vm_sim_mm_add_stack(p->mm);
    struct vm_sim_file *file = vm_sim_file_open(m, name, bytes);
    for (size_t i = 0; i < segments; i++)
        map_segment(m, p->mm, file, &segment[i], bias_of(p->mm, segment));
    free((char *)(uintptr_t)p->name);
    p->name = vm_sim_strdup(file->name);
    vm_sim_emit(&m->events, VM_SIM_EV(PROCESS, .process = p->context.pid, .cause = "exec", .name = file->name));
    return 0;
}

/* Interrupt 14; see fault.h.  Each way of getting a page ends in one of the causes, in AGAIN (something changed meanwhile,
   the processor tries again) or in SHORT (no frame: a process dies of it). */
#include "sim/fault.h"

#include <errno.h>

#include "base/fail.h"
#include "sim/machine.h"
#include "sim/oom.h"
#include "sim/rmap.h"

#define SIGNAL_SEGMENTATION 11
#define SIGNAL_BUS 7

enum { AGAIN = VM_SIM_FAULT_CAUSES, SHORT };

struct fault {
    struct vm_sim_machine *m;
    struct vm_sim_process *p;
    struct vm_sim_mm *mm;
    struct vm_sim_vma *vma;
    struct vm_sim_linear at, page; /* CR2, and its small page */
    bool write;
    bool stack_grew;
    bool major;
    vm_sim_pfn frame; /* that the page got */
};

const char *vm_sim_fault_name(enum vm_sim_fault_cause c)
{
    static const char *const name[VM_SIM_FAULT_CAUSES] = {
        [VM_SIM_FAULT_ZERO] = "zero",           [VM_SIM_FAULT_FILE] = "file",
        [VM_SIM_FAULT_SWAP_IN] = "swap",        [VM_SIM_FAULT_COW_COPY] = "cow-copy",
        [VM_SIM_FAULT_COW_REUSE] = "cow-reuse", [VM_SIM_FAULT_STACK] = "stack",
        [VM_SIM_FAULT_NO_AREA] = "no area",     [VM_SIM_FAULT_ACCESS] = "access not allowed",
        [VM_SIM_FAULT_KERNEL] = "kernel half",  [VM_SIM_FAULT_BUS] = "beyond the end of the file",
        [VM_SIM_FAULT_OOM] = "out of memory",
    };

    return c < VM_SIM_FAULT_CAUSES ? name[c] : "?";
}

static struct vm_sim_frame *frame_of(const struct fault *f, vm_sim_pfn frame) { return &f->m->memory.map.frame[frame]; }

/* ---- Entries ---- */

/* Stores a leaf; frames for tables are reclaimed here, with nothing half done. */
static bool store(struct fault *f, struct vm_sim_linear at, unsigned level, vm_sim_pte entry, int *error)
{
    while ((*error = vm_sim_store(f->m, f->mm, at, level, entry)) == -ENOMEM)
        if (vm_sim_reclaim_frames(f->m, VM_SIM_ZONE_NORMAL, 1) == 0)
            return false;
    return *error == 0;
}

static bool is_evictable(const struct fault *f) { return !(f->vma->flags & VM_SIM_VMA_LOCKED); }

static vm_sim_pte entry_for(const struct fault *f, vm_sim_pfn frame, vm_sim_pte flags)
{
    return vm_sim_pte_make(frame, vm_sim_vma_bits(f->vma) | flags, (enum vm_sim_region)f->vma->region);
}

static vm_sim_pfn take_frame(struct fault *f)
{
    return vm_sim_alloc_pages(&f->m->memory, VM_SIM_GFP_USER | VM_SIM_GFP_ZERO, 0, VM_SIM_FRAME_ANON);
}

/* A frame of its own for the page, which the caller has a count of. */
static void own(struct fault *f, struct vm_sim_linear at, vm_sim_pfn frame)
{
    vm_sim_anon_add(f->m, f->vma, at, frame);
    if (is_evictable(f))
        vm_sim_lru_add(f->m, frame);
    else
        frame_of(f, frame)->flags |= VM_SIM_FRAME_LOCKED;
    vm_sim_mapped(f->m, f->mm, frame);
    f->frame = frame;
}

/* ---- The first touch ---- */

/* A large page, where a whole one fits and nothing is yet. */
static bool zero_large(struct fault *f)
{
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[f->m->config.mode];
    unsigned order = g->shift[1] - VM_SIM_PAGE_SHIFT;
    struct vm_sim_linear at = {f->at.at & ~(((uint64_t)1 << g->shift[1]) - 1)};

    if (!(f->vma->flags & VM_SIM_VMA_HUGE) || at.at < f->vma->start
        || at.at + ((uint64_t)1 << g->shift[1]) > f->vma->end)
        return false;
    vm_sim_pfn frame = vm_sim_alloc_pages(&f->m->memory, VM_SIM_GFP_HIGHMEM | VM_SIM_GFP_ZERO, order,
                                          VM_SIM_FRAME_ANON);
    if (frame == VM_SIM_NO_FRAME)
        return false;
    int error = vm_sim_store(f->m, f->mm, at, 2, entry_for(f, frame, f->vma->perms & VM_SIM_W ? VM_SIM_PTE_W : 0));
    if (error) { /* small pages are there already, or no table */
        vm_sim_put_frame(&f->m->memory, frame);
        return false;
    }
    own(f, at, frame);
    return true;
}

static unsigned zero(struct fault *f)
{
    int error;

    if (zero_large(f))
        return VM_SIM_FAULT_ZERO;
    vm_sim_pfn frame = take_frame(f);
    if (frame == VM_SIM_NO_FRAME)
        return SHORT;
    if (!store(f, f->page, 1, entry_for(f, frame, f->vma->perms & VM_SIM_W ? VM_SIM_PTE_W : 0), &error)) {
        vm_sim_put_frame(&f->m->memory, frame);
        return SHORT;
    }
    own(f, f->page, frame);
    return f->stack_grew ? VM_SIM_FAULT_STACK : VM_SIM_FAULT_ZERO;
}

/* A private page that is written first: read into the cache, and copied at once. */
static unsigned file_copy(struct fault *f, vm_sim_pfn cached)
{
    int error;
    vm_sim_pfn frame = take_frame(f);
    bool good = frame != VM_SIM_NO_FRAME && store(f, f->page, 1, entry_for(f, frame, VM_SIM_PTE_W), &error);

    vm_sim_put_frame(&f->m->memory, cached);
    if (good)
        own(f, f->page, frame);
    else if (frame != VM_SIM_NO_FRAME)
        vm_sim_put_frame(&f->m->memory, frame);
    return good ? VM_SIM_FAULT_COW_COPY : SHORT;
}

static unsigned file(struct fault *f)
{
    const struct vm_sim_vma *v = f->vma;
    uint64_t page = v->offset + ((f->page.at - v->start) >> VM_SIM_PAGE_SHIFT);
    bool shared = v->flags & VM_SIM_VMA_SHARED, was_cached;
    vm_sim_pte flags = v->perms & VM_SIM_W ? (shared ? VM_SIM_PTE_W : VM_SIM_PTE_COW) : 0;
    int error;

    if (page >= v->file->pages)
        return VM_SIM_FAULT_BUS;
    vm_sim_pfn frame = vm_sim_file_page(f->m, v->file, page, &was_cached);
    if (frame == VM_SIM_NO_FRAME)
        return SHORT;
    f->major = !was_cached;
    if (f->write && !shared)
        return file_copy(f, frame);
    if (!store(f, f->page, 1, entry_for(f, frame, flags), &error)) {
        vm_sim_put_frame(&f->m->memory, frame);
        return SHORT;
    }
    if (!is_evictable(f)) {
        vm_sim_lru_remove(f->m, frame);
        frame_of(f, frame)->flags |= VM_SIM_FRAME_LOCKED;
    }
    vm_sim_mapped(f->m, f->mm, frame);
    f->frame = frame;
    return VM_SIM_FAULT_FILE;
}

/* ---- Swap-in ---- */

/* The page of a slot, in the swap cache afterwards, with a count for the caller. */
static vm_sim_pfn swap_page(struct fault *f, vm_sim_pte slot)
{
    vm_sim_pfn frame = vm_sim_swap_cached(&f->m->swaps, slot);

    if (frame == VM_SIM_NO_FRAME) {
        frame = take_frame(f);
        if (frame == VM_SIM_NO_FRAME)
            return frame;
        vm_sim_swap_read(&f->m->swaps, slot);
        f->major = true;
        f->m->reclaim.counts.refaults++;
        vm_sim_anon_add(f->m, f->vma, f->page, frame);
        struct vm_sim_frame *d = frame_of(f, frame);
        d->flags &= (uint16_t)~VM_SIM_FRAME_DIRTY;
        d->flags |= VM_SIM_FRAME_SWAP_CACHE;
        d->swap = slot;
        vm_sim_swap_cache_add(&f->m->swaps, slot, frame);
        vm_sim_lru_add(f->m, frame);
        d->flags |= VM_SIM_FRAME_REFERENCED; /* it came back: one more reference makes it active */
    }
    vm_sim_get_frame(&f->m->memory, frame);
    return frame;
}

static unsigned swap_in(struct fault *f, vm_sim_pte slot)
{
    vm_sim_pfn frame = swap_page(f, slot);

    if (frame == VM_SIM_NO_FRAME)
        return SHORT;
    struct vm_sim_frame *d = frame_of(f, frame);
    bool writable = f->vma->perms & VM_SIM_W;
    /* Nobody else: neither slot (this entry and the cache) nor page.  A write takes it; a read leaves it in the cache,
       so that it need not be written when it goes again. */
    bool take = f->write && d->mapcount == 0 && vm_sim_swap_count(&f->m->swaps, slot) == 2;
    vm_sim_pte flags = take ? VM_SIM_PTE_W : writable ? VM_SIM_PTE_COW : 0;
    int error = vm_sim_store(f->m, f->mm, f->page, 1, entry_for(f, frame, flags));

    VM_ASSERT(error == 0); /* an entry is there already */
    f->mm->swapped--;
    vm_sim_mapped(f->m, f->mm, frame);
    vm_sim_swap_put(&f->m->swaps, slot);
    if (take)
        vm_sim_uncache(f->m, frame);
    f->frame = frame;
    return VM_SIM_FAULT_SWAP_IN;
}

/* ---- Write protection ---- */

static bool nobody_else(struct fault *f, const struct vm_sim_frame *d)
{
    return d->kind == VM_SIM_FRAME_ANON && d->mapcount == 1
           && (!(d->flags & VM_SIM_FRAME_SWAP_CACHE) || vm_sim_swap_count(&f->m->swaps, d->swap) == 1);
}

static unsigned cow(struct fault *f, vm_sim_pte *entry, unsigned level)
{
    vm_sim_pte was = *entry;
    vm_sim_pfn old = vm_sim_pte_frame(was);
    struct vm_sim_frame *d = frame_of(f, old);
    int error;

    if (nobody_else(f, d)) {
        if (d->flags & VM_SIM_FRAME_SWAP_CACHE)
            vm_sim_uncache(f->m, old);
        *entry = (was & ~VM_SIM_PTE_COW) | VM_SIM_PTE_W;
        vm_sim_cpu_flush_page(&f->m->cpu, f->mm->context, f->at);
        f->frame = old;
        return VM_SIM_FAULT_COW_REUSE;
    }
    unsigned order = level > 1 ? d->order : 0;
    struct vm_sim_linear at = level > 1 ? VM_SIM_LINEAR(f->at.at - vm_sim_page_offset(f->m->config.mode, f->at, level))
                                        : f->page;
    vm_sim_get_frame(&f->m->memory, old); /* reclaim for the new frame is not to take the old one */
    vm_sim_pfn frame = order == 0 ? take_frame(f)
                                  : vm_sim_alloc_pages(&f->m->memory, VM_SIM_GFP_HIGHMEM, order, VM_SIM_FRAME_ANON);
    vm_sim_put_frame(&f->m->memory, old);
    if (frame == VM_SIM_NO_FRAME && order > 0) /* no large one: a small one will do */
        return vm_sim_split_huge(f->m, old) == 0 || vm_sim_reclaim_frames(f->m, VM_SIM_ZONE_NORMAL, 1) > 0 ? AGAIN
                                                                                                           : SHORT;
    if (frame == VM_SIM_NO_FRAME)
        return SHORT;
    error = vm_sim_store(f->m, f->mm, at, level, entry_for(f, frame, VM_SIM_PTE_W));
    VM_ASSERT(error == 0);
    vm_sim_unmapped(f->m, f->mm, at, level, was);
    own(f, at, frame);
    return VM_SIM_FAULT_COW_COPY;
}

/* ---- Which of them ---- */

/* The area of the address; a stack grows to it, within its limit and a page away from what is below. */
static bool find_area(struct fault *f)
{
    struct vm_sim_vma *v = vm_sim_find_vma(f->mm, f->at.at);

    f->vma = v;
    if (!v)
        return false;
    if (v->start <= f->at.at)
        return true;
    if (!(v->flags & VM_SIM_VMA_GROWS_DOWN) || v->end - f->page.at > f->mm->layout.stack_limit)
        return false;
    const struct vm_sim_vma *below = f->page.at >= VM_SIM_PAGE_SIZE
                                         ? vm_sim_find_vma(f->mm, f->page.at - VM_SIM_PAGE_SIZE)
                                         : v;
    if (below != v || f->page.at < f->mm->base + VM_SIM_PAGE_SIZE)
        return false;
    vm_sim_emit(&f->m->events, VM_SIM_EV(MAP, .process = f->p->context.pid, .cause = "stack", .linear = f->page,
                                         .bytes = v->start - f->page.at));
    vm_sim_vma_resize(v, f->page.at, v->end);
    f->stack_grew = true;
    return true;
}

static bool is_allowed(const struct fault *f, unsigned error)
{
    unsigned perms = f->vma->perms;
    bool has_nx = f->m->config.mode >= VM_SIM_PAGING_PAE;

    if ((error & VM_SIM_PF_FETCH) && has_nx)
        return perms & VM_SIM_X;
    return f->write ? perms & VM_SIM_W : perms != 0;
}

static unsigned resolve(struct fault *f, unsigned error)
{
    unsigned level;

    if (f->at.at >= vm_sim_paging_geometry[f->m->config.mode].kernel_start && !f->m->config.shared_directory)
        return VM_SIM_FAULT_KERNEL;
    if (!find_area(f))
        return VM_SIM_FAULT_NO_AREA;
    if (!is_allowed(f, error))
        return VM_SIM_FAULT_ACCESS;
    vm_sim_pte *entry = vm_sim_pt_find(f->mm->pt, f->at, &level);
    if (entry && vm_sim_pte_is_swap(*entry))
        return swap_in(f, *entry);
    if (!entry || *entry == 0)
        return f->vma->file ? file(f) : zero(f);
    if (f->write && (*entry & VM_SIM_PTE_COW))
        return cow(f, entry, level);
    return AGAIN; /* allowed by now: a TLB entry was older than the table */
}

static int signal_of(unsigned cause) { return cause == VM_SIM_FAULT_BUS ? SIGNAL_BUS : SIGNAL_SEGMENTATION; }

static int die(struct fault *f, unsigned cause)
{
    vm_sim_emit(&f->m->events, VM_SIM_EV(SIGNAL, .process = f->p->context.pid, .number = (uint64_t)signal_of(cause),
                                         .linear = f->at, .cause = vm_sim_fault_name((enum vm_sim_fault_cause)cause)));
    vm_sim_exit(f->m, f->p, signal_of(cause));
    return -EFAULT;
}

static int done(struct fault *f, unsigned cause)
{
    const vm_sim_pte *entry = vm_sim_pt_find(f->mm->pt, f->at, NULL);

    ++*(f->major ? &f->mm->maj_faults : &f->mm->min_faults);
    vm_sim_emit(&f->m->events,
                VM_SIM_EV(PAGE_IN, .process = f->p->context.pid, .linear = f->page, .frame = f->frame,
                          .entry = entry ? *entry : 0, .cause = vm_sim_fault_name((enum vm_sim_fault_cause)cause)));
    return 0;
}

int vm_sim_handle_fault(void *ctx, struct vm_sim_context *context, struct vm_sim_linear at, unsigned error)
{
    struct vm_sim_process *p = VM_CONTAINER_OF(context, struct vm_sim_process, context);
    struct fault f = {.m = ctx, .p = p, .mm = p->mm, .at = at, .write = error & VM_SIM_PF_WRITE};

    VM_ASSERT(f.mm && !p->exited);
    f.page.at = at.at & ~(VM_SIM_PAGE_SIZE - 1);
    for (;;) {
        unsigned cause = resolve(&f, error);
        if (cause == AGAIN)
            return 0;
        if (cause != SHORT)
            return cause >= VM_SIM_FAULT_NO_AREA ? die(&f, cause) : done(&f, cause);
        struct vm_sim_process *victim = vm_sim_oom_kill(f.m, NULL);
        VM_ASSERT(victim);
        if (victim == p)
            return -ENOMEM;
    }
}

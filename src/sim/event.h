/* Everything worth telling that happens in the machine goes through one callback with one struct: faults with cause,
   walks, frames, victims, flushes, moves.  Modules fill the fields that their kind names and leave the rest zero.  The
   log (log.h), the pictures and the tests are receivers.  Emitting costs one test of a mask when nobody listens. */
#ifndef VM_SIM_EVENT_H
#define VM_SIM_EVENT_H

#include "sim/types.h"

/* After each: the fields that are set, beside time, kind and process. */
enum vm_sim_event_kind {
    VM_SIM_EV_EXCEPTION,    /* vector, error, cause, access, linear (CR2 for 14), selector */
    VM_SIM_EV_WALK,         /* linear, reads, level (of the entry it ended at), entry */
    VM_SIM_EV_TLB_FLUSH,    /* number (enum vm_tlb_flush), count (entries dropped), linear, bytes */
    VM_SIM_EV_PAGE_IN,      /* linear, frame, cause: zero, file, swap, cow-copy, cow-reuse, stack; entry */
    VM_SIM_EV_PAGE_OUT,     /* linear, frame (the victim), cause: swap, write-back, drop; number (swap slot) */
    VM_SIM_EV_ALLOC,        /* frame, order, name (zone), cause (reserve, fallback or none) */
    VM_SIM_EV_ALLOC_FAILED, /* order, name (zone asked for), cause */
    VM_SIM_EV_FREE,         /* frame, order, name (zone) */
    VM_SIM_EV_SPLIT,        /* frame, order (of the block split), name (zone) */
    VM_SIM_EV_MERGE,        /* frame, order (of the block made), name (zone) */
    VM_SIM_EV_SLAB_GROW,    /* name (cache), frame, order, number (colour) */
    VM_SIM_EV_SLAB_REAP,    /* name (cache), frame, order */
    VM_SIM_EV_KSWAPD_WAKE,  /* name (zone), number (free frames) */
    VM_SIM_EV_KSWAPD_SLEEP, /* name (zone), number (free frames), count (frames reclaimed) */
    VM_SIM_EV_DIRECT,       /* direct reclaim: name (zone), count (frames reclaimed) */
    VM_SIM_EV_OOM,          /* number (the victim's pid), name, count (frames it had), bytes (its score) */
    VM_SIM_EV_SIGNAL,       /* number (11: segmentation, 7: bus, 9: kill), linear, cause */
    VM_SIM_EV_PROCESS,      /* cause: new, fork (number: child), exec (name), exit (count: frames returned) */
    VM_SIM_EV_MAP,          /* cause: mmap, munmap, brk, stack, merge, split; of the kernel: vmalloc, vfree, kmap,
                               kmap-atomic, fixmap (with frame); linear, bytes */
    VM_SIM_EV_PLACE,        /* a segment or program put in physical memory: physical, bytes, name, cause */
    VM_SIM_EV_MOVE,         /* one moved (compaction, swap-in elsewhere): physical (new place), bytes, name */
    VM_SIM_EV_COLLISION,    /* two programs at one place: physical, bytes, name, number (the other's pid) */
    VM_SIM_EV_SWITCH,       /* CR3 load: number (new asid), count (entries dropped) */
    VM_SIM_EV_KINDS
};

struct vm_sim_event {
    uint64_t time; /* references made before it, all processes together */
    enum vm_sim_event_kind kind;
    uint32_t process;  /* pid; 0: the kernel */
    const char *cause; /* constant text of one word or a few */
    const char *name;  /* of a zone, cache, file, program; lives as long as the machine */
    uint8_t access;    /* enum vm_sim_access */
    uint8_t vector;    /* 10..14, see fault.h */
    uint8_t order;
    uint8_t level;
    uint16_t selector;
    uint32_t error; /* the error code that the processor pushes */
    uint32_t reads;
    vm_sim_pfn frame;
    struct vm_sim_linear linear;
    struct vm_sim_physical physical;
    uint64_t entry; /* page-table entry, as the processor has it */
    uint64_t bytes;
    uint64_t number;
    uint64_t count;
};

struct vm_sim_events {
    void (*receive)(void *ctx, const struct vm_sim_event *event); /* NULL: nobody listens */
    void *ctx;
    uint32_t mask;                   /* of 1 << kind: what it wants */
    const uint64_t *clock;           /* the machine's count of references; NULL: time is 0 */
    uint64_t count[VM_SIM_EV_KINDS]; /* all that happened, listened to or not */
};

VM_INLINE bool vm_sim_listens(const struct vm_sim_events *events, enum vm_sim_event_kind kind)
{
    return events->receive && (events->mask >> kind & 1);
}

/* Counts the event, stamps the time and passes it on.  `events` may be NULL (module tests). */
VM_INLINE void vm_sim_emit(struct vm_sim_events *events, struct vm_sim_event event)
{
    if (!events)
        return;
    events->count[event.kind]++;
    if (vm_sim_listens(events, event.kind)) {
        event.time = events->clock ? *events->clock : 0;
        events->receive(events->ctx, &event);
    }
}
/* vm_sim_emit(events, VM_SIM_EV(FREE, .frame = f, .order = o)) */
#define VM_SIM_EV(k, ...) ((struct vm_sim_event){.kind = VM_SIM_EV_##k, ##__VA_ARGS__})

const char *vm_sim_event_name(enum vm_sim_event_kind kind);

_Static_assert(VM_SIM_EV_KINDS <= 32, "kinds fit the mask");

#endif

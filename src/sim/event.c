/* Names of regions and events. */
#include "sim/event.h"

const char *vm_sim_region_name(enum vm_sim_region r)
{
    static const char *const name[VM_SIM_REGIONS] = {
        [VM_SIM_NOWHERE] = "other", [VM_SIM_TEXT] = "text",   [VM_SIM_DATA] = "data",
        [VM_SIM_BSS] = "bss",       [VM_SIM_HEAP] = "heap",   [VM_SIM_MMAP] = "mmap",
        [VM_SIM_FILE] = "file",     [VM_SIM_STACK] = "stack", [VM_SIM_KERNEL] = "kernel",
    };

    return r < VM_SIM_REGIONS ? name[r] : "?";
}

const char *vm_sim_event_name(enum vm_sim_event_kind kind)
{
    static const char *const name[VM_SIM_EV_KINDS] = {
        [VM_SIM_EV_EXCEPTION] = "exception",
        [VM_SIM_EV_WALK] = "walk",
        [VM_SIM_EV_TLB_FLUSH] = "tlb-flush",
        [VM_SIM_EV_PAGE_IN] = "page-in",
        [VM_SIM_EV_PAGE_OUT] = "page-out",
        [VM_SIM_EV_ALLOC] = "alloc",
        [VM_SIM_EV_ALLOC_FAILED] = "alloc-failed",
        [VM_SIM_EV_FREE] = "free",
        [VM_SIM_EV_SPLIT] = "split",
        [VM_SIM_EV_MERGE] = "merge",
        [VM_SIM_EV_SLAB_GROW] = "slab-grow",
        [VM_SIM_EV_SLAB_REAP] = "slab-reap",
        [VM_SIM_EV_KSWAPD_WAKE] = "kswapd-wake",
        [VM_SIM_EV_KSWAPD_SLEEP] = "kswapd-sleep",
        [VM_SIM_EV_DIRECT] = "direct-reclaim",
        [VM_SIM_EV_OOM] = "oom",
        [VM_SIM_EV_SIGNAL] = "signal",
        [VM_SIM_EV_PROCESS] = "process",
        [VM_SIM_EV_MAP] = "map",
        [VM_SIM_EV_PLACE] = "place",
        [VM_SIM_EV_MOVE] = "move",
        [VM_SIM_EV_COLLISION] = "collision",
        [VM_SIM_EV_SWITCH] = "switch",
    };

    return kind < VM_SIM_EV_KINDS ? name[kind] : "?";
}

/* The machine: a description (INI-like file or preset), and all parts that it makes, in one struct.  Everything that a
   script or trace can do to it is a call of one of the modules with the machine as first argument. */
#ifndef VM_SIM_MACHINE_H
#define VM_SIM_MACHINE_H

#include "sim/cpu.h"
#include "sim/file.h"
#include "sim/kmap.h"
#include "sim/linux012.h"
#include "sim/mm.h"
#include "sim/process.h"
#include "sim/reclaim.h"
#include "sim/relocate.h"
#include "sim/segments.h"
#include "sim/slab.h"
#include "sim/swap.h"
#include "sim/vmarea.h"
#include "sim/zone.h"

/* How addresses come about. */
enum vm_sim_addressing {
    VM_SIM_BARE,      /* relocate.h: absolute, static, or base and limit */
    VM_SIM_SEGMENTS,  /* segments placed in physical memory, no paging */
    VM_SIM_SEG_PAGED, /* segments over paged linear memory (also linux-0.12) */
    VM_SIM_FLAT,      /* paging, segments only guard */
};

#define VM_SIM_RESERVED_MAX 16
#define VM_SIM_SWAP_MAX 8

struct vm_sim_config {
    char name[64];
    enum vm_sim_addressing addressing;
    enum vm_sim_relocation relocation; /* VM_SIM_BARE */
    enum vm_sim_fit fit;               /* BARE, SEGMENTS */
    enum vm_sim_paging_mode mode;
    bool shared_directory; /* linux-0.12: one page directory, process n at n x 64 MiB, 64 of them, no mem_map zones */
    bool huge;             /* large pages on first touch where they fit */
    bool descriptor_cache;
    bool has_tlb, pcid;
    struct vm_tlb_config tlb;
    char tlb_name[32];
    uint64_t memory; /* bytes */
    struct vm_sim_range reserved[VM_SIM_RESERVED_MAX];
    size_t reserved_count;
    struct vm_sim_zone_limits zones;
    struct vm_sim_swap_spec {
        char name[32];
        uint64_t bytes;
        int priority;
        unsigned extents;
    } swap[VM_SIM_SWAP_MAX];
    size_t swap_count;
    enum vm_sim_page_policy policy;
    uint64_t stack_limit;
    unsigned max_processes;
    struct vm_tlb_latency latency; /* ns */
    double fault_ns, disk_ns;      /* of a minor fault, and of a page from or to the disk */
    uint64_t window;               /* of the working set, in references; 0: not recorded */
};

/* Presets: i386-2level, i386-pae, linux-0.12, x86_64, x86_64-la57, segmented, base-limit.  0, -ENOENT. */
int vm_sim_config_preset(struct vm_sim_config *config, const char *name);
const char *vm_sim_config_preset_name(unsigned i); /* NULL after the last */

/* A message has file, line and reason: "machine.ini:12: unknown key 'pagin'". */
struct vm_sim_message {
    char text[256];
};
/* Reads a description; it may begin with `preset = NAME`.  0, or -EINVAL / -errno and the message. */
int vm_sim_config_read(struct vm_sim_config *config, const char *path, struct vm_sim_message *message);
int vm_sim_config_parse(struct vm_sim_config *config, const char *file, const char *text,
                        struct vm_sim_message *message);
/* One "key=value" ("section.key=value"), for --what-if and the command line: page=2M tlb=zen4 levels=5 memory=1G ... */
int vm_sim_config_set(struct vm_sim_config *config, const char *assignment, struct vm_sim_message *message);
/* Possible at all?  Called by new. */
int vm_sim_config_check(const struct vm_sim_config *config, struct vm_sim_message *message);
/* 1, 4K, 2M, 1.5G, 0x1000: bytes.  -EINVAL. */
int vm_sim_parse_bytes(const char *text, uint64_t *bytes);

struct vm_sim_machine {
    struct vm_sim_config config; /* const: after new */
    struct vm_sim_events events;
    struct vm_sim_cpu cpu;
    struct vm_sim_dtable gdt;
    struct vm_sim_core core;     /* BARE and SEGMENTS */
    struct vm_sim_memory memory; /* the others */
    struct vm_sim_slabs slabs;
    struct vm_sim_vmareas vmareas;
    struct vm_sim_kmaps kmaps; /* 32-bit modes */
    struct vm_sim_pt *kernel;  /* the kernel's half */
    struct vm_sim_swaps swaps;
    struct vm_sim_reclaim reclaim;
    struct vm_sim_012 linux012; /* shared_directory */
    struct vm_sim_file *files;
    struct vm_list mms;        /* struct vm_sim_mm */
    struct vm_list processes;  /* struct vm_sim_process, by pid; those that exited stay, for the report */
    struct vm_sim_text *texts; /* names that somebody gave to caches and segments */
    uint32_t next_pid;
    uint64_t random; /* state, fixed at start */
};

/* NULL and the message, when the description is impossible. */
struct vm_sim_machine *vm_sim_machine_new(const struct vm_sim_config *config, struct vm_sim_message *message);
void vm_sim_machine_free(struct vm_sim_machine *m);
/* A copy that lives as long as the machine. */
const char *vm_sim_machine_text(struct vm_sim_machine *m, const char *text);
void vm_sim_machine_listen(struct vm_sim_machine *m, void (*receive)(void *ctx, const struct vm_sim_event *event),
                           void *ctx, uint32_t mask);

/* References of all processes in order; kswapd runs between them.  How many succeeded. */
size_t vm_sim_refs(struct vm_sim_machine *m, const struct vm_sim_ref *ref, size_t n);
int vm_sim_ref(struct vm_sim_machine *m, struct vm_sim_ref ref, struct vm_sim_translation *out);

/* Effective access time so far in ns: the TLB's general form; faults are not in it. */
double vm_sim_machine_eat(const struct vm_sim_machine *m);

/* All check functions, and what only all of them together can say: every frame in use is accounted for. */
bool vm_sim_machine_check(const struct vm_sim_machine *m);

#endif

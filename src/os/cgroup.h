/* What the process's control groups allow it (cgroups(7), version 2 and 1): memory, processor time, and the account of how
   long tasks waited for memory (PSI).  Read from /proc/self/cgroup and below /sys/fs/cgroup, without stdio and
   allocation; a file that is not there sets no limit.  A limit of any group above counts as well, and where the group's
   own path is not to be seen, as in a container, what stands at the root of the mount does.  No state, no lock. */
#ifndef VM_CGROUP_H
#define VM_CGROUP_H

#include "base/base.h"

#define VM_CGROUP_PATH 512

struct vm_cgroup {
    size_t memory_max, memory_high; /* bytes; SIZE_MAX: none */
    size_t processors;              /* thousandths of one that may be busy all the time; SIZE_MAX: no quota */
};

void vm_cgroup_read(struct vm_cgroup *g);

/* The file that tells how long tasks waited for memory: the group's own, else the system's. */
void vm_cgroup_pressure_file(char path[VM_CGROUP_PATH]);

/* Microseconds that some task waited for memory, by such a file, since it began to count; false when it cannot be read. */
bool vm_cgroup_stalled(const char *path, uint64_t *us);

#endif

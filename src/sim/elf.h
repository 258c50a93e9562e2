/* The loadable segments of an ELF file, as its program headers say.  Row 30. */
#ifndef VM_SIM_ELF_H
#define VM_SIM_ELF_H

#include "sim/types.h"

struct vm_sim_exec_segment {
    uint64_t at, file_offset, file_bytes, memory_bytes;
    uint8_t perms; /* enum vm_sim_perm, or-ed */
};

/* Of a real file, 32 or 64 bits, of this machine's byte order.  0, or a negative errno; *why gets a few words (constant
   text).  A position-independent one begins at address 0. */
int vm_sim_elf_segments(const char *path, struct vm_sim_exec_segment *segment, size_t cap, size_t *count,
                        const char **why);

#endif

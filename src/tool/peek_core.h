/* Core files as memory: the loadable segments of an ELF core of a 64-bit little-endian Linux program, as the kernel or
   gcore write it.  Used by peek.c only. */
#ifndef TOOL_PEEK_CORE_H
#define TOOL_PEEK_CORE_H

#include "tool/peek.h"

/* One line in error, without the file's name in front, when it is no core, truncated or damaged. */
struct peek_core *peek_core_open(const char *path, char error[PEEK_ERROR_MAX]);
void peek_core_close(struct peek_core *c);

bool peek_core_read(const struct peek_core *c, uint64_t address, void *to, size_t bytes);

uint64_t peek_core_length(const struct peek_core *c); /* bytes of the file */

/* The process id and the name that the core's notes have, or 0 and "". */
pid_t peek_core_pid(const struct peek_core *c);
const char *peek_core_command(const struct peek_core *c);

/* The i-th writable range that may hold a file's data; false when there is no more. */
bool peek_core_data(const struct peek_core *c, size_t i, uint64_t *start, uint64_t *end);

#endif

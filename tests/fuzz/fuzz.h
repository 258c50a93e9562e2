/* What the fuzzing targets share: the entry that libFuzzer (or replay.c) calls, a check that dies so that either notices,
   and the bytes of an input taken one by one.  Included by every tests/fuzz/fuzz_*.c and by replay.c. */
#ifndef FUZZ_H
#define FUZZ_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "%s:%d: %s is false (errno %d)\n", __FILE__, __LINE__, #cond, errno); \
            abort(); \
        } \
    } while (0)

struct fuzz_bytes {
    const uint8_t *at, *end;
};

/* The next byte; 0 when none is left. */
static inline unsigned fuzz_byte(struct fuzz_bytes *b) { return b->at < b->end ? *b->at++ : 0; }

/* A file in memory with these bytes; its name for open(2) goes to path.  The caller closes it. */
static inline int fuzz_file(const void *data, size_t size, char path[static 32])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

#endif

/* For the API tests compiled for musl, which run under libvmalloc only: newer than any glibc whose differences they table. */
#ifndef PORTS_MUSL_LIBC_VERSION_H
#define PORTS_MUSL_LIBC_VERSION_H

static inline const char *gnu_get_libc_version(void) { return "2.1000"; }

#endif

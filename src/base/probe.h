/* Static probes (USDT) for bpftrace, perf, systemtap and gdb: a no-op instruction and a note in the file each, made by
   <sys/sdt.h> where configure found it.  On slow paths only.  vmalloc(7) lists them; names and arguments stay. */
#ifndef VM_PROBE_H
#define VM_PROBE_H

#include "base/base.h"

#ifdef VM_PROBES
#include <sys/sdt.h>
#define VM_PROBE1(provider, name, a) STAP_PROBE1(provider, name, a)
#define VM_PROBE2(provider, name, a, b) STAP_PROBE2(provider, name, a, b)
#define VM_PROBE3(provider, name, a, b, c) STAP_PROBE3(provider, name, a, b, c)
#define VM_HAS_PROBES true
#else
#define VM_PROBE1(provider, name, a) ((void)(a))
#define VM_PROBE2(provider, name, a, b) ((void)(a), (void)(b))
#define VM_PROBE3(provider, name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define VM_HAS_PROBES false
#endif

#endif

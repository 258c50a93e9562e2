/* Huge pages for the brk heap: which of its chunks the kernel is told to use them for, and when it is told not to any
   more.  The decision is reclaim/thp.h's, the advice MADV_HUGEPAGE and MADV_NOHUGEPAGE, and what the system is set to is
   read when it first matters, which in a small program is never.  Frames of mmap'd zones get none.
   State: guarded by vm_frames_lock, but for what is constant after start-up. */
#ifndef VM_HUGE_H
#define VM_HUGE_H

#include "base/base.h"
#include "reclaim/thp.h"

/* Takes the option; warns of one that is none. */
void vm_huge_start(const char *option);
enum vm_thp_mode vm_huge_mode(void);
enum vm_thp_system vm_huge_system(void);

/* Addresses [base, base + bytes) are mapped and untouched; thp=never and thp=always advise here. */
void vm_huge_mapped(uintptr_t base, size_t bytes);

/* By how much the heap should grow, when it wants to grow from `top` by `bytes`: to the end of a chunk where that earns a
   huge page. */
size_t vm_huge_growth(uintptr_t top, size_t bytes, size_t used);

/* The first frame of a chunk that is wholly free, none of it resident, is about to be handed out.  True: the chunk just
   got a huge page, and vm_huge_touch() is to be called, with an address in it that reads as zero, without the lock. */
bool vm_huge_open(uintptr_t chunk, size_t used, size_t kept);
void vm_huge_touch(uintptr_t address);

/* The same for one that serves a wave: see reclaim/thp.h. */
bool vm_huge_open_wave(uintptr_t chunk, size_t owed, size_t earned);

/* Nanoseconds of processor time that the first write to an address, of what is there already, a zero byte, takes;
   without a lock. */
uint64_t vm_huge_time_touch(uintptr_t address);

/* Does the chunk at the address have a huge page, so that all of it is resident once a byte of it is? */
bool vm_huge_has(uintptr_t address);

/* [base, base + bytes) is about to go back to the system: chunks that lose a part break up, those that go as a whole stay
   as they are. */
void vm_huge_break(uintptr_t base, size_t bytes);

/* The break went down to `low`. */
void vm_huge_gone(uintptr_t low, uintptr_t top);

#endif

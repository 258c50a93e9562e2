/* Calls while the TLB model is fed (report/tlb_feed.h): the hits of the heap behind the front, with their event. */
#ifndef VM_API_FEED_H
#define VM_API_FEED_H

#include "base/base.h"

/* NULL and false: not a hit, nothing happened. */
void *vm_api_alloc_fed(size_t n, size_t align, bool zero);
bool vm_api_free_fed(void *p);

/* One line on stderr about the option tlb=PRESET, at exit. */
void vm_feed_report(void);

#endif

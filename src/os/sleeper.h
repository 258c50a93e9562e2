/* One thread that sleeps until others leave it something to do, and the way they wake it: a futex word, touched by nobody
   while that thread is awake or does not exist.  Used by src/api/background.c and by src/page, which rouses the sleeper
   under its locks when it keeps memory. */
#ifndef VM_SLEEPER_H
#define VM_SLEEPER_H

#include "base/base.h"

enum vm_sleeper_state {
    VM_SLEEPER_AWAKE,   /* also when there is no such thread */
    VM_SLEEPER_ASLEEP,  /* until it is roused or stopped */
    VM_SLEEPER_RESTING, /* for a time, or until it is stopped */
    VM_SLEEPER_STOPPED, /* is to end */
};

extern uint32_t vm_sleeper; /* enum vm_sleeper_state */

/* The thread's own.  vm_sleeper_lie_down() says ASLEEP: after it the thread looks once more, under the locks of whoever
   rouses it, whether there is something to do, and then sleeps or gets up.  False: it has been stopped. */
bool vm_sleeper_lie_down(void);
void vm_sleeper_sleep(void);
void vm_sleeper_get_up(void);
void vm_sleeper_rest(uint64_t ns);

void vm_sleeper_rouse_slowly(void);
void vm_sleeper_stop(void);

/* There is something to do. */
VM_INLINE void vm_sleeper_rouse(void)
{
    if (VM_UNLIKELY(VM_LOAD(&vm_sleeper) == VM_SLEEPER_ASLEEP))
        vm_sleeper_rouse_slowly();
}

#endif

/* The futex word of sleeper.h.  Only the sleeping thread says ASLEEP or RESTING, anybody ends that; STOPPED stays. */
#include "os/sleeper.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"

#define SECOND UINT64_C(1000000000) /* ns */

uint32_t vm_sleeper;

static bool change(uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&vm_sleeper, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Every result is fine: the caller looks at the word again. */
static void wait_while(uint32_t state, const struct timespec *time)
{
    syscall(SYS_futex, &vm_sleeper, VM_FUTEX_WAIT, state, time, NULL, 0);
}

static void wake(void) { syscall(SYS_futex, &vm_sleeper, VM_FUTEX_WAKE, 1, NULL, NULL, 0); }

bool vm_sleeper_lie_down(void) { return change(VM_SLEEPER_AWAKE, VM_SLEEPER_ASLEEP); }

void vm_sleeper_sleep(void)
{
    while (VM_LOAD_ACQUIRE(&vm_sleeper) == VM_SLEEPER_ASLEEP)
        wait_while(VM_SLEEPER_ASLEEP, NULL);
}

void vm_sleeper_get_up(void) { change(VM_SLEEPER_ASLEEP, VM_SLEEPER_AWAKE); }

void vm_sleeper_rest(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / SECOND), (long)(ns % SECOND)};

    if (!change(VM_SLEEPER_AWAKE, VM_SLEEPER_RESTING))
        return;
    wait_while(VM_SLEEPER_RESTING, &time);
    change(VM_SLEEPER_RESTING, VM_SLEEPER_AWAKE);
}

VM_COLD void vm_sleeper_rouse_slowly(void)
{
    if (change(VM_SLEEPER_ASLEEP, VM_SLEEPER_AWAKE))
        wake();
}

void vm_sleeper_stop(void)
{
    __atomic_store_n(&vm_sleeper, VM_SLEEPER_STOPPED, __ATOMIC_RELEASE);
    wake();
}

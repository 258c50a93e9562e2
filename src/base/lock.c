/* The futex mutex of lock.h.  The word follows the usual three states: 0 free, 1 held, 2 held with waiters; see
   U. Drepper, "Futexes Are Tricky" (2011), mutex2. */
#include "base/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"

static __thread char self_marker;

uintptr_t vm_thread_self(void) { return (uintptr_t)&self_marker; }

static void futex(uint32_t *word, int op, uint32_t value)
{
    /* Every result is fine: the caller looks at the word again. */
    syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static VM_COLD void lock_contended(struct vm_lock *l)
{
    for (int spin = 0; spin < 100; spin++) {
        uint32_t expected = 0;
        if (VM_LOAD(&l->word) == 0
            && __atomic_compare_exchange_n(&l->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
    while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0)
        futex(&l->word, FUTEX_WAIT, 2);
}

bool vm_trylock(struct vm_lock *l)
{
    uint32_t expected = 0;

    if (!__atomic_compare_exchange_n(&l->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return false;
    VM_STORE(&l->owner, vm_thread_self());
    return true;
}

void vm_lock(struct vm_lock *l)
{
    if (VM_LIKELY(vm_trylock(l)))
        return;
    VM_ASSERT(!vm_lock_is_mine(l));
    lock_contended(l);
    VM_STORE(&l->owner, vm_thread_self());
}

void vm_unlock(struct vm_lock *l)
{
    VM_STORE(&l->owner, (uintptr_t)0);
    if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
        futex(&l->word, FUTEX_WAKE, 1);
}

bool vm_lock_is_mine(const struct vm_lock *l) { return VM_LOAD(&l->owner) == vm_thread_self(); }

void vm_lock_for_fork(struct vm_lock *l)
{
    if (vm_lock_is_mine(l))
        l->kept = true;
    else
        vm_lock(l);
}

bool vm_unlock_after_fork(struct vm_lock *l)
{
    bool kept = l->kept;

    l->kept = false;
    if (!kept)
        vm_unlock(l);
    return kept;
}

static struct vm_lock gate = VM_LOCK_INIT(VM_RANK_START); /* held by the thread that forks */
static bool gate_closed;

void vm_lock_outer(struct vm_lock *l)
{
    if (VM_UNLIKELY(VM_LOAD(&gate_closed)) && !vm_lock_is_mine(&gate)) {
        vm_lock(&gate);
        vm_unlock(&gate);
    }
    vm_lock(l);
}

void vm_gate_close(void)
{
    vm_lock_for_fork(&gate);
    VM_STORE(&gate_closed, true);
}

void vm_gate_open(void)
{
    VM_STORE(&gate_closed, false);
    vm_unlock_after_fork(&gate);
}

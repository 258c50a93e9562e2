/* The futex mutex of lock.h, after U. Drepper, "Futexes Are Tricky" (2011), mutex2, with the holder in the word. */
#include "base/lock.h"

#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"

#define WAITERS 1u
#define SPINS 100

static __thread uint32_t self __attribute__((tls_model("initial-exec")));
static __thread struct vm_lock *awaited
    __attribute__((tls_model("initial-exec"))); /* what lock_contended() waits for */
static uint32_t last_self;

uint32_t vm_thread_self(void)
{
    while (VM_UNLIKELY(self == 0))
        self = __atomic_add_fetch(&last_self, 1, __ATOMIC_RELAXED) & (UINT32_MAX >> 1);
    return self;
}

static void futex(uint32_t *word, int op, uint32_t value)
{
    /* Every result is fine: the caller looks at the word again. */
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static bool take(struct vm_lock *l, uint32_t mine)
{
    uint32_t expected = 0;
    return __atomic_compare_exchange_n(&l->word, &expected, mine, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static int spins = SPINS;

void vm_lock_spin(bool worth) { VM_STORE(&spins, worth ? SPINS : 0); }

static VM_COLD void lock_contended(struct vm_lock *l)
{
    uint32_t mine = vm_thread_self() << 1;
    struct vm_lock *before = awaited;

    for (int spin = 0; spin < VM_LOAD(&spins); spin++) {
        if (VM_LOAD(&l->word) == 0 && take(l, mine))
            return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
    awaited = l;
    /* Others may wait as well: who gets the lock from here on keeps the mark. */
    while (!take(l, mine | WAITERS)) {
        uint32_t now = VM_LOAD(&l->word);
        if (now == 0)
            continue;
        if (!(now & WAITERS)
            && !__atomic_compare_exchange_n(&l->word, &now, now | WAITERS, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        futex(&l->word, VM_FUTEX_WAIT, now | WAITERS);
    }
    awaited = before;
}

void vm_lock_pass_on(void)
{
    if (awaited)
        futex(&awaited->word, VM_FUTEX_WAKE, INT_MAX);
}

bool vm_trylock(struct vm_lock *l) { return take(l, vm_thread_self() << 1); }

void vm_lock(struct vm_lock *l)
{
    if (VM_LIKELY(vm_trylock(l)))
        return;
    VM_ASSERT(!vm_lock_is_mine(l));
    lock_contended(l);
}

void vm_unlock(struct vm_lock *l)
{
    if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) & WAITERS)
        futex(&l->word, VM_FUTEX_WAKE, 1);
}

bool vm_lock_is_mine(const struct vm_lock *l) { return VM_LOAD(&l->word) >> 1 == vm_thread_self(); }

void vm_lock_for_fork(struct vm_lock *l, bool wait)
{
    if (vm_lock_is_mine(l))
        l->kept = true;
    else if (wait)
        vm_lock(l);
    else
        l->kept = !vm_trylock(l);
}

bool vm_unlock_after_fork(struct vm_lock *l)
{
    bool kept = l->kept;

    l->kept = false;
    if (!kept)
        vm_unlock(l);
    return kept;
}

bool vm_lock_forget_holder(struct vm_lock *l)
{
    if (VM_LOAD(&l->word) == 0 || vm_lock_is_mine(l))
        return false;
    VM_STORE(&l->word, 0u);
    return true;
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
    vm_lock_for_fork(&gate, true);
    VM_STORE(&gate_closed, true);
}

void vm_gate_open(void)
{
    VM_STORE(&gate_closed, false);
    vm_unlock_after_fork(&gate);
}

/* The account of limit.h.  No lock: every field is changed by one atomic operation. */
#include "reclaim/limit.h"

struct vm_limits vm_limits = {.soft = SIZE_MAX, .hard = SIZE_MAX};

void vm_limits_set(size_t soft, size_t hard)
{
    VM_STORE(&vm_limits.soft, soft ? soft : SIZE_MAX);
    VM_STORE(&vm_limits.hard, hard ? hard : SIZE_MAX);
}

static void charged(size_t before, size_t bytes)
{
    size_t soft = VM_LOAD(&vm_limits.soft), highest = VM_LOAD(&vm_limits.highest), now = before + bytes;

    if (before <= soft && now > soft)
        __atomic_fetch_add(&vm_limits.passed, 1, __ATOMIC_RELAXED);
    while (now > highest
           && !__atomic_compare_exchange_n(&vm_limits.highest, &highest, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

bool vm_limit_charge(size_t bytes)
{
    size_t hard = VM_LOAD(&vm_limits.hard), before = VM_LOAD(&vm_limits.charged);

    do {
        if (hard != SIZE_MAX && (bytes > hard || before > hard - bytes))
            return false;
    } while (!__atomic_compare_exchange_n(&vm_limits.charged, &before, before + bytes, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    charged(before, bytes);
    return true;
}

void vm_limit_recharge(size_t bytes)
{
    charged(__atomic_fetch_add(&vm_limits.charged, bytes, __ATOMIC_RELAXED), bytes);
}

void vm_limit_uncharge(size_t bytes) { __atomic_fetch_sub(&vm_limits.charged, bytes, __ATOMIC_RELAXED); }

void vm_limit_note_failure(size_t bytes)
{
    size_t hard = VM_LOAD(&vm_limits.hard);

    if (hard != SIZE_MAX && (bytes > hard || VM_LOAD(&vm_limits.charged) > hard - bytes))
        __atomic_fetch_add(&vm_limits.refused, 1, __ATOMIC_RELAXED);
}

void vm_limit_recount(size_t bytes) { VM_STORE(&vm_limits.charged, bytes); }

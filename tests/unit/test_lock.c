/* Unit tests of src/base/lock: exclusion and waking under contention, ownership, and what fork does.  Run by `make
   check`, and by tests/stress/run with the thread sanitizer. */
#include "unit.h"

#include "base/lock.h"

#define THREADS 8
#define ROUNDS (UNIT_SANITIZED ? 5000 : 50000)

static struct vm_lock lock = VM_LOCK_INIT(VM_RANK_HEAP);
static unsigned long counter, inverse; /* under lock: counter + inverse is 0 outside */

struct tally {
    uint64_t random;
    unsigned long entered;
};

static void *increment(void *arg)
{
    struct tally *mine = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (one_in(&mine->random, 4)) {
            if (!vm_trylock(&lock))
                continue;
        } else {
            vm_lock(&lock);
        }
        CHECK(vm_lock_is_mine(&lock));
        CHECK(counter + inverse == 0);
        counter++;
        mine->entered++;
        if (one_in(&mine->random, 500)) /* long enough for the others to fall asleep */
            usleep(50);
        inverse--;
        vm_unlock(&lock);
        CHECK(!vm_lock_is_mine(&lock));
    }
    return NULL;
}

CHILD_CASE(contention)
{
    pthread_t t[THREADS];
    struct tally tally[THREADS] = {{0}};
    unsigned long entered = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        tally[i].random = i;
        CHECK(pthread_create(&t[i], NULL, increment, &tally[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        entered += tally[i].entered;
    }
    CHECK(counter == entered);
    CHECK(vm_trylock(&lock));
}

static void *see_held(void *arg)
{
    *(uintptr_t *)arg = vm_thread_self();
    CHECK(!vm_trylock(&lock));
    CHECK(!vm_lock_is_mine(&lock));
    return NULL;
}

CHILD_CASE(ownership)
{
    uintptr_t other = 0;
    pthread_t t;

    CHECK(vm_thread_self() != 0 && vm_thread_self() == vm_thread_self());
    CHECK(!vm_lock_is_mine(&lock));
    CHECK(vm_trylock(&lock));
    CHECK(vm_lock_is_mine(&lock));
    CHECK(!vm_trylock(&lock));
    CHECK(pthread_create(&t, NULL, see_held, &other) == 0);
    pthread_join(t, NULL);
    CHECK(other != 0 && other != vm_thread_self());
    vm_unlock(&lock);
    CHECK(!vm_lock_is_mine(&lock));
    vm_lock(&lock);
    CHECK(vm_lock_is_mine(&lock));
    vm_unlock(&lock);
}

static void lock_twice(void *arg)
{
    (void)arg;
    vm_lock(&lock);
    vm_lock(&lock);
}

static void own_lock_again(void **state)
{
    (void)state;
    char text[256];
    int status = child_status(lock_twice, NULL, text, sizeof text);

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "libvmalloc: internal error at "));
}

/* ---- Waiting: a sleeper is woken, by whichever unlock ---- */

static void *wait_for_lock(void *arg)
{
    vm_lock(&lock);
    __atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
    vm_unlock(&lock);
    return NULL;
}

CHILD_CASE(sleepers_wake)
{
    for (unsigned round = 0; round < 50; round++) {
        pthread_t t[3];
        bool done[3] = {false, false, false};
        vm_lock(&lock);
        for (unsigned i = 0; i < 3; i++)
            CHECK(pthread_create(&t[i], NULL, wait_for_lock, &done[i]) == 0);
        usleep(round % 5 * 500);
        for (unsigned i = 0; i < 3; i++)
            CHECK(!__atomic_load_n(&done[i], __ATOMIC_ACQUIRE));
        vm_unlock(&lock);
        for (unsigned i = 0; i < 3; i++)
            pthread_join(t[i], NULL);
    }
}

/* ---- Fork ---- */

static void child_uses_lock(void)
{
    CHECK(!vm_lock_is_mine(&lock));
    CHECK(vm_trylock(&lock));
    vm_unlock(&lock);
    vm_lock(&lock);
    vm_unlock(&lock);
}

static int wait_for(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

CHILD_CASE(fork_takes_a_free_lock)
{
    uintptr_t self = vm_thread_self();

    vm_lock_for_fork(&lock, true);
    CHECK(vm_lock_is_mine(&lock) && !lock.kept);
    pid_t child = fork();
    if (child == 0) {
        CHECK(vm_thread_self() == self);
        CHECK(!vm_unlock_after_fork(&lock));
        child_uses_lock();
        _exit(0);
    }
    CHECK(!vm_unlock_after_fork(&lock));
    CHECK(!vm_lock_is_mine(&lock));
    CHECK(wait_for(child) == 0);
}

CHILD_CASE(fork_inside_a_critical_section)
{
    vm_lock(&lock);
    vm_lock_for_fork(&lock, true);
    pid_t child = fork();
    if (child == 0) {
        CHECK(vm_unlock_after_fork(&lock));
        CHECK(vm_lock_is_mine(&lock) && !lock.kept);
        vm_unlock(&lock);
        child_uses_lock();
        _exit(0);
    }
    CHECK(vm_unlock_after_fork(&lock));
    CHECK(vm_lock_is_mine(&lock) && !lock.kept);
    vm_unlock(&lock);
    CHECK(wait_for(child) == 0);
    /* The mark must be gone: the next fork starts from a free lock. */
    vm_lock_for_fork(&lock, true);
    CHECK(!vm_unlock_after_fork(&lock));
}

/* The thread that an unlock wakes may be in a signal handler before it takes the lock, and there wait for another one who
   waits for that lock. */
static struct {
    bool handled, done;
    int waiting;
} baton;

static void wait_for_the_other(int number)
{
    (void)number;
    vm_lock_pass_on();
    while (!VM_LOAD(&baton.done)
           && !vm_lock_is_mine(&lock)) /* has it already: there is nothing to show, nor to wait for */
        usleep(100);
    VM_STORE(&baton.handled, true);
}

static void *interrupted(void *arg)
{
    __atomic_fetch_add(&baton.waiting, 1, __ATOMIC_SEQ_CST);
    vm_lock(&lock);
    vm_unlock(&lock);
    while (!VM_LOAD(&baton.handled))
        usleep(100);
    return arg;
}

static void *the_other(void *arg)
{
    __atomic_fetch_add(&baton.waiting, 1, __ATOMIC_SEQ_CST);
    vm_lock(&lock);
    vm_unlock(&lock);
    VM_STORE(&baton.done, true);
    return arg;
}

CHILD_CASE(wake_is_passed_on)
{
    CHECK(signal(SIGUSR1, wait_for_the_other) != SIG_ERR);
    for (unsigned i = 0; i < (UNIT_SANITIZED ? 20 : 300); i++) {
        pthread_t t[2];
        memset(&baton, 0, sizeof baton);
        vm_lock(&lock);
        CHECK(pthread_create(&t[0], NULL, interrupted, NULL) == 0);
        while (VM_LOAD(&baton.waiting) != 1)
            sched_yield();
        usleep(300); /* so that it is the first in the queue; where it is not, there is nothing to show */
        CHECK(pthread_create(&t[1], NULL, the_other, NULL) == 0);
        while (VM_LOAD(&baton.waiting) != 2)
            sched_yield();
        usleep(300);
        vm_unlock(&lock);
        /* The thread sanitizer hands signals on itself, and may lose one.  A handler that waits is not interrupted. */
        do {
            CHECK(pthread_kill(t[0], SIGUSR1) == 0);
            usleep(100);
        } while (!VM_LOAD(&baton.handled));
        pthread_join(t[0], NULL);
        pthread_join(t[1], NULL);
    }
}

static bool stop;

static void *keep_busy(void *arg)
{
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        vm_lock(&lock);
        ++*(unsigned long *)arg;
        vm_unlock(&lock);
    }
    return NULL;
}

/* The child's copy of the lock may say that somebody waits, who is not there. */
CHILD_CASE(fork_while_others_wait)
{
    pthread_t t[3];
    unsigned long turns = 0; /* under lock */

    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, keep_busy, &turns) == 0);
    for (unsigned i = 0; i < (UNIT_SANITIZED ? 10 : 100); i++) {
        vm_lock_for_fork(&lock, true);
        pid_t child = fork();
        CHECK(child >= 0);
        vm_unlock_after_fork(&lock);
        if (child == 0) {
            child_uses_lock();
            _exit(0);
        }
        CHECK(wait_for(child) == 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    CHECK(turns > 0);
}

/* ---- The gate ---- */

static bool passed;

static void *pass_the_gate(void *arg)
{
    (void)arg;
    vm_lock_outer(&lock);
    __atomic_store_n(&passed, true, __ATOMIC_RELEASE);
    vm_unlock(&lock);
    return NULL;
}

CHILD_CASE(gate_keeps_others_out)
{
    pthread_t t;

    vm_lock_outer(&lock);
    vm_unlock(&lock);
    for (unsigned round = 0; round < 20; round++) {
        passed = false;
        vm_gate_close();
        CHECK(pthread_create(&t, NULL, pass_the_gate, NULL) == 0);
        usleep(round * 100);
        CHECK(!__atomic_load_n(&passed, __ATOMIC_ACQUIRE));
        vm_lock_outer(&lock); /* whoever closed it is not kept out, nor who is inside already */
        vm_unlock(&lock);
        vm_gate_open();
        pthread_join(t, NULL);
        CHECK(passed && vm_trylock(&lock));
        vm_unlock(&lock);
    }
}

CHILD_CASE(gate_and_fork)
{
    pthread_t t;

    vm_gate_close();
    CHECK(pthread_create(&t, NULL, pass_the_gate, NULL) == 0);
    usleep(2000);
    pid_t child = fork();
    vm_gate_open();
    if (child == 0) {
        vm_lock_outer(&lock);
        vm_unlock(&lock);
        _exit(0);
    }
    CHECK(wait_for(child) == 0);
    pthread_join(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHILD_TEST(contention),
        CHILD_TEST(ownership),
        cmocka_unit_test(own_lock_again),
        CHILD_TEST(sleepers_wake),
        CHILD_TEST(fork_takes_a_free_lock),
        CHILD_TEST(fork_inside_a_critical_section),
        CHILD_TEST(wake_is_passed_on),
        CHILD_TEST(fork_while_others_wait),
        CHILD_TEST(gate_keeps_others_out),
        CHILD_TEST(gate_and_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

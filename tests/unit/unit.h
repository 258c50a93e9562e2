/* What the unit tests share: cmocka, a check that also works in a forked child, running a case in a process of its own
   (modules keep process-wide state), and all invariants at once.  Random numbers and contents come from the stress
   tests.  Included by every tests/unit/test_*.c. */
#ifndef UNIT_H
#define UNIT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "../stress/stress.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define UNIT_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define UNIT_SANITIZED 1
#endif
#ifndef UNIT_SANITIZED
#define UNIT_SANITIZED 0
#endif

#define CHILD_SECONDS 120 /* a child that takes longer hangs, and dies of SIGALRM */

/* Ends the process with status 1 and one line; unlike cmocka's, good in a child as well. */
#define CHECK(cond) \
    do { \
        if (!(cond)) \
            die("%s:%d: %s is false (errno %d)", __FILE__, __LINE__, #cond, errno); \
    } while (0)
#define CHECKF(cond, format, ...) \
    do { \
        if (!(cond)) \
            die("%s:%d: %s is false: " format, __FILE__, __LINE__, #cond, __VA_ARGS__); \
    } while (0)

/* The wait status of a child that ran f(arg); what it wrote to stderr is in text[0..cap) when cap is not 0. */
static UNUSED int child_status(void (*f)(void *), void *arg, char *text, size_t cap)
{
    int fd[2], status;
    size_t length = 0;
    ssize_t got;

    CHECK(pipe(fd) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (cap)
            dup2(fd[1], STDERR_FILENO);
        close(fd[0]);
        close(fd[1]);
        /* cmocka goes on with the next case after these, which is not for a child to do. */
        static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGABRT};
        for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
            signal(fatal[i], SIG_DFL);
        alarm(CHILD_SECONDS);
        f(arg);
        _exit(0);
    }
    close(fd[1]);
    while (cap && length + 1 < cap && (got = read(fd[0], text + length, cap - 1 - length)) > 0)
        length += (size_t)got;
    if (cap)
        text[length] = '\0';
    close(fd[0]);
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

/* The case passes in a process of its own. */
static UNUSED void in_child(void (*f)(void *), void *arg)
{
    int status = child_status(f, arg, NULL, 0);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with wait status %#x (its message is above)", (unsigned)status);
}

/* A case `static void NAME(void *arg)`, run in a child by cmocka. */
#define CHILD_CASE(name) \
    static void name(void *arg); \
    static void name##_in_child(void **state) \
    { \
        (void)state; \
        in_child(name, NULL); \
    } \
    static void name(void *arg UNUSED)
#define CHILD_TEST(name) cmocka_unit_test(name##_in_child)

static UNUSED uint64_t unit_seed(void)
{
    uint64_t s = seed_from_environment();

    printf("SEED=%llu\n", (unsigned long long)s);
    fflush(stdout);
    return s;
}

#endif

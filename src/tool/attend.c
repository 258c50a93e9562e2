/* See attend.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tool/attend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- What the program is started with ---- */

/* Puts FRONT, SEPARATOR and the variable's present value together (the other way round if `append`). */
bool attend_extend_variable(const char *name, const char *value, char separator, bool append)
{
    const char *present = getenv(name);
    if (present == NULL || *present == '\0') {
        return setenv(name, value, 1) == 0;
    }
    size_t size = strlen(present) + strlen(value) + 2;
    char *joined = malloc(size);
    if (joined == NULL)
        return false;
    snprintf(joined, size, "%s%c%s", append ? present : value, separator, append ? value : present);
    bool set = setenv(name, joined, 1) == 0;
    free(joined);
    return set;
}

/* All signals wait for sigwaitinfo() from here on, and SIGCHLD is not ignored, else there would be nothing to wait
   for. */
void attend_hold_signals(struct attend_inherited *inherited)
{
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &inherited->mask);
    sigaction(SIGCHLD, &act, &inherited->sigchld);
}

/* Starts the program. A child of vfork() shares our memory, so its errno is ours to read: 0 or what execvp() said.
   SIGKILL sent to us cannot be forwarded, hence the parent-death signal. */
pid_t attend_start(char **argv, const struct attend_inherited *inherited, volatile int *error)
{
    *error = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Vfork): three system calls, which change the child alone */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigaction(SIGCHLD, &inherited->sigchld, NULL);
        sigprocmask(SIG_SETMASK, &inherited->mask, NULL);
        execvp(argv[0], argv);
        *error = errno;
        _exit(EXIT_FAILURE);
    }
    return pid;
}

/* ---- While it runs ---- */

static void take_default_action(int signal)
{
    struct sigaction act = {.sa_handler = SIG_DFL}, before;
    sigset_t one, mask;

    sigaction(signal, &act, &before);
    raise(signal);
    sigemptyset(&one);
    sigaddset(&one, signal);
    sigprocmask(SIG_UNBLOCK, &one, &mask);
    /* Still here: it was a stop signal and we were continued, or the kernel would not stop an orphaned group. */
    sigprocmask(SIG_SETMASK, &mask, NULL);
    sigaction(signal, &before, NULL);
}

/* We were told to continue. A SIGCONT to the process group has reached the program too, and once is enough. */
static void continue_program(pid_t pid)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOHANG) == 0 && info.si_pid == pid)
        return;
    kill(pid, SIGCONT);
}

/* The program has stopped: so do we, with the same signal, for the shell that watches us. */
static void stop_with_program(pid_t pid, int signal)
{
    const struct timespec now = {0};
    sigset_t cont;

    take_default_action(signal);
    sigemptyset(&cont);
    sigaddset(&cont, SIGCONT);
    sigtimedwait(&cont, NULL, &now);
    continue_program(pid);
}

/* The terminal sends these to every process of the foreground group, so the program has its own. (What kill() sends
   to a whole group it gets twice: the two kinds of kill() look alike from here.) */
static bool came_from_terminal(const siginfo_t *info)
{
    if (info->si_code != SI_KERNEL)
        return false;
    switch (info->si_signo) {
    case SIGINT:
    case SIGQUIT:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
    case SIGHUP:
    case SIGCONT:
    case SIGWINCH: return true;
    default: return false;
    }
}

static void forward_signal(pid_t pid, const siginfo_t *info)
{
    if (came_from_terminal(info))
        return;
    if (info->si_signo == SIGCONT)
        continue_program(pid);
    else if (info->si_code == SI_QUEUE)
        sigqueue(pid, info->si_signo, info->si_value);
    else
        kill(pid, info->si_signo);
}

/* Passes signals on and follows stops until the program has ended. */
bool attend_program(pid_t pid, int *status, struct rusage *usage)
{
    sigset_t all;
    siginfo_t info;

    sigfillset(&all);
    for (;;) {
        pid_t got;
        while ((got = wait4(pid, status, WNOHANG | WUNTRACED, usage)) == pid) {
            if (!WIFSTOPPED(*status))
                return true;
            stop_with_program(pid, WSTOPSIG(*status));
        }
        if (got < 0)
            return false;
        if (sigwaitinfo(&all, &info) > 0 && info.si_signo != SIGCHLD)
            forward_signal(pid, &info);
    }
}

/* ---- Afterwards ---- */

/* Ends as the program ended. The core file, if any, is the program's and not ours. */
int attend_end_as(int status)
{
    const struct rlimit none = {0, 0};

    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    take_default_action(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

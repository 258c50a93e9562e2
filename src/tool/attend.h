/* Running one program in our place: what vmalloc-launch and `vmalloc run` share.  The program gets the signal dispositions
   and the mask that we had; signals sent to us are sent on to it; when it stops we stop, and in the end we end as it did.
   One thread, no allocation but for the environment. */
#ifndef TOOL_ATTEND_H
#define TOOL_ATTEND_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What we inherited and the program must get back. */
struct attend_inherited {
    sigset_t mask;
    struct sigaction sigchld;
};

/* Puts VALUE, SEPARATOR and the variable's present value together (the other way round if `append`). */
bool attend_extend_variable(const char *name, const char *value, char separator, bool append);

/* The steps, in this order.  The child's *error is 0, or the errno of the exec that failed; -1 and errno: no child. */
void attend_hold_signals(struct attend_inherited *inherited);
pid_t attend_start(char **argv, const struct attend_inherited *inherited, volatile int *error);

/* Until the program has ended; false and errno when it cannot be waited for. */
bool attend_program(pid_t pid, int *status, struct rusage *usage);

/* Ends by the signal that ended the program, or returns its exit status. */
int attend_end_as(int status);

#endif

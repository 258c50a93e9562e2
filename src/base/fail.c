/* Writing the one-line messages; see fail.h.  No lock and no allocation: one write(2) a line, in which control characters
   of what is quoted stand as '?'. */
#include "base/fail.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fmt.h"

#define DELETE 0x7f /* the control character above the others */

static void print_line(const char *fmt, va_list ap)
{
    char line[512];
    size_t n = vm_fmt(line, sizeof line, "libvmalloc: ");

    n += vm_vfmt(line + n, sizeof line - n - 1, fmt, ap);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == DELETE)
            line[i] = '?';
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; /* nowhere left to complain to */
}

void vm_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_line(fmt, ap);
    va_end(ap);
}

void vm_fatal(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_line(fmt, ap);
    va_end(ap);
    abort();
}

void vm_assert_failed(const char *what, const char *file, int line)
{
    vm_fatal("internal error at %s:%d: %s is false; please report it", file, line, what);
}

/* Formatting into a caller's buffer, and reading numbers, without allocation, locale or stdio: usable inside malloc and
   signal handlers. */
#ifndef VM_FMT_H
#define VM_FMT_H

#include <stdarg.h>

#include "base/base.h"

/* Formats into buf[0..cap) and always ends it with NUL.  Returns the length without the NUL, cut to cap - 1.
   Knows: %s (NULL prints "(null)"), %zu (size_t), %p (pointer, 0x and lower-case hex, also for 0), %d (int), %%. */
size_t vm_vfmt(char *buf, size_t cap, const char *fmt, va_list ap);
size_t vm_fmt(char *buf, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Reads the decimal number at *text, which then is behind it; false, with both as they were, when there is none or it
   does not fit. */
bool vm_scan_decimal(const char **text, size_t *value);

#endif

/* Allocation-free formatting; see fmt.h.  Called by fail, options and report; no lock. */
#include "base/fmt.h"

struct out {
    char *buf;
    size_t cap, len;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->cap)
        o->buf[o->len++] = c;
}

static void put_string(struct out *o, const char *s)
{
    for (s = s ? s : "(null)"; *s; s++)
        put(o, *s);
}

static void put_number(struct out *o, size_t n, unsigned base)
{
    char digits[24];
    unsigned count = 0;

    do
        digits[count++] = "0123456789abcdef"[n % base];
    while ((n /= base) != 0);
    while (count > 0)
        put(o, digits[--count]);
}

size_t vm_vfmt(char *buf, size_t cap, const char *fmt, va_list ap)
{
    struct out o = {buf, cap, 0};

    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        switch (*++fmt) {
        case 's': put_string(&o, va_arg(ap, const char *)); break;
        case 'p':
            put_string(&o, "0x");
            put_number(&o, (uintptr_t)va_arg(ap, void *), 16);
            break;
        case 'd': {
            int d = va_arg(ap, int);
            if (d < 0)
                put(&o, '-');
            put_number(&o, d < 0 ? (size_t)(-(long)d) : (size_t)d, 10);
            break;
        }
        case 'z':
            fmt++; /* the 'u' of %zu */
            put_number(&o, va_arg(ap, size_t), 10);
            break;
        default: put(&o, *fmt);
        }
    }
    if (cap > 0)
        buf[o.len] = '\0';
    return o.len;
}

size_t vm_fmt(char *buf, size_t cap, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    size_t n = vm_vfmt(buf, cap, fmt, ap);
    va_end(ap);
    return n;
}

bool vm_scan_decimal(const char **text, size_t *value)
{
    const char *s = *text;
    size_t n = 0;

    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(n, (size_t)10, &n) || __builtin_add_overflow(n, (size_t)(*s - '0'), &n))
            return false;
    *text = s;
    *value = n;
    return true;
}

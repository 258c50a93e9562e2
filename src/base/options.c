/* Reading VMALLOC_OPTIONS without allocation; see options.h.  Called once, by start-up. */
#include "base/options.h"

#include <string.h>

#include "base/fail.h"
#include "base/fmt.h"

struct vm_options vm_options = {
#define OPTION(name, init, low, high, help) .name = (init),
#define OPTION_STRING(name, help)
#include "base/options.def"
#undef OPTION
#undef OPTION_STRING
};

/* Decimal number with an optional K, M or G; false when it is none or overflows. */
static bool read_number(const char *s, size_t *value)
{
    size_t n;

    if (!vm_scan_decimal(&s, &n))
        return false;
    size_t unit = *s == 'K' || *s == 'k'   ? VM_KIB
                  : *s == 'M' || *s == 'm' ? VM_MIB
                  : *s == 'G' || *s == 'g' ? VM_GIB
                                           : 0;
    if (unit) {
        if (__builtin_mul_overflow(n, unit, &n))
            return false;
        s++;
    }
    *value = n;
    return *s == '\0';
}

static bool bad_range(const char *name, size_t low, size_t high, const char *value)
{
    vm_warn("VMALLOC_OPTIONS: %s takes a number from %zu to %zu, not '%s'; ignored", name, low, high, value);
    return false;
}

static bool set_option(const char *name, const char *value)
{
    size_t n = 0;

#define OPTION(opt, init, low, high, help) \
    if (strcmp(name, #opt) == 0) { \
        if (!read_number(value, &n) || n + 1 < (low) + 1 || n > (high)) \
            return bad_range(name, low, high, value); \
        vm_options.opt = n; \
        return true; \
    }
#define OPTION_STRING(opt, help) \
    if (strcmp(name, #opt) == 0) { \
        strcpy(vm_options.opt, value); /* fits: one item is shorter than the field */ \
        return true; \
    }
#include "base/options.def"
#undef OPTION
#undef OPTION_STRING
    vm_warn("VMALLOC_OPTIONS: unknown option '%s'; ignored", name);
    return false;
}

int vm_options_read(const char *text)
{
    int warnings = 0;

    while (text && *text) {
        char item[256];
        size_t length = strcspn(text, ",");
        if (length >= sizeof item) {
            vm_warn("VMALLOC_OPTIONS: an item is longer than %zu bytes; ignored", sizeof item - 1);
            warnings++;
        } else if (length > 0) {
            memcpy(item, text, length);
            item[length] = '\0';
            char *equals = strchr(item, '=');
            if (equals) {
                *equals = '\0';
                warnings += !set_option(item, equals + 1);
            } else {
                vm_warn("VMALLOC_OPTIONS: '%s' has no value (key=value expected); ignored", item);
                warnings++;
            }
        }
        text += length + (text[length] == ',');
    }
    return warnings;
}

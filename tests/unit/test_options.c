/* Unit tests of src/base/options: values, units, and the text of every warning.  Run by `make check`. */
#include "unit.h"

#include "base/options.h"

struct question {
    const char *text;     /* of VMALLOC_OPTIONS */
    int warnings;
    const char *errors;   /* everything on stderr */
    size_t brk;           /* the options afterwards */
    const char *stats;
};

static void ask(void *arg)
{
    const struct question *q = arg;

    CHECK(vm_options.brk == 1 && vm_options.stats[0] == '\0');
    CHECK(vm_options_read(q->text) == q->warnings);
    CHECKF(vm_options.brk == q->brk, "it is %zu", vm_options.brk);
    CHECKF(strcmp(vm_options.stats, q->stats) == 0, "it is %s", vm_options.stats);
}

#define LINE(text) "libvmalloc: VMALLOC_OPTIONS: " text "; ignored\n"
#define BRK_RANGE(value) LINE("brk takes a number from 0 to 1, not '" value "'")

static const struct question questions[] = {
    {NULL, 0, "", 1, ""},
    {"", 0, "", 1, ""},
    {",,,", 0, "", 1, ""},
    {"brk=0", 0, "", 0, ""},
    {"brk=1", 0, "", 1, ""},
    {"brk=0,brk=1", 0, "", 1, ""},
    {"brk=0K", 0, "", 0, ""},
    {"brk=0g", 0, "", 0, ""},
    {"brk=000", 0, "", 0, ""},
    {"stats=/a/b,brk=0", 0, "", 0, "/a/b"},
    {"stats=", 0, "", 1, ""},
    {"stats=a=b", 0, "", 1, "a=b"},
    {"brk=2", 1, BRK_RANGE("2"), 1, ""},
    {"brk=", 1, BRK_RANGE(""), 1, ""},
    {"brk=-1", 1, BRK_RANGE("-1"), 1, ""},
    {"brk=+0", 1, BRK_RANGE("+0"), 1, ""},
    {"brk= 0", 1, BRK_RANGE(" 0"), 1, ""},
    {"brk=0x0", 1, BRK_RANGE("0x0"), 1, ""},
    {"brk=1K", 1, BRK_RANGE("1K"), 1, ""},
    {"brk=1M", 1, BRK_RANGE("1M"), 1, ""},
    {"brk=1G", 1, BRK_RANGE("1G"), 1, ""},
    {"brk=0KK", 1, BRK_RANGE("0KK"), 1, ""},
    {"brk=0T", 1, BRK_RANGE("0T"), 1, ""},
    {"brk=yes", 1, BRK_RANGE("yes"), 1, ""},
    {"brk=18446744073709551615", 1, BRK_RANGE("18446744073709551615"), 1, ""},
    {"brk=18446744073709551616", 1, BRK_RANGE("18446744073709551616"), 1, ""},
    {"brk=18446744073709551616000", 1, BRK_RANGE("18446744073709551616000"), 1, ""},
    {"brk=17179869184G", 1, BRK_RANGE("17179869184G"), 1, ""},
    {"brk", 1, LINE("'brk' has no value (key=value expected)"), 1, ""},
    {"nonsense=1", 1, LINE("unknown option 'nonsense'"), 1, ""},
    {"BRK=0", 1, LINE("unknown option 'BRK'"), 1, ""},
    {"br=0", 1, LINE("unknown option 'br'"), 1, ""},
    {"brkk=0", 1, LINE("unknown option 'brkk'"), 1, ""},
    {"=1", 1, LINE("unknown option ''"), 1, ""},
    {" brk=0", 1, LINE("unknown option ' brk'"), 1, ""},
    {"a\nb\033=1", 1, LINE("unknown option 'a?b?'"), 1, ""}, /* a line, whatever is quoted */
    /* What is good counts, before and behind what is bad. */
    {"a=b,brk=0,c", 2, LINE("unknown option 'a'") LINE("'c' has no value (key=value expected)"), 0, ""},
    {"brk=7,stats=x,brk=0", 1, BRK_RANGE("7"), 0, "x"},
};

static void compare(const struct question *q)
{
    char text[4096];
    int status = child_status(ask, (void *)(uintptr_t)q, text, sizeof text);

    if (status != 0 || strcmp(text, q->errors) != 0)
        fail_msg("VMALLOC_OPTIONS=\"%s\": wait status %#x, and on stderr:\n%s", q->text, (unsigned)status, text);
}

static void every_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        compare(&questions[i]);
}

/* An item of 255 bytes is read, one of 256 is not. */
static void long_items(void **state)
{
    (void)state;
    char text[300], path[300];

    for (size_t length = 250; length <= 260; length++) {
        memset(path, 'p', sizeof path);
        path[length - strlen("stats=")] = '\0';
        snprintf(text, sizeof text, "stats=%.280s,brk=0", path);
        bool fits = length <= 255;
        struct question q = {text, !fits, fits ? "" : LINE("an item is longer than 255 bytes"), 0, fits ? path : ""};
        compare(&q);
    }
}

int main(void)
{
    unsetenv("VMALLOC_OPTIONS");
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_text), cmocka_unit_test(long_items)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

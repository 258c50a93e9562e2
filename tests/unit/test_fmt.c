/* Unit tests of src/base/fmt: every conversion, cutting at every length, reading numbers.  Run by `make check`. */
#include "unit.h"

#include "base/fmt.h"

static void conversions(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        const char *text;
    } numbers[] = {{0, "0"}, {7, "7"}, {10, "10"}, {4096, "4096"}, {SIZE_MAX, "18446744073709551615"}};
    char buf[128], wanted[128];

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(vm_fmt(buf, sizeof buf, "%zu", numbers[i].n), strlen(numbers[i].text));
        assert_string_equal(buf, numbers[i].text);
    }
    static const int ints[] = {0, 1, -1, 42, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        vm_fmt(buf, sizeof buf, "<%d>", ints[i]);
        snprintf(wanted, sizeof wanted, "<%d>", ints[i]);
        assert_string_equal(buf, wanted);
    }
    vm_fmt(buf, sizeof buf, "%p %p %p", (void *)0, (void *)0xdeadbeefu, (void *)UINTPTR_MAX);
    assert_string_equal(buf, "0x0 0xdeadbeef 0xffffffffffffffff");
    const char *volatile null = NULL; /* the compiler would warn of it */
    vm_fmt(buf, sizeof buf, "%s|%s|%s", "", "text", null);
    assert_string_equal(buf, "|text|(null)");
    assert_int_equal(vm_fmt(buf, sizeof buf, "100%%"), 4);
    assert_string_equal(buf, "100%");
    assert_int_equal(vm_fmt(buf, sizeof buf, "%s", ""), 0);
    assert_string_equal(buf, "");
}

/* Whatever the room, the text is cut, ended, and nothing behind it is written. */
static void cutting(void **state)
{
    (void)state;
    static const char whole[] = "at 0xabc: 12345 of -678 bytes";
    char buf[64];

    for (size_t cap = 0; cap <= sizeof whole + 3; cap++) {
        memset(buf, '#', sizeof buf);
        size_t n = vm_fmt(buf, cap, "at %p: %zu of %d %s", (void *)0xabc, (size_t)12345, -678, "bytes");
        size_t fits = cap == 0 ? 0 : cap - 1 < strlen(whole) ? cap - 1 : strlen(whole);
        assert_int_equal(n, fits);
        if (cap > 0) {
            assert_memory_equal(buf, whole, fits);
            assert_int_equal(buf[fits], '\0');
        }
        for (size_t i = cap ? fits + 1 : 0; i < sizeof buf; i++)
            assert_int_equal(buf[i], '#');
    }
}

static void decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length; /* of the number; 0: there is none */
        size_t value;
    } rows[] = {{"0", 1, 0},
                {"007x", 3, 7},
                {"4096K", 4, 4096},
                {"18446744073709551615 ", 20, SIZE_MAX},
                {"18446744073709551616", 0, 0},
                {"99999999999999999999999", 0, 0},
                {"", 0, 0},
                {"-1", 0, 0},
                {" 1", 0, 0},
                {"max", 0, 0}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *at = rows[i].text;
        size_t value = 12345;
        assert_int_equal(vm_scan_decimal(&at, &value), rows[i].length != 0);
        assert_ptr_equal(at, rows[i].text + rows[i].length);
        assert_int_equal(value, rows[i].length ? rows[i].value : 12345);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(conversions), cmocka_unit_test(cutting), cmocka_unit_test(decimals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Unit tests of src/sim/questions: Belady's anomaly and other figures of textbooks from a trace file, text and JSON.  Run
   by `make check`. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/questions.h"

static char path[] = "/tmp/test_sim_questions.XXXXXX";
static struct vm_sim_message message;
static const unsigned belady[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};

static void write_trace(const unsigned *page, size_t n)
{
    FILE *f = fopen(path, "w");

    for (size_t i = 0; i < n; i++)
        fprintf(f, " L %x000,8\n", page[i]);
    fclose(f);
}

/* What the question writes, without the file's name in front. */
static char *answer(int (*f)(const struct vm_sim_ask *ask), bool json)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    struct vm_sim_ask ask = {.trace = path, .out = out, .json = json};
    int error = f(&ask);

    fclose(out);
    assert_int_equal(error, 0);
    if (strncmp(text, path, strlen(path)) == 0)
        memmove(text, text + strlen(path), bytes - strlen(path) + 1);
    return text;
}

static void expect(int (*f)(const struct vm_sim_ask *ask), bool json, const char *expected)
{
    char *text = answer(f, json);

    assert_string_equal(text, expected);
    free(text);
}

static int policies(const struct vm_sim_ask *ask)
{
    return vm_sim_ask_policies(ask, (const uint64_t[]){3, 4, 5}, 3, &message);
}

static int policies_by_default(const struct vm_sim_ask *ask) { return vm_sim_ask_policies(ask, NULL, 0, &message); }
static int mrc(const struct vm_sim_ask *ask) { return vm_sim_ask_mrc(ask, 0, &message); }
static int half(const struct vm_sim_ask *ask) { return vm_sim_ask_min_memory(ask, 0.67, 0, &message); }
static int none(const struct vm_sim_ask *ask) { return vm_sim_ask_min_memory(ask, 0.3, 0, &message); }

static void belady_anomaly(void **state)
{
    (void)state;
    write_trace(belady, sizeof belady / sizeof *belady);
    expect(policies, false, ": 12 references, faults by frames of memory and policy\n"
                            "    frames     two-list         fifo        clock          lru      optimum\n"
                            "         3           10            9            9           10            7\n"
                            "         4           10           10           10            8            6\n"
                            "         5            5            5            5            5            5\n");
    char *text = answer(policies_by_default, true);
    assert_non_null(strstr(text, "\"frames\": 5,\n      \"two-list\": 5,\n      \"fifo\": 5,"));
    free(text);
}

static void curves(void **state)
{
    (void)state;
    write_trace(belady, sizeof belady / sizeof *belady);
    expect(mrc, false, ": 12 references, 5 pages of 4K (20.0K), 1 of 2M (2.00M)\n"
                       "  memory      4K faults     ratio      2M faults     ratio\n"
                       "   16.0K              8  0.666667              -         -\n"
                       "   32.0K              5  0.416667              -         -\n"
                       "   64.0K              5  0.416667              -         -\n"
                       "    128K              5  0.416667              -         -\n"
                       "    256K              5  0.416667              -         -\n"
                       "    512K              5  0.416667              -         -\n"
                       "   1.00M              5  0.416667              -         -\n"
                       "   2.00M              5  0.416667              1  0.083333\n");
    char *text = answer(mrc, true);
    assert_non_null(strstr(text, "\"size\": [0, 3, 4, 5],\n      \"faults\": [12, 10, 8, 5]\n"));
    free(text);
}

static void smallest(void **state)
{
    (void)state;
    write_trace(belady, sizeof belady / sizeof *belady);
    char *text = answer(half, false);
    assert_non_null(strstr(text, "  4 KiB pages: 4 pages (16.0K), 8 faults (0.666667)\n"
                                 "  2 MiB pages: 1 pages (2.00M), 1 faults (0.083333)\n"));
    free(text);
    text = answer(none, false);
    assert_non_null(strstr(text, "  4 KiB pages: none; the first touches alone are 5 faults (0.416667)\n"));
    free(text);
}

/* A reference over the end of a page is one to each. */
static void straddling(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    fputs(" L 1ffc,8\n S 2000,4\n", f);
    fclose(f);
    char *text = answer(mrc, false);
    assert_non_null(strstr(text, ": 3 references, 2 pages of 4K"));
    free(text);
}

static void no_references(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    fputs("1 brk(NULL) = 0x1000\n", f);
    fclose(f);
    struct vm_sim_ask ask = {.trace = path, .out = stdout};
    assert_int_equal(mrc(&ask), -EINVAL);
    assert_non_null(strstr(message.text, "the trace has no references to memory"));
    assert_int_equal(policies(&ask), -EINVAL);
    ask.trace = "/nonexistent/trace";
    assert_int_equal(mrc(&ask), -EINVAL);
    assert_string_equal(message.text, "/nonexistent/trace: No such file or directory");
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(belady_anomaly), cmocka_unit_test(curves),        cmocka_unit_test(smallest),
        cmocka_unit_test(straddling),     cmocka_unit_test(no_references),
    };

    close(mkstemp(path));
    return cmocka_run_group_tests(tests, NULL, remove_file);
}

/* Unit tests of src/sim/log and src/sim/json: exact lines, escapes, nesting, masks, the limit.  Run by `make check`. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/json.h"
#include "sim/log.h"
#include "vm/tlb.h"

/* What f writes. */
static char *written(void (*f)(FILE *out))
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    f(out);
    fclose(out);
    return text;
}

static void expect(void (*f)(FILE *out), const char *expected)
{
    char *text = written(f);

    assert_string_equal(text, expected);
    free(text);
}

static void a_document(FILE *out)
{
    struct vm_sim_json j = {.out = out};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_string(&j, "text", "a \"b\" \\ \n \x01 \xc3\xa4");
    vm_sim_json_begin(&j, "list", '[');
    vm_sim_json_number(&j, NULL, 1);
    vm_sim_json_number(&j, NULL, UINT64_MAX);
    vm_sim_json_end(&j, ']');
    vm_sim_json_begin(&j, "objects", '[');
    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_double(&j, "x", 0.1);
    vm_sim_json_double(&j, "nan", NAN);
    vm_sim_json_end(&j, '}');
    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_end(&j, '}');
    vm_sim_json_end(&j, ']');
    vm_sim_json_bool(&j, "yes", true);
    vm_sim_json_signed(&j, "nice", -20);
    vm_sim_json_hex(&j, "at", 0x7fff0000);
    vm_sim_json_string(&j, "none", NULL);
    vm_sim_json_end(&j, '}');
}

static void json(void **state)
{
    (void)state;
    expect(a_document, "{\n"
                       "  \"text\": \"a \\\"b\\\" \\\\ \\u000a \\u0001 \xc3\xa4\",\n"
                       "  \"list\": [1, 18446744073709551615],\n"
                       "  \"objects\": [\n"
                       "    {\n"
                       "      \"x\": 0.1,\n"
                       "      \"nan\": null\n"
                       "    },\n"
                       "    {}],\n"
                       "  \"yes\": true,\n"
                       "  \"nice\": -20,\n"
                       "  \"at\": \"0x7fff0000\",\n"
                       "  \"none\": null\n"
                       "}\n");
}

static const struct vm_sim_event events[] = {
    {.time = 5, .kind = VM_SIM_EV_EXCEPTION, .process = 2, .vector = 14, .error = 6, .access = VM_SIM_WRITE,
     .linear = {0x804a123}},
    {.time = 5, .kind = VM_SIM_EV_PAGE_IN, .process = 2, .cause = "zero", .linear = {0x804a000}, .frame = 77,
     .entry = 0x4d067},
    {.time = 6, .kind = VM_SIM_EV_EXCEPTION, .process = 2, .vector = 13, .cause = "limit", .selector = 0x1f,
     .access = VM_SIM_READ},
    {.time = 7, .kind = VM_SIM_EV_TLB_FLUSH, .number = VM_TLB_FLUSH_ASID, .count = 3},
    {.time = 8, .kind = VM_SIM_EV_ALLOC, .name = "DMA", .frame = 16, .order = 3},
};
#define EVENTS (sizeof events / sizeof *events)

static void some_lines(FILE *out)
{
    struct vm_sim_log log = {.out = out};

    for (size_t i = 0; i < EVENTS; i++)
        vm_sim_log_event(&log, &events[i]);
    vm_sim_log_end(&log);
}

static void some_json(FILE *out)
{
    struct vm_sim_log log = {.out = out, .json = true};

    for (size_t i = 0; i < 2; i++)
        vm_sim_log_event(&log, &events[i]);
    vm_sim_log_end(&log);
}

static void limited(FILE *out)
{
    struct vm_sim_log log = {.out = out, .limit = 1};

    for (size_t i = 0; i < EVENTS; i++)
        vm_sim_log_event(&log, &events[EVENTS - 1 - i]);
    vm_sim_log_end(&log);
}

static void lines(void **state)
{
    (void)state;
    expect(some_lines, "         5    2 exception #PF(14) error 0x6 (no page, write, user) linear 0x804a123\n"
                       "         5    2 page-in zero linear 0x804a000 frame 77 entry 0x4d067\n"
                       "         6    2 exception #GP(13) error 0 limit read selector 0x1f\n"
                       "         7    - tlb-flush kind asid dropped 3\n"
                       "         8    - alloc DMA frame 16 order 3\n");
    expect(some_json, "{\"time\":5,\"process\":2,\"event\":\"exception\",\"vector\":14,\"error\":6,\"access\":\"write\","
                      "\"linear\":\"0x804a123\"}\n"
                      "{\"time\":5,\"process\":2,\"event\":\"page-in\",\"cause\":\"zero\",\"linear\":\"0x804a000\","
                      "\"frame\":77,\"entry\":\"0x4d067\"}\n");
    expect(limited, "         8    - alloc DMA frame 16 order 3\n"
                    "... and 4 more events\n");
}

/* Every kind writes a line of its own name, whatever its fields are. */
static void every_kind(FILE *out)
{
    struct vm_sim_log text = {.out = out}, log = {.out = out, .json = true};

    for (unsigned k = 0; k < VM_SIM_EV_KINDS; k++) {
        struct vm_sim_event e = {.kind = (enum vm_sim_event_kind)k};
        vm_sim_log_event(&text, &e);
        memset(&e, 0xff, sizeof e);
        e.kind = (enum vm_sim_event_kind)k;
        e.cause = e.name = "x";
        vm_sim_log_event(&log, &e);
    }
}

static void kinds(void **state)
{
    (void)state;
    char *text = written(every_kind), *p = text;

    for (unsigned k = 0; k < VM_SIM_EV_KINDS; k++) {
        assert_non_null(strstr(p, vm_sim_event_name((enum vm_sim_event_kind)k)));
        p = strchr(strchr(p, '\n') + 1, '\n') + 1;
    }
    assert_int_equal(*p, '\0');
    free(text);
}

static void masks(void **state)
{
    (void)state;
    assert_int_equal(vm_sim_log_mask("walks"), 1u << VM_SIM_EV_WALK);
    assert_int_equal(vm_sim_log_mask("walk,page-in"), 1u << VM_SIM_EV_WALK | 1u << VM_SIM_EV_PAGE_IN);
    assert_int_equal(vm_sim_log_mask("all"), (1u << VM_SIM_EV_KINDS) - 1);
    assert_int_equal(vm_sim_log_mask("faults,nothing"), 0);
    assert_int_equal(vm_sim_log_mask("faults,"), 0);
    assert_int_equal(vm_sim_log_mask(""), 0);
    assert_int_equal(vm_sim_log_mask("fault"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json), cmocka_unit_test(lines), cmocka_unit_test(kinds), cmocka_unit_test(masks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

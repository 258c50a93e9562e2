/* The event log; see log.h.  One table says for each kind of event which fields it has and what its numbers mean, for
   the text and the JSON alike. */
#include "sim/log.h"

#include <inttypes.h>
#include <string.h>

#include "sim/json.h"
#include "vm/tlb.h"

enum field {
    F_CAUSE = 1,
    F_NAME = 2,
    F_ACCESS = 4,
    F_VECTOR = 8,
    F_SELECTOR = 16,
    F_LINEAR = 32,
    F_PHYSICAL = 64,
    F_FRAME = 128,
    F_ORDER = 256,
    F_LEVEL = 512,
    F_READS = 1024,
    F_ENTRY = 2048,
    F_BYTES = 4096,
};

#define PAGE_FAULT 14

static const struct shape {
    unsigned fields;
    const char *number, *count; /* what they are; NULL: the kind has none */
} shape[VM_SIM_EV_KINDS] = {
    [VM_SIM_EV_EXCEPTION] = {F_VECTOR | F_CAUSE | F_ACCESS | F_SELECTOR | F_LINEAR, NULL, NULL},
    [VM_SIM_EV_WALK] = {F_LINEAR | F_READS | F_LEVEL | F_ENTRY, NULL, NULL},
    [VM_SIM_EV_TLB_FLUSH] = {F_LINEAR | F_BYTES, "kind", "dropped"},
    [VM_SIM_EV_PAGE_IN] = {F_CAUSE | F_LINEAR | F_FRAME | F_ENTRY, NULL, NULL},
    [VM_SIM_EV_PAGE_OUT] = {F_CAUSE | F_LINEAR | F_FRAME, "slot", NULL},
    [VM_SIM_EV_ALLOC] = {F_NAME | F_FRAME | F_ORDER | F_CAUSE, NULL, NULL},
    [VM_SIM_EV_ALLOC_FAILED] = {F_NAME | F_ORDER | F_CAUSE, NULL, NULL},
    [VM_SIM_EV_FREE] = {F_NAME | F_FRAME | F_ORDER, NULL, NULL},
    [VM_SIM_EV_SPLIT] = {F_NAME | F_FRAME | F_ORDER, NULL, NULL},
    [VM_SIM_EV_MERGE] = {F_NAME | F_FRAME | F_ORDER, NULL, NULL},
    [VM_SIM_EV_SLAB_GROW] = {F_NAME | F_FRAME | F_ORDER, "colour", NULL},
    [VM_SIM_EV_SLAB_REAP] = {F_NAME | F_FRAME | F_ORDER, NULL, NULL},
    [VM_SIM_EV_KSWAPD_WAKE] = {F_NAME, "free", NULL},
    [VM_SIM_EV_KSWAPD_SLEEP] = {F_NAME, "free", "reclaimed"},
    [VM_SIM_EV_DIRECT] = {F_NAME, NULL, "reclaimed"},
    [VM_SIM_EV_OOM] = {F_NAME | F_BYTES, "victim", "frames"},
    [VM_SIM_EV_SIGNAL] = {F_CAUSE | F_LINEAR, "signal", NULL},
    [VM_SIM_EV_PROCESS] = {F_CAUSE | F_NAME, "number", "frames"}, /* see number_name() */
    [VM_SIM_EV_MAP] = {F_CAUSE | F_LINEAR | F_BYTES, NULL, NULL},
    [VM_SIM_EV_PLACE] = {F_CAUSE | F_NAME | F_PHYSICAL | F_BYTES, NULL, NULL},
    [VM_SIM_EV_MOVE] = {F_NAME | F_PHYSICAL | F_BYTES, NULL, NULL},
    [VM_SIM_EV_COLLISION] = {F_NAME | F_PHYSICAL | F_BYTES, "with", NULL},
    [VM_SIM_EV_SWITCH] = {0, "asid", "dropped"},
};

#define BIT(kind) ((uint32_t)1 << VM_SIM_EV_##kind)

static const struct group {
    const char *name;
    uint32_t mask;
} group[] = {
    {"all", ((uint32_t)1 << VM_SIM_EV_KINDS) - 1},
    {"faults", BIT(EXCEPTION) | BIT(PAGE_IN) | BIT(SIGNAL)},
    {"walks", BIT(WALK)},
    {"frames", BIT(ALLOC) | BIT(ALLOC_FAILED) | BIT(FREE) | BIT(SPLIT) | BIT(MERGE)},
    {"slabs", BIT(SLAB_GROW) | BIT(SLAB_REAP)},
    {"reclaim", BIT(PAGE_OUT) | BIT(KSWAPD_WAKE) | BIT(KSWAPD_SLEEP) | BIT(DIRECT) | BIT(OOM)},
    {"tlb", BIT(TLB_FLUSH) | BIT(SWITCH)},
    {"processes", BIT(PROCESS) | BIT(MAP) | BIT(SIGNAL) | BIT(OOM)},
    {"segments", BIT(PLACE) | BIT(MOVE) | BIT(COLLISION)},
};

static uint32_t mask_of(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof group / sizeof *group; i++)
        if (strlen(group[i].name) == length && memcmp(group[i].name, name, length) == 0)
            return group[i].mask;
    for (unsigned k = 0; k < VM_SIM_EV_KINDS; k++) {
        const char *kind = vm_sim_event_name((enum vm_sim_event_kind)k);
        if (strlen(kind) == length && memcmp(kind, name, length) == 0)
            return (uint32_t)1 << k;
    }
    return 0;
}

uint32_t vm_sim_log_mask(const char *names)
{
    uint32_t mask = 0, one;

    for (const char *p = names;; p++) {
        size_t length = strcspn(p, ",");
        if (!(one = mask_of(p, length)))
            return 0;
        mask |= one;
        p += length;
        if (!*p)
            return mask;
    }
}

/* ---- One event ---- */

static const char *access_name(unsigned access)
{
    static const char *const name[VM_SIM_ACCESSES] = {"read", "write", "fetch"};

    return access < VM_SIM_ACCESSES ? name[access] : "?";
}

static const char *flush_name(uint64_t kind)
{
    static const char *const name[VM_TLB_FLUSH_KINDS] = {"page", "range", "asid", "non-global", "all"};

    return kind < VM_TLB_FLUSH_KINDS ? name[kind] : "?";
}

static const char *vector_name(unsigned vector)
{
    static const char *const name[] = {[10] = "#TS", [11] = "#NP", [12] = "#SS", [13] = "#GP", [14] = "#PF"};

    return vector < sizeof name / sizeof *name && name[vector] ? name[vector] : "#?";
}

/* Some kinds have a field now and then. */
static bool has(const struct vm_sim_event *e, unsigned field)
{
    if (!(shape[e->kind].fields & field))
        return false;
    switch (field) {
    case F_CAUSE: return e->cause != NULL;
    case F_NAME: return e->name != NULL;
    case F_SELECTOR: return e->selector != 0;
    case F_LINEAR:
        if (e->kind == VM_SIM_EV_EXCEPTION) /* CR2: of page faults alone */
            return e->vector == PAGE_FAULT;
        return e->kind != VM_SIM_EV_TLB_FLUSH || e->number == VM_TLB_FLUSH_PAGE || e->number == VM_TLB_FLUSH_RANGE;
    case F_BYTES: return e->kind != VM_SIM_EV_TLB_FLUSH || e->number == VM_TLB_FLUSH_RANGE;
    default: return true;
    }
}

static bool has_number(const struct vm_sim_event *e)
{
    return shape[e->kind].number && (e->kind != VM_SIM_EV_PROCESS || e->number)
           && (e->kind != VM_SIM_EV_PAGE_OUT || e->number);
}

/* A fork has a child, an end a signal. */
static const char *number_name(const struct vm_sim_event *e)
{
    if (e->kind != VM_SIM_EV_PROCESS)
        return shape[e->kind].number;
    return e->cause && strcmp(e->cause, "fork") == 0 ? "child" : "signal";
}

static bool has_count(const struct vm_sim_event *e)
{
    return shape[e->kind].count && (e->kind != VM_SIM_EV_PROCESS || e->count);
}

/* The error code of a page fault in words. */
static void put_error(FILE *out, const struct vm_sim_event *e)
{
    fprintf(out, " error %#x", e->error);
    if (e->vector == PAGE_FAULT)
        fprintf(out, " (%s, %s, %s)", e->error & 1 ? "protection" : "no page",
                e->error & 16  ? "fetch"
                : e->error & 2 ? "write"
                               : "read",
                e->error & 4 ? "user" : "kernel");
}

static void put_text(FILE *out, const struct vm_sim_event *e)
{
    fprintf(out, "%10" PRIu64 " ", e->time);
    if (e->process)
        fprintf(out, "%4" PRIu32 " ", e->process);
    else
        fputs("   - ", out);
    fputs(vm_sim_event_name(e->kind), out);
    if (has(e, F_VECTOR)) {
        fprintf(out, " %s(%u)", vector_name(e->vector), e->vector);
        put_error(out, e);
    }
    if (has(e, F_CAUSE))
        fprintf(out, " %s", e->cause);
    if (has(e, F_NAME))
        fprintf(out, " %s", e->name);
    if (has(e, F_ACCESS) && e->vector != PAGE_FAULT)
        fprintf(out, " %s", access_name(e->access));
    if (has(e, F_SELECTOR))
        fprintf(out, " selector %#x", e->selector);
    if (has(e, F_LINEAR))
        fprintf(out, " linear %#" PRIx64, e->linear.at);
    if (has(e, F_PHYSICAL))
        fprintf(out, " physical %#" PRIx64, e->physical.at);
    if (has(e, F_FRAME))
        fprintf(out, " frame %" PRIu32, e->frame);
    if (has(e, F_ORDER))
        fprintf(out, " order %u", e->order);
    if (has(e, F_READS))
        fprintf(out, " reads %" PRIu32, e->reads);
    if (has(e, F_LEVEL))
        fprintf(out, " level %u", e->level);
    if (has(e, F_ENTRY))
        fprintf(out, " entry %#" PRIx64, e->entry);
    if (has(e, F_BYTES))
        fprintf(out, " %s %" PRIu64, e->kind == VM_SIM_EV_OOM ? "score" : "bytes", e->bytes);
    if (e->kind == VM_SIM_EV_TLB_FLUSH)
        fprintf(out, " kind %s", flush_name(e->number));
    else if (has_number(e))
        fprintf(out, " %s %" PRIu64, number_name(e), e->number);
    if (has_count(e))
        fprintf(out, " %s %" PRIu64, shape[e->kind].count, e->count);
    putc('\n', out);
}

static void put_json(FILE *out, const struct vm_sim_event *e)
{
    struct vm_sim_json j = {.out = out, .compact = true};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_number(&j, "time", e->time);
    vm_sim_json_number(&j, "process", e->process);
    vm_sim_json_string(&j, "event", vm_sim_event_name(e->kind));
    if (has(e, F_VECTOR)) {
        vm_sim_json_number(&j, "vector", e->vector);
        vm_sim_json_number(&j, "error", e->error);
    }
    if (has(e, F_CAUSE))
        vm_sim_json_string(&j, "cause", e->cause);
    if (has(e, F_NAME))
        vm_sim_json_string(&j, "name", e->name);
    if (has(e, F_ACCESS))
        vm_sim_json_string(&j, "access", access_name(e->access));
    if (has(e, F_SELECTOR))
        vm_sim_json_number(&j, "selector", e->selector);
    if (has(e, F_LINEAR))
        vm_sim_json_hex(&j, "linear", e->linear.at);
    if (has(e, F_PHYSICAL))
        vm_sim_json_hex(&j, "physical", e->physical.at);
    if (has(e, F_FRAME))
        vm_sim_json_number(&j, "frame", e->frame);
    if (has(e, F_ORDER))
        vm_sim_json_number(&j, "order", e->order);
    if (has(e, F_READS))
        vm_sim_json_number(&j, "reads", e->reads);
    if (has(e, F_LEVEL))
        vm_sim_json_number(&j, "level", e->level);
    if (has(e, F_ENTRY))
        vm_sim_json_hex(&j, "entry", e->entry);
    if (has(e, F_BYTES))
        vm_sim_json_number(&j, e->kind == VM_SIM_EV_OOM ? "score" : "bytes", e->bytes);
    if (e->kind == VM_SIM_EV_TLB_FLUSH)
        vm_sim_json_string(&j, "kind", flush_name(e->number));
    else if (has_number(e))
        vm_sim_json_number(&j, number_name(e), e->number);
    if (has_count(e))
        vm_sim_json_number(&j, shape[e->kind].count, e->count);
    vm_sim_json_end(&j, '}');
}

void vm_sim_log_event(void *ctx, const struct vm_sim_event *event)
{
    struct vm_sim_log *log = ctx;

    if (log->lines++ >= log->limit && log->limit)
        return;
    if (log->json)
        put_json(log->out, event);
    else
        put_text(log->out, event);
}

void vm_sim_log_end(struct vm_sim_log *log)
{
    if (!log->limit || log->lines <= log->limit)
        return;
    if (log->json)
        fprintf(log->out, "{\"left_out\":%" PRIu64 "}\n", log->lines - log->limit);
    else
        fprintf(log->out, "... and %" PRIu64 " more events\n", log->lines - log->limit);
}

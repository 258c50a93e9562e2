/* Questions to a trace; see questions.h. */
#include "sim/questions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/json.h"
#include "sim/mem.h"
#include "sim/policy.h"

#define LARGE_SHIFT 21
#define PROGRESS_BYTES ((uint64_t)64 << 20)

/* ---- Reading ---- */

static void show_progress(const struct vm_sim_ask *ask, const struct vm_sim_trace *t, uint64_t *next)
{
    uint64_t at = vm_sim_trace_position(t), size = vm_sim_trace_size(t);

    if (!ask->progress || at < *next)
        return;
    *next = at + PROGRESS_BYTES;
    if (size)
        fprintf(stderr, "%s: %" PRIu64 " %%\n", ask->trace, at * 100 / size);
    else
        fprintf(stderr, "%s: %" PRIu64 " MiB\n", ask->trace, at >> 20);
}

int vm_sim_each_item(const struct vm_sim_ask *ask, void (*f)(void *ctx, const struct vm_sim_item *item), void *ctx,
                     struct vm_sim_message *message)
{
    struct vm_sim_trace *t = vm_sim_trace_open(ask->trace, ask->format, message);
    struct vm_sim_item item;
    uint64_t next = PROGRESS_BYTES;
    int more;

    if (!t)
        return -EINVAL;
    while ((more = vm_sim_trace_next(t, &item, message)) > 0) {
        f(ctx, &item);
        show_progress(ask, t, &next);
    }
    vm_sim_trace_close(t);
    return more;
}

/* The addresses of a batch; one that straddles small pages twice.  Room for 2 * VM_SIM_TRACE_BATCH. */
static size_t addresses(const struct vm_sim_item *item, uint64_t *address)
{
    size_t n = 0;

    for (size_t i = 0; i < item->n; i++) {
        const struct vm_sim_ref *r = &item->ref[i];
        uint64_t last = r->offset + (r->bytes ? r->bytes : 1) - 1;
        address[n++] = r->offset;
        if (last >> VM_SIM_PAGE_SHIFT != r->offset >> VM_SIM_PAGE_SHIFT)
            address[n++] = last;
    }
    return n;
}

/* Allocation events know no references: each block is touched once, page by page. */
static size_t touched(const struct vm_sim_item *item, uint64_t *address, uint64_t *from)
{
    uint64_t end = item->address + item->bytes;
    size_t n = 0;

    for (; *from < end && n < VM_SIM_TRACE_BATCH; *from = (*from | (VM_SIM_PAGE_SIZE - 1)) + 1)
        address[n++] = *from;
    return n;
}

/* Processes have memories of their own: their pages must not be taken for one another's. */
static void apart(uint64_t *address, size_t n, uint32_t pid)
{
    if (pid > 1)
        for (size_t i = 0; i < n; i++)
            address[i] ^= (uint64_t)pid << 48;
}

/* Calls f with the addresses of an item. */
static void each_address(const struct vm_sim_item *item, uint64_t *address,
                         void (*f)(void *ctx, const uint64_t *address, size_t n), void *ctx)
{
    size_t n;
    uint64_t from = item->address;

    if (item->kind == VM_SIM_ITEM_REFS) {
        n = addresses(item, address);
        apart(address, n, item->pid);
        f(ctx, address, n);
    } else if (item->kind == VM_SIM_ITEM_MALLOC) {
        while ((n = touched(item, address, &from)) > 0) {
            apart(address, n, item->pid);
            f(ctx, address, n);
        }
    }
}

static int no_references(const struct vm_sim_ask *ask, struct vm_sim_message *message)
{
    snprintf(message->text, sizeof message->text, "%.180s: the trace has no references to memory", ask->trace);
    return -EINVAL;
}

static const char *size_text(char *text, size_t cap, uint64_t bytes)
{
    static const char unit[] = "BKMGT";
    unsigned u = 0;
    double n = (double)bytes;

    for (; n >= 1024 && u < 4; u++)
        n /= 1024;
    snprintf(text, cap, n < 10 && u ? "%.2f%c" : n < 100 && u ? "%.1f%c" : "%.0f%c", n, unit[u]);
    return text;
}

/* ---- Curves ---- */

struct curves {
    struct vm_sim_mrc *mrc[2];
    uint64_t address[2 * VM_SIM_TRACE_BATCH];
};

static void add_addresses(void *ctx, const uint64_t *address, size_t n)
{
    struct curves *c = ctx;

    for (unsigned i = 0; i < 2; i++)
        vm_sim_mrc_refs(c->mrc[i], address, n);
}

static void add_item(void *ctx, const struct vm_sim_item *item)
{
    struct curves *c = ctx;

    each_address(item, c->address, add_addresses, c);
}

int vm_sim_mrc_curves(const struct vm_sim_ask *ask, size_t sample, struct vm_sim_curve curve[2],
                      struct vm_sim_message *message)
{
    struct curves *c = vm_sim_zalloc(sizeof *c);

    c->mrc[0] = vm_sim_mrc_new(VM_SIM_PAGE_SHIFT, sample);
    c->mrc[1] = vm_sim_mrc_new(LARGE_SHIFT, sample);
    int error = vm_sim_each_item(ask, add_item, c, message);
    for (unsigned i = 0; i < 2; i++) {
        if (!error) {
            curve[i] = vm_sim_mrc_curve(c->mrc[i]);
            curve[i].name = i ? "2 MiB pages" : "4 KiB pages";
        }
        vm_sim_mrc_free(c->mrc[i]);
    }
    free(c);
    if (!error && curve[0].refs == 0) {
        vm_sim_curve_free(&curve[0]);
        vm_sim_curve_free(&curve[1]);
        return no_references(ask, message);
    }
    return error;
}

/* Between what the faults of an exact curve lie, at the sizes of this one. */
static void put_bounds_json(struct vm_sim_json *j, const struct vm_sim_curve *c, bool upper)
{
    uint64_t bound[2];

    vm_sim_json_begin(j, upper ? "faults_most" : "faults_least", '[');
    for (size_t i = 0; i < c->points; i++) {
        vm_sim_curve_bounds(c, c->size[i], &bound[0], &bound[1]);
        vm_sim_json_number(j, NULL, bound[upper]);
    }
    vm_sim_json_end(j, ']');
}

static void put_curve_json(struct vm_sim_json *j, const struct vm_sim_curve *c)
{
    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_number(j, "page", (uint64_t)1 << c->page_shift);
    vm_sim_json_number(j, "references", c->refs);
    vm_sim_json_number(j, "distinct", c->distinct);
    vm_sim_json_double(j, "sampled", c->rate);
    vm_sim_json_number(j, "followed", c->followed);
    vm_sim_json_begin(j, "size", '[');
    for (size_t i = 0; i < c->points; i++)
        vm_sim_json_number(j, NULL, c->size[i]);
    vm_sim_json_end(j, ']');
    vm_sim_json_begin(j, "faults", '[');
    for (size_t i = 0; i < c->points; i++)
        vm_sim_json_number(j, NULL, c->misses[i]);
    vm_sim_json_end(j, ']');
    if (c->least) {
        put_bounds_json(j, c, false);
        put_bounds_json(j, c, true);
    }
    vm_sim_json_end(j, '}');
}

static void put_heading(const struct vm_sim_ask *ask, const struct vm_sim_curve curve[2])
{
    char a[16], b[16];

    fprintf(ask->out, "%s: %" PRIu64 " references, %" PRIu64 " pages of 4K (%s), %" PRIu64 " of 2M (%s)\n", ask->trace,
            curve[0].refs, curve[0].distinct, size_text(a, sizeof a, curve[0].distinct << VM_SIM_PAGE_SHIFT),
            curve[1].distinct, size_text(b, sizeof b, curve[1].distinct << LARGE_SHIFT));
    for (unsigned i = 0; i < 2; i++)
        if (curve[i].least)
            fprintf(ask->out,
                    "%s: sampled, %" PRIu64 " followed, %.3g %% of them; from and to: three standard errors\n",
                    curve[i].name, curve[i].followed, curve[i].rate * 100);
}

static void put_cell(FILE *out, const struct vm_sim_curve *c, uint64_t bytes)
{
    uint64_t pages = bytes >> c->page_shift, least, most;

    if (pages == 0) {
        fprintf(out, " %14s %9s", "-", "-");
        if (c->least)
            fprintf(out, " %9s %9s", "-", "-");
        return;
    }
    uint64_t misses = vm_sim_curve_misses(c, pages);
    fprintf(out, " %14" PRIu64 " %9.6f", misses, (double)misses / (double)c->refs);
    if (!c->least)
        return;
    vm_sim_curve_bounds(c, pages, &least, &most);
    fprintf(out, " %9.6f %9.6f", (double)least / (double)c->refs, (double)most / (double)c->refs);
}

int vm_sim_ask_mrc(const struct vm_sim_ask *ask, size_t sample, struct vm_sim_message *message)
{
    struct vm_sim_curve curve[2];
    int error = vm_sim_mrc_curves(ask, sample, curve, message);
    char text[16];

    if (error)
        return error;
    if (ask->json) {
        struct vm_sim_json j = {.out = ask->out};
        vm_sim_json_begin(&j, NULL, '{');
        vm_sim_json_string(&j, "trace", ask->trace);
        vm_sim_json_begin(&j, "curves", '[');
        put_curve_json(&j, &curve[0]);
        put_curve_json(&j, &curve[1]);
        vm_sim_json_end(&j, ']');
        vm_sim_json_end(&j, '}');
    } else {
        uint64_t most = vm_max(curve[0].distinct << VM_SIM_PAGE_SHIFT, curve[1].distinct << LARGE_SHIFT);
        put_heading(ask, curve);
        const char *error = sample ? "      from        to" : "";
        fprintf(ask->out, "%8s %14s %9s%s %14s %9s%s\n", "memory", "4K faults", "ratio", error, "2M faults", "ratio",
                error);
        for (uint64_t bytes = (uint64_t)4 << VM_SIM_PAGE_SHIFT;; bytes *= 2) {
            fprintf(ask->out, "%8s", size_text(text, sizeof text, bytes));
            put_cell(ask->out, &curve[0], bytes);
            put_cell(ask->out, &curve[1], bytes);
            putc('\n', ask->out);
            if (bytes >= most)
                break;
        }
    }
    vm_sim_curve_free(&curve[0]);
    vm_sim_curve_free(&curve[1]);
    return 0;
}

static void put_pages_json(struct vm_sim_json *j, const char *name, uint64_t pages)
{
    if (pages == UINT64_MAX)
        vm_sim_json_string(j, name, NULL);
    else
        vm_sim_json_number(j, name, pages);
}

/* Between what the exact answer lies. */
static void put_range(FILE *out, uint64_t from, uint64_t to)
{
    if (from == UINT64_MAX)
        fputs("    three standard errors: none\n", out);
    else if (to == UINT64_MAX)
        fprintf(out, "    three standard errors: %" PRIu64 " pages or more, or none\n", from);
    else
        fprintf(out, "    three standard errors: %" PRIu64 " to %" PRIu64 " pages\n", from, to);
}

int vm_sim_ask_min_memory(const struct vm_sim_ask *ask, double ratio, size_t sample, struct vm_sim_message *message)
{
    struct vm_sim_curve curve[2];
    struct vm_sim_json j = {.out = ask->out};
    int error = vm_sim_mrc_curves(ask, sample, curve, message);
    char text[16];

    if (error)
        return error;
    if (ask->json) {
        vm_sim_json_begin(&j, NULL, '{');
        vm_sim_json_string(&j, "trace", ask->trace);
        vm_sim_json_double(&j, "ratio", ratio);
        vm_sim_json_begin(&j, "smallest", '[');
    } else {
        put_heading(ask, curve);
        fprintf(ask->out, "at most %g faults a reference (exact LRU, one memory for all processes):\n", ratio);
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct vm_sim_curve *c = &curve[i];
        uint64_t pages = vm_sim_curve_smallest(c, ratio), misses = vm_sim_curve_misses(c, pages);
        bool none = pages == UINT64_MAX;
        uint64_t from, to;
        vm_sim_curve_smallest_bounds(c, ratio, &from, &to);
        if (ask->json) {
            vm_sim_json_begin(&j, NULL, '{');
            vm_sim_json_number(&j, "page", (uint64_t)1 << c->page_shift);
            put_pages_json(&j, "pages", pages);
            vm_sim_json_number(&j, "faults", misses);
            if (c->least) {
                vm_sim_json_number(&j, "followed", c->followed);
                put_pages_json(&j, "pages_least", from);
                put_pages_json(&j, "pages_most", to);
            }
            vm_sim_json_end(&j, '}');
        } else if (none) {
            fprintf(ask->out, "  %s: none; the first touches alone are %" PRIu64 " faults (%.6f)\n", c->name, misses,
                    (double)misses / (double)c->refs);
        } else {
            fprintf(ask->out, "  %s: %" PRIu64 " pages (%s), %" PRIu64 " faults (%.6f)\n", c->name, pages,
                    size_text(text, sizeof text, pages << c->page_shift), misses, (double)misses / (double)c->refs);
        }
        if (!ask->json && c->least)
            put_range(ask->out, from, to);
    }
    if (ask->json) {
        vm_sim_json_end(&j, ']');
        vm_sim_json_end(&j, '}');
    }
    vm_sim_curve_free(&curve[0]);
    vm_sim_curve_free(&curve[1]);
    return 0;
}

/* ---- Policies ---- */

#define DEFAULT_SIZES 6

struct comparison {
    struct vm_sim_policy_run **run; /* [sizes * VM_SIM_POLICIES]; the optimum's are NULL */
    uint64_t *frames;
    size_t sizes;
    uint64_t refs;
    uint64_t *page; /* for the optimum: repetitions hit always and change nothing */
    size_t pages, cap;
    uint64_t address[2 * VM_SIM_TRACE_BATCH];
};

static void compare_addresses(void *ctx, const uint64_t *address, size_t n)
{
    struct comparison *c = ctx;

    c->refs += n;
    for (size_t r = 0; r < c->sizes * VM_SIM_POLICIES; r++)
        for (size_t i = 0; c->run[r] && i < n; i++)
            vm_sim_policy_ref(c->run[r], address[i] >> VM_SIM_PAGE_SHIFT, NULL);
    vm_sim_grow(&c->page, &c->cap, c->pages + n, sizeof *c->page);
    for (size_t i = 0; i < n; i++)
        if (c->pages == 0 || c->page[c->pages - 1] != address[i] >> VM_SIM_PAGE_SHIFT)
            c->page[c->pages++] = address[i] >> VM_SIM_PAGE_SHIFT;
}

static void compare_item(void *ctx, const struct vm_sim_item *item)
{
    struct comparison *c = ctx;

    each_address(item, c->address, compare_addresses, c);
}

/* A 16th, 8th, quarter, half, three quarters and all of what the trace touches. */
static int default_sizes(const struct vm_sim_ask *ask, uint64_t frames[DEFAULT_SIZES], size_t *sizes,
                         struct vm_sim_message *message)
{
    static const unsigned part[DEFAULT_SIZES] = {4, 8, 16, 32, 48, 64};
    struct vm_sim_curve curve[2];
    int error = vm_sim_mrc_curves(ask, 8192, curve, message);

    if (error)
        return error;
    *sizes = 0;
    for (size_t i = 0; i < DEFAULT_SIZES; i++) {
        uint64_t n = vm_max(curve[0].distinct * part[i] / 64, 1);
        if (*sizes == 0 || frames[*sizes - 1] != n)
            frames[(*sizes)++] = n;
    }
    vm_sim_curve_free(&curve[0]);
    vm_sim_curve_free(&curve[1]);
    return 0;
}

static uint64_t faults_of(const struct comparison *c, size_t size, unsigned policy)
{
    const struct vm_sim_policy_run *run = c->run[size * VM_SIM_POLICIES + policy];

    return run ? vm_sim_policy_faults(run) : vm_sim_policy_count(VM_SIM_OPTIMUM, c->page, c->pages, c->frames[size]);
}

static void put_policies_json(const struct vm_sim_ask *ask, const struct comparison *c)
{
    struct vm_sim_json j = {.out = ask->out};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_string(&j, "trace", ask->trace);
    vm_sim_json_number(&j, "references", c->refs);
    vm_sim_json_begin(&j, "faults", '[');
    for (size_t i = 0; i < c->sizes; i++) {
        vm_sim_json_begin(&j, NULL, '{');
        vm_sim_json_number(&j, "frames", c->frames[i]);
        for (unsigned p = 0; p < VM_SIM_POLICIES; p++)
            vm_sim_json_number(&j, vm_sim_policy_name((enum vm_sim_page_policy)p), faults_of(c, i, p));
        vm_sim_json_end(&j, '}');
    }
    vm_sim_json_end(&j, ']');
    vm_sim_json_end(&j, '}');
}

static void put_policies(const struct vm_sim_ask *ask, const struct comparison *c)
{
    fprintf(ask->out, "%s: %" PRIu64 " references, faults by frames of memory and policy\n%10s", ask->trace, c->refs,
            "frames");
    for (unsigned p = 0; p < VM_SIM_POLICIES; p++)
        fprintf(ask->out, " %12s", vm_sim_policy_name((enum vm_sim_page_policy)p));
    putc('\n', ask->out);
    for (size_t i = 0; i < c->sizes; i++) {
        fprintf(ask->out, "%10" PRIu64, c->frames[i]);
        for (unsigned p = 0; p < VM_SIM_POLICIES; p++)
            fprintf(ask->out, " %12" PRIu64, faults_of(c, i, p));
        putc('\n', ask->out);
    }
}

int vm_sim_ask_policies(const struct vm_sim_ask *ask, const uint64_t *frames, size_t sizes,
                        struct vm_sim_message *message)
{
    uint64_t own[DEFAULT_SIZES];
    int error;

    if (sizes == 0) {
        if ((error = default_sizes(ask, own, &sizes, message)))
            return error;
        frames = own;
    }
    struct comparison *c = vm_sim_zalloc(sizeof *c);
    c->sizes = sizes;
    c->frames = vm_sim_zalloc(sizes * sizeof *c->frames);
    memcpy(c->frames, frames, sizes * sizeof *c->frames);
    c->run = vm_sim_zalloc(sizes * VM_SIM_POLICIES * sizeof *c->run);
    for (size_t i = 0; i < sizes; i++)
        for (unsigned p = 0; p < VM_SIM_POLICIES; p++)
            if (p != VM_SIM_OPTIMUM)
                c->run[i * VM_SIM_POLICIES + p] = vm_sim_policy_start((enum vm_sim_page_policy)p, frames[i]);
    error = vm_sim_each_item(ask, compare_item, c, message);
    if (!error && c->refs == 0)
        error = no_references(ask, message);
    if (!error && ask->json)
        put_policies_json(ask, c);
    else if (!error)
        put_policies(ask, c);
    for (size_t i = 0; i < sizes * VM_SIM_POLICIES; i++)
        if (c->run[i])
            vm_sim_policy_end(c->run[i]);
    free(c->run);
    free(c->frames);
    free(c->page);
    free(c);
    return error;
}

/* vmalloc stat: the account of running processes' heaps, or core files': as text, JSON, or for Prometheus.  Reads each
   process from outside (peek.h) and /proc/PID/stat; the process does nothing for it. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/figures.h"
#include "sim/json.h"
#include "tool/command.h"
#include "tool/peek.h"
#include "tool/peek_core.h"
#include "tool/peek_counts.h"
#include "tool/peek_tlb.h"
#include "tool/procfs.h"
#include "tool/shared.h"

static const char *const name = "stat";

static const char usage[] =
    "usage: vmalloc stat [OPTIONS] PID|CORE...\n"
    "\n"
    "Says how much memory a program that runs with libvmalloc has in use, in slack, kept and for itself.  The program is\n"
    "neither stopped nor slowed, and needs no preparation.  CORE is a core file of such a program.  Several are reported one\n"
    "after the other, in JSON as an array; one that cannot be read costs a line on stderr and status 1, not the others.\n"
    "\n"
    "  -c, --classes      a table by size class\n"
    "  -s, --shared       what the program itself publishes with VMALLOC_OPTIONS=share=1; taken by itself where the system\n"
    "                     forbids to read the program's memory\n"
    "  -j, --json         as JSON\n"
    "  -p, --prometheus   as Prometheus text, for node_exporter's textfile collector\n"
    "  -h, --help         this\n";

/* Of /proc/PID/stat. */
struct process {
    bool known;
    char command[64];
    uint64_t minor_faults, major_faults, rss_bytes;
};

struct stat {
    pid_t pid;
    const char *source; /* "process", "core", "share" */
    double age;         /* seconds since the figures were true; 0 but for "share" */
    char version[16];
    struct vm_figures f;
    struct process process;
    bool counted; /* calls are known */
    struct counts_sum calls;
    bool modelled; /* a TLB model is fed */
    struct peek_tlb tlb;
    bool moved;
    unsigned odd;
};

/* What was asked for and could be read. */
struct stats {
    struct stat *of;
    size_t count;
};

/* ---- Reading ---- */

static void name_process(struct process *p, const char *command, size_t length)
{
    snprintf(p->command, sizeof p->command, "%.*s", (int)length, command);
    procfs_make_printable(p->command, PROCFS_ASCII);
}

static void read_process(pid_t pid, struct process *p)
{
    char line[PROCFS_STAT_ROOM];
    const char *fields = procfs_read_stat(pid, line), *open = fields ? strchr(line, '(') : NULL;
    long pages;

    if (!open || open >= fields)
        return;
    name_process(p, open + 1, (size_t)(fields - open) - 2);
    p->known = sscanf(fields,
                      " %*c %*d %*d %*d %*d %*d %*u %" SCNu64 " %*u %" SCNu64
                      " %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %*u %ld",
                      &p->minor_faults, &p->major_faults, &pages)
               == 3;
    p->rss_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_range(struct vm_figures *f, const struct peek_range *r)
{
    uint64_t bytes = r->end - r->start;

    switch (r->kind) {
    case PEEK_SLAB: {
        struct vm_figures_slab s = {r->class_id, bytes, r->block_size, r->capacity, r->carved, r->used, r->quiet};
        vm_figures_add_slab(f, &s);
        break;
    }
    case PEEK_FRAME_DIRTY: f->frames_dirty_bytes += bytes; break;
    case PEEK_FRAME_CLEAN: f->frames_clean_bytes += bytes; break;
    case PEEK_EXTENT_LIVE:
        f->large_live_bytes += bytes;
        f->large_live_blocks++;
        break;
    case PEEK_EXTENT_WARM:
    case PEEK_EXTENT_DIRTY: f->extents_dirty_bytes += bytes; break;
    case PEEK_EXTENT_CLEAN: f->extents_clean_bytes += bytes; break;
    case PEEK_METADATA: f->metadata_bytes += bytes; break;
    default: break;
    }
}

static bool read_heap(const char *what, struct stat *st, char *error)
{
    struct peek *p = peek_open(what, error);
    struct peek_snapshot *s = p ? peek_snapshot(p, error) : NULL;

    if (s) {
        st->pid = p->pid;
        st->source = p->core ? "core" : "process";
        memcpy(st->version, p->version, sizeof st->version);
        for (size_t i = 0; i < s->ranges; i++)
            add_range(&st->f, &s->range[i]);
        st->f.mem_map_bytes = s->mem_map_used;
        st->f.heaps = s->heaps;
        for (size_t i = 0; i < s->heaps; i++)
            st->f.heaps_idle += s->heap[i].state == PEEK_HEAP_IDLE;
        st->counted = peek_counts(p, &st->f, &st->calls);
        st->modelled = peek_tlb(p, s, &st->tlb);
        st->moved = s->moved;
        st->odd = s->odd;
        if (p->core)
            name_process(&st->process, peek_core_command(p->core), strlen(peek_core_command(p->core)));
        else
            read_process(p->task, &st->process);
    }
    peek_snapshot_free(s);
    peek_close(p);
    return s != NULL;
}

/* The process id in a text of digits; 0: it is none. */
static pid_t pid_of(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 10 && text[digits] == '\0' ? (pid_t)strtol(text, NULL, 10) : 0;
}

static bool read_shared(pid_t pid, struct stat *st, char error[SHARED_ERROR_MAX])
{
    struct vm_share_page page;

    if (!shared_read(pid, &page, error))
        return false;
    st->pid = pid;
    st->source = "share";
    st->age = (double)shared_age(&page) / 1e9;
    st->f = page.figures;
    memcpy(st->version, page.version, sizeof st->version);
    read_process(pid, &st->process);
    return true;
}

/* From the process's memory, or what it publishes. */
static int read_all(const char *what, bool shared, struct stat *st)
{
    char error[PEEK_ERROR_MAX], shared_error[SHARED_ERROR_MAX];
    pid_t pid = pid_of(what);

    if (!shared && read_heap(what, st, error))
        return TOOL_OK;
    if (pid && read_shared(pid, st, shared_error))
        return TOOL_OK;
    if (!shared)
        return tool_failed(name, "%s", error);
    return tool_failed(name, "%s", pid ? shared_error : "--shared wants a process id");
}

/* ---- Derived ---- */

static uint64_t live_bytes(const struct vm_figures *f) { return f->small_live_bytes + f->large_live_bytes; }
static uint64_t live_blocks(const struct vm_figures *f) { return f->small_live_blocks + f->large_live_blocks; }
static uint64_t kept_bytes(const struct vm_figures *f) { return f->frames_dirty_bytes + f->extents_dirty_bytes; }

/* What was ever touched and may hold pages. */
static uint64_t touched_bytes(const struct vm_figures *f) { return live_bytes(f) + f->slab_free_bytes + kept_bytes(f); }

static double fragmentation(const struct vm_figures *f)
{
    uint64_t touched = touched_bytes(f);
    return touched ? 1 - (double)live_bytes(f) / (double)touched : 0;
}

/* ---- Text ---- */

static const char *human(uint64_t bytes)
{
    static char text[8][32];
    static unsigned turn;
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    char *t = text[turn++ % 8];
    double n = (double)bytes;
    unsigned u = 0;

    for (; n >= 1024 && u < 4; u++)
        n /= 1024;
    snprintf(t, sizeof text[0], u ? "%.1f %s" : "%.0f %s", n, unit[u]);
    return t;
}

static void line(const char *label, uint64_t bytes, const char *remark)
{
    printf("%-20s %12s%s%s\n", label, human(bytes), *remark ? "   " : "", remark);
}

/* Without large blocks; 0 when nothing is known. */
static double rounding(const struct counts_sum *c) { return c->given ? 1 - (double)c->asked / (double)c->given : 0; }

static void print_calls(const struct stat *st)
{
    const struct counts_sum *c = &st->calls;

    if (!st->counted) {
        puts("calls, rounding      not counted; programs started with VMALLOC_OPTIONS=stats=1 count");
        return;
    }
    printf("%-20s %12" PRIu64 "   blocks handed out, %" PRIu64 " taken back, %" PRIu64 " calls of realloc, %" PRIu64
           " failed\n",
           "calls", c->calls, c->frees, c->reallocs, c->failures);
    line("live at the peak", c->peak_live, "as sampled by the program");
    printf("%-20s %10.1f %%   of the small blocks handed out; requests up to 1 KiB count as rounded to 16 bytes\n",
           "rounding", 100 * rounding(c));
}

static void print_tlb(const struct peek_tlb *t)
{
    double all = t->references ? (double)t->references : 1;

    printf("%-20s %12" PRIu64 "   references of a model (%s) fed with allocator events, %" PRIu64 " threads:\n", "TLB",
           t->references, *t->preset ? t->preset : "name unknown", t->threads);
    printf("%-20s %12s   level 1 hits %.2f %%, level 2 hits %.2f %%, misses %.2f %%\n", "", "",
           100 * (double)t->l1_hits / all, 100 * (double)t->l2_hits / all, 100 * (double)t->misses / all);
}

static void print_text(const struct stat *st)
{
    const struct vm_figures *f = &st->f;
    char remark[128];

    printf("%s%s%d, libvmalloc %s", st->process.command, *st->process.command ? ", process " : "process ", (int)st->pid,
           st->version);
    if (strcmp(st->source, "share") == 0)
        printf(", as it published by itself %.1f s ago\n", st->age);
    else
        puts(strcmp(st->source, "core") == 0 ? ", from a core file" : "");
    snprintf(remark, sizeof remark, "%" PRIu64 " blocks", live_blocks(f));
    line("live", live_bytes(f), remark);
    snprintf(remark, sizeof remark, "%" PRIu64 " blocks", f->small_live_blocks);
    line("  small", f->small_live_bytes, remark);
    snprintf(remark, sizeof remark, "%" PRIu64 " blocks", f->large_live_blocks);
    line("  large", f->large_live_bytes, remark);
    line("slack in slabs", f->slab_free_bytes + f->slab_untouched_bytes + f->slab_tail_bytes, "");
    line("  freed blocks", f->slab_free_bytes, "");
    line("  never handed out", f->slab_untouched_bytes,
         "holds no pages but where it shares them, or frames are used again");
    line("  tails", f->slab_tail_bytes, "behind the last block");
    line("kept", kept_bytes(f), "free, and holds pages");
    line("  frames", f->frames_dirty_bytes, "");
    line("  large", f->extents_dirty_bytes, "");
    line("address space", f->frames_clean_bytes + f->extents_clean_bytes, "free, and holds no pages");
    line("metadata", f->metadata_bytes + f->mem_map_bytes, "");
    printf("%-20s %12" PRIu64 "   %" PRIu64 " of them of ended threads\n", "heaps", f->heaps, f->heaps_idle);
    printf("%-20s %10.1f %%   of %s that live, freed and kept blocks have come to is not live\n", "fragmentation",
           100 * fragmentation(f), human(touched_bytes(f)));
    if (st->process.known) {
        line("resident (RSS)", st->process.rss_bytes, "of the whole process");
        printf("%-20s %12" PRIu64 "   and %" PRIu64 " major\n", "page faults", st->process.minor_faults,
               st->process.major_faults);
    }
    print_calls(st);
    if (st->modelled)
        print_tlb(&st->tlb);
    if (st->moved || st->odd)
        printf("the heap changed while it was read: figures may be off (%u descriptors left out)\n", st->odd);
}

/* Is there anything to say of the class? */
static bool has_class(const struct stat *st, unsigned id)
{
    return st->f.of_class[id].slabs > 0
           || (st->counted && id > 0 && id < VM_COUNTS_CLASSES && st->calls.of[id].calls > 0);
}

static void print_class(const struct stat *st, unsigned id)
{
    const struct vm_figures_class *c = &st->f.of_class[id];

    printf("%10" PRIu64 " %8" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12s %12s %5.1f%%", c->block_bytes, c->slabs,
           c->live_blocks, c->free_blocks, human(c->live_blocks * c->block_bytes), human(c->slab_bytes),
           c->slabs ? 100.0 * (double)(c->live_blocks * c->block_bytes) / (double)c->slab_bytes : 0);
    if (st->counted && id < VM_COUNTS_CLASSES)
        printf(" %14" PRIu64 " %14" PRIu64, st->calls.of[id].calls, st->calls.of[id].frees);
    putchar('\n');
}

static void print_classes(const struct stat *st)
{
    printf("\n%10s %8s %12s %12s %12s %12s %6s", "class", "slabs", "live", "free", "live bytes", "slab bytes", "used");
    puts(st->counted ? "     handed out     taken back" : "");
    for (unsigned i = 0; i < VM_FIGURES_CLASSES; i++)
        if (has_class(st, i))
            print_class(st, i);
    if (st->counted)
        printf("%10s %8s %12" PRIu64 " %12s %12s %12s %6s %14" PRIu64 " %14" PRIu64 "\n", "large", "",
               st->f.large_live_blocks, "", human(st->f.large_live_bytes), "", "", st->calls.of[0].calls,
               st->calls.of[0].frees);
}

/* What is counted, for JSON and Prometheus. */
#define CALLS_LIST \
    CALLS("calls_total", calls, "blocks handed out") \
    CALLS("frees_total", frees, "blocks taken back") \
    CALLS("reallocs_total", reallocs, "calls of realloc") \
    CALLS("failures_total", failures, "calls that failed for want of memory")

#define TLB_LIST \
    TLB("tlb_references_total", references, "references of a TLB model fed with allocator events") \
    TLB("tlb_l1_hits_total", l1_hits, "hits of its first level") \
    TLB("tlb_l2_hits_total", l2_hits, "hits of its second level") \
    TLB("tlb_misses_total", misses, "references that neither level knew")

/* ---- JSON ---- */

static void json_classes(struct vm_sim_json *j, const struct stat *st)
{
    const struct vm_figures *f = &st->f;

    vm_sim_json_begin(j, "classes", '[');
    for (unsigned i = 0; i < VM_FIGURES_CLASSES; i++) {
        const struct vm_figures_class *c = &f->of_class[i];
        if (!has_class(st, i))
            continue;
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_number(j, "class_bytes", c->block_bytes);
        vm_sim_json_number(j, "slabs", c->slabs);
        vm_sim_json_number(j, "slab_bytes", c->slab_bytes);
        vm_sim_json_number(j, "live_blocks", c->live_blocks);
        vm_sim_json_number(j, "free_blocks", c->free_blocks);
        if (st->counted && i < VM_COUNTS_CLASSES) {
            vm_sim_json_number(j, "calls_total", st->calls.of[i].calls);
            vm_sim_json_number(j, "frees_total", st->calls.of[i].frees);
        }
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
}

static void json_process(struct vm_sim_json *j, const struct stat *st)
{
    const struct vm_figures *f = &st->f;

    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_number(j, "pid", (uint64_t)st->pid);
    vm_sim_json_string(j, "command", *st->process.command ? st->process.command : NULL);
    vm_sim_json_string(j, "version", st->version);
    vm_sim_json_string(j, "source", st->source);
    vm_sim_json_double(j, "age_seconds", st->age);
    vm_sim_json_bool(j, "moved", st->moved);
    vm_sim_json_number(j, "left_out", st->odd);
#define FIGURE(figure, help) vm_sim_json_number(j, #figure, f->figure);
#include "report/figures.def"
#undef FIGURE
    vm_sim_json_double(j, "fragmentation_ratio", fragmentation(f));
    if (st->process.known) {
        vm_sim_json_number(j, "process_resident_bytes", st->process.rss_bytes);
        vm_sim_json_number(j, "process_minor_faults_total", st->process.minor_faults);
        vm_sim_json_number(j, "process_major_faults_total", st->process.major_faults);
    }
    if (st->counted) {
#define CALLS(metric, field, help) vm_sim_json_number(j, metric, st->calls.field);
        CALLS_LIST
#undef CALLS
        vm_sim_json_double(j, "rounding_ratio", rounding(&st->calls));
        vm_sim_json_number(j, "peak_live_bytes", st->calls.peak_live);
    }
    if (st->modelled) {
        vm_sim_json_string(j, "tlb_preset", st->tlb.preset);
#define TLB(metric, field, help) vm_sim_json_number(j, metric, st->tlb.field);
        TLB_LIST
#undef TLB
    }
    json_classes(j, st);
    vm_sim_json_end(j, '}');
}

/* array: also of one, or none. */
static void print_json(const struct stats *all, bool array)
{
    struct vm_sim_json j = {.out = stdout};

    if (array)
        vm_sim_json_begin(&j, NULL, '[');
    for (size_t i = 0; i < all->count; i++)
        json_process(&j, &all->of[i]);
    if (array)
        vm_sim_json_end(&j, ']');
}

/* ---- Prometheus ---- */

/* The value of a label: backslash, quote and new line are escaped; what is no printable ASCII becomes an underscore. */
static void print_label(const char *text)
{
    for (; *text; text++)
        if (*text == '\\' || *text == '"')
            printf("\\%c", *text);
        else
            putchar(*text >= ' ' && *text < 0x7f ? *text : '_');
}

static void print_header(const char *metric, const char *type, const char *help)
{
    printf("# HELP vmalloc_%s %s\n# TYPE vmalloc_%s %s\n", metric, help, metric, type);
}

/* Up to the label class, if there is one. */
static void print_labels(const struct stat *st, const char *metric)
{
    printf("vmalloc_%s{pid=\"%d\",command=\"", metric, (int)st->pid);
    print_label(st->process.command);
    putchar('"');
}

/* A metric's samples stand together, behind one header: of those processes `st` for which `known` holds. */
#define METRIC(all, metric, type, help, known, value) \
    do { \
        bool headed = false; \
        for (const struct stat *st = (all)->of; st < (all)->of + (all)->count; st++) { \
            if (!(known)) \
                continue; \
            if (!headed) \
                print_header(metric, type, help); \
            headed = true; \
            print_labels(st, metric); \
            printf("} %.17g\n", (double)(value)); \
        } \
    } while (0)

static void print_class_sample(const struct stat *st, const char *metric, const char *class, uint64_t value)
{
    print_labels(st, metric);
    printf(",class=\"%s\"} %" PRIu64 "\n", class, value);
}

static void print_class_metric(const struct stats *all, const char *metric, const char *help, size_t field)
{
    print_header(metric, "gauge", help);
    for (size_t k = 0; k < all->count; k++)
        for (unsigned i = 0; i < VM_FIGURES_CLASSES; i++) {
            const struct vm_figures_class *c = &all->of[k].f.of_class[i];
            char label[24];
            if (!c->slabs)
                continue;
            snprintf(label, sizeof label, "%" PRIu64, c->block_bytes);
            print_class_sample(&all->of[k], metric, label, *(const uint64_t *)((const char *)c + field));
        }
}

static void print_class_calls(const struct stats *all, const char *metric, const char *help, size_t field)
{
    bool headed = false;

    for (size_t k = 0; k < all->count; k++)
        for (unsigned i = 0; i < VM_COUNTS_CLASSES && all->of[k].counted; i++) {
            const struct counts_class *c = &all->of[k].calls.of[i];
            char label[24] = "large";
            if (c->calls == 0)
                continue;
            if (i > 0)
                snprintf(label, sizeof label, "%" PRIu64, all->of[k].f.of_class[i].block_bytes);
            if (!headed)
                print_header(metric, "counter", help);
            headed = true;
            print_class_sample(&all->of[k], metric, label, *(const uint64_t *)((const char *)c + field));
        }
}

static void print_prometheus(const struct stats *all)
{
    if (all->count == 0)
        return;
#define FIGURE(figure, help) METRIC(all, #figure, "gauge", help, true, st->f.figure);
#include "report/figures.def"
#undef FIGURE
    METRIC(all, "fragmentation_ratio", "gauge", "share of live, freed and kept bytes that is not live", true,
           fragmentation(&st->f));
    METRIC(all, "age_seconds", "gauge", "time since these figures were taken", true, st->age);
    METRIC(all, "process_resident_bytes", "gauge", "resident set of the whole process", st->process.known,
           st->process.rss_bytes);
    METRIC(all, "process_minor_faults_total", "counter", "page faults that read nothing", st->process.known,
           st->process.minor_faults);
    METRIC(all, "process_major_faults_total", "counter", "page faults that read from a disk", st->process.known,
           st->process.major_faults);
#define CLASS(metric, field, help) print_class_metric(all, metric, help, offsetof(struct vm_figures_class, field))
    CLASS("class_slabs", slabs, "slabs of the size class");
    CLASS("class_slab_bytes", slab_bytes, "bytes in slabs of the size class");
    CLASS("class_live_blocks", live_blocks, "blocks of the size class handed out");
    CLASS("class_free_blocks", free_blocks, "freed blocks of the size class");
#undef CLASS
#define TLB(metric, field, help) METRIC(all, metric, "counter", help, st->modelled, st->tlb.field);
    TLB_LIST
#undef TLB
#define CALLS(metric, field, help) METRIC(all, metric, "counter", help, st->counted, st->calls.field);
    CALLS_LIST
#undef CALLS
    METRIC(all, "rounding_ratio", "gauge", "share of the small blocks handed out that was not asked for", st->counted,
           rounding(&st->calls));
    METRIC(all, "peak_live_bytes", "gauge", "live bytes at the peak, as sampled by the program", st->counted,
           st->calls.peak_live);
    print_class_calls(all, "class_calls_total", "blocks of the size class handed out",
                      offsetof(struct counts_class, calls));
    print_class_calls(all, "class_frees_total", "blocks of the size class taken back",
                      offsetof(struct counts_class, frees));
}

/* ---- The command line ---- */

/* The same process twice would be the same sample twice, which Prometheus refuses. */
static bool is_known(const struct stats *all, pid_t pid)
{
    for (size_t i = 0; pid && i < all->count; i++)
        if (all->of[i].pid == pid)
            return true;
    return false;
}

/* What was asked for; status: of the last that failed. */
static int read_each(char **what, int count, bool shared, struct stats *all)
{
    int status = TOOL_OK;

    for (int i = 0; i < count; i++) {
        if (is_known(all, pid_of(what[i])))
            continue;
        struct stat *st = &all->of[all->count];
        *st = (struct stat){.source = ""};
        int failed = read_all(what[i], shared, st);
        if (failed != TOOL_OK)
            status = failed;
        else
            all->count++;
    }
    return status;
}

static void print_texts(const struct stats *all, bool classes)
{
    for (size_t i = 0; i < all->count; i++) {
        if (i > 0)
            putchar('\n');
        print_text(&all->of[i]);
        if (classes)
            print_classes(&all->of[i]);
    }
}

int cmd_stat(int argc, char **argv)
{
    static const struct option options[] = {{"classes", no_argument, NULL, 'c'}, {"shared", no_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},    {"prometheus", no_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},    {0}};
    bool classes = false, shared = false;
    int c, form = 't';

    opterr = 0;
    while ((c = getopt_long(argc, argv, "csjph", options, NULL)) != -1)
        switch (c) {
        case 'c': classes = true; break;
        case 's': shared = true; break;
        case 'j':
        case 'p': form = c; break;
        case 'h': fputs(usage, stdout); return TOOL_OK;
        default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
        }
    int count = argc - optind;
    if (count == 0)
        return tool_usage(name, "no process id or core file given");
    struct stats all = {.of = calloc((size_t)count, sizeof *all.of)};
    if (!all.of)
        return tool_failed(name, "%s", strerror(errno));
    int status = read_each(argv + optind, count, shared, &all);
    if (form == 'p')
        print_prometheus(&all);
    else if (form == 't')
        print_texts(&all, classes);
    else if (count > 1 || all.count > 0)
        print_json(&all, count > 1);
    free(all.of);
    return status;
}

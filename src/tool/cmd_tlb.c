/* vmalloc tlb: what data TLBs make of a program.  This file has the command line and the report on a recorded trace
   (src/sim/tlb_study.h does the work); a running process is cmd_tlb_pid.c's, the processor's own counters are
   cmd_tlb_hardware.c's.  Every report names what it was fed with. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/json.h"
#include "sim/questions.h"
#include "sim/tlb_study.h"
#include "tool/cmd_tlb.h"
#include "tool/command.h"
#include "vm/tlb_host.h"

static const char *const name = "tlb";

static const char usage[] =
    "usage: vmalloc tlb [OPTIONS] TRACE\n"
    "       vmalloc tlb [OPTIONS] PID\n"
    "       vmalloc tlb --hardware [OPTIONS] PID | -- PROGRAM [ARGUMENTS...]\n"
    "\n"
    "What data TLBs make of a recorded program (-: standard input; vmalloc trace, valgrind's lackey, or\n"
    "VMALLOC_OPTIONS=trace=FILE), how far they reach in a running process, or what this processor counted.\n"
    "\n"
    "  -p, --preset NAME|host|all   the processor (default: host, which is zen4 where CPUID does not tell); --list\n"
    "      --eat T,M                times of a look-up and of a memory access for EAT, in any unit (default: 20,100)\n"
    "      --sample[=PAGES]         curves follow at most PAGES pages (8192); much faster for large programs\n"
    "  -c, --classes                PID: every size class, not only the largest ten\n"
    "  -f, --format FORMAT          of the trace: lackey, events, binary (default: by its first line)\n"
    "      --hardware               count with the processor's own counters (perf_event_open)\n"
    "      --seconds N              --hardware PID: for how long (default: 1)\n"
    "  -j, --json                   JSON instead of text\n"
    "      --list                   the presets\n"
    "  -q, --quiet                  no progress on stderr\n"
    "  -h, --help                   this\n";

enum { OPT_EAT = 256, OPT_SAMPLE, OPT_HARDWARE, OPT_SECONDS, OPT_LIST };

#define DEFAULT_SAMPLE 8192
#define CURVE_LEAST 16u
#define CURVE_MOST 65536u
#define REGIONS_SHOWN 16

static const char *const pages_name[VM_SIM_TLB_PAGES] = {"4 KiB", "64 KiB", "2 MiB"};

struct request {
    struct vm_sim_ask ask;
    const struct vm_tlb_config *model[VM_SIM_TLB_MODELS];
    size_t models, sample;
    struct vm_tlb_config host;
    double lookup, memory;
    bool hardware;
    double seconds;
};

/* ---- Arithmetic ---- */

static uint64_t level_hits(const struct vm_tlb_counts *c, unsigned level)
{
    return c->hits[level][VM_TLB_SMALL] + c->hits[level][VM_TLB_LARGE];
}

/* The textbook's, and with the walks as the model's page-walk caches shorten them. */
static double textbook_eat(const struct request *r, const struct vm_tlb_config *config, enum vm_sim_tlb_pages pages,
                           const struct vm_tlb_counts *c)
{
    double h = 1 - tlb_ratio(vm_tlb_total_walks(c), vm_tlb_total_refs(c));

    return vm_tlb_eat_textbook(h, r->lookup, r->memory, vm_sim_tlb_walk_levels(config, pages));
}

static double cached_eat(const struct request *r, const struct vm_tlb_counts *c)
{
    struct vm_tlb_latency latency = {{r->lookup, 0}, r->memory};

    return vm_tlb_eat(c, &latency);
}

static const char *bytes_text(char text[16], uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned u = 0;
    double n = (double)bytes;

    for (; n >= 1024 && u < 4; u++)
        n /= 1024;
    snprintf(text, 16, n < 10 && u ? "%.1f %s" : "%.0f %s", n, unit[u]);
    return text;
}

static uint64_t wasted(const struct vm_sim_tlb_study *s, enum vm_sim_tlb_pages pages)
{
    return vm_sim_tlb_study_touched(s, pages) - vm_sim_tlb_study_touched(s, VM_SIM_TLB_4K);
}

static const char *feed_name(const struct vm_sim_tlb_study *s)
{
    return vm_sim_tlb_study_blocks(s) ? "allocator events: blocks handed out (every page touched once) and taken back"
                                      : "recorded references to data";
}

/* ---- Text ---- */

static void put_models(const struct request *r, const struct vm_sim_tlb_study *s)
{
    FILE *out = r->ask.out;
    struct vm_tlb_counts c;
    char first[16], second[16], of_pages[16], waste[16];

    fprintf(out, "\nIf all pages were of one size:\n%-14s %-7s %9s %9s %8s %8s %10s %9s %9s %9s %9s\n", "processor",
            "pages", "L1 reach", "L2 reach", "L1 hits", "L2 hits", "misses", "EAT", "EAT walk$", "memory", "wasted");
    for (size_t m = 0; m < r->models; m++)
        for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++) {
            if (!vm_sim_tlb_study_counts(s, m, p, &c)) {
                fprintf(out, "%-14s %-7s has no such pages\n", r->model[m]->name, pages_name[p]);
                continue;
            }
            uint64_t refs = vm_tlb_total_refs(&c);
            fprintf(out, "%-14s %-7s %9s %9s %7.2f%% %7.2f%% %9.4f%% %9.1f %9.1f %9s %9s\n", r->model[m]->name,
                    pages_name[p], bytes_text(first, vm_sim_tlb_reach(r->model[m], 1, p)),
                    bytes_text(second, vm_sim_tlb_reach(r->model[m], 2, p)), 100 * tlb_ratio(level_hits(&c, 0), refs),
                    100 * tlb_ratio(level_hits(&c, 1), refs), 100 * tlb_ratio(vm_tlb_total_walks(&c), refs),
                    textbook_eat(r, r->model[m], p, &c), cached_eat(r, &c),
                    bytes_text(of_pages, vm_sim_tlb_study_touched(s, p)), bytes_text(waste, wasted(s, p)));
        }
    fprintf(
        out,
        "As recorded is as 4 KiB: a trace names no page sizes. Wasted: what larger pages add to the 4 KiB pages touched.\n"
        "EAT = h(t + m) + (1 - h)(t + (levels + 1)m), t = %g, m = %g; walk$: with the model's page-walk caches. A figure of\n"
        "the model, not of time: processors overlap walks with work.\n",
        r->lookup, r->memory);
}

static void put_regions(const struct request *r, const struct vm_sim_tlb_study *s)
{
    FILE *out = r->ask.out;
    struct vm_sim_tlb_region *region;
    size_t n = vm_sim_tlb_study_regions(s, &region);
    char text[16];

    fprintf(out, "\nBy region, %s, 4 KiB pages:\n%-36s %-21s %9s %12s %9s %9s\n", r->model[0]->name, "addresses", "",
            "touched", "references", "hits", "misses");
    for (size_t i = 0; i < n && i < REGIONS_SHOWN; i++)
        fprintf(out, "%016" PRIx64 "-%016" PRIx64 "    %-21s %9s %12" PRIu64 " %8.3f%% %8.4f%%\n", region[i].from,
                region[i].to, region[i].name, bytes_text(text, region[i].pages << 12), region[i].use.refs,
                100 - 100 * tlb_ratio(region[i].use.walks, region[i].use.refs),
                100 * tlb_ratio(region[i].use.walks, region[i].use.refs));
    if (n > REGIONS_SHOWN)
        fprintf(out, "and %zu more (--json has all)\n", n - REGIONS_SHOWN);
    free(region);
}

static void put_classes(const struct request *r, const struct vm_sim_tlb_study *s)
{
    FILE *out = r->ask.out;
    char text[16];

    if (vm_sim_tlb_study_blocks(s) == 0)
        return;
    fprintf(out, "\nBy size of block, %s, 4 KiB pages:\n%-12s %12s %9s %9s\n", r->model[0]->name, "up to", "references",
            "hits", "misses");
    for (unsigned k = 0; k < VM_SIM_TLB_CLASSES; k++) {
        struct vm_sim_tlb_use use = vm_sim_tlb_study_class(s, k);
        if (use.refs)
            fprintf(out, "%-12s %12" PRIu64 " %8.3f%% %8.4f%%\n", bytes_text(text, (uint64_t)1 << k), use.refs,
                    100 - 100 * tlb_ratio(use.walks, use.refs), 100 * tlb_ratio(use.walks, use.refs));
    }
}

static void put_curves(const struct request *r, const struct vm_sim_tlb_study *s)
{
    FILE *out = r->ask.out;
    struct vm_sim_curve curve[VM_SIM_TLB_PAGES];

    fprintf(out, "\nMisses by number of entries, fully associative, LRU%s:\n%-8s", r->sample ? " (sampled)" : "",
            "entries");
    for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++) {
        curve[p] = vm_sim_tlb_study_curve(s, p);
        fprintf(out, " %11s", pages_name[p]);
    }
    putc('\n', out);
    for (unsigned n = CURVE_LEAST; n <= CURVE_MOST; n *= 2) {
        fprintf(out, "%-8u", n);
        for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++)
            fprintf(out, " %10.4f%%", 100 * tlb_ratio(vm_sim_curve_misses(&curve[p], n), curve[p].refs));
        putc('\n', out);
        if (n >= curve[0].distinct)
            break; /* only first touches are left */
    }
    for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++)
        vm_sim_curve_free(&curve[p]);
}

static void put_text(const struct request *r, const struct vm_sim_tlb_study *s)
{
    char text[16];

    fprintf(r->ask.out, "%s\nfed with %s: %" PRIu64 " references", r->ask.trace, feed_name(s),
            vm_sim_tlb_study_refs(s));
    if (vm_sim_tlb_study_blocks(s))
        fprintf(r->ask.out, ", %" PRIu64 " blocks", vm_sim_tlb_study_blocks(s));
    fprintf(r->ask.out, ", %s touched\n", bytes_text(text, vm_sim_tlb_study_touched(s, VM_SIM_TLB_4K)));
    put_models(r, s);
    put_regions(r, s);
    put_classes(r, s);
    put_curves(r, s);
}

/* ---- JSON ---- */

static void json_use(struct vm_sim_json *j, struct vm_sim_tlb_use use)
{
    vm_sim_json_number(j, "references", use.refs);
    vm_sim_json_number(j, "misses", use.walks);
    vm_sim_json_double(j, "miss_ratio", tlb_ratio(use.walks, use.refs));
}

static void json_model(struct vm_sim_json *j, const struct request *r, const struct vm_sim_tlb_study *s, size_t m,
                       enum vm_sim_tlb_pages p)
{
    struct vm_tlb_counts c;

    if (!vm_sim_tlb_study_counts(s, m, p, &c))
        return;
    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_string(j, "processor", r->model[m]->name);
    vm_sim_json_number(j, "page_bytes", (uint64_t)1 << vm_sim_tlb_study_shift(p));
    vm_sim_json_number(j, "l1_reach_bytes", vm_sim_tlb_reach(r->model[m], 1, p));
    vm_sim_json_number(j, "l2_reach_bytes", vm_sim_tlb_reach(r->model[m], 2, p));
    vm_sim_json_number(j, "references", vm_tlb_total_refs(&c));
    vm_sim_json_number(j, "l1_hits", level_hits(&c, 0));
    vm_sim_json_number(j, "l2_hits", level_hits(&c, 1));
    vm_sim_json_number(j, "misses", vm_tlb_total_walks(&c));
    vm_sim_json_number(j, "table_entries_read", c.walk_reads);
    vm_sim_json_double(j, "miss_ratio", tlb_ratio(vm_tlb_total_walks(&c), vm_tlb_total_refs(&c)));
    vm_sim_json_double(j, "eat", textbook_eat(r, r->model[m], p, &c));
    vm_sim_json_double(j, "eat_with_walk_caches", cached_eat(r, &c));
    vm_sim_json_number(j, "memory_bytes", vm_sim_tlb_study_touched(s, p));
    vm_sim_json_number(j, "wasted_bytes", wasted(s, p));
    vm_sim_json_end(j, '}');
}

static void json_regions(struct vm_sim_json *j, const struct vm_sim_tlb_study *s)
{
    struct vm_sim_tlb_region *region;
    size_t n = vm_sim_tlb_study_regions(s, &region);

    vm_sim_json_begin(j, "regions", '[');
    for (size_t i = 0; i < n; i++) {
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_hex(j, "from", region[i].from);
        vm_sim_json_hex(j, "to", region[i].to);
        vm_sim_json_string(j, "name", region[i].name);
        vm_sim_json_number(j, "touched_bytes", region[i].pages << 12);
        json_use(j, region[i].use);
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
    free(region);
}

static void json_classes(struct vm_sim_json *j, const struct vm_sim_tlb_study *s)
{
    vm_sim_json_begin(j, "block_sizes", '[');
    for (unsigned k = 0; k < VM_SIM_TLB_CLASSES; k++) {
        struct vm_sim_tlb_use use = vm_sim_tlb_study_class(s, k);
        if (!use.refs)
            continue;
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_number(j, "up_to_bytes", (uint64_t)1 << k);
        json_use(j, use);
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
}

static void json_curves(struct vm_sim_json *j, const struct vm_sim_tlb_study *s)
{
    vm_sim_json_begin(j, "curves", '[');
    for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++) {
        struct vm_sim_curve curve = vm_sim_tlb_study_curve(s, p);
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_number(j, "page_bytes", (uint64_t)1 << vm_sim_tlb_study_shift(p));
        vm_sim_json_number(j, "references", curve.refs);
        vm_sim_json_begin(j, "points", '[');
        for (unsigned n = CURVE_LEAST; n <= CURVE_MOST; n *= 2) {
            vm_sim_json_begin(j, NULL, '{');
            vm_sim_json_number(j, "entries", n);
            vm_sim_json_double(j, "miss_ratio", tlb_ratio(vm_sim_curve_misses(&curve, n), curve.refs));
            vm_sim_json_end(j, '}');
        }
        vm_sim_json_end(j, ']');
        vm_sim_json_end(j, '}');
        vm_sim_curve_free(&curve);
    }
    vm_sim_json_end(j, ']');
}

static void put_json(const struct request *r, const struct vm_sim_tlb_study *s)
{
    struct vm_sim_json j = {.out = r->ask.out};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_string(&j, "trace", r->ask.trace);
    vm_sim_json_string(&j, "feed", feed_name(s));
    vm_sim_json_number(&j, "references", vm_sim_tlb_study_refs(s));
    vm_sim_json_number(&j, "blocks", vm_sim_tlb_study_blocks(s));
    vm_sim_json_double(&j, "eat_lookup", r->lookup);
    vm_sim_json_double(&j, "eat_memory", r->memory);
    vm_sim_json_begin(&j, "what_if", '[');
    for (size_t m = 0; m < r->models; m++)
        for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++)
            json_model(&j, r, s, m, p);
    vm_sim_json_end(&j, ']');
    json_regions(&j, s);
    json_classes(&j, s);
    json_curves(&j, s);
    vm_sim_json_end(&j, '}');
}

/* ---- The command line ---- */

static void study_item(void *ctx, const struct vm_sim_item *item) { vm_sim_tlb_study_item(ctx, item); }

static int study(const struct request *r)
{
    struct vm_sim_message message = {""};
    struct vm_sim_tlb_study *s = vm_sim_tlb_study_new(r->model, r->models, r->sample);
    int status = TOOL_OK;

    if (vm_sim_each_item(&r->ask, study_item, s, &message) < 0)
        status = tool_failed(name, "%s", message.text);
    else if (vm_sim_tlb_study_refs(s) == 0)
        status = tool_failed(name, "%s: the trace has no references to memory", r->ask.trace);
    else if (r->ask.json)
        put_json(r, s);
    else
        put_text(r, s);
    vm_sim_tlb_study_free(s);
    return status;
}

static int take_preset(struct request *r, const char *preset)
{
    r->models = 0;
    if (strcmp(preset, "host") == 0) {
        if (vm_tlb_host(&r->host) != 0)
            return tool_failed(name, "this processor does not tell its TLBs (CPUID); name a preset");
        r->model[r->models++] = &r->host;
    } else if (strcmp(preset, "all") == 0) {
        for (const struct vm_tlb_config *c = vm_tlb_presets; c->name && r->models < VM_SIM_TLB_MODELS; c++)
            r->model[r->models++] = c;
    } else if (vm_tlb_preset(preset)) {
        r->model[r->models++] = vm_tlb_preset(preset);
    } else {
        return tool_usage(name, "there is no processor '%s'", preset);
    }
    return TOOL_OK;
}

static int take_eat(struct request *r, const char *text)
{
    char *end;

    r->lookup = strtod(text, &end);
    if (end != text && *end == ',') {
        text = end + 1;
        r->memory = strtod(text, &end);
        if (end != text && *end == '\0' && r->lookup >= 0 && r->memory > 0 && r->lookup < 1e9 && r->memory < 1e9)
            return TOOL_OK;
    }
    return tool_usage(name, "--eat takes two numbers with a comma, like 20,100");
}

static int take_sample(struct request *r, const char *text)
{
    const char *end;

    r->sample = DEFAULT_SAMPLE;
    if (text && (!(end = tool_number(text, &r->sample)) || *end))
        return tool_usage(name, "--sample takes a number of pages, not '%s'", text);
    return TOOL_OK;
}

static int take_seconds(struct request *r, const char *text)
{
    char *end;

    r->seconds = strtod(text, &end);
    if (end == text || *end || !(r->seconds > 0 && r->seconds < 1e6))
        return tool_usage(name, "--seconds takes a number above 0, not '%s'", text);
    return TOOL_OK;
}

static bool is_pid(const char *text) { return *text != '\0' && text[strspn(text, "0123456789")] == '\0'; }

/* One trace; or with --hardware a pid or a program with its arguments. */
static int take_arguments(struct request *r, int argc, char **argv)
{
    if (argc == 0)
        return tool_usage(name, r->hardware ? "no process and no program given" : "no trace and no process id given");
    if (r->hardware)
        return tlb_hardware(argv, argc == 1 && is_pid(argv[0]), r->seconds, r->ask.json);
    if (argc > 1)
        return tool_usage(name, "'%s' is one trace too many", argv[1]);
    r->ask.trace = argv[0];
    return study(r);
}

static int list_presets(void)
{
    for (const struct vm_tlb_config *c = vm_tlb_presets; c->name; c++)
        printf("%-16s %s\n", c->name, c->title);
    printf("%-16s %s\n", "host", "this processor, by CPUID");
    return TOOL_OK;
}

static int take_option(struct request *r, int c, char **argv)
{
    int format;

    switch (c) {
    case 'p': return take_preset(r, optarg);
    case OPT_EAT: return take_eat(r, optarg);
    case OPT_SAMPLE: return take_sample(r, optarg);
    case 'j': r->ask.json = true; return TOOL_OK;
    case OPT_HARDWARE: r->hardware = true; return TOOL_OK;
    case OPT_SECONDS: return take_seconds(r, optarg);
    case 'q': r->ask.progress = false; return TOOL_OK;
    case 'f':
        if ((format = vm_sim_trace_format_of(optarg)) < 0)
            return tool_usage(name, "--format takes lackey, events or binary, not '%s'", optarg);
        r->ask.format = (enum vm_sim_trace_format)format;
        return TOOL_OK;
    case ':': return tool_usage(name, "%s needs an argument", argv[optind - 1]);
    default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
    }
}

/* Is what follows this argument its value? */
static bool takes_value(const char *text)
{
    static const char *const options[] = {"-p", "--preset", "-f", "--format", "--eat", "--seconds"};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strcmp(text, options[i]) == 0)
            return true;
    return false;
}

/* A number that is no option's, and no --hardware: a running process. */
static bool is_of_process(int argc, char **argv)
{
    bool found = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--hardware") == 0)
            return false;
        found = found || (is_pid(argv[i]) && !takes_value(argv[i - 1]));
    }
    return found;
}

int cmd_tlb(int argc, char **argv)
{
    static const struct option option[] = {
        {"preset", required_argument, NULL, 'p'},
        {"eat", required_argument, NULL, OPT_EAT},
        {"sample", optional_argument, NULL, OPT_SAMPLE},
        {"format", required_argument, NULL, 'f'},
        {"hardware", no_argument, NULL, OPT_HARDWARE},
        {"seconds", required_argument, NULL, OPT_SECONDS},
        {"json", no_argument, NULL, 'j'},
        {"list", no_argument, NULL, OPT_LIST},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct request r = {.ask = {.out = stdout, .progress = isatty(STDERR_FILENO)},
                        .lookup = TLB_LOOKUP,
                        .memory = TLB_MEMORY,
                        .seconds = 1};
    int c, status;

    if (is_of_process(argc, argv))
        return cmd_tlb_pid(argc, argv);
    r.model[r.models++] = vm_tlb_host(&r.host) == 0 ? &r.host : vm_tlb_preset("zen4");
    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:f:p:jqh", option, NULL)) != -1) {
        if (c == OPT_LIST)
            return list_presets();
        if (c == 'h') {
            fputs(usage, stdout);
            return TOOL_OK;
        }
        if ((status = take_option(&r, c, argv)) != TOOL_OK)
            return status;
    }
    return take_arguments(&r, argc - optind, argv + optind);
}

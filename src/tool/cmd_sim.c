/* vmalloc sim: the simulated machine.  This file has the command line: plays a trace or a script on a machine, or asks a
   question.  src/sim does the work. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/log.h"
#include "sim/pictures.h"
#include "sim/report.h"
#include "sim/script.h"
#include "sim/what_if.h"
#include "tool/command.h"

static const char *const name = "sim";

static const char usage[] =
    "usage: vmalloc sim [OPTIONS] TRACE\n"
    "       vmalloc sim [OPTIONS] --script FILE\n"
    "\n"
    "Plays TRACE (-: standard input) on a simulated machine, or answers a question about it. A trace is output of\n"
    "valgrind's lackey or of strace -f, allocation events, or what vmalloc trace wrote.\n"
    "\n"
    "Machine:\n"
    "  -m, --machine NAME|FILE      a preset or a description (default: x86_64; --list)\n"
    "  -s, --set KEY=VALUE          change it: memory=64M, levels=5, page=2M, tlb=zen4, policy=lru, swap=1G ...\n"
    "\n"
    "Questions:\n"
    "      --mrc                    faults against memory, for every size in one pass, pages of 4K and 2M\n"
    "      --min-memory RATE        the smallest memory with at most RATE faults a reference (0.001, 0.1%)\n"
    "      --compare-policies       faults of two-list, fifo, clock, lru and the optimum\n"
    "      --what-if KEY=VALUE...   the machine as it is and changed: TLB misses, EAT, tables, faults, memory\n"
    "      --fork-cost              what the forks of the trace copy, or one in its middle\n"
    "\n"
    "Options:\n"
    "      --script FILE            run a script (-: standard input); vmalloc-sim(1) has the language\n"
    "      --report NAME[,NAME...]  at the end: summary, processes, buddyinfo, zoneinfo, slabinfo, vmstat, swaps, maps,\n"
    "                               smaps, segments (default: summary,processes)\n"
    "      --log[=EVENT,...]        every event, or some: faults, walks, frames, slabs, reclaim, tlb, processes, segments\n"
    "      --html FILE              a page of pictures: frames, buddy blocks, residency; with --mrc the curves\n"
    "      --log-limit N            at most N lines of it\n"
    "      --sample[=PAGES]         --mrc, --min-memory: follow at most PAGES pages (8192); much faster\n"
    "      --frames N[,N...]        --compare-policies: sizes of memory in frames of 4K\n"
    "  -f, --format FORMAT          lackey, strace, events, binary (default: by the first line)\n"
    "      --json                   JSON instead of text\n"
    "      --list                   the presets\n"
    "  -q, --quiet                  no progress on stderr\n"
    "  -h, --help                   this\n";

enum question { ASK_NOTHING, ASK_MRC, ASK_MIN_MEMORY, ASK_POLICIES, ASK_WHAT_IF, ASK_FORK_COST };

enum {
    OPT_MRC = 256,
    OPT_MIN_MEMORY,
    OPT_POLICIES,
    OPT_WHAT_IF,
    OPT_FORK_COST,
    OPT_REPORT,
    OPT_LOG,
    OPT_LOG_LIMIT,
    OPT_SAMPLE,
    OPT_FRAMES,
    OPT_JSON,
    OPT_LIST,
    OPT_SCRIPT,
    OPT_HTML
};

#define DEFAULT_SAMPLE 8192
#define FRAMES_MAX 64
#define CHANGES_MAX 64

struct request {
    struct vm_sim_ask ask;
    enum question question;
    double ratio;
    size_t sample;
    uint64_t frames[FRAMES_MAX];
    size_t sizes;
    const char *set[CHANGES_MAX + 1], *change[CHANGES_MAX + 1]; /* NULL at the end */
    size_t sets, changes;
    const char *report, *script, *html;
    uint32_t log_mask; /* 0: no log */
    struct vm_sim_log log;
};

static int parse_ratio(const char *text, double *ratio)
{
    char *end;

    *ratio = strtod(text, &end);
    if (end != text && *end == '%') {
        *ratio /= 100;
        end++;
    }
    return end == text || *end || !(*ratio >= 0 && *ratio <= 1) ? -EINVAL : 0;
}

static int parse_frames(struct request *r, const char *text)
{
    const char *end;

    for (r->sizes = 0;; text = end + 1) {
        if (r->sizes == FRAMES_MAX || !(end = tool_number(text, &r->frames[r->sizes])))
            return -EINVAL;
        r->sizes++;
        if (*end != ',')
            return *end ? -EINVAL : 0;
    }
}

static int set_question(struct request *r, enum question question)
{
    if (r->question != ASK_NOTHING)
        return tool_usage(name, "one question at a time");
    r->question = question;
    return TOOL_OK;
}

static int take_change(struct request *r, const char *text)
{
    if (r->changes == CHANGES_MAX || !strchr(text, '='))
        return tool_usage(name, "--what-if takes KEY=VALUE, %d at most, not '%s'", CHANGES_MAX, text);
    r->change[r->changes++] = text;
    return TOOL_OK;
}

static int check_report(const char *names)
{
    for (const char *p = names;; p++) {
        size_t length = strcspn(p, ",");
        if (!vm_sim_report(NULL, NULL, p, length))
            return tool_usage(name, "--report: there is no '%.*s'", (int)length, p);
        p += length;
        if (!*p)
            return TOOL_OK;
    }
}

/* TOOL_OK, or the status to end with. */
static int take_option(struct request *r, int c, char **argv)
{
    uint64_t n = DEFAULT_SAMPLE;
    const char *end;
    int format;

    switch (c) {
    case OPT_MRC: return set_question(r, ASK_MRC);
    case OPT_POLICIES: return set_question(r, ASK_POLICIES);
    case OPT_MIN_MEMORY:
        if (parse_ratio(optarg, &r->ratio) != 0)
            return tool_usage(name, "--min-memory takes a rate from 0 to 1 or 0%% to 100%%, not '%s'", optarg);
        return set_question(r, ASK_MIN_MEMORY);
    case OPT_WHAT_IF: return take_change(r, optarg) == TOOL_OK ? set_question(r, ASK_WHAT_IF) : TOOL_USAGE;
    case OPT_FORK_COST: return set_question(r, ASK_FORK_COST);
    case OPT_HTML: r->html = optarg; return TOOL_OK;
    case OPT_SCRIPT: r->script = optarg; return TOOL_OK;
    case OPT_REPORT: r->report = optarg; return check_report(optarg);
    case OPT_LOG:
        if (!(r->log_mask = vm_sim_log_mask(optarg ? optarg : "all")))
            return tool_usage(name, "--log takes names of events with commas, not '%s'", optarg);
        return TOOL_OK;
    case OPT_LOG_LIMIT:
        if (!(end = tool_number(optarg, &r->log.limit)) || *end)
            return tool_usage(name, "--log-limit takes a number of lines, not '%s'", optarg);
        return TOOL_OK;
    case 'm': r->ask.machine = optarg; return TOOL_OK;
    case 's':
        if (r->sets == CHANGES_MAX || !strchr(optarg, '='))
            return tool_usage(name, "--set takes KEY=VALUE, %d at most, not '%s'", CHANGES_MAX, optarg);
        r->set[r->sets++] = optarg;
        return TOOL_OK;
    case OPT_SAMPLE:
        if (optarg && (!(end = tool_number(optarg, &n)) || *end))
            return tool_usage(name, "--sample takes a number of pages, not '%s'", optarg);
        r->sample = n;
        return TOOL_OK;
    case OPT_FRAMES:
        if (parse_frames(r, optarg) != 0)
            return tool_usage(name, "--frames takes up to %d numbers with commas, not '%s'", FRAMES_MAX, optarg);
        return TOOL_OK;
    case OPT_JSON: r->ask.json = true; return TOOL_OK;
    case 'f':
        if ((format = vm_sim_trace_format_of(optarg)) < 0)
            return tool_usage(name, "--format takes lackey, strace, events or binary, not '%s'", optarg);
        r->ask.format = (enum vm_sim_trace_format)format;
        return TOOL_OK;
    case 'q': r->ask.progress = false; return TOOL_OK;
    case ':': return tool_usage(name, "%s needs an argument", argv[optind - 1]);
    default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
    }
}

static int list_presets(void)
{
    const char *preset;

    for (unsigned i = 0; (preset = vm_sim_config_preset_name(i)); i++)
        puts(preset);
    return TOOL_OK;
}

/* The log, if there is one, before the reports. */
static void listen(struct request *r, struct vm_sim_machine *m)
{
    r->log.out = r->ask.out;
    r->log.json = r->ask.json;
    if (r->log_mask)
        vm_sim_machine_listen(m, vm_sim_log_event, &r->log, r->log_mask);
}

static void put_reports(const struct request *r, const struct vm_sim_machine *m)
{
    const char *names = r->report ? r->report : "summary,processes";

    if (r->ask.json) {
        vm_sim_report_json(r->ask.out, m);
        return;
    }
    for (const char *p = names; *p; p += *p == ',') {
        size_t length = strcspn(p, ",");
        vm_sim_report(r->ask.out, m, p, length);
        p += length;
    }
}

static void put_player(FILE *out, const struct vm_sim_player_stats *s)
{
    fprintf(
        out,
        "trace        %llu references, %llu given up; %llu pages mapped at their first touch, %llu calls refused, %llu forks\n",
        (unsigned long long)s->refs, (unsigned long long)s->failed, (unsigned long long)s->mapped,
        (unsigned long long)s->refused, (unsigned long long)s->forks);
}

/* m may be NULL.  0, or -errno and the message. */
static int put_html(const struct request *r, const struct vm_sim_machine *m, const struct vm_sim_curve *curve,
                    size_t curves, struct vm_sim_message *message)
{
    FILE *out = r->html ? fopen(r->html, "we") : NULL;

    if (!r->html)
        return 0;
    if (out)
        vm_sim_html(out, m, curve, curves);
    bool bad = !out || ferror(out);
    if ((out && fclose(out) != 0) || bad) {
        snprintf(message->text, sizeof message->text, "%.180s: %s", r->html, strerror(errno));
        return -EIO;
    }
    return 0;
}

static int curves_html(const struct request *r, struct vm_sim_message *message)
{
    struct vm_sim_curve curve[2];
    int error = r->html ? vm_sim_mrc_curves(&r->ask, r->sample, curve, message) : 0;

    if (!r->html || error)
        return error;
    error = put_html(r, NULL, curve, 2, message);
    vm_sim_curve_free(&curve[0]);
    vm_sim_curve_free(&curve[1]);
    return error;
}

static int play(struct request *r, struct vm_sim_message *message)
{
    struct vm_sim_machine *m = vm_sim_ask_machine(&r->ask, NULL, message);
    struct vm_sim_player_stats stats;

    if (!m)
        return -EINVAL;
    listen(r, m);
    int error = vm_sim_play(&r->ask, m, &stats, message);
    vm_sim_log_end(&r->log);
    if (!error) {
        if (!r->ask.json)
            put_player(r->ask.out, &stats);
        put_reports(r, m);
        error = put_html(r, m, NULL, 0, message);
    }
    vm_sim_machine_free(m);
    return error;
}

/* The machine is the script's own, or the one of the command line. */
static int run_script(struct request *r, struct vm_sim_message *message)
{
    bool is_stdin = strcmp(r->script, "-") == 0;
    FILE *in = is_stdin ? stdin : fopen(r->script, "re");
    struct vm_sim_machine *m = NULL;
    int error = 0;

    if (!in) {
        snprintf(message->text, sizeof message->text, "%.180s: %s", r->script, strerror(errno));
        return -errno;
    }
    if (r->ask.machine && !(m = vm_sim_ask_machine(&r->ask, NULL, message)))
        error = -EINVAL;
    if (m)
        listen(r, m);
    if (!error)
        error = vm_sim_script_run(&m, is_stdin ? "standard input" : r->script, in, r->ask.out, r->set, message);
    vm_sim_log_end(&r->log);
    if (!error && m && (r->report || r->ask.json))
        put_reports(r, m);
    if (!error)
        error = put_html(r, m, NULL, 0, message);
    vm_sim_machine_free(m);
    if (!is_stdin)
        fclose(in);
    return error;
}

static int answer(struct request *r)
{
    struct vm_sim_message message = {""};
    int error = 0;

    switch (r->question) {
    case ASK_NOTHING: error = r->script ? run_script(r, &message) : play(r, &message); break;
    case ASK_MRC:
        if ((error = vm_sim_ask_mrc(&r->ask, r->sample, &message)) == 0)
            error = curves_html(r, &message);
        break;
    case ASK_MIN_MEMORY: error = vm_sim_ask_min_memory(&r->ask, r->ratio, r->sample, &message); break;
    case ASK_POLICIES: error = vm_sim_ask_policies(&r->ask, r->frames, r->sizes, &message); break;
    case ASK_WHAT_IF: error = vm_sim_ask_what_if(&r->ask, r->change, &message); break;
    case ASK_FORK_COST: error = vm_sim_ask_fork_cost(&r->ask, &message); break;
    }
    return error ? tool_failed(name, "%s", message.text) : TOOL_OK;
}

int cmd_sim(int argc, char **argv)
{
    static const struct option option[] = {
        {"mrc", no_argument, NULL, OPT_MRC},
        {"min-memory", required_argument, NULL, OPT_MIN_MEMORY},
        {"compare-policies", no_argument, NULL, OPT_POLICIES},
        {"what-if", required_argument, NULL, OPT_WHAT_IF},
        {"fork-cost", no_argument, NULL, OPT_FORK_COST},
        {"machine", required_argument, NULL, 'm'},
        {"set", required_argument, NULL, 's'},
        {"report", required_argument, NULL, OPT_REPORT},
        {"log", optional_argument, NULL, OPT_LOG},
        {"log-limit", required_argument, NULL, OPT_LOG_LIMIT},
        {"script", required_argument, NULL, OPT_SCRIPT},
        {"html", required_argument, NULL, OPT_HTML},
        {"list", no_argument, NULL, OPT_LIST},
        {"sample", optional_argument, NULL, OPT_SAMPLE},
        {"frames", required_argument, NULL, OPT_FRAMES},
        {"format", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, OPT_JSON},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct request r = {.ask = {.out = stdout, .progress = isatty(STDERR_FILENO)}};
    int c, status;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":f:m:s:qh", option, NULL)) != -1) {
        if (c == OPT_LIST)
            return list_presets();
        if (c == 'h') {
            fputs(usage, stdout);
            return TOOL_OK;
        }
        if ((status = take_option(&r, c, argv)) != TOOL_OK)
            return status;
    }
    r.ask.set = r.set;
    for (; optind < argc; optind++) {
        if (r.question == ASK_WHAT_IF && strchr(argv[optind], '=') && !strchr(argv[optind], '/')) {
            if ((status = take_change(&r, argv[optind])) != TOOL_OK)
                return status;
        } else if (r.ask.trace) {
            return tool_usage(name, "'%s' is one trace too many", argv[optind]);
        } else {
            r.ask.trace = argv[optind];
        }
    }
    if (r.script && (r.ask.trace || r.question != ASK_NOTHING))
        return tool_usage(name, "a script takes no trace and no question");
    if (!r.ask.trace && !r.script)
        return tool_usage(name, "no trace and no script given");
    return answer(&r);
}

/* vmalloc sim: questions to a trace, answered by src/sim.  This file has the command line. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/questions.h"
#include "tool/command.h"

static const char *const name = "sim";

static const char usage[] =
    "usage: vmalloc sim [OPTIONS] TRACE\n"
    "\n"
    "TRACE (-: standard input) is a recorded program: output of valgrind's lackey or of strace -f, allocation events,\n"
    "or what vmalloc trace wrote.\n"
    "\n"
    "Questions:\n"
    "      --mrc                    faults against memory, for every size in one pass, pages of 4K and 2M\n"
    "      --min-memory RATE        the smallest memory with at most RATE faults a reference (0.001, 0.1%)\n"
    "      --compare-policies       faults of two-list, fifo, clock, lru and the optimum\n"
    "\n"
    "Options:\n"
    "      --sample[=PAGES]         --mrc, --min-memory: follow at most PAGES pages (8192); much faster\n"
    "      --frames N[,N...]        --compare-policies: sizes of memory in frames of 4K\n"
    "  -f, --format FORMAT          lackey, strace, events, binary (default: by the first line)\n"
    "      --json                   JSON instead of text\n"
    "  -q, --quiet                  no progress on stderr\n"
    "  -h, --help                   this\n";

enum question { ASK_NOTHING, ASK_MRC, ASK_MIN_MEMORY, ASK_POLICIES };

enum { OPT_MRC = 256, OPT_MIN_MEMORY, OPT_POLICIES, OPT_SAMPLE, OPT_FRAMES, OPT_JSON };

#define DEFAULT_SAMPLE 8192
#define FRAMES_MAX 64

struct request {
    struct vm_sim_ask ask;
    enum question question;
    double ratio;
    size_t sample;
    uint64_t frames[FRAMES_MAX];
    size_t sizes;
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

static int parse_number(const char *text, char **end, uint64_t *n)
{
    errno = 0;
    *n = strtoull(text, end, 0);
    return *end == text || errno || *text == '-' || *n == 0 ? -EINVAL : 0;
}

static int parse_frames(struct request *r, const char *text)
{
    char *end;

    for (r->sizes = 0;; text = end + 1) {
        if (r->sizes == FRAMES_MAX || parse_number(text, &end, &r->frames[r->sizes]) != 0)
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

/* TOOL_OK, or the status to end with. */
static int take_option(struct request *r, int c, char **argv)
{
    uint64_t n = DEFAULT_SAMPLE;
    char *end = "";
    int format;

    switch (c) {
    case OPT_MRC: return set_question(r, ASK_MRC);
    case OPT_POLICIES: return set_question(r, ASK_POLICIES);
    case OPT_MIN_MEMORY:
        if (parse_ratio(optarg, &r->ratio) != 0)
            return tool_usage(name, "--min-memory takes a rate from 0 to 1 or 0%% to 100%%, not '%s'", optarg);
        return set_question(r, ASK_MIN_MEMORY);
    case OPT_SAMPLE:
        if (optarg && (parse_number(optarg, &end, &n) != 0 || *end))
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

static int answer(const struct request *r)
{
    struct vm_sim_message message = {""};
    int error = 0;

    switch (r->question) {
    case ASK_NOTHING: return tool_usage(name, "no question asked");
    case ASK_MRC: error = vm_sim_ask_mrc(&r->ask, r->sample, &message); break;
    case ASK_MIN_MEMORY: error = vm_sim_ask_min_memory(&r->ask, r->ratio, r->sample, &message); break;
    case ASK_POLICIES: error = vm_sim_ask_policies(&r->ask, r->frames, r->sizes, &message); break;
    }
    return error ? tool_failed(name, "%s", message.text) : TOOL_OK;
}

int cmd_sim(int argc, char **argv)
{
    static const struct option option[] = {
        {"mrc", no_argument, NULL, OPT_MRC},
        {"min-memory", required_argument, NULL, OPT_MIN_MEMORY},
        {"compare-policies", no_argument, NULL, OPT_POLICIES},
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
    while ((c = getopt_long(argc, argv, ":f:qh", option, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            return TOOL_OK;
        }
        if ((status = take_option(&r, c, argv)) != TOOL_OK)
            return status;
    }
    if (optind == argc)
        return tool_usage(name, "no trace given");
    if (optind + 1 < argc)
        return tool_usage(name, "'%s' is one trace too many", argv[optind + 1]);
    r.ask.trace = argv[optind];
    return answer(&r);
}

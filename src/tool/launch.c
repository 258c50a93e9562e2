/* vmalloc-launch: runs one program and says afterwards what it used. scripts/run starts it; it is not installed.

   usage: vmalloc-launch [--preload LIB] [--stats] [--json FILE] [--no-counts] [--] PROGRAM [ARGS...]
     --preload LIB  put LIB in front of LD_PRELOAD; without it the program runs on whatever malloc it has
     --stats        a summary on stderr at the end
     --json FILE    the same figures as JSON, one a line
     --no-counts    leave calls and live bytes out: counting takes some time, so times want this

   The program must not notice: it gets our standard streams, signal dispositions and signal mask; signals sent to us
   are sent on to it; when it stops we stop, when it dies of a signal we die of the same one, else its exit status is
   ours. 127 and 126 mean, as in a shell, that PROGRAM was not found or could not be executed; 125 that we failed.

   It is linked statically and allocates nothing of its own, because the kernel counts the pages of the process that
   calls exec in the new program's peak RSS. One thread, no locks. */
#include "tool/attend.h"
#include "tool/counts.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_OURS = 125,
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127,
};

/* What the command line asks for. */
struct request {
    const char *preload; /* NULL: none */
    const char *json;    /* NULL: none */
    bool summary;
    bool counts; /* of calls and live bytes, where there is a summary or JSON */
    char **argv; /* the program and its arguments */
};

/* How the program ended, from wait4() and the clock. */
struct outcome {
    int status;
    struct rusage usage;
    double seconds;
    const struct vm_counts_file *stats; /* NULL: not asked for or no room for the file */
    struct counts_sum sum;              /* of what is in it */
};

static const char *self = "vmalloc-launch";

static void fail(const char *what, const char *why)
{
    dprintf(STDERR_FILENO, "%s: %s: %s\n", self, what, why);
    exit(EXIT_OURS);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

/* ---- Afterwards ---- */

static bool have_counts(const struct outcome *outcome)
{
    return outcome->stats != NULL && counts_good(outcome->stats, VM_COUNTS_BYTES);
}

/* Decimal with a comma every three digits; BUFFER holds 27 characters. */
static const char *grouped(uint64_t number, char buffer[static 27])
{
    char *at = buffer + 26;
    int digits = 0;

    *at = '\0';
    do {
        if (digits != 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + number % 10);
        number /= 10;
        digits++;
    } while (number != 0);
    return at;
}

/* Bytes in KiB below 10 MiB and in MiB from there. */
static const char *bytes_text(uint64_t bytes, char buffer[static 40])
{
    const double kib = (double)bytes / 1024;
    if (kib < 10240)
        snprintf(buffer, 40, "%.0f KiB", kib);
    else
        snprintf(buffer, 40, "%.1f MiB", kib / 1024);
    return buffer;
}

/* What was live is known at exit, and from time to time before. */
static void print_counts(const struct counts_sum *sum)
{
    char all[27], mallocs[27], frees[27], reallocs[27], live[40];

    dprintf(STDERR_FILENO, "libvmalloc: calls      %s (malloc %s, free %s%s, realloc %s)\n",
            grouped(sum->calls + sum->frees + sum->reallocs, all), grouped(sum->calls, mallocs),
            sum->ended ? "" : "about ", grouped(sum->frees, frees), grouped(sum->reallocs, reallocs));
    dprintf(STDERR_FILENO, "libvmalloc: peak live  %s\n", bytes_text(sum->peak_live, live));
    if (sum->processes > 1)
        dprintf(STDERR_FILENO,
                "libvmalloc: processes  %" PRIu64 " (calls are sums over them, peak live is the largest one's)\n",
                sum->processes);
}

static void print_summary(const struct request *request, const struct outcome *outcome)
{
    const struct rusage *usage = &outcome->usage;
    char rss[40], minor[27], major[27];

    if (have_counts(outcome))
        print_counts(&outcome->sum);
    else if (request->preload == NULL || !request->counts)
        dprintf(STDERR_FILENO, "libvmalloc: calls      allocation counts not available (not asked for)\n");
    else if (outcome->stats == NULL)
        dprintf(STDERR_FILENO, "libvmalloc: calls      allocation counts not available (no room for their file)\n");
    else
        dprintf(STDERR_FILENO, "libvmalloc: calls      allocation counts not available (the program did not load "
                               "libvmalloc: is it static or set-uid?)\n");
    dprintf(STDERR_FILENO, "libvmalloc: peak RSS   %s\n", bytes_text((uint64_t)usage->ru_maxrss * 1024, rss));
    dprintf(STDERR_FILENO, "libvmalloc: faults     %s minor, %s major\n", grouped((uint64_t)usage->ru_minflt, minor),
            grouped((uint64_t)usage->ru_majflt, major));
    dprintf(STDERR_FILENO, "libvmalloc: time       %.3f s (user %.3f s, system %.3f s)\n", outcome->seconds,
            seconds_of(usage->ru_utime), seconds_of(usage->ru_stime));
}

static void print_json_count(int fd, const char *name, bool known, uint64_t value)
{
    if (known)
        dprintf(fd, "  \"%s\": %" PRIu64 ",\n", name, value);
    else
        dprintf(fd, "  \"%s\": null,\n", name);
}

static void print_json(const char *path, const struct outcome *outcome)
{
    const struct counts_sum *sum = &outcome->sum;
    const struct rusage *usage = &outcome->usage;
    const int status = outcome->status;
    const bool known = have_counts(outcome);

    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        dprintf(STDERR_FILENO, "%s: %s: %s\n", self, path, strerror(errno));
        return;
    }
    dprintf(fd, "{\n");
    print_json_count(fd, "exit_status", WIFEXITED(status), (uint64_t)WEXITSTATUS(status));
    print_json_count(fd, "signal", WIFSIGNALED(status), (uint64_t)WTERMSIG(status));
    print_json_count(fd, "processes", known, sum->processes);
    print_json_count(fd, "mallocs", known, sum->calls);
    print_json_count(fd, "frees", known, sum->frees);
    print_json_count(fd, "reallocs", known, sum->reallocs);
    print_json_count(fd, "peak_live_bytes", known, sum->peak_live);
    print_json_count(fd, "peak_rss_bytes", true, (uint64_t)usage->ru_maxrss * 1024);
    print_json_count(fd, "minor_faults", true, (uint64_t)usage->ru_minflt);
    print_json_count(fd, "major_faults", true, (uint64_t)usage->ru_majflt);
    dprintf(fd, "  \"seconds\": %.6f,\n  \"user_seconds\": %.6f,\n  \"system_seconds\": %.6f\n}\n", outcome->seconds,
            seconds_of(usage->ru_utime), seconds_of(usage->ru_stime));
    close(fd);
}

static void parse_arguments(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {
        {"preload", required_argument, NULL, 'p'},
        {"stats", no_argument, NULL, 's'},
        {"json", required_argument, NULL, 'j'},
        {"no-counts", no_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'p': request->preload = optarg; break;
        case 's': request->summary = true; break;
        case 'j': request->json = optarg; break;
        case 'n': request->counts = false; break;
        default: exit(EXIT_OURS);
        }
    }
    if (optind == argc)
        fail("usage", "vmalloc-launch [--preload LIB] [--stats] [--json FILE] [--no-counts] [--] PROGRAM [ARGS...]");
    request->argv = argv + optind;
}

int main(int argc, char **argv)
{
    struct request request = {.counts = true};
    struct outcome outcome = {0};
    struct attend_inherited inherited;
    struct vm_counts_file *stats = NULL;
    char stats_path[PATH_MAX] = "", stats_option[PATH_MAX + 8];
    volatile int exec_error;

    parse_arguments(argc, argv, &request);
    if (request.preload != NULL) {
        if (!attend_extend_variable("LD_PRELOAD", request.preload, ':', false))
            fail("LD_PRELOAD", strerror(errno));
        if (request.counts && (request.summary || request.json != NULL))
            stats = counts_make(stats_path, sizeof stats_path);
    }
    if (stats != NULL) {
        snprintf(stats_option, sizeof stats_option, "stats=%s", stats_path);
        if (!attend_extend_variable("VMALLOC_OPTIONS", stats_option, ',', true))
            fail("VMALLOC_OPTIONS", strerror(errno));
    }
    outcome.stats = stats;

    attend_hold_signals(&inherited);
    const double begin = seconds_now();
    const pid_t pid = attend_start(request.argv, &inherited, &exec_error);
    if (pid < 0 || !attend_program(pid, &outcome.status, &outcome.usage))
        fail(pid < 0 ? "vfork" : "wait4", strerror(errno));
    outcome.seconds = seconds_now() - begin;
    if (stats != NULL)
        unlink(stats_path);
    if (exec_error != 0) {
        dprintf(STDERR_FILENO, "libvmalloc: cannot run '%s': %s\n", request.argv[0], strerror(exec_error));
        return exec_error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    }
    if (have_counts(&outcome))
        counts_sum(outcome.stats, 0, &outcome.sum);
    if (request.summary)
        print_summary(&request, &outcome);
    if (request.json != NULL)
        print_json(request.json, &outcome);
    return attend_end_as(outcome.status);
}

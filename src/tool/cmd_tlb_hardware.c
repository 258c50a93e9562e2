/* vmalloc tlb --hardware: what the processor itself counted of a program that is run, or of a running process for some
   seconds, by perf_event_open(2): the kernel's generic events of the data TLB.  Where there is no such counter (most
   virtual machines) or it is not allowed, it says so.  Which processor event stands behind a name is the kernel's choice
   (arch/x86/events/intel/core.c, amd/core.c): the misses are the walks of the page tables on both. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/json.h"
#include "tool/cmd_tlb.h"
#include "tool/command.h"
#include "tool/grow.h"

static const char *const name = "tlb";

#define EVENTS 4
#define DTLB(op, result) \
    (PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_##op << 8 | PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static const struct {
    const char *name, *what;
    uint64_t config;
} event[EVENTS] = {
    {"dTLB-loads", "look-ups for loads", DTLB(READ, ACCESS)},
    {"dTLB-load-misses", "page walks for loads", DTLB(READ, MISS)},
    {"dTLB-stores", "look-ups for stores", DTLB(WRITE, ACCESS)},
    {"dTLB-store-misses", "page walks for stores", DTLB(WRITE, MISS)},
};

struct count {
    int *fd; /* one a thread */
    size_t n;
    double sum;
    int error;   /* of the first that could not be opened; 0: all are open */
    bool scaled; /* it had to share a counter with others, and is an estimate */
};

static void open_one(struct count *c, uint64_t config, pid_t task, bool at_exec)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HW_CACHE,
        .size = sizeof attr,
        .config = config,
        .disabled = at_exec,
        .inherit = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .enable_on_exec = at_exec,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
    };
    int fd = (int)syscall(SYS_perf_event_open, &attr, task, -1, -1, PERF_FLAG_FD_CLOEXEC);

    if (fd < 0) {
        c->error = c->error ? c->error : errno;
        return;
    }
    int *more = tool_grow(c->fd, c->n, sizeof *more);
    if (!more) {
        close(fd);
        c->error = ENOMEM;
        return;
    }
    c->fd = more;
    c->fd[c->n++] = fd;
}

static void read_all(struct count *c)
{
    uint64_t v[3]; /* value, time enabled, time running */

    for (size_t i = 0; i < c->n; i++) {
        if (read(c->fd[i], v, sizeof v) == sizeof v && v[2] > 0) {
            c->sum += (double)v[0] * (double)v[1] / (double)v[2];
            c->scaled |= v[1] != v[2];
        }
        close(c->fd[i]);
    }
    free(c->fd);
}

/* Why nothing can be counted, in one line. */
static int complain(const struct count c[EVENTS])
{
    int error = c[0].error;

    for (size_t i = 0; i < EVENTS; i++)
        for (size_t k = 0; k < c[i].n; k++)
            close(c[i].fd[k]);
    if (error == ENOENT || error == EOPNOTSUPP || error == ENODEV || error == ENOSYS)
        return tool_failed(name,
                           "this machine has no hardware counters of the data TLB (perf_event_open: %s); a trace goes "
                           "through the model instead: vmalloc trace, vmalloc tlb TRACE",
                           strerror(error));
    if (error == EACCES || error == EPERM)
        return tool_failed(name,
                           "hardware counters are not allowed (perf_event_open: %s): be root, or set "
                           "/proc/sys/kernel/perf_event_paranoid to 2 or less",
                           strerror(error));
    return tool_failed(name, "perf_event_open: %s", strerror(error));
}

static void put_json(FILE *out, const struct count c[EVENTS], const char *whose)
{
    struct vm_sim_json j = {.out = out};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_string(&j, "feed", "hardware counters (perf_event_open), user mode");
    vm_sim_json_string(&j, "program", whose);
    vm_sim_json_begin(&j, "events", '[');
    for (size_t i = 0; i < EVENTS; i++) {
        vm_sim_json_begin(&j, NULL, '{');
        vm_sim_json_string(&j, "name", event[i].name);
        vm_sim_json_bool(&j, "counted", c[i].n > 0);
        if (c[i].n > 0) {
            vm_sim_json_number(&j, "count", (uint64_t)c[i].sum);
            vm_sim_json_bool(&j, "estimated", c[i].scaled);
        }
        vm_sim_json_end(&j, '}');
    }
    vm_sim_json_end(&j, ']');
    vm_sim_json_end(&j, '}');
}

static void put_text(FILE *out, const struct count c[EVENTS], const char *whose)
{
    fprintf(out, "%s\nfed with hardware counters (perf_event_open), user mode\n", whose);
    for (size_t i = 0; i < EVENTS; i++) {
        if (c[i].n == 0)
            fprintf(out, "%20s  %-18s (%s)\n", "not there", event[i].name, event[i].what);
        else
            fprintf(out, "%20.0f  %-18s (%s%s)", c[i].sum, event[i].name, event[i].what,
                    c[i].scaled ? ", estimated" : "");
        if (c[i].n > 0 && i % 2 == 1 && c[i - 1].sum > 0)
            fprintf(out, "  %.4f %%", 100 * c[i].sum / c[i - 1].sum);
        if (c[i].n > 0)
            putc('\n', out);
    }
}

/* Waits for a byte, so that the counters are there before the program is. */
static _Noreturn void run_program(int gate, char **argv)
{
    char go;

    if (read(gate, &go, 1) != 1)
        _exit(TOOL_FAILED);
    execvp(argv[0], argv);
    _exit(tool_failed(name, "%s: %s", argv[0], strerror(errno)));
}

static int count_program(char **argv, bool json)
{
    struct count c[EVENTS] = {{0}};
    int gate[2], status;
    bool any = false;

    if (pipe(gate) != 0)
        return tool_failed(name, "pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0)
        return tool_failed(name, "fork: %s", strerror(errno));
    if (child == 0) {
        close(gate[1]);
        run_program(gate[0], argv);
    }
    close(gate[0]);
    for (size_t i = 0; i < EVENTS; i++) {
        open_one(&c[i], event[i].config, child, true);
        any |= c[i].n > 0;
    }
    if (any && write(gate[1], "g", 1) != 1)
        any = false;
    close(gate[1]); /* without a byte the child ends */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!any)
        return complain(c);
    for (size_t i = 0; i < EVENTS; i++)
        read_all(&c[i]);
    (json ? put_json : put_text)(stderr, c, argv[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int count_process(const char *pid, double seconds, bool json)
{
    struct count c[EVENTS] = {{0}};
    char path[64];
    bool any = false;

    snprintf(path, sizeof path, "/proc/%.20s/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return tool_failed(name, "%s: no such process", pid);
    for (struct dirent *d; (d = readdir(tasks));)
        for (size_t i = 0; i < EVENTS && d->d_name[0] != '.'; i++) {
            open_one(&c[i], event[i].config, (pid_t)atoi(d->d_name), false);
            any |= c[i].n > 0;
        }
    closedir(tasks);
    if (!any)
        return complain(c);
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
    for (size_t i = 0; i < EVENTS; i++)
        read_all(&c[i]);
    (json ? put_json : put_text)(stdout, c, pid);
    return TOOL_OK;
}

int tlb_hardware(char **argv, bool is_pid, double seconds, bool json)
{
    return is_pid ? count_process(argv[0], seconds, json) : count_program(argv, json);
}

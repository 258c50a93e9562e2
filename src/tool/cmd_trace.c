/* vmalloc trace: records a program for vmalloc sim with what is installed: every reference with valgrind's lackey, turned
   into the short binary form on the fly, or the calls that change its memory with strace.  The program's standard
   streams are its own; its exit status is ours. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/trace.h"
#include "tool/command.h"

static const char *const name = "trace";

static const char usage[] =
    "usage: vmalloc trace [OPTIONS] [--] PROGRAM [ARGUMENTS...]\n"
    "\n"
    "Records what PROGRAM does with its memory, for vmalloc sim.\n"
    "\n"
    "  -o, --output FILE      where to (default: PROGRAM.vmtrace, PROGRAM.strace)\n"
    "  -w, --with RECORDER    lackey: every reference to memory (valgrind; slow: about a hundred times)\n"
    "                         strace: brk, mmap, munmap, mremap, mprotect, fork, exec, exit of all its processes\n"
    "                         (default: lackey when valgrind is there, else strace)\n"
    "      --text             keep lackey's own text instead of the binary form (about four times as long)\n"
    "  -h, --help             this\n";

struct recording {
    const char *output;
    char made_up[4096]; /* `output`, where none was asked for */
    bool strace, text;
    char **argv;
};

/* Is there a program of this name in PATH? */
static bool installed(const char *program)
{
    const char *path = getenv("PATH");
    char file[4096];

    while (path && *path) {
        size_t n = strcspn(path, ":");
        if ((size_t)snprintf(file, sizeof file, "%.*s/%s", (int)n, path, program) < sizeof file
            && access(file, X_OK) == 0)
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

/* The recorder's command line in front of the program's. */
static char **recorder_argv(const struct recording *r, char *log_option)
{
    static char *const strace[] = {"strace", "-f",          "-y", "-qq", "-e", "trace=%memory,%process",
                                   "-e",     "signal=none", "-o"};
    char *const lackey[] = {"valgrind", "-q", "--tool=lackey", "--trace-mem=yes", "--basic-counts=no", log_option};
    size_t n = r->strace ? sizeof strace / sizeof *strace : sizeof lackey / sizeof *lackey, extra = 0;
    char **argv;

    while (r->argv[extra])
        extra++;
    if (!(argv = calloc(n + extra + 3, sizeof *argv)))
        return NULL;
    memcpy(argv, r->strace ? strace : lackey, n * sizeof *argv);
    if (r->strace)
        argv[n++] = (char *)(uintptr_t)r->output;
    argv[n++] = "--";
    memcpy(argv + n, r->argv, extra * sizeof *argv);
    return argv;
}

static pid_t start(const struct recording *r, int log_fd)
{
    char log_option[32];
    pid_t child = fork();

    if (child != 0)
        return child;
    snprintf(log_option, sizeof log_option, "--log-fd=%d", log_fd);
    char **argv = recorder_argv(r, log_option);
    if (argv) {
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        execvp(argv[0], argv);
    }
    _exit(tool_failed(name, "%s: %s", argv ? argv[0] : "exec", strerror(errno)));
}

/* Text as it comes. */
static int copy(int from, FILE *out)
{
    static char buffer[65536];
    ssize_t got;

    while ((got = read(from, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)got, out);
    return 0;
}

static int convert(int from, FILE *out)
{
    struct vm_sim_message message;
    struct vm_sim_item item;
    char path[32];
    int more;

    snprintf(path, sizeof path, "/dev/fd/%d", from);
    struct vm_sim_trace *t = vm_sim_trace_open(path, VM_SIM_TRACE_LACKEY, &message);
    if (!t)
        return tool_failed(name, "%s", message.text);
    struct vm_sim_trace_writer *w = vm_sim_trace_writer_new(out);
    while ((more = vm_sim_trace_next(t, &item, &message)) > 0)
        vm_sim_trace_write(w, &item);
    vm_sim_trace_close(t);
    vm_sim_trace_writer_end(w);
    return more < 0 ? tool_failed(name, "lackey: %s", message.text) : TOOL_OK;
}

/* The program's status; what went wrong with the recording comes first. */
static int wait_for(pid_t child, int status)
{
    int wait_status;

    while (waitpid(child, &wait_status, 0) < 0)
        if (errno != EINTR)
            return tool_failed(name, "wait: %s", strerror(errno));
    if (status != TOOL_OK)
        return status;
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

static int record_lackey(const struct recording *r)
{
    int fd[2], status;
    FILE *out = fopen(r->output, "we");

    if (!out)
        return tool_failed(name, "%s: %s", r->output, strerror(errno));
    if (pipe(fd) != 0) {
        fclose(out);
        return tool_failed(name, "pipe: %s", strerror(errno));
    }
    fcntl(fd[0], F_SETFD, FD_CLOEXEC);
    pid_t child = start(r, fd[1]);
    close(fd[1]);
    if (child < 0) {
        fclose(out);
        close(fd[0]);
        return tool_failed(name, "fork: %s", strerror(errno));
    }
    status = r->text ? copy(fd[0], out) : convert(fd[0], out);
    close(fd[0]);
    bool bad = ferror(out);
    if (fclose(out) != 0 || bad)
        status = tool_failed(name, "%s: could not be written", r->output);
    return wait_for(child, status);
}

static int record(struct recording *r)
{
    if (!r->output) {
        const char *slash = strrchr(r->argv[0], '/');
        snprintf(r->made_up, sizeof r->made_up, "%s.%s", slash ? slash + 1 : r->argv[0],
                 r->strace ? "strace" : "vmtrace");
        r->output = r->made_up;
    }
    signal(SIGINT, SIG_IGN); /* it is meant for the program */
    signal(SIGQUIT, SIG_IGN);
    if (!r->strace)
        return record_lackey(r);
    pid_t child = start(r, -1);
    return child < 0 ? tool_failed(name, "fork: %s", strerror(errno)) : wait_for(child, TOOL_OK);
}

int cmd_trace(int argc, char **argv)
{
    static const struct option option[] = {
        {"output", required_argument, NULL, 'o'},
        {"with", required_argument, NULL, 'w'},
        {"text", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct recording r = {0};
    const char *with = NULL;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:o:w:h", option, NULL)) != -1) {
        switch (c) {
        case 'o': r.output = optarg; break;
        case 'w': with = optarg; break;
        case 't': r.text = true; break;
        case 'h': fputs(usage, stdout); return TOOL_OK;
        case ':': return tool_usage(name, "%s needs an argument", argv[optind - 1]);
        default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
        }
    }
    if (optind == argc)
        return tool_usage(name, "no program given");
    if (with && strcmp(with, "lackey") != 0 && strcmp(with, "strace") != 0)
        return tool_usage(name, "--with takes lackey or strace, not '%s'", with);
    r.argv = argv + optind;
    r.strace = with ? strcmp(with, "strace") == 0 : !installed("valgrind");
    if (!installed(r.strace ? "strace" : "valgrind"))
        return tool_failed(name, "%s is not installed", r.strace ? "strace" : "valgrind");
    return record(&r);
}

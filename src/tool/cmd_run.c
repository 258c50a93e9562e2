/* vmalloc run: runs a program with libvmalloc preloaded and calls counted, and says afterwards what every process of it
   allocated.  The processes count in a file that we make, map and remove (base/counts.h), so that calls are exact however
   a process ends, SIGKILL included; what was live is known at exit, or at the last sample before another end. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/json.h"
#include "tool/attend.h"
#include "tool/command.h"
#include "tool/counts.h"
#include "tool/procfs.h"

static const char *const name = "run";

enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

static const char usage[] =
    "usage: vmalloc run [OPTIONS] [--] PROGRAM [ARGUMENTS...]\n"
    "       vmalloc run [OPTIONS] --read FILE\n"
    "\n"
    "Runs PROGRAM under libvmalloc and reports what it and its children allocated: calls by size class, live and peak\n"
    "bytes, slack, fragmentation, page faults.  Its exit status, streams and signals pass through.\n"
    "\n"
    "  -o, --output FILE    the report of each process to FILE.PID, not to stderr\n"
    "  -j, --json           as JSON\n"
    "  -t, --tlb PROCESSOR  a model of this processor's data TLB (vmalloc tlb --list) is fed with allocator events\n"
    "  -s, --set OPTIONS    more for VMALLOC_OPTIONS (NAME=VALUE,NAME=VALUE)\n"
    "  -l, --lib FILE       this library; else the one beside this command or where it was installed\n"
    "  -r, --read FILE      no run: the report of a file that was written with VMALLOC_OPTIONS=stats=FILE\n"
    "  -h, --help           this\n"
    "\n"
    "Exit status: PROGRAM's; 127 when it was not found, 126 when it could not be executed, 1 and 2 for our own failures.\n";

struct run {
    const char *output, *set, *tlb, *lib, *read; /* NULL: not given */
    bool json;
    char **argv;
};

/* How the program ended; known: there was one. */
struct ended {
    bool known;
    int status;
    struct rusage usage;
    double seconds;
};

/* ---- Before the run ---- */

/* The library beside us (as built, or in ../lib), or where configure was told to install it. */
static bool find_library(char found[PATH_MAX])
{
    static const char *const beside[] = {".libs/libvmalloc.so", "libvmalloc.so", "../lib/libvmalloc.so"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < sizeof beside / sizeof *beside; i++) {
        slash[1] = '\0';
        if ((size_t)snprintf(found, PATH_MAX, "%s%s", self, beside[i]) < PATH_MAX && access(found, R_OK) == 0)
            return true;
    }
    /* The name without a number comes with the development files. */
    return ((size_t)snprintf(found, PATH_MAX, "%s/libvmalloc.so", VM_LIBDIR) < PATH_MAX && access(found, R_OK) == 0)
           || ((size_t)snprintf(found, PATH_MAX, "%s/libvmalloc.so.1", VM_LIBDIR) < PATH_MAX
               && access(found, R_OK) == 0);
}

/* Where execvp() will find the program; false when it will not. */
static bool find_program(const char *program, char found[PATH_MAX])
{
    const char *path = getenv("PATH");

    if (strchr(program, '/'))
        return (size_t)snprintf(found, PATH_MAX, "%s", program) < PATH_MAX && access(found, X_OK) == 0;
    while (path && *path) {
        size_t n = strcspn(path, ":");
        if ((size_t)snprintf(found, PATH_MAX, "%.*s/%s", (int)n, path, program) < PATH_MAX && access(found, X_OK) == 0)
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

/* Why no library can be preloaded into the program; NULL when nothing is known against it. */
static const char *not_preloadable(const char *program)
{
    static char path[PATH_MAX];
    union {
        Elf64_Ehdr header;
        unsigned char bytes[4096];
    } start = {0};
    struct stat st;

    if (!find_program(program, path) || stat(path, &st) != 0)
        return NULL;
    if (((st.st_mode & S_ISUID) && st.st_uid != geteuid()) || ((st.st_mode & S_ISGID) && st.st_gid != getegid()))
        return "it is set-user-ID or set-group-ID, and the loader preloads nothing into such a program";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, &start, sizeof start) : -1;
    if (fd >= 0)
        close(fd);
    if (n < (ssize_t)sizeof start.header || memcmp(start.bytes, ELFMAG, SELFMAG) != 0
        || start.bytes[EI_CLASS] != ELFCLASS64)
        return NULL;
    const Elf64_Ehdr *h = &start.header;
    for (unsigned i = 0; i < h->e_phnum; i++) {
        uint64_t at = h->e_phoff + (uint64_t)i * sizeof(Elf64_Phdr);
        if (at + sizeof(Elf64_Phdr) > (uint64_t)n)
            return NULL;
        Elf64_Phdr p;
        memcpy(&p, start.bytes + at, sizeof p);
        if (p.p_type == PT_INTERP)
            return NULL;
    }
    return "it is statically linked, and nothing can be preloaded into it";
}

/* ---- The report as text ---- */

static const char *bytes_text(uint64_t bytes, char text[static 24])
{
    static const char unit[][4] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes;
    unsigned i = 0;

    for (; n >= 10240 && i < 4; i++)
        n /= 1024;
    snprintf(text, 24, i == 0 ? "%.0f %s" : "%.1f %s", n, unit[i]);
    return text;
}

static double percent(uint64_t part, uint64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0; }

static const char *end_text(const struct vm_counts_process *p)
{
    return p->end == VM_COUNTS_EXITED ? "at exit" : "at the last sample";
}

/* Of slabs, large blocks and what is kept of both, the bytes that hold nothing live. */
static uint64_t idle_bytes(uint64_t space, uint64_t live) { return space > live ? space - live : 0; }

static void take_command(const struct vm_counts_process *p, char command[static sizeof p->command + 1])
{
    memcpy(command, p->command, sizeof p->command);
    command[sizeof p->command] = '\0';
}

/* Of the option tlb. */
static void print_tlb(FILE *out, const struct vm_counts_tlb *t)
{
    if (t->preset[0])
        fprintf(out,
                "  tlb        %.*s, fed with allocator events, 4 KiB pages: %" PRIu64
                " references, %.2f %% level-1 hits, %.2f %% "
                "level-2 hits, %" PRIu64 " misses\n",
                (int)sizeof t->preset, t->preset, t->references, percent(t->l1_hits, t->references),
                percent(t->l2_hits, t->references), t->misses);
}

static void print_process(FILE *out, const struct vm_counts_file *file, const struct vm_counts_process *p,
                          const struct counts_sum *s)
{
    char a[24], b[24], command[sizeof p->command + 1];
    uint64_t space = p->slab_space + p->frames_free + p->large_live + p->large_kept;

    take_command(p, command);
    procfs_make_printable(command, PROCFS_ASCII);
    fprintf(out, "vmalloc run: %s, process %" PRIu64 "%s\n", command, p->pid, p->parent ? ", forked" : "");
    fprintf(out,
            "  calls      %" PRIu64 " blocks handed out, %s%" PRIu64 " taken back, %" PRIu64 " realloc, %" PRIu64
            " failed\n",
            s->calls, s->ended ? "" : "about ", s->frees, s->reallocs, s->failures);
    fprintf(out, "  live       %s %s, %s at the peak\n", bytes_text(p->live, a), end_text(p),
            bytes_text(p->peak_live, b));
    fprintf(out, "  slack      %s by rounding up to classes (%.1f %% of what calls were given)\n",
            bytes_text(idle_bytes(s->given, s->asked), a), percent(idle_bytes(s->given, s->asked), s->given));
    fprintf(
        out,
        "  fragments  %.1f %% of %s at the peak hold nothing live (of slabs, large blocks, what is kept); %.1f %% of %s %s\n",
        percent(idle_bytes(p->peak_space, p->peak_live), p->peak_space), bytes_text(p->peak_space, a),
        percent(idle_bytes(space, p->live), space), bytes_text(space, b), end_text(p));
    fprintf(out, "  faults     %" PRIu64 " minor, %" PRIu64 " major; RSS %s at the peak; %s\n", p->minor_faults,
            p->major_faults, bytes_text(p->rss_peak, a), end_text(p));
    print_tlb(out, &p->tlb);
    fprintf(out, "  %10s %14s %14s %12s %12s %8s\n", "class", "calls", "taken back", "live", "free", "slack %");
    for (unsigned i = 1; i <= VM_COUNTS_CLASSES; i++) {
        unsigned id = i % VM_COUNTS_CLASSES; /* large blocks last */
        const struct counts_class *c = &s->of[id];
        uint64_t given = c->calls * file->class_size[id];
        if (c->calls == 0 && c->live == 0)
            continue;
        if (id == 0)
            fprintf(out, "  %10s %14" PRIu64 " %14" PRIu64 " %12" PRIu64 "\n", "large", c->calls, c->frees, c->live);
        else
            fprintf(out, "  %10" PRIu32 " %14" PRIu64 " %14" PRIu64 " %12" PRIu64 " %12" PRIu64 " %8.1f\n",
                    file->class_size[id], c->calls, c->frees, c->live, idle_bytes(c->carved, c->live),
                    percent(idle_bytes(given, c->asked), given));
    }
}

static void print_program(FILE *out, const struct ended *e)
{
    char a[24];

    if (!e->known)
        return;
    if (WIFEXITED(e->status))
        fprintf(out, "vmalloc run: ended with status %d", WEXITSTATUS(e->status));
    else
        fprintf(out, "vmalloc run: ended by signal %d (%s)", WTERMSIG(e->status), strsignal(WTERMSIG(e->status)));
    fprintf(out,
            " after %.3f s; with the children it waited for %ld minor and %ld major faults, RSS of the largest %s\n",
            e->seconds, e->usage.ru_minflt, e->usage.ru_majflt, bytes_text((uint64_t)e->usage.ru_maxrss * VM_KIB, a));
}

/* ---- The report as JSON ---- */

static void json_classes(struct vm_sim_json *j, const struct vm_counts_file *file, const struct counts_sum *s)
{
    vm_sim_json_begin(j, "classes", '[');
    for (unsigned i = 1; i <= VM_COUNTS_CLASSES; i++) {
        unsigned id = i % VM_COUNTS_CLASSES;
        const struct counts_class *c = &s->of[id];
        if (c->calls == 0 && c->live == 0)
            continue;
        vm_sim_json_begin(j, NULL, '{');
        if (id == 0)
            vm_sim_json_string(j, "class_bytes", NULL); /* large blocks */
        else
            vm_sim_json_number(j, "class_bytes", file->class_size[id]);
        vm_sim_json_number(j, "calls", c->calls);
        vm_sim_json_number(j, "asked_bytes", c->asked);
        vm_sim_json_number(j, "frees", c->frees);
        vm_sim_json_number(j, "live_blocks", c->live);
        vm_sim_json_number(j, "free_blocks", id == 0 ? 0 : idle_bytes(c->carved, c->live));
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
}

static void json_tlb(struct vm_sim_json *j, const struct vm_counts_tlb *t)
{
    char preset[sizeof t->preset + 1] = "";

    memcpy(preset, t->preset, sizeof t->preset);
    vm_sim_json_begin(j, "tlb", '{');
    vm_sim_json_string(j, "preset", preset);
    vm_sim_json_string(j, "feed", "allocator events, 4 KiB pages");
    vm_sim_json_number(j, "references", t->references);
    vm_sim_json_number(j, "l1_hits", t->l1_hits);
    vm_sim_json_number(j, "l2_hits", t->l2_hits);
    vm_sim_json_number(j, "misses", t->misses);
    vm_sim_json_end(j, '}');
}

static void json_program(struct vm_sim_json *j, const struct ended *e)
{
    vm_sim_json_begin(j, "program", '{');
    vm_sim_json_signed(j, WIFEXITED(e->status) ? "exit_status" : "signal",
                       WIFEXITED(e->status) ? WEXITSTATUS(e->status) : WTERMSIG(e->status));
    vm_sim_json_double(j, "seconds", e->seconds);
    vm_sim_json_number(j, "minor_faults", (uint64_t)e->usage.ru_minflt);
    vm_sim_json_number(j, "major_faults", (uint64_t)e->usage.ru_majflt);
    vm_sim_json_number(j, "peak_rss_bytes", (uint64_t)e->usage.ru_maxrss * VM_KIB);
    vm_sim_json_end(j, '}');
}

/* e: of the program, NULL when it did not start with this process. */
static void json_process(struct vm_sim_json *j, const struct vm_counts_file *file, const struct vm_counts_process *p,
                         const struct counts_sum *s, const struct ended *e)
{
    char command[sizeof p->command + 1];

    take_command(p, command);
    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_number(j, "pid", p->pid);
    vm_sim_json_string(j, "command", command);
    vm_sim_json_bool(j, "forked", p->parent != 0);
    vm_sim_json_bool(j, "exited", s->ended);
    vm_sim_json_number(j, "calls", s->calls);
    vm_sim_json_number(j, "frees", s->frees);
    vm_sim_json_number(j, "reallocs", s->reallocs);
    vm_sim_json_number(j, "failures", s->failures);
    vm_sim_json_number(j, "asked_bytes", s->asked);
    vm_sim_json_number(j, "given_bytes", s->given);
    vm_sim_json_number(j, "live_bytes", p->live);
    vm_sim_json_number(j, "peak_live_bytes", p->peak_live);
    vm_sim_json_number(j, "peak_space_bytes", p->peak_space);
    vm_sim_json_number(j, "slab_bytes", p->slab_space);
    vm_sim_json_number(j, "frames_dirty_bytes", p->frames_free);
    vm_sim_json_number(j, "large_live_bytes", p->large_live);
    vm_sim_json_number(j, "large_live_blocks", p->large_count);
    vm_sim_json_number(j, "extents_dirty_bytes", p->large_kept);
    vm_sim_json_number(j, "metadata_bytes", p->metadata);
    vm_sim_json_number(j, "minor_faults", p->minor_faults);
    vm_sim_json_number(j, "major_faults", p->major_faults);
    vm_sim_json_number(j, "peak_rss_bytes", p->rss_peak);
    vm_sim_json_number(j, "samples", p->samples);
    if (p->tlb.preset[0])
        json_tlb(j, &p->tlb);
    json_classes(j, file, s);
    if (e && e->known)
        json_program(j, e);
    vm_sim_json_end(j, '}');
}

/* ---- Where it goes ---- */

/* FILE.PID, or FILE.PID.2 ... for the programs that the same process executed later.  A file of an earlier run is
   replaced, what is no plain file is left alone. */
static FILE *open_output(const char *output, uint64_t pid, unsigned turn)
{
    char path[PATH_MAX];

    if (turn > 1)
        snprintf(path, sizeof path, "%s.%" PRIu64 ".%u", output, pid, turn);
    else
        snprintf(path, sizeof path, "%s.%" PRIu64, output, pid);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!out)
        tool_failed(name, "%s: %s", path, strerror(errno));
    return out;
}

/* How many programs this process executed up to that cell. */
static unsigned turn_of(const struct vm_counts_file *file, uint64_t number, uint64_t pid)
{
    const struct vm_counts_process *p;
    unsigned turn = 1;

    for (uint64_t i = 0; (p = counts_next(file, &i)) != NULL && i < number;)
        turn += p->pid == pid;
    return turn;
}

static bool report_apart(const struct run *r, const struct vm_counts_file *file, const struct ended *e)
{
    const struct vm_counts_process *p;
    struct counts_sum sum;
    bool good = true;

    for (uint64_t i = 0; (p = counts_next(file, &i)) != NULL;) {
        FILE *out = open_output(r->output, p->pid, turn_of(file, i, p->pid));
        if (!out)
            return false;
        counts_sum(file, i, &sum);
        if (r->json) {
            struct vm_sim_json j = {.out = out};
            json_process(&j, file, p, &sum, i == 1 ? e : NULL);
        } else {
            print_process(out, file, p, &sum);
            if (i == 1)
                print_program(out, e);
        }
        bool bad = ferror(out);
        good = fclose(out) == 0 && !bad && good;
    }
    return good || tool_failed(name, "%s.PID: could not be written", r->output) == TOOL_OK;
}

/* Processes and threads that came when every cell was taken. */
static uint64_t not_counted(const struct vm_counts_file *file)
{
    uint64_t next = VM_LOAD(&file->next);
    return next > file->cells + 1 ? next - file->cells - 1 : 0;
}

static void report_together(const struct run *r, FILE *out, const struct vm_counts_file *file, const struct ended *e)
{
    struct vm_sim_json j = {.out = out};
    const struct vm_counts_process *p;
    struct counts_sum sum;

    if (r->json) {
        vm_sim_json_begin(&j, NULL, '{');
        if (e->known)
            json_program(&j, e);
        vm_sim_json_number(&j, "not_counted", not_counted(file));
        vm_sim_json_begin(&j, "processes", '[');
    }
    for (uint64_t i = 0; (p = counts_next(file, &i)) != NULL;) {
        counts_sum(file, i, &sum);
        if (r->json)
            json_process(&j, file, p, &sum, NULL);
        else
            print_process(out, file, p, &sum);
    }
    if (r->json) {
        vm_sim_json_end(&j, ']');
        vm_sim_json_end(&j, '}');
    } else {
        print_program(out, e);
    }
    fflush(out);
}

static bool report(const struct run *r, FILE *out, const struct vm_counts_file *file, const struct ended *e)
{
    uint64_t left_out = not_counted(file);

    if (left_out && (r->output || !r->json)) /* JSON says so itself */
        fprintf(stderr, "vmalloc run: no room to count in for %" PRIu64 " of %" PRIu64 " processes and threads\n",
                left_out, left_out + file->cells);
    if (r->output)
        return report_apart(r, file, e);
    report_together(r, out, file, e);
    return true;
}

/* ---- The run ---- */

static int read_file(const struct run *r)
{
    size_t bytes = 0;
    const struct ended none = {0};

    errno = EINVAL;
    const struct vm_counts_file *file = counts_map(r->read, &bytes);
    if (!file)
        return tool_failed(name, "%s: %s", r->read, bytes == 0 && errno == EINVAL ? "is empty" : strerror(errno));
    if (!counts_good(file, bytes))
        return tool_failed(name, "%s: nobody has counted in it, or another version of libvmalloc has", r->read);
    return report(r, stdout, file, &none) ? TOOL_OK : TOOL_FAILED;
}

/* The environment of the program; a message and false when that cannot be. */
static bool set_environment(const struct run *r, const char *stats_path)
{
    char found[PATH_MAX], option[PATH_MAX + 320];
    const char *lib = r->lib;

    if (!lib && !find_library(found))
        return tool_failed(name, "libvmalloc.so is neither beside this command nor in %s: name it with --lib",
                           VM_LIBDIR)
               == TOOL_OK;
    if (!lib)
        lib = found;
    if (access(lib, R_OK) != 0)
        return tool_failed(name, "%s: %s", lib, strerror(errno)) == TOOL_OK;
    if (strpbrk(lib, " :\t\n"))
        return tool_failed(name, "LD_PRELOAD cannot name %s: its path has a space or a colon", lib) == TOOL_OK;
    if (r->tlb && (strchr(r->tlb, ',') || strlen(r->tlb) > 255))
        return tool_failed(name, "'%s' is no processor", r->tlb) == TOOL_OK;
    snprintf(option, sizeof option, "stats=%s%s%s", stats_path, r->tlb ? ",tlb=" : "", r->tlb ? r->tlb : "");
    if (!attend_extend_variable("LD_PRELOAD", lib, ':', false)
        || (r->set && !attend_extend_variable("VMALLOC_OPTIONS", r->set, ',', true))
        || !attend_extend_variable("VMALLOC_OPTIONS", option, ',', true))
        return tool_failed(name, "the environment: %s", strerror(errno)) == TOOL_OK;
    return true;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* stderr itself writes every character by a system call of its own. */
static void report_to_stderr(const struct run *r, const struct vm_counts_file *file, const struct ended *e)
{
    int fd = dup(STDERR_FILENO);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

    report(r, out ? out : stderr, file, e);
    if (out)
        fclose(out);
}

static int run_program(const struct run *r)
{
    struct attend_inherited inherited;
    struct ended e = {.known = true};
    char path[PATH_MAX];
    volatile int exec_error = 0;
    const struct vm_counts_file *file = counts_make(path, sizeof path);

    if (!file)
        return tool_failed(name,
                           "no room for the file to count in: not in $XDG_RUNTIME_DIR, /dev/shm, $TMPDIR or /tmp");
    if (!set_environment(r, path)) {
        unlink(path);
        return TOOL_FAILED;
    }
    attend_hold_signals(&inherited);
    double begin = seconds_now();
    pid_t pid = attend_start(r->argv, &inherited, &exec_error);
    bool attended = pid >= 0 && attend_program(pid, &e.status, &e.usage);
    e.seconds = seconds_now() - begin;
    unlink(path);
    if (!attended)
        return tool_failed(name, "%s: %s", pid < 0 ? "vfork" : "wait4", strerror(errno));
    if (exec_error != 0) {
        tool_failed(name, "%s: %s", r->argv[0], strerror(exec_error));
        return exec_error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
    }
    if (counts_good(file, VM_COUNTS_BYTES)) {
        report_to_stderr(r, file, &e);
    } else {
        const char *why = not_preloadable(r->argv[0]);
        tool_failed(name, "%s did not load libvmalloc%s%s", r->argv[0], why ? ": " : "", why ? why : "");
    }
    return attend_end_as(e.status);
}

int cmd_run(int argc, char **argv)
{
    static const struct option option[] = {
        {"output", required_argument, NULL, 'o'}, {"json", no_argument, NULL, 'j'},
        {"set", required_argument, NULL, 's'},    {"tlb", required_argument, NULL, 't'},
        {"lib", required_argument, NULL, 'l'},    {"read", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},         {0},
    };
    struct run r = {0};
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:o:js:t:l:r:h", option, NULL)) != -1) {
        switch (c) {
        case 'o': r.output = optarg; break;
        case 'j': r.json = true; break;
        case 's': r.set = optarg; break;
        case 't': r.tlb = optarg; break;
        case 'l': r.lib = optarg; break;
        case 'r': r.read = optarg; break;
        case 'h': fputs(usage, stdout); return TOOL_OK;
        case ':': return tool_usage(name, "%s needs an argument", argv[optind - 1]);
        default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
        }
    }
    if (r.read)
        return optind == argc ? read_file(&r) : tool_usage(name, "--read takes no program");
    if (optind == argc)
        return tool_usage(name, "no program given");
    r.argv = argv + optind;
    return run_program(&r);
}

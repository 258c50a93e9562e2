/* vmalloc: the command.  This file has the table of subcommands and what they share; command.h says how one looks. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/command.h"

static const struct tool_command command[] = {
    {"map", "what lies in every 2 MiB of a running process's heap", cmd_map},
    {"rss", "why the RSS of a running process is what it is", cmd_rss},
    {"run", "run a program under libvmalloc and say what it allocated", cmd_run},
    {"sim", "the virtual-memory system as a machine, driven by a trace or a script", cmd_sim},
    {"stat", "the account of a running program's heap, or a core file's", cmd_stat},
    {"tlb", "hits and misses of data TLBs in a trace, reach in a process, counters of the processor", cmd_tlb},
    {"trace", "record a program for vmalloc sim", cmd_trace},
    {"where", "what an address of a running program is to its heap", cmd_where},
};
#define COMMANDS (sizeof command / sizeof *command)

static int complain(const char *name, bool hint, const char *format, va_list ap)
{
    fflush(stdout);
    fprintf(stderr, "vmalloc%s%s: ", *name ? " " : "", name);
    vfprintf(stderr, format, ap);
    putc('\n', stderr);
    if (hint)
        fprintf(stderr, "Try: vmalloc %s%s--help\n", name, *name ? " " : "");
    return hint ? TOOL_USAGE : TOOL_FAILED;
}

int tool_failed(const char *name, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    int status = complain(name, false, format, ap);
    va_end(ap);
    return status;
}

int tool_usage(const char *name, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    int status = complain(name, true, format, ap);
    va_end(ap);
    return status;
}

const char *tool_number(const char *text, uint64_t *n)
{
    char *end;

    errno = 0;
    *n = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
    return *text < '0' || *text > '9' || errno || *n == 0 ? NULL : end;
}

int tool_end(const char *name, int status)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return status == TOOL_OK ? tool_failed(name, "standard output: %s", strerror(errno)) : status;
    return status;
}

static void help(void)
{
    puts("usage: vmalloc COMMAND [ARGUMENTS...]\n       vmalloc --version\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-7s %s\n", command[i].name, command[i].summary);
    puts("\nvmalloc COMMAND --help tells more.");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return tool_usage("", "no command given");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help();
        return tool_end("", TOOL_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("vmalloc " VM_VERSION);
        return tool_end("", TOOL_OK);
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], command[i].name) == 0)
            return tool_end(command[i].name, command[i].run(argc - 1, argv + 1));
    return tool_usage("", "'%s' is no command", argv[1]);
}

/* The subcommands of `vmalloc`: one file each (cmd_NAME.c), one line each in the table of vmalloc.c.  What they share:
   exit statuses and messages, which begin with "vmalloc NAME: ". */
#ifndef TOOL_COMMAND_H
#define TOOL_COMMAND_H

#include "base/base.h"

enum {
    TOOL_OK = 0,
    TOOL_FAILED = 1, /* input that is wrong, or something that could not be done */
    TOOL_USAGE = 2,
};

struct tool_command {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the name; returns the exit status */
};

int cmd_map(int argc, char **argv);
int cmd_rss(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_tlb_pid(int argc, char **argv);
int cmd_tlb(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_where(int argc, char **argv);

/* "vmalloc NAME: what" on stderr; return TOOL_FAILED and TOOL_USAGE (with a hint at --help). */
int tool_failed(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
int tool_usage(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads the whole number above 0 at the start of the text, hexadecimal behind 0x.  What follows it; NULL: there is none. */
const char *tool_number(const char *text, uint64_t *n);

/* Flushes and closes stdout; a full disk is an error like another. */
int tool_end(const char *name, int status);

#endif

/* Tells whose malloc a function calls, by what happens when its block is freed twice: libvmalloc ends the program with a line
   of its own.  So every question is asked in a child, which is expected to die.  Included by whose.c and whose.cc. */
#ifndef WHOSE_H
#define WHOSE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct maker {
    const char *name;
    void *(*make)(void);     /* NULL: this C library has no such function */
    void (*release)(void *); /* called twice */
};

/* The compiler must not see what is done to a block. */
static void *hidden(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static int is_ours(const struct maker *m)
{
    char said[256] = "";
    size_t length = 0;
    ssize_t got;
    int fd[2], status;

    fflush(NULL);
    if (pipe(fd) != 0)
        return 0;
    pid_t child = fork();
    if (child < 0)
        return 0;
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(fd[1], STDERR_FILENO);
        void *p = hidden(m->make());
        m->release(p);
        m->release(hidden(p));
        _exit(0);
    }
    close(fd[1]);
    while (length + 1 < sizeof said && (got = read(fd[0], said + length, sizeof said - 1 - length)) > 0)
        length += (size_t)got;
    close(fd[0]);
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && strncmp(said, "libvmalloc: ", 12) == 0 && strstr(said, "double free") != NULL;
}

/* One line a function; the exit status of the program: 0 when all are libvmalloc's. */
static int report(const struct maker *makers, size_t count)
{
    int others = 0;

    for (size_t i = 0; i < count; i++) {
        const char *whose = !makers[i].make ? "not in this C library" : is_ours(&makers[i]) ? "libvmalloc" : "another's";
        others += strcmp(whose, "another's") == 0;
        printf("%-36s %s\n", makers[i].name, whose);
    }
    return others != 0;
}

#endif

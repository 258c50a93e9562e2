/* A program whose calls are known, for tests/tool/count: 1000 blocks of 100 bytes of which 400 are freed, 10 of 5000, 3 of
   200000 of which one is freed, 7 reallocs that stay and 5 that move; then it ends as its argument says: exit, _exit, kill,
   abort, exec (itself, with exit), fork (a child that frees 100 of the blocks and exits, then exit), threads (4 with 5000
   calls of 64 bytes each, then exit). */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *block[1000];

static void calls(void)
{
    void *large[3];

    for (int i = 0; i < 1000; i++)
        block[i] = malloc(100);
    for (int i = 0; i < 400; i++)
        free(block[i]);
    for (int i = 0; i < 10; i++)
        if (!malloc(5000))
            abort();
    for (int i = 0; i < 3; i++)
        large[i] = malloc(200000);
    free(large[0]);
    for (int i = 400; i < 407; i++)
        block[i] = realloc(block[i], 110);
    for (int i = 407; i < 412; i++)
        block[i] = realloc(block[i], 3000);
}

static void *work(void *arg)
{
    for (int i = 0; i < 5000; i++) {
        void *volatile p = malloc(64);
        free(p);
    }
    return arg;
}

int main(int argc, char **argv)
{
    const char *end = argc > 1 ? argv[1] : "exit";

    calls();
    if (strcmp(end, "_exit") == 0)
        _exit(7);
    if (strcmp(end, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(end, "abort") == 0)
        abort();
    if (strcmp(end, "exec") == 0)
        return execl(argv[0], argv[0], "exit", (char *)NULL);
    if (strcmp(end, "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 500; i < 600; i++)
                free(block[i]);
            exit(0);
        }
        waitpid(child, NULL, 0);
    }
    if (strcmp(end, "threads") == 0) {
        pthread_t t[4];
        for (int i = 0; i < 4; i++)
            pthread_create(&t[i], NULL, work, NULL);
        for (int i = 0; i < 4; i++)
            pthread_join(t[i], NULL);
    }
    return 0;
}

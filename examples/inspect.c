/* What libvmalloc says of its blocks: fills a table, frees most of it, and looks at what is left.
   Build: cc inspect.c $(pkg-config --cflags --libs vmalloc)      Run: VMALLOC_OPTIONS=stats=1 ./a.out */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vmalloc/vmalloc.h>

static int sum_up(void *start, size_t bytes, unsigned class_id, void *arg)
{
    size_t *sum = arg;

    (void)start, (void)class_id;
    *sum += bytes;
    return 0; /* go on */
}

int main(void)
{
    static char *line[10000];
    struct vmalloc_stats stats;
    struct vmalloc_address where;
    size_t live = 0;

    for (int i = 0; i < 10000; i++)
        line[i] = malloc(200);
    for (int i = 0; i < 10000; i++)
        if (i % 100 != 0)
            free(line[i]);
    vmalloc_stats_read(&stats, sizeof stats);
    printf("%" PRIu64 " bytes live in slabs of %" PRIu64 "; peak %" PRIu64 " (0: stats=1 is not set)\n", stats.small_live_bytes,
           stats.slab_bytes, stats.peak_live_bytes);
    vmalloc_translate(line[300] + 7, &where, sizeof where);
    printf("the address of line 300 and 7 lies %td bytes into a block of %zu\n", line[300] + 7 - (char *)where.start, where.bytes);
    printf("purged %zu bytes\n", vmalloc_purge());
    vmalloc_walk(sum_up, &live);
    printf("the walk met %zu bytes\n", live);
    fflush(stdout);
    return vmalloc_dump(STDOUT_FILENO, VMALLOC_JSON) == 0 ? 0 : 1;
}

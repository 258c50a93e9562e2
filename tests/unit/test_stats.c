/* Unit tests of src/report: the counts of stats=FILE, call by call, over threads, failures and forks, and the account that
   malloc_info and mallinfo print.  The option is read at start-up, so that every case starts the program anew with
   VMALLOC_OPTIONS set; the calls of the family here are vmt_malloc ..., libc's own are not counted.  Run by `make
   check`. */
#include "unit.h"

#include <fcntl.h>

#include "report/info.h"
#include "report/stats.h"

static char **own_argv;
static char path[64];

struct scene {
    const char *name;
    void (*play)(void);
    uint64_t allocs, frees, reallocs;
    uint64_t processes;
};

/* ---- What the program does when it is started anew ---- */

static void play_calls(void)
{
    void *p[10];

    for (unsigned i = 0; i < 10; i++)
        p[i] = vmt_malloc(100 * i);
    void *c = vmt_calloc(5, 5), *a = vmt_memalign(64, 64), *b = vmt_aligned_alloc(128, 5), *d;
    CHECK(vmt_posix_memalign(&d, 4096, 1) == 0);
    p[0] = vmt_realloc(p[0], 5000); /* grows */
    p[1] = vmt_realloc(p[1], 10);   /* stays */
    p[2] = vmt_realloc(p[2], 200000);
    for (unsigned i = 0; i < 10; i++)
        vmt_free(p[i]);
    vmt_free(c), vmt_free(a), vmt_free(b), vmt_free(d);
    vmt_free(NULL); /* is no call */
}

static void play_failures(void)
{
    volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;

    CHECK(!vmt_malloc(too_much));
    CHECK(!vmt_malloc(PTRDIFF_MAX));
    void *p = vmt_malloc(10);
    CHECK(!vmt_realloc(p, too_much));
    vmt_free(p);
}

static void *thread_calls(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 1000; i++)
        vmt_free(vmt_malloc(i));
    return NULL;
}

static void play_threads(void)
{
    pthread_t t[4];

    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&t[i], NULL, thread_calls, NULL) == 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

static void play_realloc_0_and_null(void)
{
    void *p = vmt_realloc(NULL, 50); /* a malloc */
    CHECK(p && !vmt_realloc(p, 0)); /* a free */
}

/* The counts that the parent still holds when it forks are its own. */
static void play_fork(void)
{
    int status;

    for (unsigned i = 0; i < 1500; i++)
        vmt_free(vmt_malloc(10));
    void *p[31];
    for (unsigned i = 0; i < 31; i++) /* not handed in yet: see HAND_IN_CALLS */
        p[i] = vmt_malloc(10);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        vmt_free(vmt_malloc(10));
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    for (unsigned i = 0; i < 31; i++)
        vmt_free(p[i]);
}

static const struct scene scenes[] = {
    {"calls", play_calls, 14, 14, 3, 1},
    {"failures", play_failures, 3, 1, 1, 1},
    {"threads", play_threads, 4000, 4000, 0, 1},
    {"realloc_0_and_null", play_realloc_0_and_null, 1, 1, 0, 1},
    {"fork", play_fork, 1500 + 31 + 1, 1500 + 31 + 1, 0, 1},
};

/* ---- The parent's side ---- */

static void make_file(size_t bytes)
{
    snprintf(path, sizeof path, "/tmp/vmalloc-test-stats.XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    close(fd);
}

static void start_anew(void *arg)
{
    char option[128];

    snprintf(option, sizeof option, "stats=%s", path);
    setenv("VMALLOC_OPTIONS", option, 1);
    execl("/proc/self/exe", own_argv[0], (const char *)arg, (char *)NULL);
    die("cannot start %s anew", own_argv[0]);
}

static struct vm_stats_block play(const struct scene *s)
{
    struct vm_stats_block block;
    char text[512];

    make_file(VM_STATS_BYTES);
    int status = child_status(start_anew, (void *)(uintptr_t)s->name, text, sizeof text);
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, &block, sizeof block);
    close(fd);
    unlink(path);
    if (status != 0 || text[0] != '\0' || got != (ssize_t)sizeof block)
        fail_msg("%s: wait status %#x, on stderr: %s", s->name, (unsigned)status, text);
    return block;
}

static void compare(const struct scene *s)
{
    struct vm_stats_block b = play(s);

    if (b.magic != VM_STATS_MAGIC || b.processes != s->processes || b.allocs != s->allocs || b.frees != s->frees
        || b.reallocs != s->reallocs || b.live != 0 || b.peak_live <= 0)
        fail_msg("%s: magic %llx, %llu processes, %llu allocations, %llu frees, %llu reallocs, %lld bytes live, peak %lld",
                 s->name, (unsigned long long)b.magic, (unsigned long long)b.processes, (unsigned long long)b.allocs,
                 (unsigned long long)b.frees, (unsigned long long)b.reallocs, (long long)b.live, (long long)b.peak_live);
}

static void every_call_counts(void **state) { (void)state, compare(&scenes[0]); }
static void failures_count_as_calls(void **state) { (void)state, compare(&scenes[1]); }
static void threads_count(void **state) { (void)state, compare(&scenes[2]); }
static void realloc_of_0_and_null(void **state) { (void)state, compare(&scenes[3]); }
static void fork_counts_once(void **state) { (void)state, compare(&scenes[4]); }

static void unusable_files(void **state)
{
    (void)state;
    static const struct scene calls = {"calls", play_calls, 0, 0, 0, 0};
    char text[512], wanted[512];

    make_file(VM_STATS_BYTES - 1); /* too short */
    int status = child_status(start_anew, (void *)(uintptr_t)calls.name, text, sizeof text);
    snprintf(wanted, sizeof wanted, "libvmalloc: VMALLOC_OPTIONS: stats: cannot map %s; ignored\n", path);
    unlink(path);
    assert_int_equal(status, 0);
    assert_string_equal(text, wanted);

    /* path does not exist any more */
    status = child_status(start_anew, (void *)(uintptr_t)calls.name, text, sizeof text);
    assert_int_equal(status, 0);
    assert_string_equal(text, wanted);
}

/* ---- The account ---- */

CHILD_CASE(account)
{
    struct vm_info i;
    void *small[100], *large[3];

    vm_info_read(&i);
    CHECK(i.small_used == 0 && i.large_count == 0 && i.large_used == 0);
    for (unsigned k = 0; k < 100; k++)
        small[k] = vmt_malloc(1024);
    for (unsigned k = 0; k < 3; k++)
        large[k] = vmt_malloc(1 << 20);
    vm_info_read(&i);
    CHECK(i.heaps == 1 && i.idle_heaps == 0);
    CHECK(i.small_used == 100 * 1024 && i.slab_carved >= i.small_used && i.slab_space >= i.slab_carved);
    CHECK(i.slab_space == i.brk_space + i.zone_space);
    CHECK(i.large_count == 3 && i.large_used == 3u << 20);
    CHECK(i.metadata > 0);
    for (unsigned k = 0; k < 100; k++)
        vmt_free(small[k]);
    for (unsigned k = 0; k < 3; k++)
        vmt_free(large[k]);
    vm_info_read(&i);
    CHECK(i.small_used == 0 && i.large_count == 0 && i.large_used == 0);
}

CHILD_CASE(texts_are_cut_and_ended)
{
    char whole[VM_INFO_TEXT_MAX], buf[VM_INFO_TEXT_MAX + 8];
    size_t (*const writers[])(char *, size_t) = {vm_info_text, vm_info_xml};

    for (unsigned w = 0; w < 2; w++) {
        size_t n = writers[w](whole, sizeof whole);
        CHECK(n > 100 && n < sizeof whole - 1 && strlen(whole) == n && whole[n - 1] == '\n');
        for (size_t cap = 1; cap <= n + 2; cap++) {
            memset(buf, '#', sizeof buf);
            size_t fits = cap - 1 < n ? cap - 1 : n;
            CHECK(writers[w](buf, cap) == fits && buf[fits] == '\0' && memcmp(buf, whole, fits) == 0 && buf[fits + 1] == '#');
        }
    }
    vm_info_xml(whole, sizeof whole);
    CHECK(strncmp(whole, "<malloc version=\"1\">\n", 21) == 0 && strstr(whole, "</malloc>\n"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_counts),
        cmocka_unit_test(failures_count_as_calls),
        cmocka_unit_test(threads_count),
        cmocka_unit_test(realloc_of_0_and_null),
        cmocka_unit_test(fork_counts_once),
        cmocka_unit_test(unusable_files),
        CHILD_TEST(account),
        CHILD_TEST(texts_are_cut_and_ended),
    };

    own_argv = argv;
    if (argc > 1) {
        for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
            if (strcmp(argv[1], scenes[i].name) == 0) {
                scenes[i].play();
                return 0;
            }
        die("no scene %s", argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

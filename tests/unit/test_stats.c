/* Unit tests of src/report and heap/count: the counts of stats=FILE, call by call, over threads, failures and forks, and
   the account that malloc_info and mallinfo print.  The option is read at start-up, so that every case starts the program
   anew with VMALLOC_OPTIONS set; the calls of the family here are vmt_malloc ..., libc's own are not counted.  Run by
   `make check`. */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "report/info.h"
#include "tool/counts.h"

static char **own_argv;
static char path[64];

struct scene {
    const char *name;
    void (*play)(void);
    uint64_t calls, frees, reallocs, failures; /* of all processes together */
    uint64_t processes;
    bool ended; /* by exit */
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

/* What the child frees of its parent's blocks is a free of the child's. */
static void play_fork(void)
{
    int status;
    void *p[31];

    for (unsigned i = 0; i < 1500; i++)
        vmt_free(vmt_malloc(10));
    for (unsigned i = 0; i < 31; i++)
        p[i] = vmt_malloc(10);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        vmt_free(vmt_malloc(300000));
        for (unsigned i = 0; i < 31; i++)
            vmt_free(p[i]);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    for (unsigned i = 0; i < 31; i++)
        vmt_free(p[i]);
}

/* Calls are exact even so; what was freed is known at exit only. */
static void play_killed(void)
{
    for (unsigned i = 0; i < 100; i++)
        CHECK(vmt_malloc(50));
    fflush(NULL);
    raise(SIGKILL);
}

static const struct scene scenes[] = {
    {"calls", play_calls, 14 + 2, 14 + 2, 3, 0, 1, true}, /* two of the three reallocs move */
    {"failures", play_failures, 1, 1, 1, 3, 1, true},
    {"threads", play_threads, 4000, 4000, 0, 0, 1, true},
    {"realloc_0_and_null", play_realloc_0_and_null, 1, 1, 0, 0, 1, true},
    {"fork", play_fork, 1500 + 31 + 1, 1500 + 31 + 31 + 1, 0, 0, 2, true},
    {"killed", play_killed, 100, 0, 0, 0, 1, false},
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

static void play(const struct scene *s, struct counts_sum *sum)
{
    char text[512];
    size_t bytes;

    make_file(VM_COUNTS_BYTES_MIN);
    int status = child_status(start_anew, (void *)(uintptr_t)s->name, text, sizeof text);
    const struct vm_counts_file *file = counts_map(path, &bytes);
    unlink(path);
    if ((status == 0) != s->ended || text[0] != '\0' || !file || !counts_good(file, bytes))
        fail_msg("%s: wait status %#x, on stderr: %s", s->name, (unsigned)status, text);
    counts_sum(file, 0, sum);
}

static void compare(const struct scene *s)
{
    struct counts_sum sum;

    play(s, &sum);
    bool right = sum.processes == s->processes && sum.calls == s->calls && (sum.frees == s->frees || !s->ended)
                 && sum.reallocs == s->reallocs && sum.failures == s->failures && sum.ended == s->ended;
    bool plausible = !s->ended || (sum.live == 0 && (sum.peak_live > 0 || s->calls < 100));
    if (!right || !plausible)
        fail_msg("%s: %llu processes, %llu blocks handed out, %llu frees, %llu reallocs, %llu failures, %llu bytes live, peak "
                 "%llu, ended %d", s->name, (unsigned long long)sum.processes, (unsigned long long)sum.calls,
                 (unsigned long long)sum.frees, (unsigned long long)sum.reallocs, (unsigned long long)sum.failures,
                 (unsigned long long)sum.live, (unsigned long long)sum.peak_live, sum.ended);
}

static void every_call_counts(void **state) { (void)state, compare(&scenes[0]); }
static void failures_count_as_such(void **state) { (void)state, compare(&scenes[1]); }
static void threads_count(void **state) { (void)state, compare(&scenes[2]); }
static void realloc_of_0_and_null(void **state) { (void)state, compare(&scenes[3]); }
static void fork_counts_apart(void **state) { (void)state, compare(&scenes[4]); }
static void killed_counts(void **state) { (void)state, compare(&scenes[5]); }

static void classes_are_apart(void **state)
{
    (void)state;
    struct counts_sum sum;

    /* malloc(100 * i), calloc(25), 64 at 64, 5 at 128, 1 at 4096; realloc: 5000 and 200000 bytes */
    play(&scenes[0], &sum);
    assert_int_equal(sum.of[1].calls, 1);
    assert_int_equal(sum.of[2].calls, 1);
    assert_int_equal(sum.of[2].asked, 32);
    assert_int_equal(sum.of[0].calls, 1);
    assert_int_equal(sum.of[0].asked, 200000);
    assert_int_equal(sum.of[0].frees, 1);
    assert_int_equal(sum.of[7].calls, 1);  /* 100 in 112 */
    assert_int_equal(sum.of[8].calls, 1);  /* 128 at 128 */
    assert_int_equal(sum.of[8].asked, 5);
}

/* The peak is sampled, and low by a sixteenth at most with one thread. */
static void play_peak(void)
{
    enum { BLOCKS = 20000, BYTES = 1000 };
    static void *p[BLOCKS];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < BLOCKS; i++)
            p[i] = vmt_malloc(BYTES);
        for (unsigned i = 0; i < BLOCKS; i++)
            vmt_free(p[i]);
    }
}

static void peak_is_near(void **state)
{
    (void)state;
    static const struct scene peak = {"peak", play_peak, 0, 0, 0, 0, 1, true};
    struct counts_sum sum;

    play(&peak, &sum);
    assert_int_equal(sum.calls, 60000);
    assert_int_equal(sum.frees, 60000);
    assert_in_range(sum.peak_live, 20000u * 1024 * 15 / 16, 20000u * 1024);
}

static void warned_of(const char *what)
{
    char text[512], wanted[512];

    int status = child_status(start_anew, (void *)(uintptr_t)"calls", text, sizeof text);
    snprintf(wanted, sizeof wanted, "libvmalloc: VMALLOC_OPTIONS: stats: %s; ignored\n", what);
    assert_int_equal(status, 0);
    assert_string_equal(text, wanted);
}

static void unusable_files(void **state)
{
    (void)state;
    char cannot[128];

    make_file(VM_COUNTS_BYTES_MIN - 1);
    warned_of("no room in the file or memory to count in");
    unlink(path);
    snprintf(cannot, sizeof cannot, "cannot map %s", path);
    warned_of(cannot);

    make_file(VM_COUNTS_BYTES_MIN); /* a file of something else stays as it is */
    int fd = open(path, O_RDWR);
    char word[8] = "precious", read_back[9] = "";
    CHECK(write(fd, word, sizeof word) == sizeof word);
    warned_of("no room in the file or memory to count in");
    CHECK(pread(fd, read_back, sizeof word, 0) == sizeof word);
    assert_string_equal(read_back, "precious");
    close(fd);
    unlink(path);
}

/* More threads than the file has cells for: they run, and are not counted. */
static void full_file(void **state)
{
    (void)state;
    static const struct scene *threads = &scenes[2];
    struct vm_counts_file *file;
    struct counts_sum sum;
    char text[512];
    size_t bytes;

    make_file(VM_COUNTS_BYTES_MIN);
    int fd = open(path, O_RDWR);
    file = mmap(NULL, VM_COUNTS_BYTES_MIN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    file->next = (VM_COUNTS_BYTES_MIN - VM_COUNTS_FIRST) / VM_COUNTS_CELL - 1; /* room for the process and one heap */
    int status = child_status(start_anew, (void *)(uintptr_t)threads->name, text, sizeof text);
    assert_int_equal(status, 0);
    assert_string_equal(text, "");
    const struct vm_counts_file *again = counts_map(path, &bytes);
    counts_sum(again, 0, &sum);
    unlink(path);
    assert_int_equal(sum.processes, 1);
    assert_int_equal(sum.heaps, 1);
    assert_in_range(sum.calls, 1000, 4000);
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
        cmocka_unit_test(failures_count_as_such),
        cmocka_unit_test(threads_count),
        cmocka_unit_test(realloc_of_0_and_null),
        cmocka_unit_test(fork_counts_apart),
        cmocka_unit_test(killed_counts),
        cmocka_unit_test(classes_are_apart),
        cmocka_unit_test(peak_is_near),
        cmocka_unit_test(full_file),
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
        if (strcmp(argv[1], "peak") == 0)
            return play_peak(), 0;
        die("no scene %s", argv[1]);
    }
    if (!VM_INSTRUMENT)
        return 77; /* automake: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

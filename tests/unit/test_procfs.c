/* Unit tests of src/tool/procfs: lines of maps and smaps as kernels write them and as they do not, and pages of this very
   process in states that are known: touched, read only, never touched, shared with a child.  Run by `make check`. */
#include "unit.h"

#include <sys/mman.h>

#include "tool/procfs.h"

#define PAGES 8

static void lines(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "\n", "hello", "1000-2000", "1000-2000 rw-p", "1000-2000 rw-p 0", "2000-1000 rw-p 0 0:0 0", "1000-1000 rw-p 0 0:0 0",
        "g000-2000 rw-p 0 0:0 0", "1000 2000 rw-p 0 0:0 0",
    };
    struct procfs_mapping m;

    assert_true(procfs_parse_mapping("7f00a000-7f00b000 r-xp 0001f000 fe:00 247498     /a b/c (deleted)\n", &m));
    assert_true(m.start == 0x7f00a000 && m.end == 0x7f00b000 && m.offset == 0x1f000 && m.is_file);
    assert_string_equal(m.perms, "r-xp");
    assert_string_equal(m.path, "/a b/c (deleted)");
    free(m.path);
    assert_true(procfs_parse_mapping("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 ", &m));
    assert_true(m.end == 0xffffffffff601000 && !m.is_file);
    assert_string_equal(m.path, "");
    free(m.path);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECKF(!procfs_parse_mapping(bad[i], &m), "'%s'", bad[i]);
}

static void parse(const char *text, int error, struct procfs_maps *maps)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

    CHECK(in);
    int got = procfs_parse_maps(in, maps);
    CHECKF(got == error, "%d for '%s'", got, text);
    fclose(in);
}

static void figures(void **state)
{
    (void)state;
    struct procfs_maps maps;

    parse("1000-3000 rw-p 00000000 00:00 0 [heap]\nSize: 8 kB\nRss:  8 kB\nShared_Clean: 1 kB\nShared_Dirty: 2 kB\n"
          "Private_Clean: 3 kB\nPrivate_Dirty: 4 kB\nAnonymous: 7 kB\nLazyFree: 5 kB\nAnonHugePages: 6 kB\nSwap: 9 kB\n"
          "SwapPss: 100 kB\nNewcomer: 11 kB\nTHPeligible:  1\nVmFlags: rd wr mr dc \n"
          "5000-6000 rw-s 00000000 00:01 7 /dev/zero (deleted)\nRss: 4 kB\nTHPeligible: 0\nVmFlags: rd pf\n", 0, &maps);
    assert_int_equal(maps.count, 2);
    const struct procfs_mapping *m = &maps.mapping[0];
    assert_true(m->rss == 8192 && m->shared == 3072 && m->private_ == 7168 && m->private_dirty == 4096);
    assert_true(m->anonymous == 7168 && m->lazy_free == 5120 && m->anon_huge == 6144 && m->swap == 9216);
    assert_true(m->may_be_huge && m->not_forked && !m->is_special && !m->is_file);
    assert_true(m[1].rss == 4096 && m[1].is_special && !m[1].not_forked && m[1].is_file && !m[1].may_be_huge);
    assert_ptr_equal(procfs_mapping_at(&maps, 0x2fff), m);
    assert_ptr_equal(procfs_mapping_at(&maps, 0x5000), m + 1);
    assert_null(procfs_mapping_at(&maps, 0x3000));
    assert_null(procfs_mapping_at(&maps, 0xfff));
    assert_null(procfs_mapping_at(&maps, 0x6000));
    procfs_maps_free(&maps);
    parse("Rss: 4 kB\n", 0, &maps);
    assert_int_equal(maps.count, 0);
    parse("1000-2000 rw-p 00000000 00:00 0\nabc\n", -EBADMSG, &maps);
    assert_true(maps.count == 0 && maps.mapping == NULL);
}

/* All mappings of this process, in order, and the same as maps. */
static void this_process(void **state)
{
    (void)state;
    struct procfs_maps smaps, maps;
    struct procfs_totals totals;
    uint64_t rss = 0;

    assert_int_equal(procfs_read_smaps(getpid(), &smaps), 0);
    assert_int_equal(procfs_read_totals(getpid(), &totals), 0);
    for (size_t i = 0; i < smaps.count; i++) {
        const struct procfs_mapping *m = &smaps.mapping[i];
        assert_true(i == 0 || m[-1].end <= m->start);
        assert_true(m->rss == m->shared + m->private_ && m->anonymous <= m->rss && m->rss <= m->end - m->start);
        rss += m->rss;
    }
    const struct procfs_mapping *here = procfs_mapping_at(&smaps, (uintptr_t)&smaps);
    assert_true(here && strcmp(here->path, "[stack]") == 0);
    CHECKF(totals.rss > rss / 2 && rss > totals.rss / 2, "%llu and %llu", (unsigned long long)rss,
           (unsigned long long)totals.rss);
    assert_int_equal(procfs_read_maps(getpid(), &maps), 0);
    assert_true(maps.count > 0 && procfs_maps_equal(&maps, &maps) && !procfs_maps_equal(&maps, &(struct procfs_maps){0}));
    maps.mapping[0].perms[0] ^= 1;
    assert_false(procfs_maps_equal(&maps, &smaps));
    procfs_maps_free(&smaps);
    procfs_maps_free(&maps);
    assert_true(procfs_read_maps(0x7fffffff, &maps) < 0 && procfs_read_totals(0x7fffffff, &totals) < 0);
}

/* Page 0 read, 2 and 3 written, 7 written, the others never touched. */
static char *prepare(size_t page)
{
    char *p = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED && madvise(p, PAGES * page, MADV_NOHUGEPAGE) == 0);
    CHECK(*(volatile char *)p == 0);
    p[2 * page] = p[3 * page] = p[7 * page] = 1;
    return p;
}

static void pages(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), hint = 0;
    uint64_t p = (uintptr_t)prepare(page);
    struct procfs_pages pagemap;
    struct procfs_runs runs = {0}, words = {0};

    assert_int_equal(procfs_pages_open(getpid(), &pagemap), 0);
    assert_int_equal(procfs_pages_read(&pagemap, p, p + PAGES * page, &runs), 0);
    assert_int_equal(procfs_pages_words(&pagemap, p, p + PAGES * page, &words), 0);
    procfs_pages_close(&pagemap);
    if (pagemap.scans) { /* the zero page is told from others */
        assert_int_equal(runs.count, 2);
        assert_true(runs.run[0].start == p + 2 * page && runs.run[0].end == p + 4 * page);
        assert_int_equal(procfs_runs_bytes(&runs, p, p + PAGES * page, PROCFS_PRESENT, &hint), 3 * page);
    }
    hint = 0;
    assert_int_equal(procfs_runs_bytes(&words, p, p + PAGES * page, PROCFS_PRESENT, &hint), 4 * page);
    assert_int_equal(procfs_runs_bytes(&words, p + page, p + 3 * page + 1, PROCFS_PRESENT, &hint), page + 1);
    assert_int_equal(procfs_runs_bytes(&words, p + 4 * page, p + 7 * page, PROCFS_PRESENT, &hint), 0);
    assert_int_equal(procfs_runs_bytes(&words, p + 4 * page, p + 9 * page, PROCFS_PRESENT | PROCFS_EXCLUSIVE, &hint), page);
    hint = 0;
    assert_int_equal(procfs_runs_bytes(&words, p, p + PAGES * page, PROCFS_HUGE, &hint), 0);
    procfs_runs_free(&runs);
    procfs_runs_free(&words);
    munmap((void *)(uintptr_t)p, PAGES * page);
}

/* Many runs, more than the kernel returns at a time: none is lost or comes twice. */
static void many_runs(void **state)
{
    (void)state;
    enum { RUNS = 3000 };
    static const size_t some[] = {1, 511, 512, 513, 700, 1023, 1024, 1025, 2048, RUNS};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct procfs_pages pagemap;
    char *p = mmap(NULL, 2 * RUNS * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED && madvise(p, 2 * RUNS * page, MADV_NOHUGEPAGE) == 0);
    for (size_t i = 0; i < RUNS; i++)
        p[2 * i * page] = 1;
    assert_int_equal(procfs_pages_open(getpid(), &pagemap), 0);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        struct procfs_runs runs = {0};
        assert_int_equal(procfs_pages_read(&pagemap, (uintptr_t)p, (uintptr_t)(p + 2 * some[i] * page), &runs), 0);
        CHECKF(runs.count == some[i], "%zu runs, not %zu", runs.count, some[i]);
        for (size_t k = 0; k < runs.count; k++)
            CHECK(runs.run[k].start == (uintptr_t)(p + 2 * k * page) && runs.run[k].end == runs.run[k].start + page);
        procfs_runs_free(&runs);
    }
    procfs_pages_close(&pagemap);
    munmap(p, 2 * RUNS * page);
}

/* A forked child is found, maps the same pages, and one it wrote is its own. */
static void children(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count, hint = 0;
    char *p = prepare(page);
    pid_t *list;
    int down[2], up[2];
    char c;

    CHECK(pipe(down) == 0 && pipe(up) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        p[2 * page] = 2;
        _exit(write(up[1], "x", 1) != 1 || read(down[0], &c, 1) != 1);
    }
    CHECK(read(up[0], &c, 1) == 1);
    assert_int_equal(procfs_forked_children(getpid(), &list, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0], child);
    free(list);
    struct procfs_pages pagemap;
    struct procfs_runs words = {0};
    assert_int_equal(procfs_pages_open(child, &pagemap), 0);
    assert_int_equal(procfs_pages_words(&pagemap, (uintptr_t)p, (uintptr_t)p + PAGES * page, &words), 0);
    procfs_pages_close(&pagemap);
    uintptr_t from = (uintptr_t)(p + page), to = (uintptr_t)(p + PAGES * page);
    assert_int_equal(procfs_runs_bytes(&words, from, to, PROCFS_PRESENT, &hint), 3 * page);
    hint = 0;
    assert_int_equal(procfs_runs_bytes(&words, from, to, PROCFS_PRESENT | PROCFS_EXCLUSIVE, &hint), page);
    procfs_runs_free(&words);
    CHECK(write(down[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    munmap(p, PAGES * page);
    close(down[0]), close(down[1]), close(up[0]), close(up[1]);
}

/* A thread that waits is on its stack. */
static void *wait_there(void *arg)
{
    int *fd = arg;
    char c;

    CHECK(read(fd[0], &c, 1) == 1);
    return &fd[1];
}

static void stacks(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_attr_t attr;
    int fd[2];
    void *low;
    size_t size, count;
    bool found = false;
    uint64_t *sp;

    CHECK(pipe(fd) == 0 && pthread_create(&thread, NULL, wait_there, fd) == 0);
    CHECK(pthread_getattr_np(thread, &attr) == 0 && pthread_attr_getstack(&attr, &low, &size) == 0);
    for (int tries = 0; tries < 1000 && !found; tries++) { /* it may not wait yet */
        int error = procfs_stack_pointers(getpid(), &sp, &count);
        assert_int_equal(error, 0);
        for (size_t i = 0; i < count; i++)
            found = found || (sp[i] >= (uintptr_t)low && sp[i] < (uintptr_t)low + size);
        free(sp);
        usleep(1000);
    }
    assert_true(found || access("/proc/self/syscall", R_OK) != 0);
    CHECK(write(fd[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&attr);
    close(fd[0]), close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(figures),
        cmocka_unit_test(this_process),
        cmocka_unit_test(pages),
        cmocka_unit_test(many_runs),
        cmocka_unit_test(children),
        cmocka_unit_test(stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

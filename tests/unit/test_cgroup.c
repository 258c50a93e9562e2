/* Unit tests of src/os/cgroup and src/api/growth: control groups of both versions from made-up files, what is made of
   them, and that a process which has confined its system calls is left alone.  Run by `make check`. */
#include "unit.h"

#include <fcntl.h>

#include "api/growth.h"
#include "base/options.h"
#include "os/cgroup.h"
#include "os/os.h"
#include "reclaim/limit.h"

#define MIB ((size_t)1 << 20)

struct file {
    const char *path, *text;
};
static const struct file *files;
static unsigned reads;
static long (*real_read)(const char *, char *, size_t);

/* As the kernel: not there, or not a byte. */
static long fake_read(const char *path, char *buf, size_t cap)
{
    reads++;
    for (const struct file *f = files; f && f->path; f++)
        if (strcmp(f->path, path) == 0) {
            size_t n = strlen(f->text) < cap ? strlen(f->text) : cap;
            memcpy(buf, f->text, n);
            return (long)n;
        }
    return -ENOENT;
}

static bool yes(void) { return true; }
static bool no(void) { return false; }

static void with(const struct file *some)
{
    files = some;
    reads = 0;
    vm_os.read_file = fake_read;
    vm_os.is_confined = no;
}

struct question {
    const char *what;
    struct file files[12];
    size_t max, high, processors;
};
#define NONE SIZE_MAX
#define MEMBER(text) {"/proc/self/cgroup", text}
#define V2 "/sys/fs/cgroup"

static const struct question questions[] = {
    {"nothing there", {{0}}, NONE, NONE, NONE},
    {"empty membership", {MEMBER("")}, NONE, NONE, NONE},
    {"no limits in files",
     {MEMBER("0::/a\n"), {V2 "/a/memory.max", "max\n"}, {V2 "/a/memory.high", "max\n"}, {V2 "/a/cpu.max", "max 100000\n"}},
     NONE, NONE, NONE},
    {"own group",
     {MEMBER("0::/a/b\n"), {V2 "/a/b/memory.max", "1048576\n"}, {V2 "/a/b/memory.high", "524288\n"},
      {V2 "/a/b/cpu.max", "150000 100000\n"}},
     1048576, 524288, 1500},
    {"the lowest of all above",
     {MEMBER("0::/a/b/c\n"), {V2 "/a/b/c/memory.max", "300\n"}, {V2 "/a/b/memory.max", "200\n"}, {V2 "/a/memory.max", "400\n"},
      {V2 "/a/memory.high", "999\n"}, {V2 "/a/b/cpu.max", "50000 100000\n"}, {V2 "/a/cpu.max", "400000 100000\n"}},
     200, 999, 500},
    {"container: own path hidden, limits at the root",
     {MEMBER("0::/docker/0123\n"), {V2 "/memory.max", "777\n"}, {V2 "/cpu.max", "1000 1000\n"}}, 777, NONE, 1000},
    {"namespace: the root", {MEMBER("0::/\n"), {V2 "/memory.max", "777\n"}}, 777, NONE, NONE},
    {"no newline at the end", {MEMBER("0::/a\n"), {V2 "/a/memory.max", "12345"}}, 12345, NONE, NONE},
    {"not numbers",
     {MEMBER("0::/a\n"), {V2 "/a/memory.max", "-1\n"}, {V2 "/a/memory.high", "0x10\n"},
      {V2 "/a/cpu.max", "abc def\n"}}, NONE, 0, NONE},
    {"too large a number",
     {MEMBER("0::/a\n"), {V2 "/a/memory.max", "99999999999999999999999\n"},
      {V2 "/a/cpu.max", "99999999999999999999 1\n"}}, NONE, NONE, NONE},
    {"period 0", {MEMBER("0::/a\n"), {V2 "/a/cpu.max", "1000 0\n"}}, NONE, NONE, NONE},
    {"version 1",
     {MEMBER("12:cpu,cpuacct:/k\n4:memory:/m/n\n1:name=systemd:/x\n0::/y\n"),
      {V2 "/memory/m/n/memory.limit_in_bytes", "4096000\n"},
      {V2 "/memory/m/memory.limit_in_bytes", "8192000\n"}, {V2 "/cpu/k/cpu.cfs_quota_us", "25000\n"},
      {V2 "/cpu/k/cpu.cfs_period_us", "100000\n"}},
     4096000, NONE, 250},
    {"version 1 without limits", {MEMBER("4:memory:/\n3:cpu:/\n"), {V2 "/memory/memory.limit_in_bytes", "9223372036854771712\n"},
      {V2 "/cpu/cpu.cfs_quota_us", "-1\n"}, {V2 "/cpu/cpu.cfs_period_us", "100000\n"}}, NONE, NONE, NONE},
    {"version 1 without a period", {MEMBER("3:cpu:/\n"), {V2 "/cpu/cpu.cfs_quota_us", "50000\n"}}, NONE, NONE, NONE},
    {"a controller's name inside another's",
     {MEMBER("3:xmemory,memoryx:/a\n0::/b\n"), {V2 "/memory/a/memory.limit_in_bytes", "5\n"},
      {V2 "/b/memory.max", "6\n"}}, 6, NONE, NONE},
    {"lines that are none", {MEMBER("nonsense\n:\n\n0::/a\n"), {V2 "/a/memory.max", "8\n"}}, 8, NONE, NONE},
    {"a last line cut off", {MEMBER("4:cpu:/\n0::/very/lo"), {V2 "/very/lo/memory.max", "8\n"}}, NONE, NONE, NONE},
};

static void every_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        const struct question *q = &questions[i];
        struct vm_cgroup g;
        with(q->files);
        vm_cgroup_read(&g);
        if (g.memory_max != q->max || g.memory_high != q->high || g.processors != q->processors)
            fail_msg("%s: max %zu high %zu processors %zu", q->what, g.memory_max, g.memory_high, g.processors);
    }
}

/* Paths as long as they come; nothing is written beyond, and a path too long sets no limit. */
static void long_paths(void **state)
{
    (void)state;
    for (size_t n = 400; n < 5000; n = n < 600 ? n + 1 : n * 2) {
        char *text = calloc(1, n + 100), *path = calloc(1, n + 100);
        struct vm_cgroup g;
        strcpy(text, "0::/");
        memset(text + 4, 'a', n);
        strcat(text, "\n");
        sprintf(path, V2 "/%.*s/memory.max", (int)n, text + 4);
        const struct file some[] = {{"/proc/self/cgroup", text}, {path, "4096\n"}, {0}};
        with(some);
        vm_cgroup_read(&g);
        bool fits = n + 1 + strlen(V2) < VM_CGROUP_PATH;
        assert_int_equal(g.memory_max, fits ? 4096 : SIZE_MAX);
        free(text);
        free(path);
    }
}

static void pressure(void **state)
{
    (void)state;
    static const struct file own[] = {
        MEMBER("0::/a/b\n"),
        {V2 "/a/b/memory.pressure",
         "some avg10=0.00 avg60=0.00 avg300=0.00 total=31\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"},
        {0}};
    static const struct file hybrid[] = {
        MEMBER("4:memory:/\n0::/\n"),
        {V2 "/unified/memory.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=0\n"},
        {0}};
    static const struct file none[] = {MEMBER("0::/a/b\n"), {"/proc/pressure/memory", "some total=5"}, {0}};
    static const struct file odd[] = {
        {"/p", "some avg10=0 total=-1\n"}, {"/q", "full total=4\n"}, {"/r", "some avg10=0.00"}, {"/s", ""}, {0}};
    char path[VM_CGROUP_PATH];
    uint64_t us = 99;

    with(own);
    vm_cgroup_pressure_file(path);
    assert_string_equal(path, V2 "/a/b/memory.pressure");
    assert_true(vm_cgroup_stalled(path, &us) && us == 31);
    with(hybrid);
    vm_cgroup_pressure_file(path);
    assert_string_equal(path, V2 "/unified/memory.pressure");
    assert_true(vm_cgroup_stalled(path, &us) && us == 0);
    with(none);
    vm_cgroup_pressure_file(path);
    assert_string_equal(path, "/proc/pressure/memory");
    assert_true(vm_cgroup_stalled(path, &us) && us == 5);
    with(odd);
    for (unsigned i = 0; i < 4; i++)
        assert_false(vm_cgroup_stalled(odd[i].path, &us));
    assert_false(vm_cgroup_stalled("/not/there", &us));
}

/* ---- What is made of it, once the process has grown ---- */

static const struct file limited[] = {MEMBER("0::/a\n"), {V2 "/a/memory.max", "104857600\n"}, {0}};

CHILD_CASE(small_processes_read_nothing)
{
    with(limited);
    for (int i = 0; i < 40; i++)
        vmt_malloc(300000);
    CHECK(reads == 0 && vm_limits.soft == SIZE_MAX);
    for (int i = 0; i < 40; i++)
        vmt_malloc(300000);
    CHECKF(vm_limits.soft == 100 * MIB / 100 * 90, "%zu", vm_limits.soft);
    CHECK(vm_limits.hard == SIZE_MAX);
    unsigned once = reads;
    for (int i = 0; i < 1000; i++)
        vmt_malloc(300000);
    CHECK(reads == once && once < 20);
    CHECK(vm_limits.passed == 1);
}

static void grow(void)
{
    for (int i = 0; i < 100; i++)
        CHECK(vmt_malloc(300000));
}

CHILD_CASE(an_option_wins)
{
    with(limited);
    vm_limits_set(5 * MIB, 0);
    grow();
    CHECK(reads > 0 && vm_limits.soft == 5 * MIB);
}

CHILD_CASE(high_below_max)
{
    static const struct file some[] = {
        MEMBER("0::/a\n"), {V2 "/a/memory.max", "104857600\n"}, {V2 "/a/memory.high", "52428800\n"}, {0}};
    with(some);
    grow();
    CHECK(vm_limits.soft == 50 * MIB / 100 * 90);
}

CHILD_CASE(confined_processes_read_nothing)
{
    with(limited);
    vm_os.is_confined = yes;
    grow();
    CHECK(reads == 0 && vm_limits.soft == SIZE_MAX);
}

CHILD_CASE(files_that_cannot_be_read)
{
    with(NULL);
    grow();
    CHECK(reads > 0 && vm_limits.soft == SIZE_MAX);
}

/* In this very system, whatever it says: it is read without harm, and is what a second reading says. */
CHILD_CASE(the_real_files)
{
    struct vm_cgroup g, again;
    char path[VM_CGROUP_PATH];
    uint64_t us;

    vm_os.read_file = real_read;
    vm_cgroup_read(&g);
    vm_cgroup_read(&again);
    CHECK(g.memory_max == again.memory_max && g.memory_high == again.memory_high && g.processors == again.processors);
    vm_cgroup_pressure_file(path);
    bool there = access(path, R_OK) == 0;
    char one;
    int fd = open(path, O_RDONLY);
    there = there && fd >= 0 && read(fd, &one, 1) == 1; /* PSI may be compiled in and off */
    CHECK(vm_cgroup_stalled(path, &us) == there);
}

int main(void)
{
    real_read = vm_os.read_file;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file),
        cmocka_unit_test(long_paths),
        cmocka_unit_test(pressure),
        CHILD_TEST(small_processes_read_nothing),
        CHILD_TEST(an_option_wins),
        CHILD_TEST(high_below_max),
        CHILD_TEST(confined_processes_read_nothing),
        CHILD_TEST(files_that_cannot_be_read),
        CHILD_TEST(the_real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

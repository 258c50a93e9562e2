/* Unit tests of src/sim/trace and src/sim/strace: every format item by item, cut calls, threads, the binary form there
   and back, and what is malformed or truncated, with its line.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/mem.h"
#include "sim/trace.h"

static char path[] = "/tmp/test_sim_trace.XXXXXX";
static struct vm_sim_message message;

static struct vm_sim_trace *open_text(const char *text, size_t bytes)
{
    FILE *f = fopen(path, "w");

    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    fclose(f);
    return vm_sim_trace_open(path, VM_SIM_TRACE_AUTO, &message);
}

static struct vm_sim_item next(struct vm_sim_trace *t)
{
    struct vm_sim_item item;

    assert_int_equal(vm_sim_trace_next(t, &item, &message), 1);
    return item;
}

static void at_end(struct vm_sim_trace *t)
{
    struct vm_sim_item item;

    assert_int_equal(vm_sim_trace_next(t, &item, &message), 0);
    vm_sim_trace_close(t);
}

/* Reading it ends with this message behind the path. */
static void wrong(const char *text, const char *expected)
{
    struct vm_sim_trace *t = open_text(text, strlen(text));
    struct vm_sim_item item;
    int more = -EINVAL;

    if (t)
        while ((more = vm_sim_trace_next(t, &item, &message)) > 0)
            ;
    vm_sim_trace_close(t);
    assert_int_equal(more, -EINVAL);
    assert_memory_equal(message.text, path, strlen(path));
    assert_string_equal(message.text + strlen(path), expected);
}

static void lackey(void **state)
{
    (void)state;
    static const char text[] = "==12== Lackey, an example Valgrind tool\n==12== \n\n"
                               "I  04001a90,3\n S 1ffefff938,8\n L 04222cac,1\n M 0421c7cc,4\n--12-- warning\n";
    static const struct vm_sim_ref expected[] = {
        {.offset = 0x4001a90, .access = VM_SIM_FETCH, .bytes = 3}, {.offset = 0x1ffefff938, .access = VM_SIM_WRITE, .bytes = 8},
        {.offset = 0x4222cac, .access = VM_SIM_READ, .bytes = 1},  {.offset = 0x421c7cc, .access = VM_SIM_READ, .bytes = 4},
        {.offset = 0x421c7cc, .access = VM_SIM_WRITE, .bytes = 4},
    };
    struct vm_sim_trace *t = open_text(text, sizeof text - 1);

    assert_int_equal(vm_sim_trace_format(t), VM_SIM_TRACE_LACKEY);
    struct vm_sim_item item = next(t);
    assert_int_equal(item.kind, VM_SIM_ITEM_REFS);
    assert_int_equal(item.n, 5);
    assert_memory_equal(item.ref, expected, sizeof expected);
    assert_int_equal(vm_sim_trace_position(t), sizeof text - 1);
    at_end(t);
}

/* Longer than the buffer: lines are cut by it anywhere. */
static void long_lackey(void **state)
{
    (void)state;
    enum { LINES = 200000 };
    FILE *f = fopen(path, "w");
    uint64_t refs = 0, sum = 0, expected = 0;
    struct vm_sim_item item;

    for (uint64_t i = 0; i < LINES; i++, expected += i * 977)
        fprintf(f, " L %0*jx,8\n", (int)(i % 16), (uintmax_t)(i * 977));
    fclose(f);
    for (uint64_t i = expected = 0; i < LINES; i++)
        expected += i * 977;
    struct vm_sim_trace *t = vm_sim_trace_open(path, VM_SIM_TRACE_AUTO, &message);
    while (vm_sim_trace_next(t, &item, &message) == 1) {
        assert_true(item.n <= VM_SIM_TRACE_BATCH);
        for (size_t i = 0; i < item.n; i++)
            sum += item.ref[i].offset;
        refs += item.n;
    }
    vm_sim_trace_close(t);
    assert_int_equal(refs, LINES);
    assert_int_equal(sum, expected);
}

static void events(void **state)
{
    (void)state;
    static const char text[] = "# libvmalloc\nm 0x5000 100\nf 0x5000\n";
    struct vm_sim_trace *t = open_text(text, sizeof text - 1);
    struct vm_sim_item item = next(t);

    assert_int_equal(item.kind, VM_SIM_ITEM_MALLOC);
    assert_int_equal(item.address, 0x5000);
    assert_int_equal(item.bytes, 100);
    item = next(t);
    assert_int_equal(item.kind, VM_SIM_ITEM_FREE);
    assert_int_equal(item.address, 0x5000);
    at_end(t);
}

static void strace(void **state)
{
    (void)state;
    static const char text[] =
        "100 execve(\"/bin/sh\", [\"sh\", \"-c\", \"a, (b\"], 0x7ffe /* 9 vars */) = 0\n"
        "100 brk(NULL)                         = 0x55d000\n"
        "100 mmap(NULL, 8193, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000001000\n"
        "100 openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 3\n"
        "100 mmap(0x7f1000, 4096, PROT_READ|PROT_EXEC, MAP_SHARED|MAP_FIXED, 3</lib/libc.so.6>, 0x1000) = 0x7f1000\n"
        "100 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = -1 ENOMEM (Cannot allocate memory)\n"
        "100 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>\n"
        "101 munmap(0x7f1000, 100) = 0\n"
        "100 <... clone resumed>, child_tidptr=0x7f) = 101\n"
        "100 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD) = 102\n"
        "[pid   102] mprotect(0x7f0000001000, 4096, PROT_NONE) = 0\n"
        "100 12:00:01.5 mremap(0x7f0000001000, 8192, 4096, MREMAP_MAYMOVE) = 0x7f0000001000\n"
        "100 mremap(0x7f0000001000, 4096, 16384, MREMAP_MAYMOVE) = 0x7f9000000000\n"
        "101 --- SIGSEGV {si_signo=SIGSEGV} ---\n"
        "101 +++ killed by SIGSEGV +++\n"
        "102 +++ exited with 0 +++\n"
        "100 exit_group(0)                     = ?\n";
    struct vm_sim_trace *t = open_text(text, sizeof text - 1);
    struct vm_sim_item i = next(t);

    assert_int_equal(i.kind, VM_SIM_ITEM_EXEC);
    assert_int_equal(i.pid, 100);
    assert_string_equal(i.name, "/bin/sh");
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_BRK && i.address == 0x55d000);
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_MMAP && i.address == 0x7f0000001000 && i.bytes == 12288 && !i.name && !i.shared);
    assert_int_equal(i.perms, VM_SIM_R | VM_SIM_W);
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_MMAP && i.shared && i.perms == (VM_SIM_R | VM_SIM_X));
    assert_string_equal(i.name, "/lib/libc.so.6");
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_MUNMAP && i.pid == 101 && i.address == 0x7f1000 && i.bytes == 4096);
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_FORK && i.pid == 100 && i.child == 101);
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_MPROTECT && i.pid == 100 && i.perms == 0);
    i = next(t); /* shrunk in place */
    assert_true(i.kind == VM_SIM_ITEM_MUNMAP && i.address == 0x7f0000002000 && i.bytes == 4096);
    i = next(t); /* moved */
    assert_true(i.kind == VM_SIM_ITEM_MUNMAP && i.address == 0x7f0000001000 && i.bytes == 4096);
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_MMAP && i.address == 0x7f9000000000 && i.bytes == 16384);
    i = next(t);
    assert_true(i.kind == VM_SIM_ITEM_EXIT && i.pid == 101);
    i = next(t); /* the thread's end is not the process's */
    assert_true(i.kind == VM_SIM_ITEM_EXIT && i.pid == 100);
    at_end(t);
}

/* Any items, written and read again. */
static void binary(void **state)
{
    (void)state;
    enum { ITEMS = 3000 };
    static struct vm_sim_ref ref[ITEMS];
    uint64_t random = unit_seed() | 1;
    FILE *f = fopen(path, "w");
    struct vm_sim_trace_writer *w = vm_sim_trace_writer_new(f);

    for (size_t i = 0; i < ITEMS; i++) {
        uint64_t r = vm_sim_random(&random);
        ref[i] = (struct vm_sim_ref){.offset = i % 5 ? ref[i - 1].offset + r % 64 : r, .access = r >> 8 & 1,
                                     .bytes = i % 7 ? 8 : (uint8_t)(16 + r % 200)};
        vm_sim_trace_write(w, &(struct vm_sim_item){.kind = VM_SIM_ITEM_REFS, .pid = 1 + i / 1000, .ref = ref + i, .n = 1});
        if (i % 100 == 99)
            vm_sim_trace_write(w, &(struct vm_sim_item){.kind = VM_SIM_ITEM_MMAP, .pid = 7, .address = i, .bytes = r,
                                                        .perms = 5, .shared = true, .name = i % 200 == 99 ? "file" : NULL});
    }
    assert_int_equal(vm_sim_trace_writer_end(w), 0);
    long bytes = ftell(f);
    fclose(f);

    struct vm_sim_trace *t = vm_sim_trace_open(path, VM_SIM_TRACE_AUTO, &message);
    struct vm_sim_item item;
    size_t n = 0;
    while (vm_sim_trace_next(t, &item, &message) == 1) {
        if (item.kind == VM_SIM_ITEM_REFS) {
            if (item.n == 0)
                continue;
            assert_memory_equal(item.ref, ref + n, item.n * sizeof *ref);
            assert_int_equal(item.pid, 1 + n / 1000);
            n += item.n;
            continue;
        }
        assert_true(item.kind == VM_SIM_ITEM_MMAP && item.pid == 7 && item.address == n - 1 && item.perms == 5 && item.shared);
        assert_true((item.name != NULL) == (item.address % 200 == 99));
    }
    assert_int_equal(n, ITEMS);
    at_end(t);
    assert_int_equal(truncate(path, bytes - 1), 0);
    t = vm_sim_trace_open(path, VM_SIM_TRACE_AUTO, &message);
    int more;
    while ((more = vm_sim_trace_next(t, &item, &message)) == 1)
        ;
    assert_int_equal(more, -EINVAL);
    assert_non_null(strstr(message.text, "truncated"));
    vm_sim_trace_close(t);
}

static void malformed(void **state)
{
    (void)state;
    static const char *const lackey_line = "expected 'I  ADDRESS,BYTES', ' L ...', ' S ...' or ' M ...'";
    char expected[200];

    wrong("", ":1: no trace that is known (lackey, strace, events, binary)");
    wrong("hello\n", ":1: no trace that is known (lackey, strace, events, binary)");
    wrong("I  04001a90,3\n S 1ffe", ":2: truncated: the last line has no end");
    wrong("I  04001a90,3\n S 1ffefff938,0\n", ":2: a reference of no size, or text behind it");
    snprintf(expected, sizeof expected, ":3: %s", lackey_line);
    wrong("I  04001a90,3\n L 1,1\nhello\n", expected);
    wrong("I  04001a90,3\n L 1,1\n L ,1\n", expected);
    wrong("I  04001a90,3\n L 1,1\n L 11112222333344445,1\n", expected);
    wrong("m 1 2\nm 1\n", ":2: expected 'm ADDRESS BYTES' or 'f ADDRESS'");
    wrong("1 brk(NULL) = 0x1000\n1 brk(0x2000)\n", ":2: a call without a result: 'brk(0x2000)'");
    wrong("1 brk(NULL) = 0x1000\n1 hello\n", ":2: no system call: 'hello'");
    wrong("1 brk(NULL) = 0x1000\n1 mmap(NULL) = 0x2000\n", ":2: mmap without its arguments: 'mmap(NULL) = 0x2000'");
    assert_null(vm_sim_trace_open("/nonexistent/trace", VM_SIM_TRACE_AUTO, &message));
    assert_string_equal(message.text, "/nonexistent/trace: No such file or directory");
    assert_null(vm_sim_trace_open("/tmp", VM_SIM_TRACE_AUTO, &message));
    assert_string_equal(message.text, "/tmp: Is a directory");
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lackey), cmocka_unit_test(long_lackey), cmocka_unit_test(events),
        cmocka_unit_test(strace), cmocka_unit_test(binary),      cmocka_unit_test(malformed),
    };

    close(mkstemp(path));
    return cmocka_run_group_tests(tests, NULL, remove_file);
}

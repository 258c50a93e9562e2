/* Unit tests of src/sim/script, src/sim/trace_run and src/sim/report: every command, every kind of error with its column,
   traces played item by item, random scripts with all invariants after each line.  Run by `make check`.  SEED sets the
   seed. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/mem.h"
#include "sim/report.h"
#include "sim/script.h"
#include "sim/trace_run.h"

static struct vm_sim_message message;

/* What the script writes; the machine stays in *m. */
static char *run(const char *text, struct vm_sim_machine **m, int expected)
{
    char *written = NULL;
    size_t bytes;
    FILE *in = fmemopen((char *)(uintptr_t)text, strlen(text), "r"), *out = open_memstream(&written, &bytes);

    *m = NULL;
    int error = vm_sim_script_run(m, "s", in, out, NULL, &message);
    fclose(in);
    fclose(out);
    if (error != expected)
        fail_msg("%d, not %d: %s", error, expected, message.text);
    return written;
}

static void expect(const char *text, const char *expected)
{
    struct vm_sim_machine *m;
    char *written = run(text, &m, 0);

    assert_string_equal(written, expected);
    assert_true(!m || vm_sim_machine_check(m));
    vm_sim_machine_free(m);
    free(written);
}

static void wrong(const char *text, const char *expected)
{
    struct vm_sim_machine *m;

    free(run(text, &m, -EINVAL));
    assert_string_equal(message.text, expected);
    vm_sim_machine_free(m);
}

static void figures(void **state)
{
    (void)state;
    expect("show tables single\nshow tables 2level 0.2\nshow eat 0.98 20 100\n",
           "tables, single, all of them: 4096 KiB\n"
           "tables, 2level, 0.2 of the last level: 0.804 MB\n"
           "EAT, hit ratio 0.98, TLB 20 ns, memory 100 ns, 1 levels: 122 ns\n");
    expect("machine segmented memory=64K\nprocess p\nsegment p 1 a 7000 data\nsegment p 3 b 1000 data\ntranslate p b:500 write\n",
           "logical 0x1f:0x1f4, linear 0x1d4c, physical 0x1d4c: 2 memory accesses, no TLB hit, 0 faults\n"); /* 7500 */
    expect("machine base-limit memory=64K\nprocess p\nload p 1000\nprocess q\nload q 1000\ntranslate q 10\nread q 1000\n",
           "logical 0:0xa, linear 0xa, physical 0x3f2: 1 memory accesses, no TLB hit, 0 faults\nline 7: read q 1000: fault\n");
}

static void copy_on_write(void **state)
{
    (void)state;
    struct vm_sim_machine *m;
    char *written = run("process p\nmmap p a 64K\nwrite p a 16\nfork p c\nwrite c a 4\nread c a 16\n", &m, 0);
    const struct vm_sim_process *c = vm_sim_process_by_name(m, "c");
    struct vm_sim_area_pages a = vm_sim_area_pages(m, vm_sim_vma_first(c->mm));

    assert_string_equal(written, "fork p c: 4 tables, 16 entries, 16 made read-only, 0 swapped\n");
    assert_int_equal(a.rss, 64 << 10);
    assert_int_equal(a.private_dirty, 16 << 10);
    assert_int_equal(a.shared_dirty + a.shared_clean, 48 << 10);
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
    free(written);
}

static void kernel_memory(void **state)
{
    (void)state;
    struct vm_sim_machine *m;
    char *written = run("machine i386-pae memory=1G\nalloc a 3\nalloc b 0 highmem\nkmap a\nkmap b\nkunmap b\nvmalloc v 64K\n"
                        "cache c 100\ntake c 50\ngive c 50\nreap\nvfree v\nfree a\nfree b\ncheck\nalloc x 10 atomic\n", &m, 0);

    assert_non_null(strstr(written, "zone HighMem\n"));
    assert_non_null(strstr(written, "direct map\n"));
    assert_non_null(strstr(written, ", kmap\n"));
    assert_non_null(strstr(written, "reap: "));
    assert_true(vm_sim_machine_check(m));
    vm_sim_machine_free(m);
    free(written);
}

static void errors(void **state)
{
    (void)state;
    wrong("nothing\n", "s:1:1: 'nothing' is no command");
    wrong("# comment\n\n  process p\n  process  \n", "s:4:12: a name is missing");
    wrong("process 1p\n", "s:1:9: '1p' is no name");
    wrong("process p nice 20\n", "s:1:16: nice goes from -20 to 19");
    wrong("machine pdp11\n", "s:1:9: there is no preset 'pdp11'");
    wrong("process p\nmmap p a 4X\n", "s:2:10: '4X' is no size or number");
    wrong("process p\nmmap p a 4K rwz\n", "s:2:13: permissions are made of r, w, x and -, not 'rwz'");
    wrong("process p\nread q 0\n", "s:2:6: there is no process 'q'");
    wrong("process p\nread p a\n", "s:2:8: 'a' is no address and names no memory");
    wrong("process p\nread p 1 1 1 1\n", "s:2:14: '1' is too much here");
    wrong("process p\nread p\n", "s:2:7: an address is missing");
    wrong("process p\nsegment p 1 a 4K data\n", "s:2:1: 'segment' needs a machine with segments");
    wrong("machine segmented\nprocess p\nmmap p a 4K\n", "s:3:1: 'mmap' needs a machine with paging");
    wrong("machine segmented\nprocess p\nread p x:0\n", "s:3:8: 'x' is no selector and no segment");
    wrong("free x\n", "s:1:6: 'x' is not a name of this kind");
    wrong("alloc x 11\n", "s:1:9: orders go from 0 to 10");
    wrong("show nothing\n", "s:1:6: there is nothing to show as 'nothing'");
    wrong("log nothing\n", "s:1:5: log takes names of events with commas, or off");
    wrong("kmap x\n", "s:1:6: 'x' is not a name of this kind");
    wrong("take x\n", "s:1:6: there is no such cache");
    wrong("cache x 10 align 3\n", "s:1:12: align takes a power of two up to 4096");
}

/* Every report of any machine, whatever it has. */
static void reports(void **state)
{
    (void)state;
    const char *preset;

    for (unsigned i = 0; (preset = vm_sim_config_preset_name(i)); i++) {
        char script[400];
        struct vm_sim_machine *m;
        snprintf(script, sizeof script, "machine %s\nprocess p\nshow summary\nshow processes\nshow buddyinfo\nshow zoneinfo\n"
                                        "show slabinfo\nshow vmstat\nshow swaps\nshow segments\nshow maps\nshow smaps\n"
                                        "show json\nshow walk p 0x1000\ncheck\n", preset);
        char *written = run(script, &m, 0);
        assert_non_null(strstr(written, "machine      "));
        vm_sim_machine_free(m);
        free(written);
    }
}

/* ---- Traces ---- */

static struct vm_sim_machine *small_machine(const char *memory)
{
    struct vm_sim_config config;
    char set[40];

    vm_sim_config_preset(&config, "x86_64");
    snprintf(set, sizeof set, "memory=%s", memory);
    assert_int_equal(vm_sim_config_set(&config, set, &message), 0);
    struct vm_sim_machine *m = vm_sim_machine_new(&config, &message);
    assert_non_null(m);
    return m;
}

static void play(struct vm_sim_player *p, struct vm_sim_item item)
{
    assert_int_equal(vm_sim_player_item(p, &item, &message), 0);
}

static void calls_of_a_trace(void **state)
{
    (void)state;
    struct vm_sim_machine *m = small_machine("64M");
    struct vm_sim_player *p = vm_sim_player_new(m);
    struct vm_sim_ref ref[2] = {{.offset = 0x7f0000000000, .access = VM_SIM_WRITE, .bytes = 8},
                                {.offset = 0x7f0000000ffc, .access = VM_SIM_WRITE, .bytes = 8}};

    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_BRK, .pid = 10, .address = 0x600000});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_BRK, .pid = 10, .address = 0x610000});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_MMAP, .pid = 10, .address = 0x7f0000000000, .bytes = 0x2000,
                                 .perms = VM_SIM_R | VM_SIM_W});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_REFS, .pid = 10, .ref = ref, .n = 2});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_FORK, .pid = 10, .child = 11});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_REFS, .pid = 11, .ref = ref, .n = 1});
    struct vm_sim_process *child = vm_sim_player_process(p, 11);
    assert_int_equal(child->mm->rss, 2);
    assert_int_equal(vm_sim_player_process(p, 10)->mm->brk, 0x610000);
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_EXEC, .pid = 11, .name = "/bin/true"});
    assert_int_equal(child->mm->rss, 0);
    assert_true(vm_sim_machine_check(m));
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_EXIT, .pid = 11});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_EXIT, .pid = 11}); /* strace tells it twice */
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_MUNMAP, .pid = 10, .address = 0x7f0000000000, .bytes = 0x2000});
    assert_int_equal(vm_sim_player_process(p, 10)->mm->rss, 0);
    struct vm_sim_player_stats s = vm_sim_player_stats(p);
    assert_int_equal(s.refs, 3);
    assert_int_equal(s.failed + s.refused + s.mapped, 0);
    assert_int_equal(s.forks, 1);
    assert_int_equal(s.fork.protected_, 2);
    assert_true(vm_sim_machine_check(m));
    vm_sim_player_free(p);
    vm_sim_machine_free(m);
}

/* Blocks of 128 KiB and more come and go; the first touch of anything maps it. */
static void allocations_of_a_trace(void **state)
{
    (void)state;
    struct vm_sim_machine *m = small_machine("64M");
    struct vm_sim_player *p = vm_sim_player_new(m);

    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_MALLOC, .pid = 1, .address = 0x500010, .bytes = 100});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_MALLOC, .pid = 1, .address = 0x7000000, .bytes = 1 << 20});
    assert_int_equal(vm_sim_player_process(p, 1)->mm->rss, 257);
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_FREE, .pid = 1, .address = 0x7000000});
    play(p, (struct vm_sim_item){.kind = VM_SIM_ITEM_FREE, .pid = 1, .address = 0x500010});
    assert_int_equal(vm_sim_player_process(p, 1)->mm->rss, 1);
    assert_int_equal(vm_sim_player_stats(p).mapped, 257);
    assert_true(vm_sim_machine_check(m));
    vm_sim_player_free(p);
    vm_sim_machine_free(m);
}

static void impossible_traces(void **state)
{
    (void)state;
    struct vm_sim_machine *m = small_machine("64M");
    struct vm_sim_player *p = vm_sim_player_new(m);
    struct vm_sim_ref ref = {.offset = 0xffff800000000000, .bytes = 1};
    struct vm_sim_item item = {.kind = VM_SIM_ITEM_REFS, .pid = 1, .ref = &ref, .n = 1};

    assert_int_equal(vm_sim_player_item(p, &item, &message), -EINVAL);
    assert_string_equal(message.text, "the machine has no such address for programs (0xffff800000000000)");
    vm_sim_player_free(p);
    vm_sim_machine_free(m);
}

/* ---- Random scripts ---- */

#define LINES 400

static void random_scripts(void **state)
{
    (void)state;
    static char text[LINES * 96];
    uint64_t random = unit_seed() | 1;
    size_t n = 0;

    n += (size_t)snprintf(text, sizeof text, "machine x86_64 memory=20M swap=none swap=8M\nprocess p0\n");
    for (unsigned i = 1; i < LINES; i++) {
        uint64_t r = vm_sim_random(&random);
        unsigned p = r >> 8 & 3, a = r >> 10 & 7, pages = 1 + (r >> 16) % 900;
        char line[80];
        switch (r % 8) {
        case 0: snprintf(line, sizeof line, "mmap p%u a%u %uK", p, a, pages * 4); break;
        case 1: snprintf(line, sizeof line, "fork p%u p%u", p, (unsigned)(r >> 40) % 4); break;
        case 2: snprintf(line, sizeof line, "munmap p%u a%u %uK", p, a, pages * 2); break;
        case 3: snprintf(line, sizeof line, "mprotect p%u a%u %uK r-", p, a, pages); break;
        case 4: snprintf(line, sizeof line, "malloc p%u a%u %u", p, a, pages * 400); break;
        case 5: snprintf(line, sizeof line, "read p%u a%u %u", p, a, pages); break;
        default: snprintf(line, sizeof line, "write p%u a%u %u", p, a, pages); break;
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "process p%u\nmmap p%u a%u 4K\n%s\ncheck\n", p, p, a, line);
        if (n + 400 > sizeof text)
            break;
    }
    struct vm_sim_machine *m, *again;
    char *first = run(text, &m, 0), *second = run(text, &again, 0);
    assert_string_equal(first, second);
    vm_sim_machine_free(m);
    vm_sim_machine_free(again);
    free(first);
    free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures),           cmocka_unit_test(copy_on_write),     cmocka_unit_test(kernel_memory),
        cmocka_unit_test(errors),            cmocka_unit_test(reports),           cmocka_unit_test(calls_of_a_trace),
        cmocka_unit_test(allocations_of_a_trace), cmocka_unit_test(impossible_traces), cmocka_unit_test(random_scripts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Unit tests of src/sim/config: presets, descriptions, settings, and what is refused with which words.  Run by `make
   check`. */
#include "unit.h"

#include "sim/machine.h"

static struct vm_sim_config c;
static struct vm_sim_message message;

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},           {"4096", 4096},          {"4K", 4096},        {"4KiB", 4096},
                {"2M", 2 << 20},    {"1.5G", 3ul << 29},     {"0x1000", 4096},    {"1T", 1ul << 40},
                {"16mB", 16 << 20}, {"18446744073709551615", UINT64_MAX}, {"0.25K", 256}};
    static const char *const bad[] = {"", "-1", "4X", "4KK", "1.", "x", "0x", "0xg", "99999999T", "18446744073709551616", "4 K"};
    uint64_t bytes;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECKF(vm_sim_parse_bytes(good[i].text, &bytes) == 0 && bytes == good[i].bytes, "%s: %llu", good[i].text,
               (unsigned long long)bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECKF(vm_sim_parse_bytes(bad[i], &bytes) == -EINVAL, "%s", bad[i]);
}

static void presets(void **state)
{
    (void)state;
    static const char *const names[] = {"x86_64",     "x86_64-la57", "i386-2level", "i386-pae",
                                        "linux-0.12", "segmented",   "base-limit"};

    for (unsigned i = 0; i < 7; i++) {
        assert_string_equal(vm_sim_config_preset_name(i), names[i]);
        assert_int_equal(vm_sim_config_preset(&c, names[i]), 0);
        assert_string_equal(c.name, names[i]);
        CHECKF(vm_sim_config_check(&c, &message) == 0, "%s: %s", names[i], message.text);
    }
    assert_null(vm_sim_config_preset_name(7));
    assert_int_equal(vm_sim_config_preset(&c, "vax"), -ENOENT);
    vm_sim_config_preset(&c, "linux-0.12");
    assert_true(c.shared_directory && c.addressing == VM_SIM_SEG_PAGED && c.mode == VM_SIM_PAGING_2LEVEL);
    assert_int_equal(c.max_processes, 64);
    assert_int_equal(c.swap_count, 1);
    vm_sim_config_preset(&c, "i386-pae");
    assert_int_equal(c.tlb.array[0][0].sets, 16);
    assert_int_equal(c.tlb.array[1][0].ways, 0);
    assert_false(c.zones.wide);
}

static void parsed(void **state)
{
    (void)state;
    assert_int_equal(vm_sim_config_parse(&c, "m.ini",
                                         "# a machine\n"
                                         "preset = i386-2level\n"
                                         "name = small one\n"
                                         "memory = 64M   ; enough\n"
                                         "\n"
                                         "[tlb]\n"
                                         "l1 = 16/full:4k+2m\n"
                                         "l2 = 96/6:4k, 8/2:2m\n"
                                         "walk-cache = 32/4\n"
                                         "[zones]\n"
                                         "watermarks = 10 20 30\n"
                                         "[swap]\n"
                                         "swap = none\n"
                                         "swap = disk 16M 5\n"
                                         "swap = file 8M -1 3\n"
                                         "swap = 1M\n"
                                         "[reclaim]\n"
                                         "policy = clock\n"
                                         "[machine]\n"
                                         "reserved = 0x100000-0x200000\n"
                                         "[latency]\n"
                                         "memory-ns = 80.5",
                                         &message),
                     0);
    assert_string_equal(c.name, "small one");
    assert_int_equal(c.memory, 64 << 20);
    assert_int_equal(c.mode, VM_SIM_PAGING_2LEVEL);
    assert_int_equal(c.tlb.array[0][0].sets, 1);
    assert_int_equal(c.tlb.array[0][0].ways, 16);
    assert_int_equal(c.tlb.array[0][0].sizes, 3);
    assert_int_equal(c.tlb.array[1][0].sets, 16);
    assert_int_equal(c.tlb.array[1][1].sizes, 2);
    assert_int_equal(c.tlb.walk_cache[1].sets, 8);
    assert_int_equal(c.zones.watermark[2], 30);
    assert_int_equal(c.swap_count, 3);
    assert_string_equal(c.swap[0].name, "disk");
    assert_int_equal(c.swap[0].priority, 5);
    assert_int_equal(c.swap[1].extents, 3);
    assert_int_equal(c.swap[1].priority, -1);
    assert_int_equal(c.swap[2].bytes, 1 << 20);
    assert_int_equal(c.policy, VM_SIM_CLOCK);
    assert_int_equal(c.reserved_count, 2);
    assert_int_equal(c.reserved[1].bytes, 0x100000);
    assert_float_equal(c.latency.memory, 80.5, 1e-9);
    assert_int_equal(vm_sim_config_check(&c, &message), 0);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"a = 1", "m.ini:1: unknown key 'a'"},
        {"\n\nmemory 4M", "m.ini:3: want KEY = VALUE or [SECTION], not 'memory 4M'"},
        {"[cpu]", "m.ini:1: unknown section [cpu]"},
        {"[tlb", "m.ini:1: unknown section [tlb]"},
        {"[swap]\nmemory = 4M", "m.ini:2: 'memory' belongs in section [machine], not in [swap]"},
        {"memory = lots", "m.ini:1: memory = lots: want a size, like 512M"},
        {"mode = 3level", "m.ini:1: mode = 3level: want none, single, sorted, 2level, pae, 4level or 5level"},
        {"policy = optimum", "m.ini:1: policy = optimum: want two-list, fifo, clock or lru"},
        {"l1 = 64/5:4k", "m.ini:1: l1 = 64/5:4k: want ENTRIES/WAYS:SIZES ..., like 64/4:4k 32/4:2m 4/full:1g, or none"},
        {"l1 = 64/4:8k", NULL},
        {"l1 = 64/4", NULL},
        {"l1 = 64:4k", NULL},
        {"l1 = 4/4:4k 4/4:2m 4/4:1g 4/4:4k", NULL},
        {"watermarks = 3 2 4", NULL},
        {"watermarks = 1 2", NULL},
        {"swap = disk", NULL},
        {"swap = disk 4M 1 1 1", NULL},
        {"swap = disk 4M high", NULL},
        {"swap = disk 4M 1 0", NULL},
        {"reserved = 5", NULL},
        {"reserved = 9-5", NULL},
        {"pcid = maybe", NULL},
        {"processes = 5000", NULL},
        {"page = 64K", NULL},
        {"l1-ns = fast", NULL},
        {"preset = vax", NULL},
        {"tlb = pentium", NULL},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECKF(vm_sim_config_parse(&c, "m.ini", bad[i].text, &message) == -EINVAL, "%s", bad[i].text);
        if (bad[i].says)
            assert_string_equal(message.text, bad[i].says);
        CHECK(strncmp(message.text, "m.ini:", 6) == 0);
    }
    assert_int_equal(vm_sim_config_read(&c, "/nonexistent/m.ini", &message), -ENOENT);
    assert_string_equal(message.text, "/nonexistent/m.ini: No such file or directory");
}

static void settings(void **state)
{
    (void)state;
    vm_sim_config_preset(&c, "x86_64");
    assert_int_equal(vm_sim_config_set(&c, "page=2M", &message), 0);
    assert_true(c.huge);
    assert_int_equal(vm_sim_config_set(&c, "tlb=zen4", &message), 0);
    assert_string_equal(c.tlb_name, "zen4");
    assert_int_equal(vm_sim_config_set(&c, "tlb.pcid=no", &message), 0);
    assert_int_equal(vm_sim_config_set(&c, "levels=5", &message), 0);
    assert_int_equal(c.mode, VM_SIM_PAGING_5LEVEL);
    assert_int_equal(vm_sim_config_set(&c, "levels", &message), -EINVAL);
    assert_string_equal(message.text, "'levels': want KEY=VALUE");
    assert_int_equal(vm_sim_config_set(&c, "swap.page=2M", &message), -EINVAL);
    assert_int_equal(vm_sim_config_set(&c, "tlb=none", &message), 0);
    assert_false(c.has_tlb);
}

static void impossible(void **state)
{
    (void)state;
    static const char *const bad[][4] = {
        {"x86_64", "mode=none"},         {"x86_64", "memory=100"},        {"x86_64", "memory=16T"},
        {"x86_64", "dma-end=1G"},        {"x86_64", "watermarks=1 2 300000"}, {"x86_64", "swap=4K"},
        {"x86_64", "addressing=seg-paged"}, {"x86_64", "shared-directory=yes"}, {"i386-2level", "memory=8G"},
        {"i386-pae", "memory=128G"},     {"segmented", "mode=2level"},    {"segmented", "tlb=zen4"},
        {"x86_64", "mode=sorted", "page=2M"}, {"linux-0.12", "processes=65"}, {"x86_64", "watermarks=0 2 3"},
        {"x86_64", "watermarks=2 2 3"}, {"x86_64", "l1=4/4:4k 4/4:4k"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(vm_sim_config_preset(&c, bad[i][0]), 0);
        for (unsigned k = 1; k < 4 && bad[i][k]; k++)
            CHECKF(vm_sim_config_set(&c, bad[i][k], &message) == 0, "%s", message.text);
        message.text[0] = '\0';
        CHECKF(vm_sim_config_check(&c, &message) == -EINVAL, "%s %s", bad[i][0], bad[i][1]);
        CHECK(strncmp(message.text, "impossible machine: ", 20) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),   cmocka_unit_test(presets),  cmocka_unit_test(parsed),
        cmocka_unit_test(refused), cmocka_unit_test(settings), cmocka_unit_test(impossible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

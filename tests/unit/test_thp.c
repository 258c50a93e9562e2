/* Unit tests of src/reclaim/thp, src/page/huge and what src/page/extent asks of them: which memory earns huge
   pages, with made-up times, costs and systems.  Each case of huge is a process of its own.  Run by `make check`. */
#include "unit.h"

#include "os/os.h"
#include "page/extent.h"
#include "page/huge.h"
#include "page/zone.h"

#define T0 ((uint64_t)5000 * VM_THP_FORGET_NS)
#define MILLISECOND ((uint64_t)1000000)
#define USED (4 * VM_THP_HEAP_MIN)

/* ---- The arithmetic ---- */

static void names(void **state)
{
    (void)state;
    assert_int_equal(vm_thp_mode_of("auto"), VM_THP_AUTO);
    assert_int_equal(vm_thp_mode_of("never"), VM_THP_NEVER);
    assert_int_equal(vm_thp_mode_of("always"), VM_THP_ALWAYS);
    assert_int_equal(vm_thp_mode_of(""), -1);
    assert_int_equal(vm_thp_mode_of("Always"), -1);
    assert_int_equal(vm_thp_system_of("always [madvise] never\n"), VM_THP_SYSTEM_MADVISE);
    assert_int_equal(vm_thp_system_of("[always] madvise never\n"), VM_THP_SYSTEM_ALWAYS);
    assert_int_equal(vm_thp_system_of("always madvise [never]\n"), VM_THP_SYSTEM_NEVER);
    assert_int_equal(vm_thp_system_of(""), VM_THP_SYSTEM_NEVER);
}

static void a_large_and_dense_heap_earns_them(void **state)
{
    (void)state;
    struct vm_thp t = {0};

    assert_false(vm_thp_open_chunk(&t, VM_THP_HEAP_MIN - 1, 0, T0));
    assert_true(vm_thp_open_chunk(&t, VM_THP_HEAP_MIN, 0, T0));
    assert_true(vm_thp_open_chunk(&t, USED, USED / VM_THP_FREE_SHARE, T0));
    assert_false(vm_thp_open_chunk(&t, USED, USED / VM_THP_FREE_SHARE + 1, T0));
    assert_int_equal(t.opened, 2);
}

static void what_was_broken_up_soon_counts_against_them(void **state)
{
    (void)state;
    struct vm_thp t = {0};

    for (int i = 0; i < 100; i++)
        assert_true(vm_thp_open_chunk(&t, USED, 0, T0));
    for (int i = 0; i < 100 / VM_THP_BROKEN_SHARE; i++)
        vm_thp_break_chunk(&t, T0);
    assert_true(vm_thp_open_chunk(&t, USED, 0, T0));
    vm_thp_break_chunk(&t, T0);
    assert_false(vm_thp_open_chunk(&t, USED, 0, T0));
    assert_false(vm_thp_open_chunk(&t, USED, 0, T0 + VM_THP_FORGET_NS - 1));
    assert_int_equal(t.broken, 26);
    assert_false(vm_thp_open_chunk(&t, USED, 0, T0 + VM_THP_FORGET_NS - 1));
    /* 101 and 26, halved until nothing is left to hold against it */
    assert_true(vm_thp_open_chunk(&t, USED, 0, T0 + 5 * VM_THP_FORGET_NS));
    assert_int_equal(t.broken, 0);
    assert_int_equal(t.opened, (101 >> 5) + 1);
    assert_true(vm_thp_open_chunk(&t, USED, 0, UINT64_MAX));
    assert_int_equal(t.opened, 1);
}

static void dear_ones_pause_it_longer_each_time(void **state)
{
    (void)state;
    struct vm_thp t = {0};
    uint64_t now = T0, pause = VM_THP_PAUSE_NS;

    for (unsigned i = 0; i < VM_THP_PAUSE_DOUBLINGS + 3; i++) {
        for (int look = 1; look < VM_THP_COST_LOOKS; look++)
            vm_thp_note_cost(&t, VM_THP_COST_MAX_NS + 1, now);
        vm_thp_note_cost(&t, VM_THP_COST_MAX_NS, now); /* one that is not dear: they were not in a row */
        for (int look = 1; look < VM_THP_COST_LOOKS; look++)
            vm_thp_note_cost(&t, VM_THP_COST_MAX_NS + 1, now);
        assert_true(vm_thp_open_chunk(&t, USED, 0, now));
        vm_thp_note_cost(&t, VM_THP_COST_MAX_NS + 1, now);
        t.dense = VM_THP_EXTENT_NEED;
        assert_false(vm_thp_open_chunk(&t, USED, 0, now));
        assert_false(vm_thp_open_chunk(&t, USED, 0, now + pause - 1));
        assert_false(vm_thp_open_extent(&t, VM_THP_EXTENT_MIN, now + pause - 1));
        assert_true(vm_thp_open_extent(&t, VM_THP_EXTENT_MIN, now + pause));
        now += pause;
        t.turn = 0;
        if (i < VM_THP_PAUSE_DOUBLINGS)
            pause *= 2;
    }
}

static void one_that_is_far_too_dear_is_enough(void **state)
{
    (void)state;
    struct vm_thp t = {0};

    vm_thp_note_cost(&t, VM_THP_COST_FAR * VM_THP_COST_MAX_NS, T0);
    assert_true(vm_thp_open_chunk(&t, USED, 0, T0));
    vm_thp_note_cost(&t, VM_THP_COST_FAR * VM_THP_COST_MAX_NS + 1, T0);
    assert_false(vm_thp_open_chunk(&t, USED, 0, T0 + VM_THP_PAUSE_NS - 1));
    assert_true(vm_thp_open_chunk(&t, USED, 0, T0 + VM_THP_PAUSE_NS));
}

static void dense_extents_earn_them_for_the_next(void **state)
{
    (void)state;
    struct vm_thp t = {0};

    assert_false(vm_thp_open_extent(&t, VM_THP_EXTENT_MIN, T0));
    vm_thp_note_extent(&t, 0, 0); /* nothing was seen */
    vm_thp_note_extent(&t, 100, 100);
    assert_false(vm_thp_open_extent(&t, VM_THP_EXTENT_MIN, T0));
    vm_thp_note_extent(&t, 160 - 160 / VM_THP_DENSE_SHARE, 160);
    assert_false(vm_thp_open_extent(&t, VM_THP_EXTENT_MIN - 1, T0));
    for (unsigned i = 1; i <= 5 * VM_THP_WITNESS_TURN; i++)
        assert_int_equal(vm_thp_open_extent(&t, VM_THP_EXTENT_MIN, T0), i % VM_THP_WITNESS_TURN != 0);
}

static void a_sparse_extent_doubles_what_is_needed(void **state)
{
    (void)state;
    struct vm_thp t = {0};
    unsigned need = VM_THP_EXTENT_NEED;

    for (int i = 0; i < 10; i++) {
        vm_thp_note_extent(&t, 149, 160);
        need = need * 2 < VM_THP_EXTENT_NEED_MAX ? need * 2 : VM_THP_EXTENT_NEED_MAX;
        for (unsigned seen = 0; seen < need; seen++) {
            assert_false(vm_thp_open_extent(&t, VM_GIB, T0));
            vm_thp_note_extent(&t, 160, 160);
        }
        assert_true(vm_thp_open_extent(&t, VM_GIB, T0));
        t.turn = 0;
    }
}

static void a_wave_earns_them(void **state)
{
    (void)state;
    struct vm_thp t = {0};

    assert_false(vm_thp_open_wave(&t, VM_THP_WAVE_MIN - 1, 0, T0));
    assert_true(vm_thp_open_wave(&t, VM_THP_WAVE_MIN, 0, T0));
    assert_true(vm_thp_open_wave(&t, VM_THP_BYTES, VM_THP_WAVE_MIN, T0));
    assert_false(vm_thp_open_wave(&t, VM_THP_BYTES - 1, VM_GIB, T0));
    vm_thp_break_chunk(&t, T0);
    assert_false(vm_thp_open_wave(&t, VM_GIB, 0, T0));
    assert_true(vm_thp_open_wave(&t, VM_GIB, 0, T0 + VM_THP_FORGET_NS));
    for (int i = 0; i < VM_THP_COST_LOOKS; i++)
        vm_thp_note_cost(&t, VM_THP_COST_MAX_NS + 1, T0);
    assert_false(vm_thp_open_wave(&t, VM_GIB, 0, T0 + VM_THP_PAUSE_NS - 1));
    assert_true(vm_thp_open_wave(&t, VM_GIB, 0, T0 + VM_THP_FORGET_NS));
}

static void extents_of_a_wave_earn_them_when_those_before_were_dense(void **state)
{
    (void)state;
    struct vm_thp t = {0};

    vm_thp_note_return(&t, VM_THP_RETURN_PAGES - 1, VM_THP_RETURN_PAGES - 1);
    assert_false(vm_thp_map_wave(&t, VM_GIB, 0, T0));
    vm_thp_note_return(&t, 0, 1);
    assert_true(vm_thp_map_wave(&t, VM_GIB, 0, T0));
    assert_false(vm_thp_map_wave(&t, VM_THP_WAVE_MIN - 1, 0, T0));
    vm_thp_note_return(&t, 0, VM_THP_RETURN_PAGES / 8);
    assert_false(vm_thp_map_wave(&t, VM_GIB, 0, T0));
    for (int i = 0; i < 1000; i++) /* it is forgotten */
        vm_thp_note_return(&t, VM_THP_RETURN_PAGES, VM_THP_RETURN_PAGES);
    assert_true(vm_thp_map_wave(&t, VM_GIB, 0, T0) && t.looked < 64 * VM_THP_RETURN_PAGES && t.resident <= t.looked);
    for (int i = 0; i < VM_THP_COST_LOOKS; i++)
        vm_thp_note_cost(&t, VM_THP_COST_MAX_NS + 1, T0);
    assert_false(vm_thp_map_wave(&t, VM_GIB, 0, T0));
}

/* ---- The brk heap of 64 chunks, and what the kernel is told ---- */

#define CHUNKS 64

static struct {
    const char *setting;
    bool huge[CHUNKS], refuse;
    unsigned calls, readings;
    size_t per_cent; /* of every range is resident */
    void *last;      /* advised last */
    size_t last_bytes;
    uint64_t clock, cost;
    unsigned char *memory;
} fake;

static uintptr_t chunk(unsigned i) { return vm_brk.base + i * VM_CHUNK_BYTES; }

static int fake_huge(void *base, size_t bytes, bool wanted)
{
    fake.calls++;
    if (fake.refuse)
        return -12;
    for (uintptr_t at = (uintptr_t)base; at < (uintptr_t)base + bytes; at += VM_CHUNK_BYTES)
        fake.huge[(at - vm_brk.base) / VM_CHUNK_BYTES] = wanted;
    return 0;
}

static bool fake_setting(char *text, size_t room)
{
    fake.readings++;
    snprintf(text, room, "%s", fake.setting);
    return fake.setting[0] != '\0';
}

static uint64_t fake_now(void) { return T0; }
static uint64_t fake_cpu_time(void) { return fake.clock += fake.cost; }

static void prepare(const char *setting, const char *option)
{
    fake.setting = setting;
    fake.memory = aligned_alloc(VM_CHUNK_BYTES, VM_CHUNK_BYTES);
    assert_non_null(fake.memory);
    vm_brk.base = (uintptr_t)fake.memory; /* only the first chunk is ever touched */
    vm_brk.size = CHUNKS * VM_CHUNK_BYTES;
    vm_os.huge = fake_huge;
    vm_os.thp_setting = fake_setting;
    vm_os.now = fake_now;
    vm_os.cpu_time = fake_cpu_time;
    vm_huge_start(option);
}

CHILD_CASE(small_heaps_ask_nothing)
{
    prepare("always [madvise] never\n", "");
    for (unsigned i = 0; i < CHUNKS; i++)
        CHECK(!vm_huge_open(chunk(i), VM_THP_HEAP_MIN - 1, 0));
    vm_huge_mapped(chunk(0), CHUNKS * VM_CHUNK_BYTES);
    vm_huge_break(chunk(3), 4096);
    CHECK(vm_huge_growth(chunk(3), 65536, VM_THP_HEAP_MIN - 1) == 65536);
    CHECK(fake.calls == 0 && fake.readings == 0);
    CHECK(vm_huge_growth(chunk(3) + 65536, 65536, VM_THP_HEAP_MIN) == VM_CHUNK_BYTES - 65536);
}

CHILD_CASE(waves_in_small_heaps)
{
    prepare("always [madvise] never\n", "");
    CHECK(!vm_huge_open_wave(chunk(1), VM_THP_WAVE_MIN - 1, 0) && fake.calls == 0 && fake.readings == 0);
    CHECK(vm_huge_open_wave(chunk(1), VM_THP_WAVE_MIN, 0) && fake.huge[1] && vm_huge_has(chunk(1)));
    CHECK(!vm_huge_open_wave(vm_brk.base + vm_brk.size, VM_THP_WAVE_MIN, 0) && fake.calls == 1);
    fake.refuse = true;
    CHECK(!vm_huge_open_wave(chunk(2), VM_THP_WAVE_MIN, 0));
}

CHILD_CASE(waves_where_none_are_wanted)
{
    prepare("always [madvise] never\n", "never");
    CHECK(!vm_huge_open_wave(chunk(1), VM_GIB, 0) && fake.calls == 0);
}

CHILD_CASE(earned_broken_up_and_earned_again)
{
    prepare("always [madvise] never\n", "auto");
    for (unsigned i = 1; i < 40; i++)
        CHECK(vm_huge_open(chunk(i), USED, 0) && fake.huge[i]);
    CHECK(fake.readings == 1 && fake.calls == 39);
    CHECK(vm_huge_open(chunk(7), USED, 0) && fake.calls == 39); /* it has been told that already */
    CHECK(vm_huge_has(chunk(11) + 4096) && !vm_huge_has(chunk(0)) && !vm_huge_has(chunk(50)));
    vm_huge_break(chunk(8), 2 * VM_CHUNK_BYTES); /* whole ones: they stay as they are */
    CHECK(fake.calls == 39);
    vm_huge_break(chunk(11) + VM_CHUNK_BYTES - 4096, VM_CHUNK_BYTES + 8192); /* 12 is whole */
    CHECK(fake.calls == 41 && !fake.huge[11] && fake.huge[12] && !fake.huge[13]);
    CHECK(!vm_huge_has(chunk(11)) && vm_huge_has(chunk(12)));
    vm_huge_break(chunk(11), 4096); /* it has none any more, and 50 never had */
    vm_huge_break(chunk(50), 4096);
    CHECK(fake.calls == 41);
    CHECK(vm_huge_open(chunk(11), USED, 0) && fake.huge[11]);
    CHECK(!vm_huge_open(chunk(12), USED, USED) && !fake.huge[12]); /* not dense any more */
    vm_huge_gone(chunk(20), chunk(CHUNKS));
    unsigned before = fake.calls;
    vm_huge_break(chunk(21), 4096); /* what the break took away is forgotten */
    CHECK(fake.calls == before);
    CHECK(vm_huge_open(chunk(21), USED, 0) && fake.calls == before + 1);
}

CHILD_CASE(refused_advice_is_none)
{
    prepare("always [madvise] never\n", "");
    fake.refuse = true;
    CHECK(!vm_huge_open(chunk(1), USED, 0));
    fake.refuse = false;
    CHECK(vm_huge_open(chunk(1), USED, 0) && fake.huge[1]);
    fake.refuse = true;
    vm_huge_break(chunk(1), 4096);
    fake.refuse = false;
    vm_huge_break(chunk(1), 4096); /* it is tried again */
    CHECK(!fake.huge[1]);
}

CHILD_CASE(other_zones_get_none)
{
    prepare("always [madvise] never\n", "");
    CHECK(!vm_huge_open(vm_brk.base + vm_brk.size, USED, 0));
    CHECK(!vm_huge_open(vm_brk.base - VM_CHUNK_BYTES, USED, 0));
    vm_huge_break(vm_brk.base + vm_brk.size, 4096);
    CHECK(fake.calls == 0);
}

CHILD_CASE(a_system_that_is_always_at_it)
{
    prepare("[always] madvise never\n", "");
    for (unsigned i = 0; i < 10; i++)
        CHECK(vm_huge_open(chunk(i), USED, 0));
    CHECK(!vm_huge_open(chunk(10), USED, USED));
    CHECK(fake.calls == 0); /* its own way */
    vm_huge_break(chunk(1), 4096);
    CHECK(fake.calls == 1 && !fake.huge[1]);
    vm_huge_break(chunk(1), 4096);
    CHECK(fake.calls == 1);
    CHECK(!vm_huge_open(chunk(1), USED, USED) && fake.calls == 1);
    CHECK(vm_huge_open(chunk(1), USED, 0) && fake.huge[1]);
}

CHILD_CASE(a_system_without)
{
    prepare("", "auto");
    CHECK(!vm_huge_open(chunk(0), USED, 0));
    vm_huge_break(chunk(0), 4096);
    CHECK(fake.calls == 0 && fake.readings == 1);
}

CHILD_CASE(never_matters_only_where_it_is_always)
{
    prepare("[always] madvise never\n", "never");
    memset(fake.huge, true, sizeof fake.huge);
    vm_huge_mapped(chunk(0), 2 * VM_CHUNK_BYTES);
    CHECK(!fake.huge[0] && !fake.huge[1] && fake.huge[2]);
    CHECK(!vm_huge_open(chunk(2), USED, 0) && fake.calls == 1);
    CHECK(vm_huge_growth(chunk(3) + 65536, 65536, USED) == 65536);
}

CHILD_CASE(never_elsewhere)
{
    prepare("always [madvise] never\n", "never");
    vm_huge_mapped(chunk(0), 2 * VM_CHUNK_BYTES);
    CHECK(!vm_huge_open(chunk(2), USED, 0));
    CHECK(fake.calls == 0);
}

CHILD_CASE(always_from_the_first_byte)
{
    prepare("always [madvise] never\n", "always");
    vm_huge_mapped(chunk(0), 2 * VM_CHUNK_BYTES);
    CHECK(fake.huge[0] && fake.huge[1] && !fake.huge[2]);
    vm_huge_break(chunk(0), 4096);
    CHECK(fake.huge[0] && fake.calls == 1);
    CHECK(vm_huge_growth(chunk(3) + 65536, 65536, 0) == VM_CHUNK_BYTES - 65536);
}

CHILD_CASE(bad_options_leave_auto)
{
    prepare("always [madvise] never\n", "sometimes");
    CHECK(vm_huge_mode() == VM_THP_AUTO);
    CHECK(vm_huge_open(chunk(0), USED, 0));
}

CHILD_CASE(dear_huge_pages_stop_it)
{
    prepare("always [madvise] never\n", "");
    fake.cost = MILLISECOND / 10;
    for (unsigned i = 0; i < 10; i++) {
        CHECK(vm_huge_open(chunk(i), USED, 0));
        vm_huge_touch(chunk(0));
    }
    fake.cost = 2 * MILLISECOND;
    for (unsigned i = 10; i < 10 + VM_THP_COST_LOOKS; i++) {
        CHECK(vm_huge_open(chunk(i), USED, 0));
        vm_huge_touch(chunk(0) + 100);
    }
    CHECK(!vm_huge_open(chunk(30), USED, 0));
    CHECK(fake.memory[0] == 0 && fake.memory[100] == 0);
}

/* ---- Extents ---- */

#define LIVE 17
#define LARGE ((size_t)40 * VM_MIB) /* more than what is kept of freed ones */

static int extent_huge(void *base, size_t bytes, bool wanted)
{
    CHECK(wanted);
    fake.calls++;
    fake.last = base;
    fake.last_bytes = bytes;
    return fake.refuse ? -12 : 0;
}

static long extent_resident(void *base, size_t bytes)
{
    CHECK((uintptr_t)base % VM_THP_BYTES == 0 && bytes == VM_THP_BYTES);
    return (long)(bytes / vm_os.page_size * fake.per_cent / 100);
}

static void prepare_extents(const char *setting)
{
    prepare(setting, "");
    vm_os.huge = extent_huge;
    vm_os.resident = extent_resident;
    vm_extents_start();
    for (int i = 0; i < LIVE; i++)
        CHECK(vm_extent_alloc(16 * VM_MIB, 1));
    CHECK(fake.calls == 0);
}

static struct vm_extent *large(bool huge)
{
    unsigned before = fake.calls;
    struct vm_extent *e = vm_extent_alloc(LARGE, 1);

    CHECK(e && e->huge == huge && e->zeroed && fake.calls == before + huge);
    CHECK(!huge || (fake.last == (void *)e->base && fake.last_bytes == LARGE));
    CHECK(vm_extent_check());
    return e;
}

CHILD_CASE(dense_extents_make_the_next_huge)
{
    prepare_extents("always [madvise] never\n");
    fake.per_cent = 100;
    vm_extent_free(large(false)); /* found dense before it was freed, by the one before as well */
    struct vm_extent *e[VM_THP_WITNESS_TURN];
    for (unsigned i = 1; i < VM_THP_WITNESS_TURN; i++)
        e[i] = large(true);
    e[0] = large(false); /* the witness */
    fake.per_cent = 10;
    for (unsigned i = 1; i < VM_THP_WITNESS_TURN; i++)
        vm_extent_free(e[i]); /* huge ones tell nothing */
    vm_extents_trim();
    e[1] = large(true);
    vm_extent_free(e[0]);
    vm_extents_trim();
    large(false);
    CHECK(vm_extent_check());
}

CHILD_CASE(extents_yet_to_be_filled_are_not_sparse)
{
    prepare_extents("always [madvise] never\n");
    fake.per_cent = 0;
    for (int i = 0; i < 5; i++)
        large(false);
    fake.per_cent = 100;
    large(false);
    large(true);
}

CHILD_CASE(huge_extents_mix_with_no_others)
{
    prepare_extents("always [madvise] never\n");
    fake.per_cent = 100;
    large(false);
    struct vm_extent *e = large(true);
    uintptr_t base = e->base;
    CHECK(vm_extent_resize(e, LARGE / 2, true) && e->huge && vm_extent_check());
    CHECK(vm_extent_resize(e, LARGE, true) && e->base == base && vm_extent_check());
    CHECK(vm_extent_resize(e, 2 * LARGE, false) && e->huge && e->size == 2 * LARGE && vm_extent_check());
    vm_extent_free(e);
    vm_extents_trim();
    CHECK(vm_extent_check());
}

CHILD_CASE(extents_without_huge_pages)
{
    prepare_extents("[always] madvise never\n");
    fake.per_cent = 100;
    for (int i = 0; i < 5; i++)
        large(false);
}

CHILD_CASE(refused_advice_leaves_an_ordinary_extent)
{
    prepare_extents("always [madvise] never\n");
    fake.per_cent = 100;
    large(false);
    fake.refuse = true;
    struct vm_extent *e = vm_extent_alloc(LARGE, 1);
    CHECK(e && !e->huge && e->zeroed && fake.calls == 1);
}

#define SOME 100 /* extents of a wave */
static struct vm_extent *wave[SOME];

static long any_resident(void *base, size_t bytes)
{
    CHECK((uintptr_t)base % vm_os.page_size == 0 && bytes <= VM_THP_BYTES);
    return (long)(bytes / vm_os.page_size * fake.per_cent / 100);
}

/* 100 MiB come and go; of what comes again, the extents that got huge pages. */
static unsigned huge_ones_of_second_wave(size_t per_cent)
{
    unsigned count = 0;

    prepare("always [madvise] never\n", "");
    vm_os.huge = extent_huge;
    vm_os.resident = any_resident;
    fake.per_cent = per_cent;
    vm_extents_start();
    for (unsigned i = 0; i < SOME; i++)
        CHECK((wave[i] = vm_extent_alloc(VM_MIB, 1)) != NULL);
    for (unsigned i = 0; i < SOME; i++)
        vm_extent_free(wave[i * 7 % SOME]);
    CHECK(fake.calls == 0 && vm_extent_check());
    for (unsigned i = 0; i < SOME; i++) {
        CHECK((wave[i] = vm_extent_alloc(VM_MIB, 1)) && vm_extent_check());
        CHECK(!wave[i]->zeroed || *(unsigned char *)wave[i]->base == 0);
        memset((void *)wave[i]->base, 1, 4096);
        count += wave[i]->huge;
    }
    return count;
}

CHILD_CASE(a_second_wave_is_mapped_with_huge_pages)
{
    CHECK(huge_ones_of_second_wave(100) > SOME / 2);
    CHECK(fake.calls > 0 && fake.calls <= SOME / 4 + 1 && fake.last_bytes % VM_THP_BYTES == 0);
    size_t size = wave[50]->size;
    CHECK(vm_extent_resize(wave[50], 2 * size, false) && wave[50]->size == 2 * size && vm_extent_check());
    for (unsigned i = 0; i < SOME; i++)
        vm_extent_free(wave[i * 7 % SOME]);
    CHECK(vm_extent_check() && vm_extents_kept() >= SOME / 2 * VM_MIB);
    vm_extents_trim();
    CHECK(vm_extent_check() && vm_extents_kept() == 0);
}

CHILD_CASE(a_sparse_wave_is_not)
{
    CHECK(huge_ones_of_second_wave(50) == 0 && fake.calls == 0);
}

CHILD_CASE(a_wave_whose_huge_pages_are_dear_stops_at_once)
{
    fake.cost = 2 * VM_THP_COST_MAX_NS;
    CHECK(huge_ones_of_second_wave(100) <= 8 && fake.calls <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(a_large_and_dense_heap_earns_them),
        cmocka_unit_test(what_was_broken_up_soon_counts_against_them),
        cmocka_unit_test(dear_ones_pause_it_longer_each_time),
        cmocka_unit_test(one_that_is_far_too_dear_is_enough),
        cmocka_unit_test(dense_extents_earn_them_for_the_next),
        cmocka_unit_test(a_sparse_extent_doubles_what_is_needed),
        cmocka_unit_test(a_wave_earns_them),
        cmocka_unit_test(extents_of_a_wave_earn_them_when_those_before_were_dense),
        CHILD_TEST(small_heaps_ask_nothing),
        CHILD_TEST(waves_in_small_heaps),
        CHILD_TEST(waves_where_none_are_wanted),
        CHILD_TEST(earned_broken_up_and_earned_again),
        CHILD_TEST(refused_advice_is_none),
        CHILD_TEST(other_zones_get_none),
        CHILD_TEST(a_system_that_is_always_at_it),
        CHILD_TEST(a_system_without),
        CHILD_TEST(never_matters_only_where_it_is_always),
        CHILD_TEST(never_elsewhere),
        CHILD_TEST(always_from_the_first_byte),
        CHILD_TEST(bad_options_leave_auto),
        CHILD_TEST(dear_huge_pages_stop_it),
        CHILD_TEST(dense_extents_make_the_next_huge),
        CHILD_TEST(extents_yet_to_be_filled_are_not_sparse),
        CHILD_TEST(huge_extents_mix_with_no_others),
        CHILD_TEST(extents_without_huge_pages),
        CHILD_TEST(refused_advice_leaves_an_ordinary_extent),
        CHILD_TEST(a_second_wave_is_mapped_with_huge_pages),
        CHILD_TEST(a_sparse_wave_is_not),
        CHILD_TEST(a_wave_whose_huge_pages_are_dear_stops_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

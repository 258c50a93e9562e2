/* Unit tests of src/sim/tlb_study: the models count what the TLB model alone counts on the same references, whatever the
   page size; regions, sizes of blocks and touched memory add up.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/tlb_study.h"

#define REFS 40000
#define HEAP 0x555555600000u
#define STACK 0x7ffffff00000u

static struct vm_sim_ref ref[REFS];

/* Loads, stores and fetches in three places, some of them over the border of two pages. */
static void make_refs(uint64_t *r)
{
    static const uint64_t places[] = {HEAP, 0x7f0000000000, STACK};

    for (size_t i = 0; i < REFS; i++) {
        uint64_t at = places[below(r, 3)] + below(r, 300) * 4096 + below(r, 4096);
        ref[i] = (struct vm_sim_ref){.offset = at, .access = (uint8_t)below(r, 3), .bytes = (uint8_t)(1 + below(r, 16))};
    }
}

static struct vm_tlb *own_tlb(const struct vm_tlb_config *config)
{
    return vm_tlb_init(own_memory(vm_tlb_bytes(config)), config);
}

static void same_counts(const struct vm_tlb_counts *a, const struct vm_tlb_counts *b)
{
    CHECK(memcmp(a->hits, b->hits, sizeof a->hits) == 0 && memcmp(a->walks, b->walks, sizeof a->walks) == 0);
    CHECK(a->walk_reads == b->walk_reads && vm_tlb_total_refs(a) > 0);
}

static void play(struct vm_sim_tlb_study *s)
{
    for (size_t at = 0; at < REFS; at += VM_SIM_TRACE_BATCH) {
        struct vm_sim_item item = {
            .kind = VM_SIM_ITEM_REFS, .pid = 1, .ref = ref + at, .n = vm_min(VM_SIM_TRACE_BATCH, REFS - at)};
        vm_sim_tlb_study_item(s, &item);
    }
}

static void counts_are_the_models(void **state)
{
    (void)state;
    uint64_t r = unit_seed();
    const struct vm_tlb_config *model[] = {vm_tlb_preset("skylake"), vm_tlb_preset("cortex-a72"), vm_tlb_preset("textbook")};
    struct vm_sim_tlb_study *s = vm_sim_tlb_study_new(model, 3, 0);

    make_refs(&r);
    play(s);
    for (size_t m = 0; m < 3; m++)
        for (unsigned p = 0; p < VM_SIM_TLB_PAGES; p++) {
            struct vm_tlb_config config = *model[m];
            struct vm_tlb_counts ours, expected;
            if (p == VM_SIM_TLB_64K)
                config.shift[VM_TLB_SMALL] = 16;
            if (!vm_sim_tlb_study_counts(s, m, p, &ours)) {
                CHECK(m == 2 && p == VM_SIM_TLB_2M);
                continue;
            }
            struct vm_tlb *t = own_tlb(&config);
            vm_tlb_switch(t, 1);
            for (size_t i = 0; i < REFS; i++) {
                enum vm_tlb_size size = p == VM_SIM_TLB_2M ? VM_TLB_LARGE : VM_TLB_SMALL;
                uint64_t last = ref[i].offset + ref[i].bytes - 1;
                if (ref[i].access == VM_SIM_FETCH)
                    continue;
                vm_tlb_ref(t, ref[i].offset, size);
                if (last / 4096 != ref[i].offset / 4096)
                    vm_tlb_ref(t, last, size);
            }
            expected = vm_tlb_counts(t);
            same_counts(&ours, &expected);
            CHECK(vm_sim_tlb_study_refs(s) == vm_tlb_total_refs(&ours));
        }
    vm_sim_tlb_study_free(s);
}

static void regions_add_up(void **state)
{
    (void)state;
    uint64_t r = unit_seed(), pages = 0, refs = 0, walks = 0;
    const struct vm_tlb_config *model[] = {vm_tlb_preset("zen4")};
    struct vm_sim_tlb_study *s = vm_sim_tlb_study_new(model, 1, 0);
    struct vm_sim_tlb_region *region;
    struct vm_tlb_counts c;
    static const char *const names[] = {"program and brk heap", "mappings", "stack"};

    make_refs(&r);
    play(s);
    assert_int_equal(vm_sim_tlb_study_regions(s, &region), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(region[i].name, names[i]);
        assert_true(region[i].pages >= 290 && region[i].pages <= 301);
        pages += region[i].pages;
        refs += region[i].use.refs;
        walks += region[i].use.walks;
    }
    free(region);
    assert_true(vm_sim_tlb_study_counts(s, 0, VM_SIM_TLB_4K, &c));
    assert_int_equal(refs, vm_sim_tlb_study_refs(s));
    assert_int_equal(walks, vm_tlb_total_walks(&c));
    assert_int_equal(vm_sim_tlb_study_touched(s, VM_SIM_TLB_4K), pages * 4096);
    assert_int_equal(vm_sim_tlb_study_touched(s, VM_SIM_TLB_2M) % (2 << 20), 0);
    struct vm_sim_curve curve = vm_sim_tlb_study_curve(s, VM_SIM_TLB_4K);
    assert_int_equal(curve.distinct, pages);
    assert_int_equal(vm_sim_curve_misses(&curve, 1 << 20), pages); /* first touches alone */
    vm_sim_curve_free(&curve);
    vm_sim_tlb_study_free(s);
}

static void event(struct vm_sim_tlb_study *s, enum vm_sim_item_kind kind, uint64_t address, uint64_t bytes)
{
    struct vm_sim_item item = {.kind = kind, .pid = 1, .address = address, .bytes = bytes};

    vm_sim_tlb_study_item(s, &item);
}

/* Blocks: every page once when handed out, the first when taken back, under their size. */
static void blocks(void **state)
{
    (void)state;
    const struct vm_tlb_config *model[] = {vm_tlb_preset("textbook")};
    struct vm_sim_tlb_study *s = vm_sim_tlb_study_new(model, 1, 0);

    event(s, VM_SIM_ITEM_MALLOC, HEAP, 40);
    event(s, VM_SIM_ITEM_MALLOC, HEAP + 4096, 10 * 4096);
    event(s, VM_SIM_ITEM_FREE, HEAP, 0);
    event(s, VM_SIM_ITEM_FREE, HEAP + 8, 0); /* nobody's */
    event(s, VM_SIM_ITEM_MALLOC, HEAP + 16 * 4096 + 4000, 128); /* over a border */
    assert_int_equal(vm_sim_tlb_study_blocks(s), 3);
    assert_int_equal(vm_sim_tlb_study_refs(s), 1 + 10 + 1 + 2);
    assert_int_equal(vm_sim_tlb_study_class(s, 6).refs, 2);
    assert_int_equal(vm_sim_tlb_study_class(s, 6).walks, 1);
    assert_int_equal(vm_sim_tlb_study_class(s, 16).refs, 10);
    assert_int_equal(vm_sim_tlb_study_class(s, 7).walks, 2);
    assert_int_equal(vm_sim_tlb_study_touched(s, VM_SIM_TLB_4K), 13 * 4096);
    assert_int_equal(vm_sim_tlb_study_touched(s, VM_SIM_TLB_64K), 2 * 65536);
    assert_int_equal(vm_sim_tlb_study_touched(s, VM_SIM_TLB_2M), 2 << 20);
    vm_sim_tlb_study_free(s);
}

static void levels_and_reach(void **state)
{
    (void)state;
    const struct vm_tlb_config *c = vm_tlb_preset("skylake"), *t = vm_tlb_preset("textbook");

    assert_int_equal(vm_sim_tlb_walk_levels(c, VM_SIM_TLB_4K), 4);
    assert_int_equal(vm_sim_tlb_walk_levels(c, VM_SIM_TLB_64K), 4);
    assert_int_equal(vm_sim_tlb_walk_levels(c, VM_SIM_TLB_2M), 3);
    assert_int_equal(vm_sim_tlb_walk_levels(t, VM_SIM_TLB_4K), 1);
    assert_int_equal(vm_sim_tlb_reach(c, 1, VM_SIM_TLB_4K), 64 * 4096);
    assert_int_equal(vm_sim_tlb_reach(c, 2, VM_SIM_TLB_64K), 1536 * 65536);
    assert_int_equal(vm_sim_tlb_reach(c, 1, VM_SIM_TLB_2M), 32 << 21);
    assert_int_equal(vm_sim_tlb_reach(t, 2, VM_SIM_TLB_4K), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_the_models),
        cmocka_unit_test(regions_add_up),
        cmocka_unit_test(blocks),
        cmocka_unit_test(levels_and_reach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Unit tests of src/sim/paging: every mode against a plain list of pages, with vm_sim_pt_check() after every step; what
   tables cost; entries, canonical addresses, steps of the binary search.  Run by `make check`.  SEED sets the seed. */
#include "unit.h"

#include "sim/paging.h"

#define PAGE VM_SIM_PAGE_SIZE

/* A source of frames that can run out, and knows what is out. */
struct pool {
    unsigned left, out;
    vm_sim_pfn next;
};

static vm_sim_pfn pool_take(void *ctx, unsigned order)
{
    struct pool *p = ctx;

    if (p->left < 1u << order)
        return VM_SIM_NO_FRAME;
    p->left -= 1u << order;
    p->out += 1u << order;
    p->next += 1u << order;
    return p->next % 1000000;
}

static void pool_give(void *ctx, vm_sim_pfn frame, unsigned order)
{
    struct pool *p = ctx;

    (void)frame;
    CHECK(p->out >= 1u << order);
    p->out -= 1u << order;
    p->left += 1u << order;
}

static struct vm_sim_frame_source source(struct pool *p) { return (struct vm_sim_frame_source){pool_take, pool_give, p}; }
static const struct vm_sim_frame_source no_source;

static vm_sim_pte leaf(vm_sim_pfn frame)
{
    return vm_sim_pte_make(frame, VM_SIM_PTE_P | VM_SIM_PTE_W | VM_SIM_PTE_U, VM_SIM_HEAP);
}

static void entries(void **state)
{
    (void)state;
    vm_sim_pte e = vm_sim_pte_make(0xabcdef12, VM_SIM_PTE_P | VM_SIM_PTE_NX, VM_SIM_STACK);

    assert_int_equal(vm_sim_pte_frame(e), 0xabcdef12);
    assert_int_equal(vm_sim_pte_region(e), VM_SIM_STACK);
    assert_true(e & VM_SIM_PTE_NX);
    assert_false(vm_sim_pte_is_swap(e));
    assert_false(vm_sim_pte_is_swap(0));
    e = vm_sim_pte_swap(31, VM_SIM_SWAP_SLOTS - 1);
    assert_true(vm_sim_pte_is_swap(e) && e >> 32 == 0);
    assert_int_equal(vm_sim_pte_swap_area(e), 31);
    assert_int_equal(vm_sim_pte_swap_slot(e), VM_SIM_SWAP_SLOTS - 1);
    assert_true(vm_sim_pte_is_swap(vm_sim_pte_swap(0, 0)));
}

static void modes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned levels;
        uint64_t user_end;
    } want[] = {{"none", 0, (uint64_t)1 << 44}, {"single", 1, 3ul << 30}, {"sorted", 1, 3ul << 30}, {"2level", 2, 3ul << 30},
                {"pae", 3, 3ul << 30},          {"4level", 4, 128ul << 40}, {"5level", 5, 64ul << 50}};

    for (unsigned i = 0; i < VM_SIM_PAGING_MODES; i++) {
        const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[i];
        unsigned bits = VM_SIM_PAGE_SHIFT;
        assert_int_equal(vm_sim_paging_mode_of(want[i].name), i);
        assert_int_equal(g->levels, want[i].levels);
        assert_int_equal(g->user_end, want[i].user_end);
        for (unsigned level = 1; level <= g->levels; level++) {
            assert_int_equal(g->shift[level - 1], bits);
            bits += g->bits[level - 1];
        }
        if (g->levels)
            assert_int_equal(bits, g->linear_bits);
    }
    assert_int_equal(vm_sim_paging_mode_of("3level"), -EINVAL);
    assert_int_equal(vm_sim_paging_geometry[VM_SIM_PAGING_PAE].physical_bits, 36);
}

static void example_2240(void **state)
{
    (void)state;
    struct vm_sim_linear a = VM_SIM_LINEAR(0x2240);

    for (int m = VM_SIM_PAGING_SINGLE; m < VM_SIM_PAGING_MODES; m++) {
        assert_int_equal(vm_sim_table_index((enum vm_sim_paging_mode)m, a, 1), 2);
        assert_int_equal(vm_sim_page_offset((enum vm_sim_paging_mode)m, a, 1), 0x240);
        struct vm_sim_pt *pt = vm_sim_pt_new((enum vm_sim_paging_mode)m, no_source, NULL);
        assert_int_equal(vm_sim_pt_set(pt, a, 1, leaf(7)), 0);
        struct vm_sim_walk w = vm_sim_pt_walk(pt, a);
        assert_int_equal(w.level, 1);
        assert_int_equal(w.reads, vm_sim_paging_geometry[m].levels);
        assert_int_equal(vm_sim_pte_frame(w.entry), 7);
        assert_int_equal(w.path[0], w.entry);
        assert_int_equal(vm_sim_pte_frame(w.entry) * PAGE + vm_sim_page_offset((enum vm_sim_paging_mode)m, a, 1), 0x7240);
        vm_sim_pt_free(pt);
    }
}

static void canonical(void **state)
{
    (void)state;
    struct vm_sim_pt *pt = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, no_source, NULL);

    assert_true(vm_sim_is_canonical(VM_SIM_PAGING_4LEVEL, VM_SIM_LINEAR(0x00007fffffffffff)));
    assert_false(vm_sim_is_canonical(VM_SIM_PAGING_4LEVEL, VM_SIM_LINEAR(0x0000800000000000)));
    assert_false(vm_sim_is_canonical(VM_SIM_PAGING_4LEVEL, VM_SIM_LINEAR(0xffff7fffffffffff)));
    assert_true(vm_sim_is_canonical(VM_SIM_PAGING_4LEVEL, VM_SIM_LINEAR(0xffff800000000000)));
    assert_true(vm_sim_is_canonical(VM_SIM_PAGING_5LEVEL, VM_SIM_LINEAR(0x00ffffffffffffff)));
    assert_false(vm_sim_is_canonical(VM_SIM_PAGING_5LEVEL, VM_SIM_LINEAR(0x0100000000000000)));
    assert_true(vm_sim_is_canonical(VM_SIM_PAGING_5LEVEL, VM_SIM_LINEAR(0xff00000000000000)));
    assert_true(vm_sim_is_canonical(VM_SIM_PAGING_PAE, VM_SIM_LINEAR(0xffffffff)));
    assert_false(vm_sim_is_canonical(VM_SIM_PAGING_2LEVEL, VM_SIM_LINEAR(0x100000000)));
    assert_int_equal(vm_sim_pt_set(pt, VM_SIM_LINEAR(0x0000800000000000), 1, leaf(1)), -EINVAL);
    assert_true(vm_sim_pt_check(pt));
    vm_sim_pt_free(pt);
}

/* The figures of the model. */
static void cost_of_tables(void **state)
{
    (void)state;
    uint64_t mib = 1 << 20;

    assert_int_equal(vm_sim_tables_full(VM_SIM_PAGING_SINGLE), 4 * mib);
    assert_int_equal(100 * vm_sim_tables_full(VM_SIM_PAGING_SINGLE), 400 * mib);
    assert_int_equal(vm_sim_tables_full(VM_SIM_PAGING_2LEVEL), 4 * mib + 4096);
    assert_float_equal(vm_sim_tables_part(VM_SIM_PAGING_2LEVEL, 0.2), 4096 + 0.2 * 4 * (double)mib, 1e-6);
    assert_float_equal(vm_sim_tables_part(VM_SIM_PAGING_2LEVEL, 0.2) / (double)mib, 0.804, 0.0005);
    assert_int_equal(vm_sim_tables_full(VM_SIM_PAGING_PAE), 32 + 4 * 4096 + 2048 * 4096);
    assert_int_equal(vm_sim_tables_for(VM_SIM_PAGING_4LEVEL, VM_SIM_LINEAR(0x400000), 1), 4);
    assert_int_equal(vm_sim_tables_for(VM_SIM_PAGING_4LEVEL, VM_SIM_LINEAR((1ul << 30) - PAGE), 2), 6);
    assert_int_equal(vm_sim_tables_for(VM_SIM_PAGING_2LEVEL, VM_SIM_LINEAR(0), 1025), 3);

    /* The same from tables that are there: 100 processes, each with one page, and one with 20 % of its tables. */
    struct vm_sim_pt *flat[100];
    uint64_t bytes = 0;
    for (unsigned i = 0; i < 100; i++) {
        flat[i] = vm_sim_pt_new(VM_SIM_PAGING_SINGLE, no_source, NULL);
        bytes += vm_sim_pt_stats(flat[i]).bytes;
        vm_sim_pt_free(flat[i]);
    }
    assert_int_equal(bytes, 400 * mib);
    struct vm_sim_pt *two = vm_sim_pt_new(VM_SIM_PAGING_2LEVEL, no_source, NULL);
    for (uint64_t i = 0; i < 205; i++) /* 20 % of 1024 tables is 204.8 */
        assert_int_equal(vm_sim_pt_set(two, VM_SIM_LINEAR(i << 22), 1, leaf(1)), 0);
    assert_int_equal(vm_sim_pt_stats(two).bytes, 4096 + 205 * 4096);
    assert_int_equal(vm_sim_pt_stats(two).frames, 206);
    vm_sim_pt_free(two);
}

static void sorted_steps(void **state)
{
    (void)state;
    struct vm_sim_pt *pt = vm_sim_pt_new(VM_SIM_PAGING_SORTED, no_source, NULL);

    assert_int_equal(vm_sim_pt_walk(pt, VM_SIM_LINEAR(0)).reads, 0);
    for (uint64_t i = 0; i < 1023; i++)
        assert_int_equal(vm_sim_pt_set(pt, VM_SIM_LINEAR((1022 - i) * 3 * PAGE), 1, leaf((vm_sim_pfn)i)), 0);
    /* 1023 = 2^10 - 1 pages: the middle one is found in 1 step, the ends in 10; what is not there takes 10. */
    assert_int_equal(vm_sim_pt_walk(pt, VM_SIM_LINEAR(511 * 3 * PAGE)).reads, 1);
    assert_int_equal(vm_sim_pt_walk(pt, VM_SIM_LINEAR(0)).reads, 10);
    assert_int_equal(vm_sim_pt_walk(pt, VM_SIM_LINEAR(1022 * 3 * PAGE)).reads, 10);
    assert_int_equal(vm_sim_pt_walk(pt, VM_SIM_LINEAR(7 * PAGE)).reads, 10);
    assert_null(vm_sim_pt_walk(pt, VM_SIM_LINEAR(7 * PAGE)).where);
    assert_int_equal(vm_sim_pt_stats(pt).bytes, 1023 * 8);
    assert_int_equal(vm_sim_pt_stats(pt).frames, 2);
    assert_int_equal(vm_sim_pt_stats(pt).searches, 6);
    assert_true(vm_sim_pt_check(pt));
    vm_sim_pt_free(pt);
}

static void large_pages(void **state)
{
    (void)state;
    struct vm_sim_pt *pt = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, no_source, NULL);
    struct vm_sim_linear a = VM_SIM_LINEAR(0x40000000);
    unsigned level;

    assert_int_equal(vm_sim_pt_set(pt, a, 2, leaf(513)), -EINVAL); /* not on a border of 2 MiB */
    assert_int_equal(vm_sim_pt_set(pt, a, 4, leaf(0)), -EINVAL);
    assert_int_equal(vm_sim_pt_set(pt, a, 2, vm_sim_pte_swap(0, 1)), -EINVAL);
    assert_int_equal(vm_sim_pt_set(pt, a, 3, leaf(1u << 18)), 0);
    assert_int_equal(vm_sim_pt_walk(pt, VM_SIM_LINEAR(a.at + 0x12345678)).reads, 2);
    assert_int_equal(vm_sim_pt_set(pt, a, 1, leaf(3)), -EEXIST);
    assert_int_equal(vm_sim_pt_split(pt, a), 0);
    assert_int_equal(vm_sim_pte_frame(*vm_sim_pt_find(pt, VM_SIM_LINEAR(a.at + 5 * (2ul << 20)), &level)), (1u << 18) + 5 * 512);
    assert_int_equal(level, 2);
    assert_int_equal(vm_sim_pt_split(pt, VM_SIM_LINEAR(a.at + 5 * (2ul << 20))), 0);
    vm_sim_pte *e = vm_sim_pt_find(pt, VM_SIM_LINEAR(a.at + 5 * (2ul << 20) + 7 * PAGE), &level);
    assert_int_equal(vm_sim_pte_frame(*e), (1u << 18) + 5 * 512 + 7);
    assert_int_equal(level, 1);
    assert_false(*e & VM_SIM_PTE_PS);
    assert_int_equal(vm_sim_pt_set(pt, a, 3, leaf(0)), -EEXIST);
    assert_true(vm_sim_pt_check(pt));
    assert_int_equal(vm_sim_pt_stats(pt).leaves[1], 511);
    assert_int_equal(vm_sim_pt_stats(pt).leaves[0], 512);
    assert_int_equal(vm_sim_pt_split(pt, VM_SIM_LINEAR(0)), -ENOENT);
    vm_sim_pt_free(pt);

    /* Frames that do not fit. */
    pt = vm_sim_pt_new(VM_SIM_PAGING_2LEVEL, no_source, NULL);
    assert_int_equal(vm_sim_pt_set(pt, a, 1, leaf(1u << 20)), -ERANGE);
    assert_int_equal(vm_sim_pt_set(pt, a, 2, leaf(1024)), 0); /* 4 MiB */
    assert_int_equal(vm_sim_pt_set(pt, a, 2, leaf(512)), -EINVAL);
    vm_sim_pt_free(pt);
    pt = vm_sim_pt_new(VM_SIM_PAGING_PAE, no_source, NULL);
    assert_int_equal(vm_sim_pt_set(pt, a, 1, leaf((1u << 24) - 1)), 0);
    assert_int_equal(vm_sim_pt_set(pt, a, 1, leaf(1u << 24)), -ERANGE);
    vm_sim_pt_free(pt);
}

static void kernel_half_is_shared(void **state)
{
    (void)state;
    struct vm_sim_pt *kernel = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, no_source, NULL);
    struct vm_sim_pt *a = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, no_source, kernel);
    struct vm_sim_pt *b = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, no_source, kernel);
    struct vm_sim_linear up = VM_SIM_LINEAR(0xffffc90000000000), low = VM_SIM_LINEAR(0x400000);

    assert_int_equal(vm_sim_pt_set(a, up, 1, leaf(9)), 0);
    assert_int_equal(vm_sim_pt_set(a, low, 1, leaf(10)), 0);
    assert_int_equal(vm_sim_pte_frame(vm_sim_pt_walk(b, up).entry), 9);
    assert_null(vm_sim_pt_walk(b, low).where);
    assert_ptr_equal(vm_sim_pt_find(a, up, NULL), vm_sim_pt_find(b, up, NULL));
    assert_int_equal(vm_sim_pt_stats(kernel).leaves[0], 1);
    assert_int_equal(vm_sim_pt_stats(a).leaves[0], 1);
    assert_true(vm_sim_pt_check(kernel) && vm_sim_pt_check(a) && vm_sim_pt_check(b));
    vm_sim_pt_free(a);
    vm_sim_pt_free(b);
    vm_sim_pt_free(kernel);
}

/* ---- Random model ---- */

#define SPOTS 600

struct spot {
    uint64_t at; /* page */
    vm_sim_pte entry;
};

static struct spot spot[SPOTS];
static struct pool pool;

static int next_spot(void *ctx, struct vm_sim_linear page, unsigned level, vm_sim_pte *entry)
{
    uint64_t *at = ctx; /* the address that may come next at the least */
    bool found = false;

    CHECK(level == 1 && page.at >= *at);
    *at = page.at + PAGE;
    for (unsigned i = 0; i < SPOTS; i++)
        found |= spot[i].entry && spot[i].at == page.at && spot[i].entry == *entry;
    CHECK(found);
    at[1]++;
    return 0;
}

static void random_pages_of(enum vm_sim_paging_mode mode, uint64_t *seed)
{
    bool wide = vm_sim_paging_geometry[mode].linear_bits > 32;
    struct vm_sim_pt *pt = vm_sim_pt_new(mode, source(&pool), NULL);
    uint64_t used = 0, swapped = 0;

    for (unsigned i = 0; i < SPOTS; i++) {
        uint64_t at = next_random(seed) & (one_in(seed, 2) ? 0xfff000 : wide ? 0x7ffffffff000 : 0xfffff000);
        spot[i] = (struct spot){at, 0};
        for (unsigned k = 0; k < i; k++) /* each page once */
            if (spot[k].at == at)
                i--, k = i;
    }
    for (unsigned step = 0; step < (UNIT_SANITIZED ? 3000 : 8000); step++) {
        struct spot *s = &spot[below(seed, SPOTS)];
        vm_sim_pte e = one_in(seed, 3) ? 0 : one_in(seed, 4) ? vm_sim_pte_swap(1, step) : leaf(step);
        unsigned before = pool.out;
        pool.left = one_in(seed, 10) ? (unsigned)below(seed, 4) : 100000; /* sometimes there are few */
        int error = vm_sim_pt_set(pt, VM_SIM_LINEAR(s->at), 1, e);
        if (error) {
            CHECK(error == -ENOMEM && e != 0 && s->entry == 0 && pool.out == before);
        } else {
            used += !!e - !!s->entry;
            swapped += vm_sim_pte_is_swap(e) - vm_sim_pte_is_swap(s->entry);
            s->entry = e;
        }
        s = &spot[below(seed, SPOTS)];
        struct vm_sim_walk w = vm_sim_pt_walk(pt, VM_SIM_LINEAR(s->at + below(seed, PAGE)));
        CHECK(w.entry == s->entry && (w.where ? *w.where == w.entry : w.entry == 0));
        vm_sim_pte *found = vm_sim_pt_find(pt, VM_SIM_LINEAR(s->at), NULL);
        CHECK(found == w.where);
        if (step % (mode == VM_SIM_PAGING_SINGLE ? 500 : 20) == 0) {
            struct vm_sim_pt_stats st = vm_sim_pt_stats(pt);
            CHECK(vm_sim_pt_check(pt) && st.frames == pool.out);
            CHECK(st.leaves[0] == used - swapped && st.swapped == swapped);
            uint64_t next[2] = {0, 0};
            vm_sim_pt_each(pt, VM_SIM_LINEAR(0), VM_SIM_LINEAR(0), next_spot, next);
            CHECK(next[1] == used);
        }
    }
    for (unsigned i = 0; i < SPOTS; i++)
        CHECK(vm_sim_pt_set(pt, VM_SIM_LINEAR(spot[i].at), 1, 0) == 0);
    CHECK(vm_sim_pt_check(pt));
    CHECK(pool.out == (mode == VM_SIM_PAGING_SORTED ? 0 : mode == VM_SIM_PAGING_SINGLE ? 1024 : 1)); /* the top stays */
    vm_sim_pt_free(pt);
    CHECK(pool.out == 0);
}

static void random_pages(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();

    for (int mode = VM_SIM_PAGING_SINGLE; mode < VM_SIM_PAGING_MODES; mode++) {
        pool = (struct pool){100000, 0, 0};
        random_pages_of((enum vm_sim_paging_mode)mode, &seed);
    }
    pool = (struct pool){0, 0, 0};
    assert_null(vm_sim_pt_new(VM_SIM_PAGING_2LEVEL, source(&pool), NULL));
}

static int count_one(void *ctx, struct vm_sim_linear page, unsigned level, vm_sim_pte *entry)
{
    (void)page;
    (void)level;
    (void)entry;
    return ++*(int *)ctx == 3 ? 42 : 0;
}

static void ranges(void **state)
{
    (void)state;
    struct vm_sim_pt *pt = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, no_source, NULL);
    int n = 0;

    vm_sim_pt_set(pt, VM_SIM_LINEAR(0x1000), 1, leaf(1));
    vm_sim_pt_set(pt, VM_SIM_LINEAR(0x200000), 2, leaf(512));
    vm_sim_pt_set(pt, VM_SIM_LINEAR(0xffff800000000000), 1, leaf(1));
    vm_sim_pt_set(pt, VM_SIM_LINEAR(0xfffffffffffff000), 1, leaf(1));
    vm_sim_pt_each(pt, VM_SIM_LINEAR(0x2000), VM_SIM_LINEAR(0x201000), count_one, &n); /* the large one, by its part */
    assert_int_equal(n, 1);
    vm_sim_pt_each(pt, VM_SIM_LINEAR(0x2000), VM_SIM_LINEAR(0x2000), count_one, &n);
    assert_int_equal(n, 1);
    n = 0;
    assert_int_equal(vm_sim_pt_each(pt, VM_SIM_LINEAR(0), VM_SIM_LINEAR(0), count_one, &n), 42);
    n = 0;
    vm_sim_pt_each(pt, VM_SIM_LINEAR(0xffff800000001000), VM_SIM_LINEAR(0), count_one, &n);
    assert_int_equal(n, 1);
    vm_sim_pt_free(pt);
}

static void check_finds_faults(void **state)
{
    (void)state;
    struct vm_sim_pt *pt = vm_sim_pt_new(VM_SIM_PAGING_4LEVEL, no_source, NULL);

    vm_sim_pt_set(pt, VM_SIM_LINEAR(0x1000), 1, leaf(1));
    vm_sim_pte *e = vm_sim_pt_find(pt, VM_SIM_LINEAR(0x1000), NULL), saved = *e;
    assert_true(vm_sim_pt_check(pt));
    *e = 0; /* the count of the table is wrong now */
    assert_false(vm_sim_pt_check(pt));
    *e = vm_sim_pte_swap(0, 1);
    assert_false(vm_sim_pt_check(pt));
    *e = saved | VM_SIM_PTE_A;
    assert_true(vm_sim_pt_check(pt));
    vm_sim_pt_free(pt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries),      cmocka_unit_test(modes),
        cmocka_unit_test(example_2240), cmocka_unit_test(canonical),
        cmocka_unit_test(cost_of_tables), cmocka_unit_test(sorted_steps),
        cmocka_unit_test(large_pages),  cmocka_unit_test(kernel_half_is_shared),
        cmocka_unit_test(random_pages), cmocka_unit_test(ranges),
        cmocka_unit_test(check_finds_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Unit tests of src/base/tree: random operations against a sorted array, checked after every step.  Run by `make
   check`.  SEED sets the seed. */
#include "unit.h"

#include "base/tree.h"

#define NODES 300

static struct vm_tree_node node[NODES];
static struct vm_tree_node *sorted[NODES]; /* the reference: what is in the tree, in order */
static unsigned count;

static bool before(const struct vm_tree_node *a, const struct vm_tree_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static unsigned place_of(const struct vm_tree_node *n)
{
    unsigned i = 0;
    while (i < count && before(sorted[i], n))
        i++;
    return i;
}

static void compare(const struct vm_tree *t, uint64_t key)
{
    unsigned i = 0;

    CHECK(vm_tree_check(t) == (long)count);
    while (i < count && sorted[i]->key < key)
        i++;
    struct vm_tree_node *n = vm_tree_first_at_least(t, key);
    CHECK(n == (i < count ? sorted[i] : NULL));
    /* From there to the end, in order. */
    for (; n; n = vm_tree_next(t, n), i++)
        CHECK(i < count && n == sorted[i]);
    CHECK(i == count);
}

static void random_model(void **state)
{
    (void)state;
    uint64_t r = unit_seed();
    bool in[NODES] = {false};
    struct vm_tree t = {NULL};

    for (unsigned step = 0; step < 30000; step++) {
        /* Phases of growing and of shrinking; few keys, so that many nodes share one. */
        unsigned i = (unsigned)below(&r, NODES);
        bool grow = below(&r, 8) < (step / 2000 % 2 ? 2 : 6);
        if (grow && !in[i]) {
            node[i] = (struct vm_tree_node){NULL, NULL, below(&r, step / 5000 % 2 ? 12 : UINT64_MAX), (uintptr_t)&node[i]};
            unsigned at = place_of(&node[i]);
            memmove(sorted + at + 1, sorted + at, (count++ - at) * sizeof *sorted);
            sorted[at] = &node[i];
            vm_tree_insert(&t, &node[i]);
            in[i] = true;
        } else if (!grow && in[i]) {
            unsigned at = place_of(&node[i]);
            memmove(sorted + at, sorted + at + 1, (--count - at) * sizeof *sorted);
            vm_tree_remove(&t, &node[i]);
            in[i] = false;
        }
        if (step % 16 == 0 || count < 5)
            compare(&t, one_in(&r, 2) ? below(&r, 14) : count ? sorted[below(&r, count)]->key : 0);
        else
            CHECK(vm_tree_check(&t) == (long)count);
    }
}

static void edges(void **state)
{
    (void)state;
    struct vm_tree t = {NULL};
    struct vm_tree_node a = {NULL, NULL, 0, 1}, b = {NULL, NULL, UINT64_MAX, 1};

    assert_null(vm_tree_first_at_least(&t, 0));
    assert_int_equal(vm_tree_check(&t), 0);
    vm_tree_insert(&t, &b);
    vm_tree_insert(&t, &a);
    assert_ptr_equal(vm_tree_first_at_least(&t, 0), &a);
    assert_ptr_equal(vm_tree_first_at_least(&t, 1), &b);
    assert_ptr_equal(vm_tree_first_at_least(&t, UINT64_MAX), &b);
    assert_ptr_equal(vm_tree_next(&t, &a), &b);
    assert_null(vm_tree_next(&t, &b));
    vm_tree_remove(&t, &a);
    assert_ptr_equal(t.root, &b);
    vm_tree_remove(&t, &b);
    assert_null(t.root);
}

/* vm_tree_check must find what it is there to find. */
static void check_finds_faults(void **state)
{
    (void)state;
    struct vm_tree t = {NULL};

    for (unsigned i = 0; i < 50; i++) {
        node[i] = (struct vm_tree_node){NULL, NULL, i, i};
        vm_tree_insert(&t, &node[i]);
    }
    assert_int_equal(vm_tree_check(&t), 50);
    node[20].key = 40; /* out of order */
    assert_int_equal(vm_tree_check(&t), -1);
    node[20].key = 20;
    struct vm_tree_node *root = t.root, *child = root->left ? root->left : root->right;
    struct vm_tree alone = {child}; /* the child above its parent: priorities are wrong, order is not */
    if (child == root->left) {
        struct vm_tree_node *inner = child;
        while (inner->right)
            inner = inner->right;
        inner->right = root;
        root->left = NULL;
    } else {
        struct vm_tree_node *inner = child;
        while (inner->left)
            inner = inner->left;
        inner->left = root;
        root->right = NULL;
    }
    assert_int_equal(vm_tree_check(&alone), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_model), cmocka_unit_test(edges), cmocka_unit_test(check_finds_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

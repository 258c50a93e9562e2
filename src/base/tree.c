/* The treap of tree.h.  Invariants, stated again in vm_tree_check():
     in order: (key, order) strictly ascending;  heap: priority(parent) >= priority(child). */
#include "base/tree.h"

static uint64_t priority(const struct vm_tree_node *n)
{
    /* Fibonacci hashing of the node's address, the multiplier being 2^64 over the golden ratio. */
    uint64_t h = ((uint64_t)(uintptr_t)n >> 4) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static bool before(const struct vm_tree_node *a, const struct vm_tree_node *b)
{
    return a->key < b->key || (a->key == b->key && a->order < b->order);
}

/* Splits the tree below `from` into what comes before node and what comes after it. */
static void split(struct vm_tree_node *from, const struct vm_tree_node *node, struct vm_tree_node **less,
                  struct vm_tree_node **more)
{
    while (from) {
        if (before(from, node)) {
            *less = from;
            less = &from->right;
            from = from->right;
        } else {
            *more = from;
            more = &from->left;
            from = from->left;
        }
    }
    *less = *more = NULL;
}

static struct vm_tree_node *join(struct vm_tree_node *less, struct vm_tree_node *more)
{
    struct vm_tree_node *root = NULL, **at = &root;

    while (less && more) {
        if (priority(less) >= priority(more)) {
            *at = less;
            at = &less->right;
            less = less->right;
        } else {
            *at = more;
            at = &more->left;
            more = more->left;
        }
    }
    *at = less ? less : more;
    return root;
}

void vm_tree_insert(struct vm_tree *t, struct vm_tree_node *node)
{
    struct vm_tree_node **at = &t->root;

    while (*at && priority(*at) >= priority(node))
        at = before(node, *at) ? &(*at)->left : &(*at)->right;
    split(*at, node, &node->left, &node->right);
    *at = node;
}

void vm_tree_remove(struct vm_tree *t, struct vm_tree_node *node)
{
    struct vm_tree_node **at = &t->root;

    while (*at != node)
        at = before(node, *at) ? &(*at)->left : &(*at)->right;
    *at = join(node->left, node->right);
    node->left = node->right = NULL;
}

struct vm_tree_node *vm_tree_first_at_least(const struct vm_tree *t, uint64_t key)
{
    struct vm_tree_node *best = NULL;

    for (struct vm_tree_node *n = t->root; n;) {
        if (n->key >= key) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

struct vm_tree_node *vm_tree_next(const struct vm_tree *t, const struct vm_tree_node *node)
{
    struct vm_tree_node *best = NULL;

    for (struct vm_tree_node *n = t->root; n;) {
        if (before(node, n)) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

static long check(const struct vm_tree_node *n, const struct vm_tree_node *low, const struct vm_tree_node *high)
{
    if (!n)
        return 0;
    if ((low && !before(low, n)) || (high && !before(n, high)))
        return -1;
    if ((n->left && priority(n->left) > priority(n)) || (n->right && priority(n->right) > priority(n)))
        return -1;
    long left = check(n->left, low, n), right = check(n->right, n, high);
    return left < 0 || right < 0 ? -1 : left + 1 + right;
}

long vm_tree_check(const struct vm_tree *t) { return check(t->root, NULL, NULL); }

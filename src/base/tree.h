/* An intrusive treap ordered by (key, address of the node): the trees of free extents.  Priorities are a hash of the
   node's address, so a tree's shape depends on nothing but its content.  The caller locks. */
#ifndef VM_TREE_H
#define VM_TREE_H

#include "base/base.h"

struct vm_tree_node {
    struct vm_tree_node *left, *right;
    uint64_t key;   /* first sort key; for free extents the size in bytes */
    uint64_t order; /* second sort key; for free extents the address */
};

struct vm_tree {
    struct vm_tree_node *root;
};

void vm_tree_insert(struct vm_tree *t, struct vm_tree_node *node);

/* node must be in the tree, its keys unchanged since it was inserted. */
void vm_tree_remove(struct vm_tree *t, struct vm_tree_node *node);

/* The first node in order with key >= the given one, or NULL. */
struct vm_tree_node *vm_tree_first_at_least(const struct vm_tree *t, uint64_t key);

/* The next node in order after node, or NULL; O(depth). */
struct vm_tree_node *vm_tree_next(const struct vm_tree *t, const struct vm_tree_node *node);

/* Sorted, heap-ordered?  Returns the number of nodes, or -1 when an invariant does not hold. */
long vm_tree_check(const struct vm_tree *t);

#endif

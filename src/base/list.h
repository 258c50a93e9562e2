/* Doubly linked intrusive lists.  A list head is a node of its own; an empty list points at itself. */
#ifndef VM_LIST_H
#define VM_LIST_H

#include "base/base.h"

struct vm_list {
    struct vm_list *next, *prev;
};

VM_INLINE void vm_list_init(struct vm_list *l) { l->next = l->prev = l; }
VM_INLINE bool vm_list_empty(const struct vm_list *l) { return l->next == l; }

VM_INLINE void vm_list_insert_after(struct vm_list *at, struct vm_list *node)
{
    node->next = at->next;
    node->prev = at;
    at->next->prev = node;
    at->next = node;
}

VM_INLINE void vm_list_push_front(struct vm_list *l, struct vm_list *node) { vm_list_insert_after(l, node); }
VM_INLINE void vm_list_push_back(struct vm_list *l, struct vm_list *node) { vm_list_insert_after(l->prev, node); }

VM_INLINE void vm_list_remove(struct vm_list *node)
{
    node->next->prev = node->prev;
    node->prev->next = node->next;
    node->next = node->prev = node;
}

#endif

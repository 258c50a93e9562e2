/* Replacement policies on bare page numbers; see policy.h.

   A page that was ever seen keeps its node, so memory is proportional to the distinct pages.  Nodes are found by a hash
   table of open addressing, and are on the lists by index.  Invariants (vm_sim_policy_check): the lists hold each resident
   page once; resident <= frames; only two-list has an active list; every node is found by its page. */
#include "sim/policy.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "sim/mem.h"

static const char *const policy_names[VM_SIM_POLICIES] = {"two-list", "fifo", "clock", "lru", "optimum"};

const char *vm_sim_policy_name(enum vm_sim_page_policy p) { return p < VM_SIM_POLICIES ? policy_names[p] : "?"; }

int vm_sim_policy_of(const char *name)
{
    for (int p = 0; p < VM_SIM_POLICIES; p++)
        if (strcmp(policy_names[p], name) == 0)
            return p;
    return -EINVAL;
}

/* ---- Pages by number ---- */

#define NO_NODE UINT32_MAX

enum on { OUT, INACTIVE, ACTIVE, LISTS };

struct node {
    uint64_t page;
    uint32_t next, prev; /* on its list; next is away from the front */
    uint8_t on;
    bool accessed;   /* the A bit */
    bool referenced; /* found accessed once by the scan, or put out before */
    bool was_out;
};

struct pages {
    struct node *node;
    size_t nodes, cap;
    uint32_t *slot; /* index + 1, or 0; a power of two of them */
    size_t slots;
};

static size_t slot_of(const struct pages *p, uint64_t page)
{
    size_t i = (size_t)((page * 0x9e3779b97f4a7c15u) >> 20) & (p->slots - 1);

    while (p->slot[i] && p->node[p->slot[i] - 1].page != page)
        i = (i + 1) & (p->slots - 1);
    return i;
}

static void pages_grow(struct pages *p)
{
    free(p->slot);
    p->slots = p->slots ? p->slots * 2 : 64;
    p->slot = vm_sim_zalloc(p->slots * sizeof *p->slot);
    for (size_t n = 0; n < p->nodes; n++)
        p->slot[slot_of(p, p->node[n].page)] = (uint32_t)n + 1;
}

/* The node of a page, made when it is new. */
static uint32_t node_of(struct pages *p, uint64_t page)
{
    if (p->nodes * 2 >= p->slots)
        pages_grow(p);
    size_t i = slot_of(p, page);
    if (!p->slot[i]) {
        VM_ASSERT(p->nodes < NO_NODE - 1);
        vm_sim_grow(&p->node, &p->cap, p->nodes + 1, sizeof *p->node);
        p->node[p->nodes] = (struct node){.page = page, .next = NO_NODE, .prev = NO_NODE};
        p->slot[i] = (uint32_t)++p->nodes;
    }
    return p->slot[i] - 1;
}

static void pages_free(struct pages *p)
{
    free(p->node);
    free(p->slot);
}

/* ---- The lists ---- */

struct vm_sim_policy_run {
    enum vm_sim_page_policy policy; /* const: */
    uint64_t frames;                /* const: */
    struct pages pages;
    struct {
        uint32_t front, tail;
        uint64_t length;
    } list[LISTS];
    uint64_t faults, refs;
};

static void list_remove(struct vm_sim_policy_run *r, uint32_t n)
{
    struct node *node = &r->pages.node[n];
    unsigned on = node->on;

    if (node->prev == NO_NODE)
        r->list[on].front = node->next;
    else
        r->pages.node[node->prev].next = node->next;
    if (node->next == NO_NODE)
        r->list[on].tail = node->prev;
    else
        r->pages.node[node->next].prev = node->prev;
    r->list[on].length--;
    node->on = OUT;
    node->next = node->prev = NO_NODE;
}

static void list_push_front(struct vm_sim_policy_run *r, enum on on, uint32_t n)
{
    struct node *node = &r->pages.node[n];

    node->on = (uint8_t)on;
    node->prev = NO_NODE;
    node->next = r->list[on].front;
    if (node->next == NO_NODE)
        r->list[on].tail = n;
    else
        r->pages.node[node->next].prev = n;
    r->list[on].front = n;
    r->list[on].length++;
}

static void list_move(struct vm_sim_policy_run *r, enum on on, uint32_t n)
{
    list_remove(r, n);
    list_push_front(r, on, n);
}

/* ---- Victims ---- */

static bool test_and_clear(bool *flag)
{
    bool was = *flag;

    *flag = false;
    return was;
}

static uint32_t clock_victim(struct vm_sim_policy_run *r)
{
    uint32_t n;

    while (test_and_clear(&r->pages.node[n = r->list[INACTIVE].tail].accessed))
        list_move(r, INACTIVE, n);
    return n;
}

static void shorten_active(struct vm_sim_policy_run *r)
{
    for (uint64_t left = r->list[ACTIVE].length; left > 0 && r->list[ACTIVE].length > r->list[INACTIVE].length;
         left--) {
        uint32_t n = r->list[ACTIVE].tail;
        list_move(r, test_and_clear(&r->pages.node[n].accessed) ? ACTIVE : INACTIVE, n);
    }
}

static uint32_t two_list_victim(struct vm_sim_policy_run *r)
{
    for (;;) {
        shorten_active(r);
        uint32_t n = r->list[INACTIVE].tail;
        if (n == NO_NODE) /* all active and referenced: their bits are clear now */
            continue;
        struct node *node = &r->pages.node[n];
        if (!test_and_clear(&node->accessed))
            return n;
        list_move(r, test_and_clear(&node->referenced) ? ACTIVE : (node->referenced = true, INACTIVE), n);
    }
}

static uint32_t victim_of(struct vm_sim_policy_run *r)
{
    switch (r->policy) {
    case VM_SIM_CLOCK: return clock_victim(r);
    case VM_SIM_TWO_LIST: return two_list_victim(r);
    default: return r->list[INACTIVE].tail;
    }
}

/* ---- Runs ---- */

struct vm_sim_policy_run *vm_sim_policy_start(enum vm_sim_page_policy p, uint64_t frames)
{
    struct vm_sim_policy_run *r = vm_sim_zalloc(sizeof *r);

    VM_ASSERT(p < VM_SIM_OPTIMUM && frames > 0);
    r->policy = p;
    r->frames = frames;
    for (unsigned i = 0; i < LISTS; i++)
        r->list[i].front = r->list[i].tail = NO_NODE;
    return r;
}

static VM_NOINLINE void fault(struct vm_sim_policy_run *r, uint32_t n, uint64_t *victim)
{
    r->faults++;
    if (r->list[INACTIVE].length + r->list[ACTIVE].length == r->frames) {
        uint32_t out = victim_of(r);
        list_remove(r, out);
        r->pages.node[out].accessed = r->pages.node[out].referenced = false;
        r->pages.node[out].was_out = true;
        if (victim)
            *victim = r->pages.node[out].page;
    }
    r->pages.node[n].referenced = r->pages.node[n].was_out;
    list_push_front(r, INACTIVE, n);
}

bool vm_sim_policy_ref(struct vm_sim_policy_run *r, uint64_t page, uint64_t *victim)
{
    uint32_t n = node_of(&r->pages, page);
    bool faults = r->pages.node[n].on == OUT;

    r->refs++;
    if (victim)
        *victim = UINT64_MAX;
    if (faults)
        fault(r, n, victim);
    else if (r->policy == VM_SIM_LRU && r->list[INACTIVE].front != n)
        list_move(r, INACTIVE, n);
    r->pages.node[n].accessed = true;
    return faults;
}

uint64_t vm_sim_policy_faults(const struct vm_sim_policy_run *r) { return r->faults; }

void vm_sim_policy_end(struct vm_sim_policy_run *r)
{
    pages_free(&r->pages);
    free(r);
}

bool vm_sim_policy_check(const struct vm_sim_policy_run *r)
{
    uint64_t on[LISTS] = {0};

    for (size_t n = 0; n < r->pages.nodes; n++) {
        const struct node *node = &r->pages.node[n];
        if (node->on >= LISTS || r->pages.slot[slot_of(&r->pages, node->page)] != n + 1)
            return false;
        on[node->on]++;
    }
    for (unsigned l = INACTIVE; l < LISTS; l++) {
        uint64_t length = 0;
        uint32_t before = NO_NODE;
        for (uint32_t n = r->list[l].front; n != NO_NODE; before = n, n = r->pages.node[n].next)
            if (r->pages.node[n].on != l || r->pages.node[n].prev != before || ++length > on[l])
                return false;
        if (length != on[l] || length != r->list[l].length || r->list[l].tail != before)
            return false;
    }
    return on[INACTIVE] + on[ACTIVE] <= r->frames && (on[ACTIVE] == 0 || r->policy == VM_SIM_TWO_LIST)
           && r->faults <= r->refs;
}

/* ---- The optimum ---- */

/* A heap of resident pages, the latest next use on top. */
struct heap {
    uint32_t *at;    /* [length] node numbers */
    uint64_t *next;  /* by node: its next use */
    uint32_t *where; /* by node: index in at + 1; 0: not resident */
    size_t length;
};

static void heap_put(struct heap *h, size_t i, uint32_t n)
{
    h->at[i] = n;
    h->where[n] = (uint32_t)i + 1;
}

/* Next uses only move into the future, so a page only rises. */
static void heap_rise(struct heap *h, size_t i, uint32_t n)
{
    for (; i > 0 && h->next[h->at[(i - 1) / 2]] < h->next[n]; i = (i - 1) / 2)
        heap_put(h, i, h->at[(i - 1) / 2]);
    heap_put(h, i, n);
}

static void heap_pop(struct heap *h)
{
    uint32_t last = h->at[--h->length];
    size_t i = 0, child;

    h->where[h->at[0]] = 0;
    for (; (child = 2 * i + 1) < h->length; i = child) {
        child += child + 1 < h->length && h->next[h->at[child + 1]] > h->next[h->at[child]];
        if (h->next[h->at[child]] <= h->next[last])
            break;
        heap_put(h, i, h->at[child]);
    }
    if (h->length > 0)
        heap_put(h, i, last);
}

static uint64_t optimum(const uint64_t *page, size_t n, uint64_t frames)
{
    struct pages pages = {0};
    uint32_t *node = vm_sim_zalloc(n * sizeof *node);
    uint64_t *next = vm_sim_zalloc(n * sizeof *next), faults = 0;

    for (size_t i = 0; i < n; i++)
        node[i] = node_of(&pages, page[i]);
    size_t distinct = pages.nodes;
    struct heap h = {.at = vm_sim_zalloc(distinct * sizeof *h.at),
                     .next = vm_sim_zalloc(distinct * sizeof *h.next),
                     .where = vm_sim_zalloc(distinct * sizeof *h.where)};
    memset(h.next, 0xff, distinct * sizeof *h.next); /* never again */
    for (size_t i = n; i-- > 0; h.next[node[i]] = i)
        next[i] = h.next[node[i]];
    for (size_t i = 0; i < n; i++) {
        uint32_t who = node[i];
        if (!h.where[who]) {
            faults++;
            if (h.length == frames)
                heap_pop(&h);
            h.where[who] = (uint32_t)++h.length;
        }
        h.next[who] = next[i];
        heap_rise(&h, h.where[who] - 1, who);
    }
    free(h.at);
    free(h.next);
    free(h.where);
    free(node);
    free(next);
    pages_free(&pages);
    return faults;
}

uint64_t vm_sim_policy_count(enum vm_sim_page_policy p, const uint64_t *page, size_t n, uint64_t frames)
{
    VM_ASSERT(frames > 0);
    if (p == VM_SIM_OPTIMUM)
        return optimum(page, n, frames);
    struct vm_sim_policy_run *r = vm_sim_policy_start(p, frames);
    for (size_t i = 0; i < n; i++)
        vm_sim_policy_ref(r, page[i], NULL);
    uint64_t faults = vm_sim_policy_faults(r);
    vm_sim_policy_end(r);
    return faults;
}

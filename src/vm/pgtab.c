/* Walking, mapping and unmapping the shadow page table; see pgtab.h for the contract.
   Invariants (vm_pgtab_check): the used count in a table entry = non-zero entries of the table it names; no table
   but a spare one is empty; leaves above the last level carry VM_PTE_HUGE and stand at level 2 or 3 only. */
#include "vm/pgtab.h"

#include <string.h>

#include "base/fail.h"

/* Level 1 is the last one; the root of the four-level tree is at level 4. */
static unsigned shift_of(unsigned level) { return VM_PAGE_SHIFT + VM_PGTAB_BITS * (level - 1); }
static unsigned index_of(uintptr_t address, unsigned level)
{
    return (unsigned)(address >> shift_of(level)) & (VM_PGTAB_ENTRIES - 1);
}
static unsigned used_of(vm_pte table_entry)
{
    return (unsigned)((table_entry & VM_PTE_USED_MASK) >> VM_PTE_USED_SHIFT);
}

/* The tree an address belongs to: its root and, through level, its depth; NULL for an address of more than 57 bits. */
static vm_pte *root_of(struct vm_pgtab *t, uintptr_t address, unsigned *level)
{
    bool is_low = address >> (shift_of(VM_PGTAB_LEVELS_LOW) + VM_PGTAB_BITS) == 0;

    *level = is_low ? VM_PGTAB_LEVELS_LOW : VM_PGTAB_LEVELS_HIGH;
    if (address >> (shift_of(VM_PGTAB_LEVELS_HIGH) + VM_PGTAB_BITS) != 0)
        return NULL;
    return is_low ? &t->low : &t->high;
}

void vm_pgtab_give(struct vm_pgtab *t, struct vm_table *table)
{
    table->entry[0] = (vm_pte)(uintptr_t)t->spare;
    t->spare = table;
    t->spares++;
}

static vm_pte take_table(struct vm_pgtab *t)
{
    struct vm_table *table = t->spare;

    VM_ASSERT(table != NULL);
    t->spare = (struct vm_table *)(uintptr_t)table->entry[0];
    t->spares--;
    t->tables++;
    VM_STORE(&table->entry[0], (vm_pte)0);
    return vm_pte_number(table) | VM_PTE_PRESENT;
}

/* Tables that mapping [from, to) would take below the entry, which names a table at `level` or nothing yet. */
static unsigned missing(vm_pte entry, unsigned level, uintptr_t from, uintptr_t to)
{
    const struct vm_table *table = entry ? vm_pte_descriptor(entry) : NULL;
    uintptr_t size = (uintptr_t)1 << shift_of(level);
    unsigned count = !entry;

    if (level == 1)
        return count;
    for (uintptr_t at = from, end; at < to; at = end) {
        vm_pte e = table ? table->entry[index_of(at, level)] : 0;
        end = vm_min(vm_align_down(at, size) + size, to);
        bool leaf = (e & VM_PTE_LEAF) || (e == 0 && end - at == size && level <= 3);
        count += leaf ? 0 : missing(e, level - 1, at, end);
    }
    return count;
}

/* The same for one page. */
static unsigned missing_for_page(vm_pte entry, unsigned level, uintptr_t address)
{
    while (entry != 0 && level > 1) {
        const struct vm_table *table = vm_pte_descriptor(entry);
        entry = table->entry[index_of(address, level)];
        if (entry & VM_PTE_LEAF)
            return 0;
        level--;
    }
    return entry ? 0 : level;
}

static bool is_one_page(uintptr_t base, size_t bytes)
{
    return (base >> VM_PAGE_SHIFT) == (base + bytes - 1) >> VM_PAGE_SHIFT;
}

unsigned vm_pgtab_need(const struct vm_pgtab *t, uintptr_t base, size_t bytes)
{
    unsigned level;
    const vm_pte *root = root_of((struct vm_pgtab *)(uintptr_t)t, base, &level);

    if (is_one_page(base, bytes))
        return missing_for_page(*root, level, base);
    return missing(*root, level, base, base + bytes);
}

/* Fills the part of [from, to) that lies below the table at *entry, which is at `level`. */
static void map_level(struct vm_pgtab *t, vm_pte *entry, unsigned level, uintptr_t from, uintptr_t to, vm_pte leaf)
{
    struct vm_table *table = vm_pte_descriptor(*entry);
    uintptr_t size = (uintptr_t)1 << shift_of(level);

    for (uintptr_t at = from; at < to;) {
        vm_pte *e = &table->entry[index_of(at, level)];
        uintptr_t end = vm_min(vm_align_down(at, size) + size, to);
        bool whole = end - at == size;
        bool can_be_leaf = level == 1 || (whole && level <= 3 && (*e == 0 || (*e & VM_PTE_LEAF)));
        if (*e == 0)
            VM_STORE(entry, *entry + VM_PTE_USED_ONE);
        if (can_be_leaf) {
            VM_STORE_RELEASE(e, leaf | VM_PTE_PRESENT | VM_PTE_LEAF | (level > 1 ? VM_PTE_HUGE : 0));
        } else {
            VM_ASSERT(!(*e & VM_PTE_LEAF));
            if (*e == 0)
                VM_STORE_RELEASE(e, take_table(t));
            map_level(t, e, level - 1, at, end, leaf);
        }
        at = end;
    }
}

/* What map_level() and unmap_level() do for one page, without recursion: extents are named by single ones. */
static void map_page(struct vm_pgtab *t, vm_pte *entry, unsigned level, uintptr_t address, vm_pte leaf)
{
    for (;; level--) {
        struct vm_table *table = vm_pte_descriptor(*entry);
        vm_pte *e = &table->entry[index_of(address, level)];
        VM_ASSERT(level == 1 || !(*e & VM_PTE_LEAF));
        if (*e == 0)
            VM_STORE(entry, *entry + VM_PTE_USED_ONE);
        if (level == 1) {
            VM_STORE_RELEASE(e, leaf | VM_PTE_PRESENT | VM_PTE_LEAF);
            return;
        }
        if (*e == 0)
            VM_STORE_RELEASE(e, take_table(t));
        entry = e;
    }
}

static void unmap_page(struct vm_pgtab *t, vm_pte *root, unsigned levels, uintptr_t address)
{
    vm_pte *path[VM_PGTAB_LEVELS_HIGH + 1] = {0}; /* by level: the entry that names the table there; 0: the leaf */
    unsigned level = levels;

    for (path[level] = root; level > 0; level--) {
        struct vm_table *table = vm_pte_descriptor(*path[level]);
        path[level - 1] = &table->entry[index_of(address, level)];
        if (*path[level - 1] == 0)
            return;
        VM_ASSERT(level == 1 || !(*path[level - 1] & VM_PTE_LEAF));
    }
    VM_STORE(path[0], (vm_pte)0);
    for (level = 1;; level++) {
        VM_STORE(path[level], *path[level] - VM_PTE_USED_ONE);
        if (level == levels || used_of(*path[level]) > 0)
            return;
        struct vm_table *empty = vm_pte_descriptor(*path[level]);
        VM_STORE(path[level], (vm_pte)0);
        vm_pgtab_give(t, empty);
        t->tables--;
    }
}

void vm_pgtab_map(struct vm_pgtab *t, uintptr_t base, size_t bytes, vm_pte leaf)
{
    unsigned level;
    vm_pte *root = root_of(t, base, &level);

    VM_ASSERT(root != NULL);
    if (*root == 0)
        VM_STORE_RELEASE(root, take_table(t));
    if (is_one_page(base, bytes))
        map_page(t, root, level, base, leaf);
    else
        map_level(t, root, level, base, base + bytes, leaf);
}

static void unmap_level(struct vm_pgtab *t, vm_pte *entry, unsigned level, uintptr_t from, uintptr_t to)
{
    struct vm_table *table = vm_pte_descriptor(*entry);
    uintptr_t size = (uintptr_t)1 << shift_of(level);

    for (uintptr_t at = from; at < to;) {
        vm_pte *e = &table->entry[index_of(at, level)];
        uintptr_t end = vm_min(vm_align_down(at, size) + size, to);
        if (*e & VM_PTE_LEAF) {
            VM_ASSERT(end - at == size);
            VM_STORE(e, (vm_pte)0);
        } else if (*e != 0) {
            unmap_level(t, e, level - 1, at, end);
            if (used_of(*e) == 0) {
                struct vm_table *empty = vm_pte_descriptor(*e);
                VM_STORE(e, (vm_pte)0);
                vm_pgtab_give(t, empty);
                t->tables--;
            }
        } else {
            at = end;
            continue;
        }
        if (*e == 0)
            VM_STORE(entry, *entry - VM_PTE_USED_ONE);
        at = end;
    }
}

void vm_pgtab_unmap(struct vm_pgtab *t, uintptr_t base, size_t bytes)
{
    unsigned level;
    vm_pte *root = root_of(t, base, &level);

    /* A root stays when it is empty: it is one page. */
    if (!root || *root == 0)
        return;
    if (is_one_page(base, bytes))
        unmap_page(t, root, level, base);
    else
        unmap_level(t, root, level, base, base + bytes);
}

vm_pte vm_pgtab_lookup(const struct vm_pgtab *t, uintptr_t address)
{
    unsigned level;
    const vm_pte *root = root_of((struct vm_pgtab *)(uintptr_t)t, address, &level);
    vm_pte e = root ? VM_LOAD_ACQUIRE(root) : 0;

    for (; e != 0 && !(e & VM_PTE_LEAF); level--) {
        if (level == 0)
            return 0; /* a table recycled under a wild pointer */
        const struct vm_table *table = vm_pte_descriptor(e);
        e = VM_LOAD_ACQUIRE(&table->entry[index_of(address, level)]);
    }
    return e;
}

/* ---- Changing leaves of the complete shadow ---- */

static vm_pte huge_at(unsigned level) { return level > 1 ? VM_PTE_HUGE : 0; }

/* What a leaf, or a hole (0), becomes at this level. */
static vm_pte changed(const struct vm_pgtab_change *c, vm_pte e, unsigned level)
{
    if (e == 0 && !c->fill)
        return 0;
    vm_pte bits = (e & c->keep & ~(VM_PTE_LEAF | VM_PTE_HUGE)) | c->set;
    return bits ? bits | VM_PTE_LEAF | huge_at(level) : 0;
}

/* The leaf at `level` becomes a table of 512 leaves that say the same. */
static void split_leaf(struct vm_pgtab *t, vm_pte *e, unsigned level)
{
    vm_pte below = (*e & ~VM_PTE_HUGE) | huge_at(level - 1), entry = take_table(t);
    struct vm_table *table = vm_pte_descriptor(entry);

    for (unsigned i = 0; i < VM_PGTAB_ENTRIES; i++)
        table->entry[i] = below;
    *e = entry + VM_PGTAB_ENTRIES * VM_PTE_USED_ONE;
}

/* The entry at `level` names a table: gives it back when it is empty, or full of leaves that say the same. */
static void fold(struct vm_pgtab *t, vm_pte *e, unsigned level)
{
    struct vm_table *table = vm_pte_descriptor(*e);
    vm_pte first = table->entry[0];

    if (used_of(*e) == 0) {
        *e = 0;
    } else {
        if (level > 3 || used_of(*e) != VM_PGTAB_ENTRIES || !(first & VM_PTE_LEAF))
            return;
        for (unsigned i = 1; i < VM_PGTAB_ENTRIES; i++)
            if (table->entry[i] != first)
                return;
        *e = first | VM_PTE_HUGE;
        memset(table, 0, sizeof *table);
    }
    vm_pgtab_give(t, table);
    t->tables--;
}

static void change_level(struct vm_pgtab *t, vm_pte *entry, unsigned level, uintptr_t from, uintptr_t to,
                         struct vm_pgtab_change *c)
{
    struct vm_table *table = vm_pte_descriptor(*entry);
    uintptr_t size = (uintptr_t)1 << shift_of(level);

    for (uintptr_t at = from, end; at < to; at = end) {
        vm_pte *e = &table->entry[index_of(at, level)], before = *e;
        end = vm_min(vm_align_down(at, size) + size, to);
        bool is_table = before != 0 && !(before & VM_PTE_LEAF), whole = end - at == size && level <= 3;
        if (!is_table && (whole || changed(c, before, level) == before)) {
            c->found += before ? (end - at) >> VM_PAGE_SHIFT : 0;
            *e = changed(c, before, level);
        } else {
            if (before == 0)
                *e = take_table(t);
            else if (!is_table)
                split_leaf(t, e, level);
            change_level(t, e, level - 1, at, end, c);
            fold(t, e, level);
        }
        if (before == 0 && *e != 0)
            *entry += VM_PTE_USED_ONE;
        else if (before != 0 && *e == 0)
            *entry -= VM_PTE_USED_ONE;
    }
}

void vm_pgtab_change(struct vm_pgtab *t, uintptr_t base, size_t bytes, struct vm_pgtab_change *change)
{
    unsigned level;
    vm_pte *root = root_of(t, base, &level);

    VM_ASSERT(root != NULL);
    if (*root == 0)
        *root = take_table(t);
    change_level(t, root, level, base, base + bytes, change);
}

static bool each_level(vm_pte entry, unsigned level, uintptr_t base, vm_pgtab_visitor *f, void *ctx)
{
    struct vm_table *table = vm_pte_descriptor(entry);
    uintptr_t size = (uintptr_t)1 << shift_of(level);

    for (unsigned i = 0; i < VM_PGTAB_ENTRIES; i++) {
        vm_pte *e = &table->entry[i];
        if (*e == 0)
            continue;
        if (!(*e & VM_PTE_LEAF ? f(ctx, base + i * size, size, e) : each_level(*e, level - 1, base + i * size, f, ctx)))
            return false;
    }
    return true;
}

bool vm_pgtab_each(struct vm_pgtab *t, vm_pgtab_visitor *f, void *ctx)
{
    return (t->low == 0 || each_level(t->low, VM_PGTAB_LEVELS_LOW, 0, f, ctx))
           && (t->high == 0 || each_level(t->high, VM_PGTAB_LEVELS_HIGH, 0, f, ctx));
}

vm_pte vm_pgtab_run(const struct vm_pgtab *t, uintptr_t address, size_t *bytes)
{
    unsigned level;
    const vm_pte *root = root_of((struct vm_pgtab *)(uintptr_t)t, address, &level);
    vm_pte e = root ? *root : 0;

    for (level += 1; e != 0 && !(e & VM_PTE_LEAF); level--) {
        const struct vm_table *table = vm_pte_descriptor(e);
        e = table->entry[index_of(address, level - 1)];
    }
    uintptr_t size = (uintptr_t)1 << shift_of(level);
    *bytes = size - (address & (size - 1));
    return e;
}

static bool check_level(const struct vm_pgtab *t, vm_pte entry, unsigned level, unsigned *tables)
{
    const struct vm_table *table = vm_pte_descriptor(entry);
    unsigned used = 0;

    ++*tables;
    for (unsigned i = 0; i < VM_PGTAB_ENTRIES; i++) {
        vm_pte e = table->entry[i];
        if (e == 0)
            continue;
        used++;
        if (!(e & (VM_PTE_PRESENT | VM_PTE_LEAF)))
            return false;
        if (e & VM_PTE_LEAF) {
            if (level > 3 || !(e & VM_PTE_HUGE) != (level == 1))
                return false;
        } else if (level == 1 || used_of(e) == 0 || !check_level(t, e, level - 1, tables)) {
            return false;
        }
    }
    return used == used_of(entry);
}

bool vm_pgtab_check(const struct vm_pgtab *t)
{
    unsigned tables = 0, spares = 0;

    if ((t->low != 0 && !check_level(t, t->low, VM_PGTAB_LEVELS_LOW, &tables))
        || (t->high != 0 && !check_level(t, t->high, VM_PGTAB_LEVELS_HIGH, &tables)))
        return false;
    for (const struct vm_table *s = t->spare; s; s = (const struct vm_table *)(uintptr_t)s->entry[0]) {
        spares++;
        for (unsigned i = 1; i < VM_PGTAB_ENTRIES; i++)
            if (s->entry[i] != 0)
                return false;
    }
    return tables == t->tables && spares == t->spares;
}

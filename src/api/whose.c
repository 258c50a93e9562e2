/* Whose malloc does the process call?  The address of malloc tells, but for one case: a program that is linked at a fixed
   address and takes malloc's address has, for everybody, that of its own stub, which jumps to the first definition.  So
   then the objects are looked at in the order in which the dynamic linker does. */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "api/api.h"

#define NAME VM_API_STRING(VM_API(malloc))

struct tables {
    const ElfW(Sym) *symbols;
    const char *names;
    const uint32_t *gnu_hash, *hash;
};

struct found {
    uintptr_t address; /* of the first definition; 0: none yet */
};

/* Some linkers leave addresses of the dynamic section as they are in the file. */
static const void *at(const struct dl_phdr_info *object, uintptr_t address)
{
    return (const void *)(address < object->dlpi_addr ? address + object->dlpi_addr : address);
}

static void read_tables(const struct dl_phdr_info *object, const ElfW(Dyn) *d, struct tables *t)
{
    for (; d->d_tag != DT_NULL; d++) {
        const void *p = at(object, d->d_un.d_ptr);
        switch (d->d_tag) {
        case DT_SYMTAB: t->symbols = p; break;
        case DT_STRTAB: t->names = p; break;
        case DT_GNU_HASH: t->gnu_hash = p; break;
        case DT_HASH: t->hash = p; break;
        }
    }
}

static uint32_t hash_of(const char *name)
{
    uint32_t h = 5381;

    while (*name)
        h = h * 33 + (unsigned char)*name++;
    return h;
}

static bool defines(const struct tables *t, uint32_t i)
{
    const ElfW(Sym) *s = &t->symbols[i];
    return s->st_shndx != SHN_UNDEF && s->st_value != 0 && strcmp(t->names + s->st_name, NAME) == 0;
}

/* The table as in glibc's elf/dl-lookup.c and binutils: bucket count, first symbol, Bloom words and shift; words,
   buckets, then one hash a symbol, its lowest bit set at the end of a bucket.  Index of the definition, 0 if none. */
static uint32_t look_up(const struct tables *t)
{
    if (!t->symbols || !t->names)
        return 0;
    if (!t->gnu_hash) {
        for (uint32_t i = t->hash ? t->hash[1] : 0; i-- > 1;) /* the old table: bucket count, symbol count */
            if (defines(t, i))
                return i;
        return 0;
    }
    uint32_t buckets = t->gnu_hash[0], first = t->gnu_hash[1], words = t->gnu_hash[2], hash = hash_of(NAME);
    const uint32_t *bucket = t->gnu_hash + 4 + words * (sizeof(ElfW(Addr)) / sizeof(uint32_t)),
                   *chain = bucket + buckets;
    uint32_t i = buckets ? bucket[hash % buckets] : 0;
    for (; i >= first && i != 0; i++) {
        if ((chain[i - first] | 1) == (hash | 1) && defines(t, i))
            return i;
        if (chain[i - first] & 1)
            break;
    }
    return 0;
}

static int look_into(struct dl_phdr_info *object, size_t size, void *arg)
{
    struct found *found = arg;
    struct tables t = {0};

    (void)size;
    for (unsigned i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            read_tables(object, (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr), &t);
    uint32_t i = look_up(&t);
    found->address = i && t.symbols ? object->dlpi_addr + t.symbols[i].st_value : 0;
    return found->address != 0;
}

bool vm_api_is_process_malloc(void)
{
    struct found found = {0};

    dl_iterate_phdr(look_into, &found);
    return found.address == (uintptr_t)vm_own_malloc;
}

/* Cells, slow counting and the sample; see count.h.  Cells are taken by atomic additions; a sample is written by the one
   thread that has the flag, the others go without. */
#include "heap/count.h"

#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/lock.h"
#include "heap/slab.h"
#include "os/meta.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"

/* A sample is due when heaps may have grown by that much beyond the peak: this share of the heap, at least so much. */
#define SAMPLE_SHARE 32
#define SAMPLE_BYTES (32 * VM_KIB)

_Static_assert(VM_COUNTS_CLASSES == VM_CLASSES && VM_COUNTS_SLOTS == VM_DIRECT_SLOTS, "base/counts.h says the same");

bool vm_counting;
static struct vm_counts_file *area;             /* const: after start-up */
static struct vm_counts_process *process;       /* const: but for the child of a fork */
static struct vm_counts_heap *homeless;         /* for calls of threads without a heap; updated atomically */
static VM_COLD_DATA struct vm_counts_heap lost; /* for heaps that found no room at all; nobody reads it */
static bool sampling;                           /* somebody is */

VM_FACTS vm_count_facts[] = {VM_FACT_ROOT(counts, area), VM_FACT_ROOT(counts_process, process), VM_FACT_END};

static void *take_cell(uint64_t *number)
{
    *number = __atomic_fetch_add(&area->next, 1, __ATOMIC_RELAXED);
    if (*number > area->cells)
        return NULL;
    return (char *)area + area->first_cell + (*number - 1) * area->cell_bytes;
}

static uint64_t number_of(const void *cell)
{
    return ((uintptr_t)cell - (uintptr_t)area - area->first_cell) / area->cell_bytes + 1;
}

static struct vm_counts_heap *take_heap_cell(void)
{
    uint64_t number;
    struct vm_counts_heap *c = take_cell(&number);

    if (!c) /* other processes will not see it */
        c = vm_meta_alloc(sizeof *c, VM_CACHE_LINE);
    if (!c)
        return &lost;
    c->process = number_of(process);
    VM_STORE_RELEASE(&c->kind, (uint64_t)VM_COUNTS_HEAP);
    return c;
}

static bool take_process_cell(const char *command, uint64_t parent)
{
    uint64_t number;
    struct vm_counts_process *c = take_cell(&number);

    if (!c)
        return false;
    c->pid = (uint64_t)getpid();
    c->parent = parent;
    vm_fmt(c->command, sizeof c->command, "%s", command);
    VM_STORE_RELEASE(&c->kind, (uint64_t)VM_COUNTS_PROCESS);
    process = c;
    return true;
}

/* Whoever comes first writes the description; the others write the same. */
static void describe(size_t bytes)
{
    uint64_t none = 0;

    area->cell_bytes = VM_COUNTS_CELL;
    area->first_cell = VM_COUNTS_FIRST;
    area->cells = (bytes - VM_COUNTS_FIRST) / VM_COUNTS_CELL;
    area->classes = VM_COUNTS_CLASSES;
    area->slots = VM_COUNTS_SLOTS;
    for (unsigned i = 0; i < VM_CLASSES; i++)
        area->class_size[i] = vm_classes[i].size;
    __atomic_compare_exchange_n(&area->next, &none, (uint64_t)1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    VM_STORE_RELEASE(&area->magic, VM_COUNTS_MAGIC);
}

bool vm_counts_start(void *memory, size_t bytes, const char *command)
{
    struct vm_counts_file *file = memory;

    if (bytes < VM_COUNTS_BYTES_MIN || (file->magic != 0 && file->magic != VM_COUNTS_MAGIC))
        return false;
    area = file;
    describe(bytes);
    vm_counting = take_process_cell(command, 0);
    return vm_counting;
}

const struct vm_counts_file *vm_counts_area(void) { return area; }
const struct vm_counts_process *vm_counts_process(void) { return process; }

bool vm_tap_make(struct vm_heap *h)
{
    if (!vm_counting)
        return true;
    h->tap = vm_meta_alloc(sizeof *h->tap, VM_CACHE_LINE);
    if (h->tap)
        *h->tap = vm_heap_none.hit;
    return h->tap != NULL;
}

void vm_tap_begin(struct vm_heap *h)
{
    if (h->tap && !h->tap->counts)
        h->tap->counts = take_heap_cell();
}

/* ---- Calls that did not hit ---- */

/* The cell for calls of a thread that has no heap, or one without a tap. */
static struct vm_counts_heap *homeless_cell(void)
{
    struct vm_counts_heap *c = VM_LOAD_ACQUIRE(&homeless), *none = NULL;

    if (c)
        return c;
    c = take_heap_cell();
    return __atomic_compare_exchange_n(&homeless, &none, c, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ? c : none;
}

/* The calling thread's heap, when it has cells of its own. */
static struct vm_heap *heap_of_caller(void)
{
    struct vm_heap *h = vm_tls->real;
    return h && h->tap && h->tap->counts ? h : NULL;
}

static void add(const struct vm_heap *h, uint64_t *to, uint64_t n)
{
    if (h)
        VM_STORE(to, *to + n);
    else
        __atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

/* Bytes by which what is live may now grow without another call that misses. */
static int64_t refilled(const struct vm_heap *h, unsigned class_id, size_t n)
{
    const struct vm_page *slab = h->tap->current[class_id];

    return class_id == 0 ? (int64_t)n : (int64_t)((slab->carved - vm_slab_out(slab) + 1) * slab->size);
}

void vm_count_slow(unsigned class_id, size_t n, size_t align)
{
    struct vm_heap *h = heap_of_caller();
    struct vm_counts_heap *c = h ? h->tap->counts : homeless_cell();

    if (vm_count_by_slot(n, align)) {
        add(h, &c->slot[vm_count_slot(n)], 1);
    } else {
        add(h, &c->of_class[class_id].calls, 1);
        add(h, &c->of_class[class_id].asked, n);
    }
    if (h && (h->sample_budget -= refilled(h, class_id, n)) < 0)
        vm_counts_sample();
}

void vm_count_call(bool realloc, bool failed)
{
    struct vm_heap *h = heap_of_caller();
    struct vm_counts_heap *c = h ? h->tap->counts : homeless_cell();

    add(h, &c->reallocs, realloc);
    add(h, &c->failures, failed);
}

static void add_cell(struct vm_counts_total *t, const struct vm_counts_heap *c)
{
    t->reallocs += VM_LOAD(&c->reallocs);
    t->failures += VM_LOAD(&c->failures);
    for (unsigned slot = 0; slot < VM_DIRECT_SLOTS; slot++) {
        struct vm_counts_class *of = &t->of_class[vm_class_of(slot * VM_BLOCK_MIN)];
        of->calls += VM_LOAD(&c->slot[slot]);
        of->asked += VM_LOAD(&c->slot[slot]) * slot * VM_BLOCK_MIN;
    }
    for (unsigned i = 0; i < VM_CLASSES; i++) {
        t->of_class[i].calls += VM_LOAD(&c->of_class[i].calls);
        t->of_class[i].asked += VM_LOAD(&c->of_class[i].asked);
    }
}

void vm_counts_read(struct vm_counts_total *t)
{
    const struct vm_counts_heap *c = VM_LOAD_ACQUIRE(&homeless);

    *t = (struct vm_counts_total){0};
    if (!vm_counting)
        return;
    if (c && c != &lost)
        add_cell(t, c);
    for (struct vm_heap *h = vm_heaps_newest(); h; h = h->next)
        if (h->tap && (c = h->tap->counts) != NULL && c != &lost)
            add_cell(t, c);
    t->born[0] = process->born_large;
    for (unsigned i = 1; i < VM_CLASSES; i++)
        t->born[i] = process->born_blocks[i];
}

/* ---- The sample ---- */

struct census {
    uint64_t live; /* bytes */
    uint32_t live_blocks[VM_CLASSES], carved_blocks[VM_CLASSES];
};

VM_UNSANITIZED static void count_slab(struct vm_page *slab, void *arg)
{
    struct census *c = arg;
    size_t out = vm_slab_out(slab);

    c->live += out * slab->size;
    c->live_blocks[slab->class_id] += (uint32_t)out;
    c->carved_blocks[slab->class_id] += (uint32_t)VM_LOAD(&slab->carved);
}

static void write_sample(const struct census *c, const struct vm_frames_stats *frames)
{
    struct vm_counts_process *p = process;
    struct vm_extents_stats extents;
    struct vm_os_usage usage;

    vm_extents_stats(&extents);
    vm_os_usage(&usage);
    for (unsigned i = 0; i < VM_CLASSES; i++) {
        VM_STORE(&p->live_blocks[i], c->live_blocks[i]);
        VM_STORE(&p->carved_blocks[i], c->carved_blocks[i]);
    }
    uint64_t live = c->live + extents.live;
    VM_STORE(&p->live, live);
    if (live > p->peak_live) {
        VM_STORE(&p->peak_live, live);
        VM_STORE(&p->peak_space, (uint64_t)(frames->in_use + frames->free_dirty + extents.live + extents.dirty));
    }
    VM_STORE(&p->large_live, (uint64_t)extents.live);
    VM_STORE(&p->large_count, (uint64_t)extents.live_count);
    VM_STORE(&p->large_kept, (uint64_t)extents.dirty);
    VM_STORE(&p->slab_space, (uint64_t)frames->in_use);
    VM_STORE(&p->frames_free, (uint64_t)frames->free_dirty);
    VM_STORE(&p->metadata, (uint64_t)vm_meta_mapped());
    VM_STORE(&p->heaps, (uint64_t)vm_heaps_live());
    VM_STORE(&p->minor_faults, usage.minor_faults);
    VM_STORE(&p->major_faults, usage.major_faults);
    VM_STORE(&p->rss_peak, usage.rss_peak);
    VM_STORE(&p->samples, p->samples + 1);
}

/* The walk is made under the heap's lock, if there is one, so that a signal handler that allocates meanwhile does not
   wait for the frames' lock, which this very thread has. */
void vm_counts_sample(void)
{
    struct vm_heap *h = vm_tls->real;
    struct census c = {0};
    struct vm_frames_stats frames;

    if (!vm_counting || (h && vm_lock_is_mine(&h->lock)) || vm_lock_is_mine(&vm_extents_lock)
        || vm_lock_is_mine(&vm_frames_lock) || __atomic_exchange_n(&sampling, true, __ATOMIC_ACQUIRE))
        return;
    if (h)
        vm_lock_outer(&h->lock);
    vm_slabs_each(count_slab, &c);
    vm_frames_stats(&frames);
    if (h)
        vm_unlock(&h->lock);
    write_sample(&c, &frames);
    uint64_t below = process->peak_live - process->live, room = frames.brk_bytes / SAMPLE_SHARE;
    if (h)
        h->sample_budget = (int64_t)(vm_max(vm_max(below, room), SAMPLE_BYTES) / vm_max(vm_heaps_live(), 1u));
    VM_STORE_RELEASE(&sampling, false);
}

void vm_counts_exit(void)
{
    if (!vm_counting)
        return;
    vm_counts_sample();
    VM_STORE(&process->end, (uint64_t)VM_COUNTS_EXITED);
}

void vm_counts_tlb(const struct vm_counts_tlb *tlb)
{
    if (vm_counting)
        process->tlb = *tlb;
}

/* Without room for it the child is not counted: its cells are nobody's. */
void vm_counts_fork_child(void)
{
    static VM_COLD_DATA struct vm_counts_process nobody;
    uint64_t parent;

    if (!vm_counting)
        return;
    parent = number_of(process);
    homeless = NULL;
    sampling = false;
    char command[sizeof process->command];
    memcpy(command, process->command, sizeof command);
    if (!take_process_cell(command, parent))
        process = &nobody;
    for (struct vm_heap *h = vm_heaps_newest(); h; h = h->next)
        h->tap->counts = h == vm_tls->real ? take_heap_cell() : NULL;
    vm_counts_sample();
    memcpy(process->born_blocks, process->live_blocks, sizeof process->born_blocks);
    process->born_large = process->large_count;
    process->peak_live = 0; /* the next sample sets it */
    vm_counts_sample();
}

/* Fuzzing target: the operations of the allocator.  The input is a program of calls of the family on 64 places, of threads
   that go on where the last one stopped, and of system calls that fail.  Every block keeps its contents, an allocation
   fails only when the system refused something, all invariants hold, and nothing is in use when all blocks are freed. */
#include "fuzz.h"

#include "../stress/stress.h"
#include "os/os.h"

#define PLACES 64
#define LIVE_MAX ((size_t)16 << 20)
#define OPS_MAX 2000
#define CHECK_EVERY 32
#define THREADS_MAX 8

void vmt_free_sized(void *p, size_t n);
void *vmt_pvalloc(size_t n);

static struct block {
    unsigned char *p;
    size_t n;
    uint64_t id;
} place[PLACES];

static struct {
    struct fuzz_bytes input;
    size_t live, ops, threads;
    uint64_t ids;
    unsigned refuse;  /* bit k: system calls of kind k fail ... */
    unsigned refusals; /* ... as many times */
    uint64_t refused; /* so far */
} run;

/* ---- The system ---- */

enum kind { MAP, UNMAP, REMAP, PURGE, SBRK, KINDS };
static struct vm_os real;

static bool refuses(enum kind k)
{
    if (!(run.refuse >> k & 1) || run.refusals == 0)
        return false;
    run.refusals--;
    run.refused++;
    return true;
}

static void *map(size_t bytes, int prot) { return refuses(MAP) ? NULL : real.map(bytes, prot); }
static int unmap(void *base, size_t bytes) { return refuses(UNMAP) ? -ENOMEM : real.unmap(base, bytes); }
static void *remap(void *base, size_t from, size_t to) { return refuses(REMAP) ? NULL : real.remap(base, from, to); }
static int purge(void *base, size_t bytes) { return refuses(PURGE) ? -EINVAL : real.purge(base, bytes); }
static void *move_break(intptr_t by) { return refuses(SBRK) ? NULL : real.sbrk(by); }

static void take_the_system(void)
{
    if (real.map)
        return;
    vmt_free(vmt_malloc(1)); /* start-up is not to be refused anything here */
    real = vm_os;
    vm_os.map = map;
    vm_os.unmap = unmap;
    vm_os.remap = remap;
    vm_os.purge = purge;
    vm_os.sbrk = move_break;
}

/* ---- Blocks ---- */

static void settle(struct block *b, void *p, size_t n, uint64_t refused)
{
    FUZZ_CHECK(p || run.refused > refused);
    b->p = p;
    b->n = n;
    b->id = run.ids++;
    if (!p)
        return;
    size_t usable = vmt_malloc_usable_size(p);
    FUZZ_CHECK(usable >= n && (uintptr_t)p % 16 == 0);
    fill(p, n, b->id, true);
    run.live += n;
}

static void verify(const struct block *b, size_t upto) { FUZZ_CHECK(wrong_at(b->p, b->n, upto, b->id, true) == SIZE_MAX); }

static void drop(struct block *b, unsigned how)
{
    if (!b->p)
        return;
    verify(b, b->n);
    if (how & 1)
        vmt_free_sized(b->p, b->n);
    else
        vmt_free(b->p);
    run.live -= b->n;
    b->p = NULL;
}

/* Two bytes: up to 255 << 15. */
static size_t take_size(void)
{
    unsigned shift = fuzz_byte(&run.input) & 15;
    size_t n = (size_t)fuzz_byte(&run.input) << shift;

    return n + (shift & 1) * shift; /* and what is no round number */
}

static void allocate(struct block *b, unsigned how)
{
    size_t n = take_size(), align = (size_t)1 << (fuzz_byte(&run.input) % 22);
    uint64_t refused = run.refused;
    void *p = NULL;

    drop(b, how);
    if (run.live + n > LIVE_MAX)
        return;
    switch (how) {
    case 0: p = vmt_malloc(n); break;
    case 1:
        p = vmt_calloc(3, n / 3 + 1);
        n = (n / 3 + 1) * 3;
        FUZZ_CHECK(!p || not_zero_at(p, n) == SIZE_MAX);
        break;
    case 2:
        p = vmt_aligned_alloc(align, n);
        FUZZ_CHECK((uintptr_t)p % align == 0);
        break;
    case 3:
        p = vmt_memalign(align, n);
        FUZZ_CHECK((uintptr_t)p % align == 0);
        break;
    default:
        p = vmt_pvalloc(n);
        FUZZ_CHECK((uintptr_t)p % 4096 == 0);
    }
    settle(b, p, n, refused);
}

static void resize(struct block *b)
{
    size_t n = take_size() + 1, old = b->n;
    uint64_t refused = run.refused;

    if (run.live + n > LIVE_MAX)
        return;
    unsigned char *p = vmt_realloc(b->p, n);
    if (!p) {
        FUZZ_CHECK(run.refused > refused);
        if (b->p)
            verify(b, old);
        return;
    }
    if (b->p) {
        b->p = p;
        run.live -= old;
        verify(b, old < n ? old : n);
    }
    settle(b, p, n, refused);
}

/* ---- The program ---- */

static void *go_on(void *nothing);

static void step(void)
{
    unsigned op = fuzz_byte(&run.input);
    struct block *b = &place[fuzz_byte(&run.input) % PLACES];
    pthread_t thread;

    switch (op % 16) {
    case 0: case 1: case 2: case 3: case 4: allocate(b, op % 16); break;
    case 5: case 6: case 7: resize(b); break;
    case 8: case 9: case 10: drop(b, op); break;
    case 11: /* all of them, upwards or downwards */
        for (unsigned i = 0; i < PLACES; i++)
            drop(&place[op & 16 ? i : PLACES - 1 - i], 0);
        break;
    case 12: vmt_malloc_trim(take_size()); break;
    case 13:
        run.refuse = fuzz_byte(&run.input);
        run.refusals = fuzz_byte(&run.input) % 8;
        break;
    case 14: /* many of one size */
        for (unsigned i = fuzz_byte(&run.input) % PLACES; i < PLACES; i++) {
            struct fuzz_bytes again = run.input;
            allocate(&place[i], 0);
            run.input = again;
        }
        break;
    default: /* a thread goes on, and what it allocated outlives it */
        if (run.threads++ < THREADS_MAX && pthread_create(&thread, NULL, go_on, NULL) == 0)
            pthread_join(thread, NULL);
    }
    if (run.ops % CHECK_EVERY == 0)
        FUZZ_CHECK(vmt_vmalloc_check());
}

static void *go_on(void *nothing)
{
    unsigned steps = fuzz_byte(&run.input);

    while (steps-- > 0 && run.input.at < run.input.end && run.ops++ < OPS_MAX)
        step();
    return nothing;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_the_system();
    memset(&run, 0, sizeof run);
    run.input = (struct fuzz_bytes){data, data + size};
    while (run.input.at < run.input.end && run.ops++ < OPS_MAX)
        step();
    run.refuse = 0;
    FUZZ_CHECK(vmt_vmalloc_check());
    for (unsigned i = 0; i < PLACES; i++)
        drop(&place[i], 0);
    FUZZ_CHECK(run.live == 0);
    vmt_malloc_trim(0);
    vmt_malloc_trim(0);
    struct mallinfo2 m = vmt_mallinfo2();
    FUZZ_CHECK(m.uordblks == 0 && m.hblkhd == 0 && m.hblks == 0);
    FUZZ_CHECK(vmt_vmalloc_check());
    return 0;
}

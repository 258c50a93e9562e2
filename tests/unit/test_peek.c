/* Unit tests of the exported block and its reader: this program reads its own heap from outside, through
   process_vm_readv, and finds there what it knows from inside: every block, every figure; and the page of share=1.
   Run by `make check`. */
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#include "heap/heap.h"
#include "os/os.h"
#include "page/extent.h"
#include "report/block.h"
#include "report/figures.h"
#include "report/share.h"
#include "tool/peek.h"
#include "tool/shared.h"

#define BLOCKS 3000
#define THREADS 3

static struct {
    char *p;
    size_t n;
} block[THREADS + 1][BLOCKS];

static uint64_t seed;

/* Allocates and frees at random, and leaves about half of the blocks. */
static void *churn(void *arg)
{
    size_t own = (size_t)arg;
    uint64_t state = seed + own;

    for (unsigned turn = 0; turn < 4 * BLOCKS; turn++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned i = state >> 33 & 0xffff, n = state >> 50;
        i %= BLOCKS;
        if (block[own][i].p) {
            vmt_free(block[own][i].p);
            block[own][i].p = NULL;
        } else {
            block[own][i].n = turn % 400 == 0 ? 131072 + 100 * (size_t)n : n % 3 ? n % 600 + 1 : n + 1;
            block[own][i].p = vmt_malloc(block[own][i].n);
            CHECK(block[own][i].p != NULL);
            block[own][i].p[0] = 1;
        }
    }
    return NULL;
}

static void churn_in_threads(void)
{
    pthread_t thread[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, churn, (void *)(i + 1)) == 0);
    churn((void *)0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
}

static struct peek *open_own(void)
{
    char text[16], error[PEEK_ERROR_MAX];

    snprintf(text, sizeof text, "%d", (int)getpid());
    struct peek *p = peek_open(text, error);
    CHECKF(p != NULL, "%s", error);
    return p;
}

static struct peek_snapshot *take(const struct peek *p)
{
    char error[PEEK_ERROR_MAX];
    struct peek_snapshot *s = peek_snapshot(p, error);

    CHECKF(s != NULL, "%s", error);
    CHECK(!s->moved && s->odd == 0);
    return s;
}

static void facts_are_sound(void **state)
{
    (void)state;
    for (unsigned t = 0; t < VM_BLOCK_TABLES && vm_report_block.table[t]; t++)
        for (const struct vm_fact *f = vm_report_block.table[t]; f->name[0]; f++) {
            CHECK(memchr(f->name, '\0', sizeof f->name) != NULL);
            for (unsigned u = t; u < VM_BLOCK_TABLES && vm_report_block.table[u]; u++)
                for (const struct vm_fact *g = u == t ? f + 1 : vm_report_block.table[u]; g->name[0]; g++)
                    CHECKF(strcmp(f->name, g->name) != 0, "%s is there twice", f->name);
        }
    CHECK(memcmp(vm_report_block.magic, VM_BLOCK_MAGIC, sizeof vm_report_block.magic) == 0);
    CHECK(vm_report_block.self == &vm_report_block);
}

CHILD_CASE(facts_are_read)
{
    uint64_t n;

    vmt_free(vmt_malloc(1));
    struct peek *p = open_own();
    CHECK(p->block == (uintptr_t)&vm_report_block && strcmp(p->version, VM_VERSION) == 0);
    CHECK(peek_fact(p, "page.held")->value == offsetof(struct vm_page, held));
    CHECK(peek_value(p, "#FRAME_SHIFT") == VM_FRAME_SHIFT && peek_value(p, "#nothing") == 0);
    CHECK(peek_root(p, "&secret", &n) && n == vm_secret);
    CHECK(peek_option(p, "brk", &n) && n == 1 && !peek_option(p, "nothing", &n));
    peek_close(p);
}

static uint64_t live_in(const struct peek_snapshot *s, uint64_t *large)
{
    uint64_t small = 0;

    *large = 0;
    for (size_t i = 0; i < s->ranges; i++) {
        const struct peek_range *r = &s->range[i];
        CHECK(r->start < r->end && (i == 0 || r[-1].end <= r->start));
        small += r->kind == PEEK_SLAB ? (uint64_t)r->used * r->block_size : 0;
        *large += r->kind == PEEK_EXTENT_LIVE ? r->end - r->start : 0;
    }
    return small;
}

CHILD_CASE(every_block_is_found)
{
    uint64_t small = 0, large = 0, found_large;

    churn_in_threads();
    struct peek *p = open_own();
    struct peek_snapshot *s = take(p);
    for (unsigned own = 0; own <= THREADS; own++)
        for (unsigned i = 0; i < BLOCKS; i++) {
            uint64_t at = (uintptr_t)block[own][i].p;
            if (at == 0)
                continue;
            const struct peek_range *r = peek_range_at(s, at);
            CHECK(r && (r->kind == PEEK_SLAB || r->kind == PEEK_EXTENT_LIVE));
            if (r->kind == PEEK_SLAB) {
                size_t size = vm_classes[vm_class_of(block[own][i].n)].size; /* its class's, or that of a neighbour who lends */
                CHECK(block[own][i].n < VM_SMALL_LIMIT && r->block_size >= size && r->block_size <= 2 * size);
                CHECK((at - r->start) % r->block_size == 0 && (at - r->start) / r->block_size < r->carved);
                small += r->block_size;
            } else {
                CHECK(block[own][i].n >= VM_SMALL_LIMIT && r->start == at);
                large += r->end - r->start;
            }
        }
    CHECK(live_in(s, &found_large) == small && found_large == large);
    CHECK(s->heaps >= 1);
    CHECK(peek_range_at(s, (uintptr_t)&small) == NULL);
    peek_snapshot_free(s);
    peek_close(p);
}

/* The same figures from inside. */
CHILD_CASE(figures_agree)
{
    struct vm_figures f;
    uint64_t large, by_kind[PEEK_KINDS] = {0};

    churn_in_threads();
    struct peek *p = open_own();
    struct peek_snapshot *s = take(p);
    vm_figures_read(&f);
    CHECK(f.small_live_bytes == live_in(s, &large) && f.large_live_bytes == large);
    for (size_t i = 0; i < s->ranges; i++)
        by_kind[s->range[i].kind] += s->range[i].end - s->range[i].start;
    CHECK(by_kind[PEEK_SLAB] == f.slab_bytes);
    CHECK(f.slab_bytes == f.small_live_bytes + f.slab_free_bytes + f.slab_untouched_bytes + f.slab_tail_bytes);
    CHECK(by_kind[PEEK_FRAME_DIRTY] == f.frames_dirty_bytes && by_kind[PEEK_FRAME_CLEAN] == f.frames_clean_bytes);
    CHECK(by_kind[PEEK_EXTENT_WARM] + by_kind[PEEK_EXTENT_DIRTY] == f.extents_dirty_bytes);
    CHECK(by_kind[PEEK_EXTENT_CLEAN] == f.extents_clean_bytes);
    CHECK(by_kind[PEEK_METADATA] == f.metadata_bytes && s->mem_map_used == f.mem_map_bytes);
    CHECK(by_kind[PEEK_FRAME_FLIGHT] == 0 && by_kind[PEEK_EXTENT_FLIGHT] == 0);
    CHECK(s->heaps == f.heaps);
    peek_snapshot_free(s);
    peek_close(p);
}

static void *publish(void *stop)
{
    while (!VM_LOAD((bool *)stop))
        vm_share_publish();
    return NULL;
}

/* Read while others publish and allocate, the page is always whole: its parts add up.  The account looks at what owners of
   slabs write as they go, without a lock: the thread sanitizer is shown the one after the other. */
CHILD_CASE(the_shared_page_is_whole)
{
    static struct vm_share_page page;
    char error[SHARED_ERROR_MAX];
    pthread_t thread;
    bool stop = false;

    vmt_free(vmt_malloc(1));
    vm_share_start(true);
    if (access(VM_SHARE_DIR, W_OK) != 0)
        return;
    vm_share_publish();
    CHECK(UNIT_SANITIZED || pthread_create(&thread, NULL, publish, &stop) == 0);
    for (unsigned i = 0; i < 20; i++) {
        churn((void *)0);
        vm_share_publish();
        CHECKF(shared_read(getpid(), &page, error), "%s", error);
        const struct vm_figures *f = &page.figures;
        CHECK(f->slab_bytes == f->small_live_bytes + f->slab_free_bytes + f->slab_untouched_bytes + f->slab_tail_bytes);
        CHECK(page.pid == (uint64_t)getpid() && strcmp(page.version, VM_VERSION) == 0);
    }
    VM_STORE(&stop, true);
    CHECK(UNIT_SANITIZED || pthread_join(thread, NULL) == 0);
    vm_share_end();
    CHECK(!shared_read(getpid(), &page, error) && strstr(error, "No such file"));
}

/* A process may call its library anything, and what it says goes into messages of one line and to terminals. */
CHILD_CASE(a_foreign_version_is_printable)
{
    static struct vm_share_page page;
    char error[PEEK_ERROR_MAX], self[16];

    vmt_free(vmt_malloc(1));
    memcpy(vm_report_block.version, "1\n2\033[2J\r\xff", sizeof "1\n2\033[2J\r\xff");
    snprintf(self, sizeof self, "%d", (int)getpid());
    struct peek *p = peek_open(self, error);
    CHECKF(p, "%s", error);
    CHECKF(strcmp(p->version, "1?2?[2J??") == 0, "%s", p->version);
    peek_close(p);
    if (access(VM_SHARE_DIR, W_OK) != 0)
        return;
    vm_share_start(true);
    vm_share_publish();
    CHECKF(shared_read(getpid(), &page, error), "%s", error);
    CHECKF(strcmp(page.version, "1?2?[2J??") == 0, "%s", page.version);
    vm_share_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_sound),       CHILD_TEST(facts_are_read),           CHILD_TEST(every_block_is_found),
        CHILD_TEST(figures_agree), CHILD_TEST(the_shared_page_is_whole), CHILD_TEST(a_foreign_version_is_printable),
    };

    seed = unit_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

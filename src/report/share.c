/* Publishing the account; see share.h.  One thread publishes at a time, others pass by. */
#include "report/share.h"

#include <string.h>

#include "base/fail.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "heap/heap.h"
#include "os/os.h"
#include "page/extent.h"
#include "page/zone.h"
#include "report/block.h"

#define PATH_MAX_BYTES 64
#define INTERVAL_NS 100000000u /* at most this long between two times, while there are slow paths */
#define AGE_SHARE 16   /* a program's beginning, when all is new, is published oftener: by this share of its age */
#define COST_SHARE 100 /* of the time that passes one part may be spent on it */

bool vm_share_on;

static bool busy;                  /* somebody publishes, or makes the page */
static struct vm_share_page *page; /* under busy; NULL: not made yet, or not to be had */
static uint64_t began, next;       /* ns; when the page was made, and when to publish again */

static void path_of(char path[PATH_MAX_BYTES]) { vm_fmt(path, PATH_MAX_BYTES, "%s.%d", VM_SHARE_PATH, vm_os_pid()); }

/* What a page begins with that was made by us or our like. */
struct mark {
    char magic[16];
    uint64_t pid_space;
};
_Static_assert(offsetof(struct vm_share_page, pid_space) == offsetof(struct mark, pid_space),
               "the beginning of a page");

/* The page of a program that had this process id before us may be in the way. */
static void make_page(void)
{
    struct mark mark = {VM_SHARE_MAGIC, vm_os_pid_space()};
    char path[PATH_MAX_BYTES];

    path_of(path);
    page = vm_os_make_shared(path, sizeof *page);
    if (!page && vm_os_remove_marked(path, &mark, sizeof mark))
        page = vm_os_make_shared(path, sizeof *page);
    if (!page) {
        vm_warn("VMALLOC_OPTIONS: share: cannot make %s; ignored", path);
        vm_share_on = false;
        return;
    }
    *page = (struct vm_share_page){.format = VM_SHARE_FORMAT,
                                   .bytes = sizeof *page,
                                   .magic = VM_SHARE_MAGIC,
                                   .pid_space = mark.pid_space,
                                   .pid = (uint64_t)vm_os_pid()};
    /* Naming the block here is what links it into static programs. */
    began = vm_os.now();
    memcpy(page->version, vm_report_block.version, sizeof page->version);
}

static void write_page(uint64_t now)
{
    static VM_COLD_DATA struct vm_figures figures; /* under busy; too large for small stacks */

    vm_figures_read(&figures);
    __atomic_fetch_add(&page->turn, 1, __ATOMIC_ACQ_REL); /* no store below comes before it */
    page->figures = figures;
    page->written = now;
    VM_STORE_RELEASE(&page->turn, page->turn + 1);
}

/* In a signal handler that interrupted us where a lock is held that reading the account takes, or waits behind? */
static bool interrupted(void)
{
    const struct vm_heap *h = vm_tls->real;

    return vm_lock_is_mine(&vm_frames_lock) || vm_lock_is_mine(&vm_extents_lock) || vm_lock_is_mine(&vm_heaps_lock)
           || (h && vm_lock_is_mine(&h->lock));
}

void vm_share_publish(void)
{
    uint64_t now = vm_os.now();

    if (now < VM_LOAD(&next) || interrupted() || __atomic_exchange_n(&busy, true, __ATOMIC_ACQUIRE))
        return;
    if (!page)
        make_page();
    if (page) {
        write_page(now);
        size_t interval = vm_min((now - began) / AGE_SHARE, INTERVAL_NS);
        VM_STORE(&next, now + vm_max(interval, (vm_os.now() - now) * COST_SHARE));
    }
    VM_STORE_RELEASE(&busy, false);
}

void vm_share_start(bool on)
{
    if (!on)
        return;
    struct mark mark = {VM_SHARE_MAGIC, vm_os_pid_space()};
    vm_os_sweep_marked(VM_SHARE_DIR, VM_SHARE_PREFIX, &mark, sizeof mark);
    vm_share_on = true;
    make_page();
}

void vm_share_forked(void)
{
    if (!vm_share_on)
        return;
    if (page)
        vm_os.unmap(page, vm_align_up(sizeof *page, vm_os.page_size));
    page = NULL;
    next = 0;
    VM_STORE_RELEASE(&busy, false);
}

void vm_share_end(void)
{
    char path[PATH_MAX_BYTES];

    if (!vm_share_on || !page)
        return;
    path_of(path);
    if (page->pid == (uint64_t)vm_os_pid())
        vm_os_remove_marked(path, page, sizeof(struct mark));
}

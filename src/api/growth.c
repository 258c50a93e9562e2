/* Growth of the process: at CGROUP_FROM bytes it reads what its control groups allow, and the background thread is made
   at an amount of its own (api/background.c).  Reading half a dozen files takes about 0.1 ms, too long for the start of
   a small program.  A process that has confined its system calls (seccomp(2)) since its start is left alone: its filter
   may not know these.  No lock: who changes vm_growth_from to a new value does what it stands for. */
#include "api/growth.h"

#include "api/background.h"
#include "base/lock.h"
#include "base/options.h"
#include "os/cgroup.h"
#include "os/os.h"

#define CGROUP_FROM (16 * VM_MIB) /* less than that is kept in any case: see KEEP_FLOOR in page/zone.c */
#define SOFT_PERCENT 90           /* of what the groups allow: the rest of the process needs some, too */

size_t vm_growth_from = SIZE_MAX;
static size_t cgroup_from = SIZE_MAX; /* SIZE_MAX: not to be read, or read already */

static void read_cgroup(void)
{
    struct vm_cgroup g;

    if (vm_os.is_confined())
        return;
    vm_cgroup_read(&g);
    size_t most = vm_min(g.memory_max, g.memory_high);
    if (most != SIZE_MAX && VM_LOAD(&vm_limits.soft) == SIZE_MAX)
        VM_STORE(&vm_limits.soft, most / 100 * SOFT_PERCENT);
    if (g.processors <= 1000) /* who holds a lock does not run while somebody spins */
        vm_lock_spin(false);
}

void vm_growth_changed(void) { VM_STORE(&vm_growth_from, vm_min(VM_LOAD(&cgroup_from), VM_LOAD(&vm_background_from))); }

void vm_growth_start(void)
{
    if (vm_options.cgroup)
        VM_STORE(&cgroup_from, CGROUP_FROM);
    vm_growth_changed();
}

VM_COLD void vm_growth_look(void)
{
    size_t charged = VM_LOAD(&vm_limits.charged), due = VM_LOAD(&cgroup_from);

    if (charged >= VM_LOAD(&vm_background_from))
        vm_background_make();
    if (due != SIZE_MAX && charged >= due
        && __atomic_compare_exchange_n(&cgroup_from, &due, SIZE_MAX, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        read_cgroup();
    vm_growth_changed();
}

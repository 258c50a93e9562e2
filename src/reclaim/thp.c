/* The arithmetic of thp.h. */
#include "reclaim/thp.h"

#include <string.h>

static const char *const names[] = {[VM_THP_AUTO] = "auto", [VM_THP_NEVER] = "never", [VM_THP_ALWAYS] = "always"};

int vm_thp_mode_of(const char *name)
{
    for (int i = VM_THP_AUTO; i <= VM_THP_ALWAYS; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

enum vm_thp_system vm_thp_system_of(const char *text)
{
    if (strstr(text, "[always]"))
        return VM_THP_SYSTEM_ALWAYS;
    return strstr(text, "[madvise]") ? VM_THP_SYSTEM_MADVISE : VM_THP_SYSTEM_NEVER;
}

static void decay(struct vm_thp *t, uint64_t now)
{
    if (t->decayed == 0 || now < t->decayed)
        t->decayed = now;
    uint64_t halvings = (now - t->decayed) / VM_THP_FORGET_NS;
    t->decayed += halvings * VM_THP_FORGET_NS;
    t->opened >>= vm_min(halvings, 31);
    t->broken >>= vm_min(halvings, 31);
}

static bool may_open(const struct vm_thp *t, uint64_t now)
{
    return now >= t->paused_until && t->broken <= t->opened / VM_THP_BROKEN_SHARE;
}

bool vm_thp_open_chunk(struct vm_thp *t, size_t used, size_t kept, uint64_t now)
{
    decay(t, now);
    if (!may_open(t, now) || used < VM_THP_HEAP_MIN || kept > used / VM_THP_FREE_SHARE)
        return false;
    t->opened++;
    return true;
}

static bool is_wave(size_t owed, size_t earned) { return owed >= VM_THP_BYTES && owed + earned >= VM_THP_WAVE_MIN; }

bool vm_thp_open_wave(struct vm_thp *t, size_t owed, size_t earned, uint64_t now)
{
    decay(t, now);
    if (!may_open(t, now) || !is_wave(owed, earned))
        return false;
    t->opened++;
    return true;
}

void vm_thp_note_cost(struct vm_thp *t, uint64_t ns, uint64_t now)
{
    t->dear = ns > VM_THP_COST_MAX_NS ? t->dear + 1 : 0;
    if (t->dear < VM_THP_COST_LOOKS && ns <= VM_THP_COST_FAR * VM_THP_COST_MAX_NS)
        return;
    t->paused_until = now + (VM_THP_PAUSE_NS << vm_min(t->pauses, VM_THP_PAUSE_DOUBLINGS));
    t->pauses++;
    t->dear = 0;
}

void vm_thp_break_chunk(struct vm_thp *t, uint64_t now)
{
    decay(t, now);
    t->broken++;
}

bool vm_thp_is_dense(size_t resident, size_t looked)
{
    return looked > 0 && resident >= looked - looked / VM_THP_DENSE_SHARE;
}

void vm_thp_note_extent(struct vm_thp *t, size_t resident, size_t looked)
{
    if (looked == 0)
        return;
    if (vm_thp_is_dense(resident, looked)) {
        t->dense = vm_min(t->dense + 1, VM_THP_EXTENT_NEED_MAX);
        return;
    }
    t->dense = 0;
    t->need = vm_min(vm_max(t->need, VM_THP_EXTENT_NEED) * 2, VM_THP_EXTENT_NEED_MAX);
}

bool vm_thp_open_extent(struct vm_thp *t, size_t bytes, uint64_t now)
{
    if (now < t->paused_until || bytes < VM_THP_EXTENT_MIN || t->dense < vm_max(t->need, VM_THP_EXTENT_NEED))
        return false;
    t->turn = (t->turn + 1) % VM_THP_WITNESS_TURN;
    return t->turn != 0;
}

void vm_thp_note_return(struct vm_thp *t, size_t resident, size_t looked)
{
    t->looked += (uint32_t)looked;
    t->resident += (uint32_t)resident;
    if (t->looked >= 64 * VM_THP_RETURN_PAGES) {
        t->looked /= 2;
        t->resident /= 2;
    }
}

bool vm_thp_map_wave(const struct vm_thp *t, size_t owed, size_t earned, uint64_t now)
{
    return now >= t->paused_until && is_wave(owed, earned) && t->looked >= VM_THP_RETURN_PAGES
           && vm_thp_is_dense(t->resident, t->looked);
}

/* Out of memory; see oom.h. */
#include "sim/oom.h"

#include "sim/machine.h"

#define AGE_SHIFT 20 /* ages count in 2^20 references */

static uint64_t root_of(uint64_t n)
{
    uint64_t root = 0;

    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= n)
            root += bit;
    return root;
}

/* A directory that is shared (linux-0.12) is nobody's own. */
static uint64_t frames_of(const struct vm_sim_machine *m, const struct vm_sim_process *p)
{
    uint64_t tables = p->mm->pt == m->kernel ? 0 : vm_sim_pt_stats(p->mm->pt).frames;

    return p->mm->rss_anon + p->mm->rss_file + tables;
}

uint64_t vm_sim_oom_score(const struct vm_sim_machine *m, const struct vm_sim_process *p)
{
    uint64_t score = (frames_of(m, p) + p->mm->swapped) / vm_max(1, root_of((m->cpu.refs - p->born) >> AGE_SHIFT));

    if (p->nice != 0)
        score = p->nice > 0 ? score * 2 : score / 4;
    return vm_max(score, 1);
}

struct vm_sim_process *vm_sim_oom_kill(struct vm_sim_machine *m, uint64_t *freed)
{
    struct vm_sim_process *victim = NULL;
    uint64_t score = 0;

    for (struct vm_list *at = m->processes.next; at != &m->processes; at = at->next) {
        struct vm_sim_process *p = VM_CONTAINER_OF(at, struct vm_sim_process, link);
        uint64_t its = p->exited || !p->mm ? 0 : vm_sim_oom_score(m, p);
        if (its && its >= score) {
            victim = p;
            score = its;
        }
    }
    if (freed)
        *freed = 0;
    if (!victim)
        return NULL;
    vm_sim_emit(&m->events, VM_SIM_EV(OOM, .number = victim->context.pid, .name = victim->name,
                                      .count = frames_of(m, victim), .bytes = score));
    uint64_t frames = vm_sim_exit(m, victim, 9);
    if (freed)
        *freed = frames;
    return victim;
}

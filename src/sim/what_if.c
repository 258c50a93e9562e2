/* Questions that need a machine; see what_if.h. */
#include "sim/what_if.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "sim/json.h"

static int apply(struct vm_sim_config *config, const char *const *set, struct vm_sim_message *message)
{
    for (; set && *set; set++)
        if (vm_sim_config_set(config, *set, message) != 0)
            return -EINVAL;
    return 0;
}

struct vm_sim_machine *vm_sim_ask_machine(const struct vm_sim_ask *ask, const char *const *change,
                                          struct vm_sim_message *message)
{
    struct vm_sim_config config;

    if (vm_sim_config_preset(&config, ask->machine ? ask->machine : "x86_64") != 0
        && vm_sim_config_read(&config, ask->machine, message) != 0)
        return NULL;
    if (apply(&config, ask->set, message) != 0 || apply(&config, change, message) != 0)
        return NULL;
    return vm_sim_machine_new(&config, message);
}

struct play {
    struct vm_sim_machine *m;
    struct vm_sim_player *player;
    struct vm_sim_message *message;
    int error;
    /* of fork_cost */
    uint64_t fork_at; /* after so many references; 0: not at all */
    struct vm_sim_fork_cost cost;
    struct vm_sim_process *child;
};

static void play_item(void *ctx, const struct vm_sim_item *item)
{
    struct play *p = ctx;

    if (!p->error)
        p->error = vm_sim_player_item(p->player, item, p->message);
}

int vm_sim_play(const struct vm_sim_ask *ask, struct vm_sim_machine *m, struct vm_sim_player_stats *stats,
                struct vm_sim_message *message)
{
    struct play p = {.m = m, .player = vm_sim_player_new(m), .message = message};
    int error = vm_sim_each_item(ask, play_item, &p, message);

    if (stats)
        *stats = vm_sim_player_stats(p.player);
    vm_sim_player_free(p.player);
    return error ? error : p.error;
}

/* ---- What if ---- */

struct figures {
    uint64_t refs, walks, walk_reads, faults, minor, major, table_bytes, resident;
    double hit_rate, eat, fault_ns;
};

static struct figures figures_of(const struct vm_sim_machine *m)
{
    struct figures f = {.faults = m->cpu.page_faults, .refs = m->cpu.refs, .eat = vm_sim_machine_eat(m)};
    uint64_t good = 0;

    for (const struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p)) {
        for (unsigned r = 0; r < VM_SIM_REGIONS; r++) {
            const struct vm_sim_usage *u = &p->context.usage[r];
            good += u->hits[0] + u->hits[1];
            f.walks += u->walks;
            f.walk_reads += u->walk_reads;
        }
        f.minor += p->mm ? p->mm->min_faults : p->end.min_faults;
        f.major += p->mm ? p->mm->maj_faults : p->end.maj_faults;
        f.resident += (p->mm ? p->mm->highest_rss : p->end.highest_rss) * VM_SIM_PAGE_SIZE;
        f.table_bytes += p->mm ? vm_sim_pt_stats(p->mm->pt).bytes : 0;
    }
    f.hit_rate = good + f.walks ? (double)good / (double)(good + f.walks) : 0;
    f.fault_ns = f.refs ? ((double)(f.minor + f.major) * m->config.fault_ns + (double)f.major * m->config.disk_ns)
                              / (double)f.refs
                        : 0;
    return f;
}

static int run_with(const struct vm_sim_ask *ask, const char *const *change, struct figures *f,
                    struct vm_sim_message *message)
{
    struct vm_sim_machine *m = vm_sim_ask_machine(ask, change, message);

    if (!m)
        return -EINVAL;
    int error = vm_sim_play(ask, m, NULL, message);
    *f = figures_of(m);
    vm_sim_machine_free(m);
    return error;
}

static void put_figures_json(struct vm_sim_json *j, const char *key, const struct figures *f)
{
    vm_sim_json_begin(j, key, '{');
    vm_sim_json_number(j, "references", f->refs);
    vm_sim_json_double(j, "tlb_hit_rate", f->hit_rate);
    vm_sim_json_number(j, "walks", f->walks);
    vm_sim_json_number(j, "walk_reads", f->walk_reads);
    vm_sim_json_double(j, "eat_ns", f->eat);
    vm_sim_json_number(j, "page_faults", f->faults);
    vm_sim_json_number(j, "minor_faults", f->minor);
    vm_sim_json_number(j, "major_faults", f->major);
    vm_sim_json_double(j, "fault_ns_per_reference", f->fault_ns);
    vm_sim_json_number(j, "table_bytes", f->table_bytes);
    vm_sim_json_number(j, "highest_resident_bytes", f->resident);
    vm_sim_json_end(j, '}');
}

static void put_number(FILE *out, const char *what, uint64_t a, uint64_t b)
{
    fprintf(out, "%-26s %16" PRIu64 " %16" PRIu64, what, a, b);
    if (a)
        fprintf(out, " %+9.2f %%", ((double)b / (double)a - 1) * 100);
    putc('\n', out);
}

static void put_figures(FILE *out, const struct figures *a, const struct figures *b)
{
    fprintf(out, "%-26s %16s %16s\n", "", "as is", "changed");
    put_number(out, "references", a->refs, b->refs);
    fprintf(out, "%-26s %16.6f %16.6f\n", "TLB hit rate", a->hit_rate, b->hit_rate);
    put_number(out, "page walks", a->walks, b->walks);
    put_number(out, "entries read by walks", a->walk_reads, b->walk_reads);
    fprintf(out, "%-26s %16.3f %16.3f", "EAT, ns", a->eat, b->eat);
    if (a->eat > 0)
        fprintf(out, " %+9.2f %%", (b->eat / a->eat - 1) * 100);
    putc('\n', out);
    put_number(out, "page faults", a->faults, b->faults);
    put_number(out, "  of them major", a->major, b->major);
    fprintf(out, "%-26s %16.3f %16.3f\n", "faults, ns a reference", a->fault_ns, b->fault_ns);
    put_number(out, "page tables, bytes", a->table_bytes, b->table_bytes);
    put_number(out, "most resident, bytes", a->resident, b->resident);
}

int vm_sim_ask_what_if(const struct vm_sim_ask *ask, const char *const *change, struct vm_sim_message *message)
{
    struct figures as_is, changed;
    int error = run_with(ask, NULL, &as_is, message);

    if (!error)
        error = run_with(ask, change, &changed, message);
    if (error)
        return error;
    if (ask->json) {
        struct vm_sim_json j = {.out = ask->out};
        vm_sim_json_begin(&j, NULL, '{');
        vm_sim_json_string(&j, "trace", ask->trace);
        vm_sim_json_begin(&j, "change", '[');
        for (const char *const *c = change; c && *c; c++)
            vm_sim_json_string(&j, NULL, *c);
        vm_sim_json_end(&j, ']');
        put_figures_json(&j, "as_is", &as_is);
        put_figures_json(&j, "changed", &changed);
        vm_sim_json_end(&j, '}');
    } else {
        put_figures(ask->out, &as_is, &changed);
    }
    return 0;
}

/* ---- What a fork costs ---- */

struct counted {
    uint64_t refs, forks;
};

static void count_item(void *ctx, const struct vm_sim_item *item)
{
    struct counted *c = ctx;

    c->refs += item->kind == VM_SIM_ITEM_REFS ? item->n : 0;
    c->forks += item->kind == VM_SIM_ITEM_FORK;
}

struct cow {
    uint64_t copied, reused;
};

static void cow_event(void *ctx, const struct vm_sim_event *e)
{
    struct cow *c = ctx;

    c->copied += e->cause && strcmp(e->cause, "cow-copy") == 0;
    c->reused += e->cause && strcmp(e->cause, "cow-reuse") == 0;
}

/* The first process of the trace forks when half of the references were made, also in the middle of a batch. */
static void fork_item(void *ctx, const struct vm_sim_item *item)
{
    struct play *p = ctx;
    struct vm_sim_item rest = *item;

    if (p->fork_at && !p->child && item->kind == VM_SIM_ITEM_REFS
        && vm_sim_player_stats(p->player).refs + item->n >= p->fork_at) {
        uint64_t before = p->fork_at - vm_min(vm_sim_player_stats(p->player).refs, p->fork_at);
        rest.n = before;
        play_item(ctx, &rest);
        rest.ref = item->ref + before;
        rest.n = item->n - before;
        struct vm_sim_process *parent = vm_sim_process_next(p->m, NULL);
        p->fork_at = 0;
        if (parent && parent->mm)
            p->child = vm_sim_fork(p->m, parent, &p->cost);
    }
    play_item(ctx, &rest);
}

static void put_fork_cost(const struct vm_sim_ask *ask, const struct vm_sim_fork_cost *f, uint64_t forks, bool own,
                          const struct cow *cow)
{
    struct vm_sim_json j = {.out = ask->out};

    if (ask->json) {
        vm_sim_json_begin(&j, NULL, '{');
        vm_sim_json_string(&j, "trace", ask->trace);
        vm_sim_json_number(&j, "forks", forks);
        vm_sim_json_bool(&j, "of_the_trace", own);
        vm_sim_json_number(&j, "tables_copied", f->tables_copied);
        vm_sim_json_number(&j, "entries_copied", f->entries);
        vm_sim_json_number(&j, "entries_protected", f->protected_);
        vm_sim_json_number(&j, "swap_entries", f->swapped);
        vm_sim_json_number(&j, "pages_copied_later", cow->copied);
        vm_sim_json_number(&j, "pages_taken_back_later", cow->reused);
        vm_sim_json_end(&j, '}');
        return;
    }
    if (own)
        fprintf(ask->out, "%s: %" PRIu64 " forks\n", ask->trace, forks);
    else
        fprintf(ask->out, "%s: no forks; one after half of the references, whose child does nothing\n", ask->trace);
    fprintf(ask->out,
            "  at once: %" PRIu64 " page tables made (%" PRIu64 " KiB), %" PRIu64 " entries copied, %" PRIu64
            " of them made read-only, %" PRIu64 " swap entries\n",
            f->tables_copied, f->tables_copied * 4, f->entries, f->protected_, f->swapped);
    fprintf(ask->out,
            "  later:   %" PRIu64 " pages copied at a write (%" PRIu64 " KiB), %" PRIu64 " taken back without a copy\n",
            cow->copied, cow->copied * 4, cow->reused);
    if (f->protected_)
        fprintf(ask->out, "  of the pages made read-only %.1f %% were copied\n",
                100.0 * (double)cow->copied / (double)f->protected_);
}

int vm_sim_ask_fork_cost(const struct vm_sim_ask *ask, struct vm_sim_message *message)
{
    struct counted c = {0};
    struct cow cow = {0};
    int error = vm_sim_each_item(ask, count_item, &c, message);
    struct vm_sim_machine *m;

    if (error)
        return error;
    if (!(m = vm_sim_ask_machine(ask, NULL, message)))
        return -EINVAL;
    vm_sim_machine_listen(m, cow_event, &cow, (uint32_t)1 << VM_SIM_EV_PAGE_IN);
    struct play p = {.m = m, .player = vm_sim_player_new(m), .message = message};
    if (!c.forks)
        p.fork_at = vm_max(c.refs / 2, 1);
    error = vm_sim_each_item(ask, fork_item, &p, message);
    error = error ? error : p.error;
    struct vm_sim_player_stats stats = vm_sim_player_stats(p.player);
    if (!error && !c.forks && !p.child) {
        snprintf(message->text, sizeof message->text, "%.180s: no forks, and no references to put one between",
                 ask->trace);
        error = -EINVAL;
    }
    if (!error)
        put_fork_cost(ask, c.forks ? &stats.fork : &p.cost, c.forks ? stats.forks : 1, c.forks > 0, &cow);
    vm_sim_player_free(p.player);
    vm_sim_machine_free(m);
    return error;
}

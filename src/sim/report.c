/* Reports; see report.h. */
#include "sim/report.h"

#include <inttypes.h>
#include <string.h>

#include "sim/json.h"
#include "sim/workset.h"

#define KIB(pages) ((uint64_t)(pages) * (VM_SIM_PAGE_SIZE / 1024))

static bool is_paged(const struct vm_sim_machine *m) { return m->kernel != NULL; }

static double ratio(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }

/* ---- Sums ---- */

struct totals {
    uint64_t refs[VM_SIM_ACCESSES];
    uint64_t hits[VM_TLB_LEVELS], walks, walk_reads, faults;
    uint64_t table_frames, table_bytes; /* of live processes; not the kernel's */
    uint64_t minor, major;
};

static struct vm_sim_usage usage_of(const struct vm_sim_process *p)
{
    struct vm_sim_usage sum = {0};

    for (unsigned r = 0; r < VM_SIM_REGIONS; r++) {
        const struct vm_sim_usage *u = &p->context.usage[r];
        for (unsigned l = 0; l < VM_TLB_LEVELS; l++)
            sum.hits[l] += u->hits[l];
        sum.walks += u->walks;
        sum.walk_reads += u->walk_reads;
        sum.faults += u->faults;
    }
    return sum;
}

static uint64_t refs_of(const struct vm_sim_process *p)
{
    uint64_t n = 0;

    for (unsigned a = 0; a < VM_SIM_ACCESSES; a++)
        n += p->context.refs[a];
    return n;
}

static struct totals totals_of(const struct vm_sim_machine *m)
{
    struct totals t = {0};

    for (const struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p)) {
        struct vm_sim_usage u = usage_of(p);
        for (unsigned a = 0; a < VM_SIM_ACCESSES; a++)
            t.refs[a] += p->context.refs[a];
        for (unsigned l = 0; l < VM_TLB_LEVELS; l++)
            t.hits[l] += u.hits[l];
        t.walks += u.walks;
        t.walk_reads += u.walk_reads;
        t.faults += u.faults;
        t.minor += p->mm ? p->mm->min_faults : p->end.min_faults;
        t.major += p->mm ? p->mm->maj_faults : p->end.maj_faults;
        if (p->mm && !(m->config.shared_directory && t.table_frames)) {
            struct vm_sim_pt_stats s = vm_sim_pt_stats(p->mm->pt);
            t.table_frames += s.frames;
            t.table_bytes += s.bytes;
        }
    }
    return t;
}

static uint64_t managed_frames(const struct vm_sim_machine *m)
{
    uint64_t n = 0;

    for (unsigned z = 0; z < VM_SIM_ZONES; z++)
        n += m->memory.zone[z].managed;
    return n;
}

/* ---- Summary ---- */

static void put_tlb(FILE *out, const struct vm_sim_machine *m, const struct totals *t)
{
    uint64_t good = t->hits[0] + t->hits[1] + t->walks;

    if (!m->cpu.tlb) {
        fprintf(out, "TLB          none\n");
    } else {
        fprintf(out, "TLB          %s: hit rate %.6f (level 1 %" PRIu64 ", level 2 %" PRIu64 "), %" PRIu64 " walks\n",
                m->config.tlb_name, ratio(good - t->walks, good), t->hits[0], t->hits[1], t->walks);
    }
    fprintf(out, "walks        %" PRIu64 " entries read, %.2f a walk\n", t->walk_reads, ratio(t->walk_reads, t->walks));
}

static void put_reclaim(FILE *out, const struct vm_sim_machine *m)
{
    const struct vm_sim_reclaim_counts *r = &m->reclaim.counts;

    fprintf(out,
            "reclaim      %s: %" PRIu64 " of %" PRIu64 " scanned; %" PRIu64 " swapped out, %" PRIu64
            " written back, %" PRIu64 " dropped, %" PRIu64 " refaults\n",
            vm_sim_policy_name(m->reclaim.policy), r->reclaimed, r->scanned, r->swapped_out, r->written_back,
            r->dropped, r->refaults);
    fprintf(out,
            "kswapd       woken %" PRIu64 " times, %" PRIu64 " frames; directly %" PRIu64 " times, %" PRIu64
            " frames\n",
            r->kswapd_wakes, r->kswapd_frames, r->direct_runs, r->direct_frames);
}

void vm_sim_report_summary(FILE *out, const struct vm_sim_machine *m)
{
    struct totals t = totals_of(m);

    fprintf(out, "machine      %s: %" PRIu64 " KiB", m->config.name, m->config.memory / 1024);
    fprintf(out, is_paged(m) ? ", paging %s\n" : "\n", vm_sim_paging_geometry[m->config.mode].name);
    fprintf(out,
            "references   %" PRIu64 " (%" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64 " fetches), %" PRIu64
            " dropped\n",
            m->cpu.refs, t.refs[VM_SIM_READ], t.refs[VM_SIM_WRITE], t.refs[VM_SIM_FETCH], m->cpu.dropped);
    fprintf(out, "exceptions   %" PRIu64 ", CR3 loads %" PRIu64 "\n", m->cpu.exceptions, m->cpu.switches);
    if (!is_paged(m)) {
        const struct vm_sim_space *s = &m->core.space;
        fprintf(out,
                "memory       %" PRIu64 " bytes used, %" PRIu64 " free, the largest hole %" PRIu64
                ", fragmentation %.3f\n",
                s->used, vm_sim_space_available(s), vm_sim_space_largest_hole(s), vm_sim_space_fragmentation(s));
        fprintf(out, "compaction   %" PRIu64 " times, %" PRIu64 " bytes moved\n", s->compactions, s->moved);
        return;
    }
    fprintf(out, "page faults  %" PRIu64 " (%" PRIu64 " minor, %" PRIu64 " major)\n", m->cpu.page_faults, t.minor,
            t.major);
    put_tlb(out, m, &t);
    fprintf(out, "EAT          %.3f ns\n", vm_sim_machine_eat(m));
    fprintf(out, "tables       %" PRIu64 " bytes, %" PRIu64 " frames\n", t.table_bytes, t.table_frames);
    fprintf(out, "memory       %" PRIu64 " KiB free of %" PRIu64 "\n", KIB(vm_sim_free_frames(&m->memory)),
            KIB(managed_frames(m)));
    put_reclaim(out, m);
    if (m->events.count[VM_SIM_EV_OOM])
        fprintf(out, "OOM          %" PRIu64 " killed\n", m->events.count[VM_SIM_EV_OOM]);
}

/* ---- Processes ---- */

void vm_sim_report_processes(FILE *out, const struct vm_sim_machine *m)
{
    for (const struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p)) {
        fprintf(out, "process %" PRIu32 " %s%s", p->context.pid, p->name, p->exited ? " (exited" : "");
        if (p->exited)
            fprintf(out, p->signal ? ", signal %d)" : ")", p->signal);
        if (p->parent)
            fprintf(out, ", child of %" PRIu32, p->parent->context.pid);
        fprintf(out, ": %" PRIu64 " references", refs_of(p));
        if (p->mm)
            fprintf(out,
                    ", size %" PRIu64 " KiB, resident %" PRIu64 " (anonymous %" PRIu64 ", file %" PRIu64
                    "), swapped %" PRIu64 ", tables %" PRIu64 " frames",
                    KIB(p->mm->total_vm), KIB(p->mm->rss), KIB(p->mm->rss_anon), KIB(p->mm->rss_file),
                    KIB(p->mm->swapped), vm_sim_pt_stats(p->mm->pt).frames);
        if (is_paged(m))
            fprintf(out, ", most resident %" PRIu64 " KiB, faults %" PRIu64 " minor %" PRIu64 " major",
                    KIB(p->mm ? p->mm->highest_rss : p->end.highest_rss), p->mm ? p->mm->min_faults : p->end.min_faults,
                    p->mm ? p->mm->maj_faults : p->end.maj_faults);
        putc('\n', out);
        if (!is_paged(m) || refs_of(p) == 0)
            continue;
        fprintf(out, "  %-7s %12s %12s %12s %12s %10s %9s\n", "region", "L1 hits", "L2 hits", "walks", "reads",
                "faults", "hit rate");
        for (unsigned r = 0; r < VM_SIM_REGIONS; r++) {
            const struct vm_sim_usage *u = &p->context.usage[r];
            uint64_t good = u->hits[0] + u->hits[1] + u->walks;
            if (good + u->faults)
                fprintf(out, "  %-7s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64 " %9.6f\n",
                        vm_sim_region_name((enum vm_sim_region)r), u->hits[0], u->hits[1], u->walks, u->walk_reads,
                        u->faults, ratio(good - u->walks, good));
        }
    }
}

/* ---- In the manner of /proc ---- */

void vm_sim_report_buddyinfo(FILE *out, const struct vm_sim_machine *m)
{
    for (unsigned z = 0; is_paged(m) && z < VM_SIM_ZONES; z++) {
        const struct vm_sim_zone *zone = &m->memory.zone[z];
        if (zone->start == zone->end)
            continue;
        fprintf(out, "Node 0, zone %8s ", zone->name);
        for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
            fprintf(out, "%6" PRIu64 " ", zone->buddy.blocks[o]);
        putc('\n', out);
    }
}

void vm_sim_report_zoneinfo(FILE *out, const struct vm_sim_machine *m)
{
    for (unsigned z = 0; is_paged(m) && z < VM_SIM_ZONES; z++) {
        const struct vm_sim_zone *zone = &m->memory.zone[z];
        if (zone->start == zone->end)
            continue;
        fprintf(out,
                "Node 0, zone %8s\n  pages free     %" PRIu64 "\n        min      %" PRIu64
                "\n        low      %" PRIu64 "\n        high     %" PRIu64 "\n        spanned  %" PRIu32
                "\n        managed  %" PRIu64 "\n",
                zone->name, zone->buddy.free, zone->min, zone->low, zone->high, zone->end - zone->start, zone->managed);
        fprintf(out,
                "      requests   %" PRIu64 ", failed %" PRIu64 ", from the reserve %" PRIu64 ", fallbacks %" PRIu64
                "\n",
                zone->allocated, zone->failed, zone->reserve_used, zone->fallbacks);
        fprintf(out, "      buddies    %" PRIu64 " splits, %" PRIu64 " merges\n  start_pfn:     %" PRIu32 "\n",
                zone->buddy.splits, zone->buddy.merges, zone->start);
    }
}

void vm_sim_report_slabinfo(FILE *out, const struct vm_sim_machine *m)
{
    if (!is_paged(m))
        return;
    fputs("slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
          " : slabdata <active_slabs> <num_slabs> : colours <colours> <align>\n",
          out);
    for (const struct vm_list *l = m->slabs.caches.next; l != &m->slabs.caches; l = l->next) {
        const struct vm_sim_cache *c = VM_CONTAINER_OF(l, struct vm_sim_cache, link);
        fprintf(out,
                "%-17s %6" PRIu64 " %6" PRIu64 " %6" PRIu32 " %4" PRIu32 " %4u : slabdata %6" PRIu64 " %6" PRIu64
                " : colours %4" PRIu32 " %4" PRIu32 "\n",
                c->name, c->allocated, c->slabs * c->objects, c->size, c->objects, 1u << c->order,
                c->slabs - c->slabs_empty, c->slabs, c->colours, c->align);
    }
}

static uint64_t frames_of_kind(const struct vm_sim_machine *m, enum vm_sim_frame_kind kind)
{
    uint64_t n = 0;

    for (vm_sim_pfn i = 0; i < m->memory.map.frames; i++)
        n += m->memory.map.frame[i].kind == kind;
    return n;
}

void vm_sim_report_vmstat(FILE *out, const struct vm_sim_machine *m)
{
    const struct vm_sim_reclaim_counts *r = &m->reclaim.counts;
    struct totals t = totals_of(m);
    uint64_t in = 0, written = 0, allocated = 0;

    if (!is_paged(m))
        return;
    for (unsigned i = 0; i < m->swaps.areas; i++) {
        in += m->swaps.area[i].reads;
        written += m->swaps.area[i].writes;
    }
    for (unsigned z = 0; z < VM_SIM_ZONES; z++)
        allocated += m->memory.zone[z].allocated;
    const struct {
        const char *name;
        uint64_t n;
    } line[] = {
        {"nr_free_pages", vm_sim_free_frames(&m->memory)},
        {"nr_inactive", m->reclaim.inactive_pages},
        {"nr_active", m->reclaim.active_pages},
        {"nr_anon_pages", frames_of_kind(m, VM_SIM_FRAME_ANON)},
        {"nr_file_pages", frames_of_kind(m, VM_SIM_FRAME_FILE)},
        {"nr_page_table_pages", frames_of_kind(m, VM_SIM_FRAME_TABLE)},
        {"nr_slab", frames_of_kind(m, VM_SIM_FRAME_SLAB)},
        {"nr_kernel", frames_of_kind(m, VM_SIM_FRAME_KERNEL)},
        {"pgalloc", allocated},
        {"pgfree", m->events.count[VM_SIM_EV_FREE]},
        {"pgfault", t.minor + t.major},
        {"pgmajfault", t.major},
        {"pswpin", in},
        {"pswpout", written},
        {"pgscan", r->scanned},
        {"pgsteal", r->reclaimed},
        {"pgsteal_kswapd", r->kswapd_frames},
        {"pgsteal_direct", r->direct_frames},
        {"pgactivate", r->activated},
        {"pgdeactivate", r->deactivated},
        {"pageoutrun", r->kswapd_wakes},
        {"allocstall", r->direct_runs},
        {"workingset_refault", r->refaults},
        {"oom_kill", m->events.count[VM_SIM_EV_OOM]},
    };
    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        fprintf(out, "%s %" PRIu64 "\n", line[i].name, line[i].n);
}

void vm_sim_report_swaps(FILE *out, const struct vm_sim_machine *m)
{
    fprintf(out, "%-24s %-12s %10s %10s %8s\n", "Filename", "Type", "Size", "Used", "Priority");
    for (unsigned i = 0; i < m->swaps.areas; i++) {
        const struct vm_sim_swap_area *a = &m->swaps.area[i];
        fprintf(out, "%-24s %-12s %10" PRIu64 " %10" PRIu64 " %8d\n", a->name, a->extents == 1 ? "partition" : "file",
                KIB(a->slots - 1), KIB(a->used), a->priority);
    }
}

void vm_sim_report_segments(FILE *out, const struct vm_sim_machine *m)
{
    uint64_t at = 0;

    if (is_paged(m))
        return;
    fprintf(out, "%18s %18s %12s  %s\n", "from", "to", "bytes", "what");
    for (const struct vm_sim_hole_use *u = m->core.space.first;; u = u->next) {
        uint64_t from = u ? u->base : m->core.space.bytes;
        if (from > at)
            fprintf(out, "%#18" PRIx64 " %#18" PRIx64 " %12" PRIu64 "  hole\n", at, from, from - at);
        if (!u)
            break;
        fprintf(out, "%#18" PRIx64 " %#18" PRIx64 " %12" PRIu64 "  %s\n", u->base, u->base + u->bytes, u->bytes,
                u->name);
        at = vm_max(at, u->base + u->bytes);
    }
}

/* ---- Areas ---- */

static void put_area(FILE *out, const struct vm_sim_vma *v)
{
    fprintf(out, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " 00:00 0", v->start, v->end,
            v->perms & VM_SIM_R ? 'r' : '-', v->perms & VM_SIM_W ? 'w' : '-', v->perms & VM_SIM_X ? 'x' : '-',
            v->flags & VM_SIM_VMA_SHARED ? 's' : 'p', v->file ? v->offset * VM_SIM_PAGE_SIZE : 0);
    if (v->file)
        fprintf(out, "  %s\n", v->file->name);
    else
        fprintf(out, "  [%s]\n", vm_sim_region_name((enum vm_sim_region)v->region));
}

void vm_sim_report_maps(FILE *out, const struct vm_sim_process *p)
{
    for (const struct vm_sim_vma *v = p->mm ? vm_sim_vma_first(p->mm) : NULL; v; v = vm_sim_vma_next(v))
        put_area(out, v);
}

struct area_walk {
    const struct vm_sim_mem_map *map;
    const struct vm_sim_vma *vma;
    struct vm_sim_area_pages sum;
    uint64_t large_bytes[6]; /* of a leaf, by level */
};

static int add_leaf(void *ctx, struct vm_sim_linear at, unsigned level, vm_sim_pte *entry)
{
    struct area_walk *w = ctx;
    uint64_t bytes = vm_min(at.at + w->large_bytes[level], w->vma->end) - vm_max(at.at, w->vma->start);

    if (!(*entry & VM_SIM_PTE_P)) {
        w->sum.swap += bytes;
        return 0;
    }
    const struct vm_sim_frame *f = &w->map->frame[vm_sim_pte_frame(*entry)];
    bool dirty = (*entry & VM_SIM_PTE_D) || (f->flags & VM_SIM_FRAME_DIRTY);
    uint64_t *kind = f->mapcount > 1 ? dirty ? &w->sum.shared_dirty : &w->sum.shared_clean
                     : dirty         ? &w->sum.private_dirty
                                     : &w->sum.private_clean;
    *kind += bytes;
    w->sum.rss += bytes;
    w->sum.referenced += *entry & VM_SIM_PTE_A ? bytes : 0;
    w->sum.anonymous += f->kind == VM_SIM_FRAME_ANON ? bytes : 0;
    w->sum.large += level > 1 ? bytes : 0;
    return 0;
}

struct vm_sim_area_pages vm_sim_area_pages(const struct vm_sim_machine *m, const struct vm_sim_vma *vma)
{
    struct area_walk w = {.map = &m->memory.map, .vma = vma, .sum.size = vma->end - vma->start};
    const struct vm_sim_paging_geometry *g = &vm_sim_paging_geometry[m->config.mode];

    for (unsigned level = 1; level <= g->levels; level++)
        w.large_bytes[level] = (uint64_t)1 << g->shift[level - 1];
    vm_sim_pt_each(vma->mm->pt, VM_SIM_LINEAR(vma->start), VM_SIM_LINEAR(vma->end), add_leaf, &w);
    return w.sum;
}

void vm_sim_report_smaps(FILE *out, const struct vm_sim_machine *m, const struct vm_sim_process *p)
{
    for (const struct vm_sim_vma *v = p->mm ? vm_sim_vma_first(p->mm) : NULL; v; v = vm_sim_vma_next(v)) {
        struct vm_sim_area_pages a = vm_sim_area_pages(m, v);
        const struct {
            const char *name;
            uint64_t bytes;
        } line[] = {
            {"Size:", a.size},
            {"Rss:", a.rss},
            {"Shared_Clean:", a.shared_clean},
            {"Shared_Dirty:", a.shared_dirty},
            {"Private_Clean:", a.private_clean},
            {"Private_Dirty:", a.private_dirty},
            {"Referenced:", a.referenced},
            {"Anonymous:", a.anonymous},
            {"AnonHugePages:", a.large},
            {"Swap:", a.swap},
        };
        put_area(out, v);
        for (size_t i = 0; i < sizeof line / sizeof *line; i++)
            fprintf(out, "%-15s %8" PRIu64 " kB\n", line[i].name, line[i].bytes / 1024);
    }
}

static void put_entry(FILE *out, vm_sim_pte e)
{
    fprintf(out, " entry %#018" PRIx64, e);
    if (vm_sim_pte_is_swap(e)) {
        fprintf(out, " swap area %u slot %" PRIu32 "\n", vm_sim_pte_swap_area(e), vm_sim_pte_swap_slot(e));
        return;
    }
    if (!(e & VM_SIM_PTE_P)) {
        fputs(" not present\n", out);
        return;
    }
    fprintf(out, " frame %" PRIu32 " %s%s%s%s%s%s\n", vm_sim_pte_frame(e), e & VM_SIM_PTE_W ? "write" : "read-only",
            e & VM_SIM_PTE_U ? " user" : " kernel", e & VM_SIM_PTE_A ? " accessed" : "",
            e & VM_SIM_PTE_D ? " dirty" : "", e & VM_SIM_PTE_PS ? " large" : "", e & VM_SIM_PTE_COW ? " cow" : "");
}

void vm_sim_report_walk(FILE *out, const struct vm_sim_process *p, struct vm_sim_linear at)
{
    if (!p->mm)
        return;
    enum vm_sim_paging_mode mode = vm_sim_pt_mode(p->mm->pt);
    struct vm_sim_walk w = vm_sim_pt_walk(p->mm->pt, at);

    fprintf(out, "linear %#" PRIx64 ", paging %s, CR3 frame %" PRIu32 ", %u reads\n", at.at,
            vm_sim_paging_geometry[mode].name, vm_sim_pt_top(p->mm->pt), w.reads);
    if (mode == VM_SIM_PAGING_SORTED) {
        fputs("  search", out);
        put_entry(out, w.entry);
        return;
    }
    for (unsigned level = vm_sim_paging_geometry[mode].levels; level >= w.level && level > 0; level--) {
        fprintf(out, "  level %u index %4u", level, vm_sim_table_index(mode, at, level));
        put_entry(out, level == w.level ? w.entry : w.path[level - 1]);
    }
    if (w.entry & VM_SIM_PTE_P) {
        uint64_t mask = ((uint64_t)1 << vm_sim_paging_geometry[mode].shift[w.level - 1]) - 1;
        fprintf(out, "  offset %#" PRIx64 ", physical %#" PRIx64 "\n", at.at & mask,
                (uint64_t)vm_sim_pte_frame(w.entry) * VM_SIM_PAGE_SIZE + (at.at & mask));
    }
}

/* ---- JSON ---- */

static void json_usage(struct vm_sim_json *j, const struct vm_sim_usage *u)
{
    vm_sim_json_number(j, "l1_hits", u->hits[0]);
    vm_sim_json_number(j, "l2_hits", u->hits[1]);
    vm_sim_json_number(j, "walks", u->walks);
    vm_sim_json_number(j, "walk_reads", u->walk_reads);
    vm_sim_json_number(j, "faults", u->faults);
}

static void json_area(struct vm_sim_json *j, const struct vm_sim_machine *m, const struct vm_sim_vma *v)
{
    struct vm_sim_area_pages a = vm_sim_area_pages(m, v);

    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_hex(j, "start", v->start);
    vm_sim_json_hex(j, "end", v->end);
    vm_sim_json_number(j, "perms", v->perms);
    vm_sim_json_bool(j, "shared", v->flags & VM_SIM_VMA_SHARED);
    vm_sim_json_string(j, "region", vm_sim_region_name((enum vm_sim_region)v->region));
    vm_sim_json_string(j, "file", v->file ? v->file->name : NULL);
    vm_sim_json_number(j, "rss", a.rss);
    vm_sim_json_number(j, "shared_clean", a.shared_clean);
    vm_sim_json_number(j, "shared_dirty", a.shared_dirty);
    vm_sim_json_number(j, "private_clean", a.private_clean);
    vm_sim_json_number(j, "private_dirty", a.private_dirty);
    vm_sim_json_number(j, "anonymous", a.anonymous);
    vm_sim_json_number(j, "swap", a.swap);
    vm_sim_json_end(j, '}');
}

static void json_workset(struct vm_sim_json *j, const struct vm_sim_workset *w)
{
    vm_sim_json_begin(j, "residency", '[');
    for (size_t i = 0; w && i < w->samples; i++) {
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_number(j, "references", w->sample[i].end);
        vm_sim_json_number(j, "working_set", w->sample[i].referenced);
        vm_sim_json_number(j, "resident", w->sample[i].resident);
        vm_sim_json_number(j, "faults", w->sample[i].faults);
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
}

static void json_process(struct vm_sim_json *j, const struct vm_sim_machine *m, const struct vm_sim_process *p)
{
    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_number(j, "pid", p->context.pid);
    vm_sim_json_string(j, "name", p->name);
    vm_sim_json_number(j, "parent", p->parent ? p->parent->context.pid : 0);
    vm_sim_json_bool(j, "exited", p->exited);
    vm_sim_json_number(j, "signal", (uint64_t)p->signal);
    vm_sim_json_number(j, "reads", p->context.refs[VM_SIM_READ]);
    vm_sim_json_number(j, "writes", p->context.refs[VM_SIM_WRITE]);
    vm_sim_json_number(j, "fetches", p->context.refs[VM_SIM_FETCH]);
    if (is_paged(m)) {
        const struct vm_sim_mm *mm = p->mm;
        vm_sim_json_number(j, "rss", mm ? mm->rss : 0);
        vm_sim_json_number(j, "swapped", mm ? mm->swapped : 0);
        vm_sim_json_number(j, "highest_rss", mm ? mm->highest_rss : p->end.highest_rss);
        vm_sim_json_number(j, "minor_faults", mm ? mm->min_faults : p->end.min_faults);
        vm_sim_json_number(j, "major_faults", mm ? mm->maj_faults : p->end.maj_faults);
        vm_sim_json_number(j, "table_frames", mm ? vm_sim_pt_stats(mm->pt).frames : 0);
        vm_sim_json_begin(j, "regions", '{');
        for (unsigned r = 0; r < VM_SIM_REGIONS; r++) {
            const struct vm_sim_usage *u = &p->context.usage[r];
            if (u->hits[0] + u->hits[1] + u->walks + u->faults == 0)
                continue;
            vm_sim_json_begin(j, vm_sim_region_name((enum vm_sim_region)r), '{');
            json_usage(j, u);
            vm_sim_json_end(j, '}');
        }
        vm_sim_json_end(j, '}');
        vm_sim_json_begin(j, "areas", '[');
        for (const struct vm_sim_vma *v = mm ? vm_sim_vma_first(mm) : NULL; v; v = vm_sim_vma_next(v))
            json_area(j, m, v);
        vm_sim_json_end(j, ']');
        json_workset(j, p->context.workset);
    }
    vm_sim_json_end(j, '}');
}

static void json_zone(struct vm_sim_json *j, const struct vm_sim_zone *z)
{
    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_string(j, "name", z->name);
    vm_sim_json_number(j, "managed", z->managed);
    vm_sim_json_number(j, "free", z->buddy.free);
    vm_sim_json_number(j, "min", z->min);
    vm_sim_json_number(j, "low", z->low);
    vm_sim_json_number(j, "high", z->high);
    vm_sim_json_number(j, "allocated", z->allocated);
    vm_sim_json_number(j, "failed", z->failed);
    vm_sim_json_number(j, "reserve_used", z->reserve_used);
    vm_sim_json_number(j, "fallbacks", z->fallbacks);
    vm_sim_json_begin(j, "free_blocks", '[');
    for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
        vm_sim_json_number(j, NULL, z->buddy.blocks[o]);
    vm_sim_json_end(j, ']');
    vm_sim_json_end(j, '}');
}

static void json_memory(struct vm_sim_json *j, const struct vm_sim_machine *m)
{
    const struct vm_sim_reclaim_counts *r = &m->reclaim.counts;

    vm_sim_json_begin(j, "zones", '[');
    for (unsigned z = 0; z < VM_SIM_ZONES; z++)
        if (m->memory.zone[z].start != m->memory.zone[z].end)
            json_zone(j, &m->memory.zone[z]);
    vm_sim_json_end(j, ']');
    vm_sim_json_begin(j, "caches", '[');
    for (const struct vm_list *l = m->slabs.caches.next; l != &m->slabs.caches; l = l->next) {
        const struct vm_sim_cache *c = VM_CONTAINER_OF(l, struct vm_sim_cache, link);
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_string(j, "name", c->name);
        vm_sim_json_number(j, "size", c->size);
        vm_sim_json_number(j, "allocated", c->allocated);
        vm_sim_json_number(j, "slabs", c->slabs);
        vm_sim_json_number(j, "colours", c->colours);
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
    vm_sim_json_begin(j, "swaps", '[');
    for (unsigned i = 0; i < m->swaps.areas; i++) {
        const struct vm_sim_swap_area *a = &m->swaps.area[i];
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_string(j, "name", a->name);
        vm_sim_json_signed(j, "priority", a->priority);
        vm_sim_json_number(j, "slots", a->slots - 1);
        vm_sim_json_number(j, "used", a->used);
        vm_sim_json_number(j, "reads", a->reads);
        vm_sim_json_number(j, "writes", a->writes);
        vm_sim_json_number(j, "seeks", a->seeks);
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
    vm_sim_json_begin(j, "reclaim", '{');
    vm_sim_json_string(j, "policy", vm_sim_policy_name(m->reclaim.policy));
    vm_sim_json_number(j, "scanned", r->scanned);
    vm_sim_json_number(j, "reclaimed", r->reclaimed);
    vm_sim_json_number(j, "swapped_out", r->swapped_out);
    vm_sim_json_number(j, "written_back", r->written_back);
    vm_sim_json_number(j, "dropped", r->dropped);
    vm_sim_json_number(j, "kswapd_wakes", r->kswapd_wakes);
    vm_sim_json_number(j, "direct_runs", r->direct_runs);
    vm_sim_json_number(j, "refaults", r->refaults);
    vm_sim_json_end(j, '}');
}

void vm_sim_report_json(FILE *out, const struct vm_sim_machine *m)
{
    struct vm_sim_json j = {.out = out};
    struct totals t = totals_of(m);

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_string(&j, "machine", m->config.name);
    vm_sim_json_number(&j, "memory", m->config.memory);
    vm_sim_json_string(&j, "paging", vm_sim_paging_geometry[m->config.mode].name);
    vm_sim_json_string(&j, "tlb", m->cpu.tlb ? m->config.tlb_name : NULL);
    vm_sim_json_number(&j, "references", m->cpu.refs);
    vm_sim_json_number(&j, "page_faults", m->cpu.page_faults);
    vm_sim_json_number(&j, "exceptions", m->cpu.exceptions);
    vm_sim_json_number(&j, "switches", m->cpu.switches);
    vm_sim_json_number(&j, "l1_hits", t.hits[0]);
    vm_sim_json_number(&j, "l2_hits", t.hits[1]);
    vm_sim_json_number(&j, "walks", t.walks);
    vm_sim_json_number(&j, "walk_reads", t.walk_reads);
    vm_sim_json_double(&j, "eat_ns", vm_sim_machine_eat(m));
    vm_sim_json_number(&j, "table_bytes", t.table_bytes);
    vm_sim_json_number(&j, "minor_faults", t.minor);
    vm_sim_json_number(&j, "major_faults", t.major);
    if (is_paged(m))
        json_memory(&j, m);
    vm_sim_json_begin(&j, "processes", '[');
    for (const struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p))
        json_process(&j, m, p);
    vm_sim_json_end(&j, ']');
    vm_sim_json_end(&j, '}');
}

/* ---- By name ---- */

static void all_maps(FILE *out, const struct vm_sim_machine *m)
{
    for (const struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p)) {
        fprintf(out, "process %" PRIu32 " %s\n", p->context.pid, p->name);
        vm_sim_report_maps(out, p);
    }
}

static void all_smaps(FILE *out, const struct vm_sim_machine *m)
{
    for (const struct vm_sim_process *p = vm_sim_process_next(m, NULL); p; p = vm_sim_process_next(m, p)) {
        fprintf(out, "process %" PRIu32 " %s\n", p->context.pid, p->name);
        vm_sim_report_smaps(out, m, p);
    }
}

bool vm_sim_report(FILE *out, const struct vm_sim_machine *m, const char *name, size_t length)
{
    static const struct {
        const char *name;
        void (*put)(FILE *out, const struct vm_sim_machine *m);
    } report[] = {
        {"summary", vm_sim_report_summary},
        {"processes", vm_sim_report_processes},
        {"buddyinfo", vm_sim_report_buddyinfo},
        {"zoneinfo", vm_sim_report_zoneinfo},
        {"slabinfo", vm_sim_report_slabinfo},
        {"vmstat", vm_sim_report_vmstat},
        {"swaps", vm_sim_report_swaps},
        {"segments", vm_sim_report_segments},
        {"maps", all_maps},
        {"smaps", all_smaps},
    };

    for (size_t i = 0; i < sizeof report / sizeof *report; i++)
        if (strlen(report[i].name) == length && memcmp(report[i].name, name, length) == 0) {
            if (m)
                report[i].put(out, m);
            return true;
        }
    return false;
}

/* vmalloc tlb PID: how much of a running process's heap the TLB reaches, by page size.  This file has the command line and
   the output; reach.c the arithmetic.  cmd_tlb.c hands over what is a number. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/json.h"
#include "sim/tlb_study.h"
#include "tool/cmd_tlb.h"
#include "tool/command.h"
#include "tool/reach.h"
#include "vm/tlb_host.h"

#define CLASSES_SHOWN 10
#define PRESETS_MAX 32

static const char *const name = "tlb";

static const char usage[] =
    "usage: vmalloc tlb [OPTIONS] PID\n"
    "\n"
    "Says how much of the resident heap of a process that runs with libvmalloc the TLB can map at once: as it is, and if\n"
    "all of it lay in pages of 4 KiB, 64 KiB or 2 MiB, with what larger pages would waste. These are reaches, not misses:\n"
    "nothing is known of the references that the process makes, but for a model that it feeds (VMALLOC_OPTIONS=tlb=).\n"
    "The process is neither stopped nor changed.\n"
    "\n"
    "  -p, --preset NAME   a processor, host (this one: the default where it can be had) or all\n"
    "  -c, --classes       every size class, not only the largest ten\n"
    "  -j, --json          JSON instead of text; bytes\n"
    "  -h, --help          this\n";

static const char *const page_names[REACH_PAGES] = {"as it is", "all 4 KiB", "all 64 KiB", "all 2 MiB"};
static const char *const page_keys[REACH_PAGES] = {"as_is", "4k", "64k", "2m"};
static const char *const region_names[VIEW_KINDS] = {"slabs", "free frames", "large blocks", "free extents",
                                                     "metadata"};
static const char *const region_keys[VIEW_KINDS] = {"slabs", "free_frames", "large_blocks", "free_extents", "metadata"};

struct machines {
    struct vm_tlb_config config[PRESETS_MAX];
    size_t count;
};

/* The textbook's EAT of the model that the process feeds; false: its processor is not known here, or it was fed nothing. */
static bool fed_eat(const struct peek_tlb *t, double *eat)
{
    struct vm_tlb_config host;
    const struct vm_tlb_config *c = vm_tlb_preset(t->preset);

    if (strcmp(t->preset, "host") == 0 && vm_tlb_host(&host) == 0)
        c = &host;
    if (!c || t->references == 0)
        return false;
    *eat = vm_tlb_eat_textbook(1 - tlb_ratio(t->misses, t->references), TLB_LOOKUP, TLB_MEMORY,
                               vm_sim_tlb_walk_levels(c, VM_SIM_TLB_4K));
    return true;
}

/* ---- Text ---- */

static double kib(uint64_t bytes) { return (double)bytes / VM_KIB; }
static double percent(uint64_t part, uint64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0; }

static void put_machine(const struct vm_tlb_config *c, const struct reach *r)
{
    printf("\n%s (%s)\n  %-12s %14s %14s %12s %12s %12s\n", c->title, c->name, "pages", "level 1", "level 2",
           "L1 covers", "L2 covers", "of the heap");
    for (unsigned p = 0; p < REACH_PAGES; p++) {
        uint64_t covered[VM_TLB_LEVELS];
        printf("  %-12s", page_names[p]);
        for (unsigned level = 1; level <= VM_TLB_LEVELS; level++) {
            covered[level - 1] = reach_covered(c, level, (enum reach_page)p, &r->all);
            if (p == REACH_AS_IS)
                printf(" %14s", "-");
            else
                printf(" %10.0f KiB", kib(reach_of_level(c, level, (enum reach_page)p)));
        }
        printf(" %8.0f KiB %8.0f KiB %10.1f %%\n", kib(covered[0]), kib(covered[1]),
               percent(vm_max(covered[0], covered[1]), r->all.resident));
    }
}

static void put_regions(const struct reach *r)
{
    printf("\n%-16s %14s %14s %14s %14s\n", "region", "resident", "in huge pages", "live", "2 MiB blocks");
    for (unsigned i = 0; i < VIEW_KINDS; i++)
        if (r->region[i].resident)
            printf("%-16s %10.0f KiB %10.0f KiB %10.0f KiB %14" PRIu64 "\n", region_names[i],
                   kib(r->region[i].resident), kib(r->region[i].huge), kib(r->region[i].live), r->region[i].chunks);
}

/* The class with the most resident bytes of those not taken yet; REACH_CLASSES: none is left. */
static unsigned next_class(const struct reach *r, bool taken[])
{
    unsigned best = REACH_CLASSES;

    for (unsigned i = 0; i < REACH_CLASSES; i++)
        if (!taken[i] && r->of_class[i].resident
            && (best == REACH_CLASSES || r->of_class[i].resident > r->of_class[best].resident))
            best = i;
    if (best < REACH_CLASSES)
        taken[best] = true;
    return best;
}

static void put_classes(const struct reach *r, const struct vm_tlb_config *c, bool all)
{
    bool taken[REACH_CLASSES] = {false};
    unsigned id;

    printf("\n%-16s %14s %14s %14s %14s  level 2 of %s covers, alone\n", "size class", "resident", "in huge pages",
           "live", "2 MiB blocks", c->name);
    for (unsigned i = 0; (all || i < CLASSES_SHOWN) && (id = next_class(r, taken)) < REACH_CLASSES; i++) {
        const struct reach_region *k = &r->of_class[id];
        printf("%-16" PRIu32 " %10.0f KiB %10.0f KiB %10.0f KiB %14" PRIu64 " %7.1f %%\n", r->class_size[id],
               kib(k->resident), kib(k->huge), kib(k->live), k->chunks,
               percent(reach_covered(c, 2, REACH_AS_IS, k), k->resident));
    }
}

static void put_fed(const struct peek_tlb *t)
{
    double eat;

    printf("\nmodel of %s, fed with allocator events of %" PRIu64 " thread%s, 4 KiB pages, so far:\n"
           "  %" PRIu64 " references, level 1 hits %.2f %%, level 2 hits %.2f %%, misses %.4f %%",
           *t->preset ? t->preset : "unknown name", t->threads, t->threads == 1 ? "" : "s", t->references,
           100 * tlb_ratio(t->l1_hits, t->references), 100 * tlb_ratio(t->l2_hits, t->references),
           100 * tlb_ratio(t->misses, t->references));
    if (fed_eat(t, &eat))
        printf(", EAT %.1f (t = %.0f, m = %.0f)", eat, TLB_LOOKUP, TLB_MEMORY);
    putchar('\n');
}

static void put_text(const struct view *v, const struct reach *r, const struct machines *m, bool classes)
{
    printf("%s, pid %d, libvmalloc %s\n\n", v->totals.name, (int)v->pid, view_version(v));
    printf("%.0f KiB of the heap are resident, %.0f KiB of it in huge pages%s.\n", kib(r->all.resident),
           kib(r->all.huge), v->knows_huge ? "" : " (not known: this kernel does not tell)");
    printf("Reach, not misses: nothing is known of the references that the process makes%s.\n\n",
           v->modelled ? "; what a model was fed stands below" : "");
    printf("%-12s %14s %16s\n", "pages", "entries", "would waste");
    for (unsigned p = 0; p < REACH_PAGES; p++)
        printf("%-12s %14" PRIu64 " %12.0f KiB\n", page_names[p], r->what_if[p].pages, kib(r->what_if[p].wasted));
    for (size_t i = 0; i < m->count; i++)
        put_machine(&m->config[i], r);
    put_regions(r);
    put_classes(r, &m->config[0], classes);
    if (v->modelled)
        put_fed(&v->tlb);
    if (!v->has_pages)
        puts("\nPages could not be read one by one: what is resident is a guess from smaps.");
    if (v->moved)
        puts("\nThe process changed its memory while it was read.");
}

/* ---- JSON ---- */

static void json_region(struct vm_sim_json *j, const char *key, const struct reach_region *k, uint32_t size)
{
    vm_sim_json_begin(j, key, '{');
    if (size)
        vm_sim_json_number(j, "size", size);
    vm_sim_json_number(j, "resident", k->resident);
    vm_sim_json_number(j, "huge", k->huge);
    vm_sim_json_number(j, "live", k->live);
    vm_sim_json_number(j, "chunks", k->chunks);
    vm_sim_json_end(j, '}');
}

static void json_machine(struct vm_sim_json *j, const struct vm_tlb_config *c, const struct reach *r)
{
    vm_sim_json_begin(j, NULL, '{');
    vm_sim_json_string(j, "preset", c->name);
    for (unsigned p = 0; p < REACH_PAGES; p++) {
        vm_sim_json_begin(j, page_keys[p], '{');
        if (p != REACH_AS_IS) {
            vm_sim_json_number(j, "level1", reach_of_level(c, 1, (enum reach_page)p));
            vm_sim_json_number(j, "level2", reach_of_level(c, 2, (enum reach_page)p));
        }
        vm_sim_json_number(j, "level1_covers", reach_covered(c, 1, (enum reach_page)p, &r->all));
        vm_sim_json_number(j, "level2_covers", reach_covered(c, 2, (enum reach_page)p, &r->all));
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, '}');
}

static void json_fed(struct vm_sim_json *j, const struct peek_tlb *t)
{
    double eat;

    vm_sim_json_begin(j, "model", '{');
    vm_sim_json_string(j, "preset", t->preset);
    vm_sim_json_string(j, "feed", "allocator events, 4 KiB pages");
    vm_sim_json_number(j, "threads", t->threads);
    vm_sim_json_number(j, "references", t->references);
    vm_sim_json_number(j, "l1_hits", t->l1_hits);
    vm_sim_json_number(j, "l2_hits", t->l2_hits);
    vm_sim_json_number(j, "misses", t->misses);
    vm_sim_json_double(j, "miss_ratio", tlb_ratio(t->misses, t->references));
    if (fed_eat(t, &eat))
        vm_sim_json_double(j, "eat", eat);
    vm_sim_json_end(j, '}');
}

static void put_json(const struct view *v, const struct reach *r, const struct machines *m)
{
    struct vm_sim_json j = {.out = stdout};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_signed(&j, "pid", v->pid);
    vm_sim_json_string(&j, "program", v->totals.name);
    vm_sim_json_string(&j, "figures", "reach, not misses");
    vm_sim_json_number(&j, "resident", r->all.resident);
    vm_sim_json_number(&j, "huge", r->all.huge);
    vm_sim_json_bool(&j, "pages_read", v->has_pages);
    vm_sim_json_bool(&j, "huge_known", v->knows_huge);
    vm_sim_json_bool(&j, "moved", v->moved);
    vm_sim_json_begin(&j, "what_if", '{');
    for (unsigned p = 0; p < REACH_PAGES; p++) {
        vm_sim_json_begin(&j, page_keys[p], '{');
        vm_sim_json_number(&j, "entries", r->what_if[p].pages);
        vm_sim_json_number(&j, "wasted", r->what_if[p].wasted);
        vm_sim_json_end(&j, '}');
    }
    vm_sim_json_end(&j, '}');
    vm_sim_json_begin(&j, "presets", '[');
    for (size_t i = 0; i < m->count; i++)
        json_machine(&j, &m->config[i], r);
    vm_sim_json_end(&j, ']');
    vm_sim_json_begin(&j, "regions", '{');
    for (unsigned i = 0; i < VIEW_KINDS; i++)
        json_region(&j, region_keys[i], &r->region[i], 0);
    vm_sim_json_end(&j, '}');
    vm_sim_json_begin(&j, "classes", '[');
    for (unsigned i = 0; i < REACH_CLASSES; i++)
        if (r->of_class[i].resident)
            json_region(&j, NULL, &r->of_class[i], r->class_size[i]);
    vm_sim_json_end(&j, ']');
    if (v->modelled)
        json_fed(&j, &v->tlb);
    vm_sim_json_end(&j, '}');
}

/* ---- Command line ---- */

/* NULL: the host, or all presets where its TLB cannot be had. */
static int take_machines(const char *preset, struct machines *m)
{
    bool wants_host = !preset || strcmp(preset, "host") == 0;

    m->count = 0;
    if (wants_host && vm_tlb_host(&m->config[0]) == 0)
        m->count = 1;
    if (wants_host && preset && m->count == 0)
        return tool_failed(name, "the TLB of this processor cannot be had from CPUID; name a preset");
    if ((!preset && m->count == 0) || (preset && strcmp(preset, "all") == 0))
        for (const struct vm_tlb_config *c = vm_tlb_presets; c->name && m->count < PRESETS_MAX; c++)
            m->config[m->count++] = *c;
    const struct vm_tlb_config *one = preset ? vm_tlb_preset(preset) : NULL;
    if (one)
        m->config[m->count++] = *one;
    if (m->count == 0) {
        char names[256] = "";
        for (const struct vm_tlb_config *c = vm_tlb_presets; c->name; c++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s, ", c->name);
        return tool_usage(name, "--preset takes %shost or all, not '%s'", names, preset);
    }
    return TOOL_OK;
}

static int run(const char *text, const char *preset, bool json, bool classes)
{
    struct machines machines;
    struct reach reach;
    pid_t pid;
    int status = take_machines(preset, &machines);

    if (status == TOOL_OK)
        status = view_take_pid(name, text, &pid);
    if (status != TOOL_OK)
        return status;
    struct view *v = view_open(name, pid);
    if (!v)
        return TOOL_FAILED;
    reach_make(v, &reach);
    if (json)
        put_json(v, &reach, &machines);
    else
        put_text(v, &reach, &machines, classes);
    view_close(v);
    return TOOL_OK;
}

int cmd_tlb_pid(int argc, char **argv)
{
    static const struct option option[] = {
        {"preset", required_argument, NULL, 'p'},
        {"classes", no_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *preset = NULL;
    bool json = false, classes = false;
    int c;

    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, ":p:cjh", option, NULL)) != -1) {
        switch (c) {
        case 'p': preset = optarg; break;
        case 'c': classes = true; break;
        case 'j': json = true; break;
        case 'h': fputs(usage, stdout); return TOOL_OK;
        case ':': return tool_usage(name, "%s needs an argument", argv[optind - 1]);
        default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
        }
    }
    if (optind != argc - 1)
        return tool_usage(name, optind == argc ? "no process id given" : "one process at a time");
    return run(argv[optind], preset, json, classes);
}

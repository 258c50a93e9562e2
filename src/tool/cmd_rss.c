/* vmalloc rss: why is the RSS of a process what it is?  This file has the command line and the two forms of output;
   account.c has the arithmetic. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/json.h"
#include "tool/account.h"
#include "tool/command.h"

static const char *const name = "rss";

static const char usage[] =
    "usage: vmalloc rss [OPTIONS] PID\n"
    "\n"
    "Says what the resident memory of a process that runs with libvmalloc consists of: live blocks, what is free and\n"
    "kept, the allocator's own, and everything that is not the heap's; what a fork would copy; what forks have copied.\n"
    "The process is neither stopped nor changed.\n"
    "\n"
    "  -m, --mappings   every mapping that is not the heap's\n"
    "  -s, --shared     from what the program publishes with VMALLOC_OPTIONS=share=1; taken by itself where the system\n"
    "                   forbids to read the program's memory\n"
    "  -j, --json       JSON instead of text; bytes\n"
    "  -h, --help       this\n";

static double kib(uint64_t bytes) { return (double)bytes / VM_KIB; }

static double percent(const struct account *a, int64_t bytes)
{
    return a->rss ? 100.0 * (double)bytes / (double)a->rss : 0;
}

static void put_line(const struct account *a, const char *indent, const char *text, uint64_t bytes)
{
    printf("%s%-*s %12.0f KiB %6.1f %%\n", indent, 36 - (int)strlen(indent), text, kib(bytes),
           percent(a, (int64_t)bytes));
}

static uint64_t sum_of(const uint64_t part[], unsigned from, unsigned to)
{
    uint64_t sum = 0;

    for (unsigned i = from; i < to; i++)
        sum += part[i];
    return sum;
}

/* Where nothing lies in a huge page, what is resident without having been handed out came with one that was split since, or
   was being handed out at that moment. */
static const char *name_of(const struct account *a, unsigned part)
{
    return part == ACCOUNT_UNUSED && a->huge == 0 ? "resident, not handed out" : account_name((enum account_part)part);
}

static void put_parts(const struct account *a, const char *title, unsigned from, unsigned to, unsigned always)
{
    put_line(a, "", title, sum_of(a->part, from, to));
    for (unsigned i = from; i < to; i++)
        if (a->part[i] || i < always)
            put_line(a, "  ", name_of(a, i), a->part[i]);
}

static void put_heap(const struct view *v, const struct account *a)
{
    uint64_t live = a->part[ACCOUNT_SMALL] + a->part[ACCOUNT_LARGE];

    printf("\nLive blocks are %.0f KiB, rounding to size classes included", kib(a->handed_out));
    if (v->shared) {
        puts(".");
        return;
    }
    printf("; %.0f KiB of them are resident.\n", kib(live));
    printf("Of the heap's address space %.0f KiB hold no page (returned, or never touched)", kib(a->returned));
    if (a->swapped)
        printf(", %.0f KiB are swapped out", kib(a->swapped));
    if (v->knows_huge)
        printf("; %.0f KiB are in huge pages", kib(a->huge));
    puts(".");
}

static void put_fork(const struct account *a)
{
    const uint64_t *p = a->fork.part;

    printf("\nA fork now would share %.0f KiB. If all of it were written afterwards, all of it would be copied:\n",
           kib(a->fork.all));
    printf("  live blocks %.0f KiB, free or kept by the heap %.0f KiB, its metadata %.0f KiB, others %.0f KiB\n",
           kib(p[ACCOUNT_SMALL] + p[ACCOUNT_LARGE]), kib(sum_of(p, ACCOUNT_SLACK, ACCOUNT_META)), kib(p[ACCOUNT_META]),
           kib(sum_of(p, ACCOUNT_LIBRARY, ACCOUNT_PARTS)));
    printf("  and at once, by the fork itself, up to %.0f KiB of page tables\n", kib(a->fork.page_tables));
    for (size_t i = 0; i < a->children; i++) {
        const struct account_child *c = &a->child[i];
        printf("\nChild %d, a fork that runs on, shares %.0f KiB of anonymous pages; %.0f KiB are its own.\n",
               (int)c->pid, kib(c->shared), kib(c->private_));
        if (c->knows_copies)
            printf("  %.0f KiB have a page of their own on both sides: copied since the fork, or new in both.\n"
                   "  Of the heap it shares %.0f KiB, and %.0f KiB were copied.\n",
                   kib(c->copied), kib(c->shared_heap), kib(c->copied_heap));
    }
}

static void put_mappings(const struct account *a)
{
    puts("\nNot the heap's, by mapping:");
    for (size_t i = 0; i < a->others; i++) {
        const struct procfs_mapping *m = a->other[i].mapping;
        procfs_make_printable(m->path, PROCFS_ANY);
        printf("  %12" PRIx64 "-%-12" PRIx64 " %s %10.0f KiB  %-20s %s\n", m->start, m->end, m->perms,
               kib(a->other[i].bytes), account_name(a->other[i].part), m->path);
    }
}

static void put_caveats(const struct view *v)
{
    if (v->shared)
        printf(
            "\nThe heap was not read. Its parts are what the program published (share=1) %.1f s ago, resident or not,\n"
            "and other anonymous memory is what they leave of all: the residual proves nothing here.\n",
            (double)shared_age(v->shared) / 1e9);
    else if (!v->has_pages)
        puts(
            "\nPages could not be read one by one (/proc/PID/pagemap): what is resident is taken from smaps, and the heap's\n"
            "parts are what the allocator holds, resident or not.");
    else if (!v->pages.scans)
        puts(
            "\nThis kernel has no PAGEMAP_SCAN: pages that were only read count as resident, huge pages are not seen.");
    if (v->moved)
        printf(
            "\nThe process changed its memory during each of %d looks; RSS moved by %.0f KiB during the one shown.\n",
            VIEW_LOOKS, kib((uint64_t)(v->drift < 0 ? -v->drift : v->drift)));
}

static void put_text(const struct view *v, const struct account *a, bool mappings)
{
    printf("%s, pid %d, libvmalloc %s\n\n", v->totals.name, (int)v->pid, view_version(v));
    put_line(a, "", "RSS", a->rss);
    put_parts(a, "the heap", 0, ACCOUNT_LIBRARY, ACCOUNT_LAZY);
    put_line(a, "", account_name(ACCOUNT_LIBRARY), a->part[ACCOUNT_LIBRARY]);
    put_parts(a, "not libvmalloc's", ACCOUNT_OTHERS, ACCOUNT_PARTS, 0);
    printf("%-36s %12.0f KiB %6.2f %%\n", "residual", (double)a->residual / VM_KIB, percent(a, a->residual));
    put_heap(v, a);
    put_fork(a);
    if (mappings)
        put_mappings(a);
    put_caveats(v);
}

/* ---- JSON ---- */

static void json_parts(struct vm_sim_json *j, const char *key, const uint64_t part[])
{
    vm_sim_json_begin(j, key, '{');
    for (unsigned i = 0; i < ACCOUNT_PARTS; i++)
        vm_sim_json_number(j, account_key((enum account_part)i), part[i]);
    vm_sim_json_end(j, '}');
}

static void json_fork(struct vm_sim_json *j, const struct account *a)
{
    vm_sim_json_begin(j, "fork", '{');
    vm_sim_json_number(j, "bytes", a->fork.all);
    vm_sim_json_number(j, "swapped", a->fork.swapped);
    vm_sim_json_number(j, "page_tables", a->fork.page_tables);
    json_parts(j, "parts", a->fork.part);
    vm_sim_json_end(j, '}');
    vm_sim_json_begin(j, "children", '[');
    for (size_t i = 0; i < a->children; i++) {
        const struct account_child *c = &a->child[i];
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_signed(j, "pid", c->pid);
        vm_sim_json_number(j, "rss", c->rss);
        vm_sim_json_number(j, "shared", c->shared);
        vm_sim_json_number(j, "private", c->private_);
        if (c->knows_copies) {
            vm_sim_json_number(j, "copied", c->copied);
            vm_sim_json_number(j, "copied_heap", c->copied_heap);
            vm_sim_json_number(j, "shared_heap", c->shared_heap);
        }
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
}

static void json_mappings(struct vm_sim_json *j, const struct account *a)
{
    vm_sim_json_begin(j, "mappings", '[');
    for (size_t i = 0; i < a->others; i++) {
        const struct procfs_mapping *m = a->other[i].mapping;
        vm_sim_json_begin(j, NULL, '{');
        vm_sim_json_hex(j, "start", m->start);
        vm_sim_json_hex(j, "end", m->end);
        vm_sim_json_string(j, "permissions", m->perms);
        vm_sim_json_string(j, "part", account_key(a->other[i].part));
        vm_sim_json_number(j, "bytes", a->other[i].bytes);
        vm_sim_json_string(j, "path", m->path);
        vm_sim_json_end(j, '}');
    }
    vm_sim_json_end(j, ']');
}

static void put_json(const struct view *v, const struct account *a)
{
    struct vm_sim_json j = {.out = stdout};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_signed(&j, "pid", v->pid);
    vm_sim_json_string(&j, "program", v->totals.name);
    vm_sim_json_string(&j, "version", view_version(v));
    vm_sim_json_number(&j, "rss", a->rss);
    vm_sim_json_number(&j, "status_rss", v->totals.status_rss);
    json_parts(&j, "parts", a->part);
    vm_sim_json_signed(&j, "residual", a->residual);
    vm_sim_json_number(&j, "live_bytes", a->handed_out);
    vm_sim_json_number(&j, "not_resident", a->returned);
    vm_sim_json_number(&j, "swapped", a->swapped);
    vm_sim_json_number(&j, "huge", a->huge);
    vm_sim_json_string(&j, "source", v->shared ? "share" : "process");
    vm_sim_json_bool(&j, "pages_read", v->has_pages);
    vm_sim_json_bool(&j, "huge_known", v->knows_huge);
    vm_sim_json_bool(&j, "moved", v->moved);
    vm_sim_json_signed(&j, "drift", v->drift);
    json_fork(&j, a);
    json_mappings(&j, a);
    vm_sim_json_end(&j, '}');
}

/* ---- Command line ---- */

static int run(const char *text, bool json, bool mappings, bool shared)
{
    pid_t pid;
    struct account account;
    int status = view_take_pid(name, text, &pid);

    if (status != TOOL_OK)
        return status;
    struct view *v = view_open_shared(name, pid, shared);
    if (!v)
        return TOOL_FAILED;
    int error = account_make(v, true, &account);
    if (error) {
        view_close(v);
        return view_failed(name, pid, error);
    }
    if (json)
        put_json(v, &account);
    else
        put_text(v, &account, mappings);
    account_free(&account);
    view_close(v);
    return TOOL_OK;
}

int cmd_rss(int argc, char **argv)
{
    static const struct option option[] = {
        {"mappings", no_argument, NULL, 'm'},
        {"shared", no_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    bool json = false, mappings = false, shared = false;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "msjh", option, NULL)) != -1) {
        switch (c) {
        case 'm': mappings = true; break;
        case 's': shared = true; break;
        case 'j': json = true; break;
        case 'h': fputs(usage, stdout); return TOOL_OK;
        default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
        }
    }
    if (optind != argc - 1)
        return tool_usage(name, optind == argc ? "no process id given" : "one process at a time");
    return run(argv[optind], json, mappings, shared);
}

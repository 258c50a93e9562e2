/* vmalloc map: what lies in every 2 MiB of a heap, as characters on the terminal, JSON, SVG or a page.  This file has
   the command line, the text and the JSON; blocks.c the figures, map_picture.c the pictures. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sim/json.h"
#include "tool/blocks.h"
#include "tool/command.h"

#define WIDTH 64      /* blocks a line: 128 MiB */
#define WIDTH_FIT 128 /* at most, where it fits a terminal */
#define WIDTH_LEAST 8
#define WIDTH_MAX 1024
#define ADDRESS_COLUMNS 16 /* before the blocks of a line */

static const char *const name = "map";

static const char usage[] =
    "usage: vmalloc map [OPTIONS] PID\n"
    "\n"
    "Draws every 2 MiB of the heap of a process that runs with libvmalloc: how much of it is live, free in slabs, kept,\n"
    "returned, whether it is a huge page, and whether it should be one. The process is neither stopped nor changed.\n"
    "\n"
    "      --svg FILE     a picture\n"
    "      --html FILE    a self-contained page; the pointer on a block shows its figures\n"
    "  -w, --width N      N blocks a line (64: a line is 128 MiB; on a terminal the power of two up to 128 that fits)\n"
    "  -j, --json         JSON instead of text; bytes\n"
    "  -h, --help         this\n";

enum { OPT_SVG = 256, OPT_HTML };

struct request {
    const char *pid, *svg, *html;
    unsigned width; /* 0: not given */
    bool json;
};

/* ---- Text ---- */

static const char *const verdict_colour[BLOCK_VERDICTS] = {"\033[34m", "\033[32m", "\033[31m", "\033[2m"};

static char glyph_of(const struct block *k)
{
    uint64_t eighth = BLOCK_BYTES / 8;

    if (k->huge)
        return k->live >= BLOCK_DENSE_LIVE * eighth ? 'H' : 'h';
    if (k->live)
        return k->live >= 7 * eighth ? '#' : k->live >= 4 * eighth ? '+' : k->live >= eighth ? '-' : '.';
    return k->free + k->kept ? 'k' : '_';
}

static void put_row(const struct blocks *b, size_t *i, unsigned width, bool colours)
{
    uint64_t row = (b->block[*i].start >> BLOCK_SHIFT) / width;
    uint64_t next = row * width; /* number of the block that stands at this place */

    printf("%14" PRIx64 "  ", next << BLOCK_SHIFT);
    for (; *i < b->count && (b->block[*i].start >> BLOCK_SHIFT) / width == row; ++*i) {
        const struct block *k = &b->block[*i];
        for (; next < k->start >> BLOCK_SHIFT; next++)
            putchar(' ');
        next++;
        if (colours)
            printf("%s%c\033[0m", verdict_colour[k->verdict], glyph_of(k));
        else
            putchar(glyph_of(k));
    }
    putchar('\n');
}

/* As many blocks a line as the terminal has columns for; powers of two, so that lines begin at round addresses. */
static unsigned fitting_width(void)
{
    struct winsize size;
    unsigned width = WIDTH_FIT;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH;
    while (width > WIDTH_LEAST && ADDRESS_COLUMNS + width > size.ws_col)
        width /= 2;
    return width;
}

static double mib(uint64_t bytes) { return (double)bytes / VM_MIB; }

static void put_legend(bool colours)
{
    puts(
        "\n  live share of 2 MiB: # 7/8 or more, + half or more, - 1/8 or more, . less;  H, h: a huge page, 3/4 live or less\n"
        "  k: nothing live, pages kept;  _: no pages;  blank: not the heap's");
    if (!colours)
        return;
    fputs("  colours:", stdout);
    for (unsigned v = 0; v < BLOCK_VERDICTS; v++)
        printf(" %s%s\033[0m%s", verdict_colour[v], block_verdict_name((enum block_verdict)v),
               v + 1 < BLOCK_VERDICTS ? "," : "\n");
}

static void put_summary(const struct view *v, const struct blocks *b)
{
    printf("\n%zu blocks of 2 MiB: ", b->count);
    for (unsigned i = 0; i < BLOCK_VERDICTS; i++)
        printf("%s%zu %s", i ? ", " : "", b->verdict[i], block_verdict_name((enum block_verdict)i));
    printf("; %zu huge%s\n", b->huge, v->knows_huge ? "" : " as far as is known: this kernel does not tell");
    printf("resident %.1f MiB: live %.1f, free in slabs %.1f, kept %.1f, metadata %.1f, not the heap's %.1f; "
           "without pages %.1f\n",
           mib(b->sum.resident), mib(b->sum.live), mib(b->sum.free), mib(b->sum.kept), mib(b->sum.meta),
           mib(b->sum.other), mib(b->sum.returned));
    printf("huge pages would add %.1f MiB where they would gain, %.1f MiB in all blocks that can have one\n",
           mib(b->gain_adds), mib(b->all_add));
    if (b->wasted)
        printf("huge pages of sparse blocks hold %.1f MiB that are not live\n", mib(b->wasted));
    if (!v->has_pages)
        puts("pages could not be read one by one: what is resident is a guess from smaps");
    if (v->moved)
        puts("the process changed its memory while it was read");
}

static void put_text(const struct view *v, const struct blocks *b, unsigned width)
{
    const char *no_colour = getenv("NO_COLOR");
    bool colours = isatty(STDOUT_FILENO) && !(no_colour && *no_colour);

    if (width == 0)
        width = fitting_width();
    printf("%s, pid %d, libvmalloc %s\n\n", v->totals.name, (int)v->pid, view_version(v));
    for (size_t i = 0; i < b->count;)
        put_row(b, &i, width, colours);
    put_legend(colours);
    put_summary(v, b);
}

/* ---- JSON ---- */

static const char *const verdict_keys[BLOCK_VERDICTS] = {"keep", "gain", "sparse", "empty"};

static void json_figures(struct vm_sim_json *j, const struct block *k)
{
    vm_sim_json_number(j, "resident", k->resident);
    vm_sim_json_number(j, "live", k->live);
    vm_sim_json_number(j, "free", k->free);
    vm_sim_json_number(j, "kept", k->kept);
    vm_sim_json_number(j, "metadata", k->meta);
    vm_sim_json_number(j, "other", k->other);
    vm_sim_json_number(j, "returned", k->returned);
    vm_sim_json_number(j, "huge", k->huge);
}

static void put_json(const struct view *v, const struct blocks *b)
{
    struct vm_sim_json j = {.out = stdout};

    vm_sim_json_begin(&j, NULL, '{');
    vm_sim_json_signed(&j, "pid", v->pid);
    vm_sim_json_string(&j, "program", v->totals.name);
    vm_sim_json_string(&j, "version", view_version(v));
    vm_sim_json_number(&j, "block_bytes", BLOCK_BYTES);
    vm_sim_json_bool(&j, "pages_read", v->has_pages);
    vm_sim_json_bool(&j, "huge_known", v->knows_huge);
    vm_sim_json_bool(&j, "moved", v->moved);
    vm_sim_json_begin(&j, "sum", '{');
    json_figures(&j, &b->sum);
    for (unsigned i = 0; i < BLOCK_VERDICTS; i++)
        vm_sim_json_number(&j, verdict_keys[i], b->verdict[i]);
    vm_sim_json_number(&j, "huge_blocks", b->huge);
    vm_sim_json_number(&j, "gain_adds", b->gain_adds);
    vm_sim_json_number(&j, "all_add", b->all_add);
    vm_sim_json_number(&j, "wasted", b->wasted);
    vm_sim_json_end(&j, '}');
    vm_sim_json_begin(&j, "blocks", '[');
    for (size_t i = 0; i < b->count; i++) {
        vm_sim_json_begin(&j, NULL, '{');
        vm_sim_json_hex(&j, "address", b->block[i].start);
        vm_sim_json_string(&j, "verdict", verdict_keys[b->block[i].verdict]);
        json_figures(&j, &b->block[i]);
        vm_sim_json_end(&j, '}');
    }
    vm_sim_json_end(&j, ']');
    vm_sim_json_end(&j, '}');
}

/* ---- Command line ---- */

static int write_picture(const char *path, const struct view *v, const struct blocks *b, unsigned width,
                         void (*put)(FILE *, const struct blocks *, const char *, unsigned))
{
    char title[160];
    FILE *out = fopen(path, "we");

    snprintf(title, sizeof title, "%s, pid %d: the heap in blocks of 2 MiB", v->totals.name, (int)v->pid);
    if (out)
        put(out, b, title, width);
    bool bad = !out || ferror(out);
    if ((out && fclose(out) != 0) || bad)
        return tool_failed(name, "%s: %s", path, strerror(errno));
    return TOOL_OK;
}

static int put_all(const struct request *r, const struct view *v, const struct blocks *b)
{
    unsigned width = r->width ? r->width : WIDTH;
    int status = TOOL_OK;

    if (r->svg)
        status = write_picture(r->svg, v, b, width, blocks_svg);
    if (r->html && status == TOOL_OK)
        status = write_picture(r->html, v, b, width, blocks_html);
    if (status != TOOL_OK)
        return status;
    if (r->json)
        put_json(v, b);
    else
        put_text(v, b, r->width);
    return TOOL_OK;
}

static int run(const struct request *r)
{
    pid_t pid;
    struct blocks blocks;
    int status = view_take_pid(name, r->pid, &pid);

    if (status != TOOL_OK)
        return status;
    struct view *v = view_open(name, pid);
    if (!v)
        return TOOL_FAILED;
    int error = blocks_make(v, &blocks);
    if (error)
        status = view_failed(name, pid, error);
    else
        status = put_all(r, v, &blocks);
    blocks_free(&blocks);
    view_close(v);
    return status;
}

static int take_width(struct request *r, const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end || *text == '-' || n == 0 || n > WIDTH_MAX)
        return tool_usage(name, "--width takes a number from 1 to %d, not '%s'", WIDTH_MAX, text);
    r->width = (unsigned)n;
    return TOOL_OK;
}

int cmd_map(int argc, char **argv)
{
    static const struct option option[] = {
        {"svg", required_argument, NULL, OPT_SVG}, {"html", required_argument, NULL, OPT_HTML},
        {"width", required_argument, NULL, 'w'},   {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    struct request r = {0};
    int c, status;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":w:jh", option, NULL)) != -1) {
        switch (c) {
        case OPT_SVG: r.svg = optarg; break;
        case OPT_HTML: r.html = optarg; break;
        case 'j': r.json = true; break;
        case 'w':
            if ((status = take_width(&r, optarg)) != TOOL_OK)
                return status;
            break;
        case 'h': fputs(usage, stdout); return TOOL_OK;
        case ':': return tool_usage(name, "%s needs an argument", argv[optind - 1]);
        default: return tool_usage(name, "'%s' is no option", argv[optind - 1]);
        }
    }
    if (optind != argc - 1)
        return tool_usage(name, optind == argc ? "no process id given" : "one process at a time");
    r.pid = argv[optind];
    return run(&r);
}

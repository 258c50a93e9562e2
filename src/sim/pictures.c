/* Pictures; see pictures.h.  Plain SVG: a frame, axes with rounded ends, lines and rectangles; colours that are told apart
   in grey too.  Every picture is WIDTH x HEIGHT. */
#include "sim/pictures.h"

#include <inttypes.h>

#include "sim/workset.h"

#define WIDTH 900
#define HEIGHT 300
#define LEFT 80 /* of the plot in the picture */
#define TOP 30
#define RIGHT 120 /* of the plot: the legend */
#define PLOT_WIDTH (WIDTH - LEFT - RIGHT)
#define PLOT_HEIGHT (HEIGHT - TOP - 40)
#define COLUMNS 128 /* of the frame map */
#define ROWS 64

static const char *const colour[] = {"#1b6ca8", "#d1495b", "#3c896d", "#edae49", "#6b4e9b", "#888888"};
#define COLOURS (sizeof colour / sizeof *colour)

static void put_text(FILE *out, double x, double y, const char *anchor, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    for (; *text; text++)
        if (*text == '<' || *text == '>' || *text == '&')
            fprintf(out, "&#%d;", *text);
        else
            putc(*text, out);
    fputs("</text>\n", out);
}

static void begin(FILE *out, const char *title)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_text(out, LEFT, 18, "start", title);
}

static void end(FILE *out) { fputs("</svg>\n", out); }

static double at_x(double part) { return LEFT + part * PLOT_WIDTH; }
static double at_y(double part) { return TOP + (1 - part) * PLOT_HEIGHT; }

/* The plot's frame, and what its ends stand for. */
static void put_axes(FILE *out, const char *x_name, const char *x_end, const char *y_name, const char *y_end)
{
    fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#444\"/>\n", LEFT, TOP,
            PLOT_WIDTH, PLOT_HEIGHT);
    put_text(out, LEFT, at_y(0) + 16, "start", "0");
    put_text(out, LEFT + PLOT_WIDTH / 2.0, at_y(0) + 30, "middle", x_name);
    put_text(out, at_x(1), at_y(0) + 16, "end", x_end);
    put_text(out, LEFT - 6, at_y(0), "end", "0");
    put_text(out, LEFT - 6, at_y(0.5), "end", y_name);
    put_text(out, LEFT - 6, at_y(1) + 10, "end", y_end);
}

static void put_legend(FILE *out, unsigned index, const char *name)
{
    double y = TOP + 10 + 16.0 * index;

    fprintf(out, "<rect x=\"%d\" y=\"%.1f\" width=\"10\" height=\"10\" fill=\"%s\"/>\n", WIDTH - RIGHT + 10, y - 9,
            colour[index % COLOURS]);
    put_text(out, WIDTH - RIGHT + 26, y, "start", name);
}

static void begin_line(FILE *out, unsigned index)
{
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", colour[index % COLOURS]);
}

static void end_line(FILE *out) { fputs("\"/>\n", out); }

/* ---- Residency ---- */

void vm_sim_svg_residency(FILE *out, const struct vm_sim_process *p)
{
    const struct vm_sim_workset *w = p->context.workset;
    uint64_t most = 1, last = 1;
    char title[96], x_end[24], y_end[24];

    snprintf(title, sizeof title, "Process %" PRIu32 " %.40s: pages resident, and referenced in a window",
             p->context.pid, p->name);
    begin(out, title);
    for (size_t i = 0; w && i < w->samples; i++) {
        most = vm_max(most, vm_max(w->sample[i].resident, w->sample[i].referenced));
        last = w->sample[i].end;
    }
    snprintf(x_end, sizeof x_end, "%" PRIu64, last);
    snprintf(y_end, sizeof y_end, "%" PRIu64, most);
    put_axes(out, "references", x_end, "pages", y_end);
    for (unsigned line = 0; w && line < 2; line++) {
        begin_line(out, line);
        for (size_t i = 0; i < w->samples; i++) {
            uint64_t y = line ? w->sample[i].referenced : w->sample[i].resident;
            fprintf(out, "%.1f,%.1f ", at_x((double)w->sample[i].end / (double)last), at_y((double)y / (double)most));
        }
        end_line(out);
        put_legend(out, line, line ? "working set" : "resident");
    }
    end(out);
}

/* ---- Miss-ratio curves ---- */

/* Bytes from a page to the largest size, in equal steps of the logarithm. */
void vm_sim_svg_curve(FILE *out, const struct vm_sim_curve *curve, size_t curves, const char *title)
{
    enum { STEPS = 400 };
    uint64_t most = 1;
    char x_end[32];

    begin(out, title);
    for (size_t i = 0; i < curves; i++)
        if (curve[i].points)
            most = vm_max(most, curve[i].size[curve[i].points - 1] << curve[i].page_shift);
    unsigned doublings = 1;
    while (most >> doublings >= VM_SIM_PAGE_SIZE)
        doublings++;
    snprintf(x_end, sizeof x_end, "%" PRIu64 " KiB", (VM_SIM_PAGE_SIZE << doublings) / 1024);
    put_axes(out, "memory: each step of the grid doubles it", x_end, "miss ratio", "1");
    for (unsigned d = 1; d < doublings; d++)
        fprintf(out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
                at_x((double)d / doublings), at_x((double)d / doublings), at_y(0), at_y(1));
    for (size_t i = 0; i < curves; i++) {
        begin_line(out, (unsigned)i);
        for (unsigned s = 0; s <= STEPS; s++) {
            /* 2^(whole + rest) by a chord between powers of two: no libm, the same digits everywhere */
            double exponent = (double)doublings * s / STEPS, rest = exponent - (unsigned)exponent;
            double bytes = (double)(VM_SIM_PAGE_SIZE << (unsigned)exponent) * (1 + rest);
            uint64_t misses = vm_sim_curve_misses(&curve[i], (uint64_t)bytes >> curve[i].page_shift);
            double ratio = curve[i].refs ? (double)misses / (double)curve[i].refs : 0;
            fprintf(out, "%.1f,%.1f ", at_x((double)s / STEPS), at_y(ratio));
        }
        end_line(out);
        put_legend(out, (unsigned)i, curve[i].name);
    }
    end(out);
}

/* ---- Frames ---- */

static const char *const kind_colour[VM_SIM_FRAME_KINDS] = {
    [VM_SIM_FRAME_FREE] = "#eeeeee",  [VM_SIM_FRAME_RESERVED] = "#444444", [VM_SIM_FRAME_KERNEL] = "#d1495b",
    [VM_SIM_FRAME_TABLE] = "#6b4e9b", [VM_SIM_FRAME_SLAB] = "#edae49",     [VM_SIM_FRAME_ANON] = "#1b6ca8",
    [VM_SIM_FRAME_FILE] = "#3c896d",
};

/* The kind that most frames of a cell have; a cell with a frame in use is not shown as free. */
static enum vm_sim_frame_kind kind_of(const struct vm_sim_mem_map *map, uint64_t from, uint64_t to)
{
    uint64_t count[VM_SIM_FRAME_KINDS] = {0};
    enum vm_sim_frame_kind best = VM_SIM_FRAME_FREE;

    for (uint64_t i = from; i < to && i < map->frames; i++)
        count[map->frame[i].kind]++;
    count[VM_SIM_FRAME_FREE] = 0;
    for (unsigned k = 0; k < VM_SIM_FRAME_KINDS; k++)
        if (count[k] > count[best])
            best = (enum vm_sim_frame_kind)k;
    return best;
}

void vm_sim_svg_frames(FILE *out, const struct vm_sim_machine *m)
{
    const struct vm_sim_mem_map *map = &m->memory.map;
    uint64_t cells = COLUMNS * ROWS, each = vm_max((map->frames + cells - 1) / cells, 1);
    double width = (double)PLOT_WIDTH / COLUMNS, height = (double)PLOT_HEIGHT / ROWS;
    char title[96];

    snprintf(title, sizeof title, "Frames: a cell is %" PRIu64 " KiB, from left to right", each * 4);
    begin(out, title);
    for (uint64_t c = 0; c * each < map->frames;) {
        enum vm_sim_frame_kind kind = kind_of(map, c * each, (c + 1) * each);
        uint64_t row = c / COLUMNS, column = c % COLUMNS, run = 1; /* cells of one kind in one row are one rectangle */
        while ((c + run) % COLUMNS && (c + run) * each < map->frames
               && kind_of(map, (c + run) * each, (c + run + 1) * each) == kind)
            run++;
        fprintf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n",
                LEFT + (double)column * width, TOP + (double)row * height, width * (double)run, height,
                kind_colour[kind]);
        c += run;
    }
    for (unsigned k = 0; k < VM_SIM_FRAME_KINDS; k++) {
        fprintf(out, "<rect x=\"%d\" y=\"%u\" width=\"10\" height=\"10\" fill=\"%s\" stroke=\"#888\"/>\n",
                WIDTH - RIGHT + 10, TOP + 16 * k, kind_colour[k]);
        put_text(out, WIDTH - RIGHT + 26, TOP + 10 + 16.0 * k, "start",
                 vm_sim_frame_kind_name((enum vm_sim_frame_kind)k));
    }
    end(out);
}

/* ---- Free blocks ---- */

void vm_sim_svg_buddy(FILE *out, const struct vm_sim_machine *m)
{
    uint64_t most = 1;
    unsigned line = 0;
    char y_end[24];

    begin(out, "Buddy system: free memory by the order of its blocks");
    for (unsigned z = 0; z < VM_SIM_ZONES; z++)
        for (unsigned o = 0; o < VM_SIM_ORDERS; o++)
            most = vm_max(most, m->memory.zone[z].buddy.blocks[o] << o);
    snprintf(y_end, sizeof y_end, "%" PRIu64, most);
    put_axes(out, "order", "10", "frames", y_end);
    for (unsigned z = 0; z < VM_SIM_ZONES; z++) {
        const struct vm_sim_zone *zone = &m->memory.zone[z];
        if (zone->start == zone->end)
            continue;
        for (unsigned o = 0; o < VM_SIM_ORDERS; o++) {
            double part = (double)(zone->buddy.blocks[o] << o) / (double)most,
                   slot = (double)PLOT_WIDTH / VM_SIM_ORDERS;
            fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
                    LEFT + slot * o + slot / 4 * line + 4, at_y(part), slot / 4 - 2, part * PLOT_HEIGHT,
                    colour[line % COLOURS]);
        }
        put_legend(out, line++, zone->name);
    }
    end(out);
}

void vm_sim_html(FILE *out, const struct vm_sim_machine *m, const struct vm_sim_curve *curve, size_t curves)
{
    fputs(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>vmalloc sim</title>\n"
        "<style>body{font-family:sans-serif;max-width:940px;margin:auto}svg{border:1px solid #ccc;margin:8px 0}</style>"
        "</head><body>\n<h1>vmalloc sim</h1>\n",
        out);
    if (curves)
        vm_sim_svg_curve(out, curve, curves, "Miss ratio against memory, LRU");
    for (const struct vm_sim_process *p = m ? vm_sim_process_next(m, NULL) : NULL; p; p = vm_sim_process_next(m, p))
        if (p->context.workset)
            vm_sim_svg_residency(out, p);
    if (m && m->kernel) {
        vm_sim_svg_frames(out, m);
        vm_sim_svg_buddy(out, m);
    }
    fputs("</body></html>\n", out);
}

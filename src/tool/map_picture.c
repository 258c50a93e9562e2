/* The occupancy map as a picture; see blocks.h.  A block is a cell: a column filled from below with what is live, free in
   slabs, kept, the allocator's own and not the heap's, empty above; a dark frame says huge, a bar at its foot the verdict.
   SVG's <title> is what browsers show where the pointer hovers, so that a picture needs no script. */
#include <inttypes.h>

#include "tool/blocks.h"

#define CELL_WIDTH 14
#define CELL_HEIGHT 22 /* of the column */
#define FOOT 4         /* of the verdict's bar */
#define ROW (CELL_HEIGHT + FOOT + 4)
#define LEFT 120 /* addresses */
#define TOP 56   /* title and legend */

struct share {
    const char *name, *colour;
    size_t offset;
};

static const struct share share[] = {
    {"live", "#1b6ca8", offsetof(struct block, live)},
    {"free in slabs", "#edae49", offsetof(struct block, free)},
    {"kept", "#3c896d", offsetof(struct block, kept)},
    {"metadata", "#6b4e9b", offsetof(struct block, meta)},
    {"not the heap's", "#999999", offsetof(struct block, other)},
};
#define SHARES (sizeof share / sizeof *share)

static const char *const verdict_colour[BLOCK_VERDICTS] = {"#cccccc", "#2ca02c", "#d1495b", "none"};

static uint64_t share_of(const struct block *b, size_t i)
{
    return *(const uint64_t *)((const char *)b + share[i].offset);
}

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++)
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"' || (unsigned char)*text < ' ')
            fprintf(out, "&#%d;", (unsigned char)*text < ' ' ? ' ' : *text);
        else
            putc(*text, out);
}

static void put_rect(FILE *out, double x, double y, double width, double height, const char *colour)
{
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>", x, y, width, height,
            colour);
}

static void put_block(FILE *out, const struct block *b, double x, double y)
{
    double done = 0;

    fprintf(out, "<g><title>%#" PRIx64 " to %#" PRIx64 ": %s%s\n", b->start, b->start + BLOCK_BYTES,
            block_verdict_name((enum block_verdict)b->verdict), b->huge ? ", huge" : "");
    for (size_t i = 0; i < SHARES; i++)
        fprintf(out, "%s %" PRIu64 " KiB, ", share[i].name, share_of(b, i) / 1024);
    fprintf(out, "returned %" PRIu64 " KiB</title>", b->returned / 1024);
    put_rect(out, x, y, CELL_WIDTH - 2, CELL_HEIGHT, "#f2f2f2");
    for (size_t i = 0; i < SHARES; i++) {
        double height = (double)share_of(b, i) / BLOCK_BYTES * CELL_HEIGHT;
        if (height == 0)
            continue;
        done += height;
        put_rect(out, x, y + CELL_HEIGHT - done, CELL_WIDTH - 2, height, share[i].colour);
    }
    if (b->huge)
        fprintf(
            out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"black\" stroke-width=\"1.5\"/>",
            x, y, CELL_WIDTH - 2, CELL_HEIGHT);
    put_rect(out, x, y + CELL_HEIGHT + 1, CELL_WIDTH - 2, FOOT, verdict_colour[b->verdict]);
    fputs("</g>\n", out);
}

static double put_legend_item(FILE *out, double x, double y, const char *colour, const char *name)
{
    put_rect(out, x, y - 9, 10, 10, colour);
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">", x + 14, y);
    put_escaped(out, name);
    fputs("</text>\n", out);
    return x + 34 + 6.2 * (double)__builtin_strlen(name);
}

static void put_legend(FILE *out)
{
    double x = 10;

    for (size_t i = 0; i < SHARES; i++)
        x = put_legend_item(out, x, 34, share[i].colour, share[i].name);
    put_legend_item(out, x, 34, "#f2f2f2", "returned");
    x = 10;
    for (unsigned v = 0; v < BLOCK_EMPTY; v++)
        x = put_legend_item(out, x, 50, verdict_colour[v], block_verdict_name((enum block_verdict)v));
    fprintf(out, "<text x=\"%.1f\" y=\"50\">(bar below) black frame: huge</text>\n", x);
}

/* A row holds blocks of one stretch of `width` blocks, each at its address's place. */
static bool new_row(const struct blocks *b, size_t i, unsigned width)
{
    return i == 0 || (b->block[i].start >> BLOCK_SHIFT) / width != (b->block[i - 1].start >> BLOCK_SHIFT) / width;
}

void blocks_svg(FILE *out, const struct blocks *b, const char *title, unsigned width)
{
    size_t rows = 0, row = 0;
    unsigned columns = width < 40 ? 40 : width; /* room for the legend */

    for (size_t i = 0; i < b->count; i++)
        rows += new_row(b, i, width);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%zu\" "
            "font-family=\"sans-serif\" font-size=\"11\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"10\" y=\"16\" font-size=\"13\">",
            LEFT + columns * CELL_WIDTH + 10, TOP + rows * ROW + 10);
    put_escaped(out, title);
    fputs("</text>\n", out);
    put_legend(out);
    for (size_t i = 0; i < b->count; i++) {
        uint64_t number = b->block[i].start >> BLOCK_SHIFT;
        double y = 0;
        row += new_row(b, i, width);
        y = TOP + (double)(row - 1) * ROW;
        if (new_row(b, i, width))
            fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%" PRIx64 "</text>\n", LEFT - 6,
                    y + CELL_HEIGHT - 4, (uint64_t)(number / width * width << BLOCK_SHIFT));
        put_block(out, &b->block[i], LEFT + (double)(number % width) * CELL_WIDTH, y);
    }
    fputs("</svg>\n", out);
}

static void put_table(FILE *out, const struct blocks *b)
{
    fputs("<table><tr><th></th><th>MiB</th></tr>\n", out);
    for (size_t i = 0; i < SHARES; i++)
        fprintf(out, "<tr><td>%s</td><td>%.1f</td></tr>\n", share[i].name, (double)share_of(&b->sum, i) / VM_MIB);
    fprintf(out, "<tr><td>returned</td><td>%.1f</td></tr>\n</table>\n<p>%zu blocks of 2 MiB, %zu huge: ",
            (double)b->sum.returned / VM_MIB, b->count, b->huge);
    for (unsigned v = 0; v < BLOCK_VERDICTS; v++)
        fprintf(out, "%s%zu %s", v ? ", " : "", b->verdict[v], block_verdict_name((enum block_verdict)v));
    fprintf(out, ".</p>\n<p>Huge pages would add %.1f MiB to RSS where they would gain, %.1f MiB everywhere.</p>\n",
            (double)b->gain_adds / VM_MIB, (double)b->all_add / VM_MIB);
}

void blocks_html(FILE *out, const struct blocks *b, const char *title, unsigned width)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>", out);
    put_escaped(out, title);
    fputs("</title>\n<style>body{font-family:sans-serif;margin:1em}td{text-align:right;padding:0 8px}"
          "td:first-child{text-align:left}svg g:hover{opacity:.6}</style></head><body>\n",
          out);
    blocks_svg(out, b, title, width);
    put_table(out, b);
    fputs("</body></html>\n", out);
}

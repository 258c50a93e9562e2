/* The heap as blocks of 2 MiB, the size of a huge page: what lies in each, by bytes, and what a huge page would do for
   it.  Made from a view (tool/view.h), drawn by cmd_map.c and map_picture.c.

       2 MiB = live + free + kept + meta + other + returned + the rest, which nobody has mapped or touched

   All of these but `returned` count resident bytes. */
#ifndef TOOL_BLOCKS_H
#define TOOL_BLOCKS_H

#include <stdio.h>

#include "tool/view.h"

#define BLOCK_SHIFT 21
#define BLOCK_BYTES (UINT64_C(1) << BLOCK_SHIFT)

/* What is called dense and sparse: shares of a block, in eighths. */
#define BLOCK_DENSE_RESIDENT 7 /* at least so much is resident ... */
#define BLOCK_DENSE_LIVE 6     /* ... and so much live */
#define BLOCK_SPARSE_LIVE 2    /* less than that is live */

enum block_verdict {
    BLOCK_KEEP,   /* as it is */
    BLOCK_GAIN,   /* dense, in small pages, and one mapping covers it */
    BLOCK_SPARSE, /* most of it is not live: a huge page would be waste, or is */
    BLOCK_EMPTY,  /* nothing of ours is resident */
    BLOCK_VERDICTS
};

struct block {
    uint64_t start;
    uint64_t live;     /* in blocks that the program has */
    uint64_t free;     /* in slabs, but not handed out: free blocks, ends, space not made blocks yet */
    uint64_t kept;     /* free frames and extents, and what lies unused in huge pages */
    uint64_t meta;     /* the allocator's descriptors */
    uint64_t other;    /* not the heap's */
    uint64_t returned; /* the heap's and not resident */
    uint64_t resident; /* all of the above but returned */
    uint64_t huge;     /* resident by a huge entry: nothing or all */
    bool can_be_huge;  /* one anonymous mapping covers all of it */
    bool is_heap;      /* holds more than metadata */
    uint8_t verdict;   /* enum block_verdict */
};

struct blocks {
    struct block *block; /* those that hold frames or extents, by address */
    size_t count;
    size_t verdict[BLOCK_VERDICTS]; /* blocks of each */
    size_t huge;
    struct block sum;
    uint64_t gain_adds; /* bytes that huge pages would add to RSS if all BLOCK_GAIN blocks had one ... */
    uint64_t all_add;   /* ... if all blocks that can be had one */
    uint64_t wasted;    /* bytes of sparse blocks that are huge and not live */
};

/* 0, or -ENOMEM. */
int blocks_make(const struct view *v, struct blocks *b);
void blocks_free(struct blocks *b);

const char *block_verdict_name(enum block_verdict verdict);

/* Pictures: one SVG, or a page around it with figures of every block where the pointer hovers. */
void blocks_svg(FILE *out, const struct blocks *b, const char *title, unsigned width);
void blocks_html(FILE *out, const struct blocks *b, const char *title, unsigned width);

#endif

/* gpu_attend.h: what the attention kernels of a GPU share: blocks whose warps hold 16 rows of queries or keys
 * each while tiles of the other side pass by (mdl_attend.h); private to codegen. */
#ifndef MDL_GPU_ATTEND_H
#define MDL_GPU_ATTEND_H

#include "attention_tile.h"
#include "gpu_copy.h"

/* Queries, keys, values or gradients as lines of an operand, and as rows of chunks in shared memory. */
typedef struct AttendSide {
    const Node *node;
    bool queries;       /* lines are queries of one head: the operand has an axis g */
    bool columns_first; /* the columns are the axis before the lines */
    const Dim *lines, *columns;
    int64_t width;        /* columns in use: rounded up to 16 */
    int64_t used, chunks; /* of a row: chunks in use, and from row to row */
    bool async;           /* copied as it lies */
    const Dim *pitch; /* then: elements from line to line in memory, if these are always as many */
    /* Copied in boxes of so many lines; 0: not. Elements from head to head, of keys and of those that share them;
     * stacked: samples have lines of their own. */
    int64_t box, by_key, by_query;
    uint32_t map;
    bool stacked, probed; /* probed: it was seen whether it can be */
} AttendSide;

/* A block: `rows` of one side, 16 a warp; `cols` of the other side are a step. */
typedef struct Attend {
    const Attention *a;
    DType operand; /* DT_BF16, DT_F16: tensor cores; DT_F32: multiply-adds */
    bool groups;   /* warpgroups multiply what lies in lines of 128 bytes (mdl_attend_group.h) */
    int64_t rows, cols, stages, threads;
    int64_t heads, kv, group;
    const Ix *b, *n, *g, *h;
    const KExpr *thread, *row,
        *column;            /* row, column: the first of this thread in an accumulator */
    uint32_t tiles, floats; /* shared memory: by bytes; the same by floats */
    int64_t shared;
} Attend;

/* The config, extents and type of the products. Registers are 16 bytes wide. */
void attend_describe(Lower *lo, Attend *t, const Attention *a, const Node *const *operand,
                     uint32_t n);
/* Fills in the rest of a side. */
void attend_side(Lower *lo, const Attend *t, AttendSide *s);
int64_t attend_row_bytes(const AttendSide *s);

/* A phase of such blocks, `tiles` for each head (of keys, else of queries) of each sample; returns the number of
 * this block's tile. With causal masks late queries see more keys than early ones, so they begin. */
const KExpr *attend_begin(Lower *lo, Attend *t, KPhase *phase, bool keys, int64_t tiles);
/* The two parts of it: the phase's memory and first scope; sample and head of number `of` among them. */
void attend_open(Lower *lo, Attend *t, KPhase *phase);
void attend_head(Lower *lo, Attend *t, const KExpr *of, bool keys);
/* At the head of a block: names of its threads' places. */
void attend_places(Lower *lo, Attend *t);

/* An element of a side: the input that is copied where it is async, and the place in it; else NULL. */
const Node *attend_source(Lower *lo, const Attend *t, const AttendSide *s, const Ix *line,
                          const Ix *column, const Ix **at);
/* Lines [first, first + count) to rows of shared memory from byte `base` on; missing ones are 0. */
void attend_bring(Lower *lo, const Attend *t, const AttendSide *s, const KExpr *base,
                  const KExpr *first, int64_t count);

/* The ring: what a step brings to a stage, and what is done with it. Steps are [from, to). */
typedef struct AttendRing {
    const KExpr *from, *to;
    int64_t most;      /* steps */
    int64_t at, bytes; /* of the ring in shared memory; of a stage */
    void (*bring)(Lower *lo, void *user, const KExpr *base, const KExpr *step);
    void (*use)(Lower *lo, void *user, const KExpr *base, const KExpr *step);
    void *user;
} AttendRing;
void attend_walk(Lower *lo, const Attend *t, const AttendRing *r);
/* All copies are there, and seen by all threads. */
void attend_wait(Lower *lo);

/* Accumulators of this thread: n columns of 16 rows per warp. */
uint32_t attend_sums(Lower *lo, const char *stem, int64_t n);
/* Zeros, or another number. */
void attend_fill(Lower *lo, uint32_t acc, int64_t n, double value);
/* acc = a b^T of t->cols columns: byte offsets of rows of two sides that have the same columns. */
void attend_scores(Lower *lo, const Attend *t, uint32_t acc, const KExpr *a, const KExpr *b,
                   const AttendSide *s);
/* acc += p b: p of t->cols columns, b as many rows of a side. */
void attend_values(Lower *lo, const Attend *t, uint32_t acc, uint32_t p, const KExpr *b,
                   const AttendSide *s);

/* Each element of accumulators of t->cols columns, with its query and key. Where `cut` elements may lie outside, if extents do not forbid it;
 * indices are then clamped, and `inside` says which exist (NULL: all of which the side that passes by), with `rows` of those of the block too. */
typedef struct AttendElement {
    const KExpr *at; /* in the accumulator */
    const Ix *t, *u;
    const KExpr *line,
        *row; /* which line of those that pass by it is, which of the thread's two rows */
    const KExpr *inside;
} AttendElement;
typedef struct AttendEach {
    const KExpr *t0, *u0; /* the first query and key of the tile */
    bool turned;          /* rows are keys */
    bool cut, rows;
    void (*fn)(Lower *lo, const AttendElement *e, void *user);
    void *user;
} AttendEach;
void attend_each(Lower *lo, const Attend *t, const AttendEach *e);

#endif

/* gpu_copy.h: what blocks of threads on a GPU do with operands on their way to shared memory: whether they can be
 * copied as they lie, and how threads share the work; private to codegen. */
#ifndef MDL_GPU_COPY_H
#define MDL_GPU_COPY_H

#include "gemm.h"

/* The input that is read for n as it lies, through views, gathers and casts that only widen, with the index in it of
 * what is at ix (IR_MAX_RANK long, changed) in n; or NULL. */
const Node *copy_source(Ir *ir, const Node *n, const Ix **ix);
/* Whether W elements along the vector variable v of n at ix lie together in an input of this type, at a multiple
 * of their size. */
bool copy_in_runs(Lower *lo, const Node *n, const Ix *const *ix, uint32_t v, DType dt);

/* A run that is copied, or not read if it is not inside. */
typedef struct CopySpot {
    const char *stem;
    const KExpr *inside;
    /* the input, and the index in it, of variables made anew */
    const Node *(*source)(Lower *lo, const void *run, const Ix **at);
    const void *run;
} CopySpot;
/* Where it lies; if it is not inside any address will do, and no index is read from memory either. */
const KExpr *copy_place(Lower *lo, const CopySpot *c);

/* How a block's threads share items. rolled: one after the other, which takes fewest registers. */
typedef struct ShareSpec {
    const KExpr *thread;
    int64_t threads, count;
    bool rolled;
} ShareSpec;
/* Opens the loop: the number of the item of this thread. */
const KExpr *share_open(Lower *lo, const ShareSpec *s);
/* The same for rows of items: *row and *item, which is the same in all turns where that can be. */
void share_open_rows(Lower *lo, const ShareSpec *s, int64_t per, const KExpr **row,
                     const KExpr **item);
void share_close(Lower *lo);

/* gpu_ahead.c: bytes of `count` lines of the right side of a product, from line `first` on: those from step `from` of the
 * depth on, a multiple of 16 bytes; NULL: the first. */
typedef struct AheadLines {
    const Gemm *g;
    const KExpr *first, *from;
    int64_t count, bytes;
} AheadLines;
/* Bytes that a block asks for before it waits, for each of its threads: what waits on a GPU that is full of such blocks
 * (132 times 2048 threads) is 35 MB, and its second-level cache has 50. */
enum { AHEAD = 128 };
/* Whether a phase of so many tasks may ask for memory before it waits for the launch before it. */
bool ahead_may(const Lower *lo, const Dim *tasks);
/* Asks for them, in the scope of a phase's `ahead`: a thread for each line; no line that it finds only by reading. The
 * bytes of a line that it asks for. */
int64_t ahead_ask(Lower *lo, const AheadLines *l);

/* What such a scope came to: empty where it asks for nothing. */
KBlock ahead_of(const KBlock *b);

/* A statement of a helper's call; a name for a value. */
void copy_call(Lower *lo, const char *text, const KExpr *const *arg, uint32_t n);
const KExpr *copy_let(Lower *lo, const char *stem, const KExpr *e);

#endif

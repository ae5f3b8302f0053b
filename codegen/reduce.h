/* reduce.h: what the files of folds share; private to codegen. */
#ifndef MDL_REDUCE_H
#define MDL_REDUCE_H

#include "lower.h"

enum { FOLD_MAX_POINTS = 4, FOLD_MAX_KEPT = 4, FOLD_MAX_CHUNKS = 8 };

typedef struct Acc Acc;

/* A dim list walked by one or two loops: `split` outer dims as one, the rest as one. */
typedef struct Walked {
    const Dim *const *dims;
    uint32_t n, split;
    const Dim *outer, *inner;
} Walked;

/* One element of P that is folded: a scalar row, or W neighbouring columns. */
typedef struct Point {
    const Ix *p[IR_MAX_RANK];
    const KExpr **seed; /* results of its folds, by node id */
} Point;

typedef struct Fold {
    const Type *full; /* P x R in the operand's axis order */
    uint32_t np, nr;
    uint32_t paxis[IR_MAX_RANK], raxis[IR_MAX_RANK];
    const Dim *pdims[IR_MAX_RANK], *rdims[IR_MAX_RANK];
    Walked p, r;
    bool columns; /* lanes along P; else along R */
    bool streams; /* all folds are of columns: what the first leaves is R, rows are only walked */
    uint32_t nlevel;
    uint32_t *level; /* by node id: 1 + folds below it; 0: none */
    uint64_t point_results, full_results;
    /* folds over P beside those over R (kern_row_col.c), which the last pass over R adds to */
    bool *column; /* by node id: is such a fold, or computed from one */
    uint64_t column_results;
    const Node **sum; /* these folds */
    uint32_t nsum;
    const KExpr *sums; /* where the sums of the task begin in their buffers */
    int64_t split;     /* parts of R; > 1: two phases */
    int64_t unroll;    /* rows: accumulators per fold */
    /* rows kept in scratch between passes: costly values that several passes need */
    struct {
        const Node *node;
        uint32_t first; /* pass that computes it */
        uint32_t buf;
    } kept[FOLD_MAX_KEPT];
    uint32_t nkept, pass;
    /* a row in registers (reduce_chunk.c): the vectors of it that are this thread's; none: loops */
    const Ix *chunk[FOLD_MAX_CHUNKS];
    uint32_t nchunk;
    /* rows that teams walk (gpu_row_col.c): what is computed of a chunk dies with the pass, sums of columns stay */
    const struct Rows *rows;
    const KExpr *own, *turn; /* first column of this thread; number of the row in work */
    Acc *chunk_sum;          /* [chunk][sum of columns] */
    /* .. values that stay in registers until the passes over the row are done (reduce_keep.c) */
    bool *stays;           /* by node id */
    uint32_t *computed;    /* the pass that computes it */
    const KExpr **stayed;  /* [chunk][node id], NULL: not yet */
    uint32_t chunk_here;   /* that is in work */
    bool crowded;          /* sums leave little room: pieces one after the other */
    const Ix *const *here; /* full index of the element in work */
    const Ix *linear;      /* its place in a kept row */
    Point point[FOLD_MAX_POINTS];
    uint32_t npoint;
    const KExpr *from, *to; /* range of the (outer, when split into two loops) loop over R */
    const KExpr *part;      /* two phases: number of the part in work */
    uint32_t *partial; /* two phases, or sums of columns: buffers of partial results, by node id */
} Fold;

/* kern_reduce.c */

/* Spaces, levels and kinds of results of lo's body. */
void fold_analyse(Lower *lo, Fold *f);
/* How R is walked, with lanes along it. */
void fold_choose_rows(Lower *lo, Fold *f);
/* Accumulators of a pass; rows that are kept between passes. */
void fold_choose_passes(Lower *lo, Fold *f);
/* Several accumulators hide the latency of cheap folds; costly ones hide it themselves. */
int64_t fold_choose_unroll(const Lower *lo, const Fold *f);
/* The next element of P is p, a scalar row. */
void fold_set_row(Lower *lo, Fold *f, const Ix *p);
void fold_whole_range(Lower *lo, Fold *f);
/* On a GPU: the threads that share a row, as the configuration says. */
void fold_team(Lower *lo, KPhase *phase);
/* Buffers of `count` partial results of a fold in the workspace, not yet rounded. */
uint32_t fold_partials(Lower *lo, const Node *fold, const Dim *count);

/* kern_row_col.c: folds of columns alone, row by row: whether that pays for what f, which has columns as P,
 * found; and the kernel. */
bool fold_streams_columns(const Lower *lo, const Fold *f);
void fold_stream_columns(Lower *lo);

/* reduce_pass.c: all passes over R for the points of the current scope; leaves point[].seed set. */
void fold_passes(Lower *lo, Fold *f);
/* One more pass that stores the results over P x R, and adds to the sums of columns. */
void fold_full_results(Lower *lo, Fold *f);
/* Results over P, for every point. */
void fold_point_results(Lower *lo, Fold *f);
/* The body sees the folds of this point from now on; NULL: of none. */
void fold_select(Lower *lo, const Fold *f, const Point *p);

/* reduce_keep.c: for rows that teams walk */

/* Which values stay from pass to pass: no more than `most` of each element live at a time. Less than 0: not even the
 * sums leave room enough, and a pass works on one piece after the other. */
void fold_choose_stays(Lower *lo, Fold *f, int64_t most);
/* Another row begins: nothing of it is computed. Until lo->kept is something else. */
void fold_begin_stays(Lower *lo, Fold *f);
/* The element in work lies in a whole piece and its values are found by name in all passes behind: those of this pass
 * that stay are noted. */
void fold_leave_stays(Lower *lo, const Fold *f);
/* What lies in shared memory is read again behind this, by a barrier of the warp: the compiler of the text would keep it
 * between passes, and begin all pieces of a row at once, though it had to spill. */
void fold_forget(Lower *lo);

/* reduce_chunk.c: from here on, where that pays, rows are in registers: what they keep dies with the scope. */
void fold_chunks(Lower *lo, Fold *f);

/* kern_row_col.c: results of the column r, whose sums are the seeds. */
void fold_store_columns(Lower *lo, const Fold *f, const Ix *r);
/* gpu_row_col.c: folds of rows and columns whose columns stay with their threads; false: it does not fit f. */
bool gpu_row_col(Lower *lo, Fold *f);
/* Whether all threads have all their columns in chunk c. */
bool fold_whole_piece(const Fold *f, uint32_t c);
/* Opens the scope of this thread's columns in chunk c, a vector variable. */
const Ix *fold_open_piece(Lower *lo, const Fold *f, uint32_t c);

/* reduce_join.c */

/* Partial results of folds: `count` lines of `columns`, in a buffer for each fold (by node id). */
typedef struct FoldLines {
    const Node *const *fold;
    uint32_t nfold;
    const uint32_t *partial;
    const Dim *columns;
    int64_t count;
} FoldLines;
/* Before the phase that joins: on a GPU many lines become fewer by a phase of their own. */
void fold_group_lines(Lower *lo, FoldLines *lines);
/* The folds of the column that is the innermost variable, by node id. */
void fold_join_lines(Lower *lo, const FoldLines *lines, const KExpr **seed);

/* reduce_acc.c: accumulators of one fold */
struct Acc {
    const Node *n;
    const KExpr *value, *index; /* VARs; index: folds to an index */
    const char *text;           /* how two values join; NULL: as n says */
};
Acc acc_begin(Lower *lo, const Node *n, bool vector);
/* x at R position `at` (I64, or lanes from it on when `along`). lanes: how many count; NULL: all. */
typedef struct AccStep {
    const KExpr *x, *at, *lanes;
    bool along;
} AccStep;
void acc_step(Lower *lo, const Acc *a, const AccStep *s);
/* a := a joined with b, of the same shape. */
void acc_join(Lower *lo, const Acc *a, const Acc *b);
/* The scalar that the lanes of a vector accumulator fold to. */
const KExpr *acc_lanes(Lower *lo, const Acc *a);
/* The same of n, whose exchanges overlap; teams wait once, where `turn` counts the times that they do. */
void acc_lanes_together(Lower *lo, const Acc *a, uint32_t n, const KExpr *turn,
                        const KExpr **whole);
/* team.c: joins scalar accumulators of all threads of a team; each gets the whole. */
void acc_team(Lower *lo, const Acc *a);
void acc_team_together(Lower *lo, const Acc *a, uint32_t n, const KExpr *turn);
/* Joined with what the thread at distance h of the warp has. */
void acc_exchange(Lower *lo, const Acc *a, int64_t h);
/* The result of an accumulator whose lanes are separate. */
const KExpr *acc_result(Lower *lo, const Acc *a);
const KExpr *acc_neutral(Lower *lo, const Node *n, bool vector);
/* One partial result into an accumulator of values (not of indices). */
void acc_add(Lower *lo, const Acc *a, const KExpr *x);

#endif

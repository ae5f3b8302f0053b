/* attention_tile.h: what the kernels of attention share: operands packed for register tiles, the tiles,
 * and the keys that a mask lets each block of queries see; private to codegen. */
#ifndef MDL_ATTENTION_TILE_H
#define MDL_ATTENTION_TILE_H

#include "attention.h"
#include "lower.h"

/* ---- operands into panels ---- */

/* Lines and columns of an operand: its last two axes, behind those that `of` holds. */
typedef struct LinesSpec {
    const Node *node;
    const Ix *of[3];
    uint32_t nof;
    bool columns_first;         /* the columns are the axis before the lines */
    const KExpr *first, *count; /* lines [first, first + count) of `lines` */
    const Dim *lines, *columns;
    uint32_t buf;
    const KExpr *base; /* of line `first` in buf */
    int64_t pitch;     /* floats between lines; between columns where transposed */
} LinesSpec;

/* Lines one behind the other, columns up to a multiple of W: [line][pitch]. */
void tile_copy_lines(Lower *lo, const LinesSpec *s);
/* Strips of W lines with the lines along the lanes, [column][pitch]; missing lines of `width` (a multiple
 * of W) are zeros. */
void tile_copy_across(Lower *lo, const LinesSpec *s, int64_t width);
/* Zeros in [base, base + count), count a multiple of W. */
void tile_zero(Lower *lo, uint32_t buf, const KExpr *base, const KExpr *count);

/* ---- register tiles ---- */

/* c[i][j] (+)= sum over k of a[i, k] b[k, j]: rows x nv vectors. */
typedef struct TileSpec {
    int64_t rows, nv;
    uint32_t a, b, c;
    const KExpr *abase, *bbase, *cbase; /* element (0, 0) */
    int64_t arow, adepth;               /* floats from row to row, from step to step */
    int64_t bdepth;
    int64_t crow;
    const KExpr *from, *to; /* steps */
    bool add;               /* to what c holds, ... */
    const KExpr *const *by; /* ... times this, by row; NULL: as it is */
} TileSpec;
void tile_multiply(Lower *lo, const TileSpec *t);
/* The same for `columns` columns, a multiple of W: t->nv vectors at a time, then the rest. */
void tile_multiply_wide(Lower *lo, const TileSpec *t, int64_t columns);

/* ---- lanes ---- */

/* All lanes folded by a template of two operands, in a fixed order: a scalar. */
const KExpr *tile_fold_lanes(Lower *lo, const char *name, const KExpr *v, const char *text);

/* ---- keys of a block of queries ---- */

/* Over the rows of the block: no row sees a key outside of [lo_min, hi_max), every row sees all of
 * [lo_max, hi_min) unless `rest`. */
typedef struct Span4 {
    const KExpr *lo_min, *lo_max, *hi_min, *hi_max;
    bool rest;
} Span4;

typedef struct BlockSpec {
    const Attention *att;
    const Ix *b, *h;
    const KExpr *t0, *rows; /* queries [t0, t0 + rows) */
    int64_t most;           /* rows at most */
    const KExpr *lane;      /* of a warp that shares the rows; NULL: one thread has all */
} BlockSpec;
void tile_bounds(Lower *lo, const BlockSpec *s, Span4 *out);

/* Of one query t of s->h: it sees no key outside of [low, high), and all of these unless `rest`. */
typedef struct RowSpan {
    const KExpr *low, *high;
    bool rest;
} RowSpan;
RowSpan tile_row_bounds(Lower *lo, const BlockSpec *s, const Ix *t);

/* Which queries may see a key of [u0, u1): all of a head are looked at by the threads of a block. */
typedef struct QueriesSpec {
    BlockSpec block; /* all queries */
    const KExpr *u0, *u1, *thread;
    int64_t threads;
} QueriesSpec;
/* None outside of [*first, *end), variables that hold what this thread found; false: all, for all threads. */
bool tile_queries(Lower *lo, const QueriesSpec *s, const KExpr **first, const KExpr **end);

/* ---- results of a gradient ---- */

/* What these results (a bit each) are put together of (products_parts): calls fn for each number of columns. */
typedef void (*ColumnsFn)(Lower *lo, const Dim *columns, void *user);
void tile_each_columns(Lower *lo, uint64_t results, ColumnsFn fn, void *user);
/* Element ix of all those with so many columns: values first, then the stores, each to its place. */
void tile_store_columns(Lower *lo, uint64_t results, const Dim *columns, const Ix *const *ix);

#endif

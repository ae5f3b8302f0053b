/* gpu_attention.h: what the two ways of attention on a GPU share, by warps (gpu_attention.c) and by warpgroups
 * (gpu_attention_group.c): what is attended to, scores of their products, results of their sums; private to
 * codegen. */
#ifndef MDL_GPU_ATTENTION_H
#define MDL_GPU_ATTENTION_H

#include "gpu_attend.h"

typedef struct AttendFwd {
    Attend t;
    Attention a;
    AttendSide q, k, v;
    bool scaled; /* scores are products times `unit` */
    double unit;
    uint32_t s, o, top, sum; /* accumulators: scores, then weights; outputs; of each row */
    const KExpr *t0, *u0;    /* the first query of the block, key of the tile */
    Span4 span;
    const KExpr *from, *to; /* tiles of keys that some query sees */
    int64_t tiles;          /* of keys */
    int64_t bars;           /* barriers of groups: their place in shared memory */
    bool cut;               /* the elements in work are of a tile that is */
} AttendFwd;

/* By what scores are multiplied to be exponents of 2. */
double fwd_unit(const AttendFwd *f);
/* Sums of nothing. */
void fwd_begin(Lower *lo, AttendFwd *f);
/* The tiles of keys that queries of the block see. */
void fwd_bounds(Lower *lo, AttendFwd *f);
/* Whether the mask or an edge cuts the tile of keys from u0 on. */
const KExpr *fwd_cut(Lower *lo, const AttendFwd *f);
/* Scores in place of products. */
void fwd_scores(Lower *lo, AttendFwd *f, const KExpr *cut);
/* What the results are made of the sums; the block's threads meet by `sync`. */
void fwd_results(Lower *lo, const AttendFwd *f, const char *sync);

/* gpu_attention_group.c: the sizes that follow from the config: bytes of the tiles, of the barriers behind them. */
int64_t attend_groups_shape(Lower *lo, AttendFwd *f);
int64_t attend_groups_bars(Lower *lo, AttendFwd *f);
/* The queries from f->t0 on. */
void attend_groups(Lower *lo, AttendFwd *f);

#endif

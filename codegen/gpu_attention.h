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
    /* Of groups, places in shared memory: barriers; of blocks that stay, rows of results and what is told. */
    int64_t bars, rows, told;
    bool stays;  /* blocks take tile after tile */
    bool packed; /* .. and results go from registers to memory */
    bool drawn;  /* .. by tickets, not in pairs */
    bool cut;    /* the elements in work are of a tile that is */
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
/* The sums of rows, and results that are made of them. */
void fwd_finish(Lower *lo, const AttendFwd *f);
/* W columns of a row, which lie at float `at` of shared memory. */
void fwd_store(Lower *lo, const AttendFwd *f, const KExpr *row, const KExpr *column,
               const KExpr *at);
/* All results of the block, whose threads meet by `sync`. */
void fwd_results(Lower *lo, const AttendFwd *f, const char *sync);

/* gpu_attention_group.c: the sizes that follow from the config. */
void attend_groups_shape(Lower *lo, AttendFwd *f);
/* The queries from f->t0 on; the whole phase, where blocks stay. */
void attend_groups(Lower *lo, AttendFwd *f);
void attend_groups_stay(Lower *lo, AttendFwd *f);

/* gpu_attention_few.c: all of it, for few queries. */
void gpu_attention_few(Lower *lo);

#endif

/* gemm.h: what the files of the matrix product share; private to codegen. */
#ifndef MDL_GEMM_H
#define MDL_GEMM_H

#include "lower.h"

/* One operand as a matrix: rows x depth, `rows` being M for the left and N for the right one. */
typedef struct GemmSide {
    const Node *node;
    uint32_t nfree, nbatch, ndepth;
    const int64_t *batch, *depth; /* axes of node */
    int64_t free[IR_MAX_RANK];
    const Dim *rows;
    const char *name;   /* "a" or "b" */
    int64_t panel;      /* rows of a panel: mr or nr */
    int64_t max_panels; /* of the whole operand, at the upper end */
    bool shared;        /* packed once, by the first phase, into the workspace */
    bool direct;        /* not packed: read where it lies */
    bool depth_lanes;   /* packed with the vector along depth, through a transpose */
    uint32_t pack;      /* buffer of panels: [kc][panel] each */
} GemmSide;

typedef struct Gemm {
    const Node *dot;
    DotAxes axes;
    GemmSide left, right; /* left holds the rows of the result in memory order unless swapped */
    bool swapped;         /* left is the dot's second operand */
    const Dim *nbatch, *depth;
    int64_t kc, mt, nt;       /* block of depth; rows and columns of a task */
    int64_t blocks;           /* blocks of depth, at the upper end */
    int64_t inner;            /* > 1: the loop over a block is two, the inner one that long */
    int64_t tiles_m, tiles_n; /* tiles of a batch member, at the upper end */
    int64_t grain;            /* batch members of a task; > 1: of one tile each */
    const Ix *batch;          /* index of the batch member in the current scope */
} Gemm;

/* gemm_direct.c: sets `direct` of both sides, and `inner`; a direct right side is not shared. */
void gemm_choose_direct(Lower *lo, Gemm *g);
/* Depth at step outer * g->inner + inner of a block; the extent of outer. */
const Ix *gemm_depth(Lower *lo, const Gemm *g, const Ix *block, const Ix *outer, const Ix *inner);
const Dim *gemm_outer_extent(Lower *lo, const Gemm *g);

/* gemm_pack.c: whether packing a side is cheaper along its depth. */
void gemm_choose_lanes(Lower *lo, Gemm *g, GemmSide *s);
/* Whether the other operand makes the better right side. */
bool gemm_wants_swap(Lower *lo, Gemm *g);
/* Packs the panel whose first row is `row` for depth [k0, k0 + klen) to pack[base...]. */
typedef struct PanelSpec {
    GemmSide *side;
    const KExpr *row, *k0, *klen, *base;
} PanelSpec;
void gemm_pack_panel(Lower *lo, Gemm *g, const PanelSpec *p);
/* Element (row, depth) = rd of a side, as the body computes it. */
const KExpr *gemm_element(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd);
/* Index of the side's operand for (batch, row, depth). */
void gemm_side_index(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd,
                     const Ix **ix);

/* kern_gemm.c: first float of panel `panel` of block `block`; of the whole operand when shared. */
const KExpr *gemm_panel_base(Lower *lo, const Gemm *g, const GemmSide *s, const KExpr *block,
                             const KExpr *panel);

/* gemm_tile.c: what a task does with its panels. The caller fills it up to `sums`. */
typedef struct GemmTask {
    Gemm *g;
    const KExpr *m0, *m1, *n0, *n1; /* its tile of the result */
    const KExpr *block, *k0, *klen; /* of depth */
    const Ix *block_index;
    uint32_t sums;              /* buffer of sums */
    const KExpr *ip, *jp;       /* panels within the tile */
    const KExpr *m, *n;         /* first row and column of the panels */
    const KExpr *row0;          /* first row of the register tile: m, or before it */
    const KExpr *abase, *bbase; /* first float of the panels; NULL: direct */
    const KExpr *tile;          /* first float of the register tile's sums */
    const Ix *row;              /* of the epilogue */
    const KExpr *const *c;      /* the register tile, when it stays there; else NULL */
} GemmTask;
void gemm_panel_loops(Lower *lo, GemmTask *t);
/* Index of the result; and all results, given one element (or lanes) of the dot. */
void gemm_result_index(Lower *lo, const Gemm *g, const Ix *row, const Ix *column, const Ix **ix);
void gemm_store_results(Lower *lo, const Gemm *g, const KExpr *dot, const Ix *const *ix);

#endif

/* gemm.h: what the two files of the matrix product share; private to codegen. */
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
    int64_t tiles_m, tiles_n; /* tasks of a batch member, at the upper end */
    const Ix *batch;          /* index of the batch member in the current scope */
} Gemm;

/* gemm_pack.c: whether packing a side is cheaper along its depth. */
void gemm_choose_lanes(Lower *lo, Gemm *g, GemmSide *s);
/* Packs the panel whose first row is `row` for depth [k0, k0 + klen) to pack[base...]. */
typedef struct PanelSpec {
    GemmSide *side;
    const KExpr *row, *k0, *klen, *base;
} PanelSpec;
void gemm_pack_panel(Lower *lo, Gemm *g, const PanelSpec *p);
/* Element (row, depth) = rd of a side, as the body computes it. */
const KExpr *gemm_element(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd);

#endif

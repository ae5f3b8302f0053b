/* gpu_xent.h: what the files of the GPU's linear cross-entropy share; gpu_xent.c tells the idea. */
#ifndef MDL_GPU_XENT_H
#define MDL_GPU_XENT_H

#include "gpu_ring.h"
#include "xent.h"

enum { XENT_STATS = 8 }; /* floats of a row: see mdl_scores.h */

/* Nodes are of a graph of our own, in which what lies in the workspace is an input. */
typedef struct GpuXent {
    Xent x; /* of the body */
    bool gradient;
    DType half; /* what scores are rounded to; DT_F32: nothing */
    Graph *g;
    const Node **copy;          /* by node of the body */
    const Node *mask, *targets; /* by row */
    const Node *given[2],
        *cotangent[3];      /* by row: maximum, log of the sum; dlog_sum, dhit, dmean */
    const Node *list, *z;   /* rows of this round; their scores */
    const Node *dw, *after; /* the gradient of the weights, and what is stored instead; or NULL */
    /* For warpgroups the rows of x lie side by side, and zeros behind them to a whole step of depth, in memory too
     * that scores have. */
    bool packed;
    const Node *picked, *lines; /* as they are read; as they lie then */
    const Dim *rows, *features;
    int64_t chunk, tiles; /* rows of a round; tiles of classes */
    int64_t line;         /* kept scores of a row: whole lines of the operand's copies */
    GemmKernel products;  /* scores, weights, inputs */
    TileSet tile[3];
    RingKernel ring[3];            /* by which they go where it fits */
    uint32_t live;                 /* rows that are read, in order; behind them how many */
    uint32_t target, parts, stats; /* by row of this round */
    uint32_t sums;                 /* gradient of the weights, where no result keeps it in f32 */
    bool keeps_sums;
    /* in the current phase */
    const KExpr *base, *n; /* rows before this round; rows of it */
} GpuXent;

enum { XENT_SCORES, XENT_WEIGHTS, XENT_INPUTS };

/* gpu_xent.c: opens a phase and sets base and n. */
KPhase *gpu_xent_phase(Lower *lo, GpuXent *c, const char *suffix, const Dim *tasks);
/* Result of the body that is n, perhaps as 16-bit numbers; or NO_VAR. */
uint32_t gpu_xent_result(const Lower *lo, const Node *n);
/* A tensor by row, at this row. */
/* The result that the gradient of the weights is, or becomes; or NO_VAR. */
uint32_t gpu_xent_weights_result(const Lower *lo, const GpuXent *c);
const KExpr *gpu_xent_row_value(Lower *lo, const Node *n, const KExpr *row);
const KExpr *gpu_xent_wide(Lower *lo, uint32_t buf, const KExpr *at);
/* Tasks that have W columns of a line each: opens the scope of those, sets line, and lanes as spec says. */
LanesSpec gpu_xent_line(Lower *lo, const Dim *columns, const KExpr **line);

/* The first row behind those of this round that no step of depth reads. */
const KExpr *gpu_xent_padded(Lower *lo, const GpuXent *c);

/* gpu_xent_tile.c: the three products, each a phase, and the cotangents between the first and the others. */
void gpu_xent_scores(Lower *lo, GpuXent *c);
void gpu_xent_turn(Lower *lo, GpuXent *c);
void gpu_xent_weights(Lower *lo, GpuXent *c);
void gpu_xent_inputs(Lower *lo, GpuXent *c);

#endif

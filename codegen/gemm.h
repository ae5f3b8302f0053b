/* gemm.h: what the files of the matrix product share; private to codegen. */
#ifndef MDL_GEMM_H
#define MDL_GEMM_H

#include "lower.h"
#include "products.h"

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
    int64_t together;   /* panels that are packed side by side */
    bool borrowed;      /* another product packs the same panels, to the same place */
    uint32_t pack;      /* buffer of panels: [kc][panel] each */
    int64_t at;         /* its first float there */
} GemmSide;

/* gemm_factor.c: operand `operand` of the product that a right side is, the same for `unit` steps of depth from
 * each multiple of it; unit 0: for all. */
typedef struct GemmFactor {
    bool found;
    uint32_t operand;
    int64_t unit;
} GemmFactor;

/* How many sums of a product are kept at once: those of a register tile, of a column of them, of the
 * whole task. */
typedef enum GemmSums { SUMS_TILE, SUMS_COLUMN, SUMS_TASK } GemmSums;

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
    int64_t stream; /* > 0: a block is walked that many steps of depth at a time, over all panels */
    GemmFactor factor; /* of the right side; sums are multiplied by it */
    int64_t dots;      /* > 0: lanes along depth, that many columns at once; gemm_skinny.c */
    const Ix *batch;   /* index of the batch member in the current scope */
    GemmSums sums;
    int64_t sums_at; /* its first float in the buffer of sums */
} Gemm;

enum { GEMM_WORK_MUCH = 1 << 16 }; /* of what cannot be written out */

/* Products of one result space, whose tiles a task computes one after the other, before one epilogue. */
typedef struct GemmSet {
    Gemm *dot[PRODUCTS_TOGETHER];
    uint32_t n, number;
    uint64_t results; /* of the kernel, a bit each */
    double work;      /* instructions of the epilogue, per element */
    bool as_it_is;    /* the sides keep their places */
    const Node *sum;  /* what alone reads the dots; or NULL */
    bool summed;      /* that is computed, and no dot of its own */
    bool halved;      /* tiles have half of the columns that the configuration says, .. */
    bool doubled;     /* .. or twice as many */
} GemmSet;

/* Sets have their own tasks, in one launch. */
typedef struct GemmKernel {
    GemmSet set[PRODUCTS_MOST];
    uint32_t nset;
    uint32_t sums; /* buffer */
} GemmKernel;

/* kern_gemm.c: what is known of every dot but how it is computed. */
void gemm_describe(Lower *lo, const GemmKernel *kn);
/* Tasks of one phase that belong to different products follow one another. */
typedef struct GemmRanges {
    const Dim *before;
    bool alone;        /* there is one range only */
    const KExpr *task; /* NULL: of the phase */
} GemmRanges;
/* Opens the scope of the next range; the result is the number of the task in it. */
const KExpr *gemm_open_range(Lower *lo, GemmRanges *t, const Dim *count);
void gemm_set_batch(const GemmSet *set, const Ix *batch);
/* All products, one row per task where there are no vectors (f64). */
void gemm_multiply(Lower *lo, const GemmKernel *kn);

/* gemm_set.c: the sets of the body, every dot with its node only. */
void gemm_find_sets(Lower *lo, GemmKernel *kn);
/* Dots of a set that read one left operand are computed in one walk over its depth: the first dot
 * behind those of the walk that begins with `from`. */
uint32_t gemm_walk_end(const GemmSet *set, uint32_t from);
/* Which panels and sums lie where; which are packed once for several products. */
void gemm_make_buffers(Lower *lo, GemmKernel *kn);

/* gemm_direct.c: sets `direct` of both sides, and `inner`; a direct right side is not shared. */
void gemm_choose_direct(Lower *lo, Gemm *g);
/* Depth at step outer * g->inner + inner of a block; the extent of outer. */
const Ix *gemm_depth(Lower *lo, const Gemm *g, const Ix *block, const Ix *outer, const Ix *inner);
const Dim *gemm_outer_extent(Lower *lo, const Gemm *g);

/* Partial sums of a tile lie in scratch between parts of its depth. */
static inline bool gemm_in_parts(const Gemm *g)
{
    return g->blocks > 1 || g->stream > 0;
}

/* gemm_skinny.c: whether the product has one row of tiles that reads a right operand in order; then its
 * shape is set. */
bool gemm_skinny(Lower *lo, const GemmSet *set);
/* Elements of a side along the depth: lanes past it are zero, whatever an operand's value there would be. */
const KExpr *gemm_depth_lanes(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd);
typedef struct GemmTask GemmTask;
/* Lanes along depth: sums of one tile over one block. */
void gemm_tile_of_dots(Lower *lo, GemmTask *t);

/* gemm_factor.c: sets g->factor, where lanes go along the depth and a unit is vectors of whole lanes.
 * From then on gemm_element gives the right side without its factor. */
void gemm_find_factor(Lower *lo, Gemm *g);
/* The factor, and the rest, of element (row, depth) = rd of the right side. */
const KExpr *gemm_factor(Lower *lo, const Gemm *g, const Ix *const *rd);
const KExpr *gemm_without_factor(Lower *lo, const Gemm *g, const Ix *const *rd);

/* gemm_prologue.c: folds below left operands. Before operands are looked at: from here on, the body may read them. */
void prologue_begin(Lower *lo);
/* At the root of a phase: every task makes all of them, unless they are made. */
void prologue_in_task(Lower *lo);
/* A phase of their own. */
void prologue_phase(Lower *lo);

/* gemm_prefetch.c: asks for the memory of the tile's epilogue while its products are computed; and, at a
 * step of its depth, for a line of the next panel of each side. */
void gemm_prefetch_epilogue(Lower *lo, const GemmTask *t);
void gemm_prefetch_panels(Lower *lo, const GemmTask *t, const KExpr *step);

/* gemm_pack.c: whether packing a side is cheaper along its depth. */
void gemm_choose_lanes(Lower *lo, Gemm *g, GemmSide *s);
/* A vector along a side's rows may begin at a place that is no multiple of W. */
bool gemm_side_unaligned(const Lower *lo, const GemmSide *s);
/* What a vector of a side costs to read, along its rows or along its depth: 0 in order. */
double gemm_probe_side(Lower *lo, Gemm *g, GemmSide *s, bool along_depth);
/* Whether the other operand makes the better right side of a product that is stored as it is. */
bool gemm_wants_swap(Lower *lo, Gemm *g, uint64_t results);
/* Packs the panel whose first row is `row` for depth [k0, k0 + klen) to pack[base...]. */
typedef struct PanelSpec {
    GemmSide *side;
    const KExpr *row, *k0, *klen, *base;
} PanelSpec;
void gemm_pack_panel(Lower *lo, Gemm *g, const PanelSpec *p);
/* How many panels of a side, that has `tile` rows in a task, are best packed side by side: memory is then
 * read in longer runs. And packs so many from p->row and p->base on, of those below row `end`. */
int64_t gemm_pack_together(Lower *lo, Gemm *g, GemmSide *s, int64_t tile);
void gemm_pack_panels(Lower *lo, Gemm *g, const PanelSpec *p, const KExpr *end);
/* gemm_skinny.c: the left panel for lanes along depth, [depth / W][row][W]. */
void gemm_pack_lines(Lower *lo, Gemm *g, const PanelSpec *p);
/* Element (row, depth) = rd of a side, as the body computes it. */
const KExpr *gemm_element(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd);
/* Index of the side's operand for (batch, row, depth). */
void gemm_side_index(Lower *lo, const Gemm *g, const GemmSide *s, const Ix *const *rd,
                     const Ix **ix);

/* gemm_set.c: floats of a panel; and the first float of panel `panel` of block `block`, of the whole
 * operand when shared. */
int64_t gemm_panel_size(const Gemm *g, const GemmSide *s);
const KExpr *gemm_panel_base(Lower *lo, const Gemm *g, const GemmSide *s, const KExpr *block,
                             const KExpr *panel);

/* gemm_tile.c: what a task does with its panels. The caller fills it up to `sums`. */
struct GemmTask {
    const GemmSet *set;
    uint32_t from, to;              /* the dots of this walk over the depth */
    Gemm *g;                        /* the one at work */
    const KExpr *m0, *m1, *n0, *n1; /* its tile of the result */
    const KExpr *block, *k0, *klen; /* of depth */
    const KExpr *step0; /* of the block, where it is streamed: its first step; or NULL */
    const Ix *block_index;
    uint32_t sums;                        /* buffer of sums */
    const KExpr *ip, *jp;                 /* panels within the tile */
    const KExpr *m, *n;                   /* first row and column of the panels */
    const KExpr *row0;                    /* first row of the register tile: m, or before it */
    const KExpr *col0;                    /* first column of it: n, or before it */
    const KExpr *abase, *bbase;           /* first float of the panels; NULL: direct */
    const KExpr *tile;                    /* first float of the register tile's sums */
    const KExpr *part[PRODUCTS_TOGETHER]; /* of each dot, for the epilogue */
    const Ix *row;                        /* of the epilogue */
    const KExpr *const *c;                /* the register tile, when it stays there; else NULL */
};
void gemm_panel_loops(Lower *lo, GemmTask *t);
/* Index of the result; and the results of a set, given one element (or lanes) of each dot. */
void gemm_result_index(Lower *lo, const Gemm *g, const Ix *row, const Ix *column, const Ix **ix);
void gemm_store_results(Lower *lo, const GemmSet *set, const KExpr *const *dot,
                        const Ix *const *ix);

#endif

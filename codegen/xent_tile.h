/* xent_tile.h: what the files of the linear cross-entropy share; kern_xent.c tells the idea. */
#ifndef MDL_XENT_TILE_H
#define MDL_XENT_TILE_H

#include "lower.h"
#include "xent.h"

/* Planes of statistics: see mdl_xent.h. */
enum { XENT_PARTS = 4, XENT_STATS = 7 };
enum { TASK_PANELS = 8 }; /* tiles of classes in a task */

typedef struct XentLower {
    Xent x;
    bool gradient;
    int64_t mr, nr, nv; /* register tile: classes or features x rows; nv vectors of rows */
    int64_t md;         /* the same over features: no more than there are */
    int64_t chunk;      /* rows of a round, a multiple of nr */
    int64_t tile;       /* classes of a task, a multiple of mr */
    int64_t wide;       /* features of a task, a multiple of md */
    int64_t padded;     /* classes, rounded up to mr */
    int64_t columns;    /* panels of nr features */
    uint32_t live;      /* rows whose mask is true, in order; behind them how many */
    uint32_t target;    /* of the rows of this round */
    uint32_t xt;        /* their x, as [panel of rows][feature][nr] */
    uint32_t xf;        /* and as [panel of features][row][nr] */
    uint32_t scores;    /* [panel of rows][class][nr], later their cotangents */
    uint32_t parts, stats;
    uint32_t sums; /* scratch: register tiles */
    /* in the current phase */
    const KExpr *base, *n; /* rows before this round; rows of it */
} XentLower;

/* Result r of the body is n; or NO_RESULT. */
#define NO_RESULT UINT32_MAX
uint32_t xent_result(const Lower *lo, const Node *n);

/* xent_tile.c: the three products, each a phase. */
void xent_scores_phase(Lower *lo, XentLower *c);
void xent_weights_phase(Lower *lo, XentLower *c);
void xent_inputs_phase(Lower *lo, XentLower *c);

/* kern_xent.c: opens a phase and sets base and n. */
KPhase *xent_phase(Lower *lo, XentLower *c, const char *suffix, int64_t tasks);
/* The row of the batch that row r of this round is. */
const KExpr *xent_live_row(Lower *lo, const XentLower *c, const KExpr *r);
/* Opens a loop over the panels of rows in use; the number of rows in the panel is min(nr, n - nr p). */
const KExpr *xent_panels(Lower *lo, const XentLower *c);
const KExpr *xent_panel_rows(Lower *lo, const XentLower *c, const KExpr *p);
const KExpr *xent_loop(Lower *lo, const char *stem, const KExpr *from, const KExpr *to);

#endif

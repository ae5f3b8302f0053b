/* gpu_ring.h: products by threads that copy and threads that multiply, for all kernels that need them: gpu_ring.c tells
 * the idea; private to codegen. */
#ifndef MDL_GPU_RING_H
#define MDL_GPU_RING_H

#include "gpu_tile.h"

/* What becomes of W neighbouring sums, dot[] of each dot; of the sums in the registers of a warpgroup. */
typedef void (*RingStore)(Lower *lo, const TileSet *t, const TileSpot *spot,
                          const KExpr *const *dot, void *user);
typedef void (*RingFold)(Lower *lo, const TileSet *t, void *user);

enum { RING_MAPS = 16 }; /* that a GPU gets by value */

typedef struct RingBeside RingBeside;

typedef struct RingKernel {
    TileSet *sets;
    uint32_t n;
    RingFold fold;   /* comes first; or NULL */
    RingStore store; /* NULL: nothing is stored */
    void *user;
    bool results; /* stores the results of the sets, and nothing else */
    /* ring_fit */
    bool fits;
    int64_t readers; /* threads that multiply */
    int64_t cluster; /* blocks that bring the right operand together */
    int64_t blocks;  /* on a multiprocessor */
    int64_t stages, stage_bytes;
    int64_t groups;     /* of 8 columns that are laid down at once */
    int64_t own_floats; /* of a warp, to lay sums down */
    const Dim *tasks;
    RingBeside *beside; /* of each set; NULL: nothing is read at the place of a result */
    /* ring_run */
    const char *ring;           /* name of the MdlRing of the thread */
    uint32_t tiles, rows, bars; /* shared */
} RingKernel;

/* Whether warpgroups multiply, and all operands can be copied in boxes; then how. */
bool ring_fit(Lower *lo, RingKernel *r);
/* The body of the phase that was made last, in its scope: all tiles. */
void ring_run(Lower *lo, RingKernel *r, KPhase *phase);

/* ---- of the file itself ---- */

/* An index in an input: elements before the first one, and from one row, step of depth or column, and batch member
 * to the next. */
typedef struct RingLaid {
    const Node *input;
    const Dim *first, *row, *along, *batch;
    int64_t piece; /* > 0: rows that lie together so, and `apart` to those of the next piece */
    const Dim *apart;
} RingLaid;

enum { RING_BATCH, RING_ROW, RING_ALONG, RING_VARS };

/* Reads it off a linear index of such variables; false: it is no sum of them. Sets all but the input. */
bool ring_laid(Lower *lo, const Ix *at, const uint32_t *var, RingLaid *out);
/* A distance that a map can have: not 0; that it is a multiple of 16 bytes was seen by who copies runs. */
bool ring_distance(Lower *lo, const Dim *d);
/* `call`(&ring); waits for an empty stage, that so many bytes will be copied to; the first byte of the stage at hand,
 * in elements of so many bytes. */
void ring_call(Lower *lo, const RingKernel *r, const char *call);
void ring_fill(Lower *lo, const RingKernel *r, int64_t bytes);
const KExpr *ring_stage(Lower *lo, const RingKernel *r, int64_t bytes);

/* gpu_ring_beside.c: what the results of each set read at their own place; NULL: nothing that could be copied. */
RingBeside *beside_find(Lower *lo, RingKernel *r);
void beside_make_shared(Lower *lo, RingKernel *r);
/* The thread that copies: a box for each part of the sums, behind the last step of a tile. */
void beside_bring(Lower *lo, const RingKernel *r, const TileSet *t);
/* A warp that stores waits for what is beside the part at hand, whose first row of the tile is `row`; and is done. */
void beside_open(Lower *lo, const RingKernel *r, const TileSet *t, const KExpr *row);
void beside_close(Lower *lo, const RingKernel *r, const TileSet *t);
/* From here on loads find it, at a spot of the part whose row and column are the variables made last; until
 * lo->staged is reset. */
void beside_begin(Lower *lo, const RingKernel *r, const TileSet *t, const TileSpot *spot);

#endif

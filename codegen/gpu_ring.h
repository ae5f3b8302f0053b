/* gpu_ring.h: products by threads that copy and threads that multiply, for all kernels that need them: gpu_ring.c tells
 * the idea; private to codegen. */
#ifndef MDL_GPU_RING_H
#define MDL_GPU_RING_H

#include "gpu_tile.h"

/* What becomes of W neighbouring sums, dot[] of each dot; of the sums in the registers of a warpgroup. */
typedef void (*RingStore)(Lower *lo, const TileSet *t, const TileSpot *spot,
                          const KExpr *const *dot, void *user);
typedef void (*RingFold)(Lower *lo, const TileSet *t, void *user);

typedef struct RingKernel {
    TileSet *sets;
    uint32_t n;
    RingFold fold;   /* comes first; or NULL */
    RingStore store; /* NULL: nothing is stored */
    void *user;
    /* ring_fit */
    bool fits;
    int64_t readers; /* threads that multiply */
    int64_t cluster; /* blocks that bring the right operand together */
    int64_t blocks;  /* on a multiprocessor */
    int64_t stages, stage_bytes;
    int64_t groups;     /* of 8 columns that are laid down at once */
    int64_t own_floats; /* of a warp, to lay sums down */
    const Dim *tasks;
    /* ring_run */
    const char *ring;           /* name of the MdlRing of the thread */
    uint32_t tiles, rows, bars; /* shared */
} RingKernel;

/* Whether warpgroups multiply, and all operands can be copied in boxes; then how. */
bool ring_fit(Lower *lo, RingKernel *r);
/* The body of the phase that was made last, in its scope: all tiles. */
void ring_run(Lower *lo, RingKernel *r, KPhase *phase);

#endif

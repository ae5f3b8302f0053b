/* mdl_engine.h: what the emulator gives to kernels: who runs, and one table of functions. The only thing
 * that both sides know: kernels include it through mdl.h, the emulator (runtime/simt) directly. A kernel's
 * object links nothing of the emulator; mdl_engine_enter hands it the table before a launch.
 *
 * `line` is the line of the text that makes the call, for reports. */
#ifndef MDL_ENGINE_H
#define MDL_ENGINE_H

#include <stdint.h>

/* Exchange of the 32 lanes of a warp. */
typedef enum MdlLanesOp {
    MDL_LANES_XOR,
    MDL_LANES_AT,
    MDL_LANES_UP,
    MDL_LANES_DOWN,
    MDL_LANES_BALLOT /* the value is a uint32_t: not 0 where true; it becomes the mask */
} MdlLanesOp;

typedef struct MdlLanes {
    MdlLanesOp op;
    void *value;
    int bytes, arg;
} MdlLanes;

/* cp.async: `valid` of `size` bytes, then zeros. */
typedef struct MdlCopy {
    void *smem;
    const void *gmem;
    int size, valid;
} MdlCopy;

/* ldmatrix of n 8x8 matrices; row: the address that this lane gives. */
typedef struct MdlMatrices {
    uint32_t *r;
    const void *row;
    int n, trans;
} MdlMatrices;

typedef enum MdlMmaType { MDL_MMA_BF16, MDL_MMA_F16, MDL_MMA_TF32 } MdlMmaType;

typedef struct MdlMma {
    MdlMmaType type;
    float *d;
    const uint32_t *a, *b;
} MdlMma;

/* What TMA moves: the box of the map at x, y, z of its tensor. bar: of a load; blocks: to which of the cluster it goes,
 * a bit each, at the same place in each; 0: to its own. */
typedef struct MdlBox {
    void *smem;
    const void *map;
    uint64_t *bar;
    int rank, at[3], blocks;
} MdlBox;

/* A run of floats that goes to memory, or is added there, as TMA does. */
typedef struct MdlBulk {
    float *to;
    const void *smem;
    int bytes, add;
} MdlBulk;

/* m64 n k16. A lies in shared memory, or with a4 in registers. */
typedef struct MdlWgmma {
    MdlMmaType type;
    int n, a_mn_major, b_mn_major, accumulate;
    float *d;
    const uint32_t *a4;
    uint64_t a, b; /* descriptors */
} MdlWgmma;

/* Threads are numbered through the blocks of a cluster. */
typedef struct MdlEngine MdlEngine;
struct MdlEngine {
    int32_t thread, block; /* who runs now */
    int32_t first, rank;   /* threads of the cluster before its block; which it is */
    int32_t blocks;        /* of the launch */
    unsigned char *shared; /* memory of its block */
    void (*barrier)(MdlEngine *, int id, int threads, int line); /* threads 0: all of the block */
    void (*syncwarp)(MdlEngine *, int line);
    void (*threadfence)(MdlEngine *);
    void (*grid_wait)(MdlEngine *);
    void (*lanes)(MdlEngine *, const MdlLanes *, int line);
    int32_t (*atomic_add)(MdlEngine *, int32_t *p, int32_t v, int line);
    void (*turn_await)(MdlEngine *, const int32_t *turn, int32_t passed, int line);
    void (*turn_pass)(MdlEngine *, int32_t *turn, int line);
    void (*copy)(MdlEngine *, const MdlCopy *, int line);
    void (*copy_commit)(MdlEngine *);
    void (*copy_wait)(MdlEngine *, int groups, int line);
    void (*ldmatrix)(MdlEngine *, const MdlMatrices *, int line);
    void (*mma)(MdlEngine *, const MdlMma *, int line);
    void (*mbar_init)(MdlEngine *, uint64_t *bar, int arrivals, int line);
    void (*mbar_fence)(MdlEngine *);
    void (*mbar_arrive)(MdlEngine *, uint64_t *bar, int bytes, int line);
    void (*mbar_wait)(MdlEngine *, uint64_t *bar, int parity, int line);
    void (*mbar_arrive_in)(MdlEngine *, uint64_t *bar, int rank, int line);
    void (*cluster_sync)(MdlEngine *, int line);
    void (*fence_async)(MdlEngine *);
    void (*tma_load)(MdlEngine *, const MdlBox *, int line);
    void (*prefetch)(MdlEngine *, const void *p, int bytes, int line);
    void (*tma_store)(MdlEngine *, const MdlBox *, int line);
    void (*tma_commit)(MdlEngine *);
    void (*tma_wait)(MdlEngine *, int groups, int line);
    void (*bulk)(MdlEngine *, const MdlBulk *, int line);
    void (*bulk_wait)(MdlEngine *, int groups, int line);
    void (*wgmma)(MdlEngine *, const MdlWgmma *, int line);
    void (*registers)(MdlEngine *, int n, int line);
    void (*wgmma_fence)(MdlEngine *);
    void (*wgmma_commit)(MdlEngine *);
    void (*wgmma_wait)(MdlEngine *, int groups, int line);
    /* Of checked kernels: an access to memory. from: the address behind the instruction. */
    void (*access)(MdlEngine *, const void *p, int64_t bytes, int write, const void *from);
    /* A vector is not where vectors may be. */
    void (*misaligned)(MdlEngine *, const void *p, int64_t bytes, const void *from);
};

#endif

/* mdl.h: what generated GPU kernels are written in, for the emulator: the same names as the CUDA prelude
 * has, made of calls into the emulator's table (mdl_engine.h) and of the vectors and arithmetic that CPU
 * kernels use. Kernels are compiled as C.
 *
 * With -fsanitize=thread (the check mode) every access to memory becomes a call; what is written here
 * must not become one, hence functions that are not inlined then. */
#ifndef MDL_H
#define MDL_H

#include <stdint.h>

#define MDL_FN static inline __attribute__((always_inline, unused))
/* Rolled: unrolled, as on a GPU, a tile takes ten times as long to compile and no less to run. */
#define MDL_UNROLL _Pragma("GCC unroll 1")
#define MDL_ROLLED _Pragma("GCC unroll 1")
#if defined(__SANITIZE_THREAD__)
#define MDL_SIMT_FN static __attribute__((noinline, unused, no_sanitize("thread")))
#else
#define MDL_SIMT_FN static inline __attribute__((always_inline, unused))
#endif

/* ---- kernel ABI (MdlGpuArgs in runtime/device.h is the same) ---- */

enum { MDL_ROW_BUFS = 12, MDL_GPU_BUFS = 48 };

typedef struct MdlRow {
    void *p[MDL_ROW_BUFS];
    int64_t n, task0;
} MdlRow;

typedef struct MdlTensorMap {
    uint64_t opaque[16];
} __attribute__((aligned(64))) MdlTensorMap;

typedef struct MdlArgs {
    void *buf[MDL_GPU_BUFS];
    const MdlRow *row;
    int64_t nrow;
    const int64_t *block;
    void *workspace;
    int64_t round;
    int64_t tasks;
    const MdlTensorMap *map;
} MdlArgs;

#define MDL_GPU_KERNEL(name, threads, blocks) \
    __attribute__((visibility("default"))) void name(const MdlArgs *mdl_args)
#define MDL_ARGS mdl_args
/* .. that has n maps of tensors by value. */
#define MDL_GPU_KERNEL_MAPS(name, threads, blocks, n) MDL_GPU_KERNEL(name, threads, blocks)
#define MDL_MAPS                                      (mdl_args->map)
/* .. in clusters of c blocks side by side; the emulator asks for the number. */
#define MDL_GPU_KERNEL_CLUSTER(name, threads, blocks, n, c)                \
    extern const int name##_cluster;                                       \
    __attribute__((visibility("default"))) const int name##_cluster = (c); \
    MDL_GPU_KERNEL(name, threads, blocks)

#include "mdl_engine.h"

static MdlEngine *mdl_engine; /* of the launch that runs */

/* A GPU faults at a vector that is not at a multiple of its size. */
MDL_SIMT_FN void mdl_must_be_aligned(const void *p, int64_t bytes)
{
    if ((uintptr_t)p % (uintptr_t)bytes)
        mdl_engine->misaligned(mdl_engine, p, bytes, __builtin_return_address(0));
}
#define MDL_MUST_BE_ALIGNED(p, bytes) mdl_must_be_aligned((p), (bytes))

#include "mdl_index.h"

#include "mdl_vector.h"

#include "mdl_lanes.h"
#include "mdl_narrow.h"

#include "mdl_memory.h"

#include "mdl_libm.h"

#include "mdl_math.h"
#include "mdl_random.h"

#include "mdl_explog.h"

#include "mdl_check.h"
#include "mdl_simt.h"

#include "mdl_fast.h"

#include "mdl_sort.h"

#include "mdl_tile.h"

#include "mdl_ring.h"

#include "mdl_attend.h"
#include "mdl_attend_few.h"
#include "mdl_attend_group.h"
#include "mdl_bins.h"
#include "mdl_block_sort.h"
#include "mdl_codes.h"
#include "mdl_scores.h"
#include "mdl_shift.h"
#include "mdl_skinny.h"

#endif

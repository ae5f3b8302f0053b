/* mdl.h: what generated GPU kernels are written in, for NVRTC: the kernel ABI, coordinates and memory of a
 * block, vectors of W floats in each thread, and (mdl_math.h) the arithmetic of every operation. The
 * emulator's prelude has the same names (runtime/prelude/simt), so one text runs on both.
 *
 * No toolkit header is included: they cost more time than the kernels. Options: --std=c++17 --fmad=false;
 * a fused multiply-add happens only where mdl_fma says so. What an architecture lacks is not declared. */
#ifndef MDL_H
#define MDL_H

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
#define INT32_MIN   (-2147483647 - 1)
#define INT32_MAX   2147483647
#define INT64_MIN   (-9223372036854775807L - 1)
#define INT64_MAX   9223372036854775807L
#define INT64_C(x)  x##L
#define UINT32_C(x) x##U
#define UINT64_C(x) x##UL

#define MDL_FN      static __device__ __forceinline__
#define MDL_UNROLL  _Pragma("unroll")
#define MDL_ROLLED  _Pragma("unroll 1")
/* Not only for wgmma: TMA and transaction barriers came with the same machine. */
#if __CUDA_ARCH__ >= 900
#define MDL_SM90
#endif

/* ---- kernel ABI (runtime/device.h declares the same layout) ---- */

enum { MDL_ROW_BUFS = 12, MDL_GPU_BUFS = 48 };

typedef struct MdlRow {
    void *p[MDL_ROW_BUFS];
    int64_t n, task0;
} MdlRow;

/* A CUtensorMap. */
typedef struct __align__(64) MdlTensorMap
{
    uint64_t opaque[16];
}
MdlTensorMap;

/* By value, in constant memory; what it points to is memory of the device. */
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

/* A phase: one block a task, `blocks` of them wanted at once on a multiprocessor (0: no wish). */
#define MDL_GPU_KERNEL(name, threads, blocks)                     \
    extern "C" __global__ void __launch_bounds__(threads, blocks) \
        name(const __grid_constant__ MdlArgs mdl_args)
#define MDL_ARGS (&mdl_args)
/* .. that has n maps of tensors by value. */
#define MDL_GPU_KERNEL_MAPS(name, threads, blocks, n)                   \
    struct name##_maps {                                                \
        MdlTensorMap at[n];                                             \
    };                                                                  \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name( \
        const __grid_constant__ MdlArgs mdl_args, const __grid_constant__ name##_maps mdl_maps)
#define MDL_MAPS (mdl_maps.at)
/* .. in clusters of c blocks side by side. */
#define MDL_GPU_KERNEL_CLUSTER(name, threads, blocks, n, c)                                       \
    struct name##_maps {                                                                          \
        MdlTensorMap at[n];                                                                       \
    };                                                                                            \
    extern "C" __global__ void __cluster_dims__(c, 1, 1) __launch_bounds__(threads, blocks) name( \
        const __grid_constant__ MdlArgs mdl_args, const __grid_constant__ name##_maps mdl_maps)

/* ---- coordinates; blocks have one dimension ---- */

MDL_FN int mdl_block(void)
{
    return (int)blockIdx.x;
}

MDL_FN int mdl_blocks(void)
{
    return (int)gridDim.x;
}

MDL_FN int mdl_thread(void)
{
    return (int)threadIdx.x;
}

MDL_FN int mdl_lane(void)
{
    return (int)(threadIdx.x % 32);
}

/* The same, asked for where it is used: no register holds it until then. */
MDL_FN int mdl_lane_again(void)
{
    int lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

MDL_FN int mdl_warp(void)
{
    return (int)(threadIdx.x / 32);
}

/* ---- shared memory: one region a block, cut up by the text ---- */

extern __shared__ __align__(1024) unsigned char mdl_shared_memory[];
#define MDL_SHARED(T, offset) ((T *)(mdl_shared_memory + (offset)))

/* The address that instructions on shared memory take. */
MDL_FN uint32_t mdl_shared_at(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

#include "mdl_index.h"

#include "mdl_lane_struct.h"

#include "mdl_lanes.h"

#include "mdl_convert.h"

#include "mdl_narrow.h"

#include "mdl_memory.h"

#include "mdl_wide.h"

#include "mdl_intrinsics.h"

#include "mdl_math.h"
#include "mdl_random.h"

#include "mdl_explog.h"

#include "mdl_fast.h"

#include "mdl_warp.h"

#include "mdl_copy.h"

#include "mdl_mma.h"

#include "mdl_wgmma.h"

#define MDL_SORT_FN static __device__
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

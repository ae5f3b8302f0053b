/* mdl.h: the structs that GPU kernels have for vectors, and the arithmetic over them, compiled for this
 * machine, as C++: their bits are compared with those of gcc's vectors (test_lanes.c). */
#ifndef MDL_H
#define MDL_H

#include <stdint.h>

#define MDL_FN    static inline __attribute__((always_inline, unused))
#define MDL_ENTRY extern "C" __attribute__((visibility("default")))
#define MDL_UNROLL
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n)    __attribute__((aligned(n)))

typedef struct MdlRow {
    int64_t task0;
} MdlRow;

typedef struct MdlArgs {
    const MdlRow *row;
    int64_t nrow;
    const int64_t *block;
} MdlArgs;

extern "C" {
#include "mdl_libm.h"
}

static inline float __int_as_float(int32_t i)
{
    return __builtin_bit_cast(float, i);
}

static inline int32_t __float_as_int(float x)
{
    return __builtin_bit_cast(int32_t, x);
}

#define __uint_as_float(i) __int_as_float((int32_t)(i))
#define __float_as_uint(x) (uint32_t) __float_as_int(x)
#define __fmaf_rn(a, b, c) __builtin_fmaf(a, b, c)
#define __fsqrt_rn(x)      __builtin_sqrtf(x)

#include "mdl_index.h"

#include "mdl_lane_struct.h"

#include "mdl_lanes.h"
#include "mdl_narrow.h"

#include "mdl_memory.h"

#define MDL_PACK(name)                                                        \
    MDL_FN uint32_t mdl_pack_##name(float lo, float hi)                       \
    {                                                                         \
        return mdl_narrow_##name(lo) | (uint32_t)mdl_narrow_##name(hi) << 16; \
    }
MDL_PACK(bf16)
MDL_PACK(f16)

#include "mdl_wide.h"

#include "mdl_math.h"
#include "mdl_random.h"

#include "mdl_explog.h"

#endif

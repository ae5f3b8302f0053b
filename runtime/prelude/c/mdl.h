/* mdl.h: what generated C kernels are written in: the kernel ABI, vectors of W floats, loads and
 * stores, and (mdl_math.h) the arithmetic of every operation. It includes nothing else but
 * <stdint.h>, so that a kernel compiles in milliseconds, and it needs no -ffast-math.
 *
 * Flags: -O2 -fno-math-errno -ffp-contract=off -fwrapv. A fused multiply-add happens only where
 * mdl_fma says so (machines without one multiply and add). Suffixes: _f32 _f64 _i32 _i64 _bool
 * scalars; _vf W floats; _vi W ints, also masks (0 or -1). A lane count n asks for the first n
 * lanes: the others load as 0 and are not stored. */
#ifndef MDL_H
#define MDL_H

#include <stdint.h>

#define MDL_FN static inline __attribute__((always_inline, unused))
/* Kernels are looked up by name whatever the default visibility is. */
#define MDL_KERNEL __attribute__((visibility("default")))
#define MDL_UNROLL _Pragma("GCC unroll 16")
#define MDL_ROLLED _Pragma("GCC unroll 1")

/* ---- kernel ABI (runtime/device.h declares the same layout) ---- */

enum { MDL_ROW_BUFS = 12 };

typedef struct MdlRow {
    void *p[MDL_ROW_BUFS];
    int64_t n, task0;
} MdlRow;

typedef struct MdlArgs {
    void *const *buf;
    const MdlRow *row;
    int64_t nrow;
    const int64_t *block;
    void *workspace;
    int64_t round;
} MdlArgs;

#include "mdl_index.h"

#include "mdl_vector.h"

#include "mdl_lanes.h"
#include "mdl_narrow.h"

#include "mdl_memory.h"

#include "mdl_libm.h"

#include "mdl_math.h"
#include "mdl_random.h"

#include "mdl_explog.h"
#include "mdl_sort.h"

#include "mdl_xent.h"

#endif

#define MDL_W 4
#include "mdl.h"

/* The sum of n numbers: each block adds its share, the block that comes last adds those. buf: numbers, sums
 * of blocks, a counter that is 0 before and after, the result. */
MDL_GPU_KERNEL(total, 64, 0)
{
    const MdlArgs *a = MDL_ARGS;
    const float *x = (const float *)a->buf[0];
    float *part = (float *)a->buf[1], *warp = MDL_SHARED(float, 0);
    int32_t *counter = (int32_t *)a->buf[2], *last = MDL_SHARED(int32_t, 8);
    int64_t n = a->block[0];
    float s = 0;
    for (int64_t i = (int64_t)mdl_block() * 64 + mdl_thread(); i < n; i += a->tasks * 64)
        s += x[i];
    for (int o = 16; o; o >>= 1)
        s += mdl_shfl_xor_f32(s, o);
    if (mdl_lane() == 0)
        warp[mdl_warp()] = s;
    mdl_syncthreads();
    if (mdl_thread() == 0) {
        part[mdl_block()] = warp[0] + warp[1];
        mdl_threadfence();
        *last = mdl_atomic_add_i32(counter, 1) == (int32_t)a->tasks - 1;
        mdl_threadfence();
    }
    mdl_syncthreads();
    if (!*last || mdl_warp())
        return;
    s = 0;
    for (int64_t i = mdl_lane(); i < a->tasks; i += 32)
        s += part[i];
    for (int o = 16; o; o >>= 1)
        s += mdl_shfl_xor_f32(s, o);
    if (mdl_lane() == 0) {
        *(float *)a->buf[3] = s;
        *counter = 0;
    }
}

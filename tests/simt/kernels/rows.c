#define MDL_W 4
#include "mdl.h"

/* A warp a row: softmax. rows in block[0], columns in block[1]. */
MDL_GPU_KERNEL(softmax, 128, 0)
{
    const MdlArgs *a = MDL_ARGS;
    int64_t row = (int64_t)mdl_block() * 4 + mdl_warp(), cols = a->block[1];
    if (row >= a->block[0])
        return;
    const float *x = (const float *)a->buf[0] + row * cols;
    float *y = (float *)a->buf[1] + row * cols;
    float top = -3.0e38f, sum = 0;
    for (int64_t j = mdl_lane(); j < cols; j += 32)
        top = x[j] > top ? x[j] : top;
    for (int o = 16; o; o >>= 1) {
        float other = mdl_shfl_xor_f32(top, o);
        top = other > top ? other : top;
    }
    for (int64_t j = mdl_lane(); j < cols; j += 32)
        sum += mdl_exp_f32(x[j] - top);
    for (int o = 16; o; o >>= 1)
        sum += mdl_shfl_xor_f32(sum, o);
    for (int64_t j = mdl_lane(); j < cols; j += 32)
        y[j] = mdl_exp_f32(x[j] - top) / sum;
}

/* A block a row: mean 0 and variance 1, by sums of warps in shared memory. Columns in block[1]. */
MDL_GPU_KERNEL(layernorm, 128, 0)
{
    const MdlArgs *a = MDL_ARGS;
    float *part = MDL_SHARED(float, 0);
    int64_t cols = a->block[1];
    const float *x = (const float *)a->buf[0] + mdl_block() * cols;
    float *y = (float *)a->buf[1] + mdl_block() * cols;
    float s = 0, q = 0;
    for (int64_t j = mdl_thread(); j < cols; j += 128) {
        s += x[j];
        q += x[j] * x[j];
    }
    for (int o = 16; o; o >>= 1) {
        s += mdl_shfl_down_f32(s, o);
        q += mdl_shfl_down_f32(q, o);
    }
    if (mdl_lane() == 0) {
        part[mdl_warp()] = s;
        part[4 + mdl_warp()] = q;
    }
    mdl_syncthreads();
    if (mdl_thread() == 0) {
        s = part[0] + part[1] + part[2] + part[3];
        q = part[4] + part[5] + part[6] + part[7];
        float mean = s / (float)cols;
        part[8] = mean;
        part[9] = mdl_rsqrt_f32(q / (float)cols - mean * mean + 1e-5f);
    }
    mdl_syncthreads();
    for (int64_t j = mdl_thread(); j < cols; j += 128)
        y[j] = (x[j] - part[8]) * part[9];
}

#define MDL_W 4
#include "mdl.h"

/* y = x * x + b[column], four elements a thread; n in block[0], columns (a multiple of 4) in block[1]. */
MDL_GPU_KERNEL(map, 64, 0)
{
    const MdlArgs *a = MDL_ARGS;
    const float *x = (const float *)a->buf[0], *b = (const float *)a->buf[1];
    float *y = (float *)a->buf[2];
    int64_t i = ((int64_t)mdl_block() * 64 + mdl_thread()) * MDL_W, n = a->block[0];
    if (i >= n)
        return;
    vf bias = mdl_load_f32(b + i % a->block[1]);
    if (i + MDL_W <= n) {
        vf v = mdl_load_f32(x + i);
        mdl_store_f32(y + i, v * v + bias);
    } else {
        vf v = mdl_loadn_f32(x + i, n - i);
        mdl_storen_f32(y + i, v * v + bias, n - i);
    }
}

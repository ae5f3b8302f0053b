#define MDL_W 4
#include "mdl.h"

/* Sums of 64 columns: each block has a row, and blocks add in the order in which they begin. buf: rows, a count of
 * those that have begun and one of those that have added, both 0 before and after, the result. */
MDL_GPU_KERNEL(turns, 32, 0)
{
    const MdlArgs *a = MDL_ARGS;
    int32_t *count = (int32_t *)a->buf[1];
    int row = mdl_attend_ticket(count, MDL_SHARED(int32_t, 0)), t = mdl_thread();
    const float *x = (const float *)a->buf[0] + row * 64 + t * 2;
    float *y = (float *)a->buf[2] + t * 2;
    if (t == 0)
        mdl_turn_await(count + 1, row);
    mdl_syncthreads();
    if (row == 0)
        mdl_store2_f32(y, x[0], x[1]);
    else
        mdl_add2_f32(y, x[0], x[1]);
    mdl_syncthreads();
    if (t == 0) {
        mdl_turn_pass(count + 1);
        if (row == (int)a->tasks - 1)
            count[0] = count[1] = 0;
    }
}

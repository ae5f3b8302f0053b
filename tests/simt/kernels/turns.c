#define MDL_W 4
#include "mdl.h"

/* Sums of 64 columns: each block has a row, and blocks add in the order in which they begin. buf: rows, a count of
 * those that have begun and one of those that have added, both 0 before and after, the result. */
MDL_GPU_KERNEL(turns, 32, 0)
{
    const MdlArgs *a = MDL_ARGS;
    int32_t *count = (int32_t *)a->buf[1];
    float *y = (float *)a->buf[2], *laid = MDL_SHARED(float, 0);
    int row = mdl_attend_ticket(count, MDL_SHARED(int32_t, 256)), t = mdl_thread();
    const float *x = (const float *)a->buf[0] + row * 64 + t * 2;
    mdl_store2_f32(laid + t * 2, x[0], x[1]);
    mdl_fence_async();
    mdl_syncthreads();
    if (t == 0) {
        mdl_turn_await(count + 1, row);
        if (row == 0)
            mdl_bulk_store(y, laid, 256);
        else
            mdl_bulk_add(y, laid, 256);
        mdl_tma_commit();
        mdl_bulk_wait(0);
        mdl_turn_pass(count + 1);
        if (row == (int)a->tasks - 1)
            count[0] = count[1] = 0;
    }
}

/* multi_sumsq: 
 * ops: sumsq */
#define MDL_W 16
#include "mdl.h"

/* squares of one stretch */
MDL_KERNEL void k_multi_sumsq_ed48193f0056_parts(const MdlArgs *a, int64_t task, void *scratch)
{
    const MdlRow *row = mdl_row(a, task);
    float *restrict partial = (float *)((char *)a->workspace + 0);
    float *x = row->p[0];
    const int64_t from = (task - row->task0) * 16384;
    const int64_t to = mdl_lo(from + 16384, row->n);
    vf sum = mdl_set1_vf(0.0f);
    for (int64_t i = from; i < to - 15; i += 16) {
        const vf x_1 = mdl_load_f32(&x[i]);
        sum = mdl_fma_vf(x_1, x_1, sum);
    }
    const int64_t tail = from + (to - from) / 16 * 16;
    if (tail < to) {
        const vf x_2 = mdl_loadn_f32(&x[tail], to - tail);
        sum = mdl_fma_vf(x_2, x_2, sum);
    }
    sum = (sum + mdl_swap_vf(sum, 8));
    sum = (sum + mdl_swap_vf(sum, 4));
    sum = (sum + mdl_swap_vf(sum, 2));
    sum = (sum + mdl_swap_vf(sum, 1));
    partial[task] = mdl_lane0_vf(sum);
}

/* joins the partial sums in order */
MDL_KERNEL void k_multi_sumsq_ed48193f0056(const MdlArgs *a, int64_t task, void *scratch)
{
    float *out0 = a->buf[0];
    float *restrict partial = (float *)((char *)a->workspace + 0);
    double sum_1 = 0.0;
    for (int64_t i_1 = 0; i_1 < 39; i_1++) {
        sum_1 = (sum_1 + (double)partial[i_1]);
    }
    out0[0] = (float)sum_1;
}

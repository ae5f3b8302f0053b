/* reduce: h.0.ln_1
 * ops: gather gather add expand mul sum expand sub mul mul sum expand add rsqrt expand mul expand mul expand add */
#define MDL_W 4
#include "mdl.h"

/* folds rows */
#line 26 "std/nn.mdl" /* h.0.ln_1 */
MDL_GPU_KERNEL(k_h_ln_1_reduce_gather_sum_rsqrt_6c720de9f753, 128, 1)
{
    const MdlArgs *a = MDL_ARGS;
    const int64_t task = (int64_t)mdl_block() * 4 + mdl_warp();
    const float *wte_weight = (const float *)a->buf[0];
    const int32_t *tokens = (const int32_t *)a->buf[1];
    const float *wpe_weight = (const float *)a->buf[2];
    const int32_t *pos = (const int32_t *)a->buf[3];
    const float *h_0_ln_1_weight = (const float *)a->buf[4];
    const float *h_0_ln_1_bias = (const float *)a->buf[5];
    float *out0 = (float *)a->buf[6];
    float *out1 = (float *)a->buf[7];
    float *out2 = (float *)a->buf[8];
    float *out3 = (float *)a->buf[9];
    float *out4 = (float *)a->buf[10];
    const int64_t rank = mdl_lane();
    vf sum = mdl_set1_vf(0.0f);
#line 18 "std/nn.mdl" /* wte */
    const int32_t tokens_1 = tokens[task];
#line 18 "std/nn.mdl" /* wpe */
    const int32_t pos_1 = pos[task];
#line 26 "std/nn.mdl" /* h.0.ln_1 */
    for (int64_t r = rank * 4; r < 32; r += 128) {
#line 18 "std/nn.mdl" /* wte */
        const vf wte_weight_1 = mdl_loada_f32(&wte_weight[r + mdl_clamp((int64_t)tokens_1, 256) * 32]);
#line 18 "std/nn.mdl" /* wpe */
        const vf wpe_weight_1 = mdl_loada_f32(&wpe_weight[r + mdl_clamp((int64_t)pos_1, 16) * 32]);
#line 59 "models/gpt2.mdl"
        const vf add = (wte_weight_1 + wpe_weight_1);
#line 26 "std/nn.mdl" /* h.0.ln_1 */
        const vf mul = (add * mdl_set1_vf(0.03125f));
        sum = (sum + mul);
    }
    const vf other = mdl_swap_vf(sum, 2);
    sum = (sum + other);
    const vf other_1 = mdl_swap_vf(sum, 1);
    sum = (sum + other_1);
    float sum_1 = mdl_lane0_vf(sum);
    const float other_2 = mdl_shfl_xor_f32(sum_1, 16);
    sum_1 = (sum_1 + other_2);
    const float other_3 = mdl_shfl_xor_f32(sum_1, 8);
    sum_1 = (sum_1 + other_3);
    const float other_4 = mdl_shfl_xor_f32(sum_1, 4);
    sum_1 = (sum_1 + other_4);
    const float other_5 = mdl_shfl_xor_f32(sum_1, 2);
    sum_1 = (sum_1 + other_5);
    const float other_6 = mdl_shfl_xor_f32(sum_1, 1);
    sum_1 = (sum_1 + other_6);
    vf sum_2 = mdl_set1_vf(0.0f);
    for (int64_t r_1 = rank * 4; r_1 < 32; r_1 += 128) {
#line 18 "std/nn.mdl" /* wte */
        const vf wte_weight_2 = mdl_loada_f32(&wte_weight[r_1 + mdl_clamp((int64_t)tokens_1, 256) * 32]);
#line 18 "std/nn.mdl" /* wpe */
        const vf wpe_weight_2 = mdl_loada_f32(&wpe_weight[r_1 + mdl_clamp((int64_t)pos_1, 16) * 32]);
#line 59 "models/gpt2.mdl"
        const vf add_1 = (wte_weight_2 + wpe_weight_2);
#line 26 "std/nn.mdl" /* h.0.ln_1 */
        const vf sub = (add_1 - mdl_set1_vf(sum_1));
        const vf mul_1 = (sub * sub);
        const vf mul_2 = (mdl_set1_vf(0.03125f) * mul_1);
        sum_2 = (sum_2 + mul_2);
    }
    const vf other_7 = mdl_swap_vf(sum_2, 2);
    sum_2 = (sum_2 + other_7);
    const vf other_8 = mdl_swap_vf(sum_2, 1);
    sum_2 = (sum_2 + other_8);
    float sum_3 = mdl_lane0_vf(sum_2);
    const float other_9 = mdl_shfl_xor_f32(sum_3, 16);
    sum_3 = (sum_3 + other_9);
    const float other_10 = mdl_shfl_xor_f32(sum_3, 8);
    sum_3 = (sum_3 + other_10);
    const float other_11 = mdl_shfl_xor_f32(sum_3, 4);
    sum_3 = (sum_3 + other_11);
    const float other_12 = mdl_shfl_xor_f32(sum_3, 2);
    sum_3 = (sum_3 + other_12);
    const float other_13 = mdl_shfl_xor_f32(sum_3, 1);
    sum_3 = (sum_3 + other_13);
    const float add_3 = (sum_3 + 1e-05f);
    const float rsqrt = mdl_rsqrt_f32(add_3);
    for (int64_t r_2 = rank * 4; r_2 < 32; r_2 += 128) {
#line 18 "std/nn.mdl" /* wte */
        const vf wte_weight_3 = mdl_loada_f32(&wte_weight[r_2 + mdl_clamp((int64_t)tokens_1, 256) * 32]);
#line 18 "std/nn.mdl" /* wpe */
        const vf wpe_weight_3 = mdl_loada_f32(&wpe_weight[r_2 + mdl_clamp((int64_t)pos_1, 16) * 32]);
#line 59 "models/gpt2.mdl"
        const vf add_2 = (wte_weight_3 + wpe_weight_3);
#line 26 "std/nn.mdl" /* h.0.ln_1 */
        const vf sub_1 = (add_2 - mdl_set1_vf(sum_1));
        const vf mul_3 = (sub_1 * mdl_set1_vf(rsqrt));
        const vf h_0_ln_1_weight_1 = mdl_loada_f32(&h_0_ln_1_weight[r_2]);
        const vf mul_4 = (mul_3 * h_0_ln_1_weight_1);
        const vf h_0_ln_1_bias_1 = mdl_loada_f32(&h_0_ln_1_bias[r_2]);
        const vf add_4 = (mul_4 + h_0_ln_1_bias_1);
        mdl_storea_f32(&out0[r_2 + task * 32], wte_weight_3);
        mdl_storea_f32(&out1[r_2 + task * 32], wpe_weight_3);
        mdl_storea_f32(&out4[r_2 + task * 32], add_4);
    }
    if (rank == 0) {
        out2[task] = sum_1;
        out3[task] = rsqrt;
    }
}

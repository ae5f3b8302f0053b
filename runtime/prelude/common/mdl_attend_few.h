/* mdl_attend_few.h: attention of a few queries: a stream of some lanes of a warp, a power of two, looks at some keys
 * at once for all rows (heads of a group times queries). Each lane has the same columns of queries, keys, values
 * and outputs, so a key's row of memory is read once, by neighbouring lanes. Scores are s[key][row], the same in all
 * lanes of a stream; queries and outputs [row][pitch]. Used by the GPU and by its emulator; sizes are constants of
 * the kernel's text.
 *
 * What a stream has seen of a row: {largest score, sum of weights}, and outputs of these weights. */
#ifndef MDL_ATTEND_FEW_H
#define MDL_ATTEND_FEW_H

/* The part of this lane of the products of a key, W columns of it; `more`: added to what is there. */
MDL_FN void mdl_few_product(float *s, const float *q, vf key, int rows, int pitch, int more)
{
    MdlV k;
    k.f = key;
    MDL_UNROLL
    for (int r = 0; r < rows; r++) {
        float x = more ? s[r] : 0;
        MDL_UNROLL
        for (int j = 0; j < MDL_W; j++)
            x = mdl_fma_f32(q[r * pitch + j], k.fs[j], x);
        s[r] = x;
    }
}

/* n sums over the lanes of a stream, in all of them. */
MDL_FN void mdl_few_sums(float *s, int n, int lanes)
{
    MDL_UNROLL
    for (int h = lanes / 2; h > 0; h /= 2) {
        MDL_UNROLL
        for (int i = 0; i < n; i++)
            s[i] += mdl_shfl_xor_f32(s[i], h);
    }
}

/* What scores of this largest one are taken relative to: of a row that has seen no key, 0. */
MDL_FN float mdl_few_base(float top, float by)
{
    return top > -3.402823466e+38f ? top * by : 0;
}

MDL_FN float mdl_few_weight(float score, float by, float base)
{
    return mdl_exp2_fast(mdl_fma_f32(score, by, -base));
}

/* Weights in place of the scores of some keys: 2^((score - largest so far) by). What came before shrinks. */
MDL_FN void mdl_few_softmax(float *s, float *top, float *sum, float *out, float by, int keys,
                            int rows, int pitch)
{
    MDL_UNROLL
    for (int r = 0; r < rows; r++) {
        float most = top[r];
        MDL_UNROLL
        for (int i = 0; i < keys; i++)
            most = mdl_larger_fast(s[i * rows + r], most);
        float base = mdl_few_base(most, by), shrink = mdl_few_weight(top[r], by, base);
        float total = sum[r] * shrink;
        MDL_UNROLL
        for (int i = 0; i < keys; i++) {
            s[i * rows + r] = mdl_few_weight(s[i * rows + r], by, base);
            total += s[i * rows + r];
        }
        top[r] = most;
        sum[r] = total;
        MDL_UNROLL
        for (int j = 0; j < pitch; j++)
            out[r * pitch + j] *= shrink;
    }
}

/* out += weights times W columns of a value. */
MDL_FN void mdl_few_values(float *out, const float *weight, vf value, int rows, int pitch)
{
    MdlV v;
    v.f = value;
    MDL_UNROLL
    for (int r = 0; r < rows; r++) {
        MDL_UNROLL
        for (int j = 0; j < MDL_W; j++)
            out[r * pitch + j] = mdl_fma_f32(weight[r], v.fs[j], out[r * pitch + j]);
    }
}

/* Joins what n streams, or splits of the keys, have seen of a row, in their order: {top, sum} at seen[i * apart],
 * W outputs at part[i * wide]; all[0], all[1]: what is seen together. */
MDL_FN vf mdl_few_join(const float *seen, int64_t apart, const float *part, int64_t wide, int64_t n,
                       float by, float *all)
{
    float top = -MDL_INF, sum = 0;
    for (int64_t i = 0; i < n; i++)
        top = mdl_larger_fast(seen[i * apart], top);
    float base = mdl_few_base(top, by);
    vf out = mdl_set1_vf(0);
    for (int64_t i = 0; i < n; i++) {
        float w = mdl_few_weight(seen[i * apart], by, base);
        sum = mdl_fma_f32(seen[i * apart + 1], w, sum);
        out = mdl_fma_vf(mdl_set1_vf(w), mdl_loada_f32(part + i * wide), out);
    }
    all[0] = top;
    all[1] = sum;
    return out;
}

#endif

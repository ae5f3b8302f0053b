/* mdl_lanes.h: what lanes of vectors are asked and told, in operators of vf and vi alone. */
#ifndef MDL_LANES_H
#define MDL_LANES_H

/* A mask from a scalar truth value. */
MDL_FN vi mdl_mask_vi(int x)
{
    return mdl_set1_vi(-(x != 0));
}

/* 0 1 2 ... W-1 */
MDL_FN vi mdl_lane_vi(void)
{
    MdlV v;
    MDL_LANES(i)
    v.is[i] = i;
    return v.i;
}

/* base, base + step, ... */
MDL_FN vi mdl_iota_vi(int64_t base, int64_t step)
{
    return mdl_lane_vi() * (int32_t)step + (int32_t)base;
}

/* Mask of the first n lanes. */
MDL_FN vi mdl_first_vi(int64_t n)
{
    return mdl_lane_vi() < (int32_t)n;
}

/* Mask of the lanes in [lo, hi). */
MDL_FN vi mdl_between_vi(vi x, int64_t lo, int64_t hi)
{
    return (x >= (int32_t)lo) & (x < (int32_t)hi);
}

/* mdl_clamp in every lane. */
MDL_FN vi mdl_clamp_vi(vi i, int64_t extent)
{
    i = i & (i > 0);
    vi last = mdl_set1_vi((int32_t)(extent - 1)), over = i > last;
    return (over & last) | (~over & i);
}

#define MDL_SELECT(suffix, T)                    \
    MDL_FN T mdl_select##suffix(int c, T a, T b) \
    {                                            \
        return c ? a : b;                        \
    }
MDL_SELECT(_f32, float)
MDL_SELECT(_f64, double)
MDL_SELECT(_i32, int32_t)
MDL_SELECT(_i64, int64_t)
MDL_SELECT(_bool, int)

MDL_FN float mdl_lane0_vf(vf x)
{
    return x[0];
}

MDL_FN int32_t mdl_lane0_vi(vi x)
{
    return x[0];
}

/* A W x W tile transposed: row i of the result, for i < n, goes to dst + i * stride. Rows go out
 * whole and in order, so a row may lie over the end of the one before. Rounds h = W/2 .. 1 exchange
 * the off-diagonal blocks of size h; written out, so that rows stay in registers. */
MDL_FN void mdl_transpose_f32(const float *tile, float *dst, int64_t stride, int64_t n)
{
    vf r[MDL_W], t[MDL_W];
    MDL_UNROLL
    for (int i = 0; i < MDL_W; i++)
        r[i] = mdl_load_f32(tile + i * MDL_W);
    MDL_UNROLL
    for (int h = MDL_W / 2; h > 0; h /= 2) {
        MDL_UNROLL
        for (int i = 0; i < MDL_W; i++)
            t[i] = i & h ? mdl_odd_vf(r[i - h], r[i], h) : mdl_even_vf(r[i], r[i + h], h);
        MDL_UNROLL
        for (int i = 0; i < MDL_W; i++)
            r[i] = t[i];
    }
    if (n == MDL_W) {
        MDL_UNROLL
        for (int i = 0; i < MDL_W; i++)
            mdl_store_f32(dst + i * stride, r[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        mdl_store_f32(dst + i * stride, r[i]);
}

#endif

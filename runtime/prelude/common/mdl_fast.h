/* mdl_fast.h: functions of values that are rounded to 16 bits before anything else sees them (codegen/rounded.c), on a
 * GPU: a few instructions instead of mdl_math.h's polynomials, divisions and clamps.
 *
 * Relative errors, by what PTX ISA says of the instructions: ex2 2^-22, rcp and sqrt 2^-23, rsqrt 2^-22.9, div.full 2 ulp.
 * Half a unit of bf16 is at least 2^-9 of a number, of f16 2^-12.
 *
 *   exp      2^-22 + |x| 2^-23.6: x log2 e is rounded, and log2 e is; at most 2^-17, for x near 88
 *   sigmoid  the same and 2^-22.4: of a sum, and of rcp
 *   tanh     2^-18: 1 - 2 / (e^2|x| + 1) is off by 2^-21.7, its least value is 0.12, and by 2^-24 from 2 on; below 1/8
 *            the series' next term is 17/315 x^6 < 2^-22
 *   erf      2^-21: its exponential is less than 0.2 of a result of more than 0.8; the polynomials are mdl_math.h's
 *
 * Results of exp and sigmoid below 2^-126 are 0. Infinities and NaN are as in mdl_math.h. */
#ifndef MDL_FAST_H
#define MDL_FAST_H

/* The instruction in each lane. */
#define MDL_FAST(name, inner)                  \
    MDL_FN vf mdl_##name##_vf(vf x)            \
    {                                          \
        MdlV v = {x};                          \
        MDL_LANES(i)                           \
        v.fs[i] = mdl_##inner##_fast(v.fs[i]); \
        return v.f;                            \
    }
MDL_FAST(fast_exp2, exp2)
MDL_FAST(fast_rcp, rcp)
MDL_FAST(fast_sqrt, sqrt)
MDL_FAST(fast_rsqrt, rsqrt)

MDL_FN vf mdl_fast_exp_vf(vf x)
{
    return mdl_fast_exp2_vf(x * 1.44269504088896341f);
}

MDL_FN vf mdl_fast_sigmoid_vf(vf x)
{
    return mdl_fast_rcp_vf(mdl_fast_exp2_vf(x * -1.44269504088896341f) + 1.0f);
}

MDL_FN vf mdl_fast_tanh_vf(vf x)
{
    vf z = x * x;
    vf p = mdl_fma_vf(z, mdl_set1_vf(0.133333333f), mdl_set1_vf(-0.333333333f));
    vf near = mdl_fma_vf(p * z, x, x);
    vf t = mdl_abs_vf(x); /* else 1 + tanh would be off by a unit of 1 far on the left */
    vf part = mdl_fast_rcp_vf(mdl_fast_exp2_vf(t * 2.88539008177792681f) + 1.0f);
    vf far = mdl_fma_vf(part, mdl_set1_vf(-2.0f), mdl_set1_vf(1.0f));
    far = (vf)((vi)far | ((vi)x & INT32_MIN));
    return mdl_select_vf(t < mdl_set1_vf(0.125f), near, far);
}

MDL_FN vf mdl_fast_erf_vf(vf x)
{
    vf t = mdl_erf_argument_vf(x);
    return mdl_erf_join_vf(x, t, mdl_fast_exp_vf(mdl_erf_log_vf(t)));
}

MDL_FN vf mdl_fast_div_vf(vf x, vf y)
{
    MdlV a = {x}, b = {y};
    MDL_LANES(i)
    a.fs[i] = mdl_fast_div_f32(a.fs[i], b.fs[i]);
    return a.f;
}

MDL_SCALAR(fast_exp)
MDL_SCALAR(fast_exp2)
MDL_SCALAR(fast_sqrt)
MDL_SCALAR(fast_rsqrt)
MDL_SCALAR(fast_sigmoid)
MDL_SCALAR(fast_tanh)
MDL_SCALAR(fast_erf)

#endif

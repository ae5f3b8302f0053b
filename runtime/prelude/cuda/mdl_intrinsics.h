/* mdl_intrinsics.h: what mdl_math.h takes from the compiler; sines, powers and everything in f64 are
 * NVRTC's own. */
#ifndef MDL_INTRINSICS_H
#define MDL_INTRINSICS_H

#define MDL_INF         __int_as_float(0x7f800000)
#define MDL_NAN         __int_as_float(0x7fc00000)
#define MDL_SQRT_F32(x) __fsqrt_rn(x)
#define MDL_SQRT_F64(x) __dsqrt_rn(x)
#define MDL_ABS_F64(x)  fabs(x)

/* 2^x by the instruction: about 2 ulp, and 0 where it would be subnormal. */
MDL_FN float mdl_exp2_fast(float x)
{
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

/* 1 / x: 0 where that would be subnormal, infinite where x is. */
MDL_FN float mdl_rcp_fast(float x)
{
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

/* Of the whole range: divisors near its ends are scaled. */
MDL_FN float mdl_fast_div_f32(float x, float y)
{
    float r;
    asm("div.full.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
    return r;
}

MDL_FN float mdl_sqrt_fast(float x)
{
    float r;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

MDL_FN float mdl_rsqrt_fast(float x)
{
    float r;
    asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

/* One instruction, where a comparison would be two. Of a NaN and a number the number. */
MDL_FN float mdl_larger_fast(float x, float y)
{
    return fmaxf(x, y);
}

#endif

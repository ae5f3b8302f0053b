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

/* One instruction, where a comparison would be two. Of a NaN and a number the number. */
MDL_FN float mdl_larger_fast(float x, float y)
{
    return fmaxf(x, y);
}

#endif

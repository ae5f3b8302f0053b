/* mdl_convert.h: small floats by the conversion instructions of the machine. Numbers and infinities as in
 * mdl_narrow.h; the bits of a NaN are the machine's. */
#ifndef MDL_CONVERT_H
#define MDL_CONVERT_H

#define MDL_OWN_16

MDL_FN float mdl_widen_bf16(uint16_t h)
{
    return __uint_as_float((uint32_t)h << 16);
}

MDL_FN float mdl_widen_f16(uint16_t h)
{
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
}

/* x & mask | over in one instruction; the compiler makes two of two constants. */
MDL_FN uint32_t mdl_masked_over(uint32_t x, uint32_t mask, uint32_t over)
{
    uint32_t r;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(r) : "r"(x), "r"(mask), "r"(over));
    return r;
}

/* The nearest number of 10 bits of fraction, ties away from 0: an operand of tf32. */
MDL_FN uint32_t mdl_round_tf32(float x)
{
    uint32_t r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}

/* Two numbers in one register, `lo` in the lower half: what fragments of matrices hold. */
MDL_FN uint32_t mdl_pack_bf16(float lo, float hi)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}

MDL_FN uint32_t mdl_pack_f16(float lo, float hi)
{
    uint32_t r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}

/* One by the instruction for two: that for one is a quarter as fast. Not on sm_80, where folds of rows have no
 * register to spare, and would spill. */
MDL_FN uint16_t mdl_narrow_bf16(float x)
{
#ifdef MDL_SM90
    return (uint16_t)mdl_pack_bf16(x, 0.0f);
#else
    uint16_t h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
#endif
}

MDL_FN uint16_t mdl_narrow_f16(float x)
{
#ifdef MDL_SM90
    return (uint16_t)mdl_pack_f16(x, 0.0f);
#else
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
#endif
}

#if __CUDA_ARCH__ >= 890
#define MDL_OWN_F8

MDL_FN float mdl_widen_f8e5m2(uint8_t h)
{
    return mdl_widen_f16((uint16_t)(h << 8)); /* its upper half */
}

MDL_FN float mdl_widen_f8e4m3(uint8_t h)
{
    uint32_t two;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(two) : "h"((uint16_t)h));
    return mdl_widen_f16((uint16_t)two);
}

/* The instruction saturates: what rounds above the largest number is put right. */
MDL_FN uint8_t mdl_narrow_f8e5m2(float x)
{
    uint16_t two;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(two) : "f"(0.0f), "f"(x));
    uint32_t bits = __float_as_uint(x), size = bits & 0x7fffffff;
    return (uint8_t)(size >= 0x47700000 && size <= 0x7f800000 ? (bits >> 24 & 0x80) | 0x7c : two);
}

/* No infinity: above 448 there is NaN. */
MDL_FN uint8_t mdl_narrow_f8e4m3(float x)
{
    uint16_t two;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(two) : "f"(0.0f), "f"(x));
    uint32_t bits = __float_as_uint(x);
    return (uint8_t)((bits & 0x7fffffff) > 0x43e80000 ? (bits >> 24 & 0x80) | 0x7f : two);
}
#endif

#endif

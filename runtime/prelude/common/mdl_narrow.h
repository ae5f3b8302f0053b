/* mdl_narrow.h: f16, bf16, f8e4m3 and f8e5m2 to float and back, in integer arithmetic, rounded to nearest
 * even: the same bits as base/dtype.c and PyTorch. A device with instructions for some of them defines
 * MDL_OWN_16 (f16 and bf16) or MDL_OWN_F8 and has its own. */
#ifndef MDL_NARROW_H
#define MDL_NARROW_H

MDL_FN uint32_t mdl_bits_of_f32(float x)
{
    union {
        float f;
        uint32_t i;
    } u = {x};
    return u.i;
}

MDL_FN float mdl_f32_of_bits(uint32_t bits)
{
    union {
        uint32_t i;
        float f;
    } u = {bits};
    return u.f;
}

#ifndef MDL_OWN_16
MDL_FN float mdl_widen_bf16(uint16_t h)
{
    return mdl_f32_of_bits((uint32_t)h << 16);
}

MDL_FN uint16_t mdl_narrow_bf16(float x)
{
    uint32_t i = mdl_bits_of_f32(x);
    if (x != x)
        return (uint16_t)((i >> 16) | 0x40);
    return (uint16_t)((i + 0x7fff + ((i >> 16) & 1)) >> 16);
}

MDL_FN float mdl_widen_f16(uint16_t h)
{
    uint32_t i = (uint32_t)(h & 0x7fff) << 13;
    uint32_t exponent = i & (31u << 23);
    i += (uint32_t)(127 - 15) << 23;
    if (exponent == 31u << 23) {
        i += (uint32_t)(128 - 16) << 23;
    } else if (exponent == 0) {
        i += 1u << 23;
        i = mdl_bits_of_f32(mdl_f32_of_bits(i) - mdl_f32_of_bits(113u << 23)); /* 2^-14 */
    }
    return mdl_f32_of_bits(i | (uint32_t)(h & 0x8000) << 16);
}

MDL_FN uint16_t mdl_narrow_f16(float x)
{
    uint32_t i = mdl_bits_of_f32(x), sign = (i >> 16) & 0x8000;
    i &= 0x7fffffff;
    if (i > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (i >= 0x477ff000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (i < 113u << 23) /* subnormal: the addition rounds to nearest even */
        return (uint16_t)(sign |
                          (mdl_bits_of_f32(mdl_f32_of_bits(i) + 0.5f) - mdl_bits_of_f32(0.5f)));
    uint32_t odd = (i >> 13) & 1;
    i += 0xfff + odd - ((uint32_t)(127 - 15) << 23);
    return (uint16_t)(sign | (i >> 13));
}
#endif

#ifndef MDL_OWN_F8
MDL_FN float mdl_widen_f8e5m2(uint8_t h)
{
    return mdl_widen_f16((uint16_t)(h << 8));
}

/* |x| as `m` mantissa bits behind an exponent whose least normal number is 2^low; in range. */
MDL_FN uint32_t mdl_narrow_f8(uint32_t size, int m, int low)
{
    if (size < (uint32_t)(127 + low) << 23) { /* subnormal: the addition rounds to nearest even */
        uint32_t unit = (uint32_t)(127 + 23 + low - m) << 23;
        return mdl_bits_of_f32(mdl_f32_of_bits(size) + mdl_f32_of_bits(unit)) - unit;
    }
    uint32_t odd = (size >> (23 - m)) & 1;
    return (size + (1u << (22 - m)) - 1 + odd - ((uint32_t)(126 + low) << 23)) >> (23 - m);
}

MDL_FN uint8_t mdl_narrow_f8e5m2(float x)
{
    uint32_t i = mdl_bits_of_f32(x), sign = (i >> 24) & 0x80, size = i & 0x7fffffff;
    if (size >= 0x47700000) /* rounds to 65536 or more, or is NaN */
        return (uint8_t)(sign | (size > 0x7f800000 ? 0x7e : 0x7c));
    return (uint8_t)(sign | mdl_narrow_f8(size, 2, -14));
}

MDL_FN float mdl_widen_f8e4m3(uint8_t h)
{
    uint32_t i = (uint32_t)(h & 0x7f) << 20;
    if (i == 0x7f << 20)
        i = 0x7fc00000;
    else if (i >> 23)
        i += 120u << 23;
    else
        i = mdl_bits_of_f32((float)(h & 7) * 0x1p-9f);
    return mdl_f32_of_bits(i | (uint32_t)(h & 0x80) << 24);
}

/* No infinity: what would round above 448 is NaN. */
MDL_FN uint8_t mdl_narrow_f8e4m3(float x)
{
    uint32_t i = mdl_bits_of_f32(x), sign = (i >> 24) & 0x80, size = i & 0x7fffffff;
    return (uint8_t)(sign | (size > 0x43e80000 ? 0x7f : mdl_narrow_f8(size, 3, -6)));
}
#endif

#endif

/* mdl_narrow.h: f16, bf16, f8e4m3 and f8e5m2 to float and back, in integer arithmetic, rounded to nearest
 * even: the same bits as base/dtype.c and PyTorch. */
#ifndef MDL_NARROW_H
#define MDL_NARROW_H

MDL_FN float mdl_widen_bf16(uint16_t h)
{
    union {
        uint32_t i;
        float f;
    } u = {.i = (uint32_t)h << 16};
    return u.f;
}

MDL_FN uint16_t mdl_narrow_bf16(float x)
{
    union {
        float f;
        uint32_t i;
    } u = {.f = x};
    if (x != x)
        return (uint16_t)((u.i >> 16) | 0x40);
    return (uint16_t)((u.i + 0x7fff + ((u.i >> 16) & 1)) >> 16);
}

MDL_FN float mdl_widen_f16(uint16_t h)
{
    union {
        uint32_t i;
        float f;
    } u, magic = {.i = 113u << 23}; /* 2^-14 */
    u.i = (uint32_t)(h & 0x7fff) << 13;
    uint32_t exponent = u.i & (31u << 23);
    u.i += (uint32_t)(127 - 15) << 23;
    if (exponent == 31u << 23) {
        u.i += (uint32_t)(128 - 16) << 23;
    } else if (exponent == 0) {
        u.i += 1u << 23;
        u.f -= magic.f;
    }
    u.i |= (uint32_t)(h & 0x8000) << 16;
    return u.f;
}

MDL_FN uint16_t mdl_narrow_f16(float x)
{
    union {
        float f;
        uint32_t i;
    } u = {.f = x}, half = {.f = 0.5f};
    uint32_t sign = (u.i >> 16) & 0x8000;
    u.i &= 0x7fffffff;
    if (u.i > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (u.i >= 0x477ff000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (u.i < 113u << 23) { /* subnormal: the addition rounds to nearest even */
        u.f += half.f;
        return (uint16_t)(sign | (u.i - half.i));
    }
    uint32_t odd = (u.i >> 13) & 1;
    u.i += 0xfff + odd - ((uint32_t)(127 - 15) << 23);
    return (uint16_t)(sign | (u.i >> 13));
}

MDL_FN float mdl_widen_f8e5m2(uint8_t h)
{
    return mdl_widen_f16((uint16_t)(h << 8));
}

/* |x| as `m` mantissa bits behind an exponent whose least normal number is 2^low; in range. */
MDL_FN uint32_t mdl_narrow_f8(uint32_t size, int m, int low)
{
    union {
        uint32_t i;
        float f;
    } u = {.i = size}, unit = {.i = (uint32_t)(127 + 23 + low - m) << 23};
    if (size < (uint32_t)(127 + low) << 23) { /* subnormal: the addition rounds to nearest even */
        u.f += unit.f;
        return u.i - unit.i;
    }
    uint32_t odd = (size >> (23 - m)) & 1;
    return (size + (1u << (22 - m)) - 1 + odd - ((uint32_t)(126 + low) << 23)) >> (23 - m);
}

MDL_FN uint8_t mdl_narrow_f8e5m2(float x)
{
    union {
        float f;
        uint32_t i;
    } u = {.f = x};
    uint32_t sign = (u.i >> 24) & 0x80, size = u.i & 0x7fffffff;
    if (size >= 0x47700000) /* rounds to 65536 or more, or is NaN */
        return (uint8_t)(sign | (size > 0x7f800000 ? 0x7e : 0x7c));
    return (uint8_t)(sign | mdl_narrow_f8(size, 2, -14));
}

MDL_FN float mdl_widen_f8e4m3(uint8_t h)
{
    union {
        uint32_t i;
        float f;
    } u = {.i = (uint32_t)(h & 0x7f) << 20};
    if (u.i == 0x7f << 20) {
        u.i = 0x7fc00000;
    } else if (u.i >> 23) {
        u.i += 120u << 23;
    } else {
        u.f = (float)(h & 7) * 0x1p-9f;
    }
    u.i |= (uint32_t)(h & 0x80) << 24;
    return u.f;
}

/* No infinity: what would round above 448 is NaN. */
MDL_FN uint8_t mdl_narrow_f8e4m3(float x)
{
    union {
        float f;
        uint32_t i;
    } u = {.f = x};
    uint32_t sign = (u.i >> 24) & 0x80, size = u.i & 0x7fffffff;
    return (uint8_t)(sign | (size > 0x43e80000 ? 0x7f : mdl_narrow_f8(size, 3, -6)));
}

#endif

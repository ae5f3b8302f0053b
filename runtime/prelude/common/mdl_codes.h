/* mdl_codes.h: integers of 8 and 4 bits as floats, as stored weights are widened, without the instructions that
 * convert: a GPU has few of these a cycle, and a conversion for every weight takes longer than memory. Bits of the
 * integer are put below those of a power of two that is large enough for units of 1, and that is subtracted: no step
 * rounds. Used by the GPU and by its emulator. */
#ifndef MDL_CODES_H
#define MDL_CODES_H

/* Numbers of at most 22 bits, with sign. */
MDL_FN vf mdl_cast_small_vf(vi x)
{
    enum { THREE_HALVES = 0x4b400000 }; /* 1.5 * 2^23 */
    MdlV v;
    v.i = x;
    MDL_LANES(l)
    v.fs[l] = mdl_f32_of_bits((uint32_t)THREE_HALVES + (uint32_t)v.is[l]) - 0x1.8p23f;
    return v.f;
}

/* mdl_nibble_vi as floats. Where `at` is known when compiled it is a mask and a multiplication: the number stays at its
 * place below 2^23, so it counts in units of a power of 16, which is undone while 2^23 is subtracted. */
MDL_FN float mdl_cast_nibble_f32(int32_t code, int at)
{
    uint32_t w = (uint32_t)code ^ 0x88888888u; /* each number is larger by 8, and positive */
    int far = at > 4, shift = (far ? at - 5 : at) * 4;
    uint32_t bits = mdl_masked_over(far ? w >> 20 : w, 15u << shift, 0x4b000000u);
    float unit = mdl_f32_of_bits((uint32_t)(127 - shift) << 23);
    return mdl_fma_f32(mdl_f32_of_bits(bits), unit, -(0x1p23f * unit + 8));
}

MDL_FN vf mdl_cast_nibble_vf(vi code, vi at)
{
    MdlV c, a, v;
    c.i = code;
    a.i = at;
    MDL_LANES(l)
    v.fs[l] = mdl_cast_nibble_f32(c.is[l], a.is[l] & 7);
    return v.f;
}

#endif

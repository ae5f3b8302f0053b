/* mdl_skinny.h: products of up to 16 rows on tensor cores, with the columns of the result as the 16 rows of
 * mma.m16n8k16 (PTX ISA 9.7.14.5.8) and its rows as the 8 columns: so the large operand goes from memory straight to
 * the registers of the lanes that multiply it.
 *
 * The order of the depth is free as long as both operands have the same: of 32 steps a lane has 8 that lie side by
 * side, (lane % 4) * 8 on, in two products of 16. Used by the GPU and by its emulator; sizes are constants of
 * the kernel's text; W is 8. */
#ifndef MDL_SKINNY_H
#define MDL_SKINNY_H

/* Sums of a warp: acc[(m * tiles + t) * 4 + r * 2 + c] is row 8 t + lane % 4 * 2 + c of the result, and of its columns
 * 16 m + 8 r + lane / 4, where the depth lies side by side (along), else lane / 4 * 8 + 2 m + r. */
MDL_FN void mdl_skinny_lay(float *rows, const float *acc, int columns, int tiles, int along)
{
    int lane = mdl_lane(), row = lane % 4 * 2, first = along ? lane / 4 : lane / 4 * 8;
    MDL_UNROLL
    for (int m = 0; m < columns / 16; m++) {
        MDL_UNROLL
        for (int i = 0; i < tiles * 4; i++) {
            int column = first + (along ? 16 * m + i / 2 % 2 * 8 : 2 * m + i / 2 % 2);
            rows[(i / 4 * 8 + row + i % 2) * columns + column] = acc[m * tiles * 4 + i];
        }
    }
}

/* Two floats in one word, in which nothing is rounded: they were read as such numbers. Of bf16 a compiler sees that this
 * is the word that was read. */
MDL_FN uint32_t mdl_taken_bf16(float lo, float hi)
{
    return mdl_bits_of_f32(lo) >> 16 | (mdl_bits_of_f32(hi) & UINT32_C(0xffff0000));
}

MDL_FN uint32_t mdl_taken_f16(float lo, float hi)
{
    return mdl_pack_f16(lo, hi);
}

#define MDL_SKINNY(name)                                                                          \
    /* `taken`: both are read from memory as they are; else they are rounded. */                  \
    MDL_FN uint32_t mdl_skinny_two_##name(float lo, float hi, int taken)                          \
    {                                                                                             \
        return taken ? mdl_taken_##name(lo, hi) : mdl_pack_##name(lo, hi);                        \
    }                                                                                             \
    /* Eight steps of a row as the words of both products. */                                     \
    MDL_FN void mdl_skinny_words_##name(int32_t *w, vf x, int taken)                              \
    {                                                                                             \
        MdlV v;                                                                                   \
        v.f = x;                                                                                  \
        MDL_UNROLL                                                                                \
        for (int i = 0; i < MDL_W / 2; i++)                                                       \
            w[i] = (int32_t)mdl_skinny_two_##name(v.fs[2 * i], v.fs[2 * i + 1], taken);           \
    }                                                                                             \
    /* Eight steps of the columns lane / 4 and lane / 4 + 8 of a tile, by words of the rows. */   \
    MDL_FN void mdl_skinny_along_##name(float *acc, vf low, vf high, const int32_t *x, int tiles, \
                                        int taken)                                                \
    {                                                                                             \
        int32_t up[4], down[4];                                                                   \
        mdl_skinny_words_##name(up, low, taken);                                                  \
        mdl_skinny_words_##name(down, high, taken);                                               \
        MDL_UNROLL                                                                                \
        for (int j = 0; j < 4; j += 2) {                                                          \
            uint32_t a[4] = {(uint32_t)up[j], (uint32_t)down[j], (uint32_t)up[j + 1],             \
                             (uint32_t)down[j + 1]};                                              \
            MDL_UNROLL                                                                            \
            for (int t = 0; t < tiles; t++) {                                                     \
                uint32_t b[2] = {(uint32_t)x[t * 4 + j], (uint32_t)x[t * 4 + j + 1]};             \
                mdl_mma_##name(acc + t * 4, a, b);                                                \
            }                                                                                     \
        }                                                                                         \
    }                                                                                             \
    /* Eight steps of eight columns, [step][column], are four tiles. */                           \
    MDL_FN void mdl_skinny_across_##name(float *acc, const float *w, const int32_t *x, int tiles, \
                                         int taken)                                               \
    {                                                                                             \
        MDL_UNROLL                                                                                \
        for (int m = 0; m < 4; m++) {                                                             \
            MDL_UNROLL                                                                            \
            for (int j = 0; j < 4; j += 2) {                                                      \
                const float *p = w + j * 16 + 2 * m;                                              \
                uint32_t a[4] = {mdl_skinny_two_##name(p[0], p[8], taken),                        \
                                 mdl_skinny_two_##name(p[1], p[9], taken),                        \
                                 mdl_skinny_two_##name(p[16], p[24], taken),                      \
                                 mdl_skinny_two_##name(p[17], p[25], taken)};                     \
                MDL_UNROLL                                                                        \
                for (int t = 0; t < tiles; t++) {                                                 \
                    uint32_t b[2] = {(uint32_t)x[t * 4 + j], (uint32_t)x[t * 4 + j + 1]};         \
                    mdl_mma_##name(acc + (m * tiles + t) * 4, a, b);                              \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
    }
MDL_SKINNY(bf16)
MDL_SKINNY(f16)

#endif

/* mdl_wide.h: a vector whose address is a multiple of its size in memory goes by loads and stores of 4, 8
 * or 16 bytes. Numbers of 16 bits are rounded two at a time. */
#ifndef MDL_WIDE_H
#define MDL_WIDE_H

/* W elements of 4, 2 and 1 bytes. */
typedef struct __align__(16) MdlWords
{
    uint32_t w[MDL_W];
}
MdlWords;

typedef struct __align__(2 * MDL_W) MdlHalves
{
    uint32_t w[MDL_W / 2];
}
MdlHalves;

typedef struct __align__(MDL_W) MdlBytes
{
    uint32_t w[MDL_W / 4];
}
MdlBytes;

/* n words to a multiple of their size or of 16 bytes, as numbers of 128 bits: a struct of words is stored word by
 * word where its address is a sum of three, since the compiler then does not see that they are neighbours. */
MDL_FN void mdl_put_words(void *p, const uint32_t *w, int n)
{
    if (n == 1)
        *(uint32_t *)p = w[0];
    if (n == 2)
        *(uint64_t *)p = w[0] | (uint64_t)w[1] << 32;
    MDL_UNROLL
    for (int i = 0; i + 4 <= n; i += 4) {
        uint64_t lo = w[i] | (uint64_t)w[i + 1] << 32, hi = w[i + 2] | (uint64_t)w[i + 3] << 32;
        ((unsigned __int128 *)p)[i / 4] = lo | (unsigned __int128)hi << 64;
    }
}

/* The bits of element i of `per` in a word, and of x at its place. */
#define MDL_PART(raw, i, per) (raw.w[(i) / (per)] >> ((i) % (per) * (32 / (per))))
#define MDL_PUT(x, i, per) \
    (((uint32_t)(x)&0xffffffffu >> (32 - 32 / (per))) << ((i) % (per) * (32 / (per))))
/* Bits: the type of what GET takes and PUT gives. */
#define MDL_ALIGNED_LOAD(name, Raw, per, T, Bits, V, lane, GET) \
    MDL_FN V mdl_loada_##name(const T *p)                       \
    {                                                           \
        Raw raw = *(const Raw *)p;                              \
        MdlV v;                                                 \
        MDL_LANES(i)                                            \
        v.lane[i] = GET((Bits)MDL_PART(raw, i, per));           \
        return (V)v.i;                                          \
    }
#define MDL_ALIGNED(name, Raw, per, T, Bits, V, lane, GET, PUT)            \
    MDL_ALIGNED_LOAD(name, Raw, per, T, Bits, V, lane, GET)                \
    MDL_FN void mdl_storea_##name(T *p, V x)                               \
    {                                                                      \
        MdlV v;                                                            \
        v.i = (vi)x;                                                       \
        Raw raw;                                                           \
        MDL_LANES(i)                                                       \
        {                                                                  \
            uint32_t part = MDL_PUT(PUT(v.lane[i]), i, per);               \
            raw.w[i / (per)] = i % (per) ? raw.w[i / (per)] | part : part; \
        }                                                                  \
        mdl_put_words(p, raw.w, sizeof raw / 4);                           \
    }
#define MDL_ALIGNED_PAIRS(name)                                                        \
    MDL_ALIGNED_LOAD(name, MdlHalves, 2, uint16_t, uint16_t, vf, fs, mdl_widen_##name) \
    MDL_FN void mdl_storea_##name(uint16_t *p, vf x)                                   \
    {                                                                                  \
        MdlHalves raw;                                                                 \
        MDL_UNROLL                                                                     \
        for (int i = 0; i < MDL_W / 2; i++)                                            \
            raw.w[i] = mdl_pack_##name(x.v[2 * i], x.v[2 * i + 1]);                    \
        mdl_put_words(p, raw.w, sizeof raw / 4);                                       \
    }
MDL_ALIGNED(f32, MdlWords, 1, float, uint32_t, vf, fs, __uint_as_float, __float_as_uint)
MDL_ALIGNED(i32, MdlWords, 1, int32_t, int32_t, vi, is, +, +)
MDL_ALIGNED(bool, MdlBytes, 4, uint8_t, uint8_t, vi, is, -, -)
MDL_ALIGNED(u8, MdlBytes, 4, uint8_t, uint8_t, vi, is, +, +)
MDL_ALIGNED(i8, MdlBytes, 4, int8_t, int8_t, vi, is, +, +)
MDL_ALIGNED(i16, MdlHalves, 2, int16_t, int16_t, vi, is, +, +)
MDL_ALIGNED_PAIRS(bf16)
MDL_ALIGNED_PAIRS(f16)
MDL_ALIGNED(f8e4m3, MdlBytes, 4, uint8_t, uint8_t, vf, fs, mdl_widen_f8e4m3, mdl_narrow_f8e4m3)
MDL_ALIGNED(f8e5m2, MdlBytes, 4, uint8_t, uint8_t, vf, fs, mdl_widen_f8e5m2, mdl_narrow_f8e5m2)

/* Rounded to 16 bits, as f32. */
#if !defined(__CUDA_ARCH__) || defined(MDL_SM90)
#define MDL_OWN_FIT
#define MDL_FIT_PAIRS(name)                                       \
    MDL_FN float mdl_fit_##name##_f32(float x)                    \
    {                                                             \
        return mdl_widen_##name(mdl_narrow_##name(x));            \
    }                                                             \
    MDL_FN vf mdl_fit_##name##_vf(vf x)                           \
    {                                                             \
        MDL_UNROLL                                                \
        for (int i = 0; i < MDL_W; i += 2) {                      \
            uint32_t two = mdl_pack_##name(x.v[i], x.v[i + 1]);   \
            x.v[i] = mdl_widen_##name((uint16_t)two);             \
            x.v[i + 1] = mdl_widen_##name((uint16_t)(two >> 16)); \
        }                                                         \
        return x;                                                 \
    }
MDL_FIT_PAIRS(f16)
MDL_FIT_PAIRS(bf16)
#endif

#endif

/* mdl_vector.h: vectors of MDL_W floats or ints as gcc and clang have them, for the preludes that these
 * compile; the CUDA prelude has structs with the same operators instead.
 *
 * Everything here depends on the machine or on how vectors are made. What follows from operators alone is
 * in mdl_lanes.h, loads and stores of narrow elements in mdl_memory.h. */
#ifndef MDL_VECTOR_H
#define MDL_VECTOR_H

#ifndef MDL_W
#if defined(__AVX512F__)
#define MDL_W 16
#elif defined(__AVX2__)
#define MDL_W 8
#else
#define MDL_W 4
#endif
#endif

#define MDL_LANES(i) for (int i = 0; i < MDL_W; i++)
/* Of the first n lanes; a device whose registers have no addresses unrolls and asks in each. */
#define MDL_FIRST(i, n) for (int64_t i = 0; i < n; i++)

typedef float vf __attribute__((vector_size(4 * MDL_W)));
typedef int32_t vi __attribute__((vector_size(4 * MDL_W)));
typedef float mdl_vfu __attribute__((vector_size(4 * MDL_W), aligned(4), may_alias));
typedef int32_t mdl_viu __attribute__((vector_size(4 * MDL_W), aligned(4), may_alias));

typedef union MdlV {
    vf f;
    vi i;
    float fs[MDL_W];
    int32_t is[MDL_W];
} MdlV;

MDL_FN vf mdl_set1_vf(float x)
{
    return x - (vf){0}; /* keeps -0, which a sum would not */
}

MDL_FN vi mdl_set1_vi(int32_t x)
{
    return (vi){0} + x;
}

MDL_FN vf mdl_select_vf(vi c, vf a, vf b)
{
    return (vf)((c & (vi)a) | (~c & (vi)b));
}

MDL_FN vi mdl_select_vi(vi c, vi a, vi b)
{
    return (c & a) | (~c & b);
}

/* Numbers, not bits: floats must be in the range of the ints. */
MDL_FN vf mdl_convert_vf(vi x)
{
    return __builtin_convertvector(x, vf);
}

MDL_FN vi mdl_convert_vi(vf x)
{
    return __builtin_convertvector(x, vi);
}

/* a * b + c, rounded once where the machine can. */
MDL_FN vf mdl_fma_vf(vf a, vf b, vf c)
{
#if defined(__clang__)
#pragma clang fp contract(fast)
    return a * b + c;
#elif MDL_W == 16 && defined(__AVX512F__)
    return __builtin_ia32_vfmaddps512_mask(a, b, c, (unsigned short)-1, 4);
#elif MDL_W == 8 && defined(__FMA__)
    return __builtin_ia32_vfmaddps256(a, b, c);
#elif MDL_W == 4 && defined(__FMA__)
    return __builtin_ia32_vfmaddps(a, b, c);
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    MdlV r;
    MDL_LANES(i)
    r.fs[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return r.f;
#else
    return a * b + c;
#endif
}

/* a < b ? a : b and a > b ? a : b: b where one of them is NaN. */
#if defined(__x86_64__) && !defined(__clang__) && MDL_W == 16 && defined(__AVX512F__)
#define MDL_LEAST(a, b) __builtin_ia32_minps512_mask(a, b, a, (unsigned short)-1, 4)
#define MDL_MOST(a, b)  __builtin_ia32_maxps512_mask(a, b, a, (unsigned short)-1, 4)
#elif defined(__x86_64__) && !defined(__clang__) && MDL_W == 8 && defined(__AVX__)
#define MDL_LEAST(a, b) __builtin_ia32_minps256(a, b)
#define MDL_MOST(a, b)  __builtin_ia32_maxps256(a, b)
#elif defined(__x86_64__) && !defined(__clang__) && MDL_W == 4
#define MDL_LEAST(a, b) __builtin_ia32_minps(a, b)
#define MDL_MOST(a, b)  __builtin_ia32_maxps(a, b)
#else
#define MDL_LEAST(a, b) mdl_select_vf(a < b, a, b)
#define MDL_MOST(a, b)  mdl_select_vf(a > b, a, b)
#endif
MDL_FN vf mdl_least_vf(vf a, vf b)
{
    return MDL_LEAST(a, b);
}

MDL_FN vf mdl_most_vf(vf a, vf b)
{
    return MDL_MOST(a, b);
}

MDL_FN float mdl_fma_f32(float a, float b, float c)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

#if defined(__x86_64__) && !defined(__clang__) && MDL_W == 16 && defined(__AVX512F__)
MDL_FN vf mdl_sqrt_vf(vf x)
{
    return __builtin_ia32_sqrtps512_mask(x, x, (unsigned short)-1, 4);
}
#elif defined(__x86_64__) && !defined(__clang__) && MDL_W == 8 && defined(__AVX__)
MDL_FN vf mdl_sqrt_vf(vf x)
{
    return __builtin_ia32_sqrtps256(x);
}
#elif defined(__x86_64__) && !defined(__clang__) && MDL_W == 4
MDL_FN vf mdl_sqrt_vf(vf x)
{
    return __builtin_ia32_sqrtps(x);
}
#else
MDL_FN vf mdl_sqrt_vf(vf x)
{
    MDL_LANES(i)
    x[i] = __builtin_sqrtf(x[i]);
    return x;
}
#endif

/* ---- loads and stores of whole words ---- */

MDL_FN vf mdl_load_f32(const float *p)
{
    return *(const mdl_vfu *)p;
}

MDL_FN vi mdl_load_i32(const int32_t *p)
{
    return *(const mdl_viu *)p;
}

/* Bytes, widened by one instruction; gcc makes many of a loop, and of a conversion of vectors. */
#if defined(__clang__) || (MDL_W == 16 && defined(__AVX512F__)) || (MDL_W == 8 && defined(__AVX2__))
#define MDL_OWN_BYTES
#if defined(__clang__)
#define MDL_WIDEN(sign, x) __builtin_convertvector(x, vi)
#elif MDL_W == 16
#define MDL_WIDEN(sign, x) (vi) __builtin_ia32_pmov##sign##xbd512_mask((mdl_v16qi)(x), (vi){0}, -1)
#else
#define MDL_WIDEN(sign, x) \
    (vi) __builtin_ia32_pmov##sign##xbd256((mdl_v16qi)(mdl_v2di){*(const mdl_word *)&(x), 0})
#endif
typedef char mdl_v16qi __attribute__((vector_size(16)));
typedef long long mdl_v2di __attribute__((vector_size(16)));
typedef long long mdl_word __attribute__((aligned(1), may_alias));
#define MDL_BYTES(name, T, sign)                                                        \
    typedef T mdl_##name##u __attribute__((vector_size(MDL_W), aligned(1), may_alias)); \
    MDL_FN vi mdl_load_##name(const T *p)                                               \
    {                                                                                   \
        return MDL_WIDEN(sign, *(const mdl_##name##u *)p);                              \
    }
MDL_BYTES(u8, uint8_t, z)
MDL_BYTES(i8, int8_t, s)
#endif

MDL_FN void mdl_store_f32(float *p, vf x)
{
    *(mdl_vfu *)p = x;
}

MDL_FN void mdl_store_i32(int32_t *p, vi x)
{
    *(mdl_viu *)p = x;
}

#if MDL_W == 16 && defined(__AVX512F__)
#define MDL_MASK(n) ((unsigned short)((1u << (n)) - 1))
MDL_FN vf mdl_loadn_f32(const float *p, int64_t n)
{
    return (vf)__builtin_ia32_loadups512_mask(p, (vf){0}, MDL_MASK(n));
}

MDL_FN vi mdl_loadn_i32(const int32_t *p, int64_t n)
{
    return (vi)__builtin_ia32_loadups512_mask((const float *)p, (vf){0}, MDL_MASK(n));
}

MDL_FN void mdl_storen_f32(float *p, vf x, int64_t n)
{
    __builtin_ia32_storeups512_mask(p, x, MDL_MASK(n));
}

MDL_FN void mdl_storen_i32(int32_t *p, vi x, int64_t n)
{
    __builtin_ia32_storeups512_mask((float *)p, (vf)x, MDL_MASK(n));
}
#else
MDL_FN vf mdl_loadn_f32(const float *p, int64_t n)
{
    MdlV v = {{0}};
    for (int64_t i = 0; i < n; i++)
        v.fs[i] = p[i];
    return v.f;
}

MDL_FN vi mdl_loadn_i32(const int32_t *p, int64_t n)
{
    MdlV v = {{0}};
    for (int64_t i = 0; i < n; i++)
        v.is[i] = p[i];
    return v.i;
}

MDL_FN void mdl_storen_f32(float *p, vf x, int64_t n)
{
    MdlV v = {x};
    for (int64_t i = 0; i < n; i++)
        p[i] = v.fs[i];
}

MDL_FN void mdl_storen_i32(int32_t *p, vi x, int64_t n)
{
    MdlV v = {.i = x};
    for (int64_t i = 0; i < n; i++)
        p[i] = v.is[i];
}
#endif

/* Elements of a mask, see mdl_memory.h; a machine without gathers takes the loops there. */
#if MDL_W == 16 && defined(__AVX512F__) && !defined(__clang__)
#define MDL_OWN_PICK_F32
#define MDL_BITS(mask) ((unsigned short)__builtin_ia32_ptestmd512(mask, mask, (unsigned short)-1))
MDL_FN vf mdl_pick_f32(const float *p, vi at, vi mask)
{
    return __builtin_ia32_gathersiv16sf((vf){0}, p, at, MDL_BITS(mask), 4);
}

MDL_FN vf mdl_loadm_f32(const float *p, vi mask)
{
    return __builtin_ia32_loadups512_mask(p, (vf){0}, MDL_BITS(mask));
}
#elif MDL_W == 8 && defined(__AVX2__) && !defined(__clang__)
#define MDL_OWN_PICK_F32
MDL_FN vf mdl_pick_f32(const float *p, vi at, vi mask)
{
    return __builtin_ia32_gathersiv8sf((vf){0}, p, at, (vf)mask, 4);
}

MDL_FN vf mdl_loadm_f32(const float *p, vi mask)
{
    return __builtin_ia32_maskloadps256((const vf *)p, mask);
}
#endif

/* ---- lanes exchanged ---- */

/* Lanes exchanged at distance h: lane i gets lane i ^ h. Folding a vector takes log2(W) of them. */
MDL_FN vf mdl_swap_vf(vf x, int h)
{
#if MDL_W == 16
    if (h == 8)
        return __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    if (h == 4)
        return __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    if (h == 2)
        return __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    return __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#elif MDL_W == 8
    if (h == 4)
        return __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
    if (h == 2)
        return __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
    return __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
#else
    if (h == 2)
        return __builtin_shufflevector(x, x, 2, 3, 0, 1);
    return __builtin_shufflevector(x, x, 1, 0, 3, 2);
#endif
}

MDL_FN vi mdl_swap_vi(vi x, int h)
{
    return (vi)mdl_swap_vf((vf)x, h);
}

/* Blocks of h lanes are taken from a and b in turn: all the even ones, or all the odd ones. */
#if MDL_W == 16
MDL_FN vf mdl_even_vf(vf a, vf b, int h)
{
    if (h == 8)
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22,
                                       23);
    if (h == 4)
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26,
                                       27);
    if (h == 2)
        return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28,
                                       29);
    return __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
}

MDL_FN vf mdl_odd_vf(vf a, vf b, int h)
{
    if (h == 8)
        return __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29,
                                       30, 31);
    if (h == 4)
        return __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30,
                                       31);
    if (h == 2)
        return __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,
                                       31);
    return __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}
#elif MDL_W == 8
MDL_FN vf mdl_even_vf(vf a, vf b, int h)
{
    if (h == 4)
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    if (h == 2)
        return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
}

MDL_FN vf mdl_odd_vf(vf a, vf b, int h)
{
    if (h == 4)
        return __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    if (h == 2)
        return __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    return __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
}
#else
MDL_FN vf mdl_even_vf(vf a, vf b, int h)
{
    if (h == 2)
        return __builtin_shufflevector(a, b, 0, 1, 4, 5);
    return __builtin_shufflevector(a, b, 0, 4, 2, 6);
}

MDL_FN vf mdl_odd_vf(vf a, vf b, int h)
{
    if (h == 2)
        return __builtin_shufflevector(a, b, 2, 3, 6, 7);
    return __builtin_shufflevector(a, b, 1, 5, 3, 7);
}
#endif

/* ---- memory that will be read, or written ---- */

MDL_FN void mdl_prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

MDL_FN void mdl_prefetch_to_write(const void *p)
{
    __builtin_prefetch(p, 1, 3);
}

#endif

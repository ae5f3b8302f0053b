/* mdl.h: what generated C kernels are written in: the kernel ABI, vectors of W floats, loads and
 * stores, and (mdl_math.h) the arithmetic of every operation. It includes nothing else but
 * <stdint.h>, so that a kernel compiles in milliseconds, and it needs no -ffast-math.
 *
 * Flags: -O2 -fno-math-errno -ffp-contract=off -fwrapv. A fused multiply-add happens only where
 * mdl_fma says so (machines without one multiply and add). Suffixes: _f32 _f64 _i32 _i64 _bool
 * scalars; _vf W floats; _vi W ints, also masks (0 or -1). A lane count n asks for the first n
 * lanes: the others load as 0 and are not stored. */
#ifndef MDL_H
#define MDL_H

#include <stdint.h>

/* ---- kernel ABI (runtime/device.h declares the same layout) ---- */

enum { MDL_ROW_BUFS = 12 };

typedef struct MdlRow {
    void *p[MDL_ROW_BUFS];
    int64_t n, task0;
} MdlRow;

typedef struct MdlArgs {
    void *const *buf;
    const MdlRow *row;
    int64_t nrow;
    const int64_t *block;
    void *workspace;
    int64_t round;
} MdlArgs;

/* The table row that owns a task: the last one whose first task is not behind it. */
static inline const MdlRow *mdl_row(const MdlArgs *a, int64_t task)
{
    int64_t lo = 0, hi = a->nrow;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (a->row[mid].task0 <= task)
            lo = mid;
        else
            hi = mid;
    }
    return a->row + lo;
}

static inline double mdl_slot_f64(const MdlArgs *a, int i)
{
    union {
        int64_t i;
        double f;
    } u = {.i = a->block[i]};
    return u.f;
}

/* ---- vectors ---- */

#ifndef MDL_W
#if defined(__AVX512F__)
#define MDL_W 16
#elif defined(__AVX2__)
#define MDL_W 8
#else
#define MDL_W 4
#endif
#endif

#define MDL_FN static inline __attribute__((always_inline, unused))
/* Kernels are looked up by name whatever the default visibility is. */
#define MDL_KERNEL   __attribute__((visibility("default")))
#define MDL_LANES(i) for (int i = 0; i < MDL_W; i++)

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

/* A mask from a scalar truth value. */
MDL_FN vi mdl_mask_vi(int x)
{
    return mdl_set1_vi(-(x != 0));
}

/* 0 1 2 ... W-1 */
MDL_FN vi mdl_lane_vi(void)
{
    MdlV v;
    MDL_LANES(i)
    v.is[i] = i;
    return v.i;
}

/* base, base + step, ... */
MDL_FN vi mdl_iota_vi(int64_t base, int64_t step)
{
    return mdl_lane_vi() * (int32_t)step + (int32_t)base;
}

/* Mask of the first n lanes. */
MDL_FN vi mdl_first_vi(int64_t n)
{
    return mdl_lane_vi() < (int32_t)n;
}

/* Mask of the lanes in [lo, hi). */
MDL_FN vi mdl_between_vi(vi x, int64_t lo, int64_t hi)
{
    return (x >= (int32_t)lo) & (x < (int32_t)hi);
}

/* mdl_clamp in every lane. */
MDL_FN vi mdl_clamp_vi(vi i, int64_t extent)
{
    i = i & (i > 0);
    vi last = (vi){0} + (int32_t)(extent - 1), over = i > last;
    return (over & last) | (~over & i);
}

MDL_FN vf mdl_select_vf(vi c, vf a, vf b)
{
    return (vf)((c & (vi)a) | (~c & (vi)b));
}

MDL_FN vi mdl_select_vi(vi c, vi a, vi b)
{
    return (c & a) | (~c & b);
}

#define MDL_SELECT(suffix, T)                    \
    MDL_FN T mdl_select##suffix(int c, T a, T b) \
    {                                            \
        return c ? a : b;                        \
    }
MDL_SELECT(_f32, float)
MDL_SELECT(_f64, double)
MDL_SELECT(_i32, int32_t)
MDL_SELECT(_i64, int64_t)
MDL_SELECT(_bool, int)

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

/* ---- loads and stores ---- */

MDL_FN vf mdl_load_f32(const float *p)
{
    return *(const mdl_vfu *)p;
}

MDL_FN vi mdl_load_i32(const int32_t *p)
{
    return *(const mdl_viu *)p;
}

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

/* Narrow storage: u8, i8, i16 hold ints, bool holds a mask as 0/1, f16,
 * bf16, f8e4m3 and f8e5m2 hold floats. */

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

#define MDL_NARROW(name, T, V, lane, GET, PUT)          \
    MDL_FN V mdl_loadn_##name(const T *p, int64_t n)    \
    {                                                   \
        MdlV v = {{0}};                                 \
        for (int64_t i = 0; i < n; i++)                 \
            v.lane[i] = GET(p[i]);                      \
        return (V)v.i;                                  \
    }                                                   \
    MDL_FN V mdl_load_##name(const T *p)                \
    {                                                   \
        return mdl_loadn_##name(p, MDL_W);              \
    }                                                   \
    MDL_FN void mdl_storen_##name(T *p, V x, int64_t n) \
    {                                                   \
        MdlV v = {.i = (vi)x};                          \
        for (int64_t i = 0; i < n; i++)                 \
            p[i] = (T)PUT(v.lane[i]);                   \
    }                                                   \
    MDL_FN void mdl_store_##name(T *p, V x)             \
    {                                                   \
        mdl_storen_##name(p, x, MDL_W);                 \
    }
MDL_NARROW(bool, uint8_t, vi, is, -, -)
MDL_NARROW(u8, uint8_t, vi, is, +, +)
MDL_NARROW(i8, int8_t, vi, is, +, +)
MDL_NARROW(i16, int16_t, vi, is, +, +)
MDL_NARROW(bf16, uint16_t, vf, fs, mdl_widen_bf16, mdl_narrow_bf16)
MDL_NARROW(f16, uint16_t, vf, fs, mdl_widen_f16, mdl_narrow_f16)
MDL_NARROW(f8e4m3, uint8_t, vf, fs, mdl_widen_f8e4m3, mdl_narrow_f8e4m3)
MDL_NARROW(f8e5m2, uint8_t, vf, fs, mdl_widen_f8e5m2, mdl_narrow_f8e5m2)

/* Every `stride`-th element. */
#define MDL_GATHER(name, T, V, lane, GET)                             \
    MDL_FN V mdl_gather_##name(const T *p, int64_t stride, int64_t n) \
    {                                                                 \
        MdlV v = {{0}};                                               \
        for (int64_t i = 0; i < n; i++)                               \
            v.lane[i] = GET(p[i * stride]);                           \
        return (V)v.i;                                                \
    }
#define MDL_SCATTER(name, T, V, lane, PUT)                               \
    MDL_FN void mdl_scatter_##name(T *p, int64_t stride, V x, int64_t n) \
    {                                                                    \
        MdlV v = {.i = (vi)x};                                           \
        for (int64_t i = 0; i < n; i++)                                  \
            p[i * stride] = (T)PUT(v.lane[i]);                           \
    }
#define MDL_STRIDED(name, T, V, lane, GET, PUT) \
    MDL_GATHER(name, T, V, lane, GET)           \
    MDL_SCATTER(name, T, V, lane, PUT)
MDL_STRIDED(f32, float, vf, fs, +, +)
MDL_STRIDED(i32, int32_t, vi, is, +, +)
MDL_STRIDED(bool, uint8_t, vi, is, -, -)
MDL_STRIDED(u8, uint8_t, vi, is, +, +)
MDL_STRIDED(i8, int8_t, vi, is, +, +)
MDL_STRIDED(i16, int16_t, vi, is, +, +)
MDL_STRIDED(bf16, uint16_t, vf, fs, mdl_widen_bf16, mdl_narrow_bf16)
MDL_STRIDED(f16, uint16_t, vf, fs, mdl_widen_f16, mdl_narrow_f16)
MDL_STRIDED(f8e4m3, uint8_t, vf, fs, mdl_widen_f8e4m3, mdl_narrow_f8e4m3)
MDL_STRIDED(f8e5m2, uint8_t, vf, fs, mdl_widen_f8e5m2, mdl_narrow_f8e5m2)

/* Element at[i] of p in the lanes of a mask, 0 in the others: those are not read. loadm: of neighbours. */
#define MDL_PICK(name, T, V, lane, GET)                  \
    MDL_FN V mdl_pick_##name(const T *p, vi at, vi mask) \
    {                                                    \
        MdlV v = {{0}};                                  \
        for (int i = 0; i < MDL_W; i++)                  \
            if (mask[i])                                 \
                v.lane[i] = GET(p[at[i]]);               \
        return (V)v.i;                                   \
    }
#define MDL_LOADM(name, T, V)                           \
    MDL_FN V mdl_loadm_##name(const T *p, vi mask)      \
    {                                                   \
        return mdl_pick_##name(p, mdl_lane_vi(), mask); \
    }
#if MDL_W == 16 && defined(__AVX512F__) && !defined(__clang__)
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
MDL_FN vf mdl_pick_f32(const float *p, vi at, vi mask)
{
    return __builtin_ia32_gathersiv8sf((vf){0}, p, at, (vf)mask, 4);
}

MDL_FN vf mdl_loadm_f32(const float *p, vi mask)
{
    return __builtin_ia32_maskloadps256((const vf *)p, mask);
}
#else
MDL_PICK(f32, float, vf, fs, +)
MDL_LOADM(f32, float, vf)
#endif
MDL_FN vi mdl_pick_i32(const int32_t *p, vi at, vi mask)
{
    return (vi)mdl_pick_f32((const float *)p, at, mask);
}

MDL_FN vi mdl_loadm_i32(const int32_t *p, vi mask)
{
    return (vi)mdl_loadm_f32((const float *)p, mask);
}
#define MDL_PICKS(name, T, V, lane, GET) \
    MDL_PICK(name, T, V, lane, GET)      \
    MDL_LOADM(name, T, V)
MDL_PICKS(bool, uint8_t, vi, is, -)
MDL_PICKS(u8, uint8_t, vi, is, +)
MDL_PICKS(i8, int8_t, vi, is, +)
MDL_PICKS(i16, int16_t, vi, is, +)
MDL_PICKS(bf16, uint16_t, vf, fs, mdl_widen_bf16)
MDL_PICKS(f16, uint16_t, vf, fs, mdl_widen_f16)
MDL_PICKS(f8e4m3, uint8_t, vf, fs, mdl_widen_f8e4m3)
MDL_PICKS(f8e5m2, uint8_t, vf, fs, mdl_widen_f8e5m2)

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

MDL_FN float mdl_lane0_vf(vf x)
{
    return x[0];
}

MDL_FN int32_t mdl_lane0_vi(vi x)
{
    return x[0];
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

/* A W x W tile transposed: row i of the result, for i < n, goes to dst + i * stride. Rows go out
 * whole and in order, so a row may lie over the end of the one before. Rounds h = W/2 .. 1 exchange
 * the off-diagonal blocks of size h; written out, so that rows stay in registers. */
MDL_FN void mdl_transpose_f32(const float *tile, float *dst, int64_t stride, int64_t n)
{
    vf r[MDL_W], t[MDL_W];
#pragma GCC unroll 16
    for (int i = 0; i < MDL_W; i++)
        r[i] = mdl_load_f32(tile + i * MDL_W);
#pragma GCC unroll 5
    for (int h = MDL_W / 2; h > 0; h /= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < MDL_W; i++)
            t[i] = i & h ? mdl_odd_vf(r[i - h], r[i], h) : mdl_even_vf(r[i], r[i + h], h);
#pragma GCC unroll 16
        for (int i = 0; i < MDL_W; i++)
            r[i] = t[i];
    }
    if (n == MDL_W) {
#pragma GCC unroll 16
        for (int i = 0; i < MDL_W; i++)
            mdl_store_f32(dst + i * stride, r[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        mdl_store_f32(dst + i * stride, r[i]);
}

/* ---- memory that will be read, or written ---- */

MDL_FN void mdl_prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

MDL_FN void mdl_prefetch_to_write(const void *p)
{
    __builtin_prefetch(p, 1, 3);
}

/* ---- index arithmetic ---- */

MDL_FN int64_t mdl_lo(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

MDL_FN int64_t mdl_hi(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* An index from a tensor, brought into [0, extent). */
MDL_FN int64_t mdl_clamp(int64_t i, int64_t extent)
{
    return i < 0 ? 0 : i >= extent ? extent - 1 : i;
}

#include "mdl_math.h"
#include "mdl_random.h"

#include "mdl_explog.h"
#include "mdl_sort.h"

#include "mdl_xent.h"

#endif

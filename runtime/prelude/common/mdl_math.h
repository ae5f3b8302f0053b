/* mdl_math.h: the arithmetic of every operation: casts, elementary functions, integers. Included by
 * mdl.h, which declares vectors and suffixes.
 *
 * Elementary functions are written on vectors; the scalar form is lane 0 of the vector form, so both
 * give the same bits. Errors (tests/ops): exp, log, erf <= 1 ulp, tanh <= 1.2, sigmoid <= 2. */
#ifndef MDL_MATH_H
#define MDL_MATH_H

/* ---- casts: floats to ints truncate and saturate, NaN gives 0; bool is x != 0 ---- */

#define MDL_CAST(from, F, to, T)         \
    MDL_FN T mdl_cast_##from##_##to(F x) \
    {                                    \
        return (T)x;                     \
    }
#define MDL_SATURATE(from, F, to, T, lo, hi, LO, HI)                \
    MDL_FN T mdl_cast_##from##_##to(F x)                            \
    {                                                               \
        return x >= (hi) ? HI : x <= (lo) ? LO : x == x ? (T)x : 0; \
    }
MDL_CAST(f32, float, f32, float)
MDL_CAST(f32, float, f64, double)
MDL_CAST(f64, double, f32, float)
MDL_CAST(f64, double, f64, double)
MDL_CAST(i32, int32_t, f32, float)
MDL_CAST(i32, int32_t, f64, double)
MDL_CAST(i32, int32_t, i32, int32_t)
MDL_CAST(i32, int32_t, i64, int64_t)
MDL_CAST(i64, int64_t, f32, float)
MDL_CAST(i64, int64_t, f64, double)
MDL_CAST(i64, int64_t, i64, int64_t)
MDL_CAST(bool, int, f32, float)
MDL_CAST(bool, int, f64, double)
MDL_CAST(bool, int, i32, int32_t)
MDL_CAST(bool, int, i64, int64_t)
MDL_CAST(bool, int, bool, int)
MDL_SATURATE(f32, float, i32, int32_t, -0x1p31f, 0x1p31f, INT32_MIN, INT32_MAX)
MDL_SATURATE(f32, float, i64, int64_t, -0x1p63f, 0x1p63f, INT64_MIN, INT64_MAX)
MDL_SATURATE(f64, double, i32, int32_t, -0x1p31, 2147483647.0, INT32_MIN, INT32_MAX)
MDL_SATURATE(f64, double, i64, int64_t, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX)
MDL_SATURATE(i64, int64_t, i32, int32_t, INT32_MIN, INT32_MAX, INT32_MIN, INT32_MAX)

#define MDL_CAST_BOOL(from, F)             \
    MDL_FN int mdl_cast_##from##_bool(F x) \
    {                                      \
        return x != 0;                     \
    }
MDL_CAST_BOOL(f32, float)
MDL_CAST_BOOL(f64, double)
MDL_CAST_BOOL(i32, int32_t)
MDL_CAST_BOOL(i64, int64_t)

/* Vectors; "mask" is a bool vector. */
MDL_FN vf mdl_cast_vi_vf(vi x)
{
    return mdl_convert_vf(x);
}

MDL_FN vi mdl_cast_vf_vi(vf x)
{
    vi high = x >= mdl_set1_vf(0x1p31f), low = x <= mdl_set1_vf(-0x1p31f);
    vi in = (x == x) & ~high & ~low;
    vi r = mdl_convert_vi((vf)((vi)x & in));
    return r | (high & INT32_MAX) | (low & INT32_MIN);
}

MDL_FN vf mdl_cast_mask_vf(vi m)
{
    return (vf)(m & (vi)mdl_set1_vf(1.0f));
}

MDL_FN vi mdl_cast_mask_vi(vi m)
{
    return -m;
}

MDL_FN vi mdl_cast_vf_mask(vf x)
{
    return x != mdl_set1_vf(0);
}

MDL_FN vi mdl_cast_vi_mask(vi x)
{
    return x != 0;
}

MDL_FN vi mdl_cast_mask_mask(vi m)
{
    return m;
}

MDL_FN vf mdl_cast_vf_vf(vf x)
{
    return x;
}

MDL_FN vi mdl_cast_vi_vi(vi x)
{
    return x;
}

/* Rounds a register value to a narrower storage type. */
#define MDL_FIT_INT(name, lo, hi)                           \
    MDL_FN int32_t mdl_fit_##name##_i32(int32_t x)          \
    {                                                       \
        return x < (lo) ? (lo) : x > (hi) ? (hi) : x;       \
    }                                                       \
    MDL_FN vi mdl_fit_##name##_vi(vi x)                     \
    {                                                       \
        x = mdl_select_vi(x < (lo), mdl_set1_vi(lo), x);    \
        return mdl_select_vi(x > (hi), mdl_set1_vi(hi), x); \
    }
MDL_FIT_INT(i8, -128, 127)
MDL_FIT_INT(u8, 0, 255)
MDL_FIT_INT(i16, -32768, 32767)
/* What the lowest bits of a register value are in a narrower integer type. */
#define MDL_WRAP_INT(name, T, kept)                 \
    MDL_FN int32_t mdl_wrap_##name##_i32(int32_t x) \
    {                                               \
        return (T)x;                                \
    }                                               \
    MDL_FN vi mdl_wrap_##name##_vi(vi x)            \
    {                                               \
        return kept;                                \
    }
MDL_WRAP_INT(i8, int8_t, (x << 24) >> 24)
MDL_WRAP_INT(u8, uint8_t, x & 255)
MDL_WRAP_INT(i16, int16_t, (x << 16) >> 16)
#define MDL_FIT_FLOAT(name)                            \
    MDL_FN float mdl_fit_##name##_f32(float x)         \
    {                                                  \
        return mdl_widen_##name(mdl_narrow_##name(x)); \
    }                                                  \
    MDL_FN vf mdl_fit_##name##_vf(vf x)                \
    {                                                  \
        MdlV v = {x};                                  \
        MDL_LANES(i)                                   \
        v.fs[i] = mdl_fit_##name##_f32(v.fs[i]);       \
        return v.f;                                    \
    }
#ifndef MDL_OWN_FIT
MDL_FIT_FLOAT(f16)
MDL_FIT_FLOAT(bf16)
#endif
MDL_FIT_FLOAT(f8e4m3)
MDL_FIT_FLOAT(f8e5m2)

/* ---- simple arithmetic ---- */

MDL_FN vf mdl_abs_vf(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

/* The larger; NaN wins. */
MDL_FN vf mdl_max_vf(vf a, vf b)
{
    return mdl_select_vf(a != a, a, mdl_most_vf(a, b));
}

MDL_FN vf mdl_min_vf(vf a, vf b)
{
    return mdl_select_vf(a != a, a, mdl_least_vf(a, b));
}

MDL_FN vf mdl_sign_vf(vf x)
{
    vf one = mdl_set1_vf(1.0f), zero = mdl_set1_vf(0);
    return (vf)((vi)one & (x > zero)) - (vf)((vi)one & (x < zero));
}

MDL_FN vi mdl_is_finite_vf(vf x)
{
    return ((vi)x & 0x7f800000) != 0x7f800000;
}

MDL_FN vf mdl_rsqrt_vf(vf x)
{
    return 1.0f / mdl_sqrt_vf(x);
}

/* From 2^23 on every float is an integer. */
MDL_FN vf mdl_trunc_vf(vf x)
{
    vi small = mdl_abs_vf(x) < mdl_set1_vf(0x1p23f);
    vi sign = (vi)x & INT32_MIN;
    vf t = mdl_cast_vi_vf(mdl_convert_vi((vf)((vi)x & small)));
    return mdl_select_vf(small, (vf)((vi)t | sign), x);
}

MDL_FN vf mdl_floor_vf(vf x)
{
    vf t = mdl_trunc_vf(x);
    return t - mdl_cast_mask_vf(t > x);
}

MDL_FN vf mdl_ceil_vf(vf x)
{
    vf t = mdl_trunc_vf(x);
    vi sign = (vi)x & INT32_MIN;
    return (vf)((vi)(t + mdl_cast_mask_vf(t < x)) | sign);
}

MDL_FN vf mdl_round_vf(vf x)
{
    vi small = mdl_abs_vf(x) < mdl_set1_vf(0x1p23f);
    vi sign = (vi)x & INT32_MIN;
    vf r = (mdl_abs_vf(x) + 0x1p23f) - 0x1p23f;
    return mdl_select_vf(small, (vf)((vi)r | sign), x);
}

/* ---- elementary functions ---- */

/* p 2^n for an integer n >= -151, rounded once: in two factors, of which the first is exact. */
MDL_FN vf mdl_scale_vf(vf p, vf n)
{
#if MDL_W == 16 && defined(__AVX512F__) && !defined(__clang__)
    return __builtin_ia32_scalefps512_mask(p, n, p, (unsigned short)-1, 4);
#else
    vi e = mdl_convert_vi(mdl_select_vf(n == n, n, mdl_set1_vf(0)));
    vi half = e >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((e - half + 127) << 23);
#endif
}

/* e^x: Cody-Waite reduction by ln 2 and Cephes' polynomial, <= 1 ulp. Overflow gives inf, underflow
 * goes through the subnormals to 0. */
MDL_FN vf mdl_exp_vf(vf x)
{
    x = mdl_most_vf(mdl_set1_vf(-104.0f), x); /* NaN stays */
    x = mdl_least_vf(mdl_set1_vf(89.0f), x);
    vf n = (x * 1.44269504088896341f + 0x1.8p23f) - 0x1.8p23f;
    vf f = mdl_fma_vf(n, mdl_set1_vf(-0.693359375f), x);
    f = mdl_fma_vf(n, mdl_set1_vf(2.12194440e-4f), f);
    vf p = mdl_set1_vf(1.9875691500e-4f);
    p = mdl_fma_vf(p, f, mdl_set1_vf(1.3981999507e-3f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(8.3334519073e-3f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(4.1665795894e-2f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(1.6666665459e-1f));
    p = mdl_fma_vf(p, f, mdl_set1_vf(5.0000001201e-1f));
    p = mdl_fma_vf(p, f * f, f) + 1.0f;
    return mdl_scale_vf(p, n);
}

/* (log(1 + m) - m + m^2 / 2) / m^3 for sqrt(1/2) <= 1 + m < sqrt(2): Cephes' polynomial. */
MDL_FN vf mdl_log_poly_vf(vf m)
{
    vf p = mdl_set1_vf(7.0376836292e-2f);
    p = mdl_fma_vf(p, m, mdl_set1_vf(-1.1514610310e-1f));
    p = mdl_fma_vf(p, m, mdl_set1_vf(1.1676998740e-1f));
    p = mdl_fma_vf(p, m, mdl_set1_vf(-1.2420140846e-1f));
    p = mdl_fma_vf(p, m, mdl_set1_vf(1.4249322787e-1f));
    p = mdl_fma_vf(p, m, mdl_set1_vf(-1.6668057665e-1f));
    p = mdl_fma_vf(p, m, mdl_set1_vf(2.0000714765e-1f));
    p = mdl_fma_vf(p, m, mdl_set1_vf(-2.4999993993e-1f));
    p = mdl_fma_vf(p, m, mdl_set1_vf(3.3333331174e-1f));
    return p;
}

/* Natural logarithm: x = m 2^e with m in [sqrt(1/2), sqrt(2)), <= 1 ulp. */
MDL_FN vf mdl_log_vf(vf x)
{
    vi tiny = x < mdl_set1_vf(0x1p-126f);
    vf y = mdl_select_vf(tiny, x * 0x1p25f, x);
    vi bits = (vi)y - 0x3f3504f3; /* sqrt(1/2) */
    vi e = bits >> 23;
    vf m = (vf)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
    vf en = mdl_cast_vi_vf(e - (tiny & 25));
    vf z = m * m;
    vf r = mdl_log_poly_vf(m) * m * z;
    r = mdl_fma_vf(en, mdl_set1_vf(-2.12194440e-4f), r);
    r = mdl_fma_vf(z, mdl_set1_vf(-0.5f), r);
    r = mdl_fma_vf(en, mdl_set1_vf(0.693359375f), m + r);
    r = mdl_select_vf(x == mdl_set1_vf(MDL_INF), x, r);
    r = mdl_select_vf(x == mdl_set1_vf(0), mdl_set1_vf(-MDL_INF), r);
    return mdl_select_vf((x < mdl_set1_vf(0)) | (x != x), mdl_set1_vf(MDL_NAN), r);
}

/* 1 / (1 + e^-x); below -88.7 the result is 0 (a subnormal would be exact). */
MDL_FN vf mdl_sigmoid_vf(vf x)
{
    return 1.0f / (1.0f + mdl_exp_vf(-x));
}

/* Odd polynomial near 0, 1 - 2 / (e^2x + 1) beyond (Cephes). */
MDL_FN vf mdl_tanh_vf(vf x)
{
    vf a = mdl_abs_vf(x), z = x * x;
    vf p = mdl_set1_vf(-5.70498872745e-3f);
    p = mdl_fma_vf(p, z, mdl_set1_vf(2.06390887954e-2f));
    p = mdl_fma_vf(p, z, mdl_set1_vf(-5.37397155531e-2f));
    p = mdl_fma_vf(p, z, mdl_set1_vf(1.33314422036e-1f));
    p = mdl_fma_vf(p, z, mdl_set1_vf(-3.33332819422e-1f));
    vf near = mdl_fma_vf(p * z, x, x);
    vf far = 1.0f - 2.0f / (mdl_exp_vf(a + a) + 1.0f);
    far = (vf)((vi)far | ((vi)x & INT32_MIN));
    return mdl_select_vf(a < mdl_set1_vf(0.625f), near, far);
}

/* Error function: odd polynomial below 475/512, 1 - e^q(|x|) beyond; <= 1 ulp (N. Juffa). */
MDL_FN vf mdl_erf_argument_vf(vf x)
{
    return mdl_least_vf(mdl_set1_vf(4.0f), mdl_abs_vf(x));
}

/* q(t) */
MDL_FN vf mdl_erf_log_vf(vf t)
{
    vf s = t * t;
    vf r = mdl_fma_vf(mdl_set1_vf(-1.72853470e-5f), t, mdl_set1_vf(3.83197126e-4f));
    vf u = mdl_fma_vf(mdl_set1_vf(-3.88396438e-3f), t, mdl_set1_vf(2.42546219e-2f));
    r = mdl_fma_vf(r, s, u);
    r = mdl_fma_vf(r, t, mdl_set1_vf(-1.06777877e-1f));
    r = mdl_fma_vf(r, t, mdl_set1_vf(-6.34846687e-1f));
    r = mdl_fma_vf(r, t, mdl_set1_vf(-1.28717512e-1f));
    return mdl_fma_vf(r, t, -t);
}

/* rest: e^q(t) */
MDL_FN vf mdl_erf_join_vf(vf x, vf t, vf rest)
{
    vf s = t * t, far = 1.0f - rest;
    far = (vf)((vi)far | ((vi)x & INT32_MIN));
    vf p = mdl_set1_vf(-5.96761703e-4f);
    p = mdl_fma_vf(p, s, mdl_set1_vf(4.99119423e-3f));
    p = mdl_fma_vf(p, s, mdl_set1_vf(-2.67681349e-2f));
    p = mdl_fma_vf(p, s, mdl_set1_vf(1.12819925e-1f));
    p = mdl_fma_vf(p, s, mdl_set1_vf(-3.76125336e-1f));
    p = mdl_fma_vf(p, s, mdl_set1_vf(1.28379166e-1f));
    vf near = mdl_fma_vf(p, x, x);
    return mdl_select_vf(t > mdl_set1_vf(0.927734375f), far, near);
}

MDL_FN vf mdl_erf_vf(vf x)
{
    vf t = mdl_erf_argument_vf(x);
    return mdl_erf_join_vf(x, t, mdl_exp_vf(mdl_erf_log_vf(t)));
}

#define MDL_BY_LANE(name, call)     \
    MDL_FN vf mdl_##name##_vf(vf x) \
    {                               \
        MdlV v = {x};               \
        MDL_LANES(i)                \
        v.fs[i] = call(v.fs[i]);    \
        return v.f;                 \
    }
MDL_BY_LANE(sin, sinf)
MDL_BY_LANE(cos, cosf)

MDL_FN vf mdl_pow_vf(vf x, vf y)
{
    MdlV a = {x}, b = {y};
    MDL_LANES(i)
    a.fs[i] = powf(a.fs[i], b.fs[i]);
    return a.f;
}

/* ---- scalar forms: lane 0 of the vector form ---- */

#define MDL_SCALAR(name)                           \
    MDL_FN float mdl_##name##_f32(float x)         \
    {                                              \
        return mdl_##name##_vf(mdl_set1_vf(x))[0]; \
    }
MDL_SCALAR(abs)
MDL_SCALAR(sign)
MDL_SCALAR(exp)
MDL_SCALAR(log)
MDL_SCALAR(tanh)
MDL_SCALAR(erf)
MDL_SCALAR(sigmoid)
MDL_SCALAR(trunc)
MDL_SCALAR(floor)
MDL_SCALAR(ceil)
MDL_SCALAR(round)

MDL_FN float mdl_sqrt_f32(float x)
{
    return MDL_SQRT_F32(x);
}

MDL_FN float mdl_rsqrt_f32(float x)
{
    return 1.0f / MDL_SQRT_F32(x);
}

MDL_FN float mdl_sin_f32(float x)
{
    return sinf(x);
}

MDL_FN float mdl_cos_f32(float x)
{
    return cosf(x);
}

MDL_FN float mdl_pow_f32(float x, float y)
{
    return powf(x, y);
}

MDL_FN int mdl_is_finite_f32(float x)
{
    return x - x == 0;
}

#define MDL_F64(name, value)                 \
    MDL_FN double mdl_##name##_f64(double x) \
    {                                        \
        return value;                        \
    }
MDL_F64(abs, MDL_ABS_F64(x))
MDL_F64(sign, (x > 0) - (x < 0))
MDL_F64(exp, exp(x))
MDL_F64(log, log(x))
MDL_F64(sqrt, MDL_SQRT_F64(x))
MDL_F64(rsqrt, 1.0 / MDL_SQRT_F64(x))
MDL_F64(sin, sin(x))
MDL_F64(cos, cos(x))
MDL_F64(tanh, tanh(x))
MDL_F64(erf, erf(x))
MDL_F64(sigmoid, 1.0 / (1.0 + exp(-x)))
MDL_F64(floor, floor(x))
MDL_F64(ceil, ceil(x))
MDL_F64(round, nearbyint(x))
MDL_F64(trunc, trunc(x))
MDL_FN int mdl_is_finite_f64(double x)
{
    return x - x == 0;
}

MDL_FN double mdl_pow_f64(double x, double y)
{
    return pow(x, y);
}

#define MDL_MAXMIN(suffix, T)           \
    MDL_FN T mdl_max##suffix(T a, T b)  \
    {                                   \
        return a > b || a != a ? a : b; \
    }                                   \
    MDL_FN T mdl_min##suffix(T a, T b)  \
    {                                   \
        return a < b || a != a ? a : b; \
    }
MDL_MAXMIN(_f32, float)
MDL_MAXMIN(_f64, double)
MDL_MAXMIN(_i32, int32_t)
MDL_MAXMIN(_i64, int64_t)
MDL_MAXMIN(_bool, int)

/* ---- integers ---- */

/* Floored division and the remainder with the divisor's sign; 0 for a zero divisor. */
#define MDL_INTEGER(suffix, T)                             \
    MDL_FN T mdl_abs##suffix(T a)                          \
    {                                                      \
        return a < 0 ? -a : a;                             \
    }                                                      \
    MDL_FN T mdl_sign##suffix(T a)                         \
    {                                                      \
        return (a > 0) - (a < 0);                          \
    }                                                      \
    MDL_FN T mdl_idiv##suffix(T a, T b)                    \
    {                                                      \
        if (b == 0)                                        \
            return 0;                                      \
        if (b == -1)                                       \
            return -a;                                     \
        return a / b - (a % b != 0 && (a < 0) != (b < 0)); \
    }                                                      \
    MDL_FN T mdl_mod##suffix(T a, T b)                     \
    {                                                      \
        if (b == 0 || b == -1)                             \
            return 0;                                      \
        T r = a % b;                                       \
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;   \
    }                                                      \
    MDL_FN T mdl_not##suffix(T a)                          \
    {                                                      \
        return ~a;                                         \
    }
/* Number b of the eight numbers of 4 bits, in two's complement, in the low 32 bits of a: to the top, and
 * back with copies of the sign. */
MDL_FN int32_t mdl_nibble_i32(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a << (28 - 4 * (b & 7))) >> 28;
}

MDL_FN int64_t mdl_nibble_i64(int64_t a, int64_t b)
{
    return mdl_nibble_i32((int32_t)a, (int32_t)b);
}

MDL_FN vi mdl_nibble_vi(vi a, vi b)
{
    return (a << (28 - 4 * (b & 7))) >> 28;
}

MDL_INTEGER(_i32, int32_t)
MDL_INTEGER(_i64, int64_t)

MDL_FN int mdl_not_bool(int a)
{
    return !a;
}

MDL_FN vi mdl_not_vi(vi a)
{
    return ~a;
}

MDL_FN vi mdl_abs_vi(vi a)
{
    return mdl_select_vi(a < 0, -a, a);
}

MDL_FN vi mdl_sign_vi(vi a)
{
    return (a < 0) - (a > 0);
}

MDL_FN vi mdl_max_vi(vi a, vi b)
{
    return mdl_select_vi(a > b, a, b);
}

MDL_FN vi mdl_min_vi(vi a, vi b)
{
    return mdl_select_vi(a < b, a, b);
}

#define MDL_VI_BY_LANE(name)                          \
    MDL_FN vi mdl_##name##_vi(vi x, vi y)             \
    {                                                 \
        MdlV a, b;                                    \
        a.i = x;                                      \
        b.i = y;                                      \
        MDL_LANES(i)                                  \
        a.is[i] = mdl_##name##_i32(a.is[i], b.is[i]); \
        return a.i;                                   \
    }
MDL_VI_BY_LANE(idiv)
MDL_VI_BY_LANE(mod)

#endif

/* mdl_lane_struct.h: vectors of MDL_W floats or ints in the registers of one thread: structs with the
 * operators that gcc's vectors have, so that mdl_math.h compiles for both. A comparison gives a mask, 0 or
 * -1 a lane; a cast between vf and vi keeps the bits. */
#ifndef MDL_LANE_STRUCT_H
#define MDL_LANE_STRUCT_H

#ifndef MDL_W
#define MDL_W 4
#endif

/* See mdl_wide.h. */
#define MDL_OWN_ALIGNED
#define MDL_LANES(i) MDL_UNROLL for (int i = 0; i < MDL_W; i++)
/* Of the first n lanes. Registers have no addresses: every lane is asked. */
#define MDL_FIRST(i, n) \
    MDL_LANES(i)        \
    if (i < (n))
#define MDL_METHOD __device__ __forceinline__

struct vi;

struct vf {
    float v[MDL_W];

    MDL_METHOD float &operator[](int i)
    {
        return v[i];
    }
    MDL_METHOD float operator[](int i) const
    {
        return v[i];
    }
    MDL_METHOD explicit operator vi() const;
};

struct vi {
    int32_t v[MDL_W];

    MDL_METHOD int32_t &operator[](int i)
    {
        return v[i];
    }
    MDL_METHOD int32_t operator[](int i) const
    {
        return v[i];
    }
    MDL_METHOD explicit operator vf() const
    {
        vf r;
        MDL_LANES(i)
        r.v[i] = __int_as_float(v[i]);
        return r;
    }
};

MDL_METHOD vf::operator vi() const
{
    vi r;
    MDL_LANES(i)
    r.v[i] = __float_as_int(v[i]);
    return r;
}

typedef union MdlV {
    vf f;
    vi i;
    float fs[MDL_W];
    int32_t is[MDL_W];
} MdlV;

MDL_FN vf mdl_set1_vf(float x)
{
    vf r;
    MDL_LANES(i)
    r.v[i] = x;
    return r;
}

MDL_FN vi mdl_set1_vi(int32_t x)
{
    vi r;
    MDL_LANES(i)
    r.v[i] = x;
    return r;
}

/* result[i] = expression of a[i] and b[i]; b, or a, may be one number for all lanes. */
#define MDL_BINARY(R, V, T, op, sign)    \
    MDL_FN R operator op(V a, V b)       \
    {                                    \
        R r;                             \
        MDL_LANES(i)                     \
        r.v[i] = sign(a.v[i] op b.v[i]); \
        return r;                        \
    }                                    \
    MDL_FN R operator op(V a, T b)       \
    {                                    \
        R r;                             \
        MDL_LANES(i)                     \
        r.v[i] = sign(a.v[i] op b);      \
        return r;                        \
    }                                    \
    MDL_FN R operator op(T a, V b)       \
    {                                    \
        R r;                             \
        MDL_LANES(i)                     \
        r.v[i] = sign(a op b.v[i]);      \
        return r;                        \
    }
#define MDL_UNARY(V, op)      \
    MDL_FN V operator op(V a) \
    {                         \
        V r;                  \
        MDL_LANES(i)          \
        r.v[i] = op(a.v[i]);  \
        return r;             \
    }
#define MDL_COMPARE(V, T)       \
    MDL_BINARY(vi, V, T, <, -)  \
    MDL_BINARY(vi, V, T, >, -)  \
    MDL_BINARY(vi, V, T, <=, -) \
    MDL_BINARY(vi, V, T, >=, -) \
    MDL_BINARY(vi, V, T, ==, -) \
    MDL_BINARY(vi, V, T, !=, -)
MDL_BINARY(vf, vf, float, +, +)
MDL_BINARY(vf, vf, float, -, +)
MDL_BINARY(vf, vf, float, *, +)
MDL_BINARY(vf, vf, float, /, +)
MDL_UNARY(vf, -)
MDL_COMPARE(vf, float)
MDL_BINARY(vi, vi, int32_t, /, +)
MDL_BINARY(vi, vi, int32_t, %, +)
MDL_BINARY(vi, vi, int32_t, &, +)
MDL_BINARY(vi, vi, int32_t, |, +)
MDL_BINARY(vi, vi, int32_t, ^, +)
MDL_BINARY(vi, vi, int32_t, >>, +)
MDL_UNARY(vi, ~)
MDL_COMPARE(vi, int32_t)

/* Signed overflow wraps, as -fwrapv has it for gcc. */
#define MDL_WRAPPING(op)                                          \
    MDL_FN vi operator op(vi a, vi b)                             \
    {                                                             \
        vi r;                                                     \
        MDL_LANES(i)                                              \
        r.v[i] = (int32_t)((uint32_t)a.v[i] op(uint32_t) b.v[i]); \
        return r;                                                 \
    }                                                             \
    MDL_FN vi operator op(vi a, int32_t b)                        \
    {                                                             \
        return a op mdl_set1_vi(b);                               \
    }                                                             \
    MDL_FN vi operator op(int32_t a, vi b)                        \
    {                                                             \
        return mdl_set1_vi(a) op b;                               \
    }
MDL_WRAPPING(+)
MDL_WRAPPING(-)
MDL_WRAPPING(*)
MDL_WRAPPING(<<)

MDL_FN vi operator-(vi a)
{
    return mdl_set1_vi(0) - a;
}

/* c has all or no bits in each lane. */
MDL_FN vf mdl_select_vf(vi c, vf a, vf b)
{
    vf r;
    MDL_LANES(i)
    r.v[i] = c.v[i] ? a.v[i] : b.v[i];
    return r;
}

MDL_FN vi mdl_select_vi(vi c, vi a, vi b)
{
    vi r;
    MDL_LANES(i)
    r.v[i] = c.v[i] ? a.v[i] : b.v[i];
    return r;
}

/* Numbers, not bits: floats must be in the range of the ints. */
MDL_FN vf mdl_convert_vf(vi x)
{
    vf r;
    MDL_LANES(i)
    r.v[i] = (float)x.v[i];
    return r;
}

MDL_FN vi mdl_convert_vi(vf x)
{
    vi r;
    MDL_LANES(i)
    r.v[i] = (int32_t)x.v[i];
    return r;
}

/* a * b + c, rounded once. */
MDL_FN float mdl_fma_f32(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}

MDL_FN vf mdl_fma_vf(vf a, vf b, vf c)
{
    vf r;
    MDL_LANES(i)
    r.v[i] = __fmaf_rn(a.v[i], b.v[i], c.v[i]);
    return r;
}

/* a < b ? a : b and a > b ? a : b: b where one of them is NaN. */
MDL_FN vf mdl_least_vf(vf a, vf b)
{
    return mdl_select_vf(a < b, a, b);
}

MDL_FN vf mdl_most_vf(vf a, vf b)
{
    return mdl_select_vf(a > b, a, b);
}

MDL_FN vf mdl_sqrt_vf(vf x)
{
    MDL_LANES(i)
    x.v[i] = __fsqrt_rn(x.v[i]);
    return x;
}

/* ---- loads and stores of whole words, at any multiple of 4 bytes ---- */

#define MDL_WORDS(name, T, V)                           \
    MDL_FN V mdl_load_##name(const T *p)                \
    {                                                   \
        V r;                                            \
        MDL_LANES(i)                                    \
        r.v[i] = p[i];                                  \
        return r;                                       \
    }                                                   \
    MDL_FN V mdl_loadn_##name(const T *p, int64_t n)    \
    {                                                   \
        V r;                                            \
        MDL_LANES(i)                                    \
        r.v[i] = i < n ? p[i] : 0;                      \
        return r;                                       \
    }                                                   \
    MDL_FN void mdl_store_##name(T *p, V x)             \
    {                                                   \
        MDL_LANES(i)                                    \
        p[i] = x.v[i];                                  \
    }                                                   \
    MDL_FN void mdl_storen_##name(T *p, V x, int64_t n) \
    {                                                   \
        MDL_FIRST(i, n)                                 \
        p[i] = x.v[i];                                  \
    }
MDL_WORDS(f32, float, vf)
MDL_WORDS(i32, int32_t, vi)

/* ---- lanes exchanged: registers are only renamed where h is known ---- */

/* Lane i gets lane i ^ h. */
MDL_FN vf mdl_swap_vf(vf x, int h)
{
    vf r;
    MDL_LANES(i)
    r.v[i] = h == 1 ? x.v[i ^ 1] : h == 2 ? x.v[(i ^ 2) % MDL_W] : x.v[(i ^ 4) % MDL_W];
    return r;
}

MDL_FN vi mdl_swap_vi(vi x, int h)
{
    return (vi)mdl_swap_vf((vf)x, h);
}

/* Blocks of h lanes are taken from a and b in turn: all the even ones, or all the odd ones. */
MDL_FN vf mdl_even_vf(vf a, vf b, int h)
{
    vf from_b = mdl_swap_vf(b, h), r;
    MDL_LANES(i)
    r.v[i] = i & h ? from_b.v[i] : a.v[i];
    return r;
}

MDL_FN vf mdl_odd_vf(vf a, vf b, int h)
{
    vf from_a = mdl_swap_vf(a, h), r;
    MDL_LANES(i)
    r.v[i] = i & h ? b.v[i] : from_a.v[i];
    return r;
}

#endif

/* rowloops.c: the loops of rowprog.c over blocks of doubles, and from and to the types of files and
 * fields. Each is one plain loop over contiguous memory, which compilers vectorise. */
#include "rowloops.h"
#include <math.h>

/* ---- loops over doubles: array with array, with one number, one number with array ---- */

#define PAIRWISE(name, expr)                                                                 \
    static void name##_vv(double *restrict out, const double *a, const double *b, int64_t n) \
    {                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                    \
            double x = a[i], y = b[i];                                                       \
            out[i] = (expr);                                                                 \
        }                                                                                    \
    }                                                                                        \
    static void name##_vs(double *restrict out, const double *a, const double *b, int64_t n) \
    {                                                                                        \
        double y = b[0];                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                    \
            double x = a[i];                                                                 \
            out[i] = (expr);                                                                 \
        }                                                                                    \
    }                                                                                        \
    static void name##_sv(double *restrict out, const double *a, const double *b, int64_t n) \
    {                                                                                        \
        double x = a[0];                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                    \
            double y = b[i];                                                                 \
            out[i] = (expr);                                                                 \
        }                                                                                    \
    }

#define UNARY(name, expr)                   \
    static void name(double *at, int64_t n) \
    {                                       \
        for (int64_t i = 0; i < n; i++) {   \
            double x = at[i];               \
            at[i] = (expr);                 \
        }                                   \
    }

#define ROWOP(id, name, pops, doc)
#define ROWUNARY(id, name, expr, doc) UNARY(unary_##id, expr)
#define ROWPAIR(id, name, expr, doc)  PAIRWISE(pair_##id, expr)
#include "rowops.def"

const RowPair row_pairs[RO_COUNT] = {
#define ROWUNARY(id, name, expr, doc)
#define ROWPAIR(id, name, expr, doc) [RO_##id] = {pair_##id##_vv, pair_##id##_vs, pair_##id##_sv},
#include "rowops.def"
};

RowUnaryFn *const row_units[RO_COUNT] = {
#define ROWUNARY(id, name, expr, doc) [RO_##id] = unary_##id,
#define ROWPAIR(id, name, expr, doc)
#include "rowops.def"
};
#undef ROWOP

/* ---- loading and storing ---- */

/* Elements of a file have no alignment; memcpy compiles to plain loads. */
#define LOADER(name, T)                                                      \
    static void load_##name(double *restrict out, const void *in, int64_t n) \
    {                                                                        \
        const uint8_t *from = in;                                            \
        for (int64_t i = 0; i < n; i++) {                                    \
            T value;                                                         \
            memcpy(&value, from + (size_t)i * sizeof value, sizeof value);   \
            out[i] = (double)value;                                          \
        }                                                                    \
    }
LOADER(f64, double)
LOADER(f32, float)
LOADER(i64, int64_t)
LOADER(i32, int32_t)
LOADER(i16, int16_t)
LOADER(i8, int8_t)
LOADER(u8, uint8_t)

static void load_bool(double *out, const void *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = ((const uint8_t *)in)[i] != 0;
}

static void load_half(DType dtype, double *out, const void *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, (const uint8_t *)in + i * 2, sizeof bits);
        out[i] = dtype_load(dtype, &bits, 0);
    }
}

static void load_f8(DType dtype, double *out, const void *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = dtype_load(dtype, in, (size_t)i);
}

static void load_f8e4m3(double *out, const void *in, int64_t n)
{
    load_f8(DT_F8E4M3, out, in, n);
}

static void load_f8e5m2(double *out, const void *in, int64_t n)
{
    load_f8(DT_F8E5M2, out, in, n);
}

static void load_f16(double *out, const void *in, int64_t n)
{
    load_half(DT_F16, out, in, n);
}

static void load_bf16(double *out, const void *in, int64_t n)
{
    load_half(DT_BF16, out, in, n);
}

RowLoadFn *const row_loaders[DT_COUNT] = {
    [DT_F64] = load_f64,   [DT_F32] = load_f32,       [DT_F16] = load_f16,
    [DT_BF16] = load_bf16, [DT_I64] = load_i64,       [DT_I32] = load_i32,
    [DT_I16] = load_i16,   [DT_I8] = load_i8,         [DT_U8] = load_u8,
    [DT_BOOL] = load_bool, [DT_F8E4M3] = load_f8e4m3, [DT_F8E5M2] = load_f8e5m2};

static void store_f32(float *restrict out, const double *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)in[i];
}

/* dtype_store saturates and rounds; a value that this changes is a mistake in the data. The index
 * of the first such value, or n. */
static int64_t store_exactly(DType dtype, void *out, const double *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        dtype_store(dtype, out, (size_t)i, in[i]);
        if (dtype_load(dtype, out, (size_t)i) != in[i])
            return i;
    }
    return n;
}

int64_t row_store(DType dtype, void *out, const double *in, int64_t n)
{
    if (dtype == DT_F32) {
        store_f32(out, in, n);
        return n;
    }
    if (!dtype_is_float(dtype))
        return store_exactly(dtype, out, in, n);
    for (int64_t i = 0; i < n; i++)
        dtype_store(dtype, out, (size_t)i, in[i]);
    return n;
}

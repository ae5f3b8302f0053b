/* dtype.c: facts and conversions of element types, from dtype.def.
 *
 * The small floats are converted by arithmetic on doubles, rounding once to nearest even, so that
 * this is the oracle that faster conversions are compared with. f8e4m3 has no infinity (its last
 * exponent holds numbers up to 448, and NaN): what is too large becomes NaN, as in OCP's FP8. */
#include "dtype.h"
#include <math.h>

static const DTypeInfo infos[] = {
#define DTYPE(id, name, bytes, kind, st, c, unit) {name, bytes, DK_##kind, st, c, unit},
#include "dtype.def"
#undef DTYPE
};

const DTypeInfo *dtype_info(DType dt)
{
    ASSERT((unsigned)dt < DT_COUNT);
    return &infos[dt];
}

bool dtype_is_float(DType dt)
{
    return dtype_info(dt)->kind == DK_FLOAT;
}

bool dtype_is_half(DType dt)
{
    return dtype_is_float(dt) && dtype_info(dt)->bytes == 2;
}

bool dtype_is_int(DType dt)
{
    return dtype_info(dt)->kind == DK_INT;
}

bool dtype_find(const char *name, DType *out)
{
    for (size_t i = 0; i < COUNT(infos); i++) {
        if (strcmp(infos[i].name, name) == 0) {
            *out = (DType)i;
            return true;
        }
    }
    return false;
}

bool dtype_find_safetensors(const char *name, DType *out)
{
    for (size_t i = 0; i < COUNT(infos); i++) {
        if (strcmp(infos[i].safetensors, name) == 0) {
            *out = (DType)i;
            return true;
        }
    }
    return false;
}

/* A small binary float: sign, exponent field, mantissa field. `low` is the exponent of the least
 * normal number. */
typedef struct Format {
    int exponent_bits, mantissa_bits, low;
    bool finite; /* the last exponent is one like others, but for its last mantissa, which is NaN */
} Format;

static const Format format_f16 = {5, 10, -14, false};
static const Format format_bf16 = {8, 7, -126, false};
static const Format format_f8e4m3 = {4, 3, -6, true};
static const Format format_f8e5m2 = {5, 2, -14, false};

static double decode(Format f, uint32_t bits)
{
    int top = (1 << f.exponent_bits) - 1, all = (1 << f.mantissa_bits) - 1;
    int mantissa = (int)bits & all;
    int field = (int)(bits >> f.mantissa_bits) & top;
    double sign = bits >> (f.mantissa_bits + f.exponent_bits) ? -1.0 : 1.0;
    if (field == top && f.finite ? mantissa == all : field == top && mantissa)
        return (double)NAN;
    if (field == top && !f.finite)
        return sign * (double)INFINITY;
    if (field == 0)
        return sign * ldexp(mantissa, f.low - f.mantissa_bits);
    return sign * ldexp(mantissa + (1 << f.mantissa_bits), field - 1 + f.low - f.mantissa_bits);
}

/* With q the value in units of the last place, the pattern is (e - low) << mantissa_bits + q: the
 * hidden bit of q raises the exponent field by one, and so does a carry of the rounding. */
static uint32_t encode(Format f, double value)
{
    uint32_t sign = signbit(value) ? 1u << (f.mantissa_bits + f.exponent_bits) : 0;
    uint32_t all = (1u << (f.mantissa_bits + f.exponent_bits)) - 1; /* of the finite kind: NaN */
    uint32_t infinity = f.finite ? all : ((1u << f.exponent_bits) - 1) << f.mantissa_bits;
    if (isnan(value))
        return sign | infinity | 1u << (f.mantissa_bits - 1);
    double size = fabs(value);
    if (size == 0)
        return sign;
    if (isinf(size))
        return sign | infinity;
    int e = ilogb(size);
    if (e < f.low)
        e = f.low;
    if (e > f.low + (1 << f.exponent_bits))
        return sign | infinity;
    double q = nearbyint(ldexp(size, f.mantissa_bits - e));
    uint32_t bits = ((uint32_t)(e - f.low) << f.mantissa_bits) + (uint32_t)q;
    return sign | (bits < infinity ? bits : infinity);
}

#define LOAD(T)                                                \
    do {                                                       \
        T element;                                             \
        memcpy(&element, (const T *)data + i, sizeof element); \
        return (double)element;                                \
    } while (0)

static uint32_t pattern16(const void *data, size_t i)
{
    uint16_t half;
    memcpy(&half, (const char *)data + sizeof half * i, sizeof half);
    return half;
}

double dtype_load(DType dt, const void *data, size_t i)
{
    switch (dt) {
    case DT_F64:
        LOAD(double);
    case DT_F32:
        LOAD(float);
    case DT_F16:
        return decode(format_f16, pattern16(data, i));
    case DT_BF16:
        return decode(format_bf16, pattern16(data, i));
    case DT_F8E4M3:
        return decode(format_f8e4m3, ((const uint8_t *)data)[i]);
    case DT_F8E5M2:
        return decode(format_f8e5m2, ((const uint8_t *)data)[i]);
    case DT_I64:
        LOAD(int64_t);
    case DT_I32:
        LOAD(int32_t);
    case DT_I16:
        LOAD(int16_t);
    case DT_I8:
        LOAD(int8_t);
    case DT_U8:
    case DT_BOOL:
        LOAD(uint8_t);
    case DT_COUNT:
        break;
    }
    BUG("no element type %d", (int)dt);
}

/* Rounded to nearest even and clamped; NaN is 0. The limits are exact doubles except INT64_MAX,
 * whose double is one above: hence the >= below. */
static int64_t to_int(double value, int64_t lo, int64_t hi)
{
    if (isnan(value))
        return 0;
    double rounded = nearbyint(value);
    if (rounded >= (double)hi)
        return hi;
    if (rounded <= (double)lo)
        return lo;
    return (int64_t)rounded;
}

#define STORE(T, value)                                  \
    do {                                                 \
        T element = (T)(value);                          \
        memcpy((T *)data + i, &element, sizeof element); \
        return;                                          \
    } while (0)

void dtype_store(DType dt, void *data, size_t i, double value)
{
    switch (dt) {
    case DT_F64:
        STORE(double, value);
    case DT_F32:
        STORE(float, value);
    case DT_F16:
        STORE(uint16_t, encode(format_f16, value));
    case DT_BF16:
        STORE(uint16_t, encode(format_bf16, value));
    case DT_F8E4M3:
        STORE(uint8_t, encode(format_f8e4m3, value));
    case DT_F8E5M2:
        STORE(uint8_t, encode(format_f8e5m2, value));
    case DT_I64:
        STORE(int64_t, to_int(value, INT64_MIN, INT64_MAX));
    case DT_I32:
        STORE(int32_t, to_int(value, INT32_MIN, INT32_MAX));
    case DT_I16:
        STORE(int16_t, to_int(value, INT16_MIN, INT16_MAX));
    case DT_I8:
        STORE(int8_t, to_int(value, INT8_MIN, INT8_MAX));
    case DT_U8:
        STORE(uint8_t, to_int(value, 0, UINT8_MAX));
    case DT_BOOL:
        STORE(uint8_t, value != 0);
    case DT_COUNT:
        break;
    }
    BUG("no element type %d", (int)dt);
}

/* eval_elem.c: the elementwise operations on one element, in f64.
 *
 * These functions are the meaning of the operations: the interpreter, constant folding and the
 * kernels' tests all compare against them. Operands that an operation does not have are ignored. */
#include "eval.h"

#define UNARY(name, expr)                            \
    double eval_##name(double a, double b, double c) \
    {                                                \
        UNUSED(b);                                   \
        UNUSED(c);                                   \
        return (expr);                               \
    }
#define BINARY(name, expr)                           \
    double eval_##name(double a, double b, double c) \
    {                                                \
        UNUSED(c);                                   \
        return (expr);                               \
    }

UNARY(neg, -a)
UNARY(abs, fabs(a))
UNARY(sign, (double)(a > 0) - (double)(a < 0))
UNARY(exp, exp(a))
UNARY(exp2, exp2(a))
UNARY(expm1, expm1(a))
UNARY(log, log(a))
UNARY(log2, log2(a))
UNARY(log1p, log1p(a))
UNARY(sqrt, sqrt(a))
UNARY(rsqrt, 1 / sqrt(a))
UNARY(sin, sin(a))
UNARY(cos, cos(a))
UNARY(tanh, tanh(a))
UNARY(erf, erf(a))
UNARY(sigmoid, 1 / (1 + exp(-a)))
UNARY(floor, floor(a))
UNARY(ceil, ceil(a))
UNARY(trunc, trunc(a))
UNARY(is_finite, isfinite(a) ? 1 : 0)
UNARY(not, a == 0)
UNARY(same, a)

/* Ties to even without depending on the thread's rounding mode. */
double eval_round(double a, double b, double c)
{
    UNUSED(b);
    UNUSED(c);
    double low = floor(a);
    double rest = a - low;
    if (rest == 0.5)
        return copysign(fmod(low, 2) == 0 ? low : low + 1, a);
    return copysign(rest < 0.5 ? low : low + 1, a);
}

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(div, a / b)
BINARY(pow, pow(a, b))
BINARY(max, isnan(a) || isnan(b) ? a + b : (a > b ? a : b))
BINARY(min, isnan(a) || isnan(b) ? a + b : (a < b ? a : b))
BINARY(eq, a == b)
BINARY(ne, a != b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(and, a != 0 && b != 0)
BINARY(or, a != 0 || b != 0)

double eval_mul(double a, double b, double c)
{
    UNUSED(c);
    return a * b;
}

/* In integers where they fit: a quotient of large doubles could round up to the next integer. */
double eval_idiv(double a, double b, double c)
{
    UNUSED(c);
    if (b == 0)
        return 0;
    if (fabs(a) < 0x1p62 && fabs(b) < 0x1p62) {
        int64_t n = (int64_t)a, d = (int64_t)b;
        int64_t q = n / d;
        return (double)(q - ((n % d != 0 && (n < 0) != (d < 0)) ? 1 : 0));
    }
    return floor(a / b);
}

double eval_mod(double a, double b, double c)
{
    UNUSED(c);
    if (b == 0)
        return 0;
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

double eval_nibble(double a, double b, double c)
{
    UNUSED(c);
    int64_t bits = (int64_t)a >> 4 * ((int64_t)b & 7);
    return (double)(((bits & 15) ^ 8) - 8);
}

double eval_select(double a, double b, double c)
{
    return a != 0 ? b : c;
}

static double saturate(double x, double lo, double hi)
{
    if (isnan(x))
        return 0;
    double t = trunc(x) + 0.0; /* no negative zero in integers */
    return t < lo ? lo : (t > hi ? hi : t);
}

double eval_cast_to(DType to, double x)
{
    switch (to) {
    case DT_F64:
    case DT_F32:
    case DT_F16:
    case DT_BF16:
    case DT_F8E4M3:
    case DT_F8E5M2:
        return x;
    case DT_I64:
        return saturate(x, -0x1p63, 0x1p63);
    case DT_I32:
        return saturate(x, INT32_MIN, INT32_MAX);
    case DT_I16:
        return saturate(x, INT16_MIN, INT16_MAX);
    case DT_I8:
        return saturate(x, INT8_MIN, INT8_MAX);
    case DT_U8:
        return saturate(x, 0, UINT8_MAX);
    case DT_BOOL:
        return x != 0;
    case DT_COUNT:
        break;
    }
    BUG("no such element type: %d", (int)to);
}

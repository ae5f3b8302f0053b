/* eval_round.c: the interpreter in bits: f64 arithmetic rounded to the types of the program.
 *
 * Rounding an f64 result of + - * / or sqrt of f32 operands gives what f32 hardware gives: 53 bits are
 * enough for the second rounding to be harmless. */
#include "eval.h"

/* What 32 bits keep of a whole number. */
static double wrap(double x)
{
    if (fabs(x) < 0x1p31 || !(fabs(x) < 0x1p63))
        return x;
    return (double)(int32_t)(uint32_t)(int64_t)x;
}

double value_round(const Value *v, double x)
{
    if (!v->bits || v->type->dtype == DT_F64)
        return x;
    if (v->type->dtype == DT_F32)
        return (double)(float)x;
    return v->type->dtype == DT_I32 ? wrap(x) : x;
}

double value_fma(const Value *v, double a, double b, double sum)
{
    if (!v->bits)
        return sum + a * b;
    if (v->type->dtype == DT_F32)
        return (double)fmaf((float)a, (float)b, (float)sum);
    return value_round(v, fma(a, b, sum));
}

void value_round_all(Value *v)
{
    DType dt = v->type->dtype;
    if (!v->bits || dt == DT_F64 || dt == DT_I64 || dt == DT_BOOL)
        return;
    bool wide = dt == DT_F32 || dt == DT_I32;
    for (int64_t i = 0; i < v->count; i++) {
        uint64_t room = 0;
        if (wide) {
            v->at[i] = value_round(v, v->at[i]);
            continue;
        }
        dtype_store(dt, &room, 0, v->at[i]);
        v->at[i] = dtype_load(dt, &room, 0);
    }
}

/* eval_round.c: the interpreter in bits: f64 arithmetic rounded to the types of the program.
 *
 * Rounding an f64 result of + - * / or sqrt of f32 operands gives what f32 hardware gives: 53 bits are
 * enough for the second rounding to be harmless. */
#include "eval.h"

/* What an integer type keeps of a whole number: its lowest bits. Of i64 f64 cannot say. */
static double wrap(DType dt, double x)
{
    if (!(fabs(x) < 0x1p63))
        return x;
    switch (dt) {
    case DT_I32:
        return (double)(int32_t)(uint32_t)(int64_t)x;
    case DT_I16:
        return (double)(int16_t)(uint16_t)(int64_t)x;
    case DT_I8:
        return (double)(int8_t)(uint8_t)(int64_t)x;
    case DT_U8:
        return (double)(uint8_t)(int64_t)x;
    case DT_F64:
    case DT_F32:
    case DT_F16:
    case DT_BF16:
    case DT_F8E4M3:
    case DT_F8E5M2:
    case DT_I64:
    case DT_BOOL:
    case DT_COUNT:
        return x;
    }
    return x;
}

double value_round(const Value *v, double x)
{
    if (v->bits && v->type->dtype == DT_F32)
        return (double)(float)x;
    return wrap(v->type->dtype, x);
}

double value_fma(const Value *v, double a, double b, double sum)
{
    if (v->type->dtype == DT_I32) /* a product has more bits than f64 */
        return wrap(DT_I32, (double)(int32_t)(uint32_t)((int64_t)a * (int64_t)b) + sum);
    if (!v->bits)
        return value_round(v, sum + a * b);
    if (v->type->dtype == DT_F32)
        return (double)fmaf((float)a, (float)b, (float)sum);
    return value_round(v, fma(a, b, sum));
}

void value_round_all(Value *v)
{
    DType dt = v->type->dtype;
    bool small = dtype_is_float(dt) && dt != DT_F64 && dt != DT_F32;
    if (dt == DT_F64 || dt == DT_I64 || dt == DT_BOOL || (dtype_is_float(dt) && !v->bits))
        return;
    for (int64_t i = 0; i < v->count; i++) {
        uint64_t room = 0;
        if (!small) {
            v->at[i] = value_round(v, v->at[i]);
            continue;
        }
        dtype_store(dt, &room, 0, v->at[i]);
        v->at[i] = dtype_load(dt, &room, 0);
    }
}

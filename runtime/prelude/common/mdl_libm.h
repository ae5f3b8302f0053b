/* mdl_libm.h: what mdl_math.h takes from the C library and from the compiler. */
#ifndef MDL_LIBM_H
#define MDL_LIBM_H

#define MDL_INF         __builtin_inff()
#define MDL_NAN         __builtin_nanf("")
#define MDL_SQRT_F32(x) __builtin_sqrtf(x)
#define MDL_SQRT_F64(x) __builtin_sqrt(x)
#define MDL_ABS_F64(x)  __builtin_fabs(x)

extern float sinf(float);
extern float cosf(float);
extern float powf(float, float);
extern double fabs(double), exp(double), log(double), sqrt(double), sin(double), cos(double);
extern double tanh(double), erf(double), floor(double), ceil(double), nearbyint(double);
extern double trunc(double), pow(double, double);
extern double exp2(double), expm1(double), log2(double), log1p(double);

#endif

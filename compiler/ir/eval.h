/* eval.h: what every operation computes, in f64; the columns `eval` and `eval_tensor` of ops.def.
 *
 * One definition serves the reference interpreter, constant folding and the tests. NaN: max and min
 * propagate it, comparisons with it are false (ne: true). Integers are exact below 2^53; idiv
 * floors, mod has the divisor's sign, both are 0 for a zero divisor. */
#ifndef MDL_EVAL_H
#define MDL_EVAL_H

#include "ir.h"
#include <math.h> /* HUGE_VAL, the neutral element of amax and amin in ops.def */

/* ---- eval_elem.c: one element ---- */

double eval_neg(double a, double b, double c);
double eval_abs(double a, double b, double c);
double eval_sign(double a, double b, double c); /* of NaN: 0 */
double eval_exp(double a, double b, double c);
double eval_exp2(double a, double b, double c);
double eval_expm1(double a, double b, double c);
double eval_log(double a, double b, double c);
double eval_log2(double a, double b, double c);
double eval_log1p(double a, double b, double c);
double eval_sqrt(double a, double b, double c);
double eval_rsqrt(double a, double b, double c);
double eval_sin(double a, double b, double c);
double eval_cos(double a, double b, double c);
double eval_tanh(double a, double b, double c);
double eval_erf(double a, double b, double c);
double eval_sigmoid(double a, double b, double c);
double eval_floor(double a, double b, double c);
double eval_ceil(double a, double b, double c);
double eval_round(double a, double b, double c); /* ties to even */
double eval_trunc(double a, double b, double c);
double eval_is_finite(double a, double b, double c);
double eval_not(double a, double b, double c);
double eval_same(double a, double b, double c);
double eval_add(double a, double b, double c);
double eval_sub(double a, double b, double c);
double eval_mul(double a, double b, double c);
double eval_div(double a, double b, double c);
double eval_pow(double a, double b, double c);
double eval_max(double a, double b, double c);
double eval_min(double a, double b, double c);
double eval_idiv(double a, double b, double c);
double eval_mod(double a, double b, double c);
double eval_nibble(double a, double b, double c);
double eval_eq(double a, double b, double c);
double eval_ne(double a, double b, double c);
double eval_lt(double a, double b, double c);
double eval_le(double a, double b, double c);
double eval_and(double a, double b, double c);
double eval_or(double a, double b, double c);
double eval_select(double a, double b, double c);

/* The value a cast to `to` gives: bool is x != 0; an integer truncates toward zero and saturates
 * (NaN gives 0); floats keep the value, as the interpreter is exact. */
double eval_cast_to(DType to, double x);

/* ---- eval_tensor.c: leaves, views, casts, indirect ---- */

void eval_const(const Node *n, const Value *const *in, Value *out);
void eval_iota(const Node *n, const Value *const *in, Value *out);
void eval_reshape(const Node *n, const Value *const *in, Value *out);
void eval_view(const Node *n, const Value *const *in, Value *out); /* not reshape */
void eval_pad(const Node *n, const Value *const *in, Value *out);
void eval_concat(const Node *n, const Value *const *in, Value *out);
void eval_cast(const Node *n, const Value *const *in, Value *out);
void eval_gather(const Node *n, const Value *const *in, Value *out);
void eval_scatter_add(const Node *n, const Value *const *in, Value *out);
void eval_update(const Node *n, const Value *const *in, Value *out);

/* ---- eval_reduce.c, eval_dot.c ---- */

void eval_sum(const Node *n, const Value *const *in, Value *out);
void eval_prod(const Node *n, const Value *const *in, Value *out);
void eval_amax(const Node *n, const Value *const *in, Value *out);
void eval_amin(const Node *n, const Value *const *in, Value *out);
void eval_argmax(const Node *n, const Value *const *in, Value *out);
void eval_argmin(const Node *n, const Value *const *in, Value *out);
void eval_sumsq(const Node *n, const Value *const *in, Value *out);
void eval_dot(const Node *n, const Value *const *in, Value *out);

/* ---- eval_scan.c ---- */

void eval_cumsum(const Node *n, const Value *const *in, Value *out);
void eval_cumprod(const Node *n, const Value *const *in, Value *out);
void eval_argsort(const Node *n, const Value *const *in, Value *out);

/* ---- eval_round.c: integers wrap; in bits mode floats are rounded ---- */

/* A partial result of a fold, as an accumulator of v's type holds it; a float as it is, in f64. */
double value_round(const Value *v, double x);
/* a * b + sum in the accumulator of v: fused in bits mode, and all bits of whole numbers. */
double value_fma(const Value *v, double a, double b, double sum);
/* Every element becomes a number of the type; floats stay in f64. */
void value_round_all(Value *v);

/* ---- eval_walk.c: iteration through strides ---- */

/* Row-major element strides of a value. */
void value_strides(const Value *v, int64_t *stride);

/* A position in a box of `rank` extents with one running offset per tensor walked along. */
enum { WALK_MAX = 3 };
typedef struct Walk {
    uint32_t rank, ntensor;
    int64_t extent[IR_MAX_RANK], at[IR_MAX_RANK];
    int64_t stride[WALK_MAX][IR_MAX_RANK];
    int64_t offset[WALK_MAX];
    int64_t left; /* steps still to go, this one included */
} Walk;

/* Starts at the first element with zero strides and offsets; the caller sets those it needs. */
void walk_begin(Walk *w, uint32_t rank, const int64_t *extent);
/* One element on in row-major order; false behind the last. Use: for (ok = w.left > 0; ok; ok = walk_next(&w)) */
bool walk_next(Walk *w);

#endif

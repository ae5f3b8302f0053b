/* builtin.h: what the files of built-in functions share; the tables are in builtin.c. */
#ifndef MDL_FRONT_BUILTIN_H
#define MDL_FRONT_BUILTIN_H

#include "elab.h"

/* ---- arguments (args.c): each is false or NULL after a diagnostic, or where one was given ---- */

uint32_t args_positional(const Args *args);
bool args_count(Elab *e, const Builtin *b, const Args *args, uint32_t n);
const Node *args_tensor(Elab *e, const Args *args, uint32_t i);
/* The same to compute with: f32 for narrow floats; *dt: the type of the argument. */
const Node *args_wide(Elab *e, const Args *args, uint32_t i, DType *dt);
/* `axis: k` as an index below rank; negative counts from the end. Without one it is `missing`; where
 * that is AXIS_NEEDED there must be one. */
enum { AXIS_NEEDED = INT32_MIN };
bool axis_read(Elab *e, const Val *v, uint32_t rank, int64_t *axis);
bool args_axis(Elab *e, const Args *args, uint32_t rank, int64_t missing, int64_t *axis);
/* The operands of concat(a, b, ..) or concat([a, b, ..]). */
const Node **args_tensors(Elab *e, const Builtin *b, const Args *args, uint32_t *n);

/* Argument i or name: a compile-time extent that is not negative (builtin_shape.c). */
const Dim *args_extent(Elab *e, const Args *args, uint32_t i, const char *name);

/* ---- builtin_order.c ---- */

const Val *call_cumulative(Elab *e, const Builtin *b, Args *args); /* cumsum, cumprod */
const Val *call_sort(Elab *e, const Builtin *b, Args *args);       /* sort, argsort */
const Val *call_topk(Elab *e, const Builtin *b, Args *args);

/* ---- builtin_random.c ---- */

const Val *call_rand(Elab *e, const Builtin *b, Args *args); /* rand, randn */
const Val *call_randint(Elab *e, const Builtin *b, Args *args);
const Val *call_permutation(Elab *e, const Builtin *b, Args *args);
const Val *call_bernoulli(Elab *e, const Builtin *b, Args *args);
const Val *call_dropout(Elab *e, const Builtin *b, Args *args);

/* ---- loop.c ---- */

const Val *call_scan(Elab *e, const Builtin *b, Args *args);
const Val *call_fold_loop(Elab *e, const Builtin *b, Args *args);

/* ---- builtin_conv.c ---- */

const Val *call_conv(Elab *e, const Builtin *b, Args *args); /* conv1d, conv2d */
const Val *call_conv_transpose(Elab *e, const Builtin *b, Args *args);
const Val *call_pool(Elab *e, const Builtin *b, Args *args); /* max_pool2d, avg_pool2d */

/* ---- builtin_shape.c ---- */

const Val *call_concat(Elab *e, const Builtin *b, Args *args);
const Val *call_stack(Elab *e, const Builtin *b, Args *args);
const Val *call_pad(Elab *e, const Builtin *b, Args *args);
const Val *call_flip(Elab *e, const Builtin *b, Args *args);
const Val *call_roll(Elab *e, const Builtin *b, Args *args);
const Val *call_repeat(Elab *e, const Builtin *b, Args *args);
const Val *call_scatter_add(Elab *e, const Builtin *b, Args *args);

/* ---- builtin_derivative.c ---- */

const Val *call_derivative(Elab *e, const Builtin *b, Args *args);

/* ---- builtin_models.c ---- */

const Val *call_other_weights(Elab *e, const Builtin *b, Args *args); /* start, ema */
const Val *call_tap(Elab *e, const Builtin *b, Args *args);

/* ---- builtin_refuse.c ---- */

const Val *call_one_of(Elab *e, const Builtin *b, Args *args);
const Val *call_fail(Elab *e, const Builtin *b, Args *args);

#endif

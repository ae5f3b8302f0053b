/* infer.h: type rules and index maps, the columns `infer` and `at` of ops.def; private to ir.
 *
 * A rule looks at proto->in, proto->attr and proto->nin only, and must hold against any input:
 * what it cannot accept it reports with the user's words and answers with NULL. */
#ifndef MDL_IR_INFER_H
#define MDL_IR_INFER_H

#include "ir.h"

/* ---- infer.c: elementwise, folds over several tensors, structure ---- */

const Type *infer_number(Ir *ir, const Node *n, Span span);  /* numbers of one type -> the same */
const Type *infer_float(Ir *ir, const Node *n, Span span);   /* f32 or f64 -> the same */
const Type *infer_test(Ir *ir, const Node *n, Span span);    /* f32 or f64 -> bool */
const Type *infer_logic(Ir *ir, const Node *n, Span span);   /* bool -> bool */
const Type *infer_integer(Ir *ir, const Node *n, Span span); /* integers of one type -> the same */
const Type *infer_compare(Ir *ir, const Node *n, Span span); /* two of one type -> bool */
const Type *infer_same(Ir *ir, const Node *n, Span span);
const Type *infer_cast(Ir *ir, const Node *n, Span span);
const Type *infer_select(Ir *ir, const Node *n, Span span);
const Type *infer_sumsq(Ir *ir, const Node *n, Span span);
const Type *infer_call(Ir *ir, const Node *n, Span span);
const Type *infer_group(Ir *ir, const Node *n, Span span);
const Type *infer_tuple(Ir *ir, const Node *n, Span span);
const Type *infer_get(Ir *ir, const Node *n, Span span);

/* ---- infer_loop.c ---- */

const Type *infer_loop(Ir *ir, const Node *n, Span span);

/* ---- infer_shape.c: rules that make new dims ---- */

const Type *infer_reshape(Ir *ir, const Node *n, Span span);
const Type *infer_permute(Ir *ir, const Node *n, Span span);
const Type *infer_expand(Ir *ir, const Node *n, Span span);
const Type *infer_slice(Ir *ir, const Node *n, Span span);
const Type *infer_window(Ir *ir, const Node *n, Span span);
const Type *infer_pad(Ir *ir, const Node *n, Span span);
const Type *infer_concat(Ir *ir, const Node *n, Span span);
const Type *infer_reduce(Ir *ir, const Node *n, Span span);
const Type *infer_argreduce(Ir *ir, const Node *n, Span span);
const Type *infer_scan(Ir *ir, const Node *n, Span span);    /* numbers -> the same */
const Type *infer_argsort(Ir *ir, const Node *n, Span span); /* numbers -> i32 of the same dims */

/* ---- infer_join.c: rules that join two tensors along paired axes ---- */

const Type *infer_gather(Ir *ir, const Node *n, Span span);
const Type *infer_scatter_add(Ir *ir, const Node *n, Span span);
const Type *infer_update(Ir *ir, const Node *n, Span span);
const Type *infer_dot(Ir *ir, const Node *n, Span span);

/* ---- shared by the rules ---- */

/* Operand k when it is a tensor; NULL after a diagnostic when it is a tuple. */
const Type *infer_operand(Ir *ir, const Node *n, uint32_t k, Span span);
/* False after E0501: floats of fewer than 32 bits are cast and moved, never computed with. */
bool infer_computes(Ir *ir, const Node *n, const Type *t, Span span);
/* The axis as an index below rank, or false after a diagnostic. */
bool infer_axis(Ir *ir, const Node *n, int64_t axis, uint32_t rank, Span span);
/* A tensor type of checked dims (rank, not negative, not absurdly many elements). */
const Type *infer_tensor(Ir *ir, DType dtype, uint32_t rank, const Dim *const *dims, Span span);
/* "expected `A`, got `B`" for two dims that must be equal; always NULL. */
const Type *infer_dims_differ(Ir *ir, const Node *n, const Dim *want, const Dim *got, Span span);
const char *infer_dim_text(Ir *ir, const Dim *d);
/* The type of a leaf, given by its maker. */
const Type *infer_leaf(Ir *ir, const Node *n, const Type *given, Span span);

/* ---- at.c ---- */

void at_reshape(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);
void at_permute(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);
void at_expand(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);
void at_slice(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);
void at_window(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);
void at_gather(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in);

#endif

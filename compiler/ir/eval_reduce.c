/* eval_reduce.c: folds of the reference interpreter. */
#include "eval.h"

/* Folds `axes` of x into out, which starts at the operation's neutral element. */
static void fold(const Node *n, const Value *x, EvalFn step, Value *out)
{
    const Attr *axes = node_ints(n, "axes");
    bool removed[IR_MAX_RANK] = {false};
    for (uint32_t i = 0; i < axes->n; i++)
        removed[axes->ints[i]] = true;
    int64_t os[IR_MAX_RANK] = {0};
    value_strides(out, os);
    Walk w;
    walk_begin(&w, x->rank, x->dim);
    for (uint32_t i = 0, k = 0; i < x->rank; i++)
        w.stride[0][i] = removed[i] ? 0 : os[k++];
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = op_info(n->op)->neutral;
    for (int64_t i = 0; i < x->count; i++, walk_next(&w))
        out->at[w.offset[0]] = value_round(out, step(out->at[w.offset[0]], x->at[i], 0));
}

void eval_sum(const Node *n, const Value *const *in, Value *out)
{
    fold(n, in[0], eval_add, out);
}

void eval_prod(const Node *n, const Value *const *in, Value *out)
{
    fold(n, in[0], eval_mul, out);
}

void eval_amax(const Node *n, const Value *const *in, Value *out)
{
    fold(n, in[0], eval_max, out);
}

void eval_amin(const Node *n, const Value *const *in, Value *out)
{
    fold(n, in[0], eval_min, out);
}

/* Index along one axis of the element that no later one beats; NaN neither beats nor is beaten. */
static void arg_fold(const Node *n, const Value *x, EvalFn less, bool largest, Value *out)
{
    uint32_t axis = (uint32_t)node_int(n, "axis");
    int64_t xs[IR_MAX_RANK] = {0};
    value_strides(x, xs);
    Walk w;
    walk_begin(&w, out->rank, out->dim);
    for (uint32_t i = 0; i < out->rank; i++)
        w.stride[0][i] = xs[i < axis ? i : i + 1];
    for (int64_t i = 0; i < out->count; i++, walk_next(&w)) {
        const double *row = x->at + w.offset[0];
        int64_t best = 0;
        for (int64_t k = 1; k < x->dim[axis]; k++) {
            double a = row[best * xs[axis]], b = row[k * xs[axis]];
            if ((largest ? less(a, b, 0) : less(b, a, 0)) != 0)
                best = k;
        }
        out->at[i] = (double)best;
    }
}

void eval_argmax(const Node *n, const Value *const *in, Value *out)
{
    arg_fold(n, in[0], eval_lt, true, out);
}

void eval_argmin(const Node *n, const Value *const *in, Value *out)
{
    arg_fold(n, in[0], eval_lt, false, out);
}

void eval_sumsq(const Node *n, const Value *const *in, Value *out)
{
    for (uint32_t k = 0; k < n->nin; k++)
        for (int64_t i = 0; i < in[k]->count; i++)
            out->at[0] = value_fma(out, in[k]->at[i], in[k]->at[i], out->at[0]);
}

/* eval_dot.c: the contraction of the reference interpreter: for every output element one walk over
 * the contracted axes. */
#include "eval.h"

#include <string.h>

/* Marks the listed axes and appends nothing else; what stays unmarked is free. */
static void mark(bool *used, const int64_t *axes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        used[axes[i]] = true;
}

/* Strides of both operands along the result's axes: batch, free a, free b. */
static void outer_strides(const DotAxes *d, const Value *a, const Value *b, Walk *w)
{
    int64_t as[IR_MAX_RANK] = {0}, bs[IR_MAX_RANK] = {0};
    bool used_a[IR_MAX_RANK] = {false}, used_b[IR_MAX_RANK] = {false};
    value_strides(a, as);
    value_strides(b, bs);
    mark(used_a, d->a_batch, d->nbatch);
    mark(used_a, d->a_contract, d->ncontract);
    mark(used_b, d->b_batch, d->nbatch);
    mark(used_b, d->b_contract, d->ncontract);
    uint32_t k = 0;
    for (uint32_t i = 0; i < d->nbatch; i++, k++) {
        w->stride[0][k] = as[d->a_batch[i]];
        w->stride[1][k] = bs[d->b_batch[i]];
    }
    for (uint32_t i = 0; i < a->rank; i++)
        if (!used_a[i])
            w->stride[0][k++] = as[i];
    for (uint32_t i = 0; i < b->rank; i++)
        if (!used_b[i])
            w->stride[1][k++] = bs[i];
    ASSERT(k == w->rank);
}

void eval_dot(const Node *n, const Value *const *in, Value *out)
{
    const Value *a = in[0], *b = in[1];
    DotAxes d;
    node_dot_axes(n, &d);
    int64_t extent[IR_MAX_RANK], as[IR_MAX_RANK] = {0}, bs[IR_MAX_RANK] = {0};
    value_strides(a, as);
    value_strides(b, bs);
    Walk inner, outer;
    for (uint32_t i = 0; i < d.ncontract; i++)
        extent[i] = a->dim[d.a_contract[i]];
    walk_begin(&inner, d.ncontract, extent);
    inner.ntensor = 2;
    for (uint32_t i = 0; i < d.ncontract; i++) {
        inner.stride[0][i] = as[d.a_contract[i]];
        inner.stride[1][i] = bs[d.b_contract[i]];
    }
    walk_begin(&outer, out->rank, out->dim);
    outer_strides(&d, a, b, &outer);
    for (int64_t i = 0; i < out->count; i++, walk_next(&outer)) {
        Walk w = inner;
        const double *pa = a->at + outer.offset[0], *pb = b->at + outer.offset[1];
        double sum = 0;
        for (bool more = w.left > 0; more; more = walk_next(&w))
            sum = value_fma(out, pa[w.offset[0]], pb[w.offset[1]], sum);
        out->at[i] = sum;
    }
}

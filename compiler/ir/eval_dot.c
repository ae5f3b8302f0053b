/* eval_dot.c: the contraction of the reference interpreter: for every output element one walk over
 * the contracted axes, whose last one is a plain loop. */
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

/* One axis of a and b, from elements a and b on, `sa` and `sb` apart. */
typedef struct Run {
    const double *a, *b;
    int64_t sa, sb, n;
} Run;

static double add_products(const Value *out, const Run *r, double sum)
{
    if (out->bits) {
        for (int64_t k = 0; k < r->n; k++)
            sum = value_fma(out, r->a[k * r->sa], r->b[k * r->sb], sum);
        return sum;
    }
    for (int64_t k = 0; k < r->n; k++)
        sum += r->a[k * r->sa] * r->b[k * r->sb];
    return sum;
}

/* The contracted axes: a walk over all but the last, which is a run. Without one it is a run of 1. */
static Walk contracted(const DotAxes *d, const Value *a, const Value *b, Run *run)
{
    int64_t extent[IR_MAX_RANK], as[IR_MAX_RANK] = {0}, bs[IR_MAX_RANK] = {0};
    Walk w;
    value_strides(a, as);
    value_strides(b, bs);
    uint32_t outer = d->ncontract ? d->ncontract - 1 : 0;
    for (uint32_t i = 0; i < outer; i++)
        extent[i] = a->dim[d->a_contract[i]];
    walk_begin(&w, outer, extent);
    w.ntensor = 2;
    for (uint32_t i = 0; i < outer; i++) {
        w.stride[0][i] = as[d->a_contract[i]];
        w.stride[1][i] = bs[d->b_contract[i]];
    }
    *run = (Run){.n = 1};
    if (d->ncontract)
        *run = (Run){.sa = as[d->a_contract[outer]],
                     .sb = bs[d->b_contract[outer]],
                     .n = a->dim[d->a_contract[outer]]};
    return w;
}

void eval_dot(const Node *n, const Value *const *in, Value *out)
{
    const Value *a = in[0], *b = in[1];
    DotAxes d;
    Run run;
    node_dot_axes(n, &d);
    const Walk inner = contracted(&d, a, b, &run);
    Walk outer;
    walk_begin(&outer, out->rank, out->dim);
    outer_strides(&d, a, b, &outer);
    for (int64_t i = 0; i < out->count; i++, walk_next(&outer)) {
        Walk w = inner;
        double sum = 0;
        for (bool more = w.left > 0; more; more = walk_next(&w)) {
            run.a = a->at + outer.offset[0] + w.offset[0];
            run.b = b->at + outer.offset[1] + w.offset[1];
            sum = add_products(out, &run, sum);
        }
        out->at[i] = sum;
    }
}

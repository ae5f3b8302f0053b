/* eval_dot.c: the contraction of the reference interpreter: for every row of the result one walk over the
 * contracted axes, whose last one is a loop over both. */
#include "eval.h"
#include "sums.h"

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

/* The innermost contracted axis of a row of the result: n products for each of m elements. */
typedef struct Run {
    Strided a, b;
    int64_t m, n;
} Run;

static void add_products(const Value *out, const Run *r, double *row)
{
    if (!out->bits) {
        sums_f64(r->m, r->n, r->a, r->b, row);
        return;
    }
    for (int64_t j = 0; j < r->m; j++) {
        const double *a = r->a.at + j * r->a.across, *b = r->b.at + j * r->b.across;
        for (int64_t k = 0; k < r->n; k++)
            row[j] = value_fma(out, a[k * r->a.along], b[k * r->b.along], row[j]);
    }
}

/* The contracted axes: a walk over all but the last, which is the run's. Without one it has one product. */
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
    run->n = 1;
    if (d->ncontract) {
        run->a.along = as[d->a_contract[outer]];
        run->b.along = bs[d->b_contract[outer]];
        run->n = a->dim[d->a_contract[outer]];
    }
    return w;
}

/* The result's axes: a walk over all but the last, which is a row's. Without one a row has one element. */
static Walk rows_of(const DotAxes *d, const Value *a, const Value *b, const Value *out, Run *run)
{
    Walk all, rows;
    walk_begin(&all, out->rank, out->dim);
    outer_strides(d, a, b, &all);
    uint32_t last = out->rank ? out->rank - 1 : 0;
    walk_begin(&rows, last, out->dim);
    memcpy(rows.stride, all.stride, sizeof(rows.stride));
    run->m = 1;
    if (out->rank) {
        run->a.across = all.stride[0][last];
        run->b.across = all.stride[1][last];
        run->m = out->dim[last];
    }
    return rows;
}

void eval_dot(const Node *n, const Value *const *in, Value *out)
{
    const Value *a = in[0], *b = in[1];
    DotAxes d;
    Run run = {0};
    node_dot_axes(n, &d);
    const Walk inner = contracted(&d, a, b, &run);
    Walk rows = rows_of(&d, a, b, out, &run);
    double *row = out->at;
    for (bool left = out->count > 0; left; left = walk_next(&rows), row += run.m) {
        memset(row, 0, (size_t)run.m * sizeof(*row));
        Walk w = inner;
        for (bool more = w.left > 0; more; more = walk_next(&w)) {
            run.a.at = a->at + rows.offset[0] + w.offset[0];
            run.b.at = b->at + rows.offset[1] + w.offset[1];
            add_products(out, &run, row);
        }
    }
}

/* eval_tensor.c: leaves, views, casts and indirect reads of the reference interpreter.
 *
 * Written for clarity: every function is one Walk. out->at is zeroed by the caller. */
#include "eval.h"

#include <string.h>

void eval_const(const Node *n, const Value *const *in, Value *out)
{
    UNUSED(in);
    out->at[0] = node_num(n, "value");
}

void eval_iota(const Node *n, const Value *const *in, Value *out)
{
    UNUSED(in);
    int64_t axis = node_int(n, "axis");
    Walk w;
    walk_begin(&w, out->rank, out->dim);
    for (int64_t i = 0; i < out->count; i++, walk_next(&w))
        out->at[i] = (double)w.at[axis];
}

void eval_reshape(const Node *n, const Value *const *in, Value *out)
{
    UNUSED(n);
    ASSERT(in[0]->count == out->count);
    memcpy(out->at, in[0]->at, sizeof(double) * (size_t)out->count);
}

/* Stride of the input along every axis of the output, and the offset of output element 0. */
static int64_t view_strides(const Node *n, const Value *x, const Value *out, int64_t *stride)
{
    int64_t own[IR_MAX_RANK] = {0};
    value_strides(x, own);
    if (n->op == OP_PERMUTE) {
        const Attr *perm = node_ints(n, "perm");
        for (uint32_t i = 0; i < out->rank; i++)
            stride[i] = own[perm->ints[i]];
        return 0;
    }
    if (n->op == OP_EXPAND) {
        const Attr *axes = node_ints(n, "axes");
        for (uint32_t i = 0; i < axes->n; i++)
            stride[axes->ints[i]] = own[i];
        return 0;
    }
    if (n->op == OP_WINDOW) {
        uint32_t axis = (uint32_t)node_int(n, "axis");
        for (uint32_t i = 0; i < x->rank; i++)
            stride[i + (i > axis)] = own[i];
        stride[axis] = own[axis] * node_int(n, "stride");
        stride[axis + 1] = own[axis] * node_int(n, "dilation");
        return 0;
    }
    ASSERT(n->op == OP_SLICE);
    memcpy(stride, own, sizeof own);
    return own[node_int(n, "axis")] * dim_eval(node_dim(n, "start"), out->sym_values);
}

void eval_view(const Node *n, const Value *const *in, Value *out)
{
    Walk w;
    walk_begin(&w, out->rank, out->dim);
    w.offset[0] = view_strides(n, in[0], out, w.stride[0]);
    for (int64_t i = 0; i < out->count; i++, walk_next(&w)) {
        ASSERT(w.offset[0] >= 0 && w.offset[0] < in[0]->count);
        out->at[i] = in[0]->at[w.offset[0]];
    }
}

/* Copies x into `out` with its first element `from` elements along `axis`. */
static void put_along(const Value *x, Value *out, int64_t axis, int64_t from)
{
    Walk w;
    walk_begin(&w, x->rank, x->dim);
    value_strides(out, w.stride[0]);
    w.offset[0] = from * w.stride[0][axis];
    for (int64_t i = 0; i < x->count; i++, walk_next(&w))
        out->at[w.offset[0]] = x->at[i];
}

void eval_pad(const Node *n, const Value *const *in, Value *out)
{
    put_along(in[0], out, node_int(n, "axis"), dim_eval(node_dim(n, "lo"), out->sym_values));
}

void eval_concat(const Node *n, const Value *const *in, Value *out)
{
    int64_t axis = node_int(n, "axis"), from = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        put_along(in[k], out, axis, from);
        from += in[k]->dim[axis];
    }
}

void eval_cast(const Node *n, const Value *const *in, Value *out)
{
    for (int64_t i = 0; i < out->count; i++)
        out->at[i] = eval_cast_to(n->type->dtype, in[0]->at[i]);
}

/* A walk over the rows of gather: tensor 0 is idx, tensor 1 the table (its own axis skipped). The
 * box is [x axes before axis, idx axes after batch, x axes behind axis]. */
typedef struct GatherWalk {
    Walk w;
    int64_t step; /* stride of the table along the gathered axis */
    int64_t extent;
} GatherWalk;

static void gather_begin(GatherWalk *g, const Node *n, const Value *table, const Value *idx,
                         const Value *rows)
{
    uint32_t axis = (uint32_t)node_int(n, "axis"), batch = (uint32_t)node_int(n, "batch");
    int64_t ts[IR_MAX_RANK] = {0}, is[IR_MAX_RANK] = {0};
    value_strides(table, ts);
    value_strides(idx, is);
    walk_begin(&g->w, rows->rank, rows->dim);
    g->step = ts[axis];
    g->extent = table->dim[axis];
    uint32_t nidx = idx->rank - batch;
    for (uint32_t i = 0; i < axis; i++) {
        g->w.stride[0][i] = i < batch ? is[i] : 0;
        g->w.stride[1][i] = ts[i];
    }
    for (uint32_t i = 0; i < nidx; i++)
        g->w.stride[0][axis + i] = is[batch + i];
    for (uint32_t i = axis + 1; i < table->rank; i++)
        g->w.stride[1][i - 1 + nidx] = ts[i];
}

/* Offset in the table for the row at the walk's place; indices are clamped. */
static int64_t gather_offset(const GatherWalk *g, const Value *idx)
{
    double i = idx->at[g->w.offset[0]];
    double last = (double)(g->extent - 1);
    return g->w.offset[1] + g->step * (int64_t)(i > 0 ? (i < last ? i : last) : 0);
}

void eval_gather(const Node *n, const Value *const *in, Value *out)
{
    if (in[0]->count == 0)
        return;
    GatherWalk g;
    gather_begin(&g, n, in[0], in[1], out);
    for (int64_t i = 0; i < out->count; i++, walk_next(&g.w))
        out->at[i] = in[0]->at[gather_offset(&g, in[1])];
}

void eval_scatter_add(const Node *n, const Value *const *in, Value *out)
{
    if (out->count == 0)
        return;
    GatherWalk g;
    gather_begin(&g, n, out, in[1], in[0]);
    for (int64_t i = 0; i < in[0]->count; i++, walk_next(&g.w)) {
        double *sum = &out->at[gather_offset(&g, in[1])];
        *sum = value_round(out, *sum + in[0]->at[i]);
    }
}

void eval_update(const Node *n, const Value *const *in, Value *out)
{
    int64_t axis = node_int(n, "axis"), last = out->dim[axis] - in[1]->dim[axis];
    double at = in[2]->at[0];
    memcpy(out->at, in[0]->at, sizeof(double) * (size_t)out->count);
    put_along(in[1], out, axis, at > 0 ? (int64_t)(at < (double)last ? at : (double)last) : 0);
}

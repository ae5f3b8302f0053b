/* build_window.c: windows along an axis and their adjoint.
 *
 * The adjoint is a sum over the places in a window, each a plane of the operand with zeros between
 * and around its elements: views only, so that it fuses like any other elementwise sum. */
#include "ir.h"

const Node *graph_window(Graph *g, const Node *x, const Windows *w)
{
    Attr attr[] = {{.kind = AK_INT, .i = w->axis},
                   {.kind = AK_INT, .i = w->size},
                   {.kind = AK_INT, .i = w->stride},
                   {.kind = AK_INT, .i = w->dilation}};
    return graph_op(g, &(NodeSpec){.op = OP_WINDOW, .nin = 1, .in = &x, .attr = attr});
}

/* An axis of one element behind `axis`. */
static const Node *open_axis(Graph *g, const Node *x, uint32_t axis)
{
    const Dim *dims[IR_MAX_RANK + 1];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < x->type->rank; i++) {
        dims[rank++] = x->type->dims[i];
        if (i == axis)
            dims[rank++] = dim_const(g->ir, 1);
    }
    return graph_reshape(g, x, rank, dims);
}

/* `axis` and the next become one axis of `extent`. */
static const Node *join_axes(Graph *g, const Node *x, uint32_t axis, const Dim *extent)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i + 1 < x->type->rank; i++)
        dims[i] = i == axis ? extent : x->type->dims[i + (i > axis)];
    return graph_reshape(g, x, x->type->rank - 1, dims);
}

/* stride - 1 zeros between the elements of an axis. */
static const Node *spread_out(Graph *g, const Node *x, uint32_t axis, int64_t stride)
{
    Ir *ir = g->ir;
    const Dim *n = x->type->dims[axis], *zero = dim_const(ir, 0);
    const Dim *gap = dim_const(ir, stride - 1), *step = dim_const(ir, stride);
    if (stride == 1)
        return x;
    const Node *wide = open_axis(g, x, axis);
    wide = graph_pad(g, wide, axis + 1, zero, gap);
    wide = join_axes(g, wide, axis, dim_mul(ir, n, step));
    return graph_slice(g, wide, axis, zero, dim_sub(ir, dim_mul(ir, n, step), gap));
}

const Node *graph_unwindow(Graph *g, const Node *x, const Windows *w, const Dim *extent)
{
    Ir *ir = g->ir;
    const Dim *count = x->type->dims[w->axis], *one = dim_const(ir, 1), *zero = dim_const(ir, 0);
    const Node *sum = NULL;
    if (w->size == w->stride && w->dilation == 1) { /* side by side */
        const Dim *all = dim_mul(ir, count, dim_const(ir, w->size));
        const Node *flat = join_axes(g, x, w->axis, all);
        return graph_pad(g, flat, w->axis, zero, dim_sub(ir, extent, all));
    }
    for (int64_t k = 0; k < w->size; k++) {
        const Dim *lo = dim_const(ir, k * w->dilation);
        const Node *plane = graph_slice(g, x, w->axis + 1, dim_const(ir, k), one);
        plane = join_axes(g, plane, w->axis, count);
        plane = spread_out(g, plane, w->axis, w->stride);
        const Dim *used = dim_add(ir, lo, plane->type->dims[w->axis]);
        plane = graph_pad(g, plane, w->axis, lo, dim_sub(ir, extent, used));
        sum = sum ? graph_binary(g, OP_ADD, sum, plane) : plane;
    }
    return sum;
}

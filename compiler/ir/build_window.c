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

/* x with other extents from `axis` on: `dims`, in place of `drop` axes. */
static const Node *recut(Graph *g, const Node *x, uint32_t axis, uint32_t drop,
                         const Dim *const dims[2], uint32_t n)
{
    const Dim *all[IR_MAX_RANK + 1];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < axis; i++)
        all[rank++] = x->type->dims[i];
    for (uint32_t i = 0; i < n; i++)
        all[rank++] = dims[i];
    for (uint32_t i = axis + drop; i < x->type->rank; i++)
        all[rank++] = x->type->dims[i];
    return graph_reshape(g, x, rank, all);
}

/* stride - 1 zeros between the elements of an axis. */
static const Node *spread_out(Graph *g, const Node *x, uint32_t axis, int64_t stride)
{
    Ir *ir = g->ir;
    const Dim *n = x->type->dims[axis], *one = dim_const(ir, 1), *zero = dim_const(ir, 0);
    const Dim *gap = dim_const(ir, stride - 1), *step = dim_const(ir, stride);
    if (stride == 1)
        return x;
    const Node *wide = recut(g, x, axis, 1, (const Dim *const[]){n, one}, 2);
    wide = graph_pad(g, wide, axis + 1, zero, gap);
    wide = recut(g, wide, axis, 2, (const Dim *const[]){dim_mul(ir, n, step), NULL}, 1);
    return graph_slice(g, wide, axis, zero, dim_sub(ir, dim_mul(ir, n, step), gap));
}

const Node *graph_unwindow(Graph *g, const Node *x, const Windows *w, const Dim *extent)
{
    Ir *ir = g->ir;
    const Dim *count = x->type->dims[w->axis], *one = dim_const(ir, 1), *zero = dim_const(ir, 0);
    const Node *sum = NULL;
    if (w->size == w->stride && w->dilation == 1) { /* side by side */
        const Dim *all = dim_mul(ir, count, dim_const(ir, w->size));
        const Node *flat = recut(g, x, w->axis, 2, (const Dim *const[]){all, NULL}, 1);
        return graph_pad(g, flat, w->axis, zero, dim_sub(ir, extent, all));
    }
    for (int64_t k = 0; k < w->size; k++) {
        const Dim *lo = dim_const(ir, k * w->dilation);
        const Node *plane = graph_slice(g, x, w->axis + 1, dim_const(ir, k), one);
        plane = recut(g, plane, w->axis, 2, (const Dim *const[]){count, NULL}, 1);
        plane = spread_out(g, plane, w->axis, w->stride);
        const Dim *used = dim_add(ir, lo, plane->type->dims[w->axis]);
        plane = graph_pad(g, plane, w->axis, lo, dim_sub(ir, extent, used));
        sum = sum ? graph_binary(g, OP_ADD, sum, plane) : plane;
    }
    return sum;
}

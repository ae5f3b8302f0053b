/* vjp_shape.c: gradients of views: every view's adjoint is a view or a sum. */
#include "vjp.h"

void vjp_reshape(const VjpIn *v, const Node **dx)
{
    const Type *t = v->n->in[0]->type;
    dx[0] = graph_reshape(v->g, v->dy, t->rank, t->dims);
}

void vjp_permute(const VjpIn *v, const Node **dx)
{
    const Attr *perm = node_ints(v->n, "perm");
    int64_t inverse[IR_MAX_RANK];
    for (uint32_t i = 0; i < perm->n; i++)
        inverse[perm->ints[i]] = i;
    dx[0] = graph_permute(v->g, v->dy, inverse);
}

/* Repeated axes are summed. */
void vjp_expand(const VjpIn *v, const Node **dx)
{
    const Attr *axes = node_ints(v->n, "axes");
    int64_t sum[IR_MAX_RANK];
    uint32_t nsum = 0;
    for (uint32_t i = 0, k = 0; i < v->n->type->rank; i++) {
        if (k < axes->n && axes->ints[k] == i)
            k++;
        else
            sum[nsum++] = i;
    }
    const Node *dy = nsum ? graph_reduce(v->g, OP_SUM, vjp_wide(v->g, v->dy), sum, nsum) : v->dy;
    dx[0] = graph_cast(v->g, v->dy->type->dtype, dy);
}

void vjp_slice(const VjpIn *v, const Node **dx)
{
    uint32_t axis = (uint32_t)node_int(v->n, "axis");
    const Dim *start = node_dim(v->n, "start"), *extent = node_dim(v->n, "extent");
    Ir *ir = v->g->ir;
    const Dim *rest = dim_sub(ir, v->n->in[0]->type->dims[axis], dim_add(ir, start, extent));
    dx[0] = graph_pad(v->g, v->dy, axis, start, rest);
}

void vjp_window(const VjpIn *v, const Node **dx)
{
    Windows w = {.axis = (uint32_t)node_int(v->n, "axis"),
                 .size = node_int(v->n, "size"),
                 .stride = node_int(v->n, "stride"),
                 .dilation = node_int(v->n, "dilation")};
    const Dim *extent = v->n->in[0]->type->dims[w.axis];
    const Node *sum = graph_unwindow(v->g, vjp_wide(v->g, v->dy), &w, extent);
    dx[0] = graph_cast(v->g, v->dy->type->dtype, sum);
}

void vjp_pad(const VjpIn *v, const Node **dx)
{
    uint32_t axis = (uint32_t)node_int(v->n, "axis");
    dx[0] = graph_slice(v->g, v->dy, axis, node_dim(v->n, "lo"), v->n->in[0]->type->dims[axis]);
}

void vjp_concat(const VjpIn *v, const Node **dx)
{
    uint32_t axis = (uint32_t)node_int(v->n, "axis");
    const Dim *from = dim_const(v->g->ir, 0);
    for (uint32_t k = 0; k < v->n->nin; k++) {
        const Dim *extent = v->n->in[k]->type->dims[axis];
        if (v->need[k])
            dx[k] = graph_slice(v->g, v->dy, axis, from, extent);
        from = dim_add(v->g->ir, from, extent);
    }
}

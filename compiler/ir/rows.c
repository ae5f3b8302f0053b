/* rows.c: operations that treat the indices of an axis alike and apart: what an axis of a result is in the
 * operands, and the same operation on fewer indices of it. */
#include "ir.h"

#include <string.h>

/* Of a contraction: batch axes, free axes of a, free axes of b. */
static bool dot_axis(const Node *n, uint32_t axis, uint32_t k, uint32_t *from)
{
    DotAxes x;
    node_dot_axes(n, &x);
    const int64_t *batch = k ? x.b_batch : x.a_batch, *depth = k ? x.b_contract : x.a_contract;
    if (axis < x.nbatch) {
        *from = (uint32_t)batch[axis];
        return true;
    }
    uint32_t at = x.nbatch, rank = n->in[k]->type->rank;
    if (k == 1)
        at += n->in[0]->type->rank - x.nbatch - x.ncontract;
    for (uint32_t i = 0; i < rank; i++) {
        bool used = false;
        for (uint32_t j = 0; j < x.nbatch; j++)
            used = used || batch[j] == i;
        for (uint32_t j = 0; j < x.ncontract; j++)
            used = used || depth[j] == i;
        if (!used && at++ == axis) {
            *from = i;
            return true;
        }
    }
    return false;
}

/* All axes up to this one are the same. */
static bool reshape_axis(const Node *n, uint32_t axis, uint32_t *from)
{
    const Type *t = n->type, *in = n->in[0]->type;
    *from = axis;
    for (uint32_t i = 0; i <= axis; i++)
        if (i >= in->rank || in->dims[i] != t->dims[i])
            return false;
    return true;
}

static bool kept_axis(const Node *n, uint32_t axis, uint32_t *from)
{
    if (strcmp(op_info(n->op)->attrs, "axes:ints") != 0)
        return false;
    const Attr *axes = node_ints(n, "axes");
    for (uint32_t i = 0; i < n->in[0]->type->rank; i++) {
        bool folded = false;
        for (uint32_t j = 0; j < axes->n; j++)
            folded = folded || axes->ints[j] == i;
        if (!folded && axis-- == 0) {
            *from = i;
            return true;
        }
    }
    return false;
}

RowAxis node_row_axis(const Node *n, uint32_t axis, uint32_t k, uint32_t *from)
{
    const Attr *axes;
    *from = axis;
    if (op_info(n->op)->cls == OC_ELEM)
        return ROW_AXIS;
    if (op_info(n->op)->cls == OC_CONTRACT && n->op == OP_DOT)
        return dot_axis(n, axis, k, from) ? ROW_AXIS : ROW_ALL;
    if (op_info(n->op)->cls == OC_REDUCE)
        return kept_axis(n, axis, from) ? ROW_AXIS : ROW_MIXED;
    if (n->op == OP_RESHAPE)
        return reshape_axis(n, axis, from) ? ROW_AXIS : ROW_MIXED;
    if (n->op == OP_PERMUTE) {
        *from = (uint32_t)node_ints(n, "perm")->ints[axis];
        return ROW_AXIS;
    }
    if (n->op != OP_EXPAND)
        return ROW_MIXED;
    axes = node_ints(n, "axes");
    for (uint32_t i = 0; i < axes->n; i++) {
        *from = i;
        if (axes->ints[i] == axis)
            return ROW_AXIS;
    }
    return ROW_ALL;
}

const Node *graph_fewer_rows(Graph *g, const Node *n, const Node *const *in, const RowRange *rows)
{
    const Dim *dims[IR_MAX_RANK];
    if (n->op != OP_RESHAPE && n->op != OP_EXPAND)
        return graph_copy_node(g, n, in);
    for (uint32_t i = 0; i < n->type->rank; i++)
        dims[i] = i == rows->axis ? rows->extent : n->type->dims[i];
    if (n->op == OP_RESHAPE)
        return graph_reshape(g, in[0], n->type->rank, dims);
    return graph_expand(g, in[0], n->type->rank, dims, node_ints(n, "axes")->ints);
}

bool node_is_rows(const Node *n, RowRange *rows)
{
    if (n->op != OP_SLICE)
        return false;
    rows->axis = (uint32_t)node_int(n, "axis");
    rows->start = node_dim(n, "start");
    rows->extent = n->type->dims[rows->axis];
    return true;
}

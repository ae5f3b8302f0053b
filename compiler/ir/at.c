/* at.c: the index maps of views and gathers, the column `at` of ops.def: which element of operand k
 * the element `out` of the result is. */
#include "infer.h"

void at_reshape(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in)
{
    const Type *from = n->in[k]->type, *to = n->type;
    ix_unflatten(ir, ix_flatten(ir, to->dims, out, to->rank), from->dims, from->rank, in);
}

void at_permute(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in)
{
    UNUSED(ir);
    UNUSED(k);
    const Attr *perm = node_ints(n, "perm");
    for (uint32_t i = 0; i < perm->n; i++)
        in[perm->ints[i]] = out[i];
}

void at_expand(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in)
{
    UNUSED(ir);
    UNUSED(k);
    const Attr *axes = node_ints(n, "axes");
    for (uint32_t i = 0; i < axes->n; i++)
        in[i] = out[axes->ints[i]];
}

void at_slice(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in)
{
    UNUSED(k);
    for (uint32_t i = 0; i < n->type->rank; i++)
        in[i] = out[i];
    uint32_t axis = (uint32_t)node_int(n, "axis");
    in[axis] = ix_add(ir, out[axis], ix_const(ir, node_dim(n, "start")));
}

/* out = [.., which, where, ..] */
void at_window(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in)
{
    UNUSED(k);
    uint32_t axis = (uint32_t)node_int(n, "axis");
    for (uint32_t i = 0; i + 1 < n->type->rank; i++)
        in[i] = out[i + (i > axis)];
    const Ix *first = ix_mul(ir, out[axis], dim_const(ir, node_int(n, "stride")));
    const Ix *within = ix_mul(ir, out[axis + 1], dim_const(ir, node_int(n, "dilation")));
    in[axis] = ix_add(ir, first, within);
}

/* out = [batch, middle, rows of idx, tail]; x is read at [batch, middle, idx[batch, rows], tail]. */
void at_gather(Ir *ir, const Node *n, uint32_t k, const Ix *const *out, const Ix **in)
{
    const Type *x = n->in[0]->type, *idx = n->in[1]->type;
    uint32_t axis = (uint32_t)node_int(n, "axis"), batch = (uint32_t)node_int(n, "batch");
    uint32_t rows = idx->rank - batch;
    const Ix *at[IR_MAX_RANK];
    for (uint32_t i = 0; i < idx->rank; i++)
        at[i] = i < batch ? out[i] : out[axis + i - batch];
    if (k == 1) {
        for (uint32_t i = 0; i < idx->rank; i++)
            in[i] = at[i];
        return;
    }
    for (uint32_t i = 0; i < x->rank; i++)
        in[i] = i < axis ? out[i] : out[i - 1 + rows];
    in[axis] = ix_load(ir, n->in[1], at, idx->rank, x->dims[axis]);
}

/* query.c: what passes ask about a node that ops.def has no column for. */
#include "ir.h"

bool node_is_state(const Node *n, uint32_t *state)
{
    if (n->op != OP_STATE)
        return false;
    *state = (uint32_t)node_int(n, "id");
    return true;
}

bool node_is_get(const Node *n, uint32_t *member)
{
    if (n->op != OP_GET)
        return false;
    *member = (uint32_t)node_int(n, "i");
    return true;
}

bool node_is_slot(const Node *n, const char *name)
{
    return n->op == OP_SLOT && strcmp(node_sym(n, "name"), name) == 0;
}

bool node_is_cast(const Node *n)
{
    return n->op == OP_CAST;
}

bool node_widens(const Node *n)
{
    DType from = n->op == OP_CAST ? n->in[0]->type->dtype : DT_F32;
    return n->type->dtype == DT_F32 && dtype_is_half(from);
}

bool node_multiplies(const Node *n)
{
    return n->op == OP_MUL && dtype_is_float(n->type->dtype);
}

bool node_is_reshape(const Node *n)
{
    return n->op == OP_RESHAPE;
}

const Node *node_plus_zero(const Node *n)
{
    double c;
    for (uint32_t k = 0; n->op == OP_ADD && k < 2; k++)
        if (node_is_const(n->in[k], &c) && c == 0)
            return n->in[1 - k];
    return NULL;
}

bool node_is_expand(const Node *n)
{
    return n->op == OP_EXPAND;
}

const Attr *node_permutation(const Node *n)
{
    return n->op == OP_PERMUTE ? node_ints(n, "perm") : NULL;
}

bool node_folds_last(const Node *fold)
{
    int64_t last = (int64_t)fold->in[0]->type->rank - 1;
    const Attr *axes = &fold->attr[0];
    if (axes->kind == AK_INT)
        return axes->i == last;
    return axes->n > 0 && axes->ints[axes->n - 1] == last;
}

const Node *node_zero_unless(const Node *n, uint32_t naxis)
{
    double other;
    while (n->op == OP_CAST)
        n = n->in[0];
    if (n->op != OP_SELECT || n->in[0]->op != OP_EXPAND || !node_is_const(n->in[2], &other) ||
        other != 0)
        return NULL;
    const Attr *axes = node_ints(n->in[0], "axes");
    for (uint32_t i = 0; i < axes->n; i++)
        if (axes->ints[i] >= naxis)
            return NULL;
    return n->in[0];
}

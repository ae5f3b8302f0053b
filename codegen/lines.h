/* lines.h: the lines of a tensor along one axis, [outer][n][inner]; private to codegen. */
#ifndef MDL_LINES_H
#define MDL_LINES_H

#include "lower.h"

typedef struct Lines {
    const Node *n; /* the operation; its axis keeps its extent */
    uint32_t axis;
    const Dim *outer, *length, *inner;
} Lines;

/* Of the only node of class `cls`, which is the only result of the body. */
static inline Lines lines_of(const Lower *lo, OpClass cls)
{
    Lines l = {0};
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == cls)
            l.n = lo->body->nodes.at[i];
    ASSERT(l.n && lo->body->results.n == 1 && lo->body->results.at[0].node == l.n);
    const Type *t = l.n->type;
    l.axis = (uint32_t)node_int(l.n, "axis");
    l.outer = dims_product(lo->ir, t->dims, l.axis);
    l.length = t->dims[l.axis];
    l.inner = dims_product(lo->ir, t->dims + l.axis + 1, t->rank - l.axis - 1);
    return l;
}

/* The element of: [outer, at, inner]. */
static inline void line_index(const Lower *lo, const Lines *l, const Ix *const *of, const Ix **ix)
{
    const Type *t = l->n->type;
    ix_unflatten(lo->ir, of[0], t->dims, l->axis, ix);
    ix[l->axis] = of[1];
    ix_unflatten(lo->ir, of[2], t->dims + l->axis + 1, t->rank - l->axis - 1, ix + l->axis + 1);
}

#endif

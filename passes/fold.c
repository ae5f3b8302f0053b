/* fold.c: constant folding through the eval columns of ops.def.
 *
 * Folding must not change a bit: only operations marked `exact` are folded (their kernels compute
 * the f64 evaluation rounded once; for + - * / and sqrt double rounding is harmless because f64 has
 * more than twice the digits of f32), operands are first rounded as their constants are, and
 * integers only where nothing overflows. */
#include "internal.h"

#include <math.h>

double fold_round(DType dtype, double value)
{
    uint64_t bytes = 0; /* room for any element type */
    dtype_store(dtype, &bytes, 0, value);
    return dtype_load(dtype, &bytes, 0);
}

/* The element that n computes from constant operands. */
static double evaluate(const Node *n, const double *x)
{
    const OpInfo *info = op_info(n->op);
    if (info->eval)
        return info->eval(x[0], x[1], x[2]);
    double result = 0;
    double operand = x[0];
    Value in = {.type = n->in[0]->type, .count = 1, .at = &operand};
    Value out = {.type = n->type, .count = 1, .at = &result};
    info->eval_tensor(n, (const Value *const[]){&in}, &out);
    return result;
}

const Node *fold_node(Graph *g, const Node *n)
{
    const OpInfo *info = op_info(n->op);
    bool foldable = info->cls == OC_ELEM && (info->exact || info->eval_tensor) && n->nin <= 3;
    if (!foldable || n->type->is_tuple)
        return NULL;
    double x[3] = {0, 0, 0};
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!node_is_const(n->in[k], &x[k]))
            return NULL;
        x[k] = fold_round(n->in[k]->type->dtype, x[k]);
    }
    double value = evaluate(n, x);
    double rounded = fold_round(n->type->dtype, value);
    bool is_float = dtype_is_float(n->type->dtype);
    if (!is_float && (rounded != value || fabs(value) > 0x1p53))
        return NULL;
    return graph_fill(g, n->type, rounded);
}

/* infer_loop.c: the type rule of `scan`: what goes round must have one type, what is read or made in each
 * round is a slice along axis 0. */
#include "infer.h"

typedef struct LoopCx {
    Ir *ir;
    const Node *n;
    Span span;
    const Graph *body;
    uint32_t carry, xs;
    const Dim *length;
} LoopCx;

static bool wrong(const LoopCx *x, uint32_t k, const Type *want, const Type *got)
{
    diag_at(x->ir->diags, DIAG_E0402, x->span, "value %u of `scan` should be `%s`, got `%s`", k,
            type_text(x->ir, want), type_text(x->ir, got));
    return false;
}

/* t without axis 0, which must have the loop's length; NULL otherwise. */
static const Type *slice_of(const LoopCx *x, const Type *t)
{
    if (t->is_tuple || !t->rank || t->dims[0] != x->length)
        return NULL;
    return type_tensor(x->ir, t->dtype, t->rank - 1, t->dims + 1);
}

static bool operands_fit(const LoopCx *x)
{
    for (uint32_t k = 0; k < x->n->nin; k++) {
        const Type *t = x->n->in[k]->type, *formal = x->body->inputs.at[k]->type;
        bool each = k >= x->carry && k < x->carry + x->xs;
        if ((each ? slice_of(x, t) : t) != formal)
            return wrong(x, k, formal, t);
    }
    for (uint32_t i = 0; i < x->carry; i++) {
        const Type *next = x->body->results.at[i].node->type;
        if (next != x->body->inputs.at[i]->type)
            return wrong(x, i, x->body->inputs.at[i]->type, next);
    }
    return true;
}

static const Type *stacked(const LoopCx *x, const Type *t)
{
    const Dim *dims[IR_MAX_RANK + 1] = {x->length};
    if (t->is_tuple) {
        diag_at(x->ir->diags, DIAG_E0408, x->span, "`scan` makes tensors, not tuples");
        return NULL;
    }
    for (uint32_t i = 0; i < t->rank; i++)
        dims[i + 1] = t->dims[i];
    return infer_tensor(x->ir, t->dtype, t->rank + 1, dims, x->span);
}

const Type *infer_loop(Ir *ir, const Node *n, Span span)
{
    const Graph *body = node_def(n)->body;
    int64_t carry = node_int(n, "carry"), xs = node_int(n, "xs");
    LoopCx x = {.ir = ir, .n = n, .span = span, .body = body, .length = node_dim(n, "length")};
    if (carry < 0 || xs < 0 || carry > body->results.n || !body->results.n || xs > n->nin ||
        carry + xs > n->nin || n->nin != body->inputs.n || dim_lo(ir, x.length) < 0) {
        diag_at(ir->diags, DIAG_E0303, span, "`scan`: %u operands do not fit a body of %u inputs",
                n->nin, body->inputs.n);
        return NULL;
    }
    x.carry = (uint32_t)carry;
    x.xs = (uint32_t)xs;
    if (!operands_fit(&x))
        return NULL;
    const Type **types = NEW_ARRAY(ir->arena, const Type *, body->results.n);
    for (uint32_t i = 0; i < body->results.n; i++) {
        const Type *t = body->results.at[i].node->type;
        types[i] = i < x.carry ? t : stacked(&x, t);
        if (!types[i])
            return NULL;
    }
    return body->results.n == 1 ? types[0] : type_tuple(ir, body->results.n, types);
}

/* narrow.c: floats of 16 or 8 bits are stored and moved, never computed with. Arithmetic widens its
 * operands to f32, and an expression is rounded once: where it is bound, returned or passed, in an op only
 * where it is a result. Until then its value is open: the node is the cast that rounds, and arithmetic
 * goes on with what the cast was made of. */
#include "elab.h"

bool narrow_is(DType dt)
{
    return dtype_is_float(dt) && dtype_info(dt)->bytes < 4;
}

/* f32 mixes with nothing but itself; a narrow `float` does, as in an op: so a program that is right in f32
 * is right in bf16. */
DType narrow_generic(const Elab *e)
{
    return narrow_is(e->precision.compute) ? e->precision.compute : DT_COUNT;
}

const Node *narrow_wide(Elab *e, const Val *v)
{
    const Node *n = tensor_of(e, v);
    if (!n || !narrow_is(n->type->dtype)) {
        return n;
    }
    bool cast = v->kind == V_TENSOR && v->open && n == v->node;
    return cast ? n->in[0] : graph_cast(e->g, DT_F32, n);
}

const Val *narrow_val(Elab *e, const Node *n, DType dt, Span span)
{
    if (!n || !narrow_is(dt) || n->type->dtype != DT_F32) {
        return val_node(e, n, span);
    }
    Val *v = val_new(e, V_TENSOR, span);
    v->node = graph_cast(e->g, dt, n);
    v->open = true;
    return v;
}

const Val *narrow_bound(Elab *e, const Val *v)
{
    if ((v->kind == V_TUPLE || v->kind == V_LIST) && !v->list.plain) {
        if (!elab_spend(e, v->list.n, v->span)) {
            return poison(e, v->span);
        }
        const Val **at = NEW_ARRAY(e->arena, const Val *, v->list.n + 1);
        bool same = true;
        for (uint32_t i = 0; i < v->list.n; i++) {
            at[i] = narrow_bound(e, v->list.at[i]);
            same = same && at[i] == v->list.at[i];
        }
        return same ? v : val_list(e, v->kind, at, v->list.n, v->span);
    }
    return v->kind == V_TENSOR && v->open && !e->in_op ? val_node(e, v->node, v->span) : v;
}

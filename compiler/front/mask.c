/* mask.c: a mask says which key u a query t of row b may see: a function (b, t, u) => cond, or several
 * joined by `and`, `or` and `not`. It is never a tensor in memory: whoever calls it, in an equation
 * mostly, gets the condition for the elements it works on. */
#include "elab.h"

enum { MASK_INDICES = 3 };

bool mask_is(const Val *v)
{
    return v->kind == V_MASK || v->kind == V_CLOSURE;
}

bool mask_fits(const Val *v)
{
    if (v->kind != V_CLOSURE) {
        return v->kind == V_MASK;
    }
    const Ast *ast = v->code.ast, *formals = ast->kid[0];
    while (formals->kind == A_PAREN) {
        formals = formals->kid[0];
    }
    if (ast->kind == A_LAMBDA) {
        return formals->kind == A_TUPLE && formals->nkid == MASK_INDICES;
    }
    uint32_t needed = 0;
    for (uint32_t i = 0; i < formals->nkid; i++) {
        needed += !formals->kid[i]->kid[1];
    }
    return needed <= MASK_INDICES && formals->nkid >= MASK_INDICES;
}

const Val *mask_taken(Elab *e, const Val *v)
{
    if (v->kind != V_CLOSURE) {
        return v;
    }
    Val *taken = COPY_ARRAY(e->arena, Val, v, 1);
    taken->is_mask = true;
    return taken;
}

const Val *mask_result(Elab *e, const Val *mask, const Val *v)
{
    bool fits = v->kind == V_BOOL || (is_tensor(v) && tensor_type(v)->dtype == DT_BOOL);
    if (!mask->is_mask || fits || val_is_poison(v)) {
        return v;
    }
    const Ast *fn = mask->code.ast;
    bool lambda = fn->kind == A_LAMBDA;
    const char *got =
        is_tensor(v) ? name_quoted(e, dtype_info(tensor_type(v)->dtype)->name) : val_text(e, v);
    Diag *d = diag_at(e->diags, DIAG_E0205, lambda ? fn->kid[1]->span : fn->name_span,
                      "a mask says true or false for (b, t, u), got %s", got);
    diag_help(d, "compare: `(b, t, u) => u <= t`");
    return poison(e, v->span);
}

/* true and false are the masks of everything and of nothing. */
static const Val *join_known(Elab *e, OpKind op, const Val *known, const Val *other, Span span)
{
    bool decides = known->b == (op == OP_OR);
    return val_at(e, decides ? known : other, span);
}

const Val *mask_join(Elab *e, OpKind op, const Val *a, const Val *b, Span span)
{
    if (val_is_poison(a) || (b && val_is_poison(b))) {
        return poison(e, span);
    }
    if (b && (a->kind == V_BOOL || b->kind == V_BOOL)) {
        return a->kind == V_BOOL ? join_known(e, op, a, b, span) : join_known(e, op, b, a, span);
    }
    if (!mask_fits(a) || (b && !mask_fits(b))) {
        const Val *wrong = b && mask_fits(a) ? b : a;
        diag_at(e->diags, DIAG_E0501, wrong->span,
                "`%s` takes masks, functions of (b, t, u), got %s", op_info(op)->name,
                val_text(e, wrong));
        return poison(e, span);
    }
    Val *v = val_new(e, V_MASK, span);
    v->mask.op = op;
    v->mask.a = mask_taken(e, a);
    v->mask.b = b ? mask_taken(e, b) : NULL;
    return v;
}

static const Val *side_call(Elab *e, Env *env, const Val *m, const Args *args)
{
    Args again = *args;
    return call_value(e, env, m, &again);
}

const Val *mask_call(Elab *e, Env *env, const Val *m, Args *args)
{
    if (!elab_enter(e, args->call)) {
        return poison(e, args->call);
    }
    const Val *a = side_call(e, env, m->mask.a, args);
    const Val *b = m->mask.b ? side_call(e, env, m->mask.b, args) : NULL;
    elab_leave(e);
    return mask_values(e, m->mask.op, a, b, args->call);
}

const Val *mask_values(Elab *e, OpKind op, const Val *a, const Val *b, Span span)
{
    if (val_is_poison(a) || (b && val_is_poison(b))) {
        return poison(e, span);
    }
    if (!b) {
        return a->kind == V_BOOL ? val_bool(e, !a->b, span) : arith_unary(e, op, a, span);
    }
    if (a->kind == V_BOOL || b->kind == V_BOOL) {
        return a->kind == V_BOOL ? join_known(e, op, a, b, span) : join_known(e, op, b, a, span);
    }
    return arith_binary(e, op, a, b, span);
}

/* body.c: statements of functions: bindings, tuples, loops that unroll. Names are rebound, never
 * changed: each binding makes a new value. */
#include "elab.h"

enum { MAX_ROUNDS = 100000 };

static void bind_name(Elab *e, Env *env, const Ast *target, const Val *v)
{
    if (target->kind == A_PAREN) {
        bind_name(e, env, target->kid[0], v);
        return;
    }
    if (target->kind != A_ID) {
        diag_at(e->diags, DIAG_E0106, target->span, "cannot assign to a %s",
                ast_kind_name(target->kind));
        return;
    }
    if (strcmp(target->name, "_") != 0) {
        shapes_note(e, target, target->name, v);
        env_bind(e, env, target->name, v);
    }
}

static void bind_names(Elab *e, Env *env, const Ast *left, const Val *v)
{
    if (left->nkid == 1) {
        bind_name(e, env, left->kid[0], v);
        return;
    }
    bool fits = v->kind == V_TUPLE && v->list.n == left->nkid;
    if (!fits && !val_is_poison(v)) {
        uint32_t n = v->kind == V_TUPLE ? v->list.n : 1;
        const Diag *d = diag_at(e->diags, DIAG_E0408, left->span, "%u value%s, %u names", n,
                                n == 1 ? "" : "s", left->nkid);
        env->lost = n > left->nkid ? d : env->lost;
    }
    for (uint32_t i = 0; i < left->nkid; i++) {
        bind_name(e, env, left->kid[i], fits ? v->list.at[i] : poison(e, left->span));
    }
}

static void eval_bind(Elab *e, Env *env, const Ast *a)
{
    if (equation_is(a)) {
        Sym name = NULL;
        const Val *v = equation_eval(e, env, a, &name);
        if (name) {
            shapes_note(e, a->kid[0], name, v);
            env_bind(e, env, name, narrow_bound(e, v));
        }
        return;
    }
    const Val *v = eval(e, env, a->kid[1]);
    if (a->kid[2]) {
        const Ast *left = a->kid[0];
        bool named = left->nkid == 1 && left->kid[0]->kind == A_ID;
        v = sig_accept(e, env, a->kid[2], v,
                       named ? arena_printf(e->arena, "the value of `%s`", left->kid[0]->name)
                             : "the values");
    }
    bind_names(e, env, a->kid[0], narrow_bound(e, v));
}

void body_lose(Elab *e, Env *env, const Ast *stmts)
{
    for (uint32_t i = 0; stmts && i < stmts->nkid; i++) {
        const Ast *s = stmts->kid[i];
        if (s && s->kind == A_ID && stmts->kind == A_EXPRS) {
            env_bind(e, env, s->name, poison(e, s->span));
        } else if (s && s->kind == A_INDEX && stmts->kind == A_EXPRS && s->kid[0]->kind == A_ID) {
            env_bind(e, env, s->kid[0]->name, poison(e, s->span));
        } else if (s && s->kind == A_BIND) {
            body_lose(e, env, s->kid[0]);
        } else if (s && (s->kind == A_FOR || s->kind == A_IF || s->kind == A_STMTS ||
                         s->kind == A_RESULT)) {
            body_lose(e, env, s);
        }
    }
}

static bool for_rounds(Elab *e, Env *env, const Ast *a)
{
    const Val *over = eval(e, env, a->kid[0]);
    int64_t lo = 0, hi = 0;
    if (over->kind == V_RANGE) {
        if (!val_as_int(over->list.at[0], &lo) || !val_as_int(over->list.at[1], &hi)) {
            bool open = elab_open(e, over->list.at[0]->dim) || elab_open(e, over->list.at[1]->dim);
            if (!open) {
                diag_at(e->diags, DIAG_E0307, a->kid[0]->span, "a loop needs compile-time bounds");
            }
            return false;
        }
    } else if (over->kind == V_LIST || over->kind == V_TUPLE) {
        hi = over->list.n;
    } else if (over->kind == V_ARRAY) {
        hi = over->array.n;
    } else {
        if (val_is_poison(over)) {
            return false;
        }
        diag_at(e->diags, DIAG_E0205, a->kid[0]->span,
                "a loop runs over a range, a list or a module array, got %s", val_text(e, over));
        return false;
    }
    if (hi > lo && (uint64_t)hi - (uint64_t)lo > MAX_ROUNDS) {
        diag_at(e->diags, DIAG_E0109, a->span, "the loop unrolls to more than %d rounds",
                MAX_ROUNDS);
        return false;
    }
    uint32_t errors = diags_reported(e->diags);
    for (int64_t i = lo; i < hi && elab_spend(e, 1, a->span); i++) {
        const Val *v = over->kind == V_RANGE   ? val_int(e, i, a->span)
                       : over->kind == V_ARRAY ? NULL
                                               : over->list.at[i];
        if (!v) {
            Val *inst = val_new(e, V_INSTANCE, a->span);
            inst->inst = over->array.at[i];
            v = inst;
        }
        env_bind(e, env, a->name, v);
        eval_body(e, env, a->kid[1]);
        if (diags_reported(e->diags) > errors) {
            return false; /* the next rounds would only say it again */
        }
    }
    return true;
}

static void eval_for(Elab *e, Env *env, const Ast *a)
{
    if (!for_rounds(e, env, a)) {
        body_lose(e, env, a);
    }
}

static bool has_effect(const Ast *a)
{
    if (a->kind == A_IF) {
        return true;
    }
    const Ast *callee = a->kind == A_CALL ? a->kid[0] : NULL;
    return callee && callee->kind == A_MEMBER &&
           (strcmp(callee->name, "set") == 0 || strcmp(callee->name, "append") == 0);
}

static const Val *eval_result(Elab *e, Env *env, const Ast *a, bool last)
{
    const Val **at = NEW_ARRAY(e->arena, const Val *, a->nkid + 1);
    for (uint32_t i = 0; i < a->nkid; i++) {
        at[i] = eval(e, env, a->kid[i]);
        if (!last && !has_effect(a->kid[i]) && !val_is_poison(at[i])) {
            diag_at(e->diags, DIAG_W0101, a->kid[i]->span, "this value is not used");
        }
    }
    return a->nkid == 1 ? at[0] : val_list(e, V_TUPLE, at, a->nkid, a->span);
}

/* Index of the last statement that is not a vjp block. */
static uint32_t last_statement(const Ast *stmts)
{
    uint32_t last = stmts->nkid;
    for (uint32_t i = 0; i < stmts->nkid; i++) {
        last = stmts->kid[i]->kind == A_VJP ? last : i;
    }
    return last;
}

const Val *eval_body(Elab *e, Env *env, const Ast *stmts)
{
    if (stmts->kind != A_STMTS) {
        return eval(e, env, stmts);
    }
    const Val *none = val_none(e, stmts->span), *result = none;
    uint32_t last = last_statement(stmts);
    for (uint32_t i = 0; i < stmts->nkid; i++) {
        const Ast *s = stmts->kid[i];
        result = none;
        if (s->kind == A_BIND) {
            eval_bind(e, env, s);
        } else if (s->kind == A_LET) {
            const Val *v = eval(e, env, s->kid[0]);
            shapes_note(e, s, s->name, v);
            env_bind(e, env, s->name, v);
        } else if (s->kind == A_FOR) {
            eval_for(e, env, s);
        } else if (s->kind == A_RESULT) {
            result = eval_result(e, env, s, i == last);
        } else if (s->kind == A_ERROR) {
            result = poison(e, s->span);
        }
        if (i == last) {
            return result;
        }
    }
    return result;
}

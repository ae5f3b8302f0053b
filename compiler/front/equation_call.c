/* equation_call.c: functions called in an equation. One written as an expression is evaluated in the
 * indices of the call: its formals stand for the arguments, so that `pos[b, t]` of a mask names axes and
 * reads nothing that the call does not need. Any other gets its arguments as tensors over all their
 * indices and must be elementwise. */
#include "equation.h"

/* The arguments of a call. */
typedef struct EqArgs {
    uint32_t n;
    Sym *name;  /* NULL: positional */
    int *index; /* the index that the argument is, or -1 */
    EqValue *v;
    Span call;
} EqArgs;

static EqValue call_any(Equation *q, const Val *fn, const EqArgs *args);

static int bare_index(const Equation *q, const Ast *a)
{
    while (a->kind == A_PAREN) {
        a = a->kid[0];
    }
    return a->kind == A_ID ? eq_find(q, a->name) : -1;
}

static EqArgs evaluate_args(Equation *q, const Ast *call)
{
    Arena *arena = q->e->arena;
    uint32_t n = call->nkid - 1;
    EqArgs args = {n, NEW_ARRAY(arena, Sym, n + 1), NEW_ARRAY(arena, int, n + 1),
                   NEW_ARRAY(arena, EqValue, n + 1), call->span};
    for (uint32_t i = 0; i < n; i++) {
        const Ast *k = call->kid[i + 1];
        bool named = k->kind == A_NAMED;
        args.name[i] = named ? k->name : NULL;
        k = named ? k->kid[0] : k;
        args.index[i] = bare_index(q, k);
        args.v[i] = eq_eval(q, k);
        args.v[i].v = val_at(q->e, args.v[i].v, k->span);
    }
    return args;
}

/* ---- elementwise functions ---- */

static bool covers(const Equation *q, const Type *t, uint32_t axes)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        if (axes & eq_bit(i)) {
            if (k >= t->rank || t->dims[k] != q->index[i].extent) {
                return false;
            }
            k++;
        }
    }
    return k == t->rank;
}

static EqValue call_elements(Equation *q, const Val *fn, const EqArgs *of)
{
    Elab *e = q->e;
    uint32_t axes;
    EqValue *v = COPY_ARRAY(e->arena, EqValue, of->v, of->n + 1);
    if (!eq_align_all(q, v, of->n, &axes)) {
        return eq_poison(q, of->call);
    }
    Args *args = NEW(e->arena, Args);
    args->call = of->call;
    for (uint32_t i = 0; i < of->n; i++) {
        args_push(e, args, of->name[i], v[i].v);
    }
    e->lifted++;
    const Val *r = call_value(e, q->env, fn, args);
    e->lifted--;
    if (is_tensor(r) && !covers(q, tensor_type(r), axes)) {
        diag_at(e->diags, DIAG_E0413, of->call, "a function in an equation must be elementwise");
        return eq_poison(q, of->call);
    }
    return (EqValue){r, is_tensor(r) ? axes : 0};
}

/* ---- functions in the indices of the call ---- */

static bool expression(const Ast *a);

static bool one_value(const Ast *a)
{
    bool block = a->kind == A_STMTS || a->kind == A_RESULT;
    return block ? a->nkid == 1 && one_value(a->kid[0]) : expression(a);
}

/* One number at a time: no blocks, no lists. */
static bool expression(const Ast *a)
{
    if (a->kind == A_STMTS || a->kind == A_LAMBDA || a->kind == A_TUPLE || a->kind == A_LIST) {
        return false;
    }
    if (a->kind == A_IF) {
        return expression(a->kid[0]) && one_value(a->kid[1]) && a->kid[2] && one_value(a->kid[2]);
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i] && !expression(a->kid[i])) {
            return false;
        }
    }
    return true;
}

static bool simple_bind(const Ast *s)
{
    return s->kind == A_BIND && !equation_is(s) && s->kid[0]->nkid == 1 &&
           s->kid[0]->kid[0]->kind == A_ID && !s->kid[2] && expression(s->kid[1]);
}

/* Bindings of single names, then one value. */
static bool body_inlines(const Ast *body)
{
    if (body->kind != A_STMTS) {
        return expression(body);
    }
    uint32_t n = body->nkid;
    for (uint32_t i = 0; i + 1 < n; i++) {
        const Ast *s = body->kid[i];
        if (s->kind != A_LET && !simple_bind(s)) {
            return false;
        }
    }
    return n && body->kid[n - 1]->kind == A_RESULT && one_value(body->kid[n - 1]);
}

static const Ast *body_of(const Ast *fn)
{
    return fn->kind == A_LAMBDA ? fn->kid[1] : fn->kid[2];
}

/* `x`, `x: i32`, `x: [..]`: a single element fits. */
static bool takes_elements(const Ast *fn)
{
    for (uint32_t i = 0; fn->kind == A_FN && i < fn->kid[0]->nkid; i++) {
        const Ast *type = fn->kid[0]->kid[i]->kid[0];
        for (uint32_t k = 1; type && type->kind == A_T_TENSOR && k < type->nkid; k++) {
            if (type->kid[k]->kind != A_PACK) {
                return false;
            }
        }
    }
    return true;
}

static bool inlines(const Val *fn)
{
    const Ast *ast = fn->kind == V_CLOSURE ? fn->code.ast : NULL;
    return ast && ast->kind != A_OP && takes_elements(ast) && body_inlines(body_of(ast));
}

/* The formal `name` of the frame: an index, elements, or a value of compile time. */
static void bind_local(Equation *in, Sym name, int index, const EqValue *v)
{
    Elab *e = in->e;
    EqLocal *local = NEW(e->arena, EqLocal);
    *local = (EqLocal){.name = name, .index = index, .v = *v, .up = in->local};
    local->plain = index < 0 && !v->axes;
    in->local = local;
    if (local->plain) {
        env_bind(e, in->env, name, v->v);
    }
}

/* v under the type of a formal or of the result, checked as a single element. */
static bool accept_element(Equation *in, const Ast *type, EqValue *v, const char *what)
{
    Elab *e = in->e;
    if (!type) {
        return true;
    }
    if (!is_tensor(v->v)) {
        v->v = sig_accept(e, in->env, type, v->v, what);
        v->axes = 0;
        return !val_is_poison(v->v);
    }
    DType dt = tensor_type(v->v)->dtype;
    const Val *element = val_node(e, graph_fill(e->g, type_scalar(e->ir, dt), 0), v->v->span);
    sig_fix_float(in->env, type, element);
    element = sig_accept(e, in->env, type, element, what);
    if (val_is_poison(element)) {
        return false;
    }
    const Node *n = tensor_of(e, v->v);
    v->v = val_node(e, n ? graph_cast(e->g, tensor_type(element)->dtype, n) : NULL, v->v->span);
    return n != NULL;
}

static bool bind_formals(Equation *in, const Ast *fn, const EqArgs *args)
{
    Elab *e = in->e;
    const Ast *formals = fn->kid[0];
    const Val **out = NEW_ARRAY(e->arena, const Val *, formals->nkid + 1);
    const char *who = arena_printf(e->arena, "`%s`", fn->name);
    Args *given = NEW(e->arena, Args);
    given->call = args->call;
    for (uint32_t i = 0; i < args->n; i++) {
        args_push(e, given, args->name[i], args->v[i].v);
    }
    if (!args_bind(e, formals, given, out, who)) {
        return false;
    }
    for (uint32_t k = 0; k < formals->nkid; k++) {
        const Ast *f = formals->kid[k];
        uint32_t i = 0;
        while (i < args->n && args->v[i].v != out[k]) {
            i++;
        }
        EqValue v = i < args->n ? args->v[i] : (EqValue){.v = NULL};
        if (!v.v && f->kid[1]) {
            v.v = eval(e, in->env, f->kid[1]);
        }
        if (!v.v) {
            Diag *d = diag_at(e->diags, DIAG_E0303, args->call, "missing argument `%s` of %s",
                              f->name, who);
            diag_also(d, f->span, "it has no default");
            return false;
        }
        const char *what = arena_printf(e->arena, "argument `%s` of %s", f->name, who);
        const Val *before = v.v;
        if (val_is_poison(v.v) || !accept_element(in, f->kid[0], &v, what)) {
            return false;
        }
        bool same = is_tensor(before) && is_tensor(v.v) && tensor_type(before) == tensor_type(v.v);
        bind_local(in, f->name, i < args->n && same ? args->index[i] : -1, &v);
    }
    return true;
}

static bool bind_params(Equation *in, const Ast *lambda, const EqArgs *args)
{
    Elab *e = in->e;
    const Ast *params = lambda_params(e, lambda, args->n, args->call);
    if (!params) {
        return false;
    }
    for (uint32_t i = 0; i < args->n; i++) {
        const Ast *p = params->kind == A_TUPLE ? params->kid[i] : params;
        if (args->name[i] || p->kind != A_ID) {
            diag_at(e->diags, args->name[i] ? DIAG_E0302 : DIAG_E0106,
                    args->name[i] ? args->call : p->span,
                    args->name[i] ? "a lambda has no named arguments" : "a parameter is a name");
            return false;
        }
        bind_local(in, p->name, args->index[i], &args->v[i]);
    }
    return true;
}

static EqValue run_body(Equation *in, const Ast *body)
{
    if (body->kind != A_STMTS) {
        return eq_eval(in, body);
    }
    for (uint32_t i = 0; i + 1 < body->nkid; i++) {
        const Ast *s = body->kid[i];
        if (s->kind == A_LET) {
            EqValue v = {eval(in->e, in->env, s->kid[0]), 0};
            bind_local(in, s->name, -1, &v);
            continue;
        }
        EqValue v = eq_eval(in, s->kid[1]);
        if (val_is_poison(v.v)) {
            return v;
        }
        bind_local(in, s->kid[0]->kid[0]->name, -1, &v);
    }
    const Ast *last = body->kid[body->nkid - 1];
    while ((last->kind == A_STMTS || last->kind == A_RESULT) && last->nkid == 1) {
        last = last->kid[0];
    }
    return eq_eval(in, last);
}

static EqValue call_inline(Equation *q, const Val *fn, const EqArgs *args)
{
    Elab *e = q->e;
    const Ast *ast = fn->code.ast;
    bool lambda = ast->kind == A_LAMBDA;
    Inst *inst = env_instance(fn->code.env);
    if (!lambda && call_recursive(e, ast, inst, args->call)) {
        return eq_poison(q, args->call);
    }
    map_put(e->front->called, MAP_KEY(ast), (void *)ast);
    Equation *in = COPY_ARRAY(e->arena, Equation, q, 1);
    in->env = env_new(e, ENV_FRAME, fn->code.env);
    in->env->function = lambda ? NULL : ast;
    in->env->generic_float = !lambda && !inst;
    in->env->call = args->call;
    CallFrame frame = {ast, inst, e->calls, in->env};
    in->local = NULL;
    in->called = true;
    if (lambda ? !bind_params(in, ast, args) : !bind_formals(in, ast, args)) {
        return eq_poison(q, args->call);
    }
    e->calls = lambda ? e->calls : &frame;
    EqValue r = run_body(in, body_of(ast));
    const char *what = lambda ? "" : arena_printf(e->arena, "the result of `%s`", ast->name);
    bool ok = !val_is_poison(r.v) && (lambda || accept_element(in, ast->kid[1], &r, what));
    e->calls = frame.up;
    return ok ? r : eq_poison(q, args->call);
}

/* ---- masks ---- */

static EqValue call_mask(Equation *q, const Val *m, const EqArgs *args)
{
    EqValue v[2] = {{0}};
    uint32_t n = m->mask.b ? 2 : 1, axes;
    if (!elab_enter(q->e, args->call)) {
        return eq_poison(q, args->call);
    }
    v[0] = call_any(q, m->mask.a, args);
    if (n == 2) {
        v[1] = call_any(q, m->mask.b, args);
    }
    elab_leave(q->e);
    if (!eq_align_all(q, v, n, &axes)) {
        return eq_poison(q, args->call);
    }
    const Val *r = mask_values(q->e, m->mask.op, v[0].v, v[1].v, args->call);
    return (EqValue){r, is_tensor(r) ? axes : 0};
}

static EqValue call_any(Equation *q, const Val *fn, const EqArgs *args)
{
    Span outer = diags_call(q->e->diags, args->call);
    EqValue v = fn->kind == V_MASK ? call_mask(q, fn, args)
                : inlines(fn)      ? call_inline(q, fn, args)
                                   : call_elements(q, fn, args);
    diags_return(q->e->diags, outer);
    v.v = mask_result(q->e, fn, v.v);
    return v;
}

bool eq_is_size(Equation *q, const Ast *a)
{
    if (a->kind != A_CALL || a->kid[0]->kind != A_ID || eq_has_index(q, a)) {
        return false;
    }
    const Val *fn = env_find(q->e, q->env, a->kid[0]->name, a->kid[0]->span);
    return fn && fn->kind == V_BUILTIN && builtin_is_size(fn->builtin);
}

EqValue eq_call(Equation *q, const Ast *a)
{
    if (eq_is_size(q, a)) {
        return (EqValue){eval(q->e, q->env, a), 0};
    }
    const Val *fn = eval(q->e, q->env, a->kid[0]);
    EqArgs args = evaluate_args(q, a);
    for (uint32_t i = 0; i < args.n; i++) {
        if (val_is_poison(args.v[i].v)) {
            return eq_poison(q, a->span);
        }
    }
    return val_is_poison(fn) ? eq_poison(q, a->span) : call_any(q, fn, &args);
}

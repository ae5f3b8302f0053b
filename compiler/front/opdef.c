/* opdef.c: `op` is kept whole: its body is elaborated once for its actual types into a Def (body and
 * vjp graphs) and the caller's graph gets one composite node. Forward bindings that the vjp mentions
 * become hidden results. Ops that give a loss or take functions are inlined instead: neither is a
 * value of the graph. */
#include "elab.h"

typedef struct OpCx {
    Elab *e;
    const Ast *ast;
    Env *scope;         /* where the op is written */
    const Val **arg;    /* by formal, in the caller's terms; NULL: default */
    const Node **outer; /* tensor arguments in the caller's graph, in formal order */
    const Ast **formal; /* of each outer */
    uint32_t nouter;
    Env *frame; /* of the body */
    Graph *body;
    VEC(const Node *) results; /* visible, then hidden; nodes of body */
    VEC(Sym) hidden;           /* names of the hidden ones */
    uint32_t nvisible;
} OpCx;

static const Ast *vjp_of(const Ast *op)
{
    const Ast *stmts = op->kid[2];
    for (uint32_t i = 0; stmts->kind == A_STMTS && i < stmts->nkid; i++) {
        if (stmts->kid[i]->kind == A_VJP) {
            return stmts->kid[i];
        }
    }
    return NULL;
}

static bool type_word(const Ast *type, const char *word)
{
    return type && type->kind == A_T_NAME && type->kid[0]->kind == A_ID &&
           strcmp(type->kid[0]->name, word) == 0;
}

static bool must_inline(const Ast *op)
{
    bool inlined = type_word(op->kid[1], "loss");
    for (uint32_t i = 0; i < op->kid[0]->nkid; i++) {
        const Ast *type = op->kid[0]->kid[i]->kid[0];
        inlined = inlined || type_word(type, "fn") || type_word(type, "mask");
    }
    return inlined;
}

/* Moves tensor arguments into inputs of the body graph. */
static bool make_inputs(OpCx *x)
{
    Elab *e = x->e;
    const Ast *formals = x->ast->kid[0];
    x->outer = NEW_ARRAY(e->arena, const Node *, formals->nkid + 1);
    x->formal = NEW_ARRAY(e->arena, const Ast *, formals->nkid + 1);
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Val *v = x->arg[i];
        if (!v || !is_tensor(v)) {
            continue;
        }
        const Node *n = tensor_of(e, v);
        if (!n) {
            return false;
        }
        x->formal[x->nouter] = formals->kid[i];
        x->outer[x->nouter++] = n;
        x->arg[i] = val_node(e, graph_input(x->body, formals->kid[i]->name, n->type), v->span);
    }
    return true;
}

static bool collect_results(OpCx *x, const Val *v)
{
    Elab *e = x->e;
    bool tuple = v->kind == V_TUPLE;
    for (uint32_t i = 0; i < (tuple ? v->list.n : 1); i++) {
        const Val *r = tuple ? v->list.at[i] : v;
        const Node *n = val_is_poison(r) ? NULL : tensor_of(e, r);
        if (!n) {
            return false;
        }
        VEC_PUSH(e->arena, &x->results, n);
    }
    x->nvisible = x->results.n;
    return true;
}

/* ---- the vjp ---- */

static bool is_formal(const OpCx *x, Sym name)
{
    for (uint32_t i = 0; i < x->nouter; i++) {
        if (x->formal[i]->name == name) {
            return true;
        }
    }
    return false;
}

/* The input or visible result that a forward binding is another name for, or NULL. */
static const Node *alias_of(const OpCx *x, const Node *n)
{
    for (uint32_t i = 0; i < x->nvisible; i++) {
        if (x->results.at[i] == n) {
            return n;
        }
    }
    return n->op == OP_INPUT ? n : NULL;
}

/* Names of forward bindings that the vjp mentions: they become hidden results, unless the vjp has
 * their value already. */
static void find_hidden(OpCx *x, const Ast *a)
{
    if (a->kind == A_ID && !is_formal(x, a->name)) {
        const Val *v = env_local(x->frame, a->name);
        bool seen = false;
        for (uint32_t i = 0; i < x->hidden.n; i++) {
            seen = seen || x->hidden.at[i] == a->name;
        }
        if (v && v->kind == V_TENSOR && !seen && !alias_of(x, v->node)) {
            VEC_PUSH(x->e->arena, &x->hidden, a->name);
            VEC_PUSH(x->e->arena, &x->results, v->node);
        }
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i]) {
            find_hidden(x, a->kid[i]);
        }
    }
}

static Env *vjp_frame(const OpCx *x)
{
    Elab *e = x->e;
    Env *frame = env_new(e, ENV_FRAME, x->scope);
    frame->generic_float = true;
    frame->has_float = x->frame->has_float;
    frame->float_type = x->frame->float_type;
    frame->packs = x->frame->packs;
    frame->function = x->ast;
    for (uint32_t i = 0; i < x->frame->locals.n; i++) {
        const Binding *b = &x->frame->locals.at[i];
        if (b->value->kind != V_TENSOR) {
            env_bind(e, frame, b->name, b->value);
        }
    }
    return frame;
}

/* A formal given as a number has no node outside; inside the vjp it is the same constant. */
static void bind_constants(const OpCx *x, Env *frame)
{
    const Ast *formals = x->ast->kid[0];
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Val *v = env_local(x->frame, formals->kid[i]->name);
        double c;
        if (v && v->kind == V_TENSOR && !is_formal(x, formals->kid[i]->name) &&
            node_is_const(v->node, &c)) {
            const Node *n = graph_fill(x->e->g, v->node->type, c);
            env_bind(x->e, frame, formals->kid[i]->name, val_node(x->e, n, v->span));
        }
    }
}

/* Forward bindings under the names the body gave them; inside the vjp they are inputs. */
static void bind_forward(const OpCx *x, const Graph *g, Env *frame, const Ast *vjp)
{
    for (uint32_t i = 0; i < x->frame->locals.n; i++) {
        const Binding *b = &x->frame->locals.at[i];
        const Node *n = b->value->kind == V_TENSOR ? b->value->node : NULL;
        for (uint32_t k = 0; n && k < x->results.n; k++) {
            if (x->results.at[k] == n) {
                const Node *in = g->inputs.at[x->nouter + k];
                env_bind(x->e, frame, b->name, val_node(x->e, in, vjp->span));
            }
        }
        for (uint32_t k = 0; n && k < x->nouter; k++) {
            if (x->body->inputs.at[k] == n) {
                env_bind(x->e, frame, b->name, val_node(x->e, g->inputs.at[k], vjp->span));
            }
        }
    }
}

static void bind_vjp_inputs(const OpCx *x, Graph *g, Env *frame, const Ast *vjp)
{
    Elab *e = x->e;
    const Val **dy = NEW_ARRAY(e->arena, const Val *, x->nvisible + 1);
    for (uint32_t i = 0; i < x->nouter; i++) {
        graph_input(g, x->formal[i]->name, x->outer[i]->type);
    }
    for (uint32_t i = 0; i < x->results.n; i++) {
        Sym name =
            i >= x->nvisible ? x->hidden.at[i - x->nvisible] : sym_printf(e->ir->syms, "out.%u", i);
        graph_input(g, name, x->results.at[i]->type);
    }
    bind_forward(x, g, frame, vjp);
    for (uint32_t i = 0; i < x->nvisible; i++) {
        Sym name = x->nvisible == 1 ? vjp->name : sym_printf(e->ir->syms, "%s.%u", vjp->name, i);
        dy[i] = val_node(e, graph_input(g, name, x->results.at[i]->type), vjp->span);
    }
    env_bind(e, frame, vjp->name, x->nvisible == 1 ? dy[0] : val_list(e, V_TUPLE, dy, x->nvisible));
}

static bool cotangent(const OpCx *x, Graph *g, Env *frame, uint32_t i, const Ast *vjp)
{
    Elab *e = x->e;
    Sym name = sym_printf(e->ir->syms, "d%s", x->formal[i]->name);
    const Val *v = env_local(frame, name);
    if (!v) {
        diag_at(e->diags, DIAG_E0603, vjp->span, "`vjp` of `%s` gives no cotangent for `%s`",
                x->ast->name, x->formal[i]->name);
        return false;
    }
    const Node *n = val_is_number(v)   ? arith_fill(e, v, x->outer[i]->type, v->span)
                    : val_is_poison(v) ? NULL
                                       : tensor_of(e, v);
    if (n && n->type != x->outer[i]->type) {
        diag_at(e->diags, DIAG_E0604, vjp->span, "`%s` is `%s`, `%s` is `%s`", name,
                type_text(e->ir, n->type), x->formal[i]->name, type_text(e->ir, x->outer[i]->type));
        return false;
    }
    if (n) {
        graph_result(g, name, n);
    }
    return n != NULL;
}

static const Def *make_vjp(OpCx *x, const Ast *vjp)
{
    Elab *e = x->e;
    Graph *outside = e->g;
    find_hidden(x, vjp->kid[0]);
    Graph *g = graph_new(e->ir, e->arena, sym_printf(e->ir->syms, "%s_bwd", x->ast->name));
    Env *frame = vjp_frame(x);
    e->g = g;
    bind_constants(x, frame);
    bind_vjp_inputs(x, g, frame, vjp);
    eval_body(e, frame, vjp->kid[0]);
    bool ok = true;
    for (uint32_t i = 0; i < x->nouter; i++) {
        if (dtype_is_float(x->outer[i]->type->dtype)) {
            ok = cotangent(x, g, frame, i, vjp) && ok;
        }
    }
    e->g = outside;
    if (!ok) {
        return NULL;
    }
    Def proto = {DEF_COMPOSITE, g->name, g, g->results.n, NULL, 0};
    return def_intern(e->ir, &proto);
}

/* ---- the call ---- */

static const Val *composite(OpCx *x, const Def *vjp, Span span)
{
    Elab *e = x->e;
    for (uint32_t i = 0; i < x->results.n; i++) {
        Sym name = i >= x->nvisible   ? x->hidden.at[i - x->nvisible]
                   : x->nvisible == 1 ? sym(e->ir->syms, "y")
                                      : sym_printf(e->ir->syms, "y.%u", i);
        graph_result(x->body, name, x->results.at[i]);
    }
    Def proto = {DEF_COMPOSITE, x->ast->name, x->body, x->nvisible, vjp, 0};
    e->g->span = span;
    const Node *call = graph_call(e->g, def_intern(e->ir, &proto), x->outer, x->nouter);
    const Val **at = NEW_ARRAY(e->arena, const Val *, x->nvisible + 1);
    for (uint32_t i = 0; i < x->nvisible; i++) {
        at[i] = val_node(e, graph_get(e->g, call, i), span);
    }
    return x->nvisible == 1 ? at[0] : val_list(e, V_TUPLE, at, x->nvisible);
}

static bool evaluate_body(OpCx *x)
{
    Elab *e = x->e;
    Graph *outside = e->g;
    const char *who = arena_printf(e->arena, "`%s`", x->ast->name);
    e->g = x->body;
    x->frame = env_new(e, ENV_FRAME, x->scope);
    x->frame->generic_float = true;
    x->frame->function = x->ast;
    bool ok = frame_bind(e, x->frame, x->ast, x->arg, who);
    ok = ok && collect_results(x, call_ast_body(e, x->frame, x->ast));
    e->g = outside;
    return ok;
}

const Val *op_call(Elab *e, const Val *op, Args *args)
{
    OpCx x = {.e = e, .ast = op->code.ast, .scope = op->code.env};
    if (must_inline(x.ast) || !e->g) {
        return call_closure(e, op, args);
    }
    bool tensors = false;
    x.arg = NEW_ARRAY(e->arena, const Val *, x.ast->kid[0]->nkid + 1);
    if (!args_bind(e, x.ast->kid[0], args, x.arg, arena_printf(e->arena, "`%s`", x.ast->name))) {
        return poison(e, args->call);
    }
    for (uint32_t i = 0; i < x.ast->kid[0]->nkid; i++) {
        if (x.arg[i] && val_is_poison(x.arg[i])) {
            return x.arg[i];
        }
        tensors = tensors || (x.arg[i] && is_tensor(x.arg[i]));
    }
    if (!tensors) {
        return call_closure(e, op, args);
    }
    CallFrame call = {x.ast, NULL, e->calls};
    for (const CallFrame *c = e->calls; c; c = c->up) {
        if (c->fn == x.ast && !c->inst) {
            diag_at(e->diags, DIAG_E0206, args->call, "`%s` calls itself", x.ast->name);
            return poison(e, args->call);
        }
    }
    x.body = graph_new(e->ir, e->arena, x.ast->name);
    if (!make_inputs(&x)) {
        return poison(e, args->call);
    }
    e->calls = &call;
    const Ast *vjp = vjp_of(x.ast);
    bool ok = evaluate_body(&x);
    const Def *rule = ok && vjp ? make_vjp(&x, vjp) : NULL;
    e->calls = call.up;
    if (!ok || (vjp && !rule)) {
        return poison(e, args->call);
    }
    return composite(&x, rule, args->call);
}

/* opdef.c: `op` is kept whole: its body is elaborated once for its actual types into a Def (body and
 * vjp graphs) and the caller's graph gets one composite node. Forward bindings that the vjp mentions
 * become hidden results. Tensors that the functions among its arguments read become inputs as well
 * (capture.c). Ops that give a loss are inlined instead: it is no value of the graph. */
#include "opcache.h"

typedef struct OpCx {
    Elab *e;
    const Ast *ast;
    Env *scope;         /* where the op is written */
    const Val **arg;    /* by formal, in the caller's terms; NULL: default */
    const Node **outer; /* tensor arguments in the caller's graph, in formal order */
    Sym *name;          /* of each outer */
    uint32_t nouter;
    Env *frame; /* of the body */
    Graph *body;
    OpBody captures;
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

/* An argument that is no tensor, function or plain compile-time value, such as a list of tensors, holds
 * nodes of the caller's graph. */
static bool crosses_graphs(const OpCx *x)
{
    for (uint32_t i = 0; i < x->ast->kid[0]->nkid; i++) {
        const Val *v = x->arg[i];
        if (v && !is_tensor(v) && !mask_is(v) && !val_is_plain(v)) {
            return true;
        }
    }
    return false;
}

static bool must_inline(const Ast *op)
{
    return type_word(op->kid[1], "loss");
}

/* A formal that is a function or a mask: what it computes can be computed again in the vjp. */
static bool is_given_function(const OpCx *x, Sym name)
{
    for (uint32_t i = 0; i < x->ast->kid[0]->nkid; i++) {
        const Ast *formal = x->ast->kid[0]->kid[i];
        if (formal->name == name) {
            return type_word(formal->kid[0], "fn") || type_word(formal->kid[0], "mask");
        }
    }
    return false;
}

/* What functions read that were given to the op would need a gradient that the vjp cannot name. */
static bool captures_floats(const OpCx *x)
{
    for (uint32_t i = 0; i < x->captures.inner.n; i++) {
        if (dtype_is_float(x->captures.inner.at[i]->type->dtype)) {
            return true;
        }
    }
    return false;
}

/* The tensor arguments as nodes of the caller's graph. */
static bool find_outer(OpCx *x)
{
    Elab *e = x->e;
    const Ast *formals = x->ast->kid[0];
    x->outer = NEW_ARRAY(e->arena, const Node *, formals->nkid + 1);
    x->name = NEW_ARRAY(e->arena, Sym, formals->nkid + 1);
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Val *v = x->arg[i];
        if (!v || !is_tensor(v)) {
            continue;
        }
        const Node *n = tensor_of(e, v);
        if (!n) {
            return false;
        }
        x->name[x->nouter] = formals->kid[i]->name;
        x->outer[x->nouter++] = n;
        x->arg[i] = val_node(e, n, v->span);
    }
    return true;
}

/* In the body they are its inputs. */
static void make_inputs(OpCx *x)
{
    const Ast *formals = x->ast->kid[0];
    x->body = graph_new(x->e->ir, x->e->arena, x->ast->name);
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Val *v = x->arg[i];
        if (v && v->kind == V_TENSOR) {
            const Node *in = graph_input(x->body, formals->kid[i]->name, v->node->type);
            x->arg[i] = val_node(x->e, in, v->span);
        }
    }
}

/* What the body read beyond its arguments is an argument, too. */
static void add_captures(OpCx *x)
{
    Elab *e = x->e;
    uint32_t n = x->nouter, more = x->captures.outer.n;
    const Node **outer = NEW_ARRAY(e->arena, const Node *, n + more + 1);
    Sym *name = NEW_ARRAY(e->arena, Sym, n + more + 1);
    for (uint32_t i = 0; i < n + more; i++) {
        outer[i] = i < n ? x->outer[i] : x->captures.outer.at[i - n];
        name[i] = i < n ? x->name[i] : node_sym(x->captures.inner.at[i - n], "name");
    }
    x->outer = outer;
    x->name = name;
    x->nouter = n + more;
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
    if (!x->nvisible) {
        diag_at(e->diags, DIAG_E0205, v->span, "`%s` gives no value", x->ast->name);
    }
    return x->nvisible > 0;
}

/* A body depends on its inputs alone, so that equal bodies are one kernel. */
static bool pure(OpCx *x)
{
    uint32_t state;
    for (uint32_t i = 0; i < x->body->nodes.n; i++) {
        const Node *n = x->body->nodes.at[i];
        if (node_is_state(n, &state)) {
            Diag *d = diag_at(x->e->diags, DIAG_E0309, n->span,
                              "`%s` uses the parameter `%s`: an op has only its arguments",
                              x->ast->name, node_sym(n, "name"));
            diag_help(d, "pass it as an argument, or write `fn` instead of `op`");
            return false;
        }
    }
    return true;
}

/* ---- the vjp ---- */

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

static void add_hidden(OpCx *x, Sym name, const Val *v)
{
    if (v->kind == V_TUPLE || v->kind == V_LIST) {
        for (uint32_t i = 0; i < v->list.n; i++) {
            add_hidden(x, sym_printf(x->e->ir->syms, "%s.%u", name, i), v->list.at[i]);
        }
        return;
    }
    double c;
    if (v->kind != V_TENSOR || alias_of(x, v->node) || node_is_const(v->node, &c)) {
        return;
    }
    for (uint32_t i = x->nvisible; i < x->results.n; i++) {
        if (x->results.at[i] == v->node) {
            return;
        }
    }
    VEC_PUSH(x->e->arena, &x->hidden, name);
    VEC_PUSH(x->e->arena, &x->results, v->node);
}

/* Names of forward bindings that the vjp mentions: they become hidden results, unless the vjp has
 * their value already. */
static bool find_hidden(OpCx *x, const Ast *a)
{
    bool ok = true;
    const Val *v = a->kind == A_ID ? env_local(x->frame, a->name) : NULL;
    v = v && is_given_function(x, a->name) ? NULL : v;
    if (v && v->kind != V_TENSOR && v->kind != V_TUPLE && v->kind != V_LIST && !val_is_plain(v)) {
        diag_at(x->e->diags, DIAG_E0199, a->span,
                "`%s` is %s of the forward pass: a vjp can use its tensors only, so far", a->name,
                val_text(x->e, v));
        return false;
    }
    if (v) {
        add_hidden(x, a->name, v);
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        ok = (!a->kid[i] || find_hidden(x, a->kid[i])) && ok;
    }
    return ok;
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
        if (val_is_plain(b->value) || is_given_function(x, b->name)) {
            env_bind(e, frame, b->name, b->value);
        }
    }
    return frame;
}

/* A value of the body as the vjp sees it: its tensors are inputs there; NULL when one is not. */
static const Val *seen_by_vjp(const OpCx *x, const Graph *g, const Val *v)
{
    if (v->kind == V_TUPLE || v->kind == V_LIST) {
        const Val **at = NEW_ARRAY(x->e->arena, const Val *, v->list.n);
        for (uint32_t i = 0; i < v->list.n; i++) {
            at[i] = seen_by_vjp(x, g, v->list.at[i]);
            if (!at[i]) {
                return NULL;
            }
        }
        return val_list(x->e, v->kind, at, v->list.n, v->span);
    }
    double c;
    if (v->kind != V_TENSOR) {
        return val_is_plain(v) ? v : NULL;
    }
    if (node_is_const(v->node, &c)) { /* a formal given as a number: the same number there */
        return val_node(x->e, graph_fill(x->e->g, v->node->type, c), v->span);
    }
    for (uint32_t k = 0; k < x->results.n; k++) {
        if (x->results.at[k] == v->node) {
            return val_node(x->e, g->inputs.at[x->nouter + k], v->span);
        }
    }
    for (uint32_t k = 0; k < x->nouter; k++) {
        if (x->body->inputs.at[k] == v->node) {
            return val_node(x->e, g->inputs.at[k], v->span);
        }
    }
    return NULL;
}

/* Forward bindings under the names the body gave them. */
static void bind_forward(const OpCx *x, const Graph *g, Env *frame)
{
    for (uint32_t i = 0; i < x->frame->locals.n; i++) {
        const Binding *b = &x->frame->locals.at[i];
        bool known = val_is_plain(b->value) || is_given_function(x, b->name);
        const Val *v = known ? NULL : seen_by_vjp(x, g, b->value);
        if (v) {
            env_bind(x->e, frame, b->name, v);
        }
    }
}

static void bind_vjp_inputs(const OpCx *x, Graph *g, Env *frame, const Ast *vjp)
{
    Elab *e = x->e;
    const Val **dy = NEW_ARRAY(e->arena, const Val *, x->nvisible + 1);
    for (uint32_t i = 0; i < x->nouter; i++) {
        graph_input(g, x->name[i], x->outer[i]->type);
    }
    for (uint32_t i = 0; i < x->results.n; i++) {
        Sym name =
            i >= x->nvisible ? x->hidden.at[i - x->nvisible] : sym_printf(e->ir->syms, "out.%u", i);
        graph_input(g, name, x->results.at[i]->type);
    }
    bind_forward(x, g, frame);
    for (uint32_t i = 0; i < x->nvisible; i++) {
        Sym name = x->nvisible == 1 ? vjp->name : sym_printf(e->ir->syms, "%s.%u", vjp->name, i);
        dy[i] = val_node(e, graph_input(g, name, x->results.at[i]->type), vjp->span);
    }
    const Val *all = val_list(e, V_TUPLE, dy, x->nvisible, vjp->span);
    env_bind(e, frame, vjp->name, x->nvisible == 1 ? dy[0] : all);
}

/* The last binding of a name behind the first n: what the vjp itself bound. */
static const Val *bound_behind(const Env *frame, uint32_t n, Sym name)
{
    for (uint32_t i = frame->locals.n; i-- > n;) {
        if (frame->locals.at[i].name == name) {
            return frame->locals.at[i].value;
        }
    }
    return NULL;
}

static bool cotangent(const OpCx *x, Graph *g, const Val *v, uint32_t i, const Ast *vjp)
{
    Elab *e = x->e;
    Sym name = sym_printf(e->ir->syms, "d%s", x->name[i]);
    if (!v) {
        Diag *d = diag_at(e->diags, DIAG_E0603, vjp->name_span,
                          "`vjp` of `%s` gives no cotangent for `%s`", x->ast->name, x->name[i]);
        diag_help(d, "bind `%s`; it is 0 where nothing depends on `%s`", name, x->name[i]);
        return false;
    }
    const Node *n = val_is_number(v)   ? arith_fill(e, v, x->outer[i]->type, v->span)
                    : val_is_poison(v) ? NULL
                                       : tensor_of(e, v);
    DType dt = x->outer[i]->type->dtype;
    if (n && dtype_is_float(n->type->dtype) && dtype_is_float(dt)) {
        n = graph_cast(g, dt, n);
    }
    if (n && n->type != x->outer[i]->type) {
        diag_at(e->diags, DIAG_E0604, v->span, "`%s` is `%s`, `%s` is `%s`", name,
                type_text(e->ir, n->type), x->name[i], type_text(e->ir, x->outer[i]->type));
        return false;
    }
    if (n) {
        graph_result(g, name, n);
    }
    return n != NULL;
}

/* What the functions given to the op read is an input of the vjp already, as it is one of the op. */
static OpBody vjp_captures(const OpCx *x, Graph *g)
{
    Elab *e = x->e;
    const OpBody *forward = &x->captures;
    OpBody body = {.g = g, .outside = forward->outside, .up = forward->up, .text = forward->text};
    for (uint32_t i = 0; i < forward->outer.n; i++) {
        VEC_PUSH(e->arena, &body.outer, forward->outer.at[i]);
        VEC_PUSH(e->arena, &body.inner, g->inputs.at[x->nouter - forward->outer.n + i]);
    }
    return body;
}

static bool vjp_reads_more(const OpCx *x, const OpBody *body, const Ast *vjp)
{
    if (body->outer.n == x->captures.outer.n) {
        return false;
    }
    diag_at(x->e->diags, DIAG_E0199, vjp->name_span.file ? vjp->name_span : vjp->span,
            "functions in the `vjp` of `%s` read a tensor that they do not read before, so far",
            x->ast->name);
    return true;
}

static const Def *make_vjp(OpCx *x, const Ast *vjp)
{
    Elab *e = x->e;
    Graph *outside = e->g;
    OpBody *body = e->body;
    if (!find_hidden(x, vjp->kid[0])) {
        return NULL;
    }
    Graph *g = graph_new(e->ir, e->arena, sym_printf(e->ir->syms, "%s_bwd", x->ast->name));
    Env *frame = vjp_frame(x);
    e->g = g;
    e->in_op++;
    bind_vjp_inputs(x, g, frame, vjp);
    OpBody captures = vjp_captures(x, g);
    e->body = x->captures.outer.n ? &captures : NULL;
    uint32_t given = frame->locals.n;
    DType generic = e->generic;
    e->generic = frame->has_float ? frame->float_type : DT_COUNT;
    eval_body(e, frame, vjp->kid[0]);
    e->generic = generic;
    bool ok = !vjp_reads_more(x, &captures, vjp);
    for (uint32_t i = 0; i < x->nouter && ok; i++) {
        Sym name = sym_printf(e->ir->syms, "d%s", x->name[i]);
        if (dtype_is_float(x->outer[i]->type->dtype)) {
            ok = cotangent(x, g, bound_behind(frame, given, name), i, vjp) && ok;
        }
    }
    e->g = outside;
    e->body = body;
    e->in_op--;
    if (!ok) {
        return NULL;
    }
    Def proto = {DEF_COMPOSITE, g->name, g, g->results.n, NULL, 0};
    return def_intern(e->ir, &proto);
}

/* ---- the call ---- */

static const Def *make_def(OpCx *x, const Def *vjp, Span span)
{
    Elab *e = x->e;
    for (uint32_t i = 0; i < x->results.n; i++) {
        Sym name = i >= x->nvisible   ? x->hidden.at[i - x->nvisible]
                   : x->nvisible == 1 ? sym(e->ir->syms, "y")
                                      : sym_printf(e->ir->syms, "y.%u", i);
        graph_result(x->body, name, x->results.at[i]);
    }
    uint32_t nodes = x->body->nodes.n + (vjp ? vjp->body->nodes.n : 0);
    if (!elab_spend(e, 4 * (uint64_t)nodes, span)) {
        return NULL;
    }
    Def proto = {DEF_COMPOSITE, x->ast->name, x->body, x->nvisible, vjp, 0};
    return def_intern(e->ir, &proto);
}

static const Val *composite(const OpCx *x, const Def *def, Span span)
{
    Elab *e = x->e;
    if (!elab_spend(e, 16, span)) {
        return poison(e, span);
    }
    e->g->span = span;
    const Node *call = graph_call(e->g, def, x->outer, x->nouter);
    const Val **at = NEW_ARRAY(e->arena, const Val *, def->nvisible + 1);
    for (uint32_t i = 0; i < def->nvisible; i++) {
        at[i] = val_node(e, graph_get(e->g, call, i), span);
    }
    return def->nvisible == 1 ? at[0] : val_list(e, V_TUPLE, at, def->nvisible, span);
}

static bool evaluate_body(OpCx *x, const Args *args)
{
    Elab *e = x->e;
    Graph *outside = e->g;
    const char *who = name_quoted(e, x->ast->name);
    x->captures = (OpBody){.g = x->body, .outside = outside, .up = e->body, .text = x->ast->span};
    e->g = x->body;
    e->body = &x->captures;
    e->in_op++;
    x->frame->generic_float = true;
    x->frame->function = x->ast;
    x->frame->call = args->call;
    bool ok = frame_bind(e, x->frame, x->ast, x->arg, who);
    ok = ok && collect_results(x, call_ast_body(e, x->frame, x->ast)) && pure(x);
    e->g = outside;
    e->body = x->captures.up;
    e->in_op--;
    add_captures(x);
    return ok;
}

static const Val *inlined(Elab *e, const Val *op, Args *args)
{
    const Ast *vjp = vjp_of(op->code.ast);
    if (vjp && e->g) {
        diag_at(e->diags, DIAG_E0199, vjp->name_span.file ? vjp->name_span : vjp->span,
                "an op that gives a loss cannot have a vjp yet");
        return poison(e, args->call);
    }
    return call_closure(e, op, args);
}

/* The Def for these arguments, made now; NULL after a diagnostic. */
static const Def *specialise(OpCx *x, const Args *args)
{
    Elab *e = x->e;
    x->frame = env_new(e, ENV_FRAME, x->scope);
    CallFrame call = {x->ast, NULL, e->calls, x->frame};
    const Ast *vjp = vjp_of(x->ast);
    make_inputs(x);
    e->calls = &call;
    bool ok = evaluate_body(x, args);
    bool wanted = ok && vjp && !captures_floats(x);
    const Def *rule = wanted ? make_vjp(x, vjp) : NULL;
    e->calls = call.up;
    return ok && (!wanted || rule) ? make_def(x, rule, args->call) : NULL;
}

const Val *op_call(Elab *e, const Val *op, Args *args)
{
    OpCx x = {.e = e, .ast = op->code.ast, .scope = op->code.env};
    if (must_inline(x.ast) || !e->g) {
        return inlined(e, op, args);
    }
    bool tensors = false;
    x.arg = NEW_ARRAY(e->arena, const Val *, x.ast->kid[0]->nkid + 1);
    if (!args_bind(e, x.ast->kid[0], args, x.arg, name_quoted(e, x.ast->name))) {
        return poison(e, args->call);
    }
    for (uint32_t i = 0; i < x.ast->kid[0]->nkid; i++) {
        if (x.arg[i] && val_is_poison(x.arg[i])) {
            return x.arg[i];
        }
        tensors = tensors || (x.arg[i] && is_tensor(x.arg[i]));
    }
    if (!tensors || crosses_graphs(&x)) {
        return tensors ? inlined(e, op, args) : call_closure(e, op, args);
    }
    if (call_recursive(e, x.ast, NULL, args->call) || !find_outer(&x)) {
        return poison(e, args->call);
    }
    OpKey key;
    opcache_key(e, x.ast, x.arg, &key);
    map_put(e->front->called, MAP_KEY(x.ast), (void *)x.ast);
    const Def *def = opcache_find(e, &key);
    if (!def) {
        uint64_t draws = e->ndraw;
        def = specialise(&x, args);
        if (!def) {
            return poison(e, args->call);
        }
        if (!x.captures.outer.n && e->ndraw == draws) { /* each call draws its own numbers */
            opcache_add(e, &key, def);
        }
    }
    return composite(&x, def, args->call);
}

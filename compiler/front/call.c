/* call.c: calling things: functions, lambdas, modules' instances, module arrays, element types. */
#include "datum.h"

enum { MAX_CALLS = 150 };

void args_push(Elab *e, Args *args, Sym name, const Val *v)
{
    if (args->n == args->cap) {
        args->cap = args->cap ? 2 * args->cap : 4;
        const Val **at = NEW_ARRAY(e->arena, const Val *, args->cap);
        Sym *names = NEW_ARRAY(e->arena, Sym, args->cap);
        Span *spans = NEW_ARRAY(e->arena, Span, args->cap);
        for (uint32_t i = 0; i < args->n; i++) {
            at[i] = args->at[i];
            names[i] = args->name[i];
            spans[i] = args->name_span[i];
        }
        args->at = at;
        args->name = names;
        args->name_span = spans;
    }
    args->at[args->n] = v;
    args->name[args->n++] = name;
}

/* A name that nothing else has may be a word, which is the same as a string: `filter: nearest`. */
static const Val *eval_argument(Elab *e, Env *env, const Ast *a, bool named)
{
    bool word =
        named && a->kind == A_ID && data_word(a->name) && !env_find(e, env, a->name, a->span);
    return word ? val_str(e, a->name, a->span) : eval(e, env, a);
}

Args *args_eval(Elab *e, Env *env, const Ast *call, const Val *first)
{
    Args *args = NEW(e->arena, Args);
    args->call = call ? call->span : first ? first->span : (Span){0};
    if (first) {
        args_push(e, args, NULL, first);
    }
    for (uint32_t i = 1; call && i < call->nkid; i++) {
        const Ast *a = call->kid[i];
        bool named = a->kind == A_NAMED;
        const Ast *value = named ? a->kid[0] : a;
        /* messages point at the argument */
        args_push(e, args, named ? a->name : NULL,
                  val_at(e, eval_argument(e, env, value, named), value->span));
        args->name_span[args->n - 1] = named ? a->name_span : (Span){0};
    }
    return args;
}

static uint32_t formal_index(const Ast *formals, Sym name)
{
    uint32_t i = 0;
    while (i < formals->nkid && formals->kid[i]->name != name) {
        i++;
    }
    return i;
}

static void unknown_argument(Elab *e, const Ast *formals, const Args *args, uint32_t i,
                             const char *who)
{
    Sym *names = NEW_ARRAY(e->arena, Sym, formals->nkid + 1);
    StrBuf sb = sb_new(e->arena);
    for (uint32_t k = 0; k < formals->nkid; k++) {
        names[k] = formals->kid[k]->name;
        sb_printf(&sb, "%s%s", k ? ", " : "", names[k]);
    }
    Span span = args->name_span[i].file ? args->name_span[i] : args->at[i]->span;
    Diag *d = diag_at(e->diags, DIAG_E0302, span, "%s has no argument `%s`", who, args->name[i]);
    diag_note(d, "its arguments are (%s)", sb_text(&sb));
    Sym near = sym_nearest(args->name[i], names, formals->nkid);
    if (near) {
        diag_fix(d, span, near, "an argument with a similar name exists");
    }
}

bool args_bind(Elab *e, const Ast *formals, Args *args, const Val **out, const char *who)
{
    uint32_t next = 0;
    bool ok = true;
    for (uint32_t i = 0; i < args->n; i++) {
        uint32_t k = args->name[i] ? formal_index(formals, args->name[i]) : next++;
        if (k >= formals->nkid && args->name[i]) {
            unknown_argument(e, formals, args, i, who);
            ok = false;
        } else if (k >= formals->nkid && val_is_poison(args->at[i])) {
            ok = false;
        } else if (k >= formals->nkid || out[k]) {
            diag_at(e->diags, DIAG_E0303, args->at[i]->span,
                    k < formals->nkid ? "%s gets this argument twice"
                                      : "too many arguments for %s: it takes %u",
                    who, formals->nkid);
            ok = false;
        } else {
            out[k] = args->at[i];
        }
    }
    return ok;
}

static const Val *bind_formal(Elab *e, Env *frame, const Ast *f, const Val *v, const char *who)
{
    if (!v && f->kid[1]) {
        v = eval(e, frame, f->kid[1]);
    }
    if (!v && type_is_optional(f->kid[0])) {
        v = val_none(e, f->span);
    }
    if (!v) {
        return NULL;
    }
    const char *const what[] = {"argument `", f->name, "` of ", who};
    return f->kid[0] ? sig_accept(e, frame, f->kid[0], v, arena_join(e->arena, what, COUNT(what)))
                     : v;
}

bool frame_bind(Elab *e, Env *frame, const Ast *fn, const Val *const *arg, const char *who)
{
    const Ast *formals = fn->kid[0];
    bool ok = true;
    for (uint32_t i = 0; i < formals->nkid && frame->generic_float; i++) {
        sig_fix_float(frame, formals->kid[i]->kid[0], arg[i]);
    }
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Ast *f = formals->kid[i];
        bool rests = !ok && !arg[i] && f->kid[1]; /* a default may need what is wrong */
        const Val *v = rests ? poison(e, f->span) : bind_formal(e, frame, f, arg[i], who);
        if (!v) {
            Diag *d = diag_at(e->diags, DIAG_E0303, frame->call, "missing argument `%s` of %s",
                              f->name, who);
            diag_also(d, f->span, "it has no default");
            v = poison(e, f->span);
        }
        ok = ok && !val_is_poison(v);
        shapes_note(e, f, f->name, v);
        env_bind(e, frame, f->name, v);
    }
    return ok;
}

const Val *call_ast_body(Elab *e, Env *frame, const Ast *fn)
{
    DType generic = e->generic;
    e->generic = frame->generic_float && frame->has_float ? frame->float_type : narrow_generic(e);
    const Val *v = eval_body(e, frame, fn->kid[2]);
    e->generic = generic;
    if (fn->kid[1] && !val_is_poison(v)) {
        const char *const what[] = {"the result of `", fn->name, "`"};
        v = sig_result(e, frame, fn->kid[1], v, arena_join(e->arena, what, COUNT(what)));
    }
    shapes_note(e, fn, NULL, v);
    return v;
}

const Ast *lambda_params(Elab *e, const Ast *lambda, uint32_t got, Span call)
{
    const Ast *params = lambda->kid[0];
    while (params->kind == A_PAREN) {
        params = params->kid[0];
    }
    uint32_t n = params->kind == A_TUPLE ? params->nkid : 1;
    if (n == got) {
        return params;
    }
    bool ours = call.file == lambda->span.file; /* else whoever wrote the lambda is wrong */
    Diag *d = diag_at(e->diags, DIAG_E0303, ours ? call : params->span,
                      "this function takes %u argument%s, got %u", n, n == 1 ? "" : "s", got);
    diag_also(d, ours ? params->span : call, ours ? "its parameters" : "called here");
    return NULL;
}

static const Val *call_lambda(Elab *e, const Val *fn, Args *args)
{
    const Ast *params = lambda_params(e, fn->code.ast, args->n, args->call);
    if (!params) {
        return poison(e, args->call);
    }
    Env *frame = env_new(e, ENV_FRAME, fn->code.env);
    for (uint32_t i = 0; i < args->n; i++) {
        const Ast *p = params->kind == A_TUPLE ? params->kid[i] : params;
        if (args->name[i]) {
            diag_at(e->diags, DIAG_E0302, args->at[i]->span, "a lambda has no named arguments");
            return poison(e, args->call);
        }
        if (p->kind != A_ID) {
            diag_at(e->diags, DIAG_E0106, p->span, "a parameter is a name");
            return poison(e, p->span);
        }
        env_bind(e, frame, p->name, args->at[i]);
    }
    return eval_body(e, frame, fn->code.ast->kid[1]);
}

/* g → h → f: the calls from the one that is repeated to the innermost. */
static const char *call_chain(Elab *e, const CallFrame *first)
{
    const char *text = "";
    for (const CallFrame *c = e->calls; c != first; c = c->up) {
        text = arena_printf(e->arena, "%s → %s", c->fn->name, text);
    }
    return arena_printf(e->arena, "%s → %s%s", first->fn->name, text, first->fn->name);
}

bool call_recursive(Elab *e, const Ast *fn, const Inst *inst, Span span)
{
    uint32_t depth = 0;
    for (const CallFrame *c = e->calls; c; c = c->up) {
        if (c->fn == fn && c->inst == inst) {
            diag_at(e->diags, DIAG_E0206, span, "`%s` calls itself: %s", fn->name,
                    call_chain(e, c));
            return true;
        }
        depth++;
    }
    if (depth > MAX_CALLS) {
        diag_at(e->diags, DIAG_E0109, span, "more than %d functions call each other", MAX_CALLS);
    }
    return depth > MAX_CALLS;
}

/* A loss may call a model twice: two passes. What an instance calls is part of its pass. */
static bool in_instance(const CallFrame *c)
{
    while (c && !c->inst) {
        c = c->up;
    }
    return c != NULL;
}

static const Val *call_fn(Elab *e, const Val *fn, Args *args)
{
    const Ast *ast = fn->code.ast;
    Inst *inst = env_instance(fn->code.env);
    if (call_recursive(e, ast, inst, args->call)) {
        return poison(e, args->call);
    }
    const Val **arg = NEW_ARRAY(e->arena, const Val *, ast->kid[0]->nkid + 1);
    const char *who = name_quoted(e, ast->name);
    if (!args_bind(e, ast->kid[0], args, arg, who)) {
        return poison(e, args->call);
    }
    Env *frame = env_new(e, ENV_FRAME, fn->code.env);
    frame->function = ast;
    frame->generic_float = inst == NULL;
    frame->call = args->call;
    CallFrame call = {ast, inst, e->calls, frame};
    map_put(e->front->called, MAP_KEY(ast), (void *)ast);
    e->passes += inst && !in_instance(e->calls);
    Sym path = e->g ? e->g->path : NULL;
    if (e->g && inst) {
        e->g->path = inst->path[0] ? inst->path : path;
    }
    e->calls = &call;
    const Val *v =
        frame_bind(e, frame, ast, arg, who) ? call_ast_body(e, frame, ast) : poison(e, args->call);
    e->calls = call.up;
    if (e->g) {
        e->g->path = path;
    }
    return v;
}

const Val *call_closure(Elab *e, const Val *fn, Args *args)
{
    Span outer = diags_call(e->diags, args->call);
    const Val *v = fn->code.ast->kind == A_LAMBDA ? call_lambda(e, fn, args) : call_fn(e, fn, args);
    diags_return(e->diags, outer);
    return mask_result(e, fn, v);
}

static const Val *call_instance(Elab *e, Inst *inst, Args *args)
{
    const Val *forward = inst_member(e, inst, sym(e->ir->syms, "forward"), args->call);
    if (!forward || forward->kind != V_CLOSURE) {
        diag_at(e->diags, DIAG_E0305, args->call, "`%s` has no `forward`: it cannot be called",
                inst->module->name);
        return poison(e, args->call);
    }
    return call_closure(e, forward, args);
}

/* x |> layers(pos): x = layers[i](x, pos) for each i. */
static const Val *call_array(Elab *e, const Val *array, Args *args)
{
    if (!args->n) {
        diag_at(e->diags, DIAG_E0303, args->call, "a module array needs a value to pass through");
        return poison(e, args->call);
    }
    const Val *x = args->at[0];
    for (uint32_t i = 0; i < array->array.n; i++) {
        Args round = *args;
        round.at = COPY_ARRAY(e->arena, const Val *, args->at, args->n);
        round.at[0] = x;
        x = call_instance(e, array->array.at[i], &round);
    }
    return x;
}

/* f32(2), i32(2), bool(2) of compile-time numbers stay compile-time. */
static const Val *call_dtype_number(Elab *e, DType dt, const Val *v, double f, Span span)
{
    int64_t i;
    if (dt == DT_BOOL) {
        return val_bool(e, f < 0 || f > 0, span);
    }
    if (dtype_is_int(dt) && !val_as_int(v, &i)) {
        diag_at(e->diags, DIAG_E0502, span, "%s to `%s` needs an explicit rounding", val_text(e, v),
                dtype_info(dt)->name);
        return poison(e, span);
    }
    return v;
}

static const Val *call_dtype(Elab *e, DType dt, Args *args)
{
    double f;
    if (args->n != 1 || val_is_poison(args->at[0])) {
        if (args->n != 1) {
            diag_at(e->diags, DIAG_E0303, args->call, "a cast takes one value");
        }
        return poison(e, args->call);
    }
    if (val_as_double(args->at[0], &f)) {
        return call_dtype_number(e, dt, args->at[0], f, args->call);
    }
    if (is_datum(args->at[0])) {
        return datum_as(e, args->at[0], NULL, 0, args->call);
    }
    const Node *n = tensor_of(e, args->at[0]);
    n = n && dt == DT_BOOL && n->type->dtype != DT_BOOL
            ? graph_binary(e->g, OP_NE, n, graph_fill(e->g, n->type, 0))
        : n ? arith_cast(e, dt, n, args->call)
            : NULL;
    return n ? val_node(e, n, args->call) : poison(e, args->call);
}

static const Val *call_any(Elab *e, Env *env, const Val *fn, Args *args)
{
    if (val_is_poison(fn)) {
        return fn;
    }
    if (e->g) {
        e->g->span = args->call;
    }
    if (!datum_callable(e, fn, args)) {
        return poison(e, args->call);
    }
    if (fn->kind == V_CLOSURE) {
        return fn->code.ast->kind == A_OP ? op_call(e, fn, args) : call_closure(e, fn, args);
    }
    if (fn->kind == V_BUILTIN) {
        return builtin_call(e, fn->builtin, args);
    }
    if (fn->kind == V_BLOCK && strcmp(fn->code.ast->text, "data") == 0) {
        return block_apply(e, fn, args);
    }
    if (fn->kind == V_DTYPE) {
        return call_dtype(e, fn->dtype, args);
    }
    if (fn->kind == V_INSTANCE) {
        return call_instance(e, fn->inst, args);
    }
    if (fn->kind == V_ARRAY) {
        return call_array(e, fn, args);
    }
    if (fn->kind == V_MASK) {
        return mask_call(e, env, fn, args);
    }
    if (fn->kind == V_METHOD) {
        return memory_call(e, env, fn, args);
    }
    if (fn->kind == V_MODULE && e->g) {
        Diag *d = diag_at(e->diags, DIAG_E0107, args->call,
                          "`%s(..)` makes parameters: "
                          "it belongs in a module or a model, not in a function",
                          fn->code.ast->name);
        diag_help(d, "declare it as a member, `name: %s(..)`, and call `name`", fn->code.ast->name);
        return poison(e, args->call);
    }
    if (fn->kind == V_MODULE) {
        return module_instantiate(e, fn, args, e->place, NULL);
    }
    diag_at(e->diags, DIAG_E0305, args->call, "%s cannot be called", val_text(e, fn));
    return poison(e, args->call);
}

const Val *call_value(Elab *e, Env *env, const Val *fn, Args *args)
{
    Span outer = diags_call(e->diags, args->call);
    const Val *v = call_any(e, env, fn, args);
    diags_return(e->diags, outer);
    return v;
}

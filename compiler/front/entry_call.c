/* entry_call.c: one function as an entry, for `mdl call`: its formals are bound to tensors of given types
 * and to expressions.
 *
 * What the caller gave is a text of its own in the messages, a line for each tensor, so that the caret
 * shows whether the program or its input is to blame. */
#include "blocks.h"

/* ---- which function ---- */

/* MODEL is its forward. */
static const Val *call_target(Elab *e, const char *function)
{
    uint32_t source = diags_source(e->diags, "FUNCTION", function, strlen(function));
    const Span span = {source, 0, (uint32_t)strlen(function)};
    const Ast *ast = ast_parse_expr(e->arena, e->ir->syms, e->diags, source);
    const Val *v = ast ? eval(e, e->front->files.at[0]->env, ast) : NULL;
    if (!v || val_is_poison(v)) {
        return NULL;
    }
    const Val *fn = v;
    if (v->kind == V_INSTANCE) {
        fn = inst_member(e, v->inst, sym(e->ir->syms, "forward"), span);
    }
    if (fn && fn->kind == V_CLOSURE && fn->code.ast->kind != A_LAMBDA) {
        return fn;
    }
    diag_at(e->diags, DIAG_E0305, span, "`%s` is not a function, an op or a model", function);
    return NULL;
}

/* ---- tensors ---- */

/* What the caller gave, as a text with a line for each tensor. */
typedef struct Given {
    Elab *e;
    const FrontCall *call;
    Span *line; /* by input */
    Span all;
    bool *used;
} Given;

static void describe_inputs(Given *x)
{
    StrBuf sb = sb_new(x->e->arena);
    uint32_t n = x->call->ninput;
    x->line = NEW_ARRAY(x->e->arena, Span, n + (size_t)1);
    x->used = NEW_ARRAY(x->e->arena, bool, n + (size_t)1);
    for (uint32_t i = 0; i < n; i++) {
        const CallInput *in = &x->call->inputs[i];
        x->line[i].lo = (uint32_t)sb.n;
        sb_printf(&sb, "%s: %s", in->name, dtype_info(in->dtype)->name);
        for (uint32_t k = 0; k < in->rank; k++) {
            sb_printf(&sb, "%s%lld", k ? ", " : "[", (long long)in->dim[k]);
        }
        sb_puts(&sb, in->rank ? "]" : "");
        x->line[i].hi = (uint32_t)sb.n;
        sb_puts(&sb, "\n");
    }
    const char *name = x->call->inputs_name ? x->call->inputs_name : "the tensors given";
    uint32_t source = diags_source(x->e->diags, name, sb_text(&sb), sb.n);
    for (uint32_t i = 0; i < n; i++) {
        x->line[i].file = source;
    }
    x->all = n ? x->line[n - 1] : (Span){source, 0, 0};
}

static bool inputs_fit(const Given *x)
{
    bool ok = true;
    for (uint32_t i = 0; i < x->call->ninput; i++) {
        if (x->call->inputs[i].rank > IR_MAX_RANK) {
            diag_at(x->e->diags, DIAG_E0406, x->line[i], "`%s` has more than %d dimensions",
                    x->call->inputs[i].name, IR_MAX_RANK);
            ok = false;
        }
    }
    return ok;
}

static const Ast *plain_type(const Ast *type)
{
    return type_is_optional(type) ? type->kid[0] : type;
}

/* The formal's element type where it names one of the same kind. */
static DType input_dtype(const Ast *type, DType given)
{
    DType dt;
    bool tensor = type && (type->kind == A_T_TENSOR || type->kind == A_T_NAME);
    const Ast *name = tensor && type->nkid ? type->kid[0] : NULL;
    bool named = name && name->kind == A_ID && dtype_find(name->name, &dt);
    return named && dtype_info(dt)->kind == dtype_info(given)->kind ? dt : given;
}

static const Val *input_value(Given *x, uint32_t i, const Ast *type)
{
    const CallInput *in = &x->call->inputs[i];
    const Dim *dims[IR_MAX_RANK];
    Ir *ir = x->e->ir;
    for (uint32_t k = 0; k < in->rank; k++) {
        dims[k] = dim_const(ir, in->dim[k]);
    }
    x->used[i] = true;
    const Type *t = type_tensor(ir, input_dtype(type, in->dtype), in->rank, dims);
    return val_node(x->e, graph_input(x->e->g, sym(ir->syms, in->name), t), x->line[i]);
}

/* The value given for `name`, or for the members of the tuple it is; NULL when there is none. */
static const Val *find_value(Given *x, Sym name, const Ast *type)
{
    for (uint32_t i = 0; i < x->call->ninput; i++) {
        if (strcmp(x->call->inputs[i].name, name) == 0) {
            return input_value(x, i, type);
        }
    }
    if (!type || type->kind != A_T_TUPLE) {
        return NULL;
    }
    const Val **at = NEW_ARRAY(x->e->arena, const Val *, type->nkid + 1);
    for (uint32_t k = 0; k < type->nkid; k++) {
        Sym member = sym_printf(x->e->ir->syms, "%s.%u", name, k);
        at[k] = find_value(x, member, plain_type(type->kid[k]));
        if (!at[k]) {
            return NULL;
        }
    }
    return val_list(x->e, V_TUPLE, at, type->nkid, x->all);
}

/* Every tensor has its formal. False when one is misspelt: its formal lacks nothing else. */
static bool all_used(const Given *x, const Ast *formals, const Args *args)
{
    Sym *names = NEW_ARRAY(x->e->arena, Sym, formals->nkid + 1);
    uint32_t n = 0;
    bool ok = true;
    for (uint32_t k = 0; k < formals->nkid; k++) {
        bool taken = false;
        for (uint32_t i = 0; i < args->n; i++) {
            taken = taken || args->name[i] == formals->kid[k]->name;
        }
        if (!taken) {
            names[n++] = formals->kid[k]->name;
        }
    }
    for (uint32_t i = 0; x->call->strict && i < x->call->ninput; i++) {
        if (x->used[i]) {
            continue;
        }
        const char *name = x->call->inputs[i].name;
        Diag *d = diag_at(x->e->diags, DIAG_E0302, x->line[i], "`%s` has no argument `%s`",
                          x->call->function, name);
        Sym near = sym_nearest(sym(x->e->ir->syms, name), names, n);
        if (near) {
            diag_help(d, "did you mean `%s`?", near);
            ok = false;
        }
    }
    return ok;
}

/* ---- expressions ---- */

/* NAME of NAME=EXPR without blanks around it; empty when it is not written so. */
static Span argument_name(const char *text, uint32_t source)
{
    const char *eq = strchr(text, '=');
    size_t lo = strspn(text, " "), hi = eq ? (size_t)(eq - text) : 0;
    while (hi > lo && text[hi - 1] == ' ') {
        hi--;
    }
    return (Span){source, (uint32_t)lo, (uint32_t)(hi > lo ? hi : lo)};
}

static bool push_expression(Elab *e, Args *args, const char *text)
{
    uint32_t source = diags_source(e->diags, "--arg", text, strlen(text));
    const Span at = argument_name(text, source);
    if (at.lo == at.hi) {
        diag_at(e->diags, DIAG_E0102, (Span){source, 0, (uint32_t)strlen(text)},
                "an argument is written NAME=EXPR");
        return false;
    }
    Sym name = sym_n(e->ir->syms, text + at.lo, at.hi - at.lo);
    const char *expr = strchr(text, '=') + 1;
    uint32_t value =
        diags_source(e->diags, arena_printf(e->arena, "--arg %s", name), expr, strlen(expr));
    const Ast *ast = ast_parse_expr(e->arena, e->ir->syms, e->diags, value);
    const Val *v = ast ? eval(e, e->front->files.at[0]->env, ast) : NULL;
    if (!v || val_is_poison(v)) {
        return false;
    }
    args_push(e, args, name, v);
    args->name_span[args->n - 1] = at;
    return true;
}

static Args *call_args(Given *x, const Ast *fn)
{
    Elab *e = x->e;
    const Ast *formals = fn->kid[0];
    Args *args = NEW(e->arena, Args);
    args->call = x->all;
    bool ok = inputs_fit(x);
    for (uint32_t i = 0; ok && i < formals->nkid; i++) {
        const Ast *f = formals->kid[i];
        const Val *v = find_value(x, f->name, f->kid[0] ? plain_type(f->kid[0]) : NULL);
        if (v) {
            args_push(e, args, f->name, v);
        }
    }
    for (uint32_t i = 0; i < x->call->narg; i++) {
        ok = push_expression(e, args, x->call->args[i]) && ok;
    }
    return ok && all_used(x, formals, args) ? args : NULL;
}

/* ---- results ---- */

bool call_results(Elab *e, Sym name, const Val *v)
{
    Syms *syms = e->ir->syms;
    const Node *sum, *weight;
    if (v->kind == V_TUPLE) {
        bool ok = true;
        for (uint32_t i = 0; ok && i < v->list.n; i++) {
            ok = call_results(e, sym_printf(syms, "%s.%u", name, i), v->list.at[i]);
        }
        return ok;
    }
    if (v->kind == V_LOSS) {
        if (!loss_pair(e, v, NULL, &sum, &weight)) {
            return false;
        }
        graph_result(e->g, sym_printf(syms, "%s.sum", name), sum);
        graph_result(e->g, sym_printf(syms, "%s.weight", name), weight);
        return true;
    }
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    if (n) {
        graph_result(e->g, name, n);
    }
    return n != NULL;
}

static bool call_entry(Elab *e, Given *x)
{
    const Val *fn = call_target(e, x->call->function);
    if (!fn) {
        return false;
    }
    entry_begin(e, arena_printf(e->arena, "call:%s", x->call->function), x->call->mode);
    e->all_train = true;
    e->past = x->call->past ? dim_const(e->ir, x->call->past) : NULL;
    e->context = x->call->context ? dim_const(e->ir, x->call->context) : NULL;
    Args *args = call_args(x, fn->code.ast);
    const Val *v = args ? call_value(e, e->front->files.at[0]->env, fn, args) : NULL;
    return v && !val_is_poison(v) && call_results(e, sym(e->ir->syms, "out"), v);
}

Program *front_call(Front *f, const FrontCall *call, bool *blame)
{
    uint32_t errors = diags_reported(f->ir->diags);
    Program *p = program_new(f->ir, f->files.at[0]->name);
    Elab *e = elab_new(f, p, f->arena);
    Given x = {.e = e, .call = call};
    describe_inputs(&x);
    bool ok = call_entry(e, &x);
    *blame = diags_errors_in(f->ir->diags, x.all.file) > 0;
    return ok && diags_reported(f->ir->diags) == errors ? p : NULL;
}

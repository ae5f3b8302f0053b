/* expr.c: expressions. One small function per kind of syntax node, found through a table. */
#include "datum.h"

enum { MAX_STRING = 1 << 16 };

typedef const Val *(*EvalExpr)(Elab *e, Env *env, const Ast *a);

static const Val *eval_literal(Elab *e, Env *env, const Ast *a)
{
    UNUSED(env);
    return num_literal(e, a);
}

static const Val *eval_string(Elab *e, Env *env, const Ast *a)
{
    UNUSED(env);
    return val_str(e, a->text, a->span);
}

static const Val *eval_word(Elab *e, Env *env, const Ast *a)
{
    UNUSED(env);
    if (a->kind == A_NONE) {
        return val_none(e, a->span);
    }
    if (a->kind == A_INF) {
        return val_real(e, __builtin_inf(), a->span);
    }
    return val_bool(e, a->kind == A_TRUE, a->span);
}

static const Val *eval_error(Elab *e, Env *env, const Ast *a)
{
    UNUSED(env);
    return poison(e, a->span);
}

static const Val *id_value(Elab *e, Env *env, const Ast *a)
{
    const Val *v = env_get(e, env, a->name, a->span);
    if (v->kind != V_BUILTIN || v->builtin->fn) {
        return val_at(e, v, a->span); /* messages point here, not where it was defined */
    }
    return record_new(e, env, a); /* without arguments: zeros, greedy */
}

static const Val *eval_id(Elab *e, Env *env, const Ast *a)
{
    return memory_read(e, env, id_value(e, env, a));
}

static const Val *eval_paren(Elab *e, Env *env, const Ast *a)
{
    return eval(e, env, a->kid[0]);
}

/* False after E0202: an earlier entry has the name of this one. */
static bool entry_once(Elab *e, Map **names, const Ast *entry)
{
    *names = *names ? *names : map_new(e->arena);
    const Ast *first = map_get(*names, MAP_KEY(entry->name));
    if (first) {
        Diag *d = diag_at(e->diags, DIAG_E0202, entry->name_span, "two entries are called `%s`",
                          entry->name);
        diag_also(d, first->name_span, "first here");
    }
    map_put(*names, MAP_KEY(entry->name), (void *)entry);
    return !first;
}

static const Val *eval_list(Elab *e, Env *env, const Ast *a)
{
    const Val **at = NEW_ARRAY(e->arena, const Val *, a->nkid + 1);
    Map *names = NULL;
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i]->kind == A_NAMED && !entry_once(e, &names, a->kid[i])) {
            return poison(e, a->span);
        }
        const Ast *k = a->kid[i]->kind == A_NAMED ? a->kid[i]->kid[0] : a->kid[i];
        at[i] = eval(e, env, k);
    }
    return val_list(e, a->kind == A_TUPLE ? V_TUPLE : V_LIST, at, a->nkid, a->span);
}

static const Val *eval_lambda(Elab *e, Env *env, const Ast *a)
{
    Val *v = val_new(e, V_CLOSURE, a->span);
    v->code.ast = a;
    v->code.env = env;
    return v;
}

static const Val *eval_pipe(Elab *e, Env *env, const Ast *a)
{
    const Val *first = eval(e, env, a->kid[0]);
    const Ast *target = a->kid[1];
    const Ast *callee = target->kind == A_CALL ? target->kid[0] : target;
    const Val *fn = eval(e, env, callee);
    Args *args = args_eval(e, env, target->kind == A_CALL ? target : NULL, first);
    args->call = a->span;
    return call_value(e, env, fn, args);
}

static const Val *eval_as(Elab *e, Env *env, const Ast *a)
{
    return sig_as(e, env, eval(e, env, a->kid[0]), a->kid[1], a->span);
}

static const Val *eval_coalesce(Elab *e, Env *env, const Ast *a)
{
    const Val *v = eval(e, env, a->kid[0]);
    return v->kind == V_NONE ? eval(e, env, a->kid[1]) : v;
}

/* and, or: compile-time with short circuit, elementwise on tensors. */
static const Val *eval_logic(Elab *e, Env *env, const Ast *a)
{
    const Val *x = eval(e, env, a->kid[0]);
    if (x->kind == V_BOOL && x->b == (a->kind == A_OR)) {
        return x;
    }
    const Val *y = eval(e, env, a->kid[1]);
    OpKind op = a->kind == A_OR ? OP_OR : OP_AND;
    if (x->kind == V_BOOL && y->kind == V_BOOL) {
        return y;
    }
    return mask_is(x) || mask_is(y) ? mask_join(e, op, x, y, a->span)
                                    : arith_binary(e, op, x, y, a->span);
}

static const Val *eval_not(Elab *e, Env *env, const Ast *a)
{
    const Val *x = eval(e, env, a->kid[0]);
    if (val_is_number(x)) {
        diag_at(e->diags, DIAG_E0501, a->span, "`not` needs a bool, got %s", val_text(e, x));
        return poison(e, a->span);
    }
    if (mask_is(x)) {
        return mask_join(e, OP_NOT, x, NULL, a->span);
    }
    return x->kind == V_BOOL ? val_bool(e, !x->b, a->span) : arith_unary(e, OP_NOT, x, a->span);
}

/* Equality of compile-time values that are no numbers; -1 when they have no such order. */
static int plain_equal(const Val *x, const Val *y)
{
    if (x->kind == V_NONE || y->kind == V_NONE) {
        return x->kind == y->kind;
    }
    if (x->kind != y->kind) {
        return -1;
    }
    return x->kind == V_STR    ? x->str == y->str
           : x->kind == V_BOOL ? x->b == y->b
           : x->kind == V_MODE ? x->mode == y->mode
                               : -1;
}

static bool order_holds(Sym op, int c)
{
    return strcmp(op, "==") == 0   ? c == 0
           : strcmp(op, "!=") == 0 ? c != 0
           : strcmp(op, "<") == 0  ? c < 0
           : strcmp(op, "<=") == 0 ? c <= 0
           : strcmp(op, ">") == 0  ? c > 0
                                   : c >= 0;
}

/* In `mode == decode` the word is a mode, whatever else has that name here. */
static const Val *compared(Elab *e, Env *env, const Ast *a, const Val *with)
{
    Mode mode;
    if (!with || with->kind != V_MODE || a->kind != A_ID || !mode_find(a->name, &mode)) {
        return eval(e, env, a);
    }
    Val *v = val_new(e, V_MODE, a->span);
    v->mode = mode;
    return v;
}

static const Val *eval_cmp(Elab *e, Env *env, const Ast *a)
{
    const Val *x = eval(e, env, a->kid[0]), *y = compared(e, env, a->kid[1], x);
    if (val_is_poison(x) || val_is_poison(y)) {
        return poison(e, a->span);
    }
    if (val_is_number(x) && val_is_number(y)) {
        int c;
        if (num_compare(e, x, y, &c)) {
            return val_bool(e, order_holds(a->text, c), a->span);
        }
        if ((x->kind == V_INT && elab_open(e, x->dim)) ||
            (y->kind == V_INT && elab_open(e, y->dim))) {
            return poison(e, a->span);
        }
        diag_at(e->diags, DIAG_E0307, a->span, "%s and %s cannot be compared at compile time",
                val_text(e, x), val_text(e, y));
        return poison(e, a->span);
    }
    bool equality = strcmp(a->text, "==") == 0 || strcmp(a->text, "!=") == 0;
    int eq = equality ? plain_equal(x, y) : -1;
    if (eq >= 0) {
        return val_bool(e, eq == (a->text[0] == '='), a->span);
    }
    return arith_compare(e, a->text, x, y, a->span);
}

static const Val *eval_range(Elab *e, Env *env, const Ast *a)
{
    const Val *at[2] = {eval(e, env, a->kid[0]), eval(e, env, a->kid[1])};
    for (int i = 0; i < 2; i++) {
        if (at[i]->kind != V_INT && !val_is_poison(at[i])) {
            diag_at(e->diags, DIAG_E0503, a->kid[i]->span, "a range needs integers, got %s",
                    val_text(e, at[i]));
            return poison(e, a->span);
        }
        if (val_is_poison(at[i])) {
            return at[i];
        }
    }
    return val_list(e, V_RANGE, at, 2, a->span);
}

static const Val *list_concat(Elab *e, const Val *a, const Val *b, Span span)
{
    uint32_t n = a->list.n + b->list.n;
    if (!elab_spend(e, n / 4, span)) {
        return poison(e, span);
    }
    const Val **at = NEW_ARRAY(e->arena, const Val *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        at[i] = i < a->list.n ? a->list.at[i] : b->list.at[i - a->list.n];
    }
    return val_list(e, V_LIST, at, n, span);
}

static const Val *string_concat(Elab *e, const Val *a, const Val *b, Span span)
{
    size_t n = strlen(a->str) + strlen(b->str);
    if (n > MAX_STRING) {
        diag_at(e->diags, DIAG_E0109, span, "a string has at most %d bytes", MAX_STRING);
        return poison(e, span);
    }
    if (!elab_spend(e, n / 64, span)) {
        return poison(e, span);
    }
    return val_str(e, sym_printf(e->ir->syms, "%s%s", a->str, b->str), span);
}

static OpKind arith_op(Sym op)
{
    static const struct {
        const char *text;
        OpKind op;
    } ops[] = {{"+", OP_ADD},   {"-", OP_SUB}, {"*", OP_MUL}, {"/", OP_DIV},
               {"//", OP_IDIV}, {"%", OP_MOD}, {"**", OP_POW}};
    for (size_t i = 0; i < COUNT(ops); i++) {
        if (strcmp(op, ops[i].text) == 0) {
            return ops[i].op;
        }
    }
    BUG("operator %s", op);
}

static const Val *eval_bin(Elab *e, Env *env, const Ast *a)
{
    const Val *x = eval(e, env, a->kid[0]), *y = eval(e, env, a->kid[1]);
    if (val_is_poison(x) || val_is_poison(y)) {
        return poison(e, a->span);
    }
    if (x->kind == V_LOSS || y->kind == V_LOSS) {
        return loss_binary(e, a->text, x, y, a->span);
    }
    if (strcmp(a->text, "@") == 0) {
        return arith_matmul(e, x, y, a->span);
    }
    if (val_is_number(x) && val_is_number(y)) {
        return num_binary(e, a->text, x, y, a->span);
    }
    if (a->text[0] == '+' && x->kind == V_STR && y->kind == V_STR) {
        return string_concat(e, x, y, a->span);
    }
    if (a->text[0] == '+' && x->kind == V_LIST && y->kind == V_LIST) {
        return list_concat(e, x, y, a->span);
    }
    return arith_binary(e, arith_op(a->text), x, y, a->span);
}

static const Val *eval_neg(Elab *e, Env *env, const Ast *a)
{
    const Val *x = eval(e, env, a->kid[0]);
    if (val_is_number(x)) {
        return num_negate(e, x, a->span);
    }
    if (x->kind == V_LOSS) {
        return loss_binary(e, "*", x, val_int(e, -1, a->span), a->span);
    }
    return arith_unary(e, OP_NEG, x, a->span);
}

/* cosine(warmup: 5%): kept as written; whoever knows the schema reads the arguments. */
static const Val *eval_call(Elab *e, Env *env, const Ast *a)
{
    const Val *fn = eval(e, env, a->kid[0]);
    if (val_is_poison(fn)) {
        args_eval(e, env, a, NULL); /* for their own mistakes */
        return fn;
    }
    if (fn->kind == V_RECORD && a->kid[0]->kind == A_ID && fn->code.ast == a->kid[0]) {
        return record_new(e, env, a);
    }
    bool module = fn->kind == V_MODULE && !e->g;
    Args *args = module ? module_args(e, env, fn, a, e->place) : args_eval(e, env, a, NULL);
    return call_value(e, env, fn, args);
}

static const Val *no_member(Elab *e, const Val *v, const Ast *a)
{
    Diag *d = diag_at(e->diags, DIAG_E0201, a->name_span, "%s has no member `%s`", val_text(e, v),
                      a->name);
    if (is_tensor(v)) {
        habit_help(d, a->name, true);
    }
    return poison(e, a->span);
}

static const Val *instance_member(Elab *e, const Env *env, const Val *v, const Ast *a)
{
    const Val *m = inst_member(e, v->inst, a->name, a->span);
    if (m) {
        return val_at(e, m, a->span);
    }
    const char *const text[] = {val_text(e, v), " has no member `", a->name, "`"};
    Unknown u = {DIAG_E0201, a->name, a->name_span, v->inst->module,
                 arena_join(e->arena, text, COUNT(text))};
    Diag *d = env_unknown(e, env, &u);
    if (!d) {
        return poison(e, a->span);
    }
    Sym near = sym_nearest(a->name, v->inst->names.at, v->inst->names.n);
    if (near) {
        diag_fix(d, a->name_span, near, "a similar member exists");
        return poison(e, a->span);
    }
    StrBuf sb = sb_new(e->arena);
    for (uint32_t i = 0; i < v->inst->names.n && i < 12; i++) {
        sb_printf(&sb, "%s%s", i ? ", " : "", v->inst->names.at[i]);
    }
    diag_note(d, "its members are %s%s", sb_text(&sb), v->inst->names.n > 12 ? ", .." : "");
    return poison(e, a->span);
}

static const Val *member_value(Elab *e, Env *env, const Ast *a);

/* What a name or a member is, before it is read: the h of h.set(..) is no tensor. */
static const Val *eval_place(Elab *e, Env *env, const Ast *a)
{
    if ((a->kind != A_ID && a->kind != A_MEMBER) || !elab_enter(e, a->span)) {
        return eval(e, env, a);
    }
    const Val *v = a->kind == A_ID ? id_value(e, env, a) : member_value(e, env, a);
    elab_leave(e);
    return v;
}

static const Val *member_value(Elab *e, Env *env, const Ast *a)
{
    const Val *v = eval_place(e, env, a->kid[0]);
    if (val_is_poison(v)) {
        return v;
    }
    if (v->kind == V_BATCH) {
        return batch_member(e, v, a);
    }
    if (is_datum(v)) {
        return datum_member(e, v, a);
    }
    if (v->kind == V_INSTANCE) {
        return instance_member(e, env, v, a);
    }
    if (v->kind == V_FILE) {
        Item *item = file_item(v->file, a->name);
        return item ? item_value(e, item, a->span) : no_member(e, v, a);
    }
    if (v->kind == V_TUPLE || v->kind == V_LIST) {
        unsigned long i = strtoul(a->name, NULL, 10);
        bool digit = a->name[0] >= '0' && a->name[0] <= '9';
        return digit && i < v->list.n ? v->list.at[i] : no_member(e, v, a);
    }
    if (v->kind == V_STATE || v->kind == V_PARAM || v->kind == V_MEMORY) {
        Val *m = val_new(e, V_METHOD, a->span);
        m->method.self = v;
        m->method.name = a->name;
        return m;
    }
    return no_member(e, v, a);
}

static const Val *eval_member(Elab *e, Env *env, const Ast *a)
{
    const Val *v = member_value(e, env, a);
    return v->kind == V_MEMORY ? memory_read(e, env, val_at(e, v, a->span))
                               : memory_read(e, env, v);
}

static const Val *eval_if(Elab *e, Env *env, const Ast *a)
{
    bool c;
    if (env->kind != ENV_FRAME) { /* of a let of a file or module: its branches bind in their own */
        env = env_new(e, ENV_FRAME, env);
    }
    if (!eval_bool(e, env, a->kid[0], &c)) {
        body_lose(e, env, a);
        return poison(e, a->span);
    }
    const Ast *branch = a->kid[c ? 1 : 2];
    if (!branch) {
        return val_none(e, a->span);
    }
    return branch->kind == A_IF ? eval_if(e, env, branch) : eval_body(e, env, branch);
}

static const EvalExpr table[A_COUNT] = {
    [A_INT] = eval_literal,       [A_FLOAT] = eval_literal,
    [A_PERCENT] = eval_literal,   [A_QUANTITY] = eval_literal,
    [A_STRING] = eval_string,     [A_TRUE] = eval_word,
    [A_FALSE] = eval_word,        [A_NONE] = eval_word,
    [A_INF] = eval_word,          [A_ID] = eval_id,
    [A_PAREN] = eval_paren,       [A_TUPLE] = eval_list,
    [A_LIST] = eval_list,         [A_LAMBDA] = eval_lambda,
    [A_PIPE] = eval_pipe,         [A_AS] = eval_as,
    [A_COALESCE] = eval_coalesce, [A_OR] = eval_logic,
    [A_AND] = eval_logic,         [A_NOT] = eval_not,
    [A_CMP] = eval_cmp,           [A_RANGE] = eval_range,
    [A_BIN] = eval_bin,           [A_NEG] = eval_neg,
    [A_CALL] = eval_call,         [A_MEMBER] = eval_member,
    [A_INDEX] = index_eval,       [A_IF] = eval_if,
    [A_ERROR] = eval_error,
};

const Val *eval(Elab *e, Env *env, const Ast *a)
{
    if (!table[a->kind]) {
        diag_at(e->diags, DIAG_E0107, a->span, "a %s cannot stand in an expression",
                ast_kind_name(a->kind));
        return poison(e, a->span);
    }
    if (!elab_enter(e, a->span)) {
        return poison(e, a->span);
    }
    if (e->g) {
        e->g->span = a->span;
    }
    const Val *v = table[a->kind](e, env, a);
    elab_leave(e);
    /* messages point at what is written here, not into the function that made it */
    bool called = a->kind == A_CALL || a->kind == A_PIPE || a->kind == A_IF;
    return called && (v->kind == V_TENSOR || v->kind == V_LOSS) ? val_at(e, v, a->span) : v;
}

bool eval_bool(Elab *e, Env *env, const Ast *a, bool *out)
{
    const Val *v = eval(e, env, a);
    if (v->kind == V_BOOL) {
        *out = v->b;
        return true;
    }
    if (!val_is_poison(v)) {
        Diag *d = diag_at(e->diags, DIAG_E0307, a->span,
                          "this needs a compile-time condition, got %s", val_text(e, v));
        if (is_tensor(v)) {
            diag_help(d, "choose at run time with `select(c, a, b)`");
        }
    }
    return false;
}

/* False after E0401 for each name that nothing in scope has. */
static bool dims_known(Elab *e, Env *env, const Ast *a)
{
    bool ok = true;
    if (a->kind == A_ID && !env_find(e, env, a->name, a->span)) {
        const char *const text[] = {"unknown dimension `", a->name, "`"};
        Unknown u = {DIAG_E0401, a->name, a->span, NULL, arena_join(e->arena, text, COUNT(text))};
        Diag *d = env_unknown(e, env, &u);
        if (d) {
            env_suggest(e, env, a->name, a->span, d);
        }
        return false;
    }
    for (uint32_t i = 0; i < a->nkid && (a->kind == A_BIN || a->kind == A_PAREN); i++) {
        ok = dims_known(e, env, a->kid[i]) && ok;
    }
    return ok;
}

/* The name in a dimension that is no integer: in `H * dh` the `dh` that was D / 3. */
static const Val *culprit(Elab *e, Env *env, const Ast *a)
{
    const Val *v = a->kind == A_ID ? env_find(e, env, a->name, a->span) : NULL;
    if (v) {
        return v->kind == V_REAL ? v : NULL;
    }
    for (uint32_t i = 0; a->kind == A_BIN && i < a->nkid && !v; i++) {
        v = culprit(e, env, a->kid[i]);
    }
    return v;
}

const Dim *eval_dim(Elab *e, Env *env, const Ast *a)
{
    const Val *v = dims_known(e, env, a) ? eval(e, env, a) : NULL;
    if (!v || val_is_poison(v)) {
        return NULL;
    }
    bool negative = v->kind == V_INT && dim_hi(e->ir, v->dim) < 0;
    if (v->kind == V_INT && !negative) {
        return v->dim;
    }
    Inst *inst = env_instance(env);
    const Val *def = culprit(e, env, a);
    v = def && def->kind == v->kind ? def : v; /* where the number comes from */
    bool elsewhere = v->span.file && (v->span.file != a->span.file || v->span.hi < a->span.lo ||
                                      v->span.lo > a->span.hi);
    Diag *d = diag_at(
        e->diags, v->kind == V_REAL ? DIAG_E0403 : DIAG_E0401, elsewhere ? v->span : a->span,
        negative ? "a dimension cannot be negative, got %s" : "a dimension is an integer, got %s",
        val_text(e, v));
    if (elsewhere) {
        diag_also(d, a->span, "a dimension here");
    }
    if (inst) {
        diag_note(d, "in %s", inst_text(e, inst));
    }
    return NULL;
}

bool eval_const_int(Elab *e, Env *env, const Ast *a, int64_t *out)
{
    const Val *v = eval(e, env, a);
    if (val_as_int(v, out)) {
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0503, a->span, "this needs a compile-time integer, got %s",
                val_text(e, v));
    }
    return false;
}

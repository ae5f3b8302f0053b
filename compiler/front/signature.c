/* signature.c: types as written against values as they are. A call unifies its arguments with the
 * signature left to right: a bare unknown name binds, a term with one unknown is solved when linear,
 * anything else is evaluated and compared; a pack takes what is left (language.md 2.4). */
#include "elab.h"

/* What is being checked, for messages. */
typedef struct Accept {
    Elab *e;
    Env *frame;
    const char *what;
    DiagCode code; /* of a type that differs: E0402 for arguments, E0407 for results */
    Span at;       /* of the value */
} Accept;

static const Val *accept(const Accept *x, const Ast *type, const Val *v);

bool type_is_optional(const Ast *type)
{
    return type && type->kind == A_T_OPTIONAL;
}

Pack *env_pack(const Env *env, Sym name)
{
    for (; env && env->kind == ENV_FRAME; env = env->up) {
        Pack *p = env->packs ? map_get(env->packs, MAP_KEY(name)) : NULL;
        if (p) {
            return p;
        }
    }
    return NULL;
}

static Sym pack_name(Elab *e, const Ast *a)
{
    return a->name ? a->name : sym(e->ir->syms, "..");
}

/* The frame's value of a dimension name: NULL when it is still free. */
static const Val *dim_value(Elab *e, Env *frame, Sym name, Span span)
{
    const Val *v = env_find(e, frame, name, span);
    return v && (v->kind == V_INT || val_is_poison(v)) ? v : NULL;
}

/* The only free name of a dimension expression; *n counts distinct ones. */
static void free_names(Elab *e, Env *frame, const Ast *a, Sym *name, uint32_t *n)
{
    if (a->kind == A_MEMBER || a->kind == A_INDEX || a->kind == A_CALL) {
        return; /* base.In, sizes[0]: no names of dimensions */
    }
    if (a->kind == A_ID) {
        if (!dim_value(e, frame, a->name, a->span) && *name != a->name) {
            *name = a->name;
            (*n)++;
        }
        return;
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i]) {
            free_names(e, frame, a->kid[i], name, n);
        }
    }
}

static void add_context(const Accept *x, Diag *d, Span declared)
{
    Inst *inst = env_instance(x->frame);
    if (declared.file) {
        diag_also(d, declared, x->code == DIAG_E0407 ? "promised here" : "asked for here");
    }
    if (inst && inst->path[0] && x->frame->function) {
        diag_note(d, "in %s", inst_text(x->e, inst));
    }
}

static void mismatch(const Accept *x, const Ast *type, const Val *v, const char *expected)
{
    Diag *d = diag_at(x->e->diags, x->code, v->span, "%s: expected %s, got %s", x->what, expected,
                      val_text(x->e, v));
    if (v->kind == V_NONE && x->code == DIAG_E0407) {
        diag_help(d, "a function gives the value of its last statement");
    }
    add_context(x, d, type->span);
}

/* A number for a function, a string for a tensor: no question of dimensions. */
static const Val *wrong_kind(const Accept *x, const Ast *type, const Val *v, const char *expected)
{
    Accept kind = *x;
    kind.code = x->code == DIAG_E0402 ? DIAG_E0205 : x->code;
    mismatch(&kind, type, v, expected);
    return poison(x->e, v->span);
}

/* p = coef * s + rest with s nowhere else; false when not linear. */
static bool linear_in(Ir *ir, const Dim *p, const DimSym *s, const Dim **coef, const Dim **rest)
{
    *coef = *rest = dim_const(ir, 0);
    for (uint32_t i = 0; i < p->nterm; i++) {
        const DimTerm *t = &p->term[i];
        const Dim *rest_of_term = dim_const(ir, t->coef);
        uint32_t power = 0;
        for (uint32_t k = 0; k < t->nsym; k++) {
            if (t->sym[k] == s->id) {
                power++;
            } else {
                rest_of_term = dim_mul(ir, rest_of_term, dim_of(ir, dim_sym_at(ir, t->sym[k])));
            }
        }
        if (power > 1) {
            return false;
        }
        const Dim **side = power ? coef : rest;
        *side = dim_add(ir, *side, rest_of_term);
    }
    return !dim_equals(*coef, 0);
}

static bool solve_dim(const Accept *x, const Ast *a, Sym unknown, const Dim *actual)
{
    Elab *e = x->e;
    const DimSym *s = dim_declare(e->ir, unknown, 0, INT32_MAX);
    const Dim *coef, *rest, *q;
    uint32_t n = x->frame->locals.n;
    env_bind(e, x->frame, unknown, val_dim(e, dim_of(e->ir, s), a->span));
    const Dim *p = eval_dim(e, x->frame, a);
    env_unbind(x->frame, n);
    if (!p) {
        return false;
    }
    if (!linear_in(e->ir, p, s, &coef, &rest) ||
        !dim_div(e->ir, dim_sub(e->ir, actual, rest), coef, &q)) {
        StrBuf sb = sb_new(e->arena);
        dim_print(e->ir, actual, &sb);
        const char *text = diags_text(e->diags, a->span.file, NULL);
        Diag *d =
            diag_at(e->diags, DIAG_E0403, x->at, "%s: no `%s` makes `%.*s` equal to %s", x->what,
                    unknown, (int)(a->span.hi - a->span.lo), text + a->span.lo, sb_text(&sb));
        add_context(x, d, a->span);
        return false;
    }
    env_bind(e, x->frame, unknown, val_dim(e, q, a->span));
    return true;
}

/* One dimension of a signature against the actual one; *equal = false when they differ. */
static bool unify_dim(const Accept *x, const Ast *a, const Dim *actual, bool *equal)
{
    Elab *e = x->e;
    if (a->kind == A_ID && strcmp(a->name, "_") == 0) {
        return true;
    }
    Sym unknown = NULL;
    uint32_t n = 0;
    free_names(e, x->frame, a, &unknown, &n);
    if (n == 0) {
        const Dim *d = eval_dim(e, x->frame, a);
        *equal = *equal && d == actual;
        return d != NULL;
    }
    if (a->kind == A_ID) {
        env_bind(e, x->frame, a->name, val_dim(e, actual, a->span));
        return true;
    }
    if (n > 1) {
        diag_at(e->diags, DIAG_E0401, a->span, "unknown dimension `%s`", unknown);
        return false;
    }
    return solve_dim(x, a, unknown, actual);
}

void env_bind_pack(Elab *e, Env *frame, Sym name, const Dim *const *dims, uint32_t n)
{
    Pack *p = NEW(e->arena, Pack);
    p->n = n;
    for (uint32_t i = 0; i < n; i++) {
        p->dims[i] = dims[i];
    }
    frame->packs = frame->packs ? frame->packs : map_new(e->arena);
    map_put(frame->packs, MAP_KEY(name), p);
}

static bool unify_pack(const Accept *x, const Ast *a, const Dim *const *dims, uint32_t n)
{
    Sym name = pack_name(x->e, a);
    Pack *p = env_pack(x->frame, name);
    if (!p) {
        env_bind_pack(x->e, x->frame, name, dims, n);
        return true;
    }
    bool equal = p->n == n;
    for (uint32_t i = 0; equal && i < n; i++) {
        equal = p->dims[i] == dims[i];
    }
    return equal;
}

/* The value of a dimension, to be shown behind its name; NULL for plain numbers and unknown ones. */
static const Dim *shown_dim(const Accept *x, const Ast *a)
{
    Sym unknown = NULL;
    uint32_t n = 0;
    if (a->kind != A_ID && a->kind != A_BIN) {
        return NULL;
    }
    free_names(x->e, x->frame, a, &unknown, &n);
    return n ? NULL : eval_dim(x->e, x->frame, a);
}

/* The type as text with what is bound: `[B, T, In]` and its numbers. */
static const char *expected_text(const Accept *x, const Ast *type)
{
    Elab *e = x->e;
    StrBuf sb = sb_new(e->arena);
    sb_putc(&sb, '[');
    for (uint32_t i = 1; i < type->nkid; i++) {
        const Ast *a = type->kid[i];
        sb_puts(&sb, i > 1 ? ", " : "");
        if (a->kind == A_PACK) {
            sb_printf(&sb, "..%s", a->name ? a->name : "");
            continue;
        }
        size_t n;
        const char *src = diags_text(e->diags, a->span.file, &n);
        const Dim *d = shown_dim(x, a);
        sb_printf(&sb, "%.*s", (int)(a->span.hi - a->span.lo), src + a->span.lo);
        if (d) {
            sb_puts(&sb, " = ");
            dim_print(e->ir, d, &sb);
        }
    }
    sb_putc(&sb, ']');
    return arena_printf(e->arena, "`%s`", sb_text(&sb));
}

/* In a function called in an equation a scalar stands for every element; rows do not exist. */
static bool lifted_shape(const Accept *x, const Ast *type, const Val *v, const Type *t)
{
    Elab *e = x->e;
    if (t->rank == 0 || type->nkid == 1) {
        return true;
    }
    for (uint32_t i = 1; i < type->nkid; i++) {
        if (type->kid[i]->kind != A_PACK) {
            Diag *d = diag_at(e->diags, DIAG_E0413, v->span,
                              "%s: an equation calls functions on single elements, not on %s",
                              x->what, expected_text(x, type));
            diag_help(d, "call the function on the whole tensor, in a statement of its own");
            return false;
        }
    }
    return true;
}

static bool unify_shape(const Accept *x, const Ast *type, const Val *v, const Type *t)
{
    Elab *e = x->e;
    if (e->lifted) {
        return lifted_shape(x, type, v, t);
    }
    uint32_t want = type->nkid - 1, pack = 0;
    for (uint32_t i = 1; i < type->nkid; i++) {
        pack = type->kid[i]->kind == A_PACK ? i : pack;
    }
    if (pack ? t->rank + 1 < want : t->rank != want) {
        Diag *d = diag_at(e->diags, x->code == DIAG_E0407 ? DIAG_E0407 : DIAG_E0406, v->span,
                          "%s: expected rank %u%s, %s, got %s", x->what, pack ? want - 1 : want,
                          pack ? " or more" : "", expected_text(x, type), val_text(e, v));
        add_context(x, d, type->span);
        return false;
    }
    bool equal = true;
    uint32_t k = 0, spread = t->rank + 1 - want;
    for (uint32_t i = 1; i < type->nkid; i++) {
        if (i == pack) {
            equal = unify_pack(x, type->kid[i], t->dims + k, spread) && equal;
            k += spread;
        } else if (!unify_dim(x, type->kid[i], t->dims[k++], &equal)) {
            return false;
        }
    }
    if (!equal) {
        mismatch(x, type, v, expected_text(x, type));
    }
    return equal;
}

/* The dtype named by a tensor type; false when the name is none. *is_float: `float` or nothing. */
static bool type_dtype(const Ast *name, DType *dt, bool *is_float)
{
    *is_float = true;
    if (!name) {
        return true;
    }
    *is_float = name->kind == A_ID && strcmp(name->name, "float") == 0;
    return *is_float || (name->kind == A_ID && dtype_find(name->name, dt));
}

/* `float` of a frame: fixed by its first float argument where generic, else the compute type. */
DType env_float(const Env *frame)
{
    for (; frame && frame->kind == ENV_FRAME; frame = frame->up) {
        if (frame->has_float) {
            return frame->float_type;
        }
    }
    return DT_F32;
}

void sig_fix_float(Env *frame, const Ast *type, const Val *v)
{
    DType dt;
    bool is_float = false;
    if (!type || !v || !is_tensor(v) || frame->has_float) {
        return;
    }
    type = type->kind == A_T_OPTIONAL ? type->kid[0] : type;
    bool tensor = type->kind == A_T_TENSOR || (type->kind == A_T_NAME && type->kid[0]);
    if (tensor && type_dtype(type->kid[0], &dt, &is_float) && is_float &&
        dtype_is_float(tensor_type(v)->dtype)) {
        frame->has_float = true;
        frame->float_type = tensor_type(v)->dtype;
    }
}

static const Node *accept_dtype(const Accept *x, const Ast *name, const Val *v, const Node *n)
{
    DType dt;
    bool is_float, actual_float = dtype_is_float(n->type->dtype);
    if (!type_dtype(name, &dt, &is_float)) {
        diag_at(x->e->diags, DIAG_E0201, name->span, "`%s` is not an element type", name->name);
        return NULL;
    }
    dt = is_float ? env_float(x->frame) : dt;
    if (n->type->dtype == dt) {
        return n;
    }
    if (is_float && actual_float && !x->frame->generic_float) {
        return graph_cast(x->e->g, dt, n);
    }
    Diag *d = diag_at(x->e->diags, DIAG_E0501, v->span, "%s: expected `%s`, got %s", x->what,
                      dtype_info(dt)->name, val_text(x->e, v));
    diag_help(d, "convert it: `x as %s`", dtype_info(dt)->name);
    return NULL;
}

static const Val *accept_tensor(const Accept *x, const Ast *type, const Val *v)
{
    Elab *e = x->e;
    if (val_is_number(v) || v->kind == V_BOOL) {
        if (!e->g && type->nkid == 1) {
            return v; /* a scalar that stays a number while nothing is run */
        }
        const Type *t = sig_type(e, x->frame, type);
        const Node *n = t ? arith_fill(e, v, t, v->span) : NULL;
        return n ? val_node(e, n, v->span) : poison(e, v->span);
    }
    if (!is_tensor(v)) {
        return wrong_kind(x, type, v, expected_text(x, type));
    }
    const Node *n = tensor_of(e, v);
    n = n ? accept_dtype(x, type->kid[0], v, n) : NULL;
    if (!n || !unify_shape(x, type, v, n->type)) {
        return poison(e, v->span);
    }
    return val_node(e, n, v->span);
}

/* int num str ..: what the word of a compile-time type takes; NULL when it is no such word. */
static const char *word_kinds(const Ast *name, uint32_t *kinds)
{
    static const struct {
        const char *word, *text;
        uint32_t kinds;
    } words[] = {
        {"int", "an integer", 1u << V_INT},
        {"num", "a number", 1u << V_INT | 1u << V_REAL | 1u << V_PERCENT},
        {"str", "a string", 1u << V_STR},
        {"fn", "a function", 1u << V_CLOSURE | 1u << V_BUILTIN | 1u << V_INSTANCE | 1u << V_DTYPE},
        {"loss", "a loss", 1u << V_LOSS},
        {"module", "a module", 1u << V_MODULE},
    };
    for (size_t i = 0; i < COUNT(words); i++) {
        if (name->kind == A_ID && strcmp(name->name, words[i].word) == 0) {
            *kinds = words[i].kinds;
            return words[i].text;
        }
    }
    return NULL;
}

/* Types that are one word: int num bool str fn loss, an element type, a module. */
static const Val *accept_word(const Accept *x, const Ast *type, const Val *v)
{
    const Ast *name = type->kid[0];
    uint32_t kinds;
    const char *text = word_kinds(name, &kinds);
    if (text) {
        return kinds >> v->kind & 1 ? v : wrong_kind(x, type, v, text);
    }
    DType dt;
    bool is_float;
    if (type_dtype(name, &dt, &is_float)) {
        Ast scalar = *type; /* `lr: f32` is `f32[]` */
        Ast *kid[1] = {(Ast *)name};
        scalar.kind = A_T_TENSOR;
        scalar.kid = kid;
        scalar.nkid = 1;
        bool wants_bool = !is_float && dt == DT_BOOL;
        if (wants_bool && val_is_number(v)) {
            return wrong_kind(x, type, v, "true or false");
        }
        /* true and false stay known at compile time: `if` can ask for them */
        return wants_bool && v->kind == V_BOOL ? v : accept_tensor(x, &scalar, v);
    }
    const Val *m = eval(x->e, x->frame, name);
    if (val_is_poison(m)) {
        return m;
    }
    if (m->kind != V_MODULE) {
        diag_at(x->e->diags, DIAG_E0205, type->span, "expected a type, got %s", val_text(x->e, m));
        return poison(x->e, type->span);
    }
    bool same = v->kind == V_INSTANCE && v->inst->module == m->code.ast;
    return same ? v
                : wrong_kind(x, type, v,
                             arena_printf(x->e->arena, "an instance of %s", val_text(x->e, m)));
}

static const Val *accept_tuple(const Accept *x, const Ast *type, const Val *v)
{
    if (v->kind != V_TUPLE || v->list.n != type->nkid) {
        return wrong_kind(x, type, v, arena_printf(x->e->arena, "%u values", type->nkid));
    }
    const Val **at = NEW_ARRAY(x->e->arena, const Val *, type->nkid + 1);
    for (uint32_t i = 0; i < type->nkid; i++) {
        at[i] = accept(x, type->kid[i], v->list.at[i]);
    }
    return val_list(x->e, V_TUPLE, at, type->nkid, v->span);
}

static const Val *accept(const Accept *x, const Ast *type, const Val *v)
{
    if (val_is_poison(v) || type->kind == A_ERROR) {
        return val_is_poison(v) ? v : poison(x->e, v->span);
    }
    if (type->kind == A_T_OPTIONAL) {
        return v->kind == V_NONE ? v : accept(x, type->kid[0], v);
    }
    if (type->kind == A_T_NAME) {
        return accept_word(x, type, v);
    }
    return type->kind == A_T_TUPLE ? accept_tuple(x, type, v) : accept_tensor(x, type, v);
}

const Val *sig_accept(Elab *e, Env *frame, const Ast *type, const Val *v, const char *what)
{
    Accept x = {e, frame, what, DIAG_E0402, v->span};
    return accept(&x, type, v);
}

const Val *sig_result(Elab *e, Env *frame, const Ast *type, const Val *v, const char *what)
{
    Accept x = {e, frame, what, DIAG_E0407, v->span};
    return accept(&x, type, v);
}

/* The dims of a tensor type with everything bound. */
static bool type_dims(Elab *e, Env *frame, const Ast *type, const Dim **dims, uint32_t *rank)
{
    for (uint32_t i = 1; i < type->nkid; i++) {
        const Ast *a = type->kid[i];
        Pack *p = a->kind == A_PACK ? env_pack(frame, pack_name(e, a)) : NULL;
        if (a->kind == A_PACK && !p) {
            diag_at(e->diags, DIAG_E0401, a->span, "the dimensions of `..` are not known here");
            return false;
        }
        uint32_t n = p ? p->n : 1;
        if (*rank + n > IR_MAX_RANK) {
            diag_at(e->diags, DIAG_E0406, type->span, "a tensor has at most %d dimensions",
                    IR_MAX_RANK);
            return false;
        }
        for (uint32_t k = 0; k < n; k++) {
            const Dim *d = p ? p->dims[k] : eval_dim(e, frame, a);
            if (!d) {
                return false;
            }
            dims[(*rank)++] = d;
        }
    }
    return true;
}

const Type *sig_type(Elab *e, Env *frame, const Ast *type)
{
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0;
    DType dt = DT_F32;
    bool is_float, word = type->kind == A_T_NAME;
    if (type->kind != A_T_TENSOR && !word) {
        diag_at(e->diags, DIAG_E0205, type->span, "expected a tensor type");
        return NULL;
    }
    if (!type_dtype(type->kid[0], &dt, &is_float)) {
        const char *text = diags_text(e->diags, type->kid[0]->span.file, NULL);
        Span s = type->kid[0]->span;
        diag_at(e->diags, DIAG_E0201, s, "`%.*s` is not an element type", (int)(s.hi - s.lo),
                text + s.lo);
        return NULL;
    }
    if (!word && !type_dims(e, frame, type, dims, &rank)) {
        return NULL;
    }
    return type_tensor(e->ir, is_float ? env_float(frame) : dt, rank, dims);
}

const Val *sig_as(Elab *e, Env *env, const Val *v, const Ast *type, Span span)
{
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    if (!n) {
        return poison(e, span);
    }
    DType dt = n->type->dtype;
    bool is_float;
    const Ast *name = type->nkid ? type->kid[0] : NULL;
    if ((type->kind != A_T_NAME && type->kind != A_T_TENSOR) || !type_dtype(name, &dt, &is_float)) {
        const char *text = diags_text(e->diags, type->span.file, NULL);
        diag_at(e->diags, DIAG_E0205, type->span,
                "`as` needs an element type or a shape, got `%.*s`",
                (int)(type->span.hi - type->span.lo), text + type->span.lo);
        return poison(e, span);
    }
    if (is_float && name) {
        dt = env_float(env);
    }
    n = arith_cast(e, is_float && !name ? n->type->dtype : dt, n, span);
    if (!n || type->kind == A_T_NAME) {
        return n ? val_node(e, n, span) : poison(e, span);
    }
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0;
    if (!type_dims(e, env, type, dims, &rank)) {
        return poison(e, span);
    }
    e->g->span = span;
    return val_node(e, graph_reshape(e->g, n, rank, dims), span);
}

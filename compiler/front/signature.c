/* signature.c: types as written against values as they are: element types, words such as `num` and
 * `module`, tuples; casts by `as`. Shapes are unify.c's. */
#include "datum.h"
#include "unify.h"

static const Val *accept(const Accept *x, const Ast *type, const Val *v);

bool type_is_optional(const Ast *type)
{
    return type && type->kind == A_T_OPTIONAL;
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
DType env_float(const Elab *e, const Env *frame)
{
    for (; frame && frame->kind == ENV_FRAME; frame = frame->up) {
        if (frame->has_float) {
            return frame->float_type;
        }
    }
    return e->precision.compute;
}

bool sig_is_float(const Ast *type)
{
    DType dt;
    bool is_float;
    return type->nkid && type_dtype(type->kid[0], &dt, &is_float) && is_float;
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
        ASSERT(name != NULL);
        diag_at(x->e->diags, DIAG_E0201, name->span, "`%s` is not an element type", name->name);
        return NULL;
    }
    dt = is_float ? env_float(x->e, x->frame) : dt;
    if (n->type->dtype == dt) {
        return n;
    }
    if (is_float && actual_float && !x->frame->generic_float) {
        return graph_cast(x->e->g, dt, n);
    }
    Diag *d = diag_at(x->e->diags, DIAG_E0501, v->span, "%s: expected `%s`, got %s", x->what,
                      dtype_info(dt)->name, val_text(x->e, v));
    bool rounds = dtype_is_int(dt) && actual_float;
    diag_help(
        d, rounds ? "convert it: `floor(x) as %s`, or ceil, round, trunc" : "convert it: `x as %s`",
        dtype_info(dt)->name);
    return NULL;
}

/* A number for `[..]` whose dimensions nothing has fixed yet is a scalar: gelu(2). True when the type
 * has no other dimensions. */
static bool fill_packs(const Accept *x, const Ast *type)
{
    bool scalar = true;
    for (uint32_t i = 1; i < type->nkid; i++) {
        const Ast *a = type->kid[i];
        scalar = scalar && a->kind == A_PACK;
        if (a->kind == A_PACK && !env_pack(x->frame, unify_pack_name(x->e, a))) {
            env_bind_pack(x->e, x->frame, unify_pack_name(x->e, a), NULL, 0);
        }
    }
    return scalar;
}

static const Val *accept_tensor(const Accept *x, const Ast *type, const Val *v)
{
    Elab *e = x->e;
    const Val *datum = datum_accept_tensor(x, type, v);
    if (datum) {
        return datum;
    }
    if (val_is_number(v) || v->kind == V_BOOL) {
        if (fill_packs(x, type) && !e->g) {
            return v; /* stays a number while nothing is run */
        }
        const Type *t = sig_type(e, x->frame, type);
        const Node *n = t ? arith_fill(e, v, t, v->span) : NULL;
        return n ? val_node(e, n, v->span) : poison(e, v->span);
    }
    if (!is_tensor(v)) {
        return unify_wrong_kind(x, type, v, unify_expected(x, type));
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
        {"mask", "a mask", 1u << V_CLOSURE | 1u << V_MASK},
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

/* `1 / sqrt(d)` is a number where the size d is known, which it is not in a made-up call. */
static bool number_left_open(const Accept *x, uint32_t kinds, const Val *v)
{
    bool number = kinds >> V_REAL & 1;
    return number && x->e->uncalled && v->kind == V_TENSOR && v->node->type->rank == 0;
}

/* Types that are one word: int num bool str fn loss, an element type, a module. */
static const Val *accept_word(const Accept *x, const Ast *type, const Val *v)
{
    const Ast *name = type->kid[0];
    const Val *datum = datum_accept_word(x, type, v);
    if (datum) {
        return datum;
    }
    uint32_t kinds;
    const char *text = word_kinds(name, &kinds);
    if (text) {
        if (number_left_open(x, kinds, v)) {
            return val_real(x->e, 0.5, v->span);
        }
        if (kinds >> V_MASK & 1 && kinds >> v->kind & 1 && !mask_fits(v)) {
            text = "a mask, which is a function of (b, t, u)";
            kinds = 0;
        }
        bool fits = kinds >> v->kind & 1;
        return !fits                 ? unify_wrong_kind(x, type, v, text)
               : kinds >> V_MASK & 1 ? mask_taken(x->e, v)
                                     : v;
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
            return unify_wrong_kind(x, type, v, "true or false");
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
    return same
               ? v
               : unify_wrong_kind(
                     x, type, v, arena_printf(x->e->arena, "an instance of %s", val_text(x->e, m)));
}

static const Val *accept_tuple(const Accept *x, const Ast *type, const Val *v)
{
    if (v->kind != V_TUPLE || v->list.n != type->nkid) {
        return unify_wrong_kind(x, type, v, arena_printf(x->e->arena, "%u values", type->nkid));
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
        Pack *p = a->kind == A_PACK ? env_pack(frame, unify_pack_name(e, a)) : NULL;
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
        ASSERT(type->kid[0] != NULL);
        Span s = type->kid[0]->span;
        const char *text = diags_text(e->diags, s.file, NULL);
        diag_at(e->diags, DIAG_E0201, s, "`%.*s` is not an element type", (int)(s.hi - s.lo),
                text + s.lo);
        return NULL;
    }
    if (!word && !type_dims(e, frame, type, dims, &rank)) {
        return NULL;
    }
    return type_tensor(e->ir, is_float ? env_float(e, frame) : dt, rank, dims);
}

/* True when the numbers of elements differ, and free sizes may make them equal: `[B, N] as [B, 784]`. */
static bool may_fit(Elab *e, const Node *n, uint32_t rank, const Dim *const *dims)
{
    const Type *to = type_tensor(e->ir, n->type->dtype, rank, dims);
    const Dim *d = dim_sub(e->ir, type_count(e->ir, n->type), type_count(e->ir, to));
    return dim_lo(e->ir, d) <= 0 && dim_hi(e->ir, d) >= 0 && elab_open(e, d);
}

/* `row.images / 255 as [784]` */
static const Val *as_datum(Elab *e, Env *env, const Val *v, const Ast *type, Span span)
{
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0;
    const Type *t = type->kind == A_T_NAME ? sig_type(e, env, type) : NULL;
    if (type->kind == A_T_NAME) {
        return t ? datum_as(e, v, NULL, 0, span) : poison(e, span);
    }
    return type_dims(e, env, type, dims, &rank) ? datum_as(e, v, dims, rank, span)
                                                : poison(e, span);
}

const Val *sig_as(Elab *e, Env *env, const Val *v, const Ast *type, Span span)
{
    if (is_datum(v)) {
        return as_datum(e, env, v, type, span);
    }
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
        dt = env_float(e, env);
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
    if (may_fit(e, n, rank, dims)) {
        return poison(e, span);
    }
    e->g->span = span;
    return val_node(e, graph_reshape(e->g, n, rank, dims), span);
}

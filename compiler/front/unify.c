/* unify.c: the shape of a signature against that of a value, left to right: a bare unknown name binds, a
 * term with one unknown is solved when linear, anything else is evaluated and compared; a pack takes
 * what is left (language.md 2.4). */
#include "unify.h"

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

Sym unify_pack_name(Elab *e, const Ast *a)
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
    if (v->kind == V_LOSS) {
        diag_help(d, "`mean(x, axis: k)` is a tensor, `mean(x)` a loss");
    }
    if (v->kind == V_NONE && x->code == DIAG_E0407) {
        diag_help(d, "a function gives the value of its last statement");
    }
    if (x->code == DIAG_E0417) {
        diag_help(d, "sizes that are always equal have one name in the signature");
    }
    add_context(x, d, type->span);
}

/* A number for a function, a string for a tensor: no question of dimensions. */
const Val *unify_wrong_kind(const Accept *x, const Ast *type, const Val *v, const char *expected)
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
    const DimSym *s = dim_named(e, unknown, 0, DIM_FREE - 1);
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
        if (elab_open(e, actual)) {
            return false;
        }
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

static bool mentions(const Ast *a, Sym name)
{
    bool found = a->kind == A_ID && a->name == name;
    for (uint32_t i = 0; i < a->nkid && !found; i++) {
        found = a->kid[i] && mentions(a->kid[i], name);
    }
    return found;
}

/* What comparing the dimensions of one shape said: sizes that only a run knows may be different names for
 * the same number, while nothing makes one of them 32 each time. */
typedef struct Fit {
    bool equal;  /* all are */
    bool differ; /* some are not, whatever the run */
} Fit;

static void compare_dims(const Accept *x, const Dim *want, const Dim *actual, Fit *fit)
{
    int64_t n;
    if (want == actual) {
        return;
    }
    fit->equal = false;
    fit->differ = fit->differ || dim_is_const(want, &n) || dim_is_const(actual, &n) ||
                  dim_is_const(dim_sub(x->e->ir, want, actual), &n);
}

/* One dimension of a signature against the actual one. */
static bool unify_dim(const Accept *x, const Ast *a, const Dim *actual, Fit *fit)
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
        if (d) {
            compare_dims(x, d, actual, fit);
        }
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
    const Ast *divisor = a->kind == A_BIN && strcmp(a->text, "/") == 0 ? a->kid[1] : NULL;
    if (divisor && !mentions(divisor, unknown)) {
        const Dim *d = eval_dim(e, x->frame, divisor);
        return d && unify_dim(x, a->kid[0], dim_mul(e->ir, actual, d), fit);
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

static void unify_pack(const Accept *x, const Ast *a, const Dim *const *dims, uint32_t n, Fit *fit)
{
    Sym name = unify_pack_name(x->e, a);
    Pack *p = env_pack(x->frame, name);
    if (!p) {
        env_bind_pack(x->e, x->frame, name, dims, n);
        return;
    }
    fit->equal = fit->equal && p->n == n;
    fit->differ = fit->differ || p->n != n;
    for (uint32_t i = 0; i < n && p->n == n; i++) {
        compare_dims(x, p->dims[i], dims[i], fit);
    }
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

/* ` = (2, 3)` behind a pack that is bound. */
static void show_pack(const Accept *x, const Pack *p, StrBuf *sb)
{
    for (uint32_t i = 0; p && i < p->n; i++) {
        sb_puts(sb, i ? ", " : " = (");
        dim_print(x->e->ir, p->dims[i], sb);
    }
    sb_puts(sb, p && p->n ? ")" : "");
}

/* The type as text with what is bound: `[B, T, In]` and its numbers. */
const char *unify_expected(const Accept *x, const Ast *type)
{
    Elab *e = x->e;
    StrBuf sb = sb_new(e->arena);
    sb_putc(&sb, '[');
    for (uint32_t i = 1; i < type->nkid; i++) {
        const Ast *a = type->kid[i];
        sb_puts(&sb, i > 1 ? ", " : "");
        if (a->kind == A_PACK) {
            sb_printf(&sb, "..%s", a->name ? a->name : "");
            if (type->nkid == 2) { /* else it took what the other dimensions left */
                show_pack(x, env_pack(x->frame, unify_pack_name(e, a)), &sb);
            }
            continue;
        }
        size_t n;
        const char *src = diags_text(e->diags, a->span.file, &n);
        const Dim *d = shown_dim(x, a);
        sb_printf(&sb, "%.*s", (int)(a->span.hi - a->span.lo), src + a->span.lo);
        StrBuf size = sb_new(e->arena);
        if (d) {
            dim_print(e->ir, d, &size);
        }
        if (d && !(a->kind == A_ID && strcmp(sb_text(&size), a->name) == 0)) {
            sb_printf(&sb, " = %s", sb_text(&size));
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
                              x->what, unify_expected(x, type));
            diag_help(d, "call the function on the whole tensor, in a statement of its own");
            return false;
        }
    }
    return true;
}

bool unify_shape(const Accept *x, const Ast *type, const Val *v, const Type *t)
{
    Elab *e = x->e;
    if (e->lifted) {
        return lifted_shape(x, type, v, t);
    }
    uint32_t want = type->nkid - 1, pack = 0;
    for (uint32_t i = 1; i < type->nkid; i++) {
        if (type->kid[i]->kind == A_PACK && pack) {
            diag_at(e->diags, DIAG_E0406, type->kid[i]->span, "a shape has one `..`");
            return false;
        }
        pack = type->kid[i]->kind == A_PACK ? i : pack;
    }
    if (pack ? t->rank + 1 < want : t->rank != want) {
        Diag *d = diag_at(e->diags, x->code == DIAG_E0407 ? DIAG_E0407 : DIAG_E0406, v->span,
                          "%s: expected rank %u%s, %s, got %s", x->what, pack ? want - 1 : want,
                          pack ? " or more" : "", unify_expected(x, type), val_text(e, v));
        add_context(x, d, type->span);
        return false;
    }
    Fit fit = {.equal = true};
    uint32_t k = 0, spread = t->rank + 1 - want;
    for (uint32_t i = 1; i < type->nkid; i++) {
        if (i == pack) {
            unify_pack(x, type->kid[i], t->dims + k, spread, &fit);
            k += spread;
        } else if (!unify_dim(x, type->kid[i], t->dims[k++], &fit)) {
            return false;
        }
    }
    if (!fit.equal) {
        Accept as = *x;
        as.code = x->code == DIAG_E0402 && !fit.differ ? DIAG_E0417 : x->code;
        mismatch(&as, type, v, unify_expected(x, type));
    }
    return fit.equal;
}

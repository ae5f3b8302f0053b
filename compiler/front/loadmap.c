/* loadmap.c: the map of a load: each entry says what a tensor of the file is in terms of the model's. The
 * functions are those that can be reversed, and no element of the model is filled twice (E1003). */
#include "load.h"

/* What an entry fills of a parameter. */
typedef struct Fill {
    int64_t lo, hi;       /* rows */
    uint32_t part, parts; /* of a split; parts 0: none */
    bool whole;
    Span span;
    const struct Fill *next; /* of the same parameter */
} Fill;

typedef struct MapCx {
    LoadCx *cx;
    const Ast *entry;
    const KeyPattern *file;
    Map *fills; /* State* -> Fill* */
    Fill fill;  /* of the leaves: the split that they stand in */
} MapCx;

const char *load_key(const Load *load, const char *key)
{
    size_t n = strlen(load->prefix);
    bool inside = n && strncmp(key, load->prefix, n) == 0 && key[n] == '.';
    return inside ? key + n + 1 : key;
}

/* ---- nothing twice ---- */

static bool overlaps(const Fill *a, const Fill *b)
{
    if (a->whole || b->whole) {
        return true;
    }
    if (a->parts || b->parts) {
        return a->parts != b->parts || a->part == b->part;
    }
    return a->lo < b->hi && b->lo < a->hi;
}

static bool fill(MapCx *m, const State *s, const Fill *what)
{
    Elab *e = m->cx->e;
    Fill *f = COPY_ARRAY(e->arena, Fill, what, 1);
    f->next = map_get(m->fills, MAP_KEY(s));
    for (const Fill *old = f->next; old; old = old->next) {
        if (overlaps(old, f)) {
            Diag *d = diag_at(e->diags, DIAG_E1003, f->span,
                              "this map is not one-to-one: two entries give `%s`", s->key);
            diag_also(d, old->span, "the other one");
            return false;
        }
    }
    map_put(m->fills, MAP_KEY(s), f);
    return true;
}

/* ---- keys ---- */

static bool no_key(MapCx *m, const KeyPattern *key, Span span)
{
    Elab *e = m->cx->e;
    Diag *d = diag_at(e->diags, DIAG_E0804, span, "no tensor of `%s` has the key `%s`",
                      m->cx->load->pattern, key->text);
    Sym *names = NEW_ARRAY(e->arena, Sym, m->cx->nparam + 1);
    for (uint32_t i = 0; i < m->cx->nparam; i++) {
        names[i] = sym(e->ir->syms, load_key(m->cx->load, m->cx->param[i]->key));
    }
    Sym near = key->nstar ? NULL : sym_nearest(key->text, names, m->cx->nparam);
    if (near) {
        diag_help(d, "a similar key exists: `%s`", near);
    } else if (m->cx->nparam) {
        diag_note(d, "one of its keys is `%s`", names[0]);
    }
    return false;
}

/* The type of the file's tensor for a key: rows of the parameter, or all of it. */
static const Type *key_type(MapCx *m, const KeyPattern *key, const State *s, Span span)
{
    Elab *e = m->cx->e;
    const Type *t = s->type;
    int64_t n = 0;
    if (!key->rows && !key->stacked) {
        return t;
    }
    if (!t->rank || !dim_is_const(t->dims[0], &n) || (key->rows && key->hi > n)) {
        diag_at(e->diags, DIAG_E0416, span, "rows %lld..%lld of `%s`, which is `%s`",
                (long long)key->lo, (long long)key->hi, s->key, type_text(e->ir, t));
        return NULL;
    }
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0;
    if (!key->one) {
        dims[rank++] = dim_const(e->ir, key->hi - key->lo);
    }
    for (uint32_t i = 1; i < t->rank; i++) {
        dims[rank++] = t->dims[i];
    }
    return type_tensor(e->ir, t->dtype, rank, dims);
}

/* All parameters that the key means; *type is that of the first. */
static bool resolve_key(MapCx *m, const KeyPattern *key, Span span, const Type **type)
{
    Elab *e = m->cx->e;
    uint32_t stars = key->nstar + key->stacked, found = 0;
    if (stars != m->file->nstar) {
        diag_at(e->diags, DIAG_E1003, span,
                "this map is not one-to-one: `%s` has %u `*`, the file's `%s` has %u", key->text,
                stars, m->file->text, m->file->nstar);
        return false;
    }
    if (!elab_spend(e, 1 + m->cx->nparam / 16, span)) {
        return false;
    }
    for (uint32_t i = 0; i < m->cx->nparam; i++) {
        const State *s = m->cx->param[i];
        Captures c;
        if (!key_match(key, load_key(m->cx->load, s->key), &c)) {
            continue;
        }
        const Type *t = key_type(m, key, s, span);
        Fill f = m->fill;
        f.whole = !key->rows && !f.parts;
        f.lo = key->lo;
        f.hi = key->hi;
        f.span = span;
        if (!t || !fill(m, s, &f)) {
            return false;
        }
        *type = found++ ? *type : t;
    }
    return found || no_key(m, key, span);
}

static const MapExpr *expr(MapCx *m, const Ast *a, const Type **type);

static const MapExpr *leaf(MapCx *m, const Ast *a, const Type **type)
{
    Elab *e = m->cx->e;
    const Val *v = eval(e, m->cx->env, a);
    MapExpr *x = NEW(e->arena, MapExpr);
    if (v->kind != V_STR) {
        if (!val_is_poison(v)) {
            diag_at(e->diags, DIAG_E0802, a->span,
                    "a map gives keys of the model in quotes, got %s", val_text(e, v));
        }
        return NULL;
    }
    return key_parse(e, v->str, a->span, &x->key) && resolve_key(m, &x->key, a->span, type) ? x
                                                                                            : NULL;
}

/* ---- functions ---- */

/* The argument `axis: k`, 0 without one. */
static bool map_axis(MapCx *m, const Ast *call, const Type *t, uint32_t *axis)
{
    Elab *e = m->cx->e;
    int64_t k = 0;
    for (uint32_t i = 1; i < call->nkid; i++) {
        const Ast *a = call->kid[i];
        if (a->kind != A_NAMED) {
            continue;
        }
        if (strcmp(a->name, "axis") != 0) {
            diag_at(e->diags, DIAG_E0302, a->name_span, "`%s` has no argument `%s`",
                    call->kid[0]->name, a->name);
            return false;
        }
        if (!eval_const_int(e, m->cx->env, a->kid[0], &k)) {
            return false;
        }
    }
    k += k < 0 ? t->rank : 0;
    if (k < 0 || k >= t->rank) {
        diag_at(e->diags, DIAG_E0416, call->span, "axis %lld of `%s`", (long long)k,
                type_text(e->ir, t));
        return false;
    }
    *axis = (uint32_t)k;
    return true;
}

static const MapExpr **arguments(MapCx *m, const Ast *call, uint32_t n, const Type **types)
{
    const MapExpr **arg = NEW_ARRAY(m->cx->e->arena, const MapExpr *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        if (i + 1 >= call->nkid || call->kid[i + 1]->kind == A_NAMED) {
            diag_at(m->cx->e->diags, DIAG_E0303, call->span, "`%s` lacks an argument",
                    call->kid[0]->name);
            return NULL;
        }
        arg[i] = expr(m, call->kid[i + 1], &types[i]);
        if (!arg[i]) {
            return NULL;
        }
    }
    return arg;
}

static bool map_transpose(MapCx *m, const Ast *call, MapExpr *x, const Type **type)
{
    Elab *e = m->cx->e;
    const Type *t;
    x->arg = arguments(m, call, x->narg = 1, &t);
    if (x->arg && (t->rank != 2 || call->nkid != 2)) {
        diag_at(e->diags, DIAG_E0406, call->span, "`transpose` takes one matrix, got `%s`",
                type_text(e->ir, t));
        return false;
    }
    const Dim *dims[2] = {x->arg ? t->dims[1] : NULL, x->arg ? t->dims[0] : NULL};
    *type = x->arg ? type_tensor(e->ir, t->dtype, 2, dims) : NULL;
    return x->arg != NULL;
}

/* The numbers of the second argument: (1, 0, 2) or [64, 64]. */
static bool numbers(MapCx *m, const Ast *call, MapExpr *x)
{
    Elab *e = m->cx->e;
    const Val *v = call->nkid == 3 ? eval(e, m->cx->env, call->kid[2]) : NULL;
    bool list = v && (v->kind == V_TUPLE || v->kind == V_LIST) && v->list.n <= IR_MAX_RANK;
    for (uint32_t i = 0; list && i < v->list.n; i++) {
        list = val_as_int(v->list.at[i], &x->dim[i]) && x->dim[i] >= 0;
    }
    if (!list) {
        diag_at(e->diags, DIAG_E0303, call->span, "`%s` takes a tensor and a list of numbers",
                call->kid[0]->name);
        return false;
    }
    x->rank = v->list.n;
    return true;
}

static bool map_permute(MapCx *m, const Ast *call, MapExpr *x, const Type **type)
{
    Elab *e = m->cx->e;
    const Type *t;
    const Dim *dims[IR_MAX_RANK];
    uint32_t seen = 0;
    x->arg = arguments(m, call, x->narg = 1, &t);
    if (!x->arg || !numbers(m, call, x)) {
        return false;
    }
    for (uint32_t i = 0; i < x->rank && x->dim[i] < t->rank; i++) {
        seen |= 1u << x->dim[i];
        dims[i] = t->dims[x->dim[i]];
    }
    if (x->rank != t->rank || seen != (1u << t->rank) - 1) {
        diag_at(e->diags, DIAG_E0406, call->span, "`permute` names each axis of `%s` once",
                type_text(e->ir, t));
        return false;
    }
    *type = type_tensor(e->ir, t->dtype, t->rank, dims);
    return true;
}

static bool map_reshape(MapCx *m, const Ast *call, MapExpr *x, const Type **type)
{
    Elab *e = m->cx->e;
    const Type *t;
    const Dim *dims[IR_MAX_RANK];
    x->arg = arguments(m, call, x->narg = 1, &t);
    if (!x->arg || !numbers(m, call, x)) {
        return false;
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        dims[i] = dim_const(e->ir, x->dim[i]);
    }
    *type = type_tensor(e->ir, t->dtype, x->rank, dims);
    if (type_count(e->ir, *type) != type_count(e->ir, t)) {
        diag_at(e->diags, DIAG_E0414, call->span, "cannot reshape `%s` to `%s`",
                type_text(e->ir, t), type_text(e->ir, *type));
        return false;
    }
    return true;
}

static bool map_concat(MapCx *m, const Ast *call, MapExpr *x, const Type **type)
{
    Elab *e = m->cx->e;
    for (uint32_t i = 1; i < call->nkid; i++) {
        x->narg += call->kid[i]->kind != A_NAMED;
    }
    const Type **t = NEW_ARRAY(e->arena, const Type *, x->narg + 1);
    x->arg = arguments(m, call, x->narg ? x->narg : 1, t);
    if (!x->arg || !map_axis(m, call, t[0], &x->axis)) {
        return false;
    }
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t k = 0; k < t[0]->rank; k++) {
        dims[k] = t[0]->dims[k];
    }
    for (uint32_t i = 1; i < x->narg; i++) {
        for (uint32_t k = 0; k < t[0]->rank; k++) {
            bool fits = t[i]->rank == t[0]->rank && (k == x->axis || t[i]->dims[k] == dims[k]);
            if (!fits) {
                diag_at(e->diags, DIAG_E0405, call->span,
                        "cannot concatenate along axis %u: `%s` and `%s`", x->axis,
                        type_text(e->ir, t[0]), type_text(e->ir, t[i]));
                return false;
            }
        }
        dims[x->axis] = dim_add(e->ir, dims[x->axis], t[i]->dims[x->axis]);
    }
    *type = type_tensor(e->ir, t[0]->dtype, t[0]->rank, dims);
    return true;
}

/* split(x, n, axis: k)[i]: the file has the parts of a tensor one by one. */
static bool map_split(MapCx *m, const Ast *index, MapExpr *x, const Type **type)
{
    Elab *e = m->cx->e;
    const Ast *call = index->kid[0];
    const Type *t;
    const Dim *dims[IR_MAX_RANK], *size;
    int64_t part = 0, parts = 0;
    if (m->fill.parts || call->nkid < 3 || index->nkid != 2 ||
        !eval_const_int(e, m->cx->env, call->kid[2], &parts) ||
        !eval_const_int(e, m->cx->env, index->kid[1], &part) || parts < 1 || parts > 1 << 20 ||
        part < 0 || part >= parts) {
        diag_at(e->diags, DIAG_E0416, index->span,
                "one of n equal parts is written split(\"key\", n, axis: k)[i]");
        return false;
    }
    x->part = m->fill.part = (uint32_t)part;
    x->parts = m->fill.parts = (uint32_t)parts;
    x->arg = arguments(m, call, x->narg = 1, &t);
    m->fill = (Fill){0};
    if (!x->arg || !map_axis(m, call, t, &x->axis)) {
        return false;
    }
    for (uint32_t k = 0; k < t->rank; k++) {
        dims[k] = t->dims[k];
    }
    if (!dim_div(e->ir, dims[x->axis], dim_const(e->ir, parts), &size)) {
        diag_at(e->diags, DIAG_E0403, call->span, "axis %u of `%s` cannot be cut into %lld parts",
                x->axis, type_text(e->ir, t), (long long)parts);
        return false;
    }
    dims[x->axis] = size;
    *type = type_tensor(e->ir, t->dtype, t->rank, dims);
    return true;
}

static const MapExpr *expr(MapCx *m, const Ast *a, const Type **type)
{
    static const struct {
        const char *name;
        MapOp op;
        bool (*check)(MapCx *m, const Ast *call, MapExpr *x, const Type **type);
    } functions[] = {
        {"transpose", MAP_TRANSPOSE, map_transpose},
        {"permute", MAP_PERMUTE, map_permute},
        {"reshape", MAP_RESHAPE, map_reshape},
        {"concat", MAP_CONCAT, map_concat},
        {"split", MAP_SPLIT, map_split},
    };
    while (a->kind == A_PAREN) {
        a = a->kid[0];
    }
    const Ast *call = a->kind == A_INDEX ? a->kid[0] : a;
    if (call->kind != A_CALL || call->kid[0]->kind != A_ID) {
        return leaf(m, a, type);
    }
    MapExpr *x = NEW(m->cx->e->arena, MapExpr);
    for (size_t i = 0; i < COUNT(functions); i++) {
        bool split = functions[i].op == MAP_SPLIT;
        if (strcmp(functions[i].name, call->kid[0]->name) == 0 && split == (a->kind == A_INDEX)) {
            x->op = functions[i].op;
            return functions[i].check(m, a, x, type) ? x : NULL;
        }
    }
    diag_at(m->cx->e->diags, DIAG_E0802, a->span,
            "a map is made of transpose, permute, reshape, concat, and split(..)[i]");
    return NULL;
}

/* ---- entries ---- */

/* Two entries for one tensor of the file: which one would an export write? */
static bool file_once(LoadCx *cx, const Ast *body, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        if (body->kid[k]->kind == A_MAPPING && body->kid[k]->text == body->kid[i]->text) {
            Diag *d = diag_at(cx->e->diags, DIAG_E1003, body->kid[i]->span,
                              "this map is not one-to-one: `%s` of the file is given twice",
                              body->kid[i]->text);
            diag_also(d, body->kid[k]->span, "first here");
            return false;
        }
    }
    return true;
}

bool load_map(LoadCx *cx, const Ast *body)
{
    VEC(LoadEntry) list = {0};
    MapCx m = {.cx = cx, .fills = map_new(cx->e->arena)};
    bool ok = true;
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        LoadEntry entry = {.span = a->span};
        const Type *type = NULL;
        if (a->kind != A_MAPPING) {
            if (a->kind != A_ERROR) {
                diag_at(cx->e->diags, DIAG_E0107, a->name_span.file ? a->name_span : a->span,
                        "a map of weights has entries `\"key in the file\" -> \"key\"`");
            }
            ok = false;
            continue;
        }
        m.entry = a;
        m.file = &entry.file;
        m.fill = (Fill){0};
        bool fits = elab_spend(cx->e, 1 + i / 16, a->span) && file_once(cx, body, i) &&
                    key_parse(cx->e, a->text, a->span, &entry.file);
        entry.value = fits ? expr(&m, a->kid[0], &type) : NULL;
        ok = ok && entry.value;
        VEC_PUSH(cx->e->arena, &list, entry);
    }
    cx->load->nentry = list.n;
    cx->load->entry = list.at;
    return ok;
}

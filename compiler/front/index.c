/* index.c: x[..] outside equations: slices, single elements, rows by an integer tensor, members of
 * lists and module arrays. */
#include "datum.h"

typedef struct Indexing {
    Elab *e;
    Env *env;
    const Ast *ast;
    const Node *n;
    uint32_t axis; /* of n: where the next index applies */
} Indexing;

/* An optional slice bound: negative constants count from the end. */
static const Dim *bound(const Indexing *x, const Ast *a, const Dim *missing)
{
    Elab *e = x->e;
    if (!a) {
        return missing;
    }
    const Val *v = eval(e, x->env, a);
    int64_t i;
    if (v->kind != V_INT) {
        if (!val_is_poison(v)) {
            diag_at(e->diags, DIAG_E0503, a->span, "a slice needs compile-time integers, got %s",
                    val_text(e, v));
        }
        return NULL;
    }
    bool negative = val_as_int(v, &i) && i < 0;
    return negative ? dim_add(e->ir, x->n->type->dims[x->axis], v->dim) : v->dim;
}

static bool slice_axis(Indexing *x, const Ast *from, const Ast *to, const Ast *at)
{
    Elab *e = x->e;
    const Dim *extent = x->n->type->dims[x->axis];
    const Dim *lo = bound(x, from, dim_const(e->ir, 0));
    const Dim *hi = bound(x, to, extent);
    if (!lo || !hi) {
        return false;
    }
    const Dim *n = dim_sub(e->ir, hi, lo), *rest = dim_sub(e->ir, extent, hi);
    if (!dim_at_least(e->ir, lo, 0) || !dim_at_least(e->ir, n, 0) ||
        !dim_at_least(e->ir, rest, 0)) {
        StrBuf sb = sb_new(e->arena);
        dim_print(e->ir, lo, &sb);
        sb_putc(&sb, ':');
        dim_print(e->ir, hi, &sb);
        bool ends = dim_at_least(e->ir, lo, 0) && dim_at_least(e->ir, rest, 0);
        sb_puts(&sb, ends ? " ends before it starts" : " leaves 0..");
        if (!ends) {
            dim_print(e->ir, extent, &sb);
        }
        diag_at(e->diags, DIAG_E0416, at->span, "the slice %s", sb_text(&sb));
        return false;
    }
    if (n != extent) {
        x->n = graph_slice(e->g, x->n, x->axis, lo, n);
    }
    x->axis++;
    return x->n != NULL;
}

/* x[3]: one element of the axis, which is removed. */
static bool pick_axis(Indexing *x, const Val *v, const Ast *at)
{
    Elab *e = x->e;
    const Type *t = x->n->type;
    const Dim *dims[IR_MAX_RANK], *extent = t->dims[x->axis];
    int64_t i;
    const Dim *start = v->dim;
    if (val_as_int(v, &i) && i < 0) {
        start = dim_add(e->ir, extent, v->dim);
    }
    if (!dim_at_least(e->ir, start, 0) || !dim_at_least(e->ir, dim_sub(e->ir, extent, start), 1)) {
        StrBuf sb = sb_new(e->arena);
        dim_print(e->ir, extent, &sb);
        diag_at(e->diags, DIAG_E0416, at->span, "index %s is out of range 0..%s", val_text(e, v),
                sb_text(&sb));
        return false;
    }
    const Node *row = graph_slice(e->g, x->n, x->axis, start, dim_const(e->ir, 1));
    for (uint32_t k = 0; k + 1 < t->rank; k++) {
        dims[k] = t->dims[k + (k >= x->axis)];
    }
    x->n = row ? graph_reshape(e->g, row, t->rank - 1, dims) : NULL;
    return x->n != NULL;
}

/* table[ids]: rows along the axis. */
static bool gather_axis(Indexing *x, const Node *ids, const Ast *at)
{
    Elab *e = x->e;
    if (!dtype_is_int(ids->type->dtype)) {
        diag_at(e->diags, DIAG_E0503, at->span, "an index must be an integer, got `%s`",
                type_text(e->ir, ids->type));
        return false;
    }
    x->n = graph_gather(e->g, x->n, graph_cast(e->g, DT_I32, ids), x->axis, 0);
    x->axis += ids->type->rank;
    return x->n != NULL;
}

static bool apply_index(Indexing *x, const Ast *a, uint32_t after)
{
    Elab *e = x->e;
    if (a->kind == A_PACK) {
        x->axis = x->n->type->rank - after;
        return true;
    }
    if (x->axis >= x->n->type->rank) {
        diag_at(e->diags, DIAG_E0406, x->ast->span, "more indices than `%s` has dimensions",
                type_text(e->ir, x->n->type));
        return false;
    }
    if (a->kind == A_SLICE) {
        return slice_axis(x, a->kid[0], a->kid[1], a);
    }
    const Val *v = eval(e, x->env, a);
    if (v->kind == V_INT) {
        return pick_axis(x, v, a);
    }
    if (is_tensor(v)) {
        const Node *ids = tensor_of(e, v);
        return ids && gather_axis(x, ids, a);
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0503, a->span, "an index must be an integer, got %s",
                val_text(e, v));
    }
    return false;
}

static const Val *tensor_index(Elab *e, Env *env, const Ast *a, const Val *v)
{
    Indexing x = {e, env, a, tensor_of(e, v), 0};
    if (!x.n) {
        return poison(e, a->span);
    }
    uint32_t given = 0, packs = 0;
    for (uint32_t i = 1; i < a->nkid; i++) {
        given += a->kid[i]->kind != A_PACK;
        packs += a->kid[i]->kind == A_PACK;
    }
    if (packs > 1) {
        diag_at(e->diags, DIAG_E0406, a->span, "`..` can stand once among the indices");
        return poison(e, a->span);
    }
    if (given > x.n->type->rank) {
        diag_at(e->diags, DIAG_E0406, a->span, "%u %s for `%s` of rank %u", given,
                given == 1 ? "index" : "indices", type_text(e->ir, x.n->type), x.n->type->rank);
        return poison(e, a->span);
    }
    for (uint32_t i = 1; i < a->nkid; i++) {
        e->g->span = a->span;
        if (!apply_index(&x, a->kid[i], a->nkid - 1 - i)) {
            return poison(e, a->span);
        }
    }
    return val_node(e, x.n, a->span);
}

/* A compile-time position in 0..n, or a bound in 0..=n. */
static bool position(Elab *e, Env *env, const Ast *a, int64_t n, int64_t *out)
{
    if (!eval_const_int(e, env, a, out)) {
        return false;
    }
    *out += *out < 0 ? n : 0;
    if (*out < 0 || *out > n) {
        diag_at(e->diags, DIAG_E0416, a->span, "index out of range 0..%lld", (long long)n);
        return false;
    }
    return true;
}

static const Val *list_index(Elab *e, Env *env, const Ast *a, const Val *v)
{
    const Ast *i = a->kid[1];
    bool array = v->kind == V_ARRAY, slice = i->kind == A_SLICE;
    int64_t n = array ? v->array.n : v->list.n, lo = 0, hi = n;
    const Ast *from = slice ? i->kid[0] : i, *to = slice ? i->kid[1] : NULL;
    if (a->nkid != 2 || i->kind == A_PACK || (from && !position(e, env, from, n, &lo)) ||
        (to && !position(e, env, to, n, &hi))) {
        if (a->nkid != 2 || i->kind == A_PACK) {
            diag_at(e->diags, DIAG_E0406, a->span, "a list takes one index");
        }
        return poison(e, a->span);
    }
    if (lo > hi || (!slice && lo == n)) {
        diag_at(e->diags, DIAG_E0416, i->span, "index %lld is out of range 0..%lld", (long long)lo,
                (long long)n);
        return poison(e, a->span);
    }
    Val *r = val_new(e, !slice && array ? V_INSTANCE : v->kind, a->span);
    if (!array) {
        return slice ? val_list(e, v->kind, v->list.at + lo, (uint32_t)(hi - lo), a->span)
                     : val_at(e, v->list.at[lo], a->span);
    }
    if (slice) {
        r->array.n = (uint32_t)(hi - lo);
        r->array.at = v->array.at + lo;
    } else {
        r->inst = v->array.at[lo];
    }
    return r;
}

const Val *index_eval(Elab *e, Env *env, const Ast *a)
{
    const Val *v = eval(e, env, a->kid[0]);
    if (val_is_poison(v)) {
        return v;
    }
    if (v->kind == V_LIST || v->kind == V_TUPLE || v->kind == V_ARRAY) {
        return list_index(e, env, a, v);
    }
    if (is_datum(v)) {
        return datum_index(e, env, a, v);
    }
    if (!is_tensor(v)) {
        diag_at(e->diags, DIAG_E0205, a->kid[0]->span, "%s cannot be indexed", val_text(e, v));
        return poison(e, a->span);
    }
    return tensor_index(e, env, a, v);
}

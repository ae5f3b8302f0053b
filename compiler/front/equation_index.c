/* equation_index.c: x[i, 2 * j + u, idx[b]] in an equation: bare indices name axes, constants pick,
 * anything else is an integer tensor by which the axis is gathered. */
#include "equation.h"

enum { AXIS_COMPUTED = -1 };

/* A tensor whose axis k is index label[k], or AXIS_COMPUTED with its expression. */
typedef struct Labelled {
    Equation *q;
    const Node *n;
    int label[IR_MAX_RANK];
    const Ast *expr[IR_MAX_RANK];
} Labelled;

/* `h // 1` is h: grouped-query attention with one head per group. */
static const Ast *strip(Equation *q, const Ast *a)
{
    for (;;) {
        int64_t one = 0;
        while (a->kind == A_PAREN) {
            a = a->kid[0];
        }
        if (a->kind != A_BIN || strcmp(a->text, "//") != 0 || eq_has_index(q, a->kid[1])) {
            return a;
        }
        const Val *d = eval(q->e, q->env, a->kid[1]);
        if (!val_as_int(d, &one) || one != 1) {
            return a;
        }
        a = a->kid[0];
    }
}

static void drop_axis(Labelled *x, uint32_t axis)
{
    for (uint32_t i = axis; i + 1 < x->n->type->rank; i++) {
        x->label[i] = x->label[i + 1];
        x->expr[i] = x->expr[i + 1];
    }
}

static bool pick_constant(Labelled *x, uint32_t axis, const Val *v, Span span)
{
    Elab *e = x->q->e;
    const Type *t = x->n->type;
    const Dim *extent = t->dims[axis], *dims[IR_MAX_RANK], *at = v->dim;
    int64_t i;
    if (val_as_int(v, &i) && i < 0) {
        at = dim_add(e->ir, extent, at); /* from the end */
    }
    if (!dim_at_least(e->ir, at, 0) || !dim_at_least(e->ir, dim_sub(e->ir, extent, at), 1)) {
        StrBuf sb = sb_new(e->arena);
        dim_print(e->ir, extent, &sb);
        diag_at(e->diags, DIAG_E0416, span, "index %s is out of range 0..%s", val_text(e, v),
                sb_text(&sb));
        return false;
    }
    const Node *row = graph_slice(e->g, x->n, axis, at, dim_const(e->ir, 1));
    for (uint32_t k = 0; k + 1 < t->rank; k++) {
        dims[k] = t->dims[k + (k >= axis)];
    }
    drop_axis(x, axis);
    x->n = row ? graph_reshape(e->g, row, t->rank - 1, dims) : NULL;
    return x->n != NULL;
}

/* Axes in the order: labels in `first` ascending, then axis `then` (or none), then the rest. */
static bool reorder(Labelled *x, uint32_t first, int then)
{
    Labelled old = *x;
    int64_t perm[IR_MAX_RANK];
    uint32_t rank = x->n->type->rank, k = 0;
    for (uint32_t i = 0; i < x->q->n; i++) {
        for (uint32_t a = 0; a < rank && (first & eq_bit(i)); a++) {
            if (old.label[a] == (int)i) {
                perm[k++] = a;
            }
        }
    }
    if (then >= 0) {
        perm[k++] = then;
    }
    for (uint32_t a = 0; a < rank; a++) {
        bool placed =
            (int)a == then || (old.label[a] >= 0 && (first & eq_bit((uint32_t)old.label[a])));
        if (!placed) {
            perm[k++] = a;
        }
    }
    ASSERT(k == rank);
    for (uint32_t i = 0; i < rank; i++) {
        x->label[i] = old.label[perm[i]];
        x->expr[i] = old.expr[perm[i]];
    }
    x->n = eq_permute(x->q, old.n, perm);
    return x->n != NULL;
}

static uint32_t labels(const Labelled *x)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < x->n->type->rank; i++) {
        set |= x->label[i] >= 0 ? eq_bit((uint32_t)x->label[i]) : 0;
    }
    return set;
}

/* z[.., t[..]]: one element of each row: a masked sum, which fuses with other folds of the row. */
static bool pick_element(Labelled *x, uint32_t axis, const Node *idx)
{
    Elab *e = x->q->e;
    Graph *g = e->g;
    if (!reorder(x, labels(x), (int)axis)) {
        return false;
    }
    uint32_t rank = x->n->type->rank;
    int64_t last = rank - 1, axes[IR_MAX_RANK];
    for (uint32_t i = 0; i + 1 < rank; i++) {
        axes[i] = i;
    }
    DType dt = x->n->type->dtype;
    x->n = narrow_is(dt) ? graph_cast(g, DT_F32, x->n) : x->n;
    const Type *t = x->n->type;
    const Node *at = graph_expand(g, idx, rank, t->dims, axes);
    const Node *hit =
        at ? graph_binary(g, OP_EQ, graph_iota(g, rank, t->dims, rank - 1), at) : NULL;
    const Node *kept = hit ? graph_select(g, hit, x->n, graph_fill(g, t, 0)) : NULL;
    x->n = kept ? graph_cast(g, dt, graph_reduce(g, OP_SUM, kept, &last, 1)) : NULL;
    return x->n != NULL;
}

static bool gather_computed(Labelled *x, uint32_t axis, const EqValue *v, const Node *idx)
{
    Equation *q = x->q;
    uint32_t common = labels(x) & v->axes;
    Labelled ids = {q, idx, {0}, {0}};
    uint32_t k = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        if (v->axes & eq_bit(i)) {
            ids.label[k++] = (int)i;
        }
    }
    if (!reorder(x, common, (int)axis) || !reorder(&ids, common, -1)) {
        return false;
    }
    uint32_t ncommon = (uint32_t)__builtin_popcount(common), rank = x->n->type->rank;
    Labelled out = {q, NULL, {0}, {0}};
    k = 0;
    for (uint32_t i = 0; i < ids.n->type->rank; i++) {
        out.label[k++] = ids.label[i];
    }
    for (uint32_t i = ncommon + 1; i < rank; i++) {
        out.expr[k] = x->expr[i];
        out.label[k++] = x->label[i];
    }
    out.n = graph_gather(q->e->g, x->n, ids.n, ncommon, ncommon);
    *x = out;
    return x->n != NULL;
}

static bool apply_computed(Labelled *x, uint32_t axis)
{
    Equation *q = x->q;
    const Ast *a = x->expr[axis];
    ASSERT(a != NULL);
    EqValue v = eq_eval(q, a);
    if (v.v->kind == V_INT) {
        return pick_constant(x, axis, v.v, a->span);
    }
    const Node *idx = val_is_poison(v.v) ? NULL : eq_align(q, &v, v.axes);
    if (!idx || !eq_in_range(q, a, x->n->type->dims[axis])) {
        return false;
    }
    if (!dtype_is_int(idx->type->dtype)) {
        diag_at(q->e->diags, DIAG_E0503, a->span, "an index must be an integer, got `%s`",
                type_text(q->e->ir, idx->type));
        return false;
    }
    idx = graph_cast(q->e->g, DT_I32, idx);
    bool alone = x->n->type->rank == (uint32_t)__builtin_popcount(labels(x)) + 1;
    return alone && labels(x) == v.axes ? pick_element(x, axis, idx)
                                        : gather_computed(x, axis, &v, idx);
}

/* What equation.c has checked for the text of the equation itself, for a function called in it. */
static bool fits_called(Labelled *x, const Ast *a)
{
    Elab *e = x->q->e;
    const Type *t = x->n->type;
    for (uint32_t i = 1; i < a->nkid; i++) {
        const Ast *k = a->kid[i];
        if (k->kind == A_PACK) {
            diag_at(e->diags, DIAG_E0409, k->span, "`..` has no meaning in a function on elements");
            return false;
        }
        int index = k->kind == A_ID ? eq_find(x->q, k->name) : -1;
        if (a->nkid - 1 == t->rank && index >= 0 && x->q->index[index].extent != t->dims[i - 1]) {
            StrBuf sb = sb_new(e->arena);
            dim_print(e->ir, x->q->index[index].extent, &sb);
            diag_at(e->diags, DIAG_E0412, k->span, "index `%s` ranges over %s, axis %u of `%s`",
                    k->name, sb_text(&sb), i - 1, type_text(e->ir, t));
            return false;
        }
    }
    if (a->nkid - 1 != t->rank) {
        diag_at(e->diags, DIAG_E0406, a->span, "%u %s for `%s` of rank %u", a->nkid - 1,
                a->nkid == 2 ? "index" : "indices", type_text(e->ir, t), t->rank);
    }
    return a->nkid - 1 == t->rank;
}

static bool label_axes(Labelled *x, const Ast *a)
{
    Equation *q = x->q;
    uint32_t axis = 0, seen = 0;
    if (q->called && !fits_called(x, a)) {
        return false;
    }
    for (uint32_t i = 1; i < a->nkid; i++) {
        const Ast *k = a->kid[i];
        if (k->kind == A_SLICE) {
            diag_at(q->e->diags, DIAG_E0409, k->span, "slice the tensor before the equation");
            return false;
        }
        for (uint32_t p = 0; k->kind == A_PACK && p < q->npack; p++) {
            x->label[axis++] = (int)(q->pack + p);
        }
        if (k->kind == A_PACK) {
            continue;
        }
        k = strip(q, k);
        int index = k->kind == A_ID ? eq_find(q, k->name) : -1;
        bool bare = index >= 0 && !(seen & eq_bit((uint32_t)index));
        seen |= bare ? eq_bit((uint32_t)index) : 0;
        x->label[axis] = bare ? index : AXIS_COMPUTED;
        x->expr[axis++] = bare ? NULL : k;
    }
    return true;
}

EqValue eq_index(Equation *q, const Ast *a, const Node *n)
{
    Labelled x = {q, n, {0}, {0}};
    if (!label_axes(&x, a)) {
        return eq_poison(q, a->span);
    }
    for (;;) {
        uint32_t axis = 0;
        while (axis < x.n->type->rank && x.label[axis] != AXIS_COMPUTED) {
            axis++;
        }
        if (axis == x.n->type->rank) {
            break;
        }
        if (!apply_computed(&x, axis)) {
            return eq_poison(q, a->span);
        }
    }
    uint32_t axes = labels(&x);
    if (!reorder(&x, axes, -1)) {
        return eq_poison(q, a->span);
    }
    return (EqValue){val_node(q->e, x.n, a->span), axes};
}

/* equation_dot.c: `+=` over a product of two tensors as a contraction. Axes in one factor only are
 * summed first; the result needs free axes on both sides, else it is a fold of products over one
 * space (row sums, norms), which fuses with its neighbours and is left alone. */
#include "equation.h"

enum { MAX_FACTORS = 8 };

typedef struct Factors {
    const Ast *at[MAX_FACTORS];
    uint32_t n;
    bool fits;
} Factors;

static void flatten(const Ast *a, Factors *f)
{
    while (a->kind == A_PAREN) {
        a = a->kid[0];
    }
    if (a->kind == A_BIN && strcmp(a->text, "*") == 0) {
        flatten(a->kid[0], f);
        flatten(a->kid[1], f);
    } else if (f->n == MAX_FACTORS) {
        f->fits = false;
    } else {
        f->at[f->n++] = a;
    }
}

/* Sums the axes in `axes` out of v. */
static const Node *sum_out(Equation *q, EqValue *v, uint32_t axes)
{
    const Node *n = narrow_wide(q->e, v->v);
    int64_t at[IR_MAX_RANK];
    uint32_t k = 0, position = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        if (v->axes & eq_bit(i)) {
            if (axes & eq_bit(i)) {
                at[k++] = position;
            }
            position++;
        }
    }
    v->axes &= ~axes;
    n = n && k ? graph_reduce(q->e->g, OP_SUM, n, at, k) : n;
    v->v = val_node(q->e, n, q->ast->span);
    return n;
}

static int64_t position_of(uint32_t axes, uint32_t index)
{
    return __builtin_popcount(axes & (eq_bit(index) - 1));
}

static void list_axes(uint32_t set, uint32_t axes, int64_t *out, uint32_t *n)
{
    *n = 0;
    for (uint32_t i = 0; i < EQ_MAX_INDEX; i++) {
        if (set & eq_bit(i)) {
            out[(*n)++] = position_of(axes, i);
        }
    }
}

/* Brings dot's order (batch, a free, b free) to ascending index numbers. */
static const Node *ascending(Equation *q, const Node *n, const uint32_t set[3])
{
    int64_t perm[IR_MAX_RANK];
    uint32_t order[IR_MAX_RANK], k = 0;
    for (int s = 0; s < 3; s++) {
        for (uint32_t i = 0; i < EQ_MAX_INDEX; i++) {
            if (set[s] & eq_bit(i)) {
                order[k++] = i;
            }
        }
    }
    for (uint32_t i = 0; i < k; i++) {
        uint32_t rank = 0;
        for (uint32_t j = 0; j < k; j++) {
            rank += order[j] < order[i];
        }
        perm[rank] = i;
    }
    return eq_permute(q, n, perm);
}

static const Node *contract(Equation *q, EqValue *a, EqValue *b, uint32_t left)
{
    uint32_t both = a->axes & b->axes, batch = both & left, sum = both & ~left;
    uint32_t m = a->axes & ~both, n = b->axes & ~both;
    if ((uint32_t)__builtin_ctz(n) < (uint32_t)__builtin_ctz(m)) {
        EqValue *t = a;
        a = b;
        b = t;
        uint32_t swap = m;
        m = n;
        n = swap;
    }
    DotAxes axes = {.tf32 = q->e->precision.tf32};
    uint32_t k;
    list_axes(batch, a->axes, axes.a_batch, &axes.nbatch);
    list_axes(batch, b->axes, axes.b_batch, &k);
    list_axes(sum, a->axes, axes.a_contract, &axes.ncontract);
    list_axes(sum, b->axes, axes.b_contract, &k);
    const Node *na = narrow_wide(q->e, a->v), *nb = narrow_wide(q->e, b->v);
    if (na && nb && na->type->dtype != nb->type->dtype) { /* f32 and f64 */
        na = graph_cast(q->e->g, DT_F64, na);
        nb = graph_cast(q->e->g, DT_F64, nb);
    }
    if (!na || !nb) {
        return NULL;
    }
    q->e->g->span = q->ast->span;
    const Node *dot = graph_dot(q->e->g, na, nb, &axes);
    return dot ? ascending(q, dot, (uint32_t[3]){batch, m, n}) : NULL;
}

/* Splits the factors into two tensors and a scalar; false when there are other than two tensors. */
static bool two_tensors(EqValue *v, uint32_t n, EqValue *tensor[2], EqValue **scalar,
                        uint32_t *nscalar)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (val_is_poison(v[i].v)) {
            return false;
        }
        if (!v[i].axes) {
            scalar[(*nscalar)++] = &v[i];
        } else if (k < 2) {
            tensor[k++] = &v[i];
        } else {
            return false;
        }
    }
    return k == 2;
}

bool eq_dot(Equation *q, const Ast *rhs, uint32_t left, EqValue *out)
{
    Factors f = {.fits = true};
    EqValue v[MAX_FACTORS], *t[2], *scalar[MAX_FACTORS];
    uint32_t nscalar = 0;
    flatten(rhs, &f);
    if (f.n < 2 || !f.fits) {
        return false;
    }
    for (uint32_t i = 0; i < f.n; i++) {
        v[i] = eq_eval(q, f.at[i]);
    }
    if (!two_tensors(v, f.n, t, scalar, &nscalar)) {
        return false;
    }
    uint32_t both = t[0]->axes & t[1]->axes;
    uint32_t m = t[0]->axes & ~both & left, n = t[1]->axes & ~both & left;
    bool floats =
        dtype_is_float(tensor_type(t[0]->v)->dtype) && dtype_is_float(tensor_type(t[1]->v)->dtype);
    uint32_t folded = q->n > q->nleft ? ((eq_bit(q->n - 1) << 1) - 1) & ~left : 0;
    if (!floats || !m || !n || !(both & ~left) || (folded & ~(t[0]->axes | t[1]->axes))) {
        return false;
    }
    DType dt;
    if (!arith_dtype(q->e, tensor_type(t[0]->v)->dtype, tensor_type(t[1]->v)->dtype, &dt)) {
        return false; /* the product says what is wrong */
    }
    for (int i = 0; i < 2; i++) {
        if (!sum_out(q, t[i], t[i]->axes & ~both & ~left)) {
            return false;
        }
    }
    const Node *dot = contract(q, t[0], t[1], left);
    const Val *r = dot ? narrow_val(q->e, dot, dt, q->ast->span) : poison(q->e, q->ast->span);
    for (uint32_t i = 0; i < nscalar && !val_is_poison(r); i++) {
        r = arith_binary(q->e, OP_MUL, r, scalar[i]->v, q->ast->span);
    }
    *out = (EqValue){r, (t[0]->axes | t[1]->axes) & left};
    return true;
}

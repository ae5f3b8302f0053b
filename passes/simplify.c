/* simplify.c: algebraic identities, composed views, constant folding; a table of small rules.
 *
 * Every rule keeps the bits of every result in f32 (NaNs count as equal), so that a program means
 * the same with and without this pass. That is why x + 0 stays (-0 + 0 is 0), why sums are not
 * merged or turned into products in floats, and why constants combine only as powers of two. The
 * one exception is pow by the constants that people write for products and roots: there the product
 * or root is the meaning, which pow may miss by an ulp (and at x ** 0.5 of -0 and -inf).
 *
 * Bottom up: a node is rebuilt on simplified operands, then rules apply to it until none does; the
 * whole is repeated while something changed. Dead code vanishes because nothing copies it. */
#include "internal.h"

#include <math.h>

/* A simpler node equal to n, or NULL. New nodes go to g. */
typedef const Node *(*SimplifyFn)(Graph *g, const Node *n);

/* ---- questions ---- */

static bool is_fill(const Node *n, double value)
{
    double v;
    return node_is_const(n, &v) && v == value;
}

static bool is_float(const Node *n)
{
    return dtype_is_float(n->type->dtype);
}

/* Whether n is the constant z with x + z == x for every x: -0 in floats, 0 in integers. */
static bool is_neutral_of_add(const Node *n)
{
    double v;
    return node_is_const(n, &v) && v == 0 && (!is_float(n) || signbit(v));
}

/* A power of two with sign, whose inverse is a normal number in f32 too. */
static bool is_power_of_two(double v)
{
    int e;
    return isfinite(v) && fabs(frexp(v, &e)) == 0.5 && e > -100 && e < 100;
}

static bool same_dims(const Node *a, const Node *b)
{
    return type_same_dims(a->type, b->type);
}

static const Node *like(Graph *g, const Node *n, double value)
{
    return graph_fill(g, n->type, value);
}

/* ---- arithmetic ---- */

/* x + 0 -> x, where 0 is neutral */
static const Node *add_zero(Graph *g, const Node *n)
{
    UNUSED(g);
    if (is_neutral_of_add(n->in[1]))
        return n->in[0];
    return is_neutral_of_add(n->in[0]) ? n->in[1] : NULL;
}

/* a + -b -> a - b */
static const Node *add_negated(Graph *g, const Node *n)
{
    for (uint32_t k = 0; k < 2; k++)
        if (n->in[k]->op == OP_NEG)
            return graph_binary(g, OP_SUB, n->in[1 - k], n->in[k]->in[0]);
    return NULL;
}

/* x - 0 -> x (also for -0 - 0, which is -0) */
static const Node *sub_zero(Graph *g, const Node *n)
{
    UNUSED(g);
    double v;
    bool zero = node_is_const(n->in[1], &v) && v == 0 && !signbit(v);
    return zero ? n->in[0] : NULL;
}

/* a - -b -> a + b */
static const Node *sub_negated(Graph *g, const Node *n)
{
    return n->in[1]->op == OP_NEG ? graph_binary(g, OP_ADD, n->in[0], n->in[1]->in[0]) : NULL;
}

/* x * 1 -> x, x * -1 -> -x */
static const Node *mul_one(Graph *g, const Node *n)
{
    for (uint32_t k = 0; k < 2; k++) {
        if (is_fill(n->in[k], 1))
            return n->in[1 - k];
        if (is_fill(n->in[k], -1))
            return graph_unary(g, OP_NEG, n->in[1 - k]);
    }
    return NULL;
}

/* x * 0 -> 0 in integers (in floats x may be NaN or infinite) */
static const Node *mul_zero(Graph *g, const Node *n)
{
    if (is_float(n))
        return NULL;
    return is_fill(n->in[0], 0) || is_fill(n->in[1], 0) ? like(g, n, 0) : NULL;
}

/* -a * -b -> a * b */
static const Node *mul_negated(Graph *g, const Node *n)
{
    if (n->in[0]->op != OP_NEG || n->in[1]->op != OP_NEG)
        return NULL;
    return graph_binary(g, OP_MUL, n->in[0]->in[0], n->in[1]->in[0]);
}

/* The constant factor of a * b and the other operand. */
static bool constant_factor(const Node *n, double *c, const Node **x)
{
    for (uint32_t k = 0; k < 2; k++)
        if (node_is_const(n->in[k], c)) {
            *x = n->in[1 - k];
            return true;
        }
    return false;
}

/* x * c * d -> x * (c * d) for powers of two not below 1: neither product rounds or underflows */
static const Node *mul_mul(Graph *g, const Node *n)
{
    double c, d;
    const Node *inner, *x;
    if (!constant_factor(n, &c, &inner) || inner->op != OP_MUL || !is_float(n) ||
        !constant_factor(inner, &d, &x))
        return NULL;
    bool exact = is_power_of_two(c) && is_power_of_two(d) && is_power_of_two(c * d);
    if (!exact || fabs(c) < 1 || fabs(d) < 1)
        return NULL;
    return graph_binary(g, OP_MUL, x, like(g, n, c * d));
}

/* x / 1 -> x; x / c -> x * (1 / c) for powers of two */
static const Node *div_constant(Graph *g, const Node *n)
{
    double c;
    if (!node_is_const(n->in[1], &c))
        return NULL;
    if (c == 1)
        return n->in[0];
    return is_power_of_two(c) ? graph_binary(g, OP_MUL, n->in[0], like(g, n, 1 / c)) : NULL;
}

/* -(-x) -> x */
static const Node *neg_neg(Graph *g, const Node *n)
{
    UNUSED(g);
    return n->in[0]->op == OP_NEG ? n->in[0]->in[0] : NULL;
}

/* ||x|| -> |x|, |-x| -> |x| */
static const Node *abs_inner(Graph *g, const Node *n)
{
    if (n->in[0]->op == OP_ABS)
        return n->in[0];
    return n->in[0]->op == OP_NEG ? graph_unary(g, OP_ABS, n->in[0]->in[0]) : NULL;
}

/* x ** 1, 2, 3, -1 -> products; x ** 0.5, -0.5 -> roots */
static const Node *pow_constant(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    if (is_fill(n->in[1], 1))
        return x;
    if (is_fill(n->in[1], 2))
        return graph_binary(g, OP_MUL, x, x);
    if (is_fill(n->in[1], 3))
        return graph_binary(g, OP_MUL, graph_binary(g, OP_MUL, x, x), x);
    if (is_fill(n->in[1], -1))
        return graph_binary(g, OP_DIV, like(g, n, 1), x);
    if (is_fill(n->in[1], 0.5))
        return graph_unary(g, OP_SQRT, x);
    return is_fill(n->in[1], -0.5) ? graph_unary(g, OP_RSQRT, x) : NULL;
}

/* max(x, x), min(x, x), x and x, x or x -> x */
static const Node *idempotent(Graph *g, const Node *n)
{
    UNUSED(g);
    return n->in[0] == n->in[1] ? n->in[0] : NULL;
}

/* ---- logic ---- */

static const Node *not_not(Graph *g, const Node *n)
{
    UNUSED(g);
    return n->in[0]->op == OP_NOT ? n->in[0]->in[0] : NULL;
}

/* x and true -> x, x and false -> false; x or false -> x, x or true -> true */
static const Node *logic_constant(Graph *g, const Node *n)
{
    UNUSED(g);
    double neutral = n->op == OP_AND ? 1 : 0;
    for (uint32_t k = 0; k < 2; k++) {
        if (is_fill(n->in[k], neutral))
            return n->in[1 - k];
        if (is_fill(n->in[k], 1 - neutral))
            return n->in[k];
    }
    return NULL;
}

/* select(true, a, b) -> a; select(c, a, a) -> a; select(not c, a, b) -> select(c, b, a) */
static const Node *select_known(Graph *g, const Node *n)
{
    double c;
    if (node_is_const(n->in[0], &c))
        return c != 0 ? n->in[1] : n->in[2];
    if (n->in[1] == n->in[2])
        return n->in[1];
    return n->in[0]->op == OP_NOT ? graph_select(g, n->in[0]->in[0], n->in[2], n->in[1]) : NULL;
}

/* ---- casts ---- */

/* Whether every value of `from` is one of `to`. */
static bool holds_exactly(DType from, DType to)
{
    const DTypeInfo *a = dtype_info(from), *b = dtype_info(to);
    if (from == to || from == DT_BOOL)
        return true;
    if (to == DT_BOOL || (a->kind == DK_FLOAT && b->kind != DK_FLOAT))
        return false;
    if (a->kind == DK_FLOAT)
        return to == DT_F64 || (to == DT_F32 && a->bytes < 4);
    if (b->kind == DK_FLOAT)
        return to == DT_F64 ? a->bytes <= 4 : (to == DT_F32 && a->bytes <= 2);
    return b->bytes > a->bytes && to != DT_U8;
}

/* cast to the own type -> x; cast(cast(x)) -> cast(x) when the inner one keeps every value */
static const Node *cast_cast(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    if (x->type->dtype == n->type->dtype)
        return x;
    if (x->op != OP_CAST || !holds_exactly(x->in[0]->type->dtype, x->type->dtype))
        return NULL;
    return graph_cast(g, n->type->dtype, x->in[0]);
}

static bool moves_whole(const Node *n)
{
    return n->op == OP_RESHAPE || n->op == OP_PERMUTE;
}

static const Node *move_as(Graph *g, const Node *view, const Node *x)
{
    return view->op == OP_PERMUTE ? graph_permute(g, x, node_ints(view, "perm")->ints)
                                  : graph_reshape(g, x, view->type->rank, view->type->dims);
}

/* x in a narrower type, rounded before it is moved. */
static const Node *narrow_moved(Graph *g, DType dt, const Node *x)
{
    return moves_whole(x) ? move_as(g, x, narrow_moved(g, dt, x->in[0])) : graph_cast(g, dt, x);
}

/* The same of concat(a, b, ..) behind such moves; NULL: x is something else. */
static const Node *narrow_parts(Graph *g, DType dt, const Node *x)
{
    const Node *part[4];
    if (moves_whole(x)) {
        const Node *y = narrow_parts(g, dt, x->in[0]);
        return y ? move_as(g, x, y) : NULL;
    }
    if (x->op != OP_CONCAT || x->nin > COUNT(part))
        return NULL;
    for (uint32_t i = 0; i < x->nin; i++)
        part[i] = narrow_moved(g, dt, x->in[i]);
    return graph_concat(g, part, x->nin, (uint32_t)node_int(x, "axis"));
}

/* a narrowing cast of what is put together, which nothing else reads -> put together of casts: who makes a part stores
 * its rounded elements straight to their place */
static const Node *narrow_concat(Graph *g, const Node *n)
{
    DType from = n->in[0]->type->dtype, to = n->type->dtype;
    bool narrows = dtype_info(to)->bytes < dtype_info(from)->bytes;
    return narrows ? narrow_parts(g, to, n->in[0]) : NULL;
}

/* Whether nothing but n reads what it reads, through views that move all of it too. */
static bool reads_moved_alone(const uint32_t *readers, const Node *n)
{
    const Node *x = n->in[0];
    while (readers[x->id] == 1 && moves_whole(x))
        x = x->in[0];
    return readers[x->id] == 1;
}

/* ---- views ---- */

/* a view of a constant -> the constant in the view's shape */
static const Node *view_of_fill(Graph *g, const Node *n)
{
    double v;
    bool plain = n->op == OP_EXPAND && n->in[0]->op == OP_CONST;
    if (plain || !node_is_const(n->in[0], &v))
        return NULL;
    return like(g, n, fold_round(n->type->dtype, v));
}

/* reshape to the same dims -> x; reshape(reshape(x)) -> reshape(x) */
static const Node *reshape_reshape(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    if (x->type == n->type)
        return x;
    return x->op == OP_RESHAPE ? graph_reshape(g, x->in[0], n->type->rank, n->type->dims) : NULL;
}

static bool is_unit(const Dim *d)
{
    return dim_equals(d, 1);
}

/* permute in place -> x; a permute that moves only extents of 1 -> reshape */
static const Node *permute_units(Graph *g, const Node *n)
{
    const Attr *perm = node_ints(n, "perm");
    bool identity = true;
    int64_t last = -1; /* the moved axes that are not 1 must stay in order */
    for (uint32_t i = 0; i < perm->n; i++) {
        identity = identity && perm->ints[i] == i;
        if (is_unit(n->type->dims[i]))
            continue;
        if (perm->ints[i] < last)
            return NULL;
        last = perm->ints[i];
    }
    return identity ? n->in[0] : graph_reshape(g, n->in[0], n->type->rank, n->type->dims);
}

/* permute(permute(x)) -> permute(x) */
static const Node *permute_permute(Graph *g, const Node *n)
{
    if (n->in[0]->op != OP_PERMUTE)
        return NULL;
    const Attr *outer = node_ints(n, "perm"), *inner = node_ints(n->in[0], "perm");
    int64_t perm[IR_MAX_RANK];
    for (uint32_t i = 0; i < outer->n; i++)
        perm[i] = inner->ints[outer->ints[i]];
    return graph_permute(g, n->in[0]->in[0], perm);
}

/* expand to the same dims -> x; expand(expand(x)) -> expand(x) */
static const Node *expand_expand(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    if (x->type == n->type)
        return x;
    if (x->op != OP_EXPAND)
        return NULL;
    const Attr *outer = node_ints(n, "axes"), *inner = node_ints(x, "axes");
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < inner->n; i++)
        axes[i] = outer->ints[inner->ints[i]];
    return graph_expand(g, x->in[0], n->type->rank, n->type->dims, axes);
}

/* expand(reshape(x)) -> expand(x) when the reshape only adds extents of 1 */
static const Node *expand_units(Graph *g, const Node *n)
{
    const Node *r = n->in[0];
    if (r->op != OP_RESHAPE)
        return NULL;
    const Type *from = r->in[0]->type;
    const Attr *outer = node_ints(n, "axes");
    int64_t axes[IR_MAX_RANK];
    uint32_t k = 0;
    for (uint32_t i = 0; i < r->type->rank; i++) {
        if (k < from->rank && from->dims[k] == r->type->dims[i])
            axes[k++] = outer->ints[i];
        else if (!is_unit(r->type->dims[i]))
            return NULL;
    }
    return k == from->rank ? graph_expand(g, r->in[0], n->type->rank, n->type->dims, axes) : NULL;
}

/* slice of everything -> x */
static const Node *slice_all(Graph *g, const Node *n)
{
    UNUSED(g);
    return n->type == n->in[0]->type ? n->in[0] : NULL;
}

/* slice(slice(x)) along one axis -> slice(x) */
static const Node *slice_slice(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    int64_t axis = node_int(n, "axis");
    if (x->op != OP_SLICE || node_int(x, "axis") != axis)
        return NULL;
    const Dim *start = dim_add(g->ir, node_dim(x, "start"), node_dim(n, "start"));
    return graph_slice(g, x->in[0], (uint32_t)axis, start, node_dim(n, "extent"));
}

/* slice(concat(a, b, ..)) -> b when it takes out exactly b */
static const Node *slice_concat(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    int64_t axis = node_int(n, "axis");
    if (x->op != OP_CONCAT || node_int(x, "axis") != axis)
        return NULL;
    const Dim *from = dim_const(g->ir, 0);
    for (uint32_t k = 0; k < x->nin; k++) {
        const Dim *extent = x->in[k]->type->dims[axis];
        if (from == node_dim(n, "start") && extent == node_dim(n, "extent"))
            return x->in[k];
        from = dim_add(g->ir, from, extent);
    }
    return NULL;
}

/* slice(pad(x)) -> x when it takes off what pad put on */
static const Node *slice_pad(Graph *g, const Node *n)
{
    UNUSED(g);
    const Node *x = n->in[0];
    bool undone = x->op == OP_PAD && node_int(x, "axis") == node_int(n, "axis") &&
                  node_dim(x, "lo") == node_dim(n, "start") && x->in[0]->type == n->type;
    return undone ? x->in[0] : NULL;
}

/* slice(expand(x)) along a repeated axis -> expand(x) */
static const Node *slice_expand(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    if (x->op != OP_EXPAND)
        return NULL;
    const Attr *axes = node_ints(x, "axes");
    for (uint32_t i = 0; i < axes->n; i++)
        if (axes->ints[i] == node_int(n, "axis"))
            return NULL;
    return graph_expand(g, x->in[0], n->type->rank, n->type->dims, axes->ints);
}

/* pad by nothing -> x; concat of one -> it */
static const Node *nothing_added(Graph *g, const Node *n)
{
    UNUSED(g);
    return n->nin == 1 && n->type == n->in[0]->type ? n->in[0] : NULL;
}

/* ---- folds ---- */

/* a fold over no axes -> x; axes of extent 1 are dropped by a reshape */
static const Node *fold_units(Graph *g, const Node *n)
{
    const Attr *axes = node_ints(n, "axes");
    const Type *t = n->in[0]->type;
    const Dim *dims[IR_MAX_RANK];
    int64_t rest[IR_MAX_RANK];
    uint32_t rank = 0, nrest = 0, k = 0;
    for (uint32_t i = 0; i < t->rank; i++) {
        bool folded = k < axes->n && axes->ints[k] == i;
        k += folded;
        if (folded && is_unit(t->dims[i]))
            continue;
        if (folded)
            rest[nrest++] = rank;
        dims[rank++] = t->dims[i];
    }
    if (axes->n == 0 || nrest == axes->n)
        return axes->n == 0 ? n->in[0] : NULL;
    const Node *x = graph_reshape(g, n->in[0], rank, dims);
    return nrest ? graph_reduce(g, n->op, x, rest, nrest) : x;
}

/* Marks which axes of n's operand are folded. */
static void folded_axes(const Node *n, bool *folded)
{
    const Attr *axes = node_ints(n, "axes");
    for (uint32_t i = 0; i < IR_MAX_RANK; i++)
        folded[i] = false;
    for (uint32_t i = 0; i < axes->n; i++)
        folded[axes->ints[i]] = true;
}

/* amax(amax(x)) -> amax(x), amin likewise; sum and prod only in integers, where order is nothing */
static const Node *fold_fold(Graph *g, const Node *n)
{
    const Node *x = n->in[0];
    bool any_order = n->op == OP_AMAX || n->op == OP_AMIN || !is_float(n);
    if (x->op != n->op || !any_order)
        return NULL;
    bool inner[IR_MAX_RANK], outer[IR_MAX_RANK];
    folded_axes(x, inner);
    folded_axes(n, outer);
    int64_t axes[IR_MAX_RANK];
    uint32_t naxes = 0;
    for (uint32_t i = 0, k = 0; i < x->in[0]->type->rank; i++) {
        bool gone = inner[i] || outer[k];
        k += !inner[i];
        if (gone)
            axes[naxes++] = i;
    }
    return graph_reduce(g, n->op, x->in[0], axes, naxes);
}

/* How many elements are folded into one; false when it is not known. */
static bool fold_count(const Node *n, double *count)
{
    const Attr *axes = node_ints(n, "axes");
    *count = 1;
    for (uint32_t i = 0; i < axes->n; i++) {
        int64_t extent;
        if (!dim_is_const(n->in[0]->type->dims[axes->ints[i]], &extent))
            return false;
        *count *= (double)extent;
    }
    return true;
}

/* the sum of a constant -> a constant, when every partial sum is an exact integer */
static const Node *sum_fill(Graph *g, const Node *n)
{
    double v, count;
    if (!node_is_const(n->in[0], &v) || !fold_count(n, &count))
        return NULL;
    double limit = n->type->dtype == DT_F32 ? 0x1p24 : (is_float(n) ? 0x1p53 : 0x1p31);
    bool exact = v == trunc(v) && !(v == 0 && signbit(v)) && fabs(v) * count < limit;
    exact = exact && fold_round(n->type->dtype, v * count) == v * count;
    return exact ? like(g, n, v * count) : NULL;
}

/* Whether n folds exactly the axes that its operand, an expand, repeats. */
static bool folds_repeats(const Node *n)
{
    if (n->in[0]->op != OP_EXPAND || n->in[0]->in[0]->type != n->type)
        return false;
    bool folded[IR_MAX_RANK];
    folded_axes(n, folded);
    const Attr *kept = node_ints(n->in[0], "axes");
    for (uint32_t i = 0; i < kept->n; i++)
        if (folded[kept->ints[i]])
            return false;
    return true;
}

/* amax(expand(x)) over the repeated axes -> x, when they are not empty; amin likewise */
static const Node *extreme_expand(Graph *g, const Node *n)
{
    UNUSED(g);
    double count;
    bool same = folds_repeats(n) && fold_count(n, &count) && count > 0;
    return same ? n->in[0]->in[0] : NULL;
}

/* sum(expand(x)) over the repeated axes -> x * count, in integers (in floats it rounds otherwise) */
static const Node *sum_expand(Graph *g, const Node *n)
{
    double count;
    if (is_float(n) || !folds_repeats(n) || !fold_count(n, &count) || count >= 0x1p31)
        return NULL;
    if (fold_round(n->type->dtype, count) != count)
        return NULL;
    return graph_binary(g, OP_MUL, n->in[0]->in[0], like(g, n, count));
}

/* ---- structure ---- */

/* get(tuple(a, b, ..), i) -> member i */
static const Node *get_tuple(Graph *g, const Node *n)
{
    UNUSED(g);
    return n->in[0]->op == OP_TUPLE ? n->in[0]->in[node_int(n, "i")] : NULL;
}

/* stop(x) -> x, once gradients are made */
static const Node *stop_done(Graph *g, const Node *n)
{
    UNUSED(g);
    return n->in[0];
}

/* ---- elementwise work before repetition ---- */

static bool same_axes(const Node *a, const Node *b)
{
    const Attr *x = node_ints(a, "axes"), *y = node_ints(b, "axes");
    if (x->n != y->n || !same_dims(a->in[0], b->in[0]))
        return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (x->ints[i] != y->ints[i])
            return false;
    return true;
}

/* The expand whose operand's shape the work can be done in: the first that is no constant. */
static const Node *find_repeat(const Node *n)
{
    const Node *found = NULL;
    double v;
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k]->op == OP_EXPAND && (!found || node_is_const(found, &v)))
            found = n->in[k];
    return found;
}

/* f(expand(a), expand(b)) -> expand(f(a, b)); constants join in any shape */
static const Node *elementwise_expand(Graph *g, const Node *n)
{
    const Node *in[3], *e = find_repeat(n);
    if (!e || n->nin > COUNT(in))
        return NULL;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Node *x = n->in[k];
        double v;
        if (x->op == OP_EXPAND && same_axes(x, e))
            in[k] = x->in[0];
        else if (node_is_const(x, &v))
            in[k] = graph_fill(g, type_with_dtype(g->ir, e->in[0]->type, x->type->dtype), v);
        else
            return NULL;
    }
    const Node *small = graph_copy_node(g, n, in);
    return graph_expand(g, small, n->type->rank, n->type->dims, node_ints(e, "axes")->ints);
}

/* ---- the table ---- */

typedef struct SimplifyRow {
    OpKind op;
    SimplifyFn fn;
} SimplifyRow;

static const SimplifyRow table[] = {
    {OP_ADD, add_zero},          {OP_ADD, add_negated},
    {OP_SUB, sub_zero},          {OP_SUB, sub_negated},
    {OP_MUL, mul_one},           {OP_MUL, mul_zero},
    {OP_MUL, mul_negated},       {OP_MUL, mul_mul},
    {OP_DIV, div_constant},      {OP_NEG, neg_neg},
    {OP_ABS, abs_inner},         {OP_POW, pow_constant},
    {OP_MAX, idempotent},        {OP_MIN, idempotent},
    {OP_AND, idempotent},        {OP_OR, idempotent},
    {OP_NOT, not_not},           {OP_AND, logic_constant},
    {OP_OR, logic_constant},     {OP_SELECT, select_known},
    {OP_CAST, cast_cast},        {OP_RESHAPE, view_of_fill},
    {OP_PERMUTE, view_of_fill},  {OP_EXPAND, view_of_fill},
    {OP_SLICE, view_of_fill},    {OP_RESHAPE, reshape_reshape},
    {OP_PERMUTE, permute_units}, {OP_PERMUTE, permute_permute},
    {OP_EXPAND, expand_expand},  {OP_EXPAND, expand_units},
    {OP_SLICE, slice_all},       {OP_SLICE, slice_slice},
    {OP_SLICE, slice_concat},    {OP_SLICE, slice_pad},
    {OP_SLICE, slice_expand},    {OP_PAD, nothing_added},
    {OP_CONCAT, nothing_added},  {OP_SUM, fold_units},
    {OP_PROD, fold_units},       {OP_AMAX, fold_units},
    {OP_AMIN, fold_units},       {OP_SUM, fold_fold},
    {OP_PROD, fold_fold},        {OP_AMAX, fold_fold},
    {OP_AMIN, fold_fold},        {OP_SUM, sum_fill},
    {OP_SUM, sum_expand},        {OP_AMAX, extreme_expand},
    {OP_AMIN, extreme_expand},   {OP_GET, get_tuple},
};

/* After autodiff only. */
static const SimplifyRow tidy_table[] = {{OP_STOP, stop_done}};

/* ---- driver ---- */

typedef struct Simplify {
    bool tidy;
    bool changed;
    const uint32_t *readers; /* by node of the graph that is rewritten */
} Simplify;

static const Node *apply(const SimplifyRow *rows, size_t n, Graph *g, const Node *node)
{
    for (size_t i = 0; i < n; i++) {
        const Node *r = rows[i].op == node->op ? rows[i].fn(g, node) : NULL;
        if (r && r != node)
            return r;
    }
    return NULL;
}

/* own: n is a fold, and nothing else reads the elementwise work that it folds; or nothing else reads what n
 * casts. */
static const Node *simplify_once(const Simplify *s, Graph *g, const Node *n, bool own)
{
    const Node *r = fold_node(g, n);
    if (!r)
        r = apply(table, COUNT(table), g, n);
    if (!r && s->tidy)
        r = apply(tidy_table, COUNT(tidy_table), g, n);
    if (!r && op_info(n->op)->cls == OC_ELEM)
        r = elementwise_expand(g, n);
    if (!r && own && op_info(n->op)->cls == OC_REDUCE)
        r = simplify_permuted_fold(g, n);
    if (!r && own && n->op == OP_CAST)
        r = narrow_concat(g, n);
    ASSERT(!r || r->type == n->type);
    return r;
}

static const Node *visit(Rewrite *rw, const Node *n, const Node *const *in)
{
    Simplify *s = rw->user;
    if (n->nin == 0)
        return NULL;
    rw->out->path = n->path;
    rw->out->span = n->span;
    const Node *now = graph_copy_node(rw->out, n, in);
    bool own = op_info(n->op)->cls == OC_REDUCE ? simplify_reads_alone(s->readers, n)
                                                : reads_moved_alone(s->readers, n);
    for (int left = 16; left > 0; left--) { /* rules only shrink; the bound is for our mistakes */
        const Node *r = simplify_once(s, rw->out, now, own);
        if (!r)
            break;
        s->changed = true;
        now = r;
    }
    return now;
}

static Graph *simplify(PassCx *cx, const Graph *in, bool tidy);

static const Graph *simplify_body(PassCx *cx, const Graph *body, void *user)
{
    const Simplify *s = user;
    return simplify(cx, body, s->tidy);
}

static Graph *simplify(PassCx *cx, const Graph *in, bool tidy)
{
    Simplify s = {.tidy = tidy, .changed = true};
    in = loop_any(in) ? loop_rewrite_all(cx, in, simplify_body, &s) : in;
    Graph *g = graph_rewrite(in, cx->arena, NULL, NULL);
    for (int round = 0; s.changed && round < 8; round++) {
        s.changed = false;
        s.readers = simplify_readers(g, cx->arena);
        g = graph_rewrite(g, cx->arena, visit, &s);
    }
    return graph_rewrite(g, cx->arena, NULL, NULL);
}

Graph *pass_simplify(PassCx *cx, const Graph *in)
{
    return simplify(cx, in, false);
}

Graph *pass_tidy(PassCx *cx, const Graph *in)
{
    return simplify(cx, in, true);
}

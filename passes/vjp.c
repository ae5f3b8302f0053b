/* vjp.c: gradients of casts, indirect reads, folds and contractions. */
#include "vjp.h"

const Node *vjp_wide(Graph *g, const Node *n)
{
    bool narrow = dtype_is_float(n->type->dtype) && dtype_info(n->type->dtype)->bytes < 4;
    return narrow ? graph_cast(g, DT_F32, n) : n;
}

/* ---- casts, gather ---- */

/* The gradient has the operand's element type; nothing flows into integers. */
void vjp_cast(const VjpIn *v, const Node **dx)
{
    DType from = v->n->in[0]->type->dtype;
    if (dtype_is_float(from))
        dx[0] = graph_cast(v->g, from, v->dy);
}

/* The adjoint of reading rows is adding to them: d table = scatter_add(dy, idx). */
void vjp_gather(const VjpIn *v, const Node **dx)
{
    if (!v->need[0])
        return;
    int64_t axis = node_int(v->n, "axis");
    const Node *in[2] = {vjp_wide(v->g, v->dy), v->n->in[1]};
    const Attr attr[3] = {
        {.kind = AK_INT, .i = axis},
        {.kind = AK_INT, .i = node_int(v->n, "batch")},
        {.kind = AK_DIM, .dim = v->n->in[0]->type->dims[axis]},
    };
    const Node *sum =
        graph_op(v->g, &(NodeSpec){.op = OP_SCATTER_ADD, .nin = 2, .in = in, .attr = attr});
    dx[0] = graph_cast(v->g, v->dy->type->dtype, sum);
}

void vjp_scatter_add(const VjpIn *v, const Node **dx)
{
    if (v->need[0])
        dx[0] = graph_gather(v->g, v->dy, v->n->in[1], (uint32_t)node_int(v->n, "axis"),
                             (uint32_t)node_int(v->n, "batch"));
}

/* ---- folds ---- */

/* Repeats a folded tensor over the axes that the fold removed from x. */
static const Node *unfold(Graph *g, const Node *folded, const Node *fold)
{
    const Type *t = fold->in[0]->type;
    const Attr *removed = node_ints(fold, "axes");
    int64_t kept[IR_MAX_RANK];
    uint32_t nkept = 0;
    for (uint32_t i = 0; i < t->rank; i++) {
        bool gone = false;
        for (uint32_t k = 0; k < removed->n; k++)
            gone = gone || removed->ints[k] == i;
        if (!gone)
            kept[nkept++] = i;
    }
    ASSERT(nkept == folded->type->rank);
    return graph_expand(g, folded, t->rank, t->dims, kept);
}

static const Node *sum_like(Graph *g, const Node *x, const Node *fold)
{
    const Attr *axes = node_ints(fold, "axes");
    return graph_reduce(g, OP_SUM, x, axes->ints, axes->n);
}

void vjp_sum(const VjpIn *v, const Node **dx)
{
    dx[0] = unfold(v->g, v->dy, v->n);
}

/* The product of the others is y / x without zeros, the product of the rest at a single zero, and
 * 0 where two or more are zero. */
void vjp_prod(const VjpIn *v, const Node **dx)
{
    Graph *g = v->g;
    const Node *x = v->n->in[0];
    const Node *zero = graph_fill(g, x->type, 0), *one = graph_fill(g, x->type, 1);
    const Node *is_zero = graph_binary(g, OP_EQ, x, zero);
    const Node *count = sum_like(g, graph_cast(g, x->type->dtype, is_zero), v->n);
    const Attr *axes = node_ints(v->n, "axes");
    const Node *safe = graph_select(g, is_zero, one, x);
    const Node *rest = unfold(g, graph_reduce(g, OP_PROD, safe, axes->ints, axes->n), v->n);
    const Node *zeros = unfold(g, count, v->n);
    const Node *at_zero = graph_select(g, graph_binary(g, OP_EQ, zeros, one), rest, zero);
    const Node *elsewhere = graph_select(g, graph_binary(g, OP_EQ, zeros, zero),
                                         graph_binary(g, OP_DIV, rest, safe), zero);
    const Node *others = graph_select(g, is_zero, at_zero, elsewhere);
    dx[0] = graph_binary(g, OP_MUL, unfold(g, v->dy, v->n), others);
}

/* Equal shares to all elements that equal the extreme. */
void vjp_amax(const VjpIn *v, const Node **dx)
{
    Graph *g = v->g;
    const Node *x = v->n->in[0];
    const Node *hit = graph_binary(g, OP_EQ, x, unfold(g, v->n, v->n));
    const Node *count = sum_like(g, graph_cast(g, x->type->dtype, hit), v->n);
    const Node *share = graph_binary(g, OP_DIV, v->dy, count);
    dx[0] = graph_select(g, hit, unfold(g, share, v->n), graph_fill(g, x->type, 0));
}

void vjp_sumsq(const VjpIn *v, const Node **dx)
{
    Graph *g = v->g;
    const Node *twice = graph_binary(g, OP_MUL, graph_fill(g, v->dy->type, 2), v->dy);
    for (uint32_t k = 0; k < v->n->nin; k++) {
        const Node *x = v->n->in[k];
        if (v->need[k])
            dx[k] = graph_binary(g, OP_MUL, x,
                                 graph_expand(g, graph_cast(g, x->type->dtype, twice),
                                              x->type->rank, x->type->dims, NULL));
    }
}

/* ---- contraction ---- */

/* The forward dot as seen from one operand x: which axes of x, of the other operand o and of the
 * result belong together. */
typedef struct DotSide {
    const Node *x, *o;
    uint32_t nbatch, ncontract;
    bool tf32;
    const int64_t *x_batch, *o_batch, *x_contract, *o_contract;
    uint32_t o_free; /* first free axis of o in the result */
} DotSide;

/* A bit per axis. */
static uint32_t axes_set(const int64_t *axes, uint32_t n)
{
    uint32_t set = 0;
    for (uint32_t k = 0; k < n; k++)
        set |= 1u << axes[k];
    return set;
}

static uint32_t axes_outside(const Node *x, uint32_t set, int64_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->type->rank; i++)
        if (!(set >> i & 1))
            out[n++] = i;
    return n;
}

/* The axes that are neither batched nor contracted. */
static uint32_t own_axes(const DotSide *s, int64_t *out)
{
    uint32_t bound = axes_set(s->x_batch, s->nbatch) | axes_set(s->x_contract, s->ncontract);
    return axes_outside(s->x, bound, out);
}

static uint32_t other_axes(const DotSide *s, int64_t *out)
{
    uint32_t bound = axes_set(s->o_batch, s->nbatch) | axes_set(s->o_contract, s->ncontract);
    return axes_outside(s->o, bound, out);
}

/* origin[i] = the axis of x that axis i of dot(dy, o) (or dot(o, dy)) is. */
static void result_origin(const DotSide *s, bool dy_first, int64_t *origin)
{
    int64_t own[IR_MAX_RANK], other[IR_MAX_RANK];
    uint32_t nown = own_axes(s, own);
    uint32_t nother = 0; /* contracted axes in o's order, as axes of x */
    for (uint32_t i = 0; i < s->o->type->rank; i++)
        for (uint32_t k = 0; k < s->ncontract; k++)
            if (s->o_contract[k] == i)
                other[nother++] = s->x_contract[k];
    uint32_t n = 0;
    for (uint32_t k = 0; k < s->nbatch; k++)
        origin[n++] = s->x_batch[k];
    for (uint32_t k = 0; dy_first && k < nown; k++)
        origin[n++] = own[k];
    for (uint32_t k = 0; k < nother; k++)
        origin[n++] = other[k];
    for (uint32_t k = 0; !dy_first && k < nown; k++)
        origin[n++] = own[k];
    ASSERT(n == s->x->type->rank);
}

static bool ascending(const int64_t *axes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (axes[i] != i)
            return false;
    return true;
}

static void copy_axes(int64_t *to, const int64_t *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] = from[i];
}

/* Repeats u to the shape of t: axis i of u is axis map[i] of t, in any order. */
static const Node *spread(Graph *g, const Node *u, const int64_t *map, const Type *t)
{
    int64_t perm[IR_MAX_RANK], axes[IR_MAX_RANK];
    uint32_t n = 0;
    for (uint32_t axis = 0; axis < t->rank; axis++)
        for (uint32_t i = 0; i < u->type->rank; i++)
            if (map[i] == axis) {
                perm[n] = i;
                axes[n++] = axis;
            }
    ASSERT(n == u->type->rank);
    if (!ascending(perm, n))
        u = graph_permute(g, u, perm);
    return graph_expand(g, u, t->rank, t->dims, axes);
}

/* o without free axes (a vector): nothing is summed, dx = dy * o elementwise. */
static const Node *outer_cotangent(Graph *g, const DotSide *s, const Node *dy)
{
    int64_t own[IR_MAX_RANK], dy_map[IR_MAX_RANK] = {0}, o_map[IR_MAX_RANK] = {0};
    uint32_t nown = own_axes(s, own);
    for (uint32_t i = 0; i < s->nbatch; i++) {
        dy_map[i] = s->x_batch[i];
        o_map[s->o_batch[i]] = s->x_batch[i];
    }
    for (uint32_t i = 0; i < nown; i++)
        dy_map[s->nbatch + i] = own[i];
    for (uint32_t i = 0; i < s->ncontract; i++)
        o_map[s->o_contract[i]] = s->x_contract[i];
    const Node *o = graph_cast(g, dy->type->dtype, s->o);
    const Node *r =
        graph_binary(g, OP_MUL, spread(g, dy, dy_map, s->x->type), spread(g, o, o_map, s->x->type));
    return graph_cast(g, s->x->type->dtype, r);
}

/* Whether dy is the first operand: the order that needs no permute if there is one. */
static bool choose_order(const DotSide *s, int64_t *origin)
{
    result_origin(s, false, origin);
    if (ascending(origin, s->x->type->rank)) {
        int64_t other[IR_MAX_RANK];
        result_origin(s, true, other);
        if (!ascending(other, s->x->type->rank))
            return false;
    }
    result_origin(s, true, origin);
    return true;
}

/* dx = sum over o's free axes of dy * o. */
static const Node *dot_cotangent(Graph *g, const DotSide *s, const Node *dy)
{
    int64_t origin[IR_MAX_RANK] = {0}, o_free[IR_MAX_RANK];
    int64_t dy_batch[IR_MAX_RANK], dy_free[IR_MAX_RANK];
    bool dy_first = choose_order(s, origin);
    uint32_t nfree = other_axes(s, o_free);
    if (nfree == 0)
        return outer_cotangent(g, s, dy);
    for (uint32_t i = 0; i < s->nbatch; i++)
        dy_batch[i] = i;
    for (uint32_t i = 0; i < nfree; i++)
        dy_free[i] = s->o_free + i;
    DotAxes d = {.nbatch = s->nbatch, .ncontract = nfree, .tf32 = s->tf32};
    copy_axes(d.a_batch, dy_first ? dy_batch : s->o_batch, s->nbatch);
    copy_axes(d.b_batch, dy_first ? s->o_batch : dy_batch, s->nbatch);
    copy_axes(d.a_contract, dy_first ? dy_free : o_free, nfree);
    copy_axes(d.b_contract, dy_first ? o_free : dy_free, nfree);
    const Node *dyc = graph_cast(g, s->o->type->dtype, dy);
    const Node *r = graph_dot(g, dy_first ? dyc : s->o, dy_first ? s->o : dyc, &d);
    int64_t perm[IR_MAX_RANK]; /* axis origin[i] of dx is axis i of r */
    for (uint32_t i = 0; i < s->x->type->rank; i++)
        perm[origin[i]] = i;
    if (!ascending(perm, s->x->type->rank))
        r = graph_permute(g, r, perm);
    return graph_cast(g, s->x->type->dtype, r);
}

void vjp_dot(const VjpIn *v, const Node **dx)
{
    DotAxes d;
    node_dot_axes(v->n, &d);
    const Node *a = v->n->in[0], *b = v->n->in[1];
    uint32_t na = a->type->rank - d.nbatch - d.ncontract; /* free axes of a */
    DotSide from_a = {
        .x = a,
        .o = b,
        .nbatch = d.nbatch,
        .ncontract = d.ncontract,
        .tf32 = d.tf32,
        .x_batch = d.a_batch,
        .o_batch = d.b_batch,
        .x_contract = d.a_contract,
        .o_contract = d.b_contract,
        .o_free = d.nbatch + na,
    };
    DotSide from_b = {
        .x = b,
        .o = a,
        .nbatch = d.nbatch,
        .ncontract = d.ncontract,
        .tf32 = d.tf32,
        .x_batch = d.b_batch,
        .o_batch = d.a_batch,
        .x_contract = d.b_contract,
        .o_contract = d.a_contract,
        .o_free = d.nbatch,
    };
    if (v->need[0])
        dx[0] = dot_cotangent(v->g, &from_a, v->dy);
    if (v->need[1])
        dx[1] = dot_cotangent(v->g, &from_b, v->dy);
}

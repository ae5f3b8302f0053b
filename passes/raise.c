/* raise.c: composites that are cheaper where a product feeds them alone. `cross_entropy_terms` of a
 * product becomes `linear_cross_entropy` of its factors: the scores, which can be a hundred thousand
 * to a row, have no other reader then, and a kernel that streams them need never store them. What no
 * kernel claims expands to the same product as before.
 *
 * Before autodiff, so that the derivative is the composite's own. Both Defs come from std and are
 * recognised by identity, not by name: an op of the program that is called the same is another Def. */
#include "internal.h"

static const char scored[] = "cross_entropy_terms", linear[] = "linear_cross_entropy";

/* Scores, traced back through casts, zeros added, and reshapes of their rows. */
typedef struct Scores {
    const Node *dot;
    DType rounded; /* the 16-bit type they went through; DT_F32: none */
} Scores;

typedef struct Raise {
    PassCx *cx;
    const uint32_t *uses;
} Raise;

/* ---- the product ---- */

static const Dim *last_dim(const Node *n)
{
    return n->type->rank ? n->type->dims[n->type->rank - 1] : NULL;
}

/* One step back, or NULL. */
static const Node *before(Scores *s, const Node *n)
{
    if (node_is_cast(n) && dtype_is_float(n->in[0]->type->dtype)) {
        DType to = n->type->dtype;
        if (dtype_is_half(to) && s->rounded != DT_F32 && s->rounded != to)
            return NULL;
        s->rounded = dtype_is_half(to) ? to : s->rounded;
        return n->in[0];
    }
    if (node_is_reshape(n))
        return last_dim(n) && last_dim(n) == last_dim(n->in[0]) ? n->in[0] : NULL;
    return node_plus_zero(n); /* a bias of zeros: the sign of a zero is nothing to an exponential */
}

static bool find_product(const Raise *r, const Node *n, Scores *s)
{
    s->rounded = DT_F32;
    for (; n && r->uses[n->id] == 1 && n->type->dtype != DT_F64; n = before(s, n)) {
        if (op_info(n->op)->cls != OC_CONTRACT)
            continue;
        DotAxes axes;
        node_dot_axes(n, &axes);
        s->dot = n;
        return axes.nbatch == 0 && axes.ncontract == 1 && n->in[1]->type->rank == 2 &&
               n->in[0]->type->rank >= 1;
    }
    return false;
}

/* ---- its factors ---- */

/* Axis `axis` of n last, the others in order. */
static const Node *axis_last(Graph *g, const Node *n, int64_t axis)
{
    int64_t perm[IR_MAX_RANK];
    uint32_t rank = n->type->rank, k = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (i != axis)
            perm[k++] = i;
    perm[k] = axis;
    return axis == rank - 1 ? n : graph_permute(g, n, perm);
}

/* x with the rows of the scores. */
static const Node *with_rows(Graph *g, const Node *x, const Type *scores)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i + 1 < scores->rank; i++)
        dims[i] = scores->dims[i];
    dims[scores->rank - 1] = last_dim(x);
    const Type *wanted = type_tensor(g->ir, x->type->dtype, scores->rank, dims);
    return x->type == wanted ? x : graph_reshape(g, x, scores->rank, dims);
}

static const Node *narrow(const Node *n)
{
    return node_is_cast(n) && dtype_is_half(n->in[0]->type->dtype) ? n->in[0] : n;
}

/* The call of the linear composite, or NULL where the pieces do not fit. */
static const Node *replace(const Raise *r, Rewrite *rw, const Scores *s, const Node *call,
                           const Node *const *in)
{
    Graph *g = rw->out;
    const Node *x = rw->map[s->dot->in[0]->id], *w = rw->map[s->dot->in[1]->id];
    if (narrow(x)->type->dtype == narrow(w)->type->dtype) {
        x = narrow(x);
        w = narrow(w);
    }
    if (s->rounded != DT_F32 && s->rounded != x->type->dtype)
        return NULL;
    DotAxes axes;
    node_dot_axes(s->dot, &axes);
    x = with_rows(g, axis_last(g, x, axes.a_contract[0]), call->in[0]->type);
    w = axis_last(g, w, axes.b_contract[0]);
    const Node *operands[] = {x, w, in[1], in[2]};
    const Type *types[] = {x->type, w->type, in[1]->type, in[2]->type};
    const StdOp op = {.name = linear,
                      .in = types,
                      .nin = COUNT(types),
                      .tf32 = axes.tf32,
                      .flag = s->rounded != DT_F32 ? "rounded" : NULL};
    const Def *def = r->cx->std_op(r->cx->front, &op);
    return def ? graph_call(g, def, operands, COUNT(operands)) : NULL;
}

/* ---- the pass ---- */

static bool is_scored(const Raise *r, const Node *n)
{
    if (op_info(n->op)->cls != OC_CALL || n->nin != 3 ||
        node_def(n)->name != sym(r->cx->ir->syms, scored))
        return false;
    const Type *types[] = {n->in[0]->type, n->in[1]->type, n->in[2]->type};
    const StdOp op = {.name = scored, .in = types, .nin = COUNT(types)};
    return node_def(n) == r->cx->std_op(r->cx->front, &op);
}

static const Node *visit(Rewrite *rw, const Node *n, const Node *const *in)
{
    const Raise *r = rw->user;
    Scores s;
    if (!is_scored(r, n) || !find_product(r, n->in[0], &s))
        return NULL;
    return replace(r, rw, &s, n, in);
}

Graph *pass_raise(PassCx *cx, const Graph *in)
{
    if (!cx->std_op)
        return graph_rewrite(in, cx->arena, NULL, NULL);
    Raise r = {.cx = cx, .uses = graph_use_counts(in, cx->arena)};
    Graph *g = graph_rewrite(in, cx->arena, visit, &r);
    return graph_rewrite(g, cx->arena, NULL, NULL); /* drops the products */
}

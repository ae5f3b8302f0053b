/* convolution.c: a convolution is a contraction of windows of the padded operand with the weights. With
 * groups the channels are cut into [g, c / g], which both sides share.
 *
 * Where windows begin at every place it is a composite with a gradient of its own: with respect to x a
 * convolution of dy with the weights turned around, which reads windows as the forward pass does. The
 * gradient of a window as such, sums of shifted planes, needs all windows of all channels in memory. */
#include "convolution.h"

#define MAX_WINDOWS 0x1p46 /* elements, below the limit of a type */

Windows conv_window(const Conv *c, uint32_t i, uint32_t axis)
{
    return (Windows){axis, c->size[i], c->stride[i], c->dilation[i]};
}

const Node *conv_pad(Graph *g, const Node *x, const Conv *c)
{
    for (uint32_t i = 0; i < c->n && x; i++) {
        const Dim *by = dim_const(g->ir, c->padding[i]);
        x = c->padding[i] ? graph_pad(g, x, 2 + i, by, by) : x;
    }
    return x;
}

const Node *conv_windows(Graph *g, const Node *x, const Conv *c)
{
    for (uint32_t i = 0; i < c->n && x; i++) {
        Windows w = conv_window(c, i, 2 + 2 * i);
        x = graph_window(g, x, &w);
    }
    return x;
}

/* Axis `axis` as [groups, rest]. */
static const Node *grouped(Graph *g, const Node *x, uint32_t axis, int64_t groups)
{
    const Dim *rest, *dims[IR_MAX_RANK + 1], *n = dim_const(g->ir, groups);
    uint32_t rank = 0;
    if (!dim_div(g->ir, x->type->dims[axis], n, &rest))
        BUG("convolution: channels that are no multiple of the groups");
    for (uint32_t i = 0; i < x->type->rank; i++) {
        if (i == axis)
            dims[rank++] = n;
        dims[rank++] = i == axis ? rest : x->type->dims[i];
    }
    return graph_reshape(g, x, rank, dims);
}

/* Axes `axis` and the next as one. */
static const Node *joined(Graph *g, const Node *x, uint32_t axis)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i + 1 < x->type->rank; i++)
        dims[i] = x->type->dims[i < axis ? i : i + 1];
    dims[axis] = dim_mul(g->ir, x->type->dims[axis], x->type->dims[axis + 1]);
    return graph_reshape(g, x, x->type->rank - 1, dims);
}

/* w[o, c, k..] with windows[b, c, s, k, ..] over c, k..: [b, o, s..] */
static const Node *contract(Graph *g, const Conv *c, const Node *x, const Node *w)
{
    DotAxes d = {
        .nbatch = 1, .ncontract = 1 + c->n, .a_batch = {0}, .b_batch = {1}, .tf32 = c->tf32};
    d.a_contract[0] = d.b_contract[0] = 2;
    for (uint32_t i = 0; i < c->n; i++) {
        d.a_contract[1 + i] = 3 + i;
        d.b_contract[1 + i] = 4 + 2 * i;
    }
    const Node *y = graph_dot(g, grouped(g, w, 0, c->groups), grouped(g, x, 1, c->groups), &d);
    int64_t perm[IR_MAX_RANK] = {2, 0, 1}; /* [g, o / g, b, s..] */
    for (uint32_t i = 3; y && i < y->type->rank; i++)
        perm[i] = i;
    return y ? joined(g, graph_permute(g, y, perm), 1) : NULL;
}

static const Node *body(Graph *g, const Conv *c, const Node *x, const Node *w)
{
    x = conv_windows(g, conv_pad(g, x, c), c);
    return x ? contract(g, c, x, w) : NULL;
}

/* ---- the gradient ---- */

/* How far a window reaches beyond its first place. */
static int64_t reach(const Conv *c, uint32_t i)
{
    return c->dilation[i] * (c->size[i] - 1);
}

static const Node *flipped(Graph *g, const Node *x, uint32_t axis, int64_t extent)
{
    const Node *up = graph_iota(g, 1, &x->type->dims[axis], 0);
    const Node *last = graph_fill(g, up->type, (double)(extent - 1));
    return graph_gather(g, x, graph_binary(g, OP_SUB, last, up), axis, 0);
}

/* w[o, c / groups, k..] as [c, o / groups, k turned around ..] */
static const Node *turned(Graph *g, const Conv *c, const Node *w)
{
    for (uint32_t i = 0; i < c->n; i++)
        w = flipped(g, w, 2 + i, c->size[i]);
    w = grouped(g, w, 0, c->groups);
    int64_t perm[IR_MAX_RANK] = {0, 2, 1};
    for (uint32_t i = 3; i < w->type->rank; i++)
        perm[i] = i;
    return joined(g, graph_permute(g, w, perm), 0);
}

static const Node *gradient_of_x(Graph *g, const Conv *c, const Node *w, const Node *dy)
{
    Conv back = *c;
    for (uint32_t i = 0; i < c->n; i++)
        back.padding[i] = reach(c, i) - c->padding[i];
    return body(g, &back, dy, turned(g, c, w));
}

/* dy[b, o, s..] with windows[b, c, s, k, ..] over b, s..: [o, c / groups, k..] */
static const Node *gradient_of_w(Graph *g, const Conv *c, const Node *x, const Node *dy)
{
    DotAxes d = {
        .nbatch = 1, .ncontract = 1 + c->n, .a_batch = {1}, .b_batch = {1}, .tf32 = c->tf32};
    for (uint32_t i = 0; i < c->n; i++) {
        d.a_contract[1 + i] = 3 + i;
        d.b_contract[1 + i] = 3 + 2 * i;
    }
    const Node *seen = conv_windows(g, conv_pad(g, x, c), c);
    return joined(g, graph_dot(g, grouped(g, dy, 1, c->groups), grouped(g, seen, 1, c->groups), &d),
                  0);
}

static Sym text(const Graph *g, const char *s)
{
    return sym(g->ir->syms, s);
}

static const Def *vjp_of(Graph *g, Arena *arena, const Conv *c, const Node *const *of)
{
    Graph *b = graph_new(g->ir, arena, text(g, c->n == 1 ? "conv1d_bwd" : "conv2d_bwd"));
    const Node *x = graph_input(b, text(g, "x"), of[0]->type);
    const Node *w = graph_input(b, text(g, "w"), of[1]->type);
    graph_input(b, text(g, "out.0"), of[2]->type);
    const Node *dy = graph_input(b, text(g, "dy"), of[2]->type);
    graph_result(b, text(g, "dx"), gradient_of_x(b, c, w, dy));
    graph_result(b, text(g, "dw"), gradient_of_w(b, c, x, dy));
    return def_intern(g->ir, &(Def){DEF_COMPOSITE, b->name, b, 2, NULL, 0});
}

/* Every place begins a window, a margin is no wider than windows reach, sizes are known, and there are
 * about as many outputs as inputs: the gradient reads a window for each input. */
static bool has_gradient(Ir *ir, const Conv *c, const Type *x, const Type *w)
{
    double windows = (double)dim_hi(ir, x->dims[0]) * (double)dim_hi(ir, w->dims[0]);
    for (uint32_t i = 0; i < c->n; i++) {
        int64_t in;
        if (c->stride[i] != 1 || c->padding[i] > reach(c, i) || !dim_is_const(x->dims[2 + i], &in))
            return false;
        int64_t out = in + 2 * c->padding[i] - reach(c, i);
        if (2 * out < in || out < 1)
            return false;
        windows *= 2 * (double)out * (double)c->size[i];
    }
    return windows < MAX_WINDOWS;
}

const Node *conv_node(Graph *g, Arena *arena, const Conv *c, const Node *x, const Node *w)
{
    if (!has_gradient(g->ir, c, x->type, w->type))
        return body(g, c, x, w);
    Graph *b = graph_new(g->ir, arena, text(g, c->n == 1 ? "conv1d" : "conv2d"));
    const Node *in[] = {graph_input(b, text(g, "x"), x->type),
                        graph_input(b, text(g, "w"), w->type), NULL};
    in[2] = body(b, c, in[0], in[1]);
    if (!in[2])
        return NULL;
    graph_result(b, text(g, "y"), in[2]);
    Def def = {DEF_COMPOSITE, b->name, b, 1, vjp_of(g, arena, c, in), 0};
    return graph_call(g, def_intern(g->ir, &def), (const Node *const[]){x, w}, 2);
}

/* vjp_scan.c: gradients of prefix sums and products. */
#include "vjp.h"

/* The scan `op` of x along the axis of `like`; `back`: in the other direction. */
static const Node *scan(Graph *g, OpKind op, const Node *x, const Node *like, bool back)
{
    bool reverse = node_int(like, "reverse") != 0;
    Attr attr[] = {{.kind = AK_INT, .i = node_int(like, "axis")},
                   {.kind = AK_INT, .i = reverse != back}};
    return graph_op(g, &(NodeSpec){.op = op, .nin = 1, .in = &x, .attr = attr});
}

/* An element is in all sums behind it. */
void vjp_cumsum(const VjpIn *v, const Node **dx)
{
    dx[0] = scan(v->g, OP_CUMSUM, v->dy, v->n, true);
}

/* With s = x where zeros are 1, p = cumprod(s) and c = the number of zeros so far:
 *
 *   c = 0:               dx_i = sum of dy_j p_j over j >= i with c_j = 0, over s_i
 *   at the first zero:   dx_i = sum of dy_j p_j over j >= i with c_j = 1
 *   behind it:           0, as every product that has x_i has that zero too */
void vjp_cumprod(const VjpIn *v, const Node **dx)
{
    Graph *g = v->g;
    const Node *x = v->n->in[0];
    const Node *zero = graph_fill(g, x->type, 0), *one = graph_fill(g, x->type, 1);
    const Node *is_zero = graph_binary(g, OP_EQ, x, zero);
    const Node *safe = graph_select(g, is_zero, one, x);
    const Node *seen = scan(g, OP_CUMSUM, graph_cast(g, x->type->dtype, is_zero), v->n, false);
    const Node *none = graph_binary(g, OP_EQ, seen, zero);
    const Node *single = graph_binary(g, OP_EQ, seen, one);
    const Node *w = graph_binary(g, OP_MUL, v->dy, scan(g, OP_CUMPROD, safe, v->n, false));
    const Node *ahead = scan(g, OP_CUMSUM, graph_select(g, none, w, zero), v->n, true);
    const Node *after = scan(g, OP_CUMSUM, graph_select(g, single, w, zero), v->n, true);
    const Node *first = graph_binary(g, OP_AND, is_zero, single);
    dx[0] = graph_select(g, none, graph_binary(g, OP_DIV, ahead, safe),
                         graph_select(g, first, after, zero));
}

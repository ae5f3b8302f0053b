/* capture.c: the body of an op is a graph of its own, but functions that the op was given (masks,
 * scores) read tensors of the caller. Such a tensor becomes one more input of the body, in each body on
 * the way from where it was made to where it is read (lambda lifting), so that gradients reach it. */
#include "elab.h"

static bool belongs(const Graph *g, const Node *n)
{
    return n->id < g->nodes.n && g->nodes.at[n->id] == n;
}

/* The input of `b` that stands for a node of the graph outside it. */
static const Node *input_for(Elab *e, OpBody *b, const Node *outer)
{
    for (uint32_t i = 0; i < b->outer.n; i++) {
        if (b->outer.at[i] == outer) {
            return b->inner.at[i];
        }
    }
    Sym name = sym_printf(e->ir->syms, "captured.%u", b->outer.n);
    const Node *inner = graph_input(b->g, name, outer->type);
    VEC_PUSH(e->arena, &b->outer, outer);
    VEC_PUSH(e->arena, &b->inner, inner);
    return inner;
}

static const Node *seen_in(Elab *e, OpBody *b, const Node *n)
{
    if (!b || belongs(b->g, n)) {
        return n;
    }
    return input_for(e, b, seen_in(e, b->up, n));
}

const Node *capture_node(Elab *e, const Node *n)
{
    double c;
    if (!e->body || belongs(e->g, n)) {
        return n;
    }
    return node_is_const(n, &c) ? graph_fill(e->g, n->type, c) : seen_in(e, e->body, n);
}

static bool inside(Span part, Span whole)
{
    return part.file == whole.file && part.lo >= whole.lo && part.hi <= whole.hi;
}

Graph *capture_root(const Elab *e, Span span)
{
    Graph *g = e->g;
    for (const OpBody *b = e->body; b && !inside(span, b->text); b = b->up) {
        g = b->outside;
    }
    return g;
}

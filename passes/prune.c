/* prune.c: where only a slice of a value is read, nothing but the slice is computed. The last row of a
 * prompt's scores, which is all that sampling reads, needs the last row of the head, the last norm, the
 * last layer's MLP: down to what mixes rows, which is attention.
 *
 * Demand flows from readers to operands, last node first: a value is limited to some rows when every
 * reader wants these and no others. Operations pass the demand on where they treat the indices of the
 * axis apart (node_row_axis). Then one walk forward builds limited values on limited operands, and
 * slices, where the demand ends, of whole ones. After `expand`, so that composites do not hide their
 * rows. */
#include "internal.h"

typedef struct Demand {
    bool seen;  /* by some reader */
    bool whole; /* everything, or not the same rows */
    RowRange rows;
} Demand;

typedef struct Prune {
    const Graph *in;
    Demand *demand; /* by node id */
} Prune;

static bool same_rows(const RowRange *a, const RowRange *b)
{
    return a->axis == b->axis && a->start == b->start && a->extent == b->extent;
}

static bool is_limited(const Demand *d)
{
    return d->seen && !d->whole;
}

static void want(Prune *p, const Node *n, const RowRange *rows)
{
    Demand *d = &p->demand[n->id];
    d->whole = d->whole || !rows || (d->seen && !same_rows(&d->rows, rows));
    if (rows && !d->seen)
        d->rows = *rows;
    d->seen = true;
}

/* The rows of operand k for rows of n; false: all of it. */
static bool rows_below(const Node *n, const RowRange *rows, uint32_t k, RowRange *below)
{
    *below = *rows;
    return node_row_axis(n, rows->axis, k, &below->axis) == ROW_AXIS;
}

/* Whether n can be computed for some rows alone. */
static bool passes_on(const Node *n, const RowRange *rows)
{
    uint32_t from;
    for (uint32_t k = 0; k < n->nin; k++)
        if (node_row_axis(n, rows->axis, k, &from) == ROW_MIXED)
            return false;
    return n->nin > 0 && !n->type->is_tuple;
}

static void demand_of(Prune *p, const Node *n)
{
    Demand *own = &p->demand[n->id];
    RowRange rows, below;
    if (node_is_rows(n, &rows)) {
        own->whole = true; /* it is itself what there is to compute */
        want(p, n->in[0], &rows);
        return;
    }
    own->whole = own->whole || !passes_on(n, &own->rows);
    for (uint32_t k = 0; k < n->nin; k++) {
        bool some = !own->whole && rows_below(n, &own->rows, k, &below);
        want(p, n->in[k], some ? &below : NULL);
    }
}

static const Node *visit(Rewrite *rw, const Node *n, const Node *const *in)
{
    const Prune *p = rw->user;
    const Demand *own = &p->demand[n->id];
    RowRange rows, below;
    if (node_is_rows(n, &rows))
        return is_limited(&p->demand[n->in[0]->id]) ? in[0] : NULL;
    if (!is_limited(own))
        return NULL;
    const Node **fewer = NEW_ARRAY(rw->out->arena, const Node *, n->nin);
    for (uint32_t k = 0; k < n->nin; k++) {
        fewer[k] = in[k];
        if (rows_below(n, &own->rows, k, &below) && !is_limited(&p->demand[n->in[k]->id]))
            fewer[k] = graph_slice(rw->out, in[k], below.axis, below.start, below.extent);
    }
    return graph_fewer_rows(rw->out, n, fewer, &own->rows);
}

Graph *pass_prune(PassCx *cx, const Graph *in)
{
    Prune p = {.in = in, .demand = NEW_ARRAY(cx->arena, Demand, in->nodes.n + 1)};
    for (uint32_t i = 0; i < in->results.n; i++)
        want(&p, in->results.at[i].node, NULL);
    for (uint32_t i = 0; i < in->writes.n; i++)
        want(&p, in->writes.at[i].node, NULL);
    for (uint32_t i = in->nodes.n; i-- > 0;)
        if (p.demand[i].seen)
            demand_of(&p, in->nodes.at[i]);
    return graph_rewrite(in, cx->arena, visit, &p);
}

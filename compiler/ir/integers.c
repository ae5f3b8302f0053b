/* integers.c: what the integers of a leaf mean, seen from what reads them: the leaf is followed forward through views,
 * casts and arithmetic of integers, to gathers and scatters, comparisons and masks. */
#include "ir.h"

/* What is known of a value. */
typedef struct Made {
    bool of;         /* made of the leaf's numbers */
    bool joined;     /* .. and of places along an axis */
    const Dim *iota; /* the axis whose places it is made of; NULL: none */
} Made;

typedef struct Search {
    Ir *ir;
    const Node *leaf;
    Made *made; /* by node */
    Integers out;
    const Dim *places; /* the longest axis that the numbers are compared with the places of */
} Search;

static const Dim *longer(const Ir *ir, const Dim *a, const Dim *b)
{
    return !a || (b && dim_hi(ir, b) > dim_hi(ir, a)) ? b : a;
}

static void is(Search *s, IntegerUse use)
{
    s->out.use = use > s->out.use ? use : s->out.use;
}

static void is_index(Search *s, const Dim *extent)
{
    is(s, INTEGER_INDEX);
    if (!s->out.below || dim_hi(s->ir, extent) < dim_hi(s->ir, s->out.below))
        s->out.below = extent;
}

static void is_place(Search *s, const Dim *extent)
{
    is(s, INTEGER_PLACE);
    s->places = longer(s->ir, s->places, extent);
}

static bool is_whole(const Node *n)
{
    return !n->type->is_tuple && dtype_is_int(n->type->dtype);
}

/* ---- how numbers go on ---- */

/* Whether element for element, or in other places, the result of n has numbers that operand k makes. */
static bool passes_on(const Node *n, uint32_t k)
{
    const OpClass cls = op_info(n->op)->cls;
    if (!is_whole(n) || !is_whole(n->in[k]))
        return false;
    return cls == OC_VIEW || cls == OC_ELEM || (cls == OC_GATHER && k == 0);
}

/* Places added to the leaf's one number are places behind it; to those of a tensor, places that it is compared with. */
static void join(Search *s, Made *m, const Made *a, const Made *b)
{
    const Dim *iota = a->of ? b->iota : a->iota;
    if (a->of == b->of || !iota)
        return;
    if (s->leaf->type->rank == 0) {
        s->out.span = longer(s->ir, s->out.span, iota);
        m->iota = NULL;
        return;
    }
    m->joined = true;
    is_place(s, iota);
}

static Made carry(Search *s, const Node *n)
{
    Made m = {.iota = n->op == OP_IOTA ? n->type->dims[node_int(n, "axis")] : NULL};
    for (uint32_t k = 0; k < n->nin; k++) {
        const Made *from = &s->made[n->in[k]->id];
        if (!passes_on(n, k))
            continue;
        m.of = m.of || from->of;
        m.joined = m.joined || from->joined;
        m.iota = longer(s->ir, m.iota, from->iota);
    }
    if (is_whole(n) && (n->op == OP_ADD || n->op == OP_SUB))
        join(s, &m, &s->made[n->in[0]->id], &s->made[n->in[1]->id]);
    return m;
}

/* ---- what reads them ---- */

/* The places of one axis that are the number: the column of a target among scores; else an order, or a distance. */
static void compared(Search *s, const Node *n)
{
    const Made *a = &s->made[n->in[0]->id], *b = &s->made[n->in[1]->id];
    const bool equal = n->op == OP_EQ || n->op == OP_NE;
    const Made *other = a->of ? b : a;
    double number;
    if (!a->of && !b->of)
        return;
    if (a->joined || b->joined || (a->iota && b->iota))
        is_place(s, longer(s->ir, a->iota, b->iota));
    else if (other->iota && equal)
        is_index(s, other->iota);
    else if (other->iota)
        is_place(s, other->iota);
    else if (equal && !node_is_const(n->in[a->of], &number))
        is(s, INTEGER_SAME);
}

static bool compares_whole(const Node *n)
{
    return op_info(n->op)->cls == OC_ELEM && n->type->dtype == DT_BOOL && n->nin == 2 &&
           is_whole(n->in[0]);
}

static void read_by(Search *s, const Node *n)
{
    const OpClass cls = op_info(n->op)->cls;
    const Made *last = n->nin ? &s->made[n->in[n->nin - 1]->id] : NULL;
    if (compares_whole(n))
        compared(s, n);
    else if (cls == OC_GATHER && last && last->of)
        is_index(s, n->in[0]->type->dims[node_int(n, "axis")]);
    else if (cls == OC_SCATTER && last && last->of)
        is_index(s, node_dim(n, "extent"));
    else if (cls == OC_UPDATE && last && last->of) {
        const int64_t axis = node_int(n, "axis");
        is_place(s, n->type->dims[axis]);
        s->out.span = longer(s->ir, s->out.span, n->in[1]->type->dims[axis]);
    } else if (n->op == OP_NIBBLE && s->made[n->in[0]->id].of)
        is(s, INTEGER_WORD);
}

Integers graph_integers(const Graph *g, const Node *leaf, Arena *arena)
{
    const Type *t = leaf->type;
    Search s = {.ir = g->ir, .leaf = leaf, .made = NEW_ARRAY(arena, Made, g->nodes.n)};
    s.out.span = t->rank ? t->dims[t->rank - 1] : dim_const(g->ir, 1);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (n->type->is_tuple)
            continue;
        s.made[i] = carry(&s, n);
        s.made[i].of = s.made[i].of || n == leaf;
        read_by(&s, n);
    }
    if (s.out.use == INTEGER_PLACE &&
        (!s.out.below || dim_hi(g->ir, s.places) < dim_hi(g->ir, s.out.below)))
        s.out.below = s.places;
    return s.out;
}

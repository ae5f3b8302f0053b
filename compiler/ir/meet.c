/* meet.c: whether rows of the batch meet: whether what a pass computes for a row depends on which other rows
 * are in it. Where they do not, a batch may be cut into passes, and sums over rows add up to the same.
 *
 * Axis 0 of every input is the batch. A walk forward notes for each value which of its axes is the
 * batch, which axes it differs along by number (parameters, iota: row 3 of a pass is not row 3 of the batch),
 * or that it is a sum over rows. A sum may be added to a sum and scaled by what is the same in all passes; all
 * else that brings rows together has them meet. Calls are looked into; a loop until what goes round stays
 * as it is. What is not understood counts as meeting. */
#include "ir.h"

#include <math.h>
#include <string.h>

typedef enum Part { ALIKE, ROWS, SUMMED, MEET } Part; /* in the order in which they join */

typedef struct Spread {
    Part part;
    uint32_t axis;   /* ROWS: the batch */
    uint32_t varies; /* ALIKE: bit per axis: it differs along it by number */
    const Node *met; /* MEET: where */
} Spread;

typedef struct Meet {
    Arena *arena;
    Spread **at; /* by id: one, or one for each member of a tuple */
} Meet;

static Spread **walk(Arena *arena, const Graph *g, const Spread *inputs);

static uint32_t members(const Type *t)
{
    return t->is_tuple ? t->nelem : 1;
}

static Spread meets(const Node *n)
{
    return (Spread){.part = MEET, .met = n};
}

static uint32_t all_axes(const Type *t)
{
    return t->is_tuple ? 0 : (1u << t->rank) - 1;
}

/* ---- axes ---- */

enum { FOLDED = IR_MAX_RANK + 1, LOST }; /* no axis: summed up; not to be followed */

/* The batch is the leading part of an axis, behind the same elements. */
static uint32_t reshaped(const Node *n, uint32_t axis)
{
    const Type *from = n->in[0]->type, *to = n->type;
    int64_t before = 1, reached = 1, extent, size;
    for (uint32_t i = 0; i < axis; i++) {
        if (!dim_is_const(from->dims[i], &extent))
            return LOST;
        before *= extent;
    }
    if (!dim_is_const(from->dims[axis], &size))
        return LOST;
    for (uint32_t i = 0; i < to->rank; i++) {
        if (!dim_is_const(to->dims[i], &extent))
            return LOST;
        if (reached == before && (extent > 1 || size == 1))
            return extent % size == 0 || size % extent == 0 ? i : LOST;
        reached *= extent;
    }
    return LOST;
}

/* The axes that share a factor of the elements with one of these. */
static uint32_t reshaped_bits(const Node *n, uint32_t bits)
{
    const Type *from = n->in[0]->type, *to = n->type;
    uint32_t out = 0;
    int64_t step = 1, inner, size, extent;
    for (uint32_t a = from->rank; a-- > 0; step *= size) {
        if (!dim_is_const(from->dims[a], &size))
            return all_axes(to);
        inner = 1;
        for (uint32_t i = to->rank; i-- > 0; inner *= extent) {
            if (!dim_is_const(to->dims[i], &extent))
                return all_axes(to);
            bool meet = inner < step * size && step < inner * extent;
            out |= meet && (bits >> a) & 1 ? 1u << i : 0;
        }
    }
    return out;
}

static uint32_t contracted(const Node *n, uint32_t k, uint32_t axis)
{
    uint32_t from;
    for (uint32_t i = 0; i < n->type->rank; i++)
        if (node_row_axis(n, i, k, &from) == ROW_AXIS && from == axis)
            return i;
    return FOLDED;
}

/* Of x, idx: out = [batch, middle, rows of idx, tail]. Where x is read depends on idx alone. */
static uint32_t gathered(const Node *n, uint32_t k, uint32_t axis)
{
    uint32_t at = (uint32_t)node_int(n, "axis"), batch = (uint32_t)node_int(n, "batch");
    uint32_t rows = n->in[1]->type->rank - batch;
    if (k == 1)
        return axis < batch ? axis : at + axis - batch;
    return axis < at ? axis : axis > at ? axis - 1 + rows : LOST;
}

static uint32_t reduced(const Node *n, uint32_t axis)
{
    const Attr one = {.n = 1, .ints = NULL};
    bool several = strcmp(op_info(n->op)->attrs, "axes:ints") == 0;
    const Attr *axes = several ? node_ints(n, "axes") : &one;
    uint32_t below = 0;
    for (uint32_t i = 0; i < axes->n; i++) {
        int64_t gone = several ? axes->ints[i] : node_int(n, "axis");
        if (gone == axis)
            return n->op == OP_SUM ? FOLDED : LOST;
        below += gone < axis;
    }
    return axis - below;
}

static uint32_t viewed(const Node *n, uint32_t axis)
{
    if (n->op == OP_RESHAPE)
        return reshaped(n, axis);
    if (n->op == OP_EXPAND)
        return (uint32_t)node_ints(n, "axes")->ints[axis];
    if (n->op == OP_PERMUTE) {
        const Attr *perm = node_ints(n, "perm");
        for (uint32_t i = 0; i < perm->n; i++)
            if (perm->ints[i] == axis)
                return i;
        return LOST;
    }
    uint32_t along = (uint32_t)node_int(n, "axis");
    if (axis == along)
        return LOST;
    return axis + (n->op == OP_WINDOW && axis > along);
}

/* Which axis of n an axis of operand k is, or FOLDED or LOST. */
static uint32_t axis_above(const Node *n, uint32_t k, uint32_t axis)
{
    switch (op_info(n->op)->cls) {
    case OC_ELEM:
        return axis;
    case OC_VIEW:
        return viewed(n, axis);
    case OC_GATHER:
        return gathered(n, k, axis);
    case OC_REDUCE:
        return reduced(n, axis);
    case OC_CONTRACT:
        return contracted(n, k, axis);
    case OC_SCAN:
    case OC_SORT:
        return node_int(n, "axis") == axis ? LOST : axis;
    case OC_LEAF:
    case OC_UPDATE:
    case OC_SCATTER:
    case OC_MULTI:
    case OC_LOOP:
    case OC_CALL:
    case OC_TUPLE:
    case OC_GROUP:
        break;
    }
    return LOST;
}

/* ---- one operation ---- */

static Spread leaf(const Node *n)
{
    Spread s = {0};
    if (n->op == OP_STATE)
        s.varies = all_axes(n->type);
    if (n->op == OP_IOTA)
        s.varies = 1u << (uint32_t)node_int(n, "axis");
    return s; /* random numbers belong to rows of the whole batch */
}

/* A sum over the rows of a pass, or of such sums, stays one under what adds up. */
static bool adds_up(const Node *n, const Spread *const *in)
{
    bool linear = n->op == OP_NEG || n->op == OP_CAST || n->op == OP_STOP ||
                  op_info(n->op)->cls == OC_VIEW || n->op == OP_SUM;
    if (linear)
        return true;
    if (n->op == OP_ADD || n->op == OP_SUB)
        return in[0]->part == SUMMED && in[1]->part == SUMMED;
    if (n->op == OP_MUL)
        return in[0]->part == ALIKE || in[1]->part == ALIKE;
    return n->op == OP_DIV && in[1]->part == ALIKE;
}

/* Bits of the result's axes along which it differs because operand k does. */
static uint32_t varies_above(const Node *n, uint32_t k, uint32_t bits)
{
    const Type *t = n->in[k]->type;
    uint32_t out = 0;
    if (bits && n->op == OP_RESHAPE)
        return reshaped_bits(n, bits);
    for (uint32_t i = 0; i < t->rank; i++) {
        bool chosen = n->op == OP_GATHER && k == 0 && node_int(n, "axis") == i;
        if (!((bits >> i) & 1) || chosen)
            continue;
        uint32_t to = axis_above(n, k, i);
        out |= to == LOST ? all_axes(n->type) : to == FOLDED ? 0 : 1u << to;
    }
    return out;
}

/* The axis of the batch in the result, FOLDED, or LOST: operands disagree. IR_MAX_RANK: no operand has it. */
static uint32_t batch_axis(const Node *n, const Spread *const *in)
{
    uint32_t axis = IR_MAX_RANK;
    for (uint32_t k = 0; k < n->nin; k++) {
        if (in[k]->part != ROWS)
            continue;
        uint32_t to = axis_above(n, k, in[k]->axis);
        if (axis != IR_MAX_RANK && axis != to)
            return LOST;
        axis = to;
    }
    return axis;
}

/* Rows that are numbered from 0 in each pass are others in one pass. */
static bool numbered(const Node *n, const Spread *const *in, uint32_t axis)
{
    for (uint32_t k = 0; k < n->nin; k++) {
        if (in[k]->part != ALIKE)
            continue;
        if (axis == FOLDED ? in[k]->varies != 0 && op_info(n->op)->cls == OC_CONTRACT
                           : (varies_above(n, k, in[k]->varies) >> axis) & 1)
            return true;
    }
    return false;
}

static Spread of_operands(const Node *n, const Spread *const *in)
{
    Spread s = {0};
    bool sums = false;
    for (uint32_t k = 0; k < n->nin; k++) {
        if (n->in[k]->type->is_tuple)
            return meets(n);
        if (in[k]->part == MEET)
            return *in[k];
        sums = sums || in[k]->part == SUMMED;
        s.varies |= varies_above(n, k, in[k]->varies);
    }
    uint32_t axis = batch_axis(n, in);
    if (axis == IR_MAX_RANK && !sums)
        return s;
    if (sums)
        return axis == IR_MAX_RANK && adds_up(n, in) ? (Spread){.part = SUMMED} : meets(n);
    if (axis == LOST || numbered(n, in, axis))
        return meets(n);
    return (Spread){.part = axis == FOLDED ? SUMMED : ROWS, .axis = axis == FOLDED ? 0 : axis};
}

/* ---- calls and loops ---- */

static void copy_results(Meet *m, const Node *n, const Graph *body, Spread *const *inside)
{
    Spread *out = m->at[n->id];
    if (body->results.n == 1 && members(n->type) == members(body->results.at[0].node->type))
        memcpy(out, inside[body->results.at[0].node->id], members(n->type) * sizeof *out);
    else
        for (uint32_t i = 0; i < members(n->type) && i < body->results.n; i++)
            out[i] = inside[body->results.at[i].node->id][0];
    for (uint32_t i = 0; i < members(n->type); i++)
        if (out[i].part == MEET)
            out[i].met = n;
}

/* What goes into a call or loop; false: rows meet before or in it. */
static bool go_in(Meet *m, const Node *n, Spread *inputs)
{
    Spread met = {0};
    for (uint32_t k = 0; k < n->nin; k++) {
        inputs[k] = n->in[k]->type->is_tuple ? meets(n) : m->at[n->in[k]->id][0];
        met = inputs[k].part == MEET ? inputs[k] : met;
    }
    for (uint32_t i = 0; met.part == MEET && i < members(n->type); i++)
        m->at[n->id][i] = met;
    return met.part != MEET;
}

static void of_call(Meet *m, const Node *n)
{
    const Graph *body = node_def(n)->body;
    Spread *inputs = NEW_ARRAY(m->arena, Spread, body->inputs.n + (size_t)1);
    if (go_in(m, n, inputs))
        copy_results(m, n, body, walk(m->arena, body, inputs));
}

/* What either may be. */
static bool join(Spread *s, Spread other, const Node *n)
{
    Spread was = *s;
    if (s->part == MEET)
        return false;
    if (other.part == ALIKE && s->part == ALIKE)
        s->varies |= other.varies;
    else if (other.part == ROWS && s->part == ALIKE && !((s->varies >> other.axis) & 1))
        *s = other;
    else if (other.part == ALIKE && s->part == ROWS && !((other.varies >> s->axis) & 1))
        return false;
    else if (other.part != ROWS || s->part != ROWS || other.axis != s->axis)
        *s = meets(n);
    return s->part != was.part || s->varies != was.varies;
}

static Spread slice_of(Spread s, const Node *n)
{
    if (s.part == ROWS && s.axis == 0)
        return meets(n);
    s.axis -= s.part == ROWS;
    s.varies >>= 1;
    return s;
}

static void of_loop(Meet *m, const Node *n)
{
    const Graph *body = node_def(n)->body;
    uint32_t carry = (uint32_t)node_int(n, "carry"), xs = (uint32_t)node_int(n, "xs");
    Spread *inputs = NEW_ARRAY(m->arena, Spread, body->inputs.n + (size_t)1), **inside = NULL;
    if (!go_in(m, n, inputs))
        return;
    for (uint32_t k = 0; k < n->nin; k++) {
        inputs[k] = inputs[k].part == SUMMED ? meets(n) : inputs[k];
        inputs[k] = k >= carry && k < carry + xs ? slice_of(inputs[k], n) : inputs[k];
    }
    for (bool changed = true; changed;) { /* each round raises one of few bits */
        changed = false;
        inside = walk(m->arena, body, inputs);
        for (uint32_t i = 0; i < carry; i++)
            changed = join(&inputs[i], inside[body->results.at[i].node->id][0], n) || changed;
    }
    copy_results(m, n, body, inside);
    for (uint32_t i = 0; i < body->results.n; i++) {
        Spread *s = &m->at[n->id][i];
        *s = s->part == SUMMED ? meets(n) : i < carry ? inputs[i] : *s;
        if (i < carry)
            continue;
        s->axis += s->part == ROWS;
        s->varies = s->part == ALIKE ? s->varies << 1 | 1 : 0;
    }
}

/* ---- the walk ---- */

static void of_tuple(Meet *m, const Node *n)
{
    Spread *out = m->at[n->id];
    if (n->op == OP_GET) {
        *out = m->at[n->in[0]->id][node_int(n, "i")];
        return;
    }
    for (uint32_t i = 0; i < n->nin; i++)
        out[i] = n->in[i]->type->is_tuple ? meets(n) : m->at[n->in[i]->id][0];
}

static void visit(Meet *m, const Node *n)
{
    m->at[n->id] = NEW_ARRAY(m->arena, Spread, members(n->type) + (size_t)1);
    switch (op_info(n->op)->cls) {
    case OC_LEAF:
        *m->at[n->id] = leaf(n);
        return;
    case OC_CALL:
    case OC_GROUP:
        of_call(m, n);
        return;
    case OC_LOOP:
        of_loop(m, n);
        return;
    case OC_TUPLE:
        of_tuple(m, n);
        return;
    case OC_VIEW:
    case OC_ELEM:
    case OC_GATHER:
    case OC_REDUCE:
    case OC_SCAN:
    case OC_SORT:
    case OC_UPDATE:
    case OC_CONTRACT:
    case OC_SCATTER:
    case OC_MULTI:
        break;
    }
    const Spread **in = NEW_ARRAY(m->arena, const Spread *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = m->at[n->in[k]->id];
    *m->at[n->id] = of_operands(n, in);
}

static Spread **walk(Arena *arena, const Graph *g, const Spread *inputs)
{
    Meet m = {.arena = arena, .at = NEW_ARRAY(arena, Spread *, g->nodes.n + 1)};
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        m.at[g->inputs.at[i]->id] = NEW(arena, Spread);
        *m.at[g->inputs.at[i]->id] = inputs[i];
    }
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (!m.at[i])
            visit(&m, g->nodes.at[i]);
    return m.at;
}

/* The rows of a pass that a constant weight counts: it must grow with them. */
static bool counts_rows(const Node *weight, int64_t rows)
{
    double value, count = 1;
    int64_t extent;
    const Node *of = weight->op == OP_SUM ? weight->in[0] : weight;
    for (uint32_t i = 0; of != weight && i < of->type->rank; i++)
        count *= dim_is_const(of->type->dims[i], &extent) ? (double)extent : (double)NAN;
    return node_is_const(of, &value) && fmod(value * count, (double)rows) == 0;
}

const Node *graph_rows_meet(const Graph *g, const RowSums *x)
{
    Arena *arena = arena_new();
    Spread *inputs = NEW_ARRAY(arena, Spread, g->inputs.n + (size_t)1);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Type *t = g->inputs.at[i]->type;
        bool batch = t->rank && dim_equals(t->dims[0], x->rows);
        inputs[i] = batch ? (Spread){.part = ROWS} : meets(g->inputs.at[i]);
    }
    Spread **at = walk(arena, g, inputs);
    const Node *met = g->writes.n ? g->writes.at[0].node : NULL;
    for (uint32_t i = 0; i < x->n && !met; i++) {
        const Spread *sum = at[x->sum[i]->id], *weight = at[x->weight[i]->id];
        const Node *factor = x->factor[i];
        if (factor && at[factor->id]->part != ALIKE)
            met = factor;
        else if (sum->part == MEET || weight->part == MEET)
            met = sum->part == MEET ? sum->met : weight->met;
        else if (weight->part != SUMMED && !counts_rows(x->weight[i], x->rows))
            met = x->sum[i];
    }
    arena_free(arena);
    return met;
}

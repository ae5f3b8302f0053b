/* meet.c: whether rows of the batch meet: whether what a pass computes for a row depends on which other rows
 * are in it. Where they do not, a batch may be cut into passes, and sums over rows add up to the same.
 *
 * Axis 0 of every input is the batch, or the pictures of its rows one behind the other, which a call of `place` brings
 * to their rows. A walk forward notes for each value which of its axes is the
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
    uint32_t axis;   /* ROWS: the batch, or its .. */
    bool pictures;   /* .. pictures */
    uint32_t varies; /* ALIKE: bit per axis: it differs along it by number */
    const Node *met; /* MEET: where */
} Spread;

typedef struct Meet {
    Arena *arena;
    Ir *ir;
    const RowSums *sums;
    Spread **at; /* by id: one, or one for each member of a tuple */
} Meet;

static Spread **walk(const Meet *outer, const Graph *g, const Spread *inputs);

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
static uint32_t reshaped(Ir *ir, const Node *n, uint32_t axis)
{
    const Type *from = n->in[0]->type, *to = n->type;
    const Dim *before = dim_const(ir, 1), *reached = before, *size = from->dims[axis], *part;
    for (uint32_t i = 0; i < axis; i++)
        before = dim_mul(ir, before, from->dims[i]);
    for (uint32_t i = 0; i < to->rank; i++) {
        const Dim *extent = to->dims[i];
        if (reached == before && (!dim_equals(extent, 1) || dim_equals(size, 1)))
            return dim_div(ir, extent, size, &part) || dim_div(ir, size, extent, &part) ? i : LOST;
        reached = dim_mul(ir, reached, extent);
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

static uint32_t viewed(Ir *ir, const Node *n, uint32_t axis)
{
    if (n->op == OP_RESHAPE)
        return reshaped(ir, n, axis);
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
static uint32_t axis_above(Ir *ir, const Node *n, uint32_t k, uint32_t axis)
{
    switch (op_info(n->op)->cls) {
    case OC_ELEM:
        return axis;
    case OC_VIEW:
        return viewed(ir, n, axis);
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
static uint32_t varies_above(Ir *ir, const Node *n, uint32_t k, uint32_t bits)
{
    const Type *t = n->in[k]->type;
    uint32_t out = 0;
    if (bits && n->op == OP_RESHAPE)
        return reshaped_bits(n, bits);
    for (uint32_t i = 0; i < t->rank; i++) {
        bool chosen = n->op == OP_GATHER && k == 0 && node_int(n, "axis") == i;
        if (!((bits >> i) & 1) || chosen)
            continue;
        uint32_t to = axis_above(ir, n, k, i);
        out |= to == LOST ? all_axes(n->type) : to == FOLDED ? 0 : 1u << to;
    }
    return out;
}

/* The axis of the batch, or of its pictures, in the result, FOLDED, or LOST: operands disagree. IR_MAX_RANK: no
 * operand has it. */
static uint32_t batch_axis(Ir *ir, const Node *n, const Spread *const *in, bool *pictures)
{
    uint32_t axis = IR_MAX_RANK;
    for (uint32_t k = 0; k < n->nin; k++) {
        if (in[k]->part != ROWS)
            continue;
        uint32_t to = axis_above(ir, n, k, in[k]->axis);
        if (axis != IR_MAX_RANK && (axis != to || *pictures != in[k]->pictures))
            return LOST;
        axis = to;
        *pictures = in[k]->pictures;
    }
    return axis;
}

/* Rows that are numbered from 0 in each pass are others in one pass. */
static bool numbered(Ir *ir, const Node *n, const Spread *const *in, uint32_t axis)
{
    for (uint32_t k = 0; k < n->nin; k++) {
        if (in[k]->part != ALIKE)
            continue;
        if (axis == FOLDED ? in[k]->varies != 0 && op_info(n->op)->cls == OC_CONTRACT
                           : (varies_above(ir, n, k, in[k]->varies) >> axis) & 1)
            return true;
    }
    return false;
}

static Spread of_operands(Ir *ir, const Node *n, const Spread *const *in)
{
    Spread s = {0};
    bool sums = false, pictures = false;
    for (uint32_t k = 0; k < n->nin; k++) {
        if (n->in[k]->type->is_tuple)
            return meets(n);
        if (in[k]->part == MEET)
            return *in[k];
        sums = sums || in[k]->part == SUMMED;
        s.varies |= varies_above(ir, n, k, in[k]->varies);
    }
    uint32_t axis = batch_axis(ir, n, in, &pictures);
    if (axis == IR_MAX_RANK && !sums)
        return s;
    if (sums)
        return axis == IR_MAX_RANK && adds_up(n, in) ? (Spread){.part = SUMMED} : meets(n);
    if (axis == LOST || numbered(ir, n, in, axis))
        return meets(n);
    if (axis == FOLDED)
        return (Spread){.part = SUMMED};
    return (Spread){.part = ROWS, .axis = axis, .pictures = pictures};
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

/* What is seen in the pictures of rows goes into these rows. */
static bool placed(const Spread *in)
{
    bool rows = in[0].part == ROWS && !in[0].pictures && in[0].axis == 0,
         seen = in[1].part == ROWS && in[1].pictures && in[1].axis == 0,
         at = in[2].part == ROWS && !in[2].pictures && in[2].axis == 0;
    return rows && seen && at;
}

static void of_call(Meet *m, const Node *n)
{
    const Graph *body = node_def(n)->body;
    Spread *inputs = NEW_ARRAY(m->arena, Spread, body->inputs.n + (size_t)1);
    if (!go_in(m, n, inputs))
        return;
    if (m->sums->places && m->sums->places(m->sums->user, n) && placed(inputs))
        m->at[n->id][0] = inputs[0];
    else
        copy_results(m, n, body, walk(m, body, inputs));
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
    else if (other.part != ROWS || s->part != ROWS || other.axis != s->axis ||
             other.pictures != s->pictures)
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
        inside = walk(m, body, inputs);
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
    *m->at[n->id] = of_operands(m->ir, n, in);
}

static Spread **walk(const Meet *outer, const Graph *g, const Spread *inputs)
{
    Meet m = *outer;
    m.at = NEW_ARRAY(m.arena, Spread *, g->nodes.n + 1);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        m.at[g->inputs.at[i]->id] = NEW(m.arena, Spread);
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
        bool pictures = t->rank && x->pictures && t->dims[0] == x->pictures;
        bool batch = pictures || (t->rank && t->dims[0] == x->rows);
        inputs[i] = batch ? (Spread){.part = ROWS, .pictures = pictures} : meets(g->inputs.at[i]);
    }
    const Meet whole = {.arena = arena, .ir = g->ir, .sums = x};
    Spread **at = walk(&whole, g, inputs);
    int64_t rows;
    bool fixed = dim_is_const(x->rows, &rows);
    const Node *met = g->writes.n ? g->writes.at[0].node : NULL;
    for (uint32_t i = 0; i < x->n && !met; i++) {
        const Spread *sum = at[x->sum[i]->id], *weight = at[x->weight[i]->id];
        const Node *factor = x->factor[i];
        if (factor && at[factor->id]->part != ALIKE)
            met = factor;
        else if (sum->part == MEET || weight->part == MEET)
            met = sum->part == MEET ? sum->met : weight->met;
        else if (weight->part != SUMMED && !(fixed && counts_rows(x->weight[i], rows)))
            met = x->sum[i];
    }
    arena_free(arena);
    return met;
}

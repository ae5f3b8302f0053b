/* randgraph.c: random graphs. A pool of values grows by operations applied to random members; shapes
 * are few and small, so that operands that fit are found often. */
#include "randgraph.h"

#include <math.h>

enum { POOL_MAX = 512 };

typedef struct Maker {
    Graph *g;
    TestRand dice;
    const RandGraph *opt;
    const Node *pool[POOL_MAX];
    uint32_t n;
} Maker;

static void keep(Maker *m, const Node *n)
{
    if (n && m->n < POOL_MAX)
        m->pool[m->n++] = n;
}

static const Node *pick(Maker *m)
{
    /* recent values more often, so that graphs grow deep */
    uint32_t from = rand_below(&m->dice, 2) ? 0 : m->n / 2;
    return m->pool[from + rand_below(&m->dice, m->n - from)];
}

static bool is_float_node(const Node *n)
{
    return dtype_is_float(n->type->dtype);
}

static const Node *pick_float(Maker *m)
{
    for (int tries = 0; tries < 32; tries++) {
        const Node *n = pick(m);
        if (is_float_node(n))
            return n;
    }
    return m->pool[0];
}

/* Another value of the same type, or n itself. */
static const Node *pick_like(Maker *m, const Node *n)
{
    for (int tries = 0; tries < 32; tries++) {
        const Node *other = pick(m);
        if (other->type == n->type)
            return other;
    }
    return n;
}

static const Node *constant(Maker *m, const Type *type)
{
    static const double values[] = {0, 1, -1, 2, 0.5, -0.25, 3, 0.1};
    return graph_fill(m->g, type, values[rand_below(&m->dice, COUNT(values))]);
}

/* ---- kinds of operations ---- */

static const Node *make_unary(Maker *m)
{
    static const OpKind smooth[] = {OP_NEG, OP_SIN, OP_COS, OP_TANH, OP_ERF, OP_SIGMOID, OP_STOP};
    static const OpKind rough[] = {OP_ABS, OP_FLOOR, OP_CEIL, OP_ROUND, OP_TRUNC, OP_SIGN};
    const Node *x = pick_float(m);
    if (!m->opt->smooth && rand_below(&m->dice, 4) == 0)
        return graph_unary(m->g, rough[rand_below(&m->dice, COUNT(rough))], x);
    return graph_unary(m->g, smooth[rand_below(&m->dice, COUNT(smooth))], x);
}

/* Products and sums are squashed now and then to keep values tame. */
static const Node *make_binary(Maker *m)
{
    static const OpKind ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX, OP_MIN};
    const Node *a = pick_float(m);
    const Node *b = rand_below(&m->dice, 4) == 0 ? constant(m, a->type) : pick_like(m, a);
    OpKind op = ops[rand_below(&m->dice, m->opt->smooth ? 3 : COUNT(ops))];
    const Node *r =
        rand_below(&m->dice, 2) ? graph_binary(m->g, op, a, b) : graph_binary(m->g, op, b, a);
    return rand_below(&m->dice, 2) ? graph_unary(m->g, OP_TANH, r) : r;
}

static const Node *make_division(Maker *m)
{
    static const double divisors[] = {1, 2, -4, 3, -1, 8};
    const Node *x = pick_float(m);
    double d = divisors[rand_below(&m->dice, COUNT(divisors))];
    return graph_binary(m->g, OP_DIV, x, graph_fill(m->g, x->type, d));
}

static const Node *make_select(Maker *m)
{
    const Node *a = pick_float(m), *b = pick_like(m, a);
    const Node *c = graph_binary(m->g, rand_below(&m->dice, 2) ? OP_LT : OP_LE, pick_like(m, a),
                                 constant(m, a->type));
    if (rand_below(&m->dice, 3) == 0)
        c = graph_unary(m->g, OP_NOT, c);
    if (m->opt->smooth) /* the condition must not depend on what is differentiated */
        c = graph_binary(m->g, OP_LT, constant(m, a->type), constant(m, a->type));
    return graph_select(m->g, c, a, b);
}

static const Node *make_reshape(Maker *m)
{
    const Node *x = pick_float(m);
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0, one = rand_below(&m->dice, x->type->rank + 1);
    if (x->type->rank > 3 || rand_below(&m->dice, 2)) {
        dims[0] = type_count(m->g->ir, x->type);
        return graph_reshape(m->g, x, 1, dims);
    }
    for (uint32_t i = 0; i <= x->type->rank; i++) {
        if (i == one)
            dims[rank++] = dim_const(m->g->ir, 1);
        if (i < x->type->rank)
            dims[rank++] = x->type->dims[i];
    }
    return graph_reshape(m->g, x, rank, dims);
}

static const Node *make_permute(Maker *m)
{
    const Node *x = pick_float(m);
    int64_t perm[IR_MAX_RANK];
    for (uint32_t i = 0; i < x->type->rank; i++)
        perm[i] = i;
    for (uint32_t i = x->type->rank; i-- > 1;) {
        uint32_t k = rand_below(&m->dice, i + 1);
        int64_t t = perm[i];
        perm[i] = perm[k];
        perm[k] = t;
    }
    return graph_permute(m->g, x, perm);
}

static const Node *make_expand(Maker *m)
{
    const Node *x = pick_float(m);
    if (x->type->rank > 3)
        return NULL;
    const Dim *dims[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK];
    uint32_t at = rand_below(&m->dice, x->type->rank + 1);
    for (uint32_t i = 0, k = 0; i <= x->type->rank; i++) {
        if (i == at) {
            dims[i] = dim_const(m->g->ir, 2 + rand_below(&m->dice, 3));
            continue;
        }
        axes[k] = i;
        dims[i] = x->type->dims[k++];
    }
    return graph_expand(m->g, x, x->type->rank + 1, dims, axes);
}

static const Node *make_window(Maker *m)
{
    const Node *x = pick_float(m);
    int64_t extent;
    if (x->type->rank == 0)
        return NULL;
    uint32_t axis = rand_below(&m->dice, x->type->rank);
    if (!dim_is_const(x->type->dims[axis], &extent) || extent > 12)
        return NULL;
    Ir *ir = m->g->ir;
    uint32_t kind = rand_below(&m->dice, 3);
    if (kind == 0)
        return graph_pad(m->g, x, axis, dim_const(ir, rand_below(&m->dice, 2)),
                         dim_const(ir, rand_below(&m->dice, 3)));
    if (kind == 1)
        return graph_concat(m->g, (const Node *const[]){x, pick_like(m, x)}, 2, axis);
    uint32_t start = rand_below(&m->dice, (uint32_t)extent);
    return graph_slice(m->g, x, axis, dim_const(ir, start), dim_const(ir, extent - start));
}

static const Node *make_fold(Maker *m)
{
    static const OpKind ops[] = {OP_SUM, OP_SUM, OP_AMAX, OP_AMIN, OP_PROD};
    const Node *x = pick_float(m);
    int64_t axes[IR_MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->type->rank; i++)
        if (rand_below(&m->dice, 2))
            axes[n++] = i;
    OpKind op = ops[rand_below(&m->dice, m->opt->smooth ? 2 : COUNT(ops))];
    const Node *r = graph_reduce(m->g, op, x, axes, n);
    return graph_unary(m->g, OP_TANH, r);
}

/* Contracts the first axes of equal extent. */
static const Node *make_dot(Maker *m)
{
    const Node *a = pick_float(m), *b = pick_float(m);
    for (uint32_t i = 0; i < a->type->rank; i++)
        for (uint32_t k = 0; k < b->type->rank; k++) {
            if (a->type->dims[i] != b->type->dims[k] || a->type->rank + b->type->rank > 6)
                continue;
            DotAxes d = {.ncontract = 1, .a_contract = {i}, .b_contract = {k}};
            return graph_unary(m->g, OP_TANH, graph_dot(m->g, a, b, &d));
        }
    return NULL;
}

static const Node *make_gather(Maker *m)
{
    const Node *x = pick_float(m), *idx = NULL;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->pool[i]->type->dtype == DT_I32)
            idx = m->pool[i];
    if (!idx || x->type->rank == 0 || x->type->rank > 3)
        return NULL;
    return graph_gather(m->g, x, idx, rand_below(&m->dice, x->type->rank), 0);
}

static const Node *make_cast(Maker *m)
{
    const Node *x = pick_float(m);
    if (m->opt->smooth)
        return NULL;
    const Node *i = graph_cast(m->g, rand_below(&m->dice, 2) ? DT_I32 : DT_BOOL, x);
    return graph_cast(m->g, m->opt->dtype, i);
}

/* ---- graphs ---- */

typedef const Node *(*MakeFn)(Maker *m);

static const MakeFn makers[] = {make_unary,  make_binary,  make_binary, make_binary,  make_division,
                                make_select, make_reshape, make_expand, make_permute, make_window,
                                make_fold,   make_dot,     make_gather, make_cast};

static void add_input(Maker *m, DType dtype, uint32_t rank, const int64_t *extent)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = dim_const(m->g->ir, extent[i]);
    Sym name = sym_printf(m->g->ir->syms, "x%u", m->n);
    keep(m, graph_input(m->g, name, type_tensor(m->g->ir, dtype, rank, dims)));
}

static bool too_large(Ir *ir, const Node *n)
{
    int64_t count;
    return n->type->rank > 5 || !dim_is_const(type_count(ir, n->type), &count) || count > 4096;
}

Graph *randgraph(Ir *ir, Arena *arena, const RandGraph *options)
{
    Maker m = {.g = graph_new(ir, arena, sym(ir->syms, "random")),
               .dice = {options->seed},
               .opt = options};
    DType dtype = options->dtype;
    add_input(&m, dtype, 2, (const int64_t[]){3, 4});
    add_input(&m, dtype, 2, (const int64_t[]){3, 4});
    add_input(&m, dtype, 2, (const int64_t[]){4, 5});
    add_input(&m, dtype, 1, (const int64_t[]){4});
    add_input(&m, dtype, 1, (const int64_t[]){5});
    add_input(&m, dtype, 0, NULL);
    add_input(&m, DT_I32, 1, (const int64_t[]){3});
    for (uint32_t i = 0; i < options->nodes; i++) {
        const Node *n = makers[rand_below(&m.dice, COUNT(makers))](&m);
        if (n && !too_large(ir, n))
            keep(&m, n);
    }
    uint32_t *uses = graph_use_counts(m.g, arena);
    uint32_t left = options->results ? options->results : 1;
    for (uint32_t i = m.n; i-- > 0 && left > 0;) {
        if (uses[m.pool[i]->id] > 0 || m.pool[i]->nin == 0)
            continue;
        graph_result(m.g, sym_printf(ir->syms, "r%u", left), m.pool[i]);
        left--;
    }
    if (m.g->results.n == 0)
        graph_result(m.g, sym(ir->syms, "r0"), m.pool[m.n - 1]);
    return m.g;
}

/* ---- values ---- */

Value **randgraph_inputs(const Graph *g, Arena *arena, uint64_t seed)
{
    TestRand r = {seed};
    Value **in = NEW_ARRAY(arena, Value *, g->inputs.n + 1);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Type *t = g->inputs.at[i]->type;
        in[i] = value_new(arena, t, NULL);
        for (int64_t k = 0; k < in[i]->count; k++)
            in[i]->at[k] = dtype_is_float(t->dtype) ? (double)(float)rand_range(&r, -1, 1)
                           : t->dtype == DT_BOOL    ? rand_below(&r, 2)
                                                    : rand_below(&r, 5);
    }
    return in;
}

Value **randgraph_run(const Graph *g, Arena *arena, Value *const *inputs)
{
    Value **out = NEW_ARRAY(arena, Value *, g->results.n + 1);
    Value **writes = NEW_ARRAY(arena, Value *, g->writes.n + 1);
    InterpBinding b = {.inputs = inputs};
    interp_run(g, arena, &b, out, writes);
    return out;
}

static double distance(double a, double b)
{
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b))
        return HUGE_VAL;
    return fabs(a - b) / (fabs(b) > 1 ? fabs(b) : 1);
}

double value_distance(const Value *a, const Value *b)
{
    if (a->rank != b->rank || a->count != b->count)
        return HUGE_VAL;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return HUGE_VAL;
    double worst = 0;
    for (int64_t i = 0; i < a->count; i++) {
        double d = distance(a->at[i], b->at[i]);
        worst = d > worst ? d : worst;
    }
    return worst;
}

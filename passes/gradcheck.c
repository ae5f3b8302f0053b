/* gradcheck.c: derivatives against central differences in f64.
 *
 * z = sum(w * y) over all float results y with random weights w. For each float operand x and a random
 * direction v, (z(x + h v) - z(x - h v)) / 2h is compared with <dz/dx, v>, which the graph of autodiff
 * gives. One direction sees every element: a wrong one stays hidden only where it is orthogonal to v.
 *
 * The bound is derived: |D(h) - D(2h)| is three times the error of truncation of D(h), and rounding is
 * that of the sums, over the step. Where a kink (max, abs) lies within a step the estimate is none, so
 * a difference counts when it is there at several points, with smaller and smaller steps.
 *
 * What goes through `stop` is held at its value at the point: it has no derivative on purpose. */
#include "gradcheck.h"
#include "internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { POINTS = 3 };

/* What the interpreter is asked to do for one operation, in evaluated elements and flops. */
#define WORK_LIMIT 5e7

/* ---- numbers ---- */

static double uniform(uint64_t *state, double lo, double hi)
{
    *state = hash_mix(*state, 1);
    return lo + (hi - lo) * (double)(*state >> 11) / (double)(UINT64_C(1) << 53);
}

static void fill(Value *v, uint64_t *state, double lo, double hi)
{
    DKind kind = dtype_info(v->type->dtype)->kind;
    for (int64_t i = 0; i < v->count; i++) {
        double x = uniform(state, 0, 1);
        v->at[i] = kind == DK_FLOAT     ? lo + (hi - lo) * x
                   : kind == DK_BOOLEAN ? x < 0.7
                                        : floor(4 * x);
    }
}

/* ---- z and its derivative ---- */

typedef struct Probe {
    PassCx *cx;
    Arena *arena; /* of one point */
    const Graph *forward, *backward;
    const Graph *frozen; /* gives the last inputs of forward at a point */
    const int64_t *syms;
    uint32_t nx;         /* operands: the first inputs; the weights follow, then what is frozen */
    const uint32_t *wrt; /* by operand: result number of its gradient + 1, or 0 */
    Value **in;
} Probe;

static const Node *sum_all(Graph *g, OpKind op, const Node *x)
{
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < x->type->rank; i++)
        axes[i] = i;
    return x->type->rank ? graph_reduce(g, op, x, axes, x->type->rank) : x;
}

/* Appends z and sum(|w * y|) for the results of g; false where no result is a float. */
static bool append_sum(Graph *g, const Node **z, const Node **magnitude)
{
    uint32_t n = g->results.n;
    *z = *magnitude = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const Node *y = g->results.at[i].node;
        if (!dtype_is_float(y->type->dtype))
            continue;
        const Type *wide = type_with_dtype(g->ir, y->type, DT_F64);
        const Node *w = graph_input(g, sym(g->ir->syms, "w"), wide);
        const Node *wy = graph_binary(g, OP_MUL, w, graph_cast(g, DT_F64, y));
        const Node *sum = sum_all(g, OP_SUM, wy);
        const Node *size = sum_all(g, OP_SUM, graph_unary(g, OP_ABS, wy));
        *z = *z ? graph_binary(g, OP_ADD, *z, sum) : sum;
        *magnitude = *magnitude ? graph_binary(g, OP_ADD, *magnitude, size) : size;
    }
    return *z != NULL;
}

static double on_slot(void *user, const char *name)
{
    UNUSED(user);
    return strcmp(name, "step") == 0 || strcmp(name, "first") == 0 ? 1 : 0;
}

static Value **run(const Probe *p, Arena *arena, const Graph *g)
{
    Value **results = NEW_ARRAY(arena, Value *, g->results.n + 1);
    InterpBinding b = {.sym_values = p->syms, .inputs = p->in, .slot = on_slot};
    interp_run(g, arena, &b, results, NULL);
    return results;
}

/* ---- one operand at one point ---- */

typedef struct Step {
    const double *v; /* the direction */
    double *x, *at;  /* the operand's elements; where it is */
    int64_t n;
} Step;

/* (z(x + h v) - z(x - h v)) / 2h, and the bound of its rounding. */
static double difference(const Probe *p, const Step *s, double h, double *rounding)
{
    double z[2], size = 0;
    for (int side = 0; side < 2; side++) {
        Arena *arena = arena_new();
        for (int64_t i = 0; i < s->n; i++)
            s->x[i] = s->at[i] + (side ? -h : h) * s->v[i];
        Value **r = run(p, arena, p->forward);
        z[side] = r[0]->at[0];
        size += fabs(r[1]->at[0]);
        arena_free(arena);
    }
    memcpy(s->x, s->at, (size_t)s->n * sizeof *s->x);
    *rounding = 64 * DBL_EPSILON * size / (2 * h);
    return (z[0] - z[1]) / (2 * h);
}

static GradVerdict check_operand(const Probe *p, uint32_t k, const Value *dx, double h,
                                 double *relative)
{
    Value *x = p->in[k];
    uint64_t seed = 77 + k;
    double *v = NEW_ARRAY(p->arena, double, x->count + 1), got = 0, size = 0;
    Step s = {.v = v, .x = x->at, .n = x->count};
    s.at = NEW_ARRAY(p->arena, double, x->count + 1);
    memcpy(s.at, x->at, (size_t)x->count * sizeof *s.at);
    for (int64_t i = 0; i < x->count; i++) {
        v[i] = uniform(&seed, -1, 1);
        double term = v[i] * dx->at[i];
        got += term;
        size += fabs(term);
    }
    double round1, round2;
    double near = difference(p, &s, h, &round1), far = difference(p, &s, 2 * h, &round2);
    double bound = fabs(near - far) + round1 + round2 + 64 * DBL_EPSILON * size;
    if (!isfinite(got) || !isfinite(near) || !isfinite(far))
        return GRAD_NOT_FINITE;
    *relative = fabs(got - near) / fmax(size, DBL_MIN);
    return fabs(got - near) <= bound ? GRAD_AGREES : GRAD_DIFFERS;
}

static GradVerdict check_point(Probe *p, int point, bool positive, GradFinding *out)
{
    uint64_t seed = 1000 + (uint64_t)point;
    double h = 1e-5 * pow(0.1, point);
    GradVerdict verdict = GRAD_AGREES;
    p->arena = arena_new();
    p->in = NEW_ARRAY(p->arena, Value *, p->forward->inputs.n + 1);
    uint32_t given = p->frozen->inputs.n;
    for (uint32_t k = 0; k < given; k++) {
        p->in[k] = value_new(p->arena, p->forward->inputs.at[k]->type, p->syms);
        fill(p->in[k], &seed, positive ? 0.2 : -1.5, positive ? 1.8 : 1.5);
    }
    Value **stops = run(p, p->arena, p->frozen);
    for (uint32_t k = 0; k < p->frozen->results.n; k++)
        p->in[given + k] = stops[k];
    Value **dx = run(p, p->arena, p->backward);
    for (uint32_t k = 0; k < p->nx && verdict == GRAD_AGREES; k++) {
        if (!p->wrt[k])
            continue;
        verdict = check_operand(p, k, dx[p->wrt[k] - 1], h, &out->relative);
        out->operand = node_sym(p->forward->inputs.at[k], "name");
    }
    arena_free(p->arena);
    return verdict;
}

/* Points until one agrees; the numbers are positive when others give no numbers. */
static GradVerdict check_points(Probe *p, GradFinding *out)
{
    GradVerdict verdict = GRAD_AGREES;
    for (int positive = 0; positive < 2; positive++) {
        for (int point = 0; point < POINTS; point++) {
            verdict = check_point(p, point, positive, out);
            if (verdict == GRAD_AGREES)
                return verdict;
        }
        if (verdict == GRAD_DIFFERS)
            break;
    }
    return verdict;
}

/* ---- a graph ---- */

static bool without_vjp(PassCx *cx, const Def *def)
{
    UNUSED(cx);
    return def->kind == DEF_COMPOSITE && !def->vjp;
}

/* Small extents for the symbols that are left. */
static int64_t *small_sizes(PassCx *cx)
{
    int64_t *at = NEW_ARRAY(cx->arena, int64_t, dim_sym_count(cx->ir) + 1);
    for (uint32_t i = 0; i < dim_sym_count(cx->ir); i++) {
        const DimSym *s = dim_sym_at(cx->ir, i);
        int64_t step = s->divisor > 0 ? s->divisor : 1, n = (s->lo + step - 1) / step * step;
        while (n < 3 && n + step <= s->hi)
            n += step;
        at[i] = n;
    }
    return at;
}

typedef struct Freeze {
    VEC(const Node *) stops; /* of the source, in the order of the inputs that replace them */
    Arena *arena;
} Freeze;

static const Node *freeze_node(Rewrite *rw, const Node *n, const Node *const *in)
{
    Freeze *f = rw->user;
    UNUSED(in);
    if (!op_info(n->op)->stops)
        return NULL;
    VEC_PUSH(f->arena, &f->stops, n);
    return graph_input(rw->out, sym(rw->out->ir->syms, "stop"), n->type);
}

/* z where nothing flows through `stop` as inputs, and what these inputs are at a point. */
static const Graph *freeze(PassCx *cx, Graph *plain, const Graph **frozen)
{
    Freeze f = {.arena = cx->arena};
    Graph *forward = graph_rewrite(plain, cx->arena, freeze_node, &f);
    plain->results.n = 0;
    for (uint32_t i = 0; i < f.stops.n; i++)
        graph_result(plain, sym(cx->ir->syms, "stop"), f.stops.at[i]);
    *frozen = plain;
    return forward;
}

static bool with_sum(PassCx *cx, Graph *g)
{
    const Node *z, *magnitude;
    if (!append_sum(g, &z, &magnitude))
        return false;
    g->results.n = 0;
    graph_result(g, sym(cx->ir->syms, "z"), z);
    graph_result(g, sym(cx->ir->syms, "size"), magnitude);
    return true;
}

/* Puts dz/dx in the place of the results; result[k]: 1 + the number of that of input k, 0: none. */
static bool differentiate(PassCx *cx, Graph *g, uint32_t n, uint32_t *result)
{
    const Node *z = g->results.at[0].node;
    const Node **wrt = NEW_ARRAY(cx->arena, const Node *, n + 1);
    const Node **dx = NEW_ARRAY(cx->arena, const Node *, n + 1);
    uint32_t nwrt = 0;
    for (uint32_t k = 0; k < n; k++)
        if (dtype_is_float(g->inputs.at[k]->type->dtype))
            wrt[nwrt++] = g->inputs.at[k];
    g->results.n = 0;
    AutodiffIn in = {z, graph_fill(g, z->type, 1), wrt, nwrt};
    if (!autodiff_append(cx, g, &in, dx))
        return false;
    for (uint32_t k = 0, j = 0; k < n; k++) {
        if (!dtype_is_float(g->inputs.at[k]->type->dtype) || !dx[j++])
            continue;
        graph_result(g, sym(cx->ir->syms, "dx"), dx[j - 1]);
        result[k] = g->results.n;
    }
    return true;
}

GradVerdict gradcheck_graph(PassCx *cx, const Graph *g, GradFinding *out)
{
    Graph *plain = inline_calls(cx, g, inline_all);
    Graph *backward = inline_calls(cx, g, without_vjp);
    uint32_t *result = NEW_ARRAY(cx->arena, uint32_t, g->inputs.n + 1);
    if (!with_sum(cx, plain) || !with_sum(cx, backward) ||
        !differentiate(cx, backward, g->inputs.n, result))
        return GRAD_AGREES; /* nothing to compare, or autodiff has said why not */
    Probe p = {
        .cx = cx, .backward = backward, .syms = small_sizes(cx), .nx = g->inputs.n, .wrt = result};
    p.forward = freeze(cx, plain, &p.frozen);
    return check_points(&p, out);
}

/* ---- an entry ---- */

/* The node alone, on inputs of its operands' types; constants stay. */
static Graph *graph_of(PassCx *cx, const Node *n)
{
    Graph *g = graph_new(cx->ir, cx->arena, sym(cx->ir->syms, "alone"));
    const Node **in = NEW_ARRAY(cx->arena, const Node *, n->nin + 1);
    const Def *def = op_info(n->op)->cls == OC_CALL ? node_def(n) : NULL;
    for (uint32_t k = 0; k < n->nin; k++) {
        double value;
        Sym name = def ? node_sym(def->body->inputs.at[k], "name")
                       : sym_printf(cx->ir->syms, "operand %u", k + 1);
        in[k] = node_is_const(n->in[k], &value) ? graph_fill(g, n->in[k]->type, value)
                                                : graph_input(g, name, n->in[k]->type);
    }
    const Node *y = graph_copy_node(g, n, in);
    uint32_t nresult = n->type->is_tuple ? n->type->nelem : 1;
    nresult = def && def->nvisible < nresult ? def->nvisible : nresult;
    for (uint32_t i = 0; i < nresult; i++)
        graph_result(g, sym_printf(cx->ir->syms, "y%u", i),
                     n->type->is_tuple ? graph_get(g, y, i) : y);
    return g;
}

static double elements(const Ir *ir, const Type *t)
{
    double n = 1;
    for (uint32_t k = 0; !t->is_tuple && k < t->rank; k++)
        n *= (double)dim_hi(ir, t->dims[k]);
    return n;
}

/* What the interpreter does for it, in elements and flops. */
static double work_of(PassCx *cx, const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    double work = elements(cx->ir, n->type);
    for (uint32_t k = 0; k < n->nin; k++)
        work += elements(cx->ir, n->in[k]->type);
    if (cls == OC_CONTRACT)
        work += graph_flops(graph_of(cx, n));
    const Graph *body = cls == OC_CALL || cls == OC_LOOP ? node_def(n)->body : NULL;
    double rounds = 1;
    if (cls == OC_LOOP)
        rounds = (double)dim_hi(cx->ir, node_dim(n, "length"));
    for (uint32_t i = 0; body && i < body->nodes.n; i++)
        work += rounds * work_of(cx, body->nodes.at[i]);
    return work;
}

static bool has_float(const Node *n)
{
    bool in = false;
    for (uint32_t k = 0; k < n->nin; k++)
        in = in || n->in[k]->type->is_tuple || dtype_is_float(n->in[k]->type->dtype);
    return in && (n->type->is_tuple || dtype_is_float(n->type->dtype));
}

typedef struct Smallest {
    const Node *node;
    double work;
} Smallest;

typedef struct Census {
    PassCx *cx;
    Map *known; /* name -> 1 + index */
    VEC(Smallest) all;
} Census;

/* Composites of one name that have another number of nodes are others: what functions they are given
 * (masks, scores) is part of their bodies. */
static uint64_t key_of(const Node *n)
{
    if (op_info(n->op)->cls != OC_CALL)
        return hash_text(op_info(n->op)->name) | 1;
    const Def *def = node_def(n);
    return hash_mix(hash_text(def->name), def->body->nodes.n) | 1;
}

static void take_census(Census *c, const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        OpClass cls = op_info(n->op)->cls;
        if (!n->nin || cls == OC_TUPLE || !has_float(n) || !autodiff_flows(n->op))
            continue;
        double work = work_of(c->cx, n);
        uintptr_t at = (uintptr_t)map_get(c->known, key_of(n));
        if (!at) {
            VEC_PUSH(c->cx->arena, &c->all, ((Smallest){n, work}));
            map_put(c->known, key_of(n), (void *)(uintptr_t)c->all.n);
        } else if (work < c->all.at[at - 1].work) {
            c->all.at[at - 1] = (Smallest){n, work};
        }
        if (cls == OC_CALL && !node_def(n)->vjp && !at)
            take_census(c, node_def(n)->body);
    }
}

void gradcheck_entry(PassCx *cx, const Graph *entry, GradFindings *out)
{
    Census c = {.cx = cx, .known = map_new(cx->arena)};
    take_census(&c, entry);
    for (uint32_t i = 0; i < c.all.n; i++) {
        const Node *n = c.all.at[i].node;
        bool call = op_info(n->op)->cls == OC_CALL;
        GradFinding f = {.name = call ? node_def(n)->name : op_info(n->op)->name, .node = n};
        f.verdict = c.all.at[i].work > WORK_LIMIT ? GRAD_TOO_LARGE
                                                  : gradcheck_graph(cx, graph_of(cx, n), &f);
        VEC_PUSH(cx->arena, out, f);
    }
}

/* gradcheck.c: derivatives against central differences in f64.
 *
 * z = sum(w * y) over all float results y with random weights w. For each float operand x and a random
 * direction v, (z(x + h v) - z(x - h v)) / 2h is compared with <dz/dx, v>, which the graph of autodiff
 * gives. One direction sees every element: a wrong one stays hidden only where it is orthogonal to v. Of
 * a whole program one direction goes through all operands at once: five evaluations, however many there are.
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
    bool joint;          /* one direction through all operands */
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

/* ---- one direction at one point ---- */

/* Through the operands first .. end that have a gradient. */
typedef struct Step {
    uint32_t first, end;
    double **v, **at; /* by operand: the direction; where it is */
} Step;

static Step step_new(const Probe *p, uint32_t first, uint32_t end)
{
    Step s = {.first = first, .end = end};
    s.v = NEW_ARRAY(p->arena, double *, p->nx + 1);
    s.at = NEW_ARRAY(p->arena, double *, p->nx + 1);
    for (uint32_t k = first; k < end; k++) {
        const Value *x = p->in[k];
        uint64_t seed = 77 + k;
        if (!p->wrt[k])
            continue;
        s.v[k] = NEW_ARRAY(p->arena, double, x->count + 1);
        s.at[k] = COPY_ARRAY(p->arena, double, x->at, x->count);
        for (int64_t i = 0; i < x->count; i++)
            s.v[k][i] = uniform(&seed, -1, 1);
    }
    return s;
}

static void move_by(const Probe *p, const Step *s, double h)
{
    for (uint32_t k = s->first; k < s->end; k++)
        for (int64_t i = 0; p->wrt[k] && i < p->in[k]->count; i++)
            p->in[k]->at[i] = s->at[k][i] + h * s->v[k][i];
}

/* (z(x + h v) - z(x - h v)) / 2h, and the bound of its rounding. */
static double difference(const Probe *p, const Step *s, double h, double *rounding)
{
    double z[2], size = 0;
    for (int side = 0; side < 2; side++) {
        Arena *arena = arena_new();
        move_by(p, s, side ? -h : h);
        Value **r = run(p, arena, p->forward);
        z[side] = r[0]->at[0];
        size += fabs(r[1]->at[0]);
        arena_free(arena);
    }
    move_by(p, s, 0);
    *rounding = 64 * DBL_EPSILON * size / (2 * h);
    return (z[0] - z[1]) / (2 * h);
}

static GradVerdict check_direction(const Probe *p, const Step *s, Value *const *dx, double h,
                                   GradFinding *out)
{
    double got = 0, size = 0;
    for (uint32_t k = s->first; k < s->end; k++)
        for (int64_t i = 0; p->wrt[k] && i < p->in[k]->count; i++) {
            double term = s->v[k][i] * dx[p->wrt[k] - 1]->at[i];
            got += term;
            size += fabs(term);
        }
    double round1, round2;
    double near = difference(p, s, h, &round1), far = difference(p, s, 2 * h, &round2);
    double bound = fabs(near - far) + round1 + round2 + 64 * DBL_EPSILON * size;
    if (!isfinite(got) || !isfinite(near) || !isfinite(far))
        return GRAD_NOT_FINITE;
    out->relative = fabs(got - near) / fmax(size, DBL_MIN);
    out->bound = bound / fmax(size, DBL_MIN);
    return fabs(got - near) <= bound ? GRAD_AGREES : GRAD_DIFFERS;
}

static GradVerdict check_directions(const Probe *p, Value *const *dx, double h, GradFinding *out)
{
    GradVerdict verdict = GRAD_AGREES;
    if (p->joint) {
        Step all = step_new(p, 0, p->nx);
        out->operand = "one of its parameters";
        return check_direction(p, &all, dx, h, out);
    }
    for (uint32_t k = 0; k < p->nx && verdict == GRAD_AGREES; k++) {
        if (!p->wrt[k])
            continue;
        Step one = step_new(p, k, k + 1);
        verdict = check_direction(p, &one, dx, h, out);
        out->operand = node_sym(p->forward->inputs.at[k], "name");
    }
    return verdict;
}

/* Numbers of a whole program are such that its layers keep their size. */
static double scale_of(const Probe *p, const Value *v)
{
    bool matrix = v->rank > 1 && v->count > 0 && v->dim[0] > 0;
    return p->joint && matrix ? sqrt((double)v->dim[0] / (double)v->count) : 1;
}

static GradVerdict check_point(Probe *p, int point, bool positive, GradFinding *out)
{
    uint64_t seed = 1000 + (uint64_t)point;
    double h = 1e-5 * pow(0.1, point);
    p->arena = arena_new();
    p->in = NEW_ARRAY(p->arena, Value *, p->forward->inputs.n + 1);
    uint32_t given = p->frozen->inputs.n;
    for (uint32_t k = 0; k < given; k++) {
        p->in[k] = value_new(p->arena, p->forward->inputs.at[k]->type, p->syms);
        double scale = scale_of(p, p->in[k]);
        fill(p->in[k], &seed, (positive ? 0.2 : -1.5) * scale, (positive ? 1.8 : 1.5) * scale);
    }
    Value **stops = run(p, p->arena, p->frozen);
    for (uint32_t k = 0; k < p->frozen->results.n; k++)
        p->in[given + k] = stops[k];
    Value **dx = run(p, p->arena, p->backward);
    GradVerdict verdict = check_directions(p, dx, h, out);
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

int64_t *gradcheck_sizes(PassCx *cx)
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

static GradVerdict check_graph(PassCx *cx, const Graph *g, bool joint, GradFinding *out)
{
    Graph *plain = inline_calls(cx, g, inline_all);
    Graph *backward = inline_calls(cx, g, without_vjp);
    uint32_t *result = NEW_ARRAY(cx->arena, uint32_t, g->inputs.n + 1);
    if (!with_sum(cx, plain) || !with_sum(cx, backward) ||
        !differentiate(cx, backward, g->inputs.n, result))
        return GRAD_AGREES; /* nothing to compare, or autodiff has said why not */
    Probe p = {.cx = cx,
               .backward = backward,
               .syms = gradcheck_sizes(cx),
               .nx = g->inputs.n,
               .wrt = result,
               .joint = joint};
    p.forward = freeze(cx, plain, &p.frozen);
    return check_points(&p, out);
}

GradVerdict gradcheck_graph(PassCx *cx, const Graph *g, GradFinding *out)
{
    return check_graph(cx, g, false, out);
}

GradVerdict gradcheck_joint(PassCx *cx, const Graph *g, GradFinding *out)
{
    return check_graph(cx, g, true, out);
}

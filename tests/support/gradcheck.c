/* gradcheck.c: central differences with an error estimate. */
#include "gradcheck.h"

#include <float.h>
#include <math.h>

typedef struct Check {
    PassCx *cx;
    const Graph *g; /* forward only */
    Value *const *in;
    const double *w; /* one weight per element of the result */
} Check;

/* sum(w * y) and the sum of its magnitudes. */
static double weighted(const Check *c, double *magnitude)
{
    Arena *arena = arena_new();
    const Value *y = randgraph_run(c->g, arena, c->in)[0];
    double sum = 0;
    for (int64_t i = 0; i < y->count; i++) {
        sum += c->w[i] * y->at[i];
        *magnitude += fabs(c->w[i] * y->at[i]);
    }
    arena_free(arena);
    return sum;
}

static double difference(const Check *c, double *x, double h, double *rounding)
{
    double at = *x, magnitude = 0;
    *x = at + h;
    double high = weighted(c, &magnitude), step = *x;
    *x = at - h;
    double low = weighted(c, &magnitude);
    step -= *x;
    *x = at;
    *rounding = 16 * DBL_EPSILON * magnitude / step;
    return (high - low) / step;
}

static const char *check_input(const Check *c, uint32_t k, const Value *dx)
{
    Value *x = c->in[k];
    double h = 1e-5, rounding, rounding2;
    for (int64_t i = 0; i < x->count; i++) {
        double near = difference(c, &x->at[i], h, &rounding);
        double far = difference(c, &x->at[i], 2 * h, &rounding2);
        double got = dx ? dx->at[i] : 0;
        double bound = fabs(near - far) + rounding + rounding2 + 1e-12 * fabs(got);
        if (!(fabs(got - near) <= bound))
            return arena_printf(c->cx->arena,
                                "input %u element %lld: gradient %.17g, difference %.17g, bound %g",
                                k, (long long)i, got, near, bound);
    }
    return NULL;
}

/* The gradients of all float inputs at the checked point; NULL entries where there is none. */
static Value **gradients(const Check *c, const Value *w)
{
    Arena *arena = c->cx->arena;
    Graph *g = graph_rewrite(c->g, arena, NULL, NULL);
    uint32_t n = c->g->inputs.n, nwrt = 0;
    const Node *y = g->results.at[0].node;
    const Node **wrt = NEW_ARRAY(arena, const Node *, n), **dx = NEW_ARRAY(arena, const Node *, n);
    for (uint32_t k = 0; k < n; k++)
        if (dtype_is_float(g->inputs.at[k]->type->dtype))
            wrt[nwrt++] = g->inputs.at[k];
    const Node *dy = graph_input(g, sym(g->ir->syms, "dy"), y->type);
    AutodiffIn in = {.y = y, .dy = dy, .wrt = wrt, .nwrt = nwrt};
    if (!autodiff_append(c->cx, g, &in, dx))
        return NULL;
    for (uint32_t k = 0; k < nwrt; k++)
        if (dx[k])
            graph_result(g, sym(g->ir->syms, "dx"), dx[k]);
    graph_verify(g, NULL);
    Value **bound = NEW_ARRAY(arena, Value *, n + 1);
    for (uint32_t k = 0; k < n; k++)
        bound[k] = c->in[k];
    bound[n] = COPY_ARRAY(arena, Value, w, 1);
    Value **results = randgraph_run(g, arena, bound);
    Value **out = NEW_ARRAY(arena, Value *, n);
    uint32_t next = c->g->results.n;
    for (uint32_t k = 0, j = 0; k < n; k++)
        if (dtype_is_float(g->inputs.at[k]->type->dtype) && dx[j++])
            out[k] = results[next++];
    return out;
}

const char *gradcheck(PassCx *cx, const Graph *g, Value *const *inputs, uint64_t seed)
{
    TestRand r = {seed};
    Value *w = value_new(cx->arena, g->results.at[0].node->type, NULL);
    for (int64_t i = 0; i < w->count; i++)
        w->at[i] = rand_range(&r, -1, 1);
    Check c = {.cx = cx, .g = g, .in = inputs, .w = w->at};
    Value **dx = gradients(&c, w);
    if (!dx)
        return "no gradient";
    for (uint32_t k = 0; k < g->inputs.n; k++) {
        if (!dtype_is_float(g->inputs.at[k]->type->dtype))
            continue;
        const char *why = check_input(&c, k, dx[k]);
        if (why)
            return why;
    }
    return NULL;
}

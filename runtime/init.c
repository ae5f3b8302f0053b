/* init.c: first values of states, the same on every machine and for every thread count.
 *
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) keyed by
 * seed and path, with the element's index as counter: an element's value depends on nothing else,
 * so states may be filled in any order, and a renamed or added one leaves the others alone. All
 * arithmetic is f64; the value is rounded once, when stored. */
#include "inherit.h"
#include "philox.h"
#include "ranges.h"
#include <math.h>

static const double TWO_PI = 6.283185307179586476925286766559;

/* One state's stream of random numbers. */
typedef struct Stream {
    uint32_t key[2];
} Stream;

/* 53 bits of two words, in [0, 1). */
static double unit(uint32_t high, uint32_t low)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

/* Two numbers in [0, 1) for element i; `draw` counts the attempts at it. */
static void draw_pair(const Stream *s, uint64_t i, uint32_t draw, double out[2])
{
    const uint32_t counter[4] = {(uint32_t)i, (uint32_t)(i >> 32), draw, 0};
    uint32_t words[4];
    philox4x32(s->key, counter, words);
    out[0] = unit(words[0], words[1]);
    out[1] = unit(words[2], words[3]);
}

static double draw_uniform(const Stream *s, uint64_t i)
{
    double u[2];
    draw_pair(s, i, 0, u);
    return 2 * u[0] - 1;
}

/* Box and Muller; 1 - u is never 0. */
static double draw_normal(const Stream *s, uint64_t i, uint32_t draw)
{
    double u[2];
    draw_pair(s, i, draw, u);
    return sqrt(-2 * log(1 - u[0])) * cos(TWO_PI * u[1]);
}

/* Within two standard deviations: drawn again otherwise (1 in 22). */
static double draw_truncated(const Stream *s, uint64_t i)
{
    for (uint32_t draw = 0;; draw++) {
        double x = draw_normal(s, i, draw);
        if (fabs(x) <= 2)
            return x;
    }
}

/* Inputs and outputs of one unit of a weight [out, in, taps...]; a vector is its own both. */
typedef struct Fans {
    double in, out;
} Fans;

static Fans fans_of(const int64_t *dim, uint32_t rank)
{
    if (rank < 2) {
        double n = rank ? (double)dim[0] : 1;
        return (Fans){n, n};
    }
    double taps = 1;
    for (uint32_t k = 2; k < rank; k++)
        taps *= (double)dim[k];
    return (Fans){(double)dim[1] * taps, (double)dim[0] * taps};
}

/* What the distribution is multiplied by: std, bound or the constant itself. */
static double scale_of(PlanInit init, double a, Fans fans)
{
    switch (init) {
    case PI_ZEROS:
    case PI_LOADED:
    case PI_COPY:
        return 0;
    case PI_ONES:
    case PI_ORTHOGONAL:
    case PI_EYE:
    case PI_TABLE:
        return 1;
    case PI_CONSTANT:
    case PI_NORMAL:
    case PI_TRUNCATED:
    case PI_UNIFORM:
        return a;
    case PI_KAIMING_UNIFORM:
        return sqrt(6 / ((1 + a * a) * fans.in));
    case PI_XAVIER_UNIFORM:
        return sqrt(6 / (fans.in + fans.out));
    }
    return 0;
}

static double draw(PlanInit init, const Stream *s, uint64_t i)
{
    switch (init) {
    case PI_ZEROS:
    case PI_ONES:
    case PI_CONSTANT:
    case PI_EYE:
    case PI_TABLE:
    case PI_LOADED:
    case PI_COPY:
        return 1;
    case PI_NORMAL:
    case PI_ORTHOGONAL:
        return draw_normal(s, i, 0);
    case PI_TRUNCATED:
        return draw_truncated(s, i);
    case PI_UNIFORM:
    case PI_KAIMING_UNIFORM:
    case PI_XAVIER_UNIFORM:
        return draw_uniform(s, i);
    }
    return 0;
}

static double inner(const double *a, const double *b, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Gram and Schmidt, each vector twice, over independent normal ones: a uniformly drawn orthonormal set.
 * The fewer of rows and columns are the vectors. */
static void fill_orthogonal(const PlanTensor *t, const int64_t *dim, const Stream *s, void *data)
{
    uint64_t rows = (uint64_t)dim[0], columns = 1;
    for (uint32_t k = 1; k < t->rank; k++)
        columns *= (uint64_t)dim[k];
    bool wide = rows <= columns;
    uint64_t n = wide ? rows : columns, length = wide ? columns : rows;
    Arena *arena = arena_new();
    double *v = NEW_ARRAY(arena, double, n *length);
    for (uint64_t i = 0; i < n; i++) {
        double *x = v + i * length;
        for (uint64_t k = 0; k < length; k++)
            x[k] = draw_normal(s, i * length + k, 0);
        for (uint64_t j = 0; j < 2 * i; j++) {
            const double *y = v + j % i * length;
            double c = inner(x, y, length);
            for (uint64_t k = 0; k < length; k++)
                x[k] -= c * y[k];
        }
        double norm = sqrt(inner(x, x, length));
        for (uint64_t k = 0; k < length; k++)
            x[k] /= norm;
    }
    for (uint64_t i = 0; i < n * length; i++) {
        uint64_t at = wide ? i : i % columns * length + i / columns;
        dtype_store((DType)t->dtype, data, i, v[at]);
    }
    arena_free(arena);
}

/* Values from the plan: those of the axes that they depend on, repeated along the others. */
static void fill_table(const Plan *p, const PlanState *state, const int64_t *dim, void *data)
{
    const PlanTensor *t = &p->tensors[state->tensor];
    uint64_t n = 1, step[PLAN_MAX_RANK] = {0}, within = 1;
    for (uint32_t k = t->rank; k-- > 0;) {
        step[k] = state->axes >> k & 1 ? within : 0;
        within *= step[k] ? (uint64_t)dim[k] : 1;
        n *= (uint64_t)dim[k];
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t rest = i, at = state->value0;
        for (uint32_t k = t->rank; k-- > 0;) {
            at += rest % (uint64_t)dim[k] * step[k];
            rest /= (uint64_t)dim[k];
        }
        dtype_store((DType)t->dtype, data, i, p->values[at]);
    }
}

/* Elements that are drawn one by one. */
typedef struct Drawing {
    const PlanState *state;
    DType dtype;
    Stream stream;
    uint64_t columns;
    double scale;
    void *data;
} Drawing;

static void draw_range(void *user, size_t from, size_t to)
{
    const Drawing *d = user;
    const PlanInit init = (PlanInit)d->state->init;
    const bool eye = init == PI_EYE;
    for (size_t i = from; i < to; i++)
        dtype_store(d->dtype, d->data, i,
                    eye && i / d->columns != i % d->columns ? 0
                                                            : d->scale * draw(init, &d->stream, i));
}

static void fill(Runtime *rt, const PlanState *state, uint64_t seed, void *data)
{
    const Plan *p = rt_plan(rt);
    const PlanTensor *t = &p->tensors[state->tensor];
    const PlanTensor *named =
        state->kind == PS_MASTER ? &p->tensors[p->states[state->of].tensor] : t;
    const char *path = plan_text(p, named->path ? named->path : named->name);
    uint64_t key = hash_mix(hash_mix(0, seed), hash_text(path));
    const Stream stream = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    int64_t dim[PLAN_MAX_RANK] = {0};
    uint64_t n = 1;
    for (uint32_t k = 0; k < t->rank; k++) {
        dim[k] = plan_dim_hi(p, t->dim[k]);
        n *= (uint64_t)dim[k];
    }
    if (state->init == PI_ORTHOGONAL) {
        fill_orthogonal(t, dim, &stream, data);
        return;
    }
    if (state->init == PI_TABLE) {
        fill_table(p, state, dim, data);
        return;
    }
    Drawing d = {.state = state,
                 .dtype = (DType)t->dtype,
                 .stream = stream,
                 .columns = dim[1] > 0 ? (uint64_t)dim[1] : 1,
                 .scale = scale_of((PlanInit)state->init, state->init_a, fans_of(dim, t->rank)),
                 .data = data};
    ranges_run(rt_threads(rt), n, draw_range, &d);
}

/* Rows that no weights fill are the mean of those they fill; without weights they are nothing. */
static bool has_values(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nstates; i++)
        if (p->states[i].init == PI_LOADED) {
            err_set(err, ERR_DATA, "`%s` begins as the mean of the rows that weights fill",
                    plan_text(p, p->tensors[p->states[i].tensor].path));
            return err_help(err, "there are no weights: give `--weights`, or another initialiser");
        }
    return true;
}

typedef struct Rounding {
    DType source, type;
    const void *from;
    void *to;
} Rounding;

static void round_range(void *user, size_t from, size_t to)
{
    const Rounding *r = user;
    for (size_t i = from; i < to; i++)
        dtype_store(r->type, r->to, i, dtype_load(r->source, r->from, i));
}

/* The elements of one state, rounded to the type of another of its shape. */
static bool copy_state(Runtime *rt, uint32_t from, uint32_t to, Err *err)
{
    const Plan *p = rt_plan(rt);
    DType source = (DType)p->tensors[p->states[from].tensor].dtype;
    DType type = (DType)p->tensors[p->states[to].tensor].dtype;
    RtLoan data, copy;
    if (!rt_lend_state(rt, from, RT_READ, &data, err))
        return false;
    bool ok = rt_lend_state(rt, to, RT_WRITE, &copy, err);
    Rounding r = {.source = source, .type = type, .from = data.data, .to = ok ? copy.data : NULL};
    if (ok)
        ranges_run(rt_threads(rt), copy.bytes / dtype_info(type)->bytes, round_range, &r);
    ok = ok && rt_return(rt, &copy, err);
    return rt_return(rt, &data, err) && ok;
}

bool init_copies(Runtime *rt, Err *err)
{
    const Plan *p = rt_plan(rt);
    for (uint32_t s = 0; s < p->nstates; s++) {
        if (p->states[s].init == PI_COPY && !copy_state(rt, p->states[s].of, s, err))
            return false;
    }
    return true;
}

/* It becomes the rounding of that. */
static bool has_master(const Plan *p, uint32_t state)
{
    for (uint32_t i = 0; i < p->nstates; i++)
        if (p->states[i].kind == PS_MASTER && p->states[i].of == state)
            return true;
    return false;
}

static bool fill_state(Runtime *rt, uint32_t i, uint64_t seed, Err *err)
{
    const PlanState *state = &rt_plan(rt)->states[i];
    RtLoan at;
    if (state->kind == PS_PARAM && has_master(rt_plan(rt), i))
        return true;
    if (state->kind != PS_PARAM && state->kind != PS_BUFFER && state->kind != PS_MASTER) {
        rt_clear_state(rt, i);
        return true;
    }
    if (!rt_lend_state(rt, i, RT_WRITE, &at, err))
        return false;
    fill(rt, state, seed, at.data);
    return rt_return(rt, &at, err);
}

static bool fill_all(Runtime *rt, uint64_t seed, Err *err)
{
    const Plan *p = rt_plan(rt);
    for (uint32_t i = 0; i < p->nstates; i++)
        if (!fill_state(rt, i, seed, err))
            return false;
    for (uint32_t i = 0; i < p->nstates; i++) /* a parameter is the rounding of its master */
        if (p->states[i].kind == PS_MASTER && !copy_state(rt, i, p->states[i].of, err))
            return false;
    return true;
}

bool rt_init(Runtime *rt, uint64_t seed, Err *err)
{
    return has_values(rt_plan(rt), err) && fill_all(rt, seed, err) && init_copies(rt, err);
}

bool rt_init_from(Runtime *rt, uint64_t seed, const char *weights, Err *err)
{
    return fill_all(rt, seed, err) && rt_load_weights(rt, weights, err) && init_copies(rt, err);
}

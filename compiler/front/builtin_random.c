/* builtin_random.c: random numbers in functions. A number is a function of the run's seed and stage, of the
 * call that draws it, of the step and of its place in the tensor: independent of devices, layout and order
 * of evaluation. Calls are told apart by the path of the instance and their number in it, so a
 * function called twice draws twice (language.md 2.10). */
#include "builtin.h"
#include "stages.h"
#include <math.h>

/* False after E0309 where draws would repeat: a loop runs one call many times. Of dropout that is wanted:
 * one mask for all rounds of a recurrence. */
static bool can_draw(Elab *e, const Builtin *b, Span span)
{
    const OpBody *loop = b->fn == call_dropout ? NULL : e->body;
    while (loop && !loop->loops) {
        loop = loop->up;
    }
    if (!loop && !e->lifted) {
        return true;
    }
    Diag *d =
        diag_at(e->diags, DIAG_E0309, span, "`%s` would draw the same numbers in each round%s",
                b->name, loop ? " of `scan` or `fold`" : " of an equation");
    diag_help(d, "draw all of them before, and read them one by one");
    return false;
}

static int64_t next_site(Elab *e)
{
    const CallFrame *c = e->calls;
    while (c && !c->inst) {
        c = c->up;
    }
    Sym path = c ? c->inst->path : sym(e->ir->syms, "");
    uintptr_t n = (uintptr_t)map_get(e->draws, MAP_KEY(path)) + 1;
    map_put(e->draws, MAP_KEY(path), (void *)n);
    e->ndraw++;
    return (int64_t)(hash_mix(hash_text(path), n) & INT64_MAX);
}

typedef struct Shape {
    uint32_t rank;
    const Dim *dims[IR_MAX_RANK];
} Shape;

/* The dims of rand([B, T]). */
static bool read_shape(Elab *e, const Val *v, Shape *out)
{
    if (val_is_poison(v)) {
        return false;
    }
    bool list = v->kind == V_LIST || v->kind == V_TUPLE;
    out->rank = list ? v->list.n : 0;
    for (uint32_t i = 0; list && i < v->list.n && i < IR_MAX_RANK; i++) {
        out->dims[i] = v->list.at[i]->dim;
        list = v->list.at[i]->kind == V_INT && dim_lo(e->ir, out->dims[i]) >= 0;
    }
    if (!list) {
        diag_at(e->diags, DIAG_E0503, v->span, "a shape is a list such as `[B, T]`, got %s",
                val_text(e, v));
    } else if (out->rank > IR_MAX_RANK) {
        diag_at(e->diags, DIAG_E0406, v->span, "a tensor has at most %d dimensions", IR_MAX_RANK);
    }
    return list && out->rank <= IR_MAX_RANK;
}

/* Where a step takes several passes: the shape of the numbers of the whole batch, of which this pass has its
 * rows. A first axis as long as a pass is the batch. */
static bool whole_batch(const Elab *e, Shape *s)
{
    int64_t rows;
    const PlanRun *run = e->stage ? &e->stage->run : NULL;
    if (!run || !e->program->accumulates || !s->rank || !dim_is_const(s->dims[0], &rows) ||
        rows != run->rows) {
        return false;
    }
    s->dims[0] = dim_const(e->ir, run->batch);
    return true;
}

/* The rows from `row0` on of numbers drawn for the whole batch: gathered, so only these are computed. */
static const Node *rows_of_pass(Elab *e, const Node *all)
{
    Graph *g = e->g;
    const Dim *rows = dim_const(e->ir, e->stage->run.rows);
    const Node *row0 = graph_expand(g, graph_slot(g, "row0", DT_I32), 1, &rows, NULL);
    return graph_gather(g, all, graph_binary(g, OP_ADD, graph_iota(g, 1, &rows, 0), row0), 0, 0);
}

static const Node *uniform(Elab *e, int64_t site, int64_t word, const Shape *s)
{
    Shape all = *s;
    bool passes = whole_batch(e, &all);
    const Node *n = graph_rng(e->g, site, word, all.rank, all.dims);
    return passes && n ? rows_of_pass(e, n) : n;
}

/* Box and Muller: two words of one block; 1 - u is never 0. */
static const Node *normal(Elab *e, int64_t site, const Shape *s)
{
    Graph *g = e->g;
    const Node *u = uniform(e, site, 0, s), *v = uniform(e, site, 1, s);
    const Node *one = u ? graph_fill(g, u->type, 1) : NULL;
    if (!one || !v) {
        return NULL;
    }
    const Node *far = graph_unary(g, OP_LOG, graph_binary(g, OP_SUB, one, u));
    far = graph_unary(g, OP_SQRT, graph_binary(g, OP_MUL, far, graph_fill(g, u->type, -2)));
    const Node *turn = graph_fill(g, u->type, 2 * 3.14159265358979323846);
    return graph_binary(g, OP_MUL, far, graph_unary(g, OP_COS, graph_binary(g, OP_MUL, v, turn)));
}

const Val *call_rand(Elab *e, const Builtin *b, Args *args)
{
    Shape s;
    if (!args_count(e, b, args, 1) || !read_shape(e, args->at[0], &s) ||
        !can_draw(e, b, args->call)) {
        return poison(e, args->call);
    }
    int64_t site = next_site(e);
    return val_node(e, strcmp(b->name, "rand") == 0 ? uniform(e, site, 0, &s) : normal(e, site, &s),
                    args->call);
}

/* A compile-time count in 1..2^31. */
static const Dim *read_count(Elab *e, const Builtin *b, const Val *v)
{
    if (v->kind == V_INT && dim_lo(e->ir, v->dim) >= 1 && dim_hi(e->ir, v->dim) <= INT32_MAX) {
        return v->dim;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0503, v->span, "`%s` takes a size from 1 to 2147483647, got %s",
                b->name, val_text(e, v));
    }
    return NULL;
}

const Val *call_randint(Elab *e, const Builtin *b, Args *args)
{
    Shape s;
    const Dim *n = args_count(e, b, args, 2) ? read_count(e, b, args->at[0]) : NULL;
    if (!n || !read_shape(e, args->at[1], &s) || !can_draw(e, b, args->call)) {
        return poison(e, args->call);
    }
    bool passes = whole_batch(e, &s);
    const Node *all = graph_randint(e->g, next_site(e), n, s.rank, s.dims);
    return val_node(e, passes && all ? rows_of_pass(e, all) : all, args->call);
}

/* The order of random keys. Two of 31 bits are equal once in 2^31 pairs; the first then comes first. */
const Val *call_permutation(Elab *e, const Builtin *b, Args *args)
{
    const Dim *n = args_count(e, b, args, 1) ? read_count(e, b, args->at[0]) : NULL;
    if (!n || !can_draw(e, b, args->call)) {
        return poison(e, args->call);
    }
    const Node *keys = graph_randint(e->g, next_site(e), dim_const(e->ir, INT32_MAX), 1, &n);
    const Attr attr[] = {{.kind = AK_INT, .i = 0}, {.kind = AK_INT, .i = 0}};
    return val_node(
        e, graph_op(e->g, &(NodeSpec){.op = OP_ARGSORT, .nin = 1, .in = &keys, .attr = attr}),
        args->call);
}

/* p as a tensor like u; a number must be a probability. */
static const Node *probability(Elab *e, const Val *v, const Type *like)
{
    double p;
    bool number = val_as_double(v, &p);
    if (number && !(p >= 0 && p <= 1)) {
        diag_at(e->diags, DIAG_E0504, v->span, "a probability is from 0 to 1, got %s",
                val_text(e, v));
        return NULL;
    }
    const Node *n = val_is_poison(v) ? NULL
                    : number         ? arith_fill(e, v, like, v->span)
                                     : tensor_of(e, v);
    if (n && !number && (n->type->rank > 0 || !dtype_is_float(n->type->dtype))) {
        diag_at(e->diags, DIAG_E0406, v->span, "a probability is a scalar, got %s", val_text(e, v));
        return NULL;
    }
    return n && !number
               ? graph_expand(e->g, graph_cast(e->g, DT_F32, n), like->rank, like->dims, NULL)
               : n;
}

const Val *call_bernoulli(Elab *e, const Builtin *b, Args *args)
{
    Shape s;
    if (!args_count(e, b, args, 2) || !read_shape(e, args->at[1], &s) ||
        !can_draw(e, b, args->call)) {
        return poison(e, args->call);
    }
    const Node *u = uniform(e, next_site(e), 0, &s);
    const Node *p = u ? probability(e, args->at[0], u->type) : NULL;
    return p ? val_node(e, graph_binary(e->g, OP_LT, u, p), args->call) : poison(e, args->call);
}

/* In train mode 0 with probability p, else x / (1 - p); x itself in all others. */
const Val *call_dropout(Elab *e, const Builtin *b, Args *args)
{
    double p;
    const Node *x = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    const Val *v = x ? args->at[1] : NULL;
    if (!v || val_is_poison(v) || (mode_here(e) == MODE_TRAIN && !can_draw(e, b, args->call))) {
        return poison(e, args->call);
    }
    if (!val_as_double(v, &p) || !(p >= 0 && p < 1)) {
        diag_at(e->diags, val_as_double(v, &p) ? DIAG_E0504 : DIAG_E0205, v->span,
                "`dropout` takes a number from 0 to less than 1, got %s", val_text(e, v));
        return poison(e, args->call);
    }
    if (mode_here(e) != MODE_TRAIN || p <= 0) {
        return val_node(e, x, args->call);
    }
    Shape s = {.rank = x->type->rank};
    for (uint32_t i = 0; i < s.rank; i++) {
        s.dims[i] = x->type->dims[i];
    }
    const Node *u = uniform(e, next_site(e), 0, &s);
    const Node *keep = u ? graph_binary(e->g, OP_LE, graph_fill(e->g, u->type, p), u) : NULL;
    const Val *scaled = arith_binary(e, OP_MUL, val_node(e, x, args->call),
                                     val_real(e, 1 / (1 - p), args->call), args->call);
    if (!keep || val_is_poison(scaled)) {
        return poison(e, args->call);
    }
    const Val *const choice[3] = {val_node(e, keep, args->call), scaled, val_int(e, 0, args->call)};
    return arith_select(e, choice, args->call);
}

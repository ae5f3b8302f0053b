/* autodiff.c: reverse mode on the graph, once, before fusion.
 *
 * Activity first: only nodes that a trained parameter reaches get a cotangent, so a frozen tower
 * costs nothing. Then one walk from the loss down in reverse topological order; contributions to a
 * node are added in that order, so the result is the same graph every time. What an operation does
 * to cotangents is its AD column in ops.def: a line of text, or a function of vjp.c; a composite is
 * one call of its vjp Def. */
#include "internal.h"
#include "vjp.h"

#include <string.h>

/* ---- the AD column ---- */

typedef struct AdRow {
    const char *text[3];
    VjpFn vjp;
} AdRow;

#define IR(...)
#define AD(...) __VA_ARGS__
#define GEN(...)
#define TEST(...)
#define GRAD(...) .text = {__VA_ARGS__}
#define VJP(fn)   .vjp = fn
#define NOGRAD    .vjp = NULL
static const AdRow rows[] = {
#define OP(id, name, doc, ir, ad, gen, test) [OP_##id] = {ad},
#include "ops.def"
#undef OP
};

RuleCache *rules_new(Ir *ir, Arena *arena)
{
    RuleCache *cache = NEW(arena, RuleCache);
    for (OpKind op = 0; op < OP_COUNT; op++)
        for (uint32_t k = 0; k < COUNT(rows[op].text); k++)
            if (rows[op].text[k])
                cache->rule[op][k] = front_rule_parse(ir, rows[op].text[k]);
    return cache;
}

static bool has_text(OpKind op)
{
    for (uint32_t k = 0; k < COUNT(rows[op].text); k++)
        if (rows[op].text[k])
            return true;
    return false;
}

bool autodiff_flows(OpKind op)
{
    OpClass cls = op_info(op)->cls;
    return rows[op].vjp || has_text(op) || cls == OC_CALL || cls == OC_TUPLE || cls == OC_LOOP;
}

bool autodiff_gives(OpKind op, uint32_t k)
{
    return rows[op].vjp || (k < COUNT(rows[op].text) && rows[op].text[k]);
}

/* ---- the walk ---- */

typedef struct Tape {
    PassCx *cx;
    Graph *g;
    uint32_t n;           /* forward nodes have ids below */
    bool *active;         /* by id: a cotangent is wanted */
    const Node **cot;     /* by id, tensors: the cotangent so far */
    const Node ***member; /* by id, tuples: the cotangents of the members so far */
    bool failed;
} Tape;

static bool carries(const Node *n)
{
    return n->type->is_tuple || dtype_is_float(n->type->dtype);
}

/* Forward: a node is active when a float path from a wanted node reaches it. */
static void mark_active(Tape *t, const AutodiffIn *in)
{
    for (uint32_t k = 0; k < in->nwrt; k++)
        if (in->wrt[k]->id < t->n)
            t->active[in->wrt[k]->id] = true;
    for (uint32_t i = 0; i < t->n; i++) {
        const Node *n = t->g->nodes.at[i];
        if (!carries(n) || !autodiff_flows(n->op))
            continue;
        for (uint32_t k = 0; k < n->nin; k++)
            t->active[i] = t->active[i] || t->active[n->in[k]->id];
    }
}

/* Cotangents of slices side by side (of q, k and v in one product) are put beside each other. */
static void contribute(Tape *t, const Node **sum, const Node *c)
{
    const Node *more = *sum, *beside = more ? graph_pads_beside(t->g, more, c) : NULL;
    if (more && !beside) {
        const Node *both = graph_binary(t->g, OP_ADD, vjp_wide(t->g, more), vjp_wide(t->g, c));
        beside = graph_cast(t->g, c->type->dtype, both);
    }
    *sum = more ? beside : c;
    ASSERT(*sum);
}

static void add_cotangent(Tape *t, const Node *n, const Node *c)
{
    if (!t->active[n->id])
        return;
    if (c->type != n->type)
        BUG("cotangent of %%%u %s is %s, not %s", n->id, op_info(n->op)->name,
            type_text(t->g->ir, c->type), type_text(t->g->ir, n->type));
    contribute(t, &t->cot[n->id], c);
}

static void add_member(Tape *t, const Node *tuple, uint32_t i, const Node *c)
{
    if (!t->active[tuple->id])
        return;
    if (!t->member[tuple->id])
        t->member[tuple->id] = NEW_ARRAY(t->cx->arena, const Node *, tuple->type->nelem);
    contribute(t, &t->member[tuple->id][i], c);
}

/* ---- operations ---- */

static void step_op(Tape *t, const Node *n)
{
    const Node *dx[3] = {NULL}, **out = dx;
    bool few[3] = {false}, *need = few;
    if (n->nin > COUNT(dx)) {
        out = NEW_ARRAY(t->cx->arena, const Node *, n->nin);
        need = NEW_ARRAY(t->cx->arena, bool, n->nin);
    }
    for (uint32_t k = 0; k < n->nin; k++)
        need[k] = t->active[n->in[k]->id];
    const Node *dy = t->cot[n->id];
    if (rows[n->op].vjp) {
        rows[n->op].vjp(&(VjpIn){.g = t->g, .n = n, .dy = dy, .need = need}, out);
    } else {
        ASSERT(n->nin <= COUNT(dx));
        const RuleArgs args = {.x = n->in, .nx = n->nin, .y = n, .dy = dy};
        for (uint32_t k = 0; k < n->nin; k++)
            if (need[k] && t->cx->rules->rule[n->op][k])
                dx[k] = front_rule(t->g, t->cx->rules->rule[n->op][k], &args);
    }
    for (uint32_t k = 0; k < n->nin; k++)
        if (out[k])
            add_cotangent(t, n->in[k], out[k]);
}

static void step_tuple(Tape *t, const Node *n)
{
    uint32_t member;
    if (node_is_get(n, &member)) {
        add_member(t, n->in[0], member, t->cot[n->id]);
        return;
    }
    for (uint32_t k = 0; k < n->nin; k++)
        if (t->member[n->id][k])
            add_cotangent(t, n->in[k], t->member[n->id][k]);
}

/* ---- composites ---- */

/* The cotangent of result i of a call; zeros where the loss does not see it. */
static const Node *result_cotangent(Tape *t, const Node *call, uint32_t i, const Type *type)
{
    const Node *c = call->type->is_tuple ? t->member[call->id][i] : t->cot[call->id];
    return c ? c : graph_fill(t->g, type, 0);
}

/* Operands of the vjp: the op's own, all its results, one cotangent per visible result. A vjp may
 * leave out the cotangents of results that carry none. */
static const Node *call_vjp(Tape *t, const Node *n, const Def *def)
{
    const Graph *body = def->body, *vjp = def->vjp->body;
    const Node **in = NEW_ARRAY(t->cx->arena, const Node *, vjp->inputs.n + 1);
    uint32_t nresult = body->results.n, k = 0;
    uint32_t ncot = vjp->inputs.n - n->nin - nresult;
    for (uint32_t i = 0; i < n->nin; i++)
        in[k++] = n->in[i];
    for (uint32_t i = 0; i < nresult; i++)
        in[k++] = nresult == 1 ? n : graph_get(t->g, n, i);
    for (uint32_t i = 0; i < def->nvisible && k < vjp->inputs.n; i++) {
        if (ncot != def->nvisible && !carries(body->results.at[i].node))
            continue;
        in[k] = result_cotangent(t, n, i, vjp->inputs.at[k]->type);
        k++;
    }
    ASSERT(k == vjp->inputs.n);
    return graph_call(t->g, def->vjp, in, k);
}

uint32_t autodiff_find_cotangent(const Graph *vjp, Sym input)
{
    for (uint32_t i = 0; i < vjp->results.n; i++) {
        Sym name = vjp->results.at[i].name;
        if (name && name[0] == 'd' && strcmp(name + 1, input) == 0)
            return i;
    }
    return vjp->results.n;
}

static void step_call(Tape *t, const Node *n)
{
    const Def *def = node_def(n);
    if (!def->vjp)
        BUG("call of '%s' without vjp reached autodiff", def->name);
    const Graph *vjp = def->vjp->body;
    const Node *call = call_vjp(t, n, def);
    ASSERT(call);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!t->active[n->in[k]->id])
            continue;
        Sym name = node_sym(def->body->inputs.at[k], "name");
        uint32_t i = autodiff_find_cotangent(vjp, name);
        if (i == vjp->results.n)
            continue;
        const Node *dx = vjp->results.n == 1 ? call : graph_get(t->g, call, i);
        if (dx->type == n->in[k]->type) {
            add_cotangent(t, n->in[k], dx);
            continue;
        }
        diag_at(t->g->ir->diags, DIAG_E0604, n->span, "`d%s` of `%s` is `%s`, `%s` is `%s`", name,
                def->name, type_text(t->g->ir, dx->type), name,
                type_text(t->g->ir, n->in[k]->type));
        t->failed = true;
    }
}

static bool without_vjp(PassCx *cx, const Def *def)
{
    UNUSED(cx);
    return def->kind == DEF_COMPOSITE && !def->vjp;
}

static void step_loop(Tape *t, const Node *n)
{
    uint32_t nresult = node_def(n)->body->results.n;
    const Node **dresult = NEW_ARRAY(t->cx->arena, const Node *, nresult + 1);
    const Node **dx = NEW_ARRAY(t->cx->arena, const Node *, n->nin + 1);
    bool *need = NEW_ARRAY(t->cx->arena, bool, n->nin + 1);
    for (uint32_t i = 0; i < nresult; i++)
        dresult[i] = n->type->is_tuple ? t->member[n->id][i] : t->cot[n->id];
    for (uint32_t k = 0; k < n->nin; k++)
        need[k] = t->active[n->in[k]->id];
    const LoopVjp v = {.g = t->g, .n = n, .dresult = dresult, .need = need};
    if (!vjp_loop(t->cx, &v, without_vjp, dx)) {
        t->failed = true;
        return;
    }
    for (uint32_t k = 0; k < n->nin; k++)
        if (dx[k])
            add_cotangent(t, n->in[k], dx[k]);
}

static void step(Tape *t, const Node *n)
{
    t->g->path = n->path;
    t->g->span = n->span;
    OpClass cls = op_info(n->op)->cls;
    if (cls == OC_CALL)
        step_call(t, n);
    else if (cls == OC_LOOP)
        step_loop(t, n);
    else if (cls == OC_TUPLE)
        step_tuple(t, n);
    else
        step_op(t, n);
}

bool autodiff_append(PassCx *cx, Graph *g, const AutodiffIn *in, const Node **dx)
{
    Tape t = {.cx = cx, .g = g, .n = in->y->id + 1};
    ASSERT(in->dy->type == in->y->type);
    t.active = NEW_ARRAY(cx->arena, bool, t.n);
    t.cot = NEW_ARRAY(cx->arena, const Node *, t.n);
    t.member = NEW_ARRAY(cx->arena, const Node **, t.n);
    mark_active(&t, in);
    if (t.active[in->y->id])
        t.cot[in->y->id] = in->dy;
    for (uint32_t i = t.n; i-- > 0;) {
        const Node *n = g->nodes.at[i];
        if (t.active[i] && (t.cot[i] || t.member[i]) && n->nin > 0)
            step(&t, n);
    }
    for (uint32_t k = 0; k < in->nwrt; k++)
        dx[k] = in->wrt[k]->id < t.n ? t.cot[in->wrt[k]->id] : NULL;
    return !t.failed;
}

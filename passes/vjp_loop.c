/* vjp_loop.c: the gradient of `scan` is a `scan` in the other direction. Each round runs the forward body
 * again on the values it had (the loop keeps what its carries were: hidden results), and is
 * differentiated; the cotangents of the carries go round, those of captured values are summed. */
#include "internal.h"
#include "vjp.h"

typedef struct LoopBwd {
    PassCx *cx;
    const LoopVjp *v;
    const Graph *body; /* forward, without composites that have no vjp */
    uint32_t carry, xs, consts, nvisible;
    Graph *b;                     /* the backward body */
    VEC(const Node *) operands;   /* of the backward loop, in the order of its inputs */
    const Node **forward;         /* inputs of the forward body as b has them */
    const Node **dcarry, **total; /* by carry, by constant: inputs of b; NULL: none */
    const Node **dy;              /* by visible result behind the carries */
} LoopBwd;

static bool is_float(const Node *n)
{
    return dtype_is_float(n->type->dtype);
}

static const Node *add_input(LoopBwd *l, const char *name, uint32_t i, const Type *type,
                             const Node *operand)
{
    VEC_PUSH(l->cx->arena, &l->operands, operand);
    return graph_input(l->b, sym_printf(l->cx->ir->syms, "%s.%u", name, i), type);
}

static const Node *loop_result(const LoopBwd *l, uint32_t i)
{
    return graph_get(l->v->g, l->v->n, i);
}

static bool wants(const LoopBwd *l, uint32_t k)
{
    return l->v->need[k] && is_float(l->body->inputs.at[k]);
}

/* Carries: cotangents of the carries, sums of those of the constants. Then the slices, the constants. */
static void make_inputs(LoopBwd *l)
{
    const Graph *body = l->body;
    Graph *g = l->v->g;
    for (uint32_t i = 0; i < l->carry; i++) {
        const Type *t = body->inputs.at[i]->type;
        const Node *d = l->v->dresult[i];
        if (is_float(body->inputs.at[i]))
            l->dcarry[i] = add_input(l, "dcarry", i, t, d ? d : graph_fill(g, t, 0));
    }
    for (uint32_t i = 0; i < l->consts; i++) {
        const Type *t = body->inputs.at[l->carry + l->xs + i]->type;
        if (wants(l, l->carry + l->xs + i))
            l->total[i] = add_input(l, "total", i, t, graph_fill(g, t, 0));
    }
    for (uint32_t i = 0; i < l->carry; i++)
        l->forward[i] =
            add_input(l, "carry", i, body->inputs.at[i]->type, loop_result(l, l->nvisible + i));
    for (uint32_t i = l->carry; i < l->carry + l->xs; i++)
        l->forward[i] = add_input(l, "x", i, body->inputs.at[i]->type, l->v->n->in[i]);
    for (uint32_t i = l->carry; i < l->nvisible; i++) {
        const Node *d = l->v->dresult[i];
        if (d && is_float(body->results.at[i].node))
            l->dy[i] = add_input(l, "dy", i, body->results.at[i].node->type, d);
    }
    for (uint32_t i = l->carry + l->xs; i < body->inputs.n; i++)
        l->forward[i] = add_input(l, "const", i, body->inputs.at[i]->type, l->v->n->in[i]);
}

/* sum of a * b in f32, or f64 where one is. */
static const Node *inner(Graph *b, const Node *x, const Node *y, DType acc)
{
    const Node *p = graph_binary(b, OP_MUL, graph_cast(b, acc, x), graph_cast(b, acc, y));
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < p->type->rank; i++)
        axes[i] = i;
    return p->type->rank ? graph_reduce(b, OP_SUM, p, axes, p->type->rank) : p;
}

/* The scalar whose gradient is the round's: results times their cotangents. NULL: there are none. */
static const Node *round_scalar(LoopBwd *l, const Node *const *out)
{
    DType acc = DT_F32;
    const Node *sum = NULL;
    for (uint32_t i = 0; i < l->nvisible; i++)
        acc = out[i]->type->dtype == DT_F64 ? DT_F64 : acc;
    for (uint32_t i = 0; i < l->nvisible; i++) {
        const Node *d = i < l->carry ? l->dcarry[i] : l->dy[i];
        const Node *term = d ? inner(l->b, out[i], d, acc) : NULL;
        sum = sum && term ? graph_binary(l->b, OP_ADD, sum, term) : term ? term : sum;
    }
    return sum;
}

static void put_result(LoopBwd *l, const char *name, uint32_t i, const Node *n)
{
    graph_result(l->b, sym_printf(l->cx->ir->syms, "%s.%u", name, i), n);
}

/* Results in the order of the carries, then the cotangents of the slices. */
static bool make_results(LoopBwd *l)
{
    uint32_t n = l->body->inputs.n;
    const Node **out = NEW_ARRAY(l->cx->arena, const Node *, l->body->results.n);
    const Node **dx = NEW_ARRAY(l->cx->arena, const Node *, n + 1);
    graph_inline(l->b, l->body, l->forward, out);
    const Node *s = round_scalar(l, out);
    AutodiffIn ad = {.y = s, .wrt = l->forward, .nwrt = n};
    ad.dy = s ? graph_fill(l->b, s->type, 1) : NULL;
    if (s && !autodiff_append(l->cx, l->b, &ad, dx))
        return false;
    for (uint32_t i = 0; i < l->carry; i++)
        if (l->dcarry[i])
            put_result(l, "dcarry", i, dx[i] ? dx[i] : graph_fill(l->b, l->dcarry[i]->type, 0));
    for (uint32_t i = 0; i < l->consts; i++) {
        const Node *d = dx[l->carry + l->xs + i];
        if (l->total[i])
            put_result(l, "total", i, d ? graph_binary(l->b, OP_ADD, l->total[i], d) : l->total[i]);
    }
    for (uint32_t i = l->carry; i < l->carry + l->xs; i++)
        if (wants(l, i))
            put_result(l, "dx", i, dx[i] ? dx[i] : graph_fill(l->b, l->forward[i]->type, 0));
    return true;
}

static const Node *make_loop(LoopBwd *l)
{
    const Def *def = node_def(l->v->n);
    uint32_t ncarry = 0, nconst = l->consts;
    for (uint32_t i = 0; i < l->carry; i++)
        ncarry += l->dcarry[i] != NULL;
    for (uint32_t i = 0; i < l->consts; i++)
        ncarry += l->total[i] != NULL;
    Def proto = {.kind = DEF_SCAN,
                 .name = sym_printf(l->cx->ir->syms, "%s_bwd", def->name),
                 .body = l->b,
                 .nvisible = l->b->results.n};
    const ScanSpec spec = {.def = def_intern(l->cx->ir, &proto),
                           .carry = ncarry,
                           .xs = l->operands.n - ncarry - nconst,
                           .reverse = !node_int(l->v->n, "reverse"),
                           .length = node_dim(l->v->n, "length")};
    return graph_loop(l->v->g, &spec, l->operands.at, l->operands.n);
}

bool vjp_loop(PassCx *cx, const LoopVjp *v, InlineWant want, const Node **dx)
{
    const Def *def = node_def(v->n);
    Graph holder = *def->body;
    LoopBwd l = {.cx = cx, .v = v, .body = inline_calls(cx, &holder, want)};
    l.carry = (uint32_t)node_int(v->n, "carry");
    l.xs = (uint32_t)node_int(v->n, "xs");
    l.consts = v->n->nin - l.carry - l.xs;
    l.nvisible = def->nvisible;
    if (def->body->results.n != l.nvisible + l.carry) /* a backward loop keeps nothing */
        return diag_at(cx->ir->diags, DIAG_E0602, v->n->span,
                       "no derivative through the gradient of `scan`") == NULL;
    l.b = graph_new(cx->ir, cx->arena, def->name);
    l.forward = NEW_ARRAY(cx->arena, const Node *, v->n->nin + 1);
    l.dcarry = NEW_ARRAY(cx->arena, const Node *, l.carry + 1);
    l.total = NEW_ARRAY(cx->arena, const Node *, l.consts + 1);
    l.dy = NEW_ARRAY(cx->arena, const Node *, l.nvisible + 1);
    make_inputs(&l);
    if (!make_results(&l))
        return false;
    if (!l.b->results.n)
        return true;
    const Node *loop = make_loop(&l);
    ASSERT(loop);
    uint32_t at = 0;
    for (uint32_t i = 0; i < l.carry; i++)
        dx[i] = l.dcarry[i] ? graph_get(v->g, loop, at++) : NULL;
    for (uint32_t i = 0; i < l.consts; i++)
        dx[l.carry + l.xs + i] = l.total[i] ? graph_get(v->g, loop, at++) : NULL;
    for (uint32_t i = l.carry; i < l.carry + l.xs; i++)
        dx[i] = wants(&l, i) ? graph_get(v->g, loop, at++) : NULL;
    return true;
}

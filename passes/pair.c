/* pair.c: a composite and its derivative in one call, where a class runs both at once. Then what the
 * forward half has at hand, such as scores, need not be computed a second time.
 *
 * It is possible where the cotangents depend on nothing that the composite gives, as in a sum of losses.
 * The new Def has the operands of the composite and the cotangents, and the results of both; its body is
 * both bodies, so it means what they mean. */
#include "internal.h"

typedef struct Pair {
    const Node *forward, *backward;
    const Def *def;
    const Node *call; /* in the new graph */
    struct Pair *next;
} Pair;

typedef struct Pairing {
    PassCx *cx;
    const Graph *in;
    Pair *first;
} Pairing;

/* ---- the Def ---- */

static const Def *both_of(PassCx *cx, const Def *def)
{
    const Graph *body = def->body, *vjp = def->vjp->body;
    uint32_t nin = body->inputs.n, nout = body->results.n, nback = vjp->results.n;
    Sym name = sym_printf(cx->ir->syms, "%s_both", def->name);
    Graph *g = graph_new(cx->ir, cx->arena, name);
    const Node **in = NEW_ARRAY(cx->arena, const Node *, vjp->inputs.n + 1);
    const Node **out = NEW_ARRAY(cx->arena, const Node *, nout + nback + 1);
    for (uint32_t i = 0; i < vjp->inputs.n; i++) {
        const Node *formal = vjp->inputs.at[i];
        if (i < nin || i >= nin + nout)
            in[i] = graph_input(g, node_sym(formal, "name"), formal->type);
    }
    graph_inline(g, body, in, out);
    for (uint32_t i = 0; i < nout; i++) {
        in[nin + i] = out[i];
        graph_result(g, body->results.at[i].name, out[i]);
    }
    graph_inline(g, vjp, in, out + nout);
    for (uint32_t i = 0; i < nback; i++)
        graph_result(g, vjp->results.at[i].name, out[nout + i]);
    Def proto = {DEF_COMPOSITE, name, g, nout + nback, NULL, 0};
    return def_intern(cx->ir, &proto);
}

/* ---- finding ---- */

/* The call whose derivative n is, or NULL. */
static const Node *forward_of(const Node *n)
{
    uint32_t member;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Node *f = node_is_get(n->in[k], &member) ? n->in[k]->in[0] : n->in[k];
        if (op_info(f->op)->cls == OC_CALL && node_def(f)->vjp == node_def(n))
            return f;
    }
    return NULL;
}

static bool depends(const Pairing *p, const Node *from, const Node *const *on, uint32_t n)
{
    bool *below = NEW_ARRAY(p->cx->arena, bool, p->in->nodes.n);
    below[from->id] = true;
    for (uint32_t i = from->id + 1; i < p->in->nodes.n; i++)
        for (uint32_t k = 0; k < p->in->nodes.at[i]->nin; k++)
            below[i] = below[i] || below[p->in->nodes.at[i]->in[k]->id];
    for (uint32_t k = 0; k < n; k++)
        if (below[on[k]->id])
            return true;
    return false;
}

/* b is the derivative of f, at its operands and its results. */
static bool belongs(const Node *f, const Node *b)
{
    const Graph *body = node_def(f)->body;
    uint32_t member;
    for (uint32_t i = 0; i < f->nin; i++)
        if (b->in[i] != f->in[i])
            return false;
    for (uint32_t i = 0; i < body->results.n; i++) {
        const Node *r = b->in[f->nin + i];
        bool same =
            body->results.n == 1 ? r == f : node_is_get(r, &member) && r->in[0] == f && member == i;
        if (!same)
            return false;
    }
    return true;
}

static void find_pair(Pairing *p, const Node *b)
{
    const Node *f = op_info(b->op)->cls == OC_CALL ? forward_of(b) : NULL;
    if (!f || !belongs(f, b))
        return;
    uint32_t own = f->nin + node_def(f)->body->results.n;
    KernelClass cls;
    Sym name = sym_printf(p->cx->ir->syms, "%s_both", node_def(f)->name);
    if (!claim_by_all(p->cx, name, NULL, &cls) || depends(p, f, b->in + own, b->nin - own))
        return;
    const Def *def = both_of(p->cx, node_def(f));
    if (!claim_find(p->cx, def, &cls))
        return;
    Pair *found = NEW(p->cx->arena, Pair);
    *found = (Pair){.forward = f, .backward = b, .def = def, .next = p->first};
    p->first = found;
}

/* ---- rewriting ---- */

/* n in the new graph, copied now with all it needs if its turn has not come. */
static const Node *copy_early(Rewrite *rw, const Node *n)
{
    if (rw->map[n->id])
        return rw->map[n->id];
    const Node **in = NEW_ARRAY(rw->out->arena, const Node *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = copy_early(rw, n->in[k]);
    rw->map[n->id] = graph_copy_node(rw->out, n, in);
    return rw->map[n->id];
}

static const Node *make_call(Rewrite *rw, Pair *pair, const Node *const *in)
{
    const Node *f = pair->forward, *b = pair->backward;
    uint32_t n = 0, own = f->nin + node_def(f)->body->results.n;
    const Node **operand = NEW_ARRAY(rw->out->arena, const Node *, b->nin);
    for (uint32_t i = 0; i < f->nin; i++)
        operand[n++] = in[i];
    for (uint32_t i = own; i < b->nin; i++)
        operand[n++] = copy_early(rw, b->in[i]);
    pair->call = graph_call(rw->out, pair->def, operand, n);
    return pair->call;
}

/* Result `member` of a call that is half of a pair. */
static const Node *visit(Rewrite *rw, const Node *n, const Node *const *in)
{
    const Pairing *p = rw->user;
    uint32_t member = 0;
    bool get = node_is_get(n, &member);
    for (Pair *pair = p->first; pair; pair = pair->next) {
        uint32_t nout = node_def(pair->forward)->body->results.n;
        if (n == pair->forward) {
            const Node *call = make_call(rw, pair, in);
            return nout == 1 ? graph_get(rw->out, call, 0) : call;
        }
        bool whole = n == pair->backward && !n->type->is_tuple;
        if (whole || (get && n->in[0] == pair->backward))
            return graph_get(rw->out, pair->call, nout + member);
    }
    return NULL;
}

Graph *pass_pair(PassCx *cx, const Graph *in)
{
    Pairing p = {.cx = cx, .in = in};
    for (uint32_t i = 0; i < in->nodes.n && cx->target; i++)
        find_pair(&p, in->nodes.at[i]);
    Graph *g = graph_rewrite(in, cx->arena, p.first ? visit : NULL, &p);
    return p.first ? graph_rewrite(g, cx->arena, NULL, NULL) : g;
}

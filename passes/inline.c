/* inline.c: calls replaced by the bodies of their Defs, to any depth. Used by expand (all calls) and
 * by autodiff (calls without a vjp). */
#include "internal.h"

#include <string.h>

typedef struct Inliner {
    PassCx *cx;
    Graph *g;
    InlineWant want;
} Inliner;

static const Node *inline_call(Inliner *il, const Node *call, const Node *const *in);

static const Graph *inline_body(PassCx *cx, const Graph *body, void *user)
{
    const Inliner *il = user;
    return inline_calls(cx, body, il->want);
}

/* The node that n becomes on rewritten operands, when it is not merely copied. */
static const Node *inline_node(Inliner *il, const Node *n, const Node *const *in)
{
    uint32_t member;
    if (op_info(n->op)->cls == OC_CALL && il->want(il->cx, node_def(n)))
        return inline_call(il, n, in);
    if (op_info(n->op)->cls == OC_LOOP)
        return loop_rewrite(&(LoopBody){il->cx, inline_body, il}, il->g, n, in);
    /* a call that became a tuple node gives its members directly */
    if (node_is_get(n, &member) && op_info(in[0]->op)->cls == OC_TUPLE)
        return in[0]->in[member]; /* tuples do not nest, so in[0] is no get */
    return NULL;
}

const char *inline_note(Arena *arena, Sym name)
{
    return arena_printf(arena, "kept: result of %s", name);
}

/* A clause `remat` knows composites by their names, which end here. What a view shows is what is kept. */
static void note_kept(Inliner *il, Sym name, const Node *n)
{
    const Program *p = il->cx->program;
    while (op_info(n->op)->cls == OC_VIEW && n->nin == 1)
        n = n->in[0];
    for (uint32_t i = 0; p && i < p->remat.n; i++)
        for (uint32_t k = 0; k < p->remat.at[i].nkeep; k++)
            if (strcmp(p->remat.at[i].keep[k], name) == 0) {
                graph_note(il->g, n, inline_note(il->g->arena, name));
                return;
            }
}

/* Builds the body on actual operands; several results become a tuple, which the gets take apart. */
static const Node *inline_call(Inliner *il, const Node *call, const Node *const *in)
{
    const Graph *body = node_def(call)->body;
    Graph *g = il->g;
    Sym path = g->path; /* the outermost call's: bodies have none of their own */
    Span span = g->span;
    const Node **map = NEW_ARRAY(g->arena, const Node *, body->nodes.n + 1);
    ASSERT(call->nin == body->inputs.n);
    for (uint32_t i = 0; i < call->nin; i++)
        map[body->inputs.at[i]->id] = in[i];
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        if (map[i])
            continue;
        const Node **own = NEW_ARRAY(g->arena, const Node *, n->nin + 1);
        for (uint32_t k = 0; k < n->nin; k++)
            own[k] = map[n->in[k]->id];
        g->path = path;
        g->span = span;
        map[i] = inline_node(il, n, own);
        if (!map[i])
            map[i] = graph_op(g, &(NodeSpec){.op = n->op,
                                             .inst = n->inst,
                                             .type = n->nin ? NULL : n->type,
                                             .nin = n->nin,
                                             .in = own,
                                             .attr = n->attr});
        ASSERT(map[i]);
    }
    const Node **out = NEW_ARRAY(g->arena, const Node *, body->results.n + 1);
    for (uint32_t i = 0; i < body->results.n; i++) {
        out[i] = map[body->results.at[i].node->id];
        if (node_def(call)->name)
            note_kept(il, node_def(call)->name, out[i]);
    }
    return body->results.n == 1 ? out[0] : graph_tuple(g, out, body->results.n);
}

static const Node *visit(Rewrite *rw, const Node *n, const Node *const *in)
{
    Inliner *il = rw->user;
    il->g = rw->out;
    return inline_node(il, n, in);
}

bool inline_all(PassCx *cx, const Def *def)
{
    UNUSED(cx);
    return def->kind == DEF_COMPOSITE;
}

Graph *inline_calls(PassCx *cx, const Graph *in, InlineWant want)
{
    Inliner il = {.cx = cx, .want = want};
    Graph *inlined = graph_rewrite(in, cx->arena, visit, &il);
    return graph_rewrite(inlined, cx->arena, NULL, NULL); /* drops the tuples and unused results */
}

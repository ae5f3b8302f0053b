/* walk.c: counting uses, and copying graphs node by node: the core of every pass. */
#include "ir.h"

uint32_t *graph_use_counts(const Graph *g, Arena *arena)
{
    uint32_t *nuse = NEW_ARRAY(arena, uint32_t, g->nodes.n);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        for (uint32_t k = 0; k < n->nin; k++)
            nuse[n->in[k]->id]++;
    }
    for (uint32_t i = 0; i < g->results.n; i++)
        nuse[g->results.at[i].node->id]++;
    for (uint32_t i = 0; i < g->writes.n; i++)
        nuse[g->writes.at[i].node->id]++;
    return nuse;
}

const Node *graph_copy_node(Graph *g, const Node *n, const Node *const *in)
{
    Sym path = g->path;
    Span span = g->span;
    g->path = n->path;
    g->span = n->span;
    const Node *copy = graph_op(g, &(NodeSpec){.op = n->op,
                                               .inst = n->inst,
                                               .type = n->type,
                                               .nin = n->nin,
                                               .in = in,
                                               .attr = n->attr,
                                               .note = n->note});
    g->path = path;
    g->span = span;
    return copy;
}

/* live[id]: reachable from a result or a write. */
static bool *find_live(const Graph *g, Arena *arena)
{
    bool *live = NEW_ARRAY(arena, bool, g->nodes.n);
    for (uint32_t i = 0; i < g->results.n; i++)
        live[g->results.at[i].node->id] = true;
    for (uint32_t i = 0; i < g->writes.n; i++)
        live[g->writes.at[i].node->id] = true;
    for (uint32_t i = g->nodes.n; i-- > 0;) {
        const Node *n = g->nodes.at[i];
        for (uint32_t k = 0; k < n->nin && live[i]; k++)
            live[n->in[k]->id] = true;
    }
    return live;
}

static uint32_t widest_node(const Graph *g)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++)
        most = g->nodes.at[i]->nin > most ? g->nodes.at[i]->nin : most;
    return most;
}

static const Node *rewrite_node(Rewrite *rw, RewriteFn fn, const Node *n, const Node **in)
{
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = rw->map[n->in[k]->id];
    const Node *made = NULL;
    if (fn) {
        rw->out->path = n->path;
        rw->out->span = n->span;
        made = fn(rw, n, in);
    }
    return made ? made : graph_copy_node(rw->out, n, in);
}

Graph *graph_rewrite(const Graph *src, Arena *arena, RewriteFn fn, void *user)
{
    Rewrite rw = {.src = src, .out = graph_new(src->ir, arena, src->name), .user = user};
    rw.map = NEW_ARRAY(arena, const Node *, src->nodes.n);
    for (uint32_t i = 0; i < src->inputs.n; i++) {
        const Node *n = src->inputs.at[i];
        rw.map[n->id] = graph_copy_node(rw.out, n, NULL);
    }
    bool *live = find_live(src, arena);
    const Node **in = NEW_ARRAY(arena, const Node *, widest_node(src));
    for (uint32_t i = 0; i < src->nodes.n; i++) {
        if (live[i] && !rw.map[i])
            rw.map[i] = rewrite_node(&rw, fn, src->nodes.at[i], in);
    }
    rw.out->path = src->path;
    rw.out->span = src->span;
    for (uint32_t i = 0; i < src->results.n; i++) {
        const Node *n = rw.map[src->results.at[i].node->id];
        if (n)
            graph_result(rw.out, src->results.at[i].name, n);
    }
    for (uint32_t i = 0; i < src->writes.n; i++) {
        const Node *n = rw.map[src->writes.at[i].node->id];
        if (n)
            graph_write(rw.out, src->writes.at[i].state, n);
    }
    return rw.out;
}

void graph_inline(Graph *g, const Graph *body, const Node *const *in, const Node **out)
{
    const Node **map = NEW_ARRAY(g->arena, const Node *, body->nodes.n);
    const Node **operands = NEW_ARRAY(g->arena, const Node *, widest_node(body));
    for (uint32_t i = 0; i < body->inputs.n; i++)
        map[body->inputs.at[i]->id] = in[i];
    Sym path = g->path;
    Span span = g->span;
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        if (map[i] || n->op == OP_INPUT)
            continue;
        for (uint32_t k = 0; k < n->nin; k++)
            operands[k] = map[n->in[k]->id];
        g->path = path ? path : n->path;
        g->span = span.file ? span : n->span;
        map[i] = graph_op(g, &(NodeSpec){.op = n->op,
                                         .inst = n->inst,
                                         .type = n->type,
                                         .nin = n->nin,
                                         .in = operands,
                                         .attr = n->attr,
                                         .note = n->note});
    }
    g->path = path;
    g->span = span;
    for (uint32_t i = 0; i < body->results.n; i++)
        out[i] = map[body->results.at[i].node->id];
}

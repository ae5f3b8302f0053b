/* loop.c: `scan` in the passes: its body is a graph of its own, which every pass treats as it treats an
 * entry, and which fusion leaves in a form that a plan can run: no result or operand is read that nobody
 * needs, every result is a value of its own, and no operand is a number that has no memory. */
#include "internal.h"

#include <string.h>

static const Node *with_body(PassCx *cx, Graph *g, const Node *n, const Node *const *in,
                             const Graph *body)
{
    const Def *def = node_def(n);
    Def proto = {.kind = DEF_SCAN, .name = def->name, .body = body, .nvisible = def->nvisible};
    const ScanSpec spec = {.def = def_intern(cx->ir, &proto),
                           .carry = (uint32_t)node_int(n, "carry"),
                           .xs = (uint32_t)node_int(n, "xs"),
                           .reverse = node_int(n, "reverse") != 0,
                           .length = node_dim(n, "length")};
    return graph_loop(g, &spec, in, n->nin);
}

const Node *loop_rewrite(const LoopBody *b, Graph *g, const Node *n, const Node *const *in)
{
    ASSERT(op_info(n->op)->cls == OC_LOOP);
    Graph body = *node_def(n)->body;
    const Graph *now = b->fn(b->cx, &body, b->user);
    return now ? with_body(b->cx, g, n, in, now) : NULL;
}

bool loop_any(const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (op_info(g->nodes.at[i]->op)->cls == OC_LOOP)
            return true;
    return false;
}

static const Node *visit_body(Rewrite *rw, const Node *n, const Node *const *in)
{
    return op_info(n->op)->cls == OC_LOOP ? loop_rewrite(rw->user, rw->out, n, in) : NULL;
}

Graph *loop_rewrite_all(PassCx *cx, const Graph *in, LoopBodyFn fn, void *user)
{
    LoopBody b = {cx, fn, user};
    return graph_rewrite(in, cx->arena, visit_body, &b);
}

/* ---- before fusion ---- */

typedef struct LoopFuse {
    PassCx *cx;
    bool **read;      /* by loop: which results somebody reads */
    uint32_t **place; /* by loop: the new number of each result */
    bool failed;
} LoopFuse;

/* x as an elementwise value of its own. */
static const Node *own_value(Graph *g, const Node *x)
{
    return graph_op(g, &(NodeSpec){.op = OP_STOP, .nin = 1, .in = &x});
}

/* Results whose number has keep[i], each a value that is no leaf and no other result: a copy of the one
 * before that is equal. */
static Graph *separate_results(LoopFuse *l, const Graph *body, const bool *keep)
{
    uint32_t n = body->results.n;
    Graph *g = graph_new(l->cx->ir, l->cx->arena, body->name);
    const Node **in = NEW_ARRAY(l->cx->arena, const Node *, body->inputs.n + 1);
    const Node **out = NEW_ARRAY(l->cx->arena, const Node *, n + 1);
    const Node **own = NEW_ARRAY(l->cx->arena, const Node *, n + 1);
    for (uint32_t i = 0; i < body->inputs.n; i++)
        in[i] = graph_copy_node(g, body->inputs.at[i], NULL);
    graph_inline(g, body, in, out);
    for (uint32_t i = 0; i < n; i++) {
        if (!keep[i])
            continue;
        own[i] = op_info(out[i]->op)->cls == OC_LEAF ? own_value(g, out[i]) : out[i];
        for (uint32_t k = i; k-- > 0;)
            if (keep[k] && out[k] == out[i]) {
                own[i] = own_value(g, own[k]);
                break;
            }
        graph_result(g, body->results.at[i].name, own[i]);
    }
    return graph_rewrite(g, l->cx->arena, NULL, NULL);
}

/* The same without inputs whose number lacks keep[k]: nothing reads them. */
static Graph *drop_inputs(LoopFuse *l, const Graph *body, const bool *keep)
{
    Graph *g = graph_new(l->cx->ir, l->cx->arena, body->name);
    const Node **in = NEW_ARRAY(l->cx->arena, const Node *, body->inputs.n + 1);
    const Node **out = NEW_ARRAY(l->cx->arena, const Node *, body->results.n + 1);
    for (uint32_t i = 0; i < body->inputs.n; i++)
        in[i] = keep[i] ? graph_copy_node(g, body->inputs.at[i], NULL) : body->inputs.at[i];
    graph_inline(g, body, in, out);
    for (uint32_t i = 0; i < body->results.n; i++)
        graph_result(g, body->results.at[i].name, out[i]);
    return g;
}

/* Numbers of the results that stay, and which do. */
static const bool *number_results(LoopFuse *l, const Node *n, uint32_t carry)
{
    uint32_t total = node_def(n)->body->results.n, next = 0;
    bool *keep = NEW_ARRAY(l->cx->arena, bool, total + 1), *read = l->read[n->id];
    uint32_t *place = l->place[n->id] = NEW_ARRAY(l->cx->arena, uint32_t, total + 1);
    for (uint32_t i = 0; i < total; i++) {
        keep[i] = i < carry || read[i];
        place[i] = next;
        next += keep[i];
    }
    if (next == 0) { /* a node has a type */
        keep[0] = true;
    }
    return keep;
}

static const Node *fuse_loop(LoopFuse *l, Graph *g, const Node *n, const Node *const *in)
{
    PassCx *cx = l->cx;
    uint32_t carry = (uint32_t)node_int(n, "carry"), xs = (uint32_t)node_int(n, "xs"), nin = 0;
    const Graph *body = separate_results(l, node_def(n)->body, number_results(l, n, carry));
    const uint32_t *uses = graph_use_counts(body, cx->arena);
    bool *keep = NEW_ARRAY(cx->arena, bool, n->nin + 1);
    const Node **operand = NEW_ARRAY(cx->arena, const Node *, n->nin + 1);
    uint32_t sequences = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        keep[k] = k < carry || uses[body->inputs.at[k]->id] > 0;
        if (!keep[k])
            continue;
        sequences += k >= carry && k < carry + xs;
        operand[nin++] = op_info(in[k]->op)->folded ? own_value(g, in[k]) : in[k];
    }
    const Graph *fused = fuse_graph(cx, drop_inputs(l, body, keep), false);
    if (!fused) {
        l->failed = true;
        return NULL;
    }
    Def proto = {.kind = DEF_SCAN, .name = node_def(n)->name, .body = fused};
    proto.nvisible = fused->results.n;
    const ScanSpec spec = {.def = def_intern(cx->ir, &proto),
                           .carry = carry,
                           .xs = sequences,
                           .reverse = node_int(n, "reverse") != 0,
                           .length = node_dim(n, "length")};
    const Node *loop = graph_loop(g, &spec, operand, nin);
    for (uint32_t i = 0; i < fused->results.n && loop->type->is_tuple; i++)
        graph_get(g, loop, i); /* members stand right behind it (fuse.c) */
    return loop;
}

static const Node *visit_fuse(Rewrite *rw, const Node *n, const Node *const *in)
{
    LoopFuse *l = rw->user;
    uint32_t member;
    if (op_info(n->op)->cls == OC_LOOP)
        return fuse_loop(l, rw->out, n, in);
    if (node_is_get(n, &member) && op_info(n->in[0]->op)->cls == OC_LOOP && !l->failed)
        return graph_get(rw->out, in[0], l->place[n->in[0]->id][member]);
    return NULL;
}

Graph *loop_fuse(PassCx *cx, const Graph *in)
{
    const Graph *live = graph_rewrite(in, cx->arena, NULL, NULL);
    LoopFuse l = {.cx = cx};
    l.read = NEW_ARRAY(cx->arena, bool *, live->nodes.n + 1);
    l.place = NEW_ARRAY(cx->arena, uint32_t *, live->nodes.n + 1);
    for (uint32_t i = 0; i < live->nodes.n; i++) {
        const Node *n = live->nodes.at[i];
        uint32_t member = 0;
        if (op_info(n->op)->cls == OC_LOOP) {
            l.read[i] = NEW_ARRAY(cx->arena, bool, node_def(n)->body->results.n + 1);
            l.read[i][0] = !n->type->is_tuple;
        } else if (node_is_get(n, &member) && l.read[n->in[0]->id]) {
            l.read[n->in[0]->id][member] = true;
        }
    }
    Graph *out = graph_rewrite(live, cx->arena, visit_fuse, &l);
    return l.failed ? NULL : out;
}

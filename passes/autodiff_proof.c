/* autodiff_proof.c: that every trained parameter has a gradient, without making one.
 *
 * A parameter has a gradient when a way of differentiable operands leads from the loss down to where
 * it is read. One walk in reverse topological order finds all ends of such ways. A composite with a
 * vjp lets through what its vjp gives a cotangent for; one without is looked into, once per Def:
 * which result depends on which operand. */
#include "internal.h"

typedef struct Proof {
    Arena *arena;
    Map *flows; /* Def -> bool[result * inputs + input] */
} Proof;

static bool carries(const Node *n)
{
    return n->type->is_tuple || dtype_is_float(n->type->dtype);
}

static const bool *def_flow(Proof *p, const Def *def);

/* A call without vjp whose result i is reached: marks the operands that it depends on. */
static void through_body(Proof *p, const Node *call, uint32_t i, bool *reached)
{
    const bool *flow = def_flow(p, node_def(call));
    for (uint32_t k = 0; k < call->nin; k++)
        if (flow[i * call->nin + k])
            reached[call->in[k]->id] = true;
}

static void through_vjp(const Node *call, bool *reached)
{
    const Def *def = node_def(call);
    const Graph *vjp = def->vjp->body;
    for (uint32_t k = 0; k < call->nin; k++) {
        Sym name = node_sym(def->body->inputs.at[k], "name");
        if (autodiff_find_cotangent(vjp, name) < vjp->results.n)
            reached[call->in[k]->id] = true;
    }
}

/* Member i of a tuple: of a tuple node, or of a call with several results. */
static void through_get(Proof *p, const Node *tuple, uint32_t i, bool *reached)
{
    OpClass cls = op_info(tuple->op)->cls;
    if (cls == OC_TUPLE)
        reached[tuple->in[i]->id] = true;
    else if (cls == OC_CALL && !node_def(tuple)->vjp)
        through_body(p, tuple, i, reached);
    else
        reached[tuple->id] = true;
}

static void step(Proof *p, const Node *n, bool *reached)
{
    uint32_t member;
    if (node_is_get(n, &member)) {
        through_get(p, n->in[0], member, reached);
    } else if (op_info(n->op)->cls == OC_CALL) {
        if (node_def(n)->vjp)
            through_vjp(n, reached);
        else if (!n->type->is_tuple)
            through_body(p, n, 0, reached);
    } else {
        for (uint32_t k = 0; k < n->nin; k++)
            if (autodiff_gives(n->op, k))
                reached[n->in[k]->id] = true;
    }
}

/* By id: the nodes that a gradient coming from `from` gets to. */
static bool *reach(Proof *p, const Graph *g, const Node *from)
{
    bool *reached = NEW_ARRAY(p->arena, bool, g->nodes.n);
    reached[from->id] = true;
    for (uint32_t i = from->id + 1; i-- > 0;) {
        const Node *n = g->nodes.at[i];
        reached[i] = reached[i] && carries(n);
        if (reached[i])
            step(p, n, reached);
    }
    return reached;
}

static const bool *def_flow(Proof *p, const Def *def)
{
    bool *flow = map_get(p->flows, MAP_KEY(def));
    if (flow)
        return flow;
    const Graph *body = def->body;
    flow = NEW_ARRAY(p->arena, bool, body->results.n * body->inputs.n + 1);
    for (uint32_t i = 0; i < body->results.n; i++) {
        const bool *reached = reach(p, body, body->results.at[i].node);
        for (uint32_t k = 0; k < body->inputs.n; k++)
            flow[i * body->inputs.n + k] = reached[body->inputs.at[k]->id];
    }
    map_put(p->flows, MAP_KEY(def), flow);
    return flow;
}

bool autodiff_proves(const Program *program, const Graph *g)
{
    const Node *loss = graph_result_find(g, "loss.sum");
    if (!loss)
        return false;
    Proof p = {.arena = arena_new()};
    p.flows = map_new(p.arena);
    const bool *reached = reach(&p, g, loss);
    bool *has = NEW_ARRAY(p.arena, bool, program->states.n + 1);
    uint32_t state;
    for (uint32_t i = 0; i <= loss->id; i++)
        if (reached[i] && node_is_state(g->nodes.at[i], &state))
            has[state] = true;
    bool all = true;
    for (uint32_t i = 0; i < program->states.n; i++) {
        const State *s = program->states.at[i];
        all = all && (has[i] || s->kind != SK_PARAM || !s->trained);
    }
    arena_free(p.arena);
    return all;
}

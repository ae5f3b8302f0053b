/* verify.c: every invariant of ir.h, checked by looking again at everything. A broken one is our
 * bug: BUG names the graph, the node and the rule. */
#include "infer.h"
#include "tables.h"

typedef struct Verifier {
    const Program *program; /* NULL: states are not checked */
    Map *seen;              /* defs that were checked */
} Verifier;

static const char *node_text(const Graph *g, const Node *n)
{
    StrBuf sb = sb_new(g->ir->arena);
    node_print(g->ir, n, &sb);
    return sb_text(&sb);
}

static bool belongs(const Graph *g, const Node *n)
{
    return n && n->id < g->nodes.n && g->nodes.at[n->id] == n;
}

static void broken(const Graph *g, const Node *n, const char *rule)
{
    BUG("graph %s: %s: %s", g->name ? g->name : "", rule, node_text(g, n));
}

static void check_shape_of_node(const Graph *g, const Node *n)
{
    const OpInfo *info = op_info(n->op);
    const OpSchema *schema = &g->ir->tables->schemas[n->op];
    if (info->arity >= 0 && n->nin != (uint32_t)info->arity)
        broken(g, n, "arity");
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!belongs(g, n->in[k]) || n->in[k]->id >= n->id)
            broken(g, n, "an operand does not come before its reader");
    }
    if (n->nattr != schema->n)
        broken(g, n, "number of attributes");
    for (uint32_t i = 0; i < n->nattr; i++) {
        if (n->attr[i].kind != schema->kind[i])
            broken(g, n, "kind of an attribute");
    }
    if (info->commutes && n->in[0]->id > n->in[1]->id)
        broken(g, n, "order of commutative operands");
}

static void check_type(const Graph *g, const Node *n)
{
    const OpInfo *info = op_info(n->op);
    const Type *t =
        info->infer ? info->infer(g->ir, n, n->span) : infer_leaf(g->ir, n, n->type, n->span);
    if (t != n->type)
        broken(g, n, "type");
}

/* Building the graph again must give the same nodes: none is equal to an earlier one. */
static void check_consing(const Graph *g)
{
    Arena *arena = arena_new();
    Graph *again = graph_new(g->ir, arena, g->name);
    const Node **in = NULL;
    uint32_t room = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (n->nin > room) {
            room = n->nin * 2;
            in = NEW_ARRAY(arena, const Node *, room);
        }
        for (uint32_t k = 0; k < n->nin; k++)
            in[k] = again->nodes.at[n->in[k]->id];
        const Node *copy = graph_copy_node(again, n, in);
        if (!copy || copy->id != i || copy->type != n->type)
            broken(g, n, "equal to an earlier node, or of another type");
    }
    arena_free(arena);
}

static void check_inputs(const Graph *g)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (n->op != OP_INPUT)
            continue;
        if (next >= g->inputs.n || g->inputs.at[next++] != n)
            broken(g, n, "not in the list of inputs");
    }
    if (next != g->inputs.n)
        BUG("graph %s: %u inputs, %u input nodes", g->name ? g->name : "", g->inputs.n, next);
}

static const State *state_of(const Verifier *v, const Graph *g, const Node *n, int64_t id)
{
    if (id < 0 || id >= v->program->states.n)
        broken(g, n, "unknown state");
    return v->program->states.at[id];
}

static void check_writes(const Verifier *v, const Graph *g)
{
    Arena *arena = arena_new();
    Map *written = map_new(arena);
    for (uint32_t i = 0; i < g->writes.n; i++) {
        const GraphWrite *w = &g->writes.at[i];
        if (!belongs(g, w->node))
            BUG("graph %s: write %u is no node of it", g->name ? g->name : "", w->state);
        if (map_get(written, (uint64_t)w->state + 1))
            broken(g, w->node, "second write of a state");
        map_put(written, (uint64_t)w->state + 1, (void *)w);
        if (v->program && state_of(v, g, w->node, w->state)->type != w->node->type)
            broken(g, w->node, "written to a state of another type");
    }
    arena_free(arena);
}

static void check_def(Verifier *v, const Def *d);

static void check_graph(Verifier *v, const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (n->id != i)
            BUG("graph %s: node %u at place %u", g->name ? g->name : "", n->id, i);
        check_shape_of_node(g, n);
        for (uint32_t k = 0; k < n->nattr; k++) {
            if (n->attr[k].kind == AK_DEF)
                check_def(v, n->attr[k].def);
        }
        check_type(g, n);
        if (v->program && n->op == OP_STATE &&
            state_of(v, g, n, node_int(n, "id"))->type != n->type)
            broken(g, n, "state of another type");
    }
    for (uint32_t i = 0; i < g->results.n; i++) {
        if (!belongs(g, g->results.at[i].node))
            BUG("graph %s: result %s is no node of it", g->name ? g->name : "",
                g->results.at[i].name);
    }
    check_inputs(g);
    check_writes(v, g);
    check_consing(g);
}

static void check_def(Verifier *v, const Def *d)
{
    if (map_get(v->seen, MAP_KEY(d)))
        return;
    map_put(v->seen, MAP_KEY(d), (void *)d);
    if (!d->body || d->nvisible > d->body->results.n)
        BUG("def %s: %u visible results", d->name, d->nvisible);
    if (d->body->writes.n > 0)
        BUG("def %s writes states", d->name);
    for (uint32_t i = 0; i < d->body->results.n; i++) {
        if (d->body->results.at[i].node->type->is_tuple)
            BUG("def %s: result %u is a tuple", d->name, i);
    }
    check_graph(v, d->body);
    if (d->vjp)
        check_def(v, d->vjp);
}

void graph_verify(const Graph *g, const Program *p)
{
    Arena *arena = arena_new();
    Verifier v = {.program = p, .seen = map_new(arena)};
    check_graph(&v, g);
    arena_free(arena);
}

/* graph.c: the one constructor of nodes.
 *
 * graph_op checks, types and hash-conses, so that an ill-typed node cannot exist and equal nodes
 * are one node: common subexpressions need no pass. Constants are compared by bits, with one NaN. */
#include "infer.h"
#include "tables.h"
#include <math.h>

Graph *graph_new(Ir *ir, Arena *arena, Sym name)
{
    Graph *g = NEW(arena, Graph);
    g->ir = ir;
    g->arena = arena;
    g->name = name;
    g->consed = map_new(arena);
    return g;
}

/* ---- attributes ---- */

static uint64_t num_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

bool attr_is_unset(const Attr *a)
{
    return a->kind == AK_FLAG && a->i == 0;
}

uint64_t attr_hash(const Ir *ir, const Attr *a)
{
    uint64_t h = hash_mix(a->kind, a->n);
    switch (a->kind) {
    case AK_NONE:
        break;
    case AK_INT:
    case AK_DTYPE:
    case AK_FLAG:
        return hash_mix(h, (uint64_t)a->i);
    case AK_NUM:
        return hash_mix(h, num_bits(a->f));
    case AK_SYM:
        return hash_mix(h, a->s ? hash_text(a->s) : 0);
    case AK_INTS:
        for (uint32_t i = 0; i < a->n; i++)
            h = hash_mix(h, (uint64_t)a->ints[i]);
        break;
    case AK_DIM:
        return hash_mix(h, dim_hash(ir, a->dim));
    case AK_DIMS:
        for (uint32_t i = 0; i < a->n; i++)
            h = hash_mix(h, dim_hash(ir, a->dims[i]));
        break;
    case AK_DEF:
        return hash_mix(h, a->def->hash);
    }
    return h;
}

bool attr_same(const Attr *a, const Attr *b)
{
    if (a->kind != b->kind || a->n != b->n)
        return false;
    switch (a->kind) {
    case AK_NONE:
        return true;
    case AK_INT:
    case AK_DTYPE:
    case AK_FLAG:
        return a->i == b->i;
    case AK_NUM:
        return num_bits(a->f) == num_bits(b->f);
    case AK_SYM:
        return a->s == b->s;
    case AK_INTS:
        return a->n == 0 || memcmp(a->ints, b->ints, a->n * sizeof *a->ints) == 0;
    case AK_DIM:
        return a->dim == b->dim;
    case AK_DIMS:
        return a->n == 0 || memcmp(a->dims, b->dims, a->n * sizeof *a->dims) == 0;
    case AK_DEF:
        return a->def == b->def;
    }
    return false;
}

static Attr copy_attr(Arena *arena, const Attr *a)
{
    Attr copy = *a;
    if (a->kind == AK_INTS)
        copy.ints = COPY_ARRAY(arena, int64_t, a->ints, a->n);
    else if (a->kind == AK_DIMS)
        copy.dims = COPY_ARRAY(arena, const Dim *, a->dims, a->n);
    else if (a->kind == AK_NUM && isnan(a->f))
        copy.f = (double)NAN;
    return copy;
}

/* ---- hash-consing ---- */

static uint64_t hash_node(const Graph *g, const Node *n)
{
    uint64_t h = hash_mix(hash_mix(n->op, n->inst), type_hash(g->ir, n->type));
    for (uint32_t k = 0; k < n->nin; k++)
        h = hash_mix(h, n->in[k]->id);
    for (uint32_t i = 0; i < n->nattr; i++)
        h = attr_is_unset(&n->attr[i]) ? h : hash_mix(h, attr_hash(g->ir, &n->attr[i]));
    return h;
}

static bool same_node(const void *item, const void *key)
{
    const Node *a = item, *b = key;
    if (a->op != b->op || a->inst != b->inst || a->type != b->type || a->nin != b->nin)
        return false;
    if (a->nin > 0 && memcmp(a->in, b->in, a->nin * sizeof *a->in) != 0)
        return false;
    for (uint32_t i = 0; i < a->nattr; i++) {
        if (!attr_same(&a->attr[i], &b->attr[i]))
            return false;
    }
    return true;
}

/* ---- construction ---- */

Graph graph_probe(const Graph *g)
{
    Graph probe = *g;
    probe.probing = true;
    return probe;
}

/* Our callers' mistakes, not the user's. */
static void check_spec(const Graph *g, const NodeSpec *s, const OpSchema *schema)
{
    const OpInfo *info = op_info(s->op);
    if (info->arity >= 0 && s->nin != (uint32_t)info->arity)
        BUG("%s with %u inputs", info->name, s->nin);
    for (uint32_t k = 0; k < s->nin; k++)
        ASSERT(s->in[k]->id < g->nodes.n && g->nodes.at[s->in[k]->id] == s->in[k]);
    for (uint32_t i = 0; i < schema->n; i++) {
        if (s->attr[i].kind != schema->kind[i])
            BUG("%s: attribute %u has kind %d, not %d", info->name, i, s->attr[i].kind,
                schema->kind[i]);
    }
}

static const Node *append(Graph *g, const Node *proto)
{
    Node *n = NEW(g->arena, Node);
    *n = *proto;
    n->id = g->nodes.n;
    n->path = g->path;
    n->span = g->span;
    n->in = COPY_ARRAY(g->arena, const Node *, proto->in, proto->nin);
    Attr *attr = NEW_ARRAY(g->arena, Attr, proto->nattr);
    for (uint32_t i = 0; i < proto->nattr; i++)
        attr[i] = copy_attr(g->arena, &proto->attr[i]);
    n->attr = attr;
    VEC_PUSH(g->arena, &g->nodes, n);
    return n;
}

/* The equal node of g, or a new one. Inputs are never merged: each is a formal of its own. */
static const Node *cons(Graph *g, const Node *proto)
{
    if (proto->op == OP_INPUT) {
        ASSERT(!g->probing);
        const Node *n = append(g, proto);
        VEC_PUSH(g->arena, &g->inputs, n);
        return n;
    }
    uint64_t h = hash_node(g, proto);
    const Node *found = intern_find(g->consed, h, proto, same_node);
    if (found || g->probing)
        return found;
    const Node *n = append(g, proto);
    intern_add(g->arena, g->consed, h, n);
    return n;
}

const Node *graph_op(Graph *g, const NodeSpec *spec)
{
    const OpInfo *info = op_info(spec->op);
    const OpSchema *schema = &g->ir->tables->schemas[spec->op];
    for (uint32_t k = 0; k < spec->nin; k++) {
        if (!spec->in[k])
            return NULL;
    }
    check_spec(g, spec, schema);
    Attr attr[IR_MAX_ATTR];
    for (uint32_t i = 0; i < schema->n; i++) {
        attr[i] = spec->attr[i];
        if (attr[i].kind == AK_NUM && isnan(attr[i].f))
            attr[i].f = (double)NAN;
    }
    const Node *swapped[2];
    Node proto = {.op = spec->op,
                  .inst = spec->inst,
                  .nin = spec->nin,
                  .in = spec->in,
                  .nattr = schema->n,
                  .attr = attr,
                  .note = spec->note ? arena_strdup(g->arena, spec->note) : NULL};
    if (info->commutes && spec->in[0]->id > spec->in[1]->id) {
        swapped[0] = spec->in[1];
        swapped[1] = spec->in[0];
        proto.in = swapped;
    }
    proto.type = info->infer ? info->infer(g->ir, &proto, g->span)
                             : infer_leaf(g->ir, &proto, spec->type, g->span);
    return proto.type ? cons(g, &proto) : NULL;
}

void graph_note(Graph *g, const Node *n, const char *note)
{
    ASSERT(n->id < g->nodes.n && g->nodes.at[n->id] == n);
    ((Node *)n)->note = arena_strdup(g->arena, note);
}

/* ---- results and writes ---- */

void graph_result(Graph *g, Sym name, const Node *n)
{
    ASSERT(n && n->id < g->nodes.n && g->nodes.at[n->id] == n);
    VEC_PUSH(g->arena, &g->results, ((GraphResult){name ? name : sym(g->ir->syms, ""), n}));
}

void graph_write(Graph *g, uint32_t state, const Node *n)
{
    ASSERT(n && n->id < g->nodes.n && g->nodes.at[n->id] == n);
    g->written = g->written ? g->written : map_new(g->arena);
    for (uint32_t i = map_count(g->written); i < g->writes.n; i++)
        map_put(g->written, g->writes.at[i].state, (void *)((uintptr_t)i + 1));
    uintptr_t at = (uintptr_t)map_get(g->written, state);
    if (at) {
        g->writes.at[at - 1].node = n;
        return;
    }
    VEC_PUSH(g->arena, &g->writes, ((GraphWrite){state, n}));
}

const Node *graph_result_find(const Graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->results.n; i++) {
        if (strcmp(g->results.at[i].name, name) == 0)
            return g->results.at[i].node;
    }
    return NULL;
}

/* ---- attribute values ---- */

static const Attr *get_attr(const Node *n, const char *name, AttrKind kind)
{
    const Attr *a = &n->attr[op_attr_index(n->op, name)];
    if (a->kind != kind && !(kind == AK_INT && (a->kind == AK_DTYPE || a->kind == AK_FLAG)))
        BUG("%s: attribute %s has kind %d, not %d", op_info(n->op)->name, name, a->kind, kind);
    return a;
}

int64_t node_int(const Node *n, const char *name)
{
    return get_attr(n, name, AK_INT)->i;
}

double node_num(const Node *n, const char *name)
{
    return get_attr(n, name, AK_NUM)->f;
}

Sym node_sym(const Node *n, const char *name)
{
    return get_attr(n, name, AK_SYM)->s;
}

const Attr *node_ints(const Node *n, const char *name)
{
    return get_attr(n, name, AK_INTS);
}

const Dim *node_dim(const Node *n, const char *name)
{
    return get_attr(n, name, AK_DIM)->dim;
}

const Def *node_def(const Node *n)
{
    return get_attr(n, "def", AK_DEF)->def;
}

/* Whether an element of type dt holds x exactly: then casts neither round nor clamp it. */
static bool holds(DType dt, double x)
{
    double room;
    dtype_store(dt, &room, 0, x);
    double back = dtype_load(dt, &room, 0);
    return back == x || (isnan(back) && isnan(x));
}

static bool passes_value(const Node *n)
{
    return n->op == OP_EXPAND || n->op == OP_RESHAPE || n->op == OP_CAST;
}

bool node_is_const(const Node *n, double *value)
{
    const Node *c = n;
    while (passes_value(c))
        c = c->in[0];
    if (c->op != OP_CONST)
        return false;
    double v = node_num(c, "value");
    for (; n != c; n = n->in[0]) {
        if (n->op == OP_CAST && !(holds(n->type->dtype, v) && holds(c->type->dtype, v)))
            return false;
    }
    *value = v;
    return true;
}

/* fuse_outline.c: groups become nodes.
 *
 * before:  %3 = dot %1 %2      %4 = add %3 %b      %5 = relu %4
 * after:   %3 = group %1 %2 %b {def: {(a, b, c) -> relu(add(dot(a, b), c))}, class: gemm}
 *
 * A body is built by walking back from the stored values: what the group reads becomes a formal, all
 * else is copied. Formals are numbered in the order of this walk, never by ids, so that the bodies of
 * equal layers are one Def. */
#include "fuse_groups.h"
#include "internal.h"

#include <string.h>

typedef struct Outline {
    Fuse *fx;
    Graph *out;
    const Node **value; /* by node of the old graph: leaf, or kept value, in the new one */
    const Node **copy;  /* by leaf of the old graph: the stored copy of it */
} Outline;

typedef struct BodyBuild {
    Fuse *fx;
    const Body *body;
    Graph *g;
    const Node **map; /* by node of the old graph */
} BodyBuild;

/* ---- bodies ---- */

static Sym formal_name(Fuse *fx, const Node *n)
{
    Syms *syms = fx->cx->ir->syms;
    if (fuse_class(n) == OC_LEAF)
        return node_sym(n, "name");
    const char *name = op_info(n->op)->name;
    return n->path ? sym_printf(syms, "%s.%s", n->path, name) : sym(syms, name);
}

/* Names are for people; equal ones get a number. */
static void add_formal(BodyBuild *b, uint32_t id)
{
    Fuse *fx = b->fx;
    const Node *n = fuse_node(fx, id);
    Sym name = formal_name(fx, n);
    for (uint32_t i = 0; i < b->g->inputs.n; i++) {
        if (node_sym(b->g->inputs.at[i], "name") == name) {
            name = sym_printf(fx->cx->ir->syms, "%s_%u", name ? name : "v", b->g->inputs.n);
            break;
        }
    }
    b->g->path = NULL;
    b->g->span = n->span;
    b->map[id] = graph_input(b->g, name, n->type);
}

static void build_node(BodyBuild *b, uint32_t id)
{
    if (b->map[id])
        return;
    const Node *n = fuse_node(b->fx, id);
    const Node **in = NEW_ARRAY(b->fx->scratch, const Node *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++) {
        build_node(b, n->in[k]->id);
        in[k] = b->map[n->in[k]->id];
    }
    b->map[id] = graph_copy_node(b->g, n, in);
    ASSERT(b->map[id]);
}

static const Node *call_of(Fuse *fx, const Body *body)
{
    for (uint32_t i = 0; i < body->members.n; i++)
        if (fuse_class(fuse_node(fx, body->members.at[i])) == OC_CALL)
            return fuse_node(fx, body->members.at[i]);
    return NULL;
}

static bool is_result(const Graph *g, const Node *value)
{
    for (uint32_t r = 0; r < g->results.n; r++)
        if (g->results.at[r].node == value)
            return true;
    return false;
}

/* The body without calls. A class knows a composite by all that it gives, and perhaps not by the part that is read
 * here: then of what nobody reads as much is made, too, as it needs. */
static const Graph *without_calls(BodyBuild *b)
{
    const PassCx *cx = b->fx->cx;
    const Node *call = call_of(b->fx, b->body);
    const Graph *g = inline_calls(b->fx->cx, b->g, inline_all);
    KernelClass cls;
    for (uint32_t i = call ? node_def(call)->body->results.n : 0; i-- > 0;) {
        if (claim_by_all(cx, node_def(call)->name, g, &cls))
            return g;
        const Node *value = graph_get(b->g, b->map[call->id], i);
        if (is_result(b->g, value))
            continue;
        graph_result(b->g, sym_printf(cx->ir->syms, "unread%u", i), value);
        g = inline_calls(b->fx->cx, b->g, inline_all);
    }
    return g;
}

const Graph *fuse_body(Fuse *fx, const Body *body, Sym name, const Ids *formals)
{
    Ir *ir = fx->cx->ir;
    BodyBuild b = {.fx = fx, .body = body, .g = graph_new(ir, fx->cx->arena, name)};
    b.map = NEW_ARRAY(fx->scratch, const Node *, fx->n);
    for (uint32_t i = 0; i < formals->n; i++)
        add_formal(&b, formals->at[i]);
    for (uint32_t i = 0; i < body->stored.n; i++) {
        build_node(&b, body->stored.at[i]);
        graph_result(b.g, sym_printf(ir->syms, "out%u", i), b.map[body->stored.at[i]]);
    }
    const Graph *g = body->nclass[OC_CALL] > 0 ? without_calls(&b) : b.g;
    arena_reset(fx->scratch);
    return g;
}

static const Def *build_def(Fuse *fx, const FGroup *group, const Body *body, const Ids *formals)
{
    Sym name = fuse_name(fx, group, body);
    const Graph *g = fuse_body(fx, body, name, formals);
    Def proto = {.kind = DEF_GROUP, .name = name, .body = g, .nvisible = body->stored.n};
    return def_intern(fx->cx->ir, &proto);
}

/* ---- nodes ---- */

/* The decisions, and for `mdl why` which nodes of the graph before are computed here. */
static const char *notes_text(Fuse *fx, const FGroup *g, const Ids *members)
{
    StrBuf sb = sb_new(fx->cx->arena);
    for (uint32_t i = 0; i < g->notes.n; i++)
        sb_printf(&sb, "%s%s", i ? "\n" : "", g->notes.at[i]);
    if (!fx->numbered || !members->n)
        return sb.n ? sb_text(&sb) : NULL;
    sb_printf(&sb, "%snodes", sb.n ? "\n" : "");
    for (uint32_t i = 0; i < members->n; i++)
        sb_printf(&sb, " %%%u", members->at[i]);
    return sb_text(&sb);
}

typedef struct Emit {
    const FGroup *group;
    const Def *def;
    const Ids *inputs;  /* old node ids */
    const Ids *results; /* old node ids, in the order of the node's results */
    const Ids *members; /* old node ids: what is computed */
    uint32_t count;
} Emit;

static void emit_group(Outline *o, const Emit *e)
{
    Fuse *fx = o->fx;
    const ClassInfo *cls = class_info(e->group->cls);
    const Node *anchor = fuse_node(fx, fuse_anchor(fx, e->group));
    const Node **in = NEW_ARRAY(fx->arena, const Node *, e->inputs->n + 1);
    for (uint32_t i = 0; i < e->inputs->n; i++) {
        in[i] = o->value[e->inputs->at[i]];
        ASSERT(in[i]);
    }
    Attr attr[IR_MAX_ATTR] = {{0}};
    attr[op_attr_index(OP_GROUP, "def")] = (Attr){.kind = AK_DEF, .def = e->def};
    attr[op_attr_index(OP_GROUP, "class")] =
        (Attr){.kind = AK_SYM, .s = sym(fx->cx->ir->syms, cls->name)};
    int64_t *config = NEW_ARRAY(fx->arena, int64_t, cls->config[fx->cx->target->kind].n + 1);
    attr[op_attr_index(OP_GROUP, "config")] =
        (Attr){.kind = AK_INTS, .n = cls->config[fx->cx->target->kind].n, .ints = config};
    attr[op_attr_index(OP_GROUP, "count")] = (Attr){.kind = AK_INT, .i = e->count};
    o->out->path = anchor->path;
    o->out->span = anchor->span;
    const Node *node = graph_op(o->out, &(NodeSpec){.op = OP_GROUP,
                                                    .nin = e->inputs->n,
                                                    .in = in,
                                                    .attr = attr,
                                                    .note = notes_text(fx, e->group, e->members)});
    ASSERT(node);
    for (uint32_t i = 0; i < e->results->n; i++) {
        uint32_t id = e->results->at[i];
        o->out->path = fuse_node(fx, id)->path; /* of the value: for who asks what takes memory */
        o->out->span = fuse_node(fx, id)->span;
        bool leaf = fuse_class(fuse_node(fx, id)) == OC_LEAF;
        *(leaf ? &o->copy[id] : &o->value[id]) = graph_get(o->out, node, i);
    }
}

static void outline_plain(Outline *o, const FGroup *g)
{
    Body body;
    fuse_walk(o->fx, g->id, FUSE_NONE, &body);
    const Def *def = build_def(o->fx, g, &body, &body.reads);
    emit_group(o, &(Emit){.group = g,
                          .def = def,
                          .inputs = &body.reads,
                          .results = &body.stored,
                          .members = &body.members,
                          .count = 1});
}

/* Fused already (loop.c); here it gets its operands. */
static void outline_loop(Outline *o, const FGroup *g)
{
    Fuse *fx = o->fx;
    uint32_t member;
    const Node *first = fuse_node(fx, g->kept.at[0]);
    const Node *n = node_is_get(first, &member) ? first->in[0] : first;
    const Node **in = NEW_ARRAY(fx->arena, const Node *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++) {
        in[k] = o->value[n->in[k]->id];
        ASSERT(in[k]);
    }
    o->out->path = n->path;
    o->out->span = n->span;
    const Node *loop = graph_copy_node(o->out, n, in);
    for (uint32_t i = 0; i < g->kept.n; i++) {
        const Node *kept = fuse_node(fx, g->kept.at[i]);
        o->value[kept->id] = node_is_get(kept, &member) ? graph_get(o->out, loop, member) : loop;
    }
}

/* Operands: the tensors of each set, then the shared scalars. The body is that of the first set. */
static void outline_table(Outline *o, const FGroup *g)
{
    Fuse *fx = o->fx;
    Ids inputs = {0}, results = {0}, formals = {0}, scalars = {0};
    Body first = {0};
    for (uint32_t s = 0; s < g->sets.n; s++) {
        Body set = {.a = g->id, .b = FUSE_NONE, .stored = g->sets.at[s]};
        Ids tensors = {0};
        scalars.n = 0;
        const char *key = fuse_table_key(fx, &set, &tensors, &scalars);
        ASSERT(key);
        for (uint32_t i = 0; i < tensors.n; i++)
            VEC_PUSH(fx->arena, &inputs, tensors.at[i]);
        for (uint32_t i = 0; i < set.stored.n; i++)
            VEC_PUSH(fx->arena, &results, set.stored.at[i]);
        if (s == 0) {
            first = set;
            for (uint32_t i = 0; i < tensors.n; i++)
                VEC_PUSH(fx->arena, &formals, tensors.at[i]);
        }
    }
    for (uint32_t i = 0; i < scalars.n; i++) {
        VEC_PUSH(fx->arena, &inputs, scalars.at[i]);
        VEC_PUSH(fx->arena, &formals, scalars.at[i]);
    }
    fuse_walk_members(fx, &first);
    const Def *def = build_def(fx, g, &first, &formals);
    emit_group(o, &(Emit){.group = g,
                          .def = def,
                          .inputs = &inputs,
                          .results = &results,
                          .members = &results,
                          .count = g->sets.n});
}

/* ---- driver ---- */

/* What a result or write becomes: the copy when a view or leaf has one. */
static const Node *sink_value(const Outline *o, const Node *n)
{
    const Node *v = o->copy[n->id] ? o->copy[n->id] : o->value[n->id];
    ASSERT(v);
    return v;
}

static void copy_leaves(Outline *o)
{
    const Graph *g = o->fx->g;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        o->value[g->inputs.at[i]->id] = graph_copy_node(o->out, g->inputs.at[i], NULL);
    for (uint32_t i = 0; i < o->fx->n; i++) {
        const Node *n = fuse_node(o->fx, i);
        if (o->fx->live[i] && !o->value[i] && fuse_class(n) == OC_LEAF && !op_info(n->op)->folded)
            o->value[i] = graph_copy_node(o->out, n, NULL);
    }
}

Graph *fuse_outline(Fuse *fx)
{
    const Graph *g = fx->g;
    Outline o = {.fx = fx, .out = graph_new(fx->cx->ir, fx->cx->arena, g->name)};
    o.value = NEW_ARRAY(fx->arena, const Node *, fx->n);
    o.copy = NEW_ARRAY(fx->arena, const Node *, fx->n);
    copy_leaves(&o);
    for (uint32_t i = 0; i < fx->order.n; i++) {
        const FGroup *group = fx->groups.at[fx->order.at[i]];
        if (group->cls == FUSE_LOOP)
            outline_loop(&o, group);
        else if (group->sets.n > 0)
            outline_table(&o, group);
        else
            outline_plain(&o, group);
    }
    o.out->path = g->path;
    o.out->span = g->span;
    for (uint32_t i = 0; i < g->results.n; i++)
        graph_result(o.out, g->results.at[i].name, sink_value(&o, g->results.at[i].node));
    for (uint32_t i = 0; i < g->writes.n; i++)
        graph_write(o.out, g->writes.at[i].state, sink_value(&o, g->writes.at[i].node));
    return o.out;
}

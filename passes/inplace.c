/* inplace.c: writes of states go straight to the state's buffer where that is safe.
 *
 * Safe means: the value has no other home (a result, another state); its group reads the old value,
 * if at all, only at the element it writes; every other reader of the old value can run before.
 * Otherwise the write gets a group that copies: it runs after all readers and nothing waits for it,
 * so it is always safe. Example: w' = w - lr * dw is in place; a' = b, b' = a copies one of them. */
#include "pick.h"
#include "products.h"
#include "schedule.h"
#include "space.h"

#include <string.h>

bool node_is_step(const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    return cls == OC_GROUP || cls == OC_LOOP;
}

bool value_of_group(const Node *n, const Node **group, uint32_t *result)
{
    *result = 0;
    if (node_is_get(n, result))
        n = n->in[0];
    *group = n;
    return node_is_step(n);
}

/* ---- what must run before what ---- */

Flow *flow_new(Arena *arena, const Graph *g)
{
    Flow *f = NEW(arena, Flow);
    f->g = g;
    f->arena = arena;
    f->group = NEW_ARRAY(arena, const Node *, g->nodes.n + 1);
    f->number = NEW_ARRAY(arena, uint32_t, g->nodes.n + 1);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i], *from;
        uint32_t result;
        f->number[i] = NO_GROUP;
        if (node_is_step(n)) {
            f->number[i] = f->n;
            f->group[f->n++] = n;
        } else if (value_of_group(n, &from, &result)) {
            f->number[i] = f->number[from->id];
        }
    }
    f->after = NEW_ARRAY(arena, Numbers, f->n + 1);
    f->before = NEW_ARRAY(arena, Numbers, f->n + 1);
    for (uint32_t i = 0; i < f->n; i++) {
        for (uint32_t k = 0; k < f->group[i]->nin; k++) {
            uint32_t from = f->number[f->group[i]->in[k]->id];
            if (from != NO_GROUP)
                flow_edge(f, from, i);
        }
    }
    return f;
}

void flow_edge(Flow *f, uint32_t before, uint32_t after)
{
    for (uint32_t i = 0; i < f->before[after].n; i++) {
        if (f->before[after].at[i] == before)
            return;
    }
    VEC_PUSH(f->arena, &f->after[before], after);
    VEC_PUSH(f->arena, &f->before[after], before);
}

bool flow_reaches(const Flow *f, uint32_t from, uint32_t to)
{
    bool *seen = NEW_ARRAY(f->arena, bool, f->n);
    Numbers stack = {0};
    VEC_PUSH(f->arena, &stack, from);
    while (stack.n > 0) {
        uint32_t at = stack.at[--stack.n];
        if (at == to)
            return true;
        for (uint32_t i = 0; i < f->after[at].n; i++) {
            uint32_t next = f->after[at].at[i];
            if (seen[next])
                continue;
            seen[next] = true;
            VEC_PUSH(f->arena, &stack, next);
        }
    }
    return false;
}

static bool reads_state(const Node *group, uint32_t state)
{
    uint32_t id;
    for (uint32_t k = 0; k < group->nin; k++) {
        if (node_is_state(group->in[k], &id) && id == state)
            return true;
    }
    return false;
}

bool flow_overwrite(Flow *f, const GraphWrite *w)
{
    uint32_t writer = f->number[w->node->id];
    ASSERT(writer != NO_GROUP);
    Numbers readers = {0};
    for (uint32_t i = 0; i < f->n; i++) {
        if (i == writer || !reads_state(f->group[i], w->state))
            continue;
        if (flow_reaches(f, writer, i))
            return false;
        VEC_PUSH(f->arena, &readers, i);
    }
    for (uint32_t i = 0; i < readers.n; i++)
        flow_edge(f, readers.at[i], writer);
    return true;
}

/* ---- the same element ---- */

typedef struct Alias {
    Ir *ir;
    Arena *arena;
    const Node *formal;
    const Ix *const *want; /* the element that is written */
    Space space;
    uint8_t *holds; /* by node of the body: 1 the formal is below, 2 not */
    bool whole;     /* a composite, whose folds are its own affair */
    bool column;    /* what is written is computed from folds of columns, when all rows are done */
    Map *done;
    bool safe;
} Alias;

static bool holds(Alias *a, const Node *n)
{
    if (a->holds[n->id])
        return a->holds[n->id] == 1;
    bool found = n == a->formal;
    for (uint32_t k = 0; k < n->nin; k++)
        found = holds(a, n->in[k]) || found;
    a->holds[n->id] = found ? 1 : 2;
    return found;
}

static void visit(Alias *a, const Node *n, const Ix *const *ix)
{
    if (!a->safe || !holds(a, n))
        return;
    uint64_t key = hash_mix(0, n->id);
    for (uint32_t i = 0; i < n->type->rank; i++)
        key = hash_mix(key, MAP_KEY(ix[i]));
    if (map_get(a->done, key))
        return;
    map_put(a->done, key, a);
    if (n == a->formal) {
        a->safe = a->want && memcmp(ix, a->want, n->type->rank * sizeof *ix) == 0;
        return;
    }
    for (uint32_t k = 0; k < n->nin; k++) {
        const Ix *in[IR_MAX_RANK];
        if (!holds(a, n->in[k]))
            continue;
        bool folds = op_info(n->op)->cls == OC_REDUCE;
        if (folds && a->column && !a->whole)
            continue; /* read before */
        if (folds && !a->whole)
            visit(a, n->in[k], a->space.full);
        else if (op_info(n->op)->cls == OC_UPDATE && k == 0)
            visit(a, n->in[k], ix); /* where there are no new rows, each element stays */
        else if (!folds && op_at(a->ir, n, k, ix, in))
            visit(a, n->in[k], in);
        else
            a->safe = false; /* contractions, scatters, padding, joining; folds of all */
    }
}

/* Of rows, if it is a group that folds rows and columns. */
static const Node *first_fold(const Graph *body)
{
    const Node *first = NULL;
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        if (op_info(n->op)->cls == OC_REDUCE &&
            (!first || (node_folds_last(n) && !node_folds_last(first))))
            first = n;
    }
    return first;
}

/* By node: computed from a fold of columns, in a group that folds rows as well. */
static bool *find_columns(Arena *arena, const Node *group, const Space *space)
{
    const Graph *body = node_def(group)->body;
    bool *column = NEW_ARRAY(arena, bool, body->nodes.n + 1);
    bool both = strcmp(node_sym(group, "class"), class_info(KC_ROW_COL)->name) == 0;
    for (uint32_t i = 0; i < body->nodes.n && both; i++) {
        const Node *n = body->nodes.at[i];
        column[i] = op_info(n->op)->cls == OC_REDUCE && !space_folds_rows(space, n);
        for (uint32_t k = 0; k < n->nin; k++)
            column[i] = column[i] || column[n->in[k]->id];
    }
    return column;
}

bool inplace_may_share(PassCx *cx, Arena *scratch, const Node *group, uint32_t k, uint32_t r)
{
    if (op_info(group->op)->cls == OC_LOOP)
        return false; /* a later round may read what an earlier one wrote */
    const Graph *body = node_def(group)->body;
    uint32_t count = (uint32_t)node_int(group, "count"), nresult = body->results.n;
    if (count > 1) { /* a table is elementwise; only the sets must agree */
        uint32_t per_set = (group->nin - body->inputs.n) / (count - 1);
        return k < count * per_set && k / per_set == r / nresult;
    }
    const Node *result = body->results.at[r].node;
    Alias a = {.ir = cx->ir, .arena = scratch, .formal = body->inputs.at[k], .safe = true};
    a.holds = NEW_ARRAY(scratch, uint8_t, body->nodes.n);
    a.done = map_new(scratch);
    Products p;
    bool products = products_find(body, scratch, &p);
    KernelClass cls;
    a.whole = class_find(node_sym(group, "class"), &cls) && class_info(cls)->composite;
    /* of a product: below an operand */
    const Node *fold = products || a.whole ? NULL : first_fold(body);
    space_make(cx->ir, &a.space, fold, result->type);
    const bool *column = find_columns(scratch, group, &a.space);
    a.column = column[result->id];
    a.want =
        a.column ? space_column(&a.space, result->type) : space_identity(&a.space, result->type);
    if (fold && a.want == a.space.full)
        return false; /* a later pass over the row may read what an earlier one wrote */
    if (!type_same_dims(a.formal->type, result->type))
        return false;
    for (uint32_t i = 0; i < body->results.n; i++) {
        const Node *n = body->results.at[i].node;
        const Ix *const *at =
            column[n->id] ? space_column(&a.space, n->type) : space_identity(&a.space, n->type);
        bool apart = products ? p.result_set[i] != p.result_set[r] /* in other tasks */
                              : a.whole && i != r;                 /* in other phases */
        if (a.column && !column[n->id])
            continue; /* stored before */
        if (at && !apart)
            visit(&a, n, at);
        else
            a.safe = a.safe && !holds(&a, n);
    }
    return a.safe;
}

/* ---- writes ---- */

static bool has_other_home(const Graph *g, uint32_t write)
{
    const Node *n = g->writes.at[write].node;
    for (uint32_t i = 0; i < g->results.n; i++) {
        if (g->results.at[i].node == n)
            return true;
    }
    for (uint32_t i = 0; i < write; i++) {
        if (g->writes.at[i].node == n)
            return true;
    }
    return false;
}

static bool is_in_place(PassCx *cx, Flow *f, uint32_t write)
{
    const GraphWrite *w = &f->g->writes.at[write];
    const Node *group;
    uint32_t result, state;
    if (!value_of_group(w->node, &group, &result) || has_other_home(f->g, write))
        return false;
    for (uint32_t k = 0; k < group->nin; k++) {
        if (node_is_state(group->in[k], &state) && state == w->state &&
            !inplace_may_share(cx, f->arena, group, k, result))
            return false;
    }
    return flow_overwrite(f, w);
}

static const Node *add_copy(PassCx *cx, Graph *g, const Node *value)
{
    Ir *ir = cx->ir;
    Graph *body = graph_new(ir, cx->arena, sym(ir->syms, "copy"));
    graph_result(body, sym(ir->syms, "out0"), graph_input(body, sym(ir->syms, "x"), value->type));
    const Def *def =
        def_intern(ir, &(Def){.kind = DEF_GROUP, .name = body->name, .body = body, .nvisible = 1});
    const char *cls = class_info(KC_MAP)->name;
    Attr attr[IR_MAX_ATTR] = {{0}};
    attr[op_attr_index(OP_GROUP, "def")] = (Attr){.kind = AK_DEF, .def = def};
    attr[op_attr_index(OP_GROUP, "class")] = (Attr){.kind = AK_SYM, .s = sym(ir->syms, cls)};
    Attr *config = &attr[op_attr_index(OP_GROUP, "config")];
    config->kind = AK_INTS;
    config->ints = pick_config(cx, def, cls, &config->n);
    attr[op_attr_index(OP_GROUP, "count")] = (Attr){.kind = AK_INT, .i = 1};
    g->path = value->path;
    g->span = value->span;
    return graph_op(g, &(NodeSpec){.op = OP_GROUP,
                                   .nin = 1,
                                   .in = &value,
                                   .inst = g->nodes.n, /* two copies of one value stay two */
                                   .attr = attr,
                                   .note = "copied: the state cannot be written in place"});
}

/* What graph_rewrite is told: groups that need not copy the tensor they update. */
typedef struct Partial {
    bool *group; /* by node */
    bool any;
} Partial;

/* An update in its tensor's own place writes its rows only. */
static void note_partial(Partial *p, const Node *value)
{
    const Node *group;
    uint32_t result;
    if (value_of_group(value, &group, &result) && op_info(group->op)->cls == OC_GROUP &&
        strcmp(node_sym(group, "class"), class_info(KC_UPDATE)->name) == 0)
        p->any = p->group[group->id] = true;
}

/* A product that writes rows of a state's tensor, and nothing else of it: fusion has seen that it is the state's
 * only reader. */
static bool writes_rows(const Node *value)
{
    const Node *group;
    uint32_t result;
    return value_of_group(value, &group, &result) && op_info(group->op)->cls == OC_GROUP &&
           strcmp(node_sym(group, "class"), class_info(KC_GEMM)->name) == 0 &&
           op_info(node_def(group)->body->results.at[result].node->op)->cls == OC_UPDATE;
}

static const Node *write_rows_only(Rewrite *rw, const Node *n, const Node *const *in)
{
    const Partial *p = rw->user;
    if (!p->group[n->id])
        return NULL;
    Attr attr[IR_MAX_ATTR] = {{0}};
    memcpy(attr, n->attr, n->nattr * sizeof *attr);
    Attr *config = &attr[op_attr_index(n->op, "config")];
    int64_t *ints = COPY_ARRAY(rw->out->arena, int64_t, config->ints, config->n);
    ints[PICK_UPDATE_WHOLE] = 0;
    config->ints = ints;
    return graph_op(
        rw->out,
        &(NodeSpec){
            .op = n->op, .inst = n->inst, .nin = n->nin, .in = in, .attr = attr, .note = n->note});
}

const Graph *inplace_writes(PassCx *cx, Arena *scratch, const Graph *g)
{
    Flow *f = flow_new(scratch, g);
    bool *copy = NEW_ARRAY(scratch, bool, g->writes.n + 1), any = false;
    Partial partial = {.group = NEW_ARRAY(scratch, bool, g->nodes.n + 1)};
    for (uint32_t i = 0; i < g->writes.n; i++) {
        copy[i] = !is_in_place(cx, f, i);
        any = any || copy[i];
        if (!copy[i])
            note_partial(&partial, g->writes.at[i].node);
        else if (writes_rows(g->writes.at[i].node))
            BUG("memplan: rows of state %u go nowhere", g->writes.at[i].state);
    }
    if (!any && !partial.any)
        return g;
    Graph *out = graph_rewrite(g, cx->arena, write_rows_only, &partial);
    ASSERT(out->writes.n == g->writes.n);
    for (uint32_t i = 0; i < g->writes.n; i++) {
        const GraphWrite w = out->writes.at[i];
        if (copy[i])
            graph_write(out, w.state, add_copy(cx, out, w.node));
    }
    return out;
}

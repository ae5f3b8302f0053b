/* store.c: `store = int8`, `store = int4(block: 32)` of a block that makes text: weights are kept in few bits.
 *
 * Stored are matrices that are multiplied and nothing else: each product sums over the same axis of it. So a table
 * that is looked up stays as it was loaded, also where it is the head of the model at the same time. A stored weight is
 * two states, codes and scales, whose product `dequant_..` of std takes its place in every entry. The axis that is
 * summed over is the last of the codes, however the file has it. */
#include "store.h"

#include <string.h>

enum { WORD = 8, BLOCK = 32, BLOCK_MOST = 128 };

typedef struct Weight {
    bool read, other; /* by products; by anything else */
    uint32_t axis;    /* that these sum over */
    State *scale;     /* of a stored one */
} Weight;

typedef struct Storing {
    Elab *e;
    Env *env;
    Span span;
    Sym word; /* int8, int4 */
    StoreKind kind;
    int64_t block;
    Weight *weight;      /* by state */
    const State **chain; /* by node of the graph at hand: the weight that it is, but for casts */
} Storing;

/* ---- what is said ---- */

static bool read_store(Storing *s, const Ast *a)
{
    Elab *e = s->e;
    const Val *v = eval(e, s->env, a);
    s->span = a->span;
    s->word = record_name(v);
    s->kind = strcmp(s->word, "int8") == 0 ? STORE_INT8 : STORE_INT4;
    s->block = BLOCK;
    const Val *block = record_arg(e, v, UINT32_MAX, "block");
    if (!block || !val_as_int(block, &s->block)) {
        return true;
    }
    for (int64_t n = BLOCK; n <= BLOCK_MOST; n *= 2) {
        if (n == s->block) {
            return true;
        }
    }
    diag_at(e->diags, DIAG_E0802, block->span, "`block` is 32, 64 or 128, got %s",
            val_text(e, block));
    return false;
}

/* ---- which weights ---- */

static const State *weight_below(const Storing *s, const Node *n)
{
    uint32_t id;
    if (node_is_state(n, &id)) {
        const State *w = s->e->program->states.at[id];
        bool matrix = w->kind == SK_PARAM && w->type->rank == 2 && dtype_is_float(w->type->dtype);
        return matrix ? w : NULL;
    }
    bool cast = node_is_cast(n) && dtype_is_float(n->type->dtype);
    return cast ? s->chain[n->in[0]->id] : NULL;
}

/* The axis of operand k that product n sums over; false: it is no product of a matrix by one axis. */
static bool summed_axis(const Node *n, uint32_t k, uint32_t *axis)
{
    DotAxes x;
    if (op_info(n->op)->cls != OC_CONTRACT) {
        return false;
    }
    node_dot_axes(n, &x);
    *axis = (uint32_t)(k == 0 ? x.a_contract[0] : x.b_contract[0]);
    return x.nbatch == 0 && x.ncontract == 1 && n->in[0] != n->in[1];
}

static void look_at_use(Storing *s, const Node *n, uint32_t k)
{
    const State *w = s->chain[n->in[k]->id];
    uint32_t axis;
    if (!w || s->chain[n->id]) {
        return;
    }
    Weight *x = &s->weight[w->id];
    bool product = summed_axis(n, k, &axis);
    x->other = x->other || !product || (x->read && x->axis != axis);
    x->axis = product ? axis : x->axis;
    x->read = true;
}

static void look_at(Storing *s, const Graph *g)
{
    s->chain = NEW_ARRAY(s->e->arena, const State *, g->nodes.n + 1);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        s->chain[i] = weight_below(s, g->nodes.at[i]);
    }
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        for (uint32_t k = 0; k < g->nodes.at[i]->nin; k++) {
            look_at_use(s, g->nodes.at[i], k);
        }
    }
    for (uint32_t i = 0; i < g->results.n; i++) {
        const State *w = s->chain[g->results.at[i].node->id];
        if (w) {
            s->weight[w->id].other = true;
        }
    }
    for (uint32_t i = 0; i < g->writes.n; i++) {
        const State *w = s->chain[g->writes.at[i].node->id];
        if (w) {
            s->weight[w->id].other = true;
        }
        s->weight[g->writes.at[i].state].other = true;
    }
}

/* ---- states ---- */

static bool has_blocks(Storing *s, const State *w, int64_t length)
{
    if (s->kind == STORE_INT8 || length % s->block == 0) {
        return true;
    }
    Diag *d = diag_at(s->e->diags, DIAG_E0815, s->span,
                      "`%s` cannot be stored in blocks of %lld: its rows have %lld numbers",
                      w->path, (long long)s->block, (long long)length);
    diag_also(d, w->span, "declared here");
    diag_help(d, "`store = int8` has one scale for a row of any length");
    return false;
}

/* The weight becomes its codes, under its path and key; its scales are a new state. */
static bool make_states(Storing *s, State *w)
{
    Ir *ir = s->e->ir;
    Weight *x = &s->weight[w->id];
    int64_t length = 0;
    const Dim *rows = w->type->dims[1 - x->axis], *row = w->type->dims[x->axis];
    if (!dim_is_const(row, &length) || !has_blocks(s, w, length)) {
        return false;
    }
    bool bytes = s->kind == STORE_INT8;
    const Dim *codes[] = {rows, bytes ? row : dim_const(ir, length / WORD)};
    const Dim *scales[] = {rows, dim_const(ir, length / s->block)};
    State proto = {.kind = SK_SCALE,
                   .path = sym_printf(ir->syms, "%s.scale", w->path),
                   .type = bytes ? type_tensor(ir, DT_F32, 1, scales)
                                 : type_tensor(ir, DT_BF16, 2, scales),
                   .of = w->id,
                   .span = w->span};
    x->scale = program_state(s->e->program, &proto);
    w->kind = SK_CODES;
    w->type = type_tensor(ir, bytes ? DT_I8 : DT_I32, 2, codes);
    w->init = (Init){.kind = INIT_ZEROS};
    w->store = s->kind;
    w->axis = x->axis;
    return true;
}

static bool make_all_states(Storing *s)
{
    Elab *e = s->e;
    uint32_t n = e->program->states.n, stored = 0;
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        bool wanted = s->weight[i].read && !s->weight[i].other;
        ok = !wanted || make_states(s, e->program->states.at[i]);
        stored += wanted;
    }
    if (ok && !stored) {
        diag_at(e->diags, DIAG_E0815, s->span,
                "`store` has nothing to store: no matrix of the model is only multiplied");
    }
    return ok && stored > 0;
}

/* ---- entries ---- */

/* f32[O, I]: the codes times their scales. */
static const Node *dequantised(Storing *s, const State *w)
{
    Elab *e = s->e;
    Sym name = sym_printf(e->ir->syms, "dequant_%s", s->word);
    const Val *fn = env_get(e, e->front->std->env, name, s->span);
    const State *scale = s->weight[w->id].scale;
    Args args = {.call = s->span};
    args_push(e, &args, sym(e->ir->syms, "q"),
              val_node(e, graph_state(e->g, w->id, w->type, w->path), s->span));
    args_push(e, &args, sym(e->ir->syms, "scale"),
              val_node(e, graph_state(e->g, scale->id, scale->type, scale->path), s->span));
    const Val *v = call_value(e, s->env, fn, &args);
    return val_is_poison(v) ? NULL : tensor_of(e, v);
}

static const Node *visit(Rewrite *rw, const Node *n, const Node *const *in)
{
    Storing *s = rw->user;
    DotAxes x;
    const Node *side[2];
    bool any = false;
    const State *leaf = n->nin ? NULL : s->chain[n->id];
    s->e->g = rw->out;
    if (leaf) { /* nobody reads it any more */
        return graph_state(rw->out, leaf->id, leaf->type, leaf->path);
    }
    if (op_info(n->op)->cls != OC_CONTRACT) {
        return NULL;
    }
    node_dot_axes(n, &x);
    for (uint32_t k = 0; k < 2; k++) {
        const State *w = s->chain[n->in[k]->id];
        side[k] = in[k];
        if (!w) {
            continue;
        }
        any = true;
        const Node *d = dequantised(s, w);
        side[k] = d ? graph_cast(rw->out, n->in[k]->type->dtype, d) : in[k];
        (k == 0 ? x.a_contract : x.b_contract)[0] = 1;
    }
    return any ? graph_dot(rw->out, side[0], side[1], &x) : NULL;
}

static Graph *rewritten(Storing *s, Graph *g)
{
    Graph *before = s->e->g;
    s->chain = NEW_ARRAY(s->e->arena, const State *, g->nodes.n + 1);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        uint32_t id;
        bool state = node_is_state(n, &id);
        if (state || node_is_cast(n)) {
            s->chain[i] = !state                ? s->chain[n->in[0]->id]
                          : s->weight[id].scale ? s->e->program->states.at[id]
                                                : NULL;
        }
    }
    Graph *out = graph_rewrite(g, s->e->arena, visit, s);
    s->e->g = before;
    return out;
}

bool store_weights(Elab *e, Env *env, const Ast *block, uint32_t first)
{
    const Ast *a = block_attr(block, "store");
    if (!a || a->kind == A_NONE) {
        return true;
    }
    Storing s = {.e = e, .env = env};
    if (!read_store(&s, a)) {
        return false;
    }
    if (e->stage) {
        diag_at(e->diags, DIAG_E0814, s.span,
                "`%s %s` stores weights as %s: a stage that trains them cannot use it", block->text,
                block->name, s.word);
        return false;
    }
    Program *p = e->program;
    s.weight = NEW_ARRAY(e->arena, Weight, p->states.n + 1);
    for (uint32_t i = first; i < p->entries.n; i++) {
        look_at(&s, p->entries.at[i]);
    }
    bool ok = make_all_states(&s);
    for (uint32_t i = first; i < p->entries.n && ok; i++) {
        p->entries.at[i] = rewritten(&s, p->entries.at[i]);
    }
    return ok;
}

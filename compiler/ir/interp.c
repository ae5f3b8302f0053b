/* interp.c: the reference interpreter: runs a graph in f64, or in the bits of its types, node by node
 * in topological order.
 *
 * It is the oracle of every pass, kernel and gradient, so it knows nothing but ops.def: leaves are
 * bound, calls and groups run their bodies, everything else is an `eval` column. Only what results
 * and writes need is computed. */
#include "eval.h"
#include "ir.h"
#include "philox.h"

#include <string.h>

/* The value of one node: a tensor, or the members of a tuple. */
typedef struct Cell {
    Value *v;
    Value **elems;
    uint32_t nelem;
} Cell;

typedef struct Run {
    const Graph *g;
    Arena *arena;
    const InterpBinding *b;
    Value *const *inputs; /* by position in g->inputs */
    const Value *like;    /* body of a group with count > 1: what every tensor's extents are */
    Cell *cells;          /* by node id */
} Run;

static void run_graph(Run *r);

/* ---- values ---- */

static Value *value_shaped(Arena *arena, const Type *type, uint32_t rank, const int64_t *dim)
{
    Value *v = NEW(arena, Value);
    v->type = type;
    v->rank = rank;
    v->count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        ASSERT(dim[i] >= 0);
        v->dim[i] = dim[i];
        v->count *= dim[i];
    }
    v->at = NEW_ARRAY(arena, double, v->count > 0 ? v->count : 1);
    return v;
}

Value *value_new(Arena *arena, const Type *type, const int64_t *sym_values)
{
    ASSERT(!type->is_tuple);
    int64_t dim[IR_MAX_RANK];
    for (uint32_t i = 0; i < type->rank; i++)
        dim[i] = dim_eval(type->dims[i], sym_values);
    Value *v = value_shaped(arena, type, type->rank, dim);
    v->sym_values = sym_values;
    return v;
}

static Value *new_value(Run *r, const Type *type)
{
    bool own = !r->like || type->rank == 0;
    Value *v = own ? value_new(r->arena, type, r->b->sym_values)
                   : value_shaped(r->arena, type, r->like->rank, r->like->dim);
    v->sym_values = r->b->sym_values;
    v->bits = r->b->bits;
    return v;
}

/* A bound tensor must have the extents its type promises. */
static Value *bound(const Run *r, const Node *n, Value *v)
{
    if (!v)
        BUG("interpreter: %%%u of '%s' has no value", n->id, r->g->name ? r->g->name : "?");
    if (!r->like || n->type->rank == 0) {
        ASSERT(v->rank == n->type->rank);
        for (uint32_t i = 0; i < v->rank; i++)
            ASSERT(v->dim[i] == dim_eval(n->type->dims[i], r->b->sym_values));
    }
    return v;
}

/* ---- leaves ---- */

static Value *leaf_input(const Run *r, const Node *n)
{
    for (uint32_t i = 0; i < r->g->inputs.n; i++)
        if (r->g->inputs.at[i] == n)
            return bound(r, n, r->inputs[i]);
    BUG("interpreter: input %%%u is not listed", n->id);
}

static Value *leaf_slot(Run *r, const Node *n)
{
    if (!r->b->slot)
        BUG("interpreter: no argument block, but slot '%s' is read", node_sym(n, "name"));
    Value *v = new_value(r, n->type);
    v->at[0] = eval_cast_to(n->type->dtype, r->b->slot(r->b->user, node_sym(n, "name")));
    value_round_all(v);
    return v;
}

static int64_t whole_slot(const Run *r, const char *name)
{
    if (!r->b->slot)
        BUG("interpreter: no argument block, but slot '%s' is read", name);
    return (int64_t)r->b->slot(r->b->user, name);
}

static Value *leaf_random(Run *r, const Node *n)
{
    uint64_t key = rng_key(whole_slot(r, "seed"), node_int(n, "site"), whole_slot(r, "step"));
    Value *v = new_value(r, n->type);
    bool uniform = n->op == OP_RNG;
    int64_t below = uniform ? 1 : dim_eval(node_dim(n, "n"), r->b->sym_values);
    uint32_t word = uniform ? (uint32_t)node_int(n, "word") : 0;
    for (int64_t i = 0; i < v->count; i++) {
        uint32_t w = rng_word(key, (uint64_t)i, word);
        v->at[i] = uniform ? rng_uniform(w) : (double)rng_below(w, below);
    }
    return v;
}

/* ---- tensors ---- */

static Value *run_elementwise(Run *r, const Node *n, const Value *const *in)
{
    Value *out = new_value(r, n->type);
    EvalFn eval = op_info(n->op)->eval;
    bool exact = n->op == OP_MUL && n->type->dtype == DT_I32;
    for (uint32_t k = 0; k < n->nin; k++)
        ASSERT(in[k]->count == out->count);
    for (int64_t i = 0; i < out->count; i++) {
        double a = in[0]->at[i];
        double b = n->nin > 1 ? in[1]->at[i] : 0;
        double c = n->nin > 2 ? in[2]->at[i] : 0;
        out->at[i] = exact ? value_fma(out, a, b, 0) : eval(a, b, c);
    }
    value_round_all(out);
    return out;
}

static Value *run_tensor(Run *r, const Node *n)
{
    const Value **in = NEW_ARRAY(r->arena, const Value *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++) {
        in[k] = r->cells[n->in[k]->id].v;
        ASSERT(in[k]);
    }
    const OpInfo *info = op_info(n->op);
    if (info->eval)
        return run_elementwise(r, n, in);
    if (!info->eval_tensor)
        BUG("interpreter: %s has no evaluation", info->name);
    Value *out = new_value(r, n->type);
    info->eval_tensor(n, in, out);
    value_round_all(out);
    return out;
}

/* ---- bodies ---- */

/* Runs a body on actual values; out[i] = result i. */
static void run_body(Run *outer, const Graph *body, Value *const *in, const Value *like,
                     Value **out)
{
    Run r = {.g = body, .arena = outer->arena, .b = outer->b, .inputs = in, .like = like};
    run_graph(&r);
    for (uint32_t i = 0; i < body->results.n; i++) {
        out[i] = r.cells[body->results.at[i].node->id].v;
        ASSERT(out[i]);
    }
}

static Cell cell_of(Value **values, uint32_t n, const Type *type)
{
    if (!type->is_tuple) {
        ASSERT(n == 1);
        return (Cell){.v = values[0]};
    }
    ASSERT(n == type->nelem);
    return (Cell){.elems = values, .nelem = n};
}

static Value **operands(Run *r, const Node *n)
{
    Value **in = NEW_ARRAY(r->arena, Value *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = r->cells[n->in[k]->id].v;
    return in;
}

static Cell run_call(Run *r, const Node *n)
{
    const Graph *body = node_def(n)->body;
    Value **out = NEW_ARRAY(r->arena, Value *, body->results.n);
    run_body(r, body, operands(r, n), NULL, out);
    return cell_of(out, body->results.n, n->type);
}

/* Row `at` of a stacked value, as a value of its own. */
static Value *slice_value(Run *r, const Value *stack, const Type *type, int64_t at)
{
    Value *v = value_shaped(r->arena, type, stack->rank - 1, stack->dim + 1);
    v->sym_values = stack->sym_values;
    v->bits = stack->bits;
    memcpy(v->at, stack->at + at * v->count, sizeof(double) * (size_t)v->count);
    return v;
}

static Cell run_loop(Run *r, const Node *n)
{
    const Graph *body = node_def(n)->body;
    uint32_t carry = (uint32_t)node_int(n, "carry"), xs = (uint32_t)node_int(n, "xs");
    uint32_t nresult = body->results.n;
    int64_t length = dim_eval(node_dim(n, "length"), r->b->sym_values);
    Value **all = operands(r, n), **in = NEW_ARRAY(r->arena, Value *, n->nin + 1);
    Value **out = NEW_ARRAY(r->arena, Value *, nresult),
          **last = NEW_ARRAY(r->arena, Value *, nresult);
    memcpy(in, all, n->nin * sizeof *in);
    for (uint32_t i = 0; i < nresult; i++)
        last[i] =
            i < carry ? all[i] : new_value(r, n->type->is_tuple ? n->type->elems[i] : n->type);
    for (int64_t round = 0; round < length; round++) {
        int64_t at = node_int(n, "reverse") ? length - 1 - round : round;
        for (uint32_t k = carry; k < carry + xs; k++)
            in[k] = slice_value(r, all[k], body->inputs.at[k]->type, at);
        run_body(r, body, in, NULL, out);
        for (uint32_t i = 0; i < nresult; i++) {
            if (i < carry)
                in[i] = last[i] = out[i];
            else
                memcpy(last[i]->at + at * out[i]->count, out[i]->at,
                       sizeof(double) * (size_t)out[i]->count);
        }
    }
    return cell_of(last, nresult, n->type);
}

/* count > 1: the body once per tensor set; ir.h at Def says how operands and results are laid out. */
static Cell run_group(Run *r, const Node *n)
{
    const Graph *body = node_def(n)->body;
    uint32_t count = (uint32_t)node_int(n, "count"), nformal = body->inputs.n;
    if (count <= 1)
        return run_call(r, n);
    uint32_t per_set = (n->nin - nformal) / (count - 1), shared = nformal - per_set;
    ASSERT(count * per_set + shared == n->nin && per_set > 0);
    Value **all = operands(r, n);
    Value **in = NEW_ARRAY(r->arena, Value *, nformal + 1);
    uint32_t nresult = body->results.n;
    Value **out = NEW_ARRAY(r->arena, Value *, (size_t)count * nresult);
    for (uint32_t set = 0; set < count; set++) {
        memcpy(in, all + (size_t)set * per_set, per_set * sizeof *in);
        memcpy(in + per_set, all + (size_t)count * per_set, shared * sizeof *in);
        run_body(r, body, in, in[0], out + (size_t)set * nresult);
    }
    return cell_of(out, count * nresult, n->type);
}

/* ---- driver ---- */

static Cell run_node(Run *r, const Node *n)
{
    if (n->op == OP_INPUT)
        return (Cell){.v = leaf_input(r, n)};
    if (n->op == OP_STATE)
        return (Cell){.v = bound(r, n, r->b->states ? r->b->states[node_int(n, "id")] : NULL)};
    if (n->op == OP_SLOT)
        return (Cell){.v = leaf_slot(r, n)};
    if (n->op == OP_RNG || n->op == OP_RANDINT)
        return (Cell){.v = leaf_random(r, n)};
    if (n->op == OP_CALL)
        return run_call(r, n);
    if (n->op == OP_SCAN)
        return run_loop(r, n);
    if (n->op == OP_GROUP)
        return run_group(r, n);
    if (n->op == OP_TUPLE)
        return (Cell){.elems = operands(r, n), .nelem = n->nin};
    if (n->op == OP_GET) {
        const Cell *c = &r->cells[n->in[0]->id];
        uint32_t i = (uint32_t)node_int(n, "i");
        ASSERT(i < c->nelem);
        return (Cell){.v = c->elems[i]};
    }
    return (Cell){.v = run_tensor(r, n)};
}

static bool *needed_nodes(const Graph *g, Arena *arena)
{
    bool *need = NEW_ARRAY(arena, bool, g->nodes.n + 1);
    for (uint32_t i = 0; i < g->results.n; i++)
        need[g->results.at[i].node->id] = true;
    for (uint32_t i = 0; i < g->writes.n; i++)
        need[g->writes.at[i].node->id] = true;
    for (uint32_t i = g->nodes.n; i-- > 0;)
        for (uint32_t k = 0; need[i] && k < g->nodes.at[i]->nin; k++)
            need[g->nodes.at[i]->in[k]->id] = true;
    return need;
}

static void run_graph(Run *r)
{
    r->cells = NEW_ARRAY(r->arena, Cell, r->g->nodes.n + 1);
    const bool *need = needed_nodes(r->g, r->arena);
    for (uint32_t i = 0; i < r->g->nodes.n; i++)
        if (need[i])
            r->cells[i] = run_node(r, r->g->nodes.at[i]);
}

void interp_run(const Graph *g, Arena *arena, const InterpBinding *b, Value **results,
                Value **writes)
{
    Run r = {.g = g, .arena = arena, .b = b, .inputs = b->inputs};
    run_graph(&r);
    for (uint32_t i = 0; i < g->results.n; i++)
        results[i] = r.cells[g->results.at[i].node->id].v;
    for (uint32_t i = 0; i < g->writes.n; i++)
        writes[i] = r.cells[g->writes.at[i].node->id].v;
}

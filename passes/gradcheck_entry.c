/* gradcheck_entry.c: what of an entry is compared with central differences: every operation and composite
 * it uses, each once, in its smallest instance; and the entry as a whole, which sees how they are put
 * together, and parameters that are used more than once.
 *
 * Sizes that are left open are small ones here. */
#include "gradcheck.h"
#include "internal.h"

/* What the interpreter is asked to do for one operation, in evaluated elements and flops; for an entry
 * this is some seconds for each of five evaluations. */
#define WORK_LIMIT  5e7
#define ENTRY_LIMIT 1e9

/* ---- work ---- */

static double elements(const int64_t *sizes, const Type *t)
{
    double n = 1;
    for (uint32_t k = 0; !t->is_tuple && k < t->rank; k++)
        n *= (double)dim_eval(t->dims[k], sizes);
    return n;
}

static double product_work(const int64_t *sizes, const Node *n)
{
    DotAxes axes;
    double work = 2 * elements(sizes, n->type);
    node_dot_axes(n, &axes);
    for (uint32_t i = 0; i < axes.ncontract; i++)
        work *= (double)dim_eval(n->in[0]->type->dims[axes.a_contract[i]], sizes);
    return work;
}

/* What the interpreter does for it, in elements and flops. */
static double work_of(const int64_t *sizes, const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    double work = elements(sizes, n->type);
    for (uint32_t k = 0; k < n->nin; k++)
        work += elements(sizes, n->in[k]->type);
    if (cls == OC_CONTRACT)
        work += product_work(sizes, n);
    const Graph *body = cls == OC_CALL || cls == OC_LOOP ? node_def(n)->body : NULL;
    double rounds = 1;
    if (cls == OC_LOOP)
        rounds = (double)dim_eval(node_dim(n, "length"), sizes);
    for (uint32_t i = 0; body && i < body->nodes.n; i++)
        work += rounds * work_of(sizes, body->nodes.at[i]);
    return work;
}

/* ---- operations ---- */

/* The node alone, on inputs of its operands' types; constants stay. */
static Graph *graph_of(PassCx *cx, const Node *n)
{
    Graph *g = graph_new(cx->ir, cx->arena, sym(cx->ir->syms, "alone"));
    const Node **in = NEW_ARRAY(cx->arena, const Node *, n->nin + 1);
    const Def *def = op_info(n->op)->cls == OC_CALL ? node_def(n) : NULL;
    for (uint32_t k = 0; k < n->nin; k++) {
        double value;
        Sym name = def ? node_sym(def->body->inputs.at[k], "name")
                       : sym_printf(cx->ir->syms, "operand %u", k + 1);
        in[k] = node_is_const(n->in[k], &value) ? graph_fill(g, n->in[k]->type, value)
                                                : graph_input(g, name, n->in[k]->type);
    }
    const Node *y = graph_copy_node(g, n, in);
    uint32_t nresult = n->type->is_tuple ? n->type->nelem : 1;
    nresult = def && def->nvisible < nresult ? def->nvisible : nresult;
    for (uint32_t i = 0; i < nresult; i++)
        graph_result(g, sym_printf(cx->ir->syms, "y%u", i),
                     n->type->is_tuple ? graph_get(g, y, i) : y);
    return g;
}

static bool has_float(const Node *n)
{
    bool in = false;
    for (uint32_t k = 0; k < n->nin; k++)
        in = in || n->in[k]->type->is_tuple || dtype_is_float(n->in[k]->type->dtype);
    return in && (n->type->is_tuple || dtype_is_float(n->type->dtype));
}

typedef struct Smallest {
    const Node *node;
    double work;
} Smallest;

typedef struct Census {
    PassCx *cx;
    const int64_t *sizes; /* by DimSym */
    Map *done;            /* names that need not be looked at again; or NULL */
    Map *known;           /* name -> 1 + index */
    VEC(Smallest) all;
} Census;

/* Composites of one name that have another number of nodes are others: what functions they are given
 * (masks, scores) is part of their bodies. */
static uint64_t key_of(const Node *n)
{
    if (op_info(n->op)->cls != OC_CALL)
        return hash_text(op_info(n->op)->name) | 1;
    const Def *def = node_def(n);
    return hash_mix(hash_text(def->name), def->body->nodes.n) | 1;
}

static void take_census(Census *c, const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        OpClass cls = op_info(n->op)->cls;
        if (!n->nin || cls == OC_TUPLE || !has_float(n) || !autodiff_flows(n->op))
            continue;
        if (c->done && map_get(c->done, key_of(n)))
            continue;
        double work = work_of(c->sizes, n);
        uintptr_t at = (uintptr_t)map_get(c->known, key_of(n));
        if (!at) {
            VEC_PUSH(c->cx->arena, &c->all, ((Smallest){n, work}));
            map_put(c->known, key_of(n), (void *)(uintptr_t)c->all.n);
        } else if (work < c->all.at[at - 1].work) {
            c->all.at[at - 1] = (Smallest){n, work};
        }
        if (cls == OC_CALL && !node_def(n)->vjp && !at)
            take_census(c, node_def(n)->body);
    }
}

void gradcheck_entry(PassCx *cx, const Graph *entry, Map *done, GradFindings *out)
{
    Census c = {.cx = cx, .sizes = gradcheck_sizes(cx), .done = done, .known = map_new(cx->arena)};
    take_census(&c, entry);
    for (uint32_t i = 0; i < c.all.n; i++) {
        const Node *n = c.all.at[i].node;
        bool call = op_info(n->op)->cls == OC_CALL;
        GradFinding f = {.name = call ? node_def(n)->name : op_info(n->op)->name, .node = n};
        f.verdict = c.all.at[i].work > WORK_LIMIT ? GRAD_TOO_LARGE
                                                  : gradcheck_graph(cx, graph_of(cx, n), &f);
        if (done && f.verdict != GRAD_TOO_LARGE)
            map_put(done, key_of(n), (void *)(uintptr_t)1);
        VEC_PUSH(cx->arena, out, f);
    }
}

/* ---- the whole ---- */

typedef struct Opened {
    Map *input; /* state + 1 -> the input that replaces it */
    const Program *program;
} Opened;

static const Node *open_state(Rewrite *rw, const Node *n, const Node *const *in)
{
    Opened *o = rw->user;
    uint32_t state;
    UNUSED(in);
    if (!node_is_state(n, &state))
        return NULL;
    const Node *known = map_get(o->input, state + 1);
    if (!known) {
        known = graph_input(rw->out, o->program->states.at[state]->path, n->type);
        map_put(o->input, state + 1, (void *)(uintptr_t)known);
    }
    return known;
}

void gradcheck_whole(PassCx *cx, const Graph *entry, GradFinding *out)
{
    Opened o = {.input = map_new(cx->arena), .program = cx->program};
    const int64_t *sizes = gradcheck_sizes(cx);
    double work = 0;
    Graph *g = graph_rewrite(entry, cx->arena, open_state, &o);
    g->writes.n = 0;
    g = graph_rewrite(g, cx->arena, NULL, NULL);
    for (uint32_t i = 0; i < g->nodes.n; i++)
        work += work_of(sizes, g->nodes.at[i]);
    *out = (GradFinding){.name = "as a whole"};
    if (g->results.n)
        out->node = g->results.at[0].node;
    out->verdict = work > ENTRY_LIMIT ? GRAD_TOO_LARGE : gradcheck_joint(cx, g, out);
}

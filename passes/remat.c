/* remat.c: which values of the forward half are kept for the backward half, and which are computed again.
 *
 * before:  %5 = gelu %4   ..   %90 = mul %89 %5          (%5 lives from one half to the other)
 * after:   %5 = gelu %4   ..   %89' = gelu' %4  %90 = mul %89 %89'
 *
 * For every forward value v: x (it is there in the backward half) and y (it is computed there; y <= x).
 *
 *     minimise  sum of bytes(v) where x and not y  +  lambda * sum of seconds(v) where y
 *     so that   x = 1 for what the backward half reads, and y(v) <= x(u) for every operand u of v
 *
 * All terms are of the form a (1 - b), so it is a least cut (mincut.c): s -> x for what is read, x -> y
 * of bytes(v), y -> t of lambda * seconds(v), y(v) -> x(u) without bound. Inputs and states cost
 * nothing. Views cost no time. Folds, prefix sums, loops and scatters are never done again: their
 * results are small, or their order is dear.
 *
 * A clone has inst + 1, or hash-consing would undo it, and stands right before its first reader. It has
 * the types of the first run, so the same class and configuration, and the same bits. Fusion keeps
 * clones apart from the forward half (fuse_apart). compile.c tries rising lambdas until the peak fits.
 *
 *
 * A clause `remat P` wants it of whole modules, whatever memory there is (lambda 0: nothing else): a value in
 * such a module that only the module reads is never kept (x and not y costs without bound); what others read
 * of it, as the next layer does, is, and so are results of composites that the clause keeps.
 *
 * needs: autodiff, no composites but claimed ones.  gives: the same results, other lifetimes. */
#include "internal.h"
#include "mincut.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Wish { ANY, AGAIN, KEPT } Wish;

typedef struct Remat {
    PassCx *cx;
    const Graph *g;
    Arena *arena;
    bool *forward;      /* by id: what is computed without derivatives needs it */
    bool *again;        /* by id: computed again where the backward half needs it */
    Wish *wish;         /* by id: what the program says of it */
    const Node **clone; /* by id, in the new graph */
} Remat;

/* ---- what belongs to the forward half ---- */

static bool is_member(const Node *n)
{
    return op_info(n->op)->cls == OC_TUPLE && n->nin == 1 && n->in[0]->type->is_tuple;
}

static void find_forward(Remat *r)
{
    const Graph *g = r->g;
    for (uint32_t i = 0; i < g->results.n; i++)
        r->forward[g->results.at[i].node->id] = true;
    for (uint32_t i = 0; i < g->writes.n; i++)
        if (r->cx->program->states.at[g->writes.at[i].state]->kind != SK_GRAD)
            r->forward[g->writes.at[i].node->id] = true;
    for (uint32_t i = g->nodes.n; i-- > 0;)
        for (uint32_t k = 0; r->forward[i] && k < g->nodes.at[i]->nin; k++)
            r->forward[g->nodes.at[i]->in[k]->id] = true;
    for (uint32_t i = 0; i < g->nodes.n;
         i++) /* what only the backward half takes of a forward one */
        if (is_member(g->nodes.at[i]))
            r->forward[i] = r->forward[g->nodes.at[i]->in[0]->id];
}

static bool has_gradients(const PassCx *cx, const Graph *g)
{
    for (uint32_t i = 0; cx->program && i < g->writes.n; i++)
        if (cx->program->states.at[g->writes.at[i].state]->kind == SK_GRAD)
            return true;
    return false;
}

/* ---- costs ---- */

static double count_of(const Ir *ir, const Type *t)
{
    double n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (double)dim_hi(ir, t->dims[i]);
    return n;
}

static double bytes_of(const Ir *ir, const Type *t)
{
    if (!t->is_tuple)
        return count_of(ir, t) * dtype_info(t->dtype)->bytes;
    double sum = 0;
    for (uint32_t i = 0; i < t->nelem; i++)
        sum += bytes_of(ir, t->elems[i]);
    return sum;
}

static double contraction_depth(const Ir *ir, const Node *n)
{
    DotAxes axes;
    double k = 1;
    node_dot_axes(n, &axes);
    for (uint32_t i = 0; i < axes.ncontract; i++)
        k *= (double)dim_hi(ir, n->in[0]->type->dims[axes.a_contract[i]]);
    return k;
}

/* Seconds of a second run; negative: there is none. */
static double seconds_of(const Remat *r, const Node *n)
{
    const Target *t = r->cx->target;
    double cost = op_info(n->op)->cost;
    switch (op_info(n->op)->cls) {
    case OC_VIEW:
    case OC_TUPLE:
        return 0;
    case OC_ELEM:
        return count_of(r->g->ir, n->type) * (cost > 0 ? cost : 1) / t->flops;
    case OC_GATHER:
        return bytes_of(r->g->ir, n->type) / t->bandwidth;
    case OC_CONTRACT:
        return 2 * count_of(r->g->ir, n->type) * contraction_depth(r->g->ir, n) / t->flops;
    case OC_CALL:
        return graph_flops(node_def(n)->body) / t->flops +
               bytes_of(r->g->ir, n->type) / t->bandwidth;
    case OC_LEAF:
    case OC_REDUCE:
    case OC_SCAN:
    case OC_SORT:
    case OC_UPDATE:
    case OC_SCATTER:
    case OC_MULTI:
    case OC_LOOP:
    case OC_GROUP:
        return -1;
    }
    BUG("no such class of operations: %d", (int)op_info(n->op)->cls);
}

static int64_t capacity(double x)
{
    return x < 0 || x >= (double)MINCUT_INF / 1024 ? MINCUT_INF : (int64_t)x;
}

/* ---- what the program wants ---- */

/* The outermost module that a clause names around the path, or NULL. */
static const RematRule *rule_of(const Program *p, Sym path)
{
    const RematRule *found = NULL;
    for (uint32_t i = 0; path && i < p->remat.n; i++) {
        const RematRule *r = &p->remat.at[i];
        size_t n = strlen(r->path);
        bool in = strncmp(path, r->path, n) == 0 && (!n || !path[n] || path[n] == '.');
        if (in && (!found || n < strlen(found->path)))
            found = r;
    }
    return found;
}

/* Composites that are calls here, and those that became their bodies: inline.c has noted their results. */
static bool is_kept(const Remat *r, const RematRule *rule, const Node *n)
{
    const Node *of = is_member(n) ? n->in[0] : n;
    bool call = op_info(of->op)->cls == OC_CALL;
    for (uint32_t i = 0; i < rule->nkeep; i++) {
        bool named = call && strcmp(node_def(of)->name, rule->keep[i]) == 0;
        if (named || (n->note && strcmp(n->note, inline_note(r->arena, rule->keep[i])) == 0))
            return true;
    }
    return false;
}

static void find_wishes(Remat *r)
{
    const Graph *g = r->g;
    const Program *p = r->cx->program;
    const RematRule **rule = NEW_ARRAY(r->arena, const RematRule *, g->nodes.n + (size_t)1);
    for (uint32_t i = 0; p->remat.n && i < g->nodes.n; i++) {
        rule[i] = r->forward[i] ? rule_of(p, g->nodes.at[i]->path) : NULL;
        r->wish[i] = !rule[i] ? ANY : is_kept(r, rule[i], g->nodes.at[i]) ? KEPT : AGAIN;
    }
    for (uint32_t i = 0; p->remat.n && i < g->nodes.n; i++)
        for (uint32_t k = 0; r->forward[i] && k < g->nodes.at[i]->nin; k++) {
            uint32_t of = g->nodes.at[i]->in[k]->id;
            if (r->wish[of] == AGAIN && rule[of] != rule[i])
                r->wish[of] = KEPT;
        }
    for (uint32_t i = 0; i < g->results.n; i++)
        if (r->wish[g->results.at[i].node->id] == AGAIN)
            r->wish[g->results.at[i].node->id] = KEPT;
}

/* ---- the cut ---- */

static uint32_t x_of(uint32_t id)
{
    return 2 + 2 * id;
}

static uint32_t y_of(uint32_t id)
{
    return 3 + 2 * id;
}

static bool is_leaf(const Node *n)
{
    return op_info(n->op)->cls == OC_LEAF;
}

static void add_value(const Remat *r, MinCut *m, const Node *n)
{
    double seconds = seconds_of(r, n);
    Wish wish = r->wish[n->id];
    bool tuple = n->type->is_tuple; /* its members are kept, not itself */
    bool never = seconds < 0 || (!tuple && (wish == KEPT || (wish == ANY && r->cx->remat <= 0)));
    bool must = tuple || (wish == AGAIN && seconds >= 0);
    mincut_edge(m, x_of(n->id), y_of(n->id),
                must           ? MINCUT_INF
                : wish == KEPT ? 0
                               : capacity(bytes_of(r->g->ir, n->type)));
    mincut_edge(m, y_of(n->id), 1, capacity(never ? -1 : r->cx->remat * seconds));
    for (uint32_t k = 0; k < n->nin; k++)
        if (!is_leaf(n->in[k]))
            mincut_edge(m, y_of(n->id), x_of(n->in[k]->id), MINCUT_INF);
    if (is_member(n)) /* computed again, they all are: it is one kernel */
        mincut_edge(m, y_of(n->in[0]->id), y_of(n->id), MINCUT_INF);
}

static void choose(Remat *r)
{
    const Graph *g = r->g;
    MinCut *m = mincut_new(r->arena, 2 + 2 * g->nodes.n);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        if (r->forward[i] && !is_leaf(n))
            add_value(r, m, n);
        for (uint32_t k = 0; !r->forward[i] && k < n->nin; k++)
            if (r->forward[n->in[k]->id] && !is_leaf(n->in[k]))
                mincut_edge(m, 0, x_of(n->in[k]->id), MINCUT_INF);
    }
    mincut_run(m, 0, 1);
    for (uint32_t i = 0; i < g->nodes.n; i++)
        r->again[i] = r->forward[i] && !is_leaf(g->nodes.at[i]) && mincut_side(m, y_of(i));
}

/* ---- which lambdas are worth trying ---- */

static int falling(const void *x, const void *y)
{
    const double *a = x, *b = y;
    return *a < *b ? 1 : *a > *b ? -1 : 0;
}

/* A value is given up one by one where lambda falls below its bytes / seconds. These are few: one for
 * each depth of contraction, and those of elementwise operations, which are taken as one. */
uint32_t remat_lambdas(PassCx *cx, const Graph *g, double *out, uint32_t max)
{
    Arena *arena = arena_new();
    Remat r = {.cx = cx, .g = g, .arena = arena};
    VEC(double) all = {0};
    double cheap = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->nodes.n && cx->target; i++) {
        const Node *node = g->nodes.at[i];
        double seconds = seconds_of(&r, node);
        if (seconds <= 0 || !dtype_is_float(node->type->dtype))
            continue;
        double worth = bytes_of(g->ir, node->type) / seconds;
        if (op_info(node->op)->cls == OC_CONTRACT || op_info(node->op)->cls == OC_CALL)
            VEC_PUSH(arena, &all, worth);
        else if (worth > 0)
            cheap = cheap == 0 || worth < cheap ? worth : cheap;
    }
    VEC(double) apart = {0};
    if (cheap > 0)
        VEC_PUSH(arena, &apart, 0.8 * cheap);
    if (all.n)
        qsort(all.at, all.n, sizeof *all.at, falling);
    for (uint32_t i = 0; i < all.n; i++)
        if (0.8 * all.at[i] < (apart.n ? 0.9 * VEC_LAST(&apart) : HUGE_VAL))
            VEC_PUSH(arena, &apart, 0.8 * all.at[i]);
    n = apart.n < max ? apart.n : max;
    for (uint32_t i = 0; i < n; i++) /* of many some, from the first to the last */
        out[i] = apart.at[n > 1 ? (uint64_t)i * (apart.n - 1) / (n - 1) : 0];
    arena_free(arena);
    return n;
}

/* ---- the new graph ---- */

typedef VEC(const Node *) Stack;

/* The value that the backward half reads for a forward one. */
static const Node *late(const Remat *r, const Rewrite *rw, const Node *n)
{
    return r->again[n->id] ? r->clone[n->id] : rw->map[n->id];
}

static void make_clone(Remat *r, Rewrite *rw, const Node *n)
{
    const Node **in = NEW_ARRAY(r->arena, const Node *, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++)
        in[k] = late(r, rw, n->in[k]);
    rw->out->path = n->path;
    rw->out->span = n->span;
    r->clone[n->id] = graph_op(rw->out, &(NodeSpec){.op = n->op,
                                                    .inst = n->inst + 1,
                                                    .nin = n->nin,
                                                    .in = in,
                                                    .attr = n->attr,
                                                    .note = n->note});
    ASSERT(r->clone[n->id]);
}

/* Operands first, on a stack: chains are as long as the program. */
static void compute_again(Remat *r, Rewrite *rw, const Node *n)
{
    Stack stack = {0};
    VEC_PUSH(r->arena, &stack, n);
    while (stack.n) {
        const Node *top = VEC_LAST(&stack), *missing = NULL;
        for (uint32_t k = 0; k < top->nin && !missing; k++)
            if (!late(r, rw, top->in[k]))
                missing = top->in[k];
        if (missing) {
            VEC_PUSH(r->arena, &stack, missing);
            continue;
        }
        if (!r->clone[top->id])
            make_clone(r, rw, top);
        stack.n--;
    }
}

static const Node *rewrite_node(Rewrite *rw, const Node *n, const Node *const *in)
{
    Remat *r = rw->user;
    if (r->forward[n->id])
        return NULL;
    const Node **own = NEW_ARRAY(r->arena, const Node *, n->nin + 1);
    bool other = false;
    for (uint32_t k = 0; k < n->nin; k++) {
        own[k] = in[k];
        if (!r->again[n->in[k]->id])
            continue;
        if (!r->clone[n->in[k]->id])
            compute_again(r, rw, n->in[k]);
        own[k] = r->clone[n->in[k]->id];
        other = true;
    }
    return other ? graph_copy_node(rw->out, n, own) : NULL;
}

Graph *pass_remat(PassCx *cx, const Graph *in)
{
    bool wanted = cx->remat > 0 || (cx->program && cx->program->remat.n);
    if (!wanted || !cx->target || !has_gradients(cx, in))
        return graph_rewrite(in, cx->arena, NULL, NULL);
    Arena *arena = arena_new();
    Remat r = {.cx = cx,
               .g = in,
               .arena = arena,
               .forward = NEW_ARRAY(arena, bool, in->nodes.n + 1),
               .again = NEW_ARRAY(arena, bool, in->nodes.n + 1),
               .wish = NEW_ARRAY(arena, Wish, in->nodes.n + 1),
               .clone = NEW_ARRAY(arena, const Node *, in->nodes.n + 1)};
    find_forward(&r);
    find_wishes(&r);
    choose(&r);
    Graph *out = graph_rewrite(in, cx->arena, rewrite_node, &r);
    arena_free(arena);
    return out;
}

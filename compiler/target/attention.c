/* attention.c: attention by its body. The scores may be any elementwise function of q k; what is done
 * with them must be the very nodes that the text of std makes, which is checked by making them again on
 * a graph that is only asked (graph_probe). */
#include "attention.h"

#include <math.h>
#include <string.h>

enum { MIN_QUERIES = 8, MAX_WIDTH = 512, MAX_GPU_WIDTH = 256 };

const Node *attention_next(const Graph *g, OpClass cls, const Node *after)
{
    for (uint32_t i = after ? after->id + 1 : 0; i < g->nodes.n; i++)
        if (op_info(g->nodes.at[i]->op)->cls == cls)
            return g->nodes.at[i];
    return NULL;
}

bool attention_is_dot(const Node *n, uint32_t ra, uint32_t rb, const DotAxes *want)
{
    DotAxes have = {0};
    if (!n || n->in[0]->type->rank != ra || n->in[1]->type->rank != rb)
        return false;
    node_dot_axes(n, &have);
    if (have.nbatch != want->nbatch || have.ncontract != want->ncontract)
        return false;
    for (uint32_t i = 0; i < want->nbatch; i++)
        if (have.a_batch[i] != want->a_batch[i] || have.b_batch[i] != want->b_batch[i])
            return false;
    for (uint32_t i = 0; i < want->ncontract; i++)
        if (have.a_contract[i] != want->a_contract[i] || have.b_contract[i] != want->b_contract[i])
            return false;
    return true;
}

/* ---- scores ---- */

static bool has_vector(DType dt)
{
    return dt != DT_F64 && dt != DT_I64;
}

static bool fits(const bool *below, const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    if (!below[n->id])
        return cls == OC_LEAF || cls == OC_VIEW || cls == OC_ELEM || cls == OC_GATHER;
    bool ok = cls == OC_ELEM && has_vector(n->type->dtype);
    for (uint32_t k = 0; k < n->nin; k++)
        ok = ok && has_vector(n->in[k]->type->dtype);
    return ok;
}

bool attention_cone(const Graph *g, const Node *const *from, uint32_t nfrom, const Node *to,
                    const Node *row)
{
    Arena *arena = arena_new();
    bool *below = NEW_ARRAY(arena, bool, g->nodes.n), *wanted = NEW_ARRAY(arena, bool, g->nodes.n);
    bool *given = NEW_ARRAY(arena, bool, g->nodes.n);
    for (uint32_t i = 0; i < nfrom; i++)
        below[from[i]->id] = given[from[i]->id] = true;
    for (uint32_t i = 0; i <= to->id; i++)
        for (uint32_t k = 0; k < g->nodes.at[i]->nin; k++)
            below[i] = below[i] || below[g->nodes.at[i]->in[k]->id];
    bool ok = below[to->id] || nfrom == 0;
    wanted[to->id] = true;
    for (uint32_t i = to->id + 1; i-- > 0 && ok;) {
        const Node *n = g->nodes.at[i];
        if (!wanted[i] || given[i] || n == row)
            continue;
        ok = fits(below, n);
        for (uint32_t k = 0; k < n->nin; k++)
            wanted[n->in[k]->id] = true;
    }
    arena_free(arena);
    return ok;
}

/* A condition of places alone. */
static bool is_beside(const Graph *g, const Node *product, const Node *mask)
{
    return !mask || !attention_cone(g, &product, 1, mask, NULL);
}

/* ---- the body ---- */

const Node *attention_rows(Graph *g, const Node *x, const Node *like)
{
    return graph_expand(g, x, 4, like->type->dims, (int64_t[]){0, 1, 2});
}

bool attention_find_product(const Graph *body, Attention *a)
{
    const DotAxes qk = {2, 1, {0, 1}, {0, 1}, {4}, {3}, false};
    a->dot = attention_next(body, OC_CONTRACT, NULL);
    if (!attention_is_dot(a->dot, 5, 4, &qk) || a->dot->type->dtype != DT_F32)
        return false;
    const Dim *const *z = a->dot->type->dims;
    a->b = z[0];
    a->kv = z[1];
    a->g = z[2];
    a->t = z[3];
    a->s = z[4];
    a->d = a->dot->in[0]->type->dims[4];
    return true;
}

/* The fold of the scores that takes the largest. */
static const Node *find_top(const Graph *body)
{
    const Node *n = NULL;
    do
        n = attention_next(body, OC_REDUCE, n);
    while (n && !(op_info(n->op)->neutral < 0));
    return n && n->type->rank == 3 ? n : NULL;
}

static const Node *weights(Graph *g, Attention *a, const Node **lse)
{
    const Type *row = a->top->type;
    const Node *ninf = graph_fill(g, row, -HUGE_VAL), *one = graph_fill(g, row, 1);
    const Node *seen = graph_binary(g, OP_LT, ninf, a->top);
    const Node *m = graph_select(g, seen, a->top, graph_fill(g, row, 0));
    const Node *shifted = graph_binary(g, OP_SUB, a->z, m ? attention_rows(g, m, a->z) : NULL);
    const Node *w = graph_unary(g, OP_EXP, shifted);
    a->sum = w ? graph_reduce(g, OP_SUM, w, (int64_t[]){3}, 1) : NULL;
    const Node *c = graph_binary(g, OP_MAX, a->sum, one);
    *lse = graph_binary(g, OP_ADD, m, graph_unary(g, OP_LOG, c));
    return graph_binary(g, OP_DIV, w, c ? attention_rows(g, c, a->z) : NULL);
}

bool attention_split(Graph *g, Attention *a)
{
    a->score = a->z;
    const Node *least = graph_fill(g, a->z->type, -HUGE_VAL);
    if (!least || a->z->nin != 3 || a->z->in[2] != least)
        return true;
    a->mask = a->z->in[0];
    a->score = a->z->in[1];
    return graph_select(g, a->mask, a->score, least) == a->z;
}

bool attention_scaled(const Graph *body, const Attention *a, double *by)
{
    Graph probe = graph_probe(body), *g = &probe;
    const Node *product = graph_reshape(g, a->dot, 4, a->score->type->dims), *n = a->score;
    *by = 1;
    if (n == product)
        return true;
    for (uint32_t i = 0; i < 2 && n->nin == 2; i++)
        if (n->in[i] == product && node_is_const(n->in[1 - i], by))
            return graph_binary(g, OP_MUL, n->in[0], n->in[1]) == n && *by > 0;
    return false;
}

static bool find_scores(const Graph *body, Graph *g, Attention *a)
{
    const Dim *dims[] = {a->b, dim_mul(body->ir, a->kv, a->g), a->t, a->s};
    const Node *product = graph_reshape(g, a->dot, 4, dims);
    a->top = find_top(body);
    if (!product || !a->top || a->top->in[0]->type != product->type)
        return false;
    a->z = a->top->in[0];
    return attention_split(g, a) && attention_cone(body, &product, 1, a->z, NULL) &&
           is_beside(body, product, a->mask);
}

static bool find_output(Graph *g, Attention *a, const Node *p)
{
    const DotAxes pv = {2, 1, {0, 2}, {0, 1}, {4}, {3}, false};
    const Node *x = graph_reshape(g, p, 5, a->dot->type->dims);
    x = graph_permute(g, x, (int64_t[]){0, 3, 1, 2, 4});
    a->out = attention_next(g, OC_CONTRACT, a->dot);
    if (!x || !attention_is_dot(a->out, 5, 4, &pv) || a->out->in[0] != x)
        return false;
    a->e = a->out->in[1]->type->dims[2];
    return true;
}

/* The sums of values in the order and the type of the result. */
static bool is_output(Graph *g, const Attention *a, const Node *result)
{
    const Dim *dims[] = {a->b, a->t, dim_mul(g->ir, a->kv, a->g), a->e};
    const Node *y = graph_permute(g, a->out, (int64_t[]){0, 2, 1, 3, 4});
    y = y && !result->type->is_tuple ? graph_cast(g, result->type->dtype, y) : NULL;
    return y && graph_reshape(g, y, 4, dims) == result;
}

bool attention_find(const Graph *body, Attention *a)
{
    Graph probe = graph_probe(body), *g = &probe;
    *a = (Attention){0};
    if (!attention_find_product(body, a) || !find_scores(body, g, a))
        return false;
    const Node *lse, *p = weights(g, a, &lse);
    if (!find_output(g, a, p))
        return false;
    for (uint32_t i = 0; i < body->results.n; i++) {
        const Node *r = body->results.at[i].node;
        if (is_output(g, a, r) && !a->y) {
            a->y = r;
            a->y_at = i;
        } else if (lse && r == lse && !a->lse) {
            a->lse = r;
            a->lse_at = i;
        } else {
            return false;
        }
    }
    return a->y != NULL;
}

/* ---- the claim ---- */

static bool is_size(const Dim *d, int64_t most)
{
    int64_t n;
    return dim_is_const(d, &n) && n > 0 && n <= most;
}

bool attention_small(const Ir *ir, const Attention *a)
{
    return dim_hi(ir, a->t) < MIN_QUERIES || dim_hi(ir, a->s) < MIN_QUERIES;
}

/* On a GPU the outputs of 16 rows are in the registers of a warp. */
bool attention_ends_at_query(Ir *ir, const Attention *a)
{
    if (!a->mask || a->t != a->s)
        return false;
    const Type *t = a->mask->type;
    const Ix *ix[IR_MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++)
        ix[i] = ix_var(ir, i, t->dims[i]);
    NodeBounds bounds;
    node_bounds(ir, a->mask, ix, t->rank - 1, &bounds);
    for (uint32_t i = 0; i < bounds.n; i++)
        for (uint32_t k = 0; bounds.bound[i].upper && k < bounds.bound[i].nterm; k++) {
            const NodeBoundTerm *term = &bounds.bound[i].term[k];
            for (uint32_t d = 0; d < term->node->type->rank; d++)
                if (ix_uses(term->ix[d], t->rank - 2))
                    return true;
        }
    return false;
}

bool attention_sizes_fit(const Target *t, const Attention *a)
{
    int64_t most = t->kind == TK_CUDA ? MAX_GPU_WIDTH : MAX_WIDTH;
    return is_size(a->d, most) && is_size(a->e, most) && is_size(a->kv, INT32_MAX) &&
           is_size(a->g, INT32_MAX);
}

/* Single queries are a matter of reading keys and values once: on a CPU panels of them would not pay; a GPU has a
 * schedule that makes none. */
bool claim_attention(const Target *t, const Graph *body)
{
    Attention a;
    return attention_find(body, &a) && attention_sizes_fit(t, &a) &&
           (!attention_small(body->ir, &a) || t->kind == TK_CUDA) && has_vector(a.y->type->dtype);
}

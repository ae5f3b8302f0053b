/* simplify_fold.c: folds are done in the order in which their operand lies.
 *
 * before:  sum(mul(permute(x), permute(z)), axes [1, 2])     what `dw[d] += x[.., d] * z[.., d]` says
 * after:   sum(mul(x, z), axes [0, 1])
 *
 * The equation's result has its own order of axes, and all operands were turned to it; turned back, a
 * fold of columns shares its space with the folds of rows beside it, and may share their kernel. */
#include "internal.h"

#include <string.h>

typedef struct Unpermute {
    Graph *g;
    const Attr *perm; /* of the first permute found */
    const Type *from; /* the dims before it */
    int left;         /* nodes that may be made */
} Unpermute;

/* The permute nearest to n behind elementwise work. */
static const Node *find_permute(const Node *n, int depth)
{
    const Node *found = NULL;
    if (node_permutation(n))
        return n;
    for (uint32_t k = 0; k < n->nin && depth > 0 && !found; k++)
        if (op_info(n->op)->cls == OC_ELEM)
            found = find_permute(n->in[k], depth - 1);
    return found;
}

/* The repetition with its axes before the permute; they stay in order, or it would be two views. */
static const Node *expand_before(const Unpermute *u, const Node *n)
{
    const Attr *axes = node_ints(n, "axes");
    int64_t before[IR_MAX_RANK];
    for (uint32_t i = 0; i < axes->n; i++) {
        before[i] = u->perm->ints[axes->ints[i]];
        if (i > 0 && before[i] < before[i - 1])
            return NULL;
    }
    return graph_expand(u->g, n->in[0], u->from->rank, u->from->dims, before);
}

/* The value that, permuted, is n; NULL: n is no elementwise function of such values. */
static const Node *unpermuted(Unpermute *u, const Node *n)
{
    const Node *in[3];
    double v;
    if (u->left-- <= 0)
        return NULL;
    if (node_permutation(n)) {
        const Attr *perm = node_permutation(n);
        return memcmp(perm->ints, u->perm->ints, perm->n * sizeof *perm->ints) == 0 ? n->in[0]
                                                                                    : NULL;
    }
    if (node_is_const(n, &v))
        return graph_fill(u->g, type_with_dtype(u->g->ir, u->from, n->type->dtype), v);
    if (node_is_expand(n))
        return expand_before(u, n);
    if (op_info(n->op)->cls != OC_ELEM || n->nin > COUNT(in))
        return NULL;
    for (uint32_t k = 0; k < n->nin; k++)
        if (!(in[k] = unpermuted(u, n->in[k])))
            return NULL;
    return graph_copy_node(u->g, n, in);
}

const Node *simplify_permuted_fold(Graph *g, const Node *n)
{
    const Node *view = find_permute(n->in[0], 8);
    if (!view || view->type->rank != n->in[0]->type->rank)
        return NULL;
    Unpermute u = {.g = g, .perm = node_permutation(view), .from = view->in[0]->type, .left = 32};
    bool folded[IR_MAX_RANK] = {false}, before[IR_MAX_RANK] = {false};
    int64_t axes[IR_MAX_RANK], perm[IR_MAX_RANK], place[IR_MAX_RANK];
    uint32_t naxes = 0, rank = 0;
    bool moved = false;
    const Attr *gone = node_ints(n, "axes");
    for (uint32_t i = 0; i < gone->n; i++)
        folded[gone->ints[i]] = true;
    for (uint32_t i = 0; i < u.perm->n; i++) {
        if (!folded[i])
            continue;
        before[u.perm->ints[i]] = true;
        axes[naxes] = u.perm->ints[i];
        if (naxes > 0 && axes[naxes] < axes[naxes - 1])
            return NULL;
        naxes++;
    }
    for (uint32_t i = 0; i < u.perm->n; i++)
        place[i] = before[i] ? -1 : (int64_t)rank++;
    rank = 0;
    for (uint32_t i = 0; i < u.perm->n; i++)
        if (!folded[i]) {
            perm[rank] = place[u.perm->ints[i]];
            moved = moved || perm[rank] != (int64_t)rank;
            rank++;
        }
    const Node *x = unpermuted(&u, n->in[0]);
    x = x ? graph_reduce(g, n->op, x, axes, naxes) : NULL;
    return x && moved ? graph_permute(g, x, perm) : x;
}

const uint32_t *simplify_readers(const Graph *g, Arena *arena)
{
    uint32_t *readers = NEW_ARRAY(arena, uint32_t, g->nodes.n + 1);
    for (uint32_t i = 0; i < g->nodes.n; i++)
        for (uint32_t k = 0; k < g->nodes.at[i]->nin; k++)
            readers[g->nodes.at[i]->in[k]->id]++;
    for (uint32_t i = 0; i < g->results.n; i++)
        readers[g->results.at[i].node->id]++;
    for (uint32_t i = 0; i < g->writes.n; i++)
        readers[g->writes.at[i].node->id]++;
    return readers;
}

/* Elementwise work above n that only n reads, down to views and leaves. */
static bool is_own(const uint32_t *readers, const Node *n, int depth)
{
    if (op_info(n->op)->cls != OC_ELEM)
        return true;
    bool own = depth > 0 && readers[n->id] < 2;
    for (uint32_t k = 0; k < n->nin && own; k++)
        own = is_own(readers, n->in[k], depth - 1);
    return own;
}

bool simplify_reads_alone(const uint32_t *readers, const Node *n)
{
    return n->attr[0].kind == AK_INTS && is_own(readers, n->in[0], 8);
}

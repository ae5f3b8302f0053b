/* fuse_cost.c: the cost model of fusion: seconds of one group on one core of the target.
 *
 *   T = launch + max(memory, arithmetic) + 0.1 * min(memory, arithmetic)
 *
 * Memory: every value read once, every stored value once (twice on the bus: the line is fetched
 * before it is written). Arithmetic: members times their elements. Contractions cost the same on
 * either side of every comparison and are left out. */
#include "fuse_groups.h"

#include <math.h>

double fuse_count(const Fuse *fx, const Type *t)
{
    double count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        count *= (double)dim_hi(fx->cx->ir, t->dims[i]);
    return count;
}

double fuse_bytes(const Fuse *fx, const Type *t)
{
    return fuse_count(fx, t) * dtype_info(t->dtype)->bytes;
}

double fuse_op_cost(const Node *n)
{
    double cost = op_info(n->op)->cost;
    return cost > 0 ? cost : 1;
}

double fuse_seconds(Fuse *fx, const Body *body)
{
    const Target *t = fx->cx->target;
    double bytes = 0, flops = 0;
    for (uint32_t i = 0; i < body->reads.n; i++)
        bytes += fuse_bytes(fx, fuse_node(fx, body->reads.at[i])->type);
    for (uint32_t i = 0; i < body->stored.n; i++)
        bytes += 2 * fuse_bytes(fx, fuse_node(fx, body->stored.at[i])->type);
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        bool fold = fuse_class(n) == OC_REDUCE;
        flops += fuse_op_cost(n) * fuse_count(fx, fold ? n->in[0]->type : n->type);
    }
    if (body->nclass[OC_CONTRACT] > 0 && body->nclass[OC_REDUCE] > 0)
        flops += fuse_prologue_again(fx, body);
    double memory = bytes / t->bandwidth, alu = flops / t->flops;
    return t->launch + fmax(memory, alu) + 0.1 * fmin(memory, alu);
}

/* Bytes that evaluating n reads, if nothing below it is inlined: its nearest sources behind views. */
static double source_bytes(const Fuse *fx, const Node *n, double evals)
{
    double bytes = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Node *from = n->in[k];
        while (fuse_class(from) == OC_VIEW && from->nin == 1 && !fx->solid[from->id])
            from = from->in[0];
        if (op_info(from->op)->folded)
            continue;
        double size = fuse_count(fx, from->type);
        bytes += fmin(evals, size) * dtype_info(from->type->dtype)->bytes;
    }
    return bytes;
}

bool fuse_inline_pays(const Fuse *fx, const Node *n, const Uses *uses)
{
    const Target *t = fx->cx->target;
    double size = fuse_count(fx, n->type), wide = dtype_info(n->type->dtype)->bytes;
    double cost = fuse_op_cost(n), inlined = 0;
    double stored = size * cost / t->flops;
    double bytes = source_bytes(fx, n, size) + 2 * size * wide;
    for (uint32_t i = 0; i < uses->n; i++) {
        double evals = uses->at[i].evals;
        inlined += evals * cost / t->flops + source_bytes(fx, n, evals) / t->bandwidth;
        bytes += fmin(evals, size) * wide;
    }
    stored += bytes / t->bandwidth + t->launch / 4;
    return inlined <= stored;
}

/* work.c: operations and bytes of a kernel, for tables of times. Every operand is read once and
 * every result written once; an operation counts one per element, whatever it costs. */
#include "lower.h"

static double count(const Lower *lo, const Type *t)
{
    return (double)dim_hi(lo->ir, type_count(lo->ir, t));
}

static double bytes(const Lower *lo, const Type *t)
{
    if (!t->is_tuple)
        return count(lo, t) * dtype_info(t->dtype)->bytes;
    double sum = 0;
    for (uint32_t i = 0; i < t->nelem; i++)
        sum += bytes(lo, t->elems[i]);
    return sum;
}

/* Sizes of all sets of a table over the size of the one that the body is of. */
static double sets(const Lower *lo)
{
    const Node *group = lo->group;
    int64_t n = node_int(group, "count");
    double one = group->nin > 0 && n > 1 ? count(lo, group->in[0]->type) : 0, all = 0;
    uint32_t per_set = one > 0 ? multi_per_set(group) : 0;
    for (int64_t s = 0; s < n && one > 0; s++)
        all += count(lo, group->in[(uint32_t)s * per_set]->type);
    return one > 0 ? all / one : 1;
}

static double flops(const Lower *lo)
{
    double sum = 0;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        OpClass c = op_info(n->op)->cls;
        if (c == OC_ELEM || c == OC_SCAN)
            sum += count(lo, n->type);
        else if (c == OC_REDUCE || c == OC_SCATTER)
            sum += count(lo, n->in[0]->type);
        else if (c == OC_MULTI) /* a multiplication and an addition */
            for (uint32_t k = 0; k < n->nin; k++)
                sum += 2 * count(lo, n->in[k]->type);
    }
    return sum * sets(lo);
}

void lower_count_work(Lower *lo)
{
    lo->k->bytes = bytes(lo, lo->group->type);
    for (uint32_t i = 0; i < lo->group->nin; i++)
        lo->k->bytes += bytes(lo, lo->group->in[i]->type);
    lo->k->flops += flops(lo); /* a product of matrices has counted its own */
}

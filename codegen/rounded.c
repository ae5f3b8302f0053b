/* rounded.c: which values of a body only ever reach a rounding to 16 bits.
 *
 * Such a value may be off by a few units of f32: those are 2^-13 of a unit of bf16, and 2^-10 of one of f16, so
 * the rounded result is another one, by one unit, only where the exact value lies that close to the middle
 * between two numbers. On a GPU arithmetic of such values costs more than memory, and the machine has
 * instructions that are fast and almost right (mdl_fast.h).
 *
 * Everything else sees all bits of f32: results in f32, folds and products, comparisons, indices. So does what is
 * repeated along an axis: a statistic of a row is computed once for all who read it. */
#include "lower.h"

/* Whether what m makes of operand `in` says no more of it than 16 bits do. */
static bool rounds(const Lower *lo, const Node *m, const Node *in)
{
    if (m->op == OP_CAST)
        return dtype_is_float(m->type->dtype) && dtype_info(m->type->dtype)->bytes <= 2;
    const OpInfo *info = op_info(m->op);
    bool passed_on = info->smooth || (info->cls == OC_VIEW && m->op != OP_EXPAND);
    return passed_on && lo->rounded[m->id] && m->type->dtype == in->type->dtype;
}

void lower_mark_rounded(Lower *lo)
{
    const Graph *body = lo->body;
    for (uint32_t i = 0; i < body->nodes.n; i++)
        lo->rounded[body->nodes.at[i]->id] = body->nodes.at[i]->type->dtype == DT_F32;
    for (uint32_t i = 0; i < body->results.n; i++)
        lo->rounded[body->results.at[i].node->id] = false;
    for (uint32_t i = body->nodes.n; i-- > 0;) {
        const Node *m = body->nodes.at[i];
        for (uint32_t k = 0; k < m->nin; k++)
            if (!rounds(lo, m, m->in[k]))
                lo->rounded[m->in[k]->id] = false;
    }
}

/* rounded.c: which values of a body only ever reach a rounding to 16 bits.
 *
 * Such a value may be off by a few units of f32: those are 2^-13 of a unit of bf16, and 2^-10 of one of f16, so
 * the rounded result is another one, by one unit, only where the exact value lies that close to the middle
 * between two numbers. Where a sum cancels the units are those of its terms, as they are in f32 itself; so what
 * often cancels is right to the last bits of 1 (tanh, erf). On a GPU arithmetic of such values costs more than
 * memory, and the machine has instructions that are fast and almost right (mdl_fast.h).
 *
 * A difference of two such values that nearly cancel keeps their error and is small itself: exp(x) - 1 near 0 is as
 * far off as exp(x), by 2^-22 where f32 with all bits is off by 2^-24. So its relative error is at most four times that
 * of f32 (of exp(x) - exp(y) with large x and y more, by |x| / 4), and whoever needs it has expm1.
 *
 * Everything else sees all bits of f32: results in f32, folds and products, comparisons, indices. So does what is
 * repeated along an axis: a statistic of a row is computed once for all who read it. */
#include "lower.h"

/* Whether m may have an element of `in` more than once. */
static bool repeats(const Lower *lo, const Node *m, const Node *in)
{
    return dim_hi(lo->ir, type_count(lo->ir, m->type)) >
           dim_hi(lo->ir, type_count(lo->ir, in->type));
}

/* Whether what m makes of its operand `in` says no more of it than 16 bits do. */
static bool rounds(const Lower *lo, const Node *m, const Node *in)
{
    const OpInfo *info = op_info(m->op);
    if (gen_info(m->op)->value == value_cast)
        return dtype_is_float(m->type->dtype) && dtype_info(m->type->dtype)->bytes <= 2;
    bool passed_on = info->smooth || (info->cls == OC_VIEW && !repeats(lo, m, in));
    return passed_on && lo->rounded[m->id];
}

static void mark_stored(Lower *lo)
{
    const Graph *body = lo->body;
    for (uint32_t i = 0; i < body->results.n; i++) {
        const Node *n = body->results.at[i].node;
        lo->stored[n->id] = dtype_is_half(n->type->dtype);
    }
    for (uint32_t i = 0; i < body->nodes.n; i++)
        for (uint32_t k = 0; k < body->nodes.at[i]->nin; k++)
            lo->stored[body->nodes.at[i]->in[k]->id] = false;
}

void lower_mark_rounded(Lower *lo)
{
    const Graph *body = lo->body;
    mark_stored(lo);
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

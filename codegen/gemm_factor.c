/* gemm_factor.c: right operands that are a product with a factor which is the same over stretches of the
 * depth: the scales of quantised weights. It is left out of what is multiplied, and multiplies the sum of a
 * stretch instead: of weights with a scale per row that of the whole depth, of weights in blocks that of a
 * block. Index maps tell which operands are such. */
#include "gemm.h"

#include <string.h>

enum { FACTOR_MOST = 128 }; /* steps of a unit */

/* n at ix is the same for all values of variable v. */
static bool is_fixed(Lower *lo, const Node *n, const Ix *const *ix, uint32_t v)
{
    const OpInfo *info = op_info(n->op);
    bool uses = false;
    for (uint32_t i = 0; i < n->type->rank; i++)
        uses = uses || ix_uses(ix[i], v);
    if (!uses)
        return true;
    if (n->nin == 0 || (!info->at && info->cls != OC_ELEM))
        return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Ix *in[IR_MAX_RANK];
        if (info->at)
            info->at(lo->ir, n, k, ix, in);
        else
            memcpy(in, ix, n->type->rank * sizeof *in);
        if (!is_fixed(lo, n->in[k], in, v))
            return false;
    }
    return true;
}

/* The product that views alone lead to, or NULL; *ix: from the operand's index to its own. */
static const Node *product_below(Lower *lo, const Node *n, const Ix **ix)
{
    while (op_info(n->op)->cls == OC_VIEW && op_info(n->op)->at && n->nin == 1) {
        const Ix *in[IR_MAX_RANK];
        op_info(n->op)->at(lo->ir, n, 0, ix, in);
        n = n->in[0];
        memcpy(ix, in, n->type->rank * sizeof *in);
    }
    return node_multiplies(n) ? n : NULL;
}

/* Whether operand k of the product is fixed within `unit` steps of depth; 0: within all. */
static bool is_factor(Lower *lo, Gemm *g, uint32_t k, int64_t unit)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    const Ix *rd[2], *ix[IR_MAX_RANK];
    scope_begin(lo, &dry);
    g->batch = scope_var(lo, zero, g->nbatch);
    rd[0] = scope_var(lo, zero, g->right.rows);
    if (unit) {
        const Ix *block = scope_var(lo, zero, dim_const(lo->ir, dim_fixed(g->depth) / unit));
        rd[1] = ix_mul(lo->ir, block, dim_const(lo->ir, unit));
        rd[1] = ix_add(lo->ir, rd[1], scope_var(lo, zero, dim_const(lo->ir, unit)));
    } else {
        rd[1] = scope_var(lo, zero, g->depth);
    }
    gemm_side_index(lo, g, &g->right, rd, ix);
    const Node *n = product_below(lo, g->right.node, ix);
    double value;
    return n && !node_is_const(n->in[k], &value) && is_fixed(lo, n->in[k], ix, lo->nvar - 1);
}

void gemm_find_factor(Lower *lo, Gemm *g)
{
    int64_t depth;
    bool fixed = dim_is_const(g->depth, &depth);
    g->factor = (GemmFactor){0};
    for (uint32_t k = 0; k < 2 && !g->factor.found; k++)
        if (is_factor(lo, g, k, 0))
            g->factor = (GemmFactor){.found = true, .operand = k};
    for (int64_t unit = FACTOR_MOST; unit >= lo->k->width && fixed; unit /= 2)
        for (uint32_t k = 0; k < 2 && depth % unit == 0 && !g->factor.found; k++)
            if (is_factor(lo, g, k, unit))
                g->factor = (GemmFactor){.found = true, .operand = k, .unit = unit};
}

/* Operand k of the product at an element of the right side. */
static const KExpr *part(Lower *lo, const Gemm *g, uint32_t k, const Ix *const *rd)
{
    const Ix *ix[IR_MAX_RANK];
    gemm_side_index(lo, g, &g->right, rd, ix);
    return lower_value(lo, product_below(lo, g->right.node, ix)->in[k], ix);
}

const KExpr *gemm_factor(Lower *lo, const Gemm *g, const Ix *const *rd)
{
    return part(lo, g, g->factor.operand, rd);
}

const KExpr *gemm_without_factor(Lower *lo, const Gemm *g, const Ix *const *rd)
{
    return part(lo, g, 1 - g->factor.operand, rd);
}

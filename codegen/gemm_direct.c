/* gemm_direct.c: which operands of a product are read where they lie, without panels.
 *
 * Copying into panels pays when a panel is used many times; it makes reading fast where the operand
 * is not: lines far apart, computed elements, partial vectors. The left operand is read one element
 * at a time and broadcast, so any layout will do; the right one in whole vectors along its rows. */
#include "gemm.h"

#include <string.h>

enum { CACHE_LINE = 64, PAGE = 4096, MAX_WAYS = 4, FEW_USES = 8, NEAR_BYTES = 1024 };

/* An input of f32 through views only, or NULL. *ix: from an index of n to one of the input. */
static const Node *input_below(Lower *lo, const Node *n, const Ix **ix)
{
    while (op_info(n->op)->cls == OC_VIEW && op_info(n->op)->at) {
        const Ix *in[IR_MAX_RANK];
        op_info(n->op)->at(lo->ir, n, 0, ix, in);
        n = n->in[0];
        memcpy(ix, in, n->type->rank * sizeof *in);
    }
    bool input = gen_info(n->op)->value == value_input;
    return input && n->type->dtype == DT_F32 ? n : NULL;
}

/* Where an operand's elements lie. */
typedef struct Layout {
    const Ix *place;     /* in the input; NULL: computed */
    uint32_t row, depth; /* variables of place */
} Layout;

static Layout layout_of(Lower *lo, Gemm *g, const GemmSide *s, bool lanes)
{
    const KExpr *zero = ke_int(lo->k, 0);
    g->batch = scope_var(lo, zero, g->nbatch);
    Layout l = {.row = lo->nvar, .depth = lo->nvar + 1};
    const Ix *rd[2], *ix[IR_MAX_RANK];
    rd[0] = lanes ? scope_vector_var(lo, zero, s->rows, NULL) : scope_var(lo, zero, s->rows);
    rd[1] = scope_var(lo, zero, g->depth);
    gemm_side_index(lo, g, s, rd, ix);
    const Node *input = input_below(lo, s->node, ix);
    if (input)
        l.place = ix_flatten(lo->ir, input->type->dims, ix, input->type->rank);
    return l;
}

/* Floats between neighbours along a variable; false: it varies, or is not known. */
static bool distance(Lower *lo, const Layout *l, uint32_t var, int64_t *d)
{
    const Dim *c;
    return ix_coefficient(lo->ir, l->place, var, &c) && dim_is_const(c, d);
}

/* The rows of a tile are read side by side, a line of each at a time: few of them may share the
 * sets of the first cache, of which a way is as large as a page. */
static bool rows_fit(int64_t between, int64_t mr)
{
    int64_t bytes = between * 4, power = bytes & -bytes;
    power = power < CACHE_LINE ? CACHE_LINE : power > PAGE ? PAGE : power;
    return ceil_div(mr, PAGE / power) <= MAX_WAYS;
}

static bool left_direct(Lower *lo, const Gemm *g, const Layout *l)
{
    int64_t mr = g->left.panel, row, step;
    if (!l->place || dim_lo(lo->ir, g->left.rows) < mr || dim_lo(lo->ir, g->depth) < 1)
        return false;
    if (distance(lo, l, l->row, &row) && row > 1 && !rows_fit(row, mr))
        return false;
    if (!distance(lo, l, l->depth, &step))
        return ceil_div(g->nt, g->right.panel) <= FEW_USES;
    return step * 4 <= NEAR_BYTES; /* else it is cheap to pack, with lanes along the rows */
}

static bool right_direct(Lower *lo, const Gemm *g, const Layout *l)
{
    int64_t nr = g->right.panel, rows, step, tall = dim_hi(lo->ir, g->left.rows);
    const Dim *between;
    if (!l->place || dim_lo(lo->ir, g->depth) < 1 || !dim_is_const(g->right.rows, &rows) ||
        rows == 0 || rows % nr != 0 || ceil_div(tall, g->left.panel) > FEW_USES)
        return false;
    return index_stride(lo, l->place, l->row, &between) && dim_equals(between, 1) &&
           distance(lo, l, l->depth, &step) && step * 4 <= NEAR_BYTES;
}

void gemm_choose_direct(Lower *lo, Gemm *g)
{
    KPhase dry = {0};
    scope_begin(lo, &dry);
    Layout left = layout_of(lo, g, &g->left, false);
    g->left.direct = left_direct(lo, g, &left);
    scope_begin(lo, &dry);
    Layout right = layout_of(lo, g, &g->right, true);
    g->right.direct = right_direct(lo, g, &right);
    g->right.shared = g->right.shared && !g->right.direct;
}

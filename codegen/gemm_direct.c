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

const Dim *gemm_outer_extent(Lower *lo, const Gemm *g)
{
    int64_t depth, kc = g->kc;
    if (g->blocks == 1 && dim_is_const(g->depth, &depth))
        kc = depth;
    return dim_const(lo->ir, kc / g->inner);
}

const Ix *gemm_depth(Lower *lo, const Gemm *g, const Ix *block, const Ix *outer, const Ix *inner)
{
    const Ix *step = ix_add(lo->ir, ix_mul(lo->ir, outer, dim_const(lo->ir, g->inner)), inner);
    return ix_add(lo->ir, ix_mul(lo->ir, block, dim_const(lo->ir, g->kc)), step);
}

/* Where an operand's elements lie. */
typedef struct Layout {
    const Ix *place;     /* in the input; NULL: computed */
    uint32_t row, depth; /* variables of place; depth: the innermost loop over it */
} Layout;

static Layout layout_of(Lower *lo, Gemm *g, const GemmSide *s, bool lanes)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    const Ix *rd[2], *ix[IR_MAX_RANK];
    scope_begin(lo, &dry);
    g->batch = scope_var(lo, zero, g->nbatch);
    const Ix *block = scope_var(lo, zero, dim_const(lo->ir, g->blocks));
    const Ix *outer = scope_var(lo, zero, gemm_outer_extent(lo, g));
    Layout l = {.row = lo->nvar, .depth = lo->nvar + 1};
    rd[0] = lanes ? scope_vector_var(lo, zero, s->rows, NULL) : scope_var(lo, zero, s->rows);
    rd[1] = scope_var(lo, zero, g->inner > 1 ? dim_const(lo->ir, g->inner) : g->depth);
    if (g->inner > 1)
        rd[1] = gemm_depth(lo, g, block, outer, rd[1]);
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

/* ---- depth that is split by a view ---- */

/* The least number that e divides an expression of the variable by. */
static void least_divisor(const Ix *e, uint32_t var, int64_t *least)
{
    for (uint32_t i = 0; e->kind == IX_SUM && i < e->nterm; i++)
        least_divisor(e->term[i].atom, var, least);
    if ((e->kind != IX_DIV && e->kind != IX_MOD) || !ix_uses(e->of, var))
        return;
    int64_t d;
    if (dim_is_const(e->extent, &d) && (*least == 0 || d < *least))
        *least = d;
    least_divisor(e->of, var, least);
}

/* Two loops over the depth of a block, when that makes an operand's elements evenly spaced. */
static void split_depth(Lower *lo, Gemm *g)
{
    int64_t depth, inner = 0, step;
    g->inner = 1;
    for (int i = 0; i < 2; i++) {
        const GemmSide *s = i ? &g->right : &g->left;
        Layout l = layout_of(lo, g, s, false);
        if (l.place)
            least_divisor(l.place, l.depth, &inner);
    }
    if (inner < 2 || !dim_is_const(g->depth, &depth) || depth % inner != 0 ||
        (g->blocks > 1 && g->kc % inner != 0))
        return;
    g->inner = inner;
    for (int i = 0; i < 2; i++) {
        Layout l = layout_of(lo, g, i ? &g->right : &g->left, false);
        if (l.place && distance(lo, &l, l.depth, &step))
            return;
    }
    g->inner = 1;
}

/* ---- choice ---- */

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
    split_depth(lo, g);
    Layout left = layout_of(lo, g, &g->left, false);
    g->left.direct = left_direct(lo, g, &left);
    Layout right = layout_of(lo, g, &g->right, true);
    g->right.direct = right_direct(lo, g, &right);
    g->right.shared = g->right.shared && !g->right.direct;
    if (!g->left.direct && !g->right.direct)
        g->inner = 1;
}

/* gpu_float.c: operands of f32 on their way to a tile in shared memory. Multiply-adds want both operands with the rows
 * next to each other, one step of depth after the other. So cp.async copies four rows at once where they lie
 * so, and else each element on its own, which turns a matrix that runs along the depth on the way and needs
 * no registers. Tensor cores that take f32 (tf32) want the same, with neighbouring steps in other banks.
 *
 * What a thread copies is so many rows and steps at equal distances from its first element: only that address,
 * and where the matrix ends, is computed, and the rest are constants of the instructions. It takes an index that
 * is a sum of row and depth times something, within the rows of a tile at least: heads of which a product has
 * half the features lie apart. */
#include "gpu_copy.h"
#include "gpu_tile.h"

enum { LINE = 8, WIDE = 4, MANY = 1 << 20 };

int64_t float_pitch(const Part *p)
{
    return p->tf32    ? p->rows + 8
           : p->along ? p->rows + 4
                      : p->rows; /* mdl_tf32_pitch, mdl_fma_pitch */
}

/* Index in the input of what is at a row and a step of depth; NULL: the operand is computed. */
static const Node *source(Lower *lo, Gemm *g, const GemmSide *s, const Ix *const *rd, const Ix **at)
{
    const Ix *ix[IR_MAX_RANK];
    gemm_side_index(lo, g, s, rd, ix);
    const Node *n = copy_source(lo->ir, s->node, ix);
    if (n)
        *at = ix_flatten(lo->ir, n->type->dims, ix, n->type->rank);
    return n;
}

/* A tile begins at a multiple of its rows. */
static const Ix *row_of_tile(Lower *lo, const Part *p, const Ix *row)
{
    const KExpr *zero = ke_int(lo->k, 0);
    int64_t n;
    if (!dim_is_const(p->side->rows, &n))
        return row;
    const Dim *rows = dim_const(lo->ir, p->rows);
    const Ix *tile = scope_var(lo, zero, dim_const(lo->ir, (n + p->rows - 1) / p->rows));
    return ix_add(lo->ir, ix_mul(lo->ir, tile, rows), row);
}

void float_choose(Lower *lo, Gemm *g, Part *p)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    scope_begin(lo, &dry);
    g->batch = scope_var(lo, zero, g->nbatch);
    int64_t all;
    bool known = dim_is_const(p->side->rows, &all);
    uint32_t v = lo->nvar;
    const Ix *row = scope_var(lo, zero, known ? dim_const(lo->ir, p->rows) : p->side->rows);
    const Ix *depth = scope_var(lo, zero, g->depth), *at;
    const Ix *rd[] = {row_of_tile(lo, p, row), depth};
    const Node *n = source(lo, g, p->side, rd, &at);
    p->async = n && n->type->dtype == DT_F32 && ix_coefficient(lo->ir, at, v, &p->copy.by_row) &&
               ix_coefficient(lo->ir, at, v + 1, &p->copy.by_depth);
    p->copy.wide = p->copy.wide && p->async;
    if (p->copy.wide)
        p->along = false;
}

/* Where threads begin, and how far apart is what they have. Neighbours read neighbouring bytes: along the depth eight
 * steps, then the next row, which are all in different banks. */
static void share_tile(Lower *lo, const TileSet *t, Part *p)
{
    Kernel *k = lo->k;
    FloatCopy *c = &p->copy;
    int64_t wide = c->wide ? WIDE : 1;
    int64_t along = p->along ? LINE : c->wide ? p->rows / WIDE : WARP, across = t->threads / along;
    int64_t row_apart = p->along ? across : along * wide, step_apart = p->along ? LINE : across;
    const KExpr *n = ke_int(k, along), *in = ke_index(k, KI_MOD, t->thread, n);
    const KExpr *line = ke_index(k, KI_DIV, t->thread, n);
    c->row_in = copy_let(lo, "row_in", p->along ? line : ke_mul(lo, in, ke_int(k, wide)));
    c->k_in = copy_let(lo, "k_in", p->along ? in : line);
    c->bring = kernel_name(k, "bring");
    ASSERT(p->rows % row_apart == 0 && t->bk % step_apart == 0);
    copy_call(lo,
              arena_printf(lo->arena, "const MdlBring %s = {%lld, %lld, %lld, %lld, %lld, %d}",
                           c->bring, (long long)float_pitch(p), (long long)(p->rows / row_apart),
                           (long long)(t->bk / step_apart), (long long)row_apart,
                           (long long)step_apart, c->wide),
              NULL, 0);
}

static bool tiles_are_whole(const Dim *d, int64_t tile)
{
    int64_t n;
    return dim_is_const(d, &n) && n > 0 && n % tile == 0;
}

/* Whether all steps that are copied exist: those that fill the ring at first, and those of the longest dot. */
static bool steps_are_whole(const TileSet *t, const Dim *depth)
{
    int64_t n;
    bool same = !t->depth_end;
    for (uint32_t d = 0; d < t->n; d++)
        same = same && t->dot[d].g->depth == depth;
    return same && dim_is_const(depth, &n) && n % t->bk == 0 && n >= (t->stages - 1) * t->bk;
}

/* How many there are from `first` on, or many. */
static const KExpr *how_many(Lower *lo, const KExpr *end, const KExpr *first)
{
    return ke_min(lo, ke_sub(lo, end, first), ke_int(lo->k, MANY));
}

void float_begin(Lower *lo, const TileSet *t, TileDot *dot, Part *p)
{
    Kernel *k = lo->k;
    FloatCopy *c = &p->copy;
    const Dim *rows = p->side->rows;
    if (!p->async || p->lent)
        return;
    share_tile(lo, t, p);
    const KExpr *row = copy_let(lo, "row", ke_add(lo, p->first, c->row_in));
    bool whole = tiles_are_whole(rows, p->rows) && !(t->rows_end && p->side == &dot->g->left);
    c->rows_left = ke_int(k, MANY);
    if (!whole)
        c->rows_left =
            copy_let(lo, "left", how_many(lo, tile_rows_end(lo, t, dot->g, p->side), row));
    const Ix *rd[] = {scope_var(lo, row, rows), scope_var(lo, c->k_in, dot->g->depth)}, *at;
    const Node *n = source(lo, dot->g, p->side, rd, &at);
    ASSERT(n);
    c->from = kernel_name(k, "from");
    const KExpr *from = ke_addr(k, lo->in[n->id], lower_index(lo, at));
    copy_call(lo, arena_printf(lo->arena, "const float *%s = %%0", c->from), &from, 1);
}

void float_bring(Lower *lo, const TileSet *t, const TileDot *dot, const Part *p,
                 const KExpr *const *to_k0)
{
    Kernel *k = lo->k;
    const FloatCopy *c = &p->copy;
    const KExpr *k0 = to_k0[1], *steps = ke_int(k, MANY);
    const KExpr *in = ke_add(lo, ke_mul(lo, c->k_in, ke_int(k, float_pitch(p))), c->row_in);
    const KExpr *to = ke_add(lo, to_k0[0], ke_mul(lo, in, ke_int(k, 4)));
    if (!steps_are_whole(t, dot->g->depth))
        steps = how_many(lo, tile_depth_end(lo, t, dot->g), ke_add(lo, k0, c->k_in));
    const KExpr *by_depth = ke_extent(k, c->by_depth);
    const KExpr *arg[] = {ke_addr(k, t->tiles, to),
                          ke_mul(lo, k0, by_depth),
                          ke_extent(k, c->by_row),
                          by_depth,
                          c->rows_left,
                          steps};
    copy_call(
        lo,
        arena_printf(lo->arena,
                     "mdl_fma_bring((float *)%%0, %s + %%1, %%2, %%3, %s, (int)%%4, (int)%%5)",
                     c->from, c->bring),
        arg, 6);
}

/* gpu_gemm.c: matrix products on a GPU, with elementwise operands and epilogue: a block of threads computes a tile of
 * every dot of a set (gpu_tile.c), then the results of which they are part. f64 has a thread per row.
 *
 * Config: bm bn bk stages, and the warps along m and n (f32: 16, 8 or 4 rows by 8 columns a thread). */
#include "gpu_tile.h"

static void epilogue(Lower *lo, const TileSet *t)
{
    const Gemm *g = t->dot[0].g;
    TileSpot spot;
    tile_open_sums(lo, t, &spot);
    const Ix *ix[IR_MAX_RANK], *row_ix = scope_var(lo, spot.row, g->left.rows);
    const Ix *column_ix = scope_vector_var(lo, spot.column, g->right.rows, spot.lanes);
    gemm_result_index(lo, g, row_ix, column_ix, ix);
    const KExpr *dot[PRODUCTS_TOGETHER];
    for (uint32_t d = 0; d < t->nsum; d++)
        dot[d] = tile_sum(lo, t, d, &spot);
    gemm_store_results(lo, t->set, dot, ix);
    tile_close_sums(lo);
}

/* ---- the kernel ---- */

static void one_tile(Lower *lo, TileSet *t, const KExpr *task)
{
    Kernel *k = lo->k;
    const Gemm *g = t->dot[0].g;
    int64_t across = tile_count(lo, g->right.rows, t->bn);
    int64_t tiles = tile_count(lo, g->left.rows, t->bm) * across;
    const KExpr *of = task, *batch = ke_int(k, 0);
    if (!dim_equals(g->nbatch, 1)) {
        batch = ks_let(k, lo->scope->block, "batch", ke_index(k, KI_DIV, task, ke_int(k, tiles)));
        of = ks_let(k, lo->scope->block, "of", ke_index(k, KI_MOD, task, ke_int(k, tiles)));
    }
    gemm_set_batch(t->set, scope_var(lo, batch, g->nbatch));
    const KExpr *up = ke_index(k, KI_DIV, of, ke_int(k, across));
    const KExpr *right = ke_index(k, KI_MOD, of, ke_int(k, across));
    tile_place(lo, t, ke_mul(lo, up, ke_int(k, t->bm)), ke_mul(lo, right, ke_int(k, t->bn)));
    tile_compute(lo, t);
    epilogue(lo, t);
}

enum { MOST_COLUMNS = 256 };

/* Where pairs of products are one of twice the columns, a product that is alone has as many: all tiles of a launch take
 * as long. Not for threads that also copy. */
static void double_tiles(Lower *lo, GemmKernel *kn, TileSet *sets, bool ring)
{
    bool pairs = false;
    for (uint32_t s = 0; s < kn->nset; s++)
        pairs = pairs || (sets[s].joins && 2 * sets[s].bn == MOST_COLUMNS);
    for (uint32_t s = 0; s < kn->nset && pairs; s++) {
        GemmSet *set = &kn->set[s];
        if (set->n > 1 || dim_hi(lo->ir, sets[s].dot[0].g->right.rows) < MOST_COLUMNS)
            continue;
        set->doubled = ring;
        tile_shape(lo, &sets[s], set);
    }
}

/* Threads that also copy have no registers for the sums of the widest tiles. */
static void halve_tiles(Lower *lo, GemmKernel *kn, TileSet *sets)
{
    bool wide = sets[0].groups && sets[0].bn == MOST_COLUMNS;
    for (uint32_t s = 0; wide && s < kn->nset; s++) {
        kn->set[s].halved = true;
        tile_shape(lo, &sets[s], &kn->set[s]);
    }
}

void gpu_gemm(Lower *lo)
{
    GemmKernel kn = {0};
    Kernel *k = lo->k;
    prologue_begin(lo);
    gemm_find_sets(lo, &kn);
    gemm_describe(lo, &kn);
    if (lo->scalar) {
        gemm_multiply(lo, &kn);
        return;
    }
    if (gpu_skinny(lo, &kn) || gpu_skinny_mma(lo, &kn))
        return;
    for (uint32_t s = 0; s < kn.nset; s++)
        if (tile_operand(&kn.set[s]) != DT_F32)
            k->width = 8;
    TileSet *sets = NEW_ARRAY(lo->arena, TileSet, kn.nset);
    for (uint32_t s = 0; s < kn.nset; s++) {
        kn.set[s].summed = kn.set[s].sum != NULL;
        tile_shape(lo, &sets[s], &kn.set[s]);
    }
    prologue_phase(lo);
    double_tiles(lo, &kn, sets, true);
    if (gpu_ring(lo, sets, kn.nset))
        return;
    double_tiles(lo, &kn, sets, false);
    halve_tiles(lo, &kn, sets);
    const Dim *all = dim_const(lo->ir, 0);
    for (uint32_t s = 0; s < kn.nset; s++)
        all = dim_add(lo->ir, all, tile_tasks(lo, &sets[s]));
    KPhase *phase = kernel_phase(k, "", all, "a tile of the result per block");
    phase->threads = phase->team = (uint32_t)sets[0].threads;
    tile_make_shared(lo, sets, kn.nset, phase);
    scope_begin(lo, phase);
    GemmRanges ranges = {.before = dim_const(lo->ir, 0), .alone = kn.nset == 1};
    for (uint32_t s = 0; s < kn.nset; s++) {
        const KExpr *task = gemm_open_range(lo, &ranges, tile_tasks(lo, &sets[s]));
        one_tile(lo, &sets[s], task);
        scope_end(lo);
    }
}

/* gpu_tile.c: a block of threads of a GPU computes a tile of bm x bn sums of products, of every dot of a set, over
 * the whole depth; so no sum depends on how blocks run.
 *
 * A ring of `stages` buffers in shared memory holds bk steps of depth of both operands. What is read as it
 * lies, f32 (gpu_float.c) or 16 bit and in runs of 16 bytes, is copied by cp.async while earlier stages are
 * multiplied; any other operand is computed, element by element, on the way. 16-bit operands go through the tensor cores, and
 * those of f32 that may be rounded; others through multiply-adds of f32 (mdl_tile.h). The sums then pass through shared memory, so that
 * what follows sees rows of the result, and whatever it reads and writes is read and written in order. */
#include "gpu_tile.h"
#include "gpu_copy.h"

#include <string.h>

static int64_t width(const Lower *lo)
{
    return lo->k->width;
}

static int64_t operand_bytes(const TileSet *t)
{
    return dtype_info(t->operand)->bytes;
}

/* ---- shape ---- */

DType tile_operand(const GemmSet *set)
{
    DType dt = products_operand(set->dot[0]->dot->in[0]);
    for (uint32_t d = 0; d < set->n; d++)
        for (uint32_t k = 0; k < 2; k++)
            if (products_operand(set->dot[d]->dot->in[k]) != dt)
                return DT_F32;
    return dtype_is_half(dt) ? dt : DT_F32;
}

/* Whether all operands may be rounded to tf32. */
static bool may_round(const GemmSet *set)
{
    bool all = true;
    for (uint32_t d = 0; d < set->n; d++)
        all = all && node_int(set->dot[d]->dot, "tf32") != 0;
    return all;
}

/* Whether runs of W elements of a side lie together in an input of this type, each at a multiple of their
 * size. */
static bool runs_lie_together(Lower *lo, Gemm *g, GemmSide *s, bool along, DType dt)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    const Ix *rd[2], *ix[IR_MAX_RANK];
    scope_begin(lo, &dry);
    g->batch = scope_var(lo, zero, g->nbatch);
    uint32_t v = 0;
    for (int i = 0; i < 2; i++) {
        const Dim *extent = i == 0 ? s->rows : g->depth;
        bool lanes = (i == 1) == along;
        rd[i] = lanes ? scope_vector_var(lo, zero, extent, NULL) : scope_var(lo, zero, extent);
        if (lanes)
            v = lo->nvar - 1;
    }
    gemm_side_index(lo, g, s, rd, ix);
    return copy_in_runs(lo, s->node, ix, v, dt);
}

static void choose_part(Lower *lo, const TileSet *t, Gemm *g, Part *p, int64_t rows)
{
    GemmSide *s = p->side;
    p->rows = s->panel = rows;
    p->tf32 = t->tf32;
    double by_rows = gemm_probe_side(lo, g, s, false), by_depth = gemm_probe_side(lo, g, s, true);
    p->along = by_depth <= by_rows;
    if (t->operand == DT_F32) {
        p->copy.wide = runs_lie_together(lo, g, s, false, DT_F32);
        float_choose(lo, g, p);
        return;
    }
    p->async = runs_lie_together(lo, g, s, p->along, t->operand);
    if (!p->async && runs_lie_together(lo, g, s, !p->along, t->operand)) {
        p->along = !p->along;
        p->async = true;
    }
}

/* A matrix times a vector has the vector as its one row. */
void tile_choose_left(Gemm *g)
{
    if (!dim_equals(g->right.rows, 1) || dim_equals(g->left.rows, 1))
        return;
    GemmSide s = g->left;
    g->left = g->right;
    g->right = s;
    g->swapped = true;
}

static bool same_part(const Part *a, const Part *b)
{
    const GemmSide *x = a->side, *y = b->side;
    return x->node == y->node && x->nbatch == y->nbatch && x->ndepth == y->ndepth &&
           memcmp(x->batch, y->batch, x->nbatch * sizeof *x->batch) == 0 &&
           memcmp(x->depth, y->depth, x->ndepth * sizeof *x->depth) == 0;
}

static void place_part(TileSet *t, Part *p, const Part *lender)
{
    p->lent = lender && same_part(p, lender);
    p->at = p->lent ? lender->at : t->stage_bytes;
    if (!p->lent)
        t->stage_bytes +=
            (t->operand == DT_F32 ? float_pitch(p) : p->rows) * t->bk * operand_bytes(t);
    t->async = t->async || p->async;
    t->computed = t->computed || !p->async;
}

static void shape_dot(Lower *lo, TileSet *t, uint32_t d)
{
    TileDot *dot = &t->dot[d];
    dot->g = t->set->dot[d];
    if (!t->set->as_it_is)
        tile_choose_left(dot->g);
    dot->a.side = &dot->g->left;
    dot->b.side = &dot->g->right;
    choose_part(lo, t, dot->g, &dot->a, t->bm);
    choose_part(lo, t, dot->g, &dot->b, t->bn);
    int64_t others = t->stage_bytes;
    if (t->set->summed)
        t->stage_bytes = 0;
    place_part(t, &dot->a, d > 0 && !t->set->summed ? &t->dot[d - 1].a : NULL);
    place_part(t, &dot->b, NULL);
    t->stage_bytes = larger(t->stage_bytes, others);
}

enum { WARPGROUP = 128, GROUP_ROWS = 64 };

/* Whether one product of warpgroups has the columns of all dots: 64 rows each, of one left operand. */
static bool dots_join(const TileSet *t)
{
    int64_t columns = t->n * t->bn;
    bool same = t->groups && t->n > 1 && !t->set->summed && (columns == 128 || columns == 256) &&
                t->bm / (t->threads / WARPGROUP) == GROUP_ROWS;
    for (uint32_t d = 1; d < t->n; d++)
        same = same && t->dot[d].a.lent && t->dot[d].b.along == t->dot[0].b.along;
    return same;
}

uint32_t tile_walks(const TileSet *t)
{
    return t->set->summed ? t->n : 1;
}

TileWalk tile_walk(const TileSet *t, uint32_t i)
{
    return t->set->summed ? (TileWalk){i, i + 1} : (TileWalk){0, t->n};
}

void tile_shape(Lower *lo, TileSet *t, const GemmSet *set)
{
    uint32_t s = set->number;
    *t = (TileSet){.set = set, .n = set->n, .operand = tile_operand(set)};
    t->tf32 = t->operand == DT_F32 && may_round(set);
    t->nsum = set->summed ? 1 : set->n;
    t->bm = lower_config_of(lo, s, "bm");
    t->bn = lower_config_of(lo, s, "bn") / (set->halved ? 2 : 1) * (set->doubled ? 2 : 1);
    t->bk = lower_config_of(lo, s, "bk");
    t->stages = lower_config_of(lo, s, "stages");
    t->wm = lower_config_of(lo, s, "warps_m");
    t->wn = lower_config_of(lo, s, "warps_n");
    t->groups = t->operand != DT_F32 && lower_has_config(lo, "groups") &&
                lower_config_of(lo, s, "groups") != 0;
    t->threads = t->wm * t->wn * 32;
    if (t->operand == DT_F32) { /* also in a tile that was chosen for tensor cores; mdl_tile.h */
        t->wn = t->bn / 64;
        t->wm = t->threads / 32 / t->wn;
        ASSERT(t->wm * t->wn * 32 == t->threads && t->bm / t->wm % 16 == 0);
    }
    t->sums = t->bm * t->bn / t->threads;
    t->pitch = t->bn + width(lo);
    for (uint32_t d = 0; d < t->n; d++)
        shape_dot(lo, t, d);
    t->row_floats = t->bm * t->pitch;
    t->joins = dots_join(t);
}

int64_t tile_count(Lower *lo, const Dim *rows, int64_t tile)
{
    return larger(ceil_div(dim_hi(lo->ir, rows), tile), 1);
}

const Dim *tile_tasks(Lower *lo, const TileSet *t)
{
    const Gemm *g = t->dot[0].g;
    int64_t tiles = tile_count(lo, g->left.rows, t->bm) * tile_count(lo, g->right.rows, t->bn);
    return dim_mul(lo->ir, g->nbatch, dim_const(lo->ir, tiles));
}

static int64_t shared_bytes(const TileSet *t)
{
    return larger(t->stages * t->stage_bytes, t->nsum * t->row_floats * 4);
}

/* ---- one stage ---- */

/* A run of W elements that a thread brings: its place in the tile and in the matrix. */
typedef struct Run {
    const TileSet *t;
    Gemm *g;
    const Part *p;
    const KExpr *row_in, *k_in, *row, *depth;
    const KExpr *to; /* in the stage: byte, or f32: element */
} Run;

/* Neighbouring threads take neighbouring runs of memory; an f32 tile is turned on the way, there they take
 * neighbouring rows, which are in different banks. */
static void place_run(Lower *lo, Run *r, const KExpr *id)
{
    Kernel *k = lo->k;
    const Part *p = r->p;
    int64_t w = width(lo), per = p->along ? r->t->bk / w : p->rows / w;
    bool turned = p->along && r->t->operand == DT_F32;
    const KExpr *n = ke_int(k, turned ? p->rows : per);
    const KExpr *major = copy_let(lo, "major", ke_index(k, turned ? KI_MOD : KI_DIV, id, n));
    const KExpr *minor = copy_let(lo, "minor", ke_index(k, turned ? KI_DIV : KI_MOD, id, n));
    const KExpr *lane0 = ke_mul(lo, minor, ke_int(k, w));
    r->row_in = p->along ? major : lane0;
    r->k_in = p->along ? lane0 : major;
    if (r->t->operand != DT_F32) {
        const KExpr *arg[] = {major, minor, ke_int(k, per),
                              ke_int(k, p->along ? p->rows : r->t->bk)};
        const char *text = r->t->groups ? "mdl_line(%0, %1, %3)" : "mdl_chunk(%0, %1, %2)";
        r->to = ke_text(k, KT_I64, text, arg, 4);
    } else {
        r->to = ke_add(lo, ke_mul(lo, r->k_in, ke_int(k, float_pitch(p))), r->row_in);
    }
}

const KExpr *tile_depth_end(Lower *lo, const TileSet *t, const Gemm *g)
{
    return t->depth_end ? t->depth_end : ke_extent(lo->k, g->depth);
}

const KExpr *tile_rows_end(Lower *lo, const TileSet *t, const Gemm *g, const GemmSide *s)
{
    return t->rows_end && s == &g->left ? t->rows_end : ke_extent(lo->k, s->rows);
}

/* How many elements of the run exist: of those along it; the other index is tested apart. */
static const KExpr *elements_left(Lower *lo, const Run *r)
{
    const KExpr *at = r->p->along ? r->depth : r->row;
    const KExpr *end =
        r->p->along ? tile_depth_end(lo, r->t, r->g) : tile_rows_end(lo, r->t, r->g, r->p->side);
    return ke_sub(lo, end, at);
}

static bool runs_are_whole(const Lower *lo, const Run *r)
{
    int64_t n;
    bool known = r->p->along ? !r->t->depth_end : !r->t->rows_end || r->p->side != &r->g->left;
    return known && dim_is_const(r->p->along ? r->g->depth : r->p->side->rows, &n) &&
           n % width(lo) == 0;
}

static const KExpr *inside(Lower *lo, const Run *r)
{
    Kernel *k = lo->k;
    const KExpr *rows = ke_test(k, "<", r->row, tile_rows_end(lo, r->t, r->g, r->p->side));
    return ke_test(k, "&&", rows, ke_test(k, "<", r->depth, tile_depth_end(lo, r->t, r->g)));
}

/* Row and depth of the run as indices; lanes go along it. */
static void run_index(Lower *lo, const Run *r, const KExpr *lanes, const Ix **rd)
{
    const Part *p = r->p;
    const Dim *rows = p->side->rows, *depth = r->g->depth;
    rd[0] = p->along ? scope_var(lo, r->row, rows) : scope_vector_var(lo, r->row, rows, lanes);
    rd[1] =
        p->along ? scope_vector_var(lo, r->depth, depth, lanes) : scope_var(lo, r->depth, depth);
}

static const Node *run_source(Lower *lo, const void *run, const Ix **at)
{
    const Run *r = run;
    const Ix *rd[2], *ix[IR_MAX_RANK];
    run_index(lo, r, NULL, rd);
    gemm_side_index(lo, r->g, r->p->side, rd, ix);
    const Node *n = copy_source(lo->ir, r->p->side->node, ix);
    ASSERT(n);
    *at = ix_flatten(lo->ir, n->type->dims, ix, n->type->rank);
    return n;
}

static void copy_run(Lower *lo, const Run *r, const KExpr *to)
{
    Kernel *k = lo->k;
    const KExpr *limit = ke_int(k, width(lo)), *some = limit;
    if (!runs_are_whole(lo, r))
        some = ke_min(lo, limit, elements_left(lo, r));
    const KExpr *arg[] = {inside(lo, r), ke_mul(lo, some, ke_int(k, operand_bytes(r->t)))};
    const KExpr *bytes = copy_let(lo, "bytes", ke_text(k, KT_I64, "(%0 ? %1 : 0)", arg, 2));
    const CopySpot spot = {"place", ke_test(k, ">", bytes, ke_int(k, 0)), run_source, r};
    const KExpr *copy[] = {ke_addr(k, r->t->tiles, to), copy_place(lo, &spot), bytes};
    copy_call(lo, "mdl_cp_async16(%0, %1, (int)%2)", copy, 3);
}

static void store_run(Lower *lo, const Run *r, const KExpr *to, const KExpr *x)
{
    Kernel *k = lo->k;
    const KExpr *arg[] = {ke_addr(k, r->t->tiles, to), x, ke_int(k, float_pitch(r->p)),
                          ke_int(k, width(lo))};
    if (r->t->operand == DT_BF16)
        copy_call(lo, "mdl_storea_bf16((uint16_t *)%0, %1)", arg, 2);
    else if (r->t->operand == DT_F16)
        copy_call(lo, "mdl_storea_f16((uint16_t *)%0, %1)", arg, 2);
    else if (r->p->along)
        copy_call(lo, "mdl_scatter_f32((float *)%0, %2, %1, %3)", arg, 4);
    else
        copy_call(lo, "mdl_storea_f32((float *)%0, %1)", arg, 2);
}

static void compute_run(Lower *lo, const Run *r, const KExpr *to)
{
    Kernel *k = lo->k;
    const KExpr *x = ks_var(k, lo->scope->block, "run", ke_num(k, KT_VF, 0));
    scope_if(lo, inside(lo, r));
    const KExpr *lanes = NULL;
    if (!runs_are_whole(lo, r))
        lanes = copy_let(lo, "lanes", ke_min(lo, ke_int(k, width(lo)), elements_left(lo, r)));
    const Ix *rd[2];
    run_index(lo, r, lanes, rd);
    const KExpr *e = lower_spread(lo, gemm_element(lo, r->g, r->p->side, rd));
    /* what is computed of nothing need not be zero */
    ks_set(k, lo->scope->block, x, lower_first_lanes(lo, lanes, e, ke_num(k, KT_VF, 0)));
    scope_end(lo);
    store_run(lo, r, to, x);
}

/* at: stage, k0. */
static void bring_part(Lower *lo, const TileSet *t, const TileDot *dot, const Part *p,
                       const KExpr *const *at)
{
    Kernel *k = lo->k;
    const KExpr *stage = at[0], *k0 = at[1];
    if (p->lent)
        return;
    if (p->async && t->operand == DT_F32) {
        const KExpr *bytes = ke_mul(lo, stage, ke_int(k, t->stage_bytes));
        const KExpr *to_k0[] = {ke_add(lo, bytes, ke_int(k, p->at)), k0};
        float_bring(lo, t, dot, p, to_k0);
        return;
    }
    /* many runs that are computed at once would want more registers than there are */
    int64_t runs = p->rows * t->bk / width(lo);
    const KExpr *id = share_open(lo, &(ShareSpec){.thread = t->thread,
                                                  .threads = t->threads,
                                                  .count = runs,
                                                  .rolled = !p->async && runs > 4 * t->threads});
    Run r = {.t = t, .g = dot->g, .p = p};
    place_run(lo, &r, id);
    r.row = copy_let(lo, "row", ke_add(lo, p->first, r.row_in));
    r.depth = copy_let(lo, "depth", ke_add(lo, k0, r.k_in));
    const KExpr *scale = ke_int(k, t->operand == DT_F32 ? 4 : 1);
    const KExpr *base = ke_add(lo, ke_mul(lo, stage, ke_int(k, t->stage_bytes)), ke_int(k, p->at));
    const KExpr *to = ke_add(lo, base, ke_mul(lo, r.to, scale));
    if (p->async)
        copy_run(lo, &r, to);
    else
        compute_run(lo, &r, to);
    share_close(lo);
}

/* Brings steps [k0, k0 + bk) of the depth to a stage; at: stage, k0. */
static void bring_stage(Lower *lo, const TileSet *t, TileWalk w, const KExpr *const *at)
{
    for (uint32_t d = w.from; d < w.to; d++) {
        bring_part(lo, t, &t->dot[d], &t->dot[d].a, at);
        bring_part(lo, t, &t->dot[d], &t->dot[d].b, at);
    }
}

static void commit(Lower *lo, const TileSet *t)
{
    if (t->async)
        copy_call(lo, "mdl_cp_commit()", NULL, 0);
}

/* What was brought `ahead` stages before the last is there, for all threads. */
static void wait_stage(Lower *lo, const TileSet *t, int64_t ahead)
{
    if (t->async)
        copy_call(lo, arena_printf(lo->arena, "mdl_cp_wait(%lld)", (long long)ahead), NULL, 0);
    if (t->groups)
        copy_call(lo, "mdl_fence_async()", NULL, 0);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
}

/* ---- sums ---- */

/* Declares the shape of a product of `bn` columns. */
static const char *name_tile(Lower *lo, const TileSet *t, const TileDot *dot, int64_t bn)
{
    const char *name = kernel_name(lo->k, "tile");
    copy_call(lo,
              arena_printf(lo->arena, "const MdlTile %s = {%lld, %lld, %lld, %lld, %lld, %d, %d}",
                           name, (long long)t->bm, (long long)bn, (long long)t->bk,
                           (long long)t->wm, (long long)t->wn, dot->a.along, dot->b.along),
              NULL, 0);
    return name;
}

static uint32_t make_sums(Lower *lo, int64_t n)
{
    Kernel *k = lo->k;
    uint32_t acc = ks_local(k, lo->scope->block, "acc", KT_F32, n);
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, n),
                               .extent = dim_const(lo->ir, n),
                               .unroll = true});
    ks_store(k, lo->scope->block, acc, lo->var[lo->nvar - 1].at, ke_num(k, KT_F32, 0));
    scope_end(lo);
    return acc;
}

void tile_begin_sums(Lower *lo, TileSet *t)
{
    if (t->joins)
        t->joined = name_tile(lo, t, &t->dot[0], t->n * t->bn);
    for (uint32_t d = 0; d < t->n; d++) {
        TileDot *dot = &t->dot[d];
        dot->acc0 = t->joins ? d * t->sums : 0;
        if (d > 0 && (t->joins || d >= t->nsum))
            dot->acc = t->dot[0].acc;
        else
            dot->acc = make_sums(lo, t->joins ? t->n * t->sums : t->sums);
        dot->tile = name_tile(lo, t, dot, t->bn);
    }
}

/* Whose helpers of the prelude multiply. */
static const char *product_kind(const TileSet *t)
{
    return t->groups ? "wgmma" : t->tf32 ? "tf32" : t->operand == DT_F32 ? "fma" : "mma";
}

uint32_t tile_products(const TileSet *t, TileWalk w)
{
    return t->joins ? 1 : w.to - w.from;
}

void tile_multiply_stage(Lower *lo, const TileSet *t, TileWalk w, const KExpr *base)
{
    Kernel *k = lo->k;
    const char *how = product_kind(t);
    const char *cast = t->operand == DT_F32 ? "(const float *)" : "";
    for (uint32_t d = w.from; d < w.from + tile_products(t, w); d++) {
        const TileDot *dot = &t->dot[d];
        const KExpr *arg[] = {ke_addr(k, dot->acc, ke_int(k, 0)),
                              ke_addr(k, t->tiles, ke_add(lo, base, ke_int(k, dot->a.at))),
                              ke_addr(k, t->tiles, ke_add(lo, base, ke_int(k, dot->b.at)))};
        const char *text = arena_printf(lo->arena, "mdl_%s_tile_%s(%%0, %s%%1, %s%%2, %s)", how,
                                        dtype_info(t->operand)->name, cast, cast,
                                        t->joins ? t->joined : dot->tile);
        copy_call(lo, text, arg, 3);
    }
}

static void multiply_stage(Lower *lo, const TileSet *t, TileWalk w, const KExpr *stage)
{
    const KExpr *bytes = ke_int(lo->k, t->stage_bytes);
    tile_multiply_stage(lo, t, w, copy_let(lo, "base", ke_mul(lo, stage, bytes)));
}

/* As many as the longest depth of a dot has: of a shorter one what is past its end is 0. */
const KExpr *tile_steps(Lower *lo, const TileSet *t, TileWalk w)
{
    Kernel *k = lo->k;
    const Gemm *first = t->dot[w.from].g;
    const KExpr *most = tile_depth_end(lo, t, first);
    for (uint32_t d = w.from + 1; d < w.to && !t->depth_end; d++)
        if (t->dot[d].g->depth != first->depth)
            most = ke_index(k, KI_MAX, most, ke_extent(k, t->dot[d].g->depth));
    return ke_index(k, KI_DIV, ke_add(lo, most, ke_int(k, t->bk - 1)), ke_int(k, t->bk));
}

int64_t tile_most_steps(Lower *lo, const TileSet *t, TileWalk w)
{
    int64_t most = 1;
    for (uint32_t d = w.from; d < w.to; d++)
        most = larger(most, ceil_div(dim_hi(lo->ir, t->dot[d].g->depth), t->bk));
    return most;
}

/* Warpgroups multiply on their own, until they are waited for: while the next stage is copied, but what computes
 * would need the registers of the sums. */
static bool goes_on(const TileSet *t)
{
    return t->groups && !t->computed;
}

static void end_products(Lower *lo, const TileSet *t)
{
    if (t->groups)
        copy_call(lo, "mdl_wgmma_wait(0)", NULL, 0);
}

static void walk_depth(Lower *lo, const TileSet *t, TileWalk w)
{
    Kernel *k = lo->k;
    int64_t ahead = t->stages - 1;
    const KExpr *ring = ke_int(k, t->stages), *bk = ke_int(k, t->bk);
    scope_loop(lo, &(LoopSpec){.stem = "s",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, ahead),
                               .extent = dim_const(lo->ir, ahead)});
    const KExpr *s = lo->var[lo->nvar - 1].at;
    bring_stage(lo, t, w, (const KExpr *[]){s, copy_let(lo, "k0", ke_mul(lo, s, bk))});
    commit(lo, t);
    scope_end(lo);
    const KExpr *steps = copy_let(lo, "steps", tile_steps(lo, t, w));
    int64_t most = tile_most_steps(lo, t, w);
    scope_loop(lo, &(LoopSpec){.stem = "step",
                               .lo = ke_int(k, 0),
                               .hi = steps,
                               .extent = dim_const(lo->ir, most)});
    const KExpr *step = lo->var[lo->nvar - 1].at;
    wait_stage(lo, t, ahead - 1);
    if (goes_on(t))
        multiply_stage(lo, t, w, ke_index(k, KI_MOD, step, ring));
    const KExpr *next = copy_let(lo, "next", ke_add(lo, step, ke_int(k, ahead)));
    scope_if(lo, ke_test(k, "<", next, steps));
    const KExpr *stage = copy_let(lo, "stage", ke_index(k, KI_MOD, next, ring));
    bring_stage(lo, t, w, (const KExpr *[]){stage, copy_let(lo, "k0", ke_mul(lo, next, bk))});
    scope_end(lo);
    commit(lo, t);
    if (!goes_on(t))
        multiply_stage(lo, t, w, ke_index(k, KI_MOD, step, ring));
    end_products(lo, t);
    scope_end(lo);
}

/* ---- the sums as rows ---- */

static void lay_sums_down(Lower *lo, const TileSet *t)
{
    Kernel *k = lo->k;
    wait_stage(lo, t, 0);
    for (uint32_t d = 0; d < t->nsum; d++) {
        const TileDot *dot = &t->dot[d];
        const char *how = t->tf32 ? "mma" : product_kind(t); /* the same sums in the same places */
        const char *text =
            arena_printf(lo->arena, "mdl_%s_rows(%%0, %%1, %%2, %s)", how, dot->tile);
        const KExpr *arg[] = {ke_addr(k, t->rows, ke_int(k, d * t->row_floats)),
                              ke_int(k, t->pitch), ke_addr(k, dot->acc, ke_int(k, dot->acc0))};
        copy_call(lo, text, arg, 3);
    }
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
}

void tile_open_sums(Lower *lo, const TileSet *t, TileSpot *spot)
{
    Kernel *k = lo->k;
    const Gemm *g = t->dot[0].g;
    int64_t w = width(lo), per = t->bn / w, columns;
    /* many turns side by side would take more registers than the products do */
    const KExpr *id = share_open(lo, &(ShareSpec){.thread = t->thread,
                                                  .threads = t->threads,
                                                  .count = t->bm * per,
                                                  .rolled = t->operand == DT_F32 && t->sums > 64});
    spot->r = copy_let(lo, "r", ke_index(k, KI_DIV, id, ke_int(k, per)));
    const KExpr *c = ke_mul(lo, ke_index(k, KI_MOD, id, ke_int(k, per)), ke_int(k, w));
    spot->c = copy_let(lo, "c", c);
    spot->row = copy_let(lo, "row", ke_add(lo, t->m0, spot->r));
    spot->column = copy_let(lo, "column", ke_add(lo, t->n0, spot->c));
    const KExpr *n = ke_extent(k, g->right.rows);
    const KExpr *rows = ke_test(k, "<", spot->row, tile_rows_end(lo, t, g, &g->left));
    scope_if(lo, ke_test(k, "&&", rows, ke_test(k, "<", spot->column, n)));
    spot->lanes = NULL;
    if (!dim_is_const(g->right.rows, &columns) || columns % w != 0)
        spot->lanes = copy_let(lo, "lanes", ke_min(lo, ke_int(k, w), ke_sub(lo, n, spot->column)));
}

const KExpr *tile_sum(Lower *lo, const TileSet *t, uint32_t d, const TileSpot *spot)
{
    Kernel *k = lo->k;
    const KExpr *at = ke_add(lo, ke_mul(lo, spot->r, ke_int(k, t->pitch)), spot->c);
    const KExpr *place = ke_add(lo, at, ke_int(k, d * t->row_floats));
    return copy_let(lo, "dot", ke_aligned(k, ke_vload(k, t->rows, place, NULL)));
}

void tile_close_sums(Lower *lo)
{
    scope_end(lo);
    share_close(lo);
}

/* ---- the tile ---- */

/* The ring and, in its place, the sums as rows. */
void tile_make_shared(Lower *lo, TileSet *sets, uint32_t n, KPhase *phase)
{
    Kernel *k = lo->k;
    int64_t most = 0;
    for (uint32_t s = 0; s < n; s++)
        most = larger(most, shared_bytes(&sets[s]));
    uint32_t tiles = kernel_shared(k, "tiles", DT_U8, most);
    KBuf b = k->bufs.at[tiles];
    b.name = kernel_name(k, "rows");
    b.dtype = DT_F32;
    b.count = dim_const(lo->ir, most / 4);
    uint32_t rows = kernel_buf(k, &b);
    ASSERT(phase->shared <= lo->target->l1);
    for (uint32_t s = 0; s < n; s++) {
        sets[s].tiles = tiles;
        sets[s].rows = rows;
        ASSERT(sets[s].threads == phase->threads);
    }
}

void tile_place(Lower *lo, TileSet *t, const KExpr *m0, const KExpr *n0)
{
    t->m0 = copy_let(lo, "m0", m0);
    t->n0 = copy_let(lo, "n0", n0);
    t->thread = copy_let(lo, "thread", ke_text(lo->k, KT_I64, "mdl_thread()", NULL, 0));
    for (uint32_t d = 0; d < t->n; d++) {
        t->dot[d].a.first = t->m0;
        t->dot[d].b.first = t->n0;
    }
}

void tile_compute(Lower *lo, TileSet *t)
{
    tile_begin_sums(lo, t);
    for (uint32_t d = 0; d < t->n && t->operand == DT_F32; d++) {
        float_begin(lo, t, &t->dot[d], &t->dot[d].a);
        float_begin(lo, t, &t->dot[d], &t->dot[d].b);
    }
    for (uint32_t i = 0; i < tile_walks(t); i++) {
        if (i > 0) /* nobody reads the ring any more */
            wait_stage(lo, t, 0);
        walk_depth(lo, t, tile_walk(t, i));
    }
    lay_sums_down(lo, t);
}

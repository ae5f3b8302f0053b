/* gemm_tile.c: the inside of a task: register tiles of mr x nr over one block of depth, and the
 * epilogue on each finished one.
 *
 * An operand is read from its panels, or directly where it lies (gemm_direct.c). Rows that are read
 * directly must exist: a tile at the lower edge then begins early enough to be whole (row0) and its
 * epilogue leaves out the rows that the tile before has done. */
#include "gemm.h"

#include <string.h>

enum { MAX_UNROLLED = 96 }; /* instructions of an epilogue that is written out */

/* ---- the register tile ---- */

/* The product so far: c[i * nv + j] is row i, lanes of column vector j. */
static const KExpr **begin_sums(Lower *lo, const GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    int64_t mr = g->left.panel, nv = g->right.panel / k->width;
    KBlock *block = lo->scope->block;
    const KExpr **c = NEW_ARRAY(lo->arena, const KExpr *, mr *nv);
    for (int64_t i = 0; i < mr * nv; i++) {
        const char *name =
            arena_printf(lo->arena, "c%lld_%lld", (long long)(i / nv), (long long)(i % nv));
        c[i] = ks_var(k, block, name, ke_num(k, KT_VF, 0));
    }
    if (!gemm_in_parts(g))
        return c;
    const KExpr *so_far = g->stream ? t->k0 : t->block;
    KStmt *again = ks_if(k, block, ke_test(k, ">", so_far, ke_int(k, 0)));
    for (int64_t i = 0; i < mr * nv; i++)
        ks_set(k, &again->body, c[i],
               ke_vload(k, t->sums, ke_add(lo, t->tile, ke_int(k, i * k->width)), NULL));
    return c;
}

/* One step of depth. */
typedef struct Step {
    const KExpr *k; /* within the block */
    const Ix *depth;
    const Ix **row, **column; /* of operands that are read directly */
} Step;

static const KExpr *left_row(Lower *lo, const GemmTask *t, const Step *s, int64_t i)
{
    const GemmSide *left = &t->g->left;
    if (left->direct)
        return gemm_element(lo, t->g, left, (const Ix *[]){s->row[i], s->depth});
    const KExpr *line = ke_add(lo, t->abase, ke_mul(lo, s->k, ke_int(lo->k, left->panel)));
    return ke_load(lo->k, left->pack, ke_add(lo, line, ke_int(lo->k, i)));
}

static const KExpr *right_lanes(Lower *lo, const GemmTask *t, const Step *s, int64_t j)
{
    const GemmSide *right = &t->g->right;
    const char *name = arena_printf(lo->arena, "b%lld", (long long)j);
    if (right->direct)
        return lower_spread(lo,
                            gemm_element(lo, t->g, right, (const Ix *[]){s->column[j], s->depth}));
    const KExpr *line = ke_add(lo, t->bbase, ke_mul(lo, s->k, ke_int(lo->k, right->panel)));
    const KExpr *at = ke_add(lo, line, ke_int(lo->k, j * lo->k->width));
    return ks_let(lo->k, lo->scope->block, name, ke_vload(lo->k, right->pack, at, NULL));
}

static void multiply_add(Lower *lo, const GemmTask *t, const Step *s, const KExpr *const *c)
{
    Kernel *k = lo->k;
    int64_t mr = t->g->left.panel, nv = t->g->right.panel / k->width;
    const KExpr **b = NEW_ARRAY(lo->arena, const KExpr *, nv);
    for (int64_t j = 0; j < nv; j++)
        b[j] = right_lanes(lo, t, s, j);
    for (int64_t i = 0; i < mr; i++) {
        const char *name = arena_printf(lo->arena, "a%lld", (long long)i);
        const KExpr *x = lower_spread(lo, left_row(lo, t, s, i));
        const KExpr *a = ks_let(k, lo->scope->block, name, x);
        for (int64_t j = 0; j < nv; j++) {
            const KExpr *arg[] = {a, b[j], c[i * nv + j]};
            ks_set(k, lo->scope->block, arg[2],
                   ke_text(k, KT_VF, "mdl_fma_vf(%0, %1, %2)", arg, 3));
        }
    }
}

static void depth_loops(Lower *lo, const GemmTask *t, Step *s, const KExpr *const *c)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    const KExpr *zero = ke_int(k, 0), *inner = ke_int(k, g->inner);
    if (g->inner == 1) {
        scope_loop(lo, &(LoopSpec){.stem = "k", .lo = zero, .hi = t->klen, .extent = g->depth});
        s->k = lo->var[lo->nvar - 1].at;
        s->depth = scope_var(lo, ke_add(lo, t->k0, s->k), g->depth);
        gemm_prefetch_panels(lo, t, s->k);
        multiply_add(lo, t, s, c);
        scope_end(lo);
        return;
    }
    const Ix *outer = scope_loop(lo, &(LoopSpec){.stem = "ko",
                                                 .lo = zero,
                                                 .hi = ke_index(k, KI_DIV, t->klen, inner),
                                                 .extent = gemm_outer_extent(lo, g)});
    const KExpr *first = ke_mul(lo, lo->var[lo->nvar - 1].at, inner);
    const Ix *step = scope_loop(
        lo,
        &(LoopSpec){.stem = "k", .lo = zero, .hi = inner, .extent = dim_const(lo->ir, g->inner)});
    s->k = ke_add(lo, first, lo->var[lo->nvar - 1].at);
    s->depth = gemm_depth(lo, g, t->block_index, outer, step);
    multiply_add(lo, t, s, c);
    scope_end(lo);
    scope_end(lo);
}

/* A finished tile whose epilogue is short stays in registers. */
static bool stays_in_registers(Lower *lo, const GemmTask *t)
{
    const Gemm *g = t->g;
    int64_t columns, vectors = g->left.panel * (g->right.panel / lo->k->width);
    return t->set->n == 1 && !gemm_in_parts(g) && dim_is_const(g->right.rows, &columns) &&
           columns % g->right.panel == 0 && (double)vectors * t->set->work <= MAX_UNROLLED;
}

/* sums += left panel x right panel over one block of depth. */
static void micro_kernel(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    int64_t mr = g->left.panel, w = k->width, nv = g->right.panel / w;
    scope_plain(lo);
    const KExpr **c = begin_sums(lo, t);
    Step s = {.row = NEW_ARRAY(lo->arena, const Ix *, mr),
              .column = NEW_ARRAY(lo->arena, const Ix *, nv)};
    for (int64_t i = 0; i < mr && g->left.direct; i++)
        s.row[i] = scope_var(lo, ke_add(lo, t->row0, ke_int(k, i)), g->left.rows);
    for (int64_t j = 0; j < nv && g->right.direct; j++) {
        s.column[j] =
            scope_vector_var(lo, ke_add(lo, t->col0, ke_int(k, j * w)), g->right.rows, NULL);
        lo->var[lo->nvar - 1].unaligned = gemm_side_unaligned(lo, &g->right);
    }
    depth_loops(lo, t, &s, c);
    bool stays = stays_in_registers(lo, t);
    t->c = stays ? c : NULL;
    for (int64_t i = 0; i < mr * nv && !stays; i++)
        ks_store(k, lo->scope->block, t->sums, ke_add(lo, t->tile, ke_int(k, i * w)), c[i]);
    scope_end(lo);
}

/* ---- epilogue ---- */

void gemm_result_index(Lower *lo, const Gemm *g, const Ix *row, const Ix *column, const Ix **ix)
{
    const Type *t = g->dot->type;
    uint32_t nb = g->axes.nbatch, at = nb;
    ix_unflatten(lo->ir, g->batch, t->dims, nb, ix);
    const GemmSide *first = g->swapped ? &g->right : &g->left;
    const GemmSide *second = g->swapped ? &g->left : &g->right;
    ix_unflatten(lo->ir, g->swapped ? column : row, t->dims + at, first->nfree, ix + at);
    at += first->nfree;
    ix_unflatten(lo->ir, g->swapped ? row : column, t->dims + at, second->nfree, ix + at);
}

/* Values that the results of a set are made of, and where each belongs in its result. */
typedef struct Stored {
    uint32_t result;
    const KExpr *value;
    const Ix *ix[IR_MAX_RANK];
} Stored;

/* Rows of an update, and what several values are put together to, go straight to their place. */
static uint32_t pieces_of_result(Lower *lo, uint32_t r, const Ix *const *ix, Stored *to)
{
    const Node *result = lo->body->results.at[r].node;
    uint32_t axis = (uint32_t)node_int(result, "axis");
    ProductsPiece piece[PRODUCTS_PIECES];
    uint32_t n = products_pieces(result, piece);
    for (uint32_t i = 0; i < n; i++) {
        to[i] = (Stored){.result = r, .value = lower_value(lo, piece[i].value, ix)};
        products_place(lo->ir, &piece[i], ix, to[i].ix);
        if (op_info(result->op)->cls == OC_UPDATE)
            to[i].ix[axis] = ix_add(lo->ir, to[i].ix[axis], update_first_row(lo, result));
    }
    return n;
}

/* All values first, as in lower_results. */
static void store_results(Lower *lo, uint64_t which, const Ix *const *ix)
{
    Stored *to = NEW_ARRAY(lo->arena, Stored, lo->body->results.n * (size_t)PRODUCTS_PIECES + 1);
    uint32_t n = 0;
    for (uint32_t r = 0; r < lo->body->results.n; r++) {
        const Node *result = lo->body->results.at[r].node;
        if (!(which >> r & 1))
            continue;
        if (products_moved(result)) {
            n += pieces_of_result(lo, r, ix, to + n);
            continue;
        }
        to[n] = (Stored){.result = r, .value = lower_value(lo, result, ix)};
        memcpy(to[n++].ix, ix, result->type->rank * sizeof *ix);
    }
    for (uint32_t i = 0; i < n; i++)
        lower_store(lo, to[i].result, to[i].ix, to[i].value);
}

void gemm_store_results(Lower *lo, const GemmSet *set, const KExpr *const *dot, const Ix *const *ix)
{
    uint32_t n = set->summed ? 1 : set->n;
    lo->seed_scope = lo->scope;
    for (uint32_t d = 0; d < n; d++)
        lo->seed[(set->summed ? set->sum : set->dot[d]->dot)->id] = dot[d];
    store_results(lo, set->results, ix);
    for (uint32_t d = 0; d < n; d++)
        lo->seed[(set->summed ? set->sum : set->dot[d]->dot)->id] = NULL;
    lo->seed_scope = NULL;
}

static void epilogue_lanes(Lower *lo, const Ix *column, void *user)
{
    const GemmTask *t = user;
    Kernel *k = lo->k;
    const Ix *ix[IR_MAX_RANK];
    const KExpr *dot[PRODUCTS_TOGETHER];
    gemm_result_index(lo, t->g, t->row, column, ix);
    const KExpr *lane = ke_sub(lo, lo->var[lo->nvar - 1].at, t->col0);
    for (uint32_t d = 0; d < t->set->n; d++)
        dot[d] = ks_let(k, lo->scope->block, "dot",
                        ke_vload(k, t->sums, ke_add(lo, t->part[d], lane), NULL));
    gemm_store_results(lo, t->set, dot, ix);
}

static void epilogue(Lower *lo, const GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    const KExpr *mr = ke_int(k, g->left.panel), *nr = ke_int(k, g->right.panel);
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = t->m == t->row0 ? ke_int(k, 0) : ke_sub(lo, t->m, t->row0),
                               .hi = ke_min(lo, mr, ke_sub(lo, t->m1, t->row0)),
                               .extent = dim_const(lo->ir, g->left.panel)});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    GemmTask line = *t;
    line.row = scope_var(lo, ke_add(lo, t->row0, i), g->left.rows);
    for (uint32_t d = 0; d < t->set->n; d++)
        line.part[d] = ke_add(lo, t->part[d], ke_mul(lo, i, nr));
    int64_t columns;
    bool whole = dim_is_const(g->right.rows, &columns) && columns % k->width == 0;
    LanesSpec spec = {.stem = "j",
                      .lo = t->n,
                      .hi = ke_min(lo, ke_add(lo, t->n, nr), t->n1),
                      .extent = g->right.rows,
                      .whole = whole};
    lower_lanes(lo, &spec, epilogue_lanes, &line);
    scope_end(lo);
}

/* The same, written out for the tile in registers. */
static void register_epilogue(Lower *lo, const GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    int64_t mr = g->left.panel, nv = g->right.panel / k->width, rows;
    const KExpr *first = ke_sub(lo, t->m, t->row0), *end = ke_sub(lo, t->m1, t->row0);
    bool whole = dim_is_const(g->left.rows, &rows) && rows % mr == 0;
    const Ix **column = NEW_ARRAY(lo->arena, const Ix *, nv), *ix[IR_MAX_RANK];
    for (int64_t j = 0; j < nv; j++)
        column[j] =
            scope_vector_var(lo, ke_add(lo, t->n, ke_int(k, j * k->width)), g->right.rows, NULL);
    for (int64_t i = 0; i < mr; i++) {
        const KExpr *n = ke_int(k, i);
        if (whole)
            scope_plain(lo);
        else
            scope_if(lo, ke_test(k, "&&", ke_test(k, ">=", n, first), ke_test(k, "<", n, end)));
        const Ix *row = scope_var(lo, ke_add(lo, t->row0, n), g->left.rows);
        for (int64_t j = 0; j < nv; j++) {
            gemm_result_index(lo, g, row, column[j], ix);
            gemm_store_results(lo, t->set, &t->c[i * nv + j], ix);
        }
        scope_end(lo);
    }
}

/* ---- panels of the task ---- */

/* First column of the tile: one that reads the right operand directly has all its columns. */
static void set_columns(Lower *lo, GemmTask *t)
{
    const GemmSide *right = &t->g->right;
    int64_t nr = right->panel, rows;
    t->col0 = t->n;
    if (!right->direct || (dim_is_const(right->rows, &rows) && rows % nr == 0))
        return;
    const KExpr *last = ke_sub(lo, ke_extent(lo->k, right->rows), ke_int(lo->k, nr));
    t->col0 = ks_let(lo->k, lo->scope->block, "col0", ke_min(lo, t->n, last));
}

/* First row of the panel, and of the tile that computes it. */
static void set_rows(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    const GemmSide *left = &t->g->left;
    int64_t mr = left->panel, rows;
    KBlock *block = lo->scope->block;
    t->m = ks_let(k, block, "m", ke_add(lo, t->m0, ke_mul(lo, t->ip, ke_int(k, mr))));
    t->row0 = t->m;
    if (!left->direct || (dim_is_const(left->rows, &rows) && rows % mr == 0))
        return;
    const KExpr *last = ke_sub(lo, ke_extent(k, left->rows), ke_int(k, mr));
    t->row0 = ks_let(k, block, "row0", ke_min(lo, t->m, last));
}

/* First float of the sums of this register tile of one dot. */
static const KExpr *sums_of(Lower *lo, const GemmTask *t, const Gemm *g)
{
    Kernel *k = lo->k;
    int64_t mr = g->left.panel, size = mr * g->right.panel;
    const KExpr *at = ke_int(k, 0), *column = ke_int(k, ceil_div(g->mt, mr));
    if (g->sums == SUMS_COLUMN)
        at = t->ip;
    else if (g->sums == SUMS_TASK)
        at = ke_add(lo, ke_mul(lo, t->jp, column), t->ip);
    at = ke_add(lo, ke_mul(lo, at, ke_int(k, size)), ke_int(k, g->sums_at));
    return g->sums == SUMS_TILE ? at : ks_let(k, lo->scope->block, "tile", at);
}

/* Where the left panel begins at this part of the block. */
static const KExpr *left_panel(Lower *lo, const GemmTask *t)
{
    const GemmSide *left = &t->g->left;
    const KExpr *panel = t->ip;
    if (left->shared)
        panel = ke_add(lo, ke_index(lo->k, KI_DIV, t->m0, ke_int(lo->k, left->panel)), panel);
    const KExpr *base = gemm_panel_base(lo, t->g, left, t->block, panel);
    if (!t->step0)
        return base;
    return ke_add(lo, base, ke_mul(lo, t->step0, ke_int(lo->k, t->g->left.panel)));
}

static void finish(Lower *lo, GemmTask *t)
{
    if (t->c) {
        register_epilogue(lo, t);
        return;
    }
    for (uint32_t d = 0; d < t->set->n; d++)
        t->part[d] = t->set->dot[d] == t->g ? t->tile : sums_of(lo, t, t->set->dot[d]);
    epilogue(lo, t);
}

static void tile(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    set_rows(lo, t);
    t->tile = sums_of(lo, t, g);
    if (!g->left.direct)
        t->abase = ks_let(k, lo->scope->block, "abase", left_panel(lo, t));
    bool last = g == t->set->dot[t->set->n - 1];
    t->c = NULL;
    if (last)
        gemm_prefetch_epilogue(lo, t);
    if (g->dots)
        gemm_tile_of_dots(lo, t);
    else
        micro_kernel(lo, t);
    if (!last)
        return;
    if (gemm_in_parts(g))
        scope_if(lo, ke_test(k, ">=", ke_add(lo, t->k0, t->klen), ke_extent(k, g->depth)));
    else
        scope_plain(lo);
    finish(lo, t);
    scope_end(lo);
}

/* All rows of the task with one panel of the dot's right side. */
static void column_of_tiles(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->g;
    const KExpr *mr = ke_int(k, g->left.panel), *panel = t->jp;
    const KExpr *height = ke_add(lo, ke_sub(lo, t->m1, t->m0), ke_sub(lo, mr, ke_int(k, 1)));
    if (g->right.shared)
        panel = ke_add(lo, ke_index(k, KI_DIV, t->n0, ke_int(k, g->right.panel)), t->jp);
    if (!g->right.direct)
        t->bbase = ks_let(k, lo->scope->block, "bbase",
                          gemm_panel_base(lo, g, &g->right, t->block, panel));
    scope_loop(lo, &(LoopSpec){.stem = "ip",
                               .lo = ke_int(k, 0),
                               .hi = ke_index(k, KI_DIV, height, mr),
                               .extent = dim_const(lo->ir, g->left.max_panels)});
    t->ip = lo->var[lo->nvar - 1].at;
    tile(lo, t);
    scope_end(lo);
}

static void panels_of_part(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->set->dot[t->from];
    const KExpr *nr = ke_int(k, g->right.panel);
    const KExpr *width = ke_add(lo, ke_sub(lo, t->n1, t->n0), ke_sub(lo, nr, ke_int(k, 1)));
    scope_loop(lo, &(LoopSpec){.stem = "jp",
                               .lo = ke_int(k, 0),
                               .hi = ke_index(k, KI_DIV, width, nr),
                               .extent = dim_const(lo->ir, g->right.max_panels)});
    t->jp = lo->var[lo->nvar - 1].at;
    t->n = ks_let(k, lo->scope->block, "n", ke_add(lo, t->n0, ke_mul(lo, t->jp, nr)));
    for (uint32_t d = t->from; d < t->to; d++) {
        t->g = t->set->dot[d];
        set_columns(lo, t);
        column_of_tiles(lo, t);
    }
    scope_end(lo);
}

void gemm_panel_loops(Lower *lo, GemmTask *t)
{
    Kernel *k = lo->k;
    const Gemm *g = t->set->dot[t->from];
    t->step0 = NULL;
    if (!g->stream) {
        panels_of_part(lo, t);
        return;
    }
    GemmTask part = *t;
    const KExpr *steps = ke_int(k, g->stream);
    const KExpr *up = ke_add(lo, t->klen, ke_int(k, g->stream - 1));
    scope_loop(lo, &(LoopSpec){.stem = "part",
                               .lo = ke_int(k, 0),
                               .hi = ke_index(k, KI_DIV, up, steps),
                               .extent = dim_const(lo->ir, ceil_div(g->kc, g->stream))});
    KBlock *block = lo->scope->block;
    part.step0 = ks_let(k, block, "step0", ke_mul(lo, lo->var[lo->nvar - 1].at, steps));
    part.k0 = ks_let(k, block, "k0", ke_add(lo, t->k0, part.step0));
    part.klen = ks_let(k, block, "steps", ke_min(lo, steps, ke_sub(lo, t->klen, part.step0)));
    panels_of_part(lo, &part);
    scope_end(lo);
}

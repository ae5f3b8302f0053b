/* gpu_xent_tile.c: tiles of the products of a linear cross-entropy: scores, and with their cotangents the
 * gradients of w and of x. What blocks do next to each other shares the larger operand. */
#include "gpu_copy.h"
#include "gpu_xent.h"

enum { THREADS = 256 };

/* Tiles of a phase: rows and columns. */
typedef struct Grid {
    TileSet *t;
    int64_t down, across;
    KPhase *phase;
} Grid;

static Grid open_grid(Lower *lo, GpuXent *c, uint32_t which, const char *suffix)
{
    Grid g = {.t = &c->tile[which]};
    const Gemm *dot = g.t->dot[0].g;
    g.down = tile_count(lo, dot->left.rows, g.t->bm);
    g.across = tile_count(lo, dot->right.rows, g.t->bn);
    RingKernel *r = &c->ring[which];
    const Dim *tasks = r->fits ? r->tasks : dim_const(lo->ir, g.down * g.across);
    KPhase *phase = gpu_xent_phase(lo, c, suffix, tasks);
    g.phase = phase;
    if (r->fits)
        return g;
    phase->threads = phase->team = (uint32_t)g.t->threads;
    tile_make_shared(lo, g.t, 1, phase);
    gemm_set_batch(g.t->set, scope_var(lo, ke_int(lo->k, 0), dim_const(lo->ir, 1)));
    return g;
}

/* Of the task, neighbours of which are side by side or one below the other. */
static const KExpr *tile_row(Lower *lo, const Grid *g, bool side_by_side)
{
    const KExpr *n = ke_int(lo->k, side_by_side ? g->across : g->down);
    const KExpr *row = ke_index(lo->k, side_by_side ? KI_DIV : KI_MOD, lower_task(lo), n);
    return ke_mul(lo, row, ke_int(lo->k, g->t->bm));
}

static const KExpr *tile_column(Lower *lo, const Grid *g, bool side_by_side)
{
    const KExpr *n = ke_int(lo->k, side_by_side ? g->across : g->down);
    const KExpr *column = ke_index(lo->k, side_by_side ? KI_MOD : KI_DIV, lower_task(lo), n);
    return ke_mul(lo, column, ke_int(lo->k, g->t->bn));
}

/* ---- scores ---- */

/* Also past the classes, where a line has room and nothing is read. */
static void keep_score(Lower *lo, const GpuXent *c, const TileSpot *spot, const KExpr *z)
{
    Kernel *k = lo->k;
    const KExpr *at = ke_add(lo, ke_mul(lo, spot->row, ke_int(k, c->line)), spot->column);
    ks_store(k, lo->scope->block, lo->in[c->z->id], at, z)->aligned = true;
}

/* The sums as scores, rounded where the body rounds them; kept for the derivative. */
static void keep_scores(Lower *lo, const GpuXent *c, const TileSet *t)
{
    Kernel *k = lo->k;
    bool round = c->half != DT_F32;
    if (!round && !c->gradient)
        return;
    TileSpot spot;
    tile_open_sums(lo, t, &spot);
    const KExpr *z = lower_fit(lo, c->half, tile_sum(lo, t, 0, &spot));
    z = ks_let(k, lo->scope->block, "z", z);
    if (c->gradient)
        keep_score(lo, c, &spot, z);
    if (round && c->x.log_sum) {
        const KExpr *at = ke_add(lo, ke_mul(lo, spot.r, ke_int(k, t->pitch)), spot.c);
        ks_store(k, lo->scope->block, t->rows, at, z)->aligned = true;
    }
    tile_close_sums(lo);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
}

/* held: they are in the registers of warpgroups, else rows in shared memory. */
static void fold_scores(Lower *lo, const GpuXent *c, const TileSet *t, bool held)
{
    Kernel *k = lo->k;
    const KExpr *bm = ke_int(k, t->bm), *bn = ke_int(k, t->bn);
    const KExpr *rows = ke_min(lo, bm, ke_sub(lo, c->n, t->m0));
    const KExpr *columns = ke_min(lo, bn, ke_sub(lo, ke_int(k, c->x.classes), t->n0));
    const char *tile = kernel_name(k, "scores");
    const KExpr *shape[] = {rows, columns, t->n0};
    copy_call(lo,
              arena_printf(
                  lo->arena, "const MdlScores %s = {(int)(%%0), (int)(%%1), %lld, (int)%%2, %lld}",
                  tile, (long long)(held ? 4 * c->tiles : t->pitch), (long long)t->threads / 32),
              shape, 3);
    const KExpr *part = ke_mul(lo, t->m0, ke_int(k, c->tiles));
    part = ke_mul(lo, ke_add(lo, part, ke_index(k, KI_DIV, t->n0, bn)), ke_int(k, 4));
    uint32_t from = held ? t->dot[0].acc : t->rows;
    const KExpr *arg[] = {ke_addr(k, from, ke_int(k, 0)), ke_addr(k, c->target, t->m0),
                          ke_addr(k, c->parts, part), ke_int(k, 4 * c->tiles)};
    const char *text =
        held ? arena_printf(lo->arena, "mdl_scores_of_sums(%%0, %s, %s, %%1, %%2)", t->dot[0].tile,
                            tile)
             : arena_printf(lo->arena, "mdl_scores_fold(%%0, %s, %%1, %%2, %%3)", tile);
    copy_call(lo, text, arg, held ? 3 : 4);
}

/* The same where threads have the sums: rounded first. */
static void fold_sums(Lower *lo, const TileSet *t, void *user)
{
    Kernel *k = lo->k;
    const GpuXent *c = user;
    uint32_t acc = t->dot[0].acc;
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, t->sums),
                               .extent = dim_const(lo->ir, t->sums),
                               .unroll = true});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    ks_store(k, lo->scope->block, acc, i, lower_fit(lo, c->half, ke_load(k, acc, i)));
    scope_end(lo);
    fold_scores(lo, c, t, true);
}

static void store_score(Lower *lo, const TileSet *t, const TileSpot *spot, const KExpr *const *dot,
                        void *user)
{
    const GpuXent *c = user;
    UNUSED(t);
    const KExpr *z = lower_fit(lo, c->half, dot[0]);
    keep_score(lo, c, spot, ks_let(lo->k, lo->scope->block, "z", z));
}

/* Blocks one below the other share their classes. */
void gpu_xent_scores(Lower *lo, GpuXent *c)
{
    Kernel *k = lo->k;
    Grid g = open_grid(lo, c, XENT_SCORES, "scores");
    RingKernel *r = &c->ring[XENT_SCORES];
    g.t->rows_end = c->n;
    if (r->fits) {
        r->fold = c->x.log_sum ? fold_sums : NULL;
        r->store = c->gradient ? store_score : NULL;
        ring_run(lo, r, g.phase);
        return;
    }
    const KExpr *m0 = ks_let(k, lo->scope->block, "top", tile_row(lo, &g, false));
    scope_if(lo, ke_test(k, "<", m0, c->n));
    tile_place(lo, g.t, m0, tile_column(lo, &g, false));
    tile_compute(lo, g.t);
    keep_scores(lo, c, g.t);
    if (c->x.log_sum)
        fold_scores(lo, c, g.t, false);
    scope_end(lo);
}

/* ---- cotangents of the scores ---- */

typedef struct Turn {
    const GpuXent *c;
    const KExpr *row;
} Turn;

static void turn_lanes(Lower *lo, const Ix *class, void *user)
{
    const Turn *t = user;
    const GpuXent *c = t->c;
    Kernel *k = lo->k;
    const LowerVar v = lo->var[lo->nvar - 1];
    UNUSED(class);
    uint32_t z = lo->in[c->z->id];
    const KExpr *at = ke_add(lo, ke_mul(lo, t->row, ke_int(k, c->line)), v.at);
    const KExpr *arg[] = {ke_aligned(k, ke_vload(k, z, at, NULL)),
                          ke_addr(k, c->stats, ke_mul(lo, t->row, ke_int(k, XENT_STATS))),
                          ke_load(k, c->target, t->row), v.at};
    KStmt *s = ks_store(k, lo->scope->block, z, at,
                        ke_text(k, KT_VF, "mdl_scores_turn(%0, %1, %2, %3)", arg, 4));
    s->aligned = true;
}

/* What the last step of depth reads past the rows. */
static void turn_nothing(Lower *lo, const Ix *class, void *user)
{
    const Turn *t = user;
    Kernel *k = lo->k;
    UNUSED(class);
    const KExpr *at = ke_mul(lo, t->row, ke_int(k, t->c->line));
    at = ke_add(lo, at, lo->var[lo->nvar - 1].at);
    ks_store(k, lo->scope->block, lo->in[t->c->z->id], at, ke_num(k, KT_VF, 0))->aligned = true;
}

void gpu_xent_turn(Lower *lo, GpuXent *c)
{
    int64_t columns = round_up(c->x.classes, lo->k->width); /* whole vectors */
    Turn t = {.c = c};
    KPhase *phase =
        gpu_xent_phase(lo, c, "turn", dim_const(lo->ir, c->chunk * columns / lo->k->width));
    phase->threads = THREADS;
    LanesSpec spec = gpu_xent_line(lo, dim_const(lo->ir, columns), &t.row);
    scope_if(lo, ke_test(lo->k, "<", t.row, c->n));
    lower_lanes(lo, &spec, turn_lanes, &t);
    scope_end(lo);
    if (!c->packed)
        return;
    const KExpr *behind = ke_test(lo->k, ">=", t.row, c->n);
    scope_if(lo, ke_test(lo->k, "&&", behind, ke_test(lo->k, "<", t.row, gpu_xent_padded(lo, c))));
    lower_lanes(lo, &spec, turn_nothing, &t);
    scope_end(lo);
}

/* ---- gradient of the weights ---- */

/* Adds what the rounds before have left, and leaves the sum to those behind. */
static const KExpr *add_rounds(Lower *lo, const GpuXent *c, const TileSpot *spot, const KExpr *x)
{
    Kernel *k = lo->k;
    uint32_t r = gpu_xent_weights_result(lo, c), kept = c->keeps_sums ? c->sums : lo->out[r];
    if (k->again == 0)
        return x;
    const KExpr *sum = ks_var(k, lo->scope->block, "sum", x);
    const KExpr *line = ke_mul(lo, spot->row, ke_int(k, c->x.depth));
    const KExpr *at = ks_let(k, lo->scope->block, "at", ke_add(lo, line, spot->column));
    scope_if(lo, ke_test(k, ">", kernel_round(k), ke_int(k, 0)));
    const KExpr *old = ke_vload(k, kept, at, spot->lanes);
    ks_set(k, lo->scope->block, sum, ke_apply(lo, KT_VF, "(%0 + %1)", old, sum));
    scope_end(lo);
    if (c->keeps_sums)
        ks_store(k, lo->scope->block, kept, at, sum)->lanes = spot->lanes;
    return sum;
}

static void store_weight(Lower *lo, const TileSet *t, const TileSpot *spot, const KExpr *const *dot,
                         void *user)
{
    const GpuXent *c = user;
    Kernel *k = lo->k;
    const Gemm *g = t->dot[0].g;
    const KExpr *sum = add_rounds(lo, c, spot, dot[0]);
    if (c->keeps_sums)
        scope_if(lo, ke_test(k, "==", kernel_round(k), ke_int(k, k->again)));
    else
        scope_plain(lo);
    const Ix *ix[] = {scope_var(lo, spot->row, g->left.rows),
                      scope_vector_var(lo, spot->column, g->right.rows, spot->lanes)};
    if (c->after) {
        lo->seed[c->dw->id] = sum;
        sum = lower_value(lo, c->after, ix);
        lo->seed[c->dw->id] = NULL;
    }
    lower_store(lo, gpu_xent_weights_result(lo, c), ix, sum);
    scope_end(lo);
}

/* Every sum of a tile that lies in shared memory. */
static void store_each(Lower *lo, const TileSet *t, RingStore store, void *user)
{
    TileSpot spot;
    tile_open_sums(lo, t, &spot);
    const KExpr *dot[] = {tile_sum(lo, t, 0, &spot)};
    store(lo, t, &spot, dot, user);
    tile_close_sums(lo);
}

void gpu_xent_weights(Lower *lo, GpuXent *c)
{
    Kernel *k = lo->k;
    if (gpu_xent_weights_result(lo, c) == NO_VAR)
        return;
    Grid g = open_grid(lo, c, XENT_WEIGHTS, "weights");
    g.t->depth_end = c->n;
    const KExpr *some = ke_test(k, ">", c->n, ke_int(k, 0));
    some = ke_test(k, "||", some, ke_test(k, "==", kernel_round(k), ke_int(k, 0)));
    if (c->keeps_sums)
        some = ke_test(k, "||", some, ke_test(k, "==", kernel_round(k), ke_int(k, k->again)));
    scope_if(lo, some);
    RingKernel *r = &c->ring[XENT_WEIGHTS];
    if (r->fits) {
        r->store = store_weight;
        ring_run(lo, r, g.phase);
        scope_end(lo);
        return;
    }
    tile_place(lo, g.t, tile_row(lo, &g, true), tile_column(lo, &g, true));
    tile_compute(lo, g.t);
    store_each(lo, g.t, store_weight, c);
    scope_end(lo);
}

/* ---- gradient of the rows ---- */

static void store_input(Lower *lo, const TileSet *t, const TileSpot *spot, const KExpr *const *dot,
                        void *user)
{
    const GpuXent *c = user;
    uint32_t r = gpu_xent_result(lo, c->x.dx);
    const Type *type = lo->body->results.at[r].node->type;
    const Ix *ix[IR_MAX_RANK];
    UNUSED(t);
    const KExpr *row = gpu_xent_wide(lo, lo->in[c->list->id], spot->row);
    row = ks_let(lo->k, lo->scope->block, "of", row);
    ix_unflatten(lo->ir, scope_var(lo, row, c->rows), type->dims, type->rank - 1, ix);
    ix[type->rank - 1] = scope_vector_var(lo, spot->column, c->features, spot->lanes);
    lower_store(lo, r, ix, dot[0]);
}

void gpu_xent_inputs(Lower *lo, GpuXent *c)
{
    Kernel *k = lo->k;
    if (gpu_xent_result(lo, c->x.dx) == NO_VAR)
        return;
    Grid g = open_grid(lo, c, XENT_INPUTS, "inputs");
    RingKernel *r = &c->ring[XENT_INPUTS];
    g.t->rows_end = c->n;
    if (r->fits) {
        r->store = store_input;
        ring_run(lo, r, g.phase);
        return;
    }
    const KExpr *m0 = ks_let(k, lo->scope->block, "top", tile_row(lo, &g, true));
    scope_if(lo, ke_test(k, "<", m0, c->n));
    tile_place(lo, g.t, m0, tile_column(lo, &g, true));
    tile_compute(lo, g.t);
    store_each(lo, g.t, store_input, c);
    scope_end(lo);
}

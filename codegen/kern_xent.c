/* kern_xent.c: cross-entropy of a product, and its derivative, without a tensor of scores.
 *
 * Rows go in rounds of `chunk`: those whose mask is false are left out before, so they cost nothing. A
 * round packs its rows, computes their scores with the register tile of kern_gemm.c, tile of classes by
 * tile of classes, and folds each tile at once into running maxima and sums of exponentials (the monoid of
 * streamed softmax). Lanes are rows, so nothing is ever summed across lanes. For the derivative the scores
 * of the round, and of no other, are kept in the workspace; they become their cotangents in place, of
 * which come the gradient of w, a tile of classes per task, and that of x. So each score is computed
 * once, and the sums over rows and classes have one order: the grid follows from extents alone.
 *
 * Phases: rows, pack, scores, join; and weights, inputs. Rounds run one after the other. */
#include "xent_tile.h"

#include <math.h>

enum { WIDE_TASKS = 8, MAX_WIDE = 512 };

/* ---- helpers ---- */

uint32_t xent_result(const Lower *lo, const Node *n)
{
    for (uint32_t r = 0; n && r < lo->body->results.n; r++)
        if (lo->body->results.at[r].node == n)
            return r;
    return NO_RESULT;
}

static const KExpr *wide_int(Lower *lo, const KExpr *e)
{
    return ke_apply(lo, KT_I64, "(int64_t)%0", e, NULL);
}

static const KExpr *narrow_int(Lower *lo, const KExpr *e)
{
    return ke_apply(lo, KT_I32, "(int32_t)%0", e, NULL);
}

KPhase *xent_phase(Lower *lo, XentLower *c, const char *suffix, int64_t tasks)
{
    Kernel *k = lo->k;
    static const char doc[] = "one part of a round of rows";
    KPhase *phase = kernel_phase(k, suffix, dim_const(lo->ir, tasks), doc);
    scope_begin(lo, phase);
    const KExpr *all = wide_int(lo, ke_load(k, c->live, ke_extent(k, c->x.rows)));
    const KExpr *chunk = ke_int(k, c->chunk);
    c->base = ks_let(k, &phase->body, "base", ke_mul(lo, kernel_round(k), chunk));
    const KExpr *left = ke_sub(lo, all, c->base);
    left = ke_index(k, KI_MAX, left, ke_int(k, 0));
    c->n = ks_let(k, &phase->body, "n", ke_min(lo, left, chunk));
    return phase;
}

const KExpr *xent_live_row(Lower *lo, const XentLower *c, const KExpr *r)
{
    const KExpr *row = ke_load(lo->k, c->live, ke_add(lo, c->base, r));
    return ks_let(lo->k, lo->scope->block, "row", wide_int(lo, row));
}

const KExpr *xent_loop(Lower *lo, const char *stem, const KExpr *from, const KExpr *to)
{
    scope_loop(lo, &(LoopSpec){
                       .stem = stem, .lo = from, .hi = to, .extent = dim_const(lo->ir, INT32_MAX)});
    return lo->var[lo->nvar - 1].at;
}

const KExpr *xent_panels(Lower *lo, const XentLower *c)
{
    Kernel *k = lo->k;
    const KExpr *up = ke_add(lo, c->n, ke_int(k, c->nr - 1));
    return xent_loop(lo, "p", ke_int(k, 0), ke_index(k, KI_DIV, up, ke_int(k, c->nr)));
}

const KExpr *xent_panel_rows(Lower *lo, const XentLower *c, const KExpr *p)
{
    const KExpr *nr = ke_int(lo->k, c->nr);
    return ke_min(lo, nr, ke_sub(lo, c->n, ke_mul(lo, p, nr)));
}

/* A tensor by row, at this row. */
static const KExpr *row_value(Lower *lo, const Node *n, const Ix *row)
{
    const Ix *ix[IR_MAX_RANK];
    ix_unflatten(lo->ir, row, n->type->dims, n->type->rank, ix);
    return lower_value(lo, n, ix);
}

static void store_result(Lower *lo, const Node *n, const KExpr *row, const KExpr *value)
{
    uint32_t r = xent_result(lo, n);
    if (r != NO_RESULT)
        ks_store(lo->k, lo->scope->block, lo->out[r], row, value);
}

/* ---- rows ---- */

/* A row that is not read: scores of zeros. */
static void store_dead(Lower *lo, const XentLower *c, const KExpr *row)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_num(k, KT_F32, 0);
    store_result(lo, c->x.log_sum, row, ke_num(k, KT_F32, log((double)c->x.classes)));
    store_result(lo, c->x.hit, row, zero);
    store_result(lo, c->x.mean, row, zero);
    store_result(lo, c->x.max, row, zero);
    uint32_t dx = xent_result(lo, c->x.dx);
    if (dx == NO_RESULT)
        return;
    const KExpr *depth = ke_int(k, c->x.depth);
    const KExpr *i = xent_loop(lo, "i", ke_int(k, 0), depth);
    ks_store(k, lo->scope->block, lo->out[dx], ke_add(lo, ke_mul(lo, row, depth), i), zero);
    scope_end(lo);
}

/* Once: the list of rows that are read. */
static void rows_phase(Lower *lo, XentLower *c)
{
    Kernel *k = lo->k;
    KPhase *phase = kernel_phase(k, "rows", dim_const(lo->ir, 1), "lists the rows that are read");
    scope_begin(lo, phase);
    scope_if(lo, ke_test(k, "==", kernel_round(k), ke_int(k, 0)));
    const KExpr *count = ks_var(k, lo->scope->block, "count", ke_int(k, 0));
    const Ix *row = scope_loop(lo, &(LoopSpec){.stem = "row",
                                               .lo = ke_int(k, 0),
                                               .hi = ke_extent(k, c->x.rows),
                                               .extent = c->x.rows});
    const KExpr *at = lo->var[lo->nvar - 1].at;
    const KExpr *mask = row_value(lo, c->x.mask, row);
    scope_if(lo, ke_apply(lo, KT_BOOL, "(%0 != 0)", mask, NULL));
    ks_store(k, lo->scope->block, c->live, count, narrow_int(lo, at));
    ks_set(k, lo->scope->block, count, ke_add(lo, count, ke_int(k, 1)));
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "(%0 == 0)", mask, NULL));
    store_dead(lo, c, at);
    scope_end(lo);
    scope_end(lo);
    ks_store(k, lo->scope->block, c->live, ke_extent(k, c->x.rows), narrow_int(lo, count));
    scope_end(lo);
}

/* ---- packing ---- */

typedef struct Strip {
    XentLower *c;
    const KExpr *panel, *first; /* first row of the strip, within the panel */
    const Ix *feature;          /* a vector of them */
    const KExpr *feature0;
    uint32_t tile;
} Strip;

/* W features of row `at` of the round; r: within the strip. */
static void pack_row(Lower *lo, const Strip *s, const KExpr *at, const KExpr *r)
{
    XentLower *c = s->c;
    Kernel *k = lo->k;
    const KExpr *nr = ke_int(k, c->nr);
    const Ix *ix[IR_MAX_RANK], *row = scope_var(lo, xent_live_row(lo, c, at), c->x.rows);
    uint32_t lead = c->x.x->type->rank - 1;
    ix_unflatten(lo->ir, row, c->x.x->type->dims, lead, ix);
    ix[lead] = s->feature;
    const KExpr *x = lower_spread(lo, lower_value(lo, c->x.x, ix));
    ks_store(k, lo->scope->block, s->tile, ke_mul(lo, r, ke_int(k, k->width)), x);
    if (!c->gradient)
        return;
    const KExpr *line = ke_mul(lo, ke_index(k, KI_DIV, s->feature0, nr), ke_int(k, c->chunk));
    line = ke_mul(lo, ke_add(lo, line, at), nr);
    ks_store(k, lo->scope->block, c->xf, ke_add(lo, line, ke_index(k, KI_MOD, s->feature0, nr)), x);
}

/* W features of W rows: through a tile in registers, which turns them. */
static void pack_lines(Lower *lo, const Ix *v, void *user)
{
    Strip s = *(const Strip *)user;
    Kernel *k = lo->k;
    const LowerVar kv = lo->var[lo->nvar - 1];
    const KExpr *nr = ke_int(k, s.c->nr), *w = ke_int(k, k->width);
    s.feature = v;
    s.feature0 = kv.at;
    s.tile = ks_local(k, lo->scope->block, "tile", KT_F32, (int64_t)k->width * k->width);
    const KExpr *r = xent_loop(lo, "r", ke_int(k, 0), w);
    const KExpr *at = ke_add(lo, ke_add(lo, ke_mul(lo, s.panel, nr), s.first), r);
    at = ks_let(k, lo->scope->block, "at", at);
    scope_if(lo, ke_test(k, "<", at, s.c->n));
    pack_row(lo, &s, at, r);
    scope_end(lo);
    scope_if(lo, ke_test(k, ">=", at, s.c->n));
    ks_store(k, lo->scope->block, s.tile, ke_mul(lo, r, w), ke_num(k, KT_VF, 0));
    scope_end(lo);
    scope_end(lo);
    const KExpr *line = ke_mul(lo, s.panel, ke_int(k, s.c->x.depth));
    line = ke_mul(lo, ke_add(lo, line, kv.at), nr);
    const KExpr *arg[] = {ke_addr(k, s.tile, ke_int(k, 0)),
                          ke_addr(k, s.c->xt, ke_add(lo, line, s.first)), nr,
                          kv.lanes ? kv.lanes : w};
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, "mdl_transpose_f32(%0, %1, %2, %3)", arg, 4));
}

static void pack_targets(Lower *lo, XentLower *c, const KExpr *panel)
{
    Kernel *k = lo->k;
    const KExpr *nr = ke_int(k, c->nr), *r = xent_loop(lo, "r", ke_int(k, 0), nr);
    const KExpr *at = ks_let(k, lo->scope->block, "at", ke_add(lo, ke_mul(lo, panel, nr), r));
    scope_if(lo, ke_test(k, "<", at, c->n));
    const Ix *row = scope_var(lo, xent_live_row(lo, c, at), c->x.rows);
    ks_store(k, lo->scope->block, c->target, at, row_value(lo, c->x.targets, row));
    scope_end(lo);
    scope_if(lo, ke_test(k, ">=", at, c->n));
    ks_store(k, lo->scope->block, c->target, at, narrow_int(lo, ke_int(k, -1)));
    scope_end(lo);
    scope_end(lo);
}

static void pack_phase(Lower *lo, XentLower *c)
{
    Kernel *k = lo->k;
    KPhase *phase = xent_phase(lo, c, "pack", c->chunk / c->nr);
    const KExpr *panel = lower_task(lo);
    UNUSED(phase);
    scope_if(lo, ke_test(k, "<", ke_mul(lo, panel, ke_int(k, c->nr)), c->n));
    pack_targets(lo, c, panel);
    Strip s = {.c = c, .panel = panel};
    scope_loop(lo, &(LoopSpec){.stem = "strip",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, c->nr),
                               .extent = dim_const(lo->ir, c->nr),
                               .step = k->width});
    s.first = lo->var[lo->nvar - 1].at;
    LanesSpec spec = {.stem = "d",
                      .lo = ke_int(k, 0),
                      .hi = ke_int(k, c->x.depth),
                      .extent = dim_const(lo->ir, c->x.depth),
                      .whole = c->x.depth % k->width == 0};
    lower_lanes(lo, &spec, pack_lines, &s);
    scope_end(lo);
    scope_end(lo);
}

/* ---- join ---- */

static void join_vectors(Lower *lo, XentLower *c, const KExpr *first)
{
    Kernel *k = lo->k;
    for (int64_t j = 0; j < c->nv; j++) {
        const KExpr *at = ke_add(lo, first, ke_int(k, j * k->width));
        const KExpr *arg[] = {ke_addr(k, c->parts, at), ke_int(k, ceil_div(c->x.classes, c->tile)),
                              ke_int(k, c->chunk), ke_num(k, KT_F32, (double)c->x.classes),
                              ke_addr(k, c->stats, at)};
        ks_call(k, lo->scope->block,
                ke_text(k, KT_PTR, "mdl_xent_join(%0, %1, %2, %3, %4)", arg, 5));
    }
}

static const KExpr *plane(Lower *lo, const XentLower *c, int64_t i, const KExpr *at)
{
    return ke_add(lo, ke_int(lo->k, i * c->chunk), at);
}

/* Results of the forward half and cotangents of the scores, row by row. */
static void join_phase(Lower *lo, XentLower *c)
{
    Kernel *k = lo->k;
    xent_phase(lo, c, "join", c->chunk / c->nr);
    const KExpr *panel = lower_task(lo), *first = ke_mul(lo, panel, ke_int(k, c->nr));
    scope_if(lo, ke_test(k, "<", first, c->n));
    join_vectors(lo, c, first);
    const KExpr *r = xent_loop(lo, "r", ke_int(k, 0), xent_panel_rows(lo, c, panel));
    const KExpr *at = ks_let(k, lo->scope->block, "at", ke_add(lo, first, r));
    const KExpr *row = xent_live_row(lo, c, at);
    const Node *const out[] = {c->x.max, c->x.log_sum, c->x.hit, c->x.mean};
    for (int64_t i = 0; i < (int64_t)COUNT(out); i++)
        store_result(lo, out[i], row, ke_load(k, c->stats, plane(lo, c, i, at)));
    const Ix *ix = scope_var(lo, row, c->x.rows);
    const Node *const given[] = {c->x.given_max, c->x.given_log_sum};
    for (int64_t i = 0; !c->x.log_sum && i < (int64_t)COUNT(given); i++)
        ks_store(k, lo->scope->block, c->stats, plane(lo, c, i, at), row_value(lo, given[i], ix));
    const Node *const in[] = {c->x.dlog_sum, c->x.dhit, c->x.dmean};
    for (int64_t i = 0; c->gradient && i < (int64_t)COUNT(in); i++) {
        const KExpr *d = row_value(lo, in[i], ix);
        const KExpr *n = ke_num(k, KT_F32, (double)c->x.classes);
        ks_store(k, lo->scope->block, c->stats, plane(lo, c, XENT_PARTS + i, at),
                 in[i] == c->x.dmean && i == 2 ? ke_apply(lo, KT_F32, "(%0 / %1)", d, n) : d);
    }
    scope_end(lo);
    scope_end(lo);
}

/* ---- the kernel ---- */

static void choose_sizes(Lower *lo, XentLower *c)
{
    int64_t w = lo->k->width, rows = dim_hi(lo->ir, c->x.rows);
    c->nr = ceil_div(lower_config(lo, "nr"), w) * w;
    c->nv = c->nr / w;
    c->mr = smaller(lower_config(lo, "mr"), c->x.classes);
    c->md = smaller(lower_config(lo, "mr"), c->x.depth);
    c->chunk = ceil_div(smaller(lower_config(lo, "rows"), rows > 0 ? rows : 1), c->nr) * c->nr;
    c->tile = TASK_PANELS * c->mr;
    c->padded = ceil_div(c->x.classes, c->mr) * c->mr;
    c->wide = smaller(ceil_div(c->x.depth, WIDE_TASKS), MAX_WIDE);
    c->wide = ceil_div(c->wide, c->md) * c->md;
    c->columns = ceil_div(c->x.depth, c->nr);
    int64_t rounds = ceil_div(rows > 0 ? rows : 1, c->chunk);
    lo->k->again = (uint32_t)(rounds - 1);
}

static uint32_t shared(Lower *lo, const char *name, DType t, int64_t count)
{
    return kernel_workspace(lo->k, name, t, dim_const(lo->ir, count));
}

static void make_buffers(Lower *lo, XentLower *c)
{
    int64_t panels = c->chunk / c->nr, tasks = ceil_div(c->x.classes, c->tile), w = lo->k->width;
    const Dim *rows = dim_add(lo->ir, c->x.rows, dim_const(lo->ir, 1));
    c->live = kernel_workspace(lo->k, "live", DT_I32, rows);
    c->target = shared(lo, "target", DT_I32, c->chunk);
    /* turning a tile stores whole vectors */
    c->xt = shared(lo, "xt", DT_F32, panels * c->x.depth * c->nr + w * w);
    c->parts = shared(lo, "parts", DT_F32, tasks * XENT_PARTS * c->chunk);
    c->stats = shared(lo, "stats", DT_F32, XENT_STATS * c->chunk);
    int64_t tiles = 1;
    if (c->gradient) {
        c->xf = shared(lo, "xf", DT_F32, c->columns * c->chunk * c->nr);
        c->scores = shared(lo, "scores", DT_F32, panels * c->padded * c->nr);
        tiles = panels * (c->wide / c->md);
    }
    int64_t one = c->mr > c->md ? c->mr : c->md;
    c->sums = kernel_scratch(lo->k, "sums", DT_F32, tiles * one * c->nr);
}

void lower_xent(Lower *lo)
{
    XentLower c = {0};
    if (!xent_match(lo->body, &c.x))
        BUG("codegen: %s is no linear cross-entropy", lo->k->name);
    c.gradient = c.x.dx || c.x.dw;
    choose_sizes(lo, &c);
    make_buffers(lo, &c);
    rows_phase(lo, &c);
    pack_phase(lo, &c);
    xent_scores_phase(lo, &c);
    join_phase(lo, &c);
    if (!c.gradient)
        return;
    xent_weights_phase(lo, &c);
    xent_inputs_phase(lo, &c);
}

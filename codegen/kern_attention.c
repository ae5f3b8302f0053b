/* kern_attention.c: attention without its scores (online softmax: Milakov and Gimelshein 2018, Dao et
 * al. 2022).
 *
 * A first phase packs keys and values. A task then has some blocks of mr queries of one head and walks
 * over tiles of keys: scores of the tile in registers and then in scratch, the mask where it cuts the
 * tile, the largest so far, exponentials, and the weighted sum of values, which is scaled down when a
 * larger score appears. The grid follows from extents alone, and each row is summed in the order of its
 * keys, so results do not depend on the number of threads.
 *
 * What the results are made of the sums (logarithms, casts, views) is pulled from the body, as scores
 * and masks are. */
#include "attention_tile.h"

#include <math.h>

typedef struct Fwd {
    Attention a;
    int64_t mr, nr, keys, grain; /* the config */
    int64_t d, dp, e, ep;        /* widths, and rounded up to vectors */
    int64_t heads, kv, group;
    int64_t all;                                /* keys of a head, rounded up to tiles */
    int64_t tiles;                              /* of keys */
    int64_t blocks;                             /* of queries */
    uint32_t kp, vp;                            /* packed: [b kv][panel][d][nr], [b kv][key][ep] */
    uint32_t q, scores, acc, top, sums, shrink; /* of a block of queries */
    const Ix *b, *n, *g, *h;
    const KExpr *bn; /* of packed keys and values */
    const KExpr *t0, *rows, *base;
    const KExpr *u0, *c0, *c1; /* a tile of keys: the first, its columns in use */
    Span4 span;
} Fwd;

static void describe(Lower *lo, Fwd *f)
{
    bool found = attention_find(lo->body, &f->a);
    ASSERT(found && !lo->scalar);
    f->mr = lower_config(lo, "mr");
    f->nr = lower_config(lo, "nr");
    f->keys = lower_config(lo, "keys");
    f->grain = lower_config(lo, "grain");
    f->d = dim_fixed(f->a.d);
    f->e = dim_fixed(f->a.e);
    f->dp = round_up(f->d, lo->k->width);
    f->ep = round_up(f->e, lo->k->width);
    f->kv = dim_fixed(f->a.kv);
    f->group = dim_fixed(f->a.g);
    f->heads = f->kv * f->group;
    int64_t s = dim_hi(lo->ir, f->a.s), t = dim_hi(lo->ir, f->a.t);
    f->tiles = ceil_div(s > 0 ? s : 1, f->keys);
    f->all = f->tiles * f->keys;
    f->blocks = ceil_div(t > 0 ? t : 1, f->mr);
}

static void make_buffers(Lower *lo, Fwd *f)
{
    Kernel *k = lo->k;
    int64_t w = k->width;
    const Dim *bn = dim_mul(lo->ir, f->a.b, f->a.kv);
    f->kp =
        kernel_workspace(k, "keys", DT_F32, dim_mul(lo->ir, bn, dim_const(lo->ir, f->all * f->d)));
    f->vp = kernel_workspace(k, "values", DT_F32,
                             dim_mul(lo->ir, bn, dim_const(lo->ir, f->all * f->ep)));
    f->q = kernel_scratch(k, "queries", DT_F32, f->mr * f->dp);
    f->scores = kernel_scratch(k, "scores", DT_F32, f->mr * f->keys);
    f->acc = kernel_scratch(k, "acc", DT_F32, f->mr * f->ep);
    f->top = kernel_scratch(k, "top", DT_F32, f->mr);
    f->sums = kernel_scratch(k, "sums", DT_F32, f->mr * w);
    f->shrink = kernel_scratch(k, "shrink", DT_F32, f->mr);
}

/* ---- packing ---- */

static void pack_keys(Lower *lo, Fwd *f, const KExpr *count)
{
    Kernel *k = lo->k;
    const KExpr *nr = ke_int(k, f->nr), *zero = ke_int(k, 0);
    scope_loop(lo, &(LoopSpec){.stem = "panel",
                               .lo = zero,
                               .hi = ke_int(k, f->keys / f->nr),
                               .extent = dim_const(lo->ir, f->keys / f->nr)});
    const KExpr *first = ke_mul(lo, lo->var[lo->nvar - 1].at, nr);
    const KExpr *u = ks_let(k, lo->scope->block, "u", ke_add(lo, f->u0, first));
    LinesSpec s = {
        .node = f->a.dot->in[1],
        .of = {f->b, f->n},
        .nof = 2,
        .first = u,
        .count = ke_sub(lo, count, first),
        .lines = f->a.s,
        .columns = f->a.d,
        .buf = f->kp,
        .base = ke_mul(lo, ke_add(lo, ke_mul(lo, f->bn, ke_int(k, f->all)), u), ke_int(k, f->d)),
        .pitch = f->nr};
    tile_copy_across(lo, &s, f->nr);
    scope_end(lo);
}

static void pack_values(Lower *lo, Fwd *f, const KExpr *count)
{
    Kernel *k = lo->k;
    const KExpr *ep = ke_int(k, f->ep);
    const KExpr *line = ke_add(lo, ke_mul(lo, f->bn, ke_int(k, f->all)), f->u0);
    const KExpr *base = ks_let(k, lo->scope->block, "base", ke_mul(lo, line, ep));
    LinesSpec s = {.node = f->a.out->in[1],
                   .of = {f->b, f->n},
                   .nof = 2,
                   .columns_first = true,
                   .first = f->u0,
                   .count = count,
                   .lines = f->a.s,
                   .columns = f->a.e,
                   .buf = f->vp,
                   .base = base,
                   .pitch = f->ep};
    tile_copy_lines(lo, &s);
    const KExpr *end = ke_add(lo, base, ke_mul(lo, count, ep));
    tile_zero(lo, f->vp, end, ke_mul(lo, ke_sub(lo, ke_int(k, f->keys), count), ep));
}

static void pack_phase(Lower *lo, Fwd *f)
{
    Kernel *k = lo->k;
    const Dim *bn = dim_mul(lo->ir, f->a.b, f->a.kv);
    KPhase *phase = kernel_phase(k, "pack", dim_mul(lo->ir, bn, dim_const(lo->ir, f->tiles)),
                                 "packs a tile of keys and values");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, f->tiles), *kv = ke_int(k, f->kv);
    f->bn = ks_let(k, &phase->body, "head", ke_index(k, KI_DIV, task, n));
    f->u0 =
        ks_let(k, &phase->body, "u0", ke_mul(lo, ke_index(k, KI_MOD, task, n), ke_int(k, f->keys)));
    f->b = scope_var(lo, ke_index(k, KI_DIV, f->bn, kv), f->a.b);
    f->n = scope_var(lo, ke_index(k, KI_MOD, f->bn, kv), f->a.kv);
    const KExpr *left = ke_sub(lo, ke_extent(k, f->a.s), f->u0);
    const KExpr *count = ke_min(lo, ke_index(k, KI_MAX, left, ke_int(k, 0)), ke_int(k, f->keys));
    count = ks_let(k, &phase->body, "count", count);
    pack_keys(lo, f, count);
    pack_values(lo, f, count);
}

/* ---- a tile of keys ---- */

static void multiply_scores(Lower *lo, Fwd *f)
{
    Kernel *k = lo->k;
    const KExpr *line = ke_add(lo, ke_mul(lo, f->bn, ke_int(k, f->all)), f->u0);
    scope_loop(lo, &(LoopSpec){.stem = "c",
                               .lo = f->c0,
                               .hi = f->c1,
                               .extent = dim_const(lo->ir, f->keys),
                               .step = f->nr});
    const KExpr *c = lo->var[lo->nvar - 1].at;
    tile_multiply(lo, &(TileSpec){.rows = f->mr,
                                  .nv = f->nr / k->width,
                                  .a = f->q,
                                  .abase = ke_int(k, 0),
                                  .arow = f->dp,
                                  .adepth = 1,
                                  .b = f->kp,
                                  .bbase = ke_mul(lo, ke_add(lo, line, c), ke_int(k, f->d)),
                                  .bdepth = f->nr,
                                  .c = f->scores,
                                  .cbase = c,
                                  .crow = f->keys,
                                  .from = ke_int(k, 0),
                                  .to = ke_int(k, f->d)});
    scope_end(lo);
}

/* The row whose scores are made of its products. */
typedef struct Row {
    Fwd *f;
    const Ix *t;
    const KExpr *at; /* first score */
    const KExpr *largest;
    bool cut;
} Row;

static void score_lanes(Lower *lo, const Ix *u, void *user)
{
    const Row *r = user;
    Fwd *f = r->f;
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const LowerVar v = lo->var[lo->nvar - 1];
    const KExpr *at = ke_add(lo, r->at, ke_sub(lo, v.at, f->u0));
    const Node *n = r->cut ? f->a.z : f->a.score;
    lo->seed[f->a.dot->id] = ks_let(k, block, "product", ke_vload(k, f->scores, at, NULL));
    lo->seed_scope = lo->scope;
    const Ix *ix[] = {f->b, f->h, r->t, u};
    const KExpr *z = lower_spread(lo, lower_value(lo, n, ix));
    lo->seed[f->a.dot->id] = NULL;
    lo->seed_scope = NULL;
    if (v.lanes)
        z = ks_let(k, block, "z", lower_first_lanes(lo, v.lanes, z, ke_num(k, KT_VF, -HUGE_VAL)));
    ks_store(k, block, f->scores, at, z);
    ks_set(k, block, r->largest, ke_apply(lo, KT_VF, "mdl_most_vf(%0, %1)", z, r->largest));
}

/* Scores of a tile whose keys all rows see, or of one that is cut: columns past the last key too. */
static void score_row(Lower *lo, Row *r, const KExpr *cut)
{
    Fwd *f = r->f;
    Kernel *k = lo->k;
    const KExpr *first = ke_add(lo, f->u0, f->c0), *last = ke_add(lo, f->u0, f->c1);
    const KExpr *w = ke_int(k, k->width), *one = ke_int(k, k->width - 1);
    scope_if(lo, cut);
    r->cut = true;
    const KExpr *end = ke_min(lo, last, ke_extent(k, f->a.s));
    LanesSpec spec = {.stem = "u", .lo = first, .hi = end, .extent = f->a.s};
    lower_lanes(lo, &spec, score_lanes, r);
    const KExpr *used = ke_sub(lo, end, f->u0);
    used = ke_mul(lo, ke_index(k, KI_DIV, ke_add(lo, used, one), w), w);
    KStmt *s = ks_for(k, lo->scope->block, kernel_name(k, "c"), used, f->c1);
    s->step = w;
    ks_store(k, &s->body, f->scores, ke_add(lo, r->at, ke_var(k, KT_I64, s->name)),
             ke_num(k, KT_VF, -HUGE_VAL));
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", cut, NULL));
    r->cut = false;
    spec.hi = last;
    spec.whole = true;
    lower_lanes(lo, &spec, score_lanes, r);
    scope_end(lo);
}

/* Exponentials of the row in place of its scores; what they sum to. */
static const KExpr *exponentials(Lower *lo, const Row *r, const KExpr *top)
{
    Fwd *f = r->f;
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *sum = ks_var(k, block, "sum", ke_num(k, KT_VF, 0));
    const KExpr *m = ks_let(k, block, "m", lower_spread(lo, top));
    KStmt *s = ks_for(k, block, kernel_name(k, "c"), f->c0, f->c1);
    s->step = ke_int(k, k->width);
    const KExpr *at = ke_add(lo, r->at, ke_var(k, KT_I64, s->name));
    const KExpr *x =
        ke_apply(lo, KT_VF, "mdl_exp_vf(%0 - %1)", ke_vload(k, f->scores, at, NULL), m);
    x = ks_let(k, &s->body, "p", x);
    ks_store(k, &s->body, f->scores, at, x);
    ks_set(k, &s->body, sum, ke_apply(lo, KT_VF, "(%0 + %1)", sum, x));
    return sum;
}

/* Online softmax of one row: all that came before shrinks by e^(old top - new top). */
static void softmax_row(Lower *lo, Fwd *f, const KExpr *cut)
{
    Kernel *k = lo->k;
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = f->rows,
                               .extent = dim_const(lo->ir, f->mr)});
    KBlock *block = lo->scope->block;
    const KExpr *i = lo->var[lo->nvar - 1].at, *ninf = ke_num(k, KT_F32, -HUGE_VAL);
    Row r = {.f = f, .t = scope_var(lo, ke_add(lo, f->t0, i), f->a.t)};
    r.at = ks_let(k, block, "line", ke_mul(lo, i, ke_int(k, f->keys)));
    r.largest = ks_var(k, block, "largest", ke_num(k, KT_VF, -HUGE_VAL));
    score_row(lo, &r, cut);
    const KExpr *old = ks_let(k, block, "old", ke_load(k, f->top, i));
    const KExpr *most = tile_fold_lanes(lo, "most", r.largest, "mdl_most_vf(%0, %1)");
    const KExpr *arg[] = {ke_test(k, ">", most, old), most, old};
    const KExpr *top = ke_text(k, KT_F32, "mdl_select_f32(%0, %1, %2)", arg, 3);
    top = ks_let(k, block, "top", top);
    const KExpr *seen[] = {ke_test(k, ">", top, ninf), top, ke_num(k, KT_F32, 0)};
    const KExpr *m =
        ks_let(k, block, "m", ke_text(k, KT_F32, "mdl_select_f32(%0, %1, %2)", seen, 3));
    const KExpr *sum = exponentials(lo, &r, m);
    const KExpr *by = ke_apply(lo, KT_VF, "mdl_exp_vf(mdl_set1_vf(%0 - %1))", old, m);
    by = ks_let(k, block, "by", by);
    const KExpr *place = ke_mul(lo, i, ke_int(k, k->width));
    const KExpr *total[] = {ke_vload(k, f->sums, place, NULL), by, sum};
    ks_store(k, block, f->sums, place, ke_text(k, KT_VF, "(%0 * %1 + %2)", total, 3));
    ks_store(k, block, f->top, i, top);
    ks_store(k, block, f->shrink, i, ke_apply(lo, KT_F32, "mdl_lane0_vf(%0)", by, NULL));
    scope_end(lo);
}

static void multiply_values(Lower *lo, Fwd *f)
{
    Kernel *k = lo->k;
    const KExpr **by = NEW_ARRAY(lo->arena, const KExpr *, f->mr);
    for (int64_t i = 0; i < f->mr; i++)
        by[i] = ks_let(k, lo->scope->block, "by",
                       lower_spread(lo, ke_load(k, f->shrink, ke_int(k, i))));
    const KExpr *line = ke_add(lo, ke_mul(lo, f->bn, ke_int(k, f->all)), f->u0);
    TileSpec t = {.rows = f->mr,
                  .nv = f->nr / k->width,
                  .a = f->scores,
                  .abase = ke_int(k, 0),
                  .arow = f->keys,
                  .adepth = 1,
                  .b = f->vp,
                  .bbase = ke_mul(lo, line, ke_int(k, f->ep)),
                  .bdepth = f->ep,
                  .c = f->acc,
                  .cbase = ke_int(k, 0),
                  .crow = f->ep,
                  .from = f->c0,
                  .to = f->c1,
                  .add = true,
                  .by = by};
    tile_multiply_wide(lo, &t, f->ep);
}

static void tile(Lower *lo, Fwd *f, const KExpr *number)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *keys = ke_int(k, f->keys), *nr = ke_int(k, f->nr), *zero = ke_int(k, 0);
    f->u0 = ks_let(k, block, "u0", ke_mul(lo, number, keys));
    const KExpr *from = ke_index(k, KI_MAX, ke_sub(lo, f->span.lo_min, f->u0), zero);
    const KExpr *to = ke_min(lo, ke_sub(lo, f->span.hi_max, f->u0), keys);
    f->c0 = ks_let(k, block, "c0", ke_mul(lo, ke_index(k, KI_DIV, from, nr), nr));
    to = ke_index(k, KI_DIV, ke_add(lo, to, ke_int(k, f->nr - 1)), nr);
    f->c1 = ks_let(k, block, "c1", ke_mul(lo, to, nr));
    const KExpr *cut = ke_num(k, KT_BOOL, 1);
    if (!f->span.rest) {
        const KExpr *left = ke_test(k, "<", ke_add(lo, f->u0, f->c0), f->span.lo_max);
        const KExpr *right = ke_test(k, ">", ke_add(lo, f->u0, f->c1), f->span.hi_min);
        cut = ks_let(k, block, "cut", ke_test(k, "||", left, right));
    }
    multiply_scores(lo, f);
    softmax_row(lo, f, cut);
    multiply_values(lo, f);
}

/* ---- results ---- */

static void result_lanes(Lower *lo, const Ix *j, void *user)
{
    const Row *r = user;
    Fwd *f = r->f;
    Kernel *k = lo->k;
    const KExpr *at = ke_add(lo, r->at, lo->var[lo->nvar - 1].at);
    const KExpr *x = ke_apply(lo, KT_VF, "(%0 / %1)", ke_vload(k, f->acc, at, NULL), r->largest);
    lo->seed[f->a.out->id] = ks_let(k, lo->scope->block, "o", x);
    lo->seed_scope = lo->scope;
    const Ix *ix[] = {f->b, r->t, f->h, j};
    lower_store(lo, f->a.y_at, ix, lower_value(lo, f->a.y, ix));
    lo->seed[f->a.out->id] = NULL;
    lo->seed_scope = NULL;
}

static void store_lse(Lower *lo, const Row *r, const KExpr *top, const KExpr *sum)
{
    Fwd *f = r->f;
    lo->seed[f->a.top->id] = top;
    lo->seed[f->a.sum->id] = sum;
    lo->seed_scope = lo->scope;
    const Ix *ix[] = {f->b, f->h, r->t};
    lower_store(lo, f->a.lse_at, ix, lower_value(lo, f->a.lse, ix));
    lo->seed[f->a.top->id] = lo->seed[f->a.sum->id] = NULL;
    lo->seed_scope = NULL;
}

static void store_rows(Lower *lo, Fwd *f)
{
    Kernel *k = lo->k;
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = f->rows,
                               .extent = dim_const(lo->ir, f->mr)});
    KBlock *block = lo->scope->block;
    const KExpr *i = lo->var[lo->nvar - 1].at, *one = ke_num(k, KT_F32, 1);
    const KExpr *sums = ke_vload(k, f->sums, ke_mul(lo, i, ke_int(k, k->width)), NULL);
    const KExpr *sum = tile_fold_lanes(lo, "sum", ks_let(k, block, "sum", sums), "(%0 + %1)");
    const KExpr *arg[] = {ke_test(k, "<", sum, one), one, sum};
    const KExpr *c =
        ks_let(k, block, "c", ke_text(k, KT_F32, "mdl_select_f32(%0, %1, %2)", arg, 3));
    Row r = {.f = f, .t = scope_var(lo, ke_add(lo, f->t0, i), f->a.t)};
    r.at = ks_let(k, block, "line", ke_mul(lo, i, ke_int(k, f->ep)));
    r.largest = ks_let(k, block, "c", lower_spread(lo, c));
    if (f->a.lse)
        store_lse(lo, &r, ks_let(k, block, "top", ke_load(k, f->top, i)), sum);
    LanesSpec spec = {.stem = "j",
                      .lo = ke_int(k, 0),
                      .hi = ke_int(k, f->e),
                      .extent = f->a.e,
                      .whole = f->e == f->ep};
    lower_lanes(lo, &spec, result_lanes, &r);
    scope_end(lo);
}

/* ---- a task ---- */

static void start_block(Lower *lo, Fwd *f)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    LinesSpec s = {.node = f->a.dot->in[0],
                   .of = {f->b, f->n, f->g},
                   .nof = 3,
                   .first = f->t0,
                   .count = f->rows,
                   .lines = f->a.t,
                   .columns = f->a.d,
                   .buf = f->q,
                   .base = zero,
                   .pitch = f->dp};
    tile_copy_lines(lo, &s);
    const KExpr *dp = ke_int(k, f->dp), *missing = ke_sub(lo, ke_int(k, f->mr), f->rows);
    tile_zero(lo, f->q, ke_mul(lo, f->rows, dp), ke_mul(lo, missing, dp));
    tile_zero(lo, f->acc, zero, ke_int(k, f->mr * f->ep));
    tile_zero(lo, f->sums, zero, ke_int(k, f->mr * k->width));
    KStmt *each = ks_for(k, lo->scope->block, kernel_name(k, "i"), zero, ke_int(k, f->mr));
    const KExpr *i = ke_var(k, KT_I64, each->name);
    ks_store(k, &each->body, f->top, i, ke_num(k, KT_F32, -HUGE_VAL));
    ks_store(k, &each->body, f->shrink, i, ke_num(k, KT_F32, 0));
}

static void query_block(Lower *lo, Fwd *f, const KExpr *number)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *keys = ke_int(k, f->keys);
    f->t0 = ks_let(k, block, "t0", ke_mul(lo, number, ke_int(k, f->mr)));
    const KExpr *left = ke_sub(lo, ke_extent(k, f->a.t), f->t0);
    f->rows = ks_let(k, block, "rows", ke_min(lo, left, ke_int(k, f->mr)));
    start_block(lo, f);
    BlockSpec b = {.att = &f->a, .b = f->b, .h = f->h, .t0 = f->t0, .rows = f->rows, .most = f->mr};
    tile_bounds(lo, &b, &f->span);
    const KExpr *up = ke_add(lo, f->span.hi_max, ke_int(k, f->keys - 1));
    scope_loop(lo, &(LoopSpec){.stem = "tile",
                               .lo = ke_index(k, KI_DIV, f->span.lo_min, keys),
                               .hi = ke_index(k, KI_DIV, up, keys),
                               .extent = dim_const(lo->ir, f->tiles)});
    tile(lo, f, lo->var[lo->nvar - 1].at);
    scope_end(lo);
    store_rows(lo, f);
}

static void query_phase(Lower *lo, Fwd *f)
{
    Kernel *k = lo->k;
    int64_t parts = ceil_div(f->blocks, f->grain);
    const Dim *heads = dim_mul(lo->ir, f->a.b, dim_const(lo->ir, f->heads));
    KPhase *phase = kernel_phase(k, "", dim_mul(lo->ir, heads, dim_const(lo->ir, parts)),
                                 "some blocks of queries of a head");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, parts), *grain = ke_int(k, f->grain);
    const KExpr *bh = ks_let(k, &phase->body, "bh", ke_index(k, KI_DIV, task, n));
    const KExpr *first =
        ks_let(k, &phase->body, "first", ke_mul(lo, ke_index(k, KI_MOD, task, n), grain));
    f->bn = ks_let(k, &phase->body, "head", ke_index(k, KI_DIV, bh, ke_int(k, f->group)));
    const KExpr *kh = ke_int(k, f->heads), *kg = ke_int(k, f->group);
    const KExpr *h = ks_let(k, &phase->body, "h", ke_index(k, KI_MOD, bh, kh));
    f->b = scope_var(lo, ke_index(k, KI_DIV, bh, kh), f->a.b);
    f->h = scope_var(lo, h, dim_const(lo->ir, f->heads));
    f->n = scope_var(lo, ke_index(k, KI_DIV, h, kg), f->a.kv);
    f->g = scope_var(lo, ke_index(k, KI_MOD, h, kg), f->a.g);
    const KExpr *mr = ke_int(k, f->mr);
    const KExpr *used =
        ke_index(k, KI_DIV, ke_add(lo, ke_extent(k, f->a.t), ke_int(k, f->mr - 1)), mr);
    scope_loop(lo, &(LoopSpec){.stem = "block",
                               .lo = first,
                               .hi = ke_min(lo, ke_add(lo, first, grain), used),
                               .extent = dim_const(lo->ir, f->blocks)});
    query_block(lo, f, lo->var[lo->nvar - 1].at);
    scope_end(lo);
}

void lower_attention(Lower *lo)
{
    Fwd f = {0};
    describe(lo, &f);
    make_buffers(lo, &f);
    pack_phase(lo, &f);
    query_phase(lo, &f);
}

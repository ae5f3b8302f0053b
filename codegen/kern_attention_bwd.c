/* kern_attention_bwd.c: the gradients of attention without scores in memory.
 *
 * A task has one head of keys and values and the heads of queries that share it. It walks over tiles of
 * keys, and for each over blocks of queries: scores and their gradients of the tile in scratch, then
 * three products that add to the gradients of the queries (of the whole head, in scratch), of the keys
 * and of the values (of the tile). Everything is added in one order by one task: no atomics, the same
 * bits for any number of threads. Blocks that the mask leaves out of a tile are skipped. */
#include "attention_tile.h"

typedef struct Bwd {
    AttentionBwd b;
    int64_t mr, nr, keys, block; /* the config */
    int64_t rows;                /* keys of a register tile of their gradients */
    int64_t d, dp, e, ep, kv, group;
    int64_t queries;        /* of a head, rounded up to blocks */
    uint32_t q, dy, dq;     /* of all queries: [g][query][dp], [ep], [dp] */
    uint32_t share;         /* of all queries: y dy */
    uint32_t kt, vt, k;     /* of a tile: [d][keys], [e][keys], [key][dp] */
    uint32_t dk, dv;        /* [key][dp], [ep] */
    uint32_t scores, grads; /* [query of a block][keys]: in the end p and ds */
    const Ix *ib, *in, *ig, *ih;
    const KExpr *u0, *count;         /* the tile */
    const KExpr *g, *t0, *nq, *base; /* the block; base: of its queries */
    const KExpr *c0, *c1;
    Span4 span;
} Bwd;

static void describe(Lower *lo, Bwd *f)
{
    bool found = attention_find_bwd(lo->body, &f->b);
    ASSERT(found && !lo->scalar);
    const Attention *a = &f->b.a;
    f->mr = lower_config(lo, "mr");
    f->nr = lower_config(lo, "nr");
    f->keys = lower_config(lo, "keys");
    f->block = lower_config(lo, "queries");
    f->rows = lo->target->registers >= 32 ? 8 : 4;
    f->d = dim_fixed(a->d);
    f->e = dim_fixed(a->e);
    f->dp = round_up(f->d, lo->k->width);
    f->ep = round_up(f->e, lo->k->width);
    f->kv = dim_fixed(a->kv);
    f->group = dim_fixed(a->g);
    int64_t t = dim_hi(lo->ir, a->t);
    f->queries = round_up(t > 0 ? t : 1, f->block);
}

static void make_buffers(Lower *lo, Bwd *f)
{
    Kernel *k = lo->k;
    int64_t all = f->group * f->queries;
    f->q = kernel_scratch(k, "queries", DT_F32, all * f->dp);
    f->dy = kernel_scratch(k, "dy", DT_F32, all * f->ep);
    f->dq = kernel_scratch(k, "dq", DT_F32, all * f->dp);
    f->share = kernel_scratch(k, "share", DT_F32, all);
    f->kt = kernel_scratch(k, "keys", DT_F32, f->keys * f->dp);
    f->vt = kernel_scratch(k, "values", DT_F32, f->keys * f->ep);
    f->k = kernel_scratch(k, "key_rows", DT_F32, f->keys * f->dp);
    f->dk = kernel_scratch(k, "dk", DT_F32, f->keys * f->dp);
    f->dv = kernel_scratch(k, "dv", DT_F32, f->keys * f->ep);
    f->scores = kernel_scratch(k, "p", DT_F32, f->block * f->keys);
    f->grads = kernel_scratch(k, "ds", DT_F32, f->block * f->keys);
}

/* ---- operands ---- */

static void group_loop(Lower *lo, Bwd *f)
{
    Kernel *k = lo->k;
    f->ig = scope_loop(
        lo, &(LoopSpec){
                .stem = "g", .lo = ke_int(k, 0), .hi = ke_int(k, f->group), .extent = f->b.a.g});
    f->g = lo->var[lo->nvar - 1].at;
    const KExpr *h = ke_mul(lo, lower_index(lo, f->in), ke_int(k, f->group));
    f->ih = scope_var(lo, ks_let(k, lo->scope->block, "h", ke_add(lo, h, f->g)),
                      dim_const(lo->ir, f->kv * f->group));
}

static const KExpr *first_of_group(Lower *lo, const Bwd *f)
{
    return ke_mul(lo, f->g, ke_int(lo->k, f->queries));
}

static void copy_queries(Lower *lo, Bwd *f, const Node *node, uint32_t buf, const Dim *columns)
{
    Kernel *k = lo->k;
    int64_t pitch = round_up(dim_fixed(columns), k->width);
    const KExpr *t = ke_extent(k, f->b.a.t), *kp = ke_int(k, pitch);
    const KExpr *base = ke_mul(lo, first_of_group(lo, f), kp);
    LinesSpec s = {.node = node,
                   .of = {f->ib, f->in, f->ig},
                   .nof = 3,
                   .first = ke_int(k, 0),
                   .count = t,
                   .lines = f->b.a.t,
                   .columns = columns,
                   .buf = buf,
                   .base = base,
                   .pitch = pitch};
    tile_copy_lines(lo, &s);
    tile_zero(lo, buf, ke_add(lo, base, ke_mul(lo, t, kp)),
              ke_mul(lo, ke_sub(lo, ke_int(k, f->queries), t), kp));
}

static const KExpr *in_range(Lower *lo, const LowerVar *v, const KExpr *x)
{
    return lower_first_lanes(lo, v->lanes, x, ke_num(lo->k, KT_VF, 0));
}

typedef struct Share {
    const Bwd *f;
    const Ix *t;
    const KExpr *sum; /* a VAR: of each lane */
} Share;

static void share_lanes(Lower *lo, const Ix *j, void *user)
{
    const Share *s = user;
    const LowerVar v = lo->var[lo->nvar - 1];
    const Ix *ix[] = {s->f->ib, s->f->ih, s->t, j};
    const KExpr *x = lower_spread(lo, lower_value(lo, s->f->b.share->in[0], ix));
    const KExpr *more = ke_apply(lo, KT_VF, "(%0 + %1)", s->sum, in_range(lo, &v, x));
    ks_set(lo->k, lo->scope->block, s->sum, more);
}

/* What the queries of a head give with their gradients. */
static void fold_shares(Lower *lo, Bwd *f)
{
    Kernel *k = lo->k;
    const Attention *a = &f->b.a;
    scope_loop(
        lo, &(LoopSpec){.stem = "i", .lo = ke_int(k, 0), .hi = ke_extent(k, a->t), .extent = a->t});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    Share s = {.f = f, .t = scope_var(lo, i, a->t)};
    s.sum = ks_var(k, lo->scope->block, "share", ke_num(k, KT_VF, 0));
    LanesSpec spec = {.stem = "j", .lo = ke_int(k, 0), .hi = ke_int(k, f->e), .extent = a->e};
    lower_lanes(lo, &spec, share_lanes, &s);
    const KExpr *sum = tile_fold_lanes(lo, "share", s.sum, "(%0 + %1)");
    ks_store(k, lo->scope->block, f->share, ke_add(lo, first_of_group(lo, f), i), sum);
    scope_end(lo);
}

static void copy_keys(Lower *lo, Bwd *f)
{
    const Attention *a = &f->b.a;
    Kernel *k = lo->k;
    LinesSpec s = {.of = {f->ib, f->in},
                   .nof = 2,
                   .first = f->u0,
                   .count = f->count,
                   .lines = a->s,
                   .base = ke_int(k, 0)};
    s.node = a->dot->in[1];
    s.columns = a->d;
    s.buf = f->kt;
    s.pitch = f->keys;
    tile_copy_across(lo, &s, f->keys);
    s.buf = f->k;
    s.pitch = f->dp;
    tile_copy_lines(lo, &s);
    const KExpr *dp = ke_int(k, f->dp), *missing = ke_sub(lo, ke_int(k, f->keys), f->count);
    tile_zero(lo, f->k, ke_mul(lo, f->count, dp), ke_mul(lo, missing, dp));
    s.node = f->b.grad->in[1];
    s.columns = a->e;
    s.buf = f->vt;
    s.pitch = f->keys;
    tile_copy_across(lo, &s, f->keys);
}

/* ---- a block of queries and a tile of keys ---- */

/* Products of all queries of the block with the keys in use. */
static void multiply_tile(Lower *lo, const Bwd *f, bool grads)
{
    Kernel *k = lo->k;
    int64_t pitch = grads ? f->ep : f->dp;
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = f->nq,
                               .extent = dim_const(lo->ir, f->block),
                               .step = f->mr});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    scope_loop(lo, &(LoopSpec){.stem = "c",
                               .lo = f->c0,
                               .hi = f->c1,
                               .extent = dim_const(lo->ir, f->keys),
                               .step = f->nr});
    const KExpr *c = lo->var[lo->nvar - 1].at;
    TileSpec t = {.rows = f->mr,
                  .nv = f->nr / k->width,
                  .a = grads ? f->dy : f->q,
                  .abase = ke_mul(lo, ke_add(lo, f->base, i), ke_int(k, pitch)),
                  .arow = pitch,
                  .adepth = 1,
                  .b = grads ? f->vt : f->kt,
                  .bbase = c,
                  .bdepth = f->keys,
                  .c = grads ? f->grads : f->scores,
                  .cbase = ke_add(lo, ke_mul(lo, i, ke_int(k, f->keys)), c),
                  .crow = f->keys,
                  .from = ke_int(k, 0),
                  .to = ke_int(k, grads ? f->e : f->d)};
    tile_multiply(lo, &t);
    scope_end(lo);
    scope_end(lo);
}

typedef struct Row {
    Bwd *f;
    const Ix *t;
    const KExpr *at;
    bool cut;
} Row;

static void weight_lanes(Lower *lo, const Ix *u, void *user)
{
    const Row *r = user;
    const Bwd *f = r->f;
    const AttentionBwd *b = &f->b;
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const LowerVar v = lo->var[lo->nvar - 1];
    const KExpr *at = ke_add(lo, r->at, ke_sub(lo, v.at, f->u0));
    const Ix *ix[] = {f->ib, f->ih, r->t, u};
    lo->seed_scope = lo->scope;
    lo->seed[b->a.dot->id] = ks_let(k, block, "product", ke_vload(k, f->scores, at, NULL));
    lo->seed[b->grad->id] = ks_let(k, block, "grad", ke_vload(k, f->grads, at, NULL));
    const Node *z = r->cut ? b->a.z : b->a.score;
    lo->seed[b->a.z->id] = lower_spread(lo, lower_value(lo, z, ix));
    const KExpr *p = lower_spread(lo, lower_value(lo, b->p, ix));
    const KExpr *ds = lower_spread(lo, lower_value(lo, b->ds, ix));
    lo->seed[b->a.dot->id] = lo->seed[b->grad->id] = lo->seed[b->a.z->id] = NULL;
    lo->seed_scope = NULL;
    ks_store(k, block, f->scores, at, in_range(lo, &v, p));
    ks_store(k, block, f->grads, at, in_range(lo, &v, ds));
}

/* p and ds of a row in place of the products; columns past the last key are 0. */
static void weight_row(Lower *lo, Row *r, const KExpr *cut)
{
    const Bwd *f = r->f;
    Kernel *k = lo->k;
    const KExpr *first = ke_add(lo, f->u0, f->c0), *last = ke_add(lo, f->u0, f->c1);
    const KExpr *w = ke_int(k, k->width), *more = ke_int(k, k->width - 1);
    scope_if(lo, cut);
    r->cut = true;
    const KExpr *end = ke_min(lo, last, ke_extent(k, f->b.a.s));
    LanesSpec spec = {.stem = "u", .lo = first, .hi = end, .extent = f->b.a.s};
    lower_lanes(lo, &spec, weight_lanes, r);
    const KExpr *used = ke_sub(lo, end, f->u0);
    used = ke_mul(lo, ke_index(k, KI_DIV, ke_add(lo, used, more), w), w);
    used = ks_let(k, lo->scope->block, "used", used);
    const KExpr *rest = ke_sub(lo, f->c1, used);
    tile_zero(lo, f->scores, ke_add(lo, r->at, used), rest);
    tile_zero(lo, f->grads, ke_add(lo, r->at, used), rest);
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", cut, NULL));
    r->cut = false;
    spec.hi = last;
    spec.whole = true;
    lower_lanes(lo, &spec, weight_lanes, r);
    scope_end(lo);
}

static void weight_rows(Lower *lo, Bwd *f)
{
    Kernel *k = lo->k;
    const KExpr *cut = ke_num(k, KT_BOOL, 1);
    if (!f->span.rest) {
        const KExpr *left = ke_test(k, "<", ke_add(lo, f->u0, f->c0), f->span.lo_max);
        const KExpr *right = ke_test(k, ">", ke_add(lo, f->u0, f->c1), f->span.hi_min);
        cut = ks_let(k, lo->scope->block, "cut", ke_test(k, "||", left, right));
    }
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = f->nq,
                               .extent = dim_const(lo->ir, f->block)});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    Row r = {.f = f, .t = scope_var(lo, ke_add(lo, f->t0, i), f->b.a.t)};
    r.at = ks_let(k, lo->scope->block, "line", ke_mul(lo, i, ke_int(k, f->keys)));
    const KExpr *share = ke_load(k, f->share, ke_add(lo, f->base, i));
    lo->seed[f->b.share->id] = ks_let(k, lo->scope->block, "share", share);
    weight_row(lo, &r, cut);
    lo->seed[f->b.share->id] = NULL;
    scope_end(lo);
}

/* dq of the block: ds k. */
static void add_queries(Lower *lo, const Bwd *f)
{
    Kernel *k = lo->k;
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = f->nq,
                               .extent = dim_const(lo->ir, f->block),
                               .step = f->mr});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    TileSpec t = {.rows = f->mr,
                  .nv = f->nr / k->width,
                  .a = f->grads,
                  .abase = ke_mul(lo, i, ke_int(k, f->keys)),
                  .arow = f->keys,
                  .adepth = 1,
                  .b = f->k,
                  .bbase = ke_int(k, 0),
                  .bdepth = f->dp,
                  .c = f->dq,
                  .cbase = ke_mul(lo, ke_add(lo, f->base, i), ke_int(k, f->dp)),
                  .crow = f->dp,
                  .from = f->c0,
                  .to = f->c1,
                  .add = true};
    tile_multiply_wide(lo, &t, f->dp);
    scope_end(lo);
}

/* dk of the tile: ds q, both by queries; dv: p dy. */
static void add_keys(Lower *lo, const Bwd *f, bool values)
{
    Kernel *k = lo->k;
    int64_t pitch = values ? f->ep : f->dp;
    const KExpr *kp = ke_int(k, pitch);
    scope_loop(lo, &(LoopSpec){.stem = "r",
                               .lo = f->c0,
                               .hi = f->c1,
                               .extent = dim_const(lo->ir, f->keys),
                               .step = f->rows});
    const KExpr *r = lo->var[lo->nvar - 1].at;
    TileSpec t = {.rows = f->rows,
                  .nv = f->nr / k->width,
                  .a = values ? f->scores : f->grads,
                  .abase = r,
                  .arow = 1,
                  .adepth = f->keys,
                  .b = values ? f->dy : f->q,
                  .bbase = ke_mul(lo, f->base, kp),
                  .bdepth = pitch,
                  .c = values ? f->dv : f->dk,
                  .cbase = ke_mul(lo, r, kp),
                  .crow = pitch,
                  .from = ke_int(k, 0),
                  .to = f->nq,
                  .add = true};
    tile_multiply_wide(lo, &t, pitch);
    scope_end(lo);
}

static void query_block(Lower *lo, Bwd *f, const KExpr *number)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *size = ke_int(k, f->block), *nr = ke_int(k, f->nr), *zero = ke_int(k, 0);
    f->t0 = ks_let(k, block, "t0", ke_mul(lo, number, size));
    f->nq = ks_let(k, block, "nq", ke_min(lo, size, ke_sub(lo, ke_extent(k, f->b.a.t), f->t0)));
    f->base = ks_let(k, block, "base", ke_add(lo, first_of_group(lo, f), f->t0));
    BlockSpec b = {.att = &f->b.a, .b = f->ib, .h = f->ih, .t0 = f->t0, .rows = f->nq};
    b.most = f->block;
    tile_bounds(lo, &b, &f->span);
    const KExpr *from = ke_index(k, KI_MAX, ke_sub(lo, f->span.lo_min, f->u0), zero);
    const KExpr *to = ke_min(lo, ke_sub(lo, f->span.hi_max, f->u0), ke_int(k, f->keys));
    to = ke_index(k, KI_MAX, to, zero);
    f->c0 = ks_let(k, block, "c0", ke_mul(lo, ke_index(k, KI_DIV, from, nr), nr));
    to = ke_index(k, KI_DIV, ke_add(lo, to, ke_int(k, f->nr - 1)), nr);
    f->c1 = ks_let(k, block, "c1", ke_mul(lo, to, nr));
    scope_if(lo, ke_test(k, "<", f->c0, f->c1));
    multiply_tile(lo, f, false);
    multiply_tile(lo, f, true);
    weight_rows(lo, f);
    add_queries(lo, f);
    add_keys(lo, f, false);
    add_keys(lo, f, true);
    scope_end(lo);
}

/* ---- results ---- */

typedef struct Store {
    const AttentionPart *part;
    uint32_t buf;
    const KExpr *first, *count; /* places of the axis */
    bool queries;               /* the axis is that of the queries */
    int64_t pitch;
    const Ix *line;     /* in buf */
    const Ix *ix[4];    /* but the last */
    const Dim *columns; /* of what is stored together */
} Store;

/* A gradient at any column of the row in work. */
static const KExpr *load_line(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Store *s = lo->user;
    if (n != s->part->dot)
        return NULL;
    const Ix *at = ix_mul(lo->ir, s->line, dim_const(lo->ir, s->pitch));
    const KExpr *e = lower_load(lo, s->buf, ix_add(lo->ir, at, ix[n->type->rank - 1]));
    return e ? e : lower_by_lane(lo, n, ix);
}

static void store_lanes(Lower *lo, const Ix *j, void *user)
{
    const Store *s = user;
    const Ix *ix[] = {s->ix[0], s->ix[1], s->ix[2], j};
    lo->seed_scope = lo->scope;
    tile_store_columns(lo, s->part->results, s->columns, ix);
    lo->seed_scope = NULL;
}

static void store_columns(Lower *lo, const Dim *columns, void *user)
{
    Store *s = user;
    Kernel *k = lo->k;
    int64_t n = dim_fixed(columns);
    s->columns = columns;
    LanesSpec spec = {.stem = "j",
                      .lo = ke_int(k, 0),
                      .hi = ke_int(k, n),
                      .extent = columns,
                      .whole = n % k->width == 0};
    lower_lanes(lo, &spec, store_lanes, s);
}

/* The lines of a buffer, from its first on, to their places. */
static void store_lines(Lower *lo, Store *s, const Bwd *f)
{
    Kernel *k = lo->k;
    const Dim *lines = s->queries ? f->b.a.t : f->b.a.s;
    if (!s->part->node)
        return;
    s->pitch = s->part == &f->b.dv ? f->ep : f->dp;
    scope_loop(lo, &(LoopSpec){.stem = "i", .lo = ke_int(k, 0), .hi = s->count, .extent = lines});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    const KExpr *line = s->queries ? ke_add(lo, first_of_group(lo, f), i) : i;
    s->line = scope_var(lo, line, dim_const(lo->ir, INT32_MAX));
    s->ix[0] = f->ib;
    s->ix[1] = scope_var(lo, ke_add(lo, s->first, i), lines);
    s->ix[2] = s->queries ? f->ih : f->in;
    lo->kept = load_line;
    lo->user = s;
    tile_each_columns(lo, s->part->results, store_columns, s);
    lo->kept = NULL;
    lo->user = NULL;
    scope_end(lo);
}

/* ---- a task ---- */

static void key_tile(Lower *lo, Bwd *f, const KExpr *number)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *keys = ke_int(k, f->keys), *zero = ke_int(k, 0), *size = ke_int(k, f->block);
    f->u0 = ks_let(k, block, "u0", ke_mul(lo, number, keys));
    f->count = ke_min(lo, keys, ke_sub(lo, ke_extent(k, f->b.a.s), f->u0));
    f->count = ks_let(k, block, "count", f->count);
    copy_keys(lo, f);
    tile_zero(lo, f->dk, zero, ke_int(k, f->keys * f->dp));
    tile_zero(lo, f->dv, zero, ke_int(k, f->keys * f->ep));
    group_loop(lo, f);
    const KExpr *up = ke_add(lo, ke_extent(k, f->b.a.t), ke_int(k, f->block - 1));
    scope_loop(lo, &(LoopSpec){.stem = "block",
                               .lo = zero,
                               .hi = ke_index(k, KI_DIV, up, size),
                               .extent = dim_const(lo->ir, f->queries / f->block)});
    query_block(lo, f, lo->var[lo->nvar - 1].at);
    scope_end(lo);
    scope_end(lo);
    Store keys_out = {.part = &f->b.dk, .buf = f->dk, .first = f->u0, .count = f->count};
    Store values_out = {.part = &f->b.dv, .buf = f->dv, .first = f->u0, .count = f->count};
    store_lines(lo, &keys_out, f);
    store_lines(lo, &values_out, f);
}

void lower_attention_bwd(Lower *lo)
{
    Bwd f = {0};
    Kernel *k = lo->k;
    describe(lo, &f);
    make_buffers(lo, &f);
    const Attention *a = &f.b.a;
    KPhase *phase =
        kernel_phase(k, "", dim_mul(lo->ir, a->b, a->kv), "one head of keys and values");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *kv = ke_int(k, f.kv), *zero = ke_int(k, 0);
    f.ib = scope_var(lo, ks_let(k, &phase->body, "b", ke_index(k, KI_DIV, task, kv)), a->b);
    f.in = scope_var(lo, ks_let(k, &phase->body, "n", ke_index(k, KI_MOD, task, kv)), a->kv);
    group_loop(lo, &f);
    copy_queries(lo, &f, a->dot->in[0], f.q, a->d);
    copy_queries(lo, &f, f.b.grad->in[0], f.dy, a->e);
    fold_shares(lo, &f);
    scope_end(lo);
    tile_zero(lo, f.dq, zero, ke_int(k, f.group * f.queries * f.dp));
    int64_t s = dim_hi(lo->ir, a->s);
    const KExpr *up = ke_add(lo, ke_extent(k, a->s), ke_int(k, f.keys - 1));
    scope_loop(lo, &(LoopSpec){.stem = "tile",
                               .lo = zero,
                               .hi = ke_index(k, KI_DIV, up, ke_int(k, f.keys)),
                               .extent = dim_const(lo->ir, ceil_div(s > 0 ? s : 1, f.keys))});
    key_tile(lo, &f, lo->var[lo->nvar - 1].at);
    scope_end(lo);
    group_loop(lo, &f);
    const KExpr *all = ke_extent(k, a->t);
    store_lines(
        lo, &(Store){.part = &f.b.dq, .buf = f.dq, .first = zero, .count = all, .queries = true},
        &f);
    scope_end(lo);
}

/* gpu_attention_bwd.c: the gradients of attention without scores in memory, on a GPU (Dao 2023, but deterministic).
 *
 * Three kinds of phases. The first gives what each query and its gradient share (a warp a query). Blocks of the
 * second hold a tile of keys and values, 16 a warp, while the queries of the heads that share them pass by; in
 * their registers are weights of keys by queries, which are the left side of what is added to the gradients of
 * the keys and the values. Blocks of the third hold queries while keys and values pass by, and add to the
 * gradients of the queries. So scores are made twice, 7 products instead of 5, but every sum is in the registers
 * of one warp and in one order: no atomics, the same bits always. Where the second phase can add to the gradients of
 * the queries too, block after block, there are 5 (gpu_attention_bwd_turns.c).
 *
 * Where heads are too wide for both sums of the second phase, it is one phase for the keys and one for the values.
 * Tiles that the mask leaves out are not multiplied, and queries before the first and behind the last that see a
 * block's keys are not read. Of 16-bit operands, weights and their gradients are rounded to the operands' type.
 *
 * Config: rows (what a block holds), cols (what passes by in a step), stages of the ring, groups (2: by turns). */
#include "gpu_attention_bwd.h"
#include "gpu_attend_group.h"

#include <string.h>

enum { MOST_SUMS = 256 /* columns of the gradients in registers */ };
static const double LOG2E = 1.4426950408889634;

AttendSide *bwd_held(AttendBwd *f, bool second)
{
    if (f->dk || f->dv)
        return second ? &f->v : &f->k;
    return second ? &f->dy : &f->q;
}

AttendSide *bwd_step(AttendBwd *f, bool second)
{
    if (f->dk || f->dv)
        return second ? &f->dy : &f->q;
    return second ? &f->v : &f->k;
}

/* Byte of the second side of what a block holds, of what a stage holds; their sizes. */
static int64_t held_second(AttendBwd *f)
{
    return f->t.rows * attend_row_bytes(bwd_held(f, false));
}

static int64_t held_bytes(AttendBwd *f)
{
    return held_second(f) + f->t.rows * attend_row_bytes(bwd_held(f, true));
}

static int64_t step_second(AttendBwd *f)
{
    return f->t.cols * attend_row_bytes(bwd_step(f, false));
}

static int64_t step_bytes(AttendBwd *f)
{
    return step_second(f) + f->t.cols * attend_row_bytes(bwd_step(f, true));
}

static int64_t pitch_of(const Lower *lo, const AttendSide *s)
{
    return s->width + lo->k->width;
}

/* What weights are relative to, as far as it is an input. */
static const Node *find_lse(Lower *lo, const AttendBwd *f)
{
    const Attention *a = &f->b.a;
    const Dim *dims[] = {a->b, dim_const(lo->ir, f->t.heads), a->t};
    for (uint32_t i = 0; i < lo->body->inputs.n; i++)
        if (lo->body->inputs.at[i]->type == type_tensor(lo->ir, DT_F32, 3, dims))
            return lo->body->inputs.at[i];
    return NULL;
}

/* Whether gradients of weights need more of a score than its weight. */
static bool needs_scores(Lower *lo, const AttentionBwd *b)
{
    const Graph *g = lo->body;
    bool *needs = NEW_ARRAY(lo->arena, bool, g->nodes.n + (size_t)1);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        needs[n->id] = n == b->a.dot;
        for (uint32_t k = 0; k < n->nin && n != b->p; k++)
            needs[n->id] = needs[n->id] || needs[n->in[k]->id];
    }
    return needs[b->ds->id];
}

static void describe(Lower *lo, AttendBwd *f)
{
    bool found = attention_find_bwd(lo->body, &f->b);
    ASSERT(found && !lo->scalar);
    const Attention *a = &f->b.a;
    const Node *operand[] = {a->dot->in[0], a->dot->in[1], f->b.grad->in[0], f->b.grad->in[1]};
    attend_describe(lo, &f->t, a, operand, COUNT(operand));
    f->q = (AttendSide){.node = operand[0], .queries = true, .lines = a->t, .columns = a->d};
    f->k = (AttendSide){.node = operand[1], .lines = a->s, .columns = a->d};
    f->dy = (AttendSide){.node = operand[2], .queries = true, .lines = a->t, .columns = a->e};
    f->v = (AttendSide){.node = operand[3], .lines = a->s, .columns = a->e};
    AttendSide *sides[] = {&f->q, &f->k, &f->dy, &f->v};
    for (size_t i = 0; i < COUNT(sides); i++)
        attend_side(lo, &f->t, sides[i]);
    for (size_t i = 0; f->t.groups && i < COUNT(sides); i++)
        groups_widen(sides[i]);
    f->lse = find_lse(lo, f);
    f->apart = !needs_scores(lo, &f->b);
}

/* ---- what queries share with their gradients ---- */

typedef struct Share {
    const AttendBwd *f;
    const Ix *b, *h, *t;
    const KExpr *sum; /* a VAR: of each lane */
} Share;

static void share_lanes(Lower *lo, const Ix *j, void *user)
{
    const Share *s = user;
    Kernel *k = lo->k;
    const LowerVar v = lo->var[lo->nvar - 1];
    const Ix *ix[] = {s->b, s->h, s->t, j};
    const KExpr *x = lower_spread(lo, lower_value(lo, s->f->b.share->in[0], ix));
    x = lower_first_lanes(lo, v.lanes, x, ke_num(k, KT_VF, 0));
    ks_set(k, lo->scope->block, s->sum, ke_apply(lo, KT_VF, "(%0 + %1)", s->sum, x));
}

static void share_phase(Lower *lo, AttendBwd *f)
{
    Kernel *k = lo->k;
    const Attention *a = &f->b.a;
    const Dim *heads = dim_const(lo->ir, f->t.heads);
    const Dim *rows = dim_mul(lo->ir, dim_mul(lo->ir, a->b, heads), a->t);
    f->share = kernel_workspace(k, "share", DT_F32, rows);
    KPhase *phase = kernel_phase(k, "share", rows, "a query and its gradient per warp");
    scope_begin(lo, phase);
    team_begin(lo, phase, WARP);
    const KExpr *task = lower_task(lo), *n = ke_extent(k, a->t), *h = ke_int(k, f->t.heads);
    const KExpr *of = copy_let(lo, "of", ke_index(k, KI_DIV, task, n));
    Share s = {.f = f};
    s.b = scope_var(lo, copy_let(lo, "b", ke_index(k, KI_DIV, of, h)), a->b);
    s.h = scope_var(lo, copy_let(lo, "h", ke_index(k, KI_MOD, of, h)), heads);
    s.t = scope_var(lo, copy_let(lo, "t", ke_index(k, KI_MOD, task, n)), a->t);
    s.sum = ks_var(k, lo->scope->block, "share", ke_num(k, KT_VF, 0));
    int64_t e = dim_fixed(a->e);
    LanesSpec spec = {.stem = "j",
                      .lo = ke_int(k, 0),
                      .hi = ke_int(k, e),
                      .extent = a->e,
                      .whole = e % k->width == 0};
    lower_lanes(lo, &spec, share_lanes, &s);
    const KExpr *sum = tile_fold_lanes(lo, "share", s.sum, "(%0 + %1)");
    sum = copy_let(lo, "share", ke_apply(lo, KT_F32, "mdl_warp_sum(%0)", sum, NULL));
    if (f->turns) {
        f->t.b = s.b;
        f->t.h = s.h;
        bwd_turns_prepare(lo, f, s.t);
    }
    team_first(lo);
    ks_store(k, lo->scope->block, f->share, task, sum);
    scope_end(lo);
    lo->team = 0;
    lo->rank = NULL;
}

/* ---- a tile of scores ---- */

/* An element that does not exist has no weight. */
static const KExpr *inside(Lower *lo, const AttendElement *e, const KExpr *x)
{
    if (!e->inside)
        return x;
    const KExpr *arg[] = {e->inside, x, ke_num(lo->k, KT_F32, 0)};
    return ke_text(lo->k, KT_F32, "mdl_select_f32(%0, %1, %2)", arg, 3);
}

static const KExpr *share_of(Lower *lo, const AttendBwd *f, const Ix *t)
{
    Kernel *k = lo->k;
    const KExpr *of = ke_mul(lo, lower_index(lo, f->t.b), ke_int(k, f->t.heads));
    of = ke_mul(lo, ke_add(lo, of, lower_index(lo, f->t.h)), ke_extent(k, f->b.a.t));
    return ke_load(k, f->share, ke_add(lo, of, lower_index(lo, t)));
}

bool bwd_needs_grads(const AttendBwd *f)
{
    return f->dk || !f->dv;
}

void bwd_pair(Lower *lo, const AttendBwd *f, const Ix *t, const KExpr *pair[2])
{
    const Ix *ix[] = {f->t.b, f->t.h, t};
    pair[0] = f->lse ? lower_value(lo, f->lse, ix) : NULL;
    pair[1] = copy_let(lo, "share", share_of(lo, f, t));
}

/* An element of which something is found, and what queries have is near. */
typedef struct Near {
    const AttendBwd *f;
    const AttendElement *e;
} Near;

static const KExpr *load_near(Lower *lo, const AttendBwd *f, const AttendElement *e, int64_t which)
{
    Kernel *k = lo->k;
    if (!f->pairs)
        return ke_load(k, f->own, ke_add(lo, ke_mul(lo, e->row, ke_int(k, 2)), ke_int(k, which)));
    const KExpr *at = ke_add(lo, e->line, ke_int(k, which * f->t.cols));
    return ke_load(k, f->t.floats, ke_add(lo, f->pairs, at));
}

/* The input at the element's own query. */
static const KExpr *find_near(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Near *near = lo->user;
    const AttendBwd *f = near->f;
    if (n != f->lse || ix[0] != f->t.b || ix[1] != f->t.h || ix[2] != near->e->t)
        return NULL;
    return load_near(lo, f, near->e, 0);
}

static void weight_element(Lower *lo, const AttendElement *e, void *user)
{
    const AttendBwd *f = user;
    const AttentionBwd *b = &f->b;
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const Ix *ix[] = {f->t.b, f->t.h, e->t, e->u};
    const KExpr *ds = NULL;
    Near near = {f, e};
    bool nearby = f->pairs || f->owns;
    lo->kept = nearby ? find_near : NULL;
    lo->user = nearby ? &near : NULL;
    lo->seed_scope = lo->scope;
    const KExpr *x = copy_let(lo, "product", ke_load(k, f->s, e->at));
    if (f->part != BWD_GRADS) {
        lo->seed[b->a.dot->id] = x;
        lo->seed[b->a.z->id] = lower_value(lo, f->cut ? b->a.z : b->a.score, ix);
        x = lower_value(lo, b->p->in[0], ix);
        x = ke_apply(lo, KT_F32, "mdl_exp2_fast(%0 * %1)", x, ke_num(k, KT_F32, LOG2E));
        x = copy_let(lo, "p", x);
    }
    lo->seed[b->p->id] = x;
    if (bwd_needs_grads(f) && f->part != BWD_WEIGHTS) {
        lo->seed[b->grad->id] = copy_let(lo, "grad", ke_load(k, f->ds, e->at));
        lo->seed[b->share->id] =
            copy_let(lo, "share", nearby ? load_near(lo, f, e, 1) : share_of(lo, f, e->t));
        ds = lower_value(lo, b->ds, ix);
    }
    if (f->part == BWD_WEIGHTS || (f->part == BWD_BOTH && f->dv))
        ks_store(k, block, f->s, e->at, inside(lo, e, lo->seed[b->p->id]));
    if (ds)
        ks_store(k, block, f->ds, e->at, inside(lo, e, ds));
    lo->seed[b->a.dot->id] = lo->seed[b->grad->id] = lo->seed[b->share->id] = NULL;
    lo->seed[b->a.z->id] = lo->seed[b->p->id] = NULL;
    lo->seed_scope = NULL;
    lo->kept = NULL;
    lo->user = NULL;
}

void bwd_weights(Lower *lo, AttendBwd *f, const KExpr *cut)
{
    AttendEach each = {
        .t0 = f->t0, .u0 = f->u0, .turned = f->dk || f->dv, .fn = weight_element, .user = f};
    /* keys that do not exist are 0 in the products, which infinite weights would spoil */
    each.rows = f->turns;
    scope_if(lo, cut);
    each.cut = f->cut = true;
    attend_each(lo, &f->t, &each);
    scope_end(lo);
    int64_t always;
    if (ke_is_int(cut, &always))
        return;
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", cut, NULL));
    each.cut = f->cut = false;
    attend_each(lo, &f->t, &each);
    scope_end(lo);
}

/* Whether elements of queries [t0, t0 + nt) by keys [u0, u0 + nu) must be looked at one by one. */
const KExpr *bwd_cut(Lower *lo, const AttendBwd *f, int64_t nt, int64_t nu)
{
    Kernel *k = lo->k;
    if (f->span.rest)
        return ke_num(k, KT_BOOL, 1);
    const KExpr *left = ke_test(k, "<", f->u0, f->span.lo_max);
    const KExpr *right = ke_test(k, ">", ke_add(lo, f->u0, ke_int(k, nu)), f->span.hi_min);
    const KExpr *cut = ke_test(k, "||", left, right);
    if (f->dk || f->dv) {
        const KExpr *end = ke_add(lo, f->t0, ke_int(k, nt));
        cut = ke_test(k, "||", cut, ke_test(k, ">", end, ke_extent(k, f->b.a.t)));
    }
    return copy_let(lo, "cut", cut);
}

static void multiply_tile(Lower *lo, AttendBwd *f, const KExpr *base, const KExpr *cut)
{
    Kernel *k = lo->k;
    const Attend *t = &f->t;
    const KExpr *second = ke_add(lo, base, ke_int(k, step_second(f)));
    attend_scores(lo, t, f->s, ke_int(k, 0), base, bwd_step(f, false));
    if (bwd_needs_grads(f))
        attend_scores(lo, t, f->ds, ke_int(k, held_second(f)), second, bwd_step(f, true));
    bwd_weights(lo, f, cut);
    if (f->dv)
        attend_values(lo, t, f->sums_e, f->s, second, bwd_step(f, true));
    if (bwd_needs_grads(f))
        attend_values(lo, t, f->sums_d, f->ds, base, bwd_step(f, false));
}

static void bring_step(Lower *lo, void *user, const KExpr *base, const KExpr *step)
{
    AttendBwd *f = user;
    const Attend *t = &f->t;
    const KExpr *first = copy_let(lo, "first", ke_mul(lo, step, ke_int(lo->k, t->cols)));
    attend_bring(lo, t, bwd_step(f, false), base, first, t->cols);
    attend_bring(lo, t, bwd_step(f, true), ke_add(lo, base, ke_int(lo->k, step_second(f))), first,
                 t->cols);
}

static void bring_held(Lower *lo, AttendBwd *f)
{
    const Attend *t = &f->t;
    attend_bring(lo, t, bwd_held(f, false), ke_int(lo->k, 0), f->held, t->rows);
    attend_bring(lo, t, bwd_held(f, true), ke_int(lo->k, held_second(f)), f->held, t->rows);
}

/* ---- results ---- */

typedef struct Store {
    const AttendBwd *f;
    const AttentionPart *part;
    const AttendSide *side; /* lines like those of the gradient */
    uint32_t sums;
    const Ix *head, *line; /* line: in shared memory */
} Store;

/* A gradient at any column of the row in work. */
static const KExpr *load_line(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Store *s = lo->user;
    if (n != s->part->dot)
        return NULL;
    const Ix *at = ix_mul(lo->ir, s->line, dim_const(lo->ir, pitch_of(lo, s->side)));
    const KExpr *e = lower_load(lo, s->f->t.floats, ix_add(lo->ir, at, ix[n->type->rank - 1]));
    return e ? e : lower_by_lane(lo, n, ix);
}

/* Parts of results with as many columns. */
static void store_columns(Lower *lo, const Dim *columns, void *user)
{
    Store *s = user;
    Kernel *k = lo->k;
    const AttendBwd *f = s->f;
    int64_t w = k->width, n = dim_fixed(columns), per = ceil_div(n, w);
    const KExpr *i, *j;
    ShareSpec share = {f->t.thread, f->t.threads, f->t.rows * per, true};
    share_open_rows(lo, &share, per, &i, &j);
    j = copy_let(lo, "j", ke_mul(lo, j, ke_int(k, w)));
    const KExpr *line = copy_let(lo, "line", ke_add(lo, f->held, i)), *lanes = NULL;
    scope_if(lo, ke_test(k, "<", line, ke_extent(k, s->side->lines)));
    if (n % w)
        lanes = copy_let(lo, "lanes", ke_min(lo, ke_int(k, w), ke_sub(lo, ke_int(k, n), j)));
    s->line = scope_var(lo, i, dim_const(lo->ir, f->t.rows));
    const Ix *ix[] = {f->t.b, scope_var(lo, line, s->side->lines), s->head,
                      scope_vector_var(lo, j, columns, lanes)};
    lo->kept = load_line;
    lo->user = s;
    lo->seed_scope = lo->scope;
    tile_store_columns(lo, s->part->results, columns, ix);
    lo->seed_scope = NULL;
    lo->kept = NULL;
    lo->user = NULL;
    scope_end(lo);
    share_close(lo);
}

static void store_part(Lower *lo, Store *s)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *lay[] = {ke_addr(k, s->f->t.floats, zero), ke_int(k, pitch_of(lo, s->side)),
                          ke_addr(k, s->sums, zero), ke_int(k, s->side->width)};
    copy_call(lo, s->f->sync, NULL, 0); /* rows lie where tiles were, or other rows */
    copy_call(lo, "mdl_attend_lay(%0, %1, %2, %3)", lay, 4);
    copy_call(lo, s->f->sync, NULL, 0);
    tile_each_columns(lo, s->part->results, store_columns, s);
}

void bwd_results(Lower *lo, AttendBwd *f)
{
    if (!f->dk && !f->dv)
        store_part(
            lo,
            &(Store){.f = f, .part = &f->b.dq, .side = &f->q, .sums = f->sums_d, .head = f->t.h});
    if (f->dk)
        store_part(
            lo,
            &(Store){.f = f, .part = &f->b.dk, .side = &f->k, .sums = f->sums_d, .head = f->t.n});
    if (f->dv)
        store_part(
            lo,
            &(Store){.f = f, .part = &f->b.dv, .side = &f->v, .sums = f->sums_e, .head = f->t.n});
}

/* ---- blocks ---- */

int64_t bwd_rows_bytes(const Lower *lo, const AttendBwd *f)
{
    int64_t pitch = larger(pitch_of(lo, &f->q), pitch_of(lo, &f->dy));
    return f->t.rows * pitch * (int64_t)sizeof(float);
}

void bwd_begin(Lower *lo, AttendBwd *f, const char *suffix)
{
    Kernel *k = lo->k;
    const Attention *a = &f->b.a;
    bool keys = f->dk || f->dv;
    const char *doc = keys ? "a tile of keys and values of a head per block"
                           : "a tile of queries of a head per block";
    const Dim *lines = keys ? a->s : a->t;
    int64_t tiles = larger(ceil_div(dim_hi(lo->ir, lines), f->t.rows), 1);
    bool shared = keys && !f->turns;
    const Dim *heads = dim_const(lo->ir, (shared ? f->t.kv : f->t.heads) * tiles);
    KPhase *phase = kernel_phase(k, suffix, dim_mul(lo->ir, a->b, heads), doc);
    const KExpr *tile = f->turns ? bwd_turns_begin(lo, f, phase, tiles)
                                 : attend_begin(lo, &f->t, phase, keys, tiles);
    f->held = copy_let(lo, "held", ke_mul(lo, tile, ke_int(k, f->t.rows)));
    scope_if(lo, ke_test(k, "<", f->held, ke_extent(k, lines)));
    f->t.thread = copy_let(lo, "thread", ke_text(k, KT_I64, "mdl_thread()", NULL, 0));
    f->lane = copy_let(lo, "lane", ke_text(k, KT_I64, "mdl_lane()", NULL, 0));
}

void bwd_begin_sums(Lower *lo, AttendBwd *f)
{
    attend_places(lo, &f->t);
    if (bwd_needs_grads(f)) {
        f->sums_d = attend_sums(lo, f->dk ? "dk" : "dq", f->q.width);
        attend_fill(lo, f->sums_d, f->q.width / 2, 0);
    }
    if (f->dv) {
        f->sums_e = attend_sums(lo, "dv", f->dy.width);
        attend_fill(lo, f->sums_e, f->dy.width / 2, 0);
    }
}

static void begin_blocks(Lower *lo, AttendBwd *f, const char *suffix)
{
    f->t.shared = held_bytes(f) + f->t.stages * step_bytes(f);
    f->t.shared = larger(f->t.shared, bwd_rows_bytes(lo, f));
    f->sync = "mdl_syncthreads()";
    bwd_begin(lo, f, suffix);
    bwd_begin_sums(lo, f);
    f->s = attend_sums(lo, "p", f->t.cols);
    if (bwd_needs_grads(f))
        f->ds = attend_sums(lo, "ds", f->t.cols);
    bring_held(lo, f);
}

void bwd_span(Lower *lo, AttendBwd *f, const KExpr *t0, int64_t most)
{
    Kernel *k = lo->k;
    if (f->turns && f->known) {
        bwd_turns_span(lo, f, t0);
        return;
    }
    BlockSpec b = {.att = &f->b.a, .b = f->t.b, .h = f->t.h, .t0 = t0, .most = most};
    const KExpr *left = ke_sub(lo, ke_extent(k, f->b.a.t), t0);
    b.rows = copy_let(lo, "count", ke_min(lo, left, ke_int(k, most)));
    b.lane = f->lane;
    tile_bounds(lo, &b, &f->span);
}

int64_t bwd_most_steps(Lower *lo, AttendBwd *f)
{
    const Dim *lines = bwd_step(f, false)->lines;
    return larger(ceil_div(dim_hi(lo->ir, lines), f->t.cols), 1);
}

static void walk(Lower *lo, AttendBwd *f,
                 void (*use)(Lower *lo, void *user, const KExpr *base, const KExpr *step))
{
    AttendRing ring = {.from = f->from,
                       .to = f->to,
                       .most = bwd_most_steps(lo, f),
                       .at = held_bytes(f),
                       .bytes = step_bytes(f),
                       .bring = bring_step,
                       .use = use,
                       .user = f};
    attend_walk(lo, &f->t, &ring);
    attend_wait(lo);
}

/* ---- gradients of keys and values ---- */

void bwd_each_head(Lower *lo, AttendBwd *f)
{
    Kernel *k = lo->k;
    LoopSpec spec = {
        .stem = "g", .lo = ke_int(k, 0), .hi = ke_int(k, f->t.group), .extent = f->b.a.g};
    if (f->turns) {
        spec.lo = lower_index(lo, f->one);
        spec.hi = ke_add(lo, spec.lo, ke_int(k, 1));
    }
    f->t.g = scope_loop(lo, &spec);
    const KExpr *h = ke_mul(lo, lower_index(lo, f->t.n), ke_int(k, f->t.group));
    h = copy_let(lo, "head", ke_add(lo, h, lower_index(lo, f->t.g)));
    f->t.h = scope_var(lo, h, dim_const(lo->ir, f->t.heads));
}

const KExpr *bwd_seen(Lower *lo, const AttendBwd *f, int64_t nu)
{
    Kernel *k = lo->k;
    const KExpr *before = ke_test(k, "<", f->u0, f->span.hi_max);
    const KExpr *behind = ke_test(k, ">", ke_add(lo, f->u0, ke_int(k, nu)), f->span.lo_min);
    return ke_test(k, "&&", before, behind);
}

static void use_queries(Lower *lo, void *user, const KExpr *base, const KExpr *step)
{
    AttendBwd *f = user;
    int64_t rows = f->t.rows;
    f->u0 = f->held;
    f->t0 = copy_let(lo, "t0", ke_mul(lo, step, ke_int(lo->k, f->t.cols)));
    bwd_span(lo, f, f->t0, f->t.cols);
    const KExpr *seen = bwd_seen(lo, f, rows), *cut = bwd_cut(lo, f, f->t.cols, rows);
    scope_if(lo, seen);
    multiply_tile(lo, f, base, cut);
    scope_end(lo);
}

void bwd_query_steps(Lower *lo, AttendBwd *f, int64_t room)
{
    Kernel *k = lo->k;
    const Attention *a = &f->b.a;
    const KExpr *cols = ke_int(k, f->t.cols), *more = ke_int(k, f->t.cols - 1);
    QueriesSpec s = {.thread = f->t.thread, .threads = f->t.threads, .u0 = f->held};
    s.block = (BlockSpec){.att = a, .b = f->t.b, .h = f->t.h, .t0 = ke_int(k, 0)};
    s.block.rows = ke_extent(k, a->t);
    s.block.most = larger(dim_hi(lo->ir, a->t), 1);
    s.u1 = ke_min(lo, ke_add(lo, f->held, ke_int(k, f->t.rows)), ke_extent(k, a->s));
    const KExpr *first, *end;
    if (tile_queries(lo, &s, &first, &end)) {
        const char *text = dim_hi(lo->ir, a->t) <= INT32_MAX
                               ? "(int64_t)mdl_block_least_i32((int32_t)(%0), (int32_t *)%1, %2)"
                               : "mdl_block_least(%0, (int64_t *)%1, %2)";
        const KExpr *arg[] = {first, ke_addr(k, f->t.tiles, ke_int(k, room)),
                              ke_int(k, f->t.threads / WARP)};
        ks_set(k, lo->scope->block, first, ke_text(k, KT_I64, text, arg, 3));
        arg[0] = ke_sub(lo, ke_int(k, 0), end);
        ks_set(k, lo->scope->block, end,
               ke_sub(lo, ke_int(k, 0), ke_text(k, KT_I64, text, arg, 3)));
    }
    f->from = copy_let(lo, "from", ke_index(k, KI_DIV, first, cols));
    f->to = copy_let(lo, "to", ke_index(k, KI_DIV, ke_add(lo, end, more), cols));
}

static void keys_phase(Lower *lo, AttendBwd *f)
{
    begin_blocks(lo, f, !f->dk ? "values" : "keys");
    bwd_each_head(lo, f);
    bwd_query_steps(lo, f, held_bytes(f));
    walk(lo, f, use_queries);
    scope_end(lo);
    bwd_results(lo, f);
    scope_end(lo);
}

/* ---- gradients of queries ---- */

static void use_keys(Lower *lo, void *user, const KExpr *base, const KExpr *step)
{
    AttendBwd *f = user;
    f->t0 = f->held;
    f->u0 = copy_let(lo, "u0", ke_mul(lo, step, ke_int(lo->k, f->t.cols)));
    multiply_tile(lo, f, base, bwd_cut(lo, f, f->t.rows, f->t.cols));
}

void bwd_key_steps(Lower *lo, AttendBwd *f)
{
    Kernel *k = lo->k;
    bwd_span(lo, f, f->held, f->t.rows);
    const KExpr *cols = ke_int(k, f->t.cols);
    const KExpr *up = ke_add(lo, f->span.hi_max, ke_int(k, f->t.cols - 1));
    f->from = copy_let(lo, "from", ke_index(k, KI_DIV, f->span.lo_min, cols));
    f->to = copy_let(lo, "to", ke_index(k, KI_DIV, up, cols));
}

static void queries_phase(Lower *lo, AttendBwd *f)
{
    begin_blocks(lo, f, "queries");
    bwd_key_steps(lo, f);
    walk(lo, f, use_keys);
    bwd_results(lo, f);
    scope_end(lo);
}

/* ---- phases ---- */

static void make_keys(Lower *lo, AttendBwd *f, bool dk, bool dv)
{
    f->dk = dk && f->b.dk.results;
    f->dv = dv && f->b.dv.results;
    if ((f->dk || f->dv) && f->t.groups)
        bwd_groups_keys(lo, f);
    else if (f->dk || f->dv)
        keys_phase(lo, f);
}

static void make_queries(Lower *lo, AttendBwd *f)
{
    f->dk = f->dv = false;
    if (f->b.dq.results && f->t.groups)
        bwd_groups_queries(lo, f);
    else if (f->b.dq.results)
        queries_phase(lo, f);
}

void gpu_attention_bwd(Lower *lo)
{
    AttendBwd f = {0};
    describe(lo, &f);
    f.turns = f.t.groups && bwd_groups_turns(lo, &f);
    if (f.turns)
        bwd_turns_workspace(lo, &f);
    share_phase(lo, &f);
    if (f.q.width + f.dy.width <= MOST_SUMS) {
        make_keys(lo, &f, true, true);
    } else {
        make_keys(lo, &f, true, false);
        make_keys(lo, &f, false, true);
    }
    if (f.turns)
        bwd_turns_results(lo, &f);
    else
        make_queries(lo, &f);
}

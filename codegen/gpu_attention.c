/* gpu_attention.c: attention without its scores on a GPU (online softmax: Milakov and Gimelshein 2018; tiles in
 * registers: Dao 2023, FlashAttention-2).
 *
 * A block has a tile of queries of one head, 16 a warp, and walks over tiles of keys and values that a ring of
 * copies brings to shared memory. Scores, weights and outputs stay in the accumulators of the warp that owns
 * the rows: no weight passes through memory. Tiles that the mask leaves out are not read; only where a tile is
 * cut, or where scores are more than a multiple of the products, elements are looked at one by one. Each row
 * is summed in the order of its keys by one warp, so results depend on nothing else.
 *
 * 16-bit operands go through tensor cores, where weights are rounded to the operands' type; others through
 * multiply-adds of f32.
 *
 * Config: rows (queries of a block), cols (keys of a step), stages of the ring, groups; split: gpu_attention_few.c. */
#include "gpu_attention.h"

#include <math.h>

static const double LOG2E = 1.4426950408889634;

static int64_t pitch_of(const Lower *lo, const AttendFwd *f)
{
    return f->v.width + lo->k->width;
}

static int64_t query_bytes(const AttendFwd *f)
{
    return f->t.rows * attend_row_bytes(&f->q);
}

static int64_t key_bytes(const AttendFwd *f)
{
    return f->t.cols * attend_row_bytes(&f->k);
}

static int64_t stage_bytes(const AttendFwd *f)
{
    return key_bytes(f) + f->t.cols * attend_row_bytes(&f->v);
}

static void describe(Lower *lo, AttendFwd *f)
{
    bool found = attention_find(lo->body, &f->a);
    ASSERT(found && !lo->scalar);
    const Attention *a = &f->a;
    const Node *operand[] = {a->dot->in[0], a->dot->in[1], a->out->in[1]};
    attend_describe(lo, &f->t, a, operand, COUNT(operand));
    f->q = (AttendSide){.node = operand[0], .queries = true, .lines = a->t, .columns = a->d};
    f->k = (AttendSide){.node = operand[1], .lines = a->s, .columns = a->d};
    f->v = (AttendSide){.node = operand[2], .columns_first = true, .lines = a->s, .columns = a->e};
    attend_side(lo, &f->t, &f->q);
    attend_side(lo, &f->t, &f->k);
    attend_side(lo, &f->t, &f->v);
    f->scaled = attention_scaled(lo->body, a, &f->unit);
    f->unit = f->scaled ? f->unit : 1;
    int64_t tiles = query_bytes(f) + f->t.stages * stage_bytes(f);
    f->t.shared = larger(tiles, f->t.rows * pitch_of(lo, f) * (int64_t)sizeof(float));
    if (f->t.groups)
        attend_groups_shape(lo, f);
    f->tiles = larger(ceil_div(dim_hi(lo->ir, a->s), f->t.cols), 1);
}

/* ---- a tile of keys ---- */

static void bring_keys(Lower *lo, void *user, const KExpr *base, const KExpr *step)
{
    const AttendFwd *f = user;
    const KExpr *first = copy_let(lo, "first", ke_mul(lo, step, ke_int(lo->k, f->t.cols)));
    attend_bring(lo, &f->t, &f->k, base, first, f->t.cols);
    attend_bring(lo, &f->t, &f->v, ke_add(lo, base, ke_int(lo->k, key_bytes(f))), first, f->t.cols);
}

static void score_element(Lower *lo, const AttendElement *e, void *user)
{
    const AttendFwd *f = user;
    const Attention *a = &f->a;
    Kernel *k = lo->k;
    uint32_t given = f->scaled ? a->score->id : a->dot->id;
    const Ix *ix[] = {f->t.b, f->t.h, e->t, e->u};
    lo->seed[given] = copy_let(lo, "product", ke_load(k, f->s, e->at));
    lo->seed_scope = lo->scope;
    const KExpr *z = lower_value(lo, f->cut ? a->z : a->score, ix);
    lo->seed[given] = NULL;
    lo->seed_scope = NULL;
    if (e->inside) {
        const KExpr *arg[] = {e->inside, z, ke_num(k, KT_F32, -HUGE_VAL)};
        z = ke_text(k, KT_F32, "mdl_select_f32(%0, %1, %2)", arg, 3);
    }
    ks_store(k, lo->scope->block, f->s, e->at, z);
}

void fwd_scores(Lower *lo, AttendFwd *f, const KExpr *cut)
{
    AttendEach each = {.t0 = f->t0, .u0 = f->u0, .fn = score_element, .user = f};
    scope_if(lo, cut);
    each.cut = f->cut = true;
    attend_each(lo, &f->t, &each);
    scope_end(lo);
    if (f->scaled)
        return;
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", cut, NULL));
    each.cut = f->cut = false;
    attend_each(lo, &f->t, &each);
    scope_end(lo);
}

double fwd_unit(const AttendFwd *f)
{
    return f->unit * LOG2E;
}

const KExpr *fwd_cut(Lower *lo, const AttendFwd *f)
{
    Kernel *k = lo->k;
    if (f->span.rest)
        return ke_num(k, KT_BOOL, 1);
    const KExpr *left = ke_test(k, "<", f->u0, f->span.lo_max);
    const KExpr *end = ke_add(lo, f->u0, ke_int(k, f->t.cols));
    const KExpr *right = ke_test(k, ">", end, f->span.hi_min);
    return copy_let(lo, "cut", ke_test(k, "||", left, right));
}

static void softmax(Lower *lo, const AttendFwd *f)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, f->s, zero), ke_addr(k, f->top, zero),
                          ke_addr(k, f->sum, zero), ke_addr(k, f->o, zero),
                          ke_num(k, KT_F32, fwd_unit(f))};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_softmax(%%0, %%1, %%2, %%3, %%4, %lld, %lld)",
                           (long long)f->t.cols, (long long)f->v.width),
              arg, 5);
}

static void use_keys(Lower *lo, void *user, const KExpr *base, const KExpr *step)
{
    AttendFwd *f = user;
    Kernel *k = lo->k;
    f->u0 = copy_let(lo, "u0", ke_mul(lo, step, ke_int(k, f->t.cols)));
    attend_scores(lo, &f->t, f->s, ke_int(k, 0), base, &f->k);
    fwd_scores(lo, f, fwd_cut(lo, f));
    softmax(lo, f);
    attend_values(lo, &f->t, f->o, f->s, ke_add(lo, base, ke_int(k, key_bytes(f))), &f->v);
}

/* ---- results ---- */

/* What a thread has of its row r, 0 or 1: registers have no index. */
static const KExpr *row_of(Lower *lo, uint32_t acc, const KExpr *r)
{
    Kernel *k = lo->k;
    const KExpr *arg[] = {ke_test(k, "==", r, ke_int(k, 0)), ke_load(k, acc, ke_int(k, 0)),
                          ke_load(k, acc, ke_int(k, 1))};
    return ke_text(k, KT_F32, "mdl_select_f32(%0, %1, %2)", arg, 3);
}

/* Of the four lanes that have two rows, the first two store one each. */
static void store_lse(Lower *lo, const AttendFwd *f)
{
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    const KExpr *lane = copy_let(lo, "lane", ke_text(k, KT_I64, "mdl_lane_again()", NULL, 0));
    const KExpr *r = copy_let(lo, "r", ke_index(k, KI_MOD, lane, ke_int(k, 4)));
    const KExpr *first = ke_mul(lo, ke_text(k, KT_I64, "mdl_warp()", NULL, 0), ke_int(k, 16));
    const KExpr *row =
        ke_add(lo, ke_index(k, KI_DIV, lane, ke_int(k, 4)), ke_mul(lo, r, ke_int(k, 8)));
    const KExpr *t = copy_let(lo, "t", ke_add(lo, ke_add(lo, f->t0, first), row));
    const KExpr *one = ke_test(k, "<", r, ke_int(k, 2));
    scope_if(lo, ke_test(k, "&&", one, ke_test(k, "<", t, ke_extent(k, a->t))));
    const Ix *ix[] = {f->t.b, f->t.h, scope_var(lo, t, a->t)};
    const KExpr *top =
        ke_apply(lo, KT_F32, "(%0 * %1)", row_of(lo, f->top, r), ke_num(k, KT_F32, f->unit));
    lo->seed[a->top->id] = copy_let(lo, "top", top);
    lo->seed[a->sum->id] = copy_let(lo, "sum", row_of(lo, f->sum, r));
    lo->seed_scope = lo->scope;
    lower_store(lo, a->lse_at, ix, lower_value(lo, a->lse, ix));
    lo->seed[a->top->id] = lo->seed[a->sum->id] = NULL;
    lo->seed_scope = NULL;
    scope_end(lo);
}

void fwd_store(Lower *lo, const AttendFwd *f, const KExpr *row, const KExpr *column,
               const KExpr *at)
{
    Kernel *k = lo->k;
    const Attention *a = &f->a;
    int64_t w = k->width, e = dim_fixed(a->e);
    const KExpr *lanes = NULL, *t = copy_let(lo, "t", ke_add(lo, f->t0, row));
    const KExpr *inside = ke_test(k, "<", t, ke_extent(k, a->t));
    scope_if(lo, inside);
    if (e % w)
        lanes = copy_let(lo, "lanes", ke_min(lo, ke_int(k, w), ke_sub(lo, ke_int(k, e), column)));
    const Ix *ix[] = {f->t.b, scope_var(lo, t, a->t), f->t.h,
                      scope_vector_var(lo, column, a->e, lanes)};
    const KExpr *x = ke_aligned(k, ke_vload(k, f->t.floats, at, NULL));
    lo->seed[a->out->id] = copy_let(lo, "o", x);
    lo->seed_scope = lo->scope;
    lower_store(lo, a->y_at, ix, lower_value(lo, a->y, ix));
    lo->seed[a->out->id] = NULL;
    lo->seed_scope = NULL;
    scope_end(lo);
}

void fwd_finish(Lower *lo, const AttendFwd *f)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *finish[] = {ke_addr(k, f->sum, zero), ke_addr(k, f->o, zero),
                             ke_int(k, f->v.width)};
    copy_call(lo, "mdl_attend_finish(%0, %1, %2)", finish, 3);
    if (f->a.lse)
        store_lse(lo, f);
}

void fwd_results(Lower *lo, const AttendFwd *f, const char *sync)
{
    Kernel *k = lo->k;
    int64_t per = ceil_div(dim_fixed(f->a.e), k->width);
    const KExpr *zero = ke_int(k, 0), *pitch = ke_int(k, pitch_of(lo, f));
    fwd_finish(lo, f);
    copy_call(lo, sync, NULL, 0); /* rows lie where tiles were */
    const KExpr *lay[] = {ke_addr(k, f->t.floats, zero), pitch, ke_addr(k, f->o, zero),
                          ke_int(k, f->v.width)};
    copy_call(lo, "mdl_attend_lay(%0, %1, %2, %3)", lay, 4);
    copy_call(lo, sync, NULL, 0);
    const KExpr *row, *column;
    ShareSpec share = {f->t.thread, f->t.threads, f->t.rows * per, true};
    share_open_rows(lo, &share, per, &row, &column);
    column = copy_let(lo, "j", ke_mul(lo, column, ke_int(k, k->width)));
    fwd_store(lo, f, row, column, ke_add(lo, ke_mul(lo, row, pitch), column));
    share_close(lo);
}

/* ---- a tile of queries ---- */

void fwd_begin(Lower *lo, AttendFwd *f)
{
    f->s = attend_sums(lo, "s", f->t.cols);
    f->o = attend_sums(lo, "o", f->v.width);
    f->top = attend_sums(lo, "top", 4);
    f->sum = attend_sums(lo, "sum", 4);
    attend_fill(lo, f->o, f->v.width / 2, 0);
    attend_fill(lo, f->top, 2, -HUGE_VAL);
    attend_fill(lo, f->sum, 2, 0);
}

void fwd_bounds(Lower *lo, AttendFwd *f)
{
    Kernel *k = lo->k;
    const Attend *t = &f->t;
    const KExpr *cols = ke_int(k, t->cols), *left = ke_sub(lo, ke_extent(k, f->a.t), f->t0);
    BlockSpec b = {.att = &f->a, .b = t->b, .h = t->h, .t0 = f->t0, .most = t->rows};
    b.rows = copy_let(lo, "count", ke_min(lo, left, ke_int(k, t->rows)));
    b.lane = copy_let(lo, "lane", ke_text(k, KT_I64, "mdl_lane()", NULL, 0));
    tile_bounds(lo, &b, &f->span);
    const KExpr *up = ke_add(lo, f->span.hi_max, ke_int(k, t->cols - 1));
    f->from = copy_let(lo, "from", ke_index(k, KI_DIV, f->span.lo_min, cols));
    f->to = copy_let(lo, "to", ke_index(k, KI_DIV, up, cols));
}

static void query_tile(Lower *lo, AttendFwd *f)
{
    Attend *t = &f->t;
    attend_places(lo, t);
    fwd_begin(lo, f);
    attend_bring(lo, t, &f->q, ke_int(lo->k, 0), f->t0, t->rows);
    fwd_bounds(lo, f);
    AttendRing ring = {.from = f->from,
                       .to = f->to,
                       .most = f->tiles,
                       .at = query_bytes(f),
                       .bytes = stage_bytes(f),
                       .bring = bring_keys,
                       .use = use_keys,
                       .user = f};
    attend_walk(lo, t, &ring);
    copy_call(lo, "mdl_cp_wait(0)", NULL, 0);
    fwd_results(lo, f, "mdl_syncthreads()");
}

void gpu_attention(Lower *lo)
{
    AttendFwd f = {0};
    Kernel *k = lo->k;
    if (lower_config(lo, "split") > 0) {
        gpu_attention_few(lo);
        return;
    }
    describe(lo, &f);
    if (f.stays) {
        attend_groups_stay(lo, &f);
        return;
    }
    const Attention *a = &f.a;
    int64_t tiles = larger(ceil_div(dim_hi(lo->ir, a->t), f.t.rows), 1);
    const Dim *tasks = dim_mul(lo->ir, a->b, dim_const(lo->ir, f.t.heads * tiles));
    KPhase *phase = kernel_phase(k, "", tasks, "a tile of queries of a head per block");
    const KExpr *tile = attend_begin(lo, &f.t, phase, false, tiles);
    f.t0 = copy_let(lo, "t0", ke_mul(lo, tile, ke_int(k, f.t.rows)));
    scope_if(lo, ke_test(k, "<", f.t0, ke_extent(k, a->t)));
    if (f.t.groups)
        attend_groups(lo, &f);
    else
        query_tile(lo, &f);
    scope_end(lo);
}

/* gpu_attention_bwd_turns.c: five products instead of seven: blocks of keys add to the gradients of the queries in
 * memory, one after the other (as the deterministic backward of FlashAttention-3 does, Shah 2024).
 *
 * Of a tile of queries the blocks add in falling order of their keys, from the last that sees any: a word for each
 * head and tile counts how many have had the turn, so which number a block has follows from the mask alone, and
 * sums have the same bits always. The first stores, so nothing need be cleared but the words.
 *
 * Blocks take their work by tickets: those of a head in falling order of keys. So who waits, waits for blocks
 * that have begun, whatever the hardware's order; and they go on, for the first of them waits for none. Where keys end
 * at the query, a block begins at its own queries when the one before it has left them: then nobody waits.
 *
 * Which blocks add to a tile must be the same for all of them. So what keys a tile sees is found once, by the phase of
 * the shares, and blocks find their steps tile by tile, not query by query. */
#include "gpu_attention_bwd.h"

enum { WARP = 32, SPAN_WORDS = 4, FIRST_TURN = 32 /* words; the first one counts tickets */ };

static int64_t query_tiles(Lower *lo, const AttendBwd *f)
{
    return larger(ceil_div(dim_hi(lo->ir, f->b.a.t), f->t.cols), 1);
}

void bwd_turns_workspace(Lower *lo, AttendBwd *f)
{
    const Attention *a = &f->b.a;
    const Dim *heads = dim_mul(lo->ir, a->b, dim_const(lo->ir, f->t.heads));
    const Dim *rows = dim_mul(lo->ir, heads, a->t);
    const Dim *words = dim_mul(lo->ir, heads, dim_const(lo->ir, query_tiles(lo, f)));
    words = dim_add(lo->ir, words, dim_const(lo->ir, FIRST_TURN));
    f->added = kernel_workspace(lo->k, "added", DT_F32,
                                dim_mul(lo->ir, rows, dim_const(lo->ir, f->q.width)));
    f->turn = kernel_workspace(lo->k, "turn", DT_I32, words);
    f->spans = kernel_workspace(lo->k, "spans", DT_I32,
                                dim_mul(lo->ir, words, dim_const(lo->ir, SPAN_WORDS)));
}

/* The number of the head in work among those of all samples. */
static const KExpr *head_number(Lower *lo, const AttendBwd *f)
{
    const KExpr *b = ke_mul(lo, lower_index(lo, f->t.b), ke_int(lo->k, f->t.heads));
    return ke_add(lo, b, lower_index(lo, f->t.h));
}

static const KExpr *word_of(Lower *lo, const AttendBwd *f, const KExpr *t)
{
    Kernel *k = lo->k;
    const KExpr *at = ke_mul(lo, head_number(lo, f), ke_int(k, query_tiles(lo, f)));
    at = ke_add(lo, at, ke_index(k, KI_DIV, t, ke_int(k, f->t.cols)));
    return ke_add(lo, at, ke_int(k, FIRST_TURN));
}

static const KExpr *span_at(Lower *lo, const AttendBwd *f, const KExpr *t0, int64_t which)
{
    const KExpr *at = ke_mul(lo, word_of(lo, f, t0), ke_int(lo->k, SPAN_WORDS));
    return ke_add(lo, at, ke_int(lo->k, which));
}

void bwd_turns_prepare(Lower *lo, AttendBwd *f, const Ix *t)
{
    Kernel *k = lo->k;
    const KExpr *t0 = lower_index(lo, t), *none = ke_num(k, KT_I32, 0);
    scope_if(lo, ke_test(k, "==", ke_index(k, KI_MOD, t0, ke_int(k, f->t.cols)), ke_int(k, 0)));
    f->lane = lo->rank;
    bwd_span(lo, f, t0, f->t.cols);
    team_first(lo);
    const KExpr *const found[] = {f->span.lo_min, f->span.lo_max, f->span.hi_min, f->span.hi_max};
    for (int64_t i = 0; i < SPAN_WORDS; i++)
        ks_store(k, lo->scope->block, f->spans, span_at(lo, f, t0, i),
                 ke_apply(lo, KT_I32, "(int32_t)%0", found[i], NULL));
    ks_store(k, lo->scope->block, f->turn, word_of(lo, f, t0), none);
    scope_if(lo, ke_test(k, "==", lower_task(lo), ke_int(k, 0)));
    ks_store(k, lo->scope->block, f->turn, ke_int(k, 0), none);
    scope_end(lo);
    scope_end(lo);
    scope_end(lo);
    f->known = true;
}

void bwd_turns_span(Lower *lo, AttendBwd *f, const KExpr *t0)
{
    Kernel *k = lo->k;
    const KExpr **const to[] = {&f->span.lo_min, &f->span.lo_max, &f->span.hi_min, &f->span.hi_max};
    for (int64_t i = 0; i < SPAN_WORDS; i++) {
        const KExpr *word = ke_load(k, f->spans, span_at(lo, f, t0, i));
        *to[i] = copy_let(lo, "span", ke_apply(lo, KT_I64, "(int64_t)%0", word, NULL));
    }
}

const KExpr *bwd_turns_begin(Lower *lo, AttendBwd *f, KPhase *phase, int64_t tiles)
{
    Kernel *k = lo->k;
    attend_open(lo, &f->t, phase);
    /* without queries nobody has cleared the count, and there is nothing to wait for */
    const KExpr *arg[] = {ke_addr(k, f->turn, ke_int(k, 0)),
                          ke_addr(k, f->t.tiles, ke_int(k, f->ticket)), ke_extent(k, f->b.a.t),
                          lower_task(lo)};
    bool always = dim_lo(lo->ir, f->b.a.t) > 0;
    const char *text = always ? "(int64_t)mdl_attend_ticket(%0, (int32_t *)%1)"
                              : "(%2 > 0 ? (int64_t)mdl_attend_ticket(%0, (int32_t *)%1) : %3)";
    const KExpr *ticket = copy_let(lo, "ticket", ke_text(k, KT_I64, text, arg, 4));
    const KExpr *n = ke_int(k, tiles);
    const KExpr *of = copy_let(lo, "of", ke_index(k, KI_DIV, ticket, n));
    const KExpr *tile = ke_sub(lo, ke_int(k, tiles - 1), ke_index(k, KI_MOD, ticket, n));
    tile = copy_let(lo, "tile", tile);
    attend_head(lo, &f->t, of, true);
    return tile;
}

/* ---- steps ---- */

void bwd_turns_steps(Lower *lo, AttendBwd *f, int64_t room)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const KExpr *cols = ke_int(k, f->t.cols), *warps = ke_int(k, f->t.threads / WARP);
    const KExpr *up = ke_add(lo, ke_extent(k, f->b.a.t), ke_int(k, f->t.cols - 1));
    const KExpr *tiles = copy_let(lo, "tiles", ke_index(k, KI_DIV, up, cols));
    const KExpr *first = ks_var(k, block, "first", tiles);
    const KExpr *last = ks_var(k, block, "last", ke_int(k, 0));
    f->u0 = f->held;
    scope_loop(lo, &(LoopSpec){.stem = "step",
                               .lo = f->t.thread,
                               .hi = tiles,
                               .extent = dim_const(lo->ir, query_tiles(lo, f)),
                               .step = f->t.threads});
    const KExpr *step = lo->var[lo->nvar - 1].at;
    const KExpr *t0 = copy_let(lo, "t0", ke_mul(lo, step, cols));
    bwd_span(lo, f, t0, f->t.cols);
    scope_if(lo, bwd_seen(lo, f, f->t.rows));
    block = lo->scope->block;
    ks_set(k, block, first, ke_index(k, KI_MIN, first, step));
    ks_set(k, block, last, ke_index(k, KI_MAX, last, ke_add(lo, step, ke_int(k, 1))));
    scope_end(lo);
    scope_end(lo);
    const char *text = "(int64_t)mdl_block_least_i32((int32_t)(%0), (int32_t *)%1, %2)";
    const KExpr *arg[] = {first, ke_addr(k, f->t.tiles, ke_int(k, room)), warps};
    f->from = copy_let(lo, "from", ke_text(k, KT_I64, text, arg, 3));
    arg[0] = ke_sub(lo, ke_int(k, 0), last);
    f->to = copy_let(lo, "to", ke_sub(lo, ke_int(k, 0), ke_text(k, KT_I64, text, arg, 3)));
}

const KExpr *bwd_turns_order(Lower *lo, const AttendBwd *f)
{
    Kernel *k = lo->k;
    const KExpr *rows = ke_int(k, f->t.rows);
    const KExpr *last = ke_index(k, KI_DIV, ke_sub(lo, f->span.hi_max, ke_int(k, 1)), rows);
    return ke_sub(lo, last, ke_index(k, KI_DIV, f->held, rows));
}

const KExpr *bwd_turns_word(Lower *lo, const AttendBwd *f)
{
    return ke_addr(lo->k, f->turn, word_of(lo, f, f->t0));
}

const KExpr *bwd_turns_sums(Lower *lo, const AttendBwd *f)
{
    Kernel *k = lo->k;
    const KExpr *row = ke_mul(lo, head_number(lo, f), ke_extent(k, f->b.a.t));
    row = ke_add(lo, row, f->t0);
    return ke_addr(k, f->added, ke_mul(lo, row, ke_int(k, f->q.width)));
}

/* ---- results ---- */

typedef struct Row {
    const AttendBwd *f;
    const Ix *row, *t; /* of all heads; of one */
    const Dim *columns;
} Row;

static const KExpr *load_sum(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Row *r = lo->user;
    if (n != r->f->b.dq.dot)
        return NULL;
    const Ix *at = ix_mul(lo->ir, r->row, dim_const(lo->ir, r->f->q.width));
    const KExpr *e = lower_load(lo, r->f->added, ix_add(lo->ir, at, ix[n->type->rank - 1]));
    return e ? e : lower_by_lane(lo, n, ix);
}

static void store_lanes(Lower *lo, const Ix *j, void *user)
{
    const Row *r = user;
    const Ix *ix[] = {r->f->t.b, r->t, r->f->t.h, j};
    lo->seed_scope = lo->scope;
    tile_store_columns(lo, r->f->b.dq.results, r->columns, ix);
    lo->seed_scope = NULL;
}

static void store_columns(Lower *lo, const Dim *columns, void *user)
{
    Row *r = user;
    int64_t n = dim_fixed(columns);
    r->columns = columns;
    LanesSpec spec = {.stem = "j",
                      .lo = ke_int(lo->k, 0),
                      .hi = ke_int(lo->k, n),
                      .extent = columns,
                      .whole = n % lo->k->width == 0};
    lower_lanes(lo, &spec, store_lanes, r);
}

void bwd_turns_results(Lower *lo, AttendBwd *f)
{
    Kernel *k = lo->k;
    const Attention *a = &f->b.a;
    const Dim *heads = dim_const(lo->ir, f->t.heads);
    const Dim *rows = dim_mul(lo->ir, dim_mul(lo->ir, a->b, heads), a->t);
    KPhase *phase = kernel_phase(k, "queries", rows, "gradients of a query per warp");
    scope_begin(lo, phase);
    team_begin(lo, phase, WARP);
    const KExpr *task = lower_task(lo), *n = ke_extent(k, a->t), *h = ke_int(k, f->t.heads);
    const KExpr *of = copy_let(lo, "of", ke_index(k, KI_DIV, task, n));
    Row r = {.f = f, .row = scope_var(lo, task, rows)};
    f->t.b = scope_var(lo, copy_let(lo, "b", ke_index(k, KI_DIV, of, h)), a->b);
    f->t.h = scope_var(lo, copy_let(lo, "h", ke_index(k, KI_MOD, of, h)), heads);
    r.t = scope_var(lo, copy_let(lo, "t", ke_index(k, KI_MOD, task, n)), a->t);
    const KExpr *turn = ke_load(k, f->turn, word_of(lo, f, lower_index(lo, r.t)));
    scope_if(lo, ke_test(k, "==", turn, ke_int(k, 0))); /* no block has added */
    const KExpr *width = ke_int(k, f->q.width);
    const KExpr *arg[] = {ke_addr(k, f->added, ke_mul(lo, task, width)), width};
    copy_call(lo, "mdl_attend_clear(%0, %1)", arg, 2);
    scope_end(lo);
    lo->kept = load_sum;
    lo->user = &r;
    tile_each_columns(lo, f->b.dq.results, store_columns, &r);
    lo->kept = NULL;
    lo->user = NULL;
    lo->team = 0;
    lo->rank = NULL;
}

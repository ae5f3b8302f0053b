/* gpu_attention_bwd_turns.c: five products instead of seven: blocks of keys add to the gradients of the queries in
 * memory, one after the other (as the deterministic backward of FlashAttention-3 does, Shah 2024).
 *
 * To a tile of queries the blocks add in rising order of their keys, from the first that sees any: a word for each
 * head and tile counts how many have had the turn, so which number a block has follows from the mask alone, and
 * sums have the same bits always. The first stores, so nothing need be cleared but the words. A thread that does nothing
 * else adds, by TMA from shared memory (mdl_bulk_add), so nobody who multiplies waits for a turn or for memory.
 *
 * Blocks take their work by tickets: of some heads side by side the tiles of keys in rising order. So who waits, waits
 * for blocks that have begun, whatever the hardware's order; and they go on, for the first of them waits for none.
 * A block begins at the last of its queries, where the one before it has begun earlier; and the longest blocks begin
 * first, if keys end at the query.
 *
 * Heads that share keys have blocks of their own, or a few long blocks would be left at the end: each leaves its sums of
 * the keys in the workspace, and a last phase adds them in the order of the heads.
 *
 * Which blocks add to a tile must be the same for all of them. So what keys a tile sees is found once, by the phase of
 * the shares, and blocks find their steps tile by tile, not query by query. */
#include "gpu_attention_bwd.h"

enum { SPAN_WORDS = 4, FIRST_TURN = 32 /* words; the first one counts tickets */ };
enum { BLOCKS_OF_HEAD = 8 /* that run together, about */ };

static int64_t query_tiles(Lower *lo, const AttendBwd *f)
{
    return larger(ceil_div(dim_hi(lo->ir, f->b.a.t), f->t.cols), 1);
}

void bwd_turns_workspace(Lower *lo, AttendBwd *f)
{
    const Attention *a = &f->b.a;
    const Dim *heads = dim_mul(lo->ir, a->b, dim_const(lo->ir, f->t.heads));
    const Dim *words = dim_mul(lo->ir, heads, dim_const(lo->ir, query_tiles(lo, f)));
    words = dim_add(lo->ir, words, dim_const(lo->ir, FIRST_TURN));
    int64_t tile = query_tiles(lo, f) * f->t.cols;
    f->added = kernel_workspace(lo->k, "added", DT_F32,
                                dim_mul(lo->ir, heads, dim_const(lo->ir, tile * f->q.width)));
    f->turn = kernel_workspace(lo->k, "turn", DT_I32, words);
    f->spans = kernel_workspace(lo->k, "spans", DT_I32,
                                dim_mul(lo->ir, words, dim_const(lo->ir, SPAN_WORDS)));
    if (f->t.group == 1)
        return;
    const Dim *keys = dim_mul(lo->ir, heads, a->s);
    f->part_d = kernel_workspace(lo->k, "part_d", DT_F32,
                                 dim_mul(lo->ir, keys, dim_const(lo->ir, f->q.width)));
    f->part_e = kernel_workspace(lo->k, "part_e", DT_F32,
                                 dim_mul(lo->ir, keys, dim_const(lo->ir, f->dy.width)));
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

/* The block of a ticket: its tile of keys; t.b, t.h and those of its head are set. */
static const KExpr *find_block(Lower *lo, AttendBwd *f, const KExpr *ticket, int64_t tiles)
{
    Kernel *k = lo->k;
    /* some heads side by side, so that few of their blocks begin together, and the tiles of those one after the other */
    const KExpr *heads = ke_mul(lo, ke_extent(k, f->b.a.b), ke_int(k, f->t.heads));
    const KExpr *beside = ke_int(k, larger(lo->target->cores / BLOCKS_OF_HEAD, 1));
    const KExpr *all = ke_mul(lo, beside, ke_int(k, tiles));
    const KExpr *from = copy_let(lo, "from", ke_mul(lo, ke_index(k, KI_DIV, ticket, all), beside));
    const KExpr *n = copy_let(lo, "beside", ke_min(lo, beside, ke_sub(lo, heads, from)));
    const KExpr *left = copy_let(lo, "left", ke_index(k, KI_MOD, ticket, all));
    const KExpr *tile = copy_let(lo, "tile", ke_index(k, KI_DIV, left, n));
    const KExpr *of = copy_let(lo, "of", ke_add(lo, from, ke_index(k, KI_MOD, left, n)));
    attend_head(lo, &f->t, of, false);
    f->one = f->t.g;
    return tile;
}

/* Without queries nobody has cleared the count, and there is nothing to wait for. `first`: the ticket is drawn. */
static const KExpr *ticket_of(Lower *lo, const AttendBwd *f, bool first)
{
    Kernel *k = lo->k;
    const KExpr *arg[] = {ke_addr(k, f->turn, ke_int(k, 0)),
                          ke_addr(k, f->t.tiles, ke_int(k, f->ticket)), ke_extent(k, f->b.a.t),
                          lower_task(lo)};
    const char *take =
        first ? "(int64_t)mdl_attend_ticket(%0, (int32_t *)%1)" : "(int64_t)*(const int32_t *)%1";
    const char *text =
        dim_lo(lo->ir, f->b.a.t) > 0 ? take : arena_printf(lo->arena, "(%%2 > 0 ? %s : %%3)", take);
    return copy_let(lo, "ticket", ke_text(k, KT_I64, text, arg, 4));
}

const KExpr *bwd_turns_begin(Lower *lo, AttendBwd *f, KPhase *phase, int64_t tiles)
{
    attend_open(lo, &f->t, phase);
    f->tiles = tiles;
    return find_block(lo, f, ticket_of(lo, f, true), tiles);
}

void bwd_turns_again(Lower *lo, AttendBwd *f)
{
    const KExpr *tile = find_block(lo, f, ticket_of(lo, f, false), f->tiles);
    f->held = copy_let(lo, "held", ke_mul(lo, tile, ke_int(lo->k, f->t.rows)));
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
    return ke_sub(lo, ke_index(k, KI_DIV, f->held, rows),
                  ke_index(k, KI_DIV, f->span.lo_min, rows));
}

const KExpr *bwd_turns_word(Lower *lo, const AttendBwd *f)
{
    return ke_addr(lo->k, f->turn, word_of(lo, f, f->t0));
}

/* Of the tiles of a head number one has the queries from t on. */
static const KExpr *tile_of(Lower *lo, const AttendBwd *f, const KExpr *t)
{
    Kernel *k = lo->k;
    const KExpr *at = ke_mul(lo, head_number(lo, f), ke_int(k, query_tiles(lo, f)));
    at = ke_add(lo, at, ke_index(k, KI_DIV, t, ke_int(k, f->t.cols)));
    return ke_mul(lo, at, ke_int(k, f->t.cols * f->q.width));
}

const KExpr *bwd_turns_sums(Lower *lo, const AttendBwd *f)
{
    return ke_addr(lo->k, f->added, tile_of(lo, f, f->t0));
}

void bwd_turns_put(Lower *lo, const AttendBwd *f, bool values, const char *shape)
{
    Kernel *k = lo->k;
    const KExpr *keys = ke_extent(k, f->b.a.s);
    const KExpr *row = ke_add(lo, ke_mul(lo, head_number(lo, f), keys), f->held);
    int64_t width = values ? f->dy.width : f->q.width;
    const KExpr *arg[] = {
        ke_addr(k, values ? f->part_e : f->part_d, ke_mul(lo, row, ke_int(k, width))),
        ke_addr(k, values ? f->sums_e : f->sums_d, ke_int(k, 0)), ke_sub(lo, keys, f->held)};
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_put(%%0, %%1, (int)(%%2), %s)", shape), arg,
              3);
}

/* ---- results ---- */

/* A row of sums: of queries, in eights of columns that lie a tile's lines apart; of keys, the parts of `parts` heads. */
typedef struct Row {
    const AttendBwd *f;
    const AttentionPart *part;
    const Ix *first, *line, *head; /* the row's first element; the query or key */
    const Dim *columns;
    uint32_t buf;
    int64_t width, parts;
} Row;

static const KExpr *load_part(Lower *lo, const Row *r, const Ix *column, int64_t number)
{
    const Dim *width = dim_const(lo->ir, r->width);
    const Ix *keys = ix_const(lo->ir, dim_mul(lo->ir, r->f->b.a.s, width));
    const Ix *at = ix_add(lo->ir, r->first, ix_mul(lo->ir, keys, dim_const(lo->ir, number)));
    return lower_load(lo, r->buf, ix_add(lo->ir, at, column));
}

static const KExpr *load_sum(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Row *r = lo->user;
    if (n != r->part->dot)
        return NULL;
    const Ix *column = ix[n->type->rank - 1];
    if (r->parts) {
        const KExpr *sum = load_part(lo, r, column, 0);
        for (int64_t i = 1; i < r->parts && sum; i++)
            sum = ke_apply(lo, sum->type, "(%0 + %1)", sum, load_part(lo, r, column, i));
        return sum ? sum : lower_by_lane(lo, n, ix);
    }
    const Dim *eight = dim_const(lo->ir, 8);
    const Ix *at =
        ix_mul(lo->ir, ix_div(lo->ir, column, eight), dim_const(lo->ir, r->f->t.cols * 8));
    at = ix_add(lo->ir, at, ix_mod(lo->ir, column, eight));
    const KExpr *e = lower_load(lo, r->buf, ix_add(lo->ir, r->first, at));
    uint32_t v = index_vector_var(lo, &column, 1);
    if (e && v != NO_VAR && !lo->var[v].lanes && index_aligned(lo, column, v))
        e = ke_aligned(lo->k, e); /* eights lie at multiples of eight */
    return e ? e : lower_by_lane(lo, n, ix);
}

static void store_lanes(Lower *lo, const Ix *j, void *user)
{
    const Row *r = user;
    const Ix *ix[] = {r->f->t.b, r->line, r->head, j};
    lo->seed_scope = lo->scope;
    tile_store_columns(lo, r->part->results, r->columns, ix);
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

static void store_row(Lower *lo, Row *r)
{
    lo->kept = load_sum;
    lo->user = r;
    tile_each_columns(lo, r->part->results, store_columns, r);
    lo->kept = NULL;
    lo->user = NULL;
}

/* A phase of a warp for each line of each head of each sample. */
typedef struct RowPhase {
    const char *name;
    int64_t heads;
    const Dim *lines;
} RowPhase;

/* The line; *head is its head's number. */
static const Ix *begin_rows(Lower *lo, AttendBwd *f, const RowPhase *p, const Ix **head)
{
    Kernel *k = lo->k;
    const Dim *all = dim_const(lo->ir, p->heads);
    const Dim *rows = dim_mul(lo->ir, dim_mul(lo->ir, f->b.a.b, all), p->lines);
    KPhase *phase = kernel_phase(k, p->name, rows, "gradients of a row per warp");
    scope_begin(lo, phase);
    team_begin(lo, phase, WARP);
    const KExpr *task = lower_task(lo), *n = ke_extent(k, p->lines), *h = ke_int(k, p->heads);
    const KExpr *of = copy_let(lo, "of", ke_index(k, KI_DIV, task, n));
    f->t.b = scope_var(lo, copy_let(lo, "b", ke_index(k, KI_DIV, of, h)), f->b.a.b);
    *head = scope_var(lo, copy_let(lo, "h", ke_index(k, KI_MOD, of, h)), all);
    return scope_var(lo, copy_let(lo, "t", ke_index(k, KI_MOD, task, n)), p->lines);
}

static void end_rows(Lower *lo)
{
    lo->team = 0;
    lo->rank = NULL;
}

static void query_results(Lower *lo, AttendBwd *f)
{
    Kernel *k = lo->k;
    Row r = {.f = f, .part = &f->b.dq, .buf = f->added};
    r.line = begin_rows(lo, f, &(RowPhase){"queries", f->t.heads, f->b.a.t}, &r.head);
    f->t.h = r.head;
    const KExpr *t = lower_index(lo, r.line);
    /* in eights, so that rows are known to begin at multiples */
    const KExpr *eight = ke_int(k, 8), *tile = ke_index(k, KI_DIV, tile_of(lo, f, t), eight);
    const KExpr *at = ke_add(lo, tile, ke_index(k, KI_MOD, t, ke_int(k, f->t.cols)));
    at = copy_let(lo, "first", at);
    r.first = scope_var(lo, at, k->bufs.at[f->added].count);
    r.first = ix_mul(lo->ir, r.first, dim_const(lo->ir, 8));
    const KExpr *turn = ke_load(k, f->turn, word_of(lo, f, t));
    scope_if(lo, ke_test(k, "==", turn, ke_int(k, 0))); /* no block has added */
    const KExpr *arg[] = {ke_addr(k, f->added, ke_mul(lo, at, eight)), ke_int(k, f->q.width)};
    copy_call(lo, "mdl_attend_clear(%0, %1)", arg, 2);
    scope_end(lo);
    store_row(lo, &r);
    end_rows(lo);
}

static void key_results(Lower *lo, AttendBwd *f)
{
    Kernel *k = lo->k;
    Row r[] = {{.f = f, .part = &f->b.dk, .buf = f->part_d, .width = f->q.width},
               {.f = f, .part = &f->b.dv, .buf = f->part_e, .width = f->dy.width}};
    const Ix *head, *line = begin_rows(lo, f, &(RowPhase){"shared", f->t.kv, f->b.a.s}, &head);
    f->t.h = ix_mul(lo->ir, head, f->b.a.g);
    const KExpr *row = ke_mul(lo, head_number(lo, f), ke_extent(k, f->b.a.s));
    row = copy_let(lo, "row", ke_add(lo, row, lower_index(lo, line)));
    for (size_t i = 0; i < COUNT(r); i++) {
        r[i].first = scope_var(lo, row, k->bufs.at[r[i].buf].count);
        r[i].first = ix_mul(lo->ir, r[i].first, dim_const(lo->ir, r[i].width));
        r[i].line = line;
        r[i].head = head;
        r[i].parts = f->t.group;
        store_row(lo, &r[i]);
    }
    end_rows(lo);
}

void bwd_turns_results(Lower *lo, AttendBwd *f)
{
    query_results(lo, f);
    if (f->t.group > 1)
        key_results(lo, f);
}

/* gpu_attention_group.c: attention on a GPU whose warpgroups multiply on their own (sm_90a; Shah et al. 2024,
 * FlashAttention-3, without its clusters).
 *
 * A block has 64 queries a warpgroup, and one warpgroup more whose warps fill two rings of shared memory, with
 * keys and with values, and take few registers. A group begins the products of a tile of queries and keys, then
 * those of the weights of the tile before with its values, and finds the new weights while the latter are on
 * their way; and groups take turns, so that one multiplies while another finds weights. Weights go from
 * accumulators to operands in registers. Everything else is as in gpu_attention.c, and so is the order of sums.
 *
 * Where there are many tiles, blocks stay. Either each takes a late tile of queries and an early one of the same head
 * in turn, which together see about as many keys as any other two; or tiles are dealt one by one, the longest of some
 * heads first, by tickets: a word of the workspace, which a phase of its own clears, counts those that were drawn. Who
 * fills draws the next one before it fills a tile, and tells the others which tile that is and which keys it sees. What
 * a tile is made of does not depend on who has it. What the next tile needs is on its way from the last scores of the
 * one before on. Results go from registers to memory where they are of 16 bits, else each warp's through its own part
 * of shared memory.
 *
 * Config: rows (64 a group), cols, stages of each ring; groups 1; blocks stay: 2 for pairs, 3 for tickets. */
#include "gpu_attend_group.h"
#include "gpu_attention.h"

typedef struct Group {
    AttendFwd *f;
    AttendGroups g;
    uint32_t weights, shrink; /* packed weights; by what rows shrink */
    /* Of blocks that stay, else NULL: tiles of keys, of queries, before. */
    const KExpr *done, *turn;
    const KExpr *of; /* head of the tile in work, among those of all samples */
    uint32_t taken;  /* the count of tickets */
} Group;

/* What is told of a tile of queries: its head and first query, the tiles of keys that are seen, and which of them are
 * cut. NONE in the place of a head: there are no more. */
enum { OF, FIRST, FROM, TO, LEFT, RIGHT, TOLD, NONE = -1 };

enum { KEYS, VALUES, COPY_REGISTERS = 72, BOX_REGISTERS = 56 };

/* ---- shape ---- */

static Group describe(Lower *lo, AttendFwd *f)
{
    Group w = {.f = f};
    AttendSide *sides[] = {&f->q, &f->k, &f->v};
    w.g.t = &f->t;
    w.g.side[KEYS] = &f->k;
    w.g.side[VALUES] = &f->v;
    w.g.computes = !f->q.async || !f->k.async || !f->v.async;
    w.g.bars = f->bars;
    groups_boxes(lo, &w.g, sides, COUNT(sides));
    w.g.few = w.g.boxes ? BOX_REGISTERS : COPY_REGISTERS;
    groups_rings(&w.g, groups_tile_bytes(&f->q, f->t.rows));
    return w;
}

/* Rows of results without gaps, where they go by way of shared memory: their groups of 8 columns are exchanged (mdl_groups_store). */
static bool can_stay(const Lower *lo, const AttendFwd *f, const AttendGroups *g, int64_t shared)
{
    int64_t width = f->v.width;
    return lower_config(lo, "groups") >= 2 && g->boxes &&
           (f->packed || (width & (width - 1)) == 0) && shared <= (int64_t)lo->target->l1;
}

/* Results of 16 bits go from registers to memory, 8 columns a lane (mdl_attend_put_packed). */
static bool can_pack(const AttendFwd *f)
{
    return dtype_is_half(f->a.y->type->dtype) && f->v.width % 32 == 0 && dim_fixed(f->a.e) % 8 == 0;
}

void attend_groups_shape(Lower *lo, AttendFwd *f)
{
    groups_widen(&f->v);
    Group w = describe(lo, f);
    int64_t float_bytes = (int64_t)sizeof(float), bars = groups_bar_bytes(&w.g);
    int64_t rings = groups_rings(&w.g, groups_tile_bytes(&f->q, f->t.rows));
    f->packed = can_pack(f);
    int64_t rows = rings + (f->packed ? 0 : f->t.rows * f->v.width * float_bytes);
    int64_t told = rows + bars, all = told + TOLD * (int64_t)sizeof(int64_t);
    f->t.threads = (w.g.groups + 1) * ATTEND_GROUP;
    f->stays = can_stay(lo, f, &w.g, all);
    f->drawn = lower_config(lo, "groups") == 3;
    f->rows = rings;
    f->told = told;
    f->bars =
        f->stays ? rows : larger(rings, f->t.rows * (f->v.width + lo->k->width) * float_bytes);
    f->t.shared = f->stays ? all : f->bars + bars;
}

/* The number of a tile of keys among all that the block sees. */
static const KExpr *number_of(Lower *lo, const Group *w, const KExpr *step)
{
    const KExpr *i = ke_sub(lo, step, w->f->from);
    return copy_let(lo, "i", w->done ? ke_add(lo, w->done, i) : i);
}

/* ---- those who fill ---- */

/* The tiles of one ring, or of both. */
static void fill_rings(Lower *lo, const Group *w, uint32_t ring, uint32_t n)
{
    Kernel *k = lo->k;
    const AttendFwd *f = w->f;
    const Attend t = groups_ring_fillers(lo, &w->g, ring);
    scope_loop(
        lo, &(LoopSpec){
                .stem = "step", .lo = f->from, .hi = f->to, .extent = dim_const(lo->ir, f->tiles)});
    const KExpr *step = lo->var[lo->nvar - 1].at;
    const KExpr *i = number_of(lo, w, step);
    const KExpr *first = copy_let(lo, "first", ke_mul(lo, step, ke_int(k, t.cols)));
    for (uint32_t r = ring; r < ring + n; r++)
        groups_fill(lo, &w->g, &t, r, i, first);
    scope_end(lo);
}

static void hold(Lower *lo, const Group *w)
{
    const AttendSide *held[] = {&w->f->q};
    groups_hold(lo, &w->g, held, 1, w->f->t0);
}

static void fill(Lower *lo, const Group *w)
{
    if (w->g.boxes) {
        groups_warp(lo, &w->g, 0);
        groups_thread(lo);
        fill_rings(lo, w, KEYS, 2);
        scope_end(lo);
        scope_end(lo);
        return;
    }
    hold(lo, w);
    for (uint32_t ring = KEYS; ring <= VALUES; ring++) {
        groups_half(lo, &w->g, ring);
        fill_rings(lo, w, ring, 1);
        scope_end(lo);
    }
}

/* ---- those who multiply ---- */

static void begin_scores(Lower *lo, const Group *w, const KExpr *i)
{
    const AttendFwd *f = w->f;
    groups_scores(lo, &w->g, f->s, ke_int(lo->k, 0), groups_stage(lo, &w->g, KEYS, i), &f->k);
}

static void begin_values(Lower *lo, const Group *w, const KExpr *i)
{
    const AttendFwd *f = w->f;
    groups_await(lo, &w->g, VALUES, i);
    groups_values(lo, &w->g, f->o, w->weights, groups_stage(lo, &w->g, VALUES, i), &f->v);
}

/* The queries are not read behind the last tile of keys: those of the next tile may come while its weights are found
 * and multiplied. */
static void spend_before(Lower *lo, const Group *w, const KExpr *next)
{
    scope_if(lo, ke_test(lo->k, ">=", next, w->f->to));
    groups_spend(lo, &w->g);
    scope_end(lo);
}

/* Products of the tile become weights, while those before are multiplied; then the next tile is waited for, which
 * also keeps the compiler from moving this behind the wait for the latter. */
static void find_weights(Lower *lo, const Group *w, const KExpr *step, const KExpr *i)
{
    Kernel *k = lo->k;
    AttendFwd *f = w->f;
    const KExpr *zero = ke_int(k, 0), *one = ke_int(k, 1);
    groups_settle(lo, f->s, f->t.cols);
    groups_release(lo, &w->g, KEYS, i);
    if (w->turn)
        spend_before(lo, w, ke_add(lo, step, one));
    f->u0 = copy_let(lo, "u0", ke_mul(lo, step, ke_int(k, f->t.cols)));
    fwd_scores(lo, f, fwd_cut(lo, f));
    const KExpr *arg[] = {ke_addr(k, f->s, zero), ke_addr(k, f->top, zero),
                          ke_addr(k, f->sum, zero), ke_addr(k, w->shrink, zero),
                          ke_num(k, KT_F32, fwd_unit(f))};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_weights(%%0, %%1, %%2, %%3, %%4, %lld)",
                           (long long)f->t.cols),
              arg, 5);
    groups_settle(lo, f->s, f->t.cols);
    scope_if(lo, ke_test(k, "<", ke_add(lo, step, one), f->to));
    groups_await(lo, &w->g, KEYS, ke_add(lo, i, one));
    scope_end(lo);
}

static void shrink_outputs(Lower *lo, const Group *w)
{
    Kernel *k = lo->k;
    const AttendFwd *f = w->f;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, f->o, zero), ke_addr(k, w->shrink, zero)};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_shrink(%%0, %%1, %lld)", (long long)f->v.width),
              arg, 2);
}

static void end_values(Lower *lo, const Group *w, const KExpr *i)
{
    groups_wait(lo, 0);
    groups_settle(lo, w->f->o, w->f->v.width);
    groups_release(lo, &w->g, VALUES, i);
}

static void begin_turn(Lower *lo, const Group *w, const KExpr *i)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_await_turn(%s, (int)%%0)", w->g.name), &i, 1);
}

static void end_turn(Lower *lo, const Group *w)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_pass_turn(%s)", w->g.name), NULL, 0);
}

static void first_tile(Lower *lo, const Group *w)
{
    const KExpr *i = number_of(lo, w, w->f->from);
    groups_await(lo, &w->g, KEYS, i);
    begin_turn(lo, w, i);
    begin_scores(lo, w, i);
    end_turn(lo, w);
    groups_wait(lo, 0);
    find_weights(lo, w, w->f->from, i);
    groups_pack(lo, &w->g, w->weights, w->f->s);
}

static void next_tiles(Lower *lo, const Group *w)
{
    Kernel *k = lo->k;
    const AttendFwd *f = w->f;
    const KExpr *one = ke_int(k, 1);
    scope_loop(lo, &(LoopSpec){.stem = "step",
                               .lo = ke_add(lo, f->from, one),
                               .hi = f->to,
                               .extent = dim_const(lo->ir, f->tiles)});
    const KExpr *step = lo->var[lo->nvar - 1].at;
    const KExpr *i = number_of(lo, w, step);
    const KExpr *before = copy_let(lo, "before", ke_sub(lo, i, one));
    begin_turn(lo, w, i);
    begin_scores(lo, w, i);
    begin_values(lo, w, before);
    end_turn(lo, w);
    groups_wait(lo, 1);
    find_weights(lo, w, step, i);
    end_values(lo, w, before);
    groups_pack(lo, &w->g, w->weights, f->s);
    shrink_outputs(lo, w);
    scope_end(lo);
}

/* All tiles of keys. */
static void walk(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    AttendFwd *f = w->f;
    fwd_begin(lo, f);
    attend_fill(lo, f->s, f->t.cols / 2, 0);
    w->weights = groups_weights(lo, &w->g);
    w->shrink = attend_sums(lo, "shrink", 4);
    scope_if(lo, ke_test(k, "<", f->from, f->to));
    first_tile(lo, w);
    next_tiles(lo, w);
    const KExpr *last = number_of(lo, w, ke_sub(lo, f->to, ke_int(k, 1)));
    begin_values(lo, w, last);
    end_values(lo, w, last);
    scope_end(lo);
}

static void multiply(Lower *lo, Group *w)
{
    AttendFwd *f = w->f;
    f->t.threads = w->g.groups * ATTEND_GROUP;
    attend_places(lo, &f->t);
    groups_await_held(lo, &w->g, ke_int(lo->k, 0));
    walk(lo, w);
    fwd_results(lo, f, groups_sync(lo, &w->g));
}

/* ---- the block ---- */

void attend_groups(Lower *lo, AttendFwd *f)
{
    Group w = describe(lo, f);
    groups_open(lo, &w.g);
    if (w.g.boxes) { /* while the bounds are found */
        groups_warp(lo, &w.g, 0);
        groups_thread(lo);
        hold(lo, &w);
        scope_end(lo);
        scope_end(lo);
    }
    fwd_bounds(lo, f);
    groups_begin(lo, &w.g, true);
    fill(lo, &w);
    scope_end(lo);
    groups_begin(lo, &w.g, false);
    multiply(lo, &w);
    scope_end(lo);
}

/* ---- blocks that stay ---- */

static const KExpr *told(Lower *lo, const Group *w, int64_t what)
{
    const KExpr *at = ke_addr(lo->k, w->f->t.tiles, ke_int(lo->k, w->f->told));
    return ke_apply(lo, KT_I64, arena_printf(lo->arena, "((int64_t *)%%0)[%lld]", (long long)what),
                    at, NULL);
}

/* The number of tiles of queries of a head, in this run. */
static const KExpr *tiles_of(Lower *lo, const AttendFwd *f)
{
    Kernel *k = lo->k;
    const KExpr *up = ke_add(lo, ke_extent(k, f->a.t), ke_int(k, f->t.rows - 1));
    return ke_index(k, KI_DIV, up, ke_int(k, f->t.rows));
}

static int64_t most_tiles(Lower *lo, const AttendFwd *f)
{
    return larger(ceil_div(dim_hi(lo->ir, f->a.t), f->t.rows), 1);
}

/* Tiles of all heads of all samples, at most. */
static const Dim *all_tiles(Lower *lo, const AttendFwd *f)
{
    return dim_mul(lo->ir, f->a.b, dim_const(lo->ir, f->t.heads * most_tiles(lo, f)));
}

static const Dim *all_pairs(Lower *lo, const AttendFwd *f)
{
    int64_t half = ceil_div(most_tiles(lo, f), 2);
    return dim_mul(lo->ir, f->a.b, dim_const(lo->ir, f->t.heads * half));
}

static void begin_block(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    w->done = ks_var(k, lo->scope->block, "done", ke_int(k, 0));
    w->turn = ks_var(k, lo->scope->block, "turn", ke_int(k, 0));
}

static void count_steps(Lower *lo, const Group *w)
{
    Kernel *k = lo->k;
    const KExpr *steps = ke_index(k, KI_MAX, ke_sub(lo, w->f->to, w->f->from), ke_int(k, 0));
    ks_set(k, lo->scope->block, w->done, ke_add(lo, w->done, steps));
}

static void stop_at(Lower *lo, const KExpr *i, const char *op, const KExpr *n)
{
    const KExpr *end = ke_test(lo->k, op, i, n);
    copy_call(lo, "if (%0) break", &end, 1);
}

static void tell(Lower *lo, const Group *w, int64_t what, const KExpr *value)
{
    const KExpr *arg[] = {told(lo, w, what), value};
    copy_call(lo, "%0 = %1", arg, 2);
}

/* By a warp, while other tiles are in work. */
static void fill_tile(Lower *lo, Group *w)
{
    AttendFwd *f = w->f;
    fwd_bounds(lo, f);
    groups_thread(lo);
    groups_await_spent(lo, &w->g, w->turn);
    const KExpr *value[] = {w->of, f->t0, f->from, f->to, f->span.lo_max, f->span.hi_min};
    for (int64_t i = 0; i < TOLD; i++)
        tell(lo, w, i, value[i]);
    hold(lo, w);
    fill_rings(lo, w, KEYS, 2);
    scope_end(lo);
    count_steps(lo, w);
    ks_set(lo->k, lo->scope->block, w->turn, ke_add(lo, w->turn, ke_int(lo->k, 1)));
}

/* Pairs of a late and an early tile, all of which have about as many keys. */
static void fill_pairs(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    AttendFwd *f = w->f;
    int64_t tiles = most_tiles(lo, f), half = ceil_div(tiles, 2);
    const Dim *pairs = all_pairs(lo, f);
    const KExpr *block = copy_let(lo, "block", ke_text(k, KT_I64, "mdl_block()", NULL, 0));
    const KExpr *blocks = copy_let(lo, "blocks", ke_text(k, KT_I64, "mdl_blocks()", NULL, 0));
    begin_block(lo, w);
    const KExpr *up =
        ke_add(lo, ke_sub(lo, ke_extent(k, pairs), block), ke_sub(lo, blocks, ke_int(k, 1)));
    const KExpr *two = ke_int(k, 2), *last = ke_int(k, tiles - 1);
    scope_loop(lo, &(LoopSpec){.stem = "at",
                               .lo = ke_int(k, 0),
                               .hi = ke_mul(lo, ke_index(k, KI_DIV, up, blocks), two),
                               .extent = dim_mul(lo->ir, pairs, dim_const(lo->ir, 2)),
                               .rolled = true});
    const KExpr *at = lo->var[lo->nvar - 1].at;
    const KExpr *pair = ke_add(lo, block, ke_mul(lo, ke_index(k, KI_DIV, at, two), blocks));
    pair = copy_let(lo, "pair", pair);
    w->of = copy_let(lo, "of", ke_index(k, KI_DIV, pair, ke_int(k, half)));
    const KExpr *early = copy_let(lo, "early", ke_index(k, KI_MOD, pair, ke_int(k, half)));
    const KExpr *late = copy_let(lo, "late", ke_sub(lo, last, early));
    const KExpr *second = copy_let(lo, "second", ke_index(k, KI_MOD, at, two));
    const KExpr *pick[] = {second, early, late};
    const KExpr *tile = ke_text(k, KT_I64, "(%0 ? %1 : %2)", pick, 3);
    f->t0 = copy_let(lo, "t0", ke_mul(lo, tile, ke_int(k, f->t.rows)));
    const KExpr *twice =
        ke_test(k, "&&", ke_test(k, "==", early, late), ke_test(k, "==", second, ke_int(k, 1)));
    const KExpr *inside = ke_test(k, "<", f->t0, ke_extent(k, f->a.t));
    scope_if(lo, ke_test(k, "&&", inside, ke_apply(lo, KT_BOOL, "!%0", twice, NULL)));
    attend_head(lo, &f->t, w->of, false);
    fill_tile(lo, w);
    scope_end(lo);
    scope_end(lo);
}

/* Heads that share keys whose keys and values fill half of the L2, at most: those of a section are at work together. */
static const KExpr *beside(Lower *lo, const AttendFwd *f)
{
    Kernel *k = lo->k;
    int64_t row = (dim_fixed(f->a.d) + dim_fixed(f->a.e)) * dtype_info(f->t.operand)->bytes;
    const KExpr *one = ke_int(k, 1), *keys = ke_index(k, KI_MAX, ke_extent(k, f->a.s), one);
    const KExpr *n = ke_index(k, KI_DIV, ke_int(k, (int64_t)lo->target->l2 / 2 / row), keys);
    return ke_index(k, KI_MAX, n, one);
}

/* One by one, the longest of a section of heads first, to whoever is ready (mdl_attend_place_of). The next ticket is
 * drawn before a tile is filled, so nobody waits for it. */
static void fill_drawn(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    AttendFwd *f = w->f;
    const KExpr *block = ke_text(k, KT_I64, "mdl_block()", NULL, 0);
    const KExpr *blocks = copy_let(lo, "blocks", ke_text(k, KT_I64, "mdl_blocks()", NULL, 0));
    const KExpr *tiles = copy_let(lo, "tiles_of", tiles_of(lo, f));
    const KExpr *units = ke_mul(lo, ke_extent(k, f->a.b), ke_int(k, f->t.kv));
    const KExpr *heads = ke_mul(lo, ke_extent(k, f->a.b), ke_int(k, f->t.heads));
    const KExpr *all = copy_let(lo, "all", ke_mul(lo, heads, tiles));
    const KExpr *ticket = ks_var(k, lo->scope->block, "ticket", block);
    begin_block(lo, w);
    scope_loop(lo, &(LoopSpec){.stem = "at",
                               .lo = ke_int(k, 0),
                               .hi = all,
                               .extent = all_tiles(lo, f),
                               .rolled = true});
    stop_at(lo, ticket, ">=", all);
    const KExpr *word = ke_addr(k, w->taken, ke_int(k, 0));
    const KExpr *next = copy_let(lo, "next", ke_text(k, KT_I32, "mdl_attend_draw(%0)", &word, 1));
    const KExpr *arg[] = {ticket, units, beside(lo, f), ke_int(k, f->t.group), tiles};
    const KExpr *place = ke_text(
        k, KT_I64,
        "(int64_t)mdl_attend_place_of((int)(%0), (int)(%1), (int)(%2), (int)(%3), (int)(%4))", arg,
        COUNT(arg));
    place = copy_let(lo, "place", place);
    w->of = copy_let(lo, "of", ke_index(k, KI_DIV, place, tiles));
    const KExpr *tile = ke_index(k, KI_MOD, place, tiles);
    f->t0 = copy_let(lo, "t0", ke_mul(lo, tile, ke_int(k, f->t.rows)));
    attend_head(lo, &f->t, w->of, false);
    fill_tile(lo, w);
    const KExpr *drawn = ke_text(k, KT_I64, "(int64_t)mdl_shfl_i32(%0, 0)", &next, 1);
    ks_set(k, lo->scope->block, ticket, ke_add(lo, blocks, drawn));
    scope_end(lo);
}

static void fill_tiles(Lower *lo, Group *w)
{
    if (w->f->drawn)
        fill_drawn(lo, w);
    else
        fill_pairs(lo, w);
    groups_thread(lo);
    groups_await_spent(lo, &w->g, w->turn);
    tell(lo, w, OF, ke_int(lo->k, NONE));
    copy_call(lo, arena_printf(lo->arena, "mdl_mbar_arrive(%s.held)", w->g.name), NULL, 0);
    scope_end(lo);
}

/* Each warp's rows by way of its own part of shared memory. */
static void store_rows(Lower *lo, const Group *w)
{
    Kernel *k = lo->k;
    const AttendFwd *f = w->f;
    int64_t groups = f->v.width / 8, per = ceil_div(dim_fixed(f->a.e), k->width);
    const KExpr *first = ke_mul(lo, ke_text(k, KT_I64, "mdl_warp()", NULL, 0), ke_int(k, 16));
    first = copy_let(lo, "first", first);
    const KExpr *own = ke_mul(lo, first, ke_int(k, f->v.width));
    own = copy_let(lo, "own", ke_add(lo, own, ke_int(k, f->rows / (int64_t)sizeof(float))));
    const KExpr *lay[] = {ke_addr(k, f->t.floats, own), ke_addr(k, f->o, ke_int(k, 0)),
                          ke_int(k, groups)};
    copy_call(lo, "mdl_syncwarp()", NULL, 0);
    copy_call(lo, "mdl_groups_store(%0, %1, %2)", lay, 3);
    copy_call(lo, "mdl_syncwarp()", NULL, 0);
    const KExpr *row, *column;
    ShareSpec share = {copy_let(lo, "lane", ke_text(k, KT_I64, "mdl_lane()", NULL, 0)), 32,
                       16 * per, true};
    share_open_rows(lo, &share, per, &row, &column);
    const KExpr *place[] = {row, column, ke_int(k, groups)};
    const KExpr *in = ke_text(k, KT_I64, "mdl_group_place((int)%0, (int)%1, %2)", place, 3);
    fwd_store(lo, f, ke_add(lo, first, row), ke_mul(lo, column, ke_int(k, k->width)),
              ke_add(lo, own, in));
    share_close(lo);
}

/* Each warp's rows as they are in registers: results are the outputs, rounded. */
static void put_packed(Lower *lo, const Group *w)
{
    Kernel *k = lo->k;
    const AttendFwd *f = w->f;
    const Attention *a = &f->a;
    const char *type = dtype_info(a->y->type->dtype)->name;
    const KExpr *zero = ke_int(k, 0), *width = ke_int(k, f->v.width);
    uint32_t packed = ks_local(k, lo->scope->block, "packed", KT_I32, f->v.width / 4);
    const KExpr *pack[] = {ke_addr(k, packed, zero), ke_addr(k, f->o, zero), width};
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_pack_%s((uint32_t *)%%0, %%1, %%2)", type),
              pack, 3);
    const KExpr *first = ke_mul(lo, ke_text(k, KT_I64, "mdl_warp()", NULL, 0), ke_int(k, 16));
    first = copy_let(lo, "first", ke_add(lo, f->t0, first));
    const Ix *t = scope_var(lo, first, a->t), *zeros = ix_const(lo->ir, dim_const(lo->ir, 0));
    const Ix *ix[] = {f->t.b, t, f->t.h, zeros};
    const Type *y = a->y->type;
    const KExpr *pitch = ke_extent(k, dim_mul(lo->ir, y->dims[2], y->dims[3]));
    const KExpr *arg[] = {
        ke_addr(k, lo->out[a->y_at], lower_index(lo, ix_flatten(lo->ir, y->dims, ix, y->rank))),
        pitch, ke_addr(k, packed, zero), ke_sub(lo, ke_extent(k, a->t), first),
        ke_int(k, dim_fixed(a->e))};
    const char *shape = groups_shape(lo, &w->g, &f->v);
    copy_call(lo,
              arena_printf(lo->arena,
                           "mdl_attend_put_packed(%%0, %%1, (uint32_t *)%%2, (int)mdl_lo(%%3, 16), "
                           "%%4, %s)",
                           shape),
              arg, COUNT(arg));
}

/* What is told says when there are no more. */
static void multiply_tiles(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    AttendFwd *f = w->f;
    const Dim *all = all_tiles(lo, f);
    w->done = ks_var(k, lo->scope->block, "done", ke_int(k, 0));
    scope_loop(lo, &(LoopSpec){.stem = "at",
                               .lo = ke_int(k, 0),
                               .hi = ke_extent(k, all),
                               .extent = all,
                               .rolled = true});
    w->turn = lo->var[lo->nvar - 1].at;
    groups_await_held(lo, &w->g, w->turn);
    const KExpr *of = copy_let(lo, "of", told(lo, w, OF));
    stop_at(lo, of, "<", ke_int(k, 0));
    f->t0 = copy_let(lo, "t0", told(lo, w, FIRST));
    f->from = copy_let(lo, "from", told(lo, w, FROM));
    f->to = copy_let(lo, "to", told(lo, w, TO));
    f->span.lo_max = copy_let(lo, "lo_max", told(lo, w, LEFT));
    f->span.hi_min = copy_let(lo, "hi_min", told(lo, w, RIGHT));
    attend_head(lo, &f->t, of, false);
    walk(lo, w);
    spend_before(lo, w, f->from); /* if it sees no keys */
    fwd_finish(lo, f);
    if (f->packed)
        put_packed(lo, w);
    else
        store_rows(lo, w);
    count_steps(lo, w);
    scope_end(lo);
}

/* Nobody has drawn yet. */
static void clear_taken(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    const Dim *one = dim_const(lo->ir, 1);
    w->taken = kernel_workspace(k, "taken", DT_I32, one);
    scope_begin(lo, kernel_phase(k, "none", one, "no tile is taken"));
    ks_store(k, lo->scope->block, w->taken, ke_int(k, 0), ke_num(k, KT_I32, 0));
}

void attend_groups_stay(Lower *lo, AttendFwd *f)
{
    Kernel *k = lo->k;
    Group w = describe(lo, f);
    if (f->drawn)
        clear_taken(lo, &w);
    const Dim *tasks = f->drawn ? all_tiles(lo, f) : all_pairs(lo, f);
    KPhase *phase = kernel_phase(k, "", tasks, "tiles of queries, one after the other");
    attend_open(lo, &f->t, phase);
    phase->stays = true;
    groups_open(lo, &w.g);
    groups_begin(lo, &w.g, true);
    groups_warp(lo, &w.g, 0);
    fill_tiles(lo, &w);
    scope_end(lo);
    scope_end(lo);
    groups_begin(lo, &w.g, false);
    attend_places(lo, &f->t);
    multiply_tiles(lo, &w);
    scope_end(lo);
}

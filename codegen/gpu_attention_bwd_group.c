/* gpu_attention_bwd_group.c: the gradients of attention on a GPU whose warpgroups multiply on their own (sm_90a): the
 * phases of gpu_attention_bwd.c, which tells the idea, with 64 rows a group and a last group that fills rings
 * (gpu_attend_group.h).
 *
 * A step is two products, weights and their gradients from both, and one or two products with these; while
 * one group is at the weights, another multiplies. Which queries a block of keys sees is found before the groups
 * part, and for each step by those who fill, who have time: they tell whether the step is seen and whether it is
 * cut.
 *
 * By turns there are five products: the gradients of weights lie in shared memory too, from where their products with
 * the keys are added to the gradients of the queries. A warp of those who fill waits for the turn and passes it on.
 *
 * Config: rows (64 a group), cols, stages of each ring; groups 1, or 2: by turns. */
#include "gpu_attend_group.h"
#include "gpu_attention_bwd.h"

enum { UNSEEN, WHOLE, CUT, MOST_WARPS = 32, COPY_REGISTERS = 56, BOX_REGISTERS = 40 };
/* What is told of a tile of queries, as ints: one of those above, the head, the first query; by turns also the sample,
 * for which there is no register. */
enum { STATE, HEAD, FIRST, SAMPLE, TOLD };

typedef struct Group {
    AttendBwd *f;
    AttendGroups g;
    int64_t second;       /* the second side of what is held: its first byte */
    int64_t ranges, told; /* steps by head; of each stage: their first bytes */
    int64_t room;         /* where warps join what they found */
    int64_t pairs;        /* of each stage: what its queries have, bwd_pair */
    /* By turns: two tiles of gradients of weights, sums of queries; its barriers. */
    int64_t laid, sums, bars;
    const KExpr *done; /* VAR: tiles of the heads before */
} Group;

/* ---- shape ---- */

/* Lines of keys, as wide as a step has queries. */
static int64_t laid_bytes(const AttendBwd *f)
{
    return f->t.rows * f->t.cols * 2;
}

static int64_t told_words(const AttendBwd *f)
{
    return f->turns ? TOLD : SAMPLE;
}

/* Sums of a step's queries, from where they are added to others. */
static int64_t sums_bytes(const AttendBwd *f)
{
    return f->t.cols * f->q.width * (int64_t)sizeof(float);
}

static Group describe(Lower *lo, AttendBwd *f)
{
    Group w = {.f = f};
    w.g.t = &f->t;
    w.g.side[0] = bwd_step(f, false);
    w.g.side[1] = bwd_step(f, true);
    AttendSide *sides[] = {&f->q, &f->k, &f->v, &f->dy};
    groups_boxes(lo, &w.g, sides, COUNT(sides));
    w.g.few = w.g.boxes ? BOX_REGISTERS : COPY_REGISTERS;
    w.g.computes = !f->q.async || !f->k.async || !f->v.async || !f->dy.async;
    w.second = groups_tile_bytes(bwd_held(f, false), f->t.rows);
    int64_t held = w.second + groups_tile_bytes(bwd_held(f, true), f->t.rows);
    w.laid = held;
    w.sums = held + 2 * laid_bytes(f);
    held = f->turns ? w.sums + sums_bytes(f) : held;
    w.g.bars = larger(groups_rings(&w.g, held), bwd_rows_bytes(lo, f));
    w.ranges = w.g.bars + groups_bar_bytes(&w.g);
    w.room = w.ranges + (f->t.group * 2 + 1) * (int64_t)sizeof(int64_t);
    w.told = w.room + MOST_WARPS * (int64_t)sizeof(int64_t);
    w.pairs = round_up(w.told + f->t.stages * told_words(f) * (int64_t)sizeof(int32_t), 16);
    w.bars = w.pairs + f->t.stages * f->t.cols * 2 * (int64_t)sizeof(float);
    f->ticket = w.bars + 2 * (int64_t)sizeof(uint64_t);
    f->t.shared = f->turns ? f->ticket + (int64_t)sizeof(uint64_t) : w.bars;
    f->t.threads = (w.g.groups + 1) * ATTEND_GROUP;
    f->sync = groups_sync(lo, &w.g);
    return w;
}

/* ---- words in shared memory ---- */

static const KExpr *range_word(Lower *lo, const Group *w, const KExpr *at)
{
    Kernel *k = lo->k;
    const KExpr *arg[] = {ke_addr(k, w->f->t.tiles, ke_int(k, w->ranges)), at};
    return ke_text(k, KT_I64, "((int64_t *)%0)[%1]", arg, 2);
}

/* The first step, the last one's successor, of the head in work. */
static const KExpr *range_end(Lower *lo, const Group *w, int64_t end)
{
    const KExpr *at = ke_mul(lo, lower_index(lo, w->f->t.g), ke_int(lo->k, 2));
    return range_word(lo, w, ke_add(lo, at, ke_int(lo->k, end)));
}

/* Steps of all heads. */
static const KExpr *steps_in_all(Lower *lo, const Group *w)
{
    return range_word(lo, w, ke_int(lo->k, 2 * w->f->t.group));
}

static const KExpr *told(Lower *lo, const Group *w, const KExpr *i, int64_t what)
{
    Kernel *k = lo->k;
    const KExpr *stage = ke_index(k, KI_MOD, i, ke_int(k, w->f->t.stages));
    const KExpr *at = ke_mul(lo, stage, ke_int(k, told_words(w->f)));
    at = ke_add(lo, at, ke_int(k, what));
    const KExpr *arg[] = {ke_addr(k, w->f->t.tiles, ke_int(k, w->told)), at};
    return ke_text(k, KT_I32, "((int32_t *)%0)[%1]", arg, 2);
}

/* The first element of what a step's queries have: of each the first, then of each the second. */
static const KExpr *pairs_of(Lower *lo, const Group *w, const KExpr *i)
{
    Kernel *k = lo->k;
    const KExpr *stage = ke_index(k, KI_MOD, i, ke_int(k, w->f->t.stages));
    const KExpr *at = ke_mul(lo, stage, ke_int(k, w->f->t.cols * 2));
    return copy_let(lo, "pairs", ke_add(lo, ke_int(k, w->pairs / (int64_t)sizeof(float)), at));
}

static void write(Lower *lo, const KExpr *place, const KExpr *value)
{
    const KExpr *arg[] = {place, value};
    copy_call(lo, place->type == KT_I32 ? "%0 = (int32_t)(%1)" : "%0 = %1", arg, 2);
}

/* ---- steps ---- */

/* Of each head, by all threads. */
static void find_ranges(Lower *lo, const Group *w)
{
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    const KExpr *all = ks_var(k, lo->scope->block, "all", ke_int(k, 0));
    bwd_each_head(lo, f);
    if (f->turns)
        bwd_turns_steps(lo, f, w->room);
    else
        bwd_query_steps(lo, f, w->room);
    f->to = copy_let(lo, "end", ke_index(k, KI_MAX, f->from, f->to));
    ks_set(k, lo->scope->block, all, ke_add(lo, all, ke_sub(lo, f->to, f->from)));
    scope_if(lo, ke_test(k, "==", f->t.thread, ke_int(k, 0)));
    write(lo, range_end(lo, w, 0), f->from);
    write(lo, range_end(lo, w, 1), f->to);
    scope_end(lo);
    scope_end(lo);
    scope_if(lo, ke_test(k, "==", f->t.thread, ke_int(k, 0)));
    write(lo, steps_in_all(lo, w), all); /* those who multiply have no register for it */
    scope_end(lo);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
}

/* The range of the head in work. */
static void read_range(Lower *lo, Group *w)
{
    w->f->from = copy_let(lo, "from", range_end(lo, w, 0));
    w->f->to = copy_let(lo, "to", range_end(lo, w, 1));
}

/* Opens the loop over steps: the number of the tile. */
static const KExpr *open_steps(Lower *lo, const Group *w, const KExpr **step)
{
    AttendBwd *f = w->f;
    scope_loop(lo, &(LoopSpec){.stem = "step",
                               .lo = f->from,
                               .hi = f->to,
                               .extent = dim_const(lo->ir, bwd_most_steps(lo, f))});
    *step = lo->var[lo->nvar - 1].at;
    const KExpr *i = ke_sub(lo, *step, f->from), *last = ke_sub(lo, f->to, ke_int(lo->k, 1));
    if (f->turns) /* from the last queries on */
        *step = copy_let(lo, "at", ke_sub(lo, last, i));
    return copy_let(lo, "i", w->done ? ke_add(lo, w->done, i) : i);
}

/* Opens the loop over heads that share the keys, and closes it. */
static void open_heads(Lower *lo, Group *w)
{
    w->done = ks_var(lo->k, lo->scope->block, "done", ke_int(lo->k, 0));
    bwd_each_head(lo, w->f);
    read_range(lo, w);
}

static void close_heads(Lower *lo, Group *w)
{
    const KExpr *steps = ke_sub(lo, w->f->to, w->f->from);
    ks_set(lo->k, lo->scope->block, w->done, ke_add(lo, w->done, steps));
    scope_end(lo);
    w->done = NULL;
}

/* ---- those who fill ---- */

/* Pairs of the queries of a step, for which each lane has some: found before the stage is awaited, stored behind. The
 * lane's number is asked for here: a register that held it from the block's beginning on would be one too many. */
static void tell_pairs(Lower *lo, const Group *w, const KExpr *i)
{
    enum { MOST_EACH = 2 };
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    const Dim *t = f->b.a.t;
    int64_t each = f->t.cols / WARP;
    const KExpr *pair[MOST_EACH][2],
        *lane = copy_let(lo, "lane", ke_text(k, KT_I64, "mdl_lane_again()", NULL, 0));
    ASSERT(each <= MOST_EACH);
    for (int64_t n = 0; n < each; n++) {
        const KExpr *at = ke_add(lo, ke_add(lo, f->t0, lane), ke_int(k, n * WARP));
        at = copy_let(lo, "t", ke_min(lo, at, ke_sub(lo, ke_extent(k, t), ke_int(k, 1))));
        bwd_pair(lo, f, scope_var(lo, at, t), pair[n]);
    }
    groups_await_free(lo, &w->g, 0, i);
    const KExpr *first = ke_add(lo, pairs_of(lo, w, i), lane);
    for (int64_t n = 0; n < each; n++)
        for (int64_t which = 0; which < 2; which++)
            if (pair[n][which])
                ks_store(k, lo->scope->block, f->t.floats,
                         ke_add(lo, first, ke_int(k, which * f->t.cols + n * WARP)),
                         pair[n][which]);
}

/* Whether the queries of a step see keys of the block, and all of them: for those who multiply. By a warp. */
static void tell(Lower *lo, const Group *w, const KExpr *i)
{
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    int64_t rows = f->t.rows;
    f->u0 = f->held;
    bwd_span(lo, f, f->t0, f->t.cols);
    const KExpr *arg[] = {bwd_seen(lo, f, rows), bwd_cut(lo, f, f->t.cols, rows)};
    const char *text = arena_printf(lo->arena, "(%%0 ? %%1 ? %d : %d : %d)", CUT, WHOLE, UNSEEN);
    const KExpr *state = copy_let(lo, "state", ke_text(k, KT_I32, text, arg, 2));
    tell_pairs(lo, w, i);
    groups_thread(lo);
    write(lo, told(lo, w, i, STATE), state);
    write(lo, told(lo, w, i, HEAD), lower_index(lo, f->t.h));
    write(lo, told(lo, w, i, FIRST), f->t0);
    if (f->turns)
        write(lo, told(lo, w, i, SAMPLE), lower_index(lo, f->t.b));
    scope_end(lo);
    copy_call(lo, "mdl_syncwarp()", NULL, 0); /* then one of them says that the stage is full */
}

/* The steps of one ring, or of both. The first of its warps tells what they are. */
static void fill_steps(Lower *lo, Group *w, uint32_t ring, uint32_t n)
{
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    Attend t = groups_ring_fillers(lo, &w->g, ring);
    const KExpr *step, *i = open_steps(lo, w, &step);
    f->t0 = copy_let(lo, "first", ke_mul(lo, step, ke_int(k, t.cols)));
    if (w->done && ring == 0) {
        if (!w->g.boxes)
            groups_warp(lo, &w->g, 0);
        tell(lo, w, i);
        if (!w->g.boxes)
            scope_end(lo);
    }
    t.g = f->t.g;
    t.h = f->t.h;
    if (w->g.boxes)
        groups_thread(lo);
    for (uint32_t r = ring; r < ring + n; r++)
        groups_fill(lo, &w->g, &t, r, i, f->t0);
    if (w->g.boxes)
        scope_end(lo);
    scope_end(lo);
}

static void fill_rings(Lower *lo, Group *w, uint32_t ring, uint32_t n)
{
    bool heads = w->f->dk || w->f->dv;
    if (heads)
        open_heads(lo, w);
    fill_steps(lo, w, ring, n);
    if (heads)
        close_heads(lo, w);
}

static void hold(Lower *lo, const Group *w)
{
    const AttendSide *held[] = {bwd_held(w->f, false), bwd_held(w->f, true)};
    groups_hold(lo, &w->g, held, COUNT(held), w->f->held);
}

/* Begins to bring what is held, while steps are found. */
static void hold_early(Lower *lo, const Group *w)
{
    if (!w->g.boxes)
        return;
    groups_warp(lo, &w->g, 0);
    groups_thread(lo);
    hold(lo, w);
    scope_end(lo);
    scope_end(lo);
}

/* ---- turns ---- */

/* A call that takes one of the two barriers of turns: its number. */
static void turn_call(Lower *lo, const Group *w, const char *call, int64_t number, const KExpr *i)
{
    Kernel *k = lo->k;
    const KExpr *at = ke_int(k, w->bars + number * (int64_t)sizeof(uint64_t));
    const KExpr *arg[] = {ke_addr(k, w->f->t.tiles, at), i};
    copy_call(lo, call, arg, i ? 2 : 1);
}

/* Sums to memory, and the turn to the next block; the room for sums is free as soon as they are read. */
static void add_sums(Lower *lo, const Group *w, const KExpr *seen, const KExpr *first)
{
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    const char *size = arena_printf(lo->arena, "%lld)", (long long)sums_bytes(f));
    const KExpr *word = bwd_turns_word(lo, f);
    const KExpr *arg[] = {bwd_turns_sums(lo, f), ke_addr(k, f->t.tiles, ke_int(k, w->sums))};
    scope_if(lo, seen);
    scope_if(lo, first);
    copy_call(lo, arena_printf(lo->arena, "mdl_bulk_store(%%0, %%1, %s", size), arg, 2);
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", first, NULL));
    copy_call(lo, arena_printf(lo->arena, "mdl_bulk_add(%%0, %%1, %s", size), arg, 2);
    scope_end(lo);
    copy_call(lo, "mdl_tma_commit()", NULL, 0);
    copy_call(lo, "mdl_tma_wait(0)", NULL, 0);
    scope_end(lo);
    turn_call(lo, w, "mdl_mbar_arrive((uint64_t *)%0)", 0, NULL);
    scope_if(lo, seen);
    copy_call(lo, "mdl_bulk_wait(0)", NULL, 0);
    copy_call(lo, "mdl_turn_pass(%0)", &word, 1);
    scope_end(lo);
}

/* For each step, by a thread that does nothing else: waits for the turn and for sums, adds them, and passes it on. */
static void take_turns(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    groups_warp(lo, &w->g, 1);
    groups_thread(lo);
    open_heads(lo, w);
    const KExpr *step, *i = open_steps(lo, w, &step);
    f->u0 = f->held;
    f->t0 = copy_let(lo, "first", ke_mul(lo, step, ke_int(k, f->t.cols)));
    bwd_span(lo, f, f->t0, f->t.cols);
    const KExpr *seen = copy_let(lo, "seen", bwd_seen(lo, f, f->t.rows));
    const KExpr *order = copy_let(lo, "order", bwd_turns_order(lo, f));
    const KExpr *arg[] = {bwd_turns_word(lo, f), order};
    scope_if(lo, seen);
    copy_call(lo, "mdl_turn_await(%0, (int32_t)(%1))", arg, 2);
    scope_end(lo);
    turn_call(lo, w, "mdl_mbar_wait((uint64_t *)%0, (int)%1 & 1)", 1, i);
    add_sums(lo, w, seen, copy_let(lo, "one", ke_test(k, "==", order, ke_int(k, 0))));
    scope_end(lo);
    close_heads(lo, w);
    scope_end(lo);
    scope_end(lo);
}

static void fill(Lower *lo, Group *w)
{
    if (w->g.boxes) {
        groups_warp(lo, &w->g, 0);
        fill_rings(lo, w, 0, 2);
        scope_end(lo);
        if (w->f->turns)
            take_turns(lo, w);
        return;
    }
    hold(lo, w);
    for (uint32_t ring = 0; ring < 2; ring++) {
        groups_half(lo, &w->g, ring);
        fill_rings(lo, w, ring, 1);
        scope_end(lo);
    }
}

/* ---- those who multiply ---- */

static void begin_products(Lower *lo, const Group *w, const KExpr *first, const KExpr *second)
{
    AttendBwd *f = w->f;
    f->s = attend_sums(lo, "p", f->t.cols);
    groups_scores(lo, &w->g, f->s, ke_int(lo->k, 0), first, w->g.side[0]);
    if (bwd_needs_grads(f)) {
        f->ds = attend_sums(lo, "ds", f->t.cols);
        groups_scores(lo, &w->g, f->ds, ke_int(lo->k, w->second), second, w->g.side[1]);
    }
}

static void find_products(Lower *lo, const Group *w, const KExpr *first, const KExpr *second)
{
    AttendBwd *f = w->f;
    begin_products(lo, w, first, second);
    groups_wait(lo, 0);
    groups_settle(lo, f->s, f->t.cols);
    if (bwd_needs_grads(f))
        groups_settle(lo, f->ds, f->t.cols);
}

static void add_products(Lower *lo, const Group *w, const KExpr *first, const KExpr *second)
{
    AttendBwd *f = w->f;
    bool grads = bwd_needs_grads(f);
    uint32_t p = f->dv ? groups_weights(lo, &w->g) : 0, ds = grads ? groups_weights(lo, &w->g) : 0;
    if (f->dv)
        groups_pack(lo, &w->g, p, f->s);
    if (grads)
        groups_pack(lo, &w->g, ds, f->ds);
    if (f->dv)
        groups_values(lo, &w->g, f->sums_e, p, second, w->g.side[1]);
    if (grads)
        groups_values(lo, &w->g, f->sums_d, ds, first, w->g.side[0]);
    groups_wait(lo, 0);
    if (f->dv)
        groups_settle(lo, f->sums_e, f->dy.width);
    if (grads)
        groups_settle(lo, f->sums_d, f->q.width);
}

static const KExpr *laid_at(Lower *lo, const Group *w, const KExpr *i)
{
    Kernel *k = lo->k;
    const KExpr *half =
        ke_mul(lo, ke_index(k, KI_MOD, i, ke_int(k, 2)), ke_int(k, laid_bytes(w->f)));
    return ke_add(lo, ke_int(k, w->laid), half);
}

/* Weights while the products for their gradients are on their way. For products with weights before these there are
 * no registers. */
static void find_apart(Lower *lo, const Group *w, const KExpr *first, const KExpr *second,
                       const KExpr *cut)
{
    AttendBwd *f = w->f;
    begin_products(lo, w, first, second);
    groups_wait(lo, 1);
    groups_settle(lo, f->s, f->t.cols);
    f->part = BWD_WEIGHTS;
    bwd_weights(lo, f, cut);
    groups_wait(lo, 0);
    groups_settle(lo, f->ds, f->t.cols);
    f->part = BWD_GRADS;
    bwd_weights(lo, f, cut);
    f->part = BWD_BOTH;
}

static void find_weights(Lower *lo, const Group *w, const KExpr *first, const KExpr *second,
                         const KExpr *cut)
{
    if (w->f->apart && bwd_needs_grads(w->f)) {
        find_apart(lo, w, first, second, cut);
        return;
    }
    find_products(lo, w, first, second);
    bwd_weights(lo, w->f, cut);
}

static void multiply_step(Lower *lo, const Group *w, const KExpr *i, const KExpr *cut)
{
    const KExpr *first = groups_stage(lo, &w->g, 0, i), *second = groups_stage(lo, &w->g, 1, i);
    find_weights(lo, w, first, second, cut);
    add_products(lo, w, first, second);
}

static void tell_sums(Lower *lo, const Group *w, const KExpr *i, uint32_t dq)
{
    turn_call(lo, w, "mdl_mbar_wait((uint64_t *)%0, (int)%1 & 1 ^ 1)", 0, i);
    if (dq) {
        groups_lay_sums(lo, &w->g, ke_int(lo->k, w->sums), dq, &w->f->q);
        copy_call(lo, "mdl_fence_async()", NULL, 0);
    }
    turn_call(lo, w, "mdl_attend_arrive((uint64_t *)%0)", 1, NULL);
}

/* A step of five products: dq, those of the gradients of weights of all groups with the keys, are told while the last
 * one is on its way. */
static void multiply_five(Lower *lo, const Group *w, const KExpr *i, const KExpr *cut)
{
    AttendBwd *f = w->f;
    const KExpr *first = groups_stage(lo, &w->g, 0, i), *second = groups_stage(lo, &w->g, 1, i);
    find_weights(lo, w, first, second, cut);
    uint32_t p = groups_weights(lo, &w->g), ds = groups_weights(lo, &w->g);
    groups_pack(lo, &w->g, p, f->s);
    groups_pack(lo, &w->g, ds, f->ds);
    groups_values(lo, &w->g, f->sums_e, p, second, w->g.side[1]);
    const KExpr *laid = copy_let(lo, "laid", laid_at(lo, w, i));
    groups_lay(lo, &w->g, laid, ds, w->g.side[0]);
    copy_call(lo, "mdl_fence_async()", NULL, 0);
    copy_call(lo, f->sync, NULL, 0);
    uint32_t dq = attend_sums(lo, "dq", f->q.width / 2);
    groups_turned(lo, &w->g, dq, laid, w->g.side[0]);
    groups_values(lo, &w->g, f->sums_d, ds, first, w->g.side[0]);
    groups_wait(lo, 1);
    groups_settle(lo, f->sums_e, f->dy.width);
    groups_settle(lo, dq, f->q.width / 2);
    tell_sums(lo, w, i, dq);
    groups_wait(lo, 0);
    groups_settle(lo, f->sums_d, f->q.width);
}

static void await_step(Lower *lo, const Group *w, const KExpr *i)
{
    groups_await(lo, &w->g, 0, i);
    groups_await(lo, &w->g, 1, i);
}

static void release_step(Lower *lo, const Group *w, const KExpr *i)
{
    groups_release(lo, &w->g, 0, i);
    groups_release(lo, &w->g, 1, i);
}

/* The pairs of the thread's own two queries. */
static void find_own(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    const Dim *t = f->b.a.t;
    f->own = ks_local(k, lo->scope->block, "own", KT_F32, 4);
    for (int64_t r = 0; r < 2; r++) {
        const KExpr *pair[2], *at = ke_add(lo, f->held, ke_add(lo, f->t.row, ke_int(k, r * 8)));
        at = copy_let(lo, "t", ke_min(lo, at, ke_sub(lo, ke_extent(k, t), ke_int(k, 1))));
        bwd_pair(lo, f, scope_var(lo, at, t), pair);
        for (int64_t which = 0; which < 2; which++)
            if (pair[which])
                ks_store(k, lo->scope->block, f->own, ke_int(k, r * 2 + which), pair[which]);
    }
    f->owns = true;
}

static void begin_sums(Lower *lo, Group *w)
{
    w->f->t.threads = w->g.groups * ATTEND_GROUP;
    bwd_begin_sums(lo, w->f);
    if (!w->f->dk && !w->f->dv)
        find_own(lo, w);
    groups_await_held(lo, &w->g, ke_int(lo->k, 0));
}

static const KExpr *as_index(Lower *lo, const KExpr *e)
{
    return ke_apply(lo, KT_I64, "(int64_t)%0", e, NULL);
}

/* Opens the loop over tiles of queries, until all threads know what is told of one. */
static const KExpr *open_queries(Lower *lo, Group *w, const KExpr **seen, const KExpr **cut)
{
    Kernel *k = lo->k;
    AttendBwd *f = w->f;
    scope_loop(lo, &(LoopSpec){.stem = "i",
                               .lo = ke_int(k, 0),
                               .hi = copy_let(lo, "all", steps_in_all(lo, w)),
                               .extent = dim_const(lo->ir, bwd_most_steps(lo, f) * f->t.group)});
    const KExpr *i = lo->var[lo->nvar - 1].at;
    await_step(lo, w, i);
    const KExpr *state = copy_let(lo, "state", told(lo, w, i, STATE));
    *seen = ke_test(k, "!=", state, ke_int(k, UNSEEN));
    *cut = ke_test(k, "==", state, ke_int(k, CUT));
    return i;
}

/* Names what is told of a tile. */
static void read_told(Lower *lo, Group *w, const KExpr *i)
{
    AttendBwd *f = w->f;
    const KExpr *head = copy_let(lo, "head", as_index(lo, told(lo, w, i, HEAD)));
    f->t.h = scope_var(lo, head, dim_const(lo->ir, f->t.heads));
    f->t.g = NULL;
    if (f->turns) {
        const KExpr *b = copy_let(lo, "b", as_index(lo, told(lo, w, i, SAMPLE)));
        f->t.b = scope_var(lo, b, f->b.a.b);
    }
    f->u0 = f->held;
    f->t0 = copy_let(lo, "t0", as_index(lo, told(lo, w, i, FIRST)));
    f->pairs = pairs_of(lo, w, i);
}

static void multiply_queries(Lower *lo, Group *w)
{
    const KExpr *seen, *cut;
    begin_sums(lo, w);
    const KExpr *i = open_queries(lo, w, &seen, &cut);
    scope_if(lo, seen);
    read_told(lo, w, i);
    multiply_step(lo, w, i, copy_let(lo, "cut", cut));
    scope_end(lo);
    release_step(lo, w, i);
    scope_end(lo);
    bwd_results(lo, w->f);
}

static void multiply_by_turns(Lower *lo, Group *w)
{
    AttendBwd *f = w->f;
    const KExpr *seen, *cut;
    begin_sums(lo, w);
    const KExpr *i = open_queries(lo, w, &seen, &cut);
    seen = copy_let(lo, "seen", seen);
    scope_if(lo, seen);
    read_told(lo, w, i);
    multiply_five(lo, w, i, copy_let(lo, "cut", cut));
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", seen, NULL));
    tell_sums(lo, w, i, 0);
    scope_end(lo);
    release_step(lo, w, i);
    scope_end(lo);
    bwd_turns_again(lo, f);
    if (f->t.group == 1) {
        bwd_results(lo, f);
        return;
    }
    bwd_turns_put(lo, f, false, groups_shape(lo, &w->g, &f->q));
    bwd_turns_put(lo, f, true, groups_shape(lo, &w->g, &f->dy));
}

static void multiply_keys(Lower *lo, Group *w)
{
    AttendBwd *f = w->f;
    begin_sums(lo, w);
    const KExpr *step, *i = open_steps(lo, w, &step);
    await_step(lo, w, i);
    f->t0 = f->held;
    f->u0 = copy_let(lo, "u0", ke_mul(lo, step, ke_int(lo->k, f->t.cols)));
    multiply_step(lo, w, i, bwd_cut(lo, f, f->t.rows, f->t.cols));
    release_step(lo, w, i);
    scope_end(lo);
    bwd_results(lo, f);
}

/* ---- phases ---- */

bool bwd_groups_turns(Lower *lo, AttendBwd *f)
{
    if (lower_config(lo, "groups") != 2 || f->t.rows != 2 * 64 || f->t.cols != 64 ||
        (f->q.width != 64 && f->q.width != 128) || f->dy.width > f->q.width || !f->b.a.mask ||
        !f->b.dq.results || !f->b.dk.results || !f->b.dv.results)
        return false;
    f->dk = f->dv = true;
    return describe(lo, f).g.boxes;
}

void bwd_groups_keys(Lower *lo, AttendBwd *f)
{
    Group w = describe(lo, f);
    bwd_begin(lo, f, f->dk ? "keys" : "values");
    if (f->turns)
        turn_call(lo, &w,
                  arena_printf(lo->arena, "mdl_attend_turn_open((uint64_t *)%%0, %lld)",
                               (long long)w.g.groups),
                  0, NULL);
    groups_open(lo, &w.g);
    hold_early(lo, &w);
    find_ranges(lo, &w);
    groups_begin(lo, &w.g, true);
    fill(lo, &w);
    scope_end(lo);
    groups_begin(lo, &w.g, false);
    if (f->turns)
        multiply_by_turns(lo, &w);
    else
        multiply_queries(lo, &w);
    scope_end(lo);
    scope_end(lo);
}

void bwd_groups_queries(Lower *lo, AttendBwd *f)
{
    f->pairs = NULL;
    Group w = describe(lo, f);
    bwd_begin(lo, f, "queries");
    groups_open(lo, &w.g);
    hold_early(lo, &w);
    bwd_key_steps(lo, f);
    groups_begin(lo, &w.g, true);
    fill(lo, &w);
    scope_end(lo);
    groups_begin(lo, &w.g, false);
    multiply_keys(lo, &w);
    scope_end(lo);
    scope_end(lo);
}

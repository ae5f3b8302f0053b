/* gpu_attention_group.c: attention on a GPU whose warpgroups multiply on their own (sm_90a; Shah et al. 2024,
 * FlashAttention-3, without its clusters).
 *
 * A block has 64 queries a warpgroup, and one warpgroup more whose warps fill two rings of shared memory, with
 * keys and with values, and take few registers. A group begins the products of a tile of queries and keys, then
 * those of the weights of the tile before with its values, and finds the new weights while the latter are on
 * their way; and groups take turns, so that one multiplies while another finds weights. Weights go from
 * accumulators to operands in registers. Everything else is as in gpu_attention.c, and so is the order of sums.
 *
 * Config: rows (64 a group), cols, stages of each ring; groups 1. */
#include "gpu_attend_group.h"
#include "gpu_attention.h"

typedef struct Group {
    AttendFwd *f;
    AttendGroups g;
    uint32_t weights, shrink; /* packed weights; by what rows shrink */
} Group;

enum { KEYS, VALUES, COPY_REGISTERS = 72, BOX_REGISTERS = 40 };

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

int64_t attend_groups_shape(Lower *lo, AttendFwd *f)
{
    groups_widen(&f->v);
    Group w = describe(lo, f);
    f->t.threads = (w.g.groups + 1) * ATTEND_GROUP;
    return groups_rings(&w.g, groups_tile_bytes(&f->q, f->t.rows));
}

int64_t attend_groups_bars(Lower *lo, AttendFwd *f)
{
    Group w = describe(lo, f);
    return groups_bar_bytes(&w.g);
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
    const KExpr *i = copy_let(lo, "i", ke_sub(lo, step, f->from));
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

/* Products of the tile become weights, while those before are multiplied; then the next tile is waited for, which
 * also keeps the compiler from moving this behind the wait for the latter. */
static void find_weights(Lower *lo, const Group *w, const KExpr *step, const KExpr *i)
{
    Kernel *k = lo->k;
    AttendFwd *f = w->f;
    const KExpr *zero = ke_int(k, 0), *one = ke_int(k, 1);
    groups_settle(lo, f->s, f->t.cols);
    groups_release(lo, &w->g, KEYS, i);
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

static void first_tile(Lower *lo, const Group *w)
{
    const KExpr *zero = ke_int(lo->k, 0);
    groups_await(lo, &w->g, KEYS, zero);
    begin_scores(lo, w, zero);
    groups_wait(lo, 0);
    find_weights(lo, w, w->f->from, zero);
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
    const KExpr *i = copy_let(lo, "i", ke_sub(lo, step, f->from));
    const KExpr *before = copy_let(lo, "before", ke_sub(lo, i, one));
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_await_turn(%s, (int)%%0)", w->g.name),
              &before, 1);
    begin_scores(lo, w, i);
    begin_values(lo, w, before);
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_pass_turn(%s)", w->g.name), NULL, 0);
    groups_wait(lo, 1);
    find_weights(lo, w, step, i);
    end_values(lo, w, before);
    groups_pack(lo, &w->g, w->weights, f->s);
    shrink_outputs(lo, w);
    scope_end(lo);
}

static void multiply(Lower *lo, Group *w)
{
    Kernel *k = lo->k;
    AttendFwd *f = w->f;
    f->t.threads = w->g.groups * ATTEND_GROUP;
    attend_places(lo, &f->t);
    fwd_begin(lo, f);
    attend_fill(lo, f->s, f->t.cols / 2, 0);
    w->weights = groups_weights(lo, &w->g);
    w->shrink = attend_sums(lo, "shrink", 4);
    groups_await_held(lo, &w->g);
    scope_if(lo, ke_test(k, "<", f->from, f->to));
    first_tile(lo, w);
    next_tiles(lo, w);
    const KExpr *last = ke_sub(lo, ke_sub(lo, f->to, ke_int(k, 1)), f->from);
    last = copy_let(lo, "last", last);
    begin_values(lo, w, last);
    end_values(lo, w, last);
    scope_end(lo);
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

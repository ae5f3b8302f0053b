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
#include "gpu_attention.h"

enum { GROUP = 128, PANEL = 64, MOST_REGISTERS = 65536 / GROUP };

/* ---- shape ---- */

/* Columns of the products with values: an n of wgmma. */
static int64_t product_columns(int64_t n)
{
    static const int64_t all[] = {16, 32, 64, 96, 128, 192, 256};
    size_t i = 0;
    while (all[i] < n)
        i++;
    return all[i];
}

/* A tile of lines: panels of 64 columns, 128 bytes. */
static int64_t tile_bytes(const AttendSide *s, int64_t lines)
{
    return ceil_div(s->width, PANEL) * lines * PANEL * 2;
}

static int64_t keys_at(const AttendFwd *f)
{
    return tile_bytes(&f->q, f->t.rows);
}

static int64_t values_at(const AttendFwd *f)
{
    return keys_at(f) + f->t.stages * tile_bytes(&f->k, f->t.cols);
}

static int64_t groups_of(const AttendFwd *f)
{
    return f->t.rows / 64;
}

int64_t attend_groups_shape(AttendFwd *f)
{
    ASSERT(f->t.rows % 64 == 0);
    f->t.threads = (groups_of(f) + 1) * GROUP;
    f->v.width = product_columns(f->v.width);
    f->v.used = f->v.width / 8;
    return values_at(f) + f->t.stages * tile_bytes(&f->v, f->t.cols);
}

int64_t attend_groups_bars(const AttendFwd *f)
{
    return (1 + groups_of(f) + 4 * f->t.stages) * (int64_t)sizeof(uint64_t);
}

/* ---- names in the text ---- */

typedef struct Group {
    AttendFwd *f;
    const char *bars, *shape; /* MdlAttendBars, MdlAttendGroup */
    uint32_t weights, shrink; /* packed weights; by what rows shrink */
} Group;

static const char *operand_name(const Group *g)
{
    return dtype_info(g->f->t.operand)->name;
}

static void wait_products(Lower *lo, int most)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_wgmma_wait(%d)", most), NULL, 0);
}

/* Waits till the stage of tile number i, of those that the block sees, is full or free. */
static void await(Lower *lo, const Group *g, const char *state, const char *ring, const KExpr *i)
{
    const char *call = arena_printf(lo->arena, "mdl_attend_await_%s(%s.%s, (int)%%0, %s.stages)",
                                    state, g->bars, ring, g->bars);
    copy_call(lo, call, &i, 1);
}

/* This warp has filled the stage, or needs it no longer. */
static void signal(Lower *lo, const Group *g, const char *how, const char *ring, const KExpr *i)
{
    const char *call = arena_printf(lo->arena, "mdl_attend_%s(%s.%s + (int)%%0 %% %s.stages)", how,
                                    g->bars, ring, g->bars);
    copy_call(lo, call, &i, 1);
}

static const KExpr *stage_base(Lower *lo, const Group *g, const AttendSide *s, const KExpr *i)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    const KExpr *stage = ke_index(k, KI_MOD, i, ke_int(k, f->t.stages));
    const KExpr *at = ke_mul(lo, stage, ke_int(k, tile_bytes(s, f->t.cols)));
    return copy_let(lo, "base", ke_add(lo, ke_int(k, s == &f->k ? keys_at(f) : values_at(f)), at));
}

/* ---- those who fill ---- */

/* Lines [first, first + count), all of which there are, by t->threads that are numbered: a thread has one chunk of
 * every so many lines. */
static void copy_whole(Lower *lo, const Attend *t, const AttendSide *s, const KExpr *base,
                       const KExpr *first, int64_t count)
{
    Kernel *k = lo->k;
    int64_t per = 1, w = k->width, columns = dim_fixed(s->columns);
    while (per < s->used)
        per *= 2;
    const KExpr *n = ke_int(k, per);
    const KExpr *line = copy_let(lo, "line", ke_index(k, KI_DIV, t->thread, n));
    const KExpr *chunk = copy_let(lo, "chunk", ke_index(k, KI_MOD, t->thread, n));
    scope_if(lo, ke_test(k, "<", chunk, ke_int(k, s->used)));
    /* what is not there is not read: any address will do */
    const KExpr *column = ke_mul(lo, chunk, ke_int(k, w));
    const KExpr *left = ke_index(k, KI_MAX, ke_sub(lo, ke_int(k, columns), column), ke_int(k, 0));
    const KExpr *bytes = ke_mul(lo, ke_min(lo, left, ke_int(k, w)), ke_int(k, 2));
    column = copy_let(lo, "column", ke_min(lo, column, ke_int(k, (columns - 1) / w * w)));
    const Ix *at, *row = scope_var(lo, ke_add(lo, first, line), s->lines);
    const Node *in =
        attend_source(lo, t, s, row, scope_vector_var(lo, column, s->columns, NULL), &at);
    ASSERT(in);
    const char *name = kernel_name(k, "lines");
    const KExpr *arg[] = {ke_addr(k, t->tiles, base),
                          ke_addr(k, lo->in[in->id], lower_index(lo, at)),
                          line,
                          chunk,
                          bytes,
                          ke_mul(lo, ke_extent(k, s->pitch), ke_int(k, 2))};
    copy_call(
        lo,
        arena_printf(lo->arena,
                     "const MdlAttendLines %s = {%lld, (int)%%2, %lld, (int)%%3, (int)%%4, %%5}",
                     name, (long long)count, (long long)(t->threads / per)),
        arg, COUNT(arg));
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_copy(%%0, %%1, %s)", name), arg, 2);
    scope_end(lo);
}

static void bring(Lower *lo, const Attend *t, const AttendSide *s, const KExpr *base,
                  const KExpr *first, int64_t count)
{
    Kernel *k = lo->k;
    if (!s->async || !s->pitch) {
        attend_bring(lo, t, s, base, first, count);
        return;
    }
    const KExpr *end = ke_add(lo, first, ke_int(k, count));
    const KExpr *whole = copy_let(lo, "whole", ke_test(k, "<=", end, ke_extent(k, s->lines)));
    scope_if(lo, whole);
    copy_whole(lo, t, s, base, first, count);
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", whole, NULL));
    attend_bring(lo, t, s, base, first, count);
    scope_end(lo);
}

/* Two warps, `from` the first thread, fill the stages of one ring. */
static void fill_ring(Lower *lo, const Group *g, const AttendSide *s, int64_t from)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    const char *full = s == &f->k ? "keys" : "values";
    const char *empty = s == &f->k ? "no_keys" : "no_values";
    Attend t = f->t;
    t.threads = GROUP / 2;
    t.thread = copy_let(lo, "thread", ke_sub(lo, f->t.thread, ke_int(k, from)));
    scope_loop(
        lo, &(LoopSpec){
                .stem = "step", .lo = f->from, .hi = f->to, .extent = dim_const(lo->ir, f->tiles)});
    const KExpr *step = lo->var[lo->nvar - 1].at;
    const KExpr *i = copy_let(lo, "i", ke_sub(lo, step, f->from));
    const KExpr *first = copy_let(lo, "first", ke_mul(lo, step, ke_int(k, t.cols)));
    await(lo, g, "free", empty, i);
    bring(lo, &t, s, stage_base(lo, g, s, i), first, t.cols);
    signal(lo, g, "filled", full, i);
    scope_end(lo);
}

static void fill(Lower *lo, const Group *g)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    int64_t first = groups_of(f) * GROUP, half = first + GROUP / 2;
    Attend t = f->t;
    t.threads = GROUP;
    t.thread = copy_let(lo, "thread", ke_sub(lo, f->t.thread, ke_int(k, first)));
    bring(lo, &t, &f->q, ke_int(k, 0), f->t0, t.rows);
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_filled(%s.queries)", g->bars), NULL, 0);
    const KExpr *keys = ke_test(k, "<", f->t.thread, ke_int(k, half));
    scope_if(lo, keys);
    fill_ring(lo, g, &f->k, first);
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", keys, NULL));
    fill_ring(lo, g, &f->v, half);
    scope_end(lo);
}

/* ---- those who multiply ---- */

static void settle(Lower *lo, uint32_t sums, int64_t columns)
{
    const KExpr *at = ke_addr(lo->k, sums, ke_int(lo->k, 0));
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_settle(%%0, %lld)", (long long)columns / 2),
              &at, 1);
}

static void begin_scores(Lower *lo, const Group *g, const KExpr *i)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, f->s, zero), ke_addr(k, f->t.tiles, zero),
                          ke_addr(k, f->t.tiles, stage_base(lo, g, &f->k, i))};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_group_scores_%s(%%0, %%1, %%2, %s)",
                           operand_name(g), g->shape),
              arg, 3);
}

static void begin_values(Lower *lo, const Group *g, const KExpr *i)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, f->o, zero), ke_addr(k, g->weights, zero),
                          ke_addr(k, f->t.tiles, stage_base(lo, g, &f->v, i))};
    await(lo, g, "full", "values", i);
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_group_values_%s(%%0, (uint32_t *)%%1, %%2, %s)",
                           operand_name(g), g->shape),
              arg, 3);
}

/* Products of the tile become weights, while those before are multiplied; then the next tile is waited for. */
static void find_weights(Lower *lo, const Group *g, const KExpr *step, const KExpr *i)
{
    Kernel *k = lo->k;
    AttendFwd *f = g->f;
    const KExpr *zero = ke_int(k, 0), *one = ke_int(k, 1);
    settle(lo, f->s, f->t.cols);
    signal(lo, g, "arrive", "no_keys", i);
    f->u0 = copy_let(lo, "u0", ke_mul(lo, step, ke_int(k, f->t.cols)));
    fwd_scores(lo, f, fwd_cut(lo, f));
    const KExpr *arg[] = {ke_addr(k, f->s, zero), ke_addr(k, f->top, zero),
                          ke_addr(k, f->sum, zero), ke_addr(k, g->shrink, zero),
                          ke_num(k, KT_F32, fwd_unit(f))};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_weights(%%0, %%1, %%2, %%3, %%4, %lld)",
                           (long long)f->t.cols),
              arg, 5);
    settle(lo, f->s, f->t.cols);
    scope_if(lo, ke_test(k, "<", ke_add(lo, step, one), f->to));
    await(lo, g, "full", "keys", ke_add(lo, i, one));
    scope_end(lo);
}

static void pack_weights(Lower *lo, const Group *g)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, g->weights, zero), ke_addr(k, f->s, zero)};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_pack_%s((uint32_t *)%%0, %%1, %lld)",
                           operand_name(g), (long long)f->t.cols),
              arg, 2);
}

static void shrink_outputs(Lower *lo, const Group *g)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, f->o, zero), ke_addr(k, g->shrink, zero)};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_shrink(%%0, %%1, %lld)", (long long)f->v.width),
              arg, 2);
}

static void end_values(Lower *lo, const Group *g, const KExpr *i)
{
    wait_products(lo, 0);
    settle(lo, g->f->o, g->f->v.width);
    signal(lo, g, "arrive", "no_values", i);
}

static void first_tile(Lower *lo, const Group *g)
{
    const KExpr *zero = ke_int(lo->k, 0);
    await(lo, g, "full", "keys", zero);
    begin_scores(lo, g, zero);
    wait_products(lo, 0);
    find_weights(lo, g, g->f->from, zero);
    pack_weights(lo, g);
}

static void next_tiles(Lower *lo, const Group *g)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    const KExpr *one = ke_int(k, 1);
    scope_loop(lo, &(LoopSpec){.stem = "step",
                               .lo = ke_add(lo, f->from, one),
                               .hi = f->to,
                               .extent = dim_const(lo->ir, f->tiles)});
    const KExpr *step = lo->var[lo->nvar - 1].at;
    const KExpr *i = copy_let(lo, "i", ke_sub(lo, step, f->from));
    const KExpr *before = copy_let(lo, "before", ke_sub(lo, i, one));
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_await_turn(%s, (int)%%0)", g->bars), &before,
              1);
    begin_scores(lo, g, i);
    begin_values(lo, g, before);
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_pass_turn(%s)", g->bars), NULL, 0);
    wait_products(lo, 1);
    find_weights(lo, g, step, i);
    end_values(lo, g, before);
    pack_weights(lo, g);
    shrink_outputs(lo, g);
    scope_end(lo);
}

static void multiply(Lower *lo, Group *g)
{
    Kernel *k = lo->k;
    AttendFwd *f = g->f;
    int64_t threads = groups_of(f) * GROUP;
    f->t.threads = threads;
    attend_places(lo, &f->t);
    fwd_begin(lo, f);
    attend_fill(lo, f->s, f->t.cols / 2, 0);
    g->weights = ks_local(k, lo->scope->block, "weights", KT_I32, f->t.cols / 4);
    g->shrink = attend_sums(lo, "shrink", 4);
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_await_full(%s.queries, 0, 1)", g->bars), NULL,
              0);
    scope_if(lo, ke_test(k, "<", f->from, f->to));
    first_tile(lo, g);
    next_tiles(lo, g);
    const KExpr *last = ke_sub(lo, ke_sub(lo, f->to, ke_int(k, 1)), f->from);
    last = copy_let(lo, "last", last);
    begin_values(lo, g, last);
    end_values(lo, g, last);
    scope_end(lo);
    fwd_results(lo, f, arena_printf(lo->arena, "mdl_barrier(1, %lld)", (long long)threads));
}

/* ---- the block ---- */

static void declare(Lower *lo, Group *g)
{
    Kernel *k = lo->k;
    const AttendFwd *f = g->f;
    g->bars = kernel_name(k, "bars");
    g->shape = kernel_name(k, "shape");
    const KExpr *at = ke_addr(k, f->t.tiles, ke_int(k, f->bars));
    copy_call(lo,
              arena_printf(lo->arena,
                           "const MdlAttendBars %s = mdl_attend_bars((uint64_t *)%%0, %lld, %lld)",
                           g->bars, (long long)groups_of(f), (long long)f->t.stages),
              &at, 1);
    copy_call(lo,
              arena_printf(lo->arena, "const MdlAttendGroup %s = {%lld, %lld, %lld, %lld}",
                           g->shape, (long long)f->t.rows, (long long)f->t.cols,
                           (long long)f->q.width, (long long)f->v.width),
              NULL, 0);
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_open(%s)", g->bars), NULL, 0);
}

/* Copying takes few registers, computing some. One group has as many as a thread may have. */
static void share_registers(Lower *lo, const AttendFwd *f, bool fills)
{
    bool computes = !f->q.async || !f->k.async || !f->v.async;
    int64_t few = computes ? 104 : 72, many = (MOST_REGISTERS - few) / groups_of(f) / 8 * 8;
    if (groups_of(f) == 1)
        return;
    copy_call(lo,
              arena_printf(lo->arena, "mdl_setmaxnreg_%s(%lld)", fills ? "dec" : "inc",
                           (long long)(fills ? few : many)),
              NULL, 0);
}

void attend_groups(Lower *lo, AttendFwd *f)
{
    Kernel *k = lo->k;
    Group g = {.f = f};
    declare(lo, &g);
    f->t.thread = copy_let(lo, "thread", ke_text(k, KT_I64, "mdl_thread()", NULL, 0));
    fwd_bounds(lo, f);
    const KExpr *fills = ke_test(k, ">=", f->t.thread, ke_int(k, groups_of(f) * GROUP));
    scope_if(lo, fills);
    share_registers(lo, f, true);
    fill(lo, &g);
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", fills, NULL));
    share_registers(lo, f, false);
    multiply(lo, &g);
    scope_end(lo);
}

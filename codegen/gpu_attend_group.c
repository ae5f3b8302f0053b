/* gpu_attend_group.c: the parts of which attention by warpgroups is made. gpu_attend_group.h. */
#include "gpu_attend_group.h"

#include <string.h>

enum { PANEL = 64, GROUP_ROWS = 64 };

/* ---- shape ---- */

void groups_widen(AttendSide *s)
{
    static const int64_t all[] = {16, 32, 64, 96, 128, 192, 256};
    size_t i = 0;
    while (all[i] < s->width)
        i++;
    s->width = all[i];
    s->used = s->width / 8;
}

int64_t groups_tile_bytes(const AttendSide *s, int64_t lines)
{
    return ceil_div(s->width, PANEL) * lines * PANEL * 2;
}

int64_t groups_rings(AttendGroups *g, int64_t first)
{
    ASSERT(g->t->rows % GROUP_ROWS == 0);
    g->groups = g->t->rows / GROUP_ROWS;
    for (int r = 0; r < 2; r++) {
        g->at[r] = first;
        first += g->t->stages * groups_tile_bytes(g->side[r], g->t->cols);
    }
    return first;
}

int64_t groups_bar_bytes(const AttendGroups *g)
{
    return (2 + g->groups + 4 * g->t->stages) * (int64_t)sizeof(uint64_t);
}

/* ---- roles ---- */

void groups_open(Lower *lo, AttendGroups *g)
{
    Kernel *k = lo->k;
    g->name = kernel_name(k, "bars");
    const KExpr *at = ke_addr(k, g->t->tiles, ke_int(k, g->bars));
    copy_call(lo,
              arena_printf(lo->arena,
                           "const MdlAttendBars %s = mdl_attend_bars((uint64_t *)%%0, %lld, %lld)",
                           g->name, (long long)g->groups, (long long)g->t->stages),
              &at, 1);
    copy_call(
        lo, arena_printf(lo->arena, "mdl_attend_open(%s, %s)", g->name, g->boxes ? "1, 1" : "4, 2"),
        NULL, 0);
}

/* Registers of a thread of each group together: what the launch gives, 65,536 shared by all threads in eights. More
 * can never be had: who asks for it waits for ever. */
static int64_t registers_of(const AttendGroups *g)
{
    int64_t threads = (g->groups + 1) * ATTEND_GROUP;
    return 65536 / threads / 8 * 8 * (g->groups + 1);
}

/* Copying takes few registers, computing some. One group has as many as a thread may have. */
void groups_begin(Lower *lo, const AttendGroups *g, bool fills)
{
    Kernel *k = lo->k;
    const KExpr *thread = ke_text(k, KT_I64, "mdl_thread()", NULL, 0);
    scope_if(lo, ke_test(k, fills ? ">=" : "<", thread, ke_int(k, g->groups * ATTEND_GROUP)));
    int64_t few = g->computes ? 104 : g->few, many = (registers_of(g) - few) / g->groups / 8 * 8;
    if (g->groups > 1)
        copy_call(lo,
                  arena_printf(lo->arena, "mdl_setmaxnreg_%s(%lld)", fills ? "dec" : "inc",
                               (long long)(fills ? few : many)),
                  NULL, 0);
}

/* Attend with the threads that take part, from one of those who fill on. */
static Attend fillers(Lower *lo, const AttendGroups *g, int64_t from, int64_t threads)
{
    Kernel *k = lo->k;
    Attend t = *g->t;
    const KExpr *thread = ke_text(k, KT_I64, "mdl_thread()", NULL, 0);
    const KExpr *first = ke_int(k, g->groups * ATTEND_GROUP + from);
    t.threads = threads;
    t.thread = copy_let(lo, "thread", ke_sub(lo, thread, first));
    return t;
}

/* ---- barriers ---- */

static void await(Lower *lo, const AttendGroups *g, const char *state, uint32_t ring,
                  const KExpr *i)
{
    const char *call = arena_printf(lo->arena, "mdl_attend_await_%s(%s.%s[%u], (int)%%0, %lld)",
                                    state, g->name, state, ring, (long long)g->t->stages);
    copy_call(lo, call, &i, 1);
}

void groups_await(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i)
{
    await(lo, g, "full", ring, i);
}

void groups_await_free(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i)
{
    await(lo, g, "free", ring, i);
}

void groups_release(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i)
{
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_arrive(%s.free[%u] + (int)%%0 %% %lld)", g->name,
                           ring, (long long)g->t->stages),
              &i, 1);
}

void groups_await_held(Lower *lo, const AttendGroups *g, const KExpr *turn)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_await_full(%s.held, (int)%%0, 1)", g->name),
              &turn, 1);
}

void groups_await_spent(Lower *lo, const AttendGroups *g, const KExpr *turn)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_await_free(%s.spent, (int)%%0, 1)", g->name),
              &turn, 1);
}

void groups_spend(Lower *lo, const AttendGroups *g)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_arrive(%s.spent)", g->name), NULL, 0);
}

const char *groups_sync(const Lower *lo, const AttendGroups *g)
{
    return arena_printf(lo->arena, "mdl_barrier(1, %lld)", (long long)g->groups * ATTEND_GROUP);
}

const KExpr *groups_stage(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i)
{
    Kernel *k = lo->k;
    const KExpr *stage = ke_index(k, KI_MOD, i, ke_int(k, g->t->stages));
    const KExpr *bytes = ke_int(k, groups_tile_bytes(g->side[ring], g->t->cols));
    return copy_let(lo, "base", ke_add(lo, ke_int(k, g->at[ring]), ke_mul(lo, stage, bytes)));
}

/* ---- boxes ---- */

/* A sum of variables, each times an extent. */
static bool is_affine(const Ix *e)
{
    for (uint32_t i = 0; e->kind == IX_SUM && i < e->nterm; i++)
        if (e->term[i].atom->kind != IX_VAR)
            return false;
    return e->kind == IX_SUM || e->kind == IX_VAR;
}

/* An operand in the memory of an input: elements from one sample, head, head of those, line, column to the next. */
typedef struct Laid {
    const Node *input;
    const Dim *first, *by[5];
} Laid;

static bool find_laid(Lower *lo, const Attend *t, const AttendSide *s, Laid *out)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    const Attention *a = t->a;
    const Dim *extent[] = {a->b, a->kv, a->g, s->lines, s->columns};
    const Ix *at, *ix[COUNT(extent)];
    scope_begin(lo, &dry);
    uint32_t v = lo->nvar;
    for (uint32_t i = 0; i < COUNT(extent); i++)
        ix[i] = scope_var(lo, zero, extent[i]);
    Attend probe = *t;
    probe.b = ix[0];
    probe.n = ix[1];
    probe.g = ix[2];
    out->input = attend_source(lo, &probe, s, ix[3], ix[4], &at);
    if (!out->input || !is_affine(at))
        return false;
    out->first = at->kind == IX_SUM ? at->base : dim_const(lo->ir, 0);
    for (uint32_t i = 0; i < COUNT(extent); i++)
        if (!index_stride(lo, at, v + i, &out->by[i]))
            return false;
    return true;
}

/* Boxes of 64 columns: heads are parts of lines, whose columns are whole steps of depth. */
static bool map_side(Lower *lo, const Attend *t, AttendSide *s)
{
    Laid at;
    const Ir *ir = lo->ir;
    int64_t d = dim_fixed(s->columns), box = smaller(t->rows, t->cols);
    if (!s->async || d % 16 || t->rows % box || t->cols % box || !find_laid(lo, t, s, &at) ||
        !dim_is_const(at.by[1], &s->by_key) || !dim_is_const(at.by[2], &s->by_query))
        return false;
    int64_t line = s->by_key * (t->kv - 1) + s->by_query * (t->group - 1) + d;
    s->stacked = !dim_equals(at.by[0], 0);
    if (!dim_equals(at.by[4], 1) || dim_lo(ir, at.by[3]) < line ||
        (s->stacked && dim_lo(ir, at.by[0]) <= 0))
        return false;
    s->box = box;
    s->map = kernel_map(lo->k, &(KMap){.buf = lo->in[at.input->id],
                                       .rank = s->stacked ? 3 : 2,
                                       .first = at.first,
                                       .dim = {dim_const(lo->ir, line), s->lines, t->a->b},
                                       .stride = {at.by[3], at.by[0]},
                                       .box = {PANEL, (uint32_t)box, 1},
                                       .swizzle = PANEL * 2});
    return true;
}

void groups_boxes(Lower *lo, AttendGroups *g, AttendSide *const *side, uint32_t n)
{
    g->boxes = true;
    for (uint32_t i = 0; i < n && g->boxes; i++) {
        g->boxes = side[i]->box || (!side[i]->probed && map_side(lo, g->t, side[i]));
        side[i]->probed = true;
    }
    if (g->boxes)
        return;
    lo->k->maps.n = 0;
    for (uint32_t i = 0; i < n; i++)
        side[i]->box = 0;
}

/* ---- who fills ---- */

/* Lines [first, first + count) of a side, to byte `base` on. */
typedef struct Tile {
    const AttendSide *side;
    const KExpr *base, *first;
    int64_t count;
} Tile;

/* Lines [first, first + count), all of which there are, by t->threads that are numbered: a thread has one chunk of
 * every so many lines. */
static void copy_whole(Lower *lo, const Attend *t, const Tile *tile)
{
    Kernel *k = lo->k;
    const AttendSide *s = tile->side;
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
    const Ix *at, *row = scope_var(lo, ke_add(lo, tile->first, line), s->lines);
    const Node *in =
        attend_source(lo, t, s, row, scope_vector_var(lo, column, s->columns, NULL), &at);
    ASSERT(in);
    const char *name = kernel_name(k, "lines");
    const KExpr *arg[] = {ke_addr(k, t->tiles, tile->base),
                          ke_addr(k, lo->in[in->id], lower_index(lo, at)),
                          line,
                          chunk,
                          bytes,
                          ke_mul(lo, ke_extent(k, s->pitch), ke_int(k, 2))};
    copy_call(
        lo,
        arena_printf(lo->arena,
                     "const MdlAttendLines %s = {%lld, (int)%%2, %lld, (int)%%3, (int)%%4, %%5}",
                     name, (long long)tile->count, (long long)(t->threads / per)),
        arg, COUNT(arg));
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_copy(%%0, %%1, %s)", name), arg, 2);
    scope_end(lo);
}

static void copy_tile(Lower *lo, const Attend *t, const Tile *tile)
{
    Kernel *k = lo->k;
    const AttendSide *s = tile->side;
    if (!s->async || !s->pitch) {
        attend_bring(lo, t, s, tile->base, tile->first, tile->count);
        return;
    }
    const KExpr *end = ke_add(lo, tile->first, ke_int(k, tile->count));
    const KExpr *whole = copy_let(lo, "whole", ke_test(k, "<=", end, ke_extent(k, s->lines)));
    scope_if(lo, whole);
    copy_whole(lo, t, tile);
    scope_end(lo);
    scope_if(lo, ke_apply(lo, KT_BOOL, "!%0", whole, NULL));
    attend_bring(lo, t, s, tile->base, tile->first, tile->count);
    scope_end(lo);
}

/* Heads lie beside each other in a line. What a box has of the next one is not used. */
static void load_boxes(Lower *lo, const Attend *t, const Tile *tile, const char *bar)
{
    Kernel *k = lo->k;
    const AttendSide *s = tile->side;
    const KExpr *x = ke_mul(lo, lower_index(lo, t->n), ke_int(k, s->by_key));
    if (s->queries)
        x = ke_add(lo, x, ke_mul(lo, lower_index(lo, t->g), ke_int(k, s->by_query)));
    x = copy_let(lo, "x", x);
    const char *text =
        arena_printf(lo->arena, "mdl_tma_load_%s(%%0, MDL_MAPS + %u, %s, (int)%%1, (int)%%2%s)",
                     s->stacked ? "3d" : "2d", s->map, bar, s->stacked ? ", (int)%3" : "");
    for (int64_t p = 0; p < ceil_div(s->width, PANEL); p++)
        for (int64_t i = 0; i < tile->count; i += s->box) {
            const KExpr *to = ke_int(k, (p * tile->count + i) * PANEL * 2);
            const KExpr *arg[] = {ke_addr(k, t->tiles, ke_add(lo, tile->base, to)),
                                  ke_add(lo, x, ke_int(k, p * PANEL)),
                                  ke_add(lo, tile->first, ke_int(k, i)), lower_index(lo, t->b)};
            copy_call(lo, text, arg, 4);
        }
}

static void bring(Lower *lo, const AttendGroups *g, const Attend *t, const Tile *tile,
                  const char *bar)
{
    if (g->boxes)
        load_boxes(lo, t, tile, bar);
    else
        copy_tile(lo, t, tile);
}

static void expect(Lower *lo, const char *bar, int64_t bytes)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_mbar_expect(%s, %lld)", bar, (long long)bytes), NULL,
              0);
}

Attend groups_ring_fillers(Lower *lo, const AttendGroups *g, uint32_t ring)
{
    return g->boxes ? *g->t : fillers(lo, g, ring * (ATTEND_GROUP / 2), ATTEND_GROUP / 2);
}

void groups_warp(Lower *lo, const AttendGroups *g, int64_t number)
{
    Kernel *k = lo->k;
    const KExpr *warp = ke_int(k, g->groups * ATTEND_GROUP / WARP + number);
    scope_if(lo, ke_test(k, "==", ke_text(k, KT_I64, "mdl_warp()", NULL, 0), warp));
}

void groups_half(Lower *lo, const AttendGroups *g, uint32_t ring)
{
    Kernel *k = lo->k;
    const KExpr *second = ke_int(k, g->groups * ATTEND_GROUP + ATTEND_GROUP / 2);
    const KExpr *thread = ke_text(k, KT_I64, "mdl_thread()", NULL, 0);
    scope_if(lo, ke_test(k, ring ? ">=" : "<", thread, second));
}

void groups_thread(Lower *lo)
{
    Kernel *k = lo->k;
    scope_if(lo, ke_test(k, "==", ke_text(k, KT_I64, "mdl_lane()", NULL, 0), ke_int(k, 0)));
}

void groups_hold(Lower *lo, const AttendGroups *g, const AttendSide *const *side, uint32_t n,
                 const KExpr *first)
{
    int64_t rows = g->t->rows, bytes = 0;
    const char *bar = arena_printf(lo->arena, "%s.held", g->name);
    for (uint32_t i = 0; i < n; i++)
        bytes += groups_tile_bytes(side[i], rows);
    const Attend t = g->boxes ? *g->t : fillers(lo, g, 0, ATTEND_GROUP);
    if (g->boxes)
        expect(lo, bar, bytes);
    bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Tile tile = {side[i], ke_int(lo->k, bytes), first, rows};
        bring(lo, g, &t, &tile, bar);
        bytes += groups_tile_bytes(side[i], rows);
    }
    if (!g->boxes)
        copy_call(lo, arena_printf(lo->arena, "mdl_attend_filled(%s)", bar), NULL, 0);
}

void groups_fill(Lower *lo, const AttendGroups *g, const Attend *t, uint32_t ring, const KExpr *i,
                 const KExpr *first)
{
    const Tile tile = {g->side[ring], groups_stage(lo, g, ring, i), first, t->cols};
    await(lo, g, "free", ring, i);
    const char *bar = kernel_name(lo->k, "full");
    copy_call(lo,
              arena_printf(lo->arena, "uint64_t *%s = %s.full[%u] + (int)%%0 %% %lld", bar, g->name,
                           ring, (long long)t->stages),
              &i, 1);
    if (g->boxes)
        expect(lo, bar, groups_tile_bytes(tile.side, tile.count));
    bring(lo, g, t, &tile, bar);
    if (!g->boxes)
        copy_call(lo, arena_printf(lo->arena, "mdl_attend_filled(%s)", bar), NULL, 0);
}

/* ---- who multiplies ---- */

/* Rows, cols, depth and columns of a product, by name. */
const char *groups_shape(Lower *lo, const AttendGroups *g, const AttendSide *s)
{
    const char *shape = kernel_name(lo->k, "shape");
    copy_call(lo,
              arena_printf(lo->arena, "const MdlAttendGroup %s = {%lld, %lld, %lld, %lld}", shape,
                           (long long)g->t->rows, (long long)g->t->cols,
                           (long long)round_up(dim_fixed(s->columns), 16), (long long)s->width),
              NULL, 0);
    return shape;
}

/* A product, begun. */
static void begin_product(Lower *lo, const AttendGroups *g, const char *what, const AttendSide *s,
                          const KExpr *const *arg)
{
    const char *shape = groups_shape(lo, g, s);
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_group_%s_%s(%%0, %s%%1, %%2, %s)", what,
                           dtype_info(g->t->operand)->name,
                           strcmp(what, "values") == 0 ? "(uint32_t *)" : "", shape),
              arg, 3);
}

void groups_scores(Lower *lo, const AttendGroups *g, uint32_t acc, const KExpr *a, const KExpr *b,
                   const AttendSide *s)
{
    Kernel *k = lo->k;
    const KExpr *arg[] = {ke_addr(k, acc, ke_int(k, 0)), ke_addr(k, g->t->tiles, a),
                          ke_addr(k, g->t->tiles, b)};
    begin_product(lo, g, "scores", s, arg);
}

void groups_values(Lower *lo, const AttendGroups *g, uint32_t acc, uint32_t p, const KExpr *b,
                   const AttendSide *s)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, acc, zero), ke_addr(k, p, zero), ke_addr(k, g->t->tiles, b)};
    begin_product(lo, g, "values", s, arg);
}

void groups_wait(Lower *lo, int most)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_wgmma_wait(%d)", most), NULL, 0);
}

void groups_settle(Lower *lo, uint32_t acc, int64_t columns)
{
    const KExpr *at = ke_addr(lo->k, acc, ke_int(lo->k, 0));
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_settle(%%0, %lld)", (long long)columns / 2),
              &at, 1);
}

uint32_t groups_weights(Lower *lo, const AttendGroups *g)
{
    return ks_local(lo->k, lo->scope->block, "packed", KT_I32, g->t->cols / 4);
}

void groups_pack(Lower *lo, const AttendGroups *g, uint32_t p, uint32_t acc)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, p, zero), ke_addr(k, acc, zero)};
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_pack_%s((uint32_t *)%%0, %%1, %lld)",
                           dtype_info(g->t->operand)->name, (long long)g->t->cols),
              arg, 2);
}

/* ---- by turns ---- */

void groups_lay(Lower *lo, const AttendGroups *g, const KExpr *at, uint32_t p, const AttendSide *s)
{
    Kernel *k = lo->k;
    const char *shape = groups_shape(lo, g, s);
    const KExpr *arg[] = {ke_addr(k, g->t->tiles, at), ke_addr(k, p, ke_int(k, 0))};
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_lay_packed(%%0, (uint32_t *)%%1, %s)", shape),
              arg, 2);
}

void groups_turned(Lower *lo, const AttendGroups *g, uint32_t acc, const KExpr *at,
                   const AttendSide *s)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, acc, zero), ke_addr(k, g->t->tiles, at),
                          ke_addr(k, g->t->tiles, zero)};
    begin_product(lo, g, "turned", s, arg);
}

void groups_lay_sums(Lower *lo, const AttendGroups *g, const KExpr *at, uint32_t acc,
                     const AttendSide *s)
{
    Kernel *k = lo->k;
    const char *shape = groups_shape(lo, g, s);
    const KExpr *arg[] = {ke_addr(k, g->t->tiles, at), ke_addr(k, acc, ke_int(k, 0))};
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_lay_sums((float *)%%0, %%1, %s)", shape), arg,
              2);
}

/* gpu_attend_group.c: the parts of which attention by warpgroups is made. gpu_attend_group.h. */
#include "gpu_attend_group.h"

#include <string.h>

enum { PANEL = 64, GROUP_ROWS = 64, MOST_REGISTERS = 65536 / ATTEND_GROUP };

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
    return (1 + g->groups + 4 * g->t->stages) * (int64_t)sizeof(uint64_t);
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
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_open(%s)", g->name), NULL, 0);
}

/* Copying takes few registers, computing some. One group has as many as a thread may have. */
void groups_begin(Lower *lo, const AttendGroups *g, bool fills)
{
    Kernel *k = lo->k;
    const KExpr *thread = ke_text(k, KT_I64, "mdl_thread()", NULL, 0);
    scope_if(lo, ke_test(k, fills ? ">=" : "<", thread, ke_int(k, g->groups * ATTEND_GROUP)));
    int64_t few = g->computes ? 104 : g->few, many = (MOST_REGISTERS - few) / g->groups / 8 * 8;
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

static void signal(Lower *lo, const AttendGroups *g, const char *state, uint32_t ring,
                   const KExpr *i)
{
    const char *how = strcmp(state, "full") == 0 ? "filled" : "arrive";
    const char *call = arena_printf(lo->arena, "mdl_attend_%s(%s.%s[%u] + (int)%%0 %% %lld)", how,
                                    g->name, state, ring, (long long)g->t->stages);
    copy_call(lo, call, &i, 1);
}

void groups_await(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i)
{
    await(lo, g, "full", ring, i);
}

void groups_release(Lower *lo, const AttendGroups *g, uint32_t ring, const KExpr *i)
{
    signal(lo, g, "free", ring, i);
}

void groups_await_held(Lower *lo, const AttendGroups *g)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_await_full(%s.held, 0, 1)", g->name), NULL,
              0);
}

const char *groups_sync(Lower *lo, const AttendGroups *g)
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

/* ---- who fills ---- */

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

void groups_bring(Lower *lo, const Attend *t, const AttendSide *s, const KExpr *base,
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

Attend groups_all_fillers(Lower *lo, const AttendGroups *g)
{
    return fillers(lo, g, 0, ATTEND_GROUP);
}

void groups_held(Lower *lo, const AttendGroups *g)
{
    copy_call(lo, arena_printf(lo->arena, "mdl_attend_filled(%s.held)", g->name), NULL, 0);
}

Attend groups_ring_fillers(Lower *lo, const AttendGroups *g, uint32_t ring)
{
    return fillers(lo, g, ring * (ATTEND_GROUP / 2), ATTEND_GROUP / 2);
}

void groups_fill(Lower *lo, const AttendGroups *g, const Attend *t, uint32_t ring, const KExpr *i,
                 const KExpr *first)
{
    await(lo, g, "free", ring, i);
    groups_bring(lo, t, g->side[ring], groups_stage(lo, g, ring, i), first, t->cols);
    signal(lo, g, "full", ring, i);
}

/* ---- who multiplies ---- */

/* A product, begun: rows, cols, depth and columns of its shape. */
static void begin_product(Lower *lo, const AttendGroups *g, const char *what, const AttendSide *s,
                          const KExpr *const *arg)
{
    const char *shape = kernel_name(lo->k, "shape");
    copy_call(lo,
              arena_printf(lo->arena, "const MdlAttendGroup %s = {%lld, %lld, %lld, %lld}", shape,
                           (long long)g->t->rows, (long long)g->t->cols,
                           (long long)round_up(dim_fixed(s->columns), 16), (long long)s->width),
              NULL, 0);
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

/* gpu_attend.c: the parts of which the attention kernels of a GPU are made. gpu_attend.h. */
#include "gpu_attend.h"

#include "products.h"

#include <string.h>

enum { CHUNK = 16 };

static int64_t operand_bytes(const Attend *t)
{
    return dtype_info(t->operand)->bytes;
}

static const char *operand_name(const Attend *t)
{
    return dtype_info(t->operand)->name;
}

/* ---- shape ---- */

void attend_describe(Lower *lo, Attend *t, const Attention *a, const Node *const *operand,
                     uint32_t n)
{
    t->a = a;
    t->operand = products_operand(operand[0]);
    for (uint32_t i = 1; i < n; i++)
        if (products_operand(operand[i]) != t->operand)
            t->operand = DT_F32;
    if (!dtype_is_half(t->operand))
        t->operand = DT_F32;
    t->rows = lower_config(lo, "rows");
    t->cols = lower_config(lo, "cols");
    t->stages = lower_config(lo, "stages");
    t->threads = t->rows / 16 * WARP;
    t->groups =
        t->operand != DT_F32 && lower_has_config(lo, "groups") && lower_config(lo, "groups");
    t->kv = dim_fixed(a->kv);
    t->group = dim_fixed(a->g);
    t->heads = t->kv * t->group;
    lo->k->width = (uint32_t)(CHUNK / operand_bytes(t));
}

static void side_index(const Attend *t, const AttendSide *s, const Ix *line, const Ix *column,
                       const Ix **ix)
{
    uint32_t n = 0;
    ix[n++] = t->b;
    ix[n++] = t->n;
    if (s->queries)
        ix[n++] = t->g;
    ix[n++] = s->columns_first ? column : line;
    ix[n] = s->columns_first ? line : column;
}

/* Rows that 8 lanes read at once are in different banks when they are these distances apart. */
static int64_t chunks_apart(int64_t used)
{
    int64_t n = 1;
    while (n < used && n < 8)
        n *= 2;
    return round_up(used, n);
}

void attend_side(Lower *lo, const Attend *t, AttendSide *s)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    const Ix *ix[IR_MAX_RANK];
    s->width = round_up(dim_fixed(s->columns), 16);
    s->used = s->width / lo->k->width;
    s->chunks = chunks_apart(s->used);
    scope_begin(lo, &dry);
    Attend probe = *t;
    probe.b = scope_var(lo, zero, t->a->b);
    probe.n = scope_var(lo, zero, t->a->kv);
    probe.g = scope_var(lo, zero, t->a->g);
    const Ix *line = scope_var(lo, zero, s->lines), *at = NULL;
    const Ix *column = scope_vector_var(lo, zero, s->columns, NULL);
    side_index(&probe, s, line, column, ix);
    s->async = copy_in_runs(lo, s->node, ix, lo->nvar - 1, t->operand);
    if (!s->async)
        return;
    attend_source(lo, &probe, s, line, column, &at);
    if (!index_stride(lo, at, lo->nvar - 2, &s->pitch))
        s->pitch = NULL;
}

const Node *attend_source(Lower *lo, const Attend *t, const AttendSide *s, const Ix *line,
                          const Ix *column, const Ix **at)
{
    const Ix *ix[IR_MAX_RANK];
    side_index(t, s, line, column, ix);
    const Node *n = copy_source(lo->ir, s->node, ix);
    if (n)
        *at = ix_flatten(lo->ir, n->type->dims, ix, n->type->rank);
    return n;
}

int64_t attend_row_bytes(const AttendSide *s)
{
    return s->chunks * CHUNK;
}

/* ---- blocks ---- */

void attend_open(Lower *lo, Attend *t, KPhase *phase)
{
    Kernel *k = lo->k;
    phase->threads = phase->team = (uint32_t)t->threads;
    t->tiles = kernel_shared(k, "tiles", DT_U8, t->shared);
    KBuf b = k->bufs.at[t->tiles];
    b.name = kernel_name(k, "rows");
    b.dtype = DT_F32;
    b.count = dim_const(lo->ir, t->shared / 4);
    t->floats = kernel_buf(k, &b);
    ASSERT(phase->shared <= lo->target->l1);
    scope_begin(lo, phase);
}

void attend_head(Lower *lo, Attend *t, const KExpr *of, bool keys)
{
    Kernel *k = lo->k;
    const Attention *a = t->a;
    const KExpr *kh = ke_int(k, keys ? t->kv : t->heads);
    const KExpr *h = copy_let(lo, "h", ke_index(k, KI_MOD, of, kh));
    t->b = scope_var(lo, copy_let(lo, "b", ke_index(k, KI_DIV, of, kh)), a->b);
    if (keys) {
        t->n = scope_var(lo, h, a->kv);
        return;
    }
    const KExpr *kg = ke_int(k, t->group);
    t->h = scope_var(lo, h, dim_const(lo->ir, t->heads));
    t->n = scope_var(lo, copy_let(lo, "n", ke_index(k, KI_DIV, h, kg)), a->kv);
    t->g = scope_var(lo, copy_let(lo, "g", ke_index(k, KI_MOD, h, kg)), a->g);
}

const KExpr *attend_begin(Lower *lo, Attend *t, KPhase *phase, bool keys, int64_t tiles)
{
    Kernel *k = lo->k;
    attend_open(lo, t, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, tiles);
    const KExpr *of = copy_let(lo, "of", ke_index(k, KI_DIV, task, n));
    const KExpr *tile = ke_index(k, KI_MOD, task, n);
    tile = copy_let(lo, "tile", keys ? tile : ke_sub(lo, ke_int(k, tiles - 1), tile));
    attend_head(lo, t, of, keys);
    return tile;
}

static const KExpr *place(Lower *lo, const char *stem, const char *text)
{
    return copy_let(lo, stem, ke_text(lo->k, KT_I64, text, NULL, 0));
}

void attend_places(Lower *lo, Attend *t)
{
    t->thread = place(lo, "thread", "mdl_thread()");
    t->row = place(lo, "row", "mdl_warp() * 16 + mdl_lane() / 4");
    t->column = place(lo, "column", "mdl_lane() % 4 * 2");
}

/* ---- operands ---- */

/* A run of W elements that a thread brings. */
typedef struct Run {
    const Attend *t;
    const AttendSide *s;
    const KExpr *line, *column, *inside, *to;
    int64_t columns;
} Run;

static void run_index(Lower *lo, const Run *r, const KExpr *lanes, const Ix **ix)
{
    const Ix *line = scope_var(lo, r->line, r->s->lines);
    const Ix *column = scope_vector_var(lo, r->column, r->s->columns, lanes);
    side_index(r->t, r->s, line, column, ix);
}

static const KExpr *run_lanes(Lower *lo, const Run *r)
{
    Kernel *k = lo->k;
    return ke_min(lo, ke_int(k, k->width), ke_sub(lo, ke_int(k, r->columns), r->column));
}

static const Node *run_source(Lower *lo, const void *run, const Ix **at)
{
    const Run *r = run;
    const Ix *line = scope_var(lo, r->line, r->s->lines);
    const Ix *column = scope_vector_var(lo, r->column, r->s->columns, NULL);
    const Node *n = attend_source(lo, r->t, r->s, line, column, at);
    ASSERT(n);
    return n;
}

static void copy_run(Lower *lo, const Run *r)
{
    Kernel *k = lo->k;
    const KExpr *some = r->columns % k->width ? run_lanes(lo, r) : ke_int(k, k->width);
    const KExpr *arg[] = {r->inside, ke_mul(lo, some, ke_int(k, operand_bytes(r->t)))};
    const KExpr *bytes = copy_let(lo, "bytes", ke_text(k, KT_I64, "(%0 ? %1 : 0)", arg, 2));
    const KExpr *from = copy_place(lo, &(CopySpot){"from", r->inside, run_source, r});
    const KExpr *copy[] = {ke_addr(k, r->t->tiles, r->to), from, bytes};
    copy_call(lo, "mdl_cp_async16(%0, %1, (int)%2)", copy, 3);
}

static void compute_run(Lower *lo, const Run *r)
{
    Kernel *k = lo->k;
    const Ix *ix[IR_MAX_RANK];
    const KExpr *x = ks_var(k, lo->scope->block, "run", ke_num(k, KT_VF, 0));
    scope_if(lo, r->inside);
    const KExpr *lanes = NULL;
    if (r->columns % k->width)
        lanes = copy_let(lo, "lanes", run_lanes(lo, r));
    run_index(lo, r, lanes, ix);
    const KExpr *e = lower_spread(lo, lower_value(lo, r->s->node, ix));
    /* what is computed of nothing need not be zero */
    ks_set(k, lo->scope->block, x, lower_first_lanes(lo, lanes, e, ke_num(k, KT_VF, 0)));
    scope_end(lo);
    const KExpr *store[] = {ke_addr(k, r->t->tiles, r->to), x};
    const char *type = r->t->operand == DT_F32 ? "float" : "uint16_t";
    copy_call(lo,
              arena_printf(lo->arena, "mdl_storea_%s((%s *)%%0, %%1)", operand_name(r->t), type),
              store, 2);
}

void attend_bring(Lower *lo, const Attend *t, const AttendSide *s, const KExpr *base,
                  const KExpr *first, int64_t count)
{
    Kernel *k = lo->k;
    Run r = {.t = t, .s = s, .columns = dim_fixed(s->columns)};
    const KExpr *major, *minor;
    ShareSpec share = {t->thread, t->threads, count * s->used, true};
    share_open_rows(lo, &share, s->used, &major, &minor);
    const KExpr *arg[] = {major, minor, ke_int(k, t->groups ? count : s->chunks)};
    const char *place = t->groups ? "mdl_line(%0, %1, %2)" : "mdl_chunk(%0, %1, %2)";
    r.to = ke_add(lo, base, ke_text(k, KT_I64, place, arg, 3));
    r.line = copy_let(lo, "line", ke_add(lo, first, major));
    r.column = copy_let(lo, "column", ke_mul(lo, minor, ke_int(k, k->width)));
    r.inside = ke_test(k, "<", r.line, ke_extent(k, s->lines));
    if (s->width - k->width >= r.columns)
        r.inside = ke_test(k, "&&", r.inside, ke_test(k, "<", r.column, ke_int(k, r.columns)));
    if (s->async)
        copy_run(lo, &r);
    else
        compute_run(lo, &r);
    share_close(lo);
}

/* ---- the ring ---- */

void attend_wait(Lower *lo)
{
    copy_call(lo, "mdl_cp_wait(0)", NULL, 0);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
}

static const KExpr *stage_base(Lower *lo, const Attend *t, const AttendRing *r, const KExpr *step)
{
    Kernel *k = lo->k;
    const KExpr *stage = ke_index(k, KI_MOD, step, ke_int(k, t->stages));
    return copy_let(lo, "base",
                    ke_add(lo, ke_int(k, r->at), ke_mul(lo, stage, ke_int(k, r->bytes))));
}

static void bring_step(Lower *lo, const Attend *t, const AttendRing *r, const KExpr *step)
{
    scope_if(lo, ke_test(lo->k, "<", step, r->to));
    r->bring(lo, r->user, stage_base(lo, t, r, step), step);
    scope_end(lo);
    copy_call(lo, "mdl_cp_commit()", NULL, 0);
}

void attend_walk(Lower *lo, const Attend *t, const AttendRing *r)
{
    Kernel *k = lo->k;
    int64_t ahead = t->stages - 1;
    const KExpr *start = ke_add(lo, r->from, ke_int(k, ahead));
    scope_loop(lo, &(LoopSpec){.stem = "step",
                               .lo = r->from,
                               .hi = start,
                               .extent = dim_const(lo->ir, r->most + ahead)});
    bring_step(lo, t, r, lo->var[lo->nvar - 1].at);
    scope_end(lo);
    scope_loop(
        lo, &(LoopSpec){
                .stem = "step", .lo = r->from, .hi = r->to, .extent = dim_const(lo->ir, r->most)});
    const KExpr *step = lo->var[lo->nvar - 1].at;
    copy_call(lo, arena_printf(lo->arena, "mdl_cp_wait(%lld)", (long long)(ahead - 1)), NULL, 0);
    copy_call(lo, "mdl_syncthreads()", NULL, 0);
    bring_step(lo, t, r, copy_let(lo, "next", ke_add(lo, step, ke_int(k, ahead))));
    r->use(lo, r->user, stage_base(lo, t, r, step), step);
    scope_end(lo);
}

/* ---- accumulators ---- */

uint32_t attend_sums(Lower *lo, const char *stem, int64_t n)
{
    return ks_local(lo->k, lo->scope->block, stem, KT_F32, n / 2);
}

void attend_fill(Lower *lo, uint32_t acc, int64_t n, double value)
{
    Kernel *k = lo->k;
    KStmt *s = ks_for(k, lo->scope->block, kernel_name(k, "i"), ke_int(k, 0), ke_int(k, n));
    s->unroll = true;
    ks_store(k, &s->body, acc, ke_var(k, KT_I64, s->name), ke_num(k, KT_F32, value));
}

static void multiply(Lower *lo, const Attend *t, const char *what, const KExpr *const *arg,
                     const AttendSide *s)
{
    copy_call(lo,
              arena_printf(lo->arena, "mdl_attend_%s_%s(%%0, %%1, %%2, %lld, %lld, %lld)", what,
                           operand_name(t), (long long)t->cols, (long long)s->width,
                           (long long)s->chunks),
              arg, 3);
}

void attend_scores(Lower *lo, const Attend *t, uint32_t acc, const KExpr *a, const KExpr *b,
                   const AttendSide *s)
{
    Kernel *k = lo->k;
    const KExpr *arg[] = {ke_addr(k, acc, ke_int(k, 0)), ke_addr(k, t->tiles, a),
                          ke_addr(k, t->tiles, b)};
    multiply(lo, t, "scores", arg, s);
}

void attend_values(Lower *lo, const Attend *t, uint32_t acc, uint32_t p, const KExpr *b,
                   const AttendSide *s)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0);
    const KExpr *arg[] = {ke_addr(k, acc, zero), ke_addr(k, p, zero), ke_addr(k, t->tiles, b)};
    multiply(lo, t, "values", arg, s);
}

/* ---- elements ---- */

static const KExpr *unrolled(Lower *lo, const char *stem, int64_t n)
{
    scope_loop(lo, &(LoopSpec){.stem = stem,
                               .lo = ke_int(lo->k, 0),
                               .hi = ke_int(lo->k, n),
                               .extent = dim_const(lo->ir, n),
                               .unroll = true});
    return lo->var[lo->nvar - 1].at;
}

/* Whether tiles of so many lines may go past the last one. */
static bool is_ragged(const Dim *extent, int64_t lines)
{
    int64_t n;
    return !dim_is_const(extent, &n) || n % lines != 0;
}

/* The query or key at `at`. Rows of the block may lie past the last one, those of a step where it is cut. */
static const Ix *clamped(Lower *lo, const char *stem, const KExpr *at, const Dim *extent, bool cut)
{
    Kernel *k = lo->k;
    if (cut)
        at = ke_min(lo, at, ke_sub(lo, ke_extent(k, extent), ke_int(k, 1)));
    return scope_var(lo, copy_let(lo, stem, at), extent);
}

/* Opens the loop over this thread's two rows; whether there is such a row, if that is asked. */
static const Ix *open_row(Lower *lo, const Attend *t, const AttendEach *each, const KExpr **r,
                          const KExpr **inside)
{
    const KExpr *first = ke_add(lo, each->turned ? each->u0 : each->t0, t->row);
    *r = unrolled(lo, "r", 2);
    const KExpr *at = ke_add(lo, first, ke_mul(lo, *r, ke_int(lo->k, 8)));
    const Dim *rows = each->turned ? t->a->s : t->a->t;
    if (each->cut && each->rows && is_ragged(rows, t->rows))
        *inside = ke_test(lo->k, "<", at, ke_extent(lo->k, rows));
    return clamped(lo, each->turned ? "u" : "t", at, rows, is_ragged(rows, t->rows));
}

/* What depends on the query alone is found once: the loop over queries is the outer one. */
void attend_each(Lower *lo, const Attend *t, const AttendEach *each)
{
    Kernel *k = lo->k;
    const KExpr *r = NULL, *there = NULL;
    const Ix *row = each->turned ? NULL : open_row(lo, t, each, &r, &there);
    const Dim *cols = each->turned ? t->a->t : t->a->s;
    bool past = each->cut && is_ragged(cols, t->cols);
    const KExpr *first = ke_add(lo, each->turned ? each->t0 : each->u0, t->column);
    const KExpr *j = unrolled(lo, "j", t->cols / 8), *c = unrolled(lo, "c", 2);
    const KExpr *at = ke_add(lo, ke_add(lo, first, ke_mul(lo, j, ke_int(k, 8))), c);
    at = copy_let(lo, "place", at);
    AttendElement e = {0};
    e.line = ke_add(lo, ke_add(lo, t->column, ke_mul(lo, j, ke_int(k, 8))), c);
    if (past)
        e.inside = ke_test(k, "<", at, ke_extent(k, cols));
    const Ix *col = clamped(lo, each->turned ? "t" : "u", at, cols, past);
    if (each->turned)
        row = open_row(lo, t, each, &r, &there);
    if (there)
        e.inside = e.inside ? ke_test(k, "&&", e.inside, there) : there;
    e.at = ke_add(lo, ke_mul(lo, j, ke_int(k, 4)), ke_add(lo, ke_mul(lo, r, ke_int(k, 2)), c));
    e.t = each->turned ? col : row;
    e.u = each->turned ? row : col;
    e.row = r;
    each->fn(lo, &e, each->user);
    for (int i = 0; i < 3; i++)
        scope_end(lo);
}

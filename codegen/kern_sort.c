/* kern_sort.c: the order of each line of an axis.
 *
 * A task takes lines one by one: it evaluates the operand once per element into keys whose unsigned order
 * is the wanted one (descending: all bits turned), orders them (runtime/prelude/c/mdl_sort.h) and stores
 * the indices. Sorting is stable, so nothing depends on who does what. On a GPU all threads of a block take
 * a long line together (mdl_block_sort.h), and some blocks a very long one, if there are few: a block a part of it,
 * in a round of two launches for each byte of the keys. */
#include "lines.h"

enum {
    LONG_LINE = 256,
    VERY_LONG = 8192,
    BLOCK_THREADS = 512,
    MOST_THREADS = 1024,
    BINS = 256,
    FEW_LINES = 16, /* which would leave most multiprocessors idle */
    PART_THREADS = 256,
    LEAST_PART = 1024,
    MOST_PARTS = 64 /* each block reads the counts of all */
};

typedef struct Sorted {
    Lines l;
    const Ix *outer, *inner;
    uint32_t keys, order; /* scratch, twice a line */
    uint32_t counts;      /* shared: of the warps of a block */
    const KExpr *base;    /* where the line's keys are; NULL: at the beginning */
} Sorted;

static void put_key(Lower *lo, const Ix *i, void *user)
{
    const Sorted *s = user;
    const LowerVar var = lo->var[lo->nvar - 1];
    const Ix *ix[IR_MAX_RANK];
    line_index(lo, &s->l, (const Ix *[]){s->outer, i, s->inner}, ix);
    const KExpr *x = lower_value(lo, s->l.n->in[0], ix);
    x = var.vector ? lower_spread(lo, x) : x;
    bool wide = lo->k->bufs.at[s->keys].dtype == DT_I64;
    KType t = var.vector ? KT_VI : wide ? KT_I64 : KT_I32;
    const KExpr *arg[] = {x};
    const char *text = arena_printf(lo->arena, "mdl_sort_key%s(%%0)", ktype_suffix(x->type));
    const KExpr *key = ke_text(lo->k, t, text, arg, 1);
    if (node_int(s->l.n, "descending"))
        key = ke_text(lo->k, t, "(~%0)", &key, 1);
    const KExpr *to = s->base ? ke_add(lo, s->base, var.at) : var.at;
    ks_store(lo->k, lo->scope->block, s->keys, to, key)->lanes = var.lanes;
}

static void put_index(Lower *lo, const Ix *i, void *user)
{
    const Sorted *s = user;
    const LowerVar var = lo->var[lo->nvar - 1];
    const Ix *ix[IR_MAX_RANK];
    line_index(lo, &s->l, (const Ix *[]){s->outer, i, s->inner}, ix);
    const KExpr *at = var.vector ? ke_vload(lo->k, s->order, var.at, var.lanes)
                                 : ke_load(lo->k, s->order, var.at);
    lower_store(lo, 0, ix, at);
}

static void order_keys(Lower *lo, const Sorted *s)
{
    Kernel *k = lo->k;
    const KExpr *zero = ke_int(k, 0), *n = ke_extent(k, s->l.length);
    const char *type = k->bufs.at[s->keys].dtype == DT_I64 ? "u64" : "u32";
    const KExpr *arg[5] = {ke_addr(k, s->keys, zero), ke_addr(k, s->order, zero), n};
    if (!lo->team) {
        const char *text = arena_printf(lo->arena, "mdl_argsort_%s(%%0, %%1, %%2)", type);
        ks_call(k, lo->scope->block, ke_text(k, KT_PTR, text, arg, 3));
        return;
    }
    const char *text = arena_printf(lo->arena, "mdl_block_argsort_%s(%%0, %%1, %%2, %%3, %lld)",
                                    type, (long long)lo->team / WARP);
    arg[3] = ke_addr(k, s->counts, zero);
    team_wait(lo);
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, text, arg, 4));
}

static void sort_line(Lower *lo, Sorted *s)
{
    const KExpr *zero = ke_int(lo->k, 0), *n = ke_extent(lo->k, s->l.length);
    LanesSpec spec = {.stem = "i", .lo = zero, .hi = n, .extent = s->l.length};
    lower_lanes(lo, &spec, put_key, s);
    order_keys(lo, s);
    lower_lanes(lo, &spec, put_index, s);
}

/* A block per line, where lines are long. */
static void open_phase(Lower *lo, Sorted *s, const Dim *tasks)
{
    KPhase *phase = kernel_phase(lo->k, "", tasks, "orders lines");
    int64_t n = dim_hi(lo->ir, s->l.length), team = n < VERY_LONG ? BLOCK_THREADS : MOST_THREADS;
    bool together = phase->threads && n >= LONG_LINE;
    if (together) {
        phase->threads = (uint32_t)team;
        s->counts = kernel_shared(lo->k, "counts", DT_I32, (team / WARP + 1) * BINS);
    }
    scope_begin(lo, phase);
    if (together)
        team_begin(lo, phase, team);
}

/* ---- by parts ---- */

typedef struct Parts {
    Sorted s;
    const Dim *lines;
    int64_t each, parts,
        room;       /* keys of a part; parts of a line; keys of a line, at the upper end */
    uint32_t table; /* keys of each part and bin, in memory */
    const char *type;
    const KExpr *line, *part, *from, *to; /* of the block */
} Parts;

static bool is_parted(const Lower *lo, const Sorted *s)
{
    return lo->k->threads && dim_hi(lo->ir, s->l.length) >= VERY_LONG &&
           dim_equals(s->l.inner, 1) && dim_hi(lo->ir, s->l.outer) <= FEW_LINES &&
           s->l.n->type->dtype == DT_I32;
}

/* A block per part of a line. */
static void open_part(Lower *lo, Parts *p, const char *suffix, const char *doc)
{
    Kernel *k = lo->k;
    KPhase *phase =
        kernel_phase(k, suffix, dim_mul(lo->ir, p->lines, dim_const(lo->ir, p->parts)), doc);
    phase->threads = PART_THREADS;
    p->s.counts = kernel_shared(k, "counts", DT_I32, (PART_THREADS / WARP + 2) * BINS);
    scope_begin(lo, phase);
    team_begin(lo, phase, PART_THREADS);
    KBlock *b = lo->scope->block;
    const KExpr *parts = ke_int(k, p->parts), *n = ke_extent(k, p->s.l.length);
    p->part = ks_let(k, b, "part", ke_index(k, KI_MOD, lower_task(lo), parts));
    p->line = ks_let(k, b, "line", ke_index(k, KI_DIV, lower_task(lo), parts));
    p->from = ks_let(k, b, "from", ke_min(lo, ke_mul(lo, p->part, ke_int(k, p->each)), n));
    p->to = ks_let(k, b, "to", ke_min(lo, ke_add(lo, p->from, ke_int(k, p->each)), n));
}

/* Where the line's keys and indices are in this round, or go to (1). */
static const KExpr *half_at(Lower *lo, const Parts *p, int64_t next)
{
    Kernel *k = lo->k;
    const KExpr *turn = ke_add(lo, kernel_round(k), ke_int(k, next));
    const KExpr *half = ke_index(k, KI_MOD, turn, ke_int(k, 2));
    half = ke_add(lo, ke_mul(lo, p->line, ke_int(k, 2)), half);
    return ks_let(k, lo->scope->block, "half", ke_mul(lo, half, ke_int(k, p->room)));
}

static void count_part(Lower *lo, Parts *p)
{
    Kernel *k = lo->k;
    open_part(lo, p, "count", "counts the keys of a part of a line");
    const KExpr *half = half_at(lo, p, 0);
    scope_if(lo, ke_test(k, "==", kernel_round(k), ke_int(k, 0)));
    p->s.outer = scope_var(lo, p->line, p->s.l.outer);
    p->s.inner = ix_int(lo->ir, 0);
    p->s.base = half;
    LanesSpec spec = {.stem = "i", .lo = p->from, .hi = p->to, .extent = p->s.l.length};
    lower_lanes(lo, &spec, put_key, &p->s);
    team_wait(lo);
    scope_end(lo);
    const KExpr *table = ke_mul(lo, p->line, ke_int(k, p->parts * BINS));
    const KExpr *arg[] = {ke_addr(k, p->s.keys, half),
                          p->from,
                          p->to,
                          kernel_round(k),
                          ke_addr(k, p->table, table),
                          p->part,
                          ke_addr(k, p->s.counts, ke_int(k, 0))};
    const char *text =
        arena_printf(lo->arena, "mdl_part_count_%s(%%0, %%1, %%2, %%3, %%4, %%5, %%6, %d)", p->type,
                     PART_THREADS / WARP);
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, text, arg, COUNT(arg)));
}

static void place_part(Lower *lo, Parts *p)
{
    Kernel *k = lo->k;
    open_part(lo, p, "", "places the keys of a part of a line");
    const KExpr *half = half_at(lo, p, 0), *other = half_at(lo, p, 1);
    const KExpr *table = ke_mul(lo, p->line, ke_int(k, p->parts * BINS));
    const KExpr *result = ke_mul(lo, p->line, ke_extent(k, p->s.l.length));
    const KExpr *to[] = {ke_test(k, "==", kernel_round(k), ke_int(k, k->again)),
                         ke_addr(k, lo->out[0], result), ke_addr(k, p->s.order, other)};
    const KExpr *where[] = {ke_addr(k, p->s.keys, half), ke_addr(k, p->s.order, half),
                            ke_addr(k, p->s.keys, other),
                            ke_text(k, KT_PTR, "(%0 ? %1 : %2)", to, 3)};
    const KExpr *what[] = {p->from,
                           p->to,
                           kernel_round(k),
                           ke_addr(k, p->table, table),
                           p->part,
                           ke_int(k, p->parts),
                           ke_addr(k, p->s.counts, ke_int(k, 0))};
    const KExpr *arg[] = {ke_text(k, KT_PTR, "%0, %1, %2, %3", where, COUNT(where)),
                          ke_text(k, KT_PTR, "%0, %1, %2, %3, %4, %5, %6", what, COUNT(what))};
    const char *text =
        arena_printf(lo->arena, "mdl_part_place_%s(%%0, %%1, %d)", p->type, PART_THREADS / WARP);
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, text, arg, 2));
}

/* The last round leaves the indices where the result lies. */
static void sort_by_parts(Lower *lo, const Sorted *s, DType keys)
{
    Kernel *k = lo->k;
    Parts p = {.s = *s, .lines = s->l.outer, .room = dim_hi(lo->ir, s->l.length)};
    p.parts = smaller(ceil_div(p.room, LEAST_PART), MOST_PARTS);
    p.each = round_up(ceil_div(p.room, p.parts), PART_THREADS);
    p.type = keys == DT_I64 ? "u64" : "u32";
    const Dim *both = dim_mul(lo->ir, p.lines, dim_const(lo->ir, 2 * p.room));
    p.s.keys = kernel_workspace(k, "keys", keys, both);
    p.s.order = kernel_workspace(k, "order", DT_I32, both);
    p.table = kernel_workspace(k, "table", DT_I32,
                               dim_mul(lo->ir, p.lines, dim_const(lo->ir, p.parts * BINS)));
    k->again = (uint32_t)dtype_info(keys)->bytes - 1;
    count_part(lo, &p);
    place_part(lo, &p);
}

void lower_sort(Lower *lo)
{
    Kernel *k = lo->k;
    Sorted s = {.l = lines_of(lo, OC_SORT)};
    DType dt = s.l.n->in[0]->type->dtype;
    if (is_parted(lo, &s)) {
        lo->scalar = lo->scalar || !dtype_has_vector(dt);
        sort_by_parts(lo, &s, dtype_has_vector(dt) ? DT_I32 : DT_I64);
        return;
    }
    int64_t room = 2 * dim_hi(lo->ir, s.l.length), grain = lower_config(lo, "grain");
    lo->scalar = lo->scalar || !dtype_has_vector(dt);
    s.keys = kernel_scratch(k, "keys", dtype_has_vector(dt) ? DT_I32 : DT_I64, room);
    s.order = kernel_scratch(k, "order", DT_I32, room);
    const Dim *lines = dim_mul(lo->ir, s.l.outer, s.l.inner);
    grain = grain > 0 ? grain : 1;
    const Dim *tasks =
        grain == 1 ? lines : dim_const(lo->ir, ceil_div(dim_hi(lo->ir, lines), grain));
    open_phase(lo, &s, tasks);
    const KExpr *from = ke_mul(lo, lower_task(lo), ke_int(k, grain));
    const KExpr *to = ke_min(lo, ke_add(lo, from, ke_int(k, grain)), ke_extent(k, lines));
    const Ix *line =
        scope_loop(lo, &(LoopSpec){.stem = "l", .lo = from, .hi = to, .extent = lines});
    const Dim *dims[] = {s.l.outer, s.l.inner};
    const Ix *at[2];
    ix_unflatten(lo->ir, line, dims, 2, at);
    s.outer = at[0];
    s.inner = at[1];
    sort_line(lo, &s);
    scope_end(lo);
}

/* kern_sort.c: the order of each line of an axis.
 *
 * A task takes lines one by one: it evaluates the operand once per element into keys whose unsigned order
 * is the wanted one (descending: all bits turned), orders them (runtime/prelude/c/mdl_sort.h) and stores
 * the indices. Sorting is stable, so nothing depends on who does what. On a GPU all threads of a block take
 * a long line together (mdl_block_sort.h). */
#include "lines.h"

enum {
    LONG_LINE = 256,
    VERY_LONG = 8192,
    BLOCK_THREADS = 512,
    MOST_THREADS = 1024,
    WARP = 32,
    BINS = 256
};

typedef struct Sorted {
    Lines l;
    const Ix *outer, *inner;
    uint32_t keys, order; /* scratch, twice a line */
    uint32_t counts;      /* shared: of the warps of a block */
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
    ks_store(lo->k, lo->scope->block, s->keys, var.at, key)->lanes = var.lanes;
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

void lower_sort(Lower *lo)
{
    Kernel *k = lo->k;
    Sorted s = {.l = lines_of(lo, OC_SORT)};
    DType dt = s.l.n->in[0]->type->dtype;
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

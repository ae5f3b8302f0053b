/* gpu_prefix.c: a running sum along a long line, by all threads of a block (or of a warp) on a GPU.
 *
 * The team walks the line in chunks. Of a piece of a chunk each thread has neighbours, as many as a vector
 * holds, so memory is read in order; it sums them, lanes sum what lanes before them have by shuffles, warps by way of
 * shared memory, and pieces by `carry`. So the order of additions follows from the team and the length alone, and
 * between an element and its result lie few of them:
 *
 *   log2 W + 5 + log2 warps + 3 + pieces of the line up to there
 *
 * each of which rounds once: the result is off by at most so many units of rounding (2^-24 in f32) of the sum of
 * magnitudes, where the plain loop may be off by as many as there are elements. What a result is made of is
 * what the plain loop makes it of, so NaN and infinities are where that has them. Sums of integers are the same.
 * Running products of floats are a thread's (`pieces` in ops.def): that of a piece may overflow, and 0 times that is
 * NaN. */
#include "lines.h"

enum { WARPS = 4, MOST_PIECES = 4 };

typedef struct Chunk {
    Lines l;
    const Ix *outer, *inner;
    const KExpr *n, *lane, *warp, *from, *carry;
    KType type, one; /* of what a thread has of a piece; of an element */
    int64_t width, team, pieces;
    uint32_t parts; /* shared: what each warp has of each piece, twice */
    const KExpr *at[MOST_PIECES], *x[MOST_PIECES];
    const KExpr *end[MOST_PIECES]; /* this lane's and all before it in the warp */
} Chunk;

static int64_t size_of(const Chunk *c)
{
    return c->width * c->team * c->pieces;
}

static const KExpr *neutral(Lower *lo, const Chunk *c, KType t)
{
    return ke_num(lo->k, t, op_info(c->l.n->op)->neutral);
}

/* a, then b. Integers wrap at each step; floats are rounded to their type when stored. */
static const KExpr *join(Lower *lo, const Chunk *c, const KExpr *a, const KExpr *b)
{
    DType dt = c->l.n->type->dtype;
    const KExpr *e = ke_apply(lo, b->type, gen_template(c->l.n, dt), a, b);
    e = dtype_is_float(dt) ? e : lower_fit(lo, dt, e);
    return ks_let(lo->k, lo->scope->block, "sum", e);
}

/* x of the lane so many before; of lane n. */
static const KExpr *exchange(Lower *lo, const char *name, int64_t n, const KExpr *x)
{
    const char *text = arena_printf(lo->arena, "%s%%t(%%0, %lld)", name, (long long)n);
    return ks_let(lo->k, lo->scope->block, "other", ke_apply(lo, x->type, text, x, NULL));
}

static const KExpr *up(Lower *lo, const KExpr *x, int64_t h)
{
    return exchange(lo, "mdl_shfl_up", h, x);
}

static const KExpr *of_lane(Lower *lo, const KExpr *x, int64_t lane)
{
    return exchange(lo, "mdl_shfl", lane, x);
}

static const KExpr *choose(Lower *lo, const KExpr *cond, const KExpr *a, const KExpr *b)
{
    const KExpr *arg[] = {cond, a, b};
    const KExpr *e = ke_text(lo->k, b->type, "mdl_select%t(%0, %1, %2)", arg, 3);
    return ks_let(lo->k, lo->scope->block, "end", e);
}

/* x of this lane and all lanes before it, in groups of `lanes`. */
static const KExpr *scan_warp(Lower *lo, const Chunk *c, const KExpr *x, int64_t lanes)
{
    for (int64_t h = 1; h < lanes; h *= 2) {
        const KExpr *before = up(lo, x, h);
        const KExpr *has = ke_test(lo->k, ">=", c->lane, ke_int(lo->k, h));
        x = choose(lo, has, join(lo, c, before, x), x);
    }
    return x;
}

/* Of what scan_warp() gave: all lanes before this one. */
static const KExpr *before_lane(Lower *lo, const Chunk *c, const KExpr *end)
{
    const KExpr *before = up(lo, end, 1);
    const KExpr *first = ke_test(lo->k, "==", c->lane, ke_int(lo->k, 0));
    return choose(lo, first, neutral(lo, c, end->type), before);
}

/* Opens a scope in which the elements of this thread in piece u are the innermost variable; gives their index. */
static void open_piece(Lower *lo, const Chunk *c, int64_t u, const Ix **ix)
{
    Kernel *k = lo->k;
    const Ix *i;
    int64_t n, w = c->width;
    bool fixed = dim_is_const(c->l.length, &n);
    if (fixed && n % size_of(c) == 0)
        scope_plain(lo);
    else
        scope_if(lo, ke_test(k, "<", c->at[u], c->n));
    const KExpr *lanes = ke_min(lo, ke_sub(lo, c->n, c->at[u]), ke_int(k, w));
    i = scope_vector_var(lo, c->at[u], c->l.length, fixed && n % w == 0 ? NULL : lanes);
    if (node_int(c->l.n, "reverse")) {
        const Dim *last = dim_sub(lo->ir, c->l.length, dim_const(lo->ir, 1));
        const Ix *back = ix_mul(lo->ir, i, dim_const(lo->ir, -1));
        i = ix_add(lo->ir, ix_const(lo->ir, last), back);
    }
    line_index(lo, &c->l, (const Ix *[]){c->outer, i, c->inner}, ix);
}

static void load_piece(Lower *lo, Chunk *c, int64_t u)
{
    Kernel *k = lo->k;
    const Ix *ix[IR_MAX_RANK];
    const KExpr *at = ke_add(lo, c->from, ke_int(k, u * c->width * c->team));
    at = ke_add(lo, at, ke_mul(lo, lo->rank, ke_int(k, c->width)));
    c->at[u] = ks_let(k, lo->scope->block, "at", at);
    c->x[u] = ks_var(k, lo->scope->block, "x", neutral(lo, c, c->type));
    open_piece(lo, c, u, ix);
    const KExpr *x = lower_value(lo, c->l.n->in[0], ix);
    ks_set(k, lo->scope->block, c->x[u], c->width > 1 ? lower_spread(lo, x) : x);
    scope_end(lo);
}

/* What this thread has of a piece, summed up, and the same of its warp. */
static void scan_piece(Lower *lo, Chunk *c, int64_t u)
{
    const KExpr *x = c->x[u], *zero = neutral(lo, c, c->one);
    for (int64_t h = 1; h < c->width; h *= 2) {
        const char *text = arena_printf(lo->arena, "mdl_shift%%t(%%1, %lld, %%0)", (long long)h);
        x = join(lo, c, ke_apply(lo, c->type, text, zero, x), x);
    }
    c->x[u] = x;
    x = c->width > 1 ? ke_apply(lo, c->one, "mdl_last%t(%0)", x, NULL) : x;
    c->end[u] = scan_warp(lo, c, x, WARP);
}

/* The place of the first warp's part of piece u: chunks use two halves by turns, so one barrier a chunk is enough. */
static const KExpr *part_of(Lower *lo, const Chunk *c, int64_t u)
{
    Kernel *k = lo->k;
    int64_t warps = c->team / WARP;
    const KExpr *at = ke_int(k, u * warps);
    if (dim_hi(lo->ir, c->l.length) <= size_of(c))
        return at;
    const KExpr *turn = ke_index(k, KI_DIV, c->from, ke_int(k, size_of(c)));
    turn = ke_index(k, KI_MOD, turn, ke_int(k, 2));
    return ke_add(lo, ke_mul(lo, turn, ke_int(k, c->pieces * warps)), at);
}

static void leave_parts(Lower *lo, const Chunk *c)
{
    Kernel *k = lo->k;
    scope_if(lo, ke_test(k, "==", c->lane, ke_int(k, WARP - 1)));
    for (int64_t u = 0; u < c->pieces; u++)
        ks_store(k, lo->scope->block, c->parts, ke_add(lo, part_of(lo, c, u), c->warp), c->end[u]);
    scope_end(lo);
    team_wait(lo);
}

/* What warps before this one have of piece u, and what all have. Every warp finds it for itself. */
static const KExpr *join_warps(Lower *lo, const Chunk *c, int64_t u, const KExpr **all)
{
    Kernel *k = lo->k;
    int64_t warps = c->team / WARP;
    const KExpr *part = ks_var(k, lo->scope->block, "part", neutral(lo, c, c->one));
    scope_if(lo, ke_test(k, "<", c->lane, ke_int(k, warps)));
    const KExpr *at = ke_add(lo, part_of(lo, c, u), c->lane);
    ks_set(k, lo->scope->block, part, ke_load(k, c->parts, at));
    scope_end(lo);
    const KExpr *end = scan_warp(lo, c, part, warps);
    *all = of_lane(lo, end, warps - 1);
    const KExpr *arg[] = {c->warp, before_lane(lo, c, end)};
    const KExpr *e = ke_text(k, c->one, "mdl_shfl%t(%1, (int)%0)", arg, 2);
    return ks_let(k, lo->scope->block, "before", e);
}

static void store_piece(Lower *lo, const Chunk *c, int64_t u, const KExpr *before)
{
    const Ix *ix[IR_MAX_RANK];
    before = join(lo, c, before, before_lane(lo, c, c->end[u]));
    before = c->width > 1 ? lower_spread(lo, before) : before;
    const KExpr *y = join(lo, c, before, c->x[u]);
    open_piece(lo, c, u, ix);
    lower_store(lo, 0, ix, lower_fit(lo, c->l.n->type->dtype, y));
    scope_end(lo);
}

static void walk_line(Lower *lo, Chunk *c)
{
    Kernel *k = lo->k;
    c->carry = ks_var(k, lo->scope->block, "carry", neutral(lo, c, c->one));
    scope_loop(lo, &(LoopSpec){.stem = "from",
                               .lo = ke_int(k, 0),
                               .hi = c->n,
                               .extent = c->l.length,
                               .step = size_of(c)});
    c->from = lo->var[lo->nvar - 1].at;
    for (int64_t u = 0; u < c->pieces; u++)
        load_piece(lo, c, u);
    for (int64_t u = 0; u < c->pieces; u++)
        scan_piece(lo, c, u);
    if (c->team > WARP)
        leave_parts(lo, c);
    for (int64_t u = 0; u < c->pieces; u++) {
        const KExpr *all, *before = c->carry;
        if (c->team > WARP)
            before = join(lo, c, before, join_warps(lo, c, u, &all));
        else
            all = of_lane(lo, c->end[u], WARP - 1);
        store_piece(lo, c, u, before);
        ks_set(k, lo->scope->block, c->carry, join(lo, c, c->carry, all));
    }
    scope_end(lo);
}

/* Pieces of a chunk: as many as the line has, and as registers hold well. */
static void size_chunk(Lower *lo, Chunk *c)
{
    DType dt = c->l.n->type->dtype;
    int64_t n = larger(dim_hi(lo->ir, c->l.length), 1);
    c->width = lo->scalar ? 1 : (int64_t)lo->k->width;
    c->one = ktype_of(dt);
    c->type = lo->scalar ? c->one : ktype_vector(c->one);
    c->pieces = smaller(ceil_div(n, c->width * c->team), MOST_PIECES);
}

static DType kept_as(KType t)
{
    return t == KT_F32 ? DT_F32 : t == KT_F64 ? DT_F64 : t == KT_I64 ? DT_I64 : DT_I32;
}

void gpu_prefix(Lower *lo)
{
    Kernel *k = lo->k;
    Chunk c = {.l = lines_of(lo, OC_SCAN), .team = lower_config(lo, "team")};
    if (c.team == 1) {
        lower_prefix(lo);
        return;
    }
    const Dim *lines = dim_mul(lo->ir, c.l.outer, c.l.inner);
    KPhase *phase = kernel_phase(k, "", lines, "along a line, all threads of a team together");
    phase->threads = (uint32_t)(c.team == WARP ? WARPS * WARP : c.team);
    size_chunk(lo, &c);
    if (c.team > WARP)
        c.parts = kernel_shared(k, "parts", kept_as(c.one), 2 * c.pieces * (c.team / WARP));
    scope_begin(lo, phase);
    team_begin(lo, phase, c.team);
    KBlock *block = lo->scope->block;
    c.n = ke_extent(k, c.l.length);
    c.lane = lo->rank;
    if (c.team > WARP) {
        c.lane = ks_let(k, block, "lane", ke_text(k, KT_I64, "mdl_lane()", NULL, 0));
        c.warp = ks_let(k, block, "warp", ke_text(k, KT_I64, "mdl_warp()", NULL, 0));
    }
    const Dim *dims[] = {c.l.outer, c.l.inner};
    const Ix *at[2];
    ix_unflatten(lo->ir, scope_var(lo, lower_task(lo), lines), dims, 2, at);
    c.outer = at[0];
    c.inner = at[1];
    walk_line(lo, &c);
}

/* team.c: threads of a GPU that share a task. Vector loops deal their vectors round the team (lower_lanes),
 * so neighbouring threads read neighbouring memory; what each has folded is then joined by shuffles within
 * a warp, and through shared memory between the warps of a block. All orders are fixed. */
#include "reduce.h"

void team_begin(Lower *lo, KPhase *phase, int64_t team)
{
    Kernel *k = lo->k;
    ASSERT(team == WARP || team == phase->threads);
    phase->team = (uint32_t)team;
    lo->team = team;
    const char *which = team == WARP ? "mdl_lane()" : "mdl_thread()";
    lo->rank = ks_let(k, &phase->body, "rank", ke_text(k, KT_I64, which, NULL, 0));
}

void team_first(Lower *lo)
{
    if (lo->team)
        scope_if(lo, ke_test(lo->k, "==", lo->rank, ke_int(lo->k, 0)));
    else
        scope_plain(lo);
}

void team_wait(Lower *lo)
{
    const char *text = lo->team > WARP ? "mdl_syncthreads()" : "mdl_syncwarp()";
    if (lo->team)
        ks_call(lo->k, lo->scope->block, ke_text(lo->k, KT_PTR, text, NULL, 0));
}

/* What the thread at distance h has. */
static const KExpr *exchanged(Lower *lo, const KExpr *x, int64_t h)
{
    const char *text = arena_printf(lo->arena, "mdl_shfl_xor%%t(%%0, %lld)", (long long)h);
    return ks_let(lo->k, lo->scope->block, "other", ke_apply(lo, x->type, text, x, NULL));
}

void acc_exchange(Lower *lo, const Acc *a, int64_t h)
{
    Acc other = *a;
    other.value = exchanged(lo, a->value, h);
    if (a->index)
        other.index = exchanged(lo, a->index, h);
    acc_join(lo, a, &other);
}

static void join_warp(Lower *lo, const Acc *a, uint32_t n)
{
    for (int64_t h = WARP / 2; h > 0; h /= 2)
        for (uint32_t i = 0; i < n; i++)
            acc_exchange(lo, &a[i], h);
}

static DType stored_type(KType t)
{
    return t == KT_F32 ? DT_F32 : t == KT_F64 ? DT_F64 : t == KT_I64 ? DT_I64 : DT_I32;
}

/* A register as it is kept in shared memory: bools as ints. */
static const KExpr *as_stored(Lower *lo, const KExpr *x)
{
    return x->type == KT_BOOL ? ke_apply(lo, KT_I32, "(int32_t)%0", x, NULL) : x;
}

static const KExpr *as_held(Lower *lo, KType t, const KExpr *x)
{
    return t == KT_BOOL ? ke_apply(lo, KT_BOOL, "(%0 != 0)", x, NULL) : x;
}

/* Every warp leaves its part; then every thread joins all of them, in order. */
static void join_block(Lower *lo, const Acc *a)
{
    Kernel *k = lo->k;
    int64_t warps = lo->team / WARP;
    const KExpr *zero = ke_int(k, 0), *warp = ke_text(k, KT_I64, "mdl_warp()", NULL, 0);
    uint32_t value = kernel_shared(k, "parts", stored_type(a->value->type), warps);
    uint32_t index = a->index ? kernel_shared(k, "places", DT_I32, warps) : 0;
    if (lo->team_again)
        team_wait(lo);
    scope_if(lo, ke_test(k, "==", ke_text(k, KT_I64, "mdl_lane()", NULL, 0), zero));
    ks_store(k, lo->scope->block, value, warp, as_stored(lo, a->value));
    if (a->index)
        ks_store(k, lo->scope->block, index, warp, a->index);
    scope_end(lo);
    team_wait(lo);
    ks_set(k, lo->scope->block, a->value, as_held(lo, a->value->type, ke_load(k, value, zero)));
    if (a->index)
        ks_set(k, lo->scope->block, a->index, ke_load(k, index, zero));
    scope_loop(lo, &(LoopSpec){.stem = "w",
                               .lo = ke_int(k, 1),
                               .hi = ke_int(k, warps),
                               .extent = dim_const(lo->ir, warps)});
    const KExpr *w = lo->var[lo->nvar - 1].at;
    Acc other = *a;
    const KExpr *part = as_held(lo, a->value->type, ke_load(k, value, w));
    other.value = ks_let(k, lo->scope->block, "part", part);
    if (a->index)
        other.index = ks_let(k, lo->scope->block, "place", ke_load(k, index, w));
    acc_join(lo, a, &other);
    scope_end(lo);
}

void acc_team(Lower *lo, const Acc *a)
{
    if (!lo->team)
        return;
    join_warp(lo, a, 1);
    if (lo->team > WARP)
        join_block(lo, a);
}

/* Parts of the warps of a block, in one of two places. */
typedef struct Parts {
    uint32_t value, index;
} Parts;

static void take_part(Lower *lo, const Acc *a, const Parts *p, const KExpr *at, bool first)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    Acc other = *a;
    other.value = as_held(lo, a->value->type, ke_load(k, p->value, at));
    if (a->index)
        other.index = ke_load(k, p->index, at);
    if (first) {
        ks_set(k, block, a->value, other.value);
        if (a->index)
            ks_set(k, block, a->index, other.index);
        return;
    }
    other.value = ks_let(k, block, "part", other.value);
    if (a->index)
        other.index = ks_let(k, block, "place", other.index);
    acc_join(lo, a, &other);
}

/* As join_block, in its order. The parts of one turn lie where those of the turn before do not: who writes them has
 * passed the barrier behind which everybody had read those of two turns ago. */
static void join_block_together(Lower *lo, const Acc *a, uint32_t n, const KExpr *turn)
{
    Kernel *k = lo->k;
    int64_t warps = lo->team / WARP;
    Parts *p = NEW_ARRAY(lo->arena, Parts, n + (size_t)1);
    const KExpr *zero = ke_int(k, 0), *warp = ke_text(k, KT_I64, "mdl_warp()", NULL, 0);
    const KExpr *side = ke_mul(lo, ke_index(k, KI_MOD, turn, ke_int(k, 2)), ke_int(k, warps));
    side = ks_let(k, lo->scope->block, "side", side);
    for (uint32_t i = 0; i < n; i++) {
        p[i].value = kernel_shared(k, "parts", stored_type(a[i].value->type), 2 * warps);
        p[i].index = a[i].index ? kernel_shared(k, "places", DT_I32, 2 * warps) : 0;
    }
    scope_if(lo, ke_test(k, "==", ke_text(k, KT_I64, "mdl_lane()", NULL, 0), zero));
    for (uint32_t i = 0; i < n; i++) {
        const KExpr *at = ke_add(lo, side, warp);
        ks_store(k, lo->scope->block, p[i].value, at, as_stored(lo, a[i].value));
        if (a[i].index)
            ks_store(k, lo->scope->block, p[i].index, at, a[i].index);
    }
    scope_end(lo);
    team_wait(lo);
    for (int64_t w = 0; w < warps; w++)
        for (uint32_t i = 0; i < n; i++)
            take_part(lo, &a[i], &p[i], ke_add(lo, side, ke_int(k, w)), w == 0);
}

void acc_team_together(Lower *lo, const Acc *a, uint32_t n, const KExpr *turn)
{
    if (!lo->team)
        return;
    join_warp(lo, a, n);
    if (lo->team > WARP && n > 0)
        join_block_together(lo, a, n, turn);
}

/* team.c: threads of a GPU that share a task. Vector loops deal their vectors round the team (lower_lanes),
 * so neighbouring threads read neighbouring memory; what each has folded is then joined by shuffles within
 * a warp, and through shared memory between the warps of a block. All orders are fixed. */
#include "reduce.h"

enum { WARP = 32 };

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

static void join_warp(Lower *lo, const Acc *a)
{
    for (int64_t h = WARP / 2; h > 0; h /= 2) {
        Acc other = *a;
        other.value = exchanged(lo, a->value, h);
        if (a->index)
            other.index = exchanged(lo, a->index, h);
        acc_join(lo, a, &other);
    }
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
    join_warp(lo, a);
    if (lo->team > WARP)
        join_block(lo, a);
}

/* lanes.c: index expressions in loops: as C, and what neighbouring lanes of a vector read.
 *
 * A vector variable is a multiple of W in lane 0, so (v + c*W) / d and % d with d a multiple of W
 * are as plain as v: the quotient is the same in all lanes, the remainder counts up by one. That
 * keeps merged heads and flattened rows on vector loads. */
#include "lower.h"

#include <string.h>

/* ---- index expressions as I64 ---- */

static const KExpr *index_load(Lower *lo, const Ix *e)
{
    const KExpr *i = lower_value(lo, e->node, e->index);
    ASSERT(!ktype_is_vector(i->type));
    const KExpr *wide = ke_apply(lo, KT_I64, "(int64_t)%0", i, NULL);
    return ke_apply(lo, KT_I64, "mdl_clamp(%0, %1)", wide, ke_extent(lo->k, e->extent));
}

static const KExpr *index_sum(Lower *lo, const Ix *e)
{
    const KExpr *sum = ke_int(lo->k, 0);
    for (uint32_t i = 0; i < e->nterm; i++) {
        const KExpr *atom = lower_index(lo, e->term[i].atom);
        int64_t c;
        bool fixed = dim_is_const(e->term[i].coef, &c);
        if (fixed && c < 0)
            sum = ke_sub(lo, sum, ke_mul(lo, atom, ke_int(lo->k, -c)));
        else
            sum = ke_add(lo, sum, ke_mul(lo, atom, ke_extent(lo->k, e->term[i].coef)));
    }
    int64_t base;
    if (dim_is_const(e->base, &base) && base < 0)
        return ke_sub(lo, sum, ke_int(lo->k, -base));
    return ke_add(lo, sum, ke_extent(lo->k, e->base));
}

static bool is_aligned_unit(Lower *lo, const Ix *e, uint32_t v);

/* Whether e counts from a multiple of W, which d divides. */
static bool is_in_phase(Lower *lo, const Ix *e, const Dim *d)
{
    uint32_t v = index_vector_var(lo, &e, 1);
    int64_t n;
    return v != NO_VAR && !lo->var[v].unaligned && dim_is_const(d, &n) && n > 0 &&
           lo->k->width % n == 0 && is_aligned_unit(lo, e, v);
}

bool index_in_phase(Lower *lo, const Ix *e)
{
    return e->kind == IX_MOD && is_in_phase(lo, e->of, e->extent);
}

int64_t index_repeats(Lower *lo, const Ix *e)
{
    const Ix *atom = e;
    for (uint32_t i = 0; e->kind == IX_SUM && i < e->nterm; i++) {
        if (index_vector_var(lo, &e->term[i].atom, 1) == NO_VAR)
            continue;
        if (atom != e || !dim_equals(e->term[i].coef, 1))
            return 0;
        atom = e->term[i].atom;
    }
    return atom->kind == IX_DIV && is_in_phase(lo, atom->of, atom->extent) ? dim_fixed(atom->extent)
                                                                           : 0;
}

const KExpr *lower_index(Lower *lo, const Ix *e)
{
    if (index_in_phase(lo, e))
        return ke_int(lo->k, 0);
    switch (e->kind) {
    case IX_SUM:
        return index_sum(lo, e);
    case IX_VAR:
        ASSERT(e->var < lo->nvar);
        return lo->var[e->var].at;
    case IX_DIV:
    case IX_MOD:
        return ke_index(lo->k, e->kind == IX_DIV ? KI_DIV : KI_MOD, lower_index(lo, e->of),
                        ke_extent(lo->k, e->extent));
    case IX_LOAD:
        return index_load(lo, e);
    }
    BUG("codegen: index of kind %d", (int)e->kind);
}

/* ---- lanes ---- */

uint32_t index_vector_var(const Lower *lo, const Ix *const *ix, uint32_t n)
{
    for (uint32_t v = 0; v < lo->nvar; v++)
        for (uint32_t i = 0; i < n && lo->var[v].vector; i++)
            if (ix_uses(ix[i], v))
                return v;
    return NO_VAR;
}

static bool is_multiple(const Lower *lo, const Dim *d)
{
    return dim_is_multiple(d, lo->k->width);
}

static bool is_aligned_unit(Lower *lo, const Ix *e, uint32_t v);

/* A quotient or remainder by a multiple of W, of what is v + a multiple of W: all lanes have one quotient. */
static bool is_aligned_quotient(Lower *lo, const Ix *e, uint32_t v)
{
    return (e->kind == IX_DIV || e->kind == IX_MOD) && is_multiple(lo, e->extent) &&
           is_aligned_unit(lo, e->of, v);
}

/* e counts up by one with v, from a multiple of W on. */
static bool is_aligned_unit(Lower *lo, const Ix *e, uint32_t v)
{
    if (e->kind == IX_VAR)
        return e->var == v;
    if (e->kind == IX_MOD)
        return is_aligned_quotient(lo, e, v);
    if (e->kind != IX_SUM || !is_multiple(lo, e->base))
        return false;
    bool found = false;
    for (uint32_t i = 0; i < e->nterm; i++) {
        const IxTerm *t = &e->term[i];
        bool quotient = is_aligned_quotient(lo, t->atom, v);
        bool unit =
            (t->atom->kind == IX_VAR && t->atom->var == v) || (quotient && t->atom->kind == IX_MOD);
        if (unit && !found && dim_equals(t->coef, 1))
            found = true;
        else if (unit || !is_multiple(lo, t->coef) || (ix_uses(t->atom, v) && !quotient))
            return false;
    }
    return found;
}

bool index_aligned(Lower *lo, const Ix *e, uint32_t v)
{
    return lo->k->threads && !lo->config.loose && !lo->var[v].unaligned &&
           is_aligned_unit(lo, e, v);
}

static bool stride_of_quotient(Lower *lo, const Ix *e, uint32_t v, const Dim **stride)
{
    const Dim *inner;
    if (index_stride(lo, e->of, v, &inner) && dim_equals(inner, 0)) {
        *stride = inner;
        return true;
    }
    if (lo->var[v].unaligned || !is_multiple(lo, e->extent) || !is_aligned_unit(lo, e->of, v))
        return false;
    *stride = dim_const(lo->ir, e->kind == IX_MOD);
    return true;
}

bool index_stride(Lower *lo, const Ix *e, uint32_t v, const Dim **stride)
{
    *stride = dim_const(lo->ir, 0);
    if (!ix_uses(e, v) || ix_coefficient(lo->ir, e, v, stride))
        return true;
    if (e->kind == IX_DIV || e->kind == IX_MOD)
        return stride_of_quotient(lo, e, v, stride);
    if (e->kind != IX_SUM)
        return false;
    const Dim *sum = dim_const(lo->ir, 0);
    for (uint32_t i = 0; i < e->nterm; i++) {
        const Dim *s;
        if (!index_stride(lo, e->term[i].atom, v, &s))
            return false;
        sum = dim_add(lo->ir, sum, dim_mul(lo->ir, e->term[i].coef, s));
    }
    *stride = sum;
    return true;
}

/* Neighbours, of which only the lanes of the mask may be touched. */
static const KExpr *load_masked(Lower *lo, uint32_t buf, const KExpr *at, const KExpr *mask)
{
    DType dt = lo->k->bufs.at[buf].dtype;
    const KExpr *arg[] = {ke_addr(lo->k, buf, at), mask};
    const char *text = arena_printf(lo->arena, "mdl_loadm_%s(%%0, %%1)", dtype_info(dt)->name);
    return ke_text(lo->k, ktype_vector(ktype_of(dt)), text, arg, 2);
}

const KExpr *lower_load(Lower *lo, uint32_t buf, const Ix *linear)
{
    const KExpr *staged = lo->staged ? lo->staged(lo, buf, linear) : NULL;
    if (staged)
        return staged;
    uint32_t v = index_vector_var(lo, &linear, 1);
    const Dim *stride;
    if (v == NO_VAR)
        return ke_load(lo->k, buf, lower_index(lo, linear));
    DType dt = lo->k->bufs.at[buf].dtype;
    if (!dtype_has_vector(dt))
        return NULL;
    int64_t times = lo->var[v].lanes || lo->mask ? 0 : index_repeats(lo, linear);
    if (times && times < lo->k->width && dt == DT_I32) {
        const KExpr *address = ke_addr(lo->k, buf, lower_index(lo, linear));
        const char *text = arena_printf(lo->arena, "mdl_repeat_i32(%%0, %lld)", (long long)times);
        return ke_text(lo->k, KT_VI, text, &address, 1);
    }
    if (!index_stride(lo, linear, v, &stride) || (lo->mask && !dim_equals(stride, 1)))
        return lower_gather(lo, buf, linear, v);
    const KExpr *at = lower_index(lo, linear), *lanes = lo->var[v].lanes;
    if (lo->mask)
        return load_masked(lo, buf, at, lower_lane_mask(lo, v));
    if (dim_equals(stride, 0))
        return ke_load(lo->k, buf, at);
    if (dim_equals(stride, 1)) {
        const KExpr *load = ke_vload(lo->k, buf, at, lanes);
        return !lanes && index_aligned(lo, linear, v) ? ke_aligned(lo->k, load) : load;
    }
    const KExpr *arg[] = {ke_addr(lo->k, buf, at), ke_extent(lo->k, stride),
                          lanes ? lanes : ke_int(lo->k, lo->k->width)};
    const char *text =
        arena_printf(lo->arena, "mdl_gather_%s(%%0, %%1, %%2)", dtype_info(dt)->name);
    return ke_text(lo->k, ktype_vector(ktype_of(dt)), text, arg, 3);
}

const Ix **scope_lane(Lower *lo, uint32_t v, const Ix *const *ix, uint32_t n, const KExpr **lane)
{
    Kernel *k = lo->k;
    const LowerVar var = lo->var[v];
    scope_loop(lo, &(LoopSpec){.stem = "lane",
                               .lo = ke_int(k, 0),
                               .hi = var.lanes ? var.lanes : ke_int(k, k->width),
                               .extent = dim_const(lo->ir, k->width)});
    *lane = lo->var[lo->nvar - 1].at;
    const Ix *one = scope_var(lo, ke_add(lo, var.at, *lane), var.extent);
    const Ix *vars[LOWER_MAX_VARS], **at = NEW_ARRAY(lo->arena, const Ix *, n + 1);
    for (uint32_t i = 0; i < lo->nvar; i++)
        vars[i] = i == v ? one : ix_var(lo->ir, i, lo->var[i].extent);
    for (uint32_t i = 0; i < n; i++)
        at[i] = ix_substitute(lo->ir, ix[i], vars, lo->nvar);
    return at;
}

const KExpr *lower_by_lane(Lower *lo, const Node *n, const Ix *const *ix)
{
    Kernel *k = lo->k;
    uint32_t v = index_vector_var(lo, ix, n->type->rank);
    if (v == NO_VAR)
        BUG("codegen: %s has no scalar value", op_info(n->op)->name);
    KBlock *block = lo->scope->block;
    KType t = ktype_of(n->type->dtype);
    uint32_t tmp = ks_local(k, block, "lanes", t, k->width);
    if (lo->var[v].lanes || lo->mask)
        ks_store(k, block, tmp, ke_int(k, 0), ke_num(k, ktype_vector(t), 0));
    const KExpr *lane, *mask = lo->mask;
    uint32_t some = mask ? ks_local(k, block, "some", KT_I32, k->width) : 0;
    if (mask)
        ks_store(k, block, some, ke_int(k, 0), mask);
    const Ix **at = scope_lane(lo, v, ix, n->type->rank, &lane);
    Scope *guard = lo->guard;
    if (mask) {
        scope_if(lo, ke_apply(lo, KT_BOOL, "(%0 != 0)", ke_load(k, some, lane), NULL));
        lo->guard = lo->scope;
    }
    lo->mask = NULL;
    const KExpr *e = lower_value(lo, n, at);
    ASSERT(!ktype_is_vector(e->type));
    ks_store(k, lo->scope->block, tmp, lane, e);
    if (mask)
        scope_end(lo);
    lo->guard = guard;
    lo->mask = mask;
    scope_end(lo);
    return ke_vload(k, tmp, ke_int(k, 0), NULL);
}

/* ---- cost of a loop choice ---- */

enum { COST_STRIDED = 4, COST_GATHER = 6, COST_BY_LANE = 12 }; /* in vector loads */

typedef struct Walk {
    Lower *lo;
    Map *seen;
    LoadFn fn;
    void *user;
} Walk;

static void walk(Walk *w, const Node *n, const Ix *const *ix)
{
    uint64_t key = hash_mix(0x70, n->id);
    for (uint32_t i = 0; i < n->type->rank; i++)
        key = hash_mix(key, ix[i]->id);
    if (map_get(w->seen, key))
        return;
    map_put(w->seen, key, w);
    const OpInfo *info = op_info(n->op);
    if (gen_info(n->op)->value == value_input) {
        w->fn(w->lo, n, ix_flatten(w->lo->ir, n->type->dims, ix, n->type->rank), w->user);
        return;
    }
    if (info->cls == OC_REDUCE || info->cls == OC_CONTRACT)
        return;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Ix *in[IR_MAX_RANK];
        if (info->at)
            info->at(w->lo->ir, n, k, ix, in);
        else
            memcpy(in, ix, n->type->rank * sizeof *in);
        ASSERT(info->at || n->in[k]->type->rank == n->type->rank);
        walk(w, n->in[k], in);
    }
}

void lower_each_load(Lower *lo, const Node *root, const Ix *const *ix, LoadFn fn, void *user)
{
    Walk w = {.lo = lo, .seen = map_new(lo->arena), .fn = fn, .user = user};
    walk(&w, root, ix);
}

static void probe_leaf(Lower *lo, const Node *n, const Ix *linear, void *cost)
{
    double *c = cost;
    uint32_t v = index_vector_var(lo, &linear, 1);
    const Dim *stride;
    if (v == NO_VAR)
        return;
    if (!dtype_has_vector(n->type->dtype))
        *c += COST_BY_LANE;
    else if (!index_stride(lo, linear, v, &stride))
        *c += n->type->dtype == DT_I32 && index_repeats(lo, linear) ? 0 : COST_GATHER;
    else if (!dim_equals(stride, 0) && !dim_equals(stride, 1))
        *c += COST_STRIDED;
}

double lower_probe(Lower *lo, const Node *root, const Ix *const *ix)
{
    double cost = 0;
    lower_each_load(lo, root, ix, probe_leaf, &cost);
    return cost;
}

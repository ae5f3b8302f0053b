/* gather.c: lanes that lie anywhere: the index of every lane as a vector of ints, and loads through
 * it under a mask of the lanes that exist. Flattened windows of an image, padding and rows chosen by a
 * tensor stay vectors that way. */
#include "lower.h"

/* Ints hold every value that e takes in lanes that count; others may wrap, they are masked. */
static bool fits_int(Lower *lo, const Ix *e)
{
    return e->lo && e->hi && dim_lo(lo->ir, e->lo) >= INT32_MIN &&
           dim_hi(lo->ir, e->hi) <= INT32_MAX;
}

static const KExpr *as_int(Lower *lo, const KExpr *e)
{
    int64_t v;
    if (ke_is_int(e, &v))
        return ke_num(lo->k, KT_I32, (double)v);
    return ke_apply(lo, KT_I32, "(int32_t)%0", e, NULL);
}

static const KExpr *loaded_lanes(Lower *lo, const Ix *e)
{
    if (!dtype_has_vector(e->node->type->dtype))
        return NULL;
    const KExpr *i = lower_spread(lo, lower_value(lo, e->node, e->index));
    return ke_apply(lo, KT_VI, "mdl_clamp_vi(%0, %1)", i, ke_extent(lo->k, e->extent));
}

static const KExpr *sum_lanes(Lower *lo, const Ix *e, uint32_t v)
{
    const Ix *rest = ix_const(lo->ir, e->base); /* what is equal in all lanes */
    const KExpr *sum = NULL;
    for (uint32_t i = 0; i < e->nterm; i++) {
        const IxTerm *t = &e->term[i];
        if (!ix_uses(t->atom, v)) {
            rest = ix_add(lo->ir, rest, ix_mul(lo->ir, t->atom, t->coef));
            continue;
        }
        const KExpr *x = lower_index_lanes(lo, t->atom, v);
        if (!x)
            return NULL;
        if (!dim_equals(t->coef, 1))
            x = ke_apply(lo, KT_VI, "(%0 * %1)", x, as_int(lo, ke_extent(lo->k, t->coef)));
        sum = sum ? ke_apply(lo, KT_VI, "(%0 + %1)", sum, x) : x;
    }
    ASSERT(sum);
    return ke_apply(lo, KT_VI, "(%0 + %1)", sum, as_int(lo, lower_index(lo, rest)));
}

const KExpr *lower_index_lanes(Lower *lo, const Ix *e, uint32_t v)
{
    if (!ix_uses(e, v))
        return ke_apply(lo, KT_VI, "mdl_set1_vi((int32_t)%0)", lower_index(lo, e), NULL);
    switch (e->kind) {
    case IX_SUM:
        return sum_lanes(lo, e, v);
    case IX_VAR:
        return ke_apply(lo, KT_VI, "mdl_iota_vi(%0, %1)", lower_index(lo, e), ke_int(lo->k, 1));
    case IX_DIV:
    case IX_MOD: {
        if (index_in_phase(lo, e))
            return ke_apply(lo, KT_VI, "(mdl_lane_vi() % %0)",
                            as_int(lo, ke_extent(lo->k, e->extent)), NULL);
        const KExpr *x = fits_int(lo, e->of) ? lower_index_lanes(lo, e->of, v) : NULL;
        const KExpr *d = as_int(lo, ke_extent(lo->k, e->extent));
        return x ? ke_apply(lo, KT_VI, e->kind == IX_DIV ? "(%0 / %1)" : "(%0 % %1)", x, d) : NULL;
    }
    case IX_LOAD:
        return loaded_lanes(lo, e);
    }
    BUG("codegen: index of kind %d", (int)e->kind);
}

const KExpr *lower_lane_mask(Lower *lo, uint32_t v)
{
    const KExpr *lanes = lo->var[v].lanes;
    const KExpr *first = lanes ? ke_apply(lo, KT_VI, "mdl_first_vi(%0)", lanes, NULL) : NULL;
    if (!first || !lo->mask)
        return first ? first : lo->mask;
    return ke_apply(lo, KT_VI, "(%0 & %1)", lo->mask, first);
}

const KExpr *lower_first_lanes(Lower *lo, const KExpr *lanes, const KExpr *x, const KExpr *other)
{
    if (!lanes)
        return x;
    const KExpr *arg[] = {ke_apply(lo, KT_VI, "mdl_first_vi(%0)", lanes, NULL), x, other};
    return ke_text(lo->k, x->type, "mdl_select%t(%0, %1, %2)", arg, 3);
}

const KExpr *lower_gather(Lower *lo, uint32_t buf, const Ix *linear, uint32_t v)
{
    const KBuf *b = &lo->k->bufs.at[buf];
    if (!dtype_has_vector(b->dtype) || !b->count || dim_hi(lo->ir, b->count) > INT32_MAX)
        return NULL;
    const KExpr *at = lower_index_lanes(lo, linear, v), *mask = lower_lane_mask(lo, v);
    if (!at)
        return NULL;
    mask = mask ? mask : ke_apply(lo, KT_VI, "mdl_set1_vi(%0)", ke_num(lo->k, KT_I32, -1), NULL);
    const KExpr *arg[] = {ke_addr(lo->k, buf, ke_int(lo->k, 0)), at, mask};
    const char *text =
        arena_printf(lo->arena, "mdl_pick_%s(%%0, %%1, %%2)", dtype_info(b->dtype)->name);
    return ke_text(lo->k, ktype_vector(ktype_of(b->dtype)), text, arg, 3);
}

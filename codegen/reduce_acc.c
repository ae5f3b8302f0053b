/* reduce_acc.c: accumulators of folds. Values fold by the operation's template; folds to an index
 * keep a value and an index, -1 while empty, so that ties stay with the lowest. */
#include "reduce.h"

static KType acc_type(const Node *n, bool vector)
{
    KType t = ktype_of(n->in[0]->type->dtype);
    return vector ? ktype_vector(t) : t;
}

static bool is_arg(const Node *n)
{
    return gen_info(n->op)->better != NULL;
}

const KExpr *acc_neutral(Lower *lo, const Node *n, bool vector)
{
    return ke_num(lo->k, acc_type(n, vector), op_info(n->op)->neutral);
}

Acc acc_begin(Lower *lo, const Node *n, bool vector)
{
    KBlock *block = lo->scope->block;
    Acc a = {.n = n};
    a.value = ks_var(lo->k, block, op_info(n->op)->name, acc_neutral(lo, n, vector));
    if (is_arg(n))
        a.index = ks_var(lo->k, block, "index", ke_num(lo->k, vector ? KT_VI : KT_I32, -1));
    return a;
}

void acc_add(Lower *lo, const Acc *a, const KExpr *x)
{
    const char *text = a->text ? a->text : gen_template(a->n, a->n->in[0]->type->dtype);
    ks_set(lo->k, lo->scope->block, a->value, ke_apply(lo, a->value->type, text, a->value, x));
}

/* value, index := x, at where it is better or nothing was seen yet; ties go to the lower index. */
static void replace(Lower *lo, const Acc *a, const KExpr *x, const KExpr *at)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    bool vector = ktype_is_vector(a->value->type);
    KType mask = vector ? KT_VI : KT_BOOL;
    const KExpr *better = ke_apply(lo, mask, gen_info(a->n->op)->better, x, a->value);
    const KExpr *arg[] = {better, x, a->value, at, a->index};
    const char *rule =
        "(((%3 >= 0) & (%4 < 0)) | (%0 & (%3 >= 0)) | ((%1 == %2) & (%3 >= 0) & (%3 < %4)))";
    const KExpr *take = ks_let(k, block, "take", ke_text(k, mask, rule, arg, 5));
    const KExpr *v[] = {take, x, a->value}, *i[] = {take, at, a->index};
    ks_set(k, block, a->value, ke_text(k, a->value->type, "mdl_select%t(%0, %1, %2)", v, 3));
    ks_set(k, block, a->index, ke_text(k, a->index->type, "mdl_select%t(%0, %1, %2)", i, 3));
}

/* Indices of the elements of this step; -1 for lanes that do not count. */
static const KExpr *step_index(Lower *lo, const AccStep *s, bool vector)
{
    Kernel *k = lo->k;
    if (!vector)
        return ke_apply(lo, KT_I32, "(int32_t)%0", s->at, NULL);
    if (!s->along)
        return ke_apply(lo, KT_VI, "mdl_set1_vi(%0)", s->at, NULL);
    const KExpr *at = ke_apply(lo, KT_VI, "mdl_iota_vi(%0, %1)", s->at, ke_int(k, 1));
    if (!s->lanes)
        return at;
    const KExpr *first = ke_apply(lo, KT_VI, "mdl_first_vi(%0)", s->lanes, NULL);
    return ke_apply(lo, KT_VI, "(%0 | ~%1)", at, first);
}

void acc_step(Lower *lo, const Acc *a, const AccStep *s)
{
    bool vector = ktype_is_vector(a->value->type);
    const KExpr *x = vector ? lower_spread(lo, s->x) : s->x;
    if (a->index) {
        KBlock *block = lo->scope->block;
        replace(lo, a, x, ks_let(lo->k, block, "at", step_index(lo, s, vector)));
        return;
    }
    if (s->along && vector)
        x = lower_first_lanes(lo, s->lanes, x, acc_neutral(lo, a->n, true));
    acc_add(lo, a, x);
}

void acc_join(Lower *lo, const Acc *a, const Acc *b)
{
    if (a->index)
        replace(lo, a, b->value, b->index);
    else
        acc_add(lo, a, b->value);
}

const KExpr *acc_result(Lower *lo, const Acc *a)
{
    if (a->index)
        return a->index;
    return lower_fit(lo, a->n->type->dtype, a->value);
}

/* Lane 0 as a scalar. */
static const KExpr *first_lane(Lower *lo, const KExpr *e)
{
    if (!e || !ktype_is_vector(e->type))
        return e;
    return ke_apply(lo, e->type == KT_VF ? KT_F32 : KT_I32, "mdl_lane0%t(%0)", e, NULL);
}

/* Lane 0, as an accumulator of its own. */
static Acc acc_scalar(Lower *lo, const Acc *lanes)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    Acc a = *lanes;
    a.value = ks_var(k, block, op_info(a.n->op)->name, first_lane(lo, lanes->value));
    if (a.index)
        a.index = ks_var(k, block, "index", first_lane(lo, lanes->index));
    return a;
}

/* The same of a whole team. */
static const KExpr *join_team(Lower *lo, const Acc *lanes)
{
    Acc a = acc_scalar(lo, lanes);
    acc_team(lo, &a);
    return acc_result(lo, &a);
}

/* Lanes at distance h. */
static void join_lanes(Lower *lo, const Acc *a, int64_t h)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    const char *text = arena_printf(lo->arena, "mdl_swap%%t(%%0, %lld)", (long long)h);
    Acc other = *a;
    other.value = ks_let(k, block, "other", ke_apply(lo, a->value->type, text, a->value, NULL));
    if (a->index)
        other.index = ks_let(k, block, "other", ke_apply(lo, a->index->type, text, a->index, NULL));
    acc_join(lo, a, &other);
}

void acc_lanes_together(Lower *lo, const Acc *a, uint32_t n, const KExpr *turn, const KExpr **whole)
{
    Acc *one = NEW_ARRAY(lo->arena, Acc, n + (size_t)1);
    for (int64_t h = lo->k->width / 2; h > 0; h /= 2)
        for (uint32_t i = 0; i < n; i++)
            join_lanes(lo, &a[i], h);
    for (uint32_t i = 0; i < n; i++)
        one[i] = acc_scalar(lo, &a[i]);
    acc_team_together(lo, one, n, turn);
    for (uint32_t i = 0; i < n; i++)
        whole[i] = acc_result(lo, &one[i]);
}

const KExpr *acc_lanes(Lower *lo, const Acc *a)
{
    Kernel *k = lo->k;
    KBlock *block = lo->scope->block;
    bool vector = ktype_is_vector(a->value->type);
    for (int64_t h = k->width / 2; vector && h > 0; h /= 2)
        join_lanes(lo, a, h);
    if (lo->team)
        return join_team(lo, a);
    const KExpr *e = acc_result(lo, a);
    if (!ktype_is_vector(e->type))
        return e;
    return ks_let(k, block, op_info(a->n->op)->name, first_lane(lo, e));
}

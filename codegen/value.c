/* value.c: one element of leaves, views, casts: the functions named in the GEN column. */
#include "lower.h"

#include <string.h>

const KExpr *value_input(Lower *lo, const Node *n, const Ix *const *ix)
{
    return lower_load(lo, lo->in[n->id], ix_flatten(lo->ir, n->type->dims, ix, n->type->rank));
}

bool slot_is_real(Sym name)
{
    return strcmp(name, "lr") == 0 || strcmp(name, "progress") == 0;
}

static const KExpr *cast_scalar(Lower *lo, KType to, const KExpr *e)
{
    if (e->type == to)
        return e;
    const char *text =
        arena_printf(lo->arena, "mdl_cast%s%s(%%0)", ktype_suffix(e->type), ktype_suffix(to));
    return ke_apply(lo, to, text, e, NULL);
}

const KExpr *value_slot(Lower *lo, const Node *n, const Ix *const *ix)
{
    UNUSED(ix);
    Sym name = node_sym(n, "name");
    const KExpr *e = ke_slot(lo->k, slot_is_real(name) ? KT_F64 : KT_I64, name);
    return cast_scalar(lo, ktype_of(n->type->dtype), e);
}

const KExpr *value_const(Lower *lo, const Node *n, const Ix *const *ix)
{
    UNUSED(ix);
    DType dt = n->type->dtype;
    uint64_t room = 0;
    dtype_store(dt, &room, 0, node_num(n, "value"));
    return ke_num(lo->k, ktype_of(dt), dtype_load(dt, &room, 0));
}

const KExpr *value_iota(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Ix *e = ix[node_int(n, "axis")];
    uint32_t v = index_vector_var(lo, &e, 1);
    const Dim *stride = dim_const(lo->ir, 0);
    if (v != NO_VAR && !index_stride(lo, e, v, &stride))
        return lower_index_lanes(lo, e, v);
    const KExpr *at = lower_index(lo, e);
    if (dim_equals(stride, 0))
        return ke_apply(lo, KT_I32, "(int32_t)%0", at, NULL);
    return ke_apply(lo, KT_VI, "mdl_iota_vi(%0, %1)", at, ke_extent(lo->k, stride));
}

/* The block of an element, to be read word by word; NULL where lanes would each have their own. */
static const KExpr *random_word(Lower *lo, const Node *n, const Ix *const *ix, int64_t word)
{
    Syms *syms = lo->ir->syms;
    if (index_vector_var(lo, ix, n->type->rank) != NO_VAR)
        return NULL;
    const char *site = arena_printf(lo->arena, "mdl_rng_key(%%0, INT64_C(%lld), %%1)",
                                    (long long)node_int(n, "site"));
    const KExpr *key = ke_apply(lo, KT_I64, site, ke_slot(lo->k, KT_I64, sym(syms, "seed")),
                                ke_slot(lo->k, KT_I64, sym(syms, "step")));
    const KExpr *at = lower_index(lo, ix_flatten(lo->ir, n->type->dims, ix, n->type->rank));
    const char *text = arena_printf(lo->arena, "mdl_rng_word(%%0, %%1, %lld)", (long long)word);
    return ke_apply(lo, KT_I64, text, key, at);
}

const KExpr *value_rng(Lower *lo, const Node *n, const Ix *const *ix)
{
    const KExpr *word = random_word(lo, n, ix, node_int(n, "word"));
    return word ? ke_apply(lo, KT_F32, "mdl_rng_uniform(%0)", word, NULL) : NULL;
}

const KExpr *value_randint(Lower *lo, const Node *n, const Ix *const *ix)
{
    const KExpr *word = random_word(lo, n, ix, 0);
    return word ? ke_apply(lo, KT_I32, "mdl_rng_below(%0, %1)", word,
                           ke_extent(lo->k, node_dim(n, "n")))
                : NULL;
}

const KExpr *value_view(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Ix *in[IR_MAX_RANK];
    op_info(n->op)->at(lo->ir, n, 0, ix, in);
    return lower_value(lo, n->in[0], in);
}

/* ---- casts ---- */

/* "mask" for a bool vector: its register type says ints. */
static const char *class_of(DType dt, bool vector)
{
    KType t = ktype_of(dt);
    if (!vector)
        return ktype_suffix(t);
    return t == KT_BOOL ? "_mask" : ktype_suffix(ktype_vector(t));
}

/* W integers of a byte or less become floats without an instruction that converts, on a GPU: mdl_codes.h; or NULL. */
static const KExpr *widen_small(Lower *lo, const Node *cast, const Ix *const *ix)
{
    const Node *n = cast->in[0];
    const DTypeInfo *from = dtype_info(n->type->dtype);
    bool vector = index_vector_var(lo, ix, cast->type->rank) != NO_VAR;
    if (!lo->k->threads || !vector || !dtype_is_float(cast->type->dtype))
        return NULL;
    const char *text = gen_info(n->op)->widened;
    if (text) {
        const KExpr *arg[3];
        ASSERT(n->nin <= COUNT(arg));
        for (uint32_t i = 0; i < n->nin; i++)
            arg[i] = lower_spread(lo, lower_value(lo, n->in[i], ix));
        return ke_text(lo->k, KT_VF, text, arg, n->nin);
    }
    if (from->bytes != 1 || from->kind == DK_BOOLEAN || dtype_is_float(n->type->dtype))
        return NULL;
    const KExpr *x = lower_value(lo, n, ix);
    return x->type == KT_VI ? ke_apply(lo, KT_VF, "mdl_cast_small_vf(%0)", x, NULL) : NULL;
}

const KExpr *value_cast(Lower *lo, const Node *n, const Ix *const *ix)
{
    DType from = n->in[0]->type->dtype, to = n->type->dtype;
    bool vectors = dtype_has_vector(from) && dtype_has_vector(to);
    if (!vectors && index_vector_var(lo, ix, n->type->rank) != NO_VAR)
        return NULL;
    const KExpr *small = vectors ? widen_small(lo, n, ix) : NULL;
    const KExpr *e = small ? small : lower_value(lo, n->in[0], ix);
    bool vector = ktype_is_vector(e->type);
    KType t = vector ? ktype_vector(ktype_of(to)) : ktype_of(to);
    const char *a = class_of(from, vector), *b = class_of(to, vector);
    if (!small && strcmp(a, b) != 0)
        e = ke_apply(lo, t, arena_printf(lo->arena, "mdl_cast%s%s(%%0)", a, b), e, NULL);
    bool narrow = dtype_info(to)->bytes < 4 && dtype_info(to)->kind != DK_BOOLEAN;
    if (!narrow || from == to || lo->stored[n->id])
        return e;
    return ke_apply(lo, t, arena_printf(lo->arena, "mdl_fit_%s%%t(%%0)", dtype_info(to)->name), e,
                    NULL);
}

/* ---- pad and concat: pieces along one axis ---- */

/* One operand that lies at [start, start + extent) of the axis. A piece is read under a test, never
 * through a clamped index. */
typedef struct Pieces {
    const Node *n;
    const Ix *const *ix;
    uint32_t axis;
    const Ix *at;       /* ix[axis] */
    const KExpr *first; /* lane 0 */
    const KExpr *last;  /* last lane; NULL: all lanes read the same place */
    const KExpr *var;   /* the result */
    const KExpr *mixed; /* BOOL so far: lanes may lie in several pieces; NULL: cannot be */
    bool fill;          /* places outside all pieces exist and read 0 */
} Pieces;

static const KExpr *both(Lower *lo, const KExpr *a, const KExpr *b)
{
    return ke_test(lo->k, "&&", a, b);
}

static void set_value(Lower *lo, const Pieces *p, const Node *n, const Ix *const *ix)
{
    Scope *guard = lo->guard;
    lo->guard = lo->scope;
    const KExpr *e = lower_value(lo, n, ix);
    if (ktype_is_vector(p->var->type))
        e = lower_spread(lo, e);
    ks_set(lo->k, lo->scope->block, p->var, e);
    lo->guard = guard;
}

static void read_piece(Lower *lo, Pieces *p, const Node *in, const Dim *start)
{
    Kernel *k = lo->k;
    const KExpr *lo_end = ke_extent(k, start);
    const KExpr *hi_end = ke_extent(k, dim_add(lo->ir, start, in->type->dims[p->axis]));
    const KExpr *last = p->last ? p->last : p->first;
    const KExpr *inside = ke_test(k, "<", last, hi_end);
    if (!dim_equals(start, 0))
        inside = both(lo, ke_test(k, ">=", p->first, lo_end), inside);
    const Ix *ix[IR_MAX_RANK];
    memcpy(ix, p->ix, p->n->type->rank * sizeof *ix);
    const Dim *back = dim_sub(lo->ir, dim_const(lo->ir, 0), start);
    bool one = dim_equals(in->type->dims[p->axis], 1); /* where it is read its index is 0 */
    ix[p->axis] = one ? ix_int(lo->ir, 0) : ix_add(lo->ir, p->at, ix_const(lo->ir, back));
    scope_if(lo, inside);
    set_value(lo, p, in, ix);
    scope_end(lo);
    if (!p->last)
        return;
    const KExpr *outside = ke_apply(lo, KT_BOOL, "!%0", inside, NULL);
    if (p->fill) /* lanes that are all outside are done: they are 0 */
        outside = both(lo, outside,
                       both(lo, ke_test(k, ">=", last, lo_end), ke_test(k, "<", p->first, hi_end)));
    p->mixed = p->mixed ? both(lo, p->mixed, outside) : outside;
}

/* False: lanes are spread over the axis in no simple way. */
static bool pieces_begin(Lower *lo, Pieces *p)
{
    uint32_t rank = p->n->type->rank, v = index_vector_var(lo, &p->at, 1);
    const Dim *stride = dim_const(lo->ir, 0);
    if (v != NO_VAR && !index_stride(lo, p->at, v, &stride))
        return false;
    if (dim_lo(lo->ir, stride) < 0 || (lo->mask && !dim_equals(stride, 0)))
        return false;
    Kernel *k = lo->k;
    bool vector = index_vector_var(lo, p->ix, rank) != NO_VAR;
    KType t = ktype_of(p->n->type->dtype);
    p->first = lower_index(lo, p->at);
    if (!dim_equals(stride, 0)) {
        const KExpr *lanes = lo->var[v].lanes ? lo->var[v].lanes : ke_int(k, k->width);
        const KExpr *span = ke_mul(lo, ke_sub(lo, lanes, ke_int(k, 1)), ke_extent(k, stride));
        p->last = ke_add(lo, p->first, span);
    }
    p->var = ks_var(k, lo->scope->block, op_info(p->n->op)->name,
                    ke_num(k, vector ? ktype_vector(t) : t, 0));
    return true;
}

/* A vector of which the lanes of the mask count. */
static const KExpr *value_under(Lower *lo, const Node *n, const Ix *const *ix, const KExpr *mask)
{
    const KExpr *outer = lo->mask;
    Scope *guard = lo->guard;
    scope_plain(lo);
    lo->guard = lo->scope;
    lo->mask = mask;
    const KExpr *e = lower_spread(lo, lower_value(lo, n, ix));
    lo->mask = outer;
    lo->guard = guard;
    scope_end(lo);
    return e;
}

/* Every lane from the piece it lies in: each piece is read under the mask of its lanes. NULL: lanes
 * one by one. */
static const KExpr *merge_pieces(Lower *lo, const Pieces *p)
{
    const Node *n = p->n;
    const Ix *const *ix = p->ix;
    uint32_t axis = p->axis, v = index_vector_var(lo, &ix[axis], 1);
    const KExpr *at = v == NO_VAR ? NULL : lower_index_lanes(lo, ix[axis], v), *outer = lo->mask;
    if (!at)
        return NULL;
    const KExpr *all = NULL;
    const Dim *start = p->fill ? node_dim(n, "lo") : dim_const(lo->ir, 0);
    at = ks_let(lo->k, lo->scope->block, "at", at);
    for (uint32_t i = 0; i < n->nin; i++) {
        const Dim *end = dim_add(lo->ir, start, n->in[i]->type->dims[axis]);
        const KExpr *arg[] = {at, ke_extent(lo->k, start), ke_extent(lo->k, end), outer};
        const char *text =
            outer ? "(mdl_between_vi(%0, %1, %2) & %3)" : "mdl_between_vi(%0, %1, %2)";
        const KExpr *mask = ke_text(lo->k, KT_VI, text, arg, outer ? 4 : 3);
        mask = ks_let(lo->k, lo->scope->block, "inside", mask);
        const Ix *in[IR_MAX_RANK];
        memcpy(in, ix, n->type->rank * sizeof *in);
        const Dim *back = dim_sub(lo->ir, dim_const(lo->ir, 0), start);
        in[axis] = ix_add(lo->ir, in[axis], ix_const(lo->ir, back));
        const KExpr *one = value_under(lo, n->in[i], in, mask);
        const KExpr *sel[] = {mask, one, all ? all : ke_num(lo->k, one->type, 0)};
        all = ke_text(lo->k, one->type, "mdl_select%t(%0, %1, %2)", sel, 3);
        start = end;
    }
    return all;
}

static const KExpr *pieces_end(Lower *lo, Pieces *p)
{
    if (p->mixed) {
        scope_if(lo, p->mixed);
        Scope *guard = lo->guard;
        lo->guard = lo->scope;
        const KExpr *e = merge_pieces(lo, p);
        ks_set(lo->k, lo->scope->block, p->var, e ? e : lower_by_lane(lo, p->n, p->ix));
        lo->guard = guard;
        scope_end(lo);
    }
    return p->var;
}

static bool lanes_possible(Lower *lo, const Node *n, const Ix *const *ix)
{
    return dtype_has_vector(n->type->dtype) || index_vector_var(lo, ix, n->type->rank) == NO_VAR;
}

const KExpr *value_pad(Lower *lo, const Node *n, const Ix *const *ix)
{
    uint32_t axis = (uint32_t)node_int(n, "axis");
    Pieces p = {.n = n, .ix = ix, .axis = axis, .at = ix[axis], .fill = true};
    if (!lanes_possible(lo, n, ix))
        return NULL;
    if (!pieces_begin(lo, &p))
        return merge_pieces(lo, &p);
    read_piece(lo, &p, n->in[0], node_dim(n, "lo"));
    return pieces_end(lo, &p);
}

const KExpr *value_concat(Lower *lo, const Node *n, const Ix *const *ix)
{
    uint32_t axis = (uint32_t)node_int(n, "axis");
    Pieces p = {.n = n, .ix = ix, .axis = axis, .at = ix[axis]};
    if (!lanes_possible(lo, n, ix))
        return NULL;
    if (!pieces_begin(lo, &p))
        return merge_pieces(lo, &p);
    const Dim *start = dim_const(lo->ir, 0);
    for (uint32_t i = 0; i < n->nin; i++) {
        read_piece(lo, &p, n->in[i], start);
        start = dim_add(lo->ir, start, n->in[i]->type->dims[axis]);
    }
    return pieces_end(lo, &p);
}

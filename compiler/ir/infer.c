/* infer.c: type rules without new dims: elementwise operations, casts, calls, tuples; and the
 * checks that all rules share. */
#include "infer.h"

/* More elements than any tensor may have: products of extents stay far from overflow. */
#define MAX_ELEMENTS ((int64_t)1 << 48)

static const char *op_name(const Node *n)
{
    return op_info(n->op)->name;
}

const char *infer_dim_text(Ir *ir, const Dim *d)
{
    StrBuf sb = sb_new(ir->arena);
    dim_print(ir, d, &sb);
    return sb_text(&sb);
}

/* The dims of a type, as `[B, T]`. */
static const char *shape_text(Ir *ir, const Type *t)
{
    return strchr(type_text(ir, t), '[');
}

/* ---- shared checks ---- */

const Type *infer_operand(Ir *ir, const Node *n, uint32_t k, Span span)
{
    const Type *t = n->in[k]->type;
    if (!t->is_tuple)
        return t;
    diag_at(ir->diags, DIAG_E0408, span, "`%s` needs one tensor, got %u values", op_name(n),
            t->nelem);
    return NULL;
}

bool infer_axis(Ir *ir, const Node *n, int64_t axis, uint32_t rank, Span span)
{
    if (axis >= 0 && axis < rank)
        return true;
    diag_at(ir->diags, DIAG_E0406, span, "`%s`: axis %lld is out of range for rank %u", op_name(n),
            (long long)axis, rank);
    return false;
}

const Type *infer_tensor(Ir *ir, DType dtype, uint32_t rank, const Dim *const *dims, Span span)
{
    if (rank > IR_MAX_RANK) {
        diag_at(ir->diags, DIAG_E0406, span, "rank %u is above the limit of %d", rank, IR_MAX_RANK);
        return NULL;
    }
    int64_t count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (!dim_at_least(ir, dims[i], 0)) {
            diag_at(ir->diags, DIAG_E0416, span, "extent `%s` of axis %u may be negative",
                    infer_dim_text(ir, dims[i]), i);
            return NULL;
        }
        int64_t hi = dim_is_free(ir, dims[i]) ? 1 : dim_hi(ir, dims[i]);
        bool over = hi > MAX_ELEMENTS || (hi > 0 && count > MAX_ELEMENTS / hi);
        count = over ? MAX_ELEMENTS + 1 : count * (hi > 0 ? hi : 1);
        if (over)
            break;
    }
    const Type *t = type_tensor(ir, dtype, rank, dims);
    if (count <= MAX_ELEMENTS)
        return t;
    diag_at(ir->diags, DIAG_E0109, span, "`%s` has more than 2^48 elements", type_text(ir, t));
    return NULL;
}

const Type *infer_dims_differ(Ir *ir, const Node *n, const Dim *want, const Dim *got, Span span)
{
    diag_at(ir->diags, DIAG_E0402, span, "`%s`: dimension mismatch: expected %s, got %s",
            op_name(n), infer_dim_text(ir, want), infer_dim_text(ir, got));
    return NULL;
}

const Type *infer_leaf(Ir *ir, const Node *n, const Type *given, Span span)
{
    if (!given || given->is_tuple) {
        diag_at(ir->diags, DIAG_E0408, span, "`%s` is one tensor", op_name(n));
        return NULL;
    }
    bool scalar = n->op == OP_CONST || n->op == OP_SLOT;
    if (scalar && given->rank > 0) {
        diag_at(ir->diags, DIAG_E0406, span, "`%s` is a scalar, got `%s`", op_name(n),
                type_text(ir, given));
        return NULL;
    }
    bool randint = n->op == OP_RANDINT;
    if ((n->op == OP_RNG || randint) && given->dtype != (randint ? DT_I32 : DT_F32)) {
        diag_at(ir->diags, DIAG_E0501, span, "`%s` gives %s, not `%s`", op_name(n),
                randint ? "i32" : "f32", type_text(ir, given));
        return NULL;
    }
    if (randint ? dim_lo(ir, node_dim(n, "n")) < 1 || dim_hi(ir, node_dim(n, "n")) > INT32_MAX
                : n->op == OP_RNG && (node_int(n, "word") < 0 || node_int(n, "word") > 3)) {
        diag_at(ir->diags, DIAG_E0416, span,
                randint ? "`randint` gives integers below n, and n is from 1 to 2147483647"
                        : "`rng` has the words 0 to 3");
        return NULL;
    }
    if (n->op == OP_IOTA) {
        if (!infer_axis(ir, n, node_int(n, "axis"), given->rank, span))
            return NULL;
        if (given->dtype != DT_I32) {
            diag_at(ir->diags, DIAG_E0501, span, "`iota` gives i32, not `%s`",
                    type_text(ir, given));
            return NULL;
        }
    }
    if (n->op == OP_STATE && (node_int(n, "id") < 0 || node_int(n, "id") > INT32_MAX)) {
        diag_at(ir->diags, DIAG_E0416, span, "there is no state %lld",
                (long long)node_int(n, "id"));
        return NULL;
    }
    return infer_tensor(ir, given->dtype, given->rank, given->dims, span);
}

/* ---- elementwise ---- */

/* The one type of operands [first, nin), or NULL after a diagnostic. */
static const Type *one_type(Ir *ir, const Node *n, uint32_t first, Span span)
{
    const Type *t = infer_operand(ir, n, first, span);
    for (uint32_t k = first + 1; k < n->nin && t; k++) {
        const Type *other = infer_operand(ir, n, k, span);
        if (!other)
            return NULL;
        if (t == other)
            continue;
        if (t->dtype != other->dtype) {
            Diag *d = diag_at(ir->diags, DIAG_E0501, span, "`%s` and `%s` do not mix",
                              dtype_info(t->dtype)->name, dtype_info(other->dtype)->name);
            diag_note(d, "operands of `%s` are `%s` and `%s`", op_name(n), type_text(ir, t),
                      type_text(ir, other));
            diag_help(d, "convert one of them with `as`");
            return NULL;
        }
        diag_at(ir->diags, DIAG_E0413, span,
                "cannot broadcast `%s` with `%s`: the shorter shape must be a suffix",
                shape_text(ir, t), shape_text(ir, other));
        return NULL;
    }
    return t;
}

static const Type *wrong_kind(Ir *ir, const Node *n, const char *want, const Type *got, Span span)
{
    diag_at(ir->diags, DIAG_E0501, span, "`%s` needs %s, got `%s`", op_name(n), want,
            type_text(ir, got));
    return NULL;
}

bool infer_computes(Ir *ir, const Node *n, const Type *t, Span span)
{
    bool narrow = dtype_is_float(t->dtype) && dtype_info(t->dtype)->bytes < 4;
    if (narrow)
        wrong_kind(ir, n, "a type to compute in (cast to f32)", t, span);
    return !narrow;
}

const Type *infer_number(Ir *ir, const Node *n, Span span)
{
    const Type *t = one_type(ir, n, 0, span);
    if (t && t->dtype == DT_BOOL)
        return wrong_kind(ir, n, "numbers", t, span);
    return t && infer_computes(ir, n, t, span) ? t : NULL;
}

const Type *infer_float(Ir *ir, const Node *n, Span span)
{
    const Type *t = one_type(ir, n, 0, span);
    if (t && t->dtype != DT_F32 && t->dtype != DT_F64)
        return wrong_kind(ir, n, "f32 or f64", t, span);
    return t;
}

const Type *infer_test(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_float(ir, n, span);
    return t ? type_with_dtype(ir, t, DT_BOOL) : NULL;
}

const Type *infer_logic(Ir *ir, const Node *n, Span span)
{
    const Type *t = one_type(ir, n, 0, span);
    if (t && t->dtype != DT_BOOL)
        return wrong_kind(ir, n, "bool", t, span);
    return t;
}

const Type *infer_integer(Ir *ir, const Node *n, Span span)
{
    const Type *t = one_type(ir, n, 0, span);
    if (t && !dtype_is_int(t->dtype))
        return wrong_kind(ir, n, "integers", t, span);
    return t;
}

const Type *infer_compare(Ir *ir, const Node *n, Span span)
{
    const Type *t = one_type(ir, n, 0, span);
    return t && infer_computes(ir, n, t, span) ? type_with_dtype(ir, t, DT_BOOL) : NULL;
}

const Type *infer_same(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    return t && infer_computes(ir, n, t, span) ? t : NULL;
}

const Type *infer_cast(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    int64_t dtype = node_int(n, "dtype");
    ASSERT(dtype >= 0 && dtype < DT_COUNT);
    return t ? type_with_dtype(ir, t, (DType)dtype) : NULL;
}

const Type *infer_select(Ir *ir, const Node *n, Span span)
{
    const Type *c = infer_operand(ir, n, 0, span);
    const Type *t = one_type(ir, n, 1, span);
    if (!c || !t)
        return NULL;
    if (c->dtype != DT_BOOL)
        return wrong_kind(ir, n, "a bool condition", c, span);
    if (type_same_dims(c, t))
        return infer_computes(ir, n, t, span) ? t : NULL;
    diag_at(ir->diags, DIAG_E0413, span,
            "cannot broadcast `%s` with `%s`: the shorter shape must be a suffix",
            shape_text(ir, c), shape_text(ir, t));
    return NULL;
}

/* ---- many tensors ---- */

static bool need_operands(Ir *ir, const Node *n, Span span)
{
    if (n->nin > 0)
        return true;
    diag_at(ir->diags, DIAG_E0303, span, "`%s` needs at least one operand", op_name(n));
    return false;
}

const Type *infer_sumsq(Ir *ir, const Node *n, Span span)
{
    if (!need_operands(ir, n, span))
        return NULL;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Type *t = infer_operand(ir, n, k, span);
        if (!t)
            return NULL;
        if (t->dtype != DT_F32 && t->dtype != DT_F64)
            return wrong_kind(ir, n, "f32 or f64", t, span);
        if (t->dtype != n->in[0]->type->dtype)
            return wrong_kind(ir, n, dtype_info(n->in[0]->type->dtype)->name, t, span);
    }
    return type_scalar(ir, n->in[0]->type->dtype);
}

/* The only type, or the tuple. */
static const Type *one_or_tuple(Ir *ir, uint32_t count, const Type *const *types)
{
    return count == 1 ? types[0] : type_tuple(ir, count, types);
}

static const Type *wrong_argument(Ir *ir, const Node *n, uint32_t k, const Type *want, Span span)
{
    const Def *def = node_def(n);
    diag_at(ir->diags, DIAG_E0402, span, "operand %u of `%s` should be `%s`, got `%s`", k,
            def->name ? def->name : "", type_text(ir, want), type_text(ir, n->in[k]->type));
    return NULL;
}

const Type *infer_call(Ir *ir, const Node *n, Span span)
{
    const Def *def = node_def(n);
    const Graph *body = def->body;
    if (n->nin != body->inputs.n) {
        diag_at(ir->diags, DIAG_E0303, span, "`%s` takes %u operands, got %u",
                def->name ? def->name : "", body->inputs.n, n->nin);
        return NULL;
    }
    for (uint32_t k = 0; k < n->nin; k++) {
        if (n->in[k]->type != body->inputs.at[k]->type)
            return wrong_argument(ir, n, k, body->inputs.at[k]->type, span);
    }
    const Type **types = NEW_ARRAY(ir->arena, const Type *, body->results.n);
    for (uint32_t i = 0; i < body->results.n; i++)
        types[i] = body->results.at[i].node->type;
    return one_or_tuple(ir, body->results.n, types);
}

/* How a group with count > 1 is laid out: ir.h at Def. */
typedef struct Sets {
    uint32_t count, per_set, shared;
} Sets;

static bool set_layout(Ir *ir, const Node *n, Sets *out, Span span)
{
    const Graph *body = node_def(n)->body;
    int64_t count = node_int(n, "count"), nbody = body->inputs.n;
    int64_t extra = (int64_t)n->nin - nbody;
    if (count < 2 || extra < 0 || extra % (count - 1) != 0 || extra / (count - 1) < 1 ||
        extra / (count - 1) > nbody) {
        diag_at(ir->diags, DIAG_E0303, span, "%u operands are not %lld sets of a body of %u inputs",
                n->nin, (long long)count, body->inputs.n);
        return false;
    }
    out->count = (uint32_t)count;
    out->per_set = (uint32_t)(extra / (count - 1));
    out->shared = (uint32_t)nbody - out->per_set;
    return true;
}

/* What a body type becomes in the set whose first operand is `like`: scalars stay, tensors take
 * its dims. */
static const Type *type_in_set(Ir *ir, const Type *body, const Type *like)
{
    return body->is_tuple || body->rank == 0 ? body : type_with_dtype(ir, like, body->dtype);
}

static bool check_sets(Ir *ir, const Node *n, const Sets *s, Span span)
{
    const Graph *body = node_def(n)->body;
    for (uint32_t k = 0; k < n->nin; k++) {
        bool shared = k >= s->count * s->per_set;
        uint32_t first = k - k % s->per_set;
        uint32_t formal = shared ? s->per_set + k - s->count * s->per_set : k % s->per_set;
        const Type *want = body->inputs.at[formal]->type;
        if (!shared) {
            if (!infer_operand(ir, n, first, span))
                return false;
            want = type_in_set(ir, want, n->in[first]->type);
        }
        if (n->in[k]->type != want)
            return wrong_argument(ir, n, k, want, span) != NULL;
    }
    return true;
}

const Type *infer_group(Ir *ir, const Node *n, Span span)
{
    if (node_int(n, "count") == 1)
        return infer_call(ir, n, span);
    Sets s;
    if (!set_layout(ir, n, &s, span) || !check_sets(ir, n, &s, span))
        return NULL;
    const Graph *body = node_def(n)->body;
    uint32_t nresult = body->results.n;
    const Type **types = NEW_ARRAY(ir->arena, const Type *, (size_t)s.count *nresult);
    for (uint32_t i = 0; i < s.count * nresult; i++) {
        const Type *like = n->in[i / nresult * s.per_set]->type;
        types[i] = type_in_set(ir, body->results.at[i % nresult].node->type, like);
    }
    return one_or_tuple(ir, s.count * nresult, types);
}

const Type *infer_tuple(Ir *ir, const Node *n, Span span)
{
    const Type **types = NEW_ARRAY(ir->arena, const Type *, n->nin);
    for (uint32_t k = 0; k < n->nin; k++) {
        types[k] = infer_operand(ir, n, k, span);
        if (!types[k])
            return NULL;
    }
    return type_tuple(ir, n->nin, types);
}

const Type *infer_get(Ir *ir, const Node *n, Span span)
{
    const Type *t = n->in[0]->type;
    int64_t i = node_int(n, "i");
    if (t->is_tuple && i >= 0 && i < t->nelem)
        return t->elems[i];
    diag_at(ir->diags, DIAG_E0408, span, "there is no value %lld in `%s`", (long long)i,
            type_text(ir, t));
    return NULL;
}

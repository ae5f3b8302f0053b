/* infer_shape.c: type rules of views and folds, which make new dims. */
#include "infer.h"
#include "tables.h"

const Type *infer_reshape(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    const Attr *to = &n->attr[op_attr_index(n->op, "dims")];
    const Type *result = t ? infer_tensor(ir, t->dtype, to->n, to->dims, span) : NULL;
    if (!result)
        return NULL;
    const Dim *have = type_count(ir, t), *want = type_count(ir, result);
    if (have == want)
        return result;
    Diag *d = diag_at(ir->diags, DIAG_E0414, span, "cannot reshape `%s` to `%s`",
                      strchr(type_text(ir, t), '['), strchr(type_text(ir, result), '['));
    diag_note(d, "%s elements are not %s elements", infer_dim_text(ir, have),
              infer_dim_text(ir, want));
    return NULL;
}

const Type *infer_permute(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    const Attr *perm = node_ints(n, "perm");
    if (!t)
        return NULL;
    const Dim *dims[IR_MAX_RANK];
    uint32_t seen = 0;
    for (uint32_t i = 0; i < perm->n && i < t->rank; i++) {
        if (!infer_axis(ir, n, perm->ints[i], t->rank, span))
            return NULL;
        seen |= 1u << perm->ints[i];
        dims[i] = t->dims[perm->ints[i]];
    }
    if (perm->n != t->rank || seen != (1u << t->rank) - 1) {
        diag_at(ir->diags, DIAG_E0406, span, "`permute` must name each of the %u axes once",
                t->rank);
        return NULL;
    }
    return type_tensor(ir, t->dtype, t->rank, dims);
}

const Type *infer_expand(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    const Attr *to = &n->attr[op_attr_index(n->op, "dims")], *axes = node_ints(n, "axes");
    const Type *result = t ? infer_tensor(ir, t->dtype, to->n, to->dims, span) : NULL;
    if (!result)
        return NULL;
    bool fits = axes->n == t->rank;
    for (uint32_t i = 0; fits && i < t->rank; i++) {
        int64_t axis = axes->ints[i];
        fits = axis >= 0 && axis < to->n && (i == 0 || axis > axes->ints[i - 1]) &&
               to->dims[axis] == t->dims[i];
    }
    if (fits)
        return result;
    diag_at(ir->diags, DIAG_E0413, span, "cannot broadcast `%s` to `%s`",
            strchr(type_text(ir, t), '['), strchr(type_text(ir, result), '['));
    return NULL;
}

/* t with another extent of one axis. */
static const Type *with_extent(Ir *ir, const Type *t, int64_t axis, const Dim *extent, Span span)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++)
        dims[i] = i == axis ? extent : t->dims[i];
    return infer_tensor(ir, t->dtype, t->rank, dims, span);
}

const Type *infer_slice(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    int64_t axis = node_int(n, "axis");
    if (!t || !infer_axis(ir, n, axis, t->rank, span))
        return NULL;
    const Dim *start = node_dim(n, "start"), *extent = node_dim(n, "extent");
    const Dim *end = dim_add_quiet(ir, start, extent);
    const Dim *room = end ? dim_sub_quiet(ir, t->dims[axis], end) : NULL;
    if (room && dim_at_least(ir, start, 0) && dim_at_least(ir, room, 0))
        return with_extent(ir, t, axis, extent, span);
    diag_at(ir->diags, DIAG_E0416, span, "%s elements from %s of axis %lld are out of range 0..%s",
            infer_dim_text(ir, extent), infer_dim_text(ir, start), (long long)axis,
            infer_dim_text(ir, t->dims[axis]));
    return NULL;
}

/* The number of windows that fit into n elements, or NULL. */
static const Dim *window_count(Ir *ir, const Node *node, const Dim *n)
{
    int64_t size = node_int(node, "size"), stride = node_int(node, "stride"), left;
    int64_t reach = node_int(node, "dilation") * (size - 1) + 1;
    const Dim *room = dim_sub_quiet(ir, n, dim_const(ir, reach)), *steps;
    if (!room || !dim_at_least(ir, room, 0))
        return NULL;
    if (dim_is_const(room, &left))
        return dim_const(ir, left / stride + 1);
    return dim_div(ir, room, dim_const(ir, stride), &steps) ? dim_add(ir, steps, dim_const(ir, 1))
                                                            : NULL;
}

const Type *infer_window(Ir *ir, const Node *n, Span span)
{
    enum { MAX_REACH = 1 << 24 };
    const Type *t = infer_operand(ir, n, 0, span);
    int64_t axis = node_int(n, "axis"), size = node_int(n, "size");
    int64_t stride = node_int(n, "stride"), dilation = node_int(n, "dilation");
    if (!t || !infer_axis(ir, n, axis, t->rank, span))
        return NULL;
    if (size < 1 || stride < 1 || dilation < 1 || size > MAX_REACH || stride > MAX_REACH ||
        dilation > MAX_REACH) {
        diag_at(ir->diags, DIAG_E0416, span,
                "size %lld, stride %lld and dilation %lld must be 1..%d", (long long)size,
                (long long)stride, (long long)dilation, MAX_REACH);
        return NULL;
    }
    const Dim *count = window_count(ir, n, t->dims[axis]), *dims[IR_MAX_RANK];
    if (!count) {
        diag_at(ir->diags, DIAG_E0416, span,
                "windows of %lld, %lld apart, do not fit axis %lld of `%s`",
                (long long)dilation * (size - 1) + 1, (long long)stride, (long long)axis,
                type_text(ir, t));
        return NULL;
    }
    if (t->rank == IR_MAX_RANK) {
        diag_at(ir->diags, DIAG_E0109, span, "a tensor has at most %d axes", IR_MAX_RANK);
        return NULL;
    }
    for (uint32_t i = 0; i < t->rank; i++)
        dims[i + (i > axis)] = t->dims[i];
    dims[axis] = count;
    dims[axis + 1] = dim_const(ir, size);
    return infer_tensor(ir, t->dtype, t->rank + 1, dims, span);
}

const Type *infer_pad(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    int64_t axis = node_int(n, "axis");
    if (!t || !infer_axis(ir, n, axis, t->rank, span))
        return NULL;
    const Dim *lo = node_dim(n, "lo"), *hi = node_dim(n, "hi");
    if (dim_at_least(ir, lo, 0) && dim_at_least(ir, hi, 0))
        return with_extent(ir, t, axis, dim_add(ir, dim_add(ir, lo, t->dims[axis]), hi), span);
    diag_at(ir->diags, DIAG_E0416, span, "padding `%s` and `%s` may be negative",
            infer_dim_text(ir, lo), infer_dim_text(ir, hi));
    return NULL;
}

/* Whether b can follow a along `axis`; a diagnostic when not. */
static bool joins(Ir *ir, const Type *a, const Type *b, int64_t axis, Span span)
{
    if (a->dtype != b->dtype) {
        diag_at(ir->diags, DIAG_E0501, span, "`%s` and `%s` do not mix", dtype_info(a->dtype)->name,
                dtype_info(b->dtype)->name);
        return false;
    }
    if (a->rank != b->rank) {
        diag_at(ir->diags, DIAG_E0405, span, "cannot concatenate along axis %lld: ranks %u and %u",
                (long long)axis, a->rank, b->rank);
        return false;
    }
    for (uint32_t i = 0; i < a->rank; i++) {
        if (i == axis || a->dims[i] == b->dims[i])
            continue;
        diag_at(ir->diags, DIAG_E0405, span,
                "cannot concatenate along axis %lld: axis %u differs, %s and %s", (long long)axis,
                i, infer_dim_text(ir, a->dims[i]), infer_dim_text(ir, b->dims[i]));
        return false;
    }
    return true;
}

const Type *infer_concat(Ir *ir, const Node *n, Span span)
{
    if (n->nin == 0) {
        diag_at(ir->diags, DIAG_E0303, span, "`concat` needs at least one operand");
        return NULL;
    }
    const Type *first = infer_operand(ir, n, 0, span);
    int64_t axis = node_int(n, "axis");
    if (!first || !infer_axis(ir, n, axis, first->rank, span))
        return NULL;
    const Dim *extent = first->dims[axis];
    for (uint32_t k = 1; k < n->nin; k++) {
        const Type *t = infer_operand(ir, n, k, span);
        if (!t || !joins(ir, first, t, axis, span))
            return NULL;
        extent = dim_add(ir, extent, t->dims[axis]);
    }
    return with_extent(ir, first, axis, extent, span);
}

/* t without the axes whose bits are set. */
static const Type *without_axes(Ir *ir, const Type *t, uint32_t mask, DType dtype)
{
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!(mask >> i & 1))
            dims[rank++] = t->dims[i];
    }
    return type_tensor(ir, dtype, rank, dims);
}

static bool is_number(Ir *ir, const Node *n, const Type *t, Span span)
{
    if (t->dtype != DT_BOOL)
        return infer_computes(ir, n, t, span);
    diag_at(ir->diags, DIAG_E0501, span, "`%s` needs numbers, got `%s`", op_info(n->op)->name,
            type_text(ir, t));
    return false;
}

const Type *infer_reduce(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    const Attr *axes = node_ints(n, "axes");
    if (!t || !is_number(ir, n, t, span))
        return NULL;
    uint32_t mask = 0;
    for (uint32_t i = 0; i < axes->n; i++) {
        if (!infer_axis(ir, n, axes->ints[i], t->rank, span))
            return NULL;
        if (i > 0 && axes->ints[i] <= axes->ints[i - 1]) {
            diag_at(ir->diags, DIAG_E0406, span, "`%s`: axes must ascend", op_info(n->op)->name);
            return NULL;
        }
        mask |= 1u << axes->ints[i];
    }
    return without_axes(ir, t, mask, t->dtype);
}

const Type *infer_argreduce(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    int64_t axis = node_int(n, "axis");
    if (!t || !is_number(ir, n, t, span) || !infer_axis(ir, n, axis, t->rank, span))
        return NULL;
    return without_axes(ir, t, 1u << axis, DT_I32);
}

const Type *infer_scan(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_operand(ir, n, 0, span);
    if (!t || !is_number(ir, n, t, span) || !infer_axis(ir, n, node_int(n, "axis"), t->rank, span))
        return NULL;
    return t;
}

const Type *infer_argsort(Ir *ir, const Node *n, Span span)
{
    const Type *t = infer_scan(ir, n, span);
    return t ? type_with_dtype(ir, t, DT_I32) : NULL;
}

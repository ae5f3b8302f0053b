/* infer_join.c: type rules of operations that pair axes of two tensors: gather, scatter_add, dot. */
#include "infer.h"

/* Dims under construction; `n` may pass IR_MAX_RANK, which infer_tensor then reports. */
typedef struct Dims {
    const Dim *at[3 * IR_MAX_RANK];
    uint32_t n;
} Dims;

static void add_dims(Dims *d, const Type *t, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        d->at[d->n++] = t->dims[i];
}

/* The attributes axis and batch of gather and scatter_add over a tensor of rank `rank`, and idx
 * as integers with at least the batch axes. */
static bool indexed_axes(Ir *ir, const Node *n, uint32_t rank, Span span)
{
    const Type *idx = infer_operand(ir, n, 1, span);
    int64_t axis = node_int(n, "axis"), batch = node_int(n, "batch");
    if (!idx || !infer_axis(ir, n, axis, rank, span))
        return false;
    if (!dtype_is_int(idx->dtype)) {
        diag_at(ir->diags, DIAG_E0503, span, "an index must be an integer, got `%s`",
                type_text(ir, idx));
        return false;
    }
    if (batch < 0 || batch > axis || batch > idx->rank) {
        diag_at(ir->diags, DIAG_E0406, span, "`%s`: %lld shared axes of `%s` and axis %lld",
                op_info(n->op)->name, (long long)batch, type_text(ir, idx), (long long)axis);
        return false;
    }
    for (uint32_t i = 0; i < batch; i++) {
        if (n->in[0]->type->dims[i] != idx->dims[i])
            return infer_dims_differ(ir, n, n->in[0]->type->dims[i], idx->dims[i], span) != NULL;
    }
    return true;
}

const Type *infer_gather(Ir *ir, const Node *n, Span span)
{
    const Type *x = infer_operand(ir, n, 0, span);
    if (!x || !indexed_axes(ir, n, x->rank, span))
        return NULL;
    const Type *idx = n->in[1]->type;
    uint32_t axis = (uint32_t)node_int(n, "axis"), batch = (uint32_t)node_int(n, "batch");
    Dims d = {.n = 0};
    add_dims(&d, x, 0, axis);
    add_dims(&d, idx, batch, idx->rank);
    add_dims(&d, x, axis + 1, x->rank);
    return infer_tensor(ir, x->dtype, d.n, d.at, span);
}

/* The adjoint: dy has the shape that gather gives, the result the shape it reads. */
const Type *infer_scatter_add(Ir *ir, const Node *n, Span span)
{
    const Type *dy = infer_operand(ir, n, 0, span), *idx = infer_operand(ir, n, 1, span);
    if (!dy || !idx)
        return NULL;
    int64_t batch = node_int(n, "batch");
    uint32_t rows = batch >= 0 && batch <= idx->rank ? idx->rank - (uint32_t)batch : 0;
    if (dy->rank < rows || !indexed_axes(ir, n, dy->rank - rows + 1, span)) {
        if (dy->rank < rows)
            diag_at(ir->diags, DIAG_E0406, span, "`scatter_add`: `%s` has fewer axes than `%s`",
                    type_text(ir, dy), type_text(ir, idx));
        return NULL;
    }
    if (dy->dtype == DT_BOOL) {
        diag_at(ir->diags, DIAG_E0501, span, "`scatter_add` needs numbers, got `%s`",
                type_text(ir, dy));
        return NULL;
    }
    if (!infer_computes(ir, n, dy, span))
        return NULL;
    uint32_t axis = (uint32_t)node_int(n, "axis");
    for (uint32_t i = 0; i < rows; i++) {
        const Dim *want = dy->dims[axis + i], *got = idx->dims[(uint32_t)batch + i];
        if (want != got)
            return infer_dims_differ(ir, n, want, got, span);
    }
    Dims d = {.n = 0};
    add_dims(&d, dy, 0, axis);
    d.at[d.n++] = node_dim(n, "extent");
    add_dims(&d, dy, axis + rows, dy->rank);
    return infer_tensor(ir, dy->dtype, d.n, d.at, span);
}

/* ---- dot ---- */

/* The batch and contracted axes of operand k as bits; false after a diagnostic when one is out of
 * range or named twice. */
static bool mark_axes(Ir *ir, const Node *n, uint32_t k, uint32_t *mask, Span span)
{
    const Type *t = n->in[k]->type;
    const Attr *lists[] = {node_ints(n, k ? "b_batch" : "a_batch"),
                           node_ints(n, k ? "b_contract" : "a_contract")};
    *mask = 0;
    for (uint32_t i = 0; i < lists[0]->n + lists[1]->n; i++) {
        bool batch = i < lists[0]->n;
        int64_t axis = batch ? lists[0]->ints[i] : lists[1]->ints[i - lists[0]->n];
        if (!infer_axis(ir, n, axis, t->rank, span))
            return false;
        if (*mask >> axis & 1) {
            diag_at(ir->diags, DIAG_E0406, span, "`dot` names axis %lld of `%s` twice",
                    (long long)axis, type_text(ir, t));
            return false;
        }
        *mask |= 1u << axis;
    }
    return true;
}

/* Whether axes a of the left and b of the right operand pair up with equal extents. */
static bool pair_axes(Ir *ir, const Node *n, const Attr *a, const Attr *b, Span span)
{
    const Type *x = n->in[0]->type, *y = n->in[1]->type;
    if (a->n != b->n) {
        diag_at(ir->diags, DIAG_E0406, span, "`dot` pairs %u axes with %u", a->n, b->n);
        return false;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        const Dim *have = x->dims[a->ints[i]], *want = y->dims[b->ints[i]];
        if (have == want)
            continue;
        if (a == node_ints(n, "a_batch"))
            return infer_dims_differ(ir, n, have, want, span) != NULL;
        diag_at(ir->diags, DIAG_E0415, span, "`%s` @ `%s`: inner dimensions %s and %s differ",
                type_text(ir, x), type_text(ir, y), infer_dim_text(ir, have),
                infer_dim_text(ir, want));
        return false;
    }
    return true;
}

static void add_free(Dims *d, const Type *t, uint32_t mask)
{
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!(mask >> i & 1))
            d->at[d->n++] = t->dims[i];
    }
}

const Type *infer_dot(Ir *ir, const Node *n, Span span)
{
    if (!infer_operand(ir, n, 0, span) || !infer_operand(ir, n, 1, span))
        return NULL;
    const Type *a = n->in[0]->type, *b = n->in[1]->type;
    if (a->dtype != b->dtype) {
        diag_at(ir->diags, DIAG_E0501, span, "`%s` and `%s` do not mix", dtype_info(a->dtype)->name,
                dtype_info(b->dtype)->name);
        return NULL;
    }
    if (a->dtype != DT_F32 && a->dtype != DT_F64) {
        diag_at(ir->diags, DIAG_E0501, span, "`dot` needs f32 or f64, got `%s`", type_text(ir, a));
        return NULL;
    }
    const Attr *ab = node_ints(n, "a_batch"), *bb = node_ints(n, "b_batch");
    const Attr *ac = node_ints(n, "a_contract"), *bc = node_ints(n, "b_contract");
    uint32_t ma, mb;
    if (!mark_axes(ir, n, 0, &ma, span) || !mark_axes(ir, n, 1, &mb, span) ||
        !pair_axes(ir, n, ab, bb, span) || !pair_axes(ir, n, ac, bc, span))
        return NULL;
    Dims d = {.n = 0};
    for (uint32_t i = 0; i < ab->n; i++)
        d.at[d.n++] = a->dims[ab->ints[i]];
    add_free(&d, a, ma);
    add_free(&d, b, mb);
    return infer_tensor(ir, a->dtype, d.n, d.at, span);
}

/* The rows have x's dims but for the axis, where they are no more. */
const Type *infer_update(Ir *ir, const Node *n, Span span)
{
    const Type *x = infer_operand(ir, n, 0, span), *rows = infer_operand(ir, n, 1, span);
    const Type *at = infer_operand(ir, n, 2, span);
    int64_t axis = node_int(n, "axis");
    if (!x || !rows || !at || !infer_axis(ir, n, axis, x->rank, span))
        return NULL;
    if (!dtype_is_int(at->dtype) || at->rank > 0) {
        diag_at(ir->diags, DIAG_E0503, span, "`update` takes one index, got `%s`",
                type_text(ir, at));
        return NULL;
    }
    bool fits = rows->rank == x->rank && rows->dtype == x->dtype;
    for (uint32_t i = 0; fits && i < x->rank; i++)
        fits = i == axis ? dim_lo(ir, dim_sub(ir, x->dims[i], rows->dims[i])) >= 0
                         : x->dims[i] == rows->dims[i];
    if (fits)
        return x;
    diag_at(ir->diags, DIAG_E0402, span, "`update`: rows `%s` do not fit into `%s` along axis %lld",
            type_text(ir, rows), type_text(ir, x), (long long)axis);
    return NULL;
}

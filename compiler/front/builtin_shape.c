/* builtin_shape.c: functions that move elements: each is a few views of ops.def, or a gather. */
#include "builtin.h"

const Val *call_concat(Elab *e, const Builtin *b, Args *args)
{
    uint32_t n;
    int64_t axis;
    const Node **in = args_tensors(e, b, args, &n);
    if (!in || !args_axis(e, args, in[0]->type->rank, 0, &axis)) {
        return poison(e, args->call);
    }
    return val_node(e, graph_concat(e->g, in, n, (uint32_t)axis), args->call);
}

/* x with an axis of extent 1 before `axis`. */
static const Node *new_axis(Elab *e, const Node *x, uint32_t axis)
{
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = x->type->rank + 1;
    for (uint32_t i = 0; i < rank; i++) {
        dims[i] = i == axis ? dim_const(e->ir, 1) : x->type->dims[i - (i > axis)];
    }
    return graph_reshape(e->g, x, rank, dims);
}

const Val *call_stack(Elab *e, const Builtin *b, Args *args)
{
    uint32_t n;
    int64_t axis;
    const Node **in = args_tensors(e, b, args, &n);
    if (!in) {
        return poison(e, args->call);
    }
    if (in[0]->type->rank == IR_MAX_RANK) {
        diag_at(e->diags, DIAG_E0109, args->call, "a tensor has at most %d axes", IR_MAX_RANK);
        return poison(e, args->call);
    }
    if (!args_axis(e, args, in[0]->type->rank + 1, 0, &axis)) {
        return poison(e, args->call);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!type_same_dims(in[i]->type, in[0]->type)) {
            diag_at(e->diags, DIAG_E0405, args->call,
                    "`stack` needs equal shapes, got `%s` and `%s`", type_text(e->ir, in[0]->type),
                    type_text(e->ir, in[i]->type));
            return poison(e, args->call);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        in[i] = new_axis(e, in[i], (uint32_t)axis);
    }
    return val_node(e, graph_concat(e->g, in, n, (uint32_t)axis), args->call);
}

const Dim *args_extent(Elab *e, const Args *args, uint32_t i, const char *name)
{
    const Val *v = args_get(args, i, name);
    if (!v) {
        diag_at(e->diags, DIAG_E0303, args->call, "`%s` is missing", name);
        return NULL;
    }
    if (val_is_poison(v)) {
        return NULL;
    }
    if (v->kind != V_INT || !dim_at_least(e->ir, v->dim, 0)) {
        diag_at(e->diags, DIAG_E0503, v->span, "`%s` is a compile-time integer, 0 or more, got %s",
                name, val_text(e, v));
        return NULL;
    }
    return v->dim;
}

/* `extent` elements of the number v, shaped like x along the other axes. */
static const Node *margin(Elab *e, const Node *x, uint32_t axis, const Dim *extent, const Val *v)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < x->type->rank; i++) {
        dims[i] = i == axis ? extent : x->type->dims[i];
    }
    return arith_fill(e, v, type_tensor(e->ir, x->type->dtype, x->type->rank, dims), v->span);
}

/* pad(x, axis: k, lo, hi, value: 0) */
const Val *call_pad(Elab *e, const Builtin *b, Args *args)
{
    bool positional = args_positional(args) == 3;
    const Node *x = positional || args_count(e, b, args, 1) ? args_tensor(e, args, 0) : NULL;
    int64_t axis;
    if (!x || !args_axis(e, args, x->type->rank, AXIS_NEEDED, &axis)) {
        return poison(e, args->call);
    }
    const Dim *lo = args_extent(e, args, positional ? 1 : UINT32_MAX, "lo");
    const Dim *hi = lo ? args_extent(e, args, positional ? 2 : UINT32_MAX, "hi") : NULL;
    const Val *v = args_get(args, UINT32_MAX, "value");
    double number = 0;
    if (!hi || (v && val_is_poison(v))) {
        return poison(e, args->call);
    }
    if (v && !val_as_double(v, &number)) {
        diag_at(e->diags, DIAG_E0205, v->span, "`value` is a compile-time number, got %s",
                val_text(e, v));
        return poison(e, args->call);
    }
    if (!v || !(number < 0 || number > 0)) {
        return val_node(e, graph_pad(e->g, x, (uint32_t)axis, lo, hi), args->call);
    }
    const Node *in[] = {margin(e, x, (uint32_t)axis, lo, v), x,
                        margin(e, x, (uint32_t)axis, hi, v)};
    if (!in[0] || !in[2]) {
        return poison(e, args->call);
    }
    return val_node(e, graph_concat(e->g, in, 3, (uint32_t)axis), args->call);
}

/* The compile-time extent of an axis; -1 after E0307. */
static int64_t known_extent(Elab *e, const Builtin *b, const Args *args, const Node *x,
                            int64_t axis)
{
    int64_t extent;
    if (dim_is_const(x->type->dims[axis], &extent)) {
        return extent;
    }
    if (elab_open(e, x->type->dims[axis])) {
        return -1;
    }
    diag_at(e->diags, DIAG_E0307, args->call, "`%s` needs a compile-time extent, got `%s`", b->name,
            type_text(e->ir, x->type));
    return -1;
}

const Val *call_flip(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 1) ? args_tensor(e, args, 0) : NULL;
    int64_t axis, extent;
    if (!x || !args_axis(e, args, x->type->rank, AXIS_NEEDED, &axis) ||
        (extent = known_extent(e, b, args, x, axis)) < 0) {
        return poison(e, args->call);
    }
    const Node *up = graph_iota(e->g, 1, &x->type->dims[axis], 0);
    const Node *last = graph_fill(e->g, up->type, (double)(extent - 1));
    const Node *down = graph_binary(e->g, OP_SUB, last, up);
    return val_node(e, graph_gather(e->g, x, down, (uint32_t)axis, 0), args->call);
}

/* roll(x, n, axis: k): element i goes to i + n, around the end. */
const Val *call_roll(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    const Val *v = x ? args_get(args, 1, NULL) : NULL;
    int64_t axis, extent, n;
    if (!v || val_is_poison(v) || !args_axis(e, args, x->type->rank, AXIS_NEEDED, &axis) ||
        (extent = known_extent(e, b, args, x, axis)) < 0) {
        return poison(e, args->call);
    }
    if (!val_as_int(v, &n)) {
        diag_at(e->diags, DIAG_E0503, v->span, "`roll` takes a compile-time integer, got %s",
                val_text(e, v));
        return poison(e, args->call);
    }
    n = extent ? n % extent : 0;
    n += n < 0 ? extent : 0;
    if (!n) {
        return val_node(e, x, args->call);
    }
    const Dim *tail = dim_const(e->ir, n), *head = dim_const(e->ir, extent - n);
    const Node *in[] = {graph_slice(e->g, x, (uint32_t)axis, head, tail),
                        graph_slice(e->g, x, (uint32_t)axis, dim_const(e->ir, 0), head)};
    return val_node(e, graph_concat(e->g, in, 2, (uint32_t)axis), args->call);
}

/* repeat(x, n, axis: k): each slice n times in a row. */
const Val *call_repeat(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    const Dim *n = x ? args_extent(e, args, 1, "n") : NULL, *dims[IR_MAX_RANK];
    int64_t axis, map[IR_MAX_RANK];
    if (!n || !args_axis(e, args, x->type->rank, AXIS_NEEDED, &axis)) {
        return poison(e, args->call);
    }
    uint32_t rank = x->type->rank;
    if (rank == IR_MAX_RANK) {
        diag_at(e->diags, DIAG_E0109, args->call, "a tensor has at most %d axes", IR_MAX_RANK);
        return poison(e, args->call);
    }
    for (uint32_t i = 0; i < rank; i++) {
        map[i] = i + (i > axis);
        dims[map[i]] = x->type->dims[i];
    }
    dims[axis + 1] = n;
    const Node *wide = graph_expand(e->g, x, rank + 1, dims, map);
    for (uint32_t i = 0; i < rank; i++) {
        dims[i] = i == axis ? dim_mul(e->ir, x->type->dims[i], n) : x->type->dims[i];
    }
    return val_node(e, graph_reshape(e->g, wide, rank, dims), args->call);
}

/* scatter_add(x: [N, ..], at: i32[N], rows: R) */
const Val *call_scatter_add(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    const Node *at = x ? args_tensor(e, args, 1) : NULL;
    const Dim *rows = at ? args_extent(e, args, UINT32_MAX, "rows") : NULL;
    if (!rows) {
        return poison(e, args->call);
    }
    if (at->type->rank != 1 || !x->type->rank || at->type->dims[0] != x->type->dims[0]) {
        diag_at(e->diags, DIAG_E0402, args->call,
                "`scatter_add` takes `[N, ..]` and a row number for each of N, got `%s` and `%s`",
                type_text(e->ir, x->type), type_text(e->ir, at->type));
        return poison(e, args->call);
    }
    DType dt = x->type->dtype;
    const Node *in[] = {narrow_is(dt) ? graph_cast(e->g, DT_F32, x) : x, at};
    Attr attr[] = {
        {.kind = AK_INT, .i = 0}, {.kind = AK_INT, .i = 0}, {.kind = AK_DIM, .dim = rows}};
    NodeSpec spec = {.op = b->op, .nin = 2, .in = in, .attr = attr};
    return narrow_val(e, graph_op(e->g, &spec), dt, args->call);
}

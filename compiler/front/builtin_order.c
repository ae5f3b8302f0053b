/* builtin_order.c: prefix sums and order along an axis. Sorted values are a gather at the order, so
 * their gradient is that of the gather. */
#include "builtin.h"

/* x along `axis` under the scan row b->op with its second attribute. */
static const Node *along(Elab *e, OpKind op, const Node *x, int64_t axis, bool flag)
{
    Attr attr[] = {{.kind = AK_INT, .i = axis}, {.kind = AK_INT, .i = flag}};
    x = narrow_is(x->type->dtype) ? graph_cast(e->g, DT_F32, x) : x;
    return graph_op(e->g, &(NodeSpec){.op = op, .nin = 1, .in = &x, .attr = attr});
}

const Val *call_cumulative(Elab *e, const Builtin *b, Args *args)
{
    DType dt;
    const Node *x = args_count(e, b, args, 1) ? args_wide(e, args, 0, &dt) : NULL;
    int64_t axis;
    if (!x || !args_axis(e, args, x->type->rank, AXIS_NEEDED, &axis)) {
        return poison(e, args->call);
    }
    x = x->type->dtype == DT_BOOL ? graph_cast(e->g, DT_I32, x) : x;
    return narrow_val(e, along(e, b->op, x, axis, false), dt, args->call);
}

/* The axis and the last one swapped. */
static const Node *swap_last(Elab *e, const Node *x, int64_t axis)
{
    int64_t perm[IR_MAX_RANK];
    int64_t last = (int64_t)x->type->rank - 1;
    for (int64_t i = 0; i <= last; i++) {
        perm[i] = i == axis ? last : i == last ? axis : i;
    }
    return axis == last ? x : graph_permute(e->g, x, perm);
}

/* out[.., i, ..] = x[.., order[.., i, ..], ..] */
static const Node *take_along(Elab *e, const Node *x, const Node *order, int64_t axis)
{
    uint32_t last = x->type->rank - 1;
    const Node *y =
        graph_gather(e->g, swap_last(e, x, axis), swap_last(e, order, axis), last, last);
    return y ? swap_last(e, y, axis) : NULL;
}

/* `descending: true`; false after a diagnostic. */
static bool descending_arg(Elab *e, const Args *args, bool *descending)
{
    const Val *v = args_get(args, UINT32_MAX, "descending");
    *descending = v && v->kind == V_BOOL && v->b;
    if (!v || v->kind == V_BOOL) {
        return true;
    }
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0205, v->span, "`descending` is true or false, got %s",
                val_text(e, v));
    }
    return false;
}

const Val *call_sort(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 1) ? args_tensor(e, args, 0) : NULL;
    int64_t axis;
    bool descending;
    if (!x || !args_axis(e, args, x->type->rank, -1, &axis) ||
        !descending_arg(e, args, &descending)) {
        return poison(e, args->call);
    }
    const Node *order = along(e, OP_ARGSORT, x, axis, descending);
    bool indices = strcmp(b->name, "argsort") == 0;
    return val_node(e, order && !indices ? take_along(e, x, order, axis) : order, args->call);
}

/* topk(x, k): the first k of the descending order. */
const Val *call_topk(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    const Dim *k = x ? args_extent(e, args, 1, "k") : NULL;
    int64_t axis;
    if (!k || !args_axis(e, args, x->type->rank, -1, &axis)) {
        return poison(e, args->call);
    }
    const Node *order = along(e, OP_ARGSORT, x, axis, true);
    if (order) {
        order = graph_slice(e->g, order, (uint32_t)axis, dim_const(e->ir, 0), k);
    }
    const Node *values = order ? take_along(e, x, order, axis) : NULL;
    if (!values) {
        return poison(e, args->call);
    }
    const Val *both[] = {val_node(e, values, args->call), val_node(e, order, args->call)};
    return val_list(e, V_TUPLE, both, 2, args->call);
}

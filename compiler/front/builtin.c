/* builtin.c: the functions of the language that are not written in .mdl. Elementwise ones come from
 * ops.def; shapes and folds have a row below; constructors (cosine, normal, idx) are kept as records. */
#include "elab.h"

const Val *args_get(const Args *args, uint32_t i, const char *name)
{
    uint32_t position = 0;
    for (uint32_t k = 0; k < args->n; k++) {
        if (args->name[k] ? name && strcmp(args->name[k], name) == 0 : position == i) {
            return args->at[k];
        }
        position += !args->name[k];
    }
    return NULL;
}

static uint32_t positional(const Args *args)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < args->n; k++) {
        n += !args->name[k];
    }
    return n;
}

static bool takes(Elab *e, const Builtin *b, const Args *args, uint32_t n)
{
    if (positional(args) != n) {
        diag_at(e->diags, DIAG_E0303, args->call, "`%s` takes %u argument%s, got %u", b->name, n,
                n == 1 ? "" : "s", positional(args));
        return false;
    }
    return true;
}

static const Node *tensor_arg(Elab *e, const Args *args, uint32_t i)
{
    const Val *v = args_get(args, i, NULL);
    return val_is_poison(v) ? NULL : tensor_of(e, v);
}

/* `axis: k` of a tensor of this rank, negative from the end. */
static bool axis_value(Elab *e, const Val *v, uint32_t rank, int64_t *axis)
{
    if (!val_as_int(v, axis)) {
        diag_at(e->diags, DIAG_E0503, v->span, "an axis is a compile-time integer, got %s",
                val_text(e, v));
        return false;
    }
    *axis += *axis < 0 ? rank : 0;
    if (*axis < 0 || *axis >= rank) {
        diag_at(e->diags, DIAG_E0416, v->span, "axis %s of a tensor of rank %u", val_text(e, v),
                rank);
        return false;
    }
    return true;
}

static bool axis_arg(Elab *e, const Args *args, uint32_t rank, int64_t missing, int64_t *axis)
{
    const Val *v = args_get(args, UINT32_MAX, "axis");
    return v ? axis_value(e, v, rank, axis)
             : axis_value(e, val_int(e, missing, args->call), rank, axis);
}

/* ---- elementwise ---- */

static const Val *call_elementwise(Elab *e, const Builtin *b, Args *args)
{
    int arity = op_info(b->op)->arity;
    if (!takes(e, b, args, (uint32_t)arity)) {
        return poison(e, args->call);
    }
    for (uint32_t i = 0; i < args->n; i++) {
        if (val_is_poison(args->at[i])) {
            return args->at[i];
        }
    }
    if (arity == 1) {
        return arith_unary(e, b->op, args->at[0], args->call);
    }
    if (arity == 3) {
        return arith_select(e, args->at, args->call);
    }
    double x, y;
    if (val_as_double(args->at[0], &x) && val_as_double(args->at[1], &y)) {
        double r = op_info(b->op)->eval(x, y, 0);
        int64_t i = (int64_t)r;
        bool integers = args->at[0]->kind == V_INT && args->at[1]->kind == V_INT && (double)i == r;
        return integers ? val_int(e, i, args->call) : val_real(e, r, args->call);
    }
    return arith_binary(e, b->op, args->at[0], args->at[1], args->call);
}

static const Val *call_clamp(Elab *e, const Builtin *b, Args *args)
{
    if (!takes(e, b, args, 3)) {
        return poison(e, args->call);
    }
    const Val *low = arith_binary(e, OP_MAX, args->at[0], args->at[1], args->call);
    return arith_binary(e, OP_MIN, low, args->at[2], args->call);
}

/* ---- folds ---- */

static bool fold_axes(Elab *e, const Args *args, uint32_t rank, int64_t *axes, uint32_t *n)
{
    const Val *v = args_get(args, UINT32_MAX, "axis");
    bool tuple = v && v->kind == V_TUPLE;
    *n = 0;
    if (!v) {
        diag_at(e->diags, DIAG_E0303, args->call, "a fold needs `axis: k`, or `axis: all`");
        return false;
    }
    if (v->kind == V_BUILTIN && strcmp(v->builtin->name, "all") == 0) {
        for (; *n < rank; (*n)++) {
            axes[*n] = *n;
        }
        return true;
    }
    uint32_t seen = 0;
    for (uint32_t i = 0; i < (tuple ? v->list.n : 1); i++) {
        int64_t k;
        if (!axis_value(e, tuple ? v->list.at[i] : v, rank, &k)) {
            return false;
        }
        seen |= 1u << k;
    }
    for (uint32_t k = 0; k < rank; k++) {
        if (seen & 1u << k) {
            axes[(*n)++] = k;
        }
    }
    return true;
}

static const Val *call_fold(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = takes(e, b, args, 1) ? tensor_arg(e, args, 0) : NULL;
    int64_t axes[IR_MAX_RANK];
    uint32_t n;
    if (!x || !fold_axes(e, args, x->type->rank, axes, &n)) {
        return poison(e, args->call);
    }
    x = x->type->dtype == DT_BOOL ? graph_cast(e->g, DT_I32, x) : x;
    return val_node(e, n ? graph_reduce(e->g, b->op, x, axes, n) : x, args->call);
}

/* mean(x) is a loss, mean(x, axis: k) a tensor. */
static const Val *call_mean(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = takes(e, b, args, 1) ? tensor_arg(e, args, 0) : NULL;
    int64_t axes[IR_MAX_RANK];
    uint32_t n;
    if (!x) {
        return poison(e, args->call);
    }
    if (!args_get(args, UINT32_MAX, "axis")) {
        return loss_mean(e, x, NULL, args->call);
    }
    if (!fold_axes(e, args, x->type->rank, axes, &n)) {
        return poison(e, args->call);
    }
    const Dim *count = dim_const(e->ir, 1);
    for (uint32_t i = 0; i < n; i++) {
        count = dim_mul(e->ir, count, x->type->dims[axes[i]]);
    }
    x = dtype_is_float(x->type->dtype) ? x : graph_cast(e->g, DT_F32, x);
    const Val *sum = val_node(e, n ? graph_reduce(e->g, OP_SUM, x, axes, n) : x, args->call);
    return arith_binary(e, OP_DIV, sum, val_dim(e, count, args->call), args->call);
}

static const Val *call_weighted_mean(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = takes(e, b, args, 2) ? tensor_arg(e, args, 0) : NULL;
    const Val *w = x ? args_get(args, 1, NULL) : NULL;
    if (!w || val_is_poison(w)) {
        return poison(e, args->call);
    }
    if (w->kind == V_BOOL && w->b) {
        return loss_mean(e, x, NULL, args->call);
    }
    const Node *n = is_tensor(w) ? tensor_of(e, w) : arith_fill(e, w, x->type, w->span);
    return n ? loss_mean(e, x, n, args->call) : poison(e, args->call);
}

static const Val *call_argreduce(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = takes(e, b, args, 1) ? tensor_arg(e, args, 0) : NULL;
    int64_t axis;
    if (!x || !axis_arg(e, args, x->type->rank, -1, &axis)) {
        return poison(e, args->call);
    }
    Attr attr = {.kind = AK_INT, .i = axis};
    NodeSpec spec = {.op = b->op, .nin = 1, .in = &x, .attr = &attr};
    return val_node(e, graph_op(e->g, &spec), args->call);
}

/* ---- shapes ---- */

static const Val *call_concat(Elab *e, const Builtin *b, Args *args)
{
    const Val *list = positional(args) == 1 ? args_get(args, 0, NULL) : NULL;
    uint32_t n = list && list->kind == V_LIST ? list->list.n : positional(args);
    const Node **in = NEW_ARRAY(e->arena, const Node *, n + 1);
    int64_t axis;
    if (!n) {
        takes(e, b, args, 1);
        return poison(e, args->call);
    }
    for (uint32_t i = 0; i < n; i++) {
        const Val *v = list && list->kind == V_LIST ? list->list.at[i] : args_get(args, i, NULL);
        in[i] = val_is_poison(v) ? NULL : tensor_of(e, v);
        if (!in[i]) {
            return poison(e, args->call);
        }
    }
    if (!axis_arg(e, args, in[0]->type->rank, 0, &axis)) {
        return poison(e, args->call);
    }
    return val_node(e, graph_concat(e->g, in, n, (uint32_t)axis), args->call);
}

/* The parts [k * size, (k + 1) * size) of an axis, without the axis when size is 1 and it is dropped. */
static const Val *parts(Elab *e, const Node *x, uint32_t axis, int64_t n, bool drop)
{
    const Dim *extent = x->type->dims[axis], *size, *dims[IR_MAX_RANK];
    Span span = e->g->span;
    if (n < 1 || n > 4096 || !dim_div(e->ir, extent, dim_const(e->ir, n), &size)) {
        diag_at(e->diags, DIAG_E0403, span, "axis %u of `%s` cannot be cut into %lld equal parts",
                axis, type_text(e->ir, x->type), (long long)n);
        return poison(e, span);
    }
    const Val **at = NEW_ARRAY(e->arena, const Val *, n);
    for (uint32_t k = 0; k + 1 < x->type->rank; k++) {
        dims[k] = x->type->dims[k + (k >= axis)];
    }
    for (int64_t i = 0; i < n; i++) {
        const Dim *start = dim_mul(e->ir, dim_const(e->ir, i), size);
        const Node *p = graph_slice(e->g, x, axis, start, size);
        p = p && drop ? graph_reshape(e->g, p, x->type->rank - 1, dims) : p;
        at[i] = val_node(e, p, span);
    }
    return val_list(e, V_TUPLE, at, (uint32_t)n);
}

static const Val *call_unbind(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = takes(e, b, args, 1) ? tensor_arg(e, args, 0) : NULL;
    int64_t axis, n = 0;
    if (!x || !axis_arg(e, args, x->type->rank, 0, &axis)) {
        return poison(e, args->call);
    }
    e->g->span = args->call;
    dim_is_const(x->type->dims[axis], &n);
    return parts(e, x, (uint32_t)axis, n, true);
}

static const Val *call_split(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = takes(e, b, args, 2) ? tensor_arg(e, args, 0) : NULL;
    int64_t axis, n = 0;
    if (!x || !axis_arg(e, args, x->type->rank, -1, &axis)) {
        return poison(e, args->call);
    }
    e->g->span = args->call;
    val_as_int(args_get(args, 1, NULL), &n);
    return parts(e, x, (uint32_t)axis, n, false);
}

static const Val *call_iota(Elab *e, const Builtin *b, Args *args)
{
    if (!takes(e, b, args, 1) || args->at[0]->kind != V_INT || !e->g) {
        if (positional(args) == 1 && !val_is_poison(args->at[0])) {
            diag_at(e->diags, DIAG_E0503, args->call, "`iota` takes a size");
        }
        return poison(e, args->call);
    }
    return val_node(e, graph_iota(e->g, 1, &args->at[0]->dim, 0), args->call);
}

/* one_hot(ids, n): bool[.., n]. */
static const Val *call_one_hot(Elab *e, const Builtin *b, Args *args)
{
    const Node *ids = takes(e, b, args, 2) ? tensor_arg(e, args, 0) : NULL;
    const Val *n = ids ? args_get(args, 1, NULL) : NULL;
    if (!n || n->kind != V_INT || ids->type->rank == IR_MAX_RANK ||
        !dtype_is_int(ids->type->dtype)) {
        if (n && !val_is_poison(n)) {
            diag_at(e->diags, DIAG_E0503, args->call, "`one_hot` takes integers and a size");
        }
        return poison(e, args->call);
    }
    const Dim *dims[IR_MAX_RANK];
    int64_t axes[IR_MAX_RANK];
    uint32_t rank = ids->type->rank;
    for (uint32_t i = 0; i < rank; i++) {
        dims[i] = ids->type->dims[i];
        axes[i] = i;
    }
    dims[rank] = n->dim;
    const Node *wide = graph_expand(e->g, graph_cast(e->g, DT_I32, ids), rank + 1, dims, axes);
    return val_node(e, graph_binary(e->g, OP_EQ, wide, graph_iota(e->g, rank + 1, dims, rank)),
                    args->call);
}

/* len(x): first extent or number of entries; count(x): number of elements. */
static const Val *call_size(Elab *e, const Builtin *b, Args *args)
{
    if (!takes(e, b, args, 1) || val_is_poison(args->at[0])) {
        return poison(e, args->call);
    }
    const Val *v = args->at[0];
    bool len = b->name[0] == 'l';
    if (v->kind == V_LIST || v->kind == V_TUPLE || v->kind == V_ARRAY) {
        return val_int(e, v->kind == V_ARRAY ? v->array.n : v->list.n, args->call);
    }
    if (!is_tensor(v) || (len && !tensor_type(v)->rank)) {
        diag_at(e->diags, DIAG_E0205, args->call, "%s has no size", val_text(e, v));
        return poison(e, args->call);
    }
    const Type *t = tensor_type(v);
    return val_dim(e, len ? t->dims[0] : type_count(e->ir, t), args->call);
}

/* ---- the tables ---- */

static const Builtin functions[] = {
    {"sum", call_fold, OP_SUM, "sum over an axis"},
    {"prod", call_fold, OP_PROD, "product over an axis"},
    {"amax", call_fold, OP_AMAX, "largest over an axis"},
    {"amin", call_fold, OP_AMIN, "smallest over an axis"},
    {"mean", call_mean, OP_SUM, "mean over an axis; without one, a loss"},
    {"weighted_mean", call_weighted_mean, OP_SUM, "a loss: sum of w*x over sum of w"},
    {"argmax", call_argreduce, OP_ARGMAX, "index of the largest"},
    {"argmin", call_argreduce, OP_ARGMIN, "index of the smallest"},
    {"clamp", call_clamp, OP_MIN, "clamp(x, lo, hi)"},
    {"concat", call_concat, OP_CONCAT, "concat(a, b, .., axis: k)"},
    {"unbind", call_unbind, OP_SLICE, "tuple of slices without the axis"},
    {"split", call_split, OP_SLICE, "tuple of n equal parts"},
    {"iota", call_iota, OP_IOTA, "0, 1, .. n-1"},
    {"one_hot", call_one_hot, OP_EQ, "one_hot(ids, n): bool[.., n]"},
    {"len", call_size, OP_IOTA, "first extent, or number of entries"},
    {"count", call_size, OP_IOTA, "number of elements"},
#define RECORD(name)                           \
    {                                          \
#name, NULL, OP_CONST, "a constructor" \
    }
    RECORD(zeros),
    RECORD(ones),
    RECORD(constant),
    RECORD(normal),
    RECORD(truncated),
    RECORD(uniform),
    RECORD(kaiming_uniform),
    RECORD(xavier_uniform),
    RECORD(linear),
    RECORD(cosine),
    RECORD(wsd),
    RECORD(piecewise),
    RECORD(idx),
    RECORD(npz),
    RECORD(save),
#undef RECORD
    {"all", call_size, OP_IOTA, "every axis"},
};

/* Elementwise rows of ops.def that are called by name; operators have their own syntax. */
static bool callable(OpKind op)
{
    const OpInfo *info = op_info(op);
    static const char *const operators[] = {"neg",  "add", "sub", "mul", "div", "pow",
                                            "idiv", "mod", "eq",  "ne",  "lt",  "le",
                                            "and",  "or",  "not", "cast"};
    for (size_t i = 0; i < COUNT(operators); i++) {
        if (strcmp(info->name, operators[i]) == 0) {
            return false;
        }
    }
    return info->cls == OC_ELEM;
}

static const Builtin elementwise[OP_COUNT] = {
#define OP(id, text, documentation, ...) \
    [OP_##id] = {text, call_elementwise, OP_##id, documentation},
#include "ops.def"
#undef OP
};

const Builtin *builtin_at(uint32_t i)
{
    if (i < COUNT(functions)) {
        return &functions[i];
    }
    uint32_t k = i - (uint32_t)COUNT(functions);
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        if (callable((OpKind)op) && k-- == 0) {
            return &elementwise[op];
        }
    }
    return NULL;
}

const Builtin *builtin_find(const char *name)
{
    OpKind op;
    for (size_t i = 0; i < COUNT(functions); i++) {
        if (strcmp(functions[i].name, name) == 0) {
            return &functions[i];
        }
    }
    return op_find(name, &op) && callable(op) ? &elementwise[op] : NULL;
}

const Val *builtin_call(Elab *e, const Builtin *b, Args *args)
{
    if (!e->g && b->fn != call_elementwise && b->fn != call_size) {
        diag_at(e->diags, DIAG_E0205, args->call, "`%s` needs run-time values", b->name);
        return poison(e, args->call);
    }
    return b->fn(e, b, args);
}

/* builtin.c: the functions of the language that are not written in .mdl. Elementwise ones come from
 * ops.def; shapes and folds have a row below; constructors (cosine, normal, idx) are kept as records. */
#include "builtin.h"
#include <math.h>

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

uint32_t args_positional(const Args *args)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < args->n; k++) {
        n += !args->name[k];
    }
    return n;
}

bool args_count(Elab *e, const Builtin *b, const Args *args, uint32_t n)
{
    if (args_positional(args) != n) {
        diag_at(e->diags, DIAG_E0303, args->call, "`%s` takes %u argument%s, got %u", b->name, n,
                n == 1 ? "" : "s", args_positional(args));
        return false;
    }
    return true;
}

const Node *args_tensor(Elab *e, const Args *args, uint32_t i)
{
    const Val *v = args_get(args, i, NULL);
    return val_is_poison(v) ? NULL : tensor_of(e, v);
}

const Node *args_wide(Elab *e, const Args *args, uint32_t i, DType *dt)
{
    const Val *v = args_get(args, i, NULL);
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    *dt = n ? n->type->dtype : DT_F32;
    return n && is_tensor(v) ? narrow_wide(e, v) : n;
}

/* `axis: k` of a tensor of this rank, negative from the end. */
static bool axis_value(Elab *e, const Val *v, uint32_t rank, int64_t *axis)
{
    if (val_is_poison(v)) {
        return false;
    }
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

bool args_axis(Elab *e, const Args *args, uint32_t rank, int64_t missing, int64_t *axis)
{
    const Val *v = args_get(args, UINT32_MAX, "axis");
    if (!v && missing == AXIS_NEEDED) {
        diag_at(e->diags, DIAG_E0303, args->call, "`axis: k` is missing");
        return false;
    }
    return v ? axis_value(e, v, rank, axis)
             : axis_value(e, val_int(e, missing, args->call), rank, axis);
}

/* ---- elementwise ---- */

static const Val *binary(Elab *e, OpKind op, const Val *a, const Val *b, Span span)
{
    double x, y;
    if (!val_as_double(a, &x) || !val_as_double(b, &y)) {
        return arith_binary(e, op, a, b, span);
    }
    double r = op_info(op)->eval(x, y, 0);
    bool integers = a->kind == V_INT && b->kind == V_INT && fabs(r) < 0x1p53 && floor(r) >= r;
    return integers ? val_int(e, (int64_t)r, span) : val_real(e, r, span);
}

static const Val *call_elementwise(Elab *e, const Builtin *b, Args *args)
{
    int arity = op_info(b->op)->arity;
    if (!args_count(e, b, args, (uint32_t)arity)) {
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
    return binary(e, b->op, args->at[0], args->at[1], args->call);
}

static const Val *call_clamp(Elab *e, const Builtin *b, Args *args)
{
    if (!args_count(e, b, args, 3)) {
        return poison(e, args->call);
    }
    const Val *low = binary(e, OP_MAX, args->at[0], args->at[1], args->call);
    return binary(e, OP_MIN, low, args->at[2], args->call);
}

/* ---- folds ---- */

/* `axis: all`; as a function it means nothing. */
static const Val *call_all(Elab *e, const Builtin *b, Args *args)
{
    diag_at(e->diags, DIAG_E0305, args->call, "`%s` names every axis: `sum(x, axis: all)`",
            b->name);
    return poison(e, args->call);
}

static bool fold_axes(Elab *e, const Args *args, uint32_t rank, int64_t *axes, uint32_t *n)
{
    const Val *v = args_get(args, UINT32_MAX, "axis");
    bool tuple = v && v->kind == V_TUPLE;
    *n = 0;
    if (!v) {
        diag_at(e->diags, DIAG_E0303, args->call, "a fold needs `axis: k`, or `axis: all`");
        return false;
    }
    if (val_is_poison(v)) {
        return false;
    }
    if (v->kind == V_BUILTIN && v->builtin->fn == call_all) {
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
    DType dt;
    const Node *x = args_count(e, b, args, 1) ? args_wide(e, args, 0, &dt) : NULL;
    int64_t axes[IR_MAX_RANK];
    uint32_t n;
    if (!x || !fold_axes(e, args, x->type->rank, axes, &n)) {
        return poison(e, args->call);
    }
    x = x->type->dtype == DT_BOOL ? graph_cast(e->g, DT_I32, x) : x;
    return narrow_val(e, n ? graph_reduce(e->g, b->op, x, axes, n) : x, dt, args->call);
}

/* The number of elements along axes: a number, or where it is known only at run time, a sum of ones. */
static const Val *extent_of(Elab *e, const Node *x, const int64_t *axes, uint32_t n, Span span)
{
    const Dim *count = dim_const(e->ir, 1);
    int64_t known;
    for (uint32_t i = 0; i < n; i++) {
        count = dim_mul(e->ir, count, x->type->dims[axes[i]]);
    }
    if (dim_is_const(count, &known)) {
        return val_int(e, known, span);
    }
    return val_node(e, graph_reduce(e->g, OP_SUM, graph_fill(e->g, x->type, 1), axes, n), span);
}

/* mean(x) is a loss, mean(x, axis: k) a tensor. */
static const Val *call_mean(Elab *e, const Builtin *b, Args *args)
{
    DType dt;
    const Node *x = args_count(e, b, args, 1) ? args_wide(e, args, 0, &dt) : NULL;
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
    x = dtype_is_float(x->type->dtype) ? x : graph_cast(e->g, DT_F32, x);
    const Val *sum = narrow_val(e, n ? graph_reduce(e->g, OP_SUM, x, axes, n) : x, dt, args->call);
    return arith_binary(e, OP_DIV, sum, extent_of(e, x, axes, n, args->call), args->call);
}

static const Val *call_weighted_mean(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
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
    DType dt;
    const Node *x = args_count(e, b, args, 1) ? args_wide(e, args, 0, &dt) : NULL;
    int64_t axis;
    if (!x || !args_axis(e, args, x->type->rank, -1, &axis)) {
        return poison(e, args->call);
    }
    Attr attr = {.kind = AK_INT, .i = axis};
    NodeSpec spec = {.op = b->op, .nin = 1, .in = &x, .attr = &attr};
    return val_node(e, graph_op(e->g, &spec), args->call);
}

/* ---- shapes ---- */

const Node **args_tensors(Elab *e, const Builtin *b, const Args *args, uint32_t *n)
{
    const Val *list = args_positional(args) == 1 ? args_get(args, 0, NULL) : NULL;
    bool listed = list && (list->kind == V_LIST || list->kind == V_TUPLE);
    *n = listed ? list->list.n : args_positional(args);
    const Node **in = NEW_ARRAY(e->arena, const Node *, *n + 1);
    if (!*n) {
        args_count(e, b, args, 1);
        return NULL;
    }
    for (uint32_t i = 0; i < *n; i++) {
        const Val *v = listed ? list->list.at[i] : args_get(args, i, NULL);
        in[i] = val_is_poison(v) ? NULL : tensor_of(e, v);
        if (!in[i]) {
            return NULL;
        }
    }
    return arith_unify(e, in, *n, args->call) ? in : NULL;
}

enum { MAX_PARTS = 4096 };

/* Slices of an axis, one behind the other; `drop`: each of extent 1 and without the axis. */
static const Val *parts(Elab *e, const Node *x, uint32_t axis, const Val *sizes, bool drop)
{
    uint32_t n = sizes->list.n, rank = x->type->rank;
    const Dim *start = dim_const(e->ir, 0), *dims[IR_MAX_RANK];
    const Val **at = NEW_ARRAY(e->arena, const Val *, n);
    for (uint32_t k = 0; k + 1 < rank; k++) {
        dims[k] = x->type->dims[k + (k >= axis)];
    }
    for (uint32_t i = 0; i < n; i++) {
        const Dim *size = sizes->list.at[i]->dim;
        const Node *p = graph_slice(e->g, x, axis, start, size);
        p = p && drop ? graph_reshape(e->g, p, rank - 1, dims) : p;
        at[i] = val_node(e, p, e->g->span);
        start = dim_add(e->ir, start, size);
    }
    return val_list(e, V_TUPLE, at, n, e->g->span);
}

/* n equal extents of an axis, or NULL after a diagnostic. */
static const Val *equal_sizes(Elab *e, const Node *x, uint32_t axis, int64_t n, Span span)
{
    const Dim *size;
    if (n > MAX_PARTS) {
        diag_at(e->diags, DIAG_E0109, span, "%lld parts: at most %d are possible", (long long)n,
                MAX_PARTS);
        return NULL;
    }
    if (n < 1 || !dim_div(e->ir, x->type->dims[axis], dim_const(e->ir, n), &size)) {
        if (n > 0 && elab_open(e, x->type->dims[axis])) {
            return NULL;
        }
        diag_at(e->diags, DIAG_E0403, span, "axis %u of `%s` cannot be cut into %lld equal parts",
                axis, type_text(e->ir, x->type), (long long)n);
        return NULL;
    }
    const Val *at[MAX_PARTS];
    for (int64_t i = 0; i < n; i++) {
        at[i] = val_dim(e, size, span);
    }
    return val_list(e, V_TUPLE, at, (uint32_t)n, span);
}

static const Val *call_unbind(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 1) ? args_tensor(e, args, 0) : NULL;
    int64_t axis, n;
    if (!x || !args_axis(e, args, x->type->rank, 0, &axis)) {
        return poison(e, args->call);
    }
    if (!dim_is_const(x->type->dims[axis], &n)) {
        if (elab_open(e, x->type->dims[axis])) {
            return poison(e, args->call);
        }
        diag_at(e->diags, DIAG_E0307, args->call, "`unbind` needs a compile-time extent, got `%s`",
                type_text(e->ir, x->type));
        return poison(e, args->call);
    }
    const Val *sizes = equal_sizes(e, x, (uint32_t)axis, n, args->call);
    e->g->span = args->call;
    return sizes ? parts(e, x, (uint32_t)axis, sizes, true) : poison(e, args->call);
}

/* The extents of split(x, (a, b, ..)): their sum must be the axis. */
static bool sizes_fit(Elab *e, const Node *x, uint32_t axis, const Val *sizes)
{
    const Dim *sum = dim_const(e->ir, 0);
    for (uint32_t i = 0; i < sizes->list.n; i++) {
        const Val *v = sizes->list.at[i];
        if (v->kind != V_INT || !dim_at_least(e->ir, v->dim, 0)) {
            diag_at(e->diags, DIAG_E0503, v->span, "an extent is a whole number, got %s",
                    val_text(e, v));
            return false;
        }
        sum = dim_add(e->ir, sum, v->dim);
    }
    if (sum != x->type->dims[axis]) {
        diag_at(e->diags, DIAG_E0402, sizes->span, "extents %s do not add up to axis %u of `%s`",
                val_text(e, sizes), axis, type_text(e->ir, x->type));
        return false;
    }
    return true;
}

static const Val *call_split(Elab *e, const Builtin *b, Args *args)
{
    const Node *x = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    const Val *how = x ? args_get(args, 1, NULL) : NULL;
    int64_t axis, n;
    if (!how || val_is_poison(how) || !args_axis(e, args, x->type->rank, -1, &axis)) {
        return poison(e, args->call);
    }
    const Val *sizes = NULL;
    if (val_as_int(how, &n)) {
        sizes = equal_sizes(e, x, (uint32_t)axis, n, args->call);
    } else if (how->kind == V_TUPLE || how->kind == V_LIST) {
        sizes = sizes_fit(e, x, (uint32_t)axis, how) ? how : NULL;
    } else {
        diag_at(e->diags, DIAG_E0503, how->span,
                "`split` takes a number of parts or extents, got %s", val_text(e, how));
    }
    e->g->span = args->call;
    return sizes ? parts(e, x, (uint32_t)axis, sizes, false) : poison(e, args->call);
}

static const Val *call_iota(Elab *e, const Builtin *b, Args *args)
{
    if (!args_count(e, b, args, 1) || args->at[0]->kind != V_INT || !e->g) {
        if (args_positional(args) == 1 && !val_is_poison(args->at[0])) {
            diag_at(e->diags, DIAG_E0503, args->call, "`iota` takes a size, got %s",
                    val_text(e, args->at[0]));
        }
        return poison(e, args->call);
    }
    return val_node(e, graph_iota(e->g, 1, &args->at[0]->dim, 0), args->call);
}

/* one_hot(ids, n): bool[.., n]. */
static const Val *call_one_hot(Elab *e, const Builtin *b, Args *args)
{
    const Node *ids = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    const Val *n = ids ? args_get(args, 1, NULL) : NULL;
    if (!n || n->kind != V_INT || ids->type->rank == IR_MAX_RANK ||
        !dtype_is_int(ids->type->dtype)) {
        if (n && !val_is_poison(n)) {
            diag_at(e->diags, DIAG_E0503, args->call,
                    "`one_hot` takes integers and a size, got %s and %s", val_text(e, args->at[0]),
                    val_text(e, n));
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
    if (!args_count(e, b, args, 1) || val_is_poison(args->at[0])) {
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

bool builtin_is_size(const Builtin *b)
{
    return b->fn == call_size;
}

/* ---- the tables ---- */

static const Builtin functions[] = {
    {"sum", call_fold, OP_SUM, "sum over an axis", 1, "axis"},
    {"prod", call_fold, OP_PROD, "product over an axis", 1, "axis"},
    {"amax", call_fold, OP_AMAX, "largest over an axis", 1, "axis"},
    {"amin", call_fold, OP_AMIN, "smallest over an axis", 1, "axis"},
    {"mean", call_mean, OP_SUM, "mean over an axis; without one, a loss", 1, "axis"},
    {"weighted_mean", call_weighted_mean, OP_SUM, "a loss: sum of w*x over sum of w", 2, ""},
    {"argmax", call_argreduce, OP_ARGMAX, "index of the largest", 1, "axis"},
    {"argmin", call_argreduce, OP_ARGMIN, "index of the smallest", 1, "axis"},
    {"cumsum", call_cumulative, OP_CUMSUM, "sum up to each element of an axis", 1, "axis"},
    {"cumprod", call_cumulative, OP_CUMPROD, "product up to each element", 1, "axis"},
    {"sort", call_sort, OP_ARGSORT, "elements in order, stable", 1, "axis descending"},
    {"argsort", call_sort, OP_ARGSORT, "their indices in order", 1, "axis descending"},
    {"topk", call_topk, OP_ARGSORT, "topk(x, k): the k largest and their indices", 2, "axis"},
    {"conv1d", call_conv, OP_DOT, "conv1d(x: [B, C, X], w, b)", 3,
     "b stride padding dilation groups"},
    {"conv2d", call_conv, OP_DOT, "conv2d(x: [B, C, Y, X], w, b)", 3,
     "b stride padding dilation groups"},
    {"conv_transpose2d", call_conv_transpose, OP_DOT, "the adjoint of conv2d, weights [C, O, k, k]",
     3, "b stride padding"},
    {"max_pool2d", call_pool, OP_AMAX, "max_pool2d(x, k, stride: k, padding: 0)", 2,
     "stride padding"},
    {"avg_pool2d", call_pool, OP_SUM, "avg_pool2d(x, k, stride: k, padding: 0)", 2,
     "stride padding"},
    {"clamp", call_clamp, OP_MIN, "clamp(x, lo, hi)", 3, ""},
    {"concat", call_concat, OP_CONCAT, "concat(a, b, .., axis: k)", UINT32_MAX, "axis"},
    {"stack", call_stack, OP_CONCAT, "stack(a, b, .., axis: k): along a new axis", UINT32_MAX,
     "axis"},
    {"pad", call_pad, OP_PAD, "pad(x, lo, hi, axis: k, value: 0)", 3, "axis lo hi value"},
    {"flip", call_flip, OP_GATHER, "an axis backwards", 1, "axis"},
    {"roll", call_roll, OP_CONCAT, "roll(x, n, axis: k): element i goes to i + n", 2, "axis"},
    {"repeat", call_repeat, OP_EXPAND, "repeat(x, n, axis: k): each slice n times", 2, "axis"},
    {"scatter_add", call_scatter_add, OP_SCATTER_ADD, "scatter_add(x, at, rows: R)", 2, "rows"},
    {"unbind", call_unbind, OP_SLICE, "tuple of slices without the axis", 1, "axis"},
    {"split", call_split, OP_SLICE, "tuple of n equal parts, or of given extents", 2, "axis"},
    {"rand", call_rand, OP_RNG, "rand([B, T]): f32 in [0, 1)", 1, ""},
    {"randn", call_rand, OP_RNG, "randn([B, T]): standard normal", 1, ""},
    {"randint", call_randint, OP_RANDINT, "randint(n, [B]): i32 in 0..n", 2, ""},
    {"bernoulli", call_bernoulli, OP_RNG, "bernoulli(p, [B]): true with probability p", 2, ""},
    {"permutation", call_permutation, OP_RANDINT,
     "permutation(n): i32[n], 0 .. n-1 in random order", 1, ""},
    {"dropout", call_dropout, OP_RNG, "dropout(x, p): 0 with probability p while training", 2, ""},
    {"scan", call_scan, OP_SCAN, "scan(step, init, xs, axis: k): a loop over time", 3, "axis"},
    {"fold", call_fold_loop, OP_SCAN, "fold(f, x, xs): f(x, one of xs), in turn", 3, ""},
    {"iota", call_iota, OP_IOTA, "0, 1, .. n-1", 1, ""},
    {"one_hot", call_one_hot, OP_EQ, "one_hot(ids, n): bool[.., n]", 2, ""},
    {"len", call_size, OP_IOTA, "first extent, or number of entries", 1, ""},
    {"count", call_size, OP_IOTA, "number of elements", 1, ""},
    {"one_of", call_one_of, OP_CONST, "one_of(s, \"a\", \"b\"): s, which must be one of these",
     UINT32_MAX, ""},
    {"fail", call_fail, OP_CONST, "fail(\"text\"): the call of this function is an error", 1, ""},
    {"start", call_other_weights, OP_STATE, "start(m): m as it was when the stage began", 1, "m"},
    {"ema", call_other_weights, OP_STATE, "ema(m): m with the averages of its weights", 1, "m"},
    {"tap", call_tap, OP_STATE, "tap(x, \"name\"): x; its mean goes to the log", 2, "x name"},
    {"all", call_all, OP_IOTA, "every axis", 0, ""},
#define RECORD(name, npositional, named)                           \
    {                                                              \
#name, NULL, OP_CONST, "a constructor", npositional, named \
    }
    RECORD(zeros, 0, ""),
    RECORD(ones, 0, ""),
    RECORD(constant, 1, "c warmup"),
    RECORD(normal, 1, "std"),
    RECORD(truncated, 1, "std"),
    RECORD(uniform, 1, "a"),
    RECORD(kaiming_uniform, 1, "a"),
    RECORD(xavier_uniform, 0, ""),
    RECORD(orthogonal, 0, ""),
    RECORD(eye, 0, ""),
    RECORD(row_mean, 0, ""),
    RECORD(linear, 2, "warmup final"),
    RECORD(cosine, 2, "warmup final"),
    RECORD(wsd, 3, "warmup decay final"),
    RECORD(piecewise, UINT32_MAX, ""),
    RECORD(perplexity, 1, ""),
    RECORD(save, 0, "keep best"),
#undef RECORD
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
    [OP_##id] = {text, call_elementwise, OP_##id, documentation, UINT32_MAX, ""},
#include "ops.def"
#undef OP
};

static void add_builtin(Map *to, Syms *syms, const Builtin *b)
{
    Sym name = sym(syms, b->name);
    ASSERT(!map_get(to, MAP_KEY(name)));
    map_put(to, MAP_KEY(name), (void *)b);
}

Map *builtins_new(Arena *arena, Syms *syms)
{
    Map *all = map_new(arena);
    for (size_t i = 0; i < COUNT(functions); i++) {
        add_builtin(all, syms, &functions[i]);
    }
    for (uint32_t op = 0; op < OP_COUNT; op++) {
        if (callable((OpKind)op)) {
            add_builtin(all, syms, &elementwise[op]);
        }
    }
    for (uint32_t i = 0; data_builtin_at(i); i++) {
        add_builtin(all, syms, data_builtin_at(i));
    }
    return all;
}

bool builtin_check_name(Elab *e, const Builtin *b, Sym name, Span span)
{
    if (!b->named || word_in(b->named, name)) {
        return true;
    }
    Diag *d = diag_at(e->diags, DIAG_E0302, span, "`%s` has no argument `%s`", b->name, name);
    if (b->named[0]) {
        diag_note(d, "its named arguments are: %s", b->named);
    }
    return false;
}

/* In a function that an equation calls, a tensor stands for one of its elements: no folds, no shapes. */
static bool on_elements(Elab *e, const Builtin *b, const Args *args)
{
    for (uint32_t i = 0; i < args->n && b->fn != call_elementwise && b->fn != call_clamp; i++) {
        if (is_tensor(args->at[i]) && tensor_type(args->at[i])->rank > 0) {
            diag_at(e->diags, DIAG_E0413, args->call,
                    "an equation calls functions on single elements: `%s` has no meaning here",
                    b->name);
            return false;
        }
    }
    return true;
}

/* Elementwise functions and those of data time take data-time values. */
static bool fits_data(Elab *e, const Builtin *b, const Args *args)
{
    bool of_elements = b->fn == call_elementwise || b->fn == call_clamp;
    for (uint32_t i = 0; i < args->n && !of_elements && !builtin_at_data(b); i++) {
        if (args->at[i]->kind == V_DATUM) {
            diag_at(e->diags, DIAG_E0205, args->call, "`%s` needs tensors, got %s", b->name,
                    val_text(e, args->at[i]));
            return false;
        }
    }
    return true;
}

/* Works on values of compile time. */
static bool without_graph(const Builtin *b)
{
    return b->fn == call_elementwise || b->fn == call_size || b->fn == call_clamp ||
           b->fn == call_one_of || b->fn == call_fail;
}

const Val *builtin_call(Elab *e, const Builtin *b, Args *args)
{
    if (e->answers && b->fn == call_mean) {
        return answers_mean(e, b, args);
    }
    if (!fits_data(e, b, args)) {
        return poison(e, args->call);
    }
    if (!e->g && !builtin_at_data(b) && !without_graph(b)) {
        diag_at(e->diags, DIAG_E0205, args->call, "`%s` needs run-time values", b->name);
        return poison(e, args->call);
    }
    if (e->g) {
        e->g->span = args->call;
    }
    for (uint32_t i = 0; i < args->n; i++) {
        if (args->name[i] && !builtin_check_name(e, b, args->name[i], args->name_span[i])) {
            return poison(e, args->call);
        }
    }
    return e->lifted && !on_elements(e, b, args) ? poison(e, args->call) : b->fn(e, b, args);
}

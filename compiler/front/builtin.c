/* builtin.c: the functions of the language that are not written in .mdl. Elementwise ones come from
 * ops.def; shapes and folds have a row below; constructors (cosine, normal, idx) are kept as records. */
#include "builtin.h"
#include <math.h>

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
    bool several = v && (v->kind == V_TUPLE || v->kind == V_LIST);
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
    for (uint32_t i = 0; i < (several ? v->list.n : 1); i++) {
        int64_t k;
        if (!axis_read(e, several ? v->list.at[i] : v, rank, &k)) {
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
        diag_at(e->diags, DIAG_E0303, args->call, "`%s` needs at least one tensor", b->name);
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
    {"sum", call_fold, OP_SUM, "sum over an axis", "x, axis:"},
    {"prod", call_fold, OP_PROD, "product over an axis", "x, axis:"},
    {"amax", call_fold, OP_AMAX, "largest over an axis", "x, axis:"},
    {"amin", call_fold, OP_AMIN, "smallest over an axis", "x, axis:"},
    {"mean", call_mean, OP_SUM, "mean over an axis; without one, a loss", "x, axis:"},
    {"weighted_mean", call_weighted_mean, OP_SUM, "a loss: sum of w*x over sum of w", "x, w"},
    {"argmax", call_argreduce, OP_ARGMAX, "index of the largest", "x, axis:"},
    {"argmin", call_argreduce, OP_ARGMIN, "index of the smallest", "x, axis:"},
    {"cumsum", call_cumulative, OP_CUMSUM, "sum up to each element of an axis", "x, axis:"},
    {"cumprod", call_cumulative, OP_CUMPROD, "product up to each element", "x, axis:"},
    {"sort", call_sort, OP_ARGSORT, "elements in order, stable", "x, axis:, descending:"},
    {"argsort", call_sort, OP_ARGSORT, "their indices in order", "x, axis:, descending:"},
    {"topk", call_topk, OP_ARGSORT, "the k largest and their indices", "x, k, axis:"},
    {"conv1d", call_conv, OP_DOT, "cross-correlation of x: [B, C, X]",
     "x, w, b, stride:, padding:, dilation:, groups:"},
    {"conv2d", call_conv, OP_DOT, "cross-correlation of x: [B, C, Y, X]",
     "x, w, b, stride:, padding:, dilation:, groups:"},
    {"conv_transpose2d", call_conv_transpose, OP_DOT, "the adjoint of conv2d, weights [C, O, k, k]",
     "x, w, b, stride:, padding:"},
    {"max_pool2d", call_pool, OP_AMAX, "largest of each window; stride: k unless given",
     "x, k, stride:, padding:"},
    {"avg_pool2d", call_pool, OP_SUM, "mean of each window, margins counted as zeros",
     "x, k, stride:, padding:"},
    {"clamp", call_clamp, OP_MIN, "between lo and hi", "x, lo, hi"},
    {"concat", call_concat, OP_CONCAT, "tensors a, b, .. or a list of them along an axis",
     ".., axis:"},
    {"stack", call_stack, OP_CONCAT, "the same along a new axis", ".., axis:"},
    {"pad", call_pad, OP_PAD, "lo and hi elements `value` before and behind",
     "x, lo, hi, axis:, value:"},
    {"flip", call_flip, OP_GATHER, "an axis backwards", "x, axis:"},
    {"roll", call_roll, OP_CONCAT, "element i goes to i + n", "x, n, axis:"},
    {"repeat", call_repeat, OP_EXPAND, "each slice n times", "x, n, axis:"},
    {"scatter_add", call_scatter_add, OP_SCATTER_ADD,
     "row i of x is added to row at[i] of `rows` rows", "x, at, rows:"},
    {"unbind", call_unbind, OP_SLICE, "tuple of slices without the axis", "x, axis:"},
    {"split", call_split, OP_SLICE, "tuple of n equal parts, or of given extents", "x, n, axis:"},
    {"rand", call_rand, OP_RNG, "f32 in [0, 1)", "shape"},
    {"randn", call_rand, OP_RNG, "standard normal", "shape"},
    {"randint", call_randint, OP_RANDINT, "i32 in 0..n", "n, shape"},
    {"bernoulli", call_bernoulli, OP_RNG, "true with probability p", "p, shape"},
    {"permutation", call_permutation, OP_RANDINT, "i32[n], 0 .. n-1 in random order", "n"},
    {"dropout", call_dropout, OP_RNG, "0 with probability p while training", "x, p"},
    {"scan", call_scan, OP_SCAN, "a loop over time", "step, init, xs, axis:"},
    {"fold", call_fold_loop, OP_SCAN, "f(x, one of xs), in turn", "f, x, xs"},
    {"derivative", call_derivative, OP_MUL, "of y, made of x by elementwise operations", "y, x"},
    {"iota", call_iota, OP_IOTA, "0, 1, .. n-1", "n"},
    {"one_hot", call_one_hot, OP_EQ, "bool[.., n]", "ids, n"},
    {"len", call_size, OP_IOTA, "first extent, or number of entries", "x"},
    {"count", call_size, OP_IOTA, "number of elements", "x"},
    {"one_of", call_one_of, OP_CONST, "s, which must be one of the strings behind it", "s, .."},
    {"fail", call_fail, OP_CONST, "the call of this function is an error of this text", "text"},
    {"start", call_other_weights, OP_STATE, "m as it was when the stage began", "m"},
    {"ema", call_other_weights, OP_STATE, "m with the averages of its weights", "m"},
    {"tap", call_tap, OP_STATE, "x; its mean goes to the log", "x, name"},
    {"all", call_all, OP_IOTA, "every axis", ""},
#define RECORD(name, formals)                           \
    {                                                   \
#name, NULL, OP_CONST, "a constructor", formals \
    }
    RECORD(zeros, ""),
    RECORD(ones, ""),
    RECORD(constant, "c, warmup:"),
    RECORD(normal, "std"),
    RECORD(truncated, "std"),
    RECORD(uniform, "a"),
    RECORD(kaiming_uniform, "a"),
    RECORD(xavier_uniform, ""),
    RECORD(orthogonal, ""),
    RECORD(eye, ""),
    RECORD(row_mean, ""),
    RECORD(linear, "warmup, final"),
    RECORD(cosine, "warmup, final"),
    RECORD(wsd, "warmup, decay, final"),
    RECORD(piecewise, ".."),
    RECORD(perplexity, "f"),
    RECORD(save, "keep:, best:"),
    RECORD(int8, ""),
    RECORD(int4, "block:"),
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
    [OP_##id] = {text, call_elementwise, OP_##id, documentation, NULL},
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
    if (!args_place(e, b, args)) {
        return poison(e, args->call);
    }
    return e->lifted && !on_elements(e, b, args) ? poison(e, args->call) : b->fn(e, b, args);
}

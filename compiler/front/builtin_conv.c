/* builtin_conv.c: convolutions and pools: padding, windows, then one contraction or fold.
 * Their graphs are made in convolution.c. */
#include "builtin.h"
#include "convolution.h"

#include <math.h>

/* An integer of lo or more for each spatial axis, from one or from a tuple. */
static bool integers(Elab *e, const Val *v, uint32_t n, int64_t lo, int64_t *out)
{
    bool tuple = v->kind == V_TUPLE || v->kind == V_LIST;
    if (val_is_poison(v)) {
        return false;
    }
    bool ok = !tuple || v->list.n == n;
    for (uint32_t i = 0; i < n && ok; i++) {
        const Val *one = tuple ? v->list.at[i] : v;
        ok = val_as_int(one, &out[i]) && out[i] >= lo && out[i] < 1 << 20;
    }
    if (!ok && !(v->kind == V_INT && elab_open(e, v->dim))) {
        diag_at(e->diags, DIAG_E0503, v->span, "expected an integer of at least %lld%s, got %s",
                (long long)lo, n > 1 ? " or a tuple of two" : "", val_text(e, v));
    }
    return ok;
}

static bool options(Elab *e, const Args *args, Conv *c)
{
    c->groups = 1;
    for (uint32_t i = 0; i < c->n; i++) {
        c->stride[i] = c->size[i] ? c->size[i] : 1; /* a pool's windows lie side by side */
        c->padding[i] = 0;
        c->dilation[i] = 1;
    }
    const struct {
        const char *name;
        uint32_t n;
        int64_t least, *out;
    } named[] = {{"stride", c->n, 1, c->stride},
                 {"padding", c->n, 0, c->padding},
                 {"dilation", c->n, 1, c->dilation},
                 {"groups", 1, 1, &c->groups}};
    for (size_t i = 0; i < COUNT(named); i++) {
        const Val *v = args_get(args, UINT32_MAX, named[i].name);
        if (v && !integers(e, v, named[i].n, named[i].least, named[i].out)) {
            return false;
        }
    }
    return true;
}

/* Margins of -inf around the spatial axes of x. */
static const Node *deep_margins(Elab *e, const Node *x, const Conv *c)
{
    for (uint32_t i = 0; i < c->n && x; i++) {
        uint32_t axis = 2 + i;
        const Dim *dims[IR_MAX_RANK];
        if (!c->padding[i]) {
            continue;
        }
        for (uint32_t k = 0; k < x->type->rank; k++) {
            dims[k] = k == axis ? dim_const(e->ir, c->padding[i]) : x->type->dims[k];
        }
        const Type *t = type_tensor(e->ir, x->type->dtype, x->type->rank, dims);
        const Node *edge = graph_fill(e->g, t, -HUGE_VAL);
        x = graph_concat(e->g, (const Node *const[]){edge, x, edge}, 3, axis);
    }
    return x;
}

/* Windows that do not begin at every place need an extent that is known. */
static bool is_open(Elab *e, const Node *x, const Conv *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->stride[i] > 1 && elab_open(e, x->type->dims[2 + i])) {
            return true;
        }
    }
    return false;
}

/* The outputs can be cut into groups; else E0403. */
static bool groups_fit(Elab *e, const Node *w, const Conv *c, Span span)
{
    const Dim *rest;
    if (dim_div(e->ir, w->type->dims[0], dim_const(e->ir, c->groups), &rest)) {
        return true;
    }
    diag_at(e->diags, DIAG_E0403, span, "axis 0 of `%s` cannot be cut into %lld groups",
            type_text(e->ir, w->type), (long long)c->groups);
    return false;
}

/* y[b, o, ..] + b[o] */
static const Val *with_bias(Elab *e, const Args *args, const Node *y, DType dt)
{
    const Val *v = args_get(args, 2, "b");
    const Val *sum = narrow_val(e, y, dt, args->call);
    if (!v || v->kind == V_NONE || !y) {
        return sum;
    }
    if (val_is_poison(v)) {
        return v;
    }
    if (is_tensor(v)) {
        const Node *b = tensor_of(e, v);
        int64_t axis[] = {1};
        if (!b || b->type->rank != 1 || b->type->dims[0] != y->type->dims[1]) {
            diag_at(e->diags, DIAG_E0402, v->span, "the bias of `%s` has one element per channel",
                    type_text(e->ir, y->type));
            return poison(e, args->call);
        }
        v = val_node(e, graph_expand(e->g, b, y->type->rank, y->type->dims, axis), v->span);
    }
    return arith_binary(e, OP_ADD, sum, v, args->call);
}

/* The two operands of a convolution and its options; false after a diagnostic. */
static bool operands(Elab *e, const Builtin *b, const Args *args, Conv *c, const Node *in[2])
{
    uint32_t n = args_positional(args);
    if (n != 3 && !args_count(e, b, args, 2)) {
        return false;
    }
    in[0] = args_tensor(e, args, 0);
    in[1] = in[0] ? args_tensor(e, args, 1) : NULL;
    if (!in[1] || !options(e, args, c)) {
        return false;
    }
    for (uint32_t k = 0; k < 2; k++) {
        const Type *t = in[k]->type;
        if (t->rank != c->n + 2) {
            diag_at(e->diags, DIAG_E0402, args->call, "`%s` takes tensors of rank %u, got `%s`",
                    b->name, c->n + 2, type_text(e->ir, t));
            return false;
        }
    }
    for (uint32_t i = 0; i < c->n; i++) {
        if (!dim_is_const(in[1]->type->dims[2 + i], &c->size[i])) {
            if (elab_open(e, in[1]->type->dims[2 + i])) {
                return false;
            }
            diag_at(e->diags, DIAG_E0307, args->call,
                    "the size of windows is known when compiled, got `%s`",
                    type_text(e->ir, in[1]->type));
            return false;
        }
    }
    return true;
}

static bool channels_fit(Elab *e, const Args *args, const Node *const in[2], const Dim *got)
{
    if (in[0]->type->dims[1] == got) {
        return true;
    }
    diag_at(e->diags, DIAG_E0402, args->call, "`%s` has other channels than weights `%s` take",
            type_text(e->ir, in[0]->type), type_text(e->ir, in[1]->type));
    return false;
}

/* 16-bit floats are computed in f32. */
static const Node *wide(Elab *e, const Node *x)
{
    return narrow_is(x->type->dtype) ? graph_cast(e->g, DT_F32, x) : x;
}

const Val *call_conv(Elab *e, const Builtin *b, Args *args)
{
    Conv c = {.n = strcmp(b->name, "conv1d") == 0 ? 1 : 2, .tf32 = e->precision.tf32};
    const Node *in[2];
    if (!operands(e, b, args, &c, in) ||
        !channels_fit(e, args, in,
                      dim_mul(e->ir, in[1]->type->dims[1], dim_const(e->ir, c.groups))) ||
        !groups_fit(e, in[1], &c, args->call)) {
        return poison(e, args->call);
    }
    const Node *y = is_open(e, in[0], &c)
                        ? NULL
                        : conv_node(e->g, e->arena, &c, wide(e, in[0]), wide(e, in[1]));
    return with_bias(e, args, y, in[0]->type->dtype);
}

/* The adjoint of conv2d: t[o, ky, kx, b, y, x] = sum over c, windows added, margins cut off. */
const Val *call_conv_transpose(Elab *e, const Builtin *b, Args *args)
{
    Conv c = {.n = 2, .tf32 = e->precision.tf32};
    const Node *in[2];
    if (!operands(e, b, args, &c, in) || !channels_fit(e, args, in, in[1]->type->dims[0])) {
        return poison(e, args->call);
    }
    DotAxes d = {.ncontract = 1, .a_contract = {0}, .b_contract = {1}, .tf32 = c.tf32};
    const Node *y = graph_dot(e->g, wide(e, in[1]), wide(e, in[0]), &d);
    y = y ? graph_permute(e->g, y, (const int64_t[]){3, 0, 4, 1, 5, 2}) : NULL;
    for (uint32_t i = 0; i < c.n && y; i++) {
        Windows w = conv_window(&c, i, 2 + i);
        int64_t reach = w.dilation * (w.size - 1) + 1 - w.stride;
        const Dim *all =
            dim_add(e->ir, dim_mul(e->ir, y->type->dims[2 + i], dim_const(e->ir, w.stride)),
                    dim_const(e->ir, reach));
        y = graph_unwindow(e->g, y, &w, all);
        const Dim *kept = dim_sub(e->ir, all, dim_const(e->ir, 2 * c.padding[i]));
        y = y ? graph_slice(e->g, y, 2 + i, dim_const(e->ir, c.padding[i]), kept) : NULL;
    }
    return with_bias(e, args, y, in[0]->type->dtype);
}

/* max_pool2d, avg_pool2d (x, k) */
const Val *call_pool(Elab *e, const Builtin *b, Args *args)
{
    Conv c = {.n = 2};
    DType dt;
    const Node *x = args_count(e, b, args, 2) ? args_wide(e, args, 0, &dt) : NULL;
    bool max = b->op == OP_AMAX;
    if (!x || !integers(e, args_get(args, 1, NULL), c.n, 1, c.size) || !options(e, args, &c)) {
        return poison(e, args->call);
    }
    if (x->type->rank != 4 || !dtype_is_float(x->type->dtype)) {
        diag_at(e->diags, DIAG_E0402, args->call, "`%s` takes floats `[B, C, Y, X]`, got `%s`",
                b->name, type_text(e->ir, x->type));
        return poison(e, args->call);
    }
    const int64_t taps[] = {3, 5};
    const Node *y = max ? deep_margins(e, x, &c) : conv_pad(e->g, x, &c);
    y = y && !is_open(e, x, &c) ? conv_windows(e->g, y, &c) : NULL;
    y = y ? graph_reduce(e->g, b->op, y, taps, 2) : NULL;
    if (!y || max) {
        return narrow_val(e, y, dt, args->call);
    }
    const Val *count = val_int(e, c.size[0] * c.size[1], args->call);
    return arith_binary(e, OP_DIV, narrow_val(e, y, dt, args->call), count, args->call);
}

/* arith.c: operators on run-time values: element types, filling by numbers, suffix broadcasting
 * (language.md 2.4). No other broadcasting exists: `[B] + [B, 1]` is an error, not a matrix. */
#include "datum.h"
#include <math.h>

bool is_tensor(const Val *v)
{
    return v->kind == V_TENSOR || v->kind == V_PARAM || v->kind == V_STATE;
}

const Type *tensor_type(const Val *v)
{
    return v->kind == V_TENSOR  ? v->node->type
           : v->kind == V_PARAM ? v->param->type
                                : v->state->state->type;
}

/* False after a diagnostic where no graph is under construction: lets, members, attributes. */
static bool at_run_time(Elab *e, Span span)
{
    if (!e->g) {
        diag_at(e->diags, DIAG_E0205, span,
                "a tensor cannot be used here: this is evaluated at compile time");
    }
    return e->g != NULL;
}

/* A size known at run time only: its symbols are counted, as sums of ones, and put together. */
static const Node *size_node(Elab *e, const Dim *d)
{
    Graph *g = e->g;
    const int64_t axis = 0;
    const Node *sum = NULL;
    for (uint32_t i = 0; i < d->nterm; i++) {
        const DimTerm *t = &d->term[i];
        const Node *product = NULL;
        for (uint32_t k = 0; k < t->nsym; k++) {
            const Dim *symbol = dim_of(e->ir, dim_sym_at(e->ir, t->sym[k]));
            const Type *ones = type_tensor(e->ir, DT_I32, 1, &symbol);
            const Node *n = graph_reduce(g, OP_SUM, graph_fill(g, ones, 1), &axis, 1);
            product = product ? graph_binary(g, OP_MUL, product, n) : n;
        }
        const Node *coef = graph_const(g, DT_I32, (double)t->coef);
        product = !product ? coef : t->coef == 1 ? product : graph_binary(g, OP_MUL, product, coef);
        sum = sum ? graph_binary(g, OP_ADD, sum, product) : product;
    }
    return sum;
}

static const Node *no_tensor(Elab *e, const Val *v)
{
    Diag *d = diag_at(e->diags, DIAG_E0205, v->span, "expected a tensor, got %s", val_text(e, v));
    if (v->kind == V_NONE) {
        diag_help(d, "`x ?? 0` is 0 where the optional `x` is none");
    }
    return NULL;
}

const Node *tensor_of(Elab *e, const Val *v)
{
    double f;
    bool number = val_as_double(v, &f);
    if (val_is_poison(v)) {
        return NULL;
    }
    if (!is_tensor(v) && !number && v->kind != V_BOOL && v->kind != V_INT) {
        return no_tensor(e, v);
    }
    if (!at_run_time(e, v->span)) {
        return NULL;
    }
    if (v->kind == V_INT && !number) {
        return size_node(e, v->dim);
    }
    if (v->kind == V_TENSOR) {
        return capture_node(e, v->node);
    }
    if (v->kind == V_PARAM || v->kind == V_STATE) {
        const State *s = v->kind == V_PARAM ? v->param->state : v->state->state;
        const State *read = e->averages ? map_get(e->averages, MAP_KEY(s)) : NULL;
        s = read ? read : s;
        Graph *g = capture_root(e, v->span);
        const Node *now = v->kind == V_STATE     ? v->state->now
                          : s->kind == SK_BUFFER ? map_get(e->now, MAP_KEY(s))
                                                 : NULL;
        g->span = v->span;
        const Node *n =
            capture_node(e, now && g == e->entry ? now : graph_state(g, s->id, s->type, s->path));
        return graph_cast(e->g, tensor_type(v)->dtype, n);
    }
    return number ? arith_fill(e, v, type_scalar(e->ir, DT_F32), v->span)
                  : graph_const(e->g, DT_BOOL, v->b);
}

enum { WHOLE_DEPTH = 8 };

/* Whether every element is a whole number by the way it is made: rounded, an integer, or sums, products
 * and choices of such. */
static bool is_whole(const Node *n, uint32_t depth)
{
    static const char *const keep[] = {"neg", "abs",    "add",  "sub",    "mul",     "max",
                                       "min", "select", "stop", "expand", "reshape", "permute"};
    static const char *const make[] = {"floor", "ceil", "round", "trunc"};
    double c;
    const char *name = op_info(n->op)->name;
    if (!dtype_is_float(n->type->dtype)) {
        return true;
    }
    if (node_is_const(n, &c)) {
        return floor(c) >= c;
    }
    for (size_t i = 0; i < COUNT(make); i++) {
        if (strcmp(name, make[i]) == 0) {
            return true;
        }
    }
    bool kept = strcmp(name, "cast") == 0;
    for (size_t i = 0; i < COUNT(keep); i++) {
        kept = kept || strcmp(name, keep[i]) == 0;
    }
    for (uint32_t i = 0; i < n->nin && kept; i++) {
        kept = depth < WHOLE_DEPTH && is_whole(n->in[i], depth + 1);
    }
    return kept;
}

/* A float becomes an integer only through a rounding function (E0502). */
const Node *arith_cast(Elab *e, DType dt, const Node *n, Span span)
{
    if (dtype_is_float(n->type->dtype) && dtype_is_int(dt) && !is_whole(n, 0)) {
        Diag *d = diag_at(e->diags, DIAG_E0502, span, "`%s` to `%s` needs an explicit rounding",
                          dtype_info(n->type->dtype)->name, dtype_info(dt)->name);
        diag_help(d, "write `floor(x) as %s`, or ceil, round, trunc", dtype_info(dt)->name);
        return NULL;
    }
    return graph_cast(e->g, dt, n);
}

static bool fits(DType dt, double f)
{
    double room, back;
    dtype_store(dt, &room, 0, f);
    back = dtype_load(dt, &room, 0);
    return dtype_is_float(dt) ? isfinite(back) || !isfinite(f) : back >= f && back <= f;
}

const Node *arith_fill(Elab *e, const Val *number, const Type *type, Span span)
{
    double f;
    int64_t i;
    bool ok = val_as_double(number, &f);
    bool exact = !val_as_int(number, &i) || (fabs(f) < 0x1p63 && (int64_t)f == i);
    if (!at_run_time(e, span)) {
        return NULL;
    }
    if (number->kind == V_BOOL) {
        f = number->b;
        ok = true;
    }
    if (!ok) {
        return tensor_of(e, number);
    }
    if (type->dtype == DT_BOOL && number->kind != V_BOOL) {
        diag_at(e->diags, DIAG_E0501, span, "a number is not a bool: write true or false");
        return NULL;
    }
    if (!fits(type->dtype, f) || (dtype_is_int(type->dtype) && !exact)) {
        diag_at(e->diags, DIAG_E0504, span, "%s does not fit `%s`", val_text(e, number),
                dtype_info(type->dtype)->name);
        return NULL;
    }
    return graph_fill(e->g, type, f);
}

const Node *arith_broadcast(Elab *e, const Node *n, const Type *like, Span span)
{
    const Type *t = n->type;
    uint32_t lead = like->rank - t->rank;
    bool suffix = t->rank <= like->rank;
    for (uint32_t i = 0; suffix && i < t->rank; i++) {
        suffix = t->dims[i] == like->dims[lead + i];
    }
    if (!suffix) {
        Diag *d = diag_at(e->diags, DIAG_E0413, span,
                          "cannot broadcast `%s` with `%s`: the shorter shape must be a suffix",
                          type_text(e->ir, like), type_text(e->ir, t));
        diag_help(d, "say which axis is which in an equation: `y[b, i] = x[b, i] + z[b]`");
        return NULL;
    }
    if (t->rank == like->rank) {
        return n;
    }
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) {
        axes[i] = lead + i;
    }
    return graph_expand(e->g, n, like->rank, like->dims, axes);
}

/* `float` mixes with any float and takes its type. */
bool arith_dtype(const Elab *e, DType a, DType b, DType *out)
{
    if (a == b) {
        *out = a;
        return true;
    }
    bool fa = dtype_is_float(a), fb = dtype_is_float(b);
    if (fa && fb) {
        *out = a == e->generic ? b : a;
        return a == e->generic || b == e->generic;
    }
    if (fa || fb) {
        *out = fa ? a : b;
        return true;
    }
    bool wide = dtype_info(a)->bytes > dtype_info(b)->bytes || b == DT_BOOL;
    *out = a == DT_BOOL ? b : wide ? a : b;
    return true;
}

static bool mixed_dtype(Elab *e, const Node *a, const Node *b, DType *out, Span span)
{
    bool mix = arith_dtype(e, a->type->dtype, b->type->dtype, out);
    if (!mix) {
        Diag *d = diag_at(e->diags, DIAG_E0501, span, "`%s` and `%s` do not mix",
                          dtype_info(a->type->dtype)->name, dtype_info(b->type->dtype)->name);
        diag_help(d, "cast one of them: `x as %s`", dtype_info(a->type->dtype)->name);
    }
    return mix;
}

bool arith_unify(Elab *e, const Node **in, uint32_t n, Span span)
{
    DType dt = in[0]->type->dtype;
    const Node *widest = in[0];
    for (uint32_t i = 1; i < n; i++) {
        if (!mixed_dtype(e, widest, in[i], &dt, span)) {
            return false;
        }
        widest = dt == widest->type->dtype ? widest : in[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        in[i] = graph_cast(e->g, dt, in[i]);
    }
    return true;
}

bool arith_match(Elab *e, const Node **a, const Node **b, Span span)
{
    DType dt;
    if (!mixed_dtype(e, *a, *b, &dt, span)) {
        return false;
    }
    *a = graph_cast(e->g, dt, *a);
    *b = graph_cast(e->g, dt, *b);
    const Type *like = (*a)->type->rank >= (*b)->type->rank ? (*a)->type : (*b)->type;
    *a = arith_broadcast(e, *a, like, span);
    *b = *a ? arith_broadcast(e, *b, like, span) : NULL;
    return *a && *b;
}

/* The type a number takes beside a tensor: its own kind of element, or f32 for a fraction. */
static const Type *fill_type(Elab *e, const Val *number, const Node *other)
{
    DType dt = other->type->dtype;
    int64_t i;
    if (number->kind == V_BOOL || dtype_is_float(dt)) {
        return number->kind == V_BOOL ? type_with_dtype(e->ir, other->type, DT_BOOL) : other->type;
    }
    bool integer = val_as_int(number, &i);
    return type_with_dtype(e->ir, other->type, integer ? (dt == DT_BOOL ? DT_I32 : dt) : DT_F32);
}

/* Both operands as nodes of one type, f32 for narrow floats; `dt`: what the program computes in. */
typedef struct Operands {
    const Node *at[2];
    DType dt;
} Operands;

/* An operand n of value v as arithmetic in dt, or in f32 where that is narrow, takes it. */
static const Node *widened(Elab *e, const Val *v, const Node *n, DType dt)
{
    double f = 0;
    if (narrow_is(dt) && val_as_double(v, &f)) {
        return graph_fill(e->g, type_with_dtype(e->ir, n->type, DT_F32), f);
    }
    n = is_tensor(v) ? narrow_wide(e, v) : n;
    return narrow_is(dt) ? graph_cast(e->g, DT_F32, n) : n;
}

static bool operands(Elab *e, const Val *a, const Val *b, Operands *x, Span span)
{
    const Node **out = x->at;
    if (val_is_poison(a) || val_is_poison(b)) {
        return false;
    }
    const Val *v[2] = {a, b};
    if ((is_tensor(a) || is_tensor(b)) && !at_run_time(e, span)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        out[i] = is_tensor(v[i]) ? tensor_of(e, v[i]) : NULL;
        if (!out[i] && is_tensor(v[i])) {
            return false;
        }
    }
    if (e->g) {
        e->g->span = span;
    }
    if (!out[0] && !out[1]) {
        diag_at(e->diags, DIAG_E0205, span, "this needs numbers or tensors, got %s and %s",
                val_text(e, a), val_text(e, b));
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!out[i]) {
            out[i] = arith_fill(e, v[i], fill_type(e, v[i], out[1 - i]), span);
        }
        if (!out[i]) {
            return false;
        }
    }
    if (!mixed_dtype(e, out[0], out[1], &x->dt, span)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        out[i] = widened(e, v[i], out[i], x->dt);
    }
    if (!narrow_is(x->dt) && dtype_is_float(x->dt)) {
        out[0] = graph_cast(e->g, x->dt, out[0]);
        out[1] = graph_cast(e->g, x->dt, out[1]);
    }
    return arith_match(e, &out[0], &out[1], span);
}

const Val *arith_binary(Elab *e, OpKind op, const Val *a, const Val *b, Span span)
{
    if (is_datum(a) || is_datum(b)) {
        return datum_apply(e, op_info(op)->name, (const Val *const[]){a, b}, 2, span);
    }
    Operands x;
    if (!operands(e, a, b, &x, span)) {
        return poison(e, span);
    }
    const Node **in = x.at;
    DType dt = in[0]->type->dtype;
    bool logic = op == OP_AND || op == OP_OR;
    if (!dtype_is_float(dt) && op_info(op)->pure_float) {
        dt = DT_F32; /* division and powers of integers */
    } else if (dt == DT_BOOL && !logic) {
        dt = DT_I32; /* arithmetic counts true as 1 */
    }
    if (logic && dt != DT_BOOL) {
        diag_at(e->diags, DIAG_E0501, span, "`%s` needs bools, got `%s`", op_info(op)->name,
                dtype_info(dt)->name);
        return poison(e, span);
    }
    double divisor;
    bool divides = op == OP_IDIV || op == OP_MOD;
    if (divides && dtype_is_float(dt)) {
        diag_at(e->diags, DIAG_E0501, span, "`//` and `%%` are for integers, got `%s`",
                dtype_info(dt)->name);
        return poison(e, span);
    }
    if (divides && val_is_number(b) && val_as_double(b, &divisor) && fabs(divisor) <= 0) {
        diag_at(e->diags, DIAG_E0403, span, "division by zero");
        return poison(e, span);
    }
    e->g->span = span;
    const Node *r =
        graph_binary(e->g, op, graph_cast(e->g, dt, in[0]), graph_cast(e->g, dt, in[1]));
    return narrow_val(e, r, x.dt, span);
}

/* A function of a compile-time number: an integer where the operation is exact and gives one. */
static const Val *fold_unary(Elab *e, OpKind op, double f, Span span)
{
    double r = op_info(op)->eval(f, 0, 0);
    bool root = op_info(op)->cost > 0; /* sqrt is exact too, but sqrt(4) stays a real number */
    bool integer = op_info(op)->exact && !root && fabs(r) < 0x1p53 && floor(r) >= r;
    return integer ? val_int(e, (int64_t)r, span) : val_real(e, r, span);
}

const Val *arith_unary(Elab *e, OpKind op, const Val *a, Span span)
{
    if (is_datum(a)) {
        return datum_apply(e, op_info(op)->name, &a, 1, span);
    }
    double f;
    if (val_as_double(a, &f) && op_info(op)->eval) {
        return fold_unary(e, op, f, span);
    }
    const Node *n = val_is_poison(a) ? NULL : narrow_wide(e, a);
    if (!n) {
        return poison(e, span);
    }
    if (op_info(op)->pure_float && !dtype_is_float(n->type->dtype)) {
        n = graph_cast(e->g, DT_F32, n);
    }
    e->g->span = span;
    DType dt = is_tensor(a) ? tensor_type(a)->dtype : n->type->dtype;
    return narrow_val(e, graph_unary(e->g, op, n), dt, span);
}

const Val *arith_select(Elab *e, const Val *const arg[3], Span span)
{
    if (is_datum(arg[0]) || is_datum(arg[1]) || is_datum(arg[2])) {
        return datum_apply(e, "select", arg, 3, span);
    }
    Operands x = {.dt = DT_F32};
    const Node **ab = x.at;
    bool known = arg[0]->kind == V_BOOL;
    const Node *c = val_is_poison(arg[0]) ? NULL : tensor_of(e, arg[0]);
    if (!c) {
        return poison(e, span);
    }
    e->g->span = span;
    if (c->type->dtype != DT_BOOL) {
        diag_at(e->diags, DIAG_E0501, span, "`select` chooses by a bool, got `%s`",
                type_text(e->ir, c->type));
        return poison(e, span);
    }
    bool numbers = !is_tensor(arg[1]) && !is_tensor(arg[2]);
    if (numbers) {
        bool bools = arg[1]->kind == V_BOOL && arg[2]->kind == V_BOOL;
        bool integers = arg[1]->kind == V_INT && arg[2]->kind == V_INT;
        const Type *t = type_with_dtype(e->ir, c->type,
                                        bools      ? DT_BOOL
                                        : integers ? DT_I32
                                                   : DT_F32);
        ab[0] = arith_fill(e, arg[1], t, span);
        ab[1] = arith_fill(e, arg[2], t, span);
        if (!ab[0] || !ab[1]) {
            return poison(e, span);
        }
    } else if (!operands(e, arg[1], arg[2], &x, span)) {
        return poison(e, span);
    }
    const Type *like = c->type->rank > ab[0]->type->rank ? c->type : ab[0]->type;
    for (int i = 0; i < 2; i++) {
        ab[i] = arith_broadcast(e, ab[i], like, span);
        if (!ab[i]) {
            return poison(e, span);
        }
    }
    if (known) {
        return narrow_val(e, ab[arg[0]->b ? 0 : 1], x.dt, span);
    }
    c = arith_broadcast(e, c, like, span);
    return c ? narrow_val(e, graph_select(e->g, c, ab[0], ab[1]), x.dt, span) : poison(e, span);
}

const Val *arith_compare(Elab *e, Sym op, const Val *a, const Val *b, Span span)
{
    Operands x;
    bool swap = op[0] == '>';
    OpKind kind = op[0] == '=' ? OP_EQ : op[0] == '!' ? OP_NE : op[1] == '=' ? OP_LE : OP_LT;
    if (is_datum(a) || is_datum(b)) {
        const Val *arg[2] = {swap ? b : a, swap ? a : b};
        return datum_apply(e, op_info(kind)->name, arg, 2, span);
    }
    if (!operands(e, a, b, &x, span)) {
        return poison(e, span);
    }
    return val_node(e, graph_binary(e->g, kind, x.at[swap], x.at[!swap]), span);
}

/* a @ b: the last axis of a with the last but one of b; leading axes of b must be a's. */
const Val *arith_matmul(Elab *e, const Val *va, const Val *vb, Span span)
{
    const Node *a = val_is_poison(va) ? NULL : tensor_of(e, va);
    const Node *b = val_is_poison(vb) ? NULL : tensor_of(e, vb);
    DType dt;
    if (!a || !b || !mixed_dtype(e, a, b, &dt, span)) {
        return poison(e, span);
    }
    const Type *ta = a->type, *tb = b->type;
    e->g->span = span;
    if (ta->rank < 1 || tb->rank < 2 || (tb->rank > 2 && tb->rank > ta->rank)) {
        diag_at(e->diags, DIAG_E0406, span, "`@` needs a matrix on the right, got `%s` @ `%s`",
                type_text(e->ir, ta), type_text(e->ir, tb));
        return poison(e, span);
    }
    if (ta->dims[ta->rank - 1] != tb->dims[tb->rank - 2]) {
        diag_at(e->diags, DIAG_E0415, span, "`%s` @ `%s`: inner dimensions differ",
                type_text(e->ir, ta), type_text(e->ir, tb));
        return poison(e, span);
    }
    DotAxes axes = {.nbatch = tb->rank - 2, .ncontract = 1, .tf32 = e->precision.tf32};
    axes.a_contract[0] = ta->rank - 1;
    axes.b_contract[0] = tb->rank - 2;
    for (uint32_t i = 0; i < axes.nbatch; i++) {
        axes.a_batch[i] = axes.b_batch[i] = i;
        if (ta->dims[i] != tb->dims[i]) {
            diag_at(e->diags, DIAG_E0402, span, "`%s` @ `%s`: leading dimensions differ",
                    type_text(e->ir, ta), type_text(e->ir, tb));
            return poison(e, span);
        }
    }
    DType wide = narrow_is(dt) ? DT_F32 : dt;
    a = graph_cast(e->g, wide, widened(e, va, a, dt));
    b = graph_cast(e->g, wide, widened(e, vb, b, dt));
    return narrow_val(e, graph_dot(e->g, a, b, &axes), dt, span);
}

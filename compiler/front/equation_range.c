/* equation_range.c: bounds of index expressions, `2 * i + u - 1`, by interval arithmetic on dims. What
 * can be bounded must be in range: a gather would clamp a wrong index and compute something else. */
#include "equation.h"

typedef struct Bounds {
    const Dim *lo, *hi; /* both included */
} Bounds;

static bool bounds_of(Equation *q, const Ast *a, Bounds *out);

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static bool bounds_mul(Equation *q, const Bounds *a, const Bounds *b, Bounds *out)
{
    Ir *ir = q->e->ir;
    const Bounds *range = b->lo == b->hi ? a : b, *factor = b->lo == b->hi ? b : a;
    if (factor->lo != factor->hi) {
        return false;
    }
    bool negative = dim_hi(ir, factor->lo) <= 0;
    if (!negative && dim_lo(ir, factor->lo) < 0) {
        return false;
    }
    out->lo = dim_mul(ir, negative ? range->hi : range->lo, factor->lo);
    out->hi = dim_mul(ir, negative ? range->lo : range->hi, factor->lo);
    return true;
}

/* x // n and x % n of x >= 0 by a positive constant. */
static bool bounds_div(Equation *q, char op, const Bounds *a, const Bounds *b, Bounds *out)
{
    Ir *ir = q->e->ir;
    int64_t n, hi, lo;
    const Dim *whole;
    if (b->lo != b->hi || !dim_is_const(b->lo, &n) || n < 1) {
        return false;
    }
    if (op == '%') {
        *out = (Bounds){dim_const(ir, 0), dim_const(ir, n - 1)};
        return true;
    }
    if (!dim_is_const(a->lo, &lo)) {
        return false;
    }
    out->lo = dim_const(ir, floor_div(lo, n));
    if (dim_is_const(a->hi, &hi)) {
        out->hi = dim_const(ir, floor_div(hi, n));
        return true;
    }
    if (!dim_div(ir, dim_add(ir, a->hi, dim_const(ir, 1)), b->lo, &whole)) {
        return false;
    }
    out->hi = dim_sub(ir, whole, dim_const(ir, 1)); /* (n * w - 1) // n */
    return true;
}

static bool bounds_binary(Equation *q, const Ast *a, Bounds *out)
{
    Ir *ir = q->e->ir;
    Bounds x, y;
    if (!bounds_of(q, a->kid[0], &x) || !bounds_of(q, a->kid[1], &y)) {
        return false;
    }
    if (strcmp(a->text, "+") == 0) {
        *out = (Bounds){dim_add(ir, x.lo, y.lo), dim_add(ir, x.hi, y.hi)};
        return true;
    }
    if (strcmp(a->text, "-") == 0) {
        *out = (Bounds){dim_sub(ir, x.lo, y.hi), dim_sub(ir, x.hi, y.lo)};
        return true;
    }
    if (strcmp(a->text, "*") == 0) {
        return bounds_mul(q, &x, &y, out);
    }
    bool floors = strcmp(a->text, "//") == 0 || strcmp(a->text, "%") == 0;
    return floors && bounds_div(q, a->text[0], &x, &y, out);
}

/* False when the expression is not bounded by its text: loads, calls, other values. */
static bool bounds_of(Equation *q, const Ast *a, Bounds *out)
{
    Ir *ir = q->e->ir;
    int i = a->kind == A_ID ? eq_find(q, a->name) : -1;
    if (i >= 0) {
        *out = (Bounds){dim_const(ir, 0), dim_sub(ir, q->index[i].extent, dim_const(ir, 1))};
        return true;
    }
    if (a->kind == A_PAREN) {
        return bounds_of(q, a->kid[0], out);
    }
    if (a->kind == A_NEG) {
        Bounds x;
        const Dim *zero = dim_const(ir, 0);
        if (!bounds_of(q, a->kid[0], &x)) {
            return false;
        }
        *out = (Bounds){dim_sub(ir, zero, x.hi), dim_sub(ir, zero, x.lo)};
        return true;
    }
    if (a->kind == A_BIN && eq_has_index(q, a)) {
        return bounds_binary(q, a, out);
    }
    if (a->kind != A_ID && a->kind != A_INT && a->kind != A_MEMBER && a->kind != A_BIN) {
        return false;
    }
    const Val *v = eq_has_index(q, a) ? NULL : eval(q->e, q->env, a);
    if (!v || v->kind != V_INT) {
        return false;
    }
    *out = (Bounds){v->dim, v->dim};
    return true;
}

bool eq_has_index(const Equation *q, const Ast *a)
{
    const EqLocal *local = a->kind == A_ID ? eq_local(q, a->name) : NULL;
    bool has = a->kind == A_ID && (local ? !local->plain : eq_find(q, a->name) >= 0);
    for (uint32_t i = 0; i < a->nkid && !has; i++) {
        has = a->kid[i] && eq_has_index(q, a->kid[i]);
    }
    return has;
}

bool eq_in_range(Equation *q, const Ast *a, const Dim *extent)
{
    Ir *ir = q->e->ir;
    Bounds b;
    if (!bounds_of(q, a, &b) ||
        (dim_at_least(ir, b.lo, 0) && dim_at_least(ir, dim_sub(ir, extent, b.hi), 1))) {
        return true;
    }
    StrBuf lo = sb_new(q->e->arena), hi = sb_new(q->e->arena), size = sb_new(q->e->arena);
    dim_print(ir, b.lo, &lo);
    dim_print(ir, b.hi, &hi);
    dim_print(ir, extent, &size);
    Diag *d = diag_at(q->e->diags, DIAG_E0416, a->span,
                      "the index goes from %s to %s and may leave 0..%s", sb_text(&lo),
                      sb_text(&hi), sb_text(&size));
    diag_help(d, "shorten the range of the indices, or enlarge the tensor first");
    return false;
}

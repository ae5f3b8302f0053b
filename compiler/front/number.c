/* number.c: compile-time numbers. Integers are Dims, so B * T stays symbolic; other numbers are exact
 * rationals while they fit 64 bits, then f64. `336 / 15` is therefore known not to be an integer. */
#include "elab.h"
#include <math.h>

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

/* num / den in lowest terms: INT when den becomes 1. NULL when it does not fit. */
static const Val *ratio(Elab *e, int64_t num, int64_t den, Span span)
{
    if (num == INT64_MIN || den == INT64_MIN) {
        return NULL;
    }
    if (den < 0) {
        num = -num;
        den = -den;
    }
    int64_t g = gcd(num, den);
    if (g > 1) {
        num /= g;
        den /= g;
    }
    if (den == 1) {
        return val_int(e, num, span);
    }
    Val *v = val_new(e, V_REAL, span);
    v->num = num;
    v->den = den;
    return v;
}

/* As an exact fraction; false for symbolic dims and f64 numbers. */
static bool as_ratio(const Val *v, int64_t *num, int64_t *den)
{
    *den = 1;
    if (v->kind == V_INT) {
        return dim_is_const(v->dim, num) && *num > INT64_MIN;
    }
    if (v->kind == V_REAL && v->den) {
        *num = v->num;
        *den = v->den;
        return true;
    }
    return false;
}

static const Val *ratio_add(Elab *e, const int64_t a[2], const int64_t b[2], Span span)
{
    int64_t x, y, d, s;
    if (__builtin_mul_overflow(a[0], b[1], &x) || __builtin_mul_overflow(b[0], a[1], &y) ||
        __builtin_mul_overflow(a[1], b[1], &d) || __builtin_add_overflow(x, y, &s)) {
        return NULL;
    }
    return ratio(e, s, d, span);
}

static const Val *ratio_mul(Elab *e, const int64_t a[2], const int64_t b[2], Span span)
{
    int64_t n, d;
    if (__builtin_mul_overflow(a[0], b[0], &n) || __builtin_mul_overflow(a[1], b[1], &d)) {
        return NULL;
    }
    return ratio(e, n, d, span);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static const Val *ratio_power(Elab *e, const int64_t a[2], int64_t n, Span span)
{
    const Val *r = val_int(e, 1, span);
    if (n < 0 && a[0] == 0) {
        return NULL;
    }
    int64_t base[2] = {n < 0 ? a[1] : a[0], n < 0 ? a[0] : a[1]};
    for (int64_t i = 0; i < (n < 0 ? -n : n); i++) {
        int64_t acc[2];
        r = as_ratio(r, &acc[0], &acc[1]) ? ratio_mul(e, acc, base, span) : NULL;
        if (!r) {
            return NULL;
        }
    }
    return r;
}

static const Val *zero_division(Elab *e, Span span)
{
    diag_at(e->diags, DIAG_E0403, span, "division by zero");
    return poison(e, span);
}

/* Both exact; NULL when the result is not exact (overflow, irrational). */
static const Val *exact(Elab *e, char op, const int64_t a[2], const int64_t b[2], Span span)
{
    int64_t minus_b[2] = {-b[0], b[1]};
    int64_t inverse[2] = {b[1], b[0]};
    if ((op == '/' || op == 'f' || op == '%') && b[0] == 0) {
        return zero_division(e, span);
    }
    if (op == '+' || op == '-') {
        return ratio_add(e, a, op == '+' ? b : minus_b, span);
    }
    if (op == '*' || op == '/') {
        return ratio_mul(e, a, op == '*' ? b : inverse, span);
    }
    if (op == '^') {
        return b[1] == 1 && b[0] >= -64 && b[0] <= 64 ? ratio_power(e, a, b[0], span) : NULL;
    }
    if (a[1] != 1 || b[1] != 1) {
        return NULL;
    }
    int64_t q = floor_div(a[0], b[0]);
    return val_int(e, op == 'f' ? q : a[0] - q * b[0], span);
}

static const Val *approximate(Elab *e, char op, double a, double b, Span span)
{
    double q = floor(a / b);
    double r = op == '+'   ? a + b
               : op == '-' ? a - b
               : op == '*' ? a * b
               : op == '/' ? a / b
               : op == '^' ? pow(a, b)
               : op == 'f' ? q
                           : a - q * b;
    if (!isfinite(r) && isfinite(a) && isfinite(b)) {
        bool zero = fabs(a) <= 0 && op == '^';
        diag_at(e->diags, zero ? DIAG_E0403 : DIAG_E0504, span,
                zero ? "division by zero" : "the result is no finite number");
        return poison(e, span);
    }
    return val_real(e, r, span);
}

static const Val *symbolic(Elab *e, char op, const Dim *a, const Dim *b, Span span)
{
    const Dim *q;
    int64_t n;
    if (op == '+') {
        return val_dim(e, dim_add(e->ir, a, b), span);
    }
    if (op == '-') {
        return val_dim(e, dim_sub(e->ir, a, b), span);
    }
    if (op == '*') {
        return val_dim(e, dim_mul(e->ir, a, b), span);
    }
    if ((op == '/' || op == 'f') && dim_div(e->ir, a, b, &q)) {
        return val_dim(e, q, span);
    }
    if (op == '^' && dim_is_const(b, &n) && n >= 0 && n <= 4) {
        const Dim *r = dim_const(e->ir, 1);
        for (int64_t i = 0; i < n; i++) {
            r = dim_mul(e->ir, r, a);
        }
        return val_dim(e, r, span);
    }
    if (elab_open(e, a) || elab_open(e, b)) {
        return poison(e, span);
    }
    StrBuf sa = sb_new(e->arena), sb = sb_new(e->arena);
    dim_print(e->ir, a, &sa);
    dim_print(e->ir, b, &sb);
    if (op == '/' || op == 'f') {
        diag_at(e->diags, DIAG_E0403, span, "cannot show that %s is divisible by %s", sb_text(&sa),
                sb_text(&sb));
    } else {
        diag_at(e->diags, DIAG_E0199, span,
                "%s and %s are run-time sizes: `%s` is not supported on them yet", sb_text(&sa),
                sb_text(&sb), op == '^' ? "**" : "%");
    }
    return poison(e, span);
}

const DimSym *dim_named(Elab *e, Sym name, int64_t lo, int64_t hi)
{
    for (uint32_t i = 0; i < dim_sym_count(e->ir); i++) {
        const DimSym *s = dim_sym_at(e->ir, i);
        if (s->name == name && s->lo == lo && s->hi == hi) {
            return s;
        }
    }
    return dim_declare(e->ir, name, lo, hi);
}

const Val *num_binary(Elab *e, Sym op, const Val *a, const Val *b, Span span)
{
    char c = strcmp(op, "**") == 0 ? '^' : strcmp(op, "//") == 0 ? 'f' : op[0];
    int64_t ra[2], rb[2];
    if (as_ratio(a, &ra[0], &ra[1]) && as_ratio(b, &rb[0], &rb[1])) {
        const Val *v = exact(e, c, ra, rb, span);
        if (v) {
            return v;
        }
    } else if (a->kind == V_INT && b->kind == V_INT) {
        return symbolic(e, c, a->dim, b->dim, span);
    }
    double x, y;
    if (!val_as_double(a, &x) || !val_as_double(b, &y)) {
        diag_at(e->diags, DIAG_E0199, span, "`%s` of %s and %s: a run-time size stays an integer",
                op, val_text(e, a), val_text(e, b));
        return poison(e, span);
    }
    return approximate(e, c, x, y, span);
}

const Val *num_negate(Elab *e, const Val *a, Span span)
{
    return num_binary(e, "-", val_int(e, 0, span), a, span);
}

bool num_compare(Elab *e, const Val *a, const Val *b, int *out)
{
    double x, y;
    int64_t i, k;
    if (val_as_int(a, &i) && val_as_int(b, &k)) {
        *out = (i > k) - (i < k);
        return true;
    }
    if (val_as_double(a, &x) && val_as_double(b, &y)) {
        *out = (x > y) - (x < y);
        return true;
    }
    if (a->kind != V_INT || b->kind != V_INT) {
        return false;
    }
    const Dim *d = dim_sub(e->ir, a->dim, b->dim);
    int64_t lo = dim_lo(e->ir, d), hi = dim_hi(e->ir, d);
    *out = (lo > 0) - (hi < 0);
    return lo > 0 || hi < 0 || (lo == 0 && hi == 0);
}

/* Digits with `_` removed; the value as f64. */
static double digits_value(Elab *e, const char *text)
{
    char *clean = arena_alloc(e->arena, strlen(text) + 1);
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        if (*p != '_') {
            clean[n++] = *p;
        }
    }
    return strtod(clean, NULL);
}

static const Val *int_literal(Elab *e, const Ast *a)
{
    uint64_t v = 0;
    int base = a->text[0] == '0' && (a->text[1] == 'x' || a->text[1] == 'X') ? 16 : 10;
    for (const char *p = a->text + (base == 16 ? 2 : 0); *p; p++) {
        if (*p == '_') {
            continue;
        }
        uint64_t digit = (uint64_t)(*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10);
        if (v > (INT64_MAX - digit) / (uint64_t)base) {
            diag_at(e->diags, DIAG_E0104, a->span, "`%s` does not fit 64 bits", a->text);
            return poison(e, a->span);
        }
        v = v * (uint64_t)base + digit;
    }
    return val_int(e, (int64_t)v, a->span);
}

/* A decimal as an exact fraction when it has few digits (0.1 is 1 / 10), else f64. */
static const Val *decimal_literal(Elab *e, const char *text, Span span)
{
    int64_t num = 0, den = 1;
    bool point = false;
    for (const char *p = text; *p; p++) {
        if (*p == '.') {
            point = true;
        } else if (*p >= '0' && *p <= '9') {
            if (num > INT64_MAX / 100 || den > INT64_MAX / 100) {
                return val_real(e, digits_value(e, text), span);
            }
            num = num * 10 + (*p - '0');
            den *= point ? 10 : 1;
        } else if (*p != '_') {
            return val_real(e, digits_value(e, text), span);
        }
    }
    Val *v = val_new(e, V_REAL, span);
    int64_t g = gcd(num, den);
    v->num = num / g;
    v->den = den / g;
    return v;
}

const Val *num_literal(Elab *e, const Ast *a)
{
    if (a->kind == A_INT) {
        return int_literal(e, a);
    }
    if (a->kind == A_FLOAT && !isfinite(digits_value(e, a->text))) {
        diag_at(e->diags, DIAG_E0104, a->span, "`%s` is larger than any f64", a->text);
        return poison(e, a->span);
    }
    if (a->kind == A_FLOAT) {
        return decimal_literal(e, a->text, a->span);
    }
    Val *v = val_new(e, a->kind == A_PERCENT ? V_PERCENT : V_QUANTITY, a->span);
    v->f = digits_value(e, a->text);
    if (a->kind == A_PERCENT) {
        v->f /= 100;
        return v;
    }
    const char *unit = strchr(a->text, ' ');
    v->unit = sym(e->ir->syms, unit ? unit + 1 : "");
    return v;
}

/* ix_div.c: floored quotients and remainders of index expressions by extents.
 *
 * Both write e = d*q + r with what is exactly divisible in q. Where 0 <= r < d is proved, q and r
 * are the answer. Else a common factor g of d and of part of e is taken out:
 * (g*x + r) / (g*y) = x / y and (g*x + r) % (g*y) = g * (x % y) + r when 0 <= r < g. */
#include "ix.h"

typedef struct Split {
    const Ix *quotient, *rest; /* e = d * quotient + rest */
} Split;

static int64_t floor_mod(int64_t a, int64_t b)
{
    int64_t r = a % b;
    return r < 0 ? r + b : r;
}

/* d * quotient + rest for the constant part: term by term, numbers floored. */
static void split_base(Ir *ir, const Dim *base, const Dim *d, const Dim **quotient,
                       const Dim **rest)
{
    const Dim *q = ir->tables->zero, *r = ir->tables->zero;
    int64_t divisor;
    bool number = dim_is_const(d, &divisor) && divisor > 0;
    for (uint32_t i = 0; i < base->nterm; i++) {
        DimTerm t = base->term[i];
        const Dim *part = dim_from_terms(ir, &t, 1), *exact;
        if (dim_div(ir, part, d, &exact)) {
            q = dim_add(ir, q, exact);
        } else if (number && t.nsym == 0) {
            int64_t mod = floor_mod(t.coef, divisor);
            q = dim_add(ir, q, dim_const(ir, (t.coef - mod) / divisor));
            r = dim_add(ir, r, dim_const(ir, mod));
        } else {
            r = dim_add(ir, r, part);
        }
    }
    *quotient = q;
    *rest = r;
}

/* Terms with divisible coefficients go to the quotient. The constant part is split when that does
 * not leave the rest below zero: (i*T + T - 1) / T is i, not i + 1 + (-1)/T. */
static Split split(Ir *ir, const Ix *e, const Dim *d)
{
    IxTerm self, small[2 * IX_SMALL];
    const IxTerm *term;
    uint32_t n = ix_terms(ir, e, &self, &term), nq = 0, nr = 0;
    IxTerm *q = n <= IX_SMALL ? small : NEW_ARRAY(ir->arena, IxTerm, 2 * (size_t)n), *r = q + n;
    for (uint32_t i = 0; i < n; i++) {
        const Dim *exact;
        if (dim_div(ir, term[i].coef, d, &exact))
            q[nq++] = (IxTerm){exact, term[i].atom};
        else
            r[nr++] = term[i];
    }
    const Dim *base = ix_base(ir, e), *base_q = ir->tables->zero, *base_r = base;
    const Ix *rest = ix_sum(ir, ir->tables->zero, r, nr);
    const Ix *whole = ix_add(ir, rest, ix_const(ir, base));
    if (!ix_in_range(ir, whole, d) && base->nterm > 0) {
        split_base(ir, base, d, &base_q, &base_r);
        const Ix *less = ix_add(ir, rest, ix_const(ir, base_r));
        if (less->lo && dim_lo(ir, less->lo) >= 0)
            whole = less;
        else
            base_q = ir->tables->zero;
    }
    return (Split){ix_sum(ir, base_q, q, nq), whole};
}

static bool is_zero(const Ix *e)
{
    return e->kind == IX_SUM && e->nterm == 0 && e->base->nterm == 0;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

/* The greatest number that divides all coefficients of d. */
static int64_t content(const Dim *d)
{
    int64_t g = 0;
    for (uint32_t i = 0; i < d->nterm; i++) {
        if (d->term[i].coef == INT64_MIN)
            return 1;
        g = gcd(g, d->term[i].coef);
    }
    return g;
}

typedef struct Factor {
    const Dim *g, *y; /* d = g * y */
    Split part;       /* e = g * part.quotient + part.rest, 0 <= rest < g */
} Factor;

static bool try_factor(Ir *ir, const Ix *e, const Dim *d, const Dim *g, Factor *out)
{
    if (g->nterm == 0 || dim_equals(g, 1) || dim_lo(ir, g) < 0 || !dim_div(ir, d, g, &out->y))
        return false;
    out->g = g;
    out->part = split(ir, e, g);
    return ix_in_range(ir, out->part.rest, g) && !is_zero(out->part.quotient);
}

/* A factor of d that divides part of e: a coefficient itself, or a common number. */
static bool find_factor(Ir *ir, const Ix *e, const Dim *d, Factor *out)
{
    IxTerm self;
    const IxTerm *term;
    uint32_t n = ix_terms(ir, e, &self, &term);
    for (uint32_t i = 0; i < n; i++) {
        int64_t number = gcd(content(term[i].coef), content(d));
        if (try_factor(ir, e, d, term[i].coef, out) ||
            try_factor(ir, e, d, dim_const(ir, number), out))
            return true;
    }
    return false;
}

/* ---- quotient ---- */

/* (x / a) / d = x / (a*d), (x % (a*d)) / d = (x / d) % a */
static const Ix *div_nested(Ir *ir, const Ix *e, const Dim *d)
{
    const Dim *product, *ratio;
    if (e->kind == IX_DIV && (product = dim_mul_quiet(ir, e->extent, d)))
        return ix_div(ir, e->of, product);
    if (e->kind == IX_MOD && dim_div(ir, e->extent, d, &ratio))
        return ix_mod(ir, ix_div(ir, e->of, d), ratio);
    return NULL;
}

const Ix *ix_div(Ir *ir, const Ix *a, const Dim *divisor)
{
    if (divisor->nterm == 0 || dim_equals(divisor, 1))
        return divisor->nterm == 0 ? ix_int(ir, 0) : a;
    Split s = split(ir, a, divisor);
    if (ix_in_range(ir, s.rest, divisor))
        return s.quotient;
    if (!is_zero(s.quotient))
        return ix_add(ir, s.quotient, ix_div(ir, s.rest, divisor));
    Factor f;
    if (find_factor(ir, a, divisor, &f))
        return ix_div(ir, f.part.quotient, f.y);
    const Ix *nested = div_nested(ir, a, divisor);
    if (nested)
        return nested;
    return ix_intern(ir, &(Ix){.kind = IX_DIV, .of = a, .extent = divisor});
}

/* ---- remainder ---- */

/* c * (x % m) counts as c * x modulo d when d divides c * m. NULL when no term is such. */
static const Ix *mod_nested(Ir *ir, const Ix *e, const Dim *d)
{
    IxTerm self;
    const IxTerm *term;
    uint32_t n = ix_terms(ir, e, &self, &term);
    for (uint32_t i = 0; i < n; i++) {
        const Ix *atom = term[i].atom;
        const Dim *q, *period = NULL;
        if (atom->kind == IX_MOD)
            period = dim_mul_quiet(ir, term[i].coef, atom->extent);
        if (!period || !dim_div(ir, period, d, &q))
            continue;
        const Dim *minus = dim_sub(ir, ir->tables->zero, term[i].coef);
        const Ix *others = ix_add(ir, e, ix_mul(ir, atom, minus));
        return ix_add(ir, others, ix_mul(ir, atom->of, term[i].coef));
    }
    return NULL;
}

const Ix *ix_mod(Ir *ir, const Ix *a, const Dim *divisor)
{
    if (divisor->nterm == 0 || dim_equals(divisor, 1))
        return ix_int(ir, 0);
    Split s = split(ir, a, divisor);
    if (ix_in_range(ir, s.rest, divisor))
        return s.rest;
    if (!is_zero(s.quotient))
        return ix_mod(ir, s.rest, divisor);
    const Ix *plain = mod_nested(ir, a, divisor);
    if (plain)
        return ix_mod(ir, plain, divisor);
    Factor f;
    if (find_factor(ir, a, divisor, &f))
        return ix_add(ir, ix_mul(ir, ix_mod(ir, f.part.quotient, f.y), f.g), f.part.rest);
    return ix_intern(ir, &(Ix){.kind = IX_MOD, .of = a, .extent = divisor});
}

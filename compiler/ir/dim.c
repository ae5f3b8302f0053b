/* dim.c: extents as polynomials with integer coefficients over run-time symbols.
 *
 * Terms lie in graded lexicographic order, largest first, so that one content has one form, and so
 * that exact division is the usual long division by leading terms. Bounds come from the corners of
 * the box of ranges, which are exact for multilinear polynomials; otherwise from each term alone. */
#include "tables.h"

enum { CORNER_SYMS = 8 }; /* 2^8 corners at most */

const DimSym *dim_declare(Ir *ir, Sym name, int64_t lo, int64_t hi)
{
    ASSERT(0 <= lo && lo <= hi);
    struct IrTables *t = ir->tables;
    DimSym *s = NEW(ir->arena, DimSym);
    *s = (DimSym){.name = name, .lo = lo, .hi = hi, .divisor = 1, .id = t->syms.n};
    VEC_PUSH(ir->arena, &t->syms, s);
    StrBuf label = sb_new(ir->arena);
    dim_print_sym(ir, s, &label);
    uint64_t h = hash_mix(hash_text(sb_text(&label)), (uint64_t)lo);
    VEC_PUSH(ir->arena, &t->sym_hash, hash_mix(h, (uint64_t)hi));
    return s;
}

const DimSym *dim_sym_at(const Ir *ir, uint32_t id)
{
    ASSERT(id < ir->tables->syms.n);
    return ir->tables->syms.at[id];
}

void dim_sym_narrow(Ir *ir, uint32_t id, int64_t hi)
{
    DimSym *s = (DimSym *)dim_sym_at(ir, id);
    ASSERT(s->lo <= hi && hi <= s->hi);
    s->hi = hi;
}

uint32_t dim_sym_count(const Ir *ir)
{
    return ir->tables->syms.n;
}

/* ---- interning ---- */

/* Order of monomials: < 0 when a comes first (higher degree, then smaller ids first). */
static int compare_monomials(const DimTerm *a, const DimTerm *b)
{
    if (a->nsym != b->nsym)
        return a->nsym > b->nsym ? -1 : 1;
    for (uint32_t i = 0; i < a->nsym; i++) {
        if (a->sym[i] != b->sym[i])
            return a->sym[i] < b->sym[i] ? -1 : 1;
    }
    return 0;
}

typedef struct Terms {
    const DimTerm *term;
    uint32_t n;
} Terms;

static bool same_terms(const void *item, const void *key)
{
    const Dim *d = item;
    const Terms *t = key;
    if (d->nterm != t->n)
        return false;
    for (uint32_t i = 0; i < t->n; i++) {
        if (d->term[i].coef != t->term[i].coef || compare_monomials(&d->term[i], &t->term[i]) != 0)
            return false;
    }
    return true;
}

/* The interned dim of n terms in canonical order, without zero coefficients. */
static const Dim *intern_terms(Ir *ir, const DimTerm *term, uint32_t n)
{
    struct IrTables *t = ir->tables;
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) {
        h = hash_mix(h, (uint64_t)term[i].coef);
        for (uint32_t k = 0; k < term[i].nsym; k++)
            h = hash_mix(h, t->sym_hash.at[term[i].sym[k]]);
    }
    Terms key = {term, n};
    const Dim *found = intern_find(t->dims, h, &key, same_terms);
    if (found)
        return found;
    Dim *d = NEW(ir->arena, Dim);
    d->id = t->dim_hash.n;
    d->nterm = n;
    d->term = COPY_ARRAY(ir->arena, DimTerm, term, n);
    VEC_PUSH(ir->arena, &t->dim_hash, h);
    intern_add(ir->arena, t->dims, h, d);
    return d;
}

uint64_t dim_hash(const Ir *ir, const Dim *d)
{
    return ir->tables->dim_hash.at[d->id];
}

/* Insertion sort: n is small, and sums come nearly sorted. */
static void sort_terms(DimTerm *term, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        DimTerm t = term[i];
        uint32_t k = i;
        for (; k > 0 && compare_monomials(&t, &term[k - 1]) < 0; k--)
            term[k] = term[k - 1];
        term[k] = t;
    }
}

const Dim *dim_from_terms(Ir *ir, DimTerm *term, uint32_t n)
{
    sort_terms(term, n);
    uint32_t out = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (out > 0 && compare_monomials(&term[out - 1], &term[i]) == 0) {
            if (__builtin_add_overflow(term[out - 1].coef, term[i].coef, &term[out - 1].coef))
                return NULL;
        } else {
            term[out++] = term[i];
        }
        if (term[out - 1].coef == 0 &&
            (i + 1 == n || compare_monomials(&term[out - 1], &term[i + 1]) != 0))
            out--;
    }
    return out > DIM_MAX_TERMS ? NULL : intern_terms(ir, term, out);
}

/* ---- arithmetic ---- */

const Dim *dim_const(Ir *ir, int64_t value)
{
    DimTerm t = {.coef = value};
    return intern_terms(ir, &t, value != 0);
}

const Dim *dim_of(Ir *ir, const DimSym *s)
{
    if (s->lo == s->hi)
        return dim_const(ir, s->lo);
    DimTerm t = {.coef = 1, .nsym = 1, .sym = {s->id}};
    return intern_terms(ir, &t, 1);
}

static const Dim *too_large(Ir *ir)
{
    if (!ir->tables->dim_overflow)
        diag_at(ir->diags, DIAG_E0109, (Span){0}, "an extent is too large to compute with");
    ir->tables->dim_overflow = true;
    return dim_const(ir, 1);
}

/* a + sign * b */
static const Dim *add_scaled(Ir *ir, const Dim *a, const Dim *b, int64_t sign)
{
    DimTerm term[2 * DIM_MAX_TERMS];
    memcpy(term, a->term, a->nterm * sizeof *term);
    memcpy(term + a->nterm, b->term, b->nterm * sizeof *term);
    for (uint32_t i = a->nterm; i < a->nterm + b->nterm; i++) {
        if (__builtin_mul_overflow(term[i].coef, sign, &term[i].coef))
            return NULL;
    }
    return dim_from_terms(ir, term, a->nterm + b->nterm);
}

const Dim *dim_add_quiet(Ir *ir, const Dim *a, const Dim *b)
{
    if (a->nterm == 0 || b->nterm == 0)
        return a->nterm ? a : b;
    return add_scaled(ir, a, b, 1);
}

const Dim *dim_sub_quiet(Ir *ir, const Dim *a, const Dim *b)
{
    return b->nterm ? add_scaled(ir, a, b, -1) : a;
}

/* The product of two terms; false when it leaves the range. */
static bool mul_terms(const DimTerm *a, const DimTerm *b, DimTerm *out)
{
    DimTerm t = {.nsym = a->nsym + b->nsym};
    if (t.nsym > DIM_MAX_DEGREE || __builtin_mul_overflow(a->coef, b->coef, &t.coef))
        return false;
    for (uint32_t i = 0, j = 0, k = 0; k < t.nsym; k++) {
        bool left = j == b->nsym || (i < a->nsym && a->sym[i] <= b->sym[j]);
        t.sym[k] = left ? a->sym[i++] : b->sym[j++];
    }
    *out = t;
    return true;
}

const Dim *dim_mul_quiet(Ir *ir, const Dim *a, const Dim *b)
{
    if (dim_equals(a, 1))
        return b;
    if (dim_equals(b, 1))
        return a;
    const Dim *sum = ir->tables->zero;
    DimTerm row[DIM_MAX_TERMS];
    for (uint32_t i = 0; i < a->nterm && sum; i++) {
        for (uint32_t k = 0; k < b->nterm; k++) {
            if (!mul_terms(&a->term[i], &b->term[k], &row[k]))
                return NULL;
        }
        const Dim *part = dim_from_terms(ir, row, b->nterm);
        sum = part ? dim_add_quiet(ir, sum, part) : NULL;
    }
    return sum;
}

const Dim *dim_add(Ir *ir, const Dim *a, const Dim *b)
{
    const Dim *d = dim_add_quiet(ir, a, b);
    return d ? d : too_large(ir);
}

const Dim *dim_sub(Ir *ir, const Dim *a, const Dim *b)
{
    const Dim *d = dim_sub_quiet(ir, a, b);
    return d ? d : too_large(ir);
}

const Dim *dim_mul(Ir *ir, const Dim *a, const Dim *b)
{
    const Dim *d = dim_mul_quiet(ir, a, b);
    return d ? d : too_large(ir);
}

/* a / b for terms; false when b does not divide a. */
static bool div_terms(const DimTerm *a, const DimTerm *b, DimTerm *out)
{
    if ((a->coef == INT64_MIN && b->coef == -1) || a->coef % b->coef != 0)
        return false;
    DimTerm t = {.coef = a->coef / b->coef};
    uint32_t k = 0;
    for (uint32_t i = 0; i < a->nsym; i++) {
        if (k < b->nsym && a->sym[i] == b->sym[k])
            k++;
        else
            t.sym[t.nsym++] = a->sym[i];
    }
    *out = t;
    return k == b->nsym;
}

/* Long division: every step cancels the leading term of the rest, and monomials only get smaller. */
bool dim_div(Ir *ir, const Dim *a, const Dim *b, const Dim **quotient)
{
    if (b->nterm == 0)
        return false;
    const Dim *rest = a;
    DimTerm q[DIM_MAX_TERMS];
    uint32_t n = 0;
    while (rest->nterm > 0) {
        if (n == DIM_MAX_TERMS || !div_terms(&rest->term[0], &b->term[0], &q[n]))
            return false;
        if (b->nterm == 1 && rest == a) {
            for (n = 0; n < a->nterm; n++) {
                if (!div_terms(&a->term[n], &b->term[0], &q[n]))
                    return false;
            }
            break;
        }
        const Dim *part = intern_terms(ir, &q[n++], 1);
        const Dim *product = dim_mul_quiet(ir, part, b);
        rest = product ? dim_sub_quiet(ir, rest, product) : NULL;
        if (!rest)
            return false;
    }
    *quotient = intern_terms(ir, q, n);
    return true;
}

bool dim_is_const(const Dim *d, int64_t *value)
{
    if (d->nterm > 1 || (d->nterm == 1 && d->term[0].nsym > 0))
        return false;
    *value = d->nterm ? d->term[0].coef : 0;
    return true;
}

bool dim_equals(const Dim *d, int64_t value)
{
    int64_t v;
    return dim_is_const(d, &v) && v == value;
}

bool dim_is_multiple(const Dim *d, int64_t n)
{
    for (uint32_t i = 0; i < d->nterm; i++)
        if (d->term[i].coef % n != 0)
            return false;
    return true;
}

/* ---- values and bounds ---- */

static int64_t mul_saturated(int64_t a, int64_t b)
{
    int64_t c;
    if (!__builtin_mul_overflow(a, b, &c))
        return c;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

static int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t c;
    if (!__builtin_add_overflow(a, b, &c))
        return c;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

int64_t dim_eval(const Dim *d, const int64_t *values)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < d->nterm; i++) {
        int64_t product = d->term[i].coef;
        for (uint32_t k = 0; k < d->term[i].nsym; k++)
            product = mul_saturated(product, values[d->term[i].sym[k]]);
        sum = add_saturated(sum, product);
    }
    return sum;
}

/* Bound from every term alone: symbols are not negative, so a term grows with each of its symbols.
 * Saturated parts of both signs must not cancel: then the bound is the end of the range. */
static int64_t bound_by_terms(const Ir *ir, const Dim *d, bool upper)
{
    int64_t sum = 0, end = upper ? INT64_MAX : INT64_MIN;
    for (uint32_t i = 0; i < d->nterm; i++) {
        int64_t product = d->term[i].coef;
        bool use_hi = (product > 0) == upper;
        for (uint32_t k = 0; k < d->term[i].nsym; k++) {
            const DimSym *s = dim_sym_at(ir, d->term[i].sym[k]);
            product = mul_saturated(product, use_hi ? s->hi : s->lo);
        }
        if (product == end)
            return end;
        sum = add_saturated(sum, product);
        if (sum == end)
            return end;
    }
    return sum;
}

/* The distinct symbols of d; false when one occurs squared or there are too many. */
static bool multilinear_syms(const Dim *d, uint32_t *sym, uint32_t *nsym)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->nterm; i++) {
        const DimTerm *t = &d->term[i];
        for (uint32_t k = 0; k < t->nsym; k++) {
            if (k > 0 && t->sym[k] == t->sym[k - 1])
                return false;
            uint32_t at = 0;
            while (at < n && sym[at] != t->sym[k])
                at++;
            if (at == CORNER_SYMS)
                return false;
            if (at == n)
                sym[n++] = t->sym[k];
        }
    }
    *nsym = n;
    return true;
}

/* d at one corner: bit k of `corner` chooses the upper end of sym[k]. False on overflow. */
static bool eval_corner(const Ir *ir, const Dim *d, const uint32_t *sym, uint32_t corner,
                        int64_t *out)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < d->nterm; i++) {
        int64_t product = d->term[i].coef;
        for (uint32_t k = 0; k < d->term[i].nsym; k++) {
            uint32_t at = 0;
            while (sym[at] != d->term[i].sym[k])
                at++;
            const DimSym *s = dim_sym_at(ir, sym[at]);
            if (__builtin_mul_overflow(product, corner >> at & 1 ? s->hi : s->lo, &product))
                return false;
        }
        if (__builtin_add_overflow(sum, product, &sum))
            return false;
    }
    *out = sum;
    return true;
}

static bool one_sign(const Dim *d)
{
    for (uint32_t i = 1; i < d->nterm; i++) {
        if ((d->term[i].coef < 0) != (d->term[0].coef < 0))
            return false;
    }
    return true;
}

static int64_t bound(const Ir *ir, const Dim *d, bool upper)
{
    uint32_t sym[CORNER_SYMS], nsym;
    if (one_sign(d) || !multilinear_syms(d, sym, &nsym))
        return bound_by_terms(ir, d, upper);
    int64_t best = 0;
    for (uint32_t corner = 0; corner < 1u << nsym; corner++) {
        int64_t v;
        if (!eval_corner(ir, d, sym, corner, &v))
            return bound_by_terms(ir, d, upper);
        if (corner == 0 || (upper ? v > best : v < best))
            best = v;
    }
    return best;
}

int64_t dim_hi(const Ir *ir, const Dim *d)
{
    return bound(ir, d, true);
}

int64_t dim_lo(const Ir *ir, const Dim *d)
{
    return bound(ir, d, false);
}

bool dim_is_free(const Ir *ir, const Dim *d)
{
    for (uint32_t i = 0; i < d->nterm; i++) {
        for (uint32_t k = 0; k < d->term[i].nsym; k++) {
            if (dim_sym_at(ir, d->term[i].sym[k])->hi == DIM_FREE)
                return true;
        }
    }
    return false;
}

bool dim_at_least(const Ir *ir, const Dim *d, int64_t least)
{
    return (dim_is_free(ir, d) ? dim_hi(ir, d) : dim_lo(ir, d)) >= least;
}

/* ---- text ---- */

void dim_print_sym(const Ir *ir, const DimSym *s, StrBuf *sb)
{
    uint32_t earlier = 0;
    for (uint32_t i = 0; i < s->id; i++)
        earlier += ir->tables->syms.at[i]->name == s->name;
    sb_puts(sb, s->name);
    if (earlier)
        sb_printf(sb, "~%u", earlier);
}

void dim_print(const Ir *ir, const Dim *d, StrBuf *sb)
{
    if (d->nterm == 0)
        sb_putc(sb, '0');
    for (uint32_t i = 0; i < d->nterm; i++) {
        const DimTerm *t = &d->term[i];
        if (i > 0)
            sb_puts(sb, t->coef < 0 ? " - " : " + ");
        else if (t->coef < 0)
            sb_putc(sb, '-');
        uint64_t size = t->coef < 0 ? 0 - (uint64_t)t->coef : (uint64_t)t->coef;
        if (size != 1 || t->nsym == 0) {
            sb_printf(sb, "%llu", (unsigned long long)size);
            if (t->nsym > 0)
                sb_putc(sb, '*');
        }
        for (uint32_t k = 0; k < t->nsym; k++) {
            if (k > 0)
                sb_putc(sb, '*');
            dim_print_sym(ir, dim_sym_at(ir, t->sym[k]), sb);
        }
    }
}

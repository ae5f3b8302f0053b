/* index.c: index expressions: interning, bounds, sums and products. Division is in ix_div.c.
 *
 * A sum is flat: its atoms are variables, quotients, remainders and loads, in the order of their
 * ids. Every expression carries polynomial bounds, computed once, which prove the identities of
 * quotients and remainders for symbolic extents. */
#include "ix.h"

/* ---- interning ---- */

static bool same_ix(const void *item, const void *key)
{
    const Ix *a = item, *b = key;
    if (a->kind != b->kind || a->base != b->base || a->nterm != b->nterm || a->var != b->var ||
        a->extent != b->extent || a->of != b->of || a->node != b->node || a->nindex != b->nindex)
        return false;
    for (uint32_t i = 0; i < a->nterm; i++) {
        if (a->term[i].coef != b->term[i].coef || a->term[i].atom != b->term[i].atom)
            return false;
    }
    return a->nindex == 0 || memcmp(a->index, b->index, a->nindex * sizeof *a->index) == 0;
}

static uint64_t hash_ix(const Ix *e)
{
    uint64_t h = hash_mix(hash_mix(e->kind, e->var), e->nterm);
    h = hash_mix(h, e->base ? e->base->id + 1 : 0);
    h = hash_mix(h, e->extent ? e->extent->id + 1 : 0);
    h = hash_mix(h, e->of ? e->of->id + 1 : 0);
    h = hash_mix(h, e->node ? e->node->id + 1 : 0);
    for (uint32_t i = 0; i < e->nterm; i++)
        h = hash_mix(hash_mix(h, e->term[i].coef->id), e->term[i].atom->id);
    for (uint32_t i = 0; i < e->nindex; i++)
        h = hash_mix(h, e->index[i]->id);
    return h;
}

/* ---- bounds ---- */

/* d plus a small number; NULL stays NULL, and so does what overflows. */
static const Dim *plus(Ir *ir, const Dim *d, int64_t number)
{
    return d ? dim_add_quiet(ir, d, dim_const(ir, number)) : NULL;
}

/* sum + coef * bound, NULL when any is. */
static const Dim *accumulate(Ir *ir, const Dim *sum, const Dim *coef, const Dim *bound)
{
    const Dim *part = sum && bound ? dim_mul_quiet(ir, coef, bound) : NULL;
    return part ? dim_add_quiet(ir, sum, part) : NULL;
}

static void bound_sum(Ir *ir, Ix *e)
{
    const Dim *lo = e->base, *hi = e->base;
    for (uint32_t i = 0; i < e->nterm; i++) {
        const IxTerm *t = &e->term[i];
        bool up = dim_lo(ir, t->coef) >= 0, down = dim_hi(ir, t->coef) <= 0;
        const Dim *low = up ? t->atom->lo : down ? t->atom->hi : NULL;
        const Dim *high = up ? t->atom->hi : down ? t->atom->lo : NULL;
        lo = accumulate(ir, lo, t->coef, low);
        hi = accumulate(ir, hi, t->coef, high);
    }
    e->lo = lo;
    e->hi = hi;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && a < 0);
}

/* A polynomial not below floor(h / d): exact where d divides h + 1 or h, else a number. */
static const Dim *bound_quotient(Ir *ir, const Dim *h, const Dim *d)
{
    const Dim *q, *above = plus(ir, h, 1);
    if (!above)
        return NULL;
    if (dim_div(ir, above, d, &q))
        return plus(ir, q, -1);
    if (dim_div(ir, h, d, &q))
        return q;
    int64_t top = dim_hi(ir, h), low = dim_lo(ir, d);
    if (top == INT64_MAX)
        return NULL;
    return dim_const(ir, top < 0 ? -1 : floor_div(top, low > 1 ? low : 1));
}

static void bound_div(Ir *ir, Ix *e)
{
    const Dim *lo = e->of->lo;
    int64_t low = lo ? dim_lo(ir, lo) : INT64_MIN;
    if (low > INT64_MIN)
        e->lo = dim_const(ir, low < 0 ? low : 0);
    if (e->of->hi)
        e->hi = bound_quotient(ir, e->of->hi, e->extent);
}

static void find_bounds(Ir *ir, Ix *e)
{
    switch (e->kind) {
    case IX_SUM:
        bound_sum(ir, e);
        break;
    case IX_VAR:
    case IX_MOD:
    case IX_LOAD:
        e->lo = ir->tables->zero;
        e->hi = plus(ir, e->extent, -1);
        break;
    case IX_DIV:
        bound_div(ir, e);
        break;
    }
}

static uint64_t var_bit(uint32_t var)
{
    return (uint64_t)1 << (var < 63 ? var : 63);
}

static uint64_t find_vars(const Ix *e)
{
    uint64_t vars = e->kind == IX_VAR ? var_bit(e->var) : 0;
    for (uint32_t i = 0; i < e->nterm; i++)
        vars |= e->term[i].atom->vars;
    for (uint32_t i = 0; i < e->nindex; i++)
        vars |= e->index[i]->vars;
    return vars | (e->of ? e->of->vars : 0);
}

const Ix *ix_intern(Ir *ir, const Ix *key)
{
    struct IrTables *t = ir->tables;
    uint64_t h = hash_ix(key);
    const Ix *found = intern_find(t->ixs, h, key, same_ix);
    if (found)
        return found;
    Ix *e = NEW(ir->arena, Ix);
    *e = *key;
    e->id = t->nix++;
    e->term = COPY_ARRAY(ir->arena, IxTerm, key->term, key->nterm);
    e->index = COPY_ARRAY(ir->arena, const Ix *, key->index, key->nindex);
    e->vars = find_vars(e);
    find_bounds(ir, e);
    intern_add(ir->arena, t->ixs, h, e);
    return e;
}

bool ix_in_range(Ir *ir, const Ix *e, const Dim *d)
{
    if (!e->lo || !e->hi || dim_lo(ir, e->lo) < 0)
        return false;
    const Dim *room = dim_sub_quiet(ir, d, e->hi);
    return room && dim_lo(ir, room) >= 1;
}

/* ---- sums ---- */

uint32_t ix_terms(Ir *ir, const Ix *e, IxTerm *self, const IxTerm **term)
{
    if (e->kind == IX_SUM) {
        *term = e->term;
        return e->nterm;
    }
    *self = (IxTerm){ir->tables->one, e};
    *term = self;
    return 1;
}

const Dim *ix_base(Ir *ir, const Ix *e)
{
    return e->kind == IX_SUM ? e->base : ir->tables->zero;
}

/* Variables first, in their order, whatever was made before them: so the text of a kernel does not depend on what else was
 * lowered. */
static bool comes_after(const Ix *a, const Ix *b)
{
    bool va = a->kind == IX_VAR, vb = b->kind == IX_VAR;
    if (va && vb && a->var != b->var)
        return a->var > b->var;
    return va != vb ? vb : a->id > b->id;
}

/* Terms ordered by atom, one per atom, none zero. Returns how many are left. */
static uint32_t merge_terms(Ir *ir, IxTerm *term, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        IxTerm t = term[i];
        uint32_t k = i;
        for (; k > 0 && comes_after(term[k - 1].atom, t.atom); k--)
            term[k] = term[k - 1];
        term[k] = t;
    }
    uint32_t out = 0;
    for (uint32_t i = 0; i < n;) {
        IxTerm t = term[i++];
        for (; i < n && term[i].atom == t.atom; i++)
            t.coef = dim_add(ir, t.coef, term[i].coef);
        if (t.coef->nterm > 0)
            term[out++] = t;
    }
    return out;
}

/* k * (x % n) and k * n * (x / n) are k * x; k * (x % n) and k * n * ((x / n) % m) are
 * k * (x % (n * m)). The partner of the remainder term[at], or n; *whole is what k multiplies. */
static uint32_t find_partner(Ir *ir, const IxTerm *term, uint32_t n, uint32_t at, const Ix **whole)
{
    const Ix *mod = term[at].atom, *quotient = NULL;
    const Dim *coef = dim_mul_quiet(ir, term[at].coef, mod->extent);
    for (uint32_t i = 0; i < n && coef; i++) {
        const Ix *atom = term[i].atom;
        if (i == at || term[i].coef != coef || (atom->kind != IX_DIV && atom->kind != IX_MOD))
            continue;
        if (!quotient)
            quotient = ix_div(ir, mod->of, mod->extent);
        const Dim *both = dim_mul_quiet(ir, mod->extent, atom->extent);
        if (atom == quotient)
            *whole = mod->of;
        else if (atom->kind == IX_MOD && atom->of == quotient && both)
            *whole = ix_mod(ir, mod->of, both);
        else
            continue;
        return i;
    }
    return n;
}

/* Joins one quotient with its remainder, if there is such a pair. */
static const Ix *join_pair(Ir *ir, const Dim *base, const IxTerm *term, uint32_t n)
{
    for (uint32_t at = 0; at < n; at++) {
        const Ix *whole;
        if (term[at].atom->kind != IX_MOD)
            continue;
        uint32_t partner = find_partner(ir, term, n, at, &whole);
        if (partner == n)
            continue;
        IxTerm small[IX_SMALL];
        IxTerm *left = n <= IX_SMALL ? small : NEW_ARRAY(ir->arena, IxTerm, n);
        uint32_t nleft = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (i != at && i != partner)
                left[nleft++] = term[i];
        }
        return ix_add(ir, ix_sum(ir, base, left, nleft), ix_mul(ir, whole, term[at].coef));
    }
    return NULL;
}

const Ix *ix_sum(Ir *ir, const Dim *base, IxTerm *term, uint32_t n)
{
    n = merge_terms(ir, term, n);
    if (n == 1 && base->nterm == 0 && dim_equals(term[0].coef, 1))
        return term[0].atom;
    const Ix *joined = join_pair(ir, base, term, n);
    if (joined)
        return joined;
    return ix_intern(ir, &(Ix){.kind = IX_SUM, .base = base, .nterm = n, .term = term});
}

const Ix *ix_add(Ir *ir, const Ix *a, const Ix *b)
{
    IxTerm self_a, self_b, small[IX_SMALL];
    const IxTerm *ta, *tb;
    uint32_t na = ix_terms(ir, a, &self_a, &ta), nb = ix_terms(ir, b, &self_b, &tb);
    IxTerm *term = na + nb <= IX_SMALL ? small : NEW_ARRAY(ir->arena, IxTerm, na + nb);
    memcpy(term, ta, na * sizeof *term);
    memcpy(term + na, tb, nb * sizeof *term);
    return ix_sum(ir, dim_add(ir, ix_base(ir, a), ix_base(ir, b)), term, na + nb);
}

const Ix *ix_mul(Ir *ir, const Ix *a, const Dim *factor)
{
    if (dim_equals(factor, 1))
        return a;
    IxTerm self, small[IX_SMALL];
    const IxTerm *from;
    uint32_t n = ix_terms(ir, a, &self, &from);
    IxTerm *term = n <= IX_SMALL ? small : NEW_ARRAY(ir->arena, IxTerm, n);
    for (uint32_t i = 0; i < n; i++)
        term[i] = (IxTerm){dim_mul(ir, from[i].coef, factor), from[i].atom};
    return ix_sum(ir, dim_mul(ir, ix_base(ir, a), factor), term, n);
}

/* ---- atoms ---- */

const Ix *ix_const(Ir *ir, const Dim *d)
{
    return ix_intern(ir, &(Ix){.kind = IX_SUM, .base = d});
}

const Ix *ix_int(Ir *ir, int64_t v)
{
    return ix_const(ir, dim_const(ir, v));
}

const Ix *ix_var(Ir *ir, uint32_t var, const Dim *extent)
{
    if (dim_equals(extent, 1))
        return ix_int(ir, 0);
    return ix_intern(ir, &(Ix){.kind = IX_VAR, .var = var, .extent = extent});
}

const Ix *ix_load(Ir *ir, const Node *tensor, const Ix *const *index, uint32_t n, const Dim *extent)
{
    return ix_intern(
        ir, &(Ix){.kind = IX_LOAD, .extent = extent, .node = tensor, .nindex = n, .index = index});
}

/* ix_walk.c: using index expressions: linear indices, coefficients, substitution, text. */
#include "ix.h"

const Ix *ix_flatten(Ir *ir, const Dim *const *dims, const Ix *const *index, uint32_t rank)
{
    const Ix *linear = ix_int(ir, 0);
    const Dim *stride = ir->tables->one;
    for (uint32_t i = rank; i-- > 0;) {
        linear = ix_add(ir, linear, ix_mul(ir, index[i], stride));
        if (i > 0)
            stride = dim_mul(ir, stride, dims[i]);
    }
    return linear;
}

/* The index of axis 0 needs no remainder: the linear index is below the number of elements. */
void ix_unflatten(Ir *ir, const Ix *linear, const Dim *const *dims, uint32_t rank, const Ix **index)
{
    const Dim *stride = ir->tables->one;
    for (uint32_t i = rank; i-- > 0;) {
        const Ix *above = ix_div(ir, linear, stride);
        index[i] = i > 0 || dim_equals(dims[i], 1) ? ix_mod(ir, above, dims[i]) : above;
        if (i > 0)
            stride = dim_mul(ir, stride, dims[i]);
    }
}

bool ix_coefficient(Ir *ir, const Ix *e, uint32_t var, const Dim **coef)
{
    IxTerm self;
    const IxTerm *term;
    uint32_t n = ix_terms(ir, e, &self, &term);
    *coef = ir->tables->zero;
    for (uint32_t i = 0; i < n; i++) {
        if (term[i].atom->kind == IX_VAR && term[i].atom->var == var)
            *coef = dim_add(ir, *coef, term[i].coef);
        else if (ix_uses(term[i].atom, var))
            return false;
    }
    return true;
}

/* Variables above 62 share a bit, and are then looked for. */
bool ix_uses(const Ix *e, uint32_t var)
{
    if (!(e->vars >> (var < 63 ? var : 63) & 1))
        return false;
    if (var < 63 || (e->kind == IX_VAR && e->var == var))
        return true;
    for (uint32_t i = 0; i < e->nterm; i++) {
        if (ix_uses(e->term[i].atom, var))
            return true;
    }
    for (uint32_t i = 0; i < e->nindex; i++) {
        if (ix_uses(e->index[i], var))
            return true;
    }
    return e->of && ix_uses(e->of, var);
}

/* ---- substitution ---- */

typedef struct Subst {
    Ir *ir;
    const Ix *const *vars;
    uint32_t nvar;
    uint64_t mask; /* bits of the variables that are replaced */
    Map *done;     /* Ix id + 1 -> result: shared parts are visited once */
} Subst;

static const Ix *subst(Subst *s, const Ix *e);

static const Ix *subst_sum(Subst *s, const Ix *e)
{
    const Ix *sum = ix_const(s->ir, e->base);
    for (uint32_t i = 0; i < e->nterm; i++)
        sum = ix_add(s->ir, sum, ix_mul(s->ir, subst(s, e->term[i].atom), e->term[i].coef));
    return sum;
}

static const Ix *subst_load(Subst *s, const Ix *e)
{
    const Ix *index[IR_MAX_RANK];
    ASSERT(e->nindex <= IR_MAX_RANK);
    for (uint32_t i = 0; i < e->nindex; i++)
        index[i] = subst(s, e->index[i]);
    return ix_load(s->ir, e->node, index, e->nindex, e->extent);
}

static const Ix *subst_new(Subst *s, const Ix *e)
{
    switch (e->kind) {
    case IX_SUM:
        return subst_sum(s, e);
    case IX_VAR:
        return e->var < s->nvar && s->vars[e->var] ? s->vars[e->var] : e;
    case IX_DIV:
        return ix_div(s->ir, subst(s, e->of), e->extent);
    case IX_MOD:
        return ix_mod(s->ir, subst(s, e->of), e->extent);
    case IX_LOAD:
        return subst_load(s, e);
    }
    BUG("no index expression %d", e->kind);
}

static const Ix *subst(Subst *s, const Ix *e)
{
    if (!(e->vars & s->mask))
        return e;
    if (e->kind == IX_VAR)
        return subst_new(s, e);
    const Ix *made = map_get(s->done, (uint64_t)e->id + 1);
    if (!made) {
        made = subst_new(s, e);
        map_put(s->done, (uint64_t)e->id + 1, (void *)made);
    }
    return made;
}

const Ix *ix_substitute(Ir *ir, const Ix *e, const Ix *const *vars, uint32_t nvar)
{
    Subst s = {.ir = ir, .vars = vars, .nvar = nvar};
    for (uint32_t i = 0; i < nvar; i++)
        s.mask |= vars[i] ? (uint64_t)1 << (i < 63 ? i : 63) : 0;
    if (!(e->vars & s.mask))
        return e;
    Arena *arena = arena_new();
    s.done = map_new(arena);
    const Ix *made = subst(&s, e);
    arena_free(arena);
    return made;
}

/* ---- text: i0*T + i1, (i2 / 4) % 8, idx[i0] ---- */

enum { PRINT_LIMIT = 1 << 16 }; /* bytes: shared parts are written out each time */

static void print_factor(const Ir *ir, const Dim *d, StrBuf *sb)
{
    bool sum = d->nterm > 1 || (d->nterm == 1 && d->term[0].coef < 0);
    sb_puts(sb, sum ? "(" : "");
    dim_print(ir, d, sb);
    sb_puts(sb, sum ? ")" : "");
}

static void print_load(const Ir *ir, const Ix *e, StrBuf *sb)
{
    sb_printf(sb, "%%%u[", e->node->id);
    for (uint32_t i = 0; i < e->nindex; i++) {
        sb_puts(sb, i > 0 ? ", " : "");
        ix_print(ir, e->index[i], sb);
    }
    sb_putc(sb, ']');
}

static void print_atom(const Ir *ir, const Ix *e, StrBuf *sb)
{
    if (e->kind == IX_VAR) {
        sb_printf(sb, "i%u", e->var);
    } else if (e->kind == IX_LOAD) {
        print_load(ir, e, sb);
    } else {
        bool bare = e->of->kind == IX_VAR || e->of->kind == IX_LOAD;
        sb_puts(sb, bare ? "(" : "((");
        ix_print(ir, e->of, sb);
        sb_puts(sb, bare ? "" : ")");
        sb_puts(sb, e->kind == IX_DIV ? " / " : " % ");
        dim_print(ir, e->extent, sb);
        sb_putc(sb, ')');
    }
}

void ix_print(const Ir *ir, const Ix *e, StrBuf *sb)
{
    if (sb->n > PRINT_LIMIT) {
        sb_puts(sb, "...");
        return;
    }
    if (e->kind != IX_SUM) {
        print_atom(ir, e, sb);
        return;
    }
    for (uint32_t i = 0; i < e->nterm; i++) {
        sb_puts(sb, i > 0 ? " + " : "");
        print_atom(ir, e->term[i].atom, sb);
        if (dim_equals(e->term[i].coef, 1))
            continue;
        sb_putc(sb, '*');
        print_factor(ir, e->term[i].coef, sb);
    }
    if (e->nterm > 0 && e->base->nterm == 0)
        return;
    sb_puts(sb, e->nterm > 0 ? " + " : "");
    dim_print(ir, e->base, sb);
}

/* kern_prefix.c: sums or products up to each element of an axis.
 *
 * A line is folded from its beginning on (`reverse`: from its end) by one accumulator, so the results
 * are those of the plain loop to the bit. Lanes are neighbouring lines: columns behind the axis where
 * there are some, else rows before it, whose elements are read one line apart. */
#include "lines.h"

typedef struct Prefix {
    Lines l;
    bool rows;        /* lanes along outer */
    const Ix *scalar; /* the index along the other one */
} Prefix;

static const Ix *place(Lower *lo, const Prefix *p, const Ix *i)
{
    if (!node_int(p->l.n, "reverse"))
        return i;
    const Dim *one = dim_const(lo->ir, 1), *back = dim_const(lo->ir, -1);
    return ix_add(lo->ir, ix_const(lo->ir, dim_sub(lo->ir, p->l.length, one)),
                  ix_mul(lo->ir, i, back));
}

static void fold_line(Lower *lo, const Ix *lane, void *user)
{
    const Prefix *p = user;
    Kernel *k = lo->k;
    DType dt = p->l.n->type->dtype;
    bool vector = lo->var[lo->nvar - 1].vector;
    KType t = vector ? ktype_vector(ktype_of(dt)) : ktype_of(dt);
    const KExpr *acc =
        ks_var(k, lo->scope->block, "acc", ke_num(k, t, op_info(p->l.n->op)->neutral));
    const Ix *i = scope_loop(lo, &(LoopSpec){.stem = "i",
                                             .lo = ke_int(k, 0),
                                             .hi = ke_extent(k, p->l.length),
                                             .extent = p->l.length});
    const Ix *ix[IR_MAX_RANK];
    const Ix *outer = p->rows ? lane : p->scalar, *inner = p->rows ? p->scalar : lane;
    line_index(lo, &p->l, (const Ix *[]){outer, place(lo, p, i), inner}, ix);
    const KExpr *x = lower_value(lo, p->l.n->in[0], ix);
    x = vector ? lower_spread(lo, x) : x;
    const char *text = gen_template(p->l.n, dt);
    ks_set(k, lo->scope->block, acc, lower_fit(lo, dt, ke_apply(lo, t, text, acc, x)));
    lower_store(lo, 0, ix, acc);
    scope_end(lo);
}

/* [from, from + size) cut at `end`. */
static const KExpr *range_end(Lower *lo, const KExpr *from, int64_t size, const Dim *end)
{
    return ke_min(lo, ke_add(lo, from, ke_int(lo->k, size)), ke_extent(lo->k, end));
}

static int64_t at_least_1(int64_t n)
{
    return n > 0 ? n : 1;
}

/* Task: several vectors of rows. */
static void prefix_rows(Lower *lo, Prefix *p)
{
    Kernel *k = lo->k;
    int64_t w = k->width, cells = dim_hi(lo->ir, p->l.length) * dim_hi(lo->ir, p->l.inner);
    int64_t rows = ceil_div(at_least_1(lower_config(lo, "grain") / at_least_1(cells)), w) * w;
    const Dim *tasks = dim_const(lo->ir, ceil_div(dim_hi(lo->ir, p->l.outer), rows));
    scope_begin(lo, kernel_phase(k, "", tasks, "along rows, several at a time"));
    const KExpr *from = ke_mul(lo, lower_task(lo), ke_int(k, rows));
    from = ks_let(k, lo->scope->block, "from", from);
    const KExpr *to = ks_let(k, lo->scope->block, "to", range_end(lo, from, rows, p->l.outer));
    p->scalar = scope_loop(lo, &(LoopSpec){.stem = "c",
                                           .lo = ke_int(k, 0),
                                           .hi = ke_extent(k, p->l.inner),
                                           .extent = p->l.inner});
    LanesSpec spec = {.stem = "r", .lo = from, .hi = to, .extent = p->l.outer};
    lower_lanes(lo, &spec, fold_line, p);
    scope_end(lo);
}

/* Task: a strip of columns of one outer member, or all columns of several. */
static void prefix_columns(Lower *lo, Prefix *p)
{
    Kernel *k = lo->k;
    int64_t w = k->width, n = at_least_1(dim_hi(lo->ir, p->l.length));
    int64_t grain = lower_config(lo, "grain"), all = at_least_1(dim_hi(lo->ir, p->l.inner));
    int64_t strip = ceil_div(at_least_1(grain / n), w) * w, strips = ceil_div(all, strip), fixed;
    int64_t members = strips > 1 ? 1 : at_least_1(grain / at_least_1(n * all));
    const Dim *groups = members == 1
                            ? p->l.outer
                            : dim_const(lo->ir, ceil_div(dim_hi(lo->ir, p->l.outer), members));
    const Dim *tasks = dim_mul(lo->ir, groups, dim_const(lo->ir, strips));
    scope_begin(lo, kernel_phase(k, "", tasks, "along columns, several at a time"));
    KBlock *block = lo->scope->block;
    const KExpr *task = lower_task(lo), *ks = ke_int(k, strips);
    const KExpr *first = ke_mul(lo, ke_index(k, KI_DIV, task, ks), ke_int(k, members));
    const KExpr *from =
        ks_let(k, block, "from", ke_mul(lo, ke_index(k, KI_MOD, task, ks), ke_int(k, strip)));
    const KExpr *to = ks_let(k, block, "to", range_end(lo, from, strip, p->l.inner));
    p->scalar = scope_loop(lo, &(LoopSpec){.stem = "o",
                                           .lo = first,
                                           .hi = range_end(lo, first, members, p->l.outer),
                                           .extent = p->l.outer});
    LanesSpec spec = {.stem = "c", .lo = from, .hi = to, .extent = p->l.inner};
    spec.whole = dim_is_const(p->l.inner, &fixed) && fixed % w == 0;
    lower_lanes(lo, &spec, fold_line, p);
    scope_end(lo);
}

void lower_prefix(Lower *lo)
{
    Prefix p = {.l = lines_of(lo, OC_SCAN)};
    int64_t w = lo->k->width, outer = dim_hi(lo->ir, p.l.outer), inner = dim_hi(lo->ir, p.l.inner);
    p.rows = inner < w && outer > inner && !lo->scalar;
    lo->scalar = lo->scalar || outer * inner == 1;
    if (p.rows && !lo->scalar)
        prefix_rows(lo, &p);
    else
        prefix_columns(lo, &p);
}

/* kern_scatter.c: sums rows at computed places, in the order of the indices.
 *
 * The result is [outer][extent][columns]. A first phase fills it with zeros in the order of memory; in the
 * second a task owns a strip of columns (or several outer members) and walks all indices in order, touching
 * the rows that are hit. So no two tasks write one element, the sum does not depend on who runs when, and a
 * table of many rows costs no more than its zeros. Rows come from whatever elementwise source lies before. */
#include "scatter.h"

#include <string.h>

enum { ZERO_CELLS = 16384, STRIP_COLUMNS = 64 };

void scatter_describe(Lower *lo, Scatter *s)
{
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_SCATTER)
            s->n = lo->body->nodes.at[i];
    ASSERT(s->n);
    s->plain = lo->body->results.n == 1 && lo->body->results.at[0].node == s->n;
    const Type *t = s->n->type;
    s->rows = s->n->in[0];
    s->idx = s->n->in[1];
    s->axis = (uint32_t)node_int(s->n, "axis");
    s->batch = (uint32_t)node_int(s->n, "batch");
    s->outer = dims_product(lo->ir, t->dims, s->axis);
    s->extent = t->dims[s->axis];
    s->columns = dims_product(lo->ir, t->dims + s->axis + 1, t->rank - s->axis - 1);
    s->count = dims_product(lo->ir, s->idx->type->dims + s->batch, s->idx->type->rank - s->batch);
}

void scatter_result_index(Lower *lo, const Scatter *s, const Ix *e, const Ix *column, const Ix **ix)
{
    const Type *t = s->n->type;
    ix_unflatten(lo->ir, s->member, t->dims, s->axis, ix);
    ix[s->axis] = e;
    ix_unflatten(lo->ir, column, t->dims + s->axis + 1, t->rank - s->axis - 1, ix + s->axis + 1);
}

void scatter_results(Lower *lo, const Scatter *s, const Ix *const *ix, const KExpr *sum)
{
    if (s->plain) {
        lower_store(lo, 0, ix, sum);
        return;
    }
    lo->seed[s->n->id] = sum;
    lo->seed_scope = lo->scope;
    lower_results(lo, (UINT64_C(1) << lo->body->results.n) - 1, ix);
    lo->seed[s->n->id] = NULL;
    lo->seed_scope = NULL;
}

void scatter_make_sums(Lower *lo, Scatter *s)
{
    const Type *t = s->n->type;
    if (!s->plain)
        s->buf = kernel_workspace(lo->k, "sums", t->dtype, type_count(lo->ir, t));
}

static void store_sum(Lower *lo, const Scatter *s, const Ix *const *ix, const KExpr *sum)
{
    const Type *t = s->n->type;
    if (s->plain) {
        lower_store(lo, 0, ix, sum);
        return;
    }
    const Ix *linear = ix_flatten(lo->ir, t->dims, ix, t->rank);
    const LowerVar v = lo->var[lo->nvar - 1];
    sum = v.vector ? lower_spread(lo, sum) : sum;
    ks_store(lo->k, lo->scope->block, s->buf, lower_index(lo, linear), sum)->lanes = v.lanes;
}

static const KExpr *load_sum(Lower *lo, const Scatter *s, const Ix *const *ix)
{
    const Type *t = s->n->type;
    const Ix *linear = ix_flatten(lo->ir, t->dims, ix, t->rank);
    return lower_load(lo, s->plain ? lo->out[0] : s->buf, linear);
}

void scatter_finish_cell(Lower *lo, const Ix *cell, void *user)
{
    const Scatter *s = user;
    const Type *t = s->n->type;
    const Ix *ix[IR_MAX_RANK];
    ix_unflatten(lo->ir, cell, t->dims, t->rank, ix);
    const KExpr *sum = load_sum(lo, s, ix);
    ASSERT(sum);
    scatter_results(lo, s, ix, ks_let(lo->k, lo->scope->block, "sum", sum));
}

void scatter_store_zero(Lower *lo, const Ix *cell, void *user)
{
    const Type *t = ((const Scatter *)user)->n->type;
    const Ix *ix[IR_MAX_RANK];
    ix_unflatten(lo->ir, cell, t->dims, t->rank, ix);
    store_sum(lo, user, ix, ke_num(lo->k, ktype_of(t->dtype), 0));
}

void scatter_cells_phase(Lower *lo, Scatter *s, const CellsSpec *c)
{
    Kernel *k = lo->k;
    const Dim *cells = type_count(lo->ir, s->n->type);
    const Dim *tasks = dim_const(lo->ir, ceil_div(larger(dim_hi(lo->ir, cells), 1), c->each));
    scope_begin(lo, kernel_phase(k, c->name, tasks, c->doc));
    const KExpr *each = ke_int(k, c->each);
    const KExpr *from = ks_let(k, lo->scope->block, "from", ke_mul(lo, lower_task(lo), each));
    const KExpr *to = ke_min(lo, ke_add(lo, from, each), ke_extent(k, cells));
    to = ks_let(k, lo->scope->block, "to", to);
    LanesSpec spec = {.stem = c->stem, .lo = from, .hi = to, .extent = cells};
    lower_lanes(lo, &spec, c->cell, s);
}

void scatter_number(Lower *lo, const Scatter *s, const Ix *const *batch, const Ix *i, const Ix **at)
{
    const Type *t = s->idx->type;
    memcpy(at, batch, s->batch * sizeof *at);
    ix_unflatten(lo->ir, i, t->dims + s->batch, t->rank - s->batch, at + s->batch);
}

const Ix *scatter_place(Lower *lo, const Scatter *s, const Ix *const *batch, const Ix *i)
{
    const Ix *at[IR_MAX_RANK];
    scatter_number(lo, s, batch, i, at);
    return ix_load(lo->ir, s->idx, at, s->idx->type->rank, s->extent);
}

static void source_index(Lower *lo, const Scatter *s, const Ix *i, const Ix *const *ix,
                         const Ix **from)
{
    const Type *t = s->n->type;
    uint32_t many = s->idx->type->rank - s->batch;
    memcpy(from, ix, s->axis * sizeof *from);
    ix_unflatten(lo->ir, i, s->idx->type->dims + s->batch, many, from + s->axis);
    for (uint32_t k = s->axis + 1; k < t->rank; k++)
        from[many + k - 1] = ix[k];
}

const KExpr *scatter_source(Lower *lo, const Scatter *s, const Ix *i, const Ix *const *ix)
{
    const Ix *from[IR_MAX_RANK];
    source_index(lo, s, i, ix, from);
    return lower_value(lo, s->rows, from);
}

void scatter_each_load(Lower *lo, const Scatter *s, const Ix *i, const Ix *const *ix, LoadFn fn,
                       void *user)
{
    const Ix *from[IR_MAX_RANK];
    source_index(lo, s, i, ix, from);
    lower_each_load(lo, s->rows, from, fn, user);
}

const KExpr *scatter_sum(Lower *lo, const Scatter *s, const KExpr *sum, const KExpr *x)
{
    x = ktype_is_vector(sum->type) ? lower_spread(lo, x) : x;
    return lower_fit(lo, s->n->type->dtype, ke_apply(lo, sum->type, "(%0 + %1)", sum, x));
}

void scatter_add_columns(Lower *lo, const Ix *column, void *user)
{
    const Scatter *s = user;
    const Type *t = s->n->type;
    const Ix *outer[IR_MAX_RANK], *ix[IR_MAX_RANK];
    ix_unflatten(lo->ir, s->member, t->dims, s->axis, outer);
    scatter_result_index(lo, s, scatter_place(lo, s, outer, s->i), column, ix);
    const KExpr *x = scatter_source(lo, s, s->i, ix);
    const KExpr *old = load_sum(lo, s, ix);
    ASSERT(old);
    store_sum(lo, s, ix, scatter_sum(lo, s, old, x));
}

/* Columns per task: some cache lines of a row, or more where there are few rows. */
static int64_t strip_of(Lower *lo, const Scatter *s)
{
    int64_t w = lo->k->width, count = dim_hi(lo->ir, s->count);
    int64_t strip = lower_config(lo, "grain") / (count > 0 ? count : 1);
    int64_t all = dim_hi(lo->ir, s->columns);
    strip = ceil_div(strip > STRIP_COLUMNS ? strip : STRIP_COLUMNS, w) * w;
    return strip < all ? strip : ceil_div(all > 0 ? all : 1, w) * w;
}

static void add_phase(Lower *lo, Scatter *s)
{
    Kernel *k = lo->k;
    int64_t strip = strip_of(lo, s), strips = ceil_div(dim_hi(lo->ir, s->columns), strip), fixed;
    strips = strips > 0 ? strips : 1;
    int64_t adds = dim_hi(lo->ir, s->count) * dim_hi(lo->ir, s->columns);
    int64_t members = strips > 1 ? 1 : lower_config(lo, "grain") / (adds > 0 ? adds : 1);
    members = members > 1 ? members : 1;
    const Dim *groups =
        members == 1 ? s->outer : dim_const(lo->ir, ceil_div(dim_hi(lo->ir, s->outer), members));
    KPhase *phase = kernel_phase(k, "add", dim_mul(lo->ir, groups, dim_const(lo->ir, strips)),
                                 "sums rows at their indices, in order");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, strips);
    const KExpr *first = ke_mul(lo, ke_index(k, KI_DIV, task, n), ke_int(k, members));
    const KExpr *from =
        ks_let(k, &phase->body, "from", ke_mul(lo, ke_index(k, KI_MOD, task, n), ke_int(k, strip)));
    const KExpr *to = ke_min(lo, ke_add(lo, from, ke_int(k, strip)), ke_extent(k, s->columns));
    to = ks_let(k, &phase->body, "to", to);
    const KExpr *end = ke_min(lo, ke_add(lo, first, ke_int(k, members)), ke_extent(k, s->outer));
    s->member =
        scope_loop(lo, &(LoopSpec){.stem = "o", .lo = first, .hi = end, .extent = s->outer});
    s->i = scope_loop(
        lo, &(LoopSpec){
                .stem = "i", .lo = ke_int(k, 0), .hi = ke_extent(k, s->count), .extent = s->count});
    LanesSpec spec = {.stem = "c", .lo = from, .hi = to, .extent = s->columns};
    spec.whole = dim_is_const(s->columns, &fixed) && fixed % k->width == 0;
    lower_lanes(lo, &spec, scatter_add_columns, s);
    scope_end(lo);
    scope_end(lo);
}

void lower_scatter(Lower *lo)
{
    Scatter s = {0};
    scatter_describe(lo, &s);
    scatter_make_sums(lo, &s);
    scatter_cells_phase(lo, &s, &SCATTER_ZEROS(ZERO_CELLS));
    add_phase(lo, &s);
    if (!s.plain)
        scatter_cells_phase(lo, &s, &SCATTER_FINISH(ZERO_CELLS));
}

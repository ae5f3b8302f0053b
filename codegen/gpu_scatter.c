/* gpu_scatter.c: sums rows at computed places on a GPU, in the order of the indices and without atomics.
 *
 * Where there are many indices, they are first sorted by place: a warp owns 32 neighbouring places and walks
 * all indices twice (mdl_bins.h), to count and then to list those of each place in order; it needs nothing of
 * other warps, for it also counts what goes before its own. Then a thread owns some neighbouring columns of
 * one row of the result and sums the rows in its list, several loads at a time: every cell is written once,
 * rows that are not hit with zeros, and a row that all indices hit (padding) is summed by all its columns.
 *
 * Where lists are short, or the threads without them many, sorting would cost more than it gains: the result
 * is filled with zeros, and each thread adds the rows of its member and columns one by one. */
#include "scatter.h"

enum {
    BINS = 32, /* MDL_BINS of the prelude */
    FEW = 16,  /* indices that are not worth sorting */
    MANY_THREADS = 1 << 15,
    AT_ONCE = 8,         /* rows that are loaded together, at most; pieces of indices */
    TOGETHER = 2,        /* vectors of a row of the result, of a thread, where .. */
    CORE_THREADS = 2048, /* .. each multiprocessor has so many threads all the same */
    THREADS = 256
};

typedef struct Lists {
    Scatter *s;
    uint32_t begin, order; /* workspace: [batch][extent + 1], [batch][count] */
    const Dim *batch, *bounds;
    const KExpr *from, *to; /* places in `order` */
} Lists;

static int64_t each_of(const Lower *lo)
{
    return lo->scalar ? 1 : (int64_t)lo->k->width;
}

/* Vectors of columns, at the upper end. */
static int64_t vectors_of(Lower *lo, const Scatter *s)
{
    return larger(ceil_div(dim_hi(lo->ir, s->columns), each_of(lo)), 1);
}

/* Of vector `v`, columns that exist. */
static LanesSpec columns_of(Lower *lo, const Scatter *s, const KExpr *v)
{
    Kernel *k = lo->k;
    const KExpr *each = ke_int(k, each_of(lo));
    int64_t fixed;
    const KExpr *from = ks_let(k, lo->scope->block, "from", ke_mul(lo, v, each));
    const KExpr *to = ke_min(lo, ke_add(lo, from, each), ke_extent(k, s->columns));
    to = ks_let(k, lo->scope->block, "to", to);
    LanesSpec spec = {.stem = "c", .lo = from, .hi = to, .extent = s->columns};
    spec.whole = dim_is_const(s->columns, &fixed) && fixed % each_of(lo) == 0;
    return spec;
}

/* ---- one by one ---- */

static void walk_phase(Lower *lo, Scatter *s)
{
    Kernel *k = lo->k;
    int64_t vectors = vectors_of(lo, s);
    const Dim *tasks = dim_mul(lo->ir, s->outer, dim_const(lo->ir, vectors));
    scope_begin(lo, kernel_phase(k, "add", tasks, "sums rows at their indices, in order"));
    const KExpr *task = lower_task(lo), *n = ke_int(k, vectors);
    LanesSpec spec = columns_of(lo, s, ke_index(k, KI_MOD, task, n));
    s->member = scope_var(lo, ke_index(k, KI_DIV, task, n), s->outer);
    s->i = scope_loop(
        lo, &(LoopSpec){
                .stem = "i", .lo = ke_int(k, 0), .hi = ke_extent(k, s->count), .extent = s->count});
    lower_lanes(lo, &spec, scatter_add_columns, s);
    scope_end(lo);
}

/* ---- lists of the rows of each place ---- */

/* The walk of a warp over all indices: some pieces of 32 at a time, which are under way together. */
typedef struct Bins {
    const KExpr *member, *first; /* of the batch; the first of the warp's places */
    int64_t pieces;              /* at a time */
    uint32_t bin;                /* of this lane in each of them */
} Bins;

/* The number of this lane's index in piece u of those that begin at `at`. */
static const KExpr *index_of(Lower *lo, const KExpr *at, const KExpr *u)
{
    Kernel *k = lo->k;
    const KExpr *i = ke_add(lo, at, ke_mul(lo, u, ke_int(k, BINS)));
    return ks_let(k, lo->scope->block, "i", ke_add(lo, i, lo->rank));
}

static const KExpr *open_pieces(Lower *lo, const Bins *b)
{
    scope_loop(lo, &(LoopSpec){.stem = "u",
                               .lo = ke_int(lo->k, 0),
                               .hi = ke_int(lo->k, b->pieces),
                               .extent = dim_const(lo->ir, b->pieces),
                               .unroll = true});
    return lo->var[lo->nvar - 1].at;
}

/* Opens the scope of a row, index i of a member, that adds something. Tokens that are no picture's, say, have a place all
 * the same: one list would have them all. */
static void open_row(Lower *lo, const Scatter *s, const Ix *const *batch, const Ix *i)
{
    const Node *condition =
        s->axis == s->batch ? node_zero_unless(s->rows, s->idx->type->rank) : NULL;
    const Ix *at[IR_MAX_RANK];
    if (!condition) {
        scope_plain(lo);
        return;
    }
    scatter_number(lo, s, batch, i, at);
    for (uint32_t k = s->idx->type->rank; k < condition->type->rank; k++)
        at[k] = ix_int(lo->ir, 0);
    scope_if(lo, lower_value(lo, condition, at));
}

/* Opens the walk, and in it a loop over pieces that are there: of this lane its index's number, and the index's place
 * relative to the warp's first; INT32_MAX: there is none. */
static const KExpr *open_walk(Lower *lo, const Lists *l, const Bins *b, const KExpr **i)
{
    Kernel *k = lo->k;
    const Scatter *s = l->s;
    scope_loop(lo, &(LoopSpec){.stem = "piece",
                               .lo = ke_int(k, 0),
                               .hi = ke_extent(k, s->count),
                               .extent = s->count,
                               .step = b->pieces * BINS});
    const KExpr *at = lo->var[lo->nvar - 1].at, *u = open_pieces(lo, b);
    *i = index_of(lo, at, u);
    ks_store(k, lo->scope->block, b->bin, u, ke_text(k, KT_I32, "INT32_MAX", NULL, 0));
    scope_if(lo, ke_test(k, "<", *i, ke_extent(k, s->count)));
    const Ix *batch[IR_MAX_RANK];
    ix_unflatten(lo->ir, scope_var(lo, b->member, l->batch), s->n->type->dims, s->batch, batch);
    const Ix *number = scope_var(lo, *i, s->count);
    open_row(lo, s, batch, number);
    const Ix *place = scatter_place(lo, s, batch, number);
    const KExpr *relative = ke_sub(lo, lower_index(lo, place), b->first);
    ks_store(k, lo->scope->block, b->bin, u, ke_apply(lo, KT_I32, "(int32_t)%0", relative, NULL));
    scope_end(lo);
    scope_end(lo);
    scope_end(lo);
    u = open_pieces(lo, b);
    *i = index_of(lo, at, u);
    return ks_let(k, lo->scope->block, "bin", ke_load(k, b->bin, u));
}

static void close_walk(Lower *lo)
{
    scope_end(lo);
    scope_end(lo);
}

static void lists_phase(Lower *lo, Lists *l)
{
    Kernel *k = lo->k;
    Scatter *s = l->s;
    int64_t warps = ceil_div(dim_hi(lo->ir, l->bounds), BINS);
    KPhase *phase = kernel_phase(k, "lists", dim_mul(lo->ir, l->batch, dim_const(lo->ir, warps)),
                                 "lists the rows of each place, in order");
    scope_begin(lo, phase);
    team_begin(lo, phase, BINS);
    KBlock *block = lo->scope->block;
    const KExpr *task = lower_task(lo), *n = ke_int(k, warps), *i;
    const KExpr *member = ks_let(k, block, "member", ke_index(k, KI_DIV, task, n));
    const KExpr *first = ke_mul(lo, ke_index(k, KI_MOD, task, n), ke_int(k, BINS));
    first = ks_let(k, block, "first", first);
    int64_t pieces = ceil_div(larger(dim_hi(lo->ir, s->count), 1), BINS);
    Bins b = {.member = member, .first = first, .pieces = smaller(pieces, AT_ONCE)};
    b.bin = ks_local(k, block, "bins", KT_I32, b.pieces);
    uint32_t state = ks_local(k, block, "state", KT_I32, 2);
    for (int64_t j = 0; j < 2; j++)
        ks_store(k, block, state, ke_int(k, j), ke_num(k, KT_I32, 0));
    const KExpr *arg[2] = {ke_addr(k, state, ke_int(k, 0))};
    arg[1] = open_walk(lo, l, &b, &i);
    ks_call(k, lo->scope->block, ke_text(k, KT_PTR, "mdl_bins_count(%0, %1)", arg, 2));
    close_walk(lo);
    ks_call(k, block, ke_text(k, KT_PTR, "mdl_bins_begin(%0)", arg, 1));
    const KExpr *own = ks_let(k, block, "own", ke_add(lo, first, lo->rank));
    scope_if(lo, ke_test(k, "<", own, ke_extent(k, l->bounds)));
    const KExpr *to = ke_add(lo, ke_mul(lo, member, ke_extent(k, l->bounds)), own);
    ks_store(k, lo->scope->block, l->begin, to, ke_load(k, state, ke_int(k, 0)));
    scope_end(lo);
    arg[1] = open_walk(lo, l, &b, &i);
    const KExpr *place =
        ks_let(k, lo->scope->block, "place", ke_text(k, KT_I32, "mdl_bins_place(%0, %1)", arg, 2));
    scope_if(lo, ke_apply(lo, KT_BOOL, "(%0 >= 0)", place, NULL));
    to = ke_add(lo, ke_mul(lo, member, ke_extent(k, s->count)),
                ke_apply(lo, KT_I64, "(int64_t)%0", place, NULL));
    ks_store(k, lo->scope->block, l->order, to, ke_apply(lo, KT_I32, "(int32_t)%0", i, NULL));
    scope_end(lo);
    close_walk(lo);
}

/* ---- sums ---- */

static void count_load(Lower *lo, const Node *input, const Ix *linear, void *user)
{
    UNUSED(input);
    *(int64_t *)user += index_vector_var(lo, &linear, 1) != NO_VAR;
}

/* Rows that are loaded together: fewer where a row is made of many loads. Most rows of a table are not hit, and need
 * threads more than these need registers. */
static int64_t rows_at_once(Lower *lo, const Lists *l, const Ix *column)
{
    const Scatter *s = l->s;
    const Ix *ix[IR_MAX_RANK];
    int64_t loads = 0;
    scope_plain(lo);
    scatter_result_index(lo, s, scope_var(lo, ke_int(lo->k, 0), s->extent), column, ix);
    scatter_each_load(lo, s, scope_var(lo, ke_int(lo->k, 0), s->count), ix, count_load, &loads);
    scope_end(lo);
    return loads <= 1 ? AT_ONCE : loads <= 2 ? AT_ONCE / 2 : AT_ONCE / 4;
}

/* A number from the workspace, as an index. */
static const KExpr *wide_load(Lower *lo, uint32_t buf, const KExpr *at)
{
    return ke_apply(lo, KT_I64, "(int64_t)%0", ke_load(lo->k, buf, at), NULL);
}

/* Neighbouring columns of one row of the result, and what they have summed up. */
typedef struct Cell {
    const Ix *ix[IR_MAX_RANK];
    const KExpr *sum;
} Cell;

typedef struct Cells {
    const Lists *l;
    const KExpr *first; /* of the member's list in `order` */
    const Ix *e;
    Cell cell[TOGETHER];
    int64_t n;
} Cells;

static void add_listed(Lower *lo, const Cells *c, const KExpr *at)
{
    const Scatter *s = c->l->s;
    const KExpr *i = wide_load(lo, c->l->order, ke_add(lo, c->first, at));
    const Ix *row = scope_var(lo, ks_let(lo->k, lo->scope->block, "i", i), s->count);
    for (int64_t n = 0; n < c->n; n++) {
        const Cell *cell = &c->cell[n];
        const KExpr *x = scatter_source(lo, s, row, cell->ix);
        ks_set(lo->k, lo->scope->block, cell->sum, scatter_sum(lo, s, cell->sum, x));
    }
}

static void begin_cell(Lower *lo, const Cells *c, const Ix *column, Cell *cell)
{
    KType t = ktype_of(c->l->s->n->type->dtype);
    scatter_result_index(lo, c->l->s, c->e, column, cell->ix);
    t = lo->var[column->var].vector ? ktype_vector(t) : t;
    cell->sum = ks_var(lo->k, lo->scope->block, "sum", ke_num(lo->k, t, 0));
}

/* The cells that have begun, of which `column` is one. */
static void sum_cells(Lower *lo, const Cells *c, const Ix *column)
{
    const Lists *l = c->l;
    Kernel *k = lo->k;
    const int64_t rows = rows_at_once(lo, l, column);
    const KExpr *length = ke_sub(lo, l->to, l->from), *at_once = ke_int(k, rows);
    const KExpr *full = ke_mul(lo, ke_index(k, KI_DIV, length, at_once), at_once);
    full = ks_let(k, lo->scope->block, "full", ke_add(lo, l->from, full));
    LoopSpec loop = {.stem = "at",
                     .lo = l->from,
                     .hi = full,
                     .extent = l->s->count,
                     .step = rows,
                     .rolled = true};
    scope_loop(lo, &loop);
    const KExpr *at = lo->var[lo->nvar - 1].at;
    scope_loop(lo, &(LoopSpec){.stem = "u",
                               .lo = ke_int(k, 0),
                               .hi = at_once,
                               .extent = dim_const(lo->ir, rows),
                               .unroll = true});
    add_listed(lo, c, ke_add(lo, at, lo->var[lo->nvar - 1].at));
    scope_end(lo);
    scope_end(lo);
    loop.lo = full;
    loop.hi = l->to;
    loop.step = 1;
    scope_loop(lo, &loop);
    add_listed(lo, c, lo->var[lo->nvar - 1].at);
    scope_end(lo);
    for (int64_t n = 0; n < c->n; n++)
        scatter_results(lo, l->s, c->cell[n].ix, c->cell[n].sum);
}

static void sum_columns(Lower *lo, const Ix *column, void *user)
{
    Cells *c = user;
    c->n = 1;
    begin_cell(lo, c, column, &c->cell[0]);
    sum_cells(lo, c, column);
}

/* Vectors of a row that a thread has at once, a share of the row apart. Most rows are not hit: what is on its way
 * depends on how much a thread stores for the little that it reads before. */
static int64_t together(Lower *lo, const Scatter *s, const Dim *rows)
{
    int64_t vectors = vectors_of(lo, s), columns;
    bool whole = !lo->scalar && dim_is_const(s->columns, &columns) && columns % each_of(lo) == 0;
    int64_t threads = dim_hi(lo->ir, rows) * (vectors / TOGETHER);
    bool enough = threads >= (int64_t)lo->target->cores * CORE_THREADS;
    return whole && enough && vectors % TOGETHER == 0 ? TOGETHER : 1;
}

/* Vectors `part` and every so many behind it. */
static void sum_together(Lower *lo, Cells *c, const KExpr *part, int64_t parts)
{
    Kernel *k = lo->k;
    const Ix *column = NULL;
    const KExpr *from = ke_mul(lo, part, ke_int(k, each_of(lo)));
    from = ks_let(k, lo->scope->block, "from", from);
    for (c->n = 0; c->n < TOGETHER; c->n++) {
        const KExpr *at = ke_add(lo, from, ke_int(k, c->n * parts * each_of(lo)));
        column = scope_vector_var(lo, at, c->l->s->columns, NULL);
        begin_cell(lo, c, column, &c->cell[c->n]);
    }
    sum_cells(lo, c, column);
}

static void sums_phase(Lower *lo, Lists *l)
{
    Kernel *k = lo->k;
    Scatter *s = l->s;
    const Dim *rows = dim_mul(lo->ir, s->outer, s->extent);
    int64_t each = together(lo, s, rows), parts = vectors_of(lo, s) / each;
    KPhase *phase = kernel_phase(k, "", dim_mul(lo->ir, rows, dim_const(lo->ir, parts)),
                                 "sums the rows of each place, in order");
    phase->threads = THREADS;
    scope_begin(lo, phase);
    KBlock *block = lo->scope->block;
    const KExpr *task = lower_task(lo), *n = ke_int(k, parts);
    const KExpr *row = ks_let(k, block, "row", ke_index(k, KI_DIV, task, n));
    const Ix *ix[IR_MAX_RANK], *e = scope_var(lo, row, rows);
    Cells c = {.l = l};
    ix_unflatten(lo->ir, e, s->n->type->dims, s->axis + 1, ix);
    c.e = ix[s->axis];
    s->member = s->axis ? ix_flatten(lo->ir, s->n->type->dims, ix, s->axis) : ix_int(lo->ir, 0);
    const Ix *batch =
        s->batch ? ix_flatten(lo->ir, s->n->type->dims, ix, s->batch) : ix_int(lo->ir, 0);
    const KExpr *member = ks_let(k, block, "member", lower_index(lo, batch));
    const KExpr *at = ke_mul(lo, member, ke_extent(k, l->bounds));
    at = ks_let(k, block, "at", ke_add(lo, at, lower_index(lo, c.e)));
    c.first = ks_let(k, block, "list", ke_mul(lo, member, ke_extent(k, s->count)));
    l->from = ks_let(k, block, "begin", wide_load(lo, l->begin, at));
    l->to = ks_let(k, block, "end", wide_load(lo, l->begin, ke_add(lo, at, ke_int(k, 1))));
    if (each > 1) {
        sum_together(lo, &c, ke_index(k, KI_MOD, task, n), parts);
        return;
    }
    LanesSpec spec = columns_of(lo, s, ke_index(k, KI_MOD, task, n));
    lower_lanes(lo, &spec, sum_columns, &c);
}

/* ---- the kernel ---- */

/* Results of 16-bit numbers are stored 16 bytes at a time; wider ones too, though that reads rows by less: as most
 * rows of a table are not hit, there is more to store. */
static void choose_width(Lower *lo, const Scatter *s)
{
    int64_t columns;
    bool narrow = dim_is_const(s->columns, &columns) && columns % 8 == 0;
    for (uint32_t i = 0; i < lo->body->results.n; i++)
        narrow = narrow && dtype_info(lo->body->results.at[i].node->type->dtype)->bytes == 2;
    if (narrow)
        lo->k->width = 8;
}

void gpu_scatter(Lower *lo)
{
    Scatter s = {0};
    scatter_describe(lo, &s);
    choose_width(lo, &s);
    int64_t count = dim_hi(lo->ir, s.count);
    int64_t most = MANY_THREADS / vectors_of(lo, &s);
    if (count <= FEW || dim_hi(lo->ir, s.outer) > most) {
        scatter_make_sums(lo, &s);
        scatter_cells_phase(lo, &s, &SCATTER_ZEROS(each_of(lo)));
        walk_phase(lo, &s);
        if (!s.plain)
            scatter_cells_phase(lo, &s, &SCATTER_FINISH(each_of(lo)));
        return;
    }
    Lists l = {.s = &s};
    l.batch = dims_product(lo->ir, s.n->type->dims, s.batch);
    l.bounds = dim_add(lo->ir, s.extent, dim_const(lo->ir, 1));
    l.begin = kernel_workspace(lo->k, "begin", DT_I32, dim_mul(lo->ir, l.batch, l.bounds));
    l.order = kernel_workspace(lo->k, "order", DT_I32, dim_mul(lo->ir, l.batch, s.count));
    lists_phase(lo, &l);
    sums_phase(lo, &l);
}

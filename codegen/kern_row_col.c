/* kern_row_col.c: folds of rows and of columns of one space P x R in one walk, as the derivative of a norm
 * needs them: its rows for x, its columns for gain and shift.
 *
 * Rows are folded one at a time, as kern_reduce.c does it; the last pass over a row, which stores what there
 * is of it, also adds to sums of the columns. A task is a block of rows, as many as the extents say, and has
 * a line of sums of its own; a second phase adds the lines in order (reduce_join.c). So nothing depends on the number of
 * threads, and every operand is read once.
 *
 * Folds of columns alone (class `reduce`) go the same way where rows are long: a strip of columns would touch
 * a page and a few lines of it in every row. */
#include "reduce.h"

enum {
    STRIP = 256,     /* columns of a task of the second phase */
    LONG_ROW = 512,  /* columns, and .. */
    MANY_ROWS = 64,  /* .. rows of a tensor whose columns are folded by walking its rows, .. */
    BLOCK = 1 << 14, /* .. so many elements, .. */
    LEAST_ROWS = 16  /* .. or rows, a task */
};

/* Rows of a task, and how many tasks there are at most. */
typedef struct Blocks {
    int64_t rows, count;
    const Dim *columns;
} Blocks;

static void make_sums(Lower *lo, Fold *f, const Blocks *b)
{
    const Dim *count = dim_mul(lo->ir, b->columns, dim_const(lo->ir, b->count));
    f->partial = NEW_ARRAY(lo->arena, uint32_t, lo->body->nodes.n);
    for (uint32_t i = 0; i < f->nsum; i++)
        f->partial[f->sum[i]->id] = fold_partials(lo, f->sum[i], count);
}

static void clear_lanes(Lower *lo, const Ix *r, void *user)
{
    const Fold *f = user;
    const LowerVar v = lo->var[lo->nvar - 1];
    UNUSED(r);
    for (uint32_t i = 0; i < f->nsum; i++)
        ks_store(lo->k, lo->scope->block, f->partial[f->sum[i]->id], ke_add(lo, f->sums, v.at),
                 acc_neutral(lo, f->sum[i], !lo->scalar))
            ->lanes = v.lanes;
}

static void rows_phase(Lower *lo, Fold *f, const Blocks *b)
{
    Kernel *k = lo->k;
    KPhase *phase = kernel_phase(k, "rows", dim_const(lo->ir, b->count), "folds a block of rows");
    scope_begin(lo, phase);
    if (k->threads) {
        fold_team(lo, phase);
        lo->team_again = true;
    }
    const KExpr *columns = ke_extent(k, b->columns), *rows = ke_int(k, b->rows);
    f->sums = ks_let(k, &phase->body, "sums", ke_mul(lo, lower_task(lo), columns));
    lower_lanes(lo,
                &(LanesSpec){.stem = "r", .hi = columns, .lo = ke_int(k, 0), .extent = b->columns},
                clear_lanes, f);
    const KExpr *from = ke_mul(lo, lower_task(lo), rows);
    const KExpr *to = ke_min(lo, ke_add(lo, from, rows), ke_extent(k, f->p.inner));
    const Ix *p =
        scope_loop(lo, &(LoopSpec){.stem = "p", .lo = from, .hi = to, .extent = f->p.inner});
    fold_set_row(lo, f, p);
    fold_whole_range(lo, f);
    fold_passes(lo, f);
    fold_full_results(lo, f);
    team_first(lo);
    fold_point_results(lo, f);
    scope_end(lo);
    scope_end(lo);
    fold_select(lo, f, NULL);
}

void fold_store_columns(Lower *lo, const Fold *f, const Ix *r)
{
    const Ix *ix[IR_MAX_RANK];
    ix_unflatten(lo->ir, r, f->rdims, f->nr, ix);
    lo->seed_scope = lo->scope;
    lower_results(lo, f->column_results, ix);
    for (uint32_t i = 0; i < f->nsum; i++)
        lo->seed[f->sum[i]->id] = NULL;
    lo->seed_scope = NULL;
}

typedef struct Join {
    Fold *f;
    const FoldLines *lines;
} Join;

static void join_lanes(Lower *lo, const Ix *r, void *user)
{
    const Join *j = user;
    fold_join_lines(lo, j->lines, lo->seed);
    fold_store_columns(lo, j->f, r);
}

static void columns_phase(Lower *lo, Fold *f, const Blocks *b)
{
    Kernel *k = lo->k;
    FoldLines lines = {f->sum, f->nsum, f->partial, b->columns, b->count};
    fold_group_lines(lo, &lines);
    int64_t strip = !k->threads ? STRIP : lo->scalar ? 1 : (int64_t)k->width;
    int64_t most = dim_hi(lo->ir, b->columns), strips = ceil_div(most > 0 ? most : 1, strip);
    KPhase *phase = kernel_phase(k, "", dim_const(lo->ir, strips), "joins the sums of columns");
    scope_begin(lo, phase);
    const KExpr *size = ke_int(k, strip);
    const KExpr *from = ks_let(k, &phase->body, "from", ke_mul(lo, lower_task(lo), size));
    const KExpr *end = ke_min(lo, ke_add(lo, from, size), ke_extent(k, b->columns));
    const KExpr *to = ks_let(k, &phase->body, "to", end);
    Join j = {f, &lines};
    lower_lanes(lo, &(LanesSpec){.stem = "r", .lo = from, .hi = to, .extent = b->columns},
                join_lanes, &j);
}

static void two_phases(Lower *lo, Fold *f, int64_t rows)
{
    int64_t all = dim_hi(lo->ir, f->p.inner);
    Blocks b = {.rows = rows > 0 ? rows : 1};
    b.count = ceil_div(all > 0 ? all : 1, b.rows);
    b.columns = dims_product(lo->ir, f->rdims, f->nr);
    make_sums(lo, f, &b);
    rows_phase(lo, f, &b);
    columns_phase(lo, f, &b);
}

void lower_row_col(Lower *lo)
{
    Fold *f = NEW(lo->arena, Fold);
    fold_analyse(lo, f);
    fold_choose_rows(lo, f);
    fold_choose_passes(lo, f);
    if (!gpu_row_col(lo, f))
        two_phases(lo, f, lower_config(lo, "grain"));
}

bool fold_streams_columns(const Lower *lo, const Fold *f)
{
    int64_t columns = dim_hi(lo->ir, dims_product(lo->ir, f->pdims, f->np));
    int64_t rows = dim_hi(lo->ir, dims_product(lo->ir, f->rdims, f->nr));
    bool ok = f->nlevel == 1 && !f->full_results && columns >= LONG_ROW && rows >= MANY_ROWS;
    for (uint32_t i = 0; i < lo->body->nodes.n && ok; i++) {
        const Node *n = lo->body->nodes.at[i];
        ok = op_info(n->op)->cls != OC_REDUCE || (!node_folds_last(n) && !gen_info(n->op)->better);
    }
    for (uint32_t i = 0; i < lo->body->results.n; i++)
        ok = ok && f->level[lo->body->results.at[i].node->id] == 1;
    return ok;
}

void fold_stream_columns(Lower *lo)
{
    Fold *f = NEW(lo->arena, Fold);
    f->streams = true;
    fold_analyse(lo, f);
    fold_choose_rows(lo, f);
    fold_choose_passes(lo, f);
    int64_t columns = dim_hi(lo->ir, dims_product(lo->ir, f->rdims, f->nr));
    int64_t rows = BLOCK / columns;
    two_phases(lo, f, rows > LEAST_ROWS ? rows : LEAST_ROWS);
}

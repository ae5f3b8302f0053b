/* gemm_prologue.c: folds that the left operands of products need, as a norm before a projection. Whoever has few
 * rows folds them before it multiplies: each task of a product of few rows by itself, so that nothing waits; else a
 * phase before. What is computed of the folds alone, such as the factor of a norm, is found once per row; operands
 * read it as if it lay in memory.
 *
 * Loops and order of the additions are those of rows in kern_reduce.c. */
#include "gemm.h"
#include "reduce.h"

typedef struct Prologue {
    Fold fold;
    const Dim *rows;
    bool *made;        /* by node: computed from a fold, and of no product */
    const Node **kept; /* values over the rows that others read */
    uint32_t *buf;     /* of each: [row] */
    uint32_t nkept;
    bool at_work, done;
} Prologue;

/* ---- what is kept ---- */

static bool is_row(const Prologue *p, const Node *fold, const Node *n)
{
    return p->made[n->id] && n->type->dtype == DT_F32 && type_same_dims(n->type, fold->type);
}

static void find_made(const Lower *lo, Prologue *p)
{
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        OpClass c = op_info(n->op)->cls;
        p->made[i] = c == OC_REDUCE;
        for (uint32_t k = 0; k < n->nin && c != OC_CONTRACT; k++)
            p->made[i] = p->made[i] || p->made[n->in[k]->id];
    }
}

/* Of the values over the rows, those that something else than a value over the rows reads. */
static void find_kept(Lower *lo, Prologue *p, const Node *fold)
{
    bool *found = NEW_ARRAY(lo->arena, bool, lo->body->nodes.n + (size_t)1);
    p->kept = NEW_ARRAY(lo->arena, const Node *, lo->body->nodes.n + (size_t)1);
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        bool row = op_info(n->op)->cls != OC_REDUCE && is_row(p, fold, n);
        for (uint32_t k = 0; k < n->nin && !row; k++) {
            if (!is_row(p, fold, n->in[k]) || found[n->in[k]->id])
                continue;
            found[n->in[k]->id] = true;
            p->kept[p->nkept++] = n->in[k];
        }
    }
}

static const KExpr *load_kept(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Prologue *p = lo->user;
    for (uint32_t i = 0; i < p->nkept && !p->at_work; i++) {
        if (p->kept[i] != n)
            continue;
        if (!p->done) /* loops are being chosen */
            return ke_num(lo->k, KT_F32, 0);
        return lower_load(lo, p->buf[i], ix_flatten(lo->ir, n->type->dims, ix, n->type->rank));
    }
    return NULL;
}

void prologue_begin(Lower *lo)
{
    const Node *fold = NULL;
    for (uint32_t i = 0; i < lo->body->nodes.n && !fold; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_REDUCE)
            fold = lo->body->nodes.at[i];
    if (!fold)
        return;
    Prologue *p = NEW(lo->arena, Prologue);
    p->made = NEW_ARRAY(lo->arena, bool, lo->body->nodes.n + (size_t)1);
    find_made(lo, p);
    find_kept(lo, p, fold);
    fold_analyse(lo, &p->fold);
    p->fold.point_results = p->fold.full_results = 0;
    p->at_work = true;
    fold_choose_rows(lo, &p->fold);
    p->at_work = false;
    p->fold.unroll = fold_choose_unroll(lo, &p->fold);
    p->rows = p->fold.p.inner;
    p->buf = NEW_ARRAY(lo->arena, uint32_t, p->nkept + (size_t)1);
    lo->user = p;
    lo->kept = load_kept;
}

/* ---- folding ---- */

static void one_row(Lower *lo, Prologue *p, const Ix *row)
{
    Fold *f = &p->fold;
    const KExpr **value = NEW_ARRAY(lo->arena, const KExpr *, p->nkept + (size_t)1);
    fold_set_row(lo, f, row);
    fold_whole_range(lo, f);
    fold_chunks(lo, f);
    fold_passes(lo, f);
    fold_select(lo, f, &f->point[0]);
    for (uint32_t i = 0; i < p->nkept; i++)
        value[i] = lower_value(lo, p->kept[i], f->point[0].p);
    team_first(lo);
    for (uint32_t i = 0; i < p->nkept; i++)
        ks_store(lo->k, lo->scope->block, p->buf[i], lower_index(lo, row), value[i]);
    scope_end(lo);
    fold_select(lo, f, NULL);
    lo->seed_scope = NULL;
}

/* Rows from the phase's root on: all of them, or the task's. */
static void fold_rows(Lower *lo, Prologue *p, bool all)
{
    p->at_work = true;
    if (all && !dim_equals(p->rows, 1)) {
        const Ix *row = scope_loop(lo, &(LoopSpec){.stem = "p",
                                                   .lo = ke_int(lo->k, 0),
                                                   .hi = ke_extent(lo->k, p->rows),
                                                   .extent = p->rows});
        lo->team_again = true;
        one_row(lo, p, row);
        lo->team_again = false;
    } else {
        scope_plain(lo);
        one_row(lo, p, scope_var(lo, all ? ke_int(lo->k, 0) : lower_task(lo), p->rows));
    }
    scope_end(lo);
    p->at_work = false;
    p->done = true;
}

static Prologue *prologue_of(const Lower *lo)
{
    return lo->kept == load_kept ? lo->user : NULL;
}

void prologue_in_task(Lower *lo)
{
    Prologue *p = prologue_of(lo);
    if (!p || p->done)
        return;
    int64_t rows = larger(dim_hi(lo->ir, p->rows), 1);
    for (uint32_t i = 0; i < p->nkept; i++)
        p->buf[i] = lo->k->threads ? kernel_shared(lo->k, "row", DT_F32, rows)
                                   : kernel_scratch(lo->k, "row", DT_F32, rows);
    fold_rows(lo, p, true);
    team_wait(lo);
}

void prologue_phase(Lower *lo)
{
    Prologue *p = prologue_of(lo);
    if (!p)
        return;
    for (uint32_t i = 0; i < p->nkept; i++)
        p->buf[i] = kernel_workspace(lo->k, "row", DT_F32, p->rows);
    KPhase *phase = kernel_phase(lo->k, "rows", p->rows, "folds the rows that operands need");
    scope_begin(lo, phase);
    if (lo->k->threads)
        team_begin(lo, phase, phase->threads);
    fold_rows(lo, p, false);
}

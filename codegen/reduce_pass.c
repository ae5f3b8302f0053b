/* reduce_pass.c: passes over R. Folds that depend on one another (softmax: max, then sum) run as
 * successive passes over the same row, which is in cache; each pass folds everything that its
 * predecessors allow. */
#include "reduce.h"

#include <string.h>

void fold_select(Lower *lo, const Fold *f, const Point *p)
{
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (f->level[i] > 0 && op_info(lo->body->nodes.at[i]->op)->cls == OC_REDUCE)
            lo->seed[i] = p ? p->seed[i] : NULL;
}

/* ---- one walk over R ---- */

typedef struct Pass Pass;
typedef void (*StepFn)(Lower *lo, Pass *w, const Ix *inner, uint32_t copy);
struct Pass {
    Fold *f;
    StepFn step;
    const Ix *outer;
    uint32_t copies;
    uint32_t chunk; /* of a row in registers, in work */
    Acc *acc;       /* [copy or point][fold of the level] */
    const Node **fold;
    uint32_t nfold;
};

static void pass_lanes(Lower *lo, const Ix *v, void *user)
{
    Pass *w = user;
    w->step(lo, w, v, 0);
}

/* Several vectors of the inner loop at once, then what is left. */
static void walk_unrolled(Lower *lo, Pass *w, const KExpr *from, const KExpr *to)
{
    Kernel *k = lo->k;
    int64_t stride = (int64_t)w->copies * k->width;
    const Dim *extent = w->f->r.inner;
    scope_loop(lo, &(LoopSpec){.stem = "r",
                               .lo = from,
                               .hi = ke_sub(lo, to, ke_int(k, stride - 1)),
                               .extent = extent,
                               .step = stride});
    const KExpr *at = lo->var[lo->nvar - 1].at;
    for (uint32_t c = 0; c < w->copies; c++) {
        scope_plain(lo);
        const KExpr *v = ke_add(lo, at, ke_int(k, (int64_t)c * k->width));
        w->step(lo, w, scope_vector_var(lo, v, extent, NULL), c);
        scope_end(lo);
    }
    scope_end(lo);
    const KExpr *span = ke_sub(lo, to, from), *ks = ke_int(k, stride);
    const KExpr *rest = ke_add(lo, from, ke_mul(lo, ke_index(k, KI_DIV, span, ks), ks));
    int64_t n;
    LanesSpec spec = {.stem = "r", .hi = to, .extent = extent};
    spec.whole = dim_is_const(extent, &n) && n % k->width == 0;
    spec.lo = ke_is_int(rest, &n) ? rest : ks_let(k, lo->scope->block, "rest", rest);
    lower_lanes(lo, &spec, pass_lanes, w);
}

static void walk_inner(Lower *lo, Pass *w, const KExpr *from, const KExpr *to)
{
    const Fold *f = w->f;
    int64_t n;
    if (f->columns) {
        const Ix *r =
            scope_loop(lo, &(LoopSpec){.stem = "r", .lo = from, .hi = to, .extent = f->r.inner});
        w->step(lo, w, r, 0);
        scope_end(lo);
        return;
    }
    if (w->copies > 1) {
        walk_unrolled(lo, w, from, to);
        return;
    }
    LanesSpec spec = {.stem = "r", .lo = from, .hi = to, .extent = f->r.inner};
    spec.whole = dim_is_const(f->r.inner, &n) && n % lo->k->width == 0;
    lower_lanes(lo, &spec, pass_lanes, w);
}

static void walk(Lower *lo, Pass *w)
{
    Fold *f = w->f;
    Kernel *k = lo->k;
    if (f->nchunk) {
        w->outer = ix_int(lo->ir, 0);
        for (w->chunk = 0; w->chunk < f->nchunk; w->chunk++) {
            w->step(lo, w, f->rows ? fold_open_piece(lo, f, w->chunk) : f->chunk[w->chunk], 0);
            if (f->rows)
                scope_end(lo);
            if (f->crowded)
                fold_forget(lo);
        }
        return;
    }
    if (f->r.split == 0) {
        w->outer = ix_int(lo->ir, 0);
        walk_inner(lo, w, f->from, f->to);
        return;
    }
    w->outer =
        scope_loop(lo, &(LoopSpec){.stem = "ro", .lo = f->from, .hi = f->to, .extent = f->r.outer});
    walk_inner(lo, w, ke_int(k, 0), ke_extent(k, f->r.inner));
    scope_end(lo);
}

/* ---- what happens at an element ---- */

/* Place in a kept row: the element's number within R. */
static const Ix *row_place(Lower *lo, const Fold *f, const Ix *outer, const Ix *inner)
{
    return ix_add(lo->ir, ix_mul(lo->ir, outer, f->r.inner), inner);
}

/* From here to leave_element, values are those of point p at `inner` of R; ix is its full index. */
static void enter_element(Lower *lo, Pass *w, const Point *p, const Ix *inner, const Ix **ix)
{
    Fold *f = w->f;
    const Walked *r = &f->r;
    const Ix *at[IR_MAX_RANK];
    ix_unflatten(lo->ir, w->outer, r->dims, r->split, at);
    ix_unflatten(lo->ir, inner, r->dims + r->split, r->n - r->split, at + r->split);
    for (uint32_t i = 0; i < f->np; i++)
        ix[f->paxis[i]] = p->p[i];
    for (uint32_t i = 0; i < f->nr; i++)
        ix[f->raxis[i]] = at[i];
    fold_select(lo, f, p);
    f->here = ix;
    f->chunk_here = w->chunk;
    f->linear = row_place(lo, f, w->outer, inner);
}

static void leave_element(Lower *lo, Fold *f)
{
    if (f->rows && fold_whole_piece(f, f->chunk_here))
        fold_leave_stays(lo, f);
    f->here = NULL;
}

static void keep_rows(Lower *lo, Fold *f, const Ix *const *ix)
{
    for (uint32_t i = 0; i < f->nkept; i++) {
        if (f->kept[i].first != f->pass)
            continue;
        const KExpr *x = lower_spread(lo, lower_value(lo, f->kept[i].node, ix));
        uint32_t v = index_vector_var(lo, &f->linear, 1);
        ks_store(lo->k, lo->scope->block, f->kept[i].buf, lower_index(lo, f->linear), x)->lanes =
            v == NO_VAR ? ke_int(lo->k, 1) : lo->var[v].lanes;
    }
}

static void fold_step(Lower *lo, Pass *w, const Ix *inner, uint32_t copy)
{
    Fold *f = w->f;
    const LowerVar last = lo->var[f->nchunk ? inner->var : lo->nvar - 1];
    const Ix *ix[IR_MAX_RANK];
    for (uint32_t p = 0; p < f->npoint; p++) {
        enter_element(lo, w, &f->point[p], inner, ix);
        keep_rows(lo, f, ix);
        for (uint32_t i = 0; i < w->nfold; i++) {
            AccStep s = {.x = lower_value(lo, w->fold[i]->in[0], ix), .along = !f->columns};
            s.at = f->columns ? lower_index(lo, f->linear) : last.at;
            s.lanes = f->columns ? NULL : last.lanes;
            acc_step(lo, &w->acc[(copy + p) * w->nfold + i], &s);
        }
        leave_element(lo, f);
    }
}

static void add_to_chunk_sums(Lower *lo, const Pass *w, const Ix *const *ix)
{
    const Fold *f = w->f;
    for (uint32_t i = 0; i < f->nsum; i++)
        acc_add(lo, &f->chunk_sum[w->chunk * f->nsum + i],
                lower_spread(lo, lower_value(lo, f->sum[i]->in[0], ix)));
}

/* Adds this element to the sums of its columns, which lie in memory. */
static void add_columns(Lower *lo, const Fold *f, const Ix *const *ix)
{
    Kernel *k = lo->k;
    const KExpr *at = f->nsum ? ke_add(lo, f->sums, lower_index(lo, f->linear)) : NULL;
    for (uint32_t i = 0; i < f->nsum; i++) {
        const Node *n = f->sum[i];
        uint32_t buf = f->partial[n->id], v = index_vector_var(lo, &f->linear, 1);
        const KExpr *x = lower_value(lo, n->in[0], ix), *lanes = NULL;
        if (!lo->scalar) {
            x = lower_spread(lo, x);
            lanes = v == NO_VAR ? ke_int(k, 1) : lo->var[v].lanes;
        }
        const KExpr *old = lo->scalar ? ke_load(k, buf, at) : ke_vload(k, buf, at, lanes);
        const char *text = gen_template(n, n->in[0]->type->dtype);
        ks_store(k, lo->scope->block, buf, at, ke_apply(lo, x->type, text, old, x))->lanes = lanes;
    }
}

static void store_step(Lower *lo, Pass *w, const Ix *inner, uint32_t copy)
{
    UNUSED(copy);
    Fold *f = w->f;
    const Ix *ix[IR_MAX_RANK];
    for (uint32_t p = 0; p < f->npoint; p++) {
        enter_element(lo, w, &f->point[p], inner, ix);
        if (f->nchunk)
            add_to_chunk_sums(lo, w, ix);
        else
            add_columns(lo, f, ix);
        lower_results(lo, f->full_results, ix);
        leave_element(lo, f);
    }
}

/* ---- passes ---- */

static void collect_level(Lower *lo, const Fold *f, Pass *w, uint32_t level)
{
    w->fold = NEW_ARRAY(lo->arena, const Node *, lo->body->nodes.n);
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        if (op_info(n->op)->cls == OC_REDUCE && f->level[i] == level)
            w->fold[w->nfold++] = n;
    }
}

static void run_level(Lower *lo, Fold *f, uint32_t level)
{
    Pass w = {.f = f, .step = fold_step};
    collect_level(lo, f, &w, level);
    bool vector = !lo->scalar;
    w.copies = f->columns ? 1 : (uint32_t)f->unroll;
    uint32_t n = f->columns ? f->npoint : w.copies;
    w.acc = NEW_ARRAY(lo->arena, Acc, n * w.nfold);
    for (uint32_t c = 0; c < n; c++)
        for (uint32_t i = 0; i < w.nfold; i++)
            w.acc[c * w.nfold + i] = acc_begin(lo, w.fold[i], vector);
    f->pass = level;
    walk(lo, &w);
    if (f->rows) {
        const KExpr **whole = NEW_ARRAY(lo->arena, const KExpr *, w.nfold + (size_t)1);
        acc_lanes_together(lo, w.acc, w.nfold, f->turn, whole);
        for (uint32_t i = 0; i < w.nfold; i++)
            f->point[0].seed[w.fold[i]->id] = whole[i];
        if (lo->team == WARP)
            fold_forget(lo); /* of a block there is a barrier in the folds */
        return;
    }
    for (uint32_t i = 0; i < w.nfold; i++) {
        if (f->columns) {
            for (uint32_t p = 0; p < f->npoint; p++)
                f->point[p].seed[w.fold[i]->id] = acc_result(lo, &w.acc[p * w.nfold + i]);
            continue;
        }
        /* ((0 + 1) + (2 + 3)): a fixed order */
        for (uint32_t h = 1; h < n; h *= 2)
            for (uint32_t c = 0; c + h < n; c += 2 * h)
                acc_join(lo, &w.acc[c * w.nfold + i], &w.acc[(c + h) * w.nfold + i]);
        f->point[0].seed[w.fold[i]->id] = acc_lanes(lo, &w.acc[i]);
    }
}

void fold_passes(Lower *lo, Fold *f)
{
    lo->seed_scope = lo->scope;
    for (uint32_t level = 1; level <= f->nlevel; level++)
        run_level(lo, f, level);
}

void fold_full_results(Lower *lo, Fold *f)
{
    Pass w = {.f = f, .step = store_step, .copies = 1};
    f->pass = f->nlevel + 1;
    walk(lo, &w);
}

void fold_point_results(Lower *lo, Fold *f)
{
    for (uint32_t p = 0; p < f->npoint; p++) {
        fold_select(lo, f, &f->point[p]);
        lower_results(lo, f->point_results, f->point[p].p);
    }
}

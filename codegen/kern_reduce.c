/* kern_reduce.c: folds over R of values over P x R, several in a row, with elementwise results over P
 * or over P x R.
 *
 * Two shapes of loops, chosen by what is read in order. Rows: one element of P at a time, lanes
 * along R, several accumulators, then the lanes fold in a fixed order. Columns: lanes along P,
 * several vectors at once, R outside in order. Few long rows (split > 1) are folded in parts by a
 * first phase and joined by a second. Nothing depends on the number of threads. */
#include "reduce.h"

#include <string.h>

enum {
    KEPT_BYTES = 1 << 17,
    COSTLY = 10,
    LONG_ROW = 8,
    ROW_UNROLL = 4,
    COST_JOIN = 6,      /* of the lanes, in vector loads */
    LEAST_STRIPS = 4096 /* of columns that keep a GPU busy */
};

/* ---- analysis ---- */

/* The first; of rows, if there are folds of rows and of columns. */
static const Node *first_fold(const Lower *lo)
{
    const Node *first = NULL;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        if (op_info(n->op)->cls == OC_REDUCE &&
            (!first || (node_folds_last(n) && !node_folds_last(first))))
            first = n;
    }
    if (!first)
        BUG("codegen: a reduce group without a fold");
    return first;
}

static uint64_t folded_axes(const Node *n)
{
    if (gen_info(n->op)->better)
        return UINT64_C(1) << node_int(n, "axis");
    const Attr *axes = node_ints(n, "axes");
    uint64_t mask = 0;
    for (uint32_t i = 0; i < axes->n; i++)
        mask |= UINT64_C(1) << axes->ints[i];
    return mask;
}

static void find_levels(Lower *lo, Fold *f)
{
    f->level = NEW_ARRAY(lo->arena, uint32_t, lo->body->nodes.n);
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        uint32_t level = 0;
        if (f->column[i])
            continue;
        for (uint32_t k = 0; k < n->nin; k++)
            level = f->level[n->in[k]->id] > level ? f->level[n->in[k]->id] : level;
        if (op_info(n->op)->cls == OC_REDUCE)
            level++;
        f->level[i] = level;
        f->nlevel = level > f->nlevel ? level : f->nlevel;
    }
}

static void find_columns(Lower *lo, Fold *f, uint64_t rows)
{
    f->column = NEW_ARRAY(lo->arena, bool, lo->body->nodes.n);
    f->sum = NEW_ARRAY(lo->arena, const Node *, lo->body->nodes.n);
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        bool fold = op_info(n->op)->cls == OC_REDUCE && folded_axes(n) != rows;
        f->column[i] = fold;
        for (uint32_t k = 0; k < n->nin; k++)
            f->column[i] = f->column[i] || f->column[n->in[k]->id];
        if (fold)
            f->sum[f->nsum++] = n;
    }
}

static void set_walked(Lower *lo, Walked *w, uint32_t split)
{
    w->split = split;
    w->outer = dims_product(lo->ir, w->dims, split);
    w->inner = dims_product(lo->ir, w->dims + split, w->n - split);
}

void fold_analyse(Lower *lo, Fold *f)
{
    const Node *fold = first_fold(lo);
    f->full = fold->in[0]->type;
    uint64_t mask = folded_axes(fold);
    if (f->streams)
        mask = ~mask;
    for (uint32_t i = 0; i < f->full->rank; i++) {
        if (mask >> i & 1) {
            f->raxis[f->nr] = i;
            f->rdims[f->nr++] = f->full->dims[i];
        } else {
            f->paxis[f->np] = i;
            f->pdims[f->np++] = f->full->dims[i];
        }
    }
    f->p = (Walked){.dims = f->pdims, .n = f->np};
    f->r = (Walked){.dims = f->rdims, .n = f->nr};
    find_columns(lo, f, f->streams ? 0 : mask);
    find_levels(lo, f);
    ASSERT(lo->body->results.n <= 64);
    for (uint32_t i = 0; i < lo->body->results.n; i++) {
        const Node *n = lo->body->results.at[i].node;
        bool over_p = n->type->rank == f->np && f->nr > 0;
        *(f->column[n->id] ? &f->column_results
          : over_p         ? &f->point_results
                           : &f->full_results) |= UINT64_C(1) << i;
    }
    for (uint32_t p = 0; p < FOLD_MAX_POINTS; p++)
        f->point[p].seed = NEW_ARRAY(lo->arena, const KExpr *, lo->body->nodes.n);
}

/* ---- choice of loops ---- */

/* Cost of W elements, reading everything with lanes along the inner part of P or of R. */
static double probe_loops(Lower *lo, Fold *f, bool columns)
{
    KPhase dry = {0};
    const KExpr *zero = ke_int(lo->k, 0);
    scope_begin(lo, &dry);
    const Ix *po = scope_var(lo, zero, f->p.outer), *ro = scope_var(lo, zero, f->r.outer);
    const Ix *pi =
        columns ? scope_vector_var(lo, zero, f->p.inner, NULL) : scope_var(lo, zero, f->p.inner);
    const Ix *ri =
        columns ? scope_var(lo, zero, f->r.inner) : scope_vector_var(lo, zero, f->r.inner, NULL);
    const Ix *ix[IR_MAX_RANK], *p[IR_MAX_RANK], *r[IR_MAX_RANK];
    ix_unflatten(lo->ir, po, f->p.dims, f->p.split, p);
    ix_unflatten(lo->ir, pi, f->p.dims + f->p.split, f->p.n - f->p.split, p + f->p.split);
    ix_unflatten(lo->ir, ro, f->r.dims, f->r.split, r);
    ix_unflatten(lo->ir, ri, f->r.dims + f->r.split, f->r.n - f->r.split, r + f->r.split);
    for (uint32_t i = 0; i < f->np; i++)
        ix[f->paxis[i]] = p[i];
    for (uint32_t i = 0; i < f->nr; i++)
        ix[f->raxis[i]] = r[i];
    double cost = 0;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_REDUCE)
            cost += lower_probe(lo, lo->body->nodes.at[i]->in[0], ix);
    for (uint32_t i = 0; i < lo->body->results.n; i++)
        if (f->full_results >> i & 1)
            cost += lower_probe(lo, lo->body->results.at[i].node, ix);
    int64_t w = lo->k->width, inner = dim_hi(lo->ir, columns ? f->p.inner : f->r.inner);
    int64_t folded = dim_hi(lo->ir, dims_product(lo->ir, f->rdims, f->nr));
    inner = inner > 0 ? inner : 1;
    double used = (double)inner / (double)(ceil_div(inner, w) * w); /* of the lanes */
    double join = columns ? 0 : COST_JOIN * (double)w / (double)(folded > 0 ? folded : 1);
    return (cost + 1) / used + join;
}

void fold_choose_rows(Lower *lo, Fold *f)
{
    double least = -1;
    uint32_t best = 0;
    set_walked(lo, &f->p, 0);
    for (uint32_t split = 0; split < f->nr; split++) {
        set_walked(lo, &f->r, split);
        double cost = probe_loops(lo, f, false);
        if (least >= 0 && cost >= least)
            continue;
        least = cost;
        best = split;
    }
    set_walked(lo, &f->r, best);
}

static bool can_split(const Lower *lo, const Fold *f)
{
    if (f->nlevel != 1 || f->full_results)
        return false;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (gen_info(lo->body->nodes.at[i]->op)->better)
            return false;
    return true;
}

/* On a GPU a strip of columns has one thread: few of them take long, unless each is cut in parts. Then teams share rows
 * that lie as columns. (What folds another axis than the last stays as it is: its order has to follow from extents.) */
static bool too_few_columns(Lower *lo, const Fold *f)
{
    int64_t columns = dim_hi(lo->ir, dims_product(lo->ir, f->pdims, f->np));
    return lo->k->threads && lower_config(lo, "team") > 1 && !can_split(lo, f) &&
           columns < LEAST_STRIPS * (int64_t)lo->k->width;
}

static void choose_loops(Lower *lo, Fold *f)
{
    double least = -1;
    uint32_t best_p = 0, best_r = 0;
    bool best = false;
    if (too_few_columns(lo, f)) {
        fold_choose_rows(lo, f);
        return;
    }
    set_walked(lo, &f->p, 0);
    set_walked(lo, &f->r, 0);
    for (int columns = 0; columns < 2; columns++) {
        uint32_t n = columns ? f->np : f->nr;
        for (uint32_t split = 0; split < (n > 0 ? n : 1); split++) {
            set_walked(lo, columns ? &f->p : &f->r, split);
            double cost = probe_loops(lo, f, columns);
            if (least >= 0 && cost >= least)
                continue;
            least = cost;
            best = columns;
            best_p = columns ? split : 0;
            best_r = columns ? 0 : split;
        }
        set_walked(lo, columns ? &f->p : &f->r, 0);
    }
    f->columns = best && dim_hi(lo->ir, dims_product(lo->ir, f->pdims, f->np)) > 1 && !lo->scalar;
    set_walked(lo, &f->p, f->columns ? best_p : 0);
    set_walked(lo, &f->r, f->columns || best ? 0 : best_r);
}

/* ---- rows kept between passes ---- */

/* need[node] = passes (bit per pass) that compute it at the element in work. */
static void mark_need(const Node *n, uint32_t rank, uint64_t bit, uint64_t *need)
{
    OpClass c = op_info(n->op)->cls;
    if (c != OC_ELEM || n->type->rank != rank || (need[n->id] & bit))
        return;
    need[n->id] |= bit;
    for (uint32_t k = 0; k < n->nin; k++)
        mark_need(n->in[k], rank, bit, need);
}

static uint32_t first_bit(uint64_t bits)
{
    uint32_t i = 0;
    while (!(bits >> i & 1))
        i++;
    return i;
}

static void choose_kept(Lower *lo, Fold *f)
{
    int64_t bytes = 4 * dim_hi(lo->ir, dims_product(lo->ir, f->rdims, f->nr));
    if (lo->scalar || lo->k->threads || f->columns || f->nlevel > 60 || bytes > KEPT_BYTES ||
        bytes == 0)
        return;
    uint64_t *need = NEW_ARRAY(lo->arena, uint64_t, lo->body->nodes.n);
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        if (op_info(n->op)->cls == OC_REDUCE)
            mark_need(n->in[0], f->full->rank,
                      f->column[i] ? UINT64_C(2) << f->nlevel : UINT64_C(1) << f->level[i], need);
    }
    for (uint32_t i = 0; i < lo->body->results.n; i++)
        if (f->full_results >> i & 1)
            mark_need(lo->body->results.at[i].node, f->full->rank, UINT64_C(2) << f->nlevel, need);
    for (uint32_t i = 0; i < lo->body->nodes.n && f->nkept < FOLD_MAX_KEPT; i++) {
        const Node *n = lo->body->nodes.at[i];
        bool several = (need[i] & (need[i] - 1)) != 0;
        if (!several || op_info(n->op)->cost < COSTLY || n->type->dtype != DT_F32)
            continue;
        f->kept[f->nkept].node = n;
        f->kept[f->nkept].first = first_bit(need[i]);
        f->kept[f->nkept++].buf = kernel_scratch(lo->k, "kept", DT_F32, bytes / 4);
    }
}

static const KExpr *load_kept(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Fold *f = lo->user;
    for (uint32_t i = 0; i < f->nkept; i++) {
        if (f->kept[i].node != n || f->pass <= f->kept[i].first || !f->here)
            continue;
        if (memcmp(ix, f->here, n->type->rank * sizeof(const Ix *)) == 0)
            return lower_load(lo, f->kept[i].buf, f->linear);
    }
    return NULL;
}

/* ---- rows ---- */

void fold_whole_range(Lower *lo, Fold *f)
{
    f->from = ke_int(lo->k, 0);
    f->to = ke_extent(lo->k, f->r.split > 0 ? f->r.outer : f->r.inner);
}

/* The part of R that `part` of `split` folds; parts are multiples of W. */
static void part_range(Lower *lo, Fold *f, const KExpr *part)
{
    Kernel *k = lo->k;
    const Dim *all = f->r.split > 0 ? f->r.outer : f->r.inner;
    int64_t size = ceil_div(dim_hi(lo->ir, all), f->split);
    if (f->r.split == 0)
        size = ceil_div(size, k->width) * k->width;
    f->from = ks_let(k, lo->scope->block, "from", ke_mul(lo, part, ke_int(k, size)));
    f->to = ks_let(k, lo->scope->block, "to",
                   ke_min(lo, ke_add(lo, f->from, ke_int(k, size)), ke_extent(k, all)));
}

static void set_point(Lower *lo, Fold *f, uint32_t i, const Ix *outer, const Ix *inner)
{
    const Walked *w = &f->p;
    ix_unflatten(lo->ir, outer, w->dims, w->split, f->point[i].p);
    ix_unflatten(lo->ir, inner, w->dims + w->split, w->n - w->split, f->point[i].p + w->split);
}

void fold_set_row(Lower *lo, Fold *f, const Ix *p)
{
    f->npoint = 1;
    set_point(lo, f, 0, ix_int(lo->ir, 0), p);
}

static void all_results(Lower *lo, Fold *f)
{
    if (f->full_results)
        fold_full_results(lo, f);
    team_first(lo);
    fold_point_results(lo, f);
    scope_end(lo);
}

/* Of a GPU: a row per team. */
static void team_rows_phase(Lower *lo, Fold *f)
{
    KPhase *phase = kernel_phase(lo->k, "", f->p.inner, "folds rows");
    scope_begin(lo, phase);
    fold_team(lo, phase);
    fold_set_row(lo, f, scope_var(lo, lower_task(lo), f->p.inner));
    fold_whole_range(lo, f);
    fold_chunks(lo, f);
    fold_passes(lo, f);
    all_results(lo, f);
}

void fold_team(Lower *lo, KPhase *phase)
{
    int64_t team = lower_config(lo, "team");
    if (team > 32)
        phase->threads = (uint32_t)team;
    if (team > 1)
        team_begin(lo, phase, team);
}

static void rows_phase(Lower *lo, Fold *f)
{
    Kernel *k = lo->k;
    if (k->threads) {
        team_rows_phase(lo, f);
        return;
    }
    int64_t grain = lower_config(lo, "grain"), rows = dim_hi(lo->ir, f->p.inner);
    grain = grain > 0 ? grain : 1;
    const Dim *tasks = grain == 1 ? f->p.inner : dim_const(lo->ir, ceil_div(rows, grain));
    KPhase *phase = kernel_phase(k, "", tasks, "folds rows");
    scope_begin(lo, phase);
    const KExpr *from = ke_mul(lo, lower_task(lo), ke_int(k, grain));
    const KExpr *to = ke_min(lo, ke_add(lo, from, ke_int(k, grain)), ke_extent(k, f->p.inner));
    const Ix *p =
        scope_loop(lo, &(LoopSpec){.stem = "p", .lo = from, .hi = to, .extent = f->p.inner});
    fold_set_row(lo, f, p);
    fold_whole_range(lo, f);
    fold_passes(lo, f);
    all_results(lo, f);
    scope_end(lo);
}

/* ---- columns ---- */

typedef void (*PointsFn)(Lower *lo, Fold *f, const KExpr *lanes);

typedef struct Strip {
    Fold *f;
    const Ix *outer;
    PointsFn body;
} Strip;

/* n whole vectors of columns, from `at` on. */
static void strip_points(Lower *lo, Strip *s, const KExpr *at, uint32_t n)
{
    Fold *f = s->f;
    f->npoint = n;
    for (uint32_t i = 0; i < n; i++) {
        const KExpr *v = ke_add(lo, at, ke_int(lo->k, (int64_t)i * lo->k->width));
        set_point(lo, f, i, s->outer, scope_vector_var(lo, v, f->p.inner, NULL));
    }
}

static void strip_lanes(Lower *lo, const Ix *v, void *user)
{
    Strip *s = user;
    s->f->npoint = 1;
    set_point(lo, s->f, 0, s->outer, v);
    s->body(lo, s->f, lo->var[lo->nvar - 1].lanes);
}

/* Columns [from, to): several vectors at a time, then one by one. */
static void walk_columns(Lower *lo, Strip *s, const KExpr *from, const KExpr *to, int64_t strip)
{
    Kernel *k = lo->k;
    int64_t w = k->width, n = strip / w, columns;
    n = n > FOLD_MAX_POINTS ? FOLD_MAX_POINTS : n;
    bool whole = dim_is_const(s->f->p.inner, &columns) && columns % w == 0;
    const KExpr *rest = from;
    if (n > 1) {
        scope_loop(lo, &(LoopSpec){.stem = "p",
                                   .lo = from,
                                   .hi = ke_sub(lo, to, ke_int(k, n * w - 1)),
                                   .extent = s->f->p.inner,
                                   .step = n * w});
        const KExpr *at = lo->var[lo->nvar - 1].at;
        strip_points(lo, s, at, (uint32_t)n);
        s->body(lo, s->f, NULL);
        scope_end(lo);
        const KExpr *size = ke_int(k, n * w), *span = ke_sub(lo, to, from);
        rest = ke_add(lo, from, ke_mul(lo, ke_index(k, KI_DIV, span, size), size));
        int64_t fixed;
        if (!ke_is_int(rest, &fixed))
            rest = ks_let(k, lo->scope->block, "rest", rest);
    }
    LanesSpec spec = {.stem = "p", .lo = rest, .hi = to, .extent = s->f->p.inner, .whole = whole};
    lower_lanes(lo, &spec, strip_lanes, s);
}

static void fold_and_store(Lower *lo, Fold *f, const KExpr *lanes)
{
    UNUSED(lanes);
    fold_whole_range(lo, f);
    fold_passes(lo, f);
    all_results(lo, f);
}

/* A strip of columns per task: whole cache lines, which on a GPU neighbouring threads read together. */
static int64_t strip_of(Lower *lo, const Fold *f)
{
    if (lo->k->threads)
        return lo->k->width;
    int64_t w = lo->k->width, grain = lower_config(lo, "grain");
    int64_t columns = ceil_div(dim_hi(lo->ir, f->p.inner), w) * w;
    int64_t least = w > 16 ? w : 16;
    grain = ceil_div(grain > least ? grain : least, w) * w;
    return grain < columns ? grain : columns > 0 ? columns : w;
}

static void columns_phase(Lower *lo, Fold *f)
{
    Kernel *k = lo->k;
    int64_t strip = strip_of(lo, f), strips = ceil_div(dim_hi(lo->ir, f->p.inner), strip);
    strips = strips > 0 ? strips : 1;
    KPhase *phase = kernel_phase(k, "", dim_mul(lo->ir, f->p.outer, dim_const(lo->ir, strips)),
                                 "folds columns");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, strips);
    bool one = dim_equals(f->p.outer, 1);
    const KExpr *at = ke_mul(lo, one ? task : ke_index(k, KI_MOD, task, n), ke_int(k, strip));
    const KExpr *from = ks_let(k, &phase->body, "from", at);
    const KExpr *end = ke_min(lo, ke_add(lo, from, ke_int(k, strip)), ke_extent(k, f->p.inner));
    const KExpr *to = ks_let(k, &phase->body, "to", end);
    const KExpr *outer = one ? ke_int(k, 0) : ke_index(k, KI_DIV, task, n);
    Strip s = {.f = f, .body = fold_and_store};
    s.outer = scope_var(lo, outer, f->p.outer);
    walk_columns(lo, &s, from, to, strip);
}

/* ---- two phases ---- */

uint32_t fold_partials(Lower *lo, const Node *fold, const Dim *count)
{
    DType dt = fold->in[0]->type->dtype;
    if (dtype_info(dt)->bytes < 4)
        dt = dtype_is_float(dt) ? DT_F32 : DT_I32;
    return kernel_workspace(lo->k, "partial", dt, count);
}

/* Partial results: [part][element of P] per fold. */
static void make_partials(Lower *lo, Fold *f)
{
    f->partial = NEW_ARRAY(lo->arena, uint32_t, lo->body->nodes.n);
    const Dim *count =
        dim_mul(lo->ir, dims_product(lo->ir, f->pdims, f->np), dim_const(lo->ir, f->split));
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        if (op_info(n->op)->cls == OC_REDUCE)
            f->partial[i] = fold_partials(lo, n, count);
    }
}

static void fold_part(Lower *lo, Fold *f, const KExpr *lanes)
{
    UNUSED(lanes);
    Kernel *k = lo->k;
    part_range(lo, f, f->part);
    fold_passes(lo, f);
    const KExpr *row = ke_mul(lo, f->part, ke_extent(k, dims_product(lo->ir, f->pdims, f->np)));
    team_first(lo);
    for (uint32_t p = 0; p < f->npoint; p++) {
        const Ix *linear = ix_flatten(lo->ir, f->pdims, f->point[p].p, f->np);
        const KExpr *at = ke_add(lo, row, lower_index(lo, linear));
        uint32_t v = index_vector_var(lo, &linear, 1);
        for (uint32_t i = 0; i < lo->body->nodes.n; i++)
            if (op_info(lo->body->nodes.at[i]->op)->cls == OC_REDUCE)
                ks_store(k, lo->scope->block, f->partial[i], at, f->point[p].seed[i])->lanes =
                    v == NO_VAR ? NULL : lo->var[v].lanes;
    }
    scope_end(lo);
}

typedef struct Parts {
    Fold *f;
    FoldLines lines;
} Parts;

static void join_parts(Lower *lo, const Ix *p, void *user)
{
    Parts *parts = user;
    Fold *f = parts->f;
    f->npoint = 1;
    ix_unflatten(lo->ir, p, f->pdims, f->np, f->point[0].p);
    fold_join_lines(lo, &parts->lines, f->point[0].seed);
    lo->seed_scope = lo->scope;
    fold_point_results(lo, f);
}

/* All folds of the body. */
static const Node **collect_folds(const Lower *lo, uint32_t *n)
{
    const Node **fold = NEW_ARRAY(lo->arena, const Node *, lo->body->nodes.n + (size_t)1);
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (op_info(lo->body->nodes.at[i]->op)->cls == OC_REDUCE)
            fold[(*n)++] = lo->body->nodes.at[i];
    return fold;
}

/* Of a GPU: a row and part per team, or a strip of columns and part per thread, strips next to each other. */
static void team_parts_phase(Lower *lo, Fold *f)
{
    Kernel *k = lo->k;
    int64_t strips = f->columns ? ceil_div(dim_hi(lo->ir, f->p.inner), strip_of(lo, f)) : 1;
    const Dim *count = f->columns ? f->p.outer : f->p.inner;
    const Dim *tasks = dim_mul(lo->ir, count, dim_const(lo->ir, f->split * strips));
    KPhase *phase = kernel_phase(k, "parts", tasks, "folds parts of R");
    scope_begin(lo, phase);
    if (!f->columns)
        fold_team(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, strips);
    const KExpr *strip = ke_index(k, KI_MOD, task, n);
    task = ks_let(k, &phase->body, "row", ke_index(k, KI_DIV, task, n));
    f->part = ks_let(k, &phase->body, "part", ke_index(k, KI_MOD, task, ke_int(k, f->split)));
    const Ix *p = scope_var(lo, ke_index(k, KI_DIV, task, ke_int(k, f->split)), count);
    if (f->columns) {
        Strip s = {.f = f, .outer = p, .body = fold_part};
        int64_t width = strip_of(lo, f);
        const KExpr *from = ks_let(k, &phase->body, "from", ke_mul(lo, strip, ke_int(k, width)));
        const KExpr *end = ke_min(lo, ke_add(lo, from, ke_int(k, width)), ke_extent(k, f->p.inner));
        walk_columns(lo, &s, from, ks_let(k, &phase->body, "to", end), width);
    } else {
        f->npoint = 1;
        set_point(lo, f, 0, ix_int(lo->ir, 0), p);
        fold_part(lo, f, NULL);
    }
    fold_select(lo, f, NULL);
}

static void parts_phase(Lower *lo, Fold *f)
{
    Kernel *k = lo->k;
    if (k->threads) {
        team_parts_phase(lo, f);
        return;
    }
    const Dim *count = f->columns ? f->p.outer : f->p.inner;
    KPhase *phase = kernel_phase(k, "parts", dim_mul(lo->ir, count, dim_const(lo->ir, f->split)),
                                 "folds parts of R");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, f->split);
    f->part = ks_let(k, &phase->body, "part", ke_index(k, KI_MOD, task, n));
    const Ix *p = scope_var(lo, ke_index(k, KI_DIV, task, n), count);
    if (f->columns) {
        Strip s = {.f = f, .outer = p, .body = fold_part};
        const KExpr *end = ke_extent(k, f->p.inner);
        walk_columns(lo, &s, ke_int(k, 0), end, FOLD_MAX_POINTS * (int64_t)k->width);
    } else {
        f->npoint = 1;
        set_point(lo, f, 0, ix_int(lo->ir, 0), p);
        fold_part(lo, f, NULL);
    }
    fold_select(lo, f, NULL);
}

static void split_phases(Lower *lo, Fold *f)
{
    Kernel *k = lo->k;
    make_partials(lo, f);
    parts_phase(lo, f);
    const Dim *count = dims_product(lo->ir, f->pdims, f->np);
    Parts parts = {f, {.partial = f->partial, .columns = count, .count = f->split}};
    parts.lines.fold = collect_folds(lo, &parts.lines.nfold);
    fold_group_lines(lo, &parts.lines);
    int64_t all = larger(dim_hi(lo->ir, count), 1), each = lo->scalar ? 1 : k->width;
    if (!k->threads)
        each = all;
    const Dim *tasks = dim_const(lo->ir, ceil_div(all, each));
    scope_begin(lo, kernel_phase(k, "", tasks, "joins the parts in order"));
    LanesSpec spec = {.stem = "p", .lo = ke_int(k, 0), .hi = ke_extent(k, count), .extent = count};
    if (k->threads) {
        spec.lo = ke_mul(lo, lower_task(lo), ke_int(k, each));
        spec.hi = ke_min(lo, ke_add(lo, spec.lo, ke_int(k, each)), spec.hi);
    }
    lower_lanes(lo, &spec, join_parts, &parts);
}

int64_t fold_choose_unroll(const Lower *lo, const Fold *f)
{
    int64_t inner = dim_hi(lo->ir, f->r.inner);
    bool costly = lo->scalar || lo->k->threads || inner < LONG_ROW * (int64_t)lo->k->width;
    bool *behind = NEW_ARRAY(lo->arena, bool, lo->body->nodes.n + (size_t)1); /* a product */
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        behind[i] = op_info(n->op)->cls == OC_CONTRACT;
        for (uint32_t k = 0; k < n->nin; k++)
            behind[i] = behind[i] || behind[n->in[k]->id];
        costly = costly || (!behind[i] && op_info(n->op)->cost >= COSTLY);
    }
    return costly ? 1 : ROW_UNROLL;
}

void fold_choose_passes(Lower *lo, Fold *f)
{
    f->unroll = fold_choose_unroll(lo, f);
    choose_kept(lo, f);
    lo->user = f;
    lo->kept = f->nkept > 0 ? load_kept : NULL;
}

void lower_reduce(Lower *lo)
{
    Fold *f = NEW(lo->arena, Fold);
    fold_analyse(lo, f);
    choose_loops(lo, f);
    f->split = lower_config(lo, lo->k->threads && f->columns ? "columns" : "split");
    if (f->split > 1 && can_split(lo, f)) {
        f->unroll = fold_choose_unroll(lo, f);
        split_phases(lo, f);
    } else {
        fold_choose_passes(lo, f);
        if (f->columns && !lo->k->threads && fold_streams_columns(lo, f)) {
            fold_stream_columns(lo);
            return;
        }
        if (f->columns)
            columns_phase(lo, f);
        else
            rows_phase(lo, f);
    }
    fold_select(lo, f, NULL);
}

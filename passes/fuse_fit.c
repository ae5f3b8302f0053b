/* fuse_fit.c: which groups a kernel class can hold: the CLASS, RED, EPI, RES and MAP rules of
 * compiler.md 4.9. The answer is a class, or a code with a phrase that reads after
 * "refused X: CODE ...". */
#include "fuse_groups.h"
#include "products.h"

#include <string.h>

enum { TRIVIAL_COST = 4 };

bool fuse_is_trivial(const Fuse *fx, const Node *n)
{
    const Cone *c = &fx->cone[n->id];
    return n->type->rank == 0 && !c->computed && !c->reads_leaf && c->cost <= TRIVIAL_COST;
}

static Verdict refuse(FuseCode code, const char *why)
{
    return (Verdict){code, why};
}

static const Verdict fine = {FUSE_OK, NULL};

/* ---- map and reduce ---- */

static Verdict fit_map(Fuse *fx, const Body *body)
{
    const Type *root = fuse_node(fx, body->stored.at[0])->type;
    for (uint32_t i = 1; i < body->stored.n; i++) {
        if (!type_same_dims(fuse_node(fx, body->stored.at[i])->type, root))
            return refuse(FUSE_MAP, "its results have another shape");
    }
    return body->kept.n > 1 ? fuse_check_maps(fx, body) : fine;
}

bool fuse_same_fold(const Node *a, const Node *b)
{
    int64_t x[IR_MAX_RANK], y[IR_MAX_RANK];
    uint32_t nx = fold_axes(a, x), ny = fold_axes(b, y);
    if (nx != ny || !type_same_dims(a->in[0]->type, b->in[0]->type))
        return false;
    for (uint32_t i = 0; i < nx; i++) {
        if (x[i] != y[i])
            return false;
    }
    return true;
}

bool fuse_is_long_fold(const Fuse *fx, const Node *fold)
{
    double rows = fuse_count(fx, fold->type), all = fuse_count(fx, fold->in[0]->type);
    return rows < FUSE_TINY_ROWS && all > FUSE_LONG_FOLD * rows;
}

/* Few rows with long folds are folded in two phases, which hold no second look at the row. */
static Verdict fit_long_fold(Fuse *fx, const Body *body, const Node *fold)
{
    if (!fuse_is_long_fold(fx, fold))
        return fine;
    Verdict no = refuse(FUSE_RED, "few long rows are folded in two phases");
    for (uint32_t i = 0; i < body->stored.n; i++) {
        if (!type_same_dims(fuse_node(fx, body->stored.at[i])->type, fold->type))
            return no;
    }
    bool *member = NEW_ARRAY(fx->scratch, bool, fx->n);
    bool *after = NEW_ARRAY(fx->scratch, bool, fx->n); /* a fold, or computed from one */
    for (uint32_t i = 0; i < body->members.n; i++)
        member[body->members.at[i]] = true;
    for (uint32_t id = 0; id < fx->n; id++) {
        const Node *n = fuse_node(fx, id);
        OpClass cls = fuse_class(n);
        if (fuse_is_read(fx, body, id) || (cls != OC_VIEW && !member[id]))
            continue;
        for (uint32_t k = 0; k < n->nin; k++)
            after[id] = after[id] || after[n->in[k]->id];
        if (cls == OC_REDUCE && after[id])
            return no;
        after[id] = after[id] || cls == OC_REDUCE;
    }
    return fine;
}

const Node *fuse_first_fold(const Fuse *fx, const Body *body)
{
    const Node *first = NULL;
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE &&
            (!first || (node_folds_last(n) && !node_folds_last(first))))
            first = n;
    }
    return first;
}

bool fuse_is_wide_column(const Fuse *fx, const Body *body)
{
    const Node *fold = fuse_first_fold(fx, body);
    int64_t axes[IR_MAX_RANK];
    if (!fold)
        return false;
    const Type *full = fold->in[0]->type;
    uint32_t n = fold_axes(fold, axes);
    for (uint32_t i = 0; i < n; i++) {
        if (axes[i] == (int64_t)full->rank - 1)
            return false;
    }
    for (uint32_t i = 0; i < body->stored.n; i++) {
        if (type_same_dims(fuse_node(fx, body->stored.at[i])->type, full))
            return true;
    }
    return false;
}

static Verdict fit_reduce(Fuse *fx, const Body *body)
{
    const Node *fold = NULL;
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) != OC_REDUCE)
            continue;
        fold = fold ? fold : n;
        if (!fuse_same_fold(fold, n))
            return refuse(FUSE_RED, "they fold over different spaces");
    }
    ASSERT(fold != NULL);
    Verdict v = fit_long_fold(fx, body, fold);
    return v.code == FUSE_OK ? fuse_check_maps(fx, body) : v;
}

/* ---- rows and columns ---- */

static bool folds_both(const Fuse *fx, const Body *body)
{
    bool found[2] = {false, false};
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE)
            found[node_folds_last(n)] = true;
    }
    return found[0] && found[1];
}

/* Whether `fold` folds exactly the axes that `row`, over the same space, leaves. */
static bool folds_columns(const Node *row, const Node *fold)
{
    int64_t x[IR_MAX_RANK], y[IR_MAX_RANK];
    uint32_t nx = fold_axes(row, x), ny = fold_axes(fold, y), rank = row->in[0]->type->rank;
    if (!type_same_dims(row->in[0]->type, fold->in[0]->type) || nx + ny != rank ||
        fold->attr[0].kind == AK_INT) /* an index is found along rows only */
        return false;
    for (uint32_t i = 0; i < nx; i++)
        for (uint32_t k = 0; k < ny; k++)
            if (x[i] == y[k])
                return false;
    return true;
}

/* Each task has a block of rows and sums of columns of its own, which are joined afterwards. So rows must be
 * long enough for lanes, and so many that the sums are few beside them. */
static Verdict fit_row_col(Fuse *fx, const Body *body)
{
    const Node *row = fuse_first_fold(fx, body);
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE && !fuse_same_fold(row, n) && !folds_columns(row, n))
            return refuse(FUSE_RED, "they fold over different spaces");
    }
    double rows = fuse_count(fx, row->type), all = fuse_count(fx, row->in[0]->type);
    if (all < rows * fx->cx->target->vector)
        return refuse(FUSE_COST, "rows are too short to be folded along");
    if (rows < FUSE_TINY_ROWS && all > FUSE_LONG_FOLD * FUSE_TINY_ROWS)
        return refuse(FUSE_COST, "few long rows, whose columns have no tasks");
    if (fuse_is_long_fold(fx, row))
        return refuse(FUSE_RED, "few long rows are folded in two phases");
    return fuse_check_maps(fx, body);
}

/* ---- composites ---- */

/* A composite that a class claims, and elementwise work behind it: the class is asked for the body with it. */
static Verdict fit_call(Fuse *fx, const Body *body, KernelClass *cls)
{
    const Verdict no = refuse(FUSE_CLASS, "a composite that a class claims is a group of its own");
    const Node *call = NULL;
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        call = fuse_class(n) == OC_CALL ? n : call;
    }
    if (body->b == FUSE_NONE || body->nclass[OC_CALL] > 1 || !call)
        return no;
    const FGroup *a = fx->groups.at[body->a], *b = fx->groups.at[body->b];
    const FGroup *first = a->pos < b->pos ? a : b, *last = a->pos < b->pos ? b : a;
    KernelClass found;
    if (last->cls != KC_MAP || first->cls == KC_MAP)
        return no;
    const Graph *g = fuse_body(fx, body, NULL, &body->reads);
    *cls = first->cls;
    return claim_by_all(fx->cx, node_def(call)->name, g, &found) && found == first->cls ? fine : no;
}

/* ---- by class ---- */

static Verdict choose(const Body *body, KernelClass *cls)
{
    uint32_t dots = body->nclass[OC_CONTRACT], folds = body->nclass[OC_REDUCE];
    uint32_t scatters = body->nclass[OC_SCATTER], multis = body->nclass[OC_MULTI];
    uint32_t scans = body->nclass[OC_SCAN], sorts = body->nclass[OC_SORT];
    uint32_t updates = body->nclass[OC_UPDATE];
    uint32_t rows = dots > 0 ? 0 : updates; /* that no product writes */
    uint32_t alone = scatters + multis + scans + sorts + rows;
    if (body->nclass[OC_LOOP] > 0)
        return refuse(FUSE_CLASS, "a loop is no kernel");
    if (alone > 1 || (alone > 0 && dots > 0) || (alone > rows && updates > 0))
        return refuse(FUSE_CLASS, "no class holds both");
    if (dots > PRODUCTS_MOST)
        return refuse(FUSE_RES, "more than 8 products");
    if (alone > 0 && (folds > 0 || (body->kept.n > 1 && !scatters)))
        return refuse(FUSE_CLASS, scatters  ? "a scatter folds nothing else"
                                  : multis  ? "a table has no epilogue"
                                  : updates ? "rows written into a tensor have no epilogue"
                                            : "lines of an axis have no epilogue");
    *cls = dots       ? KC_GEMM
           : scatters ? KC_SCATTER
           : multis   ? KC_MULTI_SUMSQ
           : scans    ? KC_PREFIX
           : sorts    ? KC_SORT
           : updates  ? KC_UPDATE
           : folds    ? KC_REDUCE
                      : KC_MAP;
    return fine;
}

/* Results are elementwise over what the scatter sums up, each cell of which is known once. */
static Verdict fit_scatter(Fuse *fx, const Body *body)
{
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        const Node *result = fuse_node(fx, body->stored.at[0]);
        if (fuse_class(n) == OC_SCATTER && !type_same_dims(n->type, result->type))
            return refuse(FUSE_MAP, "its results have another shape");
    }
    return fuse_check_maps(fx, body);
}

Verdict fuse_fits(Fuse *fx, const Body *body, KernelClass *cls)
{
    arena_reset(fx->scratch);
    bool call = body->nclass[OC_CALL] > 0;
    Verdict v = call ? fine : choose(body, cls);
    if (v.code != FUSE_OK)
        return v;
    if (!call && ((*cls == KC_SCATTER && body->kept.n == 1) || *cls == KC_MULTI_SUMSQ ||
                  *cls == KC_PREFIX || *cls == KC_SORT || *cls == KC_UPDATE))
        return fine;
    if (body->reads.n > FUSE_INPUTS)
        return refuse(FUSE_RES, "more than 24 inputs");
    if (body->stored.n > FUSE_RESULTS)
        return refuse(FUSE_RES, "more than 8 results");
    if (body->members.n > FUSE_NODES)
        return refuse(FUSE_RES, "more than 512 nodes");
    if (call)
        return fit_call(fx, body, cls);
    if (*cls == KC_GEMM)
        return fuse_fit_gemm(fx, body);
    if (*cls == KC_SCATTER)
        return fit_scatter(fx, body);
    if (*cls == KC_REDUCE && folds_both(fx, body)) {
        *cls = KC_ROW_COL;
        return fit_row_col(fx, body);
    }
    return *cls == KC_REDUCE ? fit_reduce(fx, body) : fit_map(fx, body);
}

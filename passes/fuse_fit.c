/* fuse_fit.c: which groups a kernel class can hold: the CLASS, RED, EPI, RES and MAP rules of
 * compiler.md 4.9. The answer is a class, or a code with a phrase that reads after
 * "refused X: CODE ...". */
#include "fuse_groups.h"

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

static bool same_fold(const Node *a, const Node *b)
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
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE)
            return n;
    }
    return NULL;
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
        if (!same_fold(fold, n))
            return refuse(FUSE_RED, "they fold over different spaces");
    }
    ASSERT(fold != NULL);
    Verdict v = fit_long_fold(fx, body, fold);
    return v.code == FUSE_OK ? fuse_check_maps(fx, body) : v;
}

/* ---- gemm ---- */

typedef struct Epilogue {
    Fuse *fx;
    const Body *body;
    const Type *space;
    bool *seen;    /* by node */
    uint8_t *side; /* by node: 1 may be read through views, 2 not */
} Epilogue;

/* What the epilogue reads through views must not be computed here, but for trivial scalars. */
static bool is_side_input(Epilogue *e, const Node *n)
{
    if (fuse_is_read(e->fx, e->body, n->id) || fuse_class(n) == OC_LEAF)
        return true;
    if (fuse_class(n) != OC_VIEW)
        return fuse_is_trivial(e->fx, n);
    if (e->side[n->id])
        return e->side[n->id] == 1;
    bool ok = true;
    for (uint32_t k = 0; k < n->nin; k++)
        ok = ok && is_side_input(e, n->in[k]);
    e->side[n->id] = ok ? 1 : 2;
    return ok;
}

static Verdict fit_epilogue(Epilogue *e, const Node *n)
{
    if (e->seen[n->id])
        return fine;
    e->seen[n->id] = true;
    OpClass cls = fuse_class(n);
    if (fuse_is_read(e->fx, e->body, n->id) || cls == OC_LEAF || cls == OC_CONTRACT)
        return fine;
    if (cls == OC_VIEW)
        return is_side_input(e, n) ? fine : refuse(FUSE_EPI, "the result is read at another index");
    if (cls != OC_ELEM || !type_same_dims(n->type, e->space))
        return refuse(FUSE_EPI, "an epilogue is elementwise over the result");
    for (uint32_t k = 0; k < n->nin; k++) {
        Verdict v = fit_epilogue(e, n->in[k]);
        if (v.code != FUSE_OK)
            return v;
    }
    return fine;
}

/* Operands are evaluated while packing, some more than once: nothing there is stored. */
static bool operand_keeps(const Epilogue *e, const Node *n)
{
    if (e->seen[n->id] || fuse_is_read(e->fx, e->body, n->id))
        return false;
    e->seen[n->id] = true;
    if (ids_has(&e->body->kept, n->id) && fuse_class(n) != OC_CONTRACT)
        return true;
    for (uint32_t k = 0; k < n->nin; k++) {
        if (operand_keeps(e, n->in[k]))
            return true;
    }
    return false;
}

static Verdict fit_gemm(Fuse *fx, const Body *body)
{
    const Node *dot = NULL;
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_CONTRACT)
            dot = n;
    }
    ASSERT(dot != NULL);
    Epilogue e = {.fx = fx, .body = body, .space = dot->type};
    e.seen = NEW_ARRAY(fx->scratch, bool, fx->n);
    e.side = NEW_ARRAY(fx->scratch, uint8_t, fx->n);
    if (operand_keeps(&e, dot))
        return refuse(FUSE_CLASS, "a gemm does not store its operands");
    memset(e.seen, 0, fx->n * sizeof *e.seen);
    for (uint32_t i = 0; i < body->stored.n; i++) {
        const Node *n = fuse_node(fx, body->stored.at[i]);
        OpClass cls = fuse_class(n);
        if ((cls != OC_ELEM && cls != OC_CONTRACT) || !type_same_dims(n->type, dot->type))
            return refuse(FUSE_EPI, "an epilogue is elementwise over the result");
        Verdict v = fit_epilogue(&e, n);
        if (v.code != FUSE_OK)
            return v;
    }
    return fine;
}

/* ---- by class ---- */

static Verdict choose(const Body *body, KernelClass *cls)
{
    uint32_t dots = body->nclass[OC_CONTRACT], folds = body->nclass[OC_REDUCE];
    uint32_t scatters = body->nclass[OC_SCATTER], multis = body->nclass[OC_MULTI];
    uint32_t scans = body->nclass[OC_SCAN], sorts = body->nclass[OC_SORT];
    uint32_t updates = body->nclass[OC_UPDATE];
    uint32_t alone = scatters + multis + scans + sorts + updates;
    if (body->nclass[OC_LOOP] > 0)
        return refuse(FUSE_CLASS, "a loop is no kernel");
    if (body->nclass[OC_CALL] > 0)
        return refuse(FUSE_CLASS, "a composite that a class claims is a group of its own");
    if (dots + alone > 1 || (dots > 0 && folds > 0))
        return refuse(FUSE_CLASS,
                      dots > 0 && folds > 0 ? "a gemm keeps no rows" : "no class holds both");
    if (alone > 0 && (folds > 0 || body->kept.n > 1))
        return refuse(FUSE_CLASS, scatters  ? "a scatter has no epilogue"
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

Verdict fuse_fits(Fuse *fx, const Body *body, KernelClass *cls)
{
    arena_reset(fx->scratch);
    Verdict v = choose(body, cls);
    if (v.code != FUSE_OK)
        return v;
    if (*cls == KC_SCATTER || *cls == KC_MULTI_SUMSQ || *cls == KC_PREFIX || *cls == KC_SORT ||
        *cls == KC_UPDATE)
        return fine;
    if (body->reads.n > FUSE_INPUTS)
        return refuse(FUSE_RES, "more than 24 inputs");
    if (body->stored.n > FUSE_RESULTS)
        return refuse(FUSE_RES, "more than 8 results");
    if (body->members.n > FUSE_NODES)
        return refuse(FUSE_RES, "more than 512 nodes");
    if (*cls == KC_GEMM)
        return fit_gemm(fx, body);
    return *cls == KC_REDUCE ? fit_reduce(fx, body) : fit_map(fx, body);
}

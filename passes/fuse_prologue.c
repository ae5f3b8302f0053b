/* fuse_prologue.c: folds that the left operands of products need, as a norm before a projection: a prologue.
 *
 * A task of a product of few rows has all of them, so it can fold them itself before it multiplies: that is a few
 * thousand elements, which lie in a cache, beside the columns of weights that it reads. What is made of the folds is
 * found again for each element of the operand, and stored nowhere. Whether it pays is a matter of cost: every task
 * does it again. */
#include "fuse_groups.h"
#include "pick.h"
#include "products.h"

enum { BELOW_FOLD = 1, BELOW_DOT = 2, BELOW_SEEN = 4 };

typedef struct Rows {
    Fuse *fx;
    const Body *body;
    uint8_t *below; /* by node: what it is, or is computed from */
} Rows;

static Verdict refuse(FuseCode code, const char *why)
{
    return (Verdict){code, why};
}

static const Verdict fine = {FUSE_OK, NULL};

static uint8_t below(Rows *r, const Node *n)
{
    if (r->below[n->id])
        return r->below[n->id];
    uint8_t found = BELOW_SEEN;
    if (!fuse_is_read(r->fx, r->body, n->id)) {
        found |= fuse_class(n) == OC_REDUCE     ? BELOW_FOLD
                 : fuse_class(n) == OC_CONTRACT ? BELOW_DOT
                                                : 0;
        for (uint32_t k = 0; k < n->nin; k++)
            found |= below(r, n->in[k]);
    }
    r->below[n->id] = found;
    return found;
}

/* ---- the products ---- */

/* Rows and columns of a product without batch. */
static bool shape_of(const Fuse *fx, const Node *dot, double *rows, double *columns)
{
    DotAxes x;
    node_dot_axes(dot, &x);
    const Type *a = dot->in[0]->type;
    double depth = 1, batch = 1;
    for (uint32_t i = 0; i < x.ncontract; i++)
        depth *= (double)dim_hi(fx->cx->ir, a->dims[x.a_contract[i]]);
    for (uint32_t i = 0; i < x.nbatch; i++)
        batch *= (double)dim_hi(fx->cx->ir, a->dims[x.a_batch[i]]);
    *rows = depth > 0 ? fuse_count(fx, a) / depth : 0;
    *columns = depth > 0 ? fuse_count(fx, dot->in[1]->type) / depth : 0;
    return batch == 1;
}

static ProductsFew few_of(const Fuse *fx, const Node *dot)
{
    DType a = products_operand(dot->in[0]), b = products_operand(dot->in[1]);
    return products_few(fx->cx->target, a == b ? a : DT_F32);
}

static Verdict fit_product(Rows *r, const Node *dot, const Node *fold)
{
    double rows, columns, most = (double)few_of(r->fx, dot).rows;
    bool left = below(r, dot->in[0]) & BELOW_FOLD, right = below(r, dot->in[1]) & BELOW_FOLD;
    if (!left && !right)
        return fine;
    bool alone = shape_of(r->fx, dot, &rows, &columns);
    if (right || rows > most)
        return refuse(FUSE_CLASS, "a gemm keeps no rows");
    if (!alone)
        return refuse(FUSE_COST, "each member of a batch would fold all rows");
    if (columns < 2)
        return refuse(FUSE_COST, "a single column has no tasks that share rows");
    return fuse_count(r->fx, fold->type) > most
               ? refuse(FUSE_RED, "more rows are folded than the product has")
               : fine;
}

static Verdict fit_fold(const Fuse *fx, const Node *first, const Node *n)
{
    if (!fuse_same_fold(first, n))
        return refuse(FUSE_RED, "they fold over different spaces");
    if (!node_folds_last(n))
        return refuse(FUSE_RED, "columns are folded before a product");
    if (fuse_is_long_fold(fx, n))
        return refuse(FUSE_RED, "few long rows are folded in two phases");
    if (n->type->dtype != DT_F32 || n->in[0]->type->dtype != DT_F32)
        return refuse(FUSE_CLASS, "a product keeps folds of float32 only");
    return fine;
}

Verdict fuse_fit_prologue(Fuse *fx, const Body *body)
{
    Rows r = {.fx = fx, .body = body, .below = NEW_ARRAY(fx->scratch, uint8_t, fx->n + 1)};
    const Node *fold = fuse_first_fold(fx, body);
    bool read = false;
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE && below(&r, n) & BELOW_DOT)
            return refuse(FUSE_CLASS, "a gemm keeps no rows");
        read = read || (fuse_class(n) == OC_CONTRACT && below(&r, n) & BELOW_FOLD);
    }
    Verdict v = read ? fine : refuse(FUSE_CLASS, "a gemm keeps no rows");
    for (uint32_t i = 0; i < body->members.n && v.code == FUSE_OK; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_CONTRACT)
            v = fit_product(&r, n, fold);
    }
    for (uint32_t i = 0; i < body->members.n && v.code == FUSE_OK; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        if (fuse_class(n) == OC_REDUCE)
            v = fit_fold(fx, fold, n);
    }
    return v.code == FUSE_OK ? fuse_check_folds(fx, body) : v;
}

/* ---- cost ---- */

/* Instructions for all elements of what lies below an operand, each node once. */
static double work_below(Fuse *fx, const Body *body, const Node *n)
{
    if (fx->mark[n->id] == fx->stamp || fuse_is_read(fx, body, n->id))
        return 0;
    fx->mark[n->id] = fx->stamp;
    OpClass cls = fuse_class(n);
    double work = 0;
    if (cls == OC_REDUCE || cls == OC_ELEM || cls == OC_GATHER)
        work = fuse_op_cost(n) * fuse_count(fx, cls == OC_REDUCE ? n->in[0]->type : n->type);
    for (uint32_t k = 0; k < n->nin; k++)
        work += work_below(fx, body, n->in[k]);
    return work;
}

double fuse_prologue_again(Fuse *fx, const Body *body)
{
    double work = 0, tasks = 0;
    fx->stamp++;
    for (uint32_t i = 0; i < body->members.n; i++) {
        const Node *n = fuse_node(fx, body->members.at[i]);
        double rows, columns;
        if (fuse_class(n) != OC_CONTRACT)
            continue;
        work += work_below(fx, body, n->in[0]);
        shape_of(fx, n, &rows, &columns);
        tasks += columns / (double)few_of(fx, n).columns;
    }
    return tasks > 1 ? (tasks - 1) * work : 0;
}

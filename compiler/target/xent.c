/* xent.c: which bodies are linear cross-entropies. A body is read by finding its operands first, at the
 * nodes that must be their readers, and then building the whole on a probe: what comes out must be the
 * nodes that are there. */
#include "xent.h"

enum { MOST_AFTER = 64 }; /* nodes of what is computed from a gradient */

typedef struct Reader {
    const Graph *g;
    Graph probe;
    Xent *x;
    uint32_t lead; /* number of row axes */
    const Type *scores, *rows;
    int64_t row_axes[IR_MAX_RANK], class_axis[1];
    const Node *zero; /* of scores */
} Reader;

/* ---- pieces ---- */

/* The first node of the kind that has `of` as operand k. */
static const Node *reader_of(const Reader *r, const Node *of, OpKind op, uint32_t k)
{
    for (uint32_t i = 0; i < r->g->nodes.n; i++) {
        const Node *n = r->g->nodes.at[i];
        if (n->op == op && n->in[k] == of)
            return n;
    }
    return NULL;
}

/* What n repeats for every class, or NULL. */
static const Node *of_row(const Reader *r, const Node *n)
{
    bool fits = n && n->op == OP_EXPAND && type_same_dims(n->type, r->scores) &&
                type_same_dims(n->in[0]->type, r->rows);
    return fits ? n->in[0] : NULL;
}

/* The row tensor of the operand of n that repeats one, and the other operand. */
static const Node *row_factor(const Reader *r, const Node *n, const Node **other)
{
    for (uint32_t k = 0; n && k < 2; k++) {
        const Node *row = of_row(r, n->in[k]);
        *other = n->in[1 - k];
        if (row)
            return row;
    }
    return NULL;
}

static const Node *by_class(Reader *r, const Node *row)
{
    return row ? graph_expand(&r->probe, row, r->lead + 1, r->scores->dims, r->row_axes) : NULL;
}

static const Node *fold(Reader *r, OpKind op, const Node *n)
{
    return graph_reduce(&r->probe, op, n, r->class_axis, 1);
}

static const Node *fill(Reader *r, const Type *t, double value)
{
    return graph_fill(&r->probe, type_with_dtype(r->g->ir, t, DT_F32), value);
}

static const Node *two(Reader *r, OpKind op, const Node *a, const Node *b)
{
    return graph_binary(&r->probe, op, a, b);
}

/* ---- the product ---- */

static bool read_scores(Reader *r)
{
    Xent *x = r->x;
    for (uint32_t i = 0; i < r->g->nodes.n && !x->dot; i++)
        if (op_info(r->g->nodes.at[i]->op)->cls == OC_CONTRACT)
            x->dot = r->g->nodes.at[i];
    if (!x->dot)
        return false;
    DotAxes axes;
    node_dot_axes(x->dot, &axes);
    x->x = x->dot->in[0];
    x->w = x->dot->in[1];
    uint32_t rank = x->x->type->rank;
    if (axes.nbatch != 0 || axes.ncontract != 1 || x->w->type->rank != 2 || rank < 2 ||
        axes.a_contract[0] != rank - 1 || axes.b_contract[0] != 1 || x->dot->type->dtype != DT_F32)
        return false;
    r->lead = rank - 1;
    r->scores = x->dot->type;
    r->rows = type_tensor(r->g->ir, DT_F32, r->lead, r->scores->dims);
    x->rows = type_count(r->g->ir, r->rows);
    for (uint32_t i = 0; i < r->lead; i++)
        r->row_axes[i] = i;
    r->class_axis[0] = r->lead;
    x->score = x->dot;
    static const DType half[] = {DT_BF16, DT_F16};
    for (size_t i = 0; i < COUNT(half) && x->score == x->dot; i++) {
        const Node *c = graph_cast(&r->probe, half[i], x->dot);
        x->score = c ? graph_cast(&r->probe, DT_F32, c) : x->dot;
    }
    r->zero = x->score ? fill(r, r->scores, 0) : NULL;
    return r->zero && dim_is_const(r->scores->dims[r->lead], &x->classes) &&
           dim_is_const(x->w->type->dims[1], &x->depth);
}

/* ---- forward ---- */

/* Classes equal to the targets, as the forward half writes it. */
static const Node *is_target(Reader *r, const Node *eq)
{
    Xent *x = r->x;
    const Node *index = graph_iota(&r->probe, r->lead + 1, r->scores->dims, r->lead), *other;
    if (!eq || eq->op != OP_EQ || !index)
        return NULL;
    x->targets = row_factor(r, eq, &other);
    return x->targets ? two(r, OP_EQ, by_class(r, x->targets), index) : NULL;
}

static bool read_forward(Reader *r)
{
    Xent *x = r->x;
    const Node *z = reader_of(r, x->score, OP_SELECT, 1);
    x->mask = z ? of_row(r, z->in[0]) : NULL;
    if (!x->mask || z != graph_select(&r->probe, by_class(r, x->mask), x->score, r->zero))
        return false;
    x->max = fold(r, OP_AMAX, z);
    const Node *e = graph_unary(&r->probe, OP_EXP, two(r, OP_SUB, z, by_class(r, x->max)));
    x->log_sum = graph_unary(&r->probe, OP_LOG, fold(r, OP_SUM, e));
    const Node *share = two(r, OP_DIV, z, fill(r, r->scores, (double)x->classes));
    x->mean = two(r, OP_SUB, fold(r, OP_SUM, share), x->max);
    const Node *hit = reader_of(r, z, OP_SELECT, 1);
    const Node *at = hit ? is_target(r, hit->in[0]) : NULL;
    if (at && graph_select(&r->probe, at, z, r->zero) == hit)
        x->hit = two(r, OP_SUB, fold(r, OP_SUM, hit), x->max);
    return x->max && x->log_sum;
}

/* ---- derivative ---- */

/* exp(score - max - log_sum); its reader multiplies by dlog_sum. */
static const Node *read_softmax(Reader *r)
{
    Xent *x = r->x;
    const Node *a = reader_of(r, x->score, OP_SUB, 0), *b = a ? reader_of(r, a, OP_SUB, 0) : NULL;
    const Node *max = a ? of_row(r, a->in[1]) : NULL, *log_sum = b ? of_row(r, b->in[1]) : NULL;
    if (!max || !log_sum || (x->max && (x->max != max || x->log_sum != log_sum)))
        return NULL;
    x->given_max = max;
    x->given_log_sum = log_sum;
    return graph_unary(&r->probe, OP_EXP, b);
}

/* select(class == target, dhit, 0) */
static const Node *read_hit(Reader *r, const Node *n)
{
    Xent *x = r->x;
    const Node *dims[] = {NULL, NULL}, *other;
    if (!n || n->op != OP_SELECT || n->in[2] != r->zero || n->in[0]->op != OP_EQ)
        return NULL;
    x->dhit = of_row(r, n->in[1]);
    const Node *targets = row_factor(r, n->in[0], &other);
    if (!x->dhit || !targets || (x->targets && x->targets != targets))
        return NULL;
    x->targets = targets;
    dims[0] = graph_iota(&r->probe, 1, r->scores->dims + r->lead, 0);
    dims[1] = dims[0]
                  ? graph_expand(&r->probe, dims[0], r->lead + 1, r->scores->dims, r->class_axis)
                  : NULL;
    const Node *eq = two(r, OP_EQ, dims[1], by_class(r, targets));
    return graph_select(&r->probe, eq, by_class(r, x->dhit), r->zero);
}

/* dlog_sum p + hit + dmean / classes, or NULL. */
static const Node *read_sum(Reader *r, const Node *p, const Node *sum)
{
    Xent *x = r->x;
    const Node *inner, *other, *product = NULL, *hit = NULL;
    const Node *share = row_factor(r, sum, &inner);
    if (!share || share->op != OP_DIV || inner->op != OP_ADD)
        return NULL;
    x->dmean = share->in[0];
    if (share != two(r, OP_DIV, x->dmean, fill(r, r->rows, (double)x->classes)))
        return NULL;
    for (uint32_t k = 0; k < 2; k++) {
        if (inner->in[k]->op == OP_MUL)
            product = inner->in[k];
        hit = hit ? hit : read_hit(r, inner->in[k]);
    }
    x->dlog_sum = product ? row_factor(r, product, &other) : NULL;
    if (!x->dlog_sum || !hit || product != two(r, OP_MUL, by_class(r, x->dlog_sum), p))
        return NULL;
    return two(r, OP_ADD, two(r, OP_ADD, product, hit), by_class(r, share));
}

/* n with its axes permuted, which may be written before a cast. */
static const Node *turned(Reader *r, const Node *n, const int64_t *perm)
{
    const Node *t = graph_permute(&r->probe, n, perm);
    if (t || !node_is_cast(n))
        return t;
    t = graph_permute(&r->probe, n->in[0], perm);
    return t ? graph_cast(&r->probe, n->type->dtype, t) : NULL;
}

static const Node *axis_first(Reader *r, const Node *n)
{
    int64_t perm[IR_MAX_RANK] = {r->lead};
    for (uint32_t i = 0; i < r->lead; i++)
        perm[i + 1] = i;
    return turned(r, n, perm);
}

/* As it is multiplied: rounded like the scores. */
static const Node *rounded(Reader *r, const Node *dz)
{
    const Node *score = r->x->score;
    return score == r->x->dot ? dz : graph_cast(&r->probe, score->in[0]->type->dtype, dz);
}

static const Node *widened(Reader *r, const Node *n)
{
    return !n || n->type->dtype == DT_F32 ? n : graph_cast(&r->probe, DT_F32, n);
}

/* Either product may be missing, and then what it alone reads is. */
static bool read_products(Reader *r, const Node *dz)
{
    Xent *x = r->x;
    const Node *half = rounded(r, dz), *wide = widened(r, half);
    static const int64_t across[] = {1, 0};
    const bool tf32 = node_int(x->dot, "tf32") != 0;
    DotAxes by = {.ncontract = 1, .a_contract = {r->lead}, .b_contract = {1}, .tf32 = tf32};
    const Node *wt = turned(r, x->w, across);
    x->dx = wt && wide ? graph_dot(&r->probe, wide, wt, &by) : NULL;
    by = (DotAxes){.ncontract = r->lead, .tf32 = tf32};
    for (uint32_t i = 0; i < r->lead; i++)
        by.a_contract[i] = by.b_contract[i] = i + 1;
    const Node *zt = wide ? axis_first(r, wide) : NULL, *xt = axis_first(r, x->x);
    zt = zt || !half ? zt : widened(r, axis_first(r, half));
    x->dw = zt && xt ? graph_dot(&r->probe, zt, xt, &by) : NULL;
    return x->dx || x->dw;
}

static bool read_gradient(Reader *r)
{
    Xent *x = r->x;
    const Node *p = read_softmax(r);
    for (uint32_t i = 0; p && i < r->g->nodes.n; i++) {
        const Node *n = r->g->nodes.at[i];
        const Node *mask = n->op == OP_SELECT ? of_row(r, n->in[0]) : NULL;
        if (!mask || n->in[2] != r->zero || n->in[1]->op != OP_ADD ||
            (x->mask && x->mask != mask) || read_sum(r, p, n->in[1]) != n->in[1])
            continue;
        x->mask = mask;
        return read_products(r, n);
    }
    return false;
}

/* ---- the whole ---- */

static bool is_half_of(const Node *n, const Node *of)
{
    return of && node_is_cast(n) && n->in[0] == of && dtype_is_half(n->type->dtype);
}

bool xent_is_result(const Graph *body, uint32_t r, const Node *n)
{
    const Node *result = body->results.at[r].node;
    return n && (result == n || is_half_of(result, n));
}

/* Whether n is elementwise computed from dw, if from anything that the body computes. left: nodes that are looked
 * at, at most. */
static bool follows(const Node *n, const Node *dw, bool *reads, int *left)
{
    OpClass cls = op_info(n->op)->cls;
    bool own = n == dw, fits = cls == OC_LEAF || cls == OC_ELEM || cls == OC_VIEW;
    if (!own && (!fits || --*left < 0))
        return false;
    for (uint32_t k = 0; k < n->nin && n != dw; k++)
        if (!follows(n->in[k], dw, &own, left))
            return false;
    *reads = *reads || own;
    return !own || n == dw || (cls == OC_ELEM && type_same_dims(n->type, dw->type));
}

/* The one result that dw has, as an accumulated gradient: computed from it. */
static bool is_after(Xent *x, const Graph *body, const Node *n)
{
    bool reads = false;
    int left = MOST_AFTER;
    if (!x->dw || !follows(n, x->dw, &reads, &left) || !reads)
        return false;
    for (uint32_t r = 0; r < body->results.n; r++)
        if (xent_is_result(body, r, x->dw) || (x->after && x->after != n))
            return false;
    x->after = n;
    x->narrow = true;
    return true;
}

static bool is_known(Xent *x, const Node *n)
{
    const Node *const all[] = {x->log_sum, x->hit, x->mean, x->max, x->dx, x->dw};
    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i] == n)
            return true;
    bool narrow = is_half_of(n, x->dx) || is_half_of(n, x->dw);
    x->narrow = x->narrow || narrow;
    return narrow;
}

bool xent_match(const Graph *body, Xent *out)
{
    *out = (Xent){0};
    Reader r = {.g = body, .probe = graph_probe(body), .x = out};
    if (!read_scores(&r))
        return false;
    if (!read_forward(&r))
        out->log_sum = out->hit = out->mean = out->max = NULL;
    if (!read_gradient(&r))
        out->dx = out->dw = NULL;
    for (uint32_t i = 0; i < body->results.n; i++)
        if (!is_known(out, body->results.at[i].node) &&
            !is_after(out, body, body->results.at[i].node))
            return false;
    return out->mask && out->targets && body->results.n > 0;
}

/* With fewer classes than that the scores are no larger than what they are made of. */
static bool worth_it(const Xent *x)
{
    return x->depth > 0 && x->classes >= 2 * x->depth;
}

bool xent_claim_forward(const Target *t, const Graph *body)
{
    Xent x;
    UNUSED(t);
    return xent_match(body, &x) && x.log_sum && !x.dx && !x.dw && worth_it(&x);
}

/* On the CPU sums over blocks of rows stay in the result, which must not round them; a GPU has room for them. */
static bool can_sum(const Target *t, const Xent *x)
{
    bool exact = x->score == x->dot && !x->narrow;
    return (x->dx || x->dw) && (exact || t->kind == TK_CUDA);
}

bool xent_claim_gradient(const Target *t, const Graph *body)
{
    Xent x;
    return xent_match(body, &x) && !x.log_sum && can_sum(t, &x) && worth_it(&x);
}

bool xent_claim_both(const Target *t, const Graph *body)
{
    Xent x;
    return xent_match(body, &x) && x.log_sum && can_sum(t, &x) && worth_it(&x);
}

/* attention_bwd.c: the backward of attention by its body; see attention.c. */
#include "attention.h"

enum { MAX_QUERY_BYTES = 256 << 20 }; /* of the heads that share keys: scratch of a task on a CPU */

static bool has_lanes(DType dt)
{
    return dt != DT_F64 && dt != DT_I64;
}

/* x as an f32 operand of a product, in another order of axes. */
static const Node *operand(Graph *g, const Node *x, const int64_t *perm)
{
    const Node *y = x ? graph_permute(g, x, perm) : NULL;
    return y ? graph_cast(g, DT_F32, y) : NULL;
}

/* What n is in that order of axes, or NULL. */
static const Node *below_operand(Graph *g, const Node *n, const int64_t *perm)
{
    for (const Node *x = n; x && x->nin == 1; x = x->in[0]) {
        const Node *from = x->in[0];
        if (from->type->rank == n->type->rank && operand(g, from, perm) == n)
            return from;
        if (x != n) /* below the cast */
            return NULL;
    }
    return NULL;
}

/* The weights [b, h, t, s] of which a product's left side is made, in that order of axes. */
static const Node *weights_of(Graph *g, const AttentionBwd *b, const Node *dot, const int64_t *perm)
{
    const Node *five = below_operand(g, dot->in[0], perm);
    if (!five || five->nin != 1 || five->in[0]->type->rank != 4)
        return NULL;
    const Node *x = five->in[0];
    return graph_reshape(g, x, 5, b->a.dot->type->dims) == five ? x : NULL;
}

/* exp(scores - what is the same for a row) */
static bool is_weights(Graph *g, AttentionBwd *b, const Node *n)
{
    if (n->nin != 1 || n->type->rank != 4 || graph_unary(g, OP_EXP, n->in[0]) != n)
        return false;
    const Node *sub = n->in[0];
    if (sub->nin != 2 || graph_binary(g, OP_SUB, sub->in[0], sub->in[1]) != sub)
        return false;
    const Node *row = sub->in[1];
    if (row->nin != 1 || row->in[0]->type->rank != 3 ||
        attention_rows(g, row->in[0], sub->in[0]) != row)
        return false;
    b->p = n;
    b->a.z = sub->in[0];
    return true;
}

/* n is 0 where the weights are, because they are a factor. */
static bool has_weights(Graph *g, AttentionBwd *b, const Node *n)
{
    if (b->p ? n == b->p : is_weights(g, b, n))
        return true;
    if (n->nin != 2 || n->in[0]->type != n->in[1]->type ||
        graph_binary(g, OP_MUL, n->in[0], n->in[1]) != n)
        return false;
    return has_weights(g, b, n->in[0]) || has_weights(g, b, n->in[1]);
}

/* ---- results ---- */

static bool is_result(Graph *g, const Node *dot, const int64_t *perm, const Node *result,
                      const Type *dims)
{
    const Node *y = graph_permute(g, dot, perm);
    y = y && !result->type->is_tuple ? graph_cast(g, result->type->dtype, y) : NULL;
    return y && (dims ? graph_reshape(g, y, dims->rank, dims->dims) : y) == result;
}

static bool find_queries(Graph *g, AttentionBwd *b, const Node *dot, const Node *result)
{
    const DotAxes axes = {2, 1, {0, 2}, {0, 1}, {4}, {3}, false};
    if ((b->dq.node && b->dq.dot != dot) || !attention_is_dot(dot, 5, 4, &axes))
        return false;
    const Node *k = below_operand(g, b->a.dot->in[1], (int64_t[]){0, 2, 1, 3});
    if (!k || operand(g, k, (int64_t[]){0, 2, 3, 1}) != dot->in[1])
        return false;
    const Node *ds = weights_of(g, b, dot, (int64_t[]){0, 3, 1, 2, 4});
    if (!ds || (b->ds && b->ds != ds) ||
        !is_result(g, dot, (int64_t[]){0, 2, 1, 3, 4}, result, result->type))
        return false;
    b->ds = ds;
    b->dq = (AttentionPart){.node = result, .dot = dot};
    return true;
}

/* Weights, transposed, times the left side of `of`: keys from queries, values from gradients. */
static const Node *find_keys(Graph *g, const AttentionBwd *b, const Node *dot, const Node *of,
                             const Node *result)
{
    const DotAxes axes = {2, 2, {0, 2}, {0, 1}, {3, 4}, {3, 4}, false};
    if (!attention_is_dot(dot, 5, 5, &axes))
        return NULL;
    const Node *x = below_operand(g, of->in[0], (int64_t[]){0, 2, 3, 1, 4});
    if (!x || operand(g, x, (int64_t[]){0, 2, 4, 3, 1}) != dot->in[1] ||
        !is_result(g, dot, (int64_t[]){0, 2, 1, 3}, result, NULL))
        return NULL;
    return weights_of(g, b, dot, (int64_t[]){0, 4, 1, 2, 3});
}

/* The product a result is made of by views and casts. */
static const Node *product_below(const Node *n)
{
    while (n->nin == 1)
        n = n->in[0];
    return op_info(n->op)->cls == OC_CONTRACT ? n : NULL;
}

static bool has_dims(const Node *n, const Dim *rows, const Dim *heads, const Dim *columns)
{
    const Dim *const *d = n->type->dims;
    return d[1] == rows && d[2] == heads && d[3] == columns;
}

/* n as the gradient that it is, if it is one; the last node that is counts: it has been rounded as the text
 * says. */
static void find_part(Graph *g, AttentionBwd *b, const Node *n)
{
    const Attention *a = &b->a;
    const Node *dot = n->type->is_tuple || n->type->rank != 4 ? NULL : product_below(n);
    const AttentionPart part = {.node = n, .dot = dot};
    if (!dot || dot == a->dot || dot == b->grad)
        return;
    if (has_dims(n, a->t, dim_mul(g->ir, a->kv, a->g), a->d) && find_queries(g, b, dot, n))
        return;
    if (has_dims(n, a->s, a->kv, a->e) && (!b->dv.node || b->dv.dot == dot)) {
        const Node *p = find_keys(g, b, dot, b->grad, n);
        if (p && (b->p ? p == b->p : is_weights(g, b, p))) {
            b->dv = part;
            return;
        }
    }
    if (!has_dims(n, a->s, a->kv, a->d) || (b->dk.node && b->dk.dot != dot))
        return;
    const Node *ds = find_keys(g, b, dot, a->dot, n);
    if (!ds || (b->ds && ds != b->ds))
        return;
    b->ds = ds;
    b->dk = part;
}

typedef struct Stores {
    Ir *ir;
    const AttentionPart *part;
    const uint8_t *below; /* by node: a bit for each product of a gradient that it is made of */
    const Ix *row[IR_MAX_RANK];
    int left; /* visits */
} Stores;

/* Whether n at ix is elementwise of the gradient at the same row. */
static bool keeps_row(Stores *s, const Node *n, const Ix *const *ix)
{
    OpClass cls = op_info(n->op)->cls;
    if (n == s->part->node)
        return ix[0] == s->row[0] && ix[1] == s->row[1] && ix[2] == s->row[2];
    if (s->left-- <= 0 || (cls != OC_ELEM && cls != OC_VIEW))
        return false;
    bool ok = has_lanes(n->type->dtype);
    for (uint32_t k = 0; k < n->nin && ok; k++) {
        const Ix *in[IR_MAX_RANK];
        ok = has_lanes(n->in[k]->type->dtype);
        if (ok && s->below[n->in[k]->id])
            ok = op_at(s->ir, n, k, ix, in) && keeps_row(s, n->in[k], in);
    }
    return ok;
}

/* The gradient that a value is of, or NULL. */
static AttentionPart *part_of(Ir *ir, AttentionBwd *b, const Node *value, const uint8_t *below)
{
    AttentionPart *parts[] = {&b->dq, &b->dk, &b->dv};
    const Ix *ix[IR_MAX_RANK];
    for (uint32_t i = 0; i < COUNT(parts); i++) {
        Stores s = {.ir = ir, .part = parts[i], .below = below, .left = 256};
        if (below[value->id] != 1 << i || !parts[i]->node || value->type->rank != 4)
            continue;
        for (uint32_t k = 0; k < 4; k++) {
            s.row[k] = ix[k] = ix_var(ir, k, value->type->dims[k]);
            if (k < 3 && value->type->dims[k] != parts[i]->node->type->dims[k])
                return NULL;
        }
        return keeps_row(&s, value, ix) ? parts[i] : NULL;
    }
    return NULL;
}

/* The one gradient that all parts of a result are of, or NULL. */
static AttentionPart *result_of(Ir *ir, AttentionBwd *b, const Node *result, const uint8_t *below)
{
    ProductsPiece piece[PRODUCTS_PIECES];
    AttentionPart *part = NULL;
    uint32_t n = result->type->is_tuple ? 0 : products_parts(result, piece);
    for (uint32_t i = 0; i < n; i++) {
        AttentionPart *of = part_of(ir, b, piece[i].value, below);
        if (!of || (part && part != of))
            return NULL;
        part = of;
    }
    return part;
}

/* Each result is of one gradient. */
static bool find_results(const Graph *body, AttentionBwd *b)
{
    const AttentionPart *parts[] = {&b->dq, &b->dk, &b->dv};
    Arena *arena = arena_new();
    uint8_t *below = NEW_ARRAY(arena, uint8_t, body->nodes.n + 1);
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        for (uint32_t k = 0; k < n->nin; k++)
            below[i] |= below[n->in[k]->id];
        for (uint32_t k = 0; k < COUNT(parts); k++)
            below[i] |= (uint8_t)((n == parts[k]->dot) << k);
    }
    bool ok = body->results.n <= 64;
    for (uint32_t i = 0; i < body->results.n && ok; i++) {
        const Node *n = body->results.at[i].node;
        AttentionPart *part = result_of(body->ir, b, n, below);
        ok = part != NULL;
        if (ok)
            part->results |= UINT64_C(1) << i;
    }
    arena_free(arena);
    return ok;
}

/* The one fold: for each query, of what y and dy give by their elements. */
static bool find_share(const Graph *body, Graph *g, AttentionBwd *b)
{
    const Dim *dims[] = {b->a.b, dim_mul(body->ir, b->a.kv, b->a.g), b->a.t, b->a.e};
    const Node *n = attention_next(body, OC_REDUCE, NULL);
    if (!n || attention_next(body, OC_REDUCE, n) || n->type->rank != 3 ||
        n->in[0]->type != type_tensor(body->ir, DT_F32, 4, dims) ||
        graph_reduce(g, OP_SUM, n->in[0], (int64_t[]){3}, 1) != n)
        return false;
    b->share = n;
    return attention_cone(body, NULL, 0, n->in[0], NULL);
}

bool attention_find_bwd(const Graph *body, AttentionBwd *b)
{
    const DotAxes axes = {2, 1, {0, 1}, {0, 1}, {4}, {3}, false};
    Graph probe = graph_probe(body), *g = &probe;
    *b = (AttentionBwd){0};
    if (!attention_find_product(body, &b->a))
        return false;
    b->grad = attention_next(body, OC_CONTRACT, b->a.dot);
    if (!attention_is_dot(b->grad, 5, 4, &axes) || b->grad->type != b->a.dot->type)
        return false;
    b->a.e = b->grad->in[0]->type->dims[4];
    if (!find_share(body, g, b))
        return false;
    for (uint32_t i = 0; i < body->nodes.n; i++)
        find_part(g, b, body->nodes.at[i]);
    if (!find_results(body, b))
        return false;
    if (!b->ds || !has_weights(g, b, b->ds) || !attention_split(g, &b->a))
        return false;
    const Dim *dims[] = {b->a.b, dim_mul(body->ir, b->a.kv, b->a.g), b->a.t, b->a.s};
    const Node *from[] = {graph_reshape(g, b->a.dot, 4, dims), graph_reshape(g, b->grad, 4, dims)};
    return from[0] && from[1] && attention_cone(body, from, 2, b->ds, b->share) &&
           attention_cone(body, from, 1, b->p, NULL) && b->ds->type == b->p->type &&
           (!b->a.mask || !attention_cone(body, from, 2, b->a.mask, NULL));
}

/* Vectors of a known number of columns. */
static bool fits_lanes(const Node *result)
{
    ProductsPiece piece[PRODUCTS_PIECES];
    uint32_t n = products_parts(result, piece);
    int64_t columns;
    for (uint32_t i = 0; i < n; i++) {
        const Type *type = piece[i].value->type;
        if (!has_lanes(type->dtype) || !dim_is_const(type->dims[3], &columns))
            return false;
    }
    return n > 0;
}

bool claim_attention_bwd(const Target *t, const Graph *body)
{
    AttentionBwd b;
    if (!attention_find_bwd(body, &b) || !attention_sizes_fit(t, &b.a) ||
        attention_small(body->ir, &b.a))
        return false;
    double queries = (double)dim_hi(body->ir, b.a.g) * (double)dim_hi(body->ir, b.a.t);
    double width = 2 * (double)dim_hi(body->ir, b.a.d) + (double)dim_hi(body->ir, b.a.e);
    for (uint32_t i = 0; i < body->results.n; i++)
        if (!fits_lanes(body->results.at[i].node))
            return false;
    return t->kind == TK_CUDA || queries * width * sizeof(float) <= MAX_QUERY_BYTES;
}

/* attention.h: the parts of an attention, found in its body (models/std/ops.mdl): what a claim looks for
 * and what the lowering reads. */
#ifndef MDL_TARGET_ATTENTION_H
#define MDL_TARGET_ATTENTION_H

#include "products.h"

typedef struct Attention {
    /* q: [b, t, kv * g, d], k: [b, s, kv, d], v: [b, s, kv, e] */
    const Dim *b, *kv, *g, *t, *s, *d, *e;
    const Node *dot; /* q k: [b, kv, g, t, s], of [b, kv, g, t, d] and [b, kv, s, d] */
    const Node *z;   /* scores: [b, kv * g, t, s]: of dot, elementwise; -inf where `mask` is
                      * false */
    const Node *mask, *score; /* mask NULL: every query sees every key */
    const Node *top, *sum;    /* folds over the last axis: of z, of the exponentials */
    const Node *out;       /* weights times v: [b, kv, t, g, e], of the weights and [b, kv, e, s] */
    const Node *y, *lse;   /* the results that the body has; NULL: not this one */
    uint32_t y_at, lse_at; /* their numbers */
} Attention;

bool attention_find(const Graph *body, Attention *out);

/* Whether scores are products times a number > 0. */
bool attention_scaled(const Graph *body, const Attention *a, double *by);

/* A gradient [b, rows, heads, columns], and the product of matrices that it is but for views and casts;
 * absent: node NULL. Results are elementwise functions of it, of rank 4 too, of which each element may
 * read any columns of the gradient's same row; or views that put several of these together (products_parts). */
typedef struct AttentionPart {
    const Node *node, *dot;
    uint64_t results; /* a bit per result of the body */
} AttentionPart;

/* The backward: weights p from the scores and what they sum to, ds elementwise of p, the scores and the
 * products dy v. dq = ds k, dk = ds q, dv = p dy; where `mask` is false p and ds are 0. */
typedef struct AttentionBwd {
    Attention a;      /* up to the scores; d and e; out, top, sum, y, lse are not used */
    const Node *grad; /* dy v: [b, kv, g, t, s], of [b, kv, g, t, e] and [b, kv, s, e] */
    const Node *p, *ds;
    const Node *share; /* [b, kv * g, t]: sums over e, of y and dy by their elements */
    AttentionPart dq, dk, dv;
} AttentionBwd;

bool attention_find_bwd(const Graph *body, AttentionBwd *out);
bool claim_attention_bwd(const Target *t, const Graph *body);

/* ---- shared by both ---- */

const Node *attention_next(const Graph *g, OpClass cls, const Node *after);
bool attention_is_dot(const Node *n, uint32_t ra, uint32_t rb, const DotAxes *want);
bool attention_find_product(const Graph *body, Attention *a);
/* Splits z into mask and score; false when it is something else than a choice. */
bool attention_split(Graph *probe, Attention *a);
const Node *attention_rows(Graph *probe, const Node *x, const Node *like);
/* Whether `to` is elementwise, and in vectors, of the nodes `from`, and all else beside them can be
 * read by index; also a fold `row` that was made before, NULL: none. Without `from`: whether all can. */
bool attention_cone(const Graph *g, const Node *const *from, uint32_t nfrom, const Node *to,
                    const Node *row);
/* Whether there are as many keys as queries, and the mask says up to which a query sees them by its own place. */
bool attention_ends_at_query(Ir *ir, const Attention *a);
bool attention_sizes_fit(const Target *t, const Attention *a);
/* Whether queries or keys are so few that tiles of them are mostly empty. */
bool attention_small(const Ir *ir, const Attention *a);
bool claim_attention(const Target *t, const Graph *body);

#endif

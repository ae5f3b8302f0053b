/* attention.h: the parts of an attention, found in its body (models/std/ops.mdl): what a claim looks for
 * and what the lowering reads. */
#ifndef MDL_TARGET_ATTENTION_H
#define MDL_TARGET_ATTENTION_H

#include "target.h"

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
bool claim_attention(const Target *t, const Graph *body);

#endif

/* xent.h: the body of `linear_cross_entropy`, its derivative, or both at once, taken apart: private to
 * the class that runs them (its claim, its configuration, its lowering). */
#ifndef MDL_XENT_H
#define MDL_XENT_H

#include "target.h"

/* Rows are all axes of x but its last; scores are rows x classes. */
typedef struct Xent {
    const Node *x, *w;          /* operands of the product: rows x depth, classes x depth; f32 */
    const Node *dot, *score;    /* the product, and what it is rounded to; f32 */
    const Node *mask, *targets; /* by row */
    /* by row; NULL where the body has no forward half */
    const Node *log_sum, *hit, *mean, *max;
    /* the derivative, NULL where the body has none: what it takes for log_sum and max, cotangents of the
     * first three, by row, and results */
    const Node *given_log_sum, *given_max;
    const Node *dlog_sum, *dhit, *dmean;
    const Node *dx, *dw; /* f32; .. */
    bool narrow;         /* .. but a result is one of them as 16-bit numbers, or .. */
    const Node *after;   /* this one, elementwise computed from dw and inputs; or NULL */
    int64_t classes, depth;
    const Dim *rows;
} Xent;

/* What body is; false: something else. No calls are left in it; operands may be computed from its
 * inputs, and some results may be missing. */
bool xent_match(const Graph *body, Xent *out);
/* Result r of the body is n, or n as 16-bit numbers. */
bool xent_is_result(const Graph *body, uint32_t r, const Node *n);

bool xent_claim_forward(const Target *t, const Graph *body);
bool xent_claim_gradient(const Target *t, const Graph *body);
bool xent_claim_both(const Target *t, const Graph *body);

#endif

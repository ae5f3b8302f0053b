/* scatter.h: what the schedules of scatter_add share; private to codegen. The result is [outer][extent][columns];
 * its batch axes are the first of outer, and each of their members has a list of indices of its own. */
#ifndef MDL_SCATTER_H
#define MDL_SCATTER_H

#include "lower.h"

typedef struct Scatter {
    const Node *n, *rows, *idx;
    uint32_t axis, batch;
    const Dim *outer, *extent, *columns, *count; /* count: indices per batch member */
    const Ix *member, *i;                        /* of outer, of count */
} Scatter;

void scatter_describe(Lower *lo, Scatter *s);
/* Result index: [member, e, column]. */
void scatter_result_index(Lower *lo, const Scatter *s, const Ix *e, const Ix *column,
                          const Ix **ix);
/* The row of the result at which index i of a batch member adds. */
const Ix *scatter_place(Lower *lo, const Scatter *s, const Ix *const *batch, const Ix *i);
/* Row i of the source: what is added at ix. */
const KExpr *scatter_source(Lower *lo, const Scatter *s, const Ix *i, const Ix *const *ix);
const KExpr *scatter_sum(Lower *lo, const Scatter *s, const KExpr *sum, const KExpr *x);
/* LanesFn: a zero at a cell; row s->i added at its place, in some columns. */
void scatter_store_zero(Lower *lo, const Ix *cell, void *user);
void scatter_add_columns(Lower *lo, const Ix *column, void *user);

#endif

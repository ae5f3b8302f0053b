/* scatter.h: what the schedules of scatter_add share; private to codegen. The result is [outer][extent][columns];
 * its batch axes are the first of outer, and each of their members has a list of indices of its own. */
#ifndef MDL_SCATTER_H
#define MDL_SCATTER_H

#include "lower.h"

typedef struct Scatter {
    const Node *n, *rows, *idx;
    uint32_t axis, batch;
    const Dim *outer, *extent, *columns, *count; /* count: indices per batch member */
    bool plain;   /* the only result is what is summed up; else results are computed from it */
    uint32_t buf; /* not plain: of the sums, where they are added one by one */
    const Ix *member, *i; /* of outer, of count */
} Scatter;

void scatter_describe(Lower *lo, Scatter *s);
/* Result index: [member, e, column]. */
void scatter_result_index(Lower *lo, const Scatter *s, const Ix *e, const Ix *column,
                          const Ix **ix);
/* Where index i of a batch member is among the indices: a member for each of their axes. */
void scatter_number(Lower *lo, const Scatter *s, const Ix *const *batch, const Ix *i,
                    const Ix **at);
/* The row of the result at which it adds. */
const Ix *scatter_place(Lower *lo, const Scatter *s, const Ix *const *batch, const Ix *i);
/* Row i of the source: what is added at ix. */
const KExpr *scatter_source(Lower *lo, const Scatter *s, const Ix *i, const Ix *const *ix);
/* What that reads. */
void scatter_each_load(Lower *lo, const Scatter *s, const Ix *i, const Ix *const *ix, LoadFn fn,
                       void *user);
const KExpr *scatter_sum(Lower *lo, const Scatter *s, const KExpr *sum, const KExpr *x);
/* LanesFn: a zero at a cell; row s->i added at its place, in some columns. */
void scatter_store_zero(Lower *lo, const Ix *cell, void *user);
void scatter_add_columns(Lower *lo, const Ix *column, void *user);
/* The results at ix, whose sum is this. */
void scatter_results(Lower *lo, const Scatter *s, const Ix *const *ix, const KExpr *sum);
/* Sums that are added one by one lie in the workspace if something is computed from them, .. */
void scatter_make_sums(Lower *lo, Scatter *s);
/* .. and LanesFn: become results at a cell when all are there. */
void scatter_finish_cell(Lower *lo, const Ix *cell, void *user);

/* A phase over all cells of the result, `each` of them a task. */
typedef struct CellsSpec {
    const char *name, *doc, *stem;
    int64_t each;
    LanesFn cell;
} CellsSpec;
void scatter_cells_phase(Lower *lo, Scatter *s, const CellsSpec *c);
#define SCATTER_ZEROS(n)  ((CellsSpec){"zero", "fills with zeros", "z", n, scatter_store_zero})
#define SCATTER_FINISH(n) ((CellsSpec){"", "results from the sums", "z", n, scatter_finish_cell})

#endif

/* rowloops.h: arithmetic, loading and storing of blocks of row values, for rowprog.c. */
#ifndef MDL_ROWLOOPS_H
#define MDL_ROWLOOPS_H

#include "dtype.h"
#include "plan.h"

/* `out` overlaps no input. */
typedef void RowPairFn(double *out, const double *a, const double *b, int64_t n);

/* n numbers with n numbers, n with one, one with n. */
typedef struct RowPair {
    RowPairFn *vv, *vs, *sv;
} RowPair;

/* In place. */
typedef void RowUnaryFn(double *at, int64_t n);

/* By RowOp, for those that are pairs, and those of one operand. */
extern const RowPair row_pairs[RO_COUNT];
extern RowUnaryFn *const row_units[RO_COUNT];

/* By DType; elements of a file have no alignment. */
typedef void RowLoadFn(double *out, const void *in, int64_t n);
extern RowLoadFn *const row_loaders[DT_COUNT];

/* Stores n values, rounding to floats once. Integers must be exact: returns the index of the first
 * value that does not fit, or n. */
int64_t row_store(DType dtype, void *out, const double *in, int64_t n);

#endif

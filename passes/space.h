/* space.h: the index spaces of a group: rows P, and P x R where it folds; R alone where it folds columns too. Index expressions are
 * interned, so that "read at its own element" is pointer equality with these variables. */
#ifndef MDL_SPACE_H
#define MDL_SPACE_H

#include "ir.h"

typedef struct Space {
    const Type *fold; /* the folded operand, or NULL */
    uint32_t nrow, nfull, ncolumn;
    const Dim *column_dims[IR_MAX_RANK];
    const Ix *column[IR_MAX_RANK]; /* variables of R */
    const Dim *row_dims[IR_MAX_RANK];
    const Ix *row[IR_MAX_RANK];  /* variables of P */
    const Ix *full[IR_MAX_RANK]; /* variables of P x R in the operand's axis order */
} Space;

/* fold: one of the group's folds, or NULL: then P is the elements of root. */
void space_make(Ir *ir, Space *s, const Node *fold, const Type *root);
/* The index at which a value over P or over P x R belongs to an element; NULL: over neither. */
const Ix *const *space_identity(const Space *s, const Type *t);
/* The index of a value over R that belongs to a column; NULL: its dims are others. */
const Ix *const *space_column(const Space *s, const Type *t);
/* Whether a fold over P x R leaves P (else: columns). */
bool space_folds_rows(const Space *s, const Node *fold);
/* Axes that a fold removes; returns how many. */
uint32_t fold_axes(const Node *n, int64_t axes[IR_MAX_RANK]);

#endif

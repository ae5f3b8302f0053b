/* ix.h: what the files of index expressions share; private to ir. */
#ifndef MDL_IR_IX_H
#define MDL_IR_IX_H

#include "tables.h"

enum { IX_SMALL = 16 }; /* terms that fit a scratch array on the stack */

/* The terms of any expression: an atom is 1 * itself. `self` is room for that one term. */
uint32_t ix_terms(Ir *ir, const Ix *e, IxTerm *self, const IxTerm **term);
const Dim *ix_base(Ir *ir, const Ix *e);
/* base + n terms in any order, several of one atom allowed; sorts and overwrites `term`. */
const Ix *ix_sum(Ir *ir, const Dim *base, IxTerm *term, uint32_t n);
/* The interned expression of this content; of a sum, the terms are in order. */
const Ix *ix_intern(Ir *ir, const Ix *key);
/* Whether 0 <= e < d is known. */
bool ix_in_range(Ir *ir, const Ix *e, const Dim *d);

#endif

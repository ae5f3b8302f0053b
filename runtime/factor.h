/* factor.h: the learning-rate factor of a schedule that the program writes itself, (step, total) => .. */
#ifndef MDL_FACTOR_H
#define MDL_FACTOR_H

#include "rowprog.h"

typedef struct Factor Factor;

/* ERR_DATA when the code in the plan does not fit. Memory is the arena's, but for what factor_free gives back. */
Factor *factor_new(Arena *arena, const Plan *plan, Err *err);
void factor_free(Factor *f); /* NULL is fine */
/* Of step 1 .. total. ERR_DATA when it is negative or not finite. */
bool factor_at(Factor *f, int64_t step, int64_t total, double *out, Err *err);

#endif

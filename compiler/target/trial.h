/* trial.h: numbers to run a group on alone, so that its kernel does what it does in use: visits as many keys, reads and
 * adds as many rows. */
#ifndef MDL_TARGET_TRIAL_H
#define MDL_TARGET_TRIAL_H

#include "ir.h"

/* The n elements of input number `input` of a group's body, dims at their upper ends: of the place and `seed` alone.
 * Floats lie in -1 .. 1. Integers are what the body takes them for (graph_integers): indices within their axis, in no
 * order; places that count up along the last axis and end where the axis ends; equal numbers of segments; of others any
 * small ones, of 8 bits and of words that are taken apart any at all. Bools are true, but for one of eight. */
void trial_fill(const Graph *body, uint32_t input, uint64_t seed, void *data, size_t n);
/* How many rows growing states have (slot `len`): as many as their place leaves room for, 0 where nothing reads it. */
int64_t trial_past(const Graph *body);

#endif

/* quantise.h: rows of a weight as numbers of few bits and scales, on the host, as PlanStore says. Deterministic: each
 * number is the nearest multiple of the scale, of two the even one. */
#ifndef MDL_QUANTISE_H
#define MDL_QUANTISE_H

#include "plan.h"

/* n numbers as multiples, -127 .. 127, of an f32 scale: the largest size / 127. False: one is not finite, or the
 * scale would not be. */
bool quantise_int8(const double *row, size_t n, int8_t *codes, float *scale);
/* The same as multiples, -8 .. 7, of one scale (bits of a bf16) for each `block` of them: the largest size / 7. n is a
 * multiple of block, that of 8; codes are n / 8 words, scale has n / block. */
bool quantise_int4(const double *row, size_t n, size_t block, int32_t *codes, uint16_t *scale);

#endif

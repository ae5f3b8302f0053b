/* mix.h: which part of a mix a sample comes from, as a pure function of its position. */
#ifndef MDL_MIX_H
#define MDL_MIX_H

#include "base.h"

typedef struct Mix {
    uint32_t n;
    const uint64_t *share; /* of part k among the parts from k on, in 2^-32 */
} Mix;

typedef struct MixPlace {
    uint32_t part;
    int64_t index; /* samples of the part that come before */
} MixPlace;

/* Weights above 0, in any unit. */
Mix mix_new(Arena *arena, const double *weight, uint32_t n);
/* `seed`: NULL for an even pattern, else its positions are mixed up within blocks. */
MixPlace mix_place(const Mix *mix, const uint64_t *seed, int64_t position);

#endif

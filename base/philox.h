/* philox.h: random numbers that are functions of a key and a position, so that nothing advances and any
 * element can be drawn anywhere, again, in any order. */
#ifndef MDL_PHILOX_H
#define MDL_PHILOX_H

#include "base.h"

/* One Philox 4x32-10 block. */
void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* The key of one stream of one step: seed of the run and stage, number of the call, step. The seed is
 * below 2^53, so that f64 holds it. */
uint64_t rng_key(int64_t seed, int64_t site, int64_t step);
uint64_t rng_seed(uint64_t seed, const char *stage);
/* Word 0..3 of element i of a stream. */
uint32_t rng_word(uint64_t key, uint64_t i, uint32_t word);
/* Of a word: in [0, 1) with 24 bits, exact in f32; an integer in 0..n. */
double rng_uniform(uint32_t word);
int64_t rng_below(uint32_t word, int64_t n);

#endif

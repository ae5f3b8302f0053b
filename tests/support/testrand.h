/* testrand.h: the seeded generator of tests (SplitMix64); same numbers on every machine. */
#ifndef MDL_TESTRAND_H
#define MDL_TESTRAND_H

#include <stdint.h>

typedef struct TestRand {
    uint64_t state;
} TestRand;

static inline uint64_t rand_next(TestRand *r)
{
    uint64_t z = (r->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* 0 <= result < n */
static inline uint32_t rand_below(TestRand *r, uint32_t n)
{
    return (uint32_t)((rand_next(r) >> 32) * n >> 32);
}

/* lo <= result < hi */
static inline double rand_range(TestRand *r, double lo, double hi)
{
    return lo + (hi - lo) * ((double)(rand_next(r) >> 11) * 0x1p-53);
}

#endif

/* order.c: a keyed permutation of [0, n) without a table: a balanced Feistel network over the next
 * even power of two, with cycle walking (Black and Rogaway, "Ciphers with arbitrary finite domains",
 * 2002): an image outside [0, n) is encrypted again until it falls inside, which at most a quarter
 * of the domain lets happen fewer than four times on average.
 *
 * A run resumes at any sample because its order is nowhere stored. The round function is written
 * out here, so that no change elsewhere can reorder the data of a run. */
#include "order.h"

enum { ROUNDS = 6 };

/* The finaliser of splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t feistel(uint64_t x, uint64_t key, unsigned half)
{
    uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t next = left ^ (mix(right + mix(key + round)) & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

int64_t order_permute(OrderKey key, int64_t n, int64_t i)
{
    ASSERT(0 <= i && i < n);
    uint64_t mixed = mix(mix(key.seed + 0x9e3779b97f4a7c15u) + (uint64_t)key.epoch);
    unsigned half = 1;
    while (half < 31 && (uint64_t)1 << (2 * half) < (uint64_t)n)
        half++;
    ASSERT((uint64_t)n <= (uint64_t)1 << (2 * half));
    uint64_t x = (uint64_t)i;
    do
        x = feistel(x, mixed, half);
    while (x >= (uint64_t)n);
    return (int64_t)x;
}

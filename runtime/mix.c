/* mix.c: an interleaving without state. Among the first q samples, floor(q w) are of the first part, where w
 * is its share; the others are interleaved in the same way, in the order in which they come. So after any
 * number of samples every part has its share to within one sample per part, and sample p is found in
 * O(parts) from p alone. With a seed the places of each block of 1,024 samples are permuted first, so that
 * the pattern has no period that could meet that of the batches. */
#include "mix.h"
#include "order.h"

enum { BLOCK = 1024 };

Mix mix_new(Arena *arena, const double *weight, uint32_t n)
{
    uint64_t *share = NEW_ARRAY(arena, uint64_t, n);
    double left = 0;
    for (uint32_t k = n; k-- > 0;) {
        left += weight[k] / n; /* the sum stays finite */
        share[k] = (uint64_t)(weight[k] / n / left * 0x1p32);
        share[k] = share[k] ? share[k] : 1;
    }
    return (Mix){n, share};
}

/* floor(q share / 2^32) without overflow: q < 2^62, share <= 2^32. */
static int64_t part_of(int64_t q, uint64_t share)
{
    uint64_t high = (uint64_t)q >> 32, low = (uint64_t)q & UINT32_MAX;
    return (int64_t)(high * share + (low * share >> 32));
}

MixPlace mix_place(const Mix *mix, const uint64_t *seed, int64_t position)
{
    int64_t q = position;
    if (seed)
        q = q / BLOCK * BLOCK + order_permute((OrderKey){*seed, q / BLOCK}, BLOCK, q % BLOCK);
    for (uint32_t k = 0; k + 1 < mix->n; k++) {
        int64_t before = part_of(q, mix->share[k]);
        if (part_of(q + 1, mix->share[k]) > before)
            return (MixPlace){k, before};
        q -= before;
    }
    return (MixPlace){mix->n - 1, q};
}

/* philox.c: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * runtime/prelude/common/mdl_random.h has the same functions for kernels. */
#include "philox.h"

static void philox_round(uint32_t x[4], const uint32_t key[2])
{
    uint64_t a = UINT64_C(0xD2511F53) * x[0], b = UINT64_C(0xCD9E8D57) * x[2];
    uint32_t x1 = x[1], x3 = x[3];
    x[0] = (uint32_t)(b >> 32) ^ x1 ^ key[0];
    x[1] = (uint32_t)b;
    x[2] = (uint32_t)(a >> 32) ^ x3 ^ key[1];
    x[3] = (uint32_t)a;
}

void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k[2] = {key[0], key[1]}, x[4] = {counter[0], counter[1], counter[2], counter[3]};
    for (int round = 0; round < 10; round++) {
        philox_round(x, k);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, x, sizeof(x));
}

uint64_t rng_key(int64_t seed, int64_t site, int64_t step)
{
    return hash_mix(hash_mix((uint64_t)seed, (uint64_t)site), (uint64_t)step);
}

uint64_t rng_seed(uint64_t seed, const char *stage)
{
    return hash_mix(seed, hash_text(stage)) >> 11;
}

uint32_t rng_word(uint64_t key, uint64_t i, uint32_t word)
{
    const uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    const uint32_t counter[4] = {(uint32_t)i, (uint32_t)(i >> 32), 0, 0};
    uint32_t out[4];
    philox4x32(k, counter, out);
    return out[word & 3];
}

double rng_uniform(uint32_t word)
{
    return (double)(word >> 8) * 0x1p-24;
}

int64_t rng_below(uint32_t word, int64_t n)
{
    return (int64_t)((uint64_t)word * (uint64_t)n >> 32);
}

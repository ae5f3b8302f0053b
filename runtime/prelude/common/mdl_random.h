/* mdl_random.h: Philox 4x32-10, as in base/philox.c: a random number is a function of seed, call, step and
 * place. */
#ifndef MDL_RANDOM_H
#define MDL_RANDOM_H

MDL_FN uint64_t mdl_rng_mix(uint64_t seed, uint64_t value)
{
    uint64_t x = (seed ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd) + value;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

MDL_FN int64_t mdl_rng_key(int64_t seed, int64_t site, int64_t step)
{
    return (int64_t)mdl_rng_mix(mdl_rng_mix((uint64_t)seed, (uint64_t)site), (uint64_t)step);
}

MDL_FN int64_t mdl_rng_word(int64_t key, int64_t at, int word)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)((uint64_t)key >> 32);
    uint32_t x[4] = {(uint32_t)at, (uint32_t)((uint64_t)at >> 32), 0, 0};
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xD2511F53) * x[0], b = UINT64_C(0xCD9E8D57) * x[2];
        x[0] = (uint32_t)(b >> 32) ^ x[1] ^ k0;
        x[1] = (uint32_t)b;
        x[2] = (uint32_t)(a >> 32) ^ x[3] ^ k1;
        x[3] = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return x[word];
}

MDL_FN float mdl_rng_uniform(int64_t word)
{
    return (float)((uint32_t)word >> 8) * 0x1p-24f;
}

MDL_FN int32_t mdl_rng_below(int64_t word, int64_t n)
{
    return (int32_t)((uint64_t)word * (uint64_t)n >> 32);
}

#endif

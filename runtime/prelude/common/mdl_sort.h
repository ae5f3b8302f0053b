/* mdl_sort.h: the stable order of one line: keys are unsigned numbers in the order of the elements (NaN
 * behind all, both zeros equal), sorted with their indices by radix from the lowest byte up; a byte that
 * all keys share is skipped, and few keys are inserted one by one. */
#ifndef MDL_SORT_H
#define MDL_SORT_H

#ifndef MDL_SORT_FN /* too long to be inlined */
#define MDL_SORT_FN static inline __attribute__((unused))
#endif

enum { MDL_SORT_FEW = 48 };

MDL_FN int32_t mdl_sort_key_i32(int32_t x)
{
    return (int32_t)((uint32_t)x ^ UINT32_C(0x80000000));
}

MDL_FN int64_t mdl_sort_key_i64(int64_t x)
{
    return (int64_t)((uint64_t)x ^ UINT64_C(0x8000000000000000));
}

MDL_FN int32_t mdl_sort_key_f32(float x)
{
    union {
        float f;
        uint32_t u;
    } v = {x + 0.0f};
    uint32_t sign = (uint32_t)((int32_t)v.u >> 31);
    return x != x ? -1 : (int32_t)(v.u ^ (sign | UINT32_C(0x80000000)));
}

MDL_FN int64_t mdl_sort_key_f64(double x)
{
    union {
        double f;
        uint64_t u;
    } v = {x + 0.0};
    uint64_t sign = (uint64_t)((int64_t)v.u >> 63);
    return x != x ? -1 : (int64_t)(v.u ^ (sign | UINT64_C(0x8000000000000000)));
}

MDL_FN vi mdl_sort_key_vi(vi x)
{
    return x ^ mdl_set1_vi(INT32_MIN);
}

MDL_FN vi mdl_sort_key_vf(vf x)
{
    vi bits = (vi)(x + mdl_set1_vf(0.0f));
    return (bits ^ ((bits >> 31) | mdl_set1_vi(INT32_MIN))) | (vi)(x != x);
}

/* MDL_SORT(name, T): the order of the n keys at `key` goes to `idx`. key and idx have room for 2 n; what
 * is behind the first n is scratch, and the keys are lost. */
#define MDL_SORT(name, T)                                                          \
    MDL_SORT_FN void name(void *keys, void *indices, int64_t n)                    \
    {                                                                              \
        T *key = (T *)keys, *key2 = key + n;                                       \
        int32_t *idx = (int32_t *)indices, *idx2 = idx + n, count[sizeof(T)][256]; \
        if (n <= MDL_SORT_FEW) {                                                   \
            for (int64_t i = 0; i < n; i++) {                                      \
                T k = key[i];                                                      \
                int64_t at = i;                                                    \
                for (; at > 0 && key[at - 1] > k; at--) {                          \
                    key[at] = key[at - 1];                                         \
                    idx[at] = idx[at - 1];                                         \
                }                                                                  \
                key[at] = k;                                                       \
                idx[at] = (int32_t)i;                                              \
            }                                                                      \
            return;                                                                \
        }                                                                          \
        for (unsigned b = 0; b < sizeof(T); b++)                                   \
            for (int d = 0; d < 256; d++)                                          \
                count[b][d] = 0;                                                   \
        for (int64_t i = 0; i < n; i++) {                                          \
            idx[i] = (int32_t)i;                                                   \
            for (unsigned b = 0; b < sizeof(T); b++)                               \
                count[b][key[i] >> (8 * b) & 255]++;                               \
        }                                                                          \
        for (unsigned b = 0; b < sizeof(T); b++) {                                 \
            if (count[b][key[0] >> (8 * b) & 255] == n)                            \
                continue;                                                          \
            int32_t next = 0;                                                      \
            for (int d = 0; d < 256; d++) {                                        \
                int32_t here = count[b][d];                                        \
                count[b][d] = next;                                                \
                next += here;                                                      \
            }                                                                      \
            for (int64_t i = 0; i < n; i++) {                                      \
                int32_t to = count[b][key[i] >> (8 * b) & 255]++;                  \
                key2[to] = key[i];                                                 \
                idx2[to] = idx[i];                                                 \
            }                                                                      \
            T *k = key;                                                            \
            int32_t *x = idx;                                                      \
            key = key2;                                                            \
            idx = idx2;                                                            \
            key2 = k;                                                              \
            idx2 = x;                                                              \
        }                                                                          \
        for (int64_t i = 0; i < n && idx != (int32_t *)indices; i++)               \
            ((int32_t *)indices)[i] = idx[i];                                      \
    }

MDL_SORT(mdl_argsort_u32, uint32_t)
MDL_SORT(mdl_argsort_u64, uint64_t)

#endif

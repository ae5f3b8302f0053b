/* mdl_block_sort.h: the stable order of one long line, by all threads of a block, or of a very long one by blocks that
 * have a part of it each: radix, 8 bits at a time. Each warp has a part of that and walks it 32 keys at a time, first
 * to count its keys of each bin, then to place them: behind those of lower bins, of the same bin in parts and in warps
 * before it, and of its own before. Lanes with equal bins find each other by votes, so there is one order; only counts
 * are atomic. Keys are those of mdl_sort.h. Memory is asked for MDL_SORT_AHEAD times 32 keys before the first of them
 * are looked at. */
#ifndef MDL_BLOCK_SORT_H
#define MDL_BLOCK_SORT_H

enum { MDL_SORT_BINS = 256, MDL_SORT_AHEAD = 4 };

/* The lanes whose bin is this lane's; what a lane without key gets is of no use. */
MDL_FN uint32_t mdl_peers(int bin, int in)
{
    uint32_t same = mdl_ballot(in);
    MDL_UNROLL
    for (int b = 0; b < 8; b++) {
        int bit = bin >> b & 1;
        uint32_t set = mdl_ballot(bit);
        same &= bit ? set : ~set;
    }
    return same;
}

/* count[warp][bin] become the places of warps among the keys of a bin; total: how many there are. */
MDL_FN void mdl_sort_before(int32_t *count, int32_t *total, int warps)
{
    for (int bin = mdl_thread(); bin < MDL_SORT_BINS; bin += warps * 32) {
        int32_t sum = 0;
        for (int w = 0; w < warps; w++) {
            int32_t n = count[w * MDL_SORT_BINS + bin];
            count[w * MDL_SORT_BINS + bin] = sum;
            sum += n;
        }
        total[bin] = sum;
    }
}

/* How many keys there are of each bin becomes where the bin begins; by the first warp. */
MDL_FN void mdl_sort_begin(int32_t *total)
{
    enum { EACH = MDL_SORT_BINS / 32 };
    int32_t *own = total + mdl_lane() * EACH, sum = 0;
    for (int j = 0; j < EACH; j++)
        sum += own[j];
    int32_t end = sum;
    MDL_UNROLL
    for (int h = 1; h < 32; h *= 2) {
        int32_t before = mdl_shfl_up_i32(end, h);
        end += mdl_lane() >= h ? before : 0;
    }
    int32_t at = end - sum;
    for (int j = 0; j < EACH; j++) {
        int32_t n = own[j];
        own[j] = at;
        at += n;
    }
}

/* Of a line that several blocks order: counts[part][bin] are the keys of each part. total[bin] becomes how many keys
 * are of the bin, and ahead[bin] how many of them are in parts before this one. */
MDL_FN void mdl_sort_parts(const int32_t *counts, int part, int parts, int32_t *total,
                           int32_t *ahead, int warps)
{
    for (int bin = mdl_thread(); bin < MDL_SORT_BINS; bin += warps * 32) {
        int32_t all = 0, before = 0;
        for (int p = 0; p < parts; p++) {
            int32_t n = counts[p * MDL_SORT_BINS + bin];
            all += n;
            before += p < part ? n : 0;
        }
        total[bin] = all;
        ahead[bin] = before;
    }
}

/* MDL_SORT_KEYS(name, T): what a warp does with its keys, from `from` to `to` of the line. count: how many there are
 * in each bin, into `own`. place: to where the bin begins (total), behind those before this warp's (own). idx NULL:
 * keys are where they were. */
#define MDL_SORT_KEYS(name, T)                                                                  \
    MDL_FN void mdl_sort_count_##name(const T *key, int64_t from, int64_t to, int byte,         \
                                      int32_t *own)                                             \
    {                                                                                           \
        for (int bin = mdl_lane(); bin < MDL_SORT_BINS; bin += 32)                              \
            own[bin] = 0;                                                                       \
        mdl_syncwarp();                                                                         \
        for (int64_t at = from + mdl_lane(); at - mdl_lane() < to; at += 32 * MDL_SORT_AHEAD) { \
            T k[MDL_SORT_AHEAD];                                                                \
            MDL_UNROLL                                                                          \
            for (int j = 0; j < MDL_SORT_AHEAD; j++)                                            \
                k[j] = at + 32 * j < to ? key[at + 32 * j] : 0;                                 \
            MDL_UNROLL                                                                          \
            for (int j = 0; j < MDL_SORT_AHEAD; j++) {                                          \
                if (at + 32 * j < to)                                                           \
                    mdl_atomic_add_i32(&own[k[j] >> byte * 8 & 255], 1);                        \
            }                                                                                   \
        }                                                                                       \
    }                                                                                           \
    MDL_FN void mdl_sort_place_##name(const T *key, const int32_t *idx, T *key2, int32_t *idx2, \
                                      int64_t from, int64_t to, int byte, const int32_t *total, \
                                      int32_t *own)                                             \
    {                                                                                           \
        for (int64_t at = from + mdl_lane(); at - mdl_lane() < to; at += 32 * MDL_SORT_AHEAD) { \
            T k[MDL_SORT_AHEAD];                                                                \
            int32_t x[MDL_SORT_AHEAD];                                                          \
            MDL_UNROLL                                                                          \
            for (int j = 0; j < MDL_SORT_AHEAD; j++) {                                          \
                int64_t i = at + 32 * j;                                                        \
                k[j] = i < to ? key[i] : 0;                                                     \
                x[j] = (int32_t)i;                                                              \
                if (idx && i < to)                                                              \
                    x[j] = idx[i];                                                              \
            }                                                                                   \
            MDL_UNROLL                                                                          \
            for (int j = 0; j < MDL_SORT_AHEAD; j++) {                                          \
                int in = at + 32 * j < to, bin = (int)(k[j] >> byte * 8 & 255);                 \
                uint32_t same = mdl_peers(bin, in);                                             \
                int before = mdl_bits_before(same);                                             \
                int place = in ? total[bin] + own[bin] + before : 0;                            \
                mdl_syncwarp();                                                                 \
                if (in) {                                                                       \
                    key2[place] = k[j];                                                         \
                    idx2[place] = x[j];                                                         \
                }                                                                               \
                if (in && before == 0)                                                          \
                    own[bin] += mdl_bits(same);                                                 \
                mdl_syncwarp();                                                                 \
            }                                                                                   \
        }                                                                                       \
    }
MDL_SORT_KEYS(u32, uint32_t)
MDL_SORT_KEYS(u64, uint64_t)

/* MDL_BLOCK_SORT(name, T): the order of the n keys at `keys` goes to `indices`; both have room for 2 n, and the keys
 * are lost. count: shared, room for (warps + 1) MDL_SORT_BINS. */
#define MDL_BLOCK_SORT(name, T)                                                                    \
    MDL_SORT_FN void mdl_block_argsort_##name(void *keys, void *indices, int64_t n,                \
                                              int32_t *count, int warps)                           \
    {                                                                                              \
        T *key = (T *)keys, *key2 = key + n;                                                       \
        int32_t *idx = (int32_t *)indices, *idx2 = idx + n;                                        \
        int32_t *total = count + warps * MDL_SORT_BINS, *own = count + mdl_warp() * MDL_SORT_BINS; \
        int64_t each = (n + warps * 32 - 1) / (warps * 32) * 32;                                   \
        int64_t from = mdl_lo(mdl_warp() * each, n), to = mdl_lo(from + each, n);                  \
        for (int byte = 0; byte < (int)sizeof(T); byte++) {                                        \
            mdl_sort_count_##name(key, from, to, byte, own);                                       \
            mdl_syncthreads();                                                                     \
            mdl_sort_before(count, total, warps);                                                  \
            mdl_syncthreads();                                                                     \
            if (mdl_warp() == 0)                                                                   \
                mdl_sort_begin(total);                                                             \
            mdl_syncthreads();                                                                     \
            mdl_sort_place_##name(key, byte ? idx : 0, key2, idx2, from, to, byte, total, own);    \
            mdl_syncthreads();                                                                     \
            T *turn = key;                                                                         \
            key = key2;                                                                            \
            key2 = turn;                                                                           \
            int32_t *x = idx;                                                                      \
            idx = idx2;                                                                            \
            idx2 = x;                                                                              \
        }                                                                                          \
    }
MDL_BLOCK_SORT(u32, uint32_t)
MDL_BLOCK_SORT(u64, uint64_t)

/* A part of a very long line, which several blocks order, a round of two launches for each 8 bits: first each counts the
 * keys of its part, then places them. MDL_SORT_PART(name, T): from .. to: the part; counts: [part][bin] of the line, in
 * memory; count: shared, room for (warps + 2) MDL_SORT_BINS. In the first round keys are where they were. */
#define MDL_SORT_PART(name, T)                                                                     \
    MDL_SORT_FN void mdl_part_count_##name(const void *keys, int64_t from, int64_t to, int byte,   \
                                           int32_t *counts, int part, int32_t *count, int warps)   \
    {                                                                                              \
        int64_t each = (to - from + warps * 32 - 1) / (warps * 32) * 32;                           \
        int64_t first = mdl_lo(from + mdl_warp() * each, to), end = mdl_lo(first + each, to);      \
        mdl_sort_count_##name((const T *)keys, first, end, byte,                                   \
                              count + mdl_warp() * MDL_SORT_BINS);                                 \
        mdl_syncthreads();                                                                         \
        mdl_sort_before(count, counts + part * MDL_SORT_BINS, warps);                              \
    }                                                                                              \
    MDL_SORT_FN void mdl_part_place_##name(const void *keys, const int32_t *idx, void *keys2,      \
                                           int32_t *idx2, int64_t from, int64_t to, int byte,      \
                                           const int32_t *counts, int part, int parts,             \
                                           int32_t *count, int warps)                              \
    {                                                                                              \
        int32_t *total = count + warps * MDL_SORT_BINS, *ahead = total + MDL_SORT_BINS;            \
        int32_t *own = count + mdl_warp() * MDL_SORT_BINS;                                         \
        int64_t each = (to - from + warps * 32 - 1) / (warps * 32) * 32;                           \
        int64_t first = mdl_lo(from + mdl_warp() * each, to), end = mdl_lo(first + each, to);      \
        mdl_sort_count_##name((const T *)keys, first, end, byte, own);                             \
        mdl_syncthreads();                                                                         \
        mdl_sort_before(count, total, warps);                                                      \
        mdl_sort_parts(counts, part, parts, total, ahead, warps);                                  \
        mdl_syncthreads();                                                                         \
        if (mdl_warp() == 0)                                                                       \
            mdl_sort_begin(total);                                                                 \
        mdl_syncthreads();                                                                         \
        for (int bin = mdl_thread(); bin < MDL_SORT_BINS; bin += warps * 32)                       \
            total[bin] += ahead[bin];                                                              \
        mdl_syncthreads();                                                                         \
        mdl_sort_place_##name((const T *)keys, byte ? idx : 0, (T *)keys2, idx2, first, end, byte, \
                              total, own);                                                         \
    }
MDL_SORT_PART(u32, uint32_t)
MDL_SORT_PART(u64, uint64_t)

#endif

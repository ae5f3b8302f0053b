/* mdl_block_sort.h: the stable order of one long line, by all threads of a block: radix, 8 bits at a time. Each warp
 * has a part of the line and walks it 32 keys at a time, first to count its keys of each bin, then to place
 * them: behind those of lower bins, of the same bin in warps before it, and of its own before. Lanes with equal
 * bins find each other by votes, so there is one order; only counts are atomic. Keys are those of mdl_sort.h. Memory is asked
 * for MDL_SORT_AHEAD times 32 keys before the first of them are looked at. */
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

/* count[warp][bin] become places of the block; total: room for MDL_SORT_BINS. */
MDL_FN void mdl_sort_places(int32_t *count, int32_t *total, int warps)
{
    enum { EACH = MDL_SORT_BINS / 32 };
    for (int bin = mdl_thread(); bin < MDL_SORT_BINS; bin += warps * 32) {
        int32_t sum = 0;
        for (int w = 0; w < warps; w++) {
            int32_t n = count[w * MDL_SORT_BINS + bin];
            count[w * MDL_SORT_BINS + bin] = sum;
            sum += n;
        }
        total[bin] = sum;
    }
    mdl_syncthreads();
    if (mdl_warp() == 0) {
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
    mdl_syncthreads();
}

/* MDL_BLOCK_SORT(name, T): the order of the n keys at `keys` goes to `indices`; both have room for 2 n, and the keys
 * are lost. count: shared, room for (warps + 1) MDL_SORT_BINS. */
#define MDL_BLOCK_SORT(name, T)                                                                    \
    MDL_SORT_FN void name(void *keys, void *indices, int64_t n, int32_t *count, int warps)         \
    {                                                                                              \
        T *key = (T *)keys, *key2 = key + n;                                                       \
        int32_t *idx = (int32_t *)indices, *idx2 = idx + n;                                        \
        int32_t *total = count + warps * MDL_SORT_BINS, *own = count + mdl_warp() * MDL_SORT_BINS; \
        int64_t each = (n + warps * 32 - 1) / (warps * 32) * 32;                                   \
        int64_t from = mdl_lo(mdl_warp() * each, n), to = mdl_lo(from + each, n);                  \
        for (int64_t i = from + mdl_lane(); i < to; i += 32)                                       \
            idx[i] = (int32_t)i;                                                                   \
        for (int byte = 0; byte < (int)sizeof(T); byte++) {                                        \
            for (int bin = mdl_lane(); bin < MDL_SORT_BINS; bin += 32)                             \
                own[bin] = 0;                                                                      \
            mdl_syncwarp();                                                                        \
            for (int64_t at = from + mdl_lane(); at - mdl_lane() < to;                             \
                 at += 32 * MDL_SORT_AHEAD) {                                                      \
                T k[MDL_SORT_AHEAD];                                                               \
                MDL_UNROLL                                                                         \
                for (int j = 0; j < MDL_SORT_AHEAD; j++)                                           \
                    k[j] = at + 32 * j < to ? key[at + 32 * j] : 0;                                \
                MDL_UNROLL                                                                         \
                for (int j = 0; j < MDL_SORT_AHEAD; j++) {                                         \
                    if (at + 32 * j < to)                                                          \
                        mdl_atomic_add_i32(&own[k[j] >> byte * 8 & 255], 1);                       \
                }                                                                                  \
            }                                                                                      \
            mdl_syncthreads();                                                                     \
            mdl_sort_places(count, total, warps);                                                  \
            for (int64_t at = from + mdl_lane(); at - mdl_lane() < to;                             \
                 at += 32 * MDL_SORT_AHEAD) {                                                      \
                T k[MDL_SORT_AHEAD];                                                               \
                int32_t x[MDL_SORT_AHEAD];                                                         \
                MDL_UNROLL                                                                         \
                for (int j = 0; j < MDL_SORT_AHEAD; j++) {                                         \
                    k[j] = at + 32 * j < to ? key[at + 32 * j] : 0;                                \
                    x[j] = at + 32 * j < to ? idx[at + 32 * j] : 0;                                \
                }                                                                                  \
                MDL_UNROLL                                                                         \
                for (int j = 0; j < MDL_SORT_AHEAD; j++) {                                         \
                    int in = at + 32 * j < to, bin = (int)(k[j] >> byte * 8 & 255);                \
                    uint32_t same = mdl_peers(bin, in);                                            \
                    int before = mdl_bits_before(same);                                            \
                    int place = in ? total[bin] + own[bin] + before : 0;                           \
                    mdl_syncwarp();                                                                \
                    if (in) {                                                                      \
                        key2[place] = k[j];                                                        \
                        idx2[place] = x[j];                                                        \
                    }                                                                              \
                    if (in && before == 0)                                                         \
                        own[bin] += mdl_bits(same);                                                \
                    mdl_syncwarp();                                                                \
                }                                                                                  \
            }                                                                                      \
            mdl_syncthreads();                                                                     \
            T *turn = key;                                                                         \
            key = key2;                                                                            \
            key2 = turn;                                                                           \
            int32_t *x = idx;                                                                      \
            idx = idx2;                                                                            \
            idx2 = x;                                                                              \
        }                                                                                          \
    }
MDL_BLOCK_SORT(mdl_block_argsort_u32, uint32_t)
MDL_BLOCK_SORT(mdl_block_argsort_u64, uint64_t)

#endif

/* mdl_attend_group.h: what warpgroups of 128 threads do with a tile of an attention (sm_90a): products by wgmma
 * of rows that lie in lines of 128 bytes (mdl_line), softmax while other products are on their way, and the
 * rings that some warps fill and others use.
 *
 * A warpgroup has 64 rows, 16 a warp, in the order of mdl_attend.h. Products are begun here and are done when
 * mdl_wgmma_wait says so; only then are sums, and weights that are an operand, the threads' own again. */
#ifndef MDL_ATTEND_GROUP_H
#define MDL_ATTEND_GROUP_H

#if !defined(MDL_WITHOUT_WGMMA) && (!defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL))

/* Rows of the block, of a step; columns that both have (depth), that are multiplied by weights. */
typedef struct MdlAttendGroup {
    int rows, cols, depth, columns;
} MdlAttendGroup;

/* ---- barriers ---- */

/* Of a block: what it holds is there, is needed no longer; whose turn it is among the groups that multiply; stages of
 * two rings, full and free. */
typedef struct MdlAttendBars {
    uint64_t *held, *spent, *turn, *full[2], *free[2];
    int groups, stages;
} MdlAttendBars;

MDL_FN MdlAttendBars mdl_attend_bars(uint64_t *at, int groups, int stages)
{
    uint64_t *ring = at + 2 + groups;
    MdlAttendBars b = {
        at,     at + 1, at + 2, {ring, ring + stages}, {ring + stages * 2, ring + stages * 3},
        groups, stages};
    return b;
}

/* By all threads, before anything else: arrivals that make full what is held, or a stage. Each warp that multiplies
 * arrives where it needs a stage no longer. */
MDL_FN void mdl_attend_open(MdlAttendBars b, int held, int full)
{
    if (mdl_thread() == 0) {
        mdl_mbar_init(b.held, held);
        mdl_mbar_init(b.spent, b.groups * 4);
        for (int i = 0; i < b.groups; i++)
            mdl_mbar_init(b.turn + i, 4);
        for (int i = 0; i < b.stages * 2; i++) {
            mdl_mbar_init(b.full[0] + i, full);
            mdl_mbar_init(b.free[0] + i, b.groups * 4);
        }
        mdl_mbar_fence_init();
    }
    mdl_syncthreads();
}

/* Until stage step % stages is full for this step; is free for it. */
MDL_FN void mdl_attend_await_full(uint64_t *bar, int step, int stages)
{
    mdl_mbar_wait(bar + step % stages, step / stages & 1);
}

MDL_FN void mdl_attend_await_free(uint64_t *bar, int step, int stages)
{
    mdl_mbar_wait(bar + step % stages, (step / stages & 1) ^ 1);
}

/* This warp has done with what the barrier guards. */
MDL_FN void mdl_attend_arrive(uint64_t *bar)
{
    mdl_syncwarp();
    if (mdl_lane() == 0)
        mdl_mbar_arrive(bar);
}

/* The copies of this warp are there, and will be seen by wgmma. */
MDL_FN void mdl_attend_filled(uint64_t *bar)
{
    mdl_cp_commit();
    mdl_cp_wait(0);
    mdl_fence_async();
    mdl_attend_arrive(bar);
}

/* Groups begin their products one after the other: so while one multiplies, another finds weights. */
MDL_FN void mdl_attend_await_turn(MdlAttendBars b, int step)
{
    int group = mdl_warp() / 4;
    if (b.groups > 1)
        mdl_mbar_wait(b.turn + group, (step & 1) ^ (group == 0));
}

MDL_FN void mdl_attend_pass_turn(MdlAttendBars b)
{
    if (b.groups > 1)
        mdl_attend_arrive(b.turn + (mdl_warp() / 4 + 1) % b.groups);
}

/* ---- dealing ---- */

/* The next ticket of a count that begins at 0, in the warp's first lane; a warp draws while others still work. */
MDL_FN int32_t mdl_attend_draw(int32_t *count)
{
    return mdl_lane() == 0 ? mdl_atomic_add_i32(count, 1) : 0;
}

/* Which tile a ticket is for: the number of its head, times tiles, and that among the `tiles` of it. `units` heads of
 * keys have `group` heads of queries each, side by side; at most about `most` of them are a section, of which there are
 * as many as are needed, of the same size but for one unit. A section has the last tiles of all its heads first: they
 * see the most keys, if keys end at the query. */
MDL_FN int mdl_attend_place_of(int ticket, int units, int most, int group, int tiles)
{
    const int sections = (units + most - 1) / most;
    const int fewer = units / sections, small = sections - units % sections;
    const int before = small * fewer * group * tiles;
    const int heads = (ticket < before ? fewer : fewer + 1) * group;
    const int left = ticket < before ? ticket : ticket - before;
    const int section = left / (heads * tiles), in = left - section * (heads * tiles);
    const int first = (ticket < before ? 0 : small * fewer * group) + section * heads;
    return (first + in % heads) * tiles + (tiles - 1 - in / heads);
}

/* ---- copies ---- */

/* What one thread copies of a tile of `count` lines: a chunk of every `step`th line, of which `bytes` exist, from
 * `line` on; memory has lines `pitch` bytes apart. */
typedef struct MdlAttendLines {
    int count, line, step, chunk, bytes;
    int64_t pitch;
} MdlAttendLines;

MDL_FN void mdl_attend_copy(void *to, const void *from, MdlAttendLines l)
{
    const char *p = (const char *)from;
    int turns = l.count / l.step;
    MDL_ROLLED
    for (int first = 0; first < turns; first += 8) {
        MDL_UNROLL
        for (int i = 0; i < 8 && i < turns; i++) {
            int line = l.line + (first + i) * l.step;
            mdl_cp_async16((char *)to + mdl_line(line, l.chunk, l.count), p, l.bytes);
            p += l.pitch * l.step;
        }
    }
}

/* ---- products ---- */

/* Where a tile of lines lies, with panels `panel` bytes apart (where it is read across them): the same in all lanes,
 * which the compiler cannot know. */
MDL_FN uint64_t mdl_attend_place(const void *tile, int panel)
{
    return mdl_wgmma_desc_uniform(mdl_wgmma_desc(tile, panel, 1024, 128));
}

/* Some bytes behind a place: of its fields only the address changes. */
MDL_FN uint64_t mdl_attend_behind(uint64_t place, int bytes)
{
    return (place & ~UINT64_C(0xffffffff)) | (uint32_t)((uint32_t)place + (uint32_t)(bytes >> 4));
}

#define MDL_ATTEND_SCORES_STEP(T, n) \
    if (t.cols == n)                 \
        mdl_wgmma_##T##_n##n(x, at, bt, k > 0);

/* x = a bT: the warpgroup's rows of a and the t.cols rows of b. */
#define MDL_ATTEND_GROUP_SCORES(T)                                                     \
    MDL_FN void mdl_attend_group_scores_##T(float *x, const void *a, const void *b,    \
                                            MdlAttendGroup t)                          \
    {                                                                                  \
        const char *rows = (const char *)a + mdl_warp() / 4 * (64 * 128);              \
        const uint64_t pa = mdl_attend_place(rows, 16), pb = mdl_attend_place(b, 16);  \
        mdl_wgmma_fence();                                                             \
        MDL_UNROLL                                                                     \
        for (int k = 0; k < t.depth; k += 16) {                                        \
            uint64_t at = mdl_attend_behind(pa, k / 64 * (t.rows * 128) + k % 64 * 2); \
            uint64_t bt = mdl_attend_behind(pb, k / 64 * (t.cols * 128) + k % 64 * 2); \
            MDL_ATTEND_SCORES_STEP(T, 32)                                              \
            MDL_ATTEND_SCORES_STEP(T, 64)                                              \
            MDL_ATTEND_SCORES_STEP(T, 128)                                             \
        }                                                                              \
        mdl_wgmma_commit();                                                            \
    }
MDL_ATTEND_GROUP_SCORES(bf16)
MDL_ATTEND_GROUP_SCORES(f16)

#define MDL_ATTEND_VALUES_STEP(T, n) \
    if (t.columns == n)              \
        mdl_wgmma_##T##_rs_n##n##_t(x, p + k / 4, bt, 1);

/* x += p b: p packed weights of t.cols rows of b, which have t.columns each. */
#define MDL_ATTEND_GROUP_VALUES(T)                                                      \
    MDL_FN void mdl_attend_group_values_##T(float *x, const uint32_t *p, const void *b, \
                                            MdlAttendGroup t)                           \
    {                                                                                   \
        const uint64_t pb = mdl_attend_place(b, t.cols * 128);                          \
        mdl_wgmma_fence();                                                              \
        MDL_UNROLL                                                                      \
        for (int k = 0; k < t.cols; k += 16) {                                          \
            uint64_t bt = mdl_attend_behind(pb, k * 128);                               \
            MDL_ATTEND_VALUES_STEP(T, 16)                                               \
            MDL_ATTEND_VALUES_STEP(T, 32)                                               \
            MDL_ATTEND_VALUES_STEP(T, 64)                                               \
            MDL_ATTEND_VALUES_STEP(T, 96)                                               \
            MDL_ATTEND_VALUES_STEP(T, 128)                                              \
            MDL_ATTEND_VALUES_STEP(T, 192)                                              \
            MDL_ATTEND_VALUES_STEP(T, 256)                                              \
        }                                                                               \
        mdl_wgmma_commit();                                                             \
    }
MDL_ATTEND_GROUP_VALUES(bf16)
MDL_ATTEND_GROUP_VALUES(f16)

/* ---- gradients of queries, by turns ---- */

/* Barriers of a block that adds in turn: there is room for what is added; it lies there. */
MDL_FN void mdl_attend_turn_open(uint64_t *at, int groups)
{
    if (mdl_thread() == 0) {
        mdl_mbar_init(at, 1);
        mdl_mbar_init(at + 1, groups * 4);
    }
}

/* Packed weights of this group's rows to lines of shared memory, t.rows of them, in panels of 64 columns. */
MDL_FN void mdl_attend_lay_packed(void *tile, const uint32_t *p, MdlAttendGroup t)
{
    int lane = mdl_lane(), line = mdl_warp() * 16 + lane / 4;
    MDL_UNROLL
    for (int j = 0; j < t.cols / 4; j++) {
        char *at = (char *)tile + mdl_line(line + j % 2 * 8, j / 2, t.rows);
        *(uint32_t *)(at + lane % 4 * 4) = p[j];
    }
}

#define MDL_ATTEND_TURNED_STEP(T, n) \
    if (t.columns == n * 2)          \
        mdl_wgmma_##T##_ta_n##n##_t(x, at, bt, i > 0);

/* x = the laid weights, turned, times what is held: 64 queries by half of the columns, for each of two groups. */
#define MDL_ATTEND_GROUP_TURNED(T)                                                           \
    MDL_FN void mdl_attend_group_turned_##T(float *x, const void *weights, const void *k,    \
                                            MdlAttendGroup t)                                \
    {                                                                                        \
        int column = mdl_warp() / 4 * (t.columns / 2);                                       \
        const char *half = (const char *)k + column / 64 * (t.rows * 128) + column % 64 * 2; \
        const uint64_t pa = mdl_attend_place(weights, t.rows * 128);                         \
        const uint64_t pb = mdl_attend_place(half, t.rows * 128);                            \
        mdl_wgmma_fence();                                                                   \
        MDL_UNROLL                                                                           \
        for (int i = 0; i < t.rows; i += 16) {                                               \
            uint64_t at = mdl_attend_behind(pa, i * 128);                                    \
            uint64_t bt = mdl_attend_behind(pb, i * 128);                                    \
            MDL_ATTEND_TURNED_STEP(T, 32)                                                    \
            MDL_ATTEND_TURNED_STEP(T, 64)                                                    \
        }                                                                                    \
        mdl_wgmma_commit();                                                                  \
    }
MDL_ATTEND_GROUP_TURNED(bf16)
MDL_ATTEND_GROUP_TURNED(f16)

/* These to shared memory, from where they are added to others: 8 columns of all 64 queries after the other, so that
 * neither this meets in a bank, nor a row is read in small parts. */
MDL_FN void mdl_attend_lay_sums(float *to, const float *x, MdlAttendGroup t)
{
    int lane = mdl_lane(), row = mdl_warp() % 4 * 16 + lane / 4;
    float *at = to + mdl_warp() / 4 * (t.columns / 2) * 64 + row * 8 + lane % 4 * 2;
    MDL_UNROLL
    for (int j = 0; j < t.columns / 16; j++) {
        mdl_store2_f32(at + j * 512, x[j * 4], x[j * 4 + 1]);
        mdl_store2_f32(at + j * 512 + 64, x[j * 4 + 2], x[j * 4 + 3]);
    }
}

/* The group's sums to rows of t.columns in memory, of which there are `lines`. */
MDL_FN void mdl_attend_put(float *to, const float *x, int lines, MdlAttendGroup t)
{
    int lane = mdl_lane(), row = mdl_warp() * 16 + lane / 4;
    float *at = to + (int64_t)row * t.columns + lane % 4 * 2;
    MDL_UNROLL
    for (int r = 0; r < 2; r++) {
        if (row + r * 8 >= lines)
            break;
        MDL_UNROLL
        for (int j = 0; j < t.columns / 8; j++)
            mdl_store2_f32(at + r * 8 * t.columns + j * 8, x[j * 4 + r * 2], x[j * 4 + r * 2 + 1]);
    }
}

/* ---- softmax ---- */

/* The sums are the threads' again: what is done with them is not done before this. */
MDL_FN void mdl_attend_settle(float *x, int n)
{
    MDL_UNROLL
    for (int i = 0; i < n; i++)
        MDL_SETTLE_F32(x[i]);
}

/* Weights in place of n scores in each row: 2^((score - largest so far) by); shrink: by what the sums and
 * outputs of the keys before shrink. */
MDL_FN void mdl_attend_weights(float *x, float *top, float *sum, float *shrink, float by, int n)
{
    MDL_UNROLL
    for (int r = 0; r < 2; r++) {
        float most[2] = {top[r], top[r]}, total[2] = {0, 0};
        MDL_UNROLL
        for (int j = 0; j < n / 4; j++)
            most[j % 2] = mdl_attend_most(x[j / 2 * 4 + r * 2 + j % 2], most[j % 2]);
        float all = mdl_attend_most(most[0], most[1]);
        all = mdl_attend_most(mdl_shfl_xor_f32(all, 1), all);
        all = mdl_attend_most(mdl_shfl_xor_f32(all, 2), all);
        /* a row that has seen no key yet has weights 0 */
        float base = all > -3.402823466e+38f ? all * by : 0;
        shrink[r] = mdl_exp2_fast(mdl_fma_f32(top[r], by, -base));
        MDL_UNROLL
        for (int j = 0; j < n / 4; j++) {
            float *at = x + j / 2 * 4 + r * 2 + j % 2;
            *at = mdl_exp2_fast(mdl_fma_f32(*at, by, -base));
            total[j % 2] += *at;
        }
        top[r] = all;
        sum[r] = sum[r] * shrink[r] + (total[0] + total[1]);
    }
}

MDL_FN void mdl_attend_shrink(float *out, const float *shrink, int columns)
{
    MDL_UNROLL
    for (int j = 0; j < columns / 2; j++)
        out[j] *= shrink[j / 2 % 2];
}

#define MDL_ATTEND_PACK(T)                                              \
    MDL_FN void mdl_attend_pack_##T(uint32_t *p, const float *x, int n) \
    {                                                                   \
        MDL_UNROLL                                                      \
        for (int j = 0; j < n / 4; j++)                                 \
            p[j] = mdl_pack_##T(x[j * 2], x[j * 2 + 1]);                \
    }
MDL_ATTEND_PACK(bf16)
MDL_ATTEND_PACK(f16)

/* ---- results ---- */

/* Word j of lane i and word i of lane j change places, among four lanes side by side. */
MDL_FN void mdl_attend_turn_words(uint32_t *w, int lane)
{
    MDL_UNROLL
    for (int bit = 1; bit <= 2; bit *= 2) {
        const int upper = (lane & bit) != 0;
        MDL_UNROLL
        for (int i = 0; i < 4; i++)
            if ((i & bit) == 0) {
                const uint32_t mine = upper ? w[i] : w[i + bit];
                const uint32_t got = (uint32_t)mdl_shfl_xor_i32((int32_t)mine, bit);
                w[i] = upper ? got : w[i];
                w[i + bit] = upper ? w[i + bit] : got;
            }
    }
}

/* The warp's 16 rows of packed sums, t.columns of 16 bits, to memory: `to` the first of them, `pitch` elements from row
 * to row, `rows` of which there are, `used` columns. Lanes that share a row exchange words, so that each has 8 columns
 * side by side. */
MDL_FN void mdl_attend_put_packed(uint16_t *to, int64_t pitch, const uint32_t *p, int rows,
                                  int used, MdlAttendGroup t)
{
    const int lane = mdl_lane_again(), column = lane % 4 * 8;
    MDL_UNROLL
    for (int r = 0; r < 2; r++) {
        const int row = lane / 4 + r * 8;
        uint16_t *at = to + row * pitch + column;
        MDL_UNROLL
        for (int first = 0; first < t.columns; first += 32) {
            uint32_t w[4];
            MDL_UNROLL
            for (int i = 0; i < 4; i++)
                w[i] = p[first / 4 + i * 2 + r];
            mdl_attend_turn_words(w, lane);
            if (row < rows && first + column < used)
                mdl_put_words(at + first, w, 4);
        }
    }
}

#endif
#endif

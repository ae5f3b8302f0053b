/* mdl_attend.h: what warps do with a tile of an attention: products of rows, softmax over keys, products of
 * weights. Used by the GPU and by its emulator; sizes are constants of the kernel's text.
 *
 * A warp has 16 rows, in the registers of an accumulator of mma.m16n8k16 (PTX ISA 9.7.14.5.8), for all operand
 * types: x[j * 4 + r * 2 + c] is row lane / 4 + 8 r, column 8 j + lane % 4 * 2 + c. So weights made of scores in
 * place are the left side of the next product without a trip through shared memory.
 *
 * Operands in shared memory lie in rows of 16-byte chunks, exchanged within a row (mdl_chunk), so rows are 1, 2,
 * 4 or a multiple of 8 chunks apart. f32 operands are multiplied and added one by one. */
#ifndef MDL_ATTEND_H
#define MDL_ATTEND_H

typedef struct __attribute__((aligned(16))) MdlQuad {
    float v[4];
} MdlQuad;

/* Chunks from row to row of one kind of operand. */
MDL_FN MdlTile mdl_attend_rows_along(int chunks)
{
    MdlTile t = {0, chunks * 8, chunks * 8, 1, 1, 1, 1};
    return t;
}

MDL_FN MdlTile mdl_attend_rows_across(int chunks)
{
    MdlTile t = {0, chunks * 8, chunks * 8, 1, 1, 1, 0};
    return t;
}

MDL_FN void mdl_attend_zero(float *x, int n)
{
    MDL_UNROLL
    for (int i = 0; i < n; i++)
        x[i] = 0;
}

/* The least, the greatest that lanes of the warp have. */
MDL_FN int64_t mdl_warp_least(int64_t x)
{
    MDL_UNROLL
    for (int h = 16; h > 0; h /= 2) {
        int64_t other = mdl_shfl_xor_i64(x, h);
        x = other < x ? other : x;
    }
    return x;
}

MDL_FN int64_t mdl_warp_most(int64_t x)
{
    return -mdl_warp_least(-x);
}

/* .. that threads of the block have: through `room` for one of each warp, which may be in use till here. */
#define MDL_BLOCK_LEAST(name, T, of_warp)  \
    MDL_FN T name(T x, T *room, int warps) \
    {                                      \
        x = of_warp(x);                    \
        mdl_syncthreads();                 \
        if (mdl_lane() == 0)               \
            room[mdl_warp()] = x;          \
        mdl_syncthreads();                 \
        for (int w = 0; w < warps; w++)    \
            x = room[w] < x ? room[w] : x; \
        mdl_syncthreads();                 \
        return x;                          \
    }
MDL_BLOCK_LEAST(mdl_block_least, int64_t, mdl_warp_least)
MDL_BLOCK_LEAST(mdl_block_least_i32, int32_t, mdl_warp_min_i32)

MDL_FN float mdl_warp_sum(float x)
{
    MDL_UNROLL
    for (int h = 16; h > 0; h /= 2)
        x += mdl_shfl_xor_f32(x, h);
    return x;
}

/* Which block of a launch this one is, in the order in which they begin; `room`: a word that nobody uses before or
 * behind this. By all threads. */
MDL_FN int mdl_attend_ticket(int32_t *counter, int32_t *room)
{
    if (mdl_thread() == 0)
        *room = mdl_atomic_add_i32(counter, 1);
    mdl_syncthreads();
    return *room;
}

/* By a warp: n floats, in eights of which there are 64 to the next one. */
MDL_FN void mdl_attend_clear(float *p, int n)
{
    for (int i = mdl_lane(); i < n; i += 32)
        p[i / 8 * 512 + i % 8] = 0;
    mdl_syncwarp();
}

/* ---- tensor cores ---- */

/* x = a bT: of 16 rows of a, the warp's, and n of b (a multiple of 16), over `depth` columns (the same). */
#define MDL_ATTEND_SCORES(name)                                                                    \
    MDL_FN void mdl_attend_scores_##name(float *x, const void *a, const void *b, int n, int depth, \
                                         int chunks)                                               \
    {                                                                                              \
        const MdlTile t = mdl_attend_rows_along(chunks);                                           \
        int row = mdl_warp() * 16;                                                                 \
        mdl_attend_zero(x, n / 2);                                                                 \
        MDL_UNROLL                                                                                 \
        for (int k = 0; k < depth; k += 16) {                                                      \
            uint32_t ra[4], rb[4];                                                                 \
            mdl_load_a(ra, (const char *)a, t, row, k);                                            \
            MDL_UNROLL                                                                             \
            for (int j = 0; j < n; j += 16) {                                                      \
                mdl_load_b(rb, (const char *)b, t, j, k);                                          \
                mdl_mma_##name(x + j / 2, ra, rb);                                                 \
                mdl_mma_##name(x + j / 2 + 4, ra, rb + 2);                                         \
            }                                                                                      \
        }                                                                                          \
    }
MDL_ATTEND_SCORES(bf16)
MDL_ATTEND_SCORES(f16)

/* x += p b: p 16 rows of n weights in registers, rounded to the operands' type, b n rows of `columns` (both
 * multiples of 16). */
#define MDL_ATTEND_VALUES(name)                                                                 \
    MDL_FN void mdl_attend_values_##name(float *x, const float *p, const void *b, int n,        \
                                         int columns, int chunks)                               \
    {                                                                                           \
        const MdlTile t = mdl_attend_rows_across(chunks);                                       \
        MDL_UNROLL                                                                              \
        for (int k = 0; k < n; k += 16) {                                                       \
            const float *q = p + k / 2;                                                         \
            uint32_t rb[4], ra[4] = {mdl_pack_##name(q[0], q[1]), mdl_pack_##name(q[2], q[3]),  \
                                     mdl_pack_##name(q[4], q[5]), mdl_pack_##name(q[6], q[7])}; \
            MDL_UNROLL                                                                          \
            for (int j = 0; j < columns; j += 16) {                                             \
                mdl_load_b(rb, (const char *)b, t, j, k);                                       \
                mdl_mma_##name(x + j / 2, ra, rb);                                              \
                mdl_mma_##name(x + j / 2 + 4, ra, rb + 2);                                      \
            }                                                                                   \
        }                                                                                       \
    }
MDL_ATTEND_VALUES(bf16)
MDL_ATTEND_VALUES(f16)

/* ---- multiply-adds of f32 ---- */

MDL_FN void mdl_attend_scores_f32(float *x, const void *a, const void *b, int n, int depth,
                                  int chunks)
{
    int lane = mdl_lane(), row = mdl_warp() * 16 + lane / 4, column = lane % 4 * 2;
    mdl_attend_zero(x, n / 2);
    MDL_ROLLED
    for (int k = 0; k < depth / 4; k++) {
        MdlQuad up = *(const MdlQuad *)((const char *)a + mdl_chunk(row, k, chunks));
        MdlQuad low = *(const MdlQuad *)((const char *)a + mdl_chunk(row + 8, k, chunks));
        MDL_UNROLL
        for (int j = 0; j < n / 4; j++) {
            int at = column + j / 2 * 8 + j % 2;
            float *to = x + j / 2 * 4 + j % 2;
            MdlQuad y = *(const MdlQuad *)((const char *)b + mdl_chunk(at, k, chunks));
            MDL_UNROLL
            for (int i = 0; i < 4; i++) {
                to[0] = mdl_fma_f32(up.v[i], y.v[i], to[0]);
                to[2] = mdl_fma_f32(low.v[i], y.v[i], to[2]);
            }
        }
    }
}

/* A weight is had by one lane of the four that need it. Of the place of a pair of columns only the last bit of its
 * chunk depends on the lane: all else is known when this is compiled. */
MDL_FN void mdl_attend_values_f32(float *x, const float *p, const void *b, int n, int columns,
                                  int chunks)
{
    int lane = mdl_lane(), first = lane & ~3, half = lane % 4 / 2, in = lane % 2 * 8;
    MDL_UNROLL
    for (int g = 0; g < n / 8; g++) {
        const float *q = p + g * 4;
        MDL_ROLLED /* or all rows would be read ahead, into registers that are not there */
            for (int i = 0; i < 8; i++)
        {
            float up = mdl_shfl_f32(i % 2 ? q[1] : q[0], first + i / 2);
            float low = mdl_shfl_f32(i % 2 ? q[3] : q[2], first + i / 2);
            int k = g * 8 + i, turn = mdl_turn(k, chunks);
            const char *row = (const char *)b + (half ^ (turn & 1)) * 16 + in;
            MDL_UNROLL
            for (int j = 0; j < columns / 8; j++) {
                int chunk = k * chunks + ((j * 2) ^ (turn & ~1));
                MdlPair y = *(const MdlPair *)(row + chunk * 16);
                float *to = x + j * 4;
                to[0] = mdl_fma_f32(up, y.x, to[0]);
                to[1] = mdl_fma_f32(up, y.y, to[1]);
                to[2] = mdl_fma_f32(low, y.x, to[2]);
                to[3] = mdl_fma_f32(low, y.y, to[3]);
            }
        }
    }
}

/* ---- softmax ---- */

MDL_FN float mdl_attend_most(float x, float y)
{
    return mdl_larger_fast(x, y);
}

/* Weights in place of n scores in each row of the warp: 2^((score - largest so far) by). What came before, its
 * sum (of this lane's columns) and the outputs made of it, shrinks when a larger score appears. */
MDL_FN void mdl_attend_softmax(float *x, float *top, float *sum, float *out, float by, int n,
                               int columns)
{
    MDL_UNROLL
    for (int r = 0; r < 2; r++) {
        float most = top[r], total = 0;
        MDL_UNROLL
        for (int j = 0; j < n / 4; j++)
            most = mdl_attend_most(x[j / 2 * 4 + r * 2 + j % 2], most);
        most = mdl_attend_most(mdl_shfl_xor_f32(most, 1), most);
        most = mdl_attend_most(mdl_shfl_xor_f32(most, 2), most);
        /* a row that has seen no key yet has weights 0 */
        float base = most > -3.402823466e+38f ? most * by : 0;
        float shrink = mdl_exp2_fast(mdl_fma_f32(top[r], by, -base));
        MDL_UNROLL
        for (int j = 0; j < n / 4; j++) {
            float *at = x + j / 2 * 4 + r * 2 + j % 2;
            *at = mdl_exp2_fast(mdl_fma_f32(*at, by, -base));
            total += *at;
        }
        top[r] = most;
        sum[r] = sum[r] * shrink + total;
        MDL_UNROLL
        for (int j = 0; j < columns / 4; j++)
            out[j / 2 * 4 + r * 2 + j % 2] *= shrink;
    }
}

/* The rows' sums over all lanes, and the outputs divided by them; by 1 where nothing was seen. */
MDL_FN void mdl_attend_finish(float *sum, float *out, int columns)
{
    MDL_UNROLL
    for (int r = 0; r < 2; r++) {
        sum[r] += mdl_shfl_xor_f32(sum[r], 1);
        sum[r] += mdl_shfl_xor_f32(sum[r], 2);
        float by = 1 / (sum[r] < 1 ? 1 : sum[r]);
        MDL_UNROLL
        for (int j = 0; j < columns / 4; j++)
            out[j / 2 * 4 + r * 2 + j % 2] *= by;
    }
}

/* The warps' rows of `columns` in shared memory, `pitch` floats apart. */
MDL_FN void mdl_attend_lay(float *rows, int pitch, const float *x, int columns)
{
    int lane = mdl_lane(), row = mdl_warp() * 16 + lane / 4, column = lane % 4 * 2;
    MDL_UNROLL
    for (int j = 0; j < columns / 8; j++) {
        float *at = rows + row * pitch + column + j * 8;
        mdl_store2_f32(at, x[j * 4], x[j * 4 + 1]);
        mdl_store2_f32(at + 8 * pitch, x[j * 4 + 2], x[j * 4 + 3]);
    }
}

#endif

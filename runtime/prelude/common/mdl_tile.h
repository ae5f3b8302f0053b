/* mdl_tile.h: what a block of threads does with tiles of two matrices in shared memory: multiplies them on the
 * tensor cores (mma.sync) or by multiply-adds, and lays the sums down as rows. Used by the GPU and by its
 * emulator; the sizes are constants of the kernel's text, so all loops unroll.
 *
 * A 16-bit tile lies in rows of 16-byte chunks, exchanged within a row (mdl_chunk) so that the eight rows of a
 * matrix that ldmatrix reads are in different banks. `along` 1: rows of the tile are rows of the matrix and run
 * along the depth; 0: they are steps of depth and run along the matrix's rows.
 * A tile of f32 is always of the second kind, in order; `along` says only that it was turned on the way.
 *
 * For wgmma rows are of 128 bytes, eight chunks, exchanged in the same way (mdl_line), which is the hardware's
 * swizzle of 128 bytes; what is wider lies in panels of 128 bytes, one behind the other. */
#ifndef MDL_TILE_H
#define MDL_TILE_H

/* With which the chunks of a row, of `chunks`, are exchanged: chunk c lies where c ^ turn would. */
MDL_FN int mdl_turn(int row, int chunks)
{
    return chunks >= 8 ? row & 7 : chunks == 4 ? row >> 1 & 3 : chunks == 2 ? row >> 2 & 1 : 0;
}

/* Byte offset of a chunk. */
MDL_FN int mdl_chunk(int row, int chunk, int chunks)
{
    return (row * chunks + (chunk ^ mdl_turn(row, chunks))) * 16;
}

/* Byte offset of a chunk in lines of eight; a panel has `lines` of them. */
MDL_FN int mdl_line(int line, int chunk, int lines)
{
    return chunk / 8 * (lines * 128) + line * 128 + (chunk % 8 ^ (line & 7)) * 16;
}

/* The sum of a warp's values, in all lanes; of the lanes of a vector. */
MDL_FN float mdl_warp_sum_f32(float x)
{
    MDL_UNROLL
    for (int h = 16; h > 0; h /= 2)
        x += mdl_shfl_xor_f32(x, h);
    return x;
}

MDL_FN float mdl_lane_sum_vf(vf x)
{
    MDL_UNROLL
    for (int h = MDL_W / 2; h > 0; h /= 2)
        x = x + mdl_swap_vf(x, h);
    return mdl_lane0_vf(x);
}

MDL_FN float mdl_lane_dot_vf(vf x, vf y)
{
    float sum = x[0] * y[0];
    MDL_UNROLL
    for (int i = 1; i < MDL_W; i++)
        sum = mdl_fma_f32(x[i], y[i], sum);
    return sum;
}

typedef struct __attribute__((aligned(8))) MdlPair {
    float x, y;
} MdlPair;

/* Two floats to a multiple of their size. */
MDL_FN void mdl_store2_f32(float *p, float x, float y)
{
    MdlPair *to = (MdlPair *)p;
    to->x = x;
    to->y = y;
}

/* The shape of a product: a tile of bm x bn sums over bk steps of depth, shared by wm x wn warps. */
typedef struct MdlTile {
    int bm, bn, bk, wm, wn;
    int a_along, b_along;
} MdlTile;

/* ---- tensor cores: m16n8k16 ---- */

/* Registers of the 16 x 16 block of the left tile at (m, k): four 8 x 8 matrices, (m, k) (m+8, k) (m, k+8)
 * (m+8, k+8), in the order of PTX ISA 9.7.14.5.8 (mma.m16n8k16, matrix A). */
MDL_FN void mdl_load_a(uint32_t *r, const char *a, MdlTile t, int m, int k)
{
    int lane = mdl_lane(), of = lane >> 3, in = lane & 7;
    if (t.a_along)
        mdl_ldmatrix_x4(r, a + mdl_chunk(m + in + (of & 1) * 8, k / 8 + (of >> 1), t.bk / 8));
    else
        mdl_ldmatrix_x4_trans(r, a + mdl_chunk(k + in + (of >> 1) * 8, m / 8 + (of & 1), t.bm / 8));
}

/* Registers of two 16 x 8 blocks of the right tile, at columns n and n + 8: (k, n) (k+8, n) (k, n+8)
 * (k+8, n+8) (the same place, matrix B). */
MDL_FN void mdl_load_b(uint32_t *r, const char *b, MdlTile t, int n, int k)
{
    int lane = mdl_lane(), of = lane >> 3, in = lane & 7;
    if (t.b_along)
        mdl_ldmatrix_x4(r, b + mdl_chunk(n + in + (of >> 1) * 8, k / 8 + (of & 1), t.bk / 8));
    else
        mdl_ldmatrix_x4_trans(r, b + mdl_chunk(k + in + (of & 1) * 8, n / 8 + (of >> 1), t.bn / 8));
}

/* acc[bm / wm / 16][bn / wn / 8][4] += a b, of this thread's part of its warp's part of the tile. */
#define MDL_MMA_TILE(name)                                                                \
    MDL_FN void mdl_mma_tile_##name(float *acc, const void *a, const void *b, MdlTile t)  \
    {                                                                                     \
        enum { MOST = 8 };                                                                \
        int warp = mdl_warp(), mt = t.bm / t.wm / 16, nt = t.bn / t.wn / 8;               \
        int m = warp / t.wn * (t.bm / t.wm), n = warp % t.wn * (t.bn / t.wn);             \
        MDL_UNROLL                                                                        \
        for (int k = 0; k < t.bk; k += 16) {                                              \
            uint32_t ra[MOST][4], rb[MOST][4];                                            \
            MDL_UNROLL                                                                    \
            for (int i = 0; i < mt; i++)                                                  \
                mdl_load_a(ra[i], (const char *)a, t, m + i * 16, k);                     \
            MDL_UNROLL                                                                    \
            for (int j = 0; j < nt / 2; j++)                                              \
                mdl_load_b(rb[j], (const char *)b, t, n + j * 16, k);                     \
            MDL_UNROLL                                                                    \
            for (int i = 0; i < mt; i++) {                                                \
                MDL_UNROLL                                                                \
                for (int j = 0; j < nt; j++)                                              \
                    mdl_mma_##name(acc + (i * nt + j) * 4, ra[i], rb[j / 2] + j % 2 * 2); \
            }                                                                             \
        }                                                                                 \
    }
MDL_MMA_TILE(bf16)
MDL_MMA_TILE(f16)

/* The sums as rows of `pitch` floats: PTX ISA 9.7.14.5.8, accumulators: rows lane / 4 and 8 below, columns
 * lane % 4 * 2 and the next. */
MDL_FN void mdl_mma_rows(float *rows, int pitch, const float *acc, MdlTile t)
{
    int warp = mdl_warp(), lane = mdl_lane(), mt = t.bm / t.wm / 16, nt = t.bn / t.wn / 8;
    int m = warp / t.wn * (t.bm / t.wm) + lane / 4, n = warp % t.wn * (t.bn / t.wn) + lane % 4 * 2;
    MDL_UNROLL
    for (int i = 0; i < mt; i++) {
        MDL_UNROLL
        for (int j = 0; j < nt; j++) {
            const float *c = acc + (i * nt + j) * 4;
            float *row = rows + (m + i * 16) * pitch + n + j * 8;
            mdl_store2_f32(row, c[0], c[1]);
            mdl_store2_f32(row + 8 * pitch, c[2], c[3]);
        }
    }
}

/* ---- tensor cores: m16n8k8 of f32 that is rounded ---- */

/* Floats from one step of depth to the next: four steps of eight rows, which a fragment has, are in different banks. */
MDL_FN int mdl_tf32_pitch(int rows)
{
    return rows + 8;
}

/* acc as of mdl_mma_tile. A fragment has a row lane / 4 and 8 below, and steps lane % 4 and 4 behind (PTX ISA,
 * mma.m16n8k8, .tf32). */
MDL_FN void mdl_tf32_tile_f32(float *acc, const float *a, const float *b, MdlTile t)
{
    enum { MOST = 8 };
    int warp = mdl_warp(), lane = mdl_lane(), mt = t.bm / t.wm / 16, nt = t.bn / t.wn / 8;
    int pa = mdl_tf32_pitch(t.bm), pb = mdl_tf32_pitch(t.bn);
    a += lane % 4 * pa + warp / t.wn * (t.bm / t.wm) + lane / 4;
    b += lane % 4 * pb + warp % t.wn * (t.bn / t.wn) + lane / 4;
    MDL_UNROLL
    for (int k = 0; k < t.bk; k += 8) {
        uint32_t ra[MOST][4], rb[MOST][2];
        MDL_UNROLL
        for (int i = 0; i < mt; i++) {
            MDL_UNROLL
            for (int e = 0; e < 4; e++)
                ra[i][e] = mdl_round_tf32(a[(k + e / 2 * 4) * pa + i * 16 + e % 2 * 8]);
        }
        MDL_UNROLL
        for (int j = 0; j < nt; j++) {
            MDL_UNROLL
            for (int e = 0; e < 2; e++)
                rb[j][e] = mdl_round_tf32(b[(k + e * 4) * pb + j * 8]);
        }
        MDL_UNROLL
        for (int i = 0; i < mt; i++) {
            MDL_UNROLL
            for (int j = 0; j < nt; j++)
                mdl_mma_tf32(acc + (i * nt + j) * 4, ra[i], rb[j]);
        }
    }
}

/* ---- warpgroups: m64nNk16 (sm_90a) ---- */

#if !defined(MDL_WITHOUT_WGMMA) && (!defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL))

/* A descriptor for the block of 16 steps of depth from k on of a tile of lines: along the depth, from row
 * `row` on; else of all its rows. PTX ISA 9.7.15.5.1.2: between groups of eight lines lie 1024 bytes, between
 * panels all lines of one. */
MDL_FN uint64_t mdl_lines_along(const char *tile, int row, int k)
{
    return mdl_wgmma_desc(tile + row * 128 + k * 2, 16, 1024, 128);
}

MDL_FN uint64_t mdl_lines_across(const char *tile, int bk, int k)
{
    return mdl_wgmma_desc(tile + k * 128, bk * 128, 1024, 128);
}

/* A block of 64 x bn sums of a warpgroup, from row m on, += a b. */
#define MDL_WGMMA_STEP(T, n)                                                                       \
    MDL_FN void mdl_wgmma_step_##T##_##n(float *d, const char *a, const char *b, MdlTile t, int m, \
                                         int k)                                                    \
    {                                                                                              \
        uint64_t at = t.b_along ? mdl_lines_along(b, 0, k) : mdl_lines_across(b, t.bk, k);         \
        uint64_t from =                                                                            \
            t.a_along ? mdl_lines_along(a, m, k) : mdl_lines_across(a + m * t.bk * 2, t.bk, k);    \
        if (t.a_along && t.b_along)                                                                \
            mdl_wgmma_##T##_n##n(d, from, at, 1);                                                  \
        else if (t.a_along)                                                                        \
            mdl_wgmma_##T##_n##n##_t(d, from, at, 1);                                              \
        else if (t.b_along)                                                                        \
            mdl_wgmma_##T##_ta_n##n(d, from, at, 1);                                               \
        else                                                                                       \
            mdl_wgmma_##T##_ta_n##n##_t(d, from, at, 1);                                           \
    }

/* acc[bm / groups / 64][bn / 8][4] += a b, begun: mdl_wgmma_wait ends it. wm counts warps, four a group. */
#define MDL_WGMMA_TILE(T)                                                               \
    MDL_WGMMA_STEP(T, 64)                                                               \
    MDL_WGMMA_STEP(T, 128)                                                              \
    MDL_WGMMA_STEP(T, 256)                                                              \
    MDL_FN void mdl_wgmma_tile_##T(float *acc, const void *a, const void *b, MdlTile t) \
    {                                                                                   \
        int blocks = t.bm / (t.wm / 4) / 64, first = mdl_warp() / 4 * blocks * 64;      \
        const char *pa = (const char *)a, *pb = (const char *)b;                        \
        mdl_wgmma_fence();                                                              \
        MDL_UNROLL                                                                      \
        for (int k = 0; k < 64; k += 16) {                                              \
            MDL_UNROLL                                                                  \
            for (int i = 0; i < blocks; i++) {                                          \
                float *d = acc + i * (t.bn / 2);                                        \
                int m = first + i * 64;                                                 \
                if (t.bn == 64)                                                         \
                    mdl_wgmma_step_##T##_64(d, pa, pb, t, m, k);                        \
                else if (t.bn == 128)                                                   \
                    mdl_wgmma_step_##T##_128(d, pa, pb, t, m, k);                       \
                else                                                                    \
                    mdl_wgmma_step_##T##_256(d, pa, pb, t, m, k);                       \
            }                                                                           \
        }                                                                               \
        mdl_wgmma_commit();                                                             \
    }
MDL_WGMMA_TILE(bf16)
MDL_WGMMA_TILE(f16)

/* The sums as rows: each warp of a group has 16 of a block's 64, as mma.sync has them. */
MDL_FN void mdl_wgmma_rows(float *rows, int pitch, const float *acc, MdlTile t)
{
    int warp = mdl_warp(), lane = mdl_lane(), blocks = t.bm / (t.wm / 4) / 64;
    int m = warp / 4 * blocks * 64 + warp % 4 * 16 + lane / 4, n = lane % 4 * 2;
    MDL_UNROLL
    for (int i = 0; i < blocks; i++) {
        MDL_UNROLL
        for (int j = 0; j < t.bn / 8; j++) {
            const float *c = acc + i * (t.bn / 2) + j * 4;
            float *row = rows + (m + i * 64) * pitch + n + j * 8;
            mdl_store2_f32(row, c[0], c[1]);
            mdl_store2_f32(row + 8 * pitch, c[2], c[3]);
        }
    }
}

#endif

/* ---- multiply-adds of f32 ---- */

/* Floats from one step of depth to the next: those of a tile that is turned are written by threads with
 * neighbouring steps, and go to different banks. */
MDL_FN int mdl_fma_pitch(int rows, int along)
{
    return along ? rows + 4 : rows;
}

/* How a block's threads share the copying of a tile: each begins at a place of its own and has, from there on, so many
 * rows and steps, which lie so far apart; `wide`: four neighbouring rows at once. */
typedef struct MdlBring {
    int pitch, rows, steps, row_apart, step_apart, wide;
} MdlBring;

/* Copies this thread's part; it is 0 from so many rows and steps on. */
MDL_FN void mdl_fma_bring(float *to, const float *from, int64_t by_row, int64_t by_step, MdlBring b,
                          int rows_left, int steps_left)
{
    MDL_UNROLL
    for (int j = 0; j < b.steps; j++) {
        MDL_UNROLL
        for (int i = 0; i < b.rows; i++) {
            int row = i * b.row_apart, step = j * b.step_apart;
            int there = row < rows_left && step < steps_left, rest = rows_left - row;
            float *at = to + step * b.pitch + row;
            const float *x = from + row * by_row + step * by_step;
            if (b.wide)
                mdl_cp_async16(at, x, !there ? 0 : rest < 4 ? rest * 4 : 16);
            else
                mdl_cp_async4(at, x, there ? 4 : 0);
        }
    }
}

/* A warp has 64 columns of sums, and its 4 x 8 threads have runs of four neighbours of them, every 32 columns and every 16
 * rows. Threads of a pair read the same of one operand, and those of two neighbouring pairs of the other: then a
 * load of 16 bytes takes shared memory no longer than its bytes do. */
MDL_FN int mdl_fma_height(MdlTile t)
{
    return t.bm / t.wm / 4;
}

MDL_FN int mdl_fma_row(MdlTile t)
{
    int lane = mdl_lane();
    return mdl_warp() / t.wn * (t.bm / t.wm) + (lane / 16 * 2 + lane % 2) * 4;
}

MDL_FN int mdl_fma_column(MdlTile t)
{
    return mdl_warp() % t.wn * 64 + mdl_lane() % 16 / 2 * 4;
}

/* acc[height][8] += a b. Columns are taken to and fro, so that each product has one operand, and mostly two, of the one
 * before at hand. */
MDL_FN void mdl_fma_tile_f32(float *acc, const float *a, const float *b, MdlTile t)
{
    enum { MOST = 16 };
    int height = mdl_fma_height(t);
    int pa = mdl_fma_pitch(t.bm, t.a_along), pb = mdl_fma_pitch(t.bn, t.b_along);
    a += mdl_fma_row(t);
    b += mdl_fma_column(t);
    MDL_UNROLL
    for (int k = 0; k < t.bk; k++) {
        float ra[MOST], rb[8];
        MDL_UNROLL
        for (int i = 0; i < height; i++)
            ra[i] = a[k * pa + i / 4 * 16 + i % 4];
        MDL_UNROLL
        for (int j = 0; j < 8; j++)
            rb[j] = b[k * pb + j / 4 * 32 + j % 4];
        MDL_UNROLL
        for (int i = 0; i < height; i++) {
            MDL_UNROLL
            for (int n = 0; n < 8; n++) {
                int j = i % 2 ? 7 - n : n;
                acc[i * 8 + j] = mdl_fma_f32(ra[i], rb[j], acc[i * 8 + j]);
            }
        }
    }
}

/* One by one: if four sums were stored at once, they would lie in the registers' banks as the four columns of an operand
 * do, and each multiply-add would wait for two of one bank. */
MDL_FN void mdl_fma_rows(float *rows, int pitch, const float *acc, MdlTile t)
{
    volatile float *to = rows + mdl_fma_row(t) * pitch + mdl_fma_column(t);
    MDL_UNROLL
    for (int i = 0; i < mdl_fma_height(t); i++) {
        MDL_UNROLL
        for (int j = 0; j < 8; j++)
            to[(i / 4 * 16 + i % 4) * pitch + j / 4 * 32 + j % 4] = acc[i * 8 + j];
    }
}

#endif

#define MDL_W 4
#include "mdl.h"

enum {
    TM = 128,
    TN = 32,
    TK = 64,
    STAGES = 3,
    A_BYTES = TM * TK * 2,
    STAGE = A_BYTES + TN * TK * 2,
    BARS = STAGES * STAGE
};

/* C[m, n] f32 = A[m, k] B[n, k]^T in bf16: one thread loads by TMA, two warpgroups multiply 64 rows each and
 * keep one product on its way; a ring of three stages. */
MDL_GPU_KERNEL(hopper, 384, 1)
{
    const MdlArgs *a = MDL_ARGS;
    int64_t m = a->block[0], n = a->block[1], k = a->block[2];
    float *C = (float *)a->buf[2];
    unsigned char *shared = MDL_SHARED(unsigned char, 0);
    uint64_t *full = MDL_SHARED(uint64_t, BARS), *empty = full + STAGES;
    int tiles = (int)((k + TK - 1) / TK), group = mdl_thread() / 128,
        across = (int)((n + TN - 1) / TN);
    int i0 = mdl_block() / across * TM, j0 = mdl_block() % across * TN;
    if (mdl_thread() == 0) {
        for (int s = 0; s < STAGES; s++) {
            mdl_mbar_init(full + s, 1);
            mdl_mbar_init(empty + s, 2);
        }
        mdl_mbar_fence_init();
    }
    mdl_syncthreads();
    if (group == 0) {
        mdl_setmaxnreg_dec(40);
        if (mdl_thread() == 0) {
            for (int t = 0; t < tiles; t++) {
                int s = t % STAGES;
                if (t >= STAGES)
                    mdl_mbar_wait(empty + s, (t / STAGES - 1) & 1);
                mdl_mbar_expect(full + s, STAGE);
                mdl_tma_load_2d(shared + s * STAGE, a->map, full + s, t * TK, i0);
                mdl_tma_load_2d(shared + s * STAGE + A_BYTES, a->map + 1, full + s, t * TK, j0);
            }
        }
        return;
    }
    mdl_setmaxnreg_inc(232);
    float d[TN / 2];
    for (int i = 0; i < TN / 2; i++)
        d[i] = 0;
    for (int t = 0; t < tiles; t++) {
        int s = t % STAGES;
        mdl_mbar_wait(full + s, t / STAGES & 1);
        unsigned char *sa = shared + s * STAGE + (group - 1) * 64 * TK * 2;
        unsigned char *sb = shared + s * STAGE + A_BYTES;
        mdl_wgmma_fence();
        for (int i = 0; i < TK / 16; i++)
            mdl_wgmma_bf16_n32(d, mdl_wgmma_desc(sa + i * 32, 16, 1024, 128),
                               mdl_wgmma_desc(sb + i * 32, 16, 1024, 128), 1);
        mdl_wgmma_commit();
        mdl_wgmma_wait(1);
        if (t && mdl_thread() % 128 == 0)
            mdl_mbar_arrive(empty + (t - 1) % STAGES);
    }
    mdl_wgmma_wait(0);
    int row = i0 + (group - 1) * 64 + mdl_thread() % 128 / 32 * 16 + mdl_lane() / 4;
    for (int i = 0; i < TN / 2; i++) {
        int r = row + i / 2 % 2 * 8, c = j0 + i / 4 * 8 + mdl_lane() % 4 * 2 + i % 2;
        if (r < m && c < n)
            C[r * n + c] = d[i];
    }
}

enum {
    ROWS = 64,
    COLS = 64,
    DEPTH = 32,
    TILE = DEPTH * COLS * 2,
    OUT = 2 * TILE,
    BAR = OUT + ROWS * COLS * 2
};

/* O[m, head * 64 + j] bf16 = P[m, k] V[head, k, j]: P in registers, V as it is stored (its columns are
 * neighbours), two tiles by turns; results go out through shared memory by TMA. */
MDL_GPU_KERNEL(values, 128, 1)
{
    const MdlArgs *a = MDL_ARGS;
    int64_t m = a->block[0], k = a->block[1];
    const uint16_t *P = (const uint16_t *)a->buf[0];
    unsigned char *shared = MDL_SHARED(unsigned char, 0);
    uint64_t *full = MDL_SHARED(uint64_t, BAR);
    int head = mdl_block() % 2, i0 = mdl_block() / 2 * ROWS, tiles = (int)((k + DEPTH - 1) / DEPTH);
    int row = mdl_warp() * 16 + mdl_lane() / 4, col = mdl_lane() % 4 * 2;
    if (mdl_thread() == 0) {
        mdl_mbar_init(full, 1);
        mdl_mbar_init(full + 1, 1);
        mdl_mbar_fence_init();
        for (int t = 0; t < 2 && t < tiles; t++) {
            mdl_mbar_expect(full + t, TILE);
            mdl_tma_load_3d(shared + t * TILE, a->map, full + t, 0, t * DEPTH, head);
        }
    }
    mdl_syncthreads();
    float d[COLS / 2];
    for (int t = 0; t < tiles; t++) {
        uint32_t p[2][4];
        for (int i = 0; i < 2; i++)
            for (int e = 0; e < 4; e++) {
                int64_t r = i0 + row + e % 2 * 8, c = t * DEPTH + i * 16 + col + e / 2 * 8;
                uint32_t lo = r < m && c < k ? P[r * k + c] : 0,
                         hi = r < m && c + 1 < k ? P[r * k + c + 1] : 0;
                p[i][e] = lo | hi << 16;
            }
        unsigned char *v = shared + t % 2 * TILE;
        mdl_mbar_wait(full + t % 2, t / 2 & 1);
        mdl_wgmma_fence();
        mdl_wgmma_bf16_rs_n64_t(d, p[0], mdl_wgmma_desc(v, 4096, 1024, 128), t > 0);
        mdl_wgmma_bf16_rs_n64_t(d, p[1], mdl_wgmma_desc(v + 16 * COLS * 2, 4096, 1024, 128), 1);
        mdl_wgmma_commit();
        mdl_wgmma_wait(0);
        mdl_syncthreads();
        if (mdl_thread() == 0 && t + 2 < tiles) {
            mdl_mbar_expect(full + t % 2, TILE);
            mdl_tma_load_3d(v, a->map, full + t % 2, 0, (t + 2) * DEPTH, head);
        }
    }
    for (int i = 0; i < COLS / 2; i += 2) {
        int r = row + i / 2 % 2 * 8, c = i / 4 * 8 + col;
        *(uint32_t *)(shared + OUT + r * 128 + (c * 2 ^ (r & 7) << 4)) =
            mdl_pack_bf16(d[i], d[i + 1]);
    }
    mdl_fence_async();
    mdl_barrier(1, 128);
    if (mdl_thread() == 0) {
        mdl_tma_store_2d(a->map + 1, shared + OUT, head * COLS, i0);
        mdl_tma_commit();
        mdl_tma_wait(0);
    }
}

#define MDL_W 4
#include "mdl.h"

enum {
    TM = 64,
    TN = 64,
    TK = 32,
    STAGES = 3,
    A_BYTES = TM * TK * 2,
    STAGE = A_BYTES + TK * TN * 2
};

/* Units of 16 bytes are exchanged, so that eight rows of a column lie in different banks. */
static int a_at(int row, int unit)
{
    return row * 64 + ((unit ^ (row >> 1 & 3)) << 4);
}

static int b_at(int row, int unit)
{
    return row * 128 + ((unit ^ (row & 7)) << 4);
}

static int bytes_in(int64_t left)
{
    return left >= 8 ? 16 : left > 0 ? (int)left * 2 : 0;
}

static void load(const MdlArgs *a, unsigned char *to, int64_t i0, int64_t j0, int64_t k0)
{
    int64_t m = a->block[0], n = a->block[1], k = a->block[2];
    const uint16_t *A = (const uint16_t *)a->buf[0], *B = (const uint16_t *)a->buf[1];
    for (int e = mdl_thread(); e < TM * TK / 8; e += 128) {
        int row = e / 4, unit = e % 4;
        int bytes = i0 + row < m ? bytes_in(k - k0 - unit * 8) : 0;
        mdl_cp_async16(to + a_at(row, unit), bytes ? A + (i0 + row) * k + k0 + unit * 8 : A, bytes);
    }
    for (int e = mdl_thread(); e < TK * TN / 8; e += 128) {
        int row = e / 8, unit = e % 8;
        int bytes = k0 + row < k ? bytes_in(n - j0 - unit * 8) : 0;
        mdl_cp_async16(to + A_BYTES + b_at(row, unit),
                       bytes ? B + (k0 + row) * n + j0 + unit * 8 : B, bytes);
    }
}

/* C[m, n] f32 = A[m, k] B[k, n] in bf16: tiles of 64 x 64 by 4 warps, 32 x 32 each; three stages of cp.async,
 * ldmatrix, mma. k and n are multiples of 8. */
MDL_GPU_KERNEL(hgemm, 128, 0)
{
    const MdlArgs *a = MDL_ARGS;
    int64_t m = a->block[0], n = a->block[1], k = a->block[2];
    float *C = (float *)a->buf[2];
    unsigned char *shared = MDL_SHARED(unsigned char, 0);
    int lane = mdl_lane(), wi = mdl_warp() / 2 * 32, wj = mdl_warp() % 2 * 32;
    int64_t across = (n + TN - 1) / TN, tiles = (k + TK - 1) / TK;
    int64_t i0 = mdl_block() / across * TM, j0 = mdl_block() % across * TN;
    float sum[2][4][4];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int e = 0; e < 4; e++)
                sum[i][j][e] = 0;
    for (int t = 0; t < STAGES - 1; t++) {
        if (t < tiles)
            load(a, shared + t * STAGE, i0, j0, t * TK);
        mdl_cp_commit();
    }
    for (int t = 0; t < tiles; t++) {
        mdl_cp_wait(STAGES - 2);
        mdl_syncthreads();
        if (t + STAGES - 1 < tiles)
            load(a, shared + (t + STAGES - 1) % STAGES * STAGE, i0, j0, (t + STAGES - 1) * TK);
        mdl_cp_commit();
        unsigned char *sa = shared + t % STAGES * STAGE, *sb = sa + A_BYTES;
        for (int p = 0; p < TK / 16; p++) {
            uint32_t ra[2][4], rb[4][2];
            for (int i = 0; i < 2; i++)
                mdl_ldmatrix_x4(ra[i], sa + a_at(wi + i * 16 + lane % 16, p * 2 + lane / 16));
            for (int j = 0; j < 2; j++) {
                uint32_t r[4];
                mdl_ldmatrix_x4_trans(r, sb + b_at(p * 16 + lane % 16, wj / 8 + j * 2 + lane / 16));
                rb[2 * j][0] = r[0];
                rb[2 * j][1] = r[1];
                rb[2 * j + 1][0] = r[2];
                rb[2 * j + 1][1] = r[3];
            }
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++)
                    mdl_mma_bf16(sum[i][j], ra[i], rb[j]);
        }
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int e = 0; e < 4; e++) {
                int64_t row = i0 + wi + i * 16 + lane / 4 + e / 2 * 8;
                int64_t col = j0 + wj + j * 8 + lane % 4 * 2 + e % 2;
                if (row < m && col < n)
                    C[row * n + col] = sum[i][j][e];
            }
}

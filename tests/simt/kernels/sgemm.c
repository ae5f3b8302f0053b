#define MDL_W 4
#include "mdl.h"

enum { TM = 32, TN = 32, TK = 16 };

/* C[m, n] = A[m, k] B[k, n] in f32: tiles of 32 x 32 by 64 threads, 4 x 4 each. m, n, k in the block. */
MDL_GPU_KERNEL(sgemm, 64, 0)
{
    const MdlArgs *a = MDL_ARGS;
    int64_t m = a->block[0], n = a->block[1], k = a->block[2];
    const float *A = (const float *)a->buf[0], *B = (const float *)a->buf[1];
    float *C = (float *)a->buf[2];
    float *sa = MDL_SHARED(float, 0), *sb = MDL_SHARED(float, TM *TK * 4);
    int t = mdl_thread(), ti = t / 8 * 4, tj = t % 8 * 4;
    int64_t across = (n + TN - 1) / TN;
    int64_t i0 = mdl_block() / across * TM, j0 = mdl_block() % across * TN;
    float sum[4][4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            sum[i][j] = 0;
    for (int64_t k0 = 0; k0 < k; k0 += TK) {
        for (int e = t; e < TM * TK; e += 64) {
            int64_t i = i0 + e / TK, p = k0 + e % TK;
            sa[e % TK * TM + e / TK] = i < m && p < k ? A[i * k + p] : 0;
        }
        for (int e = t; e < TK * TN; e += 64) {
            int64_t p = k0 + e / TN, j = j0 + e % TN;
            sb[e] = p < k && j < n ? B[p * n + j] : 0;
        }
        mdl_syncthreads();
        for (int p = 0; p < TK; p++) {
            vf row = mdl_load_f32(sa + p * TM + ti), col = mdl_load_f32(sb + p * TN + tj);
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    sum[i][j] += row[i] * col[j];
        }
        mdl_syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (i0 + ti + i < m && j0 + tj + j < n)
                C[(i0 + ti + i) * n + j0 + tj + j] = sum[i][j];
}

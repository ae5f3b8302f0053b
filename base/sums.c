/* sums.c: see sums.h. A few sums at a time, which do not wait for each other. */
#include "sums.h"

enum { ROWS = 4, COLS = 8 };

/* m <= ROWS rows, COLS columns. */
static void few_f32(int m, int k, const float *a, int lda, const float *b, int ldb, float *c,
                    int ldc)
{
    float sum[ROWS][COLS] = {0};
    for (int r = 0; r < m; r++)
        for (int j = 0; j < COLS; j++)
            sum[r][j] = c[r * ldc + j];
    for (int i = 0; i < k; i++)
        for (int r = 0; r < ROWS; r++) {
            float x = a[(r < m ? r : 0) * lda + i];
            for (int j = 0; j < COLS; j++)
                sum[r][j] += x * b[i * ldb + j];
        }
    for (int r = 0; r < m; r++)
        for (int j = 0; j < COLS; j++)
            c[r * ldc + j] = sum[r][j];
}

void sums_f32(int m, int n, int k, const float *a, int lda, const float *b, int ldb, float *c,
              int ldc)
{
    for (int r = 0; r < m; r += ROWS)
        for (int j = 0; j < n; j += COLS)
            few_f32(m - r < ROWS ? m - r : ROWS, k, a + r * lda, lda, b + j, ldb, c + r * ldc + j,
                    ldc);
}

static void few_f64(int64_t n, const Strided *a, const Strided *b, double *c)
{
    double sum[COLS];
    for (int j = 0; j < COLS; j++)
        sum[j] = c[j];
    for (int64_t k = 0; k < n; k++)
        for (int j = 0; j < COLS; j++)
            sum[j] += a->at[j * a->across + k * a->along] * b->at[j * b->across + k * b->along];
    for (int j = 0; j < COLS; j++)
        c[j] = sum[j];
}

/* One factor the same for all, the other ones side by side. */
static void few_f64_scaled(int64_t n, const Strided *a, const Strided *b, double *c)
{
    double sum[COLS];
    for (int j = 0; j < COLS; j++)
        sum[j] = c[j];
    for (int64_t k = 0; k < n; k++) {
        double x = a->at[k * a->along];
        for (int j = 0; j < COLS; j++)
            sum[j] += x * b->at[j + k * b->along];
    }
    for (int j = 0; j < COLS; j++)
        c[j] = sum[j];
}

void sums_f64(int64_t m, int64_t n, Strided a, Strided b, double *c)
{
    int64_t j = 0;
    for (; j + COLS <= m; j += COLS) {
        if (a.across == 0 && b.across == 1)
            few_f64_scaled(n, &a, &b, c + j);
        else
            few_f64(n, &a, &b, c + j);
        a.at += COLS * a.across;
        b.at += COLS * b.across;
    }
    for (; j < m; j++) {
        for (int64_t k = 0; k < n; k++)
            c[j] += a.at[k * a.along] * b.at[k * b.along];
        a.at += a.across;
        b.at += b.across;
    }
}

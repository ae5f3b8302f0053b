/* sums.c: see sums.h. A few sums at a time, which do not wait for each other. */
#include "sums.h"

enum { ROWS = 4, COLS = 8 };

/* Of COLS columns from `col` on, `rows` <= ROWS rows from `row` on. */
static void few_f32(const Products *p, int row, int rows, int col)
{
    const float *a = p->a + row * p->lda, *b = p->b + col;
    float *c = p->c + row * p->ldc + col;
    float sum[ROWS][COLS] = {0};
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < COLS; j++)
            sum[r][j] = c[r * p->ldc + j];
    for (int k = 0; k < p->k; k++)
        for (int r = 0; r < ROWS; r++) {
            float x = a[(r < rows ? r : 0) * p->lda + k];
            for (int j = 0; j < COLS; j++)
                sum[r][j] += x * b[k * p->ldb + j];
        }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < COLS; j++)
            c[r * p->ldc + j] = sum[r][j];
}

void sums_f32(const Products *p)
{
    for (int row = 0; row < p->m; row += ROWS)
        for (int col = 0; col < p->n; col += COLS)
            few_f32(p, row, p->m - row < ROWS ? p->m - row : ROWS, col);
}

/* Inline: with strides that are known at the call it is a loop of its own. */
static inline void few_f64(int64_t n, Strided a, Strided b, double *c)
{
    double sum[COLS];
    for (int j = 0; j < COLS; j++)
        sum[j] = c[j];
    for (int64_t k = 0; k < n; k++)
        for (int j = 0; j < COLS; j++)
            sum[j] += a.at[j * a.across + k * a.along] * b.at[j * b.across + k * b.along];
    for (int j = 0; j < COLS; j++)
        c[j] = sum[j];
}

void sums_f64(int64_t m, int64_t n, Strided a, Strided b, double *c)
{
    int64_t j = 0;
    for (; j + COLS <= m; j += COLS) {
        if (a.across == 0 && b.across == 1) /* one factor for all, the others side by side */
            few_f64(n, (Strided){a.at, 0, a.along}, (Strided){b.at, 1, b.along}, c + j);
        else
            few_f64(n, a, b, c + j);
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

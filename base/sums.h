/* sums.h: sums of products, the loops in which tests spend most of their time: those of the interpreter and
 * of the emulator's tensor cores. sums.c is compiled at -O3 and without sanitizers in every build, so callers
 * see to it that the extents are those of their arrays. */
#ifndef SUMS_H
#define SUMS_H
#include <stdint.h>

/* c[m][n] += a[m][k] b[k][n] for n a multiple of 8; rows are lda, ldb, ldc elements apart. */
typedef struct Products {
    int m, n, k, lda, ldb, ldc;
    const float *a, *b;
    float *c;
} Products;

/* Each element of c is added to in the order of k, products rounded to f32. */
void sums_f32(const Products *p);

/* Elements of a vector, in the order of j and k: at[j * across + k * along]. */
typedef struct Strided {
    const double *at;
    int64_t across, along;
} Strided;

/* c[j] += a(j, k) b(j, k) over k < n, for j < m; each in the order of k. */
void sums_f64(int64_t m, int64_t n, Strided a, Strided b, double *c);

#endif

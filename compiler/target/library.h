/* library.h: products that cuBLASLt can compute, and how a configuration says that it does: behind the members of the
 * class stand LIBRARY_MARK, its version, the bytes of workspace, and the algorithm in halves of its words. */
#ifndef MDL_LIBRARY_H
#define MDL_LIBRARY_H

#include "target.h"

enum { LIBRARY_MARK = -1, LIBRARY_WORDS = 8, LIBRARY_INTS = 2 + 2 * LIBRARY_WORDS };

/* A body that is a product of two matrices and nothing else: result = left right, or left right + add, of constant
 * extents, as they lie in memory. Element (i, j) of a matrix is at i * ld + j, of a turned one at j * ld + i. Or `batch`
 * such products, whose operands begin so many elements apart (0: all have the same), and whose results lie side by side. */
typedef struct LibraryGemm {
    DType operand, result;     /* bf16, f16, f32; the same, or f32 */
    uint32_t left, right, add; /* inputs of the body; add: UINT32_MAX: none */
    bool turn_left, turn_right;
    int64_t m, n, k, ld_left, ld_right;
    int64_t batch, apart_left, apart_right;
} LibraryGemm;

bool library_gemm(Ir *ir, const Graph *body, LibraryGemm *out);

/* What a configuration says of a library. */
typedef struct LibraryChoice {
    uint64_t version, workspace;
    uint64_t algorithm[LIBRARY_WORDS];
} LibraryChoice;

/* The parts of a configuration as `pick` writes it. */
KernelConfig library_split(const int64_t *ints, uint32_t n);
/* n integers and the choice behind them, in arena; *all: how many. */
const int64_t *library_join(Arena *arena, const int64_t *ints, uint32_t n, const LibraryChoice *c,
                            uint32_t *all);
LibraryChoice library_choice(const int64_t *library);

#endif

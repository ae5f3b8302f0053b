/* fragments.h: where elements of matrices lie, by the tables of fragments.def. */
#ifndef MDL_FRAGMENTS_H
#define MDL_FRAGMENTS_H

#include "base.h"

typedef enum FragmentId {
#define FRAGMENT(id, source, row, col) FRAGMENT_##id,
#include "fragments.def"
#undef FRAGMENT
    FRAGMENT_COUNT
} FragmentId;

typedef struct FragmentForm {
    uint8_t group, pair, bit[3], rest;
} FragmentForm;

typedef struct Fragment {
    const char *source;
    FragmentForm row, col;
} Fragment;

extern const Fragment fragments[FRAGMENT_COUNT];

static inline int fragment_index(const FragmentForm *f, int lane, int i)
{
    return f->group * (lane / 4) + f->pair * (lane % 4) + f->bit[0] * (i & 1) +
           f->bit[1] * (i >> 1 & 1) + f->bit[2] * (i >> 2 & 1) + f->rest * (i >> 3);
}

static inline int fragment_row(FragmentId id, int lane, int i)
{
    return fragment_index(&fragments[id].row, lane, i);
}

static inline int fragment_col(FragmentId id, int lane, int i)
{
    return fragment_index(&fragments[id].col, lane, i);
}

/* Where an element lies in a matrix in memory whose rows are `pitch` elements apart. A place is a sum of the
 * lane's share and the element's: that of lane l, element i is (l, 0) + (0, i). */
static inline int fragment_place(FragmentId id, int pitch, int lane, int i)
{
    return fragment_row(id, lane, i) * pitch + fragment_col(id, lane, i);
}

typedef struct Swizzle {
    int bytes, mode, bits;
    const char *source;
} Swizzle;

const Swizzle *swizzle_of_mode(int mode);   /* 0..3 */
const Swizzle *swizzle_of_bytes(int bytes); /* NULL: there is none */
/* Where the byte that is logically at that offset of shared memory lies. */
static inline uint32_t swizzle_apply(const Swizzle *s, uint32_t offset)
{
    return offset ^ ((offset >> 7 & ((1u << s->bits) - 1)) << 4);
}

/* An operand of a warpgroup, of 16-bit elements; by its descriptor. Element (line, k): line counts rows of
 * A or columns of B. */
typedef struct MatrixPlace {
    const Swizzle *swizzle;
    uint32_t start, leading, stride;
} MatrixPlace;

MatrixPlace matrix_place(uint64_t descriptor);
uint32_t matrix_offset_k(const MatrixPlace *p, int line, int k);  /* k are neighbours ("K-major") */
uint32_t matrix_offset_mn(const MatrixPlace *p, int line, int k); /* lines are */

#endif

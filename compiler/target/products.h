/* products.h: which dots of a gemm body belong together; read by the passes and by the lowering. */
#ifndef MDL_PRODUCTS_H
#define MDL_PRODUCTS_H

#include "target.h"

enum {
    PRODUCTS_MOST = 8,    /* dots of one kernel */
    PRODUCTS_TOGETHER = 4 /* dots of one set */
};

/* Dots that a result reads together, as gate and up of a SwiGLU, are a set: they have one result space,
 * and a task computes a tile of each before one epilogue. Sets share nothing but the launch. */
typedef struct Products {
    uint32_t n, nset;
    const Node *dot[PRODUCTS_MOST];
    uint32_t set[PRODUCTS_MOST]; /* of each dot; numbered in the order of first dots */
    uint32_t *reach;             /* by node: the dots it is computed from, a bit each */
    uint32_t *result_set;        /* by result */
} Products;

/* False: too many dots, one is computed from another, or the dots of a set do not fit together. */
bool products_find(const Graph *body, Arena *arena, Products *out);

/* The element type that holds every value of an operand: of 16 bits, if views, gathers and an exact cast lead to it; else
 * the operand's own. */
DType products_operand(const Node *operand);

/* Whether an operand is an input that views, gathers and exact casts alone lead to: nothing is computed. */
bool products_read(const Node *operand);

/* A part of a result that is no epilogue's own value: of the rows of an update, or of what is put together of several
 * values: a value of products, which views only move. */
enum { PRODUCTS_PIECES = 4, PRODUCTS_VIEWS = 6 };
typedef struct ProductsPiece {
    const Node *value;
    const Node *view[PRODUCTS_VIEWS]; /* from the result, or its rows, down to the value */
    uint32_t operand[PRODUCTS_VIEWS]; /* of the view, on the way */
    uint32_t nview;
} ProductsPiece;
/* Whether a result is that: of views, one of several values (a concat). */
bool products_moved(const Node *result);
/* What an update's rows, or a view, are put together of; 0: there is more to it than moving whole values. */
uint32_t products_pieces(const Node *result, ProductsPiece *piece);
/* The same of any result: the only piece of one that is not moved is itself. */
uint32_t products_parts(const Node *result, ProductsPiece *piece);
/* Where element ix of a piece's value lies in the view, or among the rows. */
void products_place(Ir *ir, const ProductsPiece *piece, const Ix *const *ix, const Ix **rows);

/* The sum of all dots of a set of several, if nothing reads them but this sum: then one accumulator is enough.
 * Or NULL. */
const Node *products_total(const Graph *body, const Products *p, uint32_t set);

/* Products of few rows, such as those that decode a token: a task has all rows of some columns, and reads what it
 * multiplies of the right operand once. */
typedef struct ProductsFew {
    int64_t rows;    /* of the left operand, at most */
    int64_t columns; /* of a task, at least, if the result has so many */
} ProductsFew;

enum { PRODUCTS_FEW_CPU = 16, PRODUCTS_FEW_GPU = 8 };

/* operand: the element type that is multiplied. */
ProductsFew products_few(const Target *t, DType operand);

/* Of two dots: equal extents and equal meaning of the axes of their results. */
bool products_match(const Node *a, const Node *b);

#endif

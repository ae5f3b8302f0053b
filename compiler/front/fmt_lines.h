/* fmt_lines.h: a text as lines of pieces with blanks between them; private to fmt. */
#ifndef MDL_FMT_LINES_H
#define MDL_FMT_LINES_H

#include "ast.h"

enum { FMT_COMMENT = 2000 };

/* Nothing is pushed to the right of this column: it bounds the size of the result. Longer lines
 * stay out of what others line up to. */
enum { FMT_COLUMNS = 160 };

typedef struct Piece { /* a token or a comment */
    int kind;
    bool starts;  /* the first token of a statement */
    bool ranges;  /* the `:` of a slice */
    bool aligned; /* its column is given by the kind of its statement */
    uint32_t lo, hi;
    uint32_t gap;    /* blanks before it; of the first of a line: the indentation */
    uint32_t column; /* in the source, in characters */
} Piece;

typedef struct Row {
    uint32_t lo, hi; /* pieces */
    bool blank;      /* an empty line above */
} Row;

/* Pieces that stand in one column, one a line. */
typedef struct Group {
    VEC(uint32_t) pieces;
} Group;

typedef struct Fmt {
    Arena *arena;
    const char *src;
    uint32_t n;
    const Ast *root;
    VEC(Piece) pieces;
    VEC(Row) rows;
    uint32_t *row_of; /* of each piece */
} Fmt;

/* fmt_space.c: blanks between two pieces of a line, and the indentation of lines. */
void fmt_space(Fmt *f);
/* fmt_align.c: columns. */
void fmt_align(Fmt *f);
/* Characters (not bytes) of a piece's last line. */
uint32_t fmt_width(const Fmt *f, const Piece *p);

#endif

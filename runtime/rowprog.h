/* rowprog.h: the code that makes one field of the batch record from the columns of a source. */
#ifndef MDL_ROWPROG_H
#define MDL_ROWPROG_H

#include "source.h"

typedef struct RowProg RowProg; /* does not change once it is made */
typedef struct RowWork RowWork; /* what one thread needs to run one program */

typedef struct RowText {
    const char *at;
    size_t n;
} RowText;

/* Rows of the source, by number; `cells`, row after row, when the source has such. */
typedef struct RowBlock {
    const int64_t *rows;
    int64_t n;
    const Cell *cells;
} RowBlock;

/* Checks the code of a field against the columns' shapes: ERR_DATA when an operand does not fit or
 * the result has another number of elements than the field. */
RowProg *rowprog_new(Arena *arena, const Source *source, const PlanField *field, Err *err);
RowWork *rowwork_new(Arena *arena, const RowProg *prog);
void rowwork_free(RowWork *work); /* NULL is fine; what the arena has stays there */
/* Bytes of one row of the field. */
size_t rowprog_bytes(const RowProg *prog);
/* Fills out with the field of the rows. ERR_DATA, with the row, when a cell cannot be read or a value
 * does not fit an integer field. No allocation but for texts longer than any before. */
bool rowprog_run(const RowProg *prog, RowWork *work, const RowBlock *block, void *out, Err *err);

/* The same for a text. `take` gets those of the rows in order, each for the time of its call; false, with
 * an error, ends it. */
typedef struct RowTextTaker {
    bool (*take)(void *user, int64_t row, RowText text, Err *err);
    void *user;
} RowTextTaker;
RowProg *rowprog_text_new(Arena *arena, const Source *source, const PlanText *text, Err *err);
bool rowprog_texts(const RowProg *prog, RowWork *work, const RowBlock *block,
                   const RowTextTaker *to, Err *err);

#endif

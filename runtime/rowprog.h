/* rowprog.h: the code that makes one field of the batch record from the columns of a source. */
#ifndef MDL_ROWPROG_H
#define MDL_ROWPROG_H

#include "hostarray.h"

typedef struct RowProg RowProg;

typedef struct RowSource {
    const Plan *plan;
    const PlanData *data;
    const HostArray *columns; /* one per column of data; must outlive the program */
} RowSource;

/* Checks the code of a field against the columns' shapes: ERR_DATA when an operand does not fit or
 * the result has another number of elements than the field. */
RowProg *rowprog_new(Arena *arena, const RowSource *source, const PlanField *field, Err *err);
/* Bytes of one row of the field. */
size_t rowprog_bytes(const RowProg *prog);
/* Fills out with the field of the n rows listed. ERR_DATA when a value does not fit an integer
 * field. Not for two threads at once: the program owns its workspace. */
bool rowprog_run(RowProg *prog, const int64_t *rows, int64_t n, void *out, Err *err);

#endif

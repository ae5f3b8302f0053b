/* micro.h: how many rows of a batch one pass takes, where the program leaves it to memory. Private to
 * compiler/. */
#ifndef MDL_MICRO_H
#define MDL_MICRO_H

#include "compile.h"

/* Plans passes of so many rows: what that needs in bytes. False: *err. */
typedef bool (*MicroTry)(void *user, int64_t rows, uint64_t *need, Err *err);

typedef struct MicroSearch {
    int64_t batch;
    bool packed; /* any number of rows will do */
    uint64_t budget;
    MicroTry try_rows;
    void *user;
} MicroSearch;

/* Fills rows and need of *out with the largest divisor of batch below it (of packed rows: the largest number) that
 * fits, and 1 when none does; what was tried last is that one. */
bool micro_search(const MicroSearch *x, MicroChoice *out, Err *err);

#endif

/* ranges.h: a loop over many elements that do not depend on each other, on several threads of the host. */
#ifndef MDL_RANGES_H
#define MDL_RANGES_H

#include "base.h"

typedef void (*RangeFn)(void *user, size_t from, size_t to);

/* fn over parts of [0, n), each element once, in any order; on this thread alone when n is small. */
void ranges_run(int threads, size_t n, RangeFn fn, void *user);

#endif

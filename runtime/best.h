/* best.h: which checkpoint of a run was the best by a metric: checkpoints/BEST. */
#ifndef MDL_BEST_H
#define MDL_BEST_H

#include "base.h"

typedef struct Best {
    int64_t step; /* -1: none yet */
    double value;
} Best;

/* Says that `now` is the best, and was `before` it. Goes before the checkpoint of now.step is saved. */
bool best_write(const char *run_dir, const Best *now, const Best *before, Err *err);
/* The best up to a step, whose checkpoint is there; step -1 without one. ERR_DATA when the file is none of ours. */
bool best_read(const char *run_dir, int64_t last, Best *out, Err *err);

#endif

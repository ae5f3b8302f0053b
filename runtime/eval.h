/* eval.h: an evaluation over data that are open already. */
#ifndef MDL_EVAL_H
#define MDL_EVAL_H

#include "runtime.h"

typedef struct EvalOutcome {
    EvalMetric *metrics; /* the caller's, one per metric of the eval */
    int64_t rows;
} EvalOutcome;

bool eval_over(Runtime *rt, uint32_t eval, Dataset *ds, EvalOutcome *out, Err *err);

#endif

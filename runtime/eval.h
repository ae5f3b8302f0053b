/* eval.h: an evaluation over data that are open already. */
#ifndef MDL_EVAL_H
#define MDL_EVAL_H

#include "runtime.h"

bool eval_over(Runtime *rt, uint32_t eval, Dataset *ds, EvalMetric *metrics, int64_t *rows,
               Err *err);

#endif

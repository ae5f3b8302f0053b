/* predict.h: how long the entries of a plan should take on a GPU: of each kernel what it does is in the plan, and seconds
 * come from the cost model (costs.h). */
#ifndef MDL_PREDICT_H
#define MDL_PREDICT_H

#include "costs.h"
#include "plan.h"

/* One kernel of an entry. */
typedef struct PredictRow {
    const PlanKernel *kernel;
    Work work;
    Prediction one; /* of one launch */
    double launches;
} PredictRow;

typedef struct PredictEntry {
    const char *name;
    PredictRow *rows; /* longest first */
    uint32_t n;
    double seconds;
    double products, bytes; /* operations in products, in all */
} PredictEntry;

/* Run-time sizes and lengths of loops at their upper ends. The first target of the plan is a GPU. In arena, and of
 * the plan, which must live as long. */
PredictEntry predict_entry(Arena *arena, const Plan *p, uint32_t entry, const Target *gpu);

#endif

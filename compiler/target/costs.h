/* costs.h: how long a kernel should take on a GPU, from what it does and what machine and class reach. These are
 * predictions: docs/gpu-status.md says how far they are from what was measured. */
#ifndef MDL_COSTS_H
#define MDL_COSTS_H

#include "target.h"

/* One launch, at the upper end of run-time sizes. */
typedef struct Work {
    KernelClass cls;
    double flops;    /* operations */
    double products; /* of these, in products of matrices .. */
    double matrix;   /* .. and of these, in products of 16-bit operands */
    double bytes;    /* each operand read once, as far as it is read, each result written once */
    double launches; /* its phases, as often as they run */
    double blocks;   /* of its largest phase; 0: not known */
    bool
        stays; /* these share the multiprocessors one by one: the last round takes as long as any */
} Work;

typedef struct Prediction {
    double memory, arithmetic; /* seconds */
    double seconds;            /* of the launch, with what it takes to begin */
} Prediction;

/* t is a GPU. */
Prediction target_predict(const Target *t, const Work *work);

#endif

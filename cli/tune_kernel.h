/* tune_kernel.h: measures the configurations of one kernel problem on a device. */
#ifndef MDL_TUNE_KERNEL_H
#define MDL_TUNE_KERNEL_H

#include "pick.h"
#include "program.h"
#include "target.h"

/* A kernel problem of a program. */
typedef struct TuneProblem {
    const Node *group; /* of a fused entry */
    uint64_t problem;  /* pick_problem */
} TuneProblem;

typedef struct TuneTrial {
    PickConfig config; /* as pick would write it: with a library's choice behind it (library.h) */
    double seconds;    /* of a launch, the median of several rounds; 0: its results are wrong */
} TuneTrial;

enum { TUNE_LIBRARY = 8, TUNE_MOST = PICK_MOST + TUNE_LIBRARY };

typedef struct TuneResult {
    TuneTrial trial[TUNE_MOST]; /* that of the cost model first; algorithms of cuBLASLt last */
    uint32_t n;
    uint32_t
        best; /* in trial; another than 0 only if it is faster by more than measurements vary */
} TuneResult;

typedef struct TuneSpec {
    Cli *cli;
    const Program *program;
    const Target *target;
    const TuneProblem *problem;
} TuneSpec;

/* How many configurations there are, an algorithm of cuBLASLt being one more; with less than 2 there is nothing to measure. */
uint32_t tune_count(Arena *arena, const TuneSpec *spec);
/* Each candidate on the same random inputs, run-time sizes at their upper ends; their results are compared with those of
 * the first. Everything is made in arena. False: *err. */
bool tune_measure(Arena *arena, const TuneSpec *spec, TuneResult *out, Err *err);

#endif

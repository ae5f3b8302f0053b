/* lockstep.h: an entry of a plan, launch by launch beside the interpreter. */
#ifndef MDL_LOCKSTEP_H
#define MDL_LOCKSTEP_H

#include "bisect.h"

/* The first launch that computes something else than its group. Values are in f64. */
typedef struct Fault {
    uint32_t launch;
    const Node *group;
    uint32_t set;      /* of a table of tensors; else 0 */
    Value **in, **got; /* by input and result of the group's body */
    Value **want;      /* by result; NULL where only a block of it was compared */
    bool in_block;
    Difference difference;
} Fault;

typedef struct LockstepCounts {
    uint32_t compared, in_blocks, large,
        foreign; /* launches; a launch in a loop counts each time */
} LockstepCounts;

typedef struct Lockstep Lockstep;

/* How the entry is run. All outlive the Lockstep. */
typedef struct LockstepSpec {
    Runtime *rt;
    const MemPlan *m; /* of the entry, whose plan the runtime has */
    const RtCall *call;
    const int64_t *sym_values; /* by DimSym */
} LockstepSpec;

/* Runs the entry of that name. *fault: in memory of the result, NULL when everything agrees. NULL: *err. */
Lockstep *lockstep_run(const LockstepSpec *spec, const char *entry, const Fault **fault, Err *err);
LockstepCounts lockstep_counts(const Lockstep *l);
void lockstep_free(Lockstep *l); /* NULL is fine */

#endif

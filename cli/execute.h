/* execute.h: one entry run once, compiled on the device or interpreted in f64, with the same
 * parameters, for `mdl call` and `mdl grad`. */
#ifndef MDL_EXECUTE_H
#define MDL_EXECUTE_H

#include "ir.h"
#include "program.h"
#include "tensors.h"

/* What a run of an entry takes and gives. */
typedef struct Execution {
    uint32_t entry;
    int64_t passes; /* the args have rows for so many, one after the other; 0 is 1 */
    bool weighs;    /* `weigh` runs over all of them before */
    uint32_t weigh;
    int after;             /* reference: interpret the graph after this pass; -1: as elaborated */
    const StFile *args;    /* tensors by the names of the entry's inputs */
    const char *args_name; /* their file, for messages; may be NULL */
    /* out: values in f64, however they were computed */
    double **results;   /* by result of the entry */
    const void **typed; /* the same in its type; NULL where it was interpreted */
    double *
        *states; /* by state id; compiled: all; reference: those that the entry writes, else NULL */
} Execution;

/* After compile_stage or compile_call. With --reference or --bits interpreted, else compiled; parameters from
 * --weights, else as a new run with this seed would have them. */
bool execute(Cli *cli, Compile *c, Execution *x, uint64_t seed, Err *err);

/* Name, type and shape of a tensor whose extents are constants. */
Want want_of(const char *name, const Type *type);

#endif

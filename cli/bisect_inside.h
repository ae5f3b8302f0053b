/* bisect_inside.h: which operation of a wrong kernel is wrong. */
#ifndef MDL_BISECT_INSIDE_H
#define MDL_BISECT_INSIDE_H

#include "lockstep.h"

typedef enum InsideVerdict {
    INSIDE_ALONE,  /* the operation is wrong in a kernel of its own */
    INSIDE_FUSED,  /* alone all are right; wrong with it as the result of what it needs, fused */
    INSIDE_NOWHERE /* no part of the kernel is wrong by itself */
} InsideVerdict;

typedef struct InsideSpec {
    Cli *cli;
    Arena *arena; /* of what is made */
    const Fault *fault;
    const RtCall *call;
    const int64_t *sym_values;
    const Runtime *rt; /* where it was found to be wrong: the target that it was compiled for */
} InsideSpec;

/* *node: the operation, or NULL. False: *err. */
bool bisect_inside(const InsideSpec *spec, InsideVerdict *verdict, const Node **node, Err *err);

#endif

/* bisect.h: one launch of a plan beside the interpreter, for `mdl bisect`. */
#ifndef MDL_BISECT_H
#define MDL_BISECT_H

#include "memplan.h"
#include "program.h"

typedef VEC(uint32_t) TensorIds;

/* What a launch reads and writes, by tensor of the plan, in the order of its group. */
typedef struct LaunchTensors {
    TensorIds in, out;
    uint32_t nset; /* of a table: its first set alone is compared */
} LaunchTensors;
/* False when the launch is not one of the group. */
bool bisect_tensors(Arena *arena, const Plan *plan, const PlanStep *step, const Node *group,
                    LaunchTensors *out);

/* A difference larger than rounding explains. */
typedef struct Difference {
    uint32_t result;
    int64_t element;
    double got, want, bound;
} Difference;

typedef struct Comparison {
    const Node *group;
    Value *const *in;  /* in f64, by formal of the group's Def */
    Value *const *got; /* by result of the first set */
    InterpBinding run; /* slots and sizes; inputs are filled in */
} Comparison;

/* What the interpreter gives; in `arena`. */
Value **bisect_want(Arena *arena, const Comparison *c);
/* True when got is within the bound of want. */
bool bisect_agrees(Arena *arena, const Comparison *c, Value *const *want, Difference *out);
/* What the interpreter would do for one launch, in elements and flops. */
double bisect_work(const Node *group);

#endif

/* bisect.h: one launch of a plan beside the interpreter, for `mdl bisect`. */
#ifndef MDL_BISECT_H
#define MDL_BISECT_H

#include "memplan.h"
#include "program.h"

typedef VEC(uint32_t) TensorIds;

/* What a launch reads and writes, by tensor of the plan, in the order of its group. */
typedef struct LaunchTensors {
    TensorIds in, out;
    uint32_t nset; /* of a table: how many there are; else 1 */
} LaunchTensors;
/* Set number `set` of a table; else 0. False when the launch is not one of the group. */
typedef struct LaunchOf {
    const Plan *plan;
    const PlanStep *step;
    const Node *group;
    uint32_t set;
} LaunchOf;
bool bisect_tensors(Arena *arena, const LaunchOf *launch, LaunchTensors *out);

/* A difference larger than rounding explains. */
typedef struct Difference {
    uint32_t result;
    int64_t element;
    double got, want, bound;
} Difference;

typedef struct Comparison {
    const Graph *body; /* what the launch should compute */
    Value *const *in;  /* in f64, by input of the body */
    Value *const *got; /* by result of the body */
    InterpBinding run; /* slots and sizes; inputs are filled in */
} Comparison;

/* What the interpreter gives; in `arena`. */
Value **bisect_want(Arena *arena, const Comparison *c);
/* True when got is within the bound of want. */
bool bisect_agrees(Arena *arena, const Comparison *c, Value *const *want, Difference *out);
/* What the interpreter would do, in elements and flops. */
double bisect_work(const Graph *body);

/* ---- bisect_block.c: some elements of a large result ---- */

/* A block of result number `result`: lo[k] .. lo[k] + n[k] of axis k. */
typedef struct Block {
    uint32_t result, rank;
    int64_t lo[IR_MAX_RANK], n[IR_MAX_RANK];
} Block;

enum { BLOCKS = 3 }; /* the first elements, the last ones, some between */
/* Number i of them, for a result of this type. */
Block bisect_block(const Type *t, uint32_t result, uint32_t i);
/* The body with the block as its only result, and nothing computed that it does not need. */
const Graph *bisect_block_body(Arena *arena, const Graph *body, const Block *b);
Value *bisect_block_value(Arena *arena, const Value *whole, const Block *b);
/* The number in the whole of an element of the block. */
int64_t bisect_block_element(const Value *whole, const Block *b, int64_t element);

#endif

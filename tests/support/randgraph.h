/* randgraph.h: seeded random graphs and values for the properties of passes and back ends. */
#ifndef MDL_RANDGRAPH_H
#define MDL_RANDGRAPH_H

#include "ir.h"
#include "testrand.h"

typedef struct RandGraph {
    uint64_t seed;
    uint32_t nodes; /* operations to try */
    DType dtype;    /* of floats: DT_F32 or DT_F64 */
    bool smooth;    /* only what can be differentiated anywhere in range: no max, abs, floor ... */
    uint32_t results; /* at most that many results, the last nodes that have no reader */
} RandGraph;

/* A graph over inputs of several shapes; same options, same graph. Values stay tame (|x| about 10,
 * no division by zero), so that f32 and f64 agree closely. */
Graph *randgraph(Ir *ir, Arena *arena, const RandGraph *options);

/* One value per input: floats in [-1, 1) rounded to f32, integers in 0..4, bools. */
Value **randgraph_inputs(const Graph *g, Arena *arena, uint64_t seed);

/* Runs g on the inputs; the array has one value per result. */
Value **randgraph_run(const Graph *g, Arena *arena, Value *const *inputs);

/* The largest |a - b| / max(1, |b|) over all elements; NaN equals NaN, infinities by sign; HUGE_VAL
 * where only one is NaN or the extents differ. */
double value_distance(const Value *a, const Value *b);

#endif

/* gradcheck.h: gradients of autodiff against central differences in f64. */
#ifndef MDL_GRADCHECK_H
#define MDL_GRADCHECK_H

#include "passes.h"
#include "randgraph.h"

/* Checks d sum(w * y) / d x for y = the first result of g, random weights w, and every float input x
 * of g (all f64) at `inputs`. NULL when they agree, else what differs. The bound comes from the
 * differences themselves: |D(h) - D(2h)|, three times the truncation error of D(h), and the rounding
 * of the two sums. */
const char *gradcheck(PassCx *cx, const Graph *g, Value *const *inputs, uint64_t seed);

#endif

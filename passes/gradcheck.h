/* gradcheck.h: derivatives of what a program uses, against central differences: `mdl check --grad`. */
#ifndef MDL_GRADCHECK_PASS_H
#define MDL_GRADCHECK_PASS_H

#include "passes.h"

typedef enum GradVerdict {
    GRAD_AGREES,
    GRAD_DIFFERS,
    GRAD_NOT_FINITE, /* at all points that were tried */
    GRAD_TOO_LARGE   /* for the interpreter */
} GradVerdict;

/* One operation, or one composite with its body: all operands that carry a gradient. Or an entry. */
typedef struct GradFinding {
    const char *name; /* of the operation or the Def; "as a whole" */
    const Node *node; /* the smallest one of the entry */
    GradVerdict verdict;
    const char *operand; /* DIFFERS: of which operand the derivative is wrong */
    double
        relative; /* how far both are apart in the last direction tried, of the sum of all terms */
    double bound; /* ... and how far they may be */
} GradFinding;
typedef VEC(GradFinding) GradFindings;

/* Every differentiable operation of an entry before autodiff, once, also inside composites without a
 * vjp; and every composite. Constants stay what they are, other operands are random. done: what other
 * entries had is left out, and what is looked at here is added; or NULL. */
void gradcheck_entry(PassCx *cx, const Graph *entry, Map *done, GradFindings *out);

/* The entry with its parameters and inputs as operands, in one random direction through all of them. */
void gradcheck_whole(PassCx *cx, const Graph *entry, GradFinding *out);

/* Small extents for the symbols that are left, by DimSym. */
int64_t *gradcheck_sizes(PassCx *cx);

/* The derivatives of sum(w * y) over all float results y of g, for random w, with respect to every
 * float input. DIFFERS: *operand and *relative say. */
GradVerdict gradcheck_graph(PassCx *cx, const Graph *g, GradFinding *out);
/* The same in one direction. */
GradVerdict gradcheck_joint(PassCx *cx, const Graph *g, GradFinding *out);

#endif

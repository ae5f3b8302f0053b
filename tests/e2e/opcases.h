/* opcases.h: the recorded cases of single operations as programs. */
#ifndef MDL_TEST_OPCASES_H
#define MDL_TEST_OPCASES_H

#include "lab.h"

enum { CASE_MAX_INPUTS = 4 };

typedef struct OpCase {
    const char *name; /* function of ops.mdl */
    CallInput in[CASE_MAX_INPUTS];
    uint32_t nin;
} OpCase;

typedef struct OpCases {
    VEC(OpCase) all;
} OpCases;

/* Functions and what they gave: tests/recorded/NAME.mdl and NAME.safetensors. */
typedef struct OpFile {
    const char *name;
    uint32_t least; /* so many cases at least */
    bool kernels;   /* the CPU runs all of them */
    bool loops;     /* whose bodies are fused */
} OpFile;

enum { OP_FILES = 6 };
extern const OpFile op_files[OP_FILES];

Lab *opcases_open(const OpFile *file);
/* All cases of the file, by name. */
OpCases opcases_list(const Lab *lab);
/* What `mdl call` would make of it. */
Program *opcase_call(const Lab *lab, const OpCase *c);
/* The entry that `mdl call` would run. Its inputs are named as the formals. */
Graph *opcase_entry(const Lab *lab, const OpCase *c);

/* One training program of all cases: entry `micro` reads each differentiated argument as a parameter
 * (key CASE/in.FORMAL), all else as inputs of their recorded names; results CASE/out ..; its loss.sum is
 * the sum of w * result over all cases, so that the GRAD states get the recorded gradients. */
Program *opcases_program(const Lab *lab, const OpCases *cases);
/* GRAD states against CASE/grad.FORMAL, results against CASE/out ...: within bound of the norm of what
 * is recorded, or of `floor` where that is larger; integers and bools exactly. */
typedef struct OpBound {
    double bound, floor;
} OpBound;
void opcases_check_gradients(const Lab *lab, Value *const *states, OpBound b);
void opcases_check_results(const Lab *lab, const Graph *g, Value *const *results, OpBound b);

#endif

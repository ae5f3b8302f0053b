/* lab.h: a .mdl program beside what PyTorch computed for it (tests/recorded): recorded tensors as
 * values of the interpreter, entries run on states by name, comparisons by norm. */
#ifndef MDL_TEST_LAB_H
#define MDL_TEST_LAB_H

#include "front.h"
#include "passes.h"
#include "runtime.h"

/* A model of tests/recorded: a program, the settings that make it tiny, the file of numbers. */
typedef struct RecordedModel {
    const char *name; /* of the model: the function `mdl call` takes */
    const char *program, *file;
    const char *set[6];
    uint32_t nset;
    double lr;
} RecordedModel;

enum { RECORDED_MODELS = 2 };
extern const RecordedModel recorded_models[RECORDED_MODELS];

typedef struct Lab {
    Arena *arena;
    Ir *ir;
    Front *front;
    StFile *file;
    Target target;
    Program *program; /* set by lab_stage or by the test */
    PassCx *passes;
} Lab;

/* "avx2", "sm_80" ..; NULL: $MDL_TEST_ISA, by which whole test programs run on the emulated GPU; else the best of
 * this machine. */
bool lab_target(Target *out, const char *isa, Err *err);

/* Opens both files of the source tree (recorded: or NULL); fails the test when one is missing or wrong. */
Lab *lab_open(const char *program, const char *recorded, const char *const *set, uint32_t nset);
Lab *lab_open_model(const RecordedModel *m);
void lab_close(Lab *lab);
/* Elaborates the only train block into lab->program. */
void lab_stage(Lab *lab);
/* Passes over a program made otherwise. */
void lab_program(Lab *lab, Program *p);
/* Fails the test with the diagnostics when there are any. */
void lab_clean(const Lab *lab, const char *what);
/* The entry after pass `last` (-1: as elaborated). */
Graph *lab_pass(Lab *lab, const Graph *entry, int last);
/* Every operation a group of its own: what fusion is compared with. Input: after PASS_tidy. */
Graph *lab_unfused(Lab *lab, const Graph *g);

/* The recorded tensor of that name, or NULL. */
Value *lab_value(const Lab *lab, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same, but there must be one. */
Value *lab_need(const Lab *lab, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- running entries by the interpreter ---- */

typedef struct World {
    Value **states;           /* by state id */
    const char *input_prefix; /* recorded name of input x: prefix + x */
    double lr, step;
    bool bits; /* numbers are those of their types, not all f64 */
} World;

/* States: parameters from "<prefix>KEY", rounded where they have 16 bits, and their masters; all others zero. */
World lab_world(const Lab *lab, const char *weight_prefix);
/* Runs g, stores its writes in the world's states, returns the results in g's order. */
Value **lab_run(const Lab *lab, const Graph *g, World *w);
const Value *lab_result(const Graph *g, Value **results, const char *name);

/* ---- comparing ---- */

double value_norm(const Value *v);
/* ||a - b||; HUGE_VAL when extents differ, a NaN counts as HUGE_VAL too unless both have it. */
double value_gap(const Value *a, const Value *b);
/* Fails unless ||got - want|| <= bound * ||want||. */
void check_value(const char *what, const Value *got, const Value *want, double bound);

/* Gradients of one program: got[i] and want[i] belong together. A tensor whose gradient vanishes
 * (norm below 1e-9 of the whole) is measured against the whole gradient's norm. */
typedef struct GradBound {
    double tensor;    /* of the tensor's norm */
    double vanishing; /* of the whole gradient's norm */
} GradBound;
void check_gradients(const Lab *lab, Value *const *states, GradBound bound);
/* Whether the recorded gradient of a parameter vanishes so. */
bool gradient_vanishes(const Lab *lab, Sym key);

#endif

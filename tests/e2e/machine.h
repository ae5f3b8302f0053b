/* machine.h: compiled plans for the programs of lab.h: states and inputs by recorded names, results
 * as values of the interpreter, so that both can be compared. */
#ifndef MDL_TEST_MACHINE_H
#define MDL_TEST_MACHINE_H

#include "compile.h"
#include "devices.h"
#include "lab.h"

typedef struct Machine {
    const Lab *lab;
    Compile *compile; /* NULL: made from graphs */
    Plan *plan;
    Runtime *rt;
} Machine;

typedef struct MachineOptions {
    int threads;
    const char *isa;   /* NULL: the best of this machine */
    const char *skip;  /* name of an optional pass, or NULL */
    const char *cache; /* folder of compiled kernels */
    const CompileTarget *targets;
    uint32_t ntarget;           /* 0: the CPU alone */
    const DeviceVtable *device; /* NULL: the CPU */
} MachineOptions;

/* The model as `mdl train` compiles it. States have the numbers of lab->program. */
Machine machine_of_model(const Lab *lab, const RecordedModel *m, const MachineOptions *opt);
/* Fused graphs of lab->program, as many as it has entries. */
Machine machine_of_graphs(Lab *lab, Graph *const *fused, const MachineOptions *opt);
void machine_close(Machine *m);

/* States to those of the world, rounded to their types. */
void machine_set_states(const Machine *m, const World *w);
Value *machine_state(const Machine *m, uint32_t state);
/* All states. */
Value **machine_states(const Machine *m);
/* Runs an entry on the recorded inputs of the world; results in the order of the entry. */
Value **machine_run(const Machine *m, const char *entry, const World *w);

#endif

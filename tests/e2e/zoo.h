/* zoo.h: the models of models/ made tiny, beside what the reference models compute for the same weights
 * (tests/recorded/zoo, made by record_zoo.py). */
#ifndef MDL_TEST_ZOO_H
#define MDL_TEST_ZOO_H

#include "lab.h"

enum { ZOO_CASES = 5, ZOO_SETTINGS = 16, ZOO_INPUTS = 6 };

typedef struct ZooCase {
    const char *name;     /* in the record: NAME/in.FORMAL, NAME/out, NAME/grad.KEY */
    const char *function; /* as `mdl call` takes it */
} ZooCase;

typedef struct ZooModel {
    const char *record;  /* tests/recorded/zoo/RECORD.safetensors; NULL: none */
    const char *program; /* from the root of the tree */
    const char *set[ZOO_SETTINGS];
    ZooCase cases[ZOO_CASES];
    bool partly;   /* only the functions of the cases are right at this size */
    bool compiled; /* the CPU has kernels for all of it */
} ZooModel;

extern const ZooModel zoo_models[];
extern const uint32_t zoo_count;

Lab *zoo_open(const ZooModel *m);
/* The function of the case as lab->program, its only entry. */
Graph *zoo_call(Lab *lab, const ZooCase *c);
/* The same for a loss, as entry `micro` with gradients of the parameters that have one in the record. */
Graph *zoo_training(Lab *lab, const ZooCase *c);
/* States by key, inputs of that case. */
World zoo_world(const Lab *lab, const ZooCase *c);
/* Results as recorded, within `bound` of the norm; a recorded NaN stands for any number. */
void zoo_check_results(const Lab *lab, const ZooCase *c, Value **results, double bound);
/* GRAD states likewise. Biases of keys have none: a softmax does not see them. */
void zoo_check_gradients(const Lab *lab, const ZooCase *c, Value *const *states, GradBound bound);
/* Whether the case is a loss with gradients. */
bool zoo_is_loss(const Lab *lab, const ZooCase *c);

#endif

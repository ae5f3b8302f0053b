/* examples.h: kernels written by hand in the text that GPUs run (kernels/), each with sizes that fit
 * nothing, inputs, and what plain C gives. */
#ifndef MDL_TEST_EXAMPLES_H
#define MDL_TEST_EXAMPLES_H

#include "emulator.h"

enum { EXAMPLE_BUFS = 6 };

typedef struct Example {
    const char *name; /* of the kernel */
    const char *file; /* in kernels/, without its ending */
    int threads;
    int64_t blocks;
    size_t shared;
    int64_t block[4];           /* the argument block */
    size_t bytes[EXAMPLE_BUFS]; /* of its buffers; 0: no more */
    int output;                 /* which of them holds the result */
    double bound;               /* of the difference */
    void (*fill)(void *const *buf, const int64_t *block);
    double (*error)(void *const *buf, const int64_t *block);
    void (*maps)(void *const *buf, const int64_t *block, MdlTensorMap *maps); /* or NULL */
} Example;

extern const Example examples[];
extern const uint32_t nexamples;

const Example *example_find(const char *name);
/* The text of a file of kernels. */
const char *example_text(Emulator *e, const char *file);

/* An example with memory. */
typedef struct Trial {
    const Example *of;
    Case c;
} Trial;

void trial_begin(Emulator *e, Trial *t, const Example *of);
/* Poisons the result and runs. True: nothing was found; then *error is how far off the result is. */
bool trial_run(Emulator *e, const Kernel *k, Trial *t, uint64_t seed, double *error);
void trial_end(Emulator *e, Trial *t);

#endif

/* emulator.h: for tests: a text is compiled, its kernel runs, what was found is looked at. */
#ifndef MDL_TEST_EMULATOR_H
#define MDL_TEST_EMULATOR_H

#include "simt.h"
#include "simtload.h"

typedef struct Emulator {
    Arena *arena; /* of one test program */
    Simt *simt;
    const char *cache;
} Emulator;

typedef struct Kernel {
    Units *units;
    SimtMode mode;
} Kernel;

Emulator *emulator_new(void);
void emulator_free(Emulator *e);

/* Compiles; fails the test when that fails. */
Kernel kernel_compile(Emulator *e, const char *text, SimtMode mode);
void kernel_free(Kernel *k);

/* A kernel's arguments: memory that is checked, each named after its place. */
typedef struct Case {
    const char *name; /* of the kernel */
    int threads;
    int64_t blocks;
    size_t shared;
    uint64_t seed;
    MdlGpuArgs args;
} Case;

/* Zeroed memory of exactly that size, aligned as a device's; it is argument number `i`. */
void *case_buffer(Emulator *e, Case *c, int i, size_t bytes);
/* Ends the use of its buffers. */
void case_end(Emulator *e, Case *c);
/* True: nothing was found. */
bool case_run(Emulator *e, const Kernel *k, const Case *c);
/* Numbers in [-1, 1) that depend on the seed alone. */
void fill_floats(float *x, size_t n, uint64_t seed);
float bf16_value(uint16_t x);
uint16_t bf16_of(float x);
void fill_bf16(uint16_t *x, size_t n, uint64_t seed);
/* The larger of `most` and the difference of the two; NaN stays. */
double worse(double most, float have, double want);

#endif

/* loader.h: batches of a dataset in a fixed order, the next one prepared while this one is used. */
#ifndef MDL_LOADER_H
#define MDL_LOADER_H

#include "runtime.h"

typedef struct Loader Loader;

/* Samples [begin, end) of a run, `batch` at a time, the last batch smaller. Sample p is position
 * p % rows of epoch p / rows. */
typedef struct LoaderSpec {
    const Plan *plan;
    Dataset *ds;   /* used by the loader's thread alone until loader_close */
    uint32_t data; /* the plan's number of ds */
    int64_t batch, begin, end;
    uint64_t seed;
    bool in_order; /* row numbers rise, whatever the data block says */
} LoaderSpec;

typedef struct LoaderBatch {
    void *const *fields; /* of the data block, in order; 64-byte aligned */
    int64_t n;           /* rows: fewer than samples where texts share them */
} LoaderBatch;

Loader *loader_new(const LoaderSpec *spec, Err *err);
void loader_free(Loader *loader); /* stops the thread; NULL is fine */
/* The next batch, valid until the next call; n = 0 behind the end. */
bool loader_next(Loader *loader, LoaderBatch *out, Err *err);

#endif

/* simt.h: a GPU made of software. Kernels in the text that GPUs run are compiled as C over the prelude in
 * runtime/prelude/simt, and run here: blocks (those of a cluster together) one after the other, threads as fibres.
 *
 * Everything that hardware may do late is done as late as the program permits, memory that was not
 * written holds NaN, and with a seed blocks and threads run in random order. A checked kernel tells of
 * every access to memory, and those that no barrier orders are reported. */
#ifndef MDL_SIMT_ENGINE_H
#define MDL_SIMT_ENGINE_H

#include "device.h"

typedef struct Simt Simt;

typedef void (*SimtKernel)(const MdlGpuArgs *args);

enum { SIMT_MAX_REPORTS = 8 };

/* Memory that an argument stands for. */
typedef struct SimtArgument {
    const void *at;
    size_t bytes;
    const char *name;
} SimtArgument;

typedef struct SimtLaunch {
    const char *name;
    SimtKernel kernel;
    void (*enter)(
        void *engine);  /* mdl_engine_enter of its object, which runs one launch at a time */
    const char *object; /* its path, for lines of reports; NULL: offsets are reported */
    const MdlGpuArgs *args;
    /* Of a buffer in which one of these lies, a checked kernel may touch these alone. */
    const SimtArgument *arguments;
    uint32_t narguments;
    uint32_t nmaps; /* at args->map, that a kernel has by value */
    int64_t blocks;
    int threads;   /* of a block: whole warps, at most 1024 in a cluster */
    int cluster;   /* blocks side by side that reach each other's shared memory; 0: each is alone */
    size_t shared; /* bytes of a block */
    uint64_t seed; /* 0: blocks and threads in order */
    bool check;    /* it was compiled to be checked */
    /* It may begin before the launch before it has ended: each thread must wait for that. */
    bool chained;
} SimtLaunch;

Simt *simt_new(Err *err);
void simt_free(Simt *s); /* NULL is fine */

/* Memory that kernels may touch; named in reports. It must be aligned to 4 bytes. */
bool simt_add_buffer(Simt *s, void *at, size_t bytes, const char *name, Err *err);
void simt_remove_buffer(Simt *s, const void *at);

/* ERR_DATA where a GPU could not. */
bool simt_encode_map(const GpuTensor *t, MdlTensorMap *out, Err *err);

/* Runs a kernel to its end, or to the first fault after which nothing would make sense. True when nothing
 * was found; else simt_report(s, 0..) are lines of text, the first of them the first that was found. */
bool simt_launch(Simt *s, const SimtLaunch *launch);
const char *simt_report(const Simt *s, uint32_t i); /* NULL: there are no more */

#endif

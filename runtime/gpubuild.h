/* gpubuild.h: kernel texts to machine code of one architecture, through NVRTC and the cache of kernels. */
#ifndef MDL_GPUBUILD_H
#define MDL_GPUBUILD_H

#include "cubin.h"

/* One kernel of a plan: all its phases. */
typedef struct GpuText {
    const char *name, *text;
} GpuText;

typedef struct GpuTexts {
    const GpuText *at;
    uint32_t n;
} GpuTexts;

typedef struct GpuBuildOptions {
    const char *arch;      /* "sm_80", "sm_90a" */
    const char *cache_dir; /* NULL: path_cache() */
    int newest;            /* of CUDA newest.x at most, as the driver is; 0: any */
    int threads;           /* 0: all cores this process may use */
    bool lines;            /* with lines of the model, for debuggers and profilers */
    void (*progress)(void *user, uint32_t done, uint32_t total); /* kernels compiled; may be NULL */
    void *user;
} GpuBuildOptions;

typedef struct GpuBuild {
    Cubin *units;
    uint32_t nunit;
    uint32_t *unit_of; /* by text */
    uint32_t compiled; /* kernels that were not in the cache */
    const char *nvrtc; /* its version; NULL when it was not needed and is not there */
} GpuBuild;

/* When all units are in the cache, NVRTC need not be there. ERR_DEVICE: no NVRTC, it refuses a text (the
 * message has kernel and line), the cache cannot be used; ERR_INTERRUPTED. */
bool gpubuild_run(Arena *arena, GpuTexts texts, const GpuBuildOptions *opt, GpuBuild *out,
                  Err *err);

#endif

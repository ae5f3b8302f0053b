/* nvrtccase.h: texts of GPU kernels of the tests, compiled for both architectures. */
#ifndef MDL_NVRTCCASE_H
#define MDL_NVRTCCASE_H

#include "gpubuild.h"
#include "nvrtc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const gpu_archs[] = {"sm_80", "sm_90a"};

typedef struct GpuCase {
    Arena *arena;
    char dir[64]; /* holds the cache */
    const char *cache;
    bool nvrtc; /* is there one? */
} GpuCase;

static int gpu_setup(void **state)
{
    Arena *arena = arena_new();
    GpuCase *g = NEW(arena, GpuCase);
    Err ignored = {0};
    g->arena = arena;
    memcpy(g->dir, "/tmp/mdl-test-gpu-XXXXXX", 25);
    *state = g;
    if (!mkdtemp(g->dir))
        return -1;
    g->cache = path_join(arena, g->dir, "cache");
    g->nvrtc = nvrtc_open(arena, 0, &ignored) != NULL;
    return 0;
}

static int gpu_teardown(void **state)
{
    GpuCase *g = *state;
    Err err = {0};
    unsetenv("MDL_NVRTC");
    bool ok = file_remove_tree(g->dir, &err);
    arena_free(g->arena);
    return ok ? 0 : -1;
}

static inline bool gpu_build(const GpuCase *g, const char *arch, GpuTexts texts, GpuBuild *out,
                             Err *err)
{
    const GpuBuildOptions opt = {.arch = arch, .cache_dir = g->cache};
    return gpubuild_run(g->arena, texts, &opt, out, err);
}

static inline GpuBuild gpu_must_build(const GpuCase *g, const char *arch, const GpuText *texts,
                                      uint32_t n)
{
    GpuBuild out;
    Err err = {0};
    if (!gpu_build(g, arch, (GpuTexts){texts, n}, &out, &err))
        fail_msg("%s", err.text);
    return out;
}

#endif

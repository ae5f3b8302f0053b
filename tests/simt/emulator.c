/* emulator.c: for tests: a text is compiled, its kernel runs, what was found is looked at. */
#include "emulator.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

Emulator *emulator_new(void)
{
    Arena *arena = arena_new();
    Emulator *e = NEW(arena, Emulator);
    Err err = {0};
    e->arena = arena;
    e->simt = simt_new(&err);
    if (!e->simt)
        fail_msg("%s", err.text);
    e->cache = MDL_KERNEL_CACHE;
    return e;
}

void emulator_free(Emulator *e)
{
    simt_free(e->simt);
    arena_free(e->arena);
}

Kernel kernel_compile(Emulator *e, const char *text, SimtMode mode)
{
    Err err = {0};
    const DeviceOptions opt = {.cache_dir = e->cache};
    Units *u = simt_load(&text, 1, mode, &opt, &err);
    if (!u)
        fail_msg("%s", err.text);
    return (Kernel){u, mode};
}

void kernel_free(Kernel *k)
{
    units_unload(k->units);
}

void *case_buffer(Emulator *e, Case *c, int i, size_t bytes)
{
    Err err = {0};
    void *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
    assert_non_null(p);
    memset(p, 0, bytes);
    c->args.buf[i] = p;
    const char *name = arena_printf(e->arena, "buffer %d", i);
    if (!simt_add_buffer(e->simt, p, bytes, name, &err))
        fail_msg("%s", err.text);
    return p;
}

void case_end(Emulator *e, Case *c)
{
    for (int i = 0; i < MDL_GPU_BUFS; i++)
        if (c->args.buf[i]) {
            simt_remove_buffer(e->simt, c->args.buf[i]);
            free(c->args.buf[i]);
            c->args.buf[i] = NULL;
        }
}

bool case_run(Emulator *e, const Kernel *k, const Case *c)
{
    MdlGpuArgs args = c->args;
    SimtLaunch launch = {.args = &args,
                         .blocks = c->blocks,
                         .threads = c->threads,
                         .shared = c->shared,
                         .seed = c->seed};
    args.tasks = c->blocks;
    if (!simt_find(k->units, 0, c->name, k->mode, &launch))
        fail_msg("no kernel %s", c->name);
    return simt_launch(e->simt, &launch);
}

void fill_floats(float *x, size_t n, uint64_t seed)
{
    uint64_t state = seed * 2 + 1;
    for (size_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        x[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
}

float bf16_value(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void fill_bf16(uint16_t *x, size_t n, uint64_t seed)
{
    uint64_t state = seed * 2 + 1;
    for (size_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        x[i] = bf16_of((float)(int32_t)(state >> 32) * 0x1p-31f);
    }
}

double worse(double most, float have, double want)
{
    double d = fabs((double)have - want);
    return d <= most || isnan(most) ? most : d;
}

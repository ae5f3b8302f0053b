/* gpucase.h: the cases of kernelcase.h with a GPU's kernels. On the emulator: the text that a GPU runs, compiled
 * as C, block by block, first in order and then in a random one. MDL_LONG: every access is checked, for bounds and
 * races. With MDL_TEST_DEVICE=cuda: on the machine's GPU. */
#ifndef MDL_GPUCASE_H
#define MDL_GPUCASE_H

#include "hardware.h"
#include "passes.h"
#include "pick.h"
#include "simtload.h"

typedef struct GpuCases {
    Hardware *hardware; /* NULL: the emulator */
    Simt *simt;
    Units *units;
    Map *text; /* kernel name -> number of its text + 1 */
    SimtMode mode;
    uint32_t nmemory;
    bool
        catches; /* what the emulator finds goes to `reports`, and the kernels that follow are left out */
    StrBuf reports;
} GpuCases;

/* What `pick` chooses: cases give configurations of the CPU. */
static inline KernelConfig gpu_config(Ir *ir, Arena *arena, const Node *group, const Target *target)
{
    PassCx cx = {.ir = ir, .arena = arena, .target = target};
    return pick_for(&cx, group, target);
}

/* texts: kernels, each once, for `isa`. */
static inline GpuCases *gpu_compile_as(Arena *arena, GpuTexts texts, const char *isa, SimtMode mode)
{
    GpuCases *g = NEW(arena, GpuCases);
    Err err = {0};
    g->text = map_new(arena);
    if (hardware_wanted()) {
        g->hardware = hardware_open(arena, texts, isa, MDL_KERNEL_CACHE, &err);
    } else {
        g->mode = mode;
        DeviceOptions opt = {.cache_dir = MDL_KERNEL_CACHE, .quiet = true};
        const char **text = NEW_ARRAY(arena, const char *, texts.n + 1);
        for (uint32_t i = 0; i < texts.n; i++)
            text[i] = texts.at[i].text;
        g->simt = simt_new(&err);
        g->units = g->simt ? simt_load(text, texts.n, g->mode, &opt, &err) : NULL;
    }
    if (!g->units && !g->hardware)
        fail_msg("%s", err.text);
    return g;
}

static inline GpuCases *gpu_compile(Arena *arena, GpuTexts texts, const char *isa)
{
    return gpu_compile_as(arena, texts, isa, getenv("MDL_LONG") ? SIMT_CHECK : SIMT_PLAIN);
}

enum {
    APART = 1 << 14
}; /* bytes from one memory to the next: what is read past its end is not in it */

/* 64-byte aligned memory that kernels may touch, and what else they touch is a fault; the caller frees it.
 * Of hardware: pinned, and its own. */
static inline void *gpu_memory(GpuCases *g, size_t size)
{
    Err err = {0};
    char name[32];
    void *at = NULL;
    if (g->hardware) {
        at = hardware_memory(g->hardware, size, &err);
    } else if (posix_memalign(&at, 64, size + APART) == 0) {
        snprintf(name, sizeof(name), "memory %u", ++g->nmemory);
        if (!simt_add_buffer(g->simt, at, size, name, &err)) {
            free(at);
            at = NULL;
        }
    }
    if (!at)
        fail_msg("no memory: %s", err.text);
    return at;
}

static inline void gpu_free(GpuCases *g)
{
    hardware_close(g->hardware);
    units_unload(g->units);
    simt_free(g->simt);
}

/* The tensor of map number i of a kernel, in a launch with these arguments. */
static inline GpuTensor gpu_tensor(const Kernel *k, uint32_t i, const MdlGpuArgs *args,
                                   const int64_t *syms)
{
    const KMap *m = &k->maps.at[i];
    const KBuf *b = &k->bufs.at[m->buf];
    int64_t bytes = dtype_info(b->dtype)->bytes;
    GpuTensor t = {.rank = (int)m->rank, .element = (int)bytes, .swizzle = (int)m->swizzle};
    char *base = b->kind == KB_WORKSPACE ? args->workspace : args->buf[b->arg];
    t.base = base + (b->kind == KB_WORKSPACE ? b->offset : 0) + dim_eval(m->first, syms) * bytes;
    for (uint32_t d = 0; d < m->rank; d++) {
        int64_t n = dim_eval(m->dim[d], syms);
        t.dim[d] = n > 0 ? n : 1;
        t.box[d] = (int)m->box[d];
        if (d)
            t.stride[d - 1] = dim_eval(m->stride[d - 1], syms) * bytes;
    }
    return t;
}

enum { GPU_PROCESSORS = 2 }; /* blocks that stay have several tasks */

/* One phase of a kernel for so many tasks. */
static inline void gpu_phase(GpuCases *g, const KPhase *p, uint32_t text, const MdlGpuArgs *args,
                             int64_t tasks, bool shuffled)
{
    Err err = {0};
    SimtLaunch l = {.args = args,
                    .nmaps = args->map ? MDL_GPU_MAPS : 0,
                    .threads = (int)p->threads,
                    .shared = p->shared,
                    .chained = p->waits,
                    .seed = shuffled ? 20240607 : 0};
    int64_t each = p->threads / p->team;
    l.blocks = (tasks + each - 1) / each;
    if (p->stays && l.blocks > GPU_PROCESSORS)
        l.blocks = GPU_PROCESSORS;
    if (g->hardware) {
        HardwareLaunch launch = {text, p->name, l.blocks, p->threads, p->shared, args->map};
        if (!hardware_launch(g->hardware, &launch, args, &err)) {
            hardware_close(g->hardware); /* with its context, in which nothing works any more */
            fail_msg("%s", err.text);
        }
        return;
    }
    if (!simt_find(g->units, text, p->name, g->mode, &l))
        fail_msg("no kernel %s", p->name);
    if (l.blocks <= 0 || (g->catches && g->reports.n) || simt_launch(g->simt, &l))
        return;
    if (!g->catches)
        fail_msg("%s: %s", p->name, simt_report(g->simt, 0));
    for (uint32_t i = 0; simt_report(g->simt, i); i++)
        sb_printf(&g->reports, "%s\n", simt_report(g->simt, i));
}

#endif

/* dev_simt.c: a GPU made of software (runtime/simt) as a device, for machines without one.
 *
 * Its memory is as far away as a GPU's: what is not copied to it is not there. Kernels run one after the
 * other, to their end. What is found in one of them fails the next download or sync, as an illegal address
 * does on a GPU, and nothing runs any more. */
#include "devices.h"
#include "gpuargs.h"
#include "setting.h"
#include "tensors.h"
#include <errno.h>
#include <sys/mman.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

typedef struct Block {
    char *at;
    size_t bytes;
    char *before; /* its contents before a launch that is run in several orders */
} Block;

struct Device {
    DeviceOptions opt;
    SimtSetting setting;
    Simt *simt;
    Arena *arena;
    VEC(Block) blocks;
    uint32_t nalloc; /* so far, to name them */
    uint64_t launches;
    Err failed; /* what was found */
};

struct Module {
    Arena *arena;
    const Plan *plan;
    uint32_t target;
    Units *units;
    SimtLaunch *phases; /* by plan phase */
    uint32_t *nbuf;     /* by kernel */
    KernelTensors *tensors;
};

static const char *simt_here(Err *err)
{
    SimtSetting s;
    return simt_setting(getenv("MDL_SIMT"), &s, err) ? s.arch : NULL;
}

/* It runs the kernels of any GPU; those of the one that it stands for suit best. */
static int simt_suits(Device *d, const char *isa, Err *err)
{
    UNUSED(err);
    return strcmp(isa, d->setting.arch) == 0 ? 2 : 1;
}

static void simt_close(Device *d)
{
    if (!d)
        return;
    simt_free(d->simt);
    arena_free(d->arena);
    free(d);
}

static Device *simt_open(const DeviceOptions *opt, Err *err)
{
    Device *d = calloc(1, sizeof(*d));
    if (!d) {
        err_set(err, ERR_DEVICE, "no memory for the device");
        return NULL;
    }
    d->opt = *opt;
    d->arena = arena_new();
    if (simt_setting(getenv("MDL_SIMT"), &d->setting, err))
        d->simt = simt_new(err);
    if (d->simt)
        return d;
    simt_close(d);
    return NULL;
}

/* ---- memory: each block between pages that cannot be touched ---- */

enum { PAGE = 4096, GUARD = 16 * PAGE };

static size_t mapped(size_t bytes)
{
    return (bytes + PAGE) / PAGE * PAGE;
}

static void set_guard(char *from, size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(from, bytes);
#else
    UNUSED(from);
    UNUSED(bytes);
#endif
}

static void clear_guard(char *from, size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(from, bytes);
#else
    UNUSED(from);
    UNUSED(bytes);
#endif
}

static void *simt_alloc(Device *d, size_t bytes, Err *err)
{
    char *p = MAP_FAILED, name[32];
    if (bytes <= SIZE_MAX / 2)
        p = mmap(NULL, mapped(bytes) + 2 * (size_t)GUARD, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        err_set(err, ERR_DEVICE, "no memory for %zu bytes: %s", bytes, strerror(ENOMEM));
        return NULL;
    }
    mprotect(p, GUARD, PROT_NONE);
    mprotect(p + GUARD + mapped(bytes), GUARD, PROT_NONE);
    set_guard(p + GUARD + bytes, mapped(bytes) - bytes);
    snprintf(name, sizeof(name), "allocation %u", ++d->nalloc);
    if (!simt_add_buffer(d->simt, p + GUARD, bytes, name, err)) {
        munmap(p, mapped(bytes) + 2 * (size_t)GUARD);
        return NULL;
    }
    VEC_PUSH(d->arena, &d->blocks, ((Block){.at = p + GUARD, .bytes = bytes}));
    return p + GUARD;
}

static void simt_unalloc(Device *d, void *p, size_t bytes)
{
    if (!p)
        return;
    simt_remove_buffer(d->simt, p);
    for (uint32_t i = 0; i < d->blocks.n; i++)
        if (d->blocks.at[i].at == p)
            d->blocks.at[i--] = d->blocks.at[--d->blocks.n];
    clear_guard((char *)p + bytes, mapped(bytes) - bytes);
    munmap((char *)p - GUARD, mapped(bytes) + 2 * (size_t)GUARD);
}

static bool simt_sync(Device *d, Err *err)
{
    if (d->failed.kind == ERR_NONE)
        return true;
    err_set(err, d->failed.kind, "%s", d->failed.text);
    return err_help(err, "%s", d->failed.help);
}

static bool simt_transfer(Device *d, void *dst, const void *src, size_t bytes, Err *err)
{
    if (bytes)
        memcpy(dst, src, bytes);
    return simt_sync(d, err);
}

static void simt_copy(Device *d, void *dst, const void *src, size_t bytes)
{
    UNUSED(d);
    if (bytes)
        memcpy(dst, src, bytes);
}

static void simt_clear(Device *d, void *dst, size_t bytes)
{
    UNUSED(d);
    if (bytes)
        memset(dst, 0, bytes);
}

/* ---- kernels ---- */

static void simt_unload(Device *d, Module *m)
{
    UNUSED(d);
    if (!m)
        return;
    units_unload(m->units);
    arena_free(m->arena);
}

static bool find_phases(const Device *d, Module *m, uint32_t kernel, Err *err)
{
    const Plan *p = m->plan;
    const PlanVariant *v = plan_variant(p, kernel, m->target);
    for (uint32_t i = v->phase0; i < v->phase0 + v->nphase; i++) {
        const char *symbol = plan_text(p, p->phases[i].symbol);
        SimtLaunch *l = &m->phases[i];
        l->threads = (int)p->phases[i].threads;
        l->shared = p->phases[i].shared;
        if (!simt_find(m->units, kernel, symbol, d->setting.mode, l))
            return err_set(err, ERR_DATA, "kernel %s of the plan does not define %s",
                           plan_text(p, p->kernels[kernel].name), symbol);
    }
    return true;
}

static Module *simt_module(Device *d, const Plan *plan, uint32_t target, Err *err)
{
    Arena *arena = arena_new();
    Module *m = NEW(arena, Module);
    *m = (Module){.arena = arena, .plan = plan, .target = target};
    m->phases = NEW_ARRAY(arena, SimtLaunch, plan->nphases + (size_t)1);
    m->nbuf = NEW_ARRAY(arena, uint32_t, plan->nkernels + (size_t)1);
    const char **texts = NEW_ARRAY(arena, const char *, plan->nkernels + (size_t)1);
    for (uint32_t k = 0; k < plan->nkernels; k++)
        texts[k] = plan_text(plan, plan_variant(plan, k, target)->source);
    m->tensors = tensors_of_plan(arena, plan);
    bool ok = gpuargs_count(plan, m->nbuf, err);
    if (ok)
        m->units = simt_load(texts, plan->nkernels, d->setting.mode, &d->opt, err);
    ok = ok && m->units;
    for (uint32_t k = 0; ok && k < plan->nkernels; k++)
        ok = find_phases(d, m, k, err);
    if (ok)
        return m;
    simt_unload(d, m);
    return NULL;
}

/* ---- launches ---- */

static void fail(Device *d, const char *kernel)
{
    uint32_t n = 0;
    while (simt_report(d->simt, n))
        n++;
    err_set(&d->failed, ERR_DEVICE, "the emulated GPU found %s in kernel %s:\n%s%s%s",
            n == 1 ? "a fault" : "faults", kernel, simt_report(d->simt, 0), n > 1 ? "\n" : "",
            n > 1 ? simt_report(d->simt, 1) : "");
}

/* One phase in one order. */
static bool run_phase(Device *d, const SimtLaunch *phase, const MdlGpuArgs *args, uint64_t seed)
{
    SimtLaunch l = *phase;
    l.args = args;
    l.seed = seed;
    return simt_launch(d->simt, &l);
}

static bool keep_memory(Device *d)
{
    for (uint32_t i = 0; i < d->blocks.n; i++) {
        Block *b = &d->blocks.at[i];
        b->before = malloc(b->bytes + 1);
        if (!b->before)
            return false;
        memcpy(b->before, b->at, b->bytes);
    }
    return true;
}

static void forget_memory(Device *d)
{
    for (uint32_t i = 0; i < d->blocks.n; i++) {
        free(d->blocks.at[i].before);
        d->blocks.at[i].before = NULL;
    }
}

static void restore_memory(Device *d)
{
    for (uint32_t i = 0; i < d->blocks.n; i++)
        memcpy(d->blocks.at[i].at, d->blocks.at[i].before, d->blocks.at[i].bytes);
}

static uint64_t hash_memory(const Device *d)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < d->blocks.n; i++)
        hash = hash_mix(hash, hash_bytes(d->blocks.at[i].at, d->blocks.at[i].bytes));
    return hash;
}

/* In several orders, from the same memory; the results must have the same bits. */
static void run_orders(Device *d, const char *kernel, const SimtLaunch *phase, MdlGpuArgs *args)
{
    uint64_t first = 0;
    bool kept = keep_memory(d);
    if (!kept)
        err_set(&d->failed, ERR_DEVICE, "no memory to run a launch in several orders");
    for (uint32_t i = 0; kept && i < d->setting.orders && d->failed.kind == ERR_NONE; i++) {
        if (i)
            restore_memory(d);
        if (!run_phase(d, phase, args, d->launches * d->setting.orders + i + d->setting.seed)) {
            fail(d, kernel);
            break;
        }
        uint64_t hash = hash_memory(d);
        if (i && hash != first)
            err_set(&d->failed, ERR_DEVICE,
                    "results of kernel %s depend on the order of its blocks and threads", kernel);
        first = hash;
    }
    forget_memory(d);
}

static void encode_map(Device *d, const GpuTensor *t, MdlTensorMap *out)
{
    if (d->failed.kind == ERR_NONE)
        simt_encode_map(t, out, &d->failed);
}

/* Multiprocessors that it stands for: few, so that blocks that stay have several tasks. */
enum { PROCESSORS = 2 };

static void simt_run(Device *d, Module *m, uint32_t kernel, const MdlArgs *args,
                     const LaunchSize *size)
{
    const PlanVariant *v = plan_variant(m->plan, kernel, m->target);
    const char *name = plan_text(m->plan, m->plan->kernels[kernel].name);
    MdlGpuArgs at = gpuargs_of(args, m->nbuf[kernel]);
    SimtArgument tensors[MDL_GPU_BUFS];
    uint32_t ntensors = tensors_of_launch(m->tensors, kernel, &at, tensors);
    MdlTensorMap maps[MDL_GPU_MAPS];
    at.map = maps;
    for (uint32_t i = 0; i < v->nmap; i++) {
        const GpuTensor t = gpuargs_tensor(m->plan, &m->plan->maps[v->map0 + i], &at, size->syms);
        encode_map(d, &t, &maps[i]);
    }
    for (at.round = 0; at.round <= v->again; at.round++)
        for (uint32_t i = 0; i < v->nphase && d->failed.kind == ERR_NONE; i++) {
            SimtLaunch phase = m->phases[v->phase0 + i];
            at.tasks = size->tasks[i];
            phase.arguments = tensors;
            phase.narguments = ntensors;
            phase.nmaps = v->nmap;
            phase.chained = m->plan->phases[v->phase0 + i].waits;
            phase.blocks = plan_blocks(&m->plan->phases[v->phase0 + i], at.tasks, PROCESSORS);
            d->launches++;
            if (d->setting.orders > 1)
                run_orders(d, name, &phase, &at);
            else if (!run_phase(d, &phase, &at,
                                d->setting.seed ? d->setting.seed + d->launches : 0))
                fail(d, name);
        }
}

static int simt_threads(const Device *d)
{
    UNUSED(d);
    return 1;
}

const DeviceVtable device_simt = {
    .name = "simt",
    .kind = PLAN_CUDA,
    .separate = true,
    .here = simt_here,
    .suits = simt_suits,
    .open = simt_open,
    .close = simt_close,
    .alloc = simt_alloc,
    .free = simt_unalloc,
    .upload = simt_transfer,
    .download = simt_transfer,
    .copy = simt_copy,
    .clear = simt_clear,
    .load = simt_module,
    .unload = simt_unload,
    .launch = simt_run,
    .sync = simt_sync,
    .threads = simt_threads,
};

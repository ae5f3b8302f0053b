/* dev_cpu.c: the CPU as a device: huge-page memory, the JIT and the thread pool behind the vtable
 * of device.h. Launches run to their end, so there is nothing to synchronise. */
#include "devices.h"
#include "jit.h"
#include "pool.h"
#include <errno.h>
#include <sys/mman.h>

struct Device {
    DeviceOptions opt;
    Pool *pool;
};

struct Module {
    const Plan *plan;
    uint32_t target;
    Jit *jit;
};

static void cpu_close(Device *d)
{
    if (d)
        pool_free(d->pool);
    free(d);
}

static Device *cpu_open(const DeviceOptions *opt, Err *err)
{
    Device *d = calloc(1, sizeof(*d));
    if (!d) {
        err_set(err, ERR_DEVICE, "no memory for the device");
        return NULL;
    }
    d->opt = *opt;
    d->pool = pool_new(opt->threads ? opt->threads : pool_cpus(), err);
    if (d->pool)
        return d;
    cpu_close(d);
    return NULL;
}

static size_t mapped(size_t bytes)
{
    const size_t page = 4096;
    return bytes ? (bytes + page - 1) / page * page : page;
}

static void *cpu_alloc(Device *d, size_t bytes, Err *err)
{
    const size_t huge = (size_t)2 << 20;
    UNUSED(d);
    void *p = MAP_FAILED;
    if (bytes <= SIZE_MAX - huge)
        p = mmap(NULL, mapped(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        err_set(err, ERR_DEVICE, "no memory for %zu bytes: %s", bytes, strerror(ENOMEM));
        return NULL;
    }
    if (bytes >= huge)
        madvise(p, mapped(bytes), MADV_HUGEPAGE); /* a wish: refusal changes nothing */
    return p;
}

static void cpu_free(Device *d, void *p, size_t bytes)
{
    UNUSED(d);
    if (p)
        munmap(p, mapped(bytes));
}

static bool cpu_copy(Device *d, void *dst, const void *src, size_t bytes, Err *err)
{
    UNUSED(d);
    UNUSED(err);
    if (bytes)
        memcpy(dst, src, bytes);
    return true;
}

static void cpu_unload(Device *d, Module *m)
{
    UNUSED(d);
    if (m)
        jit_unload(m->jit);
    free(m);
}

static Module *cpu_load(Device *d, const Plan *plan, uint32_t target, Err *err)
{
    uint64_t scratch = 0;
    for (uint32_t i = 0; i < plan->nkernels; i++) {
        const PlanVariant *v = plan_variant(plan, i, target);
        scratch = v->scratch > scratch ? v->scratch : scratch;
    }
    Module *m = calloc(1, sizeof(*m));
    if (!m) {
        err_set(err, ERR_DEVICE, "no memory for the kernels");
        return NULL;
    }
    m->plan = plan;
    m->target = target;
    if (pool_reserve(d->pool, scratch, err))
        m->jit = jit_load(plan, target, &d->opt, err);
    if (m->jit)
        return m;
    cpu_unload(d, m);
    return NULL;
}

static void cpu_launch(Device *d, Module *m, uint32_t kernel, const MdlArgs *args,
                       const LaunchSize *size)
{
    const PlanVariant *v = plan_variant(m->plan, kernel, m->target);
    MdlArgs at = *args;
    for (at.round = 0; at.round <= v->again; at.round++)
        for (uint32_t i = 0; i < v->nphase; i++)
            pool_run(d->pool, jit_phase(m->jit, v->phase0 + i), &at, size->tasks[i]);
}

static bool cpu_sync(Device *d, Err *err)
{
    UNUSED(d);
    UNUSED(err);
    return true;
}

static const char *cpu_here(Err *err)
{
    UNUSED(err);
    return jit_isa_best();
}

static int cpu_suits(Device *d, const char *isa, Err *err)
{
    UNUSED(d);
    return jit_isa_rank(isa, err);
}

static int cpu_threads(const Device *d)
{
    return pool_threads(d->pool);
}

static void cpu_move(Device *d, void *dst, const void *src, size_t bytes)
{
    UNUSED(d);
    if (bytes)
        memcpy(dst, src, bytes);
}

static void cpu_clear(Device *d, void *dst, size_t bytes)
{
    UNUSED(d);
    if (bytes)
        memset(dst, 0, bytes);
}

const DeviceVtable device_cpu = {
    .name = "cpu",
    .kind = PLAN_CPU,
    .here = cpu_here,
    .suits = cpu_suits,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_move,
    .clear = cpu_clear,
    .load = cpu_load,
    .unload = cpu_unload,
    .launch = cpu_launch,
    .sync = cpu_sync,
    .threads = cpu_threads,
};

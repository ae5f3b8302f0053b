/* far.c: the CPU behind addresses that no processor accepts. Launches get copies of what the executor gave,
 * with the addresses that are meant. */
#include "far.h"

static const uintptr_t FAR = (uintptr_t)1 << 62; /* not canonical: an access is a fault */

struct Device {
    Device *cpu;
};

struct Module {
    const Plan *plan;
    Module *cpu;
    uint32_t *nbuf; /* by kernel */
};

static void *far_of(void *p)
{
    return p ? (void *)((uintptr_t)p | FAR) : NULL;
}

/* Who gives an address of the host where one of the device is meant fails here. */
static void *near_of(const void *p)
{
    if (p && !((uintptr_t)p & FAR))
        BUG("%p is no address of the device", p);
    return p ? (void *)((uintptr_t)p & ~FAR) : NULL;
}

static Device *far_open(const DeviceOptions *opt, Err *err)
{
    Device *d = calloc(1, sizeof *d);
    d->cpu = device_cpu.open(opt, err);
    if (d->cpu)
        return d;
    free(d);
    return NULL;
}

static void far_close(Device *d)
{
    device_cpu.close(d->cpu);
    free(d);
}

static const char *far_here(Err *err)
{
    return device_cpu.here(err);
}

static int far_suits(Device *d, const char *isa, Err *err)
{
    return device_cpu.suits(d->cpu, isa, err);
}

static void *far_alloc(Device *d, size_t bytes, Err *err)
{
    return far_of(device_cpu.alloc(d->cpu, bytes, err));
}

static void far_free(Device *d, void *p, size_t bytes)
{
    device_cpu.free(d->cpu, near_of(p), bytes);
}

static bool far_upload(Device *d, void *dst, const void *src, size_t bytes, Err *err)
{
    return device_cpu.upload(d->cpu, near_of(dst), src, bytes, err);
}

static bool far_download(Device *d, void *dst, const void *src, size_t bytes, Err *err)
{
    return device_cpu.download(d->cpu, dst, near_of(src), bytes, err);
}

static void far_copy(Device *d, void *dst, const void *src, size_t bytes)
{
    device_cpu.copy(d->cpu, near_of(dst), near_of(src), bytes);
}

static void far_clear(Device *d, void *dst, size_t bytes)
{
    device_cpu.clear(d->cpu, near_of(dst), bytes);
}

static void far_unload(Device *d, Module *m)
{
    device_cpu.unload(d->cpu, m->cpu);
    free(m->nbuf);
    free(m);
}

static Module *far_load(Device *d, const Plan *plan, uint32_t target, Err *err)
{
    Module *m = calloc(1, sizeof *m);
    *m = (Module){.plan = plan, .nbuf = calloc(plan->nkernels + (size_t)1, sizeof *m->nbuf)};
    for (uint32_t i = 0; i < plan->nsteps; i++) {
        const PlanStep *s = &plan->steps[i];
        uint32_t n = 0;
        for (uint32_t k = 0; k < s->narg; k++)
            n += plan->args[s->arg0 + k].kind == PG_BUF;
        if (s->kind == PT_LAUNCH)
            m->nbuf[s->kernel] = n;
    }
    m->cpu = device_cpu.load(d->cpu, plan, target, err);
    if (m->cpu)
        return m;
    far_unload(d, m);
    return NULL;
}

static MdlRow *near_rows(const MdlArgs *args)
{
    MdlRow *rows = calloc((size_t)args->nrow + 1, sizeof *rows);
    if (args->nrow)
        memcpy(rows, near_of(args->row), (size_t)args->nrow * sizeof *rows);
    for (int64_t r = 0; r < args->nrow; r++)
        for (uint32_t k = 0; k < PLAN_ROW_BUFS; k++)
            rows[r].p[k] = near_of(rows[r].p[k]);
    return rows;
}

static void far_launch(Device *d, Module *m, uint32_t kernel, const MdlArgs *args,
                       const LaunchSize *size)
{
    uint32_t n = m->nbuf[kernel];
    void **buf = calloc(n + (size_t)1, sizeof *buf);
    MdlRow *rows = near_rows(args);
    MdlArgs at = *args;
    for (uint32_t i = 0; i < n; i++)
        buf[i] = near_of(args->buf[i]);
    at.buf = buf;
    at.row = rows;
    at.block = near_of(args->block);
    at.workspace = near_of(args->workspace);
    device_cpu.launch(d->cpu, m->cpu, kernel, &at, size);
    free(rows);
    free(buf);
}

static bool far_sync(Device *d, Err *err)
{
    return device_cpu.sync(d->cpu, err);
}

static int far_threads(const Device *d)
{
    return device_cpu.threads(d->cpu);
}

const DeviceVtable device_far = {.name = "far",
                                 .kind = PLAN_CPU,
                                 .separate = true,
                                 .here = far_here,
                                 .suits = far_suits,
                                 .open = far_open,
                                 .close = far_close,
                                 .alloc = far_alloc,
                                 .free = far_free,
                                 .upload = far_upload,
                                 .download = far_download,
                                 .copy = far_copy,
                                 .clear = far_clear,
                                 .load = far_load,
                                 .unload = far_unload,
                                 .launch = far_launch,
                                 .sync = far_sync,
                                 .threads = far_threads};

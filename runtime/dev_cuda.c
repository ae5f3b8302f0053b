/* dev_cuda.c: an NVIDIA GPU as a device, through its driver (cuda_api.h) and one queue of work
 * (cuda_queue.h). Kernels come from the plan's text by way of NVRTC (gpubuild.h). What fails while nobody can
 * be told is kept, and told by the next transfer or sync; nothing runs behind it. */
#include "cublaslt.h"
#include "cuda_graph.h"
#include "devices.h"
#include "gpuargs.h"
#include "gpubuild.h"
#include "nvrtc.h"

struct Device {
    DeviceOptions opt;
    Arena *arena;
    CudaApi api;
    CudaDevice gpu;
    CudaQueue queue;
    CudaGraphs graphs;
};

typedef struct Phase {
    CudaFunction function;
    unsigned threads, shared;
    bool waits; /* for the launch before it */
} Phase;

struct Module {
    Arena *arena;
    const Plan *plan;
    uint32_t target;
    CudaModule *units;
    uint32_t nunit;
    Phase *phases;         /* by plan phase */
    uint32_t *nbuf;        /* by kernel */
    Blas *blas;            /* NULL: no kernel is a product of cuBLASLt */
    BlasProduct *products; /* by plan gemm */
};

/* ---- opening ---- */

static bool find_gpu(Arena *arena, CudaApi *api, CudaDevice *gpu, Err *err)
{
    int ordinal;
    return cuda_ordinal(&ordinal, err) && cuda_open(arena, api, err) &&
           cuda_device(api, ordinal, gpu, err);
}

static const char *gpu_here(Err *err)
{
    Arena *arena = arena_new();
    CudaApi api;
    CudaDevice gpu;
    const char *isa = find_gpu(arena, &api, &gpu, err) ? cuda_isa(&gpu, err) : NULL;
    arena_free(arena);
    return isa;
}

static bool gpu_ready(Err *err)
{
    Arena *arena = arena_new();
    CudaApi api;
    CudaDevice gpu;
    bool ok = find_gpu(arena, &api, &gpu, err) && nvrtc_open(arena, api.version / 1000, err);
    arena_free(arena);
    return ok;
}

static int gpu_suits(Device *d, const char *isa, Err *err)
{
    return cuda_suits(&d->gpu, isa, err);
}

static void gpu_close(Device *d)
{
    if (!d)
        return;
    cuda_graph_forget(&d->graphs, &d->queue);
    cuda_queue_close(&d->queue, d->gpu.device);
    arena_free(d->arena);
    free(d);
}

static Device *gpu_open(const DeviceOptions *opt, Err *err)
{
    Device *d = calloc(1, sizeof(*d));
    if (!d) {
        err_set(err, ERR_DEVICE, "no memory for the device");
        return NULL;
    }
    d->opt = *opt;
    d->arena = arena_new();
    d->graphs.arena = d->arena;
    if (find_gpu(d->arena, &d->api, &d->gpu, err) && cuda_isa(&d->gpu, err) &&
        cuda_queue_open(&d->queue, &d->api, d->gpu.device, err))
        return d;
    gpu_close(d);
    return NULL;
}

/* ---- memory ---- */

static CudaAddress address(const void *p)
{
    return (CudaAddress)(uintptr_t)p;
}

static bool told(const Device *d, Err *err)
{
    const Err *why = &d->queue.failed;
    err_set(err, why->kind, "%s", why->text);
    return why->help[0] ? err_help(err, "%s", why->help) : false;
}

static void *out_of_memory(const Device *d, size_t bytes, Err *err)
{
    size_t free_bytes = 0, total = 0;
    const double gib = 1 << 30;
    d->api.memory_info(&free_bytes, &total);
    err_set(err, ERR_DEVICE, "no memory for %.2f GiB on %s: %.2f of %.2f GiB are free",
            (double)bytes / gib, d->gpu.name, (double)free_bytes / gib, (double)total / gib);
    err_help(err, "use a smaller batch, or a plan with less memory (--memory-limit)");
    return NULL;
}

static void *gpu_alloc(Device *d, size_t bytes, Err *err)
{
    CudaAddress at = 0;
    size_t room = bytes ? bytes : 1;
    if (!cuda_queue_enter(&d->queue)) {
        told(d, err);
        return NULL;
    }
    int result = d->api.alloc(&at, room);
    if (result == CUDA_OUT_OF_MEMORY)
        return out_of_memory(d, bytes, err);
    if (result == CUDA_OK)
        result = d->api.clear(at, 0, room, d->queue.stream);
    if (cuda_queue_did(&d->queue, "cuMemAlloc", "memory", result))
        return (void *)(uintptr_t)at;
    told(d, err);
    return NULL;
}

static void gpu_free(Device *d, void *p, size_t bytes)
{
    UNUSED(bytes);
    Err ignored = {0};
    if (!p || !cuda_queue_wait(&d->queue, &ignored) || !cuda_queue_enter(&d->queue))
        return; /* what failed goes with the context */
    d->api.free(address(p));
}

static bool gpu_upload(Device *d, void *dst, const void *src, size_t bytes, Err *err)
{
    return cuda_queue_upload(&d->queue, address(dst), src, bytes, err);
}

static bool gpu_download(Device *d, void *dst, const void *src, size_t bytes, Err *err)
{
    return cuda_queue_download(&d->queue, dst, address(src), bytes, err);
}

static void gpu_copy(Device *d, void *dst, const void *src, size_t bytes)
{
    CudaQueue *q = &d->queue;
    if (bytes && cuda_queue_enter(q))
        cuda_queue_did(q, "cuMemcpyDtoDAsync", "a copy",
                       d->api.copy(address(dst), address(src), bytes, q->stream));
}

static void gpu_clear(Device *d, void *dst, size_t bytes)
{
    CudaQueue *q = &d->queue;
    if (bytes && cuda_queue_enter(q))
        cuda_queue_did(q, "cuMemsetD8Async", "zeros",
                       d->api.clear(address(dst), 0, bytes, q->stream));
}

static bool gpu_sync(Device *d, Err *err)
{
    return cuda_queue_wait(&d->queue, err);
}

static bool gpu_clock_from(Device *d, Err *err)
{
    return cuda_queue_from(&d->queue, err);
}

static bool gpu_clock_passed(Device *d, double *seconds, Err *err)
{
    return cuda_queue_passed(&d->queue, seconds, err);
}

/* ---- kernels ---- */

static void gpu_unload(Device *d, Module *m)
{
    Err ignored = {0};
    if (!m)
        return;
    cuda_graph_forget(&d->graphs, &d->queue);
    bool whole = cuda_queue_wait(&d->queue, &ignored) && cuda_queue_enter(&d->queue);
    for (uint32_t i = 0; whole && i < m->nunit; i++)
        if (m->units[i])
            d->api.module_unload(m->units[i]);
    for (uint32_t i = 0; m->blas && m->products && i < m->plan->ngemms; i++)
        blas_product_free(m->blas, &m->products[i]);
    if (whole)
        blas_close(m->blas);
    arena_free(m->arena);
}

static bool build(const Device *d, const Module *m, GpuBuild *out, Err *err)
{
    const Plan *p = m->plan;
    GpuText *texts = NEW_ARRAY(m->arena, GpuText, p->nkernels + (size_t)1);
    for (uint32_t k = 0; k < p->nkernels; k++)
        texts[k] = (GpuText){plan_text(p, p->kernels[k].name),
                             plan_text(p, plan_variant(p, k, m->target)->source)};
    const char *isa = plan_text(p, p->targets[m->target].isa);
    const GpuBuildOptions opt = {.arch = cuda_arch(m->arena, &d->gpu, isa),
                                 .cache_dir = d->opt.cache_dir,
                                 .newest = d->api.version / 1000,
                                 .progress = d->opt.progress,
                                 .user = d->opt.user};
    return gpubuild_run(m->arena, (GpuTexts){texts, p->nkernels}, &opt, out, err);
}

static bool load_units(const Device *d, Module *m, const GpuBuild *b, Err *err)
{
    m->units = NEW_ARRAY(m->arena, CudaModule, b->nunit + (size_t)1);
    m->nunit = b->nunit;
    for (uint32_t i = 0; i < b->nunit; i++) {
        const Bytes *image = &b->units[i].image;
        void *aligned = arena_memdup(m->arena, image->data, image->n);
        int result = d->api.module_load(&m->units[i], aligned);
        if (result != CUDA_OK)
            return cuda_failed(&d->api, "cuModuleLoadData", b->units[i].kernels[0].name, result,
                               err);
    }
    return true;
}

/* More than 48 KiB of shared memory must be asked for. */
static bool prepare(const Device *d, const PlanPhase *from, const char *symbol, Phase *out,
                    Err *err)
{
    if (from->shared > (uint32_t)d->gpu.shared)
        return err_set(err, ERR_DEVICE,
                       "kernel %s needs %u bytes of shared memory; a block of %s has %d", symbol,
                       from->shared, d->gpu.name, d->gpu.shared);
    out->threads = from->threads;
    out->shared = from->shared;
    out->waits = from->waits;
    int result = d->api.function_set(out->function, CUDA_FUNCTION_MAX_SHARED, (int)from->shared);
    return result == CUDA_OK || cuda_failed(&d->api, "cuFuncSetAttribute", symbol, result, err);
}

static bool find_phases(const Device *d, Module *m, uint32_t kernel, CudaModule unit, Err *err)
{
    const Plan *p = m->plan;
    const PlanVariant *v = plan_variant(p, kernel, m->target);
    for (uint32_t i = v->phase0; i < v->phase0 + v->nphase; i++) {
        const char *symbol = plan_text(p, p->phases[i].symbol);
        int result = d->api.module_function(&m->phases[i].function, unit, symbol);
        if (result == CUDA_NOT_FOUND)
            return err_set(err, ERR_DATA, "kernel %s of the plan does not define %s",
                           plan_text(p, p->kernels[kernel].name), symbol);
        if (result != CUDA_OK)
            return cuda_failed(&d->api, "cuModuleGetFunction", symbol, result, err);
        if (!prepare(d, &p->phases[i], symbol, &m->phases[i], err))
            return false;
    }
    return true;
}

/* The products that the plan leaves to cuBLASLt, each with its pinned algorithm. */
static bool open_products(Module *m, Err *err)
{
    const Plan *p = m->plan;
    m->products = NEW_ARRAY(m->arena, BlasProduct, p->ngemms + (size_t)1);
    for (uint32_t k = 0; k < p->nkernels; k++) {
        const PlanVariant *v = plan_variant(p, k, m->target);
        if (!v->ngemm)
            continue;
        if (!m->blas)
            m->blas = blas_open(m->arena, err);
        const PlanGemm *g = &p->gemms[v->gemm0];
        if (!m->blas || !blas_product(m->blas, g, &m->products[v->gemm0], err) ||
            !blas_product_check(m->blas, g, &m->products[v->gemm0], err))
            return false;
    }
    return true;
}

static Module *gpu_load(Device *d, const Plan *plan, uint32_t target, Err *err)
{
    Arena *arena = arena_new();
    Module *m = NEW(arena, Module);
    GpuBuild b = {0};
    *m = (Module){.arena = arena, .plan = plan, .target = target};
    m->phases = NEW_ARRAY(arena, Phase, plan->nphases + (size_t)1);
    m->nbuf = NEW_ARRAY(arena, uint32_t, plan->nkernels + (size_t)1);
    bool ok = cuda_queue_enter(&d->queue) || told(d, err);
    ok = ok && gpuargs_count(plan, m->nbuf, err) && build(d, m, &b, err) &&
         load_units(d, m, &b, err) && open_products(m, err);
    for (uint32_t k = 0; ok && k < plan->nkernels; k++)
        ok = find_phases(d, m, k, m->units[b.unit_of[k]], err);
    if (ok)
        return m;
    gpu_unload(d, m);
    return NULL;
}

/* ---- launches ---- */

/* Arguments by value; a kernel without maps has but the first. */
typedef struct Given {
    MdlGpuArgs args;
    MdlTensorMap maps[MDL_GPU_MAPS];
} Given;

/* A kernel that waits by itself for the kernel before it may be launched before that has ended, so that what lies between
 * two launches is gone. Behind copies and products of cuBLASLt all launches wait. */
static int launch(const Device *d, const Phase *f, unsigned blocks, Given *given)
{
    void *list[] = {&given->args, given->maps};
    const CudaQueue *q = &d->queue;
    if (!f->waits || !q->chains || !q->behind_kernel)
        return d->api.launch(f->function, blocks, 1, 1, f->threads, 1, 1, f->shared, q->stream,
                             list, NULL);
    CudaAttribute early = {.id = CUDA_LAUNCH_BEFORE_END, .value.on = 1};
    const CudaLaunch how = {.grid = {blocks, 1, 1},
                            .block = {f->threads, 1, 1},
                            .shared = f->shared,
                            .stream = q->stream,
                            .attributes = &early,
                            .nattribute = 1};
    return d->api.launch_with(&how, f->function, list, NULL);
}

static bool run_phase(Device *d, const Phase *f, const char *name, int64_t blocks, Given *given)
{
    CudaQueue *q = &d->queue;
    if (!blocks)
        return true; /* a launch of none is an error */
    if (blocks > INT32_MAX) {
        err_set(&q->failed, ERR_DATA, "%s would run %lld blocks", name, (long long)blocks);
        return false;
    }
    bool ok = cuda_queue_did(q, "cuLaunchKernel", name, launch(d, f, (unsigned)blocks, given));
    q->behind_kernel = ok;
    return ok;
}

static bool encode_maps(Device *d, const Module *m, const PlanVariant *v, const int64_t *syms,
                        Given *given)
{
    const Plan *p = m->plan;
    bool ok = true;
    for (uint32_t i = 0; ok && i < v->nmap; i++) {
        const GpuTensor t = gpuargs_tensor(p, &p->maps[v->map0 + i], &given->args, syms);
        int result = cuda_encode_map(&d->api, &t, &given->maps[i]);
        if (result != CUDA_OK)
            ok = cuda_queue_did(&d->queue, "cuTensorMapEncodeTiled",
                                plan_text(p, p->phases[v->phase0].symbol), result);
    }
    return ok;
}

static void run_product(Device *d, const Module *m, uint32_t kernel, const MdlArgs *args)
{
    const Plan *p = m->plan;
    const PlanVariant *v = plan_variant(p, kernel, m->target);
    CudaQueue *q = &d->queue;
    const char *name = plan_text(p, p->kernels[kernel].name);
    if (!cuda_queue_enter(q))
        return;
    int status = blas_run(m->blas, &p->gemms[v->gemm0], &m->products[v->gemm0], args->buf,
                          args->workspace, q->stream);
    if (status == BLAS_OK) {
        cuda_queue_did(q, "cublasLtMatmul", name, CUDA_OK);
        return;
    }
    const char *text = m->blas->status_name(status);
    err_set(&q->failed, ERR_DEVICE, "cublasLtMatmul of %s: %s %d", name, text ? text : "status",
            status);
    err_help(&q->failed, "compile without cuBLASLt (--records none)");
}

static void gpu_launch(Device *d, Module *m, uint32_t kernel, const MdlArgs *args,
                       const LaunchSize *size)
{
    const Plan *p = m->plan;
    const PlanVariant *v = plan_variant(p, kernel, m->target);
    if (v->ngemm) {
        run_product(d, m, kernel, args);
        return;
    }
    Given given;
    MdlGpuArgs *at = &given.args;
    *at = gpuargs_of(args, m->nbuf[kernel]);
    bool ok = cuda_queue_enter(&d->queue) && encode_maps(d, m, v, size->syms, &given);
    for (at->round = 0; ok && at->round <= v->again; at->round++)
        for (uint32_t i = 0; ok && i < v->nphase; i++) {
            const PlanPhase *phase = &p->phases[v->phase0 + i];
            at->tasks = size->tasks[i];
            ok = run_phase(d, &m->phases[v->phase0 + i], plan_text(p, phase->symbol),
                           plan_blocks(phase, at->tasks, d->gpu.multiprocessors), &given);
        }
}

static bool gpu_record(Device *d, uint32_t number, const char *what)
{
    return cuda_graph_begin(&d->graphs, &d->queue, number, what);
}

static void gpu_recorded(Device *d)
{
    cuda_graph_end(&d->graphs, &d->queue);
}

static bool gpu_replay(Device *d, uint32_t number)
{
    return cuda_graph_run(&d->graphs, &d->queue, number);
}

static void gpu_forget(Device *d)
{
    cuda_graph_forget(&d->graphs, &d->queue);
}

static int gpu_threads(const Device *d)
{
    return d->gpu.multiprocessors;
}

const DeviceVtable device_cuda = {
    .name = "cuda",
    .kind = PLAN_CUDA,
    .separate = true,
    .queued = true,
    .here = gpu_here,
    .ready = gpu_ready,
    .suits = gpu_suits,
    .open = gpu_open,
    .close = gpu_close,
    .alloc = gpu_alloc,
    .free = gpu_free,
    .upload = gpu_upload,
    .download = gpu_download,
    .copy = gpu_copy,
    .clear = gpu_clear,
    .load = gpu_load,
    .unload = gpu_unload,
    .launch = gpu_launch,
    .record = gpu_record,
    .recorded = gpu_recorded,
    .replay = gpu_replay,
    .forget = gpu_forget,
    .clock_from = gpu_clock_from,
    .clock_passed = gpu_clock_passed,
    .sync = gpu_sync,
    .threads = gpu_threads,
};

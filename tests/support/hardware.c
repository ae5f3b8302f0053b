/* hardware.c: memory is pinned memory of the host, which a GPU reads and writes through the bus: slow, but tests
 * need no copies of theirs. Every open has a context of its own, so that one kernel that faults does not
 * take the tests of other programs' parts with it. */
#include "hardware.h"
#include "cuda_queue.h"

enum { SLAB_BYTES = 64 << 20, ALIGN = 256 };

typedef struct Slab {
    struct Slab *next;
    char *at;
    size_t used, size;
} Slab;

struct Hardware {
    Arena *arena;
    CudaApi api;
    CudaDevice gpu;
    CudaQueue queue;
    GpuBuild build;
    CudaModule *units;
    Slab *slabs;
};

bool hardware_wanted(void)
{
    const char *device = getenv("MDL_TEST_DEVICE");
    return device && strcmp(device, "cuda") == 0;
}

static bool load(Hardware *h, GpuTexts texts, const char *isa, const char *cache, Err *err)
{
    const GpuBuildOptions opt = {.arch = cuda_arch(h->arena, &h->gpu, isa),
                                 .cache_dir = cache,
                                 .newest = h->api.version / 1000};
    if (!gpubuild_run(h->arena, texts, &opt, &h->build, err))
        return false;
    h->units = NEW_ARRAY(h->arena, CudaModule, h->build.nunit + (size_t)1);
    for (uint32_t i = 0; i < h->build.nunit; i++) {
        const Cubin *unit = &h->build.units[i];
        void *image = arena_memdup(h->arena, unit->image.data, unit->image.n);
        int result = h->api.module_load(&h->units[i], image);
        if (result != CUDA_OK)
            return cuda_failed(&h->api, "cuModuleLoadData", unit->kernels[0].name, result, err);
    }
    return true;
}

Hardware *hardware_open(Arena *arena, GpuTexts texts, const char *isa, const char *cache, Err *err)
{
    Hardware *h = NEW(arena, Hardware);
    *h = (Hardware){.arena = arena};
    int ordinal;
    if (!cuda_ordinal(&ordinal, err) || !cuda_open(arena, &h->api, err) ||
        !cuda_device(&h->api, ordinal, &h->gpu, err) || !cuda_suits(&h->gpu, isa, err))
        return NULL;
    if (cuda_queue_open(&h->queue, &h->api, h->gpu.device, err) && cuda_queue_enter(&h->queue) &&
        load(h, texts, isa, cache, err))
        return h;
    hardware_close(h);
    return NULL;
}

void hardware_close(Hardware *h)
{
    if (!h)
        return;
    for (Slab *s = h->slabs; s; s = s->next)
        if (cuda_queue_enter(&h->queue))
            h->api.host_free(s->at);
    cuda_queue_close(&h->queue, h->gpu.device);
}

void *hardware_memory(Hardware *h, size_t bytes, Err *err)
{
    size_t room = (bytes + ALIGN) / ALIGN * ALIGN;
    Slab *s = h->slabs;
    if (!s || s->size - s->used < room) {
        s = NEW(h->arena, Slab);
        *s = (Slab){.next = h->slabs, .size = room > SLAB_BYTES ? room : SLAB_BYTES};
        int result = h->api.host_alloc((void **)&s->at, s->size, 0);
        if (result != CUDA_OK) {
            cuda_failed(&h->api, "cuMemHostAlloc", "memory of a test", result, err);
            return NULL;
        }
        h->slabs = s;
    }
    void *at = s->at + s->used;
    s->used += room;
    return at;
}

bool hardware_encode_map(Hardware *h, const GpuTensor *t, MdlTensorMap *out, Err *err)
{
    int result = cuda_encode_map(&h->api, t, out);
    return result == CUDA_OK ||
           cuda_failed(&h->api, "cuTensorMapEncodeTiled", "a tensor", result, err);
}

bool hardware_launch(Hardware *h, const HardwareLaunch *l, const MdlGpuArgs *args, Err *err)
{
    CudaFunction f;
    MdlGpuArgs copy = *args;
    MdlTensorMap maps[MDL_GPU_MAPS] = {0};
    void *list[] = {&copy, maps};
    if (l->maps)
        memcpy(maps, l->maps, sizeof(maps));
    CudaModule unit = h->units[h->build.unit_of[l->text]];
    int result = h->api.module_function(&f, unit, l->symbol);
    if (result != CUDA_OK)
        return cuda_failed(&h->api, "cuModuleGetFunction", l->symbol, result, err);
    result = h->api.function_set(f, CUDA_FUNCTION_MAX_SHARED, (int)l->shared);
    if (result != CUDA_OK)
        return cuda_failed(&h->api, "cuFuncSetAttribute", l->symbol, result, err);
    if (l->blocks > 0)
        cuda_queue_did(&h->queue, "cuLaunchKernel", l->symbol,
                       h->api.launch(f, (unsigned)l->blocks, 1, 1, l->threads, 1, 1, l->shared,
                                     h->queue.stream, list, NULL));
    return cuda_queue_wait(&h->queue, err);
}

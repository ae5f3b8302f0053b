/* fakecuda.c: a stand-in for NVIDIA's driver: the same functions over the emulator (runtime/simt), so that
 * dev_cuda.c runs here as it is.
 *
 * Strict where a driver is not: memory of the device is closed to the host but for the time of a copy or a
 * launch, so a host that looks at it dies; what is given to the stream is done one piece with each question
 * whether it is done, and pinned memory is read and written only then, so a host that does not wait is
 * caught; new memory holds rubbish.
 *
 * $MDL_MOCK_ARCH: 80, 90, .. ; $MDL_MOCK_BYTES: of memory; $MDL_MOCK_VERSION: 12090; $MDL_MOCK_HANG: a
 * kernel that never ends; $MDL_MOCK_FAIL: NAME:CODE, a call or a kernel that fails; $MDL_MOCK_FAIL_AT: the
 * number of a launch, which gives an illegal address; $MDL_MOCK_HANG_AT: of one that never ends; $MDL_MOCK_COPIES: a
 * file that what comes to the device is written to, each copy behind its length. */
#include "cuda_api.h"
#include "mock.h"
#include "simtload.h"
#include <elf.h>
#include <sys/mman.h>

#define CU(name, symbol, args) EXPORT int symbol args;
#include "cuda_api.def"
#undef CU

enum { PAGE = 4096, INVALID = 1, SHARED_80 = 166912, SHARED_90 = 232448 };

typedef struct Block {
    char *at;
    size_t bytes;
    bool pinned; /* memory of the host */
} Block;

struct CudaModuleOf {
    Units *units;
};

struct CudaFunctionOf {
    SimtLaunch launch;
    const char *name;
    int shared; /* that it may have */
};

struct CudaEventOf {
    uint64_t op; /* it is reached when so many are done */
};

typedef enum OpKind { OP_COPY, OP_CLEAR, OP_LAUNCH, OP_CALL, OP_NOTHING } OpKind;

typedef struct Op {
    OpKind kind;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    SimtLaunch launch;
    MdlGpuArgs *args;
    void (*call)(const void *data); /* of `from` */
} Op;

typedef VEC(Op) Ops;

struct CudaGraphOf {
    Ops ops;
};

struct CudaGraphExecOf {
    Ops ops;
};

/* The driver is one for the process, as the true one is. */
typedef struct Driver {
    Arena *arena;
    Simt *simt;
    VEC(Block) blocks;
    VEC(CudaModule) modules;
    size_t used;
    Ops ops;
    CudaGraph capture; /* what is pushed goes there; or NULL */
    uint64_t done;
    long launched, graphs, chained;
    int sticky; /* the error of a kernel: every call gives it */
    bool current;
} Driver;

static Driver *driver(void)
{
    static Driver *d; /* a mock's only state */
    Err err = {0};
    if (d)
        return d;
    Arena *arena = arena_new();
    d = NEW(arena, Driver);
    d->arena = arena;
    d->simt = simt_new(&err);
    ASSERT(d->simt);
    return d;
}

/* ---- settings ---- */

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

/* The code that a call or kernel of this name shall fail with, or 0. */
static int planted(const char *name)
{
    const char *text = getenv("MDL_MOCK_FAIL");
    size_t n = strlen(name);
    return text && strncmp(text, name, n) == 0 && text[n] == ':'
               ? (int)strtol(text + n + 1, NULL, 10)
               : 0;
}

/* What every call gives that cannot be done. */
static int refuse(const char *call)
{
    return driver()->sticky ? driver()->sticky : planted(call);
}

#define CHECK(call)             \
    int refused = refuse(call); \
    if (refused)                \
    return refused

/* ---- memory ---- */

static void set_open(const Driver *d, bool open)
{
    for (uint32_t i = 0; i < d->blocks.n; i++)
        if (!d->blocks.at[i].pinned)
            mprotect(d->blocks.at[i].at, (d->blocks.at[i].bytes + PAGE - 1) / PAGE * PAGE,
                     open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

/* The block that n bytes at p lie in, NULL: none, or not whole. */
static Block *block_of(Driver *d, const void *p, size_t n)
{
    for (uint32_t i = 0; i < d->blocks.n; i++) {
        Block *b = &d->blocks.at[i];
        size_t at = (size_t)((const char *)p - b->at);
        if ((const char *)p >= b->at && at <= b->bytes && n <= b->bytes - at)
            return b;
    }
    return NULL;
}

static bool on_device(Driver *d, CudaAddress at, size_t n)
{
    const Block *b = block_of(d, (void *)(uintptr_t)at, n);
    return b && !b->pinned;
}

static void *take(Driver *d, size_t bytes, bool pinned)
{
    void *at = mmap(NULL, (bytes + PAGE - 1) / PAGE * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    memset(at, 0xa5, bytes);
    VEC_PUSH(d->arena, &d->blocks, ((Block){at, bytes, pinned}));
    set_open(d, false);
    return at;
}

static int give_back(Driver *d, void *at)
{
    Block *b = block_of(d, at, 0);
    if (!b || b->at != at)
        return INVALID;
    munmap(at, (b->bytes + PAGE - 1) / PAGE * PAGE);
    *b = VEC_LAST(&d->blocks);
    d->blocks.n--;
    return CUDA_OK;
}

/* ---- the stream ---- */

static void run_kernel(Driver *d, const Op *op)
{
    Err err = {0};
    for (uint32_t i = 0; i < d->blocks.n; i++)
        if (!d->blocks.at[i].pinned)
            simt_add_buffer(d->simt, d->blocks.at[i].at, d->blocks.at[i].bytes, "device", &err);
    d->sticky = ++d->launched == setting("MDL_MOCK_FAIL_AT", 0) ? CUDA_ILLEGAL_ADDRESS
                                                                : planted(op->launch.name);
    if (!d->sticky && !simt_launch(d->simt, &op->launch)) {
        fprintf(stderr, "mock: %s: %s\n", op->launch.name, simt_report(d->simt, 0));
        d->sticky = CUDA_LAUNCH_FAILED;
    }
    for (uint32_t i = 0; i < d->blocks.n; i++)
        if (!d->blocks.at[i].pinned)
            simt_remove_buffer(d->simt, d->blocks.at[i].at);
}

/* False: it never ends. */
static void log_copy(const void *from, size_t bytes)
{
    const char *path = getenv("MDL_MOCK_COPIES");
    FILE *f = path ? fopen(path, "ab") : NULL;
    if (!f)
        return;
    fwrite(&bytes, sizeof bytes, 1, f);
    fwrite(from, 1, bytes, f);
    fclose(f);
}

static bool run_op(Driver *d, const Op *op)
{
    const char *hang = getenv("MDL_MOCK_HANG");
    if (op->kind == OP_LAUNCH && ((hang && strcmp(hang, op->launch.name) == 0) ||
                                  d->launched + 1 == setting("MDL_MOCK_HANG_AT", 0)))
        return false;
    set_open(d, true);
    switch (op->kind) {
    case OP_COPY:
        memmove(op->to, op->from, op->bytes);
        break;
    case OP_CLEAR:
        memset(op->to, op->value, op->bytes);
        break;
    case OP_LAUNCH:
        run_kernel(d, op);
        break;
    case OP_CALL:
        op->call(op->from);
        break;
    case OP_NOTHING:
        break;
    }
    set_open(d, false);
    return true;
}

static void run_one(Driver *d)
{
    if (d->done < d->ops.n && !d->sticky)
        d->done += run_op(d, &d->ops.at[d->done]);
}

static void run_all(Driver *d)
{
    for (uint64_t before = UINT64_MAX; d->done < d->ops.n && before != d->done && !d->sticky;) {
        before = d->done;
        run_one(d);
    }
}

static int push(Driver *d, Op op)
{
    Ops *to = d->capture ? &d->capture->ops : &d->ops;
    VEC_PUSH(d->arena, to, op);
    return CUDA_OK;
}

int mock_call(void *stream, void (*fn)(const void *data), const void *data, size_t bytes)
{
    Driver *d = driver();
    if (!stream || !d->current)
        return INVALID;
    return push(d, (Op){.kind = OP_CALL, .call = fn, .from = arena_memdup(d->arena, data, bytes)});
}

bool mock_on_device(const void *at, size_t bytes)
{
    return on_device(driver(), (CudaAddress)(uintptr_t)at, bytes);
}

/* ---- the library: devices ---- */

int cuInit(unsigned flags)
{
    return flags ? INVALID : refuse("cuInit");
}

int cuDriverGetVersion(int *version)
{
    *version = (int)setting("MDL_MOCK_VERSION", 12090);
    return CUDA_OK;
}

int cuGetErrorName(int result, const char **text)
{
    *text = result == CUDA_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_OF_MOCK";
    return CUDA_OK;
}

int cuGetErrorString(int result, const char **text)
{
    UNUSED(result);
    *text = "the mock says so";
    return CUDA_OK;
}

int cuDeviceGetCount(int *n)
{
    *n = 1;
    return refuse("cuDeviceGetCount");
}

int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return ordinal ? CUDA_NO_DEVICE : CUDA_OK;
}

int cuDeviceGetName(char *text, int n, int device)
{
    UNUSED(device);
    snprintf(text, (size_t)n, "Mock GPU");
    return CUDA_OK;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    UNUSED(device);
    *bytes = (size_t)setting("MDL_MOCK_BYTES", 1L << 30);
    return CUDA_OK;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    UNUSED(device);
    long arch = setting("MDL_MOCK_ARCH", 80);
    *value = attribute == CUDA_ATTR_MAJOR             ? (int)(arch / 10)
             : attribute == CUDA_ATTR_MINOR           ? (int)(arch % 10)
             : attribute == CUDA_ATTR_MULTIPROCESSORS ? 4
             : attribute == CUDA_ATTR_SHARED_OPTIN    ? (arch >= 90 ? SHARED_90 : SHARED_80)
                                                      : 0;
    return CUDA_OK;
}

int cuDevicePrimaryCtxRetain(CudaContext *context, int device)
{
    UNUSED(device);
    *context = (CudaContext)(uintptr_t)64;
    return refuse("cuDevicePrimaryCtxRetain");
}

/* All that is left goes, the error of a kernel, too. */
int cuDevicePrimaryCtxRelease_v2(int device)
{
    Driver *d = driver();
    UNUSED(device);
    while (d->blocks.n)
        give_back(d, d->blocks.at[0].at);
    while (d->modules.n)
        cuModuleUnload(d->modules.at[0]);
    d->ops.n = 0;
    d->done = d->used = 0;
    d->sticky = 0;
    d->capture = NULL;
    return CUDA_OK;
}

int cuCtxSetCurrent(CudaContext context)
{
    driver()->current = context != NULL;
    return CUDA_OK;
}

/* ---- memory and copies ---- */

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    cuDeviceTotalMem_v2(total, 0);
    *free_bytes = *total - driver()->used;
    return CUDA_OK;
}

int cuMemAlloc_v2(CudaAddress *at, size_t bytes)
{
    Driver *d = driver();
    CHECK("cuMemAlloc");
    size_t total;
    cuDeviceTotalMem_v2(&total, 0);
    if (!bytes || !d->current)
        return INVALID;
    if (bytes > total - d->used)
        return CUDA_OUT_OF_MEMORY;
    void *p = take(d, bytes, false);
    *at = (CudaAddress)(uintptr_t)p;
    d->used += p ? bytes : 0;
    return p ? CUDA_OK : CUDA_OUT_OF_MEMORY;
}

int cuMemFree_v2(CudaAddress at)
{
    Driver *d = driver();
    run_all(d);
    const Block *b = block_of(d, (void *)(uintptr_t)at, 0);
    if (!b || b->pinned)
        return INVALID;
    d->used -= b->bytes;
    return give_back(d, (void *)(uintptr_t)at);
}

int cuMemHostAlloc(void **at, size_t bytes, unsigned flags)
{
    CHECK("cuMemHostAlloc");
    *at = flags || !bytes ? NULL : take(driver(), bytes, true);
    return *at ? CUDA_OK : INVALID;
}

int cuMemFreeHost(void *at)
{
    run_all(driver());
    return give_back(driver(), at);
}

int cuMemcpyHtoDAsync_v2(CudaAddress to, const void *from, size_t bytes, CudaStream s)
{
    Driver *d = driver();
    CHECK("cuMemcpyHtoDAsync");
    const Block *b = block_of(d, from, bytes);
    if (!s || !on_device(d, to, bytes) || (b && !b->pinned))
        return INVALID;
    log_copy(from, bytes);
    push(d, (Op){.kind = OP_COPY, .to = (void *)(uintptr_t)to, .from = from, .bytes = bytes});
    if (!b)
        run_all(d); /* memory that is not pinned is read at once */
    return CUDA_OK;
}

int cuMemcpyDtoHAsync_v2(void *to, CudaAddress from, size_t bytes, CudaStream s)
{
    Driver *d = driver();
    CHECK("cuMemcpyDtoHAsync");
    const Block *b = block_of(d, to, bytes);
    if (!s || !on_device(d, from, bytes) || (b && !b->pinned))
        return INVALID;
    push(d, (Op){.kind = OP_COPY, .to = to, .from = (void *)(uintptr_t)from, .bytes = bytes});
    if (!b)
        run_all(d);
    return CUDA_OK;
}

int cuMemcpyDtoDAsync_v2(CudaAddress to, CudaAddress from, size_t bytes, CudaStream s)
{
    Driver *d = driver();
    CHECK("cuMemcpyDtoDAsync");
    if (!s || !on_device(d, to, bytes) || !on_device(d, from, bytes))
        return INVALID;
    return push(d, (Op){.kind = OP_COPY,
                        .to = (void *)(uintptr_t)to,
                        .from = (void *)(uintptr_t)from,
                        .bytes = bytes});
}

int cuMemsetD8Async(CudaAddress to, unsigned char value, size_t bytes, CudaStream s)
{
    Driver *d = driver();
    CHECK("cuMemsetD8Async");
    if (!s || !on_device(d, to, bytes))
        return INVALID;
    return push(
        d, (Op){.kind = OP_CLEAR, .to = (void *)(uintptr_t)to, .bytes = bytes, .value = value});
}

/* ---- streams and events ---- */

int cuStreamCreate(CudaStream *s, unsigned flags)
{
    UNUSED(flags);
    *s = (CudaStream)(uintptr_t)64;
    return refuse("cuStreamCreate");
}

int cuStreamDestroy_v2(CudaStream s)
{
    UNUSED(s);
    return CUDA_OK;
}

int cuEventCreate(CudaEvent *e, unsigned flags)
{
    UNUSED(flags);
    *e = NEW(driver()->arena, struct CudaEventOf);
    return refuse("cuEventCreate");
}

int cuEventDestroy_v2(CudaEvent e)
{
    e->op = UINT64_MAX;
    return CUDA_OK;
}

int cuEventRecord(CudaEvent e, CudaStream s)
{
    Driver *d = driver();
    CHECK("cuEventRecord");
    if (!s || d->capture)
        return INVALID;
    push(d, (Op){.kind = OP_NOTHING});
    e->op = d->ops.n;
    return CUDA_OK;
}

int cuEventQuery(CudaEvent e)
{
    Driver *d = driver();
    CHECK("cuEventQuery");
    if (d->capture)
        return INVALID;
    run_one(d);
    if (d->sticky)
        return d->sticky;
    return d->done >= e->op ? CUDA_OK : CUDA_NOT_READY;
}

/* Every operation takes a millisecond, a product of cuBLASLt half of one. */
int cuEventElapsedTime(float *ms, CudaEvent from, CudaEvent to)
{
    Driver *d = driver();
    CHECK("cuEventElapsedTime");
    if (d->done < from->op || d->done < to->op)
        return CUDA_NOT_READY;
    *ms = 0;
    for (uint64_t i = from->op; i < to->op; i++)
        *ms += d->ops.at[i].kind == OP_CALL ? 0.5F : 1;
    return CUDA_OK;
}

/* ---- graphs: what is captured is not done, and done as often as it is launched ---- */

int cuStreamBeginCapture_v2(CudaStream s, int mode)
{
    Driver *d = driver();
    CHECK("cuStreamBeginCapture");
    if (!s || mode != CUDA_CAPTURE_OF_THREAD || d->capture)
        return INVALID;
    d->capture = NEW(d->arena, struct CudaGraphOf);
    return CUDA_OK;
}

int cuStreamEndCapture(CudaStream s, CudaGraph *g)
{
    Driver *d = driver();
    *g = s ? d->capture : NULL;
    d->capture = NULL;
    CHECK("cuStreamEndCapture");
    return *g ? CUDA_OK : INVALID;
}

int cuGraphInstantiateWithFlags(CudaGraphExec *e, CudaGraph g, unsigned long long flags)
{
    CHECK("cuGraphInstantiate");
    if (flags)
        return INVALID;
    *e = NEW(driver()->arena, struct CudaGraphExecOf);
    (*e)->ops = g->ops;
    return CUDA_OK;
}

int cuGraphDestroy(CudaGraph g)
{
    g->ops.n = 0;
    return CUDA_OK;
}

int cuGraphLaunch(CudaGraphExec e, CudaStream s)
{
    Driver *d = driver();
    CHECK("cuGraphLaunch");
    if (!s || d->capture)
        return INVALID;
    for (uint32_t i = 0; i < e->ops.n; i++)
        push(d, e->ops.at[i]);
    d->graphs++;
    return CUDA_OK;
}

int cuGraphExecDestroy(CudaGraphExec e)
{
    run_all(driver());
    e->ops.n = 0;
    return CUDA_OK;
}

/* For tests: how many graphs were launched. */
EXPORT long mock_graphs(void);
long mock_graphs(void)
{
    return driver()->graphs;
}

/* ---- kernels ---- */

/* The text in a cubin of fakenvrtc.c; NULL: it is another one. */
static const char *text_of(const char *image)
{
    Elf64_Ehdr h;
    Elf64_Shdr s, names;
    memcpy(&h, image, sizeof(h));
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_machine != MOCK_MACHINE)
        return NULL;
    memcpy(&names, image + h.e_shoff + h.e_shstrndx * sizeof(s), sizeof(s));
    for (uint32_t i = 0; i < h.e_shnum; i++) {
        memcpy(&s, image + h.e_shoff + i * sizeof(s), sizeof(s));
        if (strcmp(image + names.sh_offset + s.sh_name, MOCK_SECTION) == 0)
            return image + s.sh_offset;
    }
    return NULL;
}

/* The arguments are NVIDIA's. NOLINTNEXTLINE(readability-function-size) */
int cuTensorMapEncodeTiled(void *map, int type, unsigned rank, void *at,
                           const unsigned long long *dims, const unsigned long long *strides,
                           const unsigned *box, const unsigned *steps, int interleave, int swizzle,
                           int promotion, int fill)
{
    static const int bytes[] = {1, 2, 4, 0, 8}, lines[] = {0, 32, 64, 128};
    CHECK("cuTensorMapEncodeTiled");
    Err err = {0};
    if (type < 0 || type > 4 || swizzle < 0 || swizzle > 3 || interleave || fill || promotion > 3 ||
        (uintptr_t)map % 64 || rank > 3)
        return INVALID;
    GpuTensor t = {
        .base = at, .rank = (int)rank, .element = bytes[type], .swizzle = lines[swizzle]};
    for (unsigned k = 0; k < rank; k++) {
        t.dim[k] = (int64_t)dims[k];
        t.box[k] = (int)box[k];
        if (steps[k] != 1)
            return INVALID;
        if (k)
            t.stride[k - 1] = (int64_t)strides[k - 1];
    }
    return simt_encode_map(&t, map, &err) ? CUDA_OK : INVALID;
}

int cuModuleLoadData(CudaModule *m, const void *image)
{
    CHECK("cuModuleLoadData");
    Err err = {0};
    const char *text = text_of(image);
    const DeviceOptions opt = {.quiet = true};
    *m = calloc(1, sizeof(**m));
    if (!text || !*m) {
        free(*m);
        return CUDA_INVALID_IMAGE;
    }
    (*m)->units = simt_load(&text, 1, SIMT_PLAIN, &opt, &err);
    VEC_PUSH(driver()->arena, &driver()->modules, *m);
    if (!(*m)->units)
        fprintf(stderr, "mock: %s\n", err.text);
    return (*m)->units ? CUDA_OK : CUDA_INVALID_IMAGE;
}

int cuModuleUnload(CudaModule m)
{
    Driver *d = driver();
    run_all(d);
    for (uint32_t i = 0; i < d->modules.n; i++)
        if (d->modules.at[i] == m)
            d->modules.at[i--] = d->modules.at[--d->modules.n];
    units_unload(m->units);
    free(m);
    return CUDA_OK;
}

int cuModuleGetFunction(CudaFunction *f, CudaModule m, const char *name)
{
    CHECK("cuModuleGetFunction");
    Arena *arena = driver()->arena;
    *f = NEW(arena, struct CudaFunctionOf);
    (*f)->name = arena_strdup(arena, name);
    (*f)->shared = 48 << 10;
    if (!simt_find(m->units, 0, name, SIMT_PLAIN, &(*f)->launch))
        return CUDA_NOT_FOUND;
    (*f)->launch.name = (*f)->name;
    return CUDA_OK;
}

int cuFuncSetAttribute(CudaFunction f, int attribute, int value)
{
    CHECK("cuFuncSetAttribute");
    int most = 0;
    cuDeviceGetAttribute(&most, CUDA_ATTR_SHARED_OPTIN, 0);
    if (attribute != CUDA_FUNCTION_MAX_SHARED || value < 0 || value > most)
        return INVALID;
    f->shared = value;
    return CUDA_OK;
}

/* At a multiple of 64 bytes, as the driver wants them. */
static const MdlTensorMap *keep_maps(Driver *d, const void *from)
{
    const size_t bytes = MDL_GPU_MAPS * sizeof(MdlTensorMap), align = _Alignof(MdlTensorMap);
    char *room = NEW_ARRAY(d->arena, char, bytes + align);
    room += (align - (uintptr_t)room % align) % align;
    memcpy(room, from, bytes);
    return (const MdlTensorMap *)(void *)room;
}

/* What was pushed last, NULL: nothing. */
static const Op *last_op(const Driver *d)
{
    const Ops *ops = d->capture ? &d->capture->ops : &d->ops;
    uint32_t n = ops->n;
    while (!d->capture && n > 0 && ops->at[n - 1].kind == OP_NOTHING) /* events */
        n--;
    return n ? &ops->at[n - 1] : NULL;
}

/* Before the end of what was pushed last: that must be a kernel, and the driver be one that knows it. */
int cuLaunchKernelEx(const CudaLaunch *l, CudaFunction f, void **args, void **extra)
{
    Driver *d = driver();
    CHECK("cuLaunchKernelEx");
    const Op *before = last_op(d);
    const CudaAttribute *a = l->attributes;
    if (l->nattribute != 1 || a->id != CUDA_LAUNCH_BEFORE_END || a->value.on != 1 || !before ||
        before->kind != OP_LAUNCH || setting("MDL_MOCK_VERSION", 12090) < 12030 ||
        setting("MDL_MOCK_ARCH", 80) < 90)
        return INVALID;
    int result = cuLaunchKernel(f, l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1],
                                l->block[2], l->shared, l->stream, args, extra);
    if (result == CUDA_OK) {
        VEC_LAST(d->capture ? &d->capture->ops : &d->ops).launch.chained = true;
        d->chained++;
    }
    return result;
}

/* For tests: how many launches were given before the end of another. */
EXPORT long mock_chained(void);
long mock_chained(void)
{
    return driver()->chained;
}

/* The arguments are NVIDIA's. NOLINTNEXTLINE(readability-function-size) */
int cuLaunchKernel(CudaFunction f, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                   CudaStream s, void **args, void **extra)
{
    Driver *d = driver();
    CHECK("cuLaunchKernel");
    bool flat = grid_y == 1 && grid_z == 1 && block_y == 1 && block_z == 1;
    if (!s || !flat || !grid_x || !block_x || block_x > 1024 || extra || (int)shared > f->shared)
        return INVALID;
    Op op = {.kind = OP_LAUNCH, .launch = f->launch};
    op.args = arena_memdup(d->arena, args[0], sizeof(MdlGpuArgs)); /* taken by value, now */
    op.args->map = keep_maps(d, args[1]);
    op.launch.nmaps = MDL_GPU_MAPS;
    op.launch.args = op.args;
    op.launch.blocks = grid_x;
    op.launch.threads = (int)block_x;
    op.launch.shared = shared;
    return push(d, op);
}

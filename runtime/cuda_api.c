/* cuda_api.c: finds the driver, asks for devices, and makes messages of its errors. */
#include "cuda_api.h"
#include <dlfcn.h>

enum { MIN_VERSION = 12000, MIN_MAJOR = 8 };

/* ---- finding ---- */

static bool take(void *library, const char *name, void *slot, Err *err)
{
    void *found = dlsym(library, name);
    if (found) {
        memcpy(slot, &found, sizeof(found));
        return true;
    }
    err_set(err, ERR_DEVICE, "the CUDA driver lacks %s: it is too old", name);
    return err_help(err, "install a driver for CUDA 12 or later");
}

static bool take_all(void *library, CudaApi *api, Err *err)
{
#define CU(name, symbol, args)                            \
    if (!take(library, #symbol, (void *)&api->name, err)) \
        return false;
#include "cuda_api.def"
#undef CU
    return true;
}

static const char *file_of(Arena *arena, void *library, const char *otherwise)
{
    Dl_info info;
    void *at = dlsym(library, "cuInit");
    return at && dladdr(at, &info) && info.dli_fname ? arena_strdup(arena, info.dli_fname)
                                                     : arena_strdup(arena, otherwise);
}

static void *load(const char *path, Err *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library)
        return library;
    const char *why = dlerror();
    err_set(err, ERR_DEVICE, "no CUDA driver: %s", why ? why : path);
    err_help(err, "install NVIDIA's driver (in a container: start it with the GPUs of its host)");
    return NULL;
}

bool cuda_open(Arena *arena, CudaApi *out, Err *err)
{
    const char *wanted = getenv("MDL_LIBCUDA");
    const char *path = wanted && *wanted ? wanted : "libcuda.so.1";
    void *library = load(path, err);
    *out = (CudaApi){0};
    if (!library || !take_all(library, out, err))
        return false;
    out->path = file_of(arena, library, path);
    int result = out->init(0);
    if (result != CUDA_OK)
        return cuda_failed(out, "cuInit", NULL, result, err);
    result = out->driver_version(&out->version);
    if (result != CUDA_OK)
        return cuda_failed(out, "cuDriverGetVersion", NULL, result, err);
    if (out->version >= MIN_VERSION)
        return true;
    err_set(err, ERR_DEVICE, "the driver %s is for CUDA %d.%d; 12.0 or later is needed", out->path,
            out->version / 1000, out->version % 1000 / 10);
    return err_help(err, "install a newer driver");
}

/* ---- errors ---- */

typedef struct Advice {
    int result;
    const char *text;
} Advice;

static const char fault[] =
    "this is a fault of the kernel: `mdl bisect` finds it; MDL_GPU_SYNC=1 names the launch";

static const Advice advice[] = {
    {CUDA_OUT_OF_MEMORY, "use a smaller batch, or a plan with less memory (--memory-limit)"},
    {CUDA_STUB, "this is the toolkit's stand-in for linking; the driver has the true libcuda.so.1"},
    {CUDA_NO_DEVICE, "see what `nvidia-smi` finds; $CUDA_VISIBLE_DEVICES may hide devices"},
    {CUDA_INVALID_IMAGE, "an older driver may not know what a newer NVRTC makes: set MDL_NVRTC to "
                         "one of the driver's version, or install a newer driver"},
    {CUDA_NO_BINARY, "compile the plan for this GPU: mdl compile .. --arch"},
    {CUDA_INVALID_PTX, "install a newer driver, or set MDL_NVRTC to one of the driver's version"},
    {CUDA_UNSUPPORTED_PTX, "install a newer driver, or set MDL_NVRTC to an older one"},
    {CUDA_LAUNCH_TIMEOUT, "the GPU also drives a screen, whose limit of time the kernel met: use "
                          "another one"},
    {CUDA_OUT_OF_RESOURCES,
     "this is a fault of the kernel: it asks for more than a block may have"},
    {CUDA_ILLEGAL_ADDRESS, fault},
    {CUDA_MISALIGNED, fault},
    {CUDA_LAUNCH_FAILED, fault},
    {CUDA_ASSERT, fault},
    {CUDA_MISMATCH, "driver and kernel module are of different versions: restart the machine"},
};

bool cuda_failed(const CudaApi *api, const char *call, const char *on, int result, Err *err)
{
    const char *name = NULL, *text = NULL;
    if (api->error_name(result, &name) != CUDA_OK || !name)
        name = "error";
    if (api->error_text(result, &text) != CUDA_OK || !text)
        text = "";
    err_set(err, ERR_DEVICE, "%s%s%s: %s %d%s%s", call, on ? " of " : "", on ? on : "", name,
            result, *text ? ": " : "", text);
    for (size_t i = 0; i < COUNT(advice); i++)
        if (advice[i].result == result)
            return err_help(err, "%s", advice[i].text);
    return err_help(err, "`mdl doctor` says what this machine has");
}

/* ---- devices ---- */

bool cuda_count(const CudaApi *api, int *n, Err *err)
{
    int result = api->device_count(n);
    if (result == CUDA_OK && *n <= 0)
        result = CUDA_NO_DEVICE;
    return result == CUDA_OK || cuda_failed(api, "cuDeviceGetCount", NULL, result, err);
}

static bool ask(const CudaApi *api, int attribute, int device, int *out, Err *err)
{
    int result = api->device_attribute(out, attribute, device);
    return result == CUDA_OK || cuda_failed(api, "cuDeviceGetAttribute", NULL, result, err);
}

bool cuda_device(const CudaApi *api, int ordinal, CudaDevice *out, Err *err)
{
    int n, result;
    *out = (CudaDevice){0};
    if (!cuda_count(api, &n, err))
        return false;
    if (ordinal >= n) {
        err_set(err, ERR_DEVICE, "no GPU %d: there %s %d", ordinal, n == 1 ? "is" : "are", n);
        return err_help(err, "MDL_GPU is the number of the GPU, from 0 on");
    }
    result = api->device_get(&out->device, ordinal);
    if (result != CUDA_OK)
        return cuda_failed(api, "cuDeviceGet", NULL, result, err);
    result = api->device_name(out->name, sizeof(out->name), out->device);
    if (result != CUDA_OK)
        return cuda_failed(api, "cuDeviceGetName", NULL, result, err);
    out->name[sizeof(out->name) - 1] = '\0';
    result = api->device_bytes(&out->bytes, out->device);
    if (result != CUDA_OK)
        return cuda_failed(api, "cuDeviceTotalMem", NULL, result, err);
    return ask(api, CUDA_ATTR_MAJOR, out->device, &out->major, err) &&
           ask(api, CUDA_ATTR_MINOR, out->device, &out->minor, err) &&
           ask(api, CUDA_ATTR_MULTIPROCESSORS, out->device, &out->multiprocessors, err) &&
           ask(api, CUDA_ATTR_SHARED_OPTIN, out->device, &out->shared, err);
}

bool cuda_ordinal(int *out, Err *err)
{
    const char *text = getenv("MDL_GPU");
    char *end = NULL;
    long n = text && *text ? strtol(text, &end, 10) : 0;
    *out = (int)n;
    if (n >= 0 && n < 1024 && (!end || !*end))
        return true;
    err_set(err, ERR_USAGE, "$MDL_GPU: `%s` is no number of a GPU", text);
    return err_help(err, "0 is the first one");
}

/* ---- maps of tensors ---- */

/* CUtensorMap..: unsigned integers of so many bytes, swizzles, and how much L2 reads around what is copied.
 * Zeros fill what lies outside. */
enum { MAP_U8 = 0, MAP_U16 = 1, MAP_U32 = 2, MAP_U64 = 4, MAP_PROMOTE_128 = 2 };

int cuda_encode_map(const CudaApi *api, const GpuTensor *t, MdlTensorMap *map)
{
    unsigned long long dim[3], stride[2];
    unsigned box[3], step[3];
    for (int k = 0; k < t->rank; k++) {
        dim[k] = (unsigned long long)t->dim[k];
        box[k] = (unsigned)t->box[k];
        step[k] = 1;
        if (k)
            stride[k - 1] = (unsigned long long)t->stride[k - 1];
    }
    int type = t->element == 1   ? MAP_U8
               : t->element == 2 ? MAP_U16
               : t->element == 4 ? MAP_U32
                                 : MAP_U64;
    int swizzle = t->swizzle == 128 ? 3 : t->swizzle == 64 ? 2 : t->swizzle == 32 ? 1 : 0;
    return api->encode_map(map, type, (unsigned)t->rank, t->base, dim, stride, box, step, 0,
                           swizzle, MAP_PROMOTE_128, 0);
}

/* ---- architectures ---- */

const char *cuda_isa(const CudaDevice *d, Err *err)
{
    if (d->major == 9 && d->minor == 0)
        return "sm_90a";
    if (d->major >= MIN_MAJOR)
        return "sm_80";
    err_set(err, ERR_DEVICE, "%s has compute capability %d.%d; 8.0 or later is needed", d->name,
            d->major, d->minor);
    err_help(err, "use a GPU of the Ampere generation or later");
    return NULL;
}

/* "sm_90a": 90, and whether it has a letter; 0 when it is no such name. */
static int number_of(const char *isa, bool *own)
{
    char *end = NULL;
    long n = strncmp(isa, "sm_", 3) == 0 ? strtol(isa + 3, &end, 10) : 0;
    *own = end && *end != '\0';
    return n >= 80 && n < 1000 ? (int)n : 0;
}

int cuda_suits(const CudaDevice *d, const char *isa, Err *err)
{
    bool own;
    int have = d->major * 10 + d->minor, want = number_of(isa, &own);
    if (want && (own ? have == want : have >= want))
        return own ? 1000 + want : want;
    err_set(err, ERR_DEVICE, "the plan's kernels are for %s; %s is of compute capability %d.%d",
            isa, d->name, d->major, d->minor);
    err_help(err, "compile it for this GPU: mdl compile FILE.mdl --device cuda --arch %s -o DIR",
             cuda_isa(d, NULL) ? cuda_isa(d, NULL) : "sm_80");
    return 0;
}

const char *cuda_arch(Arena *arena, const CudaDevice *d, const char *isa)
{
    bool own;
    number_of(isa, &own);
    return own ? isa : arena_printf(arena, "sm_%d%d", d->major, d->minor);
}

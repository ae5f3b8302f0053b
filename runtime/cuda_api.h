/* cuda_api.h: NVIDIA's driver library, opened when it is needed, as a table of typed functions. The types
 * and numbers of cuda.h that we use are declared here: no toolkit is needed to build. */
#ifndef MDL_CUDA_API_H
#define MDL_CUDA_API_H

#include "device.h"

typedef struct CudaContextOf *CudaContext;
typedef struct CudaModuleOf *CudaModule;
typedef struct CudaFunctionOf *CudaFunction;
typedef struct CudaStreamOf *CudaStream;
typedef struct CudaEventOf *CudaEvent;
typedef struct CudaGraphOf *CudaGraph;
typedef struct CudaGraphExecOf *CudaGraphExec;
typedef unsigned long long CudaAddress;

/* CUresult */
enum {
    CUDA_OK = 0,
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_STUB = 34,
    CUDA_NO_DEVICE = 100,
    CUDA_INVALID_IMAGE = 200,
    CUDA_NO_BINARY = 209,
    CUDA_INVALID_PTX = 218,
    CUDA_UNSUPPORTED_PTX = 222,
    CUDA_NOT_FOUND = 500,
    CUDA_NOT_READY = 600,
    CUDA_ILLEGAL_ADDRESS = 700,
    CUDA_OUT_OF_RESOURCES = 701,
    CUDA_LAUNCH_TIMEOUT = 702,
    CUDA_ASSERT = 710,
    CUDA_MISALIGNED = 716,
    CUDA_LAUNCH_FAILED = 719,
    CUDA_MISMATCH = 803 /* of driver and kernel module */
};

/* CUdevice_attribute, CUfunction_attribute, flags */
enum {
    CUDA_ATTR_MULTIPROCESSORS = 16,
    CUDA_ATTR_MAJOR = 75,
    CUDA_ATTR_MINOR = 76,
    CUDA_ATTR_SHARED_OPTIN = 97,
    CUDA_FUNCTION_MAX_SHARED = 8,
    CUDA_STREAM_NON_BLOCKING = 1,
    CUDA_EVENT_NO_TIMING = 2,
    CUDA_CAPTURE_OF_THREAD = 1 /* other threads may call what a capture forbids */
};

/* CUlaunchAttribute: its value is a union of 64 bytes. CUlaunchConfig. */
typedef struct CudaAttribute {
    int id, pad;
    union {
        int on;
        char room[64];
    } value;
} CudaAttribute;

enum { CUDA_LAUNCH_BEFORE_END = 6 /* PROGRAMMATIC_STREAM_SERIALIZATION */ };

typedef struct CudaLaunch {
    unsigned grid[3], block[3], shared;
    CudaStream stream;
    CudaAttribute *attributes;
    unsigned nattribute;
} CudaLaunch;

typedef struct CudaApi {
#define CU(name, symbol, args) int(*name) args;
#include "cuda_api.def"
#undef CU
    const char *path;
    int version; /* 12040 is 12.4 */
} CudaApi;

/* $MDL_LIBCUDA, else libcuda.so.1: loaded, all functions found, cuInit called. ERR_DEVICE with help. It
 * stays loaded until the process ends. */
bool cuda_open(Arena *arena, CudaApi *out, Err *err);
/* What the driver makes of a description, for TMA. The result is what cuTensorMapEncodeTiled gave. */
int cuda_encode_map(const CudaApi *api, const GpuTensor *t, MdlTensorMap *map);
/* *err (ERR_DEVICE) says which call failed, on what, why, and what to do. False. */
bool cuda_failed(const CudaApi *api, const char *call, const char *on, int result, Err *err);

typedef struct CudaDevice {
    int device, major, minor;
    int multiprocessors, shared; /* bytes a block may have */
    size_t bytes;
    char name[96];
} CudaDevice;

bool cuda_count(const CudaApi *api, int *n, Err *err); /* ERR_DEVICE when there is none */
bool cuda_device(const CudaApi *api, int ordinal, CudaDevice *out, Err *err);
/* $MDL_GPU, else 0. ERR_USAGE. */
bool cuda_ordinal(int *out, Err *err);

/* What kernels for a device should be made for, "sm_80" or "sm_90a". NULL: it is too old, *err. */
const char *cuda_isa(const CudaDevice *d, Err *err);
/* How well kernels made for `isa` suit it: 0 not at all, *err. */
int cuda_suits(const CudaDevice *d, const char *isa, Err *err);
/* What NVRTC shall make machine code for: of kernels for a machine with features of its own (..a) the same,
 * of others what the device is. */
const char *cuda_arch(Arena *arena, const CudaDevice *d, const char *isa);

#endif

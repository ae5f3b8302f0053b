/* device.h: what a device does for the executor. The devices that there are: devices.def. */
#ifndef MDL_DEVICE_H
#define MDL_DEVICE_H

#include "base.h"
#include "plan.h"

/* Kernel ABI; the prelude (runtime/prelude/c/mdl.h) declares the same layout. */
typedef struct MdlRow {
    void *p[PLAN_ROW_BUFS];
    int64_t n, task0;
} MdlRow;

typedef struct MdlArgs {
    void *const *buf;  /* BUF arguments in order */
    const MdlRow *row; /* TABLE argument: rows */
    int64_t nrow;
    const int64_t *block; /* argument block, 8-byte slots */
    void *workspace;      /* shared by all tasks of the launch */
    int64_t round;        /* set by the device: see PlanVariant.again */
} MdlArgs;

/* Kernel ABI of GPUs, passed by value; the preludes for cuda and simt declare the same layout. */
enum { MDL_GPU_BUFS = 48, MDL_GPU_MAPS = PLAN_MAX_MAPS };

typedef struct MdlTensorMap {
    _Alignas(64) uint64_t opaque[16]; /* what the device makes of a description */
} MdlTensorMap;

typedef struct MdlGpuArgs {
    void *buf[MDL_GPU_BUFS];
    const MdlRow *row;
    int64_t nrow;
    const int64_t *block;
    void *workspace;
    int64_t round;
    int64_t tasks;
    const MdlTensorMap *map; /* of the emulator; a GPU has them as arguments of their own */
} MdlGpuArgs;

/* A tensor that a GPU can copy in boxes: dimensions from the innermost one on, in elements; strides of the others
 * in bytes; the box that one transfer moves. */
typedef struct GpuTensor {
    void *base;
    int rank, element; /* element: bytes */
    int64_t dim[3], stride[2];
    int box[3];
    int swizzle; /* bytes: 0, 32, 64 or 128 */
} GpuTensor;

/* What follows from the extents of a call: tasks[i] of phase i of the variant; and of each symbol its value. */
typedef struct LaunchSize {
    const int64_t *tasks, *syms;
} LaunchSize;

typedef void (*MdlKernelFn)(const MdlArgs *args, int64_t task, void *scratch);

typedef struct Device Device;
typedef struct Module Module; /* compiled kernels of one plan */

typedef struct DeviceOptions {
    int threads;           /* 0: all cores this process may use */
    const char *cache_dir; /* NULL: path_cache() */
    const char *cc;        /* NULL: $MDL_CC, else "cc", "gcc", "clang" in $PATH */
    bool quiet;
    void (*progress)(void *user, uint32_t done, uint32_t total); /* kernels compiled; may be NULL */
    void *user;
} DeviceOptions;

/* Work that is given to a device is done in this order: uploads, copies, clears and launches behind one
 * another; downloads and sync when all of it is done. */
typedef struct DeviceVtable {
    const char *name;
    PlanTargetKind kind; /* of the kernels that it runs */
    /* The host cannot read its memory: addresses are good for the functions here alone. Then tables, the
     * argument block and inputs lie there too; MdlArgs.buf, a list of addresses, is the host's. */
    bool separate;
    /* launch returns before the kernel is done. So what kernels take is measured in some calls alone, in which
     * each is waited for. */
    bool queued;
    /* The instruction set that kernels for this machine should be made for; NULL: it does not work here,
     * and *err (ERR_DEVICE, with help) says why. */
    const char *(*here)(Err *err);
    /* Whether kernels that are in no cache can be made here. NULL: as far as that is known without trying. */
    bool (*ready)(Err *err);
    /* How well kernels for an instruction set suit it; the greatest is taken; 0: they do not run, *err. */
    int (*suits)(Device *d, const char *isa, Err *err);
    Device *(*open)(const DeviceOptions *opt, Err *err);
    void (*close)(Device *d);
    /* 64-byte aligned, zeroed, huge pages where the system gives them. ERR_DEVICE when refused. */
    void *(*alloc)(Device *d, size_t bytes, Err *err);
    void (*free)(Device *d, void *p, size_t bytes);
    bool (*upload)(Device *d, void *dst, const void *src, size_t bytes, Err *err);
    bool (*download)(Device *d, void *dst, const void *src, size_t bytes, Err *err);
    void (*copy)(Device *d, void *dst, const void *src, size_t bytes); /* within the device */
    void (*clear)(Device *d, void *dst, size_t bytes);                 /* zeros */
    /* Compiles (or takes from the cache) all kernels of the plan, as they are for one of its targets.
     * ERR_DEVICE with help when there is no compiler; ERR_DATA when this machine is not of that target. */
    Module *(*load)(Device *d, const Plan *plan, uint32_t target, Err *err);
    void (*unload)(Device *d, Module *m);
    /* Runs kernel k of the plan in its variant for the module's target: all phases in order, as many tasks as
     * the size says (on a GPU, in plan_blocks of them blocks); and as often again as it says. */
    void (*launch)(Device *d, Module *m, uint32_t kernel, const MdlArgs *args,
                   const LaunchSize *size);
    /* Of devices that can keep launches, to run them again at once; else NULL. record: what is launched and
     * copied from here to `recorded` is kept under a small number (and runs then); false: it is run as always.
     * replay: false: nothing is kept under the number. forget: what was kept, since its numbers changed. */
    bool (*record)(Device *d, uint32_t number, const char *what);
    void (*recorded)(Device *d);
    bool (*replay)(Device *d, uint32_t number);
    void (*forget)(Device *d);
    /* Time by the device's own clock. from: now, behind all that it was given; passed: the seconds from there to
     * here, when all of it is done. NULL: as the host sees it. */
    bool (*clock_from)(Device *d, Err *err);
    bool (*clock_passed)(Device *d, double *seconds, Err *err);
    /* Waits for all that was launched. False: something failed, and what came behind it was not done. */
    bool (*sync)(Device *d, Err *err);
    int (*threads)(const Device *d);
} DeviceVtable;

#endif

/* hardware.h: single kernels on the machine's GPU, for tests that run them on the emulator otherwise. */
#ifndef MDL_TEST_HARDWARE_H
#define MDL_TEST_HARDWARE_H

#include "device.h"
#include "gpubuild.h"

typedef struct Hardware Hardware;

typedef struct HardwareLaunch {
    uint32_t text; /* number of the kernel's */
    const char *symbol;
    int64_t blocks;
    uint32_t threads, shared;
    const MdlTensorMap *maps; /* MDL_GPU_MAPS of them, of a kernel that has maps; or NULL */
} HardwareLaunch;

/* MDL_TEST_DEVICE=cuda: tests of a GPU's kernels run them on hardware. */
bool hardware_wanted(void);
/* Compiles the texts, which are for `isa`, for the GPU. NULL: *err, with what NVRTC or the driver says. */
Hardware *hardware_open(Arena *arena, GpuTexts texts, const char *isa, const char *cache, Err *err);
void hardware_close(Hardware *h); /* NULL is none */
/* 256-byte aligned, at the same address for host and GPU, until the end. NULL: *err. */
void *hardware_memory(Hardware *h, size_t bytes, Err *err);
bool hardware_encode_map(Hardware *h, const GpuTensor *t, MdlTensorMap *out, Err *err);
/* Returns when the kernel is done. After false, *err, no kernel runs any more. */
bool hardware_launch(Hardware *h, const HardwareLaunch *l, const MdlGpuArgs *args, Err *err);

#endif

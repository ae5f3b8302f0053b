/* tensors.h: which tensors the addresses of a launch stand for. */
#ifndef MDL_SIMT_TENSORS_H
#define MDL_SIMT_TENSORS_H

#include "simt.h"

typedef struct KernelTensors KernelTensors;

/* Of the kernels of a plan. */
KernelTensors *tensors_of_plan(Arena *arena, const Plan *plan);
/* Of one launch: fills out[0..] (room for MDL_GPU_BUFS) and says how many. A kernel with a table has none: it
 * may touch whatever its rows have. */
uint32_t tensors_of_launch(const KernelTensors *t, uint32_t kernel, const MdlGpuArgs *args,
                           SimtArgument *out);

#endif

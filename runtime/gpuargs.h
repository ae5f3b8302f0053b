/* gpuargs.h: what launches of GPU kernels take. */
#ifndef MDL_GPUARGS_H
#define MDL_GPUARGS_H

#include "device.h"

/* How many addresses each kernel of the plan takes, by kernel. ERR_DATA: more than go by value. */
bool gpuargs_count(const Plan *plan, uint32_t *nbuf, Err *err);
/* Those of one launch, but for its round and tasks. */
MdlGpuArgs gpuargs_of(const MdlArgs *args, uint32_t nbuf);
/* The tensor of one of the plan's maps, in a launch with these arguments and values of symbols. Extents of 0 are
 * 1: a map has none, and nothing is copied. */
GpuTensor gpuargs_tensor(const Plan *plan, const PlanMap *map, const MdlGpuArgs *args,
                         const int64_t *syms);

#endif

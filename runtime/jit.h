/* jit.h: kernel text to functions, through the system C compiler and a cache on disk. */
#ifndef MDL_JIT_H
#define MDL_JIT_H

#include "device.h"

typedef struct Jit Jit;

/* The function of every phase of every kernel of the plan, for one of its targets. ERR_DEVICE: no compiler (help), it
 * failed (its first lines and the source's path), or the cache is not usable; ERR_DATA: the plan is
 * for an instruction set that this machine lacks, or a kernel does not define its functions. */
Jit *jit_load(const Plan *plan, uint32_t target, const DeviceOptions *opt, Err *err);
void jit_unload(Jit *jit); /* NULL is fine */
/* How good an instruction set is, of those that this machine has; 0: it lacks it, *err. */
int jit_isa_rank(const char *isa, Err *err);
const char *jit_isa_best(void);
MdlKernelFn jit_phase(const Jit *jit, uint32_t phase); /* by plan phase index */

#endif

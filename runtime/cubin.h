/* cubin.h: machine code of GPU kernels as NVRTC makes it (an ELF file), what each kernel takes of the
 * machine, and both as one block of bytes for the cache. Reads bytes of any origin. */
#ifndef MDL_CUBIN_H
#define MDL_CUBIN_H

#include "base.h"

typedef struct CubinKernel {
    const char *name;
    uint32_t registers, threads; /* a thread's; the most a block may have, 0 if nothing says */
    uint32_t shared, frame;      /* bytes: static shared memory, a thread's local memory */
    uint32_t spill_stores, spill_loads; /* bytes, from the log */
} CubinKernel;

typedef struct Cubin {
    Bytes image;
    CubinKernel *kernels;
    uint32_t nkernel;
    Map *by_name;
    const char *warnings; /* lines of the assembler (C75..: wgmma serialised), or "" */
} Cubin;

/* ERR_DATA when it is no cubin or lies about its parts. The image is not copied. */
bool cubin_parse(Arena *arena, const void *data, size_t n, Cubin *out, Err *err);
/* What the log of the compilation says of spills and of what the assembler did not like. */
void cubin_add_log(Arena *arena, const char *log, Cubin *c);
const CubinKernel *cubin_kernel(const Cubin *c, const char *name); /* NULL when absent */

Bytes cubin_pack(Arena *arena, const Cubin *c);
bool cubin_unpack(Arena *arena, const void *data, size_t n, Cubin *out, Err *err);

#endif

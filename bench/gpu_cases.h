/* gpu_cases.h: what gpu_bench and its peer gpu_torch.py measure, by name: FAMILY:TYPE:VARIANT:SIZES, as in
 * gemm:bf16:nt:4096x6144x4096. A case is a text of .mdl, what its function or stage gets, and what work it is. */
#ifndef MDL_BENCH_GPU_CASES_H
#define MDL_BENCH_GPU_CASES_H

#include "compile.h"

enum { CASE_INPUTS = 8, CASE_SIZES = 5, CASE_TEXT = 2048 };

/* What stands in an input. */
typedef enum CaseFill {
    FILL_NORMAL,   /* about normal, deviation 1 */
    FILL_EIGHT,    /* the same around 8: what rows of scores sum up to */
    FILL_CLASSES,  /* whole numbers from 0 to below `limit` */
    FILL_POSITIONS /* 0, 1 .. along the last axis */
} CaseFill;

typedef struct GpuCase {
    const char *name;
    DType dtype;
    const char *variant;
    int n[CASE_SIZES];
    char text[CASE_TEXT];
    const char *function; /* NULL: the stage of the text, by its entry */
    const char *entry;    /* "micro", "update" */
    CompileInput inputs[CASE_INPUTS];
    CaseFill fill[CASE_INPUTS];
    int64_t limit; /* of FILL_CLASSES */
    uint32_t ninput;
    double flops, bytes; /* that it cannot do without */
} GpuCase;

/* `name` must outlive it. ERR_USAGE. */
bool case_read(Arena *arena, const char *name, GpuCase *out, Err *err);

#endif

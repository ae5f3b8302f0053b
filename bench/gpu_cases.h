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
    FILL_BITS,     /* any */
    FILL_CLASSES,  /* whole numbers from 0 to below `limit` */
    FILL_POSITIONS /* 0, 1 .. along the last axis */
} CaseFill;

/* One result of a call. */
typedef struct CaseResult {
    const void *data;
    uint32_t number;
} CaseResult;

typedef struct GpuCase GpuCase;
/* Some of its elements against the host's; ERR_DATA. */
typedef bool (*CaseCheck)(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err);

struct GpuCase {
    const char *name;
    DType dtype;
    const char *variant;
    int n[CASE_SIZES];
    char text[CASE_TEXT];
    const char *function; /* NULL: by its entry, of the stage or of the `generate` block */
    const char *entry;    /* "micro", "update"; "decode" */
    int64_t past;         /* tokens that are kept */
    CompileInput inputs[CASE_INPUTS];
    CaseFill fill[CASE_INPUTS];
    int64_t limit; /* of FILL_CLASSES */
    uint32_t ninput;
    double flops, bytes; /* that it cannot do without */
    CaseCheck check;     /* or NULL */
};

/* `name` must outlive it. ERR_USAGE. */
bool case_read(Arena *arena, const char *name, GpuCase *out, Err *err);

/* ---- gpu_check.c ---- */

bool check_gemm(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err);
bool check_qkv(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err);
bool check_swiglu(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err);
bool check_attention(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err);

#endif

/* dtype.h: element types, from dtype.def. */
#ifndef MDL_DTYPE_H
#define MDL_DTYPE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum DType {
#define DTYPE(id, name, bytes, kind, st, c, unit) DT_##id,
#include "dtype.def"
#undef DTYPE
    DT_COUNT
} DType;

typedef enum DKind { DK_FLOAT, DK_INT, DK_BOOLEAN } DKind;

typedef struct DTypeInfo {
    const char *name; /* in .mdl text: "f32" */
    uint32_t bytes;
    DKind kind;
    const char *safetensors; /* in safetensors headers: "F32" */
    const char *c;           /* storage type in emitted kernels */
    double unit;             /* rounding unit, 0 for exact types */
} DTypeInfo;

const DTypeInfo *dtype_info(DType dt);
bool dtype_is_float(DType dt);
bool dtype_is_half(DType dt); /* a float of 16 bits, which matrix units multiply */
bool dtype_is_int(DType dt);
/* By .mdl name or safetensors name; false when unknown. */
bool dtype_find(const char *name, DType *out);
bool dtype_find_safetensors(const char *name, DType *out);
/* Element i of an array of dt as double, and back (rounding to nearest even; ints saturate). */
double dtype_load(DType dt, const void *data, size_t i);
void dtype_store(DType dt, void *data, size_t i, double value);

#ifdef __cplusplus
}
#endif

#endif

/* tensors.h: tensors of safetensors files as arguments of functions, and back. */
#ifndef MDL_TENSORS_H
#define MDL_TENSORS_H

#include "cli.h"
#include "runtime.h"

/* What an argument must be. */
typedef struct Want {
    const char *name;
    DType dtype;
    uint32_t rank;
    int64_t dim[PLAN_MAX_RANK];
} Want;

/* The element type that a tensor of a file has as an argument where the formal does not say: floats are
 * f32 (`own`: what they are in the file), whole numbers i32. ERR_DATA for those that are no numbers. */
bool tensor_argument_type(const StTensor *t, bool own, DType *out, Err *err);
/* The tensor of that name and shape; ERR_DATA when it is missing or another (the kinds of numbers
 * are compared as arguments). */
const StTensor *tensor_find(Cli *cli, const StFile *file, const Want *want, Err *err);
/* Elements in the type `to`, aligned. ERR_DATA when a whole number does not fit. */
void *tensor_convert(Arena *arena, const StTensor *t, DType to, Err *err);
/* Elements as they are in the file. ERR_DATA when a whole number has more bits than a double. */
double *tensor_values(Arena *arena, const StTensor *t, Err *err);

typedef struct Tensors {
    VEC(StTensor) all;
} Tensors;
/* Appends n values, stored as dtype. */
void tensor_push(Arena *arena, Tensors *out, const Want *what, const double *values);
/* The same of data that is dtype's already, and is kept by the caller. */
void tensor_push_typed(Arena *arena, Tensors *out, const Want *what, const void *data);

#endif

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

/* The element type that a tensor of a file has as an argument: floats are f32, whole numbers i32. */
DType tensor_argument_type(DType in_file);
/* The tensor of that name and shape; ERR_DATA when it is missing or another (the kinds of numbers
 * are compared as arguments). */
const StTensor *tensor_find(Cli *cli, const StFile *file, const Want *want, Err *err);
/* Elements in the type `to`, aligned. ERR_DATA when a whole number does not fit. */
void *tensor_convert(Arena *arena, const StTensor *t, DType to, Err *err);
double *tensor_values(Arena *arena, const StTensor *t);
/* Every tensor of the file is one of `used`. ERR_DATA: an argument that nothing takes is a mistake. */
bool tensor_all_used(Cli *cli, const StFile *file, const Want *used, uint32_t n, Err *err);

typedef struct Tensors {
    VEC(StTensor) all;
} Tensors;
/* Appends n values, stored as dtype. */
void tensor_push(Arena *arena, Tensors *out, const Want *what, const double *values);

#endif

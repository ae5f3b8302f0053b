/* hostarray.h: arrays read from files: the one form that readers of idx, npy and npz produce.
 *
 * Rows of training data lie in files as they are; an array points into the mapped file where the
 * file's bytes can be used directly, and owns a copy where they had to be inflated, swapped or
 * widened. Readers trust nothing in a file: every number is checked before it is used. */
#ifndef MDL_HOSTARRAY_H
#define MDL_HOSTARRAY_H

#include "base.h"
#include "dtype.h"
#include "plan.h"

/* A file mapped for reading. Must not shrink while it is mapped. */
typedef struct HostFile {
    const uint8_t *data;
    size_t n;
} HostFile;

/* ERR_FILE when absent, unreadable or not a regular file. */
bool host_file_open(HostFile *file, const char *path, Err *err);
void host_file_close(HostFile *file);

typedef struct HostArray {
    DType dtype;
    uint32_t rank;
    int64_t dim[PLAN_MAX_RANK];
    const void *data; /* row-major, no alignment promised: inside `file` or `owned` */
    size_t bytes;
    void *owned;   /* malloc, or NULL */
    HostFile file; /* held by the array, or zero */
} HostArray;

void host_array_free(HostArray *array);
int64_t host_array_count(const HostArray *array);
/* "60000 x 28 x 28 of u8", for messages. */
const char *host_array_describe(Arena *arena, const HostArray *array);
/* Sets dims and bytes. ERR_DATA when a dim is negative, or elements or bytes overflow. */
bool host_array_shape(HostArray *array, const int64_t *dim, uint32_t rank, Err *err);

/* A reader; member is the array's name inside an npz. */
typedef bool HostParseFn(HostArray *out, HostFile file, const char *member, Err *err);

/* One array of a file. */
bool host_array_read(HostArray *out, HostParseFn *parse, const char *path, const char *member,
                     Err *err);

/* The readers over bytes in memory; `out` may point into them. Errors do not name the file. */
bool idx_parse(HostArray *out, const uint8_t *data, size_t n, Err *err);
bool npy_parse(HostArray *out, const uint8_t *data, size_t n, Err *err);
bool npz_parse(HostArray *out, HostFile file, const char *member, Err *err);

/* ---- npy.c, for npz.c ---- */

/* The element type of a file and what to do with it: `size` bytes in the file, in `swap` byte order,
 * become one element of `dtype`. */
typedef struct NpyHeader {
    size_t bytes; /* of the header: the data begin here */
    size_t size;  /* of one element in the file */
    bool swap, widen;
    HostArray array; /* dtype, shape, bytes; data unset */
} NpyHeader;

bool npy_parse_header(NpyHeader *header, const uint8_t *data, size_t n, Err *err);

/* Copies big-endian (or swapped) elements of `size` bytes into native order. */
void host_swap(void *out, const void *in, size_t count, size_t size);
/* malloc of at least one byte; ERR_DEVICE when refused. */
void *host_alloc(size_t bytes, Err *err);

#endif

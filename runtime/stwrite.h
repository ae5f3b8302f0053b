/* stwrite.h: writing a tensor file and measuring it in one go, for files whose manifest says what they must be. */
#ifndef MDL_STWRITE_H
#define MDL_STWRITE_H

#include "runtime.h"

typedef struct StDigest {
    uint64_t bytes;
    char hash[33]; /* XXH3-128 of the file, hexadecimal */
} StDigest;

/* st_write without metadata; the digest is of the bytes that were handed to the system, not of what a
 * later reading finds: damage on the way to the disk is noticed as well. */
bool st_write_digest(const char *path, const StTensor *tensors, uint32_t n, StDigest *digest,
                     Err *err);

#endif

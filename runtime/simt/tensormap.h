/* tensormap.h: what the emulator puts into an MdlTensorMap; private to it. */
#ifndef MDL_TENSORMAP_H
#define MDL_TENSORMAP_H

#include "simt.h"

typedef struct TensorMap {
    uint64_t mark;
    char *base;
    uint64_t dim[3], stride[2];
    uint32_t box[3];
    uint8_t rank, element, swizzle;
} TensorMap;

/* False: it is none. */
bool tensormap_read(const void *map, TensorMap *out);
static inline int64_t tensormap_box_bytes(const TensorMap *m)
{
    return (int64_t)m->box[0] * m->box[1] * m->box[2] * m->element;
}

#endif

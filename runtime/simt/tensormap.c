/* tensormap.c: descriptions of tensors for TMA. CUDA's are made by a call of its driver and are opaque; the
 * emulator has its own in the same 128 bytes, with the same limits. */
#include "tensormap.h"
#include "fragments.h"

_Static_assert(sizeof(TensorMap) <= sizeof(MdlTensorMap), "it lies in the 128 bytes of a map");

static const uint64_t MARK = UINT64_C(0x70616d74746d6973);

enum { MOST_BOX = 256, ALIGN = 16 };

static bool refuse(Err *err, const char *why)
{
    return err_set(err, ERR_DATA, "a tensor that TMA cannot address: %s", why);
}

bool simt_encode_map(const GpuTensor *t, MdlTensorMap *out, Err *err)
{
    TensorMap m = {.mark = MARK,
                   .base = t->base,
                   .rank = (uint8_t)t->rank,
                   .element = (uint8_t)t->element,
                   .swizzle = (uint8_t)t->swizzle};
    if (t->rank < 2 || t->rank > 3)
        return refuse(err, "it has 2 or 3 dimensions");
    if (t->element != 1 && t->element != 2 && t->element != 4 && t->element != 8)
        return refuse(err, "elements have 1, 2, 4 or 8 bytes");
    if (!swizzle_of_bytes(t->swizzle))
        return refuse(err, "it swizzles 32, 64 or 128 bytes");
    if ((uintptr_t)t->base % ALIGN)
        return refuse(err, "it begins at a multiple of 16 bytes");
    for (int i = 0; i < 3; i++) {
        m.dim[i] = i < t->rank ? (uint64_t)t->dim[i] : 1;
        m.box[i] = i < t->rank ? (uint32_t)t->box[i] : 1;
        if (i < t->rank && (t->dim[i] < 1 || t->box[i] < 1 || t->box[i] > MOST_BOX))
            return refuse(err, "boxes have 1 to 256 elements a dimension");
    }
    for (int i = 0; i < t->rank - 1; i++) {
        m.stride[i] = (uint64_t)t->stride[i];
        if (t->stride[i] <= 0 || t->stride[i] % ALIGN)
            return refuse(err, "strides are multiples of 16 bytes");
    }
    int64_t run = (int64_t)t->box[0] * t->element;
    if (run % ALIGN || (t->swizzle && run > t->swizzle))
        return refuse(err, "a line of the box has a multiple of 16 bytes, at most the swizzle's");
    memset(out, 0, sizeof(*out));
    memcpy(out, &m, sizeof(m));
    return true;
}

bool tensormap_read(const void *map, TensorMap *out)
{
    memcpy(out, map, sizeof(*out));
    return out->mark == MARK;
}

/* idx.c: the array files of MNIST (http://yann.lecun.com/exdb/mnist, "the IDX file format").
 *
 *     0 0 TYPE RANK | extent of each axis, u32 | elements, row-major        all big-endian */
#include "hostarray.h"

enum { HEAD = 4 };

static bool find_type(uint8_t code, DType *out)
{
    static const struct {
        uint8_t code;
        DType dtype;
    } types[] = {{0x08, DT_U8},  {0x09, DT_I8},  {0x0b, DT_I16},
                 {0x0c, DT_I32}, {0x0d, DT_F32}, {0x0e, DT_F64}};
    for (size_t i = 0; i < COUNT(types); i++) {
        if (types[i].code == code) {
            *out = types[i].dtype;
            return true;
        }
    }
    return false;
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool parse_header(HostArray *out, const uint8_t *data, size_t n, Err *err)
{
    if (n >= 2 && data[0] == 0x1f && data[1] == 0x8b) {
        err_set(err, ERR_DATA, "compressed with gzip; an idx file is read uncompressed");
        return err_help(err, "uncompress it first: gunzip FILE");
    }
    if (n < HEAD)
        return err_set(err, ERR_DATA, "not an idx file: %zu bytes, the header alone has %d", n,
                       (int)HEAD);
    if (data[0] != 0 || data[1] != 0)
        return err_set(err, ERR_DATA,
                       "not an idx file: it begins with bytes %02x %02x, expected 00 00", data[0],
                       data[1]);
    if (!find_type(data[2], &out->dtype))
        return err_set(err, ERR_DATA,
                       "idx element type 0x%02x (byte 2) is unknown; known are 08 09 0b 0c 0d 0e",
                       data[2]);
    uint32_t rank = data[3];
    if (rank > PLAN_MAX_RANK)
        return err_set(err, ERR_DATA, "idx rank %u (byte 3), at most %d is accepted", rank,
                       (int)PLAN_MAX_RANK);
    if (n < HEAD + 4 * (size_t)rank)
        return err_set(err, ERR_DATA, "truncated in the idx header: %zu of its %zu bytes", n,
                       HEAD + 4 * (size_t)rank);
    int64_t dim[PLAN_MAX_RANK] = {0};
    for (uint32_t i = 0; i < rank; i++)
        dim[i] = read_u32(data + HEAD + 4 * (size_t)i);
    return host_array_shape(out, dim, rank, err);
}

static bool fail_size(const HostArray *array, size_t have, Err *err)
{
    Arena *arena = arena_new();
    err_set(err, ERR_DATA, "%s: the header says %s, which takes %zu bytes, and %zu follow it",
            have < array->bytes ? "truncated" : "too long", host_array_describe(arena, array),
            array->bytes, have);
    arena_free(arena);
    return false;
}

bool idx_parse(HostArray *out, const uint8_t *data, size_t n, Err *err)
{
    *out = (HostArray){0};
    if (!parse_header(out, data, n, err))
        return false;
    size_t at = HEAD + 4 * (size_t)out->rank;
    if (n - at != out->bytes)
        return fail_size(out, n - at, err);
    size_t size = dtype_info(out->dtype)->bytes;
    out->data = data + at;
    if (size == 1)
        return true;
    out->owned = host_alloc(out->bytes, err);
    if (!out->owned)
        return false;
    host_swap(out->owned, data + at, out->bytes / size, size);
    out->data = out->owned;
    return true;
}

/* LIBS: mdl_runtime mdl_plan mdl_base */
/* fuzz_npz.c: arbitrary bytes as an archive, and as an array inside one. */
#include "fuzz.h"

#include "hostarray.h"

/* Every byte of an accepted array is readable. */
static void use(HostArray *array)
{
    uint64_t hash = hash_bytes(array->data, array->bytes);
    ASSERT(host_array_count(array) >= 0);
    UNUSED(hash);
    host_array_free(array);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    HostArray array;
    Err err = {0};
    if (npz_parse(&array, (HostFile){data, n}, "a", &err))
        use(&array);
    else
        ASSERT(err.kind == ERR_DATA || err.kind == ERR_DEVICE);
    err = (Err){0};
    if (npy_parse(&array, data, n, &err))
        use(&array);
    else
        ASSERT(err.kind == ERR_DATA || err.kind == ERR_DEVICE);
    return 0;
}

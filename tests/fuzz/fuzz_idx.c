/* LIBS: mdl_runtime mdl_plan mdl_base */
/* fuzz_idx.c: arbitrary bytes as an idx file. */
#include "fuzz.h"

#include "hostarray.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    HostArray array;
    Err err = {0};
    if (!idx_parse(&array, data, n, &err)) {
        ASSERT(err.kind == ERR_DATA || err.kind == ERR_DEVICE);
        return 0;
    }
    ASSERT(array.bytes <= n);
    uint64_t hash = hash_bytes(array.data, array.bytes);
    UNUSED(hash);
    host_array_free(&array);
    return 0;
}

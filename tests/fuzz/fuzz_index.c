/* LIBS: mdl_runtime mdl_plan mdl_base */
/* fuzz_index.c: arbitrary bytes as the index of weights in several files. */
#define _GNU_SOURCE
#include "fuzz_file.h"

#include "stset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    FuzzFile file = fuzz_file_open(data, n);
    Err err = {0};
    StFile *f = st_index_open(file.path, &err);
    ASSERT(f || ((err.kind == ERR_DATA || err.kind == ERR_FILE) && err.text[0]));
    st_close(f);
    fuzz_file_close(&file);
    return 0;
}

/* LIBS: mdl_runtime mdl_plan mdl_base */
/* fuzz_cubin.c: arbitrary bytes as a cubin, and as a file of the cache, whose report is text. */
#include "fuzz.h"

#include "cubin.h"

/* What was accepted has names, and is the same when it is packed and read again. */
static void use(Arena *arena, const Cubin *c)
{
    Cubin again;
    Err err = {0};
    for (uint32_t i = 0; i < c->nkernel; i++)
        ASSERT(cubin_kernel(c, c->kernels[i].name) != NULL);
    Bytes packed = cubin_pack(arena, c);
    ASSERT(cubin_unpack(arena, packed.data, packed.n, &again, &err));
    ASSERT(again.nkernel == c->nkernel && again.image.n == c->image.n);
    ASSERT(strcmp(again.warnings, c->warnings) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *arena = arena_new();
    Cubin c;
    Err err = {0};
    if (cubin_parse(arena, data, n, &c, &err)) {
        cubin_add_log(arena, arena_strndup(arena, (const char *)data, n), &c);
        use(arena, &c);
    } else {
        ASSERT(err.kind == ERR_DATA);
    }
    err = (Err){0};
    if (cubin_unpack(arena, data, n, &c, &err))
        use(arena, &c);
    else
        ASSERT(err.kind == ERR_DATA);
    arena_free(arena);
    return 0;
}

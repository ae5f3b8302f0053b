/* LIBS: mdl_runtime mdl_plan mdl_base */
/* fuzz_safetensors.c: arbitrary bytes as a tensor file, and as the JSON of one whose lengths fit. */
#include "fuzz.h"

#include "runtime.h"
#include <math.h>

/* Every byte of an accepted tensor is readable, and it is found by its name. */
static void load(const void *data, size_t n)
{
    Err err = {0};
    StFile *f = st_from_bytes(data, n, &err);
    ASSERT(f || (err.kind == ERR_DATA && err.text[0]));
    uint64_t hash = 0;
    for (uint32_t i = 0; f && i < f->n; i++) {
        const StTensor *t = &f->tensors[i];
        hash = hash_mix(hash, hash_bytes(t->data, t->bytes));
        ASSERT(st_find(f, t->name) == t);
        DKind kind;
        int64_t whole;
        size_t last = st_kind(t, &kind) ? st_count(t) : 0;
        if (last > 0 && kind == DK_INT && st_load_int(t, last - 1, &whole))
            hash = hash_mix(hash, (uint64_t)whole);
        if (last > 0 && isnan(st_load(t, last - 1)))
            hash++;
    }
    UNUSED(hash);
    st_close(f);
}

/* The header is what comes before the first NUL, the data what is behind it. */
static void load_framed(const uint8_t *data, size_t n)
{
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    uint64_t header = end ? (uint64_t)(end - data) : n;
    Arena *arena = arena_new();
    char *file = arena_alloc(arena, sizeof(header) + n);
    memcpy(file, &header, sizeof(header));
    if (n)
        memcpy(file + sizeof(header), data, n);
    if (end)
        memmove(file + sizeof(header) + header, end + 1, n - header - 1);
    load(file, sizeof(header) + n - (end != NULL));
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    load(data, n);
    load_framed(data, n);
    return 0;
}

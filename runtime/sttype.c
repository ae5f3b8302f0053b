/* sttype.c: elements of safetensors files. A file may hold types that the language does not have: it is
 * read all the same, unsigned numbers as whole numbers, and the others are refused by whoever needs
 * them. */
#include "sttype.h"
#include "runtime.h"

static const StType types[] = {
#define ST_TYPE(name, bits, dtype, kind) {name, bits, DT_##dtype, DK_##kind},
#include "sttype.def"
#undef ST_TYPE
};

const StType *st_type_find(const char *name)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static const StType *type_of(const StTensor *t)
{
    return st_type_find(t->dtype == DT_COUNT ? t->type : dtype_info(t->dtype)->safetensors);
}

const char *st_type_name(const StTensor *t)
{
    return t->dtype == DT_COUNT ? t->type : dtype_info(t->dtype)->name;
}

bool st_kind(const StTensor *t, DKind *kind)
{
    *kind = type_of(t)->kind;
    return t->dtype != DT_COUNT || *kind == DK_INT;
}

size_t st_count(const StTensor *t)
{
    return t->bytes / (type_of(t)->bits / 8);
}

/* Files promise no alignment. Little-endian, as the machine is. */
static uint64_t pattern(const StTensor *t, size_t i)
{
    uint64_t bits = 0;
    size_t size = type_of(t)->bits / 8;
    memcpy(&bits, (const char *)t->data + i * size, size);
    return bits;
}

double st_load(const StTensor *t, size_t i)
{
    uint64_t bits = pattern(t, i);
    return t->dtype == DT_COUNT ? (double)bits : dtype_load(t->dtype, &bits, 0);
}

bool st_load_int(const StTensor *t, size_t i, int64_t *out)
{
    uint64_t bits = pattern(t, i);
    bool is_i64 = t->dtype == DT_I64;
    *out = is_i64 || t->dtype == DT_COUNT ? (int64_t)bits : (int64_t)dtype_load(t->dtype, &bits, 0);
    return is_i64 || bits <= INT64_MAX || t->dtype != DT_COUNT;
}

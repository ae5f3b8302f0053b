/* tensors.c: conversions and checks of tensors from files. */
#include "tensors.h"

DType tensor_argument_type(DType in_file)
{
    switch (dtype_info(in_file)->kind) {
    case DK_FLOAT:
        return DT_F32;
    case DK_INT:
        return DT_I32;
    case DK_BOOLEAN:
        return DT_BOOL;
    }
    return DT_F32;
}

static const char *type_text(Arena *arena, DType dtype, const int64_t *dim, uint32_t rank)
{
    StrBuf sb = sb_new(arena);
    sb_puts(&sb, dtype_info(dtype)->name);
    for (uint32_t k = 0; k < rank; k++)
        sb_printf(&sb, "%s%lld", k ? ", " : "[", (long long)dim[k]);
    sb_puts(&sb, rank ? "]" : "");
    return sb_text(&sb);
}

const StTensor *tensor_find(Cli *cli, const StFile *file, const Want *want, Err *err)
{
    const StTensor *t = st_find(file, want->name);
    if (!t) {
        err_set(err, ERR_DATA, "there is no tensor `%s`, %s", want->name,
                type_text(cli->arena, want->dtype, want->dim, want->rank));
        return NULL;
    }
    bool same =
        t->rank == want->rank && dtype_info(t->dtype)->kind == dtype_info(want->dtype)->kind;
    for (uint32_t k = 0; same && k < t->rank; k++)
        same = t->dim[k] == want->dim[k];
    if (same)
        return t;
    err_set(err, ERR_DATA, "`%s` is %s, expected %s", want->name,
            type_text(cli->arena, t->dtype, t->dim, t->rank),
            type_text(cli->arena, want->dtype, want->dim, want->rank));
    return NULL;
}

/* Files promise no alignment. */
static double element(const StTensor *t, size_t i)
{
    uint64_t bits = 0;
    size_t size = dtype_info(t->dtype)->bytes;
    memcpy(&bits, (const char *)t->data + i * size, size);
    return dtype_load(t->dtype, &bits, 0);
}

static size_t element_count(const StTensor *t)
{
    return t->bytes / dtype_info(t->dtype)->bytes;
}

double *tensor_values(Arena *arena, const StTensor *t)
{
    size_t n = element_count(t);
    double *out = NEW_ARRAY(arena, double, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = element(t, i);
    return out;
}

void *tensor_convert(Arena *arena, const StTensor *t, DType to, Err *err)
{
    size_t n = element_count(t);
    /* whole cache lines, so that the runtime reads it in place or copies it without reading beyond */
    void *out = arena_alloc(arena, (n + 1) * dtype_info(to)->bytes);
    for (size_t i = 0; i < n; i++) {
        double x = element(t, i);
        dtype_store(to, out, i, x);
        if (!dtype_is_float(to) && dtype_load(to, out, i) != x) {
            err_set(err, ERR_DATA, "`%s`: %.0f does not fit %s", t->name, x, dtype_info(to)->name);
            return NULL;
        }
    }
    return out;
}

bool tensor_all_used(Cli *cli, const StFile *file, const Want *used, uint32_t n, Err *err)
{
    Sym *names = NEW_ARRAY(cli->arena, Sym, n + (size_t)1);
    for (uint32_t i = 0; i < n; i++)
        names[i] = used[i].name;
    for (uint32_t i = 0; i < file->n; i++) {
        uint32_t k = 0;
        while (k < n && strcmp(names[k], file->tensors[i].name) != 0)
            k++;
        if (k < n)
            continue;
        Sym near = sym_nearest(file->tensors[i].name, names, n);
        err_set(err, ERR_DATA, "nothing takes the tensor `%s`", file->tensors[i].name);
        return near ? err_help(err, "did you mean `%s`?", near) : false;
    }
    return true;
}

void tensor_push(Arena *arena, Tensors *out, const Want *what, const double *values)
{
    int64_t n = 1;
    for (uint32_t k = 0; k < what->rank; k++)
        n *= what->dim[k];
    size_t bytes = (size_t)n * dtype_info(what->dtype)->bytes;
    char *data = arena_alloc(arena, bytes + 1);
    for (int64_t i = 0; i < n; i++)
        dtype_store(what->dtype, data, (size_t)i, values[i]);
    StTensor t = {
        .name = what->name, .dtype = what->dtype, .rank = what->rank, .data = data, .bytes = bytes};
    memcpy(t.dim, what->dim, sizeof(t.dim));
    VEC_PUSH(arena, &out->all, t);
}

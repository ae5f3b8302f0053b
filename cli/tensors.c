/* tensors.c: conversions and checks of tensors from files. */
#include "tensors.h"

bool tensor_argument_type(const StTensor *t, bool own, DType *out, Err *err)
{
    DKind kind;
    if (!st_kind(t, &kind))
        return err_set(err, ERR_DATA, "`%s` has elements of type %s, which are no arguments",
                       t->name, st_type_name(t));
    *out = kind == DK_INT ? DT_I32 : kind == DK_BOOLEAN ? DT_BOOL : own ? t->dtype : DT_F32;
    return true;
}

static const char *type_text(Arena *arena, const char *element, const int64_t *dim, uint32_t rank)
{
    StrBuf sb = sb_new(arena);
    sb_puts(&sb, element);
    for (uint32_t k = 0; k < rank; k++)
        sb_printf(&sb, "%s%lld", k ? ", " : "[", (long long)dim[k]);
    sb_puts(&sb, rank ? "]" : "");
    return sb_text(&sb);
}

const StTensor *tensor_find(Cli *cli, const StFile *file, const Want *want, Err *err)
{
    const StTensor *t = st_find(file, want->name);
    const char *wanted =
        type_text(cli->arena, dtype_info(want->dtype)->name, want->dim, want->rank);
    if (!t) {
        err_set(err, ERR_DATA, "there is no tensor `%s`, %s", want->name, wanted);
        return NULL;
    }
    DKind kind;
    bool same = t->rank == want->rank && st_kind(t, &kind) && kind == dtype_info(want->dtype)->kind;
    for (uint32_t k = 0; same && k < t->rank; k++)
        same = t->dim[k] == want->dim[k];
    if (same)
        return t;
    err_set(err, ERR_DATA, "`%s` is %s, expected %s", want->name,
            type_text(cli->arena, st_type_name(t), t->dim, t->rank), wanted);
    return NULL;
}

static bool convert_int(const StTensor *t, size_t i, DType to, void *out, Err *err)
{
    int64_t x;
    int64_t bits = (int64_t)dtype_info(to)->bytes * 8;
    bool is_unsigned = to == DT_U8;
    bool fits = st_load_int(t, i, &x);
    if (fits && bits < 64)
        fits = is_unsigned ? x >= 0 && x < INT64_C(1) << bits
                           : x >= -(INT64_C(1) << (bits - 1)) && x < INT64_C(1) << (bits - 1);
    if (!fits)
        return err_set(err, ERR_DATA, "`%s`: element %zu does not fit %s", t->name, i,
                       dtype_info(to)->name);
    size_t size = dtype_info(to)->bytes; /* little-endian: the low bytes are the number */
    memcpy((char *)out + i * size, &x, size);
    return true;
}

void *tensor_convert(Arena *arena, const StTensor *t, DType to, Err *err)
{
    size_t n = st_count(t);
    /* whole cache lines, so that the runtime reads it in place or copies it without reading beyond */
    void *out = arena_alloc(arena, (n + 1) * dtype_info(to)->bytes);
    for (size_t i = 0; i < n; i++) {
        if (dtype_is_int(to)) {
            if (!convert_int(t, i, to, out, err))
                return NULL;
        } else {
            dtype_store(to, out, i, st_load(t, i));
        }
    }
    return out;
}

double *tensor_values(Arena *arena, const StTensor *t, Err *err)
{
    enum { EXACT_BITS = 53 };
    size_t n = st_count(t);
    double *out = NEW_ARRAY(arena, double, n + 1);
    DKind kind;
    bool whole = st_kind(t, &kind) && kind == DK_INT;
    for (size_t i = 0; i < n; i++) {
        int64_t x = 0, most = INT64_C(1) << EXACT_BITS;
        out[i] = st_load(t, i);
        if (whole && (!st_load_int(t, i, &x) || x > most || x < -most)) {
            err_set(err, ERR_DATA, "`%s`: element %zu has more than %d bits", t->name, i,
                    EXACT_BITS);
            return NULL;
        }
    }
    return out;
}

static int64_t wanted_count(const Want *what)
{
    int64_t n = 1;
    for (uint32_t k = 0; k < what->rank; k++)
        n *= what->dim[k];
    return n;
}

void tensor_push_typed(Arena *arena, Tensors *out, const Want *what, const void *data)
{
    size_t bytes = (size_t)wanted_count(what) * dtype_info(what->dtype)->bytes;
    StTensor t = {
        .name = what->name, .dtype = what->dtype, .rank = what->rank, .data = data, .bytes = bytes};
    memcpy(t.dim, what->dim, sizeof(t.dim));
    VEC_PUSH(arena, &out->all, t);
}

void tensor_push(Arena *arena, Tensors *out, const Want *what, const double *values)
{
    int64_t n = wanted_count(what);
    char *data = arena_alloc(arena, (size_t)n * dtype_info(what->dtype)->bytes + 1);
    for (int64_t i = 0; i < n; i++)
        dtype_store(what->dtype, data, (size_t)i, values[i]);
    tensor_push_typed(arena, out, what, data);
}

/* npy.c: one array in NumPy's .npy format, versions 1 to 3.
 *
 *     93 "NUMPY" major minor | header length, u16 (version 1) or u32 | header | elements
 *
 * The header is the text of a Python dictionary, `{'descr': '<f4', 'fortran_order': False,
 * 'shape': (60, 28), }`. It is parsed by hand and never evaluated; arrays of Python objects, which
 * would need pickle, are refused. */
#include "hostarray.h"
#include <ctype.h>

enum { HEADER_LIMIT = 1 << 16 };

/* A type code without its byte order, and the element type it is read as. */
typedef struct NpyType {
    const char *code;
    DType dtype;
    uint8_t size;
} NpyType;

static const NpyType types[] = {
    {"b1", DT_BOOL, 1}, {"u1", DT_U8, 1},  {"i1", DT_I8, 1},  {"i2", DT_I16, 2},
    {"i4", DT_I32, 4},  {"i8", DT_I64, 8}, {"f2", DT_F16, 2}, {"f4", DT_F32, 4},
    {"f8", DT_F64, 8},  {"u2", DT_I32, 2}, {"u4", DT_I64, 4},
};

typedef struct Text {
    const char *at, *end;
    const char *start;
} Text;

static void skip_blanks(Text *t)
{
    while (t->at < t->end && isspace((unsigned char)*t->at))
        t->at++;
}

/* Skips blanks, then takes the character if it is next. */
static bool take(Text *t, char c)
{
    skip_blanks(t);
    if (t->at == t->end || *t->at != c)
        return false;
    t->at++;
    return true;
}

static bool fail_expected(const Text *t, const char *what, Err *err)
{
    return err_set(err, ERR_DATA, "npy header: expected %s at character %td", what,
                   t->at - t->start);
}

/* A quoted string without escapes, at most size - 1 characters. */
static bool parse_string(Text *t, char *out, size_t size, Err *err)
{
    skip_blanks(t);
    if (t->at == t->end || (*t->at != '\'' && *t->at != '"'))
        return fail_expected(t, "a quoted string", err);
    char quote = *t->at++;
    size_t n = 0;
    while (t->at < t->end && *t->at != quote) {
        char c = *t->at++;
        if (n + 1 < size)
            out[n++] = isprint((unsigned char)c) ? c : '?';
    }
    out[n] = '\0';
    return take(t, quote) || fail_expected(t, "the end of the string", err);
}

static bool parse_word(Text *t, const char *word)
{
    skip_blanks(t);
    size_t n = strlen(word);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0)
        return false;
    t->at += n;
    return true;
}

static bool parse_extent(Text *t, int64_t *out, Err *err)
{
    skip_blanks(t);
    const char *start = t->at;
    int64_t value = 0;
    for (; t->at < t->end && isdigit((unsigned char)*t->at); t->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *t->at - '0', &value))
            return err_set(err, ERR_DATA, "npy header: an extent is beyond 2^63");
    if (t->at == start)
        return fail_expected(t, "an extent", err);
    if (t->at < t->end && *t->at == 'L') /* written by Python 2 */
        t->at++;
    *out = value;
    return true;
}

typedef struct Fields {
    bool has_descr, has_order, has_shape;
    char descr[32];
    bool fortran;
    uint32_t rank;
    int64_t dim[PLAN_MAX_RANK];
} Fields;

static bool parse_shape(Text *t, Fields *f, Err *err)
{
    f->has_shape = true;
    if (!take(t, '('))
        return fail_expected(t, "the tuple of extents", err);
    while (!take(t, ')')) {
        if (f->rank == PLAN_MAX_RANK)
            return err_set(err, ERR_DATA, "npy header: more than %d axes", (int)PLAN_MAX_RANK);
        if (!parse_extent(t, &f->dim[f->rank++], err))
            return false;
        if (!take(t, ',') && (t->at == t->end || *t->at != ')'))
            return fail_expected(t, "`,` or `)`", err);
    }
    return true;
}

static bool parse_descr(Text *t, Fields *f, Err *err)
{
    f->has_descr = true;
    skip_blanks(t);
    if (t->at < t->end && *t->at == '[')
        return err_set(err, ERR_DATA,
                       "the array has records with named fields, which are not read");
    return parse_string(t, f->descr, sizeof f->descr, err);
}

static bool parse_order(Text *t, Fields *f, Err *err)
{
    f->has_order = true;
    f->fortran = parse_word(t, "True");
    return f->fortran || parse_word(t, "False") || fail_expected(t, "True or False", err);
}

static bool parse_item(Text *t, Fields *f, Err *err)
{
    char key[32];
    if (!parse_string(t, key, sizeof key, err))
        return false;
    if (!take(t, ':'))
        return fail_expected(t, "`:`", err);
    if (strcmp(key, "descr") == 0)
        return parse_descr(t, f, err);
    if (strcmp(key, "fortran_order") == 0)
        return parse_order(t, f, err);
    if (strcmp(key, "shape") == 0)
        return f->has_shape ? err_set(err, ERR_DATA, "npy header: two shapes")
                            : parse_shape(t, f, err);
    return err_set(err, ERR_DATA, "npy header: unknown key `%s`", key);
}

static bool parse_dict(Text *t, Fields *f, Err *err)
{
    if (!take(t, '{'))
        return fail_expected(t, "`{`", err);
    while (!take(t, '}')) {
        if (!parse_item(t, f, err))
            return false;
        if (!take(t, ',') && (t->at == t->end || *t->at != '}'))
            return fail_expected(t, "`,` or `}`", err);
    }
    if (!f->has_descr || !f->has_order || !f->has_shape)
        return err_set(err, ERR_DATA, "npy header: `%s` is missing",
                       !f->has_descr   ? "descr"
                       : !f->has_order ? "fortran_order"
                                       : "shape");
    return true;
}

static bool find_type(NpyHeader *h, const char *descr, Err *err)
{
    const char *code = strchr("<>|=", descr[0]) && descr[0] ? descr + 1 : descr;
    for (size_t i = 0; i < COUNT(types); i++) {
        if (strcmp(types[i].code, code) != 0)
            continue;
        h->array.dtype = types[i].dtype;
        h->size = types[i].size;
        h->swap = descr[0] == '>' && h->size > 1;
        h->widen = dtype_info(types[i].dtype)->bytes != h->size;
        return true;
    }
    if (code[0] == 'O')
        return err_set(err, ERR_DATA,
                       "the array holds pickled Python objects, which are never read");
    return err_set(err, ERR_DATA,
                   "elements of type `%s` are not read; save the array as bool, an integer up to "
                   "64 bits or a float",
                   descr);
}

/* The place of the header's text; sets h->bytes. */
static bool find_text(NpyHeader *h, const uint8_t *data, size_t n, Err *err)
{
    if (n < 10 || memcmp(data, "\x93NUMPY", 6) != 0)
        return err_set(err, ERR_DATA, "not an npy array: its first bytes are wrong");
    if (data[6] < 1 || data[6] > 3)
        return err_set(err, ERR_DATA, "npy version %u, known are 1 to 3", data[6]);
    size_t length = data[8] | (size_t)data[9] << 8;
    h->bytes = 10;
    if (data[6] >= 2) {
        if (n < 12)
            return err_set(err, ERR_DATA, "truncated in the npy header: %zu bytes", n);
        length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
        h->bytes = 12;
    }
    if (length > HEADER_LIMIT)
        return err_set(err, ERR_DATA, "npy header of %zu bytes, at most %d are accepted", length,
                       (int)HEADER_LIMIT);
    if (length > n - h->bytes)
        return err_set(err, ERR_DATA, "truncated in the npy header: %zu of its %zu bytes",
                       n - h->bytes, length);
    h->bytes += length;
    return true;
}

bool npy_parse_header(NpyHeader *h, const uint8_t *data, size_t n, Err *err)
{
    *h = (NpyHeader){0};
    if (!find_text(h, data, n, err))
        return false;
    size_t from = data[6] >= 2 ? 12 : 10;
    const char *text = (const char *)data + from;
    Text t = {text, text + (h->bytes - from), text};
    Fields f = {0};
    if (!parse_dict(&t, &f, err))
        return false;
    skip_blanks(&t);
    if (t.at != t.end)
        return fail_expected(&t, "the end of the header", err);
    if (!find_type(h, f.descr, err) || !host_array_shape(&h->array, f.dim, f.rank, err))
        return false;
    if (f.fortran && f.rank > 1)
        return err_set(err, ERR_DATA,
                       "the array is stored column by column (Fortran order); save "
                       "numpy.ascontiguousarray of it");
    return true;
}

/* u2 -> i32, u4 -> i64. */
static void widen(void *out, const void *in, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = (const uint8_t *)in + i * size;
        uint64_t value = 0;
        memcpy(&value, from, size);
        memcpy((uint8_t *)out + i * size * 2, &value, size * 2);
    }
}

static bool convert(HostArray *out, const NpyHeader *h, const uint8_t *in, Err *err)
{
    size_t count = (size_t)host_array_count(out);
    out->owned = host_alloc(out->bytes, err);
    if (!out->owned)
        return false;
    out->data = out->owned;
    if (!h->widen) {
        host_swap(out->owned, in, count, h->size);
        return true;
    }
    uint8_t *native = host_alloc(count * h->size, err);
    if (!native)
        return false;
    if (h->swap)
        host_swap(native, in, count, h->size);
    else if (count)
        memcpy(native, in, count * h->size);
    widen(out->owned, native, count, h->size);
    free(native);
    return true;
}

bool npy_parse(HostArray *out, const uint8_t *data, size_t n, Err *err)
{
    *out = (HostArray){0};
    NpyHeader h;
    if (!npy_parse_header(&h, data, n, err))
        return false;
    *out = h.array;
    size_t want = out->bytes / dtype_info(out->dtype)->bytes * h.size;
    if (n - h.bytes != want) {
        Arena *arena = arena_new();
        err_set(err, ERR_DATA, "%s: the header says %s, which takes %zu bytes, and %zu follow it",
                n - h.bytes < want ? "truncated" : "too long", host_array_describe(arena, out),
                want, n - h.bytes);
        arena_free(arena);
        return false;
    }
    if (h.swap || h.widen) {
        if (convert(out, &h, data + h.bytes, err))
            return true;
        host_array_free(out);
        return false;
    }
    out->data = data + h.bytes;
    return true;
}

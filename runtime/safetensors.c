/* safetensors.c: reads the tensor file format of the same name.
 *
 *     u64 length N | N bytes of JSON | data
 *
 * Everything the format forbids is refused before a tensor is handed out: sizes that do not follow
 * from shape and dtype, holes, overlaps, bytes behind the end, repeated names. The file is mapped;
 * the format does not align its data, so readers of a tensor must not rely on alignment. */
#include "runtime.h"
#include "stset.h"
#include "sttype.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEADER = 100000000, MAX_TENSORS = 1 << 20, MAX_NAME = 1024 };

/* StFile is what callers see; names is ours. */
typedef struct File {
    StFile file;
    Map *names; /* hash of a name -> its tensor; a second name of the same hash is not in it */
    VEC(StFile *) parts; /* of a set: the files its tensors are in */
} File;

static bool bad_tensor(Err *err, const char *name, const char *what)
{
    return err_set(err, ERR_DATA, "tensor %.200s: %s", name, what);
}

/* The integer if it is one and not negative. */
static bool get_count(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_shape(const json_t *shape, const StType *type, StTensor *t, Err *err)
{
    if (!json_is_array(shape))
        return bad_tensor(err, t->name, "`shape` is not a list");
    if (json_array_size(shape) > PLAN_MAX_RANK)
        return bad_tensor(err, t->name, "more than 8 dimensions");
    t->rank = (uint32_t)json_array_size(shape);
    uint64_t count = 1, bits;
    for (uint32_t k = 0; k < t->rank; k++) {
        uint64_t n;
        if (!get_count(json_array_get(shape, k), &n))
            return bad_tensor(err, t->name, "an extent is not a natural number");
        t->dim[k] = (int64_t)n;
        if (__builtin_mul_overflow(count, n, &count))
            return bad_tensor(err, t->name, "the shape overflows");
    }
    if (__builtin_mul_overflow(count, type->bits, &bits))
        return bad_tensor(err, t->name, "the shape overflows");
    if (bits % 8)
        return bad_tensor(err, t->name, "its data is not a whole number of bytes");
    t->bytes = bits / 8;
    return true;
}

/* `data` is the start of the data section, `n` its length. */
typedef struct Section {
    const char *data;
    uint64_t n;
} Section;

static bool read_offsets(const json_t *offsets, const Section *in, StTensor *t, Err *err)
{
    uint64_t begin, end;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !get_count(json_array_get(offsets, 0), &begin) ||
        !get_count(json_array_get(offsets, 1), &end))
        return bad_tensor(err, t->name, "`data_offsets` is not a pair of natural numbers");
    if (begin > end || end > in->n)
        return bad_tensor(err, t->name, "its data lies outside the file");
    if (end - begin != t->bytes)
        return bad_tensor(err, t->name, "its data is not as long as its shape and dtype say");
    t->data = in->data + begin;
    return true;
}

static bool read_tensor(const json_t *value, const Section *in, StTensor *t, Err *err)
{
    if (!json_is_object(value))
        return bad_tensor(err, t->name, "its entry is not an object");
    if (strlen(t->name) > MAX_NAME)
        return bad_tensor(err, t->name, "the name is too long");
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype)
        return bad_tensor(err, t->name, "no `dtype`");
    const StType *type = st_type_find(dtype);
    if (!type)
        return err_set(err, ERR_DATA, "tensor %.200s: unknown dtype %.40s", t->name, dtype);
    t->dtype = type->dtype;
    t->type = type->name;
    return read_shape(json_object_get(value, "shape"), type, t, err) &&
           read_offsets(json_object_get(value, "data_offsets"), in, t, err);
}

static bool check_metadata(const json_t *meta, Err *err)
{
    if (json_is_null(meta))
        return true; /* as the reference has it: there is none */
    if (!json_is_object(meta))
        return err_set(err, ERR_DATA, "`__metadata__` is not an object");
    for (void *i = json_object_iter((json_t *)(uintptr_t)meta); i;
         i = json_object_iter_next((json_t *)(uintptr_t)meta, i))
        if (!json_is_string(json_object_iter_value(i)))
            return err_set(err, ERR_DATA, "`__metadata__` has a value that is not a text");
    return true;
}

static int by_place(const void *a, const void *b)
{
    const StTensor *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorted by place, the tensors must lie end to end and fill the section. */
static bool check_places(const StFile *f, const Section *in, Err *err)
{
    const char *at = in->data;
    for (uint32_t i = 0; i < f->n; i++) {
        const StTensor *t = &f->tensors[i];
        if (t->data != at)
            return bad_tensor(err, t->name,
                              (const char *)t->data < at ? "its data overlaps another tensor's"
                                                         : "there is a gap before its data");
        at += t->bytes;
    }
    if (at != in->data + in->n)
        return err_set(err, ERR_DATA, "%llu bytes behind the last tensor belong to none",
                       (unsigned long long)(in->data + in->n - at));
    return true;
}

static void add_names(File *file)
{
    const StFile *f = &file->file;
    for (uint32_t i = 0; i < f->n; i++)
        if (!map_get(file->names, hash_text(f->tensors[i].name)))
            map_put(file->names, hash_text(f->tensors[i].name), &f->tensors[i]);
}

static bool read_tensors(File *file, const json_t *header, const Section *in, Err *err)
{
    StFile *f = &file->file;
    json_t *root = (json_t *)(uintptr_t)header; /* iterating does not change it */
    if (json_object_size(root) > MAX_TENSORS)
        return err_set(err, ERR_DATA, "more than %d tensors", MAX_TENSORS);
    f->tensors = NEW_ARRAY(f->arena, StTensor, json_object_size(root) + 1);
    for (void *i = json_object_iter(root); i; i = json_object_iter_next(root, i)) {
        const char *name = json_object_iter_key(i);
        if (strcmp(name, "__metadata__") == 0) {
            if (!check_metadata(json_object_iter_value(i), err))
                return false;
            continue;
        }
        StTensor *t = &f->tensors[f->n++];
        t->name = arena_strdup(f->arena, name);
        if (!read_tensor(json_object_iter_value(i), in, t, err))
            return false;
    }
    qsort(f->tensors, f->n, sizeof(*f->tensors), by_place);
    add_names(file);
    return check_places(f, in, err);
}

static bool read_file(File *file, const char *map, uint64_t all, Err *err)
{
    uint64_t n;
    if (all < sizeof(n))
        return err_set(err, ERR_DATA, "not a safetensors file: only %llu bytes",
                       (unsigned long long)all);
    memcpy(&n, map, sizeof(n));
    if (n > MAX_HEADER)
        return err_set(err, ERR_DATA, "not a safetensors file: a header of %llu bytes",
                       (unsigned long long)n);
    if (n > all - sizeof(n))
        return err_set(err, ERR_DATA, "truncated: %llu bytes, its header alone has %llu",
                       (unsigned long long)all, (unsigned long long)n);
    if (!n || map[sizeof(n)] != '{')
        return err_set(err, ERR_DATA, "not a safetensors file: its header does not begin with {");
    json_error_t why;
    json_t *header = json_loadb(map + sizeof(n), n, JSON_REJECT_DUPLICATES, &why);
    if (!header)
        return err_set(err, ERR_DATA, "the header is not valid: %s", why.text);
    const Section in = {map + sizeof(n) + n, all - sizeof(n) - n};
    bool ok = read_tensors(file, header, &in, err);
    json_decref(header);
    return ok;
}

static bool map_file(StFile *f, int fd, Err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_FILE, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_FILE, "not a regular file");
    if (st.st_size == 0)
        return true;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return err_set(err, ERR_FILE, "%s", strerror(errno));
    f->map = map;
    f->map_bytes = (size_t)st.st_size;
    return true;
}

static File *new_file(void)
{
    Arena *arena = arena_new();
    File *file = NEW(arena, File);
    file->file.arena = arena;
    file->names = map_new(arena);
    return file;
}

StFile *st_from_bytes(const void *data, size_t n, Err *err)
{
    File *file = new_file();
    if (read_file(file, data, n, err))
        return &file->file;
    st_close(&file->file);
    return NULL;
}

StFile *st_open(const char *path, Err *err)
{
    File *file = new_file();
    StFile *f = &file->file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 || err_set(err, ERR_FILE, "%s", strerror(errno));
    ok = ok && map_file(f, fd, err) && read_file(file, f->map, f->map_bytes, err);
    if (fd >= 0)
        close(fd);
    if (ok)
        return f;
    err_context(err, "%s", path);
    st_close(f);
    return NULL;
}

StFile *st_set_new(void)
{
    return &new_file()->file;
}

void st_set_add(StFile *set, StFile *part)
{
    File *file = (File *)(void *)set;
    VEC_PUSH(set->arena, &file->parts, part);
}

void st_set_finish(StFile *set, const StTensor *tensors, uint32_t n)
{
    set->tensors = COPY_ARRAY(set->arena, StTensor, tensors, n);
    set->n = n;
    add_names((File *)(void *)set);
}

void st_close(StFile *f)
{
    if (!f)
        return;
    const File *file = (const File *)(const void *)f;
    for (uint32_t i = 0; i < file->parts.n; i++)
        st_close(file->parts.at[i]);
    if (f->map)
        munmap(f->map, f->map_bytes);
    arena_free(f->arena);
}

const StTensor *st_find(const StFile *f, const char *name)
{
    const File *file = (const File *)(const void *)f;
    const StTensor *t = map_get(file->names, hash_text(name));
    if (!t || strcmp(t->name, name) == 0)
        return t;
    for (uint32_t i = 0; i < f->n; i++)
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    return NULL;
}

/* safetensors_write.c: writes tensor files as the reference implementation lays them out.
 *
 * Wider dtypes come first, then names in order, so that every tensor is aligned to its own element
 * size when the header is padded to 8 bytes. The data goes straight from the caller's memory to the
 * file, which replaces the old one only when all of it is on disk. */
#include "stwrite.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { MAX_TENSORS = 1 << 20, MAX_NAME = 1024 }; /* what readers take */

/* The reference's order of dtypes; later comes first in the file. */
static const uint8_t dtype_order[DT_COUNT] = {
    [DT_BOOL] = 0, [DT_U8] = 1,   [DT_I8] = 2,  [DT_F8E5M2] = 3, [DT_F8E4M3] = 4, [DT_I16] = 5,
    [DT_F16] = 6,  [DT_BF16] = 7, [DT_I32] = 8, [DT_F32] = 9,    [DT_F64] = 10,   [DT_I64] = 11,
};

static int in_file_order(const void *a, const void *b)
{
    const StTensor *x = *(const StTensor *const *)a, *y = *(const StTensor *const *)b;
    if (dtype_order[x->dtype] != dtype_order[y->dtype])
        return dtype_order[x->dtype] > dtype_order[y->dtype] ? -1 : 1;
    return strcmp(x->name, y->name);
}

static json_t *describe(const StTensor *t, uint64_t begin)
{
    json_t *shape = json_array();
    for (uint32_t k = 0; k < t->rank; k++)
        json_array_append_new(shape, json_integer(t->dim[k]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_info(t->dtype)->safetensors, "shape",
                     shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)begin + (json_int_t)t->bytes);
}

static bool add_tensors(json_t *root, const StTensor *const *order, uint32_t n, Err *err)
{
    uint64_t at = 0;
    if (n > MAX_TENSORS)
        return err_set(err, ERR_DATA, "more than %d tensors", MAX_TENSORS);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = order[i]->name;
        if (strlen(name) > MAX_NAME)
            return err_set(err, ERR_DATA, "the name of tensor %.80s.. is too long", name);
        if (json_object_get(root, name) || strcmp(name, "__metadata__") == 0)
            return err_set(err, ERR_DATA, "two tensors are called %s", name);
        if (json_object_set_new(root, name, describe(order[i], at)) != 0)
            return err_set(err, ERR_DATA, "the name of a tensor is not valid UTF-8");
        at += order[i]->bytes;
    }
    return true;
}

/* The JSON, padded so that the data begins at a multiple of 8. NULL on error. */
static char *make_header(Arena *arena, const StTensor *const *order, uint32_t n, json_t *metadata,
                         Err *err)
{
    json_t *root = json_object();
    if (metadata)
        json_object_set(root, "__metadata__", metadata);
    char *text = add_tensors(root, order, n, err) ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) {
        err_set(err, ERR_DEVICE, "no memory for the header");
        return NULL;
    }
    int pad = (int)((8 - strlen(text) % 8) % 8);
    char *padded = arena_printf(arena, "%s%*s", text, pad, "");
    free(text);
    return padded;
}

/* A file in the making. */
typedef struct Out {
    const char *path, *header;
    const StTensor *const *order;
    uint32_t n;
    XXH3_state_t *hash; /* of what was written; NULL: nobody asks */
    uint64_t bytes;
} Out;

static bool put(Out *out, int fd, const void *data, size_t n)
{
    const char *from = data;
    while (n) {
        ssize_t got = write(fd, from, n > (1u << 30) ? 1u << 30 : n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        if (out->hash)
            XXH3_128bits_update(out->hash, from, (size_t)got);
        out->bytes += (uint64_t)got;
        from += got;
        n -= (size_t)got;
    }
    return true;
}

static bool put_tensor(Out *out, int fd, const StTensor *t, Err *err)
{
    if (!t->lend)
        return put(out, fd, t->data, t->bytes);
    const void *data = t->lend(t->user, err);
    bool ok = data && put(out, fd, data, t->bytes);
    int why = errno;
    ok = (!data || t->give_back(t->user, err)) && ok;
    errno = why;
    return ok;
}

static bool put_all(Out *out, int fd, Err *err)
{
    uint64_t length = strlen(out->header);
    if (!put(out, fd, &length, sizeof(length)) || !put(out, fd, out->header, length))
        return false;
    for (uint32_t i = 0; i < out->n; i++)
        if (!put_tensor(out, fd, out->order[i], err))
            return false;
    return fsync(fd) == 0;
}

static bool failed(Err *err, const char *path)
{
    ErrKind kind = errno == ENOSPC || errno == EDQUOT ? ERR_DEVICE : ERR_FILE;
    return err_set(err, kind, "cannot write %s: %s", path, strerror(errno));
}

static bool replace(Arena *arena, Out *out, Err *err)
{
    char *temp = arena_printf(arena, "%s.tmp-XXXXXX", out->path);
    int fd = mkstemp(temp);
    if (fd < 0)
        return failed(err, out->path);
    bool ok = put_all(out, fd, err) || failed(err, out->path);
    if (close(fd) != 0 && ok)
        ok = failed(err, out->path);
    if (ok && (chmod(temp, 0644) != 0 || rename(temp, out->path) != 0))
        ok = failed(err, out->path);
    if (!ok)
        unlink(temp);
    return ok && file_fsync_dir(path_dir(arena, out->path), err);
}

/* Pairs key, value. NULL when a text is not UTF-8. */
static json_t *make_metadata(const char *const *pairs, Err *err)
{
    json_t *object = json_object();
    for (; *pairs; pairs += 2) {
        if (json_object_set_new(object, pairs[0], json_string(pairs[1])) == 0)
            continue;
        json_decref(object);
        err_set(err, ERR_DATA, "metadata is not valid UTF-8");
        return NULL;
    }
    return object;
}

static bool write_file(Out *out, const StTensor *tensors, json_t *metadata, Err *err)
{
    Arena *arena = arena_new();
    const StTensor **order = NEW_ARRAY(arena, const StTensor *, out->n + (size_t)1);
    for (uint32_t i = 0; i < out->n; i++)
        order[i] = &tensors[i];
    qsort(order, out->n, sizeof(*order), in_file_order);
    out->order = order;
    out->header = make_header(arena, order, out->n, metadata, err);
    bool ok = out->header && replace(arena, out, err);
    arena_free(arena);
    return ok;
}

bool st_write(const char *path, const StTensor *tensors, uint32_t n, const char *const *metadata,
              Err *err)
{
    json_t *meta = NULL;
    if (metadata && !(meta = make_metadata(metadata, err)))
        return false;
    Out out = {.path = path, .n = n};
    bool ok = write_file(&out, tensors, meta, err);
    json_decref(meta);
    return ok;
}

bool st_write_digest(const char *path, const StTensor *tensors, uint32_t n, StDigest *digest,
                     Err *err)
{
    Out out = {.path = path, .n = n, .hash = XXH3_createState()};
    if (!out.hash)
        return err_set(err, ERR_DEVICE, "no memory for a checksum");
    XXH3_128bits_reset(out.hash);
    bool ok = write_file(&out, tensors, NULL, err);
    XXH128_hash_t h = XXH3_128bits_digest(out.hash);
    XXH3_freeState(out.hash);
    digest->bytes = out.bytes;
    snprintf(digest->hash, sizeof digest->hash, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
             (uint64_t)h.low64);
    return ok;
}

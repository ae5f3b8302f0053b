/* stset.c: weights that lie in several safetensors files: the index says which tensor is in which file.
 *
 * The index comes from whoever made the weights, so it is checked as the files are: it can name files
 * beside it only, and each must have what it promises. Tensors that it does not list do not exist. */
#include "stset.h"
#include <dirent.h>
#include <jansson.h>

enum { MAX_INDEX = 1 << 26, MAX_TENSORS = 1 << 20, MAX_PARTS = 10000 };

static const char suffix[] = ".safetensors";
static const char index_suffix[] = ".index.json";

typedef struct Set {
    const char *dir;
    StFile *file;
    Map *parts; /* file name -> StFile */
    VEC(StTensor) tensors;
} Set;

static StFile *part(Set *s, const char *name, Err *err)
{
    uint64_t key = hash_text(name);
    StFile *known = map_get(s->parts, key);
    if (known)
        return known;
    bool plain = *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    if (!plain) {
        err_set(err, ERR_DATA, "%.200s is no name of a file beside the index", name);
        return NULL;
    }
    if (map_count(s->parts) == MAX_PARTS) {
        err_set(err, ERR_DATA, "more than %d files", MAX_PARTS);
        return NULL;
    }
    StFile *f = st_open(path_join(s->file->arena, s->dir, name), err);
    if (f) {
        st_set_add(s->file, f);
        map_put(s->parts, key, f);
    }
    return f;
}

static bool add_tensor(Set *s, const char *name, const json_t *where, Err *err)
{
    const char *file = json_string_value(where);
    if (!file)
        return err_set(err, ERR_DATA, "the file of tensor %.200s is not a text", name);
    StFile *f = part(s, file, err);
    const StTensor *t = f ? st_find(f, name) : NULL;
    if (!f)
        return false;
    if (!t)
        return err_set(err, ERR_DATA, "tensor %.200s is not in %.200s", name, file);
    VEC_PUSH(s->file->arena, &s->tensors, *t);
    return true;
}

static bool read_map(Set *s, json_t *root, Err *err)
{
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map))
        return err_set(err, ERR_DATA, "it has no `weight_map`");
    if (json_object_size(map) > MAX_TENSORS)
        return err_set(err, ERR_DATA, "more than %d tensors", MAX_TENSORS);
    for (void *i = json_object_iter(map); i; i = json_object_iter_next(map, i))
        if (!add_tensor(s, json_object_iter_key(i), json_object_iter_value(i), err))
            return false;
    st_set_finish(s->file, s->tensors.at, s->tensors.n);
    return true;
}

static bool read_index(Set *s, const char *path, Err *err)
{
    Bytes text;
    json_error_t why;
    if (!file_read(s->file->arena, path, MAX_INDEX, &text, err))
        return false;
    json_t *root = json_loadb(text.data, text.n, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(err, ERR_DATA, "not valid JSON: %s", why.text);
    bool ok = read_map(s, root, err);
    json_decref(root);
    return ok;
}

StFile *st_index_open(const char *path, Err *err)
{
    Set s = {.file = st_set_new()};
    s.dir = path_dir(s.file->arena, path);
    s.parts = map_new(s.file->arena);
    if (read_index(&s, path, err))
        return s.file;
    err_context(err, "%s", path);
    st_close(s.file);
    return NULL;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

/* The only safetensors file of a folder; NULL when there are none or several. */
static const char *only_file(Arena *arena, const char *dir)
{
    DIR *d = opendir(dir);
    const char *found = NULL;
    uint32_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (ends_in(e->d_name, suffix) && n++ == 0)
            found = path_join(arena, dir, e->d_name);
    if (d)
        closedir(d);
    return n == 1 ? found : NULL;
}

static const char *in_folder(Arena *arena, const char *dir)
{
    static const char *const usual[] = {"model.safetensors", "model.safetensors.index.json",
                                        "weights.safetensors"};
    for (size_t i = 0; i < COUNT(usual); i++) {
        const char *path = path_join(arena, dir, usual[i]);
        if (file_exists(path))
            return path;
    }
    return only_file(arena, dir);
}

StFile *st_open_weights(const char *path, Err *err)
{
    Arena *arena = arena_new();
    const char *file = file_is_dir(path) ? in_folder(arena, path) : path;
    StFile *f = NULL;
    if (!file) {
        err_set(err, ERR_FILE, "%s has no weights", path);
        err_help(err, "a folder has model.safetensors, model.safetensors.index.json, "
                      "weights.safetensors, or one safetensors file");
    } else if (ends_in(file, index_suffix)) {
        f = st_index_open(file, err);
    } else {
        f = st_open(file, err);
    }
    arena_free(arena);
    return f;
}

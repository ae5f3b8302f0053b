/* fingerprint.c: data.json of a run.
 *
 * Of a file of up to 1 MiB all bytes count; of a larger one its length, both ends and evenly spread
 * blocks, so that the look at a file of any size takes well under a second. Names, folders and dates do
 * not count: data may be moved. A change between the blocks that leaves the length as it was is
 * not seen. */
#include "fingerprint.h"
#include "hostarray.h"
#include <inttypes.h>
#include <jansson.h>

enum {
    FORMAT = 1,
    JSON_LIMIT = 1 << 22,
    WHOLE = 1 << 20, /* files of so many bytes count as a whole */
    END = 1 << 16,   /* bytes of both ends */
    BLOCKS = 64,
    BLOCK = 1 << 12
};

typedef struct Print {
    const char *name; /* of the data block */
    int64_t files, bytes, rows;
    char hash[20];
} Print;

typedef VEC(Print) Prints;

/* ---- of files ---- */

static uint64_t hash_file(const HostFile *file)
{
    const uint8_t *data = file->data;
    size_t n = file->n;
    if (n <= WHOLE)
        return hash_mix(n, n ? hash_bytes(data, n) : 0);
    uint64_t hash = hash_mix(n, hash_bytes(data, END));
    for (size_t k = 1; k <= BLOCKS; k++)
        hash = hash_mix(hash, hash_bytes(data + n / (BLOCKS + 1) * k, BLOCK));
    return hash_mix(hash, hash_bytes(data + n - END, END));
}

static bool print_source(Print *out, const DataSource *source, Err *err)
{
    uint64_t hash = 0;
    *out = (Print){.name = source->name, .files = source->nfile, .rows = source->rows};
    for (uint32_t i = 0; i < source->nfile; i++) {
        HostFile file;
        if (!host_file_open(&file, source->file[i], err))
            return false;
        hash = hash_mix(hash, hash_file(&file));
        out->bytes += (int64_t)file.n;
        host_file_close(&file);
    }
    snprintf(out->hash, sizeof out->hash, "%016" PRIx64, hash);
    return true;
}

static bool print_all(Arena *arena, const Dataset *ds, Prints *out, Err *err)
{
    for (uint32_t k = 0; k < data_sources(ds); k++) {
        DataSource source = data_source(ds, k);
        Print p;
        if (!print_source(&p, &source, err))
            return err_context(err, "data `%s`", source.name);
        VEC_PUSH(arena, out, p);
    }
    return true;
}

/* ---- JSON ---- */

static json_t *to_json(const Prints *prints)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < prints->n; i++) {
        const Print *p = &prints->at[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:s}", "name", p->name, "files",
                                              (json_int_t)p->files, "bytes", (json_int_t)p->bytes,
                                              "rows", (json_int_t)p->rows, "hash", p->hash));
    }
    return json_pack("{s:i, s:o}", "format", (int)FORMAT, "data", list);
}

static bool from_json(Arena *arena, const json_t *json, Prints *out)
{
    const json_t *format = json_object_get(json, "format"), *list = json_object_get(json, "data");
    if (json_integer_value(format) != FORMAT || !json_is_array(list))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name, *hash;
        json_int_t files, bytes, rows;
        if (json_unpack(json_array_get(list, i), "{s:s, s:I, s:I, s:I, s:s}", "name", &name,
                        "files", &files, "bytes", &bytes, "rows", &rows, "hash", &hash) != 0)
            return false;
        Print p = {arena_strdup(arena, name), files, bytes, rows, ""};
        snprintf(p.hash, sizeof p.hash, "%s", hash);
        VEC_PUSH(arena, out, p);
    }
    return true;
}

bool fingerprint_write(const Dataset *ds, const char *run_dir, Err *err)
{
    Arena *arena = arena_new();
    Prints prints = {0};
    bool ok = print_all(arena, ds, &prints, err);
    json_t *json = ok ? to_json(&prints) : NULL;
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    if (ok)
        ok = text ? file_write_atomic(path_join(arena, run_dir, "data.json"), text, strlen(text),
                                      err)
                  : err_set(err, ERR_DEVICE, "not enough memory for data.json");
    free(text);
    json_decref(json);
    arena_free(arena);
    return ok;
}

/* ---- comparing ---- */

static bool read_prints(Arena *arena, const char *path, Prints *out, Err *err)
{
    Bytes text;
    json_error_t why;
    if (!file_read(arena, path, JSON_LIMIT, &text, err))
        return false;
    json_t *json = json_loadb(text.data, text.n, JSON_REJECT_DUPLICATES, &why);
    bool ok = json && from_json(arena, json, out);
    json_decref(json);
    if (ok)
        return true;
    err_set(err, ERR_DATA, "%s: %s", path, json ? "format or data is missing or wrong" : why.text);
    return err_help(err, "remove it, and the run goes on without knowing whether its data changed");
}

static bool changed(const Print *was, const Print *is, Err *err)
{
    if (was->files == is->files && was->bytes == is->bytes)
        err_set(err, ERR_DATA,
                "data `%s` has changed since the run began: its files are as long as before and "
                "hold something else",
                is->name);
    else
        err_set(err, ERR_DATA,
                "data `%s` has changed since the run began: %lld rows (%lld bytes in %lld files) "
                "were %lld rows (%lld bytes in %lld files)",
                is->name, (long long)is->rows, (long long)is->bytes, (long long)is->files,
                (long long)was->rows, (long long)was->bytes, (long long)was->files);
    return err_help(err,
                    "put the old data back, train in another folder (--run), or go on here with "
                    "the new data (--fork)");
}

bool fingerprint_check(const Dataset *ds, const char *run_dir, Err *err)
{
    Arena *arena = arena_new();
    const char *path = path_join(arena, run_dir, "data.json");
    Prints was = {0}, is = {0};
    if (!file_exists(path)) {
        arena_free(arena);
        return fingerprint_write(ds, run_dir, err);
    }
    bool ok = print_all(arena, ds, &is, err) && read_prints(arena, path, &was, err);
    if (ok && was.n != is.n)
        ok = err_set(err, ERR_DATA, "%s is about other data", path);
    for (uint32_t i = 0; ok && i < is.n; i++) {
        const Print *a = &was.at[i], *b = &is.at[i];
        if (a->files != b->files || a->bytes != b->bytes || strcmp(a->hash, b->hash) != 0)
            ok = changed(a, b, err);
    }
    arena_free(arena);
    return ok;
}

/* manifest.c: manifest.json of a checkpoint.
 *
 * It is written after the files it describes and before the folder gets its final name; a folder
 * whose files do not have the sizes and hashes of its manifest is not a checkpoint. 64-bit numbers
 * that may exceed JSON's safe range are written as text. */
#include "checkpoint.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <xxhash.h>

enum { FORMAT = 1, MANIFEST_LIMIT = 1 << 20, CHUNK = 1 << 16 };

const char *const manifest_names[MANIFEST_FILES] = {"weights.safetensors", "state.safetensors"};

/* ---- hashing ---- */

static bool hash_stream(ManifestFile *out, FILE *in, XXH3_state_t *state)
{
    char chunk[CHUNK];
    size_t n;
    XXH3_128bits_reset(state);
    out->bytes = 0;
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0) {
        XXH3_128bits_update(state, chunk, n);
        out->bytes += n;
    }
    XXH128_hash_t h = XXH3_128bits_digest(state);
    snprintf(out->hash, sizeof out->hash, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
             (uint64_t)h.low64);
    return !ferror(in);
}

static bool measure_file(ManifestFile *out, const char *path, Err *err)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return err_set(err, ERR_FILE, "cannot open %s: %s", path, strerror(errno));
    XXH3_state_t *state = XXH3_createState();
    bool ok = state && hash_stream(out, in, state);
    if (!ok)
        err_set(err, ERR_FILE, "cannot read %s: %s", path, strerror(errno));
    XXH3_freeState(state);
    fclose(in);
    return ok;
}

static bool measure_all(Manifest *m, const char *dir, Err *err)
{
    Arena *arena = arena_new();
    bool ok = true;
    for (int i = 0; ok && i < MANIFEST_FILES; i++)
        ok = measure_file(&m->files[i], path_join(arena, dir, manifest_names[i]), err);
    arena_free(arena);
    return ok;
}

bool manifest_verify(const Manifest *m, const char *dir, Err *err)
{
    Manifest found = {0};
    if (!measure_all(&found, dir, err))
        return false;
    for (int i = 0; i < MANIFEST_FILES; i++) {
        const ManifestFile *want = &m->files[i], *have = &found.files[i];
        if (have->bytes != want->bytes)
            return err_set(err, ERR_DATA, "%s/%s has %" PRIu64 " bytes, its manifest says %" PRIu64,
                           dir, want->name, have->bytes, want->bytes);
        if (strcmp(have->hash, want->hash) != 0)
            return err_set(err, ERR_DATA, "%s/%s is corrupt: its hash is %s, its manifest says %s",
                           dir, want->name, have->hash, want->hash);
    }
    return true;
}

/* ---- JSON ---- */

/* Of everything the manifest says: a flipped digit of a position must not go unnoticed. */
static void format_check(char out[20], const Manifest *m)
{
    uint64_t hash = hash_mix(m->plan, m->pos.seed);
    hash = hash_mix(hash_mix(hash, (uint64_t)m->pos.step), (uint64_t)m->pos.sample);
    for (int i = 0; i < MANIFEST_FILES; i++)
        hash = hash_mix(hash_mix(hash, m->files[i].bytes), hash_text(m->files[i].hash));
    snprintf(out, 20, "%016" PRIx64, hash);
}

static json_t *to_json(const Manifest *m)
{
    char plan[24], seed[24], check[20];
    snprintf(plan, sizeof plan, "%016" PRIx64, m->plan);
    snprintf(seed, sizeof seed, "%" PRIu64, m->pos.seed);
    format_check(check, m);
    json_t *files = json_array();
    for (int i = 0; i < MANIFEST_FILES; i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", m->files[i].name, "bytes",
                                               (json_int_t)m->files[i].bytes, "xxh3_128",
                                               m->files[i].hash));
    return json_pack("{s:i, s:s, s:I, s:I, s:s, s:o, s:s}", "format", (int)FORMAT, "plan", plan,
                     "step", (json_int_t)m->pos.step, "sample", (json_int_t)m->pos.sample, "seed",
                     seed, "files", files, "check", check);
}

bool manifest_write(const Manifest *m, const char *dir, Err *err)
{
    json_t *json = to_json(m);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text)
        return err_set(err, ERR_DEVICE, "not enough memory for a manifest");
    Arena *arena = arena_new();
    const char *line = arena_printf(arena, "%s\n", text);
    free(text);
    bool ok = file_write_atomic(path_join(arena, dir, "manifest.json"), line, strlen(line), err);
    arena_free(arena);
    return ok;
}

/* Text as to_json writes it, and nothing else: no sign, blank or other spelling. */
static bool parse_u64(const char *text, int base, uint64_t *out)
{
    char again[24];
    *out = strtoull(text, NULL, base);
    snprintf(again, sizeof again, base == 16 ? "%016" PRIx64 : "%" PRIu64, *out);
    return strcmp(text, again) == 0;
}

static bool read_file_entry(ManifestFile *out, const json_t *json, const char *name)
{
    const char *named = NULL, *hash = NULL;
    json_int_t bytes = -1;
    if (json_unpack((json_t *)(uintptr_t)json, "{s:s, s:I, s:s}", "name", &named, "bytes", &bytes,
                    "xxh3_128", &hash) != 0)
        return false;
    if (strcmp(named, name) != 0 || bytes < 0 || strlen(hash) != sizeof out->hash - 1)
        return false;
    out->name = name;
    out->bytes = (uint64_t)bytes;
    memcpy(out->hash, hash, sizeof out->hash);
    return true;
}

static bool from_json(Manifest *m, json_t *json, Err *err)
{
    int format = 0;
    json_int_t step = -1, sample = -1;
    const char *plan = NULL, *seed = NULL, *check = NULL;
    json_t *files = NULL;
    if (json_unpack(json, "{s:i}", "format", &format) != 0 || format != FORMAT)
        return err_set(err, ERR_DATA, "format %d, this program reads format %d", format,
                       (int)FORMAT);
    if (json_unpack(json, "{s:s, s:I, s:I, s:s, s:o, s:s}", "plan", &plan, "step", &step, "sample",
                    &sample, "seed", &seed, "files", &files, "check", &check) != 0)
        return err_set(err, ERR_DATA, "plan, step, sample, seed, files or check is missing");
    if (step < 0 || sample < 0 || !parse_u64(plan, 16, &m->plan) ||
        !parse_u64(seed, 10, &m->pos.seed))
        return err_set(err, ERR_DATA, "plan, step, sample or seed is not a number it can be");
    m->pos.step = step;
    m->pos.sample = sample;
    if (json_array_size(files) != MANIFEST_FILES)
        return err_set(err, ERR_DATA, "%zu files, expected %d", json_array_size(files),
                       (int)MANIFEST_FILES);
    for (size_t i = 0; i < MANIFEST_FILES; i++)
        if (!read_file_entry(&m->files[i], json_array_get(files, i), manifest_names[i]))
            return err_set(err, ERR_DATA, "the entry of %s is wrong", manifest_names[i]);
    char want[20];
    format_check(want, m);
    if (strcmp(check, want) != 0)
        return err_set(err, ERR_DATA, "corrupt: its check is %s, its contents give %s", check,
                       want);
    return true;
}

static bool parse(Manifest *m, Bytes text, Err *err)
{
    json_error_t why;
    json_t *json = json_loadb(text.data, text.n, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        return err_set(err, ERR_DATA, "line %d, byte %d: %s", why.line, why.position, why.text);
    bool ok = from_json(m, json, err);
    json_decref(json);
    return ok;
}

bool manifest_read(Manifest *m, const char *dir, Err *err)
{
    *m = (Manifest){0};
    Arena *arena = arena_new();
    const char *path = path_join(arena, dir, "manifest.json");
    Bytes text;
    bool ok = file_read(arena, path, MANIFEST_LIMIT, &text, err);
    if (ok && !parse(m, text, err))
        ok = err_context(err, "%s", path);
    arena_free(arena);
    return ok;
}

/* records.c: reads and writes tuning records. */
#include "records.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 1 << 14, TEXT_BYTES = 256, WORD_DIGITS = 16 };

typedef struct Line {
    Arena *arena;
    const char *path;
    uint32_t number;
    Err *err;
} Line;

static bool bad(const Line *l, const char *what)
{
    err_set(l->err, ERR_DATA, "%s:%u: %s", l->path, l->number, what);
    return err_help(l->err, "remove the line, or the file: `mdl tune` makes another");
}

static const char *text_of(const Line *l, const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    return text && strlen(text) < TEXT_BYTES ? arena_strdup(l->arena, text) : NULL;
}

/* n hexadecimal digits. */
static bool digits_of(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

static bool problem_of(const char *text, uint64_t *out)
{
    char *end;
    if (!text || !digits_of(text, WORD_DIGITS))
        return false;
    *out = strtoull(text, &end, 16);
    return *end == '\0';
}

static bool config_of(const Line *l, const json_t *list, TuningRecord *out)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || !n || n > RECORD_INTS)
        return false;
    int64_t *ints = NEW_ARRAY(l->arena, int64_t, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(list, i);
        ints[i] = json_integer_value(x);
        if (!json_is_integer(x) || ints[i] < 0 || ints[i] > INT32_MAX)
            return false;
    }
    out->config = ints;
    out->n = (uint32_t)n;
    return true;
}

static bool library_of(const json_t *root, TuningRecord *out)
{
    const json_t *l = json_object_get(root, "library");
    const json_t *version = json_object_get(l, "cublaslt"), *room = json_object_get(l, "workspace");
    const char *text = json_string_value(json_object_get(l, "algorithm"));
    out->by_library = l != NULL;
    if (!l)
        return true;
    if (!json_is_integer(version) || !json_is_integer(room) || !text ||
        json_integer_value(version) < 1 || json_integer_value(room) < 0 ||
        json_integer_value(room) > INT32_MAX ||
        !digits_of(text, (size_t)LIBRARY_WORDS * WORD_DIGITS))
        return false;
    out->library = (LibraryChoice){.version = (uint64_t)json_integer_value(version),
                                   .workspace = (uint64_t)json_integer_value(room)};
    for (size_t i = 0; i < LIBRARY_WORDS; i++) {
        char word[WORD_DIGITS + 1] = {0};
        memcpy(word, text + i * WORD_DIGITS, WORD_DIGITS);
        out->library.algorithm[i] = strtoull(word, NULL, 16);
    }
    return true;
}

/* A time that may be missing. */
static bool seconds_of(const json_t *root, const char *key, double *out)
{
    const json_t *x = json_object_get(root, key);
    *out = x ? json_number_value(x) : 0;
    return (!x || json_is_number(x)) && isfinite(*out) && *out >= 0;
}

static bool read_fields(const Line *l, const json_t *root, TuningRecord *out)
{
    KernelClass cls;
    const char *device = json_object_get(root, "device") ? text_of(l, root, "device") : "";
    *out = (TuningRecord){.cls = text_of(l, root, "class"),
                          .isa = text_of(l, root, "isa"),
                          .device = device,
                          .line = l->number};
    if (!problem_of(text_of(l, root, "problem"), &out->problem))
        return bad(l, "`problem` is no hash of 16 digits");
    if (!out->cls || !class_find(out->cls, &cls))
        return bad(l, "`class` is no class of kernels");
    if (!out->isa || !*out->isa)
        return bad(l, "`isa` is no instruction set");
    if (!config_of(l, json_object_get(root, "config"), out))
        return bad(l, "`config` is no list of 1 to 64 numbers from 0 on");
    if (!library_of(root, out))
        return bad(l, "`library` is no choice of cuBLASLt");
    if (!seconds_of(root, "seconds", &out->seconds) || !seconds_of(root, "usual", &out->usual))
        return bad(l, "`seconds` or `usual` is no time");
    return device || bad(l, "`device` is no name");
}

static bool read_line(Records *r, const Line *l, const char *text, size_t n)
{
    if (strspn(text, " \t\r") >= n)
        return true;
    if (n > LINE_BYTES)
        return bad(l, "the line is too long");
    json_error_t why;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    const json_t *version = json_object_get(root, "mdl.tuning");
    TuningRecord record;
    bool ok = true;
    if (!json_is_integer(version))
        ok = bad(l, root ? "this is no tuning record" : "this is no JSON");
    else if (json_integer_value(version) != RECORDS_VERSION)
        r->other++;
    else if ((ok = read_fields(l, root, &record)))
        records_add(l->arena, r, &record);
    json_decref(root);
    if (ok && r->at.n >= RECORDS_MOST)
        ok = bad(l, "there are too many records");
    return ok;
}

Records *records_parse(Arena *arena, const char *path, const void *data, size_t n, Err *err)
{
    Records *r = NEW(arena, Records);
    *r = (Records){.path = arena_strdup(arena, path), .newest = map_new(arena)};
    Line l = {arena, r->path, 0, err};
    const char *at = data, *end = at + n;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        l.number++;
        if (!read_line(r, &l, arena_strndup(arena, at, length), length))
            return NULL;
        at += length + 1;
    }
    return r;
}

Records *records_read(Arena *arena, const char *path, Err *err)
{
    Bytes bytes;
    if (!file_read(arena, path, RECORDS_BYTES, &bytes, err))
        return NULL;
    return records_parse(arena, path, bytes.data, bytes.n, err);
}

static uint64_t key_of(uint64_t problem, const char *isa)
{
    return hash_mix(problem, hash_text(isa));
}

const TuningRecord *records_find(const Records *r, uint64_t problem, const char *isa)
{
    uintptr_t at = r ? (uintptr_t)map_get(r->newest, key_of(problem, isa)) : 0;
    const TuningRecord *found = at ? &r->at.at[at - 1] : NULL;
    return found && found->problem == problem && strcmp(found->isa, isa) == 0 ? found : NULL;
}

void records_add(Arena *arena, Records *r, const TuningRecord *record)
{
    VEC_PUSH(arena, &r->at, *record);
    map_put(r->newest, key_of(record->problem, record->isa), (void *)(uintptr_t)r->at.n);
}

static void put_text(StrBuf *sb, const char *key, const char *text)
{
    sb_printf(sb, ",\"%s\":", key);
    sb_json(sb, text, strlen(text));
}

static void put_seconds(StrBuf *sb, const char *key, double seconds)
{
    if (seconds > 0)
        sb_printf(sb, ",\"%s\":%.6g", key, seconds);
}

static void put_library(StrBuf *sb, const LibraryChoice *c)
{
    sb_printf(sb, ",\"library\":{\"cublaslt\":%llu,\"workspace\":%llu,\"algorithm\":\"",
              (unsigned long long)c->version, (unsigned long long)c->workspace);
    for (uint32_t i = 0; i < LIBRARY_WORDS; i++)
        sb_printf(sb, "%016llx", (unsigned long long)c->algorithm[i]);
    sb_puts(sb, "\"}");
}

const char *record_text(Arena *arena, const TuningRecord *record)
{
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "{\"mdl.tuning\":%d,\"problem\":\"%016llx\"", RECORDS_VERSION,
              (unsigned long long)record->problem);
    put_text(&sb, "class", record->cls);
    put_text(&sb, "isa", record->isa);
    sb_puts(&sb, ",\"config\":[");
    for (uint32_t i = 0; i < record->n; i++)
        sb_printf(&sb, "%s%lld", i ? "," : "", (long long)record->config[i]);
    sb_putc(&sb, ']');
    if (record->by_library)
        put_library(&sb, &record->library);
    put_seconds(&sb, "seconds", record->seconds);
    put_seconds(&sb, "usual", record->usual);
    if (record->device && *record->device)
        put_text(&sb, "device", record->device);
    sb_putc(&sb, '}');
    return sb_text(&sb);
}

bool record_append(const char *path, const TuningRecord *record, Err *err)
{
    Arena *arena = arena_new();
    const char *line = arena_printf(arena, "%s\n", record_text(arena, record));
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    size_t n = strlen(line);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    ssize_t put = fd >= 0 ? write(fd, line, n) : -1;
    bool ok = put == (ssize_t)n && fsync(fd) == 0;
    int why = put >= 0 && put < (ssize_t)n ? ENOSPC : errno;
    /* half a line would be an error of everybody who reads the file */
    if (put > 0 && !ok && ftruncate(fd, end) != 0)
        why = errno;
    ok = (fd < 0 || close(fd) == 0) && ok;
    arena_free(arena);
    return ok || err_set(err, ERR_FILE, "cannot write %s: %s", path, strerror(why));
}

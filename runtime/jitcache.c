/* jitcache.c: compiled units on disk, each ending in its own length and checksum.
 *
 * The trailer behind the ELF image (which loaders ignore) makes object and checksum one file, so
 * one rename publishes both, and a file that was cut or altered is not found instead of crashing
 * the process that loads it. */
#include "jitcache.h"
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define TRAILER_MAGIC "MDLSUM1\n"
enum { MAX_OBJECT = 1 << 28 };

typedef struct Trailer {
    char magic[8];
    uint64_t bytes; /* of the object before the trailer */
    uint64_t hash;
} Trailer;

bool jitcache_help(Err *err)
{
    return err_help(err,
                    "make room for it and let it be written, or set MDL_CACHE to another folder");
}

static bool cannot_write(const char *path, Err *err)
{
    err_set(err, ERR_DEVICE, "cannot write to the kernel cache: %s: %s", path, strerror(errno));
    return jitcache_help(err);
}

static bool cannot_use(Err *err, const char *why)
{
    err_set(err, ERR_DEVICE, "the kernel cache is not usable: %s", why);
    return jitcache_help(err);
}

bool jitcache_open(const char *dir, Err *err)
{
    Err why = {0};
    struct stat st;
    if (!file_mkdirs(dir, &why))
        return cannot_use(err, why.text);
    if (stat(dir, &st) != 0)
        return cannot_use(err, strerror(errno));
    /* Code from here is loaded into the process. */
    bool foreign = geteuid() != 0 && st.st_uid != geteuid() && st.st_uid != 0;
    if (foreign || (st.st_mode & S_IWOTH)) {
        err_set(err, ERR_DEVICE, "the kernel cache %s %s, so its contents cannot be trusted", dir,
                foreign ? "belongs to another user" : "can be written by everybody");
        return err_help(err, "set MDL_CACHE to a folder of your own");
    }
    return true;
}

/* What was kept, without its trailer. */
static bool read_whole(Arena *arena, const char *path, Bytes *out)
{
    Err ignored = {0};
    Trailer t;
    if (!file_read(arena, path, MAX_OBJECT, out, &ignored) || out->n <= sizeof(t))
        return false;
    out->n -= sizeof(t);
    memcpy(&t, out->data + out->n, sizeof(t));
    return memcmp(t.magic, TRAILER_MAGIC, sizeof(t.magic)) == 0 && t.bytes == out->n &&
           t.hash == hash_bytes(out->data, t.bytes);
}

static bool is_whole(const char *path)
{
    Arena *arena = arena_new();
    Bytes file;
    bool ok = read_whole(arena, path, &file);
    arena_free(arena);
    return ok;
}

/* The first whole object of the content by name, whichever compiler made it. */
static const char *find_any(Arena *arena, const char *dir, const char *content, const char *end)
{
    size_t tail = strlen(end);
    const char *best = NULL;
    DIR *d = opendir(dir);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        size_t n = strlen(e->d_name), prefix = strlen(content);
        if (strncmp(e->d_name, content, prefix) != 0 || e->d_name[prefix] != '-' || n < tail ||
            strcmp(e->d_name + n - tail, end) != 0)
            continue;
        const char *path = path_join(arena, dir, e->d_name);
        if ((!best || strcmp(path, best) < 0) && is_whole(path))
            best = path;
    }
    if (d)
        closedir(d);
    return best;
}

const char *jitcache_find(Arena *arena, const char *dir, const char *content, const char *compiler)
{
    if (!compiler)
        return find_any(arena, dir, content, ".so");
    const char *path = arena_printf(arena, "%s/%s-%s.so", dir, content, compiler);
    return is_whole(path) ? path : NULL;
}

const char *jitcache_path(Arena *arena, const JitcacheEntry *e)
{
    return arena_printf(arena, "%s/%s-%s%s", e->dir, e->content, e->compiler, e->end);
}

bool jitcache_read(Arena *arena, const JitcacheEntry *e, Bytes *out)
{
    const char *path =
        e->compiler ? jitcache_path(arena, e) : find_any(arena, e->dir, e->content, e->end);
    return path && read_whole(arena, path, out);
}

const char *jitcache_content(Arena *arena, const char *const *part, uint32_t n)
{
    StrBuf all = sb_new(arena);
    for (uint32_t i = 0; i < n; i++)
        sb_putn(&all, part[i], strlen(part[i]) + 1);
    XXH128_hash_t hash = XXH3_128bits(sb_text(&all), all.n);
    return arena_printf(arena, "%016llx%016llx", (unsigned long long)hash.high64,
                        (unsigned long long)hash.low64);
}

const char *jitcache_temp(Arena *arena, const char *path, Err *err)
{
    char *temp = arena_printf(arena, "%s.XXXXXX", path);
    int fd = mkstemp(temp);
    if (fd < 0) {
        cannot_write(path, err);
        return NULL;
    }
    close(fd);
    return temp;
}

static bool append(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "ab");
    if (!f)
        return false;
    bool ok = fwrite(data, 1, n, f) == n;
    return fclose(f) == 0 && ok;
}

static bool seal(const char *temp, Err *err)
{
    Arena *arena = arena_new();
    Bytes file;
    Trailer t = {.magic = {0}};
    memcpy(t.magic, TRAILER_MAGIC, sizeof(t.magic));
    bool ok = file_read(arena, temp, MAX_OBJECT, &file, err);
    if (ok) {
        t.bytes = file.n;
        t.hash = hash_bytes(file.data, file.n);
        ok = (append(temp, &t, sizeof(t)) && chmod(temp, 0700) == 0) || cannot_write(temp, err);
    }
    arena_free(arena);
    return ok;
}

/* A link; where the file system has none, a copy. */
static bool share(Arena *arena, const char *have, const char *path, Err *err)
{
    Bytes file;
    const char *temp = jitcache_temp(arena, path, err);
    if (!temp)
        return false;
    unlink(temp);
    if (link(have, temp) == 0 && rename(temp, path) == 0) {
        unlink(temp); /* which stays where both were one file before */
        return true;
    }
    unlink(temp);
    return file_read(arena, have, MAX_OBJECT, &file, err) &&
           (file_write_atomic(path, file.data, file.n, err) || jitcache_help(err));
}

/* Names are given to `temp`, which is nobody else's: under the first of them another process may have put by now what it
 * compiled together with other kernels, so that is no place to take it from. */
bool jitcache_keep(Arena *arena, const char *temp, const char *const *path, uint32_t n, Err *err)
{
    bool ok = seal(temp, err);
    for (uint32_t i = 0; ok && i + 1 < n; i++)
        ok = share(arena, temp, path[i], err);
    ok = ok && (rename(temp, path[n - 1]) == 0 || cannot_write(path[n - 1], err));
    if (!ok)
        unlink(temp);
    return ok;
}

bool jitcache_write(Arena *arena, const char *const *path, uint32_t n, Bytes bytes, Err *err)
{
    const char *temp = jitcache_temp(arena, path[0], err);
    if (!temp)
        return false;
    if (append(temp, bytes.data, bytes.n))
        return jitcache_keep(arena, temp, path, n, err);
    cannot_write(temp, err);
    unlink(temp);
    return false;
}

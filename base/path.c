/* path.c: names of files, as text; nothing here touches the file system. */
#include "base.h"
#include <unistd.h>

const char *path_join(Arena *arena, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    if (name[0] == '/' || n == 0 || strcmp(dir, ".") == 0)
        return arena_strdup(arena, name);
    return arena_printf(arena, dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

const char *path_dir(Arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ".";
    return arena_strndup(arena, path, slash == path ? 1 : (size_t)(slash - path));
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A leading dot (".profile") starts a name, not an extension. */
const char *path_stem(Arena *arena, const char *path)
{
    const char *base = path_base(path);
    const char *dot = strrchr(base, '.');
    return arena_strndup(arena, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

/* The value of an environment variable, or NULL when it is unset or empty. */
static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *path_cache(Arena *arena)
{
    const char *dir = setting("MDL_CACHE");
    if (dir)
        return arena_strdup(arena, dir);
    dir = setting("XDG_CACHE_HOME");
    if (dir && dir[0] == '/')
        return path_join(arena, dir, "mdl");
    dir = setting("HOME");
    if (dir)
        return path_join(arena, dir, ".cache/mdl");
    return arena_printf(arena, "/tmp/mdl-cache-%lu", (unsigned long)getuid());
}

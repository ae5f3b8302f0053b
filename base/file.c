/* file.c: reading and writing files so that a crash leaves the old content or the new, never half.
 *
 * The write protocol is temp file beside the target, fsync, rename, fsync of the folder. This is
 * the only file of the compiler that looks at errno. */
#include "base.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(Err *err, const char *doing, const char *path)
{
    int why = errno;
    bool full = why == ENOSPC || why == EDQUOT || why == ENOMEM;
    return err_set(err, full ? ERR_DEVICE : ERR_FILE, "cannot %s %s: %s", doing, path,
                   strerror(why));
}

/* Reads n bytes, fewer only at the end of the file; -1 on failure. */
static ssize_t read_all(int fd, char *data, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = read(fd, data + done, n - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool write_all(int fd, const char *data, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t put = write(fd, data + done, n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        done += (size_t)put;
    }
    return true;
}

/* The size of the open regular file; fails for other kinds and above the limit. */
static bool check_size(int fd, const char *path, size_t limit, size_t *n, Err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(err, "read", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_FILE, "cannot read %s: not a regular file", path);
    if ((uintmax_t)st.st_size > limit)
        return err_set(err, ERR_FILE, "cannot read %s: %jd bytes, at most %zu are accepted", path,
                       (intmax_t)st.st_size, limit);
    *n = (size_t)st.st_size;
    return true;
}

bool file_read(Arena *arena, const char *path, size_t limit, Bytes *out, Err *err)
{
    *out = (Bytes){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    if (fd < 0)
        return fail(err, "open", path);
    size_t n = 0;
    bool ok = check_size(fd, path, limit, &n, err);
    if (ok) {
        out->data = arena_alloc(arena, n + 1);
        ssize_t got = read_all(fd, out->data, n);
        ok = got >= 0 || fail(err, "read", path);
        out->n = ok ? (size_t)got : 0;
        out->data[out->n] = '\0';
    }
    close(fd);
    return ok;
}

/* Creates a new file beside `path`; a name left behind by a killed process is stepped over. */
static int create_temp(Arena *arena, const char *path, const char **name)
{
    for (int i = 0; i < 1000; i++) {
        *name = arena_printf(arena, "%s.tmp-%ld-%d", path, (long)getpid(), i);
        int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static bool fill_temp(int fd, const void *data, size_t n)
{
    bool ok = write_all(fd, data, n) && fsync(fd) == 0;
    int why = errno;
    if (close(fd) != 0 && ok)
        return false;
    errno = why;
    return ok;
}

static bool write_and_rename(Arena *arena, const char *path, const void *data, size_t n, Err *err)
{
    const char *temp = NULL;
    int fd = create_temp(arena, path, &temp);
    if (fd < 0)
        return fail(err, "write", path);
    if (!fill_temp(fd, data, n) || rename(temp, path) != 0) {
        fail(err, "write", path);
        unlink(temp);
        return false;
    }
    return file_fsync_dir(path_dir(arena, path), err);
}

bool file_write_atomic(const char *path, const void *data, size_t n, Err *err)
{
    Arena *arena = arena_new();
    bool ok = write_and_rename(arena, path, data, n, err);
    arena_free(arena);
    return ok;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool make_one_dir(const char *path, Err *err)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && file_is_dir(path)))
        return true;
    return fail(err, "create folder", path);
}

bool file_mkdirs(const char *path, Err *err)
{
    if (file_is_dir(path))
        return true;
    Arena *arena = arena_new();
    char *prefix = arena_strdup(arena, path);
    bool ok = true;
    for (char *p = prefix + 1; ok && *prefix && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        ok = make_one_dir(prefix, err);
        *p = '/';
    }
    ok = ok && make_one_dir(path, err);
    arena_free(arena);
    return ok;
}

bool file_fsync_dir(const char *path, Err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open folder", path);
    /* Some file systems cannot sync a folder and say EINVAL; there is nothing else to do then. */
    bool ok = fsync(fd) == 0 || errno == EINVAL;
    if (!ok)
        fail(err, "sync folder", path);
    close(fd);
    return ok;
}

static bool remove_entries(Arena *arena, const char *path, Err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return fail(err, "open folder", path);
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = file_remove_tree(path_join(arena, path, entry->d_name), err);
    closedir(dir);
    return ok;
}

/* Links are removed, not followed; what does not exist is removed already. */
bool file_remove_tree(const char *path, Err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT || fail(err, "remove", path);
    if (S_ISDIR(st.st_mode)) {
        Arena *arena = arena_new();
        bool emptied = remove_entries(arena, path, err);
        arena_free(arena);
        if (!emptied)
            return false;
        if (rmdir(path) == 0)
            return true;
    } else if (unlink(path) == 0) {
        return true;
    }
    return errno == ENOENT || fail(err, "remove", path);
}

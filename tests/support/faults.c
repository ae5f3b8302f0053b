/* faults.c: the wrapped system calls. Open, write and the like are counted in the order in which the process
 * makes them; reading is not counted but for opening files and folders. */
#include "faults.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

static struct Faults { /* of this process: the wrapped calls have no argument to carry it */
    FaultKind kind;
    uint32_t at, n;
    const char *hit;
    bool on;
} faults;

void faults_begin(FaultKind kind, uint32_t at)
{
    faults = (struct Faults){.kind = kind, .at = at, .on = true};
}

uint32_t faults_end(void)
{
    faults.on = false;
    return faults.n;
}

const char *faults_hit(void)
{
    return faults.hit;
}

/* Counts a call; whether it is the one. */
static bool is_hit(const char *name)
{
    if (!faults.on || ++faults.n != faults.at || faults.kind == FAULT_NONE)
        return false;
    faults.hit = name;
    if (faults.kind == FAULT_KILL_BEFORE)
        raise(SIGKILL);
    return true;
}

/* Whether the call fails now; errno is set. */
static bool fails(bool hit, bool needs_space)
{
    bool now = hit && (faults.kind == FAULT_EIO || faults.kind == FAULT_ENOSPC);
    if (now)
        errno = faults.kind == FAULT_ENOSPC && needs_space ? ENOSPC : EIO;
    return now;
}

static void done(bool hit)
{
    if (hit && faults.kind == FAULT_KILL_AFTER)
        raise(SIGKILL);
}

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */

#define WRAP(needs_space, T, name, formals, actuals) \
    T __real_##name formals;                         \
    T __wrap_##name formals;                         \
    T __wrap_##name formals                          \
    {                                                \
        bool hit = is_hit(#name);                    \
        if (fails(hit, needs_space))                 \
            return (T)-1;                            \
        T result = __real_##name actuals;            \
        done(hit);                                   \
        return result;                               \
    }

WRAP(true, int, fsync, (int fd), (fd))
WRAP(true, int, rename, (const char *from, const char *to), (from, to))
WRAP(false, int, unlink, (const char *path), (path))
WRAP(true, int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(false, int, rmdir, (const char *path), (path))
WRAP(true, int, mkstemp, (char *name), (name))
WRAP(false, int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(false, int, statvfs, (const char *path, struct statvfs *out), (path, out))

int __real_close(int fd);
int __wrap_close(int fd);
/* A failing close has closed the file all the same. */
int __wrap_close(int fd)
{
    bool hit = is_hit("close");
    int result = __real_close(fd);
    done(hit);
    return fails(hit, true) ? -1 : result;
}

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n)
{
    bool hit = is_hit("write");
    if (fails(hit, true))
        return -1;
    bool half = hit && n > 1 && faults.kind != FAULT_KILL_AFTER;
    ssize_t result = __real_write(fd, data, half ? n / 2 : n);
    done(hit);
    return result;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    bool hit = is_hit("open");
    if (fails(hit, (flags & O_CREAT) != 0))
        return -1;
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    int result = __real_open(path, flags, mode);
    done(hit);
    return result;
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
DIR *__wrap_opendir(const char *path)
{
    bool hit = is_hit("opendir");
    if (fails(hit, false))
        return NULL;
    DIR *result = __real_opendir(path);
    done(hit);
    return result;
}

/* NOLINTEND(bugprone-reserved-identifier) */

/* runlock.c: a lock on run_dir/lock. The system gives it back when the process ends in whatever
 * way, so a killed run never blocks its own continuation. */
#include "runlock.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool lock_fd(int fd, const char *run_dir, Err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) == 0)
        return true;
    if (errno != EACCES && errno != EAGAIN)
        return true; /* a file system without locks: better unguarded than not at all */
    err_set(err, ERR_FILE, "another process is training in %s", run_dir);
    return err_help(err, "wait for it, or use another run folder (--run)");
}

int runlock_take(const char *run_dir, Err *err)
{
    Arena *arena = arena_new();
    const char *path = path_join(arena, run_dir, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        err_set(err, ERR_FILE, "cannot open %s: %s", path, strerror(errno));
    arena_free(arena);
    if (fd >= 0 && !lock_fd(fd, run_dir, err)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void runlock_release(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* testdir.h: a folder for tests that save very often: in memory where the system has such a file system, since
 * killing a process or failing its calls tells the same there, without waiting for disks. */
#ifndef MDL_TESTDIR_H
#define MDL_TESTDIR_H

#include "base.h"
#include <unistd.h>

static inline const char *test_dir(Arena *arena, const char *name)
{
    bool memory = file_is_dir("/dev/shm") && access("/dev/shm", W_OK) == 0;
    const char *in = memory ? "/dev/shm" : MDL_BINARY_DIR;
    return arena_printf(arena, "%s/mdl-%s-%ld", in, name, (long)getpid());
}

/* `usual`, but `often` in ./dev test --long. */
static inline uint32_t test_times(uint32_t usual, uint32_t often)
{
    return getenv("MDL_LONG") ? often : usual;
}

#endif

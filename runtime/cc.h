/* cc.h: the system C compiler as a child process; private to the JIT. */
#ifndef MDL_CC_H
#define MDL_CC_H

#include "base.h"
#include <sys/types.h>

/* What is known of a compiler. */
typedef struct Cc {
    const char *path;    /* absolute */
    const char *version; /* "12.2.0 x86_64-linux-gnu" and the like: one line */
    bool libmvec;        /* -lmvec links */
} Cc;

/* Finds the compiler: `wanted` (may be NULL), else $MDL_CC, else cc, gcc, clang in $PATH. NULL and
 * ERR_DEVICE with help when there is none. Does not run it. */
const char *cc_find(Arena *arena, const char *wanted, Err *err);
/* A program by its name in $PATH, or a path; NULL when there is none. */
const char *cc_program(Arena *arena, const char *name);
/* Asks it for its version and libraries. The answer is kept in `cache` under the program's path,
 * size and time, so that this costs a fork only once. */
bool cc_probe(Arena *arena, const char *path, const char *cache, Cc *out, Err *err);
/* Starts argv (NULL-terminated, argv[0] a path) without a shell; stdin is empty, both outputs go
 * to the file `log`. ERR_DEVICE. */
bool cc_start(const char *const *argv, const char *log, pid_t *pid, Err *err);
/* Waits; true when it exited with 0. Otherwise *how says what happened ("exit status 1", "signal
 * 9") and *interrupted whether it was SIGINT or SIGTERM. */
bool cc_wait(pid_t pid, char how[64], bool *interrupted);

#endif

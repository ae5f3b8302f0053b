/* runlock.h: one process at a time trains in a run folder. */
#ifndef MDL_RUNLOCK_H
#define MDL_RUNLOCK_H

#include "base.h"

/* A descriptor to hand to runlock_release, or -1: ERR_FILE when another process holds the lock. */
int runlock_take(const char *run_dir, Err *err);
void runlock_release(int fd); /* -1 is fine */

#endif

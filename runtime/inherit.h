/* inherit.h: what a stage takes over from the stages it is behind. */
#ifndef MDL_INHERIT_H
#define MDL_INHERIT_H

#include "runtime.h"

/* Weights and running statistics from the newest checkpoint of the source, and what the plan's `carry` says: the
 * optimizer's states, the place in the data (*pos). ERR_FILE when there is no checkpoint. */
bool inherit(Runtime *rt, const RtSource *source, CkptPosition *pos, Err *err);

/* init.c: states that begin as others do: averages of weights, weights as they were. */
bool init_copies(Runtime *rt, Err *err);

#endif

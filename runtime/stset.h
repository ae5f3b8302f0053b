/* stset.h: how stset.c makes one StFile of several; private to the two. */
#ifndef MDL_STSET_H
#define MDL_STSET_H

#include "runtime.h"

StFile *st_set_new(void);
/* The set owns the part from here on. */
void st_set_add(StFile *set, StFile *part);
/* The tensors of the set, which lie in its parts. */
void st_set_finish(StFile *set, const StTensor *tensors, uint32_t n);

/* An index and the files beside it. */
StFile *st_index_open(const char *path, Err *err);

#endif

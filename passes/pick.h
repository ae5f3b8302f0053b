/* pick.h: the configuration of one group, for passes that make groups after pick. */
#ifndef MDL_PICK_H
#define MDL_PICK_H

#include "passes.h"

/* Members of configurations that other passes change, by place. */
enum { PICK_UPDATE_WHOLE = 1 };

/* n integers in cx->arena, as the class's row in classes.def names them. */
const int64_t *pick_config(PassCx *cx, const Def *def, const char *class_name, uint32_t *n);

#endif

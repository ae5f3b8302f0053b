/* fmt.h: the one style of .mdl text. */
#ifndef MDL_FMT_H
#define MDL_FMT_H

#include "ast.h"

/* Source `file` in the one style; NULL when it has syntax errors (reported in diags), or, with *err
 * set, when the result would be another program. The result is a fixed point. */
const char *fmt_file(Arena *arena, Diags *diags, uint32_t file, Err *err);

#endif

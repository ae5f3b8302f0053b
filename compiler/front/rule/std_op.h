/* std_op.h: how a pass asks for an op of std; the front end answers (front_std_op), where whoever runs
 * the passes lets it. */
#ifndef MDL_STD_OP_H
#define MDL_STD_OP_H

#include "ir.h"

struct Front; /* the front end of a session: front.h */

/* An op of std on operands of these types; `flag`: its argument of that name is true. */
typedef struct StdOp {
    const char *name;
    const Type *const *in;
    uint32_t nin;
    const char *flag; /* or NULL */
    bool tf32;        /* products of f32 in it may round their operands */
} StdOp;

#endif

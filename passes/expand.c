/* expand.c: composites that no kernel class claims become their bodies, forward and backward alike.
 * No class of the CPU claims one yet, so every call goes. */
#include "internal.h"

static bool unclaimed(const Def *def)
{
    return def->kind == DEF_COMPOSITE;
}

Graph *pass_expand(PassCx *cx, const Graph *in)
{
    return inline_calls(cx, in, unclaimed);
}

/* expand.c: composites that no kernel class claims become their bodies, forward and backward alike. */
#include "internal.h"

static bool unclaimed(PassCx *cx, const Def *def)
{
    KernelClass cls;
    return def->kind == DEF_COMPOSITE && !claim_find(cx, def, &cls);
}

Graph *pass_expand(PassCx *cx, const Graph *in)
{
    return inline_calls(cx, in, unclaimed);
}

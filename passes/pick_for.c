/* pick_for.c: configurations for the targets of a plan behind the first, whose own are on the groups. */
#include "library.h"
#include "pick.h"

#include <string.h>

KernelConfig pick_for(PassCx *cx, const Node *group, const Target *target)
{
    PassCx other = *cx;
    KernelConfig config = {0};
    KernelClass cls;
    other.target = target;
    uint32_t n;
    const int64_t *ints = pick_config(&other, node_def(group), node_sym(group, "class"), &n);
    config = library_split(ints, n);
    if (!class_find(node_sym(group, "class"), &cls) || cls != KC_UPDATE)
        return config;
    int64_t *mine = NEW_ARRAY(cx->arena, int64_t, config.n);
    memcpy(mine, config.ints, config.n * sizeof *mine);
    mine[PICK_UPDATE_WHOLE] = node_ints(group, "config")->ints[PICK_UPDATE_WHOLE]; /* inplace.c */
    return (KernelConfig){.ints = mine, .n = config.n};
}

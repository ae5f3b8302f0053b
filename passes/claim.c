/* claim.c: which composites a kernel class runs whole. A class asks for a name and looks at the body, in
 * which the calls of other composites have been replaced; the answer is kept, for equal layers share a
 * Def. */
#include "internal.h"

bool claim_by_all(const PassCx *cx, Sym composite, const Graph *body, KernelClass *cls)
{
    KernelClass other;
    if (!class_claims(cx->target, composite, body, cls))
        return false;
    for (uint32_t t = 0; t < cx->nother; t++)
        if (!class_claims(&cx->others[t], composite, body, &other) || other != *cls)
            return false;
    return true;
}

static bool ask(PassCx *cx, const Def *def, KernelClass *cls)
{
    if (def->kind != DEF_COMPOSITE || !cx->target || !claim_by_all(cx, def->name, NULL, cls))
        return false;
    const Graph *body = inline_calls(cx, def->body, inline_all);
    return claim_by_all(cx, def->name, body, cls);
}

bool claim_find(PassCx *cx, const Def *def, KernelClass *cls)
{
    cx->claims = cx->claims ? cx->claims : map_new(cx->arena);
    uintptr_t known = (uintptr_t)map_get(cx->claims, MAP_KEY(def));
    if (!known) {
        known = ask(cx, def, cls) ? (uintptr_t)*cls + 1 : KC_COUNT + 1;
        map_put(cx->claims, MAP_KEY(def), (void *)known);
    }
    *cls = (KernelClass)(known - 1);
    return *cls != KC_COUNT;
}

/* class.c: the description columns of classes.def, and which class claims a composite. */
#include "attention.h"
#include "xent.h"

#include <string.h>

static const ClassInfo infos[] = {
#define CLAIM(name, fn)            .composite = name, .claims = fn
#define NOCLAIM                    .composite = NULL
#define CPU(members, count, lower) .config[TK_CPU] = {members, count}
#define GPU(members, count, lower) .config[TK_CUDA] = {members, count}
#define NOGPU                      .config[TK_CUDA] = {NULL, 0}
#define REACH(m, f, b)             .reach = {m, f, b}
#define CLASS(id, text, line, claim, cpu, gpu, r) \
    [KC_##id] = {.name = text, .doc = line, claim, cpu, gpu, r},
#include "classes.def"
#undef CLASS
};

const ClassInfo *class_info(KernelClass c)
{
    ASSERT((unsigned)c < KC_COUNT);
    return &infos[c];
}

bool target_runs(const Target *t, OpClass cls)
{
    UNUSED(t); /* all kinds run all of them */
    switch (cls) {
    case OC_LEAF:
    case OC_VIEW:
    case OC_ELEM:
    case OC_GATHER:
    case OC_REDUCE:
    case OC_CONTRACT:
    case OC_SCAN:
    case OC_SORT:
    case OC_UPDATE:
    case OC_SCATTER:
    case OC_MULTI:
    case OC_LOOP:
    case OC_CALL:
    case OC_TUPLE:
    case OC_GROUP:
        return true;
    }
    BUG("no such class of operations: %d", (int)cls);
}

bool class_claims(const Target *t, Sym composite, const Graph *body, KernelClass *out)
{
    for (size_t i = 0; i < COUNT(infos); i++) {
        if (!infos[i].composite || strcmp(infos[i].composite, composite) != 0 ||
            !infos[i].config[t->kind].members)
            continue;
        if (!body || infos[i].claims(t, body)) {
            *out = (KernelClass)i;
            return true;
        }
    }
    return false;
}

bool class_find(const char *name, KernelClass *out)
{
    for (size_t i = 0; i < COUNT(infos); i++) {
        if (strcmp(infos[i].name, name) == 0) {
            *out = (KernelClass)i;
            return true;
        }
    }
    return false;
}

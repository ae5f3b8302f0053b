/* class.c: the description columns of classes.def. */
#include "target.h"

#include <string.h>

static const ClassInfo infos[] = {
#define CLASS(id, text, line, members, count, lower) \
    [KC_##id] = {.name = text, .doc = line, .nconfig = count, .config = members},
#include "classes.def"
#undef CLASS
};

const ClassInfo *class_info(KernelClass c)
{
    ASSERT((unsigned)c < KC_COUNT);
    return &infos[c];
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

/* opcache.h: private to front: the Defs that calls of ops have led to. */
#ifndef MDL_OPCACHE_H
#define MDL_OPCACHE_H

#include "elab.h"

enum { OPCACHE_WORDS = 64 };

/* A call without its place: equal calls have equal words. */
typedef struct OpKey {
    uint32_t n;
    bool fits; /* false: too long, or with values that no two calls share */
    uint64_t word[OPCACHE_WORDS];
} OpKey;

/* arg[i]: the value of formal i, NULL for its default; tensors have the type the body will see. */
void opcache_key(const Elab *e, const Ast *op, const Val *const *arg, OpKey *key);
const Def *opcache_find(const Elab *e, const OpKey *key); /* NULL: this call is new */
void opcache_add(Elab *e, const OpKey *key, const Def *def);

#endif

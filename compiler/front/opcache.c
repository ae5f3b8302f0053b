/* opcache.c: an op is specialised once. What its body becomes follows from the types of its tensor
 * arguments, the values of the others and the mode: these are the key under which the Def is kept for
 * every later call, of the next layer or the next stage.
 *
 * A key is a row of words without spans and without names of the caller. Types, dims and names are
 * interned, so equal rows are equal calls. */
#include "opcache.h"

typedef struct Entry {
    uint32_t n;
    const uint64_t *word;
    const Def *def;
    const struct Entry *next; /* same hash, other words */
} Entry;

static void put(OpKey *key, uint64_t word)
{
    key->fits = key->fits && key->n < OPCACHE_WORDS;
    if (key->fits) {
        key->word[key->n++] = word;
    }
}

static void put_double(OpKey *key, double f)
{
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    put(key, bits);
}

static void put_value(OpKey *key, const Val *v);

static void put_number(OpKey *key, const Val *v)
{
    put(key, (uint64_t)v->num);
    put(key, (uint64_t)v->den);
    put_double(key, v->f);
    put(key, MAP_KEY(v->unit));
}

static uint64_t word_of(const Val *v)
{
    return v->kind == V_BOOL    ? (uint64_t)v->b
           : v->kind == V_DTYPE ? (uint64_t)v->dtype
           : v->kind == V_MODE  ? (uint64_t)v->mode
                                : MAP_KEY(v->str);
}

static void put_list(OpKey *key, const Val *v)
{
    put(key, v->list.n);
    for (uint32_t i = 0; i < v->list.n && key->fits; i++) {
        put_value(key, v->list.at[i]);
    }
}

static void put_mask(OpKey *key, const Val *v)
{
    put(key, v->mask.op);
    put_value(key, v->mask.a);
    if (v->mask.b) {
        put_value(key, v->mask.b);
    }
}

static void put_code(OpKey *key, const Val *v)
{
    put(key, MAP_KEY(v->code.ast));
    put(key, MAP_KEY(v->code.env));
}

static void put_value(OpKey *key, const Val *v)
{
    put(key, v->kind);
    switch (v->kind) {
    case V_NONE:
        return;
    case V_INT:
        put(key, MAP_KEY(v->dim));
        return;
    case V_REAL:
    case V_PERCENT:
    case V_QUANTITY:
        put_number(key, v);
        return;
    case V_BOOL:
    case V_STR:
    case V_DTYPE:
    case V_MODE:
        put(key, word_of(v));
        return;
    case V_TUPLE:
    case V_LIST:
    case V_RANGE:
        put_list(key, v);
        return;
    case V_MASK:
        put_mask(key, v);
        return;
    case V_CLOSURE: /* names of a frame may be bound anew between two calls */
        key->fits = key->fits && val_is_plain(v);
        put_code(key, v);
        return;
    case V_RECORD:
    case V_MODULE:
    case V_BLOCK:
        put_code(key, v);
        return;
    case V_BUILTIN:
        put(key, MAP_KEY(v->builtin));
        return;
    case V_TENSOR:
        put(key, MAP_KEY(v->node->type));
        return;
    case V_PARAM: /* op_call has made tensors of these */
    case V_STATE:
    case V_MEMORY:
    case V_FILE:
    case V_POISON:
    case V_LOSS:
    case V_INSTANCE:
    case V_ARRAY:
    case V_METHOD:
    case V_BATCH:
    case V_DATUM:
    case V_SEGMENT:
        key->fits = false;
        return;
    }
}

void opcache_key(const Elab *e, const Ast *op, const Val *const *arg, OpKey *key)
{
    key->n = 0;
    key->fits = true;
    put(key, MAP_KEY(op));
    put(key, (uint64_t)mode_here(e) << 1 | (e->lifted > 0));
    put(key, (uint64_t)e->precision.compute << 1 | e->precision.tf32);
    for (uint32_t i = 0; i < op->kid[0]->nkid; i++) {
        if (arg[i]) {
            put_value(key, arg[i]);
        } else {
            put(key, UINT64_MAX);
        }
    }
}

static uint64_t hash_key(const OpKey *key)
{
    return hash_bytes(key->word, key->n * sizeof *key->word);
}

const Def *opcache_find(const Elab *e, const OpKey *key)
{
    const Entry *entry = key->fits ? map_get(e->front->ops, hash_key(key)) : NULL;
    while (entry && (entry->n != key->n ||
                     memcmp(entry->word, key->word, key->n * sizeof *key->word) != 0)) {
        entry = entry->next;
    }
    return entry ? entry->def : NULL;
}

void opcache_add(Elab *e, const OpKey *key, const Def *def)
{
    if (!key->fits) {
        return;
    }
    Arena *arena = e->front->arena;
    uint64_t hash = hash_key(key);
    Entry *entry = NEW(arena, Entry);
    entry->n = key->n;
    entry->word = COPY_ARRAY(arena, uint64_t, key->word, key->n);
    entry->def = def;
    entry->next = map_get(e->front->ops, hash);
    map_put(e->front->ops, hash, entry);
}

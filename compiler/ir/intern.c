/* intern.c: find-or-add by content. The map takes hashes to chains, so that two contents with one
 * hash stay two. */
#include "tables.h"

const void *intern_find(const Map *map, uint64_t hash, const void *key, InternSame same)
{
    for (const InternCell *c = map_get(map, hash); c; c = c->next) {
        if (same(c->item, key))
            return c->item;
    }
    return NULL;
}

void intern_add(Arena *arena, Map *map, uint64_t hash, const void *item)
{
    InternCell *first = map_get(map, hash);
    InternCell *cell = NEW(arena, InternCell);
    cell->item = item;
    if (first) {
        cell->next = first->next;
        first->next = cell;
    } else {
        map_put(map, hash, cell);
    }
}

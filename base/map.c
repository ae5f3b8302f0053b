/* map.c: a hash map from 64-bit keys to pointers, and the hashes that feed it.
 *
 * Entries lie in insertion order in one array, so that iteration never depends on addresses or
 * hashes; an open-addressed table of indices (at most half full) finds them. No deletion. */
#include "base.h"
#include <xxhash.h>

typedef struct Entry {
    uint64_t key;
    void *value;
} Entry;

struct Map {
    Arena *arena;
    VEC(Entry) entries;
    uint32_t *slots; /* entry index + 1, 0: empty */
    size_t cap;      /* a power of two */
};

Map *map_new(Arena *arena)
{
    Map *map = NEW(arena, Map);
    map->arena = arena;
    map->cap = 16;
    map->slots = NEW_ARRAY(arena, uint32_t, map->cap);
    return map;
}

/* The slot of the key, or the empty slot where it belongs. */
static uint32_t *find_slot(const Map *map, uint64_t key)
{
    size_t at = hash_mix(0, key) & (map->cap - 1);
    while (map->slots[at] && map->entries.at[map->slots[at] - 1].key != key)
        at = (at + 1) & (map->cap - 1);
    return &map->slots[at];
}

void *map_get(const Map *map, uint64_t key)
{
    uint32_t slot = *find_slot(map, key);
    return slot ? map->entries.at[slot - 1].value : NULL;
}

static void grow(Map *map)
{
    map->cap *= 2;
    map->slots = NEW_ARRAY(map->arena, uint32_t, map->cap);
    for (uint32_t i = 0; i < map->entries.n; i++)
        *find_slot(map, map->entries.at[i].key) = i + 1;
}

void map_put(Map *map, uint64_t key, void *value)
{
    ASSERT(value);
    uint32_t *slot = find_slot(map, key);
    if (*slot) {
        map->entries.at[*slot - 1].value = value;
        return;
    }
    VEC_PUSH(map->arena, &map->entries, ((Entry){key, value}));
    *slot = map->entries.n;
    if ((size_t)map->entries.n * 2 > map->cap)
        grow(map);
}

uint32_t map_count(const Map *map)
{
    return map->entries.n;
}

uint64_t map_key_at(const Map *map, uint32_t i)
{
    ASSERT(i < map->entries.n);
    return map->entries.at[i].key;
}

void *map_value_at(const Map *map, uint32_t i)
{
    ASSERT(i < map->entries.n);
    return map->entries.at[i].value;
}

uint64_t hash_bytes(const void *data, size_t n)
{
    return XXH3_64bits(n ? data : "", n);
}

uint64_t hash_text(const char *text)
{
    return hash_bytes(text, strlen(text));
}

/* The finaliser of splitmix64 over both words: order matters, and 0 is not a fixed point. */
uint64_t hash_mix(uint64_t seed, uint64_t value)
{
    uint64_t x = (seed ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu + value;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

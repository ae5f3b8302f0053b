/* arena.c: bump allocation in chunks, the only allocator of the compiler.
 *
 * Objects are carved off the newest chunk, 16-byte aligned and zeroed; the bytes of a fresh chunk
 * are zero already, so only what an earlier life wrote (below `dirty`) is cleared again. A reset
 * keeps the chunks for reuse. Under ASan everything not handed out is poisoned, a gap follows each
 * object, and a reset gives the chunks to ASan's quarantine instead of reusing them, so that a
 * pointer kept across passes fails in the first test that touches it.
 *
 * A copy of an arena keeps the bytes of its chunks, which are put back at their addresses, so that every
 * pointer between them holds; chunks made since are given up like those of a reset.
 *
 * There is no recovery from lack of memory in a compiler that holds everything in arenas: the
 * process ends with the exit code for it. It is not a BUG, since any input may be too large. */
#include "base.h"
#include <stdarg.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define ARENA_ASAN 1
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define UNCHECKED      __attribute__((noinline, no_sanitize("address")))
enum { GAP = 16, RECYCLE = false };
#else
#define POISON(p, n)   UNUSED(p)
#define UNPOISON(p, n) UNUSED(p)
#define UNCHECKED
enum { GAP = 0, RECYCLE = true };
#endif

enum { ALIGN = 16, CHUNK_MIN = 16 << 10, CHUNK_MAX = 1 << 20 };

/* Followed by `cap` bytes. used <= cap; bytes at and above `dirty` are zero. */
typedef struct Chunk {
    struct Chunk *next;
    size_t cap, used, dirty;
} Chunk;
_Static_assert(sizeof(Chunk) % ALIGN == 0, "objects of a chunk start aligned");

struct Arena {
    Chunk *chunks; /* newest first; only the first is carved */
    Chunk *spare;  /* emptied by a reset */
    size_t used, next_cap;
};

static char *chunk_bytes(Chunk *chunk)
{
    return (char *)(chunk + 1);
}

static _Noreturn void die_of_memory(size_t bytes)
{
    fprintf(stderr, "error: out of memory (%zu bytes wanted)\n", bytes);
    fflush(NULL);
    _Exit(ERR_DEVICE);
}

Arena *arena_new(void)
{
    Arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        die_of_memory(sizeof *arena);
    arena->next_cap = CHUNK_MIN;
    return arena;
}

static void free_list(Chunk *chunk)
{
    while (chunk) {
        Chunk *next = chunk->next;
        UNPOISON(chunk_bytes(chunk), chunk->cap);
        free(chunk);
        chunk = next;
    }
}

void arena_free(Arena *arena)
{
    if (!arena)
        return;
    free_list(arena->chunks);
    free_list(arena->spare);
    free(arena);
}

/* The newest chunk and all its objects. */
static void give_up_newest(Arena *arena)
{
    Chunk *chunk = arena->chunks;
    arena->chunks = chunk->next;
    if (!RECYCLE) {
        UNPOISON(chunk_bytes(chunk), chunk->cap);
        free(chunk);
        return;
    }
    if (chunk->dirty < chunk->used)
        chunk->dirty = chunk->used;
    chunk->used = 0;
    chunk->next = arena->spare;
    arena->spare = chunk;
}

void arena_reset(Arena *arena)
{
    arena->used = 0;
    while (arena->chunks)
        give_up_newest(arena);
}

/* A spare chunk of at least `need` bytes, taken off its list, or NULL. */
static Chunk *take_spare(Arena *arena, size_t need)
{
    for (Chunk **at = &arena->spare; *at; at = &(*at)->next) {
        Chunk *chunk = *at;
        if (chunk->cap >= need) {
            *at = chunk->next;
            return chunk;
        }
    }
    return NULL;
}

static Chunk *new_chunk(Arena *arena, size_t need)
{
    size_t cap = arena->next_cap;
    if (cap < need)
        cap = need;
    Chunk *chunk = calloc(1, sizeof *chunk + cap);
    if (!chunk)
        die_of_memory(cap);
    chunk->cap = cap;
    POISON(chunk_bytes(chunk), cap);
    if (arena->next_cap < CHUNK_MAX)
        arena->next_cap *= 2;
    return chunk;
}

void *arena_alloc(Arena *arena, size_t bytes)
{
    ASSERT(arena);
    if (bytes > SIZE_MAX / 4)
        die_of_memory(bytes);
    size_t size = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (size == 0)
        size = ALIGN; /* distinct objects have distinct addresses */
    Chunk *chunk = arena->chunks;
    if (!chunk || chunk->cap - chunk->used < size + GAP) {
        chunk = take_spare(arena, size + GAP);
        if (!chunk)
            chunk = new_chunk(arena, size + GAP);
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    char *object = chunk_bytes(chunk) + chunk->used;
    UNPOISON(object, bytes);
    if (chunk->used < chunk->dirty) {
        size_t stale = chunk->dirty - chunk->used;
        memset(object, 0, stale < bytes ? stale : bytes);
    }
    chunk->used += size + GAP;
    arena->used += size;
    return object;
}

size_t arena_used(const Arena *arena)
{
    return arena->used;
}

void *arena_memdup(Arena *arena, const void *data, size_t bytes)
{
    void *copy = arena_alloc(arena, bytes);
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

char *arena_strndup(Arena *arena, const char *text, size_t n)
{
    n = strnlen(text, n);
    char *copy = arena_alloc(arena, n + 1);
    memcpy(copy, text, n);
    return copy;
}

char *arena_strdup(Arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_join(Arena *arena, const char *const *part, uint32_t n)
{
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += strlen(part[i]);
    char *text = arena_alloc(arena, size + 1), *at = text;
    for (uint32_t i = 0; i < n; i++) {
        size_t k = strlen(part[i]);
        memcpy(at, part[i], k);
        at += k;
    }
    return text;
}

char *arena_printf(Arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    ASSERT(n >= 0);
    char *text = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

/* ---- copies ---- */

typedef struct ChunkCopy {
    Chunk *chunk;
    size_t used;
    char *bytes;
} ChunkCopy;

struct ArenaCopy {
    const Arena *arena;
    size_t used, next_cap;
    uint32_t n;
    ChunkCopy *chunk; /* newest first */
};

/* Words, gaps between objects included, which memcpy may not read under ASan; volatile, so that no
 * compiler makes a memcpy of the loop. */
UNCHECKED static void copy_words(char *to, const char *from, size_t bytes)
{
    volatile uint64_t *out = (volatile uint64_t *)(void *)to;
    const uint64_t *in = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < bytes / sizeof *in; i++)
        out[i] = in[i];
}

ArenaCopy *arena_copy(const Arena *arena, Arena *into)
{
    ASSERT(arena != into);
    ArenaCopy *copy = NEW(into, ArenaCopy);
    *copy = (ArenaCopy){.arena = arena, .used = arena->used, .next_cap = arena->next_cap};
    for (const Chunk *chunk = arena->chunks; chunk; chunk = chunk->next)
        copy->n++;
    copy->chunk = NEW_ARRAY(into, ChunkCopy, copy->n);
    uint32_t i = 0;
    for (Chunk *chunk = arena->chunks; chunk; chunk = chunk->next) {
        char *bytes = arena_alloc(into, chunk->used);
        copy_words(bytes, chunk_bytes(chunk), chunk->used);
        copy->chunk[i++] = (ChunkCopy){chunk, chunk->used, bytes};
    }
    return copy;
}

void arena_restore(Arena *arena, const ArenaCopy *copy)
{
    ASSERT(arena == copy->arena);
    Chunk *newest = copy->n ? copy->chunk[0].chunk : NULL;
    while (arena->chunks != newest) {
        ASSERT(arena->chunks); /* else the arena was reset since */
        give_up_newest(arena);
    }
    for (uint32_t i = 0; i < copy->n; i++) {
        const ChunkCopy *c = &copy->chunk[i];
        if (c->chunk->dirty < c->chunk->used)
            c->chunk->dirty = c->chunk->used;
        c->chunk->used = c->used;
        copy_words(chunk_bytes(c->chunk), c->bytes, c->used);
        POISON(chunk_bytes(c->chunk) + c->used, c->chunk->cap - c->used);
    }
    arena->used = copy->used;
    arena->next_cap = copy->next_cap;
}

/* Doubling; the old array stays where it is, so copies of the vec's header remain readable. */
void *vec_grow(Arena *arena, void *at, uint32_t *cap, uint32_t need, size_t size)
{
    if (need <= *cap)
        return at;
    uint64_t grown = (uint64_t)*cap * 2;
    if (grown < 8)
        grown = 8;
    if (grown < need)
        grown = need;
    if (grown > UINT32_MAX)
        grown = UINT32_MAX;
    void *bigger = arena_alloc(arena, (size_t)grown * size);
    if (*cap)
        memcpy(bigger, at, (size_t)*cap * size);
    *cap = (uint32_t)grown;
    return bigger;
}

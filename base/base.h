/* base.h: memory, text and containers for everything above; knows nothing of models or tensors.
 *
 * Ownership rule of the house: whoever creates an arena frees it, every object lives exactly as
 * long as its arena, and no single object is ever freed. A function that returns memory takes the
 * arena first. Nothing here keeps mutable file-scope state, except the thread-local crash context
 * of bug.c. */
#ifndef MDL_BASE_H
#define MDL_BASE_H

#include "banned.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NO_RETURN              __attribute__((noreturn))
#define NEVER_NULL             __attribute__((returns_nonnull))
#define COUNT(array)           (sizeof(array) / sizeof((array)[0]))
#define UNUSED(x)              ((void)(x))

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bug.c: we are wrong ---- */

/* Prints the message, the thread's context lines and aborts. Never for bad input. */
NO_RETURN void bug_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define BUG(...)     bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(cond) ((cond) ? (void)0 : bug_at(__FILE__, __LINE__, "assertion failed: %s", #cond))

/* A line of what this thread is doing ("pass fuse", "node 17"), printed by BUG. The text must
 * outlive the matching pop. At most 16 lines are kept; deeper pushes are counted only. */
void bug_push(const char *what);
void bug_pop(void);

/* ---- err.c: the world failed ---- */

/* The kind is the exit code of the program (docs/cli: exit codes). */
typedef enum ErrKind {
    ERR_NONE = 0,
    ERR_PROGRAM = 1,  /* the .mdl program is wrong; diagnostics say where */
    ERR_USAGE = 2,    /* command line */
    ERR_FILE = 3,     /* not found or unreadable */
    ERR_DATA = 4,     /* bad data, weights, plan or checkpoint */
    ERR_DEVICE = 5,   /* not enough device, memory, disk; no C compiler */
    ERR_DIVERGED = 6, /* training stopped: non-finite */
    ERR_REQUIRE = 7,  /* a threshold was missed */
    ERR_INTERRUPTED = 130
} ErrKind;

/* One failure with its context; the first one set wins. `help` may be empty. */
typedef struct Err {
    ErrKind kind;
    char text[1024];
    char help[512];
} Err;

/* Fills *err unless it is already set (err may be NULL); always returns false, so that callers
 * write `return err_set(err, ERR_FILE, "cannot open %s: %s", path, strerror(errno));`. */
bool err_set(Err *err, ErrKind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Sets the help line of an error that has none yet. Returns false. */
bool err_help(Err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "<context>: " in front of the text. Returns false. */
bool err_context(Err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- arena.c: bump allocation ---- */

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena);  /* NULL is fine */
void arena_reset(Arena *arena); /* frees all objects, poisons them under ASan */
/* Zeroed and 16-byte aligned. */
NEVER_NULL void *arena_alloc(Arena *arena, size_t bytes);
size_t arena_used(const Arena *arena); /* bytes handed out since the last reset */
char *arena_strndup(Arena *arena, const char *text, size_t n);
char *arena_strdup(Arena *arena, const char *text);
char *arena_join(Arena *arena, const char *const *part, uint32_t n); /* one behind the other */
char *arena_printf(Arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
void *arena_memdup(Arena *arena, const void *data, size_t bytes);

/* What an arena holds at one moment, to come back to: something is loaded once and used for many inputs,
 * each of which may change it and add to it. The copy lives in `into`, another arena. Restoring puts back
 * every byte of every object there was (pointers between them hold) and frees all objects made since; any
 * number of times, and of several copies the older ones stay good. A reset of the arena ends its copies. */
typedef struct ArenaCopy ArenaCopy;
ArenaCopy *arena_copy(const Arena *arena, Arena *into);
void arena_restore(Arena *arena, const ArenaCopy *copy);

#define NEW(arena, T)                 ((T *)arena_alloc((arena), sizeof(T)))
#define NEW_ARRAY(arena, T, n)        ((T *)arena_alloc((arena), sizeof(T) * (size_t)(n)))
#define COPY_ARRAY(arena, T, data, n) ((T *)arena_memdup((arena), (data), sizeof(T) * (size_t)(n)))

/* ---- vec: a growing array in an arena ---- */

/* typedef VEC(int) Ints;  Ints v = {0};  VEC_PUSH(arena, &v, 3);  v.at[0], v.n */
#define VEC(T)           \
    struct {             \
        T *at;           \
        uint32_t n, cap; \
    }
void *vec_grow(Arena *arena, void *at, uint32_t *cap, uint32_t need, size_t size);
#define VEC_RESERVE(arena, v, need) \
    ((v)->at = vec_grow((arena), (v)->at, &(v)->cap, (need), sizeof(*(v)->at)))
#define VEC_PUSH(arena, v, x) (VEC_RESERVE((arena), (v), (v)->n + 1), (v)->at[(v)->n++] = (x))
#define VEC_LAST(v)           ((v)->at[(v)->n - 1])

/* ---- sym.c: interned names ---- */

/* Equal names are the same pointer within one table; a Sym is a NUL-terminated C string. */
typedef const char *Sym;
typedef struct Syms Syms;

Syms *syms_new(Arena *arena);
Sym sym(Syms *syms, const char *text);
Sym sym_n(Syms *syms, const char *text, size_t n);
Sym sym_printf(Syms *syms, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The candidate with the smallest edit distance to `name`, at most max(1, len/3) edits away (0 for
 * one letter: any other is as near), or NULL: the "did you mean" of every message. Ties: first in the list. */
Sym sym_nearest(Sym name, const Sym *candidates, size_t n);

/* ---- map.c: u64 -> void *, iteration in insertion order ---- */

typedef struct Map Map;

Map *map_new(Arena *arena);
void *map_get(const Map *map, uint64_t key);       /* NULL when absent */
void map_put(Map *map, uint64_t key, void *value); /* replaces; value must not be NULL */
uint32_t map_count(const Map *map);
uint64_t map_key_at(const Map *map, uint32_t i); /* 0 <= i < map_count, insertion order */
void *map_value_at(const Map *map, uint32_t i);
#define MAP_KEY(pointer) ((uint64_t)(uintptr_t)(pointer))

/* 64-bit hashes (XXH3) and their combination, for hash-consing and content keys. */
uint64_t hash_bytes(const void *data, size_t n);
uint64_t hash_text(const char *text);
uint64_t hash_mix(uint64_t seed, uint64_t value);

/* ---- strbuf.c: text under construction ---- */

typedef struct StrBuf {
    Arena *arena;
    char *text; /* always NUL-terminated once anything was written; sb_text never returns NULL */
    size_t n, cap;
} StrBuf;

StrBuf sb_new(Arena *arena);
void sb_printf(StrBuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sb_puts(StrBuf *sb, const char *text);
void sb_putn(StrBuf *sb, const char *text, size_t n);
void sb_putc(StrBuf *sb, char c);
void sb_pad(StrBuf *sb, size_t column,
            size_t line_start); /* blanks up to column after line_start */
const char *sb_text(StrBuf *sb);
/* A JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void sb_json(StrBuf *sb, const char *text, size_t n);
/* The shortest decimal that reads back as the same double ("0.1", "1e-05", "inf", "nan"). */
void sb_double(StrBuf *sb, double value);
/* A size for people, exact below 10 KiB: 2048 B, 15.30 KiB, 2.19 MiB, .. */
void sb_bytes(StrBuf *sb, uint64_t bytes);

/* ---- file.c: the file system ---- */

typedef struct Bytes {
    char *data; /* NUL-terminated behind the last byte */
    size_t n;
} Bytes;

/* Reads a whole regular file of at most `limit` bytes. ERR_FILE when absent, unreadable or larger. */
bool file_read(Arena *arena, const char *path, size_t limit, Bytes *out, Err *err);
/* temp file beside it + fsync + rename + fsync of the folder: the old content or the new, never half. */
bool file_write_atomic(const char *path, const void *data, size_t n, Err *err);
bool file_exists(const char *path);
bool file_is_dir(const char *path);
bool file_mkdirs(const char *path, Err *err); /* like mkdir -p */
bool file_fsync_dir(const char *path, Err *err);
bool file_remove_tree(const char *path, Err *err);
const char *path_join(Arena *arena, const char *dir, const char *name); /* name if it is absolute */
const char *path_dir(Arena *arena, const char *path);  /* "." when there is no slash */
const char *path_base(const char *path);               /* after the last slash */
const char *path_stem(Arena *arena, const char *path); /* base without its last extension */
/* $MDL_CACHE, else $XDG_CACHE_HOME/mdl, else $HOME/.cache/mdl, else /tmp/mdl-cache-<uid>. */
const char *path_cache(Arena *arena);

#ifdef __cplusplus
}
#endif

#endif

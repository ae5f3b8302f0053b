/* jitcache.h: compiled units on disk; private to the JIT. */
#ifndef MDL_JITCACHE_H
#define MDL_JITCACHE_H

#include "base.h"

/* A kernel's shared object is CONTENT-COMPILER.so: hashes of all that goes into the compilation, and
 * of the compiler's version. So one found for any compiler will do where there is none. Kernels that were
 * compiled together share an object. */

/* Makes the folder. ERR_DEVICE when that fails, or when others could have put files into it. */
bool jitcache_open(const char *dir, Err *err);
/* The path of a whole object for this content, or NULL. compiler NULL: made by any. */
const char *jitcache_find(Arena *arena, const char *dir, const char *content, const char *compiler);
/* An empty file with a new name beside `path`. NULL: ERR_DEVICE. */
const char *jitcache_temp(Arena *arena, const char *path, Err *err);
/* Appends the checksum to the object `temp`, whose n > 0 names beside it these are from now on; `temp` is gone, also after
 * false. */
bool jitcache_keep(Arena *arena, const char *temp, const char *const *path, uint32_t n, Err *err);

/* Anything else that is compiled: CONTENT-COMPILER and an ending. */
typedef struct JitcacheEntry {
    const char *dir, *content, *compiler, *end; /* compiler NULL when reading: made by any */
} JitcacheEntry;

/* Of an entry with a compiler. */
const char *jitcache_path(Arena *arena, const JitcacheEntry *e);
/* False when there is none, or it is cut or altered. */
bool jitcache_read(Arena *arena, const JitcacheEntry *e, Bytes *out);
/* The same bytes under n > 0 names. */
bool jitcache_write(Arena *arena, const char *const *path, uint32_t n, Bytes bytes, Err *err);
/* The hash of all that goes into a compilation. */
const char *jitcache_content(Arena *arena, const char *const *part, uint32_t n);

/* Adds to an error of writing to the cache what to do. Returns false. */
bool jitcache_help(Err *err);

#endif

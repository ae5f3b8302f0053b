/* mutate.h: mutants of good programs, for test_mutants.c (chosen by a seed) and fuzz_mutate.c (chosen by
 * the bytes that the fuzzer invents, so that it mutates tokens and not bytes). */
#ifndef MDL_MUTATE_H
#define MDL_MUTATE_H

#include "../support/testrand.h"
#include "base.h"

/* Where choices come from: a seed, or bytes, all zero when they are used up. */
typedef struct Chooser {
    bool bytes;
    TestRand seed;
    const uint8_t *data;
    size_t n;
} Chooser;
uint32_t choose(Chooser *r, uint32_t n); /* 0 <= result < n */

typedef struct Corpus Corpus;
Corpus *corpus_new(Arena *arena); /* the seeds of fuzz_front, and small examples */
uint32_t corpus_count(const Corpus *c);
const char *corpus_text(const Corpus *c, Arena *arena, uint32_t i);
const char *corpus_mutant(const Corpus *c, Arena *arena, Chooser *r);

#endif

/* replay.c: a fuzz target as an ordinary test, for builds without libFuzzer.
 *
 * One test case gives it every file of its corpus, one every kind of truncation of them, and one
 * seeded mutations: bytes changed, runs copied, removed or repeated, files spliced. */
#include "fuzz.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FILE_LIMIT = 1 << 22, CUTS = 64, MUTANTS = 200 };

typedef VEC(Bytes) Corpus;

typedef struct State {
    Arena *arena;
    Corpus corpus;
} State;

static int compare_bytes(const void *a, const void *b)
{
    const Bytes *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return memcmp(x->data, y->data, x->n);
}

/* Reads corpus/<name>; sorted by content, since a folder has no order of its own. */
static void read_corpus(State *s)
{
    VEC_PUSH(s->arena, &s->corpus, ((Bytes){arena_strdup(s->arena, ""), 0}));
    DIR *dir = opendir(MDL_CORPUS);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        Bytes bytes;
        const char *path = path_join(s->arena, MDL_CORPUS, entry->d_name);
        if (file_read(s->arena, path, FILE_LIMIT, &bytes, NULL))
            VEC_PUSH(s->arena, &s->corpus, bytes);
    }
    closedir(dir);
    qsort(s->corpus.at, s->corpus.n, sizeof *s->corpus.at, compare_bytes);
}

/* From a copy of exactly n bytes on the heap, so that a read behind the end is seen by ASan. */
static void run(const char *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n)
        memcpy(copy, data, n);
    assert_int_equal(LLVMFuzzerTestOneInput(copy, n), 0);
    free(copy);
}

static void corpus(void **state)
{
    const State *s = *state;
    for (uint32_t i = 0; i < s->corpus.n; i++)
        run(s->corpus.at[i].data, s->corpus.at[i].n);
}

static void truncations(void **state)
{
    const State *s = *state;
    for (uint32_t i = 0; i < s->corpus.n; i++) {
        size_t n = s->corpus.at[i].n, step = n / CUTS + 1;
        for (size_t cut = 0; cut < n; cut += step)
            run(s->corpus.at[i].data, cut);
    }
}

static uint64_t next(uint64_t *seed)
{
    return *seed = hash_mix(*seed, 0x6d75746174650001u);
}

/* One edit of text[0..n) in a buffer with room; returns the new length. */
static size_t mutate(char *text, size_t n, size_t room, const Bytes *other, uint64_t *seed)
{
    if (n == 0)
        return n;
    size_t at = next(seed) % n, len = next(seed) % (n - at) % 40 + 1;
    if (len > n - at)
        len = n - at;
    switch (next(seed) % 4) {
    case 0:
        text[at] = (char)next(seed);
        return n;
    case 1:
        memmove(text + at, text + at + len, n - at - len);
        return n - len;
    case 2:
        if (n + len > room)
            return n;
        memmove(text + at + len, text + at, n - at);
        return n + len;
    }
    size_t from = other->n ? next(seed) % other->n : 0;
    if (len > other->n - from)
        len = other->n - from;
    if (len)
        memcpy(text + at, other->data + from, len);
    return n;
}

static void mutations(void **state)
{
    const State *s = *state;
    uint64_t seed = 1;
    for (uint32_t i = 0; i < s->corpus.n; i++) {
        Bytes from = s->corpus.at[i];
        size_t room = from.n + 200;
        char *text = malloc(room);
        assert_non_null(text);
        for (int m = 0; m < MUTANTS && from.n; m++) {
            size_t n = from.n;
            memcpy(text, from.data, n);
            for (uint64_t edits = next(&seed) % 5 + 1; edits; edits--)
                n = mutate(text, n, room, &s->corpus.at[next(&seed) % s->corpus.n], &seed);
            run(text, n);
        }
        free(text);
    }
}

int main(void)
{
    State s = {.arena = arena_new()};
    read_corpus(&s);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(corpus, &s),
        cmocka_unit_test_prestate(truncations, &s),
        cmocka_unit_test_prestate(mutations, &s),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(s.arena);
    return failed;
}

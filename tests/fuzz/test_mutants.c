/* test_mutants.c: programs that are nearly right (mutate.h): whatever comes out must be checked without a
 * crash and, if accepted, give valid graphs. A seed gives one mutant: MDL_MUTANT=N shows number N,
 * MDL_MUTANTS=FROM:TO runs more than the usual few. */
#define _GNU_SOURCE
#include "fuzz_program.h"

#include "mutate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* ---- what must hold ---- */

/* True when the program is right. */
static bool check(const FuzzStd *s, const char *text)
{
    FuzzFile file = fuzz_file_open(text, strlen(text));
    bool loaded = fuzz_load(s, file.path), good = loaded && front_check(s->front);
    ASSERT(good == (diags_errors(s->ir->diags) == 0));
    if (loaded)
        fuzz_stages(s);
    ASSERT(diags_render(s->ir->diags, s->arena, DIAG_HUMAN, false));
    fuzz_std_restore(s);
    fuzz_file_close(&file);
    return good;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void originals(void **state)
{
    Arena *arena = arena_new();
    Corpus *c = corpus_new(arena);
    for (uint32_t i = 0; i < corpus_count(c); i++)
        check(*state, corpus_text(c, arena, i));
    arena_free(arena);
}

static void mutants(void **state)
{
    Arena *arena = arena_new(), *scratch = arena_new();
    Corpus *c = corpus_new(arena);
    const char *range = getenv("MDL_MUTANTS"), *one = getenv("MDL_MUTANT");
    unsigned long from = 0, to = 400, good = 0;
    if (range) {
        char *end;
        from = strtoul(range, &end, 10);
        to = *end == ':' ? strtoul(end + 1, NULL, 10) : from + 400;
    }
    if (one) {
        from = strtoul(one, NULL, 10);
        to = from + 1;
    }
    for (unsigned long i = from; i < to; i++) {
        char what[32];
        snprintf(what, sizeof what, "mutant %lu", i);
        Chooser r = {.seed = {i}};
        arena_reset(scratch);
        const char *text = corpus_mutant(c, scratch, &r);
        if (one)
            fputs(text, stderr);
        bug_push(what);
        double start = seconds();
        good += check(*state, text);
        if (seconds() - start > 2)
            print_message("%s takes %.1f s\n", what, seconds() - start);
        assert_true(seconds() - start < 20);
        bug_pop();
    }
    assert_true(to - from < 100 || (good > 0 && good < to - from));
    if (range)
        print_message("%lu of %lu are right\n", good, to - from);
    arena_free(scratch);
    arena_free(arena);
}

int main(void)
{
    FuzzStd s = fuzz_std_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(originals, &s),
        cmocka_unit_test_prestate(mutants, &s),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fuzz_std_free(&s);
    return failed;
}

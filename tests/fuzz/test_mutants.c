/* test_mutants.c: programs that are nearly right (mutate.h): whatever comes out must be checked without a
 * crash and, if accepted, give valid graphs. A seed gives one mutant: MDL_MUTANT=N shows number N,
 * MDL_MUTANTS=FROM:TO runs more than the usual few. */
#define _GNU_SOURCE
#include "fuzz_file.h"

#include "front.h"
#include "mutate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* ---- what must hold ---- */

static void check_stage(Arena *arena, Ir *ir, Front *f, const char *name)
{
    PlanBuilder *b = planb_new(arena);
    const Program *p = front_stage(f, name, b);
    ASSERT(p || diags_errors(ir->diags) > 0);
    for (uint32_t i = 0; p && i < p->entries.n; i++)
        graph_verify(p->entries.at[i], p);
}

/* True when the program is right. */
static bool check(const char *text)
{
    FuzzFile file = fuzz_file_open(text, strlen(text));
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Err err = {0};
    Front *f = front_open(ir, &(FrontOptions){.path = file.path}, &err);
    ASSERT(f || diags_errors(ir->diags) > 0);
    bool good = f && front_check(f);
    ASSERT(good == (diags_errors(ir->diags) == 0));
    for (uint32_t i = 0; f && i < front_stage_count(f); i++)
        check_stage(arena, ir, f, front_stage_path(f, i));
    ASSERT(diags_render(ir->diags, arena, DIAG_HUMAN, false));
    arena_free(arena);
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
    UNUSED(state);
    Arena *arena = arena_new();
    Corpus *c = corpus_new(arena);
    for (uint32_t i = 0; i < corpus_count(c); i++)
        check(corpus_text(c, i));
    arena_free(arena);
}

static void mutants(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
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
        const char *text = corpus_mutant(c, &r);
        if (one)
            fputs(text, stderr);
        bug_push(what);
        double start = seconds();
        good += check(text);
        if (seconds() - start > 2)
            print_message("%s takes %.1f s\n", what, seconds() - start);
        assert_true(seconds() - start < 20);
        bug_pop();
    }
    assert_true(to - from < 100 || (good > 0 && good < to - from));
    if (range)
        print_message("%lu of %lu are right\n", good, to - from);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(originals),
        cmocka_unit_test(mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_simplify.c: every rule on its golden text; on random graphs the same values before and after,
 * to the bit in f64, and a fixed point. */
#include "golden.h"
#include "randgraph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_rules(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *report = golden_check(arena, "simplify/rules.txt", pass_simplify);
    if (report)
        fail_msg("%s", report);
    arena_free(arena);
}

static void test_tidy(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *report = golden_check(arena, "tidy/rules.txt", pass_tidy);
    if (report)
        fail_msg("%s", report);
    arena_free(arena);
}

/* One random graph; the worst distance over its results. */
static double run_random(uint64_t seed, DType dtype, uint32_t *removed)
{
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    PassCx *cx = passes_begin(ir, arena, NULL, NULL);
    RandGraph options = {.seed = seed, .nodes = 60, .dtype = dtype, .results = 4};
    Graph *before = graph_rewrite(randgraph(ir, arena, &options), arena, NULL, NULL);
    Graph *after = seed % 2 ? pass_tidy(cx, before) : pass_simplify(cx, before);
    graph_verify(after, NULL);
    *removed += before->nodes.n > after->nodes.n;
    Value **in = randgraph_inputs(before, arena, seed);
    Value **want = randgraph_run(before, arena, in), **got = randgraph_run(after, arena, in);
    double worst = 0;
    assert_int_equal(before->results.n, after->results.n);
    for (uint32_t i = 0; i < before->results.n; i++) {
        double d = value_distance(got[i], want[i]);
        worst = d > worst ? d : worst;
    }
    Graph *again = seed % 2 ? pass_tidy(cx, after) : pass_simplify(cx, after);
    if (graph_hash(again) != graph_hash(after))
        fail_msg("seed %llu: not a fixed point", (unsigned long long)seed);
    arena_free(arena);
    return worst;
}

/* f64 is folded as exactly as it is interpreted. */
static void test_random_f64(void **state)
{
    UNUSED(state);
    uint32_t removed = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        double d = run_random(seed, DT_F64, &removed);
        if (d != 0)
            fail_msg("seed %llu: values differ by %g", (unsigned long long)seed, d);
    }
    assert_true(removed > 200); /* or the property says nothing */
}

/* In f32 folded constants are rounded, which the interpreter does not do. */
static void test_random_f32(void **state)
{
    UNUSED(state);
    uint32_t removed = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        double d = run_random(seed, DT_F32, &removed);
        if (d > 1e-4)
            fail_msg("seed %llu: values differ by %g", (unsigned long long)seed, d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_tidy),
        cmocka_unit_test(test_random_f64),
        cmocka_unit_test(test_random_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

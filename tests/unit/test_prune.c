/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_prune.c: what is computed for fewer rows, on golden texts; on random graphs with a slice at the end
 * the same values before and after. */
#include "golden.h"
#include "randgraph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_golden(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *report = golden_check(arena, "prune/rows.txt", pass_prune);
    if (report)
        fail_msg("%s", report);
    arena_free(arena);
}

/* Slices of the results of a random graph instead of them. */
static Graph *with_slices(Ir *ir, Arena *arena, const RandGraph *options)
{
    Graph *g = randgraph(ir, arena, options);
    for (uint32_t i = 0; i < g->results.n; i++) {
        const Node *n = g->results.at[i].node;
        int64_t extent;
        for (uint32_t axis = 0; axis < n->type->rank; axis++)
            if (dim_is_const(n->type->dims[axis], &extent) && extent > 1) {
                g->results.at[i].node =
                    graph_slice(g, n, axis, dim_const(ir, extent - 1), dim_const(ir, 1));
                break;
            }
    }
    return graph_rewrite(g, arena, NULL, NULL);
}

static void test_random(void **state)
{
    UNUSED(state);
    uint32_t changed = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        Arena *arena = arena_new();
        Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
        PassCx *cx = passes_begin(ir, arena, NULL, NULL);
        RandGraph options = {.seed = seed, .nodes = 40, .dtype = DT_F64, .results = 2};
        Graph *before = with_slices(ir, arena, &options), *after = pass_prune(cx, before);
        graph_verify(after, NULL);
        changed += graph_hash(before) != graph_hash(after);
        Value **in = randgraph_inputs(before, arena, seed);
        Value **want = randgraph_run(before, arena, in), **got = randgraph_run(after, arena, in);
        for (uint32_t i = 0; i < before->results.n; i++)
            if (value_distance(got[i], want[i]) > 1e-12)
                fail_msg("seed %llu: result %u differs", (unsigned long long)seed, i);
        arena_free(arena);
    }
    assert_true(changed > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

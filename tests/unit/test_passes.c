/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_passes.c: the runner: order, --skip, --limit and the hook; on random graphs the same values at
 * every prefix of the passes that need no target. */
#include "randgraph.h"

#include "passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BEFORE_FUSE = PASS_fuse };

typedef struct Trace {
    PassId ran[PASS_COUNT];
    uint32_t n;
} Trace;

static void record(void *user, PassId id, const Graph *g)
{
    Trace *t = user;
    assert_non_null(g);
    assert_true(t->n < PASS_COUNT);
    t->ran[t->n++] = id;
}

static void test_table(void **state)
{
    UNUSED(state);
    for (PassId id = 0; id < PASS_COUNT; id++) {
        PassId found;
        assert_true(pass_find(pass_info(id)->name, &found));
        assert_int_equal(found, id);
    }
    PassId none;
    assert_false(pass_find("fusion", &none));
}

static Trace run_with(PassOptions opt)
{
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    PassCx *cx = passes_begin(ir, arena, NULL, NULL);
    Trace trace = {.n = 0};
    opt.after = record;
    opt.user = &trace;
    RandGraph options = {.seed = 4, .nodes = 20, .dtype = DT_F32};
    assert_non_null(passes_run(cx, randgraph(ir, arena, &options), &opt));
    arena_free(arena);
    return trace;
}

static void test_order_and_limit(void **state)
{
    UNUSED(state);
    for (int limit = 0; limit <= BEFORE_FUSE; limit++) {
        Trace t = run_with((PassOptions){.limit = limit});
        assert_int_equal(t.n, limit);
        for (uint32_t i = 0; i < t.n; i++)
            assert_int_equal(t.ran[i], i);
    }
}

/* A required pass stays; what is skipped does not count against the limit. */
static void test_skip(void **state)
{
    UNUSED(state);
    uint64_t skip = 1u << PASS_raise | 1u << PASS_simplify | 1u << PASS_autodiff | 1u << PASS_pair;
    Trace t = run_with((PassOptions){.skip = skip, .limit = 2});
    assert_int_equal(t.n, 2);
    assert_int_equal(t.ran[0], PASS_autodiff);
    assert_int_equal(t.ran[1], PASS_expand);
}

static void test_prefixes_agree(void **state)
{
    UNUSED(state);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        Arena *arena = arena_new();
        Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
        PassCx *cx = passes_begin(ir, arena, NULL, NULL);
        RandGraph options = {.seed = seed, .nodes = 50, .dtype = DT_F64, .results = 3};
        Graph *g = randgraph(ir, arena, &options);
        Value **in = randgraph_inputs(g, arena, seed), **want = randgraph_run(g, arena, in);
        for (int limit = 1; limit <= BEFORE_FUSE; limit++) {
            Graph *out = passes_run(cx, g, &(PassOptions){.limit = limit});
            Value **got = randgraph_run(out, arena, in);
            for (uint32_t i = 0; i < g->results.n; i++)
                assert_true(value_distance(got[i], want[i]) == 0);
        }
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_order_and_limit),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_prefixes_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

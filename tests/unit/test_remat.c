/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_target mdl_ir mdl_base */
/* test_remat.c: least cuts against all cuts; which values are computed again, on golden texts. Whole
 * programs with less and less memory are in tests/cli/test_memory.c. */
#include "golden.h"
#include "mincut.h"
#include "testrand.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- cuts ---- */

enum { NODES = 8, EDGES = 18 };

typedef struct Net {
    uint32_t from[EDGES], to[EDGES];
    int64_t capacity[EDGES];
} Net;

static int64_t cut_of(const Net *net, uint32_t side)
{
    int64_t sum = 0;
    for (int i = 0; i < EDGES; i++)
        if ((side >> net->from[i] & 1) && !(side >> net->to[i] & 1))
            sum += net->capacity[i];
    return sum;
}

/* Node 0 is the source, node 1 the sink. */
static int64_t least_cut(const Net *net)
{
    int64_t least = INT64_MAX;
    for (uint32_t side = 0; side < 1u << NODES; side++)
        if ((side & 3) == 1 && cut_of(net, side) < least)
            least = cut_of(net, side);
    return least;
}

static void test_cuts(void **state)
{
    UNUSED(state);
    for (uint64_t seed = 0; seed < 300; seed++) {
        Arena *arena = arena_new();
        TestRand r = {seed};
        Net net;
        MinCut *m = mincut_new(arena, NODES);
        for (int i = 0; i < EDGES; i++) {
            net.from[i] = (uint32_t)rand_range(&r, 0, NODES);
            net.to[i] = (uint32_t)rand_range(&r, 0, NODES);
            net.capacity[i] =
                rand_range(&r, 0, 10) < 1 ? MINCUT_INF : (int64_t)rand_range(&r, 0, 9);
            mincut_edge(m, net.from[i], net.to[i], net.capacity[i]);
        }
        int64_t want = least_cut(&net), got = mincut_run(m, 0, 1);
        if (want < MINCUT_INF) {
            uint32_t side = 0;
            for (uint32_t v = 0; v < NODES; v++)
                side |= (uint32_t)mincut_side(m, v) << v;
            assert_int_equal(got, want);
            assert_int_equal(cut_of(&net, side), want);
        }
        arena_free(arena);
    }
}

/* A path as long as a deep program: nothing recurses. */
static void test_long_path(void **state)
{
    UNUSED(state);
    enum { LENGTH = 200000 };
    Arena *arena = arena_new();
    MinCut *m = mincut_new(arena, LENGTH);
    for (uint32_t i = 0; i + 1 < LENGTH; i++)
        mincut_edge(m, i, i + 1, i == LENGTH / 2 ? 3 : 7);
    assert_int_equal(mincut_run(m, 0, LENGTH - 1), 3);
    assert_true(mincut_side(m, LENGTH / 2));
    assert_false(mincut_side(m, LENGTH / 2 + 1));
    arena_free(arena);
}

/* ---- golden texts ---- */

static Graph *remat(PassCx *cx, const Graph *in)
{
    Program *p = program_new(cx->ir, NULL);
    for (uint32_t i = 0; i < 8; i++) {
        State proto = {.kind = i < 4 ? SK_PARAM : SK_GRAD, .type = type_scalar(cx->ir, DT_F32)};
        program_state(p, &proto);
    }
    Target *target = NEW(cx->arena, Target);
    *target = (Target){.name = "test", .flops = 1e11, .bandwidth = 1e10};
    cx->program = p;
    cx->target = target;
    cx->remat = 1e9;
    return pass_remat(cx, in);
}

static void test_golden(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *report = golden_check(arena, "remat/values.txt", remat);
    if (report)
        fail_msg("%s", report);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

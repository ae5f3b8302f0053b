/* LIBS: mdl_test_support mdl_front_rule mdl_ir mdl_base */
/* test_rule.c: gradient texts mean what the same C expression means. */
#include "front_rule.h"
#include "randgraph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The value of a rule at x0 x1 x2 y dy, broadcast to three elements. */
static double value_of(const char *text, const double *at)
{
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Graph *g = graph_new(ir, arena, sym(ir->syms, "rule"));
    const Dim *three = dim_const(ir, 3);
    const Type *t = type_tensor(ir, DT_F64, 1, &three);
    const Node *n[5];
    Value *v[5];
    for (int i = 0; i < 5; i++) {
        n[i] = graph_input(g, sym_printf(ir->syms, "v%d", i), t);
        v[i] = value_new(arena, t, NULL);
        for (int k = 0; k < 3; k++)
            v[i]->at[k] = at[i];
    }
    const Node *r = front_rule(g, front_rule_parse(ir, text), &(RuleArgs){n, 3, n[3], n[4]});
    assert_non_null(r);
    graph_result(g, sym(ir->syms, "r"), r);
    Value *out = randgraph_run(g, arena, v)[0];
    assert_int_equal(out->count, 3);
    double result = out->at[2];
    assert_true(out->at[0] == result);
    arena_free(arena);
    return result;
}

#define CHECK(text, expr)                                               \
    do {                                                                \
        double got = value_of((text), at), want = (expr);               \
        if (!(fabs(got - want) <= 1e-14 * fabs(want)))                  \
            fail_msg("%s is %.17g, expected %.17g", (text), got, want); \
    } while (0)

static void test_expressions(void **state)
{
    UNUSED(state);
    const double at[] = {1.5, -0.75, 2.25, 0.3, -2.5};
    double x0 = at[0], x1 = at[1], x2 = at[2], y = at[3], dy = at[4];
    CHECK("dy", dy);
    CHECK("x0 - x1 - x2", x0 - x1 - x2);
    CHECK("x0 / x1 / x2", x0 / x1 / x2);
    CHECK("x0 + x1 * x2", x0 + x1 * x2);
    CHECK("(x0 + x1) * x2", (x0 + x1) * x2);
    CHECK("-dy * y / x1", -dy * y / x1);
    CHECK("-x0 ** 2", -(x0 * x0));
    CHECK("x0 ** 2 ** 3", pow(x0, 8));
    CHECK("x0 ** -1 * dy", dy / x0);
    CHECK("2 * x0 ** (x1 - 1)", 2 * pow(x0, x1 - 1));
    CHECK("1.1283791670955126 * exp(-x0 * x0)", 1.1283791670955126 * exp(-x0 * x0));
    CHECK("1e-3 + .5", 0.501);
    CHECK("--x0", x0);
    CHECK("max(x0, x1) - min(x0, x1)", x0 - x1);
}

static void test_comparisons(void **state)
{
    UNUSED(state);
    const double at[] = {1.5, -0.75, 1.5, 0.3, -2.5};
    CHECK("select(x0 < x1, 1, 2)", 2);
    CHECK("select(x0 > x1, 1, 2)", 1);
    CHECK("select(x0 <= x2, 1, 2)", 1);
    CHECK("select(x0 >= x2, 1, 2)", 1);
    CHECK("select(x1 >= x0, 1, 2)", 2);
    CHECK("select(x0 == x2, 1, 2)", 1);
    CHECK("select(x0 != x2, 1, 2)", 2);
    CHECK("select(x0 - 1 < x1 + 1, dy, y)", 0.3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_comparisons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

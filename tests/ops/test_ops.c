/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_ops.c: every RANGE row of ops.def: its evaluation against formulas written here a second time,
 * its gradient text against central differences. A new row is tested by being listed. */
#include "gradcheck.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the TEST column ---- */

typedef struct Row {
    OpKind op;
    double range[4]; /* lo, hi of the first operand; lo, hi of the others where given */
    bool ranged;
} Row;

#define IR(...)
#define AD(...)
#define GEN(...)
#define TEST(...)  __VA_ARGS__
#define RANGE(...) .range = {__VA_ARGS__}, .ranged = true
#define SHAPED     .ranged = false
static const Row rows[] = {
#define OP(id, name, doc, ir, ad, gen, test) {.op = OP_##id, test},
#include "ops.def"
#undef OP
};

static double sample(TestRand *r, const Row *row, uint32_t operand)
{
    const double *range =
        row->range[2] < row->range[3] && operand > 0 ? row->range + 2 : row->range;
    return rand_range(r, range[0], range[1]);
}

/* ---- the second opinion ---- */

static double up(double a)
{
    return -floor(-a);
}

static double even(double a)
{
    return fabs(a) < 0x1p52 ? copysign(fabs(a) + 0x1p52 - 0x1p52, a) : a;
}

static double greater(double a, double b)
{
    return isnan(a) || isnan(b) ? (double)NAN : fmax(a, b);
}

/* By name; false when the test does not know the operation. */
static bool expected(const char *name, double a, double b, double *out)
{
    const struct {
        const char *name;
        double value;
    } known[] = {
        {"neg", 0 - a},
        {"abs", signbit(a) ? -a : a},
        {"sign", a > 0 ? 1 : (a < 0 ? -1 : 0)},
        {"exp", pow(exp(1), a)},
        {"exp2", exp(a * 0.69314718055994530942)},
        {"expm1", 2 * exp(a / 2) * sinh(a / 2)},
        {"log2", log(a) / 0.69314718055994530942},
        {"log1p", 2 * atanh(a / (2 + a))},
        {"log", log2(a) * 0.69314718055994530942},
        {"sqrt", pow(a, 0.5)},
        {"rsqrt", pow(a, -0.5)},
        {"sin", cos(a - 1.57079632679489661923)},
        {"cos", sin(a + 1.57079632679489661923)},
        {"tanh", 1 - 2 / (exp(2 * a) + 1)},
        {"erf", 1 - erfc(a)},
        {"sigmoid", 0.5 + 0.5 * tanh(a / 2)},
        {"floor", -up(-a)},
        {"ceil", up(a)},
        {"round", even(a)},
        {"trunc", a < 0 ? up(a) : floor(a)},
        {"is_finite", fabs(a) <= 1.7976931348623157e308},
        {"stop", a},
        {"add", a - -b},
        {"sub", a + -b},
        {"mul", a * b},
        {"div", a * (1 / b)},
        {"pow", exp2(b * log2(a))},
        {"max", greater(a, b)},
        {"min", -greater(-a, -b)},
        {"eq", !(a < b) && !(b < a) && !isnan(a) && !isnan(b)},
        {"ne", a < b || b < a || isnan(a) || isnan(b)},
        {"lt", b > a},
        {"le", b >= a},
    };
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].value;
            return true;
        }
    return false;
}

static void assert_near(const char *name, double a, double b)
{
    double want, got;
    OpKind op;
    assert_true(op_find(name, &op));
    got = op_info(op)->eval(a, b, 0);
    if (!expected(name, a, b, &want))
        fail_msg("no formula for %s: add one above", name);
    bool same =
        got == want || (isnan(got) && isnan(want)) || fabs(got - want) <= 1e-13 * (1 + fabs(want));
    if (!same)
        fail_msg("%s(%.17g, %.17g) is %.17g, expected %.17g", name, a, b, got, want);
}

static void test_values(void **state)
{
    UNUSED(state);
    TestRand r = {1};
    int tested = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!rows[i].ranged)
            continue;
        tested++;
        for (int k = 0; k < 200; k++)
            assert_near(op_info(rows[i].op)->name, sample(&r, &rows[i], 0),
                        sample(&r, &rows[i], 1));
    }
    assert_true(tested > 20);
}

/* Where the formulas hold for them too: order and sums with NaN, infinities and signed zeros. */
static void test_special_values(void **state)
{
    UNUSED(state);
    static const char *const names[] = {
        "neg", "abs", "sign", "floor", "ceil", "round", "trunc", "is_finite", "stop", "add", "sub",
        "mul", "max", "min",  "eq",    "ne",   "lt",    "le",    "sigmoid",   "tanh", "erf"};
    const double special[] = {NAN,  INFINITY, -INFINITY, 0.0,  -0.0, 0.5,
                              -0.5, 1.5,      2.5,       -2.5, 1e300};
    for (size_t i = 0; i < COUNT(names); i++)
        for (size_t a = 0; a < COUNT(special); a++)
            for (size_t b = 0; b < COUNT(special); b++)
                assert_near(names[i], special[a], special[b]);
}

/* ---- gradients ---- */

enum { ELEMENTS = 13 };

static Graph *row_graph(Ir *ir, Arena *arena, const Row *row)
{
    Graph *g = graph_new(ir, arena, sym(ir->syms, op_info(row->op)->name));
    const Dim *dims[] = {dim_const(ir, ELEMENTS)};
    const Node *in[3] = {NULL};
    uint32_t n = (uint32_t)op_info(row->op)->arity;
    for (uint32_t k = 0; k < n; k++)
        in[k] = graph_input(g, sym_printf(ir->syms, "x%u", k), type_tensor(ir, DT_F64, 1, dims));
    graph_result(g, sym(ir->syms, "y"),
                 graph_op(g, &(NodeSpec){.op = row->op, .nin = n, .in = in}));
    return g;
}

static void check_row(const Row *row, uint64_t seed)
{
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    PassCx *cx = passes_begin(ir, arena, NULL, NULL);
    Graph *g = row_graph(ir, arena, row);
    TestRand r = {seed};
    Value *in[3];
    for (uint32_t k = 0; k < g->inputs.n; k++) {
        in[k] = value_new(arena, g->inputs.at[k]->type, NULL);
        for (int i = 0; i < ELEMENTS; i++)
            in[k]->at[i] = sample(&r, row, k);
    }
    const char *why = gradcheck(cx, g, in, seed);
    if (why)
        fail_msg("%s: %s", op_info(row->op)->name, why);
    arena_free(arena);
}

static void test_gradients(void **state)
{
    UNUSED(state);
    int tested = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!rows[i].ranged || !autodiff_flows(rows[i].op))
            continue;
        tested++;
        for (uint64_t seed = 0; seed < 5; seed++)
            check_row(&rows[i], seed);
    }
    assert_true(tested >= 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_support mdl_passes mdl_front mdl_ir mdl_plan mdl_base */
/* test_scan.c: loops that a graph keeps, against the same steps written one after another; their
 * gradients against central differences; their text. */
#include "elabcase.h"

#include "../support/gradcheck.h"

/* f and g of the text give the same on x f64[2, 4, 3]. */
static void assert_same(const char *text)
{
    static double x[24];
    for (int i = 0; i < 24; i++)
        x[i] = sin(i + 1);
    Lab l = lab_open(text);
    lab_input(&l, "x", DT_F64, x, 3, (int64_t[]){2, 4, 3});
    Value **f = lab_call(&l, "f");
    uint32_t n = l.program->entries.at[0]->results.n;
    Value **g = lab_call(&l, "g");
    assert_int_equal(l.program->entries.at[0]->results.n, n);
    for (uint32_t i = 0; i < n; i++)
        assert_values(f[i], g[i]->at, g[i]->count);
    lab_close(&l);
}

static void test_steps(void **state)
{
    UNUSED(state);
    assert_same("fn next(h: f64[B, D], x: f64[B, D]) -> (f64[B, D], f64[B]) {\n"
                "  n = tanh(h + x)\n  y[b] += n[b, d] * x[b, d]\n  (n, y)\n}\n"
                "fn f(x: f64[B, T, D]) {\n"
                "  h, y = scan(next, x[:, 0], x, axis: 1)\n  (h, y)\n}\n"
                "fn g(x: f64[B, T, D]) {\n"
                "  h = x[:, 0]\n  all = []\n"
                "  for i in 0..4 {\n    h, y = next(h, x[:, i])\n    all = all + [y]\n  }\n"
                "  (h, stack(all, axis: 1))\n}\n");
}

/* Tuples of tuples, several sequences, values from outside, a number that goes round. */
static void test_trees(void **state)
{
    UNUSED(state);
    assert_same(
        "fn f(x: f64[B, T, D]) {\n"
        "  w = sum(x, axis: 1)\n"
        "  a, b = scan((s, u) => {\n"
        "    (p, q) = s\n    (v, n) = u\n"
        "    (((p + v * w), q + 1), (p * n, n))\n"
        "  }, (0 * w, 2), (x, 2 * x), axis: 1)\n"
        "  (a.0, a.1, b.0)\n}\n"
        "fn g(x: f64[B, T, D]) {\n"
        "  w = sum(x, axis: 1)\n  p = 0 * w\n  q = 2 + 0 * sum(f32(x), axis: all)\n  all = []\n"
        "  for i in 0..4 {\n"
        "    all = all + [2 * p * x[:, i]]\n    p = p + x[:, i] * w\n    q = q + 1\n"
        "  }\n"
        "  (p, q, stack(all, axis: 1))\n}\n");
}

static void test_nested(void **state)
{
    UNUSED(state);
    assert_same("fn f(x: f64[B, T, D]) {\n"
                "  k = 2 * x[0, 0, 0]\n"
                "  fold((s, row) => fold((t, e) => t * k + e, s, row), 0 * k, x as [B * T, D])\n}\n"
                "fn g(x: f64[B, T, D]) {\n"
                "  k = 2 * x[0, 0, 0]\n  t = 0 * k\n"
                "  for i in 0..2 { for j in 0..4 { for d in 0..3 { t = t * k + x[i, j, d] } } }\n"
                "  t\n}\n");
}

static void test_fold(void **state)
{
    UNUSED(state);
    assert_same("fn f(x: f64[B, T, D]) {\n"
                "  (fold((s, i) => s + i * x[0], 0 * x[0], 5), fold((s, a) => 2 * s + a, x[0], "
                "[x[1], 3 * x[1]]))\n}\n"
                "fn g(x: f64[B, T, D]) = (10 * x[0], 4 * x[0] + 2 * x[1] + 3 * x[1])\n");
}

#define CELL                                                             \
    "fn cell(s: (f64[B, D], f64[B, D]), u: f64[B, D], w: f64[D, D]) {\n" \
    "  (h, c) = s\n"                                                     \
    "  c = sigmoid(u) * c + tanh(h @ w)\n"                               \
    "  h = tanh(c) * u\n"                                                \
    "  ((h, c), h * c)\n"                                                \
    "}\n"

static void check_gradient(const char *text)
{
    static double x[24], w[9], h[6];
    for (int i = 0; i < 24; i++)
        x[i] = sin(i + 1);
    for (int i = 0; i < 9; i++)
        w[i] = cos(3 * i);
    for (int i = 0; i < 6; i++)
        h[i] = sin(5 * i + 2);
    Lab l = lab_open(text);
    lab_input(&l, "x", DT_F64, x, 3, (int64_t[]){2, 4, 3});
    lab_input(&l, "w", DT_F64, w, 2, (int64_t[]){3, 3});
    lab_input(&l, "h", DT_F64, h, 2, (int64_t[]){2, 3});
    lab_call(&l, "f");
    const Graph *g = l.program->entries.at[0];
    PassCx *cx = passes_begin(l.ir, l.arena, l.program, NULL);
    const char *wrong = gradcheck(cx, g, lab_inputs(&l, g), 1);
    if (wrong)
        fail_msg("%s", wrong);
    lab_close(&l);
}

static void test_gradients(void **state)
{
    UNUSED(state);
    check_gradient(CELL "fn f(x: f64[B, T, D], w: f64[D, D], h: f64[B, D]) -> f64[B, T, D] =\n"
                        "  scan((s, u) => cell(s, u, w), (h, 2 * h), x, axis: 1).1\n");
    check_gradient(CELL "fn f(x: f64[B, T, D], w: f64[D, D], h: f64[B, D]) -> f64[B, D] =\n"
                        "  scan((s, u) => cell(s, u, w), (h, h), x, axis: 1).0.1\n");
    check_gradient("fn f(x: f64[B, T, D], w: f64[D, D], h: f64[B, D]) -> f64[B, D] =\n"
                   "  fold((s, i) => tanh(s @ w) + i * h, h + x[:, 0], 3)\n");
    check_gradient("fn f(x: f64[B, T, D], w: f64[D, D], h: f64[B, D]) -> f64[D] =\n"
                   "  fold((s, row) => fold((t, e) => sin(t) * e @ w, s, row), h[0], x)\n");
}

static void test_text(void **state)
{
    UNUSED(state);
    static double x[24];
    Lab l = lab_open(
        "fn f(x: f64[B, T, D]) = scan((h, u) => (h + u, 2 * u), 0 * x[:, 0], x, axis: 1)\n");
    lab_input(&l, "x", DT_F64, x, 3, (int64_t[]){2, 4, 3});
    lab_call(&l, "f");
    const Graph *g = l.program->entries.at[0];
    StrBuf text = sb_new(l.arena), again = sb_new(l.arena);
    graph_print(g, NULL, &text);
    assert_non_null(strstr(sb_text(&text), "def @scan scan visible=2 {"));
    assert_non_null(strstr(sb_text(&text), " def=@scan carry=1 xs=1 reverse=0 length=4"));
    Graph *back =
        graph_parse(l.ir, l.arena, diags_source(l.ir->diags, "g", sb_text(&text), text.n));
    assert_non_null(back);
    graph_print(back, NULL, &again);
    assert_string_equal(sb_text(&text), sb_text(&again));
    static const char *const wrong[][2] = {
        {"carry=1", "carry=9"}, {"xs=1", "xs=0"}, {"length=4", "length=5"}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        char *bad = arena_strdup(l.arena, sb_text(&text)), *at = strstr(bad, wrong[i][0]);
        memcpy(at, wrong[i][1], strlen(wrong[i][1]));
        assert_null(graph_parse(l.ir, l.arena, diags_source(l.ir->diags, "g", bad, strlen(bad))));
    }
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),     cmocka_unit_test(test_trees),
        cmocka_unit_test(test_nested),    cmocka_unit_test(test_fold),
        cmocka_unit_test(test_gradients), cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_elab.c: functions, types, compile-time values and operators: what programs compute. */
#include "elabcase.h"

enum { MOST = 16 };

/* One function `f` of x f32[2, 3] = 1 .. 6, i i32[4], u u8[4], b bool[4], and its first result. */
typedef struct Case {
    const char *text;
    const char *type;
    double want[MOST];
    int64_t n;
} Case;

static Lab open_values(const char *text)
{
    static const double x[] = {1, 2, 3, 4, 5, 6}, i[] = {-3, -1, 2, 5}, u[] = {250, 3, 7, 0},
                        b[] = {1, 0, 0, 1};
    static const int64_t matrix[] = {2, 3}, four[] = {4};
    Lab l = lab_open(text);
    if (lab_takes(text, "x"))
        lab_input(&l, "x", DT_F32, x, 2, matrix);
    if (lab_takes(text, "i"))
        lab_input(&l, "i", DT_I32, i, 1, four);
    if (lab_takes(text, "u"))
        lab_input(&l, "u", DT_U8, u, 1, four);
    if (lab_takes(text, "b"))
        lab_input(&l, "b", DT_BOOL, b, 1, four);
    return l;
}

static void check(const Case *cases, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        Lab l = open_values(cases[c].text);
        Value **out = lab_call(&l, "f");
        if (strcmp(lab_type(&l, 0), cases[c].type) != 0)
            print_error("%s\n", cases[c].text);
        assert_string_equal(lab_type(&l, 0), cases[c].type);
        assert_values(out[0], cases[c].want, cases[c].n);
        lab_close(&l);
    }
}

#define CASE(text, type, ...)                                                                  \
    {                                                                                          \
        text, type, {__VA_ARGS__}, (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)) \
    }

/* ---- operators ---- */

static void test_integers(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        CASE("fn f(i: i32[4]) = i // 2", "i32[4]", -2, -1, 1, 2),
        CASE("fn f(i: i32[4]) = i % 3", "i32[4]", 0, 2, 2, 2),
        CASE("fn f(i: i32[4]) = i % -3", "i32[4]", 0, -1, -1, -1),
        CASE("fn f(i: i32[4]) = i / 2", "f32[4]", -1.5, -0.5, 1, 2.5),
        CASE("fn f(i: i32[4]) = i ** 2", "f32[4]", 9, 1, 4, 25),
        CASE("fn f(i: i32[4]) = -i", "i32[4]", 3, 1, -2, -5),
        CASE("fn f(i: i32[4]) = i + 0.5", "f32[4]", -2.5, -0.5, 2.5, 5.5),
        CASE("fn f(i: i32[4], u: u8[4]) = i + u", "i32[4]", 247, 2, 9, 5),
        CASE("fn f(i: i32[4], b: bool[4]) = i * b", "i32[4]", -3, 0, 0, 5),
        CASE("fn f(b: bool[4]) = b + b", "i32[4]", 2, 0, 0, 2),
        CASE("fn f(b: bool[4], u: u8[4]) = b + u", "u8[4]", 251, 3, 7, 1),
        CASE("fn f(i: i32[4]) = exp(i - i)", "f32[4]", 1, 1, 1, 1),
        CASE("fn f(i: i32[4]) = max(i, 0)", "i32[4]", 0, 0, 2, 5),
        CASE("fn f(i: i32[4]) = clamp(i, -2, 2)", "i32[4]", -2, -1, 2, 2),
        CASE("fn f(i: i32[4]) = i as i64", "i64[4]", -3, -1, 2, 5),
        CASE("fn f(x: f32[2, 3]) = trunc(x[0] - 1.5) as i32", "i32[3]", 0, 0, 1),
        CASE("fn f(i: i32[4]) = bool(i - 2)", "bool[4]", 1, 1, 0, 1),
        CASE("fn f(b: bool[4]) = f32(b)", "f32[4]", 1, 0, 0, 1),
    };
    check(cases, COUNT(cases));
}

static void test_logic(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        CASE("fn f(i: i32[4]) = i > -1", "bool[4]", 0, 0, 1, 1),
        CASE("fn f(i: i32[4]) = i >= -1", "bool[4]", 0, 1, 1, 1),
        CASE("fn f(i: i32[4]) = 2 == i", "bool[4]", 0, 0, 1, 0),
        CASE("fn f(i: i32[4]) = i != 2 and i < 5", "bool[4]", 1, 1, 0, 0),
        CASE("fn f(i: i32[4], b: bool[4]) = not b or i == 5", "bool[4]", 0, 1, 1, 1),
        CASE("fn f(i: i32[4], b: bool[4]) = select(b, i, 7)", "i32[4]", -3, 7, 7, 5),
        CASE("fn f(b: bool[4]) = select(b, 1, 0.5)", "f32[4]", 1, 0.5, 0.5, 1),
        CASE("fn f(b: bool[4]) = select(b, false, true)", "bool[4]", 0, 1, 1, 0),
        CASE("fn f(i: i32[4]) = i > 0.5", "bool[4]", 0, 0, 1, 1),
        CASE("fn f(b: bool[4]) = true and b", "bool[4]", 1, 0, 0, 1),
        CASE("fn f(b: bool[4]) = b or not (1 < 2)", "bool[4]", 1, 0, 0, 1),
        CASE("fn f(x: [2, 3]) = select(x[:, 0] > 2, 1, 0)", "i32[2]", 0, 1),
    };
    check(cases, COUNT(cases));
}

static void test_shapes(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        CASE("fn f(x: [2, 3]) = x + x[0]", "f32[2, 3]", 2, 4, 6, 5, 7, 9),
        CASE("fn f(x: [2, 3]) = x[1] - x", "f32[2, 3]", 3, 3, 3, 0, 0, 0),
        CASE("fn f(x: [2, 3]) = x as [3, 2]", "f32[3, 2]", 1, 2, 3, 4, 5, 6),
        CASE("fn f(x: [A, C]) = (x as [A * C])[1:5]", "f32[4]", 2, 3, 4, 5),
        CASE("fn f(x: [2, 3]) = x[:, 1:]", "f32[2, 2]", 2, 3, 5, 6),
        CASE("fn f(x: [2, 3]) = x[:, :-1]", "f32[2, 2]", 1, 2, 4, 5),
        CASE("fn f(x: [2, 3]) = x[-1]", "f32[3]", 4, 5, 6),
        CASE("fn f(x: [2, 3]) = x[.., 0]", "f32[2]", 1, 4),
        CASE("fn f(x: [2, 3]) = x[0, -2:]", "f32[2]", 2, 3),
        CASE("fn f(x: [2, 3]) = x[1, 2]", "f32[]", 6),

        CASE("fn f(x: [2, 3], u: u8[4]) = x[u % 2]", "f32[4, 3]", 1, 2, 3, 4, 5, 6, 4, 5, 6, 1, 2,
             3),
        CASE("fn f(x: [2, 3], b: bool[4]) = x[0, i32(b)]", "f32[4]", 2, 1, 1, 2),
        CASE("fn f(x: [2, 3]) = concat(x, x[:, :1], axis: -1)", "f32[2, 4]", 1, 2, 3, 1, 4, 5, 6,
             4),
        CASE("fn f(x: [2, 3]) = concat([x[0], x[1]], axis: 0)", "f32[6]", 1, 2, 3, 4, 5, 6),
        CASE("fn f(x: [2, 3]) {\n a, c = split(x, (1, 2), axis: 1)\n a[.., 0] + c[.., 1]\n}",
             "f32[2]", 4, 10),
        CASE("fn f(x: [2, 3]) {\n a, c, d = split(x, 3, axis: 1)\n (a + c * d)[:, 0]\n}", "f32[2]",
             7, 34),
        CASE("fn f(x: [2, 3]) = unbind(x).1", "f32[3]", 4, 5, 6),
        CASE("fn f(x: [2, 3]) = unbind(x, axis: 1)[0]", "f32[2]", 1, 4),
        CASE("fn f(x: [2, 3]) = sum(x, axis: 0)", "f32[3]", 5, 7, 9),
        CASE("fn f(x: [2, 3]) = mean(x, axis: (0, 1))", "f32[]", 3.5),
        CASE("fn f(x: [2, 3]) = mean(x, axis: [0, 1])", "f32[]", 3.5),
        CASE("fn f(x: [2, 3]) = prod(x, axis: all)", "f32[]", 720),
        CASE("fn f(x: [2, 3]) = amax(x, axis: -1) - amin(x, axis: -1)", "f32[2]", 2, 2),
        CASE("fn f(x: [2, 3]) = argmax(-x)", "i32[2]", 0, 0),
        CASE("fn f(x: [2, 3]) = argmin(x, axis: 0)", "i32[3]", 0, 0, 0),
        CASE("fn f(u: u8[4]) = one_hot(u, 4)", "bool[4, 4]", 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1,
             0, 0, 0),
        CASE("fn f(x: [A, C]) = iota(A * C) + count(x) + len(x)", "i32[6]", 8, 9, 10, 11, 12, 13),
        CASE("fn f(x: [2, 3]) = x @ (x as [3, 2])", "f32[2, 2]", 22, 28, 49, 64),
        CASE("fn f(x: [2, 3]) = x[0] @ (x as [3, 2])", "f32[2]", 22, 28),
        CASE("fn f(x: [2, 3]) = (x as [1, 2, 3]) @ (x as [1, 3, 2])", "f32[1, 2, 2]", 22, 28, 49,
             64),
    };
    check(cases, COUNT(cases));
}

/* ---- functions ---- */

static void test_functions(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        CASE("fn f(x: [2, 3]) = g(x)\nfn g(x: [A / 2, (C + 3) / 2]) = iota(A) + C", "i32[4]", 3, 4,
             5, 6),
        CASE("fn f(x: [A, 3], n: int = 2, c: num = 1 / 4) -> [A, 3] = n * x + c", "f32[2, 3]", 2.25,
             4.25, 6.25, 8.25, 10.25, 12.25),
        CASE("fn f(x: [2, 3]) = g(c: 3, x)\nfn g(x: [..], c: num) = c * x[0, 0]", "f32[]", 3),
        CASE("fn f(x: [2, 3]) = x |> g(10) |> h\nfn g(x: [..], c: num) = x + c\nfn h(x: [A, C]) = "
             "x[0]",
             "f32[3]", 11, 12, 13),
        CASE("fn f(x: [2, 3]) = g(x)\nfn g(x: [2, 3 * N]) -> [N, 6] = x as [N, 6]", "f32[1, 6]", 1,
             2, 3, 4, 5, 6),
        CASE("fn f(x: [2, 3]) = g(x)\nfn g(x: [A, A + N]) -> [N] = x[0, :N]", "f32[1]", 1),
        CASE("fn f(x: [2, 3]) = g(x)\nfn g(x: [..P, D]) -> [..P] {\n y[..] += x[.., d]\n y\n}",
             "f32[2]", 6, 15),
        CASE("fn f(x: [2, 3]) = g(x, x[0])\nfn g(x: [_, D], y: [D]) = x - y", "f32[2, 3]", 0, 0, 0,
             3, 3, 3),
        CASE("fn f(x: [2, 3]) = g(x, none) + g(x, 1)\nfn g(x: [..], y: f32?) = if y == none { x } "
             "else { x * (y ?? 5) }",
             "f32[2, 3]", 2, 4, 6, 8, 10, 12),
        CASE("fn f(x: [2, 3]) = g(x)\nfn g(x: [..], y: [3]?) = x + (y ?? 1)", "f32[2, 3]", 2, 3, 4,
             5, 6, 7),
        CASE("fn f(x: [2, 3]) = g(x, 2)\nfn g(x: [A, C], y: [C]) -> [C] = y", "f32[3]", 2, 2, 2),
        CASE("fn f(x: [2, 3]) = g(x, a => a * x)\nfn g(x: [..], h: fn) = h(x[1])", "f32[2, 3]", 4,
             10, 18, 16, 25, 36),
        CASE("fn f(x: [2, 3]) {\n g = (a, c) => {\n d = a + c\n d * 2\n }\n g(x, 1)[0]\n}",
             "f32[3]", 4, 6, 8),
        CASE("fn f(x: [2, 3]) = g(relu, -x)\nfn g(h: fn, x: [..]) = h(x)", "f32[2, 3]", 0, 0, 0, 0,
             0, 0),
        CASE("fn f(x: [2, 3]) {\n a, b = g(x)\n a - b\n}\nfn g(x: [..]) -> ([..], [..]) = (x + "
             "1, x)",
             "f32[2, 3]", 1, 1, 1, 1, 1, 1),
        CASE("fn f(x: [2, 3]) = g(x).1\nfn g(x: [..]) {\n a = x\n a + 1, a + 2\n}", "f32[2, 3]", 3,
             4, 5, 6, 7, 8),
        CASE("fn f(x: [2, 3]) = g(x, false)\nfn g(x: [..], flag: bool) = if flag { x } else { -x }",
             "f32[2, 3]", -1, -2, -3, -4, -5, -6),
        CASE("fn f(x: [2, 3]) = (x, x) |> g\nfn g(p: ([A, C], [A, C])) = (p.0 * p.1)[0]", "f32[3]",
             1, 4, 9),
        CASE("fn f(x: [2, 3]) = max(x)\nfn max(x: [..]) = x + 1", "f32[2, 3]", 2, 3, 4, 5, 6, 7),
        CASE("fn f(x: [2, 3]) = slice(x) + add(x)\nop slice(x: [..]) = x + 1\nfn add(x: [..]) = -x",
             "f32[2, 3]", 1, 1, 1, 1, 1, 1),
    };
    check(cases, COUNT(cases));
}

/* A file's own D, B or e must not be seen by the standard library. */
static void test_scopes(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        CASE("let D = 5\nlet B = 7\nlet m = 3\nlet d = 1\nfn f(x: [A, 3]) = sum(softmax(x), axis: "
             "1)",
             "f32[2]", 1, 1),
        CASE("let D = 3\nfn f(x: [A, D]) = x[0]", "f32[3]", 1, 2, 3),
        CASE("let k = 2\nfn f(x: [2, 3]) {\n k = 10\n g(x) * k\n}\nfn g(x: [..]) = x[0] + k",
             "f32[3]", 30, 40, 50),
        CASE("fn f(x: [2, 3]) = g(x)\nfn g(x: [..]) {\n let n = 2\n y = x * n\n let n = 3\n (y * "
             "n)[0]\n}",
             "f32[3]", 6, 12, 18),
    };
    check(cases, COUNT(cases));
}

/* ---- statements ---- */

static void test_statements(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        CASE("fn f(x: [2, 3]) {\n y = x[0]\n for k in 0..3 { y = y * 2 + k }\n y\n}", "f32[3]", 12,
             20, 28),
        CASE("fn f(x: [2, 3]) {\n y = 0\n for k in [1, 10, 100] { y = y + k * x[0, 0] }\n y\n}",
             "f32[]", 111),
        CASE("fn f(x: [2, 3]) {\n for k in 0..3 { for j in 0..k { x = x + 1 } }\n x[0]\n}",
             "f32[3]", 4, 5, 6),
        CASE("fn f(x: [2, 3]) {\n for k in 3..1 { x = -x }\n x[0]\n}", "f32[3]", 1, 2, 3),
        CASE("fn f(x: [2, 3]) {\n y = []\n for k in 0..2 { y = y + [x[k, 0]] }\n y[0] + 10 * "
             "y[1]\n}",
             "f32[]", 41),
        CASE("fn f(x: [2, 3]) {\n if 1 < 2 { x = x + 1 }\n if 2 < 1 { x = 0 } else { x = x * 2 }\n "
             "x[0]\n}",
             "f32[3]", 4, 6, 8),
        CASE("fn f(x: [2, 3]) = if 2 < 1 { x } else if 1 < 2 { x[0] } else { x[1] }", "f32[3]", 1,
             2, 3),
        CASE("fn f(x: [2, 3]) {\n a, b = (x[0], 2)\n _, c = (a, b)\n a * c\n}", "f32[3]", 2, 4, 6),
        CASE("fn f(x: [2, 3]) {\n y: [3] = x[0]\n z: f32 = 2\n y * z\n}", "f32[3]", 2, 4, 6),
        CASE("fn f(x: [2, 3]) {\n t = (x[0], (x[1], 3))\n t.0 + t.1.0 * t.1.1\n}", "f32[3]", 13, 17,
             21),
    };
    check(cases, COUNT(cases));
}

/* ---- compile time ---- */

#define LET(expression, value) CASE("let v = " expression "\nfn f() = v", "f32[]", value)

static void test_numbers(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        LET("7 // 2", 3),
        LET("-7 // 2", -4),
        LET("-7 % 3", 2),
        LET("7 % -3", -2),
        LET("1 / 3 + 1 / 6", 0.5),
        LET("0.1 * 10 == 1", 1),
        LET("0.1 + 0.2 == 0.3", 1),
        LET("2 ** 10 / 2 ** 8", 4),
        LET("2 ** -2", 0.25),
        LET("10 ** 30 / 10 ** 29", 10),
        LET("(0 - 2 ** 62) / (-1 / 2) > 9e18", 1),
        LET("50% * 3", 1.5),
        LET("max(3, 2.5)", 3),
        LET("clamp(7, 0, 5)", 5),
        LET("floor(2.7) + ceil(0.2) + abs(-3)", 6),
        LET("round(2.5) + round(3.5)", 6),
        LET("sqrt(16)", 4),
        LET("len([1, 2, 3]) + [4, 5, 6][-1] + (7, 8).1", 17),
        LET("([1, 2] + [3])[1:][1]", 3),
        LET("if true and not (1 > 2) { 5 } else { 6 }", 5),
        LET("(x => x * 2)(4)", 8),
        LET("none ?? 3", 3),
        LET("0x10 + 1_000", 1016),
        LET("9007199254740993 > 9007199254740992", 1),
        LET("f32(2) + i32(3)", 5),
        LET("5 |> double |> double\nfn double(x: num) = x * 2", 20),
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Lab l = lab_open(cases[i].text);
        Value **out = lab_call(&l, "f");
        assert_values(out[0], cases[i].want, 1);
        lab_close(&l);
    }
}

/* Evaluated when they are first used, whatever the order of the text, and once. */
static void test_lets(void **state)
{
    UNUSED(state);
    Lab l =
        lab_open("let a = b * 2\nlet b = c + 1\nlet c = len(names)\nlet names = [\"x\", \"y\"]\n"
                 "fn f() = a\nlet unused = 1\n");
    ASSERT_VALUES(lab_call(&l, "f")[0], 6);
    assert_int_equal(diags_errors(l.ir->diags), 0);
    lab_close(&l);
    /* an error in a let that nothing uses is found by the check only */
    l = lab_open("fn f() = 1\nlet wrong = nowhere\n");
    ASSERT_VALUES(lab_call(&l, "f")[0], 1);
    assert_false(front_check(l.front));
    lab_close(&l);
}

/* ---- element types ---- */

/* In a file-level fn or op `float` is the type of the first float tensor. */
static void test_float(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        DType in;
        const char *type;
    } cases[] = {
        {"fn f(x: [..]) = x * 2", DT_F64, "f64[2]"},
        {"fn f(x: [..]) = softmax(x)", DT_F64, "f64[2]"},
        {"fn f(x: [..]) = g(2, x)\nfn g(c: [], x: [..]) = c * x", DT_F64, "f64[2]"},
        {"fn f(x: [..]) = float(3) * x as float", DT_F64, "f64[2]"},
        {"fn f(x: i32[..]) = float(x)", DT_I32, "f32[2]"},
        {"fn f(x: f64[..]) = x as f32", DT_F64, "f32[2]"},
        {"op f(x: [..]) -> [..] = (f32(x) + 1) as float", DT_F64, "f64[2]"},
    };
    /* in a module it is the compute type, to which other floats are cast */
    Lab m = lab_open("module M() {\n fn forward(x: [..]) -> [..] = x\n}\nmodel m = M()\n");
    lab_input(&m, "x", DT_F64, (double[]){1, 2}, 1, (int64_t[]){2});
    lab_call(&m, "m");
    assert_string_equal(lab_type(&m, 0), "f32[2]");
    lab_close(&m);
    for (size_t i = 0; i < COUNT(cases); i++) {
        Lab l = lab_open(cases[i].text);
        lab_input(&l, "x", cases[i].in, (double[]){1, 2}, 1, (int64_t[]){2});
        lab_call(&l, "f");
        assert_string_equal(lab_type(&l, 0), cases[i].type);
        lab_close(&l);
    }
}

/* ---- losses ---- */

static void test_losses(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        double sum, weight;
    } cases[] = {
        {"fn f(x: [2, 3]) = mean(x)", 21, 6},
        {"fn f(x: [2, 3]) = 2 * mean(x)", 42, 6},
        {"fn f(x: [2, 3]) = mean(x) / 2", 10.5, 6},
        {"fn f(x: [2, 3]) = mean(x) + mean(x * x) * 3", 21 + 3 * 91, 6},
        {"fn f(x: [2, 3]) = mean(x) - mean(x * x)", 21 - 91, 6},
        {"fn f(x: [2, 3]) = -mean(x)", -21, 6},
        {"fn f(x: [2, 3]) = weighted_mean(x, x > 2)", 18, 4},
        {"fn f(x: [2, 3]) = weighted_mean(x, 0.5)", 10.5, 3},
        {"fn f(x: [2, 3]) = weighted_mean(x, true)", 21, 6},
        {"fn f(x: [2, 3]) = mean(x > 2)", 4, 6},
        {"fn f(x: [2, 3]) = g(x)\nop g(x: [..]) -> loss = mean(x)", 21, 6},
        {"fn f(x: [2, 3]) = mean(sum(x, axis: all))", 21, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Lab l = open_values(cases[i].text);
        Value **out = lab_call(&l, "f");
        assert_string_equal(l.program->entries.at[0]->results.at[0].name, "out.sum");
        assert_string_equal(l.program->entries.at[0]->results.at[1].name, "out.weight");
        ASSERT_VALUES(out[0], cases[i].sum);
        ASSERT_VALUES(out[1], cases[i].weight);
        lab_close(&l);
    }
}

/* ---- front_call ---- */

static void test_call_targets(void **state)
{
    UNUSED(state);
    Lab l = lab_open("fn f(x: [2]) = (x, x + 1)\nmodel m = Linear(2, 2)\nlet k = 3\n");
    lab_input(&l, "x", DT_F32, (double[]){1, 2}, 1, (int64_t[]){2});
    Value **out = lab_call(&l, "f");
    assert_string_equal(l.program->entries.at[0]->results.at[1].name, "out.1");
    ASSERT_VALUES(out[1], 2, 3);
    lab_call(&l, "m");
    lab_call(&l, "m.forward");
    lab_close(&l);
    l = lab_open("fn f(x: [2], c: num = 3) = c * x\n");
    lab_input(&l, "y", DT_F32, (double[]){1, 2}, 1, (int64_t[]){2});
    assert_null(lab_try(&l, "f", false));
    assert_non_null(strstr(lab_reports(&l), "missing argument `x`"));
    lab_close(&l);
    /* a tensor that no formal takes stays out of the graph; who knows its file reports it */
    l = lab_open("fn f(x: [2], c: num = 3) = c * x\n");
    lab_input(&l, "y", DT_F32, (double[]){1, 2}, 1, (int64_t[]){2});
    lab_input(&l, "x", DT_F32, (double[]){1, 2}, 1, (int64_t[]){2});
    out = lab_call(&l, "f");
    ASSERT_VALUES(out[0], 3, 6);
    assert_int_equal(l.program->entries.at[0]->inputs.n, 1);
    lab_close(&l);
    l = lab_open("fn f(x: [..]) = x\n");
    lab_input(&l, "x", DT_F32, (double[]){1}, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
    assert_null(lab_try(&l, "f", false));
    lab_close(&l);
    static const char *const wrong[] = {"nothing", "k", "m.weight", "m.nothing", "f.x", "", "m."};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        l = lab_open("fn f(x: [2]) = (x, x + 1)\nmodel m = Linear(2, 2)\nlet k = 3\n");
        assert_null(lab_try(&l, wrong[i], false));
        lab_close(&l);
    }
}

static void test_modes(void **state)
{
    UNUSED(state);
    Lab l = lab_open("fn f() = if mode == train { 1 } else { 2 }");
    ASSERT_VALUES(lab_try(&l, "f", true)[0], 1);
    ASSERT_VALUES(lab_try(&l, "f", false)[0], 2);
    lab_close(&l);
}

/* Built-in functions take what has a place by name too, in any order behind those given by place. */
static void test_named_arguments(void **state)
{
    UNUSED(state);
    Lab l = lab_open("fn f(x: [4]) {\n"
                     "  a = clamp(x, hi: 2, lo: 0)\n"
                     "  b = x |> roll(n: 1, axis: 0)\n"
                     "  c = scatter_add(at: iota(4) % 2, x: x, rows: 2)\n"
                     "  d = max(a: x, b: 0)\n"
                     "  (a, b, c, d)\n"
                     "}\n");
    lab_input(&l, "x", DT_F32, (double[]){-1, 1, 3, 5}, 1, (int64_t[]){4});
    Value **out = lab_call(&l, "f");
    ASSERT_VALUES(out[0], 0, 1, 2, 2);
    ASSERT_VALUES(out[1], 5, -1, 1, 3);
    ASSERT_VALUES(out[2], 2, 6);
    ASSERT_VALUES(out[3], 0, 1, 3, 5);
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),        cmocka_unit_test(test_logic),
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_functions),
        cmocka_unit_test(test_scopes),          cmocka_unit_test(test_statements),
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_lets),
        cmocka_unit_test(test_float),           cmocka_unit_test(test_losses),
        cmocka_unit_test(test_call_targets),    cmocka_unit_test(test_modes),
        cmocka_unit_test(test_named_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

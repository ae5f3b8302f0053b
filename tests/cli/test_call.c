/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_call.c: `mdl call`: which functions, which arguments, which results; and what it says when they
 * do not fit. */
#include "tool.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char program[] =
    "module Net(D) {\n"
    "  fc: Linear(D, D)\n"
    "  layers[2]: Linear(D, D)\n"
    "  fn forward(x: f32[.., D]) -> [.., D] = x |> fc |> layers\n"
    "  fn both(x: f32[.., D]) -> (f32[.., D], (f32[.., D], f32[.., D])) = (fc(x), (x, -x))\n"
    "}\n"
    "model net = Net(2)\n"
    "fn scaled(x: f32[A], n: int = 2, ids: i32[A]) -> (f32[A], i32[A]) = (x * n, ids + 1)\n"
    "fn pair(p: (f32[A], f32[A]), eps: num) -> f32[A] = p.0 * p.1 + eps\n"
    "fn nll(z: f32[B, C], t: i32[B]) -> loss = cross_entropy(z, t)\n"
    "fn step(x: f32[A]) -> f32[A] = if mode == train { x } else { 2 * x }\n"
    "fn wide(y: i64[A], x: u8[A]) -> (i64[A], u8[A]) = (y, x)\n"
    "fn small(x: u8[A], y: u8[A]) = (x + y, x - y, x * y, x + y > x)\n"
    "fn tenth(x: f32[A]) -> f32[A] = x / 10\n"
    "fn alone() -> f32[2] = 3 * [1, 2][1]\n";

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_write(*state, "a.mdl", program);
    return 0;
}

static const float two[] = {1, 2};
static const int16_t shorts[] = {3, 300};
static const int64_t longs[] = {(INT64_C(1) << 60) + 1, -3};

#define F32S(name_, data_, ...)                                                  \
    {                                                                            \
        .name = (name_), .dtype = DT_F32, .rank = COUNT(((int[]){__VA_ARGS__})), \
        .dim = {__VA_ARGS__}, .data = (data_), .bytes = sizeof(data_)            \
    }
#define INTS(name_, dtype_, data_)                                                  \
    {                                                                               \
        .name = (name_), .dtype = (dtype_), .rank = 1, .dim = {2}, .data = (data_), \
        .bytes = sizeof(data_)                                                      \
    }

static void put(Tool *tool, const char *name, const StTensor *t, uint32_t n)
{
    Err why = {0};
    if (!st_write(tool_path(tool, name), t, n, NULL, &why))
        fail_msg("%s", why.text);
}

static double result(Tool *tool, const char *name, size_t i)
{
    StFile *f = tool_tensors(tool, "y.st");
    const StTensor *t = st_find(f, name);
    if (!t)
        fail_msg("no result %s", name);
    double x = st_load(t, i);
    st_close(f);
    return x;
}

static DType result_type(Tool *tool, const char *name)
{
    StFile *f = tool_tensors(tool, "y.st");
    DType dt = st_find(f, name)->dtype;
    st_close(f);
    return dt;
}

#define CALL(tool, ...) GOOD(tool, "call", "a.mdl", "--in=x.st", "--out=y.st", __VA_ARGS__)

static void arguments_are_tensors_and_expressions(void **state)
{
    Tool *tool = *state;
    const StTensor in[] = {F32S("x", two, 2), INTS("ids", DT_I16, shorts)};
    put(tool, "x.st", in, 2);
    CALL(tool, "scaled", "--reference");
    assert_true(result(tool, "out.0", 1) == 4 && result(tool, "out.1", 1) == 301);
    assert_int_equal(result_type(tool, "out.0"), DT_F64);
    assert_int_equal(result_type(tool, "out.1"), DT_I32);
    CALL(tool, "scaled", "--arg", "n = 2 + 1", "--reference");
    assert_true(result(tool, "out.0", 1) == 6);
    const StTensor pair[] = {F32S("p.0", two, 2), F32S("p.1", two, 2)};
    put(tool, "x.st", pair, 2);
    CALL(tool, "pair", "--arg=eps=1/2", "--reference");
    assert_true(result(tool, "out", 1) == 4.5);
    GOOD(tool, "call", "a.mdl", "alone", "--out=y.st", "--reference");
    assert_true(result(tool, "out", 0) == 6);
}

static void losses_and_nested_results(void **state)
{
    Tool *tool = *state;
    static const float z[] = {0, 0, 0, 0};
    static const uint8_t t[] = {1, 0};
    const StTensor in[] = {F32S("z", z, 2, 2), INTS("t", DT_U8, t)};
    put(tool, "x.st", in, 2);
    CALL(tool, "nll", "--reference");
    assert_true(fabs(result(tool, "out.sum", 0) - 2 * log(2)) < 1e-12);
    assert_true(result(tool, "out.weight", 0) == 2);
    const StTensor x = F32S("x", two, 1, 2);
    put(tool, "x.st", &x, 1);
    CALL(tool, "net.both", "--reference");
    assert_true(result(tool, "out.1.0", 1) == 2 && result(tool, "out.1.1", 1) == -2);
    CALL(tool, "net.layers[1]", "--reference");
    CALL(tool, "softmax", "--reference");
    assert_true(fabs(result(tool, "out", 0) + result(tool, "out", 1) - 1) < 1e-15);
    const StTensor one = F32S("x", two, 2);
    put(tool, "x.st", &one, 1);
    CALL(tool, "step", "--mode=train", "--reference");
    assert_true(result(tool, "out", 1) == 2);
    CALL(tool, "step", "--mode=decode", "--reference");
    assert_true(result(tool, "out", 1) == 4);
}

/* tests/recorded/special.mdl has all cases, for the interpreter. */
static void kernels_wrap_like_the_interpreter(void **state)
{
    Tool *tool = *state;
    static const uint8_t x[] = {200, 1}, y[] = {100, 2};
    const StTensor in[] = {INTS("x", DT_U8, x), INTS("y", DT_U8, y)};
    static const double want[][2] = {{44, 3}, {100, 255}, {32, 2}, {0, 1}};
    put(tool, "x.st", in, 2);
    for (int how = 0; how < 3; how++) {
        CALL(tool, "small", (const char *const[]){"--reference", "--bits", "--quiet"}[how]);
        for (size_t k = 0; k < COUNT(want); k++)
            for (size_t i = 0; i < 2; i++)
                assert_true(result(tool, arena_printf(tool->arena, "out.%zu", k), i) == want[k][i]);
    }
}

static void whole_numbers_keep_all_bits(void **state)
{
    Tool *tool = *state;
    static const uint8_t bytes[] = {7, 255};
    const StTensor in[] = {INTS("y", DT_I64, longs), INTS("x", DT_U8, bytes)};
    put(tool, "x.st", in, 2);
    CALL(tool, "wide");
    StFile *f = tool_tensors(tool, "y.st");
    assert_memory_equal(st_find(f, "out.0")->data, longs, sizeof longs);
    assert_memory_equal(st_find(f, "out.1")->data, bytes, sizeof bytes);
    st_close(f);
    Outcome o = RUN(tool, "call", "wide", "--in=x.st", "--out=y.st", "--reference");
    check_code(&o, 4);
    check_has(o.err, "`y`: element 0 has more than 53 bits");
    const StTensor large[] = {INTS("y", DT_I64, longs), INTS("x", DT_I16, shorts)};
    put(tool, "x.st", large, 2);
    o = RUN(tool, "call", "wide", "--in=x.st", "--out=y.st");
    check_code(&o, 4);
    check_has(o.err, "`x`: element 1 does not fit u8");
}

/* In f64 a tenth is a tenth of f64; in bits it is one of f32. */
static void bits_are_those_of_the_types(void **state)
{
    Tool *tool = *state;
    const StTensor x = F32S("x", two, 2);
    put(tool, "x.st", &x, 1);
    CALL(tool, "tenth", "--reference");
    assert_true(result(tool, "out", 0) == 0.1);
    CALL(tool, "tenth", "--bits");
    assert_true(result(tool, "out", 0) == (double)0.1f);
    assert_int_equal(result_type(tool, "out"), DT_F32);
}

static void weights_of_an_index(void **state)
{
    Tool *tool = *state;
    static const double w[] = {1, 0, 0, 0.1}, b[] = {0, 0};
    const StTensor first[] = {
        {.name = "fc.weight", .dtype = DT_F64, .rank = 2, .dim = {2, 2}, .data = w, .bytes = 32},
        {.name = "fc.bias", .dtype = DT_F64, .rank = 1, .dim = {2}, .data = b, .bytes = 16}};
    StTensor rest[4];
    static const char *const names[] = {"layers.0.weight", "layers.0.bias", "layers.1.weight",
                                        "layers.1.bias"};
    for (int i = 0; i < 4; i++) {
        rest[i] = first[i % 2];
        rest[i].name = names[i];
    }
    put(tool, "one.safetensors", first, 2);
    put(tool, "two.safetensors", rest, 4);
    tool_write(tool, "model.safetensors.index.json",
               "{\"weight_map\":{\"fc.weight\":\"one.safetensors\",\"fc.bias\":\"one.safetensors\","
               "\"layers.0.weight\":\"two.safetensors\",\"layers.0.bias\":\"two.safetensors\","
               "\"layers.1.weight\":\"two.safetensors\",\"layers.1.bias\":\"two.safetensors\"}}");
    const StTensor x = F32S("x", two, 1, 2);
    put(tool, "x.st", &x, 1);
    static const char *const places[] = {"--weights=model.safetensors.index.json", "--weights=."};
    for (size_t i = 0; i < COUNT(places); i++) {
        CALL(tool, "net", places[i], "--reference");
        assert_true(result(tool, "out", 0) == 1);
        assert_true(fabs(result(tool, "out", 1) - 2e-3) < 1e-17); /* not that of f32 */
    }
}

static void wrong_arguments(void **state)
{
    Tool *tool = *state;
    const StTensor x = F32S("x", two, 2), ids = INTS("ids", DT_I16, shorts),
                   idz = INTS("idz", DT_I16, shorts), real = F32S("ids", two, 2),
                   flat = F32S("x", two, 1, 2);
    const struct {
        StTensor in[2];
        uint32_t n;
        const char *arg;
        int code;
        const char *text, *more;
    } bad[] = {
        {{x}, 1, NULL, 4, "missing argument `ids` of `scaled`", "x.st"},
        {{x, idz}, 2, NULL, 4, "`scaled` has no argument `idz`", "did you mean `ids`?"},
        {{flat, ids}, 2, NULL, 4, "expected rank 1, `[A]`, got `f32[1, 2]`", "x: f32[1, 2]"},
        {{x, real}, 2, NULL, 4, "expected `i32`, got `f32[2]`", "x.st"},
        {{x, ids}, 2, "--arg=m=2", 1, "`scaled` has no argument `m`", "--arg"},
        {{x, ids}, 2, "--arg=x=2", 1, "gets this argument twice", "--arg"},
        {{x, ids}, 2, "--arg=n=2.5", 1, "expected an integer, got 2.5", "--arg n"},
        {{x, ids}, 2, "--arg=n", 1, "an argument is written NAME=EXPR", ""},
        {{x, ids}, 2, "--arg=n=(", 1, "error[E0", "--arg n"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        put(tool, "x.st", bad[i].in, bad[i].n);
        const char *arg = bad[i].arg ? bad[i].arg : "--seed=0";
        Outcome o = RUN(tool, "call", "scaled", "--in=x.st", "--out=y.st", arg, "--reference");
        check_code(&o, bad[i].code);
        check_has(o.err, bad[i].text);
        check_has(o.err, bad[i].more);
    }
    Outcome o = RUN(tool, "call", "scaled", "--out=y.st", "--reference", "--bits");
    check_code(&o, 2);
    o = RUN(tool, "call", "net.layers", "--in=x.st", "--out=y.st");
    check_code(&o, 1);
    check_has(o.err, "is not a function, an op or a model");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arguments_are_tensors_and_expressions, setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(losses_and_nested_results, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(kernels_wrap_like_the_interpreter, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(whole_numbers_keep_all_bits, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(bits_are_those_of_the_types, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(weights_of_an_index, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(wrong_arguments, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

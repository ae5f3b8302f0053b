/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_listing.c: `mdl ls` and `mdl diff`: tensors of models, what trains them, and what differs. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PROGRAM(rate)                                                                \
    "module Net(D) {\n"                                                              \
    "  body[2]: Linear(D, D)\n"                                                      \
    "  head: Linear(D, 3, bias: none) as \"out\"\n"                                  \
    "  fn forward(x: [B, D]) -> [B, 3] = x |> body |> head\n"                        \
    "}\n"                                                                            \
    "model net = Net(4)\n"                                                           \
    "data d { source = npz(\"x.npz\", x: \"x\") ; x: f32[4] = row => row.x }\n"      \
    "train net {\n"                                                                  \
    "  data = d ; loss = b => mean(net(b.x)) ; batch = 8 ; steps = 10\n"             \
    "  stage first { train head.* ; lr = " rate " }\n"                               \
    "  stage second after first { train head.weight[1..3], body.1.* ; lr = 1e-4 }\n" \
    "}\n"

static void totals_and_stages(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", PROGRAM("1e-3"));
    const char *json = GOOD(tool, "ls", "--json");
    check_has(json,
              "{\"schema\":\"mdl.ls.1\",\"file\":\"a.mdl\",\"model\":\"net\",\"parameters\":52,"
              "\"tensors\":5,\"buffers\":0,\"trained\":{\"first\":12,\"second\":28}}\n");
    check_has(
        json,
        "{\"path\":\"head.weight\",\"key\":\"out.weight\",\"dtype\":\"f32\",\"shape\":[3, 4],"
        "\"parameters\":12,\"kind\":\"param\",\"trained\":[\"first\",\"second (8 of 12)\"]}\n");
    check_has(json, "\"path\":\"body.0.bias\"");
    const char *text = GOOD(tool, "ls", "a.mdl", "net");
    check_has(text, "4  frozen\n");
    check_has(text, "12  first, second (8 of 12)\n");
    check_has(text, "\nall ");
    check_has(text, " 52\n");
    check_has(text, "trained in second");
    Outcome o = RUN(tool, "ls", "a.mdl", "nat");
    check_code(&o, 2);
    check_has(o.err, "there is net");
}

/* Models that nothing trains, and several of them. */
static void models_alone(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", "model a = Linear(2, 3)\nmodel b = LayerNorm(5)\n");
    const char *text = GOOD(tool, "ls");
    check_has(text, "model a\n");
    check_has(text, "\nmodel b\n");
    check_lacks(text, "frozen");
    const char *json = GOOD(tool, "ls", "--json");
    check_has(json,
              "\"model\":\"a\",\"parameters\":9,\"tensors\":2,\"buffers\":0,\"trained\":{}}\n");
    check_has(json, "\"model\":\"b\",\"parameters\":10,");
    tool_write(tool, "a.mdl", "let n = 1\n");
    assert_string_equal(GOOD(tool, "ls"), "");
}

static Outcome differ(Tool *tool, const char *a, const char *b, int code)
{
    Outcome o = RUN(tool, "diff", a, b);
    check_code(&o, code);
    return o;
}

static void stages_differ(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", PROGRAM("1e-3"));
    tool_write(tool, "b.mdl", PROGRAM("2e-3"));
    assert_string_equal(differ(tool, "a.mdl", "a.mdl", 0).out, "");
    assert_string_equal(differ(tool, "a.mdl", "b.mdl", 7).out, "~ net.first.lr  1e-3 -> 2e-3\n");
    assert_string_equal(differ(tool, "a.mdl:net", "b.mdl:net", 0).out, "");
    assert_string_equal(differ(tool, "a.mdl:first", "a.mdl:second", 7).out,
                        "~ body.1.weight  trained: no -> yes\n"
                        "~ body.1.bias  trained: no -> yes\n"
                        "~ head.weight  trained: yes -> yes (8 of 12)\n"
                        "~ train  head.* -> head.weight[1..3], body.1.*\n"
                        "~ lr  1e-3 -> 1e-4\n");
    Outcome o = differ(tool, "a.mdl:third", "a.mdl", 2);
    check_has(o.err, "a.mdl has no model and no stage `third`");
    o = differ(tool, "a.mdl", "none.mdl", 3);
}

static void models_differ(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl",
               "module N(D) { l[4]: Linear(D, D) ; a: LayerNorm(D) }\nmodel m = N(4)\n");
    tool_write(tool, "b.mdl",
               "module N(D) { l[4]: Linear(D, D, bias: none) ; a: LayerNorm(D) as \"z\" ; n: "
               "LayerNorm(2) }\n"
               "model m = N(5)\n");
    assert_string_equal(differ(tool, "a.mdl", "b.mdl", 7).out,
                        "- l.*.bias  f32[4]  (4 times)\n"
                        "~ l.*.weight  f32[4, 4] -> f32[5, 5]  (4 times)\n"
                        "~ a.weight  f32[4] -> f32[5]\n"
                        "~ a.weight  key a.weight -> z.weight\n"
                        "~ a.bias  f32[4] -> f32[5]\n"
                        "~ a.bias  key a.bias -> z.bias\n"
                        "+ n.weight  f32[2]\n"
                        "+ n.bias  f32[2]\n"
                        "parameters: 88 -> 114\n");
}

/* A file is compared by keys and shapes: its element types are its own. */
static void weights_differ(void **state)
{
    Tool *tool = *state;
    Err err = {0};
    static const uint16_t data[12];
    StTensor t[] = {
        {.name = "out.weight",
         .dtype = DT_F16,
         .rank = 2,
         .dim = {3, 4},
         .data = data,
         .bytes = 24},
        {.name = "more", .dtype = DT_F16, .rank = 1, .dim = {2}, .data = data, .bytes = 4}};
    const char *path = path_join(tool->arena, tool->dir, "w.safetensors");
    assert_true(st_write(path, t, 2, NULL, &err));
    tool_write(tool, "a.mdl", "module N() { head: Linear(4, 3) as \"out\" }\nmodel m = N()\n");
    assert_string_equal(differ(tool, "a.mdl", "w.safetensors", 7).out,
                        "- head.bias  f32[3]  key out.bias\n"
                        "+ more  f16[2]\n"
                        "parameters: 15 -> 14\n");
    assert_string_equal(differ(tool, "w.safetensors", "w.safetensors", 0).out, "");
    differ(tool, "a.mdl", "x.safetensors", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(totals_and_stages, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(models_alone, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(stages_differ, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(models_differ, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(weights_differ, tool_setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

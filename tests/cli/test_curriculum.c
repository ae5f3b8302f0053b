/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_curriculum.c: programs with several stages: in order, resumed, joined, without the source. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    int rc = tool_setup(state);
    if (rc == 0)
        tool_data(*state);
    return rc;
}

/* small.mdl with these stages in place of its duration. */
static void write_program(Tool *tool, const char *stages)
{
    tool_program(tool, "p.mdl", "  epochs    = 5\n", stages);
}

static const char *const two = "  steps = 6\n  stage first { train fc1.** }\n"
                               "  stage second after first { train fc2.** }\n";

static StFile *weights(Tool *tool, const char *run, const char *stage, int step)
{
    return tool_tensors(tool, arena_printf(tool->arena,
                                           "%s/stages/mlp.%s/checkpoints/step-%d/"
                                           "weights.safetensors",
                                           run, stage, step));
}

static bool same(const StFile *a, const StFile *b, const char *key)
{
    const StTensor *x = st_find(a, key), *y = st_find(b, key);
    assert_true(x && y && x->bytes == y->bytes);
    return memcmp(x->data, y->data, x->bytes) == 0;
}

static void stages_follow_each_other(void **state)
{
    Tool *tool = *state;
    write_program(tool, two);
    Outcome o = RUN(tool, "train", "p.mdl", "--run", "r");
    check_code(&o, 0);
    check_has(o.err, "stage mlp.first");
    check_has(o.err, "stage mlp.second");
    check_has(o.out, "test accuracy");
    check_has(tool_read(tool, "r/run.json").data, "\"after\": [\n        \"mlp.first\"\n      ]");
    StFile *first = weights(tool, "r", "first", 6), *second = weights(tool, "r", "second", 6);
    assert_true(same(first, second, "fc1.weight"));
    assert_false(same(first, second, "fc2.weight"));
    st_close(first);
    st_close(second);
    check_has(GOOD(tool, "eval", "p.mdl", "test", "--run", "r", "--stage", "mlp.second"),
              "accuracy");
    o = RUN(tool, "eval", "r", "test");
    check_code(&o, 2);
    check_has(o.err, "choose one with --stage");
}

/* Stopped in the first stage, then in the second: the bits of a run that was not. */
static void stopped_anywhere(void **state)
{
    Tool *tool = *state;
    write_program(tool, two);
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--quiet");
    GOOD(tool, "train", "p.mdl", "--run", "parts", "--quiet", "--max-steps", "3");
    assert_false(file_exists(tool_path(tool, "parts/stages/mlp.second")));
    GOOD(tool, "train", "p.mdl", "--run", "parts", "--quiet", "--stage", "mlp.first");
    GOOD(tool, "train", "p.mdl", "--run", "parts", "--quiet", "--max-steps", "6", "--stage",
         "mlp.second");
    GOOD(tool, "train", "parts", "--quiet");
    StFile *whole = weights(tool, "whole", "second", 6),
           *parts = weights(tool, "parts", "second", 6);
    assert_true(same(whole, parts, "fc1.weight") && same(whole, parts, "fc2.weight"));
    st_close(whole);
    st_close(parts);
}

/* A stage behind two takes of each what it trained. */
static void joined_stages(void **state)
{
    Tool *tool = *state;
    write_program(tool, "  steps = 4\n  stage a { train fc1.** }\n  stage b { train fc2.** }\n"
                        "  stage both after a, b { lr = 0 ; train ** }\n");
    GOOD(tool, "train", "p.mdl", "--run", "r", "--quiet");
    StFile *a = weights(tool, "r", "a", 4), *b = weights(tool, "r", "b", 4);
    StFile *both = weights(tool, "r", "both", 4);
    assert_true(same(a, both, "fc1.weight") && same(a, both, "fc1.bias"));
    assert_true(same(b, both, "fc2.weight") && same(b, both, "fc2.bias"));
    assert_false(same(b, both, "fc1.weight"));
    st_close(a);
    st_close(b);
    st_close(both);
}

/* With the optimizer's states and its place in the data a second stage goes on as the first would have, but for
 * the count of steps, which sgd does not read. */
static void carried_states(void **state)
{
    Tool *tool = *state;
    static const char *const sgd = "  optimizer = sgd(momentum: 0.9)\n  lr        = 0.02\n";
    tool_program(tool, "a.mdl",
                 "  optimizer = adamw(weight_decay: 0.01)\n  lr        = 0.02\n"
                 "  schedule  = cosine(warmup: 5%)\n  batch     = 8\n  epochs    = 5\n",
                 arena_printf(tool->arena,
                              "%s  batch = 8\n  steps = 5\n  stage first { seed = 0 }\n"
                              "  stage second after first { carry = [optimizer, data] }\n",
                              sgd));
    tool_program(tool, "b.mdl",
                 "  optimizer = adamw(weight_decay: 0.01)\n  lr        = 0.02\n"
                 "  schedule  = cosine(warmup: 5%)\n  batch     = 8\n  epochs    = 5\n",
                 arena_printf(tool->arena, "%s  batch = 8\n  steps = 10\n", sgd));
    GOOD(tool, "train", "a.mdl", "--run", "a", "--quiet");
    GOOD(tool, "train", "b.mdl", "--run", "b", "--quiet");
    StFile *a = weights(tool, "a", "second", 5);
    StFile *b = tool_tensors(tool, "b/checkpoints/step-10/weights.safetensors");
    assert_true(same(a, b, "fc1.weight") && same(a, b, "fc2.weight"));
    st_close(a);
    st_close(b);
}

static void plans_alone_train(void **state)
{
    Tool *tool = *state;
    write_program(tool, two);
    GOOD(tool, "train", "p.mdl", "--run", "r", "--quiet");
    GOOD(tool, "compile", "p.mdl", "-o", "d");
    assert_int_equal(unlink(tool_path(tool, "p.mdl")), 0);
    GOOD(tool, "train", "d", "--quiet");
    StFile *r = weights(tool, "r", "second", 6), *d = weights(tool, "d", "second", 6);
    assert_true(same(r, d, "fc1.weight") && same(r, d, "fc2.weight"));
    st_close(r);
    st_close(d);
}

static void folders_that_do_not_fit(void **state)
{
    Tool *tool = *state;
    write_program(tool, two);
    Outcome o = RUN(tool, "train", "p.mdl", "--run", "r", "--stage", "mlp.second");
    check_code(&o, 3);
    check_has(o.err, "there is no checkpoint in r/stages/mlp.first/checkpoints");
    GOOD(tool, "compile", "p.mdl", "-o", "d");
    Bytes json = tool_read(tool, "d/run.json");
    char *at = strstr(json.data, "\"plan\": \"");
    at[9] = at[9] == '0' ? '1' : '0';
    tool_write(tool, "d/run.json", json.data);
    o = RUN(tool, "train", "d");
    check_code(&o, 4);
    check_has(o.err, "a plan is not the one that it names");
    tool_write(
        tool, "d/run.json",
        "{\"source\":\"p.mdl\",\"set\":[],\"hash\":\"0123456789abcdef\",\"version\":\"1\","
        "\"stages\":[{\"stage\":\"a\",\"after\":[\"b\"]},{\"stage\":\"b\",\"after\":[\"a\"]}]}");
    o = RUN(tool, "train", "d");
    check_code(&o, 4);
    check_has(o.err, "wait for each other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stages_follow_each_other, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(stopped_anywhere, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(joined_stages, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(carried_states, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(plans_alone_train, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(folders_that_do_not_fit, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

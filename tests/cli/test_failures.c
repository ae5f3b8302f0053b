/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_failures.c: what goes wrong is told with its place and a way out, and has its exit code. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_program(*state, "a.mdl", NULL, NULL);
    tool_data(*state);
    return 0;
}

static void check_failure(const Outcome *o, int code, const char *error, const char *help)
{
    check_code(o, code);
    check_has(o->err, "error");
    check_has(o->err, error);
    check_has(o->err, help);
    assert_string_equal(o->out, "");
}

/* ---- 1: the program ---- */

typedef struct Mistake {
    const char *from, *to; /* in small.mdl */
    const char *code, *place, *text, *help;
} Mistake;

static const Mistake mistakes[] = {
    {"Linear(Hidden, Out)", "Linear(Out, Out)", "error[E0402]", "a.mdl:6:", "f32[8, 8]",
     "fc2 = Linear(In: 3, Out: 3)"},
    {"f32[B, 4, 4]", "f32[B, 4, 5]", "error[E04", "a.mdl:", "f32[8, 4, 4]", "5"},
    {"|> relu", "|> relo", "error[E0201]", "a.mdl:6:32", "unknown name `relo`", "help: "},
    {"lr        =", "lrr       =", "error[E0801]", "a.mdl:23:3", "no attribute `lrr`",
     "called `lr`"},
    {"MLP(16, 8, 3)", "MLP(16, 8)", "error[E03", "a.mdl:", "Out", ""},
    {"b.label)", "b.lable)", "error[E0", "a.mdl:21:", "lable", "label"},
    {"-> [B, Out] =", "-> [B, Out =", "error[E01", "a.mdl:5:", "", ""},
};

static void mistakes_of_programs_have_place_and_help(void **state)
{
    Tool *tool = *state;
    static const char *const commands[] = {"check", "train", "dump"};
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        const Mistake *m = &mistakes[i];
        tool_program(tool, "a.mdl", m->from, m->to);
        for (size_t c = 0; c < COUNT(commands); c++) {
            Outcome o = RUN(tool, commands[c], "a.mdl");
            check_failure(&o, 1, m->code, m->help);
            check_has(o.err, m->place);
            check_has(o.err, m->text);
            check_has(o.err, "^");
        }
    }
    assert_false(file_exists(tool_path(tool, "runs")));
}

static void missing_derivative_is_found_by_check(void **state)
{
    Tool *tool = *state;
    tool_program(tool, "a.mdl", "|> relu", "|> floor");
    Outcome o = RUN(tool, "check", "a.mdl");
    check_failure(&o, 1, "error[E0602]: no derivative through `floor` on the way to `fc1.weight`",
                  "a.mdl:19:");
}

static void overrides_are_checked(void **state)
{
    Outcome o = RUN(*state, "check", "a.mdl", "--set", "train.btach=3");
    check_failure(&o, 1, "error[E0811]: no setting `train.btach`", "--set:1:1");
    o = RUN(*state, "check", "a.mdl", "--set", "train.batch=");
    check_failure(&o, 1, "error[E01", "--set");
    o = RUN(*state, "check", "a.mdl", "--set", "train.batch=0");
    check_failure(&o, 1, "error[E0806]", "`batch` is a whole number from 1");
}

static void call_says_what_the_arguments_lack(void **state)
{
    Tool *tool = *state;
    tool_batch(tool, "x.st", &(BatchSpec){.n = 2, .image = true});
    tool_batch(tool, "l.st", &(BatchSpec){.n = 2, .label = true});
    tool_batch(tool, "b.st", &(BatchSpec){.n = 2, .image = true, .label = true});
    Outcome o = RUN(tool, "call", "mlpp", "--in=x.st", "--out=y.st");
    check_failure(&o, 1, "unknown name `mlpp`", "help: ");
    o = RUN(tool, "call", "mlp", "--in=l.st", "--out=y.st");
    check_failure(&o, 4, "missing argument `image`", "l.st");
    o = RUN(tool, "call", "mlp", "--in=b.st", "--out=y.st");
    check_failure(&o, 4, "`mlp` has no argument `label`", "b.st");
    o = RUN(tool, "grad", "--batch=b.st", "--out=y.st");
    check_failure(&o, 4, "`image` is f32[2, 4, 4], expected f32[8, 4, 4]", "--set train.batch=N");
    o = RUN(tool, "grad", "--batch=x.st", "--out=y.st", "--set=train.batch=2");
    check_failure(&o, 4, "there is no tensor `label`, i32[2]", "");
    tool_batch(tool, "f.st",
               &(BatchSpec){.n = 2, .image = true, .label = true, .label_type = DT_F32});
    o = RUN(tool, "grad", "--batch=f.st", "--out=y.st", "--set=train.batch=2");
    check_failure(&o, 4, "`label` is f32[2], expected i32[2]", "");
    assert_false(file_exists(tool_path(tool, "y.st")));
}

/* ---- 3: files ---- */

static void missing_files(void **state)
{
    Tool *tool = *state;
    static const char *const commands[] = {"check", "train", "eval", "dump"};
    for (size_t i = 0; i < COUNT(commands); i++) {
        Outcome o = RUN(tool, commands[i], "none.mdl");
        check_failure(&o, 3, "none.mdl", "No such file");
    }
    Outcome o = RUN(tool, "dump", "none.plan");
    check_failure(&o, 3, "none.plan", "No such file");
    o = RUN(tool, "call", "a.mdl", "mlp", "--in=none.st", "--out=y.st");
    check_failure(&o, 3, "none.st", "");
    o = RUN(tool, "eval", "a.mdl", "test");
    check_failure(&o, 3, "a.mdl has not been trained", "help: mdl train a.mdl first");
}

static void missing_data_say_where_they_were_looked_for(void **state)
{
    Tool *tool = *state;
    assert_true(file_mkdirs(tool_path(tool, "elsewhere"), NULL));
    tool_write(tool, "program/a.mdl", tool_read(tool, "a.mdl").data);
    tool->env[1] = "MDL_DATA=elsewhere";
    Outcome o = RUN(tool, "train", "program/a.mdl");
    check_failure(&o, 3, "no file test-images; looked for program/test-images", "MDL_DATA");
    check_has(o.err, "elsewhere/test-images");
    tool->env[1] = arena_printf(tool->arena, "MDL_DATA=elsewhere:%s", tool->dir);
    GOOD(tool, "train", "program/a.mdl");
}

static void run_folder_that_is_a_file(void **state)
{
    Outcome o = RUN(*state, "train", "a.mdl", "--run", "test-images");
    check_failure(&o, 3, "test-images", "");
}

/* ---- 4: data ---- */

static void truncated_idx(void **state)
{
    Tool *tool = *state;
    tool_cut(tool, "train-images", 700);
    Outcome o = RUN(tool, "train", "a.mdl");
    check_code(&o, 4);
    check_has(o.err, "train-images");
    check_has(o.err, "64 x 4 x 4");
}

static const char npz_program[] = "module L(In, Out) {\n"
                                  "  fc: Linear(In, Out)\n"
                                  "  fn forward(x: f32[B, 2]) -> [B, Out] = x |> fc\n"
                                  "}\n"
                                  "model m = L(2, 3)\n"
                                  "data rows {\n"
                                  "  source = npz(\"x.npz\", a: \"a\")\n"
                                  "  x: f32[2] = row => row.a / 1000\n"
                                  "}\n"
                                  "train m {\n"
                                  "  data = rows\n"
                                  "  loss = b => mean(m(b.x) * m(b.x))\n"
                                  "  optimizer = adamw()\n"
                                  "  lr = 1e-3\n"
                                  "  batch = 2\n"
                                  "  steps = 3\n"
                                  "}\n";

static void truncated_npz(void **state)
{
    Tool *tool = *state;
    Bytes whole;
    assert_true(file_read(tool->arena, MDL_SOURCE_DIR "/tests/fuzz/corpus/npz/deflated", 1 << 20,
                          &whole, NULL));
    tool_write(tool, "n/n.mdl", npz_program);
    assert_true(file_write_atomic(tool_path(tool, "n/x.npz"), whole.data, whole.n, NULL));
    GOOD(tool, "train", "n/n.mdl", "--run", "whole");
    for (size_t n = whole.n - 1; n > 0; n /= 3) {
        tool_cut(tool, "n/x.npz", n);
        Outcome o = RUN(tool, "train", "n/n.mdl", "--run", "cut");
        check_failure(&o, 4, "x.npz", "zip");
    }
}

static void truncated_plan(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "r", "--max-steps=1");
    Bytes plan = tool_read(tool, "r/plans/mlp.plan");
    for (size_t n = plan.n - 1; n > 0; n /= 7) {
        tool_cut(tool, "r/plans/mlp.plan", n);
        Outcome o = RUN(tool, "train", "a.mdl", "--run", "r");
        check_failure(&o, 4, "r/plans/mlp.plan: ", "remove it");
        o = RUN(tool, "eval", "r");
        check_failure(&o, 4, "r/plans/mlp.plan: ", "remove it");
        o = RUN(tool, "dump", "r/plans/mlp.plan");
        check_failure(&o, 4, "r/plans/mlp.plan: ", "truncated");
    }
}

static void truncated_checkpoint(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "r", "--max-steps=8");
    GOOD(tool, "train", "a.mdl", "--run", "r", "--max-steps=9");
    const char *weights = "r/checkpoints/step-9/weights.safetensors";
    tool_cut(tool, weights, 100);
    /* An older one still stands in. */
    Outcome o = RUN(tool, "eval", "a.mdl", "--run", "r");
    check_code(&o, 0);
    check_has(o.err, "skipped a broken checkpoint");
    check_has(o.err, weights);
    tool_cut(tool, "r/checkpoints/step-8/state.safetensors", 100);
    o = RUN(tool, "eval", "a.mdl", "--run", "r");
    check_failure(&o, 4, "none of the 2 checkpoints in r/checkpoints is intact", "help: ");
    o = RUN(tool, "train", "a.mdl", "--run", "r");
    check_failure(&o, 4, "is intact", "help: ");
}

static void truncated_weights(void **state)
{
    Tool *tool = *state;
    tool_batch(tool, "w.st", &(BatchSpec){.n = 3, .image = true});
    Outcome o = RUN(tool, "eval", "a.mdl", "--weights", "w.st");
    check_failure(&o, 4, "w.st: there is no tensor fc1.weight", "");
    tool_cut(tool, "w.st", 60);
    o = RUN(tool, "eval", "a.mdl", "--weights", "w.st");
    check_failure(&o, 4, "w.st", "");
}

static void damaged_run_json(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "r", "--max-steps=1");
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"source\": 3}",
        "{\"source\":\"a\",\"version\":\"1\",\"hash\":\"xyz\",\"set\":[]}",
        "{\"source\":\"a\",\"version\":\"1\",\"hash\":\"0123456789abcdef\",\"set\":[1]}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        tool_write(tool, "r/run.json", texts[i]);
        Outcome o = RUN(tool, "train", "a.mdl", "--run", "r");
        check_failure(&o, 4, "r/run.json: ", "remove the folder");
    }
}

/* ---- 5: no compiler ---- */

static void no_compiler(void **state)
{
    Tool *tool = *state;
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s/cache", tool->dir);
    tool->env[4] = "PATH=";
    tool->env[5] = "MDL_CC";
    Outcome o = RUN(tool, "train", "a.mdl");
    check_failure(&o, 5, "no C compiler", "help: install gcc");
    check_has(o.err, "MDL_CC");
    GOOD(tool, "dump", "a.mdl"); /* compiling to a plan needs none, nor does the interpreter */
    tool_batch(tool, "x.st", &(BatchSpec){.n = 2, .image = true});
    GOOD(tool, "call", "a.mdl", "mlp", "--in=x.st", "--out=y.st", "--reference");
    o = RUN(tool, "call", "a.mdl", "mlp", "--in=x.st", "--out=y.st");
    check_code(&o, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mistakes_of_programs_have_place_and_help, setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(missing_derivative_is_found_by_check, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(overrides_are_checked, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(call_says_what_the_arguments_lack, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(missing_files, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(missing_data_say_where_they_were_looked_for, setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(run_folder_that_is_a_file, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(truncated_idx, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(truncated_npz, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(truncated_plan, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(truncated_checkpoint, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(truncated_weights, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(damaged_run_json, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(no_compiler, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

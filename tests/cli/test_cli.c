/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_cli.c: the command line: help, usage errors, streams, colours. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const commands[] = {"check",   "graph", "doctor", "completions", "fmt",  "fix",
                                       "explain", "ls",    "train",  "eval",        "dump", "call",
                                       "grad",    "bench", "help",   "version"};

static void help_lists_every_command(void **state)
{
    const char *out = GOOD(*state, "help");
    for (size_t i = 0; i < COUNT(commands); i++)
        check_has(out, arena_printf(((Tool *)*state)->arena, "\n  %s ", commands[i]));
    check_has(out, "exit codes");
    assert_string_equal(tool_run(*state, (const char *const[]){NULL}).out, out);
    assert_string_equal(GOOD(*state, "--help"), out);
}

static void every_command_explains_itself(void **state)
{
    Tool *tool = *state;
    for (size_t i = 0; i < COUNT(commands); i++) {
        const char *out = GOOD(tool, "help", commands[i]);
        check_has(out, arena_printf(tool->arena, "usage: mdl %s ", commands[i]));
        check_has(out, "--color");
        assert_string_equal(GOOD(tool, commands[i], "--help"), out);
        assert_string_equal(GOOD(tool, commands[i], "-h"), out);
    }
    check_has(GOOD(tool, "help", "train"), "--set PATH=EXPR");
    check_lacks(GOOD(tool, "help", "check"), "--run");
}

static void version_is_printed(void **state)
{
    const char *out = GOOD(*state, "--version");
    assert_memory_equal(out, "mdl ", 4);
    assert_true(out[4] >= '0' && out[4] <= '9');
    assert_string_equal(GOOD(*state, "version"), out);
}

typedef struct Usage {
    const char *args[10];
    const char *error, *help;
} Usage;

static const Usage usages[] = {
    {{"chek"}, "unknown command `chek`", "did you mean `check`?"},
    {{"frobnicate"}, "unknown command `frobnicate`", "mdl help lists all"},
    {{"a.mdl"}, "`a.mdl` is not a command", "mdl train a.mdl"},
    {{"help", "frob"}, "unknown command `frob`", "mdl help lists all"},
    {{"train", "--thread", "2"}, "unknown option --thread", "did you mean --threads?"},
    {{"train", "-j"}, "unknown option -j", "mdl help train"},
    {{"check", "--json"}, "--json has no effect on `mdl check`", "mdl help check"},
    {{"train", "--json=1"}, "--json takes no value", ""},
    {{"train", "--run"}, "--run needs a value: --run DIR", ""},
    {{"train", "--run=a", "--run=b"}, "--run is given twice", ""},
    {{"train", "a.mdl", "--threads", "0"}, "--threads takes a whole number from 1", ""},
    {{"train", "a.mdl", "--threads=2x"}, "got `2x`", ""},
    {{"train", "a.mdl", "--seed=-1"}, "--seed takes a whole number from 0", ""},
    {{"train", "a.mdl", "--device", "gpu"}, ", got `gpu`", ""},
    {{"compile", "a.mdl", "--device", "gpu"}, "--device is one of auto|", ""},
    {{"compile", "a.mdl", "--target", "gpu"},
     "--target takes cpu or cuda, got `gpu`",
     "--target cpu:avx2,cuda:sm_80"},
    {{"compile", "a.mdl", "--target", "cpu,"}, "--target takes cpu or cuda, got ``", ""},
    {{"compile", "a.mdl", "--target", "cpu:"}, "--target takes cpu or cuda, got `cpu:`", ""},
    {{"compile", "a.mdl", "--target", "cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu"}, "at most 8", ""},
    {{"compile", "a.mdl", "-o", "x", "--target", "cpu:sse"}, "instruction set 'sse'", "avx2"},
    {{"compile", "a.mdl", "-o", "x", "--target", "cuda:sm_70"}, "'sm_70'", "sm_80, sm_90a"},
    {{"compile", "a.mdl", "-o", "x", "--target", "cpu:generic,cpu", "--isa", "generic"},
     "the target cpu:generic twice",
     ""},
    {{"compile", "a.mdl", "--target", "cpu", "--device", "cuda"},
     "--device has no effect beside --target",
     "short for --target"},
    {{"compile", "a.mdl", "--target", "cuda", "--arch", "sm_80"},
     "--arch has no effect beside --target",
     "--target cuda:sm_80"},
    {{"compile", "a.mdl", "--target", "cuda", "--isa", "avx2"}, "--isa has no effect", ""},
    {{"compile", "a.mdl", "--target", "cpu:avx2", "--isa", "avx2"}, "--isa has no effect", ""},
    {{"compile", "a.mdl", "--device", "cuda", "--isa", "avx2"}, "--isa has no effect", "--arch"},
    {{"compile", "a.mdl", "--arch", "sm_80"},
     "--arch has no effect: it is of GPUs",
     "--device cuda"},
    {{"train", "a.mdl", "--arch", "sm_80", "--device", "cpu"},
     "--arch has no effect",
     "--device cuda"},
    {{"train", "a.mdl", "--arch", "sm_75"}, "--arch is one of sm_80|sm_90a, got `sm_75`", ""},
    {{"eval", "a.mdl", "--target", "cpu"}, "--target has no effect on `mdl eval`", ""},
    {{"call", "a.mdl", "mlp", "--out=y", "--bits", "--device=cpu"},
     "--device has no effect on the interpreter",
     ""},
    {{"train", "a.mdl", "--stage", "x"}, "no train block `x`", "there is mlp"},
    {{"check", "--color", "red"}, "--color is one of auto|always|never", ""},
    {{"check", "--format=xml"}, "--format is one of human|short|json|sarif", ""},
    {{"check", "a.mdl", "b.mdl"}, "one word too many: `b.mdl`", "usage: mdl check [FILE.mdl]"},
    {{"check", "test-images"}, "works on a .mdl file, not on test-images", ""},
    {{"call", "a.mdl", "mlp"}, "`mdl call` needs --out PATH", "mdl help call"},
    {{"call", "a.mdl", "--in=x", "--out=y"}, "needs the name of a function", "FUNCTION"},
    {{"grad", "a.mdl", "--batch=x"}, "`mdl grad` needs --out PATH", "mdl help grad"},
    {{"dump", "a.mdl", "--print-after", "fusee"}, "no pass `fusee`", "fuse"},
    {{"dump", "a.mdl", "--skip", "fusee"}, "no pass `fusee`", ""},
    {{"dump", "a.mdl", "--graph", "--entry=micra"}, "no entry `micra`", "did you mean `micro`?"},
    {{"dump", "a.mdl", "--entry=micro"}, "--entry has no effect here", "--graph"},
    {{"dump", "test-images", "--graph"}, "--graph looks into the compiler", "give the .mdl file"},
};

static void usage_errors_name_the_word_and_a_way_out(void **state)
{
    Tool *tool = *state;
    tool_program(tool, "a.mdl", NULL, NULL);
    tool_data(tool);
    for (size_t i = 0; i < COUNT(usages); i++) {
        Outcome o = tool_run(tool, usages[i].args);
        check_code(&o, 2);
        check_has(o.err, "error: ");
        check_has(o.err, usages[i].error);
        check_has(o.err, usages[i].help);
        assert_string_equal(o.out, "");
    }
}

static void only_program_of_the_folder_is_found(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "check");
    check_code(&o, 2);
    check_has(o.err, "the current folder has no .mdl file");
    tool_program(tool, "a.mdl", NULL, NULL);
    assert_string_equal(GOOD(tool, "check"), "no mistakes found\n");
    assert_string_equal(GOOD(tool, "check", "-q"), "");
    tool_program(tool, "b.mdl", "relu", "relo");
    o = RUN(tool, "check");
    check_code(&o, 2);
    check_has(o.err, "more than one .mdl file");
    o = RUN(tool, "check", "b.mdl");
    check_code(&o, 1);
}

static void words_behind_two_dashes_are_no_options(void **state)
{
    Outcome o = RUN(*state, "check", "--", "--odd.mdl");
    check_code(&o, 3);
    check_has(o.err, "--odd.mdl");
}

static void diagnostics_are_plain_or_coloured_or_short(void **state)
{
    Tool *tool = *state;
    tool_program(tool, "a.mdl", "relu", "relo");
    Outcome plain = RUN(tool, "check");
    check_code(&plain, 1);
    check_lacks(plain.err, "\033[");
    check_has(plain.err, "a.mdl:6:32");
    Outcome color = RUN(tool, "check", "--color=always");
    check_has(color.err, "\033[");
    color = RUN(tool, "check", "--format=short");
    assert_string_equal(color.err, "a.mdl:6:32: error[E0201]: unknown name `relo`\n");
    tool->env[2] = "CLICOLOR_FORCE=1";
    color = RUN(tool, "check");
    check_has(color.err, "\033[");
    color = RUN(tool, "check", "--color", "never");
    assert_string_equal(color.err, plain.err);
}

static void parameters_are_listed(void **state)
{
    Tool *tool = *state;
    tool_program(tool, "a.mdl", NULL, NULL);
    const char *out = GOOD(tool, "ls", "--set", "model.mlp.Hidden=5");
    check_has(out, "fc1.weight");
    check_has(out, "f32[5, 16]");
    check_has(out, "103\n"); /* 5*16 + 5 + 3*5 + 3 */
}

static void results_that_cannot_be_written_are_an_error(void **state)
{
    Tool *tool = *state;
    const char *command = arena_printf(tool->arena, "'%s/cli/mdl' help >/dev/full 2>'%s/err'",
                                       MDL_BINARY_DIR, tool->dir);
    int status = system(command);
    assert_int_equal(status, 3 << 8);
    check_has(tool_read(tool, "err").data, "cannot write the results");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(help_lists_every_command, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(every_command_explains_itself, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(version_is_printed, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(usage_errors_name_the_word_and_a_way_out, tool_setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(only_program_of_the_folder_is_found, tool_setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(words_behind_two_dashes_are_no_options, tool_setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(diagnostics_are_plain_or_coloured_or_short, tool_setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(parameters_are_listed, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(results_that_cannot_be_written_are_an_error, tool_setup,
                                        tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

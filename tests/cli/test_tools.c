/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_tools.c: commands that need no training: fmt, fix, explain, graph, completions, doctor, manual pages, and
 * the formats of diagnostics. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define UGLY "let a=1 # x\nlet bcd =2 # y\n"
#define FINE "let a = 1    # x\nlet bcd = 2  # y\n"

static void fmt_writes_what_changes(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", UGLY);
    tool_write(tool, "b.mdl", FINE);
    Outcome o = RUN(tool, "fmt", "--check", "a.mdl", "b.mdl");
    check_code(&o, 7);
    assert_string_equal(o.out, "a.mdl\n");
    check_has(o.err, "1 file is not in the one style");
    assert_string_equal(tool_read(tool, "a.mdl").data, UGLY);
    assert_string_equal(GOOD(tool, "fmt", "a.mdl", "b.mdl"), "");
    assert_string_equal(tool_read(tool, "a.mdl").data, FINE);
    assert_string_equal(tool_read(tool, "b.mdl").data, FINE);
    assert_string_equal(GOOD(tool, "fmt", "--check", "a.mdl", "b.mdl"), "");
}

static void fmt_leaves_wrong_files(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", "let a=(\n");
    Outcome o = RUN(tool, "fmt");
    check_code(&o, 1);
    check_has(o.err, "E0103");
    assert_string_equal(tool_read(tool, "a.mdl").data, "let a=(\n");
    o = RUN(tool, "fmt", "none.mdl");
    check_code(&o, 3);
    o = RUN(tool, "fmt", "--stdin", "a.mdl");
    check_code(&o, 2);
    check_has(o.err, "with --stdin there are no files");
}

#define WRONG "let a = 1.\nlet b = true&&!false\nlet c = max(a, bb = 3.)\nlet d = (1 + .5)\n"
#define FIXED \
    "let a = 1.0\nlet b = true and not false\nlet c = max(a, bb: 3.0)\nlet d = (1 + 0.5)\n"

static void fix_makes_what_is_certain(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", WRONG);
    Outcome o = RUN(tool, "fix", "a.mdl");
    assert_string_equal(tool_read(tool, "a.mdl").data, FIXED);
    check_has(o.out, "corrections made\n");
    check_lacks(o.err, "E0101");
    check_code(&o, 1);
    check_has(o.err, "error[E0302]"); /* `max` has no argument `bb`: that is left */
    tool_write(tool, "a.mdl", "let a = 1\n");
    assert_string_equal(GOOD(tool, "fix", "a.mdl"), "");
}

static void diagnostics_for_programs(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", "let a = b\n");
    Outcome o = RUN(tool, "check", "a.mdl", "--format=json");
    check_code(&o, 1);
    check_has(
        o.err,
        "{\"code\":\"E0201\",\"level\":\"error\",\"message\":\"unknown name `b`\",\"spans\":[{"
        "\"file\":\"a.mdl\",\"line\":1,\"column\":9,\"end_line\":1,\"end_column\":10,"
        "\"lo\":8,\"hi\":9,\"primary\":true");
    o = RUN(tool, "check", "a.mdl", "--format=sarif");
    check_code(&o, 1);
    check_has(o.err, "\"version\":\"2.1.0\"");
    check_has(o.err, "\"ruleId\":\"E0201\"");
    o = RUN(tool, "check", "none.mdl", "--format=json");
    check_code(&o, 3);
    check_has(o.err, "{\"code\":null,\"level\":\"error\",\"message\":");
}

static void warnings_can_be_denied(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", "fn relu(x) = x\n");
    Outcome o = RUN(tool, "check", "a.mdl");
    check_code(&o, 0);
    check_has(o.err, "warning[W0102]");
    o = RUN(tool, "check", "a.mdl", "--deny", "W0102");
    check_code(&o, 1);
    check_has(o.err, "error[W0102]");
    o = RUN(tool, "check", "a.mdl", "--deny=all");
    check_code(&o, 1);
    o = RUN(tool, "check", "a.mdl", "--deny=W0101");
    check_code(&o, 0);
    o = RUN(tool, "check", "a.mdl", "--deny=E0101");
    check_code(&o, 2);
}

/* The number behind `key` at or behind *at, which moves behind it; -1: none. */
static long next_number(const char **at, const char *key)
{
    const char *found = strstr(*at, key);
    if (!found)
        return -1;
    char *end;
    long n = strtol(found + strlen(key), &end, 10);
    *at = end;
    return n;
}

enum { MAX_BOXES = 64 };

/* Every arrow leads to a higher layer; the boxes read all parameters. */
/* Pictures of any size cannot be made up: the model is drawn as the first stage uses it. */
static void graph_draws_what_data_feed(void **state)
{
    const char *mlp = MDL_SOURCE_DIR "/models/mlp.mdl";
    check_has(GOOD(*state, "graph", mlp), "layers.2  dot, add  1010 parameters");
    Outcome o = RUN(*state, "graph", mlp, "mlp");
    check_code(&o, 2);
    check_has(o.err, "--stage NAME");
}

static void graph_draws_modules(void **state)
{
    Tool *tool = *state;
    tool_data(tool);
    tool_program(tool, "a.mdl", NULL, NULL);
    const char *text = GOOD(tool, "graph", "a.mdl", "--format", "json"), *at = text;
    const char *list = GOOD(tool, "ls", "a.mdl"), *all = strstr(list, "\nall ");
    assert_non_null(all);
    long layer[MAX_BOXES], n = 0, sum = 0, found;
    while ((found = next_number(&at, "\"parameters\":")) >= 0 && n < MAX_BOXES) {
        sum += found;
        layer[n++] = next_number(&at, "\"layer\":");
        assert_int_equal(next_number(&at, "\"times\":"), 1);
    }
    assert_int_equal(sum, strtol(all + strlen("\nall "), NULL, 10));
    long from, arrows = 0;
    for (at = text; (from = next_number(&at, "\"from\":")) >= 0; arrows++) {
        long to = next_number(&at, "\"to\":");
        assert_in_range(from, 0, n - 1);
        assert_in_range(to, 0, n - 1);
        assert_true(layer[from] < layer[to]);
    }
    assert_true(n >= 5 && arrows >= n - 1);
}

/* Arrays of equal layers are drawn once, arrays in arrays too; layers that differ are not, nor those with
 * a step of another module between them. */
static void graph_folds_arrays(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl",
               "module Inner() {\n"
               "  l[3]: Linear(4, 4)\n"
               "  fn forward(x: [B, 4]) -> [B, 4] = x |> l |> relu\n"
               "}\n"
               "module Net() {\n"
               "  outer[5]: Inner()\n"
               "  grow[i < 2]: Linear(4 + i, 5 + i)\n"
               "  mixed[2]: Linear(6, 6)\n"
               "  fn forward(x: [B, 4]) -> [B, 6] {\n"
               "    h = x |> outer |> grow\n"
               "    for m in mixed { h = 2 * m(h) }\n"
               "    h\n"
               "  }\n"
               "}\n"
               "model net = Net()\n");
    const char *text = GOOD(tool, "graph");
    check_has(text, "  outer.*.l.*  dot, add  20 parameters  x 15\n");
    check_has(text, "  outer.*  relu  x 5\n");
    check_has(text, "  grow.0  dot, add  25 parameters\n");
    check_has(text, "  grow.1  dot, add  36 parameters\n");
    check_has(text, "  mixed.0  dot, add  42 parameters\n");
    check_has(text, "  mixed.1  dot, add  42 parameters\n");
    check_lacks(text, "outer.1");
    const char *dot = GOOD(tool, "graph", "--format", "dot");
    check_has(dot, "label=\"outer x 5\"");
    check_has(dot, "label=\"outer.*.l x 3\"");
    check_has(GOOD(tool, "graph", "--format", "svg"), ">outer.*.l × 3</text>");
}

static void graph_formats(void **state)
{
    Tool *tool = *state;
    tool_data(tool);
    tool_program(tool, "a.mdl", NULL, NULL);
    check_has(GOOD(tool, "graph"), "  fc1  ");
    check_has(GOOD(tool, "graph", "--level", "op"), "graph mlp.forward {\n");
    check_has(GOOD(tool, "graph", "--level", "op", "--entry", "micro"), "graph micro {\n");
    check_has(GOOD(tool, "graph", "--format=dot"), "digraph \"mlp.forward\" {\n");
    const char *svg = GOOD(tool, "graph", "--format", "svg", "--level=op");
    assert_memory_equal(svg, "<svg xmlns=", 11);
    check_has(svg, "</svg>\n");
    check_lacks(svg, "nan");
    assert_string_equal(GOOD(tool, "graph", "--format", "svg", "--level=op"), svg);
    Outcome o = RUN(tool, "graph", "--entry", "micra");
    check_code(&o, 2);
    check_has(o.err, "there is micro");
    o = RUN(tool, "graph", "a.mdl", "mlp.foward");
    check_code(&o, 2);
    check_has(o.err, "there is mlp.forward");
    o = RUN(tool, "graph", "a.mdl", "mlq");
    check_code(&o, 2);
    o = RUN(tool, "graph", "--format", "short");
    check_code(&o, 2);
    o = RUN(tool, "check", "--level", "op");
    check_code(&o, 2);
    check_has(o.err, "--level has no effect on `mdl check`");
    tool_write(tool, "b.mdl", "let a = 1\n");
    o = RUN(tool, "graph", "b.mdl");
    assert_in_range(o.code, 1, 2);
    check_has(o.err, "error");
}

static void explain_shows_pages(void **state)
{
    const char *page = GOOD(*state, "explain", "e0413");
    assert_memory_equal(page, "E0413: cannot broadcast\n", 24);
    check_has(page, "Wrong:\n\n  fn f(");
    check_lacks(page, "```");
    check_lacks(page, "<!--");
    check_has(GOOD(*state, "explain"), "\nE0413  cannot broadcast\n");
    Outcome o = RUN(*state, "explain", "E0431x");
    check_code(&o, 2);
    check_has(o.err, "no code `E0431X`");
}

/* bash is asked for what it would offer behind these words. */
static const char *offered(Tool *tool, const char *words)
{
    static const char script[] = "source ./mdl.bash; COMP_WORDS=(%s); "
                                 "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _mdl; "
                                 "echo \"${COMPREPLY[*]}\" > offered";
    const char *text = arena_printf(tool->arena, script, words);
    tool_write(tool, "ask.sh", text);
    const char *command = arena_printf(tool->arena, "cd '%s' && bash ask.sh", tool->dir);
    assert_int_equal(system(command), 0);
    return tool_read(tool, "offered").data;
}

static void completions_come_from_the_tables(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "mdl.bash", GOOD(tool, "completions", "bash"));
    assert_string_equal(offered(tool, "mdl compl"), "completions\n");
    assert_string_equal(offered(tool, "mdl fmt --std"), "--stdin\n");
    assert_string_equal(offered(tool, "mdl check --format ''"), "human short json sarif\n");
    assert_string_equal(offered(tool, "mdl graph --format ''"), "text dot svg json\n");
    assert_string_equal(offered(tool, "mdl check --format = js"), "json\n");
    assert_string_equal(offered(tool, "mdl completions ''"), "bash zsh fish\n");
    tool_write(tool, "model.mdl", "let a = 1\n");
    assert_string_equal(offered(tool, "mdl check mod"), "model.mdl\n");
    check_has(GOOD(tool, "completions", "zsh"),
              "'--format=[of diagnostics\\: with the source text");
    check_has(GOOD(tool, "completions", "fish"),
              "'__fish_seen_subcommand_from fmt' -l stdin -d 'from standard input");
    Outcome o = RUN(tool, "completions", "tcsh");
    check_code(&o, 2);
    check_has(o.err, "bash, zsh or fish");
}

static void manual_pages_come_from_the_tables(void **state)
{
    Tool *tool = *state;
    assert_string_equal(GOOD(tool, "help", "--man", "man/man1"), "");
    const char *page = tool_read(tool, "man/man1/mdl-fmt.1").data;
    assert_memory_equal(page, ".TH MDL-FMT 1 ", 14);
    check_has(page, ".SH NAME\nmdl\\-fmt \\- write files in the one style\n");
    check_has(page, ".TP\n.B \\-\\-format \\fIhuman|short|json|sarif\\fR\n");
    check_has(tool_read(tool, "man/man1/mdl.1").data, ".TP\n.B 130\ninterrupted\n");
    Outcome o = RUN(tool, "help", "--man", "/proc/none");
    assert_int_not_equal(o.code, 0);
}

static void doctor_says_what_is_missing(void **state)
{
    Tool *tool = *state;
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s/new/cache", tool->dir);
    check_has(GOOD(tool, "doctor"), "ok       C compiler   /");
    tool->env[4] = "MDL_CC=/nowhere/cc";
    Outcome o = RUN(tool, "doctor");
    check_code(&o, 5);
    check_has(o.out, "missing  C compiler   ");
    check_has(o.err, "1 thing is missing");
    tool->env[4] = "MDL_CC";
    tool->env[1] = "MDL_DATA=/nowhere/data";
    o = RUN(tool, "doctor");
    check_code(&o, 5);
    check_has(o.out, "no folder /nowhere/data, which $MDL_DATA names");
}

/* No folder can be made below a file, whoever asks. */
static void doctor_says_what_a_cache_that_cannot_be_written_stops(void **state)
{
    Tool *tool = *state;
    Err err = {0};
    assert_true(file_write_atomic(tool_path(tool, "file"), "x", 1, &err));
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s/file/cache", tool->dir);
    Outcome o = RUN(tool, "doctor");
    check_code(&o, 5);
    check_has(o.out, "missing  cache        cannot create folder ");
    check_has(o.out, "make it writable, or set MDL_CACHE to another folder");
    check_has(o.out, "ok       C compiler   /");
    check_has(o.err, "1 thing is missing");
}

/* What only GPUs need is not counted as missing. */
static void doctor_says_what_of_a_gpu_is_absent(void **state)
{
    Tool *tool = *state;
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s/new/cache", tool->dir);
    tool->env[4] = "MDL_NVRTC=/nowhere/libnvrtc.so";
    tool->env[1] = "MDL_LIBCUDA=/nowhere/libcuda.so";
    const char *out = GOOD(tool, "doctor");
    check_has(out, "absent   NVRTC        no NVRTC: $MDL_NVRTC is /nowhere/libnvrtc.so");
    check_has(out, "pip install nvidia-cuda-nvrtc-cu12");
    check_has(out, "absent   CUDA driver  no CUDA driver: /nowhere/libcuda.so");
    check_has(out, "ok       emulator     --device simt runs kernels of GPUs (sm_80 unless");
    tool->env[5] = "MDL_SIMT=nonsense";
    check_has(GOOD(tool, "doctor"), "absent   emulator     ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fmt_writes_what_changes, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(fmt_leaves_wrong_files, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(fix_makes_what_is_certain, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(diagnostics_for_programs, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(warnings_can_be_denied, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(graph_draws_what_data_feed, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(graph_draws_modules, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(graph_folds_arrays, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(graph_formats, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(completions_come_from_the_tables, tool_setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(manual_pages_come_from_the_tables, tool_setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(doctor_says_what_is_missing, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(doctor_says_what_a_cache_that_cannot_be_written_stops,
                                        tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(doctor_says_what_of_a_gpu_is_absent, tool_setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(explain_shows_pages, tool_setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

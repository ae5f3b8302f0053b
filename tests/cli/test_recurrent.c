/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_recurrent.c: what the commands say of a program with a loop. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char program[] =
    "module Rnn(D, H) {\n"
    "  inp: Linear(D, H)\n"
    "  rec: Linear(H, H)\n"
    "  out: Linear(H, 3)\n"
    "  fn forward(x: [B, T, D]) -> [B, 3] {\n"
    "    zero[b, h]: [B, H] = 0 * x[b, 0, 0]\n"
    "    h, y = scan((h, u) => {\n"
    "      n = tanh(rec(h) + u)\n"
    "      (n, n)\n"
    "    }, zero, inp(x), axis: 1)\n"
    "    out(h)\n"
    "  }\n"
    "}\n"
    "model rnn = Rnn(4, 16)\n"
    "data d {\n"
    "  source = idx(images: \"train-images\", labels: \"train-labels\")\n"
    "  x: f32[4, 4] = row => row.images / 255\n"
    "  y: i32       = row => row.labels\n"
    "}\n"
    "train rnn {\n"
    "  data  = d\n"
    "  loss  = b => cross_entropy(rnn(b.x), b.y)\n"
    "  lr    = 1e-2\n"
    "  batch = 16\n"
    "  steps = 60\n"
    "}\n"
    "eval seen { data = d ; metric accuracy = b => mean(argmax(rnn(b.x)) == b.y) }\n";

static void dump_enters_loops(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", program);
    const char *steps = GOOD(tool, "dump", "a.mdl", "--steps");
    check_has(steps, "loop of at most 4 rounds, which carries");
    check_has(steps, "loop of at most 4 rounds from the end, which carries");
    const char *groups = GOOD(tool, "dump", "a.mdl", "--groups");
    check_has(groups, "loop, 1 carried, 1 sequences, its body:");
    check_has(GOOD(tool, "dump", "a.mdl", "--kernels"), "rec_gemm_tanh_add");
    check_has(GOOD(tool, "dump", "a.mdl", "--memory"), "of scan_bwd");
    check_has(GOOD(tool, "dump", "a.mdl", "--source"), "rec_gemm_tanh_add");
}

static void why_speaks_of_what_is_around(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", program);
    const char *text = GOOD(tool, "why", "a.mdl", "out");
    check_has(text, "out_gemm_add");
    check_lacks(text, "tanh");
    check_has(text, "  does    dot f32[16, 3]  [out]  std/nn.mdl:9\n");
}

/* Rows that are easy to tell apart. */
static void training_learns(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", program);
    tool_data(tool);
    const char *text = GOOD(tool, "train", "a.mdl");
    check_has(text, "seen accuracy 1.0000  (64 rows)");
}

static void why_enters_loops(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl", program);
    const char *text = GOOD(tool, "why", "a.mdl", "loop", "--entry", "micro");
    check_has(text, "loop of 4 rounds, in micro  a.mdl:7\n");
    check_has(text, "  carried 1 from round to round\n");
    check_has(text, "loop of 4 rounds from the end, in micro");
    text = GOOD(tool, "why", "a.mdl", "rec", "--entry", "micro");
    check_has(text, "rec_gemm_tanh_add");
    check_has(text, "  where   in a loop of 4 rounds  a.mdl:7\n");
    check_has(text, "tanh f32[16, 16]  a.mdl:8\n");
    check_has(text, "merged tanh as epilogue");
    check_lacks(text, "out_gemm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dump_enters_loops, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(training_learns, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(why_speaks_of_what_is_around, tool_setup, tool_teardown),
        cmocka_unit_test_setup_teardown(why_enters_loops, tool_setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

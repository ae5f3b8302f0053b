/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_bisect.c: `mdl bisect` finds nothing where nothing is wrong, and the kernel that a C compiler with
 * a bug has spoilt. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_program(*state, "a.mdl", NULL, NULL);
    return 0;
}

static void right_kernels_agree(void **state)
{
    Tool *tool = *state;
    const char *out = GOOD(tool, "bisect", "a.mdl");
    check_has(out, "micro: ");
    check_has(out, "update: ");
    check_lacks(out, "micro: 0 ");
    check_lacks(out, "instead of");
    check_lacks(out, "of other kinds");
    assert_false(file_exists(tool_path(tool, "bisect")));
    BatchSpec batch = {.n = 8, .image = true, .label = true};
    tool_batch(tool, "b.safetensors", &batch);
    GOOD(tool, "bisect", "a.mdl", "--batch", "b.safetensors", "--set", "train.batch=8", "--skip",
         "simplify", "--skip", "tidy");
}

/* A compiler that reads another text than it is given. */
static void break_compiler(Tool *tool, const char *edit)
{
    tool_write(tool, "cc.sh",
               arena_printf(tool->arena,
                            "#!/bin/sh\nfor a in \"$@\"; do\n"
                            "  case \"$a\" in *.c) sed -i '%s' \"$a\";; esac\n"
                            "done\nexec cc \"$@\"\n",
                            edit));
    assert_int_equal(chmod(tool_path(tool, "cc.sh"), 0755), 0);
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s/cache", tool->dir);
    for (size_t i = 1; i < COUNT(tool->env) - 1; i++)
        if (!tool->env[i]) {
            tool->env[i] = arena_printf(tool->arena, "MDL_CC=%s/cc.sh", tool->dir);
            tool->env[i + 1] = NULL;
            break;
        }
}

static void the_spoilt_kernel_is_named(void **state)
{
    Tool *tool = *state;
    break_compiler(tool, "s/mdl_max_/mdl_min_/");
    Outcome o = RUN(tool, "bisect", "a.mdl", "--out", "repro");
    check_code(&o, 7);
    check_has(o.out, "k_fc1_gemm_add_max_");
    check_has(o.out, " of micro: result ");
    check_has(o.out, "inside it: `max` at a.mdl:");
    check_has(o.out, " is wrong alone\n");
    check_has(o.err, "repro has the kernel");
    check_has(tool_read(tool, "repro/kernel.c").data, "#include \"mdl.h\"");
    check_has(tool_read(tool, "repro/group.txt").data, " = dot ");
    check_has(tool_read(tool, "repro/README.txt").data, "k_fc1_gemm_add_max_");
    StFile *file = tool_tensors(tool, "repro/tensors.safetensors");
    assert_non_null(st_find(file, "in.0"));
    assert_non_null(st_find(file, "got.0"));
    assert_non_null(st_find(file, "want.0"));
    st_close(file);
}

/* The operation is right by itself, and wrong behind the product. */
static void what_is_fused_wrongly_is_named(void **state)
{
    Tool *tool = *state;
    break_compiler(tool, "/^MDL_KERNEL void k_fc1_gemm/,/^}/ s/mdl_max_/mdl_min_/");
    Outcome o = RUN(tool, "bisect", "a.mdl", "--out", "repro");
    check_code(&o, 7);
    check_has(o.out,
              "inside it: every operation alone is right; fused, it is wrong from `max` at a.mdl:");
    check_has(tool_read(tool, "repro/README.txt").data, "every operation alone is right");
}

/* Only the first tensor of the optimizer's table is computed. */
static void every_tensor_of_a_table_is_compared(void **state)
{
    Tool *tool = *state;
    break_compiler(
        tool, "/^MDL_KERNEL.*multi_map/,/^}/ s/mdl_row(a, task);/& if (row != a->row) return;/");
    Outcome o = RUN(tool, "bisect", "a.mdl", "--out", "repro");
    check_code(&o, 7);
    check_has(o.out, "multi_map");
    check_has(o.out, ", tensor set 1: result ");
}

static const char loop[] = "module Rnn(D, H) {\n"
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
                           "}\n";

static void loops_are_entered(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "loop.mdl", loop);
    const char *out = GOOD(tool, "bisect", "loop.mdl");
    check_lacks(out, "of other kinds");
    check_lacks(out, "too large");
    break_compiler(tool, "s/mdl_tanh_/mdl_sin_/");
    Outcome o = RUN(tool, "bisect", "loop.mdl", "--out", "repro");
    check_code(&o, 7);
    check_has(o.out, "rec_gemm_tanh");
    check_has(o.out, "inside it: `tanh` at loop.mdl:8 is wrong alone");
}

static const char large[] = "module Wide(H) {\n"
                            "  fc1: Linear(16, H)\n"
                            "  fc2: Linear(H, H)\n"
                            "  fc3: Linear(H, 3)\n"
                            "  fn forward(x: [B, 4, 4]) -> [B, 3] =\n"
                            "    (x as [B, 16]) |> fc1 |> relu |> fc2 |> relu |> fc3\n"
                            "}\n"
                            "model wide = Wide(1024)\n"
                            "data d {\n"
                            "  source = idx(images: \"train-images\", labels: \"train-labels\")\n"
                            "  x: f32[4, 4] = row => row.images / 255\n"
                            "  y: i32       = row => row.labels\n"
                            "}\n"
                            "train wide {\n"
                            "  data  = d\n"
                            "  loss  = b => cross_entropy(wide(b.x), b.y)\n"
                            "  lr    = 1e-2\n"
                            "  batch = 128\n"
                            "  steps = 60\n"
                            "}\n";

/* Products of more than 100 million multiplications. */
static void large_kernels_are_compared_in_blocks(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "large.mdl", large);
    const char *out = GOOD(tool, "bisect", "large.mdl");
    check_has(out, ", 2 of them in blocks\n"); /* fc2, and both of its gradients in one launch */
    break_compiler(tool, "/^MDL_KERNEL void k_fc2_gemm/,/^}/ s/mdl_max_/mdl_min_/");
    Outcome o = RUN(tool, "bisect", "large.mdl");
    check_code(&o, 7);
    check_has(o.out, "1 of them in blocks");
    check_has(o.out, "k_fc2_gemm_add_max_");
    check_has(o.out, "fused, it is wrong from `max`");
    check_has(tool_read(tool, "bisect/README.txt").data, "unless it is too large");
    StFile *file = tool_tensors(tool, "bisect/tensors.safetensors");
    assert_non_null(st_find(file, "got.0"));
    assert_null(st_find(file, "want.0"));
    st_close(file);
}

static void mistakes_of_the_command_are_told(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "bisect", "a.mdl", "other");
    check_code(&o, 1);
    o = RUN(tool, "bisect", "a.mdl", "--batch", "none.safetensors");
    check_code(&o, 3);
    tool_write(tool, "none.mdl", "model m = Linear(2, 3)\n");
    o = RUN(tool, "bisect", "none.mdl");
    check_code(&o, 1);
    check_has(o.err, "no `train` block");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(right_kernels_agree),
        TEST(the_spoilt_kernel_is_named),
        TEST(what_is_fused_wrongly_is_named),
        TEST(every_tensor_of_a_table_is_compared),
        TEST(loops_are_entered),
        TEST(large_kernels_are_compared_in_blocks),
        TEST(mistakes_of_the_command_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_compile.c: `mdl compile`, training without the source, and what differs between plans. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_program(*state, "a.mdl", NULL, NULL);
    return 0;
}

static void check_same_file(Tool *tool, const char *a, const char *b)
{
    Bytes x = tool_read(tool, a), y = tool_read(tool, b);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.data, y.data, x.n);
}

/* Data need not be there, nor a C compiler. */
static void plans_are_the_same_bytes_each_time(void **state)
{
    Tool *tool = *state;
    tool->env[4] = "MDL_CC=/nowhere/cc";
    assert_string_equal(GOOD(tool, "compile", "a.mdl", "-o", "x"), "x/plans/mlp.plan\n");
    GOOD(tool, "compile", "a.mdl", "--out=y", "--stage", "mlp", "--target", "cpu");
    check_same_file(tool, "x/plans/mlp.plan", "y/plans/mlp.plan");
    check_same_file(tool, "x/run.json", "y/run.json");
    assert_string_equal(GOOD(tool, "diff", "x/plans/mlp.plan", "y/plans/mlp.plan"), "");
    check_has(GOOD(tool, "dump", "x/plans/mlp.plan"), "entry      micro:");
    check_has(GOOD(tool, "dump", "x", "--steps"), "micro");
}

static void a_folder_is_trained_without_the_source(void **state)
{
    Tool *tool = *state;
    tool_data(tool);
    GOOD(tool, "train", "a.mdl", "--run", "straight");
    GOOD(tool, "compile", "a.mdl", "-o", "x");
    assert_int_equal(remove(tool_path(tool, "a.mdl")), 0);
    GOOD(tool, "train", "x");
    check_same_file(tool, "straight/checkpoints/step-40/weights.safetensors",
                    "x/checkpoints/step-40/weights.safetensors");
    check_same_file(tool, "straight/plans/mlp.plan", "x/plans/mlp.plan");
}

/* However many layers there are. */
static void equal_layers_share_their_kernels(void **state)
{
    Tool *tool = *state;
    tool_find_models(tool);
    const char *kernels[2];
    static const char *const layers[] = {"model.mistral.L=4", "model.mistral.L=11"};
    for (size_t i = 0; i < COUNT(layers); i++) {
        static const char program[] = MDL_SOURCE_DIR "/bench/mistral_step.mdl";
        const char *text =
            GOOD(tool, "dump", program, "--set", layers[i], "--set", "model.mistral.D=64", "--set",
                 "model.mistral.F=96", "--set", "model.mistral.V=300");
        kernels[i] = strstr(text, "\nkernels ");
        assert_non_null(kernels[i]);
        kernels[i] = arena_strndup(tool->arena, kernels[i] + 1, strcspn(kernels[i] + 1, "\n"));
        check_lacks(kernels[i], "kernels    0");
    }
    assert_string_equal(kernels[0], kernels[1]);
}

/* models/gpt2.mdl, which the program imports, gives its own train block a precision. */
static void a_setting_is_of_the_program_before_its_imports(void **state)
{
    Tool *tool = *state;
    static const char program[] = MDL_SOURCE_DIR "/bench/gpt2_step.mdl";
    static const char *const paths[] = {"train.precision=bf16", "precision=bf16",
                                        "train.net.precision=bf16"};
    tool_find_models(tool);
    check_has(GOOD(tool, "dump", program), "masters 0;");
    for (size_t i = 0; i < COUNT(paths); i++)
        check_lacks(GOOD(tool, "dump", program, "--set", paths[i]), "masters 0;");
}

static void differences_of_plans_are_listed(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "compile", "a.mdl", "-o", "x");
    GOOD(tool, "compile", "a.mdl", "-o", "y", "--set", "train.lr=0.5");
    Outcome o = RUN(tool, "diff", "x/plans/mlp.plan", "y/plans/mlp.plan");
    check_code(&o, 7);
    check_has(o.out, "~ train  ");
    check_lacks(o.out, "kernel ");
    GOOD(tool, "compile", "a.mdl", "-o", "z", "--isa", "generic");
    o = RUN(tool, "diff", "x/plans/mlp.plan", "z/plans/mlp.plan");
    check_code(&o, 7);
    check_has(o.out, "~ target cpu  ");
    check_has(o.out, " for cpu  reduce, source ");
    tool_cut(tool, "z/plans/mlp.plan", 1000);
    o = RUN(tool, "diff", "x/plans/mlp.plan", "z/plans/mlp.plan");
    check_code(&o, 4);
}

/* A plan for two kinds of device has the kernels of both under the same names, and runs where one of them
 * is; a plan for one kind says what it would have to be made for. */
static void a_plan_may_have_several_targets(void **state)
{
    Tool *tool = *state;
    tool_data(tool);
    GOOD(tool, "compile", "a.mdl", "-o", "x", "--isa", "generic");
    GOOD(tool, "compile", "a.mdl", "-o", "both", "--target", "cpu:generic,cuda:sm_80");
    const char *dump = GOOD(tool, "dump", "both/plans/mlp.plan", "--groups", "--source");
    check_has(dump, ") for generic ---- */");
    check_has(dump, ") for sm_80 ---- */");
    check_has(dump, "\n  sm_80; tasks ");
    check_has(GOOD(tool, "dump", "both/plans/mlp.plan"), " for generic, sm_80; hash ");
    Outcome o = RUN(tool, "diff", "x/plans/mlp.plan", "both/plans/mlp.plan");
    check_code(&o, 7);
    check_has(o.out, "+ target cuda  sm_80, prelude ");
    check_lacks(o.out, "prelude 0000000000000000");
    check_has(o.out, " for cuda  gemm, source ");
    check_lacks(o.out, "~ "); /* the kernels of the CPU are the same */
    GOOD(tool, "train", "x");
    GOOD(tool, "train", "both", "--device", "cpu");
    check_same_file(tool, "x/checkpoints/step-40/weights.safetensors",
                    "both/checkpoints/step-40/weights.safetensors");
}

/* The CPU has kernels for a whole attention; what of it another target lacks, neither uses. */
static void composites_are_run_whole_where_all_targets_do(void **state)
{
    Tool *tool = *state;
    const char *zoo = MDL_SOURCE_DIR "/tests/recorded/zoo/training.mdl";
    static const char *const targets[] = {"cpu:generic", "cpu:generic,cuda:sm_80"};
    tool_find_models(tool);
    for (size_t i = 0; i < COUNT(targets); i++)
        GOOD(tool, "compile", zoo, "-o", arena_printf(tool->arena, "z%zu", i), "--stage",
             "tiny_gpt2", "--target", targets[i]);
    check_has(GOOD(tool, "dump", "z0/plans/tiny_gpt2.plan", "--groups"), " (attention): ");
    check_has(GOOD(tool, "dump", "z1/plans/tiny_gpt2.plan", "--groups"), "\n  sm_80; tasks ");
}

/* Nobody asks for the gradient of its operand then, and what that alone reads is gone. */
static void a_head_alone_is_trained_in_16_bits(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "h.mdl",
               "module Net(D, C) {\n"
               "  body: Linear(D, D)\n"
               "  head: Linear(D, C, bias: none)\n"
               "  fn forward(x: [B, D]) -> [B, C] = head(relu(body(x)))\n"
               "}\n"
               "model net = Net(24, 136)\n"
               "data d {\n"
               "  source = npz(\"d.npz\")\n"
               "  x: f32[24] = row => row.x\n"
               "  t: i32 = row => row.t\n"
               "}\n"
               "train net {\n"
               "  data = d\n"
               "  batch = 32\n"
               "  precision = bf16\n"
               "  freeze body.**\n"
               "  loss = b => cross_entropy(net(b.x), b.t)\n"
               "  steps = 10\n"
               "  lr = 1e-3\n"
               "}\n");
    static const char *const arch[] = {"sm_80", "sm_90a"};
    for (size_t i = 0; i < COUNT(arch); i++)
        GOOD(tool, "compile", "h.mdl", "-o", arch[i], "--device", "cuda", "--arch", arch[i]);
    check_has(GOOD(tool, "dump", "sm_80/plans/net.plan", "--groups"), " (xent_both): ");
}

/* The kernel finds all gradients from the queries' on, and keys get theirs beside. */
static void values_of_an_attention_alone_are_trained(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "v.mdl",
               "module Net(D) {\n"
               "  q: Linear(D, D)\n"
               "  k: Linear(D, D)\n"
               "  v: Linear(D, D)\n"
               "  fn forward(x: [B, T, D]) -> [B, D] {\n"
               "    h = attention(q(x) as [B, T, 2, D / 2], k(x) as [B, T, 2, D / 2], v(x) as [B, "
               "T, 2, D / 2])\n"
               "    (h as [B, T, D])[:, 0, :]\n"
               "  }\n"
               "}\n"
               "model net = Net(64)\n"
               "data d {\n"
               "  source = npz(\"d.npz\")\n"
               "  x: f32[40, 64] = row => row.x\n"
               "  t: i32 = row => row.t\n"
               "}\n"
               "train net {\n"
               "  data = d\n"
               "  batch = 4\n"
               "  freeze q.**\n"
               "  freeze k.**\n"
               "  loss = b => cross_entropy(net(b.x), b.t)\n"
               "  steps = 10\n"
               "  lr = 1e-3\n"
               "}\n");
    static const char *const target[] = {"cpu:generic", "cuda:sm_80", "cuda:sm_90a"};
    for (size_t i = 0; i < COUNT(target); i++) {
        const char *dir = arena_printf(tool->arena, "v%zu", i);
        GOOD(tool, "compile", "v.mdl", "-o", dir, "--target", target[i]);
        const char *plan = arena_printf(tool->arena, "%s/plans/net.plan", dir);
        check_has(GOOD(tool, "dump", plan, "--groups"), " (attention_bwd): ");
    }
}

static void a_device_without_kernels_is_refused(void **state)
{
    Tool *tool = *state;
    tool_data(tool);
    GOOD(tool, "compile", "a.mdl", "-o", "gpu", "--device", "cuda", "--arch", "sm_90a");
    Outcome o = RUN(tool, "train", "gpu", "--device", "cpu");
    check_code(&o, 5);
    check_has(o.err, "the plan has no kernels for the device cpu: it is for cuda:sm_90a");
    check_has(o.err, "mdl compile FILE.mdl --target cuda:sm_90a,cpu -o DIR");
    o = RUN(tool, "train", "gpu", "--arch", "sm_80", "--device", "auto");
    check_code(&o, 2);
    check_has(o.err, "--arch has no effect on a finished plan");
    o = RUN(tool, "bench", "gpu/plans/mlp.plan", "--isa", "generic");
    check_code(&o, 2);
    check_has(o.err, "--isa has no effect on a finished plan");
    GOOD(tool, "train", "a.mdl", "--isa", "generic", "--run", "r", "--max-steps", "1");
    o = RUN(tool, "train", "a.mdl", "--run", "r", "--target", "cpu,cuda:sm_80");
    check_code(&o, 2);
    check_has(o.err, "the plan of this run is for generic");
    GOOD(tool, "train", "a.mdl", "--run", "r", "--target", "cpu:generic", "--max-steps", "2");
}

/* New plans take the place of old ones, unless somebody has trained with these. */
static void a_used_folder_keeps_its_plans(void **state)
{
    Tool *tool = *state;
    tool_data(tool);
    GOOD(tool, "compile", "a.mdl", "-o", "x");
    GOOD(tool, "compile", "a.mdl", "-o", "x", "--set", "train.lr=0.5");
    GOOD(tool, "train", "x", "--max-steps", "1");
    Outcome o = RUN(tool, "compile", "a.mdl", "-o", "x");
    check_code(&o, 1);
    check_has(o.err, "x holds a run of another program");
    GOOD(tool, "compile", "a.mdl", "-o", "x", "--set", "train.lr=0.5");
}

static void mistakes_of_the_command_are_told(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "compile", "a.mdl");
    check_code(&o, 2);
    check_has(o.err, "`mdl compile` needs --out");
    o = RUN(tool, "compile", "a.mdl", "-o", "x", "--target", "gpu");
    check_code(&o, 2);
    o = RUN(tool, "compile", "a.mdl", "-o", "x", "--stage", "none");
    check_code(&o, 2);
    tool_write(tool, "file", "");
    o = RUN(tool, "compile", "a.mdl", "-o", "file");
    check_code(&o, 3);
}

/* By kernel, by module, by node of the graph before fusion. */
static void decisions_are_explained(void **state)
{
    Tool *tool = *state;
    const char *all = GOOD(tool, "why", "a.mdl", "fc1", "--entry", "micro");
    check_has(all, " in micro\n");
    check_lacks(all, " in update\n");
    check_has(all, "  [fc1]  std/nn.mdl:");
    check_has(all, "merged add (fc1) as epilogue: only reader");
    const char *at = strstr(all, "  does    %");
    assert_non_null(at);
    const char *node = arena_strndup(tool->arena, at + strlen("  does    "),
                                     strcspn(at + strlen("  does    "), " "));
    const char *kernel =
        arena_strndup(tool->arena, all + strlen("kernel "), strcspn(all + strlen("kernel "), ","));
    check_has(GOOD(tool, "why", "a.mdl", node, "--entry", "micro"), kernel);
    const char *one = GOOD(tool, "why", "a.mdl", kernel);
    assert_memory_equal(one, all, strlen(one) - 1);
    check_has(GOOD(tool, "why", "a.mdl", "fc1", "--skip", "tidy"), "kernel ");
    Outcome o = RUN(tool, "why", "a.mdl", "fc");
    check_code(&o, 2);
    check_has(o.err, "no kernel, module or computed node `fc`");
    o = RUN(tool, "why", "a.mdl", "%99999999999999999999");
    check_code(&o, 2);
    o = RUN(tool, "why", "a.mdl");
    check_code(&o, 2);
}

static void passes_are_shown_and_left_out(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "compile", "a.mdl", "-o", "x", "--print-after", "autodiff");
    check_code(&o, 0);
    check_has(o.err, "graph micro {");
    check_has(o.err, "graph update {");
    const char *bare = GOOD(tool, "dump", "a.mdl", "--graph", "--print-after", "expand",
                            "--pass-limit", "0", "--entry", "micro");
    assert_string_equal(bare, GOOD(tool, "dump", "a.mdl", "--graph", "--print-after", "expand",
                                   "--skip", "simplify", "--skip", "tidy", "--entry", "micro"));
    o = RUN(tool, "compile", "a.mdl", "-o", "x", "--skip", "expand");
    check_code(&o, 2);
    check_has(o.err, "nothing runs without the pass `expand`");
    check_has(GOOD(tool, "why", "a.mdl", "fc1", "--skip", "fuse"), "COST fusion is left out");
    o = RUN(tool, "compile", "a.mdl", "-o", "x", "--pass-limit", "1000");
    check_code(&o, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plans_are_the_same_bytes_each_time),
        TEST(a_folder_is_trained_without_the_source),
        TEST(equal_layers_share_their_kernels),
        TEST(a_setting_is_of_the_program_before_its_imports),
        TEST(differences_of_plans_are_listed),
        TEST(a_plan_may_have_several_targets),
        TEST(composites_are_run_whole_where_all_targets_do),
        TEST(a_head_alone_is_trained_in_16_bits),
        TEST(values_of_an_attention_alone_are_trained),
        TEST(a_device_without_kernels_is_refused),
        TEST(a_used_folder_keeps_its_plans),
        TEST(mistakes_of_the_command_are_told),
        TEST(decisions_are_explained),
        TEST(passes_are_shown_and_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

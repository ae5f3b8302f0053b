/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_micro.c: `micro = auto`: memory decides how many rows a pass takes, once, when the plan is made. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* An MLP whose activations of 64 rows are more than its parameters. */
static const char *const program =
    "module Net(D) {\n"
    "  first: Linear(16, D)\n"
    "  second: Linear(D, D)\n"
    "  last: Linear(D, 3)\n"
    "  fn forward(x: f32[B, 4, 4]) -> [B, 3] {\n"
    "    h = x as [B, 16] |> first |> gelu |> second |> gelu\n"
    "    last(h%s)\n"
    "  }\n"
    "}\n"
    "model mlp = Net(24)\n"
    "data digits {\n"
    "  source = idx(images: \"train-images\", labels: \"train-labels\")\n"
    "  image: f32[4, 4] = row => row.images / 255\n"
    "  label: i32 = row => row.labels\n"
    "}\n"
    "train mlp {\n"
    "  data = digits\n"
    "  loss = b => cross_entropy(mlp(b.image), b.label)\n"
    "  optimizer = adamw()\n"
    "  lr = 0.01\n"
    "  batch = 48\n"
    "  micro = auto\n"
    "  steps = 8\n"
    "}\n";

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    Tool *tool = *state;
    tool_data(tool);
    tool_write(tool, "p.mdl", arena_printf(tool->arena, program, ""));
    tool_write(tool, "meet.mdl", arena_printf(tool->arena, program, " - mean(h, axis: 0)"));
    return 0;
}

static const Plan *plan_of(Tool *tool, const char *run)
{
    Err err = {0};
    const Plan *p =
        plan_load(tool_path(tool, arena_printf(tool->arena, "%s/plans/mlp.plan", run)), &err);
    assert_non_null(p);
    return p;
}

/* Rows of a pass with a budget; 0: nothing fits. */
static int64_t rows_with(Tool *tool, int kib)
{
    const char *limit = arena_printf(tool->arena, "%dKiB", kib);
    Outcome o = RUN(tool, "compile", "p.mdl", "-o", "c", "--memory-limit", limit);
    if (o.code == 1) {
        check_has(o.err, "error[E0812]");
        return 0;
    }
    check_code(&o, 0);
    Plan *p = (Plan *)plan_of(tool, "c");
    uint64_t need = p->meta->state_bytes + p->meta->temp_bytes + p->targets[0].workspace_bytes;
    int64_t rows = p->runs[0].rows;
    assert_true(need <= (uint64_t)kib * 1024);
    assert_int_equal(48 % rows, 0);
    if (rows < 48)
        check_has(o.err, arena_printf(tool->arena, "micro = %lld: one pass of all 48 rows needs ",
                                      (long long)rows));
    else
        check_lacks(o.err, "micro = ");
    plan_free(p);
    return rows;
}

static void less_memory_means_fewer_rows(void **state)
{
    Tool *tool = *state;
    int64_t last = rows_with(tool, 1000);
    int kinds = 0;
    assert_int_equal(last, 48);
    for (int kib = 44; kib >= 14; kib -= 5) {
        int64_t rows = rows_with(tool, kib);
        assert_true(rows <= last);
        kinds += rows < last && rows > 0;
        last = rows;
    }
    assert_int_equal(last, 0);
    assert_true(kinds >= 3);
}

static void check_same(Tool *tool, const char *a, const char *b, const char *name)
{
    Bytes x = tool_read(tool, arena_printf(tool->arena, "%s/checkpoints/step-%s", a, name));
    Bytes y = tool_read(tool, arena_printf(tool->arena, "%s/checkpoints/step-%s", b, name));
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.data, y.data, x.n);
}

/* A run that goes on where there is more memory keeps its passes; written by hand they give the same bits. */
static void what_was_chosen_stays(void **state)
{
    Tool *tool = *state;
    int kib = 26;
    int64_t rows = rows_with(tool, kib);
    assert_true(rows > 0 && rows < 48);
    GOOD(tool, "train", "p.mdl", "--run", "a", "--max-steps", "3", "--memory-limit",
         arena_printf(tool->arena, "%dKiB", kib));
    GOOD(tool, "train", "p.mdl", "--run", "a");
    GOOD(tool, "train", "p.mdl", "--run", "b", "--set",
         arena_printf(tool->arena, "train.micro=%lld", (long long)rows));
    GOOD(tool, "train", "p.mdl", "--run", "all");
    check_same(tool, "a", "b", "8/weights.safetensors");
    check_same(tool, "a", "b", "8/state.safetensors");
    Plan *all = (Plan *)plan_of(tool, "all");
    assert_int_equal(all->runs[0].rows, 48);
    plan_free(all);
}

static void rows_that_meet_are_not_parted(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "compile", "meet.mdl", "-o", "m", "--memory-limit", "36KiB");
    check_code(&o, 1);
    check_has(o.err, "error[E0813]: rows of the batch meet here, and all 48 in one pass need ");
    check_has(o.err, "meet.mdl:7:");
    check_has(o.err, "= note: the budget is 36.00 KiB");
    GOOD(tool, "compile", "meet.mdl", "-o", "m");
    GOOD(tool, "compile", "meet.mdl", "-o", "n", "--memory-limit", "36KiB", "--set",
         "train.micro=8");
}

/* Texts that share rows: any number of rows is a pass, and the last of a step may have fewer. */
static const char *const packed =
    "data d {\n"
    "  source = jsonl(\"d.jsonl\")\n"
    "  length = 16\n"
    "  tokenizer = bytes(special: [\"<eos>\"])\n"
    "  said: text = row => row.t\n"
    "}\n"
    "module Net(V, D) {\n"
    "  wte: Embedding(V, D)\n"
    "  head: Linear(D, V)\n"
    "  fn forward(tokens: i32[B, T]) -> [B, T, V] = wte(tokens) |> gelu |> head\n"
    "}\n"
    "model m = Net(257, 24)\n"
    "train m {\n"
    "  data = d\n"
    "  loss = b => cross_entropy(m(b.said.tokens), b.said.targets, mask: b.said.learn)\n"
    "  optimizer = adamw()\n"
    "  lr = 0.01 ; batch = 20 ; micro = auto ; steps = 6 ; log = 1\n"
    "}\n";

static const char *train_packed(Tool *tool, const char *run, const char *option, const char *value)
{
    GOOD(tool, "train", "packed.mdl", "--run", run, option, value, "-q");
    Plan *p = (Plan *)plan_load(tool_path(tool, arena_printf(tool->arena, "%s/plans/m.plan", run)),
                                &(Err){0});
    assert_non_null(p);
    const char *rows = arena_printf(tool->arena, "%lld", (long long)p->runs[0].rows);
    plan_free(p);
    return rows;
}

static void packed_rows_are_cut_anywhere(void **state)
{
    Tool *tool = *state;
    StrBuf sb = sb_new(tool->arena);
    for (int i = 0; i < 50; i++)
        sb_printf(&sb, "{\"t\": \"%.*s\"}\n", 5 + i % 9, &"abcbcbabcabcaaa"[i % 2]);
    tool_write(tool, "d.jsonl", sb_text(&sb));
    tool_write(tool, "packed.mdl", packed);
    assert_string_equal(train_packed(tool, "all", "--memory-limit", "10MiB"), "20");
    const char *rows = train_packed(tool, "few", "--memory-limit", "330KiB");
    assert_string_equal(rows, "3");
    train_packed(tool, "hand", "--set", arena_printf(tool->arena, "train.micro=%s", rows));
    check_same(tool, "few", "hand", "6/weights.safetensors");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(less_memory_means_fewer_rows),
        TEST(what_was_chosen_stays),
        TEST(rows_that_meet_are_not_parted),
        TEST(packed_rows_are_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

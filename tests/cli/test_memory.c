/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_memory.c: what a plan says of memory is what is used; budgets; values that are computed again have
 * the same bits. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Blocks deep enough that keeping everything costs more than one block's work. */
static const char *const deep =
    "module Block(D) {\n"
    "  norm: LayerNorm(D)\n"
    "  up: Linear(D, 4 * D)\n"
    "  down: Linear(4 * D, D)\n"
    "  fn forward(x: [B, D]) -> [B, D] = x + (x |> norm |> up |> gelu |> down)\n"
    "}\n"
    "module Net(D, L) {\n"
    "  first: Linear(16, D)\n"
    "  blocks[L]: Block(D)\n"
    "  last: Linear(D, 3)\n"
    "  fn forward(x: f32[B, 16]) -> [B, 3] = x |> first |> blocks |> last\n"
    "}\n"
    "model net = Net(24, 6)\n"
    "data rows {\n"
    "  source = npz(\"rows.npz\", x: \"x\", y: \"y\")\n"
    "  x: f32[16] = row => row.x\n"
    "  y: i32 = row => row.y\n"
    "}\n"
    "train net {\n"
    "  data = rows\n"
    "  loss = b => cross_entropy(net(b.x), b.y)\n"
    "  optimizer = sgd()\n"
    "  lr = 0.1\n"
    "  batch = 64\n"
    "  steps = 2\n"
    "}\n";

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_write(*state, "deep.mdl", deep);
    return 0;
}

/* ---- budgets ---- */

/* The arena of `micro` in MiB; negative when the budget is too small. */
static double peak(Tool *tool, const char *limit)
{
    Outcome o =
        RUN(tool, "dump", "deep.mdl", "--memory", "--entry", "micro", "--memory-limit", limit);
    if (o.code == 1) {
        check_has(o.err, "error[E0812]: `net` needs ");
        return -1;
    }
    check_code(&o, 0);
    const char *line = strstr(o.out, "kernels\n");
    assert_non_null(line);
    char *unit;
    double size = strtod(line + strlen("kernels\n"), &unit);
    return strncmp(unit, " KiB", 4) == 0 ? size / 1024 : size;
}

static void less_memory_never_takes_more(void **state)
{
    Tool *tool = *state;
    double all = peak(tool, "none"), last = all;
    int smaller = 0, refused = 0;
    for (int kib = 900; kib >= 300; kib -= 60) {
        double mib = peak(tool, arena_printf(tool->arena, "%dKiB", kib));
        if (mib < 0) {
            refused++;
            continue;
        }
        assert_int_equal(refused, 0); /* what is enough, is enough in more */
        assert_true(mib <= last);
        assert_true(mib * 1024 <= kib);
        smaller += mib < last;
        last = mib;
    }
    assert_true(smaller >= 1);
    assert_true(refused >= 1);
    assert_true(last < 0.6 * all);
}

static void too_little_is_explained(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "compile", "deep.mdl", "-o", "x", "--memory-limit", "400KiB");
    check_code(&o, 1);
    check_has(o.err, "its budget is 400.00 KiB");
    check_has(o.err, "states: parameters ");
    check_has(o.err, "the largest tensors that are there at once:");
    check_has(o.err, "f32[64, 96]");
    check_has(o.err, "  std/nn.mdl:");
    check_has(o.err, "of the 64 rows fit: `micro = ");
    check_has(o.err, "`freeze` what need not train");
    assert_false(file_exists(tool_path(tool, "x/plans/net.plan")));
    o = RUN(tool, "compile", "deep.mdl", "-o", "x", "--memory-limit", "100KiB");
    check_code(&o, 1);
    check_has(o.err, "the states alone are too much");
    static const char *const wrong[] = {"", "GiB", "-1GiB", "1e30TB", "nan", "0", "5 GiB", "1XiB"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        o = RUN(tool, "compile", "deep.mdl", "-o", "x", "--memory-limit", wrong[i]);
        check_code(&o, 2);
    }
}

/* ---- bits ---- */

static void write_batch(Tool *tool)
{
    enum { ROWS = 64, COLUMNS = 16 };
    float *x = NEW_ARRAY(tool->arena, float, ROWS *COLUMNS);
    int32_t *y = NEW_ARRAY(tool->arena, int32_t, ROWS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)((i * 7919) % 101) / 50 - 1;
    for (int i = 0; i < ROWS; i++)
        y[i] = i % 3;
    const StTensor t[] = {{.name = "x",
                           .dtype = DT_F32,
                           .rank = 2,
                           .dim = {ROWS, COLUMNS},
                           .data = x,
                           .bytes = ROWS * COLUMNS * sizeof *x},
                          {.name = "y",
                           .dtype = DT_I32,
                           .rank = 1,
                           .dim = {ROWS},
                           .data = y,
                           .bytes = ROWS * sizeof *y}};
    Err err = {0};
    assert_true(st_write(tool_path(tool, "b.safetensors"), t, COUNT(t), NULL, &err));
}

static void check_same_file(Tool *tool, const char *a, const char *b)
{
    Bytes x = tool_read(tool, a), y = tool_read(tool, b);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.data, y.data, x.n);
}

static void computed_again_the_bits_are_the_same(void **state)
{
    Tool *tool = *state;
    write_batch(tool);
    const char *loss = GOOD(tool, "grad", "deep.mdl", "--batch", "b.safetensors", "--out", "kept");
    static const char *const limits[] = {"700KiB", "500KiB"};
    const char *few = GOOD(tool, "dump", "deep.mdl", "--steps");
    for (size_t i = 0; i < COUNT(limits); i++) {
        const char *more = GOOD(tool, "dump", "deep.mdl", "--steps", "--memory-limit", limits[i]);
        assert_true(strlen(more) > strlen(few)); /* so something is computed again */
        assert_string_equal(GOOD(tool, "grad", "deep.mdl", "--batch", "b.safetensors", "--out",
                                 "again", "--memory-limit", limits[i]),
                            loss);
        check_same_file(tool, "kept", "again");
    }
    /* The pass can be left out; then the budget is too small. */
    Outcome o = RUN(tool, "dump", "deep.mdl", "--memory-limit", limits[1], "--skip", "remat");
    check_code(&o, 1);
}

/* ---- planned and measured ---- */

/* How far memory filled with a pattern has been written: the last byte that two runs on two patterns
 * do not both leave alone. */
typedef struct Mark {
    size_t temp, states;
} Mark;

static size_t written(const unsigned char *at, size_t n, unsigned char pattern)
{
    while (n > 0 && at[n - 1] == pattern)
        n--;
    return n;
}

static Mark run_on(Tool *tool, const Plan *plan, unsigned char pattern)
{
    RtOptions opt = {.threads = 1, .quiet = true};
    Err err = {0};
    Runtime *rt = rt_open(plan, &opt, &err);
    if (!rt)
        fail_msg("%s", err.text);
    RtLoan temp, states;
    assert_true(rt_lend_arena(rt, PA_TEMP, RT_READ | RT_WRITE, &temp, &err));
    assert_true(rt_lend_arena(rt, PA_STATE, RT_READ | RT_WRITE, &states, &err));
    memset(temp.data, pattern, temp.bytes);
    memset(states.data, pattern, states.bytes);
    assert_true(rt_init(rt, 1, &err));
    StFile *batch = st_open(tool_path(tool, "b.safetensors"), &err);
    assert_non_null(batch);
    uint32_t micro = plan_find_entry(plan, "micro"), update = plan_find_entry(plan, "update");
    const void *inputs[4] = {NULL};
    for (uint32_t i = 0; i < plan->entries[micro].ninput; i++) {
        const PlanBinding *b = &plan->bindings[plan->entries[micro].input0 + i];
        inputs[i] = st_find(batch, plan_text(plan, b->name))->data;
    }
    RtCall call = {.inputs = inputs, .step = 1, .lr = 0.1, .first = true};
    assert_true(rt_run(rt, micro, &call, &err));
    call.inputs = NULL;
    assert_true(rt_run(rt, update, &call, &err));
    Mark m = {written(temp.data, temp.bytes, pattern), written(states.data, states.bytes, pattern)};
    assert_true(rt_return(rt, &temp, &err) && rt_return(rt, &states, &err));
    st_close(batch);
    rt_close(rt);
    return m;
}

static size_t aligned(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* To the byte, up to the alignment of the last tensor. */
static void planned_memory_is_what_is_used(void **state)
{
    Tool *tool = *state;
    write_batch(tool);
    static const char *const limits[] = {"none", "500KiB"};
    for (size_t i = 0; i < COUNT(limits); i++) {
        GOOD(tool, "compile", "deep.mdl", "-o", "x", "--memory-limit", limits[i]);
        Err err = {0};
        Plan *plan = plan_load(tool_path(tool, "x/plans/net.plan"), &err);
        assert_non_null(plan);
        Mark a = run_on(tool, plan, 0xa5), b = run_on(tool, plan, 0x5a);
        size_t temp = a.temp > b.temp ? a.temp : b.temp;
        size_t states = a.states > b.states ? a.states : b.states;
        assert_int_equal(aligned(temp), plan->meta->temp_bytes);
        assert_int_equal(aligned(states), plan->meta->state_bytes);
        plan_free(plan);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(less_memory_never_takes_more),
        TEST(too_little_is_explained),
        TEST(computed_again_the_bits_are_the_same),
        TEST(planned_memory_is_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

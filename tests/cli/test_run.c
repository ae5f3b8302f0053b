/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_run.c: programs are trained, evaluated, dumped and called by the commands alone. */
#include "tool.h"
#include <jansson.h>
#include <math.h>
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

/* ---- train and eval ---- */

static double number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    if (!at)
        fail_msg("no `%s` in:\n%s", word, text);
    return strtod(at + strlen(word), NULL);
}

static const char *weights_of(Tool *tool, const char *run, int step)
{
    return arena_printf(tool->arena, "%s/checkpoints/step-%d/weights.safetensors", run, step);
}

static void check_same_file(Tool *tool, const char *a, const char *b)
{
    Bytes x = tool_read(tool, a), y = tool_read(tool, b);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.data, y.data, x.n);
}

static void training_learns_and_is_reused(void **state)
{
    Tool *tool = *state;
    const char *out = GOOD(tool, "train", "a.mdl");
    check_has(out, "(30 rows)\n");
    assert_true(number_after(out, "test accuracy ") >= 0.9);
    const char *run = tool_only_run(tool);
    assert_memory_equal(run, "runs/a-", 7);
    Bytes plan = tool_read(tool, arena_printf(tool->arena, "%s/plans/mlp.plan", run));
    check_has(tool_read(tool, arena_printf(tool->arena, "%s/run.jsonl", run)).data, "\"step\":40");
    /* Again: nothing is left to do, and the plan is the one that was there. */
    assert_string_equal(GOOD(tool, "train", "a.mdl"), out);
    assert_string_equal(tool_only_run(tool), run);
    Bytes again = tool_read(tool, arena_printf(tool->arena, "%s/plans/mlp.plan", run));
    assert_int_equal(again.n, plan.n);
    assert_memory_equal(again.data, plan.data, plan.n);
    /* The same from the file, the folder and the plan. */
    assert_string_equal(GOOD(tool, "eval", "a.mdl", "test"), out + strlen("test "));
    assert_string_equal(GOOD(tool, "eval", "test"), out + strlen("test "));
    assert_string_equal(GOOD(tool, "eval", run), out);
    assert_string_equal(GOOD(tool, "train", run), out);
}

static void json_results_parse(void **state)
{
    Tool *tool = *state;
    double accuracy = number_after(GOOD(tool, "train", "a.mdl"), "test accuracy ");
    json_t *root = json_loads(GOOD(tool, "eval", "a.mdl", "test", "--json"), 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "schema")), "mdl.eval.1");
    assert_string_equal(json_string_value(json_object_get(root, "eval")), "test");
    assert_int_equal(json_integer_value(json_object_get(root, "rows")), 30);
    json_t *metrics = json_object_get(root, "metrics");
    assert_true(fabs(json_real_value(json_object_get(metrics, "accuracy")) - accuracy) < 1e-4);
    json_decref(root);
}

static void run_says_what_it_is_of(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--set", "train.epochs=1", "--seed", "3");
    const char *info = arena_printf(tool->arena, "%s/run.json", tool_only_run(tool));
    json_t *root = json_loads(tool_read(tool, info).data, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "source")), "a.mdl");
    json_t *sets = json_object_get(root, "set");
    assert_int_equal(json_array_size(sets), 2);
    assert_string_equal(json_string_value(json_array_get(sets, 0)), "train.epochs=1");
    assert_string_equal(json_string_value(json_array_get(sets, 1)), "train.seed=3");
    json_decref(root);
}

static void stopped_run_ends_with_the_same_bits(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "straight", "--threads", "1");
    GOOD(tool, "train", "a.mdl", "--run", "stopped", "--max-steps", "13", "--threads", "2");
    assert_true(file_exists(tool_path(tool, weights_of(tool, "stopped", 13))));
    GOOD(tool, "train", "a.mdl", "--run", "stopped", "--threads", "2");
    check_same_file(tool, weights_of(tool, "straight", 40), weights_of(tool, "stopped", 40));
}

static void interrupted_run_is_saved_and_goes_on(void **state)
{
    Tool *tool = *state;
    const char *const args[] = {"train", "a.mdl", "--run=r", "--set=train.epochs=100000", NULL};
    Outcome o = tool_interrupt(tool, args, "r/run.jsonl", "\"step\":10");
    check_code(&o, 130);
    check_has(o.err, "error: interrupted: step ");
    check_has(o.err, "the same command goes on");
    int step = (int)number_after(o.err, "error: interrupted: step ");
    assert_true(step >= 10);
    assert_true(file_exists(tool_path(tool, weights_of(tool, "r", step))));
    const char *to = arena_printf(tool->arena, "--max-steps=%d", step + 5);
    GOOD(tool, "train", "a.mdl", "--run=r", "--set=train.epochs=100000", to);
    assert_true(file_exists(tool_path(tool, weights_of(tool, "r", step + 5))));
}

static void plan_file_alone_trains(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "first", "-q");
    Outcome o = RUN(tool, "train", "first/plans/mlp.plan", "--run", "second", "-q");
    check_code(&o, 0);
    assert_string_equal(o.err, "");
    check_same_file(tool, weights_of(tool, "first", 40), weights_of(tool, "second", 40));
    check_same_file(tool, "first/plans/mlp.plan", "second/plans/mlp.plan");
}

/* What an option says that decides the plan is not left out in silence where the plan is there already. */
static void finished_plan_takes_no_options_of_compiling(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "r", "-q");
    static const struct {
        const char *command, *path, *option, *name;
    } cases[] = {
        {"train", "r", "--set=train.lr=1", "--set"},
        {"train", "r", "--seed=3", "--seed"},
        {"train", "r", "--records=none", "--records"},
        {"eval", "r", "--set=eval.test.batch=1", "--set"},
        {"eval", "r/plans/mlp.plan", "--memory-limit=1GiB", "--memory-limit"},
        {"eval", "r", "--records=none", "--records"},
        {"bench", "r", "--set=train.batch=1", "--set"},
        {"bench", "r/plans/mlp.plan", "--memory-limit=1GiB", "--memory-limit"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Outcome o = RUN(tool, cases[i].command, cases[i].path, cases[i].option);
        check_code(&o, 2);
        check_has(o.err,
                  arena_printf(tool->arena, "%s has no effect on a finished plan", cases[i].name));
    }
    Outcome o = RUN(tool, "dump", "r", "--records=none");
    check_code(&o, 2);
    check_has(o.err, "--records looks into the compiler, and r is a finished plan");
}

static void weights_stand_in_for_a_checkpoint(void **state)
{
    Tool *tool = *state;
    const char *out = GOOD(tool, "train", "a.mdl", "--run", "r");
    const char *weights = weights_of(tool, "r", 40);
    file_remove_tree(tool_path(tool, "runs"), NULL);
    assert_string_equal(GOOD(tool, "eval", "a.mdl", "--weights", weights), out);
}

static void fork_goes_on_with_another_program(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "r", "--max-steps", "8");
    Outcome o = RUN(tool, "train", "a.mdl", "--run", "r", "--set", "train.lr=0.01");
    check_code(&o, 1);
    check_has(o.err, "error[E0810]");
    check_has(o.err, "its overrides were none; now they are train.lr=0.01");
    check_has(o.err, "--fork");
    tool_program(tool, "a.mdl", "lr        = 0.02", "lr        = 0.01");
    o = RUN(tool, "train", "a.mdl", "--run", "r");
    check_code(&o, 1);
    check_has(o.err, "the text of a.mdl");
    o = RUN(tool, "eval", "a.mdl", "--run", "r");
    check_code(&o, 1);
    check_has(o.err, "another program");
    GOOD(tool, "train", "a.mdl", "--run", "r", "--fork");
    assert_true(file_exists(tool_path(tool, weights_of(tool, "r", 40))));
    GOOD(tool, "train", "a.mdl", "--run", "r");
}

/* ---- dump ---- */

static void dump_shows_every_stage(void **state)
{
    Tool *tool = *state;
    static const char *const shows[][2] = {
        {"--graph", "graph micro {"},
        {"--print-after=autodiff", "write"},
        {"--print-after=fuse", " = group "},
        {"--groups", "entry update"},
        {"--kernels", "fc1"},
        {"--source", "#include \"mdl.h\""},
        {"--memory", "entry eval:test"},
        {"--steps", "micro:"},
        {"--isa=generic", "for generic"},
    };
    check_has(GOOD(tool, "dump", "a.mdl"), "train      mlp on digits: batch 8, 5 epochs");
    for (size_t i = 0; i < COUNT(shows); i++) {
        const char *out = GOOD(tool, "dump", "a.mdl", shows[i][0]);
        check_has(out, shows[i][1]);
        assert_string_equal(GOOD(tool, "dump", "a.mdl", shows[i][0]), out);
    }
    const char *one = GOOD(tool, "dump", "a.mdl", "--graph", "--entry=update");
    check_has(one, "graph update {");
    check_lacks(one, "graph micro {");
    assert_int_equal(file_exists(tool_path(tool, "runs")), false);
}

static void dump_reads_plans_and_runs(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "r", "--max-steps", "1");
    const char *out = GOOD(tool, "dump", "r/plans/mlp.plan");
    assert_string_equal(GOOD(tool, "dump", "r"), out);
    assert_string_equal(GOOD(tool, "dump", "a.mdl"), out);
    static const char *const parts[] = {"--groups", "--source", "--memory", "--steps"};
    for (size_t i = 0; i < COUNT(parts); i++)
        assert_true(strlen(GOOD(tool, "dump", "r", parts[i])) > 100);
    assert_string_equal(GOOD(tool, "dump", "r", "--source"),
                        GOOD(tool, "dump", "a.mdl", "--source"));
}

/* ---- call and grad ---- */

/* Largest difference relative to the largest element; both files have the same tensors. */
static double gap(Tool *tool, const char *got, const char *want)
{
    StFile *a = tool_tensors(tool, got), *b = tool_tensors(tool, want);
    double worst = 0;
    assert_int_equal(a->n, b->n);
    for (uint32_t i = 0; i < a->n; i++) {
        const StTensor *x = &a->tensors[i], *y = st_find(b, x->name);
        assert_non_null(y);
        size_t n = x->bytes / dtype_info(x->dtype)->bytes;
        assert_int_equal(n, y->bytes / dtype_info(y->dtype)->bytes);
        double largest = 0, off = 0;
        for (size_t k = 0; k < n; k++) {
            double u = dtype_load(x->dtype, x->data, k), v = dtype_load(y->dtype, y->data, k);
            largest = fmax(largest, fabs(v));
            off = isfinite(u) ? fmax(off, fabs(u - v)) : (double)HUGE_VAL;
        }
        worst = fmax(worst, largest > 0 ? off / largest : off);
    }
    st_close(a);
    st_close(b);
    return worst;
}

static void compiled_call_equals_the_reference(void **state)
{
    Tool *tool = *state;
    tool_batch(tool, "x.st", &(BatchSpec){.n = 5, .image = true});
    GOOD(tool, "call", "a.mdl", "mlp", "--in", "x.st", "--out", "y.st", "--seed=4");
    GOOD(tool, "call", "a.mdl", "mlp", "--in", "x.st", "--out", "r.st", "--seed=4", "--reference");
    GOOD(tool, "call", "a.mdl", "mlp", "--in", "x.st", "--out", "o.st", "--seed=5");
    StFile *y = tool_tensors(tool, "y.st"), *r = tool_tensors(tool, "r.st");
    assert_int_equal(y->n, 1);
    assert_string_equal(y->tensors[0].name, "out");
    assert_int_equal(y->tensors[0].dtype, DT_F32);
    assert_int_equal(r->tensors[0].dtype, DT_F64);
    assert_int_equal(y->tensors[0].rank, 2);
    assert_int_equal(y->tensors[0].dim[0], 5);
    assert_int_equal(y->tensors[0].dim[1], 3);
    st_close(y);
    st_close(r);
    assert_true(gap(tool, "y.st", "r.st") < 1e-6);
    assert_true(gap(tool, "y.st", "o.st") > 1e-3); /* another seed is another network */
}

static void call_without_rows_has_no_rows(void **state)
{
    Tool *tool = *state;
    tool_batch(tool, "x.st", &(BatchSpec){.n = 0, .image = true});
    static const char *const how[] = {"--threads=1", "--reference"};
    for (size_t i = 0; i < COUNT(how); i++) {
        GOOD(tool, "call", "mlp", "--in=x.st", "--out=y.st", how[i]);
        StFile *y = tool_tensors(tool, "y.st");
        assert_int_equal(y->tensors[0].dim[0], 0);
        assert_int_equal(y->tensors[0].dim[1], 3);
        st_close(y);
    }
}

static void tuples_and_weights(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--run", "r");
    const char *weights = weights_of(tool, "r", 40);
    tool_batch(tool, "x.st", &(BatchSpec){.n = 3, .image = true});
    GOOD(tool, "call", "mlp.twice", "--in=x.st", "--out=y.st", "--weights", weights);
    GOOD(tool, "call", "mlp.twice", "--in=x.st", "--out=r.st", "--weights", weights, "--reference");
    GOOD(tool, "call", "mlp.twice", "--in=x.st", "--out=i.st");
    StFile *y = tool_tensors(tool, "y.st");
    assert_int_equal(y->n, 2);
    assert_non_null(st_find(y, "out.0"));
    assert_int_equal(st_find(y, "out.1")->dtype, DT_I32);
    st_close(y);
    assert_true(gap(tool, "y.st", "r.st") < 1e-6);
    assert_true(gap(tool, "y.st", "i.st") > 1e-3);
}

static void gradients_equal_the_reference(void **state)
{
    Tool *tool = *state;
    tool_batch(tool, "b.st", &(BatchSpec){.n = 8, .image = true, .label = true});
    const char *got = GOOD(tool, "grad", "a.mdl", "--batch=b.st", "--out=g.st");
    const char *want =
        GOOD(tool, "grad", "a.mdl", "mlp", "--batch=b.st", "--out=r.st", "--reference");
    assert_true(fabs(number_after(got, "loss ") - number_after(want, "loss ")) < 1e-6);
    StFile *g = tool_tensors(tool, "g.st");
    assert_int_equal(g->n, 4);
    assert_non_null(st_find(g, "fc2.bias"));
    st_close(g);
    assert_true(gap(tool, "g.st", "r.st") < 1e-5);
    /* The gradient of the mean does not grow with the batch. */
    tool_batch(tool, "b.st", &(BatchSpec){.n = 2, .image = true, .label = true});
    GOOD(tool, "grad", "--batch=b.st", "--out=g.st", "--set=train.batch=2");
    GOOD(tool, "grad", "--batch=b.st", "--out=r.st", "--set=train.batch=2", "--reference");
    assert_true(gap(tool, "g.st", "r.st") < 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_learns_and_is_reused, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(json_results_parse, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(run_says_what_it_is_of, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(stopped_run_ends_with_the_same_bits, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(interrupted_run_is_saved_and_goes_on, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(plan_file_alone_trains, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(finished_plan_takes_no_options_of_compiling, setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(weights_stand_in_for_a_checkpoint, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(fork_goes_on_with_another_program, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(dump_shows_every_stage, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(dump_reads_plans_and_runs, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(compiled_call_equals_the_reference, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(call_without_rows_has_no_rows, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(tuples_and_weights, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(gradients_equal_the_reference, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

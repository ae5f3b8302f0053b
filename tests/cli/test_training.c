/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_training.c: what `train` blocks ask for beyond plain steps: several passes, averages, steps that are not
 * finite, logs. */
#include "tool.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    int rc = tool_setup(state);
    if (rc == 0)
        tool_data(*state);
    return rc;
}

/* small.mdl with these lines in place of its duration, and run into a folder of that name. */
static void train_with(Tool *tool, const char *run, const char *lines)
{
    tool_program(tool, "p.mdl", "  epochs    = 5\n", lines);
    GOOD(tool, "train", "p.mdl", "--run", run, "--quiet");
}

static StFile *weights(Tool *tool, const char *run, int step, const char *name)
{
    return tool_tensors(
        tool, arena_printf(tool->arena, "%s/checkpoints/step-%d/%s.safetensors", run, step, name));
}

/* The largest difference between tensors of the same names, over the largest value. */
static double difference(const StFile *a, const StFile *b)
{
    double most = 0, size = 0;
    assert_int_equal(a->n, b->n);
    for (uint32_t i = 0; i < a->n; i++) {
        const StTensor *other = st_find(b, a->tensors[i].name);
        assert_non_null(other);
        for (size_t k = 0; k < st_count(&a->tensors[i]); k++) {
            double x = st_load(&a->tensors[i], k), y = st_load(other, k);
            most = fmax(most, fabs(x - y));
            size = fmax(size, fabs(x));
        }
    }
    return most / size;
}

static void check_alike(Tool *tool, const char *a, const char *b, double bound)
{
    StFile *x = weights(tool, a, 12, "weights"), *y = weights(tool, b, 12, "weights");
    double far = difference(x, y);
    if (!(far <= bound))
        fail_msg("%s and %s differ by %g", a, b, far);
    st_close(x);
    st_close(y);
}

/* Two, four or eight passes learn what one does: sums of weighted losses, not means of means. Rows of label 1
 * weigh nothing in one term, and the other term weighs all alike. */
static void passes_add_up(void **state)
{
    Tool *tool = *state;
    static const char *const losses[] = {
        "cross_entropy(mlp(b.image), b.label, mask: b.label != 1)",
        "0.1 * mean(mlp(b.image)) + cross_entropy(mlp(b.image), b.label, mask: b.label != 1)",
        "cross_entropy(mlp(dropout(b.image, 0.3)), b.label)"};
    for (size_t k = 0; k < COUNT(losses); k++) {
        const char *file = arena_printf(tool->arena, "loss%zu.mdl", k);
        tool_program(tool, file, "cross_entropy(mlp(b.image), b.label)\n  optimizer",
                     arena_printf(tool->arena, "%s\n  optimizer", losses[k]));
        const char *run[4];
        for (int micro = 8, i = 0; micro; micro /= 2, i++) {
            const char *set = arena_printf(tool->arena, "train.micro=%d", micro);
            run[i] = arena_printf(tool->arena, "run%zu-%d", k, micro);
            GOOD(tool, "train", file, "--run", run[i], "--quiet", "--set", "train.epochs=1.5",
                 "--set", set);
            check_alike(tool, run[0], run[i], 2e-6);
        }
    }
}

static void averages_follow_the_weights(void **state)
{
    Tool *tool = *state;
    train_with(tool, "run", "  steps = 6\n  ema = 0.75\n  every 1 step: save(keep: 9)\n");
    for (int step = 2; step <= 6; step++) {
        StFile *before = weights(tool, "run", step - 1, "state");
        StFile *now = weights(tool, "run", step, "state");
        StFile *w = weights(tool, "run", step, "weights");
        for (uint32_t i = 0; i < w->n; i++) {
            const char *name = arena_printf(tool->arena, "%s.ema", w->tensors[i].name);
            const StTensor *old = st_find(before, name), *new = st_find(now, name);
            assert_true(old && new);
            for (size_t k = 0; k < st_count(old); k++) {
                double want = 0.75 * st_load(old, k) + 0.25 * st_load(&w->tensors[i], k);
                assert_true(fabs(st_load(new, k) - want) < 1e-7);
            }
        }
        st_close(before);
        st_close(now);
        st_close(w);
    }
}

/* The evaluation reads the averages: with ones that never move it judges the first weights. */
static void evaluations_read_averages(void **state)
{
    Tool *tool = *state;
    tool_program(tool, "p.mdl", "metric accuracy = b => mean(argmax(mlp(b.image)) == b.label)",
                 "metric loss = b => cross_entropy(mlp(b.image), b.label)");
    const char *slow =
        GOOD(tool, "train", "p.mdl", "--run", "slow", "--quiet", "--set", "train.ema=0.99999999");
    const char *first =
        GOOD(tool, "train", "p.mdl", "--run", "first", "--quiet", "--set", "train.lr=0");
    const char *usual = GOOD(tool, "train", "p.mdl", "--run", "usual", "--quiet");
    assert_string_equal(slow, first);
    assert_string_not_equal(slow, usual);
}

/* A loss may look at the weights as they were and at their averages: both last through a stop. */
static void other_weights_last(void **state)
{
    Tool *tool = *state;
    tool_program(
        tool, "p.mdl", "cross_entropy(mlp(b.image), b.label)\n  optimizer",
        "{\n    far = mlp(b.image) - start(mlp)(b.image)\n"
        "    near = mlp(b.image) - ema(mlp)(b.image)\n"
        "    cross_entropy(mlp(b.image), b.label) + 0.1 * mean(far * far) + mean(near * near)\n"
        "  }\n  ema = 0.9\n  micro = 2\n  every 1 step: save(keep: 9)\n  optimizer");
    GOOD(tool, "train", "p.mdl", "--run", "run", "--quiet", "--max-steps", "6");
    GOOD(tool, "train", "p.mdl", "--run", "parts", "--quiet", "--max-steps", "2");
    GOOD(tool, "train", "p.mdl", "--run", "parts", "--quiet", "--max-steps", "6");
    StFile *whole = weights(tool, "run", 6, "state"), *parts = weights(tool, "parts", 6, "state");
    StFile *early = weights(tool, "run", 1, "state"), *w = weights(tool, "run", 1, "weights");
    assert_true(difference(whole, parts) <= 0);
    const StTensor *a = st_find(early, "fc1.weight.start"), *b = st_find(whole, "fc1.weight.start");
    assert_true(a && b && memcmp(a->data, b->data, a->bytes) == 0);
    assert_memory_not_equal(a->data, st_find(w, "fc1.weight")->data, a->bytes);
    st_close(whole);
    st_close(parts);
    st_close(early);
    st_close(w);
}

/* The loss of step 3 is divided by zero. */
static void write_broken(Tool *tool, const char *policy)
{
    tool_program(
        tool, "p.mdl", "cross_entropy(mlp(b.image), b.label)\n  optimizer",
        arena_printf(tool->arena,
                     "cross_entropy(mlp(b.image), b.label) / f32(step - 3)\n  on_nan = %s\n"
                     "  log = 1\n  every 1 step: save(keep: 9)\n  optimizer",
                     policy));
}

static void steps_that_are_not_finite_are_left_out(void **state)
{
    Tool *tool = *state;
    write_broken(tool, "skip");
    Outcome o = RUN(tool, "train", "p.mdl", "--run", "run", "--quiet", "--max-steps", "6");
    check_code(&o, 0);
    check_has(o.err, "step 3 is left out: the loss is");
    check_has(tool_read(tool, "run/run.jsonl").data, "{\"event\":\"skipped\",\"step\":3}");
    StFile *before = weights(tool, "run", 2, "weights"),
           *after = weights(tool, "run", 3, "weights");
    StFile *next = weights(tool, "run", 4, "weights");
    assert_true(difference(before, after) <= 0);
    assert_true(difference(after, next) > 0);
    st_close(before);
    st_close(after);
    st_close(next);
}

static void runs_that_diverge_leave_evidence(void **state)
{
    Tool *tool = *state;
    write_broken(tool, "stop");
    Outcome o = RUN(tool, "train", "p.mdl", "--run", "run", "--quiet");
    check_code(&o, 6);
    check_has(o.err, "step 3: the loss is inf");
    check_has(o.err, "made by kernel");
    check_has(o.err, "batch and weights are in run/nan-step-3");
    check_has(o.err, "the checkpoint of step 2 is from before");
    json_error_t why;
    json_t *json = json_loads(tool_read(tool, "run/nan-step-3/evidence.json").data, 0, &why);
    assert_int_equal(json_integer_value(json_object_get(json, "step")), 3);
    assert_string_equal(json_string_value(json_object_get(json, "first")), "kernel");
    assert_non_null(json_string_value(json_object_get(json, "tensor")));
    json_decref(json);
    StFile *batch = tool_tensors(tool, "run/nan-step-3/batch.safetensors");
    assert_int_equal(batch->n, 2);
    assert_int_equal(st_find(batch, "image")->dim[0], 8);
    StFile *kept = tool_tensors(tool, "run/nan-step-3/weights.safetensors");
    StFile *before = weights(tool, "run", 2, "weights");
    assert_true(difference(kept, before) <= 0);
    st_close(kept);
    st_close(before);
    st_close(batch);
}

/* What the log has of a tap in its last line; `at`: "loss", or a name among the taps. */
static double last_of(Tool *tool, const char *run, const char *at)
{
    Bytes b = tool_read(tool, arena_printf(tool->arena, "%s/run.jsonl", run));
    double found = (double)NAN;
    for (const char *line = b.data; *line; line = strchr(line, '\n') + 1) {
        json_t *json = json_loadb(line, strcspn(line, "\n"), 0, NULL);
        json_t *value = json_object_get(json_object_get(json, "taps"), at);
        value = value ? value : json_object_get(json, at);
        found = json_is_number(value) ? json_number_value(value) : found;
        json_decref(json);
    }
    return found;
}

/* A tap shows means over rows, whatever the passes, and changes no bit. */
static void taps_are_logged(void **state)
{
    Tool *tool = *state;
    tool_program(tool, "plain.mdl", "  epochs    = 5\n", "  epochs = 1\n");
    tool_program(tool, "tap.mdl", "cross_entropy(mlp(b.image), b.label)\n",
                 "{\n"
                 "    y = tap(mlp(tap(b.image, \"pixel\")), \"score\")\n"
                 "    tap(b.label, \"label\")\n"
                 "    tap(cross_entropy(tap(y, \"score\"), b.label), \"ce\")\n"
                 "  }\n");
    static const char *const micro[] = {"train.micro=8", "train.micro=2"};
    GOOD(tool, "train", "plain.mdl", "--run", "plain", "--quiet");
    double pixel[2], label[2];
    for (size_t i = 0; i < COUNT(micro); i++) {
        const char *run = arena_printf(tool->arena, "tap%zu", i);
        GOOD(tool, "train", "tap.mdl", "--run", run, "--quiet", "--set", "train.epochs=1", "--set",
             micro[i]);
        double ce = last_of(tool, run, "ce"), loss = last_of(tool, run, "loss");
        assert_true(fabs(ce - loss) < 1e-6 * loss);
        pixel[i] = last_of(tool, run, "pixel");
        label[i] = last_of(tool, run, "label");
        assert_true(pixel[i] > 0.1 && pixel[i] < 0.9 && label[i] > 0.5 && label[i] < 1.5);
        assert_true(fabs(last_of(tool, run, "score")) > 0);
    }
    assert_true(fabs(pixel[0] - pixel[1]) < 1e-6 && fabs(label[0] - label[1]) < 1e-6);
    StFile *x = weights(tool, "plain", 8, "weights"), *y = weights(tool, "tap0", 8, "weights");
    assert_true(difference(x, y) == 0);
    st_close(x);
    st_close(y);
    Outcome o = RUN(tool, "train", "tap.mdl", "--run", "said", "--max-steps", "3");
    check_has(o.err, "  pixel 0.");
    check_has(o.err, "  ce ");
}

/* `mdl grad` runs all passes of a step: what one pass gives, compiled and interpreted. */
static void gradients_of_several_passes(void **state)
{
    Tool *tool = *state;
    static const char *const losses[] = {
        "cross_entropy(mlp(b.image), b.label)",
        "0.3 * mean(mlp(b.image)) + cross_entropy(mlp(dropout(b.image, 0.2)), b.label, mask: "
        "b.label != 1)"};
    static const char *const micro[] = {"train.micro=8", "train.micro=4", "train.micro=1"};
    tool_batch(tool, "b", &(BatchSpec){.n = 8, .image = true, .label = true});
    for (size_t k = 0; k < COUNT(losses); k++) {
        tool_program(tool, "p.mdl", "cross_entropy(mlp(b.image), b.label)", losses[k]);
        for (size_t i = 0; i < COUNT(micro); i++) {
            const char *name = arena_printf(tool->arena, "g%zu", i);
            const char *exact = arena_printf(tool->arena, "r%zu", i);
            GOOD(tool, "grad", "p.mdl", "--batch", "b", "--out", name, "--set", micro[i]);
            GOOD(tool, "grad", "p.mdl", "--batch", "b", "--out", exact, "--set", micro[i],
                 "--reference");
            StFile *one = tool_tensors(tool, "g0"), *some = tool_tensors(tool, name);
            StFile *first = tool_tensors(tool, "r0"), *other = tool_tensors(tool, exact);
            assert_true(difference(one, some) < 1e-5);
            assert_true(difference(first, other) < 1e-12);
            assert_true(difference(first, some) < 1e-5);
            st_close(one);
            st_close(some);
            st_close(first);
            st_close(other);
        }
    }
    tool_batch(tool, "few", &(BatchSpec){.n = 4, .image = true, .label = true});
    Outcome o = RUN(tool, "grad", "p.mdl", "--batch", "few", "--out", "x", "--set", micro[1]);
    check_code(&o, 4);
    check_has(o.err, "the batch has as many rows as the stage");
}

/* (step, total) => factor: in the log, to the end of the run and when it goes on. */
static void a_schedule_of_ones_own(void **state)
{
    Tool *tool = *state;
    tool_program(tool, "p.mdl", "  schedule  = cosine(warmup: 5%)\n",
                 "  schedule = (step, total) => "
                 "select(step < 3, step / 3, 0.5 * (1 + cos(pi * step / total)))\n  log = 1\n");
    static const char *const sets[] = {"train.epochs=2.5"};
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--quiet", "--set", sets[0]);
    GOOD(tool, "train", "p.mdl", "--run", "parts", "--quiet", "--set", sets[0], "--max-steps", "7");
    assert_true(fabs(last_of(tool, "parts", "lr") - 0.01 * (1 + cos(acos(-1) * 7 / 20))) < 1e-9);
    GOOD(tool, "train", "p.mdl", "--run", "parts", "--quiet", "--set", sets[0]);
    assert_true(last_of(tool, "parts", "lr") < 1e-9);
    GOOD(tool, "train", "p.mdl", "--run", "two", "--quiet", "--set", sets[0], "--max-steps", "2");
    assert_true(fabs(last_of(tool, "two", "lr") - 0.02 * 2 / 3) < 1e-9);
    StFile *x = weights(tool, "whole", 20, "weights"), *y = weights(tool, "parts", 20, "weights");
    assert_true(difference(x, y) == 0);
    st_close(x);
    st_close(y);
    tool_program(tool, "q.mdl", "cosine(warmup: 5%)", "(step, total) => 3 - step");
    Outcome o = RUN(tool, "train", "q.mdl", "--run", "below", "--quiet");
    check_code(&o, 4);
    check_has(o.err, "the schedule gives the factor -1 for step 4 of 40");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_add_up, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(averages_follow_the_weights, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(evaluations_read_averages, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(other_weights_last, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(steps_that_are_not_finite_are_left_out, setup,
                                        tool_teardown),
        cmocka_unit_test_setup_teardown(taps_are_logged, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(gradients_of_several_passes, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(a_schedule_of_ones_own, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(runs_that_diverge_leave_evidence, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_best.c: the best checkpoint by a metric, which stays; checkpoints by the name of their stage; lines of the log
 * in epochs. */
#include "tool.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state)
{
    int rc = tool_setup(state);
    if (rc == 0)
        tool_data(*state);
    return rc;
}

/* The metric counts as a score by its name; `loss` does not. */
static void write_program(Tool *tool, const char *best)
{
    tool_program(tool, "p.mdl", "  epochs    = 5\n}\n",
                 arena_printf(tool->arena,
                              "  epochs = 5\n"
                              "  every 3 steps: eval(test, train)\n"
                              "  checkpoint { every = 20 steps ; keep = 1 ; best = %s }\n"
                              "  log { every = 1 epoch }\n"
                              "}\n"
                              "eval train {\n"
                              "  data = digits(\"test\")\n"
                              "  metric error = b => mean((mlp(b.image)[:, 0] - 0.3) ** 2)\n"
                              "}\n",
                              best));
}

typedef struct Log {
    int best_step, lines;
    double best;
} Log;

/* What run.jsonl has of the metric: where it was the greatest, or the least, first. */
static Log read_log(Tool *tool, const char *run, const char *metric, bool greatest)
{
    Bytes b = tool_read(tool, arena_printf(tool->arena, "%s/run.jsonl", run));
    Log log = {.best_step = -1};
    for (size_t at = 0; at < b.n;) {
        const char *end = memchr(b.data + at, '\n', b.n - at);
        size_t n = (size_t)(end - b.data) - at;
        json_t *line = json_loadb(b.data + at, n, 0, NULL);
        at += n + 1;
        const json_t *value = json_object_get(json_object_get(line, "metrics"), metric);
        double x = json_number_value(value);
        if (value && (log.best_step < 0 || (greatest ? x > log.best : x < log.best))) {
            log.best = x;
            log.best_step = (int)json_integer_value(json_object_get(line, "step"));
        }
        log.lines += json_object_get(line, "loss") != NULL;
        json_decref(line);
    }
    assert_true(log.best_step > 0);
    return log;
}

static bool has_step(Tool *tool, const char *run, int step)
{
    return file_is_dir(
        tool_path(tool, arena_printf(tool->arena, "%s/checkpoints/step-%d", run, step)));
}

static double value_of(const char *out, const char *metric)
{
    const char *at = strstr(out, metric);
    assert_non_null(at);
    return strtod(at + strlen(metric), NULL);
}

static void check_best(Tool *tool, const char *metric, bool greatest)
{
    write_program(tool, arena_printf(tool->arena, "%s.%s", greatest ? "test" : "train", metric));
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--quiet");
    Log log = read_log(tool, "whole", metric, greatest);
    assert_true(log.best_step != 40);
    assert_true(has_step(tool, "whole", log.best_step));
    assert_true(has_step(tool, "whole", 40));
    for (int step = 1; step < 40; step++)
        assert_int_equal(has_step(tool, "whole", step), step == log.best_step);
    assert_int_equal(log.lines, 5); /* a line an epoch */
    const char *by_name =
        GOOD(tool, "eval", "p.mdl", "--run", "whole", "--weights", "stage:mlp@best");
    assert_true(fabs(value_of(by_name, metric) - log.best) < 1e-4);
    assert_string_equal(GOOD(tool, "eval", "whole", "--weights", "stage:mlp@best"), by_name);
    const char *step = arena_printf(tool->arena, "stage:mlp@%d", log.best_step);
    assert_string_equal(GOOD(tool, "eval", "p.mdl", "--run", "whole", "--weights", step), by_name);
    assert_string_equal(GOOD(tool, "eval", "p.mdl", "--run", "whole", "--weights", "stage:mlp"),
                        GOOD(tool, "eval", "whole"));
}

static void the_greatest_score_stays(void **state)
{
    check_best(*state, "accuracy", true);
}

static void the_least_error_stays(void **state)
{
    check_best(*state, "error", false);
}

/* Stopped at any step, the same checkpoints are left. */
static void a_run_that_goes_on_knows_the_best(void **state)
{
    Tool *tool = *state;
    write_program(tool, "test.accuracy");
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--quiet");
    static const char *const stops[] = {"2", "4", "12", "13", "37"};
    Bytes want = tool_read(tool, "whole/checkpoints/BEST");
    for (size_t i = 0; i < COUNT(stops); i++) {
        const char *run = arena_printf(tool->arena, "run-%s", stops[i]);
        GOOD(tool, "train", "p.mdl", "--run", run, "--quiet", "--max-steps", stops[i]);
        GOOD(tool, "train", "p.mdl", "--run", run, "--quiet");
        Bytes got = tool_read(tool, arena_printf(tool->arena, "%s/checkpoints/BEST", run));
        size_t n = strcspn(want.data, "\n");
        assert_memory_equal(got.data, want.data, n);
        assert_true(has_step(tool, run, (int)strtol(want.data, NULL, 10)));
        Bytes a = tool_read(tool, "whole/checkpoints/step-40/weights.safetensors");
        Bytes b = tool_read(
            tool, arena_printf(tool->arena, "%s/checkpoints/step-40/weights.safetensors", run));
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.data, b.data, a.n);
    }
}

static void what_is_not_there_is_said(void **state)
{
    Tool *tool = *state;
    write_program(tool, "test.accuracy");
    GOOD(tool, "train", "p.mdl", "--run", "r", "--quiet", "--max-steps", "2");
    static const char *const wrong[][2] = {
        {"stage:mlq", "did you mean `mlp`?"},
        {"stage:mlp@last", "`@last` is neither `@best` nor a step"},
        {"stage:mlp@1", "there is no checkpoint of step 1 in r"},
        {"stage:mlp@-1", "neither"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Outcome o = RUN(tool, "eval", "p.mdl", "--run", "r", "--weights", wrong[i][0]);
        assert_true(o.code == 2 || o.code == 3);
        check_has(o.err, wrong[i][1]);
    }
    static const char *const torn[] = {"", "x", "5", "5 ", "5 nan\n", "-5 1\n", "5 1", "5 1\n6"};
    for (size_t i = 0; i < COUNT(torn); i++) {
        tool_write(tool, "r/checkpoints/BEST", torn[i]);
        Outcome o = RUN(tool, "train", "p.mdl", "--run", "r", "--max-steps", "3");
        check_code(&o, *torn[i] ? 4 : 0);
        if (*torn[i])
            check_has(o.err, "BEST: line ");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_greatest_score_stays),
        TEST(the_least_error_stays),
        TEST(a_run_that_goes_on_knows_the_best),
        TEST(what_is_not_there_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_support mdl_runtime mdl_plan mdl_base */
/* test_train.c: a regression learns; stopped anywhere, in whatever way, it ends with the same bits. */
#include "live.h"
#include "progress.h"
#include "runlock.h"
#include "testdir.h"
#include "tinyplan.h"
#include "trainer.h"
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct Fixture {
    Arena *arena;
    const char *dir;
    TinyOptions options;
    Plan *plan;
} Fixture;

enum { STEPS = 23 };

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->dir = test_dir(arena, "train");
    file_remove_tree(f->dir, NULL);
    f->options =
        (TinyOptions){.dir = f->dir, .d = 3, .steps = STEPS, .lr = 0.05, .save_every = 1000};
    tiny_data(arena, &f->options);
    f->plan = tiny_plan(arena, &f->options);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    plan_free(f->plan);
    file_remove_tree(f->dir, NULL);
    arena_free(f->arena);
    return 0;
}

/* Another plan over the same data. */
static void replan(Fixture *f, TinyOptions options)
{
    options.dir = f->dir;
    f->options = options;
    plan_free(f->plan);
    f->plan = tiny_plan(f->arena, &options);
}

typedef struct Bits {
    float w[3], b[1], mw[3], mb[1];
} Bits;

static Bits bits_of(Runtime *rt)
{
    Bits out;
    memcpy(out.w, live_state(rt, TS_W, NULL), sizeof out.w);
    memcpy(out.b, live_state(rt, TS_B, NULL), sizeof out.b);
    memcpy(out.mw, live_state(rt, TS_MW, NULL), sizeof out.mw);
    memcpy(out.mb, live_state(rt, TS_MB, NULL), sizeof out.mb);
    return out;
}

/* Trains in a fresh runtime, as a new process would. */
static Bits train(Fixture *f, const char *run, int64_t max_steps, TrainResult *result)
{
    Runtime *rt = tiny_open(f->plan);
    TrainOptions opt = {
        .run_dir = path_join(f->arena, f->dir, run), .max_steps = max_steps, .quiet = true};
    Err err = {0};
    if (!rt_train(rt, &opt, result, &err))
        fail_msg("%s", err.text);
    Bits bits = bits_of(rt);
    rt_close(rt);
    return bits;
}

/* Step lines of run.jsonl, in order; fills losses[step]. */
static int64_t read_log(Fixture *f, const char *run, double *losses, int64_t *resumes)
{
    const char *path = arena_printf(f->arena, "%s/%s/run.jsonl", f->dir, run);
    Bytes text;
    Err err = {0};
    assert_true(file_read(f->arena, path, 1 << 24, &text, &err));
    int64_t n = 0;
    *resumes = 0;
    for (char *line = text.data; *line;) {
        size_t length = strcspn(line, "\n");
        assert_int_equal(line[length], '\n');
        json_t *json = json_loadb(line, length, 0, NULL);
        assert_non_null(json);
        const char *event = json_string_value(json_object_get(json, "event"));
        json_int_t step = json_integer_value(json_object_get(json, "step"));
        if (!event) {
            assert_int_equal(step, n + 1);
            losses[n++] = json_number_value(json_object_get(json, "loss"));
        } else if (strcmp(event, "resume") == 0) {
            ++*resumes;
        }
        json_decref(json);
        line += length + 1;
    }
    return n;
}

static void test_learns(void **state)
{
    Fixture *f = *state;
    replan(f, (TinyOptions){.d = 3, .steps = 400, .lr = 0.05, .save_every = 1000});
    TrainResult result;
    Bits bits = train(f, "run", 0, &result);
    assert_int_equal(result.steps, 400);
    assert_false(result.interrupted);
    assert_true(result.loss >= 0 && result.loss < 1e-4);
    static const float w[] = {1, -2, 3};
    for (int i = 0; i < 3; i++)
        assert_true(fabsf(bits.w[i] - w[i]) < 0.05f);
    assert_true(fabsf(bits.b[0] - 4) < 0.05f);
    double losses[400];
    int64_t resumes;
    assert_int_equal(read_log(f, "run", losses, &resumes), 400);
    assert_int_equal(resumes, 0);
    assert_true(losses[0] > 100 * result.loss);
}

static void test_resume_from_every_step(void **state)
{
    Fixture *f = *state;
    TrainResult result;
    Bits whole = train(f, "whole", 0, &result);
    double losses[STEPS + 1], again[STEPS + 1];
    int64_t resumes;
    assert_int_equal(read_log(f, "whole", losses, &resumes), STEPS);
    for (int64_t k = 1; k < STEPS; k++) {
        const char *run = arena_printf(f->arena, "part-%lld", (long long)k);
        train(f, run, k, &result);
        assert_int_equal(result.steps, k);
        Bits bits = train(f, run, 0, &result);
        assert_int_equal(result.steps, STEPS);
        assert_memory_equal(&bits, &whole, sizeof bits);
        assert_int_equal(read_log(f, run, again, &resumes), STEPS);
        assert_int_equal(resumes, 1);
        assert_memory_equal(again, losses, sizeof(double) * STEPS);
    }
    train(f, "whole", 0, &result); /* nothing is left to do */
    assert_int_equal(result.steps, STEPS);
    assert_true(isnan(result.loss));
}

/* Every step in a process of its own. */
static void test_one_step_at_a_time(void **state)
{
    Fixture *f = *state;
    TrainResult result;
    Bits whole = train(f, "whole", 0, &result), bits = whole;
    memset(&bits, 0, sizeof bits);
    for (int64_t k = 1; k <= STEPS; k++)
        bits = train(f, "steps", k, &result);
    assert_memory_equal(&bits, &whole, sizeof bits);
}

static pid_t start_child(Fixture *f, const char *run)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    Runtime *rt = tiny_open(f->plan);
    TrainOptions opt = {.run_dir = path_join(f->arena, f->dir, run), .quiet = true};
    TrainResult result;
    Err err = {0};
    bool ok = rt_train(rt, &opt, &result, &err);
    _exit(!ok ? 1 : result.interrupted ? 130 : 0);
}

static int wait_for(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
}

/* Waits until the child has saved something newer than `old`; false when it ended before. */
static bool wait_for_progress(Fixture *f, pid_t child, const char *dir, const char *old)
{
    for (;;) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            return false;
        }
        const char *newest = ckpt_newest(f->arena, dir);
        if (newest && strcmp(newest, old) != 0)
            return true;
        sleep_us(200);
    }
}

/* SIGKILL at random moments, while saving as well. */
static void test_kill(void **state)
{
    Fixture *f = *state;
    replan(f, (TinyOptions){.d = 3, .steps = 240, .lr = 0.05, .save_every = 3, .keep = 2});
    TrainResult result;
    Bits whole = train(f, "whole", 0, &result);
    const char *dir = path_join(f->arena, f->dir, "killed"), *old = "";
    uint32_t killed = 0, tries = test_times(20, 400);
    for (uint32_t trial = 0; killed < tries; trial++) {
        pid_t child = start_child(f, "killed");
        bool running = wait_for_progress(f, child, dir, old);
        if (running) {
            sleep_us((long)(hash_mix(5, trial) % 3000));
            kill(child, SIGKILL);
            killed += WIFSIGNALED(wait_for(child)) ? 1 : 0;
        }
        old = ckpt_newest(f->arena, dir);
        if (running && strcmp(path_base(old), "step-240") != 0)
            continue;
        Bits bits = train(f, "killed", 0, &result); /* it came to its end: the same bits */
        assert_memory_equal(&bits, &whole, sizeof bits);
        double losses[240];
        int64_t resumes;
        assert_int_equal(read_log(f, "killed", losses, &resumes), 240);
        assert_true(file_remove_tree(dir, NULL));
        old = "";
    }
    Bits bits = train(f, "killed", 0, &result);
    assert_memory_equal(&bits, &whole, sizeof bits);
}

/* Waits until the child has saved something. */
static void wait_for_checkpoint(Fixture *f, const char *run)
{
    const char *dir = path_join(f->arena, f->dir, run);
    for (int i = 0; i < 2000 && !ckpt_newest(f->arena, dir); i++)
        sleep_us(5000);
    assert_non_null(ckpt_newest(f->arena, dir));
}

static void test_interrupt(void **state)
{
    Fixture *f = *state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < COUNT(signals); i++) {
        replan(f,
               (TinyOptions){.d = 3, .steps = 10000000, .lr = 1e-4, .save_every = 500, .keep = 1});
        const char *run = i ? "term" : "int";
        pid_t child = start_child(f, run);
        wait_for_checkpoint(f, run);
        kill(child, signals[i]);
        int status = wait_for(child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 130);
        Runtime *rt = tiny_open(f->plan);
        CkptPosition pos;
        bool found;
        Err err = {0};
        assert_true(ckpt_load(rt, path_join(f->arena, f->dir, run), &pos, &found, &err));
        assert_true(found && pos.step > 0);
        assert_int_equal(pos.sample, pos.step * TINY_BATCH);
        rt_close(rt);
    }
}

/* SIGUSR1 saves and the run goes on; SIGTERM saves and ends it. */
static void test_save_on_request(void **state)
{
    Fixture *f = *state;
    replan(f, (TinyOptions){.d = 3, .steps = 100000000, .lr = 1e-9, .save_every = 1e9, .keep = 2});
    const char *dir = path_join(f->arena, f->dir, "asked");
    pid_t child = start_child(f, "asked");
    const char *log = path_join(f->arena, dir, "run.jsonl");
    for (int i = 0; i < 5000 && !file_exists(log); i++)
        sleep_us(1000);
    sleep_us(20000);
    kill(child, SIGUSR1);
    wait_for_checkpoint(f, "asked");
    const char *first = ckpt_newest(f->arena, dir);
    assert_non_null(first);
    kill(child, SIGTERM);
    int status = wait_for(child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 130);
    assert_string_not_equal(ckpt_newest(f->arena, dir), first);
}

static void test_diverges(void **state)
{
    Fixture *f = *state;
    replan(f, (TinyOptions){.d = 3, .steps = 1000, .lr = 1e6, .save_every = 2, .keep = 2});
    Runtime *rt = tiny_open(f->plan);
    TrainOptions opt = {.run_dir = path_join(f->arena, f->dir, "run"), .quiet = true};
    TrainResult result;
    Err err = {0};
    assert_false(rt_train(rt, &opt, &result, &err));
    assert_int_equal(err.kind, ERR_DIVERGED);
    assert_non_null(
        strstr(err.text, arena_printf(f->arena, "step %lld:", (long long)result.steps + 1)));
    assert_non_null(strstr(err.help, "lr"));
    CkptPosition pos;
    bool found;
    err = (Err){0};
    assert_true(ckpt_load(rt, opt.run_dir, &pos, &found, &err));
    assert_true(found && pos.step <= result.steps);
    Bits bits = bits_of(rt);
    for (int i = 0; i < 3; i++)
        assert_true(isfinite(bits.w[i]));
    rt_close(rt);
}

/* 37 rows are 4 batches of 8 and one of 5. */
static void test_eval(void **state)
{
    Fixture *f = *state;
    Runtime *rt = tiny_open(f->plan);
    Err err = {0};
    assert_true(rt_init(rt, 7, &err));
    Bits bits = bits_of(rt);
    double want = 0;
    for (uint32_t row = 0; row < TINY_ROWS; row++) {
        double e = (double)bits.b[0] - (double)tiny_y(row, 3);
        for (uint32_t j = 0; j < 3; j++)
            e += (double)bits.w[j] * (double)tiny_x(row, j);
        want += e * e / TINY_ROWS;
    }
    EvalMetric metric;
    int64_t rows = 0;
    if (!rt_eval(rt, 0, &metric, &rows, &err))
        fail_msg("%s", err.text);
    assert_int_equal(rows, TINY_ROWS);
    assert_string_equal(metric.name, "error");
    assert_true(fabs(metric.value - want) < 1e-5 * want);
    rt_close(rt);
}

static void test_one_process_at_a_time(void **state)
{
    Fixture *f = *state;
    TrainResult result;
    train(f, "run", 2, &result);
    const char *run = path_join(f->arena, f->dir, "run");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        Err err = {0};
        bool held = runlock_take(run, &err) >= 0;
        ssize_t n = write(ready[1], held ? "y" : "n", 1);
        pause();
        _exit(n == 1 ? 0 : 1);
    }
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    Runtime *rt = tiny_open(f->plan);
    TrainOptions opt = {.run_dir = run, .quiet = true};
    Err err = {0};
    assert_false(rt_train(rt, &opt, &result, &err));
    assert_int_equal(err.kind, ERR_FILE);
    assert_non_null(strstr(err.text, "another process"));
    rt_close(rt);
    kill(child, SIGKILL);
    wait_for(child);
    close(ready[0]);
    close(ready[1]);
    train(f, "run", 0, &result);
    assert_int_equal(result.steps, STEPS);
}

static void test_progress_line(void **state)
{
    Fixture *f = *state;
    Progress p = {.stage = "main", .total = 1407};
    RunPoint point = {.step = 412,
                      .loss = 1.0832,
                      .lr = 1.93e-5,
                      .gnorm = 0.7102,
                      .samples_per_s = 41234,
                      .seconds = 412};
    StrBuf sb = sb_new(f->arena);
    progress_format(&sb, &p, &point);
    assert_string_equal(sb_text(&sb), "main 412/1407  loss 1.083  lr 1.93e-05  gnorm 0.71  "
                                      "41.2k samples/s  eta 16:35");
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* Minutes are those of the clock, steps and epochs those of the run. */
static void test_due(void **state)
{
    UNUSED(state);
    Trainer t = {.steps_per_epoch = 8, .pos = {.step = 16}, .before = 59, .point = {.seconds = 61}};
    assert_true(actions_due(&t, 1, PU_MINUTES) && actions_due(&t, 1, PU_EPOCHS));
    assert_true(actions_due(&t, 4, PU_STEPS) && !actions_due(&t, 3, PU_STEPS));
    t.before = 61;
    t.point.seconds = 119;
    assert_true(!actions_due(&t, 1, PU_MINUTES) && actions_due(&t, 0.5, PU_MINUTES));
    t.pos.step = 17;
    assert_false(actions_due(&t, 1, PU_EPOCHS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_learns),
        WITH_FIXTURE(test_resume_from_every_step),
        WITH_FIXTURE(test_one_step_at_a_time),
        WITH_FIXTURE(test_kill),
        WITH_FIXTURE(test_interrupt),
        WITH_FIXTURE(test_save_on_request),
        WITH_FIXTURE(test_diverges),
        WITH_FIXTURE(test_eval),
        WITH_FIXTURE(test_one_process_at_a_time),
        WITH_FIXTURE(test_progress_line),
        cmocka_unit_test(test_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_faults mdl_runtime mdl_plan mdl_base */
/* test_faults.c: every system call of saving fails once, with EIO, with ENOSPC, halfway, and by the process
 * being killed before and after it: there is a message, the checkpoint that was there or the new one
 * is intact, and the next save works. The same for whole runs: they end with the bits of a run that
 * nothing disturbed. */
#include "checkpoint.h"
#include "faults.h"
#include "live.h"
#include "testdir.h"
#include "tinyplan.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY_CALLS = 2000, STEPS = 6 };

typedef struct Fixture {
    Arena *arena;
    const char *dir, *run;
    Plan *plan;
    Runtime *rt;
} Fixture;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->dir = test_dir(arena, "faults");
    f->run = path_join(arena, f->dir, "run");
    file_remove_tree(f->dir, NULL);
    TinyOptions options = {
        .dir = f->dir, .d = 3, .steps = STEPS, .lr = 0.05, .save_every = 2, .keep = 1};
    tiny_data(arena, &options);
    f->plan = tiny_plan(arena, &options);
    f->rt = tiny_open(f->plan);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    rt_close(f->rt);
    plan_free(f->plan);
    file_remove_tree(f->dir, NULL);
    arena_free(f->arena);
    return 0;
}

/* ---- one save ---- */

static const uint32_t saved[] = {TS_W, TS_B, TS_MW, TS_MB};

static void paint(Runtime *rt, int64_t step)
{
    for (size_t k = 0; k < COUNT(saved); k++) {
        size_t bytes;
        uint8_t *at = live_state(rt, saved[k], &bytes);
        for (size_t i = 0; i < bytes; i++)
            at[i] = (uint8_t)hash_mix((uint64_t)step * 100 + saved[k], i);
    }
}

static bool is_painted(Runtime *rt, int64_t step)
{
    bool same = true;
    for (size_t k = 0; k < COUNT(saved); k++) {
        size_t bytes;
        const uint8_t *at = live_state(rt, saved[k], &bytes);
        for (size_t i = 0; i < bytes; i++)
            same = same && at[i] == (uint8_t)hash_mix((uint64_t)step * 100 + saved[k], i);
    }
    return same;
}

static bool save(Fixture *f, int64_t step, Err *err)
{
    CkptPosition pos = {.step = step, .sample = 8 * step, .seed = 5};
    paint(f->rt, step);
    return ckpt_save(f->rt, f->run, &pos, 1, err);
}

/* What the next process finds: the step of a checkpoint whose bits are right. */
static int64_t find(Fixture *f)
{
    CkptPosition pos = {0};
    bool found = false;
    Err err = {0};
    paint(f->rt, -1);
    if (!ckpt_clean(f->run, &err) || !ckpt_load(f->rt, f->run, &pos, &found, &err))
        fail_msg("%s", err.text);
    assert_true(found && is_painted(f->rt, pos.step));
    return pos.step;
}

static void start_over(Fixture *f)
{
    Err err = {0};
    assert_true(file_remove_tree(f->run, &err) && save(f, 1, &err));
}

/* Fails call `at` of saving step 2 where step 1 is; false when there are fewer calls. */
static bool fail_a_save(Fixture *f, FaultKind kind, uint32_t at)
{
    Err err = {0};
    start_over(f);
    faults_begin(kind, at);
    bool ok = save(f, 2, &err);
    faults_end();
    const char *hit = faults_hit();
    if (!hit) {
        assert_true(ok && find(f) == 2);
        return false;
    }
    if (kind == FAULT_SHORT && !ok)
        fail_msg("call %u, %s, half done: %s", at, hit, err.text);
    if (!ok && (!*err.text || (err.kind != ERR_FILE && err.kind != ERR_DEVICE)))
        fail_msg("call %u, %s: no message", at, hit);
    int64_t step = find(f);
    if (ok ? step != 2 : step != 1 && step != 2)
        fail_msg("call %u, %s: found step %lld", at, hit, (long long)step);
    Err again = {0};
    if (!save(f, 3, &again) || find(f) != 3)
        fail_msg("after call %u, %s: %s", at, hit, again.text);
    return true;
}

static void test_calls_that_fail(void **state)
{
    static const FaultKind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        uint32_t at = 1;
        while (at < MANY_CALLS && fail_a_save(*state, kinds[k], at))
            at++;
        assert_in_range(at, 30, MANY_CALLS - 1);
    }
}

/* A load that fails says so: it does not look like a run that has not begun. */
static void test_loads_that_fail(void **state)
{
    Fixture *f = *state;
    start_over(f);
    for (uint32_t at = 1;; at++) {
        CkptPosition pos = {0};
        bool found = false;
        Err err = {0};
        faults_begin(FAULT_EIO, at);
        bool ok = ckpt_load(f->rt, f->run, &pos, &found, &err);
        faults_end();
        if (!faults_hit())
            break;
        assert_true(ok ? found && pos.step == 1 : *err.text != '\0');
    }
}

/* A child that is killed at call `at` of saving; false when it came to the end. */
static bool kill_a_save(Fixture *f, FaultKind kind, uint32_t at)
{
    int status;
    start_over(f);
    pid_t child = fork();
    if (child == 0) {
        Err err = {0};
        faults_begin(kind, at);
        _exit(save(f, 2, &err) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    int64_t step = find(f);
    assert_true(step == 2 || (killed && step == 1));
    return killed;
}

static void test_killed_at_every_call(void **state)
{
    static const FaultKind kinds[] = {FAULT_KILL_BEFORE, FAULT_KILL_AFTER};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        uint32_t at = 1;
        while (at < MANY_CALLS && kill_a_save(*state, kinds[k], at))
            at++;
        assert_in_range(at, 30, MANY_CALLS - 1);
    }
}

/* ---- whole runs ---- */

typedef struct Bits {
    float w[3], b, mw[3], mb;
} Bits;

/* In a fresh runtime, as a new process would. */
static bool train(Fixture *f, const char *run, Bits *bits, Err *err)
{
    Runtime *rt = tiny_open(f->plan);
    TrainOptions opt = {.run_dir = path_join(f->arena, f->dir, run), .quiet = true};
    TrainResult result;
    bool ok = rt_train(rt, &opt, &result, err);
    if (ok)
        assert_int_equal(result.steps, STEPS);
    memcpy(bits->w, live_state(rt, TS_W, NULL), sizeof bits->w);
    memcpy(&bits->b, live_state(rt, TS_B, NULL), sizeof bits->b);
    memcpy(bits->mw, live_state(rt, TS_MW, NULL), sizeof bits->mw);
    memcpy(&bits->mb, live_state(rt, TS_MB, NULL), sizeof bits->mb);
    rt_close(rt);
    return ok;
}

/* tiny_open makes calls as well: they are counted first and left alone. */
static uint32_t calls_of_opening(Fixture *f)
{
    faults_begin(FAULT_NONE, 0);
    Runtime *rt = tiny_open(f->plan);
    rt_close(rt);
    return faults_end();
}

static void test_runs_with_a_fault(void **state)
{
    static const FaultKind kinds[] = {FAULT_EIO, FAULT_ENOSPC};
    Fixture *f = *state;
    Err err = {0};
    Bits whole, bits;
    assert_true(train(f, "whole", &whole, &err));
    uint32_t opening = calls_of_opening(f), went_on = 0, stopped = 0;
    const char *dir = path_join(f->arena, f->dir, "run");
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (uint32_t at = opening + 1; at < MANY_CALLS; at += 1 + (k > 0)) {
            Err why = {0};
            assert_true(file_remove_tree(dir, &err));
            faults_begin(kinds[k], at);
            bool ok = train(f, "run", &bits, &why);
            faults_end();
            if (!faults_hit())
                break;
            if (!ok && !*why.text)
                fail_msg("call %u, %s: no message", at, faults_hit());
            went_on += ok;
            stopped += !ok;
            if (!train(f, "run", &bits, &err))
                fail_msg("after call %u, %s: %s", at, faults_hit(), err.text);
            assert_memory_equal(&bits, &whole, sizeof bits);
        }
    }
    assert_true(went_on > 20 && stopped > 5);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_calls_that_fail),
        WITH_FIXTURE(test_loads_that_fail),
        WITH_FIXTURE(test_killed_at_every_call),
        WITH_FIXTURE(test_runs_with_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

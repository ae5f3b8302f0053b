/* LIBS: mdl_test_support mdl_runtime mdl_plan mdl_base */
/* test_checkpoint.c: what is saved comes back bit for bit; what is damaged is noticed and skipped;
 * a kill at any moment loses nothing that was there. */
#include "checkpoint.h"
#include "live.h"
#include "testdir.h"
#include "tinyplan.h"
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
    f->dir = test_dir(arena, "ckpt");
    f->run = path_join(arena, f->dir, "run");
    file_remove_tree(f->dir, NULL);
    f->plan = tiny_plan(arena, &(TinyOptions){.dir = f->dir, .d = 3, .steps = 10, .lr = 1});
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

/* All persistent states get bits that only this step has. */
static void paint(Runtime *rt, int64_t step)
{
    for (uint32_t s = 0; s < TS_COUNT; s++) {
        size_t bytes;
        uint8_t *at = live_state(rt, s, &bytes);
        for (size_t i = 0; i < bytes; i++)
            at[i] = (uint8_t)hash_mix((uint64_t)step * 100 + s, i);
    }
}

static bool is_painted(Runtime *rt, int64_t step)
{
    static const uint32_t saved[] = {TS_W, TS_B, TS_MW, TS_MB};
    for (size_t k = 0; k < COUNT(saved); k++) {
        size_t bytes;
        const uint8_t *at = live_state(rt, saved[k], &bytes);
        for (size_t i = 0; i < bytes; i++)
            if (at[i] != (uint8_t)hash_mix((uint64_t)step * 100 + saved[k], i))
                return false;
    }
    return true;
}

static CkptPosition position(int64_t step)
{
    return (CkptPosition){.step = step, .sample = step * 8, .seed = UINT64_MAX - (uint64_t)step};
}

static bool save(Fixture *f, int64_t step, uint32_t keep, Err *err)
{
    CkptPosition pos = position(step);
    paint(f->rt, step);
    return ckpt_save(f->rt, f->run, &pos, keep, err);
}

static void save_or_fail(Fixture *f, int64_t step, uint32_t keep)
{
    Err err = {0};
    if (!save(f, step, keep, &err))
        fail_msg("%s", err.text);
}

static void expect_load(Fixture *f, int64_t step)
{
    CkptPosition pos = {0}, want = position(step);
    bool found = false;
    Err err = {0};
    paint(f->rt, -1);
    if (!ckpt_load(f->rt, f->run, &pos, &found, &err))
        fail_msg("%s", err.text);
    assert_true(found);
    assert_int_equal(pos.step, want.step);
    assert_int_equal(pos.sample, want.sample);
    assert_true(pos.seed == want.seed);
    assert_true(is_painted(f->rt, step));
}

static const char *ckpt_file(Fixture *f, int64_t step, const char *name)
{
    return arena_printf(f->arena, "%s/checkpoints/step-%lld/%s", f->run, (long long)step, name);
}

static void test_round_trip(void **state)
{
    Fixture *f = *state;
    CkptPosition pos = {0};
    bool found = true;
    Err err = {0};
    assert_true(ckpt_load(f->rt, f->run, &pos, &found, &err));
    assert_false(found);
    assert_null(ckpt_newest(f->arena, f->run));
    for (int64_t step = 7; step < 12; step++) {
        save_or_fail(f, step, 0);
        expect_load(f, step);
    }
    assert_non_null(strstr(ckpt_newest(f->arena, f->run), "/step-11"));
    for (int64_t step = 7; step < 12; step++)
        assert_true(file_exists(ckpt_file(f, step, "manifest.json")));
}

static void test_latest(void **state)
{
    Fixture *f = *state;
    Err err = {0};
    Bytes text;
    for (int64_t step = 9; step <= 11; step++) {
        save_or_fail(f, step, 1);
        const char *path = arena_printf(f->arena, "%s/checkpoints/LATEST", f->run);
        assert_true(file_read(f->arena, path, 100, &text, &err));
        assert_string_equal(text.data, arena_printf(f->arena, "step-%lld\n", (long long)step));
    }
}

/* A run that keeps more than any disk holds does not begin. */
static void test_room(void **state)
{
    Fixture *f = *state;
    Err err = {0};
    assert_true(file_mkdirs(f->run, &err));
    assert_true(ckpt_preflight(f->rt, f->run, 3, &err));
    assert_false(ckpt_preflight(f->rt, f->run, UINT32_MAX, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    assert_non_null(strstr(err.text, "has room for"));
    assert_non_null(strstr(err.help, "--run"));
}

static void test_keep(void **state)
{
    Fixture *f = *state;
    for (int64_t step = 8; step <= 12; step++)
        save_or_fail(f, step, 2);
    for (int64_t step = 8; step <= 12; step++)
        assert_int_equal(file_exists(ckpt_file(f, step, "manifest.json")), step >= 11);
    expect_load(f, 12);
}

/* The same step again: an equal one stays, another one is replaced. */
static void test_same_step(void **state)
{
    Fixture *f = *state;
    save_or_fail(f, 5, 0);
    save_or_fail(f, 5, 0);
    expect_load(f, 5);
    paint(f->rt, 6);
    CkptPosition pos = position(5);
    Err err = {0};
    assert_true(ckpt_save(f->rt, f->run, &pos, 1, &err));
    bool found;
    assert_true(ckpt_load(f->rt, f->run, &pos, &found, &err));
    assert_true(is_painted(f->rt, 6));
}

/* Flips one of the low bits: bit 5 would turn a hex digit into its capital, which is no damage. */
static void damage(Fixture *f, const char *path, size_t at)
{
    Bytes bytes;
    Err err = {0};
    assert_true(file_read(f->arena, path, 1 << 20, &bytes, &err));
    bytes.data[at % bytes.n] ^= (char)(1 << at % 5);
    assert_true(file_write_atomic(path, bytes.data, bytes.n, &err));
}

/* Every flipped byte of every file makes the older checkpoint the newest valid one. */
static void test_flipped_bytes(void **state)
{
    Fixture *f = *state;
    static const char *const names[] = {"weights.safetensors", "state.safetensors",
                                        "manifest.json"};
    save_or_fail(f, 1, 0);
    for (size_t k = 0; k < COUNT(names); k++) {
        for (size_t at = 0; at < 700; at += 9) {
            save_or_fail(f, 2, 0);
            damage(f, ckpt_file(f, 2, names[k]), at);
            expect_load(f, 1);
        }
    }
}

static void test_damage(void **state)
{
    Fixture *f = *state;
    Err err = {0};
    save_or_fail(f, 1, 0);
    save_or_fail(f, 2, 0);
    Bytes bytes;
    const char *manifest = ckpt_file(f, 2, "manifest.json");
    assert_true(file_read(f->arena, manifest, 1 << 20, &bytes, &err));
    for (size_t n = 0; n + 2 < bytes.n; n += 7) {
        assert_true(file_write_atomic(manifest, bytes.data, n, &err));
        expect_load(f, 1);
    }
    assert_int_equal(unlink(manifest), 0);
    expect_load(f, 1);
    save_or_fail(f, 2, 0);
    expect_load(f, 2);
    assert_int_equal(unlink(ckpt_file(f, 2, "state.safetensors")), 0);
    expect_load(f, 1);
    assert_int_equal(truncate(ckpt_file(f, 1, "weights.safetensors"), 20), 0);
    CkptPosition pos;
    bool found = true;
    assert_false(ckpt_load(f->rt, f->run, &pos, &found, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "none of the 2 checkpoints"));
    assert_true(strlen(err.help) > 0);
}

static void test_other_plan(void **state)
{
    Fixture *f = *state;
    save_or_fail(f, 3, 0);
    Plan *plan = tiny_plan(f->arena, &(TinyOptions){.dir = f->dir, .d = 4, .steps = 10, .lr = 1});
    Runtime *rt = tiny_open(plan);
    CkptPosition pos;
    bool found;
    Err err = {0};
    assert_false(ckpt_load(rt, f->run, &pos, &found, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "`w` has another shape"));
    assert_non_null(strstr(err.help, "another program"));
    rt_close(rt);
    plan_free(plan);
}

static void test_no_place(void **state)
{
    Fixture *f = *state;
    Err err = {0};
    CkptPosition pos = position(1);
    assert_false(ckpt_save(f->rt, "/proc/nonexistent", &pos, 1, &err));
    assert_true(err.kind == ERR_FILE || err.kind == ERR_DEVICE);
    assert_non_null(strstr(err.text, "checkpoint of step 1"));
}

/* Saves steps from `step` on until it is killed. */
static _Noreturn void save_forever(Fixture *f, int64_t step)
{
    for (;; step++) {
        Err err = {0};
        if (!save(f, step, 2, &err))
            _exit(1);
    }
}

static int64_t newest_valid(Fixture *f)
{
    CkptPosition pos;
    bool found = false;
    Err err = {0};
    paint(f->rt, -1);
    if (!ckpt_load(f->rt, f->run, &pos, &found, &err))
        fail_msg("%s", err.text);
    assert_true(found);
    assert_true(is_painted(f->rt, pos.step));
    return pos.step;
}

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* Kills a child that saves a random moment after its first save. The child works on the states
 * alone: it needs none of the runtime's threads. */
static void save_and_kill(Fixture *f, int64_t step, uint64_t trial)
{
    int status;
    const char *old = ckpt_newest(f->arena, f->run);
    pid_t child = fork();
    if (child == 0)
        save_forever(f, step + 1);
    assert_true(child > 0);
    while (strcmp(ckpt_newest(f->arena, f->run), old) == 0) {
        assert_int_equal(waitpid(child, &status, WNOHANG), 0);
        sleep_us(100);
    }
    sleep_us((long)(hash_mix(3, trial) % 10000));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void test_kill(void **state)
{
    Fixture *f = *state;
    save_or_fail(f, 1, 2);
    int64_t step = 1;
    for (uint64_t trial = 0; trial < test_times(30, 700); trial++) {
        save_and_kill(f, step, trial);
        int64_t now = newest_valid(f);
        assert_true(now > step);
        step = now;
        Err err = {0};
        assert_true(ckpt_clean(f->run, &err));
        assert_int_equal(newest_valid(f), step);
    }
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_round_trip),    WITH_FIXTURE(test_keep),   WITH_FIXTURE(test_same_step),
        WITH_FIXTURE(test_flipped_bytes), WITH_FIXTURE(test_damage), WITH_FIXTURE(test_other_plan),
        WITH_FIXTURE(test_latest),        WITH_FIXTURE(test_room),   WITH_FIXTURE(test_no_place),
        WITH_FIXTURE(test_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

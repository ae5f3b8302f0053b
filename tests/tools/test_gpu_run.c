/* LIBS: mdl_base */
/* test_gpu_run.c: the `run` of ./dev gpu says what happened, and its exit code does: with tests that are
 * scripts, and the driver that is made of the emulator. */
#include "base.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder such as cmake/pack.cmake makes, as far as `run` needs it. */
typedef struct Pack {
    Arena *arena;
    const char *dir;
} Pack;

static const char *in_pack(const Pack *p, const char *name)
{
    return path_join(p->arena, p->dir, name);
}

static int setup(void **state)
{
    static const char *const own[] = {"tools", "models", "LICENSE", "bench/gpt2_step.mdl"};
    Arena *arena = arena_new();
    Pack *p = NEW(arena, Pack);
    *p = (Pack){arena, arena_printf(arena, "%s/gpu-run-%ld", MDL_BINARY_DIR, (long)getpid())};
    file_remove_tree(p->dir, NULL);
    if (!file_mkdirs(in_pack(p, "bin"), NULL) || !file_mkdirs(in_pack(p, "bench"), NULL))
        return -1;
    for (size_t i = 0; i < COUNT(own); i++)
        if (symlink(path_join(arena, MDL_SOURCE_DIR, own[i]), in_pack(p, own[i])) != 0)
            return -1;
    if (symlink(MDL_SOURCE_DIR "/tools/gpu/run.sh", in_pack(p, "run")) != 0 ||
        symlink(MDL_BINARY_DIR "/cli/mdl", in_pack(p, "bin/mdl")) != 0)
        return -1;
    setenv("MDL_LIBCUDA", MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so", 1);
    setenv("MDL_NVRTC", MDL_BINARY_DIR "/tests/mock/mdl_fakenvrtc.so", 1);
    setenv("MDL_CACHE", MDL_KERNEL_CACHE, 1);
    setenv("LSAN_OPTIONS", "use_tls=0", 1); /* which it cannot find of what dlopen opens */
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    Pack *p = *state;
    file_remove_tree(p->dir, NULL);
    arena_free(p->arena);
    return 0;
}

/* A program of that name, which prints the report of cmocka that is asked for. */
static void program(const Pack *p, const char *name, const char *script)
{
    const char *path = in_pack(p, arena_printf(p->arena, "bin/%s", name));
    const char *text = arena_printf(p->arena, "#!/bin/sh\n%s\n", script);
    assert_true(file_write_atomic(path, text, strlen(text), NULL));
    assert_int_equal(chmod(path, 0700), 0);
}

#define REPORT(passed, failed, skipped)                                            \
    "echo '[==========] Running 3 test(s).'; echo '[==========] 3 test(s) run.'\n" \
    "echo '[  PASSED  ] " passed " test(s).'; echo '[  FAILED  ] " failed          \
    " test(s), listed below:'; echo '[  SKIPPED ] " skipped " test(s), listed below:'\n"

/* In place of bench/gpu.sh. */
static void bench(const Pack *p, const char *script)
{
    assert_true(file_write_atomic(in_pack(p, "bench/gpu.sh"), script, strlen(script), NULL));
}

/* Runs it and returns its output. */
static const char *run(const Pack *p, const char *options, int code)
{
    const char *command = arena_printf(p->arena, "'%s/run' %s 2>&1", p->dir, options);
    char *out = arena_alloc(p->arena, 1 << 16);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(out, 1, (1 << 16) - 1, pipe);
    out[n] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != code)
        fail_msg("run %s: exit code %d, expected %d\n%s", options, WEXITSTATUS(status), code, out);
    return out;
}

static void check_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("`%s` is not in:\n%s", part, text);
}

static const char *results(const Pack *p, const char *name)
{
    Bytes text;
    Err err = {0};
    if (!file_read(p->arena, in_pack(p, arena_printf(p->arena, "results/%s", name)), 1 << 20, &text,
                   &err))
        fail_msg("%s", err.text);
    return text.data;
}

/* The file GPU-DATE.json. */
static const char *results_json(const Pack *p, const char *gpu)
{
    const char *name = NULL;
    DIR *dir = opendir(in_pack(p, "results"));
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (strncmp(e->d_name, gpu, strlen(gpu)) == 0)
            name = arena_printf(p->arena, "%s", e->d_name);
    closedir(dir);
    assert_non_null(name);
    return results(p, name);
}

static void without_a_driver_it_fails(void **state)
{
    const Pack *p = *state;
    program(p, "test_codegen_a", REPORT("3", "0", "0"));
    setenv("MDL_LIBCUDA", "/nowhere/libcuda.so.1", 1);
    const char *out = run(p, "", 1);
    check_has(out, "no CUDA driver: /nowhere/libcuda.so.1");
    check_has(out, "install NVIDIA's driver");
    check_has(out, "this machine lacks: CUDA driver, GPU");
    assert_null(strstr(out, "test_codegen_a"));
    check_has(results_json(p, "none-"), "\"exit_code\": 1");
}

static void all_pass(void **state)
{
    const Pack *p = *state;
    program(
        p, "test_codegen_a",
        "[ \"$MDL_TEST_DEVICE $MDL_TEST_ISA\" = 'cuda sm_80' ] || exit 1\n" REPORT("2", "0", "1"));
    program(p, "test_optim", REPORT("3", "0", "0"));
    const char *out = run(p, "--only ops,models", 0);
    check_has(out, "\n3 programs passed, 0 failed, 0 timed out, 0 skipped, 0 cut, 0 not run, 0 "
                   "absent; cases: 6 passed, 0 failed, 1 skipped\n");
    check_has(results_json(p, "mock-gpu-"), "\"gpu\": \"Mock GPU\"");
    check_has(results(p, "results.tsv"), "ops\ttest_codegen_a\tsm_80\tpassed\t2\t0\t1\t");
}

static void failures_and_crashes_count(void **state)
{
    const Pack *p = *state;
    program(p, "test_codegen_a",
            REPORT("2", "1", "0") "echo '[  ERROR   ] --- one is two'; exit 1");
    program(p, "test_codegen_b", "echo '[==========] Running 3 test(s).'; kill -SEGV $$");
    program(p, "test_codegen_c", REPORT("3", "0", "0") "exit 1");
    program(p, "test_gpu_d", REPORT("3", "0", "0"));
    check_has(run(p, "--only ops", 1), "\n2 programs passed, 3 failed, ");
    const char *rows = results(p, "results.tsv");
    check_has(rows, "test_codegen_a\tsm_80\tfailed\t2\t1\t0\t");
    check_has(rows, "\t[  ERROR   ] --- one is two\n");
    check_has(rows, "test_codegen_b\tsm_80\tfailed\t0\t1\t0\t");
    check_has(rows, "test_codegen_c\tsm_80\tfailed\t3\t1\t0\t");
}

static void what_tests_nothing_has_not_passed(void **state)
{
    const Pack *p = *state;
    check_has(run(p, "--only ops", 1), "\n1 programs passed, 0 failed, ");
    program(p, "test_codegen_a", REPORT("0", "0", "3"));
    program(p, "test_codegen_b", REPORT("3", "0", "0"));
    check_has(run(p, "--only ops", 3), "0 timed out, 1 skipped, ");
    check_has(run(p, "--only ops --match _a", 1), "\nFAILED: ");
}

static void time_that_is_up_is_no_success(void **state)
{
    const Pack *p = *state;
    program(p, "test_codegen_a", REPORT("3", "0", "0"));
    program(p, "test_codegen_b", "exec sleep 100");
    program(p, "test_optim", REPORT("3", "0", "0"));
    const char *out = run(p, "--only ops,models --time 8 --jobs 1", 3);
    check_has(out, "\n2 programs passed, 0 failed, 0 timed out, 0 skipped, 1 cut, 1 not run, ");
    check_has(out, "\nINCOMPLETE: ");
}

static void measurements_are_collected(void **state)
{
    const Pack *p = *state;
    bench(p, "[ -x $1/bin/mdl ] && [ $3 -gt 100 ] && echo A TABLE >$2/table.txt\n"
             "echo '{\"who\":\"mdl\",\"case\":\"a\",\"median\":1e-3}' >$2/lines.jsonl\n"
             "echo '{\"who\":\"torch\",\"case\":\"a\",\"median\":2e-3}' >>$2/lines.jsonl\n"
             "echo '{\"results\": [1]}' >$2/a.json\n");
    check_has(run(p, "--only bench", 0), "A TABLE\n");
    check_has(results(p, "results.tsv"), "bench\tgpu.sh\t-\tpassed\t1\t0\t");
    check_has(results_json(p, "mock-gpu-"), "\"bench\": {\"results\": [1]},\n");
    bench(p, "echo '{\"who\":\"mdl\",\"case\":\"a\",\"error\":\"no\"}' >$2/lines.jsonl; exit 1");
    check_has(run(p, "--only bench", 1), "\n1 programs passed, 1 failed, ");
    check_has(results_json(p, "mock-gpu-"),
              "\"bench\": null,\n  \"bench_errors\": [\n"
              "    {\"who\":\"mdl\",\"case\":\"a\",\"error\":\"no\"}\n");
    bench(
        p,
        "echo '{\"who\":\"mdl\",\"case\":\"a\",\"median\":1e-3}' >$2/lines.jsonl\n"
        "echo '{\"who\":\"mdl\",\"case\":\"b\",\"error\":\"no time was left\"}' >>$2/lines.jsonl\n"
        "exit 1");
    check_has(run(p, "--only bench", 3), "1 not begun in time");
    bench(p, "echo nothing");
    check_has(run(p, "--only bench", 1), "nothing was measured");
}

static void losses_are_those_of_the_cpu(void **state)
{
    const Pack *p = *state;
    check_has(run(p, "--only smoke", 0), "losses differ by at most ");
    check_has(results(p, "results.tsv"), "smoke\ttrain\tsm_80\tpassed\t1\t0\t0\t");
}

/* Machines that lack something, and programs that do not end. */

static void without_nvrtc_it_fails(void **state)
{
    const Pack *p = *state;
    program(p, "test_codegen_a", REPORT("3", "0", "0"));
    setenv("MDL_NVRTC", "/nowhere/libnvrtc.so.12", 1);
    const char *out = run(p, "", 1);
    check_has(out, "this machine lacks: NVRTC");
    check_has(out, "MDL_NVRTC");
    assert_null(strstr(out, "test_codegen_a"));
}

static void a_driver_that_hangs_is_said_to(void **state)
{
    const Pack *p = *state;
    assert_int_equal(unlink(in_pack(p, "bin/mdl")), 0);
    program(p, "mdl", "trap '' TERM; while :; do sleep 1; done");
    check_has(run(p, "--time 3", 1), "does not end: the driver hangs");
    check_has(results(p, "results.tsv"), "doctor\tmdl\t-\tcut\t");
}

/* The first takes the time of its stage, and what is behind it has its own. */
static void a_stage_that_hangs_leaves_time_to_others(void **state)
{
    const Pack *p = *state;
    program(p, "test_codegen_a", "exec sleep 100");
    program(p, "test_optim", REPORT("3", "0", "0"));
    bench(p, "echo '{\"who\":\"mdl\",\"case\":\"a\",\"median\":1e-3}' >$2/lines.jsonl\n");
    const char *out = run(p, "--only ops,models,bench --time 50 --jobs 1", 3);
    check_has(out, "\n3 programs passed, 0 failed, 0 timed out, 0 skipped, 1 cut, 0 not run, ");
    check_has(results(p, "results.tsv"), "bench\tgpu.sh\t-\tpassed\t1\t");
    check_has(results_json(p, "mock-gpu-"), "\"exit_code\": 3");
}

static void what_reports_nothing_has_failed(void **state)
{
    const Pack *p = *state;
    program(p, "test_codegen_a", "exit 0");
    check_has(run(p, "--only ops", 1), "it reports nothing");
}

static void without_a_peer_it_says_so(void **state)
{
    const Pack *p = *state;
    bench(p, "echo '{\"who\":\"mdl\",\"case\":\"a\",\"median\":1e-3}' >$2/lines.jsonl\n"
             "echo 'no PyTorch in python3' >$2/peers.txt\n");
    check_has(run(p, "--only bench", 0), " 1 absent; ");
    check_has(results(p, "results.tsv"),
              "bench\tpeers\t-\tabsent\t0\t0\t0\t0\tno PyTorch in python3\n");
    bench(p, "echo '{\"who\":\"mdl\",\"case\":\"a\",\"median\":1e-3}' >$2/lines.jsonl\n"
             "echo '{\"who\": \"torch\", \"case\":\"a\", \"median\":1e-3}' >>$2/lines.jsonl\n"
             "echo 'PyTorch 9' >$2/peers.txt\n");
    check_has(run(p, "--only bench", 0), " 0 absent; ");
    check_has(results(p, "results.tsv"), "bench\tpeers\t-\tpassed\t1\t0\t0\t0\tPyTorch 9\n");
}

static void results_that_cannot_be_written_are_a_failure(void **state)
{
    const Pack *p = *state;
    program(p, "test_codegen_a", REPORT("3", "0", "0"));
    check_has(run(p, "--only ops --out /dev/null/results", 1), "results cannot be written to ");
    /* a disk that is full from the first row on */
    assert_true(file_mkdirs(in_pack(p, "results"), NULL));
    assert_int_equal(symlink("/dev/full", in_pack(p, "results/results.tsv")), 0);
    check_has(run(p, "--only ops", 1), "results cannot be written to ");
    /* .. and later */
    assert_int_equal(unlink(in_pack(p, "results/results.tsv")), 0);
    program(
        p, "test_codegen_a",
        "cd \"${0%/*}/../results\" && rm results.tsv && mkdir results.tsv\n" REPORT("3", "0", "0"));
    check_has(run(p, "--only ops", 1), "is the disk full?");
}

static void options_are_read(void **state)
{
    const Pack *p = *state;
    static const char *const wrong[] = {"--only nothing", "--time 0", "--time x", "--jobs",
                                        "--what 1"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        check_has(run(p, wrong[i], 2), "run [OPTIONS]: ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_driver_it_fails),
        TEST(all_pass),
        TEST(failures_and_crashes_count),
        TEST(what_tests_nothing_has_not_passed),
        TEST(time_that_is_up_is_no_success),
        TEST(measurements_are_collected),
        TEST(losses_are_those_of_the_cpu),
        TEST(options_are_read),
        TEST(without_nvrtc_it_fails),
        TEST(a_driver_that_hangs_is_said_to),
        TEST(a_stage_that_hangs_leaves_time_to_others),
        TEST(what_reports_nothing_has_failed),
        TEST(without_a_peer_it_says_so),
        TEST(results_that_cannot_be_written_are_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

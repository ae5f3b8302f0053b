/* LIBS: mdl_base */
/* test_summary.c: the last line of `./dev test` says what happened, whatever happened. */
#include "base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

/* Gives the log to summary.awk; returns its exit code and what it printed. */
static int summarise(Arena *arena, const char *log, const char *mode, char *line, size_t size)
{
    const char *path = MDL_BINARY_DIR "/summary-test.log";
    assert_true(file_write_atomic(path, log, strlen(log), NULL));
    const char *command = arena_printf(arena, "awk -v mode=%s -f '%s/tools/dev/summary.awk' '%s'",
                                       mode, MDL_SOURCE_DIR, path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(line, 1, size - 1, pipe);
    line[n] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *log, const char *want, int code)
{
    Arena *arena = arena_new();
    char line[1000];
    int got = summarise(arena, log, "count", line, sizeof line);
    arena_free(arena);
    assert_string_equal(line, want);
    assert_int_equal(got, code);
}

static void all_pass(void **state)
{
    UNUSED(state);
    expect("1: [==========] Running 3 test(s).\n"
           "1: [       OK ] a\n1: [       OK ] b\n1: [       OK ] c\n"
           "1: [==========] 3 test(s) run.[  PASSED  ] 3 test(s).\n"
           "1/2 Test #1: test_a ....   Passed    0.05 sec\n"
           "2: [==========] tests2: Running 2 test(s).\n"
           "2: [       OK ] a\n2: [  SKIPPED ] b\n"
           "2: [==========] tests2: 2 test(s) run.\n"
           "2: [  PASSED  ] 1 test(s).\n"
           "2: [  SKIPPED ] tests2: 1 test(s), listed below:\n"
           "2/2 Test #2: test_b ....   Passed    0.05 sec\n",
           "4 passed, 0 failed, 1 skipped\n", 0);
}

static void one_case_fails(void **state)
{
    UNUSED(state);
    expect("1: [==========] Running 2 test(s).\n"
           "1: [       OK ] a\n1: [  FAILED  ] b\n"
           "1: [==========] 2 test(s) run.\n"
           "1: [  PASSED  ] 1 test(s).\n1: [  FAILED  ] 1 test(s), listed below:\n"
           "1: [  FAILED  ] b\n"
           "1/1 Test #1: test_a ....***Failed    0.05 sec\n",
           "1 passed, 1 failed, 0 skipped\n", 1);
}

static void crashes_count(void **state)
{
    UNUSED(state);
    expect("7: [==========] Running 3 test(s).\n7: [       OK ] a\n"
           "1/4 Test #7: test_a ....***Exception: SegFault  0.05 sec\n"
           "8: [==========] Running 3 test(s).\n8: [       OK ] a\n"
           "2/4 Test #8: leaves_early ....   Passed  0.05 sec\n"
           "9: [==========] Running 1 test(s).\n9: [       OK ] a\n"
           "9: [==========] 1 test(s) run.\n9: [  PASSED  ] 1 test(s).\n9: leak!\n"
           "3/4 Test #9: leaks ....***Failed    0.05 sec\n"
           "4/4 Test #10: not_built ....***Not Run    0.00 sec\n",
           "3 passed, 4 failed, 0 skipped\n", 1);
}

static void none_is_not_enough(void **state)
{
    UNUSED(state);
    expect("No tests were found!!!\n", "0 passed, 0 failed, 0 skipped\n", 1);
    expect("1: [==========] Running 1 test(s).\n1: [  SKIPPED ] a\n"
           "1: [==========] 1 test(s) run.\n1: [  PASSED  ] 0 test(s).\n"
           "1: [  SKIPPED ] 1 test(s), listed below:\n"
           "1/1 Test #1: test_a ....   Passed    0.05 sec\n",
           "0 passed, 0 failed, 1 skipped\n", 1);
}

static void output_of_failures_is_shown(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    char text[1000];
    summarise(arena,
              "1: fine\n1/2 Test #1: test_a ....   Passed    0.05 sec\n"
              "2: broken\n2/2 Test #2: test_b ....***Timeout  0.05 sec\n",
              "failures", text, sizeof text);
    arena_free(arena);
    assert_null(strstr(text, "fine"));
    assert_non_null(strstr(text, "test_b"));
    assert_non_null(strstr(text, "\nbroken\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pass),
        cmocka_unit_test(one_case_fails),
        cmocka_unit_test(crashes_count),
        cmocka_unit_test(none_is_not_enough),
        cmocka_unit_test(output_of_failures_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

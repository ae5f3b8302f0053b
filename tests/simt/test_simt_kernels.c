/* LIBS: mdl_test_emulator mdl_runtime mdl_plan mdl_base */
/* test_simt_kernels.c: kernels written by hand in the text that GPUs run give on the emulator what plain C
 * gives, in order and in random orders, and nothing is found in them: as they are, checked, and with ASan. */
#include "examples.h"
#include "testdir.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = emulator_new();
    return 0;
}

static int teardown(void **state)
{
    emulator_free(*state);
    return 0;
}

static void run_example(Emulator *e, const Example *of, SimtMode mode)
{
    Kernel k = kernel_compile(e, example_text(e, of->file), mode);
    Trial t;
    trial_begin(e, &t, of);
    for (uint64_t seed = 0; seed < test_times(3, 100); seed++) {
        double error = 0;
        if (!trial_run(e, &k, &t, seed, &error))
            fail_msg("seed %d: %s", (int)seed, simt_report(e->simt, 0));
        if (!(error <= of->bound))
            fail_msg("%s, seed %d: off by %g", of->name, (int)seed, error);
    }
    trial_end(e, &t);
    kernel_free(&k);
}

static void run_examples(Emulator *e, SimtMode mode)
{
    for (uint32_t i = 0; i < nexamples; i++)
        run_example(e, &examples[i], mode);
}

static void as_they_are(void **state)
{
    run_examples(*state, SIMT_PLAIN);
}

static void checked(void **state)
{
    run_examples(*state, SIMT_CHECK);
}

static void with_asan(void **state)
{
    if (!SIMT_HAS_ASAN)
        skip();
    run_examples(*state, SIMT_ASAN);
}

static void assert_not_launched(Emulator *e, const Kernel *k, Case c, const char *why)
{
    int64_t block[2] = {0, 4};
    c.name = "map";
    c.args.block = block;
    assert_false(case_run(e, k, &c));
    if (!strstr(simt_report(e->simt, 0), why))
        fail_msg("%s", simt_report(e->simt, 0));
    assert_null(simt_report(e->simt, 1));
}

/* What a GPU refuses is refused; no block at all is fine. */
static void limits_of_launches(void **state)
{
    Emulator *e = *state;
    Kernel k = kernel_compile(e, example_text(e, "map"), SIMT_PLAIN);
    assert_not_launched(e, &k, (Case){.threads = 48, .blocks = 1}, "launch: a block of 48 threads");
    assert_not_launched(e, &k, (Case){.threads = 0, .blocks = 1}, "launch: a block of 0 threads");
    assert_not_launched(e, &k, (Case){.threads = 2048, .blocks = 1}, "launch: a block of 2048");
    assert_not_launched(e, &k, (Case){.threads = 64, .blocks = -1}, "launch: -1 blocks");
    assert_not_launched(e, &k, (Case){.threads = 64, .blocks = 1, .shared = 300000},
                        "launch: a block with 300000 bytes");
    const Case none = {.name = "map", .threads = 64};
    assert_true(case_run(e, &k, &none));
    kernel_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_they_are),
        cmocka_unit_test(checked),
        cmocka_unit_test(with_asan),
        cmocka_unit_test(limits_of_launches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

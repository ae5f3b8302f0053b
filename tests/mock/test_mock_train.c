/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_mock_train.c: one plan for the CPU and a GPU, trained on each device by the program as users run it;
 * the GPU is the driver over the emulator (fakecuda.c). */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FIRST = 4, MORE = 7 }; /* places in Tool.env behind those of tool_setup */

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    Tool *tool = *state;
    tool_program(tool, "a.mdl", "epochs    = 5", "epochs    = 5\n  every 8 steps: save(keep: 9)");
    tool_data(tool);
    tool->env[FIRST] = "MDL_LIBCUDA=" MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so";
    tool->env[FIRST + 1] = "MDL_NVRTC=" MDL_BINARY_DIR "/tests/mock/mdl_fakenvrtc.so";
    tool->env[FIRST + 2] = "LSAN_OPTIONS=use_tls=0"; /* which it cannot find of what dlopen opens */
    return 0;
}

static Outcome train(Tool *tool, const char *device, const char *run)
{
    return RUN(tool, "train", "a.mdl", "--target", "cpu,cuda:sm_80", "--device", device, "--run",
               run, "--quiet");
}

static Bytes weights_of(Tool *tool, const char *run, int step)
{
    return tool_read(
        tool, arena_printf(tool->arena, "%s/checkpoints/step-%d/weights.safetensors", run, step));
}

static void check_same_weights(Tool *tool, const char *a, const char *b)
{
    Bytes x = weights_of(tool, a, 40), y = weights_of(tool, b, 40);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.data, y.data, x.n);
}

static void one_plan_trains_on_all_devices(void **state)
{
    static const char *const devices[] = {"cpu", "simt", "cuda"};
    Tool *tool = *state;
    for (size_t i = 0; i < COUNT(devices); i++) {
        Outcome o = train(tool, devices[i], devices[i]);
        check_code(&o, 0);
        const char *at = strstr(o.out, "test accuracy ");
        assert_true(at && strtod(at + strlen("test accuracy "), NULL) >= 0.9);
        Bytes plan = tool_read(tool, arena_printf(tool->arena, "%s/plans/mlp.plan", devices[i]));
        Bytes first = tool_read(tool, "cpu/plans/mlp.plan");
        assert_int_equal(plan.n, first.n);
        assert_memory_equal(plan.data, first.data, plan.n);
    }
    check_same_weights(tool, "simt", "cuda");
    /* Evaluation of what one device trained, on another. */
    const char *on_cpu = GOOD(tool, "eval", "a.mdl", "test", "--run", "cuda", "--device", "cpu");
    const char *on_gpu = GOOD(tool, "eval", "a.mdl", "test", "--run", "cuda", "--device", "cuda");
    assert_string_equal(on_cpu, on_gpu);
}

/* A kernel fails in the middle: what was saved is whole, and training goes on from there to the same end. */
static void training_goes_on_after_a_fault(void **state)
{
    Tool *tool = *state;
    Outcome o = train(tool, "cuda", "whole");
    check_code(&o, 0);
    tool->env[MORE] = "MDL_MOCK_FAIL_AT=250";
    o = train(tool, "cuda", "broken");
    check_code(&o, 5);
    check_has(o.err, "CUDA_ERROR_ILLEGAL_ADDRESS 700");
    check_has(o.err, "MDL_GPU_SYNC=1");
    assert_false(file_exists(tool_path(tool, "broken/checkpoints/step-40")));
    assert_true(file_exists(tool_path(tool, "broken/checkpoints/step-8")));
    tool->env[MORE] = "MDL_MOCK_FAIL_AT";
    o = train(tool, "cuda", "broken");
    check_code(&o, 0);
    check_same_weights(tool, "whole", "broken");
}

static void a_hanging_kernel_ends_the_program(void **state)
{
    Tool *tool = *state;
    tool->env[MORE] = "MDL_MOCK_HANG_AT=100";
    tool->env[MORE + 1] = "MDL_GPU_TIMEOUT=1";
    Outcome o = train(tool, "cuda", "hangs");
    check_code(&o, 5);
    check_has(o.err, "has not ended within 1 second");
    check_has(o.err, "MDL_GPU_TIMEOUT=SECONDS waits longer");
}

static void a_machine_without_a_gpu_says_so(void **state)
{
    Tool *tool = *state;
    tool->env[FIRST] = "MDL_LIBCUDA=/nowhere/libcuda.so.1";
    Outcome o = train(tool, "cuda", "none");
    check_code(&o, 5);
    check_has(o.err, "no CUDA driver: /nowhere/libcuda.so.1");
    check_has(o.err, "--device cpu");
}

/* Kernels of the driver over the emulator are slower one by one than as a graph. */
static void nothing_takes_negative_time(void **state)
{
    Tool *tool = *state;
    const char *out = GOOD(tool, "bench", "a.mdl", "--device", "cuda", "--seconds", "1");
    check_has(out, "  kernels ");
    assert_null(strstr(out, " -"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_plan_trains_on_all_devices),  TEST(nothing_takes_negative_time),
        TEST(training_goes_on_after_a_fault),  TEST(a_hanging_kernel_ends_the_program),
        TEST(a_machine_without_a_gpu_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

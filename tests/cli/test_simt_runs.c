/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_simt_runs.c: a plan for the CPU and a GPU is trained, evaluated and called on either, the GPU one made
 * of software. */
#include "tool.h"
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

/* The largest difference of an element, relative to the largest element. */
static double difference(Tool *tool, const char *a, const char *b)
{
    StFile *x = tool_tensors(tool, a), *y = tool_tensors(tool, b);
    double most = 0, size = 0;
    assert_int_equal(x->n, y->n);
    for (uint32_t t = 0; t < x->n; t++) {
        const StTensor *other = st_find(y, x->tensors[t].name);
        assert_non_null(other);
        for (size_t i = 0; i < st_count(&x->tensors[t]); i++) {
            double v = st_load(&x->tensors[t], i);
            most = fmax(most, fabs(v - st_load(other, i)));
            size = fmax(size, fabs(v));
        }
    }
    st_close(x);
    st_close(y);
    return most / size;
}

static void one_plan_runs_on_both(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "compile", "a.mdl", "-o", "cpu", "--target", "cpu:generic,cuda:sm_80");
    GOOD(tool, "compile", "a.mdl", "-o", "simt", "--target", "cpu:generic,cuda:sm_80");
    GOOD(tool, "train", "cpu", "--max-steps", "10", "--device", "cpu");
    GOOD(tool, "train", "simt", "--max-steps", "10", "--device", "simt");
    double d = difference(tool, "cpu/checkpoints/step-10/weights.safetensors",
                          "simt/checkpoints/step-10/weights.safetensors");
    if (!(d < 1e-4))
        fail_msg("after 10 steps weights differ by %g", d);
    /* on the other device from where it stood */
    GOOD(tool, "train", "cpu", "--device", "simt");
    GOOD(tool, "train", "simt", "--device", "cpu");
    d = difference(tool, "cpu/checkpoints/step-40/weights.safetensors",
                   "simt/checkpoints/step-40/weights.safetensors");
    if (!(d < 1e-3))
        fail_msg("at the end weights differ by %g", d);
    assert_string_equal(GOOD(tool, "eval", "cpu", "--device", "simt"),
                        GOOD(tool, "eval", "cpu", "--device", "cpu"));
}

/* Programs are compiled for the device that they are to run on. */
static void programs_run_on_the_device_that_is_named(void **state)
{
    Tool *tool = *state;
    GOOD(tool, "train", "a.mdl", "--device", "simt", "--arch", "sm_90a", "--max-steps", "2");
    check_has(
        GOOD(tool, "dump", arena_printf(tool->arena, "%s/plans/mlp.plan", tool_only_run(tool))),
        " for sm_90a; ");
    tool_batch(tool, "b.safetensors", &(BatchSpec){.n = 8, .image = true, .label = true});
    GOOD(tool, "grad", "a.mdl", "--batch", "b.safetensors", "--out", "c.safetensors");
    GOOD(tool, "grad", "a.mdl", "--batch", "b.safetensors", "--out", "s.safetensors", "--device",
         "simt");
    double d = difference(tool, "c.safetensors", "s.safetensors");
    if (!(d < 1e-5))
        fail_msg("gradients differ by %g", d);
    GOOD(tool, "bisect", "a.mdl", "--batch", "b.safetensors", "--device", "simt");
    check_has(GOOD(tool, "bench", "a.mdl", "--seconds", "1", "--device", "simt"), "sm_80");
    const char *json = GOOD(tool, "bench", "a.mdl", "--seconds", "1", "--device", "simt", "--json");
    check_has(json, "\"kernels\":[{\"name\":\"");
    check_has(json, "\"class\":\"gemm\",\"launches\":");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_plan_runs_on_both),
        TEST(programs_run_on_the_device_that_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

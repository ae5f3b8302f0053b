/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_dropout.c: one step with dropout, forward and backward, against PyTorch given the same masks
 * (tests/recorded/record_dropout.py): what was dropped gets no gradient, what was kept 1 / (1 - p) of it. */
#include "tool.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char program[] = MDL_SOURCE_DIR "/tests/recorded/dropout.mdl";
static const char numbers[] = MDL_SOURCE_DIR "/tests/recorded/dropout.safetensors";

static StFile *recorded(void)
{
    Err err = {0};
    StFile *f = st_open(numbers, &err);
    if (!f)
        fail_msg("%s", err.text);
    return f;
}

/* The tensors that begin with `prefix`, without it, as a file of their own. */
static void take(Tool *tool, const StFile *f, const char *prefix, const char *name)
{
    StTensor some[8];
    uint32_t n = 0;
    Err err = {0};
    for (uint32_t i = 0; i < f->n; i++) {
        if (strncmp(f->tensors[i].name, prefix, strlen(prefix)) != 0)
            continue;
        assert_true(n < COUNT(some));
        some[n] = f->tensors[i];
        some[n++].name += strlen(prefix);
    }
    if (!st_write(tool_path(tool, name), some, n, NULL, &err))
        fail_msg("%s", err.text);
}

static double gap(const StTensor *got, const StTensor *want)
{
    double d = 0, n = 0;
    assert_int_equal(st_count(got), st_count(want));
    for (size_t i = 0; i < st_count(want); i++) {
        double a = st_load(got, i), b = st_load(want, i);
        d += (a - b) * (a - b);
        n += b * b;
    }
    return sqrt(d / n);
}

static void check_step(Tool *tool, const char *how, double bound)
{
    StFile *want = recorded();
    take(tool, want, "batch.", "b.st");
    take(tool, want, "weight.", "w.st");
    const char *said =
        GOOD(tool, "grad", program, "--batch=b.st", "--weights=w.st", "--out=g.st", how);
    double loss = st_load(st_find(want, "loss"), 0);
    assert_true(fabs(strtod(strstr(said, "loss ") + 5, NULL) - loss) <= bound * loss);
    StFile *got = tool_tensors(tool, "g.st");
    static const char *const keys[] = {"inner", "weight", "outer"};
    for (size_t k = 0; k < COUNT(keys); k++) {
        const StTensor *g = st_find(got, keys[k]);
        const StTensor *kept = st_find(want, arena_printf(tool->arena, "kept.%s", keys[k]));
        assert_non_null(g);
        for (size_t i = 0; kept && i < st_count(kept); i++)
            assert_true((st_load(g, i) != 0) == (st_load(kept, i) != 0));
        double far = gap(g, st_find(want, arena_printf(tool->arena, "grad.%s", keys[k])));
        if (!(far <= bound))
            fail_msg("%s: gradient %g away", keys[k], far);
    }
    st_close(got);
    st_close(want);
}

static void interpreted(void **state)
{
    check_step(*state, "--reference", 1e-10);
}

static void compiled(void **state)
{
    check_step(*state, "--quiet", 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreted),
        cmocka_unit_test(compiled),
    };
    return cmocka_run_group_tests(tests, tool_setup, tool_teardown);
}

/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_initialisers.c: what parameters begin as, seen from outside: a model gives its own weights, which
 * `mdl call` fills, compiled and interpreted. Draws have the scale that torch.nn.init computes
 * (tests/recorded/init.safetensors), within what chance allows; functions of the indices have its values. */
#include "tool.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The result of a model is a tuple of these, in order; x is there because a function has an argument. */
static const char program[] =
    "module Weights() {\n"
    "  param a: [200, 300] ~ kaiming_normal(300)\n"
    "  param b: [200, 300] ~ kaiming_normal(200, a: 0.2)\n"
    "  param c: [200, 300] ~ xavier_normal(300, 200, gain: 5 / 3)\n"
    "  param d: [200, 300] ~ kaiming_uniform()\n"
    "  param e: [20, 30, 3, 3] ~ kaiming_uniform(0)\n"
    "  param f: [200, 300] ~ xavier_uniform()\n"
    "  param g: [20, 30, 3, 3] ~ xavier_uniform()\n"
    "  param h: [4, 3, 5] ~ dirac1d(5)\n"
    "  param i: [3, 4, 3, 3] ~ dirac2d(3)\n"
    "  param j: [4, 3] ~ eye()\n"
    "  param k: [50, 16] ~ sinusoids(16)\n"
    "  param l: [200, 300] ~ lecun_normal(300)\n"
    "  fn forward(x: f32[1]) = (a + x[0], b, c, d, e, f, g, h, i, j, k, l)\n"
    "}\n"
    "model weights = Weights()\n";

/* In the order of the program. The last is of no library here: its deviation is its definition. */
static const char *const recorded[] = {
    "kaiming_normal/std",  "kaiming_leaky/std",
    "xavier_normal/std",   "kaiming_uniform/bound",
    "kaiming_relu/bound",  "xavier_uniform/bound",
    "xavier_kernel/bound", "dirac1d/table",
    "dirac2d/table",       "eye/table",
    "sinusoids/table",
};

static void call(Tool *tool, const char *file, const char *how)
{
    static const float zero = 0;
    const StTensor x = {
        .name = "x", .dtype = DT_F32, .rank = 1, .dim = {1}, .data = &zero, .bytes = sizeof zero};
    Err err = {0};
    if (!st_write(tool_path(tool, "x.st"), &x, 1, NULL, &err))
        fail_msg("%s", err.text);
    GOOD(tool, "call", file, "weights", "--in=x.st", "--out=y.st", how);
}

typedef struct Moments {
    double mean, std, most;
} Moments;

static Moments moments(const StTensor *t)
{
    size_t n = st_count(t);
    Moments m = {0};
    for (size_t i = 0; i < n; i++) {
        double x = st_load(t, i);
        m.mean += x / (double)n;
        m.std += x * x / (double)n;
        m.most = fmax(m.most, fabs(x));
    }
    m.std = sqrt(m.std - m.mean * m.mean);
    return m;
}

/* Five standard errors: of the mean std / sqrt(n); of the deviation at most std / sqrt(2 n), which is what
 * a normal has, and the others less. */
static void check_moments(const char *name, const StTensor *t, double std)
{
    Moments m = moments(t);
    double noise = 5 * std / sqrt((double)st_count(t));
    if (!(fabs(m.mean) <= noise) || !(fabs(m.std - std) <= noise / sqrt(2)))
        fail_msg("%s: mean %g, std %g instead of %g", name, m.mean, m.std, std);
}

/* Of n draws the largest is below the bound, and above (1 - 1e-2) of it but once in 1e23. */
static void check_bound(const char *name, const StTensor *t, double bound)
{
    Moments m = moments(t);
    if (!(m.most <= bound * (1 + 1e-7)) || !(m.most >= bound * 0.99))
        fail_msg("%s: up to %g instead of %g", name, m.most, bound);
    check_moments(name, t, bound / sqrt(3));
}

static void check_table(const char *name, const StTensor *got, const StTensor *want)
{
    assert_int_equal(st_count(got), st_count(want));
    for (size_t i = 0; i < st_count(want); i++)
        if (!(fabs(st_load(got, i) - st_load(want, i)) <= 1e-6))
            fail_msg("%s[%zu]: %g instead of %g", name, i, st_load(got, i), st_load(want, i));
}

static void check_all(Tool *tool)
{
    Err err = {0};
    StFile *want = st_open(MDL_SOURCE_DIR "/tests/recorded/init.safetensors", &err);
    StFile *got = tool_tensors(tool, "y.st");
    assert_non_null(want);
    for (size_t i = 0; i < COUNT(recorded); i++) {
        const StTensor *w = st_find(want, recorded[i]);
        const StTensor *t = st_find(got, arena_printf(tool->arena, "out.%zu", i));
        assert_true(w && t);
        if (strstr(recorded[i], "/std"))
            check_moments(recorded[i], t, st_load(w, 0));
        else if (strstr(recorded[i], "/bound"))
            check_bound(recorded[i], t, st_load(w, 0));
        else
            check_table(recorded[i], t, w);
    }
    const StTensor *lecun = st_find(got, "out.11");
    check_moments("lecun_normal", lecun, 1 / sqrt(300));
    assert_true(moments(lecun).most <= 2 / 0.8796 / sqrt(300));
    st_close(got);
    st_close(want);
}

static void scales_are_those_of_torch(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "w.mdl", program);
    call(tool, "w.mdl", "--reference");
    check_all(tool);
    Bytes one = tool_read(tool, "y.st");
    call(tool, "w.mdl", "--seed=1");
    check_all(tool);
    Bytes other = tool_read(tool, "y.st");
    assert_true(one.n != other.n || memcmp(one.data, other.data, one.n) != 0);
}

/* Only the indices that a function reads are gone through; others are repeated. */
static void functions_are_called_as_often_as_needed(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "w.mdl",
               "module Weights() {\n"
               "  param a: [300, 1000, 7] ~ ((i, j, k) => 10 * k + (if k == 3 { 1 } else { 0 }))\n"
               "  buffer n: i32[3, 2] ~ ((i, j) => 2 * i + j)\n"
               "  fn forward(x: f32[1]) = (a[7, 5] + x[0], n)\n"
               "}\n"
               "model weights = Weights()\n");
    for (int how = 0; how < 2; how++) {
        call(tool, "w.mdl", how ? "--quiet" : "--reference");
        StFile *f = tool_tensors(tool, "y.st");
        for (size_t i = 0; i < 7; i++)
            assert_true(st_load(st_find(f, "out.0"), i) == (double)(10 * i + (i == 3)));
        for (size_t i = 0; i < 6; i++)
            assert_true(st_load(st_find(f, "out.1"), i) == (double)i);
        st_close(f);
    }
}

static void what_has_no_value_is_said(void **state)
{
    static const struct {
        const char *init, *says;
        int code;
    } cases[] = {
        {"row_mean()", "`a` begins as the mean of the rows that weights fill", 4},
        {"(i => 1 / (i - 2))", "division by zero", 1},
        {"(i => log(i - 1))", "E0205", 1},
    };
    Tool *tool = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        tool_write(tool, "w.mdl",
                   arena_printf(tool->arena,
                                "module Weights() {\n  param a: [3] ~ %s\n"
                                "  fn forward(x: f32[1]) = a + x[0]\n}\n"
                                "model weights = Weights()\n",
                                cases[i].init));
        for (int how = 0; how < 2; how++) {
            Outcome o = RUN(tool, "call", "w.mdl", "weights", "--in=x.st", "--out=y.st",
                            how ? "--quiet" : "--reference");
            check_code(&o, cases[i].code);
            check_has(o.err, cases[i].says);
        }
    }
}

static void endless_work_is_refused(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "w.mdl",
               "module Weights() {\n  param a: [5000, 5000] ~ ((i, j) => i * j)\n"
               "  fn forward(x: f32[1]) = a[0] + x[0]\n}\nmodel weights = Weights()\n");
    GOOD(tool, "check", "w.mdl");
    Outcome o = RUN(tool, "call", "w.mdl", "weights", "--in=x.st", "--out=y.st", "--reference");
    check_code(&o, 1);
    check_has(o.err, "error[E0109]: this function would be called for 25000000 elements of `a`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_are_those_of_torch),
        cmocka_unit_test(functions_are_called_as_often_as_needed),
        cmocka_unit_test(what_has_no_value_is_said),
        cmocka_unit_test(endless_work_is_refused),
    };
    return cmocka_run_group_tests(tests, tool_setup, tool_teardown);
}

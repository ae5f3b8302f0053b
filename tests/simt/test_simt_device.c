/* LIBS: mdl_test_emulator mdl_runtime mdl_plan mdl_base */
/* test_simt_device.c: a whole plan on the device simt: tables, loops, several phases; what $MDL_SIMT may
 * say; and what becomes of a fault. */
#include "emulator.h"
#include "runtime.h"
#include "sampleplan.h"
#include "setting.h"
#include "testdir.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The kernels of the sample plan, a block a task. */
static const char gpu_scale[] =
    "#define MDL_W 4\n#include \"mdl.h\"\n"
    "MDL_GPU_KERNEL(k_scale, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
    "    int64_t task = mdl_block(), i = mdl_thread();\n"
    "    if (i < 8)\n"
    "        ((float *)a->buf[2])[task * 8 + i] = ((const float *)a->buf[0])[task * 8 + i] *\n"
    "            ((const float *)a->buf[1])[i] + (float)a->block[1];\n}\n";

static const char gpu_total[] =
    "#define MDL_W 4\n#include \"mdl.h\"\n"
    "MDL_GPU_KERNEL(k_total_0, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
    "    float sum = 0;\n"
    "    if (mdl_thread())\n        return;\n"
    "    for (int64_t i = mdl_block(); i < a->block[0] * 8; i += a->tasks)\n"
    "        sum += ((const float *)a->buf[0])[i];\n"
    "    ((float *)a->workspace)[mdl_block()] = sum;\n}\n"
    "MDL_GPU_KERNEL(k_total_1, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
    "    float *s = MDL_SHARED(float, 0), sum = 0;\n"
    "    if (mdl_thread() < 16)\n        s[mdl_thread()] = ((const float "
    "*)a->workspace)[mdl_thread()];\n"
    "    mdl_syncthreads();\n"
    "    for (int i = 0; i < 16; i++)\n        sum += s[i];\n"
    "    if (mdl_thread() == 0)\n"
    "        *(float *)a->buf[1] = a->block[3] ? sum : *(float *)a->buf[1] + sum;\n}\n";

static const char gpu_step[] =
    "#define MDL_W 4\n#include \"mdl.h\"\n"
    "MDL_GPU_KERNEL(k_step, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
    "    const MdlRow *r = mdl_row(a, mdl_block());\n"
    "    float *w = (float *)r->p[0];\n    const float *g = (const float *)r->p[1];\n"
    "    for (int64_t i = mdl_thread(); i < r->n; i += 32)\n"
    "        w[i] -= (float)mdl_slot_f64(a, 2) * (g ? g[i] : 1.0f);\n}\n";

static const char gpu_row[] =
    "#define MDL_W 4\n#include \"mdl.h\"\n"
    "MDL_GPU_KERNEL(k_row, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
    "    int i = mdl_thread();\n    if (i < 8)\n"
    "        ((float *)a->buf[2])[i] = 2 * ((const float *)a->buf[1])[i] +\n"
    "            ((const float *)a->buf[0])[i];\n}\n";

static Plan *gpu_plan(Arena *arena, const char *scale)
{
    const char *const texts[] = {scale, gpu_total, gpu_step, gpu_row};
    PlanBuilder *b = sample_builder(arena, "sm_80");
    Err err = {0};
    b->targets.at[0].kind = PLAN_CUDA;
    for (uint32_t i = 0; i < COUNT(texts); i++)
        b->variants.at[i].source = planb_text(b, texts[i]);
    for (uint32_t i = 0; i < b->phases.n; i++) {
        b->phases.at[i].threads = 32;
        b->phases.at[i].team = 32;
        b->phases.at[i].shared = 64;
    }
    Bytes file = planb_finish(b);
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    return plan;
}

static Runtime *open_simt(const Plan *plan, const char *setting)
{
    Err err = {0};
    const RtOptions opt = {.device = RT_SIMT, .cache_dir = MDL_KERNEL_CACHE, .quiet = true};
    setenv("MDL_SIMT", setting, 1);
    Runtime *rt = rt_open(plan, &opt, &err);
    unsetenv("MDL_SIMT");
    if (!rt)
        fail_msg("%s", err.text);
    return rt;
}

enum { ROWS = 37, N = ROWS * SAMPLE_COLUMNS };

static void set_weights(Runtime *rt)
{
    RtLoan loan;
    Err err = {0};
    assert_true(rt_lend_state(rt, SS_WEIGHT, RT_WRITE, &loan, &err));
    for (int i = 0; i < SAMPLE_COLUMNS; i++)
        ((float *)loan.data)[i] = 1.0f / (float)(i + 3);
    assert_true(rt_return(rt, &loan, &err));
}

static void check_micro(Runtime *rt, const float *x)
{
    float part[SAMPLE_CHUNKS] = {0}, sum = 0;
    RtLoan loan;
    Err err = {0};
    assert_true(rt_lend_result(rt, SE_MICRO, 0, &loan, &err));
    for (int i = 0; i < N; i++) {
        float want = x[i] * (1.0f / (float)(i % SAMPLE_COLUMNS + 3)) + 5.0f;
        assert_true(((const float *)loan.data)[i] == want);
        part[i % SAMPLE_CHUNKS] += want;
    }
    assert_true(rt_return(rt, &loan, &err));
    for (int i = 0; i < SAMPLE_CHUNKS; i++)
        sum += part[i];
    assert_true(rt_lend_result(rt, SE_MICRO, 1, &loan, &err));
    assert_true(*(const float *)loan.data == sum);
    assert_true(rt_return(rt, &loan, &err));
}

static void check_walk(Runtime *rt, const float *x)
{
    const void *inputs[] = {x};
    const int64_t rows = 3;
    RtLoan loan;
    Err err = {0};
    assert_true(rt_run(rt, SE_WALK, &(RtCall){.inputs = inputs, .syms = &rows}, &err));
    assert_true(rt_lend_result(rt, SE_WALK, 0, &loan, &err));
    for (int i = 0; i < SAMPLE_COLUMNS; i++) {
        float want = 1.0f / (float)(i + 3);
        for (int64_t r = rows; r-- > 0;)
            want = 2 * want + x[r * SAMPLE_COLUMNS + i];
        assert_true(((const float *)loan.data)[i] == want);
    }
    assert_true(rt_return(rt, &loan, &err));
}

static void run_plan(const char *setting)
{
    Arena *arena = arena_new();
    Plan *plan = gpu_plan(arena, gpu_scale);
    Runtime *rt = open_simt(plan, setting);
    _Alignas(64) float x[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)sin(i) * 1e3f;
    const void *inputs[] = {x};
    const int64_t syms[] = {ROWS};
    Err err = {0};
    set_weights(rt);
    const RtCall call = {.inputs = inputs, .syms = syms, .step = 5, .lr = 0.5, .first = true};
    assert_true(rt_run(rt, SE_MICRO, &call, &err));
    check_micro(rt, x);
    check_walk(rt, x);
    assert_true(rt_run(rt, SE_UPDATE, &call, &err));
    rt_close(rt);
    plan_free(plan);
    arena_free(arena);
}

static void a_plan_runs_in_every_mode(void **state)
{
    (void)state;
    run_plan("");
    run_plan("plain,seed=3");
    run_plan("check,seed=4");
    run_plan("check,orders=3");
    if (SIMT_HAS_ASAN)
        run_plan("asan");
}

/* The text of the first kernel with another expression. */
static const char *scale_with(Arena *arena, const char *old, const char *with)
{
    const char *at = strstr(gpu_scale, old);
    assert_non_null(at);
    return arena_printf(arena, "%.*s%s%s", (int)(at - gpu_scale), gpu_scale, with,
                        at + strlen(old));
}

/* Results cannot be had, and nothing else is run. */
static void assert_fails(const char *setting, const char *old, const char *with, const char *why)
{
    Arena *arena = arena_new();
    Plan *plan = gpu_plan(arena, scale_with(arena, old, with));
    Runtime *rt = open_simt(plan, setting);
    _Alignas(64) float x[N] = {0};
    const void *inputs[] = {x};
    const int64_t syms[] = {ROWS};
    Err err = {0};
    RtLoan loan;
    bool ran = rt_run(rt, SE_MICRO, &(RtCall){.inputs = inputs, .syms = syms}, &err) &&
               rt_lend_result(rt, SE_MICRO, 0, &loan, &err);
    assert_false(ran);
    assert_int_equal(err.kind, ERR_DEVICE);
    if (!strstr(err.text, "kernel scale") || !strstr(err.text, why))
        fail_msg("%s", err.text);
    rt_close(rt);
    plan_free(plan);
    arena_free(arena);
}

static void a_fault_fails_what_comes_behind(void **state)
{
    (void)state;
    assert_fails("check", "a->buf[1])[i]", "a->buf[1])[i + 100000]", "k_scale, line ");
    assert_fails("check", "a->buf[1])[i]", "a->buf[1])[i + 100000]",
                 "out of bounds: read of 4 bytes");
    /* What lies there is memory of another tensor. */
    assert_fails("check", "a->buf[1])[i]", "a->buf[1])[i + 8]",
                 "at fc.weight +32, which has 32 bytes");
    assert_fails("check", "[task * 8 + i] =", "[task * 4 + i] =", "race: write at ");
    assert_fails("orders=5", "(float)a->block[1]",
                 "(float)mdl_atomic_add_i32((int32_t *)a->workspace, 1)", "depend on the order");
}

static void assert_refused(const char *text)
{
    SimtSetting s;
    Err err = {0};
    assert_false(simt_setting(text, &s, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "$MDL_SIMT"));
}

static void settings_are_read(void **state)
{
    (void)state;
    SimtSetting s;
    Err err = {0};
    assert_true(simt_setting(NULL, &s, &err));
    assert_true(s.mode == SIMT_PLAIN && s.seed == 0 && s.orders == 1);
    assert_string_equal(s.arch, "sm_80");
    assert_true(simt_setting("check,seed=12,orders=7,arch=sm_90a", &s, &err));
    assert_true(s.mode == SIMT_CHECK && s.seed == 12 && s.orders == 7);
    assert_string_equal(s.arch, "sm_90a");
    assert_refused("chek");
    assert_refused("check,,");
    assert_refused("seed=");
    assert_refused("seed=1x");
    assert_refused("orders=0");
    assert_refused("orders=99999999999999999999999");
    assert_refused("arch=sm_70");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_runs_in_every_mode),
        cmocka_unit_test(a_fault_fails_what_comes_behind),
        cmocka_unit_test(settings_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

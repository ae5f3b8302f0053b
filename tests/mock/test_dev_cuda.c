/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_dev_cuda.c: dev_cuda.c as it is, over the stand-ins for driver and NVRTC: a plan runs with the
 * results of the CPU, and all that can go wrong has its message. */
#include "../unit/sampleplan.h"
#include "devices.h"
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "#define MDL_W 4\n#include \"mdl.h\"\n"

/* The sample's kernels for a GPU: four tasks a block, in teams of eight threads. */
static const char gpu_scale[] =
    HEAD "MDL_GPU_KERNEL(k_scale, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
         "    int64_t task = (int64_t)mdl_block() * 4 + mdl_thread() / 8;\n"
         "    int i = mdl_thread() % 8;\n"
         "    if (task < a->block[0])\n"
         "        ((float *)a->buf[2])[task * 8 + i] = ((const float *)a->buf[0])[task * 8 + i] *\n"
         "            ((const float *)a->buf[1])[i] + (float)a->block[1];\n}\n";

static const char gpu_total[] =
    HEAD "MDL_GPU_KERNEL(k_total_0, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
         "    float *part = MDL_SHARED(float, 0), sum = 0;\n"
         "    if (mdl_thread() == 0)\n"
         "        for (int64_t i = mdl_block(); i < a->block[0] * 8; i += 16)\n"
         "            sum += ((const float *)a->buf[0])[i];\n"
         "    part[mdl_thread()] = sum;\n    mdl_syncthreads();\n"
         "    if (mdl_thread() == 1)\n"
         "        ((float *)a->workspace)[mdl_block()] = part[0];\n}\n"
         "MDL_GPU_KERNEL(k_total_1, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
         "    float sum = 0;\n    if (mdl_thread() != 0)\n        return;\n"
         "    for (int i = 0; i < 16; i++)\n        sum += ((const float *)a->workspace)[i];\n"
         "    float *out = (float *)a->buf[1];\n    *out = a->block[3] ? sum : *out + sum;\n}\n";

static const char gpu_step[] =
    HEAD "MDL_GPU_KERNEL(k_step, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
         "    const MdlRow *r = &a->row[mdl_block()];\n    float *w = (float *)r->p[0];\n"
         "    const float *g = (const float *)r->p[1];\n"
         "    float lr = (float)mdl_slot_f64(a, 2);\n"
         "    for (int64_t i = mdl_thread(); i < r->n; i += 32)\n"
         "        w[i] -= lr * (g ? g[i] : 1.0f);\n}\n";

static const char gpu_row[] = HEAD
    "MDL_GPU_KERNEL(k_row, 32, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n    int i = mdl_thread();\n"
    "    if (i < 8)\n        ((float *)a->buf[2])[i] = 2 * ((const float *)a->buf[1])[i] +\n"
    "            ((const float *)a->buf[0])[i];\n}\n";

static const char *const gpu_sources[] = {gpu_scale, gpu_total, gpu_step, gpu_row};

enum { ROWS = 37 };

typedef struct Gpu {
    Arena *arena;
    char dir[64];
} Gpu;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Gpu *g = NEW(arena, Gpu);
    g->arena = arena;
    memcpy(g->dir, "/tmp/mdl-test-cuda-XXXXXX", 26);
    *state = g;
    if (!mkdtemp(g->dir))
        return -1;
    setenv("MDL_LIBCUDA", MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so", 1);
    setenv("MDL_NVRTC", MDL_BINARY_DIR "/tests/mock/mdl_fakenvrtc.so", 1);
    setenv("MDL_CACHE", g->dir, 1);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "MDL_MOCK_ARCH", "MDL_MOCK_BYTES", "MDL_MOCK_VERSION", "MDL_MOCK_HANG", "MDL_MOCK_FAIL",
        "MDL_GPU_SYNC",  "MDL_GPU",        "MDL_GPU_TIMEOUT",  "MDL_LIBCUDA",   "MDL_GPU_CHAIN"};
    Gpu *g = *state;
    Err err = {0};
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
    bool ok = file_remove_tree(g->dir, &err);
    arena_free(g->arena);
    return ok ? 0 : -1;
}

static PlanBuilder *builder(Gpu *g)
{
    PlanBuilder *b = sample_builder(g->arena, "sm_80");
    b->targets.at[0].kind = PLAN_CUDA;
    for (uint32_t i = 0; i < COUNT(gpu_sources); i++) {
        b->variants.at[i].source = planb_text(b, gpu_sources[i]);
        b->variants.at[i].scratch = 0;
    }
    for (uint32_t i = 0; i < b->phases.n; i++) {
        b->phases.at[i].threads = b->phases.at[i].team = 32;
        b->phases.at[i].shared = 1024;
    }
    b->phases.at[0].team = 8;
    return b;
}

static Plan *plan_of(PlanBuilder *b)
{
    Bytes file = planb_finish(b);
    Err err = {0};
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    return plan;
}

static Runtime *open_plan(const Plan *plan)
{
    Err err = {0};
    const RtOptions opt = {.device = RT_CUDA, .quiet = true};
    Runtime *rt = rt_open(plan, &opt, &err);
    if (!rt)
        fail_msg("%s (%s)", err.text, err.help);
    return rt;
}

static void put_state(Runtime *rt, uint32_t state, const float *from)
{
    RtLoan loan;
    Err err = {0};
    assert_true(rt_lend_state(rt, state, RT_WRITE, &loan, &err));
    memcpy(loan.data, from, loan.bytes);
    assert_true(rt_return(rt, &loan, &err));
}

static void take_state(Runtime *rt, uint32_t state, float *to)
{
    RtLoan loan;
    Err err = {0};
    assert_true(rt_lend_state(rt, state, RT_READ, &loan, &err));
    memcpy(to, loan.data, loan.bytes);
    assert_true(rt_return(rt, &loan, &err));
}

static void fill(float *x, float *w)
{
    for (int i = 0; i < ROWS * SAMPLE_COLUMNS; i++)
        x[i] = (float)sin(i) * 1e3f;
    for (int i = 0; i < SAMPLE_COLUMNS; i++)
        w[i] = 1.0f / (float)(i + 3);
}

/* ---- what works ---- */

static void check_micro(Runtime *rt, const float *x, const float *w)
{
    float part[SAMPLE_CHUNKS] = {0}, sum = 0, got;
    RtLoan y;
    Err err = {0};
    assert_true(rt_lend_result(rt, SE_MICRO, 0, &y, &err));
    for (int i = 0; i < ROWS * SAMPLE_COLUMNS; i++) {
        float want = x[i] * w[i % SAMPLE_COLUMNS] + 5.0f;
        assert_true(((const float *)y.data)[i] == want);
        part[i % SAMPLE_CHUNKS] += want;
    }
    assert_true(rt_return(rt, &y, &err));
    for (int i = 0; i < SAMPLE_CHUNKS; i++)
        sum += part[i];
    take_state(rt, SS_SUM, &got);
    assert_true(got == sum);
}

static void a_plan_runs(void **state)
{
    Gpu *g = *state;
    Plan *plan = plan_of(builder(g));
    Runtime *rt = open_plan(plan);
    float x[ROWS * SAMPLE_COLUMNS], w[SAMPLE_COLUMNS], got[SAMPLE_COLUMNS];
    const void *inputs[] = {x};
    const int64_t syms[] = {ROWS};
    RtCall call = {.inputs = inputs, .syms = syms, .step = 5, .first = true, .lr = 0.5};
    Err err = {0};
    fill(x, w);
    put_state(rt, SS_WEIGHT, w);
    for (int i = 0; i < 300; i++) /* more than there are marks */
        assert_true(rt_run(rt, SE_MICRO, &call, &err));
    check_micro(rt, x, w);
    put_state(rt, SS_GRAD, x);
    assert_true(rt_run(rt, SE_UPDATE, &call, &err));
    take_state(rt, SS_WEIGHT, got);
    for (int i = 0; i < SAMPLE_COLUMNS; i++)
        assert_true(got[i] == w[i] - 0.5f * x[i]);
    take_state(rt, SS_BIAS, got);
    assert_true(got[3] == -0.5f);
    rt_close(rt);
    plan_free(plan);
}

static void a_loop_goes_round(void **state)
{
    Gpu *g = *state;
    Plan *plan = plan_of(builder(g));
    Runtime *rt = open_plan(plan);
    float x[ROWS * SAMPLE_COLUMNS], w[SAMPLE_COLUMNS];
    const void *inputs[] = {x};
    RtLoan got;
    Err err = {0};
    fill(x, w);
    put_state(rt, SS_WEIGHT, w);
    for (int64_t rows = 1; rows < 6; rows++) {
        assert_true(rt_run(rt, SE_WALK, &(RtCall){.inputs = inputs, .syms = &rows}, &err));
        assert_true(rt_lend_result(rt, SE_WALK, 0, &got, &err));
        for (int i = 0; i < SAMPLE_COLUMNS; i++) {
            float want = w[i];
            for (int64_t r = rows; r-- > 0;)
                want = 2 * want + x[r * SAMPLE_COLUMNS + i];
            assert_true(((const float *)got.data)[i] == want);
        }
        assert_true(rt_return(rt, &got, &err));
    }
    rt_close(rt);
    plan_free(plan);
}

static long count_of(const char *name)
{
    void *mock = dlopen(MDL_BINARY_DIR "/tests/mock/mdl_fakecuda.so", RTLD_NOW | RTLD_LOCAL);
    long (*count)(void);
    void *found = mock ? dlsym(mock, name) : NULL;
    assert_non_null(found);
    memcpy(&count, &found, sizeof(count));
    dlclose(mock);
    return count();
}

static long graphs(void)
{
    return count_of("mock_graphs");
}

/* From the second call on it is one graph, of the extents that it has; a watched call is not, nor the third,
 * which is timed. */
static void launches_are_kept(void **state)
{
    Gpu *g = *state;
    Plan *plan = plan_of(builder(g));
    Runtime *rt = open_plan(plan);
    float x[ROWS * SAMPLE_COLUMNS], w[SAMPLE_COLUMNS], got;
    const void *inputs[] = {x};
    int64_t rows = ROWS;
    RtCall call = {.inputs = inputs, .syms = &rows, .step = 5, .first = true};
    Err err = {0};
    long before = graphs();
    fill(x, w);
    put_state(rt, SS_WEIGHT, w);
    for (int i = 0; i < 4; i++)
        assert_true(rt_run(rt, SE_MICRO, &call, &err));
    assert_int_equal(graphs() - before, 2);
    check_micro(rt, x, w);
    assert_int_equal(rt_kernel_times(rt)[0].launches, 4);
    rows = 1;
    x[0] += 1;
    assert_true(rt_run(rt, SE_MICRO, &call, &err));
    take_state(rt, SS_SUM, &got);
    float first = got;
    call.step = 6; /* what changes from call to call is not kept */
    for (int i = 0; i < 3; i++)
        assert_true(rt_run(rt, SE_MICRO, &call, &err));
    take_state(rt, SS_SUM, &got);
    assert_true(fabsf(got - first - SAMPLE_COLUMNS) < 1e-3f);
    assert_int_equal(graphs() - before, 5);
    for (int i = 0; i < 3; i++)
        assert_true(rt_run(rt, SE_WALK, &call, &err));
    assert_int_equal(graphs() - before, 6);
    setenv("MDL_MOCK_FAIL", "k_total_1:700", 1);
    assert_false(rt_run(rt, SE_MICRO, &call, &err));
    assert_non_null(strstr(err.text, "running of the launches of micro: CUDA_ERROR_ILLEGAL"));
    rt_close(rt);
    plan_free(plan);
}

/* As often as is said, as one graph, and in its time by the clock of the GPU: in the mock a millisecond for each
 * of the three launches of a call, and for each of three events. */
static void calls_are_repeated(void **state)
{
    Gpu *g = *state;
    Plan *plan = plan_of(builder(g));
    Runtime *rt = open_plan(plan);
    float x[ROWS * SAMPLE_COLUMNS], w[SAMPLE_COLUMNS], once, got;
    const void *inputs[] = {x};
    const int64_t rows = ROWS;
    RtCall call = {.inputs = inputs, .syms = &rows};
    double seconds;
    Err err = {0};
    long before = graphs();
    fill(x, w);
    put_state(rt, SS_WEIGHT, w);
    assert_true(rt_run(rt, SE_MICRO, &call, &err));
    take_state(rt, SS_SUM, &once);
    for (uint32_t times = 2; times < 5; times++) { /* recorded, replayed and once more */
        assert_true(rt_repeat(rt, SE_MICRO, times, &seconds, &err));
        assert_true(fabs(seconds - 3e-3 * times - 3e-3) < 1e-6);
        assert_true(rt_repeat(rt, SE_MICRO, times, &seconds, &err));
    }
    assert_int_equal(graphs() - before, 9);
    take_state(rt, SS_SUM, &got);
    assert_true(fabsf(got - 28 * once) <= 1e-4f * fabsf(got));
    setenv("MDL_MOCK_FAIL", "k_total_1:700", 1);
    assert_false(rt_repeat(rt, SE_MICRO, 4, &seconds, &err));
    assert_non_null(strstr(err.text, "CUDA_ERROR_ILLEGAL"));
    rt_close(rt);
    plan_free(plan);
}

/* ---- launches before the end of another ---- */

/* The sample for a GPU that has them: each kernel but for `but` waits first, as its phases say. */
static PlanBuilder *chained(Gpu *g, const char *but)
{
    static const char open[] = "= MDL_ARGS;\n";
    PlanBuilder *b = builder(g);
    setenv("MDL_MOCK_ARCH", "90", 1);
    b->targets.at[0].isa = planb_text(b, "sm_90a");
    for (uint32_t i = 0; i < COUNT(gpu_sources); i++) {
        StrBuf sb = sb_new(g->arena);
        const char *text = gpu_sources[i];
        for (const char *at; (at = strstr(text, open)); text = at + strlen(open)) {
            const char *named = but ? strstr(text, but) : NULL;
            bool waits = !named || named > at;
            sb_printf(&sb, "%.*s%s%s", (int)(at - text), text, open,
                      waits ? "    mdl_grid_wait();\n    mdl_grid_launch();\n" : "");
        }
        sb_puts(&sb, text);
        b->variants.at[i].source = planb_text(b, sb_text(&sb));
    }
    for (uint32_t i = 0; i < b->phases.n; i++)
        b->phases.at[i].waits = 1;
    return b;
}

/* Calls of micro, each of three launches: how many were given before the end of another. */
static long chained_of(PlanBuilder *b, int calls)
{
    Plan *plan = plan_of(b);
    Runtime *rt = open_plan(plan);
    float x[ROWS * SAMPLE_COLUMNS], w[SAMPLE_COLUMNS];
    const void *inputs[] = {x};
    int64_t rows = ROWS;
    const RtCall call = {.inputs = inputs, .syms = &rows, .step = 5, .first = true};
    long before = count_of("mock_chained");
    Err err = {0};
    fill(x, w);
    put_state(rt, SS_WEIGHT, w);
    for (int i = 0; i < calls; i++)
        if (!rt_run(rt, SE_MICRO, &call, &err))
            fail_msg("%s", err.text);
    if (calls)
        check_micro(rt, x, w);
    for (int i = 0; i < 2; i++) /* in which copies stand between launches */
        assert_true(rt_run(rt, SE_WALK, &(RtCall){.inputs = inputs, .syms = &rows}, &err));
    rt_close(rt);
    plan_free(plan);
    return count_of("mock_chained") - before;
}

/* All but the first and what is behind copies, also of those that are recorded; of the third call, whose kernels are
 * timed, the second phase of one; the fourth is a graph that is there. */
static void launches_begin_early(void **state)
{
    Gpu *g = *state;
    long walks = chained_of(chained(g, NULL), 0);
    assert_int_equal(chained_of(chained(g, NULL), 1) - walks, 2);
    assert_int_equal(chained_of(chained(g, NULL), 4) - walks, 5);
    assert_in_range(walks, ROWS - 1, 2 * ROWS);
}

/* Not where the kernels do not wait, the driver is too old, or somebody wants to see them one by one. */
static void launches_begin_late(void **state)
{
    Gpu *g = *state;
    PlanBuilder *b = chained(g, NULL);
    for (uint32_t i = 0; i < b->phases.n; i++)
        b->phases.at[i].waits = 0;
    assert_int_equal(chained_of(b, 4), 0);
    setenv("MDL_MOCK_VERSION", "12020", 1);
    assert_int_equal(chained_of(chained(g, NULL), 4), 0);
    unsetenv("MDL_MOCK_VERSION");
    setenv("MDL_GPU_CHAIN", "0", 1);
    assert_int_equal(chained_of(chained(g, NULL), 4), 0);
    unsetenv("MDL_GPU_CHAIN");
    setenv("MDL_GPU_SYNC", "1", 1);
    assert_int_equal(chained_of(chained(g, NULL), 4), 0);
}

static Device *open_device(void)
{
    Err err = {0};
    Device *d = device_cuda.open(&(DeviceOptions){.quiet = true}, &err);
    if (!d)
        fail_msg("%s", err.text);
    return d;
}

/* A graph begins with a launch that waits, whatever the stream was given before it; so does what is behind a graph. */
static void graphs_begin_late(void **state)
{
    enum { ROW = 3, BYTES = SAMPLE_COLUMNS * sizeof(float) };
    Plan *plan = plan_of(chained(*state, NULL));
    Device *d = open_device();
    Err err = {0};
    Module *m = device_cuda.load(d, plan, 0, &err);
    void *buf[] = {device_cuda.alloc(d, BYTES, &err), device_cuda.alloc(d, BYTES, &err),
                   device_cuda.alloc(d, BYTES, &err)};
    const MdlArgs args = {.buf = buf};
    const int64_t tasks[] = {1};
    const LaunchSize size = {tasks, tasks};
    assert_true(m && buf[0] && buf[1] && buf[2]);
    long before = count_of("mock_chained");
    device_cuda.launch(d, m, ROW, &args, &size);
    device_cuda.launch(d, m, ROW, &args, &size);
    assert_int_equal(count_of("mock_chained") - before, 1);
    assert_true(device_cuda.record(d, 0, "it"));
    device_cuda.launch(d, m, ROW, &args, &size);
    device_cuda.recorded(d);
    device_cuda.launch(d, m, ROW, &args, &size);
    assert_int_equal(count_of("mock_chained") - before, 1);
    if (!device_cuda.sync(d, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < COUNT(buf); i++)
        device_cuda.free(d, buf[i], BYTES);
    device_cuda.unload(d, m);
    device_cuda.close(d);
    plan_free(plan);
}

/* Larger than what copies go through, and of odd size. */
static void large_copies_come_back(void **state)
{
    Gpu *g = *state;
    const size_t n = (9 << 20) + 13;
    Err err = {0};
    Device *d = open_device();
    char *from = arena_alloc(g->arena, n), *to = arena_alloc(g->arena, n);
    for (size_t i = 0; i < n; i++)
        from[i] = (char)(i * 7 + i / 1000);
    char *a = device_cuda.alloc(d, n, &err), *b = device_cuda.alloc(d, n, &err);
    assert_true(a && b);
    assert_true(device_cuda.upload(d, a, from, n, &err));
    memset(from, 0, n); /* it may change at once */
    device_cuda.copy(d, b, a, n);
    device_cuda.clear(d, a, n - 5);
    assert_true(device_cuda.download(d, to, b, n, &err));
    for (size_t i = 0; i < n; i++)
        assert_true(to[i] == (char)(i * 7 + i / 1000));
    assert_true(device_cuda.download(d, to, a, n, &err));
    assert_true(to[n - 6] == 0 && to[n - 5] == (char)((n - 5) * 7 + (n - 5) / 1000));
    assert_true(device_cuda.sync(d, &err));
    device_cuda.free(d, a, n);
    device_cuda.free(d, b, n);
    device_cuda.close(d);
}

/* The mock is as strict as it says: the host dies of a look at the device. */
static void memory_of_the_device_is_closed(void **state)
{
    UNUSED(state);
    Err err = {0};
    Device *d = open_device();
    volatile char *p = device_cuda.alloc(d, 100, &err);
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(p[3]);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    device_cuda.close(d);
}

/* ---- what goes wrong ---- */

static void assert_error(const Err *err, ErrKind kind, const char *text, const char *help)
{
    assert_int_equal(err->kind, kind);
    if (!strstr(err->text, text))
        fail_msg("expected \"%s\" in: %s", text, err->text);
    if (!strstr(err->help, help))
        fail_msg("expected \"%s\" in: %s", help, err->help);
}

static void assert_not_opened(PlanBuilder *b, ErrKind kind, const char *text, const char *help)
{
    Err err = {0};
    const RtOptions opt = {.device = RT_CUDA, .quiet = true};
    Plan *plan = plan_of(b);
    assert_null(rt_open(plan, &opt, &err));
    assert_error(&err, kind, text, help);
    plan_free(plan);
}

/* One call of the plan, which fails. */
static Err failing_run_of(PlanBuilder *b, uint32_t again)
{
    Plan *plan = plan_of(b);
    Runtime *rt = open_plan(plan);
    float x[ROWS * SAMPLE_COLUMNS], w[SAMPLE_COLUMNS];
    const void *inputs[] = {x};
    const int64_t syms[] = {ROWS};
    Err err = {0}, later = {0};
    fill(x, w);
    assert_false(rt_run(rt, SE_MICRO, &(RtCall){.inputs = inputs, .syms = syms}, &err));
    for (uint32_t i = 0; i < again; i++) /* it stays so, and nothing hangs */
        assert_false(rt_run(rt, SE_MICRO, &(RtCall){.inputs = inputs, .syms = syms}, &later));
    rt_close(rt);
    plan_free(plan);
    return err;
}

static Err failing_run(Gpu *g, uint32_t again)
{
    return failing_run_of(builder(g), again);
}

static void a_fault_of_a_kernel_is_told(void **state)
{
    setenv("MDL_MOCK_FAIL", "k_total_0:700", 1);
    Err err = failing_run(*state, 2);
    assert_error(&err, ERR_DEVICE,
                 "running of one of the 2 launches from k_total_0 to k_total_1: "
                 "CUDA_ERROR_ILLEGAL_ADDRESS 700",
                 "MDL_GPU_SYNC=1");
    setenv("MDL_GPU_SYNC", "1", 1);
    err = failing_run(*state, 1);
    assert_error(&err, ERR_DEVICE, "running of k_total_0: CUDA_ERROR_ILLEGAL_ADDRESS 700",
                 "bisect");
    setenv("MDL_MOCK_FAIL", "cuLaunchKernel:701", 1);
    err = failing_run(*state, 1);
    assert_error(&err, ERR_DEVICE, "cuLaunchKernel of k_scale:", "more than a block may have");
}

/* In a child: what hangs is left to the end of the process. */
/* One that is launched early, and does not wait: the mock's emulator sees it. */
static void a_kernel_must_wait_itself(void **state)
{
    PlanBuilder *b = chained(*state, "k_total_1");
    Err err = failing_run_of(b, 0);
    assert_error(&err, ERR_DEVICE, "running of", "bisect");
}

static void a_kernel_that_hangs_is_told(void **state)
{
    int status;
    setenv("MDL_MOCK_HANG", "k_total_0", 1);
    setenv("MDL_GPU_TIMEOUT", "1", 1);
    pid_t child = fork();
    if (child == 0) {
        Err err = failing_run(*state, 1);
        _exit(err.kind == ERR_DEVICE &&
                      strstr(err.text, "k_total_0 has not ended within 1 second") &&
                      strstr(err.help, "MDL_GPU_TIMEOUT")
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void memory_can_be_too_small(void **state)
{
    setenv("MDL_MOCK_BYTES", "1000", 1);
    assert_not_opened(builder(*state), ERR_DEVICE, "no memory for 0.00 GiB on Mock GPU", "batch");
}

static void a_machine_can_lack_things(void **state)
{
    Gpu *g = *state;
    setenv("MDL_MOCK_ARCH", "75", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "compute capability 7.5; 8.0 or later", "Ampere");
    setenv("MDL_MOCK_ARCH", "80", 1);
    setenv("MDL_MOCK_VERSION", "11080", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "is for CUDA 11.8; 12.0 or later", "newer driver");
    unsetenv("MDL_MOCK_VERSION");
    setenv("MDL_MOCK_FAIL", "cuInit:803", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "cuInit: ", "restart the machine");
    setenv("MDL_MOCK_FAIL", "cuDeviceGetCount:100", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "cuDeviceGetCount: ", "nvidia-smi");
    setenv("MDL_MOCK_FAIL", "cuModuleLoadData:200", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "cuModuleLoadData of k_", "MDL_NVRTC");
    setenv("MDL_MOCK_FAIL", "cuMemHostAlloc:2", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "cuMemHostAlloc: ", "smaller batch");
    setenv("MDL_LIBCUDA", "/nowhere/libcuda.so", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "no CUDA driver: /nowhere",
                      "GPUs of its host), or run with --device simt");
    setenv("MDL_LIBCUDA", "libm.so.6", 1);
    assert_not_opened(builder(g), ERR_DEVICE, "lacks cuInit", "driver for CUDA 12");
}

static void a_plan_can_be_for_another_gpu(void **state)
{
    PlanBuilder *b = builder(*state);
    b->targets.at[0].isa = planb_text(b, "sm_90a");
    assert_not_opened(b, ERR_DEVICE,
                      "kernels are for sm_90a; Mock GPU is of compute capability 8.0",
                      "--arch sm_80");
    b = builder(*state);
    b->phases.at[1].shared = 170000;
    assert_not_opened(b, ERR_DEVICE, "k_total_0 needs 170000 bytes of shared memory", "");
    setenv("MDL_MOCK_ARCH", "90", 1);
    Plan *plan = plan_of(b); /* newer ones run what is older, and have more */
    rt_close(open_plan(plan));
    plan_free(plan);
}

static void settings_can_be_wrong(void **state)
{
    setenv("MDL_GPU_TIMEOUT", "soon", 1);
    assert_not_opened(builder(*state), ERR_USAGE, "$MDL_GPU_TIMEOUT: `soon`", "");
    unsetenv("MDL_GPU_TIMEOUT");
    setenv("MDL_GPU", "first", 1);
    assert_not_opened(builder(*state), ERR_USAGE, "$MDL_GPU: `first`", "0 is the first");
    setenv("MDL_GPU", "3", 1);
    assert_not_opened(builder(*state), ERR_DEVICE, "no GPU 3: there is 1", "from 0 on");
    unsetenv("MDL_GPU");
    setenv("MDL_GPU_SYNC", "maybe", 1);
    assert_not_opened(builder(*state), ERR_USAGE, "$MDL_GPU_SYNC: `maybe`", "");
    unsetenv("MDL_GPU_SYNC");
    setenv("MDL_GPU_CHAIN", "2", 1);
    assert_not_opened(builder(*state), ERR_USAGE, "$MDL_GPU_CHAIN: `2`", "");
}

static void texts_can_be_refused(void **state)
{
    PlanBuilder *b = builder(*state);
    b->variants.at[2].source =
        planb_text(b, HEAD "/* refused */ MDL_GPU_KERNEL(k_step, 32, 0)\n{\n}\n");
    assert_not_opened(b, ERR_DEVICE, "NVRTC 12.99 refused step", "");
    b = builder(*state);
    b->variants.at[2].source = planb_text(b, HEAD "MDL_GPU_KERNEL(k_stop, 32, 0)\n{\n}\n");
    assert_not_opened(b, ERR_DATA, "kernel step of the plan does not define k_step", "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- times ---- */

static void nobody(void *user, uint32_t entry, uint32_t launch)
{
    UNUSED(user);
    UNUSED(entry);
    UNUSED(launch);
}

/* Launches that are waited for: one early call of each entry, and those that are watched. */
static void some_calls_are_timed(void **state)
{
    Plan *plan = plan_of(builder(*state));
    Runtime *rt = open_plan(plan);
    float x[ROWS * SAMPLE_COLUMNS] = {0};
    const void *inputs[] = {x};
    int64_t rows = ROWS;
    Err err = {0};
    for (uint64_t call = 1; call <= 8; call++) {
        rt_watch(rt, call == 7 ? nobody : NULL, NULL);
        assert_true(
            rt_run(rt, SE_MICRO, &(RtCall){.inputs = inputs, .syms = &rows, .first = true}, &err));
        for (uint32_t k = 0; k < 2; k++) {
            const RtKernelTime *t = &rt_kernel_times(rt)[k];
            assert_int_equal(t->launches, call);
            assert_int_equal(t->timed, (call >= 3) + (call >= 7));
            assert_true(t->timed ? t->seconds > 0 : t->seconds == 0);
        }
    }
    rt_close(rt);
    plan_free(plan);
}

/* ---- choosing it ---- */

/* The sample's own kernels as a second target. */
static void add_cpu(PlanBuilder *b)
{
    static const char *const sources[] = {sample_scale, sample_total, sample_step, sample_row};
    uint32_t n = b->variants.n, nphase = b->phases.n;
    PlanVariant *gpu = COPY_ARRAY(b->arena, PlanVariant, b->variants.at, n);
    planb_target(b, PLAN_CPU, "generic");
    VEC_LAST(&b->targets).workspace_bytes = 64;
    b->variants.n = 0;
    for (uint32_t i = 0; i < nphase; i++) {
        PlanPhase p = {.symbol = b->phases.at[i].symbol, .tasks = b->phases.at[i].tasks};
        VEC_PUSH(b->arena, &b->phases, p);
    }
    for (uint32_t k = 0; k < n; k++) {
        PlanVariant cpu = gpu[k];
        cpu.source = planb_text(b, sources[k]);
        cpu.phase0 += nphase;
        cpu.scratch = 32;
        b->kernels.at[k].variant0 = b->variants.n;
        VEC_PUSH(b->arena, &b->variants, gpu[k]);
        VEC_PUSH(b->arena, &b->variants, cpu);
    }
}

static uint32_t automatic_target(const Plan *plan)
{
    Err err = {0};
    Runtime *rt = rt_open(plan, &(RtOptions){.quiet = true, .threads = 1}, &err);
    if (!rt)
        fail_msg("%s", err.text);
    uint32_t target = rt_target(rt);
    rt_close(rt);
    return target;
}

static RtDevice automatic_device(void)
{
    RtHere here;
    Err err = {0};
    assert_true(rt_device_here(RT_AUTO, &here, &err));
    return here.device;
}

/* A GPU is taken where driver, device and NVRTC are there; what is asked for says what is missing. */
static void it_is_taken_where_it_works(void **state)
{
    PlanBuilder *b = builder(*state);
    RtHere here;
    Err err = {0};
    add_cpu(b);
    Plan *plan = plan_of(b);
    assert_int_equal(automatic_device(), RT_CUDA);
    assert_int_equal(automatic_target(plan), 0);
    assert_true(rt_device_here(RT_CUDA, &here, &err));
    assert_int_equal(here.kind, PLAN_CUDA);
    setenv("MDL_NVRTC", "/nowhere", 1);
    assert_int_equal(automatic_device(), RT_CPU);
    assert_int_equal(automatic_target(plan), 1);
    assert_true(rt_device_here(RT_CUDA, &here, &err));
    setenv("MDL_LIBCUDA", "/nowhere", 1);
    assert_int_equal(automatic_device(), RT_CPU);
    assert_int_equal(automatic_target(plan), 1);
    assert_false(rt_device_here(RT_CUDA, &here, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_taken_where_it_works, setup, teardown),
        cmocka_unit_test_setup_teardown(some_calls_are_timed, setup, teardown),
        TEST(a_plan_runs),
        TEST(a_loop_goes_round),
        TEST(launches_are_kept),
        TEST(calls_are_repeated),
        TEST(launches_begin_early),
        TEST(launches_begin_late),
        TEST(graphs_begin_late),
        TEST(a_kernel_must_wait_itself),
        TEST(large_copies_come_back),
        TEST(memory_of_the_device_is_closed),
        TEST(a_fault_of_a_kernel_is_told),
        TEST(a_kernel_that_hangs_is_told),
        TEST(memory_can_be_too_small),
        TEST(a_machine_can_lack_things),
        TEST(a_plan_can_be_for_another_gpu),
        TEST(settings_can_be_wrong),
        TEST(texts_can_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

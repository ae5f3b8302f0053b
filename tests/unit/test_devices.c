/* LIBS: mdl_test_far mdl_test_support mdl_runtime mdl_plan mdl_base */
/* test_devices.c: which device and target a plan runs on, and why not; runs and trainings give the same
 * bits on a device whose memory the host cannot see. */
#include "far.h"
#include "jit.h"
#include "sampleplan.h"
#include "testdir.h"
#include "tinyplan.h"

typedef struct Fixture {
    Arena *arena;
    const char *dir;
} Fixture;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    *f = (Fixture){arena, test_dir(arena, "devices")};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    file_remove_tree(f->dir, NULL);
    arena_free(f->arena);
    return 0;
}

static const RtOptions options = {
    .threads = 2, .cache_dir = MDL_BINARY_DIR "/tiny-cache", .quiet = true};

/* ---- which device ---- */

static void devices_have_names(void **state)
{
    UNUSED(state);
    RtDevice d = RT_CPU;
    assert_true(rt_device_find("auto", &d) && d == RT_AUTO);
    assert_true(rt_device_find("cpu", &d) && d == RT_CPU);
    assert_false(rt_device_find("gpu", &d));
    assert_string_equal(rt_device_name(RT_CPU), "cpu");
    assert_string_equal(rt_device_name(RT_AUTO), "auto");
    RtHere here;
    Err err = {0};
    assert_true(rt_device_here(RT_CPU, &here, &err));
    assert_int_equal(here.kind, PLAN_CPU);
    assert_true(jit_isa_rank(here.isa, NULL) > 0);
    assert_true(rt_device_here(RT_AUTO, &here, &err));
    assert_true(rt_prelude_hash(PLAN_CPU) && rt_prelude_hash(PLAN_CUDA));
    assert_true(rt_prelude_hash(PLAN_CPU) != rt_prelude_hash(PLAN_CUDA));
}

static Plan *finish(PlanBuilder *b)
{
    Bytes file = planb_finish(b);
    Err err = {0};
    Plan *plan = plan_from_bytes(file.data, file.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    return plan;
}

/* The same text for another target. */
static void add_target(PlanBuilder *b, const char *isa)
{
    uint32_t n = b->variants.n;
    PlanVariant *old = COPY_ARRAY(b->arena, PlanVariant, b->variants.at, n);
    planb_target(b, PLAN_CPU, isa);
    VEC_LAST(&b->targets).workspace_bytes = b->targets.at[0].workspace_bytes;
    b->variants.n = 0;
    for (uint32_t k = 0; k < n; k++) {
        b->kernels.at[k].variant0 = b->variants.n;
        VEC_PUSH(b->arena, &b->variants, old[k]);
        VEC_PUSH(b->arena, &b->variants, old[k]);
    }
}

static void expect_refusal(const Plan *plan, RtDevice device, ErrKind kind, const char *text,
                           const char *help)
{
    RtOptions opt = options;
    Err err = {0};
    opt.device = device;
    assert_null(rt_open(plan, &opt, &err));
    assert_int_equal(err.kind, kind);
    if (!strstr(err.text, text) || !strstr(err.help, help))
        fail_msg("%s\n%s", err.text, err.help);
}

static void refusals_say_what_to_do(void **state)
{
    Fixture *f = *state;
    PlanBuilder *b = sample_builder(f->arena, "generic");
    b->targets.at[0].isa = planb_text(b, "sm_80");
    b->targets.at[0].kind = PLAN_CUDA;
    for (uint32_t i = 0; i < b->phases.n; i++)
        b->phases.at[i].threads = b->phases.at[i].team = 32;
    Plan *plan = finish(b);
    expect_refusal(plan, RT_CPU, ERR_DEVICE, "no kernels for the device cpu: it is for cuda:sm_80",
                   "mdl compile FILE.mdl --target cuda:sm_80,cpu -o DIR");
    plan_free(plan);
    plan = finish(sample_builder(f->arena, "sse"));
    expect_refusal(plan, RT_AUTO, ERR_DATA, "unknown instruction set `sse`", "");
    plan_free(plan);
    if (jit_isa_rank("avx512", NULL))
        return;
    plan = finish(sample_builder(f->arena, "avx512"));
    expect_refusal(plan, RT_CPU, ERR_DEVICE, "for avx512, which this machine does not have",
                   "--target cpu:generic");
    plan_free(plan);
}

static void of_two_targets_the_best_runs(void **state)
{
    Fixture *f = *state;
    static const char *const others[] = {"sse", "avx2"};
    for (size_t i = 0; i < COUNT(others); i++) {
        PlanBuilder *b = sample_builder(f->arena, "generic");
        add_target(b, others[i]);
        Plan *plan = finish(b);
        Err err = {0};
        Runtime *rt = rt_open(plan, &options, &err);
        assert_non_null(rt);
        assert_int_equal(rt_target(rt), jit_isa_rank(others[i], NULL) ? 1 : 0);
        rt_close(rt);
        plan_free(plan);
    }
}

/* ---- memory of its own ---- */

/* A table that reads the input of its entry, and, in the loop, one that reads the row of the round. */
static PlanBuilder *builder_of_tables(Arena *arena)
{
    PlanBuilder *b = sample_builder(arena, "generic");
    b->entries.at[SE_UPDATE].ninput = 1;
    b->rows.at[1].tensor[1] = ST_X;
    PlanRow moving = b->rows.at[0];
    moving.tensor[1] = ST_ROW;
    PlanArg table = {.kind = PG_TABLE, .row0 = b->rows.n, .nrow = 2};
    VEC_PUSH(arena, &b->rows, moving);
    VEC_PUSH(arena, &b->rows, b->rows.at[1]);
    b->steps.at[4] = (PlanStep){PT_LAUNCH, 2, b->args.n, 1};
    VEC_PUSH(arena, &b->args, table);
    return b;
}

enum { ROWS = 5 };

/* All states and results, one after the other. */
static void put_all(Runtime *rt, uint32_t entry, StrBuf *out)
{
    const Plan *p = rt_plan(rt);
    Err err = {0};
    RtLoan at;
    for (uint32_t i = 0; i < p->nstates; i++) {
        assert_true(rt_lend_state(rt, i, RT_READ, &at, &err));
        sb_putn(out, at.data, at.bytes);
        assert_true(rt_return(rt, &at, &err));
    }
    for (uint32_t i = 0; i < p->entries[entry].nresult; i++) {
        assert_true(rt_lend_result(rt, entry, i, &at, &err));
        sb_putn(out, at.data, at.bytes);
        assert_true(rt_return(rt, &at, &err));
    }
}

static StrBuf run_entries(Fixture *f, const Plan *plan, const DeviceVtable *device)
{
    Err err = {0};
    StrBuf out = sb_new(f->arena);
    Runtime *rt = rt_open_on(plan, device, &options, &err);
    if (!rt)
        fail_msg("%s", err.text);
    assert_true(rt_init(rt, 1, &err));
    for (int call = 0; call < 4; call++) {
        float x[ROWS * SAMPLE_COLUMNS];
        for (int i = 0; i < ROWS * SAMPLE_COLUMNS; i++)
            x[i] = (float)(i % 7 + call);
        const void *inputs[] = {x};
        int64_t rows = ROWS - call;
        for (uint32_t e = 0; e < plan->nentries; e++) {
            RtCall c = {.inputs = inputs, .syms = &rows, .step = call, .lr = 0.5, .first = !call};
            assert_true(rt_run(rt, e, &c, &err));
            put_all(rt, e, &out);
        }
    }
    double sum;
    assert_true(rt_state_number(rt, SS_SUM, &sum, &err));
    assert_true(sum != 0);
    rt_clear_state(rt, SS_SUM);
    assert_true(rt_state_number(rt, SS_SUM, &sum, &err));
    assert_true(sum == 0);
    rt_close(rt);
    return out;
}

static void entries_give_the_same_bits(void **state)
{
    Fixture *f = *state;
    PlanBuilder *builders[] = {sample_builder(f->arena, "generic"), builder_of_tables(f->arena)};
    for (size_t i = 0; i < COUNT(builders); i++) {
        Plan *plan = finish(builders[i]);
        StrBuf near = run_entries(f, plan, &device_cpu), far = run_entries(f, plan, &device_far);
        assert_int_equal(near.n, far.n);
        assert_memory_equal(near.text, far.text, near.n);
        plan_free(plan);
    }
}

/* Initial values, batches, checkpoints, going on: all of a run. */
static StrBuf train(Fixture *f, const Plan *plan, const DeviceVtable *device, int64_t steps)
{
    Err err = {0};
    StrBuf out = sb_new(f->arena);
    TrainResult result;
    TrainOptions opt = {
        .run_dir = path_join(f->arena, f->dir, device->name), .max_steps = steps, .quiet = true};
    Runtime *rt = rt_open_on(plan, device, &options, &err);
    if (!rt || !rt_train(rt, &opt, &result, &err))
        fail_msg("%s", err.text);
    put_all(rt, 0, &out);
    rt_close(rt);
    return out;
}

static void a_run_gives_the_same_bits(void **state)
{
    Fixture *f = *state;
    TinyOptions o = {.dir = f->dir, .d = 3, .steps = 12, .lr = 0.05, .save_every = 4};
    tiny_data(f->arena, &o);
    Plan *plan = tiny_plan(f->arena, &o);
    for (int64_t steps = 6; steps <= 12; steps += 6) {
        StrBuf near = train(f, plan, &device_cpu, steps), far = train(f, plan, &device_far, steps);
        assert_int_equal(near.n, far.n);
        assert_memory_equal(near.text, far.text, near.n);
    }
    static const char *const names[] = {"weights.safetensors", "state.safetensors"};
    for (size_t i = 0; i < COUNT(names); i++) {
        Bytes a, b;
        Err err = {0};
        const char *file = arena_printf(f->arena, "checkpoints/step-12/%s", names[i]);
        const char *near = path_join(f->arena, f->dir, "cpu");
        const char *far = path_join(f->arena, f->dir, "far");
        assert_true(file_read(f->arena, path_join(f->arena, near, file), 1 << 20, &a, &err));
        assert_true(file_read(f->arena, path_join(f->arena, far, file), 1 << 20, &b, &err));
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.data, b.data, a.n);
    }
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(devices_have_names, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_say_what_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(of_two_targets_the_best_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_give_the_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_gives_the_same_bits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

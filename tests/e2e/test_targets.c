/* LIBS: mdl_test_courses mdl_test_far mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_targets.c: a plan of two targets runs in either variant; a device whose memory the host cannot see
 * gives the same bits. */
#include "courses.h"
#include "far.h"
#include "jit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 3 };

/* All states after a few updates. */
static Value **train(Lab *lab, const RecordedModel *model, const MachineOptions *opt)
{
    Machine m = machine_of_model(lab, model, opt);
    World w = lab_world(lab, "weight.");
    w.lr = model->lr;
    machine_set_states(&m, &w);
    for (int i = 0; i < STEPS; i++) {
        w.step = i + 1;
        machine_run(&m, "micro", &w);
        machine_run(&m, "update", &w);
    }
    Value **states = machine_states(&m);
    machine_close(&m);
    return states;
}

typedef struct Difference {
    bool bits;
    double most; /* of parameters, relative to the norm of a tensor */
} Difference;

/* AdamW divides by the size of a gradient, also where it is nothing but rounding errors. */
static bool is_determined(const Lab *lab, const State *s)
{
    return s->kind == SK_PARAM && !gradient_vanishes(lab, s->key);
}

static Difference compare(const Lab *lab, Value *const *a, Value *const *b)
{
    Difference d = {0};
    for (uint32_t s = 0; s < lab->program->states.n; s++) {
        double norm = 0, sum = 0;
        for (int64_t i = 0; i < a[s]->count; i++) {
            double x = a[s]->at[i], y = b[s]->at[i];
            uint64_t bits[2];
            memcpy(&bits[0], &x, sizeof x);
            memcpy(&bits[1], &y, sizeof y);
            d.bits = d.bits || bits[0] != bits[1];
            norm += x * x;
            sum += (x - y) * (x - y);
        }
        if (norm > 0 && is_determined(lab, lab->program->states.at[s]))
            d.most = fmax(d.most, sqrt(sum / norm));
    }
    return d;
}

/* ---- targets ---- */

static int only_generic(Device *d, const char *isa, Err *err)
{
    return strcmp(isa, "generic") == 0 ? device_cpu.suits(d, isa, err) : 0;
}

static int only_avx2(Device *d, const char *isa, Err *err)
{
    return strcmp(isa, "avx2") == 0 ? device_cpu.suits(d, isa, err) : 0;
}

/* In whichever order the targets are, a variant is what a plan for its target alone would have. */
static void each_variant_computes_what_its_own_plan_does(void **state)
{
    static const CompileTarget both[] = {{PLAN_CPU, "generic"}, {PLAN_CPU, "avx2"}};
    UNUSED(state);
    if (!jit_isa_rank("avx2", NULL))
        skip();
    DeviceVtable generic = device_cpu, avx2 = device_cpu;
    generic.suits = only_generic;
    avx2.suits = only_avx2;
    MachineOptions alone = {.threads = 2, .cache = MDL_KERNEL_CACHE, .isa = "generic"};
    MachineOptions two = alone, other = alone;
    two.targets = other.targets = both;
    two.ntarget = other.ntarget = COUNT(both);
    two.device = &generic;
    other.device = &avx2;
    for (uint32_t i = 0; i < RECORDED_MODELS; i++) {
        const RecordedModel *model = &recorded_models[i];
        Lab *lab = lab_open_model(model);
        Value **want = train(lab, model, &alone);
        assert_false(compare(lab, want, train(lab, model, &two)).bits);
        Difference d = compare(lab, want, train(lab, model, &other));
        assert_true(d.bits); /* sums have another order: it was another variant */
        if (!(d.most < 1e-3))
            fail_msg("%s: %g", model->program, d.most);
        lab_close(lab);
    }
}

/* The groups of the CPU, and the kernels of a GPU. */
static void one_plan_runs_on_cpu_and_gpu(void **state)
{
    static const CompileTarget both[] = {{PLAN_CPU, "generic"}, {PLAN_CUDA, "sm_80"}};
    UNUSED(state);
    MachineOptions cpu = {.threads = 2,
                          .cache = MDL_KERNEL_CACHE,
                          .targets = both,
                          .ntarget = COUNT(both),
                          .device = &device_cpu};
    MachineOptions gpu = cpu;
    gpu.device = &device_simt;
    for (uint32_t i = 0; i < RECORDED_MODELS; i++) {
        const RecordedModel *model = &recorded_models[i];
        Lab *lab = lab_open_model(model);
        Difference d = compare(lab, train(lab, model, &cpu), train(lab, model, &gpu));
        assert_true(d.bits);
        if (!(d.most < 1e-3))
            fail_msg("%s: %g", model->program, d.most);
        lab_close(lab);
    }
}

static void the_best_variant_is_taken(void **state)
{
    static const CompileTarget both[] = {{PLAN_CPU, "generic"}, {PLAN_CPU, "avx2"}};
    UNUSED(state);
    if (!jit_isa_rank("avx2", NULL))
        skip();
    Lab *lab = lab_open_model(&recorded_models[0]);
    MachineOptions opt = {
        .threads = 1, .cache = MDL_KERNEL_CACHE, .targets = both, .ntarget = COUNT(both)};
    Machine m = machine_of_model(lab, &recorded_models[0], &opt);
    assert_int_equal(rt_target(m.rt), 1);
    machine_close(&m);
    lab_close(lab);
}

/* ---- memory ---- */

static void memory_of_its_own_changes_no_bit(void **state)
{
    UNUSED(state);
    if (getenv("MDL_TEST_ISA")) /* it is the CPU that has such memory */
        skip();
    for (uint32_t i = 0; i < RECORDED_MODELS; i++) {
        Lab *lab = lab_open_model(&recorded_models[i]);
        MachineOptions opt = {.threads = 1, .cache = MDL_KERNEL_CACHE};
        Value **want = train(lab, &recorded_models[i], &opt);
        opt.device = &device_far;
        assert_false(compare(lab, want, train(lab, &recorded_models[i], &opt)).bits);
        lab_close(lab);
    }
}

/* Models with all kinds of kernels, trained as they are recorded. */
static void a_training_with_memory_of_its_own_has_the_same_bits(void **state)
{
    static const char *const names[] = {"tiny_convnet", "tiny_llava_med"};
    UNUSED(state);
    if (getenv("MDL_TEST_ISA"))
        skip();
    for (size_t i = 0; i < COURSES * COUNT(names); i++) {
        const Course *c = &courses[i % COURSES];
        if (strcmp(c->stage, names[i / COURSES]) != 0)
            continue;
        Lab *lab = course_open(c);
        const DeviceVtable *devices[] = {&device_cpu, &device_far};
        Value **after[2];
        uint32_t n = lab->program->entries.n;
        Graph **graphs = NEW_ARRAY(lab->arena, Graph *, n);
        for (uint32_t e = 0; e < n; e++)
            graphs[e] = lab_pass(lab, lab->program->entries.at[e], PASS_pick);
        for (int d = 0; d < 2; d++) {
            double losses[STEPS];
            MachineOptions opt = {.threads = 2, .cache = MDL_KERNEL_CACHE, .device = devices[d]};
            Machine m = machine_of_graphs(lab, graphs, &opt);
            after[d] = course_train(&m, c, STEPS, losses);
            machine_close(&m);
        }
        course_same(lab, after[0], after[1], "memory of its own");
        lab_close(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_variant_computes_what_its_own_plan_does),
        cmocka_unit_test(one_plan_runs_on_cpu_and_gpu),
        cmocka_unit_test(the_best_variant_is_taken),
        cmocka_unit_test(memory_of_its_own_changes_no_bit),
        cmocka_unit_test(a_training_with_memory_of_its_own_has_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_recorded_compiled.c: the same recorded numbers by machine code in f32: every tensor within 1e-5
 * of its norm. Fusion, optional passes and instruction sets change values only within that bound,
 * and the number of threads changes no bit. */
#include "machine.h"
#include "opcases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const GradBound single = {.tensor = 1e-5, .vanishing = 1e-7};

/* ---- models ---- */

static void check_micro(const Machine *m, const World *w)
{
    const Lab *lab = m->lab;
    machine_set_states(m, w);
    Value **results = machine_run(m, "micro", w);
    const Graph *g = program_entry(lab->program, "micro");
    check_value("loss.sum", lab_result(g, results, "loss.sum"), lab_need(lab, "loss.sum"), 1e-5);
    check_value("loss.weight", lab_result(g, results, "loss.weight"), lab_need(lab, "loss.weight"),
                0);
    check_gradients(lab, machine_states(m), single);
}

static void check_options(const MachineOptions *opt)
{
    for (uint32_t i = 0; i < RECORDED_MODELS; i++) {
        Lab *lab = lab_open_model(&recorded_models[i]);
        Machine m = machine_of_model(lab, &recorded_models[i], opt);
        World w = lab_world(lab, "weight.");
        check_micro(&m, &w);
        machine_close(&m);
        lab_close(lab);
    }
}

static void test_gradients(void **state)
{
    UNUSED(state);
    check_options(&(MachineOptions){.threads = 1, .cache = MDL_KERNEL_CACHE});
}

static void test_gradients_generic(void **state)
{
    UNUSED(state);
    check_options(&(MachineOptions){.threads = 2, .cache = MDL_KERNEL_CACHE, .isa = "generic"});
}

static void test_gradients_without_optional_passes(void **state)
{
    UNUSED(state);
    check_options(&(MachineOptions){.threads = 2, .cache = MDL_KERNEL_CACHE, .skip = "simplify"});
    check_options(&(MachineOptions){.threads = 2, .cache = MDL_KERNEL_CACHE, .skip = "tidy"});
}

/* Each operation a kernel. */
static void test_gradients_unfused(void **state)
{
    UNUSED(state);
    MachineOptions opt = {.threads = 2, .cache = MDL_KERNEL_CACHE};
    for (uint32_t i = 0; i < RECORDED_MODELS; i++) {
        Lab *lab = lab_open_model(&recorded_models[i]);
        uint32_t n = lab->program->entries.n;
        Graph **graphs = NEW_ARRAY(lab->arena, Graph *, n);
        for (uint32_t e = 0; e < n; e++)
            graphs[e] = lab_unfused(lab, lab_pass(lab, lab->program->entries.at[e], PASS_tidy));
        Machine m = machine_of_graphs(lab, graphs, &opt);
        World w = lab_world(lab, "weight.");
        check_micro(&m, &w);
        machine_close(&m);
        lab_close(lab);
    }
}

/* ---- updates ---- */

/* A parameter whose gradient vanishes takes steps of the size of the learning rate in the direction
 * of rounding errors: AdamW divides by their size. It has no influence on the loss. */
static void check_after_5(const Machine *m)
{
    const Lab *lab = m->lab;
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        if (s->kind == SK_PARAM && !gradient_vanishes(lab, s->key))
            check_value(s->path, machine_state(m, i), lab_need(lab, "step5.%s", s->key), 1e-4);
    }
}

static Value **follow_losses(const Machine *m, World *w)
{
    const Value *losses = lab_need(m->lab, "losses");
    const Graph *micro = program_entry(m->lab->program, "micro");
    machine_set_states(m, w);
    for (int64_t i = 0; i < losses->count; i++) {
        Value **results = machine_run(m, "micro", w);
        double loss = lab_result(micro, results, "loss.sum")->at[0] /
                      lab_result(micro, results, "loss.weight")->at[0];
        if (!(fabs(loss - losses->at[i]) <= 1e-4 * losses->at[i]))
            fail_msg("step %d: loss %.9g, recorded %.9g", (int)i, loss, losses->at[i]);
        w->step = (double)i + 1;
        machine_run(m, "update", w);
        if (i == 4)
            check_after_5(m);
    }
    return machine_states(m);
}

static void test_updates_with_1_and_2_threads(void **state)
{
    UNUSED(state);
    for (uint32_t i = 0; i < RECORDED_MODELS; i++) {
        Lab *lab = lab_open_model(&recorded_models[i]);
        Value **after[2];
        for (int t = 0; t < 2; t++) {
            MachineOptions opt = {.threads = t + 1, .cache = MDL_KERNEL_CACHE};
            Machine m = machine_of_model(lab, &recorded_models[i], &opt);
            if (lab->target.kind == TK_CPU)
                assert_int_equal(rt_threads(m.rt), t + 1);
            World w = lab_world(lab, "weight.");
            w.lr = recorded_models[i].lr;
            after[t] = follow_losses(&m, &w);
            machine_close(&m);
        }
        for (uint32_t s = 0; s < lab->program->states.n; s++) {
            size_t bytes = (size_t)after[0][s]->count * sizeof(double);
            if (memcmp(after[0][s]->at, after[1][s]->at, bytes) != 0)
                fail_msg("%s depends on the number of threads", lab->program->states.at[s]->path);
        }
        lab_close(lab);
    }
}

/* ---- operations ---- */

/* Sums of cancelling terms are measured against what was summed, not against what is left. */
static const OpBound op_bound = {.bound = 1e-5, .floor = 0.05};

static void check_ops(const Machine *m)
{
    const Lab *lab = m->lab;
    World w = lab_world(lab, "");
    w.input_prefix = "";
    machine_set_states(m, &w);
    Value **results = machine_run(m, "micro", &w);
    opcases_check_results(lab, lab->program->entries.at[0], results, op_bound);
    opcases_check_gradients(lab, machine_states(m), op_bound);
}

static void check_file(const OpFile *file, const char *isa, bool fused)
{
    Lab *lab = opcases_open(file);
    Err err = {0};
    assert_true(lab_target(&lab->target, isa, &err));
    OpCases cases = opcases_list(lab);
    lab_program(lab, opcases_program(lab, &cases));
    const Graph *micro = lab->program->entries.at[0];
    Graph *graph =
        fused ? lab_pass(lab, micro, PASS_pick) : lab_unfused(lab, lab_pass(lab, micro, PASS_tidy));
    MachineOptions opt = {.threads = 2, .cache = MDL_KERNEL_CACHE};
    Machine m = machine_of_graphs(lab, &graph, &opt);
    check_ops(&m);
    machine_close(&m);
    lab_close(lab);
}

static void check_ops_on(const char *isa, bool fused)
{
    for (size_t k = 0; k < OP_FILES; k++)
        if (op_files[k].kernels && (fused || !op_files[k].loops))
            check_file(&op_files[k], isa, fused);
}

static void test_operations(void **state)
{
    UNUSED(state);
    check_ops_on(NULL, true);
}

static void test_operations_generic(void **state)
{
    UNUSED(state);
    check_ops_on("generic", true);
}

static void test_operations_unfused(void **state)
{
    UNUSED(state);
    check_ops_on(NULL, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_generic),
        cmocka_unit_test(test_gradients_without_optional_passes),
        cmocka_unit_test(test_gradients_unfused),
        cmocka_unit_test(test_updates_with_1_and_2_threads),
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_operations_generic),
        cmocka_unit_test(test_operations_unfused),
    };
    const struct CMUnitTest gpu[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_unfused),
        cmocka_unit_test(test_updates_with_1_and_2_threads),
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_operations_unfused),
    };
    if (getenv("MDL_TEST_ISA")) /* what the CPU's instruction sets do is seen without it */
        return cmocka_run_group_tests(gpu, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

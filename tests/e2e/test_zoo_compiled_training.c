/* LIBS: mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_zoo_compiled_training.c: every model of the zoo, made tiny, is trained for 100 steps by machine code
 * in f32 and follows the losses of its reference (tests/recorded/record_zoo.py, f64). Threads, repetition and
 * passes that promise the same bits change none. */
#include "machine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Course {
    const char *stage, *record;
    double lr;
    bool skips; /* is compiled once more without each optional pass */
} Course;

static const Course courses[] = {
    {"tiny_mlp", "mlp", 1e-3, true},    {"tiny_convnet", "convnet", 1e-3, false},
    {"tiny_vit", "vit", 3e-4, false},   {"tiny_bert", "bert", 2e-3, false},
    {"tiny_gpt2", "gpt2", 5e-4, true},  {"tiny_llama", "llama", 5e-4, false},
    {"tiny_clip", "clip", 1e-4, false}, {"tiny_llava_med", "llava_med", 1e-3, true},
};

static Lab *open_course(const Course *c)
{
    char file[64];
    snprintf(file, sizeof file, "zoo/%s.safetensors", c->record);
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
    Lab *lab = lab_open("tests/recorded/zoo/training.mdl", file, NULL, 0);
    Program *p = front_stage(lab->front, c->stage, planb_new(lab->arena));
    lab_clean(lab, c->stage);
    assert_non_null(p);
    lab_program(lab, p);
    return lab;
}

static Machine compile(Lab *lab, int threads, uint64_t skip)
{
    uint32_t n = lab->program->entries.n;
    Graph **graphs = NEW_ARRAY(lab->arena, Graph *, n);
    PassOptions opt = {.limit = -1, .skip = skip};
    for (uint32_t e = 0; e < n; e++) {
        graphs[e] = passes_run(lab->passes, lab->program->entries.at[e], &opt);
        lab_clean(lab, "passes");
        assert_non_null(graphs[e]);
    }
    return machine_of_graphs(lab, graphs,
                             &(MachineOptions){.threads = threads, .cache = MDL_KERNEL_CACHE});
}

/* n updates from the recorded weights on; losses: the mean loss before each. Returns all states. */
static Value **train(const Machine *m, const Course *c, int n, double *losses)
{
    World w = lab_world(m->lab, "weight.");
    const Graph *micro = program_entry(m->lab->program, "micro");
    w.input_prefix = "loss/in.";
    w.lr = c->lr;
    machine_set_states(m, &w);
    for (int i = 0; i < n; i++) {
        Value **results = machine_run(m, "micro", &w);
        losses[i] = lab_result(micro, results, "loss.sum")->at[0] /
                    lab_result(micro, results, "loss.weight")->at[0];
        w.step = i + 1;
        machine_run(m, "update", &w);
    }
    return machine_states(m);
}

static void test_losses(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COUNT(courses); k++) {
        Lab *lab = open_course(&courses[k]);
        Machine m = compile(lab, 1, 0);
        const Value *want = lab_need(lab, "loss/losses");
        assert_int_equal(want->count, 100);
        double got[100];
        train(&m, &courses[k], 100, got);
        for (int i = 0; i < 100; i++)
            if (!(fabs(got[i] - want->at[i]) <= 1e-4 * want->at[i]))
                fail_msg("%s, step %d: loss %.9g, recorded %.9g", courses[k].stage, i, got[i],
                         want->at[i]);
        machine_close(&m);
        lab_close(lab);
    }
}

static void same_states(const Lab *lab, Value *const *a, Value *const *b, const char *what)
{
    for (uint32_t s = 0; s < lab->program->states.n; s++)
        if (memcmp(a[s]->at, b[s]->at, (size_t)a[s]->count * sizeof(double)) != 0)
            fail_msg("%s: %s changes with %s", lab->program->name, lab->program->states.at[s]->path,
                     what);
}

/* Gradients; those that vanish are measured against the whole. */
static void near_gradients(const Lab *lab, Value *const *a, Value *const *b, const char *pass)
{
    double whole = 0;
    for (uint32_t s = 0; s < lab->program->states.n; s++)
        if (lab->program->states.at[s]->kind == SK_GRAD)
            whole = hypot(whole, value_norm(a[s]));
    for (uint32_t s = 0; s < lab->program->states.n; s++) {
        const State *grad = lab->program->states.at[s];
        double most = fmax(1e-5 * value_norm(a[s]), 1e-7 * whole);
        if (grad->kind == SK_GRAD && !(value_gap(b[s], a[s]) <= most))
            fail_msg("%s: %s without %s is off by %g, its norm is %g", lab->program->name,
                     grad->path, pass, value_gap(b[s], a[s]), value_norm(a[s]));
    }
}

enum { FEW = 3 };

static void test_threads(void **state)
{
    UNUSED(state);
    static const int threads[] = {1, 2, 4};
    for (size_t k = 0; k < COUNT(courses); k++) {
        Lab *lab = open_course(&courses[k]);
        Machine m = compile(lab, 1, 0);
        double losses[FEW];
        Value **first = train(&m, &courses[k], FEW, losses);
        machine_close(&m);
        for (size_t t = 0; t < COUNT(threads); t++) {
            m = compile(lab, threads[t], 0);
            same_states(lab, first, train(&m, &courses[k], FEW, losses), "the number of threads");
            machine_close(&m);
        }
        lab_close(lab);
    }
}

/* Without a pass that may be skipped: the same bits, or gradients as near as passes.def says. */
static void test_skipped(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COUNT(courses); k++) {
        Lab *lab = courses[k].skips ? open_course(&courses[k]) : NULL;
        if (!lab)
            continue;
        Machine m = compile(lab, 2, 0);
        double loss, other;
        Value **all = train(&m, &courses[k], 1, &loss);
        machine_close(&m);
        for (PassId p = 0; p < PASS_COUNT; p++) {
            if (pass_info(p)->need != OPTIONAL)
                continue;
            m = compile(lab, 2, UINT64_C(1) << p);
            Value **without = train(&m, &courses[k], 1, &other);
            if (pass_info(p)->bits == EXACT)
                same_states(lab, all, without, pass_info(p)->name);
            else
                near_gradients(lab, all, without, pass_info(p)->name);
            machine_close(&m);
        }
        lab_close(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_optim.c: three steps of every optimizer on parameters of all ranks as PyTorch has them
 * (tests/recorded/optim.mdl): by the f64 interpreter as elaborated and fused, and by machine code. Among them
 * are modules of the program itself, with states of other shapes and with parts. */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The stage says which parameters train. Also in the metadata of the file. */
typedef struct OptimCase {
    const char *name, *stage, *optimizer;
} OptimCase;

static const OptimCase cases[] = {
    {"adamw", "any", "adamw()"},
    {"adamw_all", "any", "adamw(betas: (0.8, 0.95), eps: 1e-6, weight_decay: 0.1)"},
    {"sgd", "any", "sgd(weight_decay: 0.1)"},
    {"sgd_nesterov", "any", "sgd(momentum: 0.9, nesterov: true)"},
    {"lion", "any", "lion()"},
    {"lion_all", "any", "lion(betas: (0.95, 0.98), weight_decay: 0.1)"},
    {"adafactor", "any", "adafactor()"},
    {"adafactor_all", "any", "adafactor(decay: 0.5, weight_decay: 0.1)"},
    {"muon", "matrices", "muon()"},
    {"muon_all", "matrices", "muon(momentum: 0.8, weight_decay: 0.1)"},
    {"by_rows", "rows", "by_rows(beta: 0.7)"},
    {"mixed", "any", "mixed()"},
};

enum { STEPS = 3, THREADS = 2 };

static Lab *open_case(const OptimCase *c)
{
    char set[120];
    snprintf(set, sizeof set, "train.net.optimizer=%s", c->optimizer);
    Lab *lab = lab_open("tests/recorded/optim.mdl", "optim.safetensors", (const char *[]){set}, 1);
    Program *p = front_stage(lab->front, c->stage, planb_new(lab->arena));
    lab_clean(lab, c->name);
    assert_non_null(p);
    lab_program(lab, p);
    return lab;
}

static World begin(const Lab *lab)
{
    World w = lab_world(lab, "weight.");
    w.lr = 0.02;
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        if (strcmp(s->path, "loss.weight") == 0)
            w.states[i]->at[0] = 1;
    }
    return w;
}

static void set_gradients(const Lab *lab, World *w, int step)
{
    w->step = step;
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        if (s->kind == SK_GRAD)
            w->states[i] = lab_need(lab, "grad.%d.%s", step, lab->program->states.at[s->of]->key);
    }
}

/* What trains is as recorded, what does not is as it was. */
static void check_parameters(const OptimCase *c, const Lab *lab, Value *const *states, int step,
                             double bound)
{
    uint32_t trained = 0;
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        if (s->kind != SK_PARAM)
            continue;
        const Value *want = lab_value(lab, "%s/%d.%s", c->name, step, s->key);
        trained += want != NULL;
        check_value(arena_printf(lab->arena, "%s: %s after step %d", c->name, s->path, step),
                    states[i], want ? want : lab_need(lab, "weight.%s", s->key), want ? bound : 0);
    }
    assert_true(trained >= 3);
}

static void check_interpreted(const OptimCase *c, int pass)
{
    Lab *lab = open_case(c);
    World w = begin(lab);
    const Graph *update = program_entry(lab->program, "update");
    update = pass < 0 ? update : lab_pass(lab, update, pass);
    for (int step = 1; step <= STEPS; step++) {
        set_gradients(lab, &w, step);
        lab_run(lab, update, &w);
        check_parameters(c, lab, w.states, step, 1e-10);
    }
    lab_close(lab);
}

static void test_as_elaborated(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_interpreted(&cases[i], -1);
}

static void test_fused(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_interpreted(&cases[i], PASS_pick);
}

/* ---- compiled ---- */

static void check_compiled(const OptimCase *c)
{
    Lab *lab = open_case(c);
    uint32_t n = lab->program->entries.n;
    Graph **graphs = NEW_ARRAY(lab->arena, Graph *, n);
    for (uint32_t e = 0; e < n; e++)
        graphs[e] = lab_pass(lab, lab->program->entries.at[e], PASS_pick);
    MachineOptions opt = {.threads = THREADS, .cache = MDL_KERNEL_CACHE};
    Machine m = machine_of_graphs(lab, graphs, &opt);
    World w = begin(lab);
    for (int step = 1; step <= STEPS; step++) {
        set_gradients(lab, &w, step);
        machine_set_states(&m, &w);
        machine_run(&m, "update", &w);
        w.states = machine_states(&m);
        check_parameters(c, lab, w.states, step, 2e-5);
    }
    machine_close(&m);
    lab_close(lab);
}

static void test_compiled(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_compiled(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_elaborated),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_compiled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

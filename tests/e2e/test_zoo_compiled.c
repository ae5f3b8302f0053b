/* LIBS: mdl_test_zoo mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_zoo_compiled.c: models of models/ against their references by machine code in f32. */
#include "machine.h"
#include "zoo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const double single = 1e-5;
static const GradBound single_grad = {.tensor = 1e-5, .vanishing = 1e-7};

static const MachineOptions machine = {.threads = 2, .cache = MDL_KERNEL_CACHE};

static void check_case(Lab *lab, const ZooCase *c)
{
    bool loss = zoo_is_loss(lab, c);
    Graph *g = loss ? zoo_training(lab, c) : zoo_call(lab, c);
    Graph *fused = lab_pass(lab, g, PASS_pick);
    Machine m = machine_of_graphs(lab, &fused, &machine);
    World w = zoo_world(lab, c);
    machine_set_states(&m, &w);
    zoo_check_results(lab, c, machine_run(&m, g->name, &w), single);
    if (loss)
        zoo_check_gradients(lab, c, machine_states(&m), single_grad);
    machine_close(&m);
}

static void test_compiled(void **state)
{
    UNUSED(state);
    for (uint32_t k = 0; k < zoo_count; k++) {
        const ZooModel *m = &zoo_models[k];
        Lab *lab = m->compiled ? zoo_open(m) : NULL;
        for (uint32_t i = 0; lab && i < ZOO_CASES && m->cases[i].name; i++)
            check_case(lab, &m->cases[i]);
        if (lab)
            lab_close(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compiled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_courses mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_zoo_compiled_training.c: every model of the zoo, made tiny, is trained for 100 steps by machine code
 * in f32 and follows the losses of its reference (tests/recorded/record_zoo.py, f64). Threads and
 * repetition change no bits. */
#include "courses.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static Machine compile(Lab *lab, int threads)
{
    uint32_t n = lab->program->entries.n;
    Graph **graphs = NEW_ARRAY(lab->arena, Graph *, n);
    for (uint32_t e = 0; e < n; e++)
        graphs[e] = lab_pass(lab, lab->program->entries.at[e], PASS_pick);
    return machine_of_graphs(lab, graphs,
                             &(MachineOptions){.threads = threads, .cache = MDL_KERNEL_CACHE});
}

static void test_losses(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COURSES; k++) {
        Lab *lab = course_open(&courses[k]);
        Machine m = compile(lab, 1);
        const Value *want = lab_need(lab, "loss/losses");
        assert_int_equal(want->count, 100);
        double got[100];
        course_train(&m, &courses[k], 100, got);
        for (int i = 0; i < 100; i++)
            if (!(fabs(got[i] - want->at[i]) <= 1e-4 * want->at[i]))
                fail_msg("%s, step %d: loss %.9g, recorded %.9g", courses[k].stage, i, got[i],
                         want->at[i]);
        machine_close(&m);
        lab_close(lab);
    }
}

enum { FEW = 3 };

static void test_threads(void **state)
{
    UNUSED(state);
    static const int threads[] = {1, 2, 4};
    for (size_t k = 0; k < COURSES; k++) {
        Lab *lab = course_open(&courses[k]);
        Machine m = compile(lab, 1);
        double losses[FEW];
        Value **first = course_train(&m, &courses[k], FEW, losses);
        machine_close(&m);
        for (size_t t = 0; t < COUNT(threads); t++) {
            m = compile(lab, threads[t]);
            course_same(lab, first, course_train(&m, &courses[k], FEW, losses),
                        "the number of threads");
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

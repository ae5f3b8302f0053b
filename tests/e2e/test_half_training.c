/* LIBS: mdl_test_courses mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_half_training.c: tiny models with 16-bit parameters, or products of rounded f32, trained by machine code of the CPU and of GPUs along
 * the curve of the interpreter, which rounds where the program says so, too. What differs is the order of sums
 * in f32, and now and then the 16-bit number that one of them is rounded to. */
#include "courses.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 20 };

static double mean_loss(const Graph *micro, Value **results)
{
    return lab_result(micro, results, "loss.sum")->at[0] /
           lab_result(micro, results, "loss.weight")->at[0];
}

static void interpret(Lab *lab, const Course *c, double *losses)
{
    const Graph *micro = lab_pass(lab, program_entry(lab->program, "micro"), PASS_tidy);
    const Graph *update = program_entry(lab->program, "update");
    World w = course_world(lab, c);
    w.bits = true;
    for (int i = 0; i < STEPS; i++) {
        losses[i] = mean_loss(micro, lab_run(lab, micro, &w));
        w.step = i + 1;
        lab_run(lab, update, &w);
    }
}

static void compile(Lab *lab, const Course *c, double *losses)
{
    uint32_t n = lab->program->entries.n;
    Graph **graphs = NEW_ARRAY(lab->arena, Graph *, n);
    for (uint32_t e = 0; e < n; e++)
        graphs[e] = lab_pass(lab, lab->program->entries.at[e], PASS_pick);
    Machine m =
        machine_of_graphs(lab, graphs, &(MachineOptions){.threads = 2, .cache = MDL_KERNEL_CACHE});
    course_train(&m, c, STEPS, losses);
    machine_close(&m);
}

/* Of what tests run on. $MDL_TEST_ISA: on that alone. */
static const char *const isas[] = {"", "sm_80", "sm_90a"};

static void check_curve(const Course *c, const char *precision, const double *want)
{
    double got[STEPS], most = 0;
    /* A loss that moves by more has more against it than numbers rounded the other way. */
    double unit = strcmp(precision, "bf16") == 0 ? 0x1p-8 : 0x1p-11; /* f16, tf32 */
    Lab *lab = course_open_as(c, precision);
    compile(lab, c, got);
    for (int i = 0; i < STEPS; i++) {
        most = fmax(most, fabs(got[i] - want[i]) / want[i]);
        if (!(fabs(got[i] - want[i]) <= unit * want[i]))
            fail_msg("%s in %s on %s, step %d: loss %.9g, by the interpreter %.9g", c->stage,
                     precision, lab->target.isa, i, got[i], want[i]);
    }
    print_message("%s in %s on %s: loss %.6f to %.6f, off by %.2g at most\n", c->stage, precision,
                  lab->target.isa, got[0], got[STEPS - 1], most);
    lab_close(lab);
}

static void check_course(const Course *c, const char *precision)
{
    const char *only = getenv("MDL_TEST_ISA");
    double want[STEPS];
    Lab *lab = course_open_as(c, precision);
    interpret(lab, c, want);
    lab_close(lab);
    for (size_t i = 0; i < COUNT(isas); i++) {
        if (!only && *isas[i])
            setenv("MDL_TEST_ISA", isas[i], 1);
        if (i == 0 || !only)
            check_curve(c, precision, want);
    }
    if (!only)
        unsetenv("MDL_TEST_ISA");
}

static void check(const char *stage, const char *precision)
{
    for (size_t k = 0; k < COURSES; k++)
        if (strcmp(courses[k].stage, stage) == 0)
            check_course(&courses[k], precision);
}

static void test_gpt2(void **state)
{
    UNUSED(state);
#ifndef __SANITIZE_ADDRESS__
    check("tiny_gpt2", "f16");
#endif
    check("tiny_gpt2", "bf16");
    check("tiny_gpt2", "tf32");
}

static void test_llava_med(void **state)
{
    UNUSED(state);
    check("tiny_llava_med", "bf16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llava_med),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

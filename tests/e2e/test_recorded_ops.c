/* LIBS: mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_recorded_ops.c: every operation and composite against PyTorch by the f64 interpreter: results
 * and gradients. A row of ops.def without a recorded case fails here. */
#include "opcases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const OpBound tight = {.bound = 1e-10, .floor = 1e-3};

/* ---- is everything there? ---- */

/* Rows that no function of ops.mdl can be about: leaves, structure, the global norm (the clipped updates
 * of the models have it), rows of states (tests/unit/test_modes.c),
 * and random numbers (tests/unit/test_rng.c). */
static bool needs_case(OpKind op)
{
    static const char *const elsewhere[] = {"input", "state",  "slot", "const",
                                            "sumsq", "update", "rng",  "randint"};
    for (size_t i = 0; i < COUNT(elsewhere); i++)
        if (strcmp(op_info(op)->name, elsewhere[i]) == 0)
            return false;
    OpClass cls = op_info(op)->cls;
    return cls != OC_CALL && cls != OC_TUPLE && cls != OC_GROUP;
}

static bool uses(const Graph *g, OpKind op)
{
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (g->nodes.at[i]->op == op)
            return true;
    return false;
}

static void mark_rows(const OpFile *file, bool *found)
{
    Lab *lab = opcases_open(file);
    OpCases cases = opcases_list(lab);
    for (uint32_t i = 0; i < cases.all.n; i++) {
        OpKind op;
        const char *name = cases.all.at[i].name;
        if (strncmp(name, "row_", 4) == 0 && op_find(name + 4, &op))
            found[op] = true;
    }
    lab_close(lab);
}

static void test_every_row_has_a_case(void **state)
{
    UNUSED(state);
    bool found[OP_COUNT] = {false};
    for (size_t i = 0; i < OP_FILES; i++)
        mark_rows(&op_files[i], found);
    for (OpKind op = 0; op < OP_COUNT; op++)
        if (needs_case(op) && !found[op])
            fail_msg("no case row_%s in tests/recorded: add it to an .mdl and its recorder",
                     op_info(op)->name);
}

/* A case is worth nothing when its graph has no such operation; of some only the gradient has. */
static void check_rows(const OpFile *file)
{
    Lab *lab = opcases_open(file);
    OpCases cases = opcases_list(lab);
    lab_program(lab, opcases_program(lab, &cases));
    const Graph *whole = lab_pass(lab, lab->program->entries.at[0], PASS_expand);
    for (uint32_t i = 0; i < cases.all.n; i++) {
        OpKind op;
        const char *name = cases.all.at[i].name;
        if (strncmp(name, "row_", 4) != 0 || !op_find(name + 4, &op))
            continue;
        if (!uses(opcase_entry(lab, &cases.all.at[i]), op) && !uses(whole, op))
            fail_msg("%s has no such operation", name);
    }
    lab_close(lab);
}

/* ---- results and gradients ---- */

static void check_results(const OpFile *file)
{
    Lab *lab = opcases_open(file);
    OpCases cases = opcases_list(lab);
    assert_true(cases.all.n >= file->least);
    for (uint32_t i = 0; i < cases.all.n; i++) {
        const OpCase *c = &cases.all.at[i];
        Program *p = opcase_call(lab, c);
        lab_program(lab, p);
        const Graph *g = p->entries.at[0];
        World w = {.input_prefix = arena_printf(lab->arena, "%s/in.", c->name)};
        Value **got = lab_run(lab, g, &w);
        for (uint32_t k = 0; k < g->results.n; k++) {
            const Value *want = lab_need(lab, "%s/%s", c->name, g->results.at[k].name);
            bool exact = !dtype_is_float(g->results.at[k].node->type->dtype);
            check_value(c->name, got[k], want, exact ? 0 : 1e-12);
        }
    }
    lab_close(lab);
}

static void check_all_gradients(const OpFile *file)
{
    static const PassId stages[] = {PASS_autodiff, PASS_expand, PASS_tidy, PASS_pick};
    Lab *lab = opcases_open(file);
    OpCases cases = opcases_list(lab);
    lab_program(lab, opcases_program(lab, &cases));
    for (size_t i = 0; i < COUNT(stages) - (file->kernels ? 0 : 1); i++) {
        World w = lab_world(lab, "");
        w.input_prefix = "";
        const Graph *g = lab_pass(lab, lab->program->entries.at[0], (int)stages[i]);
        Value **results = lab_run(lab, g, &w);
        opcases_check_results(lab, g, results, tight);
        opcases_check_gradients(lab, w.states, tight);
    }
    lab_close(lab);
}

/* ---- for every file ---- */

static void test_cases_use_their_row(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < OP_FILES; i++)
        check_rows(&op_files[i]);
}

static void test_results(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < OP_FILES; i++)
        check_results(&op_files[i]);
}

static void test_gradients(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < OP_FILES; i++)
        check_all_gradients(&op_files[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_has_a_case),
        cmocka_unit_test(test_cases_use_their_row),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_special.c: numbers that are not ordinary, by the interpreter against PyTorch, element by element:
 * NaN where it has NaN, the same infinity, zeros of the same sign where a case is about elements. */
#include "opcases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const OpFile file = {"special", 80, false, false};

static bool same(const char *name, double got, double want)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (want == 0 && strncmp(name, "each_", 5) == 0)
        return got == 0 && signbit(got) == signbit(want);
    if (isinf(want) || want == 0)
        return got == want;
    return fabs(got - want) <= 1e-12 * fabs(want);
}

static void check(const OpCase *c, Sym result, const Value *got, const Value *want, uint32_t *bad)
{
    assert_int_equal(got->rank, want->rank);
    assert_int_equal(got->count, want->count);
    for (int64_t i = 0; i < want->count; i++) {
        if (same(c->name, got->at[i], want->at[i]))
            continue;
        print_error("%s/%s, element %lld: %.17g, expected %.17g\n", c->name, result, (long long)i,
                    got->at[i], want->at[i]);
        (*bad)++;
    }
}

static void test_special_numbers(void **state)
{
    UNUSED(state);
    Lab *lab = opcases_open(&file);
    OpCases cases = opcases_list(lab);
    uint32_t bad = 0;
    assert_true(cases.all.n >= file.least);
    for (uint32_t i = 0; i < cases.all.n; i++) {
        const OpCase *c = &cases.all.at[i];
        lab_program(lab, opcase_call(lab, c));
        const Graph *g = lab->program->entries.at[0];
        World w = {.input_prefix = arena_printf(lab->arena, "%s/in.", c->name)};
        Value **got = lab_run(lab, g, &w);
        for (uint32_t k = 0; k < g->results.n; k++)
            check(c, g->results.at[k].name, got[k],
                  lab_need(lab, "%s/%s", c->name, g->results.at[k].name), &bad);
    }
    lab_close(lab);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

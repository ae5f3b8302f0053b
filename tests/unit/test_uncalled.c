/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_uncalled.c: functions with free sizes: models looked at alone, sizes as values, and what is left
 * open. That mistakes in functions nobody calls are found is tests/errors/cases/uncalled.mdl. */
#include "elabcase.h"

static const char sizes[] = "module M() {\n"
                            "  param w: [2] ~ ones\n"
                            "  fn forward(x: [B, 2]) -> [B, 2] = x * B + (B * B - 1)\n"
                            "  fn half(x: [B, T]) = x as [B, T / 2, 2]\n"
                            "  fn list(x: [B]) = [1, 2]\n"
                            "}\n"
                            "model m = M()\n";

static void size_is_a_value(void **state)
{
    UNUSED(state);
    Lab l = lab_open(sizes);
    assert_int_equal(front_model_count(l.front), 1);
    assert_string_equal(front_model_name(l.front, 0), "m");
    Program *p = front_model(l.front, 0, false);
    assert_non_null(p);
    const Graph *g = program_entry(p, "m.forward");
    assert_non_null(g);
    int64_t *values = NEW_ARRAY(l.arena, int64_t, dim_sym_count(l.ir));
    for (uint32_t i = 0; i < dim_sym_count(l.ir); i++)
        values[i] = strcmp(dim_sym_at(l.ir, i)->name, "B") == 0 ? 3 : 1;
    Value *x = value_new(l.arena, g->inputs.at[0]->type, values);
    assert_int_equal(x->count, 6);
    for (int i = 0; i < 6; i++)
        x->at[i] = i;
    InterpBinding b = {.sym_values = values, .inputs = &x};
    Value *result;
    interp_run(g, l.arena, &b, &result, NULL);
    for (int i = 0; i < 6; i++)
        assert_true(result->at[i] == 3 * i + 8);
    lab_close(&l);
}

/* A function that cannot be decided, and one without tensors to give, have no entry. */
static void entries(void **state)
{
    UNUSED(state);
    Lab l = lab_open(sizes);
    Program *p = front_model(l.front, 0, true);
    assert_non_null(p);
    assert_int_equal(p->entries.n, 1);
    assert_int_equal(p->states.n, 1);
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_is_a_value),
        cmocka_unit_test(entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

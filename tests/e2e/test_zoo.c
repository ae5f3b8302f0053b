/* LIBS: mdl_test_zoo mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_zoo.c: every model of models/ against its reference by the f64 interpreter: the same keys, the
 * same results, the same gradients. */
#include "zoo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const double exact = 1e-10;
static const GradBound exact_grad = {.tensor = 1e-10, .vanishing = 1e-14};

static const ZooCase *case_at(const ZooModel *m, uint32_t i)
{
    return i < ZOO_CASES && m->cases[i].name ? &m->cases[i] : NULL;
}

/* Every tensor of the reference has its place, and no other is asked for. */
static void test_keys(void **state)
{
    UNUSED(state);
    for (uint32_t k = 0; k < zoo_count; k++) {
        Lab *lab = zoo_open(&zoo_models[k]);
        zoo_call(lab, &zoo_models[k].cases[0]);
        uint32_t published = 0, ours = 0;
        for (uint32_t i = 0; i < lab->file->n; i++)
            published += strncmp(lab->file->tensors[i].name, "weight.", 7) == 0;
        for (uint32_t i = 0; i < lab->program->states.n; i++) {
            const State *s = lab->program->states.at[i];
            if (s->key) {
                lab_need(lab, "weight.%s", s->key);
                ours++;
            }
        }
        if (ours != published)
            fail_msg("%s has %u tensors, its reference %u", zoo_models[k].record, ours, published);
        lab_close(lab);
    }
}

/* As elaborated, and as the kernels are cut. */
static void test_results(void **state)
{
    UNUSED(state);
    for (uint32_t k = 0; k < zoo_count; k++) {
        const ZooModel *m = &zoo_models[k];
        Lab *lab = zoo_open(m);
        for (uint32_t i = 0; case_at(m, i); i++) {
            Graph *g = zoo_call(lab, case_at(m, i));
            World w = zoo_world(lab, case_at(m, i));
            zoo_check_results(lab, case_at(m, i), lab_run(lab, g, &w), exact);
            Graph *fused = lab_pass(lab, g, m->compiled ? PASS_pick : PASS_tidy);
            zoo_check_results(lab, case_at(m, i), lab_run(lab, fused, &w), exact);
        }
        lab_close(lab);
    }
}

static void test_gradients(void **state)
{
    UNUSED(state);
    static const PassId stages[] = {PASS_autodiff, PASS_tidy};
    for (uint32_t k = 0; k < zoo_count; k++) {
        const ZooModel *m = &zoo_models[k];
        Lab *lab = zoo_open(m);
        for (uint32_t i = 0; case_at(m, i); i++) {
            const ZooCase *c = case_at(m, i);
            for (size_t s = 0; s < COUNT(stages) && zoo_is_loss(lab, c); s++) {
                Graph *g = lab_pass(lab, zoo_training(lab, c), (int)stages[s]);
                World w = zoo_world(lab, c);
                zoo_check_results(lab, c, lab_run(lab, g, &w), exact);
                zoo_check_gradients(lab, c, w.states, exact_grad);
            }
        }
        lab_close(lab);
    }
}

/* The head of each file says how to make it as small as it is here. */
static void test_settings_are_documented(void **state)
{
    UNUSED(state);
    for (uint32_t k = 0; k < zoo_count; k++) {
        const ZooModel *m = &zoo_models[k];
        Arena *arena = arena_new();
        Bytes text;
        Err err = {0};
        assert_true(
            file_read(arena, path_join(arena, MDL_SOURCE_DIR, m->program), 1 << 20, &text, &err));
        const char *head = arena_strndup(arena, (const char *)text.data, text.n);
        for (uint32_t i = 0; i < ZOO_SETTINGS && m->set[i]; i++)
            if (!strstr(head, m->set[i]) && !strstr(m->record, "_odd") &&
                strncmp(m->program, "models/", 7) == 0)
                fail_msg("%s does not say --set %s", m->program, m->set[i]);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_are_documented),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_precision.c: `precision = bf16` as PyTorch trains a bfloat16 module whose optimizer has f32 copies of the
 * parameters (tests/recorded/record_precision.py): the same numbers are rounded, so gradients have the same
 * bits. */
#include "lab.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static Lab *open_mlp(const char *precision)
{
    const char *const set[] = {"model.mlp.Hidden=12", "train.mlp.batch=6",
                               "train.mlp.optimizer=adamw(weight_decay: 0.1)", precision};
    Lab *lab = lab_open("examples/digits/mlp_mnist.mdl", "precision.safetensors", set, COUNT(set));
    lab_stage(lab);
    return lab;
}

static const State *state_at(const Lab *lab, const char *path)
{
    for (uint32_t i = 0; i < lab->program->states.n; i++)
        if (strcmp(lab->program->states.at[i]->path, path) == 0)
            return lab->program->states.at[i];
    return NULL;
}

static World begin(const Lab *lab)
{
    World w = lab_world(lab, "weight.");
    w.lr = 0.002;
    w.bits = true;
    return w;
}

static void check_bits(const char *what, const Value *got, const Value *want)
{
    assert_int_equal(got->count, want->count);
    for (int64_t i = 0; i < got->count; i++)
        if (got->at[i] != want->at[i])
            fail_msg("%s[%d]: %.9g, recorded %.9g", what, (int)i, got->at[i], want->at[i]);
}

static void test_types(void **state)
{
    UNUSED(state);
    static const struct {
        const char *precision, *param, *grad, *master; /* NULL: there is none */
    } cases[] = {
        {"train.mlp.precision=bf16", "bf16[12, 784]", "f32[12, 784]", "f32[12, 784]"},
        {"train.mlp.precision=f32", "f32[12, 784]", "f32[12, 784]", NULL},
        {"train.mlp.precision=f64", "f64[12, 784]", "f32[12, 784]", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Lab *lab = open_mlp(cases[i].precision);
        const State *m = state_at(lab, "fc1.weight.master");
        assert_string_equal(type_text(lab->ir, state_at(lab, "fc1.weight")->type), cases[i].param);
        assert_string_equal(type_text(lab->ir, state_at(lab, "fc1.weight.grad")->type),
                            cases[i].grad);
        assert_true(!m == !cases[i].master);
        if (m)
            assert_string_equal(type_text(lab->ir, m->type), cases[i].master);
        assert_string_equal(type_text(lab->ir, state_at(lab, "fc1.weight.m")->type),
                            "f32[12, 784]");
        lab_close(lab);
    }
}

static void test_gradients(void **state)
{
    UNUSED(state);
    static const PassId passes[] = {PASS_autodiff, PASS_tidy, PASS_pick};
    for (size_t i = 0; i < COUNT(passes); i++) {
        Lab *lab = open_mlp("train.mlp.precision=bf16");
        const Graph *g = lab_pass(lab, program_entry(lab->program, "micro"), (int)passes[i]);
        World w = begin(lab);
        lab_run(lab, g, &w);
        for (uint32_t k = 0; k < lab->program->states.n; k++) {
            const State *s = lab->program->states.at[k];
            if (s->kind == SK_GRAD)
                check_bits(s->path, w.states[k],
                           lab_need(lab, "grad.%s", lab->program->states.at[s->of]->key));
        }
        lab_close(lab);
    }
}

/* A parameter is always the rounding of its master. */
static void check_rounded(const Lab *lab, const World *w)
{
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        for (int64_t k = 0; s->kind == SK_MASTER && k < w->states[i]->count; k++) {
            uint16_t bits;
            dtype_store(DT_BF16, &bits, 0, w->states[i]->at[k]);
            assert_true(dtype_load(DT_BF16, &bits, 0) == w->states[s->of]->at[k]);
        }
    }
}

static void test_updates(void **state)
{
    UNUSED(state);
    Lab *lab = open_mlp("train.mlp.precision=bf16");
    const Graph *micro = lab_pass(lab, program_entry(lab->program, "micro"), PASS_pick);
    const Graph *update = lab_pass(lab, program_entry(lab->program, "update"), PASS_pick);
    World w = begin(lab);
    const Value *losses = lab_need(lab, "losses");
    for (int64_t i = 0; i < losses->count; i++) {
        Value **results = lab_run(lab, micro, &w);
        double loss = lab_result(micro, results, "loss.sum")->at[0] / 6;
        if (!(fabs(loss - losses->at[i]) <= 1e-5 * losses->at[i]))
            fail_msg("step %d: loss %.9g, recorded %.9g", (int)i, loss, losses->at[i]);
        w.step = (double)i + 1;
        lab_run(lab, update, &w);
        check_rounded(lab, &w);
        for (uint32_t k = 0; i == 4 && k < lab->program->states.n; k++) {
            const State *s = lab->program->states.at[k];
            if (s->kind == SK_MASTER)
                check_value(s->path, w.states[k],
                            lab_need(lab, "step5.%s", lab->program->states.at[s->of]->key), 1e-5);
        }
    }
    lab_close(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_recorded.c: the models of examples/digits, made tiny, by the f64 interpreter: logits, loss,
 * every gradient and 20 updates as PyTorch has them, before and after fusion; gradients also
 * against central differences. */
#include "../support/testrand.h"
#include "lab.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const GradBound exact = {.tensor = 1e-10, .vanishing = 1e-14};

static void check_model_loss(const Lab *lab, const Graph *g, Value **results)
{
    check_value("loss.sum", lab_result(g, results, "loss.sum"), lab_need(lab, "loss.sum"), 1e-10);
    check_value("loss.weight", lab_result(g, results, "loss.weight"), lab_need(lab, "loss.weight"),
                0);
}

static void test_gradients(void **state)
{
    UNUSED(state);
    static const PassId stages[] = {PASS_autodiff, PASS_expand, PASS_tidy, PASS_pick};
    for (uint32_t m = 0; m < RECORDED_MODELS; m++) {
        Lab *lab = lab_open_model(&recorded_models[m]);
        const Graph *micro = program_entry(lab->program, "micro");
        for (size_t i = 0; i < COUNT(stages); i++) {
            World w = lab_world(lab, "weight.");
            const Graph *g = lab_pass(lab, micro, (int)stages[i]);
            check_model_loss(lab, g, lab_run(lab, g, &w));
            check_gradients(lab, w.states, exact);
        }
        lab_close(lab);
    }
}

static void same_bits(const Lab *lab, const char *what, const World *a, const World *b)
{
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const Value *x = a->states[i], *y = b->states[i];
        assert_int_equal(x->count, y->count);
        if (memcmp(x->at, y->at, (size_t)x->count * sizeof *x->at) != 0)
            fail_msg("%s: %s has other bits", what, lab->program->states.at[i]->path);
    }
}

/* Groups compute what their operations would, in the same order. */
static void test_fusion_keeps_bits(void **state)
{
    UNUSED(state);
    static const char *const entries[] = {"micro", "update"};
    for (uint32_t m = 0; m < RECORDED_MODELS; m++) {
        Lab *lab = lab_open_model(&recorded_models[m]);
        World plain = lab_world(lab, "weight."), fused = lab_world(lab, "weight.");
        World single = lab_world(lab, "weight.");
        plain.lr = fused.lr = single.lr = recorded_models[m].lr;
        plain.step = fused.step = single.step = 1;
        for (size_t e = 0; e < COUNT(entries); e++) {
            const Graph *entry = program_entry(lab->program, entries[e]);
            const Graph *tidy = lab_pass(lab, entry, PASS_tidy);
            lab_run(lab, tidy, &plain);
            lab_run(lab, lab_pass(lab, entry, PASS_pick), &fused);
            same_bits(lab, "fused", &plain, &fused);
            lab_run(lab, lab_unfused(lab, tidy), &single);
            same_bits(lab, "a group for each operation", &plain, &single);
        }
        lab_close(lab);
    }
}

/* ---- logits, as `mdl call` computes them ---- */

static void test_logits(void **state)
{
    UNUSED(state);
    for (uint32_t m = 0; m < RECORDED_MODELS; m++) {
        Lab *lab = lab_open_model(&recorded_models[m]);
        const Value *image = lab_need(lab, "batch.image");
        CallInput in = {.name = "image", .dtype = DT_F32, .rank = image->rank, .dim = image->dim};
        const FrontCall call = {.function = recorded_models[m].name, .inputs = &in, .ninput = 1};
        bool blame;
        lab->program = front_call(lab->front, &call, &blame);
        lab_clean(lab, "front_call");
        lab_program(lab, lab->program);
        World w = lab_world(lab, "weight.");
        const Graph *g = lab_pass(lab, lab->program->entries.at[0], PASS_pick);
        check_value("logits", lab_result(g, lab_run(lab, g, &w), "out"), lab_need(lab, "logits"),
                    1e-10);
        lab_close(lab);
    }
}

/* ---- central differences ---- */

typedef struct Probe {
    const Lab *lab;
    const Graph *forward;
    World world;
} Probe;

static double loss_at(Probe *p, Value *x, const double *start, const Value *direction, double h)
{
    for (int64_t i = 0; i < x->count; i++)
        x->at[i] = start[i] + h * direction->at[i];
    return lab_result(p->forward, lab_run(p->lab, p->forward, &p->world), "loss.sum")->at[0];
}

/* The derivative along a random direction of one parameter, with the error of the difference
 * estimated from two step sizes. */
static void check_direction(Probe *p, const State *s, const Value *grad, TestRand *r)
{
    Value *x = p->world.states[s->id];
    Value *d = value_new(p->lab->arena, s->type, NULL);
    const double *start = COPY_ARRAY(p->lab->arena, double, x->at, x->count);
    double want = 0, h = 1e-4;
    for (int64_t i = 0; i < x->count; i++) {
        d->at[i] = rand_range(r, -1, 1);
        want += d->at[i] * grad->at[i];
    }
    double near = (loss_at(p, x, start, d, h) - loss_at(p, x, start, d, -h)) / (2 * h);
    double far = (loss_at(p, x, start, d, 2 * h) - loss_at(p, x, start, d, -2 * h)) / (4 * h);
    memcpy(x->at, start, (size_t)x->count * sizeof *start);
    double got = near + (near - far) / 3, bound = fabs(near - far) / 10 + 1e-9;
    if (!(fabs(got - want) <= bound) || bound > 1e-3 * (1 + fabs(want)))
        fail_msg("%s: gradient %.12g, difference %.12g, bound %g", s->path, want, got, bound);
}

static void test_central_differences(void **state)
{
    UNUSED(state);
    TestRand r = {11};
    for (uint32_t m = 0; m < RECORDED_MODELS; m++) {
        Lab *lab = lab_open_model(&recorded_models[m]);
        const Graph *micro = program_entry(lab->program, "micro");
        World at = lab_world(lab, "weight.");
        lab_run(lab, lab_pass(lab, micro, PASS_tidy), &at);
        Probe p = {.lab = lab, .forward = micro, .world = lab_world(lab, "weight.")};
        for (uint32_t i = 0; i < lab->program->states.n; i++) {
            const State *s = lab->program->states.at[i];
            if (s->kind == SK_PARAM)
                check_direction(&p, s, at.states[program_grad(lab->program, s->id)->id], &r);
        }
        lab_close(lab);
    }
}

/* ---- AdamW with weight decay and clipping ---- */

static void check_after_5(const Lab *lab, const World *w)
{
    for (uint32_t i = 0; i < lab->program->states.n; i++) {
        const State *s = lab->program->states.at[i];
        if (s->kind == SK_PARAM)
            check_value(s->path, w->states[i], lab_need(lab, "step5.%s", s->key), 1e-10);
    }
}

static void test_updates(void **state)
{
    UNUSED(state);
    for (uint32_t m = 0; m < RECORDED_MODELS; m++) {
        Lab *lab = lab_open_model(&recorded_models[m]);
        const Graph *micro = lab_pass(lab, program_entry(lab->program, "micro"), PASS_pick);
        const Graph *update = lab_pass(lab, program_entry(lab->program, "update"), PASS_pick);
        World w = lab_world(lab, "weight.");
        w.lr = recorded_models[m].lr;
        const Value *losses = lab_need(lab, "losses");
        assert_int_equal(losses->count, 20);
        for (int64_t i = 0; i < losses->count; i++) {
            Value **results = lab_run(lab, micro, &w);
            double loss = lab_result(micro, results, "loss.sum")->at[0] /
                          lab_result(micro, results, "loss.weight")->at[0];
            if (!(fabs(loss - losses->at[i]) <= 1e-9 * losses->at[i]))
                fail_msg("step %d: loss %.15g, recorded %.15g", (int)i, loss, losses->at[i]);
            w.step = (double)i + 1;
            lab_run(lab, update, &w);
            if (i == 4)
                check_after_5(lab, &w);
        }
        lab_close(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_fusion_keeps_bits),
        cmocka_unit_test(test_central_differences),
        cmocka_unit_test(test_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

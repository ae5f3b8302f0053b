/* courses.c: opens and trains the tiny models. */
#include "courses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const Course courses[COURSES] = {
    {"tiny_mlp", "mlp", 1e-3, false},   {"tiny_convnet", "convnet", 1e-3, false},
    {"tiny_vit", "vit", 3e-4, false},   {"tiny_bert", "bert", 2e-3, true},
    {"tiny_gpt2", "gpt2", 5e-4, true},  {"tiny_llama", "llama", 5e-4, true},
    {"tiny_clip", "clip", 1e-4, false}, {"tiny_llava_med", "llava_med", 1e-3, false},
};

Lab *course_open_as(const Course *c, const char *precision)
{
    char file[64], set[64];
    const char *const sets[] = {set};
    snprintf(file, sizeof file, "zoo/%s.safetensors", c->record);
    snprintf(set, sizeof set, "train.%s.precision=%s", c->stage, precision ? precision : "");
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
    Lab *lab = lab_open("tests/recorded/zoo/training.mdl", file, sets, precision ? 1 : 0);
    Program *p = front_stage(lab->front, c->stage, planb_new(lab->arena));
    lab_clean(lab, c->stage);
    assert_non_null(p);
    lab_program(lab, p);
    return lab;
}

Lab *course_open(const Course *c)
{
    return course_open_as(c, NULL);
}

World course_world(const Lab *lab, const Course *c)
{
    World w = lab_world(lab, "weight.");
    w.input_prefix = "loss/in.";
    w.lr = c->lr;
    return w;
}

Value **course_train(const Machine *m, const Course *c, int n, double *losses)
{
    World w = course_world(m->lab, c);
    const Graph *micro = program_entry(m->lab->program, "micro");
    machine_set_states(m, &w);
    for (int i = 0; i < n; i++) {
        Value **results = machine_run(m, "micro", &w);
        losses[i] = lab_result(micro, results, "loss.sum")->at[0] /
                    lab_result(micro, results, "loss.weight")->at[0];
        w.step = i + 1;
        machine_run(m, "update", &w);
    }
    return machine_states(m);
}

void course_same(const Lab *lab, Value *const *a, Value *const *b, const char *what)
{
    for (uint32_t s = 0; s < lab->program->states.n; s++)
        if (memcmp(a[s]->at, b[s]->at, (size_t)a[s]->count * sizeof(double)) != 0)
            fail_msg("%s: %s changes with %s", lab->program->name, lab->program->states.at[s]->path,
                     what);
}

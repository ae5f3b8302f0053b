/* LIBS: mdl_test_zoo mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_zoo_sizes.c: the models of models/ as large as they are published: numbers of parameters and
 * tensors. Nothing is computed. */
#include "zoo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- whole models ---- */

#define TEXT(n)                               \
    {"tokens", DT_I32, 2, (int64_t[]){1, n}}, \
    {                                         \
        "pos", DT_I32, 2, (int64_t[])         \
        {                                     \
            1, n                              \
        }                                     \
    }
#define FLAGS(name, n)                \
    {                                 \
        name, DT_BOOL, 2, (int64_t[]) \
        {                             \
            1, n                      \
        }                             \
    }
#define PICTURE(name, c, size)       \
    {                                \
        name, DT_F32, 4, (int64_t[]) \
        {                            \
            1, c, size, size         \
        }                            \
    }

typedef struct Whole {
    const char *program, *model;
    const char *set[4];
    CallInput in[5];
    int64_t parameters;
    uint32_t tensors;
} Whole;

static const Whole wholes[] = {
    {"models/mlp.mdl", "mlp", {0}, {PICTURE("image", 1, 28)}, 266610, 6},
    {"models/convnet.mdl", "convnet", {0}, {PICTURE("image", 1, 28)}, 61706, 10},
    {"models/vit.mdl", "vit", {0}, {PICTURE("image", 3, 224)}, 86567656, 200},
    {"models/clip_vit.mdl", "clip_vit", {0}, {PICTURE("image", 3, 336)}, 303507456, 391},
    {"models/clip_vit.mdl",
     "clip_vit",
     {"model.clip_vit.size=224"},
     {PICTURE("image", 3, 224)},
     303179776,
     391},
    {"models/bert.mdl", "bert", {0}, {TEXT(9), FLAGS("valid", 9)}, 109482240, 199},
    {"models/bert.mdl",
     "bert",
     {"model.bert.D=384", "model.bert.L=6", "model.bert.F=1536"},
     {TEXT(9), FLAGS("valid", 9)},
     22713216,
     103},
    {"models/clip.mdl",
     "clip",
     {0},
     {PICTURE("image", 3, 336), TEXT(77), {"last", DT_I32, 1, (int64_t[]){1}}},
     427944193,
     590},
};

static Program *elaborate_whole(Lab *lab, const Whole *m)
{
    uint32_t nin = 0;
    while (nin < COUNT(m->in) && m->in[nin].name)
        nin++;
    const FrontCall call = {.function = m->model, .inputs = m->in, .ninput = nin};
    bool blame;
    Program *p = front_call(lab->front, &call, &blame);
    lab_clean(lab, m->model);
    assert_non_null(p);
    assert_int_equal(p->entries.at[0]->inputs.n, nin);
    return p;
}

static Lab *open_whole(const Whole *m)
{
    ZooModel model = {.program = m->program};
    memcpy(model.set, m->set, sizeof m->set);
    return zoo_open(&model);
}

static int64_t elements(const Type *t)
{
    int64_t n = 1, d;
    for (uint32_t i = 0; i < t->rank; i++) {
        assert_true(dim_is_const(t->dims[i], &d));
        n *= d;
    }
    return n;
}

static void test_totals(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COUNT(wholes); k++) {
        Lab *lab = open_whole(&wholes[k]);
        const Program *p = elaborate_whole(lab, &wholes[k]);
        int64_t parameters = 0;
        uint32_t tensors = 0;
        for (uint32_t i = 0; i < p->states.n; i++) {
            parameters += p->states.at[i]->key ? elements(p->states.at[i]->type) : 0;
            tensors += p->states.at[i]->key != NULL;
        }
        if (parameters != wholes[k].parameters || tensors != wholes[k].tensors)
            fail_msg("%s %s has %lld parameters in %u tensors", wholes[k].program,
                     wholes[k].set[0] ? wholes[k].set[0] : "", (long long)parameters, tensors);
        lab_close(lab);
    }
}

/* ---- whole files ---- */

/* Data, stages and evaluations as well, at either size. */
static void test_files_are_right(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COUNT(wholes) + zoo_count; k++) {
        const ZooModel *tiny = &zoo_models[k < COUNT(wholes) ? 0 : k - COUNT(wholes)];
        Lab *lab = k < COUNT(wholes) ? open_whole(&wholes[k]) : zoo_open(tiny);
        bool partly = k >= COUNT(wholes) && strstr(tiny->record, "_odd");
        if (!partly && !front_check(lab->front))
            lab_clean(lab, "front_check");
        lab_close(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_right),
        cmocka_unit_test(test_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

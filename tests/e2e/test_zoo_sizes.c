/* LIBS: mdl_test_zoo mdl_test_lab mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_zoo_sizes.c: the models of models/ as large as they are published: numbers of parameters and
 * tensors, the keys of LLaVA-Med to the letter, what stages train. Nothing is computed. */
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
    {"models/gpt2.mdl", "gpt2", {0}, {TEXT(9)}, 124439808, 148},
    {"models/gpt2.mdl",
     "gpt2",
     {"model.gpt2.L=24", "model.gpt2.H=16", "model.gpt2.D=1024"},
     {TEXT(9)},
     354823168,
     292},
    {"models/llama.mdl", "llama", {0}, {TEXT(9)}, 6738415616, 291},
    {"models/mistral.mdl", "mistral", {0}, {TEXT(9)}, 7241732096, 291},
    {"models/llava_med.mdl",
     "llava",
     {0},
     {TEXT(600), PICTURE("images", 3, 336), FLAGS("slots", 600)},
     7566219264,
     686},
    {"models/llava_med_v1.mdl",
     "llava",
     {0},
     {TEXT(300), PICTURE("images", 3, 224), FLAGS("slots", 300)},
     7045826560,
     684},
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

/* ---- the keys of LLaVA-Med ---- */

typedef struct Keys {
    Arena *arena;
    VEC(const char *) all;
} Keys;

PRINTF_LIKE(2, 3)
static void add_key(Keys *k, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char text[160];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    VEC_PUSH(k->arena, &k->all, arena_strdup(k->arena, text));
}

static void add_both(Keys *k, const char *stem)
{
    add_key(k, "%s.weight", stem);
    add_key(k, "%s.bias", stem);
}

/* The decoder: no biases, two norms a layer. */
static void language_keys(Keys *k)
{
    static const char *const parts[] = {
        "input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
        "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
        "mlp.up_proj",      "mlp.down_proj",    "post_attention_layernorm"};
    add_key(k, "model.embed_tokens.weight");
    for (int n = 0; n < 32; n++)
        for (size_t i = 0; i < COUNT(parts); i++)
            add_key(k, "model.layers.%d.%s.weight", n, parts[i]);
    add_key(k, "model.norm.weight");
    add_key(k, "lm_head.weight");
}

#define TOWER "model.vision_tower.vision_tower.vision_model."

/* The tower: biases everywhere but at the patches; one name is misspelled, as published. */
static void tower_keys(Keys *k)
{
    static const char *const parts[] = {
        "layer_norm1",        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
        "self_attn.out_proj", "layer_norm2",      "mlp.fc1",          "mlp.fc2"};
    add_key(k, TOWER "embeddings.class_embedding");
    add_key(k, TOWER "embeddings.patch_embedding.weight");
    add_key(k, TOWER "embeddings.position_embedding.weight");
    add_both(k, TOWER "pre_layrnorm");
    add_both(k, TOWER "post_layernorm");
    for (int n = 0; n < 24; n++)
        for (size_t i = 0; i < COUNT(parts); i++) {
            char stem[120];
            snprintf(stem, sizeof stem, TOWER "encoder.layers.%d.%s", n, parts[i]);
            add_both(k, stem);
        }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_keys(const Whole *m, const char *const *projector)
{
    Lab *lab = open_whole(m);
    const Program *p = elaborate_whole(lab, m);
    Keys want = {.arena = lab->arena}, got = {.arena = lab->arena};
    language_keys(&want);
    tower_keys(&want);
    for (; *projector; projector++)
        add_both(&want, *projector);
    for (uint32_t i = 0; i < p->states.n; i++)
        if (p->states.at[i]->key)
            add_key(&got, "%s", p->states.at[i]->key);
    assert_int_equal(got.all.n, want.all.n);
    qsort(got.all.at, got.all.n, sizeof *got.all.at, by_text);
    qsort(want.all.at, want.all.n, sizeof *want.all.at, by_text);
    for (uint32_t i = 0; i < want.all.n; i++)
        assert_string_equal(got.all.at[i], want.all.at[i]);
    lab_close(lab);
}

static void test_llava_keys(void **state)
{
    UNUSED(state);
    static const char *const one[] = {"model.mm_projector", NULL};
    static const char *const two[] = {"model.mm_projector.0", "model.mm_projector.2", NULL};
    uint32_t found = 0;
    for (size_t i = 0; i < COUNT(wholes); i++) {
        bool v1 = strcmp(wholes[i].program, "models/llava_med_v1.mdl") == 0;
        if (v1 || strcmp(wholes[i].program, "models/llava_med.mdl") == 0) {
            check_keys(&wholes[i], v1 ? one : two);
            found++;
        }
    }
    assert_int_equal(found, 2);
}

/* ---- what stages train ---- */

typedef struct Trained {
    const char *program, *stage; /* BLOCK.STAGE */
    uint64_t parameters, tensors;
} Trained;

static const Trained trained[] = {
    {"models/bert.mdl", "bert", 108891648, 197},
    {"models/gpt2.mdl", "pretrain", 124439808, 148},
    {"models/clip.mdl", "clip", 427944193, 590},
    {"models/llava_med.mdl", "llava.align", 20979712, 4},
    {"models/llava_med.mdl", "llava.instruct", 7262711808, 295},
    {"models/llava_med.mdl", "llava.path_vqa", 7262711808, 295},
    {"models/llava_med_v1.mdl", "llava.align", 4198400 + 2 * 4096, 3},
    {"models/llava_med_v1.mdl", "llava.instruct", 6742646784, 293},
    {"models/llava_med_lora.mdl", "lora.align", 20979712, 4},
    {"models/llava_med_lora.mdl", "lora.instruct", 335544320 + 20979712, 448 + 4},
};

static void test_trained(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COUNT(trained); k++) {
        Lab *lab = open_whole(&(Whole){.program = trained[k].program});
        FrontStage s = {0};
        bool found = false;
        for (uint32_t i = 0; i < front_stage_count(lab->front) && !found; i++) {
            assert_true(front_stage_about(lab->front, i, &s));
            found = strcmp(s.path, trained[k].stage) == 0;
        }
        lab_clean(lab, trained[k].program);
        if (!found || s.elements != trained[k].parameters || s.tensors != trained[k].tensors)
            fail_msg("%s: %s trains %llu parameters in %llu tensors", trained[k].program,
                     found ? s.path : "nobody", (unsigned long long)s.elements,
                     (unsigned long long)s.tensors);
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
        bool partly = k >= COUNT(wholes) && tiny->partly;
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
        cmocka_unit_test(test_llava_keys),
        cmocka_unit_test(test_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

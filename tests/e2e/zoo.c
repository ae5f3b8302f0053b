/* zoo.c: the table of recorded models; functions of them as programs. */
#include "zoo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the table ---- */

const ZooModel zoo_models[] = {
    {.record = "mlp",
     .program = "models/mlp.mdl",
     .set = {"model.mlp.widths=[784, 8, 5, 10]"},
     .cases = {{"logits", "mlp"}},
     .compiled = true},
    {.record = "mlp",
     .program = "tests/recorded/zoo/losses.mdl",
     .set = {"model.mlp.widths=[784, 8, 5, 10]"},
     .cases = {{"loss", "mlp_loss"}},
     .compiled = true},
    {.record = "convnet",
     .program = "models/convnet.mdl",
     .set = {"model.convnet.C1=2", "model.convnet.C2=3", "model.convnet.F1=8",
             "model.convnet.F2=6"},
     .cases = {{"logits", "convnet"}},
     .compiled = true},
    {.record = "convnet",
     .program = "tests/recorded/zoo/losses.mdl",
     .set = {"model.convnet.C1=2", "model.convnet.C2=3", "model.convnet.F1=8",
             "model.convnet.F2=6"},
     .cases = {{"loss", "convnet_loss"}},
     .compiled = true},
    {.record = "convnet_odd",
     .partly = true,
     .program = "models/convnet.mdl",
     .set = {"model.convnet.size=17", "model.convnet.C1=2", "model.convnet.C2=3",
             "model.convnet.F1=8", "model.convnet.F2=6", "model.convnet.Out=4"},
     .cases = {{"logits", "convnet"}},
     .compiled = true},
    {.record = "vit",
     .program = "models/vit.mdl",
     .set = {"model.vit.size=12", "model.vit.P=4", "model.vit.D=16", "model.vit.L=2",
             "model.vit.H=2", "model.vit.F=24", "model.vit.Out=5"},
     .cases = {{"logits", "vit"}, {"hidden", "vit.hidden"}},
     .compiled = true},
    {.record = "vit",
     .program = "tests/recorded/zoo/losses.mdl",
     .set = {"model.vit.size=12", "model.vit.P=4", "model.vit.D=16", "model.vit.L=2",
             "model.vit.H=2", "model.vit.F=24", "model.vit.Out=5"},
     .cases = {{"loss", "vit_loss"}},
     .compiled = true},
    {.record = "clip_vit",
     .program = "models/clip_vit.mdl",
     .set = {"model.clip_vit.size=12", "model.clip_vit.P=4", "model.clip_vit.D=16",
             "model.clip_vit.L=3", "model.clip_vit.H=2", "model.clip_vit.F=24"},
     .cases = {{"pooled", "clip_vit"},
               {"hidden", "clip_vit.hidden"},
               {"features", "clip_vit.features"}},
     .compiled = true},
    {.record = "bert",
     .program = "models/bert.mdl",
     .set = {"model.bert.V=40", "model.bert.D=16", "model.bert.L=2", "model.bert.H=2",
             "model.bert.F=24", "model.bert.Ctx=12"},
     .cases = {{"hidden", "bert"},
               {"pair", "bert"},
               {"pooled", "bert.pooled"},
               {"sentence", "bert.sentence"}},
     .compiled = true},
    {.record = "bert",
     .program = "tests/recorded/zoo/losses.mdl",
     .set = {"model.bert.V=40", "model.bert.D=16", "model.bert.L=2", "model.bert.H=2",
             "model.bert.F=24", "model.bert.Ctx=12"},
     .cases = {{"loss", "bert_loss"}},
     .compiled = true},
    {.record = "clip",
     .program = "models/clip.mdl",
     .set = {"model.clip.E=8", "model.clip.size=12", "model.clip.P=4", "model.clip.D=16",
             "model.clip.L=2", "model.clip.H=2", "model.clip.F=24", "model.clip.V=40",
             "model.clip.Ctx=9", "model.clip.Dt=12", "model.clip.Lt=2", "model.clip.Ht=3",
             "model.clip.Ft=20"},
     .cases = {{"fit", "clip"},

               {"hidden", "clip.text.hidden"},
               {"caption", "clip.caption"},
               {"picture", "clip.picture"},
               {"loss", "clip.loss"}},
     .compiled = true},
    {.record = "gpt2",
     .program = "models/gpt2.mdl",
     .set = {"model.gpt2.V=40", "model.gpt2.D=16", "model.gpt2.L=2", "model.gpt2.H=2",
             "model.gpt2.Ctx=12"},
     .cases = {{"logits", "gpt2"}, {"packed", "gpt2"}},
     .compiled = true},
    {.record = "llama",
     .program = "models/llama.mdl",
     .set = {"model.llama.V=40", "model.llama.D=16", "model.llama.L=2", "model.llama.H=4",
             "model.llama.KV=2", "model.llama.F=24"},
     .cases = {{"logits", "llama"}, {"packed", "llama"}},
     .compiled = true},
    {.record = "mistral",
     .program = "models/mistral.mdl",
     .set = {"model.mistral.V=40", "model.mistral.D=16", "model.mistral.L=2", "model.mistral.H=4",
             "model.mistral.KV=2", "model.mistral.F=24"},
     .cases = {{"logits", "mistral"}},
     .compiled = true},
    {.record = "gpt2",
     .program = "tests/recorded/zoo/losses.mdl",
     .set = {"model.gpt2.V=40", "model.gpt2.D=16", "model.gpt2.L=2", "model.gpt2.H=2",
             "model.gpt2.Ctx=12"},
     .cases = {{"loss", "gpt2_loss"}},
     .compiled = true},
    {.record = "llama",
     .program = "tests/recorded/zoo/losses.mdl",
     .set = {"model.llama.V=40", "model.llama.D=16", "model.llama.L=2", "model.llama.H=4",
             "model.llama.KV=2", "model.llama.F=24"},
     .cases = {{"loss", "llama_loss"}},
     .compiled = true},
    {.record = "llava_med",
     .program = "models/llava_med.mdl",
     .set = {"model.llava.size=12", "model.llava.P=4", "model.llava.Dv=16", "model.llava.Lv=3",
             "model.llava.Hv=2", "model.llava.Fv=24", "model.llava.V=40", "model.llava.D=16",
             "model.llava.L=2", "model.llava.H=4", "model.llava.F=24", "model.llava.KV=2"},
     .cases = {{"logits", "llava"}},
     .compiled = true},
    {.record = "llava_med",
     .program = "tests/recorded/zoo/losses.mdl",
     .set = {"model.llava.size=12", "model.llava.P=4", "model.llava.Dv=16", "model.llava.Lv=3",
             "model.llava.Hv=2", "model.llava.Fv=24", "model.llava.V=40", "model.llava.D=16",
             "model.llava.L=2", "model.llava.H=4", "model.llava.F=24", "model.llava.KV=2"},
     .cases = {{"loss", "llava_loss"}},
     .compiled = true},
    {.record = "llava_med_v1",
     .partly = true,
     .program = "models/llava_med_v1.mdl",
     .set = {"model.llava.size=12", "model.llava.P=4", "model.llava.Dv=16", "model.llava.Lv=3",
             "model.llava.Hv=2", "model.llava.Fv=24", "model.llava.V=44", "model.llava.D=16",
             "model.llava.L=2", "model.llava.H=4", "model.llava.F=24", "let.known=\"[0..40]\""},
     .cases = {{"logits", "llava"}},
     .compiled = true},
};
const uint32_t zoo_count = COUNT(zoo_models);

/* ---- programs ---- */

Lab *zoo_open(const ZooModel *m)
{
    char name[64];
    snprintf(name, sizeof name, "zoo/%s.safetensors", m->record ? m->record : "");
    uint32_t nset = 0;
    while (nset < ZOO_SETTINGS && m->set[nset])
        nset++;
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
    return lab_open(m->program, m->record ? name : NULL, m->set, nset);
}

static Program *elaborate(const Lab *lab, const ZooCase *c)
{
    CallInput in[ZOO_INPUTS];
    uint32_t nin = 0;
    const char *prefix = arena_printf(lab->arena, "%s/in.", c->name);
    for (uint32_t i = 0; i < lab->file->n; i++) {
        const StTensor *t = &lab->file->tensors[i];
        if (strncmp(t->name, prefix, strlen(prefix)) != 0)
            continue;
        assert_true(nin < ZOO_INPUTS);
        in[nin++] = (CallInput){
            .name = t->name + strlen(prefix), .dtype = t->dtype, .rank = t->rank, .dim = t->dim};
    }
    const FrontCall call = {.function = c->function, .inputs = in, .ninput = nin};
    bool blame;
    Program *p = front_call(lab->front, &call, &blame);
    lab_clean(lab, c->function);
    assert_non_null(p);
    assert_int_equal(p->entries.at[0]->inputs.n, nin);
    return p;
}

Graph *zoo_call(Lab *lab, const ZooCase *c)
{
    lab_program(lab, elaborate(lab, c));
    return lab->program->entries.at[0];
}

static bool ends_in_sum(Sym name)
{
    size_t n = strlen(name);
    return n >= 4 && strcmp(name + n - 4, ".sum") == 0;
}

Graph *zoo_training(Lab *lab, const ZooCase *c)
{
    Program *p = elaborate(lab, c);
    const Graph *body = p->entries.at[0];
    Syms *syms = lab->ir->syms;
    uint32_t n = p->states.n;
    for (uint32_t i = 0; i < n; i++) {
        State *s = p->states.at[i];
        s->trained = s->kind == SK_PARAM && lab_value(lab, "%s/grad.%s", c->name, s->key);
        State grad = {.kind = SK_GRAD,
                      .path = sym_printf(syms, "%s.grad", s->path),
                      .type = s->type,
                      .of = s->id};
        if (s->trained)
            program_state(p, &grad);
    }
    Graph *g = graph_new(lab->ir, lab->arena, sym(syms, "micro"));
    const Node **in = NEW_ARRAY(lab->arena, const Node *, body->inputs.n + 1);
    const Node **out = NEW_ARRAY(lab->arena, const Node *, body->results.n + 1);
    for (uint32_t i = 0; i < body->inputs.n; i++) {
        const Node *input = body->inputs.at[i];
        in[i] = graph_input(g, node_sym(input, "name"), input->type);
    }
    graph_inline(g, body, in, out);
    for (uint32_t i = 0; i < body->results.n; i++) {
        Sym name = body->results.at[i].name;
        graph_result(g, sym(syms, ends_in_sum(name) ? "loss.sum" : "loss.weight"), out[i]);
    }
    p->entries.at[0] = g;
    graph_verify(g, p);
    lab_program(lab, p);
    return g;
}

World zoo_world(const Lab *lab, const ZooCase *c)
{
    World w = lab_world(lab, "weight.");
    w.input_prefix = arena_printf(lab->arena, "%s/in.", c->name);
    return w;
}

/* ---- checks ---- */

bool zoo_is_loss(const Lab *lab, const ZooCase *c)
{
    return lab_value(lab, "%s/out.sum", c->name) != NULL;
}

/* Nothing is promised at positions of padding. */
static void forget_unpromised(Value *got, const Value *want)
{
    for (int64_t i = 0; i < want->count && got->count == want->count; i++)
        if (isnan(want->at[i]) && isfinite(got->at[i]))
            got->at[i] = NAN;
}

/* The norm without what is not promised. */
static double finite_norm(const Value *v)
{
    double sum = 0;
    for (int64_t i = 0; i < v->count; i++)
        sum += isnan(v->at[i]) ? 0 : v->at[i] * v->at[i];
    return sqrt(sum);
}

void zoo_check_results(const Lab *lab, const ZooCase *c, Value **results, double bound)
{
    const Graph *g = lab->program->entries.at[0];
    for (uint32_t i = 0; i < g->results.n; i++) {
        Sym name = g->results.at[i].name;
        bool loss = strncmp(name, "loss.", 5) == 0;
        const Value *want = lab_need(lab, "%s/%s%s", c->name, loss ? "out" : "", name + 4 * loss);
        forget_unpromised(results[i], want);
        double gap = value_gap(results[i], want), norm = finite_norm(want);
        if (!(gap <= bound * norm) || norm == 0)
            fail_msg("%s: %s is off by %g of its norm, %g; at most %g", c->name, name, gap / norm,
                     norm, bound);
    }
}

static double whole_norm(const Lab *lab, const ZooCase *c)
{
    const Program *p = lab->program;
    double whole = 0;
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        if (s->kind == SK_GRAD)
            whole = hypot(
                whole, value_norm(lab_need(lab, "%s/grad.%s", c->name, p->states.at[s->of]->key)));
    }
    assert_true(whole > 0);
    return whole;
}

void zoo_check_gradients(const Lab *lab, const ZooCase *c, Value *const *states, GradBound bound)
{
    const Program *p = lab->program;
    double whole = whole_norm(lab, c);
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        if (s->kind != SK_GRAD)
            continue;
        Sym key = p->states.at[s->of]->key;
        const Value *want = lab_need(lab, "%s/grad.%s", c->name, key);
        double gap = value_gap(states[i], want), norm = value_norm(want);
        bool vanishes = norm < 1e-9 * whole;
        if (!(gap <= (vanishes ? bound.vanishing * whole : bound.tensor * norm)))
            fail_msg("%s: gradient of %s is off by %g; its norm is %g, that of all %g", c->name,
                     key, gap, norm, whole);
    }
}

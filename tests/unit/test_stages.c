/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_stages.c: train blocks with several stages: what they inherit, which rows and groups train, what the
 * update does with them, and what is known of them without graphs. */
#include "elabcase.h"

#define MODEL                                           \
    LAB_NET("3")                                        \
    "data points {\n"                                   \
    "  source = npz(\"p.npz\", x: \"xs\", y: \"ys\")\n" \
    "  x: f32[2] = row => row.x\n"                      \
    "  y: i32 = row => row.y\n"                         \
    "}\n"
#define LOSS "  data = points\n  loss = b => cross_entropy(net(b.x), b.y)\n"

/* What is known of the stage at this path. */
static FrontStage about(Lab *l, const char *path)
{
    FrontStage s = {0};
    for (uint32_t i = 0; i < front_stage_count(l->front); i++) {
        if (strcmp(front_stage_path(l->front, i), path) == 0) {
            if (!front_stage_about(l->front, i, &s))
                print_error("%s", lab_reports(l));
            assert_non_null(s.program);
        }
    }
    assert_non_null(s.program);
    return s;
}

/* path:elements of everything that trains. */
static const char *trained(const Lab *l, const FrontStage *s)
{
    StrBuf sb = sb_new(l->arena);
    for (uint32_t i = 0; i < s->nstate; i++)
        if (s->trained[i])
            sb_printf(&sb, "%s%s:%llu", sb.n ? " " : "", s->program->states.at[i]->path,
                      (unsigned long long)s->trained[i]);
    return sb_text(&sb);
}

/* ---- inheritance ---- */

static const char curriculum[] = MODEL
    "train net {\n" LOSS "  lr = 1e-3\n  batch = 8\n  epochs = 2\n  freeze head.**\n"
    "  stage align {\n    train head.bias\n    lr = 1e-2\n  }\n"
    "  stage tune after align {\n    train head.**, embed.**\n    steps = 30\n    micro = 4\n  }\n"
    "  stage more after tune like tune { lr = 5 }\n"
    "  stage rest after align, more {}\n"
    "}\n"
    "train net as again like net {\n"
    "  batch = 16\n"
    "  stage tune { tokens = 1000; train embed.** }\n"
    "  stage last after tune like net.more { batch = 2; micro = 1 }\n"
    "}\n";

static void test_inheritance(void **state)
{
    UNUSED(state);
    Lab l = lab_open(curriculum);
    assert_int_equal(front_stage_count(l.front), 9);
    FrontStage align = about(&l, "net.align"), tune = about(&l, "net.tune");
    FrontStage more = about(&l, "net.more"), rest = about(&l, "net.rest");
    assert_string_equal(align.name, "align");
    assert_string_equal(align.block, "net");
    assert_near(align.lr, 1e-2);
    assert_near(align.epochs, 2);
    assert_string_equal(trained(&l, &align), "head.bias:3");
    assert_int_equal(align.nafter, 0);
    assert_near(tune.lr, 1e-3);
    assert_int_equal(tune.steps, 30);
    assert_near(tune.epochs, 0);
    assert_int_equal(tune.micro, 4);
    assert_int_equal(tune.nafter, 1);
    assert_int_equal(tune.after[0], 0);
    assert_string_equal(trained(&l, &tune), "embed.weight:8 head.weight:12 head.bias:3");
    assert_int_equal(tune.tensors, 3);
    assert_int_equal(tune.elements, 23);
    assert_near(more.lr, 5);
    assert_int_equal(more.steps, 30);
    assert_int_equal(more.after[0], 1); /* `like` does not copy `after` */
    assert_string_equal(trained(&l, &more), trained(&l, &tune));
    assert_int_equal(rest.nafter, 2);
    assert_int_equal(rest.tensors, 13); /* all but the head, as the block says */
    lab_close(&l);
}

static void test_another_block(void **state)
{
    UNUSED(state);
    Lab l = lab_open(curriculum);
    FrontStage align = about(&l, "again.align"), tune = about(&l, "again.tune");
    FrontStage last = about(&l, "again.last"), more = about(&l, "again.more");
    assert_near(more.lr, 5); /* like the stage `tune` of its own block, as edited there */
    assert_int_equal(more.tokens, 1000);
    assert_string_equal(trained(&l, &more), "embed.weight:8");
    assert_int_equal(align.batch, 16);
    assert_near(align.lr, 1e-2);
    assert_int_equal(tune.tokens, 1000);
    assert_int_equal(tune.steps, 0);
    assert_int_equal(tune.after[0], 4);
    assert_string_equal(trained(&l, &tune), "embed.weight:8");
    assert_int_equal(last.batch, 2);
    assert_near(last.lr, 5);
    assert_int_equal(last.after[0], 5);
    assert_int_equal(last.steps, 30);
    lab_close(&l);
}

static void test_finding(void **state)
{
    UNUSED(state);
    Lab l = lab_open(curriculum);
    PlanBuilder *b = planb_new(l.arena);
    Program *p = front_stage(l.front, "last", b);
    assert_non_null(p);
    assert_string_equal(p->name, "again.last");
    assert_true(front_runnable(l.front, p)); /* although it comes after another */
    assert_non_null(front_stage(l.front, "again.align", b));
    assert_null(front_stage(l.front, "align", b)); /* there are two */
    lab_close(&l);
}

/* ---- overrides ---- */

static void check_set(const char *set, const char *path, double lr, int64_t batch)
{
    Lab l = lab_open_set(curriculum, &set, 1);
    if (!l.front)
        print_error("%s", lab_reports(&l));
    assert_non_null(l.front);
    FrontStage s = about(&l, path);
    assert_near(s.lr, lr);
    assert_int_equal(s.batch, batch);
    lab_close(&l);
}

static void test_overrides(void **state)
{
    UNUSED(state);
    check_set("stage.align.lr=7", "net.align", 7, 8);
    check_set("align.lr=7", "net.align", 7, 8);
    check_set("net.align.lr=7", "again.align", 7, 16); /* which is like it */
    check_set("more.batch=4", "net.more", 5, 4);
    check_set("more.batch=4", "net.tune", 1e-3, 8);
    check_set("train.again.batch=4", "again.align", 1e-2, 4);
    check_set("last.lr=0.5", "again.last", 0.5, 2);
    static const char *const wrong[][2] = {
        {"batch=3", "`batch` may mean several settings"},
        {"align.lrr=3", "no setting `align.lrr`"},
        {"nobody.lr=3", "no setting `nobody.lr`"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Lab l = lab_open_set(curriculum, &wrong[i][0], 1);
        assert_null(l.front);
        assert_non_null(strstr(lab_reports(&l), wrong[i][1]));
        lab_close(&l);
    }
}

/* ---- patterns, rows, groups ---- */

static void check_trained(const char *clauses, const char *want)
{
    char text[4000];
    snprintf(text, sizeof text,
             MODEL "train net {\n" LOSS "  lr = 1\n  batch = 2\n  steps = 1\n%s}\n", clauses);
    Lab l = lab_open(text);
    FrontStage s = about(&l, "net");
    assert_string_equal(trained(&l, &s), want);
    lab_close(&l);
}

static void test_patterns(void **state)
{
    UNUSED(state);
    check_trained("  train layers[0..2].norm.bias\n", "layers.0.norm.bias:4 layers.1.norm.bias:4");
    check_trained("  train layers[2].norm.bias\n", "layers.2.norm.bias:4");
    check_trained("  train {layers.0.fc,he{ad,lm}}.bias\n", "layers.0.fc.bias:4 head.bias:3");
    check_trained("  train layers.*.{norm.{weight,x},fc.bias}\n  freeze layers[1..3].**\n",
                  "layers.0.norm.weight:4 layers.0.fc.bias:4");
    check_trained("  train **.fc.**\n  freeze layers.{0,1}.**\n",
                  "layers.2.fc.weight:16 layers.2.fc.bias:4");
}

static void test_rows(void **state)
{
    UNUSED(state);
    check_trained("  train head.weight[1..3]\n", "head.weight:8");
    check_trained("  train head.weight[0..1], head.weight[2]\n", "head.weight:8");
    check_trained("  train head.weight[0..2], head.weight[1..3]\n", "head.weight:12");
    check_trained("  train head.weight[0..1]\n  train head.weight[2..3]\n", "head.weight:4");
    check_trained("  train head.weight, head.bias\n  freeze head.weight[1]\n",
                  "head.weight:8 head.bias:3");
    check_trained("  train head.*\n  freeze head.weight[0..3]\n", "head.bias:3");
}

static double rate(void *user, const char *name)
{
    UNUSED(user);
    return strcmp(name, "lr") == 0 ? 0.5 : 3;
}

typedef struct Stepped {
    Lab lab;
    Program *p;
    Value **states, **writes;
    const Graph *g;
} Stepped;

/* One update with sgd of the model's weights. */
static Stepped step_with(const char *clauses)
{
    char text[4000];
    snprintf(text, sizeof text,
             MODEL "train net {\n" LOSS "  lr = 2\n  batch = 2\n  steps = 1\n%s}\n", clauses);
    Stepped x = {.lab = lab_open(text)};
    PlanBuilder *b = planb_new(x.lab.arena);
    x.p = front_stage(x.lab.front, NULL, b);
    if (!x.p)
        print_error("%s", lab_reports(&x.lab));
    assert_non_null(x.p);
    assert_true(front_runnable(x.lab.front, x.p));
    x.g = x.p->entries.at[b->runs.at[0].update];
    graph_verify(x.g, x.p);
    x.states = lab_states(&x.lab, x.p);
    x.states[b->runs.at[0].loss_weight]->at[0] = 1;
    x.writes = NEW_ARRAY(x.lab.arena, Value *, x.g->writes.n + 1);
    InterpBinding in = {.states = x.states, .slot = rate};
    interp_run(x.g, x.lab.arena, &in, NULL, x.writes);
    return x;
}

static uint32_t state_at(const Stepped *x, const char *path)
{
    for (uint32_t i = 0; i < x->p->states.n; i++)
        if (strcmp(x->p->states.at[i]->path, path) == 0)
            return i;
    print_error("no state %s\n", path);
    fail();
    return 0;
}

static const Value *written(const Stepped *x, const char *path)
{
    uint32_t s = state_at(x, path);
    for (uint32_t i = 0; i < x->g->writes.n; i++)
        if (x->g->writes.at[i].state == s)
            return x->writes[i];
    return NULL;
}

/* Rows 1 and 2 of three move, with states of their own size; row 0 stays as it is, bit for bit. */
static void test_update_of_rows(void **state)
{
    UNUSED(state);
    Stepped x = step_with("  optimizer = sgd(momentum: 0.5, weight_decay: 0.1)\n"
                          "  train head.weight[1..3]\n");
    const Value *w = written(&x, "head.weight");
    const Value *old = x.states[state_at(&x, "head.weight")];
    const Value *g = x.states[state_at(&x, "head.weight.grad")];
    const Value *m = x.states[state_at(&x, "head.weight[1..3].m")];
    assert_int_equal(m->count, 8);
    for (int64_t i = 0; i < 12; i++) {
        double d = i < 4 ? 0 : 0.5 * m->at[i - 4] + g->at[i] + 0.1 * old->at[i];
        assert_near(w->at[i], old->at[i] - 0.5 * d);
    }
    for (int64_t i = 0; i < 4; i++)
        assert_true(w->at[i] == old->at[i]);
    lab_close(&x.lab);
}

/* A group's rate is a multiple of the stage's, whatever the schedule makes of that. */
static void test_groups(void **state)
{
    UNUSED(state);
    Stepped x = step_with("  optimizer = sgd(weight_decay: 0.1)\n"
                          "  train head.*\n  train head.bias { lr = 3; weight_decay = 0 }\n"
                          "  train embed.** { optimizer = sgd(weight_decay: 1) }\n");
    static const struct {
        const char *path;
        double rate, decay;
    } want[] = {{"head.weight", 0.5, 0.1}, {"head.bias", 0.75, 0}, {"embed.weight", 0.5, 1}};
    for (size_t k = 0; k < COUNT(want); k++) {
        const Value *w = written(&x, want[k].path);
        const Value *old = x.states[state_at(&x, want[k].path)];
        char grad[40];
        snprintf(grad, sizeof grad, "%s.grad", want[k].path);
        const Value *g = x.states[state_at(&x, grad)];
        for (int64_t i = 0; i < w->count; i++)
            assert_near(w->at[i],
                        old->at[i] - want[k].rate * (g->at[i] + want[k].decay * old->at[i]));
    }
    lab_close(&x.lab);
}

/* ---- adapters ---- */

static void test_adapt(void **state)
{
    UNUSED(state);
    static const char text[] =
        MODEL "module LoRA(base: Linear, r = 2) {\n"
              "  base as \"\"\n"
              "  down: Linear(base.In, r, bias: none)\n"
              "  up: Linear(r, base.Out, bias: none, weight: zeros)\n"
              "  fn forward(x: [.., base.In]) -> [.., base.Out] = base(x) + (x |> down |> up)\n"
              "}\n"
              "train net {\n" LOSS "  lr = 1\n  batch = 2\n  steps = 1\n"
              "  stage full {}\n"
              "  stage low {\n"
              "    freeze layers.** { store = int8 }\n"
              "    adapt layers.*.fc with LoRA(r: 1)\n"
              "    train layers.**.{down,up}.*\n"
              "  }\n"
              "}\n";
    Lab l = lab_open(text);
    FrontStage full = about(&l, "net.full"), low = about(&l, "net.low");
    assert_int_equal(full.tensors, 15);
    assert_int_equal(low.tensors, 6);
    assert_int_equal(low.elements, 3 * 8);
    assert_int_equal(low.nstate, 15 + 6);
    for (uint32_t i = 0; i < low.nstate; i++) {
        const State *s = low.program->states.at[i];
        if (strcmp(s->path, "layers.1.fc.down.weight") == 0)
            assert_string_equal(s->key, "layers.1.fc.down.weight");
        assert_true(!strstr(s->key, "base"));
    }
    lab_close(&l);
}

/* ---- models ---- */

/* Two models with equal keys may be measured side by side. */
static void test_two_models(void **state)
{
    UNUSED(state);
    Lab l = lab_open(MODEL "model other = Net(4, 1)\n"
                           "train net {\n" LOSS "  lr = 1\n  batch = 2\n  steps = 1\n}\n"
                           "eval both { data = points\n"
                           "  metric a = b => cross_entropy(net(b.x), b.y)\n"
                           "  metric b = b => cross_entropy(other(b.x), b.y) }\n"
                           "eval named { model = other\n data = points\n"
                           "  metric a = b => cross_entropy(other(b.x), b.y) }\n");
    PlanBuilder *b = planb_new(l.arena);
    Program *p = front_stage(l.front, NULL, b);
    if (!p)
        print_error("%s", lab_reports(&l));
    assert_non_null(p);
    assert_int_equal(b->evals.n, 1); /* `named` is about the other model */
    assert_int_equal(p->states.at[0]->trained, true);
    uint32_t others = 0;
    for (uint32_t i = 0; i < p->states.n; i++) {
        bool other = strncmp(p->states.at[i]->path, "model(other).", 13) == 0;
        others += other;
        assert_false(other && p->states.at[i]->trained);
    }
    assert_int_equal(others, 7);
    assert_true(front_check(l.front));
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inheritance),    cmocka_unit_test(test_another_block),
        cmocka_unit_test(test_finding),        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_patterns),       cmocka_unit_test(test_rows),
        cmocka_unit_test(test_update_of_rows), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_adapt),          cmocka_unit_test(test_two_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

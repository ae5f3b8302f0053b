/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_blocks.c: data, train and eval blocks: the tables of a plan, which parameters train, entries. */
#include "elabcase.h"

#define MODEL LAB_NET("2")
#define DATA                                                   \
    "data points(split: str, n = 100) {\n"                     \
    "  source = npz(split + \".npz\", x: \"xs\", y: \"ys\")\n" \
    "  limit = n\n"                                            \
    "  x: f32[2] = row => row.x / 255 - 0.5\n"                 \
    "  y: i32 = row => -row.y[1]\n"                            \
    "}\n"
#define TRAIN                                      \
    "train net {\n"                                \
    "  data = points(\"train\")\n"                 \
    "  loss = b => cross_entropy(net(b.x), b.y)\n" \
    "  lr = 1e-2\n"                                \
    "  batch = 8\n"                                \
    "%s"                                           \
    "}\n"
#define EVAL                                              \
    "eval test {\n"                                       \
    "  data = points(\"test\", n: 7)\n"                   \
    "  batch = 5\n"                                       \
    "  limit = 6\n"                                       \
    "  metric accuracy = b => accuracy(net(b.x), b.y)\n"  \
    "  metric loss = b => cross_entropy(net(b.x), b.y)\n" \
    "}\n"

typedef struct Stage {
    Lab lab;
    PlanBuilder *b;
    Program *p;
    const PlanRun *run;
} Stage;

static Stage stage_of(const char *text, const char *name)
{
    Stage s = {.lab = lab_open(text)};
    s.b = planb_new(s.lab.arena);
    s.p = front_stage(s.lab.front, name, s.b);
    if (!s.p)
        print_error("%s", lab_reports(&s.lab));
    assert_non_null(s.p);
    for (uint32_t i = 0; i < s.p->entries.n; i++)
        graph_verify(s.p->entries.at[i], s.p);
    s.run = s.b->runs.n ? &s.b->runs.at[0] : NULL;
    return s;
}

/* The stage of the usual program with more statements in its train block. */
static Stage stage_with(const char *statements)
{
    char text[4000];
    snprintf(text, sizeof text, MODEL DATA TRAIN EVAL, statements);
    return stage_of(text, NULL);
}

static void end(Stage *s)
{
    lab_close(&s->lab);
}

static const char *text_at(const Stage *s, PStr at)
{
    return s->b->text.at + at;
}

/* ---- data ---- */

static void test_data(void **state)
{
    UNUSED(state);
    Stage s = stage_with("  steps = 3\n");
    assert_int_equal(s.b->datas.n, 2);
    const PlanData *train = &s.b->datas.at[s.run->data],
                   *test = &s.b->datas.at[s.b->evals.at[0].data];
    assert_string_equal(text_at(&s, train->name), "points");
    assert_int_equal(train->source, PD_NPZ);
    assert_int_equal(train->shuffle, true);
    assert_int_equal(train->limit, 100);
    assert_int_equal(test->shuffle, false);
    assert_int_equal(test->limit, 7);
    const PlanColumn *c = &s.b->columns.at[train->column0];
    assert_int_equal(train->ncolumn, 2);
    assert_string_equal(text_at(&s, c[0].name), "x");
    assert_string_equal(text_at(&s, c[0].file), "train.npz");
    assert_string_equal(text_at(&s, c[1].member), "ys");
    assert_string_equal(text_at(&s, s.b->columns.at[test->column0].file), "test.npz");
    const PlanField *f = &s.b->fields.at[train->field0];
    assert_int_equal(train->nfield, 2);
    assert_int_equal(f[0].dtype, DT_F32);
    assert_int_equal(f[0].rank, 1);
    assert_int_equal(f[0].dim[0], 2);
    assert_int_equal(f[1].dtype, DT_I32);
    assert_int_equal(f[1].rank, 0);
    static const PlanCode x[] = {{RO_COLUMN, 0, 0},
                                 {RO_NUMBER, 0, 255},
                                 {RO_DIV, 0, 0},
                                 {RO_NUMBER, 0, 0.5},
                                 {RO_SUB, 0, 0}};
    static const PlanCode y[] = {{RO_COLUMN, 1, 0}, {RO_INDEX, 1, 0}, {RO_NEG, 0, 0}};
    assert_int_equal(f[0].ncode, COUNT(x));
    assert_memory_equal(&s.b->codes.at[f[0].code0], x, sizeof x);
    assert_int_equal(f[1].ncode, COUNT(y));
    assert_memory_equal(&s.b->codes.at[f[1].code0], y, sizeof y);
    end(&s);
}

/* ---- what trains ---- */

/* The paths of the trained parameters, with blanks between. */
static const char *trained(const Stage *s)
{
    StrBuf sb = sb_new(s->lab.arena);
    for (uint32_t i = 0; i < s->p->states.n; i++) {
        const State *w = s->p->states.at[i];
        if (w->trained) {
            assert_int_equal(w->kind, SK_PARAM);
            sb_printf(&sb, "%s%s", sb.n ? " " : "", w->path);
        }
    }
    return sb_text(&sb);
}

static void test_clauses(void **state)
{
    UNUSED(state);
    static const struct {
        const char *statements, *want;
    } cases[] = {
        {"  train head.**\n", "head.weight head.bias"},
        {"  train head.*, embed.**\n", "embed.weight head.weight head.bias"},
        {"  train **\n  freeze layers.**\n", "embed.weight head.weight head.bias"},
        {"  freeze layers.**, embed.weight\n", "head.weight head.bias"},
        {"  freeze **\n  train layers.1.fc.weight\n", "layers.1.fc.weight"},
        {"  train layers.*.norm.*\n",
         "layers.0.norm.weight layers.0.norm.bias layers.1.norm.weight layers.1.norm.bias"},
        {"  train layers.{0,7}.fc.{bias,w*t}\n", "layers.0.fc.weight layers.0.fc.bias"},
        {"  train **.bias\n  freeze layers.0.**\n",
         "layers.1.norm.bias layers.1.fc.bias head.bias"},
        {"  train **.fc.**\n  freeze *.1.**\n", "layers.0.fc.weight layers.0.fc.bias"},
        {"  train h*d.*ei*\n", "head.weight"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char statements[300];
        snprintf(statements, sizeof statements, "  steps = 1\n%s", cases[i].statements);
        Stage s = stage_with(statements);
        assert_string_equal(trained(&s), cases[i].want);
        uint32_t grads = 0, moments = 0;
        for (uint32_t k = 0; k < s.p->states.n; k++) {
            grads += s.p->states.at[k]->kind == SK_GRAD;
            moments += s.p->states.at[k]->kind == SK_OPT;
        }
        assert_true(grads > 0);
        assert_int_equal(moments, 2 * grads); /* m and v of adamw */
        end(&s);
    }
}

/* What no loss reads: without clauses it is left alone, with its moments. */
static void test_unread(void **state)
{
    UNUSED(state);
    char text[4000];
    snprintf(text, sizeof text,
             LAB_NET("2") DATA "train net {\n"
                               "  data = points(\"train\")\n"
                               "  loss = b => mean(net.embed(b.x))\n"
                               "  lr = 1e-2\n"
                               "  batch = 8\n"
                               "  steps = 1\n"
                               "}\n");
    Stage s = stage_of(text, NULL);
    assert_string_equal(trained(&s), "embed.weight");
    uint32_t others = 0;
    for (uint32_t i = 0; i < s.p->states.n; i++) {
        const State *w = s.p->states.at[i];
        others += (w->kind == SK_GRAD || w->kind == SK_OPT) &&
                  strcmp(s.p->states.at[w->of]->path, "embed.weight") != 0;
    }
    assert_int_equal(others, 0);
    end(&s);
}

/* ---- schedules, actions, numbers ---- */

static void check_segments(const char *statements, const PlanSegment *want, uint32_t n)
{
    Stage s = stage_with(statements);
    assert_int_equal(s.run->nsegment, n);
    for (uint32_t i = 0; i < n; i++) {
        const PlanSegment *got = &s.b->segments.at[s.run->segment0 + i];
        assert_int_equal(got->curve, want[i].curve);
        assert_int_equal(got->unit, want[i].unit);
        assert_near(got->length, want[i].length);
        assert_int_equal(got->absolute, want[i].absolute);
        assert_near(got->f0, want[i].f0);
        assert_near(got->f1, want[i].f1);
    }
    end(&s);
}

static void test_schedules(void **state)
{
    UNUSED(state);
    static const PlanSegment constant[] = {{PC_HOLD, PU_REST, 0, 1, 1, 0, 0}},
                             cosine[] = {{PC_LINEAR, PU_SHARE, 0.05, 0, 1, 0, 0},
                                         {PC_COSINE, PU_REST, 0, 1, 0.1, 0, 0}},
                             linear[] = {{PC_LINEAR, PU_STEPS, 20, 0, 1, 0, 0},
                                         {PC_LINEAR, PU_REST, 0, 1, 0, 0, 0}},
                             wsd[] = {{PC_LINEAR, PU_SHARE, 0.05, 0, 1, 0, 0},
                                      {PC_HOLD, PU_REST, 0, 1, 1, 0, 0},
                                      {PC_SQRT, PU_STEPS, 30, 1, 0.1, 0, 0}},
                             piecewise[] = {{PC_HOLD, PU_SHARE, 0.25, 1, 1, 1, 0},
                                            {PC_HOLD, PU_SHARE, 0.75, 0.5, 0.5, 1, 0},
                                            {PC_HOLD, PU_REST, 0, 0.1, 0.1, 0, 0}},
                             epochs[] = {{PC_LINEAR, PU_EPOCHS, 0.5, 0, 1, 0, 0},
                                         {PC_HOLD, PU_REST, 0, 1, 1, 0, 0}};
    check_segments("  steps = 1\n", constant, 1);
    check_segments("  steps = 1\n  schedule = constant\n", constant, 1);
    check_segments("  steps = 1\n  schedule = cosine(warmup: 5%, final: 10%)\n", cosine, 2);
    check_segments("  steps = 1\n  schedule = cosine(5%, 0.1)\n", cosine, 2);
    check_segments("  steps = 1\n  schedule = linear(20 steps)\n", linear, 2);
    check_segments("  steps = 1\n  schedule = wsd(5%, decay: 30 steps, final: 0.1)\n", wsd, 3);
    check_segments("  steps = 1\n  schedule = piecewise((0%, 1), (25%, 0.5), (75%, 0.1))\n",
                   piecewise, 3);
    check_segments("  steps = 1\n  schedule = constant(warmup: 0.5 epochs)\n", epochs, 2);
}

static void test_numbers(void **state)
{
    UNUSED(state);
    Stage s = stage_with("  epochs = 2.5\n  seed = 7\n  log = 3\n  clip = 1.5\n"
                         "  optimizer = sgd(momentum: 0.9)\n"
                         "  every 2 epochs: eval(test), save(keep: 5)\n  every 30 steps: save\n");
    assert_string_equal(text_at(&s, s.run->model), "net");
    assert_string_equal(text_at(&s, s.run->stage), "main");
    assert_int_equal(s.run->batch, 8);
    assert_int_equal(s.run->steps, 0);
    assert_near(s.run->epochs, 2.5);
    assert_near(s.run->lr, 0.01);
    assert_int_equal(s.run->seed, 7);
    assert_near(s.run->log_length, 3);
    assert_string_equal(s.p->states.at[s.run->gnorm]->path, "gnorm");
    assert_int_equal(s.run->naction, 3);
    const PlanAction *a = &s.b->actions.at[s.run->action0];
    assert_int_equal(a[0].kind, PX_EVAL);
    assert_int_equal(a[0].unit, PU_EPOCHS);
    assert_near(a[0].length, 2);
    assert_int_equal(a[1].kind, PX_SAVE);
    assert_int_equal(a[1].keep, 5);
    assert_int_equal(a[2].unit, PU_STEPS);
    assert_near(a[2].length, 30);
    const PlanEval *e = &s.b->evals.at[0];
    assert_string_equal(text_at(&s, e->name), "test");
    assert_int_equal(e->batch, 5);
    assert_int_equal(e->limit, 6);
    assert_int_equal(e->nmetric, 2);
    assert_string_equal(text_at(&s, s.b->metrics.at[e->metric0 + 1].name), "loss");
    end(&s);
    s = stage_with("  steps = 1\n");
    assert_string_equal(s.p->states.at[s.run->gnorm]->path, "gnorm"); /* without `clip`, too */
    assert_string_equal(s.p->states.at[s.run->finite]->path, "finite");
    assert_int_equal(s.run->rows, 8);
    assert_true(s.run->weigh == PLAN_NONE && s.run->on_nan == PN_STOP);
    end(&s);
    s = stage_with("  steps = 1\n  micro = 2\n  on_nan = skip\n  carry = [data]\n"
                   "  log { every = 5 steps ; to = [jsonl] }\n  every 3 min: save(keep: 1)\n");
    assert_true(s.run->rows == 2 && s.run->on_nan == PN_SKIP && s.p->accumulates);
    assert_true(s.run->carry == PLAN_CARRY_DATA && s.run->log_to == PLAN_LOG_JSONL);
    assert_int_equal(s.b->actions.at[s.run->action0].unit, PU_MINUTES);
    end(&s);
    s = stage_with("  steps = 1\n  checkpoint { every = 7 steps ; keep = 2 }\n");
    a = &s.b->actions.at[s.run->action0];
    assert_true(s.run->naction == 1 && a->kind == PX_SAVE && a->unit == PU_STEPS && a->keep == 2);
    assert_near(a->length, 7);
    end(&s);
}

/* ---- entries ---- */

static void test_entries(void **state)
{
    UNUSED(state);
    Stage s = stage_with("  steps = 1\n");
    assert_int_equal(s.p->entries.n, 3);
    const Graph *micro = s.p->entries.at[s.run->micro], *update = s.p->entries.at[s.run->update],
                *eval = s.p->entries.at[s.b->evals.at[0].entry];
    assert_string_equal(micro->name, "micro");
    assert_string_equal(update->name, "update");
    assert_string_equal(eval->name, "eval:test");
    assert_string_equal(type_text(s.lab.ir, micro->inputs.at[0]->type), "f32[8, 2]");
    assert_string_equal(type_text(s.lab.ir, eval->inputs.at[0]->type), "f32[B, 2]");
    assert_string_equal(type_text(s.lab.ir, eval->inputs.at[1]->type), "i32[B]");
    assert_non_null(graph_result_find(micro, "loss.sum"));
    assert_non_null(graph_result_find(eval, "accuracy.weight"));
    const DimSym *rows = dim_sym_at(s.lab.ir, eval->inputs.at[0]->type->dims[0]->term[0].sym[0]);
    assert_int_equal(rows->lo, 1);
    assert_int_equal(rows->hi, 5);
    /* update: every parameter, two moments each, from gradients divided by the weight of the loss; their
     * norm, and whether it is finite */
    assert_int_equal(update->writes.n, 3 * 11 + 2);
    assert_int_equal(update->inputs.n, 0);
    end(&s);
}

/* A batch of any size: run time decides. */
static void test_rows(void **state)
{
    UNUSED(state);
    Stage s = stage_with("  steps = 1\n");
    const Graph *g = s.p->entries.at[s.b->evals.at[0].entry];
    Value **states = lab_states(&s.lab, s.p), *out[4];
    uint32_t nsym = dim_sym_count(s.lab.ir);
    double sums[2] = {0};
    for (int64_t rows = 1; rows <= 5; rows += 4) {
        int64_t *syms = NEW_ARRAY(s.lab.arena, int64_t, nsym + 1);
        for (uint32_t i = 0; i < nsym; i++)
            syms[i] = rows;
        Value *in[2] = {value_new(s.lab.arena, g->inputs.at[0]->type, syms),
                        value_new(s.lab.arena, g->inputs.at[1]->type, syms)};
        assert_int_equal(in[0]->count, 2 * rows);
        for (int64_t i = 0; i < in[0]->count; i++)
            in[0]->at[i] = i % 2 ? 0.25 : -0.5; /* all rows alike, of class 0 */
        InterpBinding b = {.sym_values = syms, .inputs = in, .states = states};
        interp_run(g, s.lab.arena, &b, out, NULL);
        assert_near(out[1]->at[0], (double)rows); /* the weight of accuracy */
        sums[rows > 1] = out[2]->at[0];
    }
    assert_near(sums[1], 5 * sums[0]);
    end(&s);
}

/* mean over an axis whose extent only the run knows */
static void test_mean_of_rows(void **state)
{
    UNUSED(state);
    Stage s = stage_of("data d {\n source = npz(\"a\", x: \"x\")\n x: f32[2] = r => r.x\n}\n"
                       "eval e {\n data = d\n metric m = b => mean(mean(b.x, axis: 0))\n}\n",
                       NULL);
    const Graph *g = s.p->entries.at[0];
    int64_t syms[] = {3};
    Value *in = value_new(s.lab.arena, g->inputs.at[0]->type, syms), *out[2];
    for (int i = 0; i < 6; i++)
        in->at[i] = i;
    InterpBinding b = {.sym_values = syms, .inputs = &in};
    interp_run(g, s.lab.arena, &b, out, NULL);
    assert_near(out[0]->at[0], 2 + 3);
    assert_near(out[1]->at[0], 2);
    end(&s);
}

static double rate(void *user, const char *name)
{
    UNUSED(user);
    return strcmp(name, "lr") == 0 ? 0.5 : 1;
}

/* One step of plain gradient descent: w - lr * g / weight, the gradient clipped by its norm. */
static void check_update(const char *statements, double norm_limit)
{
    Stage s = stage_with(statements);
    const Graph *g = s.p->entries.at[s.run->update];
    Value **states = lab_states(&s.lab, s.p);
    Value **writes = NEW_ARRAY(s.lab.arena, Value *, g->writes.n);
    uint32_t w = 0, grad = 0, at = 0;
    for (uint32_t i = 0; i < s.p->states.n; i++) {
        w = strcmp(s.p->states.at[i]->path, "head.bias") == 0 ? i : w;
        grad = s.p->states.at[i]->kind == SK_GRAD ? i : grad;
    }
    for (uint32_t i = 0; i < g->writes.n; i++)
        at = g->writes.at[i].state == w ? i : at;
    assert_int_equal(s.p->states.at[grad]->of, w);
    states[s.run->loss_weight]->at[0] = 4;
    InterpBinding b = {.states = states, .slot = rate};
    interp_run(g, s.lab.arena, &b, NULL, writes);
    double norm = 0, scale = 1;
    for (int i = 0; i < 3; i++)
        norm += states[grad]->at[i] * states[grad]->at[i] / 16;
    norm = sqrt(norm);
    scale = norm_limit > 0 && norm_limit / (norm + 1e-6) < 1 ? norm_limit / (norm + 1e-6) : 1;
    for (int i = 0; i < 3; i++)
        assert_near(writes[at]->at[i], states[w]->at[i] - 0.5 * states[grad]->at[i] / 4 * scale);
    end(&s);
}

/* A gradient or a loss that is not finite: everything stays, and `finite` says so. */
static void check_nothing_changes(const char *statements, bool loss)
{
    Stage s = stage_with(statements);
    const Graph *g = s.p->entries.at[s.run->update];
    Value **states = lab_states(&s.lab, s.p);
    Value **writes = NEW_ARRAY(s.lab.arena, Value *, g->writes.n);
    uint32_t grad = 0;
    for (uint32_t i = 0; i < s.p->states.n; i++)
        grad = s.p->states.at[i]->kind == SK_GRAD ? i : grad;
    states[s.run->loss_weight]->at[0] = 4;
    states[loss ? s.run->loss_sum : grad]->at[0] = (double)(loss ? INFINITY : NAN);
    InterpBinding b = {.states = states, .slot = rate};
    interp_run(g, s.lab.arena, &b, NULL, writes);
    for (uint32_t i = 0; i < g->writes.n; i++) {
        uint32_t state = g->writes.at[i].state;
        if (state == s.run->finite)
            assert_near(writes[i]->at[0], 0);
        for (int64_t k = 0; s.p->states.at[state]->kind != SK_LOOP && k < writes[i]->count; k++)
            assert_near(writes[i]->at[k], states[state]->at[k]);
    }
    end(&s);
}

static void test_not_finite(void **state)
{
    UNUSED(state);
    check_nothing_changes("  steps = 1\n", false);
    check_nothing_changes("  steps = 1\n", true);
    check_nothing_changes("  steps = 1\n  clip = 0.5\n  ema = 0.9\n", false);
}

static void test_update(void **state)
{
    UNUSED(state);
    check_update("  steps = 1\n  optimizer = sgd()\n  train head.bias\n", 0);
    check_update("  steps = 1\n  optimizer = sgd()\n  train head.bias\n  clip = 100\n", 100);
    check_update("  steps = 1\n  optimizer = sgd()\n  train head.bias\n  clip = 1e-2\n", 1e-2);
}

/* ---- several blocks ---- */

static void test_several(void **state)
{
    UNUSED(state);
    static const char *const text =
        "module M(D) {\n  param w: [D, 1] ~ zeros\n  fn forward(x: [B, D]) -> [B, 1] = x @ w\n}\n"
        "model a = M(2)\nmodel b = M(2)\n"
        "data d {\n source = npz(\"a\", x: \"x\")\n x: f32[2] = r => r.x\n}\n"
        "train a {\n data = d\n loss = r => mean(a(r.x))\n lr = 1\n batch = 1\n steps = 1\n}\n"
        "train b as second {\n data = d\n loss = r => mean(b(r.x))\n lr = 2\n batch = 1\n steps = "
        "1\n}\n"
        "eval of_a {\n data = d\n metric m = r => mean(a(r.x))\n}\n"
        "eval of_b {\n data = d\n metric m = r => mean(b(r.x))\n}\n"
        "eval of_none {\n data = d\n metric m = r => mean(r.x)\n}\n";
    Stage s = stage_of(text, NULL);
    assert_true(front_check(s.lab.front));
    assert_int_equal(front_stage_count(s.lab.front), 2);
    assert_string_equal(front_stage_path(s.lab.front, 0), "a");
    assert_string_equal(front_stage_path(s.lab.front, 1), "second");
    assert_near(s.run->lr, 1);
    assert_int_equal(s.b->evals.n, 2);
    assert_string_equal(text_at(&s, s.b->evals.at[0].name), "of_a");
    assert_string_equal(text_at(&s, s.b->evals.at[1].name), "of_none");
    end(&s);
    s = stage_of(text, "second");
    assert_near(s.run->lr, 2);
    assert_string_equal(text_at(&s, s.run->stage), "second");
    assert_string_equal(text_at(&s, s.b->evals.at[0].name), "of_b");
    assert_null(front_stage(s.lab.front, "secnd", planb_new(s.lab.arena)));
    assert_non_null(strstr(lab_reports(&s.lab), "error[E0805]: no stage `secnd`"));
    end(&s);
}

/* Errors of the check are errors of the stage, too, although they are shown once. */
static void test_failing_twice(void **state)
{
    UNUSED(state);
    char text[4000];
    snprintf(text, sizeof text, MODEL DATA TRAIN EVAL, "  steps = 0\n");
    Lab l = lab_open(text);
    assert_false(front_check(l.front));
    assert_false(front_check(l.front));
    assert_null(front_stage(l.front, NULL, planb_new(l.arena)));
    assert_int_equal(diags_errors(l.ir->diags), 1);
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data),       cmocka_unit_test(test_clauses),
        cmocka_unit_test(test_unread),     cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_entries),
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_mean_of_rows),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_update),
        cmocka_unit_test(test_several),    cmocka_unit_test(test_failing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

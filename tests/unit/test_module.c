/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_module.c: instances: which tensors a model has, under which paths and keys, how they start;
 * ties, options, conditions, arrays; imports and settings. */
#include "elabcase.h"
#include <stdlib.h>
#include <unistd.h>

/* Every state of the program of FUNCTION: `path [key] type init`, one a line. */
static const char *states_of(Lab *l, const char *function)
{
    static const char *const inits[] = {"zeros",           "ones",          "constant",
                                        "normal",          "truncated",     "uniform",
                                        "kaiming_uniform", "xavier_uniform"};
    lab_call(l, function);
    StrBuf sb = sb_new(l->arena);
    for (uint32_t i = 0; i < l->program->states.n; i++) {
        const State *s = l->program->states.at[i];
        sb_printf(&sb, "%s [%s] %s %s%s", s->path, s->key, type_text(l->ir, s->type),
                  s->kind == SK_BUFFER ? "buffer " : "", inits[s->init.kind]);
        if (s->init.kind >= INIT_CONSTANT && s->init.kind != INIT_XAVIER_UNIFORM)
            sb_printf(&sb, " %.4g", s->init.a);
        sb_putc(&sb, '\n');
    }
    return sb_text(&sb);
}

static void check_states(const char *text, const char *want)
{
    Lab l = lab_open(text);
    assert_string_equal(states_of(&l, "m"), want);
    lab_close(&l);
}

static void test_parameters(void **state)
{
    UNUSED(state);
    check_states("module M(D) {\n"
                 "  param a: [D] ~ zeros\n"
                 "  param b: [D, 2 * D] ~ normal(0.5)\n"
                 "  param c: f64[D] ~ constant(c: -1)\n"
                 "  param d: [] ~ truncated(std: 1 / D)\n"
                 "  param e: i32[3] ~ ones\n"
                 "  param f: [D ** 2] ~ uniform(a: 1 / sqrt(D))\n"
                 "  param g: [D, D] ~ kaiming_uniform()\n"
                 "  param h: [D, D] ~ kaiming_uniform(2)\n"
                 "  param i: [D, D] ~ xavier_uniform()\n"
                 "  buffer n: f32 ~ zeros\n"
                 "  fn forward() = 1\n"
                 "}\n"
                 "model m = M(4)\n",
                 "a [a] f32[4] zeros\n"
                 "b [b] f32[4, 8] normal 0.5\n"
                 "c [c] f64[4] constant -1\n"
                 "d [d] f32[] truncated 0.25\n"
                 "e [e] i32[3] ones\n"
                 "f [f] f32[16] uniform 0.5\n"
                 "g [g] f32[4, 4] kaiming_uniform 2.236\n"
                 "h [h] f32[4, 4] kaiming_uniform 2\n"
                 "i [i] f32[4, 4] xavier_uniform\n"
                 "n [n] f32[] buffer zeros\n");
}

#define PART                                \
    "module Part(D) {\n"                    \
    "  param w: [D] ~ ones\n"               \
    "  param b: [D]? ~ zeros as \"bias\"\n" \
    "}\n"

/* Instances received as arguments: made there, they are parts; `as` gives them keys under the receiver. */
static void test_received(void **state)
{
    UNUSED(state);
    check_states(PART "module LoRA(base: Part, r = 2) {\n"
                      "  base as \"\"\n"
                      "  let D = base.D\n"
                      "  param a: [base.D, r] ~ normal(0.5)\n"
                      "  fn forward(x: [.., base.D]) -> [.., base.D] = x\n"
                      "}\n"
                      "module Named(p: Part) {\n"
                      "  p as \"other\"\n"
                      "}\n"
                      "module M() {\n"
                      "  own: Part(2, b: none) as \"was\"\n"
                      "  x: LoRA(Part(4, b: none), r: 3) as \"model.x\"\n"
                      "  y: Named(own) as \"model.y\"\n"
                      "  z[1]: Named(Part(1, b: none))\n"
                      "  fn forward() = 1\n"
                      "}\n"
                      "model m = M()\n",
                 "own.w [model.y.other.w] f32[2] ones\n"
                 "x.base.w [model.x.w] f32[4] ones\n"
                 "x.a [model.x.a] f32[4, 3] normal 0.5\n"
                 "z.0.p.w [z.0.other.w] f32[1] ones\n");
}

static void test_keys(void **state)
{
    UNUSED(state);
    check_states(PART "module M(D) {\n"
                      "  a: Part(D)\n"
                      "  b: Part(D) as \"model.b\"\n"
                      "  c[2]: Part(D) as \"layers\"\n"
                      "  d[1]: Part(D, b: none)\n"
                      "  e: Part(D, b: none) as \"\"\n"
                      "  param f: [D] ~ zeros as \"x.y\"\n"
                      "  fn forward() = 1\n"
                      "}\n"
                      "model m = M(1)\n",
                 "a.w [a.w] f32[1] ones\n"
                 "a.b [a.bias] f32[1] zeros\n"
                 "b.w [model.b.w] f32[1] ones\n"
                 "b.b [model.b.bias] f32[1] zeros\n"
                 "c.0.w [layers.0.w] f32[1] ones\n"
                 "c.0.b [layers.0.bias] f32[1] zeros\n"
                 "c.1.w [layers.1.w] f32[1] ones\n"
                 "c.1.b [layers.1.bias] f32[1] zeros\n"
                 "d.0.w [d.0.w] f32[1] ones\n"
                 "e.w [w] f32[1] ones\n"
                 "f [x.y] f32[1] zeros\n");
}

static void test_overrides(void **state)
{
    UNUSED(state);
    check_states(PART "module M(D, on: bool = true) {\n"
                      "  a: Part(D, w: normal(0.1), b: none)\n"
                      "  b[i < 2]: Part(2 ** i, b: if i == 0 { none } else { ones })\n"
                      "  if on {\n    c: Part(D, b: none)\n  } else {\n    d: Part(D)\n  }\n"
                      "  fn forward() = 1\n"
                      "}\n"
                      "model m = M(3)\n",
                 "a.w [a.w] f32[3] normal 0.1\n"
                 "b.0.w [b.0.w] f32[1] ones\n"
                 "b.1.w [b.1.w] f32[2] ones\n"
                 "b.1.b [b.1.bias] f32[2] ones\n"
                 "c.w [c.w] f32[3] ones\n");
}

/* A tied parameter has no storage of its own, whichever of the two comes first. */
static void test_ties(void **state)
{
    UNUSED(state);
    static const char *const text =
        PART "module M(D) {\n"
             "  a: Part(D, w: c.w, b: shared)\n"
             "  param shared: [D] ~ zeros\n"
             "  c: Part(D, b: none)\n"
             "  d: Part(D, w: a.w, b: none)\n"
             "  fn forward() = a.w + 10 * d.w + 100 * a.b - 100 * shared\n"
             "}\n"
             "model m = M(2)\n";
    check_states(text, "c.w [c.w] f32[2] ones\n"
                       "shared [shared] f32[2] zeros\n");
    Lab l = lab_open(text);
    Value **out = lab_call(&l, "m");
    ASSERT_VALUES(out[0], 11 * param_value("c.w", 0), 11 * param_value("c.w", 1));
    lab_close(&l);
}

/* Instances, modules and functions as arguments; members of members; arrays as functions. */
static void test_arguments(void **state)
{
    UNUSED(state);
    Lab l = lab_open("module Scale(c: num) {\n  fn forward(x: [..]) -> [..] = c * x\n}\n"
                     "module Add(c = 1) {\n  fn forward(x: [..], d: num = 0) = x + c + d\n}\n"
                     "module Wrap(inner: Scale, act: fn = relu, Kind: module = Add, n = 3) {\n"
                     "  more[n]: Kind(2)\n"
                     "  let first = more[0]\n"
                     "  fn forward(x: [..]) = x |> inner |> act |> more(10) |> first\n"
                     "}\n"
                     "module M() {\n"
                     "  s: Scale(-2)\n"
                     "  w: Wrap(s, x => -x)\n"
                     "  v: Wrap(inner: s, Kind: Add, n: 0 + w.n - 2)\n"
                     "  fn forward(x: [..]) {\n"
                     "    y = w(x)\n"
                     "    for k in w.more[1:] { y = y * k(0) }\n"
                     "    y + 1000 * v(x) + w.inner.c + len(w.more)\n"
                     "  }\n"
                     "}\n"
                     "model m = M()\n");
    lab_input(&l, "x", DT_F32, (double[]){1}, 1, (int64_t[]){1});
    /* w: -2 -> 2 -> 2 + 3 * 12 + 2 = 40; v: -2 -> 0 -> 0 + 12 + 2 = 14 */
    ASSERT_VALUES(lab_call(&l, "m")[0], 40 * 2 * 2 + 1000 * 14 - 2 + 3);
    lab_close(&l);
}

/* Constraints see formals and lets; members of any order. */
static void test_where(void **state)
{
    UNUSED(state);
    static const char *const text = "module M(D, H) {\n"
                                    "  where D == H * dh: \"whole heads\"\n"
                                    "  param w: [dh] ~ zeros\n"
                                    "  let dh = D // H\n"
                                    "  fn forward() = w\n"
                                    "}\n"
                                    "model m = M(%s)\n";
    char good[300], bad[300];
    snprintf(good, sizeof good, text, "8, 2");
    snprintf(bad, sizeof bad, text, "8, 3");
    check_states(good, "w [w] f32[4] zeros\n");
    Lab l = lab_open(bad);
    assert_null(lab_try(&l, "m", false));
    assert_non_null(strstr(lab_reports(&l), "with D = 8, H = 3, dh = 2: whole heads"));
    lab_close(&l);
}

/* ---- imports ---- */

static char *folder(void)
{
    static char path[] = "/tmp/mdl-import-XXXXXX";
    assert_non_null(mkdtemp(path));
    return path;
}

static void put(Arena *arena, const char *dir, const char *name, const char *text)
{
    const char *path = path_join(arena, dir, name);
    assert_true(file_mkdirs(path_dir(arena, path), NULL));
    assert_true(file_write_atomic(path, text, strlen(text), NULL));
}

static void test_imports(void **state)
{
    UNUSED(state);
    char *dir = folder();
    Arena *arena = arena_new();
    put(arena, dir, "main.mdl",
        "import lib.parts: Part, scale as s\n"
        "import lib.parts as lp\n"
        "import other\n"
        "let k = 5\n"
        "module M(D) {\n  a: Part(D)\n  b: lp.Part(D)\n  c: parts.Part(D)\n"
        "  fn forward(x: [..]) = a(s(x)) + b(x) + c(x) + other.k + lp.k + k\n}\n"
        "model m = M(1)\n");
    put(arena, dir, "lib/parts.mdl",
        "import deep\nlet k = 100\n"
        "module Part(D) {\n  param w: [D] ~ ones\n  fn forward(x: [..]) = x * k\n}\n"
        "fn scale(x: [..]) = deep.twice(x)\n");
    put(arena, dir, "lib/deep.mdl", "fn twice(x: [..]) = 2 * x\n");
    put(arena, dir, "path/other.mdl", "let k = 1000\n");
    setenv("MDL_PATH", path_join(arena, dir, "path"), 1);
    Lab l = {.arena = arena};
    l.ir = ir_new(arena, syms_new(arena), diags_new(arena));
    FrontOptions options = {.path = path_join(arena, dir, "main.mdl")};
    l.front = front_open(l.ir, &options, &l.err);
    if (!l.front)
        print_error("%s", lab_reports(&l));
    assert_non_null(l.front);
    lab_input(&l, "x", DT_F32, (double[]){1}, 1, (int64_t[]){1});
    ASSERT_VALUES(lab_call(&l, "m")[0], 200 + 100 + 100 + 1000 + 100 + 5);
    unsetenv("MDL_PATH");
    assert_true(file_remove_tree(dir, NULL));
    arena_free(arena);
}

/* ---- settings ---- */

#define PROGRAM                                           \
    "let width = 2\n"                                     \
    "module M(D, n = 1) {\n  param w: [D, n] ~ zeros\n"   \
    "  fn forward(x: [B, D]) -> [B, n] = x @ w\n}\n"      \
    "model m = M(width)\n"                                \
    "data d(k = 1) {\n  source = npz(\"a\", x: \"x\")\n"  \
    "  limit = 10\n  x: f32[2] = r => r.x\n}\n"           \
    "train m {\n  data = d\n  loss = b => mean(m(b.x))\n" \
    "  lr = 1\n  batch = 4\n  steps = 5\n}\n"             \
    "eval e {\n  data = d\n  metric a = b => mean(m(b.x))\n}\n"

static PlanBuilder *stage_with(Lab *l, const char *set)
{
    *l = lab_open_set(PROGRAM, &set, 1);
    if (!l->front)
        print_error("%s", lab_reports(l));
    assert_non_null(l->front);
    PlanBuilder *b = planb_new(l->arena);
    l->program = front_stage(l->front, NULL, b);
    if (!l->program)
        print_error("%s", lab_reports(l));
    assert_non_null(l->program);
    return b;
}

static void test_settings(void **state)
{
    UNUSED(state);
    Lab l;
    static const char *const rates[] = {"lr=0.5", "train.lr=0.5", " m.lr = 1 / 2",
                                        "train.m.lr=50%"};
    for (size_t i = 0; i < COUNT(rates); i++) {
        assert_near(stage_with(&l, rates[i])->runs.at[0].lr, 0.5);
        lab_close(&l);
    }
    /* what is given comes before what could be given */
    assert_int_equal(stage_with(&l, "batch=8")->runs.at[0].batch, 8);
    lab_close(&l);
    assert_int_equal(stage_with(&l, "e.batch=7")->evals.at[0].batch, 7);
    lab_close(&l);
    assert_int_equal(stage_with(&l, "limit=3")->datas.at[0].limit, 3);
    lab_close(&l);
    assert_int_equal(stage_with(&l, "seed=9")->runs.at[0].seed, 9);
    lab_close(&l);
    PlanBuilder *b = stage_with(&l, "epochs=2");
    assert_int_equal(b->runs.at[0].steps, 0);
    assert_near(b->runs.at[0].epochs, 2);
    lab_close(&l);
    stage_with(&l, "model.m.n=width + 1");
    assert_string_equal(type_text(l.ir, l.program->states.at[0]->type), "f32[2, 3]");
    lab_close(&l);
    stage_with(&l, "m.n=3");
    assert_string_equal(type_text(l.ir, l.program->states.at[0]->type), "f32[2, 3]");
    lab_close(&l);
}

/* The hash of a program changes with its text and with every setting. */
static void test_hash(void **state)
{
    UNUSED(state);
    static const char *const sets[] = {"lr=0.5", "lr=0.25", "lr=0.50"};
    uint64_t hash[5];
    for (size_t i = 0; i < 5; i++) {
        const char *text = i == 4 ? PROGRAM "\n" : PROGRAM;
        Lab l = lab_open_set(text, &sets[i % 3], i < 3 ? 1 : 0);
        hash[i] = front_hash(l.front);
        for (size_t k = 0; k < i; k++)
            assert_true(hash[k] != hash[i]);
        lab_close(&l);
    }
    Lab a = lab_open(PROGRAM), b = lab_open(PROGRAM);
    assert_true(front_hash(a.front) == front_hash(b.front));
    lab_close(&a);
    lab_close(&b);
}

/* Keys are distinct within a model; two models of one evaluation may have the same. */
static void test_two_models(void **state)
{
    UNUSED(state);
    Lab l =
        lab_open("module M(D) { param a: [D] ~ ones ; fn forward(x: [B, D]) -> [B, D] = x * a }\n"
                 "model m = M(4)\n"
                 "model n = M(4)\n"
                 "data d { source = npz(\"x.npz\", x: \"x\") ; x: f32[4] = row => row.x }\n"
                 "eval e { data = d ; metric diff = b => mean(m(b.x) - n(b.x)) }\n");
    assert_true(front_check(l.front));
    assert_string_equal(lab_reports(&l), "");
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters), cmocka_unit_test(test_received),
        cmocka_unit_test(test_keys),       cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_ties),       cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_where),      cmocka_unit_test(test_imports),
        cmocka_unit_test(test_settings),   cmocka_unit_test(test_hash),
        cmocka_unit_test(test_two_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_modes.c: one `forward`, four programs: buffers and states in program order, caches that grow, the
 * mode of an instance. What is kept between passes is compared with one pass over everything. */
#include "elabcase.h"

/* Runs FUNCTION in a mode on the inputs given so far; results, then the values written. */
typedef struct Ran {
    Value **out, **writes;
    const Graph *g;
} Ran;

typedef struct Pass {
    Mode mode;
    int64_t past, context;
    double len; /* rows that growing states have */
    Value **states;
} Pass;

static double read_slot(void *user, const char *name)
{
    const Pass *p = user;
    return strcmp(name, "len") == 0 ? p->len : strcmp(name, "step") == 0 ? 7 : 0.25;
}

static Program *call(const Lab *l, const char *function, const Pass *pass)
{
    bool blame;
    const FrontCall c = {.function = function,
                         .inputs = l->in,
                         .ninput = l->nin,
                         .mode = pass->mode,
                         .past = pass->past,
                         .context = pass->context};
    return front_call(l->front, &c, &blame);
}

static Ran run(Lab *l, const char *function, Pass *pass)
{
    Program *p = call(l, function, pass);
    if (!p)
        print_error("%s", lab_reports(l));
    assert_non_null(p);
    l->program = p;
    Ran r = {.g = p->entries.at[0]};
    graph_verify(r.g, p);
    r.out = NEW_ARRAY(l->arena, Value *, r.g->results.n + 1);
    r.writes = NEW_ARRAY(l->arena, Value *, r.g->writes.n + 1);
    InterpBinding b = {.inputs = lab_inputs(l, r.g),
                       .states = pass->states ? pass->states : lab_states(l, p),
                       .slot = read_slot,
                       .user = pass};
    interp_run(r.g, l->arena, &b, r.out, r.writes);
    return r;
}

static const State *state_at(const Lab *l, const char *path)
{
    for (uint32_t i = 0; i < l->program->states.n; i++)
        if (strcmp(l->program->states.at[i]->path, path) == 0)
            return l->program->states.at[i];
    return NULL;
}

static void assert_refused(const char *text, const char *function, Mode mode, const char *want)
{
    Lab l = lab_open(text);
    lab_input(&l, "x", DT_F32, (double[]){1, 2}, 2, (int64_t[]){1, 2});
    assert_null(call(&l, function, &(Pass){.mode = mode}));
    if (!strstr(lab_reports(&l), want))
        print_error("%s", lab_reports(&l));
    assert_non_null(strstr(lab_reports(&l), want));
    lab_close(&l);
}

/* ---- buffers ---- */

#define COUNTER                                   \
    "module M() {\n"                              \
    "  buffer n: f32[2] ~ zeros\n"                \
    "  param w: [2] ~ ones\n"                     \
    "  fn forward(x: [2]) -> ([2], [2], [2]) {\n" \
    "    a = n\n"                                 \
    "    n.set(n + x)\n"                          \
    "    b = n\n"                                 \
    "    n.set(2 * n)\n"                          \
    "    (a, b, n)\n"                             \
    "  }\n"                                       \
    "}\n"                                         \
    "model m = M()\n"

static void test_buffers(void **state)
{
    UNUSED(state);
    for (Mode mode = MODE_EVAL; mode <= MODE_DECODE; mode++) {
        Lab l = lab_open(COUNTER);
        lab_input(&l, "x", DT_F32, (double[]){1, 2}, 1, (int64_t[]){2});
        Ran r = run(&l, "m", &(Pass){.mode = mode});
        double a = param_value("n", 0), b = param_value("n", 1);
        bool train = mode == MODE_TRAIN;
        ASSERT_VALUES(r.out[0], a, b);
        ASSERT_VALUES(r.out[1], a + train, b + 2 * train);
        ASSERT_VALUES(r.out[2], train ? 2 * (a + 1) : a, train ? 2 * (b + 2) : b);
        assert_int_equal(r.g->writes.n, train);
        if (train)
            ASSERT_VALUES(r.writes[0], 2 * (a + 1), 2 * (b + 2));
        lab_close(&l);
    }
}

static void test_batch_norm(void **state)
{
    UNUSED(state);
    Lab l = lab_open("module M() {\n  bn: BatchNorm2d(2)\n"
                     "  fn forward(x: [B, 2, Y, X]) -> [B, 2, Y, X] = bn(x)\n}\nmodel m = M()\n");
    const double x[] = {1, 2, 3, 4, 5, 9, 7, 1};
    lab_input(&l, "x", DT_F32, x, 4, (int64_t[]){2, 2, 1, 2});
    Ran r = run(&l, "m", &(Pass){.mode = MODE_TRAIN});
    double w = param_value("bn.weight", 0), b = param_value("bn.bias", 0);
    double mean = (1 + 2 + 5 + 9) / 4.0, var = 0;
    const double channel[] = {1, 2, 5, 9};
    for (int i = 0; i < 4; i++)
        var += (channel[i] - mean) * (channel[i] - mean) / 4;
    for (int i = 0; i < 2; i++)
        assert_near(r.out[0]->at[i], (x[i] - mean) / sqrt(var + 1e-5) * w + b);
    assert_int_equal(r.g->writes.n, 2);
    assert_near(r.writes[0]->at[0], 0.9 * param_value("bn.running_mean", 0) + 0.1 * mean);
    assert_near(r.writes[1]->at[0], 0.9 * param_value("bn.running_var", 0) + 0.1 * var * 4 / 3);
    for (uint32_t i = 0; i < 4; i++) {
        static const char *const keys[] = {"bn.weight", "bn.bias", "bn.running_mean",
                                           "bn.running_var"};
        assert_string_equal(l.program->states.at[i]->key, keys[i]);
    }
    Value **states = lab_states(&l, l.program);
    states[3]->at[0] = 4;
    r = run(&l, "m", &(Pass){.mode = MODE_EVAL, .states = states});
    assert_int_equal(r.g->writes.n, 0);
    assert_near(r.out[0]->at[0], (1 - states[2]->at[0]) / sqrt(4 + 1e-5) * w + b);
    lab_close(&l);
}

/* ---- states ---- */

#define ATTENTION                                                                  \
    "module A(D) {\n"                                                              \
    "  q: Linear(D, D)\n  k: Linear(D, D)\n"                                       \
    "  state ks: [B, S, D] grows S\n"                                              \
    "  fn forward(x: [B, T, D], pos: i32[B, T]) -> [B, T, D] {\n"                  \
    "    r = q(x)\n"                                                               \
    "    c = k(x) |> ks.append\n"                                                  \
    "    s[b, t, u] += r[b, t, d] * c[b, u, d]\n"                                  \
    "    z[b, t, u] = select(u <= pos[b, t], s[b, t, u], 0)\n"                     \
    "    y[b, t, d] += z[b, t, u] * c[b, u, d]\n"                                  \
    "    y\n"                                                                      \
    "  }\n"                                                                        \
    "}\n"                                                                          \
    "module M() {\n"                                                               \
    "  layers[2]: A(2)\n"                                                          \
    "  fn forward(x: [B, T, 2], pos: i32[B, T]) -> [B, T, 2] = x |> layers(pos)\n" \
    "}\n"                                                                          \
    "model m = M()\n"

static const double tokens[] = {0.5, 1, -1, 0.25, 2, -0.5, 1, 1, 0.1, 0.2};
static const double places[] = {0, 1, 2, 3, 4};

static void give_tokens(Lab *l, int64_t from, int64_t n)
{
    int64_t *dim = NEW_ARRAY(l->arena, int64_t, 3);
    dim[0] = 1;
    dim[1] = n;
    dim[2] = 2;
    l->nin = 0;
    lab_input(l, "x", DT_F32, tokens + 2 * from, 3, dim);
    lab_input(l, "pos", DT_I32, places + from, 2, dim);
}

/* The states of the next pass: what the last one wrote, by path, else zeros and parameters. */
static Value **carry(Lab *l, const Ran *r, const Program *before, const Program *after)
{
    Value **states = lab_states(l, after);
    for (uint32_t i = 0; i < after->states.n; i++) {
        bool kv = after->states.at[i]->kind == SK_KV;
        for (int64_t k = 0; kv && k < states[i]->count; k++)
            states[i]->at[k] = 0;
        for (uint32_t w = 0; kv && r && w < r->g->writes.n; w++)
            if (strcmp(before->states.at[r->g->writes.at[w].state]->path,
                       after->states.at[i]->path) == 0)
                states[i] = r->writes[w];
    }
    return states;
}

/* Rows of one pass over tokens [from, from + n) behind those that `last` left. */
static Ran step(Lab *l, Mode mode, int64_t from, int64_t n, const Ran *last)
{
    const Program *before = l->program;
    give_tokens(l, from, n);
    Pass pass = {.mode = mode, .past = from, .context = 6, .len = (double)from};
    Program *p = call(l, "m", &pass);
    assert_non_null(p);
    pass.states = carry(l, last, before, p);
    return run(l, "m", &pass);
}

static void test_cache(void **state)
{
    UNUSED(state);
    Lab l = lab_open(ATTENTION);
    give_tokens(&l, 0, 5);
    Ran all = run(&l, "m", &(Pass){.mode = MODE_EVAL});
    assert_null(state_at(&l, "layers.0.ks"));
    assert_int_equal(all.g->writes.n, 0);
    Ran a = step(&l, MODE_PREFILL, 0, 3, NULL);
    assert_string_equal(type_text(l.ir, state_at(&l, "layers.1.ks")->type), "f32[1, 6, 2]");
    assert_values(a.out[0], all.out[0]->at, 6);
    Ran b = step(&l, MODE_DECODE, 3, 1, &a);
    assert_values(b.out[0], all.out[0]->at + 6, 2);
    Ran c = step(&l, MODE_DECODE, 4, 1, &b);
    assert_values(c.out[0], all.out[0]->at + 8, 2);
    lab_close(&l);
}

/* Without `past` a cache is empty and has no room to spare. */
static void test_empty_cache(void **state)
{
    UNUSED(state);
    Lab l = lab_open(ATTENTION);
    give_tokens(&l, 0, 4);
    Ran eval = run(&l, "m", &(Pass){.mode = MODE_EVAL});
    Ran decode = run(&l, "m", &(Pass){.mode = MODE_DECODE});
    assert_values(decode.out[0], eval.out[0]->at, 8);
    assert_string_equal(type_text(l.ir, state_at(&l, "layers.0.ks")->type), "f32[1, 4, 2]");
    StrBuf text = sb_new(l.arena);
    graph_print(decode.g, l.program, &text);
    assert_non_null(strstr(sb_text(&text), " kv \"layers.0.ks\" f32[1, 4, 2]"));
    uint32_t file = diags_source(l.ir->diags, "g", sb_text(&text), text.n);
    Graph *again = graph_parse(l.ir, l.arena, file);
    assert_non_null(again);
    lab_close(&l);
}

#define RECURRENT                                     \
    "module R() {\n"                                  \
    "  param w: [2] ~ ones\n"                         \
    "  state h: [B, 2]\n"                             \
    "  fn forward(x: [B, 2]) -> ([B, 2], [B, 2]) {\n" \
    "    old = h\n"                                   \
    "    h.set(w * h + x)\n"                          \
    "    (old, h)\n"                                  \
    "  }\n"                                           \
    "}\n"                                             \
    "module M() {\n  r: R()\n"                        \
    "  fn forward(x: [B, 2]) -> ([B, 2], [B, 2]) {\n" \
    "    a, b = r(x)\n"                               \
    "    r(2 * x)\n"                                  \
    "  }\n}\nmodel m = R()\nmodel twice = M()\n"

static void test_recurrent(void **state)
{
    UNUSED(state);
    Lab l = lab_open(RECURRENT);
    const double x[] = {1, 2, 3, 4};
    lab_input(&l, "x", DT_F32, x, 2, (int64_t[]){2, 2});
    for (Mode mode = MODE_EVAL; mode <= MODE_TRAIN; mode++) {
        Ran r = run(&l, "m", &(Pass){.mode = mode});
        ASSERT_VALUES(r.out[0], 0, 0, 0, 0);
        ASSERT_VALUES(r.out[1], 0, 0, 0, 0);
        assert_int_equal(r.g->writes.n, 0);
    }
    Ran r = run(&l, "m", &(Pass){.mode = MODE_DECODE});
    for (int i = 0; i < 4; i++) {
        double h = param_value("h", i), w = param_value("w", i % 2);
        assert_near(r.out[0]->at[i], h);
        assert_near(r.out[1]->at[i], w * h + x[i]);
        assert_near(r.writes[0]->at[i], w * h + x[i]);
    }
    r = run(&l, "twice", &(Pass){.mode = MODE_PREFILL});
    for (int i = 0; i < 4; i++) {
        double first = param_value("r.w", i % 2) * param_value("r.h", i) + x[i];
        assert_near(r.out[0]->at[i], first);
        assert_near(r.writes[0]->at[i], param_value("r.w", i % 2) * first + 2 * x[i]);
    }
    lab_close(&l);
}

/* Keys that prefill sets and decode reads: an extent that only prefill knows. */
static void test_free_extent(void **state)
{
    UNUSED(state);
    Lab l = lab_open("module C() {\n  state ks: [B, M, 2]\n"
                     "  fn forward(x: [B, 2], y: [B, M, 2]) -> [B, 2] {\n"
                     "    k = if mode == decode { ks } else { 2 * y }\n"
                     "    if mode == prefill { ks.set(k) }\n"
                     "    s[b, d] += k[b, m, d] * x[b, d]\n    s\n  }\n}\nmodel c = C()\n");
    lab_input(&l, "x", DT_F32, (double[]){1, 10}, 2, (int64_t[]){1, 2});
    lab_input(&l, "y", DT_F32, (double[]){1, 2, 3, 4}, 3, (int64_t[]){1, 2, 2});
    Ran r = run(&l, "c", &(Pass){.mode = MODE_PREFILL});
    ASSERT_VALUES(r.out[0], 8, 120);
    ASSERT_VALUES(r.writes[0], 2, 4, 6, 8);
    r = run(&l, "c", &(Pass){.mode = MODE_DECODE});
    assert_near(r.out[0]->at[0], param_value("ks", 0) + param_value("ks", 2));
    lab_close(&l);
}

#define ONE_STATE(declaration, body)                                                \
    "module M() {\n  param w: [2] ~ ones\n  buffer n: f32[2] ~ zeros\n" declaration \
    "  fn forward(x: [B, 2]) -> [B, 2] {\n" body "  }\n}\nmodel m = M()\n"

static void test_refused(void **state)
{
    UNUSED(state);
    for (Mode mode = MODE_EVAL; mode <= MODE_DECODE; mode++) {
        assert_refused(ONE_STATE("  state ks: [B, S, 2] grows S\n", "    ks\n"), "m", mode,
                       "error[E0309]: `ks` grows: it has no rows before `ks.append(..)`");
        assert_refused(
            ONE_STATE("  state ks: [B, 2] grows B\n", "    a = ks.append(x)\n    ks.append(a)\n"),
            "m", mode, "error[E0309]: `ks` is appended to twice in one pass");
        assert_refused(ONE_STATE("  state ks: [B, 2] grows B\n", "    ks.set(x)\n    x\n"), "m",
                       mode, "error[E0309]: `ks` grows: it is changed by `ks.append(..)`");
        assert_refused(ONE_STATE("  state h: [B, 2]\n", "    h.append(x)\n"), "m", mode,
                       "error[E0309]: `h` does not grow: it has no `append`");
        assert_refused(ONE_STATE("  state h: [B, 2]\n", "    h.set(x[0])\n    x\n"), "m", mode,
                       "error[E0406]: the value of `h`: expected rank 2");
        assert_refused(ONE_STATE("", "    w.set(x[0])\n    x\n"), "m", mode,
                       "error[E0309]: `w` is a parameter: only training changes it");
        assert_refused(ONE_STATE("", "    n.set(x)\n    x\n"), "m", mode,
                       "error[E0402]: the buffer `n` is `f32[2]`, got `f32[1, 2]`");
        assert_refused(ONE_STATE("", "    n.clear()\n    x\n"), "m", mode,
                       "error[E0201]: `n` has no method `clear`");
    }
}

/* `decode` and `train` are modes behind `mode ==`, also where a function has the name. */
static void test_mode_names(void **state)
{
    UNUSED(state);
    Lab l = lab_open("module M() {\n"
                     "  fn decode(x: [2]) -> [2] = 10 * x\n"
                     "  fn forward(x: [2]) -> [2] {\n"
                     "    if mode == decode { decode(x) } else { if mode != train { x * step } "
                     "else { x * progress } }\n"
                     "  }\n}\nmodel m = M()\n");
    lab_input(&l, "x", DT_F32, (double[]){1, 2}, 1, (int64_t[]){2});
    ASSERT_VALUES(run(&l, "m", &(Pass){.mode = MODE_DECODE}).out[0], 10, 20);
    ASSERT_VALUES(run(&l, "m", &(Pass){.mode = MODE_PREFILL}).out[0], 7, 14);
    ASSERT_VALUES(run(&l, "m", &(Pass){.mode = MODE_TRAIN}).out[0], 0.25, 0.5);
    lab_close(&l);
}

/* A frozen tower neither drops out nor moves its statistics, one without parameters follows the whole. */
static void test_frozen(void **state)
{
    UNUSED(state);
    static const char text[] =
        "module Tower() {\n  fc: Linear(4, 4)\n  drop: Dropout(0.5)\n  buffer n: f32[4] ~ zeros\n"
        "  fn forward(x: [B, 4]) -> [B, 4] {\n    n.set(n + 1)\n    x |> fc |> drop\n  }\n}\n"
        "module Net() {\n  a: Tower()\n  b: Tower()\n  drop: Dropout(0.25)\n"
        "  fn forward(x: [B, 4]) -> [B, 4] = x |> a |> b |> drop\n}\nmodel net = Net()\n"
        "data rows { source = npz(\"x.npz\", x: \"x\")\n  x: f32[4] = row => row.x\n}\n"
        "train net { data = rows; loss = b => mean(net(b.x)); lr = 1; batch = 2; steps = 1\n  "
        "freeze a.**\n}\n";
    Lab l = lab_open(text);
    Program *p = front_stage(l.front, NULL, planb_new(l.arena));
    if (!p)
        print_error("%s", lab_reports(&l));
    assert_non_null(p);
    const Graph *micro = program_entry(p, "micro");
    uint32_t draws = 0, sets = 0;
    for (uint32_t i = 0; i < micro->nodes.n; i++)
        draws += micro->nodes.at[i]->op == OP_RNG;
    for (uint32_t i = 0; i < micro->writes.n; i++) {
        const State *s = p->states.at[micro->writes.at[i].state];
        sets += s->kind == SK_BUFFER;
        assert_true(s->kind != SK_BUFFER || strcmp(s->path, "b.n") == 0);
    }
    assert_int_equal(draws, 2); /* of b, and of the whole */
    assert_int_equal(sets, 1);
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers),    cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_cache),      cmocka_unit_test(test_empty_cache),
        cmocka_unit_test(test_recurrent),  cmocka_unit_test(test_free_extent),
        cmocka_unit_test(test_frozen),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mode_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

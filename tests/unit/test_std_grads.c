/* LIBS: mdl_compile mdl_codegen mdl_passes mdl_front mdl_front_rule mdl_kernel mdl_plan mdl_target mdl_ir mdl_base */
/* test_std_grads.c: every `op` of the standard library has its derivative compared with central differences
 * here. One without a case fails the test, as does a case without an op. Rows of ops.def are compared in
 * tests/ops. And wrong derivatives are found: `mdl check --grad` works. */
#include "compile.h"
#include "gradcheck.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MAX_INPUTS = 6, MAX_ARGS = 3 };

typedef struct Case {
    const char *op;
    const char *in[MAX_INPUTS + 1]; /* "x f32 3 5" */
    const char *arg[MAX_ARGS + 1];
    const char *within; /* a function f to call instead, in which alone its derivative is one */
} Case;

static const Case cases[] = {
    {"relu", {"x f32 3 4"}, {NULL}, NULL},
    {"silu", {"x f32 3 4"}, {NULL}, NULL},
    {"gelu", {"x f32 3 4"}, {NULL}, NULL},
    {"gelu_tanh", {"x f32 3 4"}, {NULL}, NULL},
    {"softplus", {"x f32 3 4"}, {NULL}, NULL},
    {"log_sigmoid", {"x f32 3 4"}, {NULL}, NULL},
    {"swiglu", {"g f32 3 4", "u f32 3 4"}, {NULL}, NULL},
    {"softmax", {"x f32 3 5"}, {NULL}, NULL},
    {"log_softmax", {"x f32 3 5"}, {NULL}, NULL},
    {"rms_norm", {"x f32 3 5", "w f32 5"}, {"eps=1e-5"}, NULL},
    {"layer_norm", {"x f32 3 5", "w f32 5", "b f32 5"}, {"eps=1e-5"}, NULL},
    {"group_norm", {"x f32 2 4 3"}, {"G=2", "eps=1e-5"}, NULL},
    {"rope", {"x f32 2 3 2 4", "pos i32 2 3"}, {"theta=10000"}, NULL},
    {"rope", {"x f32 2 3 2 4", "pos i32 2 3"}, {"theta=10000", "style=\"interleaved\""}, NULL},
    {"dequant_int8", {"q i8 3 5", "scale f32 3"}, {NULL}, NULL},
    {"dequant_int4", {"q i32 3 2", "scale f32 3 4"}, {NULL}, NULL},
    {"place", {"x f32 2 4 3", "s f32 5 3", "at bool 2 4"}, {NULL}, NULL},
    {"interpolate", {"x f32 1 2 3 4"}, {"size=(5, 3)"}, NULL},
    {"interpolate", {"x f32 1 2 3 4"}, {"size=(5, 3)", "method=\"nearest\""}, NULL},
    {"interpolate", {"x f32 1 2 3 4"}, {"size=(5, 3)", "method=\"bicubic\""}, NULL},
    {"attention", {"q f32 2 3 4 5", "k f32 2 3 2 5", "v f32 2 3 2 4"}, {NULL}, NULL},
    {"attention", /* its vjp calls the functions it was given */
     {"q f32 2 3 4 5", "k f32 2 3 2 5", "v f32 2 3 2 4", "pos i32 2 3"},
     {NULL},
     "fn f(q: [B, T, H, d], k: [B, S, K, d], v: [B, S, K, e], pos: i32[B, T]) -> [B, T, H, e] =\n"
     "  attention(q, k, v, mask: causal(abs(pos)), score: (s, b, h, t, u) =>\n"
     "    3 * tanh(s / 3) * select(h > 1, exp(0.1 * s), s) - 0.5 * (t - u))\n"},
    {"attention", /* a tensor of floats in the score: through the body */
     {"q f32 2 3 4 5", "k f32 2 3 2 5", "v f32 2 3 2 4", "w f32 4"},
     {NULL},
     "fn f(q: [B, T, H, d], k: [B, S, K, d], v: [B, S, K, e], w: [H]) -> [B, T, H, e] =\n"
     "  attention(q, k, v, score: (s, b, h, t, u) => s * w[h])\n"},
    {"attention_bwd",
     {"q f32 2 3 4 5", "k f32 2 3 2 5", "v f32 2 3 2 4", "lse f32 2 4 3", "y f32 2 3 4 4",
      "dy f32 2 3 4 4"},
     {NULL},
     NULL},
    {"cross_entropy_terms", {"logits f32 3 5", "targets i32 3", "mask bool 3"}, {NULL}, NULL},
    {"linear_cross_entropy", /* the maximum cancels in what is made of its results */
     {"x f32 3 4", "w f32 5 4", "targets i32 3", "mask bool 3"},
     {NULL},
     "fn f(x: f32[B, D], w: f32[V, D], targets: i32[B], mask: bool[B]) -> f32[B] {\n"
     "  l, hit, a = linear_cross_entropy(x, w, targets, mask)\n"
     "  l - hit + 0.1 * (hit - a)\n"
     "}\n"},
    {"cross_entropy", {"logits f32 3 5", "targets i32 3"}, {NULL}, NULL},
    {"cross_entropy", {"logits f32 3 5", "targets i32 3", "mask bool 3"}, {"smoothing=0.1"}, NULL},
    {"binary_cross_entropy", {"logits f32 3 5", "targets f32 3 5"}, {NULL}, NULL},
};

#define FOLDER MDL_SOURCE_DIR "/models/std"
static const char *const files[] = {"ops.mdl", "loss.mdl"};

typedef struct Session {
    Arena *arena;
    Compile *c;
    Err err;
} Session;

static Session open_text(const char *text, bool gradients)
{
    Session s = {.arena = arena_new()};
    const char *path = MDL_BINARY_DIR "/std_grads.mdl";
    assert_true(file_write_atomic(path, text, strlen(text), &s.err));
    CompileOptions *opt = NEW(s.arena, CompileOptions);
    *opt = (CompileOptions){.path = path, .isa = "generic", .gradients = gradients};
    s.c = compile_new(opt);
    assert_true(compile_load(s.c, &s.err));
    return s;
}

static void close_session(Session *s)
{
    compile_free(s->c);
    arena_free(s->arena);
}

static void read_input(Arena *arena, const char *text, CompileInput *in)
{
    size_t name = strcspn(text, " "), type = strcspn(text + name + 1, " ");
    in->name = arena_strndup(arena, text, name);
    assert_true(dtype_find(arena_strndup(arena, text + name + 1, type), &in->dtype));
    for (const char *at = text + name + 1 + type; *at;) {
        char *end;
        in->dim[in->rank++] = strtoll(at, &end, 10);
        at = end;
    }
}

static GradVerdict run_case(Session *s, const Case *x, GradFinding *found)
{
    CompileInput in[MAX_INPUTS] = {{0}};
    CompileCall call = {
        .function = x->within ? "f" : x->op, .inputs = in, .args = x->arg, .mode = COMPILE_TRAIN};
    while (x->in[call.ninput]) {
        read_input(s->arena, x->in[call.ninput], &in[call.ninput]);
        call.ninput++;
    }
    while (x->arg[call.narg])
        call.narg++;
    if (!compile_call(s->c, &call, &s->err))
        fail_msg("%s: %s", x->op, diags_render(compile_diags(s->c), s->arena, DIAG_HUMAN, false));
    const Program *p = compile_program(s->c);
    PassCx *cx = passes_begin(p->ir, s->arena, p, NULL);
    return gradcheck_graph(cx, p->entries.at[0], found);
}

static void test_derivatives(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(cases); i++) {
        Session s = open_text(cases[i].within ? cases[i].within : "", false);
        GradFinding found = {0};
        GradVerdict verdict = run_case(&s, &cases[i], &found);
        if (verdict != GRAD_AGREES)
            fail_msg("%s: verdict %d, operand %s, %g", cases[i].op, (int)verdict, found.operand,
                     found.relative);
        close_session(&s);
    }
}

/* ---- coverage ---- */

static bool has_case(const char *name, size_t n)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        if (strncmp(cases[i].op, name, n) == 0 && !cases[i].op[n])
            return true;
    return false;
}

static void test_every_op_has_a_case(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    int missing = 0, found = 0;
    for (size_t i = 0; i < COUNT(files); i++) {
        Bytes text;
        const char *path = path_join(arena, FOLDER, files[i]);
        assert_true(file_read(arena, path, 1 << 20, &text, NULL));
        for (const char *at = text.data; *at; at += strcspn(at, "\n"), at += *at == '\n') {
            if (strncmp(at, "op ", 3) != 0)
                continue;
            size_t n = strcspn(at + 3, "(");
            found++;
            if (has_case(at + 3, n))
                continue;
            print_message("op %.*s of %s has no case here\n", (int)n, at + 3, files[i]);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
    assert_true(found >= 18);
    arena_free(arena);
}

/* ---- what is wrong is found ---- */

static const char *const frame =
    "%s\n"
    "module Curve(D) {\n"
    "  fc: Linear(4, D)\n"
    "  fn forward(x: f32[B, 4]) -> [B, D] = f(fc(x))\n"
    "}\n"
    "model m = Curve(3)\n"
    "data rows {\n"
    "  source = npz(\"rows.npz\", x: \"x\", label: \"label\")\n"
    "  x: f32[4] = row => row.x\n"
    "  label: i32 = row => row.label\n"
    "}\n"
    "train m { data = rows ; loss = b => cross_entropy(m(b.x), b.label)\n"
    "  optimizer = sgd() ; lr = 0.1 ; batch = 2 ; steps = 1 }\n";

static const struct {
    const char *op, *says; /* NULL: nothing is wrong */
} programs[] = {
    {"op f(x: [.., D]) -> [.., D] { x * x * x\n vjp dy { dx = 3 * x * x * dy } }", NULL},
    {"op f(x: [.., D]) -> [.., D] { x * x * x\n vjp dy { dx = 2 * x * x * dy } }",
     "`vjp` of `f` differs from finite differences"},
    /* The derivative of one column is missing. */
    {"op f(x: [.., D]) -> [.., D] { x * x\n"
     "  vjp dy { dx = select(iota(D) == 0, 0, 2 * x * dy) } }",
     "`vjp` of `f` differs"},
    /* Only right where x is positive. */
    {"op f(x: [.., D]) -> [.., D] { abs(x)\n vjp dy { dx = dy } }", "`vjp` of `f` differs"},
    /* Right, with a kink, and only for positive numbers. */
    {"op f(x: [.., D]) -> [.., D] { max(x, 0.3)\n vjp dy { dx = select(x > 0.3, dy, 0) } }", NULL},
    /* What is stopped has no derivative. */
    {"op f(x: [.., D]) -> [.., D] { x * stop(x * x)\n vjp dy { dx = x * x * dy } }", NULL},
    {"op f(x: [.., D]) -> [.., D] = x * stop(x * x)", NULL},
    {"op f(x: [.., D]) -> [.., D] { log(x)\n vjp dy { dx = dy / x } }", NULL},
};

static void test_wrong_derivatives_are_found(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(programs); i++) {
        Arena *arena = arena_new();
        Session s = open_text(arena_printf(arena, frame, programs[i].op), true);
        bool good = compile_check(s.c, &s.err);
        const char *got = diags_render(compile_diags(s.c), arena, DIAG_SHORT, false);
        if (good != !programs[i].says || (programs[i].says && !strstr(got, programs[i].says)))
            fail_msg("%s: %s", programs[i].op, got);
        assert_non_null(
            strstr(compile_gradients(s.c), programs[i].says ? "differs in x: " : "f  "));
        close_session(&s);
        arena_free(arena);
    }
}

/* The entry as a whole, whose one wrong operation is not looked at by itself. */
static void test_wholes_are_compared(void **state)
{
    UNUSED(state);
    static const struct {
        const char *op;
        GradVerdict verdict;
    } wholes[] = {
        {"op f(x: [.., D]) -> [.., D] { x * x * x\n vjp dy { dx = 3 * x * x * dy } }", GRAD_AGREES},
        {"op f(x: [.., D]) -> [.., D] { x * x * x\n vjp dy { dx = 3.001 * x * x * dy } }",
         GRAD_DIFFERS},
        {"op f(x: [.., D]) -> [.., D] = x * stop(x * x)", GRAD_AGREES},
        {"op f(x: [.., D]) -> [.., D] = abs(x)", GRAD_AGREES},
    };
    for (size_t i = 0; i < COUNT(wholes); i++) {
        Arena *arena = arena_new();
        Session s = open_text(arena_printf(arena, frame, wholes[i].op), false);
        assert_true(compile_stage(s.c, NULL, &s.err));
        const Program *p = compile_program(s.c);
        GradFinding found;
        gradcheck_whole(passes_begin(p->ir, arena, p, NULL), program_entry(p, "micro"), &found);
        assert_int_equal(found.verdict, wholes[i].verdict);
        if (found.verdict == GRAD_AGREES)
            assert_true(found.relative <= found.bound && found.bound < 1e-6);
        close_session(&s);
        arena_free(arena);
    }
}

/* Of a file without a train block, the functions of its models for small sizes. */
static void test_models_are_compared(void **state)
{
    UNUSED(state);
    static const char text[] =
        "op f(x: [.., D]) -> [.., D] { x * x\n vjp dy { dx = %s * x * dy } }\n"
        "module Curve(D) {\n"
        "  fc: Linear(1000, D)\n"
        "  fn forward(x: f32[B, T, 1000]) -> [B, T, D] = f(fc(x))\n"
        "  fn twice(x: f32[B, T, 1000]) -> [B, T, D] = 2 * forward(x)\n"
        "}\n"
        "model m = Curve(7)\n";
    for (int right = 0; right < 2; right++) {
        Arena *arena = arena_new();
        Session s = open_text(arena_printf(arena, text, right ? "2" : "3"), true);
        assert_int_equal(compile_check(s.c, &s.err), right);
        const char *got = compile_gradients(s.c);
        assert_non_null(strstr(got, right ? "f                    agrees\n" : "differs in x: "));
        assert_int_equal(strstr(got, "as a whole           agrees: ") != NULL, right);
        assert_non_null(strstr(got, "m.twice:\nmul "));
        close_session(&s);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_has_a_case),
        cmocka_unit_test(test_derivatives),
        cmocka_unit_test(test_wrong_derivatives_are_found),
        cmocka_unit_test(test_wholes_are_compared),
        cmocka_unit_test(test_models_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

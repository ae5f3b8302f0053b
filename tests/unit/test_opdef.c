/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_opdef.c: `op` as a Def: its inputs, hidden results and vjp, against central differences. */
#include "elabcase.h"

/* x f32[2, 3], y f32[2, 3], w f32[3], ids i32[2] */
static Lab open_op(const char *text)
{
    static const double x[] = {0.3, -0.7, 1.1, 0.9, -1.3, 0.4}, y[] = {0.5, 1.5, -0.4, 0.8, 0.2, 1},
                        w[] = {1.5, -0.5, 0.75}, ids[] = {2, 0};
    static const int64_t matrix[] = {2, 3}, three[] = {3}, two[] = {2};
    Lab l = lab_open(text);
    bool model = strstr(text, "model f") != NULL;
    if (model || lab_takes(text, "x"))
        lab_input(&l, "x", DT_F32, x, 2, matrix);
    if (lab_takes(text, "y"))
        lab_input(&l, "y", DT_F32, y, 2, matrix);
    if (lab_takes(text, "w"))
        lab_input(&l, "w", DT_F32, w, 1, three);
    if (lab_takes(text, "ids"))
        lab_input(&l, "ids", DT_I32, ids, 1, two);
    return l;
}

static const Node *find_call(const Lab *l, const char *name)
{
    const Graph *g = l->program->entries.at[0];
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (op_info(g->nodes.at[i]->op)->cls == OC_CALL &&
            strcmp(node_def(g->nodes.at[i])->name, name) == 0)
            return g->nodes.at[i];
    return NULL;
}

/* `in | out | hidden -> cotangents` by name */
static const char *shape_of(const Lab *l, const Def *def)
{
    StrBuf sb = sb_new(l->arena);
    for (uint32_t i = 0; i < def->body->inputs.n; i++)
        sb_printf(&sb, "%s ", node_sym(def->body->inputs.at[i], "name"));
    for (uint32_t i = 0; i < def->body->results.n; i++)
        sb_printf(&sb, "%s%s ", i == 0 || i == def->nvisible ? "| " : "",
                  def->body->results.at[i].name);
    sb_puts(&sb, "->");
    for (uint32_t i = 0; def->vjp && i < def->vjp->body->results.n; i++)
        sb_printf(&sb, " %s", def->vjp->body->results.at[i].name);
    return sb_text(&sb);
}

/* ---- the derivative ---- */

typedef struct Point {
    Lab *lab;
    const Def *def;
    Value **in; /* of the body */
    Value **out;
} Point;

static void run_body(Point *p, Value **out)
{
    InterpBinding b = {.inputs = p->in};
    interp_run(p->def->body, p->lab->arena, &b, out, NULL);
}

/* sum over the visible results of cotangent * result */
static double weighted_sum(Point *p)
{
    double sum = 0;
    run_body(p, p->out);
    for (uint32_t i = 0; i < p->def->nvisible; i++)
        for (int64_t k = 0; k < p->out[i]->count; k++)
            sum += param_value("cotangent", 10 * i + k) * p->out[i]->at[k];
    return sum;
}

static Value **run_vjp(Point *p)
{
    const Def *def = p->def;
    const Graph *g = def->vjp->body;
    uint32_t nin = def->body->inputs.n, nout = def->body->results.n;
    Arena *arena = p->lab->arena;
    Value **in = NEW_ARRAY(arena, Value *, g->inputs.n), **d = NEW_ARRAY(arena, Value *, nin + 1);
    assert_int_equal(g->inputs.n, nin + nout + def->nvisible);
    Value **out = NEW_ARRAY(arena, Value *, nout);
    run_body(p, out);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        in[i] = i < nin ? p->in[i] : i < nin + nout ? out[i - nin] : NULL;
        if (!in[i]) {
            uint32_t k = i - nin - nout;
            in[i] = value_new(arena, out[k]->type, NULL);
            for (int64_t e = 0; e < in[i]->count; e++)
                in[i]->at[e] = param_value("cotangent", 10 * k + e);
        }
    }
    InterpBinding b = {.inputs = in};
    interp_run(g, arena, &b, d, NULL);
    return d;
}

static void check_derivative(Lab *l, const Def *def)
{
    const Graph *body = def->body;
    Point p = {l, def, NEW_ARRAY(l->arena, Value *, body->inputs.n),
               NEW_ARRAY(l->arena, Value *, body->results.n)};
    for (uint32_t i = 0; i < body->inputs.n; i++) {
        p.in[i] = value_new(l->arena, body->inputs.at[i]->type, NULL);
        for (int64_t k = 0; k < p.in[i]->count; k++)
            p.in[i]->at[k] = dtype_is_float(p.in[i]->type->dtype)
                                 ? 0.5 + param_value("input", 10 * i + k) / 3
                                 : (double)(k % 2);
    }
    Value **d = run_vjp(&p);
    uint32_t next = 0;
    for (uint32_t i = 0; i < body->inputs.n; i++) {
        if (!dtype_is_float(p.in[i]->type->dtype))
            continue;
        const Value *got = d[next++];
        assert_true(got->count == p.in[i]->count);
        for (int64_t k = 0; k < got->count; k++) {
            double at = p.in[i]->at[k], h = 1e-5;
            p.in[i]->at[k] = at + h;
            double up = weighted_sum(&p);
            p.in[i]->at[k] = at - h;
            double down = weighted_sum(&p);
            p.in[i]->at[k] = at;
            if (!(fabs(got->at[k] - (up - down) / (2 * h)) < 1e-6))
                print_error("%s: cotangent %u, element %lld\n", def->name, i, (long long)k);
            assert_true(fabs(got->at[k] - (up - down) / (2 * h)) < 1e-6);
        }
    }
}

typedef struct Case {
    const char *text, *shape;
} Case;

static void check(const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Lab l = open_op(cases[i].text);
        lab_call(&l, "f");
        const Node *call = find_call(&l, "o");
        assert_non_null(call);
        assert_string_equal(shape_of(&l, node_def(call)), cases[i].shape);
        check_derivative(&l, node_def(call));
        lab_close(&l);
    }
}

/* Forward bindings that the vjp mentions are hidden results, unless it has their value anyway. */
static void test_hidden(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"op o(x: [..]) -> [..] {\n s = x * x\n s * x\n vjp dy {\n dx = 3 * s * dy\n }\n}\n"
         "fn f(x: [2, 3]) = o(x)\n",
         "x | y | s -> dx"},
        {"op o(x: [..]) -> [..] {\n y = exp(x)\n y\n vjp dy {\n dx = y * dy\n }\n}\n"
         "fn f(x: [2, 3]) = o(x)\n",
         "x | y -> dx"},
        {"op o(x: [..]) -> [..] {\n h = f32(x)\n h * h\n vjp g {\n dx = 2 * h * g\n }\n}\n"
         "fn f(x: [2, 3]) = o(x)\n",
         "x | y -> dx"},
        {"op o(x: [..]) -> [..] {\n p = (x + 1, [x * x])\n p.0 * p.1[0]\n"
         " vjp g {\n dx = g * (p.1[0] + 2 * x * p.0)\n }\n}\n"
         "fn f(x: [2, 3]) = o(x)\n",
         "x | y | p.0 p.1.0 -> dx"},
        {"op o(x: [..]) -> [..] {\n x = x * x\n x * x\n vjp g {\n dx = 4 * g * x ** 1.5\n }\n}\n"
         "fn f(x: [2, 3]) = o(x)\n",
         "x | y | x -> dx"},
        {"op o(x: [.., D], k: num = 2) -> [.., D] {\n let c = k + 1\n r[..] += x[.., d] ** 2\n"
         " y[.., d] = c * x[.., d] * r[..]\n y\n"
         " vjp g {\n t[..] += g[.., d] * x[.., d]\n"
         " dx[.., d] = c * (g[.., d] * r[..] + 2 * x[.., d] * t[..])\n }\n}\n"
         "fn f(x: [2, 3]) = o(x, k: 3)\n",
         "x | y | r -> dx"},
    };
    check(cases, COUNT(cases));
}

static void test_inputs(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        /* integers have no cotangent */
        {"op o(x: [B, D], at: i32[B]) -> [B] {\n y[b] = x[b, at[b]]\n y\n"
         " vjp g {\n dx[b, d]: [B, D] = select(d == at[b], g[b], 0)\n }\n}\n"
         "fn f(x: [2, 3], ids: i32[2]) = o(x, ids)\n",
         "x at | y -> dx"},
        /* a tensor given as a number is a constant of the body, and of the vjp */
        {"op o(x: [..], w: [..]) -> [..] {\n x * w * w\n vjp g {\n dx = g * w * w\n dw = 2 * g * x "
         "* w\n }\n}\n"
         "fn f(x: [2, 3]) = o(x, 3)\n",
         "x | y -> dx"},
        {"op o(x: [..], w: [..]) -> [..] {\n x * w * w\n vjp g {\n dx = g * w * w\n dw = 2 * g * x "
         "* w\n }\n}\n"
         "fn f(x: [2, 3], y: [2, 3]) = o(x, y)\n",
         "x w | y -> dx dw"},
        /* several results: the cotangent is a tuple */
        {"op o(x: [..], y: [..]) -> ([..], [..]) {\n s = x * y\n (s, s + x)\n"
         " vjp g {\n dx = g.0 * y + g.1 * (y + 1)\n dy = g.0 * x + g.1 * x\n }\n}\n"
         "fn f(x: [2, 3], y: [2, 3]) = o(x, y)\n",
         "x y | y.0 y.1 -> dx dy"},
        /* a cotangent may be a number, or bound twice */
        {"op o(x: [..], y: [..]) -> [..] {\n x + stop(y) - stop(y)\n vjp g {\n dx = g + 1\n dx = "
         "dx - 1\n dy = 0\n }\n}\n"
         "fn f(x: [2, 3], y: [2, 3]) = o(x, y)\n",
         "x y | y -> dx dy"},
    };
    check(cases, COUNT(cases));
}

/* The incoming cotangent `dy` is not what the vjp gives for `y`, nor is a formal `dx`. */
static void test_names(void **state)
{
    UNUSED(state);
    static const char *const texts[] = {
        "op o(x: [..], y: [..]) -> [..] {\n x * y\n vjp dy {\n dx = dy * y\n }\n}\n"
        "fn f(x: [2, 3], y: [2, 3]) = o(x, y)\n",
        "op o(x: [..], dx: [..]) -> [..] {\n x * dx\n vjp g {\n ddx = g * x\n }\n}\n"
        "fn f(x: [2, 3], y: [2, 3]) = o(x, y)\n",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        Lab l = open_op(texts[i]);
        assert_null(lab_try(&l, "f", false));
        assert_non_null(strstr(lab_reports(&l), "error[E0603]"));
        lab_close(&l);
    }
    static const Case good[] = {
        {"op o(x: [..], y: [..]) -> [..] {\n x * y\n vjp dy {\n dx = dy * y\n dy = dy * x\n }\n}\n"
         "fn f(x: [2, 3], y: [2, 3]) = o(x, y)\n",
         "x y | y -> dx dy"},
    };
    check(good, COUNT(good));
}

/* What belongs to the caller's graph is inlined with the op: lists, instances, losses. */
static void test_inlined(void **state)
{
    UNUSED(state);
    static const char with_model[] = "op o(x: [..], m) = m(x)\n"
                                     "module M() {\n"
                                     " l: Linear(3, 3)\n"
                                     " fn forward(x: [..]) = o(x, l)\n"
                                     "}\n"
                                     "model f = M()\n";
    static const char *const texts[] = {
        "op o(x: [..], l) = x + l[0] + l[1].0\nfn f(x: [2, 3], y: [2, 3]) = o(x, [y, (y, 1)])\n",
        "op o(x: [..]) -> loss = mean(x)\nfn f(x: [2, 3]) = o(x)\n",
        with_model,
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        Lab l = open_op(texts[i]);
        lab_call(&l, "f");
        assert_null(find_call(&l, "o"));
        lab_close(&l);
    }
    /* plain values are not a reason */
    Lab l = open_op("op o(x: [..], l, s: str, g) = x * l[0] * (if s == \"a\" { 2 } else { 3 })\n"
                    "fn f(x: [2, 3]) = o(x, [4, \"b\"], \"a\", relu)\n");
    assert_near(lab_call(&l, "f")[0]->at[0], 0.3 * 8);
    assert_non_null(find_call(&l, "o"));
    lab_close(&l);
}

/* What functions given to an op read is one more operand of it, through any number of ops. */
static void test_captures(void **state)
{
    UNUSED(state);
    static const char *const texts[] = {
        "op o(x: [..], g: fn) = g(x)\nfn f(x: [2, 3], y: [2, 3]) = o(x, a => a + y)\n",
        "op o(x: [..], g) = g(x)\nfn f(x: [2, 3], y: [2, 3]) = o(x, a => a + y)\n",
        "op i(x: [..], g: fn) = g(x)\nop o(x: [..], g: fn) = i(x, g)\n"
        "fn f(x: [2, 3], y: [2, 3]) = o(x, a => a + y + 0 * y)\n",
        "op o(x: [..], m: mask) { z[i, j] = select(m(i, j, 0), x[i, j], 0)\n z }\n"
        "fn f(x: [2, 3], y: [2, 3]) = o(x, (i, j, u) => y[i, j] > 0 and not (y[i, j] > 0.9))\n",
    };
    static const double want[] = {0.3 + 0.5, 0.3 + 0.5, 0.3 + 0.5, 0.3};
    for (size_t i = 0; i < COUNT(texts); i++) {
        Lab l = open_op(texts[i]);
        assert_near(lab_call(&l, "f")[0]->at[0], want[i]);
        const Node *call = find_call(&l, "o");
        assert_non_null(call);
        assert_string_equal(shape_of(&l, node_def(call)), "x captured.0 | y ->");
        lab_close(&l);
    }
}

/* Equal bodies are one Def, also of different calls. */
static void test_sharing(void **state)
{
    UNUSED(state);
    Lab l = open_op(
        "op o(x: [..]) -> [..] = x * sigmoid(x)\nfn f(x: [2, 3], y: [2, 3]) = o(x) + o(y)\n");
    lab_call(&l, "f");
    const Graph *g = l.program->entries.at[0];
    const Def *def = NULL;
    uint32_t calls = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        if (op_info(g->nodes.at[i]->op)->cls == OC_CALL) {
            assert_true(!def || def == node_def(g->nodes.at[i]));
            def = node_def(g->nodes.at[i]);
            calls++;
        }
    }
    assert_int_equal(calls, 2);
    lab_close(&l);
}

/* An op of equal arguments is evaluated once, however often it is called: else 400 calls of 2,000
 * additions each would be more than a program may ask for. */
static void test_evaluated_once(void **state)
{
    UNUSED(state);
    Lab l = open_op("op slow(x: [..], k: num) -> [..] {\n"
                    "  for i in 0..2000 { x = x + k }\n"
                    "  x\n"
                    "}\n"
                    "fn f(x: [2, 3]) -> [2, 3] {\n"
                    "  for i in 0..200 { x = slow(x, 1) + slow(x, -1) }\n"
                    "  x\n"
                    "}\n");
    Program *p = front_call(l.front, &(FrontCall){.function = "f", .inputs = l.in, .ninput = l.nin},
                            &(bool){false});
    assert_string_equal(lab_reports(&l), "");
    assert_non_null(p);
    lab_close(&l);
}

/* Whatever the body can see of a call tells it apart from others: types, numbers, texts, lists,
 * functions, arguments left out. */
static void test_told_apart(void **state)
{
    UNUSED(state);
    Lab l = open_op(
        "fn twice(a: [..]) -> [..] = 2 * a\n"
        "fn three(a: [..]) -> [..] = 3 * a\n"
        "op p(a: [..], n: num = 1, s = \"\", l = [0], g = twice) -> [..] =\n"
        "  g(a) * n + len(l) + (if s == \"\" { 0 } else { 10 })\n"
        "fn f(x: [2, 3]) = (p(x), p(x, 2), p(x, n: 1 / 2), p(x, s: \"s\"), p(x, l: [0, 0]),\n"
        "                   p(x, g: three), p(x as f64), p(x as [6]), p(x, 1))\n");
    Value **out = lab_call(&l, "f");
    static const double factor[] = {2, 4, 1, 2, 2, 3, 2, 2, 2},
                        more[] = {1, 1, 1, 11, 2, 1, 1, 1, 1};
    for (size_t i = 0; i < COUNT(factor); i++)
        assert_true(fabs(out[i]->at[0] - (0.3 * factor[i] + more[i])) < 1e-7);
    assert_int_equal(out[6]->type->dtype, DT_F64);
    assert_int_equal(out[7]->type->rank, 1);
    lab_close(&l);
}

/* The standard library's own derivatives. */
static void test_std(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"fn f(x: [2, 3]) = softmax(x)\n", "softmax"},
        {"fn f(x: [2, 3]) = log_softmax(x)\n", "log_softmax"},
        {"fn f(x: [2, 3], w: [3]) = rms_norm(x, w, 1e-3)\n", "rms_norm"},
        {"fn f(x: [2, 3], w: [3]) = layer_norm(x, w, w, 1e-3)\n", "layer_norm"},
        {"fn f(x: [2, 3], w: [3]) = layer_norm(x, w, 0, 1e-3)\n", "layer_norm"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Lab l = open_op(cases[i].text);
        lab_call(&l, "f");
        const Node *call = find_call(&l, cases[i].name);
        assert_non_null(call);
        check_derivative(&l, node_def(call));
        lab_close(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hidden),     cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_inlined),
        cmocka_unit_test(test_captures),   cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_std),        cmocka_unit_test(test_evaluated_once),
        cmocka_unit_test(test_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

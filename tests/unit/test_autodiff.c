/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_autodiff.c: the pass over whole graphs: random ones against central differences, composites
 * with and without vjp, what is written where, what is left out, and what is refused. */
#include "gradcheck.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Program *program;
    PassCx *cx;
    Graph *g;
} Bench;

static Bench open_bench(const char *name)
{
    Bench b = {.arena = arena_new()};
    b.ir = ir_new(b.arena, syms_new(b.arena), diags_new(b.arena));
    b.program = program_new(b.ir, sym(b.ir->syms, "p"));
    b.cx = passes_begin(b.ir, b.arena, b.program, NULL);
    b.g = graph_new(b.ir, b.arena, sym(b.ir->syms, name));
    return b;
}

static void close_bench(Bench *b)
{
    arena_free(b->arena);
}

static const Type *matrix(const Bench *b, DType dtype, int64_t rows, int64_t cols)
{
    return type_tensor(b->ir, dtype, 2,
                       (const Dim *const[]){dim_const(b->ir, rows), dim_const(b->ir, cols)});
}

static Sym name(const Bench *b, const char *text)
{
    return sym(b->ir->syms, text);
}

static uint32_t count_ops(const Graph *g, OpKind op)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++)
        n += g->nodes.at[i]->op == op;
    return n;
}

/* ---- random graphs ---- */

static void test_random(void **state)
{
    UNUSED(state);
    uint32_t deep = 0;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        Bench b = open_bench("random");
        RandGraph options = {
            .seed = seed, .nodes = 80, .dtype = DT_F64, .smooth = true, .results = 1};
        Graph *g = randgraph(b.ir, b.arena, &options);
        /* `stop` is made for gradients that differ from the derivative */
        Graph *plain = pass_tidy(b.cx, g);
        const char *why = gradcheck(b.cx, plain, randgraph_inputs(plain, b.arena, seed), seed);
        if (why)
            fail_msg("seed %llu: %s", (unsigned long long)seed, why);
        deep += plain->nodes.n > plain->inputs.n + 6;
        close_bench(&b);
    }
    assert_true(deep > 20); /* or the property says nothing */
}

/* ---- composites ---- */

/* op square_exp(a, k: i32[], s) -> p, q, with the hidden result e = exp(a):
 *   p = e * e * s, q = a * a. */
static Graph *composite_body(const Bench *b, const Type *t)
{
    Graph *g = graph_new(b->ir, b->arena, name(b, "square_exp"));
    const Node *a = graph_input(g, name(b, "a"), t);
    graph_input(g, name(b, "k"), type_scalar(b->ir, DT_I32));
    const Node *s = graph_input(g, name(b, "s"), t);
    const Node *e = graph_unary(g, OP_EXP, a);
    graph_result(g, name(b, "p"), graph_binary(g, OP_MUL, graph_binary(g, OP_MUL, e, e), s));
    graph_result(g, name(b, "q"), graph_binary(g, OP_MUL, a, a));
    graph_result(g, name(b, "e"), e);
    return g;
}

/* da = dp * 2 e e s + dq * 2 a, ds = dp * e e; `factor` breaks it on purpose. */
static const Def *composite_vjp(const Bench *b, const Type *t, double factor)
{
    Graph *g = graph_new(b->ir, b->arena, name(b, "square_exp_bwd"));
    const Node *a = graph_input(g, name(b, "a"), t);
    graph_input(g, name(b, "k"), type_scalar(b->ir, DT_I32));
    const Node *s = graph_input(g, name(b, "s"), t);
    graph_input(g, name(b, "p"), t);
    graph_input(g, name(b, "q"), t);
    const Node *e = graph_input(g, name(b, "e"), t);
    const Node *dp = graph_input(g, name(b, "dp"), t), *dq = graph_input(g, name(b, "dq"), t);
    const Node *two = graph_fill(g, t, factor);
    const Node *ee = graph_binary(g, OP_MUL, e, e);
    const Node *dpee = graph_binary(g, OP_MUL, dp, ee);
    const Node *through_p = graph_binary(g, OP_MUL, graph_binary(g, OP_MUL, two, dpee), s);
    const Node *through_q = graph_binary(g, OP_MUL, graph_binary(g, OP_MUL, two, a), dq);
    graph_result(g, name(b, "da"), graph_binary(g, OP_ADD, through_p, through_q));
    graph_result(g, name(b, "ds"), dpee);
    return def_intern(b->ir,
                      &(Def){.kind = DEF_COMPOSITE, .name = g->name, .body = g, .nvisible = 2});
}

static const Def *composite(const Bench *b, const Type *t, const Def *vjp)
{
    Graph *body = composite_body(b, t);
    Def def = {.kind = DEF_COMPOSITE, .name = body->name, .body = body, .nvisible = 2, .vjp = vjp};
    return def_intern(b->ir, &def);
}

/* y = sin(p) (+ q): results are read or not. */
static Graph *composite_graph(Bench *b, const Def *def, const Type *t, bool use_q)
{
    Graph *g = b->g;
    const Node *in[] = {graph_input(g, name(b, "x"), t),
                        graph_input(g, name(b, "n"), type_scalar(b->ir, DT_I32)),
                        graph_input(g, name(b, "z"), t)};
    const Node *call = graph_call(g, def, in, 3);
    const Node *y = graph_unary(g, OP_SIN, graph_get(g, call, 0));
    if (use_q)
        y = graph_binary(g, OP_ADD, y, graph_get(g, call, 1));
    graph_result(g, name(b, "y"), y);
    return g;
}

static const char *check_composite(double factor, bool use_q)
{
    Bench b = open_bench("composite");
    const Type *t = matrix(&b, DT_F64, 2, 3);
    const Def *def = composite(&b, t, composite_vjp(&b, t, factor));
    Graph *g = composite_graph(&b, def, t, use_q);
    const char *why = gradcheck(b.cx, g, randgraph_inputs(g, b.arena, 3), 3);
    why = why ? "differs" : NULL;
    close_bench(&b);
    return why;
}

static void test_composite_with_vjp(void **state)
{
    UNUSED(state);
    assert_null(check_composite(2, true));
    assert_null(check_composite(2, false)); /* the cotangent of q is zeros */
    assert_non_null(check_composite(2.5, true));
}

/* The backward is one call; expand makes the same values of it. */
static void test_composite_stays_closed(void **state)
{
    UNUSED(state);
    Bench b = open_bench("composite");
    const Type *t = matrix(&b, DT_F64, 2, 3);
    Graph *g = composite_graph(&b, composite(&b, t, composite_vjp(&b, t, 2)), t, true);
    const Node *wrt[] = {g->inputs.at[0], g->inputs.at[2]}, *dx[2];
    const Node *y = g->results.at[0].node;
    AutodiffIn in = {.y = y, .dy = graph_fill(g, t, 1), .wrt = wrt, .nwrt = 2};
    assert_true(autodiff_append(b.cx, g, &in, dx));
    assert_int_equal(count_ops(g, OP_CALL), 2);
    graph_result(g, name(&b, "dx"), dx[0]);
    graph_result(g, name(&b, "dz"), dx[1]);
    Graph *open = pass_expand(b.cx, g);
    graph_verify(open, NULL);
    assert_int_equal(count_ops(open, OP_CALL) + count_ops(open, OP_GET) + count_ops(open, OP_TUPLE),
                     0);
    Value **x = randgraph_inputs(g, b.arena, 5);
    Value **closed = randgraph_run(g, b.arena, x), **opened = randgraph_run(open, b.arena, x);
    for (int i = 0; i < 3; i++)
        assert_true(value_distance(closed[i], opened[i]) == 0);
    close_bench(&b);
}

/* A call inside a body, two deep, each with several results. */
static void test_expand_nested(void **state)
{
    UNUSED(state);
    Bench b = open_bench("nested");
    const Type *t = matrix(&b, DT_F64, 2, 2);
    const Def *inner = composite(&b, t, NULL);
    Graph *body = graph_new(b.ir, b.arena, name(&b, "outer"));
    const Node *a = graph_input(body, name(&b, "a"), t), *k = graph_const(body, DT_I32, 1);
    const Node *first = graph_call(body, inner, (const Node *const[]){a, k, a}, 3);
    const Node *in[] = {graph_get(body, first, 1), k, a};
    const Node *second = graph_call(body, inner, in, 3);
    graph_result(body, name(&b, "u"), graph_get(body, second, 1));
    graph_result(body, name(&b, "v"), graph_get(body, first, 2));
    const Def *outer = def_intern(
        b.ir, &(Def){.kind = DEF_COMPOSITE, .name = body->name, .body = body, .nvisible = 2});
    const Node *x = graph_input(b.g, name(&b, "x"), t);
    const Node *call = graph_call(b.g, outer, &x, 1);
    graph_result(b.g, name(&b, "u"), graph_get(b.g, call, 0));
    graph_result(b.g, name(&b, "v"), graph_get(b.g, call, 1));
    Graph *open = pass_expand(b.cx, b.g);
    graph_verify(open, NULL);
    assert_int_equal(count_ops(open, OP_CALL) + count_ops(open, OP_TUPLE), 0);
    Value **v = randgraph_inputs(b.g, b.arena, 9);
    Value **want = randgraph_run(b.g, b.arena, v), **got = randgraph_run(open, b.arena, v);
    assert_true(value_distance(got[0], want[0]) == 0);
    assert_true(value_distance(got[1], want[1]) == 0);
    close_bench(&b);
}

static void test_tuples(void **state)
{
    UNUSED(state);
    Bench b = open_bench("tuples");
    const Type *t = matrix(&b, DT_F64, 2, 2);
    const Node *in[] = {graph_input(b.g, name(&b, "x"), t), graph_input(b.g, name(&b, "z"), t)};
    const Node *tuple = graph_tuple(b.g, in, 2);
    const Node *y = graph_binary(b.g, OP_MUL, graph_get(b.g, tuple, 0), graph_get(b.g, tuple, 1));
    graph_result(b.g, name(&b, "y"), graph_binary(b.g, OP_MUL, y, graph_get(b.g, tuple, 1)));
    const char *why = gradcheck(b.cx, b.g, randgraph_inputs(b.g, b.arena, 2), 2);
    if (why)
        fail_msg("%s", why);
    close_bench(&b);
}

/* ---- the pass ---- */

/* A parameter (and its GRAD state when trained). */
static const Node *param(Bench *b, const char *path, const Type *t, bool trained)
{
    State *s = program_state(b->program, &(State){.kind = SK_PARAM,
                                                  .path = name(b, path),
                                                  .key = name(b, path),
                                                  .type = t,
                                                  .trained = trained});
    s->of = s->id;
    if (trained)
        program_state(b->program,
                      &(State){.kind = SK_GRAD, .path = name(b, path), .type = t, .of = s->id});
    return graph_state(b->g, s->id, t, s->path);
}

static const Node *sum_all(Bench *b, const Node *x)
{
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < x->type->rank; i++)
        axes[i] = i;
    return graph_reduce(b->g, OP_SUM, x, axes, x->type->rank);
}

static const Node *matmul(Bench *b, const Node *x, const Node *w)
{
    return graph_dot(b->g, x, w, &(DotAxes){.ncontract = 1, .a_contract = {1}, .b_contract = {1}});
}

/* loss = sum(sin(sin(x W1^T) W2^T)) */
static void two_layers(Bench *b, bool train_first, bool train_second)
{
    const Node *x = graph_input(b->g, name(b, "x"), matrix(b, DT_F32, 5, 4));
    const Node *w1 = param(b, "fc1.weight", matrix(b, DT_F32, 3, 4), train_first);
    const Node *w2 = param(b, "fc2.weight", matrix(b, DT_F32, 2, 3), train_second);
    const Node *h = graph_unary(b->g, OP_SIN, matmul(b, x, w1));
    const Node *y = graph_unary(b->g, OP_SIN, matmul(b, h, w2));
    graph_result(b->g, name(b, "loss.sum"), sum_all(b, y));
}

static void test_writes_gradients(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    two_layers(&b, true, true);
    Graph *g = pass_autodiff(b.cx, b.g);
    assert_non_null(g);
    graph_verify(g, b.program);
    assert_int_equal(g->writes.n, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const State *s = b.program->states.at[g->writes.at[i].state];
        assert_int_equal(s->kind, SK_GRAD);
        assert_ptr_equal(s->type, g->writes.at[i].node->type);
    }
    /* two forward, dW1, dW2 and dh; dx is not wanted; the layout of y = x W^T needs no permute */
    assert_int_equal(count_ops(g, OP_DOT), 5);
    assert_int_equal(count_ops(g, OP_PERMUTE), 0);
    close_bench(&b);
}

static void test_frozen_costs_nothing(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    two_layers(&b, false, true);
    Graph *g = pass_autodiff(b.cx, b.g);
    assert_int_equal(g->writes.n, 1);
    assert_int_equal(count_ops(g, OP_DOT), 3);
    close_bench(&b);
    b = open_bench("micro"); /* through a frozen layer to a trained one */
    two_layers(&b, true, false);
    g = pass_autodiff(b.cx, b.g);
    assert_int_equal(g->writes.n, 1);
    assert_int_equal(count_ops(g, OP_DOT), 4);
    close_bench(&b);
}

static void test_other_entries_stay(void **state)
{
    UNUSED(state);
    Bench b = open_bench("eval:test");
    two_layers(&b, true, true);
    assert_int_equal(pass_autodiff(b.cx, b.g)->writes.n, 0);
    close_bench(&b);
    b = open_bench("micro");
    two_layers(&b, false, false);
    assert_int_equal(pass_autodiff(b.cx, b.g)->writes.n, 0);
    close_bench(&b);
}

/* The same graph in, the same text out. */
static void test_deterministic(void **state)
{
    UNUSED(state);
    const char *text[2];
    Bench b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = open_bench("micro");
        two_layers(&b[i], true, true);
        StrBuf sb = sb_new(b[i].arena);
        graph_print(pass_autodiff(b[i].cx, b[i].g), b[i].program, &sb);
        text[i] = sb_text(&sb);
    }
    assert_string_equal(text[0], text[1]);
    close_bench(&b[0]);
    close_bench(&b[1]);
}

/* ---- the proof that gradients exist ---- */

/* The body of a random graph over parameters instead of inputs; only number k is trained. */
static bool proof_agrees(uint64_t seed, uint32_t k, bool *proven)
{
    Bench b = open_bench("micro");
    RandGraph options = {.seed = seed, .nodes = 60, .dtype = DT_F32, .results = 4};
    Graph *body = randgraph(b.ir, b.arena, &options);
    uint32_t n = body->inputs.n;
    const Node **in = NEW_ARRAY(b.arena, const Node *, n);
    for (uint32_t i = 0; i < n; i++) {
        const Node *x = body->inputs.at[i];
        bool trained = i == k % n && dtype_is_float(x->type->dtype);
        in[i] = param(&b, arena_printf(b.arena, "p%u", i), x->type, trained);
    }
    const Node *y[4], *loss = NULL;
    graph_inline(b.g, body, in, y);
    for (uint32_t i = 0; i < body->results.n; i++)
        if (dtype_is_float(y[i]->type->dtype))
            loss = loss ? graph_binary(b.g, OP_ADD, loss, sum_all(&b, y[i])) : sum_all(&b, y[i]);
    bool differs = false;
    if (loss && dtype_is_float(in[k % n]->type->dtype)) {
        graph_result(b.g, name(&b, "loss.sum"), loss);
        *proven = autodiff_proves(b.program, b.g);
        differs = *proven != (pass_autodiff(b.cx, b.g) != NULL);
    }
    close_bench(&b);
    return !differs;
}

static void test_proof_random(void **state)
{
    UNUSED(state);
    uint32_t yes = 0, no = 0;
    for (uint64_t seed = 1; seed <= 60; seed++)
        for (uint32_t k = 0; k < 3; k++) {
            bool proven = false;
            if (!proof_agrees(seed, k, &proven))
                fail_msg("seed %llu, parameter %u", (unsigned long long)seed, k);
            yes += proven;
            no += !proven;
        }
    assert_true(yes > 20 && no > 5); /* or the property says nothing */
}

/* op two(a, b) -> a * b, floor(a), without vjp: what flows depends on which result is used. */
static const Node *two_results(Bench *b, const Type *t, const Node *x, const Node *y, uint32_t i)
{
    Graph *body = graph_new(b->ir, b->arena, name(b, "two"));
    const Node *p = graph_input(body, name(b, "a"), t), *q = graph_input(body, name(b, "b"), t);
    graph_result(body, name(b, "y.0"), graph_binary(body, OP_MUL, p, q));
    graph_result(body, name(b, "y.1"), graph_unary(body, OP_FLOOR, p));
    Def def = {.kind = DEF_COMPOSITE, .name = body->name, .body = body, .nvisible = 2};
    return graph_get(b->g, graph_call(b->g, def_intern(b->ir, &def), (const Node *[]){x, y}, 2), i);
}

static void test_proof_of_composites(void **state)
{
    UNUSED(state);
    for (uint32_t i = 0; i < 2; i++) {
        Bench b = open_bench("micro");
        const Type *t = matrix(&b, DT_F32, 2, 2);
        const Node *w = param(&b, "w", t, true), *v = param(&b, "v", t, false);
        graph_result(b.g, name(&b, "loss.sum"), sum_all(&b, two_results(&b, t, w, v, i)));
        assert_int_equal(autodiff_proves(b.program, b.g), i == 0);
        close_bench(&b);
    }
    Bench b = open_bench("micro"); /* with a vjp: what it gives; here nothing for `k` */
    const Type *t = matrix(&b, DT_F32, 2, 2);
    const Node *w = param(&b, "w", t, true), *k = graph_const(b.g, DT_I32, 1);
    const Node *in[] = {w, k, w};
    const Node *call = graph_call(b.g, composite(&b, t, composite_vjp(&b, t, 2)), in, 3);
    graph_result(b.g, name(&b, "loss.sum"), sum_all(&b, graph_get(b.g, call, 1)));
    assert_true(autodiff_proves(b.program, b.g));
    close_bench(&b);
}

/* ---- refusals ---- */

static void assert_refused(Bench *b, const char *code, const char *words)
{
    /* types of cotangents are no matter of the proof: front has looked at them */
    assert_int_equal(autodiff_proves(b->program, b->g), strcmp(code, "E0604") == 0);
    assert_null(pass_autodiff(b->cx, b->g));
    const char *text = diags_render(b->ir->diags, b->arena, DIAG_SHORT, false);
    if (!strstr(text, code) || !strstr(text, words))
        fail_msg("expected %s with '%s', got: %s", code, words, text);
    assert_int_equal(diags_errors(b->ir->diags), 1);
    close_bench(b);
}

static void test_no_influence(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    two_layers(&b, true, true);
    param(&b, "unused.weight", matrix(&b, DT_F32, 2, 2), true);
    assert_refused(&b, "E0601", "`unused.weight` is trained, but the loss does not depend on it");
}

/* Every way to the parameter is cut. */
static void test_cut(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    const Node *w = param(&b, "w", matrix(&b, DT_F32, 2, 2), true);
    const Node *v = param(&b, "v", matrix(&b, DT_F32, 2, 2), true);
    const Node *cut = graph_unary(b.g, OP_FLOOR, w);
    graph_result(b.g, name(&b, "loss.sum"), sum_all(&b, graph_binary(b.g, OP_MUL, cut, v)));
    assert_refused(&b, "E0602", "no derivative through `floor` on the way to `w`");
    b = open_bench("micro");
    w = param(&b, "w", matrix(&b, DT_F32, 2, 2), true);
    v = param(&b, "v", matrix(&b, DT_F32, 2, 2), true);
    const Node *less = graph_binary(b.g, OP_LT, w, v);
    graph_result(b.g, name(&b, "loss.sum"), sum_all(&b, graph_select(b.g, less, v, v)));
    assert_refused(&b, "E0602", "no derivative through `lt` on the way to `w`");
}

/* One way cut, another open: the open one counts, silently. */
static void test_half_cut(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    const Node *w = param(&b, "w", matrix(&b, DT_F32, 2, 2), true);
    const Node *y = graph_binary(b.g, OP_MUL, graph_unary(b.g, OP_STOP, w), w);
    graph_result(b.g, name(&b, "loss.sum"), sum_all(&b, y));
    Graph *g = pass_autodiff(b.cx, b.g);
    assert_non_null(g);
    assert_int_equal(g->writes.n, 1);
    assert_int_equal(diags_errors(b.ir->diags), 0);
    close_bench(&b);
}

/* A vjp whose cotangent has another type than its input. */
static void test_wrong_cotangent(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    const Type *t = matrix(&b, DT_F32, 2, 3), *wrong = matrix(&b, DT_F32, 3, 2);
    Graph *vjp = graph_new(b.ir, b.arena, name(&b, "twice_bwd"));
    graph_input(vjp, name(&b, "a"), t);
    graph_input(vjp, name(&b, "y"), t);
    const Node *dy = graph_input(vjp, name(&b, "dy"), t);
    graph_result(vjp, name(&b, "da"), graph_reshape(vjp, dy, 2, wrong->dims));
    const Def *bwd = def_intern(
        b.ir, &(Def){.kind = DEF_COMPOSITE, .name = vjp->name, .body = vjp, .nvisible = 1});
    Graph *body = graph_new(b.ir, b.arena, name(&b, "twice"));
    const Node *a = graph_input(body, name(&b, "a"), t);
    graph_result(body, name(&b, "y"), graph_binary(body, OP_ADD, a, a));
    const Def *def = def_intern(
        b.ir,
        &(Def){.kind = DEF_COMPOSITE, .name = body->name, .body = body, .nvisible = 1, .vjp = bwd});
    const Node *w = param(&b, "w", t, true), *v = param(&b, "v", t, true);
    const Node *y = graph_binary(b.g, OP_MUL, graph_call(b.g, def, &w, 1), w);
    graph_result(b.g, name(&b, "loss.sum"), sum_all(&b, graph_binary(b.g, OP_MUL, y, v)));
    assert_refused(&b, "E0604", "`da` of `twice` is `f32[3, 2]`, `a` is `f32[2, 3]`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_composite_with_vjp),
        cmocka_unit_test(test_composite_stays_closed),
        cmocka_unit_test(test_expand_nested),
        cmocka_unit_test(test_tuples),
        cmocka_unit_test(test_writes_gradients),
        cmocka_unit_test(test_frozen_costs_nothing),
        cmocka_unit_test(test_other_entries_stay),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_proof_random),
        cmocka_unit_test(test_proof_of_composites),
        cmocka_unit_test(test_no_influence),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_half_cut),
        cmocka_unit_test(test_wrong_cotangent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

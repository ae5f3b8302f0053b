/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_narrow.c: 16-bit floats are rounded once for each expression, and nothing computes with them. */
#include "elabcase.h"

static bool is_op(const Node *n, const char *name)
{
    return strcmp(op_info(n->op)->name, name) == 0;
}

/* Casts to bf16 that the results need, and that no node but casts, moves and calls has such an operand. */
static uint32_t roundings(const Graph *g, Arena *arena)
{
    static const char *const moves[] = {"cast", "reshape", "permute", "expand", "slice", "window",
                                        "pad",  "concat",  "gather",  "call",   "get",   "tuple"};
    bool *live = NEW_ARRAY(arena, bool, g->nodes.n + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->results.n; i++)
        live[g->results.at[i].node->id] = true;
    for (uint32_t i = g->nodes.n; i-- > 0;) {
        const Node *n = g->nodes.at[i];
        bool moved = false;
        for (size_t k = 0; k < COUNT(moves); k++)
            moved = moved || is_op(n, moves[k]);
        for (uint32_t k = 0; live[i] && k < n->nin; k++) {
            live[n->in[k]->id] = true;
            if (!moved && n->in[k]->type->dtype == DT_BF16)
                fail_msg("%s of bf16", op_info(n->op)->name);
        }
        count += live[i] && is_op(n, "cast") && n->type->dtype == DT_BF16;
        if (live[i] && op_info(n->op)->cls == OC_CALL)
            count += roundings(node_def(n)->body, arena);
    }
    return count;
}

typedef struct Case {
    const char *text;
    uint32_t casts;
    const char *type;
} Case;

static void check(const Case *c)
{
    static const double x[] = {1, 2, 3, 4}, ids[] = {2, 0};
    static const int64_t four[] = {4}, two[] = {2};
    Lab l = lab_open(c->text);
    lab_input(&l, "x", DT_BF16, x, 1, four);
    if (lab_takes(c->text, "ids"))
        lab_input(&l, "ids", DT_I32, ids, 1, two);
    lab_call(&l, "f");
    assert_string_equal(lab_type(&l, 0), c->type);
    uint32_t casts = roundings(l.program->entries.at[0], l.arena);
    if (casts != c->casts)
        fail_msg("%u roundings, not %u: %s", casts, c->casts, c->text);
    lab_close(&l);
}

static void test_expressions(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"fn f(x: bf16[4]) = x * 3 + x / 7", 1, "bf16[4]"},
        {"fn f(x: bf16[4]) = -exp(max(x, 0)) + select(x > 2, x, 1)", 1, "bf16[4]"},
        {"fn f(x: bf16[4]) = x[1:]", 0, "bf16[3]"},
        {"fn f(x: bf16[4]) = x > 2", 0, "bool[4]"},
        {"fn f(x: bf16[4]) = f32(x) * 2", 0, "f32[4]"},
        {"fn f(x: bf16[4]) = sum(x * x, axis: 0) / 3", 1, "bf16[]"},
        {"fn f(x: bf16[4]) = mean(x, axis: 0)", 1, "bf16[]"},
        {"fn f(x: bf16[4]) = x * x @ (x as [4, 1]) + 1", 1, "bf16[1]"},
        {"fn f(x: bf16[4]) = cumsum(x, axis: 0)", 1, "bf16[4]"},
        {"fn f(x: bf16[4]) = sort(x)", 0, "bf16[4]"},
        {"fn f(x: bf16[4], ids: i32[2]) = x[ids] * ids", 1, "bf16[2]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check(&cases[i]);
}

/* Names and arguments have rounded values. */
static void test_bound(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"fn f(x: bf16[4]) {\n  y = x * 3\n  y + x / 7\n}", 2, "bf16[4]"},
        {"fn f(x: bf16[4]) {\n  y, z = (x * 3, x + 1)\n  y + z\n}", 3, "bf16[4]"},
        {"fn g(x: [..]) -> [..] = x + 1\nfn f(x: bf16[4]) = 2 * g(3 * x)", 3, "bf16[4]"},
        {"fn f(x: bf16[4]) = relu(x + 1)", 2, "bf16[4]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check(&cases[i]);
}

static void test_equations(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"fn f(x: bf16[4]) {\n  y[i] = x[i] * 3 + x[0] / 7\n  y\n}", 1, "bf16[4]"},
        {"fn f(x: bf16[4]) {\n  y += x[i] * x[i] / 3\n  y\n}", 1, "bf16[]"},
        {"fn f(x: bf16[4]) {\n  y[i, j] = x[i] * x[j]\n  z[i] max= y[i, j]\n  z\n}", 2, "bf16[4]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check(&cases[i]);
}

/* In an op only results are rounded; there `float` mixes with what is computed in f32. */
static void test_ops(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"fn f(x: bf16[4]) = gelu(x)", 1, "bf16[4]"},
        {"fn f(x: bf16[4]) = softmax(x)", 1, "bf16[4]"},
        {"fn f(x: bf16[4]) = layer_norm(x, x, x, 1e-5)", 1, "bf16[4]"},
        {"fn f(x: bf16[4]) = swiglu(x, x)", 2, "bf16[4]"}, /* s is a result, for the vjp */
        {"op o(x: [..]) -> [..] {\n  y = x * 3\n  y + x / 7\n}\nfn f(x: bf16[4]) = o(x)", 1,
         "bf16[4]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check(&cases[i]);
}

/* The graph itself does not take them. */
static void test_refused(void **state)
{
    UNUSED(state);
    static const OpKind ops[] = {OP_ADD, OP_MAX, OP_LT};
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Graph *g = graph_new(ir, arena, sym(ir->syms, "g"));
    const Dim *four = dim_const(ir, 4);
    const Node *x = graph_input(g, sym(ir->syms, "x"), type_tensor(ir, DT_BF16, 1, &four));
    for (size_t i = 0; i < COUNT(ops); i++)
        assert_null(graph_binary(g, ops[i], x, x));
    assert_null(graph_unary(g, OP_NEG, x));
    assert_null(graph_reduce(g, OP_SUM, x, (const int64_t[]){0}, 1));
    assert_int_equal(diags_errors(ir->diags), COUNT(ops) + 2);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions), cmocka_unit_test(test_bound),
        cmocka_unit_test(test_equations),   cmocka_unit_test(test_ops),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_ir mdl_base m */
/* test_bits.c: the interpreter in bits: numbers of the program's types, against C's own arithmetic in
 * these types, element by element and bit by bit. */
#include "../support/testrand.h"
#include "ir.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { N = 257 };

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Graph *g;
    Value *in[2];
    const Node *x, *y;
    float a[N], b[N];
} Bench;

/* Numbers of very different sizes, where roundings show. */
static float number(TestRand *r)
{
    return (float)(rand_range(r, -4, 4) * exp2(rand_range(r, -12, 12)));
}

static void bench_open(Bench *b)
{
    TestRand r = {3};
    *b = (Bench){.arena = arena_new()};
    b->ir = ir_new(b->arena, syms_new(b->arena), diags_new(b->arena));
    b->g = graph_new(b->ir, b->arena, sym(b->ir->syms, "bits"));
    const Dim *n = dim_const(b->ir, N);
    const Type *t = type_tensor(b->ir, DT_F32, 1, &n);
    b->x = graph_input(b->g, sym(b->ir->syms, "x"), t);
    b->y = graph_input(b->g, sym(b->ir->syms, "y"), t);
    for (int k = 0; k < 2; k++)
        b->in[k] = value_new(b->arena, t, NULL);
    for (int i = 0; i < N; i++) {
        b->in[0]->at[i] = (double)(b->a[i] = number(&r));
        b->in[1]->at[i] = (double)(b->b[i] = number(&r));
    }
}

static const Value *bench_run(Bench *b, const Node *n)
{
    assert_non_null(n);
    b->g->results.n = 0;
    graph_result(b->g, sym(b->ir->syms, "out"), n);
    Value *out, *writes[1];
    InterpBinding bind = {.inputs = b->in, .bits = true};
    interp_run(b->g, b->arena, &bind, &out, writes);
    return out;
}

static void elements_are_rounded_once(void **state)
{
    UNUSED(state);
    Bench b;
    bench_open(&b);
    Graph *g = b.g;
    const Value *sum = bench_run(&b, graph_binary(g, OP_ADD, b.x, b.y));
    const Value *product = bench_run(&b, graph_binary(g, OP_MUL, b.x, b.y));
    const Value *quotient = bench_run(&b, graph_binary(g, OP_DIV, b.x, b.y));
    const Value *root = bench_run(&b, graph_unary(g, OP_SQRT, graph_unary(g, OP_ABS, b.x)));
    const Value *third =
        bench_run(&b, graph_binary(g, OP_ADD, graph_binary(g, OP_MUL, b.x, b.y), b.x));
    for (int i = 0; i < N; i++) {
        volatile float p = b.a[i] * b.b[i]; /* no contraction */
        assert_true(sum->at[i] == (double)(b.a[i] + b.b[i]));
        assert_true(product->at[i] == (double)p);
        assert_true(quotient->at[i] == (double)(b.a[i] / b.b[i]));
        assert_true(root->at[i] == (double)sqrtf(fabsf(b.a[i])));
        assert_true(third->at[i] == (double)(p + b.a[i]));
    }
    arena_free(b.arena);
}

static void casts_round(void **state)
{
    UNUSED(state);
    static const DType small[] = {DT_F16, DT_BF16, DT_F8E4M3, DT_F8E5M2};
    Bench b;
    bench_open(&b);
    for (size_t k = 0; k < COUNT(small); k++) {
        const Node *n = graph_cast(b.g, DT_F32, graph_cast(b.g, small[k], b.x));
        const Value *got = bench_run(&b, n);
        for (int i = 0; i < N; i++) {
            uint16_t room = 0;
            dtype_store(small[k], &room, 0, (double)b.a[i]);
            double want = dtype_load(small[k], &room, 0);
            assert_true(got->at[i] == want || (isnan(want) && isnan(got->at[i])));
        }
    }
    const Value *wide = bench_run(&b, graph_unary(b.g, OP_EXP, graph_cast(b.g, DT_F64, b.x)));
    for (int i = 0; i < N; i++)
        assert_true(wide->at[i] == exp((double)b.a[i]));
    arena_free(b.arena);
}

static void folds_add_in_order_in_their_type(void **state)
{
    UNUSED(state);
    Bench b;
    bench_open(&b);
    const int64_t axis[] = {0};
    DotAxes axes = {.ncontract = 1};
    float sum = 0, dot = 0, squares = 0;
    double wide = 0;
    for (int i = 0; i < N; i++) {
        sum += b.a[i];
        wide += (double)b.a[i];
        dot = fmaf(b.a[i], b.b[i], dot);
        squares = fmaf(b.a[i], b.a[i], squares);
    }
    assert_true(bench_run(&b, graph_reduce(b.g, OP_SUM, b.x, axis, 1))->at[0] == (double)sum);
    assert_true(bench_run(&b, graph_dot(b.g, b.x, b.y, &axes))->at[0] == (double)dot);
    NodeSpec spec = {.op = OP_SUMSQ, .nin = 1, .in = &b.x};
    assert_true(bench_run(&b, graph_op(b.g, &spec))->at[0] == (double)squares);
    const Node *x64 = graph_cast(b.g, DT_F64, b.x);
    assert_true(bench_run(&b, graph_reduce(b.g, OP_SUM, x64, axis, 1))->at[0] == wide);
    assert_true((double)sum != wide && sum != dot); /* or nothing was shown */
    arena_free(b.arena);
}

static double apply(OpKind op, DType dt, double a, double c)
{
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Graph *g = graph_new(ir, arena, sym(ir->syms, "ints"));
    const Node *n = graph_binary(g, op, graph_const(g, dt, a), graph_const(g, dt, c));
    graph_result(g, sym(ir->syms, "out"), n);
    Value *out, *writes[1];
    interp_run(g, arena, &(InterpBinding){.bits = true}, &out, writes);
    double y = out->at[0];
    arena_free(arena);
    return y;
}

static void integers_wrap_like_kernels(void **state)
{
    UNUSED(state);
    assert_true(apply(OP_ADD, DT_I32, INT32_MAX, 1) == INT32_MIN);
    assert_true(apply(OP_MUL, DT_I32, 65536, 65536) == 0);
    assert_true(apply(OP_SUB, DT_I32, INT32_MIN, 1) == INT32_MAX);
    assert_true(apply(OP_ADD, DT_I8, 100, 100) == -56);
    assert_true(apply(OP_SUB, DT_U8, 1, 2) == 255);
    assert_true(apply(OP_ADD, DT_I64, 0x1p40, 1) == 0x1p40 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_rounded_once),
        cmocka_unit_test(casts_round),
        cmocka_unit_test(folds_add_in_order_in_their_type),
        cmocka_unit_test(integers_wrap_like_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_shaped.c: gradients of the SHAPED rows of ops.def, each with its own cases, against central
 * differences. A differentiable SHAPED row without a case fails the test. */
#include "gradcheck.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- building ---- */

static const Type *type_of(Graph *g, DType dtype, uint32_t rank, const int64_t *extent)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = dim_const(g->ir, extent[i]);
    return type_tensor(g->ir, dtype, rank, dims);
}

static const Node *input(Graph *g, DType dtype, uint32_t rank, const int64_t *extent)
{
    Sym name = sym_printf(g->ir->syms, "x%u", g->inputs.n);
    return graph_input(g, name, type_of(g, dtype, rank, extent));
}

#define EXTENTS(...)  \
    (const int64_t[]) \
    {                 \
        __VA_ARGS__   \
    }
#define FLOATS(g, ...) input(g, DT_F64, COUNT(EXTENTS(__VA_ARGS__)), EXTENTS(__VA_ARGS__))
#define INTS(g, ...)   input(g, DT_I32, COUNT(EXTENTS(__VA_ARGS__)), EXTENTS(__VA_ARGS__))
#define BOOLS(g, ...)  input(g, DT_BOOL, COUNT(EXTENTS(__VA_ARGS__)), EXTENTS(__VA_ARGS__))

static const Dim *at(Graph *g, int64_t v)
{
    return dim_const(g->ir, v);
}

/* ---- views ---- */

static const Node *reshape(Graph *g)
{
    return graph_reshape(g, FLOATS(g, 2, 6), 3, (const Dim *const[]){at(g, 3), at(g, 1), at(g, 4)});
}

static const Node *permute(Graph *g)
{
    return graph_permute(g, FLOATS(g, 2, 3, 5), EXTENTS(2, 0, 1));
}

static const Node *expand(Graph *g)
{
    const Dim *const dims[] = {at(g, 4), at(g, 2), at(g, 3), at(g, 5)};
    return graph_expand(g, FLOATS(g, 2, 5), 4, dims, EXTENTS(1, 3));
}

static const Node *expand_scalar(Graph *g)
{
    const Node *x = graph_input(g, sym(g->ir->syms, "s"), type_scalar(g->ir, DT_F64));
    return graph_expand(g, x, 1, (const Dim *const[]){at(g, 7)}, NULL);
}

static const Node *slice(Graph *g)
{
    return graph_slice(g, FLOATS(g, 3, 7), 1, at(g, 2), at(g, 4));
}

static const Node *pad(Graph *g)
{
    return graph_pad(g, FLOATS(g, 3, 2), 0, at(g, 1), at(g, 2));
}

static const Node *concat(Graph *g)
{
    const Node *in[] = {FLOATS(g, 2, 3), FLOATS(g, 2, 1), FLOATS(g, 2, 4)};
    return graph_concat(g, in, 3, 1);
}

static const Node *concat_same(Graph *g)
{
    const Node *x = FLOATS(g, 2, 3);
    return graph_concat(g, (const Node *const[]){x, x}, 2, 0);
}

/* ---- elementwise with cases of their own ---- */

/* Through f32 and back; the interpreter is exact, so the gradient is 1. */
static const Node *cast(Graph *g)
{
    return graph_cast(g, DT_F64, graph_cast(g, DT_F32, FLOATS(g, 5)));
}

static const Node *select_(Graph *g)
{
    return graph_select(g, BOOLS(g, 3, 3), FLOATS(g, 3, 3), FLOATS(g, 3, 3));
}

/* ---- indirect ---- */

static const Node *gather_rows(Graph *g)
{
    const Node *x = FLOATS(g, 5, 3);
    return graph_gather(g, x, INTS(g, 2, 4), 0, 0);
}

static const Node *gather_columns(Graph *g)
{
    const Node *x = FLOATS(g, 3, 5, 2);
    return graph_gather(g, x, INTS(g, 6), 1, 0);
}

static const Node *gather_batch(Graph *g)
{
    const Node *x = FLOATS(g, 3, 2, 5);
    return graph_gather(g, x, INTS(g, 3, 4), 2, 1);
}

static const Node *gather_picks(Graph *g)
{
    const Node *x = FLOATS(g, 4, 5);
    return graph_gather(g, x, INTS(g, 4), 1, 1);
}

static const Node *scatter(Graph *g, const Node *dy, const Node *idx, int64_t axis, int64_t batch)
{
    const Attr attr[] = {{.kind = AK_INT, .i = axis},
                         {.kind = AK_INT, .i = batch},
                         {.kind = AK_DIM, .dim = at(g, 5)}};
    const Node *in[] = {dy, idx};
    return graph_op(g, &(NodeSpec){.op = OP_SCATTER_ADD, .nin = 2, .in = in, .attr = attr});
}

static const Node *scatter_rows(Graph *g)
{
    const Node *dy = FLOATS(g, 6, 3);
    return scatter(g, dy, INTS(g, 6), 0, 0);
}

static const Node *scatter_batch(Graph *g)
{
    const Node *dy = FLOATS(g, 3, 2, 4);
    return scatter(g, dy, INTS(g, 3, 4), 2, 1);
}

/* ---- folds ---- */

static const Node *sum_all(Graph *g)
{
    return graph_reduce(g, OP_SUM, FLOATS(g, 2, 3), EXTENTS(0, 1), 2);
}

static const Node *sum_middle(Graph *g)
{
    return graph_reduce(g, OP_SUM, FLOATS(g, 2, 3, 4), EXTENTS(1), 1);
}

static const Node *prod(Graph *g)
{
    return graph_reduce(g, OP_PROD, FLOATS(g, 3, 4), EXTENTS(1), 1);
}

/* Rows without, with one and with two zeros. */
static const Node *prod_zeros(Graph *g)
{
    const Node *x = FLOATS(g, 3, 4);
    const Node *row = graph_iota(g, 2, x->type->dims, 0), *col = graph_iota(g, 2, x->type->dims, 1);
    const Node *is_zero = graph_binary(g, OP_LT, col, row);
    const Node *one = graph_fill(g, x->type, 1);
    const Node *keep = graph_select(g, is_zero, graph_fill(g, x->type, 0), one);
    return graph_reduce(g, OP_PROD, graph_binary(g, OP_MUL, x, keep), EXTENTS(1), 1);
}

static const Node *amax(Graph *g)
{
    return graph_reduce(g, OP_AMAX, FLOATS(g, 4, 3, 2), EXTENTS(0, 2), 2);
}

static const Node *amin(Graph *g)
{
    return graph_reduce(g, OP_AMIN, FLOATS(g, 4, 3), EXTENTS(0), 1);
}

static const Node *sumsq(Graph *g)
{
    const Node *in[] = {FLOATS(g, 3, 2), FLOATS(g, 4), FLOATS(g, 1)};
    return graph_op(g, &(NodeSpec){.op = OP_SUMSQ, .nin = 3, .in = in});
}

/* ---- contractions: every place of the contracted and batch axes ---- */

static const Node *dot_nn(Graph *g)
{
    const Node *a = FLOATS(g, 3, 4), *b = FLOATS(g, 4, 2);
    return graph_dot(g, a, b, &(DotAxes){.ncontract = 1, .a_contract = {1}, .b_contract = {0}});
}

static const Node *dot_nt(Graph *g)
{
    const Node *a = FLOATS(g, 3, 4), *b = FLOATS(g, 2, 4);
    return graph_dot(g, a, b, &(DotAxes){.ncontract = 1, .a_contract = {1}, .b_contract = {1}});
}

static const Node *dot_tn(Graph *g)
{
    const Node *a = FLOATS(g, 4, 3), *b = FLOATS(g, 4, 2);
    return graph_dot(g, a, b, &(DotAxes){.ncontract = 1});
}

static const Node *dot_tt(Graph *g)
{
    const Node *a = FLOATS(g, 4, 3), *b = FLOATS(g, 2, 4);
    return graph_dot(g, a, b, &(DotAxes){.ncontract = 1, .a_contract = {0}, .b_contract = {1}});
}

/* Attention: [B, T, H, D] with [B, U, H, D] over D, batch B and H. */
static const Node *dot_batch(Graph *g)
{
    const Node *a = FLOATS(g, 2, 3, 2, 4), *b = FLOATS(g, 2, 5, 2, 4);
    return graph_dot(g, a, b,
                     &(DotAxes){.nbatch = 2,
                                .a_batch = {0, 2},
                                .b_batch = {0, 2},
                                .ncontract = 1,
                                .a_contract = {3},
                                .b_contract = {3}});
}

/* Two contracted axes in different orders, batch axes at odd places. */
static const Node *dot_odd(Graph *g)
{
    const Node *a = FLOATS(g, 3, 2, 4, 2), *b = FLOATS(g, 4, 5, 3, 2);
    return graph_dot(g, a, b,
                     &(DotAxes){.nbatch = 1,
                                .a_batch = {1},
                                .b_batch = {3},
                                .ncontract = 2,
                                .a_contract = {0, 2},
                                .b_contract = {2, 0}});
}

static const Node *dot_vector(Graph *g)
{
    const Node *a = FLOATS(g, 2, 3, 4), *b = FLOATS(g, 4, 2);
    return graph_dot(g, a, b,
                     &(DotAxes){.nbatch = 1,
                                .a_batch = {0},
                                .b_batch = {1},
                                .ncontract = 1,
                                .a_contract = {2},
                                .b_contract = {0}});
}

static const Node *dot_inner(Graph *g)
{
    const Node *a = FLOATS(g, 6), *b = FLOATS(g, 6);
    return graph_dot(g, a, b, &(DotAxes){.ncontract = 1});
}

static const Node *dot_outer(Graph *g)
{
    const Node *a = FLOATS(g, 3), *b = FLOATS(g, 4);
    return graph_dot(g, a, b, &(DotAxes){.ncontract = 0});
}

static const Node *dot_square(Graph *g)
{
    const Node *a = FLOATS(g, 3, 4);
    return graph_dot(g, a, a, &(DotAxes){.ncontract = 1, .a_contract = {1}, .b_contract = {1}});
}

/* ---- windows ---- */

static const Node *window(Graph *g)
{
    return graph_window(g, FLOATS(g, 2, 9), &(Windows){1, 3, 2, 1});
}

static const Node *window_rest(Graph *g)
{
    return graph_window(g, FLOATS(g, 8, 3), &(Windows){0, 2, 3, 2});
}

static const Node *window_side_by_side(Graph *g)
{
    return graph_window(g, FLOATS(g, 2, 8, 2), &(Windows){1, 3, 3, 1});
}

/* ---- along one axis ---- */

static const Node *scan(Graph *g, OpKind op, int64_t axis, int64_t reverse)
{
    const Node *x = FLOATS(g, 2, 4, 3);
    Attr attr[] = {{.kind = AK_INT, .i = axis}, {.kind = AK_INT, .i = reverse}};
    return graph_op(g, &(NodeSpec){.op = op, .nin = 1, .in = &x, .attr = attr});
}

static const Node *cumsum(Graph *g)
{
    return scan(g, OP_CUMSUM, 1, 0);
}

static const Node *cumsum_reverse(Graph *g)
{
    return scan(g, OP_CUMSUM, 2, 1);
}

static const Node *cumprod(Graph *g)
{
    return scan(g, OP_CUMPROD, 1, 0);
}

static const Node *cumprod_reverse(Graph *g)
{
    return scan(g, OP_CUMPROD, 0, 1);
}

/* ---- the cases ---- */

typedef struct Case {
    OpKind op; /* the row that it covers */
    const char *name;
    const Node *(*build)(Graph *g);
} Case;

static const Case cases[] = {
    {OP_RESHAPE, "reshape", reshape},
    {OP_PERMUTE, "permute", permute},
    {OP_EXPAND, "expand", expand},
    {OP_EXPAND, "expand scalar", expand_scalar},
    {OP_SLICE, "slice", slice},
    {OP_PAD, "pad", pad},
    {OP_CONCAT, "concat", concat},
    {OP_CONCAT, "concat with itself", concat_same},
    {OP_CAST, "cast", cast},
    {OP_SELECT, "select", select_},
    {OP_GATHER, "gather rows", gather_rows},
    {OP_GATHER, "gather columns", gather_columns},
    {OP_GATHER, "gather with batch", gather_batch},
    {OP_GATHER, "gather one each", gather_picks},
    {OP_SCATTER_ADD, "scatter rows", scatter_rows},
    {OP_SCATTER_ADD, "scatter with batch", scatter_batch},
    {OP_SUM, "sum all", sum_all},
    {OP_SUM, "sum middle", sum_middle},
    {OP_PROD, "prod", prod},
    {OP_PROD, "prod with zeros", prod_zeros},
    {OP_AMAX, "amax", amax},
    {OP_AMIN, "amin", amin},
    {OP_SUMSQ, "sumsq", sumsq},
    {OP_WINDOW, "window", window},
    {OP_WINDOW, "window with a rest", window_rest},
    {OP_WINDOW, "windows side by side", window_side_by_side},
    {OP_CUMSUM, "cumsum", cumsum},
    {OP_CUMSUM, "cumsum reverse", cumsum_reverse},
    {OP_CUMPROD, "cumprod", cumprod},
    {OP_CUMPROD, "cumprod reverse", cumprod_reverse},
    {OP_DOT, "dot nn", dot_nn},
    {OP_DOT, "dot nt", dot_nt},
    {OP_DOT, "dot tn", dot_tn},
    {OP_DOT, "dot tt", dot_tt},
    {OP_DOT, "dot batch", dot_batch},
    {OP_DOT, "dot odd axes", dot_odd},
    {OP_DOT, "dot matrix vector", dot_vector},
    {OP_DOT, "dot inner", dot_inner},
    {OP_DOT, "dot outer", dot_outer},
    {OP_DOT, "dot with itself", dot_square},
};

static void check_case(const Case *c, uint64_t seed)
{
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    PassCx *cx = passes_begin(ir, arena, NULL, NULL);
    Graph *g = graph_new(ir, arena, sym(ir->syms, c->name));
    const Node *y = c->build(g);
    if (!y)
        fail_msg("%s: %s", c->name, diags_render(ir->diags, arena, DIAG_HUMAN, false));
    graph_result(g, sym(ir->syms, "y"), y);
    const char *why = gradcheck(cx, g, randgraph_inputs(g, arena, seed), seed);
    if (why)
        fail_msg("%s: %s", c->name, why);
    arena_free(arena);
}

static void test_gradients(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(cases); i++)
        for (uint64_t seed = 1; seed < 4; seed++)
            check_case(&cases[i], seed);
}

/* ---- coverage ---- */

#define IR(...)
#define AD(...)
#define GEN(...)
#define TEST(...)  __VA_ARGS__
#define RANGE(...) false
#define SHAPED     true
static const bool shaped[] = {
#define OP(id, name, doc, ir, ad, gen, test) [OP_##id] = test,
#include "ops.def"
#undef OP
};

/* Calls and tuples are covered by tests/unit/test_autodiff.c, loops by test_scan.c. */
static bool needs_case(OpKind op)
{
    OpClass cls = op_info(op)->cls;
    return shaped[op] && autodiff_flows(op) && cls != OC_CALL && cls != OC_LOOP && cls != OC_TUPLE;
}

static void test_every_row_has_a_case(void **state)
{
    UNUSED(state);
    int needed = 0;
    for (OpKind op = 0; op < OP_COUNT; op++) {
        if (!needs_case(op))
            continue;
        needed++;
        bool found = false;
        for (size_t i = 0; i < COUNT(cases); i++)
            found = found || cases[i].op == op;
        if (!found)
            fail_msg("%s is SHAPED and differentiable, but has no case here", op_info(op)->name);
    }
    assert_true(needed >= 15);
}

/* A tie cannot be differenced: equal shares. */
static void test_amax_ties(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    PassCx *cx = passes_begin(ir, arena, NULL, NULL);
    Graph *g = graph_new(ir, arena, sym(ir->syms, "ties"));
    const Node *x = FLOATS(g, 4);
    const Node *y = graph_reduce(g, OP_AMAX, x, EXTENTS(0), 1);
    AutodiffIn in = {.y = y, .dy = graph_fill(g, y->type, 6), .wrt = &x, .nwrt = 1};
    const Node *dx = NULL;
    assert_true(autodiff_append(cx, g, &in, &dx));
    graph_result(g, sym(ir->syms, "dx"), dx);
    Value *v = value_new(arena, x->type, NULL);
    const double at_x[] = {3, -1, 3, 3}, want[] = {2, 0, 2, 2};
    memcpy(v->at, at_x, sizeof at_x);
    Value **out = randgraph_run(g, arena, &v);
    for (int i = 0; i < 4; i++)
        assert_true(out[0]->at[i] == want[i]);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_has_a_case),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_amax_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

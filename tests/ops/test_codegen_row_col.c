/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_row_col.c: rows and columns of one space folded in one kernel: the derivative of a norm, with
 * gains and shifts, rows in one block and in many, long rows, results over rows, columns and both, for every
 * instruction set this machine has. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};

static void add(Harness *h, const char *name, Graph *g, int64_t grain, double tol)
{
    assert_true(g->results.n > 0);
    case_add(h, &(CaseSpec){.name = name,
                            .body = g,
                            .cls = "row_col",
                            .config = {grain},
                            .nconfig = 1,
                            .tol = tol});
}

static const Node *input(Harness *h, Graph *g, const char *name, const Type *t)
{
    return graph_input(g, sym(h->ir->syms, name), t);
}

static void result(Harness *h, Graph *g, const Node *n)
{
    graph_result(g, sym_printf(h->ir->syms, "r%u", g->results.n), n);
}

static const Node *mul(Graph *g, const Node *a, const Node *b)
{
    return graph_binary(g, OP_MUL, a, b);
}

/* Rows and columns of an operand of any rank: its last `tail` axes are the columns. */
typedef struct Axes {
    uint32_t nrow, ncolumn;
    int64_t row[IR_MAX_RANK], column[IR_MAX_RANK];
} Axes;

static Axes axes_of(const Type *t, uint32_t tail)
{
    Axes a = {0};
    for (uint32_t i = 0; i < t->rank - tail; i++)
        a.row[a.nrow++] = i;
    for (uint32_t i = t->rank - tail; i < t->rank; i++)
        a.column[a.ncolumn++] = i;
    return a;
}

/* dx = r (g w - p - n q) + s, the sums of columns of g n, g, dx. */
static Graph *norm_backward(Harness *h, const Type *t, uint32_t tail)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Axes a = axes_of(t, tail);
    const Type *rows = type_tensor(h->ir, DT_F32, a.nrow, t->dims);
    const Type *columns = type_tensor(h->ir, DT_F32, a.ncolumn, t->dims + a.nrow);
    const Node *n = input(h, g, "n", t), *dy = input(h, g, "dy", t), *s = input(h, g, "s", t);
    const Node *r = graph_expand(g, input(h, g, "r", rows), t->rank, t->dims, a.row);
    const Node *w = graph_expand(g, input(h, g, "w", columns), t->rank, t->dims, a.column);
    const Node *old = input(h, g, "old", columns);
    const Node *gw = mul(g, dy, w);
    const Node *p = graph_reduce(g, OP_SUM, gw, a.column, a.ncolumn);
    const Node *q = graph_reduce(g, OP_SUM, mul(g, gw, n), a.column, a.ncolumn);
    const Node *tenth = graph_fill(g, rows, 0.125);
    const Node *pe = graph_expand(g, mul(g, p, tenth), t->rank, t->dims, a.row);
    const Node *qe = graph_expand(g, mul(g, q, tenth), t->rank, t->dims, a.row);
    const Node *d = graph_binary(g, OP_SUB, graph_binary(g, OP_SUB, gw, pe), mul(g, n, qe));
    const Node *dx = graph_binary(g, OP_ADD, mul(g, r, d), s);
    const Node *dw = graph_reduce(g, OP_SUM, mul(g, dy, n), a.row, a.nrow);
    result(h, g, dx);
    result(h, g, graph_binary(g, OP_ADD, old, dw));
    result(h, g, graph_reduce(g, OP_SUM, dy, a.row, a.nrow));
    result(h, g, q);
    result(h, g, graph_unary(g, OP_NEG, graph_reduce(g, OP_SUM, dx, a.row, a.nrow)));
    return g;
}

/* A softmax, whose costly part is kept between its passes, the largest of each column of it, and sums of
 * columns in 16 bits. */
static Graph *softmax_columns(Harness *h, int a, int b)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    int64_t rows[] = {0}, columns[] = {1};
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b));
    const Node *m = graph_reduce(g, OP_AMAX, x, columns, 1);
    const Node *me = graph_expand(g, m, 2, x->type->dims, rows);
    const Node *e = graph_unary(g, OP_EXP, graph_binary(g, OP_SUB, x, me));
    const Node *z = graph_reduce(g, OP_SUM, e, columns, 1);
    const Node *y = graph_binary(g, OP_DIV, e, graph_expand(g, z, 2, x->type->dims, rows));
    result(h, g, y);
    result(h, g, graph_reduce(g, OP_AMAX, y, rows, 1));
    result(h, g, graph_cast(g, DT_BF16, graph_reduce(g, OP_SUM, y, rows, 1)));
    return g;
}

/* Kernels that compute one by one. */
static Graph *doubles(Harness *h, int a, int b)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    int64_t rows[] = {0}, columns[] = {1};
    const Node *x = input(h, g, "x", shape(h, DT_F64, 2, a, b));
    result(h, g, graph_reduce(g, OP_SUM, x, columns, 1));
    result(h, g, graph_reduce(g, OP_SUM, x, rows, 1));
    return g;
}

static void test_sizes(void **state)
{
    UNUSED(state);
    static const int sizes[][2] = {{1, 1},  {3, 7},    {5, 16},   {9, 33},   {4, 300},   {70, 10},
                                   {7, 64}, {33, 129}, {2, 5000}, {21, 384}, {601, 128}, {9, 2048}};
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        for (size_t i = 0; i < COUNT(sizes); i++) {
            int a = sizes[i][0], b = sizes[i][1];
            double tol = 4e-6 * b;
            add(h, "norm_backward", norm_backward(h, shape(h, DT_F32, 2, a, b), 1), 4, tol);
            add(h, "norm_backward", norm_backward(h, shape(h, DT_F32, 2, a, b), 1), 100, tol);
            add(h, "softmax_columns", softmax_columns(h, a, b), 3, 1e-2);
            add(h, "doubles", doubles(h, a, b), 2, 1e-12);
        }
        add(h, "rows3", norm_backward(h, shape(h, DT_F32, 3, 3, 5, 40), 1), 4, 1e-4);
        add(h, "columns3", norm_backward(h, shape(h, DT_F32, 3, 6, 5, 8), 2), 4, 1e-4);
        add(h, "four", norm_backward(h, shape(h, DT_F32, 4, 3, 2, 3, 7), 2), 5, 1e-4);
        harness_run(h);
    }
}

/* Sizes that are known when it runs, none among them. */
static void test_dynamic(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 1, 5, 40};
    for (size_t v = 0; v < COUNT(values); v++) {
        Harness *h = harness_new(NULL);
        const Dim *n = harness_dim(h, "B", 0, 40, values[v]), *k = dim_const(h->ir, 24);
        const Dim *few[] = {n, k}, *wide[] = {k, n};
        add(h, "rows", norm_backward(h, type_tensor(h->ir, DT_F32, 2, few), 1), 3, 1e-4);
        add(h, "columns", norm_backward(h, type_tensor(h->ir, DT_F32, 2, wide), 1), 3, 1e-4);
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

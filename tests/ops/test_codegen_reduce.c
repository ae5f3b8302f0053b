/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_reduce.c: folds over every set of axes, softmax and layer norm in several passes,
 * folds to an index with ties, two phases, for every instruction set this machine has. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};
static const int dims3[][3] = {{1, 1, 1},   {3, 5, 7},    {2, 16, 33},
                               {17, 4, 16}, {5, 70, 130}, {40, 3, 1}};

static Graph *body(Harness *h)
{
    return graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
}

static const Node *input(Harness *h, Graph *g, const char *name, const Type *t)
{
    return graph_input(g, sym(h->ir->syms, name), t);
}

typedef struct Blocking {
    int64_t grain, split;
} Blocking;

static void add(Harness *h, const char *name, Graph *g, Blocking b, double tol)
{
    assert_true(g->results.n > 0);
    case_add(h, &(CaseSpec){.name = name,
                            .body = g,
                            .cls = "reduce",
                            .config = {b.grain, b.split},
                            .nconfig = 2,
                            .tol = tol});
}

static bool folds_to_index(OpKind op)
{
    const char *attr;
    AttrKind kind;
    return op_attr_schema(op, 0, &attr, &kind) > 0 && kind == AK_INT;
}

typedef struct FoldCase {
    OpKind op;
    DType dt;
    const int *dims;
    int axes; /* a bit per axis */
    int64_t split;
} FoldCase;

static void add_fold(Harness *h, const FoldCase *c)
{
    Graph *g = body(h);
    const int *d = c->dims;
    DType dt = c->dt;
    OpKind op = c->op;
    const Node *x = input(h, g, "x", shape(h, dt, 3, d[0], d[1], d[2]));
    int64_t axes[3];
    uint32_t n = 0;
    for (int i = 0; i < 3; i++)
        if (c->axes >> i & 1)
            axes[n++] = i;
    const Node *v =
        dtype_is_float(dt) ? graph_binary(g, OP_ADD, x, graph_fill(g, x->type, 0.25)) : x;
    const Node *y = NULL;
    if (folds_to_index(op)) {
        Attr a = {.kind = AK_INT, .i = axes[0]};
        y = graph_op(g, &(NodeSpec){.op = op, .nin = 1, .in = &v, .attr = &a});
    } else {
        y = graph_reduce(g, op, v, axes, n);
    }
    assert_non_null(y);
    graph_result(g, sym(h->ir->syms, "y"), y);
    double size = (double)d[0] * d[1] * d[2];
    double tol = !dtype_is_float(dt) || folds_to_index(op) ? 0
                 : dt == DT_F64                            ? 1e-11
                                                           : 2e-6 * sqrt(size);
    add(h, op_info(op)->name, g, (Blocking){4, c->split}, tol);
}

static void test_folds(void **state)
{
    UNUSED(state);
    static const OpKind ops[] = {OP_SUM, OP_AMAX, OP_AMIN, OP_ARGMAX, OP_ARGMIN};
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        int round = 0;
        for (size_t o = 0; o < COUNT(ops); o++)
            for (size_t d = 0; d < COUNT(dims3); d++)
                for (int m = 1; m < 8; m++) {
                    bool arg = folds_to_index(ops[o]);
                    if (arg && (m & (m - 1)))
                        continue;
                    if ((round++ + d) % 2 == 0 && o > 0)
                        continue;
                    DType dt = o > 0 && round % 5 == 0    ? DT_I32
                               : o == 0 && round % 7 == 0 ? DT_F64
                                                          : DT_F32;
                    add_fold(h,
                             &(FoldCase){ops[o], dt, dims3[d], m, !arg && round % 3 == 0 ? 3 : 1});
                }
        add_fold(h, &(FoldCase){OP_PROD, DT_F32, dims3[1], 4, 1});
        add_fold(h, &(FoldCase){OP_SUM, DT_F32, (int[]){3, 0, 2}, 2, 1});
        add_fold(h, &(FoldCase){OP_AMAX, DT_F32, (int[]){3, 0, 2}, 2, 1});
        harness_run(h);
    }
}

static const Node *expand_rows(Graph *g, const Node *r, const Node *like)
{
    int64_t axes[] = {0};
    return graph_expand(g, r, 2, like->type->dims, axes);
}

static Graph *softmax(Harness *h, int a, int b)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b));
    int64_t axis[] = {1};
    const Node *m = graph_reduce(g, OP_AMAX, x, axis, 1);
    const Node *e = graph_unary(g, OP_EXP, graph_binary(g, OP_SUB, x, expand_rows(g, m, x)));
    const Node *s = graph_reduce(g, OP_SUM, e, axis, 1);
    graph_result(g, sym(h->ir->syms, "y"), graph_binary(g, OP_DIV, e, expand_rows(g, s, x)));
    graph_result(g, sym(h->ir->syms, "lse"), graph_binary(g, OP_ADD, m, graph_unary(g, OP_LOG, s)));
    return g;
}

static Graph *layer_norm(Harness *h, int a, int b)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b)),
               *w = input(h, g, "w", shape(h, DT_F32, 1, b));
    int64_t axis[] = {1}, last[] = {1};
    const Node *scale = graph_const(g, DT_F32, 1.0 / b);
    const Node *sx = graph_expand(g, scale, 1, shape(h, DT_F32, 1, a)->dims, NULL);
    const Node *mean = graph_binary(g, OP_MUL, graph_reduce(g, OP_SUM, x, axis, 1), sx);
    const Node *d = graph_binary(g, OP_SUB, x, expand_rows(g, mean, x));
    const Node *var = graph_binary(
        g, OP_MUL, graph_reduce(g, OP_SUM, graph_binary(g, OP_MUL, d, d), axis, 1), sx);
    const Node *r =
        graph_unary(g, OP_RSQRT, graph_binary(g, OP_ADD, var, graph_fill(g, var->type, 1e-5)));
    const Node *n = graph_binary(g, OP_MUL, d, expand_rows(g, r, x));
    graph_result(g, sym(h->ir->syms, "y"),
                 graph_binary(g, OP_MUL, n, graph_expand(g, w, 2, x->type->dims, last)));
    graph_result(g, sym(h->ir->syms, "rstd"), r);
    return g;
}

/* Two sums over the first axis at once, as weight gradients of a norm. */
static Graph *columns(Harness *h, int a, int b)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b)),
               *z = input(h, g, "z", shape(h, DT_F32, 2, a, b));
    int64_t axis[] = {0};
    graph_result(g, sym(h->ir->syms, "dw"),
                 graph_reduce(g, OP_SUM, graph_binary(g, OP_MUL, x, z), axis, 1));
    graph_result(g, sym(h->ir->syms, "db"),
                 graph_unary(g, OP_NEG, graph_reduce(g, OP_SUM, z, axis, 1)));
    return g;
}

/* max, then sum, then a full result, folded over the first axis: several passes in columns */
static Graph *column_softmax(Harness *h, int a, int b)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b));
    int64_t axis[] = {0}, last[] = {1};
    const Node *m = graph_expand(g, graph_reduce(g, OP_AMAX, x, axis, 1), 2, x->type->dims, last);
    const Node *e = graph_unary(g, OP_EXP, graph_binary(g, OP_SUB, x, m));
    const Node *s = graph_expand(g, graph_reduce(g, OP_SUM, e, axis, 1), 2, x->type->dims, last);
    graph_result(g, sym(h->ir->syms, "y"), graph_binary(g, OP_DIV, e, s));
    return g;
}

/* Normalised over the middle axis of three: P is not one flat range of the result. */
static Graph *middle(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 3, a, b, c));
    const Node *z = input(h, g, "z", shape(h, DT_F32, 3, c, b, a));
    int64_t axis[] = {1}, keep[] = {0, 2}, perm[] = {2, 1, 0};
    const Node *v = graph_binary(g, OP_MUL, x, graph_permute(g, z, perm));
    const Node *s = graph_reduce(g, OP_AMAX, v, axis, 1);
    const Node *full = graph_expand(g, s, 3, x->type->dims, keep);
    graph_result(g, sym(h->ir->syms, "y"), graph_binary(g, OP_SUB, v, full));
    graph_result(g, sym(h->ir->syms, "s"), s);
    return g;
}

/* The last axis, which lies in memory as columns do. */
static Graph *turned(Harness *h, int a, int b)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b));
    int64_t axis[] = {1}, perm[] = {1, 0};
    const Node *y = graph_permute(g, graph_binary(g, OP_MUL, x, x), perm);
    graph_result(g, sym(h->ir->syms, "y"),
                 graph_unary(g, OP_NEG, graph_reduce(g, OP_SUM, y, axis, 1)));
    return g;
}

static void test_norms(void **state)
{
    UNUSED(state);
    static const int sizes[][2] = {{1, 1}, {3, 7}, {5, 16}, {9, 33}, {4, 300}, {70, 10}, {33, 129}};
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        for (size_t i = 0; i < COUNT(sizes); i++) {
            int a = sizes[i][0], b = sizes[i][1];
            add(h, "softmax", softmax(h, a, b), (Blocking){2, 1}, 4e-6);
            add(h, "layer_norm", layer_norm(h, a, b), (Blocking){1, 1}, b == 1 ? 1e-3 : 5e-5);
            add(h, "columns", columns(h, a, b), (Blocking){8, i % 2 ? 4 : 1}, 5e-6);
            add(h, "middle", middle(h, 3, a, b), (Blocking){8, 1}, 1e-6);
            add(h, "middle", middle(h, b > 40 ? 40 : b, 6, 5), (Blocking){8, 1}, 1e-6);
            add(h, "column_softmax", column_softmax(h, a, b), (Blocking){64, 1}, 4e-6);
        }
        add(h, "columns", columns(h, 70, 530), (Blocking){8, 1}, 3e-5); /* long rows */
        add(h, "columns", columns(h, 190, 1100), (Blocking){8, 1}, 1e-4);
        add(h, "columns", columns(h, 64, 512), (Blocking){8, 1}, 3e-5);
        add(h, "turned", turned(h, 500, 67), (Blocking){8, 1}, 1e-4);
        add(h, "turned", turned(h, 3000, 68), (Blocking){8, 1},
            1e-4); /* more parts than one joins */
        harness_run(h);
    }
}

/* A softmax along what lies as columns: read in the order of memory, a thread would have four rows, and a GPU few threads. */
static Graph *turned_softmax(Harness *h, int a, int b)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, b, a));
    int64_t perm[] = {1, 0}, axis[] = {1}, rows[] = {0};
    const Node *y = graph_permute(g, graph_binary(g, OP_MUL, x, x), perm);
    const Node *m = graph_expand(g, graph_reduce(g, OP_AMAX, y, axis, 1), 2, y->type->dims, rows);
    const Node *e = graph_unary(g, OP_EXP, graph_binary(g, OP_SUB, y, m));
    const Node *s = graph_expand(g, graph_reduce(g, OP_SUM, e, axis, 1), 2, y->type->dims, rows);
    graph_result(g, sym(h->ir->syms, "y"), graph_binary(g, OP_DIV, e, s));
    return g;
}

static void test_teams_fold_what_lies_as_columns(void **state)
{
    UNUSED(state);
    Harness *h = harness_new("sm_80");
    add(h, "turned_softmax", turned_softmax(h, 577, 130), (Blocking){1, 1}, 4e-6);
    add(h, "turned_softmax", turned_softmax(h, 20000, 3), (Blocking){1, 1}, 4e-6);
    assert_int_equal(h->cases.at[0]->k->phases.at[0].team, 32);
    assert_int_equal(h->cases.at[1]->k->phases.at[0].team, 1);
    harness_run(h);
}

static void test_dynamic(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 1, 5, 40};
    for (size_t v = 0; v < COUNT(values); v++) {
        Harness *h = harness_new(NULL);
        const Dim *d[] = {harness_dim(h, "B", 0, 40, values[v]), dim_const(h->ir, 24)};
        for (int64_t axis = 0; axis < 2; axis++) {
            Graph *g = body(h);
            const Node *x = input(h, g, "x", type_tensor(h->ir, DT_F32, 2, d));
            graph_result(g, sym(h->ir->syms, "y"), graph_reduce(g, OP_SUM, x, &axis, 1));
            add(h, "sum", g, (Blocking){3, axis ? 1 : 2}, 2e-6);
        }
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folds),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_teams_fold_what_lies_as_columns),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

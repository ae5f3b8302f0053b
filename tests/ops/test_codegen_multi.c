/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_multi.c: scatter_add in index order, and kernels over tables of tensors. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};

static Graph *body(Harness *h)
{
    return graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
}

static const Node *input(Harness *h, Graph *g, const char *name, const Type *t)
{
    return graph_input(g, sym(h->ir->syms, name), t);
}

typedef struct Scatter {
    int axis, batch, extent, apart;
    int epilogue; /* 1: the result is computed from the sums; 2: they are stored besides */
} Scatter;

enum { SOME_ROWS = 4 /* with `epilogue`: other rows add nothing */ };

/* x where `keep` of the row says so, else 0. */
static const Node *some_rows(Harness *h, Graph *g, const Node *x, const Type *rows)
{
    const int64_t axes[] = {0, 1};
    const Node *keep = input(h, g, "keep", type_tensor(h->ir, DT_BOOL, rows->rank, rows->dims));
    keep = graph_expand(g, keep, x->type->rank, x->type->dims, axes);
    const Node *in[] = {keep, x, graph_fill(g, x->type, 0)};
    return graph_op(g, &(NodeSpec){.op = OP_SELECT, .nin = 3, .in = in});
}

/* Places, some of them out of range, `apart` from each other. */
static void add_scatter(Harness *h, const Type *dy, const Type *idx, Scatter s)
{
    Graph *g = body(h);
    const Node *in[] = {input(h, g, "dy", dy), input(h, g, "idx", idx)};
    if (dy->dtype == DT_BF16 || dy->dtype == DT_F16)
        in[0] = graph_cast(g, DT_F32, in[0]);
    in[0] = graph_unary(g, OP_NEG, in[0]);
    if (s.epilogue & SOME_ROWS)
        in[0] = some_rows(h, g, in[0], idx);
    s.epilogue &= ~SOME_ROWS;
    if (s.apart)
        in[1] = graph_binary(g, OP_MUL, in[1], graph_fill(g, idx, s.apart));
    Attr attr[3];
    attr[op_attr_index(OP_SCATTER_ADD, "axis")] = (Attr){.kind = AK_INT, .i = s.axis};
    attr[op_attr_index(OP_SCATTER_ADD, "batch")] = (Attr){.kind = AK_INT, .i = s.batch};
    attr[op_attr_index(OP_SCATTER_ADD, "extent")] =
        (Attr){.kind = AK_DIM, .dim = dim_const(h->ir, s.extent)};
    const Node *y =
        graph_op(g, &(NodeSpec){.op = OP_SCATTER_ADD, .nin = 2, .in = in, .attr = attr});
    assert_non_null(y);
    if (s.epilogue) {
        const Node *old = input(h, g, "old", y->type), *less = graph_cast(g, DT_BF16, y);
        less = graph_cast(g, y->type->dtype, less);
        graph_result(g, sym(h->ir->syms, "new"), graph_binary(g, OP_ADD, old, less));
    }
    if (s.epilogue != 1)
        graph_result(g, sym(h->ir->syms, "y"), y);
    case_add(h, &(CaseSpec){.name = "scatter",
                            .body = g,
                            .cls = "scatter",
                            .config = {64},
                            .nconfig = 1,
                            .tol = s.epilogue ? 2e-2 : 1e-5});
}

/* Lists of places: long ones, and more places than one warp of a GPU has. */
static void add_long_scatters(Harness *h, int e)
{
    add_scatter(h, shape(h, DT_F32, 2, 300, 40), shape(h, DT_I32, 1, 300),
                (Scatter){0, 0, 70, 12, e});
    add_scatter(h, shape(h, DT_BF16, 2, 203, 48), shape(h, DT_I32, 1, 203),
                (Scatter){0, 0, 31, 5, e});
    add_scatter(h, shape(h, DT_F16, 2, 65, 5), shape(h, DT_I32, 1, 65), (Scatter){0, 0, 33, 6, e});
    add_scatter(h, shape(h, DT_F32, 1, 400), shape(h, DT_I64, 1, 400), (Scatter){0, 0, 64, 9, e});
    add_scatter(h, shape(h, DT_I32, 2, 40, 3), shape(h, DT_I32, 1, 40), (Scatter){0, 0, 6, 0, e});
    add_scatter(h, shape(h, DT_F32, 2, 300, 40), shape(h, DT_I32, 1, 300),
                (Scatter){0, 0, 70, 12, e | SOME_ROWS});
    add_scatter(h, shape(h, DT_BF16, 3, 3, 40, 9), shape(h, DT_I32, 2, 3, 40),
                (Scatter){1, 1, 5, 0, e | SOME_ROWS});
    add_scatter(h, shape(h, DT_F64, 3, 2, 40, 3), shape(h, DT_I32, 1, 40),
                (Scatter){1, 0, 6, 0, e});
    add_scatter(h, shape(h, DT_F32, 4, 3, 2, 37, 10), shape(h, DT_I32, 2, 3, 37),
                (Scatter){2, 1, 40, 7, e});
    add_scatter(h, shape(h, DT_F32, 3, 700, 20, 50), shape(h, DT_I32, 2, 700, 20),
                (Scatter){1, 1, 4, 0, e});
    add_scatter(h, shape(h, DT_F32, 3, 30, 4, 9), shape(h, DT_I32, 2, 30, 4),
                (Scatter){0, 0, 64, 11, e});
}

static void test_scatter(void **state)
{
    UNUSED(state);
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        add_scatter(h, shape(h, DT_F32, 2, 50, 33), shape(h, DT_I32, 1, 50),
                    (Scatter){0, 0, 6, 0, 0});
        add_scatter(h, shape(h, DT_F32, 2, 20, 200), shape(h, DT_I32, 1, 20),
                    (Scatter){0, 0, 7, 0, 0});
        add_scatter(h, shape(h, DT_F32, 2, 3, 300), shape(h, DT_I32, 1, 3),
                    (Scatter){0, 0, 90, 0, 0});
        add_scatter(h, shape(h, DT_F32, 2, 5, 3), shape(h, DT_I64, 1, 5),
                    (Scatter){0, 0, 40, 0, 0});
        add_scatter(h, shape(h, DT_F32, 1, 9), shape(h, DT_I32, 1, 9), (Scatter){1, 1, 7, 0, 0});
        add_scatter(h, shape(h, DT_F32, 4, 2, 3, 4, 17), shape(h, DT_I32, 2, 3, 4),
                    (Scatter){1, 0, 5, 0, 0});
        add_scatter(h, shape(h, DT_F32, 3, 3, 4, 16), shape(h, DT_I32, 2, 3, 4),
                    (Scatter){1, 1, 5, 0, 0});
        add_scatter(h, shape(h, DT_F64, 2, 12, 5), shape(h, DT_I32, 1, 12),
                    (Scatter){0, 0, 6, 0, 0});
        add_scatter(h, shape(h, DT_F32, 2, 0, 5), shape(h, DT_I32, 1, 0), (Scatter){0, 0, 6, 0, 0});
        add_scatter(h, shape(h, DT_F32, 2, 9, 33), shape(h, DT_I32, 1, 9),
                    (Scatter){0, 0, 40, 4, 1});
        add_scatter(h, shape(h, DT_F32, 4, 2, 3, 4, 17), shape(h, DT_I32, 2, 3, 4),
                    (Scatter){1, 0, 5, 0, 2});
        add_scatter(h, shape(h, DT_F32, 2, 65, 5), shape(h, DT_I32, 1, 65),
                    (Scatter){0, 0, 33, 6, 2});
        add_long_scatters(h, 0);
        add_long_scatters(h, 1);
        add_scatter(h, shape(h, DT_BF16, 2, 90, 128), shape(h, DT_I32, 1, 90),
                    (Scatter){0, 0, 17000, 211, 0}); /* a thread has several vectors of a row */
        harness_run(h);
    }
}

/* How many rows there are is known when it runs. */
static void test_scatter_of_any_length(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 1, 31, 32, 33, 90};
    for (size_t t = 0; t < 2; t++)
        for (size_t v = 0; v < COUNT(values); v++) {
            Harness *h = harness_new(t ? "sm_90a" : NULL);
            const Dim *d[] = {harness_dim(h, "B", 0, 90, values[v]), dim_const(h->ir, 9)};
            add_scatter(h, type_tensor(h->ir, DT_F32, 2, d), type_tensor(h->ir, DT_I32, 1, d),
                        (Scatter){0, 0, 50, 9, 0});
            const Dim *turned[] = {d[1], d[0]};
            add_scatter(h, type_tensor(h->ir, DT_F32, 2, turned), shape(h, DT_I32, 1, 9),
                        (Scatter){0, 0, 50, 9, 0});
            harness_run(h);
        }
}

/* p, g, m -> p', m' with a shared scale: the shape of an optimizer. */
static void add_update(Harness *h, const Type *const *tensors, uint32_t count)
{
    Graph *g = body(h);
    const Type *first = tensors[0];
    const Node *p = input(h, g, "p", first), *dp = input(h, g, "g", first);
    const Node *m = input(h, g, "m", first), *scale = input(h, g, "scale", shape(h, DT_F32, 0));
    const Node *s = graph_expand(g, scale, first->rank, first->dims, NULL);
    const Node *lr = graph_expand(g, graph_slot(g, "lr", DT_F32), first->rank, first->dims, NULL);
    const Node *m2 = graph_binary(g, OP_ADD, graph_binary(g, OP_MUL, m, graph_fill(g, first, 0.9)),
                                  graph_binary(g, OP_MUL, dp, s));
    graph_result(g, sym(h->ir->syms, "p2"),
                 graph_binary(g, OP_SUB, p, graph_binary(g, OP_MUL, lr, m2)));
    graph_result(g, sym(h->ir->syms, "m2"), m2);
    const Type **types = NEW_ARRAY(h->arena, const Type *, count * 3 + 2);
    for (uint32_t i = 0; i < count * 3; i++)
        types[i] = tensors[i / 3];
    types[count * 3] = shape(h, DT_F32, 0);
    case_add(h, &(CaseSpec){.name = "update",
                            .body = g,
                            .cls = "multi_map",
                            .config = {64},
                            .nconfig = 1,
                            .tol = 1e-6,
                            .count = count,
                            .types = types});
}

static void add_norm(Harness *h, const Type *const *tensors, uint32_t count)
{
    Graph *g = body(h);
    const Node **in = NEW_ARRAY(h->arena, const Node *, count);
    for (uint32_t i = 0; i < count; i++)
        in[i] = input(h, g, arena_printf(h->arena, "g%u", i), tensors[i]);
    const Node *y = graph_op(g, &(NodeSpec){.op = OP_SUMSQ, .nin = count, .in = in});
    assert_non_null(y);
    graph_result(g, sym(h->ir->syms, "y"), y);
    case_add(h, &(CaseSpec){.name = "norm",
                            .body = g,
                            .cls = "multi_sumsq",
                            .config = {64},
                            .nconfig = 1,
                            .tol = 1e-5});
}

static void test_tables(void **state)
{
    UNUSED(state);
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        const Type *sets[] = {shape(h, DT_F32, 2, 5, 13), shape(h, DT_F32, 1, 1),
                              shape(h, DT_F32, 1, 64), shape(h, DT_F32, 1, 0),
                              shape(h, DT_F32, 3, 7, 3, 11)};
        add_update(h, sets, 5);
        add_update(h, sets + 1, 4); /* a first set of one element */
        add_update(h, sets, 1);
        add_norm(h, sets, 5);
        add_norm(h, sets + 1, 1);
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_scatter_of_any_length),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

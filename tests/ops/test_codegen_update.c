/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_update.c: rows written along every axis of a tensor, at every place they may lie and beyond, of
 * all element types, computed on the way: the bits of the interpreter. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};
static const int dims3[][3] = {{1, 1, 1}, {3, 5, 7},  {2, 16, 33}, {40, 9, 1},
                               {5, 4, 3}, {33, 2, 3}, {1, 3, 130}, {19, 64, 2}};
static const DType types[] = {DT_F32, DT_F64, DT_I32, DT_I64, DT_U8, DT_BOOL, DT_BF16};

static void add(Harness *h, size_t s, uint32_t axis, int64_t at)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const int *d = dims3[s];
    DType dt = types[(s + axis) % COUNT(types)];
    int e[3] = {d[0], d[1], d[2]};
    e[axis] = (d[axis] + 1) / 2;
    const Node *x = graph_input(g, sym(h->ir->syms, "x"), shape(h, dt, 3, d[0], d[1], d[2]));
    const Node *rows = graph_input(g, sym(h->ir->syms, "rows"), shape(h, dt, 3, e[0], e[1], e[2]));
    if (dt == DT_F32 || dt == DT_F64)
        rows = graph_binary(g, OP_MUL, rows, rows);
    const Node *place = graph_fill(g, shape(h, DT_I32, 0), (double)at);
    graph_result(g, sym(h->ir->syms, "y"), graph_update(g, x, rows, place, axis));
    case_add(h, &(CaseSpec){.name = "update",
                            .body = g,
                            .cls = "update",
                            .config = {(int64_t)(s % 3) * 40 + 1, 1},
                            .nconfig = 2,
                            .tol = 1e-6});
}

static void test_places(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(isas); i++) {
        Harness *h = harness_new(isas[i]);
        if (!h)
            continue;
        for (size_t s = 0; s < COUNT(dims3); s++)
            for (uint32_t axis = 0; axis < 3; axis++)
                for (int64_t at = -1; at <= 3; at += 2)
                    add(h, s, axis, at);
        harness_run(h);
    }
}

/* As a cache grows: how many rows there are is known at run time. */
static void test_dynamic(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 1, 5, 8};
    for (size_t v = 0; v < COUNT(values); v++) {
        Harness *h = harness_new(NULL);
        const Dim *d[] = {dim_const(h->ir, 2), dim_const(h->ir, 12), dim_const(h->ir, 24)};
        const Dim *r[] = {d[0], harness_dim(h, "T", 0, 8, values[v]), d[2]};
        Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
        const Node *x = graph_input(g, sym(h->ir->syms, "x"), type_tensor(h->ir, DT_F32, 3, d));
        const Node *rows =
            graph_input(g, sym(h->ir->syms, "rows"), type_tensor(h->ir, DT_F32, 3, r));
        const Node *at = graph_fill(g, shape(h, DT_I32, 0), 3);
        graph_result(g, sym(h->ir->syms, "y"), graph_update(g, x, rows, at, 1));
        case_add(h, &(CaseSpec){.name = "grows",
                                .body = g,
                                .cls = "update",
                                .config = {50, 1},
                                .nconfig = 2,
                                .tol = 1e-6});
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

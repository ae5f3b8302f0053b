/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_gemm.c: matrix products: layouts, batches, prologues, epilogues and odd sizes, with
 * several register tiles, for every instruction set this machine has. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};
static const char *const both[] = {NULL, "sm_80"};

typedef struct Dims {
    int m, n, k, batch;
} Dims;

typedef struct Product {
    bool ta, tb, batched, prologue, epilogue, two;
    DType dt;
} Product;

static const Node *operand(Harness *h, Graph *g, const char *name, const Product *p, const int *d)
{
    bool t = name[0] == 'a' ? p->ta : p->tb;
    int r = t ? d[1] : d[0], c = t ? d[0] : d[1];
    const Type *type = p->batched ? shape(h, p->dt, 3, d[2], r, c) : shape(h, p->dt, 2, r, c);
    return graph_input(g, sym(h->ir->syms, name), type);
}

static Graph *product(Harness *h, const Product *p, const Dims *d)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Node *a = operand(h, g, "a", p, (int[]){d->m, d->k, d->batch});
    const Node *b = operand(h, g, "b", p, (int[]){d->k, d->n, d->batch});
    if (p->prologue) {
        a = graph_binary(g, OP_MUL, a, graph_unary(g, OP_SIGMOID, a));
        b = graph_binary(g, OP_ADD, b, graph_fill(g, b->type, 0.5));
    }
    int64_t o = p->batched;
    DotAxes x = {.nbatch = (uint32_t)o, .ncontract = 1};
    x.a_contract[0] = o + (p->ta ? 0 : 1);
    x.b_contract[0] = o + (p->tb ? 1 : 0);
    const Node *y = graph_dot(g, a, b, &x);
    assert_non_null(y);
    if (p->epilogue) {
        const Node *bias = graph_input(g, sym(h->ir->syms, "bias"), shape(h, p->dt, 1, d->n));
        const Node *res = graph_input(g, sym(h->ir->syms, "residual"), y->type);
        int64_t axes[] = {o + 1};
        const Node *z =
            graph_binary(g, OP_ADD, y, graph_expand(g, bias, y->type->rank, y->type->dims, axes));
        graph_result(g, sym(h->ir->syms, "z"), z);
        y = graph_binary(g, OP_ADD, res, graph_binary(g, OP_MAX, z, graph_fill(g, z->type, 0)));
    }
    graph_result(g, sym(h->ir->syms, "y"), y);
    return g;
}

static const Dims sizes[] = {
    {1, 1, 1, 1},   {5, 7, 3, 2},     {16, 16, 16, 1}, {14, 32, 64, 3}, {33, 10, 40, 2},
    {3, 65, 17, 1}, {29, 70, 130, 1}, {64, 48, 33, 2}, {30, 32, 20, 2}, {37, 16, 9, 1},
};

static void add_product(Harness *h, const Product *p, const Dims *d, const int64_t *config)
{
    CaseSpec s = {.name = "dot", .body = product(h, p, d), .cls = "gemm", .nconfig = 5};
    memcpy(s.config, config, sizeof s.config);
    s.tol = p->dt == DT_F64 ? 1e-12 : 1e-6 * sqrt((double)d->k) * (p->prologue ? 8 : 4);
    case_add(h, &s);
}

static void test_products(void **state)
{
    UNUSED(state);
    static const Product kinds[] = {
        {false, false, false, false, false, false, DT_F32},
        {false, true, false, false, true, false, DT_F32},
        {true, false, false, true, false, false, DT_F32},
        {false, true, true, true, true, false, DT_F32},
        {true, true, true, false, false, false, DT_F32},
        {false, false, false, false, true, false, DT_F64},
    };
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        int w = (int)h->target.vector;
        const int64_t configs[][5] = {{14, 2 * w, 64, 28, 64},
                                      {6, 16, 32, 12, 32},
                                      {4, w, 256, 64, 512},
                                      {16, 16, 48, 16, 16},
                                      {5, 3 * w, 17, 20, 96}};
        uint32_t c = 0;
        for (size_t k = 0; k < COUNT(kinds); k++)
            for (size_t s = k % 2; s < COUNT(sizes); s += 2)
                add_product(h, &kinds[k], &sizes[s], configs[c++ % COUNT(configs)]);
        harness_run(h);
    }
}

/* Shapes without one of the free sides, several contracted axes, permuted operands. */
static void run_shapes(const char *isa)
{
    Harness *h = harness_new(isa);
    Ir *ir = h->ir;
    static const int64_t config[5] = {14, 32, 256, 112, 2048};
    struct {
        const Type *a, *b;
        DotAxes x;
    } cases[] = {
        {shape(h, DT_F32, 2, 37, 20), shape(h, DT_F32, 1, 20), {.ncontract = 1, .a_contract = {1}}},
        {shape(h, DT_F32, 1, 20), shape(h, DT_F32, 2, 20, 37), {.ncontract = 1}},
        {shape(h, DT_F32, 1, 50), shape(h, DT_F32, 1, 50), {.ncontract = 1}},
        {shape(h, DT_F32, 1, 19), shape(h, DT_F32, 1, 23), {.ncontract = 0}},
        {shape(h, DT_F32, 2, 0, 4), shape(h, DT_F32, 2, 4, 5), {.ncontract = 1, .a_contract = {1}}},
        {shape(h, DT_F32, 2, 3, 0), shape(h, DT_F32, 2, 0, 5), {.ncontract = 1, .a_contract = {1}}},
        {shape(h, DT_F32, 3, 4, 5, 6),
         shape(h, DT_F32, 3, 6, 4, 7),
         {.ncontract = 2, .a_contract = {0, 2}, .b_contract = {1, 0}}},
        {shape(h, DT_F32, 4, 2, 9, 3, 8),
         shape(h, DT_F32, 4, 2, 11, 3, 8),
         {.nbatch = 2,
          .ncontract = 1,
          .a_batch = {0, 2},
          .b_batch = {0, 2},
          .a_contract = {3},
          .b_contract = {3}}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Graph *g = graph_new(ir, h->arena, sym(ir->syms, "body"));
        const Node *a = graph_input(g, sym(ir->syms, "a"), cases[i].a),
                   *b = graph_input(g, sym(ir->syms, "b"), cases[i].b);
        const Node *y = graph_dot(g, a, b, &cases[i].x);
        assert_non_null(y);
        graph_result(g, sym(ir->syms, "y"), y);
        CaseSpec s = {.name = arena_printf(h->arena, "shape%zu", i),
                      .body = g,
                      .cls = "gemm",
                      .nconfig = 5,
                      .tol = 2e-5};
        memcpy(s.config, config, sizeof config);
        case_add(h, &s);
    }
    harness_run(h);
}

static void test_shapes(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(both); i++)
        run_shapes(both[i]);
}

static void test_dynamic(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 1, 30, 100};
    for (size_t v = 0; v < 2 * COUNT(values); v++) {
        Harness *h = harness_new(both[v % 2]);
        const Dim *rows = harness_dim(h, "B", 0, 100, values[v / 2]);
        const Dim *x[] = {rows, dim_const(h->ir, 30)}, *y[] = {rows, dim_const(h->ir, 20)};
        for (int kind = 0; kind < 2; kind++) { /* B as rows, B as depth */
            Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
            const Node *a = graph_input(g, sym(h->ir->syms, "a"), type_tensor(h->ir, DT_F32, 2, x));
            const Node *b =
                graph_input(g, sym(h->ir->syms, "b"),
                            kind ? type_tensor(h->ir, DT_F32, 2, y) : shape(h, DT_F32, 2, 30, 20));
            DotAxes ax = {.ncontract = 1, .a_contract = {kind ? 0 : 1}};
            graph_result(g, sym(h->ir->syms, "y"), graph_dot(g, a, b, &ax));
            case_add(h, &(CaseSpec){.name = kind ? "depth" : "rows",
                                    .body = g,
                                    .cls = "gemm",
                                    .nconfig = 5,
                                    .config = {6, 16, 32, 24, 64},
                                    .tol = 2e-5});
        }
        harness_run(h);
    }
}

/* Extents of at least one register tile: the left operand is read without panels. */
static void test_dynamic_direct(void **state)
{
    UNUSED(state);
    static const int values[] = {6, 7, 23, 100};
    for (size_t v = 0; v < 2 * COUNT(values); v++) {
        Harness *h = harness_new(both[v % 2]);
        const Dim *n = harness_dim(h, "B", 6, 100, values[v / 2]);
        const Dim *x[] = {n, dim_const(h->ir, 30)};
        const Dim *p[] = {n, dim_const(h->ir, 6), dim_const(h->ir, 9)};
        const Dim *q[] = {n, dim_const(h->ir, 9), dim_const(h->ir, 16)};
        for (int kind = 0; kind < 2; kind++) { /* B as rows, B as batch */
            Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
            const Type *left = type_tensor(h->ir, DT_F32, kind ? 3 : 2, kind ? p : x);
            const Type *right =
                kind ? type_tensor(h->ir, DT_F32, 3, q) : shape(h, DT_F32, 2, 30, 20);
            const Node *a = graph_input(g, sym(h->ir->syms, "a"), left);
            const Node *b = graph_input(g, sym(h->ir->syms, "b"), right);
            DotAxes rows = {.ncontract = 1, .a_contract = {1}};
            DotAxes batch = {.nbatch = 1, .ncontract = 1, .a_contract = {2}, .b_contract = {1}};
            const Node *y = graph_dot(g, a, b, kind ? &batch : &rows);
            const Node *res = graph_input(g, sym(h->ir->syms, "res"), y->type);
            graph_result(g, sym(h->ir->syms, "y"), graph_binary(g, OP_ADD, y, res));
            case_add(h, &(CaseSpec){.name = kind ? "batch" : "rows",
                                    .body = g,
                                    .cls = "gemm",
                                    .nconfig = 5,
                                    .config = {6, 16, 32, 24, 64},
                                    .tol = 2e-5});
        }
        harness_run(h);
    }
}

/* Attention over merged heads, [B, T, H, d]: many small products, several to a task, of operands
 * whose rows or depth are split; and gradients of the projections, whose rows are. */
static void test_heads(void **state)
{
    UNUSED(state);
    static const int64_t kinds[][2] = {{3, 3}, {3, 1}, {1, 3}, {1, 1}}; /* contracted axes */
    static const int shapes[][4] = {{9, 16, 4, 16}, {12, 5, 3, 8}, {2, 33, 9, 20}};
    for (size_t s = 0; s < 2 * COUNT(shapes); s++) {
        Harness *h = harness_new(both[s % 2]);
        const int *z = shapes[s / 2];
        const Type *t = shape(h, DT_F32, 4, z[0], z[1], z[2], z[3]);
        for (size_t k = 0; k < COUNT(kinds); k++) {
            Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
            const Node *a = graph_input(g, sym(h->ir->syms, "a"), t);
            const Node *b = graph_input(g, sym(h->ir->syms, "b"), t);
            bool same = z[1] == z[3] || kinds[k][0] == kinds[k][1];
            DotAxes x = {.nbatch = 2, .ncontract = 1, .a_batch = {0, 2}, .b_batch = {0, 2}};
            x.a_contract[0] = kinds[k][0];
            x.b_contract[0] = kinds[k][1];
            DotAxes all = {.ncontract = 2, .a_contract = {0, 1}, .b_contract = {0, 1}};
            graph_result(g, sym(h->ir->syms, "y"), graph_dot(g, a, b, same ? &x : &all));
            case_add(h, &(CaseSpec){.name = arena_printf(h->arena, "heads%zu", k),
                                    .body = g,
                                    .cls = "gemm",
                                    .nconfig = 5,
                                    .config = {k % 2 ? 14 : 16, 16, 64, 112, 2048},
                                    .tol = 5e-5});
        }
        harness_run(h);
    }
}

static const Node *input4(Harness *h, Graph *g, const char *name, const int *z)
{
    return graph_input(g, sym(h->ir->syms, name), shape(h, DT_F32, 4, z[0], z[1], z[2], z[3]));
}

/* [B, H, T, d] as the matrix [B * T, H * d]. */
static const Node *merged(Harness *h, Graph *g, const char *name, const int *z)
{
    const Node *x = graph_permute(g, input4(h, g, name, z), (int64_t[]){0, 2, 1, 3});
    const Dim *dims[] = {dim_const(h->ir, z[0] * z[2]), dim_const(h->ir, z[1] * z[3])};
    return graph_reshape(g, x, 2, dims);
}

/* Projections of merged heads and their gradients: depth and rows that views have split, so that
 * elements are evenly spaced over an inner loop only. Vectors of the last shape are cheap to read
 * on one side of the product only. */
static void test_split_depth(void **state)
{
    UNUSED(state);
    static const int shapes[][4] = {{4, 3, 16, 16}, {5, 2, 7, 9}, {40, 3, 7, 5}};
    static const int64_t kc[] = {2048, 48, 30};
    for (size_t s = 0; s < COUNT(shapes) * COUNT(isas); s++) {
        Harness *h = harness_new(isas[s / COUNT(shapes)]);
        if (!h)
            continue;
        const int *z = shapes[s % COUNT(shapes)];
        for (int kind = 0; kind < 9; kind++) {
            Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
            const Node *x = merged(h, g, "x", z);
            int rows = kind % 3 == 0 ? z[1] * z[3] : z[0] * z[2];
            const Node *w = graph_input(g, sym(h->ir->syms, "w"), shape(h, DT_F32, 2, rows, 32));
            DotAxes a = {.ncontract = 1, .a_contract = {kind % 3 ? 0 : 1}};
            DotAxes b = {.ncontract = 1, .b_contract = {0}};
            const Node *y = kind % 3 == 2 ? graph_dot(g, w, x, &b) : graph_dot(g, x, w, &a);
            graph_result(g, sym(h->ir->syms, "y"), y);
            case_add(h, &(CaseSpec){.name = arena_printf(h->arena, "split%d", kind),
                                    .body = g,
                                    .cls = "gemm",
                                    .nconfig = 5,
                                    .config = {kind % 2 ? 14 : 8, 32, kc[kind / 3], 112, 2048},
                                    .tol = 5e-5});
        }
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_dynamic),  cmocka_unit_test(test_dynamic_direct),
        cmocka_unit_test(test_heads),    cmocka_unit_test(test_split_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_products.c: several products in one kernel: gate and up before one epilogue, sums of
 * products along their depths, projections of one value, gradients of their weights; odd sizes, run-time
 * extents, element types, register tiles of every instruction set. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};
static const char *const both[] = {NULL, "sm_80"};

/* Numbers of a case: rows, columns, depth. */
typedef struct Size {
    int m, n, k;
} Size;

static const Size sizes[] = {{1, 1, 1},     {5, 7, 3},    {16, 32, 64},  {33, 10, 40}, {3, 65, 17},
                             {29, 70, 130}, {64, 48, 33}, {37, 96, 300}, {30, 33, 256}};

/* What a body is made with. */
typedef struct Make {
    Harness *h;
    Graph *g;
    DType dt;
    const Dim *m; /* rows of what all products read */
    int n, k;
} Make;

static const Node *matrix(const Make *mk, const char *name, const Dim *rows, int columns)
{
    const Dim *d[] = {rows, dim_const(mk->h->ir, columns)};
    return graph_input(mk->g, sym(mk->h->ir->syms, name), type_tensor(mk->h->ir, mk->dt, 2, d));
}

static const Node *fixed(const Make *mk, const char *name, int rows, int columns)
{
    return matrix(mk, name, dim_const(mk->h->ir, rows), columns);
}

/* What is stored in 16 bits is computed in float32. */
static const Node *wide(const Make *mk, const Node *x)
{
    return dtype_info(mk->dt)->bytes < 4 ? graph_cast(mk->g, DT_F32, x) : x;
}

/* x w', as a linear layer has it. */
static const Node *times(const Make *mk, const Node *x, const Node *w, bool transposed)
{
    DotAxes ax = {.ncontract = 1, .a_contract = {1}, .b_contract = {transposed ? 1 : 0}};
    return graph_dot(mk->g, wide(mk, x), wide(mk, w), &ax);
}

static void result(const Make *mk, const char *name, const Node *y)
{
    assert_non_null(y);
    graph_result(mk->g, sym(mk->h->ir->syms, name), graph_cast(mk->g, mk->dt, y));
}

/* silu(x g') * (x u'), of which the factors may be stored as well. */
static void gate_up(const Make *mk, bool store)
{
    const Node *x = matrix(mk, "x", mk->m, mk->k);
    const Node *g = times(mk, x, fixed(mk, "g", mk->n, mk->k), true);
    const Node *u = times(mk, x, fixed(mk, "u", mk->n, mk->k), true);
    const Node *y = graph_binary(mk->g, OP_MUL, g, graph_unary(mk->g, OP_SIGMOID, g));
    result(mk, "y", graph_binary(mk->g, OP_MUL, y, u));
    if (store) {
        result(mk, "gate", g);
        result(mk, "up", u);
    }
}

/* a g + b u + c v + r: depths of which the last differs. */
static void along_depth(const Make *mk)
{
    const Node *y = wide(mk, matrix(mk, "r", mk->m, mk->n));
    for (int i = 0; i < 3; i++) {
        int depth = i == 2 ? mk->k / 2 + 1 : mk->k;
        const Node *a = matrix(mk, (const char *[]){"a", "b", "c"}[i], mk->m, depth);
        const Node *w = fixed(mk, (const char *[]){"g", "u", "v"}[i], depth, mk->n);
        y = graph_binary(mk->g, OP_ADD, times(mk, a, w, false), y);
    }
    result(mk, "y", y);
}

/* Rows of one half of each head: [H * 2 * d, K] as [H, d, K]. */
static const Node *half(const Make *mk, const Node *w, int heads, int i)
{
    Ir *ir = mk->h->ir;
    const Dim *k = dim_const(ir, mk->k), *d = dim_const(ir, mk->n), *h = dim_const(ir, heads);
    const Node *v = graph_reshape(mk->g, w, 4, (const Dim *[]){h, dim_const(ir, 2), d, k});
    v = graph_slice(mk->g, v, 1, dim_const(ir, i), dim_const(ir, 1));
    return graph_reshape(mk->g, v, 3, (const Dim *[]){h, d, k});
}

/* What rotation makes of the halves of a projection: two products, two results. */
static void rotated(const Make *mk, const Node *x, const char *name, int heads)
{
    const Node *w = fixed(mk, name, heads * 2 * mk->n, mk->k), *y[2];
    DotAxes ax = {.ncontract = 1, .a_contract = {1}, .b_contract = {2}};
    x = wide(mk, x);
    for (int i = 0; i < 2; i++) {
        y[i] = graph_dot(mk->g, x, wide(mk, half(mk, w, heads, i)), &ax);
        assert_non_null(y[i]);
    }
    const Node *c = graph_fill(mk->g, y[0]->type, 0.25), *s = graph_fill(mk->g, y[0]->type, 0.5);
    for (int i = 0; i < 2; i++) {
        const Node *p = graph_binary(mk->g, OP_MUL, y[i], c);
        const Node *q = graph_binary(mk->g, OP_MUL, y[1 - i], s);
        result(mk, arena_printf(mk->h->arena, "%s%d", name, i),
               graph_binary(mk->g, i ? OP_ADD : OP_SUB, p, q));
    }
}

/* Queries and keys rotated, values not: three sets. */
static void projections(const Make *mk)
{
    const Node *x = matrix(mk, "x", mk->m, mk->k);
    rotated(mk, x, "q", 3);
    rotated(mk, x, "k", 1);
    result(mk, "v", times(mk, x, fixed(mk, "v", 2 * mk->n + 1, mk->k), true));
}

/* dW = d' x for two weights: the right operand is packed once. */
static void weights(const Make *mk)
{
    const Node *x = matrix(mk, "x", mk->m, mk->n);
    DotAxes ax = {.ncontract = 1, .a_contract = {0}, .b_contract = {0}};
    x = wide(mk, x);
    for (int i = 0; i < 2; i++) {
        const Node *d = wide(mk, matrix(mk, i ? "d" : "c", mk->m, mk->k));
        const Node *y = graph_dot(mk->g, d, x, &ax);
        const Node *sum = i ? wide(mk, fixed(mk, "sum", mk->k, mk->n)) : y;
        result(mk, i ? "dw" : "dv", i ? graph_binary(mk->g, OP_ADD, y, sum) : y);
    }
}

/* Scores of two pairs of operands over batches, several of which a task takes. */
static void batches(const Make *mk)
{
    Harness *h = mk->h;
    const Node *y = NULL;
    for (int i = 0; i < 2; i++) {
        const Type *t = shape(h, mk->dt, 3, 40, mk->k % 50 + 1, mk->n);
        const Node *a = graph_input(mk->g, sym_printf(h->ir->syms, "a%d", i), t);
        const Node *b = graph_input(mk->g, sym_printf(h->ir->syms, "b%d", i), t);
        DotAxes ax = {.nbatch = 1, .ncontract = 1, .a_contract = {2}, .b_contract = {2}};
        const Node *z = graph_dot(mk->g, wide(mk, a), wide(mk, b), &ax);
        y = y ? graph_binary(mk->g, OP_SUB, y, z) : z;
    }
    result(mk, "y", y);
}

enum { KINDS = 6 };

static void make(const Make *mk, int kind)
{
    if (kind < 2)
        gate_up(mk, kind == 1);
    else if (kind == 2)
        along_depth(mk);
    else if (kind == 3)
        projections(mk);
    else if (kind == 4)
        weights(mk);
    else
        batches(mk);
}

static void add(Harness *h, int kind, DType dt, const Size *s, const int64_t *config)
{
    Make mk = {.h = h, .dt = dt, .m = dim_const(h->ir, s->m), .n = s->n, .k = s->k};
    mk.g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    make(&mk, kind);
    CaseSpec c = {.body = mk.g, .cls = "gemm", .nconfig = 5};
    c.name = arena_printf(h->arena, "kind%d_%d_%d_%d", kind, s->m, s->n, s->k);
    memcpy(c.config, config, sizeof c.config);
    c.tol = dt == DT_F64    ? 1e-12
            : dt == DT_BF16 ? 2e-2
            : dt == DT_F16  ? 3e-3
                            : 1e-5 * (sqrt((double)s->k) + sqrt((double)s->m));
    case_add(h, &c);
}

static void test_kinds(void **state)
{
    UNUSED(state);
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        int w = (int)h->target.vector;
        const int64_t configs[][5] = {{14, 2 * w, 64, 28, 64},
                                      {6, 16, 32, 12, 32},
                                      {4, w, 256, 64, 512},
                                      {8, 3 * w, 256, 112, 2016},
                                      {5, 3 * w, 17, 20, 96}};
        size_t step = t == 0 ? 3 : COUNT(sizes), c = t; /* every size with the widest vectors */
        for (size_t kind = 0; kind < KINDS; kind++)
            for (size_t s = (kind + 2 * t) % 3; s < COUNT(sizes); s += step)
                add(h, (int)kind, DT_F32, &sizes[s], configs[c++ % COUNT(configs)]);
        harness_run(h);
    }
}

static void test_types(void **state)
{
    UNUSED(state);
    static const int64_t config[5] = {14, 32, 64, 28, 64};
    static const DType types[] = {DT_F64, DT_BF16, DT_F16};
    for (size_t t = 0; t < 2 * COUNT(types); t++) {
        Harness *h = harness_new(both[t % 2]);
        for (int kind = 0; kind < KINDS; kind++)
            add(h, kind, types[t / 2], &sizes[3 + (size_t)kind % 3], config);
        harness_run(h);
    }
}

/* Rows that are known when the kernel is called: tasks of all sets follow from the upper end. */
static void test_dynamic(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 7, 100};
    static const int64_t config[5] = {6, 16, 32, 24, 64};
    for (size_t v = 0; v < 2 * COUNT(values); v++) {
        Harness *h = harness_new(both[v % 2]);
        const Dim *rows = harness_dim(h, "B", 0, 100, values[v / 2]);
        for (int kind = 1; kind < 5; kind++) {
            Make mk = {.h = h, .dt = DT_F32, .m = rows, .n = 20, .k = 70};
            mk.g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
            make(&mk, kind);
            CaseSpec c = {.body = mk.g, .cls = "gemm", .nconfig = 5, .tol = 1e-4};
            c.name = arena_printf(h->arena, "kind%d", kind);
            memcpy(c.config, config, sizeof config);
            case_add(h, &c);
        }
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

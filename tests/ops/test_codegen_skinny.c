/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_skinny.c: products whose rows fit one register tile, with right operands large enough
 * that they are read where they lie (codegen/gemm_skinny.c): both layouts, odd sizes, prologues that are
 * not finite past the end, epilogues, storage in 16 bits, run-time extents, every instruction set. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80", "sm_90a"};
static const int64_t usual[5] = {14, 32, 256, 112, 2048};

typedef struct Skinny {
    const char *name;
    int m, n, k, batch;
    bool ta, tb, prologue, epilogue;
    DType right;
} Skinny;

static const Dim *extent(Harness *h, int n)
{
    return dim_const(h->ir, n);
}

static const Type *matrix(Harness *h, DType dt, const Dim *batch, const Dim *r, const Dim *c)
{
    const Dim *dims[] = {batch, r, c};
    bool one = dim_equals(batch, 1);
    return type_tensor(h->ir, dt, one ? 2 : 3, one ? dims + 1 : dims);
}

/* batch, m, n, k as dims. */
static Graph *product(Harness *h, const Skinny *p, const Dim *const *d)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    Syms *syms = h->ir->syms;
    const Type *left =
        p->ta ? matrix(h, DT_F32, d[0], d[3], d[1]) : matrix(h, DT_F32, d[0], d[1], d[3]);
    const Type *right =
        p->tb ? matrix(h, p->right, d[0], d[2], d[3]) : matrix(h, p->right, d[0], d[3], d[2]);
    const Node *a = graph_input(g, sym(syms, "a"), left),
               *b = graph_input(g, sym(syms, "b"), right);
    if (p->right != DT_F32)
        b = graph_cast(g, DT_F32, b);
    if (p->prologue) { /* infinite in lanes that a load has filled with 0 */
        b = graph_binary(g, OP_DIV, graph_fill(g, b->type, 1), b);
        a = graph_binary(g, OP_MUL, a, graph_unary(g, OP_ABS, a));
    }
    int64_t o = dim_equals(d[0], 1) ? 0 : 1;
    DotAxes x = {.nbatch = (uint32_t)o, .ncontract = 1};
    x.a_contract[0] = o + (p->ta ? 0 : 1);
    x.b_contract[0] = o + (p->tb ? 1 : 0);
    const Node *y = graph_dot(g, a, b, &x);
    assert_non_null(y);
    if (p->epilogue) {
        const Node *bias = graph_input(g, sym(syms, "bias"), type_tensor(h->ir, DT_F32, 1, &d[2]));
        int64_t axes[] = {o + 1};
        y = graph_binary(g, OP_ADD, y, graph_expand(g, bias, y->type->rank, y->type->dims, axes));
        graph_result(g, sym(syms, "z"), y);
        const Node *res = graph_input(g, sym(syms, "residual"), y->type);
        y = graph_binary(g, OP_ADD, res, graph_unary(g, OP_TANH, y));
    }
    graph_result(g, sym(syms, "y"), y);
    return g;
}

static void add(Harness *h, const Skinny *p, const Dim *const *d)
{
    CaseSpec s = {.name = p->name, .body = product(h, p, d), .cls = "gemm", .nconfig = 5};
    memcpy(s.config, usual, sizeof usual);
    s.tol = 8e-6 * sqrt((double)p->k);
    s.lo = 0.5;
    s.hi = 2;
    case_add(h, &s);
}

static void test_layouts(void **state)
{
    UNUSED(state);
    static const Skinny cases[] = {
        {"one", 1, 256, 320, 1, false, false, false, false, DT_F32},
        {"one_t", 1, 256, 320, 1, false, true, false, false, DT_F32},
        {"odd", 1, 1101, 65, 1, false, false, true, true, DT_F32},
        {"odd_t", 1, 67, 1101, 1, false, true, true, true, DT_F32},
        {"two", 2, 131, 257, 1, false, false, true, false, DT_F32},
        {"two_t", 2, 131, 2059, 1, true, true, true, false, DT_F32},
        {"five", 5, 129, 301, 1, true, false, false, true, DT_F32},
        {"five_t", 5, 130, 301, 1, false, true, false, true, DT_F32},
        {"eight", 8, 2500, 33, 1, false, false, false, true, DT_F32},
        {"eight_t", 8, 160, 1537, 1, false, true, false, true, DT_F32},
        {"twelve", 12, 200, 531, 1, false, false, true, true, DT_F32},
        {"twelve_t", 12, 210, 531, 1, true, true, true, true, DT_F32},
        {"sixteen", 16, 161, 270, 1, false, false, false, false, DT_F32},
        {"sixteen_t", 16, 170, 270, 1, false, true, false, false, DT_F32},
        {"batch", 3, 150, 140, 3, false, false, false, true, DT_F32},
        {"batch_t", 3, 150, 141, 3, false, true, true, true, DT_F32},
        {"narrow", 4, 260, 144, 1, false, false, false, true, DT_BF16},
        {"narrow_t", 4, 260, 143, 1, false, true, true, true, DT_BF16},
    };
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        for (size_t i = 0; i < COUNT(cases); i++) {
            if (t > 0 && i / 2 % 2 != t % 2)
                continue;
            const Skinny *p = &cases[i];
            add(h, p,
                (const Dim *[]){extent(h, p->batch), extent(h, p->m), extent(h, p->n),
                                extent(h, p->k)});
        }
        harness_run(h);
    }
}

/* Rows from none on; columns from one tile on; depth from one on. */
static void dynamic_on(const char *isa)
{
    static const int values[][3] = {
        {0, 64, 1}, {1, 65, 16}, {3, 300, 17}, {7, 333, 600}, {8, 64, 599}};
    for (size_t v = 0; v < COUNT(values); v++) {
        Harness *h = harness_new(isa);
        const Dim *m = harness_dim(h, "B", 0, 8, values[v][0]), *one = extent(h, 1);
        const Dim *n = harness_dim(h, "N", 64, 333, values[v][1]);
        const Dim *k = harness_dim(h, "K", 1, 600, values[v][2]);
        for (int kind = 0; kind < 4; kind++) {
            Skinny p = {.name = kind % 2 ? "by_depth" : "by_rows", .k = 600, .tb = kind % 2};
            p.prologue = p.epilogue = kind > 1;
            p.right = DT_F32;
            const Dim *fixed[] = {one, m, extent(h, 200), extent(h, 301)};
            add(h, &p, kind == 0 || kind == 3 ? (const Dim *[]){one, m, n, k} : fixed);
        }
        harness_run(h);
    }
}

static void test_dynamic(void **state)
{
    UNUSED(state);
    dynamic_on(NULL);
    dynamic_on("sm_80");
}

/* A matrix times a vector: the matrix is the right side. */
static void vectors_on(const char *isa)
{
    Harness *h = harness_new(isa);
    for (int64_t axis = 0; axis < 2; axis++) {
        Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
        const Node *a = graph_input(g, sym(h->ir->syms, "a"), shape(h, DT_F32, 2, 301, 205));
        const Node *b =
            graph_input(g, sym(h->ir->syms, "b"), shape(h, DT_F32, 1, axis ? 205 : 301));
        DotAxes x = {.ncontract = 1, .a_contract = {axis}};
        graph_result(g, sym(h->ir->syms, "y"), graph_dot(g, a, b, &x));
        CaseSpec s = {.name = "vector", .body = g, .cls = "gemm", .nconfig = 5, .tol = 1e-4};
        memcpy(s.config, usual, sizeof usual);
        case_add(h, &s);
    }
    harness_run(h);
}

static void test_vector(void **state)
{
    UNUSED(state);
    vectors_on(NULL);
    vectors_on("sm_80");
}

/* Columns for some blocks of a GPU, sums of two products, weights of 16 and of 8 bits with scales. */
static const Node *weights(Harness *h, Graph *g, const char *name, DType dt, bool turned)
{
    const Type *t = turned ? shape(h, dt, 2, 203, 344) : shape(h, dt, 2, 344, 203);
    const Node *w = graph_cast(g, DT_F32, graph_input(g, sym(h->ir->syms, name), t));
    if (dt != DT_I8)
        return w;
    const Node *scale = graph_input(g, sym(h->ir->syms, "scale"), shape(h, DT_F32, 1, 203));
    const int64_t axis[] = {turned ? 0 : 1};
    return graph_binary(g, OP_MUL, w, graph_expand(g, scale, 2, w->type->dims, axis));
}

static void test_weights(void **state)
{
    UNUSED(state);
    static const DType types[] = {DT_BF16, DT_I8, DT_F16};
    Harness *h = harness_new("sm_90a");
    for (size_t t = 0; t < COUNT(types); t++)
        for (int turned = 0; turned < 2; turned++) {
            Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
            const Type *left = shape(h, DT_BF16, 2, t == 0 ? 1 : 3, 344);
            const Node *x = graph_input(g, sym(h->ir->syms, "x"), left);
            x = graph_cast(g, DT_F32, x);
            DotAxes axes = {.ncontract = 1, .a_contract = {1}, .b_contract = {turned}};
            const Node *y = graph_dot(g, x, weights(h, g, "w", types[t], turned), &axes);
            const Node *z = graph_dot(g, x, weights(h, g, "u", DT_BF16, turned), &axes);
            y = graph_binary(g, OP_MUL, graph_unary(g, OP_SIGMOID, y), z);
            graph_result(g, sym(h->ir->syms, "y"), graph_cast(g, DT_BF16, y));
            case_add(h, &(CaseSpec){.name = "weights", .body = g, .cls = "gemm", .tol = 0.01});
        }
    harness_run(h);
}

/* Up to 16 rows of 16-bit operands on tensor cores: both layouts, whole pieces of the depth and parts of one, the depth
 * in splits and in one, columns past the last, two products of one result, batches. */
typedef struct Rows {
    int m, n, k, batch;
    bool turned, two;
    DType type;
} Rows;

static const Node *narrow_product(Harness *h, Graph *g, const Rows *r, const Dim *const *d,
                                  const char *name, const Node *x)
{
    const Type *t =
        r->turned ? matrix(h, r->type, d[0], d[2], d[3]) : matrix(h, r->type, d[0], d[3], d[2]);
    const Node *w = graph_cast(g, DT_F32, graph_input(g, sym(h->ir->syms, name), t));
    int64_t o = r->batch == 1 ? 0 : 1;
    DotAxes axes = {.nbatch = (uint32_t)o, .ncontract = 1};
    axes.a_contract[0] = o + 1;
    axes.b_contract[0] = o + (r->turned ? 1 : 0);
    return graph_dot(g, x, w, &axes);
}

static void add_rows(Harness *h, const Rows *r, const Dim *const *d)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Node *x = graph_input(g, sym(h->ir->syms, "x"), matrix(h, r->type, d[0], d[1], d[3]));
    x = graph_cast(g, DT_F32, x);
    const Node *y = narrow_product(h, g, r, d, "w", x);
    if (r->two)
        y = graph_binary(g, OP_MUL, graph_unary(g, OP_TANH, y), narrow_product(h, g, r, d, "u", x));
    graph_result(g, sym(h->ir->syms, "y"), graph_cast(g, r->type, y));
    case_add(h,
             &(CaseSpec){.name = "rows", .body = g, .cls = "gemm", .tol = 0.01, .lo = -1, .hi = 1});
}

static void test_rows(void **state)
{
    UNUSED(state);
    static const Rows cases[] = {
        {16, 256, 512, 1, true, false, DT_BF16},  {16, 256, 512, 1, false, false, DT_BF16},
        {9, 131, 776, 1, true, true, DT_F16},     {9, 136, 777, 1, false, true, DT_F16},
        {12, 4099, 136, 1, true, false, DT_BF16}, {7, 1000, 1000, 1, false, false, DT_BF16},
        {5, 200, 300, 3, true, false, DT_F16},    {13, 203, 301, 3, false, false, DT_BF16},
        {16, 17, 2048, 1, true, true, DT_BF16},   {10, 24, 2304, 1, false, false, DT_F16},
    };
    Harness *h = harness_new("sm_80");
    for (size_t i = 0; i < COUNT(cases); i++) {
        const Rows *r = &cases[i];
        add_rows(h, r,
                 (const Dim *[]){extent(h, r->batch), extent(h, r->m), extent(h, r->n),
                                 extent(h, r->k)});
    }
    harness_run(h);
}

static void test_rows_of_the_run(void **state)
{
    UNUSED(state);
    static const int values[][3] = {{0, 64, 1}, {1, 65, 31}, {9, 300, 512}, {16, 333, 1100}};
    for (size_t v = 0; v < COUNT(values); v++) {
        Harness *h = harness_new("sm_90a");
        const Dim *d[] = {extent(h, 1), harness_dim(h, "B", 0, 16, values[v][0]),
                          harness_dim(h, "N", 64, 333, values[v][1]),
                          harness_dim(h, "K", 1, 1100, values[v][2])};
        for (int turned = 0; turned < 2; turned++)
            add_rows(h, &(Rows){16, 333, 1100, 1, turned, false, DT_BF16}, d);
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts), cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_vector),  cmocka_unit_test(test_weights),
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_rows_of_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

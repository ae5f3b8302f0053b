/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_prologue.c: products of few rows whose left operand is made of folds of these rows
 * (codegen/gemm_prologue.c): a scale, two folds of which one needs the other, a softmax; in one task and in a phase
 * before, with several products of one operand, in 16 bits, with rows of the run, on every instruction set. */
#include "kernelcase.h"

#ifdef __SANITIZE_ADDRESS__
static const char *const isas[] = {"avx512", "generic", "sm_80"};
#else
static const char *const isas[] = {"avx512", "generic", "sm_80", "avx2", "sm_90a"};
#endif

typedef enum Norm { RMS, LAYER, SOFTMAX } Norm;

typedef struct Shape {
    const char *name;
    Norm norm;
    int m, n, k;
    bool turned; /* the depth of the right operand lies side by side */
    int products;
    DType dt; /* of what is multiplied */
} Shape;

static const Node *spread(Graph *g, const Node *x, const Node *to, int64_t axis)
{
    return graph_expand(g, x, 2, to->type->dims, &axis);
}

static const Node *mean(Graph *g, const Node *x)
{
    const Node *n = graph_reduce(g, OP_SUM, x, (int64_t[]){1}, 1);
    double by = 1 / (double)dim_hi(g->ir, x->type->dims[1]);
    return graph_binary(g, OP_MUL, n, graph_fill(g, n->type, by));
}

static const Node *normalized(Graph *g, const Node *x)
{
    const Node *square = mean(g, graph_binary(g, OP_MUL, x, x));
    square = graph_binary(g, OP_ADD, square, graph_fill(g, square->type, 1e-5));
    return graph_binary(g, OP_MUL, x, spread(g, graph_unary(g, OP_RSQRT, square), x, 0));
}

static const Node *normed(Harness *h, Graph *g, const Node *x, Norm norm)
{
    if (norm == SOFTMAX) {
        const Node *most = graph_reduce(g, OP_AMAX, x, (int64_t[]){1}, 1);
        const Node *e = graph_unary(g, OP_EXP, graph_binary(g, OP_SUB, x, spread(g, most, x, 0)));
        const Node *sum = graph_reduce(g, OP_SUM, e, (int64_t[]){1}, 1);
        return graph_binary(g, OP_DIV, e, spread(g, sum, x, 0));
    }
    if (norm == LAYER)
        x = graph_binary(g, OP_SUB, x, spread(g, mean(g, x), x, 0));
    x = normalized(g, x);
    const Type *t = type_tensor(h->ir, DT_F32, 1, &x->type->dims[1]);
    const Node *gain = graph_input(g, sym(h->ir->syms, "gain"), t);
    return graph_binary(g, OP_MUL, x, spread(g, gain, x, 1));
}

static const Node *product(Harness *h, Graph *g, const Node *x, const Shape *s, int number, int n)
{
    const Type *t = s->turned ? shape(h, s->dt, 2, n, s->k) : shape(h, s->dt, 2, s->k, n);
    const Node *w = graph_input(g, sym_printf(h->ir->syms, "w%d", number), t);
    if (s->dt != DT_F32)
        w = graph_cast(g, DT_F32, w);
    DotAxes axes = {.ncontract = 1, .a_contract = {1}, .b_contract = {s->turned ? 1 : 0}};
    return graph_dot(g, x, w, &axes);
}

/* One product has an epilogue, two are one result (as gate and up are), three have results of their own. */
static void add(Harness *h, const Shape *s, const Dim *rows)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    Syms *syms = h->ir->syms;
    const Dim *dims[] = {rows, dim_const(h->ir, s->k)};
    const Node *x = graph_input(g, sym(syms, "x"), type_tensor(h->ir, DT_F32, 2, dims));
    const Node *left = normed(h, g, x, s->norm);
    if (s->dt != DT_F32)
        left = graph_cast(g, DT_F32, graph_cast(g, s->dt, left));
    const Node *y = product(h, g, left, s, 0, s->n);
    if (s->products == 1) {
        const Node *res = graph_input(g, sym(syms, "residual"), y->type);
        y = graph_binary(g, OP_ADD, graph_unary(g, OP_TANH, y), res);
    } else if (s->products == 2) {
        const Node *z = product(h, g, left, s, 1, s->n);
        y = graph_binary(g, OP_MUL, graph_unary(g, OP_SIGMOID, y), z);
    }
    graph_result(g, sym(syms, "y"), y);
    for (int i = 1; i < s->products && s->products > 2; i++)
        graph_result(g, sym_printf(syms, "y%d", i), product(h, g, left, s, i, s->n / 2));
    CaseSpec spec = {.name = s->name, .body = g, .cls = "gemm", .nconfig = 5};
    static const int64_t usual[5] = {14, 32, 256, 112, 2048};
    memcpy(spec.config, usual, sizeof usual);
    double rounding = s->dt == DT_F32 ? 4e-6 : s->dt == DT_BF16 ? 4e-3 : 1e-3;
    spec.tol = rounding * sqrt((double)s->k);
    case_add(h, &spec);
}

static const Shape shapes[] = {
    {"rms", RMS, 1, 256, 320, true, 1, DT_F32},
    {"rms_rows", RMS, 3, 300, 257, false, 2, DT_F32},
    {"rms_odd", RMS, 8, 131, 1101, true, 3, DT_F32},
    {"layer", LAYER, 1, 260, 512, true, 3, DT_F32},
    {"layer_odd", LAYER, 5, 259, 301, false, 1, DT_F32},
    {"layer_rows", LAYER, 8, 344, 128, true, 2, DT_F32},
    {"softmax", SOFTMAX, 2, 300, 270, false, 1, DT_F32},
    {"many", LAYER, 12, 200, 531, false, 1, DT_F32}, /* for a GPU: a phase before */
    {"small", RMS, 2, 33, 24, true, 2, DT_F32},      /* too small for a way of its own */
    {"wide", LAYER, 11, 700, 40, true, 1, DT_F32},
    {"narrow", RMS, 4, 260, 344, true, 2, DT_BF16},
    {"narrow_odd", LAYER, 1, 203, 343, false, 3, DT_F16},
    {"tensor", LAYER, 7, 203, 344, true, 1, DT_BF16},
};

static void test_shapes(void **state)
{
    UNUSED(state);
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        for (size_t i = 0; i < COUNT(shapes); i++)
            if (t == 0 || t == 2 || i % 2 == t / 2 % 2)
                add(h, &shapes[i], dim_const(h->ir, shapes[i].m));
        harness_run(h);
    }
}

/* From no row on. */
static void dynamic_on(const char *isa)
{
    static const int rows[] = {0, 1, 3, 8};
    for (size_t v = 0; v < COUNT(rows); v++) {
        Harness *h = harness_new(isa);
        const Dim *m = harness_dim(h, "B", 0, 8, rows[v]);
        for (size_t i = 0; i < 7; i++)
            if (i % 2 == v % 2)
                add(h, &shapes[i], m);
        harness_run(h);
    }
}

static void test_dynamic(void **state)
{
    UNUSED(state);
    dynamic_on(NULL);
    dynamic_on("sm_80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

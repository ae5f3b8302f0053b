/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_quant.c: products with weights of 8 and 4 bits: a scale for each row, or for each block of it,
 * which multiplies a sum and no weight (codegen/gemm_factor.c). Few rows, where they are read where they lie, and more;
 * parts of a matrix; two products before one epilogue; every instruction set. */
#include "kernelcase.h"

static const int64_t usual[5] = {14, 32, 256, 112, 2048};

typedef struct Quant {
    const char *name;
    int m, n, k;
    int bits, block;  /* 0: a scale for each row */
    int first, rows;  /* of n; rows 0: all */
    bool two, narrow; /* a second product; x in 16 bits */
} Quant;

/* [n, k / 8] words as f32[n, k], as dequant_int4 of the standard library has them. */
static const Node *numbers_of_words(Harness *h, Graph *g, const Quant *p, const Node *q)
{
    const Type *wide = shape(h, DT_I32, 3, p->n, p->k / 8, 8);
    const Node *place = graph_iota(g, 1, wide->dims + 2, 0);
    const int64_t word[] = {0, 1}, in[] = {2};
    const Node *c = graph_binary(g, OP_NIBBLE, graph_expand(g, q, 3, wide->dims, word),
                                 graph_expand(g, place, 3, wide->dims, in));
    return graph_reshape(g, graph_cast(g, DT_F32, c), 2, shape(h, DT_F32, 2, p->n, p->k)->dims);
}

static const Node *weights(Harness *h, Graph *g, const Quant *p, const char *name)
{
    Syms *syms = h->ir->syms;
    const Type *t =
        p->bits == 8 ? shape(h, DT_I8, 2, p->n, p->k) : shape(h, DT_I32, 2, p->n, p->k / 8);
    const Node *q = graph_input(g, sym_printf(syms, "codes_%s", name), t);
    int blocks = p->block ? p->k / p->block : 1;
    const Type *cut = shape(h, DT_F32, 3, p->n, blocks, p->k / blocks);
    const Node *w = p->bits == 8 ? graph_cast(g, DT_F32, q) : numbers_of_words(h, g, p, q);
    const Node *s =
        graph_input(g, sym_printf(syms, "scale_%s", name), shape(h, DT_BF16, 2, p->n, blocks));
    const int64_t axes[] = {0, 1};
    s = graph_expand(g, graph_cast(g, DT_F32, s), 3, cut->dims, axes);
    w = graph_binary(g, OP_MUL, graph_reshape(g, w, 3, cut->dims), s);
    w = graph_reshape(g, w, 2, shape(h, DT_F32, 2, p->n, p->k)->dims);
    return p->rows ? graph_slice(g, w, 0, dim_const(h->ir, p->first), dim_const(h->ir, p->rows))
                   : w;
}

static Graph *product(Harness *h, const Quant *p)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Node *x = graph_input(g, sym(h->ir->syms, "x"),
                                shape(h, p->narrow ? DT_BF16 : DT_F32, 2, p->m, p->k));
    x = graph_cast(g, DT_F32, x);
    DotAxes axes = {.ncontract = 1, .a_contract = {1}, .b_contract = {1}};
    const Node *y = graph_dot(g, x, weights(h, g, p, "w"), &axes);
    if (p->two) {
        const Node *z = graph_dot(g, x, weights(h, g, p, "u"), &axes);
        y = graph_binary(g, OP_MUL, graph_unary(g, OP_SIGMOID, y), z);
    }
    graph_result(g, sym(h->ir->syms, "y"), y);
    return g;
}

static const Quant cases[] = {
    {"row", 1, 320, 256, 8, 0, 0, 0, false, false},
    {"row_odd", 1, 67, 1101, 8, 0, 0, 0, false, false},
    {"block_32", 1, 259, 2080, 8, 32, 0, 0, false, true},
    {"block_128_two", 2, 131, 384, 8, 128, 0, 0, true, false},
    {"part", 1, 300, 320, 8, 0, 17, 131, false, false},
    {"several", 5, 130, 192, 8, 64, 0, 0, false, false},
    {"many", 37, 66, 96, 8, 0, 0, 0, false, false},
    {"row_4", 1, 301, 264, 4, 0, 0, 0, false, false},
    {"block_32_4", 1, 259, 2080, 4, 32, 0, 0, false, false},
    {"block_64_4_two", 1, 66, 1088, 4, 64, 0, 0, true, true},
    {"block_128_4", 3, 130, 1152, 4, 128, 0, 0, false, false},
    {"part_4", 2, 300, 320, 4, 32, 17, 131, false, false},
    {"several_4", 8, 130, 192, 4, 64, 0, 0, false, false},
    {"many_4", 37, 66, 96, 4, 32, 0, 0, false, true},
    /* of 16 bits, and more rows than a GPU's blocks read where they lie; than a CPU's tasks */
    {"narrow", 1, 130, 520, 8, 0, 0, 0, false, true},
    {"narrow_several", 7, 66, 192, 8, 0, 0, 0, true, true},
    {"rows_12", 12, 131, 264, 8, 64, 0, 0, false, false},
    {"narrow_rows_16", 16, 72, 320, 8, 0, 5, 61, false, true},
    {"narrow_rows_17", 17, 70, 200, 8, 0, 0, 0, true, true},
    {"rows_12_4", 12, 131, 256, 4, 64, 0, 0, true, false},
    {"narrow_rows_9_4", 9, 130, 192, 4, 32, 0, 0, false, true},
    {"narrow_many", 133, 72, 136, 8, 0, 0, 0, false, true},
};

static void products_on(const char *isa)
{
    Harness *h = harness_new(isa);
    if (!h)
        return;
    for (size_t i = 0; i < COUNT(cases); i++) {
        CaseSpec s = {.name = cases[i].name,
                      .body = product(h, &cases[i]),
                      .cls = "gemm",
                      .nconfig = 5,
                      .tol = 3e-5 * sqrt((double)cases[i].k)};
        memcpy(s.config, usual, sizeof usual);
        case_add(h, &s);
    }
    harness_run(h);
}

/* What becomes of the codes has no rounding: numbers of 8 bits, and of 4 at each place of a word, to the bit. */
static void test_codes(void **state)
{
    UNUSED(state);
    static const Quant of_words = {.n = 70, .k = 264};
    static const char *const isas[] = {"generic", "sm_80", "sm_90a"};
    static const DType types[] = {DT_I8, DT_U8, DT_I32};
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        for (size_t i = 0; i < COUNT(types); i++) {
            bool words = types[i] == DT_I32;
            Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
            const Type *type = shape(h, types[i], 2, 70, words ? 33 : 263);
            const Node *q = graph_input(g, sym(h->ir->syms, "codes"), type);
            graph_result(g, sym(h->ir->syms, "y"),
                         words ? numbers_of_words(h, g, &of_words, q) : graph_cast(g, DT_F32, q));
            case_add(h, &(CaseSpec){.name = dtype_info(types[i])->name,
                                    .body = g,
                                    .cls = "map",
                                    .config = {1024},
                                    .nconfig = 1});
        }
        harness_run(h);
    }
}

static void test_avx512(void **state)
{
    UNUSED(state);
    products_on("avx512");
}

static void test_avx2(void **state)
{
    UNUSED(state);
    products_on("avx2");
}

static void test_generic(void **state)
{
    UNUSED(state);
    products_on("generic");
}

static void test_gpu(void **state)
{
    UNUSED(state);
    products_on("sm_80");
    products_on("sm_90a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),   cmocka_unit_test(test_avx512), cmocka_unit_test(test_avx2),
        cmocka_unit_test(test_generic), cmocka_unit_test(test_gpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_rows.c: products whose results are rows of a tensor that is there, as keys and values are of what is
 * kept of a text: as they are, in halves of heads that are put together, under other axes, narrow, at a place known at
 * run time and beyond the end, of few rows and of many, on every instruction set; and results that are put together,
 * too. */
#include "kernelcase.h"

#ifdef __SANITIZE_ADDRESS__
static const char *const isas[] = {"avx512", "generic", "sm_80"};
#else
static const char *const isas[] = {"avx512", "generic", "sm_80", "avx2", "sm_90a"};
#endif

typedef enum Kind { WHOLE, HALVES, TURNED, BESIDE, JOINED } Kind;

typedef struct Rows {
    const char *name;
    Kind kind;
    int t, heads, dh, k, kept; /* rows of so many heads; kept: of the tensor */
    int at;                    /* < 0: the slot, which is 7 */
    DType dt;                  /* of the tensor; if it is joined, of the operands, too */
    bool norm;
} Rows;

static const Rows cases[] = {
    {"plain", WHOLE, 1, 4, 64, 320, 9, -1, DT_F32, false},
    {"odd", WHOLE, 3, 3, 7, 65, 11, 4, DT_F32, false},
    {"beyond", WHOLE, 4, 2, 16, 96, 6, 5, DT_F32, true},
    {"halves", HALVES, 1, 2, 64, 320, 12, -1, DT_F32, true},
    {"halves_odd", HALVES, 2, 3, 10, 257, 12, 3, DT_F32, false},
    {"halves_many", HALVES, 40, 2, 32, 72, 50, -1, DT_F32, false},
    {"turned", TURNED, 1, 4, 32, 256, 9, -1, DT_F32, false},
    {"turned_many", TURNED, 33, 2, 24, 40, 41, -1, DT_F32, false},
    {"narrow", WHOLE, 2, 4, 40, 264, 10, -1, DT_BF16, false},
    {"beside", BESIDE, 1, 4, 32, 300, 10, 0, DT_F32, true},
    {"beside_many", BESIDE, 21, 2, 16, 64, 30, 8, DT_F32, false},
    {"joined", JOINED, 2, 2, 64, 320, 0, 0, DT_F32, true},
    {"joined_odd", JOINED, 5, 3, 10, 33, 0, 0, DT_F32, false},
    {"joined_many", JOINED, 70, 3, 32, 72, 0, 0, DT_F32, false},
    {"joined_narrow", JOINED, 130, 2, 128, 96, 0, 0, DT_BF16, false},
    {"joined_narrow_odd", JOINED, 67, 3, 22, 64, 0, 0, DT_F16, false},
};

static const Node *weighed(Harness *h, Graph *g, const Node *x, const Rows *c, int columns)
{
    DType dt = c->kind == JOINED ? c->dt : DT_F32;
    const Node *w = graph_input(g, sym(h->ir->syms, "w"), shape(h, dt, 2, columns, c->k));
    w = graph_cast(g, DT_F32, w);
    DotAxes axes = {.ncontract = 1, .a_contract = {1}, .b_contract = {1}};
    return graph_dot(g, x, w, &axes);
}

static const Node *cut(Graph *g, const Node *x, uint32_t rank, const Dim *const *dims)
{
    return graph_reshape(g, x, rank, dims);
}

/* A rotation by two numbers: halves of heads, which belong next to each other. */
static const Node *halves(Harness *h, Graph *g, const Node *x, const Rows *c, const Dim *t)
{
    int n = c->heads * c->dh / 2;
    const Dim *d[] = {t, dim_const(h->ir, c->heads), dim_const(h->ir, c->dh / 2)};
    const Node *a = weighed(h, g, x, c, n), *b = weighed(h, g, x, c, n);
    const Node *up = graph_fill(g, a->type, 0.8), *side = graph_fill(g, a->type, 0.6);
    const Node *lo =
        graph_binary(g, OP_SUB, graph_binary(g, OP_MUL, a, up), graph_binary(g, OP_MUL, b, side));
    const Node *hi =
        graph_binary(g, OP_ADD, graph_binary(g, OP_MUL, b, up), graph_binary(g, OP_MUL, a, side));
    const Node *in[] = {cut(g, graph_cast(g, c->dt, lo), 3, d),
                        cut(g, graph_cast(g, c->dt, hi), 3, d)};
    return graph_concat(g, in, 2, 2);
}

static const Node *rows_of(Harness *h, Graph *g, const Node *x, const Rows *c, const Dim *t)
{
    const Dim *d[] = {t, dim_const(h->ir, c->heads), dim_const(h->ir, c->dh)};
    if (c->kind == HALVES || c->kind == BESIDE)
        return halves(h, g, x, c, t);
    const Node *y = weighed(h, g, x, c, c->heads * c->dh);
    if (c->dt != DT_F32)
        y = graph_cast(g, c->dt, y);
    y = cut(g, y, 3, d);
    return c->kind == TURNED ? graph_permute(g, y, (const int64_t[]){1, 0, 2}) : y;
}

static void finish(Harness *h, const Rows *c, Graph *body)
{
    CaseSpec spec = {.name = c->name, .body = body, .cls = "gemm", .nconfig = 5};
    static const int64_t usual[5] = {14, 32, 256, 112, 2048};
    memcpy(spec.config, usual, sizeof usual);
    spec.tol = (c->dt == DT_F32 ? 1e-5 : 1e-2) * sqrt((double)c->k);
    case_add(h, &spec);
}

static void add(Harness *h, const Rows *c, const Dim *t)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    Syms *syms = h->ir->syms;
    const Dim *dims[] = {t, dim_const(h->ir, c->k)};
    DType dt = c->kind == JOINED ? c->dt : DT_F32;
    const Node *x = graph_input(g, sym(syms, "x"), type_tensor(h->ir, dt, 2, dims));
    x = graph_cast(g, DT_F32, x);
    if (c->norm) {
        const Node *most = graph_reduce(g, OP_AMAX, x, (int64_t[]){1}, 1);
        x = graph_binary(g, OP_SUB, x, graph_expand(g, most, 2, dims, (int64_t[]){0}));
    }
    if (c->kind == JOINED) {
        graph_result(g, sym(syms, "y"), halves(h, g, x, c, t));
        finish(h, c, g);
        return;
    }
    int turned = c->kind == TURNED;
    const Type *kept = turned ? shape(h, c->dt, 3, c->heads, c->kept, c->dh)
                              : shape(h, c->dt, 3, c->kept, c->heads, c->dh);
    const Node *place = c->at < 0 ? graph_slot(g, sym(syms, "step"), DT_I32)
                                  : graph_fill(g, shape(h, DT_I32, 0), c->at);
    const Node *tensor = graph_input(g, sym(syms, "kept"), kept), *rows = rows_of(h, g, x, c, t);
    graph_result(g, sym(syms, "rows"), graph_update(g, tensor, rows, place, (uint32_t)turned));
    if (c->kind == BESIDE) { /* of one operand: another result, and rows of another tensor */
        graph_result(g, sym(syms, "y"), graph_unary(g, OP_TANH, weighed(h, g, x, c, 70)));
        const Node *more = graph_input(g, sym(syms, "more"), kept);
        const Dim *d[] = {t, kept->dims[1], kept->dims[2]};
        rows = cut(g, weighed(h, g, x, c, c->heads * c->dh), 3, d);
        graph_result(g, sym(syms, "z"), graph_update(g, more, rows, place, 0));
    }
    finish(h, c, g);
}

static void test_rows(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(isas); i++) {
        Harness *h = harness_new(isas[i]);
        if (!h)
            continue;
        for (size_t c = 0; c < COUNT(cases); c++)
            if (i == 0 || i == 2 || c % 2 == i / 2 % 2)
                add(h, &cases[c], dim_const(h->ir, cases[c].t));
        harness_run(h);
    }
}

/* How many rows there are is known at run time. */
static void dynamic_on(const char *isa)
{
    static const int values[] = {0, 1, 5};
    for (size_t v = 0; v < COUNT(values); v++) {
        Harness *h = harness_new(isa);
        const Dim *t = harness_dim(h, "T", 0, 5, values[v]);
        for (size_t c = v; c < COUNT(cases); c += 3)
            add(h, &cases[c], t);
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
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

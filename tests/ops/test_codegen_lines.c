/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_lines.c: prefix sums and products and orders along every axis, of all element types, with
 * ties, NaN, infinities and empty lines, for every instruction set this machine has: the bits of the
 * interpreter, but for sums of floats that threads of a GPU make in pieces. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};
static const int dims3[][3] = {{1, 1, 1},   {3, 5, 7},   {2, 16, 33}, {40, 9, 1}, {0, 3, 4},
                               {5, 0, 3},   {4, 3, 0},   {33, 2, 3},  {1, 70, 1}, {2, 300, 1},
                               {1, 3, 130}, {19, 64, 2}, {1, 1501, 1}};
static const DType types[] = {DT_F32, DT_F64, DT_I32, DT_I64, DT_U8};

typedef struct LineCase {
    OpKind op;
    const char *cls;
    DType dt;
    const int *dims;
    int64_t axis, flag, grain;
    double lo, hi; /* of the operand; none: -2 .. 2 */
} LineCase;

/* How far off a sum in pieces may be, as codegen/gpu_prefix.c derives it: roundings times the sum of magnitudes, here of at
 * most n elements up to 2 (and 1 for how they are rounded); where all have one sign, in units of the sum. */
static double bound_of(const LineCase *c)
{
    enum { LANES = 2, WARP = 5, WARPS = 5, JOINS = 3, LEAST = 128 };
    int64_t n = c->dims[c->axis], whole = n / LEAST;
    double unit = c->dt == DT_F64 ? 0x1p-53 : 0x1p-24, pieces = (double)(whole + 1);
    return (LANES + WARP + WARPS + JOINS + pieces + 1) * unit * (c->lo < c->hi ? 1 : 2 * (double)n);
}

/* Whole numbers and so ties; some are NaN (roots of negative numbers) or infinite. */
static const Node *special(Graph *g, const Node *x)
{
    const Node *whole = graph_unary(g, OP_ROUND, x), *one = graph_fill(g, x->type, 1);
    const Node *inverse = graph_binary(g, OP_DIV, one, whole);
    const Node *root = graph_unary(g, OP_SQRT, whole);
    const Node *zero = graph_fill(g, x->type, 0);
    const Node *big = graph_binary(g, OP_LT, graph_unary(g, OP_ABS, whole), one);
    const Node *pick = graph_binary(g, OP_LT, root, zero); /* never: NaN is not less */
    const Node *y = graph_select(g, pick, root, inverse);
    const Node *odd = graph_binary(g, OP_LT, x, graph_fill(g, x->type, -1.5));
    return graph_select(g, odd, root, graph_select(g, big, inverse, y));
}

static void add(Harness *h, const LineCase *c, bool specials)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const int *d = c->dims;
    const Node *x = graph_input(g, sym(h->ir->syms, "x"), shape(h, c->dt, 3, d[0], d[1], d[2]));
    Attr attr[] = {{.kind = AK_INT, .i = c->axis}, {.kind = AK_INT, .i = c->flag}};
    x = specials ? special(g, x) : x;
    x = graph_op(g, &(NodeSpec){.op = c->op, .nin = 1, .in = &x, .attr = attr});
    graph_result(g, sym(h->ir->syms, "y"), x);
    case_add(h, &(CaseSpec){.name = op_info(c->op)->name,
                            .body = g,
                            .cls = c->cls,
                            .config = {c->grain},
                            .nconfig = 1,
                            .tol = op_info(c->op)->pieces ? bound_of(c) : 0,
                            .lo = c->lo,
                            .hi = c->hi});
}

static void add_all(Harness *h, OpKind op, const char *cls)
{
    for (size_t s = 0; s < COUNT(dims3); s++)
        for (int64_t axis = 0; axis < 3; axis++) {
            size_t t = (s + (size_t)axis) % COUNT(types);
            LineCase c = {op, cls, types[t], dims3[s], axis, (int64_t)(s + t) % 2, 0, 0, 0};
            c.grain = (int64_t)(s % 3) * 40 + 1;
            add(h, &c, false);
            c.dt = t % 2 ? DT_F64 : DT_F32;
            c.flag = s % 2;
            add(h, &c, true);
        }
}

static void test_lines(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(isas); i++) {
        Harness *h = harness_new(isas[i]);
        if (!h)
            continue;
        add_all(h, OP_CUMSUM, "prefix");
        add_all(h, OP_CUMPROD, "prefix");
        add_all(h, OP_ARGSORT, "sort");
        harness_run(h);
    }
}

/* Lines of several chunks, by warps, by blocks of both sizes and by parts, from both ends, also where a vector is no part of
 * a line, and lines that lie across; of one sign, so that the bound is tight. */
static void test_long(void **state)
{
    UNUSED(state);
    static const int across[] = {1, 3001, 3}, warps[] = {5, 700, 1}, whole[] = {1, 1024, 2},
                     blocks[] = {3, 4100, 1}, odd[] = {2, 9001, 1}, across_long[] = {1, 8200, 2},
                     wide[] = {1, 36000, 1};
    static const LineCase cases[] = {
        {OP_CUMSUM, "prefix", DT_F32, wide, 1, 0, 1, 0, 1},
        {OP_CUMSUM, "prefix", DT_F32, odd, 1, 1, 1, 0, 1},
        {OP_CUMSUM, "prefix", DT_F32, blocks, 1, 0, 1, 0, 1},
        {OP_CUMSUM, "prefix", DT_F32, across, 1, 0, 1, 0, 1},
        {OP_CUMSUM, "prefix", DT_F32, warps, 1, 1, 1, 0, 1},
        {OP_CUMSUM, "prefix", DT_F32, whole, 1, 0, 1, 0, 1},
        {OP_CUMSUM, "prefix", DT_F64, blocks, 1, 1, 1, 0, 1},
        {OP_CUMSUM, "prefix", DT_I32, odd, 1, 0, 1, 0, 0},
        {OP_CUMSUM, "prefix", DT_U8, warps, 1, 0, 1, 0, 0},
        {OP_CUMSUM, "prefix", DT_I64, across, 1, 1, 1, 0, 0},
        {OP_CUMPROD, "prefix", DT_I32, blocks, 1, 0, 1, 0, 0},
        {OP_CUMPROD, "prefix", DT_F32, blocks, 1, 0, 1, 0, 2},
        {OP_ARGSORT, "sort", DT_F32, odd, 1, 1, 1, 0, 0},
        {OP_ARGSORT, "sort", DT_F32, across_long, 1, 1, 1, 0, 0},
        {OP_ARGSORT, "sort", DT_I64, blocks, 1, 0, 1, 0, 0},
        {OP_ARGSORT, "sort", DT_F64, odd, 1, 0, 1, 0, 0},
    };
    Harness *h = harness_new("sm_80");
    for (size_t i = 0; i < COUNT(cases); i++)
        add(h, &cases[i], false);
    harness_run(h);
}

/* As many and as short lines as are ordered by parts, of equal elements, zeros of both signs, infinities and NaN. */
static void test_ties(void **state)
{
    UNUSED(state);
    static const DType ties[] = {DT_F32, DT_F64, DT_I32, DT_I64, DT_U8};
    Harness *h = harness_new("sm_80");
    for (size_t i = 0; i < 2 * COUNT(ties); i++) {
        DType dt = ties[i / 2];
        int lines = i == 0 ? 16 : 2;
        Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
        const Node *x = graph_input(g, sym(h->ir->syms, "x"), shape(h, DT_F32, 2, lines, 8192));
        x = graph_unary(g, OP_ROUND, x);
        if (i % 2 && dtype_is_float(dt))
            x = graph_binary(g, OP_ADD, graph_unary(g, OP_SQRT, x),
                             graph_unary(g, OP_LOG, graph_unary(g, OP_ABS, x)));
        x = graph_cast(g, dt, x);
        Attr attr[] = {{.kind = AK_INT, .i = 1}, {.kind = AK_INT, .i = (int64_t)i % 2}};
        x = graph_op(g, &(NodeSpec){.op = OP_ARGSORT, .nin = 1, .in = &x, .attr = attr});
        graph_result(g, sym(h->ir->syms, "y"), x);
        case_add(h, &(CaseSpec){.name = "ties",
                                .body = g,
                                .cls = "sort",
                                .config = {1},
                                .nconfig = 1,
                                .lo = -3,
                                .hi = 3});
    }
    harness_run(h);
}

/* Extents known at run time, and an operand that is computed on the way. */
static void test_dynamic(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 1, 5, 40}, longer[] = {0, 1, 4097, 9000};
    for (size_t v = 0; v < 2 * COUNT(values); v++) {
        bool gpu = v >= COUNT(values);
        Harness *h = harness_new(gpu ? "sm_80" : NULL);
        int value = gpu ? longer[v - COUNT(values)] : values[v];
        const Dim *run = harness_dim(h, "B", 0, gpu ? 9000 : 40, value),
                  *fixed = dim_const(h->ir, gpu ? 2 : 24);
        for (int64_t axis = 0; axis < 2; axis++)
            for (int sort = 0; sort < 2; sort++) {
                Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
                const bool along = gpu && sort && axis; /* of very long lines, by parts */
                const Dim *d[] = {along ? fixed : run, along ? run : fixed};
                const Node *x =
                    graph_input(g, sym(h->ir->syms, "x"), type_tensor(h->ir, DT_F32, 2, d));
                Attr attr[] = {{.kind = AK_INT, .i = axis}, {.kind = AK_INT, .i = 1}};
                x = graph_binary(g, OP_MUL, x, x);
                x = graph_op(
                    g, &(NodeSpec){
                           .op = sort ? OP_ARGSORT : OP_CUMSUM, .nin = 1, .in = &x, .attr = attr});
                graph_result(g, sym(h->ir->syms, "y"), x);
                case_add(h, &(CaseSpec){.name = "dynamic",
                                        .body = g,
                                        .cls = sort ? "sort" : "prefix",
                                        .config = {sort ? 3 : 50},
                                        .nconfig = 1,
                                        .tol = 30 * 0x1p-24});
            }
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

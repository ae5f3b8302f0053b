/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_map.c: elementwise kernels: every row of ops.def, views, gathers, casts, at odd
 * sizes, for every instruction set this machine has. */
#include "kernelcase.h"

static const char *const isas[] = {"avx512", "avx2", "generic", "sm_80"};
static const int sizes[] = {1, 3, 4, 7, 15, 16, 17, 33, 70};

static Sym name_of(Harness *h, const char *text)
{
    return sym(h->ir->syms, text);
}

/* ---- one case per elementwise row ---- */

typedef struct OpRow {
    OpKind op;
    bool sampled;
    double lo, hi, lo2, hi2;
    bool real, integer;
} OpRow;

#define SAMPLES(a, b, c, d, ...) a, b, c, d
#define RANGE(...)               true, SAMPLES(__VA_ARGS__, 0, 0, 0)
#define SHAPED                   false, 0, 0, 0, 0
#define C(f, i)                  (#f)[0] != '(' || 1, 1
#define TEST(...)                __VA_ARGS__
static const OpRow rows[] = {
#define OP(id, name, doc, ir, ad, gen, test) {OP_##id, test, 0, 0},
#include "ops.def"
#undef OP
};

static void add_elementwise(Harness *h, const OpRow *row, int n)
{
    const OpInfo *info = op_info(row->op);
    Graph *g = graph_new(h->ir, h->arena, name_of(h, "body"));
    const Node *in[3];
    bool two = row->lo2 != 0 || row->hi2 != 0;
    for (int k = 0; k < info->arity; k++) {
        in[k] = graph_input(g, sym_printf(h->ir->syms, "x%d", k), shape(h, DT_F32, 1, n));
        if (k == 1 && two) { /* -2..2 to the second range */
            const Node *scale =
                graph_fill(g, in[k]->type, (row->hi2 - row->lo2) / (row->hi - row->lo));
            const Node *low = graph_fill(g, in[k]->type, row->lo),
                       *base = graph_fill(g, in[k]->type, row->lo2);
            in[k] = graph_binary(g, OP_SUB, in[k], low);
            in[k] = graph_binary(g, OP_ADD, graph_binary(g, OP_MUL, in[k], scale), base);
        }
    }
    NodeSpec spec = {.op = row->op, .nin = (uint32_t)info->arity, .in = in};
    const Node *y = graph_op(g, &spec);
    assert_non_null(y);
    graph_result(g, name_of(h, "y"), y);
    bool exact = y->type->dtype == DT_BOOL;
    case_add(h, &(CaseSpec){.name = info->name,
                            .body = g,
                            .cls = "map",
                            .config = {32},
                            .nconfig = 1,
                            .tol = exact ? 0 : 1e-5,
                            .lo = row->lo,
                            .hi = row->hi});
}

static void test_elementwise(void **state)
{
    UNUSED(state);
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        uint32_t n = 0;
        for (size_t i = 0; i < COUNT(rows); i++) {
            if (op_info(rows[i].op)->cls != OC_ELEM || !rows[i].sampled)
                continue;
            add_elementwise(h, &rows[i], sizes[n++ % COUNT(sizes)]);
            add_elementwise(h, &rows[i], 1);
        }
        assert_true(n > 20);
        harness_run(h);
    }
}

/* ---- views ---- */

typedef struct Maker {
    const char *name;
    Graph *(*make)(Harness *h, int a, int b, int c);
} Maker;

static Graph *body(Harness *h)
{
    return graph_new(h->ir, h->arena, name_of(h, "body"));
}

static const Node *input(Harness *h, Graph *g, const char *name, const Type *t)
{
    return graph_input(g, name_of(h, name), t);
}

static Graph *result(Harness *h, Graph *g, const Node *y)
{
    assert_non_null(y);
    graph_result(g, name_of(h, "y"), y);
    return g;
}

/* x + bias over rows */
static Graph *make_bias(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b)),
               *v = input(h, g, "bias", shape(h, DT_F32, 1, b));
    int64_t axes[] = {1};
    return result(h, g, graph_binary(g, OP_ADD, x, graph_expand(g, v, 2, x->type->dims, axes)));
}

static Graph *make_column(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b)),
               *v = input(h, g, "col", shape(h, DT_F32, 1, a));
    int64_t axes[] = {0};
    const Node *e = graph_unary(g, OP_EXP, v);
    return result(h, g, graph_binary(g, OP_MUL, x, graph_expand(g, e, 2, x->type->dims, axes)));
}

static Graph *make_transpose(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 3, a, b, c)),
               *z = input(h, g, "z", shape(h, DT_F32, 3, c, a, b));
    int64_t perm[] = {2, 0, 1};
    return result(h, g, graph_binary(g, OP_SUB, graph_permute(g, x, perm), z));
}

/* [a, b, c] heads swapped and merged: [b, a * c] */
static Graph *make_merge(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 3, a, b, c));
    int64_t perm[] = {1, 0, 2};
    const Node *p = graph_permute(g, x, perm);
    const Type *t = shape(h, DT_F32, 2, b, a * c);
    return result(h, g, graph_unary(g, OP_NEG, graph_reshape(g, p, 2, t->dims)));
}

static Graph *make_slice(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b + c));
    const Node *s = graph_slice(g, x, 1, dim_const(h->ir, c), dim_const(h->ir, b));
    return result(h, g, graph_unary(g, OP_ABS, s));
}

static Graph *make_pad(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b));
    const Node *p = graph_pad(g, x, 1, dim_const(h->ir, c), dim_const(h->ir, 3));
    p = graph_pad(g, p, 0, dim_const(h->ir, 2), dim_const(h->ir, 1));
    return result(h, g, graph_binary(g, OP_ADD, p, graph_fill(g, p->type, 0.5)));
}

static Graph *make_concat(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *in[] = {input(h, g, "x", shape(h, DT_F32, 2, a, b)),
                        input(h, g, "z", shape(h, DT_F32, 2, a, c)),
                        input(h, g, "w", shape(h, DT_F32, 2, a, b))};
    const Node *rows2[] = {graph_concat(g, in, 3, 1), graph_concat(g, in, 3, 1)};
    return result(h, g, graph_unary(g, OP_NEG, graph_concat(g, rows2, 2, 0)));
}

static Graph *make_gather(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "table", shape(h, DT_F32, 2, a, b)),
               *i = input(h, g, "idx", shape(h, DT_I32, 1, c));
    return result(h, g, graph_unary(g, OP_NEG, graph_gather(g, x, i, 0, 0)));
}

/* One element of every row: x[r, label[r]], labels of another width */
static Graph *make_pick(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b)),
               *i = input(h, g, "label", shape(h, DT_I64, 1, a));
    return result(h, g, graph_unary(g, OP_NEG, graph_gather(g, x, i, 1, 1)));
}

static const Node *flat(Harness *h, Graph *g, const Node *x)
{
    const Dim *all = type_count(h->ir, x->type);
    return graph_reshape(g, x, 1, &all);
}

/* Windows of a padded image in one line, of two types: a vector lies across rows, and partly in the
 * margin. */
static Graph *make_windows(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const DType types[] = {DT_F32, DT_I8};
    for (size_t i = 0; i < COUNT(types); i++) {
        const Node *x = input(h, g, i ? "small" : "x", shape(h, types[i], 3, a, b, c));
        for (uint32_t axis = 1; axis < 3; axis++)
            x = graph_pad(g, x, axis, dim_const(h->ir, 1), dim_const(h->ir, 2));
        x = graph_window(g, x, &(Windows){.axis = 1, .size = 3, .stride = 1, .dilation = 1});
        x = graph_window(g, x, &(Windows){.axis = 3, .size = 2, .stride = 2, .dilation = 1});
        graph_result(g, sym_printf(h->ir->syms, "y%zu", i), graph_unary(g, OP_NEG, flat(h, g, x)));
    }
    return g;
}

/* Values that are made lane by lane, with a margin in the middle of vectors. */
static Graph *make_margin(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *r = graph_rng(g, 99, 0, 2, shape(h, DT_F32, 2, a, b + c)->dims);
    const Node *wide = input(h, g, "wide", shape(h, DT_I64, 2, a, b + c));
    r = graph_binary(g, OP_ADD, r, graph_cast(g, DT_F32, wide));
    r = graph_pad(g, r, 1, dim_const(h->ir, 3), dim_const(h->ir, 2));
    return result(h, g, graph_unary(g, OP_NEG, flat(h, g, r)));
}

/* Pieces side by side in one line. */
static Graph *make_flat(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *in[] = {input(h, g, "x", shape(h, DT_F32, 2, a, b)),
                        input(h, g, "z", shape(h, DT_F32, 2, a, c)),
                        input(h, g, "w", shape(h, DT_F32, 2, a, b))};
    return result(h, g, graph_unary(g, OP_NEG, flat(h, g, graph_concat(g, in, 3, 1))));
}

/* Rows of a table in one line. */
static Graph *make_lookup(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Node *x = input(h, g, "table", shape(h, DT_F32, 2, a, b)),
               *i = input(h, g, "idx", shape(h, DT_I32, 1, c));
    return result(h, g, graph_unary(g, OP_NEG, flat(h, g, graph_gather(g, x, i, 0, 0))));
}

/* iota == label, as 0/1: one-hot rows */
static Graph *make_onehot(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Type *t = shape(h, DT_I32, 2, a, b);
    const Node *i = input(h, g, "label", shape(h, DT_I32, 1, a));
    int64_t axes[] = {0};
    const Node *eq =
        graph_binary(g, OP_EQ, graph_iota(g, 2, t->dims, 1), graph_expand(g, i, 2, t->dims, axes));
    return result(h, g, graph_cast(g, DT_F32, eq));
}

/* Random words in other layouts than they are drawn in: an element's number does not depend on who asks. */
static Graph *make_random(Harness *h, int a, int b, int c)
{
    Graph *g = body(h);
    const Type *t = shape(h, DT_F32, 2, a, b), *other = shape(h, DT_F32, 2, b, a);
    const Node *x = input(h, g, "x", t), *v = graph_rng(g, 123456789012345, 1, 2, other->dims);
    const Node *n = graph_randint(g, 77, dim_const(h->ir, 1000 + c), 2, t->dims);
    const int64_t turned[] = {1, 0};
    const Node *u = graph_permute(g, v, turned);
    graph_result(g, name_of(h, "n"), n);
    return result(h, g, graph_select(g, graph_binary(g, OP_LT, u, graph_fill(g, t, 0.5)), x, u));
}

static Graph *make_select(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Type *t = shape(h, DT_F32, 2, a, b);
    const Node *x = input(h, g, "x", t), *z = input(h, g, "z", t),
               *m = input(h, g, "mask", shape(h, DT_BOOL, 2, a, b));
    const Node *both = graph_binary(g, OP_AND, m, graph_binary(g, OP_LT, x, z));
    graph_result(g, name_of(h, "m"), graph_unary(g, OP_NOT, both));
    return result(h, g, graph_select(g, both, x, z));
}

/* Casts there and back through every element type. */
static Graph *make_casts(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b)),
               *u = input(h, g, "u", shape(h, DT_U8, 2, a, b));
    const Node *y = graph_binary(g, OP_ADD, x, graph_cast(g, DT_F32, u));
    const DType through[] = {DT_I32, DT_BOOL, DT_U8, DT_I64, DT_F64};
    for (size_t i = 0; i < COUNT(through); i++)
        y = graph_binary(g, OP_ADD, y, graph_cast(g, DT_F32, graph_cast(g, through[i], x)));
    return result(h, g, y);
}

/* Narrow storage: floats are computed with in f32 and rounded to the type by a cast. */
static Graph *make_narrow(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    static const DType types[] = {DT_BF16, DT_F16, DT_F8E4M3, DT_F8E5M2, DT_I8, DT_I16};
    Graph *g = body(h);
    for (size_t i = 0; i < COUNT(types); i++) {
        const Node *x = input(h, g, arena_printf(h->arena, "x%zu", i), shape(h, types[i], 2, a, b));
        const Node *wide = graph_cast(g, DT_F32, x);
        const Node *y = graph_binary(g, OP_MUL, wide, graph_fill(g, shape(h, DT_F32, 2, a, b), 2));
        const Node *minus = dtype_is_float(types[i])
                                ? graph_cast(g, types[i], graph_unary(g, OP_NEG, wide))
                                : graph_unary(g, OP_NEG, x);
        graph_result(g, sym_printf(h->ir->syms, "minus%zu", i), minus);
        graph_result(g, sym_printf(h->ir->syms, "y%zu", i), y);
    }
    return g;
}

static Graph *make_wide(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F64, 2, a, b)),
               *i = input(h, g, "i", shape(h, DT_I64, 2, a, b));
    return result(h, g,
                  graph_binary(g, OP_MUL, graph_unary(g, OP_TANH, x), graph_cast(g, DT_F64, i)));
}

static Graph *make_integers(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_I32, 2, a, b)),
               *z = input(h, g, "z", shape(h, DT_I32, 2, a, b));
    const Node *q = graph_binary(g, OP_IDIV, x, z), *m = graph_binary(g, OP_MOD, x, z);
    graph_result(g, name_of(h, "m"), m);
    graph_result(g, name_of(h, "q"), q);
    graph_result(g, name_of(h, "n"), graph_binary(g, OP_NIBBLE, x, z));
    return result(h, g,
                  graph_binary(g, OP_MAX, graph_unary(g, OP_SIGN, q), graph_unary(g, OP_ABS, m)));
}

static Graph *make_slots(Harness *h, int a, int b, int c)
{
    UNUSED(c);
    Graph *g = body(h);
    const Node *x = input(h, g, "x", shape(h, DT_F32, 2, a, b));
    const Node *s = graph_binary(g, OP_MUL, graph_slot(g, "lr", DT_F32),
                                 graph_cast(g, DT_F32, graph_slot(g, "step", DT_I64)));
    return result(h, g, graph_binary(g, OP_MUL, x, graph_expand(g, s, 2, x->type->dims, NULL)));
}

static const Maker makers[] = {
    {"bias", make_bias},         {"column", make_column}, {"transpose", make_transpose},
    {"merge", make_merge},       {"slice", make_slice},   {"pad", make_pad},
    {"concat", make_concat},     {"gather", make_gather}, {"pick", make_pick},
    {"onehot", make_onehot},     {"random", make_random}, {"select", make_select},
    {"casts", make_casts},       {"wide", make_wide},     {"narrow", make_narrow},
    {"integers", make_integers}, {"slots", make_slots},   {"windows", make_windows},
    {"flat", make_flat},         {"margin", make_margin}, {"lookup", make_lookup},
};

static void test_views(void **state)
{
    UNUSED(state);
    static const int dims[][3] = {{1, 1, 1},  {3, 16, 5}, {5, 17, 32},
                                  {2, 40, 3}, {7, 5, 33}, {4, 64, 16}};
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        for (size_t m = 0; m < COUNT(makers); m++)
            for (size_t d = 0; d < COUNT(dims); d++) {
                Graph *g = makers[m].make(h, dims[d][0], dims[d][1], dims[d][2]);
                case_add(h, &(CaseSpec){.name = makers[m].name,
                                        .body = g,
                                        .cls = "map",
                                        .config = {48},
                                        .nconfig = 1,
                                        .tol = 2e-6});
            }
        harness_run(h);
    }
}

/* Extents from the argument block, below their upper end. */
static void test_dynamic(void **state)
{
    UNUSED(state);
    static const int values[] = {0, 1, 13, 64};
    for (size_t v = 0; v < COUNT(values); v++) {
        Harness *h = harness_new(NULL);
        const Dim *dims[] = {harness_dim(h, "B", 0, 64, values[v]), dim_const(h->ir, 24)};
        const Type *t = type_tensor(h->ir, DT_F32, 2, dims);
        Graph *g = body(h);
        const Node *x = input(h, g, "x", t), *z = input(h, g, "bias", shape(h, DT_F32, 1, 24));
        int64_t axes[] = {1};
        result(h, g, graph_binary(g, OP_ADD, x, graph_expand(g, z, 2, dims, axes)));
        case_add(h, &(CaseSpec){.name = "rows",
                                .body = g,
                                .cls = "map",
                                .config = {64},
                                .nconfig = 1,
                                .tol = 1e-6});
        g = body(h);
        x = input(h, g, "x", t);
        result(h, g, graph_unary(g, OP_EXP, x));
        case_add(h, &(CaseSpec){.name = "flat",
                                .body = g,
                                .cls = "map",
                                .config = {64},
                                .nconfig = 1,
                                .tol = 1e-6});
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

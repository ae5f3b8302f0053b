/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_values.c: what the interpreter computes for the SHAPED rows of ops.def, against values worked
 * out by hand. A SHAPED row without a case fails the test. */
#include "philox.h"
#include "randgraph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Graph *g;
    Value *in[8];
} Bench;

static void open_bench(Bench *b)
{
    b->arena = arena_new();
    b->ir = ir_new(b->arena, syms_new(b->arena), diags_new(b->arena));
    b->g = graph_new(b->ir, b->arena, sym(b->ir->syms, "values"));
}

static void close_bench(Bench *b)
{
    arena_free(b->arena);
}

#define EXTENTS(...)  \
    (const int64_t[]) \
    {                 \
        __VA_ARGS__   \
    }
#define NUMBERS(...) \
    (const double[]) \
    {                \
        __VA_ARGS__  \
    }
#define SHAPE(...) COUNT(EXTENTS(__VA_ARGS__)), EXTENTS(__VA_ARGS__)

/* An input with these elements. */
static const Node *given(Bench *b, DType dtype, uint32_t rank, const int64_t *extent,
                         const double *values)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = dim_const(b->ir, extent[i]);
    const Type *t = type_tensor(b->ir, dtype, rank, dims);
    uint32_t k = b->g->inputs.n;
    b->in[k] = value_new(b->arena, t, NULL);
    memcpy(b->in[k]->at, values, sizeof(double) * (size_t)b->in[k]->count);
    return graph_input(b->g, sym_printf(b->ir->syms, "x%u", k), t);
}

/* 0, 1, 2, .. in f32[extents] */
static const Node *counted(Bench *b, uint32_t rank, const int64_t *extent)
{
    double values[64];
    for (int i = 0; i < 64; i++)
        values[i] = i;
    return given(b, DT_F32, rank, extent, values);
}

static double no_slot(void *user, const char *name)
{
    UNUSED(user);
    return strcmp(name, "lr") == 0 ? 0.25 : -1;
}

static void expect(Bench *b, const Node *n, int64_t count, const double *want)
{
    assert_non_null(n);
    Graph *g = b->g;
    g->results.n = 0;
    graph_result(g, sym(b->ir->syms, "y"), n);
    Value *state = value_new(b->arena, type_scalar(b->ir, DT_F32), NULL);
    state->at[0] = 7;
    Value *states[] = {NULL, state}, *y, *writes[1];
    InterpBinding bind = {.inputs = b->in, .states = states, .slot = no_slot};
    interp_run(g, b->arena, &bind, &y, writes);
    assert_int_equal(y->count, count);
    for (int64_t i = 0; i < count; i++)
        if (!(y->at[i] == want[i] || (isnan(y->at[i]) && isnan(want[i]))))
            fail_msg("%s: element %lld is %.17g, expected %.17g", op_info(n->op)->name,
                     (long long)i, y->at[i], want[i]);
}

#define EXPECT(b, n, ...) expect((b), (n), COUNT(NUMBERS(__VA_ARGS__)), NUMBERS(__VA_ARGS__))

static const Dim *at(Bench *b, int64_t v)
{
    return dim_const(b->ir, v);
}

/* What Philox 4x32-10 gives for key 0 and counter 0, and the integers that it makes: the published
 * vector 6627e8d5 e169c58d bc57ac4c 9b00dbd8. */
static void check_random(Bench *b)
{
    uint64_t key = rng_key(-1, 5, -1);
    double u[2], n[2];
    for (uint64_t i = 0; i < 2; i++) {
        u[i] = (rng_word(key, i, 2) >> 8) / 16777216.0;
        n[i] = floor((double)rng_word(key, i, 0) / 4294967296.0 * 10);
    }
    const Dim *two = at(b, 2);
    EXPECT(b, graph_rng(b->g, 5, 2, 1, &two), u[0], u[1]);
    EXPECT(b, graph_randint(b->g, 5, at(b, 10), 1, &two), n[0], n[1]);
    const uint32_t want[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    for (uint32_t w = 0; w < 4; w++)
        assert_int_equal(rng_word(0, 0, w), want[w]);
}

/* ---- leaves and views ---- */

static void check_leaves(Bench *b)
{
    Graph *g = b->g;
    EXPECT(b, counted(b, SHAPE(3)), 0, 1, 2);
    EXPECT(b, graph_const(g, DT_F32, 2.5), 2.5);
    EXPECT(b, graph_slot(g, "lr", DT_F32), 0.25);
    EXPECT(b, graph_state(g, 1, type_scalar(b->ir, DT_F32), sym(b->ir->syms, "w")), 7);
    const Dim *dims[] = {at(b, 2), at(b, 3)};
    EXPECT(b, graph_iota(g, 2, dims, 0), 0, 0, 0, 1, 1, 1);
    EXPECT(b, graph_iota(g, 2, dims, 1), 0, 1, 2, 0, 1, 2);
}

static void check_views(Bench *b)
{
    Graph *g = b->g;
    const Node *x = counted(b, SHAPE(2, 3));
    EXPECT(b, graph_reshape(g, x, 2, (const Dim *const[]){at(b, 3), at(b, 2)}), 0, 1, 2, 3, 4, 5);
    EXPECT(b, graph_permute(g, x, EXTENTS(1, 0)), 0, 3, 1, 4, 2, 5);
    const Dim *dims[] = {at(b, 2), at(b, 2), at(b, 3)};
    EXPECT(b, graph_expand(g, x, 3, dims, EXTENTS(1, 2)), 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5);
    EXPECT(b, graph_expand(g, x, 3, dims, EXTENTS(0, 2)), 0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5);
    EXPECT(b, graph_slice(g, x, 1, at(b, 1), at(b, 2)), 1, 2, 4, 5);
    EXPECT(b, graph_slice(g, x, 0, at(b, 1), at(b, 1)), 3, 4, 5);
    EXPECT(b, graph_pad(g, x, 1, at(b, 1), at(b, 0)), 0, 0, 1, 2, 0, 3, 4, 5);
    EXPECT(b, graph_pad(g, x, 0, at(b, 0), at(b, 1)), 0, 1, 2, 3, 4, 5, 0, 0, 0);
    const Node *z = counted(b, SHAPE(2, 1));
    EXPECT(b, graph_concat(g, (const Node *const[]){x, z}, 2, 1), 0, 1, 2, 0, 3, 4, 5, 1);
}

static void check_windows(Bench *b)
{
    Graph *g = b->g;
    const Node *x = counted(b, SHAPE(7)), *y = counted(b, SHAPE(2, 4, 2));
    EXPECT(b, graph_window(g, x, &(Windows){0, 3, 2, 1}), 0, 1, 2, 2, 3, 4, 4, 5, 6);
    EXPECT(b, graph_window(g, x, &(Windows){0, 2, 3, 2}), 0, 2, 3, 5);
    EXPECT(b, graph_window(g, x, &(Windows){0, 7, 5, 1}), 0, 1, 2, 3, 4, 5, 6);
    EXPECT(b, graph_window(g, y, &(Windows){1, 2, 2, 1}), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
           13, 14, 15);
    EXPECT(b, graph_window(g, y, &(Windows){1, 2, 1, 3}), 0, 1, 6, 7, 8, 9, 14, 15);
    EXPECT(b, graph_unwindow(g, counted(b, SHAPE(3, 2)), &(Windows){0, 2, 2, 3}, at(b, 9)), 0, 0, 2,
           1, 4, 3, 0, 5, 0);
    EXPECT(b, graph_unwindow(g, counted(b, SHAPE(3, 2)), &(Windows){0, 2, 1, 1}, at(b, 4)), 0, 3, 7,
           5);
    EXPECT(b, graph_unwindow(g, counted(b, SHAPE(2, 2)), &(Windows){0, 2, 2, 1}, at(b, 5)), 0, 1, 2,
           3, 0);
}

/* Three axes at once: out[i, j, k] = x[k, i, j]. */
static void check_permute3(Bench *b)
{
    const Node *x = counted(b, SHAPE(2, 3, 2));
    EXPECT(b, graph_permute(b->g, x, EXTENTS(1, 2, 0)), 0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11);
}

/* ---- elementwise with cases of their own ---- */

static void check_logic(Bench *b)
{
    Graph *g = b->g;
    const Node *p = given(b, DT_BOOL, SHAPE(4), NUMBERS(0, 0, 1, 1));
    const Node *q = given(b, DT_BOOL, SHAPE(4), NUMBERS(0, 1, 0, 1));
    EXPECT(b, graph_unary(g, OP_NOT, p), 1, 1, 0, 0);
    EXPECT(b, graph_binary(g, OP_AND, p, q), 0, 0, 0, 1);
    EXPECT(b, graph_binary(g, OP_OR, p, q), 0, 1, 1, 1);
    const Node *x = counted(b, SHAPE(4));
    EXPECT(b, graph_select(g, q, x, graph_unary(g, OP_NEG, x)), -0.0, 1, -2, 3);
}

static void check_integers(Bench *b)
{
    Graph *g = b->g;
    const Node *x = given(b, DT_I32, SHAPE(6), NUMBERS(7, -7, 7, -7, 6, 5));
    const Node *y = given(b, DT_I32, SHAPE(6), NUMBERS(3, 3, -3, -3, 3, 0));
    EXPECT(b, graph_binary(g, OP_IDIV, x, y), 2, -3, -3, 2, 2, 0);
    EXPECT(b, graph_binary(g, OP_MOD, x, y), 1, 2, -2, -1, 0, 0);
    const Node *w = given(b, DT_I32, SHAPE(6), /* 0x76543210, 0x89abcdef */
                          NUMBERS(0x76543210, 0x76543210, -1985229329, -1985229329, -8, 0x70));
    const Node *k = given(b, DT_I32, SHAPE(6), NUMBERS(0, 7, 0, 7, 1, 1));
    EXPECT(b, graph_binary(g, OP_NIBBLE, w, k), 0, 7, -1, -8, -1, 7);
}

static void check_casts(Bench *b)
{
    Graph *g = b->g;
    const Node *x = given(b, DT_F32, SHAPE(6), NUMBERS(-1.7, 0.3, 300.9, 1e30, NAN, -0.0));
    EXPECT(b, graph_cast(g, DT_I32, x), -1, 0, 300, INT32_MAX, 0, 0);
    EXPECT(b, graph_cast(g, DT_U8, x), 0, 0, 255, 255, 0, 0);
    EXPECT(b, graph_cast(g, DT_I8, x), -1, 0, 127, 127, 0, 0);
    EXPECT(b, graph_cast(g, DT_BOOL, x), 1, 1, 1, 1, 1, 0);
    EXPECT(b, graph_cast(g, DT_F64, x), -1.7, 0.3, 300.9, 1e30, NAN, -0.0);
}

/* ---- indirect ---- */

static void check_gather(Bench *b)
{
    Graph *g = b->g;
    const Node *x = counted(b, SHAPE(3, 2));
    const Node *i = given(b, DT_I32, SHAPE(4), NUMBERS(2, 0, -5, 9)); /* clamped: 2 0 0 2 */
    EXPECT(b, graph_gather(g, x, i, 0, 0), 4, 5, 0, 1, 0, 1, 4, 5);
    const Node *j = given(b, DT_I32, SHAPE(3), NUMBERS(1, 0, 1));
    EXPECT(b, graph_gather(g, x, j, 1, 0), 1, 0, 1, 3, 2, 3, 5, 4, 5);
    EXPECT(b, graph_gather(g, x, j, 1, 1), 1, 2, 5);
}

static void check_scatter(Bench *b)
{
    const Node *dy = counted(b, SHAPE(3, 2));
    const Node *i = given(b, DT_I32, SHAPE(3), NUMBERS(1, 3, 1));
    const Attr attr[] = {
        {.kind = AK_INT, .i = 0}, {.kind = AK_INT, .i = 0}, {.kind = AK_DIM, .dim = at(b, 4)}};
    const Node *in[] = {dy, i};
    NodeSpec spec = {.op = OP_SCATTER_ADD, .nin = 2, .in = in, .attr = attr};
    EXPECT(b, graph_op(b->g, &spec), 0, 0, 4, 6, 0, 0, 2, 3);
}

/* Where the rows would not fit they move inwards. */
static void check_update(Bench *b)
{
    const Node *x = counted(b, SHAPE(2, 4)),
               *rows = given(b, DT_F32, SHAPE(2, 2), NUMBERS(9, 8, 7, 6));
    const Node *one = graph_const(b->g, DT_I32, 1), *far = graph_const(b->g, DT_I32, 3);
    EXPECT(b, graph_update(b->g, x, rows, one, 1), 0, 9, 8, 3, 4, 7, 6, 7);
    EXPECT(b, graph_update(b->g, x, rows, far, 1), 0, 1, 9, 8, 4, 5, 7, 6);
    const Node *row = given(b, DT_F32, SHAPE(1, 4), NUMBERS(5, 5, 5, 5));
    EXPECT(b, graph_update(b->g, x, row, one, 0), 0, 1, 2, 3, 5, 5, 5, 5);
    EXPECT(b, graph_update(b->g, x, row, graph_const(b->g, DT_I32, -1), 0), 5, 5, 5, 5, 4, 5, 6, 7);
}

/* ---- folds and contractions ---- */

static void check_folds(Bench *b)
{
    Graph *g = b->g;
    const Node *x = given(b, DT_F32, SHAPE(2, 3), NUMBERS(3, -1, 3, 2, 5, -4));
    EXPECT(b, graph_reduce(g, OP_SUM, x, EXTENTS(1), 1), 5, 3);
    EXPECT(b, graph_reduce(g, OP_SUM, x, EXTENTS(0), 1), 5, 4, -1);
    EXPECT(b, graph_reduce(g, OP_SUM, x, EXTENTS(0, 1), 2), 8);
    EXPECT(b, graph_reduce(g, OP_PROD, x, EXTENTS(1), 1), -9, -40);
    EXPECT(b, graph_reduce(g, OP_AMAX, x, EXTENTS(1), 1), 3, 5);
    EXPECT(b, graph_reduce(g, OP_AMIN, x, EXTENTS(0), 1), 2, -1, -4);
    EXPECT(b, graph_reduce(g, OP_ARGMAX, x, EXTENTS(1), 1), 0, 1);
    EXPECT(b, graph_reduce(g, OP_ARGMIN, x, EXTENTS(0), 1), 1, 0, 1);
    const Node *nan = given(b, DT_F32, SHAPE(3), NUMBERS(1, NAN, 2));
    EXPECT(b, graph_reduce(g, OP_AMAX, nan, EXTENTS(0), 1), NAN);
    const Node *in[] = {x, nan};
    EXPECT(b, graph_op(g, &(NodeSpec){.op = OP_SUMSQ, .nin = 1, .in = in}), 64);
    in[1] = counted(b, SHAPE(4));
    EXPECT(b, graph_op(g, &(NodeSpec){.op = OP_SUMSQ, .nin = 2, .in = in}), 78);
}

static const Node *scan(Bench *b, OpKind op, const Node *x, int64_t axis, int64_t flag)
{
    Attr attr[] = {{.kind = AK_INT, .i = axis}, {.kind = AK_INT, .i = flag}};
    return graph_op(b->g, &(NodeSpec){.op = op, .nin = 1, .in = &x, .attr = attr});
}

static void check_scans(Bench *b)
{
    const Node *x = given(b, DT_F32, SHAPE(2, 3), NUMBERS(3, -1, 3, 2, 5, -4));
    EXPECT(b, scan(b, OP_CUMSUM, x, 1, 0), 3, 2, 5, 2, 7, 3);
    EXPECT(b, scan(b, OP_CUMSUM, x, 1, 1), 5, 2, 3, 3, 1, -4);
    EXPECT(b, scan(b, OP_CUMSUM, x, 0, 0), 3, -1, 3, 5, 4, -1);
    EXPECT(b, scan(b, OP_CUMPROD, x, 1, 0), 3, -3, -9, 2, 10, -40);
    EXPECT(b, scan(b, OP_CUMPROD, x, 0, 1), 6, -5, -12, 2, 5, -4);
    EXPECT(b, scan(b, OP_ARGSORT, x, 1, 0), 1, 0, 2, 2, 0, 1);
    EXPECT(b, scan(b, OP_ARGSORT, x, 1, 1), 0, 2, 1, 1, 0, 2);
    EXPECT(b, scan(b, OP_ARGSORT, x, 0, 0), 1, 0, 1, 0, 1, 0);
    const Node *y = given(b, DT_F32, SHAPE(6), NUMBERS(NAN, -0.0, INFINITY, 0, NAN, -INFINITY));
    EXPECT(b, scan(b, OP_ARGSORT, y, 0, 0), 5, 1, 3, 2, 0, 4);
    EXPECT(b, scan(b, OP_ARGSORT, y, 0, 1), 0, 4, 2, 1, 3, 5);
    EXPECT(b, scan(b, OP_CUMSUM, given(b, DT_F32, SHAPE(1, 1), NUMBERS(4)), 0, 0), 4);
}

static void check_empty(Bench *b)
{
    const Node *x = given(b, DT_F32, SHAPE(2, 0), NUMBERS(0));
    EXPECT(b, graph_reduce(b->g, OP_SUM, x, EXTENTS(1), 1), 0, 0);
    EXPECT(b, graph_reduce(b->g, OP_PROD, x, EXTENTS(1), 1), 1, 1);
    EXPECT(b, graph_reduce(b->g, OP_AMAX, x, EXTENTS(1), 1), -INFINITY, -INFINITY);
    EXPECT(b,
           graph_dot(b->g, x, x, &(DotAxes){.ncontract = 1, .a_contract = {1}, .b_contract = {1}}),
           0, 0, 0, 0);
}

static void check_dot(Bench *b)
{
    Graph *g = b->g;
    const Node *x = counted(b, SHAPE(2, 3)), *y = counted(b, SHAPE(2, 2, 3));
    DotAxes rows = {.ncontract = 1, .a_contract = {1}, .b_contract = {2}};
    EXPECT(b, graph_dot(g, x, y, &rows), 5, 14, 23, 32, 14, 50, 86, 122);
    DotAxes batch = {.nbatch = 1, .ncontract = 1, .a_contract = {1}, .b_contract = {2}};
    EXPECT(b, graph_dot(g, x, y, &batch), 5, 14, 86, 122);
    DotAxes outer = {.nbatch = 0};
    const Node *v = counted(b, SHAPE(3));
    EXPECT(b, graph_dot(g, v, v, &outer), 0, 0, 0, 0, 1, 2, 0, 2, 4);
}

/* ---- structure ---- */

/* f(a, s) = (a * s, a + a) */
static const Def *small_def(Bench *b, DefKind kind, uint32_t rank, const int64_t *extent)
{
    Graph *body = graph_new(b->ir, b->arena, sym(b->ir->syms, "f"));
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = dim_const(b->ir, extent[i]);
    const Node *a =
        graph_input(body, sym(b->ir->syms, "a"), type_tensor(b->ir, DT_F32, rank, dims));
    const Node *s = graph_input(body, sym(b->ir->syms, "s"), type_scalar(b->ir, DT_F32));
    const Node *wide = graph_expand(body, s, rank, dims, NULL);
    graph_result(body, sym(b->ir->syms, "p"), graph_binary(body, OP_MUL, a, wide));
    graph_result(body, sym(b->ir->syms, "q"), graph_binary(body, OP_ADD, a, a));
    return def_intern(b->ir, &(Def){.kind = kind, .name = body->name, .body = body, .nvisible = 2});
}

static void check_structure(Bench *b)
{
    Graph *g = b->g;
    const Node *a = counted(b, SHAPE(3)), *s = graph_const(g, DT_F32, 10);
    const Node *t = graph_tuple(g, (const Node *const[]){a, s}, 2);
    EXPECT(b, graph_get(g, t, 0), 0, 1, 2);
    EXPECT(b, graph_get(g, t, 1), 10);
    const Node *in[] = {a, s};
    const Node *call = graph_call(g, small_def(b, DEF_COMPOSITE, SHAPE(3)), in, 2);
    EXPECT(b, graph_get(g, call, 0), 0, 10, 20);
    EXPECT(b, graph_get(g, call, 1), 0, 2, 4);
}

/* One body for two sets of different shapes and a shared scalar. */
/* s' = s + 2 x, made in each round: s x. Forwards and backwards. */
static void check_loop(Bench *b)
{
    const Type *f = type_scalar(b->ir, DT_F32);
    Graph *g = graph_new(b->ir, b->arena, sym(b->ir->syms, "round"));
    const Node *s = graph_input(g, sym(b->ir->syms, "s"), f),
               *x = graph_input(g, sym(b->ir->syms, "x"), f),
               *two = graph_input(g, sym(b->ir->syms, "two"), f);
    graph_result(g, sym(b->ir->syms, "s"),
                 graph_binary(g, OP_ADD, s, graph_binary(g, OP_MUL, two, x)));
    graph_result(g, sym(b->ir->syms, "y"), graph_binary(g, OP_MUL, s, x));
    const Def *def =
        def_intern(b->ir, &(Def){.kind = DEF_SCAN, .name = g->name, .body = g, .nvisible = 2});
    const Node *in[] = {graph_const(b->g, DT_F32, 1), given(b, DT_F32, SHAPE(3), NUMBERS(1, 2, 3)),
                        graph_const(b->g, DT_F32, 2)};
    ScanSpec spec = {.def = def, .carry = 1, .xs = 1, .length = at(b, 3)};
    const Node *loop = graph_loop(b->g, &spec, in, 3);
    EXPECT(b, graph_get(b->g, loop, 0), 13);
    EXPECT(b, graph_get(b->g, loop, 1), 1, 6, 21);
    spec.reverse = true;
    loop = graph_loop(b->g, &spec, in, 3);
    EXPECT(b, graph_get(b->g, loop, 0), 13);
    EXPECT(b, graph_get(b->g, loop, 1), 11, 14, 3);
}

static void check_group(Bench *b)
{
    Graph *g = b->g;
    const Node *in[] = {counted(b, SHAPE(3)), counted(b, SHAPE(2, 2)), graph_const(g, DT_F32, 10)};
    const Attr attr[] = {{.kind = AK_DEF, .def = small_def(b, DEF_GROUP, SHAPE(3))},
                         {.kind = AK_SYM, .s = sym(b->ir->syms, "multi_map")},
                         {.kind = AK_INTS},
                         {.kind = AK_INT, .i = 2}};
    const Node *group = graph_op(g, &(NodeSpec){.op = OP_GROUP, .nin = 3, .in = in, .attr = attr});
    assert_non_null(group);
    EXPECT(b, graph_get(g, group, 0), 0, 10, 20);
    EXPECT(b, graph_get(g, group, 1), 0, 2, 4);
    EXPECT(b, graph_get(g, group, 2), 0, 10, 20, 30);
    EXPECT(b, graph_get(g, group, 3), 0, 2, 4, 6);
}

/* Extents, starts and pads that are known at run time only. */
static void test_symbols(void **state)
{
    UNUSED(state);
    Bench b = {0};
    open_bench(&b);
    const DimSym *n = dim_declare(b.ir, sym(b.ir->syms, "N"), 1, 8);
    const Dim *dn = dim_of(b.ir, n), *two = dim_const(b.ir, 2);
    const int64_t values[] = {3};
    const Type *t = type_tensor(b.ir, DT_F32, 1, &dn);
    const Node *x = graph_input(b.g, sym(b.ir->syms, "x"), t);
    const Node *padded = graph_pad(b.g, x, 0, dn, two);
    const Node *back = graph_slice(b.g, padded, 0, dn, dn);
    graph_result(b.g, sym(b.ir->syms, "padded"), padded);
    graph_result(b.g, sym(b.ir->syms, "back"), back);
    Value *in = value_new(b.arena, t, values), *out[2];
    for (int i = 0; i < 3; i++)
        in->at[i] = i + 1;
    InterpBinding bind = {.inputs = &in, .sym_values = values};
    interp_run(b.g, b.arena, &bind, out, NULL);
    const double want[] = {0, 0, 0, 1, 2, 3, 0, 0};
    assert_int_equal(out[0]->count, 8);
    assert_memory_equal(out[0]->at, want, sizeof want);
    assert_memory_equal(out[1]->at, in->at, 3 * sizeof(double));
    close_bench(&b);
}

/* ---- all of them ---- */

typedef struct Check {
    void (*run)(Bench *b);
    OpKind covers[8]; /* ended by OP_COUNT */
} Check;

static const Check checks[] = {
    {check_leaves, {OP_INPUT, OP_CONST, OP_SLOT, OP_STATE, OP_IOTA, OP_COUNT}},
    {check_views, {OP_RESHAPE, OP_PERMUTE, OP_EXPAND, OP_SLICE, OP_PAD, OP_CONCAT, OP_COUNT}},
    {check_random, {OP_RNG, OP_RANDINT, OP_COUNT}},
    {check_windows, {OP_WINDOW, OP_COUNT}},
    {check_permute3, {OP_PERMUTE, OP_COUNT}},
    {check_logic, {OP_NOT, OP_AND, OP_OR, OP_SELECT, OP_COUNT}},
    {check_integers, {OP_IDIV, OP_MOD, OP_NIBBLE, OP_COUNT}},
    {check_casts, {OP_CAST, OP_COUNT}},
    {check_gather, {OP_GATHER, OP_COUNT}},
    {check_scatter, {OP_SCATTER_ADD, OP_COUNT}},
    {check_update, {OP_UPDATE, OP_COUNT}},
    {check_folds, {OP_SUM, OP_PROD, OP_AMAX, OP_AMIN, OP_ARGMAX, OP_ARGMIN, OP_SUMSQ, OP_COUNT}},
    {check_scans, {OP_CUMSUM, OP_CUMPROD, OP_ARGSORT, OP_COUNT}},
    {check_empty, {OP_SUM, OP_COUNT}},
    {check_dot, {OP_DOT, OP_COUNT}},
    {check_structure, {OP_TUPLE, OP_GET, OP_CALL, OP_COUNT}},
    {check_loop, {OP_SCAN, OP_COUNT}},
    {check_group, {OP_GROUP, OP_COUNT}},
};

static void test_values(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(checks); i++) {
        Bench b = {0};
        open_bench(&b);
        checks[i].run(&b);
        assert_int_equal(diags_errors(b.ir->diags), 0);
        close_bench(&b);
    }
}

#define IR(...)
#define AD(...)
#define GEN(...)
#define TEST(...)  __VA_ARGS__
#define RANGE(...) false
#define SHAPED     true
static const bool shaped[] = {
#define OP(id, name, doc, ir, ad, gen, test) [OP_##id] = test,
#include "ops.def"
#undef OP
};

static void test_every_row_has_a_case(void **state)
{
    UNUSED(state);
    for (OpKind op = 0; op < OP_COUNT; op++) {
        bool found = !shaped[op];
        for (size_t i = 0; i < COUNT(checks); i++)
            for (size_t k = 0; checks[i].covers[k] != OP_COUNT; k++)
                found = found || checks[i].covers[k] == op;
        if (!found)
            fail_msg("%s is SHAPED, but has no case here", op_info(op)->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_every_row_has_a_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

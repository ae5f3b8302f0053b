/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_fast.c: what GPU kernels compute fast (mdl_fast.h), where the result is rounded to 16 bits: every number of
 * 16 bits through each such operation, which operations of a body are taken so (codegen/rounded.c), and maps whose
 * threads have 16 bytes. On the emulator the formulas count: its instructions are the host's. With MDL_TEST_DEVICE=cuda the GPU's do. */
#include "kernelcase.h"

enum { N = 1 << 16 };

typedef struct Fast {
    OpKind op;
    double (*exact)(double x); /* NULL: x / y */
    double error;              /* relative, of mdl_fast.h */
    double grows;              /* .. and this times |x| */
} Fast;

static double exact_rsqrt(double x)
{
    return 1 / sqrt(x);
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static const Fast fast[] = {
    {OP_EXP, exp, 0x1p-22, 0x1p-23},
    {OP_EXP2, exp2, 0x1p-22, 0},
    {OP_SQRT, sqrt, 0x1p-23, 0},
    {OP_RSQRT, exact_rsqrt, 0x1p-22, 0},
    {OP_TANH, tanh, 0x1p-18, 0},
    {OP_ERF, erf, 0x1p-21, 0},
    {OP_SIGMOID, exact_sigmoid, 0x1p-21, 0x1p-23},
    {OP_DIV, NULL, 0x1p-22, 0},
};

static double exactly(const Fast *f, double x, double y)
{
    return f->exact ? f->exact(x) : x / y;
}

static const char *name_of(const Fast *f)
{
    return op_info(f->op)->name;
}

static const Node *wide(Graph *g, Harness *h, const char *name, DType dt)
{
    const Node *x = graph_input(g, sym(h->ir->syms, name), shape(h, dt, 1, N));
    return graph_cast(g, DT_F32, x);
}

static KCase *add_map(Harness *h, const char *name, Graph *body)
{
    return case_add(
        h, &(CaseSpec){.name = name, .body = body, .cls = "map", .config = {32}, .nconfig = 1});
}

static KCase *add_fast(Harness *h, const Fast *f, DType dt)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Node *in[] = {wide(g, h, "x", dt), NULL};
    uint32_t nin = (uint32_t)op_info(f->op)->arity;
    if (nin == 2)
        in[1] = wide(g, h, "y", dt);
    NodeSpec spec = {.op = f->op, .nin = nin, .in = in};
    graph_result(g, sym(h->ir->syms, "z"), graph_cast(g, dt, graph_op(g, &spec)));
    return add_map(h, name_of(f), g);
}

static double rounded(DType dt, double x)
{
    uint64_t room = 0;
    dtype_store(dt, &room, 0, x);
    return dtype_load(dt, &room, 0);
}

/* What is within the error, rounded; and 0 where the machine has no subnormal numbers. */
static bool is_right(const Fast *f, DType dt, double x, double y, double got)
{
    double want = exactly(f, x, y), off = f->error + f->grows * fmin(fabs(x), 128);
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want))
        return got == want;
    double a = rounded(dt, want * (1 - off)), b = rounded(dt, want * (1 + off));
    return (got >= fmin(a, b) && got <= fmax(a, b)) || (fabs(want) <= 0x1p-126 && got == 0);
}

static void check_fast(Harness *h, const Fast *f, const KCase *c, DType dt)
{
    size_t bytes = N * sizeof(uint16_t);
    uint16_t *x = (uint16_t *)(void *)own_memory(h, bytes);
    uint16_t *y = (uint16_t *)(void *)own_memory(h, bytes);
    uint16_t *z = (uint16_t *)(void *)own_memory(h, bytes);
    for (uint32_t i = 0; i < N; i++) {
        x[i] = (uint16_t)i;
        y[i] = (uint16_t)hash_mix(7, i);
    }
    void *buf[] = {x, op_info(f->op)->arity == 2 ? y : z, z};
    run_phases_gpu(h, c, &(CaseArgs){.buf = buf, .block = h->block}, false);
    for (uint32_t i = 0; i < N; i++) {
        double a = dtype_load(dt, x, i), b = dtype_load(dt, y, i), got = dtype_load(dt, z, i);
        if (!is_right(f, dt, a, b, got))
            fail_msg("%s of %g, %g as %s is %.9g, exactly %.9g", name_of(f), a, b,
                     dtype_info(dt)->name, got, exactly(f, a, b));
    }
}

static void every_number(void **state)
{
    UNUSED(state);
    static const DType types[] = {DT_BF16, DT_F16};
    for (size_t t = 0; t < COUNT(types); t++) {
        Harness *h = harness_new("sm_80");
        KCase *cases[COUNT(fast)];
        for (size_t i = 0; i < COUNT(fast); i++)
            cases[i] = add_fast(h, &fast[i], types[t]);
        harness_compile_gpu(h);
        for (size_t i = 0; i < COUNT(fast); i++)
            check_fast(h, &fast[i], cases[i], types[t]);
        harness_free(h);
    }
}

/* 1 + tanh x, as of a GELU: what is left far below 0 is off by as little as tanh in f32 is. */
static void what_cancels(void **state)
{
    UNUSED(state);
    Harness *h = harness_new("sm_80");
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Node *x = wide(g, h, "x", DT_F16), *one = graph_fill(g, x->type, 1);
    const Node *sum = graph_binary(g, OP_ADD, one, graph_unary(g, OP_TANH, x));
    graph_result(g, sym(h->ir->syms, "z"), graph_cast(g, DT_F16, sum));
    const KCase *c = add_map(h, "cancels", g);
    harness_compile_gpu(h);
    uint16_t *in = (uint16_t *)(void *)own_memory(h, N * sizeof *in);
    uint16_t *z = (uint16_t *)(void *)own_memory(h, N * sizeof *z);
    for (uint32_t i = 0; i < N; i++)
        in[i] = (uint16_t)i;
    void *buf[] = {in, z};
    run_phases_gpu(h, c, &(CaseArgs){.buf = buf, .block = h->block}, false);
    for (uint32_t i = 0; i < N; i++) {
        double a = dtype_load(DT_F16, in, i), got = dtype_load(DT_F16, z, i), want = 1 + tanh(a);
        if (a < -2 &&
            (got < rounded(DT_F16, want - 0x1p-24) || got > rounded(DT_F16, want + 0x1p-24)))
            fail_msg("1 + tanh %g is %.9g, exactly %.9g", a, got, want);
    }
    harness_free(h);
}

/* ---- which ---- */

static uint32_t count(const char *text, const char *what)
{
    uint32_t n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

/* The sigmoid of x is what `make` makes z of. */
typedef const Node *(*MakeFn)(Harness *h, Graph *g, const Node *x, const Node *s);

static uint32_t fast_in(const char *isa, MakeFn make)
{
    Harness *h = harness_new(isa);
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Node *x = wide(g, h, "x", DT_BF16), *s = graph_unary(g, OP_SIGMOID, x);
    graph_result(g, sym(h->ir->syms, "z"), graph_cast(g, DT_BF16, make(h, g, x, s)));
    EmitCx cx = {.target = &h->target, .slots = h->slots, .nslot = h->nslot};
    uint32_t n = count(codegen_emit(add_map(h, "which", g)->k, &cx, h->arena), "mdl_fast_");
    harness_free(h);
    return n;
}

static const Node *through(Harness *h, Graph *g, const Node *x, const Node *s)
{
    UNUSED(h);
    return graph_binary(g, OP_DIV, graph_binary(g, OP_SUB, x, s), graph_binary(g, OP_MUL, s, x));
}

static const Node *compared(Harness *h, Graph *g, const Node *x, const Node *s)
{
    UNUSED(h);
    const Node *in[] = {graph_binary(g, OP_LT, s, x), s, x};
    return graph_op(g, &(NodeSpec){.op = OP_SELECT, .nin = 3, .in = in});
}

static const Node *stored(Harness *h, Graph *g, const Node *x, const Node *s)
{
    graph_result(g, sym(h->ir->syms, "f32"), graph_binary(g, OP_ADD, s, x));
    return graph_unary(g, OP_EXP, s);
}

static const Node *jumps(Harness *h, Graph *g, const Node *x, const Node *s)
{
    UNUSED(h);
    return graph_binary(g, OP_ADD, graph_unary(g, OP_ROUND, s), graph_unary(g, OP_EXP, x));
}

/* An integer jumps where the float is off. */
static const Node *counted(Harness *h, Graph *g, const Node *x, const Node *s)
{
    UNUSED(h);
    s = graph_cast(g, DT_F32, graph_cast(g, DT_I32, s));
    return graph_binary(g, OP_ADD, s, graph_unary(g, OP_EXP, x));
}

/* Only the condition sees all bits. */
static const Node *chosen(Harness *h, Graph *g, const Node *x, const Node *s)
{
    UNUSED(h);
    const Node *in[] = {graph_binary(g, OP_LT, graph_unary(g, OP_TANH, x), x), s, x};
    return graph_op(g, &(NodeSpec){.op = OP_SELECT, .nin = 3, .in = in});
}

static const Node *in_f64(Harness *h, Graph *g, const Node *x, const Node *s)
{
    UNUSED(h);
    UNUSED(x);
    return graph_cast(g, DT_F64, s);
}

static void only_what_is_rounded(void **state)
{
    UNUSED(state);
    static const struct {
        MakeFn make;
        uint32_t fast;
    } rows[] = {{through, 2}, {compared, 0}, {stored, 1}, {jumps, 1},
                {counted, 1}, {chosen, 1},   {in_f64, 0}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(fast_in("sm_80", rows[i].make), rows[i].fast);
        assert_int_equal(fast_in("generic", rows[i].make), 0);
    }
}

/* ---- 16 bytes of a thread ---- */

enum { COLS = 1024 };

/* x[rows, COLS] + b[COLS] */
static KCase *add_rows(Harness *h, int64_t rows, const char **text)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Type *t = shape(h, DT_BF16, 2, (int)rows, COLS);
    const Node *x = graph_input(g, sym(h->ir->syms, "x"), t);
    const Node *b = graph_input(g, sym(h->ir->syms, "b"), shape(h, DT_BF16, 1, COLS));
    int64_t axes[] = {1};
    const Node *sum = graph_binary(g, OP_ADD, graph_cast(g, DT_F32, x),
                                   graph_expand(g, graph_cast(g, DT_F32, b), 2, t->dims, axes));
    graph_result(g, sym(h->ir->syms, "z"), graph_cast(g, DT_BF16, sum));
    KCase *c = add_map(h, "rows", g);
    EmitCx cx = {.target = &h->target, .slots = h->slots, .nslot = h->nslot};
    *text = codegen_emit(c->k, &cx, h->arena);
    return c;
}

static void wide_vectors(void **state)
{
    UNUSED(state);
    Harness *h = harness_new("sm_80");
    const int64_t rows = 2048;
    const char *few, *many;
    add_rows(h, rows / 2, &few);
    const KCase *c = add_rows(h, rows, &many);
    assert_int_equal(count(few, "#define MDL_W 4"), 1);
    assert_int_equal(count(many, "#define MDL_W 8"), 1);
    assert_int_equal(count(many, "for ("), 0);
    harness_compile_gpu(h);
    size_t n = (size_t)rows * COLS;
    uint16_t *x = (uint16_t *)(void *)own_memory(h, n * sizeof *x);
    uint16_t *b = (uint16_t *)(void *)own_memory(h, COLS * sizeof *b);
    uint16_t *z = (uint16_t *)(void *)own_memory(h, n * sizeof *z);
    for (size_t i = 0; i < n; i++)
        dtype_store(DT_BF16, x, i, rand_range(&h->random, -2, 2));
    for (size_t i = 0; i < COLS; i++)
        dtype_store(DT_BF16, b, i, rand_range(&h->random, -2, 2));
    void *buf[] = {x, b, z};
    run_phases_gpu(h, c, &(CaseArgs){.buf = buf, .block = h->block}, false);
    for (size_t i = 0; i < n; i++) {
        double want = dtype_load(DT_BF16, x, i) + dtype_load(DT_BF16, b, i % COLS);
        assert_true(dtype_load(DT_BF16, z, i) == rounded(DT_BF16, want));
    }
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number),
        cmocka_unit_test(what_cancels),
        cmocka_unit_test(only_what_is_rounded),
        cmocka_unit_test(wide_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

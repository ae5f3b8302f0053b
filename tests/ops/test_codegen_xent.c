/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_front mdl_front_rule mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_xent.c: linear cross-entropy and its derivative as kernels beside the bodies they claim:
 * odd sizes, several rounds, rows that are masked, targets that are no class, two axes of rows, 16-bit
 * operands, operands that are computed. */
#include "kernelcase.h"

#include "front.h"
#include "xent.h"

static const char *const isas[] = {"avx512", "avx2", "generic"};

typedef enum Half { FORWARD, GRADIENT, BOTH, GRADIENTS_OF_BOTH } Half;

typedef struct Size {
    int a, b, depth, classes; /* a x b rows; b 0: one axis */
    int64_t mr, nr, rows;
} Size;

static const Size sizes[] = {
    {1, 0, 1, 2, 6, 16, 16},    {5, 0, 3, 7, 4, 8, 64},     {37, 0, 33, 70, 14, 32, 32},
    {3, 7, 20, 129, 6, 16, 16}, {70, 0, 16, 64, 8, 16, 32}, {2, 33, 5, 300, 14, 16, 16},
    {19, 0, 40, 131, 12, 8, 8},
};

typedef struct Variant {
    Half half;
    DType dt;
    bool rounded, prologue;
    char
        only; /* result of the derivative that is wanted; 0: both; '+': both, that of w added to another */
} Variant;

static const Def *composite(Harness *h, Front *front, const Size *s, const Variant *v)
{
    const Type *types[4];
    int b = s->b ? s->b : 1;
    types[0] = s->b ? shape(h, v->dt, 3, s->a, b, s->depth) : shape(h, v->dt, 2, s->a, s->depth);
    types[1] = shape(h, v->dt, 2, s->classes, s->depth);
    types[2] = s->b ? shape(h, DT_I32, 2, s->a, b) : shape(h, DT_I32, 1, s->a);
    types[3] = s->b ? shape(h, DT_BOOL, 2, s->a, b) : shape(h, DT_BOOL, 1, s->a);
    const StdOp op = {.name = "linear_cross_entropy",
                      .in = types,
                      .nin = 4,
                      .flag = v->rounded ? "rounded" : NULL};
    const Def *def = front_std_op(front, &op);
    if (!def)
        fail_msg("%s", diags_render(h->ir->diags, h->arena, DIAG_SHORT, false));
    return def;
}

/* Operands: the formals, or computed from them. */
static const Node *operand(Graph *g, const Node *formal, bool prologue)
{
    Sym name = node_sym(formal, "name");
    if (!prologue || formal->type->rank < 2 || formal->type->dtype != DT_F32)
        return graph_input(g, name, formal->type);
    if (*name != 'w') {
        const Node *x = graph_input(g, name, formal->type);
        return graph_binary(g, OP_MUL, x, graph_unary(g, OP_SIGMOID, x));
    }
    const Dim *turned[] = {formal->type->dims[1], formal->type->dims[0]};
    static const int64_t perm[] = {1, 0};
    const Type *type = type_tensor(g->ir, DT_F32, 2, turned);
    return graph_permute(g, graph_input(g, name, type), perm);
}

/* The gradient, rounded as the program rounds it, added to what there was; or alone, the first time. */
static const Node *added(Graph *g, const Node *dw)
{
    const Type *t = type_with_dtype(g->ir, dw->type, DT_F32),
               *flag = type_tensor(g->ir, DT_BOOL, 0, NULL);
    const Node *first =
        graph_expand(g, graph_input(g, sym(g->ir->syms, "first"), flag), 2, t->dims, NULL);
    const Node *old = graph_input(g, sym(g->ir->syms, "grad"), t);
    old = graph_select(g, first, graph_fill(g, t, 0), old);
    return graph_binary(g, OP_ADD, old, dw->type->dtype == DT_F32 ? dw : graph_cast(g, DT_F32, dw));
}

static Graph *body_of(Harness *h, const Def *def, const Variant *v)
{
    const Graph *f = def->body, *b = def->vjp->body;
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Node *in[16], *out[8];
    for (uint32_t i = 0; i < f->inputs.n; i++)
        in[i] = operand(g, f->inputs.at[i], v->prologue);
    uint32_t n = f->inputs.n, nout = f->results.n;
    if (v->half != GRADIENT)
        graph_inline(g, f, in, out);
    for (uint32_t i = 0; i < nout; i++)
        in[n + i] = v->half == GRADIENT ? operand(g, b->inputs.at[n + i], false) : out[i];
    for (uint32_t i = 0; i < nout && v->half != GRADIENT && v->half != GRADIENTS_OF_BOTH; i++)
        graph_result(g, f->results.at[i].name, out[i]);
    if (v->half == FORWARD)
        return g;
    for (uint32_t i = n + nout; i < b->inputs.n; i++)
        in[i] = operand(g, b->inputs.at[i], false);
    graph_inline(g, b, in, out);
    for (uint32_t i = 0; i < b->results.n; i++)
        if (v->only == '+' && b->results.at[i].name[1] == 'w')
            graph_result(g, "grad", added(g, out[i]));
        else if (!v->only || v->only == '+' || b->results.at[i].name[1] == v->only)
            graph_result(g, b->results.at[i].name, out[i]);
    return g;
}

enum { ROUND = 64, PICKED = 200 };

/* Rounds of 64 rows on a GPU, when there are more; with very many `pick` chooses. */
static void choose_gpu(CaseSpec *c, const Variant *v, bool groups)
{
    static const int64_t halves[] = {64, 64, 32, 4, 2, 2, 0, ROUND},
                         grouped[] = {64, 64, 64, 3, 4, 1, 1, ROUND},
                         floats[] = {64, 64, 16, 2, 2, 1, 0, ROUND};
    memcpy(c->gpu, v->dt == DT_F32 ? floats : groups ? grouped : halves, sizeof halves);
    c->ngpu = COUNT(halves);
}

static void add_case(Harness *h, Front *front, const Size *s, const Variant *v)
{
    static const char *const classes[] = {"xent", "xent_grad", "xent_both", "xent_both"};
    CaseSpec c = {.name = "xent", .cls = classes[v->half], .nconfig = 3};
    c.body = body_of(h, composite(h, front, s, v), v);
    Xent x;
    if (!xent_match(c.body, &x))
        fail_msg("%d x %d: not recognised", s->a, s->classes);
    assert_int_equal(x.log_sum != NULL, v->half != GRADIENT);
    assert_int_equal(x.dx || x.dw, v->half != FORWARD);
    assert_int_equal(x.after != NULL, v->only == '+');
    if (x.after) { /* a CPU keeps sums in the result */
        Target cpu = h->target;
        cpu.kind = TK_CPU;
        assert_false(xent_claim_gradient(&cpu, c.body) || xent_claim_both(&cpu, c.body));
    }
    c.config[0] = s->mr;
    c.config[1] = s->nr;
    c.config[2] = s->rows;
    int rows = s->a * (s->b ? s->b : 1);
    if (rows > ROUND && rows < PICKED)
        choose_gpu(&c, v, strcmp(h->target.isa, "sm_90a") == 0);
    c.tol = v->rounded ? 0.02 * sqrt(s->depth) : 2e-6 * (8 + sqrt(s->a * s->depth));
    if (v->half == GRADIENT || (v->dt != DT_F32 && v->half != FORWARD)) {
        /* what it is given is no maximum: exponentials must not be huge; nor what is rounded */
        c.lo = -0.6;
        c.hi = 0.6;
        c.tol = v->dt == DT_F32 ? c.tol : v->half == GRADIENT ? 0.06 : 0.015;
    }
    case_add(h, &c);
}

static void run(const Variant *v, size_t n)
{
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        if (!h)
            continue;
        Front *front = front_new(h->ir);
        for (size_t s = t; s < COUNT(sizes);
             s += COUNT(isas)) /* a third of them each: compiling takes long */
            for (size_t i = 0; i < n; i++)
                add_case(h, front, &sizes[s], &v[i]);
        harness_run(h);
    }
}

static void test_forward(void **state)
{
    UNUSED(state);
    static const Variant all[] = {{FORWARD, DT_F32, false, false, 0},
                                  {FORWARD, DT_F32, false, true, 0},
                                  {FORWARD, DT_BF16, true, false, 0},
                                  {FORWARD, DT_F16, false, false, 0}};
    run(all, COUNT(all));
}

static void test_gradient(void **state)
{
    UNUSED(state);
    static const Variant all[] = {
        {GRADIENT, DT_F32, false, false, 0}, {BOTH, DT_F32, false, false, 0},
        {BOTH, DT_F32, false, true, 0},      {GRADIENTS_OF_BOTH, DT_F32, false, false, 0},
        {BOTH, DT_F32, false, false, 'x'},   {GRADIENT, DT_F32, false, false, 'w'}};
    run(all, COUNT(all));
}

/* The derivative with 16-bit operands is the GPU's: tensor cores, scores that are kept as the body rounds them,
 * sums over rounds apart from a result of 16 bits. */
static void test_gpu(void **state)
{
    UNUSED(state);
    static const struct {
        Size s;
        Variant v;
    } all[] = {
        {{5, 0, 3, 7, 0, 0, 0}, {FORWARD, DT_F32, false, false, 0}},
        {{37, 0, 33, 70, 0, 0, 0}, {FORWARD, DT_F32, false, true, 0}},
        {{3, 7, 24, 129, 0, 0, 0}, {FORWARD, DT_BF16, true, false, 0}},
        {{1, 0, 1, 2, 0, 0, 0}, {BOTH, DT_F32, false, false, 0}},
        {{37, 0, 33, 70, 0, 0, 0}, {BOTH, DT_F32, false, true, 0}},
        {{150, 0, 16, 72, 0, 0, 0}, {BOTH, DT_F32, false, false, 0}},
        {{3, 50, 9, 67, 0, 0, 0}, {GRADIENT, DT_F32, false, false, 'w'}},
        {{37, 0, 20, 131, 0, 0, 0}, {GRADIENT, DT_BF16, true, false, 0}},
        {{3, 50, 24, 136, 0, 0, 0}, {BOTH, DT_BF16, true, false, 0}},
        {{3, 50, 24, 136, 0, 0, 0}, {GRADIENTS_OF_BOTH, DT_F16, true, false, 0}},
        {{150, 0, 16, 72, 0, 0, 0}, {BOTH, DT_F32, false, false, '+'}},
        {{37, 0, 20, 131, 0, 0, 0}, {GRADIENT, DT_BF16, true, false, '+'}},
        {{70, 0, 8, 64, 0, 0, 0}, {BOTH, DT_BF16, false, false, 'x'}},
        {{3, 70, 72, 321, 0, 0, 0}, {BOTH, DT_BF16, true, false, 0}},
        {{3, 50, 24, 136, 0, 0, 0}, {GRADIENT, DT_BF16, true, false, 'w'}},
        {{3, 50, 24, 136, 0, 0, 0}, {GRADIENT, DT_BF16, true, false, 'w'}},
        {{70, 0, 24, 136, 0, 0, 0}, {GRADIENT, DT_F16, true, false, 'x'}},
        {{70, 0, 24, 136, 0, 0, 0}, {BOTH, DT_BF16, true, false, 'w'}},
        {{70, 0, 24, 136, 0, 0, 0}, {GRADIENT, DT_BF16, false, false, 'w'}},
        {{70, 0, 24, 136, 0, 0, 0}, {GRADIENT, DT_BF16, false, false, 'w'}},
    };
    static const char *const archs[] = {"sm_80", "sm_90a"};
    for (size_t a = 0; a < COUNT(archs); a++) {
        Harness *h = harness_new(archs[a]);
        Front *front = front_new(h->ir);
        for (size_t i = a; i < COUNT(all); i += COUNT(archs))
            add_case(h, front, &all[i].s, &all[i].v);
        harness_run(h);
    }
}

/* Products by threads that copy and threads that multiply: one and several rounds, rows that are not read. */
static void test_gpu_rings(void **state)
{
    UNUSED(state);
    static const struct {
        Size s;
        Variant v;
    } all[] = {
        {{3, 50, 24, 136, 0, 0, 0}, {BOTH, DT_BF16, true, false, 0}},
        {{150, 0, 64, 131, 0, 0, 0}, {BOTH, DT_F16, true, false, 0}},
        {{190, 0, 72, 200, 0, 0, 0}, {FORWARD, DT_BF16, true, false, 0}},
        {{2, 70, 16, 72, 0, 0, 0}, {GRADIENT, DT_BF16, true, false, 0}},
        {{3, 90, 136, 545, 0, 0, 0}, {BOTH, DT_BF16, true, false, 'x'}},
        {{260, 0, 80, 264, 0, 0, 0}, {GRADIENTS_OF_BOTH, DT_BF16, true, false, 0}},
        {{3, 50, 24, 136, 0, 0, 0}, {BOTH, DT_BF16, true, false, '+'}},
        {{70, 0, 24, 136, 0, 0, 0}, {GRADIENTS_OF_BOTH, DT_F16, true, false, '+'}},
    };
    Harness *h = harness_new("sm_90a");
    Front *front = front_new(h->ir);
    for (size_t i = 0; i < COUNT(all); i++)
        add_case(h, front, &all[i].s, &all[i].v);
    for (uint32_t i = 0; i < h->cases.n; i++)
        if (h->cases.at[i]->k->maps.n < 2)
            fail_msg("case %u copies nothing in boxes", i);
    harness_run(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_gpu),
        cmocka_unit_test(test_gpu_rings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

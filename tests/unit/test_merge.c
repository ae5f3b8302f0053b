/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_ir mdl_base */
/* test_merge.c: products that are read in parts, on golden texts; for many layouts of the weight the same
 * values before and after, and a product for each part. */
#include "golden.h"
#include "randgraph.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_golden(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *report = golden_check(arena, "merge/parts.txt", pass_merge);
    if (report)
        fail_msg("%s", report);
    arena_free(arena);
}

/* How a product is read. */
typedef struct Layout {
    bool transposed; /* the weight is [depth, columns] */
    bool batched;
    bool bias, halved; /* parts of each head, else of the whole axis */
    int64_t parts;
} Layout;

typedef struct Case {
    Ir *ir;
    Arena *arena;
    Graph *g;
    Layout l;
} Case;

enum { BATCH = 2, ROWS = 3, DEPTH = 5, HEADS = 2, LANES = 16 };

static const Node *input(Case *c, const char *name, const int64_t *extent, uint32_t rank)
{
    const Dim *dims[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = dim_const(c->ir, extent[i]);
    return graph_input(c->g, sym(c->ir->syms, name), type_tensor(c->ir, DT_F64, rank, dims));
}

static int64_t columns(const Layout *l)
{
    return HEADS * l->parts * LANES;
}

/* [.., rows, columns] */
static const Node *product(Case *c)
{
    const Layout *l = &c->l;
    int64_t o = l->batched, n = columns(l);
    const int64_t x[] = {BATCH, ROWS, DEPTH}, wn[] = {BATCH, n, DEPTH}, wt[] = {BATCH, DEPTH, n};
    DotAxes ax = {.nbatch = (uint32_t)o, .ncontract = 1, .a_contract = {o + 1}};
    ax.b_contract[0] = o + !l->transposed;
    const Node *w = input(c, "w", (l->transposed ? wt : wn) + !o, 2 + (uint32_t)o);
    const Node *y = graph_dot(c->g, input(c, "x", x + !o, 2 + (uint32_t)o), w, &ax);
    assert_non_null(y);
    if (!l->bias)
        return y;
    const Node *b = input(c, "b", &n, 1);
    b = graph_expand(c->g, b, y->type->rank, y->type->dims, (int64_t[]){o + 1});
    return graph_unary(c->g, OP_TANH, graph_binary(c->g, OP_ADD, y, b));
}

/* Part i, as [.., rows, HEADS * LANES] or [.., rows, HEADS, LANES]. */
static const Node *part(Case *c, const Node *y, int64_t i)
{
    const Layout *l = &c->l;
    uint32_t axis = y->type->rank - 1;
    const Dim *dims[IR_MAX_RANK], *one = dim_const(c->ir, 1), *at = dim_const(c->ir, i);
    if (!l->halved)
        return graph_slice(c->g, y, axis, dim_const(c->ir, i * HEADS * LANES),
                           dim_const(c->ir, HEADS * LANES));
    for (uint32_t k = 0; k < axis; k++)
        dims[k] = y->type->dims[k];
    dims[axis] = dim_const(c->ir, HEADS);
    dims[axis + 1] = dim_const(c->ir, l->parts);
    dims[axis + 2] = dim_const(c->ir, LANES);
    const Node *split = graph_reshape(c->g, y, axis + 3, dims);
    dims[axis + 1] = dims[axis + 2];
    return graph_reshape(c->g, graph_slice(c->g, split, axis + 1, at, one), axis + 2, dims);
}

static uint32_t dots(const Graph *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++)
        n += op_info(g->nodes.at[i]->op)->cls == OC_CONTRACT;
    return n;
}

static void check(const Layout *l)
{
    Arena *arena = arena_new();
    Case c = {.arena = arena, .l = *l};
    c.ir = ir_new(arena, syms_new(arena), diags_new(arena));
    c.g = graph_new(c.ir, arena, sym(c.ir->syms, "g"));
    PassCx *cx = passes_begin(c.ir, arena, NULL, NULL);
    const Node *y = product(&c), *sum = part(&c, y, 0);
    for (int64_t i = 1; i < l->parts; i++)
        sum = graph_binary(c.g, i % 2 ? OP_SUB : OP_MUL, sum, part(&c, y, i));
    graph_result(c.g, sym(c.ir->syms, "z"), sum);
    Graph *after = pass_merge(cx, c.g);
    graph_verify(after, NULL);
    assert_int_equal(dots(c.g), 1);
    assert_int_equal(dots(after), l->parts);
    Value **in = randgraph_inputs(c.g, arena, 7);
    Value **want = randgraph_run(c.g, arena, in), **got = randgraph_run(after, arena, in);
    assert_true(value_distance(got[0], want[0]) == 0);
    assert_true(graph_hash(pass_merge(cx, after)) == graph_hash(after));
    arena_free(arena);
}

static void test_layouts(void **state)
{
    UNUSED(state);
    for (int bits = 0; bits < 16; bits++)
        for (int64_t parts = 2; parts <= 4; parts++)
            check(&(Layout){bits & 1, bits & 2, bits & 4, bits & 8, parts});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_gpu_row_col.c: rows and columns of one space folded on a GPU, its rows copied ahead through shared memory: more
 * rows than a ring has stages, rows of a warp and of a block, rows that are no whole pieces of a team or lie at no
 * multiple of 16 bytes, operands of 16 bits and such that there is no room for, sums too many for registers. */
#include "kernelcase.h"

static const char *const isas[] = {"sm_80", "sm_90a"};

typedef struct Shape {
    int rows, columns;
    DType dt;
    int grain, team, sums;
} Shape;

static const Node *input(Graph *g, const char *name, const Type *t)
{
    return graph_input(g, sym(g->ir->syms, name), t);
}

static void result(Graph *g, const Node *n)
{
    graph_result(g, sym_printf(g->ir->syms, "r%u", g->results.n), n);
}

static const Node *spread(Graph *g, const Node *n, const Type *full, int64_t axis)
{
    return graph_expand(g, n, 2, full->dims, &axis);
}

static const Node *sum_over(Graph *g, const Node *n, int64_t axis)
{
    return graph_reduce(g, OP_SUM, n, &axis, 1);
}

/* dx = r (g w - p - n q) + s, the largest of each row, and so many sums of columns: of g n, g, dx and more. */
static Graph *norm_backward(Harness *h, const Shape *s)
{
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Type *full = shape(h, DT_F32, 2, s->rows, s->columns);
    const Type *stored = shape(h, s->dt, 2, s->rows, s->columns);
    const Node *n = graph_cast(g, DT_F32, input(g, "n", stored));
    const Node *dy = graph_cast(g, DT_F32, input(g, "dy", stored)), *skip = input(g, "s", full);
    const Node *r = spread(g, input(g, "r", shape(h, DT_F32, 1, s->rows)), full, 0);
    const Node *w = spread(g, input(g, "w", shape(h, s->dt, 1, s->columns)), full, 1);
    const Node *gw = graph_binary(g, OP_MUL, dy, graph_cast(g, DT_F32, w));
    const Node *q = sum_over(g, graph_binary(g, OP_MUL, gw, n), 1);
    const Node *tenth = graph_fill(g, q->type, 0.125);
    const Node *p = graph_binary(g, OP_MUL, sum_over(g, gw, 1), tenth);
    const Node *nq =
        graph_binary(g, OP_MUL, n, spread(g, graph_binary(g, OP_MUL, q, tenth), full, 0));
    const Node *d = graph_binary(g, OP_SUB, graph_binary(g, OP_SUB, gw, spread(g, p, full, 0)), nq);
    const Node *dx = graph_binary(g, OP_ADD, graph_binary(g, OP_MUL, r, d), skip);
    const Node *gn = graph_binary(g, OP_MUL, dy, n);
    const Node *of[] = {gn, dy, dx, graph_unary(g, OP_NEG, gn), skip};
    result(g, graph_cast(g, s->dt, dx));
    result(g, graph_reduce(g, OP_AMAX, dx, (int64_t[]){1}, 1));
    for (int i = 0; i < s->sums; i++)
        result(g, sum_over(g, of[i], 0));
    return g;
}

static void test_rings(void **state)
{
    UNUSED(state);
    static const Shape shapes[] = {
        {70, 128, DT_BF16, 24, 32, 3},  /* six rows a warp */
        {41, 136, DT_BF16, 41, 32, 2},  /* a piece of one copy */
        {50, 133, DT_F32, 25, 32, 3},   /* copies of 4 bytes, a vector of one column */
        {50, 133, DT_BF16, 25, 32, 3},  /* nothing to copy */
        {3, 1024, DT_BF16, 8, 32, 4},   /* warps without a row */
        {33, 1024, DT_F32, 33, 32, 5},  /* more sums than registers are for */
        {600, 20, DT_F16, 1, 32, 1},    /* more lines than the second phase has threads for */
        {23, 1500, DT_F32, 23, 128, 3}, /* rows of a block */
        {12, 2072, DT_BF16, 6, 256, 2}, /* .. of 16 bits */
        {14, 1032, DT_BF16, 14, 64, 2}, /* two warps a row */
        {4, 16384, DT_F32, 4, 512, 3},  /* room for some operands alone */
    };
    for (size_t t = 0; t < COUNT(isas); t++) {
        Harness *h = harness_new(isas[t]);
        for (size_t i = 0; i < COUNT(shapes); i++) {
            const Shape *s = &shapes[i];
            case_add(h, &(CaseSpec){.name = "norm_backward",
                                    .body = norm_backward(h, s),
                                    .cls = "row_col",
                                    .gpu = {s->grain, s->team},
                                    .ngpu = 2,
                                    .tol = s->dt == DT_F32 ? 4e-6 * s->columns : 2e-2});
        }
        harness_run(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

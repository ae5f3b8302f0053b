/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_target mdl_ir mdl_base */
/* test_fuse.c: which groups known models become, with classes and reasons; the refusals, one per
 * code; on random graphs the fused graph computes the same bits as the unfused one. */
#include "passes.h"
#include "randgraph.h"
#include "smallcpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a workbench ---- */

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Program *program;
    PassCx *cx;
    Graph *g;
} Bench;

static Bench open_bench(const char *name)
{
    Bench b = {.arena = arena_new()};
    b.ir = ir_new(b.arena, syms_new(b.arena), diags_new(b.arena));
    b.program = program_new(b.ir, sym(b.ir->syms, "p"));
    b.cx = passes_begin(b.ir, b.arena, b.program, &small_cpu);
    b.g = graph_new(b.ir, b.arena, sym(b.ir->syms, name));
    return b;
}

static Sym named(const Bench *b, const char *text)
{
    return sym(b->ir->syms, text);
}

static const Type *shape(const Bench *b, DType dtype, uint32_t rank, const int64_t *dims)
{
    const Dim *d[IR_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        d[i] = dim_const(b->ir, dims[i]);
    return type_tensor(b->ir, dtype, rank, d);
}
#define SHAPE(b, ...) \
    shape((b), DT_F32, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})

static const Node *input(Bench *b, const char *name, const Type *t)
{
    return graph_input(b->g, named(b, name), t);
}

/* A state; parameters get their gradient. */
static const State *new_state(Bench *b, StateKind kind, const char *path, const Type *t)
{
    State proto = {.kind = kind, .path = named(b, path), .type = t, .trained = kind == SK_PARAM};
    const State *s = program_state(b->program, &proto);
    if (kind == SK_PARAM) {
        State grad = {.kind = SK_GRAD, .path = s->path, .type = t, .of = s->id};
        program_state(b->program, &grad);
    }
    return s;
}

static const Node *read_state(Bench *b, const State *s)
{
    return graph_state(b->g, s->id, s->type, s->path);
}

static const Node *param(Bench *b, const char *path, const Type *t)
{
    return read_state(b, new_state(b, SK_PARAM, path, t));
}

/* ---- pieces of models ---- */

static const Node *like(Bench *b, const Node *x, double value)
{
    return graph_fill(b->g, x->type, value);
}

static const Node *scaled(Bench *b, const Node *x, double by)
{
    return graph_binary(b->g, OP_MUL, x, like(b, x, by));
}

/* x over the leading axes of `to` (rows) or the last one (cols), repeated to it. */
static const Node *spread(Bench *b, const Node *x, const Node *to, bool rows)
{
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < x->type->rank; i++)
        axes[i] = rows ? i : to->type->rank - x->type->rank + i;
    return graph_expand(b->g, x, to->type->rank, to->type->dims, axes);
}

static const Node *fold_last(Bench *b, OpKind op, const Node *x)
{
    return graph_reduce(b->g, op, x, (int64_t[]){x->type->rank - 1}, 1);
}

static const Node *linear(Bench *b, const Node *x, const Node *w, const Node *bias)
{
    DotAxes axes = {.ncontract = 1, .a_contract = {x->type->rank - 1}, .b_contract = {1}};
    const Node *y = graph_dot(b->g, x, w, &axes);
    return bias ? graph_binary(b->g, OP_ADD, y, spread(b, bias, y, false)) : y;
}

static const Node *gelu(Bench *b, const Node *x)
{
    const Node *e = graph_unary(b->g, OP_ERF, scaled(b, x, 0.70710678118654752));
    const Node *cdf = scaled(b, graph_binary(b->g, OP_ADD, e, like(b, e, 1)), 0.5);
    return graph_binary(b->g, OP_MUL, x, cdf);
}

static const Node *layer_norm(Bench *b, const Node *x, const Node *gain, const Node *bias)
{
    double n = (double)dim_hi(b->ir, x->type->dims[x->type->rank - 1]);
    const Node *mean = scaled(b, fold_last(b, OP_SUM, x), 1 / n);
    const Node *c = graph_binary(b->g, OP_SUB, x, spread(b, mean, x, true));
    const Node *sq = graph_binary(b->g, OP_MUL, c, c);
    const Node *var = scaled(b, fold_last(b, OP_SUM, sq), 1 / n);
    const Node *rstd =
        graph_unary(b->g, OP_RSQRT, graph_binary(b->g, OP_ADD, var, like(b, var, 1e-5)));
    const Node *y = graph_binary(b->g, OP_MUL, c, spread(b, rstd, x, true));
    y = graph_binary(b->g, OP_MUL, y, spread(b, gain, y, false));
    return graph_binary(b->g, OP_ADD, y, spread(b, bias, y, false));
}

static const Node *softmax(Bench *b, const Node *x)
{
    const Node *top = spread(b, fold_last(b, OP_AMAX, x), x, true);
    const Node *e = graph_unary(b->g, OP_EXP, graph_binary(b->g, OP_SUB, x, top));
    return graph_binary(b->g, OP_DIV, e, spread(b, fold_last(b, OP_SUM, e), e, true));
}

/* Sum over rows of log sum exp - picked logit. */
static const Node *cross_entropy(Bench *b, const Node *x, const Node *target)
{
    const Node *top = graph_unary(b->g, OP_STOP, fold_last(b, OP_AMAX, x));
    const Node *e =
        graph_unary(b->g, OP_EXP, graph_binary(b->g, OP_SUB, x, spread(b, top, x, true)));
    const Node *lse =
        graph_binary(b->g, OP_ADD, top, graph_unary(b->g, OP_LOG, fold_last(b, OP_SUM, e)));
    const Node *cls = graph_iota(b->g, x->type->rank, x->type->dims, x->type->rank - 1);
    const Node *hit = graph_binary(b->g, OP_EQ, cls, spread(b, target, cls, true));
    const Node *picked = fold_last(b, OP_SUM, graph_select(b->g, hit, x, like(b, x, 0)));
    const Node *rows = graph_binary(b->g, OP_SUB, lse, picked);
    return graph_reduce(b->g, OP_SUM, rows, (int64_t[]){0}, 1);
}

/* ---- looking at results ---- */

static uint32_t groups(const Graph *g, const char *cls)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *at = g->nodes.at[i];
        n += at->op == OP_GROUP && (!cls || strcmp(node_sym(at, "class"), cls) == 0);
    }
    return n;
}

static const char *report(const Bench *b, const Graph *g)
{
    StrBuf sb = sb_new(b->arena);
    fuse_print(g, &sb);
    return sb_text(&sb);
}

#define CHECK_GROUPS(b, g, cls, want)                                                \
    do {                                                                             \
        if (groups((g), (cls)) != (want))                                            \
            fail_msg("%u groups of class %s, not %u:\n%s", groups((g), (cls)),       \
                     (cls) ? (const char *)(cls) : "any", (want), report((b), (g))); \
    } while (0)

#define CHECK_SAYS(b, g, text)                                         \
    do {                                                               \
        if (!strstr(report((b), (g)), (text)))                         \
            fail_msg("'%s' is not in:\n%s", (text), report((b), (g))); \
    } while (0)

static Graph *run_passes(Bench *b)
{
    graph_verify(b->g, b->program);
    Graph *g = passes_run(b->cx, b->g, &(PassOptions){.limit = -1});
    assert_non_null(g);
    graph_verify(g, b->program);
    if (getenv("SHOW"))
        puts(report(b, g));
    return g;
}

static Graph *only_fuse(Bench *b)
{
    graph_verify(b->g, b->program);
    Graph *g = pass_fuse(b->cx, b->g);
    graph_verify(g, b->program);
    if (getenv("SHOW"))
        puts(report(b, g));
    return g;
}

/* ---- models ---- */

static void test_linear_gelu(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 64, 100));
    b.g->path = named(&b, "fc1");
    const Node *w = param(&b, "fc1.weight", SHAPE(&b, 200, 100));
    const Node *y = gelu(&b, linear(&b, x, w, param(&b, "fc1.bias", SHAPE(&b, 200))));
    graph_result(b.g, named(&b, "y"), y);
    Graph *g = run_passes(&b);
    CHECK_GROUPS(&b, g, NULL, 1);
    CHECK_GROUPS(&b, g, "gemm", 1);
    CHECK_SAYS(&b, g, "as epilogue");
    CHECK_SAYS(&b, g, "fc1_gemm");
    arena_free(b.arena);
}

static void test_mlp_training(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    const Node *x = input(&b, "x", SHAPE(&b, 64, 100));
    const Node *t = input(&b, "t", shape(&b, DT_I32, 1, (int64_t[]){64}));
    const Node *h = gelu(&b, linear(&b, x, param(&b, "fc1.weight", SHAPE(&b, 200, 100)),
                                    param(&b, "fc1.bias", SHAPE(&b, 200))));
    const Node *z = linear(&b, h, param(&b, "fc2.weight", SHAPE(&b, 10, 200)),
                           param(&b, "fc2.bias", SHAPE(&b, 10)));
    graph_result(b.g, named(&b, "loss.sum"), cross_entropy(&b, z, t));
    Graph *g = run_passes(&b);
    /* fc1, fc2, dW2 with dh, dW1; rows of the loss with db2; loss, db1 */
    CHECK_GROUPS(&b, g, "gemm", 4);
    CHECK_GROUPS(&b, g, "row_col", 1);
    CHECK_GROUPS(&b, g, "reduce", 2);
    CHECK_GROUPS(&b, g, NULL, 7);
    CHECK_SAYS(&b, g, "in one launch: an operand is shared");
    arena_free(b.arena);
}

static void test_layer_norm(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 8, 16, 96));
    graph_result(b.g, named(&b, "y"),
                 layer_norm(&b, x, param(&b, "ln.weight", SHAPE(&b, 96)),
                            param(&b, "ln.bias", SHAPE(&b, 96))));
    Graph *g = run_passes(&b);
    CHECK_GROUPS(&b, g, NULL, 1);
    CHECK_GROUPS(&b, g, "reduce", 1);
    arena_free(b.arena);
}

static void test_layer_norm_training(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    const Node *x = input(&b, "x", SHAPE(&b, 64, 32));
    const Node *h = linear(&b, x, param(&b, "fc.weight", SHAPE(&b, 96, 32)), NULL);
    const Node *y = layer_norm(&b, h, param(&b, "ln.weight", SHAPE(&b, 96)),
                               param(&b, "ln.bias", SHAPE(&b, 96)));
    const Node *sq = graph_binary(b.g, OP_MUL, y, y);
    graph_result(b.g, named(&b, "loss.sum"), graph_reduce(b.g, OP_SUM, sq, (int64_t[]){0, 1}, 2));
    Graph *g = run_passes(&b);
    /* fc, dW; forward rows, loss, backward rows with dgain and dbias */
    CHECK_GROUPS(&b, g, "gemm", 2);
    CHECK_GROUPS(&b, g, "row_col", 1);
    CHECK_GROUPS(&b, g, "map", 0);
    assert_true(groups(g, "reduce") <= 2);
    arena_free(b.arena);
}

static void test_softmax(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 4, 7, 33));
    graph_result(b.g, named(&b, "y"), softmax(&b, x));
    Graph *g = run_passes(&b);
    CHECK_GROUPS(&b, g, NULL, 1);
    CHECK_GROUPS(&b, g, "reduce", 1);
    arena_free(b.arena);
}

/* Heads: q, k, v [B, T, H, D]; scores and values by batched products. */
static const Node *attention(Bench *b, const Node *q, const Node *k, const Node *v)
{
    DotAxes qk = {.nbatch = 2,
                  .ncontract = 1,
                  .a_batch = {0, 2},
                  .b_batch = {0, 2},
                  .a_contract = {3},
                  .b_contract = {3}};
    DotAxes pv = {.nbatch = 2,
                  .ncontract = 1,
                  .a_batch = {0, 1},
                  .b_batch = {0, 2},
                  .a_contract = {3},
                  .b_contract = {1}};
    const Node *s = scaled(b, graph_dot(b->g, q, k, &qk), 0.25);
    return graph_permute(b->g, graph_dot(b->g, softmax(b, s), v, &pv), (int64_t[]){0, 2, 1, 3});
}

static const Node *split_heads(Bench *b, const Node *x, int64_t heads)
{
    int64_t width = dim_hi(b->ir, x->type->dims[2]);
    const Dim *dims[] = {x->type->dims[0], x->type->dims[1], dim_const(b->ir, heads),
                         dim_const(b->ir, width / heads)};
    return graph_reshape(b->g, x, 4, dims);
}

static const Node *weight(Bench *b, int layer, const char *path, const Type *t)
{
    const char *full = arena_printf(b->arena, "layers.%d.%s", layer, path);
    return param(b, full, t);
}

/* Pre-norm block of width 64, four heads. */
static const Node *block(Bench *b, const Node *h, int layer)
{
    const Type *square = SHAPE(b, 64, 64), *row = SHAPE(b, 64);
    const Node *n1 =
        layer_norm(b, h, weight(b, layer, "ln1.weight", row), weight(b, layer, "ln1.bias", row));
    const Node *q =
        linear(b, n1, weight(b, layer, "q.weight", square), weight(b, layer, "q.bias", row));
    const Node *k =
        linear(b, n1, weight(b, layer, "k.weight", square), weight(b, layer, "k.bias", row));
    const Node *v =
        linear(b, n1, weight(b, layer, "v.weight", square), weight(b, layer, "v.bias", row));
    const Node *o = attention(b, split_heads(b, q, 4), split_heads(b, k, 4), split_heads(b, v, 4));
    o = graph_reshape(b->g, o, 3, h->type->dims);
    o = linear(b, o, weight(b, layer, "o.weight", square), weight(b, layer, "o.bias", row));
    h = graph_binary(b->g, OP_ADD, h, o);
    const Node *n2 =
        layer_norm(b, h, weight(b, layer, "ln2.weight", row), weight(b, layer, "ln2.bias", row));
    const Node *m = gelu(b, linear(b, n2, weight(b, layer, "fc1.weight", SHAPE(b, 256, 64)),
                                   weight(b, layer, "fc1.bias", SHAPE(b, 256))));
    m = linear(b, m, weight(b, layer, "fc2.weight", SHAPE(b, 64, 256)),
               weight(b, layer, "fc2.bias", row));
    return graph_binary(b->g, OP_ADD, h, m);
}

static void build_transformer(Bench *b, int layers)
{
    const Node *x = input(b, "x", SHAPE(b, 8, 16, 64));
    const Node *h = linear(b, x, param(b, "embed.weight", SHAPE(b, 64, 64)), NULL);
    for (int i = 0; i < layers; i++)
        h = block(b, h, i);
    const Node *sq = graph_binary(b->g, OP_MUL, h, h);
    graph_result(b->g, named(b, "loss.sum"),
                 graph_reduce(b->g, OP_SUM, sq, (int64_t[]){0, 1, 2}, 3));
}

static void test_transformer_block(void **state)
{
    UNUSED(state);
    Bench b = open_bench("micro");
    build_transformer(&b, 1);
    Graph *g = run_passes(&b);
    /* forward: embed, qkv, scores, values, o, fc1, fc2; backward: the gradients of both operands are one
     * launch, what q, k and v send back one sum */
    CHECK_GROUPS(&b, g, "gemm", 7 + 7);
    CHECK_SAYS(&b, g, "before one epilogue");
    /* forward ln1, softmax, ln2; loss; backward softmax, four biases; both norms, with their gains and shifts and
     * the biases of what they are added to */
    CHECK_GROUPS(&b, g, "reduce", 3 + 1 + 1 + 4);
    CHECK_GROUPS(&b, g, "row_col", 2);
    CHECK_GROUPS(&b, g, "map", 0);
    arena_free(b.arena);
}

static uint32_t distinct_defs(const Bench *b, const Graph *g)
{
    Map *seen = map_new(b->arena);
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (g->nodes.at[i]->op == OP_GROUP)
            map_put(seen, MAP_KEY(node_def(g->nodes.at[i])), (void *)g);
    return map_count(seen);
}

/* Twice the layers: twice the groups of a layer, and not one kernel more. */
static void test_deep(void **state)
{
    UNUSED(state);
    uint32_t count[3], defs[3];
    for (int i = 0; i < 3; i++) {
        Bench b = open_bench("micro");
        build_transformer(&b, 4 + 4 * i);
        Graph *g = run_passes(&b);
        count[i] = groups(g, NULL);
        defs[i] = distinct_defs(&b, g);
        arena_free(b.arena);
    }
    assert_int_equal(count[2] - count[1], count[1] - count[0]);
    assert_int_equal(count[1] - count[0], 4 * 22);
    assert_int_equal(defs[1], defs[0]);
    assert_int_equal(defs[2], defs[0]);
}

/* ---- optimizer ---- */

static void adamw(Bench *b, const char *path, const Type *t, const Node *factor)
{
    const State *s = new_state(b, SK_PARAM, path, t);
    const State *grad = program_grad(b->program, s->id);
    const State *sm = new_state(b, SK_OPT, path, t), *sv = new_state(b, SK_OPT, path, t);
    const Node *p = read_state(b, s), *dp = read_state(b, grad);
    dp = graph_binary(b->g, OP_MUL, dp, spread(b, factor, dp, true));
    const Node *m =
        graph_binary(b->g, OP_ADD, scaled(b, read_state(b, sm), 0.9), scaled(b, dp, 0.1));
    const Node *v = graph_binary(b->g, OP_ADD, scaled(b, read_state(b, sv), 0.99),
                                 scaled(b, graph_binary(b->g, OP_MUL, dp, dp), 0.01));
    const Node *step = graph_cast(b->g, DT_F32, graph_slot(b->g, "step", DT_I32));
    const Node *one = graph_const(b->g, DT_F32, 1);
    const Node *fix = graph_binary(
        b->g, OP_SUB, one, graph_binary(b->g, OP_POW, graph_const(b->g, DT_F32, 0.9), step));
    const Node *mh = graph_binary(b->g, OP_DIV, m, spread(b, fix, m, true));
    const Node *d =
        graph_binary(b->g, OP_DIV, mh,
                     graph_binary(b->g, OP_ADD, graph_unary(b->g, OP_SQRT, v), like(b, v, 1e-8)));
    const Node *lr = spread(b, graph_slot(b->g, "lr", DT_F32), p, true);
    const Node *next = graph_binary(b->g, OP_SUB, p, graph_binary(b->g, OP_MUL, lr, d));
    graph_write(b->g, s->id, next);
    graph_write(b->g, sm->id, m);
    graph_write(b->g, sv->id, v);
}

static void test_optimizer(void **state)
{
    UNUSED(state);
    Bench b = open_bench("update");
    const State *w = new_state(&b, SK_GRAD, "w", SHAPE(&b, 300, 100));
    const State *v = new_state(&b, SK_GRAD, "v", SHAPE(&b, 300));
    const Node *in[] = {read_state(&b, w), read_state(&b, v)};
    const Node *sumsq = graph_op(b.g, &(NodeSpec){.op = OP_SUMSQ, .nin = 2, .in = in});
    const Node *norm = graph_unary(b.g, OP_SQRT, sumsq);
    const Node *one = graph_const(b.g, DT_F32, 1);
    const Node *factor = graph_binary(b.g, OP_MIN, one, graph_binary(b.g, OP_DIV, one, norm));
    adamw(&b, "fc1.weight", SHAPE(&b, 300, 100), factor);
    adamw(&b, "fc1.bias", SHAPE(&b, 300), factor);
    adamw(&b, "fc2.weight", SHAPE(&b, 10, 300), factor);
    adamw(&b, "fc2.bias", SHAPE(&b, 10), factor);
    Graph *g = run_passes(&b);
    CHECK_GROUPS(&b, g, "multi_sumsq", 1);
    CHECK_GROUPS(&b, g, "multi_map", 1);
    CHECK_GROUPS(&b, g, "map", 1); /* the clip factor and the bias correction */
    CHECK_GROUPS(&b, g, NULL, 3);
    CHECK_SAYS(&b, g, " x4,");
    arena_free(b.arena);
}

/* ---- refusals ---- */

static void test_class(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 32, 32)), *w = input(&b, "w", SHAPE(&b, 32, 32));
    graph_result(b.g, named(&b, "y"), softmax(&b, linear(&b, x, w, NULL)));
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, NULL, 2);
    CHECK_SAYS(&b, g, "CLASS a gemm keeps no rows");
    arena_free(b.arena);
}

/* A norm before products of few rows: these fold the rows themselves; but not if somebody else needs them. */
static Graph *normed_product(Bench *b, int64_t rows, int64_t depth, bool stored)
{
    const Node *gain = input(b, "gain", SHAPE(b, depth)), *x = input(b, "x", SHAPE(b, rows, depth));
    const Node *n = layer_norm(b, x, gain, gain);
    for (int64_t i = 0; i < 2; i++)
        graph_result(b->g, named(b, i ? "u" : "w"),
                     linear(b, n, input(b, "m", SHAPE(b, 64 + i, depth)), NULL));
    if (stored)
        graph_result(b->g, named(b, "n"), n);
    return only_fuse(b);
}

static void test_prologue(void **state)
{
    UNUSED(state);
    /* rows, depth, stored; groups */
    static const uint32_t cases[][4] = {
        {1, 48, 0, 1}, {12, 48, 0, 1}, {13, 48, 0, 2}, {12, 48, 1, 2}, {1, 20000, 0, 4}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        Bench b = open_bench("call:f");
        Graph *g = normed_product(&b, cases[i][0], cases[i][1], cases[i][2]);
        CHECK_GROUPS(&b, g, NULL, cases[i][3]);
        arena_free(b.arena);
    }
}

static void test_red(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 8, 32, 32));
    const Node *y = softmax(&b, x);
    graph_result(b.g, named(&b, "y"), graph_reduce(b.g, OP_SUM, y, (int64_t[]){0}, 1));
    Graph *g = only_fuse(&b);
    CHECK_SAYS(&b, g, "RED they fold over different spaces");
    arena_free(b.arena);
}

/* Of rows and columns of the same space, unless the columns are folded again, or have no tasks. */
static void test_row_col(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *y = softmax(&b, input(&b, "x", SHAPE(&b, 32, 48)));
    const Node *z = softmax(&b, input(&b, "z", SHAPE(&b, 32, 48)));
    const Node *s = softmax(&b, input(&b, "s", SHAPE(&b, 2000, 3)));
    const Node *l = softmax(&b, input(&b, "l", SHAPE(&b, 8, 200000)));
    const Node *sums = graph_reduce(b.g, OP_SUM, z, (int64_t[]){0}, 1);
    const Node *rest = graph_expand(b.g, sums, 2, z->type->dims, (int64_t[]){1});
    graph_result(b.g, named(&b, "y"), graph_reduce(b.g, OP_SUM, y, (int64_t[]){0}, 1));
    graph_result(b.g, named(&b, "z"), graph_binary(b.g, OP_SUB, z, rest));
    graph_result(b.g, named(&b, "s"), graph_reduce(b.g, OP_SUM, s, (int64_t[]){0}, 1));
    graph_result(b.g, named(&b, "l"), graph_reduce(b.g, OP_SUM, l, (int64_t[]){0}, 1));
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, "row_col", 1);
    CHECK_SAYS(&b, g, "COST rows are too short to be folded along");
    CHECK_SAYS(&b, g, "COST few long rows, whose columns have no tasks");
    arena_free(b.arena);
}

static const Node *transposed(Bench *b, const Node *x)
{
    return graph_permute(b->g, x, (int64_t[]){1, 0});
}

static void test_epi(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 32, 32)), *w = input(&b, "w", SHAPE(&b, 32, 32));
    const Node *y = linear(&b, x, w, NULL);
    graph_result(b.g, named(&b, "y"), graph_binary(b.g, OP_ADD, y, transposed(&b, y)));
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, NULL, 2);
    CHECK_SAYS(&b, g, "EPI the result is read at another index");
    arena_free(b.arena);
}

static void test_map(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 32, 32));
    const Node *u = graph_unary(b.g, OP_EXP, x);
    graph_result(b.g, named(&b, "u"), u);
    graph_result(b.g, named(&b, "v"), graph_binary(b.g, OP_ADD, u, transposed(&b, u)));
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, "map", 2);
    CHECK_SAYS(&b, g, "MAP a value is read at another index than its own");
    arena_free(b.arena);
}

static void test_cycle(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 32, 32)), *w = input(&b, "w", SHAPE(&b, 32, 32));
    const Node *u = graph_unary(b.g, OP_EXP, x);
    const Node *y = linear(&b, u, w, NULL);
    graph_result(b.g, named(&b, "u"), u);
    graph_result(b.g, named(&b, "v"), graph_binary(b.g, OP_ADD, u, transposed(&b, y)));
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, NULL, 3);
    CHECK_SAYS(&b, g, "CYCLE a path leads through another group");
    arena_free(b.arena);
}

static void test_res(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *sum = NULL;
    for (int i = 0; i < 60; i++) {
        const Node *x = input(&b, arena_printf(b.arena, "x%d", i), SHAPE(&b, 40));
        sum = sum ? graph_binary(b.g, OP_ADD, sum, x) : x;
    }
    graph_result(b.g, named(&b, "y"), sum);
    Graph *g = only_fuse(&b);
    for (uint32_t i = 0; i < g->nodes.n; i++)
        assert_true(g->nodes.at[i]->nin <= 24);
    assert_true(groups(g, "map") > 2 && groups(g, "map") < 8);
    CHECK_SAYS(&b, g, "RES more than 24 inputs");
    arena_free(b.arena);
}

static void test_cost(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 320, 320)), *y = input(&b, "y", SHAPE(&b, 320, 320));
    const Node *s = graph_binary(b.g, OP_ADD, x, y);
    for (int i = 0; i < 5; i++) {
        const Node *w = input(&b, arena_printf(b.arena, "w%d", i), SHAPE(&b, 320, 320));
        graph_result(b.g, named(&b, arena_printf(b.arena, "y%d", i)), linear(&b, s, w, NULL));
    }
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, "map", 1);
    CHECK_GROUPS(&b, g, "gemm", 1);
    CHECK_SAYS(&b, g, "COST storing is cheaper");
    arena_free(b.arena);
}

/* A product of bf16 numbers of so many rows, of which the left ones are scaled: groups of class map. */
static uint32_t scaled_operand(const Target *target, int64_t rows)
{
    Bench b = open_bench("call:f");
    if (target)
        b.cx->target = target;
    const Type *narrow = type_with_dtype(b.ir, SHAPE(&b, rows, 320), DT_BF16);
    const Node *x = graph_cast(b.g, DT_F32, input(&b, "x", narrow));
    const Node *s =
        graph_cast(b.g, DT_F32, graph_cast(b.g, DT_BF16, graph_binary(b.g, OP_MUL, x, x)));
    const Node *w = input(&b, "w", type_with_dtype(b.ir, SHAPE(&b, 640, 320), DT_BF16));
    graph_result(b.g, named(&b, "y"), linear(&b, s, graph_cast(b.g, DT_F32, w), NULL));
    Graph *g = only_fuse(&b);
    uint32_t n = groups(g, "map");
    if (n)
        CHECK_SAYS(&b, g, "COST matrix units read it from memory");
    arena_free(b.arena);
    return n;
}

/* What tensor cores multiply is copied as it lies; what has few rows, and what the CPU packs, is computed there. */
static void test_matrix_units(void **state)
{
    UNUSED(state);
    Err err = {0};
    Target gpu;
    assert_true(target_cuda(&gpu, "sm_90a", &err));
    assert_int_equal(scaled_operand(&gpu, 256), 1);
    assert_int_equal(scaled_operand(&gpu, 8), 0);
    assert_int_equal(scaled_operand(NULL, 256), 0);
}

/* A few long rows are folded in two phases: no second fold over them in one kernel. */
static void test_long_fold(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    graph_result(b.g, named(&b, "y"), softmax(&b, input(&b, "x", SHAPE(&b, 2, 100000))));
    Graph *g = pass_pick(b.cx, only_fuse(&b));
    assert_true(groups(g, "reduce") >= 2);
    CHECK_SAYS(&b, g, "RED few long rows");
    CHECK_SAYS(&b, g, "reduce 1,13");
    arena_free(b.arena);
}

/* Gather and scatter, a cast image as an operand, and leaves and views as results. */
static void test_others(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *ids = input(&b, "ids", shape(&b, DT_I32, 2, (int64_t[]){4, 9}));
    const Node *table = param(&b, "table", SHAPE(&b, 50, 32));
    const Node *x = graph_gather(b.g, table, ids, 0, 0);
    graph_result(b.g, named(&b, "x"), scaled(&b, x, 2));
    Attr attr[3] = {{.kind = AK_INT, .i = 0},
                    {.kind = AK_INT, .i = 0},
                    {.kind = AK_DIM, .dim = dim_const(b.ir, 50)}};
    const Node *in[] = {scaled(&b, x, 3), ids};
    graph_result(
        b.g, named(&b, "dt"),
        graph_op(b.g, &(NodeSpec){.op = OP_SCATTER_ADD, .nin = 2, .in = in, .attr = attr}));
    const Node *image = input(&b, "image", shape(&b, DT_U8, 2, (int64_t[]){8, 64}));
    const Node *z = scaled(&b, graph_cast(b.g, DT_F32, image), 1.0 / 255);
    graph_result(b.g, named(&b, "z"), linear(&b, z, input(&b, "w", SHAPE(&b, 16, 64)), NULL));
    graph_result(b.g, named(&b, "leaf"), table);
    graph_result(b.g, named(&b, "view"), transposed(&b, table));
    graph_result(b.g, named(&b, "one"), graph_fill(b.g, SHAPE(&b, 3), 1));
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, "scatter", 1);
    CHECK_GROUPS(&b, g, "gemm", 1);
    for (uint32_t i = 0; i < g->results.n; i++) {
        const Node *n = g->results.at[i].node;
        assert_true(n->op == OP_GROUP || n->op == OP_GET);
    }
    arena_free(b.arena);
}

/* Extents known only at run time fuse like others, but are no part of a table. */
static void test_dynamic(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Dim *rows = dim_of(b.ir, dim_declare(b.ir, named(&b, "B"), 1, 64));
    const Dim *dims[] = {rows, dim_const(b.ir, 48)};
    const Node *x = input(&b, "x", type_tensor(b.ir, DT_F32, 2, dims));
    const Node *y = linear(&b, x, param(&b, "fc.weight", SHAPE(&b, 96, 48)),
                           param(&b, "fc.bias", SHAPE(&b, 96)));
    y = layer_norm(&b, gelu(&b, y), param(&b, "ln.weight", SHAPE(&b, 96)),
                   param(&b, "ln.bias", SHAPE(&b, 96)));
    graph_result(b.g, named(&b, "y"), y);
    graph_result(b.g, named(&b, "p"), graph_unary(b.g, OP_EXP, x));
    dims[1] = dim_const(b.ir, 32);
    const Node *z = input(&b, "z", type_tensor(b.ir, DT_F32, 2, dims));
    graph_result(b.g, named(&b, "q"), graph_unary(b.g, OP_EXP, z));
    Graph *g = only_fuse(&b);
    CHECK_GROUPS(&b, g, "gemm", 1);
    CHECK_GROUPS(&b, g, "reduce", 1);
    CHECK_GROUPS(&b, g, "map", 2);
    arena_free(b.arena);
}

/* Empty tensors joined with themselves: 2^40 paths through 40 nodes. */
static void test_many_paths(void **state)
{
    UNUSED(state);
    Bench b = open_bench("call:f");
    const Node *x = input(&b, "x", SHAPE(&b, 0, 4)), *w = input(&b, "w", SHAPE(&b, 4, 4));
    const Node *y = x;
    for (int i = 0; i < 40; i++)
        y = graph_concat(b.g, (const Node *const[]){y, y}, 2, 0);
    const Node *d = linear(&b, y, w, NULL);
    graph_result(b.g, named(&b, "d"), graph_binary(b.g, OP_ADD, d, y));
    graph_result(b.g, named(&b, "s"), softmax(&b, y));
    graph_result(b.g, named(&b, "t"), graph_reduce(b.g, OP_SUM, y, (int64_t[]){0, 1}, 2));
    only_fuse(&b);
    arena_free(b.arena);
}

/* ---- random graphs ---- */

static uint64_t bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static void same_bits(uint64_t seed, uint32_t nodes)
{
    Bench b = open_bench("call:f");
    RandGraph options = {.seed = seed, .nodes = nodes, .dtype = DT_F32, .results = 4};
    b.g = randgraph(b.ir, b.arena, &options);
    Value **in = randgraph_inputs(b.g, b.arena, seed);
    Value **want = randgraph_run(b.g, b.arena, in);
    Graph *fused = only_fuse(&b);
    Value **got = randgraph_run(fused, b.arena, in);
    for (uint32_t i = 0; i < b.g->results.n; i++) {
        assert_int_equal(want[i]->count, got[i]->count);
        for (int64_t k = 0; k < want[i]->count; k++)
            if (bits(want[i]->at[k]) != bits(got[i]->at[k]))
                fail_msg("seed %llu: result %u differs:\n%s", (unsigned long long)seed, i,
                         report(&b, fused));
    }
    Graph *again = pass_fuse(b.cx, b.g);
    assert_string_equal(report(&b, fused), report(&b, again));
    arena_free(b.arena);
}

static void test_random(void **state)
{
    UNUSED(state);
    for (uint64_t seed = 1; seed <= 200; seed++)
        same_bits(seed, 10 + (uint32_t)seed % 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_gelu), cmocka_unit_test(test_mlp_training),
        cmocka_unit_test(test_layer_norm),  cmocka_unit_test(test_layer_norm_training),
        cmocka_unit_test(test_softmax),     cmocka_unit_test(test_transformer_block),
        cmocka_unit_test(test_optimizer),   cmocka_unit_test(test_random),
        cmocka_unit_test(test_deep),        cmocka_unit_test(test_class),
        cmocka_unit_test(test_row_col),     cmocka_unit_test(test_red),
        cmocka_unit_test(test_epi),         cmocka_unit_test(test_map),
        cmocka_unit_test(test_cycle),       cmocka_unit_test(test_res),
        cmocka_unit_test(test_cost),        cmocka_unit_test(test_long_fold),
        cmocka_unit_test(test_others),      cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_many_paths),  cmocka_unit_test(test_matrix_units),
        cmocka_unit_test(test_prologue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* Products on a GPU: every element type and order of operands, sizes with and without runs of 16 bytes, operands
 * that are computed on the way, batches, epilogues. Sums of products of 16-bit numbers are f32 on tensor cores:
 * the tolerance is that of a sum of 100 rounded products. With tf32 operands have the fraction of f16. */
#include "kernelcase.h"

static const char *const archs[] = {"sm_80", "sm_90a"};

typedef struct Shape {
    int m, n, k, batch; /* batch 0: none */
} Shape;

static const Shape shapes[] = {
    {64, 64, 64, 0}, {128, 136, 72, 0}, {129, 67, 33, 0}, {1, 200, 40, 0},
    {200, 1, 40, 0}, {17, 24, 8, 3},    {5, 3, 7, 4},     {80, 96, 160, 2},
};

typedef enum Extra { AS_IT_IS, EPILOGUE, COMPUTED, EXTRAS } Extra;

typedef struct Mode {
    DType dt;
    bool a_turned, b_turned;
    Extra extra;
    bool tf32;
} Mode;

static const Node *operand(Harness *h, Graph *g, const char *name, const int *dims, const Mode *m)
{
    int batch = dims[0];
    DType dt = m->extra == COMPUTED ? DT_F32 : m->dt;
    const Type *t =
        batch ? shape(h, dt, 3, batch, dims[1], dims[2]) : shape(h, dt, 2, dims[1], dims[2]);
    const Node *x = graph_input(g, sym(h->ir->syms, name), t);
    if (m->extra != COMPUTED)
        return graph_cast(g, DT_F32, x);
    x = graph_binary(g, OP_MAX, x, graph_fill(g, t, 0.25)); /* not 0 of nothing */
    return graph_cast(g, DT_F32, graph_cast(g, m->dt, x));
}

/* bm bn bk stages warps_m warps_n groups */
typedef struct Tile {
    int64_t at[7];
} Tile;

static void add_product(Harness *h, const Shape *s, const Mode *m, const Tile *tile)
{
    Ir *ir = h->ir;
    Graph *g = graph_new(ir, h->arena, sym(ir->syms, "body"));
    int at = s->batch ? 1 : 0;
    const int a_dims[] = {s->batch, m->a_turned ? s->k : s->m, m->a_turned ? s->m : s->k};
    const int b_dims[] = {s->batch, m->b_turned ? s->n : s->k, m->b_turned ? s->k : s->n};
    const Node *a = operand(h, g, "a", a_dims, m), *b = operand(h, g, "b", b_dims, m);
    DotAxes x = {.nbatch = (uint32_t)at, .ncontract = 1, .tf32 = m->tf32};
    x.a_contract[0] = at + (m->a_turned ? 0 : 1);
    x.b_contract[0] = at + (m->b_turned ? 1 : 0);
    const Node *y = graph_dot(g, a, b, &x);
    if (m->extra == EPILOGUE) {
        const Node *res = graph_input(g, sym(ir->syms, "res"), y->type);
        const Node *bias = graph_input(g, sym(ir->syms, "bias"), shape(h, DT_F32, 1, s->n));
        const int64_t axis[] = {at + 1};
        y = graph_binary(g, OP_ADD, y, graph_expand(g, bias, y->type->rank, y->type->dims, axis));
        y = graph_binary(g, OP_ADD, graph_unary(g, OP_TANH, y), res);
        graph_result(g, sym(ir->syms, "narrow"), graph_cast(g, DT_BF16, y));
    }
    if (!y)
        fail_msg("%s", diags_render(ir->diags, h->arena, DIAG_SHORT, false));
    graph_result(g, sym(ir->syms, "y"), y);
    double tol = m->extra == EPILOGUE ? 1e-2 : 2e-4;
    if (m->extra == COMPUTED && m->dt != DT_F32) /* what is expected rounds nothing */
        tol = m->dt == DT_BF16 ? 2e-2 : 3e-3;
    if (m->tf32) /* operands up to 2 are off by 2^-11 of that at most, a product by 4 * 2^-10: a walk of k steps */
        tol += 4 * sqrt(s->k) / 1024;
    CaseSpec spec = {.name = "product", .body = g, .cls = "gemm", .tol = tol};
    if (tile) {
        memcpy(spec.gpu, tile, sizeof *tile);
        spec.ngpu = COUNT(tile->at);
    }
    case_add(h, &spec);
}

static void test_types_and_orders(void **state)
{
    UNUSED(state);
    static const DType types[] = {DT_F32, DT_BF16, DT_F16};
    for (size_t arch = 0; arch < COUNT(archs); arch++) {
        Harness *h = harness_new(archs[arch]);
        uint32_t c = (uint32_t)arch;
        for (size_t t = 0; t < COUNT(types); t++)
            for (int order = 0; order < 4; order++)
                for (int extra = 0; extra < EXTRAS; extra++, c++) {
                    Mode m = {types[t], (order & 1) != 0, (order & 2) != 0, (Extra)extra, false};
                    add_product(h, &shapes[c % COUNT(shapes)], &m, NULL);
                    add_product(h, &shapes[(c + 3) % COUNT(shapes)], &m, NULL);
                    m.tf32 = true;
                    if (t == 0)
                        add_product(h, &shapes[(c + 1) % COUNT(shapes)], &m, NULL);
                }
        harness_run(h);
    }
}

/* Every tile over more steps than its ring has stages, with another one cut at each edge. */
static void run_tiles(const char *arch, const Tile *tiles, size_t n, DType dt, bool tf32)
{
    Harness *h = harness_new(arch);
    for (size_t i = 0; i < n; i++) {
        const int64_t *t = tiles[i].at;
        for (int order = 0; order < 4; order++) {
            Mode m = {dt, (order & 1) != 0, (order & 2) != 0, order == 3 ? EPILOGUE : AS_IT_IS,
                      tf32};
            Shape s = {.m = (int)t[0] + 8, .n = (int)t[1] + 16};
            s.k = (int)(t[2] * (t[3] + 1)) + 8;
            add_product(h, &s, &m, &tiles[i]);
        }
    }
    harness_run(h);
}

static void test_tiles(void **state)
{
    UNUSED(state);
    static const Tile groups[] = {{{128, 256, 64, 4, 8, 1, 1}},
                                  {{128, 128, 64, 3, 8, 1, 1}},
                                  {{128, 64, 64, 4, 8, 1, 1}},
                                  {{64, 128, 64, 4, 4, 1, 1}},
                                  {{128, 64, 64, 2, 4, 1, 1}}};
    static const Tile tensor[] = {{{128, 128, 32, 4, 2, 4, 0}},
                                  {{128, 64, 32, 3, 4, 2, 0}},
                                  {{64, 128, 32, 4, 2, 4, 0}},
                                  {{64, 64, 32, 4, 2, 2, 0}},
                                  {{32, 64, 64, 2, 1, 2, 0}}};
    static const Tile floats[] = {{{128, 128, 16, 4, 2, 2, 0}}, {{128, 128, 16, 2, 4, 2, 0}},
                                  {{128, 64, 16, 3, 4, 1, 0}},  {{64, 64, 16, 2, 4, 1, 0}},
                                  {{32, 64, 16, 2, 2, 1, 0}},   {{32, 64, 16, 4, 1, 1, 0}}};
    run_tiles("sm_90a", groups, COUNT(groups), DT_BF16, false);
    run_tiles("sm_80", tensor, COUNT(tensor), DT_F16, false);
    run_tiles("sm_80", floats, COUNT(floats), DT_F32, false);
    run_tiles("sm_80", floats, COUNT(floats), DT_F32, true);
}

/* ---- blocks that stay: sets, batches, sizes of the run ---- */

typedef struct Rows {
    const Dim *m; /* of the left operand */
    int n, k;
    int batch;   /* 0: none */
    bool turned; /* the right operand has its depth last */
} Rows;

static const Node *matrix(Harness *h, Graph *g, const char *name, const Dim *const *dims)
{
    uint32_t skip = dims[0] ? 0 : 1;
    const Type *t = type_tensor(h->ir, DT_BF16, 3 - skip, dims + skip);
    return graph_cast(g, DT_F32, graph_input(g, sym(h->ir->syms, name), t));
}

static const Node *rows_times(Harness *h, Graph *g, const Rows *r, const Node *a, const char *name)
{
    const Dim *batch = r->batch ? dim_const(h->ir, r->batch) : NULL;
    const Dim *k = dim_const(h->ir, r->k), *n = dim_const(h->ir, r->n);
    const Dim *dims[] = {batch, r->turned ? n : k, r->turned ? k : n};
    int at = r->batch ? 1 : 0;
    DotAxes x = {.nbatch = (uint32_t)at, .ncontract = 1};
    x.a_contract[0] = at + 1;
    x.b_contract[0] = r->turned ? at + 1 : at;
    return graph_dot(g, a, matrix(h, g, name, dims), &x);
}

/* Gate and up of a SwiGLU, with a residual: two products of one left operand, one epilogue, two results. */
static void add_pair(Harness *h, const Rows *r, const Tile *tile)
{
    Ir *ir = h->ir;
    Graph *g = graph_new(ir, h->arena, sym(ir->syms, "body"));
    const Dim *dims[] = {r->batch ? dim_const(ir, r->batch) : NULL, r->m, dim_const(ir, r->k)};
    const Node *a = matrix(h, g, "a", dims), *gate = rows_times(h, g, r, a, "gate");
    const Node *up = rows_times(h, g, r, a, "up");
    const Node *y = graph_binary(
        g, OP_MUL, graph_binary(g, OP_MUL, gate, graph_unary(g, OP_SIGMOID, gate)), up);
    const Node *res = graph_input(g, sym(ir->syms, "res"), y->type);
    graph_result(g, sym(ir->syms, "sum"), graph_binary(g, OP_ADD, y, res));
    graph_result(g, sym(ir->syms, "y"), graph_cast(g, DT_BF16, y));
    CaseSpec spec = {.name = "pair", .body = g, .cls = "gemm", .tol = 2e-2, .lo = -0.5, .hi = 0.5};
    memcpy(spec.gpu, tile, sizeof *tile);
    spec.ngpu = COUNT(tile->at);
    case_add(h, &spec);
}

/* Where what is added to a product lies: as the result does, in a wider tensor, in parts beside or below each other,
 * which no box can tell apart, and in pieces of rows that lie apart. */
typedef enum Added {
    AS_RESULT,
    IN_SLICE,
    IN_HALVES_BESIDE,
    IN_HALVES_BELOW,
    ADDEDS,
    IN_PIECES = ADDEDS
} Added;

/* Every other piece of 64 rows. */
static const Node *placed_in_pieces(Harness *h, Graph *g, const Rows *r)
{
    Ir *ir = h->ir;
    enum { PIECE = 64 };
    const Dim *one = dim_const(ir, 1), *n = dim_const(ir, r->n), *dims[] = {r->m, n};
    const Type *t = shape(h, DT_F32, 4, (int)dim_hi(ir, r->m) / PIECE, 2, PIECE, r->n);
    const Node *x = graph_input(g, sym(ir->syms, "res"), t);
    return graph_reshape(g, graph_slice(g, x, 1, one, one), 2, dims);
}

static const Node *placed(Harness *h, Graph *g, const Rows *r, Added place)
{
    Ir *ir = h->ir;
    if (place == IN_PIECES)
        return placed_in_pieces(h, g, r);
    uint32_t axis = place == IN_HALVES_BELOW ? 0 : 1;
    const Dim *n = dim_const(ir, r->n), *dims[] = {r->m, n};
    if (place == IN_SLICE)
        dims[1] = dim_const(ir, 2 * r->n);
    else if (place != AS_RESULT)
        dims[axis] = dim_const(ir, (axis ? r->n : dim_hi(ir, r->m)) / 2);
    const Type *t = type_tensor(ir, DT_F32, 2, dims);
    const Node *x = graph_input(g, sym(ir->syms, "res"), t);
    if (place == AS_RESULT)
        return x;
    if (place == IN_SLICE)
        return graph_slice(g, x, 1, n, n);
    const Node *both[] = {x, graph_input(g, sym(ir->syms, "rest"), t)};
    return graph_concat(g, both, 2, (int)axis);
}

/* A gradient that is added to, in f32: it comes through the ring as the operands do, where a box can have it. */
static void add_beside(Harness *h, const Rows *r, const Tile *tile, Added place)
{
    Ir *ir = h->ir;
    Graph *g = graph_new(ir, h->arena, sym(ir->syms, "body"));
    const Dim *dims[] = {NULL, r->m, dim_const(ir, r->k)};
    const Node *y = rows_times(h, g, r, matrix(h, g, "a", dims), "b");
    y = graph_cast(g, DT_F32, graph_cast(g, DT_BF16, y));
    graph_result(g, sym(ir->syms, "y"), graph_binary(g, OP_ADD, placed(h, g, r, place), y));
    CaseSpec spec = {.name = "beside", .body = g, .cls = "gemm", .tol = 2e-2};
    memcpy(spec.gpu, tile, sizeof *tile);
    spec.ngpu = COUNT(tile->at);
    KCase *c = case_add(h, &spec);
    assert_int_equal(c->k->maps.n, place == AS_RESULT || place == IN_SLICE ? 3 : 2);
}

/* Products of one left operand with results of their own: sets, whose tiles follow one another. */
static void add_sets(Harness *h, const Rows *r, const Tile *tile)
{
    Ir *ir = h->ir;
    Graph *g = graph_new(ir, h->arena, sym(ir->syms, "body"));
    const Dim *dims[] = {NULL, r->m, dim_const(ir, r->k)};
    const Node *a = matrix(h, g, "a", dims);
    Rows narrow = *r;
    narrow.n = r->n / 2;
    graph_result(g, sym(ir->syms, "q"), graph_cast(g, DT_BF16, rows_times(h, g, r, a, "wq")));
    graph_result(g, sym(ir->syms, "k"), rows_times(h, g, &narrow, a, "wk"));
    CaseSpec spec = {.name = "sets", .body = g, .cls = "gemm", .tol = 2e-2};
    memcpy(spec.gpu, tile, sizeof *tile);
    spec.ngpu = COUNT(tile->at);
    case_add(h, &spec);
}

/* What queries, keys and values send back: products of unequal depth that only their sum reads, which takes the
 * registers of one; `apart`: another result reads one of them. */
static void add_sum(Harness *h, const Rows *r, const Tile *tile, bool apart)
{
    Ir *ir = h->ir;
    Graph *g = graph_new(ir, h->arena, sym(ir->syms, "body"));
    const Node *sum = NULL, *dot = NULL;
    for (int i = 0; i < 3; i++) {
        Rows one = *r;
        one.k = i == 1 ? r->k : r->k / 2;
        const char *left = arena_printf(h->arena, "a%d", i),
                   *right = arena_printf(h->arena, "b%d", i);
        const Dim *dims[] = {NULL, r->m, dim_const(ir, one.k)};
        dot = rows_times(h, g, &one, matrix(h, g, left, dims), right);
        sum = !sum ? dot : graph_binary(g, OP_ADD, i == 1 ? sum : dot, i == 1 ? dot : sum);
    }
    const Node *res = graph_input(g, sym(ir->syms, "res"), sum->type);
    graph_result(g, sym(ir->syms, "y"), graph_binary(g, OP_ADD, sum, res));
    if (apart)
        graph_result(g, sym(ir->syms, "last"), graph_unary(g, OP_NEG, dot));
    CaseSpec spec = {.name = "sum", .body = g, .cls = "gemm", .tol = 2e-2};
    memcpy(spec.gpu, tile, sizeof *tile);
    spec.ngpu = COUNT(tile->at);
    KCase *c = case_add(h, &spec);
    uint32_t sums = 0;
    for (uint32_t i = 0; i < c->k->bufs.n; i++)
        sums += c->k->bufs.at[i].kind == KB_LOCAL;
    assert_int_equal(sums, apart ? 3 : 1);
}

/* ---- halves of heads ---- */

enum { HEADS = 3, DEPTH = 40 };

/* The second halves of the features of all heads, as rows of a matrix: a head's lie apart from the next one's. */
static const Node *halves(Harness *h, Graph *g, const char *name, int half)
{
    Ir *ir = h->ir;
    const Type *t = shape(h, DT_F32, 4, HEADS, 2, half, DEPTH);
    const Node *x = graph_input(g, sym(ir->syms, name), t), *part;
    const Dim *one = dim_const(ir, 1), *dims[] = {dim_const(ir, (int64_t)HEADS * half), t->dims[3]};
    part = graph_slice(g, x, 1, one, one);
    return graph_reshape(g, part, 2, dims);
}

/* Elements are copied one by one, past the registers, where tiles end with heads. */
static void test_halves_of_heads(void **state)
{
    UNUSED(state);
    static const Tile tile = {{32, 64, 16, 4, 1, 1, 0}};
    static const int half[] = {64, 32, 128, 40};
    Harness *h = harness_new("sm_80");
    for (size_t i = 0; i < COUNT(half); i++) {
        Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
        DotAxes x = {.ncontract = 1, .a_contract = {1}, .b_contract = {1}};
        const Node *a = halves(h, g, "a", half[i]), *b = halves(h, g, "b", half[i]);
        graph_result(g, sym(h->ir->syms, "y"), graph_dot(g, a, b, &x));
        CaseSpec spec = {.name = "halves", .body = g, .cls = "gemm", .tol = 2e-4};
        memcpy(spec.gpu, &tile, sizeof tile);
        spec.ngpu = COUNT(tile.at);
        KCase *c = case_add(h, &spec);
        StrBuf text = sb_new(h->arena);
        kernel_print(c->k, &text);
        bool direct = half[i] % 64 == 0; /* of both operands */
        assert_int_equal(strstr(sb_text(&text), "mdl_scatter_f32") == NULL, direct);
    }
    harness_run(h);
}

/* Half number `which` of the features of all heads, bf16: rows in pieces, whose depth is last or first. */
static const Node *pieces(Harness *h, Graph *g, const Node *x, int which)
{
    Ir *ir = h->ir;
    bool first = x->type->rank == 4 && x->type->dims[0] != dim_const(ir, HEADS);
    uint32_t at = first ? 1 : 0;
    const Dim *one = dim_const(ir, 1), *half = x->type->dims[at + 2];
    const Dim *rows = dim_mul(ir, dim_const(ir, HEADS), half);
    const Dim *depth = x->type->dims[first ? 0 : 3];
    const Node *part = graph_slice(g, x, at + 1, dim_const(ir, which), one);
    const Dim *dims[] = {first ? depth : rows, first ? rows : depth};
    return graph_cast(g, DT_F32, graph_reshape(g, part, 2, dims));
}

/* Both halves as a pair, as rotations read them, and a product that is alone, with the pair's tile or one as wide as
 * all of it. `left`: pieces are rows of the result. */
static void add_pieces(Harness *h, int half, bool first, bool left)
{
    Ir *ir = h->ir;
    enum { STEPS = 136, ROWS = 136, ALONE = 320 };
    static const Tile tile = {{128, 128, 64, 3, 8, 1, 1}};
    Graph *g = graph_new(ir, h->arena, sym(ir->syms, "body"));
    const Type *heads = first ? shape(h, DT_BF16, 4, STEPS, HEADS, 2, half)
                              : shape(h, DT_BF16, 4, HEADS, 2, half, STEPS);
    const Node *x = graph_input(g, sym(ir->syms, "x"), heads), *dot[2];
    const Dim *rows[] = {NULL, dim_const(ir, ROWS), dim_const(ir, STEPS)};
    const Node *a = matrix(h, g, "a", rows);
    for (int i = 0; i < 2; i++) {
        const Node *p = pieces(h, g, x, i);
        DotAxes on = {.ncontract = 1, .a_contract = {1}, .b_contract = {first ? 0 : 1}};
        DotAxes turned = {.ncontract = 1, .a_contract = {first ? 0 : 1}, .b_contract = {1}};
        dot[i] = left ? graph_dot(g, p, a, &turned) : graph_dot(g, a, p, &on);
    }
    graph_result(g, sym(ir->syms, "sum"), graph_binary(g, OP_ADD, dot[0], dot[1]));
    graph_result(g, sym(ir->syms, "product"), graph_binary(g, OP_MUL, dot[0], dot[1]));
    const Rows alone = {rows[1], ALONE, STEPS, 0, false};
    if (!left)
        graph_result(g, sym(ir->syms, "alone"), rows_times(h, g, &alone, a, "b"));
    CaseSpec spec = {.name = "pieces", .body = g, .cls = "gemm", .tol = 2e-2};
    memcpy(spec.gpu, &tile, sizeof tile);
    spec.ngpu = COUNT(tile.at);
    KCase *c = case_add(h, &spec);
    if ((c->k->maps.n > 0) != (half % 64 == 0))
        fail_msg("halves of %d: %u maps", half, c->k->maps.n);
    StrBuf text = sb_new(h->arena);
    kernel_print(c->k, &text);
    bool wide = strstr(sb_text(&text), "{128, 256, 64, 8, 1, 1, 0}") != NULL;
    if (!left && !first && wide != (half % 64 == 0)) /* else the pair's own may be called so */
        fail_msg("halves of %d: the tile of what is alone", half);
}

static void test_pieces(void **state)
{
    UNUSED(state);
    Harness *h = harness_new("sm_90a");
    static const int half[] = {64, 128, 40};
    for (size_t i = 0; i < COUNT(half); i++)
        for (int first = 0; first < 2; first++)
            for (int left = 0; left < 2; left++)
                add_pieces(h, half[i], first != 0, left != 0);
    harness_run(h);
}

/* Pieces that have one element of the axis, as gradients of queries, keys and values do that are put together: where
 * a piece is read nothing but the column is divided. */
static void test_single_pieces(void **state)
{
    UNUSED(state);
    Harness *h = harness_new("sm_80");
    Graph *g = graph_new(h->ir, h->arena, sym(h->ir->syms, "body"));
    const Type *t = shape(h, DT_F32, 4, 3, 28, 4, 16), *line = shape(h, DT_F32, 4, 3, 28, 1, 64);
    const Node *in[] = {graph_input(g, sym(h->ir->syms, "x"), t),
                        graph_input(g, sym(h->ir->syms, "z"), t)};
    for (int i = 0; i < 2; i++)
        in[i] = graph_reshape(g, in[i], 4, line->dims);
    const Dim *dims[] = {dim_const(h->ir, 84), dim_const(h->ir, 128)};
    const Node *a = graph_reshape(g, graph_concat(g, in, 2, 2), 2, dims);
    const Node *b = graph_input(g, sym(h->ir->syms, "b"), shape(h, DT_F32, 2, 128, 40));
    DotAxes x = {.ncontract = 1, .a_contract = {1}, .b_contract = {0}};
    graph_result(g, sym(h->ir->syms, "y"), graph_dot(g, a, b, &x));
    KCase *c = case_add(h, &(CaseSpec){.name = "single", .body = g, .cls = "gemm", .tol = 2e-4});
    StrBuf text = sb_new(h->arena);
    kernel_print(c->k, &text);
    if (strstr(sb_text(&text), "% 28"))
        fail_msg("%s", sb_text(&text));
    harness_run(h);
}

/* So few tiles that many processors have none: still warpgroups and boxes, of smaller tiles. */
static void test_few_tiles(void **state)
{
    UNUSED(state);
    Harness *h = harness_new("sm_90a");
    const Mode m = {DT_BF16, false, true, AS_IT_IS, false};
    add_product(h, &(Shape){577, 1024, 64, 0}, &m, NULL);
    assert_int_equal(h->cases.at[0]->k->maps.n, 2);
    harness_run(h);
}

static void test_sums(void **state)
{
    UNUSED(state);
    static const Tile groups[] = {{{128, 256, 64, 4, 8, 1, 1}}, {{64, 64, 64, 2, 4, 1, 1}}};
    static const Tile warps[] = {{{64, 64, 32, 3, 2, 2, 0}}, {{32, 64, 64, 2, 1, 2, 0}}};
    for (size_t arch = 0; arch < COUNT(archs); arch++) {
        Harness *h = harness_new(archs[arch]);
        const Tile *tile = arch ? groups : warps;
        const Rows even = {dim_const(h->ir, 136), 264, 400, 0, false},
                   odd = {dim_const(h->ir, 70), 67, 66, 0, true};
        add_sum(h, &even, &tile[0], false);
        add_sum(h, &even, &tile[1], true);
        add_sum(h, &odd, &tile[1], false);
        harness_run(h);
    }
}

static void test_beside(void **state)
{
    UNUSED(state);
    static const Tile tiles[] = {{{128, 256, 64, 4, 8, 1, 1}}, {{64, 64, 64, 4, 4, 1, 1}}};
    Harness *h = harness_new("sm_90a");
    const Rows even = {dim_const(h->ir, 264), 272, 200, 0, false},
               some = {harness_dim(h, "T", 1, 600, 131), 144, 72, 0, true};
    for (int i = 0; i < ADDEDS; i++)
        add_beside(h, &even, &tiles[i % 2], (Added)i);
    const Rows whole = {dim_const(h->ir, 256), 512, 136, 0, false}; /* nothing is tested */
    add_beside(h, &some, &tiles[1], AS_RESULT);
    add_beside(h, &whole, &tiles[0], AS_RESULT);
    add_beside(h, &whole, &tiles[1], IN_PIECES);
    harness_run(h);
}

static void test_blocks_that_stay(void **state)
{
    UNUSED(state);
    static const Tile pair = {{128, 128, 64, 3, 8, 1, 1}}, small = {{64, 64, 64, 4, 4, 1, 1}};
    Harness *h = harness_new("sm_90a");
    const Dim *some = harness_dim(h, "T", 1, 600, 131), *many = harness_dim(h, "S", 0, 520, 513);
    const Rows rows[] = {{dim_const(h->ir, 264), 272, 136, 0, true},
                         {dim_const(h->ir, 130), 72, 328, 3, false},
                         {some, 144, 200, 0, false},
                         {some, 64, 64, 2, true},
                         {many, 320, 64, 0, false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        add_pair(h, &rows[i], i == 1 ? &small : &pair);
        if (!rows[i].batch)
            add_sets(h, &rows[i], i % 2 ? &small : &pair);
    }
    for (uint32_t i = 0; i < h->cases.n; i++) /* all of them by boxes */
        if (h->cases.at[i]->k->maps.n < 2)
            fail_msg("case %u copies nothing in boxes", i);
    harness_run(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_orders), cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_blocks_that_stay), cmocka_unit_test(test_sums),
        cmocka_unit_test(test_beside),           cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_few_tiles),        cmocka_unit_test(test_single_pieces),
        cmocka_unit_test(test_halves_of_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

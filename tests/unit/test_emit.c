/* LIBS: mdl_codegen mdl_kernel mdl_target mdl_plan mdl_ir mdl_base */
/* test_emit.c: what emitted C looks like: substrings that must and must not occur. */
#include "codegen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static const Target wide = {.name = "cpu", .isa = "avx2", .vector = 8, .registers = 16};

typedef struct Session {
    Arena *arena;
    Ir *ir;
    Graph *body;
    uint32_t slot_of_sym[8];
} Session;

static Session begin(void)
{
    Session s = {.arena = arena_new()};
    s.ir = ir_new(s.arena, syms_new(s.arena), diags_new(s.arena));
    s.body = graph_new(s.ir, s.arena, sym(s.ir->syms, "body"));
    return s;
}

static const Node *input(Session *s, const char *name, const Dim *a, const Dim *b)
{
    const Dim *dims[] = {a, b};
    return graph_input(s->body, sym(s->ir->syms, name),
                       type_tensor(s->ir, DT_F32, b ? 2 : 1, dims));
}

static const Dim *fixed(Session *s, int64_t n)
{
    return dim_const(s->ir, n);
}

static const char *emit(Session *s, const char *cls, const int64_t *config, uint32_t nconfig)
{
    Ir *ir = s->ir;
    Def proto = {.kind = DEF_GROUP, .name = sym(ir->syms, "grp"), .body = s->body, .nvisible = 1};
    const Def *def = def_intern(ir, &proto);
    Graph *g = graph_new(ir, s->arena, sym(ir->syms, "entry"));
    const Node *in[8];
    for (uint32_t i = 0; i < s->body->inputs.n; i++)
        in[i] = graph_input(g, sym_printf(ir->syms, "in%u", i), s->body->inputs.at[i]->type);
    Attr attr[4] = {0};
    attr[op_attr_index(OP_GROUP, "def")] = (Attr){.kind = AK_DEF, .def = def};
    attr[op_attr_index(OP_GROUP, "class")] = (Attr){.kind = AK_SYM, .s = sym(ir->syms, cls)};
    attr[op_attr_index(OP_GROUP, "config")] = (Attr){.kind = AK_INTS, .n = nconfig, .ints = config};
    attr[op_attr_index(OP_GROUP, "count")] = (Attr){.kind = AK_INT, .i = 1};
    g->path = sym(ir->syms, "layers.3.mlp");
    const Node *n =
        graph_op(g, &(NodeSpec){.op = OP_GROUP, .nin = s->body->inputs.n, .in = in, .attr = attr});
    assert_non_null(n);
    const Kernel *k = codegen_lower(ir, s->arena, n, codegen_config(n), &wide);
    Sym slots[] = {sym(ir->syms, "step"), sym(ir->syms, "lr"), sym(ir->syms, "B")};
    EmitCx cx = {.target = &wide, .slots = slots, .nslot = COUNT(slots)};
    return codegen_emit(k, &cx, s->arena);
}

static void check(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("CHECK: no '%s' in\n%s", part, text);
}

static void check_not(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("CHECK-NOT: '%s' in\n%s", part, text);
}

static void test_map(void **state)
{
    UNUSED(state);
    Session s = begin();
    const Node *x = input(&s, "x", fixed(&s, 4), fixed(&s, 64));
    const Node *bias = input(&s, "bias", fixed(&s, 64), NULL);
    int64_t axes[] = {1};
    const Node *y =
        graph_binary(s.body, OP_ADD, x, graph_expand(s.body, bias, 2, x->type->dims, axes));
    graph_result(s.body, sym(s.ir->syms, "y"), graph_unary(s.body, OP_EXP, y));
    const char *c = emit(&s, "map", (int64_t[]){1024}, 1);
    check(c, "layers.3.mlp");
    check(c, "#include \"mdl.h\"");
    check(c, "#define MDL_W 8");
    check(c, "const float *x = a->buf[0];");
    check(c, "const float *bias = a->buf[1];");
    check(c, "float *y = a->buf[2];");
    check(c, "mdl_load_f32(&bias[i % 64])"); /* 64 is a multiple of W: still one vector load */
    check(c, "mdl_exp_vf(");
    check_not(c, "lane");      /* no loop over lanes */
    check_not(c, "mdl_loadn"); /* no tail: 256 elements */
    arena_free(s.arena);
}

static void test_hoisting(void **state)
{
    UNUSED(state);
    Session s = begin();
    const Node *x = input(&s, "x", fixed(&s, 4), fixed(&s, 20));
    const Node *column = input(&s, "column", fixed(&s, 4), NULL);
    int64_t axes[] = {0};
    const Node *e = graph_unary(s.body, OP_EXP, column);
    const Node *y =
        graph_binary(s.body, OP_MUL, x, graph_expand(s.body, e, 2, x->type->dims, axes));
    graph_result(s.body, sym(s.ir->syms, "y"), y);
    const char *c = emit(&s, "map", (int64_t[]){8}, 1);
    check(c, "mdl_exp_f32("); /* once per row, as a scalar */
    check_not(c, "mdl_exp_vf(");
    check(c, "mdl_loadn_f32(&x[");
    const char *first = strstr(c, "mdl_exp_f32("), *loop = strstr(c, "mdl_load_f32(&x[");
    assert_true(first && loop && first < loop);
    assert_null(strstr(first + 1, "mdl_exp_f32("));
    arena_free(s.arena);
}

static void test_extent_and_slots(void **state)
{
    UNUSED(state);
    Session s = begin();
    const DimSym *b = dim_declare(s.ir, sym(s.ir->syms, "B"), 0, 100);
    const Node *x = input(&s, "x", dim_of(s.ir, b), fixed(&s, 3));
    const Node *lr = graph_slot(s.body, "lr", DT_F32);
    const Node *y =
        graph_binary(s.body, OP_MUL, x, graph_expand(s.body, lr, 2, x->type->dims, NULL));
    graph_result(s.body, sym(s.ir->syms, "y"), y);
    const char *c = emit(&s, "map", (int64_t[]){64}, 1);
    check(c, "const int64_t ext0_B = a->block[2];");
    check(c, "3 * ext0_B");
    check(c, "mdl_slot_f64(a, 1)");
    arena_free(s.arena);
}

static void test_constants(void **state)
{
    UNUSED(state);
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "mdl_set1_vf(0.1f)"},         {1, "mdl_set1_vf(1.0f)"},
                 {-2.5, "mdl_set1_vf((-2.5f))"},     {1e-30, "mdl_set1_vf(1e-30f)"},
                 {HUGE_VAL, "mdl_set1_vf(MDL_INF)"}, {0.333333343, "mdl_set1_vf(0.33333334f)"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        Session s = begin();
        const Node *x = input(&s, "x", fixed(&s, 8), NULL);
        const Node *y =
            graph_binary(s.body, OP_ADD, x, graph_fill(s.body, x->type, cases[i].value));
        graph_result(s.body, sym(s.ir->syms, "y"), y);
        check(emit(&s, "map", (int64_t[]){64}, 1), cases[i].text);
        arena_free(s.arena);
    }
}

static void test_gemm(void **state)
{
    UNUSED(state);
    Session s = begin();
    const Node *x = input(&s, "x", fixed(&s, 100), fixed(&s, 64));
    const Node *w = input(&s, "weight", fixed(&s, 48), fixed(&s, 64));
    DotAxes axes = {.ncontract = 1, .a_contract = {1}, .b_contract = {1}};
    graph_result(s.body, sym(s.ir->syms, "y"), graph_dot(s.body, x, w, &axes));
    const char *c = emit(&s, "gemm", (int64_t[]){6, 16, 64, 24, 48}, 5);
    check(c, "_pack(const MdlArgs *a, int64_t task, void *scratch)"); /* shared by four tasks */
    check(c, "mdl_transpose_f32(");
    check(c, "c5_1 = mdl_fma_vf(a5, b1, c5_1);");
    check_not(c, "c6_0");
    check(c, "x = a->buf[0]");
    check_not(c, "a_panels"); /* x is near: it is read where it lies */
    check_not(c, "restrict y");
    arena_free(s.arena);
}

static void test_comment_cannot_end(void **state)
{
    UNUSED(state);
    Session s = begin();
    const Node *x = input(&s, "x", fixed(&s, 8), NULL);
    graph_result(s.body, sym(s.ir->syms, "y"), graph_unary(s.body, OP_NEG, x));
    Kernel *k = kernel_new(s.arena, s.ir, sym(s.ir->syms, "k"), 8);
    k->doc = "*/ int evil; /*";
    kernel_phase(k, "", fixed(&s, 1), "also */ here");
    const char *c = codegen_emit(k, &(EmitCx){.target = &wide}, s.arena);
    check_not(c, "*/ int evil");
    check_not(c, "also */");
    arena_free(s.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_hoisting),
        cmocka_unit_test(test_extent_and_slots),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_comment_cannot_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

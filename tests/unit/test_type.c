/* LIBS: mdl_ir mdl_base */
/* test_type.c: interned types, the type rules and what they say to people. */
#include "ir.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Fixture {
    Arena *arena;
    Ir *ir;
    Graph *g;
    const Dim *B, *T;
    const Node *x;   /* f32[B, T, 12] */
    const Node *bt;  /* f32[B, T] */
    const Node *idx; /* i32[B, 5] */
    const Node *yes; /* bool[B, T] */
} Fixture;

static const Node *input(Fixture *f, DType dtype, uint32_t rank, const Dim *const *dims)
{
    Sym name = sym_printf(f->ir->syms, "x%u", f->g->inputs.n);
    return graph_input(f->g, name, type_tensor(f->ir, dtype, rank, dims));
}

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->ir = ir_new(arena, syms_new(arena), diags_new(arena));
    f->g = graph_new(f->ir, arena, sym(f->ir->syms, "g"));
    f->B = dim_of(f->ir, dim_declare(f->ir, sym(f->ir->syms, "B"), 1, 512));
    f->T = dim_of(f->ir, dim_declare(f->ir, sym(f->ir->syms, "T"), 1, 64));
    const Dim *dims[] = {f->B, f->T, dim_const(f->ir, 12)};
    f->x = input(f, DT_F32, 3, dims);
    f->bt = input(f, DT_F32, 2, dims);
    const Dim *rows[] = {f->B, dim_const(f->ir, 5)};
    f->idx = input(f, DT_I32, 2, rows);
    f->yes = input(f, DT_BOOL, 2, dims);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    arena_free(((Fixture *)*state)->arena);
    return 0;
}

static void types_are_interned_and_print(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *dims[] = {f->B, dim_const(ir, 784)};
    const Type *t = type_tensor(ir, DT_F32, 2, dims);
    assert_ptr_equal(t, type_tensor(ir, DT_F32, 2, dims));
    assert_ptr_not_equal(t, type_tensor(ir, DT_F64, 2, dims));
    assert_ptr_not_equal(t, type_tensor(ir, DT_F32, 1, dims));
    assert_ptr_equal(type_with_dtype(ir, type_with_dtype(ir, t, DT_I8), DT_F32), t);
    assert_true(type_same_dims(t, type_with_dtype(ir, t, DT_BOOL)));
    assert_string_equal(type_text(ir, t), "f32[B, 784]");
    assert_string_equal(type_text(ir, type_scalar(ir, DT_F64)), "f64[]");
    const Type *both[] = {t, type_scalar(ir, DT_I32)};
    const Type *pair = type_tuple(ir, 2, both);
    assert_ptr_equal(pair, type_tuple(ir, 2, both));
    assert_string_equal(type_text(ir, pair), "(f32[B, 784], i32[])");
    assert_string_equal(type_text(ir, type_tuple(ir, 0, NULL)), "()");
    assert_ptr_equal(type_count(ir, t), dim_mul(ir, f->B, dims[1]));
    assert_true(dim_equals(type_count(ir, both[1]), 1));
    assert_false(type_same_dims(pair, t));
}

/* ---- accepted ---- */

static void is(Fixture *f, const Node *n, const char *type)
{
    if (!n)
        print_error("%s", diags_render(f->ir->diags, f->arena, DIAG_HUMAN, false));
    assert_non_null(n);
    assert_string_equal(type_text(f->ir, n->type), type);
}

static void shapes_of_views(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *three = dim_const(ir, 3), *four = dim_const(ir, 4);
    const Dim *split[] = {dim_mul(ir, f->B, f->T), three, four};
    is(f, graph_reshape(f->g, f->x, 3, split), "f32[B*T, 3, 4]");
    const int64_t perm[] = {1, 2, 0}, axes[] = {0, 2};
    is(f, graph_permute(f->g, f->x, perm), "f32[T, 12, B]");
    const Dim *wide[] = {f->B, three, f->T};
    is(f, graph_expand(f->g, f->bt, 3, wide, axes), "f32[B, 3, T]");
    is(f, graph_slice(f->g, f->x, 2, three, four), "f32[B, T, 4]");
    const Dim *less = dim_sub(ir, f->T, dim_const(ir, 1));
    is(f, graph_slice(f->g, f->x, 1, dim_const(ir, 1), less), "f32[B, T - 1, 12]");
    is(f, graph_pad(f->g, f->x, 1, three, f->T), "f32[B, 2*T + 3, 12]");
    const Node *both[] = {f->x, f->x, f->x};
    is(f, graph_concat(f->g, both, 3, 2), "f32[B, T, 36]");
    is(f, graph_fill(f->g, f->bt->type, 0.5), "f32[B, T]");
    is(f, graph_iota(f->g, 2, wide, 1), "i32[B, 3]");
}

static void shapes_of_the_rest(void **state)
{
    Fixture *f = *state;
    const int64_t axes[] = {0, 2};
    is(f, graph_reduce(f->g, OP_SUM, f->x, axes, 2), "f32[T]");
    is(f, graph_reduce(f->g, OP_ARGMAX, f->x, axes + 1, 1), "i32[B, T]");
    is(f, graph_gather(f->g, f->x, f->idx, 1, 1), "f32[B, 5, 12]");
    is(f, graph_gather(f->g, f->x, f->idx, 2, 0), "f32[B, T, B, 5]");
    Attr attr[] = {
        {.kind = AK_INT, .i = 1}, {.kind = AK_INT, .i = 1}, {.kind = AK_DIM, .dim = f->T}};
    const Node *in[] = {graph_gather(f->g, f->x, f->idx, 1, 1), f->idx};
    is(f, graph_op(f->g, &(NodeSpec){.op = OP_SCATTER_ADD, .nin = 2, .in = in, .attr = attr}),
       "f32[B, T, 12]");
    DotAxes dot = {.nbatch = 1, .ncontract = 1, .a_contract = {2}, .b_contract = {2}};
    is(f, graph_dot(f->g, f->x, f->x, &dot), "f32[B, T, T]");
    is(f, graph_cast(f->g, DT_F64, f->x), "f64[B, T, 12]");
    assert_ptr_equal(graph_cast(f->g, DT_F32, f->x), f->x);
    is(f, graph_binary(f->g, OP_LT, f->bt, f->bt), "bool[B, T]");
    is(f, graph_select(f->g, f->yes, f->bt, f->bt), "f32[B, T]");
    is(f, graph_unary(f->g, OP_IS_FINITE, f->bt), "bool[B, T]");
    const Node *many[] = {f->x, f->bt};
    is(f, graph_op(f->g, &(NodeSpec){.op = OP_SUMSQ, .nin = 2, .in = many}), "f32[]");
    is(f, graph_tuple(f->g, many, 2), "(f32[B, T, 12], f32[B, T])");
    is(f, graph_get(f->g, graph_tuple(f->g, many, 2), 1), "f32[B, T]");
    assert_ptr_equal(graph_get(f->g, f->x, 0), f->x);
}

/* ---- refused ---- */

/* n is NULL, and the last words are `message`. */
static void refused(Fixture *f, const Node *n, const char *message)
{
    assert_null(n);
    const char *text = diags_render(f->ir->diags, f->arena, DIAG_SHORT, false);
    if (!strstr(text, message))
        print_error("expected: %s\nin:\n%s", message, text);
    assert_non_null(strstr(text, message));
}

static void elementwise_mistakes(void **state)
{
    Fixture *f = *state;
    refused(f, graph_binary(f->g, OP_ADD, f->x, f->bt),
            "cannot broadcast `[B, T, 12]` with `[B, T]`: the shorter shape must be a suffix");
    const Node *wide = graph_cast(f->g, DT_F64, f->bt);
    refused(f, graph_binary(f->g, OP_MUL, f->bt, wide), "`f32` and `f64` do not mix");
    refused(f, graph_unary(f->g, OP_EXP, f->idx), "`exp` needs f32 or f64, got `i32[B, 5]`");
    refused(f, graph_unary(f->g, OP_NEG, f->yes), "`neg` needs numbers, got `bool[B, T]`");
    refused(f, graph_unary(f->g, OP_NOT, f->bt), "`not` needs bool, got `f32[B, T]`");
    refused(f, graph_binary(f->g, OP_MOD, f->bt, f->bt), "`mod` needs integers");
    refused(f, graph_select(f->g, f->bt, f->bt, f->bt), "`select` needs a bool condition");
    refused(f, graph_select(f->g, f->yes, f->x, f->x), "cannot broadcast `[B, T]` with");
    const Node *pair = graph_tuple(f->g, (const Node *[]){f->x, f->bt}, 2);
    refused(f, graph_unary(f->g, OP_NEG, pair), "`neg` needs one tensor, got 2 values");
    refused(f, graph_get(f->g, pair, 2), "there is no value 2 in `(f32[B, T, 12], f32[B, T])`");
    refused(f, graph_op(f->g, &(NodeSpec){.op = OP_SUMSQ}), "`sumsq` needs at least one operand");
    assert_null(graph_unary(f->g, OP_NEG, NULL));
}

static void shape_mistakes(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *bad[] = {f->B, f->T, dim_const(ir, 3), dim_const(ir, 5)};
    refused(f, graph_reshape(f->g, f->x, 4, bad), "cannot reshape `[B, T, 12]` to `[B, T, 3, 5]`");
    const int64_t twice[] = {0, 0, 1}, far[] = {0, 7, 1};
    refused(f, graph_permute(f->g, f->x, twice), "`permute` must name each of the 3 axes once");
    refused(f, graph_permute(f->g, f->x, far), "`permute`: axis 7 is out of range for rank 3");
    refused(f, graph_expand(f->g, f->bt, 4, bad, (const int64_t[]){1, 0}), "cannot broadcast");
    refused(f, graph_slice(f->g, f->x, 2, dim_const(ir, 9), dim_const(ir, 4)),
            "4 elements from 9 of axis 2 are out of range 0..12");
    refused(f, graph_slice(f->g, f->x, 1, dim_const(ir, 0), dim_const(ir, 2)), "out of range 0..T");
    refused(f, graph_pad(f->g, f->x, 1, dim_const(ir, -1), dim_const(ir, 0)), "may be negative");
    const Node *mixed[] = {f->x, graph_slice(f->g, f->x, 2, dim_const(ir, 0), dim_const(ir, 7))};
    refused(f, graph_concat(f->g, mixed, 2, 1),
            "cannot concatenate along axis 1: axis 2 differs, 12 and 7");
    refused(f, graph_reduce(f->g, OP_SUM, f->x, (const int64_t[]){3}, 1), "axis 3 is out of range");
    refused(f, graph_reduce(f->g, OP_SUM, f->x, (const int64_t[]){1, 1}, 2), "axes must ascend");
    const Dim *huge[] = {dim_const(ir, (int64_t)1 << 30), dim_const(ir, (int64_t)1 << 30)};
    refused(f, input(f, DT_F32, 2, huge), "has more than 2^48 elements");
    const Dim *less[] = {dim_sub(ir, f->T, dim_const(ir, 2))};
    refused(f, input(f, DT_F32, 1, less), "extent `T - 2` of axis 0 may be negative");
}

static void joining_mistakes(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    refused(f, graph_gather(f->g, f->x, f->bt, 1, 0),
            "an index must be an integer, got `f32[B, T]`");
    const Dim *t5[] = {f->T, dim_const(ir, 5)};
    refused(f, graph_gather(f->g, f->x, input(f, DT_I32, 2, t5), 1, 1), "expected B, got T");
    refused(f, graph_gather(f->g, f->x, f->idx, 0, 1), "`gather`: 1 shared axes");
    DotAxes dot = {.ncontract = 1, .a_contract = {2}, .b_contract = {1}};
    refused(f, graph_dot(f->g, f->x, f->bt, &dot),
            "`f32[B, T, 12]` @ `f32[B, T]`: inner dimensions 12 and T differ");
    DotAxes same = {.ncontract = 2, .a_contract = {1, 1}, .b_contract = {1, 1}};
    refused(f, graph_dot(f->g, f->x, f->x, &same), "`dot` names axis 1 of `f32[B, T, 12]` twice");
    DotAxes batch = {.nbatch = 1, .a_batch = {0}, .b_batch = {1}};
    refused(f, graph_dot(f->g, f->x, f->x, &batch), "dimension mismatch: expected B, got T");
    DotAxes none = {0};
    const Node *outer = graph_dot(f->g, f->x, f->x, &none);
    refused(f, graph_dot(f->g, outer, f->x, &none), "rank 9 is above the limit of 8");
}

static void mistakes_have_a_place(void **state)
{
    Fixture *f = *state;
    const char source[] = "y = exp(idx)\n";
    uint32_t file = diags_source(f->ir->diags, "m.mdl", source, sizeof source - 1);
    f->g->span = (Span){file, 4, 12};
    refused(f, graph_unary(f->g, OP_EXP, f->idx), "m.mdl:1:5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(types_are_interned_and_print, setup, teardown),
        cmocka_unit_test_setup_teardown(shapes_of_views, setup, teardown),
        cmocka_unit_test_setup_teardown(shapes_of_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(elementwise_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(shape_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(joining_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_have_a_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

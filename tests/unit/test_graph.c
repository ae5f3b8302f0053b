/* LIBS: mdl_ir mdl_base */
/* test_graph.c: nodes are built once, copied faithfully, and known by what they compute. */
#include "ir.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Fixture {
    Arena *arena;
    Ir *ir;
    Graph *g;
    const Type *vec; /* f32[B] */
} Fixture;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->ir = ir_new(arena, syms_new(arena), diags_new(arena));
    f->g = graph_new(f->ir, arena, sym(f->ir->syms, "g"));
    const Dim *B = dim_of(f->ir, dim_declare(f->ir, sym(f->ir->syms, "B"), 1, 8));
    f->vec = type_tensor(f->ir, DT_F32, 1, &B);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    arena_free(((Fixture *)*state)->arena);
    return 0;
}

static Sym name(Fixture *f, const char *text)
{
    return sym(f->ir->syms, text);
}

static void equal_nodes_are_one(void **state)
{
    Fixture *f = *state;
    Graph *g = f->g;
    const Node *x = graph_input(g, name(f, "x"), f->vec), *y = graph_input(g, name(f, "y"), f->vec);
    const Node *sum = graph_binary(g, OP_ADD, x, y);
    assert_ptr_equal(sum, graph_binary(g, OP_ADD, y, x));
    assert_ptr_not_equal(graph_binary(g, OP_SUB, x, y), graph_binary(g, OP_SUB, y, x));
    assert_ptr_not_equal(graph_binary(g, OP_MAX, x, y), graph_binary(g, OP_MAX, y, x));
    const Node *in[] = {x, y};
    const Node *again = graph_op(g, &(NodeSpec){.op = OP_ADD, .inst = 1, .nin = 2, .in = in});
    assert_ptr_not_equal(again, sum);
    const Node *same = graph_input(g, name(f, "x"), f->vec);
    assert_ptr_not_equal(same, x);
    assert_int_equal(g->inputs.n, 3);
    assert_ptr_equal(graph_slot(g, "lr", DT_F32), graph_slot(g, "lr", DT_F32));
    assert_ptr_not_equal(graph_slot(g, "lr", DT_F32), graph_slot(g, "step", DT_F32));
    graph_verify(g, NULL);
}

static void constants_are_compared_by_bits(void **state)
{
    Fixture *f = *state;
    Graph *g = f->g;
    assert_ptr_equal(graph_const(g, DT_F32, (double)NAN), graph_const(g, DT_F32, -(double)NAN));
    assert_ptr_not_equal(graph_const(g, DT_F32, 0.0), graph_const(g, DT_F32, -0.0));
    assert_ptr_not_equal(graph_const(g, DT_F32, 1), graph_const(g, DT_F64, 1));
    assert_ptr_equal(graph_const(g, DT_F32, 0.1), graph_const(g, DT_F32, 0.1));
    double v;
    assert_true(node_is_const(graph_fill(g, f->vec, 2.5), &v) && v == 2.5);
    const Node *half = graph_const(g, DT_F32, 2.5);
    assert_true(node_is_const(graph_cast(g, DT_F64, half), &v) && v == 2.5);
    assert_false(node_is_const(graph_cast(g, DT_I32, half), &v));
    assert_true(node_is_const(graph_cast(g, DT_I32, graph_const(g, DT_F32, -3)), &v) && v == -3);
    assert_false(node_is_const(graph_cast(g, DT_U8, graph_const(g, DT_F32, -3)), &v));
    assert_true(node_is_const(graph_cast(g, DT_I32, graph_const(g, DT_F32, 300)), &v) && v == 300);
    assert_false(node_is_const(graph_cast(g, DT_BF16, graph_const(g, DT_F32, 0.1)), &v));
    assert_false(node_is_const(graph_slot(g, "lr", DT_F32), &v));
    graph_verify(g, NULL);
}

static void attributes_are_copied(void **state)
{
    Fixture *f = *state;
    const Node *x = graph_input(f->g, name(f, "x"), f->vec);
    int64_t axes[] = {0};
    const Node *sum = graph_reduce(f->g, OP_SUM, x, axes, 1);
    axes[0] = 99;
    assert_int_equal(node_ints(sum, "axes")->ints[0], 0);
    const Node *slice = graph_slice(f->g, x, 0, dim_const(f->ir, 0), dim_const(f->ir, 1));
    assert_int_equal(node_int(slice, "axis"), 0);
    assert_true(dim_equals(node_dim(slice, "extent"), 1));
    assert_string_equal(node_sym(x, "name"), "x");
    DotAxes in = {.nbatch = 1, .a_batch = {0}, .b_batch = {0}}, out;
    node_dot_axes(graph_dot(f->g, x, x, &in), &out);
    assert_memory_equal(&in, &out, sizeof in);
}

static void results_and_writes(void **state)
{
    Fixture *f = *state;
    const Node *x = graph_input(f->g, name(f, "x"), f->vec), *y = graph_unary(f->g, OP_NEG, x);
    graph_result(f->g, name(f, "y"), y);
    graph_write(f->g, 4, x);
    graph_write(f->g, 2, x);
    graph_write(f->g, 4, y);
    assert_int_equal(f->g->writes.n, 2);
    assert_ptr_equal(f->g->writes.at[0].node, y);
    assert_ptr_equal(graph_result_find(f->g, "y"), y);
    assert_null(graph_result_find(f->g, "z"));
    uint32_t *nuse = graph_use_counts(f->g, f->arena);
    assert_int_equal(nuse[x->id], 2);
    assert_int_equal(nuse[y->id], 2);
}

/* ---- copies ---- */

/* neg(neg(x)) = x */
static const Node *drop_double_neg(Rewrite *rw, const Node *n, const Node *const *in)
{
    ++*(int *)rw->user;
    return n->op == OP_NEG && in[0]->op == OP_NEG ? in[0]->in[0] : NULL;
}

static void rewriting_drops_the_dead(void **state)
{
    Fixture *f = *state;
    Graph *g = f->g;
    g->path = name(f, "layers.0");
    const Node *x = graph_input(g, name(f, "x"), f->vec);
    graph_input(g, name(f, "unused"), f->vec);
    graph_unary(g, OP_EXP, x);
    const Node *n = graph_unary(g, OP_NEG, graph_unary(g, OP_NEG, x));
    graph_result(g, name(f, "y"), graph_unary(g, OP_EXP, n));
    graph_write(g, 3, n);
    int visited = 0;
    Graph *out = graph_rewrite(g, f->arena, drop_double_neg, &visited);
    assert_int_equal(visited, 3);
    assert_int_equal(out->inputs.n, 2);
    const Node *y = graph_result_find(out, "y");
    assert_int_equal(y->op, OP_EXP);
    assert_int_equal(y->in[0]->op, OP_INPUT);
    assert_string_equal(y->path, "layers.0");
    assert_ptr_equal(out->writes.at[0].node, out->inputs.at[0]);
    graph_verify(out, NULL);
    Graph *plain = graph_rewrite(g, f->arena, NULL, NULL);
    assert_int_equal(plain->nodes.n, 5);
    graph_verify(plain, NULL);
}

static void inlining_builds_the_body(void **state)
{
    Fixture *f = *state;
    Graph *body = graph_new(f->ir, f->arena, name(f, "body"));
    const Node *a = graph_input(body, name(f, "a"), f->vec);
    const Node *b = graph_input(body, name(f, "b"), f->vec);
    graph_result(body, name(f, "sum"), graph_binary(body, OP_ADD, a, b));
    graph_result(body, name(f, "same"), a);
    const Node *x = graph_input(f->g, name(f, "x"), f->vec);
    const Node *in[] = {x, x}, *out[2];
    f->g->path = name(f, "here");
    graph_inline(f->g, body, in, out);
    assert_ptr_equal(out[0], graph_binary(f->g, OP_ADD, x, x));
    assert_ptr_equal(out[1], x);
    assert_string_equal(out[0]->path, "here");
    graph_verify(f->g, NULL);
}

/* ---- canonical hash and defs ---- */

/* (x + y) * exp(y), built in one of two orders with other names. */
static Graph *build_renumbered(Fixture *f, bool other)
{
    Graph *g = graph_new(f->ir, f->arena, name(f, other ? "p" : "q"));
    const Node *x = graph_input(g, name(f, other ? "u" : "x"), f->vec);
    const Node *y = graph_input(g, name(f, other ? "v" : "y"), f->vec);
    const Node *e = NULL, *s = NULL;
    if (other) {
        g->path = name(f, "elsewhere");
        graph_unary(g, OP_SIN, x);
        e = graph_unary(g, OP_EXP, y);
    }
    s = graph_binary(g, OP_ADD, x, y);
    if (!e)
        e = graph_unary(g, OP_EXP, y);
    graph_result(g, name(f, other ? "r" : "z"), graph_binary(g, OP_MUL, s, e));
    return g;
}

static void hash_does_not_see_numbers(void **state)
{
    Fixture *f = *state;
    Graph *a = build_renumbered(f, false), *b = build_renumbered(f, true);
    assert_true(graph_hash(a) == graph_hash(b));
    const Def *da = def_intern(f->ir, &(Def){.kind = DEF_GROUP, .body = a, .nvisible = 1});
    const Def *db = def_intern(f->ir, &(Def){.kind = DEF_GROUP, .body = b, .nvisible = 1});
    assert_ptr_equal(da, db);
    const Def composite = {.kind = DEF_COMPOSITE, .name = name(f, "op"), .body = a, .nvisible = 1};
    const Def *dc = def_intern(f->ir, &composite);
    assert_ptr_not_equal(dc, da);
    Def other = composite;
    other.body = b; /* other names of inputs: another composite */
    assert_ptr_not_equal(def_intern(f->ir, &other), dc);
    other = composite;
    other.vjp = da;
    assert_ptr_not_equal(def_intern(f->ir, &other), dc);
}

static void hash_sees_what_matters(void **state)
{
    Fixture *f = *state;
    const Dim *dims[] = {dim_const(f->ir, 4)};
    const Type *four = type_tensor(f->ir, DT_F32, 1, dims);
    VEC(uint64_t) hashes = {0};
    for (int i = 0; i < 9; i++) {
        Graph *g = graph_new(f->ir, f->arena, NULL);
        const Node *x = graph_input(g, name(f, "x"), i == 1 ? four : f->vec);
        const Node *y = graph_input(g, name(f, "y"), i == 1 ? four : f->vec);
        const Node *z = graph_binary(g, i == 2 ? OP_ADD : OP_SUB, i == 3 ? y : x, i == 3 ? x : y);
        z = i == 4 ? graph_unary(g, OP_NEG, z) : z;
        z = graph_binary(g, OP_MUL, z, graph_fill(g, z->type, i == 5 ? -0.0 : 0.0));
        graph_result(g, name(f, "z"), z);
        if (i == 6)
            graph_result(g, name(f, "w"), x);
        if (i >= 7)
            graph_write(g, (uint32_t)i, z);
        VEC_PUSH(f->arena, &hashes, graph_hash(g));
    }
    for (uint32_t i = 0; i < hashes.n; i++) {
        for (uint32_t k = 0; k < i; k++)
            assert_true(hashes.at[i] != hashes.at[k]);
    }
}

static void calls_and_groups_are_typed(void **state)
{
    Fixture *f = *state;
    Graph *body = build_renumbered(f, false), *g = f->g;
    graph_result(body, name(f, "first"), body->inputs.at[0]);
    const Def *d = def_intern(f->ir, &(Def){.kind = DEF_GROUP, .body = body, .nvisible = 2});
    const Node *x = graph_input(g, name(f, "x"), f->vec);
    const Node *scalar = graph_const(g, DT_F32, 1), *in[] = {x, x, x, scalar};
    const Node *call = graph_call(g, d, in, 2);
    assert_string_equal(type_text(f->ir, call->type), "(f32[B], f32[B])");
    assert_null(graph_call(g, d, in, 1));
    assert_null(graph_call(g, d, in + 2, 2));
    /* three sets of one tensor and a shared scalar, the third of another shape */
    Graph *many = graph_new(f->ir, f->arena, NULL);
    const Node *p = graph_input(many, name(f, "p"), f->vec);
    const Node *lr = graph_input(many, name(f, "lr"), scalar->type);
    const Node *wide = graph_expand(many, lr, 1, f->vec->dims, NULL);
    graph_result(many, name(f, "p"), graph_binary(many, OP_MUL, p, wide));
    d = def_intern(f->ir, &(Def){.kind = DEF_GROUP, .body = many, .nvisible = 1});
    const Dim *seven[] = {dim_const(f->ir, 7), dim_const(f->ir, 2)};
    const Node *sets[] = {x, x, graph_fill(g, type_tensor(f->ir, DT_F32, 2, seven), 1), scalar};
    Attr attr[] = {{.kind = AK_DEF, .def = d},
                   {.kind = AK_SYM, .s = name(f, "multi_map")},
                   {.kind = AK_INTS},
                   {.kind = AK_INT, .i = 3}};
    NodeSpec spec = {.op = OP_GROUP, .nin = 4, .in = sets, .attr = attr};
    assert_string_equal(type_text(f->ir, graph_op(g, &spec)->type), "(f32[B], f32[B], f32[7, 2])");
    spec.nin = 3;
    assert_null(graph_op(g, &spec));
    graph_verify(g, NULL);
}

/* ---- programs ---- */

static void programs_number_states(void **state)
{
    Fixture *f = *state;
    Program *p = program_new(f->ir, name(f, "stage"));
    State *w = program_state(p, &(State){.kind = SK_PARAM, .path = name(f, "w"), .type = f->vec});
    State *v = program_state(p, &(State){.kind = SK_PARAM, .path = name(f, "v"), .type = f->vec});
    State *dv = program_state(p, &(State){.kind = SK_GRAD, .of = v->id, .type = f->vec});
    assert_true(w->id == 0 && v->id == 1 && v->of == 1 && dv->id == 2);
    assert_ptr_equal(program_grad(p, v->id), dv);
    assert_null(program_grad(p, w->id));
    VEC_PUSH(f->arena, &p->entries, f->g);
    assert_ptr_equal(program_entry(p, "g"), f->g);
    assert_null(program_entry(p, "update"));
    graph_write(f->g, dv->id, graph_state(f->g, w->id, f->vec, w->path));
    graph_verify(f->g, p);
}

static void large_graphs_are_quick(void **state)
{
    Fixture *f = *state;
    const Node *x = graph_input(f->g, name(f, "x"), f->vec), *y = x;
    for (int i = 0; i < 10000; i++)
        y = graph_binary(f->g, i % 2 ? OP_ADD : OP_MUL, y, graph_unary(f->g, OP_NEG, y));
    graph_result(f->g, name(f, "y"), y);
    assert_int_equal(f->g->nodes.n, 20001);
    Graph *copy = graph_rewrite(f->g, f->arena, NULL, NULL);
    assert_int_equal(copy->nodes.n, 20001);
    assert_true(graph_hash(copy) == graph_hash(f->g));
    graph_verify(copy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equal_nodes_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(constants_are_compared_by_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(attributes_are_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(results_and_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(rewriting_drops_the_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(inlining_builds_the_body, setup, teardown),
        cmocka_unit_test_setup_teardown(hash_does_not_see_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(hash_sees_what_matters, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_and_groups_are_typed, setup, teardown),
        cmocka_unit_test_setup_teardown(programs_number_states, setup, teardown),
        cmocka_unit_test_setup_teardown(large_graphs_are_quick, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_target mdl_ir mdl_base */
/* test_loop.c: loops in the passes: fused bodies give the same numbers, what nobody reads of a loop is gone,
 * equal results get values of their own, and a state that a loop reads is not overwritten by it. */
#include "passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 3, WIDTH = 4 };

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Program *program;
    PassCx *cx;
    Graph *g;
    const Type *row;
} Bench;

static Bench open_bench(void)
{
    Bench b = {.arena = arena_new()};
    static Target cpu;
    Err err = {0};
    assert_true(target_host(&cpu, "generic", &err));
    b.ir = ir_new(b.arena, syms_new(b.arena), diags_new(b.arena));
    b.program = program_new(b.ir, sym(b.ir->syms, "p"));
    b.cx = passes_begin(b.ir, b.arena, b.program, &cpu);
    b.g = graph_new(b.ir, b.arena, sym(b.ir->syms, "entry"));
    const Dim *dims[] = {dim_const(b.ir, WIDTH)};
    b.row = type_tensor(b.ir, DT_F32, 1, dims);
    return b;
}

/* (h, x, w, unread) -> next = h * w + x; made in each round: next, next once more, and the old h. */
static const Def *step(Bench *b)
{
    Graph *g = graph_new(b->ir, b->arena, sym(b->ir->syms, "step"));
    const Node *in[4];
    for (int i = 0; i < 4; i++)
        in[i] = graph_input(g, sym_printf(b->ir->syms, "in%d", i), b->row);
    const Node *next = graph_binary(g, OP_ADD, graph_binary(g, OP_MUL, in[0], in[2]), in[1]);
    const Node *out[] = {next, next, next, in[0]};
    for (int i = 0; i < 4; i++)
        graph_result(g, sym_printf(b->ir->syms, "out%d", i), out[i]);
    return def_intern(b->ir, &(Def){.kind = DEF_SCAN, .name = g->name, .body = g, .nvisible = 4});
}

static const Node *loop(Bench *b, const Node *begin)
{
    const Dim *length = dim_const(b->ir, ROUNDS), *dims[] = {length, b->row->dims[0]};
    const Type *rows = type_tensor(b->ir, DT_F32, 2, dims);
    const Node *in[] = {begin, graph_input(b->g, sym(b->ir->syms, "x"), rows),
                        graph_input(b->g, sym(b->ir->syms, "w"), b->row),
                        graph_input(b->g, sym(b->ir->syms, "unread"), b->row)};
    const ScanSpec spec = {.def = step(b), .carry = 1, .xs = 1, .length = length};
    return graph_loop(b->g, &spec, in, 4);
}

static const Node *find_loop(const Graph *g)
{
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (op_info(g->nodes.at[i]->op)->cls == OC_LOOP)
            return g->nodes.at[i];
    fail_msg("no loop");
    return NULL;
}

static Value **run(Bench *b, const Graph *g)
{
    Value **in = NEW_ARRAY(b->arena, Value *, g->inputs.n);
    Value **out = NEW_ARRAY(b->arena, Value *, g->results.n);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        in[i] = value_new(b->arena, g->inputs.at[i]->type, NULL);
        for (int64_t k = 0; k < in[i]->count; k++)
            in[i]->at[k] = (double)((k * 7 + i) % 5) - 1;
    }
    interp_run(g, b->arena, &(InterpBinding){.inputs = in}, out, NULL);
    return out;
}

static void test_unread_results_are_dropped(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Node *n = loop(&b, graph_fill(b.g, b.row, 1));
    graph_result(b.g, sym(b.ir->syms, "last"), graph_get(b.g, n, 0));
    const Graph *fused = passes_run(b.cx, b.g, NULL);
    assert_non_null(fused);
    n = find_loop(fused);
    assert_false(n->type->is_tuple);
    assert_int_equal(n->nin, 3);
    assert_int_equal(node_def(n)->body->results.n, 1);
    assert_memory_equal(run(&b, b.g)[0]->at, run(&b, fused)[0]->at, WIDTH * sizeof(double));
    arena_free(b.arena);
}

static void test_results_are_values_of_their_own(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Node *n = loop(&b, graph_fill(b.g, b.row, 1));
    for (uint32_t i = 0; i < 4; i++)
        graph_result(b.g, sym_printf(b.ir->syms, "out%u", i), graph_get(b.g, n, i));
    const Graph *fused = passes_run(b.cx, b.g, NULL);
    assert_non_null(fused);
    const Graph *body = node_def(find_loop(fused))->body;
    assert_int_equal(body->results.n, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_not_equal(op_info(body->results.at[i].node->op)->cls, OC_LEAF);
        for (uint32_t k = 0; k < i; k++)
            assert_ptr_not_equal(body->results.at[i].node, body->results.at[k].node);
    }
    Value **want = run(&b, b.g), **got = run(&b, fused);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(want[i]->at, got[i]->at, (size_t)want[i]->count * sizeof(double));
    const MemPlan *m = memplan_build(b.cx, fused), *inner = m->body[find_loop(m->graph)->id];
    assert_non_null(inner);
    for (uint32_t i = 0; i < 4; i++) {
        const Slot *slot = memplan_slot(inner, inner->graph->results.at[i].node);
        assert_int_equal(slot->place, PLACE_OUT);
        assert_int_equal(slot->index, i);
    }
    assert_int_equal(memplan_carry(m, find_loop(m->graph), 0)->bytes, WIDTH * sizeof(float));
    arena_free(b.arena);
}

/* The rounds write the buffer of the result, while later ones may read the state. */
static void test_a_state_that_it_reads_is_copied(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    State proto = {.kind = SK_BUFFER, .path = sym(b.ir->syms, "h"), .type = b.row};
    const State *s = program_state(b.program, &proto);
    const Node *n = loop(&b, graph_state(b.g, s->id, b.row, s->path));
    graph_write(b.g, s->id, graph_get(b.g, n, 0));
    const MemPlan *m = memplan_build(b.cx, passes_run(b.cx, b.g, NULL));
    const Node *writer = m->graph->writes.at[0].node;
    assert_int_equal(op_info(writer->op)->cls, OC_GROUP);
    assert_int_equal(op_info(writer->in[0]->op)->cls, OC_LOOP);
    arena_free(b.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unread_results_are_dropped),
        cmocka_unit_test(test_results_are_values_of_their_own),
        cmocka_unit_test(test_a_state_that_it_reads_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_target mdl_ir mdl_base */
/* test_memplan.c: no two values that are live together share a byte, on random graphs, against a
 * direct simulation of the order; states are overwritten only when no one needs the old value. */
#include "passes.h"
#include "randgraph.h"
#include "schedule.h"
#include "smallcpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Program *program;
    PassCx *cx;
    Graph *g;
} Bench;

static Bench open_bench(void)
{
    Bench b = {.arena = arena_new()};
    b.ir = ir_new(b.arena, syms_new(b.arena), diags_new(b.arena));
    b.program = program_new(b.ir, sym(b.ir->syms, "p"));
    b.cx = passes_begin(b.ir, b.arena, b.program, &small_cpu);
    b.g = graph_new(b.ir, b.arena, sym(b.ir->syms, "update"));
    return b;
}

static const Type *vector(const Bench *b, int64_t n)
{
    return type_tensor(b->ir, DT_F32, 1, (const Dim *const[]){dim_const(b->ir, n)});
}

static const Node *new_state(Bench *b, const char *path, const Type *t)
{
    State proto = {.kind = SK_BUFFER, .path = sym(b->ir->syms, path), .type = t};
    const State *s = program_state(b->program, &proto);
    return graph_state(b->g, s->id, t, s->path);
}

static uint32_t state_id(const Node *n)
{
    uint32_t id = 0;
    assert_true(node_is_state(n, &id));
    return id;
}

static MemPlan *plan(Bench *b)
{
    graph_verify(b->g, b->program);
    Graph *g = pass_pick(b->cx, pass_fuse(b->cx, b->g));
    graph_verify(g, b->program);
    MemPlan *m = memplan_build(b->cx, g);
    graph_verify(m->graph, b->program);
    return m;
}

/* ---- a simulation that knows nothing of lifetimes: who wrote each byte last ---- */

typedef struct Memory {
    const MemPlan *m;
    uint32_t *arena;  /* by 64-byte line: slot + 1 */
    uint32_t *states; /* by state: slot + 1 of the value in its buffer, 0: the old value */
} Memory;

static void store(Memory *mem, const Node *value, uint32_t slot)
{
    const Slot *s = &mem->m->slots[slot];
    UNUSED(value);
    assert_int_not_equal(s->place, PLACE_NONE);
    assert_int_not_equal(s->place, PLACE_INPUT);
    if (s->place == PLACE_STATE) {
        mem->states[s->index] = slot + 1;
        return;
    }
    assert_int_equal(s->offset % 64, 0);
    assert_true(s->offset + s->bytes <= mem->m->arena_bytes);
    for (uint64_t line = s->offset / 64; line * 64 < s->offset + s->bytes; line++)
        mem->arena[line] = slot + 1;
}

static void check(const Memory *mem, const Node *value)
{
    const Slot *s = memplan_slot(mem->m, value);
    uint32_t slot = (uint32_t)(s - mem->m->slots), state;
    if (s->place == PLACE_STATE) {
        assert_int_equal(mem->states[s->index], node_is_state(value, &state) ? 0 : slot + 1);
        return;
    }
    if (s->place == PLACE_INPUT)
        return;
    for (uint64_t line = s->offset / 64; line * 64 < s->offset + s->bytes; line++)
        assert_int_equal(mem->arena[line], slot + 1);
}

static uint32_t result_count(const Node *n)
{
    return n->type->is_tuple ? n->type->nelem : 1;
}

/* Does a result of the group lie where this operand lies? Then as a whole. */
static bool taken_over(const MemPlan *m, const Node *group, uint32_t slot)
{
    const Slot *old = &m->slots[slot];
    for (uint32_t r = 0; r < result_count(group); r++) {
        const Slot *s = &m->slots[m->first_slot[group->id] + r];
        bool arena = s->place == PLACE_TEMP || s->place == PLACE_RESULT;
        if (arena && old->place == PLACE_TEMP && s->offset == old->offset)
            return s->bytes == old->bytes;
    }
    return false;
}

static void simulate(const Bench *b, const MemPlan *m)
{
    Memory mem = {.m = m};
    mem.arena = NEW_ARRAY(b->arena, uint32_t, m->arena_bytes / 64 + 1);
    mem.states = NEW_ARRAY(b->arena, uint32_t, b->program->states.n + 1);
    uint32_t ngroup = 0;
    for (uint32_t i = 0; i < m->graph->nodes.n; i++)
        ngroup += m->graph->nodes.at[i]->op == OP_GROUP;
    assert_int_equal(m->order.n, ngroup);
    for (uint32_t step = 0; step < m->order.n; step++) {
        const Node *group = m->order.at[step];
        for (uint32_t k = 0; k < group->nin; k++)
            check(&mem, group->in[k]);
        for (uint32_t r = 0; r < result_count(group); r++)
            store(&mem, group, m->first_slot[group->id] + r);
        for (uint32_t k = 0; k < group->nin; k++) /* still there while the kernel runs */
            if (memplan_slot(m, group->in[k])->place != PLACE_STATE &&
                !taken_over(m, group, m->first_slot[group->in[k]->id]))
                check(&mem, group->in[k]);
        for (uint32_t r = 0; r < result_count(group); r++) /* results do not overlap */
            if (m->slots[m->first_slot[group->id] + r].place != PLACE_STATE) {
                const Slot *s = &m->slots[m->first_slot[group->id] + r];
                for (uint64_t line = s->offset / 64; line * 64 < s->offset + s->bytes; line++)
                    assert_int_equal(mem.arena[line], m->first_slot[group->id] + r + 1);
            }
    }
    for (uint32_t i = 0; i < m->graph->results.n; i++) {
        assert_int_equal(memplan_slot(m, m->graph->results.at[i].node)->place, PLACE_RESULT);
        check(&mem, m->graph->results.at[i].node);
    }
    for (uint32_t i = 0; i < m->graph->writes.n; i++) {
        const GraphWrite *w = &m->graph->writes.at[i];
        assert_int_equal(memplan_slot(m, w->node)->place, PLACE_STATE);
        assert_int_equal(memplan_slot(m, w->node)->index, w->state);
        check(&mem, w->node);
    }
}

/* Most bytes live at once, by brute force over the order. */
static uint64_t live_peak(const Bench *b, const MemPlan *m)
{
    uint64_t peak = 0;
    for (uint32_t step = 0; step < m->order.n; step++) {
        bool *live = NEW_ARRAY(b->arena, bool, m->nslot + 1);
        for (uint32_t i = 0; i <= step; i++) {
            const Node *g = m->order.at[i];
            for (uint32_t r = 0; r < result_count(g); r++) {
                uint32_t slot = m->first_slot[g->id] + r;
                live[slot] = m->slots[slot].place == PLACE_RESULT || i == step;
            }
        }
        for (uint32_t i = step; i < m->order.n; i++)
            for (uint32_t k = 0; k < m->order.at[i]->nin; k++) {
                const Node *in = m->order.at[i]->in[k];
                uint32_t slot = m->first_slot[in->id];
                for (uint32_t done = 0; done <= step; done++) {
                    const Node *g = m->order.at[done];
                    if (slot >= m->first_slot[g->id] &&
                        slot < m->first_slot[g->id] + result_count(g))
                        live[slot] = true;
                }
            }
        for (uint32_t k = 0; k < m->order.at[step]->nin; k++) {
            uint32_t slot = m->first_slot[m->order.at[step]->in[k]->id];
            live[slot] = live[slot] && !taken_over(m, m->order.at[step], slot);
        }
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < m->nslot; i++)
            if (live[i] && (m->slots[i].place == PLACE_TEMP || m->slots[i].place == PLACE_RESULT))
                bytes += (m->slots[i].bytes + 63) / 64 * 64;
        peak = bytes > peak ? bytes : peak;
    }
    return peak;
}

static void test_random(void **state)
{
    UNUSED(state);
    uint32_t tight = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        Bench b = open_bench();
        RandGraph options = {.seed = seed, .nodes = 90, .dtype = DT_F32, .results = 4};
        b.g = randgraph(b.ir, b.arena, &options);
        MemPlan *m = plan(&b);
        simulate(&b, m);
        assert_int_equal(m->live_bytes, live_peak(&b, m));
        assert_true(m->arena_bytes >= m->live_bytes);
        tight += m->arena_bytes <= m->live_bytes + m->live_bytes / 8;
        for (uint32_t i = 1; i < m->ntop; i++)
            assert_true(m->top[i - 1].bytes >= m->top[i].bytes);
        MemPlan *again = plan(&b);
        assert_int_equal(again->arena_bytes, m->arena_bytes);
        arena_free(b.arena);
    }
    assert_true(tight > 90);
}

/* A sum of products, one after the other: each is added where the sum so far lies. */
static void test_takes_over(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Dim *dims[] = {dim_const(b.ir, 64), dim_const(b.ir, 48)};
    const Type *t = type_tensor(b.ir, DT_F32, 2, dims);
    DotAxes axes = {.ncontract = 1};
    const Node *sum = NULL;
    for (int i = 0; i < 5; i++) {
        const Node *x = graph_input(b.g, sym(b.ir->syms, arena_printf(b.arena, "x%d", i)), t);
        const Node *y = graph_input(b.g, sym(b.ir->syms, arena_printf(b.arena, "y%d", i)), t);
        const Node *dot = graph_dot(b.g, x, y, &axes);
        sum = sum ? graph_binary(b.g, OP_ADD, sum, dot) : dot;
    }
    graph_result(b.g, sym(b.ir->syms, "sum"), sum);
    MemPlan *m = plan(&b);
    simulate(&b, m);
    assert_int_equal(m->arena_bytes, 48 * 48 * 4);
    assert_int_equal(m->live_bytes, m->arena_bytes);
    arena_free(b.arena);
}

/* ---- states ---- */

/* A random graph over states, whose results overwrite states of the same type. */
static uint32_t random_states(Bench *b, uint64_t seed)
{
    RandGraph options = {.seed = seed, .nodes = 60, .dtype = DT_F32, .results = 8};
    Graph *r = randgraph(b->ir, b->arena, &options);
    const Node **in = NEW_ARRAY(b->arena, const Node *, r->inputs.n + 1);
    const Node **out = NEW_ARRAY(b->arena, const Node *, r->results.n + 1);
    for (uint32_t i = 0; i < r->inputs.n; i++)
        in[i] = new_state(b, arena_printf(b->arena, "s%u", i), r->inputs.at[i]->type);
    graph_inline(b->g, r, in, out);
    uint32_t writes = 0;
    bool *taken = NEW_ARRAY(b->arena, bool, r->inputs.n + 1);
    for (uint32_t i = 0; i < r->results.n; i++) {
        uint32_t k = 0;
        while (k < r->inputs.n && (taken[k] || in[k]->type != out[i]->type))
            k++;
        if (k == r->inputs.n) {
            graph_result(b->g, r->results.at[i].name, out[i]);
            continue;
        }
        taken[k] = true;
        graph_write(b->g, state_id(in[k]), out[i]);
        writes++;
    }
    return writes;
}

static void test_random_states(void **state)
{
    UNUSED(state);
    uint32_t writes = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        Bench b = open_bench();
        writes += random_states(&b, seed);
        simulate(&b, plan(&b));
        arena_free(b.arena);
    }
    assert_true(writes > 100);
}

static uint32_t copies(const MemPlan *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->order.n; i++)
        n += m->order.at[i]->note && strstr(m->order.at[i]->note, "cannot be written in place");
    return n;
}

/* w' = w - 0.1 g is in place: no arena at all. */
static void test_in_place(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Node *w = new_state(&b, "w", vector(&b, 100)), *g = new_state(&b, "g", vector(&b, 100));
    const Node *d = graph_binary(b.g, OP_MUL, g, graph_fill(b.g, g->type, 0.1));
    graph_write(b.g, state_id(w), graph_binary(b.g, OP_SUB, w, d));
    MemPlan *m = plan(&b);
    simulate(&b, m);
    assert_int_equal(copies(m), 0);
    assert_int_equal(m->arena_bytes, 0);
    arena_free(b.arena);
}

/* a' = b, b' = a: one table reads both, so both wait in the arena. */
static void test_swap(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Node *x = new_state(&b, "x", vector(&b, 100)), *y = new_state(&b, "y", vector(&b, 100));
    graph_write(b.g, state_id(x), y);
    graph_write(b.g, state_id(y), x);
    MemPlan *m = plan(&b);
    simulate(&b, m);
    assert_int_equal(copies(m), 2);
    assert_int_equal(m->arena_bytes, 2 * 448);
    arena_free(b.arena);
}

/* x'[i] = x[i] + x[i + 1 mod n] reads other elements of what it overwrites. */
static void test_shifted(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Node *x = new_state(&b, "x", vector(&b, 100));
    const Dim *one = dim_const(b.ir, 1), *zero = dim_const(b.ir, 0);
    const Node *parts[] = {graph_slice(b.g, x, 0, one, dim_const(b.ir, 99)),
                           graph_slice(b.g, x, 0, zero, one)};
    graph_write(b.g, state_id(x), graph_binary(b.g, OP_ADD, x, graph_concat(b.g, parts, 2, 0)));
    MemPlan *m = plan(&b);
    simulate(&b, m);
    assert_int_equal(copies(m), 1);
    arena_free(b.arena);
}

/* x' = f(x) must run after y' = sum(x) + y, which reads the old x. */
static void test_reader_first(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Node *x = new_state(&b, "x", vector(&b, 4000)), *y = new_state(&b, "y", vector(&b, 40));
    const Node *next = graph_unary(b.g, OP_NEG, x);
    graph_write(b.g, state_id(x), next);
    const Dim *dims[] = {dim_const(b.ir, 40), dim_const(b.ir, 100)};
    const Node *rows = graph_reshape(b.g, x, 2, dims);
    const Node *sum = graph_reduce(b.g, OP_SUM, rows, (int64_t[]){1}, 1);
    graph_write(b.g, state_id(y), graph_binary(b.g, OP_ADD, y, sum));
    MemPlan *m = plan(&b);
    simulate(&b, m);
    assert_int_equal(copies(m), 0);
    assert_int_equal(m->arena_bytes, 0);
    assert_int_equal(memplan_slot(m, m->graph->writes.at[0].node)->place, PLACE_STATE);
    arena_free(b.arena);
}

/* One value for a result and two states. */
static void test_several_homes(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Node *x = new_state(&b, "x", vector(&b, 100)), *y = new_state(&b, "y", vector(&b, 100));
    const Node *z = graph_unary(b.g, OP_EXP, x);
    graph_result(b.g, sym(b.ir->syms, "z"), z);
    graph_write(b.g, state_id(x), z);
    graph_write(b.g, state_id(y), z);
    MemPlan *m = plan(&b);
    simulate(&b, m);
    assert_int_equal(copies(m), 2);
    arena_free(b.arena);
}

/* A fold over the row it overwrites must not be in place. */
static void test_row_in_place(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Dim *dims[] = {dim_const(b.ir, 100), dim_const(b.ir, 64)};
    const Node *x = new_state(&b, "x", type_tensor(b.ir, DT_F32, 2, dims));
    const Node *sum = graph_reduce(b.g, OP_SUM, x, (int64_t[]){1}, 1);
    const Node *wide = graph_expand(b.g, sum, 2, dims, (int64_t[]){0});
    graph_write(b.g, state_id(x), graph_binary(b.g, OP_DIV, x, wide));
    MemPlan *m = plan(&b);
    simulate(&b, m);
    assert_int_equal(copies(m), 1);
    arena_free(b.arena);
}

/* Two products in one launch: s' = s + x y, beside r = s + x z, whose tasks read all of s at other times. */
static void test_products_in_place(void **state)
{
    UNUSED(state);
    for (int both = 0; both < 2; both++) {
        Bench b = open_bench();
        const Dim *dims[] = {dim_const(b.ir, 64), dim_const(b.ir, 64)};
        const Type *t = type_tensor(b.ir, DT_F32, 2, dims);
        DotAxes ax = {.ncontract = 1, .a_contract = {1}};
        const Node *s = new_state(&b, "s", t), *x = graph_input(b.g, sym(b.ir->syms, "x"), t);
        const Node *y = graph_input(b.g, sym(b.ir->syms, "y"), t);
        const Node *z = graph_input(b.g, sym(b.ir->syms, "z"), t);
        graph_write(b.g, state_id(s), graph_binary(b.g, OP_ADD, s, graph_dot(b.g, x, y, &ax)));
        const Node *r = graph_dot(b.g, x, z, &ax);
        graph_result(b.g, sym(b.ir->syms, "r"), both ? graph_binary(b.g, OP_ADD, s, r) : r);
        MemPlan *m = plan(&b);
        simulate(&b, m);
        assert_int_equal(m->order.n, 1 + both); /* one launch, and the copy */
        assert_int_equal(copies(m), both);
        arena_free(b.arena);
    }
}

/* s' = s + norm(x) w: the fold lies below the product's operand, and says nothing of where the sum goes. But the rows
 * that are folded may not be those of s: every task reads all of them. */
static void test_prologue_in_place(void **state)
{
    UNUSED(state);
    for (int own = 0; own < 2; own++) {
        Bench b = open_bench();
        const Dim *rows[] = {dim_const(b.ir, 2), dim_const(b.ir, 64)};
        const Dim *square[] = {rows[1], rows[1]};
        const Type *t = type_tensor(b.ir, DT_F32, 2, rows);
        DotAxes ax = {.ncontract = 1, .a_contract = {1}};
        const Node *s = new_state(&b, "s", t);
        const Node *x = own ? s : graph_input(b.g, sym(b.ir->syms, "x"), t);
        const Node *w =
            graph_input(b.g, sym(b.ir->syms, "w"), type_tensor(b.ir, DT_F32, 2, square));
        const Node *sum =
            graph_reduce(b.g, OP_SUM, graph_binary(b.g, OP_MUL, x, x), (int64_t[]){1}, 1);
        const Node *factor = graph_unary(b.g, OP_RSQRT, sum);
        const Node *normed =
            graph_binary(b.g, OP_MUL, x, graph_expand(b.g, factor, 2, rows, (int64_t[]){0}));
        graph_write(b.g, state_id(s), graph_binary(b.g, OP_ADD, s, graph_dot(b.g, normed, w, &ax)));
        MemPlan *m = plan(&b);
        simulate(&b, m);
        assert_int_equal(m->order.n, 1 + own); /* one launch, and the copy */
        assert_int_equal(copies(m), own);
        arena_free(b.arena);
    }
}

/* A kernel of phases, as those of attention, stores its results one after the other: what is added to the second must
 * be there when the first is stored. */
static void test_phases_in_place(void **state)
{
    UNUSED(state);
    Bench b = open_bench();
    const Dim *dims[] = {dim_const(b.ir, 64), dim_const(b.ir, 64)};
    const Type *t = type_tensor(b.ir, DT_F32, 2, dims);
    DotAxes ax = {.ncontract = 1, .a_contract = {1}};
    Graph *body = graph_new(b.ir, b.arena, sym(b.ir->syms, "body"));
    const Node *formal[4], *in[4];
    for (int i = 0; i < 4; i++) {
        Sym name = sym(b.ir->syms, arena_printf(b.arena, "x%d", i));
        formal[i] = graph_input(body, name, t);
        in[i] = graph_input(b.g, name, t);
    }
    const Node *first = graph_dot(body, formal[0], formal[1], &ax);
    graph_result(body, sym(b.ir->syms, "a"), graph_dot(body, first, formal[2], &ax));
    graph_result(body, sym(b.ir->syms, "b"), graph_binary(body, OP_ADD, first, formal[3]));
    const Def *def = def_intern(
        b.ir, &(Def){.kind = DEF_GROUP, .name = body->name, .body = body, .nvisible = 2});
    Attr attr[IR_MAX_ATTR] = {{0}};
    attr[op_attr_index(OP_GROUP, "def")] = (Attr){.kind = AK_DEF, .def = def};
    attr[op_attr_index(OP_GROUP, "class")] =
        (Attr){.kind = AK_SYM, .s = sym(b.ir->syms, "attention_bwd")};
    attr[op_attr_index(OP_GROUP, "config")] = (Attr){.kind = AK_INTS};
    attr[op_attr_index(OP_GROUP, "count")] = (Attr){.kind = AK_INT, .i = 1};
    const Node *group =
        graph_op(b.g, &(NodeSpec){.op = OP_GROUP, .nin = 4, .in = in, .attr = attr});
    assert_non_null(group);
    assert_true(inplace_may_share(b.cx, b.arena, group, 3, 1));
    assert_false(inplace_may_share(b.cx, b.arena, group, 3, 0));
    arena_free(b.arena);
}

/* Columns are stored when all rows are done: over what only rows read, and not the other way round. */
static void test_columns_in_place(void **state)
{
    UNUSED(state);
    for (int swapped = 0; swapped < 2; swapped++) {
        Bench b = open_bench();
        const Dim *dims[] = {dim_const(b.ir, 64), dim_const(b.ir, 64)};
        const Node *x = new_state(&b, "x", type_tensor(b.ir, DT_F32, 2, dims));
        const Node *s = new_state(&b, "s", vector(&b, 64));
        const Node *rows = graph_reduce(b.g, OP_SUM, x, (int64_t[]){1}, 1);
        const Node *columns = graph_reduce(b.g, OP_SUM, x, (int64_t[]){0}, 1);
        rows = graph_binary(b.g, OP_ADD, rows, s);
        columns = graph_binary(b.g, OP_ADD, columns, s);
        graph_result(b.g, sym(b.ir->syms, "other"), swapped ? columns : rows);
        graph_write(b.g, state_id(s), swapped ? rows : columns);
        MemPlan *m = plan(&b);
        simulate(&b, m);
        assert_int_equal(m->order.n, 1 + swapped);
        assert_string_equal(node_sym(m->order.at[0], "class"), "row_col");
        assert_int_equal(copies(m), swapped);
        arena_free(b.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_states),
        cmocka_unit_test(test_takes_over),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_shifted),
        cmocka_unit_test(test_reader_first),
        cmocka_unit_test(test_several_homes),
        cmocka_unit_test(test_row_in_place),
        cmocka_unit_test(test_products_in_place),
        cmocka_unit_test(test_prologue_in_place),
        cmocka_unit_test(test_phases_in_place),
        cmocka_unit_test(test_columns_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_support mdl_passes mdl_front mdl_front_rule mdl_ir mdl_plan mdl_base */
/* test_raise.c: what is raised and what is not, on golden texts; and on whole programs the same loss and
 * gradients with the pass and without it. */
#include "elabcase.h"

#include "golden.h"

static Graph *raise_with_std(PassCx *cx, const Graph *in)
{
    cx->front = front_new(cx->ir);
    cx->std_op = front_std_op;
    return pass_raise(cx, in);
}

static void test_golden(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *report = golden_check(arena, "raise/cross_entropy.txt", raise_with_std);
    if (report)
        fail_msg("%s", report);
    arena_free(arena);
}

typedef struct Case {
    const char *loss;   /* of net(b.x), b.y and b.keep */
    const char *weight; /* of the head */
    const char *more;   /* lines of the train block */
    bool raised;
} Case;

static const Case cases[] = {
    {"cross_entropy(net(b.x), b.y)", "", "", true},
    {"cross_entropy(net(b.x), b.y, mask: b.keep)", "", "", true},
    {"cross_entropy(net(b.x), b.y, mask: b.keep, smoothing: 0.1)", "", "", true},
    {"cross_entropy(net(b.x), b.y, smoothing: 0.1)", ", weight: embed.weight", "", true},
    {"cross_entropy(net(b.x), b.y, mask: b.keep)", "", "precision = bf16\n", true},
    {"cross_entropy(2 * net(b.x), b.y)", "", "", false},
    {"cross_entropy(net(b.x), b.y) + mean(net(b.x) ** 2)", "", "", false},
    {"cross_entropy(net(b.x) as [2, 3, 11], b.y as [2, 3])", "", "", true},
};

static const char *program_text(Arena *arena, const Case *c)
{
    return arena_printf(arena,
                        "module Net(V, D) {\n"
                        "  embed: Embedding(V, D)\n"
                        "  head: Linear(D, V, bias: none%s)\n"
                        "  fn forward(t: i32[B]) -> [B, V] = embed(t) |> head\n"
                        "}\n"
                        "model net = Net(11, 4)\n"
                        "data points {\n"
                        "  source = npz(\"p.npz\", x: \"xs\", y: \"ys\", keep: \"ks\")\n"
                        "  x: i32 = row => row.x\n"
                        "  y: i32 = row => row.y\n"
                        "  keep: bool = row => row.keep > 0\n"
                        "}\n"
                        "train net {\n  data = points\n  loss = b => %s\n"
                        "  lr = 1e-2\n  batch = 6\n  steps = 2\n%s}\n",
                        c->weight, c->loss, c->more);
}

/* Values of the results and writes of micro, with or without the pass. */
static Value **run(Lab *l, const Graph *micro, bool skip, uint32_t *n, bool *raised)
{
    PassCx *cx = passes_begin(l->ir, l->arena, l->program, NULL);
    cx->front = l->front;
    cx->std_op = front_std_op;
    PassOptions opt = {.limit = PASS_autodiff + !skip};
    if (skip)
        opt.skip = UINT64_C(1) << PASS_raise;
    Graph *g = passes_run(cx, micro, &opt);
    assert_non_null(g);
    *raised = false;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *x = g->nodes.at[i];
        *raised = *raised || (op_info(x->op)->cls == OC_CALL &&
                              strcmp(node_def(x)->name, "linear_cross_entropy") == 0);
    }
    static const double x[] = {3, 10, 0, 4, 4, 7}, y[] = {0, 10, 5, 3, -1, 6},
                        keep[] = {1, 1, 0, 1, 1, 0};
    *n = g->results.n + g->writes.n;
    Value **out = NEW_ARRAY(l->arena, Value *, *n), **in;
    in = NEW_ARRAY(l->arena, Value *, g->inputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        Sym name = node_sym(g->inputs.at[i], "name");
        in[i] = value_new(l->arena, g->inputs.at[i]->type, NULL);
        memcpy(in[i]->at, *name == 'x' ? x : *name == 'y' ? y : keep, sizeof x);
    }
    InterpBinding b = {.inputs = in, .states = lab_states(l, l->program)};
    interp_run(g, l->arena, &b, out, out + g->results.n);
    return out;
}

static void check(const Case *c)
{
    Arena *arena = arena_new();
    Lab l = lab_open(program_text(arena, c));
    l.program = front_stage(l.front, NULL, planb_new(l.arena));
    if (!l.program)
        print_error("%s", lab_reports(&l));
    assert_non_null(l.program);
    const Graph *micro = program_entry(l.program, "micro");
    uint32_t n, m;
    bool raised, plain;
    Value **got = run(&l, micro, false, &n, &raised), **want = run(&l, micro, true, &m, &plain);
    if (raised != c->raised)
        fail_msg("%s: %s", c->loss, raised ? "raised" : "not raised");
    assert_false(plain);
    assert_int_equal(n, m);
    for (uint32_t i = 0; i < n; i++)
        assert_values(got[i], want[i]->at, want[i]->count);
    lab_close(&l);
    arena_free(arena);
}

static void test_values(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(cases); i++)
        check(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

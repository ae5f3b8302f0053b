/* LIBS: mdl_ir mdl_base */
/* test_print.c: graphs print, read back as the same text, and damaged text is refused politely. */
#include "ir.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Fixture {
    Arena *arena;
    Ir *ir;
    Program *program;
    Graph *g; /* one of everything */
    uint64_t seed;
} Fixture;

static Ir *new_ir(Arena *arena)
{
    return ir_new(arena, syms_new(arena), diags_new(arena));
}

static uint64_t next(Fixture *f)
{
    f->seed += 0x9e3779b97f4a7c15u;
    return hash_mix(9, f->seed);
}

static size_t below(Fixture *f, size_t n)
{
    return (size_t)(next(f) % n);
}

/* A composite with a vjp, which has the same name with other dims a second time. */
static const Def *build_def(Fixture *f, const Type *t)
{
    Ir *ir = f->ir;
    Graph *back = graph_new(ir, f->arena, NULL);
    graph_input(back, sym(ir->syms, "x"), t);
    graph_input(back, sym(ir->syms, "y"), t);
    const Node *dy = graph_input(back, sym(ir->syms, "dy"), t);
    graph_result(back, sym(ir->syms, "dx"), graph_unary(back, OP_NEG, dy));
    const Def *vjp =
        def_intern(ir, &(Def){.name = sym(ir->syms, "flip vjp"), .body = back, .nvisible = 1});
    Graph *body = graph_new(ir, f->arena, NULL);
    body->path = sym(ir->syms, "inside");
    const Node *x = graph_input(body, sym(ir->syms, "x"), t);
    graph_result(body, sym(ir->syms, "y"), graph_unary(body, OP_NEG, x));
    return def_intern(
        ir, &(Def){.name = sym(ir->syms, "flip"), .body = body, .nvisible = 1, .vjp = vjp});
}

static void build_moves(Fixture *f, const Node *x, const Node *idx)
{
    Graph *g = f->g;
    Ir *ir = f->ir;
    const Dim *B = x->type->dims[0], *flat[] = {dim_mul(ir, B, dim_const(ir, 8))};
    const int64_t perm[] = {1, 0}, axes[] = {0};
    const Node *r = graph_reshape(g, x, 1, flat);
    const Node *s = graph_slice(g, r, 0, B, dim_mul(ir, B, dim_const(ir, 3)));
    graph_pad(g, s, 0, B, dim_add(ir, B, dim_const(ir, 1)));
    graph_concat(g, (const Node *[]){r, s}, 2, 0);
    const Node *p = graph_permute(g, x, perm);
    DotAxes dot = {.ncontract = 1, .a_contract = {1}, .b_contract = {0}};
    graph_result(g, sym(ir->syms, "a \"quoted\"\\\n name"), graph_dot(g, x, p, &dot));
    const Node *rows = graph_gather(g, x, idx, 0, 0);
    Attr attr[] = {{.kind = AK_INT}, {.kind = AK_INT}, {.kind = AK_DIM, .dim = B}};
    const Node *in[] = {rows, idx};
    graph_op(g, &(NodeSpec){.op = OP_SCATTER_ADD, .nin = 2, .in = in, .attr = attr});
    graph_reduce(g, OP_AMAX, x, axes, 1);
    graph_reduce(g, OP_ARGMIN, x, axes, 1);
    graph_select(g, graph_binary(g, OP_LE, x, x), x, graph_unary(g, OP_EXP, x));
    graph_iota(g, 2, x->type->dims, 1);
}

static void build_leaves(Fixture *f, const Type *scalar)
{
    const double values[] = {
        0,           -0.0,   1e-300,      0.1, 1.0 / 3, (double)INFINITY, -(double)INFINITY,
        (double)NAN, 5e-324, -123456789.5};
    for (size_t i = 0; i < COUNT(values); i++)
        graph_const(f->g, DT_F64, values[i]);
    graph_slot(f->g, "lr", DT_F32);
    graph_cast(f->g, DT_BF16, graph_slot(f->g, "step", scalar->dtype));
}

static void build_calls(Fixture *f, const Node *x, const Node *w)
{
    Graph *g = f->g;
    Ir *ir = f->ir;
    const Node *y = graph_call(g, build_def(f, x->type), &x, 1);
    graph_call(g, build_def(f, w->type), &w, 1);
    Graph *body = graph_new(ir, f->arena, NULL);
    const Node *a = graph_input(body, sym(ir->syms, "a"), x->type);
    graph_result(body, sym(ir->syms, "o"), graph_binary(body, OP_MUL, a, a));
    graph_result(body, sym(ir->syms, "o"), graph_unary(body, OP_ABS, a));
    const Def *d = def_intern(ir, &(Def){.kind = DEF_GROUP,
                                         .name = sym(ir->syms, "layers.*.mlp square"),
                                         .body = body,
                                         .nvisible = 2});
    const int64_t config[] = {4, -1};
    Attr attr[] = {{.kind = AK_DEF, .def = d},
                   {.kind = AK_SYM, .s = sym(ir->syms, "map")},
                   {.kind = AK_INTS, .n = 2, .ints = config},
                   {.kind = AK_INT, .i = 1}};
    const Node *group =
        graph_op(g, &(NodeSpec){.op = OP_GROUP,
                                .nin = 1,
                                .in = &y,
                                .attr = attr,
                                .note = "merged mul, abs\n\nrefused: %3 is read twice"});
    graph_get(g, group, 1);
    graph_tuple(g, (const Node *[]){x, w}, 2);
}

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->seed = 77;
    Ir *ir = f->ir = new_ir(arena);
    f->program = program_new(ir, sym(ir->syms, "stage"));
    const DimSym *B = dim_declare(ir, sym(ir->syms, "B"), 1, 512);
    const DimSym *again = dim_declare(ir, sym(ir->syms, "B"), 2, 4);
    const Dim *dims[] = {dim_of(ir, B), dim_const(ir, 8)}, *rows[] = {dim_of(ir, again)};
    const Dim *square[] = {dims[1], dims[1]};
    const Type *wt = type_tensor(ir, DT_F32, 2, square);
    Graph *g = f->g = graph_new(ir, arena, sym(ir->syms, "eval:digits"));
    const Node *x = graph_input(g, sym(ir->syms, "x"), type_tensor(ir, DT_F32, 2, dims));
    const Node *idx = graph_input(g, sym(ir->syms, "rows"), type_tensor(ir, DT_I32, 1, rows));
    State *w = program_state(
        f->program, &(State){.kind = SK_PARAM, .path = sym(ir->syms, "fc1.weight"), .type = wt});
    const Node *wn = graph_state(g, w->id, w->type, w->path);
    g->path = sym(ir->syms, "layers.0.mlp");
    build_moves(f, x, idx);
    g->path = sym(ir->syms, "odd [path]");
    build_leaves(f, type_scalar(ir, DT_F32));
    g->path = NULL;
    build_calls(f, x, wn);
    const Node *in[] = {wn, wn};
    graph_write(g, 0, graph_op(g, &(NodeSpec){.op = OP_MUL, .inst = 2, .nin = 2, .in = in}));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    arena_free(((Fixture *)*state)->arena);
    return 0;
}

static const char *print(Arena *arena, const Graph *g, const Program *p)
{
    StrBuf sb = sb_new(arena);
    graph_print(g, p, &sb);
    return sb_text(&sb);
}

static Graph *parse(Ir *ir, Arena *arena, const char *text, size_t n)
{
    return graph_parse(ir, arena, diags_source(ir->diags, "graph.txt", text, n));
}

static void reads_back_as_the_same_text(void **state)
{
    Fixture *f = *state;
    graph_verify(f->g, f->program);
    assert_int_equal(diags_errors(f->ir->diags), 0);
    const char *text = print(f->arena, f->g, f->program);
    for (int round = 0; round < 2; round++) {
        Ir *ir = round ? new_ir(f->arena) : f->ir; /* the same session, and a fresh one */
        Graph *g = parse(ir, f->arena, text, strlen(text));
        if (!g)
            print_error("%s\n%s", diags_render(ir->diags, f->arena, DIAG_HUMAN, false), text);
        assert_non_null(g);
        assert_string_equal(print(f->arena, g, f->program), text);
        graph_verify(g, round ? NULL : f->program);
        assert_true(graph_hash(g) == graph_hash(f->g));
        assert_int_equal(g->nodes.n, f->g->nodes.n);
    }
}

static void text_is_readable(void **state)
{
    Fixture *f = *state;
    const char *text = print(f->arena, f->g, f->program);
    const char *lines[] = {
        "sym B 1..512\nsym B~1 2..4\n",
        "def @flip composite visible=1 vjp=@flip_vjp {\n",
        "def @flip.2 composite name=\"flip\" visible=1 vjp=@flip_vjp.2 {\n",
        "  %1 = neg f32[B, 8] %0 @inside\n",
        "def @layers.*.mlp_square group name=\"layers.*.mlp square\" visible=2 {\n",
        "graph eval:digits {\n  state 0 param \"fc1.weight\" f32[8, 8]\n",
        "  %0 = input f32[B, 8] name=\"x\"\n",
        "  %2 = state f32[8, 8] id=0 name=\"fc1.weight\"\n",
        "= slice f32[3*B] %3 axis=0 start=B extent=3*B @layers.0.mlp\n",
        "= const f64[] value=-0 @\"odd [path]\"\n",
        "class=\"map\" config=[4, -1] count=1\n    # merged mul, abs\n    # \n    # refused:",
        "result \"a \\\"quoted\\\"\\\\\\x0a name\" %",
        " inst=2\n",
        "  write 0 %",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        if (!strstr(text, lines[i]))
            print_error("lacks: %s\n%s", lines[i], text);
        assert_non_null(strstr(text, lines[i]));
    }
    StrBuf sb = sb_new(f->arena);
    node_print(f->ir, f->g->nodes.at[2], &sb);
    assert_string_equal(sb_text(&sb), "%2 = state f32[8, 8] id=0 name=\"fc1.weight\"");
}

/* ---- bad text ---- */

static void is_refused(Fixture *f, const char *text, const char *message)
{
    Ir *ir = new_ir(f->arena);
    assert_null(parse(ir, f->arena, text, strlen(text)));
    const char *report = diags_render(ir->diags, f->arena, DIAG_SHORT, false);
    if (!strstr(report, message))
        print_error("expected: %s\nin: %s\n", message, report);
    assert_non_null(strstr(report, message));
}

#define GRAPH(lines) "sym B 1..9\ngraph g {\n" lines "}\n"

static void mistakes_are_named(void **state)
{
    Fixture *f = *state;
    is_refused(f, "", "expected `sym`, `def` or `graph`");
    is_refused(f, GRAPH("  %0 = foo f32[]\n"), "unknown operation `foo`");
    is_refused(f, GRAPH("  %0 = input f31[B] name=\"x\"\n"), "unknown element type `f31`");
    is_refused(f, GRAPH("  %0 = input f32[C] name=\"x\"\n"), "unknown dimension `C`");
    is_refused(f, GRAPH("  %0 = input f32[B] name=\"x\n"), "unterminated string");
    is_refused(f, GRAPH("  %0 = input f32[B] name=\"a\\x00\"\n"), "unterminated string");
    is_refused(f, GRAPH("  %0 = neg f32[B] %9\n"), "unknown value %9");
    is_refused(f, GRAPH("  %0 = neg f32[B]\n"), "`neg` takes 1 operands, got 0");
    is_refused(f, GRAPH("  %0 = slot f32[] name=\"a\"\n  %1 = neg f64[] %0\n"),
               "`neg` gives `f32[]`");
    is_refused(f, GRAPH("  %0 = slot f32[] name=\"a\"\n  %0 = neg f32[] %0\n"), "defined twice");
    is_refused(f, GRAPH("  %0 = slot f32[] name=\"a\"\n  write 1 %0\n  write 1 %0\n"),
               "written twice");
    is_refused(f, GRAPH("  %0 = const f32[] value=x\n"), "expected a number");
    is_refused(f, GRAPH("  %0 = const f32[B] value=1\n"), "`const` is a scalar");
    is_refused(f, GRAPH("  %0 = call f32[] def=@f\n"), "unknown def `f`");
    is_refused(f, GRAPH("  %0 = input f32[99999999999999999999] name=\"x\"\n"), "too large");
    is_refused(f, GRAPH("  %0 = input f32[-1] name=\"x\"\n"), "may be negative");
    is_refused(f, GRAPH("  %0 = input f32[B*B*B*B*B*B*B*B*B] name=\"x\"\n"), "too large");
    is_refused(f, GRAPH("  %0 = input f32[1,1,1,1,1,1,1,1,1] name=\"x\"\n"), "limit of 8");
    is_refused(f, GRAPH("  %0 = iota i32[4] axis=-1\n"), "axis -1 is out of range");
    is_refused(f, GRAPH("  %0 = state f32[4] id=-1 name=\"x\"\n"), "there is no state -1");
    is_refused(f, GRAPH("") "x", "expected the end of the text");
    is_refused(f, "graph g {\n", "expected a node");
    is_refused(f, "sym B 3..3\n", "a symbol has a range");
    is_refused(f, "sym B 1..3\nsym B 1..4\n", "declared twice");
    is_refused(f, "def @f group visible=1 {\n}\n", "has 0 results, not 1");
    is_refused(f, "def @f group visible=0 {\n  state 1 param \"\" f32[]\n}\n", "expected a node");
}

/* Defs that call defs: deep chains are refused before anything recurses through them. */
static void deep_defs_are_refused(void **state)
{
    Fixture *f = *state;
    StrBuf sb = sb_new(f->arena);
    const char *body = "  %0 = input f32[] name=\"x\"\n";
    sb_printf(&sb, "def @d0 group visible=1 {\n%s  result \"y\" %%0\n}\n", body);
    for (int i = 1; i < 100; i++)
        sb_printf(&sb,
                  "def @d%d group visible=1 {\n%s  %%1 = call f32[] %%0 def=@d%d\n"
                  "  result \"y\" %%1\n}\n",
                  i, body, i - 1);
    sb_puts(&sb, "graph g {\n}\n");
    is_refused(f, sb_text(&sb), "defs are nested more than 64 deep");
}

/* One change of a printed graph: bytes replaced, removed, doubled or cut off, lines exchanged. */
static void mutate(Fixture *f, char *text, size_t *n)
{
    size_t at = below(f, *n), len = 1 + below(f, 12), other = below(f, *n);
    if (at + len > *n)
        len = *n - at;
    switch (below(f, 5)) {
    case 0:
        text[at] = (char)next(f);
        break;
    case 1:
        memmove(text + at, text + at + len, *n - at - len);
        *n -= len;
        break;
    case 2:
        memmove(text + at + len, text + at, *n - at);
        *n += len;
        break;
    case 3:
        text[at] = text[other];
        break;
    default:
        for (size_t i = 0; i < len && other + i < *n; i++)
            text[at + i] = text[other + i];
        break;
    }
    if (*n == 0)
        text[(*n)++] = 'g';
}

static void damaged_text_never_crashes(void **state)
{
    Fixture *f = *state;
    const char *text = print(f->arena, f->g, f->program);
    size_t length = strlen(text);
    int accepted = 0;
    for (int round = 0; round < 3000; round++) {
        Arena *arena = arena_new();
        char *copy = NEW_ARRAY(arena, char, length + 200);
        memcpy(copy, text, length);
        size_t n = length;
        for (size_t k = 1 + below(f, 3); k > 0; k--)
            mutate(f, copy, &n);
        if (below(f, 8) == 0)
            n = below(f, n);
        char *exact = malloc(n ? n : 1); /* so that reading past the end is seen */
        memcpy(exact, copy, n);
        Ir *ir = new_ir(arena);
        Graph *g = parse(ir, arena, exact, n);
        assert_true(g || diags_errors(ir->diags) > 0);
        if (g) {
            accepted++;
            graph_verify(g, NULL);
            const char *once = print(arena, g, NULL);
            Ir *fresh = new_ir(arena);
            Graph *again = parse(fresh, arena, once, strlen(once));
            assert_non_null(again);
            assert_string_equal(print(arena, again, NULL), once);
        }
        free(exact);
        arena_free(arena);
    }
    assert_true(accepted > 100 && accepted < 2900);
}

static void random_bytes_never_crash(void **state)
{
    Fixture *f = *state;
    const char *words[] = {
        "sym ",    "def ",   "@",     "graph ", "{\n", "}\n", "%", "0",     "1..",
        " = ",     "input ", "f32[",  "]",      "B",   "*",   "-", "name=", "\"",
        "result ", "(",      "call ", "axes=[", ", ",  "\n",  "#", "\\x",   "9223372036854775808",
        "tuple "};
    for (int round = 0; round < 3000; round++) {
        Arena *arena = arena_new();
        StrBuf sb = sb_new(arena);
        sb_puts(&sb, round % 2 ? "sym B 1..4\ngraph g {\n%0 = input f32[B] name=\"x\"\n" : "");
        for (size_t n = below(f, 60); n > 0; n--)
            sb_puts(&sb, words[below(f, COUNT(words))]);
        Ir *ir = new_ir(arena);
        Graph *g = parse(ir, arena, sb_text(&sb), sb.n);
        assert_true(g || diags_errors(ir->diags) > 0);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_back_as_the_same_text, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_defs_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_text_never_crashes, setup, teardown),
        cmocka_unit_test_setup_teardown(random_bytes_never_crash, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_passes mdl_front mdl_front_rule mdl_target mdl_plan mdl_ir mdl_base */
/* test_trial.c: numbers for a group that runs alone: what its integers are seen to be, and that masks, gathers and
 * scatters then have as much to do as in use. */
#include "elabcase.h"

#include "attention.h"
#include "passes.h"
#include "smallcpu.h"
#include "trial.h"

enum { SEEDS = 3 };

/* ---- graphs as text ---- */

typedef struct Bench {
    Arena *arena;
    Ir *ir;
    Graph *g;
} Bench;

static Bench bench_open(const char *text)
{
    Bench b = {.arena = arena_new()};
    b.ir = ir_new(b.arena, syms_new(b.arena), diags_new(b.arena));
    b.g = graph_parse(b.ir, b.arena, diags_source(b.ir->diags, "g", text, strlen(text)));
    if (!b.g)
        fail_msg("%s\n%s", text, diags_render(b.ir->diags, b.arena, DIAG_SHORT, false));
    return b;
}

static size_t count_of(const Graph *g, const Node *n)
{
    return (size_t)dim_hi(g->ir, type_count(g->ir, n->type));
}

/* The numbers of an input, which are the same each time. */
static double *numbers(Arena *arena, const Graph *g, uint32_t input, uint64_t seed)
{
    const Node *leaf = g->inputs.at[input];
    const DType dt = leaf->type->dtype;
    const size_t n = count_of(g, leaf), bytes = n * dtype_info(dt)->bytes;
    char *data = arena_alloc(arena, bytes + 1), *again = arena_alloc(arena, bytes + 1);
    double *out = NEW_ARRAY(arena, double, n + 1);
    trial_fill(g, input, seed, data, n);
    trial_fill(g, input, seed, again, n);
    assert_memory_equal(data, again, bytes);
    for (size_t i = 0; i < n; i++)
        out[i] = dtype_load(dt, data, i);
    return out;
}

/* What a graph of one integer input x says of it. */
typedef struct Meaning {
    const char *text; /* behind `%0 = input TYPE name="x"` */
    const char *type;
    IntegerUse use;
    int64_t below, span;
} Meaning;

#define INDEXED "  %1 = input f32[40, 3] name=\"table\"\n"

static const Meaning meanings[] = {
    /* rows of a table; of two tables those that both have; through views and arithmetic */
    {INDEXED "  %2 = gather f32[9, 3] %1 %0 axis=0 batch=0\n  result \"y\" %2\n", "i32[9]",
     INTEGER_INDEX, 40, 0},
    {INDEXED "  %2 = input f32[7, 3] name=\"few\"\n  %3 = gather f32[9, 3] %1 %0 axis=0 batch=0\n"
             "  %4 = gather f32[9, 3] %2 %0 axis=0 batch=0\n  %5 = add f32[9, 3] %3 %4\n"
             "  result \"y\" %5\n",
     "i32[9]", INTEGER_INDEX, 7, 0},
    {INDEXED "  %2 = reshape i16[9] %0 dims=[9]\n  %3 = cast i32[9] %2 dtype=i32\n"
             "  %4 = const i32[] value=3\n  %5 = expand i32[9] %4 dims=[9] axes=[]\n"
             "  %6 = add i32[9] %3 %5\n  %7 = gather f32[9, 3] %1 %6 axis=0 batch=0\n"
             "  result \"y\" %7\n",
     "i16[3, 3]", INTEGER_INDEX, 40, 0},
    /* rows of a gradient */
    {"  %1 = input f32[9, 3] name=\"dy\"\n"
     "  %2 = scatter_add f32[50, 3] %1 %0 axis=0 batch=0 extent=50\n  result \"y\" %2\n",
     "i64[9]", INTEGER_INDEX, 50, 0},
    /* the column of a target */
    {"  %1 = expand i32[9, 60] %0 dims=[9, 60] axes=[0]\n  %2 = iota i32[9, 60] axis=1\n"
     "  %3 = eq bool[9, 60] %1 %2\n  result \"y\" %3\n",
     "i32[9]", INTEGER_INDEX, 60, 0},
    /* where rows are written: they end where the axis ends */
    {"  %1 = input f32[30, 3] name=\"old\"\n  %2 = input f32[4, 3] name=\"rows\"\n"
     "  %3 = update f32[30, 3] %1 %2 %0 axis=0\n  result \"y\" %3\n",
     "i32[]", INTEGER_PLACE, 30, 4},
    /* the last key that a query sees; also of one whose places begin at the number */
    {"  %1 = expand i32[2, 5, 20] %0 dims=[2, 5, 20] axes=[0, 1]\n"
     "  %2 = iota i32[2, 5, 20] axis=2\n  %3 = le bool[2, 5, 20] %2 %1\n  result \"y\" %3\n",
     "i32[2, 5]", INTEGER_PLACE, 20, 5},
    {"  %1 = expand i32[5, 20] %0 dims=[5, 20] axes=[]\n  %2 = iota i32[5, 20] axis=0\n"
     "  %3 = add i32[5, 20] %1 %2\n  %4 = iota i32[5, 20] axis=1\n"
     "  %5 = le bool[5, 20] %4 %3\n  result \"y\" %5\n",
     "i32[]", INTEGER_PLACE, 20, 5},
    /* a place that chooses a row, too, of a shorter table */
    {"  %1 = input f32[12, 3] name=\"table\"\n  %2 = gather f32[20, 3] %1 %0 axis=0 batch=0\n"
     "  %3 = iota i32[20] axis=0\n  %4 = lt bool[20] %3 %0\n  result \"y\" %2\n  result \"z\" %4\n",
     "i32[20]", INTEGER_PLACE, 12, 20},
    /* segments */
    {"  %1 = expand i32[9, 9] %0 dims=[9, 9] axes=[0]\n  %2 = expand i32[9, 9] %0 dims=[9, 9] "
     "axes=[1]\n  %3 = eq bool[9, 9] %1 %2\n  result \"y\" %3\n",
     "i32[9]", INTEGER_SAME, 0, 0},
    /* numbers of four bits, numbers to compute with, and what is compared with a number */
    {"  %1 = iota i32[9] axis=0\n  %2 = nibble i32[9] %0 %1\n  result \"y\" %2\n", "i32[9]",
     INTEGER_WORD, 0, 0},
    {"  %1 = cast f32[9] %0 dtype=f32\n  result \"y\" %1\n", "i32[9]", INTEGER_ANY, 0, 0},
    {"  %1 = const i32[] value=3\n  %2 = expand i32[9] %1 dims=[9] axes=[]\n"
     "  %3 = eq bool[9] %0 %2\n  result \"y\" %3\n",
     "i32[9]", INTEGER_ANY, 0, 0},
};

static void check_numbers(const Meaning *m, const double *x, size_t n)
{
    size_t differ = 0;
    for (size_t i = 0; i < n; i++) {
        if (m->below)
            assert_in_range((int64_t)x[i], 0, m->below - 1);
        if (m->use == INTEGER_PLACE && m->span <= m->below)
            assert_int_equal((int64_t)x[i], m->below - m->span + (int64_t)i % m->span);
        else if (m->use == INTEGER_PLACE)
            assert_int_equal((int64_t)x[i], (int64_t)i % m->below);
        else if (m->use == INTEGER_SAME)
            assert_int_equal((int64_t)x[i], 0);
        differ += i > 0 && x[i] != x[0];
    }
    assert_true(m->use == INTEGER_SAME || m->use == INTEGER_PLACE || differ > n / 2);
}

static void test_meanings(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COUNT(meanings); k++) {
        const Meaning *m = &meanings[k];
        char text[2000];
        snprintf(text, sizeof text, "graph g {\n  %%0 = input %s name=\"x\"\n%s}\n", m->type,
                 m->text);
        Bench b = bench_open(text);
        const Integers is = graph_integers(b.g, b.g->inputs.at[0], b.arena);
        assert_int_equal(is.use, m->use);
        if (m->below)
            assert_int_equal(dim_hi(b.ir, is.below), m->below);
        if (m->span)
            assert_int_equal(dim_hi(b.ir, is.span), m->span);
        for (uint64_t seed = 0; seed < SEEDS; seed++)
            check_numbers(m, numbers(b.arena, b.g, 0, seed), count_of(b.g, b.g->inputs.at[0]));
        arena_free(b.arena);
    }
}

/* Never out of bounds, whatever the type can hold; every value of a short axis comes. */
static void test_bounds(void **state)
{
    UNUSED(state);
    static const struct {
        const char *type;
        int64_t extent, below;
    } all[] = {
        {"i8", 3, 3}, {"i8", 500, 128}, {"u8", 500, 256}, {"i16", 40000, 32768}, {"i32", 1, 1}};
    for (size_t k = 0; k < COUNT(all); k++) {
        char text[400];
        snprintf(text, sizeof text,
                 "graph g {\n  %%0 = input %s[900] name=\"x\"\n  %%1 = input f32[%lld] name=\"t\"\n"
                 "  %%2 = gather f32[900] %%1 %%0 axis=0 batch=0\n  result \"y\" %%2\n}\n",
                 all[k].type, (long long)all[k].extent);
        Bench b = bench_open(text);
        const double *x = numbers(b.arena, b.g, 0, 1);
        double most = 0;
        for (size_t i = 0; i < 900; i++) {
            assert_true(x[i] >= 0 && x[i] < (double)all[k].below);
            most = fmax(most, x[i]);
        }
        assert_true(most >= (double)(all[k].below - 1) * 0.9);
        arena_free(b.arena);
    }
}

/* ---- programs ---- */

/* The body of the attention that the function f of the text becomes, and what it is. */
static Graph *attention_body(Lab *l, Attention *a)
{
    const FrontCall call = {.function = "f", .inputs = l->in, .ninput = l->nin, .mode = MODE_TRAIN};
    bool blame;
    l->program = front_call(l->front, &call, &blame);
    if (!l->program)
        fail_msg("%s", lab_reports(l));
    PassCx *cx = passes_begin(l->ir, l->arena, l->program, &small_cpu);
    const Graph *fused = passes_run(cx, l->program->entries.at[0], &(PassOptions){.limit = -1});
    for (uint32_t i = 0; i < fused->nodes.n; i++) {
        const Node *n = fused->nodes.at[i];
        if (op_info(n->op)->cls != OC_GROUP || strcmp(node_sym(n, "class"), "attention") != 0)
            continue;
        Graph *body = graph_rewrite(node_def(n)->body, l->arena, NULL, NULL);
        assert_true(attention_find(body, a) && a->mask);
        return body;
    }
    fail_msg("no attention");
    return NULL;
}

/* How many pairs of a query and a key the mask allows. */
static int64_t count_keys(Lab *l, Graph *body, const Attention *a)
{
    Value **in = NEW_ARRAY(l->arena, Value *, body->inputs.n + 1), *mask;
    body->results.n = 0;
    graph_result(body, sym(l->ir->syms, "mask"), a->mask);
    for (uint32_t i = 0; i < body->inputs.n; i++) {
        in[i] = value_new(l->arena, body->inputs.at[i]->type, NULL);
        memcpy(in[i]->at, numbers(l->arena, body, i, i + 1), (size_t)in[i]->count * sizeof(double));
    }
    interp_run(body, l->arena, &(InterpBinding){.inputs = in}, &mask, NULL);
    int64_t n = 0;
    for (int64_t k = 0; k < mask->count; k++)
        n += mask->at[k] != 0;
    return n;
}

/* Rows are one sample, whatever says so: a query sees all keys up to its own, as in training. */
static void test_keys(void **state)
{
    UNUSED(state);
    enum { B = 2, T = 96 };
    static const struct {
        const char *mask;
        int64_t keys; /* of a row */
    } masks[] = {{"causal(pos)", T * (T + 1) / 2},
                 {"packed(pos)", T * T},
                 {"causal(pos) and packed(pos)", T * (T + 1) / 2},
                 {"causal(pos) and same(seg)", T * (T + 1) / 2},
                 {"causal(pos) and window(10)", T * 10 - 45}};
    for (size_t k = 0; k < COUNT(masks); k++) {
        char text[600];
        snprintf(text, sizeof text,
                 "fn f(q: [%d, %d, 1, 16], pos: i32[%d, %d], seg: i32[%d, %d]) =\n"
                 "  attention(q, q, q, mask: %s)\n",
                 B, T, B, T, B, T, masks[k].mask);
        Lab l = lab_open(text);
        Attention a;
        lab_input(&l, "q", DT_F32, NULL, 4, (int64_t[]){B, T, 1, 16});
        lab_input(&l, "pos", DT_I32, NULL, 2, (int64_t[]){B, T});
        lab_input(&l, "seg", DT_I32, NULL, 2, (int64_t[]){B, T});
        Graph *body = attention_body(&l, &a);
        const int64_t keys = count_keys(&l, body, &a), each = (int64_t)count_of(body, a.mask);
        assert_int_equal(keys, masks[k].keys * (each / (T * T)));
        lab_close(&l);
    }
}

/* Behind as many others as there is room for. */
static void test_past(void **state)
{
    UNUSED(state);
#define KEPT(t)                                                                           \
    "graph g {\n  %0 = slot i32[] name=\"len\"\n  %1 = expand i32[" t ", 20] %0 dims=[" t \
    ", 20] axes=[]\n  %2 = iota i32[" t ", 20] axis=0\n  %3 = add i32[" t ", 20] %1 %2\n" \
    "  %4 = iota i32[" t ", 20] axis=1\n  %5 = le bool[" t ", 20] %4 %3\n  result \"y\" %5\n}\n"
    static const struct {
        const char *text;
        int64_t past;
    } all[] = {
        {KEPT("5"), 15},
        {"graph g {\n  %0 = slot i32[] name=\"len\"\n  %1 = expand i32[20] %0 dims=[20] axes=[]\n"
         "  %2 = iota i32[20] axis=0\n  %3 = le bool[20] %2 %1\n  result \"y\" %3\n}\n",
         19},
        {"graph g {\n  %0 = slot i32[] name=\"len\"\n  %1 = input f32[2, 20, 3] name=\"old\"\n"
         "  %2 = input f32[2, 4, 3] name=\"rows\"\n  %3 = update f32[2, 20, 3] %1 %2 %0 axis=1\n"
         "  result \"y\" %3\n}\n",
         16},
        {"graph g {\n  %0 = slot i32[] name=\"len\"\n  %1 = cast f32[] %0 dtype=f32\n"
         "  result \"y\" %1\n}\n",
         0},
        {"graph g {\n  %0 = slot i64[] name=\"step\"\n  result \"y\" %0\n}\n", 0}};
    for (size_t k = 0; k < COUNT(all); k++) {
        Bench b = bench_open(all[k].text);
        assert_int_equal(trial_past(b.g), all[k].past);
        arena_free(b.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_test_hardware mdl_runtime mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_target mdl_plan mdl_ir mdl_base dl m */
/* Attention on a GPU, by the text that it runs: operands of 16 and 32 bits, sizes that fill no tile, shared heads,
 * masks that cut tiles, leave them out, or leave a query without keys, sizes that are known when it runs. */
#include "attentioncase.h"

static const Form forward[] = {
    {"attention(q, k, v)", 2, 33, 47, 4, 2, 16, 16, NULL, false},
    {"attention(q, k, v)", 1, 15, 300, 3, 1, 7, 41, NULL, false},
    {"attention(q, k, v, mask: causal(pos) and window(9))", 2, 200, 200, 2, 2, 8, 12, NULL, false},
    {"attention(q, k, v, mask: packed(pos))", 2, 37, 37, 2, 2, 8, 8, NULL, false},
    {"attention(q, k, v, mask: causal(pos), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.125 * (h "
     "+ 1) * (t - u))",
     2, 75, 75, 4, 2, 16, 16, NULL, false},
    {"attention(q, k, v)", 1, 20, 20, 1, 1, 256, 200, NULL, false},
    {"attention(q, k, v, mask: causal(pos))", 1, 70, 70, 2, 2, 64, 64, NULL, false},
    {"attention(q, k, v, scale: 0.2)", 2, 70, 150, 4, 2, 64, 64, "bf16", false},
    {"attention(q, k, v, mask: causal(pos))", 1, 140, 140, 2, 1, 128, 128, "bf16", false},
    {"attention(q, k, v, mask: causal(pos) and window(9))", 2, 100, 100, 2, 2, 8, 40, "f16", false},
    {"attention(q, k, v, mask: padding(ok))", 2, 21, 150, 2, 1, 7, 41, "bf16", false},
    {"attention(q, k, v, mask: packed(pos))", 2, 70, 70, 2, 1, 16, 32, "bf16", false},
    {"attention(q, k, v, mask: (b, t, u) => u < t - 5 and not (u > 3))", 1, 40, 40, 2, 1, 16, 16,
     "f16", false},
    {"attention(q, k, v, score: (s, b, h, t, u) => silu(s) + w[h])", 1, 30, 75, 4, 2, 80, 96,
     "bf16", false},
    {"attention(q, k, v)", 1, 20, 70, 2, 1, 256, 256, "bf16", false},
};

enum { FIRST_NARROW = 7 /* of 16-bit operands */ };

/* What warpgroups do: more tiles than stages, tiles past the last key, heads of all widths of their products. */
static const Form groups[] = {
    {"attention(q, k, v)", 1, 130, 700, 2, 1, 128, 128, "bf16", false},
    {"attention(q, k, v, mask: causal(pos))", 1, 520, 520, 2, 1, 64, 64, "bf16", false},
    {"attention(q, k, v, mask: causal(pos) and window(150))", 1, 600, 600, 1, 1, 32, 16, "f16",
     false},
    {"attention(q, k, v, mask: causal(pos), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.125 * (h "
     "+ 1) * (t - u))",
     1, 75, 300, 2, 2, 72, 80, "bf16", false},
    {"attention(q, k, v, mask: causal(pos))", 1, 100, 300, 1, 1, 192, 136, "bf16", false},
    {"attention(q, k, v, mask: padding(ok))", 2, 70, 400, 1, 1, 256, 256, "f16", false},
};

/* Few queries: one and some splits of the keys, of which the last is short, one key, no key that a query sees; heads that
 * share keys, in one block and in several; lanes without a column, rows of columns that are no vectors. */
static const Form few[] = {
    {"attention(q, k, v)", 1, 1, 1, 4, 2, 16, 16, NULL, false},
    {"attention(q, k, v)", 2, 1, 63, 4, 1, 64, 64, NULL, false},
    {"attention(q, k, v, mask: (b, t, u) => u <= pos[b, t])", 2, 1, 65, 2, 2, 128, 128, NULL,
     false},
    {"attention(q, k, v)", 1, 1, 700, 6, 2, 24, 7, NULL, false},
    {"attention(q, k, v, mask: (b, t, u) => u < 400 + 3 * t and u > 130)", 1, 3, 500, 10, 2, 40, 41,
     NULL, false},
    {"attention(q, k, v, mask: (b, t, u) => u < t - 2)", 1, 5, 150, 3, 1, 16, 256, NULL, false},
    {"attention(q, k, v, mask: padding(ok), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.125 * (h "
     "+ 1) * u)",
     2, 2, 130, 4, 2, 16, 16, NULL, false},
    {"attention(q, k, v)", 1, 1, 64, 4, 2, 128, 128, "bf16", false},
    {"attention(q, k, v, scale: 0.2)", 1, 1, 300, 8, 2, 128, 128, "bf16", false},
    {"attention(q, k, v, mask: (b, t, u) => u <= 100 * pos[b, t] and u > t + 90)", 2, 16, 260, 2, 1,
     64, 64, "f16", false},
    {"attention(q, k, v, mask: padding(ok))", 2, 1, 150, 2, 1, 80, 96, "f16", false},
    {"attention(q, k, v, score: (s, b, h, t, u) => silu(s) + w[h])", 1, 4, 75, 4, 2, 7, 41, "bf16",
     false},
    {"attention(q, k, v)", 1, 2, 129, 2, 1, 256, 256, "bf16", false},
    {"attention(q, k, v)", 1, 2, 129, 9, 1, 256, 256, NULL, false},
};

static const Form backward[] = {
    {BWD ")", 2, 33, 47, 4, 2, 16, 16, NULL, false},
    {BWD ", mask: causal(pos))", 2, 130, 130, 2, 1, 8, 40, NULL, false},
    {BWD ", mask: causal(pos) and window(9))", 1, 100, 100, 2, 2, 7, 20, NULL, false},
    {BWD ", mask: causal(pos), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.1 * (t - u))", 2, 75,
     75, 4, 2, 16, 16, NULL, false},
    {BWD ")", 1, 30, 20, 1, 1, 200, 256, NULL, false},
    {BWD ", mask: causal(pos))", 1, 70, 70, 2, 2, 64, 64, NULL, false},
    {BWD ", mask: causal(pos))", 1, 40, 40, 1, 1, 128, 128, NULL, false},
    {BWD ", scale: 0.2)", 2, 70, 90, 4, 2, 64, 64, "bf16", false},
    {BWD ", mask: causal(pos))", 1, 140, 140, 2, 1, 128, 128, "bf16", false},
    {BWD ", mask: padding(ok))", 2, 21, 150, 2, 1, 7, 41, "f16", false},
    {BWD ", mask: causal(pos) or padding(ok))", 1, 40, 40, 4, 1, 16, 32, "bf16", false},
    {BWD ", mask: causal(pos))", 1, 40, 40, 2, 1, 256, 256, "bf16", false},
};

static const Form stay[] = {
    {"attention(q, k, v, mask: causal(pos))", 2, 700, 700, 4, 2, 64, 128, "bf16", false},
    {"attention(q, k, v, mask: packed(pos))", 1, 500, 500, 2, 2, 16, 32, "f16", false},
    {"attention(q, k, v, mask: (b, t, u) => u < t - 200 and not (u > 300))", 1, 400, 400, 2, 1, 32,
     16, "f16", false},
    {"attention(q, k, v, mask: causal(pos))", 1, 300, 300, 2, 1, 64, 80, "bf16", false},
};

/* By tickets: sections of heads of different sizes, heads that share keys, tiles without keys, more blocks than tiles. */
static const Form drawn[] = {
    {"attention(q, k, v, mask: causal(pos))", 2, 700, 700, 4, 2, 64, 128, "bf16", false},
    {"attention(q, k, v, mask: causal(pos) and packed(pos))", 1, 500, 500, 5, 5, 32, 32, "f16",
     false},
    {"attention(q, k, v, mask: (b, t, u) => u < t - 200)", 1, 400, 400, 2, 1, 64, 16, "f16", false},
    {"attention(q, k, v)", 1, 70, 130, 1, 1, 128, 128, "bf16", false},
};

static const Form groups_backward[] = {
    {BWD ", mask: causal(pos) and window(150))", 1, 400, 400, 2, 1, 64, 64, "bf16", false},
    {BWD ")", 1, 330, 200, 1, 1, 80, 128, "f16", false},
    {BWD ", mask: causal(pos), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.1 * (t - u))", 1, 200,
     200, 2, 2, 32, 64, "bf16", false},
    {BWD ", mask: causal(pos))", 1, 140, 140, 1, 1, 192, 256, "bf16", false},
    {BWD ", mask: causal(pos))", 1, 600, 600, 4, 1, 128, 128, "bf16", false},
};

/* By turns: several tiles of keys for one of queries; masks that leave tiles out, that cut them, that leave queries
 * without keys; heads that share keys; results of rotated halves; columns that are not all in use. */
static const Form turns[] = {
    {BWD ", mask: causal(pos))", 1, 400, 400, 4, 2, 128, 128, "bf16", false},
    {BWD ", mask: causal(pos))", 2, 300, 300, 2, 1, 64, 64, "f16", false},
    {BWD ", mask: causal(pos) and window(150))", 1, 400, 400, 2, 2, 64, 32, "bf16", false},
    {BWD ", mask: causal(pos) and packed(pos))", 1, 280, 280, 2, 1, 112, 96, "bf16", false},
    {BWD ", mask: causal(pos) and padding(ok))", 2, 260, 260, 2, 1, 48, 64, "f16", false},
    {BWD ", mask: (b, t, u) => u < t - 150)", 1, 330, 330, 1, 1, 128, 64, "bf16", false},
    {BWD ", mask: causal(pos), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.1 * (t - u))", 1, 300,
     300, 2, 2, 128, 128, "bf16", false},
    /* a score that is large where a product is 0, as those of keys past the last one are */
    {BWD ", mask: causal(pos), score: (s, b, h, t, u) => 100 * exp(-1e20 * s * s))", 1, 300, 300, 2,
     2, 64, 64, "bf16", false},
};

/* Tensor cores take weights and their gradients rounded to the operands' type, to a part u of them: a sum of n of
 * them errs by about u sqrt(n) of their size, the largest of some ten thousand sums by 5 times that. Weights add up
 * to at most 1 in the forward; in the backward, where lse is as random as the rest, they and their gradients are
 * around 1. Results are rounded once more. */
static double tolerance(const Form *f)
{
    double u = f->types && strcmp(f->types, "bf16") == 0 ? 0x1p-9 : 0x1p-11;
    int queries = f->t * f->h / f->kv, n = queries > f->s ? queries : f->s;
    return strstr(f->text, "attention_bwd") ? u * (2 + 5 * sqrt(n)) : 4 * u;
}

/* Whether gradients must be those that are added by turns; whether tiles must be drawn. */
static bool by_turns, by_tickets;

static void add_picked(Harness *h, PassCx *cx, const Node *group, const char *name, double tol)
{
    PickConfig found[PICK_MOST];
    const PickConfig *turned = NULL;
    uint32_t n = by_turns ? pick_candidates(cx, node_def(group), "attention_bwd", found) : 0;
    for (uint32_t i = 0; i < n; i++)
        turned = found[i].ints[3] == 2 ? &found[i] : turned;
    assert_true(!by_turns || turned);
    static const int64_t drawing[] = {128, 128, 2, 3, 0};
    const PickConfig tickets = {drawing, COUNT(drawing)};
    add_case_as(h, group, name, tol, by_tickets ? &tickets : turned);
}

/* On a GPU of so many multiprocessors: the fewer, the larger are blocks; 0: of as many as there are. */
static void run_sized(const char *isa, uint32_t cores, const Form *all, size_t n, const char *cls)
{
    Harness *h = harness_new(isa);
    if (cores)
        h->target.cores = cores;
    if (by_tickets)
        h->target.l2 = 1 << 18; /* keys of some heads, not of all */
    Lab labs[MAX_FORMS];
    for (size_t i = 0; i < n; i++) {
        Lab *l = &labs[i];
        *l = lab_open(form_text(h->arena, &all[i]));
        const Graph *g = elaborate(l, &all[i]);
        PassCx *cx = passes_begin(l->ir, l->arena, l->program, &h->target);
        const Graph *fused = passes_run(cx, g, &(PassOptions){.limit = -1});
        assert_non_null(fused);
        const Node *group = group_of(fused, cls);
        if (!group)
            fail_msg("%s: not claimed", all[i].text);
        h->ir = l->ir;
        add_picked(h, cx, group, arena_printf(h->arena, "%s_%zu", cls, i), tolerance(&all[i]));
    }
    harness_run(h);
    for (size_t i = 0; i < n; i++)
        lab_close(&labs[i]);
}

static void run_forms(const char *isa, const Form *all, size_t n, const char *cls)
{
    run_sized(isa, 0, all, n, cls);
}

static void test_forward(void **state)
{
    UNUSED(state);
    run_forms("sm_80", forward, COUNT(forward), "attention");
}

static void test_few(void **state)
{
    UNUSED(state);
    run_forms("sm_80", few, COUNT(few), "attention");
    run_forms("sm_90a", few + 7, 3, "attention");
}

static void test_groups(void **state)
{
    UNUSED(state);
    run_forms("sm_90a", forward + FIRST_NARROW, COUNT(forward) - FIRST_NARROW, "attention");
    run_forms("sm_90a", groups, COUNT(groups), "attention");
}

/* Blocks that take tile after tile, where there are many for each. */
static void test_groups_stay(void **state)
{
    UNUSED(state);
    run_sized("sm_90a", 1, groups, COUNT(groups), "attention");
    run_sized("sm_90a", 1, stay, COUNT(stay), "attention");
}

static void test_groups_draw(void **state)
{
    UNUSED(state);
    by_tickets = true;
    run_sized("sm_90a", 0, drawn, COUNT(drawn), "attention");
    by_tickets = false;
}

static void test_groups_backward(void **state)
{
    UNUSED(state);
    run_forms("sm_90a", backward + FIRST_NARROW, COUNT(backward) - FIRST_NARROW, "attention_bwd");
    run_forms("sm_90a", groups_backward, COUNT(groups_backward), "attention_bwd");
    run_sized("sm_90a", 1, groups_backward, COUNT(groups_backward), "attention_bwd");
}

static void test_turns(void **state)
{
    UNUSED(state);
    by_turns = true;
    run_sized("sm_90a", 1, turns, COUNT(turns), "attention_bwd");
    by_turns = false;
}

static void test_backward(void **state)
{
    UNUSED(state);
    run_forms("sm_80", backward, COUNT(backward), "attention_bwd");
}

/* Rotations back, and what else is made of a gradient's row, in the kernel itself. */
static void test_stored(void **state)
{
    UNUSED(state);
    run_forms("sm_80", stored, 3, "attention_bwd");
    run_forms("sm_90a", stored + 1, 2, "attention_bwd");
}

static void run_sizes(const char *isa, uint32_t cores, const Form *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Harness *h = harness_new(isa);
        h->target.cores = cores ? cores : h->target.cores;
        Lab l = lab_open(form_text(h->arena, &all[i]));
        const Graph *g = elaborate(&l, &all[i]);
        h->ir = l.ir;
        g = with_symbols(h, g);
        PassCx *cx = passes_begin(l.ir, l.arena, l.program, &h->target);
        const Graph *fused = passes_run(cx, g, &(PassOptions){.limit = -1});
        assert_non_null(fused);
        const Node *group =
            group_of(fused, strstr(all[i].text, BWD) ? "attention_bwd" : "attention");
        assert_non_null(group);
        add_picked(h, cx, group, "sizes", tolerance(&all[i]));
        harness_run(h);
        lab_close(&l);
    }
}

static void run_time_sizes(const char *isa, uint32_t cores)
{
    static const Form all[] = {
        {"attention(q, k, v, mask: causal(pos))", 13, 53, 59, 4, 2, 16, 24, "bf16", false},
        {BWD ", mask: padding(ok))", 13, 53, 59, 2, 1, 16, 24, "f16", false},
    };
    run_sizes(isa, cores, all, COUNT(all));
}

/* As many keys as were kept, of one and of more splits. */
static void test_few_of_the_kept(void **state)
{
    UNUSED(state);
    static const Form all[] = {
        {"attention(q, k, v, mask: (b, t, u) => u <= 99 + pos[b, t])", 1, 1, 303, 4, 2, 16, 24,
         NULL, false},
        {"attention(q, k, v)", 2, 11, 303, 4, 2, 16, 24, "bf16", false},
    };
    static const int kept[] = {1, 63, 64, 65, 128, 303, 0};
    for (size_t i = 0; i < COUNT(kept); i++) {
        set_symbol("KEPT", kept[i]);
        set_symbol("FEW", 1 + (int)i * 2 % 12);
        run_sizes("sm_80", 0, all, COUNT(all));
    }
    set_symbol("KEPT", 300);
    set_symbol("FEW", 0);
    run_sizes("sm_80", 0, all + 1, 1);
    set_symbol("FEW", 5);
}

/* Where blocks would wait for each other, there are none; what can take turns can be measured with them, and is
 * usually without. */
static void test_turns_are_chosen(void **state)
{
    UNUSED(state);
    static const Form all[] = {
        {BWD ", mask: causal(pos))", 1, 400, 400, 4, 2, 128, 128, "bf16", false},
        {BWD ")", 1, 400, 400, 4, 2, 128, 128, "bf16", false},
        {BWD ", mask: causal(pos))", 1, 400, 400, 4, 2, 80, 80, "bf16", false},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        Harness *h = harness_new("sm_90a");
        h->target.cores = 1;
        Lab l = lab_open(form_text(h->arena, &all[i]));
        const Graph *g = elaborate(&l, &all[i]);
        PassCx *cx = passes_begin(l.ir, l.arena, l.program, &h->target);
        const Graph *fused = passes_run(cx, g, &(PassOptions){.limit = -1});
        assert_non_null(fused);
        PickConfig found[PICK_MOST];
        const Def *def = node_def(group_of(fused, "attention_bwd"));
        uint32_t n = pick_candidates(cx, def, "attention_bwd", found);
        assert_int_equal(n, i == 0 ? 2 : 1);
        assert_int_equal(found[0].ints[3], i == 0 ? 2 : 1);
        assert_int_equal(found[n - 1].ints[3], 1);
        harness_run(h);
        lab_close(&l);
    }
}

/* Pairs where they come out even, tickets where those would leave blocks idle for some steps; of tiles that all see the
 * same keys none is longer. */
static void test_dealing_is_chosen(void **state)
{
    UNUSED(state);
    static const struct {
        Form form;
        int64_t groups;
    } all[] = {
        {{"attention(q, k, v, mask: causal(pos))", 2, 8192, 8192, 16, 16, 128, 128, "bf16", false},
         3},
        {{"attention(q, k, v, mask: causal(pos))", 1, 2048, 2048, 32, 8, 128, 128, "bf16", false},
         2},
        {{"attention(q, k, v)", 2, 8192, 8192, 16, 16, 128, 128, "bf16", false}, 2},
        {{"attention(q, k, v, mask: causal(pos))", 1, 700, 700, 32, 8, 128, 128, "bf16", false}, 1},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        Harness *h = harness_new("sm_90a");
        Lab l = lab_open(form_text(h->arena, &all[i].form));
        const Graph *g = elaborate(&l, &all[i].form);
        PassCx *cx = passes_begin(l.ir, l.arena, l.program, &h->target);
        const Graph *fused = passes_run(cx, g, &(PassOptions){.limit = -1});
        assert_non_null(fused);
        PickConfig found[PICK_MOST];
        const Def *def = node_def(group_of(fused, "attention"));
        assert_true(pick_candidates(cx, def, "attention", found) >= 1);
        assert_int_equal(found[0].ints[3], all[i].groups);
        harness_run(h);
        lab_close(&l);
    }
}

/* As many queries and keys as there are, none of them too. */
static void run_kept(const Form *f)
{
    static const int kept[] = {0, 1, 129, 303};
    for (size_t i = 0; i < COUNT(kept); i++) {
        set_symbol("KEPT", kept[i]);
        run_sizes("sm_90a", 1, f, 1);
    }
}

static void test_orders_of_sizes(void **state)
{
    UNUSED(state);
    static const Form back = {BWD ", mask: causal(pos))", 1, 303, 303, 2, 1, 64, 64, "bf16", false};
    static const Form f = {
        "attention(q, k, v, mask: causal(pos))", 2, 303, 303, 2, 1, 64, 64, "bf16", false};
    by_turns = true;
    run_kept(&back);
    by_turns = false;
    by_tickets = true;
    run_kept(&f);
    by_tickets = false;
}

static void test_run_time_sizes(void **state)
{
    UNUSED(state);
    run_time_sizes("sm_80", 0);
    run_time_sizes("sm_90a", 0);
    run_time_sizes("sm_90a", 1);
    static const struct {
        const char *name;
        int usual;
    } none[] = {{"B", 2}, {"T", 37}, {"S", 22}};
    for (size_t i = 0; i < COUNT(none); i++) {
        set_symbol(none[i].name, 0);
        run_time_sizes(i % 2 ? "sm_80" : "sm_90a", i == 2);
        run_time_sizes(i % 2 ? "sm_90a" : "sm_80", 0);
        set_symbol(none[i].name, none[i].usual);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_few_of_the_kept),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_groups_backward),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_are_chosen),
        cmocka_unit_test(test_dealing_is_chosen),
        cmocka_unit_test(test_orders_of_sizes),
        cmocka_unit_test(test_groups_stay),
        cmocka_unit_test(test_groups_draw),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_run_time_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

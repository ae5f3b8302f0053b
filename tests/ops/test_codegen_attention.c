/* LIBS: mdl_test_hardware mdl_runtime mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_codegen_attention.c: attention of models/std/ops.mdl, claimed and lowered, against the interpreter
 * on its body: masks, scores, shared heads, odd widths, tails, for every instruction set of this machine. */
#include "attentioncase.h"

static const char *const isas[] = {"avx512", "avx2", "generic"};

static const Form forms[] = {
    {"attention(q, k, v)", 2, 33, 47, 4, 2, 16, 16, NULL, false},
    {"attention(q, k, v)", 1, 64, 64, 2, 2, 32, 32, NULL, false},
    {"attention(q, k, v)", 1, 15, 300, 3, 1, 7, 41, NULL, false},
    {"attention(q, k, v, scale: 0.3)", 1, 40, 8, 1, 1, 70, 5, NULL, false},
    {"attention(q, k, v, mask: causal(pos))", 2, 50, 50, 2, 1, 8, 8, NULL, false},
    {"attention(q, k, v, mask: causal(pos))", 1, 300, 300, 1, 1, 20, 20, NULL, false},
    {"attention(q, k, v, mask: causal(pos) and window(9))", 2, 200, 200, 2, 2, 8, 12, NULL, false},
    {"attention(q, k, v, mask: packed(pos))", 2, 37, 37, 2, 2, 8, 8, NULL, false},
    {"attention(q, k, v, mask: padding(ok))", 2, 21, 150, 2, 1, 16, 16, NULL, false},
    {"attention(q, k, v, mask: causal(pos) and padding(ok))", 2, 140, 140, 2, 1, 16, 16, NULL,
     false},
    {"attention(q, k, v, mask: not causal(pos))", 1, 60, 60, 2, 1, 16, 16, NULL, false},
    {"attention(q, k, v, mask: causal(pos) or padding(ok))", 1, 60, 60, 2, 1, 16, 16, NULL, false},
    {"attention(q, k, v, mask: (b, t, u) => 2 * t + 1 > u + pos[b, t])", 1, 40, 60, 2, 1, 16, 16,
     NULL, false},
    {"attention(q, k, v, mask: (b, t, u) => u < t - 5 and not (u > 3))", 1, 40, 40, 2, 1, 16, 16,
     NULL, false},
    {"attention(q, k, v, mask: (b, t, u) => false)", 1, 20, 20, 2, 1, 16, 16, NULL, true},
    {"attention(q, k, v, mask: causal(pos), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.125 * (h "
     "+ 1) * (t - u))",
     2, 75, 75, 4, 2, 16, 16, NULL, false},
    {"attention(q, k, v, score: (s, b, h, t, u) => silu(s) + w[h])", 2, 75, 75, 4, 2, 16, 16, NULL,
     false},
    {"attention(q, k, v, mask: causal(pos))", 2, 50, 50, 2, 1, 8, 8, "bf16", false},
    {"attention(q, k, v)", 1, 20, 20, 1, 1, 8, 8, "f16", false},
    {"attention(q, k, v)", 1, 1, 200, 1, 1, 8, 8, NULL, true},
};

static const Form backward[] = {
    {BWD ")", 2, 33, 47, 4, 2, 16, 16, NULL, false},
    {BWD ", scale: 0.25)", 1, 150, 20, 3, 1, 7, 41, NULL, false},
    {BWD ", mask: causal(pos))", 2, 130, 130, 2, 1, 8, 40, NULL, false},
    {BWD ", mask: causal(pos) and window(9))", 1, 100, 100, 2, 2, 8, 8, NULL, false},
    {BWD ", mask: padding(ok))", 2, 21, 150, 2, 1, 16, 16, NULL, false},
    {BWD ", mask: causal(pos) or padding(ok))", 1, 40, 40, 2, 1, 16, 16, NULL, false},
    {BWD ", mask: causal(pos), score: (s, b, h, t, u) => 3 * tanh(s / 3) - 0.1 * (t - u))", 2, 75,
     75, 4, 2, 16, 16, NULL, false},
    {BWD ", score: (s, b, h, t, u) => s * s + s)", 1, 20, 20, 2, 2, 16, 16, NULL, false},
    {BWD ", mask: causal(pos))", 2, 50, 50, 2, 1, 8, 8, "bf16", false},
};

/* Kernels beside it. */
static const uint32_t stored_maps[COUNT(stored)] = {1, 0, 1, 1};

static uint32_t count_maps(const Graph *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++)
        n += op_info(g->nodes.at[i]->op)->cls == OC_GROUP &&
             strcmp(node_sym(g->nodes.at[i], "class"), "map") == 0;
    return n;
}

/* Every so many forms: compiling is what takes time. */
static void run_forms(const char *isa, const Form *all, size_t nform, size_t every)
{
    Harness *h = harness_new(isa);
    if (!h)
        return;
    Lab labs[MAX_FORMS];
    for (size_t i = 0; i < nform; i += every) {
        const Form *f = &all[i];
        Lab *l = &labs[i];
        *l = lab_open(form_text(h->arena, f));
        const Graph *g = elaborate(l, f);
        PassCx *cx = passes_begin(l->ir, l->arena, l->program, &h->target);
        const Graph *fused = passes_run(cx, g, &(PassOptions){.limit = -1});
        assert_non_null(fused);
        bool bwd = strstr(f->text, "attention_bwd");
        const Node *group = group_of(fused, bwd ? "attention_bwd" : "attention");
        if (!group != f->open)
            fail_msg("%s: %s", f->text, group ? "claimed" : "not claimed");
        if (!group)
            continue;
        if (all == stored && count_maps(fused) != stored_maps[i])
            fail_msg("%s: %u maps", f->text, count_maps(fused));
        h->ir = l->ir;
        add_case(h, group, arena_printf(h->arena, "attention_%zu", i), 2e-2);
    }
    harness_run(h);
    for (size_t i = 0; i < nform; i += every)
        lab_close(&labs[i]);
}

static void test_forward(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(isas); i++)
        run_forms(isas[i], forms, COUNT(forms), i == 0 ? 1 : 5);
}

static void test_backward(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(isas); i++)
        run_forms(isas[i], backward, COUNT(backward), i == 0 ? 1 : 5);
}

static void test_stored(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(isas); i++)
        run_forms(isas[i], stored, COUNT(stored), 1);
}

/* ---- run-time sizes ---- */

static void run_sizes(void)
{
    static const Form all[] = {
        {"attention(q, k, v, mask: causal(pos))", 13, 53, 59, 4, 2, 16, 24, NULL, false},
        {"attention(q, k, v, mask: padding(ok))", 13, 53, 59, 2, 2, 8, 8, NULL, false},
        {BWD ", mask: causal(pos))", 13, 53, 59, 4, 2, 16, 24, NULL, false},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        Harness *h = harness_new(NULL);
        Lab l = lab_open(form_text(h->arena, &all[i]));
        const Graph *g = elaborate(&l, &all[i]);
        h->ir = l.ir;
        g = with_symbols(h, g);
        PassCx *cx = passes_begin(l.ir, l.arena, l.program, &h->target);
        const Graph *fused = passes_run(cx, g, &(PassOptions){.limit = -1});
        assert_non_null(fused);
        const Node *group = group_of(fused, i < 2 ? "attention" : "attention_bwd");
        assert_non_null(group);
        add_case(h, group, "sizes", 2e-2);
        harness_run(h);
        lab_close(&l);
    }
}

/* Also of nothing. */
static void test_run_time_sizes(void **state)
{
    UNUSED(state);
    static const struct {
        const char *name;
        int usual;
    } none[] = {{"B", 2}, {"T", 37}, {"S", 22}};
    run_sizes();
    for (size_t i = 0; i < COUNT(none); i++) {
        set_symbol(none[i].name, 0);
        run_sizes();
        set_symbol(none[i].name, none[i].usual);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_run_time_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_meet.c: where rows of the batch meet, so that `micro = auto` may not cut it: functions of x [8, 3, 4]. */
#include "elabcase.h"

#define PROGRAM                                                           \
    "%s\n"                                                                \
    "module Net(D) {\n"                                                   \
    "  fc: Linear(4, D)\n"                                                \
    "  conv: Conv1d(3, 3, 3, padding: 1)\n"                               \
    "  wte: Embedding(5, D)\n"                                            \
    "  param wide: f32[8, 3, 4] ~ zeros\n"                                \
    "  param place: f32[3, 4] ~ zeros\n"                                  \
    "  buffer seen: f32[4] ~ zeros\n"                                     \
    "  fn forward(x: f32[B, 3, 4], y: i32[B]) %s%s\n"                     \
    "}\n"                                                                 \
    "model net = Net(4)\n"                                                \
    "data points {\n"                                                     \
    "  source = npz(\"t.npz\", x: \"x\", y: \"y\")\n"                     \
    "  x: f32[3, 4] = row => row.x\n"                                     \
    "  y: i32 = row => row.y\n"                                           \
    "}\n"                                                                 \
    "train net {\n"                                                       \
    "  data = points ; lr = 0.1 ; batch = 8 ; micro = auto ; steps = 1\n" \
    "  loss = b => %s\n"                                                  \
    "}\n"

typedef struct Case {
    const char *before, *forward, *loss;
} Case;

static bool meet_in(const Case *c)
{
    char text[4000];
    const char *forward = c->forward ? c->forward : "fc(x)";
    snprintf(text, sizeof text, PROGRAM, c->before ? c->before : "", *forward == '{' ? "" : "= ",
             forward, c->loss ? c->loss : "mean(net(b.x, b.y))");
    Lab l = lab_open(text);
    if (!l.front)
        fail_msg("%s", text);
    PlanBuilder *b = planb_new(l.arena);
    Program *p = front_stage(l.front, NULL, b);
    if (!p)
        fail_msg("%s\n%s\n%s", c->forward ? c->forward : "", c->loss ? c->loss : "",
                 lab_reports(&l));
    assert_int_equal(p->divides, 8);
    bool meet = p->meet != NULL;
    Program *halves = meet ? NULL : front_stage_rows(l.front, NULL, 4, planb_new(l.arena));
    assert_true(meet || (halves && halves->accumulates));
    lab_close(&l);
    return meet;
}

static void rows_that_stay_apart(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {.forward = "fc(x)"},
        {.forward = "fc(x + place)"},
        {.forward = "conv(x)"},
        {.forward = "layer_norm(fc(x), place[0], 0, 1e-5)"},
        {.forward = "softmax(fc(x as [B * 3, 4]))"},
        {.forward = "(fc(x) as [B, 3, 2, 2]) as [B * 12]"},
        {.forward = "(x + place) as [B * 3, 4]"},
        {.forward = "wte(y)"},
        {.forward = "dropout(fc(x), 0.5)"},
        {.forward = "cumsum(fc(x), axis: 1)"},
        {.forward = "sort(fc(x))"},
        {.forward = "fold((h, r) => 0.5 * h + r, x[:, 0], swap(fc(x)))",
         .before = "fn swap(x: [A, C, D]) -> [C, A, D] { y[c, a, d] = x[a, c, d] ; y }"},
        {.forward = "attention(x as [B, 3, 2, 2], fc(x) as [B, 3, 2, 2], x as [B, 3, 2, 2], mask: "
                    "(b, t, u) => u <= t)"},
        {.loss = "cross_entropy(net(b.x, b.y)[:, 0], b.y, mask: b.y != 1)"},
        {.loss =
             "cross_entropy(net(b.x, b.y)[:, 0], b.y, mask: b.y != 1) + 0.1 * mean(net(b.x, b.y))"},
        {.loss = "accuracy(net(b.x, b.y)[:, 0], b.y) + mean(net(b.x, b.y))"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (meet_in(&cases[i]))
            fail_msg("%s: %s", cases[i].forward ? cases[i].forward : "",
                     cases[i].loss ? cases[i].loss : "");
}

static void rows_that_meet(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {.forward = "fc(x) - mean(fc(x), axis: 0)"},
        {.forward = "fc(x) / amax(fc(x), axis: all)"},
        {.forward = "fc(x)[permutation(B)]"},
        {.forward = "fc(x) + wide"},
        {.forward = "fc(x)[:, 0, 0] * f32(iota(B))"},
        {.forward = "cumsum(fc(x), axis: 0)"},
        {.forward = "roll(fc(x), 1, axis: 0)"},
        {.forward = "softmax(fc(x)[:, 0, 0])"},
        {.forward = "concat(fc(x), fc(x), axis: 0)"},
        {.forward = "einsum(fc(x)[:, 0])",
         .before = "fn einsum(x: [B, D]) -> [B, B] { y[b, c] += x[b, d] * x[c, d] ; y }"},
        {.loss = "mean(sum(net(b.x, b.y), axis: all))"},
        {.loss = "mean(net(b.x, b.y)) * sum(b.x, axis: all)"},
        {.forward = "{ seen.set(mean(x, axis: (0, 1))) ; fc(x) }"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (!meet_in(&cases[i]))
            fail_msg("%s: %s", cases[i].forward ? cases[i].forward : "",
                     cases[i].loss ? cases[i].loss : "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_stay_apart),
        cmocka_unit_test(rows_that_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static bool meet_in_program(const char *text, bool packed)
{
    Lab l = lab_open(text);
    if (!l.front)
        fail_msg("%s", text);
    PlanBuilder *b = planb_new(l.arena);
    Program *p = front_stage(l.front, NULL, b);
    if (!p)
        fail_msg("%s\n%s", text, lab_reports(&l));
    assert_int_equal(p->divides, 8);
    assert_int_equal(p->packed, packed);
    bool meet = p->meet != NULL;
    Program *less =
        meet ? NULL : front_stage_rows(l.front, NULL, packed ? 3 : 4, planb_new(l.arena));
    assert_true(meet || (less && less->accumulates));
    lab_close(&l);
    return meet;
}

static bool meet_in(const Case *c)
{
    char text[4000];
    const char *forward = c->forward ? c->forward : "fc(x)";
    snprintf(text, sizeof text, PROGRAM, c->before ? c->before : "", *forward == '{' ? "" : "= ",
             forward, c->loss ? c->loss : "mean(net(b.x, b.y))");
    return meet_in_program(text, false);
}

/* ---- texts and their pictures ---- */

#define TALKS                                                                                      \
    "template talk { begin = [bos] ; user = [image, content] ; assistant = [learn(content)] }\n"   \
    "let mid = [0.5, 0.5, 0.5]\n"                                                                  \
    "data talks {\n"                                                                               \
    "  source = conversations(\"t.json\", images: \"p\")\n"                                        \
    "  tokenizer = hf(\"t\", pad: \"<unk>\") ; template = talk ; length = 64 ; pack = %s\n"        \
    "  image = img => img |> resize(8) |> normalize(mid, mid)\n"                                   \
    "}\n"                                                                                          \
    "module Reader(V, D) {\n"                                                                      \
    "  embed: Embedding(V, D)\n"                                                                   \
    "  see:   Conv2d(3, D, kernel: 4, stride: 4, bias: none)\n"                                    \
    "  head:  Linear(D, V)\n"                                                                      \
    "  fn seen(images: f32[N, 3, 8, 8]) -> [N, 4, D] = (see(images) as [N, D, 4]) |> turn\n"       \
    "  fn forward(tokens: i32[B, T], images: f32[N, 3, 8, 8], slots: bool[B, T]) -> [B, T, V] =\n" \
    "    %s |> head\n"                                                                             \
    "}\n"                                                                                          \
    "fn turn(x: [N, D, P]) -> [N, P, D] { y[n, p, d] = x[n, d, p] ; y }\n"                         \
    "model reader = Reader(1000, 16)\n"                                                            \
    "train reader {\n"                                                                             \
    "  data = talks ; lr = 1e-3 ; batch = 8 ; micro = auto ; steps = 1\n"                          \
    "  loss = b => cross_entropy(reader(b.tokens, b.images, b.slots), b.targets, mask: b.learn)\n" \
    "}\n"

static void pictures_go_with_their_rows(void **state)
{
    UNUSED(state);
    static const struct {
        const char *forward;
        bool meet;
    } cases[] = {
        {"embed(tokens) |> place(seen(images), at: slots)", false},
        {"embed(tokens) |> place(seen(images) as [N * 4, D], at: slots)", false},
        {"embed(tokens) |> place(softmax(seen(images)), at: slots)", false},
        {"embed(tokens) |> place(seen(images) - mean(seen(images), axis: 0), at: slots)", true},
        {"embed(tokens) |> place(cumsum(seen(images), axis: 0), at: slots)", true},
        {"embed(tokens) |> place(seen(images), at: cumsum(i32(slots), axis: 0) > 0)", true},
        {"embed(cumsum(tokens, axis: 0)) |> place(seen(images), at: slots)", true},
        {"embed(tokens) + sum(seen(images), axis: all)", true},
    };
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        char text[4000];
        bool packed = i & 1;
        snprintf(text, sizeof text, TALKS, packed ? "true" : "false", cases[i / 2].forward);
        if (meet_in_program(text, packed) != cases[i / 2].meet)
            fail_msg("%s, packed: %d", cases[i / 2].forward, packed);
    }
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
        cmocka_unit_test(pictures_go_with_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

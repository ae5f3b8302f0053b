/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_texts.c: language models on texts of rows: packed rows learn what the same texts learn by themselves,
 * attention never crosses, and runs on text go on with the same bits from every step, averages included. */
#include "tool.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { STEPS = 4, TEXTS = 23, LENGTH = 24 };

/* ---- texts ---- */

/* Text i: 0 to 30 letters of four. */
static size_t text_of(int i, char *out)
{
    size_t n = (size_t)(i * i * 7 + i) % 31;
    for (size_t k = 0; k < n; k++)
        out[k] = "abcd"[hash_mix((uint64_t)i, k) % 4];
    out[n] = '\0';
    return n;
}

static void write_texts(Tool *tool)
{
    StrBuf sb = sb_new(tool->arena);
    for (int i = 0; i < TEXTS; i++) {
        char text[40];
        text_of(i, text);
        sb_printf(&sb, "{\"t\": \"%s\"}\n", text);
    }
    tool_write(tool, "d.jsonl", sb_text(&sb));
}

/* Two texts fill a row; the second ones are of these two letters. */
static void write_pairs(Tool *tool, const char *letters)
{
    StrBuf sb = sb_new(tool->arena);
    for (int i = 0; i < TEXTS / 2; i++) {
        char text[13];
        for (int k = 0; k < 12; k++)
            text[k] = letters[k % 2];
        text[12] = '\0';
        sb_printf(&sb, "{\"t\": \"abcabcab%c%c\"}\n{\"t\": \"%s\"}\n", 'a' + i % 4, 'a' + i % 3,
                  text);
    }
    tool_write(tool, "d.jsonl", sb_text(&sb));
}

#define DATA(attributes)                                       \
    "data d {\n  source = jsonl(\"d.jsonl\")\n  length = 24\n" \
    "  tokenizer = bytes(special: [\"<eos>\"])\n" attributes "  said: text = row => row.t\n}\n"
#define LOSS "b => cross_entropy(m(b.said.tokens, b.said.pos), b.said.targets, mask: b.said.learn)"

static double metric(Tool *tool, const char *name)
{
    json_t *root = json_loads(GOOD(tool, "eval", "p.mdl", "e", "--json", "-q"), 0, NULL);
    assert_non_null(root);
    json_t *value = json_object_get(json_object_get(root, "metrics"), name);
    assert_true(json_is_real(value));
    double v = json_real_value(value);
    json_decref(root);
    return v;
}

/* ---- against numbers that a loop over the texts gives ---- */

/* The query is 0, so attention is the mean of what is seen, and the score of a token is its share among
 * those so far: any token of another text that is seen, and any wrong position, changes the loss. */
#define SHARES                                                            \
    "module Shares(V) {\n  param w: [V, V] ~ eye()\n"                     \
    "  fn forward(tokens: i32[B, T], pos: i32[B, T]) -> [B, T, V] {\n"    \
    "    x = w[tokens] as [B, T, 1, V]\n"                                 \
    "    seen = attention(0 * x, x, x, mask: causal(pos)) as [B, T, V]\n" \
    "    z[b, t, v] = seen[b, t, v] +\n"                                  \
    "      select(tokens[b, t] == v, 0.01 * pos[b, t], 0)\n"              \
    "    z\n  }\n}\nmodel m = Shares(257)\n"
#define TRAIN_AT(lr, steps)                                                              \
    "train m {\n  data = d\n  loss = " LOSS "\n  lr = " lr "; batch = 5; steps = " steps \
    "; log = 1\n"

typedef struct Sum {
    double loss, weight;
} Sum;

static void add_text(Sum *sum, const char *text, size_t n)
{
    double seen[257] = {0};
    size_t all = n + 1 < LENGTH ? n + 1 : LENGTH; /* with <eos>, where it fits */
    for (size_t t = 0; t + 1 < all; t++) {
        size_t token = (unsigned char)text[t], next = t + 1 < n ? (unsigned char)text[t + 1] : 256;
        double z[257], total = 0;
        seen[token]++;
        for (size_t v = 0; v < 257; v++) {
            z[v] = seen[v] / (double)(t + 1) + (v == token ? 0.01 * (double)t : 0);
            total += exp(z[v]);
        }
        sum->loss += log(total) - z[next];
        sum->weight++;
    }
}

static double plain_loss(void)
{
    Sum sum = {0};
    for (int i = 0; i < TEXTS; i++) {
        char text[40];
        size_t n = text_of(i, text);
        add_text(&sum, text, n);
    }
    return sum.loss / sum.weight;
}

static void packed_is_each_alone(void **state)
{
    Tool *tool = *state;
    double want = plain_loss();
    write_texts(tool);
    static const char *const data[] = {DATA(""), DATA("  pack = false\n"), DATA("  workers = 3\n")};
    for (size_t i = 0; i < COUNT(data); i++) {
        tool_write(tool, "p.mdl",
                   arena_printf(tool->arena,
                                SHARES
                                "%s" TRAIN_AT("0", "1") "}\neval e {\n  data = d; batch = 9\n"
                                                        "  metric loss = " LOSS "\n}\n",
                                data[i]));
        GOOD(tool, "train", "p.mdl", "-q");
        double got = metric(tool, "loss");
        if (!(fabs(got - want) < 1e-5))
            fail_msg("%g instead of %g", got, want);
    }
}

#define LOSS_OF(seg)                                                    \
    "b => cross_entropy(m(b.said.tokens, b.said.pos), b.said.targets, " \
    "mask: b.said.learn and b.said.seg == " seg ")"

/* What a text learns has the same bits whatever stands beside it in its row. */
static void attention_does_not_cross(void **state)
{
    Tool *tool = *state;
    double first[2], second[2];
    tool_write(tool, "p.mdl",
               SHARES DATA("")
                   TRAIN_AT("0", "1") "}\neval e {\n  data = d; batch = 8\n  metric "
                                      "first = " LOSS_OF("0") "\n  metric second "
                                                              "= " LOSS_OF("1") "\n}\n");
    for (int i = 0; i < 2; i++) {
        write_pairs(tool, i ? "bc" : "dd");
        GOOD(tool, "train", "p.mdl", "-q", "--max-steps", "1");
        first[i] = metric(tool, "first");
        second[i] = metric(tool, "second");
    }
    assert_true(first[0] == first[1]);
    assert_true(second[0] < second[1]); /* one letter is easier to guess */
}

/* ---- training ---- */

#define GPT                                                                          \
    "module Net(V, D, T) {\n  wte: Embedding(V, D)\n  wpe: Embedding(T, D)\n"        \
    "  qkv: Linear(D, 3 * D)\n  head: Linear(D, V)\n"                                \
    "  fn forward(tokens: i32[B, T], pos: i32[B, T]) -> [B, T, V] {\n"               \
    "    x = wte(tokens) + wpe(pos)\n    q, k, v = split(qkv(x), 3, axis: -1)\n"     \
    "    q = q as [B, T, 2, D / 2]\n    k = k as [B, T, 2, D / 2]\n"                 \
    "    v = v as [B, T, 2, D / 2]\n"                                                \
    "    x + (attention(q, k, v, mask: causal(pos)) as [B, T, D]) |> head\n  }\n}\n" \
    "model m = Net(257, 8, 24)\n"
#define AVERAGED "  ema = 0.7\n  every 1 steps: save(keep: 20)\n}\n"

static const char *const kept[] = {"weights.safetensors", "state.safetensors"};

static const char *file_of(Tool *tool, const char *run, int step, const char *name)
{
    return arena_printf(tool->arena, "%s/checkpoints/step-%d/%s", run, step, name);
}

static void check_same(Tool *tool, const char *run, int step)
{
    for (size_t k = 0; k < COUNT(kept); k++) {
        Bytes a = tool_read(tool, file_of(tool, "whole", step, kept[k]));
        Bytes b = tool_read(tool, file_of(tool, run, step, kept[k]));
        assert_true(a.n > 0);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.data, b.data, a.n);
    }
}

static void check_near(Tool *tool, const char *run)
{
    StFile *a = tool_tensors(tool, file_of(tool, "whole", STEPS, kept[0]));
    StFile *b = tool_tensors(tool, file_of(tool, run, STEPS, kept[0]));
    for (uint32_t i = 0; i < a->n; i++) {
        const StTensor *x = &a->tensors[i], *y = st_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(st_count(x), st_count(y));
        for (size_t k = 0; k < st_count(x); k++)
            if (!(fabs(st_load(x, k) - st_load(y, k)) < 2e-5))
                fail_msg("%s: %s[%zu]: %g, %g", run, x->name, k, st_load(x, k), st_load(y, k));
    }
    st_close(a);
    st_close(b);
}

/* How rows are filled and in how many passes changes the order of sums at most: of the zoo's models, too,
 * with learned and with rotary positions. */
static void packing_changes_nothing(void **state)
{
    Tool *tool = *state;
    static const char *const ways[][2] = {{"data.d.pack=false", "train.lr=0.01"},
                                          {"train.micro=2", "data.d.workers=4"}};
    static const char *const models[] = {
        "import gpt2: GPT2\nmodel m = GPT2(V: 257, D: 8, L: 1, H: 2, Ctx: 24)\n",
        "import llama: Llama\nmodel m = Llama(V: 257, D: 8, L: 1, H: 2, KV: 1, F: 12)\n"};
    tool_find_models(tool);
    write_texts(tool);
    for (size_t k = 0; k < COUNT(models); k++) {
        tool_write(tool, "p.mdl",
                   arena_printf(tool->arena, "%s%s", models[k],
                                DATA("  pack = true\n")
                                    TRAIN_AT("0.01", "4") "  optimizer = sgd()\n" AVERAGED));
        GOOD(tool, "train", "p.mdl", "--run", "whole", "-q", "--threads", "1");
        GOOD(tool, "train", "p.mdl", "--run", "again", "-q", "--threads", "2", "--set",
             "data.d.workers=3");
        check_same(tool, "again", STEPS);
        for (size_t i = 0; i < COUNT(ways); i++) {
            const char *run = ways[i][0];
            GOOD(tool, "train", "p.mdl", "--run", run, "-q", "--set", run, "--set", ways[i][1]);
            check_near(tool, run);
            file_remove_tree(tool_path(tool, run), NULL);
        }
        file_remove_tree(tool_path(tool, "whole"), NULL);
        file_remove_tree(tool_path(tool, "again"), NULL);
    }
}

static void resume_from_every_step(Tool *tool)
{
    GOOD(tool, "train", "p.mdl", "--run", "whole", "-q");
    for (int step = 1; step < STEPS; step++) {
        const char *run = arena_printf(tool->arena, "part%d", step);
        const char *to = arena_printf(tool->arena, "%d", step);
        GOOD(tool, "train", "p.mdl", "--run", run, "-q", "--max-steps", to);
        check_same(tool, run, step);
        GOOD(tool, "train", "p.mdl", "--run", run, "-q");
        check_same(tool, run, STEPS);
    }
}

/* Texts of two files, which share rows. */
static void packed_runs_resume(void **state)
{
    Tool *tool = *state;
    write_texts(tool);
    tool_write(tool, "d.csv", "t,u\nabc,d\n\"\"\"ab\"\"\ncd\",\n,dcba\n");
    tool_write(tool, "p.mdl",
               GPT DATA("  overlong = drop\n") "data c {\n  source = pairs(\"d.csv\")\n"
                                               "  tokenizer = bytes(special: [\"<eos>\"])\n"
                                               "  said: text[24] = row => row.u + row.t\n}\n"
                                               "data e {\n  source = mix((d, 0.6), (c, 0.4))\n"
                                               "  workers = 2\n}\n"
                                               "train m {\n  data = e\n  loss = " LOSS
                                               "\n  lr = 0.01; batch = 5; steps = 4\n" AVERAGED);
    resume_from_every_step(tool);
}

static void windows_of_text_resume(void **state)
{
    Tool *tool = *state;
    StrBuf sb = sb_new(tool->arena);
    for (int i = 0; i < TEXTS; i++) {
        char text[40];
        text_of(i, text);
        sb_puts(&sb, text);
    }
    tool_write(tool, "d.txt", sb_text(&sb));
    tool_write(tool, "p.mdl",
               GPT "data d {\n  source = text(\"d.txt\", to: 90%, stride: 5)\n  length = 24\n"
                   "  tokenizer = bytes(special: [\"<eos>\"]); workers = 2\n}\n"
                   "train m {\n  data = d\n  loss = b => cross_entropy(m(b.tokens, b.pos), "
                   "b.targets, mask: b.learn)\n  lr = 0.01; batch = 5; steps = 4\n" AVERAGED);
    resume_from_every_step(tool);
}

/* ---- mdl data ---- */

static void data_is_shown(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "d.jsonl",
               "{\"t\": \"ab\\ncd\", \"x\": [1, 2]}\n{\"t\": \"0123456789\", \"x\": [3, 4]}\n"
               "{\"t\": \"abcdefghijklmnopqrstuvwxyz\", \"x\": [5, 1e300]}\n");
    tool_write(tool, "p.mdl", GPT DATA("  shuffle = false\n") TRAIN_AT("0.01", "1") "}\n");
    const char *stats = GOOD(tool, "data", "stats", "p.mdl");
    check_has(stats, "data d: 3 samples, 5 in a batch\n");
    check_has(stats, "1 of 3 texts are cut: they have up to 27 tokens\n");
    check_has(stats, "said         41 tokens, 38 learned\n");
    check_has(stats, "3 texts of 6 to 24 tokens, mean 13.7\n");
    check_has(stats, "2 rows of 24 tokens, 85.4 % full\n");
    const char *shown = GOOD(tool, "data", "show", "p.mdl", "d", "--samples", "1");
    check_has(shown, "sample 0, row 0\n  said.tokens  6 tokens, 5 learned: ab\\ncd<eos>\n");
    check_lacks(shown, "sample 1");
    check_has(GOOD(tool, "data", "show", "p.mdl", "--color", "always"),
              "learned: a\033[1;32mb\\ncd<eos>\033[0m\n");
    check_has(GOOD(tool, "data", "stats", "p.mdl", "--json"), "\"tokens\":41,\"learned\":38");
    tool_write(tool, "p.mdl",
               GPT DATA("") "train m {\n  data = d\n  loss = " LOSS "\n  lr = 0.01; batch = 5\n"
                            "  tokens = 380\n}\n");
    GOOD(tool, "train", "p.mdl", "--run", "r", "-q"); /* 380 / (5 x 38 / 3) steps */
    assert_true(file_exists(tool_path(tool, file_of(tool, "r", 6, kept[0]))));
    tool_write(tool, "p.mdl",
               GPT DATA("  pack = false\n  x: f32[2] = row => row.x\n")
                   TRAIN_AT("0.01", "1") "}\n");
    check_has(GOOD(tool, "data", "stats", "p.mdl"),
              "x            f32[2]  least 1, mean 3, most 5  1 not finite\n");
    Outcome o = RUN(tool, "data", "show", "p.mdl", "dd");
    check_code(&o, 2);
    check_has(o.err, "no train or eval block uses data `dd`");
    o = RUN(tool, "data", "p.mdl");
    check_code(&o, 2);
    tool_write(tool, "d.jsonl", "{\"t\": 1, \"x\": [1, 2]}\n{\"t\": \"a\", \"x\": 1}\n");
    o = RUN(tool, "data", "stats", "p.mdl");
    check_code(&o, 4);
    check_has(o.err, "row 1 (");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_TOOL(test) cmocka_unit_test_setup_teardown(test, tool_setup, tool_teardown)
        WITH_TOOL(packed_is_each_alone),    WITH_TOOL(attention_does_not_cross),
        WITH_TOOL(packing_changes_nothing), WITH_TOOL(packed_runs_resume),
        WITH_TOOL(windows_of_text_resume),  WITH_TOOL(data_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

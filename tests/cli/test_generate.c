/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_generate.c: `mdl generate`: the text of tiny models is the one that Transformers writes, and the one that
 * follows from the scores of the whole text at once; a full context, seeds, runs, and what it refuses. */
#include "tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define GPT2              \
    "import gpt2: GPT2\n" \
    "model m = GPT2(V: 256, D: 16, L: 2, H: 2, Ctx: 96)\n"
#define LLAMA               \
    "import llama: Llama\n" \
    "model m = Llama(V: 256, D: 16, L: 2, H: 4, KV: 2, F: 24)\n"
#define GREEDY "generate g { model = m ; tokenizer = bytes() ; max_tokens = 80"

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_find_models(*state);
    return 0;
}

static const char *recorded(Tool *tool, const char *name)
{
    return arena_printf(tool->arena, "%s/tests/recorded/generate_%s.safetensors", MDL_SOURCE_DIR,
                        name);
}

/* Prompt and text, as they were recorded; suffix: "" or "_bf16". */
static Bytes recorded_text(Tool *tool, const char *name, const char *suffix, size_t *prompt)
{
    Err err = {0};
    StFile *file = st_open(recorded(tool, name), &err);
    if (!file)
        fail_msg("%s", err.text);
    const StTensor *a = st_find(file, arena_printf(tool->arena, "prompt%s", suffix));
    const StTensor *b = st_find(file, arena_printf(tool->arena, "text%s", suffix));
    StrBuf sb = sb_new(tool->arena);
    sb_putn(&sb, a->data, a->bytes);
    sb_putn(&sb, b->data, b->bytes);
    *prompt = a->bytes;
    st_close(file);
    return (Bytes){sb.text, sb.n};
}

static Bytes whole_text(Tool *tool, const char *name, size_t *prompt)
{
    return recorded_text(tool, name, "", prompt);
}

static const char *prompt_of(Tool *tool, Bytes text, size_t n)
{
    return arena_strndup(tool->arena, text.data, n);
}

static const struct {
    const char *name, *program;
} models[] = {{"gpt2", GPT2}, {"llama", LLAMA}};

/* Bytes may be any, so the streams are compared as far as they go without a NUL. */
static void expect_text(const char *out, Bytes want)
{
    size_t n = strlen(out);
    assert_true(n > 20 && n <= want.n + 1);
    assert_memory_equal(out, want.data, n < want.n ? n : want.n);
}

static void expect_as_transformers(Tool *tool, const char *device)
{
    for (size_t i = 0; i < COUNT(models); i++) {
        size_t n;
        Bytes text = whole_text(tool, models[i].name, &n);
        tool_write(tool, "a.mdl",
                   arena_printf(tool->arena, "%s" GREEDY " ; context = 96 }\n", models[i].program));
        const char *out =
            GOOD(tool, "generate", "a.mdl", "--weights", recorded(tool, models[i].name), "--prompt",
                 prompt_of(tool, text, n), "--device", device);
        expect_text(out, text);
    }
}

static void test_as_transformers(void **state)
{
    expect_as_transformers(*state, "cpu");
}

static void test_as_transformers_on_a_gpu(void **state)
{
    expect_as_transformers(*state, "simt");
}

/* The largest score is always ahead by more than what depends on where values are rounded, so f16 writes the
 * same. */
static void test_as_torch_in_16_bits(void **state)
{
    static const char *const types[] = {"bf16", "f16"}, *const devices[] = {"cpu", "simt"};
    Tool *tool = *state;
    size_t n;
    Bytes text = recorded_text(tool, "llama", "_bf16", &n);
    for (size_t i = 0; i < COUNT(types); i++) {
        tool_write(tool, "a.mdl",
                   arena_printf(tool->arena, LLAMA GREEDY " ; context = 96 ; precision = %s }\n",
                                types[i]));
        const char *graphs = GOOD(tool, "dump", "a.mdl", "--block", "g", "--graph");
        check_has(graphs, arena_printf(tool->arena, "param \"lm_head.weight\" %s[", types[i]));
        check_has(graphs, arena_printf(tool->arena, "keys\" %s[", types[i]));
        size_t ndevice = i == 0 ? COUNT(devices) : 1; /* kernels of another type take time */
        for (size_t d = 0; d < ndevice; d++)
            expect_text(GOOD(tool, "generate", "a.mdl", "--weights", recorded(tool, "llama"),
                             "--prompt", prompt_of(tool, text, n), "--max-tokens", "24", "--device",
                             devices[d]),
                        text);
    }
}

/* Without anything kept: each byte is the best after all before it. */
static void test_as_recomputed(void **state)
{
    Tool *tool = *state;
    for (size_t i = 0; i < COUNT(models); i++) {
        size_t n;
        Bytes text = whole_text(tool, models[i].name, &n);
        int32_t *ids = NEW_ARRAY(tool->arena, int32_t, text.n),
                *pos = NEW_ARRAY(tool->arena, int32_t, text.n);
        for (size_t k = 0; k < text.n; k++) {
            ids[k] = (unsigned char)text.data[k];
            pos[k] = (int32_t)k;
        }
        const StTensor in[] = {{.name = "tokens",
                                .dtype = DT_I32,
                                .rank = 2,
                                .dim = {1, (int64_t)text.n},
                                .data = ids,
                                .bytes = text.n * sizeof *ids},
                               {.name = "pos",
                                .dtype = DT_I32,
                                .rank = 2,
                                .dim = {1, (int64_t)text.n},
                                .data = pos,
                                .bytes = text.n * sizeof *pos}};
        Err err = {0};
        assert_true(st_write(tool_path(tool, "in.safetensors"), in, 2, NULL, &err));
        tool_write(tool, "a.mdl", models[i].program);
        GOOD(tool, "call", "a.mdl", "m", "--weights", recorded(tool, models[i].name), "--in",
             "in.safetensors", "--out", "out.safetensors");
        StFile *out = tool_tensors(tool, "out.safetensors");
        const StTensor *scores = st_find(out, "out");
        for (size_t k = n - 1; k + 1 < text.n; k++) {
            size_t best = 0;
            for (size_t v = 1; v < 256; v++)
                if (st_load(scores, k * 256 + v) > st_load(scores, k * 256 + best))
                    best = v;
            assert_int_equal(best, ids[k + 1]);
        }
        st_close(out);
    }
}

/* Before the context is full the text is the same; then it goes on from its last half. */
static void test_small_context(void **state)
{
    Tool *tool = *state;
    size_t n;
    Bytes text = whole_text(tool, "gpt2", &n);
    tool_write(tool, "a.mdl", GPT2 GREEDY " ; context = 20 }\n");
    const char *out = GOOD(tool, "generate", "a.mdl", "--weights", recorded(tool, "gpt2"),
                           "--prompt", prompt_of(tool, text, n), "--max-tokens", "8");
    assert_int_equal(strlen(out), n + 8 + 1);
    assert_memory_equal(out, text.data, n + 8);
    out = GOOD(tool, "generate", "a.mdl", "--weights", recorded(tool, "gpt2"), "--prompt",
               prompt_of(tool, text, 60), "--max-tokens", "50"); /* longer than the context */
    assert_true(strlen(out) > 62);
}

static const char *drawn(Tool *tool, const char *sampling, const char *seed)
{
    tool_write(
        tool, "a.mdl",
        arena_printf(tool->arena, LLAMA GREEDY " ; sampling = %s ; context = 96 }\n", sampling));
    return GOOD(tool, "generate", "a.mdl", "--weights", recorded(tool, "llama"), "--prompt", "abc",
                "--seed", seed);
}

static void test_sampling(void **state)
{
    Tool *tool = *state;
    const char *greedy = drawn(tool, "greedy()", "1"), *one = drawn(tool, "sample()", "1");
    assert_string_equal(greedy, drawn(tool, "greedy()", "2"));
    assert_string_not_equal(greedy, one);
    assert_string_equal(one, drawn(tool, "sample()", "1"));
    assert_string_not_equal(one, drawn(tool, "sample()", "2"));
    assert_string_equal(greedy, drawn(tool, "sample(top_k: 1)", "3"));
    assert_string_equal(greedy, drawn(tool, "sample(top_p: 0.0001)", "3"));
    assert_string_equal(greedy, drawn(tool, "sample(min_p: 1)", "3"));
    assert_string_equal(greedy, drawn(tool, "sample(temperature: 0)", "3"));
    assert_string_not_equal(greedy, drawn(tool, "sample(0.9, 50, top_p: 0.9, min_p: 0.01)", "3"));
}

/* The newest checkpoint of the run; by the program, or by the folder of the run. */
static void test_of_a_run(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl",
               GPT2 "data d { source = text(\"a.txt\") ; tokenizer = bytes() ; length = 16 }\n"
                    "train m {\n"
                    "  data = d ; loss = b => cross_entropy(m(b.tokens, b.pos), b.targets)\n"
                    "  lr = 1e-2 ; batch = 4 ; steps = 150\n"
                    "  every 100 steps: sample(g, \"ab\")\n"
                    "}\n" GREEDY " }\n");
    tool_write(tool, "a.txt",
               "abababababababababababababababababababababababababababababababababab");
    Outcome o = RUN(tool, "generate", "a.mdl", "g");
    check_code(&o, 3);
    check_has(o.err, "no checkpoint in runs/a-");
    GOOD(tool, "train", "a.mdl", "--run", "run");
    const char *log = tool_read(tool, "run/run.jsonl").data;
    check_has(log, "{\"event\":\"sample\",\"step\":100,\"sample\":\"g\",\"prompt\":\"ab\",");
    check_has(log, "\"step\":150,\"sample\":\"g\",\"prompt\":\"ab\",\"text\":\"abababab");
    const char *out = GOOD(tool, "generate", "a.mdl", "g", "--run", "run", "--prompt", "abab",
                           "--max-tokens", "12");
    assert_string_equal(out, "abababababababab\n");
    assert_string_equal(out,
                        GOOD(tool, "generate", "run", "--prompt", "abab", "--max-tokens", "12"));
}

/* What cannot be run can be looked at. */
static void test_looked_at(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "a.mdl",
               LLAMA GREEDY
               " }\n"
               "template turns { user = [content] ; assistant = [learn(content)] }\n"
               "chat talk { model = m ; tokenizer = hf(\"a/b\") ; template = turns }\n");
    check_has(GOOD(tool, "dump", "a.mdl", "--block", "talk", "--groups"), "entry decode");
    check_has(GOOD(tool, "dump", "a.mdl", "--block", "g", "--steps"), "decode:\n");
    check_has(GOOD(tool, "why", "a.mdl", "--block", "talk", "norm"), "norm");
    check_has(GOOD(tool, "compile", "a.mdl", "--block", "talk", "--device", "cuda", "--arch",
                   "sm_80", "-o", "out"),
              "out/plans/talk.plan");
    check_has(GOOD(tool, "dump", "out/plans/talk.plan", "--source"), "MDL_GPU_KERNEL");
    Outcome o = RUN(tool, "generate", "a.mdl", "talk");
    check_code(&o, 2);
    check_has(o.err, "no generate block `talk`");
    o = RUN(tool, "dump", "a.mdl", "--block", "tall", "--groups");
    check_code(&o, 2);
    check_has(o.err, "did you mean `talk`?");
    o = RUN(tool, "dump", "a.mdl", "--block", "talk", "--stage", "x", "--groups");
    check_code(&o, 2);
}

static void test_refused(void **state)
{
    Tool *tool = *state;
    const char *weights = recorded(tool, "gpt2");
    static const struct {
        const char *text;
        int code;
        const char *said;
    } wrong[] = {
        {GPT2, 1, "the program has no `generate` block"},
        {GPT2 GREEDY " }\ngenerate h { model = m ; tokenizer = bytes() }\n", 2,
         "the file has 2 generate blocks: g, h"},
        {GPT2 GREEDY " ; context = 97 }\n", 1, "the model has 96 places"},
        {GPT2 GREEDY " ; context = 1 }\n", 1, "a context of 1 tokens"},
        {GPT2 "generate g { model = m ; tokenizer = bytes(special: [\"<eos>\"]) }\n", 1, "E0705"},
        {GPT2 "generate g { model = m ; tokenizer = hf(\"a/b\") }\n", 1, "E0199"},
        {GPT2 GREEDY " ; sampling = sample(top_p: 2) }\n", 1, "`top_p` is from 1e-06 to 1"},
        {GPT2 GREEDY " ; precision = i32 }\n", 1, "`precision` is a float type, as bf16, got"},
        {GPT2 GREEDY " ; precision = f8e4m3 }\n", 1, "E0199"},
        {LLAMA GREEDY " }\n", 4, "model.embed_tokens.weight"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        tool_write(tool, "a.mdl", wrong[i].text);
        Outcome o = RUN(tool, "generate", "a.mdl", "--weights", weights);
        check_code(&o, wrong[i].code);
        check_has(o.err, wrong[i].said);
    }
    tool_write(tool, "a.mdl", GPT2 GREEDY " }\n");
    Outcome o = RUN(tool, "generate", "a.mdl", "gg", "--weights", weights);
    check_code(&o, 2);
    check_has(o.err, "did you mean `g`?");
    o = RUN(tool, "generate", "a.mdl");
    check_code(&o, 1);
    check_has(o.err, "no `train` block");
    o = RUN(tool, "generate", "a.mdl", "--weights", weights, "--max-tokens", "0");
    check_code(&o, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_as_transformers, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_as_transformers_on_a_gpu, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_as_torch_in_16_bits, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_as_recomputed, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_small_context, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_sampling, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_of_a_run, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_looked_at, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

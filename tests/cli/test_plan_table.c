/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_plan_table.c: `mdl plan` against numbers worked out by hand from the shapes of published models. */
#include "tool.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The number behind `"key":` in the line of a stage, or of a block that writes text. */
static double number(const char *json, const char *stage, const char *key)
{
    char text[100];
    snprintf(text, sizeof text, "{\"stage\":\"%s\"", stage);
    const char *line = strstr(json, text);
    snprintf(text, sizeof text, "{\"block\":\"%s\"", stage);
    line = line ? line : strstr(json, text);
    assert_non_null(line);
    snprintf(text, sizeof text, "\"%s\":", key);
    const char *at = strstr(line, text), *end = strchr(line, '\n');
    if (!at || (end && at > end))
        fail_msg("%s of %s is not there", key, stage);
    return strtod(at + strlen(text), NULL);
}

static void check_number(const char *json, const char *stage, const char *key, double want)
{
    double got = number(json, stage, key);
    if (fabs(got - want) > 1e-12 * want)
        fail_msg("%s of %s: %.17g, by hand %.17g", key, stage, got, want);
}

static const char *plan_of(Tool *tool, const char *model)
{
    const char *path = arena_printf(tool->arena, "%s/models/%s.mdl", MDL_SOURCE_DIR, model);
    return GOOD(tool, "plan", "-q", "--json", path);
}

/* GPT-2 small: D 768, 12 layers, 50257 words, 1024 places; bf16 with f32 masters and AdamW. */
static void gpt2(void **state)
{
    Tool *tool = *state;
    const char *json = plan_of(tool, "gpt2");
    const double d = 768, layers = 12, words = 50257, places = 1024, batch = 512;
    double matrices = layers * 12 * d * d;
    double vectors = layers * (2 * 2 * d + 3 * d + d + 4 * d + d) + 2 * d;
    double n = matrices + vectors + words * d + places * d, tokens = batch * places;
    check_number(json, "pretrain", "trained", n);
    check_number(json, "pretrain", "steps", 300000);
    check_number(json, "pretrain", "parameter_bytes", 2 * n);
    check_number(json, "pretrain", "gradient_bytes", 4 * n);
    check_number(json, "pretrain", "optimizer_bytes", (4 + 4 + 4) * n);
    /* every matrix and the table of words once a token, scores and their sums over all places */
    double forward = 2 * tokens * (matrices + words * d) + layers * 4 * places * d * tokens;
    check_number(json, "pretrain", "forward_flops", forward);
    /* the derivative of attention makes its scores again */
    double again = layers * 2 * places * d * tokens;
    check_number(json, "pretrain", "step_flops", 3 * forward + again);
    /* 6 N a token leaves out attention, and counts vectors and places, which no product has */
    double step = number(json, "pretrain", "step_flops"), rule = 6 * n * tokens;
    assert_true(step > rule && step < 1.18 * rule);
    check_has(json, "\"flops_up_to\":false");
    /* `story`: in f32; keys and values of all places */
    check_number(json, "story", "parameter_bytes", 4 * n);
    check_number(json, "story", "cache_bytes", 4 * layers * 2 * places * d);
    check_number(json, "story", "context", places);
    check_number(json, "story", "token_flops",
                 2 * (matrices + words * d) + layers * 4 * places * d);
}

/* LLaVA-Med: the projector alone, then with Mistral 7B; LoRA of rank 128 on its 7 products a layer. */
static void llava_med(void **state)
{
    Tool *tool = *state;
    const char *json = plan_of(tool, "llava_med");
    const double d = 4096, projector = 1024 * d + d + d * d + d, llm = 7241732096;
    const double tower = 303507456;
    static const char *const later[] = {"llava.instruct", "llava.vqa_rad", "llava.path_vqa"};
    check_number(json, "llava.align", "trained", projector);
    check_number(json, "llava.align", "parameter_bytes", 2 * (projector + llm + tower));
    check_number(json, "llava.align", "gradient_bytes", 4 * projector);
    check_number(json, "llava.align", "optimizer_bytes", 12 * projector);
    check_number(json, "llava.align", "epochs", 1);
    for (size_t i = 0; i < COUNT(later); i++) {
        check_number(json, later[i], "trained", projector + llm);
        check_number(json, later[i], "optimizer_bytes", 12 * (projector + llm));
    }
    check_has(json, "\"flops_up_to\":true");
    check_number(json, "assistant", "parameter_bytes", 2 * (projector + llm + tower)); /* in bf16 */
    check_number(json, "assistant", "cache_bytes", 2 * 32 * 2 * 2048.0 * 1024);
    json = plan_of(tool, "llava_med_lora");
    double f = 14336, kv = 1024, r = 128;
    double lora = 32 * r * (2 * (d + d) + 2 * (d + kv) + 3 * (d + f));
    check_number(json, "lora.align", "trained", projector);
    check_number(json, "lora.instruct", "trained", projector + lora);
    check_number(json, "lora.slake", "trained", projector + lora); /* the adapters stay */
}

/* The number behind `"key":` from `at` on. */
static double number_at(const char *at, const char *key)
{
    const char *name = at ? strstr(at, key) : NULL;
    if (!name)
        fail_msg("%s is not there", key);
    return strtod(name + strlen(key), NULL);
}

static void about(double got, double want, double part)
{
    if (fabs(got - want) > part * want)
        fail_msg("%.17g, by hand %.17g", got, want);
}

/* One step of GPT-2 with two of its layers on 8 x 1024 tokens in bf16. */
static const char *predict_gpt2(Tool *tool, const char *gpu, const char *format)
{
    const char *path = arena_printf(tool->arena, "%s/bench/gpt2_step.mdl", MDL_SOURCE_DIR);
    return GOOD(tool, "plan", "-q", path, "--set", "model.net.Ctx=1024", "--set", "model.net.L=2",
                "--set", "train.batch=8", "--set", "train.precision=bf16", "--predict", gpu,
                format);
}

static void predicted(void **state)
{
    Tool *tool = *state;
    tool_find_models(tool);
    const char *json = predict_gpt2(tool, "h100", "--json");
    const double d = 768, layers = 2, words = 50257, t = 1024, tokens = 8 * t;
    const char *micro = strstr(json, "\"entry\":\"micro\"");
    /* every matrix and the table of words three times; two products of attention forward, five back, of the keys
     * up to the query */
    double half = (t + 1) / (2 * t);
    double want =
        3 * 2 * tokens * (layers * 12 * d * d + words * d) + layers * 7 * 2 * tokens * t * d * half;
    about(number_at(micro, "\"product_flops\":"), want, 1e-4);
    double seconds = number_at(micro, "\"predicted\":");
    assert_true(seconds > 0.004 && seconds < 0.012);
    /* the kernel that reads rows of the table of words and of places reads no more than these; x in f32 and bf16 */
    const char *gather = strstr(micro, "_gather_");
    assert_non_null(gather);
    assert_true(number_at(gather, "\"bytes\":") < 0.5 * words * d * 4);
    /* all the optimizer reads and writes: 30 bytes a parameter */
    double n = layers * (12 * d * d + 13 * d) + 2 * d + words * d + t * d;
    const char *update = strstr(json, "\"entry\":\"update\"");
    assert_non_null(strstr(update, "\"class\":\"multi_map\""));
    about(number_at(strstr(update, "_multi_map_"), "\"bytes\":"), 30 * n, 0.01);
    assert_true(number_at(update, "\"predicted\":") > 30 * n / 3.4e12);
    const char *text = predict_gpt2(tool, "a100", "--color=never");
    check_has(text, "entry micro: predicted for a100 (sm_80): ");
    check_has(text, "a step of 1 pass: predicted for a100: ");
}

static void predicted_sizes(void **state)
{
    Tool *tool = *state;
    const char *path = arena_printf(tool->arena, "%s/models/llava_med.mdl", MDL_SOURCE_DIR);
#ifndef __SANITIZE_ADDRESS__ /* which takes its time with 32 layers */
    const char *some =
        GOOD(tool, "plan", "-q", path, "--stage", "instruct", "--set", "llava.instruct.micro=2",
             "--sizes", "images=2", "--entry", "micro", "--predict", "h200", "--json");
    /* 6 N a token for the language model, and what memory has computed again; pictures are little beside that */
    double rule = 6 * 7.11e9 * 2 * 2048, products = number_at(some, "\"product_flops\":");
    assert_true(products > rule && products < 1.6 * rule);
    check_lacks(some, "\"entry\":\"update\"");
    /* passes follow from the memory of that GPU, and sizes hold in them, too */
    const char *whole = GOOD(tool, "plan", path, "--stage", "instruct", "--predict", "h200"),
               *one = GOOD(tool, "plan", path, "--stage", "instruct", "--predict", "h200",
                           "--sizes", "images=1");
    check_has(whole, "a step of 128 passes: predicted for h200: ");
    assert_true(number_at(one, "passes: predicted for h200: ") <
                0.995 * number_at(whole, "passes: predicted for h200: "));
    Outcome small = RUN(tool, "plan", "-q", path, "--stage", "instruct", "--predict", "h100");
    check_code(&small, 1);
    check_has(small.err, "error[E0812]: `llava.instruct` needs ");
    check_has(small.err, "its budget is 79.00 GiB");
#endif
    Outcome o = RUN(tool, "plan", "-q", path, "--stage", "align", "--sizes", "images=2,x=1",
                    "--predict", "h200");
    check_code(&o, 2);
    check_has(o.err, "no such run-time size, in `images=2,x=1`");
    check_has(o.err, "help: there is B, images");
    o = RUN(tool, "plan", path, "--sizes", "images", "--predict", "h200");
    check_code(&o, 2);
    check_has(o.err, "--sizes takes NAME=N,.., got `images`");
    o = RUN(tool, "plan", path, "--predict", "gtx");
    check_code(&o, 2);
    check_has(o.err, "no figures of a GPU 'gtx'");
    o = RUN(tool, "plan", path, "--entry", "micro");
    check_code(&o, 2);
    check_has(o.err, "it goes with --predict");
    o = RUN(tool, "plan", path, "--stage", "align", "--entry", "micros", "--predict", "h200");
    check_code(&o, 2);
    check_has(o.err, "no entry `micros` in what is predicted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(llava_med),
        cmocka_unit_test(predicted),
        cmocka_unit_test(predicted_sizes),
    };
    return cmocka_run_group_tests(tests, tool_setup, tool_teardown);
}

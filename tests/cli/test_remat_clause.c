/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_remat_clause.c: the clause `remat P`: modules whose values are computed again in the backward half, whatever
 * memory there is: the same bits, less memory, more kernels. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT                                                                       \
    "data rows { source = text(\"a.txt\") ; tokenizer = bytes() ; length = 12 }\n" \
    "train net {\n"                                                                \
    "  data = rows ; lr = 0.01 ; batch = 8 ; steps = 6\n"                          \
    "  loss = b => cross_entropy(net(b.tokens, b.pos), b.targets)\n"

static const struct {
    const char *name, *program, *layers, *op;
} models[] = {
    {"gpt2", "import gpt2: GPT2\nmodel net = GPT2(V: 257, D: 24, L: 3, H: 2, Ctx: 12)\n" TEXT,
     "h.*", "gelu_tanh"},
    {"llama",
     "import llama: Llama\nmodel net = Llama(V: 257, D: 24, L: 3, H: 4, KV: 2, F: 40)\n" TEXT,
     "layers.*", "attention"},
    {"vit",
     "import vit: ViT\nmodel net = ViT(size: 4, P: 2, D: 24, L: 3, H: 2, F: 40, Out: 3)\n"
     "data rows {\n"
     "  source = idx(images: \"train-images\", labels: \"train-labels\")\n"
     "  image: f32[4, 4] = row => row.images / 255\n"
     "  label: i32 = row => row.labels\n"
     "}\n"
     "train net {\n"
     "  data = rows ; lr = 0.01 ; batch = 16 ; steps = 6\n"
     "  loss = b => cross_entropy(net(stack(b.image, b.image, b.image, axis: 1)), b.label)\n",
     "layers.*", "attention"},
};

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    Tool *tool = *state;
    tool_data(tool);
    StrBuf sb = sb_new(tool->arena);
    for (int i = 0; i < 200; i++)
        sb_printf(&sb, "line %d of %d;", i * 37 % 101, i);
    tool_write(tool, "a.txt", sb_text(&sb));
    tool_find_models(tool);
    return 0;
}

typedef struct Result {
    double peak; /* bytes of the arena of `micro` */
    double kernels;
    const char *run;
} Result;

/* The number behind `behind`, in bytes where a unit follows. */
static double number_behind(const char *text, const char *behind)
{
    const char *at = strstr(text, behind);
    assert_non_null(at);
    char *unit;
    double x = strtod(at + strlen(behind), &unit);
    return strncmp(unit, " KiB", 4) == 0   ? x * 1024
           : strncmp(unit, " MiB", 4) == 0 ? x * 0x1p20
                                           : x;
}

/* The model with a clause: what it takes, and a run of it. */
static Result result_of(Tool *tool, size_t model, const char *clause)
{
    const char *file = arena_printf(tool->arena, "my_%s.mdl", models[model].name);
    tool_write(tool, file, arena_printf(tool->arena, "%s  %s\n}\n", models[model].program, clause));
    const char *text = GOOD(tool, "dump", file, "--memory", "--entry", "micro");
    Result r = {.kernels = number_behind(text, "micro: "),
                .peak = number_behind(text, " kernels\n"),
                .run = arena_printf(tool->arena, "%s-%zu", models[model].name, strlen(clause))};
    GOOD(tool, "train", file, "--run", r.run, "--quiet", "--max-steps", "3");
    GOOD(tool, "train", file, "--run", r.run, "--quiet");
    return r;
}

static void check_same(Tool *tool, const Result *a, const Result *b)
{
    static const char *const files[] = {"weights.safetensors", "state.safetensors"};
    for (size_t i = 0; i < COUNT(files); i++) {
        Bytes x = tool_read(
            tool, arena_printf(tool->arena, "%s/checkpoints/step-6/%s", a->run, files[i]));
        Bytes y = tool_read(
            tool, arena_printf(tool->arena, "%s/checkpoints/step-6/%s", b->run, files[i]));
        assert_int_equal(x.n, y.n);
        assert_memory_equal(x.data, y.data, x.n);
    }
}

static void layers_are_computed_again(void **state)
{
    Tool *tool = *state;
    for (size_t i = 0; i < COUNT(models); i++) {
        const char *all = arena_printf(tool->arena, "remat %s", models[i].layers);
        const char *some =
            arena_printf(tool->arena, "remat %s { keep = [%s] }", models[i].layers, models[i].op);
        Result kept = result_of(tool, i, "");
        Result again = result_of(tool, i, all), between = result_of(tool, i, some);
        assert_true(again.peak < kept.peak && between.peak < kept.peak);
        assert_true(again.kernels >= between.kernels && between.kernels > kept.kernels);
        assert_true(again.kernels > between.kernels || between.peak < again.peak ||
                    between.peak > again.peak);
        check_same(tool, &kept, &again);
        check_same(tool, &kept, &between);
    }
}

/* The pass that does it may be left out; one layer is less than all. */
static void only_what_is_named(void **state)
{
    Tool *tool = *state;
    const char *args[] = {"remat h.*", "remat h.0", ""};
    double kernels[3], peak[3];
    for (size_t i = 0; i < COUNT(args); i++) {
        tool_write(tool, "my.mdl",
                   arena_printf(tool->arena, "%s  %s\n}\n", models[0].program, args[i]));
        const char *text = GOOD(tool, "dump", "my.mdl", "--memory", "--entry", "micro");
        kernels[i] = number_behind(text, "micro: ");
        peak[i] = number_behind(text, " kernels\n");
        text = GOOD(tool, "dump", "my.mdl", "--memory", "--entry", "micro", "--skip", "remat");
        assert_true(number_behind(text, " kernels\n") >= peak[i]);
    }
    assert_true(kernels[0] > kernels[1] && kernels[1] > kernels[2]);
    assert_true(peak[0] < peak[1] && peak[1] < peak[2]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layers_are_computed_again),
        TEST(only_what_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

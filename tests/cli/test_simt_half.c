/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_simt_half.c: a language model in bf16, wide enough for tensor cores, is trained by the kernels of both
 * architectures (on sm_90a products and attention by warpgroups, tiles by TMA) along the CPU's curve. */
#include "tool.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LETTERS = 3000, STEPS = 4 };

/* The emulator is slow with sanitizers. */
#ifdef __SANITIZE_ADDRESS__
static const char *const archs[] = {"sm_90a"};
#else
static const char *const archs[] = {"sm_80", "sm_90a"};
#endif

static const char program[] =
    "import llama: Llama\n"
    "model m = Llama(V: 256, D: 128, L: 2, H: 2, KV: 1, F: 256)\n"
    "tokenizer letters = bytes()\n"
    "data d {\n  source = text(\"t.txt\", stride: 1)\n  tokenizer = letters\n  length = 128\n}\n"
    "train m {\n  data = d\n  loss = b => cross_entropy(m(b.tokens, b.pos), b.targets)\n"
    "  lr = 1e-3\n  batch = 2\n  steps = 4\n  precision = bf16\n  log { every = 1 step }\n}\n";

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    Tool *tool = *state;
    StrBuf sb = sb_new(tool->arena);
    for (uint64_t i = 0; i < LETTERS; i++)
        sb_putc(&sb, "abcd efgh\n"[hash_mix(7, i) % 10]);
    tool_write(tool, "t.txt", sb_text(&sb));
    tool_write(tool, "p.mdl", program);
    return 0;
}

/* Losses and norms of gradients that a run has written, a pair a step. */
static int curve(Tool *tool, const char *run, double *out)
{
    int n = 0;
    Bytes log = tool_read(tool, arena_printf(tool->arena, "%s/run.jsonl", run));
    for (const char *at = log.data; n < STEPS && *at;) {
        size_t length = strcspn(at, "\n");
        json_t *line = json_loadb(at, length, 0, NULL);
        const json_t *loss = json_object_get(line, "loss");
        if (loss) {
            out[2 * n] = json_number_value(loss);
            out[2 * n++ + 1] = json_number_value(json_object_get(line, "gnorm"));
        }
        json_decref(line);
        at += length + (at[length] == '\n');
    }
    return n;
}

static void losses_are_those_of_the_cpu(void **state)
{
    Tool *tool = *state;
    double want[2 * STEPS], got[2 * STEPS];
    GOOD(tool, "train", "p.mdl", "--device", "cpu", "--run", "cpu");
    assert_int_equal(curve(tool, "cpu", want), STEPS);
    assert_true(want[2 * (STEPS - 1)] < 0.95 * want[0]); /* it learns */
    for (size_t a = 0; a < COUNT(archs); a++) {
        GOOD(tool, "train", "p.mdl", "--device", "simt", "--arch", archs[a], "--run", archs[a]);
        assert_int_equal(curve(tool, archs[a], got), STEPS);
        /* as if every number had been rounded the other way */
        for (int i = 0; i < 2 * STEPS; i++)
            if (!(fabs(got[i] - want[i]) <= 0x1p-8 * want[i]))
                fail_msg("%s, step %d: %s %.9g, on the CPU %.9g", archs[a], i / 2,
                         i % 2 ? "gnorm" : "loss", got[i], want[i]);
    }
    const char *text = GOOD(tool, "dump", "p.mdl", "--source", "--target", "cuda:sm_90a");
    check_has(text, "mdl_wgmma_");
    check_has(text, "mdl_tma_");
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

/* Of sm_90a each kernel begins with waiting for the launch before, and lets the next one begin unless its blocks
 * stay; of sm_80 none does. */
static void kernels_begin_early(void **state)
{
    Tool *tool = *state;
    static const char head[] = "const MdlArgs *a = MDL_ARGS;\n",
                      early[] = "const MdlArgs *a = MDL_ARGS;\n    mdl_grid_launch();\n",
                      wait[] = "MDL_ARGS;\n    mdl_grid_wait();\n",
                      then[] = "    mdl_grid_launch();\n    mdl_grid_wait();\n";
    const char *text = GOOD(tool, "dump", "p.mdl", "--source", "--target", "cuda:sm_90a");
    assert_true(count(text, head) > 10);
    assert_int_equal(count(text, wait) + count(text, early), count(text, head));
    assert_int_equal(count(text, "mdl_grid_wait"), count(text, head));
    assert_int_equal(count(text, then), count(text, early));
    assert_in_range(count(text, early), 10, count(text, head) - 1);
    text = GOOD(tool, "dump", "p.mdl", "--source", "--target", "cuda:sm_80");
    assert_true(count(text, head) > 10);
    assert_int_equal(count(text, "mdl_grid"), 0);
}

int main(void)
{
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kernels_begin_early, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(losses_are_those_of_the_cpu, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

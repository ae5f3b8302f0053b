/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_masked.c: rows of a loss whose mask is false are not read: whatever they hold, the loss is that of
 * the others, and they get no gradient. */
#include "tool.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 4, CLASSES = 3 };

#define PROGRAM                                              \
    "module Scores() {\n"                                    \
    "  param z: [4, 3] ~ zeros\n"                            \
    "  fn forward(x: [B]) -> [B, 3] {\n"                     \
    "    y[b, c] = z[b, c] + 0 * x[b]\n"                     \
    "    y\n"                                                \
    "  }\n"                                                  \
    "}\n"                                                    \
    "model m = Scores()\n"                                   \
    "data d {\n"                                             \
    "  source = npz(\"none.npz\")\n"                         \
    "  x: f32 = row => row.x\n"                              \
    "  y: i32 = row => row.y\n"                              \
    "  ok: bool = row => row.ok\n"                           \
    "}\n"                                                    \
    "train m {\n"                                            \
    "  data = d\n"                                           \
    "  loss = b => cross_entropy(m(b.x), b.y, mask: b.ok)\n" \
    "  lr = 1\n"                                             \
    "  batch = 4\n"                                          \
    "  steps = 1\n"                                          \
    "}\n"

static const float scores[ROWS * CLASSES] = {1,     -2, 0.5f, NAN,      3, NAN,
                                             0.25f, 4,  -1,   INFINITY, 0, -INFINITY};
static const int32_t targets[ROWS] = {2, -100, 0, 7};
static const uint8_t read[ROWS] = {1, 0, 1, 0};

static void write_files(Tool *tool)
{
    static const float x[ROWS];
    const StTensor batch[] = {
        {.name = "x", .dtype = DT_F32, .rank = 1, .dim = {ROWS}, .data = x, .bytes = sizeof x},
        {.name = "y",
         .dtype = DT_I32,
         .rank = 1,
         .dim = {ROWS},
         .data = targets,
         .bytes = sizeof targets},
        {.name = "ok",
         .dtype = DT_BOOL,
         .rank = 1,
         .dim = {ROWS},
         .data = read,
         .bytes = sizeof read},
    };
    const StTensor z = {.name = "z",
                        .dtype = DT_F32,
                        .rank = 2,
                        .dim = {ROWS, CLASSES},
                        .data = scores,
                        .bytes = sizeof scores};
    Err err = {0};
    assert_true(st_write(tool_path(tool, "b.st"), batch, COUNT(batch), NULL, &err));
    assert_true(st_write(tool_path(tool, "w.st"), &z, 1, NULL, &err));
    tool_write(tool, "a.mdl", PROGRAM);
}

static void check_gradients(Tool *tool, const char *how)
{
    GOOD(tool, "grad", "a.mdl", "--batch=b.st", "--weights=w.st", "--out=g.st", how);
    StFile *got = tool_tensors(tool, "g.st");
    const StTensor *g = st_find(got, "z");
    for (int r = 0; r < ROWS; r++) {
        const float *row = &scores[r * CLASSES];
        double sum = 0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp((double)row[c]);
        for (int c = 0; c < CLASSES; c++) {
            double mean =
                (exp((double)row[c]) / sum - (c == targets[r])) / 2; /* two rows are read */
            double want = read[r] ? mean : 0;
            assert_true(fabs(st_load(g, (size_t)(r * CLASSES + c)) - want) < 1e-6);
        }
    }
    st_close(got);
}

static void rows_are_not_read(void **state)
{
    Tool *tool = *state;
    write_files(tool);
    check_gradients(tool, "--reference");
    check_gradients(tool, "--quiet");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_not_read, tool_setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

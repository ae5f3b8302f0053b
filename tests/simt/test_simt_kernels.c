/* LIBS: mdl_test_emulator mdl_runtime mdl_plan mdl_base */
/* test_simt_kernels.c: kernels written by hand in the text that GPUs run, on the emulator, against plain C;
 * odd sizes, threads and blocks in several orders. */
#include "emulator.h"
#include "testdir.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *text_of(Emulator *e, const char *name)
{
    Bytes text;
    Err err = {0};
    const char *path = arena_printf(e->arena, MDL_SOURCE_DIR "/tests/simt/kernels/%s.c", name);
    if (!file_read(e->arena, path, 1 << 20, &text, &err))
        fail_msg("%s", err.text);
    return text.data;
}

static int setup(void **state)
{
    *state = emulator_new();
    return 0;
}

static int teardown(void **state)
{
    emulator_free(*state);
    return 0;
}

/* In order, and in random orders. */
static uint64_t orders(void)
{
    return test_times(3, 100);
}

static void test_map(void **state)
{
    Emulator *e = *state;
    Kernel k = kernel_compile(e, text_of(e, "map"), SIMT_PLAIN);
    enum { N = 64 * 4 * 3 + 61, COLS = 20 };
    int64_t block[2] = {N, COLS};
    Case c = {.name = "map", .threads = 64, .blocks = 4, .args = {.block = block}};
    float *x = case_buffer(e, &c, 0, N * sizeof(float));
    float *b = case_buffer(e, &c, 1, COLS * sizeof(float));
    float *y = case_buffer(e, &c, 2, N * sizeof(float));
    fill_floats(x, N, 1);
    fill_floats(b, COLS, 2);
    for (c.seed = 0; c.seed < orders(); c.seed++) {
        memset(y, 0xff, N * sizeof(float));
        case_run_clean(e, &k, &c);
        for (int i = 0; i < N; i++)
            if (!(y[i] == x[i] * x[i] + b[i % COLS]))
                fail_msg("element %d: %g", i, (double)y[i]);
    }
    case_end(e, &c);
    kernel_free(&k);
}

enum { ROWS = 7, COLS = 161 };

static void want_softmax(const float *x, float *y)
{
    for (int i = 0; i < ROWS; i++, x += COLS, y += COLS) {
        double top = -1e30, sum = 0;
        for (int j = 0; j < COLS; j++)
            top = fmax(top, (double)x[j]);
        for (int j = 0; j < COLS; j++)
            sum += exp((double)x[j] - top);
        for (int j = 0; j < COLS; j++)
            y[j] = (float)(exp((double)x[j] - top) / sum);
    }
}

static void want_layernorm(const float *x, float *y)
{
    for (int i = 0; i < ROWS; i++, x += COLS, y += COLS) {
        double s = 0, q = 0;
        for (int j = 0; j < COLS; j++) {
            s += (double)x[j];
            q += (double)x[j] * (double)x[j];
        }
        double mean = s / COLS, scale = 1 / sqrt(q / COLS - mean * mean + 1e-5);
        for (int j = 0; j < COLS; j++)
            y[j] = (float)(((double)x[j] - mean) * scale);
    }
}

static void run_rows(Emulator *e, Case c, void (*want)(const float *, float *))
{
    Kernel k = kernel_compile(e, text_of(e, "rows"), SIMT_PLAIN);
    int64_t block[2] = {ROWS, COLS};
    float right[ROWS * COLS];
    c.args.block = block;
    float *x = case_buffer(e, &c, 0, sizeof(right)), *y = case_buffer(e, &c, 1, sizeof(right));
    fill_floats(x, ROWS * COLS, 3);
    want(x, right);
    for (c.seed = 0; c.seed < orders(); c.seed++) {
        memset(y, 0xff, sizeof(right));
        case_run_clean(e, &k, &c);
        assert_true(difference(y, right, ROWS * COLS) < 4e-6);
    }
    case_end(e, &c);
    kernel_free(&k);
}

static void test_softmax(void **state)
{
    run_rows(*state, (Case){.name = "softmax", .threads = 128, .blocks = 2}, want_softmax);
}

static void test_layernorm(void **state)
{
    run_rows(*state, (Case){.name = "layernorm", .threads = 128, .blocks = ROWS, .shared = 40},
             want_layernorm);
}

/* ---- products ---- */

static void want_product(const int64_t size[3], const float *a, const float *b, float *c)
{
    int64_t m = size[0], n = size[1], k = size[2];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double s = 0;
            for (int64_t p = 0; p < k; p++)
                s += (double)a[i * k + p] * (double)b[p * n + j];
            c[i * n + j] = (float)s;
        }
}

static void test_sgemm(void **state)
{
    Emulator *e = *state;
    Kernel k = kernel_compile(e, text_of(e, "sgemm"), SIMT_PLAIN);
    enum { M = 37, N = 45, K = 21 };
    int64_t block[3] = {M, N, K};
    float right[M * N];
    Case c = {
        .name = "sgemm", .threads = 64, .blocks = 4, .shared = 4096, .args = {.block = block}};
    float *a = case_buffer(e, &c, 0, sizeof(float) * M * K);
    float *b = case_buffer(e, &c, 1, sizeof(float) * K * N);
    float *y = case_buffer(e, &c, 2, sizeof(right));
    fill_floats(a, M * K, 1);
    fill_floats(b, K * N, 2);
    want_product(block, a, b, right);
    for (c.seed = 0; c.seed < orders(); c.seed++) {
        memset(y, 0xff, sizeof(right));
        case_run_clean(e, &k, &c);
        assert_true(difference(y, right, M * N) < 1e-5);
    }
    case_end(e, &c);
    kernel_free(&k);
}

/* Random numbers that bf16 holds, as both. */
static void fill_bf16(float *wide, uint16_t *narrow, size_t n, uint64_t seed)
{
    fill_floats(wide, n, seed);
    for (size_t i = 0; i < n; i++) {
        narrow[i] = bf16_of(wide[i]);
        wide[i] = bf16_value(narrow[i]);
    }
}

static void test_hgemm(void **state)
{
    Emulator *e = *state;
    Kernel k = kernel_compile(e, text_of(e, "hgemm"), SIMT_PLAIN);
    enum { M = 67, N = 72, K = 136 };
    int64_t block[3] = {M, N, K};
    static float a[M * K], b[K * N], right[M * N];
    Case c = {
        .name = "hgemm", .threads = 128, .blocks = 4, .shared = 3 * 8192, .args = {.block = block}};
    fill_bf16(a, case_buffer(e, &c, 0, M * K * 2), M * K, 1);
    fill_bf16(b, case_buffer(e, &c, 1, K * N * 2), K * N, 2);
    float *y = case_buffer(e, &c, 2, sizeof(right));
    want_product(block, a, b, right);
    for (c.seed = 0; c.seed < orders(); c.seed++) {
        memset(y, 0xff, sizeof(right));
        case_run_clean(e, &k, &c);
        assert_true(difference(y, right, M * N) < 1e-5);
    }
    case_end(e, &c);
    kernel_free(&k);
}

/* ---- the last block ---- */

static void test_last_arriver(void **state)
{
    Emulator *e = *state;
    Kernel k = kernel_compile(e, text_of(e, "last"), SIMT_PLAIN);
    enum { N = 1003, BLOCKS = 37 };
    int64_t block[1] = {N};
    Case c = {
        .name = "total", .threads = 64, .blocks = BLOCKS, .shared = 12, .args = {.block = block}};
    float *x = case_buffer(e, &c, 0, sizeof(float) * N);
    case_buffer(e, &c, 1, sizeof(float) * BLOCKS);
    case_buffer(e, &c, 2, sizeof(int32_t));
    float *sum = case_buffer(e, &c, 3, sizeof(float));
    double right = 0;
    fill_floats(x, N, 5);
    for (int i = 0; i < N; i++)
        right += (double)x[i];
    for (c.seed = 0; c.seed < orders(); c.seed++) {
        *sum = NAN;
        case_run_clean(e, &k, &c);
        assert_true(fabs((double)*sum - right) < 1e-4);
    }
    case_end(e, &c);
    kernel_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),       cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_layernorm), cmocka_unit_test(test_sgemm),
        cmocka_unit_test(test_hgemm),     cmocka_unit_test(test_last_arriver),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* examples.c: kernels written by hand, their inputs, and what plain C gives. */
#include "examples.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- elements ---- */

static void fill_map(void *const *buf, const int64_t *block)
{
    fill_floats(buf[0], (size_t)block[0], 1);
    fill_floats(buf[1], (size_t)block[1], 2);
}

static double error_map(void *const *buf, const int64_t *block)
{
    const float *x = buf[0], *b = buf[1], *y = buf[2];
    double most = 0;
    for (int64_t i = 0; i < block[0]; i++)
        most = worse(most, y[i], (double)(x[i] * x[i] + b[i % block[1]]));
    return most;
}

/* ---- rows ---- */

static void fill_rows(void *const *buf, const int64_t *block)
{
    fill_floats(buf[0], (size_t)(block[0] * block[1]), 3);
}

static double error_softmax(void *const *buf, const int64_t *block)
{
    const float *x = buf[0], *y = buf[1];
    double most = 0;
    for (int64_t i = 0; i < block[0]; i++, x += block[1], y += block[1]) {
        double top = -1e30, sum = 0;
        for (int64_t j = 0; j < block[1]; j++)
            top = fmax(top, (double)x[j]);
        for (int64_t j = 0; j < block[1]; j++)
            sum += exp((double)x[j] - top);
        for (int64_t j = 0; j < block[1]; j++)
            most = worse(most, y[j], exp((double)x[j] - top) / sum);
    }
    return most;
}

static double error_layernorm(void *const *buf, const int64_t *block)
{
    const float *x = buf[0], *y = buf[1];
    double most = 0, n = (double)block[1];
    for (int64_t i = 0; i < block[0]; i++, x += block[1], y += block[1]) {
        double s = 0, q = 0;
        for (int64_t j = 0; j < block[1]; j++) {
            s += (double)x[j];
            q += (double)x[j] * (double)x[j];
        }
        double mean = s / n, scale = 1 / sqrt(q / n - mean * mean + 1e-5);
        for (int64_t j = 0; j < block[1]; j++)
            most = worse(most, y[j], ((double)x[j] - mean) * scale);
    }
    return most;
}

/* ---- products: sizes m, n, k ---- */

static double product(const float *a, const float *b, const int64_t step[2], int64_t k)
{
    double s = 0;
    for (int64_t p = 0; p < k; p++)
        s += (double)a[p * step[0]] * (double)b[p * step[1]];
    return s;
}

static void fill_sgemm(void *const *buf, const int64_t *block)
{
    fill_floats(buf[0], (size_t)(block[0] * block[2]), 1);
    fill_floats(buf[1], (size_t)(block[2] * block[1]), 2);
}

static double error_sgemm(void *const *buf, const int64_t *block)
{
    const int64_t m = block[0], n = block[1], k = block[2], step[2] = {1, n};
    const float *a = buf[0], *b = buf[1], *c = buf[2];
    double most = 0;
    for (int64_t i = 0; i < m * n; i++)
        most = worse(most, c[i], product(a + i / n * k, b + i % n, step, k));
    return most;
}

static void fill_hgemm(void *const *buf, const int64_t *block)
{
    fill_bf16(buf[0], (size_t)(block[0] * block[2]), 1);
    fill_bf16(buf[1], (size_t)(block[2] * block[1]), 2);
}

static double error_hgemm(void *const *buf, const int64_t *block)
{
    const int64_t m = block[0], n = block[1], k = block[2];
    const uint16_t *a = buf[0], *b = buf[1];
    const float *c = buf[2];
    double most = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double s = 0;
            for (int64_t p = 0; p < k; p++)
                s += (double)bf16_value(a[i * k + p]) * (double)bf16_value(b[p * n + j]);
            most = worse(most, c[i * n + j], s);
        }
    return most;
}

/* ---- a sum over all blocks ---- */

static void fill_total(void *const *buf, const int64_t *block)
{
    fill_floats(buf[0], (size_t)block[0], 5);
    *(int32_t *)buf[2] = 0;
}

static double error_total(void *const *buf, const int64_t *block)
{
    const float *x = buf[0];
    double s = 0;
    for (int64_t i = 0; i < block[0]; i++)
        s += (double)x[i];
    return worse(*(const int32_t *)buf[2] != 0, *(const float *)buf[3], s);
}

/* ---- sums of blocks in turn ---- */

enum { TURNS = 37 };

static void fill_turns(void *const *buf, const int64_t *block)
{
    UNUSED(block);
    fill_floats(buf[0], TURNS * 64, 5);
    memset(buf[1], 0, 8);
}

/* In the order of rows, to the bit. */
static double error_turns(void *const *buf, const int64_t *block)
{
    UNUSED(block);
    const float *x = buf[0], *y = buf[2];
    const int32_t *count = buf[1];
    double most = count[0] || count[1];
    for (int j = 0; j < 64; j++) {
        float sum = x[j];
        for (int i = 1; i < TURNS; i++)
            sum += x[i * 64 + j];
        most = worse(most, y[j], (double)sum);
    }
    return most;
}

/* ---- products by warpgroups ---- */

static void encode(const GpuTensor *tensor, MdlTensorMap *out)
{
    Err err = {0};
    if (!simt_encode_map(tensor, out, &err))
        fail_msg("%s", err.text);
}

/* A matrix of bf16. */
static void encode_matrix(void *base, const int64_t size[2], const int box[2], MdlTensorMap *out)
{
    const GpuTensor t = {.base = base,
                         .rank = 2,
                         .element = 2,
                         .dim = {size[1], size[0]},
                         .stride = {size[1] * 2},
                         .box = {box[1], box[0]},
                         .swizzle = 128};
    encode(&t, out);
}

static void map_hopper(void *const *buf, const int64_t *block, MdlTensorMap *map)
{
    encode_matrix(buf[0], (int64_t[]){block[0], block[2]}, (int[]){128, 64}, &map[0]);
    encode_matrix(buf[1], (int64_t[]){block[1], block[2]}, (int[]){32, 64}, &map[1]);
}

static void fill_hopper(void *const *buf, const int64_t *block)
{
    fill_bf16(buf[0], (size_t)(block[0] * block[2]), 1);
    fill_bf16(buf[1], (size_t)(block[1] * block[2]), 2);
}

static double error_hopper(void *const *buf, const int64_t *block)
{
    const int64_t m = block[0], n = block[1], k = block[2];
    const uint16_t *a = buf[0], *b = buf[1];
    const float *c = buf[2];
    double most = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double s = 0;
            for (int64_t p = 0; p < k; p++)
                s += (double)bf16_value(a[i * k + p]) * (double)bf16_value(b[j * k + p]);
            most = worse(most, c[i * n + j], s);
        }
    return most;
}

enum { HEADS = 2, HEAD = 64 };

static void map_values(void *const *buf, const int64_t *block, MdlTensorMap *map)
{
    const GpuTensor v = {.base = buf[1],
                         .rank = 3,
                         .element = 2,
                         .dim = {HEAD, block[1], HEADS},
                         .stride = {HEAD * 2, HEAD * 2 * block[1]},
                         .box = {HEAD, 32, 1},
                         .swizzle = 128};
    encode(&v, &map[0]);
    encode_matrix(buf[2], (int64_t[]){block[0], HEADS * HEAD}, (int[]){64, HEAD}, &map[1]);
}

static void fill_values(void *const *buf, const int64_t *block)
{
    fill_bf16(buf[0], (size_t)(block[0] * block[1]), 1);
    fill_bf16(buf[1], (size_t)(HEADS * block[1] * HEAD), 2);
}

static double error_values(void *const *buf, const int64_t *block)
{
    const int64_t m = block[0], k = block[1];
    const uint16_t *p = buf[0], *v = buf[1], *o = buf[2];
    double most = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < HEADS * HEAD; j++) {
            double s = 0;
            for (int64_t t = 0; t < k; t++)
                s += (double)bf16_value(p[i * k + t]) *
                     (double)bf16_value(v[(j / HEAD * k + t) * HEAD + j % HEAD]);
            most = worse(most, bf16_value(o[i * HEADS * HEAD + j]), s);
        }
    return most;
}

/* ---- the table ---- */

enum { MAP_N = 64 * 4 * 3 + 61, ROWS = 7, COLS = 161, PARTS = 37 };

const Example examples[] = {
    {.name = "map",
     .file = "map",
     .threads = 64,
     .blocks = 4,
     .block = {MAP_N, 20},
     .bytes = {MAP_N * 4, 20 * 4, MAP_N * 4},
     .output = 2,
     .fill = fill_map,
     .error = error_map},
    {.name = "softmax",
     .file = "rows",
     .threads = 128,
     .blocks = 2,
     .block = {ROWS, COLS},
     .bytes = {ROWS * COLS * 4, ROWS *COLS * 4},
     .output = 1,
     .bound = 1e-6,
     .fill = fill_rows,
     .error = error_softmax},
    {.name = "layernorm",
     .file = "rows",
     .threads = 128,
     .blocks = ROWS,
     .shared = 40,
     .block = {ROWS, COLS},
     .bytes = {ROWS * COLS * 4, ROWS *COLS * 4},
     .output = 1,
     .bound = 4e-6,
     .fill = fill_rows,
     .error = error_layernorm},
    {.name = "sgemm",
     .file = "sgemm",
     .threads = 64,
     .blocks = 4,
     .shared = 4096,
     .block = {37, 45, 21},
     .bytes = {37 * 21 * 4, 21 * 45 * 4, 37 * 45 * 4},
     .output = 2,
     .bound = 1e-5,
     .fill = fill_sgemm,
     .error = error_sgemm},
    {.name = "hgemm",
     .file = "hgemm",
     .threads = 128,
     .blocks = 4,
     .shared = 3 * 8192,
     .block = {67, 72, 136},
     .bytes = {67 * 136 * 2, 136 * 72 * 2, 67 * 72 * 4},
     .output = 2,
     .bound = 1e-5,
     .fill = fill_hgemm,
     .error = error_hgemm},
    {.name = "total",
     .file = "last",
     .threads = 64,
     .blocks = PARTS,
     .shared = 12,
     .block = {1003},
     .bytes = {1003 * 4, PARTS * 4, 4, 4},
     .output = 3,
     .bound = 1e-4,
     .fill = fill_total,
     .error = error_total},
    {.name = "turns",
     .file = "turns",
     .threads = 32,
     .blocks = TURNS,
     .shared = 260,
     .bytes = {TURNS * 64 * 4, 8, 64 * 4},
     .output = 2,
     .bound = 1e-30,
     .fill = fill_turns,
     .error = error_turns},
    {.name = "hopper",
     .file = "hopper",
     .threads = 384,
     .blocks = 4,
     .shared = 3 * 20480 + 48,
     .block = {150, 40, 264},
     .bytes = {150 * 264 * 2, 40 * 264 * 2, 150 * 40 * 4},
     .output = 2,
     .bound = 2e-5,
     .fill = fill_hopper,
     .error = error_hopper,
     .maps = map_hopper},
    {.name = "values",
     .file = "hopper",
     .threads = 128,
     .blocks = 4,
     .shared = 2 * 4096 + 8192 + 16,
     .block = {100, 72},
     .bytes = {100 * 72 * 2, HEADS * 72 * HEAD * 2, 100 * HEADS *HEAD * 2},
     .output = 2,
     .bound = 0.05,
     .fill = fill_values,
     .error = error_values,
     .maps = map_values},
};
const uint32_t nexamples = COUNT(examples);

/* ---- trials ---- */

enum { BLOCK_BUF = MDL_GPU_BUFS - 1, MAP_BUF = MDL_GPU_BUFS - 2 };

const Example *example_find(const char *name)
{
    for (uint32_t i = 0; i < nexamples; i++)
        if (strcmp(examples[i].name, name) == 0)
            return &examples[i];
    fail_msg("no example %s", name);
    return NULL;
}

const char *example_text(Emulator *e, const char *file)
{
    Bytes text;
    Err err = {0};
    const char *path = arena_printf(e->arena, MDL_SOURCE_DIR "/tests/simt/kernels/%s.c", file);
    if (!file_read(e->arena, path, 1 << 20, &text, &err))
        fail_msg("%s", err.text);
    return text.data;
}

void trial_begin(Emulator *e, Trial *t, const Example *of)
{
    *t = (Trial){
        .of = of,
        .c = {
            .name = of->name, .threads = of->threads, .blocks = of->blocks, .shared = of->shared}};
    for (int i = 0; i < EXAMPLE_BUFS && of->bytes[i]; i++)
        case_buffer(e, &t->c, i, of->bytes[i]);
    int64_t *block = case_buffer(e, &t->c, BLOCK_BUF, sizeof(of->block));
    memcpy(block, of->block, sizeof(of->block));
    t->c.args.block = block;
    MdlTensorMap *map = case_buffer(e, &t->c, MAP_BUF, 4 * sizeof(*map));
    t->c.args.map = map;
    if (of->maps)
        of->maps(t->c.args.buf, of->block, map);
}

bool trial_run(Emulator *e, const Kernel *k, Trial *t, uint64_t seed, double *error)
{
    const Example *of = t->of;
    t->c.seed = seed;
    of->fill(t->c.args.buf, of->block);
    memset(t->c.args.buf[of->output], 0xff, of->bytes[of->output]);
    if (!case_run(e, k, &t->c))
        return false;
    *error = of->error(t->c.args.buf, of->block);
    return true;
}

void trial_end(Emulator *e, Trial *t)
{
    case_end(e, &t->c);
}

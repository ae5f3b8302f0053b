/* LIBS: mdl_test_hardware mdl_codegen mdl_passes mdl_runtime mdl_kernel mdl_target mdl_plan mdl_ir mdl_base dl m */
/* test_gpu_layouts.c: the tables of fragments.def against what runs kernels: registers of a warp, sums of a
 * warpgroup, swizzles and descriptors. Numbers are small and whole, so that every sum is exact; operands are laid
 * out by the tables, and results are read by them. On the emulator this says that it follows its tables, with
 * MDL_TEST_DEVICE=cuda that NVIDIA's hardware does. */
#include "../support/testrand.h"
#include "codegen.h"
#include "fragments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "gpucase.h"

enum {
    MAX_LINES = 256,
    MAX_K = 64,
    REGS = 128,
    B_AT = 8192,
    IMAGE = B_AT + MAX_LINES * MAX_K * 2,
    ROOM = MAX_LINES / 2 * REGS * 4
};

typedef struct Layouts {
    Arena *arena;
    GpuCases *gpu;
    TestRand random;
    void *buf[3];
    int64_t *block;
    float a[64][MAX_K], b[MAX_LINES][MAX_K]; /* b by column */
} Layouts;

static bool group_of_hardware(void)
{
    const char *isa = getenv("MDL_TEST_ISA");
    return !hardware_wanted() || (isa && strcmp(isa, "sm_90a") == 0);
}

static void open_text(Layouts *l, const char *name, const char *isa)
{
    Bytes file;
    Err err = {0};
    const char *path = arena_printf(l->arena, "%s/tests/gpu/text/%s.txt", MDL_SOURCE_DIR, name);
    if (!file_read(l->arena, path, 1 << 20, &file, &err))
        fail_msg("%s", err.text);
    GpuText text = {name, arena_printf(l->arena, "#define MDL_W 4\n%s", file.data)};
    l->gpu = gpu_compile(l->arena, (GpuTexts){COPY_ARRAY(l->arena, GpuText, &text, 1), 1}, isa);
    for (size_t i = 0; i < COUNT(l->buf); i++)
        l->buf[i] = gpu_memory(l->gpu, ROOM);
    l->block = gpu_memory(l->gpu, 16 * sizeof *l->block);
}

static int setup(void **state)
{
    Arena *arena = arena_new();
    Layouts *l = NEW(arena, Layouts);
    l->arena = arena;
    l->random.state = 20260101;
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    Layouts *l = *state;
    if (l->gpu) {
        bool own = !l->gpu->hardware;
        gpu_free(l->gpu);
        for (size_t i = 0; own && i < COUNT(l->buf); i++)
            free(l->buf[i]);
        if (own)
            free(l->block);
    }
    arena_free(l->arena);
    return 0;
}

static void run(Layouts *l, const char *kernel, uint32_t threads)
{
    const KPhase p = {.name = kernel, .threads = threads, .team = threads, .shared = IMAGE};
    MdlGpuArgs args = {.block = l->block};
    memcpy(args.buf, l->buf, sizeof l->buf);
    gpu_phase(l->gpu, &p, 0, &args, 1, false);
}

static float small(Layouts *l)
{
    return (float)rand_below(&l->random, 15) - 7;
}

static void fill(Layouts *l, int rows, int lines, int k)
{
    for (int i = 0; i < k; i++) {
        for (int m = 0; m < rows; m++)
            l->a[m][i] = small(l);
        for (int n = 0; n < lines; n++)
            l->b[n][i] = small(l);
    }
}

static float product(const Layouts *l, int row, int line, int k)
{
    float sum = 0;
    for (int i = 0; i < k; i++)
        sum += l->a[row][i] * l->b[line][i];
    return sum;
}

/* ---- a warp ---- */

static void matrices_are_loaded(void **state)
{
    Layouts *l = *state;
    open_text(l, "layouts_warp", "sm_80");
    uint16_t *x = l->buf[0];
    const uint16_t *y = l->buf[1];
    for (int i = 0; i < 256; i++)
        x[i] = (uint16_t)(1000 + i);
    run(l, "t_ldmatrix", 32);
    for (int r = 0; r < 12; r++)
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 2; i++) {
                int row = fragment_row(FRAGMENT_LDMATRIX, lane, i),
                    col = fragment_col(FRAGMENT_LDMATRIX, lane, i);
                bool turned = (r >= 4 && r < 8) || r >= 10;
                int matrix = r < 8 ? r % 4 : r % 2;
                int want = 1000 + matrix * 64 + (turned ? col * 8 + row : row * 8 + col);
                int got = y[(r * 32 + lane) * 2 + i];
                if (got != want)
                    fail_msg("register %d, lane %d, half %d: %d, not %d", r, lane, i, got, want);
            }
}

typedef struct WarpProduct {
    const char *kernel;
    DType dtype;
    FragmentId a, b;
    int k;
} WarpProduct;

/* Elements of a fragment to registers, two to each where they have 16 bits. */
static void put(const WarpProduct *w, void *at, int lane, int i, float value)
{
    int each = w->dtype == DT_F32 ? 1 : 2;
    dtype_store(w->dtype, at, (size_t)(i / each * 32 + lane) * (size_t)each + (size_t)(i % each),
                (double)value);
}

static void check_warp(Layouts *l, const WarpProduct *w)
{
    float *d = l->buf[2];
    fill(l, 16, 8, w->k);
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 16 * w->k / 32; i++)
            put(w, l->buf[0], lane, i,
                l->a[fragment_row(w->a, lane, i)][fragment_col(w->a, lane, i)]);
        for (int i = 0; i < 8 * w->k / 32; i++)
            put(w, l->buf[1], lane, i,
                l->b[fragment_col(w->b, lane, i)][fragment_row(w->b, lane, i)]);
        for (int i = 0; i < 4; i++)
            d[i * 32 + lane] = (float)(lane + i);
    }
    run(l, w->kernel, 32);
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            int row = fragment_row(FRAGMENT_D_16x8, lane, i),
                col = fragment_col(FRAGMENT_D_16x8, lane, i);
            float want = product(l, row, col, w->k) + (float)(lane + i);
            if (d[i * 32 + lane] != want)
                fail_msg("%s: sum %d of lane %d: %g, not %g", w->kernel, i, lane,
                         (double)d[i * 32 + lane], (double)want);
        }
}

static void warps_multiply(void **state)
{
    static const WarpProduct all[] = {
        {"t_mma_bf16", DT_BF16, FRAGMENT_A_16x16, FRAGMENT_B_16x8, 16},
        {"t_mma_f16", DT_F16, FRAGMENT_A_16x16, FRAGMENT_B_16x8, 16},
        {"t_mma_tf32", DT_F32, FRAGMENT_A_16x8_TF32, FRAGMENT_B_8x8_TF32, 8},
    };
    open_text(*state, "layouts_warp", "sm_80");
    for (size_t i = 0; i < COUNT(all); i++)
        check_warp(*state, &all[i]);
}

/* To the nearest of 10 bits of fraction, ties away from 0 (PTX ISA, cvt.rna.tf32). */
static void numbers_are_rounded(void **state)
{
    static const struct {
        uint32_t from, to;
    } all[] = {
        {0x3f800000, 0x3f800000}, {0x3f800fff, 0x3f800000}, {0x3f801000, 0x3f802000},
        {0xbf801000, 0xbf802000}, {0xbf803000, 0xbf804000}, {0x3fffffff, 0x40000000},
        {0x00000000, 0x00000000}, {0x80000000, 0x80000000}, {0x00800800, 0x00800000},
        {0x7f800000, 0x7f800000}, {0xff800000, 0xff800000}, {0x7f7fefff, 0x7f7fe000},
    };
    Layouts *l = *state;
    open_text(l, "layouts_warp", "sm_80");
    memset(l->buf[0], 0, 32 * 4);
    for (size_t i = 0; i < COUNT(all); i++)
        memcpy((char *)l->buf[0] + i * 4, &all[i].from, 4);
    run(l, "t_round_tf32", 32);
    for (size_t i = 0; i < COUNT(all); i++) {
        uint32_t got = ((const uint32_t *)l->buf[1])[i] & ~0x1fffu; /* the rest is not read */
        if (got != all[i].to)
            fail_msg("%08x: %08x, not %08x", all[i].from, got, all[i].to);
    }
}

/* ---- a warpgroup ---- */

typedef struct GroupProduct {
    DType dtype;
    int n, swizzle;
    bool registers, turned; /* A is in registers; B has its columns next to each other */
    int skipped;            /* columns of B's lines before its own */
} GroupProduct;

/* An operand of so many lines; 4 numbers of the block from `at` on. */
static MatrixPlace place(int lines, int swizzle, bool turned, int64_t *at)
{
    int step, k = swizzle ? swizzle / 2 : 32;
    MatrixPlace p = {.swizzle = swizzle_of_bytes(swizzle)};
    if (swizzle) {
        p.stride = 8 * (uint32_t)swizzle; /* of eight lines, or of eight k */
        p.leading = turned ? (uint32_t)(k * swizzle) : 16;
        step = turned ? 2 * (int)p.stride : 32;
    } else {
        p.stride = 128;
        p.leading = (uint32_t)lines * 16;
        step = 2 * (int)p.leading;
    }
    memcpy(at, (const int64_t[4]){p.leading, p.stride, swizzle, step / 16}, 4 * sizeof *at);
    return p;
}

/* Element k of a line lies in the step that it belongs to. */
static uint32_t offset_of(MatrixPlace p, const int64_t *at, bool turned, const int where[2])
{
    p.start = (uint32_t)(where[1] / 16 * at[3] * 16);
    return turned ? matrix_offset_mn(&p, where[0], where[1] % 16)
                  : matrix_offset_k(&p, where[0], where[1] % 16);
}

static void lay_out(Layouts *l, const GroupProduct *g, int k)
{
    char *image = l->buf[0];
    memset(image, 0x7f, IMAGE); /* a large number, where nothing is read */
    MatrixPlace a = place(64, g->swizzle, false, l->block + 1);
    MatrixPlace b = place(g->n, g->swizzle, g->turned, l->block + 5);
    l->block[9] = g->skipped * 2;
    l->block[0] = k / 16;
    for (int i = 0; i < k; i++) {
        for (int m = 0; m < 64 && !g->registers; m++)
            dtype_store(g->dtype, image + offset_of(a, l->block + 1, false, (const int[2]){m, i}),
                        0, (double)l->a[m][i]);
        for (int n = 0; n < g->n; n++)
            dtype_store(
                g->dtype,
                image + B_AT +
                    offset_of(b, l->block + 5, g->turned, (const int[2]){n + g->skipped, i}),
                0, (double)l->b[n][i]);
    }
    for (int s = 0; s < k / 16; s++)
        for (int t = 0; t < REGS; t++)
            for (int i = 0; i < 8; i++) {
                int row = t / 32 * 16 + fragment_row(FRAGMENT_A_WGMMA, t % 32, i),
                    col = s * 16 + fragment_col(FRAGMENT_A_WGMMA, t % 32, i);
                dtype_store(g->dtype, l->buf[1],
                            (size_t)((s * 4 + i / 2) * REGS + t) * 2 + (size_t)(i % 2),
                            (double)l->a[row][col]);
            }
}

/* All forms are tried, also behind one that fails: what fails together says what is wrong. */
static bool check_group(Layouts *l, const GroupProduct *g)
{
    const float *d = l->buf[2];
    int k = g->swizzle ? g->swizzle / 2 : 32;
    const char *kernel = arena_printf(l->arena, "t_%s%s_%d%s", dtype_info(g->dtype)->name,
                                      g->registers ? "_rs" : "", g->n, g->turned ? "_t" : "");
    fill(l, 64, g->n, k);
    lay_out(l, g, k);
    memset(l->buf[2], 0xff, ROOM);
    run(l, kernel, REGS);
    int wrong = 0;
    for (int t = 0; t < REGS; t++)
        for (int i = 0; i < g->n / 2; i++) {
            int row = t / 32 * 16 + fragment_row(FRAGMENT_D_WGMMA, t % 32, i),
                col = fragment_col(FRAGMENT_D_WGMMA, t % 32, i);
            float want = product(l, row, col, k), got = d[i * REGS + t];
            if (got != want && wrong++ == 0)
                fprintf(stderr, "%s, swizzle %d: sum %d of thread %d (%d, %d): %g, not %g\n",
                        kernel, g->swizzle, i, t, row, col, (double)got, (double)want);
        }
    if (wrong)
        fprintf(stderr, "%s, swizzle %d: %d of %d sums are wrong\n", kernel, g->swizzle, wrong,
                64 * g->n);
    return wrong == 0;
}

static void check_groups(Layouts *l, bool registers, bool turned)
{
    static const int swizzles[] = {128, 64, 32, 0}, widths[] = {64, 256, 8};
    if (!group_of_hardware())
        skip();
    open_text(l, "layouts_group", "sm_90a");
    uint32_t wrong = 0;
    for (size_t s = 0; s < COUNT(swizzles); s++)
        for (size_t w = 0; w < COUNT(widths); w++) {
            GroupProduct g = {DT_BF16, widths[w], swizzles[s], registers, turned, 0};
            if (turned && widths[w] * 2 < swizzles[s])
                continue; /* less than a line */
            wrong += !check_group(l, &g);
            g.dtype = DT_F16;
            if (widths[w] == 64)
                wrong += !check_group(l, &g);
        }
    for (int half = 0; half < 64 && turned; half += 32) /* of lines of 64 columns */
        wrong += !check_group(l, &(GroupProduct){DT_BF16, 32, 128, registers, true, half});
    assert_int_equal(wrong, 0);
}

static void groups_multiply(void **state)
{
    check_groups(*state, false, false);
}

static void groups_multiply_turned(void **state)
{
    check_groups(*state, false, true);
}

static void groups_multiply_registers(void **state)
{
    check_groups(*state, true, false);
}

static void groups_multiply_registers_turned(void **state)
{
    check_groups(*state, true, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(matrices_are_loaded),
        TEST(warps_multiply),
        TEST(numbers_are_rounded),
        TEST(groups_multiply),
        TEST(groups_multiply_turned),
        TEST(groups_multiply_registers),
        TEST(groups_multiply_registers_turned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

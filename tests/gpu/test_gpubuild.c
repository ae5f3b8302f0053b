/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_gpubuild.c: texts of kernels to machine code: the cache, what the report says, what can go wrong. */
#include "nvrtccase.h"
#include <dirent.h>

#define HEAD "#define MDL_W 4\n#include \"mdl.h\"\n"

static const char *copy_text(Arena *arena, const char *name)
{
    return arena_printf(arena,
                        HEAD
                        "MDL_GPU_KERNEL(%s, 256, 0)\n{\n    const MdlArgs *a = MDL_ARGS;\n"
                        "    int64_t i = ((int64_t)mdl_block() * 256 + mdl_thread()) * MDL_W;\n"
                        "    mdl_storea_f32((float *)a->buf[1] + i,\n"
                        "        mdl_loada_f32((const float *)a->buf[0] + i));\n}\n",
                        name);
}

enum { COPIES = 5 };

/* Texts to compile; skips the test where there is no NVRTC. */
static void copies(GpuCase *g, GpuText *texts)
{
    if (!g->nvrtc)
        skip();
    for (int i = 0; i < COPIES; i++) {
        texts[i].name = arena_printf(g->arena, "k_copy%d", i);
        texts[i].text = copy_text(g->arena, texts[i].name);
    }
}

static void a_warm_build_takes_all_from_the_cache(void **state)
{
    GpuCase *g = *state;
    GpuText texts[COPIES];
    copies(g, texts);
    GpuBuild cold = gpu_must_build(g, "sm_80", texts, COPIES);
    assert_int_equal(cold.compiled, COPIES);
    assert_int_equal(cold.nunit, 3);
    GpuBuild warm = gpu_must_build(g, "sm_80", texts, COPIES);
    assert_int_equal(warm.compiled, 0);
    for (uint32_t i = 0; i < cold.nunit; i++) {
        assert_int_equal(warm.units[i].image.n, cold.units[i].image.n);
        assert_memory_equal(warm.units[i].image.data, cold.units[i].image.data,
                            cold.units[i].image.n);
    }
    for (int i = 0; i < COPIES; i++) {
        const CubinKernel *k = cubin_kernel(&warm.units[warm.unit_of[i]], texts[i].name);
        assert_non_null(k);
        assert_int_equal(k->threads, 256);
        assert_in_range(k->registers, 4, 64);
        assert_int_equal(k->spill_stores + k->spill_loads + k->frame + k->shared, 0);
    }
    assert_int_equal(gpu_must_build(g, "sm_90a", texts, COPIES).compiled, COPIES);
}

/* What another process would do, behind the first entry of the cache that is given its name: that name to something else. */
static bool spoil;

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
/* NOLINTEND(bugprone-reserved-identifier) */
int __wrap_rename(const char *from, const char *to)
{
    int result = __real_rename(from, to);
    if (spoil && result == 0 && strstr(to, ".cubin")) {
        spoil = false;
        assert_int_equal(unlink(to), 0);
        assert_true(file_write_atomic(to, "else", 4, NULL));
    }
    return result;
}

/* Kernels that are compiled together are one file with several names. */
static void another_process_spoils_its_own_name_alone(void **state)
{
    GpuCase *g = *state;
    GpuText texts[COPIES];
    copies(g, texts);
    const GpuBuildOptions opt = {.arch = "sm_80", .cache_dir = g->cache, .threads = 1};
    GpuBuild b;
    Err err = {0};
    spoil = true;
    assert_false(gpubuild_run(g->arena, (GpuTexts){texts, COPIES}, &opt, &b, &err));
    assert_false(spoil);
    assert_int_equal(gpu_must_build(g, "sm_80", texts, COPIES).compiled, 1);
    assert_int_equal(gpu_must_build(g, "sm_80", texts, COPIES).compiled, 0);
}

/* Whatever it was compiled with, and is asked for with. */
static void a_kernel_is_compiled_once(void **state)
{
    GpuCase *g = *state;
    GpuText texts[COPIES];
    copies(g, texts);
    gpu_must_build(g, "sm_80", texts, COPIES);
    texts[1].text = arena_printf(g->arena, "%s/* another */\n", texts[1].text);
    assert_int_equal(gpu_must_build(g, "sm_80", texts, COPIES).compiled, 1);
    const GpuText few[] = {texts[4], texts[1], texts[0], texts[1]};
    GpuBuild b = gpu_must_build(g, "sm_80", few, COUNT(few));
    assert_int_equal(b.compiled, 0);
    assert_int_equal(b.nunit, 3);
    for (size_t i = 0; i < COUNT(few); i++)
        assert_non_null(cubin_kernel(&b.units[b.unit_of[i]], few[i].name));
}

static void what_is_cached_needs_no_nvrtc(void **state)
{
    GpuCase *g = *state;
    GpuText texts[COPIES];
    GpuBuild out;
    Err err = {0};
    copies(g, texts);
    gpu_must_build(g, "sm_80", texts, COPIES);
    setenv("MDL_NVRTC", "/nonexistent/libnvrtc.so", 1);
    out = gpu_must_build(g, "sm_80", texts, COPIES);
    assert_int_equal(out.compiled, 0);
    assert_null(out.nvrtc);
    texts[0].text = copy_text(g->arena, "k_other");
    assert_false(gpu_build(g, "sm_80", (GpuTexts){texts, COPIES}, &out, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    assert_non_null(strstr(err.text, "no NVRTC: $MDL_NVRTC is /nonexistent"));
    assert_non_null(strstr(err.help, "nvidia-cuda-nvrtc"));
}

/* Overwrites a byte of every file in the cache, or cuts it. */
static int damage(const GpuCase *g, bool cut)
{
    int n = 0;
    DIR *d = opendir(g->cache);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        const char *path = path_join(g->arena, g->cache, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        fseek(f, 900, SEEK_SET);
        fputc(0x55, f);
        fclose(f);
        n += !cut || truncate(path, 700) == 0;
    }
    if (d)
        closedir(d);
    return n;
}

static void damaged_files_are_made_again(void **state)
{
    GpuCase *g = *state;
    GpuText texts[COPIES];
    copies(g, texts);
    gpu_must_build(g, "sm_80", texts, COPIES);
    for (int cut = 0; cut < 2; cut++) {
        assert_int_equal(damage(g, cut), COPIES);
        assert_int_equal(gpu_must_build(g, "sm_80", texts, COPIES).compiled, COPIES);
        assert_int_equal(gpu_must_build(g, "sm_80", texts, COPIES).compiled, 0);
    }
}

static void a_mistake_is_named_by_kernel_and_line(void **state)
{
    GpuCase *g = *state;
    GpuBuild out;
    Err err = {0};
    const GpuText texts[] = {
        {"k_good", copy_text(g->arena, "k_good")},
        {"k_bad", HEAD "MDL_GPU_KERNEL(k_bad, 32, 0)\n{\n    nothing(1);\n}\n"},
    };
    if (!g->nvrtc)
        skip();
    assert_false(gpu_build(g, "sm_80", (GpuTexts){texts, 2}, &out, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
    assert_non_null(strstr(err.text, "k_bad(5): error"));
    assert_non_null(strstr(err.text, "\"nothing\" is undefined"));
    err = (Err){0};
    assert_false(gpu_build(g, "sm_13", (GpuTexts){texts, 1}, &out, &err));
    assert_non_null(strstr(err.text, "refused k_good for sm_13"));
}

static void what_an_architecture_lacks_is_refused(void **state)
{
    GpuCase *g = *state;
    GpuBuild out;
    Err err = {0};
    const GpuText text = {"k_tma", HEAD "MDL_GPU_KERNEL(k_tma, 32, 0)\n{\n"
                                        "    mdl_prefetch_map(MDL_ARGS->map);\n}\n"};
    if (!g->nvrtc)
        skip();
    gpu_must_build(g, "sm_90a", &text, 1);
    assert_false(gpu_build(g, "sm_80", (GpuTexts){&text, 1}, &out, &err));
    assert_non_null(strstr(err.text, "\"mdl_prefetch_map\" is undefined"));
}

/* 64 numbers in 32 registers. */
static const char spilling[] =
    HEAD "MDL_GPU_KERNEL(k_spill, 1024, 2)\n{\n    float d[64], *y = (float *)MDL_ARGS->buf[0];\n"
         "    MDL_UNROLL\n    for (int i = 0; i < 64; i++)\n"
         "        d[i] = y[i * 1024 + mdl_thread()];\n    mdl_syncthreads();\n"
         "    MDL_UNROLL\n    for (int i = 0; i < 64; i++)\n"
         "        y[i * 1024 + mdl_thread()] = d[63 - i];\n}\n";

static void spills_are_reported_and_kept(void **state)
{
    GpuCase *g = *state;
    const GpuText text = {"k_spill", spilling};
    if (!g->nvrtc)
        skip();
    for (int warm = 0; warm < 2; warm++) {
        GpuBuild b = gpu_must_build(g, "sm_80", &text, 1);
        const CubinKernel *k = cubin_kernel(&b.units[0], "k_spill");
        assert_int_equal(b.compiled, !warm);
        assert_int_equal(k->registers, 32);
        assert_int_equal(k->threads, 1024);
        assert_in_range(k->spill_stores, 4, 400);
        assert_in_range(k->spill_loads, 4, 400);
        assert_in_range(k->frame, k->spill_stores, 400);
        assert_string_equal(b.units[0].warnings, "");
    }
}

/* A sum is touched while the product runs. */
static const char serialised[] =
    HEAD "MDL_GPU_KERNEL(k_serial, 128, 1)\n{\n    float d[32], *y = (float *)MDL_ARGS->buf[0];\n"
         "    uint64_t p = mdl_wgmma_desc(MDL_SHARED(uint16_t, 0), 16, 1024, 128);\n"
         "    for (int i = 0; i < 32; i++)\n        d[i] = 0;\n    mdl_wgmma_fence();\n"
         "    for (int k = 0; k < 4; k++) {\n        mdl_wgmma_bf16_n64(d, p, p + k, 1);\n"
         "        mdl_wgmma_commit();\n        d[0] += y[3];\n        mdl_wgmma_wait(0);\n    }\n"
         "    for (int i = 0; i < 32; i++)\n        y[i * 128 + mdl_thread()] = d[i];\n}\n";

static void serialised_products_are_reported_and_kept(void **state)
{
    GpuCase *g = *state;
    const GpuText text = {"k_serial", serialised};
    if (!g->nvrtc)
        skip();
    for (int warm = 0; warm < 2; warm++) {
        GpuBuild b = gpu_must_build(g, "sm_90a", &text, 1);
        assert_int_equal(b.compiled, !warm);
        assert_non_null(strstr(b.units[0].warnings, "(C75"));
        assert_non_null(strstr(b.units[0].warnings, "k_serial"));
    }
}

static void lines_of_the_model_are_another_build(void **state)
{
    GpuCase *g = *state;
    GpuBuild out;
    Err err = {0};
    const GpuText text = {"k_x", copy_text(g->arena, "k_x")};
    const GpuBuildOptions opt = {.arch = "sm_80", .cache_dir = g->cache, .lines = true};
    if (!g->nvrtc)
        skip();
    gpu_must_build(g, "sm_80", &text, 1);
    assert_true(gpubuild_run(g->arena, (GpuTexts){&text, 1}, &opt, &out, &err));
    assert_int_equal(out.compiled, 1);
}

/* Without reading from disk: what is no cubin is refused. */
static void only_cubins_are_read(void **state)
{
    GpuCase *g = *state;
    Cubin c;
    Err err = {0};
    assert_false(cubin_parse(g->arena, "\177ELF", 4, &c, &err));
    assert_int_equal(err.kind, ERR_DATA);
    err = (Err){0};
    assert_false(cubin_unpack(g->arena, "MDLCUB1\0\377\377\377\377\377\377\377\377\0\0\0\0\0\0\0\0",
                              24, &c, &err));
    assert_int_equal(err.kind, ERR_DATA);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, gpu_setup, gpu_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_warm_build_takes_all_from_the_cache),
        TEST(another_process_spoils_its_own_name_alone),
        TEST(a_kernel_is_compiled_once),
        TEST(what_is_cached_needs_no_nvrtc),
        TEST(damaged_files_are_made_again),
        TEST(a_mistake_is_named_by_kernel_and_line),
        TEST(what_an_architecture_lacks_is_refused),
        TEST(spills_are_reported_and_kept),
        TEST(serialised_products_are_reported_and_kept),
        TEST(lines_of_the_model_are_another_build),
        TEST(only_cubins_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_gputexts.c: every helper that GPU kernels are written with is used in a text (text/), and the texts
 * compile for both architectures without spills and without a complaint of the assembler. */
#include "ptxcase.h"
#include <glob.h>

typedef struct TextCase {
    const char *file;
    bool sm90;  /* only */
    bool local; /* sines of large numbers have a table in local memory */
} TextCase;

static const TextCase texts[] = {
    {"warp", false, false}, {"mma", false, false},    {"tma", true, false},
    {"wgmma", true, false}, {"memory", false, false}, {"math", false, true},
};

static const char *read_text(GpuCase *g, const char *name)
{
    Bytes file;
    Err err = {0};
    const char *path = arena_printf(g->arena, "%s/tests/gpu/text/%s.txt", MDL_SOURCE_DIR, name);
    if (!file_read(g->arena, path, 1 << 20, &file, &err))
        fail_msg("%s", err.text);
    return file.data;
}

static GpuText text_for(GpuCase *g, size_t arch, const char *name)
{
    return (GpuText){name, arena_printf(g->arena, "#define MDL_W %d\n%s", arch == 0 ? 8 : 4,
                                        read_text(g, name))};
}

/* What is there: a number of kernels, none with a fault. */
static uint32_t check(const GpuBuild *b, const char *what, bool local)
{
    uint32_t n = 0;
    for (uint32_t u = 0; u < b->nunit; u++) {
        const Cubin *c = &b->units[u];
        if (*c->warnings)
            fail_msg("%s: %s", what, c->warnings);
        for (uint32_t i = 0; i < c->nkernel; i++, n++) {
            const CubinKernel *k = &c->kernels[i];
            if (k->spill_stores || k->spill_loads || (k->frame && !local) || !k->registers ||
                !k->threads)
                fail_msg("%s: %s takes %u registers, %u + %u bytes of spills, %u local, %u threads",
                         what, k->name, k->registers, k->spill_stores, k->spill_loads, k->frame,
                         k->threads);
        }
    }
    return n;
}

static void texts_compile_without_spills(void **state)
{
    GpuCase *g = *state;
    if (!g->nvrtc)
        skip();
    for (size_t a = 0; a < COUNT(gpu_archs); a++) {
        for (size_t i = 0; i < COUNT(texts); i++) {
            GpuText text = text_for(g, a, texts[i].file);
            if (a == 0 && texts[i].sm90)
                continue;
            GpuBuild b = gpu_must_build(g, gpu_archs[a], &text, 1);
            assert_in_range(check(&b, text.name, texts[i].local), 1, 64);
        }
    }
}

/* Four numbers rounded twice, one by one, and stored by one instruction: as the prelude once did. */
static const char packs[] =
    "#define MDL_W 4\n"
    "#include \"mdl.h\"\n"
    "MDL_FN uint64_t one(float x)\n"
    "{\n"
    "    uint16_t h;\n"
    "    asm(\"cvt.rn.bf16.f32 %0, %1;\" : \"=h\"(h) : \"f\"(x));\n"
    "    float y = __uint_as_float((uint32_t)h << 16);\n"
    "    asm(\"cvt.rn.bf16.f32 %0, %1;\" : \"=h\"(h) : \"f\"(y));\n"
    "    return h;\n"
    "}\n"
    "extern \"C\" __global__ void k(const float *x, uint64_t *y)\n"
    "{\n"
    "    *y = one(x[0]) | one(x[1]) << 16 | one(x[2]) << 32 | one(x[3]) << 48;\n"
    "}\n";

static void rounded_numbers_are_not_put_together(void **state)
{
    GpuCase *g = *state;
    Err ignored = {0};
    const Nvrtc *n = g->nvrtc ? nvrtc_open(g->arena, 0, &ignored) : NULL;
    if (!n)
        skip();
    for (size_t a = 0; a < COUNT(gpu_archs); a++) {
        assert_non_null(
            ptx_pack_of_16(g->arena, ptx_of(g, n, gpu_archs[a], (GpuText){"packs", packs})));
        size_t some = COUNT(texts);
#ifdef __SANITIZE_ADDRESS__
        some = 1; /* NVRTC is not built with sanitizers */
#endif
        for (size_t i = 0; i < some; i++)
            if (a > 0 || !texts[i].sm90)
                ptx_check(g, n, gpu_archs[a], text_for(g, a, texts[i].file));
    }
}

/* The name that a line of the prelude defines, with its `(`; NULL when it defines none that texts may use:
 * forms for vectors, conversions and what stores words are called by macros. */
static const char *helper_of(Arena *arena, const char *line)
{
    static const char *const inner[] = {"_vf(",      "_vi(",       "_at(",
                                        "mdl_widen", "mdl_narrow", "mdl_put_"};
    const char *end = line + strcspn(line, "\n"), *at = strstr(line, " mdl_");
    if ((strncmp(line, "MDL_FN ", 7) != 0 && strncmp(line, "#define ", 8) != 0) || !at || at > end)
        return NULL;
    size_t n = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_0123456789");
    const char *name = arena_strndup(arena, at + 1, n + 1);
    for (size_t i = 0; i < COUNT(inner); i++)
        if (strstr(name, inner[i]))
            return NULL;
    return name[n] == '(' ? name : NULL;
}

static uint32_t check_used(GpuCase *g, const char *prelude, const char *used)
{
    uint32_t n = 0;
    for (const char *line = prelude; *line; line += strcspn(line, "\n") + 1) {
        const char *name = helper_of(g->arena, line);
        if (name && !strstr(used, name))
            fail_msg("no text of tests/gpu/text calls %s)", name);
        n += name != NULL;
    }
    return n;
}

static void every_helper_is_used(void **state)
{
    GpuCase *g = *state;
    StrBuf all = sb_new(g->arena);
    uint32_t n = 0;
    for (size_t i = 0; i < COUNT(texts); i++)
        sb_puts(&all, read_text(g, texts[i].file));
    for (uint32_t i = 0; mdl_prelude_cuda_names[i]; i++)
        if (strstr(mdl_prelude_cuda_names[i], "cuda/"))
            n += check_used(g, mdl_prelude_cuda_texts[i], sb_text(&all));
    assert_in_range(n, 40, 500);
}

/* The emulator's texts are the same language. */
static void texts_of_the_emulator_compile(void **state)
{
    GpuCase *g = *state;
    glob_t list;
    const char *pattern = arena_printf(g->arena, "%s/tests/simt/kernels/*.c", MDL_SOURCE_DIR);
    if (!g->nvrtc || glob(pattern, 0, NULL, &list) != 0)
        skip();
    for (size_t i = 0; i < list.gl_pathc; i++) {
        Bytes file;
        Err err = {0};
        if (!file_read(g->arena, list.gl_pathv[i], 1 << 20, &file, &err))
            fail_msg("%s", err.text);
        GpuText text = {path_stem(g->arena, list.gl_pathv[i]), file.data};
        bool sm90 = strstr(file.data, "mdl_tma_") || strstr(file.data, "mdl_wgmma_") ||
                    strstr(file.data, "mdl_mbar_expect") || strstr(file.data, "mdl_setmaxnreg");
        for (size_t a = sm90; a < COUNT(gpu_archs); a++) {
            GpuBuild b = gpu_must_build(g, gpu_archs[a], &text, 1);
            check(&b, text.name, true);
        }
    }
    globfree(&list);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, gpu_setup, gpu_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(texts_compile_without_spills),
        TEST(rounded_numbers_are_not_put_together),
        TEST(every_helper_is_used),
        TEST(texts_of_the_emulator_compile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

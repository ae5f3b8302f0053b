/* LIBS: mdl_compile mdl_runtime mdl_plan mdl_base */
/* test_gpugates.c: every kernel of whole programs compiles for both architectures, spills nothing and keeps
 * within what a block may have. Needs no GPU, weights or data. With MDL_GPU_TABLE=1 it prints what each kernel
 * takes, and with MDL_GPU_TABLE=cold how long each program's kernels take to compile, and to be found again. */
#include "clock.h"
#include "compile.h"
#include "plan.h"
#include "ptxcase.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_SHARED = 232448, MOST_SHARED_SM80 = 166912, MOST_BLOCKS = 1 << 24, PROCESSORS = 132 };

/* What of a program is compiled: its stage of that name, NULL: its only one; or its first `generate` or `chat` block. */
typedef struct Part {
    const char *file, *stage;
    bool generate;
    const char *sets[4];
} Part;

static Plan *compile_for(Arena *arena, const Part *part, const char *arch)
{
    const char *path = path_join(arena, MDL_SOURCE_DIR, part->file);
    CompileTarget target = {.kind = PLAN_CUDA, .isa = arch};
    CompileOptions opt = {.path = path, .targets = &target, .ntarget = 1, .memory = UINT64_MAX};
    opt.sets = part->sets;
    while (part->sets[opt.nset])
        opt.nset++;
    Compile *c = compile_new(&opt);
    Err err = {0};
    Bytes bytes;
    bool ok = compile_load(c, &err);
    ok =
        ok && (part->generate ? compile_generate(c, 0, &err) : compile_stage(c, part->stage, &err));
    if (!ok || !compile_kernels(c, &bytes, &err))
        fail_msg("%s: %s\n%s", path, err.text,
                 diags_render(compile_diags(c), arena, DIAG_SHORT, false));
    Plan *plan = plan_from_bytes(COPY_ARRAY(arena, char, bytes.data, bytes.n), bytes.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    compile_free(c);
    return plan;
}

/* A grid follows from the upper ends of sizes of the run. */
static void check_grid(const Plan *p, const char *arch, const PlanPhase *f)
{
    int64_t blocks = plan_blocks(f, plan_dim_hi(p, f->tasks), PROCESSORS);
    if (blocks > MOST_BLOCKS)
        fail_msg("%s: %s may have %lld blocks", arch, plan_text(p, f->symbol), (long long)blocks);
}

/* Whether it spills nothing; all that do are named. */
static bool check_kernel(const Plan *p, const char *arch, const PlanPhase *f, const CubinKernel *k)
{
    const char *name = plan_text(p, f->symbol);
    if (!k)
        fail_msg("%s: %s is not in its machine code", arch, name);
    uint32_t spilled = k->spill_stores + k->spill_loads;
    check_grid(p, arch, f);
    if (getenv("MDL_GPU_TABLE"))
        printf("%-8s %-60s %4u threads %4u registers %7u shared %4u frame %4u spilled\n", arch,
               name, f->threads, k->registers, f->shared + k->shared, k->frame, spilled);
    uint32_t most = strcmp(arch, "sm_80") == 0 ? MOST_SHARED_SM80 : MOST_SHARED;
    if (spilled > 0)
        print_error("%s: %s spills %u bytes\n", arch, name, spilled);
    assert_true(f->shared + k->shared <= most);
    assert_true(k->registers * f->threads <= 65536);
    return spilled == 0;
}

/* The machine code of a program's kernels, from a cache of its own where times are wanted. */
static GpuBuild build_part(GpuCase *g, const Part *part, const char *arch, GpuTexts texts)
{
    const char *table = getenv("MDL_GPU_TABLE");
    g->cache = MDL_KERNEL_CACHE; /* for the other presets, too */
    if (!table || strcmp(table, "cold") != 0)
        return gpu_must_build(g, arch, texts.at, texts.n);
    const char *name = part->stage ? part->stage : part->generate ? "text" : "train";
    g->cache =
        path_join(g->arena, g->dir,
                  arena_printf(g->arena, "%s-%s-%s", arch, path_stem(g->arena, part->file), name));
    double start = clock_now();
    clock_t cpu = clock();
    gpu_must_build(g, arch, texts.at, texts.n);
    double built = clock_now(), used = (double)(clock() - cpu) / CLOCKS_PER_SEC;
    GpuBuild again = gpu_must_build(g, arch, texts.at, texts.n);
    printf("%-8s %s %s: %u kernels, %.1f s cold (%.1f s of processors), %.2f s warm\n", arch,
           part->file, name, texts.n, built - start, used, clock_now() - built);
    return again;
}

static bool check_part(GpuCase *g, const Part *part, const char *arch)
{
    Plan *p = compile_for(g->arena, part, arch);
    GpuText *texts = NEW_ARRAY(g->arena, GpuText, p->nkernels + 1);
    for (uint32_t k = 0; k < p->nkernels; k++)
        texts[k] = (GpuText){plan_text(p, p->kernels[k].name),
                             plan_text(p, plan_variant(p, k, 0)->source)};
    GpuBuild b = build_part(g, part, arch, (GpuTexts){texts, p->nkernels});
    bool good = true;
    for (uint32_t k = 0; k < p->nkernels; k++) {
        const PlanVariant *v = plan_variant(p, k, 0);
        const Cubin *unit = &b.units[b.unit_of[k]];
        if (strstr(unit->warnings, "C75"))
            fail_msg("%s: %s", plan_text(p, p->kernels[k].name), unit->warnings);
        for (uint32_t i = v->phase0; i < v->phase0 + v->nphase; i++)
            good = check_kernel(p, arch, &p->phases[i],
                                cubin_kernel(unit, plan_text(p, p->phases[i].symbol))) &&
                   good;
    }
    plan_free(p);
    return good;
}

static void check_parts(GpuCase *g, const Part *parts, size_t n)
{
    if (!g->nvrtc)
        skip();
    setenv("MDL_PATH", path_join(g->arena, MDL_SOURCE_DIR, "models"), 1);
    bool good = true;
    for (size_t a = 0; a < COUNT(gpu_archs); a++)
        for (size_t i = 0; i < n; i++)
            good = check_part(g, &parts[i], gpu_archs[a]) && good;
    assert_true(good);
}

static void training_steps(void **state)
{
    static const Part parts[] = {
        {.file = "bench/gpt2_step.mdl"},
        {.file = "bench/gpt2_step.mdl", .sets = {"train.precision=tf32"}},
        {.file = "bench/mistral_step.mdl"},
        /* heads that share no keys, of two samples */
        {.file = "bench/mistral_step.mdl",
         .sets = {"train.batch=2", "model.mistral.KV=32", "model.mistral.L=1"}}};
    check_parts(*state, parts, COUNT(parts));
}

static void llava_med(void **state)
{
    static const Part parts[] = {{.file = "models/llava_med.mdl", .stage = "align"},
                                 {.file = "models/llava_med.mdl", .stage = "instruct"},
                                 {.file = "models/llava_med.mdl", .generate = true}};
    check_parts(*state, parts, COUNT(parts));
}

static void model_files(void **state)
{
    static const Part parts[] = {
        {.file = "models/gpt2.mdl"},
        {.file = "models/gpt2.mdl", .generate = true},
        {.file = "models/mistral.mdl", .generate = true},
        {.file = "bench/mistral_token.mdl", .generate = true, .sets = {"model.mistral.L=1"}}};
    check_parts(*state, parts, COUNT(parts));
}

/* The same text for decoding from weights of 8 and 4 bits. */
static void stored_weights(void **state)
{
    static const Part parts[] = {{.file = "bench/stored_decode.mdl", .generate = true},
                                 {.file = "bench/stored_decode.mdl",
                                  .generate = true,
                                  .sets = {"text.store=int4(block: 32)"}}};
    check_parts(*state, parts, COUNT(parts));
}

static void one_training_step(void **state)
{
    static const Part parts[] = {{.file = "bench/gpt2_step.mdl"}};
    check_parts(*state, parts, COUNT(parts));
}

/* 16-bit numbers rounded by all kinds of kernels; see ptxcase.h. */
static void rounded_numbers_are_not_put_together(void **state)
{
    static const Part part = {.file = "bench/gpt2_step.mdl", .sets = {"train.precision=bf16"}};
    GpuCase *g = *state;
    Err ignored = {0};
    const Nvrtc *n = g->nvrtc ? nvrtc_open(g->arena, 0, &ignored) : NULL;
    if (!n)
        skip();
    setenv("MDL_PATH", path_join(g->arena, MDL_SOURCE_DIR, "models"), 1);
    for (size_t a = 0; a < COUNT(gpu_archs); a++) {
        Plan *p = compile_for(g->arena, &part, gpu_archs[a]);
        for (uint32_t k = 0; k < p->nkernels; k++)
            ptx_check(g, n, gpu_archs[a],
                      (GpuText){plan_text(p, p->kernels[k].name),
                                plan_text(p, plan_variant(p, k, 0)->source)});
        plan_free(p);
    }
}

int main(void)
{
    /* The same kernels for every build of the project: with sanitizers one program is enough. */
    const struct CMUnitTest one[] = {cmocka_unit_test(one_training_step)};
    const struct CMUnitTest all[] = {cmocka_unit_test(training_steps), cmocka_unit_test(llava_med),
                                     cmocka_unit_test(model_files),
                                     cmocka_unit_test(stored_weights),
                                     cmocka_unit_test(rounded_numbers_are_not_put_together)};
#ifdef __SANITIZE_ADDRESS__
    UNUSED(all);
    return cmocka_run_group_tests(one, gpu_setup, gpu_teardown);
#else
    UNUSED(one);
    return cmocka_run_group_tests(all, gpu_setup, gpu_teardown);
#endif
}
